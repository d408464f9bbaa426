# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
# Prometheus and promtool, as make test unpacks them, and what the dashboard asks. Sourced.
PROMETHEUS=$(cd "$ROOT" && realpath -m build)/prometheus/usr/bin
[ -x "$PROMETHEUS/promtool" ] || { echo "needs $PROMETHEUS/promtool: make build/prometheus"; exit 77; }

# Every question of the dashboard, with its variables filled in, one a line.
dashboard_asks() {
	jq -r '.panels[].targets[].expr' "$ROOT/monitoring/dashboard.json" |
		sed 's/\$__rate_interval/1m/g; s/\$__range/1h/g; s/\$interface/.*/g; s/\$instance/.*/g'
}
