/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The vendor seam.  A backend enables the hardware, owns the control block,
 * enters the guest and decodes an exit into struct mv_exit; all that the exit
 * then means is shared code.
 */
#ifndef MV_BASE_BACKEND_H
#define MV_BASE_BACKEND_H

#include <linux/context_tracking.h>
#include <linux/hardirq.h>
#include <linux/jump_label.h>
#include <linux/static_call.h>

#include "base/ptformat.h"
#include "base/regs.h"
#include "base/request.h"

enum mv_event_type { MV_EVENT_IRQ, MV_EVENT_NMI, MV_EVENT_EXCEPTION };

/**
 * struct mv_backend - VMX or SVM
 *
 * All vCPU operations are called with the vCPU loaded on this CPU, unless
 * said otherwise.
 *
 * @id: MINIVIRT_BACKEND_*
 * @features: MINIVIRT_FEATURE_* in use; set by @setup
 * @pt_format: the second-stage page-table format; set by @setup
 * @tsc_frac_bits: of the fraction in a TSC multiplier; 0: no TSC scaling; set by @setup
 * @apic_access_pfn: with mv_apicv: page frame of the APIC-access page; set by @setup
 * @vcpu_size: of the backend's vCPU structure, which begins with struct mv_vcpu
 * @passed_through: MSRs that guests have without exits; 0 ends the list
 * @setup: check the hardware and prepare; prints what is missing and returns
 *	-ENODEV or -EOPNOTSUPP, -EBUSY when another hypervisor holds the CPU
 * @cpu_enable: enable the extension on this CPU; interrupts off
 * @cpu_disable: disable it again; interrupts off
 * @cpu_emergency_disable: as @cpu_disable, for kdump and reboot by NMI: no locks
 * @vcpu_init: after allocation; @vcpu_free undoes it (not loaded)
 * @vcpu_reset: control block to the state of power-up or INIT (@init)
 * @load: vCPU to this CPU; preemption off
 * @put: host state back, all of it; preemption off
 * @prepare: interrupts have just been turned off, and @run comes next, perhaps more than once:
 *	what changes only while they are on
 * @run: enter and leave once; interrupts off before and after. An NMI or machine check
 *	that ended the guest has been handed to the host. Fills in vcpu->exit, calls
 *	mv_events_sent() unless the entry failed, and then
 *	re-queues an event whose delivery the exit cut short.
 * @cache_reg: bring one lazy register into struct mv_vcpu
 * @get_seg, @set_seg: VCPU_SREG_* order of enum mv_seg
 * @get_rights: access rights of a segment register, laid out as MV_SEG_* of the emulator, its
 *	base and limit: @get_seg for the emulator, in fewer instructions
 * @code_rights: MV_SEG_L and MV_SEG_DB of CS, and the CPL in the place of MV_SEG_DPL
 * @get_dt, @set_dt: GDTR (@idt false) or IDTR
 * @set_cr0, @set_cr4, @set_efer: a checked value into the control block and
 *	vcpu->crN/efer; @set_cr3 and PDPTRs go through the dirty bits
 * @read_pdptrs: vcpu->pdptrs as the processor holds them; NULL: it does not, but reads the
 *	guest's memory
 * @get_msr, @set_msr: the MSRs of the control block; 1: not the backend's
 * @inject: put the event into the control block for the next entry
 * @cancel_inject: take back what @inject did, as no entry has been made
 * @irq_allowed, @nmi_allowed: could the event be taken right now
 * @irq_window, @nmi_window: exit as soon as it could
 * @get_int_shadow, @set_int_shadow: KVM_X86_SHADOW_INT_*
 * @nmi_masked, @set_nmi_masked: blocking by NMI
 * @update_cr8_intercept: intercept CR8 writes below @tpr; -1: none
 * @update_apic: with mv_apicv: the APIC's mode changed, or @isr, the highest vector in service
 *	(0: none), or the vectors whose EOI is to exit; the highest request is 0 until @set_rvi
 * @set_rvi: with mv_apicv: the highest request; 0: none
 * @update_debug: guest_debug, DR7 or the exception intercepts changed
 * @update_tsc: vcpu->tsc_offset or tsc_ratio changed
 * @cpuid_changed: guest CPUID changed: intercepts that depend on it
 * @update_msr_exits: vm->all_msrs_exit, spec_ctrl or spec_ctrl_switched changed
 * @take_halt: does the guest rest in a HLT that made no exit? It is over. May be NULL
 * @finish_exit: make a MV_EXIT_UNFINISHED another, by the instruction that made it; NULL: the
 *	emulator does not know it
 * @skip_len: length of the instruction to skip, when exit.insn_len is 0; 0: not known. With
 *	mv_skip_fetches it reads guest memory, and may sleep
 * @fault_has_len: @skip_len knows it after MV_EXIT_PAGE_FAULT, too
 * @flush_tlb: drop the VM's second-stage translations on this CPU
 * @dump: the control block to the kernel log, for a failed entry
 */
struct mv_backend {
	const char *name;
	u32 id;
	u64 features;
	const struct mv_pt_format *pt_format;
	u8 tsc_frac_bits;
	u64 apic_access_pfn;
	size_t vcpu_size;
	bool fault_has_len;
	const u32 *passed_through;

	int (*setup)(void);
	void (*unsetup)(void);
	int (*cpu_enable)(void);
	void (*cpu_disable)(void);
	void (*cpu_emergency_disable)(void);

	int (*vcpu_init)(struct mv_vcpu *vcpu);
	void (*vcpu_free)(struct mv_vcpu *vcpu);
	void (*vcpu_reset)(struct mv_vcpu *vcpu, bool init);

	void (*get_seg)(struct mv_vcpu *vcpu, enum mv_seg seg, struct kvm_segment *s);
	void (*set_seg)(struct mv_vcpu *vcpu, enum mv_seg seg, const struct kvm_segment *s);
	u32 (*get_rights)(struct mv_vcpu *vcpu, enum mv_seg seg, u64 *base, u32 *limit);
	void (*get_dt)(struct mv_vcpu *vcpu, bool idt, struct kvm_dtable *dt);
	void (*set_dt)(struct mv_vcpu *vcpu, bool idt, const struct kvm_dtable *dt);
	void (*set_cr0)(struct mv_vcpu *vcpu, u64 val);
	void (*set_cr4)(struct mv_vcpu *vcpu, u64 val);
	void (*set_efer)(struct mv_vcpu *vcpu, u64 val);
	void (*read_pdptrs)(struct mv_vcpu *vcpu);
	int (*get_msr)(struct mv_vcpu *vcpu, u32 msr, u64 *val);
	int (*set_msr)(struct mv_vcpu *vcpu, u32 msr, u64 val);

	void (*cancel_inject)(struct mv_vcpu *vcpu);
	void (*set_int_shadow)(struct mv_vcpu *vcpu, u32 shadow);
	bool (*nmi_masked)(struct mv_vcpu *vcpu);
	void (*set_nmi_masked)(struct mv_vcpu *vcpu, bool masked);
	void (*update_cr8_intercept)(struct mv_vcpu *vcpu, int tpr);
	void (*update_apic)(struct mv_vcpu *vcpu, u8 isr, const unsigned long *eoi_vectors);
	void (*update_debug)(struct mv_vcpu *vcpu);
	void (*update_tsc)(struct mv_vcpu *vcpu);
	void (*cpuid_changed)(struct mv_vcpu *vcpu);
	void (*update_msr_exits)(struct mv_vcpu *vcpu);
	bool (*take_halt)(struct mv_vcpu *vcpu);
	void (*finish_exit)(struct mv_vcpu *vcpu, const struct mv_insn *insn);
	void (*dump)(struct mv_vcpu *vcpu);

	/* On the path of entry and exit: bound as static calls at load. */
	void (*load)(struct mv_vcpu *vcpu);
	void (*put)(struct mv_vcpu *vcpu);
	void (*prepare)(struct mv_vcpu *vcpu);
	void (*run)(struct mv_vcpu *vcpu);
	void (*cache_reg)(struct mv_vcpu *vcpu, enum mv_lazy_reg reg);
	void (*inject)(struct mv_vcpu *vcpu, enum mv_event_type type);
	bool (*irq_allowed)(struct mv_vcpu *vcpu);
	bool (*nmi_allowed)(struct mv_vcpu *vcpu);
	unsigned int (*skip_len)(struct mv_vcpu *vcpu);
	u32 (*get_int_shadow)(struct mv_vcpu *vcpu);
	u32 (*code_rights)(struct mv_vcpu *vcpu);
	void (*irq_window)(struct mv_vcpu *vcpu, bool on);
	void (*nmi_window)(struct mv_vcpu *vcpu, bool on);
	void (*set_rvi)(struct mv_vcpu *vcpu, u8 irr);
	void (*flush_tlb)(struct mv_vcpu *vcpu);
};

/* CR0 and CR4 bits that the processor's TLB entries depend on. SDM vol. 3A, 4.10.4.1. */
#define MV_CR0_TLB_BITS (X86_CR0_PG | X86_CR0_PE | X86_CR0_WP)
#define MV_CR4_TLB_BITS \
	(X86_CR4_PGE | X86_CR4_PAE | X86_CR4_PSE | X86_CR4_PCIDE | X86_CR4_SMEP | X86_CR4_SMAP)

/* The backend's @skip_len reads guest memory; set by its @setup. */
DECLARE_STATIC_KEY_FALSE(mv_skip_fetches);

extern struct mv_backend mv_vmx_backend;
extern struct mv_backend mv_svm_backend;
extern struct mv_backend *mv_backend; /* the one in use; const after load */

/* The host's values of what is switched around the guest: the same on every CPU. */
struct mv_host {
	u64 xcr0, xss;
};

extern struct mv_host mv_host;
extern bool mv_dump_on_failure; /* module parameter: dump */
/*
 * The processor virtualizes local APICs, and delivers the interrupts in the IRR
 * by itself: module parameter apicv, and the hardware can.
 */
extern bool mv_apicv;

#define MV_STATIC_CALLS(X)                                                      \
	X(load) X(put) X(prepare) X(run) X(cache_reg) X(inject) X(irq_allowed)  \
	X(nmi_allowed) X(irq_window) X(nmi_window) X(set_rvi) X(flush_tlb)      \
	X(skip_len) X(get_int_shadow) X(code_rights)

#define MV_DECLARE_CALL(name) \
	DECLARE_STATIC_CALL(mv_##name##_call, *(mv_vmx_backend.name));
MV_STATIC_CALLS(MV_DECLARE_CALL)
#undef MV_DECLARE_CALL

/*
 * Around the instructions that run the guest, interrupts off.  Context
 * tracking is for nohz_full hosts; elsewhere the run loop reports a quiescent
 * state to RCU whenever a host interrupt has ended the guest, which a tick does.
 */
static __always_inline void mv_guest_enter(void)
{
	if (context_tracking_enabled_this_cpu())
		context_tracking_guest_enter();
}

static __always_inline void mv_guest_leave(void)
{
	if (context_tracking_enabled_this_cpu())
		context_tracking_guest_exit();
}

/**
 * mv_was_interrupted() - has this CPU taken an interrupt since the vCPU asked last, or was loaded?
 * @vcpu: the vCPU, loaded; interrupts are off
 *
 * The kernel marks all but NMIs, for the flush of the L1 data cache before VM entry. The mark
 * goes on to the vCPU as the reason for a flush that it is.
 */
static __always_inline bool mv_was_interrupted(struct mv_vcpu *vcpu)
{
	if (likely(!kvm_get_cpu_l1tf_flush_l1d()))
		return false;
	kvm_clear_cpu_l1tf_flush_l1d();
	mv_taint_l1d(vcpu);
	return true;
}

/* mv_call(run)(vcpu) calls the backend's @run. */
#define mv_call(name) static_call(mv_##name##_call)

/* What a segment register holds after a load of @selector: its descriptor. SDM vol. 3A, 3.4.5. */
static inline struct kvm_segment mv_descriptor_segment(u16 selector, u64 desc)
{
	struct kvm_segment s = {
		.base = (desc >> 16 & 0xffffff) | (desc >> 56) << 24,
		.limit = (desc & 0xffff) | (desc >> 32 & 0xf0000),
		.selector = selector,
		.type = desc >> 40 & 15,
		.s = desc >> 44 & 1,
		.dpl = desc >> 45 & 3,
		.present = desc >> 47 & 1,
		.avl = desc >> 52 & 1,
		.l = desc >> 53 & 1,
		.db = desc >> 54 & 1,
		.g = desc >> 55 & 1,
	};

	if (s.g)
		s.limit = s.limit << 12 | 0xfff;
	return s;
}

/* Operands and RIP have 64 bits: in IA-32e mode, and CS.L is set. Asks the control block. */
static inline bool mv_64bit_mode(struct mv_vcpu *vcpu)
{
	return mv_long_mode(vcpu) && (mv_call(code_rights)(vcpu) & MV_SEG_L);
}

/* In real mode the CPL is 0. */
static inline u8 mv_cpl(struct mv_vcpu *vcpu)
{
	if (!mv_cr0_has(vcpu, X86_CR0_PE))
		return 0;
	return (mv_call(code_rights)(vcpu) & MV_SEG_DPL) >> MV_SEG_DPL_SHIFT;
}

#endif /* MV_BASE_BACKEND_H */
