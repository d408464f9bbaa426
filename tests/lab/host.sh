# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
# Hosts: systemd as PID 1 in namespaces of its own, on an overlay of this machine's root. Sourced after lab.sh, once
# lab_reexec is through.
#
#	host_new gw && make install DESTDIR="$(host_root gw)"
#	host_up gw n2x-gw            # its network is the namespace n2x-gw
#	in_host gw systemctl start …
#	host_down gw                 # host_up again is a reboot: files stay
#
# What a host writes is in memory, and goes with it: the machine's own units, cgroups and files are not touched.

declare -A HOST_PID HOST_PARENT # of systemd, and of who waits for it
# In front of the name of a host's cgroup: the machine's cgroups are every lab's.
HOST_LAB=n2x-$(stat -Lc %i /proc/self/ns/net)

# What a container must leave to the machine.
HOST_MASK="systemd-udev-trigger systemd-sysctl systemd-modules-load systemd-remount-fs systemd-random-seed
	systemd-timesyncd systemd-networkd systemd-resolved systemd-logind"

# The hierarchies that systemd needs to find its processes in: of cgroup 2, and of a machine that has both.
host_cgroups() {
	local dir
	for dir in /sys/fs/cgroup /sys/fs/cgroup/unified /sys/fs/cgroup/systemd; do
		[ ! -w $dir/cgroup.procs ] || echo $dir
	done
}

# host_init DIR: becomes the host's PID 1. In namespaces of its own, but for the network's.
host_init() {
	local root=$1/root dev cgroup
	mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$root" &&
		mount -t proc proc "$root/proc" && mount -t sysfs sysfs "$root/sys" &&
		mount -t bpf -o mode=700 bpf "$root/sys/fs/bpf" || return
	# The machine may have us, and a word against packages that start units, as in a container's image.
	[ -e "$1/booted" ] || rm -rf "$root/var/lib/nfq2xdp" "$root/etc/nfq2xdp" "$root/usr/sbin/policy-rc.d"
	: >"$1/booted"
	for dev in run tmp dev var/lib/systemd; do
		mount -t tmpfs -o mode=755 tmpfs "$root/$dev" || return
	done
	chmod 1777 "$root/tmp"
	for dev in null zero full random urandom tty; do
		: >"$root/dev/$dev" && mount --bind "/dev/$dev" "$root/dev/$dev" || return
	done
	mkdir "$root/dev/shm" "$root/dev/pts"
	mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts" || return
	ln -s pts/ptmx "$root/dev/ptmx"
	ln -s /proc/self/fd "$root/dev/fd"
	for cgroup in $(host_cgroups); do
		[ -d "$root$cgroup" ] || [ "$cgroup" = /sys/fs/cgroup ] ||
			mountpoint -q "$root/sys/fs/cgroup" || mount -t tmpfs -o mode=755 tmpfs "$root/sys/fs/cgroup"
		case $cgroup in
		*/systemd) mkdir -p "$root$cgroup" && mount -t cgroup -o none,name=systemd cgroup "$root$cgroup" ;;
		*) mkdir -p "$root$cgroup" && mount -t cgroup2 cgroup2 "$root$cgroup" ;;
		esac || return
	done
	mkdir -p "$root/mnt"
	pivot_root "$root" "$root/mnt" && cd / && umount -l /mnt || return
	exec env -i container=lab PATH=/usr/sbin:/usr/bin:/sbin:/bin \
		/lib/systemd/systemd --log-target=journal --show-status=no systemd.unit=basic.target
}

# host_root NAME: where files go that it is to have, before it is up.
host_root() { echo "/run/lab/host-$1/upper"; }

host_new() {
	local dir=/run/lab/host-$1 unit
	mkdir -p "$dir" && mount -t tmpfs -o mode=755 host "$dir" && mkdir "$dir"/{upper,work,root} || return
	mkdir -p "$dir/upper/etc/systemd/system"
	for unit in $HOST_MASK; do
		ln -s /dev/null "$dir/upper/etc/systemd/system/$unit.service"
	done
	echo "$1" >"$dir/upper/etc/hostname"
}

# host_up NAME NETNS: boots it, and waits until it is up.
host_up() {
	local name=$1 dir=/run/lab/host-$1 deadline=$((SECONDS + LAB_WAIT))
	nsenter --net="/run/netns/$2" bash -c '
		. "$0"
		for cgroup in $(host_cgroups); do
			mkdir -p "$cgroup/$1" && echo $$ >"$cgroup/$1/cgroup.procs" || exit
		done
		exec unshare --mount --pid --uts --ipc --cgroup --fork --kill-child --propagation private \
			bash -c ". \"\$0\"; host_init \"\$1\"" "$0" "$2"' \
		"$LAB_ROOT/tests/lab/host.sh" "$HOST_LAB-$name" "$dir" </dev/null >"$dir/console" 2>&1 &
	HOST_PARENT[$name]=$!
	until HOST_PID[$name]=$(pgrep -x systemd -P "${HOST_PARENT[$name]}") &&
		in_host "$name" systemctl is-system-running 2>/dev/null | grep -qE 'running|degraded'; do
		[ $SECONDS -lt $deadline ] || { cat "$dir/console" >&2; return 1; }
	done
	# udev came after the interfaces.
	in_host "$name" udevadm trigger --action=add --subsystem-match=net
	in_host "$name" udevadm settle
}

in_host() {
	nsenter --target="${HOST_PID[$1]}" --mount --pid --net --uts --ipc --cgroup --root --wd \
		env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C "${@:2}"
}

host_down() {
	local cgroup
	kill -KILL "${HOST_PID[$1]}"
	wait "${HOST_PARENT[$1]}" # it is in the cgroup, too
	for cgroup in $(host_cgroups); do
		find "$cgroup/$HOST_LAB-$1" -depth -type d -exec rmdir {} \;
	done
	unset "HOST_PID[$1]" "HOST_PARENT[$1]"
}
