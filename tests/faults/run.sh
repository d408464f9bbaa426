#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The fault suite in its long form; what it measured goes to build/faults/result.json.
set -u
cd "$(dirname "$0")/../.." || exit 1
export BUILD=${BUILD:-build} FAULTS=full
out=$BUILD/faults
rm -f "$out"/*.json
tests/run.sh faults
rc=$?
jq -n --slurpfile cycles "$out/cycles.json" --slurpfile kill "$out/kill.json" --slurpfile lease "$out/lease.json" \
	--slurpfile a "$out/data_path.json" --slurpfile b "$out/external.json" --slurpfile c "$out/rollout.json" \
	--slurpfile d "$out/lease_faults.json" --slurpfile back "$out/back.json" '{
	cycles: $cycles[0], kill_points: $kill[0], lease_ms: $lease[0], rollback_ms: $back[0],
	faults: ($a[0] + $b[0] + $c[0] + $d[0])}' >"$out/result.json" || exit 1
jq -r '"cycles \(.cycles.cycles): lost \(.cycles.lost), leaked \(.cycles.leaked), duplicate \(.cycles.duplicate)
kill points: \(.kill_points.held) of \(.kill_points.tried) held
share write to first packet, ms: up \(.cycles.up_ms), down \(.cycles.down_ms)
fault to rolled back, ms: \(.rollback_ms)
lease over to out, from the fault, ms: \(.lease_ms)
faults: \(.faults | map(select(.ok)) | length) of \(.faults | length) as expected"' "$out/result.json"
exit $rc
