// SPDX-License-Identifier: GPL-2.0-only
#include "migrate/parity_example.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pcap/pcap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/util.h"

#define SNAPLEN 262144

enum form { BEFORE, XDP, BEHIND, FORM_MAX };

static const char *const form_name[FORM_MAX] = { "before", "xdp", "behind" };

struct parity_examples {
	int dir;
	const char *path;
	pcap_t *pcap; /* link type and snapshot length of all files */
	struct {
		unsigned int n;
		pcap_dumper_t *dumper[FORM_MAX];
	} class[PARITY_CLASS_MAX];
};

static int is_empty(int dir)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), entries = 0;
	_cleanup_dir_ DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (!d)
		return -errno;
	while (readdir(d))
		entries++;
	return entries == 2; /* "." and ".." */
}

static void freep(struct parity_examples **examples)
{
	struct err ignored;

	if (*examples)
		parity_examples_close(*examples, &ignored);
}

int parity_examples_open(const char *dir, struct parity_examples **out, struct err *err)
{
	_cleanup_(freep) struct parity_examples *examples = calloc(1, sizeof(*examples));
	int empty;

	if (!examples)
		return err_set(err, N2X_SYSTEM, "out of memory");
	examples->path = dir;
	examples->dir = -1;
	examples->pcap = pcap_open_dead(DLT_EN10MB, SNAPLEN);
	if (!examples->pcap)
		return err_set(err, N2X_SYSTEM, "out of memory");
	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return err_set(err, N2X_USAGE, "--example %s: %s", dir, strerror(errno));
	examples->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	empty = examples->dir < 0 ? -errno : is_empty(examples->dir);
	if (empty < 0)
		return err_set(err, N2X_USAGE, "--example %s: %s", dir, strerror(-empty));
	if (!empty)
		return err_set(err, N2X_USAGE,
			       "--example %s: not empty: give a directory that is, or a new one",
			       dir);
	*out = TAKE_PTR(examples);
	return 0;
}

static pcap_dumper_t *open_dumper(const struct parity_examples *examples, int cause, int form)
{
	_cleanup_close_ int fd = -1;
	pcap_dumper_t *dumper;
	char name[64];
	FILE *file;

	snprintf(name, sizeof(name), "%s.%s.pcap", parity_class_name[cause], form_name[form]);
	fd = openat(examples->dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	file = fd < 0 ? NULL : fdopen(fd, "w");
	if (!file)
		return NULL;
	fd = -1; /* the stream's */
	dumper = pcap_dump_fopen(examples->pcap, file);
	if (!dumper)
		fclose(file);
	return dumper;
}

/* The pieces as one packet. */
static int dump(pcap_dumper_t *dumper, const struct timeval *at, const struct parity_piece *pieces,
		unsigned int n)
{
	struct pcap_pkthdr header = { .ts = *at };
	_cleanup_free_ uint8_t *packet = NULL;
	size_t len = 0;

	for (unsigned int i = 0; i < n; i++)
		len += pieces[i].len;
	packet = malloc(len ? len : 1);
	if (!packet)
		return -ENOMEM;
	len = 0;
	for (unsigned int i = 0; i < n; i++) {
		if (pieces[i].len)
			memcpy(packet + len, pieces[i].data, pieces[i].len);
		len += pieces[i].len;
	}
	header.caplen = header.len = (bpf_u_int32)len;
	pcap_dump((uint8_t *)dumper, &header, packet);
	return ferror(pcap_dump_file(dumper)) ? -EIO : 0;
}

static int keep(struct parity_examples *examples, int cause, const struct parity_example *example)
{
	pcap_dumper_t **dumper = examples->class[cause].dumper;
	int ret;

	for (int form = 0; form < FORM_MAX && !examples->class[cause].n; form++) {
		dumper[form] = open_dumper(examples, cause, form);
		if (!dumper[form])
			return errno ? -errno : -EIO;
	}
	examples->class[cause].n++;
	ret = dump(dumper[BEFORE], &example->at, &example->before, 1);
	if (ret == 0)
		ret = dump(dumper[XDP], &example->at, &example->xdp, 1);
	if (ret == 0)
		ret = dump(dumper[BEHIND], &example->at, example->behind,
			   ARRAY_SIZE(example->behind));
	return ret;
}

int parity_examples_keep(struct parity_examples *examples, const struct parity_set *found,
			 const struct parity_example *example, struct err *err)
{
	uint32_t any = found->by[PARITY_XDP] | found->by[PARITY_BEHIND];
	int ret = 0;

	for (int cause = 0; cause < PARITY_CLASS_MAX && ret == 0; cause++)
		if (any & PARITY_BIT(cause) && examples->class[cause].n < PARITY_EXAMPLES_MAX)
			ret = keep(examples, cause, example);
	return ret < 0 ? err_set(err, N2X_SYSTEM, "--example %s: cannot write: %s", examples->path,
				 strerror(-ret))
		       : 0;
}

int parity_examples_close(struct parity_examples *examples, struct err *err)
{
	int ret = 0;

	for (int cause = 0; cause < PARITY_CLASS_MAX; cause++) {
		for (int form = 0; form < FORM_MAX; form++) {
			pcap_dumper_t *dumper = examples->class[cause].dumper[form];

			if (!dumper)
				continue;
			if (pcap_dump_flush(dumper) != 0)
				ret = err_set(err, N2X_SYSTEM, "--example %s: cannot write",
					      examples->path);
			pcap_dump_close(dumper);
		}
	}
	if (examples->pcap)
		pcap_close(examples->pcap);
	util_closep(&examples->dir);
	free(examples);
	return ret;
}
