#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# On the NIC under the tunnel, MTU 9001: native and xdp.frags. Without xdp.frags no driver takes it there: generic.
set -u
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/../lab/lab.sh"
lab_reexec "$@"
lab_up || exit 1
# shellcheck source=tests/netns/lib.sh
. "$LAB_ROOT/tests/netns/lib.sh"

# shellcheck disable=SC2034 # all for paths.sh
SETUP=("match=, encap: vxlan, vni: [1]") MODE=native FRAGS=xdp.frags
# shellcheck disable=SC2034
has frags || MODE=generic FRAGS=xdp
# shellcheck source=tests/netns/paths.sh
. "$LAB_ROOT/tests/netns/paths.sh"
finish
