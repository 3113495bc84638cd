/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Local APICs, to those who know how one is made.
 *
 * Locks.  vm->irq_lock covers the PICs, the IOAPIC and the PIT; it is taken
 * with interrupts on and bottom halves off, as the PIT's timer is one: what the
 * guest has programmed there may interrupt all vCPUs.  A local APIC
 * belongs to its vCPU's thread and takes no lock; what others may touch is
 * atomic: they set bits in the TMR, pir, pir_rows, esr and vcpu->apic_events.
 * With mv_apicv the processor changes the registers too, while it is in the
 * guest: TPR, IRR, ISR, and what the guest writes.  Its timer has a lock of its
 * own.  The map from APIC IDs to vCPUs is read under RCU and rebuilt under
 * irq_lock; GSI routes are read under vm->srcu or irq_lock and replaced under
 * irq_lock.
 */
#ifndef MV_IRQ_LAPIC_H
#define MV_IRQ_LAPIC_H

#include "base/vm.h"
#include "irq/types.h"

/* A periodic timer of a guest interrupts the host no more often than this. */
#define MV_MIN_TIMER_PERIOD_NS (200 * NSEC_PER_USEC)

/* An interrupt message on the way to local APICs. */
struct mv_apic_irq {
	u32 dest;
	u32 mode; /* APIC_DM_* */
	u32 shorthand; /* 0, APIC_DEST_SELF, _ALLINC, _ALLBUT */
	u8 vector;
	bool logical;
	bool level; /* trigger mode */
	bool deassert; /* of INIT */
	bool redirect; /* MSI redirection hint: to one of the destinations */
	bool few; /* interrupts are off: not if all vCPUs have to be asked */
};

/* accept.c */

/*
 * Hand @irq to the local APIC of @vcpu; @self is the vCPU whose thread this
 * is, if it is known to be one.  Returns 1 if accepted, 0 if not.
 */
int mv_lapic_accept(struct mv_vcpu *vcpu, const struct mv_apic_irq *irq, struct mv_vcpu *self);
void mv_lapic_local(struct mv_lapic *lapic, u32 lvt, struct mv_vcpu *self);

void mv_lapic_take_pir(struct mv_lapic *lapic); /* pir into the IRR; in the vCPU's thread */
int mv_lapic_highest_irr(struct mv_lapic *lapic); /* in the vCPU's thread; -1: none */
int mv_lapic_highest_isr(struct mv_lapic *lapic); /* likewise */
u32 mv_lapic_priority(struct mv_lapic *lapic); /* the PPR; in the vCPU's thread */
void mv_lapic_set_tpr(struct mv_lapic *lapic, u32 tpr);
void mv_lapic_error(struct mv_lapic *lapic, u32 error, struct mv_vcpu *self); /* APIC_ESR_* */
void mv_lapic_changed(struct mv_lapic *lapic); /* mode, ISR, or whose EOI matters */
void mv_lapic_recheck(struct mv_lapic *lapic); /* the priority fell */
void mv_lapic_end_of_interrupt(struct mv_lapic *lapic);

/* tprcopy.c */
void mv_report_tpr(struct mv_lapic *lapic, bool write); /* it is accessed, with @report_tpr */

/*
 * map.c: returns the number of APICs that accepted; -1 may tell that there was none to ask,
 * -EAGAIN that an @irq for few is for many.
 */
int mv_apic_deliver(struct mv_vm *vm, const struct mv_apic_irq *irq, struct mv_vcpu *self);
struct mv_vcpu *mv_apic_find(struct mv_vm *vm, u32 id); /* by its physical ID; NULL */
void mv_apic_map_destroy(struct mv_vm *vm);

/* timer.c */
void mv_apic_timer_init(struct mv_lapic *lapic);
void mv_apic_timer_sync(struct mv_lapic *lapic); /* mode and divider from the registers */
void mv_apic_timer_stop(struct mv_lapic *lapic);
void mv_apic_timer_hold(struct mv_lapic *lapic); /* until mv_apic_timer_restore() */
void mv_apic_timer_start(struct mv_lapic *lapic, u32 count); /* counting modes */
void mv_apic_timer_restore(struct mv_lapic *lapic, u32 count); /* the registers are in place */
void mv_apic_timer_set_divider(struct mv_lapic *lapic, u32 tdcr);
/* The current count; in the vCPU's thread, as it makes the request that a 0 tells of. */
u32 mv_apic_timer_count(struct mv_lapic *lapic);

static inline u32 lapic_timer_mode(struct mv_lapic *lapic)
{
	return READ_ONCE(lapic->timer.mode);
}

#endif /* MV_IRQ_LAPIC_H */
