/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The configuration of one instance, as text and as a model.
 *
 *	interface: br0                              # the instance; interface of the netfilter rule
 *	match:    { protocol: udp, dport: [31765] } # optional: encap: vxlan, vni: [1, 2]
 *	action:   { clear-df: { min-length: 0 }, ip-id: keep }  # ip-id: keep | assign
 *	xdp:      { attach: [vxlan1], mode: auto }  # mode: auto | native | generic
 *	nfqueue:  { queue: 0, threads: 1, fail: open, daemon: own }
 *	          # fail: open | closed; daemon: own | external
 *	rollout:  { steps: [1/100, 1/10, 1/2, all], hold: 60s, samples: 1000, give-up-after: 10m,
 *	            lease: 5s, confirm-within: 30m, on-legacy-down: stay-xdp }   # stay-xdp | pass
 *	parity:   { sample: 1/16, accept: [udp-checksum-zeroed] }
 *	          # sample: 1/N | all | 0; accept: none unless given; core/parity_class.h
 *	metrics:  { listen: 127.0.0.1:9465 }        # or off
 *
 * Required: interface, match.dport, xdp.attach. Everything else has the default of
 * policy_defaults().
 */
#pragma once

#include <net/if.h>
#include <stddef.h>
#include <stdint.h>

#include "core/abi.h"
#include "core/err.h"

#define POLICY_ATTACH_MAX  8
#define POLICY_STEPS_MAX   16
#define POLICY_THREADS_MAX 16
#define POLICY_FILE_MAX    65536 /* bytes; a larger file is refused before it is read */

enum attach_mode { ATTACH_AUTO, ATTACH_NATIVE, ATTACH_GENERIC, ATTACH_MODE_MAX };
enum nfq_fail { NFQ_FAIL_OPEN, NFQ_FAIL_CLOSED, NFQ_FAIL_MAX };
enum nfq_daemon {
	NFQ_DAEMON_OWN, /* run nfqueue */
	NFQ_DAEMON_EXTERNAL, /* the operator's: his rule stays, made DF-aware */
	NFQ_DAEMON_MAX
};
enum legacy_down {
	LEGACY_DOWN_STAY, /* XDP keeps the share it has */
	LEGACY_DOWN_PASS, /* share 0: packets pass with DF set */
	LEGACY_DOWN_MAX
};

/* What XDP takes: the two words of struct df_ctl. */
struct share {
	uint32_t kind; /* enum df_share_kind */
	uint32_t n;
};

struct policy {
	const char *file; /* what policy_load() read: the caller's string */
	char interface[IFNAMSIZ];
	struct df_policy df;
	struct {
		char attach[POLICY_ATTACH_MAX][IFNAMSIZ];
		unsigned int n_attach; /* 1..POLICY_ATTACH_MAX */
		enum attach_mode mode;
	} xdp;
	struct {
		uint16_t queue; /* first queue number; queue + threads - 1 is the last */
		uint16_t threads; /* 1..POLICY_THREADS_MAX */
		enum nfq_fail fail;
		enum nfq_daemon daemon;
	} nfqueue;
	struct {
		struct share steps[POLICY_STEPS_MAX];
		unsigned int n_steps;
		uint64_t hold_ns; /* a step lasts at least this long */
		uint32_t samples; /* and until this many matching packets were seen in it */
		uint64_t give_up_ns; /* so long a step may be inconclusive before it goes back */
		uint64_t lease_ns; /* at least 1 s */
		uint64_t confirm_within_ns;
		enum legacy_down on_legacy_down; /* when there is nothing to go back to */
	} rollout;
	struct {
		uint32_t sample; /* one packet in so many is compared on live traffic; 0: none */
		uint32_t accept; /* PARITY_BIT()s that are no difference on the side behind */
	} parity;
	struct {
		char listen[64]; /* where `run` serves metrics, "127.0.0.1:9465"; "": nowhere */
	} metrics;
};

/* Fills *out with the defaults of everything that is not required. */
void policy_defaults(struct policy *out);

/*
 * Reads and checks the YAML file at path. Returns 0, or -errno with err->text set; *out is
 * untouched on failure. Interfaces are checked as names only: whether they exist is asked where
 * they are used.
 */
int policy_load(const char *path, struct policy *out, struct err *err);

/* A number with ms, s, m or h: "60s". Returns 0, -EINVAL, or -ERANGE above 8760h; *out_ns is untouched
 * then. */
int duration_parse(const char *text, uint64_t *out_ns);

/* "1/N", "P%" (by flow), "all", "0". Returns 0, or -EINVAL. *out is untouched on failure. */
int share_parse(const char *text, struct share *out);

/* Every n-th packet (n >= 1), or percent (0..100] of flows. n 1 and 100 percent become
 * DF_SHARE_ALL. */
int share_every(unsigned long n, struct share *out);
int share_percent(double percent, struct share *out);

/* Writes "0", "1/10", "25%" or "all" into buf; returns buf. */
const char *share_format(const struct share *share, char *buf, size_t size);
