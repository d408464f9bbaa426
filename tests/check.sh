# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
# How a script's checks are counted. Sourced by every test that is a script; its last command is `tally`.
PASSED=0 FAILED=0

verdict() {
	if [ "$1" = ok ]; then
		PASSED=$((PASSED + 1))
	else
		FAILED=$((FAILED + 1))
	fi
	echo "$1"$'\t'"$2"
}

# check NAME ACTUAL EXPECTED
check() {
	if [ "$2" = "$3" ]; then
		verdict ok "$1: ${2//$'\n'/ }"
	else
		verdict FAIL "$1: $2, expected $3"
	fi
}

# check_le NAME ACTUAL LIMIT: whole numbers
check_le() {
	if [[ $2 =~ ^-?[0-9]+$ ]] && [ "$2" -le "$3" ]; then
		verdict ok "$1: $2 <= $3"
	else
		verdict FAIL "$1: $2, expected at most $3"
	fi
}

# The closing line; no check at all is a failure, too.
tally() {
	echo "$PASSED passed, $FAILED failed"
	[ $FAILED = 0 ] && [ $PASSED -gt 0 ]
}
