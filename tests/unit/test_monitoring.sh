#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Metrics, alerts and dashboard by Prometheus' own checker: names and text are right, rules fire for what they are for, and
# the dashboard asks for nothing that is not there.
set -u
ROOT=$(cd "$(dirname "$0")/../.." && pwd)
# shellcheck source=tests/monitoring/lib.sh
. "$ROOT/tests/monitoring/lib.sh"
# shellcheck source=tests/check.sh
. "$ROOT/tests/check.sh"
DIR=$(mktemp -d) || exit 1
trap 'rm -rf "$DIR"' EXIT
TEXT=$ROOT/tests/monitoring/all.prom

# names FILE…: of the metrics in them.
names() { grep -ohE 'nfq2xdp_[a-z0-9_]+' "$@" | sort -u; }
# series FILE: of the metrics that it has.
series() { sed -nE 's/^# TYPE ([^ ]+) .*/\1/p' "$1" | sort; }

check "promtool check metrics" "$("$PROMETHEUS/promtool" check metrics <"$TEXT" 2>&1)" ""
check "promtool check rules" "$("$PROMETHEUS/promtool" check rules "$ROOT/monitoring/alerts.yml" 2>&1 | grep -o 'SUCCESS')" SUCCESS
check "promtool test rules" "$("$PROMETHEUS/promtool" test rules "$ROOT/tests/monitoring/alerts_test.yml" 2>&1 | grep -oE 'SUCCESS|FAILED.*')" SUCCESS
check "alerts without a test" \
	"$(comm -23 <(sed -nE 's/.*alert: //p' "$ROOT/monitoring/alerts.yml" | sort) \
		<(grep -oE 'Nfq2xdp[A-Za-z]+' "$ROOT/tests/monitoring/alerts_test.yml" | sort -u))" ""

dashboard_asks | jq -R . | jq -s '{groups: [{name: "dashboard", rules: [to_entries[] | {record: "panel:\(.key)", expr: .value}]}]}' >"$DIR/rules.yml"
check "what the dashboard asks can be asked" \
	"$("$PROMETHEUS/promtool" check rules "$DIR/rules.yml" 2>&1 | grep -oE 'SUCCESS|.*error.*')" SUCCESS
check "metrics of the dashboard that are not there" \
	"$(comm -23 <(dashboard_asks | names) <(series "$TEXT"))" ""
check "metrics of the alerts that are not there" \
	"$(comm -23 <(names <(sed '/^#/d' "$ROOT/monitoring/alerts.yml")) <(series "$TEXT"))" ""
check "the dashboard: panels that overlap or have the same id" "$(jq -c '.panels as $p | [range(0; $p | length) as $i | range(0; $i) as $j |
	[$p[$i], $p[$j]] | select((.[0].id == .[1].id) or
	((.[0].gridPos) as $a | (.[1].gridPos) as $b | $a.x < $b.x + $b.w and $b.x < $a.x + $a.w and $a.y < $b.y + $b.h and $b.y < $a.y + $a.h)) |
	map(.title)] | unique' "$ROOT/monitoring/dashboard.json")" "[]"
tally
