// SPDX-License-Identifier: GPL-2.0-only
/* KVM_GET_STATS_FD: a file that describes itself. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "stats.h"

void stats_open(struct stats *s, int fd)
{
	s->fd = IOCTL(fd, KVM_GET_STATS_FD, 0);
	if (pread(s->fd, &s->head, sizeof(s->head), 0) != sizeof(s->head) ||
	    s->head.name_size > sizeof(s->id) ||
	    pread(s->fd, s->id, s->head.name_size, s->head.id_offset) != s->head.name_size)
		FAIL("the statistics have no header");
}

s64 stats_get(struct stats *s, const char *name)
{
	size_t size = sizeof(struct kvm_stats_desc) + s->head.name_size;
	struct kvm_stats_desc *desc = malloc(size);
	u64 val;

	for (u32 i = 0; i < s->head.num_desc; i++) {
		if (pread(s->fd, desc, size, s->head.desc_offset + i * size) != size)
			FAIL("descriptor %u is missing", i);
		if (strncmp(desc->name, name, s->head.name_size))
			continue;
		if (pread(s->fd, &val, 8, s->head.data_offset + desc->offset) != 8)
			FAIL("%s has no value", name);
		free(desc);
		return val;
	}
	free(desc);
	return -1;
}
