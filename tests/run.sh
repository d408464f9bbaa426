#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Runs every test of the tiers named (default: all), or one of a tier: run.sh [TIER|TIER/test_NAME...]
# A test is any build/tests/TIER/test_* or tests/TIER/test_*.sh: none can be forgotten. It passes with exit 0, is
# skipped with 77 (its last line says why) and fails with anything else. All skipped, or none found, is a failure.
set -u
cd "$(dirname "$0")/.." || exit 1
export BUILD=${BUILD:-build}
tiers=("$@")
[ ${#tiers[@]} -gt 0 ] || tiers=(unit bpf netns faults)
passed=0 failed=0 skipped=0
mkdir -p "$BUILD/log"
for which in "${tiers[@]}"; do
	found=0 tier=${which%%/*}
	for t in "$BUILD/tests/$tier"/test_* "tests/$tier"/test_*.sh; do
		[[ -f $t && -x $t ]] || continue
		name=$tier/$(basename "$t" .sh)
		[[ $which == "$tier" || $which == "$name" ]] || continue
		found=1
		log=$BUILD/log/${name//\//-}.log
		start=$SECONDS
		"$t" >"$log" 2>&1
		rc=$?
		took=$((SECONDS - start))
		# The closing lines of the test itself: cmocka's, or "N passed, N failed" of a script.
		grep -E '^\[  (PASSED|FAILED)  \]|^[0-9]+ passed, ' "$log" | sed "s|^|    |"
		case $rc in
		0)  echo "ok   $name (${took} s)"; passed=$((passed + 1)) ;;
		77) echo "SKIP $name: $(tail -1 "$log")"; skipped=$((skipped + 1)) ;;
		*)  echo "FAIL $name (${took} s, exit $rc): $log"; { head -n -25 "$log" | grep '^FAIL'; tail -25 "$log"; } | sed 's/^/    | /'
		    failed=$((failed + 1)) ;;
		esac
	done
	[ $found = 1 ] || { echo "FAIL $which: no test found"; failed=$((failed + 1)); }
done
[ $((passed + failed)) -gt 0 ] || { echo "everything was skipped"; failed=1; }
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
