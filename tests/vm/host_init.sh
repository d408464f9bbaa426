#!/bin/busybox sh
# shellcheck shell=dash
# SPDX-License-Identifier: GPL-2.0-only
# The initramfs of the guest that has a disk: to its root.
export PATH=/bin
alias bb=/bin/busybox
bb mount -t proc proc /proc
bb mount -t sysfs sysfs /sys
bb mount -t devtmpfs dev /dev
for module in virtio_pci virtio_blk crc32c_generic ext4; do
	bb modprobe $module
done
bb mount -t ext4 /dev/vda /root
bb umount /proc /sys /dev
exec /bin/busybox switch_root /root /sbin/init
