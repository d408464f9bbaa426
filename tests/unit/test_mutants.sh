#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The differential fuzzer finds each of a list of one-line defects put into packet.h.
cd "$(dirname "$0")/../.." || exit 1
exec tests/fuzz/mutants.sh
