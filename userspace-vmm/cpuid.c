// SPDX-License-Identifier: GPL-2.0
/*
 * The guest's CPUID: all that the device supports, and the topology.
 */
#include <cpuid.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include "vm.h"

#define SIGNATURE_HYGON_EBX 0x6f677948 /* "Hygo", of "HygonGenuine" */
#define SPARE 8 /* entries that set_extended_topology() may add */

struct kvm_cpuid2 *cpuid_alloc(int dev_fd)
{
	for (unsigned int n = 128;; n *= 2) {
		struct kvm_cpuid2 *cpuid;

		cpuid = xzalloc(sizeof(*cpuid) + (n + SPARE) * sizeof(cpuid->entries[0]));
		cpuid->nent = n;
		if (!ioctl(dev_fd, KVM_GET_SUPPORTED_CPUID, cpuid))
			return cpuid;
		if (errno != E2BIG)
			die(STATUS_HOST_ERROR, "KVM_GET_SUPPORTED_CPUID failed: %s",
			    strerror(errno));
		free(cpuid);
	}
}

struct kvm_cpuid_entry2 *cpuid_find(struct kvm_cpuid2 *cpuid, uint32_t function, uint32_t index)
{
	for (unsigned int i = 0; i < cpuid->nent; i++) {
		struct kvm_cpuid_entry2 *e = &cpuid->entries[i];

		if (e->function == function &&
		    (!(e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) || e->index == index))
			return e;
	}
	return NULL;
}

unsigned int cpuid_phys_bits(struct kvm_cpuid2 *cpuid)
{
	struct kvm_cpuid_entry2 *e = cpuid_find(cpuid, 0x80000008, 0);

	return e && (e->eax & 0xff) ? e->eax & 0xff : 36;
}

/* Bits of an APIC ID that number the cores of a package. */
static unsigned int core_bits(unsigned int cpus)
{
	unsigned int bits = 0;

	while (1U << bits < cpus)
		bits++;
	return bits;
}

static void remove_leaf(struct kvm_cpuid2 *cpuid, uint32_t function)
{
	unsigned int kept = 0;

	for (unsigned int i = 0; i < cpuid->nent; i++) {
		if (cpuid->entries[i].function != function)
			cpuid->entries[kept++] = cpuid->entries[i];
	}
	cpuid->nent = kept;
}

/* SDM vol. 2A, CPUID leaves 0Bh and 1Fh: threads, cores, end of the list. */
static void set_extended_topology(struct kvm_cpuid2 *cpuid, uint32_t function, unsigned int id,
				  unsigned int cpus)
{
	const struct kvm_cpuid_entry2 *max = cpuid_find(cpuid, 0, 0);
	const struct {
		uint32_t shift, count, type;
	} levels[] = {
		{ 0, 1, 1 },
		{ core_bits(cpus), cpus, 2 },
		{ 0, 0, 0 },
	};

	remove_leaf(cpuid, function);
	if (!max || max->eax < function)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(levels); i++) {
		cpuid->entries[cpuid->nent++] = (struct kvm_cpuid_entry2){
			.function = function,
			.index = i,
			.flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
			.eax = levels[i].shift,
			.ebx = levels[i].count,
			.ecx = levels[i].type << 8 | i,
			.edx = id,
		};
	}
}

/* Leaf 4 and AMD's 8000001Dh: the last-level cache is the package's, others a core's. */
static void set_cache_sharing(struct kvm_cpuid_entry2 *e, unsigned int cpus)
{
	uint32_t level = (e->eax >> 5) & 7;
	uint32_t sharing = level >= 3 ? 1U << core_bits(cpus) : 1;

	if (e->eax & 0x1f)
		e->eax = (e->eax & ~(0xfffU << 14)) | (sharing - 1) << 14;
}

static void set_core_count(struct kvm_cpuid_entry2 *e, unsigned int cpus)
{
	uint32_t cores = min(1U << core_bits(cpus), 64U);

	if (e->eax & 0x1f)
		e->eax = (e->eax & ~(0x3fU << 26)) | (cores - 1) << 26;
}

static bool is_amd(struct kvm_cpuid2 *cpuid)
{
	const struct kvm_cpuid_entry2 *e = cpuid_find(cpuid, 0, 0);

	return e && (e->ebx == signature_AMD_ebx || e->ebx == SIGNATURE_HYGON_EBX);
}

void cpuid_set_topology(struct kvm_cpuid2 *cpuid, unsigned int id, unsigned int cpus)
{
	bool amd = is_amd(cpuid);

	set_extended_topology(cpuid, 0xb, id, cpus);
	set_extended_topology(cpuid, 0x1f, id, cpus);
	for (unsigned int i = 0; i < cpuid->nent; i++) {
		struct kvm_cpuid_entry2 *e = &cpuid->entries[i];

		switch (e->function) {
		case 1:
			e->ebx = (e->ebx & 0xffff) | id << 24 |
				 min(1U << core_bits(cpus), 255U) << 16;
			e->ecx |= 1U << 31; /* a hypervisor */
			e->edx = (e->edx & ~(1U << 28)) | (uint32_t)(cpus > 1) << 28; /* HTT */
			break;
		case 4:
			set_core_count(e, cpus);
			set_cache_sharing(e, cpus);
			break;
		case 0x80000001: /* CmpLegacy: what HTT counts are cores */
			if (amd)
				e->ecx = (e->ecx & ~2U) | (uint32_t)(cpus > 1) << 1;
			break;
		case 0x80000008:
			if (amd)
				e->ecx = (e->ecx & ~0xf0ffU) | core_bits(cpus) << 12 | (cpus - 1);
			break;
		case 0x8000001d:
			set_cache_sharing(e, cpus);
			break;
		case 0x8000001e: /* APM vol. 3, E.4.17: one thread a core, one node */
			e->eax = id;
			e->ebx = id & 0xff;
			e->ecx = 0;
			break;
		}
	}
}
