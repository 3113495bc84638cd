// SPDX-License-Identifier: GPL-2.0-only
/* General registers and events, as the ioctls that move them have them. */
#include "base/backend.h"
#include "base/regs.h"
#include "cpu/event.h"
#include "cpu/state.h"
#include "irq/irq.h"

/* ---- general registers ---- */

/* struct kvm_regs begins with the general registers, in an order of its own. */
static const u8 regs_order[] = {
	MV_RAX, MV_RBX, MV_RCX, MV_RDX, MV_RSI, MV_RDI, MV_RSP, MV_RBP,
	MV_R8, MV_R8 + 1, MV_R8 + 2, MV_R8 + 3, MV_R8 + 4, MV_R8 + 5, MV_R8 + 6, MV_R15,
};

static_assert(offsetof(struct kvm_regs, rip) == ARRAY_SIZE(regs_order) * sizeof(u64));

int mv_get_regs(struct mv_vcpu *vcpu, void *buf)
{
	struct kvm_regs *regs = buf;
	u64 *gprs = buf;
	int i;

	for (i = 0; i < ARRAY_SIZE(regs_order); i++)
		gprs[i] = mv_gpr(vcpu, regs_order[i]);
	regs->rip = mv_rip(vcpu);
	regs->rflags = mv_rflags(vcpu);
	/* TF is the debugger's while it steps. */
	if (vcpu->guest_debug & KVM_GUESTDBG_SINGLESTEP)
		regs->rflags &= ~(u64)X86_EFLAGS_TF;
	return 0;
}

int mv_set_regs(struct mv_vcpu *vcpu, void *buf)
{
	const struct kvm_regs *regs = buf;
	const u64 *gprs = buf;
	u64 rflags = regs->rflags | X86_EFLAGS_FIXED;
	int i;

	for (i = 0; i < ARRAY_SIZE(regs_order); i++)
		mv_set_gpr(vcpu, regs_order[i], gprs[i]);
	mv_write_rip(vcpu, regs->rip);
	if (vcpu->guest_debug & KVM_GUESTDBG_SINGLESTEP)
		rflags |= X86_EFLAGS_TF;
	mv_write_rflags(vcpu, rflags);
	/* Of the shadow there is more to know with TF. */
	mv_backend->set_int_shadow(vcpu, mv_call(get_int_shadow)(vcpu));

	/* An exception that the old registers had raised is moot. */
	vcpu->pending.exc_pending = false;
	mv_request(vcpu, MV_REQ_EVENT);
	return 0;
}

/* ---- events ---- */

bool mv_get_sent_irq(struct mv_vcpu *vcpu, u8 *vector)
{
	if (vcpu->pending.irq_injected && !vcpu->pending.irq_soft)
		*vector = vcpu->pending.irq_vector;
	else if (!vcpu->lapic && vcpu->user_irq >= 0)
		*vector = vcpu->user_irq;
	else
		return false;
	return true;
}

/*
 * The local APIC has had its interrupt acknowledged, so it has to go in as it
 * is.  Without one it is as from KVM_INTERRUPT: when the guest can take it.
 */
void mv_set_sent_irq(struct mv_vcpu *vcpu, u8 vector)
{
	if (vcpu->lapic) {
		vcpu->pending.irq_injected = true;
		vcpu->pending.irq_soft = false;
		vcpu->pending.irq_vector = vector;
	} else {
		vcpu->user_irq = vector;
	}
}

static bool is_soft_exception(u8 vector)
{
	return vector == BP_VECTOR || vector == OF_VECTOR;
}

/* Without KVM_CAP_EXCEPTION_PAYLOAD, userspace knows no exception that is not yet delivered. */
static void get_exception(struct mv_vcpu *vcpu, struct kvm_vcpu_events *ev)
{
	struct mv_pending *p = &vcpu->pending;
	bool payloads = vcpu->vm->exception_payload;

	if (p->exc_pending && p->exc_has_payload && !payloads)
		mv_deliver_payload(vcpu);
	/* The structure has no instruction length: the guest executes INT3 or INTO again. */
	if (!is_soft_exception(p->exc_vector)) {
		ev->exception.injected = p->exc_injected || (p->exc_pending && !payloads);
		ev->exception.pending = p->exc_pending && payloads;
	}
	ev->exception.nr = p->exc_vector;
	ev->exception.has_error_code = p->exc_has_error;
	ev->exception.error_code = p->exc_error;
	ev->exception_has_payload = p->exc_has_payload;
	ev->exception_payload = p->exc_payload;
}

int mv_get_events(struct mv_vcpu *vcpu, void *buf)
{
	struct kvm_vcpu_events *ev = buf;
	struct mv_pending *p = &vcpu->pending;

	get_exception(vcpu, ev);
	ev->interrupt.injected = mv_get_sent_irq(vcpu, &ev->interrupt.nr);
	ev->interrupt.shadow = mv_call(get_int_shadow)(vcpu);
	ev->nmi.injected = p->nmi_injected;
	ev->nmi.pending = vcpu->nmi_pending || atomic_read(&vcpu->nmi_queued);
	ev->nmi.masked = mv_backend->nmi_masked(vcpu);
	/* There is no SMM; but an INIT that waits is told among its flags. */
	ev->smi.latched_init = vcpu->lapic && test_bit(MV_APIC_INIT, &vcpu->apic_events);
	ev->flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW |
		    KVM_VCPUEVENT_VALID_SMM;
	if (vcpu->vm->exception_payload)
		ev->flags |= KVM_VCPUEVENT_VALID_PAYLOAD;
	if (vcpu->vm->triple_fault_event) {
		ev->triple_fault.pending = test_bit(MV_REQ_TRIPLE_FAULT, &vcpu->requests);
		ev->flags |= KVM_VCPUEVENT_VALID_TRIPLE_FAULT;
	}
	return 0;
}

static bool valid_events(struct mv_vcpu *vcpu, const struct kvm_vcpu_events *ev)
{
	u32 flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW |
		    KVM_VCPUEVENT_VALID_SIPI_VECTOR | KVM_VCPUEVENT_VALID_SMM;

	if (vcpu->vm->exception_payload)
		flags |= KVM_VCPUEVENT_VALID_PAYLOAD;
	if (vcpu->vm->triple_fault_event)
		flags |= KVM_VCPUEVENT_VALID_TRIPLE_FAULT;
	if (ev->flags & ~flags)
		return false;
	if ((ev->flags & KVM_VCPUEVENT_VALID_SMM) &&
	    (ev->smi.smm || ev->smi.pending || ev->smi.smm_inside_nmi))
		return false;
	return !(ev->exception.injected || ev->exception.pending) ||
	       (ev->exception.nr <= 31 && ev->exception.nr != NMI_VECTOR);
}

int mv_set_events(struct mv_vcpu *vcpu, void *buf)
{
	struct kvm_vcpu_events *ev = buf;
	struct mv_pending *p = &vcpu->pending;

	if (!(ev->flags & KVM_VCPUEVENT_VALID_PAYLOAD))
		ev->exception.pending = 0;
	if (!valid_events(vcpu, ev))
		return -EINVAL;

	p->exc_pending = !!ev->exception.pending;
	p->exc_injected = ev->exception.injected && !p->exc_pending;
	p->exc_vector = ev->exception.nr;
	p->exc_has_error = ev->exception.has_error_code;
	p->exc_error = ev->exception.error_code;
	p->exc_has_payload = p->exc_pending && ev->exception_has_payload;
	p->exc_payload = ev->exception_payload;

	/* A software interrupt comes without its length; the guest executes INT n again. */
	p->irq_injected = false;
	if (!vcpu->lapic)
		vcpu->user_irq = -1;
	if (ev->interrupt.injected && !ev->interrupt.soft)
		mv_set_sent_irq(vcpu, ev->interrupt.nr);
	if (ev->flags & KVM_VCPUEVENT_VALID_SHADOW)
		mv_backend->set_int_shadow(vcpu, ev->interrupt.shadow);

	p->nmi_injected = !!ev->nmi.injected;
	if (ev->flags & KVM_VCPUEVENT_VALID_NMI_PENDING) {
		atomic_set(&vcpu->nmi_queued, 0);
		vcpu->nmi_pending = !!ev->nmi.pending;
	}
	mv_backend->set_nmi_masked(vcpu, ev->nmi.masked);
	if ((ev->flags & KVM_VCPUEVENT_VALID_SIPI_VECTOR) && vcpu->lapic)
		vcpu->sipi_vector = ev->sipi_vector;
	if ((ev->flags & KVM_VCPUEVENT_VALID_SMM) && vcpu->lapic)
		assign_bit(MV_APIC_INIT, &vcpu->apic_events, ev->smi.latched_init);
	if (ev->flags & KVM_VCPUEVENT_VALID_TRIPLE_FAULT)
		assign_bit(MV_REQ_TRIPLE_FAULT, &vcpu->requests, ev->triple_fault.pending);
	mv_request(vcpu, MV_REQ_EVENT);
	return 0;
}
