// SPDX-License-Identifier: GPL-2.0-only
#include "migrate/parity_join.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/if_ether.h>

#include "core/packet.h"
#include "core/util.h"

#define BUCKETS      65536 /* a power of 2 */
#define CPUS_MAX     1024
#define TRIES        64 /* packets of a flow that are looked at for the one that was changed */
#define HEAD_EDGE_NS 1000000000U /* what waited in the queue as the first sample was taken */

/* A packet that waits for the other half of its pair. */
struct waiting {
	struct waiting *next; /* of its bucket, from the oldest on */
	struct waiting *older, *younger;
	uint64_t digest; /* of all that neither path may change */
	uint64_t flow; /* of addresses and ports */
	uint64_t at_ns;
	uint64_t seq; /* of its CPU */
	int cpu;
	uint32_t port;
	uint8_t reason;
	bool given_up; /* counted as `missing`, and remembered */
	enum join_missing missing;
	size_t head; /* of the frame, in front of the IPv4 header */
	size_t len; /* of the packet */
	uint8_t frame[];
};

struct queue {
	struct waiting *oldest, *youngest;
};

struct order {
	uint64_t next, left, taken, any; /* highest number that came out, and one */
};

struct parity_join {
	struct join_how how;
	struct df_policy behind; /* as it applies there: without the encapsulation */
	uint64_t first_ns, stop_ns; /* samples are taken from here, to there */
	uint64_t edge_ns; /* HEAD_EDGE_NS, or as long as the queue has held a packet since */
	struct queue came, out, given_up;
	unsigned int n_given_up;
	/* By digest: those that came, from the oldest on; and those given up, from the youngest on. */
	struct waiting *bucket[2][BUCKETS];
	struct order order[CPUS_MAX];
	struct join_report report;
};

static void take_from(struct parity_join *join, uint64_t now_ns)
{
	join->first_ns = now_ns;
	join->edge_ns = HEAD_EDGE_NS;
}

struct parity_join *join_new(const struct join_how *how, uint64_t now_ns)
{
	struct parity_join *join = calloc(1, sizeof(*join));

	if (!join)
		return NULL;
	join->how = *how;
	join->behind = how->policy;
	join->behind.encap = DF_ENCAP_NONE;
	take_from(join, now_ns);
	join->stop_ns = UINT64_MAX;
	return join;
}

static void free_all(struct queue *queue)
{
	while (queue->oldest) {
		struct waiting *w = queue->oldest;

		queue->oldest = w->younger;
		free(w);
	}
}

void join_forget(struct parity_join *join, uint64_t now_ns)
{
	free_all(&join->came);
	free_all(&join->out);
	free_all(&join->given_up);
	join->came.youngest = join->out.youngest = join->given_up.youngest = NULL;
	join->n_given_up = 0;
	memset(join->bucket, 0, sizeof(join->bucket));
	take_from(join, now_ns);
}

void join_free(struct parity_join *join)
{
	if (!join)
		return;
	free_all(&join->came);
	free_all(&join->out);
	free_all(&join->given_up);
	free(join);
}

static void push(struct queue *queue, struct waiting *w)
{
	w->older = queue->youngest;
	w->younger = NULL;
	if (queue->youngest)
		queue->youngest->younger = w;
	else
		queue->oldest = w;
	queue->youngest = w;
}

static void pull(struct queue *queue, struct waiting *w)
{
	*(w->older ? &w->older->younger : &queue->oldest) = w->younger;
	*(w->younger ? &w->younger->older : &queue->youngest) = w->older;
}

static struct waiting **bucket_of(struct parity_join *join, uint64_t digest, bool given_up)
{
	return &join->bucket[given_up][digest & (BUCKETS - 1)];
}

static void unlink_bucket(struct parity_join *join, struct waiting *w)
{
	struct waiting **at = bucket_of(join, w->digest, w->given_up);

	while (*at != w)
		at = &(*at)->next;
	*at = w->next;
}

static uint64_t mix_bytes(uint64_t h, const uint8_t *data, size_t len)
{
	uint64_t word;

	for (; len >= sizeof(word); data += sizeof(word), len -= sizeof(word)) {
		memcpy(&word, data, sizeof(word));
		h = df_mix(h ^ word);
	}
	word = len; /* the rest, and how much it is */
	for (size_t i = 0; i < len; i++)
		word = word << 8 | data[i];
	return df_mix(h ^ word);
}

/* UDP in IPv4, whole as far as the UDP header. */
static bool is_udp(const uint8_t *data, size_t len)
{
	size_t ihl = len >= sizeof(struct df_ipv4) ? (size_t)(data[0] & 0x0f) * 4 : 0;

	return ihl >= sizeof(struct df_ipv4) && data[9] == DF_IPPROTO_UDP &&
	       ihl + sizeof(struct df_udp) <= len;
}

/* Without DF, the ID where one is assigned, and both checksums. */
static void digest(const struct parity_join *join, struct waiting *w)
{
	const uint8_t *data = w->frame + w->head;
	size_t ihl = (size_t)(data[0] & 0x0f) * 4;
	uint8_t header[60 + sizeof(struct df_udp)];

	memcpy(header, data, ihl + sizeof(struct df_udp));
	header[6] &= (uint8_t)~0x40;
	memset(header + 10, 0, 2);
	memset(header + ihl + 6, 0, 2);
	if (join->behind.ip_id == DF_IP_ID_ASSIGN)
		memset(header + 4, 0, 2);
	w->digest = mix_bytes(0, header, ihl + sizeof(struct df_udp));
	w->digest = mix_bytes(w->digest, data + ihl + sizeof(struct df_udp),
			      w->len - ihl - sizeof(struct df_udp));
	w->flow = mix_bytes(mix_bytes(0, data + 12, 8), data + ihl, 4);
}

static struct waiting *wait_new(const struct parity_join *join, const uint8_t *frame, size_t head,
				size_t len, uint64_t now_ns)
{
	struct waiting *w = malloc(sizeof(*w) + head + len);

	if (!w)
		return NULL;
	*w = (struct waiting){ .at_ns = now_ns, .head = head, .len = len };
	memcpy(w->frame, frame, head + len);
	digest(join, w);
	return w;
}

int join_came(struct parity_join *join, int cpu, const struct df_sample *sample,
	      const uint8_t *frame, uint64_t now_ns)
{
	const size_t len = sample->len - sample->ip_at;
	struct waiting **at, *w;

	if (!is_udp(frame + sample->ip_at, len))
		return 0;
	w = wait_new(join, frame, sample->ip_at, len, now_ns);
	if (!w)
		return -ENOMEM;
	w->cpu = cpu % CPUS_MAX;
	w->seq = join->order[w->cpu].next++;
	w->reason = sample->reason;
	push(&join->came, w);
	for (at = bucket_of(join, w->digest, false); *at; at = &(*at)->next)
		;
	*at = w;
	return 0;
}

static struct join_stream *stream_of(struct parity_join *join, const struct waiting *w)
{
	return w->reason == DF_CLEARED ? &join->report.taken : &join->report.left;
}

static bool is_late(uint64_t *highest, uint64_t seq)
{
	if (seq < *highest)
		return true;
	*highest = seq + 1;
	return false;
}

static void count_order(struct parity_join *join, const struct waiting *w)
{
	struct order *order = &join->order[w->cpu];

	join->report.late += is_late(&order->any, w->seq);
	stream_of(join, w)->late += is_late(w->reason == DF_CLEARED ? &order->taken : &order->left,
					    w->seq);
}

/* Does the program know it for a packet of the policy? */
static bool recognized(const struct waiting *came)
{
	return came->reason == DF_CLEARED || came->reason == DF_NOT_SELECTED ||
	       came->reason == DF_LEASE_EXPIRED;
}

/* What the policy makes of the packet, or the packet as it is. made has room for it. */
static void make(const struct parity_join *join, const struct parity_bytes *came, bool rewrite,
		 uint8_t *made)
{
	struct df_pkt pkt = { .data = made, .data_end = made + came->len };

	memcpy(made, came->data, came->len);
	if (rewrite) {
		df_match(&join->behind, &pkt, made, DF_BE16(ETH_P_IP));
		df_rewrite(&join->behind, &pkt);
	}
}

/* The sum of a UDP packet's pseudo header, and of what it covers when data is set. RFC 768. */
static uint16_t udp_sum(const uint8_t *data, size_t len, bool all)
{
	size_t ihl = (size_t)(data[0] & 0x0f) * 4;
	size_t end = all ? len : ihl;
	uint64_t sum = DF_IPPROTO_UDP + (uint64_t)(len - ihl);

	for (size_t i = 12; i < 20; i += 2)
		sum += (uint64_t)(data[i] << 8 | data[i + 1]);
	for (size_t i = ihl; i < end; i += 2)
		sum += (uint64_t)(data[i] << 8 | (i + 1 < end ? data[i + 1] : 0));
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

/*
 * A packet of this host or of a guest comes with its UDP checksum still to be made (CHECKSUM_PARTIAL: the
 * pseudo header's sum stands there), and the kernel makes it for NFQUEUE. That is no change: *out, of
 * which made has a copy, then has what came.
 */
static void undo_completion(const struct parity_bytes *came, uint8_t *made,
			    const struct parity_bytes *out)
{
	size_t at = (size_t)(came->data[0] & 0x0f) * 4 + offsetof(struct df_udp, check);
	uint16_t partial = (uint16_t)(came->data[at] << 8 | came->data[at + 1]);

	memcpy(made, out->data, out->len);
	if (came->len == out->len && came->data[0] == out->data[0] &&
	    memcmp(came->data + at, out->data + at, 2) != 0 &&
	    partial == udp_sum(came->data, came->len, false) &&
	    udp_sum(out->data, out->len, true) == 0xffff)
		memcpy(made + at, came->data + at, 2);
}

static void compare(struct parity_join *join, const struct waiting *came, const uint8_t *out,
		    size_t out_len)
{
	const bool taken = came->reason == DF_CLEARED;
	struct parity_case c = { .came = { came->frame + came->head, came->len } };
	_cleanup_free_ uint8_t *made = malloc(c.came.len), *seen = malloc(out_len);
	struct parity_set found;

	if (!made || !seen)
		return;
	undo_completion(&c.came, seen, &(struct parity_bytes){ out, out_len });
	parity_ask(&join->behind, &c);
	make(join, &c.came, taken ? c.matches : recognized(came), made);
	c.side[taken ? PARITY_XDP : PARITY_BEHIND] = (struct parity_bytes){ seen, out_len };
	c.side[taken ? PARITY_BEHIND : PARITY_XDP] = (struct parity_bytes){ made, c.came.len };
	found = parity_compare(&c);
	parity_count(&join->report.parity, &c, &found, &join->how.accept);
	if (join->how.found && (found.by[PARITY_XDP] || found.by[PARITY_BEHIND]))
		join->how.found(join->how.ctx, &found, &c, came->frame, came->head);
}

/* Off all lists; one that was given up is missing no more. */
static void take_came(struct parity_join *join, struct waiting *came)
{
	unlink_bucket(join, came);
	pull(came->given_up ? &join->given_up : &join->came, came);
	if (came->given_up) {
		join->n_given_up--;
		stream_of(join, came)->missing[came->missing]--;
	}
}

static void join_pair(struct parity_join *join, struct waiting *came, const uint8_t *out,
		      size_t out_len)
{
	take_came(join, came);
	stream_of(join, came)->joined++;
	compare(join, came, out, out_len);
	free(came);
}

/* The oldest that waits; only where none does, one that was given up: what is lost stays lost. */
static struct waiting *find_equal(struct parity_join *join, uint64_t digest)
{
	struct waiting *w, *found = NULL;

	for (w = *bucket_of(join, digest, false); w; w = w->next)
		if (w->digest == digest)
			return w;
	for (w = *bucket_of(join, digest, true); w; w = w->next)
		if (w->digest == digest)
			found = w;
	return found;
}

int join_out(struct parity_join *join, const uint8_t *data, size_t len, uint32_t port,
	     uint64_t now_ns)
{
	struct waiting *came, *w;

	if (!is_udp(data, len) || len > DF_SAMPLE_MAX)
		return 0;
	w = wait_new(join, data, 0, len, now_ns);
	if (!w)
		return -ENOMEM;
	w->port = port;
	came = find_equal(join, w->digest);
	if (!came) {
		push(&join->out, w);
		return 0;
	}
	if (now_ns - came->at_ns > join->edge_ns)
		join->edge_ns = now_ns - came->at_ns;
	count_order(join, came);
	join_pair(join, came, data, len);
	free(w);
	return 0;
}

void join_stop(struct parity_join *join, uint64_t now_ns)
{
	join->stop_ns = now_ns;
}

static uint16_t id_of(const struct waiting *w)
{
	return (uint16_t)(w->frame[w->head + 4] << 8 | w->frame[w->head + 5]);
}

static bool same_payload(const struct waiting *a, const struct waiting *b)
{
	size_t at = (size_t)(a->frame[a->head] & 0x0f) * 4 + sizeof(struct df_udp);
	size_t bt = (size_t)(b->frame[b->head] & 0x0f) * 4 + sizeof(struct df_udp);

	return a->len - at == b->len - bt &&
	       !memcmp(a->frame + a->head + at, b->frame + b->head + bt, a->len - at);
}

/*
 * What two packets of a flow have in common that differ. A path may have changed anything, but a packet
 * that has neither its ID nor its payload any more cannot be told from another one: then the one is
 * missing, and the other is seen only behind. Without an ID the length has to do.
 */
enum likeness { ALIKE_NOTHING, ALIKE_LENGTH, ALIKE_PAYLOAD, ALIKE_ID };

static enum likeness likeness(const struct parity_join *join, const struct waiting *came,
			      const struct waiting *out)
{
	const bool assigned = join->behind.ip_id == DF_IP_ID_ASSIGN;

	if (id_of(came) && id_of(came) == id_of(out))
		return ALIKE_ID;
	if (same_payload(came, out))
		return ALIKE_PAYLOAD;
	if (!id_of(came) && (!id_of(out) || assigned) && came->len == out->len)
		return ALIKE_LENGTH;
	return ALIKE_NOTHING;
}

/* What it was changed to: the most alike of its flow that came out later and has no equal; or NULL. */
static struct waiting *changed(const struct parity_join *join, const struct waiting *came)
{
	enum likeness best = ALIKE_NOTHING;
	struct waiting *found = NULL;
	unsigned int tries = 0;

	for (struct waiting *w = join->out.oldest; w && tries < TRIES; w = w->younger) {
		enum likeness like;

		if (w->flow != came->flow || w->at_ns < came->at_ns)
			continue;
		tries++;
		like = likeness(join, came, w);
		if (like > best) {
			best = like;
			found = w;
		}
	}
	return found;
}

static enum join_missing why_missing(const struct waiting *w)
{
	const uint8_t *ip = w->frame + w->head;
	uint32_t sum = 0;

	for (size_t i = 0; i < (size_t)(ip[0] & 0x0f) * 4; i += 2)
		sum += (uint32_t)(ip[i] << 8 | ip[i + 1]);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	if (sum != 0xffff)
		return JOIN_BAD_CHECKSUM;
	return ip[6] & 0x20 ? JOIN_REASSEMBLED : JOIN_LOST;
}

/* It may still come out: a queue can hold packets for longer than one is waited for. */
static void remember(struct parity_join *join, struct waiting *came)
{
	struct waiting *oldest = join->given_up.oldest;
	struct waiting **first = bucket_of(join, came->digest, true);

	unlink_bucket(join, came);
	pull(&join->came, came);
	came->given_up = true;
	came->next = *first;
	*first = came;
	push(&join->given_up, came);
	if (join->n_given_up++ < JOIN_GIVEN_UP_MAX)
		return;
	unlink_bucket(join, oldest);
	pull(&join->given_up, oldest);
	free(oldest);
	join->n_given_up--;
}

static void give_up_came(struct parity_join *join, struct waiting *came)
{
	struct waiting *out = changed(join, came);

	if (out) {
		pull(&join->out, out);
		join_pair(join, came, out->frame, out->len);
		free(out);
		return;
	}
	came->missing = why_missing(came);
	stream_of(join, came)->missing[came->missing]++;
	remember(join, came);
}

/* Only what the policy is about: other packets may take other ways. DF may be cleared by now. */
static bool of_policy(const struct parity_join *join, const struct waiting *out)
{
	struct df_pkt pkt = { .data = (void *)out->frame,
			      .data_end = (void *)(out->frame + out->len) };
	int reason = df_match(&join->behind, &pkt, pkt.data, DF_BE16(ETH_P_IP));

	return reason == DF_GO_ON || reason == DF_NO_DF;
}

static void give_up_out(struct parity_join *join, struct waiting *out)
{
	struct join_report *report = &join->report;
	bool bridged = out->port;

	for (unsigned int i = 0; i < join->how.n_attached; i++)
		bridged = bridged && join->how.attached[i] != out->port;
	if (out->at_ns >= join->first_ns + join->edge_ns && out->at_ns < join->stop_ns &&
	    of_policy(join, out)) {
		report->bridged += bridged;
		report->unseen += !bridged;
		if (bridged)
			report->bridged_port = out->port;
	}
	pull(&join->out, out);
	free(out);
}

void join_age(struct parity_join *join, uint64_t now_ns, bool all)
{
	/* First those that came: they may find the ones that came out, which are younger. */
	while (join->came.oldest && (all || now_ns - join->came.oldest->at_ns > JOIN_WAIT_NS))
		give_up_came(join, join->came.oldest);
	while (join->out.oldest && (all || now_ns - join->out.oldest->at_ns > 2ULL * JOIN_WAIT_NS))
		give_up_out(join, join->out.oldest);
}

bool join_waiting(const struct parity_join *join)
{
	return join->came.oldest;
}

const struct join_report *join_report(const struct parity_join *join)
{
	return &join->report;
}
