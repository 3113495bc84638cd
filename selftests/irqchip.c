// SPDX-License-Identifier: GPL-2.0-only
/* The in-kernel interrupt controllers of a VM: PICs, IOAPIC, PIT, routing, messages. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "apic.h"
#include "test.h"

static int irq_line(struct vm *vm, u32 gsi, u32 level)
{
	struct kvm_irq_level line = { .irq = gsi, .level = level };

	IOCTL(vm->fd, KVM_IRQ_LINE_STATUS, &line);
	return line.status;
}

static void irq_pulse(struct vm *vm, u32 gsi)
{
	irq_line(vm, gsi, 1);
	irq_line(vm, gsi, 0);
}

static int send_msi(struct vm *vm, u32 address, u32 data)
{
	struct kvm_msi msi = { .address_lo = address, .data = data };

	return ioctl(vm->fd, KVM_SIGNAL_MSI, &msi);
}

static struct kvm_irqchip chip_state(struct vm *vm, u32 id)
{
	struct kvm_irqchip chip = { .chip_id = id };

	IOCTL(vm->fd, KVM_GET_IRQCHIP, &chip);
	return chip;
}

/* ---- creation ---- */

TEST(creation_errors)
{
	struct kvm_pit_config pit = {};
	struct kvm_irqchip chip = {};
	struct kvm_pit_state2 ps = {};
	struct kvm_irq_level line = {};
	struct vm *vm = vm_create();

	EXPECT_ERRNO(ENXIO, ioctl(vm->fd, KVM_IRQ_LINE, &line));
	EXPECT_ERRNO(ENXIO, ioctl(vm->fd, KVM_GET_IRQCHIP, &chip));
	EXPECT_ERRNO(ENXIO, ioctl(vm->fd, KVM_SET_IRQCHIP, &chip));
	EXPECT_ERRNO(ENXIO, ioctl(vm->fd, KVM_GET_PIT2, &ps));
	EXPECT_ERRNO(EINVAL, send_msi(vm, APIC_MMIO, 0x40));
	EXPECT_ERRNO(EINVAL, set_routing(vm, NULL, 0));
	IOCTL(vm->fd, KVM_CREATE_IRQCHIP, 0);
	EXPECT_ERRNO(EEXIST, ioctl(vm->fd, KVM_CREATE_IRQCHIP, 0));
	EXPECT_ERRNO(EFAULT, ioctl(vm->fd, KVM_CREATE_PIT2, 8));
	EXPECT_ERRNO(ENXIO, ioctl(vm->fd, KVM_SET_PIT2, &ps));
	IOCTL(vm->fd, KVM_CREATE_PIT2, &pit);
	EXPECT_ERRNO(EEXIST, ioctl(vm->fd, KVM_CREATE_PIT2, &pit));
	EXPECT_ERRNO(EEXIST, ioctl(vm->fd, KVM_CREATE_PIT, 0));
	chip.chip_id = 3;
	EXPECT_ERRNO(EINVAL, ioctl(vm->fd, KVM_GET_IRQCHIP, &chip));
	EXPECT_ERRNO(EFAULT, ioctl(vm->fd, KVM_SET_IRQCHIP, 8));

	vm = vm_create();
	vcpu_create(vm);
	EXPECT_ERRNO(EINVAL, ioctl(vm->fd, KVM_CREATE_IRQCHIP, 0));
}

/* ---- the PICs ---- */

#define PIC0 0x20
#define PIC1 0xa0
#define ELCR 0x4d0

static u8 seen[64];
static volatile u32 nr_seen;

static void note_vector(struct ex_frame *frame)
{
	seen[nr_seen++] = frame->vector;
}

static void init_pics(u8 icw4)
{
	static const u16 base[] = { PIC0, PIC1 };

	for (int i = 0; i < 2; i++) {
		outb(base[i], 0x11);
		outb(base[i] + 1, 0x20 + 8 * i);
		outb(base[i] + 1, i ? 2 : 4);
		outb(base[i] + 1, 1 | icw4);
		outb(base[i] + 1, 0);
	}
	for (int v = 0x20; v < 0x30; v++)
		guest_handlers[v] = note_vector;
}

/* Lets interrupts in; the vector that came, 0 for none. */
static u8 take_one(void)
{
	u32 n = nr_seen;

	asm volatile("sti; nop; cli" : : : "memory");
	GUEST_ASSERT(nr_seen <= n + 1);
	return nr_seen > n ? seen[n] : 0;
}

/* The host does what the guest asks for by GUEST_SYNC(). */
#define RAISE(gsi) GUEST_SYNC(0x100 | (gsi))
#define LOWER(gsi) GUEST_SYNC(0x200 | (gsi))
#define PULSE(gsi) GUEST_SYNC(0x300 | (gsi))

static void serve_lines(struct vcpu *vcpu)
{
	u32 call;

	while ((call = RUN_UCALL(vcpu)) == UCALL_SYNC) {
		u32 gsi = vcpu->args[0] & 0xff;

		switch (vcpu->args[0] >> 8) {
		case 1:
		case 2:
			irq_line(vcpu->vm, gsi, vcpu->args[0] >> 8 == 1);
			break;
		case 3:
			irq_pulse(vcpu->vm, gsi);
			break;
		}
	}
	if (call != UCALL_DONE)
		FAIL("ucall %u", call);
}

static void pic_priorities(void)
{
	init_pics(0);
	PULSE(7);
	PULSE(3);
	PULSE(12);
	outb(PIC0, 0x0a);
	GUEST_ASSERT_EQ(inb(PIC0) & ~4, 0x88);
	/* The slave comes in place of line 2. */
	GUEST_ASSERT_EQ(take_one(), 0x2c);
	GUEST_ASSERT_EQ(take_one(), 0); /* nothing of higher priority */
	PULSE(1);
	GUEST_ASSERT_EQ(take_one(), 0x21);
	outb(PIC0, 0x0b);
	GUEST_ASSERT_EQ(inb(PIC0), 0x06);
	outb(PIC0, 0x20); /* of 1 */
	GUEST_ASSERT_EQ(inb(PIC0), 0x04);
	GUEST_ASSERT_EQ(take_one(), 0);
	outb(PIC1, 0x20);
	outb(PIC0, 0x62); /* specific, of 2 */
	GUEST_ASSERT_EQ(take_one(), 0x23);
	outb(PIC0, 0x20);
	GUEST_ASSERT_EQ(take_one(), 0x27);
	outb(PIC0, 0x20);
	GUEST_ASSERT_EQ(take_one(), 0);

	/* Masked until it is unmasked; an edge waits. */
	outb(PIC0 + 1, 0x10);
	GUEST_ASSERT_EQ(inb(PIC0 + 1), 0x10);
	PULSE(4);
	GUEST_ASSERT_EQ(take_one(), 0);
	outb(PIC0 + 1, 0);
	GUEST_ASSERT_EQ(take_one(), 0x24);
	outb(PIC0, 0x20);

	/* Rotation: 4 ends and is the lowest, so 5 is the highest. */
	PULSE(4);
	GUEST_ASSERT_EQ(take_one(), 0x24);
	outb(PIC0, 0xa0);
	PULSE(3);
	PULSE(5);
	GUEST_ASSERT_EQ(take_one(), 0x25);
	outb(PIC0, 0x20);
	GUEST_ASSERT_EQ(take_one(), 0x23);
	outb(PIC0, 0x20);
	GUEST_DONE();
}

TEST(pic_priorities_and_eoi)
{
	serve_lines(vcpu_add(vm_create_with_irqchip(), pic_priorities));
}

static void pic_level(void)
{
	u8 late;

	init_pics(0);
	/* Edge: high is not again. */
	RAISE(5);
	GUEST_ASSERT_EQ(take_one(), 0x25);
	outb(PIC0, 0x20);
	GUEST_ASSERT_EQ(take_one(), 0);
	LOWER(5);
	/* Level: until it is low. Lines 0 to 2, 8 and 13 are always edge. */
	outb(ELCR, 0xff);
	outb(ELCR + 1, 0xff);
	GUEST_ASSERT_EQ(inb(ELCR), 0xf8);
	GUEST_ASSERT_EQ(inb(ELCR + 1), 0xde);
	RAISE(11);
	for (int i = 0; i < 3; i++) {
		GUEST_ASSERT_EQ(take_one(), 0x2b);
		outb(PIC1, 0x20);
		outb(PIC0, 0x20);
	}
	/* Lowered too late: the master may have heard of it already. */
	LOWER(11);
	late = take_one();
	GUEST_ASSERT(late == 0 || late == 0x2f);
	outb(PIC0, 0x20);

	/* Automatic EOI: nothing stays in service. */
	outb(ELCR + 1, 0);
	outb(ELCR, 0);
	init_pics(2);
	PULSE(6);
	GUEST_ASSERT_EQ(take_one(), 0x26);
	PULSE(7);
	GUEST_ASSERT_EQ(take_one(), 0x27);
	outb(PIC0, 0x0b);
	GUEST_ASSERT_EQ(inb(PIC0), 0);
	GUEST_DONE();
}

TEST(pic_level_triggered_and_automatic_eoi)
{
	serve_lines(vcpu_add(vm_create_with_irqchip(), pic_level));
}

static void pic_by_lint0(void)
{
	init_pics(0);
	xapic_write(APIC_SPIV, SPIV_ON);
	/* ExtINT does not care for the task priority, and is not in service here. */
	xapic_write(APIC_LVT0, 0x700);
	xapic_write(APIC_TPR, 0xf0);
	PULSE(3);
	GUEST_ASSERT_EQ(take_one(), 0x23);
	GUEST_ASSERT_EQ(xapic_read(APIC_ISR + 0x10), 0);
	outb(PIC0, 0x20);
	/* Without the APIC the PIC is wired to the processor. */
	xapic_write(APIC_LVT0, LVT_MASKED);
	wrmsr(APIC_BASE_MSR, rdmsr(APIC_BASE_MSR) & ~APIC_BASE_ENABLE);
	PULSE(4);
	GUEST_ASSERT_EQ(take_one(), 0x24);
	outb(PIC0, 0x20);
	wrmsr(APIC_BASE_MSR, rdmsr(APIC_BASE_MSR) | APIC_BASE_ENABLE);
	xapic_write(APIC_LVT0, LVT_MASKED | 0x700);
	PULSE(3);
	GUEST_ASSERT_EQ(take_one(), 0);
	GUEST_DONE();
}

TEST(pic_reaches_the_processor_by_lint0)
{
	serve_lines(vcpu_add(vm_create_with_irqchip(), pic_by_lint0));
}

/* ---- the IOAPIC ---- */

static void ioapic_guest(void)
{
	GUEST_ASSERT_EQ(ioapic_read(1), 0x170011);
	GUEST_ASSERT_EQ(ioapic_read(0), 0);
	ioapic_write(0, 0xff000000);
	GUEST_ASSERT_EQ(ioapic_read(0), 0x0f000000);
	for (int pin = 0; pin < 24; pin++)
		GUEST_ASSERT_EQ(ioapic_read(RTE(pin)), RTE_MASKED);
	GUEST_ASSERT_EQ(ioapic_read(RTE(24)), 0xffffffff);

	xapic_write(APIC_SPIV, SPIV_ON);
	xapic_write(APIC_LVT0, LVT_MASKED);
	for (int v = 0x30; v < 0x100; v++)
		guest_handlers[v] = note_vector;

	/* Edge: once for each, and not while masked. */
	PULSE(20);
	ioapic_write(RTE(20), 0x74);
	GUEST_ASSERT_EQ(take_one(), 0);
	RAISE(20);
	GUEST_ASSERT_EQ(take_one(), 0x74);
	GUEST_ASSERT_EQ(xapic_read(APIC_TMR + 0x30), 0);
	xapic_write(APIC_EOI, 0);
	GUEST_ASSERT_EQ(take_one(), 0);
	LOWER(20);
	PULSE(20);
	GUEST_ASSERT_EQ(take_one(), 0x74);
	xapic_write(APIC_EOI, 0);

	/* Level: remote IRR until the EOI, then again while it is up. */
	ioapic_write(RTE(21), 0x85 | RTE_LEVEL);
	RAISE(21);
	GUEST_ASSERT_EQ(ioapic_read(RTE(21)), 0x85 | RTE_LEVEL | RTE_REMOTE_IRR);
	for (int i = 0; i < 3; i++) {
		GUEST_ASSERT_EQ(take_one(), 0x85);
		GUEST_ASSERT_EQ(xapic_read(APIC_TMR + 0x40), 1 << 5);
		xapic_write(APIC_EOI, 0);
	}
	GUEST_ASSERT_EQ(take_one(), 0x85);
	LOWER(21);
	xapic_write(APIC_EOI, 0);
	GUEST_ASSERT_EQ(ioapic_read(RTE(21)), 0x85 | RTE_LEVEL);
	GUEST_ASSERT_EQ(take_one(), 0);
	/* Masked while up, it comes when it is unmasked. */
	ioapic_write(RTE(21), 0x85 | RTE_LEVEL | RTE_MASKED);
	RAISE(21);
	GUEST_ASSERT_EQ(take_one(), 0);
	ioapic_write(RTE(21), 0x85 | RTE_LEVEL);
	GUEST_ASSERT_EQ(take_one(), 0x85);
	/* Turned to edge and back, as old systems end an interrupt by hand. */
	ioapic_write(RTE(21), 0x85 | RTE_MASKED);
	GUEST_ASSERT_EQ(ioapic_read(RTE(21)), 0x85 | RTE_MASKED);
	LOWER(21);
	xapic_write(APIC_EOI, 0);

	/* To nobody. */
	ioapic_write(RTE(22) + 1, 7u << 24);
	ioapic_write(RTE(22), 0x86);
	PULSE(22);
	GUEST_ASSERT_EQ(take_one(), 0);
	/* By logical destination, with the lowest priority. */
	xapic_write(APIC_LDR, 4u << 24);
	ioapic_write(RTE(22) + 1, 0xcu << 24);
	ioapic_write(RTE(22), 0x986);
	PULSE(22);
	GUEST_ASSERT_EQ(take_one(), 0x86);
	xapic_write(APIC_EOI, 0);
	GUEST_DONE();
}

TEST(ioapic)
{
	serve_lines(vcpu_add(vm_create_with_irqchip(), ioapic_guest));
}

static void storm(void)
{
	xapic_write(APIC_SPIV, SPIV_ON);
	xapic_write(APIC_LVT0, LVT_MASKED);
	guest_handlers[0x85] = note_vector;
	ioapic_write(RTE(21), 0x85 | RTE_LEVEL);
	RAISE(21);
	for (int i = 0; i < 10100; i++) {
		nr_seen = 0;
		asm volatile("sti; nop; cli" : : : "memory");
		xapic_write(APIC_EOI, 0);
	}
	LOWER(21);
	GUEST_DONE();
}

TEST(a_line_that_nobody_lowers_does_not_hang_the_guest)
{
	serve_lines(vcpu_add(vm_create_with_irqchip(), storm));
}

TEST(line_status)
{
	struct vm *vm = vm_create_with_irqchip();
	struct kvm_irqchip chip = chip_state(vm, KVM_IRQCHIP_IOAPIC);

	vcpu_create(vm);
	/* Masked; then an edge that is taken, and one that is not seen. */
	EXPECT_GT(0, irq_line(vm, 20, 1));
	irq_line(vm, 20, 0);
	chip.chip.ioapic.redirtbl[20].bits = 0x55;
	IOCTL(vm->fd, KVM_SET_IRQCHIP, &chip);
	EXPECT_LE(0, irq_line(vm, 20, 1));
	EXPECT_EQ(0, irq_line(vm, 20, 1));
	irq_line(vm, 20, 0);
	EXPECT_GT(0, irq_line(vm, 500, 1));
}

TEST(chip_state_round_trip)
{
	struct vm *vm = vm_create_with_irqchip();
	struct kvm_irqchip a, b;

	for (u32 id = 0; id < 3; id++) {
		a = chip_state(vm, id);
		if (id == KVM_IRQCHIP_IOAPIC) {
			EXPECT_EQ(IOAPIC_MMIO, a.chip.ioapic.base_address);
			a.chip.ioapic.ioregsel = 0x12;
			a.chip.ioapic.id = 5;
			a.chip.ioapic.redirtbl[3].bits = 0x0300000000018033;
		} else {
			a.chip.pic.imr = 0xa5;
			a.chip.pic.irq_base = 0x70;
			a.chip.pic.elcr = 0x20;
			a.chip.pic.priority_add = 3;
		}
		IOCTL(vm->fd, KVM_SET_IRQCHIP, &a);
		b = chip_state(vm, id);
		EXPECT_EQ(0, memcmp(&a, &b, sizeof(a)));
	}
}

/* ---- messages and routes ---- */

TEST(messages)
{
	struct vm *vm = vm_create_with_irqchip();
	struct vcpu *vcpu[2] = { vcpu_create(vm), vcpu_create(vm) };
	struct kvm_lapic_state s;

	for (int i = 0; i < 2; i++) {
		s = lapic_state(vcpu[i]);
		*lapic_reg(&s, APIC_SPIV) = SPIV_ON;
		*lapic_reg(&s, APIC_LDR) = 1u << (24 + i);
		IOCTL(vcpu[i]->fd, KVM_SET_LAPIC, &s);
	}
	EXPECT_EQ(1, send_msi(vm, APIC_MMIO | 1 << 12, 0x41));
	EXPECT_FALSE(lapic_requested(vcpu[0], 0x41));
	EXPECT_TRUE(lapic_requested(vcpu[1], 0x41));
	EXPECT_EQ(2, send_msi(vm, APIC_MMIO | 0xff << 12, 0x42));
	EXPECT_TRUE(lapic_requested(vcpu[0], 0x42));
	EXPECT_EQ(2, send_msi(vm, APIC_MMIO | 3 << 12 | 4, 0x43));
	EXPECT_EQ(1, send_msi(vm, APIC_MMIO | 3 << 12 | 4, 0x144)); /* lowest priority */
	EXPECT_EQ(1, lapic_requested(vcpu[0], 0x44) + lapic_requested(vcpu[1], 0x44));
	EXPECT_EQ(0, send_msi(vm, APIC_MMIO | 9 << 12, 0x45));
}

TEST(routes)
{
	struct vm *vm = vm_create_with_irqchip();
	struct vcpu *vcpu = vcpu_create(vm);
	struct kvm_irq_routing_entry e[2];
	struct kvm_lapic_state s = lapic_state(vcpu);

	*lapic_reg(&s, APIC_SPIV) = SPIV_ON;
	IOCTL(vcpu->fd, KVM_SET_LAPIC, &s);
	EXPECT_LT(1, has_cap(vm->fd, KVM_CAP_IRQ_ROUTING));

	/* A GSI leads to one message, or to one pin of each chip. */
	e[0] = msi_route(30, APIC_MMIO, 0x51);
	e[1] = pin_route(31, KVM_IRQCHIP_PIC_SLAVE, 3);
	EXPECT_EQ(0, set_routing(vm, e, 2));
	EXPECT_LT(0, irq_line(vm, 30, 1));
	EXPECT_TRUE(lapic_requested(vcpu, 0x51));
	irq_pulse(vm, 31);
	EXPECT_EQ(1 << 3, chip_state(vm, KVM_IRQCHIP_PIC_SLAVE).chip.pic.irr);
	/* What was there before is gone. */
	EXPECT_GT(0, irq_line(vm, 4, 1));

	e[1] = msi_route(30, APIC_MMIO, 0x52);
	EXPECT_ERRNO(EINVAL, set_routing(vm, e, 2));
	e[1] = pin_route(30, KVM_IRQCHIP_IOAPIC, 3);
	EXPECT_ERRNO(EINVAL, set_routing(vm, e, 2));
	e[0] = pin_route(30, KVM_IRQCHIP_IOAPIC, 4);
	EXPECT_ERRNO(EINVAL, set_routing(vm, e, 2));
	e[0] = pin_route(30, KVM_IRQCHIP_PIC_MASTER, 4);
	EXPECT_EQ(0, set_routing(vm, e, 2));
	e[0] = pin_route(30, KVM_IRQCHIP_PIC_MASTER, 8);
	EXPECT_ERRNO(EINVAL, set_routing(vm, e, 1));
	e[0] = pin_route(30, KVM_IRQCHIP_IOAPIC, 24);
	EXPECT_ERRNO(EINVAL, set_routing(vm, e, 1));
	e[0] = pin_route(30, 3, 0);
	EXPECT_ERRNO(EINVAL, set_routing(vm, e, 1));
	e[0] = pin_route(has_cap(vm->fd, KVM_CAP_IRQ_ROUTING), KVM_IRQCHIP_IOAPIC, 0);
	EXPECT_ERRNO(EINVAL, set_routing(vm, e, 1));
	e[0] = pin_route(1, KVM_IRQCHIP_IOAPIC, 0);
	e[0].flags = 1;
	EXPECT_ERRNO(EINVAL, set_routing(vm, e, 1));
	e[0] = pin_route(1, KVM_IRQCHIP_IOAPIC, 0);
	e[0].type = 77;
	EXPECT_ERRNO(EINVAL, set_routing(vm, e, 1));
}

/* ---- the PIT ---- */

#define PIT_HZ 1193182

static u32 latched_count(int channel)
{
	u32 low;

	outb(0x43, channel << 6);
	low = inb(0x40 + channel);
	return low | inb(0x40 + channel) << 8;
}

static void load_count(int channel, int mode, u16 count)
{
	outb(0x43, channel << 6 | 0x30 | mode << 1);
	outb(0x40 + channel, count);
	outb(0x40 + channel, count >> 8);
}

static void tick_handler(struct ex_frame *frame __attribute__((unused)))
{
	nr_seen++;
	outb(PIC0, 0x20);
}

static void sleep_until(u32 n)
{
	while (nr_seen < n)
		asm volatile("sti; hlt; cli" : : : "memory");
}

static void pit_guest(void)
{
	u32 count;

	init_pics(0);
	guest_handlers[0x20] = tick_handler;
	outb(PIC0 + 1, 0xfe);
	/* One shot, then periodic. */
	load_count(0, 0, PIT_HZ / 200);
	sleep_until(1);
	load_count(0, 2, PIT_HZ / 200);
	sleep_until(4);
	load_count(0, 3, PIT_HZ / 200);
	sleep_until(8);
	outb(PIC0 + 1, 0xff);

	/* Counting down, and what is latched does not move. */
	load_count(2, 0, 0xffff);
	count = latched_count(2);
	GUEST_ASSERT(latched_count(2) < count);
	outb(0x43, 0xc8); /* read-back: count and status of channel 2 */
	count = inb(0x42);
	GUEST_ASSERT_EQ(count & 0x3f, 0x30);
	count = inb(0x42);
	count |= inb(0x42) << 8;
	GUEST_ASSERT(latched_count(2) < count);

	/* The speaker's port: the gate starts mode 1 anew, OUT follows. */
	outb(0x61, 0);
	load_count(2, 1, PIT_HZ / 500);
	outb(0x61, 1);
	GUEST_ASSERT_EQ(inb(0x61) & 3, 1);
	outb(0x61, 3);
	GUEST_ASSERT_EQ(inb(0x61) & 3, 3);
	load_count(2, 0, PIT_HZ / 500);
	for (int i = 0; !(inb(0x61) & 0x20); i++)
		GUEST_ASSERT_NE(i, 100000000);
	GUEST_DONE();
}

TEST(pit)
{
	struct kvm_pit_config config = { .flags = KVM_PIT_SPEAKER_DUMMY };
	struct vm *vm = vm_create_with_irqchip();

	IOCTL(vm->fd, KVM_CREATE_PIT2, &config);
	RUN_DONE(vcpu_add(vm, pit_guest));
}

#define OWED 100 /* in 200 ms */
static u32 patience; /* set before the guest is made */

static void slow_guest(void)
{
	init_pics(0);
	guest_handlers[0x20] = tick_handler;
	outb(PIC0 + 1, 0xfe);
	load_count(0, 2, PIT_HZ / 500);
	GUEST_SYNC(0);
	/* The ticks that are owed come one after the other. */
	sti();
	for (u32 i = 0; i < patience && nr_seen < OWED; i++)
		inb(PIC0);
	cli();
	GUEST_SYNC(nr_seen);
}

static u64 ticks_after_a_pause(bool reinject)
{
	struct kvm_reinject_control control = { .pit_reinject = reinject };
	struct kvm_pit_config config = {};
	struct vm *vm = vm_create_with_irqchip();
	struct vcpu *vcpu;

	IOCTL(vm->fd, KVM_CREATE_PIT2, &config);
	IOCTL(vm->fd, KVM_REINJECT_CONTROL, &control);
	vcpu = vcpu_add(vm, slow_guest);
	RUN_SYNC(vcpu);
	usleep(OWED * 2000);
	return RUN_SYNC(vcpu);
}

TEST(pit_makes_up_for_missed_ticks)
{
	patience = 10000;
	EXPECT_LE(OWED, ticks_after_a_pause(true));
	patience = 50;
	EXPECT_GT(OWED / 2, ticks_after_a_pause(false));
}

static bool by_ioapic; /* set before the guest is made */

static void guest_with_tick(void)
{
	const u8 vector = by_ioapic ? 0x60 : 0x20;

	init_pics(0);
	guest_handlers[vector] = tick_handler;
	enable_x2apic();
	outb(PIC0 + 1, by_ioapic ? 0xff : 0xfe);
	ioapic_write(RTE(0) + 1, 0);
	ioapic_write(RTE(0), by_ioapic ? vector : RTE_MASKED);
	GUEST_SYNC(0);
	load_count(0, 2, PIT_HZ / 500);
	GUEST_SYNC(0);
	sti();
	for (u32 i = 0; i < patience && !nr_seen; i++)
		inb(PIC0);
	cli();
	GUEST_SYNC(nr_seen);
}

/*
 * A VMM goes back to a state without the tick that is on its way, whose end the
 * PIT waits for. Which of its ioctls comes last is its own choice.
 */
TEST(ticks_go_on_in_a_state_of_before)
{
	struct kvm_pit_config config = {};
	struct kvm_irqchip pic;
	struct kvm_lapic_state lapic;

	if (!is_minivirt())
		SKIP(return, "KVM's ticks stop then");
	patience = 10000;
	for (int i = 0; i < 2; i++) {
		struct vm *vm;
		struct vcpu *vcpu;

		by_ioapic = i;
		vm = vm_create_with_irqchip();
		IOCTL(vm->fd, KVM_CREATE_PIT2, &config);
		vcpu = vcpu_add(vm, guest_with_tick);
		RUN_SYNC(vcpu);
		pic = chip_state(vm, KVM_IRQCHIP_PIC_MASTER);
		lapic = lapic_state(vcpu);
		RUN_SYNC(vcpu);
		while (by_ioapic ? !lapic_requested(vcpu, 0x60) :
				   !(chip_state(vm, KVM_IRQCHIP_PIC_MASTER).chip.pic.irr & 1))
			usleep(100);
		if (by_ioapic)
			IOCTL(vcpu->fd, KVM_SET_LAPIC, &lapic);
		else
			IOCTL(vm->fd, KVM_SET_IRQCHIP, &pic);
		EXPECT_NE(0, RUN_SYNC(vcpu));
	}
}

TEST(pit_state_round_trip)
{
	struct kvm_pit_config config = {};
	struct vm *vm = vm_create_with_irqchip();
	struct kvm_pit_state2 a, b;
	struct kvm_pit_state old;

	IOCTL(vm->fd, KVM_CREATE_PIT2, &config);
	IOCTL(vm->fd, KVM_GET_PIT2, &a);
	for (int i = 0; i < 3; i++)
		EXPECT_EQ(0x10000, a.channels[i].count);
	EXPECT_EQ(1, a.channels[0].gate);
	EXPECT_EQ(0, a.channels[2].gate);
	a.channels[2].count = 0x1234;
	a.channels[2].mode = 3;
	a.channels[2].rw_mode = 3;
	a.channels[2].gate = 1;
	IOCTL(vm->fd, KVM_SET_PIT2, &a);
	IOCTL(vm->fd, KVM_GET_PIT2, &b);
	EXPECT_EQ(0x1234, b.channels[2].count);
	EXPECT_EQ(3, b.channels[2].mode);
	EXPECT_EQ(1, b.channels[2].gate);
	IOCTL(vm->fd, KVM_GET_PIT, &old);
	EXPECT_EQ(0x1234, old.channels[2].count);
	old.channels[1].count = 0; /* the longest */
	IOCTL(vm->fd, KVM_SET_PIT, &old);
	IOCTL(vm->fd, KVM_GET_PIT2, &b);
	EXPECT_EQ(0x10000, b.channels[1].count);
}

TEST_MAIN
