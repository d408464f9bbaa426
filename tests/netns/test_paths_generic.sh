#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# On the tunnel itself: it has no native XDP, so auto becomes generic, and says so.
set -u
# shellcheck source=tests/lab/lab.sh
. "$(dirname "$0")/../lab/lab.sh"
lab_reexec "$@"
lab_up || exit 1
# shellcheck source=tests/netns/lib.sh
. "$LAB_ROOT/tests/netns/lib.sh"

# shellcheck disable=SC2034 # all for paths.sh
SETUP=("attach=[vxlan1]") MODE=generic FRAGS=xdp.frags
# shellcheck disable=SC2034
has frags || FRAGS=xdp
# shellcheck source=tests/netns/paths.sh
. "$LAB_ROOT/tests/netns/paths.sh"
finish
