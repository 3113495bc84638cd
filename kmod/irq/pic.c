// SPDX-License-Identifier: GPL-2.0-only
/*
 * Two 8259A interrupt controllers, the slave on the master's IR2, and the
 * edge/level control registers: Intel 8259A data sheet, 231468-003.
 *
 * Pin numbers 0 to 15 run through both chips; line numbers are of one.
 */
#include "base/request.h"
#include "irq/chips.h"
#include "irq/irq.h"

#define PIC_MASTER KVM_IRQCHIP_PIC_MASTER
#define PIC_SLAVE KVM_IRQCHIP_PIC_SLAVE
#define PIC_CASCADE 2 /* the master's line from the slave */
#define PIC_SPURIOUS 7

/* kvm_pic_state.init_state: which initialization word comes next. */
enum { PIC_READY, PIC_ICW2, PIC_ICW3, PIC_ICW4 };

/* OCW2, the bits 7:5. */
#define OCW2_EOI BIT(0)
#define OCW2_SPECIFIC BIT(1)
#define OCW2_ROTATE BIT(2)

static int chip_id(struct mv_irqchip *chips, struct kvm_pic_state *chip)
{
	return chip - chips->pic.chip;
}

/* The line of highest priority in @lines; -1: none. */
static int highest(struct kvm_pic_state *chip, u8 lines)
{
	unsigned int turned = (lines | lines << 8) >> (chip->priority_add & 7) & 0xff;

	return turned ? (__ffs(turned) + chip->priority_add) & 7 : -1;
}

/* How far @line is from the highest priority; 8: below all, for line -1. */
static int rank(struct kvm_pic_state *chip, int line)
{
	return line < 0 ? 8 : (line - chip->priority_add) & 7;
}

/* Data sheet, "Special Mask Mode": what is masked does not count as in service. */
static u8 in_service(struct kvm_pic_state *chip)
{
	return chip->special_mask ? chip->isr & ~chip->imr : chip->isr;
}

/* The line for which the chip holds its INT output up; -1: it is down. */
static int requesting(struct mv_pic *pic, struct kvm_pic_state *chip)
{
	u8 busy = in_service(chip);
	int line = highest(chip, chip->irr & ~chip->imr);

	/* Data sheet, "Special Fully Nested Mode". */
	if (chip->special_fully_nested_mode && chip == &pic->chip[PIC_MASTER])
		busy &= ~BIT(PIC_CASCADE);
	return rank(chip, line) < rank(chip, highest(chip, busy)) ? line : -1;
}

/* Returns 0 if the request had been there already, -1 if it is masked, else 1. */
static int set_line(struct kvm_pic_state *chip, int line, bool level)
{
	u8 bit = BIT(line);
	int ret = 1;

	if (level) {
		if (chip->elcr & bit || !(chip->last_irr & bit)) {
			ret = !(chip->irr & bit);
			chip->irr |= bit;
		}
		chip->last_irr |= bit;
	} else {
		if (chip->elcr & bit)
			chip->irr &= ~bit;
		chip->last_irr &= ~bit;
	}
	return chip->imr & bit ? -1 : ret;
}

/* After any change: the slave's output to the master, the master's to a vCPU. */
static void update_output(struct mv_irqchip *chips)
{
	struct mv_pic *pic = &chips->pic;
	struct kvm_pic_state *master = &pic->chip[PIC_MASTER];
	struct mv_vcpu *vcpu;
	bool was = pic->output;
	int i;

	master->irr &= ~BIT(PIC_CASCADE);
	if (requesting(pic, &pic->chip[PIC_SLAVE]) >= 0)
		master->irr |= BIT(PIC_CASCADE);
	WRITE_ONCE(pic->output, requesting(pic, master) >= 0);
	if (was || !pic->output)
		return;

	mv_for_each_vcpu(i, vcpu, chips->vm) {
		if (mv_lapic_takes_pic(vcpu)) {
			mv_request(vcpu, MV_REQ_EVENT);
			mv_vcpu_kick(vcpu);
			break;
		}
	}
}

int mv_pic_set_irq(struct mv_irqchip *chips, int pin, int source, int level)
{
	struct mv_pic *pic = &chips->pic;
	int ret;

	__assign_bit(source, &pic->states[pin], level);
	ret = set_line(&pic->chip[pin >> 3], pin & 7, pic->states[pin]);
	update_output(chips);
	return ret;
}

static void end_of_interrupt(struct mv_irqchip *chips, struct kvm_pic_state *chip, int line)
{
	chip->isr &= ~BIT(line);
	mv_pin_acked(chips, chip_id(chips, chip), line);
}

static void acknowledge(struct mv_irqchip *chips, struct kvm_pic_state *chip, int line)
{
	chip->isr |= BIT(line);
	if (!(chip->elcr & BIT(line)))
		chip->irr &= ~BIT(line);
	if (chip->auto_eoi) {
		if (chip->rotate_on_auto_eoi)
			chip->priority_add = (line + 1) & 7;
		end_of_interrupt(chips, chip, line);
	}
}

/* The acknowledge cycle of one chip; returns the line, the spurious one if it has none. */
static int take_line(struct mv_irqchip *chips, struct kvm_pic_state *chip)
{
	int line = requesting(&chips->pic, chip);

	if (line < 0)
		return PIC_SPURIOUS;
	acknowledge(chips, chip, line);
	return line;
}

int mv_pic_take(struct mv_vm *vm)
{
	struct mv_irqchip *chips = vm->irqchip;
	struct kvm_pic_state *chip = chips->pic.chip;
	bool cascade;
	int line;

	spin_lock_bh(&vm->irq_lock);
	WRITE_ONCE(chips->pic.output, false);
	cascade = requesting(&chips->pic, chip) == PIC_CASCADE;
	line = take_line(chips, chip);
	if (cascade) {
		chip = &chips->pic.chip[PIC_SLAVE];
		line = take_line(chips, chip);
	}
	update_output(chips);
	spin_unlock_bh(&vm->irq_lock);
	return chip->irq_base + line;
}

static void initialize(struct mv_irqchip *chips, struct kvm_pic_state *chip, u8 icw1)
{
	unsigned long dropped = chip->irr & ~chip->elcr;
	int line;

	chip->init4 = icw1 & 1;
	chip->last_irr = 0;
	chip->irr &= chip->elcr;
	chip->imr = 0;
	chip->priority_add = 0;
	chip->special_mask = 0;
	chip->read_reg_select = 0;
	chip->poll = 0;
	if (!chip->init4) {
		chip->special_fully_nested_mode = 0;
		chip->auto_eoi = 0;
	}
	chip->init_state = PIC_ICW2;

	/* Nobody will end what was dropped; who waits for that may go on. */
	for_each_set_bit(line, &dropped, 8)
		end_of_interrupt(chips, chip, line);
}

static void write_ocw2(struct mv_irqchip *chips, struct kvm_pic_state *chip, u8 val)
{
	u8 cmd = val >> 5;
	int line = cmd & OCW2_SPECIFIC ? val & 7 : highest(chip, in_service(chip));

	if (!(cmd & (OCW2_EOI | OCW2_SPECIFIC))) {
		chip->rotate_on_auto_eoi = !!(cmd & OCW2_ROTATE);
		return;
	}
	if (cmd == OCW2_SPECIFIC || line < 0)
		return;
	if (cmd & OCW2_ROTATE)
		chip->priority_add = (line + 1) & 7;
	if (cmd & OCW2_EOI)
		end_of_interrupt(chips, chip, line);
}

static void write_ocw3(struct kvm_pic_state *chip, u8 val)
{
	if (val & 0x04)
		chip->poll = 1;
	if (val & 0x02)
		chip->read_reg_select = val & 1;
	if (val & 0x40)
		chip->special_mask = val >> 5 & 1;
}

static void write_imr(struct mv_irqchip *chips, struct kvm_pic_state *chip, u8 val)
{
	unsigned long unmasked = chip->imr & ~val;
	int line;

	chip->imr = val;
	for_each_set_bit(line, &unmasked, 8)
		mv_pin_unmasked(chips, chip_id(chips, chip), line);
}

static void write_data(struct mv_irqchip *chips, struct kvm_pic_state *chip, u8 val)
{
	switch (chip->init_state) {
	case PIC_ICW2:
		chip->irq_base = val & 0xf8;
		chip->init_state = PIC_ICW3;
		break;
	case PIC_ICW3:
		/* The wiring is fixed. */
		chip->init_state = chip->init4 ? PIC_ICW4 : PIC_READY;
		break;
	case PIC_ICW4:
		chip->special_fully_nested_mode = val >> 4 & 1;
		chip->auto_eoi = val >> 1 & 1;
		chip->init_state = PIC_READY;
		break;
	default:
		write_imr(chips, chip, val);
		break;
	}
}

/* Data sheet, "Poll Command": the read is the acknowledge cycle. */
static u8 poll(struct mv_irqchip *chips, struct kvm_pic_state *chip)
{
	int line = requesting(&chips->pic, chip);

	chip->poll = 0;
	if (line < 0)
		return 0;
	acknowledge(chips, chip, line);
	update_output(chips);
	return 0x80 | line;
}

/* ---- ports ---------------------------------------------------------------- */

static u8 read_port(struct mv_irqchip *chips, u64 port)
{
	struct kvm_pic_state *chip = &chips->pic.chip[port >> 7 & 1];

	switch (port) {
	case 0x4d0:
	case 0x4d1:
		return chips->pic.chip[port & 1].elcr;
	default:
		if (chip->poll)
			return poll(chips, chip);
		if (port & 1)
			return chip->imr;
		return chip->read_reg_select ? chip->isr : chip->irr;
	}
}

static void write_port(struct mv_irqchip *chips, u64 port, u8 val)
{
	struct kvm_pic_state *chip = &chips->pic.chip[port >> 7 & 1];

	switch (port) {
	case 0x4d0:
	case 0x4d1:
		chip = &chips->pic.chip[port & 1];
		chip->elcr = val & chip->elcr_mask;
		break;
	case 0x20:
	case 0xa0:
		if (val & 0x10)
			initialize(chips, chip, val);
		else if (val & 0x08)
			write_ocw3(chip, val);
		else
			write_ocw2(chips, chip, val);
		break;
	default:
		write_data(chips, chip, val);
		break;
	}
}

static int pic_read(struct mv_io_device *dev, struct mv_vcpu *vcpu, u64 port, int len, void *data)
{
	struct mv_irqchip *chips = container_of(dev, struct mv_irqchip, pic.dev);

	if (len != 1)
		return 0;
	spin_lock_bh(&chips->vm->irq_lock);
	*(u8 *)data = read_port(chips, port);
	spin_unlock_bh(&chips->vm->irq_lock);
	return 0;
}

static int pic_write(struct mv_io_device *dev, struct mv_vcpu *vcpu, u64 port, int len,
		     const void *data)
{
	struct mv_irqchip *chips = container_of(dev, struct mv_irqchip, pic.dev);

	if (len != 1)
		return 0;
	spin_lock_bh(&chips->vm->irq_lock);
	write_port(chips, port, *(const u8 *)data);
	update_output(chips);
	spin_unlock_bh(&chips->vm->irq_lock);
	return 0;
}

static const struct mv_io_ops pic_ops = { .read = pic_read, .write = pic_write };

void mv_pic_init(struct mv_irqchip *chips)
{
	chips->pic.dev.ops = &pic_ops;
	/* Lines 0 to 2, 8 and 13 are of the chip set itself and always edge-triggered. */
	chips->pic.chip[PIC_MASTER].elcr_mask = 0xf8;
	chips->pic.chip[PIC_SLAVE].elcr_mask = 0xde;
}

void mv_pic_get(struct mv_irqchip *chips, int id, struct kvm_pic_state *s)
{
	*s = chips->pic.chip[id];
}

void mv_pic_set(struct mv_irqchip *chips, int id, const struct kvm_pic_state *s)
{
	chips->pic.chip[id] = *s;
	update_output(chips);
	mv_pit_state_replaced(chips);
}
