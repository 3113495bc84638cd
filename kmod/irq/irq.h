/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the interrupt controllers say to each other.
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
#ifndef MV_IRQ_H
#define MV_IRQ_H

#include <asm/apicdef.h>
#include <linux/hrtimer.h>
#include <linux/kvm.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>

#include "minivirt.h"

#define MV_PIC_PINS 16
#define MV_PIT_GSI 0

/* A periodic timer of a guest interrupts the host no more often than this. */
#define MV_MIN_TIMER_PERIOD_NS (200 * NSEC_PER_USEC)

/* ---- local APIC -------------------------------------------------------- */

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

/* apicirq.c */

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

/* vapic.c */
void mv_report_tpr(struct mv_lapic *lapic, bool write); /* it is accessed, with @report_tpr */

/*
 * apicmap.c: returns the number of APICs that accepted; -1 may tell that there was none to ask,
 * -EAGAIN that an @irq for few is for many.
 */
int mv_apic_deliver(struct mv_vm *vm, const struct mv_apic_irq *irq, struct mv_vcpu *self);
struct mv_vcpu *mv_apic_find(struct mv_vm *vm, u32 id); /* by its physical ID; NULL */
void mv_apic_map_destroy(struct mv_vm *vm);

/* apictimer.c */
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

/* ---- the chips of a VM --------------------------------------------------- */

#define MV_IRQ_SOURCE_USER 0
#define MV_IRQ_SOURCE_PIT 1
#define MV_IRQ_SOURCE_IRQFD 2

/* states[]: for each pin, a bit for each source (MV_IRQ_SOURCE_*) that holds it up. */
struct mv_pic {
	struct mv_io_device dev;
	struct kvm_pic_state chip[2]; /* master, slave */
	unsigned long states[MV_PIC_PINS];
	bool output; /* INTR of the master */
};

struct mv_ioapic {
	struct mv_io_device dev;
	struct kvm_ioapic_state s; /* s.irr: the lines that are up */
	u32 delivered; /* edge-triggered: of s.irr, those already sent */
	unsigned long states[MV_NR_PINS];
	u32 storm[MV_NR_PINS]; /* EOIs in a row that found the line still up */
	struct delayed_work resend;
};

struct mv_pit {
	struct mv_irqchip *chips;
	struct mv_io_device dev, speaker;
	struct kvm_pit_state2 s;
	/* Channel 0's interrupt: */
	struct hrtimer timer;
	u64 period; /* ns; 0: one shot */
	bool running;
	bool reinject; /* a tick waits until the one before is acknowledged */
	bool acked; /* the last tick */
	u64 owed; /* ticks due and not acknowledged */
};

/**
 * struct mv_irqchip - the chips that a VM has once
 * @lint0_nmi: vCPUs whose LINT0 delivers NMIs
 * @resampled: GSIs with irqfds that resample
 * @ended: atomic; of those, whose interrupt has ended: the irqfds are to be told
 */
struct mv_irqchip {
	struct mv_vm *vm;
	atomic_t lint0_nmi;
	DECLARE_BITMAP(resampled, MV_MAX_ROUTES);
	DECLARE_BITMAP(ended, MV_MAX_ROUTES);
	struct mv_pic pic;
	struct mv_ioapic ioapic;
	struct mv_pit *pit; /* NULL until KVM_CREATE_PIT2 */
};

static inline struct mv_irqchip *mv_chips(struct mv_vm *vm)
{
	/* Pairs with the release in irqchip_create(): what is seen is complete. */
	return smp_load_acquire(&vm->irqchip);
}

void mv_set_eoi_vectors(struct mv_vm *vm, const unsigned long *vectors); /* irq_lock held */

/* All with irq_lock held unless said otherwise; the set functions return as mv_set_irq(). */
void mv_pic_init(struct mv_irqchip *chips);
int mv_pic_set_irq(struct mv_irqchip *chips, int pin, int source, int level);
int mv_pic_take(struct mv_vm *vm); /* interrupt acknowledge cycle; takes irq_lock */
void mv_pic_get(struct mv_irqchip *chips, int id, struct kvm_pic_state *s);
void mv_pic_set(struct mv_irqchip *chips, int id, const struct kvm_pic_state *s);

void mv_ioapic_init(struct mv_irqchip *chips);
void mv_ioapic_stop(struct mv_irqchip *chips); /* without the lock */
int mv_ioapic_set_irq(struct mv_irqchip *chips, int pin, int source, int level);
void mv_ioapic_eoi(struct mv_lapic *lapic, u8 vector, bool level); /* takes irq_lock */
void mv_ioapic_update_eoi_vectors(struct mv_irqchip *chips);
void mv_ioapic_get(struct mv_irqchip *chips, struct kvm_ioapic_state *s);
void mv_ioapic_set(struct mv_irqchip *chips, const struct kvm_ioapic_state *s);
void mv_ioapic_send_all(struct mv_irqchip *chips); /* after that; takes irq_lock */

/* Without the lock */
int mv_pit_create(struct mv_vm *vm, const struct kvm_pit_config *cfg);
void mv_pit_destroy(struct mv_irqchip *chips);

void mv_pit_acked(struct mv_irqchip *chips);
void mv_pit_state_replaced(struct mv_irqchip *chips); /* of a chip, by userspace */
void mv_pit_forget_ticks(struct mv_irqchip *chips);
long mv_pit_ioctl(struct mv_vm *vm, unsigned int nr, void __user *arg);

/* irqfd.c */
long mv_irqfd_ioctl(struct mv_vm *vm, const struct kvm_irqfd __user *arg);
/* With irq_lock held: somebody waits for the end of @gsi's interrupt; it is over. */
bool mv_irqfd_resamples(struct mv_irqchip *chips, u32 gsi);
void mv_irqfd_acked(struct mv_irqchip *chips, u32 gsi);

/* route.c; @pin counts from 0 on each of the three chips, KVM_IRQCHIP_*. */
int mv_set_irq_locked(struct mv_irqchip *chips, u32 gsi, int level, int source);
/* Takes the lock if it has to; <0: masked, 0: coalesced, >0: sent */
int mv_set_irq(struct mv_vm *vm, u32 gsi, int level, int source);
bool mv_send_gsi_msi(struct mv_vm *vm, u32 gsi); /* without the lock; to few APICs */
void mv_pin_acked(struct mv_irqchip *chips, u32 chip, u32 pin); /* its interrupt is over */
void mv_pin_unmasked(struct mv_irqchip *chips, u32 chip, u32 pin);
bool mv_pin_wants_ack(struct mv_irqchip *chips, u32 chip, u32 pin);

#endif /* MV_IRQ_H */
