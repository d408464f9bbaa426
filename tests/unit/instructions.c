// SPDX-License-Identifier: GPL-2.0-only
/* For test_instructions.sh, under callgrind: instructions REASON runs the handler RUNS times on a packet of REASON. */
#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "core/names.h"
#include "core/packet.h"
#include "nfq-fallback/nfq_handler.h"

#define RUNS 1000

static void run(struct df_stats *stats, enum df_reason reason)
{
	const struct df_policy policy = { .dport_be = { htons(31765) }, .n_dport = 1 };
	struct {
		struct df_ipv4 ip;
		struct df_udp udp;
	} packet = {
		.ip = { .version_ihl = 0x45,
			.tot_len_be = htons(28),
			.id_be = htons(1),
			.frag_off_be = reason == DF_NO_DF ? 0 : htons(0x4000),
			.protocol = reason == DF_NOT_UDP ? 6 : DF_IPPROTO_UDP },
		.udp.dport_be = htons(reason == DF_OTHER_PORT ? 1 : 31765),
	};
	struct nfq_packet pkt = { .hw_protocol_be = htons(ETH_P_IP),
				  .payload = &packet,
				  .len = sizeof(packet),
				  .whole = true };

	nfq_handle(&policy, stats, &pkt);
}

int main(int argc, char **argv)
{
	struct df_stats stats = { 0 };
	int reason = 0;

	while (argc == 2 && reason < DF_REASON_MAX && strcmp(argv[1], df_reason_name[reason]) != 0)
		reason++;
	if (argc != 2 || reason == DF_REASON_MAX)
		return 2;
	for (int i = 0; i < RUNS; i++)
		run(&stats, reason);
	return stats.reason[reason] == RUNS ? 0 : 1;
}
