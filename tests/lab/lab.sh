#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The lab: a traffic-mirror gateway in three network namespaces. Sourced, never run.
#
#   n2x-src                      n2x-gw                                   n2x-col
#   mirror0 (vxlan, VNI 1)       vxlan1 ─┐
#   eth0 ─────────────────────── ens5    ├─ br0
#                                        └─ ens6 ───────────────────────── eth0
#
#	source tests/lab/lab.sh; lab_reexec "$@"; lab_up
#	start_daemon sink in_col "$LAB_BIN/sink" -i eth0      # returns when it said that it is ready
#	start_daemon source in_src "$LAB_BIN/source" -i mirror0 -m "$LAB_MAC" -r 20000
#	ask sink                                              # SIGUSR1; the one line it answers
#	check received "$(field .received)" 100000
#	stop_daemon source; wait_daemon sink; finish
#
# start_daemon, ask, stop_daemon, wait_daemon and wait_line leave the line they read in REPLY and print nothing.
# Call them in the script's own shell, not in $(…).

LAB_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
LAB_BIN=$(cd "$LAB_ROOT" && realpath -m "${BUILD:-build}")/tests/lab
LAB_MAC=02:4e:32:58:06:02 # n2x-col's eth0
LAB_SLOW=${LAB_SLOW:-1} # this many times slower is the machine: rates are divided by it, and waiting may take longer
LAB_WAIT=${LAB_WAIT:-$((30 * LAB_SLOW))}  # seconds that any one wait may take
LAB_TIME=${LAB_TIME:-$((300 * LAB_SLOW))} # seconds that the whole script may take
declare -A LAB_PID LAB_FD
# shellcheck source=tests/check.sh
. "$LAB_ROOT/tests/check.sh"

lab_skip() {
	echo "$*"
	exit 77
}

# Runs the calling script again inside mount, pid and network namespaces of its own: however it ends, SIGKILL included,
# the kernel takes back every process, namespace, pin and mount. A command that forgets in_gw touches nothing.
lab_reexec() {
	local tool kind
	if [ "${LAB_INSIDE:-}" != $$ ]; then
		[ "$(id -u)" = 0 ] || lab_skip "needs root"
		for tool in unshare setpriv nsenter ip bridge tc sysctl ethtool iptables iptables-save nft jq; do
			command -v "$tool" >/dev/null || lab_skip "needs $tool"
		done
		for tool in source sink old_daemon; do
			[ -x "$LAB_BIN/$tool" ] || lab_skip "needs $LAB_BIN/$tool: make tests"
		done
		# unshare ignores SIGTERM: timeout follows it with SIGKILL. And when timeout itself is killed, setpriv's
		# death signal ends unshare. nice, because a gateway shares its CPUs with nobody: with two busy loops beside
		# it on two CPUs, the old daemon starves for more than its queue holds, and loss means nothing any more.
		LAB_INSIDE=1 exec timeout --foreground -s KILL -k 2 "$LAB_TIME" nice -n -20 setpriv --pdeathsig KILL \
			unshare --mount --pid --net --fork --kill-child --mount-proc --propagation private "$0" "$@"
	fi
	trap 'exit 130' INT TERM HUP
	# All of /run, so that nothing is created in the host's: netns, nfq2xdp, xtables.lock. And the journals.
	mount -t tmpfs lab /run && mkdir /run/netns /run/nfq2xdp /run/lab &&
		mount -t tmpfs lab /run/netns && mount -t tmpfs lab /var/lib || exit 1
	mount -t bpf bpf /sys/fs/bpf || lab_skip "needs bpffs on /sys/fs/bpf"
	for kind in veth bridge "vxlan id 1 dstport 4789"; do
		# shellcheck disable=SC2086
		ip link add probe0 type $kind 2>/dev/null || lab_skip "the kernel has no ${kind%% *}"
		ip link del probe0
	done
	[ -e /proc/sys/net/bridge/bridge-nf-call-iptables ] || lab_skip "needs the module br_netfilter"
}

# Not "ip netns exec": that mounts a sysfs of its own, and /sys/fs/bpf is empty there.
in_gw() { nsenter --net=/run/netns/n2x-gw "$@"; }
in_src() { nsenter --net=/run/netns/n2x-src "$@"; }
in_col() { nsenter --net=/run/netns/n2x-col "$@"; }

lab_batch() { ip -n "$1" -batch -; }

# Every address, neighbour and forwarding entry is static and nothing learns: no frame but the source's moves.
lab_up() {
	local ns dev
	for ns in n2x-src n2x-gw n2x-col; do
		[ -e /run/netns/$ns ] || ip netns add $ns || return
		nsenter --net=/run/netns/$ns sysctl -qw -e net.ipv6.conf.all.disable_ipv6=1 \
			net.ipv6.conf.default.disable_ipv6=1 || return
	done
	# On by default in a new namespace, but the lab stands and falls with it: netfilter sees bridged frames.
	in_gw sysctl -qw net.bridge.bridge-nf-call-iptables=1 || return
	lab_batch n2x-gw <<-END || return
		link add ens5 mtu 9001 address 02:4e:32:58:05:01 \
			type veth peer name eth0 mtu 9001 address 02:4e:32:58:05:02 netns n2x-src
		link add ens6 mtu 9001 address 02:4e:32:58:06:01 \
			type veth peer name eth0 mtu 9001 address $LAB_MAC netns n2x-col
		link set lo up
		link set ens5 up
		link set ens6 up
		address add 198.51.100.1/24 dev ens5
		neigh add 198.51.100.2 lladdr 02:4e:32:58:05:02 nud permanent dev ens5
	END
	lab_batch n2x-col <<-END || return
		link set lo up
		link set eth0 up
	END
	# 9001 - 50 bytes of outer headers = 8951 of inner IPv4. The outer UDP checksum is 0, as RFC 7348 asks.
	lab_batch n2x-src <<-END || return
		link set lo up
		link set eth0 up
		address add 198.51.100.2/24 dev eth0
		neigh add 198.51.100.1 lladdr 02:4e:32:58:05:01 nud permanent dev eth0
		link add mirror0 mtu 8951 address 02:4e:32:58:00:01 \
			type vxlan id 1 local 198.51.100.2 remote 198.51.100.1 \
			dev eth0 dstport 4789 nolearning noudpcsum
		link set mirror0 up
	END
	lab_batch n2x-gw <<-END || return
		link add vxlan1 mtu 8951 address 02:4e:32:58:01:01 \
			type vxlan id 1 local 198.51.100.1 remote 198.51.100.2 \
			dev ens5 dstport 4789 nolearning noudpcsum
		link set vxlan1 up
		link add br0 address 02:4e:32:58:00:b0 \
			type bridge stp_state 0 forward_delay 0 mcast_snooping 0
		link set br0 up
		link set vxlan1 master br0
		link set ens6 master br0
		link set vxlan1 type bridge_slave learning off flood off mcast_flood off
		link set ens6 type bridge_slave learning off flood off mcast_flood off
	END
	in_gw bridge fdb replace $LAB_MAC dev ens6 master static || return
	# GRO may hand several packets on as one, and netfilter, an XDP program and the sink would each count one. All
	# three switches: some kernels turn plain GRO on again at a veth while a native XDP program is attached.
	for dev in gw:ens5 gw:vxlan1 gw:ens6 gw:br0 src:eth0 src:mirror0 col:eth0; do
		"in_${dev%:*}" ethtool -K "${dev#*:}" gro off rx-gro-list off rx-udp-gro-forwarding off || return
	done
	lab_forwarding && lab_baseline
}

# What finish compares the gateway with. lab_up does it; a test that itself leaves something behind does it again.
lab_baseline() { lab_snapshot >/run/lab/baseline; }

# A port that came up forwards only once the kernel's link watch has run: listen first, then look, then wait.
lab_forwarding() {
	local state fd monitor deadline=$((SECONDS + LAB_WAIT))
	exec {fd}< <(exec nsenter --net=/run/netns/n2x-gw ip monitor link)
	monitor=$!
	while state=$(in_gw bridge -j link | jq -r 'map(.state) | join(" ")'); do
		[ "$state" != "forwarding forwarding" ] || break
		[ $SECONDS -lt $deadline ] || { echo "bridge ports: $state" >&2; break; }
		read -r -t 1 -u "$fd"
	done
	kill "$monitor"
	exec {fd}<&-
	[ "$state" = "forwarding forwarding" ]
}

lab_down() {
	local name ns
	for name in "${!LAB_PID[@]}"; do
		kill -KILL "${LAB_PID[$name]}" 2>/dev/null
		lab_reap "$name"
	done
	for ns in n2x-src n2x-gw n2x-col; do
		ip netns del $ns 2>/dev/null
	done
	return 0
}

# lab_old_rule A|D: adds or deletes the rule that is to be migrated away from.
lab_old_rule() {
	in_gw iptables -t mangle "-$1" PREROUTING -i br0 -p udp --dport 31765 -j NFQUEUE --queue-num 0
}

# What the gateway's namespace looks like, without what counts or ticks: equal before and after means untouched.
lab_snapshot() {
	local dev save
	echo "== links, XDP programs"
	in_gw ip -d -j link | jq -cS '.[] | walk(if type == "object"
		then with_entries(select(.key | endswith("_timer") | not)) else . end)'
	command -v bpftool >/dev/null && { echo "== bpftool net"; in_gw bpftool net; }
	echo "== addresses, routes, neighbours, forwarding entries"
	in_gw ip -o addr
	in_gw ip route show table all
	in_gw ip rule
	in_gw ip neigh
	in_gw bridge fdb
	echo "== nft"
	in_gw nft -s list ruleset 2>/dev/null
	for save in iptables-nft-save iptables-legacy-save; do
		command -v $save >/dev/null || continue
		echo "== $save"
		in_gw $save 2>/dev/null | sed -E '/^#/d; s/ \[[0-9]+:[0-9]+\]$//'
	done
	echo "== qdiscs"
	in_gw tc qdisc
	echo "== sysctls"
	in_gw sysctl -a --pattern '^net\.' 2>/dev/null | grep -Ev '^net\.netfilter\.nf_conntrack_count '
	for dev in $(in_gw ip -j link | jq -r '.[].ifname'); do
		echo "== offloads of $dev"
		in_gw ethtool -k "$dev" 2>/dev/null
	done
}

# start NAME CMD…: runs CMD in the background, for a program that never says that it is ready (and until it would, a
# signal may kill it). A leading in_gw, in_src or in_col is resolved here, so that the pid is
# CMD's own. The rate of a source is divided by LAB_SLOW.
start() {
	local name=$1 fifo=/run/lab/$1 fd i
	shift
	case $1 in
	in_gw | in_src | in_col) set -- nsenter --net="/run/netns/n2x-${1#in_}" "${@:2}" ;;
	esac
	for ((i = 1; LAB_SLOW > 1 && i < $#; i++)); do
		[[ " $* " == *"/source "* && ${!i} == -r ]] && set -- "${@:1:i}" $((${@:i+1:1} / LAB_SLOW)) "${@:i+2}"
	done
	rm -f "$fifo"
	mkfifo "$fifo" || return
	"$@" >"$fifo" &
	LAB_PID[$name]=$!
	exec {fd}<"$fifo"
	LAB_FD[$name]=$fd
}

# wait_line NAME PATTERN: reads what NAME prints up to the first line that matches the glob PATTERN.
wait_line() {
	local deadline=$((SECONDS + LAB_WAIT))
	while read -r -t $((deadline > SECONDS ? deadline - SECONDS : 1)) -u "${LAB_FD[$1]}"; do
		# shellcheck disable=SC2053
		[[ $REPLY != $2 ]] || return 0
		[ $SECONDS -lt $deadline ] || break
	done
	echo "$1: no line like $2 within $LAB_WAIT s, or it ended" >&2
	return 1
}

# start_daemon NAME CMD…: start, and wait until it says {"ready":true}.
start_daemon() {
	start "$@" && wait_line "$1" '*"ready":true*'
}

# ask NAME: SIGUSR1, and the one line that it answers.
ask() {
	REPLY=''
	kill -USR1 "${LAB_PID[$1]}" && wait_line "$1" '*'
}

# Forgets NAME, which is ending; its exit status.
lab_reap() {
	local pid=${LAB_PID[$1]} fd=${LAB_FD[$1]}
	exec {fd}<&-
	unset "LAB_PID[$1]" "LAB_FD[$1]"
	wait "$pid"
}

# wait_daemon NAME: waits for it to end by itself. REPLY is its last line; its exit status. Past LAB_WAIT: killed, 124.
wait_daemon() {
	local deadline=$((SECONDS + LAB_WAIT)) last='' rc
	while read -r -t $((deadline > SECONDS ? deadline - SECONDS : 1)) -u "${LAB_FD[$1]}"; rc=$?; [ $rc = 0 ]; do
		last=$REPLY
	done
	REPLY=$last
	if [ $rc -gt 128 ]; then
		echo "$1: still running after $LAB_WAIT s: killed" >&2
		kill -KILL "${LAB_PID[$1]}"
		lab_reap "$1"
		return 124
	fi
	lab_reap "$1"
}

# stop_daemon NAME: SIGTERM, then wait_daemon.
stop_daemon() {
	REPLY=''
	kill -TERM "${LAB_PID[$1]}" && wait_daemon "$1"
}

# field FILTER: jq on REPLY.
field() {
	jq -r "$1" <<<"$REPLY"
}

# Of standard input, a status, and on to standard output: finish asks whether all of them were as their schema says.
lab_status() { tee -a /run/lab/statuses; }

# The gateway is as it was, and nothing of ours is pinned.
finish() {
	if [ -s /run/lab/statuses ] && /usr/bin/python3 -c 'import jsonschema' 2>/dev/null; then
		check "$(wc -l </run/lab/statuses) statuses as the schema says" \
			"$("$LAB_ROOT/tests/schema.py" "$LAB_ROOT/monitoring/status.schema.json" </run/lab/statuses 2>&1)" ""
	fi
	if ip netns | grep -q '^n2x-gw'; then
		check "gateway before and after" "$(diff /run/lab/baseline <(lab_snapshot))" ""
		check "pins left" "$(find /sys/fs/bpf/nfq2xdp -mindepth 1 2>/dev/null)" ""
	fi
	tally
	exit
}
