# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
# What tests of the installed nfq2xdp share. Sourced after tests/netns/lib.sh, where host CMD… runs CMD on the gateway's
# host, be it one of tests/lab/host.sh or this one. The instance is br0.
# shellcheck disable=SC2034 # SENT and SINK are for the scripts

CONF=/etc/nfq2xdp/br0.yaml
ROLLOUT='hold: 1s, samples: 100, lease: 2s, steps: [1/10, all]'

n2x() { host timeout "$LAB_WAIT" nfq2xdp "$@"; }

# set_conf KEY=VALUE…: as conf, there; and $ROLLOUT.
set_conf() {
	CONF=/run/lab/br0.yaml conf "$@"
	echo "rollout: { $ROLLOUT }" >>/run/lab/br0.yaml
	host sh -c "mkdir -p /etc/nfq2xdp && cat >$CONF" </run/lab/br0.yaml
}

unit() { echo "nfq2xdp-$1@br0.service"; }
show() { host systemctl show -P "$2" "$(unit "$1")"; }
pid_of() { show "$1" MainPID; }
systemctl() { host systemctl -q "$@"; }

# What a Prometheus on the host is answered.
metrics() {
	host bash -c 'exec 3<>/dev/tcp/127.0.0.1/9465 && printf "GET /metrics HTTP/1.0\r\n\r\n" >&3 && cat <&3' | grep -o '^nfq2xdp_build_info'
}

# await COMMAND…: until it succeeds.
await() {
	local deadline=$((SECONDS + LAB_WAIT))
	until "$@"; do
		[ $SECONDS -lt $deadline ] || { echo "never: $*" >&2; host journalctl -q -n 30 -o cat >&2; return 1; }
		sleep 0.3 # a guest's CPUs are for what it waits for
	done
}

# is UNIT PROPERTY VALUE
is() { [ "$(show "$1" "$2")" = "$3" ]; }
state_is() { [ "$(status | jq -r .state)" = "$1" ]; }

traffic() {
	start_daemon sink in_col "$LAB_BIN/sink" -i eth0 &&
		start_daemon source in_src "$LAB_BIN/source" -i mirror0 -m "$LAB_MAC" -r "$1"
}

no_traffic() {
	stop_daemon source
	SENT=$(field .sent)
	stop_daemon sink
	SINK=$REPLY
}

# Every file there is, but what is written all the time: the same before and after means that nothing is left.
files() {
	host find /etc /opt /srv /usr /var -xdev \( -path '/var/log/*' -o -path '/var/cache/*' -o -path '/var/tmp/*' \
		-o -path '/var/lib/dpkg/*' -o -path '/var/lib/systemd/*' -o -path '/etc/*-' -o -path /etc/.pwd.lock \
		-o -path /etc/ld.so.cache \) -prune -o -printf '%p %y %#m %u %g %l\n' | sort
	host sh -c 'cd /etc && sort passwd group shadow gshadow; ls -d /run/nfq2xdp 2>/dev/null'
	host systemctl list-unit-files --no-legend 'nfq2xdp*'
	host systemctl list-units --all --no-legend 'nfq2xdp*'
	# What can hold a program: not those of the whole machine, which has other labs.
	host find /sys/fs/bpf
	host bpftool net
	host pgrep -l nfq2xdp
}

# install_deb FILE, purge_deb
install_deb() { host env DEBIAN_FRONTEND=noninteractive dpkg -i "$1"; }
purge_deb() { host env DEBIAN_FRONTEND=noninteractive dpkg --purge nfq2xdp; }
