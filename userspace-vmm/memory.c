// SPDX-License-Identifier: GPL-2.0
/*
 * Guest memory.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include "memory.h"

void memory_alloc(struct memory *mem, uint64_t size)
{
	/* Huge pages want host and guest addresses that agree modulo 2 MiB. */
	uint64_t span = size + SZ_2M;
	uint8_t *map = MAP_FAILED;

	if (span > size && span == (size_t)span)
		map = mmap(NULL, span, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (map == MAP_FAILED)
		die(STATUS_HOST_ERROR, "cannot map %llu MiB of guest memory: %s",
		    (unsigned long long)(size / SZ_1M), strerror(errno));
	mem->base = (uint8_t *)align_up((uintptr_t)map, SZ_2M);
	mem->size = size;
	/* Fails where the kernel has no transparent huge pages: then without. */
	madvise(mem->base, size, MADV_HUGEPAGE);
}

uint64_t memory_low(const struct memory *mem)
{
	return min(mem->size, GPA_HOLE);
}

uint64_t memory_end(const struct memory *mem)
{
	return mem->size > GPA_HOLE ? SZ_4G + mem->size - GPA_HOLE : mem->size;
}

unsigned int memory_regions(const struct memory *mem, struct memory_region *regions)
{
	uint64_t low = memory_low(mem);

	regions[0] = (struct memory_region){ 0, low, mem->base };
	if (mem->size == low)
		return 1;
	regions[1] = (struct memory_region){ SZ_4G, mem->size - low, mem->base + low };
	return 2;
}

void *memory_at(const struct memory *mem, uint64_t gpa, uint64_t len)
{
	struct memory_region regions[MEMORY_REGIONS];
	unsigned int n = memory_regions(mem, regions);

	for (unsigned int i = 0; i < n; i++) {
		struct memory_region *r = &regions[i];

		if (gpa >= r->gpa && len <= r->size && gpa - r->gpa <= r->size - len)
			return (uint8_t *)r->hva + (gpa - r->gpa);
	}
	return NULL;
}
