/* SPDX-License-Identifier: GPL-2.0-only */
/* The chips that a VM has once, what leads to them, and what they say to each other. */
#ifndef MV_IRQ_CHIPS_H
#define MV_IRQ_CHIPS_H

#include <linux/hrtimer.h>
#include <linux/kvm.h>
#include <linux/workqueue.h>

#include "io/io.h"
#include "irq/lapic.h"

#define MV_PIC_PINS 16
#define MV_PIT_GSI 0

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

#endif /* MV_IRQ_CHIPS_H */
