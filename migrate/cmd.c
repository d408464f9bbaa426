// SPDX-License-Identifier: GPL-2.0-only
#include "migrate/cmd.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "core/log.h"
#include "core/output.h"
#include "core/policy.h"
#include "core/util.h"
#include "xdp/xdp_path.h"

int cmd_finish(int ret, const struct err *err)
{
	if (ret < 0)
		log_info("%s", err->text);
	return -ret;
}

struct found {
	char name[IFNAMSIZ];
	unsigned int n;
};

static void find(const char *instance, unsigned int version, void *ctx)
{
	struct found *found = ctx;

	(void)version;
	if (found->n && !strcmp(found->name, instance))
		return; /* pinned by two builds */
	snprintf(found->name, sizeof(found->name), "%.15s", instance);
	found->n++;
}

int cmd_instance(const char *command, const struct args *args, const struct policy *policy,
		 char out[IFNAMSIZ], struct err *err)
{
	const char *name = args->config ? policy->interface : args->instance;
	struct found found = { .n = 0 };
	int ret;

	if (args->instance && args->config)
		return err_set(err, N2X_USAGE, "%s: say IFACE or -c FILE, not both", command);
	if (name && (!*name || strlen(name) >= IFNAMSIZ || strchr(name, '/')))
		return err_set(err, N2X_USAGE, "%s: '%s' is not an interface name", command, name);
	if (!name) {
		ret = xdp_instances(find, &found, err);
		if (ret < 0)
			return ret;
		name = found.name;
		if (found.n > 1)
			return err_set(err, N2X_USAGE,
				       "%s: several instances are here: say IFACE or -c FILE",
				       command);
		if (!found.n)
			return err_set(
				err, N2X_INACTIVE,
				"%s: no XDP path in this network namespace: say IFACE or -c FILE",
				command);
	}
	snprintf(out, IFNAMSIZ, "%.15s", name);
	return 0;
}

bool cmd_terminal(void)
{
	const char *term = getenv("TERM");

	return isatty(STDOUT_FILENO) && !(term && !strcmp(term, "dumb"));
}

bool cmd_colour(void)
{
	const char *no_color = getenv("NO_COLOR");

	return cmd_terminal() && !(no_color && *no_color);
}

int cmd_print(json_t *object)
{
	return output_json(object) < 0 ? N2X_SYSTEM : N2X_OK;
}

static int write_all(FILE *out, void (*fn)(const void *ctx, FILE *out), const void *ctx)
{
	fn(ctx, out);
	return fflush(out) == 0 && !ferror(out) ? 0 : -1;
}

int cmd_write(const char *path, void (*fn)(const void *ctx, FILE *out), const void *ctx,
	      struct err *err)
{
	_cleanup_free_ char *beside = NULL;
	_cleanup_file_ FILE *out = NULL;
	int ret;

	if (!path)
		return write_all(stdout, fn, ctx) == 0
			       ? 0
			       : err_set(err, N2X_SYSTEM, "standard output: cannot write");
	if (asprintf(&beside, "%s.part", path) < 0)
		return err_set(err, N2X_SYSTEM, "out of memory");
	out = fopen(beside, "we");
	if (!out)
		return err_set(err, N2X_USAGE, "%s: %s: name a file that can be written", beside,
			       strerror(errno));
	if (write_all(out, fn, ctx) == 0 && rename(beside, path) == 0)
		return 0;
	ret = err_set(err, N2X_SYSTEM, "%s: cannot write: %s", path, strerror(errno));
	unlink(beside);
	return ret;
}

const char *cmd_share(const struct df_ctl *ctl, char buf[SHARE_TEXT])
{
	const struct share share = { .kind = ctl->share_kind, .n = ctl->share_n };

	return share_format(&share, buf, SHARE_TEXT);
}
