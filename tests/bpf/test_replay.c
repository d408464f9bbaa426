// SPDX-License-Identifier: GPL-2.0-only
/*
 * The vectors as captures, of every link type, through parity replay.
 *
 *	test_replay                the tests
 *	test_replay write DIR      POLICY.yaml, POLICY.LINK.pcap and keep.pcapng, for the scripts beside this
 *	test_replay seeds DIR      a capture of each packet, of each link type, for the fuzzer
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <ftw.h>
#include <linux/if_ether.h>
#include <pcap/pcap.h>

#include "core/packet.h"
#include "core/util.h"
#include "migrate/replay.h"
#include "tests/vectors/vectors.h"
#include "xdp/xdp_replay.h"

#define SKIP    77
#define SNAPLEN 65535

#define PACKET_MAX   (16384 + 32)
#define ONE_PAGE_MAX 3400 /* before 5.18 longer frames cannot be run: as in test_vectors.c */

enum link { ETHERNET, SLL, SLL2, RAW, LINK_MAX };

static const struct {
	const char *name;
	const char *libpcap; /* its name there */
	int type;
	size_t header;
} links[LINK_MAX] = {
	[ETHERNET] = { "ethernet", "EN10MB", DLT_EN10MB, ETH_HLEN },
	[SLL] = { "sll", "LINUX_SLL", DLT_LINUX_SLL, 16 },
	[SLL2] = { "sll2", "LINUX_SLL2", DLT_LINUX_SLL2, 20 },
	[RAW] = { "raw", "RAW", DLT_RAW, 0 },
};

static const char *const policy_names[VECTOR_POLICY_MAX] = {
	[KEEP] = "keep",           [ASSIGN] = "assign",
	[LIST] = "list",           [MIN] = "min",
	[VXLAN] = "vxlan",         [VXLAN_ANY] = "vxlan-any",
	[VXLAN_16] = "vxlan-16",   [VXLAN_ASSIGN] = "vxlan-assign",
	[VXLAN_MIN] = "vxlan-min",
};

static struct vector *vectors;
static size_t vectors_n;
static char dir[] = "/tmp/n2x-replay-XXXXXX";

static const char *path_of(const char *name)
{
	static char path[256];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static const char *capture_path(const char *where, int policy, int link)
{
	static char path[256];

	snprintf(path, sizeof(path), "%s/%s.%s.pcap", where, policy_names[policy],
		 links[link].name);
	return path;
}

/* The vector as that link type has it, into out. Its length, or -1 when the link type cannot have it. */
static ssize_t relink(const struct vector *v, int link, uint8_t *out)
{
	size_t header = links[link].header, rest = v->len - ETH_HLEN;

	if (link == ETHERNET) {
		memcpy(out, v->in, v->len);
		return (ssize_t)v->len;
	}
	/* SLL says the ethertype; raw IP has none, and so no tags. */
	if (v->len <= ETH_HLEN ||
	    (link == RAW && (v->in[12] != 0x08 || v->in[13] != 0x00 || v->in[ETH_HLEN] >> 4 != 4)))
		return -1;
	memset(out, 0, header);
	if (link != RAW)
		memcpy(out + (link == SLL ? 14 : 0), v->in + 12, 2);
	memcpy(out + header, v->in + ETH_HLEN, rest);
	return (ssize_t)(header + rest);
}

/* Those vectors of [from, to) that are of this policy. Returns how many packets. */
static unsigned int write_range(const char *path, int policy, int link, size_t snaplen, size_t from,
				size_t to)
{
	pcap_t *pcap = pcap_open_dead(links[link].type, SNAPLEN);
	pcap_dumper_t *dumper = pcap_dump_open(pcap, path);
	struct pcap_pkthdr header = { .ts.tv_sec = 1 };
	uint8_t packet[PACKET_MAX];
	unsigned int n = 0;

	assert_non_null(dumper);
	for (size_t i = from; i < to; i++) {
		ssize_t len = relink(&vectors[i], link, packet);

		if ((int)vectors[i].policy != policy || len < 0)
			continue;
		header.len = (bpf_u_int32)len;
		header.caplen = header.len < snaplen ? header.len : (bpf_u_int32)snaplen;
		pcap_dump((uint8_t *)dumper, &header, packet);
		n++;
	}
	pcap_dump_close(dumper);
	pcap_close(pcap);
	return n;
}

/* One capture of one policy's vectors. */
static unsigned int write_capture(const char *path, int policy, int link, size_t snaplen)
{
	return write_range(path, policy, link, snaplen, 0, vectors_n);
}

static void policy_of(int which, struct policy *out)
{
	policy_defaults(out);
	snprintf(out->interface, sizeof(out->interface), "br0");
	out->df = vector_policies[which];
}

static struct replay_report run(const char *path, int which)
{
	struct policy policy;
	const struct replay replay = { .policy = &policy, .file = path };
	struct replay_report report;
	struct err err = { "" };

	policy_of(which, &policy);
	if (replay_run(&replay, &report, &err) != 0)
		fail_msg("%s: %s", path, err.text);
	return report;
}

static uint64_t unseen(const struct replay_report *r)
{
	uint64_t n = 0;

	for (int i = 0; i < PARITY_UNSEEN_MAX; i++)
		n += r->parity.unseen[i];
	return n;
}

/* The golden table says what is cleared. Frames above max_len are not asked about. */
static unsigned int expect_matching(int policy, int link, size_t max_len)
{
	uint8_t packet[PACKET_MAX];
	unsigned int n = 0;

	for (size_t i = 0; i < vectors_n; i++)
		n += (int)vectors[i].policy == policy && vectors[i].reason <= DF_CLEARED_ASSIGNED &&
		     vectors[i].len <= max_len && relink(&vectors[i], link, packet) >= 0;
	return n;
}

static void check_equal(const struct replay_report *r, int policy, int link, unsigned int n)
{
	const size_t max_len = r->parity.unseen[PARITY_REFUSED] ? ONE_PAGE_MAX : SIZE_MAX;

	assert_true(r->complete);
	assert_string_equal(r->link, links[link].libpcap);
	assert_int_equal(r->packets, n);
	assert_int_equal(r->cut, 0);
	assert_int_equal(r->parity.different, 0);
	assert_int_equal(r->parity.accepted, 0);
	assert_int_equal(r->parity.equal, r->parity.compared);
	assert_int_equal(r->parity.compared + unseen(r), n);
	assert_int_equal(r->parity.unseen[PARITY_SHOWN], 0);
	assert_int_equal(r->parity.matching, expect_matching(policy, link, max_len));
	assert_int_equal(parity_judge(&r->parity), PARITY_EQUAL);
}

static void test_vectors(void **state)
{
	uint64_t packets[LINK_MAX] = { 0 }, compared[LINK_MAX] = { 0 };

	(void)state;
	for (int link = 0; link < LINK_MAX; link++) {
		for (int policy = 0; policy < VECTOR_POLICY_MAX; policy++) {
			const char *path = capture_path(dir, policy, link);
			unsigned int n = write_capture(path, policy, link, SNAPLEN);
			struct replay_report r = run(path, policy);

			check_equal(&r, policy, link, n);
			packets[link] += n;
			compared[link] += r.parity.compared;
		}
		print_message("%s: %lu packets, %lu compared\n", links[link].name,
			      (unsigned long)packets[link], (unsigned long)compared[link]);
	}
	assert_int_equal(packets[ETHERNET], VECTORS);
	assert_int_equal(packets[SLL], packets[SLL2]);
	assert_int_equal(compared[SLL], compared[ETHERNET]);
	assert_int_equal(compared[SLL2], compared[ETHERNET]);
	assert_in_range(compared[RAW], 1, compared[ETHERNET]);
}

/* A snapshot length: both sides go without the same bytes. */
static void test_snaplen(void **state)
{
	static const int policies[] = { KEEP, VXLAN_ASSIGN };

	(void)state;
	for (size_t p = 0; p < ARRAY_SIZE(policies); p++) {
		for (size_t snaplen = 1; snaplen <= 120; snaplen++) {
			const char *path = path_of("cut.pcap");
			unsigned int cut = 0;
			struct replay_report r;

			write_capture(path, policies[p], ETHERNET, snaplen);
			for (size_t i = 0; i < vectors_n; i++)
				cut += (int)vectors[i].policy == policies[p] &&
				       vectors[i].len > snaplen;
			r = run(path, policies[p]);
			assert_true(r.complete);
			assert_int_equal(r.cut, cut);
			assert_int_equal(r.parity.different, 0);
			assert_int_equal(r.parity.compared + unseen(&r), r.packets);
		}
	}
}

static void put(FILE *f, const void *bytes, size_t len)
{
	static const uint8_t zero[4];

	assert_int_equal(fwrite(bytes, 1, len, f), len);
	assert_int_equal(fwrite(zero, 1, -len & 3, f), -len & 3);
}

/* A pcapng block: type, length, body, length again. */
static void block(FILE *f, uint32_t type, const void *body, size_t body_len, const void *packet,
		  size_t packet_len)
{
	uint32_t len = (uint32_t)(12 + body_len + ((packet_len + 3) & ~(size_t)3));

	put(f, &type, 4);
	put(f, &len, 4);
	put(f, body, body_len);
	if (packet_len)
		put(f, packet, packet_len);
	put(f, &len, 4);
}

/* libpcap reads pcapng and does not write it. */
static unsigned int write_pcapng(const char *path, int policy, size_t from, size_t to)
{
	const uint32_t section[] = { 0x1a2b3c4d, 1, UINT32_MAX, UINT32_MAX };
	const uint32_t interface[] = { DLT_EN10MB, SNAPLEN };
	_cleanup_file_ FILE *f = fopen(path, "we");
	unsigned int n = 0;

	assert_non_null(f);
	block(f, 0x0a0d0d0a, section, sizeof(section), NULL, 0);
	block(f, 1, interface, sizeof(interface), NULL, 0);
	for (size_t i = from; i < to; i++) {
		const uint32_t len = (uint32_t)vectors[i].len;
		const uint32_t packet[] = { 0, 0, 1000000, len, len };

		if ((int)vectors[i].policy != policy)
			continue;
		block(f, 6, packet, sizeof(packet), vectors[i].in, len);
		n++;
	}
	return n;
}

static void test_pcapng(void **state)
{
	(void)state;
	for (int policy = 0; policy < VECTOR_POLICY_MAX; policy++) {
		unsigned int n = write_pcapng(path_of("all.pcapng"), policy, 0, vectors_n);
		struct replay_report r = run(path_of("all.pcapng"), policy);

		check_equal(&r, policy, ETHERNET, n);
	}
}

static void check_refused(const char *path, const char *why)
{
	struct policy policy;
	const struct replay replay = { .policy = &policy, .file = path };
	struct replay_report report;
	struct err err = { "" };

	policy_of(KEEP, &policy);
	assert_int_equal(replay_run(&replay, &report, &err), -N2X_USAGE);
	assert_non_null(strstr(err.text, why));
	assert_null(strchr(err.text, '\n'));
}

/* A header alone, of every link type there is: read, or refused by name. */
static void test_link_types(void **state)
{
	(void)state;
	for (int type = 0; type < 300; type++) {
		pcap_t *pcap = pcap_open_dead(type, SNAPLEN);
		pcap_dumper_t *dumper = pcap_dump_open(pcap, path_of("link.pcap"));
		bool known = type == DLT_EN10MB || type == DLT_LINUX_SLL ||
			     type == DLT_LINUX_SLL2 || type == DLT_RAW || type == DLT_IPV4 ||
			     type == DLT_IPV6;

		pcap_close(pcap);
		if (!dumper)
			continue; /* libpcap has no number for it in a file */
		pcap_dump_close(dumper);
		if (known)
			assert_int_equal(run(path_of("link.pcap"), KEEP).packets, 0);
		else if (type != 101) /* the number that DLT_RAW has in a file */
			check_refused(path_of("link.pcap"), "give a capture of Ethernet");
	}
}

/* What lies behind a good part of a file is not held against it. */
static void test_broken(void **state)
{
	const char *path = path_of("broken.pcap");
	unsigned int n = write_capture(path, KEEP, ETHERNET, SNAPLEN);
	struct replay_report r;
	struct stat st;

	(void)state;
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(truncate(path, st.st_size - 1), 0);
	r = run(path, KEEP);
	assert_false(r.complete);
	assert_int_equal(r.packets, n - 1);
	assert_int_equal(r.parity.different, 0);
	assert_non_null(strstr(r.broken.text, "broken from here on"));
}

static void write_policy(const char *where, int which)
{
	const struct df_policy *df = &vector_policies[which];
	_cleanup_file_ FILE *f = NULL;
	char path[256];

	snprintf(path, sizeof(path), "%s/%s.yaml", where, policy_names[which]);
	f = fopen(path, "we");
	if (!f)
		return;
	fputs("interface: br0\nxdp: { attach: [br0] }\nmatch: { protocol: udp, dport: [", f);
	for (int i = 0; i < df->n_dport; i++)
		fprintf(f, "%s%u", i ? ", " : "", ntohs(df->dport_be[i]));
	fprintf(f, "], encap: %s", df->encap == DF_ENCAP_VXLAN ? "vxlan" : "none");
	for (int i = 0; i < df->n_vni; i++)
		fprintf(f, "%s%u%s", i ? ", " : ", vni: [", df->vni[i],
			i == df->n_vni - 1 ? "]" : "");
	fprintf(f, " }\naction: { clear-df: { min-length: %u }, ip-id: %s }\n", df->min_len,
		df->ip_id == DF_IP_ID_ASSIGN ? "assign" : "keep");
}

static int write_all(const char *where)
{
	char path[256];

	vectors = vectors_load(&vectors_n);
	for (int policy = 0; policy < VECTOR_POLICY_MAX; policy++) {
		write_policy(where, policy);
		for (int link = 0; link < LINK_MAX; link++)
			write_capture(capture_path(where, policy, link), policy, link, SNAPLEN);
	}
	snprintf(path, sizeof(path), "%s/keep.pcapng", where);
	write_pcapng(path, KEEP, 0, vectors_n);
	vectors_free(vectors, vectors_n);
	return 0;
}

/* Small ones, for speed. */
static int write_seeds(const char *where)
{
	char path[256];

	vectors = vectors_load(&vectors_n);
	for (size_t i = 0; i < vectors_n; i++) {
		int policy = (int)vectors[i].policy;

		for (int link = 0; link < LINK_MAX; link++) {
			snprintf(path, sizeof(path), "%s/%zu.%s", where, i, links[link].name);
			write_range(path, policy, link, 256, i, i + 1);
		}
		snprintf(path, sizeof(path), "%s/%zu.pcapng", where, i);
		if (vectors[i].len <= 256)
			write_pcapng(path, policy, i, i + 1);
	}
	vectors_free(vectors, vectors_n);
	return 0;
}

static int load(void **state)
{
	(void)state;
	vectors = vectors_load(&vectors_n);
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static int unload(void **state)
{
	(void)state;
	vectors_free(vectors, vectors_n);
	return nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* May programs be run here? */
static bool allowed(void)
{
	struct xdp_replay *xdp;
	struct err err;

	if (xdp_replay_open(&vector_policies[KEEP], &xdp, &err) == 0) {
		xdp_replay_close(xdp);
		return true;
	}
	puts(err.text);
	return !strstr(err.text, "no right");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors), cmocka_unit_test(test_snaplen),
		cmocka_unit_test(test_pcapng),  cmocka_unit_test(test_link_types),
		cmocka_unit_test(test_broken),
	};

	if (argc == 3 && !strcmp(argv[1], "write"))
		return write_all(argv[2]);
	if (argc == 3 && !strcmp(argv[1], "seeds"))
		return write_seeds(argv[2]);
	if (!allowed())
		return SKIP;
	return cmocka_run_group_tests_name("parity replay", tests, load, unload);
}
