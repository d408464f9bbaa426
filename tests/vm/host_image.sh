#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# host_image.sh KERNEL ROOT: what a new Debian at ROOT lacks to be the guest: modules of the unpacked kernel package, and
# a unit that runs what is on the second disk, a tar.
set -euo pipefail
kernel=$1 root=$2
cp -r "$kernel/lib/modules" "$root/lib/"
chroot "$root" depmod "$(basename "$kernel"/lib/modules/*)"
echo gateway >"$root/etc/hostname"
mkdir "$root/n2x"
cat >"$root/etc/systemd/system/n2x.service" <<-'END'
	[Unit]
	Description=What is on the second disk
	[Service]
	ExecStart=/bin/sh -c 'tar -x -C / -f /dev/vdb && exec /n2x/tests/vm/host.sh'
	[Install]
	WantedBy=multi-user.target
END
systemctl --root="$root" -q enable n2x.service
systemctl --root="$root" -q mask serial-getty@ttyS0.service getty@tty1.service apt-daily.timer apt-daily-upgrade.timer \
	systemd-networkd.service systemd-timesyncd.service
