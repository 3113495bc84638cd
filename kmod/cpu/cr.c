// SPDX-License-Identifier: GPL-2.0-only
/*
 * Control registers and EFER: what the architecture allows.
 * SDM vol. 3A, 2.5, 4.1.2, 10.8.5; vol. 2B, MOV to control register.
 */
#include <asm/processor-flags.h>
#include <asm/msr-index.h>

#include "base/backend.h"
#include "base/regs.h"
#include "base/request.h"
#include "cpu/cpuid.h"
#include "cpu/cr.h"
#include "cpu/msr.h"
#include "cpu/state.h"
#include "irq/irq.h"
#include "mmu/memory.h"

#define CR0_KNOWN                                                                      \
	(X86_CR0_PE | X86_CR0_MP | X86_CR0_EM | X86_CR0_TS | X86_CR0_ET | X86_CR0_NE | \
	 X86_CR0_WP | X86_CR0_AM | X86_CR0_NW | X86_CR0_CD | X86_CR0_PG)

/* Writing a new value to one of these loads the PDPTRs, with PAE paging. SDM vol. 3A, 4.4.1. */
#define CR0_PDPTR_BITS (X86_CR0_PG | X86_CR0_CD | X86_CR0_NW)
#define CR4_PDPTR_BITS (X86_CR4_PAE | X86_CR4_PGE | X86_CR4_PSE | X86_CR4_SMEP)

/* Bit 63 of a MOV to CR3, with PCIDs: keep the TLB. */
#define CR3_NO_FLUSH BIT_ULL(63)

/* PDPTE: bits 2:1 and 8:5 are reserved. SDM vol. 3A, table 4-8. */
#define PDPTE_RESERVED 0x1e6ull

static bool cs_is_64bit(struct mv_vcpu *vcpu)
{
	return mv_call(code_rights)(vcpu) & MV_SEG_L;
}

static bool load_pdptrs(struct mv_vcpu *vcpu, u64 cr3)
{
	u64 reserved = PDPTE_RESERVED | mv_reserved_gpa(vcpu);
	u64 pdptrs[4];
	int i;

	if (mv_read_guest(vcpu->vm, cr3 & 0xffffffe0, pdptrs, sizeof(pdptrs)))
		return false;
	for (i = 0; i < ARRAY_SIZE(pdptrs); i++)
		if ((pdptrs[i] & 1) && (pdptrs[i] & reserved))
			return false;
	memcpy(vcpu->pdptrs, pdptrs, sizeof(pdptrs));
	/* They go into the control block with CR3. */
	mv_need(vcpu, MV_LAZY_CR3);
	mv_mark_dirty(vcpu, MV_LAZY_CR3);
	return true;
}

static bool valid_cr0(u64 val)
{
	if (val >> 32)
		return false;
	if ((val & X86_CR0_NW) && !(val & X86_CR0_CD))
		return false;
	return !(val & X86_CR0_PG) || (val & X86_CR0_PE);
}

static bool valid_cr4(struct mv_vcpu *vcpu, u64 val)
{
	return !(val & vcpu->cr4_reserved);
}

/* Paging goes on: with EFER.LME, into IA-32e mode. */
static bool may_enable_paging(struct mv_vcpu *vcpu)
{
	if (!(vcpu->efer & EFER_LME))
		return true;
	return mv_cr4_has(vcpu, X86_CR4_PAE) && !cs_is_64bit(vcpu);
}

static bool may_disable_paging(struct mv_vcpu *vcpu)
{
	return !mv_cr4_has(vcpu, X86_CR4_PCIDE) && !mv_64bit_mode(vcpu);
}

int mv_set_cr0(struct mv_vcpu *vcpu, u64 val)
{
	u64 old = mv_cr0(vcpu), changed;

	if (!valid_cr0(val))
		return 1;
	val = (val & CR0_KNOWN) | X86_CR0_ET;
	changed = val ^ old;
	if (changed & X86_CR0_PG) {
		if (!(val & X86_CR0_PG ? may_enable_paging(vcpu) : may_disable_paging(vcpu)))
			return 1;
	}
	if ((val & X86_CR0_PG) && !(vcpu->efer & EFER_LME) && mv_cr4_has(vcpu, X86_CR4_PAE) &&
	    (changed & CR0_PDPTR_BITS) && !load_pdptrs(vcpu, mv_cr3(vcpu)))
		return 1;

	if ((changed & X86_CR0_PG) && (vcpu->efer & EFER_LME))
		mv_backend->set_efer(vcpu, vcpu->efer ^ EFER_LMA);
	mv_backend->set_cr0(vcpu, val);
	return 0;
}

int mv_set_cr3(struct mv_vcpu *vcpu, u64 val)
{
	bool flush = true;

	if (mv_cr4_has(vcpu, X86_CR4_PCIDE)) {
		flush = !(val & CR3_NO_FLUSH);
		val &= ~CR3_NO_FLUSH;
	}
	if (mv_long_mode(vcpu)) {
		if (val & mv_reserved_gpa(vcpu))
			return 1;
	} else if (mv_pae_paging(vcpu) && !load_pdptrs(vcpu, val)) {
		return 1;
	}
	vcpu->cr3 = val;
	mv_mark_dirty(vcpu, MV_LAZY_CR3);
	if (flush)
		mv_request(vcpu, MV_REQ_TLB_FLUSH);
	return 0;
}

int mv_set_cr4(struct mv_vcpu *vcpu, u64 val)
{
	u64 changed = val ^ mv_cr4(vcpu);

	if (!valid_cr4(vcpu, val))
		return 1;
	if (mv_long_mode(vcpu)) {
		if (!(val & X86_CR4_PAE) || (changed & X86_CR4_LA57))
			return 1;
	} else if (mv_cr0_has(vcpu, X86_CR0_PG) && (val & X86_CR4_PAE) &&
		   (changed & CR4_PDPTR_BITS) && !load_pdptrs(vcpu, mv_cr3(vcpu))) {
		return 1;
	}
	/* PCIDs begin in IA-32e mode, with PCID 0. */
	if ((changed & val & X86_CR4_PCIDE) &&
	    (!mv_long_mode(vcpu) || (mv_cr3(vcpu) & X86_CR3_PCID_MASK)))
		return 1;

	mv_backend->set_cr4(vcpu, val);
	if (changed & (X86_CR4_OSXSAVE | X86_CR4_PKE))
		mv_cpuid_runtime_update(vcpu);
	return 0;
}

int mv_set_cr8(struct mv_vcpu *vcpu, u64 val)
{
	if (val >> 4)
		return 1;
	if (vcpu->lapic)
		mv_lapic_set_cr8(vcpu, val);
	else
		vcpu->cr8 = val;
	return 0;
}

u64 mv_get_cr8(struct mv_vcpu *vcpu)
{
	return vcpu->lapic ? mv_lapic_get_cr8(vcpu) : vcpu->cr8;
}

/**
 * mv_set_efer() - WRMSR or KVM_SET_MSRS of EFER
 * @vcpu: the vCPU, loaded
 * @val: the new value; LMA in it is ignored
 * @host: userspace may set what the guest's CPUID does not offer
 *
 * Return: 0, or 1 when the guest gets #GP.
 */
int mv_set_efer(struct mv_vcpu *vcpu, u64 val, bool host)
{
	if (val & (host ? ~mv_efer_allowed(mv_supported_features) : vcpu->efer_reserved))
		return 1;
	if (!host && mv_cr0_has(vcpu, X86_CR0_PG) && ((val ^ vcpu->efer) & EFER_LME))
		return 1;
	mv_backend->set_efer(vcpu, (val & ~EFER_LMA) | (vcpu->efer & EFER_LMA));
	return 0;
}

/* ---- KVM_GET/SET_SREGS, KVM_GET/SET_SREGS2 ---- */

/* The two structures differ only behind what they begin with. */
static_assert(offsetof(struct kvm_sregs2, flags) == offsetof(struct kvm_sregs, interrupt_bitmap));

static const struct {
	enum mv_seg seg;
	u16 offset;
} sregs_segs[] = {
	{ MV_CS, offsetof(struct kvm_sregs, cs) }, { MV_DS, offsetof(struct kvm_sregs, ds) },
	{ MV_ES, offsetof(struct kvm_sregs, es) }, { MV_FS, offsetof(struct kvm_sregs, fs) },
	{ MV_GS, offsetof(struct kvm_sregs, gs) }, { MV_SS, offsetof(struct kvm_sregs, ss) },
	{ MV_TR, offsetof(struct kvm_sregs, tr) }, { MV_LDTR, offsetof(struct kvm_sregs, ldt) },
};

static void get_sregs(struct mv_vcpu *vcpu, void *buf)
{
	struct kvm_sregs *sregs = buf;
	int i;

	for (i = 0; i < ARRAY_SIZE(sregs_segs); i++)
		mv_backend->get_seg(vcpu, sregs_segs[i].seg, buf + sregs_segs[i].offset);
	mv_backend->get_dt(vcpu, true, &sregs->idt);
	mv_backend->get_dt(vcpu, false, &sregs->gdt);
	sregs->cr0 = mv_cr0(vcpu);
	sregs->cr2 = vcpu->cr2;
	sregs->cr3 = mv_cr3(vcpu);
	sregs->cr4 = mv_cr4(vcpu);
	sregs->cr8 = mv_get_cr8(vcpu);
	sregs->efer = vcpu->efer;
	sregs->apic_base = vcpu->apic_base;
}

int mv_get_sregs(struct mv_vcpu *vcpu, void *buf)
{
	struct kvm_sregs *sregs = buf;
	u8 vector;

	get_sregs(vcpu, buf);
	if (mv_get_sent_irq(vcpu, &vector))
		__set_bit(vector, (unsigned long *)sregs->interrupt_bitmap);
	return 0;
}

int mv_get_sregs2(struct mv_vcpu *vcpu, void *buf)
{
	struct kvm_sregs2 *sregs = buf;

	get_sregs(vcpu, buf);
	if (!mv_pae_paging(vcpu))
		return 0;
	/* Until the next entry, those in struct mv_vcpu are to go with CR3. */
	if (vcpu->regs_dirty & BIT(MV_LAZY_CR3))
		;
	else if (mv_backend->read_pdptrs)
		mv_backend->read_pdptrs(vcpu);
	else
		load_pdptrs(vcpu, mv_cr3(vcpu));
	memcpy(sregs->pdptrs, vcpu->pdptrs, sizeof(sregs->pdptrs));
	sregs->flags = KVM_SREGS2_FLAGS_PDPTRS_VALID;
	return 0;
}

/*
 * What no order of register writes could have brought about. Other values that
 * cannot be are left to the processor, which refuses to enter such a guest.
 */
static bool valid_sregs(struct mv_vcpu *vcpu, const struct kvm_sregs *sregs)
{
	if (!valid_cr0(sregs->cr0) || !valid_cr4(vcpu, sregs->cr4))
		return false;
	if ((sregs->efer & EFER_LME) && (sregs->cr0 & X86_CR0_PG))
		return (sregs->cr4 & X86_CR4_PAE) && (sregs->efer & EFER_LMA) &&
		       !(sregs->cr3 & mv_reserved_gpa(vcpu));
	return !(sregs->efer & EFER_LMA) && !sregs->cs.l;
}

/* Userspace that resets the boot processor does not always say that it no longer halts. */
static bool at_reset_vector(struct mv_vcpu *vcpu, const struct kvm_sregs *sregs)
{
	return mv_is_bsp(vcpu) && mv_rip(vcpu) == 0xfff0 && sregs->cs.selector == 0xf000 &&
	       sregs->cs.base == 0xffff0000 && !(sregs->cr0 & X86_CR0_PE);
}

/* @pdptrs: NULL: those in memory */
static int set_sregs(struct mv_vcpu *vcpu, const void *buf, const u64 *pdptrs)
{
	const struct kvm_sregs *sregs = buf;
	u64 old_cr4 = mv_cr4(vcpu);
	int i;

	if (!valid_sregs(vcpu, sregs) ||
	    mv_set_msr(vcpu, MSR_IA32_APICBASE, sregs->apic_base, true))
		return -EINVAL;

	mv_backend->set_dt(vcpu, true, &sregs->idt);
	mv_backend->set_dt(vcpu, false, &sregs->gdt);
	vcpu->cr2 = sregs->cr2;
	vcpu->cr3 = sregs->cr3;
	mv_mark_dirty(vcpu, MV_LAZY_CR3);
	mv_set_cr8(vcpu, sregs->cr8);
	mv_backend->set_efer(vcpu, sregs->efer);
	mv_backend->set_cr0(vcpu, (sregs->cr0 & CR0_KNOWN) | X86_CR0_ET);
	mv_backend->set_cr4(vcpu, sregs->cr4);
	if ((old_cr4 ^ sregs->cr4) & (X86_CR4_OSXSAVE | X86_CR4_PKE))
		mv_cpuid_runtime_update(vcpu);
	/* Guest memory may not be there yet; then the tables are found empty. */
	if (pdptrs)
		memcpy(vcpu->pdptrs, pdptrs, sizeof(vcpu->pdptrs));
	else if (mv_pae_paging(vcpu) && !load_pdptrs(vcpu, sregs->cr3))
		memset(vcpu->pdptrs, 0, sizeof(vcpu->pdptrs));
	for (i = 0; i < ARRAY_SIZE(sregs_segs); i++)
		mv_backend->set_seg(vcpu, sregs_segs[i].seg, buf + sregs_segs[i].offset);

	if (at_reset_vector(vcpu, sregs))
		vcpu->mp_state = KVM_MP_STATE_RUNNABLE;
	mv_request(vcpu, MV_REQ_TLB_FLUSH);
	mv_request(vcpu, MV_REQ_EVENT);
	return 0;
}

int mv_set_sregs(struct mv_vcpu *vcpu, void *buf)
{
	const struct kvm_sregs *sregs = buf;
	int r = set_sregs(vcpu, buf, NULL), vector;

	if (r)
		return r;
	vector = find_first_bit((unsigned long *)sregs->interrupt_bitmap, KVM_NR_INTERRUPTS);
	if (vector < KVM_NR_INTERRUPTS)
		mv_set_sent_irq(vcpu, vector);
	return 0;
}

int mv_set_sregs2(struct mv_vcpu *vcpu, void *buf)
{
	const struct kvm_sregs2 *sregs = buf;
	bool pae = (sregs->cr0 & X86_CR0_PG) && (sregs->cr4 & X86_CR4_PAE) &&
		   !(sregs->efer & EFER_LMA);

	if (sregs->flags & ~KVM_SREGS2_FLAGS_PDPTRS_VALID || (sregs->flags && !pae))
		return -EINVAL;
	return set_sregs(vcpu, buf, sregs->flags ? sregs->pdptrs : NULL);
}
