#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Runs things of this project on other kernels, under qemu without KVM. Usage: see the last lines.
set -eEuo pipefail
cd "$(dirname "$0")/../.."
repo=$PWD
build=$(realpath -m "${BUILD:-build}")
work=$build/vm
cache=${XDG_CACHE_HOME:-$HOME/.cache}/nfq2xdp/vm
deadline=${VM_DEADLINE:-1800} # seconds a guest may live

# kernel, Debian suite (its -security suite is asked too), what `matrix` runs: what depends on the kernel most. Left out:
# what asks our program more than the kernel, and what needs packet rates that a guest without KVM does not reach.
kernels=(
	"6.1    bookworm         bpf netns/test_queue_vectors netns/test_legacy_rules netns/test_paths_native guest"
	"newest trixie-backports bpf/test_ctl bpf/test_vectors netns/test_queue_vectors netns/test_userns guest"
	"6.12   trixie           bpf netns/test_queue_vectors guest"
	"5.10   bullseye         bpf netns/test_queue_vectors guest"
)
# What asserts times has the machine for itself.
alone=("6.1 faults/test_cycles faults/test_lease" "6.12 faults/test_cycles faults/test_lease")

# Inserted at boot, so that no test waits for one.
modules=(
	veth vxlan bridge br_netfilter dummy 8021q bonding overlay virtio_pci virtio_net
	nf_tables nft_queue nft_compat nft_counter nft_log nft_hash nft_numgen nft_limit nft_ct nft_objref
	nft_meta_bridge
	nf_conntrack nf_defrag_ipv4 nfnetlink_queue nfnetlink_log nf_log_syslog
	xt_NFQUEUE xt_NFLOG xt_u32 xt_tcpudp xt_length xt_statistic xt_mark xt_comment xt_multiport xt_physdev xt_mac
	sch_ingress sch_netem cls_bpf act_bpf
)
# Loaded by the kernel when asked for: with an old kernel a legacy table exists as soon as its module does.
on_demand=(ip_tables iptable_mangle iptable_raw iptable_filter nft_chain_nat tun)

# The guest's programs are those of these packages of this machine, with their libraries.
packages=(
	bash bpftool coreutils dash diffutils ethtool findutils grep iproute2 iptables jq libc-bin mount netbase nftables
	procps sed tar util-linux
)

die() {
	echo "vm: $*" >&2
	exit 2
}

suite_of() {
	local k suite
	for k in "${kernels[@]}"; do
		read -r k suite _ <<<"$k"
		[ "$k" != "$1" ] || { echo "$suite"; return; }
	done
	die "no kernel $1 in the table of tests/vm/run.sh"
}

# The mirrors that this machine's apt uses, for that suite. 'SITE/dists/SUITE/InRelease' ...
sources() {
	apt-get --print-uris update 2>/dev/null |
		sed -nE "s|^'(.*)/dists/[^/]*(-security)/InRelease'.*|\1 $1\2|p
			s|^'(.*)/dists/[^/-]*/InRelease'.*|\1 $1|p" | sort -u |
		sed 's|.*|deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] & main|'
}

# Downloads the newest kernel of the suite from the mirrors this machine's apt uses, with lists and cache of our own.
fetch() {
	local kernel=$1 suite=$2 apt=$work/apt/$1 prefix=linux-image-$1. name part
	local -a parts
	local -a get=(-q -c "$apt/conf")
	[ -z "$(compgen -G "$cache/$kernel/*.deb")" ] || return 0
	[ "$kernel" != newest ] || prefix=linux-image-
	rm -rf "$apt" "${cache:?}/$kernel.new"
	mkdir -p "$apt/lists/partial" "$apt/archives/partial" "$cache/$kernel.new"
	: >"$apt/status"
	# The hooks of the machine would clean its own caches.
	cat >"$apt/conf" <<-EOF
		#clear APT::Update;
		#clear DPkg;
		APT::Sandbox::User "";
		APT::Architecture "amd64";
		Acquire::Languages "none";
		Dir::State "$apt"; Dir::State::status "$apt/status"; Dir::Cache "$apt";
		Dir::Etc::sourcelist "$apt/sources.list"; Dir::Etc::sourceparts "/dev/null";
		Dir::Etc::preferences "/dev/null"; Dir::Etc::preferencesparts "/dev/null";
	EOF
	sources "$suite" >"$apt/sources.list"
	apt-get "${get[@]}" update >"$apt/log" 2>&1 || true
	name=$(apt-cache "${get[@]}" pkgnames "$prefix" 2>>"$apt/log" |
		grep '[0-9]-cloud-amd64$' | sort -V | tail -1) || true
	# Kernels after 6.12 are in several packages.
	mapfile -t parts < <(for part in image base binary modules; do
		apt-cache "${get[@]}" pkgnames "linux-$part-${name#linux-image-}" 2>>"$apt/log"
	done | grep -E -- '-cloud-amd64$')
	if [ -z "$name" ] ||
		! (cd "$cache/$kernel.new" && apt-get "${get[@]}" download "${parts[@]}") >>"$apt/log" 2>&1; then
		echo "no kernel from $suite: $(grep -m1 '^E:' "$apt/log" || grep -m1 '^W:' "$apt/log" ||
			tail -1 "$apt/log")"
		rm -r "$cache/$kernel.new"
		return 1
	fi
	mv "$cache/$kernel.new" "$cache/$kernel"
}

# add_modules TREE OUT NAME...: copies NAME, and what it needs. A kernel that lacks one has it built in, or not at all.
add_modules() {
	local tree=$1 out=$2 m file
	local -a deps
	shift 2
	for m; do
		[ ! -e "$out/${m//-/_}.ko" ] || continue
		file=$(find "$tree/kernel" -name "${m//[-_]/[-_]}.ko*" -print -quit)
		[ -n "$file" ] || continue
		case $file in
		*.xz) xz -dc "$file" ;;
		*) cat "$file" ;;
		esac >"$out/${m//-/_}.ko"
		mapfile -td , deps < <(tr '\0' '\n' <"$out/${m//-/_}.ko" | sed -n 's/^depends=//p' | tr -d '\n')
		add_modules "$tree" "$out" "${deps[@]}"
	done
}

# The kernel image, and the modules as a first piece of initramfs.
unpack() {
	local kernel=$1 dir=$work/$1 tree release out package
	local -a deb=("$cache/$kernel"/*.deb)
	[ ! "$dir/modules.cpio" -nt "${deb[0]}" ] || [ ! "$dir/modules.cpio" -nt tests/vm/run.sh ] || return 0
	rm -rf "$dir"
	mkdir -p "$dir/deb"
	for package in "${deb[@]}"; do
		dpkg-deb -x "$package" "$dir/deb"
	done
	find "$dir/deb" -name "vmlinuz*" -type f -exec mv {} "$dir/vmlinuz" \;
	for tree in "$dir"/deb/{usr/,}lib/modules/*; do
		[ ! -d "$tree" ] || break
	done
	release=${tree##*/}
	out=$dir/root/usr/lib/modules/$release
	mkdir -p "$out"
	cp "$tree"/modules.builtin* "$tree/modules.order" "$out"
	add_modules "$tree" "$out" "${modules[@]}" "${on_demand[@]}"
	busybox depmod -b "$dir/root/usr" "$release"
	(cd "$dir/root" && find usr/lib/modules | cpio -o -H newc -R 0:0 --quiet) >"$dir/modules.cpio.new"
	mv "$dir/modules.cpio.new" "$dir/modules.cpio"
	rm -r "$dir/deb" "$dir/root"
}

# Paths on stdin as they are behind /usr's links, and what they lead to.
resolve() {
	sed -E 's#^/(bin|sbin|lib|lib64)/#/usr/\1/#' | sort -u | while read -r f; do
		echo "$f"
		[ ! -L "$f" ] || readlink -f "$f"
	done | sort -u
}

# Paths on stdin, directories first, as an archive.
pack() {
	awk -F/ '{ p = $2; for (i = 3; i <= NF; i++) { if (!seen[p]++) print p; p = p "/" $i } print p }' |
		(cd / && cpio -o -H newc -R 0:0 --quiet)
}

# ldd fails for a script, and says so for each.
libs_of() {
	(xargs -r ldd 2>/dev/null || true) | sed -nE 's#^(.* => |\t)(/[^ ]+) \(0x.*#\2#p' | sort -u
}

# Programs of this machine, made anew when one of the packages changes.
make_base() {
	local key f awk
	awk=$(dpkg -S "$(readlink -f "$(command -v awk)")" | cut -d: -f1)
	key=$(dpkg-query -W -f '${Package} ${Version}\n' "${packages[@]}" "$awk" busybox-static libc6) ||
		die "a package is missing: make deps VM=1"
	key+=$(<tests/vm/run.sh)
	[ ! -e "$work/base.key" ] || [ "$(<"$work/base.key")" != "$key" ] || return 0
	dpkg -L "${packages[@]}" "$awk" | grep -E '^(/usr)?/s?bin/.|/xtables/.|^/etc/(ethertypes|protocols|services|iproute2/.*)$' |
		sed -E 's#^/(bin|sbin)/#/usr/\1/#' | sort -u >"$work/base.files"
	# Names that lead here by way of /etc/alternatives (iptables, awk).
	find /usr/bin /usr/sbin -lname '/etc/alternatives/*' | while read -r f; do
		! grep -qxF "$(readlink -f "$f")" "$work/base.files" || printf '%s\n' "$f" "$(readlink "$f")"
	done >"$work/base.links"
	{
		cat "$work/base.files" "$work/base.links"
		libs_of <"$work/base.files"
		gcc -print-file-name=libgcc_s.so.1 | xargs realpath # by dlopen(), in pthread_exit()
		printf '%s\n' /bin /sbin /lib /lib64 /bin/busybox
	} | resolve >"$work/base.list"
	pack <"$work/base.list" >"$work/base.cpio"
	echo "$key" >"$work/base.key"
}

# This tree, what is built of it and CMD.
make_tree() {
	local stage=$work/stage
	rm -rf "$stage"
	mkdir -p "$stage/nfq2xdp/build" "$stage"/{proc,sys,dev,run,tmp,root,etc,var/log,var/lib}
	tar -c --exclude=./.git --exclude=./build --exclude="./${build#"$repo/"}" . | tar -x -C "$stage/nfq2xdp"
	(cd "$build" && find . \( -path ./vm -o -path ./asan -o -path ./tests/fuzz \) -prune -o \
		-type f \( -perm -u+x -o -name '*.bpf.o' \) -print0 | xargs -0r cp --parents -t "$stage/nfq2xdp/build")
	install -m 0755 tests/vm/init.sh "$stage/init"
	printf '%s\n' "${modules[@]}" >"$stage/etc/boot-modules"
	printf '%s\n' "$1" >"$stage/command"
	(cd "$stage" && find . | cpio -o -H newc -R 0:0 --quiet)
	find "$stage/nfq2xdp/build" -type f -perm -u+x | libs_of | resolve | comm -23 - "$work/base.list" | pack
}

# prepare KERNEL CMD. Never called where `set -e` is off.
prepare() {
	make_base
	unpack "$1"
	make_tree "$2" >"$work/tree.cpio"
	cat "$work/base.cpio" "$work/$1/modules.cpio" "$work/tree.cpio" >"$work/$1/initrd"
}

# virtio NICs. Their wires are taps on a bridge, in a namespace of qemu's own; a frame to 02:4e:32:58:08:0N goes to ethN. The
# first is the far end of the others, which differ in what the driver asks of a NIC before it attaches XDP natively.
# MAC, queue pairs, what the device is like
nics=(
	"02:4e:32:58:07:00 1 host_mtu=9000"
	"02:4e:32:58:07:01 4 mq=on"
	"02:4e:32:58:07:02 2 mq=on"
	"02:4e:32:58:07:03 4 mq=on,ctrl_guest_offloads=off"
	"02:4e:32:58:07:04 4 mq=on,host_mtu=9000"
)

# make_wires FILE: FILE.ip and FILE.bridge are the namespace's batches; qemu's arguments are NICS.
make_wires() {
	local i mac queues device multi
	NICS=()
	echo "link add n2x mtu 9000 type bridge mcast_snooping 0" >"$1.ip"
	: >"$1.bridge"
	for i in "${!nics[@]}"; do
		read -r mac queues device <<<"${nics[i]}"
		multi=
		[ "$queues" = 1 ] || multi=multi_queue
		cat >>"$1.ip" <<-END
			tuntap add tap$i mode tap $multi
			link set tap$i mtu 9000 master n2x
			link set tap$i up type bridge_slave learning off flood off mcast_flood off
		END
		echo "fdb replace ${mac/:07:/:08:} dev tap$i master static" >>"$1.bridge"
		NICS+=(-netdev "tap,id=n$i,ifname=tap$i,queues=$queues,script=no,downscript=no"
			-device "virtio-net-pci,netdev=n$i,mac=$mac,romfile=,$device")
	done
	echo "link set n2x up" >>"$1.ip"
}

# boot KERNEL INITRD QEMU-ARGUMENT…: the exit code of the command prepared; 125 when the guest did not live to tell.
boot() {
	local kernel=$1 dir=$work/$1 console=$work/$1.console start=$SECONDS rc=0 code
	# ttyS0 is the kernel's and carries the exit code, ttyS1 the output of the command, ttyS2 a tar of what it left.
	# norandmaps: qemu translates code anew for every address that it is mapped at; without, a program starts four
	# times as fast. tsc=reliable: else the clock is the HPET, a device to be emulated.
	make_wires "$dir/wires"
	# shellcheck disable=SC2016
	timeout --foreground -k 5 "$deadline" unshare --net \
		sh -c 'ip -batch "$0.ip" && bridge -batch "$0.bridge" && exec "$@"' "$dir/wires" qemu-system-x86_64 \
		-accel tcg,thread=multi -cpu Nehalem -smp 2 -m 3G \
		-nodefaults -no-user-config -display none "${NICS[@]}" "${@:3}" \
		-serial "file:$console" -serial stdio -serial "file:$dir/left.tar" \
		-kernel "$dir/vmlinuz" -initrd "$2" \
		-append "console=ttyS0 panic=-1 oops=panic printk.devkmsg=on mitigations=off norandmaps tsc=reliable" </dev/null || rc=$?
	sed -i 's/\r$//' "$console"
	rm -rf "$dir/log" "$dir/demo"
	[ ! -s "$dir/left.tar" ] || tar -x -f "$dir/left.tar" -C "$dir" || true
	code=$(sed -nE 's/^\[[ 0-9.]+\] vm: exit ([0-9]+)$/\1/p' "$console" | tail -1)
	if [ $rc != 0 ] || [ -z "$code" ]; then
		tail -20 "$console" | sed 's/^/    | /' >&2
		case $rc in
		0) echo "vm: $kernel: the guest died: $(grep -o 'Kernel panic.*' "$console" || echo killed)" >&2 ;;
		124 | 137) echo "vm: $kernel: no end after $deadline s" >&2 ;;
		*) echo "vm: $kernel: qemu: exit $rc" >&2 ;;
		esac
		return 125
	fi
	echo "vm: $kernel: $(sed -nE 's/^\[ *([0-9]+\.[0-9]).*vm: ready (\S+)$/\2 up in \1 s/p' "$console")," \
		"exit $code, $((SECONDS - start)) s in all" >&2
	return "$code"
}

# A Debian 12 of its own with systemd, and what our package needs: made once, and each time booted as new.
host_packages=systemd,systemd-sysv,udev,dbus,kmod,iproute2,iptables,nftables,procps,jq,ethtool,bpftool,passwd

make_image() {
	local image=$cache/host key dir=$work/host.root depends tree
	local -a deb=("$cache/$host_kernel"/*.deb) package=(build/deb/nfq2xdp_*.deb)
	[ -e "${package[0]}" ] || die "no build/deb/nfq2xdp_*.deb: make deb"
	depends=$(dpkg-deb -f "${package[0]}" Depends | sed 's/ *([^)]*)//g; s/ *|[^,]*//g; s/ //g')
	key="${deb[0]##*/} $host_packages $depends $(sha256sum <tests/vm/host_image.sh)"
	[ ! -e "$image/key" ] || [ "$(<"$image/key")" != "$key" ] || return 0
	rm -rf "$image" "$dir"
	mkdir -p "$image" "$dir/deb"
	sources bookworm | mmdebstrap --quiet --variant=minbase --include="$host_packages,$depends" bookworm "$dir/root" - \
		>"$image/log" 2>&1 || { tail "$image/log" >&2; die "mmdebstrap failed"; }
	dpkg-deb -x "${deb[0]}" "$dir/deb"
	tests/vm/host_image.sh "$dir/deb" "$dir/root"
	truncate -s 2G "$image/image"
	mke2fs -q -t ext4 -d "$dir/root" "$image/image"
	tree=$(compgen -G "$dir/deb/lib/modules/*")
	mkdir -p "$dir/initrd"/{bin,dev,proc,root,sys} "$dir/initrd/lib/modules/${tree##*/}"
	cp /bin/busybox "$dir/initrd/bin"
	cp "$tree"/modules.builtin* "$tree/modules.order" "$dir/initrd/lib/modules/${tree##*/}"
	add_modules "$tree" "$dir/initrd/lib/modules/${tree##*/}" virtio_pci virtio_blk ext4 crc32c_generic
	busybox depmod -b "$dir/initrd" "${tree##*/}"
	install -m 0755 tests/vm/host_init.sh "$dir/initrd/init"
	(cd "$dir/initrd" && find . | cpio -o -H newc -R 0:0 --quiet) >"$image/initrd"
	rm -r "$dir"
	echo "$key" >"$image/key"
}

# The package on that host, over a reboot.
host_kernel=6.1
host() {
	local suite why rc=0
	suite=$(suite_of $host_kernel)
	why=$(fetch $host_kernel "$suite") || { echo "SKIP host/test_host: $why"; return 77; }
	unpack $host_kernel
	make_image
	local -a nics=() # the lab's names are the host's own there
	tar -c --transform 's|^|n2x/|' tests build/tests/lab build/deb/nfq2xdp_*.deb >"$work/host.tar"
	boot $host_kernel "$cache/host/initrd" -drive "file=$cache/host/image,if=virtio,format=raw,snapshot=on" \
		-drive "file=$work/host.tar,if=virtio,format=raw,readonly=on" || rc=$?
	[ $rc = 0 ] && echo "ok   host/test_host" || echo "FAIL host/test_host: exit $rc"
	return $rc
}

# The tiers of `TIER|TIER/TEST...`, each once.
tiers_of() {
	tr ' ' '\n' <<<"$1" | sed 's|/.*||' | uniq
}

# rows KERNEL TESTS RC LOG: one JSON object for each tier
rows() {
	local tier ok bad skip result reason
	echo "== $1: $2" >&2
	cat "$4" >&2
	for tier in $(tiers_of "$2"); do
		ok=$(grep -c "^ok   $tier/" "$4") || true
		bad=$(grep -c "^FAIL ${tier}[/:]" "$4") || true
		skip=$(grep -c "^SKIP $tier/" "$4") || true
		reason=$(sed -nE "s#^FAIL $tier(/|: )##p" "$4"; sed -n "s#^SKIP $tier/##p" "$4")
		result=passed
		[ "$ok" -gt 0 ] || result=skipped
		[ "$bad" = 0 ] || result=failed
		# The guest is gone, or no test said that it failed, and yet.
		if [ "$3" = 125 ] || { [ "$3" != 0 ] && ! grep -q '^FAIL ' "$4"; }; then
			result=failed
			reason="exit $3: $(grep -v ' up in ' "$4" | tail -1)"$'\n'$reason
		fi
		jq -nc --arg kernel "$1" --arg tier "$tier" --arg result "$result" --arg reason "$reason" \
			--argjson passed "$ok" --argjson failed "$bad" --argjson skipped "$skip" \
			'$ARGS.named | .reason |= (split("\n") - [""])'
	done
}

# start KERNEL TESTS LOG: a guest in the background; FILE.rc is its exit code.
start() {
	local why tier
	rm -f "$3.rc"
	if ! why=$(fetch "$1" "$(suite_of "$1")"); then
		for tier in $(tiers_of "$2"); do
			echo "SKIP $tier/kernel: $why"
		done >"$3"
		echo 0 >"$3.rc"
		return
	fi
	prepare "$1" "tests/run.sh $2"
	{
		boot "$1" "$work/$1/initrd" -no-reboot && echo 0 >"$3.rc" || echo $? >"$3.rc"
	} >"$3" 2>&1 &
}

matrix() {
	local line kernel tests rc log
	: >"$work/rows"
	# Most of a guest's time is one CPU's: two at a time.
	for line in "${kernels[@]}"; do
		read -r kernel _ tests <<<"$line"
		start "$kernel" "$tests" "$work/$kernel.log"
		[ "$(jobs -rp | wc -l)" -lt 2 ] || wait -n
	done
	wait
	for line in "${kernels[@]}"; do
		read -r kernel _ tests <<<"$line"
		log=$work/$kernel.log
		rows "$kernel" "$tests" "$(<"$log.rc")" "$log" >>"$work/rows"
	done 2>&1
	for line in "${alone[@]}"; do
		read -r kernel tests <<<"$line"
		log=$work/$kernel-alone.log
		start "$kernel" "$tests" "$log"
		wait
		rows "$kernel" "$tests" "$(<"$log.rc")" "$log" >>"$work/rows"
	done 2>&1
	log=$work/host.log
	rc=0
	host >"$log" 2>&1 || rc=$?
	[ $rc != 77 ] || rc=0 # the log says so
	{ rows $host_kernel host $rc "$log" >>"$work/rows"; } 2>&1
	jq -s '{schema: 1, rows: .}' "$work/rows" >"$work/result.json"
	echo
	printf '%-7s %-6s %-8s %6s %6s %7s  %s\n' kernel tier result passed failed skipped reason
	jq -r '.rows[] | [.kernel, .tier, .result, .passed, .failed, .skipped, (.reason | join("; "))] | @tsv' \
		"$work/result.json" | while IFS=$'\t' read -r -a line; do
		printf '%-7s %-6s %-8s %6s %6s %7s  %s\n' "${line[@]}"
	done
	jq -r '[.rows[].result] | . as $r | ["passed", "failed", "skipped"] |
		map(. as $n | "\($r | map(select(. == $n)) | length) \($n)") | join(", ")' "$work/result.json"
	jq -e 'any(.rows[]; .result == "passed") and all(.rows[]; .result != "failed")' \
		"$work/result.json" >/dev/null || exit 1
}

# run KERNEL CMD: its exit code is ours. A result of the demo is left where the demo itself would leave it.
run() {
	local suite why rc=0
	suite=$(suite_of "$1") || exit
	why=$(fetch "$1" "$suite") || { echo "SKIP $why"; exit 77; }
	prepare "$1" "$2"
	boot "$1" "$work/$1/initrd" -no-reboot || rc=$?
	[ ! -d "$work/$1/demo" ] || cp -r "$work/$1/demo" "$build"
	exit "$rc"
}

usage() {
	die "usage: tests/vm/run.sh matrix | host | demo | run KERNEL CMD...   (VM_DEADLINE=$deadline)"
}

mkdir -p "$work" "$cache"
trap 'echo "vm: line $LINENO failed: $BASH_COMMAND" >&2' ERR
exec 9>"$work/lock"
flock 9
case ${1-} in
matrix) matrix ;;
# The old daemon loses packets above 5,000 a second in such a guest.
host) host ;;
demo) run 6.1 "LAB_SLOW=1 DEMO_RATE=${DEMO_RATE:-2000} DEMO_STEP=${DEMO_STEP:-3} tests/lab/demo.sh" ;;
run)
	[ $# -ge 3 ] || usage
	run "$2" "${*:3}"
	;;
*) usage ;;
esac
