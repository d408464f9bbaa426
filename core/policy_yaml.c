// SPDX-License-Identifier: GPL-2.0-only
/*
 * Text to model, in three passes over one buffer:
 *  1. libyaml's events and document: syntax, no key twice; afterwards it tells lines;
 *  2. libcyaml's schema: which keys there are, which are required, what shape each value has;
 *  3. the values. Numbers are strings in the schema: libcyaml reads "08" as 0 and "1.5" as 1.
 */
#include <arpa/inet.h>
#include <cyaml/cyaml.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <yaml.h>

#include "core/http.h"
#include "core/parity_class.h"
#include "core/policy.h"
#include "core/util.h"

#define TEXT_MAX     64 /* of one value, with its NUL */
#define NAME_SHOWN   256 /* of a file name in a message */
#define SHOWN        "%.40s" /* of a value in a message */
#define DEPTH_MAX    8 /* of nested mappings and lists; a policy has 3 */
#define NS_PER_MS    1000000ULL
#define NS_PER_S     (1000 * NS_PER_MS)
#define DURATION_MAX (8760 * 3600ULL * NS_PER_S) /* a year: sums of two never overflow */

/*
 * The file as the schema sees it, flat: every mapping of the schema has offset 0. An empty string
 * and a count of 0 are an absent key.
 */
typedef char value_text[TEXT_MAX];

struct policy_text {
	value_text interface;
	value_text dport[DF_PORTS_MAX], vni[DF_VNIS_MAX], attach[POLICY_ATTACH_MAX];
	uint8_t dport_count, vni_count, attach_count;
	uint8_t protocol, encap, ip_id, mode, fail, daemon, on_legacy_down;
	value_text min_length;
	value_text queue, threads;
	value_text steps[POLICY_STEPS_MAX];
	uint8_t steps_count;
	value_text listen;
	value_text hold, samples, give_up_after, lease, confirm_within;
	value_text sample, accept[PARITY_CLASS_MAX];
	uint8_t accept_count;
};

/* libcyaml leaves an absent enum 0: the value 0 must be the default of policy_defaults(). */
static const cyaml_strval_t protocol_words[] = { { "udp", 0 } };
static const cyaml_strval_t encap_words[] = { { "none", DF_ENCAP_NONE },
					      { "vxlan", DF_ENCAP_VXLAN } };
static const cyaml_strval_t ip_id_words[] = { { "keep", DF_IP_ID_KEEP },
					      { "assign", DF_IP_ID_ASSIGN } };
static const cyaml_strval_t mode_words[] = { { "auto", ATTACH_AUTO },
					     { "native", ATTACH_NATIVE },
					     { "generic", ATTACH_GENERIC } };
static const cyaml_strval_t fail_words[] = { { "open", NFQ_FAIL_OPEN },
					     { "closed", NFQ_FAIL_CLOSED } };
static const cyaml_strval_t daemon_words[] = { { "own", NFQ_DAEMON_OWN },
					       { "external", NFQ_DAEMON_EXTERNAL } };
static const cyaml_strval_t legacy_down_words[] = { { "stay-xdp", LEGACY_DOWN_STAY },
						    { "pass", LEGACY_DOWN_PASS } };
_Static_assert(!DF_ENCAP_NONE && !DF_IP_ID_KEEP && !ATTACH_AUTO && !NFQ_FAIL_OPEN &&
		       !NFQ_DAEMON_OWN && !LEGACY_DOWN_STAY,
	       "0 is default");
_Static_assert(ARRAY_SIZE(encap_words) == DF_ENCAP_MAX, "every word");
_Static_assert(ARRAY_SIZE(ip_id_words) == DF_IP_ID_MAX, "every word");
_Static_assert(ARRAY_SIZE(mode_words) == ATTACH_MODE_MAX, "every word");
_Static_assert(ARRAY_SIZE(fail_words) == NFQ_FAIL_MAX, "every word");
_Static_assert(ARRAY_SIZE(daemon_words) == NFQ_DAEMON_MAX, "every word");
_Static_assert(ARRAY_SIZE(legacy_down_words) == LEGACY_DOWN_MAX, "every word");

/* clang-format off */
#define REQUIRED CYAML_FLAG_DEFAULT
#define OPTIONAL CYAML_FLAG_OPTIONAL
#define TEXT(key, flag, member) CYAML_FIELD_STRING(key, flag, struct policy_text, member, 1)
#define WORD(key, member, words) \
	CYAML_FIELD_ENUM(key, CYAML_FLAG_STRICT | OPTIONAL, struct policy_text, member, words, \
			 ARRAY_SIZE(words))
#define LIST(key, flag, member) \
	CYAML_FIELD_SEQUENCE(key, flag, struct policy_text, member, &list_entry, 1, \
			     ARRAY_SIZE(((struct policy_text *)NULL)->member))
#define MAP(name, flag, fields) \
	{ .key = (name), .value = { CYAML_VALUE_MAPPING(flag, struct policy_text, fields) } }

static const cyaml_schema_value_t list_entry = {
	CYAML_VALUE_STRING(CYAML_FLAG_DEFAULT, value_text, 1, TEXT_MAX - 1)
};
static const cyaml_schema_field_t match_fields[] = {
	WORD("protocol", protocol, protocol_words),
	LIST("dport", REQUIRED, dport),
	WORD("encap", encap, encap_words),
	LIST("vni", OPTIONAL, vni),
	CYAML_FIELD_END
};
static const cyaml_schema_field_t clear_df_fields[] = {
	TEXT("min-length", OPTIONAL, min_length),
	CYAML_FIELD_END
};
static const cyaml_schema_field_t action_fields[] = {
	MAP("clear-df", OPTIONAL, clear_df_fields),
	WORD("ip-id", ip_id, ip_id_words),
	CYAML_FIELD_END
};
static const cyaml_schema_field_t xdp_fields[] = {
	LIST("attach", REQUIRED, attach),
	WORD("mode", mode, mode_words),
	CYAML_FIELD_END
};
static const cyaml_schema_field_t nfqueue_fields[] = {
	TEXT("queue", OPTIONAL, queue),
	TEXT("threads", OPTIONAL, threads),
	WORD("fail", fail, fail_words),
	WORD("daemon", daemon, daemon_words),
	CYAML_FIELD_END
};
static const cyaml_schema_field_t rollout_fields[] = {
	LIST("steps", OPTIONAL, steps),
	TEXT("hold", OPTIONAL, hold),
	TEXT("samples", OPTIONAL, samples),
	TEXT("give-up-after", OPTIONAL, give_up_after),
	TEXT("lease", OPTIONAL, lease),
	TEXT("confirm-within", OPTIONAL, confirm_within),
	WORD("on-legacy-down", on_legacy_down, legacy_down_words),
	CYAML_FIELD_END
};
static const cyaml_schema_field_t parity_fields[] = {
	TEXT("sample", OPTIONAL, sample),
	LIST("accept", OPTIONAL, accept),
	CYAML_FIELD_END
};
static const cyaml_schema_field_t metrics_fields[] = {
	TEXT("listen", OPTIONAL, listen),
	CYAML_FIELD_END
};
static const cyaml_schema_field_t policy_fields[] = {
	TEXT("interface", REQUIRED, interface),
	MAP("match", REQUIRED, match_fields),
	MAP("action", OPTIONAL, action_fields),
	MAP("xdp", REQUIRED, xdp_fields),
	MAP("nfqueue", OPTIONAL, nfqueue_fields),
	MAP("rollout", OPTIONAL, rollout_fields),
	MAP("parity", OPTIONAL, parity_fields),
	MAP("metrics", OPTIONAL, metrics_fields),
	CYAML_FIELD_END
};
static const cyaml_schema_value_t policy_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct policy_text, policy_fields)
};
/* clang-format on */

/* What the passes share: where messages go, and the document that tells lines. */
struct source {
	const char *path;
	struct err *err;
	yaml_document_t doc;
};

/*
 * Writes the message: one line, and ASCII behind the file's name, whatever the file holds. Line 0
 * is the file as a whole.
 */
static __attribute__((format(printf, 4, 5))) int fail_line(struct source *s, size_t line,
							   const char *key, const char *format, ...)
{
	char where[24] = "", *text = s->err->text;
	size_t size = sizeof(s->err->text), name;
	va_list args;

	if (line)
		snprintf(where, sizeof(where), ":%zu", line);
	name = snprintf(text, size, "%.*s%s: ", NAME_SHOWN, s->path, where);
	snprintf(text + name, size - name, "%s%s", key, *key ? ": " : "");
	va_start(args, format);
	vsnprintf(text + strlen(text), size - strlen(text), format, args);
	va_end(args);
	for (unsigned char *c = (unsigned char *)text; *c; c++)
		if (*c < ' ' || *c == 0x7f || (*c > 0x7f && c >= (unsigned char *)text + name))
			*c = '?';
	return -EINVAL;
}

/* The same where the value of the key is; i is the entry of a list, else 0 or ENTRY_NONE. */
#define ENTRY_NONE           UINT_MAX
#define fail(s, key, i, ...) fail_line(s, line_of(entry_at(s, key, i)), key, __VA_ARGS__)

static void source_release(struct source *s)
{
	yaml_document_delete(&s->doc);
}

static void policy_text_free(struct policy_text **text)
{
	static const cyaml_config_t config = { .mem_fn = cyaml_mem };

	cyaml_free(&config, &policy_schema, *text, 0);
}

static int fail_memory(struct source *s)
{
	fail_line(s, 0, "", "out of memory: free some and try again");
	return -ENOMEM;
}

static size_t line_of(const yaml_node_t *node)
{
	return node->start_mark.line + 1;
}

static yaml_node_t *node_get(struct source *s, int index)
{
	return yaml_document_get_node(&s->doc, index);
}

static const yaml_node_pair_t *pair_find(struct source *s, const yaml_node_t *map, const char *key,
					 size_t len)
{
	const yaml_node_pair_t *p = map->data.mapping.pairs.start;

	for (; p < map->data.mapping.pairs.top; p++) {
		const yaml_node_t *k = node_get(s, p->key);

		if (k->type == YAML_SCALAR_NODE && k->data.scalar.length == len &&
		    !memcmp(k->data.scalar.value, key, len))
			return p;
	}
	return NULL;
}

/* The value at "a.b.c", or the last one on the way that is there. */
static yaml_node_t *node_at(struct source *s, const char *path)
{
	yaml_node_t *node = yaml_document_get_root_node(&s->doc);

	while (*path && node->type == YAML_MAPPING_NODE) {
		size_t len = strcspn(path, ".");
		const yaml_node_pair_t *p = pair_find(s, node, path, len);

		if (!p)
			break;
		node = node_get(s, p->value);
		path += len + (path[len] == '.');
	}
	return node;
}

/* Entry i, from 0, of the list at path; the value itself when there is no such entry. */
static yaml_node_t *entry_at(struct source *s, const char *path, unsigned int i)
{
	yaml_node_t *node = node_at(s, path);

	if (node->type != YAML_SEQUENCE_NODE ||
	    i >= node->data.sequence.items.top - node->data.sequence.items.start)
		return node;
	return node_get(s, node->data.sequence.items.start[i]);
}

/* Reads a regular file of at most POLICY_FILE_MAX bytes. A FIFO or a device never blocks it. */
static int file_read(struct source *s, char *buf, size_t *size)
{
	_cleanup_close_ int fd = open(s->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	_cleanup_file_ FILE *f = NULL;
	struct stat st;
	int error;

	if (fd < 0 || fstat(fd, &st)) {
		error = errno;
		fail_line(s, 0, "", "%s: name a file that can be read", strerror(error));
		return -error;
	}
	if (!S_ISREG(st.st_mode))
		return fail_line(s, 0, "", "not a regular file: name a regular file");
	f = fdopen(fd, "r");
	if (!f)
		return fail_memory(s);
	(void)TAKE_FD(fd);
	/* A file may be larger than it said (procfs), or grow: one byte more than allowed tells. */
	*size = st.st_size > POLICY_FILE_MAX ? (size_t)st.st_size
					     : fread(buf, 1, POLICY_FILE_MAX + 1, f);
	if (*size > POLICY_FILE_MAX) {
		fail_line(s, 0, "", "larger than %d bytes: name a policy file", POLICY_FILE_MAX);
		return -EFBIG;
	}
	if (ferror(f)) {
		fail_line(s, 0, "", "reading it failed: check the disk");
		return -EIO;
	}
	return 0;
}

/* libyaml's own error. It gives no line for a byte that is not text: count up to it. */
static int fail_syntax(struct source *s, const yaml_parser_t *parser, const char *text, size_t size)
{
	size_t line = 1;

	if (parser->error == YAML_MEMORY_ERROR)
		return fail_memory(s);
	if (parser->error == YAML_READER_ERROR) {
		for (size_t i = 0; i < size && i < parser->problem_offset; i++)
			line += text[i] == '\n';
		return fail_line(s, line, "", "%s: write the file as UTF-8 text", parser->problem);
	}
	return fail_line(s, parser->problem_mark.line + 1, "", "%s%s%s: correct the YAML",
			 parser->context ?: "", parser->context ? ": " : "", parser->problem);
}

/* What libcyaml lets pass or stumbles over: a key given twice, a key that is no word, a NUL. */
static int node_check(struct source *s, const yaml_node_t *node)
{
	if (node->type == YAML_SCALAR_NODE &&
	    memchr(node->data.scalar.value, 0, node->data.scalar.length))
		return fail_line(s, line_of(node), "", "a value has a NUL in it: remove it");
	if (node->type != YAML_MAPPING_NODE)
		return 0;
	for (const yaml_node_pair_t *p = node->data.mapping.pairs.start;
	     p < node->data.mapping.pairs.top; p++) {
		const yaml_node_t *k = node_get(s, p->key);
		const char *key = (const char *)k->data.scalar.value;

		if (k->type != YAML_SCALAR_NODE)
			return fail_line(s, line_of(k), "", "a key is not a word: use a word");
		if (pair_find(s, node, key, k->data.scalar.length) != p)
			return fail_line(s, line_of(k), "", SHOWN ": given twice: remove one", key);
	}
	return 0;
}

/*
 * Pass 1a: syntax and size of the tree. libyaml takes time in the square of the depth (11 s for
 * 64 KiB of brackets), and an alias can make the document a cycle.
 */
static int events_check(struct source *s, const char *text, size_t size)
{
	_cleanup_(yaml_parser_delete) yaml_parser_t parser;
	int documents = 0, depth = 0;

	if (!yaml_parser_initialize(&parser))
		return fail_memory(s);
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, size);
	for (;;) {
		_cleanup_(yaml_event_delete) yaml_event_t e = { 0 };

		if (!yaml_parser_parse(&parser, &e))
			return fail_syntax(s, &parser, text, size);
		if (e.type == YAML_STREAM_END_EVENT)
			return 0;
		if (e.type == YAML_ALIAS_EVENT)
			return fail_line(s, e.start_mark.line + 1, "",
					 "*" SHOWN ": an alias: write the value itself",
					 (char *)e.data.alias.anchor);
		if (e.type == YAML_DOCUMENT_START_EVENT && documents++)
			return fail_line(s, e.start_mark.line + 1, "",
					 "a second document starts here: keep one in a file");
		depth += e.type == YAML_SEQUENCE_START_EVENT || e.type == YAML_MAPPING_START_EVENT;
		depth -= e.type == YAML_SEQUENCE_END_EVENT || e.type == YAML_MAPPING_END_EVENT;
		if (depth > DEPTH_MAX)
			return fail_line(s, e.start_mark.line + 1, "",
					 "more than %d levels: write the keys as in the example",
					 DEPTH_MAX);
	}
}

/* Pass 1b. */
static int document_load(struct source *s, const char *text, size_t size)
{
	_cleanup_(yaml_parser_delete) yaml_parser_t parser;
	yaml_node_t *root;
	int r = 0;

	if (!yaml_parser_initialize(&parser))
		return fail_memory(s);
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, size);
	if (!yaml_parser_load(&parser, &s->doc))
		return fail_syntax(s, &parser, text, size);
	root = yaml_document_get_root_node(&s->doc);
	if (!root)
		return fail_line(s, 1, "", "no policy in this file: start with interface: NAME");
	if (root->type != YAML_MAPPING_NODE)
		return fail_line(s, line_of(root), "",
				 "not a mapping of keys to values: start with interface: NAME");
	for (yaml_node_t *n = s->doc.nodes.start; !r && n < s->doc.nodes.top; n++)
		r = node_check(s, n);
	return r;
}

/* Where libcyaml failed: the backtrace that it logs, from the inside out. */
struct cause {
	char path[128]; /* keys of the whole backtrace, "match.dport" */
	char outer[128]; /* the same without its first line: the mapping around a bad key */
	unsigned int depth; /* lines of backtrace */
	unsigned int entry; /* of a list, from 1; 0 for none */
	size_t line;
};

static void key_prepend(char *path, size_t size, const char *key)
{
	size_t len = strlen(key), rest = strlen(path);

	if (len + 1 + rest >= size)
		return;
	memmove(path + len + !!rest, path, rest + 1);
	memcpy(path, key, len);
	if (rest)
		path[len] = '.';
}

static void cause_log(cyaml_log_t level, void *ctx, const char *format, va_list args)
{
	struct cause *c = ctx;
	char text[128], key[32];
	size_t line;

	(void)level;
	vsnprintf(text, sizeof(text), format, args);
	if (sscanf(text, " in mapping field '%31[^']' (line: %zu", key, &line) == 2) {
		key_prepend(c->path, sizeof(c->path), key);
		if (c->depth)
			key_prepend(c->outer, sizeof(c->outer), key);
	} else if (sscanf(text, " in sequence entry '%u' (line: %zu", &c->entry, &line) != 2 &&
		   sscanf(text, " in mapping (line: %zu", &line) != 1) {
		return;
	}
	if (!c->depth++)
		c->line = line;
}

static const cyaml_schema_value_t *schema_at(const char *path)
{
	const cyaml_schema_value_t *value = &policy_schema;

	while (*path && value->type == CYAML_MAPPING) {
		const cyaml_schema_field_t *f = value->mapping.fields;
		size_t len = strcspn(path, ".");

		while (f->key && (strncmp(f->key, path, len) != 0 || f->key[len]))
			f++;
		if (!f->key)
			break;
		value = &f->value;
		path += len + (path[len] == '.');
	}
	return value;
}

/* "a, b or c" of n structs of that size whose first member is the word. */
static void words(char *buf, size_t size, const void *structs, size_t each, unsigned int n)
{
	*buf = 0;
	for (unsigned int i = 0; i < n; i++)
		snprintf(buf + strlen(buf), size - strlen(buf), "%s%s",
			 i == 0       ? ""
			 : i + 1 == n ? " or "
				      : ", ",
			 *(const char *const *)((const char *)structs + i * each));
}

/* The mapping at path has a key that is not in the schema, or lacks one that is required. */
static int fail_key(struct source *s, const char *path)
{
	const cyaml_schema_field_t *fields = schema_at(path)->mapping.fields, *f;
	const yaml_node_t *map = node_at(s, path), *k;
	const char *dot = *path ? "." : "";
	char known[128];

	for (const yaml_node_pair_t *p = map->data.mapping.pairs.start;
	     p < map->data.mapping.pairs.top; p++) {
		k = node_get(s, p->key);
		for (f = fields; f->key && strcmp(f->key, (char *)k->data.scalar.value) != 0;)
			f++;
		if (f->key)
			continue;
		words(known, sizeof(known), fields, sizeof(*fields), f - fields);
		return fail_line(s, line_of(k), "", "%s%s" SHOWN ": unknown key: use %s", path, dot,
				 (char *)k->data.scalar.value, known);
	}
	for (f = fields; f->key; f++)
		if (!(f->value.flags & CYAML_FLAG_OPTIONAL) &&
		    !pair_find(s, map, f->key, strlen(f->key)))
			break;
	return fail_line(s, line_of(map), "", "%s%s%s: required and missing: add it", path, dot,
			 f->key ?: "?");
}

/* The value at the cause's path does not have the shape that the schema asks for. */
static int fail_shape(struct source *s, const struct cause *c)
{
	const cyaml_schema_value_t *schema = schema_at(c->path);
	unsigned int i = c->entry - 1; /* no entry: ENTRY_NONE */
	const yaml_node_t *node = entry_at(s, c->path, i);
	char known[128];

	if (c->entry && schema->type == CYAML_SEQUENCE)
		schema = schema->sequence.entry;
	switch (schema->type) {
	case CYAML_MAPPING:
		return fail(s, c->path, i, "not a mapping: write { KEY: VALUE }");
	case CYAML_SEQUENCE:
		return fail(s, c->path, i, "not a list: write [VALUE]");
	case CYAML_ENUM:
		words(known, sizeof(known), schema->enumeration.strings, sizeof(cyaml_strval_t),
		      schema->enumeration.count);
		if (node->type == YAML_SCALAR_NODE && node->data.scalar.length)
			return fail(s, c->path, i, "unknown word " SHOWN ": use %s",
				    (char *)node->data.scalar.value, known);
		return fail(s, c->path, i, "not a word: use %s", known);
	default:
		return fail(s, c->path, i, "not a single value: write one word or number");
	}
}

/* From libcyaml's error to ours. */
static int fail_schema(struct source *s, const struct cause *c, cyaml_err_t error)
{
	unsigned int i = c->entry - 1; /* no entry: ENTRY_NONE */

	switch (error) {
	case CYAML_ERR_OOM:
		return fail_memory(s);
	case CYAML_ERR_INVALID_KEY:
	case CYAML_ERR_MAPPING_FIELD_MISSING:
		return fail_key(s, c->outer);
	case CYAML_ERR_SEQUENCE_ENTRIES_MIN:
		return fail(s, c->path, ENTRY_NONE, "an empty list: give at least one entry");
	case CYAML_ERR_SEQUENCE_ENTRIES_MAX:
		return fail(s, c->path, ENTRY_NONE, "too many entries: use at most %u",
			    schema_at(c->path)->sequence.max);
	case CYAML_ERR_STRING_LENGTH_MIN:
		return fail(s, c->path, i, "empty: give a value or remove the key");
	case CYAML_ERR_STRING_LENGTH_MAX:
		return fail(s, c->path, i, "too long: use at most %d characters", TEXT_MAX - 1);
	case CYAML_ERR_INVALID_VALUE:
		return fail_shape(s, c);
	default:
		return fail_line(s, c->line ?: 1, c->path, "%s: compare with the example",
				 cyaml_strerror(error));
	}
}

/* Pass 2. */
static int schema_load(struct source *s, const char *text, size_t size, struct policy_text **out)
{
	struct cause cause = { 0 };
	const cyaml_config_t config = {
		.log_fn = cause_log,
		.log_ctx = &cause,
		.mem_fn = cyaml_mem,
		.log_level = CYAML_LOG_ERROR,
		.flags = CYAML_CFG_NO_ALIAS,
	};
	cyaml_err_t error = cyaml_load_data((const uint8_t *)text, size, &config, &policy_schema,
					    (cyaml_data_t **)out, NULL);

	return error == CYAML_OK ? 0 : fail_schema(s, &cause, error);
}

/* Pass 3: the values. An absent one, an empty text, leaves its default alone. */

struct range {
	const char *key, *what;
	unsigned long min, max;
};

static int number(struct source *s, const struct range *r, unsigned int i, const char *text,
		  uint32_t *out)
{
	unsigned long n = strtoul(text, NULL, 10); /* ULONG_MAX when it overflows */

	if (!*text)
		return 0;
	if (text[0] == '0' && text[1] && !text[strspn(text, "0123456789")])
		return fail(s, r->key, i, SHOWN ": YAML reads a leading zero as octal: remove it",
			    text);
	if (text[strspn(text, "0123456789")] || n < r->min || n > r->max)
		return fail(s, r->key, i, SHOWN " is not %s: use %lu to %lu", text, r->what, r->min,
			    r->max);
	*out = (uint32_t)n;
	return 0;
}

int duration_parse(const char *text, uint64_t *out_ns)
{
	static const struct {
		const char *suffix;
		uint64_t ns;
	} units[] = { { "ms", NS_PER_MS },
		      { "s", NS_PER_S },
		      { "m", 60 * NS_PER_S },
		      { "h", 3600 * NS_PER_S } };
	unsigned long n = strtoul(text, NULL, 10);
	size_t digits = strspn(text, "0123456789");

	for (size_t i = 0; digits && n && i < ARRAY_SIZE(units); i++) {
		if (strcmp(text + digits, units[i].suffix) != 0)
			continue;
		if (n > DURATION_MAX / units[i].ns)
			return -ERANGE;
		*out_ns = n * units[i].ns;
		return 0;
	}
	return -EINVAL;
}

static int duration(struct source *s, const char *key, const char *text, uint64_t min_ns,
		    uint64_t *out)
{
	uint64_t ns;
	int ret;

	if (!*text)
		return 0;
	ret = duration_parse(text, &ns);
	if (ret == -ERANGE)
		return fail(s, key, 0, SHOWN " is too long: use at most 8760h", text);
	if (ret < 0)
		return fail(s, key, 0,
			    SHOWN " is not a duration: use a number with ms, s, m or h, as in 60s",
			    text);
	if (ns < min_ns)
		return fail(s, key, 0, SHOWN " is too short: use at least 1s", text);
	*out = ns;
	return 0;
}

/* No entry of a list twice. Numbers have one spelling each by now. */
static int unique(struct source *s, const char *key, value_text *texts, unsigned int n)
{
	for (unsigned int i = 1; i < n; i++)
		for (unsigned int j = 0; j < i; j++)
			if (!strcmp(texts[i], texts[j]))
				return fail(s, key, i, SHOWN " is given twice: remove one",
					    texts[i]);
	return 0;
}

/*
 * The kernel's dev_valid_name(), byte 0xa0 included, and no control characters: the name is
 * printed and becomes part of paths.
 */
static int name(struct source *s, const char *key, unsigned int i, const char *text,
		char out[IFNAMSIZ])
{
	size_t len = strlen(text);
	bool valid = len < IFNAMSIZ && strcmp(text, ".") != 0 && strcmp(text, "..") != 0;

	for (const unsigned char *c = (const unsigned char *)text; *c; c++)
		valid &= *c > ' ' && *c != 0x7f && *c != 0xa0 && *c != '/' && *c != ':';
	if (!valid)
		return fail(s, key, i,
			    SHOWN
			    " is not an interface name: use 1 to %d bytes without space, / or :",
			    text, IFNAMSIZ - 1);
	memcpy(out, text, len + 1);
	return 0;
}

static int match_read(struct source *s, struct policy_text *t, struct df_policy *df)
{
	static const struct range port = { "match.dport", "a port", 1, 65535 };
	static const struct range vni = { "match.vni", "a VNI", 0, 0xffffff };
	uint32_t n = 0;
	int r = 0;

	for (unsigned int i = 0; !r && i < t->dport_count; i++) {
		r = number(s, &port, i, t->dport[i], &n);
		df->dport_be[i] = htons((uint16_t)n);
	}
	for (unsigned int i = 0; !r && i < t->vni_count; i++) {
		r = number(s, &vni, i, t->vni[i], &n);
		df->vni[i] = n;
	}
	if (!r && t->vni_count && t->encap != DF_ENCAP_VXLAN)
		r = fail(s, vni.key, ENTRY_NONE,
			 "only VXLAN has VNIs: add encap: vxlan or remove vni");
	df->n_dport = t->dport_count;
	df->n_vni = t->vni_count;
	df->encap = t->encap;
	return r ?: unique(s, port.key, t->dport, t->dport_count) ?:
		    unique(s, vni.key, t->vni, t->vni_count);
}

static int action_read(struct source *s, struct policy_text *t, struct df_policy *df)
{
	static const struct range length = { "action.clear-df.min-length", "a length", 0, 65535 };
	uint32_t n = df->min_len;
	int r = number(s, &length, 0, t->min_length, &n);

	df->min_len = (uint16_t)n;
	df->ip_id = t->ip_id;
	return r;
}

static int xdp_read(struct source *s, struct policy_text *t, struct policy *p)
{
	int r = 0;

	for (unsigned int i = 0; !r && i < t->attach_count; i++)
		r = name(s, "xdp.attach", i, t->attach[i], p->xdp.attach[i]);
	p->xdp.n_attach = t->attach_count;
	p->xdp.mode = t->mode;
	return r ?: unique(s, "xdp.attach", t->attach, t->attach_count);
}

static int nfqueue_read(struct source *s, struct policy_text *t, struct policy *p)
{
	static const struct range queue = { "nfqueue.queue", "a queue number", 0, 65535 };
	static const struct range threads = { "nfqueue.threads", "a number of threads", 1,
					      POLICY_THREADS_MAX };
	uint32_t first = p->nfqueue.queue, n = p->nfqueue.threads;
	int r = number(s, &queue, 0, t->queue, &first) ?: number(s, &threads, 0, t->threads, &n);

	if (!r && first + n - 1 > queue.max)
		r = fail(s, threads.key, 0,
			 "%u from queue %u on end above queue 65535: lower queue or threads", n,
			 first);
	p->nfqueue.queue = (uint16_t)first;
	p->nfqueue.threads = (uint16_t)n;
	p->nfqueue.fail = t->fail;
	p->nfqueue.daemon = t->daemon;
	return r;
}

/* The part of the packets to expect, in units of 2^-32: 1/10 and 10% are the same. */
static uint64_t fraction(const struct share *share)
{
	switch (share->kind) {
	case DF_SHARE_NTH:
		return ((1ULL << 32) + share->n / 2) / share->n;
	case DF_SHARE_FLOW:
		return share->n;
	default:
		return 1ULL << 32;
	}
}

static int steps_read(struct source *s, struct policy_text *t, struct policy *p)
{
	struct share *steps = p->rollout.steps;

	for (unsigned int i = 0; i < t->steps_count; i++) {
		if (share_parse(t->steps[i], &steps[i]))
			return fail(s, "rollout.steps", i,
				    SHOWN " is not a share: use 1/N, P%% or all", t->steps[i]);
		if (steps[i].kind == DF_SHARE_NONE)
			return fail(s, "rollout.steps", i,
				    "a step of 0 moves nothing: use 1/N, P%% or all");
		if (i && fraction(&steps[i]) <= fraction(&steps[i - 1]))
			return fail(s, "rollout.steps", i,
				    SHOWN " is not above " SHOWN " before it: make steps rise",
				    t->steps[i], t->steps[i - 1]);
	}
	if (t->steps_count)
		p->rollout.n_steps = t->steps_count;
	return 0;
}

static int rollout_read(struct source *s, struct policy_text *t, struct policy *p)
{
	static const struct range samples = { "rollout.samples", "a number of packets", 1,
					      1000000000 };

	p->rollout.on_legacy_down = t->on_legacy_down;
	return steps_read(s, t, p) ?:
		       number(s, &samples, 0, t->samples, &p->rollout.samples) ?:
		       duration(s, "rollout.hold", t->hold, 0, &p->rollout.hold_ns) ?:
		       duration(s, "rollout.give-up-after", t->give_up_after, NS_PER_S,
				&p->rollout.give_up_ns) ?:
		       duration(s, "rollout.lease", t->lease, NS_PER_S, &p->rollout.lease_ns) ?:
		       duration(s, "rollout.confirm-within", t->confirm_within, 0,
				&p->rollout.confirm_within_ns);
}

static int sample_read(struct source *s, struct policy_text *t, struct policy *p)
{
	struct share share;

	if (!*t->sample)
		return 0;
	if (share_parse(t->sample, &share) || share.kind == DF_SHARE_FLOW)
		return fail(s, "parity.sample", 0,
			    SHOWN " is not a part of the packets: use 1/N, all or 0", t->sample);
	p->parity.sample = share.kind == DF_SHARE_NTH ? share.n : share.kind == DF_SHARE_ALL;
	return 0;
}

static int parity_read(struct source *s, struct policy_text *t, struct policy *p)
{
	int ret = sample_read(s, t, p);
	char known[400];

	if (ret)
		return ret;

	for (unsigned int i = 0; i < t->accept_count; i++) {
		int cause = 0;

		while (cause < PARITY_CLASS_MAX &&
		       strcmp(t->accept[i], parity_class_name[cause]) != 0)
			cause++;
		if (cause == PARITY_CLASS_MAX) {
			words(known, sizeof(known), parity_class_name, sizeof(*parity_class_name),
			      PARITY_CLASS_MAX);
			return fail(s, "parity.accept", i, "unknown word " SHOWN ": use %s",
				    t->accept[i], known);
		}
		p->parity.accept |= PARITY_BIT(cause);
	}
	return unique(s, "parity.accept", t->accept, t->accept_count);
}

static int metrics_read(struct source *s, struct policy_text *t, struct policy *p)
{
	if (!*t->listen)
		return 0;
	if (!strcmp(t->listen, "off")) {
		*p->metrics.listen = '\0';
		return 0;
	}
	if (http_check(t->listen) < 0)
		return fail(s, "metrics.listen", 0,
			    SHOWN
			    " is not an address with a port: use one as 127.0.0.1:9465, or off",
			    t->listen);
	memcpy(p->metrics.listen, t->listen, sizeof(t->listen));
	return 0;
}

int policy_load(const char *path, struct policy *out, struct err *err)
{
	_cleanup_(source_release) struct source s = { .path = path, .err = err };
	_cleanup_(policy_text_free) struct policy_text *t = NULL;
	_cleanup_free_ char *text = malloc(POLICY_FILE_MAX + 1);
	struct policy p;
	size_t size = 0;
	int r;

	if (!text)
		return fail_memory(&s);
	r = file_read(&s, text, &size) ?:
		    events_check(&s, text, size) ?:
		    document_load(&s, text, size) ?:
		    schema_load(&s, text, size, &t);
	if (r)
		return r;
	policy_defaults(&p);
	p.file = path;
	r = name(&s, "interface", 0, t->interface, p.interface) ?:
		    match_read(&s, t, &p.df) ?:
		    action_read(&s, t, &p.df) ?:
		    xdp_read(&s, t, &p) ?:
		    nfqueue_read(&s, t, &p) ?:
		    rollout_read(&s, t, &p) ?:
		    parity_read(&s, t, &p) ?:
		    metrics_read(&s, t, &p);
	if (!r)
		*out = p;
	return r;
}
