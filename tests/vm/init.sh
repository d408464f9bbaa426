#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The guest's init: mounts, modules, loopback, then /command with its output on ttyS1 and its exit code on the console.
# What the command left in build/log and build/demo goes to ttyS2.
export PATH=/usr/sbin:/usr/bin HOME=/root TERM=dumb LC_ALL=C BUILD=build
# Without KVM a packet takes some ten times as long. LAB_TIME: one that hangs must not take the others' time.
export LAB_SLOW=10 LAB_WAIT=120 LAB_TIME=900
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
mount -t bpf -o mode=700 bpf /sys/fs/bpf
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ln -s /proc/self/fd /dev/fd
ln -sf /proc/self/mounts /etc/mtab
ln -s /bin/busybox /sbin/modprobe # also what the kernel asks
while read -r module; do
	modprobe -q "$module"
done </etc/boot-modules
ip link set lo up
# Before 6.4 all softirq work of a CPU waits for ksoftirqd once that is behind: what the lab starts at nice -20 would
# starve it, and overflow a veth's ring.
pgrep ksoftirqd | xargs -n 1 chrt -f -p 1
raw() {
	stty -F /dev/ttyS1 raw -echo
	stty -F /dev/ttyS2 raw -echo
}
raw

cd /nfq2xdp || exit 1
echo "<5>vm: ready $(uname -r)" >/dev/kmsg
bash /command </dev/null >/dev/ttyS1 2>&1
code=$?
cd build || exit 1
left=$(compgen -G log; compgen -G demo)
# shellcheck disable=SC2086 # two names
[ -z "$left" ] || tar -c $left | cat >/dev/ttyS2
raw # waits until all is sent
echo "<5>vm: exit $code" >/dev/kmsg
busybox poweroff -f
