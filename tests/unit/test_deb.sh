#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The package is built, and lintian has nothing to say about it.
set -u
cd "$(dirname "$0")/../.." || exit 1
for tool in dpkg-buildpackage dh lintian; do
	command -v $tool >/dev/null || { echo "needs $tool: make deps TEST=1"; exit 77; }
done
# shellcheck source=tests/check.sh
. tests/check.sh
env -u MAKEFLAGS -u MAKELEVEL -u BUILD make -s deb
check "make deb: exit" $? 0
check "lintian" "$(lintian --fail-on none --display-level '>=warning' build/deb/*.changes 2>&1 | grep -v 'running with root')" ""
check "version" "$(dpkg-parsechangelog -S Version)" "$(sed -n 's/^VERSION := //p' Makefile)"
tally
