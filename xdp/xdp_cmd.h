/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

/* nfq2xdp run xdp. Returns an enum n2x_exit. */
int xdp_cmd_run(int argc, char **argv);
