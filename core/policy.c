// SPDX-License-Identifier: GPL-2.0-only
#include "core/policy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEC_NS 1000000000ULL

void policy_defaults(struct policy *out)
{
	static const struct share steps[] = {
		{ DF_SHARE_NTH, 100 },
		{ DF_SHARE_NTH, 10 },
		{ DF_SHARE_NTH, 2 },
		{ DF_SHARE_ALL, 0 },
	};

	memset(out, 0, sizeof(*out));
	out->df.encap = DF_ENCAP_NONE;
	out->df.ip_id = DF_IP_ID_KEEP;
	out->xdp.mode = ATTACH_AUTO;
	out->nfqueue.threads = 1;
	out->nfqueue.fail = NFQ_FAIL_OPEN;
	memcpy(out->rollout.steps, steps, sizeof(steps));
	out->rollout.n_steps = sizeof(steps) / sizeof(steps[0]);
	out->rollout.hold_ns = 60 * SEC_NS;
	out->rollout.samples = 1000;
	out->parity.sample = 16;
	strcpy(out->metrics.listen, "127.0.0.1:9465");
	out->rollout.give_up_ns = 600 * SEC_NS;
	out->rollout.lease_ns = 5 * SEC_NS;
	out->rollout.confirm_within_ns = 1800 * SEC_NS;
}

int share_every(unsigned long n, struct share *out)
{
	if (n < 1 || n > UINT32_MAX)
		return -EINVAL;
	*out = n == 1 ? (struct share){ DF_SHARE_ALL, 0 } : (struct share){ DF_SHARE_NTH, n };
	return 0;
}

int share_percent(double percent, struct share *out)
{
	uint64_t n;

	/* Written so that NaN is refused too. */
	if (!(percent > 0 && percent <= 100))
		return -EINVAL;
	/* The product is exact: only the division rounds. */
	n = (uint64_t)(percent * 4294967296.0 / 100 + 0.5);
	if (n < 1)
		n = 1;
	*out = n > UINT32_MAX ? (struct share){ DF_SHARE_ALL, 0 }
			      : (struct share){ DF_SHARE_FLOW, (uint32_t)n };
	return 0;
}

int share_parse(const char *text, struct share *out)
{
	size_t digits = strspn(text, "0123456789");
	char *end;

	if (!strcmp(text, "0") || !strcmp(text, "all")) {
		*out = (struct share){ *text == '0' ? DF_SHARE_NONE : DF_SHARE_ALL, 0 };
		return 0;
	}
	if (!strncmp(text, "1/", 2)) {
		text += 2;
		digits = strspn(text, "0123456789");
		/* Overflow yields ULONG_MAX, which share_every() refuses. */
		return digits && !text[digits] ? share_every(strtoul(text, NULL, 10), out)
					       : -EINVAL;
	}
	/* Only digits and one dot: strtod() alone takes exponents, hex, "inf" and "nan". */
	if (!digits)
		return -EINVAL;
	if (text[digits] == '.')
		digits += 1 + strspn(text + digits + 1, "0123456789");
	if (strcmp(text + digits, "%") != 0)
		return -EINVAL;
	double percent = strtod(text, &end);

	return end == text + digits ? share_percent(percent, out) : -EINVAL;
}

/* The shortest decimal that share_parse() takes back to n; 8 places tell any two n apart. */
static void percent_format(uint32_t n, char *buf, size_t size)
{
	struct share back = { 0 };

	for (int places = 0; places <= 8; places++) {
		snprintf(buf, size, "%.*f%%", places, n * 100.0 / 4294967296.0);
		if (!share_parse(buf, &back) && back.kind == DF_SHARE_FLOW && back.n == n)
			return;
	}
}

const char *share_format(const struct share *share, char *buf, size_t size)
{
	switch (share->kind) {
	case DF_SHARE_NONE:
		snprintf(buf, size, "0");
		break;
	case DF_SHARE_NTH:
		snprintf(buf, size, "1/%u", share->n);
		break;
	case DF_SHARE_FLOW:
		percent_format(share->n, buf, size);
		break;
	case DF_SHARE_ALL:
		snprintf(buf, size, "all");
		break;
	case DF_SHARE_TRIAL:
		snprintf(buf, size, "0 (trial)");
		break;
	default:
		snprintf(buf, size, "?");
	}
	return buf;
}
