// SPDX-License-Identifier: GPL-2.0-only
#include "migrate/parity_report.h"

static json_t *by_side(const uint64_t n[PARITY_SIDE_MAX])
{
	return json_pack("{s:I, s:I}", parity_side_name[PARITY_XDP], (json_int_t)n[PARITY_XDP],
			 parity_side_name[PARITY_BEHIND], (json_int_t)n[PARITY_BEHIND]);
}

static json_t *classes_json(const struct parity_report *report)
{
	json_t *classes = json_object();

	for (int cause = 0; cause < PARITY_CLASS_MAX; cause++)
		json_object_set_new(classes, parity_class_name[cause],
				    by_side(report->class[cause]));
	return classes;
}

static json_t *claim_json(uint64_t different, uint64_t of)
{
	return json_pack("{s:I, s:I, s:f, s:i}", "different", (json_int_t)different, "of",
			 (json_int_t)of, "at_most", parity_at_most(different, of),
			 "confidence_percent", 95);
}

json_t *parity_report_json(const struct parity_report *report)
{
	return json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:o}", "result",
			 parity_verdict_name[parity_judge(report)], "compared",
			 (json_int_t)report->compared, "matching", (json_int_t)report->matching,
			 "equal", (json_int_t)report->equal, "accepted",
			 (json_int_t)report->accepted, "different", (json_int_t)report->different,
			 "classes", classes_json(report), "one_sided", by_side(report->one_sided),
			 "claim", claim_json(report->different, report->compared), "claim_matching",
			 claim_json(report->matching_different, report->matching));
}

/* Overtaken, of how many, by path. */
static json_t *order_json(const struct live_report *r)
{
	return json_pack("{s:{s:I, s:I}, s:{s:I, s:I}, s:I}", "nfqueue", "overtaken",
			 (json_int_t)r->left.late, "of", (json_int_t)r->left.joined, "xdp",
			 "overtaken", (json_int_t)r->taken.late, "of", (json_int_t)r->taken.joined,
			 "all", (json_int_t)r->late);
}

json_t *live_report_json(const struct live_report *r)
{
	json_t *object = parity_report_json(&r->parity), *unseen = json_object();

	for (int i = 0; i < LIVE_UNSEEN_MAX; i++)
		json_object_set_new(unseen, live_unseen_name[i],
				    json_integer((json_int_t)r->unseen[i]));
	json_object_set_new(object, "not_comparable", unseen);
	json_object_set_new(object, "reordered", order_json(r));
	json_object_set_new(object, "samples_lost", by_side(r->samples_lost));
	json_object_set_new(object, "bridged_past", json_integer((json_int_t)r->bridged));
	json_object_set_new(object, "one_in", json_integer(r->one_in));
	json_object_set_new(object, "seconds", json_real((double)r->took_ns / 1e9));
	json_object_set_new(object, "complete", json_boolean(!*r->broken.text));
	return object;
}
