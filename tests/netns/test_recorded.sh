#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Traffic of programs that are not ours, recorded by tcpdump: iperf3, ping, nc, IP options by perl, the kernel's TCP, its
# fragments of IPv4 and IPv6, its VXLAN. Replayed under every kind of policy, by a call and through a live queue: no
# packet comes out of the two paths differently.
set -u
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/../lab/lab.sh"
lab_reexec "$@"
for tool in iperf3 tcpdump ping nc perl; do
	command -v $tool >/dev/null || lab_skip "needs $tool: make deps"
done
# shellcheck source=tests/netns/lib.sh
. "$LAB_ROOT/tests/netns/lib.sh"
PORT=31765 DIR=/run/lab/recorded
mkdir $DIR

# n2x-src and n2x-col, one link, and a VXLAN over it. What is recorded is what a wire would carry: no segments of 64 KiB.
up() {
	local i ns dev
	ip netns add n2x-src && ip netns add n2x-col || return
	ip -n n2x-src link add eth0 mtu 1550 type veth peer name eth0 mtu 1550 netns n2x-col || return
	for i in 1 2; do
		ns=$([ $i = 1 ] && echo n2x-src || echo n2x-col)
		lab_batch "$ns" <<-END || return
			link set lo up
			link set eth0 up
			address add 198.51.100.$i/24 dev eth0
			address add 2001:db8:1::$i/64 dev eth0 nodad
			link add vx0 mtu 1500 type vxlan id 7 local 198.51.100.$i remote 198.51.100.$((3 - i)) dev eth0 dstport 4789
			link set vx0 up
			address add 203.0.113.$i/24 dev vx0
			address add 2001:db8:2::$i/64 dev vx0 nodad
		END
		for dev in eth0 vx0; do
			nsenter --net="/run/netns/$ns" ethtool -K $dev tso off gso off gro off >/dev/null || return
		done
	done
}

# record NAME INTERFACE [OPTION…]
record() {
	start "$1" in_col sh -c 'exec tcpdump "$@" 2>&1' tcpdump -Z root -n -B 131072 -s 0 -i "$2" -w "$DIR/$1.pcap" "${@:3}" &&
		wait_line "$1" '*listening on*'
}

# stop NAME: CAPTURED, what tcpdump says that it wrote.
stop() {
	kill -INT "${LAB_PID[$1]}" && wait_line "$1" '*packets captured' || return
	CAPTURED=${REPLY%% *}
	wait_daemon "$1"
	check "$1: what tcpdump missed" "$REPLY" "0 packets dropped by kernel"
}

# iperf OPTION…: once, against a server that is there for it alone.
iperf() {
	start server in_col iperf3 -s -1 -p $PORT --forceflush
	wait_line server 'Server listening*' || return
	in_src timeout "$LAB_WAIT" iperf3 -p $PORT "$@" >/run/lab/iperf 2>&1 ||
		{ cat /run/lab/iperf; verdict FAIL "iperf3 $*"; }
	wait_daemon server
}

# netcat ADDRESS: half a megabyte by TCP.
netcat() {
	start nc in_col sh -c 'exec nc -n -v -l "$@" 2>&1 >/dev/null' nc "$1" $PORT
	wait_line nc 'Listening on*' || return
	head -c 500000 /dev/urandom | in_src timeout "$LAB_WAIT" nc -n -N "$1" $PORT || verdict FAIL "nc $1"
	wait_daemon nc
}

# Datagrams with the options of RFC 2113 (router alert) and RFC 791 (no operation), DF as the kernel sets it.
options() {
	in_src perl -MSocket -e '
		socket(my $s, PF_INET, SOCK_DGRAM, 0) or die $!;
		connect($s, sockaddr_in($ARGV[1], inet_aton($ARGV[0]))) or die $!;
		for my $i (1 .. $ARGV[2]) {
			setsockopt($s, 0, 4, $i % 2 ? "\x94\x04\0\0" : "\x01" x (4 * ($i % 10 + 1))) or die $!;
			send($s, "x" x ($i % 1400), 0); # refused: nobody listens
		}' "$@"
}

traffic() {
	local size address
	for size in 1400 300 64; do
		iperf -c 203.0.113.2 -u -l $size -b 80M -k 20000
	done
	iperf -c 198.51.100.2 -u -l 500 -b 80M -k 15000
	iperf -c 2001:db8:2::2 -6 -u -l 600 -b 80M -k 8000
	iperf -c 203.0.113.2 -u -l 8000 -b 200M -k 800
	iperf -c 203.0.113.2 -n 8M
	iperf -c 2001:db8:1::2 -6 -n 4M
	for address in 198.51.100.2 203.0.113.2 2001:db8:1::2 2001:db8:2::2; do
		in_src ping -q -n -c 300 -i 0.001 -s 4000 $address >/dev/null
		netcat $address
	done
	in_src ping -q -n -c 200 -i 0.001 -R 203.0.113.2 >/dev/null
	in_src ping -q -n -c 200 -i 0.001 -T tsandaddr 198.51.100.2 >/dev/null
	options 203.0.113.2 $PORT 2000
	options 198.51.100.2 $PORT 1000
}

# kinds NAME: how many of what; each kind is there.
kinds() {
	local filter kind n
	while IFS=: read -r kind filter; do
		n=$(tcpdump -r "$DIR/$1.pcap" --count "$filter" 2>/dev/null)
		if [[ $n =~ ^([0-9]+)\ packets?$ ]] && [ "${BASH_REMATCH[1]}" -ge 100 ]; then
			verdict ok "$1: $kind: ${BASH_REMATCH[1]} packets"
		else
			verdict FAIL "$1: $kind: $n, expected 100 packets or more"
		fi
	done <<-'END'
		UDP for us, with DF:udp dst port 31765 and ip[6] & 0x40 != 0
		IPv4 fragments:ip[6:2] & 0x3fff != 0
		IPv4 options:ip[0] & 15 > 5
		IPv6:ip6
		IPv6 fragments:ip6[6] == 44
		TCP:tcp
		TCP over IPv6:ip6 proto 6
		ICMP:icmp
	END
}

# replay NAME [FIELD=VALUE…] [-- OPTION…]: its numbers, without a difference.
replay() {
	local file=$DIR/$1.pcap match='' min=0 ip_id=keep number
	shift
	while [ $# -gt 0 ] && [ "$1" != -- ]; do
		local "$1"
		shift
	done
	cat >"$CONF" <<-END
		interface: br0
		match:    { protocol: udp, dport: [$PORT]$match }
		action:   { clear-df: { min-length: $min }, ip-id: $ip_id }
		xdp:      { attach: [ens5] }
	END
	OUT=$("$N2X" parity replay "$file" -c "$CONF" --json "${@:2}")
	number=$?
	check "$(basename "$file")$match${min:+, min-length $min}, ip-id $ip_id ${*:2}: exit, complete, packets, different" \
		"$number $(jq -r '[.complete, .packets, .different] | map(tostring) | join(" ")' <<<"$OUT")" "0 true $CAPTURED 0"
	jq -r '"\t\(.packets) packets (\(.link)): \(.compared) compared, \(.matching) that the policy matches; " +
		([.not_comparable | to_entries[] | select(.value > 0) | "\(.value) \(.key)"] | join(", "))' <<<"$OUT"
	REPLAYED=$((REPLAYED + CAPTURED))
}

up || exit 1
record wire eth0 && record inner vx0 && record any any -y LINUX_SLL2 || exit 1
traffic
REPLAYED=0
stop wire
check_le "packets on the wire" "-$CAPTURED" -100000
check_le "of them in a tunnel" "-$(tcpdump -r $DIR/wire.pcap --count 'udp dst port 4789' 2>/dev/null | cut -d ' ' -f 1)" -60000
for id in keep assign; do
	replay wire "match=, encap: vxlan, vni: [7]" ip_id=$id
	check_le "of them in the tunnel and for us" "-$(jq .matching <<<"$OUT")" -60000
done
replay wire "match=, encap: vxlan, vni: [7]" min=1000 -- --live-queue
replay wire
stop inner
kinds inner
replay inner ip_id=assign
replay inner min=1000 -- --live-queue
stop any
replay any
echo "$REPLAYED packets replayed"
lab_down
tally
