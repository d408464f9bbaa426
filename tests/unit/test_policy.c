// SPDX-License-Identifier: GPL-2.0-only
/* core/policy.c and core/policy_yaml.c: every key, every refusal with its whole message. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/parity_class.h"
#include "core/policy.h"
#include "core/util.h"

#define SEC 1000000000ULL

/* The text of core/policy.h, as it stands there. */
static const char canonical[] =
	"interface: br0                              # the instance; interface of the netfilter rule\n"
	"match:    { protocol: udp, dport: [31765] } # optional: encap: vxlan, vni: [1, 2]\n"
	"action:   { clear-df: { min-length: 0 }, ip-id: keep }  # ip-id: keep | assign\n"
	"xdp:      { attach: [vxlan1], mode: auto }  # mode: auto | native | generic\n"
	"nfqueue:  { queue: 0, threads: 1, fail: open, daemon: own }\n"
	"          # fail: open | closed; daemon: own | external\n"
	"rollout:  { steps: [1/100, 1/10, 1/2, all], hold: 60s, samples: 1000, give-up-after: 10m,\n"
	"            lease: 5s, confirm-within: 30m, on-legacy-down: stay-xdp }   # stay-xdp | pass\n"
	"parity:   { sample: 1/16, accept: [udp-checksum-zeroed] }\n"
	"          # sample: 1/N | all | 0; accept: none unless given; core/parity_class.h\n"
	"metrics:  { listen: 127.0.0.1:9465 }        # or off\n";

/* No key has its default. */
static const char other[] = "%YAML 1.1\n"
			    "---\n"
			    "interface: \"eth0.100\"\n"
			    "match:\n"
			    "  encap: vxlan\n"
			    "  vni: [0, 16777215]\n"
			    "  dport:\n"
			    "  - 1\n"
			    "  - '65535'\n"
			    "action:\n"
			    "  clear-df:\n"
			    "    min-length: 65535\n"
			    "  ip-id: assign\n"
			    "xdp:\n"
			    "  attach: [ens5, abcdefghijklmno]\n"
			    "  mode: native\n"
			    "nfqueue: {queue: 65534, threads: 2, fail: closed, daemon: external}\n"
			    "rollout:\n"
			    "  steps: [0.5%, 1/100, 25%, 1/2]\n"
			    "  hold: 500ms\n"
			    "  samples: 1000000000\n"
			    "  give-up-after: 1s\n"
			    "  lease: 1s\n"
			    "  confirm-within: 8760h\n"
			    "  on-legacy-down: pass\n"
			    "parity:\n"
			    "  sample: all\n"
			    "  accept:\n"
			    "  - seen-only-behind\n"
			    "  - df-not-cleared\n"
			    "metrics: {listen: '[::1]:1'}\n"
			    "...\n";

/* Three good lines: what a row adds is line 4. */
#define BASE  "interface: br0\nmatch: {dport: [1]}\nxdp: {attach: [v]}\n"
#define MATCH "interface: br0\nxdp: {attach: [v]}\nmatch:\n" /* the same for a key of match */

struct row {
	const char *name, *text;
	size_t size;
	const char *message; /* behind the path */
};
#define ROW(name, text, message)                      \
	{                                             \
		name, text, sizeof(text) - 1, message \
	}

#define TOP_KEYS "interface, match, action, xdp, nfqueue, rollout, parity or metrics"
#define SHARES   ": use 1/N, P% or all"
#define DURATION " is not a duration: use a number with ms, s, m or h, as in 60s"
#define NAME     " is not an interface name: use 1 to 15 bytes without space, / or :"
#define SAMPLES  " is not a number of packets: use 1 to 1000000000"
#define CLASSES                                                                               \
	"df-not-cleared, df-cleared-wrongly, ip-checksum-wrong, ip-checksum-zeroed, "         \
	"ip-checksum-not-updated, udp-checksum-zeroed, udp-checksum-changed, ip-id-changed, " \
	"ip-id-not-assigned, length, payload, other-header-field, around, dropped, counter, " \
	"seen-only-by-xdp or seen-only-behind"
#define FIVE  "1, 2, 3, 4, 5"
#define FORTY "0123456789012345678901234567890123456789"

static const struct row bad[] = {
	/* Not YAML, or not a mapping. */
	ROW("empty", "", ":1: no policy in this file: start with interface: NAME"),
	ROW("comment", "# nothing\n", ":1: no policy in this file: start with interface: NAME"),
	ROW("marker", "---\n", ":2: not a mapping of keys to values: start with interface: NAME"),
	ROW("list", "\n[a]\n", ":2: not a mapping of keys to values: start with interface: NAME"),
	ROW("scalar", "foo", ":1: not a mapping of keys to values: start with interface: NAME"),
	ROW("nul", "a: b\nfoo\0bar\n",
	    ":2: control characters are not allowed: write the file as UTF-8 text"),
	ROW("utf-8", "a\n\n\xff\n",
	    ":3: invalid leading UTF-8 octet: write the file as UTF-8 text"),
	ROW("elf",
	    "\x7f"
	    "ELF\2\1\1",
	    ":1: control characters are not allowed: write the file as UTF-8 text"),
	ROW("escaped nul", "interface: \"br0\\0x\"\n", ":1: a value has a NUL in it: remove it"),
	ROW("unclosed", "interface: br0\nmatch: {dport: [1]\n",
	    ":3: while parsing a flow mapping: did not find expected ',' or '}': correct the YAML"),
	ROW("tab", "\ta: b\n",
	    ":1: while scanning for the next token: found character that cannot start any token: correct the YAML"),
	ROW("indent", "a: b\n c: d\n",
	    ":2: mapping values are not allowed in this context: correct the YAML"),
	ROW("yaml 2", "%YAML 2.0\n---\na: b\n",
	    ":1: found incompatible YAML document: correct the YAML"),
	ROW("two anchors", "a: &x 1\nb: &x 1\n",
	    ":2: found duplicate anchor; first occurrence: second occurrence: correct the YAML"),
	ROW("two documents", BASE "---\na: b\n",
	    ":4: a second document starts here: keep one in a file"),
	ROW("alias", "interface: &x br0\nmatch: {dport: [*x]}\n",
	    ":2: *x: an alias: write the value itself"),
	ROW("alias to nothing", BASE "rollout: *x\n", ":4: *x: an alias: write the value itself"),
	ROW("alias to itself", BASE "rollout: &x\n  hold: *x\n",
	    ":5: *x: an alias: write the value itself"),
	ROW("alias as key", "interface: &x br0\n*x : 3\n",
	    ":2: *x: an alias: write the value itself"),
	ROW("deep", "a: [[[\n[[[[[[\n", ":2: more than 8 levels: write the keys as in the example"),
	ROW("list as key", BASE "? [a]\n: b\n", ":4: a key is not a word: use a word"),

	/* Keys. */
	ROW("twice", BASE "xdp: 1\n", ":4: xdp: given twice: remove one"),
	ROW("twice inside", "interface: br0\nmatch:\n  dport: [1]\n  dport: [2]\n",
	    ":4: dport: given twice: remove one"),
	ROW("unknown", BASE "intreface: br1\n", ":4: intreface: unknown key: use " TOP_KEYS),
	ROW("unknown inside", MATCH "  sport: [1]\n  dport: [1]\n",
	    ":4: match.sport: unknown key: use protocol, dport, encap or vni"),
	ROW("unknown below", BASE "action:\n  ip-id: keep\n  clear-df:\n    max: 1\n",
	    ":7: action.clear-df.max: unknown key: use min-length"),
	ROW("unknown in nfqueue", BASE "nfqueue: {deamon: own}\n",
	    ":4: nfqueue.deamon: unknown key: use queue, threads, fail or daemon"),
	ROW("unknown in rollout", BASE "rollout:\n  hold: 1s\n  give-up: 1s\n",
	    ":6: rollout.give-up: unknown key: use steps, hold, samples, give-up-after, lease, "
	    "confirm-within or on-legacy-down"),
	ROW("misspelt and so missing", "interfce: br0\nmatch: {dport: [1]}\nxdp: {attach: [v]}\n",
	    ":1: interfce: unknown key: use " TOP_KEYS),
	ROW("merge", BASE "<<: {a: b}\n", ":4: <<: unknown key: use " TOP_KEYS),
	ROW("control characters", BASE "\"a\\n\\e[31m\\x9b\": 1\n",
	    ":4: a??[31m??: unknown key: use " TOP_KEYS),
	ROW("long key", BASE FORTY "x: 1\n", ":4: " FORTY ": unknown key: use " TOP_KEYS),
	ROW("no interface", "\n\nmatch: {dport: [1]}\nxdp: {attach: [v]}\n",
	    ":3: interface: required and missing: add it"),
	ROW("no match", "interface: br0\nxdp: {attach: [v]}\n",
	    ":1: match: required and missing: add it"),
	ROW("no xdp", "interface: br0\nmatch: {dport: [1]}\n",
	    ":1: xdp: required and missing: add it"),
	ROW("no dport", "interface: br0\nxdp: {attach: [v]}\nmatch:\n  protocol: udp\n",
	    ":4: match.dport: required and missing: add it"),
	ROW("no attach", "interface: br0\nmatch: {dport: [1]}\nxdp: {}\n",
	    ":3: xdp.attach: required and missing: add it"),

	/* Shapes. */
	ROW("match empty", "interface: br0\nmatch:\nxdp: {attach: [v]}\n",
	    ":2: match: not a mapping: write { KEY: VALUE }"),
	ROW("rollout a list", BASE "rollout: [a]\n",
	    ":4: rollout: not a mapping: write { KEY: VALUE }"),
	ROW("dport a number", MATCH "  dport: 80\n", ":4: match.dport: not a list: write [VALUE]"),
	ROW("dport in dport", MATCH "  dport:\n  - 80\n  - [81]\n",
	    ":6: match.dport: not a single value: write one word or number"),
	ROW("queue a list", BASE "nfqueue: {queue: [1]}\n",
	    ":4: nfqueue.queue: not a single value: write one word or number"),
	ROW("interface a list", "interface: [br0]\n",
	    ":1: interface: not a single value: write one word or number"),
	ROW("interface empty", "interface:\nmatch: {dport: [1]}\nxdp: {attach: [v]}\n",
	    ":1: interface: empty: give a value or remove the key"),
	ROW("attach empty", "interface: br0\nmatch: {dport: [1]}\nxdp:\n  attach:\n  - v\n  -\n",
	    ":6: xdp.attach: empty: give a value or remove the key"),
	ROW("hold empty", BASE "rollout: {hold: }\n",
	    ":4: rollout.hold: empty: give a value or remove the key"),
	ROW("long value", BASE "rollout: {hold: " FORTY FORTY "}\n",
	    ":4: rollout.hold: too long: use at most 63 characters"),
	ROW("dport none", MATCH "  dport: []\n",
	    ":4: match.dport: an empty list: give at least one entry"),
	ROW("vni none", MATCH "  dport: [1]\n  encap: vxlan\n  vni: []\n",
	    ":6: match.vni: an empty list: give at least one entry"),
	ROW("attach none", "interface: br0\nmatch: {dport: [1]}\nxdp: {attach: []}\n",
	    ":3: xdp.attach: an empty list: give at least one entry"),
	ROW("steps none", BASE "rollout: {steps: []}\n",
	    ":4: rollout.steps: an empty list: give at least one entry"),
	ROW("17 ports", MATCH "  dport: [" FIVE ", " FIVE ", " FIVE ", 6, 7]\n",
	    ":4: match.dport: too many entries: use at most 16"),
	ROW("17 vnis", MATCH "  dport: [1]\n  vni: [" FIVE ", " FIVE ", " FIVE ", 6, 7]\n",
	    ":5: match.vni: too many entries: use at most 16"),
	ROW("17 steps", BASE "rollout: {steps: [" FIVE ", " FIVE ", " FIVE ", 6, 7]}\n",
	    ":4: rollout.steps: too many entries: use at most 16"),
	ROW("9 interfaces",
	    "interface: br0\nmatch: {dport: [1]}\nxdp: {attach: [a, b, c, d, e, f, g, h, i]}\n",
	    ":3: xdp.attach: too many entries: use at most 8"),

	/* Words. */
	ROW("tcp", MATCH "  dport: [1]\n  protocol: tcp\n",
	    ":5: match.protocol: unknown word tcp: use udp"),
	ROW("enum by number", MATCH "  dport: [1]\n  encap: 1\n",
	    ":5: match.encap: unknown word 1: use none or vxlan"),
	ROW("enum by case", BASE "action: {ip-id: Keep}\n",
	    ":4: action.ip-id: unknown word Keep: use keep or assign"),
	ROW("mode", "interface: br0\nmatch: {dport: [1]}\nxdp: {attach: [v], mode: offload}\n",
	    ":3: xdp.mode: unknown word offload: use auto, native or generic"),
	ROW("fail empty", BASE "nfqueue: {fail: }\n",
	    ":4: nfqueue.fail: not a word: use open or closed"),
	ROW("fail a list", BASE "nfqueue: {fail: [open]}\n",
	    ":4: nfqueue.fail: not a word: use open or closed"),
	ROW("daemon", BASE "nfqueue:\n  daemon: theirs\n",
	    ":5: nfqueue.daemon: unknown word theirs: use own or external"),
	ROW("daemon by case", BASE "nfqueue: {daemon: External}\n",
	    ":4: nfqueue.daemon: unknown word External: use own or external"),
	ROW("daemon by number", BASE "nfqueue: {daemon: 1}\n",
	    ":4: nfqueue.daemon: unknown word 1: use own or external"),
	ROW("daemon empty", BASE "nfqueue: {daemon: }\n",
	    ":4: nfqueue.daemon: not a word: use own or external"),
	ROW("daemon a mapping", BASE "nfqueue: {daemon: {pid: 1}}\n",
	    ":4: nfqueue.daemon: not a word: use own or external"),
	ROW("on-legacy-down", BASE "rollout: {on-legacy-down: stay}\n",
	    ":4: rollout.on-legacy-down: unknown word stay: use stay-xdp or pass"),
	ROW("on-legacy-down by case", BASE "rollout:\n  hold: 1s\n  on-legacy-down: Pass\n",
	    ":6: rollout.on-legacy-down: unknown word Pass: use stay-xdp or pass"),
	ROW("on-legacy-down empty", BASE "rollout: {on-legacy-down: ''}\n",
	    ":4: rollout.on-legacy-down: not a word: use stay-xdp or pass"),
	ROW("on-legacy-down a list", BASE "rollout: {on-legacy-down: [pass]}\n",
	    ":4: rollout.on-legacy-down: not a word: use stay-xdp or pass"),

	/* Numbers. */
	ROW("port 0", MATCH "  dport: [0]\n", ":4: match.dport: 0 is not a port: use 1 to 65535"),
	ROW("port 65536", MATCH "  dport: [65536]\n",
	    ":4: match.dport: 65536 is not a port: use 1 to 65535"),
	ROW("port on its line", MATCH "  dport:\n  - 80\n  - x\n",
	    ":6: match.dport: x is not a port: use 1 to 65535"),
	ROW("port -1", MATCH "  dport: [-1]\n",
	    ":4: match.dport: -1 is not a port: use 1 to 65535"),
	ROW("port +1", MATCH "  dport: [+1]\n",
	    ":4: match.dport: +1 is not a port: use 1 to 65535"),
	ROW("port 1.5", MATCH "  dport: [1.5]\n",
	    ":4: match.dport: 1.5 is not a port: use 1 to 65535"),
	ROW("port 0x50", MATCH "  dport: [0x50]\n",
	    ":4: match.dport: 0x50 is not a port: use 1 to 65535"),
	ROW("port ' 1'", MATCH "  dport: [' 1']\n",
	    ":4: match.dport:  1 is not a port: use 1 to 65535"),
	ROW("port 080", MATCH "  dport: [080]\n",
	    ":4: match.dport: 080: YAML reads a leading zero as octal: remove it"),
	ROW("port 2^64 + 1", MATCH "  dport: [18446744073709551617]\n",
	    ":4: match.dport: 18446744073709551617 is not a port: use 1 to 65535"),
	ROW("port twice", MATCH "  dport:\n  - 80\n  - 81\n  - '80'\n",
	    ":7: match.dport: 80 is given twice: remove one"),
	ROW("vni 2^24", MATCH "  dport: [1]\n  encap: vxlan\n  vni: [16777216]\n",
	    ":6: match.vni: 16777216 is not a VNI: use 0 to 16777215"),
	ROW("vni twice", MATCH "  dport: [1]\n  encap: vxlan\n  vni: [7, 7]\n",
	    ":6: match.vni: 7 is given twice: remove one"),
	ROW("vni without encap", MATCH "  dport: [1]\n  vni: [7]\n",
	    ":5: match.vni: only VXLAN has VNIs: add encap: vxlan or remove vni"),
	ROW("vni with encap none", MATCH "  dport: [1]\n  vni: [7]\n  encap: none\n",
	    ":5: match.vni: only VXLAN has VNIs: add encap: vxlan or remove vni"),
	ROW("min-length", BASE "action: {clear-df: {min-length: 65536}}\n",
	    ":4: action.clear-df.min-length: 65536 is not a length: use 0 to 65535"),
	ROW("queue", BASE "nfqueue: {queue: 65536}\n",
	    ":4: nfqueue.queue: 65536 is not a queue number: use 0 to 65535"),
	ROW("threads 0", BASE "nfqueue: {threads: 0}\n",
	    ":4: nfqueue.threads: 0 is not a number of threads: use 1 to 16"),
	ROW("threads 17", BASE "nfqueue: {threads: 17}\n",
	    ":4: nfqueue.threads: 17 is not a number of threads: use 1 to 16"),
	ROW("last queue", BASE "nfqueue:\n  queue: 65535\n  threads: 2\n",
	    ":6: nfqueue.threads: 2 from queue 65535 on end above queue 65535: lower queue or threads"),

	/* Names. */
	ROW("interface with slash", "interface: a/b\nmatch: {dport: [1]}\nxdp: {attach: [v]}\n",
	    ":1: interface: a/b" NAME),
	ROW("interface dots", "interface: ..\nmatch: {dport: [1]}\nxdp: {attach: [v]}\n",
	    ":1: interface: .." NAME),
	ROW("attach dot", "interface: br0\nmatch: {dport: [1]}\nxdp: {attach: [.]}\n",
	    ":3: xdp.attach: ." NAME),
	ROW("attach with colon", "interface: br0\nmatch: {dport: [1]}\nxdp: {attach: ['a:b']}\n",
	    ":3: xdp.attach: a:b" NAME),
	ROW("attach with space", "interface: br0\nmatch: {dport: [1]}\nxdp: {attach: [a, b c]}\n",
	    ":3: xdp.attach: b c" NAME),
	ROW("attach with tab", "interface: br0\nmatch: {dport: [1]}\nxdp: {attach: [\"a\\tb\"]}\n",
	    ":3: xdp.attach: a?b" NAME),
	ROW("attach with bell", "interface: br0\nmatch: {dport: [1]}\nxdp: {attach: [\"a\\ab\"]}\n",
	    ":3: xdp.attach: a?b" NAME),
	ROW("attach with DEL",
	    "interface: br0\nmatch: {dport: [1]}\nxdp: {attach: [\"a\\x7fb\"]}\n",
	    ":3: xdp.attach: a?b" NAME),
	/* Byte 0xa0 is a space to the kernel, and the second one of this letter. */
	ROW("attach with 0xa0", "interface: br0\nmatch: {dport: [1]}\nxdp: {attach: [\xc3\xa0]}\n",
	    ":3: xdp.attach: ??" NAME),
	ROW("16 bytes", "interface: br0\nmatch: {dport: [1]}\nxdp: {attach: [abcdefghijklmnop]}\n",
	    ":3: xdp.attach: abcdefghijklmnop" NAME),
	ROW("long name", "interface: br0\nmatch: {dport: [1]}\nxdp: {attach: [" FORTY "x]}\n",
	    ":3: xdp.attach: " FORTY NAME),
	ROW("attach twice", "interface: br0\nmatch: {dport: [1]}\nxdp: {attach: [v, w, v]}\n",
	    ":3: xdp.attach: v is given twice: remove one"),

	/* Rollout. */
	ROW("step 0", BASE "rollout: {steps: [0]}\n",
	    ":4: rollout.steps: a step of 0 moves nothing" SHARES),
	ROW("step 2/3", BASE "rollout: {steps: [2/3]}\n",
	    ":4: rollout.steps: 2/3 is not a share" SHARES),
	ROW("step %", BASE "rollout:\n  steps:\n  - 1/10\n  - '%n%s'\n",
	    ":7: rollout.steps: %n%s is not a share" SHARES),
	ROW("steps equal", BASE "rollout: {steps: [1/10, 1/10]}\n",
	    ":4: rollout.steps: 1/10 is not above 1/10 before it: make steps rise"),
	ROW("steps equal in two ways", BASE "rollout: {steps: [1/10, 10%]}\n",
	    ":4: rollout.steps: 10% is not above 1/10 before it: make steps rise"),
	ROW("steps all", BASE "rollout: {steps: [all, 1/1]}\n",
	    ":4: rollout.steps: 1/1 is not above all before it: make steps rise"),
	ROW("steps fall", BASE "rollout:\n  steps:\n  - 50%\n  - 1/3\n",
	    ":7: rollout.steps: 1/3 is not above 50% before it: make steps rise"),
	ROW("hold without unit", BASE "rollout: {hold: 60}\n", ":4: rollout.hold: 60" DURATION),
	ROW("hold 0", BASE "rollout: {hold: 0s}\n", ":4: rollout.hold: 0s" DURATION),
	ROW("hold 1.5s", BASE "rollout: {hold: 1.5s}\n", ":4: rollout.hold: 1.5s" DURATION),
	ROW("hold 1m30s", BASE "rollout: {hold: 1m30s}\n", ":4: rollout.hold: 1m30s" DURATION),
	ROW("hold -1s", BASE "rollout: {hold: -1s}\n", ":4: rollout.hold: -1s" DURATION),
	ROW("hold s", BASE "rollout: {hold: s}\n", ":4: rollout.hold: s" DURATION),
	ROW("hold 5d", BASE "rollout: {hold: 5d}\n", ":4: rollout.hold: 5d" DURATION),
	ROW("hold over a year", BASE "rollout: {hold: 8761h}\n",
	    ":4: rollout.hold: 8761h is too long: use at most 8760h"),
	ROW("hold 2^64", BASE "rollout: {hold: 18446744073709551616ms}\n",
	    ":4: rollout.hold: 18446744073709551616ms is too long: use at most 8760h"),
	ROW("lease", BASE "rollout: {lease: 999ms}\n",
	    ":4: rollout.lease: 999ms is too short: use at least 1s"),
	ROW("samples 0", BASE "rollout: {samples: 0}\n", ":4: rollout.samples: 0" SAMPLES),
	ROW("samples -1", BASE "rollout: {samples: -1}\n", ":4: rollout.samples: -1" SAMPLES),
	ROW("samples 10^9 + 1", BASE "rollout:\n  samples: 1000000001\n",
	    ":5: rollout.samples: 1000000001" SAMPLES),
	ROW("samples 2^32 + 1", BASE "rollout: {samples: 4294967297}\n",
	    ":4: rollout.samples: 4294967297" SAMPLES),
	ROW("samples 2^64 + 1", BASE "rollout: {samples: 18446744073709551617}\n",
	    ":4: rollout.samples: 18446744073709551617" SAMPLES),
	ROW("samples 1e3", BASE "rollout: {samples: 1e3}\n", ":4: rollout.samples: 1e3" SAMPLES),
	ROW("samples many", BASE "rollout: {samples: many}\n", ":4: rollout.samples: many" SAMPLES),
	ROW("samples 0100", BASE "rollout: {samples: 0100}\n",
	    ":4: rollout.samples: 0100: YAML reads a leading zero as octal: remove it"),
	ROW("samples empty", BASE "rollout: {samples: }\n",
	    ":4: rollout.samples: empty: give a value or remove the key"),
	ROW("samples a list", BASE "rollout: {samples: [1]}\n",
	    ":4: rollout.samples: not a single value: write one word or number"),
	ROW("samples twice", BASE "rollout:\n  samples: 1\n  samples: 2\n",
	    ":6: samples: given twice: remove one"),
	ROW("give up", BASE "rollout: {give-up-after: 999ms}\n",
	    ":4: rollout.give-up-after: 999ms is too short: use at least 1s"),
	ROW("give up without unit", BASE "rollout: {give-up-after: 600}\n",
	    ":4: rollout.give-up-after: 600" DURATION),
	ROW("give up 0", BASE "rollout:\n  give-up-after: 0s\n",
	    ":5: rollout.give-up-after: 0s" DURATION),
	ROW("give up never", BASE "rollout: {give-up-after: never}\n",
	    ":4: rollout.give-up-after: never" DURATION),
	ROW("give up over a year", BASE "rollout: {give-up-after: 8761h}\n",
	    ":4: rollout.give-up-after: 8761h is too long: use at most 8760h"),
	ROW("give up empty", BASE "rollout: {give-up-after: }\n",
	    ":4: rollout.give-up-after: empty: give a value or remove the key"),
	ROW("confirm", BASE "rollout: {confirm-within: soon}\n",
	    ":4: rollout.confirm-within: soon" DURATION),

	/* Parity. */
	ROW("parity a list", BASE "parity: [length]\n",
	    ":4: parity: not a mapping: write { KEY: VALUE }"),
	ROW("unknown in parity", BASE "parity: {ignore: [length]}\n",
	    ":4: parity.ignore: unknown key: use sample or accept"),
	ROW("metrics a word", BASE "metrics: off\n",
	    ":4: metrics: not a mapping: write { KEY: VALUE }"),
	ROW("unknown in metrics", BASE "metrics: {port: 1}\n",
	    ":4: metrics.port: unknown key: use listen"),
	ROW("listen a port", BASE "metrics: {listen: 9465}\n",
	    ":4: metrics.listen: 9465 is not an address with a port: use one as 127.0.0.1:9465, or off"),
	ROW("listen a name", BASE "metrics: {listen: 'localhost:9465'}\n",
	    ":4: metrics.listen: localhost:9465 is not an address with a port: use one as 127.0.0.1:9465, or off"),
	ROW("listen nowhere", BASE "metrics: {listen: ''}\n",
	    ":4: metrics.listen: empty: give a value or remove the key"),
	ROW("sample of flows", BASE "parity: {sample: 10%}\n",
	    ":4: parity.sample: 10% is not a part of the packets: use 1/N, all or 0"),
	ROW("sample a word", BASE "parity: {sample: off}\n",
	    ":4: parity.sample: off is not a part of the packets: use 1/N, all or 0"),
	ROW("accept a word", BASE "parity: {accept: length}\n",
	    ":4: parity.accept: not a list: write [VALUE]"),
	ROW("accept none", BASE "parity: {accept: []}\n",
	    ":4: parity.accept: an empty list: give at least one entry"),
	ROW("accept empty", BASE "parity:\n  accept:\n  - length\n  -\n",
	    ":7: parity.accept: empty: give a value or remove the key"),
	ROW("accept on its line", BASE "parity:\n  accept:\n  - length\n  - udp-checksum\n",
	    ":7: parity.accept: unknown word udp-checksum: use " CLASSES),
	ROW("accept by case", BASE "parity: {accept: [Length]}\n",
	    ":4: parity.accept: unknown word Length: use " CLASSES),
	ROW("accept a number", BASE "parity: {accept: [5]}\n",
	    ":4: parity.accept: unknown word 5: use " CLASSES),
	ROW("accept twice", BASE "parity: {accept: [length, payload, length]}\n",
	    ":4: parity.accept: length is given twice: remove one"),
};

static char dir[64];

static int dir_make(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "%.40s/policy.XXXXXX", getenv("TMPDIR") ?: "/tmp");
	return mkdtemp(dir) ? 0 : -1;
}

static int dir_remove(void **state)
{
	(void)state;
	return rmdir(dir);
}

/* Creates a file in dir that holds text; path gets its name. */
static void file_make(char path[128], const char *text, size_t size)
{
	_cleanup_close_ int fd = -1;

	snprintf(path, 128, "%s/XXXXXX", dir);
	fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, size), size);
}

/* Loads text; on failure *out must be untouched and the error one printable line. */
static int load(const char *text, size_t size, struct policy *out, struct err *err, char path[128])
{
	struct policy before;
	int r;

	memset(out, 0xa5, sizeof(*out));
	memset(err, 0xff, sizeof(*err));
	before = *out;
	file_make(path, text, size);
	r = policy_load(path, out, err);
	assert_int_equal(unlink(path), 0);
	if (!r)
		return 0;
	assert_memory_equal(out, &before, sizeof(before));
	assert_non_null(memchr(err->text, 0, sizeof(err->text)));
	assert_memory_equal(err->text, path, strlen(path));
	for (const char *c = err->text; *c; c++)
		assert_in_range((unsigned char)*c, ' ', '~');
	return r;
}

static void load_good(const char *text, struct policy *out)
{
	struct err err;
	char path[128];
	int r = load(text, strlen(text), out, &err, path);

	if (r)
		fail_msg("%s", err.text);
}

static void test_bad(void **state)
{
	struct err err;
	char path[128], want[640];
	struct policy p;
	int failed = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		int r = load(bad[i].text, bad[i].size, &p, &err, path);

		snprintf(want, sizeof(want), "%s%s", path, bad[i].message);
		if (r == -EINVAL && !strcmp(err.text, want))
			continue;
		print_error("%s: %d\n  got  %s\n  want %s\n", bad[i].name, r, r ? err.text : "",
			    want);
		failed++;
	}
	assert_int_equal(failed, 0);
}

static void assert_steps(const struct policy *p, const struct share *steps, unsigned int n)
{
	assert_int_equal(p->rollout.n_steps, n);
	assert_memory_equal(p->rollout.steps, steps, n * sizeof(*steps));
}

/* Everything that is not required, and min_len, at its default. */
static void assert_defaults(const struct policy *p)
{
	static const struct share steps[] = { { DF_SHARE_NTH, 100 },
					      { DF_SHARE_NTH, 10 },
					      { DF_SHARE_NTH, 2 },
					      { DF_SHARE_ALL, 0 } };

	assert_int_equal(p->df.n_vni, 0);
	assert_int_equal(p->df.encap, DF_ENCAP_NONE);
	assert_int_equal(p->df.ip_id, DF_IP_ID_KEEP);
	assert_int_equal(p->df.min_len, 0);
	assert_int_equal(p->df.pad, 0);
	assert_int_equal(p->xdp.mode, ATTACH_AUTO);
	assert_int_equal(p->nfqueue.queue, 0);
	assert_int_equal(p->nfqueue.threads, 1);
	assert_int_equal(p->nfqueue.fail, NFQ_FAIL_OPEN);
	assert_int_equal(p->nfqueue.daemon, NFQ_DAEMON_OWN);
	assert_steps(p, steps, ARRAY_SIZE(steps));
	assert_int_equal(p->rollout.hold_ns, 60 * SEC);
	assert_int_equal(p->rollout.samples, 1000);
	assert_int_equal(p->rollout.give_up_ns, 600 * SEC);
	assert_int_equal(p->rollout.lease_ns, 5 * SEC);
	assert_int_equal(p->rollout.confirm_within_ns, 1800 * SEC);
	assert_int_equal(p->rollout.on_legacy_down, LEGACY_DOWN_STAY);
	assert_int_equal(p->parity.accept, 0);
	assert_int_equal(p->parity.sample, 16);
	assert_string_equal(p->metrics.listen, "127.0.0.1:9465");
}

static void test_defaults(void **state)
{
	struct policy p;

	(void)state;
	memset(&p, 0xa5, sizeof(p));
	policy_defaults(&p);
	assert_defaults(&p);
	assert_string_equal(p.interface, "");
	assert_int_equal(p.df.n_dport, 0);
	assert_int_equal(p.xdp.n_attach, 0);
}

static void test_canonical(void **state)
{
	struct policy p;

	(void)state;
	load_good(canonical, &p);
	assert_int_equal(p.parity.accept, PARITY_BIT(PARITY_UDP_CSUM_ZEROED));
	p.parity.accept = 0; /* the one key that has no word for its default */
	assert_defaults(&p);
	assert_string_equal(p.interface, "br0");
	assert_int_equal(p.df.n_dport, 1);
	assert_int_equal(p.df.dport_be[0], htons(31765));
	assert_int_equal(p.xdp.n_attach, 1);
	assert_string_equal(p.xdp.attach[0], "vxlan1");
}

static void test_minimal(void **state)
{
	static const char *const texts[] = {
		BASE,
		"\xef\xbb\xbf" BASE, /* an editor's byte order mark */
		"interface: br0\r\nmatch: {dport: [1]}\r\nxdp: {attach: [v]}\r\n",
		"{interface: br0, match: {dport: [1]}, xdp: {attach: [v]}}",
		BASE "action: {}\nnfqueue: {}\nrollout: {}\nparity: {}\nmetrics: {}\n",
		BASE "action: {clear-df: {}}\n",
	};
	struct policy p;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		load_good(texts[i], &p);
		assert_defaults(&p);
		assert_string_equal(p.interface, "br0");
		assert_int_equal(p.df.n_dport, 1);
		assert_int_equal(p.df.dport_be[0], htons(1));
		assert_int_equal(p.xdp.n_attach, 1);
		assert_string_equal(p.xdp.attach[0], "v");
	}
}

static void test_metrics_off(void **state)
{
	struct policy p;

	(void)state;
	load_good(BASE "metrics: {listen: off}\n", &p);
	assert_string_equal(p.metrics.listen, "");
}

static void test_other(void **state)
{
	static const struct share steps[] = { { DF_SHARE_FLOW, 21474836 },
					      { DF_SHARE_NTH, 100 },
					      { DF_SHARE_FLOW, 1U << 30 },
					      { DF_SHARE_NTH, 2 } };
	struct policy p;

	(void)state;
	load_good(other, &p);
	assert_string_equal(p.metrics.listen, "[::1]:1");
	assert_string_equal(p.interface, "eth0.100");
	assert_int_equal(p.df.n_dport, 2);
	assert_int_equal(p.df.dport_be[0], htons(1));
	assert_int_equal(p.df.dport_be[1], htons(65535));
	assert_int_equal(p.df.encap, DF_ENCAP_VXLAN);
	assert_int_equal(p.df.n_vni, 2);
	assert_int_equal(p.df.vni[0], 0);
	assert_int_equal(p.df.vni[1], 0xffffff);
	assert_int_equal(p.df.min_len, 65535);
	assert_int_equal(p.df.ip_id, DF_IP_ID_ASSIGN);
	assert_int_equal(p.xdp.n_attach, 2);
	assert_string_equal(p.xdp.attach[0], "ens5");
	assert_string_equal(p.xdp.attach[1], "abcdefghijklmno");
	assert_int_equal(p.xdp.mode, ATTACH_NATIVE);
	assert_int_equal(p.nfqueue.queue, 65534);
	assert_int_equal(p.nfqueue.threads, 2);
	assert_int_equal(p.nfqueue.fail, NFQ_FAIL_CLOSED);
	assert_int_equal(p.nfqueue.daemon, NFQ_DAEMON_EXTERNAL);
	assert_steps(&p, steps, ARRAY_SIZE(steps));
	assert_int_equal(p.rollout.hold_ns, SEC / 2);
	assert_int_equal(p.rollout.samples, 1000000000);
	assert_int_equal(p.rollout.give_up_ns, SEC);
	assert_int_equal(p.rollout.lease_ns, SEC);
	assert_int_equal(p.rollout.confirm_within_ns, 8760 * 3600UL * SEC);
	assert_int_equal(p.rollout.on_legacy_down, LEGACY_DOWN_PASS);
	assert_int_equal(p.parity.accept,
			 PARITY_BIT(PARITY_ONLY_BEHIND) | PARITY_BIT(PARITY_DF_NOT_CLEARED));
}

/* Every class by its name, alone and all at once; the other keys keep their defaults. */
static void test_accept(void **state)
{
	char text[1024], all[512] = "";
	struct policy p;

	(void)state;
	for (int cause = 0; cause < PARITY_CLASS_MAX; cause++) {
		const char *name = parity_class_name[cause];

		snprintf(text, sizeof(text), BASE "parity: {accept: [%s]}\n", name);
		load_good(text, &p);
		assert_int_equal(p.parity.accept, PARITY_BIT(cause));
		p.parity.accept = 0;
		assert_defaults(&p);
		snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s%s", cause ? ", " : "",
			 name);
	}
	snprintf(text, sizeof(text), BASE "parity:\n  accept: [%s]\n", all);
	load_good(text, &p);
	assert_int_equal(p.parity.accept, PARITY_BIT(PARITY_CLASS_MAX) - 1);
}

/* Each key alone, its words and its least and largest value: the others keep their defaults. */
static void test_rollout_keys(void **state)
{
	struct policy p;

	(void)state;
	load_good(BASE "nfqueue: {daemon: own}\nrollout: {on-legacy-down: stay-xdp}\n", &p);
	assert_defaults(&p);
	load_good(BASE "nfqueue: {daemon: external}\n", &p);
	assert_int_equal(p.nfqueue.daemon, NFQ_DAEMON_EXTERNAL);
	p.nfqueue.daemon = NFQ_DAEMON_OWN;
	assert_defaults(&p);
	load_good(BASE "rollout: {on-legacy-down: pass}\n", &p);
	assert_int_equal(p.rollout.on_legacy_down, LEGACY_DOWN_PASS);
	p.rollout.on_legacy_down = LEGACY_DOWN_STAY;
	assert_defaults(&p);
	load_good(BASE "rollout: {samples: 1}\n", &p);
	assert_int_equal(p.rollout.samples, 1);
	p.rollout.samples = 1000;
	assert_defaults(&p);
	load_good(BASE "rollout: {give-up-after: 1000ms}\n", &p);
	assert_int_equal(p.rollout.give_up_ns, SEC);
	load_good(BASE "rollout: {give-up-after: 8760h}\n", &p);
	assert_int_equal(p.rollout.give_up_ns, 8760 * 3600UL * SEC);
	p.rollout.give_up_ns = 600 * SEC;
	assert_defaults(&p);
}

/* Every list as long as it may be. */
static void test_full_lists(void **state)
{
	struct policy p;

	(void)state;
	load_good("interface: br0\n"
		  "match: {dport: [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16], encap: vxlan,\n"
		  "  vni: [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]}\n"
		  "xdp: {attach: [a, b, c, d, e, f, g, \xc3\xbc], mode: generic}\n"
		  "nfqueue: {queue: 65520, threads: 16}\n"
		  "rollout: {steps: [1%,2%,3%,4%,5%,6%,7%,8%,9%,10%,11%,12%,13%,14%,15%,16%]}\n",
		  &p);
	assert_int_equal(p.df.n_dport, 16);
	assert_int_equal(p.df.n_vni, 16);
	for (unsigned int i = 0; i < 16; i++) {
		assert_int_equal(p.df.dport_be[i], htons((uint16_t)(i + 1)));
		assert_int_equal(p.df.vni[i], i + 1);
		assert_int_equal(p.rollout.steps[i].kind, DF_SHARE_FLOW);
	}
	assert_int_equal(p.xdp.n_attach, 8);
	assert_string_equal(p.xdp.attach[6], "g");
	assert_string_equal(p.xdp.attach[7], "\xc3\xbc");
	assert_int_equal(p.xdp.mode, ATTACH_GENERIC);
	assert_int_equal(p.nfqueue.queue + p.nfqueue.threads - 1, 65535);
	assert_int_equal(p.rollout.n_steps, 16);
}

static void assert_refused(const char *path, int want, const char *message)
{
	struct err err = { "" };
	struct policy p, before;
	char text[640];

	memset(&p, 0xa5, sizeof(p));
	before = p;
	snprintf(text, sizeof(text), "%s%s", path, message);
	assert_int_equal(policy_load(path, &p, &err), want);
	assert_string_equal(err.text, text);
	assert_memory_equal(&p, &before, sizeof(p));
}

static void test_not_a_file(void **state)
{
	uid_t uid = geteuid();
	char path[128];

	(void)state;
	alarm(10); /* a FIFO without a writer, or an endless device, must not hold us up */
	assert_refused(dir, -EINVAL, ": not a regular file: name a regular file");
	assert_refused("/dev/zero", -EINVAL, ": not a regular file: name a regular file");
	snprintf(path, sizeof(path), "%s/fifo", dir);
	assert_refused(path, -ENOENT, ": No such file or directory: name a file that can be read");
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_refused(path, -EINVAL, ": not a regular file: name a regular file");
	assert_int_equal(unlink(path), 0);
	assert_refused("/proc/self/mem", -EIO, ": reading it failed: check the disk");

	file_make(path, BASE, strlen(BASE));
	assert_int_equal(chmod(path, 0), 0);
	assert_int_equal(seteuid(uid ?: 65534), 0);
	assert_refused(path, -EACCES, ": Permission denied: name a file that can be read");
	assert_int_equal(seteuid(uid), 0);
	assert_int_equal(unlink(path), 0);
	alarm(0);
}

static void test_size(void **state)
{
	static char text[POLICY_FILE_MAX + 1];
	struct err err;
	struct policy p;
	char path[128];

	(void)state;
	memset(text, ' ', sizeof(text));
	memcpy(text, BASE "#", strlen(BASE "#"));
	assert_int_equal(load(text, POLICY_FILE_MAX, &p, &err, path), 0);
	assert_int_equal(load(text, sizeof(text), &p, &err, path), -EFBIG);

	file_make(path, text, sizeof(text));
	assert_int_equal(truncate(path, 100L << 20), 0);
	assert_refused(path, -EFBIG, ": larger than 65536 bytes: name a policy file");
	assert_int_equal(unlink(path), 0);
}

/* 64 KiB that would keep libyaml busy: 11 s for the brackets, were their depth not limited. */
static void test_costly(void **state)
{
	static char text[POLICY_FILE_MAX];
	static const char *const units[] = { "[", "{", "- ", "? ", "a: ", "[a: b, ", "!!x ", "\"" };
	struct err err;
	struct policy p;
	char path[128];

	(void)state;
	alarm(10);
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		for (size_t at = 0; at < sizeof(text); at++)
			text[at] = units[i][at % strlen(units[i])];
		assert_int_equal(load(text, sizeof(text), &p, &err, path), -EINVAL);
	}
	alarm(0);
}

/* A long name is cut and a strange one made printable: still one line, and the end is there. */
static void test_strange_path(void **state)
{
	static const char want[] = ": File name too long: name a file that can be read";
	struct err err = { "" };
	char path[5000], *end;
	struct policy p;

	(void)state;
	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = 0;
	path[0] = '\n';
	path[1] = '\x1b';
	assert_int_equal(policy_load(path, &p, &err), -ENAMETOOLONG);
	end = err.text + strlen(err.text) - strlen(want);
	assert_string_equal(end, want);
	assert_int_equal(end - err.text, 256);
	assert_memory_equal(err.text, "??xx", 4);
}

static void test_truncated(void **state)
{
	static const char *const texts[] = { canonical, other };
	struct err err;
	unsigned int good = 0;
	struct policy p;
	char path[128];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		for (size_t size = 0; size <= strlen(texts[i]); size++) {
			int r = load(texts[i], size, &p, &err, path);

			assert_true(r == 0 || r == -EINVAL);
			good += !r;
		}
	/* From the last required key on, wherever a line, a value or a comment may end. */
	assert_in_range(good, 2, 300);
}

static uint32_t next_random(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)(*seed >> 32);
}

static void test_flipped(void **state)
{
	unsigned int good = 0, refused = 0;
	char text[sizeof(canonical) + sizeof(other)], path[128];
	struct err err;
	uint64_t seed = 1;
	struct policy p;

	(void)state;
	for (int i = 0; i < 5000; i++) {
		const char *from = i % 2 ? canonical : other;
		size_t size = strlen(from);

		memcpy(text, from, size);
		for (uint32_t flips = 1 + next_random(&seed) % 4; flips; flips--) {
			uint32_t bit = next_random(&seed) % (uint32_t)(size * 8);

			text[bit / 8] = (char)(text[bit / 8] ^ 1 << bit % 8);
		}
		int r = load(text, size, &p, &err, path);

		assert_true(r == 0 || r == -EINVAL);
		good += !r;
		refused += !!r;
	}
	print_message("5000 mutations: %u loaded, %u refused\n", good, refused);
	assert_int_equal(good + refused, 5000);
	assert_true(good && refused);
}

static void test_share_parse(void **state)
{
	static const struct {
		const char *text;
		struct share share;
	} good[] = {
		{ "0", { DF_SHARE_NONE, 0 } },
		{ "all", { DF_SHARE_ALL, 0 } },
		{ "1/1", { DF_SHARE_ALL, 0 } },
		{ "100%", { DF_SHARE_ALL, 0 } },
		{ "1/2", { DF_SHARE_NTH, 2 } },
		{ "1/4294967295", { DF_SHARE_NTH, UINT32_MAX } },
		{ "25%", { DF_SHARE_FLOW, 1U << 30 } },
		{ "50%", { DF_SHARE_FLOW, 1U << 31 } },
		{ "1%", { DF_SHARE_FLOW, 42949673 } }, /* 42949672.96 */
		{ "0.1%", { DF_SHARE_FLOW, 4294967 } }, /* 4294967.296 */
		{ "025.0%", { DF_SHARE_FLOW, 1U << 30 } },
		{ "0.00000000000001%", { DF_SHARE_FLOW, 1 } }, /* never rounded to nothing */
		{ "99.99999998%", { DF_SHARE_FLOW, UINT32_MAX } },
		{ "99.9999999999%", { DF_SHARE_ALL, 0 } },
	};
	static const char *const refused[] = {
		"",
		"1",
		"00",
		"0%",
		"0.0%",
		"-1%",
		"+1%",
		" 1%",
		"1 %",
		"1%%",
		"1%x",
		"101%",
		"100.1%",
		"1e1%",
		"0x10%",
		"inf%",
		"nan%",
		"%",
		".5%",
		".%",
		"1.2.3%",
		"1,5%",
		"1/0",
		"1/",
		"1/-2",
		"1/ 2",
		"1/2 ",
		"1/0x2",
		"2/3",
		"/2",
		"ALL",
		"all ",
		"none",
		"50",
		"0.5",
		"1/4294967296",
		"1/18446744073709551617",
	};
	struct share s;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		assert_int_equal(share_parse(good[i].text, &s), 0);
		assert_memory_equal(&s, &good[i].share, sizeof(s));
	}
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		s = (struct share){ 77, 78 };
		if (share_parse(refused[i], &s) != -EINVAL)
			fail_msg("'%s' was taken", refused[i]);
		assert_int_equal(s.kind, 77);
		assert_int_equal(s.n, 78);
	}
}

static void test_share_numbers(void **state)
{
	static const double refused[] = { 0, -0.0, -1, 100.00001, INFINITY, -INFINITY, NAN };
	struct share s = { 77, 78 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
		assert_int_equal(share_percent(refused[i], &s), -EINVAL);
	assert_int_equal(share_every(0, &s), -EINVAL);
	assert_int_equal(share_every(1UL << 32, &s), -EINVAL);
	assert_int_equal(share_every(-1UL, &s), -EINVAL);
	assert_int_equal(s.kind, 77);
	assert_int_equal(s.n, 78);
	assert_int_equal(share_every(1, &s), 0);
	assert_int_equal(s.kind, DF_SHARE_ALL);
	assert_int_equal(share_every(10, &s), 0);
	assert_int_equal(s.kind, DF_SHARE_NTH);
	assert_int_equal(s.n, 10);
	assert_int_equal(share_percent(1e-300, &s), 0);
	assert_int_equal(s.kind, DF_SHARE_FLOW);
	assert_int_equal(s.n, 1);
	assert_int_equal(share_percent(100, &s), 0);
	assert_int_equal(s.kind, DF_SHARE_ALL);
}

/* What is printed is taken back as the same share, and one digit less would not be. */
static void assert_round_trip(struct share share)
{
	char buf[32], less[32];
	struct share back = { 77, 78 };
	const char *dot;

	assert_ptr_equal(share_format(&share, buf, sizeof(buf)), buf);
	if (share_parse(buf, &back) || back.kind != share.kind || back.n != share.n)
		fail_msg("%u/%u became '%s'", share.kind, share.n, buf);
	dot = strchr(buf, '.');
	if (!dot)
		return;
	snprintf(less, sizeof(less), "%.*f%%", (int)(strlen(dot) - 3), strtod(buf, NULL));
	if (!share_parse(less, &back))
		assert_false(back.kind == share.kind && back.n == share.n);
}

static void test_share_format(void **state)
{
	static const char *const same[] = { "0",   "all",   "1/2", "1/4294967295", "25%",
					    "50%", "99.9%", "1%",  "0.1%",         "33.333%" };
	struct share s = { DF_SHARE_KIND_MAX, 0 };
	uint64_t seed = 2;
	char buf[32];

	(void)state;
	assert_string_equal(share_format(&s, buf, sizeof(buf)), "?");
	for (size_t i = 0; i < ARRAY_SIZE(same); i++) {
		assert_int_equal(share_parse(same[i], &s), 0);
		assert_string_equal(share_format(&s, buf, sizeof(buf)), same[i]);
	}
	for (uint32_t n = 1; n <= 1000; n++) {
		assert_round_trip((struct share){ DF_SHARE_NTH, n + 1 });
		assert_round_trip((struct share){ DF_SHARE_FLOW, n });
		assert_round_trip((struct share){ DF_SHARE_FLOW, -n });
		assert_int_equal(share_percent(n / 10.0, &s), 0);
		assert_round_trip(s);
	}
	for (int i = 0; i < 20000; i++)
		assert_round_trip((struct share){ DF_SHARE_FLOW, next_random(&seed) | 1 });
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),      cmocka_unit_test(test_canonical),
		cmocka_unit_test(test_minimal),       cmocka_unit_test(test_other),
		cmocka_unit_test(test_metrics_off),   cmocka_unit_test(test_accept),
		cmocka_unit_test(test_rollout_keys),  cmocka_unit_test(test_full_lists),
		cmocka_unit_test(test_bad),           cmocka_unit_test(test_not_a_file),
		cmocka_unit_test(test_size),          cmocka_unit_test(test_costly),
		cmocka_unit_test(test_strange_path),  cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_flipped),       cmocka_unit_test(test_share_parse),
		cmocka_unit_test(test_share_numbers), cmocka_unit_test(test_share_format),
	};

	return cmocka_run_group_tests(tests, dir_make, dir_remove);
}
