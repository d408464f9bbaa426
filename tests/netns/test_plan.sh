#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# nfq2xdp plan: a gateway without a fault gives no finding; for each trap a gateway that has it, and exactly the finding
# that names it; nothing is changed by looking; migrate auto refuses what is in the way.
set -u
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/../lab/lab.sh"
lab_reexec "$@"
lab_up || exit 1
# shellcheck source=tests/netns/lib.sh
. "$LAB_ROOT/tests/netns/lib.sh"

MS=$((500 * LAB_SLOW)) # that a plan may take
RULE=(PREROUTING -i br0 -p udp --dport 31765)
QUEUE=(-j NFQUEUE --queue-num 0)

# What lab_snapshot does not look at: files and modules.
more() {
	everything
	find /run /var/lib /etc/nfq2xdp -path /run/lab -prune -o -printf '%p %s %T@\n' 2>/dev/null | sort
	cut -d ' ' -f 1 /proc/modules 2>/dev/null | sort
}

now_ms() { echo $((${EPOCHREALTIME/./} / 1000)); }

# Of OUT, every warn and fail, numbers as N.
findings() {
	jq -r '.checks[] | select(.verdict == "warn" or .verdict == "fail") |
		"\(.verdict) \(.id): \(.cause)" + (if .command == "" then "" else " > " + .command end)' <<<"$OUT" |
		sed -E 's/\b[0-9]+\b/N/g'
}

# of_check ID FIELD
of_check() { jq -r --arg id "$1" '.checks[] | select(.id == $id) | '"$2" <<<"$OUT"; }

# plan NAME EXIT FINDINGS ARGUMENT…: the exit code and the findings, and nothing is changed. OUT is its JSON.
plan() {
	local name=$1 want=$2 findings=$3 rc before start
	shift 3
	before=$(more)
	start=$(now_ms)
	OUT=$(n2x plan "$@" --json 2>/run/lab/stderr)
	rc=$?
	TOOK=$(($(now_ms) - start))
	check "$name: exit, schema, lines on stderr" "$rc $(jq .schema <<<"$OUT") $(wc -l </run/lab/stderr)" "$want 1 0"
	check "$name: findings" "$(findings)" "$findings"
	check "$name: unchanged" "$(diff <(echo "$before") <(more))" ""
}

# mends NAME ID ARGUMENT…: the command of that finding makes it ok.
mends() {
	local name=$1 id=$2
	shift 2
	in_gw bash -c "$(of_check "$id" .command)" >/dev/null
	OUT=$(n2x plan "$@" --json)
	check "$name: mended by its command" "$(of_check "$id" .verdict)" ok
}

# no_auto NAME EXIT PATTERN: what is in the way is refused in one line, before anything is changed.
no_auto() {
	local before
	before=$(everything)
	refuse "$1: auto" "$2" "$3" n2x migrate auto -c "$CONF"
	unchanged "$1: auto" "$before"
}

daemon() { start_daemon old in_gw "$LAB_BIN/old_daemon" "$@"; }
traffic() { start_daemon source in_src "$LAB_BIN/source" -i mirror0 -m "$LAB_MAC" -r 5000 -f 16 "$@"; }
other_daemon() {
	stop_daemon old
	daemon "$@"
}
# fake_docker in_gw|in_col: a process of that name that does nothing.
fake_docker() {
	start_daemon dockerd "$1" bash -c 'printf dockerd >/proc/self/comm; echo "{\"ready\":true}"; kill -STOP $$'
}
end_fake() {
	kill -KILL "${LAB_PID[dockerd]}"
	wait_daemon dockerd
}

# until_queue CONDITION: of the line of queue 0 in awk's words.
until_queue() {
	local deadline=$((SECONDS + LAB_WAIT))
	until in_gw awk "\$1 == 0 && $1 { ok = 1 } END { exit !ok }" /proc/self/net/netfilter/nfnetlink_queue; do
		[ $SECONDS -lt $deadline ] || { echo "queue 0: never $1" >&2; return 1; }
	done
}

external() {
	conf match=', encap: vxlan, vni: [1]' queue=0 "$@"
	sed -i 's/fail: open/fail: open, daemon: external/' "$CONF"
}

# The empty tables that these leave are not ours.
in_gw iptables -t mangle -A "${RULE[@]}" "${QUEUE[@]}" --queue-bypass
in_gw iptables -N DOCKER
in_gw iptables -X DOCKER
in_gw iptables-legacy -A FORWARD -j ACCEPT
in_gw iptables-legacy -F FORWARD
lab_batch n2x-gw <<-END
	link add fx0 mtu 1500 type veth peer name fx1 mtu 1500
	link set fx0 up
END
lab_baseline
daemon -l 4096

echo "# nothing is wrong"
traffic
plan "healthy" 0 ""
check_le "healthy: ms" "$TOOK" "$MS"
check "healthy: checks" "$(jq '.checks | length >= 25 and all(.[]; .cause != "")' <<<"$OUT")" true
check "healthy: not to be known" "$(jq -r '[.checks[] | select(.verdict == "unknown").id] - ["lockdown"] | join(" ")' <<<"$OUT")" \
	"fail-open daemon-changes"
check "healthy: rule" "$(jq -r '.rules | map("\(.kind) \(.table) \(.chain) \(.position) \(.queue) \(.understood)") | join(",")' <<<"$OUT")" \
	"iptables-nft mangle PREROUTING 1 0 true"
check "healthy: daemon" "$(jq -r '.daemon | "\(.name) \(.pid) \(.queue)"' <<<"$OUT")" "old_daemon ${LAB_PID[old]} 0"
check "healthy: devices" "$(jq -r '.devices | map("\(.depth)\(.interface):\(.kind):\(.native):\(.attach)") | join(" ")' <<<"$OUT")" \
	"0br0:bridge:false:false 1ens6:veth:true:false 1vxlan1:vxlan:false:false 2ens5:veth:true:true"
check "healthy: not attached to" "$(jq -r '.not_attached | map(.interface) | join(" ")' <<<"$OUT")" "br0 ens6 vxlan1"
check "healthy: every change has its undo" "$(jq '.changes | length == 10 and all(.[]; .do != "" and .undo != "")' <<<"$OUT")" true
check "healthy: policy" "$(jq -r .policy <<<"$OUT")" "$(cat <<-END
	interface: br0
	match:    { protocol: udp, dport: [31765], encap: vxlan, vni: [1] }
	action:   { clear-df: { min-length: 0 }, ip-id: keep }
	xdp:      { attach: [ens5], mode: auto }
	nfqueue:  { queue: 0, threads: 1, fail: open, daemon: external }
END
)"
plan "healthy, named" 0 "" br0
external
plan "healthy, its file" 0 "" -c "$CONF"
check "healthy, its file: policy" "$(jq .policy <<<"$OUT")" null
# The source catches up in bursts.
check "healthy: rate" "$(jq '.devices[3].sample.rate / 5000 | . > 0.7 and . < 1.3' <<<"$OUT")" true
stop_daemon source

echo "# how it looks"
ok "text" n2x plan
check "text: no colour into a pipe" "$(grep -c $'\033' <<<"$OUT")" 0
check "text: the last line" "$(tail -1 <<<"$OUT" | sed -E 's/\b[0-9]+\b/N/g')" \
	"br0: nothing is in the way: N fail, N warn, N unknown, N ok"
check "text: on a terminal" "$(in_gw script -qec "$N2X plan" /dev/null | grep -c $'\033\[32mok')" "$(grep -c '^ok ' <<<"$OUT")"
check "text: on a terminal, NO_COLOR" "$(NO_COLOR=1 in_gw script -qec "$N2X plan" /dev/null | grep -c $'\033')" 0
check "text: on a dumb terminal" "$(TERM=dumb in_gw script -qec "$N2X plan" /dev/null | grep -c $'\033')" 0

echo "# the file"
mkdir /run/lab/etc
ok "write" n2x plan --write /run/lab/etc/br0.yaml
check "write: what was shown" "$(grep -A 5 '^policy' <<<"$OUT" | sed 1d | cut -c 3-)" "$(</run/lab/etc/br0.yaml)"
ok "write: is taken" n2x migrate start -c /run/lab/etc/br0.yaml --dry-run
echo mine >/run/lab/etc/mine.yaml
refuse "write over" 1 "mine.yaml is there already" n2x plan --write /run/lab/etc/mine.yaml
check "write over: left" "$(</run/lab/etc/mine.yaml)" mine
refuse "write nowhere" 6 "/run/lab/none/br0.yaml: No such file or directory" n2x plan --write /run/lab/none/br0.yaml
refuse "write nothing" 1 "nothing to write: no rule that looks at fx0" n2x plan fx0 --write /run/lab/etc/fx0.yaml
check "write: files" "$(find /run/lab/etc -type f -printf '%f\n' | sort | tr '\n' ' ')" "br0.yaml mine.yaml "

echo "# rules"
in_gw iptables -t mangle -R PREROUTING 1 "${RULE[@]:1}" "${QUEUE[@]}"
plan "no bypass" 0 "warn rule-bypass: the rule has no bypass: when the daemon ends, every packet is dropped > iptables-nft -t mangle -R PREROUTING N -i br0 -p udp -m udp --dport N -j NFQUEUE --queue-num N --queue-bypass"
mends "no bypass" rule-bypass
in_gw iptables -t mangle -F PREROUTING
in_gw iptables-legacy -t mangle -A "${RULE[@]}" "${QUEUE[@]}"
plan "no bypass, legacy" 0 "warn rule-bypass: the rule has no bypass: when the daemon ends, every packet is dropped > iptables-legacy -t mangle -R PREROUTING N -i br0 -p udp -m udp --dport N -j NFQUEUE --queue-num N --queue-bypass"
mends "no bypass, legacy" rule-bypass
in_gw iptables-legacy -t mangle -F PREROUTING
lab_baseline
plan "no rule" 1 "fail rule: no rule sends packets to an NFQUEUE in this namespace > iptables-save -t mangle; nft list ruleset"
plan "no such interface" 1 "fail interface: interface nope does not exist here: check the name and the namespace > ip -br link
fail rule: no rule that looks at nope sends packets to an NFQUEUE in this namespace > iptables-save -t mangle; nft list ruleset" nope
in_gw iptables -t mangle -A "${RULE[@]}" -m statistic --mode nth --every 2 --packet 0 "${QUEUE[@]}"
plan "not understood" 1 "fail rule: a rule is not understood (match statistic): -A PREROUTING -i br0 -p udp -m udp --dport N -m statistic --mode nth --every N --packet N -j NFQUEUE --queue-num N > iptables-save -t mangle; nft list ruleset"
external attach="[ens5]"
plan "not understood, a file" 1 "fail rule: a rule is not understood (match statistic), and is left alone: -A PREROUTING -i br0 -p udp -m udp --dport N -m statistic --mode nth --every N --packet N -j NFQUEUE --queue-num N > iptables-save -t mangle; nft list ruleset" -c "$CONF"
no_auto "not understood" 1 "br0: rule: a rule is not understood (match statistic)"
in_gw iptables -t mangle -F PREROUTING
plan "no rule, a file" 1 "fail rule: no rule feeds queue N, and nfqueue.daemon is external > iptables-save -t mangle; nft list ruleset   # then nfqueue.queue of the file" -c "$CONF"
in_gw iptables -t mangle -A PREROUTING -p udp --dport 31765 "${QUEUE[@]}" --queue-bypass
plan "any interface" 1 "fail rule: the rule looks at every interface: say which one it is for: nfq2xdp plan IFACE > iptables-save -t mangle; nft list ruleset"
plan "any interface, named" 0 "" br0
in_gw iptables -t mangle -R PREROUTING 1 -i br0 -p udp "${QUEUE[@]}" --queue-bypass
plan "any port" 1 "fail rule: the rule looks at every port, or at more than N: a policy names its ports: write it by hand > iptables-save -t mangle; nft list ruleset"
in_gw iptables -t mangle -R PREROUTING 1 "${RULE[@]:1}" "${QUEUE[@]}" --queue-bypass
in_gw iptables -t mangle -A PREROUTING -i fx0 -p udp --dport 31765 "${QUEUE[@]}" --queue-bypass
plan "two interfaces" 1 "fail rule: rules of several interfaces send to a queue, such as br0 and fx0: say which: nfq2xdp plan IFACE > iptables-save -t mangle; nft list ruleset"
plan "two interfaces, named" 0 "" br0
in_gw iptables -t mangle -D PREROUTING 2
in_gw iptables -t mangle -I "${RULE[@]}" -m statistic --mode nth --every 10 --packet 0 -j MARK --set-mark 1
plan "a mark" 0 "warn mark: a rule marks these packets: XDP runs before netfilter and never sees a mark: -A PREROUTING -i br0 -p udp -m udp --dport N -m statistic --mode nth --every N --packet N -j MARK --set-xmark 0x1/0xffffffff > rollout: { steps: [N/N, N/N, N/N, all] } in the file   # is the share"
in_gw iptables -t mangle -D PREROUTING 1
in_gw iptables-legacy -A FORWARD -j ACCEPT
plan "two iptables" 0 "warn iptables-mixed: iptables-nft and iptables-legacy both have rules: both run on each packet, and each lists its own only > iptables-legacy-save; iptables-nft-save   # move the rules of one to the other"
in_gw iptables-legacy -F FORWARD
FLUSH="its reload replaces rules, the guarded one included, and a hook that goes drops what waits in every queue > no reload or restart of it while packets wait: nfq2xdp migrate status -c FILE"
in_gw iptables -N DOCKER
plan "docker, its chains" 0 "warn flushers: docker (its chains are there): $FLUSH"
in_gw iptables -X DOCKER
fake_docker in_gw
plan "docker, its process" 0 "warn flushers: docker (it runs): $FLUSH"
end_fake
fake_docker in_col
plan "docker, in another namespace" 0 ""
end_fake
in_gw nft 'table ip nfq2xdp_br0 { chain other { }; }'
plan "a foreign table" 1 "fail nft-table: table ip nfq2xdp_br0 has other chains than ours > nft list table ip nfq2xdp_br0   # whose is it?"
external attach="[ens5]"
no_auto "a foreign table" 5 "br0: nft-table: table ip nfq2xdp_br0 has other chains than ours"
in_gw nft delete table ip nfq2xdp_br0

echo "# the daemon"
kill -STOP "${LAB_PID[old]}"
start_daemon source in_src "$LAB_BIN/source" -i mirror0 -m "$LAB_MAC" -r 20000 -n 5000
wait_daemon source
until_queue '$3 + $6 == 5000'
OVERFLOW="warn queue-overflow: queue N has overflowed: N packets found it full, N its receive buffer, since it was bound > cat /proc/net/netfilter/nfnetlink_queue   # columns N and N"
plan "a daemon that stands still" 0 "$OVERFLOW
warn queue-depth: N packets wait in queue N: its daemon does not keep up > top -H -p N"
check "a daemon that stands still: lost, waiting" "$(jq -r '.daemon | "\(.dropped) \(.depth)"' <<<"$OUT")" "904 4096"
kill -CONT "${LAB_PID[old]}"
until_queue '$3 == 0'
plan "a queue that overflowed" 0 "$OVERFLOW"
other_daemon -l 4096 -b 100000
plan "a small receive buffer" 0 "warn receive-buffer: the daemon's receive buffer holds N packets of N bytes: what comes then is lost (net.core.rmem_max is N) > sysctl -w net.core.rmem_max=N   # and the daemon asks for as much, SO_RCVBUF"
other_daemon -l 4096 -d $((400000 * LAB_SLOW))
traffic -r 1800
until_queue '$8 > 500'
plan "a slow daemon" 0 "warn capacity: the way back carries N packets/s and could carry N: less than half as much again > nfq2xdp migrate auto -c FILE   # refuses each step up until there is room"
stop_daemon source
stop_daemon old
plan "nobody listens" 0 "warn fallback: nobody listens on queue N: packets of the rule pass with DF set now; the plan is our own path > systemctl start DAEMON   # the one that binds queue N"
check "nobody listens: the policy" "$(jq -r .policy <<<"$OUT" | grep ^nfqueue)" \
	"nfqueue:  { queue: 1, threads: 1, fail: open, daemon: own }"
check "nobody listens: the first change" "$(jq -r '.changes[0].do' <<<"$OUT")" "bind queue 1"
external attach="[ens5]"
plan "nobody listens, a file" 1 "fail fallback: nobody listens on queue N: there is no way back > systemctl start DAEMON   # the one that binds queue N" -c "$CONF"
no_auto "nobody listens" 1 "br0: fallback: nobody listens on queue 0: there is no way back"
conf match=', encap: vxlan'
plan "our path does not run" 1 "fail fallback: the NFQUEUE path does not run: what XDP does not take would pass with DF set > nfq2xdp run nfqueue -c FILE" -c "$CONF"
no_auto "our path does not run" 1 "br0: fallback: the NFQUEUE path does not run"
daemon -l 4096
sed -i 's/queue: 1/queue: 0/' "$CONF"
plan "its queue is taken" 1 "fail fallback: queue N is taken by old_daemon (pid N): our NFQUEUE path cannot start on it > nfqueue: { queue: N } in the file   # one that nobody uses" -c "$CONF"
check "its queue is taken: one that is free" "$(of_check fallback .command)" "nfqueue: { queue: 1 } in the file   # one that nobody uses"
refuse "its queue is taken: run" 5 "queue 0 is taken (netlink port ${LAB_PID[old]})" n2x run nfqueue -c "$CONF"
sed -i 's/queue: 0/queue: 1/' "$CONF"
stop_daemon old
start_nfqueue
plan "our path runs" 0 "" -c "$CONF"
stop_daemon nfqueue
sed -i 's/fail: open/fail: closed/' "$CONF"
start_nfqueue
plan "fail closed" 0 "warn fail-open: fail: closed: a full queue, or an NFQUEUE path that ends, drops packets > nfqueue: { fail: open } in the file" -c "$CONF"
stop_daemon nfqueue
daemon -l 4096

echo "# devices"
external attach="[br0]"
NATIVE="cannot do native XDP now: it will be generic, which is slower"
WHERE="nfq2xdp plan br0   # says where to attach"
plan "on the bridge, as the old plan said" 1 "fail attach-point: br0 is a bridge: XDP there does not see frames that are bridged from port to port > $WHERE
warn native: br0 (bridge) $NATIVE" -c "$CONF"
no_auto "on the bridge" 1 "br0: attach-point: br0 is a bridge"
plan "on the bridge, --local-only" 0 "warn attach-point: br0 is a bridge: XDP there sees only what is for this host > $WHERE
warn native: br0 (bridge) $NATIVE" -c "$CONF" --local-only
traffic
conf match='' queue=0 attach="[ens6]"
sed -i 's/fail: open/fail: open, daemon: external/' "$CONF"
plan "on the wrong port" 0 "warn traffic: packets of the policy arrive at vxlan1, and none at an attach point > $WHERE" -c "$CONF"
stop_daemon source
sed -i 's/ens6/vxlan1/' "$CONF"
plan "on the tunnel" 0 "warn native: vxlan1 (vxlan) $NATIVE" -c "$CONF"
sed -i 's/auto/native/' "$CONF"
plan "on the tunnel, natively" 1 "fail native: vxlan1 (vxlan) cannot do native XDP" -c "$CONF"
no_auto "on the tunnel, natively" 6 "br0: native: vxlan1 (vxlan) cannot do native XDP"
external attach="[nope0]"
plan "no such attach point" 1 "fail interface: interface nope0 does not exist here: check xdp.attach and the namespace > ip -br link" -c "$CONF"
no_auto "no such attach point" 2 "interface nope0 does not exist here"
external attach="[fx0]"
plan "no carrier" 1 "fail carrier: fx0 is down, or has no carrier > ip link set fx0 up" -c "$CONF"
no_auto "no carrier" 1 "br0: carrier: fx0 is down"
in_gw sysctl -qw net.bridge.bridge-nf-call-iptables=0
plan "bridged frames are hidden" 1 "fail bridge-netfilter: frames that are bridged from port to port do not reach the rule: XDP would handle them, and the way back would not > modprobe br_netfilter && sysctl -w net.bridge.bridge-nf-call-iptables=N"
external attach="[ens5]"
no_auto "bridged frames are hidden" 1 "br0: bridge-netfilter: frames"
in_gw ip link set br0 type bridge nf_call_iptables 1
plan "bridged frames reach the rule of this bridge" 0 ""
in_gw ip link set br0 type bridge nf_call_iptables 0
in_gw sysctl -qw net.bridge.bridge-nf-call-iptables=1
in_gw ethtool -K ens5 rx-udp-gro-forwarding on
plan "GRO of UDP" 0 "warn gro: ens5: GRO of forwarded UDP is on: rule and XDP count several packets as one > ethtool -K ens5 rx-gro-list off rx-udp-gro-forwarding off"
mends "GRO of UDP" gro
bpftool prog loadall "$BPF_OBJ" /sys/fs/bpf/foreign
WHOSE="> bpftool prog show id N; bpftool net   # and ask who attached it"
for dev in ens5 ens6 vxlan1; do
	in_gw bpftool net attach xdpgeneric pinned /sys/fs/bpf/foreign/n2x_clock dev $dev
	if [ $dev = ens5 ]; then
		plan "foreign XDP" 1 "fail foreign-xdp: ens5: XDP program id N is attached and is not ours $WHOSE"
		no_auto "foreign XDP" 5 "br0: foreign-xdp: ens5: XDP program id "
	elif [ $dev = vxlan1 ]; then
		plan "foreign XDP above" 1 "fail foreign-xdp: vxlan1 has XDP program id N, which is not ours: the kernel attaches none to ens5 below it $WHOSE"
		no_auto "foreign XDP above" 5 "br0: foreign-xdp: vxlan1 has XDP program id "
	else
		plan "foreign XDP beside" 0 "warn foreign-xdp: ens6 has XDP program id N, which is not ours: it may take packets away in front of us, or behind $WHOSE"
	fi
	in_gw bpftool net detach xdpgeneric dev $dev
done
rm -r /sys/fs/bpf/foreign
ok "start" n2x migrate start -c "$CONF"
plan "started" 0 "" -c "$CONF"
check "started: nothing to attach" "$(jq -r '[.changes[].do | select(test("^attach|^pin"))] | length' <<<"$OUT")" 0
plan "started, no file" 0 ""
external attach="[ens5]" min=1400
plan "started with another policy" 1 "fail instance: br0: what is attached has another policy or other interfaces than this file: nfq2xdp migrate rollback --detach -c FILE, then start > nfq2xdp migrate rollback --detach -c FILE" -c "$CONF"
external attach="[ens5]"
ok "restore" n2x migrate restore -c "$CONF"
ok "detach" n2x migrate rollback -c "$CONF" --detach --allow-link-reset

echo "# the traffic"
in_gw ethtool -L ens5 rx 2
# On veth a packet arrives on the CPU that sent it.
for cpu in 0 1; do
	start_daemon source in_src taskset -c $cpu "$LAB_BIN/source" -i mirror0 -m "$LAB_MAC" -r 10000 -f 16
	plan "all on CPU $cpu" 0 "warn rss: ens5 has N receive queues, and CPU N received N % of the policy's packets > ethtool -X ens5 equal N; ethtool -N ens5 rx-flow-hash udp4 sdfn"
	check "all on CPU $cpu: which, percent" "$(of_check rss .cause | grep -o 'CPU .* %')" "CPU $cpu received 100 %"
	stop_daemon source
done
in_gw ethtool -L ens5 rx 1
traffic -f 1
plan "one flow" 0 "warn flows: one flow is N % of the policy's packets: a share by flow takes all of it or none, and one CPU carries it > nfq2xdp migrate split -c FILE --every N   # splits packets, and lets them overtake"
stop_daemon source
traffic -b id0
plan "ID 0" 0 "warn ip-id: N of N packets have the IPv4 ID N: once DF is cleared, fragments of two of them can be put together to one (RFC N) > action: { ip-id: assign } in the file"
external attach="[ens5]"
sed -i 's/ip-id: keep/ip-id: assign/' "$CONF"
plan "ID 0, assigned" 0 "" -c "$CONF"
stop_daemon source
traffic -b fragment
plan "fragments" 0 "warn fragments: N of N frames are later fragments of UDP: they have no port, so XDP and our NFQUEUE path pass them as they are > tcpdump -ni ens5 'ip[N:N] & 0x1fff != N'"
stop_daemon source
traffic -b vlan
plan "VLAN tags" 0 "warn vlan: N of N packets of the policy have a VLAN tag: XDP looks through it; the rule may not > sysctl net.bridge.bridge-nf-filter-vlan-tagged   # the rule sees tagged frames with N"
stop_daemon source

echo "# rights and kernel"
# without CAP…: as root with all capabilities but these.
plan_as() {
	local name=$1 want=$2
	shift 2
	OUT=$("$@" --json 2>/run/lab/stderr)
	check "$name: exit, lines on stderr" "$? $(wc -l </run/lab/stderr)" "1 0"
	check "$name: findings" "$(findings)" "$want"
}
for cap in net_admin sys_admin,-bpf sys_admin,-perfmon; do
	last=CAP_${cap##*-}
	plan_as "without $cap" "fail rights: ${last^^} is missing: run as root, or give the process ${last^^} > sudo nfq2xdp plan" \
		in_gw setpriv --bounding-set="-$cap" --inh-caps=-all "$N2X" plan
done
plan_as "a service without AF_NETLINK" "fail rights: no netlink socket may be made (Address family not supported by protocol): a service needs AF_NETLINK in RestrictAddressFamilies" \
	in_gw "$LAB_BIN/no_link" -n "$N2X" plan br0
plan_as "bpffs is hidden" "fail bpffs: /sys/fs/bpf is not a BPF file system: mount -t bpf bpf /sys/fs/bpf (inside \`ip netns exec\` it is hidden: use nsenter --net=/run/netns/NAME) > mount -t bpf bpf /sys/fs/bpf" \
	ip netns exec n2x-gw "$N2X" plan
mount -o remount,ro /sys/fs/bpf
external attach="[ens5]"
no_auto "bpffs is read-only" 6 "br0: bpffs: /sys/fs/bpf is read-only"
plan "bpffs is read-only" 1 "fail bpffs: /sys/fs/bpf is read-only: nothing can be pinned there (in a service: ReadWritePaths=/sys/fs/bpf/nfq2xdp) > mount -o remount,rw /sys/fs/bpf"
mends "bpffs is read-only" bpffs
mount -o remount,ro /var/lib
plan "no journal" 1 "fail journal: /var/lib/nfq2xdp/br0: Read-only file system: a rollout keeps its journal there > df -h /var/lib; mount | grep /var"
mount -o remount,rw /var/lib
mount -t tmpfs lab /sys/kernel/security
for lockdown in "[none] integrity confidentiality" "none [integrity] confidentiality"; do
	echo "$lockdown" >/sys/kernel/security/lockdown
	OUT=$(n2x plan --json)
	lockdown=${lockdown#*[}
	check "lockdown" "$(of_check lockdown '"\(.verdict) \(.cause)"')" "ok ${lockdown%]*}, and the program loads"
done
umount /sys/kernel/security
# Units act on the first process's namespace: the lab's own.
mount -t tmpfs lab /etc/systemd
mkdir -p /etc/systemd/system/multi-user.target.wants
ln -s /none /etc/systemd/system/multi-user.target.wants/nftables.service
OUT=$("$N2X" plan lo --json)
check "a unit" "$(of_check flushers '"\(.verdict) \(.cause)"' | cut -d : -f 1)" "warn nftables.service (its unit is enabled)"
plan "a unit of another namespace" 0 ""
umount /etc/systemd

echo "# connection tracking, last: what it has tracked stays for a while"
in_gw iptables -t mangle -A PREROUTING -m conntrack --ctstate INVALID -j ACCEPT
traffic
DEADLINE=$((SECONDS + LAB_WAIT))
until [ "$(in_gw cat /proc/sys/net/netfilter/nf_conntrack_count)" -gt 0 ] || [ $SECONDS -gt $DEADLINE ]; do :; done
plan "connection tracking" 0 "warn conntrack: connections are tracked (N) before the rule (priority -N): it sees fragments put together, XDP sees them apart > nfqueue: { daemon: own } in the file: our NFQUEUE path is before it (priority -N)"
stop_daemon source
in_gw iptables -t mangle -F PREROUTING
stop_daemon old
finish
