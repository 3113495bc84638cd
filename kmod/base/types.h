/* SPDX-License-Identifier: GPL-2.0-only */
/* Numbers, addresses, and the names of registers. */
#ifndef MV_BASE_TYPES_H
#define MV_BASE_TYPES_H

#include <linux/bits.h>
#include <linux/kvm.h>
#include <linux/types.h>
#include <asm/cpufeatures.h>
#include <asm/kvm_para.h>
#include <asm/page_types.h>

#define MV_VERSION "0.1"

/* Limits that KVM_CHECK_EXTENSION reports. */
#define MV_MAX_VCPUS 1024
#define MV_MAX_VCPU_ID 4096
#define MV_MAX_SLOTS 32764 /* KVM's number */
#define MV_MAX_CPUID_ENTRIES 256
#define MV_MAX_ROUTES 4096
#define MV_NR_PINS 24
#define MV_X2APIC_API                                                                      \
	(KVM_X2APIC_API_USE_32BIT_IDS | KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK)
#define MV_MCE_BANKS 32
#define MV_GUESTDBG_FLAGS                                                                  \
	(KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_USE_SW_BP |           \
	 KVM_GUESTDBG_USE_HW_BP | KVM_GUESTDBG_INJECT_DB | KVM_GUESTDBG_INJECT_BP |         \
	 KVM_GUESTDBG_BLOCKIRQ)

struct mv_vm;
struct mv_vcpu;
struct mv_lapic;
struct mv_irqchip;
struct mv_routing;
struct mv_bus;
struct mv_msr_filter;

typedef u64 gpa_t;
typedef u64 gfn_t;
typedef unsigned long hva_t;

#define MV_FETCHED 4 /* pages of code whose translation a vCPU remembers */
#define MV_WALK_STEPS 5 /* levels of the guest's page tables, at most */

#define MV_INVALID_GPA (~(gpa_t)0)

/*
 * Bits of the leaf KVM_CPUID_FEATURES are features as those of the processor
 * are: a word of their own, after those of X86_FEATURE_*.
 */
#define MV_PV_WORD NCAPINTS
#define MV_FEATURE_PV(name) (MV_PV_WORD * 32 + KVM_FEATURE_##name)
#define MV_NR_FEATURE_WORDS (NCAPINTS + 1)

static inline gfn_t gpa_to_gfn(gpa_t gpa)
{
	return gpa >> PAGE_SHIFT;
}

static inline gpa_t gfn_to_gpa(gfn_t gfn)
{
	return gfn << PAGE_SHIFT;
}

/* General registers, in the order of their encoding in instructions. */
enum mv_gpr {
	MV_RAX,
	MV_RCX,
	MV_RDX,
	MV_RBX,
	MV_RSP,
	MV_RBP,
	MV_RSI,
	MV_RDI,
	MV_R8,
	MV_R15 = 15,
	MV_NR_GPRS
};

/* Segment registers, in the order of their encoding; then the system ones. */
enum mv_seg {
	MV_ES,
	MV_CS,
	MV_SS,
	MV_DS,
	MV_FS,
	MV_GS,
	MV_TR,
	MV_LDTR,
	MV_NR_SEGS
};

/* Registers that live in the control block and are read on demand. */
enum mv_lazy_reg {
	MV_LAZY_RSP,
	MV_LAZY_RIP,
	MV_LAZY_RFLAGS,
	MV_LAZY_CR0,
	MV_LAZY_CR3,
	MV_LAZY_CR4,
	MV_NR_LAZY
};

#endif /* MV_BASE_TYPES_H */
