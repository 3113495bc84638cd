/* SPDX-License-Identifier: GPL-2.0-only */
/* The local APIC of a vCPU: its registers and its timer. */
#ifndef MV_IRQ_TYPES_H
#define MV_IRQ_TYPES_H

#include <linux/hrtimer.h>
#include <linux/spinlock.h>
#include <asm/apicdef.h>

#include "base/vcpu.h"

/**
 * struct mv_apic_timer - the timer of a local APIC
 * @lock: all below, and the request that an expiry makes; taken by the timer's own
 *	interrupt
 * @deadline: TSC-deadline mode: in the guest's TSC; 0: disarmed. In other modes: what
 *	userspace has restored before the mode
 * @armed: TSC-deadline mode: the guest TSC value @hrtimer was set for; 0: none
 * @armed_offset: vcpu->tsc_offset at that time
 * @expiry: counting modes: when the count reaches zero; 0: stopped
 * @period: counting modes: from the initial count to zero, in ns
 * @mode: bits of the LVT entry: what was last acted upon, as the processor may
 *	have written another into the register
 * @divide: by this, 1 to 128; likewise
 *
 * A deadline that moves to a later time does not touch @hrtimer: when it
 * comes, it starts itself again for what @deadline is then.
 */
struct mv_apic_timer {
	struct hrtimer hrtimer;
	raw_spinlock_t lock;
	u64 deadline;
	u64 armed;
	u64 armed_offset;
	ktime_t expiry;
	u64 period;
	u32 mode;
	u32 divide;
};

/**
 * struct mv_lapic - a local APIC
 * @regs: the registers, a page laid out as the hardware's; in x2APIC mode the
 *	ICR is one 64-bit register at APIC_ICR
 * @pir: atomic; requests on their way into the IRR
 * @pir_rows: atomic; a bit clear: those 32 bits of @pir are zero
 * @irr_rows: a bit set: that register of the IRR is not zero; unused with mv_apicv
 * @isr_rows: likewise, of the ISR
 * @irr_changed: the backend does not know the highest request yet; with mv_apicv
 * @sw_enabled, @lint0_nmi: of SPIV and LVT0, as last acted upon, see @timer.mode
 * @esr: atomic; errors since the last write to the ESR
 * @report_tpr: userspace wants to know of accesses to the TPR; @tpr_rip, @tpr_write: the last one
 */
struct mv_lapic {
	struct mv_vcpu *vcpu;
	u8 *regs;
	DECLARE_BITMAP(pir, 256);
	unsigned long pir_rows;
	unsigned long irr_rows;
	unsigned long isr_rows;
	bool irr_changed;
	bool sw_enabled;
	bool lint0_nmi;
	bool report_tpr, tpr_write;
	u64 tpr_rip;
	unsigned long esr;
	struct mv_apic_timer timer;
};

static inline u32 *lapic_regp(struct mv_lapic *lapic, u32 reg)
{
	return (u32 *)(lapic->regs + reg);
}

static inline u32 lapic_reg(struct mv_lapic *lapic, u32 reg)
{
	return READ_ONCE(*lapic_regp(lapic, reg));
}

static inline void lapic_set_reg(struct mv_lapic *lapic, u32 reg, u32 val)
{
	WRITE_ONCE(*lapic_regp(lapic, reg), val);
}

/* The word of the 256-bit register @reg (ISR, TMR, IRR) with @vector's bit: 31:0 of it. */
static inline unsigned long *lapic_row(struct mv_lapic *lapic, u32 reg, u8 vector)
{
	return (unsigned long *)(lapic->regs + reg + (vector >> 5) * 0x10);
}

static inline bool lapic_hw_enabled(struct mv_lapic *lapic)
{
	return READ_ONCE(lapic->vcpu->apic_base) & XAPIC_ENABLE;
}

static inline bool lapic_enabled(struct mv_lapic *lapic)
{
	return lapic_hw_enabled(lapic) && (lapic_reg(lapic, APIC_SPIV) & APIC_SPIV_APIC_ENABLED);
}

static inline bool lapic_x2apic(struct mv_lapic *lapic)
{
	return READ_ONCE(lapic->vcpu->apic_base) & X2APIC_ENABLE;
}

static inline u32 lapic_id(struct mv_lapic *lapic)
{
	return lapic_x2apic(lapic) ? lapic->vcpu->id : lapic_reg(lapic, APIC_ID) >> 24;
}

#endif /* MV_IRQ_TYPES_H */
