// SPDX-License-Identifier: GPL-2.0-only
/* Exceptions, NMIs and interrupts: what waits, and what goes in with the next entry. */
#include <linux/percpu.h>
#include <asm/debugreg.h>

#include "base/backend.h"
#include "base/regs.h"
#include "base/trace.h"
#include "cpu/event.h"
#include "irq/irq.h"

/* Exception classes of SDM vol. 3A, table 6-4. */
enum { EXC_BENIGN, EXC_CONTRIBUTORY, EXC_PAGE_FAULT };

static int exception_class(u8 vector)
{
	switch (vector) {
	case PF_VECTOR:
		return EXC_PAGE_FAULT;
	case DE_VECTOR:
	case TS_VECTOR:
	case NP_VECTOR:
	case SS_VECTOR:
	case GP_VECTOR:
		return EXC_CONTRIBUTORY;
	default:
		return EXC_BENIGN;
	}
}

/* A second exception while one is in delivery. SDM vol. 3A, table 6-5. */
static bool makes_double_fault(u8 first, u8 second)
{
	int a = exception_class(first), b = exception_class(second);

	return (a == EXC_CONTRIBUTORY && b == EXC_CONTRIBUTORY) ||
	       (a == EXC_PAGE_FAULT && b != EXC_BENIGN);
}

static void queue(struct mv_vcpu *vcpu, u8 vector, bool has_error, u32 error, bool has_payload,
		  u64 payload)
{
	struct mv_pending *p = &vcpu->pending;

	mv_request(vcpu, MV_REQ_EVENT);
	if (p->exc_pending || p->exc_injected) {
		if (p->exc_vector == DF_VECTOR) {
			mv_request(vcpu, MV_REQ_TRIPLE_FAULT);
			return;
		}
		if (makes_double_fault(p->exc_vector, vector)) {
			vector = DF_VECTOR;
			has_error = true;
			error = 0;
			has_payload = false;
		}
	}
	p->exc_pending = true;
	p->exc_injected = false;
	p->exc_vector = vector;
	p->exc_has_error = has_error;
	p->exc_error = error;
	p->exc_has_payload = has_payload;
	p->exc_payload = payload;
}

void mv_queue_exception(struct mv_vcpu *vcpu, u8 vector)
{
	queue(vcpu, vector, false, 0, false, 0);
}

void mv_queue_exception_e(struct mv_vcpu *vcpu, u8 vector, u32 error)
{
	queue(vcpu, vector, true, error, false, 0);
}

void mv_queue_exception_p(struct mv_vcpu *vcpu, u8 vector, u64 payload)
{
	queue(vcpu, vector, false, 0, true, payload);
}

void mv_queue_page_fault(struct mv_vcpu *vcpu, u64 cr2, u32 error)
{
	queue(vcpu, PF_VECTOR, true, error, true, cr2);
}

int mv_inject_gp(struct mv_vcpu *vcpu)
{
	mv_queue_exception_e(vcpu, GP_VECTOR, 0);
	return 1;
}

int mv_inject_ud(struct mv_vcpu *vcpu)
{
	mv_queue_exception(vcpu, UD_VECTOR);
	return 1;
}

/* The processor latches one NMI while one is being handled, two before the first is taken. */
static void take_queued_nmis(struct mv_vcpu *vcpu)
{
	int limit = vcpu->pending.nmi_injected || mv_backend->nmi_masked(vcpu) ? 1 : 2;

	vcpu->nmi_pending = min(vcpu->nmi_pending + atomic_xchg(&vcpu->nmi_queued, 0), limit);
}

/* An exception's side effect on DR6 or CR2 is made when it is delivered, not when it is raised. */
void mv_deliver_payload(struct mv_vcpu *vcpu)
{
	struct mv_pending *p = &vcpu->pending;

	if (!p->exc_has_payload)
		return;
	p->exc_has_payload = false;
	switch (p->exc_vector) {
	case DB_VECTOR:
		/* The trap bits are of this #DB alone; BS, BD and BT accumulate. SDM 18.2.3. */
		vcpu->dr6 &= ~(u64)DR_TRAP_BITS;
		vcpu->dr6 |= p->exc_payload;
		vcpu->dr7 &= ~(u64)MV_DR7_GD;
		mv_backend->update_debug(vcpu);
		break;
	case PF_VECTOR:
		vcpu->cr2 = p->exc_payload;
		break;
	}
}

static bool exception_is_fault(u8 vector)
{
	return vector != DB_VECTOR && vector != NMI_VECTOR && vector != BP_VECTOR &&
	       vector != OF_VECTOR && vector != DF_VECTOR && vector != MC_VECTOR;
}

static void inject_new_exception(struct mv_vcpu *vcpu)
{
	struct mv_pending *p = &vcpu->pending;

	/* RF in the image that a fault pushes: its IRET passes the breakpoint. SDM 18.3.1.1. */
	if (exception_is_fault(p->exc_vector))
		mv_write_rflags(vcpu, mv_rflags(vcpu) | X86_EFLAGS_RF);
	mv_deliver_payload(vcpu);
	p->exc_pending = false;
	p->exc_injected = true;
}

bool mv_want_irq(struct mv_vcpu *vcpu)
{
	return vcpu->lapic ? mv_irq_pending(vcpu) : vcpu->user_irq >= 0;
}

/* One that is to be injected: with mv_apicv those of the local APIC go in by themselves. */
static bool want_inject(struct mv_vcpu *vcpu)
{
	return vcpu->lapic && mv_apicv ? mv_pic_pending(vcpu) : mv_want_irq(vcpu);
}

static int take_irq(struct mv_vcpu *vcpu)
{
	return vcpu->lapic ? mv_irq_take(vcpu) : mv_take_user_irq(vcpu);
}

bool mv_takes_user_irq(struct mv_vcpu *vcpu)
{
	return !vcpu->vm->irqchip && vcpu->user_irq < 0 &&
	       (!vcpu->lapic || mv_lapic_takes_pic(vcpu));
}

static void send(struct mv_vcpu *vcpu, enum mv_event_type type)
{
	struct mv_pending *p = &vcpu->pending;

	trace_mv_inject(vcpu, type);
	/* The other bytes of @any stay for the entry after this one. */
	p->sent = 0;
	switch (type) {
	case MV_EVENT_EXCEPTION:
		((u8 *)&p->sent)[offsetof(struct mv_pending, exc_injected)] = 0xff;
		break;
	case MV_EVENT_NMI:
		((u8 *)&p->sent)[offsetof(struct mv_pending, nmi_injected)] = 0xff;
		vcpu->stats[MV_STAT_NMI]++;
		break;
	case MV_EVENT_IRQ:
		((u8 *)&p->sent)[offsetof(struct mv_pending, irq_injected)] = 0xff;
		vcpu->stats[MV_STAT_IRQ]++;
		break;
	}
	mv_call(inject)(vcpu, type);
}

static_assert(offsetof(struct mv_pending, any) == 0);

/*
 * Choose the one event that goes in with the next entry, by the priorities of
 * SDM vol. 3A, table 6-2: first what was already in delivery, then a new
 * exception, an NMI, an interrupt.  For those that cannot go in yet, ask for
 * an exit as soon as they could.
 */
void mv_update_events(struct mv_vcpu *vcpu)
{
	struct mv_pending *p = &vcpu->pending;
	bool busy = true;

	if (p->sent) {
		mv_backend->cancel_inject(vcpu);
		p->sent = 0;
	}
	if (atomic_read(&vcpu->nmi_queued))
		take_queued_nmis(vcpu);

	if (p->exc_pending)
		inject_new_exception(vcpu);
	if (p->exc_injected)
		send(vcpu, MV_EVENT_EXCEPTION);
	else if (p->nmi_injected)
		send(vcpu, MV_EVENT_NMI);
	else if (p->irq_injected)
		send(vcpu, MV_EVENT_IRQ);
	else
		busy = false;

	/* A debugger that steps does not want to be led into a handler. */
	if (vcpu->guest_debug & KVM_GUESTDBG_BLOCKIRQ) {
		if (vcpu->lapic)
			mv_irq_tell_backend(vcpu, true);
		return;
	}

	if (vcpu->nmi_pending && !busy && mv_call(nmi_allowed)(vcpu)) {
		vcpu->nmi_pending--;
		p->nmi_injected = true;
		send(vcpu, MV_EVENT_NMI);
		busy = true;
	}
	if (vcpu->nmi_pending)
		mv_call(nmi_window)(vcpu, true);

	if (want_inject(vcpu) && !busy && mv_call(irq_allowed)(vcpu)) {
		int vector = take_irq(vcpu);

		if (vector >= 0) {
			p->irq_injected = true;
			p->irq_soft = false;
			p->irq_vector = vector;
			send(vcpu, MV_EVENT_IRQ);
		}
	}
	/* What is left, or what userspace holds back until it can be taken. */
	if (want_inject(vcpu) || (vcpu->run->request_interrupt_window && mv_takes_user_irq(vcpu)))
		mv_call(irq_window)(vcpu, true);

	if (vcpu->lapic)
		mv_irq_tell_backend(vcpu, false);
}
