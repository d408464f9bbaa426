#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Metrics of live paths: exact, whoever serves them; they go on when either path starts anew; a real Prometheus reads them;
# they are there under load, and whoever connects does not harm the traffic.
set -u
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/../lab/lab.sh"
ROOT=$LAB_ROOT
# shellcheck source=tests/monitoring/lib.sh
. "$LAB_ROOT/tests/monitoring/lib.sh"
lab_reexec "$@"
lab_up || exit 1
# shellcheck source=tests/netns/lib.sh
. "$LAB_ROOT/tests/netns/lib.sh"
N=2000
AT=127.0.0.1:9465

# http HOST:PORT PATH: the answer's body.
http() {
	in_gw bash -c 'exec 3<>/dev/tcp/${0/:/\/} && printf "GET %s HTTP/1.0\r\n\r\n" "$1" >&3 && cat <&3' "$1" "$2" 2>/dev/null |
		sed '1,/^\r$/d'
}

# scrape: into SCRAPE. value SERIES: of it, "-" when it is not there.
scrape() { SCRAPE=$(http $AT /metrics); }
value() { awk -v series="nfq2xdp_$1" '$1 == series { print $2; found = 1 } END { if (!found) print "-" }' <<<"$SCRAPE"; }
values() {
	local series out=()
	for series; do out+=("$(value "$series")"); done
	echo "${out[*]}"
}
packets() { value "packets_total{interface=\"br0\",path=\"$1\",reason=\"$2\"}"; }
up() { values 'path_up{interface="br0",path="xdp"}' 'path_up{interface="br0",path="nfqueue"}'; }

# fell BEFORE: counters of the XDP path that are smaller now, or gone.
fell() {
	join -a 1 <(grep -F 'path="xdp"' <<<"$1" | grep _total | sort) <(grep -F 'path="xdp"' <<<"$SCRAPE" | sort) |
		awk 'NF < 3 || $3 < $2'
}

# until_served: whoever was second comes to serve.
until_served() {
	local deadline=$((SECONDS + LAB_WAIT))
	until scrape; [ -n "$SCRAPE" ]; do
		[ $SECONDS -lt $deadline ] || return 1
	done
}

conf attach='[vxlan1]'
echo "rollout: { confirm-within: 10m }" >>"$CONF"

echo "# the NFQUEUE path alone"
ok "shim" cc -D_GNU_SOURCE -shared -fPIC -o /run/lab/fail_once.so "$LAB_ROOT/tests/netns/fail_once.c"
start_said nfqueue "*metrics: http://$AT/metrics*" env LD_PRELOAD=/run/lab/fail_once.so FAIL_ONCE=/run/lab/fail \
	ASAN_OPTIONS="${ASAN_OPTIONS:-}:verify_asan_link_order=0" "$N2X" run nfqueue -c "$CONF"
wait_line nfqueue '*NFQUEUE path ready*'
burst $N -f 10
scrape
check "paths up" "$(up)" "0 1"
check "state" "$(value 'state{interface="br0",state="IDLE"}')" 1
check "handled" "$(packets nfqueue cleared)" $N
check "depth, dropped, unmodified, leaked" "$(values 'queue_depth_packets{interface="br0"}' 'queue_dropped_total{interface="br0"}' \
	'unmodified_total{interface="br0"}' 'leaked_total{interface="br0"}')" "0 0 0 0"
check "nothing of XDP" "$(values 'share_ratio{interface="br0"}' 'packets_total{interface="br0",path="xdp",reason="cleared"}')" "- -"
# The lock on its own state file is still its own, also when its first look at the table failed.
: >/run/lab/fail
scrape
check "a look that fails: failed, NFQUEUE path is not known" "$([ -e /run/lab/fail ] || echo yes) $(up)" "yes 0 -"
check "it is still seen to run" "$(status | jq -c '[.nfqueue.running, .nfqueue.pid > 0]')" "[true,true]"
refuse "a second one" 5 "runs already" n2x run nfqueue -c "$CONF"

echo "# and XDP in front of it"
ok start n2x migrate start -c "$CONF"
ok split n2x migrate split -c "$CONF" --every 2
burst $N -f 10
scrape
check "paths up, share" "$(up) $(value 'share_ratio{interface="br0"}')" "1 1 0.5"
check "state" "$(value 'state{interface="br0",state="SPLIT"}') $(grep -c '^nfq2xdp_state{.* 1$' <<<"$SCRAPE")" "1 1"
check "xdp + nfqueue" "$(($(packets xdp cleared) + $(packets nfqueue cleared)))" $((2 * N))
check "xdp: as status says" "$(packets xdp cleared) $(packets xdp not-selected)" \
	"$(status | jq -r '"\(.xdp.reasons.cleared) \(.xdp.reasons["not-selected"])"')"
check_le "to be confirmed within, above 9 minutes" 540 "$(value 'confirm_remaining_seconds{interface="br0"}' | cut -d. -f1)"
ok full n2x migrate full -c "$CONF"
burst $N -f 10
scrape
check "share, generation" "$(values 'share_ratio{interface="br0"}' 'generation{interface="br0"}')" "1 1"
check "promtool check metrics" "$("$PROMETHEUS/promtool" check metrics <<<"$SCRAPE" 2>&1)" ""
ok "the same as text" n2x migrate metrics -c "$CONF" --out /run/lab/n2x.prom
check "the same as text" "$(diff <(grep -v remaining_seconds /run/lab/n2x.prom) <(grep -v remaining_seconds <<<"$SCRAPE"))" ""
check "nothing beside it" "$(cd /run/lab && echo n2x.prom*)" n2x.prom

echo "# started anew"
before=$SCRAPE
stop_daemon nfqueue
start_nfqueue
until_served
check "the NFQUEUE path anew: XDP's counters" "$(fell "$before")" ""
check "the NFQUEUE path anew: handled" "$(packets nfqueue cleared)" 0
confirm >/dev/null
ok done n2x migrate done -c "$CONF"
wait_daemon nfqueue
start_xdp
until_served
check "run xdp: XDP's counters" "$(fell "$before")" ""
check "run xdp: up" "$(up)" "1 0"
burst $N -f 10
scrape
check "run xdp: handled" "$(packets xdp cleared)" "$(status | jq '.xdp.reasons.cleared')"
check "and more than before" "$(($(packets xdp cleared) - $(SCRAPE=$before packets xdp cleared)))" $N
before=$SCRAPE

echo "# a second one beside it"
start_said nfqueue "*metrics: $AT: Address already in use: tried again every 5 s*" "$N2X" run nfqueue -c "$CONF"
wait_line nfqueue '*NFQUEUE path ready*'
scrape
check "the first serves both" "$(up)" "1 1"
stop_daemon xdp
wait_line nfqueue "*metrics: http://$AT/metrics*"
scrape
check "now the second does" "$(up) $(value 'share_ratio{interface="br0"}')" "1 1 0"
check "run xdp ended: XDP's counters" "$(fell "$before")" ""

echo "# a real Prometheus"
cat >/run/lab/prometheus.yml <<-END
	global: { scrape_interval: 1s, evaluation_interval: 1s }
	rule_files: [$ROOT/monitoring/alerts.yml]
	scrape_configs: [{ job_name: nfq2xdp, static_configs: [{ targets: ['$AT'] }] }]
END
start_said prometheus '*Server is ready to receive web requests*' "$PROMETHEUS/prometheus" --config.file=/run/lab/prometheus.yml \
	--storage.tsdb.path=/run/lab/tsdb --web.listen-address=127.0.0.1:9090
# ask_prometheus EXPRESSION: its values, in one line.
ask_prometheus() {
	http 127.0.0.1:9090 "/api/v1/query?query=$(jq -rn --arg e "$1" '$e | @uri')" |
		jq -r 'if .status == "success" then .data.result | map(.value[1]) | join(" ") else .error end'
}
deadline=$((SECONDS + LAB_WAIT))
until [ "$(ask_prometheus 'up{job="nfq2xdp"}')" = 1 ] || [ $SECONDS -gt $deadline ]; do :; done
check "up" "$(ask_prometheus 'up{job="nfq2xdp"}')" 1
scrape
check "what it has" "$(ask_prometheus 'nfq2xdp_packets_total{path="xdp",reason="cleared"}')" "$(packets xdp cleared)"
check "what the dashboard asks" "$(dashboard_asks | while read -r expr; do ask_prometheus "$expr"; done | grep -c '[a-z]')" 0
check "alerts" "$(ask_prometheus 'count by (alertname) (ALERTS{alertname!="Nfq2xdpRolledBack"})')" ""
stop_daemon prometheus

echo "# under load, with 100 connections that never end, and 100 that are too large"
ok start n2x migrate start -c "$CONF"
ok split n2x migrate split -c "$CONF" --every 2
mark
start_daemon sink in_col "$LAB_BIN/sink" -i eth0
start_daemon source in_src "$LAB_BIN/source" -i mirror0 -m "$LAB_MAC" -r 20000
# Microseconds of each scrape, and how many were whole.
TIMES=$(in_gw /usr/bin/python3 -c '
import contextlib, socket, time

def connect():
    return socket.create_connection(("127.0.0.1", 9465))

held = []
for text in [b"GET /met", bytes(65536)] * 100:
    with contextlib.suppress(OSError):
        held.append(connect())
        held[-1].sendall(text)
begin = time.monotonic()
while time.monotonic() < begin + 2:
    start = time.monotonic()
    with connect() as s, s.makefile() as reply:
        s.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        lines = reply.read().splitlines()
    whole = "200 OK" in lines[0] and lines[-1].startswith("nfq2xdp_")
    print(round((time.monotonic() - start) * 1e6), int(whole))
')
stop_daemon source
SENT=$(field .sent)
deadline=$((SECONDS + 5))
until ask sink; [ "$(field .received)" = "$SENT" ] || [ $SECONDS -gt $deadline ]; do :; done
stop_daemon sink
SINK=$REPLY
since_mark
check_le "scrapes" 100 "$(wc -l <<<"$TIMES")"
check "of them cut off" "$(awk '!$2' <<<"$TIMES" | wc -l)" 0
awk '{ print $1 }' <<<"$TIMES" | sort -n | awk '{ t[NR] = $1 } END { printf "scrape at 20000 packets/s: p50 %.1f ms, p99 %.1f ms, max %.1f ms\n",
	t[int(NR / 2)] / 1000, t[int(NR * 0.99)] / 1000, t[NR] / 1000 }'
check_le "a second of traffic at least" 20000 "$SENT"
check "received" "$(sink_of .received)" "$SENT"
check "lost, duplicate, with DF" "$(sink_of '"\(.lost) \(.duplicate) \(.df_left)"')" "0 0 0"
check "xdp + nfqueue = sent" "$(diff_of '.cleared + .handled' .leaks)" "$SENT 0"
check "descriptors of the path" "$(($(find "/proc/${LAB_PID[nfqueue]}/fd" -name '[0-9]*' | wc -l) < 60))" 1

echo "# off"
stop_daemon nfqueue
echo "metrics: { listen: off }" >>"$CONF"
start_nfqueue
scrape
check "nobody listens" "$SCRAPE" ""
stop_daemon nfqueue
n2x migrate rollback -c "$CONF" --detach --allow-link-reset >/dev/null 2>&1 || n2x panic >/dev/null
start_nfqueue
ok detach n2x migrate rollback -c "$CONF" --detach --allow-link-reset
stop_daemon nfqueue
finish
