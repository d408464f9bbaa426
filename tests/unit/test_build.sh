#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The Makefile knows what depends on what: built is built, and a header that is touched rebuilds all that includes it,
# the BPF object and its skeleton too.
set -u
cd "$(dirname "$0")/../.." || exit 1
BUILD=${BUILD:-build}
[ -x "$BUILD/nfq2xdp" ] || { echo "needs $BUILD/nfq2xdp: make"; exit 77; }
# shellcheck source=tests/check.sh
. tests/check.sh

# Nothing of a make around this one.
dry_make() { env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make -n "BUILD=$BUILD" V=1 "$@" all tests; }

# What a run writes: -o FILE of a compiler, >FILE of bpftool.
outputs() { sed -nE 's/.* -c -o ([^ ]+) .*/\1/p; s/.*bpftool gen skeleton .*>([^ ]+)$/\1/p' | sort; }

BPF=xdp/nfq2xdp.bpf.c

bpf_includes() {
	"${CLANG:-clang}" --target=bpf -I. "-I/usr/include/$(cc -print-multiarch)" -MM $BPF | grep -qw "$1"
}

# What the compiler itself says is made of this header, straight or through the BPF object and its skeleton.
includers() {
	local src want=$1
	if bpf_includes "$1"; then
		want+="|$BUILD/xdp/nfq2xdp.skel.h"
		printf '%s\n' "$BUILD/${BPF%.c}.o" "$BUILD/${BPF%.bpf.c}.skel.h"
	fi
	for src in main.c {core,rules,xdp,nfq-fallback,migrate,tests/vectors,tests/lab,tests/bench}/*.c tests/faults/kill_at.c tests/{unit,bpf,netns}/test_*.c; do
		[ "$src" != $BPF ] || continue
		# shellcheck disable=SC2046 # flags
		cc -D_GNU_SOURCE -I. "-I$BUILD" $(pkg-config --cflags libbpf libcyaml jansson libcap-ng) -MM "$src" |
			grep -qE "(^| )($want)( |$)" && echo "$BUILD/${src%.c}.o"
	done
}

check "nothing to do" "$(dry_make | grep -v ': Nothing to be done for ')" ""
for header in core/abi.h core/packet.h; do
	made=$(dry_make -W $header | outputs)
	check "$header: the BPF object and the skeleton" "$(grep -cE '/xdp/nfq2xdp\.(bpf\.o|skel\.h)$' <<<"$made")" 2
	check "$header: what includes it" "$made" "$(includers $header | sort)"
	check "$header: the binary" "$(dry_make -W $header | grep -c -- " -o $BUILD/nfq2xdp ")" 1
done
check "a header of the lab" "$(dry_make -W tests/lab/wire.h | outputs)" "$(includers tests/lab/wire.h | sort)"

tally
