#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The command line: every mistake is exit 2 and one line that names it, and costs nothing. Needs no rights.
set -u
ROOT=$(cd "$(dirname "$0")/../.." && pwd)
N2X=$(cd "$ROOT" && realpath -m "${BUILD:-build}")/nfq2xdp
[ -x "$N2X" ] || { echo "needs $N2X: make"; exit 77; }
DIR=$(mktemp -d) || exit 1
trap 'rm -rf "$DIR"' EXIT
# shellcheck source=tests/check.sh
. "$ROOT/tests/check.sh"
CONF=$DIR/br0.yaml
LIMIT=5 # seconds that a command may take

cat >"$CONF" <<-END
	interface: n2x-none
	match:    { protocol: udp, dport: [31765] }
	xdp:      { attach: [n2x-none] }
END

# usage NAME PATTERN ARGUMENT…: exit 2, nothing on standard output, one line on standard error with PATTERN in it.
usage() {
	local name=$1 pattern=$2 rc text
	shift 2
	timeout -s KILL $LIMIT "${AS[@]}" "$N2X" "$@" >"$DIR/out" 2>"$DIR/err" </dev/null
	rc=$?
	text=$(<"$DIR/err")
	check "$name: exit, lines" "$rc $(wc -c <"$DIR/out") $(wc -l <"$DIR/err")" "2 0 1"
	[[ $text == *"$pattern"* ]] && text=$pattern
	check "$name: says" "$text" "$pattern"
}
AS=(env)

# line NAME TEXT ARGUMENT…: exit 2, and this is the line.
line() {
	local name=$1 want=$2
	shift 2
	usage "$name" "$want" "$@"
	check "$name: and nothing else" "$(<"$DIR/err")" "nfq2xdp: $want"
}

# says NAME EXIT PATTERN ARGUMENT…: this exit code, and PATTERN on standard output.
says() {
	local name=$1 want=$2 pattern=$3 out
	shift 3
	out=$(timeout -s KILL $LIMIT "$N2X" "$@" 2>&1 </dev/null)
	check "$name: exit" $? "$want"
	check "$name: says" "$(grep -c -- "$pattern" <<<"$out")" 1
}

says --help 0 '^usage: nfq2xdp VERB' --help
says -h 0 '^usage: nfq2xdp VERB' -h
says --version 0 '^nfq2xdp [0-9]*\.[0-9]*\.[0-9]*$' --version
says "nothing" 2 '^usage: nfq2xdp VERB'
check "--help names every verb" "$("$N2X" --help | grep -cE '^  [a-z]')" \
	"$(grep -cE '^	\{ (NULL|"[a-z]+"), "[a-z]+", ' "$ROOT/main.c")"

echo "# verbs"
usage "unknown verb" "frobnicate is not a verb" frobnicate
usage "unknown verb of a group" "migrate frobnicate is not a verb" migrate frobnicate
usage "a group alone" "migrate is not a verb" migrate
usage "an empty verb" "is not a verb" ""
usage "an option first" "--json is not a verb" --json

echo "# options"
for verb in "run nfqueue" "run xdp" "migrate start" "migrate full" "migrate auto" "migrate confirm 1" "migrate hold" \
	"migrate resume" "migrate extend" "migrate rollback" "migrate done" "migrate restore" "migrate report" "migrate metrics" \
	"parity replay FILE"; do
	# shellcheck disable=SC2086
	{
		usage "$verb: no -c" "-c FILE is missing" $verb
		usage "$verb: -c alone" "-c needs a value" $verb -c
		usage "$verb: --config alone" "--config needs a value" $verb --config
		usage "$verb: unknown option" "--frobnicate is not an option" $verb -c "$CONF" --frobnicate
		usage "$verb: unknown letter" "-x" $verb -c "$CONF" -x
		usage "$verb: operand" "'more' is too much" $verb -c "$CONF" more
		usage "$verb: --every" "--every is not an option" $verb -c "$CONF" --every 2
	}
done
for verb in auto "confirm 1" hold resume extend restore; do
	for option in --dry-run --local-only --detach --allow-link-reset --percent=5 --by=flow; do
		case $verb$option in
		auto--local-only | restore--dry-run) continue ;; # theirs
		esac
		# shellcheck disable=SC2086
		line "migrate $verb: $option" "${verb% 1}: ${option%=*} is not an option of this command: see nfq2xdp --help" \
			migrate $verb -c "$CONF" $option
	done
done
usage "status: --dry-run" "--dry-run is not an option" migrate status -c "$CONF" --dry-run
usage "start: --detach" "--detach is not an option" migrate start -c "$CONF" --detach
usage "full: --local-only" "--local-only is not an option" migrate full -c "$CONF" --local-only
usage "rollback: --allow-link-reset alone" "goes with --detach" migrate rollback -c "$CONF" --allow-link-reset
usage "report: --out alone" "--out needs a value" migrate report -c "$CONF" --out
usage "status: --out" "--out is not an option" migrate status -c "$CONF" --out "$DIR/x"
usage "--json=1" "--json" migrate status -c "$CONF" --json=1
usage "panic: two" "'br1' is too much" panic br0 br1
usage "panic: -c" "--config is not an option" panic -c "$CONF"

for verb in status "migrate status" monitor; do
	name=${verb#* }
	# shellcheck disable=SC2086
	{
		usage "$verb: both" "$name: say IFACE or -c FILE, not both" $verb br0 -c "$CONF"
		usage "$verb: two" "'br1' is too much" $verb br0 br1
		usage "$verb: no name" "$name: 'a/b' is not an interface name" $verb a/b
		usage "$verb: an empty name" "$name: '' is not an interface name" $verb ""
		usage "$verb: a long name" "is not an interface name" $verb 1234567890123456
		usage "$verb: -c alone" "-c needs a value" $verb -c
		usage "$verb: unknown option" "--frobnicate is not an option" $verb --frobnicate
	}
done
usage "plan: both" "plan: say IFACE or -c FILE, not both" plan br0 -c "$CONF"
usage "plan: --write with -c" "plan: --write makes a file: it does not go with -c" plan -c "$CONF" --write "$DIR/new"
check "plan: --write with -c: nothing written" "$(find "$DIR" -name 'new*')" ""
usage "plan: --write alone" "--write needs a value" plan --write
usage "plan: two" "'br1' is too much" plan br0 br1
usage "plan: --dry-run" "--dry-run is not an option" plan --dry-run
usage "plan: no such file" "$DIR/none: No such file or directory" plan -c "$DIR/none"
usage "start: --write" "--write is not an option" migrate start -c "$CONF" --write "$DIR/new"

echo "# split"
usage "no share" "say either --every N or --percent P --by flow" migrate split -c "$CONF"
usage "both" "say either --every N or --percent P --by flow" migrate split -c "$CONF" --every 2 --percent 5 --by flow
for every in 0 -1 x 1.5 1e2 0x10 "" " 2" "2 " +2 4294967296 18446744073709551616 99999999999999999999999; do
	usage "--every '$every'" "--every $every: give a number of packets, 1 or more" migrate split -c "$CONF" --every "$every"
done
usage "--every with --by" "--by goes with --percent" migrate split -c "$CONF" --every 2 --by flow
for percent in 0 0.0 101 100.01 nan inf -5 x 1e1 0x10 "" . 1.2.3 "5 " 5%; do
	usage "--percent '$percent'" "--percent $percent: give a number above 0, up to 100" \
		migrate split -c "$CONF" --percent "$percent" --by flow
done
usage "--percent alone" "--percent needs --by flow" migrate split -c "$CONF" --percent 5
usage "--by packet" "--percent needs --by flow" migrate split -c "$CONF" --percent 5 --by packet
usage "--by alone" "say either --every N or --percent P --by flow" migrate split -c "$CONF" --by flow

echo "# generation"
WHICH="confirm: which generation? Give its number, as nfq2xdp migrate status prints it"
line "no generation" "$WHICH" migrate confirm -c "$CONF"
line "no generation, no -c" "$WHICH" migrate confirm
for generation in 0 00 x 1x x1 1.5 1e2 0x1 +1 " 1" "1 " "" 2147483648 4294967297 18446744073709551617 "$CONF"; do
	line "generation '$generation'" "$WHICH" migrate confirm "$generation" -c "$CONF"
done
line "generation -1" "confirm: -1 is not an option of this command: see nfq2xdp --help" \
	migrate confirm -1 -c "$CONF"
line "generation -1 behind --" "$WHICH" migrate confirm -c "$CONF" -- -1
line "generation, no -c" "confirm: -c FILE is missing" migrate confirm 1
line "two generations" "confirm: '2' is too much" migrate confirm -c "$CONF" 1 2
line "generation, no such file" "$DIR/none: No such file or directory: name a file that can be read" \
	migrate confirm 1 -c "$DIR/none"
# The largest that there is: not the command line's fault, but there is nothing to confirm, or no right to.
timeout -s KILL $LIMIT "$N2X" migrate confirm 2147483647 -c "$CONF" >"$DIR/out" 2>"$DIR/err" </dev/null
rc=$?
[ $rc = 6 ] && rc=3
check "generation 2147483647: exit, lines" "$rc $(wc -c <"$DIR/out") $(wc -l <"$DIR/err")" "3 0 1"

echo "# files"
file() { usage "$1" "$2" migrate status -c "$3"; }
file "no such file" "$DIR/none: No such file or directory" "$DIR/none"
file "an empty name" "No such file or directory" ""
file "a directory" "not a regular file" "$DIR"
mkfifo "$DIR/fifo"
file "a FIFO that nobody writes to" "not a regular file" "$DIR/fifo"
file "a device without an end" "not a regular file" /dev/zero
: >"$DIR/empty"
file "an empty file" "$DIR/empty" "$DIR/empty"
printf 'interface: br0\n\tmatch: {\n' >"$DIR/tab"
file "not YAML" "$DIR/tab:2" "$DIR/tab"
sed 's/dport/dprot/' "$CONF" >"$DIR/key"
file "an unknown key" "$DIR/key:2" "$DIR/key"
truncate -s 100M "$DIR/large"
LIMIT=1
file "100 MB" "larger than 65536 bytes" "$DIR/large"
LIMIT=5
cp "$CONF" "$DIR/unreadable"
chmod 000 "$DIR/unreadable"
# Root reads everything, unless it has no capabilities.
[ "$(id -u)" = 0 ] && AS=(setpriv --bounding-set=-all --inh-caps=-all)
file "an unreadable file" "Permission denied" "$DIR/unreadable"

tally
