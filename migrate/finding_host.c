// SPDX-License-Identifier: GPL-2.0-only
/* Checks of the kernel, the rights, and what nfq2xdp itself needs. */
#include "migrate/finding_check.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MTU_PAGE      1500 /* fits one page with headroom and tail on every driver */
#define JOURNAL_BYTES (16ULL << 20) /* a day of a rollout's lines */

enum finding_verdict check_rights(struct check *c)
{
	const struct fact_try *xdp = &c->facts->rights_xdp, *nfq = &c->facts->rights_nfqueue;
	const char *why;

	if (!xdp->asked || !nfq->asked)
		return unknown(c, "not read");
	if (xdp->ret == 0 && nfq->ret == 0)
		return ok(c, "all that XDP and NFQUEUE need");
	why = nfq->ret ? nfq->why.text : xdp->why.text;
	if (!strncmp(why, "CAP_", 4))
		mend(c, "sudo nfq2xdp plan");
	return fail_as(c, N2X_SYSTEM, "%s", why);
}

enum finding_verdict check_bpffs(struct check *c)
{
	if (!c->facts->bpffs.asked)
		return unknown(c, "not read");
	if (c->facts->bpffs.ret == 0)
		return ok(c, "a BPF file system is on /sys/fs/bpf");
	mend(c, c->facts->bpffs_read_only ? "mount -o remount,rw /sys/fs/bpf"
					  : "mount -t bpf bpf /sys/fs/bpf");
	return fail_as(c, N2X_SYSTEM, "%s", c->facts->bpffs.why.text);
}

enum finding_verdict check_program(struct check *c)
{
	const char *lockdown = c->facts->lockdown;

	if (!c->facts->program.asked)
		return unknown(c, "not tried: %s",
			       c->facts->rights_xdp.ret ? "the rights are missing"
							: "there is no policy");
	if (c->facts->program.ret == 0)
		return ok(c, "this kernel loads it (tried, and taken away again)");
	mend(c, "nfq2xdp plan -v");
	return fail_as(c, N2X_SYSTEM, "%s%s%s", c->facts->program.why.text,
		       *lockdown ? "; lockdown: " : "", lockdown);
}

enum finding_verdict check_frags(struct check *c)
{
	const struct facts_device *device;

	if (!c->facts->program.asked)
		return unknown(c, "not tried");
	if (c->facts->probed.frags)
		return ok(c, "this kernel has xdp.frags: packets of several pages");
	for (unsigned int i = 0; (device = check_next(c, &i));)
		if (device->node.dev->mtu > MTU_PAGE)
			return warn(
				c,
				"this kernel has no xdp.frags (5.18), and %s has an MTU of %u: the "
				"driver decides whether it takes the program natively",
				check_name(device), device->node.dev->mtu);
	return ok(c, "this kernel has no xdp.frags (5.18), and no MTU here needs it");
}

enum finding_verdict check_jit(struct check *c)
{
	if (!c->facts->program.asked || c->facts->program.ret)
		return unknown(c, "the program was not loaded");
	if (c->facts->probed.jited)
		return ok(c, "the program is compiled");
	mend(c, "sysctl -w net.core.bpf_jit_enable=1");
	return warn(c, "the program is interpreted: several times slower");
}

enum finding_verdict check_lockdown(struct check *c)
{
	const char *lockdown = c->facts->lockdown;

	if (!*lockdown)
		return unknown(c,
			       "/sys/kernel/security/lockdown cannot be read; what matters of it "
			       "is whether the program loads");
	if (c->facts->program.asked && c->facts->program.ret == 0)
		return ok(c, "%s, and the program loads", lockdown);
	if (!strcmp(lockdown, "none"))
		return ok(c, "none");
	mend(c, "cat /sys/kernel/security/lockdown   # set by the boot loader, or by Secure Boot");
	return warn(c, "%s, and the program was not seen to load", lockdown);
}

enum finding_verdict check_nft(struct check *c)
{
	const struct nft_installed *form = &c->facts->form;

	if (!c->facts->nft.asked)
		return unknown(
			c, "not tried: it would load kernel modules, or the rights are missing");
	if (c->facts->nft.ret == 0)
		return ok(c, "this kernel takes our table: %s, owner flag %s",
			  form->compat ? "xt NFQUEUE through nft_compat" : "nft queue",
			  form->owner ? "on" : "off (before 5.12: others can flush it)");
	mend(c, "modprobe nft_queue");
	return fail_as(c, N2X_SYSTEM, "%s", c->facts->nft.why.text);
}

enum finding_verdict check_userns(struct check *c)
{
	if (!c->facts->rewrite.asked)
		return unknown(c, "not tried");
	if (c->facts->rewrite.ret == 0)
		return ok(c, "what a verdict of NFQUEUE rewrites gets through here");
	mend(c,
	     "lsns -t user   # which one: a namespace that the host's root made has no such limit");
	return fail_as(c, N2X_SYSTEM, "%s", c->facts->rewrite.why.text);
}

enum finding_verdict check_table(struct check *c)
{
	const struct nft_counters *counters = &c->facts->counters;
	char table[NFT_TABLE_MAX] = "";

	if (fact_missing(&c->facts->table) || !c->policy)
		return unknown(c, "%s", fact_missing(&c->facts->table) ?: "there is no policy");
	nft_table_name(c->policy->interface, table);
	if (!counters->present)
		return ok(c, "the name of our table, %s, is free", table);
	if (!counters->foreign)
		return ok(c, "table ip %s is ours", table);
	mend(c, "nft list table ip %s   # whose is it?", table);
	return fail_as(c, N2X_FOREIGN, "table ip %s has other chains than ours", table);
}

enum finding_verdict check_instance(struct check *c)
{
	const struct facts *f = c->facts;

	if (!f->instance.asked)
		return unknown(c, "not read: no policy, or no bpffs");
	if (f->other_build) {
		mend(c, "nfq2xdp migrate start -c FILE   # takes it over, at share 0");
		return warn(c, "another build of nfq2xdp is attached");
	}
	if (f->instance.ret == -N2X_SYSTEM)
		return unknown(c, "%s", f->instance.why.text);
	if (f->instance.ret) {
		mend(c, "nfq2xdp migrate rollback --detach -c FILE");
		return fail(c, "%s", f->instance.why.text);
	}
	if (!f->xdp.n_points)
		return ok(c, "nothing of nfq2xdp is attached");
	mend(c, "nfq2xdp migrate status -c FILE");
	return ok(c, "nfq2xdp is attached already");
}

enum finding_verdict check_journal(struct check *c)
{
	const struct facts *f = c->facts;

	if (!f->journal.asked)
		return unknown(c, "there is no policy");
	mend(c, "df -h /var/lib; mount | grep /var");
	if (f->journal.ret)
		return fail_as(c, N2X_SYSTEM, "%s: a rollout keeps its journal there",
			       f->journal.why.text);
	if (f->journal_free < JOURNAL_BYTES)
		return warn(c,
			    "%" PRIu64
			    " bytes are free for the journal: a rollout that cannot write it "
			    "goes back",
			    f->journal_free);
	c->out->command[0] = '\0';
	return ok(c, "there is room for it");
}
