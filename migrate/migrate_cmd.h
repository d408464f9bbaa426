/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

/* nfq2xdp migrate VERB …, nfq2xdp plan and nfq2xdp panic. argv[0] is the verb. Return an enum n2x_exit. */
int migrate_cmd_start(int argc, char **argv);
int migrate_cmd_split(int argc, char **argv);
int migrate_cmd_full(int argc, char **argv);
int migrate_cmd_confirm(int argc, char **argv);
int migrate_cmd_auto(int argc, char **argv);
int migrate_cmd_hold(int argc, char **argv);
int migrate_cmd_resume(int argc, char **argv);
int migrate_cmd_extend(int argc, char **argv);
int migrate_cmd_rollback(int argc, char **argv);
int migrate_cmd_done(int argc, char **argv);
int migrate_cmd_restore(int argc, char **argv);
int migrate_cmd_status(int argc, char **argv);
int migrate_cmd_monitor(int argc, char **argv);
int migrate_cmd_metrics(int argc, char **argv);
int migrate_cmd_report(int argc, char **argv);
int migrate_cmd_panic(int argc, char **argv);
int migrate_cmd_plan(int argc, char **argv);

/* nfq2xdp parity VERB … */
int parity_cmd_live(int argc, char **argv);
int parity_cmd_replay(int argc, char **argv);
