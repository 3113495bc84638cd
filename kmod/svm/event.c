// SPDX-License-Identifier: GPL-2.0-only
/* Events: injection, what was cut short by an exit, windows, NMI blocking. APM vol. 2, 15.20. */
#include <linux/sched.h>
#include <linux/smp.h>
#include <asm/debugreg.h>
#include <asm/trapnr.h>
#include <trace/events/ipi.h>

#include "base/backend.h"
#include "base/regs.h"
#include "base/request.h"
#include "cpu/debug.h"
#include "svm/vmcb.h"

static_assert(SVM_EVTINJ_TYPE_SOFT == SVM_EXITINTINFO_TYPE_SOFT);

/*
 * A software interrupt or exception pushes the RIP of the instruction after
 * it. Processors without next-RIP save push RIP as it is: so it is moved for
 * the injection.
 */
static void svm_prepare_soft_event(struct svm_vcpu *svm, unsigned int len)
{
	struct mv_vcpu *vcpu = &svm->vcpu;

	svm->soft_event = true;
	svm->soft_rip = vcpu->rip;
	svm->soft_next_rip = vcpu->rip + len;
	if (boot_cpu_has(X86_FEATURE_NRIPS))
		svm->vmcb->control.next_rip = svm->soft_next_rip;
	else
		mv_write_rip(vcpu, svm->soft_next_rip);
}

void svm_inject(struct mv_vcpu *vcpu, enum mv_event_type type)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	const struct mv_pending *p = &vcpu->pending;
	u32 inj = SVM_EVTINJ_VALID;
	bool soft = false;

	switch (type) {
	case MV_EVENT_NMI:
		inj |= SVM_EVTINJ_TYPE_NMI;
		svm_set_nmi_masked(vcpu, true);
		break;
	case MV_EVENT_IRQ:
		soft = p->irq_soft;
		inj |= p->irq_vector | (soft ? SVM_EVTINJ_TYPE_SOFT : SVM_EVTINJ_TYPE_INTR);
		break;
	case MV_EVENT_EXCEPTION:
		soft = p->exc_vector == BP_VECTOR || p->exc_vector == OF_VECTOR;
		inj |= p->exc_vector | SVM_EVTINJ_TYPE_EXEPT;
		/* In real mode exceptions have no error code. */
		if (p->exc_has_error && mv_cr0_has(vcpu, X86_CR0_PE)) {
			inj |= SVM_EVTINJ_VALID_ERR;
			svm->vmcb->control.event_inj_err = p->exc_error;
		}
		break;
	}
	if (soft)
		svm_prepare_soft_event(svm, p->insn_len ? p->insn_len : 1);
	svm->vmcb->control.event_inj = inj;
}

void svm_cancel_inject(struct mv_vcpu *vcpu)
{
	struct svm_vcpu *svm = to_svm(vcpu);

	svm->vmcb->control.event_inj = 0;
	if (svm->soft_event && vcpu->rip == svm->soft_next_rip)
		mv_write_rip(vcpu, svm->soft_rip);
	svm->soft_event = false;
}

/* An event that the exit has cut short goes in again. APM vol. 2, 15.7.2. */
void svm_requeue_event(struct svm_vcpu *svm)
{
	struct mv_vcpu *vcpu = &svm->vcpu;
	struct mv_pending *p = &vcpu->pending;
	u32 info = svm->vmcb->control.exit_int_info;
	bool soft = svm->soft_event;

	mv_request(vcpu, MV_REQ_EVENT);
	if (soft && vcpu->rip == svm->soft_next_rip)
		mv_write_rip(vcpu, svm->soft_rip);

	switch (info & SVM_EXITINTINFO_TYPE_MASK) {
	case SVM_EXITINTINFO_TYPE_NMI:
		p->nmi_injected = true;
		break;
	case SVM_EXITINTINFO_TYPE_INTR:
		p->irq_injected = true;
		p->irq_soft = false;
		p->irq_vector = info & SVM_EXITINTINFO_VEC_MASK;
		break;
	case SVM_EXITINTINFO_TYPE_SOFT:
		/* The guest's own INT n: RIP is still there, it is executed again. */
		if (!soft)
			return;
		p->irq_injected = true;
		p->irq_soft = true;
		p->irq_vector = info & SVM_EXITINTINFO_VEC_MASK;
		p->insn_len = svm->soft_next_rip - svm->soft_rip;
		break;
	case SVM_EXITINTINFO_TYPE_EXEPT:
		p->exc_vector = info & SVM_EXITINTINFO_VEC_MASK;
		if (p->exc_vector == BP_VECTOR || p->exc_vector == OF_VECTOR) {
			if (!soft) /* the guest's own INT3 or INTO, likewise */
				return;
			p->insn_len = svm->soft_next_rip - svm->soft_rip;
		}
		p->exc_injected = true;
		p->exc_has_payload = false; /* it is in CR2 or DR6 already */
		p->exc_has_error = info & SVM_EXITINTINFO_VALID_ERR;
		p->exc_error = svm->vmcb->control.exit_int_info_err;
		break;
	}
}

/* ---- interrupts ---- */

bool svm_irq_allowed(struct mv_vcpu *vcpu)
{
	return (mv_rflags(vcpu) & X86_EFLAGS_IF) &&
	       !(to_svm(vcpu)->vmcb->control.int_state & SVM_INTERRUPT_SHADOW_MASK);
}

u32 svm_get_int_shadow(struct mv_vcpu *vcpu)
{
	/* STI and MOV SS are the same here. */
	if (to_svm(vcpu)->vmcb->control.int_state & SVM_INTERRUPT_SHADOW_MASK)
		return KVM_X86_SHADOW_INT_STI | KVM_X86_SHADOW_INT_MOV_SS;
	return 0;
}

/* A virtual interrupt of no vector, whose only purpose is the exit when the guest would take it. */
void svm_irq_window(struct mv_vcpu *vcpu, bool on)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	struct vmcb_control_area *control = &svm->vmcb->control;

	/* As for an NMI, the instruction in the shadow is stepped over. */
	if (on && unlikely(svm_forgets_shadow) && svm_get_int_shadow(vcpu)) {
		svm->nmi_window = true;
		on = false;
	}
	if (on == !!(control->int_ctl & V_IRQ_MASK))
		return;
	if (on) {
		control->int_vector = 0;
		control->int_ctl |= V_IRQ_MASK | V_INTR_PRIO_MASK | V_IGN_TPR_MASK;
	} else {
		control->int_ctl &= ~(V_IRQ_MASK | V_INTR_PRIO_MASK | V_IGN_TPR_MASK);
	}
	svm_mark_dirty(svm, SVM_CLEAN_INTR);
}

void svm_set_int_shadow(struct mv_vcpu *vcpu, u32 shadow)
{
	struct vmcb_control_area *control = &to_svm(vcpu)->vmcb->control;

	if (shadow)
		control->int_state |= SVM_INTERRUPT_SHADOW_MASK;
	else
		control->int_state &= ~SVM_INTERRUPT_SHADOW_MASK;
}

void svm_update_cr8_intercept(struct mv_vcpu *vcpu, int tpr)
{
	svm_intercept(to_svm(vcpu), INTERCEPT_CR8_WRITE, tpr >= 0);
}

/* ---- NMIs ---- */

bool svm_nmi_masked(struct mv_vcpu *vcpu)
{
	return to_svm(vcpu)->nmi_masked;
}

void svm_set_nmi_masked(struct mv_vcpu *vcpu, bool masked)
{
	struct svm_vcpu *svm = to_svm(vcpu);

	svm->nmi_masked = masked;
	svm->nmi_in_iret = false;
	svm_intercept(svm, INTERCEPT_IRET, masked);
}

bool svm_nmi_allowed(struct mv_vcpu *vcpu)
{
	const struct svm_vcpu *svm = to_svm(vcpu);

	return !svm->nmi_masked &&
	       !(svm->vmcb->control.int_state & SVM_INTERRUPT_SHADOW_MASK);
}

void svm_nmi_window(struct mv_vcpu *vcpu, bool on)
{
	to_svm(vcpu)->nmi_window = on;
}

/* All but #OF, of which it is not known whether RIP is that of the INTO. */
#define STEP_EXCEPTIONS (~(u32)(BIT(X86_TRAP_NMI) | BIT(X86_TRAP_OF)))

/*
 * TF is in RFLAGS for the step, where the guest would find it in what an exception, INT n, PUSHF
 * or SYSCALL saves, or change it by POPF or IRET: these exit instead, SYSCALL by #UD.
 */
static void svm_guard_step(struct svm_vcpu *svm, bool on)
{
	struct vmcb *vmcb = svm->vmcb;
	u64 efer = svm->vcpu.efer | EFER_SVME;

	svm_intercept(svm, INTERCEPT_INTn, on);
	svm_intercept(svm, INTERCEPT_PUSHF, on);
	svm_intercept(svm, INTERCEPT_POPF, on);
	svm_intercept(svm, INTERCEPT_IRET, on && !svm->nmi_in_iret);
	vmcb->control.intercepts[INTERCEPT_EXCEPTION] =
		on ? STEP_EXCEPTIONS : mv_exception_intercepts(&svm->vcpu);
	vmcb->save.efer = on ? efer & ~(u64)EFER_SCE : efer;
	svm_mark_dirty(svm, SVM_CLEAN_INTERCEPTS | SVM_CLEAN_CR);
}

/*
 * After a step: is the instruction one that cannot be stepped over? Then what waits for the end of
 * the shadow goes in before it. An exception is the guest's like any other.
 */
bool svm_step_refused(struct svm_vcpu *svm)
{
	switch (svm->vmcb->control.exit_code) {
	case SVM_EXIT_EXCP_BASE + UD_VECTOR:
		/* If it is none of SYSCALL, it comes again. */
		if (!(svm->vcpu.efer & EFER_SCE) || svm->nmi_in_iret)
			return false;
		break;
	case SVM_EXIT_SWINT:
	case SVM_EXIT_PUSHF:
	case SVM_EXIT_POPF:
	case SVM_EXIT_IRET:
		break;
	default:
		return false;
	}
	/* No IRET any more. */
	if (svm->nmi_in_iret)
		svm_set_nmi_masked(&svm->vcpu, true);
	svm->nmi_window = false;
	svm_set_int_shadow(&svm->vcpu, 0);
	mv_request(&svm->vcpu, MV_REQ_EVENT);
	return true;
}

/*
 * Before an entry for which an NMI window is wanted. While the IRET of the NMI
 * handler is awaited its intercept is the window. After that, or in an
 * interrupt shadow, the window opens when the present instruction has ended:
 * it is single-stepped.
 */
void svm_begin_nmi_step(struct svm_vcpu *svm)
{
	if (svm->nmi_masked && !svm->nmi_in_iret)
		return;
	if (svm->vmcb->control.event_inj & SVM_EVTINJ_VALID) {
		/* The event would push TF with the flags: an exit right after it will do. */
		mv_request(&svm->vcpu, MV_REQ_EVENT);
		smp_send_reschedule(svm->vcpu.cpu);
		return;
	}
	svm->nmi_step = true;
	svm->nmi_step_tf = svm->vcpu.rflags & X86_EFLAGS_TF;
	svm_guard_step(svm, true);
	svm->vmcb->save.rflags |= X86_EFLAGS_TF;
}

/* After its exit. True if the instruction has ended, and only that was the #DB's reason. */
bool svm_end_nmi_step(struct svm_vcpu *svm)
{
	const struct vmcb *vmcb = svm->vmcb;
	bool stepped = vmcb->control.exit_code == SVM_EXIT_EXCP_BASE + DB_VECTOR &&
		       (vmcb->save.dr6 & DR_STEP);

	svm->nmi_step = false;
	svm_guard_step(svm, false);
	/* TF is the guest's own if IRET has popped it. */
	if (!svm->nmi_step_tf && !(stepped && svm->nmi_in_iret))
		svm->vcpu.rflags &= ~X86_EFLAGS_TF;
	return stepped && !svm->nmi_step_tf &&
	       !((vmcb->save.dr6 ^ DR6_RESERVED) & ~(u64)DR_STEP);
}

/* The IRET that ends the NMI handler, perhaps, is about to be executed. */
void svm_iret(struct svm_vcpu *svm)
{
	svm_intercept(svm, INTERCEPT_IRET, false);
	svm->nmi_in_iret = true;
	svm->nmi_iret_rip = svm->vcpu.rip;
	mv_request(&svm->vcpu, MV_REQ_EVENT);
}

/* After an exit, with NMIs masked: has the IRET been executed? */
void svm_track_iret(struct svm_vcpu *svm)
{
	if (svm->nmi_in_iret && svm->vcpu.rip != svm->nmi_iret_rip) {
		svm->nmi_masked = false;
		svm->nmi_in_iret = false;
		mv_request(&svm->vcpu, MV_REQ_EVENT);
	}
}
