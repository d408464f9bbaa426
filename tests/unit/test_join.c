// SPDX-License-Identifier: GPL-2.0-only
/* migrate/parity_join.[ch] and the folding of migrate/parity_live.c: packets in front and behind, by hand. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/packet.h"
#include "migrate/parity_join.h"
#include "migrate/parity_live.h"

#define HEAD    14 /* an Ethernet header */
#define PAYLOAD 16
#define LEN     (20 + 8 + PAYLOAD)
#define PORT    31765
#define S       1000000000ULL
#define START   (100 * S)
#define NOW     (START + 2 * S) /* behind the edge at the begin */
#define LATE    (NOW + JOIN_WAIT_NS + 1)

struct frame {
	uint8_t byte[HEAD + LEN];
};

struct scene {
	struct parity_join *join;
	uint32_t attached;
	struct parity_set accept;
	uint64_t found;
};

static struct df_ipv4 *ip_of(struct frame *f)
{
	return (void *)(f->byte + HEAD);
}

static struct df_udp *udp_of(struct frame *f)
{
	return (void *)(f->byte + HEAD + 20);
}

static void set_checksum(struct frame *f)
{
	const uint16_t *word = (const void *)ip_of(f);
	uint32_t sum = 0;

	ip_of(f)->check = 0;
	for (int i = 0; i < 10; i++)
		sum += word[i];
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	ip_of(f)->check = (uint16_t)~sum;
}

/* With DF, number `n` in its payload and its ID. */
static struct frame packet(uint16_t n)
{
	struct frame f = { 0 };

	f.byte[12] = 8;
	*ip_of(&f) = (struct df_ipv4){ .version_ihl = 0x45,
				       .tot_len_be = htons(LEN),
				       .id_be = htons(n),
				       .frag_off_be = htons(0x4000),
				       .ttl = 64,
				       .protocol = 17,
				       .saddr_be = htonl(0x0a000001),
				       .daddr_be = htonl(0x0a000002) };
	*udp_of(&f) = (struct df_udp){ .sport_be = htons(1000),
				       .dport_be = htons(PORT),
				       .len_be = htons(LEN - 20),
				       .check = 7 };
	memcpy(f.byte + HEAD + 28, &n, sizeof(n));
	set_checksum(&f);
	return f;
}

static struct frame cleared(struct frame f)
{
	ip_of(&f)->frag_off_be &= (__be16)~htons(0x4000);
	set_checksum(&f);
	return f;
}

static void on_found(void *ctx, const struct parity_set *found, const struct parity_case *c,
		     const uint8_t *frame, size_t head)
{
	struct scene *s = ctx;

	assert_true(found->by[0] || found->by[1]);
	assert_ptr_equal(c->came.data, frame + head);
	s->found++;
}

static int setup(void **state)
{
	static struct scene scene;
	struct join_how how = { .n_attached = 1, .found = on_found, .ctx = &scene };

	scene = (struct scene){ .attached = 3 };
	how.attached = &scene.attached;
	how.policy = (struct df_policy){ .dport_be = { htons(PORT) }, .n_dport = 1 };
	how.accept.by[PARITY_BEHIND] = PARITY_BIT(PARITY_UDP_CSUM_CHANGED);
	scene.join = join_new(&how, START);
	assert_non_null(scene.join);
	*state = &scene;
	return 0;
}

static int teardown(void **state)
{
	join_free(((struct scene *)*state)->join);
	return 0;
}

static void came_at(struct scene *s, const struct frame *f, int cpu, uint8_t reason, uint64_t now)
{
	const struct df_sample sample = { .len = sizeof(*f), .ip_at = HEAD, .reason = reason };

	assert_int_equal(join_came(s->join, cpu, &sample, f->byte, now), 0);
}

static void came(struct scene *s, struct frame f, uint8_t reason)
{
	came_at(s, &f, 0, reason, NOW);
}

static void out_by(struct scene *s, struct frame f, uint32_t port, uint64_t now)
{
	assert_int_equal(join_out(s->join, f.byte + HEAD, LEN, port, now), 0);
}

static void out(struct scene *s, struct frame f)
{
	out_by(s, f, 3, NOW);
}

static const struct parity_report *parity(const struct scene *s)
{
	return &join_report(s->join)->parity;
}

static void assert_counts(const struct scene *s, uint64_t equal, uint64_t accepted,
			  uint64_t different)
{
	assert_int_equal(parity(s)->equal, equal);
	assert_int_equal(parity(s)->accepted, accepted);
	assert_int_equal(parity(s)->different, different);
	assert_int_equal(parity(s)->compared, equal + accepted + different);
	assert_int_equal(s->found, accepted + different);
}

/* Of this class on this side one, and of no other class any. */
static void assert_only(const struct scene *s, enum parity_class cause, enum parity_side side)
{
	for (int c = 0; c < PARITY_CLASS_MAX; c++)
		for (int i = 0; i < PARITY_SIDE_MAX; i++)
			assert_int_equal(parity(s)->class[c][i], c == (int)cause && i == (int)side);
}

static void test_equal(void **state)
{
	struct scene *s = *state;

	came(s, packet(1), DF_NOT_SELECTED);
	came(s, packet(2), DF_CLEARED);
	out(s, cleared(packet(1)));
	out(s, cleared(packet(2)));
	assert_counts(s, 2, 0, 0);
	assert_int_equal(parity(s)->matching, 2);
	assert_int_equal(join_report(s->join)->left.joined, 1);
	assert_int_equal(join_report(s->join)->taken.joined, 1);
	assert_false(join_waiting(s->join));
}

/* What came without being of the policy: as it was. */
static void test_not_ours(void **state)
{
	struct scene *s = *state;
	struct frame other = packet(1), done = cleared(packet(2));

	udp_of(&other)->dport_be = htons(1);
	came(s, other, DF_OTHER_PORT);
	came(s, done, DF_NO_DF);
	out(s, other);
	out(s, done);
	assert_counts(s, 2, 0, 0);
	assert_int_equal(parity(s)->matching, 0);
}

/* The one that handled the packet is to blame for what it looks like. */
static void test_blame(void **state)
{
	struct scene *s = *state;
	struct frame wrong = cleared(packet(1));

	ip_of(&wrong)->check ^= 0x0100;
	came(s, packet(1), DF_CLEARED);
	out(s, wrong);
	assert_counts(s, 0, 0, 1);
	assert_only(s, PARITY_IP_CSUM_WRONG, PARITY_XDP);
	teardown(state);
	setup(state);
	came(s, packet(1), DF_NOT_SELECTED);
	out(s, wrong);
	assert_only(s, PARITY_IP_CSUM_WRONG, PARITY_BEHIND);
}

static void test_df_left(void **state)
{
	struct scene *s = *state;

	came(s, packet(1), DF_NOT_SELECTED);
	out(s, packet(1));
	assert_counts(s, 0, 0, 1);
	assert_only(s, PARITY_DF_NOT_CLEARED, PARITY_BEHIND);
}

/* The program takes a packet of the policy for another one: it would leave DF, whoever cleared it now. */
static void test_not_recognized(void **state)
{
	struct scene *s = *state;

	came(s, packet(1), DF_OTHER_PORT);
	out(s, cleared(packet(1)));
	assert_counts(s, 0, 0, 1);
	assert_only(s, PARITY_DF_NOT_CLEARED, PARITY_XDP);
}

/* And another one for a packet of the policy. */
static void test_cleared_wrongly(void **state)
{
	struct scene *s = *state;
	struct frame other = packet(1);

	udp_of(&other)->dport_be = htons(1);
	came(s, other, DF_CLEARED);
	out(s, cleared(other));
	assert_counts(s, 0, 0, 1);
	assert_only(s, PARITY_DF_CLEARED_WRONGLY, PARITY_XDP);
}

static void test_accepted(void **state)
{
	struct scene *s = *state;
	struct frame wrong = cleared(packet(1));

	udp_of(&wrong)->check = 9;
	came(s, packet(1), DF_NOT_SELECTED);
	out(s, wrong);
	assert_counts(s, 0, 1, 0);
	came(s, packet(1), DF_CLEARED); /* of the path behind only */
	out(s, wrong);
	assert_counts(s, 0, 1, 1);
}

/* As a veth's peer sends it: the kernel makes the checksum for NFQUEUE. A wrong one is still one. */
static void test_partial(void **state)
{
	struct scene *s = *state;
	struct frame partial = packet(1), whole;

	/* 10.0.0.1, 10.0.0.2, 17, 24: 0x0a00 + 0x0001 + 0x0a00 + 0x0002 + 17 + 24 */
	udp_of(&partial)->check = htons(0x142c);
	whole = cleared(partial);
	/* and 1000 + 31765 + 24 + the number 1 as it lies there: ~(0x142c + 0x8015 + 0x0100) */
	udp_of(&whole)->check = htons((uint16_t) ~(0x142c + 0x8015 + 0x0100));
	came(s, partial, DF_NOT_SELECTED);
	out(s, whole);
	assert_counts(s, 1, 0, 0);
	udp_of(&whole)->check ^= htons(2);
	came(s, partial, DF_CLEARED);
	out(s, whole);
	assert_counts(s, 1, 0, 1);
	assert_only(s, PARITY_UDP_CSUM_CHANGED, PARITY_XDP);
}

/* Three that are the same to the letter, of which one does not come out. */
static void test_identical(void **state)
{
	struct scene *s = *state;

	for (int i = 0; i < 3; i++)
		came(s, packet(0), DF_NOT_SELECTED);
	out(s, cleared(packet(0)));
	out(s, cleared(packet(0)));
	join_age(s->join, LATE, false);
	assert_counts(s, 2, 0, 0);
	assert_int_equal(join_report(s->join)->left.missing[JOIN_LOST], 1);
}

/* No equal is found: the two that are left over of a flow belong together. */
static void test_changed(void **state)
{
	struct scene *s = *state;
	struct frame wrong = cleared(packet(2));

	wrong.byte[HEAD + LEN - 1] ^= 1;
	came(s, packet(1), DF_NOT_SELECTED);
	came(s, packet(2), DF_NOT_SELECTED);
	out(s, wrong);
	out(s, cleared(packet(1)));
	assert_counts(s, 1, 0, 0);
	assert_true(join_waiting(s->join));
	join_age(s->join, NOW + JOIN_WAIT_NS, false);
	assert_true(join_waiting(s->join));
	join_age(s->join, LATE, false);
	assert_false(join_waiting(s->join));
	assert_counts(s, 1, 0, 1);
	assert_only(s, PARITY_PAYLOAD, PARITY_BEHIND);
}

/* The oldest of the flow is another packet: what came is that one which has something of it still. */
static void assert_found_beside(struct scene *s, struct frame in, struct frame changed,
				enum parity_class cause)
{
	struct frame other = cleared(packet(77));

	out(s, other);
	came(s, in, DF_NOT_SELECTED);
	out(s, changed);
	join_age(s->join, LATE, false);
	assert_counts(s, 0, 0, 1);
	assert_only(s, cause, PARITY_BEHIND);
	assert_int_equal(join_report(s->join)->left.missing[JOIN_LOST], 0);
}

static void test_changed_payload(void **state)
{
	struct frame wrong = cleared(packet(2));

	wrong.byte[HEAD + LEN - 1] ^= 1;
	assert_found_beside(*state, packet(2), wrong, PARITY_PAYLOAD);
}

static void test_changed_id(void **state)
{
	struct frame wrong = cleared(packet(2));

	ip_of(&wrong)->id_be = htons(3);
	set_checksum(&wrong);
	assert_found_beside(*state, packet(2), wrong, PARITY_IP_ID_CHANGED);
}

/* Without an ID and with another payload there is the length alone. */
static void test_changed_without_id(void **state)
{
	struct frame in = packet(0), wrong = cleared(packet(0));

	wrong.byte[HEAD + LEN - 1] ^= 1;
	assert_found_beside(*state, in, wrong, PARITY_PAYLOAD);
}

/* Nor is there one where the path behind gives a new one. */
static void test_changed_assigned(void **state)
{
	struct scene *s = *state;
	struct join_how how = {
		.policy = { .dport_be = { htons(PORT) }, .n_dport = 1, .ip_id = DF_IP_ID_ASSIGN },
		.found = on_found,
		.ctx = s
	};
	struct frame wrong = cleared(packet(5));

	join_free(s->join);
	s->join = join_new(&how, START);
	memset(wrong.byte + HEAD + 28, 1, PAYLOAD);
	came(s, packet(0), DF_NOT_SELECTED);
	out(s, wrong);
	join_age(s->join, LATE, false);
	assert_counts(s, 0, 0, 1);
	assert_int_equal(parity(s)->class[PARITY_PAYLOAD][PARITY_BEHIND], 1);
}

/* Cut off behind; the ID says that it is the same. */
static void test_changed_length(void **state)
{
	struct scene *s = *state;
	const struct frame wrong = cleared(packet(2));

	came(s, packet(2), DF_NOT_SELECTED);
	assert_int_equal(join_out(s->join, wrong.byte + HEAD, LEN - 1, 3, NOW), 0);
	join_age(s->join, LATE, false);
	assert_counts(s, 0, 0, 1);
	assert_int_equal(parity(s)->class[PARITY_LENGTH][PARITY_BEHIND], 1);
}

/* Two of a flow that have nothing in common are two packets: one was lost, one was not shown in front. */
static void test_unrelated(void **state)
{
	struct scene *s = *state;
	const struct frame brief = cleared(packet(0));

	came(s, packet(1), DF_NOT_SELECTED);
	out(s, cleared(packet(2)));
	came(s, packet(0), DF_NOT_SELECTED);
	assert_int_equal(join_out(s->join, brief.byte + HEAD, LEN - 1, 3, NOW), 0);
	join_age(s->join, NOW, true);
	assert_counts(s, 0, 0, 0);
	assert_int_equal(join_report(s->join)->left.missing[JOIN_LOST], 2);
	assert_int_equal(join_report(s->join)->unseen, 2);
}

/* What came out before a packet was shown in front is not that packet. */
static void test_unrelated_before(void **state)
{
	struct scene *s = *state;
	struct frame wrong = cleared(packet(2)), in = packet(2);

	wrong.byte[HEAD + LEN - 1] ^= 1;
	out(s, wrong);
	came_at(s, &in, 0, DF_NOT_SELECTED, NOW + 1);
	join_age(s->join, NOW + 1, true);
	assert_counts(s, 0, 0, 0);
	assert_int_equal(join_report(s->join)->left.missing[JOIN_LOST], 1);
	assert_int_equal(join_report(s->join)->unseen, 1);
}

/* A queue that holds each packet for longer than one is waited for, and loses and changes none. */
static void test_delayed(void **state)
{
	const uint64_t delay = JOIN_WAIT_NS + S / 2;
	struct scene *s = *state;
	const struct join_report *r = join_report(s->join);

	for (uint16_t i = 1; i <= 2; i++) {
		struct frame f = packet(i);

		came_at(s, &f, 0, DF_NOT_SELECTED, NOW + (i - 1) * (S * 6 / 10));
	}
	join_age(s->join, LATE, false);
	assert_int_equal(r->left.missing[JOIN_LOST], 1);
	out_by(s, cleared(packet(1)), 3, NOW + delay);
	assert_int_equal(r->left.missing[JOIN_LOST], 0);
	assert_counts(s, 1, 0, 0);
	join_age(s->join, LATE + S * 6 / 10, false);
	assert_int_equal(r->left.missing[JOIN_LOST], 1);
	out_by(s, cleared(packet(2)), 3, NOW + S * 6 / 10 + delay);
	join_age(s->join, NOW + 60 * S, true);
	assert_counts(s, 2, 0, 0);
	assert_int_equal(r->left.joined, 2);
	assert_int_equal(r->left.missing[JOIN_LOST] + r->unseen + r->left.late, 0);
}

/* What a slow queue held before the first sample was not shown in front: as long as a packet took since. */
static void test_delayed_from_before(void **state)
{
	const uint64_t delay = JOIN_WAIT_NS + S / 2;
	struct scene *s = *state;
	struct frame first = packet(1);

	came_at(s, &first, 0, DF_NOT_SELECTED, START);
	join_age(s->join, START + JOIN_WAIT_NS + 1, false);
	out_by(s, packet(8), 3, START + delay - 1);
	out_by(s, cleared(first), 3, START + delay);
	out_by(s, packet(9), 3, START + delay);
	join_age(s->join, START + 60 * S, true);
	assert_counts(s, 1, 0, 0);
	assert_int_equal(join_report(s->join)->unseen, 1);
}

/* A loss is not undone by a packet that is the same to the letter: that one came later itself. */
static void test_lost_stays(void **state)
{
	struct scene *s = *state;
	struct frame again = packet(1);

	came(s, packet(1), DF_CLEARED);
	join_age(s->join, LATE, false);
	came_at(s, &again, 0, DF_CLEARED, LATE);
	out_by(s, cleared(packet(1)), 3, LATE);
	join_age(s->join, LATE, true);
	assert_counts(s, 1, 0, 0);
	assert_int_equal(join_report(s->join)->taken.missing[JOIN_LOST], 1);
}

/* As many as a queue can hold are remembered. */
static void test_delayed_most(void **state)
{
	struct scene *s = *state;
	const struct join_report *r = join_report(s->join);

	for (uint16_t i = 0; i <= JOIN_GIVEN_UP_MAX; i++)
		came(s, packet(i), DF_NOT_SELECTED);
	join_age(s->join, LATE, false);
	assert_int_equal(r->left.missing[JOIN_LOST], JOIN_GIVEN_UP_MAX + 1);
	out_by(s, cleared(packet(1)), 3, LATE);
	out_by(s, cleared(packet(0)), 3, LATE);
	join_age(s->join, LATE, true);
	assert_int_equal(r->left.joined, 1);
	assert_int_equal(r->left.missing[JOIN_LOST], JOIN_GIVEN_UP_MAX);
	assert_int_equal(r->unseen, 1);
}

/* The rule behind was gone for a while: nobody is to blame for what was not seen there. */
static void test_forget(void **state)
{
	struct scene *s = *state;
	struct frame later = packet(3);

	came(s, packet(1), DF_CLEARED);
	out(s, cleared(packet(2)));
	join_forget(s->join, NOW);
	assert_false(join_waiting(s->join));
	came_at(s, &later, 0, DF_CLEARED, NOW + 2 * S);
	out_by(s, cleared(packet(3)), 3, NOW + 2 * S);
	out_by(s, cleared(packet(1)), 3, NOW); /* seen there again, of before */
	join_age(s->join, NOW, true);
	assert_counts(s, 1, 0, 0);
	assert_int_equal(join_report(s->join)->taken.missing[JOIN_LOST], 0);
	assert_int_equal(join_report(s->join)->unseen, 0);
}

static void test_missing(void **state)
{
	struct scene *s = *state;
	struct frame wrong = packet(1), first = packet(2);

	ip_of(&wrong)->check ^= 1;
	ip_of(&first)->frag_off_be |= htons(0x2000);
	set_checksum(&first);
	came(s, wrong, DF_NOT_SELECTED);
	came(s, first, DF_NOT_SELECTED);
	came(s, packet(3), DF_NOT_SELECTED);
	came(s, packet(4), DF_CLEARED);
	join_age(s->join, LATE, false);
	assert_int_equal(join_report(s->join)->left.missing[JOIN_BAD_CHECKSUM], 1);
	assert_int_equal(join_report(s->join)->left.missing[JOIN_REASSEMBLED], 1);
	assert_int_equal(join_report(s->join)->left.missing[JOIN_LOST], 1);
	assert_int_equal(join_report(s->join)->taken.missing[JOIN_LOST], 1);
	assert_counts(s, 0, 0, 0);
}

static void test_only_behind(void **state)
{
	struct scene *s = *state;
	const struct join_report *r = join_report(s->join);
	struct frame other = packet(9);

	udp_of(&other)->dport_be = htons(1);
	out_by(s, packet(1), 4, NOW);
	out_by(s, cleared(packet(2)), 4, NOW);
	out_by(s, packet(3), 3, NOW);
	out_by(s, packet(4), 0, NOW);
	out_by(s, other, 4, NOW);
	out_by(s, packet(5), 4, START); /* its sample may have been before the first */
	join_stop(s->join, NOW + S);
	out_by(s, packet(6), 4, NOW + S); /* or behind the last */
	join_age(s->join, NOW + 2ULL * JOIN_WAIT_NS, false);
	assert_int_equal(r->bridged + r->unseen, 0);
	join_age(s->join, NOW, true);
	assert_int_equal(r->bridged, 2);
	assert_int_equal(r->bridged_port, 4);
	assert_int_equal(r->unseen, 2);
}

/* 0 is of the path behind, 1 of XDP: 1, 3 come out in front of 0, 2. And another CPU is another order. */
static void test_order(void **state)
{
	struct scene *s = *state;
	const struct join_report *r = join_report(s->join);
	struct frame other = packet(9);

	for (uint16_t i = 0; i < 4; i++)
		came(s, packet(i), i & 1 ? DF_CLEARED : DF_NOT_SELECTED);
	came_at(s, &other, 1, DF_CLEARED, NOW);
	out(s, cleared(packet(1)));
	out(s, cleared(packet(3)));
	out(s, cleared(packet(0)));
	out(s, cleared(packet(9)));
	out(s, cleared(packet(2)));
	assert_counts(s, 5, 0, 0);
	assert_int_equal(r->late, 2);
	assert_int_equal(r->left.late, 0);
	assert_int_equal(r->taken.late, 0);
}

/* Neither is looked at: too short for a UDP header, and not UDP. */
static void test_odd(void **state)
{
	struct scene *s = *state;
	struct frame f = packet(1);
	const struct df_sample brief = { .len = HEAD + 27, .ip_at = HEAD };

	assert_int_equal(join_came(s->join, 0, &brief, f.byte, NOW), 0);
	assert_int_equal(join_out(s->join, f.byte + HEAD, 27, 0, NOW), 0);
	assert_int_equal(join_out(s->join, f.byte + HEAD, 0, 0, NOW), 0);
	ip_of(&f)->protocol = 6;
	came(s, f, DF_NOT_UDP);
	assert_false(join_waiting(s->join));
	join_age(s->join, LATE, true);
	assert_int_equal(join_report(s->join)->unseen, 0);
}

static struct live_report fold(struct join_report join, struct live_losses losses, uint32_t accept)
{
	const struct parity_set set = { .by[PARITY_BEHIND] = accept };
	struct live_report r;

	live_fold(&join, &losses, &set, &r);
	return r;
}

static void test_fold_samples(void **state)
{
	const struct join_report join = { .left.missing[JOIN_LOST] = 3,
					  .taken.missing[JOIN_LOST] = 2,
					  .unseen = 4,
					  .bridged = 1 };
	const struct live_losses losses = { .samples = { [PARITY_XDP] = 3, [PARITY_BEHIND] = 4 } };
	struct live_report r = fold(join, losses, 0);

	(void)state;
	assert_int_equal(r.unseen[LIVE_SAMPLE_LOST], 4);
	assert_int_equal(r.unseen[LIVE_LOST], 0);
	assert_int_equal(r.parity.class[PARITY_ONLY_XDP][PARITY_XDP], 1);
	assert_int_equal(r.parity.class[PARITY_ONLY_BEHIND][PARITY_BEHIND], 2);
	assert_int_equal(r.parity.different, 3);
	assert_int_equal(r.parity.compared, 3);
	assert_int_equal(r.parity.one_sided[PARITY_BEHIND], 2);
	r = fold(join, losses, PARITY_BIT(PARITY_ONLY_BEHIND));
	assert_int_equal(r.parity.different, 1);
	assert_int_equal(r.parity.accepted, 2);
}

static void test_fold_queue(void **state)
{
	const struct join_report join = { .left.missing[JOIN_LOST] = 3 };
	struct live_report r = fold(join, (struct live_losses){ .queue = 2 }, 0);

	(void)state;
	assert_int_equal(r.unseen[LIVE_QUEUE_FULL], 2);
	assert_int_equal(r.unseen[LIVE_LOST], 1);
	assert_int_equal(r.parity.compared, 0);
}

/* 10 of 1,000 lost by the path behind alone: of 1,000 that XDP took up to 16 may be, and not 17. */
static void test_fold_noise(void **state)
{
	struct join_report join = { .left = { .joined = 990, .missing[JOIN_LOST] = 10 },
				    .taken = { .joined = 984, .missing[JOIN_LOST] = 16 } };
	const struct live_losses none = { 0 };
	struct live_report r = fold(join, none, 0);

	(void)state;
	assert_int_equal(r.unseen[LIVE_LOST], 26);
	assert_int_equal(r.parity.different, 0);
	join.taken = (struct join_stream){ .joined = 983, .missing[JOIN_LOST] = 17 };
	r = fold(join, none, 0);
	assert_int_equal(r.unseen[LIVE_LOST], 10);
	assert_int_equal(r.parity.different, 17);
	assert_int_equal(r.parity.matching_different, 17);
	join.left = (struct join_stream){ .joined = 1000 };
	join.taken = (struct join_stream){ .joined = 999999, .missing[JOIN_LOST] = 1 };
	r = fold(join, none, 0);
	assert_int_equal(r.parity.different, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_equal, setup, teardown),
		cmocka_unit_test_setup_teardown(test_not_ours, setup, teardown),
		cmocka_unit_test_setup_teardown(test_blame, setup, teardown),
		cmocka_unit_test_setup_teardown(test_df_left, setup, teardown),
		cmocka_unit_test_setup_teardown(test_not_recognized, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cleared_wrongly, setup, teardown),
		cmocka_unit_test_setup_teardown(test_accepted, setup, teardown),
		cmocka_unit_test_setup_teardown(test_partial, setup, teardown),
		cmocka_unit_test_setup_teardown(test_identical, setup, teardown),
		cmocka_unit_test_setup_teardown(test_changed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_changed_payload, setup, teardown),
		cmocka_unit_test_setup_teardown(test_changed_id, setup, teardown),
		cmocka_unit_test_setup_teardown(test_changed_without_id, setup, teardown),
		cmocka_unit_test_setup_teardown(test_changed_assigned, setup, teardown),
		cmocka_unit_test_setup_teardown(test_changed_length, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unrelated, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unrelated_before, setup, teardown),
		cmocka_unit_test_setup_teardown(test_delayed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_delayed_from_before, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lost_stays, setup, teardown),
		cmocka_unit_test_setup_teardown(test_delayed_most, setup, teardown),
		cmocka_unit_test_setup_teardown(test_forget, setup, teardown),
		cmocka_unit_test_setup_teardown(test_missing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_only_behind, setup, teardown),
		cmocka_unit_test_setup_teardown(test_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_odd, setup, teardown),
		cmocka_unit_test(test_fold_samples),
		cmocka_unit_test(test_fold_queue),
		cmocka_unit_test(test_fold_noise),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
