// SPDX-License-Identifier: GPL-2.0-only
#include "migrate/cmd.h"

#include "core/log.h"
#include "core/output.h"
#include "core/policy.h"

int cmd_finish(int ret, const struct err *err)
{
	if (ret < 0)
		log_info("%s", err->text);
	return -ret;
}

int cmd_print(json_t *object)
{
	return output_json(object) < 0 ? N2X_SYSTEM : N2X_OK;
}

const char *cmd_share(const struct df_ctl *ctl, char buf[SHARE_TEXT])
{
	const struct share share = { .kind = ctl->share_kind, .n = ctl->share_n };

	return share_format(&share, buf, SHARE_TEXT);
}
