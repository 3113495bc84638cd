/* SPDX-License-Identifier: GPL-2.0-only */
/* How a guest of 64-bit code is set up, for the tests and for the benchmark. */
#ifndef SELFTESTS_SETUP_H
#define SELFTESTS_SETUP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <linux/kvm.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int64_t s64;

#define SEL_CODE 0x08
#define SEL_DATA 0x10

#define PTE_P (1ull << 0)
#define PTE_W (1ull << 1)
#define PTE_U (1ull << 2)
#define PTE_A (1ull << 5)
#define PTE_D (1ull << 6)
#define PTE_PS (1ull << 7)
#define PTE_NX (1ull << 63)

/* KVM_SET_USER_MEMORY_REGION; what ioctl() returns. */
static inline int set_memory_region(int vm, u32 slot, u64 gpa, u64 size, void *hva, u32 flags)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.flags = flags,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (uintptr_t)hva,
	};

	return ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region);
}

/* Page tables in six pages at @pml4, which are at @gpa: 4 GiB identity-mapped by 2 MiB pages. */
static inline void write_page_tables(u64 *pml4, u64 gpa, u64 flags)
{
	u64 *pdpt = pml4 + 512, *pd = pdpt + 512;

	pml4[0] = (gpa + 0x1000) | flags;
	for (u64 i = 0; i < 4; i++)
		pdpt[i] = (gpa + (2 + i) * 0x1000) | flags;
	for (u64 i = 0; i < 4 * 512; i++)
		pd[i] = i << 21 | PTE_PS | flags;
}

/* The descriptors of SEL_CODE and SEL_DATA. */
static inline void write_descriptors(u64 *gdt)
{
	gdt[SEL_CODE / 8] = 0x00af9b000000ffff;
	gdt[SEL_DATA / 8] = 0x00cf93000000ffff;
}

static inline struct kvm_segment flat_segment(u16 selector, u8 type, bool code64)
{
	return (struct kvm_segment) {
		.selector = selector,
		.limit = 0xffffffff,
		.type = type,
		.present = 1,
		.s = 1,
		.g = 1,
		.db = !code64,
		.l = code64,
		.dpl = selector & 3,
	};
}

/* Flat ones, and what VM entry demands of TR; its base and the tables are the caller's. */
static inline void set_segments(struct kvm_sregs *s, struct kvm_segment cs)
{
	s->cs = cs;
	s->ds = flat_segment(SEL_DATA, 3, false);
	s->es = s->ds;
	s->fs = s->ds;
	s->gs = s->ds;
	s->ss = s->ds;
	s->tr = (struct kvm_segment) { .limit = 103, .type = 11, .present = 1 };
	s->ldt = (struct kvm_segment) { .unusable = 1, .type = 2 };
}

static inline void set_long_mode(struct kvm_sregs *s, u64 pml4)
{
	set_segments(s, flat_segment(SEL_CODE, 11, true));
	s->cr0 = 0x80050033; /* PG, AM, WP, NE, ET, MP, PE */
	s->cr3 = pml4;
	s->cr4 = 0x620; /* PAE, OSFXSR, OSXMMEXCPT */
	s->efer = 0xd01; /* SCE, LME, LMA, NXE */
}

#endif /* SELFTESTS_SETUP_H */
