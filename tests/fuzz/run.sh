#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Runs each fuzzer for SECONDS, one after the other on one core: run.sh SECONDS BIN...
# FUZZ_ARGS goes to libFuzzer; with -runs=N in it there is no time limit. FUZZ_SELFTEST=1: mutants.sh too.
# A fuzzer that counts what became of its inputs prints "reason NAME COUNT": only "error" may be 0.
set -u
cd "$(dirname "$0")/../.." || exit 1
export BUILD=${BUILD:-build}
[ $# -ge 2 ] || { echo "usage: run.sh SECONDS BIN..." >&2; exit 2; }
limit=$1
shift
read -ra args <<<"${FUZZ_ARGS:-}"
case " ${FUZZ_ARGS:-}" in *" -runs="*) limit=0 ;; esac
passed=0 failed=0

stat_of() {
	sed -n "s/^stat::$1: *//p" "$2"
}

for bin in "$@"; do
	name=$(basename "$bin")
	dir=$BUILD/fuzz/$name
	log=$dir/log
	mkdir -p "$dir/corpus"
	dirs=("$dir/corpus")
	[ -d "tests/fuzz/seeds/$name" ] && dirs+=("tests/fuzz/seeds/$name")
	if [ "$name" = fuzz_capture ]; then
		mkdir -p "$dir/seeds"
		"$BUILD/tests/bpf/test_replay" seeds "$dir/seeds" || exit 1
		dirs+=("$dir/seeds")
	fi
	start=$SECONDS
	"$bin" -max_total_time="$limit" -timeout=10 -print_final_stats=1 -artifact_prefix="$dir/" \
		"${args[@]}" "${dirs[@]}" >"$log" 2>&1
	rc=$?
	took=$((SECONDS - start))
	never=$(awk '$1 == "reason" && $2 != "error" && $3 == 0 { printf " %s", $2 }' "$log")
	if [ $rc != 0 ]; then
		echo "FAIL $name: exit $rc after $(stat_of number_of_executed_units "$log") executions: $log"
		grep -vE '^(#|0x|stat::|[[:space:]]+NEW_)' "$log" | tail -30 | sed 's/^/    | /'
		failed=$((failed + 1))
		continue
	fi
	echo "$name: $(stat_of number_of_executed_units "$log") executions in $took s," \
		"$(stat_of average_exec_per_sec "$log")/s, differences 0"
	grep -E '^(reason|handled)' "$log" | sed 's/^/    /'
	if [ -n "$never" ]; then
		echo "FAIL $name: never seen:$never"
		failed=$((failed + 1))
	else
		passed=$((passed + 1))
	fi
done
if [ "${FUZZ_SELFTEST:-0}" = 1 ]; then
	if tests/fuzz/mutants.sh; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
	fi
fi
echo "$passed passed, $failed failed"
[ $failed = 0 ]
