#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# parity replay as a command: exit codes, text and JSON, files that are cut or broken anywhere, examples.
set -u
cd "$(dirname "$0")/../.." || exit 1
BUILD=$(realpath -m "${BUILD:-build}")
N2X=$BUILD/nfq2xdp
[ -x "$N2X" ] || { echo "needs $N2X: make"; exit 77; }
DIR=$(mktemp -d) || exit 1
trap 'rm -rf "$DIR"' EXIT
# shellcheck source=tests/check.sh
. tests/check.sh
"$BUILD/tests/bpf/test_replay" write "$DIR" || exit 1

# replay FILE POLICY [OPTION…]: RC, $DIR/out, $DIR/err
replay() {
	local file=$1 policy=$2
	shift 2
	timeout -s KILL 60 "$N2X" parity replay "$file" -c "$DIR/$policy.yaml" "$@" >"$DIR/out" 2>"$DIR/err" </dev/null
	RC=$?
}

# refused NAME CODE FILE PATTERN [OPTION…]: this exit, no output, one line with PATTERN in it.
refused() {
	local name=$1 code=$2 file=$3 pattern=$4
	shift 4
	replay "$file" keep "$@"
	check "$name: exit, output, lines, said" \
		"$RC $(wc -c <"$DIR/out") $(wc -l <"$DIR/err") $(grep -cF -- "$pattern" "$DIR/err")" "$code 0 1 1"
}

json() { jq -c "$1" "$DIR/out"; }

KEEP=$DIR/keep.ethernet.pcap
replay "$KEEP" keep
[ "$RC" != 6 ] || { cat "$DIR/err"; exit 77; }

echo "# what it says"
check "equal: exit, standard error" "$RC $(wc -c <"$DIR/err")" "0 0"
check "equal: claims" "$(grep -c 'at most' "$DIR/out")" 2
replay "$KEEP" keep --json
check "json: equal" "$RC $(json '[.schema, .result, .complete, .different, .accepted, .link]')" \
	'0 [1,"equal",true,0,0,"EN10MB"]'
check "json: keys" "$(json keys)" '["accepted","claim","claim_matching","classes","compared","complete","cut","different",'\
'"equal","file","instance","link","live_queue","matching","not_comparable","one_sided","packets","result","schema"]'
check "json: what adds up" "$(json '.equal == .compared and .compared + (.not_comparable | add) == .packets')" true
check "json: the claim is 3/n" "$(json '.claim.at_most * .compared | round')" 3
check "json: every class, both sides" "$(json '[.classes | length, ([.[] | keys] | unique | .[])]')" \
	'[17,["behind","xdp"]]'
replay "$DIR/keep.pcapng" keep --json
cp "$DIR/out" "$DIR/ng"
replay "$KEEP" keep --json
check "pcapng says what pcap says" "$(jq -c 'del(.file)' "$DIR/ng" | cksum)" "$(json 'del(.file)' | cksum)"

echo "# nothing to compare"
head -c 24 "$KEEP" >"$DIR/empty.pcap"
replay "$DIR/empty.pcap" keep --json
check "no packets" "$RC $(json '[.result, .packets, .compared, .complete]')" '4 ["inconclusive",0,0,true]'
replay "$DIR/empty.pcap" keep
check "no packets, in words" "$RC $(grep -c '^inconclusive: ' "$DIR/out")" "4 1"
sed 's/dport: \[31765\]/dport: [9]/' "$DIR/keep.yaml" >"$DIR/other.yaml"
replay "$KEEP" other --json
check "no packet that the policy matches" "$RC $(json '[.result, .matching, .different]')" '4 ["inconclusive",0,0]'
check "and they were compared" "$(json '.compared > 0')" true

echo "# not a capture"
refused "missing" 2 "$DIR/none" "$DIR/none: No such file or directory"
refused "a directory" 2 "$DIR" "Is a directory"
refused "empty" 2 /dev/null "not a capture"
refused "text" 2 "$DIR/keep.yaml" "unknown file format"
# Link type 105: 802.11.
{ head -c 20 "$KEEP"; printf '\151\0\0\0'; } >"$DIR/wifi.pcap"
refused "another link type" 2 "$DIR/wifi.pcap" "link type IEEE802_11 (105): give a capture of Ethernet"
"$N2X" parity replay -c "$DIR/keep.yaml" >"$DIR/out" 2>"$DIR/err"
check "no file" "$? $(cat "$DIR/err")" "2 nfq2xdp: replay: which file?"
"$N2X" parity replay "$KEEP" >"$DIR/out" 2>"$DIR/err"
check "no policy" "$? $(cat "$DIR/err")" "2 nfq2xdp: replay: -c FILE is missing"
refused "too much" 2 "$KEEP" "'more' is too much" more
refused "--example alone" 2 "$KEEP" "--example needs a value" --example

# Every length of a good file: exit 0, 2 or 4, and never more packets than it has. On a slow machine one in eight.
STEP=$((${LAB_SLOW:-1} > 1 ? 8 : 1)) # headers are multiples of 8
echo "# cut at every length"
for file in ethernet.pcap pcapng; do
	n=$(stat -c %s "$DIR/keep.$file") bad=0 seen=''
	[ "$n" -lt 700 ] || n=700
	for ((i = 0; i < n; i += STEP)); do
		head -c $i "$DIR/keep.$file" >"$DIR/cut"
		replay "$DIR/cut" keep --json
		case $RC in
		0 | 4) [ "$(wc -l <"$DIR/out") $(wc -c <"$DIR/err")" = "1 0" ] || bad=$((bad + 1)) ;;
		2) [ "$(wc -l <"$DIR/err")" = 1 ] || bad=$((bad + 1)) ;;
		*) bad=$((bad + 1)) ;;
		esac
		[[ $seen == *$RC* ]] || seen+=$RC
	done
	check "keep.$file, $n lengths by $STEP: bad ones, exits seen" "$bad $(grep -o . <<<"$seen" | sort | tr -d '\n')" "0 024"
done
# A byte of garbage at every place of the first packets.
bad=0
for ((i = 0; i < 120; i += STEP)); do
	head -c 400 "$KEEP" >"$DIR/cut"
	printf '\377' | dd of="$DIR/cut" bs=1 seek=$i conv=notrunc status=none
	replay "$DIR/cut" keep
	[[ $RC =~ ^[0124]$ ]] || bad=$((bad + 1))
done
check "garbage at 120 places by $STEP: bad ones" "$bad" 0

echo "# examples"
mkdir "$DIR/full"
: >"$DIR/full/mine"
refused "a directory that is in use" 2 "$KEEP" "not empty" --example "$DIR/full"
refused "no directory" 2 "$KEEP" "Not a directory" --example "$KEEP"
refused "a place that is not there" 2 "$KEEP" "No such file" --example "$DIR/not/here"
replay "$KEEP" keep --example "$DIR/none"
check "nothing different, nothing kept" "$RC $(find "$DIR/none" -type f | wc -l)" "0 0"
check "what was there is there" "$(ls "$DIR/full")" mine

# A running instance is not looked at: no pin, no link, no interface. A frame of 14 bytes or more is run, once.
echo "# nothing is touched"
if command -v strace >/dev/null; then
	strace -f -o "$DIR/trace" -e trace=bpf,socket,unlink,mkdir,rename "$N2X" parity replay "$KEEP" -c "$DIR/keep.yaml" --json \
		>"$DIR/out" 2>"$DIR/err"
	check "pins, links, sockets, files" \
		"$(grep -cE 'BPF_OBJ_(PIN|GET)[,}]|BPF_LINK|BPF_(MAP|PROG)_GET|socket|unlink|mkdir|rename' "$DIR/trace")" 0
	# 14 each of "plain" and "QinQ", cut, are shorter.
	check "runs" "$(grep -cE 'bpf\(BPF_PROG_(TEST_)?RUN,' "$DIR/trace")" "$(json '.packets - 28')"
fi

tally
