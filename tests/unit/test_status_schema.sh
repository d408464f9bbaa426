#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The published schema says what a status is, and nothing that is not one passes it. What the labs' statuses are is
# checked as they end (tests/lab/lab.sh).
set -u
cd "$(dirname "$0")/../.." || exit 1
/usr/bin/python3 -c 'import jsonschema' 2>/dev/null || { echo "needs python3-jsonschema: make deps"; exit 77; }
SCHEMA=monitoring/status.schema.json
STATUS=${BUILD:-build}/tests/unit/test_status
# shellcheck source=tests/check.sh
. tests/check.sh

# wrong FILTER: what the schema says of a status that jq changed; nothing else is wrong with it.
one=$("$STATUS" json | sed -n 2p)
wrong() { jq -c "$1" <<<"$one" | tests/schema.py $SCHEMA; }

check "every word of every state" "$("$STATUS" json | tests/schema.py $SCHEMA)" ""
check "one alone" "$(wrong .)" ""
check "a key too many" "$(wrong '.more = 1')" "$: Additional properties are not allowed ('more' was unexpected)"
check "a key missing" "$(wrong 'del(.panic)')" "$: 'panic' is a required property"
check "another type" "$(wrong '.generation = "3"')" "$.generation: '3' is not of type 'integer'"
check "another state" "$(wrong '.state = "RUNNING"' | cut -c1-29)" "$.state: 'RUNNING' is not one"
check "a reason too many" "$(wrong '.xdp.reasons.more = 1' | cut -c1-29)" "$.xdp.reasons: 'more' is not "
check "a reason missing" "$(wrong 'del(.xdp.reasons.error)' | grep -c 'does not have enough properties')" 1
check "a share ratio above 1" "$(wrong '.share_ratio = 1.5')" "$.share_ratio: 1.5 is greater than the maximum of 1"
check "every key has its words or its kind" \
	"$(jq -r '.. | objects | .properties? // empty | to_entries[] | select(.value == {}) | .key' $SCHEMA)" ""
DIR=$(mktemp -d) || exit 1
env -u MAKEFLAGS -u MAKELEVEL make -s install DESTDIR="$DIR" >/dev/null 2>&1
check "installed" "$(cmp $SCHEMA "$DIR/usr/local/share/nfq2xdp/status.schema.json" && echo same)" same
rm -rf "$DIR"
tally
