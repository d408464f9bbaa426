// SPDX-License-Identifier: GPL-2.0-only
#include "migrate/facts.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/cap.h"
#include "core/instance.h"
#include "core/module.h"
#include "core/util.h"
#include "migrate/machine.h"

_Static_assert(TOPOLOGY_NODES <= SAMPLE_POINTS, "every device can be looked at");

/* A reading is made, and what came of it is kept. */
static bool made(struct fact_try *t, int ret)
{
	t->asked = true;
	t->ret = ret < 0 ? ret : 0;
	return ret >= 0;
}

/* The number in a file of one line; `none` when there is no such file. */
static long read_number(const char *path, long none)
{
	_cleanup_file_ FILE *f = fopen(path, "re");
	long n;

	return f && fscanf(f, "%ld", &n) == 1 ? n : none;
}

void facts_release(struct facts *facts)
{
	topology_release(&facts->topology);
}

const struct facts_device *facts_device(const struct facts *facts, const char *name)
{
	for (unsigned int i = 0; i < facts->n_devices; i++)
		if (!strcmp(facts->device[i].node.dev->name, name))
			return &facts->device[i];
	return NULL;
}

/* Is it a process of this network namespace? */
static bool is_here(const char *pid)
{
	struct stat st;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%.20s/ns/net", pid);
	return stat(path, &st) == 0 && st.st_ino == instance_netns();
}

static bool is_running(const char *name)
{
	_cleanup_dir_ DIR *dir = opendir("/proc");
	const struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		_cleanup_file_ FILE *f = NULL;
		char path[64], comm[32] = "";

		if (entry->d_name[0] < '1' || entry->d_name[0] > '9')
			continue;
		snprintf(path, sizeof(path), "/proc/%.20s/comm", entry->d_name);
		f = fopen(path, "re");
		if (!f || !fgets(comm, sizeof(comm), f))
			continue;
		comm[strcspn(comm, "\n")] = '\0';
		if (!strcmp(comm, name) && is_here(entry->d_name))
			return true;
	}
	return false;
}

/* Units act on the network namespace of the service manager. */
static bool is_enabled(const char *unit)
{
	char path[128];

	snprintf(path, sizeof(path), "/etc/systemd/system/multi-user.target.wants/%s.service",
		 unit);
	if (faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return is_here("1");
	snprintf(path, sizeof(path), "/etc/systemd/system/sysinit.target.wants/%s.service", unit);
	return faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0 && is_here("1");
}

static bool is_listed(const struct legacy_listing *listing, const char *text)
{
	for (int kind = 0; kind < LEGACY_KIND_MAX; kind++)
		if (listing->text[kind] && strstr(listing->text[kind], text))
			return true;
	return false;
}

/* Who flushes or replaces rulesets, by its process, its chains, its unit. */
static void see_flushers(struct facts *facts, const struct legacy_listing *listing)
{
	static const struct {
		const char *name, *process, *chain, *unit;
	} known[] = {
		{ "firewalld", "firewalld", "\"table\": \"firewalld\"", "firewalld" },
		{ "ufw", NULL, "ufw-before-input", "ufw" },
		{ "docker", "dockerd", "DOCKER", "docker" },
		{ "nftables.service", NULL, NULL, "nftables" },
		{ "netfilter-persistent", NULL, NULL, "netfilter-persistent" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(known) && facts->n_flushers < FACTS_FLUSHERS; i++) {
		const char *how = NULL;

		if (known[i].chain && is_listed(listing, known[i].chain))
			how = "its chains are there";
		else if (known[i].process && is_running(known[i].process))
			how = "it runs";
		else if (is_enabled(known[i].unit))
			how = "its unit is enabled";
		if (!how)
			continue;
		facts->flusher[facts->n_flushers].name = known[i].name;
		facts->flusher[facts->n_flushers++].how = how;
	}
}

/* The first rule of the listing that marks packets to one of the policy's ports. */
static void see_mark(struct facts *facts, const char *listing, unsigned int port)
{
	char want[32];

	snprintf(want, sizeof(want), "--dport %u ", port);
	for (const char *line = listing; line && *line; line = strchr(line, '\n')) {
		const int len = (int)strcspn(line += *line == '\n', "\n");
		char text[512];
		const char *rule;

		snprintf(text, sizeof(text), "%.*s", len, line);
		rule = strstr(text, "-A ");
		if (rule && strstr(rule, want) && strstr(rule, " -j MARK ") && !facts->mark[0])
			snprintf(facts->mark, sizeof(facts->mark), "%.150s", rule);
	}
}

static bool has_rules(const char *listing)
{
	return listing && strstr(listing, "] -A ");
}

static void see_listing(struct facts *facts, const struct legacy_listing *listing,
			const struct policy *policy)
{
	struct policy any = { 0 };
	int n;

	snprintf(any.interface, sizeof(any.interface), "%s", facts->interface);
	n = legacy_find_listed(listing, policy ? policy : &any, facts->rule, &facts->rules.why);
	if (made(&facts->rules, n))
		facts->n_rules = (unsigned int)n;
	facts->nft_rules = has_rules(listing->text[LEGACY_IPTABLES_NFT]);
	facts->legacy_rules = has_rules(listing->text[LEGACY_IPTABLES_LEGACY]);
	for (unsigned int i = 0; i < facts->n_rules; i++)
		for (unsigned int p = 0; p < facts->rule[i].n_ports; p++) {
			see_mark(facts, listing->text[LEGACY_IPTABLES_NFT], facts->rule[i].port[p]);
			see_mark(facts, listing->text[LEGACY_IPTABLES_LEGACY],
				 facts->rule[i].port[p]);
		}
	see_flushers(facts, listing);
}

void facts_read_rules(struct facts *facts, const struct policy *policy)
{
	_cleanup_(legacy_listing_release) struct legacy_listing listing = { 0 };

	made(&facts->rights_xdp, cap_require(CAP_NEED_XDP, &facts->rights_xdp.why));
	made(&facts->rights_nfqueue, cap_require(CAP_NEED_NFQUEUE, &facts->rights_nfqueue.why));
	made(&facts->bpffs, xdp_probe_bpffs(&facts->bpffs_read_only, &facts->bpffs.why));
	if (made(&facts->rules, legacy_list(&listing, &facts->rules.why)))
		see_listing(facts, &listing, policy);
	facts->conntrack = read_number("/proc/sys/net/netfilter/nf_conntrack_count", -1);
	facts->bridge_hidden = netdev_bridge_hidden();
}

static void add_tree(struct facts *facts, const struct topology_dev *root)
{
	struct topology_node node[TOPOLOGY_NODES];
	unsigned int left_out, n = topology_walk(&facts->topology, root, node, &left_out);
	const int base = (int)facts->n_devices;

	facts->left_out += left_out;
	for (unsigned int i = 0; i < n; i++) {
		struct facts_device *device = &facts->device[facts->n_devices];

		if (facts->n_devices == TOPOLOGY_NODES) {
			facts->left_out++;
			continue;
		}
		if (facts_device(facts, node[i].dev->name))
			continue;
		*device = (struct facts_device){ .node = node[i] };
		device->node.parent += node[i].parent < 0 ? 0 : base;
		device->hw_known = netdev_hw(node[i].dev->name, &device->hw) == 0;
		device->features_known = netdev_xdp_features(node[i].dev->ifindex,
							     &device->features) == 0;
		facts->n_devices++;
	}
}

/* The packets of a VLAN on one of the tree pass there, too, and are none of the rule's. */
static void see_vlans(struct facts *facts)
{
	const struct topology *t = &facts->topology;

	for (unsigned int i = 0; i < facts->n_devices; i++)
		for (unsigned int k = 0; k < t->n; k++)
			if (!strcmp(t->dev[k].kind, "vlan") &&
			    t->dev[k].lower == facts->device[i].node.dev->ifindex &&
			    !facts_device(facts, t->dev[k].name))
				facts->device[i].vlan = &t->dev[k];
}

void facts_read_devices(struct facts *facts, const struct policy *policy)
{
	const struct topology_dev *dev;

	if (!made(&facts->devices, topology_read(&facts->topology, &facts->devices.why)))
		return;
	dev = topology_find(&facts->topology, facts->interface);
	if (dev)
		add_tree(facts, dev);
	for (unsigned int i = 0; policy && i < policy->xdp.n_attach; i++) {
		const char *name = policy->xdp.attach[i];

		dev = topology_find(&facts->topology, name);
		if (!dev)
			snprintf(facts->missing, sizeof(facts->missing), "%s", name);
		else if (!facts_device(facts, name))
			add_tree(facts, dev);
	}
	see_vlans(facts);
}

/* What the listener's socket may hold: asked of a copy of it, which is closed at once. */
static int receive_buffer(const struct legacy_listener *listener)
{
	_cleanup_close_ int pidfd = (int)syscall(SYS_pidfd_open, listener->pid, 0);
	_cleanup_close_ int fd = pidfd < 0 ? -1
					   : (int)syscall(SYS_pidfd_getfd, pidfd, listener->fd, 0);
	socklen_t len = sizeof(int);
	int bytes = 0;

	if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, &len) < 0)
		return 0;
	return bytes;
}

/* Summed over the queues. */
static struct nfq_queue_info read_queues(const struct facts *facts)
{
	struct nfq_queue_info sum = { .portid = facts->listener.portid };

	for (unsigned int i = 0; i < facts->queues; i++) {
		struct nfq_queue_info one;

		if (nfq_queue_read((uint16_t)(facts->queue + i), &one) < 0)
			continue;
		sum.depth += one.depth;
		sum.dropped += one.dropped;
		sum.user_dropped += one.user_dropped;
		sum.sent += one.sent;
	}
	return sum;
}

void facts_read_listener(struct facts *facts, uint16_t queue, uint16_t queues)
{
	struct nfq_queue_info one;

	facts->rmem_max = read_number("/proc/sys/net/core/rmem_max", 0);
	facts->queue = queue;
	facts->queues = queues;
	facts->unbound = -1;
	if (!made(&facts->listening,
		  legacy_listener(queue, &facts->listener, &facts->listening.why)))
		return;
	for (int i = queues - 1; i >= 0; i--)
		if (nfq_queue_read((uint16_t)(queue + i), &one) < 0)
			facts->unbound = queue + i;
	facts->waiting = read_queues(facts);
	if (facts->listener.pid)
		facts->receive_buffer = receive_buffer(&facts->listener);
}

static void look(const struct facts *facts, struct facts_window *window)
{
	if (facts->listener.pid)
		fallback_busy(facts->listener.pid, &window->busy);
	window->sent = read_queues(facts).sent;
	window->at_ns = machine_now_ns();
}

/* Where in its frames are the packets? Inside, where it carries a VXLAN of the tree; or the policy says. */
static bool is_encapsulated(const struct facts *facts, const struct facts_device *device,
			    const struct policy *policy)
{
	const int parent = device->node.parent;

	for (unsigned int i = 0; i < policy->xdp.n_attach; i++)
		if (!strcmp(policy->xdp.attach[i], device->node.dev->name))
			return policy->df.encap == DF_ENCAP_VXLAN;
	return parent >= 0 && !strcmp(facts->device[parent].node.dev->kind, "vxlan");
}

/* Everywhere in the tree: where packets are seen and where not says where XDP belongs. */
static struct sample *open_samples(const struct facts *facts, const struct policy *policy)
{
	struct sample_point point[TOPOLOGY_NODES];
	struct sample *sample = NULL;

	if (!facts->n_devices || module_state("af_packet") != MODULE_THERE)
		return NULL;
	for (unsigned int i = 0; i < facts->n_devices; i++) {
		const struct facts_device *device = &facts->device[i];

		point[i] = (struct sample_point){ device->node.dev->ifindex, policy->df };
		point[i].policy.n_vni = 0;
		point[i].policy.encap = is_encapsulated(facts, device, policy) ? DF_ENCAP_VXLAN
									       : DF_ENCAP_NONE;
	}
	return sample_open(point, facts->n_devices, &sample) == 0 ? sample : NULL;
}

void facts_look_at_traffic(struct facts *facts, const struct policy *policy, unsigned int ms)
{
	struct sample_count counted[TOPOLOGY_NODES];
	struct sample *sample = open_samples(facts, policy);

	facts->cpus = sysconf(_SC_NPROCESSORS_ONLN);
	look(facts, &facts->begin);
	poll(NULL, 0, (int)ms);
	look(facts, &facts->end);
	if (!sample)
		return;
	sample_close(sample, counted);
	facts->sampled = true;
	for (unsigned int i = 0; i < facts->n_devices; i++)
		facts->device[i].sample = counted[i];
}

/* "none [integrity] confidentiality" */
static void read_lockdown(struct facts *facts)
{
	_cleanup_file_ FILE *f = fopen("/sys/kernel/security/lockdown", "re");

	if (f && fscanf(f, "%*[^[][%31[^]]", facts->lockdown) != 1 &&
	    (rewind(f), fscanf(f, "[%31[^]]", facts->lockdown) != 1))
		facts->lockdown[0] = '\0';
}

/* Where the journal would be, or the nearest directory above that is there. */
static int read_journal(struct facts *facts, const char *interface)
{
	char path[PATH_MAX];
	struct statvfs fs;

	snprintf(path, sizeof(path), "%s/%s", INSTANCE_LIB_DIR, interface);
	while (access(path, F_OK) < 0 && strrchr(path, '/') != path)
		*strrchr(path, '/') = '\0';
	if (access(path, W_OK) < 0)
		return err_set(&facts->journal.why, N2X_SYSTEM, "%s: %s", path, strerror(errno));
	if (statvfs(path, &fs) < 0)
		return err_set(&facts->journal.why, N2X_SYSTEM, "%s: %s", path, strerror(errno));
	facts->journal_free = (uint64_t)fs.f_bavail * fs.f_frsize;
	return 0;
}

static int read_instance(struct facts *facts, const struct policy *policy)
{
	struct err *why = &facts->instance.why;
	bool already;
	int ret = xdp_read(policy->interface, &facts->xdp, why);

	facts->other_build = ret == -N2X_INACTIVE && xdp_pinned(policy->interface);
	if (ret == 0 && facts->given)
		return machine_started(policy, &already, why);
	return ret == -N2X_INACTIVE ? 0 : ret;
}

static void read_tables(struct facts *facts, const struct policy *policy)
{
	if (made(&facts->table, nft_read(policy->interface, &facts->counters, &facts->table.why)))
		made(&facts->fallback_read,
		     fallback_read(policy, &facts->fallback, &facts->fallback_read.why));
	made(&facts->rewrite, nft_may_rewrite(&facts->rewrite.why));
	/* Asking loads what it needs: not where that is still to be loaded. */
	if (module_state("nft_queue") != MODULE_LOADABLE)
		made(&facts->nft, nft_probe(policy, &facts->form, &facts->nft.why));
}

void facts_read_system(struct facts *facts, const struct policy *policy)
{
	if (facts->rights_xdp.ret == 0) {
		xdp_probe(policy, &facts->probed);
		facts->program.why = facts->probed.why;
		made(&facts->program, facts->probed.linear ? 0 : -N2X_SYSTEM);
	}
	if (facts->rights_nfqueue.ret == 0 && module_state("nf_tables") == MODULE_THERE)
		read_tables(facts, policy);
	if (facts->bpffs.ret == 0)
		made(&facts->instance, read_instance(facts, policy));
	made(&facts->journal, read_journal(facts, policy->interface));
	read_lockdown(facts);
}
