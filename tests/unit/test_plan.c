// SPDX-License-Identifier: GPL-2.0-only
/*
 * migrate/topology.c, choose.c and finding*.c on hosts made by hand: also of devices that no test machine
 * has. What a lab can have is in tests/netns/test_plan.sh.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/util.h"
#include "migrate/finding.h"
#include "migrate/plan.h"

#define NATIVE (NETDEV_XDP_BASIC | NETDEV_XDP_FRAGS)

/*
 * br0 bridges vxlan1 (VNI 7, carried by ens5) and ens6. One rule feeds queue 3, somebody listens, 1,000
 * packets were seen at vxlan1 and, inside, at ens5. Nothing is wrong.
 */
struct host {
	struct facts facts;
	struct topology_dev dev[8];
	struct choice choice;
	struct finding finding[FINDINGS_MAX];
	unsigned int n;
};

static struct host *host_new(const struct topology_dev *dev, unsigned int n)
{
	static const struct sample_count seen = { .rate = 5000,
						  .looked = 1000,
						  .matching = 1000,
						  .flows = 10,
						  .largest_flow = 100,
						  .largest_outer_flow = 100 };
	struct host *h = calloc(1, sizeof(*h));
	struct topology_node node[TOPOLOGY_NODES];
	struct facts *f = &h->facts;

	assert_non_null(h);
	memcpy(h->dev, dev, n * sizeof(*dev));
	f->topology = (struct topology){ h->dev, n };
	snprintf(f->interface, sizeof(f->interface), "%s", dev[0].name);
	f->n_devices = topology_walk(&f->topology, &h->dev[0], node, &f->left_out);
	for (unsigned int i = 0; i < f->n_devices; i++)
		f->device[i] = (struct facts_device){ .node = node[i],
						      .hw = { .rx = 1, .rx_max = 2 },
						      .hw_known = true,
						      .features = NATIVE,
						      .features_known = true };
	f->rule[0] = (struct legacy_rule){ .kind = LEGACY_IPTABLES_NFT,
					   .table = "mangle",
					   .chain = "PREROUTING",
					   .priority = -150,
					   .position = 1,
					   .queue = 3,
					   .queues = 1,
					   .bypass = true,
					   .understood = true,
					   .port = { 31765 },
					   .n_ports = 1 };
	snprintf(f->rule[0].interface, sizeof(f->rule[0].interface), "%s", dev[0].name);
	f->n_rules = 1;
	f->conntrack = -1;
	f->listener =
		(struct legacy_listener){ .bound = true, .portid = 9, .pid = 9, .comm = "old" };
	f->queue = 3;
	f->queues = 1;
	f->unbound = -1;
	f->receive_buffer = 128 << 20;
	f->sampled = true;
	f->begin = (struct facts_window){ .at_ns = 1, .busy = { 1, { 9 }, { 0 } } };
	f->end = (struct facts_window){ .at_ns = 1000000001,
					.busy = { 1, { 9 }, { 100000000 } },
					.sent = 1000 };
	f->rights_xdp.asked = f->rights_nfqueue.asked = f->bpffs.asked = f->rules.asked = true;
	f->listening.asked = f->devices.asked = true;
	f->program.asked = f->nft.asked = f->table.asked = f->instance.asked = f->journal.asked =
		true;
	f->rewrite.asked = true;
	f->probed = (struct xdp_probed){ .linear = true, .frags = true, .jited = true };
	f->form.owner = true;
	f->journal_free = 1ULL << 30;
	snprintf(f->lockdown, sizeof(f->lockdown), "none");
	for (unsigned int i = 0; i < f->n_devices; i++)
		if (!strcmp(node[i].dev->name, "vxlan1") || !strcmp(node[i].dev->name, "ens5"))
			f->device[i].sample = seen;
	return h;
}

static struct facts_device *device(struct host *h, const char *name)
{
	for (unsigned int i = 0; i < h->facts.n_devices; i++)
		if (!strcmp(h->facts.device[i].node.dev->name, name))
			return &h->facts.device[i];
	fail_msg("no device %s", name);
	return NULL;
}

static const struct topology_dev gateway[] = {
	{ .ifindex = 1, .name = "br0", .kind = "bridge", .mtu = 9001, .running = true },
	{ .ifindex = 2, .name = "ens6", .master = 1, .mtu = 9001, .running = true },
	{ .ifindex = 3, .name = "ens5", .mtu = 9001, .running = true },
	{ .ifindex = 4,
	  .name = "vxlan1",
	  .kind = "vxlan",
	  .master = 1,
	  .lower = 3,
	  .mtu = 8951,
	  .running = true,
	  .vxlan = { .vni = 7, .port = 4789 } },
};

static struct host *gateway_new(void)
{
	struct host *h = host_new(gateway, ARRAY_SIZE(gateway));

	device(h, "vxlan1")->features = 0;
	device(h, "br0")->features = 0;
	return h;
}

static void judge(struct host *h)
{
	choose(&h->facts, NULL, &h->choice);
	h->n = findings_make(&h->facts, &h->choice, h->finding);
}

/* Of the findings that are neither ok nor expected of every host, only this one. Takes the host. */
static void expect(struct host *h, const char *id, enum finding_verdict verdict, const char *cause)
{
	judge(h);
	assert_true(h->n >= 25);
	for (unsigned int i = 0; i < h->n; i++) {
		const struct finding *f = &h->finding[i];

		if (id && !strcmp(f->id, id)) {
			if (f->verdict != verdict || !strstr(f->cause, cause))
				fail_msg("%s: %s: %s", f->id, finding_verdict_name[f->verdict],
					 f->cause);
		} else if (f->verdict > FINDING_UNKNOWN) {
			fail_msg("unexpected: %s: %s: %s", f->id, finding_verdict_name[f->verdict],
				 f->cause);
		}
		assert_true(f->cause[0]);
		if (f->verdict > FINDING_UNKNOWN)
			assert_true(f->command[0] || !strcmp(f->id, "native") ||
				    !strcmp(f->id, "xdp-frags") || !strcmp(f->id, "interface"));
	}
	free(h);
}

static void healthy(void **state)
{
	struct host *h = gateway_new();
	unsigned int unknown = 0;

	(void)state;
	judge(h);
	for (unsigned int i = 0; i < h->n; i++)
		unknown += h->finding[i].verdict == FINDING_UNKNOWN;
	assert_int_equal(unknown, 2); /* fail-open and daemon-changes: nobody can read these */
	expect(h, NULL, FINDING_OK, "");
}

/* Nothing read: nothing is ok that would have to be read (finding F1). */
static void nothing_read(void **state)
{
	struct host *h = calloc(1, sizeof(*h));

	(void)state;
	assert_non_null(h);
	judge(h);
	for (unsigned int i = 0; i < h->n; i++)
		assert_string_equal(finding_verdict_name[h->finding[i].verdict], "unknown");
	free(h);
}

static const char *attach_of(struct host *h, char out[600])
{
	const struct policy *p = &h->choice.policy;

	judge(h);
	snprintf(out, 600, "%s", h->choice.valid ? "" : h->choice.why.text);
	for (unsigned int i = 0; h->choice.valid && i < p->xdp.n_attach; i++)
		snprintf(out + strlen(out), 600 - strlen(out), "%s%s", i ? " " : "",
			 p->xdp.attach[i]);
	if (h->choice.valid && p->df.encap == DF_ENCAP_VXLAN)
		snprintf(out + strlen(out), 600 - strlen(out), " vni %u", p->df.vni[0]);
	return out;
}

static void chosen(struct host *h, const char *want)
{
	char out[600];

	assert_string_equal(attach_of(h, out), want);
	free(h);
}

static void attach_points(void **state)
{
	struct host *h = gateway_new();

	(void)state;
	chosen(h, "ens5 vni 7");
	h = gateway_new();
	device(h, "ens5")->features = 0;
	chosen(h, "vxlan1");
	h = gateway_new();
	device(h, "ens5")->features_known = false;
	chosen(h, "ens5 vni 7");
	h = gateway_new();
	h->dev[3].vxlan.port = 8472;
	chosen(h, "vxlan1");
	h = gateway_new();
	h->dev[3].vxlan.external = true;
	chosen(h, "vxlan1");
	h = gateway_new(); /* no traffic: the tunnels */
	device(h, "vxlan1")->sample.matching = 0;
	chosen(h, "ens5 vni 7");
	h = gateway_new(); /* both ports: one tunnel among them is not enough */
	device(h, "ens6")->sample.matching = 1;
	chosen(h, "ens6 vxlan1");
	h = gateway_new(); /* the other alone */
	device(h, "ens6")->sample.matching = 1;
	device(h, "vxlan1")->sample.matching = 0;
	chosen(h, "ens6");
}

/* eth0 and eth1 are bond0; bond0.100 is on it; the tunnel is carried by that. */
static void vlan_on_bond(void **state)
{
	static const struct topology_dev dev[] = {
		{ .ifindex = 9,
		  .name = "vxlan1",
		  .kind = "vxlan",
		  .lower = 4,
		  .vxlan = { .vni = 5, .port = 4789 } },
		{ .ifindex = 1, .name = "eth0", .master = 3 },
		{ .ifindex = 2, .name = "eth1", .master = 3 },
		{ .ifindex = 3, .name = "bond0", .kind = "bond" },
		{ .ifindex = 4, .name = "bond0.100", .kind = "vlan", .lower = 3, .vlan = 100 },
	};
	static const char *const tree[] = { "vxlan1", "bond0.100", "bond0", "eth0", "eth1" };
	struct host *h = host_new(dev, ARRAY_SIZE(dev));

	(void)state;
	assert_int_equal(h->facts.n_devices, ARRAY_SIZE(tree));
	for (unsigned int i = 0; i < ARRAY_SIZE(tree); i++) {
		assert_string_equal(h->facts.device[i].node.dev->name, tree[i]);
		assert_int_equal(h->facts.device[i].node.depth, i < 4 ? i : 3);
	}
	chosen(h, "vxlan1"); /* not below: others' packets are in the VLAN, too */
	h = host_new(dev + 4, 1);
	chosen(h, "bond0.100");
	h = host_new(dev + 3, 1);
	chosen(h, "bond0");
}

/* A loop, and more than fits: it ends, and says how much it left out. */
static void large_trees(void **state)
{
	static struct topology_dev dev[40];
	struct topology_node node[TOPOLOGY_NODES];
	struct topology t = { dev, ARRAY_SIZE(dev) };
	unsigned int left_out;

	(void)state;
	for (int i = 0; i < (int)ARRAY_SIZE(dev); i++)
		dev[i] = (struct topology_dev){ .ifindex = i + 1,
						.master = i ? 1 : 0,
						.lower = i ? 0 : 2 };
	assert_int_equal(topology_walk(&t, &dev[0], node, &left_out), TOPOLOGY_NODES);
	assert_int_equal(left_out, ARRAY_SIZE(dev) - TOPOLOGY_NODES);
	assert_null(topology_find(&t, "none"));
	assert_null(topology_by_index(&t, 41));
	assert_ptr_equal(topology_by_index(&t, 40), &dev[39]);
}

static void rules(void **state)
{
	char out[600];
	struct host *h = gateway_new();

	(void)state;
	h->facts.rule[0].interface[0] = '\0'; /* any: the interface that was asked for */
	chosen(h, "ens5 vni 7");
	h = gateway_new();
	h->facts.rule[0].interface[0] = h->facts.interface[0] = '\0';
	assert_non_null(strstr(attach_of(h, out), "looks at every interface"));
	free(h);
	h = gateway_new();
	h->facts.rule[0].n_ports = 0;
	assert_non_null(strstr(attach_of(h, out), "looks at every port"));
	free(h);
	h = gateway_new();
	h->facts.rule[1] = h->facts.rule[0];
	snprintf(h->facts.rule[1].interface, IFNAMSIZ, "br1");
	h->facts.n_rules = 2;
	chosen(h, "ens5 vni 7"); /* br0 was asked for */
	h = gateway_new();
	h->facts.rule[1] = h->facts.rule[0];
	snprintf(h->facts.rule[1].interface, IFNAMSIZ, "br1");
	h->facts.n_rules = 2;
	h->facts.interface[0] = '\0';
	assert_non_null(strstr(attach_of(h, out), "several interfaces"));
	free(h);
	h = gateway_new(); /* two rules, one queue: the ports of both, each once */
	h->facts.rule[1] = h->facts.rule[0];
	h->facts.rule[1].port[0] = 4000;
	h->facts.rule[2] = h->facts.rule[0];
	h->facts.n_rules = 3;
	judge(h);
	assert_int_equal(h->choice.policy.df.n_dport, 2);
	assert_int_equal(h->choice.policy.df.dport_be[1], htons(4000));
	free(h);
	h = gateway_new(); /* nobody listens: ours, on a queue that no rule feeds */
	h->facts.listener.bound = false;
	judge(h);
	assert_int_equal(h->choice.policy.nfqueue.daemon, NFQ_DAEMON_OWN);
	assert_int_equal(h->choice.policy.nfqueue.queue, 4);
	free(h);
}

#define NFT_RULE(iif, dport)                                                                           \
	"{\"nftables\":[{\"chain\":{\"family\":\"ip\",\"table\":\"t\",\"name\":\"c\",\"hook\":"        \
	"\"prerouting\",\"prio\":-150}},{\"rule\":{\"family\":\"ip\",\"table\":\"t\",\"chain\":\"c\"," \
	"\"expr\":[{\"match\":{\"op\":\"==\",\"left\":{\"meta\":{\"key\":\"iifname\"}},\"right\":"     \
	"\"" iif "\"}},{\"match\":{\"op\":\"==\",\"left\":{\"payload\":{\"protocol\":\"udp\","         \
	"\"field\":\"dport\"}},\"right\":" dport "}},{\"queue\":{\"num\":5}}]}}]}"

/* What a listed rule looks at is remembered, for a policy that is any. */
static void listed(void **state)
{
	static const struct {
		enum legacy_kind kind;
		const char *listing, *interface;
		uint16_t port[3], n_ports;
	} cases[] = {
		{ LEGACY_NFT, NFT_RULE("br0", "31765"), "br0", { 31765 }, 1 },
		{ LEGACY_NFT,
		  NFT_RULE("br0", "{\"set\":[31765,{\"range\":[4000,4001]}]}"),
		  "br0",
		  { 31765, 4000, 4001 },
		  3 },
		{ LEGACY_NFT, NFT_RULE("br*", "{\"range\":[1,65535]}"), "", { 0 }, 0 },
		{ LEGACY_IPTABLES_NFT,
		  "*mangle\n[0:0] -A PREROUTING -i br0 -p udp -m multiport --dports 9,10 -j NFQUEUE "
		  "--queue-num 5\n",
		  "br0",
		  { 9, 10 },
		  2 },
		{ LEGACY_IPTABLES_NFT,
		  "*raw\n[0:0] -A PREROUTING -i br+ -p udp -m udp --dport 1:17 -j NFQUEUE --queue-num 5\n",
		  "",
		  { 0 },
		  0 },
		{ LEGACY_IPTABLES_LEGACY,
		  "*mangle\n[0:0] -A PREROUTING -j NFQUEUE --queue-num 5\n",
		  "",
		  { 0 },
		  0 },
	};
	struct legacy_rule rule[LEGACY_RULES_MAX];
	const struct policy any = { 0 };
	struct err err;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(
			legacy_find_in(cases[i].kind, cases[i].listing, &any, rule, 0, &err), 1);
		assert_true(rule[0].understood);
		assert_int_equal(rule[0].queue, 5);
		assert_string_equal(rule[0].interface, cases[i].interface);
		assert_int_equal(rule[0].n_ports, cases[i].n_ports);
		assert_memory_equal(rule[0].port, cases[i].port,
				    cases[i].n_ports * sizeof(cases[i].port[0]));
	}
}

/* What is made is what is read back. */
static void written(void **state)
{
	char path[] = "/tmp/n2x-plan.XXXXXX", *text;
	struct host *h = gateway_new();
	struct policy back;
	struct err err;
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	judge(h);
	snprintf(h->choice.policy.interface, IFNAMSIZ, "a\"b\\ #'{],&*");
	for (int named = 0; named < 2; named++) {
		text = choose_format(&h->choice.policy);
		assert_non_null(text);
		assert_int_equal(ftruncate(fd, 0), 0);
		assert_int_equal(pwrite(fd, text, strlen(text), 0), strlen(text));
		free(text);
		if (policy_load(path, &back, &err) < 0 && named)
			fail_msg("%s", err.text);
		snprintf(h->choice.policy.interface, IFNAMSIZ, "-a\"b\\#'{],&*");
	}
	assert_memory_equal(&back.df, &h->choice.policy.df, sizeof(back.df));
	assert_memory_equal(&back.nfqueue, &h->choice.policy.nfqueue, sizeof(back.nfqueue));
	assert_int_equal(back.xdp.n_attach, 1);
	assert_string_equal(back.xdp.attach[0], "ens5");
	unlink(path);
	close(fd);
	free(h);
}

/* Never over a file that is there, and nothing is left beside it. */
static void never_over(void **state)
{
	char dir[] = "/tmp/n2x-plan.XXXXXX", path[64], command[256];
	struct err err;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/br0.yaml", dir);
	assert_int_equal(plan_write(path, "one", &err), 0);
	assert_int_equal(plan_write(path, "two", &err), -N2X_NO);
	assert_non_null(strstr(err.text, "is there already"));
	snprintf(command, sizeof(command), "test \"$(ls -A %s; cat %s)\" = 'br0.yaml\none'", dir,
		 path);
	assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c): a text of this file */
	unlink(path);
	rmdir(dir);
	assert_int_equal(plan_write(path, "three", &err), -N2X_SYSTEM);
}

static void drivers(void **state)
{
	struct host *h = gateway_new();

	(void)state;
	device(h, "ens5")->features = NETDEV_XDP_BASIC;
	expect(h, "mtu", FINDING_WARN,
	       "ens5 has an MTU of 9001, and its driver takes frames of one page only");
	h = gateway_new();
	device(h, "ens5")->features = NETDEV_XDP_BASIC;
	h->dev[2].mtu = 1500;
	expect(h, "mtu", FINDING_OK, "");
	h = gateway_new();
	device(h, "ens5")->features_known = false;
	expect(h, "mtu", FINDING_UNKNOWN, "not to be read without attaching");
	h = gateway_new();
	device(h, "ens5")->features_known = false;
	expect(h, "native", FINDING_UNKNOWN, "this kernel does not say whether ens5");
	h = gateway_new();
	device(h, "ens5")->hw =
		(struct netdev_hw){ .driver = "ena", .bus = true, .rx = 8, .rx_max = 8 };
	expect(h, "queues", FINDING_WARN, "ens5 uses 8 of its 8 queues");
	h = gateway_new();
	device(h, "ens5")->hw =
		(struct netdev_hw){ .driver = "ena", .bus = true, .rx = 4, .rx_max = 8 };
	expect(h, "queues", FINDING_OK, "");
	h = gateway_new();
	device(h, "ens5")->hw =
		(struct netdev_hw){ .driver = "virtio_net", .bus = true, .rx = 8, .rx_max = 8 };
	expect(h, "queues", FINDING_OK, "");
	h = gateway_new();
	device(h, "ens5")->hw = (struct netdev_hw){ .driver = "x", .bus = true };
	expect(h, "queues", FINDING_UNKNOWN, "ens5 does not say");
	h = gateway_new();
	device(h, "ens5")->hw.on = device(h, "ens5")->hw.fixed = NETDEV_GRO_HW;
	expect(h, "gro", FINDING_WARN, "ens5: rx-gro-hw is on and fixed");
	h = gateway_new();
	device(h, "ens5")->hw.on = NETDEV_LRO;
	expect(h, "gro", FINDING_WARN,
	       "ens5: lro is on: native XDP is refused, or switches it off");
	h = gateway_new();
	device(h, "ens5")->vlan = &(struct topology_dev){ .name = "ens5.100", .vlan = 100 };
	device(h, "ens5")->hw.on = NETDEV_RX_VLAN;
	expect(h, "vlan", FINDING_WARN,
	       "VLAN 100 (ens5.100) is on ens5: XDP handles its packets to the port, too, and does not see");
	h = gateway_new();
	device(h, "ens6")->vlan = &(struct topology_dev){ .name = "ens6.100", .vlan = 100 };
	expect(h, "vlan", FINDING_OK, "");
	h = gateway_new();
	h->dev[3].prog_id = 12;
	expect(h, "foreign-xdp", FINDING_FAIL,
	       "vxlan1 has XDP program id 12, which is not ours: the kernel attaches none to ens5");
	h = gateway_new();
	h->dev[3].prog_id = 12;
	h->dev[3].vxlan.routed = true;
	expect(h, "foreign-xdp", FINDING_WARN, "vxlan1 has XDP program id 12");
	h = gateway_new();
	h->dev[3].prog_id = 12;
	h->dev[2].prog_id = 13;
	expect(h, "foreign-xdp", FINDING_FAIL, "ens5: XDP program id 13");
}

/* In mode native what else is generic is in the way, with the exit code of a driver. */
static void native_only(void **state)
{
	struct host *h = gateway_new();
	struct policy policy;

	(void)state;
	judge(h);
	policy = h->choice.policy;
	policy.xdp.mode = ATTACH_NATIVE;
	device(h, "ens5")->features = 0;
	device(h, "ens5")->hw.on = device(h, "ens5")->hw.fixed = NETDEV_LRO;
	h->facts.given = true;
	choose(&h->facts, &policy, &h->choice);
	h->n = findings_make(&h->facts, &h->choice, h->finding);
	for (unsigned int i = 0; i < h->n; i++)
		if (h->finding[i].verdict == FINDING_FAIL) {
			assert_true(!strcmp(h->finding[i].id, "native") ||
				    !strcmp(h->finding[i].id, "gro"));
			assert_int_equal(h->finding[i].exit, N2X_SYSTEM);
			h->finding[0].exit++;
		}
	assert_int_equal(h->finding[0].exit, N2X_NO + 2);
	free(h);
}

static void kernels(void **state)
{
	struct host *h = gateway_new();

	(void)state;
	h->facts.probed.frags = false;
	expect(h, "xdp-frags", FINDING_WARN, "no xdp.frags (5.18), and ens5 has an MTU of 9001");
	h = gateway_new();
	h->facts.probed.jited = false;
	expect(h, "bpf-jit", FINDING_WARN, "interpreted");
	h = gateway_new();
	h->facts.program.ret = -N2X_SYSTEM;
	snprintf(h->facts.program.why.text, 32, "the kernel refused");
	expect(h, "program", FINDING_FAIL, "the kernel refused; lockdown: none");
	h = gateway_new();
	snprintf(h->facts.lockdown, sizeof(h->facts.lockdown), "integrity");
	expect(h, "lockdown", FINDING_OK, "integrity, and the program loads");
	h = gateway_new();
	snprintf(h->facts.lockdown, sizeof(h->facts.lockdown), "confidentiality");
	h->facts.program.asked = false;
	expect(h, "lockdown", FINDING_WARN, "confidentiality");
	h = gateway_new();
	h->facts.nft.ret = -N2X_SYSTEM;
	snprintf(h->facts.nft.why.text, 32, "neither");
	expect(h, "nft", FINDING_FAIL, "neither");
	h = gateway_new();
	h->facts.rewrite.ret = -N2X_SYSTEM;
	snprintf(h->facts.rewrite.why.text, 32, "dropped here");
	expect(h, "user-namespace", FINDING_FAIL, "dropped here");
	h = gateway_new();
	h->facts.journal_free = 1;
	expect(h, "journal", FINDING_WARN, "1 bytes are free");
	h = gateway_new();
	h->facts.other_build = true;
	expect(h, "instance", FINDING_WARN, "another build");
}

static void daemons(void **state)
{
	struct host *h = gateway_new();

	(void)state;
	h->facts.end.busy.ns[0] = 700000000; /* 1,000 in 0.7 s: 1,429 a second */
	expect(h, "capacity", FINDING_WARN, "carries 1000 packets/s and could carry 1429");
	h = gateway_new();
	h->facts.end.busy.ns[0] = 660000000; /* 1,515 */
	expect(h, "capacity", FINDING_OK, "could carry 1515");
	h = gateway_new();
	h->facts.end.sent = 99;
	expect(h, "capacity", FINDING_UNKNOWN, "99 packets");
	h = gateway_new();
	h->facts.waiting.depth = 513;
	expect(h, "queue-depth", FINDING_WARN, "513 packets wait");
	h = gateway_new();
	h->facts.waiting.depth = 512;
	expect(h, "queue-depth", FINDING_OK, "");
	h = gateway_new();
	h->facts.waiting.user_dropped = 1;
	expect(h, "queue-overflow", FINDING_WARN, "0 packets found it full, 1 its receive buffer");
	h = gateway_new();
	h->facts.receive_buffer = 212992;
	expect(h, "receive-buffer", FINDING_WARN, "holds 21 packets of 9001 bytes");
	h = gateway_new();
	h->facts.receive_buffer = 0;
	expect(h, "receive-buffer", FINDING_UNKNOWN, "cannot be read");
	h = gateway_new();
	h->facts.unbound = 4;
	expect(h, "fallback", FINDING_FAIL, "nobody listens on queue 4");
}

static void skews(void **state)
{
	struct host *h = gateway_new();

	(void)state;
	device(h, "ens5")->sample.largest_flow = 800;
	expect(h, "flows", FINDING_WARN, "one flow is 80 %");
	h = gateway_new();
	device(h, "ens5")->sample.largest_flow = 799;
	expect(h, "flows", FINDING_OK, "");
	h = gateway_new();
	device(h, "ens5")->sample.largest_outer_flow = 900;
	expect(h, "flows", FINDING_WARN, "the tunnel's packets are one flow (90 %)");
	for (uint64_t most = 799; most <= 800; most++) {
		h = gateway_new();
		device(h, "ens5")->hw.rx = 2;
		device(h, "ens5")->sample.on_cpus = 1000;
		device(h, "ens5")->sample.largest_cpu = most;
		device(h, "ens5")->sample.cpu = 1;
		expect(h, "rss", most < 800 ? FINDING_OK : FINDING_WARN,
		       most < 800 ? "received 79 %" : "CPU 1 received 80 %");
	}
	h = gateway_new();
	device(h, "ens5")->hw.rx = 2;
	device(h, "ens5")->sample.on_cpus = device(h, "ens5")->sample.largest_cpu = 99;
	expect(h, "rss", FINDING_UNKNOWN, "ens5: of 99 packets the CPU is known: too few");
	h = gateway_new();
	device(h, "ens5")->hw.rx = 2;
	device(h, "ens5")->sample.on_cpus = device(h, "ens5")->sample.largest_cpu = 1000;
	h->facts.cpus = 1;
	expect(h, "rss", FINDING_OK, "one CPU");
	h = gateway_new();
	device(h, "ens5")->sample.id0 = 3;
	expect(h, "ip-id", FINDING_WARN, "3 of 1000 packets have the IPv4 ID 0");
	h = gateway_new();
	device(h, "ens5")->sample.fragments = 2;
	expect(h, "fragments", FINDING_WARN, "2 of 1000 frames are later fragments");
	h = gateway_new();
	device(h, "ens5")->sample.tagged = 1;
	expect(h, "vlan", FINDING_WARN, "1 of 1000 packets of the policy have a VLAN tag");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(healthy),       cmocka_unit_test(nothing_read),
		cmocka_unit_test(attach_points), cmocka_unit_test(vlan_on_bond),
		cmocka_unit_test(large_trees),   cmocka_unit_test(rules),
		cmocka_unit_test(listed),        cmocka_unit_test(written),
		cmocka_unit_test(never_over),    cmocka_unit_test(drivers),
		cmocka_unit_test(native_only),   cmocka_unit_test(kernels),
		cmocka_unit_test(daemons),       cmocka_unit_test(skews),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
