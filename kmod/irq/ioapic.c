// SPDX-License-Identifier: GPL-2.0-only
/*
 * The IOAPIC, version 0x11: Intel 82093AA data sheet, 290566-001.
 */
#include <linux/nospec.h>

#include "irq/chips.h"

#define IOAPIC_VERSION 0x11

/* Offsets in the MMIO range. */
#define IOAPIC_REGSEL 0x00
#define IOAPIC_WIN 0x10

/* Indices that IOREGSEL selects; redirection entries follow, two words each. */
#define IOAPIC_REG_ID 0
#define IOAPIC_REG_VER 1
#define IOAPIC_REG_ARB 2
#define IOAPIC_REG_RTE 0x10

/* EOIs in a row with the line still up until the next delivery is put off. */
#define IOAPIC_STORM 10000

static_assert(MV_NR_PINS == KVM_IOAPIC_NUM_PINS);

/* Returns as mv_set_irq(). */
static int send(struct mv_irqchip *chips, int pin)
{
	struct mv_ioapic *ioapic = &chips->ioapic;
	typeof(ioapic->s.redirtbl[0].fields) *rte = &ioapic->s.redirtbl[pin].fields;
	struct mv_apic_irq irq = {
		.dest = rte->dest_id,
		.mode = rte->delivery_mode << 8,
		.vector = rte->vector,
		.logical = rte->dest_mode,
		.level = rte->trig_mode,
	};
	int ret;

	if (rte->mask || (rte->trig_mode && rte->remote_irr))
		return -1;

	if (!rte->trig_mode)
		ioapic->delivered |= BIT(pin);
	ret = mv_apic_deliver(chips->vm, &irq, NULL);
	if (ret > 0 && rte->trig_mode)
		rte->remote_irr = 1;
	return ret;
}

int mv_ioapic_set_irq(struct mv_irqchip *chips, int pin, int source, int level)
{
	struct mv_ioapic *ioapic = &chips->ioapic;
	bool edge = !ioapic->s.redirtbl[pin].fields.trig_mode;
	u32 bit = BIT(pin);

	__assign_bit(source, &ioapic->states[pin], level);
	if (!ioapic->states[pin]) {
		ioapic->s.irr &= ~bit;
		return 1;
	}
	if (edge && ioapic->s.irr & bit)
		return 0;
	ioapic->s.irr |= bit;
	ioapic->delivered &= ~bit;
	return send(chips, pin);
}

/*
 * For all lines that are up: the level-triggered ones, and edges that were not
 * sent yet. One may lead to all vCPUs, so the lock is let go after each.
 */
void mv_ioapic_send_all(struct mv_irqchip *chips)
{
	struct mv_ioapic *ioapic = &chips->ioapic;
	u32 bit;
	int pin;

	for (pin = 0; pin < MV_NR_PINS; pin++) {
		bit = BIT(pin);
		spin_lock_bh(&chips->vm->irq_lock);
		if (ioapic->s.irr & bit && (ioapic->s.redirtbl[pin].fields.trig_mode ||
					    !(ioapic->delivered & bit)))
			send(chips, pin);
		spin_unlock_bh(&chips->vm->irq_lock);
	}
}

/* The lines that are still up, after a pause: see eoi(). */
static void resend(struct work_struct *work)
{
	mv_ioapic_send_all(container_of(to_delayed_work(work), struct mv_irqchip, ioapic.resend));
}

static void eoi(struct mv_irqchip *chips, int pin, bool level)
{
	struct mv_ioapic *ioapic = &chips->ioapic;
	typeof(ioapic->s.redirtbl[0].fields) *rte = &ioapic->s.redirtbl[pin].fields;

	mv_pin_acked(chips, KVM_IRQCHIP_IOAPIC, pin);
	if (!level || !rte->trig_mode)
		return;

	rte->remote_irr = 0;
	if (rte->mask || !(ioapic->s.irr & BIT(pin))) {
		ioapic->storm[pin] = 0;
	} else if (++ioapic->storm[pin] < IOAPIC_STORM) {
		send(chips, pin);
	} else {
		/*
		 * A guest that does not quiet the device would only take
		 * interrupts: let it get on, if slowly.
		 */
		ioapic->storm[pin] = 0;
		schedule_delayed_work(&ioapic->resend, HZ / 100);
	}
}

void mv_ioapic_eoi(struct mv_lapic *lapic, u8 vector, bool level)
{
	struct mv_irqchip *chips = lapic->vcpu->vm->irqchip;
	typeof(chips->ioapic.s.redirtbl[0].fields) *rte;
	int pin;

	if (lapic_reg(lapic, APIC_SPIV) & APIC_SPIV_DIRECTED_EOI)
		level = false;
	/* One at a time, as in mv_ioapic_send_all(). */
	for (pin = 0; pin < MV_NR_PINS; pin++) {
		rte = &chips->ioapic.s.redirtbl[pin].fields;
		if (READ_ONCE(rte->vector) != vector)
			continue;
		spin_lock_bh(&chips->vm->irq_lock);
		if (rte->vector == vector)
			eoi(chips, pin, level);
		spin_unlock_bh(&chips->vm->irq_lock);
	}
}

/*
 * The vectors whose EOI matters: of level-triggered entries, and of the pins
 * whose acknowledgment somebody waits for.
 */
void mv_ioapic_update_eoi_vectors(struct mv_irqchip *chips)
{
	DECLARE_BITMAP(vectors, 256) = {};
	int pin;

	for (pin = 0; pin < MV_NR_PINS; pin++) {
		if (chips->ioapic.s.redirtbl[pin].fields.trig_mode ||
		    mv_pin_wants_ack(chips, KVM_IRQCHIP_IOAPIC, pin))
			__set_bit(chips->ioapic.s.redirtbl[pin].fields.vector, vectors);
	}
	mv_set_eoi_vectors(chips->vm, vectors);
}

/* ---- registers ------------------------------------------------------------ */

static u32 read_window(struct mv_ioapic *ioapic)
{
	u32 sel = ioapic->s.ioregsel, pin;
	u64 rte;

	switch (sel) {
	case IOAPIC_REG_VER:
		return IOAPIC_VERSION | (MV_NR_PINS - 1) << 16;
	case IOAPIC_REG_ID:
	case IOAPIC_REG_ARB:
		return (ioapic->s.id & 0xf) << 24;
	}
	pin = (sel - IOAPIC_REG_RTE) >> 1;
	if (pin >= MV_NR_PINS)
		return ~0u;
	rte = ioapic->s.redirtbl[array_index_nospec(pin, MV_NR_PINS)].bits;
	return sel & 1 ? rte >> 32 : rte;
}

static void write_rte(struct mv_irqchip *chips, u32 pin, bool high, u32 val)
{
	struct mv_ioapic *ioapic = &chips->ioapic;
	typeof(ioapic->s.redirtbl[0]) *rte = &ioapic->s.redirtbl[pin], new = *rte;

	if (high)
		new.bits = (u32)new.bits | (u64)val << 32;
	else
		new.bits = (new.bits & GENMASK_ULL(63, 32)) | val;
	new.fields.delivery_status = rte->fields.delivery_status;
	/*
	 * Remote IRR is read-only.  An edge-triggered entry has none: without
	 * an EOI register, turning an entry to edge and back is how system
	 * software ends a level-triggered interrupt by hand.
	 */
	new.fields.remote_irr = new.fields.trig_mode && rte->fields.remote_irr;
	swap(*rte, new);

	mv_ioapic_update_eoi_vectors(chips);
	if (new.fields.mask && !rte->fields.mask)
		mv_pin_unmasked(chips, KVM_IRQCHIP_IOAPIC, pin);
	if (rte->fields.trig_mode && ioapic->s.irr & BIT(pin))
		send(chips, pin);
}

static void write_window(struct mv_irqchip *chips, u32 val)
{
	u32 sel = chips->ioapic.s.ioregsel, pin = (sel - IOAPIC_REG_RTE) >> 1;

	if (sel == IOAPIC_REG_ID)
		chips->ioapic.s.id = val >> 24 & 0xf;
	else if (sel >= IOAPIC_REG_RTE && pin < MV_NR_PINS)
		write_rte(chips, array_index_nospec(pin, MV_NR_PINS), sel & 1, val);
}

static int ioapic_read(struct mv_io_device *dev, struct mv_vcpu *vcpu, u64 addr, int len,
		       void *data)
{
	struct mv_irqchip *chips = container_of(dev, struct mv_irqchip, ioapic.dev);
	u64 val = 0;

	spin_lock_bh(&chips->vm->irq_lock);
	switch (addr & 0xff) {
	case IOAPIC_REGSEL:
		val = chips->ioapic.s.ioregsel;
		break;
	case IOAPIC_WIN:
		val = read_window(&chips->ioapic);
		break;
	}
	spin_unlock_bh(&chips->vm->irq_lock);
	memcpy(data, &val, min_t(int, len, sizeof(val)));
	return 0;
}

static int ioapic_write(struct mv_io_device *dev, struct mv_vcpu *vcpu, u64 addr, int len,
			const void *data)
{
	struct mv_irqchip *chips = container_of(dev, struct mv_irqchip, ioapic.dev);
	u32 val = 0;

	memcpy(&val, data, min_t(int, len, sizeof(val)));
	spin_lock_bh(&chips->vm->irq_lock);
	switch (addr & 0xff) {
	case IOAPIC_REGSEL:
		chips->ioapic.s.ioregsel = val & 0xff;
		break;
	case IOAPIC_WIN:
		write_window(chips, val);
		break;
	}
	spin_unlock_bh(&chips->vm->irq_lock);
	return 0;
}

static const struct mv_io_ops ioapic_ops = { .read = ioapic_read, .write = ioapic_write };

/* ---- state ---------------------------------------------------------------- */

void mv_ioapic_init(struct mv_irqchip *chips)
{
	struct mv_ioapic *ioapic = &chips->ioapic;
	int pin;

	ioapic->dev.ops = &ioapic_ops;
	ioapic->s.base_address = IO_APIC_DEFAULT_PHYS_BASE;
	for (pin = 0; pin < MV_NR_PINS; pin++)
		ioapic->s.redirtbl[pin].fields.mask = 1;
	INIT_DELAYED_WORK(&ioapic->resend, resend);
}

void mv_ioapic_stop(struct mv_irqchip *chips)
{
	cancel_delayed_work_sync(&chips->ioapic.resend);
}

/* Lines whose edge has been sent are not up, for who restores this: it would come again. */
void mv_ioapic_get(struct mv_irqchip *chips, struct kvm_ioapic_state *s)
{
	*s = chips->ioapic.s;
	s->irr &= ~chips->ioapic.delivered;
}

void mv_ioapic_set(struct mv_irqchip *chips, const struct kvm_ioapic_state *s)
{
	mv_pit_state_replaced(chips);
	chips->ioapic.s = *s;
	chips->ioapic.delivered = 0;
	mv_ioapic_update_eoi_vectors(chips);
}
