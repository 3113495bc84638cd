/* SPDX-License-Identifier: GPL-2.0-only */
/* The registers of a vCPU, and what it can have. */
#ifndef MV_BASE_REGS_H
#define MV_BASE_REGS_H

#include <asm/processor-flags.h>

#include "base/vm.h"

void mv_cache_reg(struct mv_vcpu *vcpu, enum mv_lazy_reg reg);

static __always_inline void mv_need(struct mv_vcpu *vcpu, enum mv_lazy_reg reg)
{
	if (unlikely(!(vcpu->regs_avail & BIT(reg))))
		mv_cache_reg(vcpu, reg);
}

static inline void mv_mark_dirty(struct mv_vcpu *vcpu, enum mv_lazy_reg reg)
{
	vcpu->regs_avail |= BIT(reg);
	vcpu->regs_dirty |= BIT(reg);
}

static inline u64 mv_gpr(struct mv_vcpu *vcpu, int n)
{
	if (n == MV_RSP)
		mv_need(vcpu, MV_LAZY_RSP);
	return vcpu->gpr[n];
}

static inline void mv_set_gpr(struct mv_vcpu *vcpu, int n, u64 val)
{
	vcpu->gpr[n] = val;
	if (n == MV_RSP)
		mv_mark_dirty(vcpu, MV_LAZY_RSP);
}

#define MV_LAZY_ACCESSORS(name, NAME)                                          \
	static __always_inline u64 mv_##name(struct mv_vcpu *vcpu)             \
	{                                                                      \
		mv_need(vcpu, MV_LAZY_##NAME);                                 \
		return vcpu->name;                                             \
	}

MV_LAZY_ACCESSORS(rip, RIP)
MV_LAZY_ACCESSORS(rflags, RFLAGS)
MV_LAZY_ACCESSORS(cr0, CR0)
MV_LAZY_ACCESSORS(cr3, CR3)
MV_LAZY_ACCESSORS(cr4, CR4)

/* Bits of CR0 and CR4 that the guest may change without an exit. */
#define MV_CR0_GUEST_OWNED (X86_CR0_MP | X86_CR0_EM | X86_CR0_TS | X86_CR0_WP | X86_CR0_AM)
#define MV_CR4_GUEST_OWNED                                                                 \
	(X86_CR4_VME | X86_CR4_PVI | X86_CR4_TSD | X86_CR4_DE | X86_CR4_PGE | X86_CR4_PCE | \
	 X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT)

/* For a constant @bit: of the others it is known without asking the processor. */
static __always_inline bool mv_cr0_has(struct mv_vcpu *vcpu, u64 bit)
{
	return (bit & MV_CR0_GUEST_OWNED ? mv_cr0(vcpu) : vcpu->cr0) & bit;
}

static __always_inline bool mv_cr4_has(struct mv_vcpu *vcpu, u64 bit)
{
	return (bit & MV_CR4_GUEST_OWNED ? mv_cr4(vcpu) : vcpu->cr4) & bit;
}

/* A 48- or 57-bit linear address, by the guest's CR4.LA57, made canonical. */
static inline u64 mv_make_canonical(struct mv_vcpu *vcpu, u64 la)
{
	int unused = mv_cr4_has(vcpu, X86_CR4_LA57) ? 64 - 57 : 64 - 48;

	return (s64)(la << unused) >> unused;
}

static inline bool mv_canonical(struct mv_vcpu *vcpu, u64 la)
{
	return la == mv_make_canonical(vcpu, la);
}

static inline void mv_write_rip(struct mv_vcpu *vcpu, u64 val)
{
	vcpu->rip = val;
	mv_mark_dirty(vcpu, MV_LAZY_RIP);
}

static inline void mv_write_rflags(struct mv_vcpu *vcpu, u64 val)
{
	vcpu->rflags = val;
	mv_mark_dirty(vcpu, MV_LAZY_RFLAGS);
}

/* EDX:EAX, as MSR and XSETBV instructions take it. */
static inline u64 mv_edx_eax(struct mv_vcpu *vcpu)
{
	return (u32)vcpu->gpr[MV_RAX] | (u64)(u32)vcpu->gpr[MV_RDX] << 32;
}

static inline void mv_set_edx_eax(struct mv_vcpu *vcpu, u64 val)
{
	vcpu->gpr[MV_RAX] = (u32)val;
	vcpu->gpr[MV_RDX] = val >> 32;
}

static inline bool mv_long_mode(struct mv_vcpu *vcpu)
{
	return vcpu->efer & EFER_LMA;
}

static inline bool mv_pae_paging(struct mv_vcpu *vcpu)
{
	return !mv_long_mode(vcpu) && mv_cr4_has(vcpu, X86_CR4_PAE) &&
	       mv_cr0_has(vcpu, X86_CR0_PG);
}

/* Debug-register bits that asm/debugreg.h has no names for. SDM vol. 3B, 18.2. */
#define MV_DR6_BD BIT(13)
#define MV_DR7_GD BIT(13)
#define MV_DR7_ENABLE 0xffull /* L0 to G3 */
#define MV_DR7_RESET 0x400ull

/* The guest's, or its debugger's. */
static inline u64 mv_effective_dr7(const struct mv_vcpu *vcpu)
{
	return vcpu->guest_debug & KVM_GUESTDBG_USE_HW_BP ? vcpu->guest_debug_dr7 : vcpu->dr7;
}

/* Bits of a guest-physical address that are reserved in CR3 and table entries. */
static inline u64 mv_reserved_gpa(struct mv_vcpu *vcpu)
{
	return ~0ull << vcpu->maxphyaddr;
}

/* @feature: X86_FEATURE_*, MV_FEATURE_PV() */
static inline bool mv_guest_has(struct mv_vcpu *vcpu, unsigned int feature)
{
	return vcpu->features[feature / 32] & BIT(feature % 32);
}

#endif /* MV_BASE_REGS_H */
