// SPDX-License-Identifier: GPL-2.0
/*
 * The PVH boot protocol: https://xenbits.xen.org/docs/unstable/misc/pvh.html
 */
#include <assert.h>
#include "boot.h"

#define START_MAGIC 0x336ec578

struct start_info {
	uint32_t magic;
	uint32_t version;
	uint32_t flags;
	uint32_t nr_modules;
	uint64_t modules;
	uint64_t cmdline;
	uint64_t rsdp;
	uint64_t memmap;
	uint32_t memmap_entries;
	uint32_t reserved;
};

struct module {
	uint64_t address;
	uint64_t size;
	uint64_t cmdline;
	uint64_t reserved;
};

struct memmap_entry {
	uint64_t address;
	uint64_t size;
	uint32_t type; /* as in e820 */
	uint32_t reserved;
};

struct pvh_params {
	struct start_info start;
	struct module initrd;
	struct memmap_entry memmap[BOOT_MEMORY_MAP_MAX];
};

static_assert(sizeof(struct start_info) == 56, "struct start_info");
static_assert(sizeof(struct module) == 32, "struct module");
static_assert(sizeof(struct memmap_entry) == 24, "struct memmap_entry");
static_assert(sizeof(struct pvh_params) <= SZ_4K, "struct pvh_params");

void pvh_write_params(struct memory *mem, const struct boot_info *info)
{
	struct pvh_params *params = memory_at(mem, GPA_BOOT_PARAMS, sizeof(*params));
	struct boot_e820_entry map[BOOT_MEMORY_MAP_MAX];
	unsigned int n = boot_memory_map(mem, map);

	params->start = (struct start_info){
		.magic = START_MAGIC,
		.version = 1,
		.cmdline = GPA_CMDLINE,
		.rsdp = info->rsdp,
		.memmap = GPA_BOOT_PARAMS + offsetof(struct pvh_params, memmap),
		.memmap_entries = n,
	};
	if (info->initrd_size) {
		params->start.nr_modules = 1;
		params->start.modules = GPA_BOOT_PARAMS + offsetof(struct pvh_params, initrd);
		params->initrd.address = info->initrd;
		params->initrd.size = info->initrd_size;
	}
	for (unsigned int i = 0; i < n; i++) {
		params->memmap[i].address = map[i].addr;
		params->memmap[i].size = map[i].size;
		params->memmap[i].type = map[i].type;
	}
}
