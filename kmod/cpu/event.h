/* SPDX-License-Identifier: GPL-2.0-only */
/* Exceptions, interrupts, NMIs: what waits, and what goes in. */
#ifndef MV_CPU_EVENT_H
#define MV_CPU_EVENT_H

#include "base/request.h"

void mv_queue_exception(struct mv_vcpu *vcpu, u8 vector);
void mv_queue_exception_e(struct mv_vcpu *vcpu, u8 vector, u32 error);
void mv_queue_exception_p(struct mv_vcpu *vcpu, u8 vector, u64 payload); /* #DB */
void mv_queue_page_fault(struct mv_vcpu *vcpu, u64 cr2, u32 error);
int mv_inject_gp(struct mv_vcpu *vcpu); /* #GP(0); returns 1 */
int mv_inject_ud(struct mv_vcpu *vcpu); /* #UD; returns 1 */
void mv_update_events(struct mv_vcpu *vcpu); /* before entry: choose and inject */
void mv_deliver_payload(struct mv_vcpu *vcpu);
bool mv_want_irq(struct mv_vcpu *vcpu); /* an interrupt waits, RFLAGS.IF apart */
/* Userspace is the PIC, has no vector waiting, and this vCPU listens to it. */
bool mv_takes_user_irq(struct mv_vcpu *vcpu);

/* The backend, after an entry that did not fail: what was sent is on its way. */
static inline void mv_events_sent(struct mv_vcpu *vcpu)
{
	if (unlikely(vcpu->pending.sent)) {
		vcpu->pending.any &= ~vcpu->pending.sent;
		vcpu->pending.sent = 0;
		if (vcpu->pending.any)
			mv_request(vcpu, MV_REQ_EVENT);
	}
}

#endif /* MV_CPU_EVENT_H */
