// SPDX-License-Identifier: GPL-2.0-only
/* Local APICs in the kernel, the PIC and the IOAPIC in userspace; and 32-bit APIC IDs. */
#include <fcntl.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "apic.h"
#include "test.h"

#define NR_PINS 24

static int enable_cap(struct vm *vm, u32 cap, u64 arg)
{
	struct kvm_enable_cap c = { .cap = cap, .args = { arg } };

	return ioctl(vm->fd, KVM_ENABLE_CAP, &c);
}

static void split(struct vm *vm)
{
	if (enable_cap(vm, KVM_CAP_SPLIT_IRQCHIP, NR_PINS))
		FAIL("KVM_CAP_SPLIT_IRQCHIP: %s", strerror(errno));
}

static int irq_line(struct vm *vm, u32 gsi, u32 level)
{
	struct kvm_irq_level line = { .irq = gsi, .level = level };

	return ioctl(vm->fd, KVM_IRQ_LINE, &line);
}

static int interrupt(struct vcpu *vcpu, u32 vector)
{
	struct kvm_interrupt irq = { .irq = vector };

	return ioctl(vcpu->fd, KVM_INTERRUPT, &irq);
}

TEST(creation)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_SPLIT_IRQCHIP, .flags = 1 };
	struct kvm_irqchip chip = {};
	struct kvm_irqfd irqfd = { .fd = eventfd(0, 0), .gsi = 3 };
	struct kvm_irq_routing_entry pin = pin_route(3, KVM_IRQCHIP_IOAPIC, 3);
	struct kvm_irq_routing_entry msi = msi_route(3, APIC_MMIO, 0x41);
	struct vm *vm = vm_create_empty();

	EXPECT_EQ(1, has_cap(vm->dev, KVM_CAP_SPLIT_IRQCHIP));
	EXPECT_ERRNO(EINVAL, ioctl(vm->fd, KVM_ENABLE_CAP, &cap));
	EXPECT_ERRNO(EINVAL, enable_cap(vm, KVM_CAP_SPLIT_IRQCHIP, 4097));
	EXPECT_ERRNO(EINVAL, enable_cap(vm, KVM_CAP_SPLIT_IRQCHIP, 1ull << 32));
	EXPECT_EQ(0, enable_cap(vm, KVM_CAP_SPLIT_IRQCHIP, 4096));
	EXPECT_ERRNO(EEXIST, enable_cap(vm, KVM_CAP_SPLIT_IRQCHIP, 24));
	EXPECT_ERRNO(EEXIST, ioctl(vm->fd, KVM_CREATE_IRQCHIP, 0));
	EXPECT_ERRNO(ENXIO, ioctl(vm->fd, KVM_GET_IRQCHIP, &chip));
	EXPECT_ERRNO(ENXIO, ioctl(vm->fd, KVM_SET_IRQCHIP, &chip));
	EXPECT_ERRNO(EINVAL, set_routing(vm, &pin, 1));
	EXPECT_EQ(0, irq_line(vm, 3, 1));
	EXPECT_EQ(0, set_routing(vm, &msi, 1));
	EXPECT_EQ(0, irq_line(vm, 3, 1));
	EXPECT_EQ(0, ioctl(vm->fd, KVM_IRQFD, &irqfd));
	/* The end of an interrupt is for userspace to know. */
	irqfd = (struct kvm_irqfd) { .fd = eventfd(0, 0), .flags = KVM_IRQFD_FLAG_RESAMPLE,
				     .resamplefd = eventfd(0, 0) };
	EXPECT_ERRNO(EINVAL, ioctl(vm->fd, KVM_IRQFD, &irqfd));

	vm = vm_create_empty();
	IOCTL(vm->fd, KVM_CREATE_IRQCHIP, 0);
	EXPECT_ERRNO(EEXIST, enable_cap(vm, KVM_CAP_SPLIT_IRQCHIP, 24));
	vm = vm_create();
	vcpu_create(vm);
	EXPECT_ERRNO(EEXIST, enable_cap(vm, KVM_CAP_SPLIT_IRQCHIP, 24));
}

/* ---- EOIs for userspace's IOAPIC ---- */

static volatile u32 nr_taken;
static bool x2apic; /* set before the guest is made */

static void count_and_end(struct ex_frame *frame)
{
	(void)frame;
	nr_taken++;
	if (READ_ONCE(x2apic))
		x2apic_write(APIC_EOI, 0);
	else
		xapic_write(APIC_EOI, 0);
}

static void take_each(void)
{
	if (READ_ONCE(x2apic))
		enable_x2apic();
	else
		xapic_write(APIC_SPIV, SPIV_ON);
	for (int v = 0x40; v < 0x60; v++)
		guest_handlers[v] = count_and_end;
	for (;;) {
		GUEST_SYNC(nr_taken);
		asm volatile("sti; nop; cli" : : : "memory");
	}
}

static void check_eois(struct __test_metadata *_metadata)
{
	struct kvm_irq_routing_entry e[] = {
		msi_route(3, APIC_MMIO, 0x51 | ICR_LEVEL),
		msi_route(4, APIC_MMIO, 0x52),
		msi_route(NR_PINS, APIC_MMIO, 0x53 | ICR_LEVEL),
		/* A message of the vector that is level-triggered at another processor's */
		msi_route(5, APIC_MMIO | 7 << 12, 0x54 | ICR_LEVEL),
		msi_route(6, APIC_MMIO, 0x54),
	};
	struct vm *vm = vm_create_with_apics(split);
	struct vcpu *vcpu = vcpu_add(vm, take_each);

	ASSERT_EQ(0, set_routing(vm, e, ARRAY_SIZE(e)));
	EXPECT_EQ(0, RUN_SYNC(vcpu));
	EXPECT_EQ(0, RUN_SYNC(vcpu));
	for (int i = 1; i < 3; i++) {
		EXPECT_EQ(0, irq_line(vm, 3, 1));
		RUN_TO(vcpu, KVM_EXIT_IOAPIC_EOI);
		EXPECT_EQ(0x51, vcpu->run->eoi.vector);
		EXPECT_EQ(i, RUN_SYNC(vcpu));
	}
	EXPECT_EQ(0, irq_line(vm, 4, 1));
	EXPECT_EQ(3, RUN_SYNC(vcpu));
	EXPECT_EQ(0, irq_line(vm, NR_PINS, 1));
	EXPECT_EQ(4, RUN_SYNC(vcpu));
	EXPECT_EQ(0, irq_line(vm, 6, 1));
	EXPECT_EQ(5, RUN_SYNC(vcpu));

	/* A route that becomes edge-triggered, and one that goes. */
	e[0].u.msi.data = 0x51;
	ASSERT_EQ(0, set_routing(vm, e, ARRAY_SIZE(e)));
	EXPECT_EQ(0, irq_line(vm, 3, 1));
	EXPECT_EQ(6, RUN_SYNC(vcpu));
	ASSERT_EQ(0, set_routing(vm, NULL, 0));
	EXPECT_EQ(0, irq_line(vm, 3, 1));
	EXPECT_EQ(6, RUN_SYNC(vcpu));
}

TEST(ends_of_level_triggered_interrupts_exit)
{
	check_eois(_metadata);
}

TEST(ends_of_level_triggered_interrupts_exit_in_x2apic_mode)
{
	x2apic = true;
	check_eois(_metadata);
}

TEST(directed_eoi_is_offered)
{
	struct vm *vm = vm_create_with_apics(split);

	EXPECT_TRUE(vcpu_lapic_reg(vcpu_add(vm, take_each), APIC_LVR) >> 24 & 1);
	vm = vm_create_with_irqchip();
	EXPECT_FALSE(vcpu_lapic_reg(vcpu_add(vm, take_each), APIC_LVR) >> 24 & 1);
}

/* ---- interrupts of userspace's PIC ---- */

static void count(struct ex_frame *frame)
{
	nr_taken += frame->vector;
}

static void take_extint(void)
{
	guest_handlers[0x60] = count;
	guest_handlers[0x61] = count;
	guest_handlers[0x62] = count;
	cli();
	GUEST_SYNC(0);
	GUEST_SYNC(nr_taken); /* still masked */
	asm volatile("sti; nop" : : : "memory");
	GUEST_SYNC(nr_taken); /* with the interrupt flag set */
	GUEST_SYNC(nr_taken);
	cli();
	GUEST_SYNC(nr_taken);
	xapic_write(APIC_SPIV, SPIV_ON);
	xapic_write(APIC_LVT0, LVT_MASKED | 0x700);
	asm volatile("sti; nop" : : : "memory");
	GUEST_SYNC(nr_taken);
	GUEST_SYNC(nr_taken);
	xapic_write(APIC_LVT0, 0x700);
	asm volatile("nop; nop" : : : "memory");
	GUEST_SYNC(nr_taken);
	GUEST_DONE();
}

TEST(external_interrupts)
{
	struct vm *vm = vm_create_with_apics(split);
	struct vcpu *vcpu = vcpu_add(vm, take_extint);
	struct kvm_run *run = vcpu->run;

	EXPECT_ERRNO(EINVAL, interrupt(vcpu, 256));
	EXPECT_EQ(0, RUN_SYNC(vcpu));
	EXPECT_EQ(0, run->ready_for_interrupt_injection);
	EXPECT_EQ(0, interrupt(vcpu, 0x60));
	EXPECT_ERRNO(EEXIST, interrupt(vcpu, 0x60));
	EXPECT_EQ(0, RUN_SYNC(vcpu));
	EXPECT_EQ(0, run->ready_for_interrupt_injection);
	EXPECT_EQ(0x60, RUN_SYNC(vcpu));
	EXPECT_EQ(1, run->if_flag);
	EXPECT_EQ(1, run->ready_for_interrupt_injection);

	/* A window that is open already. */
	run->request_interrupt_window = 1;
	RUN_TO(vcpu, KVM_EXIT_IRQ_WINDOW_OPEN);
	EXPECT_EQ(1, run->ready_for_interrupt_injection);
	run->request_interrupt_window = 0;
	EXPECT_EQ(0, interrupt(vcpu, 0x61));
	EXPECT_EQ(0x60 + 0x61, RUN_SYNC(vcpu));

	/* One that opens after CLI; but only if LINT0 lets the PIC's interrupt through. */
	EXPECT_EQ(0x60 + 0x61, RUN_SYNC(vcpu));
	run->request_interrupt_window = 1;
	EXPECT_EQ(0x60 + 0x61, RUN_SYNC(vcpu));
	EXPECT_EQ(1, run->if_flag);
	EXPECT_EQ(0, run->ready_for_interrupt_injection);
	EXPECT_EQ(0x60 + 0x61, RUN_SYNC(vcpu));
	RUN_TO(vcpu, KVM_EXIT_IRQ_WINDOW_OPEN);
	run->request_interrupt_window = 0;
	EXPECT_EQ(0, interrupt(vcpu, 0x62));
	EXPECT_EQ(0x60 + 0x61 + 0x62, RUN_SYNC(vcpu));
	RUN_DONE(vcpu);

	EXPECT_ERRNO(ENXIO, interrupt(vcpu_create(vm_create_with_irqchip()), 0x60));
}

static void window_guest(void)
{
	guest_handlers[0x60] = count;
	cli();
	GUEST_SYNC(0);
	for (volatile int i = 0; i < 100; i++)
		;
	asm volatile("sti; nop; nop" : : : "memory");
	GUEST_SYNC(nr_taken);
	for (;;)
		asm volatile("sti; hlt; cli; outb %%al, $0xe0" : : : "memory");
}

static void on_alarm(int signal)
{
	(void)signal;
}

TEST(external_interrupt_wakes_a_halted_guest)
{
	struct sigaction action = { .sa_handler = on_alarm };
	struct vm *vm = vm_create_with_apics(split);
	struct vcpu *vcpu = vcpu_add(vm, window_guest);
	struct kvm_run *run = vcpu->run;

	RUN_SYNC(vcpu);
	run->request_interrupt_window = 1;
	RUN_TO(vcpu, KVM_EXIT_IRQ_WINDOW_OPEN);
	run->request_interrupt_window = 0;
	EXPECT_EQ(0, interrupt(vcpu, 0x60));
	EXPECT_EQ(0x60, RUN_SYNC(vcpu));

	/* In HLT it is the kernel that waits. */
	sigaction(SIGALRM, &action, NULL);
	ualarm(50000, 0);
	EXPECT_ERRNO(EINTR, ioctl(vcpu->fd, KVM_RUN, 0));
	EXPECT_EQ(1, run->ready_for_interrupt_injection);
	EXPECT_EQ(0, interrupt(vcpu, 0x60));
	RUN_TO(vcpu, KVM_EXIT_IO);
	EXPECT_EQ(0xe0, run->io.port);
	EXPECT_EQ(0xc0, *guest_ptr(vm, nr_taken));
}

/* A vector that waits is not in delivery: who saves and restores must not force it in. */
TEST(a_waiting_vector_is_not_an_injected_one)
{
	struct vm *vm = vm_create_with_apics(split);
	struct vcpu *vcpu = vcpu_add(vm, take_extint);
	struct kvm_vcpu_events ev;

	RUN_SYNC(vcpu);
	EXPECT_EQ(0, interrupt(vcpu, 0x60));
	IOCTL(vcpu->fd, KVM_GET_VCPU_EVENTS, &ev);
	EXPECT_EQ(0, ev.interrupt.injected);
	IOCTL(vcpu->fd, KVM_SET_VCPU_EVENTS, &ev);
	EXPECT_EQ(0, RUN_SYNC(vcpu));
	EXPECT_EQ(0x60, RUN_SYNC(vcpu));
}

/* ---- 32-bit IDs ---- */

static int send_msi(struct vm *vm, u32 dest, u32 vector)
{
	struct kvm_msi msi = {
		.address_lo = APIC_MMIO | (dest & 0xff) << 12,
		.address_hi = dest & ~0xff,
		.data = vector,
	};

	return ioctl(vm->fd, KVM_SIGNAL_MSI, &msi);
}

#define IDS KVM_X2APIC_API_USE_32BIT_IDS
#define NO_QUIRK KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK

static struct vm *vm_with_ids(u64 flags, bool mode)
{
	struct vm *vm = vm_create_with_irqchip();

	if (enable_cap(vm, KVM_CAP_X2APIC_API, flags))
		FAIL("KVM_CAP_X2APIC_API: %s", strerror(errno));
	for (int i = 0; i < 2; i++) {
		struct vcpu *vcpu = vcpu_add(vm, take_each);
		struct kvm_lapic_state s;

		if (mode)
			vcpu_set_msr(vcpu, APIC_BASE_MSR, vcpu_get_msr(vcpu, APIC_BASE_MSR) |
							  APIC_BASE_X2APIC);
		s = lapic_state(vcpu);
		*lapic_reg(&s, APIC_SPIV) = SPIV_ON;
		IOCTL(vcpu->fd, KVM_SET_LAPIC, &s);
	}
	return vm;
}

TEST(broadcasts_of_devices)
{
	struct vm *vm;

	/* With the quirk, 255 is everybody; the upper half of the address does not count. */
	for (int mode = 0; mode < 2; mode++) {
		vm = vm_with_ids(0, mode);
		EXPECT_EQ(2, send_msi(vm, 0xff, 0x41));
		EXPECT_EQ(1, send_msi(vm, 0x7701, 0x42));
		EXPECT_TRUE(lapic_requested(&vm->vcpus[1], 0x42));

		vm = vm_with_ids(IDS, mode);
		EXPECT_EQ(2, send_msi(vm, 0xff, 0x41));
		EXPECT_EQ(1, send_msi(vm, 1, 0x42));
		EXPECT_EQ(0, send_msi(vm, 0x101, 0x42));
	}
	/* Without, it is the xAPICs; all bits set are the x2APICs. */
	vm = vm_with_ids(IDS | NO_QUIRK, false);
	EXPECT_EQ(2, send_msi(vm, 0xff, 0x41));
	vm = vm_with_ids(IDS | NO_QUIRK, true);
	EXPECT_GE(0, send_msi(vm, 0xff, 0x41));
	EXPECT_FALSE(lapic_requested(&vm->vcpus[0], 0x41));
	EXPECT_EQ(2, send_msi(vm, 0xffffffff, 0x42));
}

TEST(ids_of_32_bits)
{
	struct vm *vm = vm_with_ids(IDS, true);
	struct kvm_msi msi = { .address_lo = APIC_MMIO, .address_hi = 1, .data = 0x41 };
	struct kvm_irq_routing_entry e = msi_route(3, APIC_MMIO, 0x41);
	struct kvm_lapic_state s = lapic_state(&vm->vcpus[1]);

	EXPECT_EQ(IDS | NO_QUIRK, has_cap(vm->dev, KVM_CAP_X2APIC_API));
	EXPECT_ERRNO(EINVAL, enable_cap(vm, KVM_CAP_X2APIC_API, 4));
	EXPECT_ERRNO(EINVAL, enable_cap(vm, KVM_CAP_X2APIC_API, 1ull << 32));
	EXPECT_ERRNO(EINVAL, ioctl(vm->fd, KVM_SIGNAL_MSI, &msi));
	e.u.msi.address_hi = 0x180;
	EXPECT_ERRNO(EINVAL, set_routing(vm, &e, 1));
	e.u.msi.address_hi = 0x100;
	EXPECT_EQ(0, set_routing(vm, &e, 1));

	/* The ID register has it all, or in xAPIC's form its upper byte. */
	EXPECT_EQ(1, *lapic_reg(&s, APIC_ID));
	EXPECT_EQ(0, ioctl(vm->vcpus[1].fd, KVM_SET_LAPIC, &s));
	*lapic_reg(&s, APIC_ID) = 1 << 24;
	EXPECT_ERRNO(EINVAL, ioctl(vm->vcpus[1].fd, KVM_SET_LAPIC, &s));
	vm = vm_with_ids(0, true);
	EXPECT_EQ(1 << 24, vcpu_lapic_reg(&vm->vcpus[1], APIC_ID));
}

TEST_MAIN
