#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The guest's init: mounts, modules, loopback, then /command with its output on ttyS1 and its exit code on the console.
# What the command left in build/log goes to ttyS2.
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
raw() {
	stty -F /dev/ttyS1 raw -echo
	stty -F /dev/ttyS2 raw -echo
}
raw

cd /nfq2xdp || exit 1
echo "<5>vm: ready $(uname -r)" >/dev/kmsg
bash /command </dev/null >/dev/ttyS1 2>&1
code=$?
[ ! -d build/log ] || tar -c -C build log | cat >/dev/ttyS2
raw # waits until all is sent
echo "<5>vm: exit $code" >/dev/kmsg
busybox poweroff -f
