#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# What `make lint` runs: every part says ok, or FAIL and the lines that are wrong. Fixes nothing.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
export BUILD=${BUILD:-build}
passed=0 failed=0

# tool NAME: of LLVM 14 where the system has several. Another version formats and warns differently.
tool() {
	command -v "$1-14" || echo "$1"
}

# tree GLOB...: what is in git and what would be added. All files where there is no git, or it refuses.
tree() {
	local f
	{
		git ls-files -co --exclude-standard 2>/dev/null ||
			find . \( -path ./.git -o -path ./build -o -path "./$BUILD" \) -prune -o -type f -printf '%P\n'
	} | sort | while read -r f; do
		[ ! -f "$f" ] || echo "$f"
	done
}

# flags VARIABLE...: as the Makefile has them.
flags() {
	MAKEFLAGS='' make -s --eval "lint-flags:; @printf '%s\\n' $(printf '$(%s) ' "$@")" lint-flags
}

# part NAME COMMAND...: ok when it succeeds and has nothing to say.
part() {
	local name=$1 out rc=0
	shift
	out=$("$@" 2>&1) || rc=$?
	if [ $rc = 0 ] && [ -z "$out" ]; then
		echo "ok   $name"
		passed=$((passed + 1))
	else
		echo "FAIL $name"
		printf '    | %s\n' "${out//$'\n'/$'\n    | '}"
		failed=$((failed + 1))
	fi
}

each() {
	xargs -d '\n' -P "$(nproc)" -I{} "$@"
}

found() {
	[ ${#all[@]} -gt 0 ] && [ ${#user[@]} -gt 0 ] && [ ${#bpf[@]} -gt 0 ] && [ ${#shell[@]} -gt 0 ] ||
		echo "no source file found in $PWD"
}

# The analyzer's way through a function ends after a fifth of its default: it finds the same in a third of the time.
tidy() {
	{
		printf '%s\n' "${user[@]}" | each "$clang_tidy" --quiet {} -- "${cflags[@]}" \
			-Xclang -analyzer-config -Xclang max-nodes=45000
		printf '%s\n' "${bpf[@]}" | each "$clang_tidy" --quiet {} -- "${bpf_cflags[@]}"
	} 2>&1 | sed -nE '/(error|warning|Error): /p' | sort -u
}

syntax() {
	printf '%s\n' "${user[@]}" | each "${CLANG:-clang}" -fsyntax-only "${cflags[@]}" {}
}

# A file at a time on every CPU: -x reads what a file sources, again for each.
# SC1010: `done` is a verb of nfq2xdp. SC2016: programs for jq and awk stand in single quotes. SC2317: functions
# that are called by the name they are given as. SC2119, SC2120: arguments that may be left out.
scripts() {
	printf '%s\n' "${shell[@]}" | each shellcheck -x -f gcc -e SC1010,SC2016,SC2119,SC2120,SC2317 {}
}

# Who includes whom. Every include of ours names its folder.
direction() {
	local dir
	local -A may=(
		[core]='core'
		[rules]='core|rules'
		[xdp]='core|xdp'
		[nfq-fallback]='core|rules|nfq-fallback'
		[migrate]='core|rules|xdp|nfq-fallback|migrate'
		[main.c]='core|rules|xdp|nfq-fallback|migrate'
	)
	for dir in "${!may[@]}"; do
		grep -rnHE '^[[:space:]]*#[[:space:]]*include[[:space:]]*"' --include='*.[ch]' "$dir" |
			grep -vE ":[^\"]*\"(${may[$dir]})/[^/\"]+\""
	done
	# *.bpf.h is for the BPF programs only.
	printf '%s\n' "${all[@]}" | grep -v '\.bpf\.[ch]$' | xargs grep -nE '#[[:space:]]*include.*\.bpf\.h"'
	return 0
}

# Commands print; everything else returns.
silent() {
	printf '%s\n' "${all[@]}" | grep -vE '^tests/|[_/]cmd\.c$|^(core/(output|log)|main)\.c$' |
		xargs grep -nE '\b(stdout|stderr)\b|\b(v?printf|puts|putchar|perror)\('
	return 0
}

mapfile -t files < <(tree)
mapfile -t all < <(printf '%s\n' "${files[@]}" | grep '\.[ch]$')
mapfile -t bpf < <(printf '%s\n' "${all[@]}" | grep '\.bpf\.c$')
mapfile -t user < <(printf '%s\n' "${all[@]}" | grep '\.c$' | grep -v '\.bpf\.c$')
mapfile -t shell < <(printf '%s\n' "${files[@]}" | grep -E '\.(ba)?sh$'
	printf '%s\n' "${files[@]}" | grep -vE '\.(ba)?sh$' | xargs -d '\n' awk 'FNR == 1 && /^#!.*sh$/ { print FILENAME }')
mapfile -t cflags < <(flags CPPFLAGS_ALL CFLAGS_ALL)
mapfile -t bpf_cflags < <(flags BPF_CFLAGS)
cflags+=(-Wimplicit-int-conversion)
clang_tidy=$(tool clang-tidy)

part "files: ${#user[@]} user space, ${#bpf[@]} BPF, ${#shell[@]} shell" found
part clang-format "$(tool clang-format)" --dry-run -Werror "${all[@]}"
part clang syntax
part clang-tidy tidy
part shellcheck scripts
part "dependency direction" direction
part "only commands print" silent
echo "$passed passed, $failed failed"
[ $failed = 0 ]
