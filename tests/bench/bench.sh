#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The benchmark: README.md beside this file says what each figure is. BENCH=quick (default) or long. Every value goes
# to build/bench/values.jsonl as it is measured; from these come result.json, table.md and chart.svg.
set -u
cd "$(dirname "$0")/../.." || exit 1
# A session of its own: where the scheduler groups by session, nice counts for nothing between two of them.
[ -n "${BENCH_SESSION:-}" ] || BENCH_SESSION=1 exec setsid -w setpriv --pdeathsig KILL "$0" "$@"
{ echo -20 >/proc/self/autogroup; } 2>/dev/null
case ${BENCH:-quick} in
quick) ROUNDS=5 CLOSE_ROUNDS=25 WINDOW=150 SLOW_ROUNDS=3 PAIRS=203 HOLD=5000 LOSSLESS=700 ;;
long) ROUNDS=21 CLOSE_ROUNDS=101 WINDOW=500 SLOW_ROUNDS=9 PAIRS=1001 HOLD=60000 LOSSLESS=2000 ;;
*) echo "BENCH=$BENCH: quick or long" >&2; exit 2 ;;
esac
export LAB_TIME=7200
# shellcheck source=tests/lab/lab.sh
. tests/lab/lab.sh
lab_reexec "$@"
# shellcheck source=tests/netns/lib.sh
. tests/netns/lib.sh

BENCH_BIN=${LAB_BIN%/lab}/bench
OUT=${LAB_BIN%/tests/lab}/bench
PINS=/sys/fs/bpf/bench
METHODS=(forward old nfq nft nft-ingress tc generic native wire redirect)
CLOSE=(forward nft tc native wire redirect) # between them it is about some per cent
LATENCY=(forward old least nfq nft tc generic native redirect)
declare -A LENGTH=([small]=46 [1400]=1400)
NFT_RULE='udp dport 31765 ip frag-off & 0x4000 != 0 ip frag-off set ip frag-off & 0xbfff'
REFUSED=0

# n2x-src eth0 ── ens5 [br0] ens6 ── eth0 n2x-col, two queues each. netfilter sees bridged frames, whatever the method.
bench_up() {
	local ns dev i
	for ns in n2x-src n2x-gw n2x-col; do
		ip netns add $ns && nsenter --net=/run/netns/$ns sysctl -qw -e net.ipv6.conf.all.disable_ipv6=1 \
			net.ipv6.conf.default.disable_ipv6=1 || return
	done
	in_gw sysctl -qw net.bridge.bridge-nf-call-iptables=1 || return
	lab_batch n2x-gw <<-END || return
		link add ens5 index 105 numrxqueues 2 numtxqueues 2 address 02:4e:32:58:05:01 type veth \
			peer name eth0 index 107 numrxqueues 2 numtxqueues 2 address 02:4e:32:58:05:02 netns n2x-src
		link add ens6 index 106 numrxqueues 2 numtxqueues 2 address 02:4e:32:58:06:01 type veth \
			peer name eth0 index 107 numrxqueues 2 numtxqueues 2 address $LAB_MAC netns n2x-col
		link add br0 address 02:4e:32:58:00:b0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0
		link set br0 up
		link set ens5 up
		link set ens6 up
		link set ens5 master br0
		link set ens6 master br0
		link set ens5 type bridge_slave learning off flood off mcast_flood off
		link set ens6 type bridge_slave learning off flood off mcast_flood off
	END
	in_gw bridge fdb replace $LAB_MAC dev ens6 master static &&
		ip -n n2x-src link set eth0 up && ip -n n2x-col link set eth0 up || return
	for i in {0..29}; do echo "link add cost$i type veth peer name peer$i"; done | lab_batch n2x-src || return
	# A queue each CPU, as on a NIC: else both CPUs' packets leave through the one that the flow's hash names.
	for dev in ens5 ens6; do
		ip netns exec n2x-gw sh -c "for i in 0 1; do
			echo \$((1 << i)) >/sys/class/net/$dev/queues/tx-\$i/xps_cpus; done" || return
	done
	bpftool prog loadall "$BENCH_BIN/bench.bpf.o" $PINS pinmaps $PINS &&
		in_col ip link set eth0 xdpdrv pinned $PINS/bench_sink &&
		lab_forwarding || return
	# struct df_ctl: share all, a lease without end, nothing else.
	# shellcheck disable=SC2046
	bpftool map update pinned $PINS/_data_ctl key hex 00 00 00 00 \
		value hex 03 00 00 00 00 00 00 00 ff ff ff ff ff ff ff ff $(printf '00 %.0s' {1..48})
}

rss() { awk '/^VmRSS/ { print $2 }' "/proc/${LAB_PID[path]}/status"; }

# up METHOD CPUS [THREADS]: CPUS is where its daemon may run.
up() {
	local daemon=(taskset -c "$2")
	case $1 in
	forward) ;;
	old) start_daemon path in_gw "${daemon[@]}" "$LAB_BIN/old_daemon" && lab_old_rule A ;;
	least) start_daemon path in_gw "${daemon[@]}" "$BENCH_BIN/least" -o && lab_old_rule A ;;
	nfq*)
		conf "threads=${3:-1}"
		[ "$1" = nfq ] || sed -i 's/fail: open/fail: closed/' "$CONF"
		start_said path '*NFQUEUE path ready*' "${daemon[@]}" "$N2X" run nfqueue -c "$CONF"
		;;
	nft) in_gw nft "table ip bench { chain c { type filter hook prerouting priority -450; iifname br0 $NFT_RULE; }; }" ;;
	nft-ingress) in_gw nft "table netdev bench { chain c { type filter hook ingress device ens5 priority 0; $NFT_RULE; }; }" ;;
	tc) in_gw tc qdisc add dev ens5 clsact && in_gw tc filter add dev ens5 ingress bpf da pinned $PINS/bench_tc ;;
	generic | native)
		conf "mode=$1"
		start_said path '*XDP path ready*' "$N2X" run xdp -c "$CONF"
		;;
	wire | redirect) in_gw ip link set ens5 xdpdrv pinned "$PINS/bench_$1" ;;
	esac || return
	# A veth without XDP takes live frames with GRO only. UDP is not merged, and every method has it alike.
	in_gw ethtool -K ens5 gro on rx-gro-list off rx-udp-gro-forwarding off
}

down() {
	if [ -n "${LAB_PID[path]:-}" ]; then
		value "rss_kb.$1" "$(rss)"
		stop_daemon path || return
	fi
	case $1 in
	old | least) lab_old_rule D ;;
	nft) in_gw nft delete table ip bench ;;
	nft-ingress) in_gw nft delete table netdev bench ;;
	tc) in_gw tc qdisc del dev ens5 clsact ;;
	generic | native) n2x migrate rollback -c "$CONF" --detach --allow-link-reset >/dev/null ;;
	wire | redirect) in_gw ip link set ens5 xdpdrv off ;;
	esac
}

# value NAME NUMBER: one value of a figure, of this ROUND.
value() { echo "{\"name\":\"$1\",\"round\":${ROUND:-0},\"value\":$2}" >>"$OUT/values.jsonl"; }

# What every counter on the way says was dropped.
drops() {
	local links queues
	links=$({ in_src ip -s -j link; in_gw ip -s -j link; in_col ip -s -j link; } |
		jq -s '[.[][].stats64 | .rx, .tx | .dropped + .errors] | add')
	queues=$(in_gw awk '{ n += $6 + $7 } END { print n + 0 }' /proc/net/netfilter/nfnetlink_queue)
	echo $((links + queues))
}

unmodified() {
	case $1 in
	nfq*) status | jq .nfqueue.unmodified ;;
	*) echo 0 ;;
	esac
}

# measure METHOD TRAFFIC-ARGUMENT…: one run. REPLY is what the sink saw, with .dropped and .unmodified as the counters of
# the machine have it, and .done_pps, what was handled. Fails, and says why, when the two do not add up.
measure() {
	local method=$1 drops unmodified none=false
	shift
	case $method in forward | wire | least) none=true ;; esac
	drops=$(drops) unmodified=$(unmodified "$method")
	REPLY=$(in_src "$BENCH_BIN/traffic" "$@") || return
	REPLY=$(jq -c --argjson d $(($(drops) - drops)) --argjson u $(($(unmodified "$method") - unmodified)) \
		--argjson none $none '. + {dropped: $d, unmodified: $u, done_pps: (if $none then .pps else .cleared_pps end),
			adds_up: (.sent > 0 and .sent == .received + $d and .bad + .other == 0 and
				.cleared == if $none then 0 else .received - $u end)}' <<<"$REPLY")
	[ "$(field .adds_up)" = true ] && return
	echo "REFUSED $method $*: the counters do not add up: $REPLY" >&2
	REFUSED=$((REFUSED + 1))
	return 1
}

# rotate WORD…: the methods in turn, beginning with another one each round.
rotate() {
	local n=$((ROUND % $#))
	echo "${@:n+1}" "${@:1:n}"
}

# What a packet costs in the program alone. Thrice, minutes apart: the run counts in which the empty program took least.
cost() { in_src "$BENCH_BIN/cost" "$PAIRS" "$BENCH_BIN/bench.bpf.o" "$OUT/nolease.bpf.o" >>"$OUT/cost.json"; }

throughput() {
	local cpus method size warm
	for cpus in 1 2; do
		for method in $(rotate "${METHODS[@]}"); do
			up "$method" 0-$((cpus - 1)) "$cpus" || return
			# The scheduler takes a second to find out that of two threads each has a CPU to itself.
			warm=50
			[ "$method,$cpus" != nfq,2 ] || warm=2000
			for size in small 1400; do
				measure "$method" -y -c "$cpus" -l "${LENGTH[$size]}" -w $warm -t "$WINDOW" &&
					value "pps.$method.$size.$cpus" "$(field .done_pps)"
			done
			down "$method" || return
		done
	done
}

close() {
	local method
	for method in $(rotate "${CLOSE[@]}"); do
		up "$method" 0 || return
		measure "$method" -y -c 1 -l "${LENGTH[small]}" -w 50 -t "$WINDOW" &&
			value "pps.$method.close" "$(field .done_pps)"
		down "$method" || return
	done
}

# The most packets/s of which each is handled, come in bursts of 64: by halving. RATE. For so long that what fits into
# a queue is a small part of it.
lossless() {
	local low=0 high rate i
	measure "$1" -t "$WINDOW" || return
	high=$(field '.done_pps * 1.1 | floor')
	for i in 1 2 3 4 5 6; do
		rate=$(((low + high) / 2))
		measure "$1" -t "$LOSSLESS" -r "$rate" || return
		if [ "$(field '.cleared == .sent and .sent_pps > 0.98 * '$rate)" = true ]; then
			low=$rate
		else
			high=$rate
		fi
	done
	RATE=$low
}

# The longest burst, as fast as the generator can, of which each packet is handled; five a second, by halving.
burst() {
	local low=64 high=65536 n
	while [ $((high - low)) -gt $((low / 8)) ]; do
		n=$((high > 4 * low ? 2 * low : (low + high) / 2))
		measure "$1" -t 300 -b $n -r $((n * 5)) || return
		if [ "$(field '.cleared == .sent')" = true ]; then low=$n; else high=$n; fi
	done
	value "burst.$1" $low
}

# What the least daemon handled: it clears nothing, and what passed it unseen came as well.
bound() {
	local from per
	ask path && from=$(field .handled) && measure least -t "$WINDOW" || return
	per=$(field '.pps / .received')
	ask path && value pps.overload.least "$(field "(.handled - $from) * $per | floor")"
}

# The generator on one CPU, the daemons on the other. Latency from one end of the wire to the other, packet by packet.
latency_of() {
	local load
	if [ "$1" = old ] || [ "$1" = nfq ]; then
		measure "$1" -t "$WINDOW" && value "pps.overload.$1" "$(field .done_pps)"
		burst "$1"
		lossless "$1" && value "pps.lossless.$1" "$RATE" || return
	elif [ "$1" = least ]; then
		bound
		return
	else
		measure "$1" -t "$WINDOW" -b 1 || return
		RATE=$(field '.done_pps | floor')
	fi
	for load in 10 50 90; do
		measure "$1" -t "$WINDOW" -b 1 -r $((RATE * load / 100)) -s || continue
		value "latency_p50_ns.$1.$load" "$(field .p50_ns)"
		value "latency_p99_ns.$1.$load" "$(field .p99_ns)"
	done
}

latency() {
	local method
	for method in $(rotate "${LATENCY[@]}"); do
		up "$method" 1 || return
		latency_of "$method"
		down "$method" || return
	done
}

# Our NFQUEUE path at 90 % of what it can, for a while.
hold() {
	lossless nfq || return
	value rss_before_kb.nfq "$(rss)"
	if measure nfq -t "$HOLD" -r $((RATE * 9 / 10)); then
		value at_90_percent.not_handled "$(field '.sent - .cleared')"
		value at_90_percent.sent "$(field .sent)"
	fi
	value rss_after_kb.nfq "$(rss)"
}

# And far too much, fail: open and closed. One CPU cannot send ten times what another one handles: so a loop has nine
# tenths of the daemon's CPU meanwhile.
overload() {
	# shellcheck disable=SC2046 # its threads
	start loop taskset -c 1 sh -c 'while :; do :; done' &&
		renice -n -10 $(ls "/proc/${LAB_PID[path]}/task") >/dev/null &&
		measure "$1" -t 1000 -q 500 || return
	value "overload.$1.times_capacity" "$(field ".sent_pps / .done_pps")"
	value "overload.$1.delivered_share" "$(field '.received / .sent')"
	value "overload.$1.not_handled" "$(field '.sent - .cleared')"
	value "overload.$1.counted" "$(field '.unmodified + .dropped')"
	stop_daemon loop
}

nfqueue() {
	local method
	up nfq 1 || return
	hold
	overload nfq
	down nfq && up nfq-closed 1 || return
	overload nfq-closed
	down nfq-closed
}

# rounds N STAGE
rounds() {
	for ((ROUND = 0; ROUND < $1; ROUND++)); do
		"$2" || { echo "$2: cannot be set up" >&2; return 1; }
		echo "$2 $((ROUND + 1))/$1: $SECONDS s"
	done
}

report() {
	local machine
	machine="Linux $(uname -r), $(sed -n 's/^model name.*: //p;T;q' /proc/cpuinfo), $(nproc) CPUs, load $LOAD when it began, ${BENCH:-quick}"
	jq -s --slurpfile cost "$OUT/cost.json" --arg machine "$machine" --argjson refused $REFUSED \
		-f tests/bench/result.jq "$OUT/values.jsonl" >"$OUT/result.json" &&
		jq -r -f tests/bench/table.jq "$OUT/result.json" >"$OUT/table.md" &&
		jq -r -f tests/bench/chart.jq "$OUT/result.json" >"$OUT/chart.svg" || return
	cat "$OUT/table.md"
	echo
	echo "$OUT: result.json, table.md, chart.svg"
	echo "$(jq '(.figures | length) + (.program_ns | length)' "$OUT/result.json") passed, $REFUSED failed"
	[ $REFUSED = 0 ]
}

[ "$(nproc)" -ge 2 ] || lab_skip "needs two CPUs"
read -r LOAD _ </proc/loadavg
mkdir -p "$OUT"
rm -f "$OUT/values.jsonl" "$OUT/cost.json"
bench_up || { echo "the lab cannot be set up" >&2; exit 1; }
SECONDS=0
rounds 1 cost && rounds "$ROUNDS" throughput && rounds 1 cost && rounds "$CLOSE_ROUNDS" close && rounds 1 cost &&
	rounds "$SLOW_ROUNDS" latency && rounds 1 nfqueue && report
