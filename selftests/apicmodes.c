// SPDX-License-Identifier: GPL-2.0-only
/*
 * The local APIC where hardware may do the work: accesses of every form, modes
 * that change with interrupts pending and in service, priorities that the guest
 * and the host change.
 */
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>
#include "apic.h"
#include "test.h"

static u8 log_vector[64];
static volatile u32 nr_log;
static bool keep_in_service;
static bool on_minivirt; /* set before the guest is made */

static void eoi(void)
{
	if (rdmsr(APIC_BASE_MSR) & APIC_BASE_X2APIC)
		x2apic_write(APIC_EOI, 0);
	else
		xapic_write(APIC_EOI, 0);
}

static void log_irq(struct ex_frame *frame)
{
	log_vector[nr_log++] = frame->vector;
	if (!keep_in_service)
		eoi();
}

static void log_all(void)
{
	for (int v = 0x20; v < 256; v++)
		guest_handlers[v] = log_irq;
}

/* Lets in what may come; how many came. */
static u32 let_in(void)
{
	nr_log = 0;
	asm volatile("sti; nop; nop; cli" : : : "memory");
	return nr_log;
}

static void send_msi(struct vm *vm, u8 vector)
{
	struct kvm_msi msi = { .address_lo = APIC_MMIO, .data = vector };

	IOCTL(vm->fd, KVM_SIGNAL_MSI, &msi);
}

static void set_lapic_reg(struct vcpu *vcpu, u32 reg, u32 val)
{
	struct kvm_lapic_state s = lapic_state(vcpu);

	*lapic_reg(&s, reg) = val;
	IOCTL(vcpu->fd, KVM_SET_LAPIC, &s);
}

/* ---- accesses ---- */

#define APIC_PTR(type, offset) (*(volatile type *)(u64)(APIC_MMIO + (offset)))

static void forms_of_access(void)
{
	volatile u32 *lvt1 = &APIC_PTR(u32, APIC_LVT1);
	u32 val = 0x431;

	xapic_write(APIC_SPIV, SPIV_ON);
	asm volatile("movl $0x10030, %0" : "=m"(*lvt1));
	GUEST_ASSERT_EQ(*lvt1, 0x10030);
	GUEST_ASSERT_EQ(APIC_PTR(u16, APIC_LVT1 + 2), 1);
	GUEST_ASSERT_EQ(APIC_PTR(u8, APIC_LVT1), 0x30);
	asm volatile("orl $0x400, %0" : "+m"(*lvt1));
	GUEST_ASSERT_EQ(*lvt1, 0x10430);
	asm volatile("xchgl %0, %1" : "+r"(val), "+m"(*lvt1));
	GUEST_ASSERT_EQ(val, 0x10430);
	GUEST_ASSERT_EQ(*lvt1, 0x431);
	asm volatile("btsl $16, %0" : "+m"(*lvt1));
	GUEST_ASSERT_EQ(*lvt1, 0x10431);

	/* Registers that the processor cannot know by itself. */
	xapic_write(APIC_LVTT, LVT_MASKED);
	xapic_write(APIC_TDCR, TDCR_1);
	xapic_write(APIC_TMICT, 0x40000000);
	val = xapic_read(APIC_TMCCT);
	GUEST_ASSERT(val && val <= 0x40000000);
	/* At an eighth of the rate the count goes on from where it is. */
	xapic_write(APIC_TDCR, 2);
	GUEST_ASSERT(xapic_read(APIC_TMCCT) <= val);
	GUEST_ASSERT(xapic_read(APIC_TMCCT) > val / 2);
	xapic_write(APIC_TMICT, 0);
	GUEST_ASSERT_EQ(xapic_read(APIC_TMCCT), 0);
	xapic_write(APIC_TPR, 0x65);
	GUEST_ASSERT_EQ(xapic_read(APIC_PPR) & 0xf0, 0x60);
	xapic_write(APIC_TPR, 0);

	/* A vector that there is not: send illegal vector, receive illegal vector. */
	xapic_write(APIC_ESR, 0);
	xapic_write(APIC_ICR, ICR_SELF | ICR_ASSERT | 5);
	xapic_write(APIC_ESR, 0);
	if (on_minivirt) /* KVM's APIC knows no errors. */
		GUEST_ASSERT_EQ(xapic_read(APIC_ESR), 1 << 5);
	xapic_write(APIC_ESR, 0);
	GUEST_ASSERT_EQ(xapic_read(APIC_ESR), 0);
	GUEST_DONE();
}

TEST(forms_of_access_to_the_page)
{
	on_minivirt = is_minivirt();
	RUN_DONE(vcpu_add(vm_create_with_irqchip(), forms_of_access));
}

/* ---- modes ---- */

static void modes(void)
{
	u64 base = rdmsr(APIC_BASE_MSR);
	u32 n;

	log_all();
	xapic_write(APIC_SPIV, SPIV_ON);
	xapic_write(APIC_LVT0, LVT_MASKED);
	/* Requested in one mode, taken in the other. */
	xapic_write(APIC_ICR, ICR_SELF | ICR_ASSERT | 0x51);
	xapic_write(APIC_ICR, ICR_SELF | ICR_ASSERT | 0x73);
	wrmsr(APIC_BASE_MSR, base | APIC_BASE_X2APIC);
	GUEST_ASSERT_EQ(x2apic_read(APIC_IRR + 0x30), 1 << 0x13);
	GUEST_ASSERT_EQ(let_in(), 2);
	GUEST_ASSERT_EQ(log_vector[0], 0x73);
	GUEST_ASSERT_EQ(log_vector[1], 0x51);

	/* Disabled, nothing comes; the task priority is still there. */
	x2apic_write(APIC_SELF_IPI, 0x62);
	wrmsr(APIC_BASE_MSR, base & ~APIC_BASE_ENABLE);
	GUEST_ASSERT_EQ(let_in(), 0);
	write_cr8(4);
	GUEST_ASSERT_EQ(read_cr8(), 4);
	GUEST_ASSERT_EQ(APIC_PTR(u32, APIC_LVR), 0xffffffff);
	write_cr8(0);
	wrmsr(APIC_BASE_MSR, base);
	GUEST_ASSERT_EQ(APIC_PTR(u32, APIC_LVR) & 0xff, 0x14);
	xapic_write(APIC_SPIV, SPIV_ON);
	/* The request has stayed, but KVM may not look for it before there is another. */
	n = let_in();
	if (on_minivirt)
		GUEST_ASSERT_EQ(n, 1);
	xapic_write(APIC_ICR, ICR_SELF | ICR_ASSERT | 0x93);
	GUEST_ASSERT_EQ(n + let_in(), 2);
	GUEST_ASSERT_EQ(log_vector[0], 0x93);
	GUEST_DONE();
}

TEST(modes_change_with_requests_pending)
{
	on_minivirt = is_minivirt();
	RUN_DONE(vcpu_add(vm_create_with_irqchip(), modes));
}

#define NEW_BASE GPA_MMIO

static void move_base(void)
{
	u64 base = rdmsr(APIC_BASE_MSR);

	xapic_write(APIC_SPIV, SPIV_ON);
	log_all();
	GUEST_SYNC(1);
	wrmsr(APIC_BASE_MSR, (base & 0xfff) | NEW_BASE);
	GUEST_ASSERT_EQ(*(volatile u32 *)(u64)(NEW_BASE + APIC_ID), xapic_read(APIC_LVR));
	*(volatile u32 *)(u64)(NEW_BASE + APIC_ICR) = ICR_SELF | ICR_ASSERT | 0x93;
	keep_in_service = true;
	GUEST_ASSERT_EQ(let_in(), 1);
	*(volatile u32 *)(u64)(NEW_BASE + APIC_EOI) = 0;
	GUEST_ASSERT_EQ(*(volatile u32 *)(u64)(NEW_BASE + APIC_ISR + 0x40), 0);
	keep_in_service = false;
	wrmsr(APIC_BASE_MSR, base);
	GUEST_ASSERT_EQ(xapic_read(APIC_LVR) & 0xff, 0x14);
	GUEST_DONE();
}

static void stay(void)
{
	for (;;) {
		GUEST_ASSERT_EQ(xapic_read(APIC_LVR) & 0xff, 0x14);
		xapic_write(APIC_LVT1, LVT_MASKED | 0x33);
		GUEST_ASSERT_EQ(xapic_read(APIC_LVT1), LVT_MASKED | 0x33);
		GUEST_SYNC(2);
	}
}

static void x2apic_beside(void)
{
	enable_x2apic();
	GUEST_ASSERT_EQ(APIC_PTR(u32, APIC_LVR), 0xffffffff);
	APIC_PTR(u32, APIC_LVT1) = 0;
	GUEST_ASSERT_EQ(APIC_PTR(u32, APIC_LVT1), 0xffffffff);
	GUEST_DONE();
}

/* One moves its APIC, or leaves xAPIC mode, and the others' are where they were. */
TEST(each_vcpu_has_its_own_base_and_mode)
{
	struct vm *vm = vm_create_with_irqchip();
	struct vcpu *a = vcpu_add(vm, move_base), *b = vcpu_add(vm, stay);
	struct vcpu *c = vcpu_add(vm, x2apic_beside);
	struct kvm_mp_state mp = { .mp_state = KVM_MP_STATE_RUNNABLE };

	IOCTL(b->fd, KVM_SET_MP_STATE, &mp);
	IOCTL(c->fd, KVM_SET_MP_STATE, &mp);
	EXPECT_EQ(2, RUN_SYNC(b));
	EXPECT_EQ(1, RUN_SYNC(a));
	/* Where it was there is nothing now: userspace gets the access. */
	RUN_TO(a, KVM_EXIT_MMIO);
	EXPECT_EQ(APIC_MMIO + APIC_LVR, a->run->mmio.phys_addr);
	EXPECT_EQ(0, a->run->mmio.is_write);
	memset(a->run->mmio.data, 0, 8);
	EXPECT_EQ(2, RUN_SYNC(b));
	RUN_DONE(a);
	EXPECT_EQ(2, RUN_SYNC(b));
	RUN_DONE(c);
	EXPECT_EQ(2, RUN_SYNC(b));
}

/* ---- priorities ---- */

static void lower_cr8(void)
{
	log_all();
	xapic_write(APIC_SPIV, SPIV_ON);
	for (int i = 0; i < 5; i++) {
		write_cr8(8);
		GUEST_SYNC(0); /* the host sends 0x52, and 0x91 in the last round */
		nr_log = 0;
		asm volatile("sti; nop" : : : "memory");
		GUEST_ASSERT_EQ(nr_log, i == 4);
		write_cr8(5);
		asm volatile("nop");
		GUEST_ASSERT_EQ(nr_log, i == 4);
		write_cr8(4);
		asm volatile("nop; cli" : : : "memory");
		GUEST_ASSERT_EQ(nr_log, 1 + (i == 4));
		GUEST_ASSERT_EQ(log_vector[i == 4], 0x52);
	}
	write_cr8(9);
	GUEST_SYNC(0); /* 0x52, then the host sets CR8 to 2 */
	GUEST_ASSERT_EQ(read_cr8(), 2);
	GUEST_ASSERT_EQ(let_in(), 1);
	GUEST_SYNC(0); /* 0x52, then CR8 to 11: not now */
	GUEST_ASSERT_EQ(read_cr8(), 11);
	GUEST_ASSERT_EQ(let_in(), 0);
	asm volatile("sti" : : : "memory");
	xapic_write(APIC_TPR, 0x40);
	asm volatile("nop; cli" : : : "memory");
	GUEST_ASSERT_EQ(nr_log, 1);
	GUEST_DONE();
}

static void set_cr8(struct vcpu *vcpu, u64 cr8)
{
	struct kvm_sregs sregs = vcpu_sregs(vcpu);

	sregs.cr8 = cr8;
	vcpu_set_sregs(vcpu, &sregs);
}

TEST(a_lower_task_priority_lets_in_what_waits)
{
	struct vm *vm = vm_create_with_irqchip();
	struct vcpu *vcpu = vcpu_add(vm, lower_cr8);

	for (int i = 0; i < 5; i++) {
		RUN_SYNC(vcpu);
		EXPECT_EQ(8, vcpu->run->cr8);
		send_msi(vm, 0x52);
		if (i == 4)
			send_msi(vm, 0x91);
	}
	RUN_SYNC(vcpu);
	EXPECT_EQ(9, vcpu->run->cr8);
	send_msi(vm, 0x52);
	set_cr8(vcpu, 2);
	RUN_SYNC(vcpu);
	send_msi(vm, 0x52);
	set_cr8(vcpu, 11);
	RUN_DONE(vcpu);
}

static void in_service(void)
{
	log_all();
	enable_x2apic();
	keep_in_service = true;
	GUEST_SYNC(0); /* the host sends 0x61 */
	GUEST_ASSERT_EQ(let_in(), 1);
	GUEST_SYNC(1); /* the host sends 0x55 and moves the state */
	GUEST_ASSERT_EQ(x2apic_read(APIC_ISR + 0x30), 1 << 1);
	GUEST_ASSERT_EQ(x2apic_read(APIC_IRR + 0x20), 1 << 0x15);
	GUEST_ASSERT_EQ(let_in(), 0);
	x2apic_write(APIC_EOI, 0);
	GUEST_ASSERT_EQ(let_in(), 1);
	GUEST_ASSERT_EQ(log_vector[0], 0x55);
	x2apic_write(APIC_EOI, 0);
	GUEST_SYNC(2); /* the host puts 0x47 and 0x88 in service, requests 0x66 */
	GUEST_ASSERT_EQ(let_in(), 0);
	x2apic_write(APIC_EOI, 0);
	GUEST_ASSERT_EQ(let_in(), 1);
	GUEST_ASSERT_EQ(log_vector[0], 0x66);
	x2apic_write(APIC_EOI, 0);
	GUEST_ASSERT_EQ(x2apic_read(APIC_ISR + 0x20), 1 << 7);
	x2apic_write(APIC_EOI, 0);
	GUEST_ASSERT_EQ(x2apic_read(APIC_ISR + 0x20), 0);
	GUEST_DONE();
}

TEST(state_with_interrupts_pending_and_in_service)
{
	struct vm *vm = vm_create_with_irqchip();
	struct vcpu *vcpu = vcpu_add(vm, in_service);
	struct kvm_lapic_state s;

	RUN_SYNC(vcpu);
	send_msi(vm, 0x61);
	EXPECT_TRUE(lapic_requested(vcpu, 0x61));
	EXPECT_EQ(1, RUN_SYNC(vcpu));
	EXPECT_EQ(1 << 1, vcpu_lapic_reg(vcpu, APIC_ISR + 0x30));
	EXPECT_EQ(0x60, vcpu_lapic_reg(vcpu, APIC_PPR));
	send_msi(vm, 0x55);
	s = lapic_state(vcpu);
	set_lapic_reg(vcpu, APIC_ISR + 0x30, 0);
	IOCTL(vcpu->fd, KVM_SET_LAPIC, &s);
	EXPECT_EQ(2, RUN_SYNC(vcpu));
	s = lapic_state(vcpu);
	*lapic_reg(&s, APIC_ISR + 0x20) = 1 << 7;
	*lapic_reg(&s, APIC_ISR + 0x40) = 1 << 8;
	*lapic_reg(&s, APIC_IRR + 0x30) = 1 << 6;
	IOCTL(vcpu->fd, KVM_SET_LAPIC, &s);
	RUN_DONE(vcpu);
}

/* ---- the end of a level-triggered interrupt ---- */

static void level_in_x2apic_mode(void)
{
	log_all();
	enable_x2apic();
	x2apic_write(APIC_LVT0, LVT_MASKED);
	ioapic_write(RTE(20), 0x85 | RTE_LEVEL);
	keep_in_service = true;
	for (int i = 0; i < 5; i++) {
		GUEST_SYNC(1); /* up */
		GUEST_ASSERT_EQ(let_in(), 1);
		GUEST_ASSERT_EQ(ioapic_read(RTE(20)), 0x85 | RTE_LEVEL | RTE_REMOTE_IRR);
		/* Still up at its end: it comes again. */
		x2apic_write(APIC_EOI, 0);
		GUEST_ASSERT_EQ(let_in(), 1);
		GUEST_SYNC(0); /* down */
		x2apic_write(APIC_EOI, 0);
		GUEST_ASSERT_EQ(ioapic_read(RTE(20)), 0x85 | RTE_LEVEL);
		GUEST_ASSERT_EQ(let_in(), 0);
	}
	GUEST_DONE();
}

TEST(level_triggered_interrupts_in_x2apic_mode)
{
	struct vm *vm = vm_create_with_irqchip();
	struct vcpu *vcpu = vcpu_add(vm, level_in_x2apic_mode);

	for (int i = 0; i < 5; i++) {
		struct kvm_irq_level line = { .irq = 20, .level = 1 };

		EXPECT_EQ(1, RUN_SYNC(vcpu));
		IOCTL(vm->fd, KVM_IRQ_LINE, &line);
		EXPECT_EQ(0, RUN_SYNC(vcpu));
		line.level = 0;
		IOCTL(vm->fd, KVM_IRQ_LINE, &line);
	}
	RUN_DONE(vcpu);
}

/* ---- to a vCPU that runs, or has been told not to be interrupted ---- */

static volatile u32 stop;

static void spin(void)
{
	log_all();
	enable_x2apic();
	GUEST_SYNC(0);
	asm volatile("sti");
	while (!stop)
		;
	asm volatile("cli");
	GUEST_DONE();
}

static void *run_to_end(void *vcpu)
{
	RUN_DONE((struct vcpu *)vcpu);
	return NULL;
}

TEST(interrupts_reach_a_running_vcpu)
{
	struct vm *vm = vm_create_with_irqchip();
	struct vcpu *vcpu = vcpu_add(vm, spin);
	pthread_t thread;

	RUN_SYNC(vcpu);
	pthread_create(&thread, NULL, run_to_end, vcpu);
	for (u32 i = 0; i < 20; i++) {
		send_msi(vm, 0x70 + i);
		while (*(volatile u32 *)guest_ptr(vm, nr_log) <= i)
			usleep(1000);
		EXPECT_EQ(0x70 + i, guest_ptr(vm, log_vector)[0][i]);
	}
	*(volatile u32 *)guest_ptr(vm, stop) = 1;
	pthread_join(thread, NULL);
}

static void stepped(void)
{
	log_all();
	enable_x2apic();
	GUEST_SYNC(0);
	asm volatile("sti; nop; nop");
	GUEST_SYNC(1);
	asm volatile("nop; cli");
	GUEST_ASSERT_EQ(nr_log, 1);
	GUEST_DONE();
}

TEST(a_debugger_holds_interrupts_back)
{
	struct vm *vm = vm_create_with_irqchip();
	struct vcpu *vcpu = vcpu_add(vm, stepped);
	struct kvm_guest_debug debug = {
		.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_BLOCKIRQ,
	};

	RUN_SYNC(vcpu);
	if (ioctl(vcpu->fd, KVM_SET_GUEST_DEBUG, &debug))
		SKIP(return, "no KVM_GUESTDBG_BLOCKIRQ");
	send_msi(vm, 0x52);
	EXPECT_EQ(1, RUN_SYNC(vcpu));
	EXPECT_EQ(0, *guest_ptr(vm, nr_log));
	EXPECT_TRUE(lapic_requested(vcpu, 0x52));
	debug.control = 0;
	IOCTL(vcpu->fd, KVM_SET_GUEST_DEBUG, &debug);
	RUN_DONE(vcpu);
}

/* ---- interrupts wait for IF, whatever the host does meanwhile ---- */

static u64 a_few_host_ticks; /* in counts of the TSC; set before the guest is made */

static void let_the_host_interrupt(void)
{
	u64 end = rdtsc() + a_few_host_ticks;

	while (rdtsc() < end)
		;
}

static void end_early(struct ex_frame *frame)
{
	u32 before = nr_log;

	log_irq(frame);
	let_the_host_interrupt();
	GUEST_ASSERT_EQ(nr_log, before + 1);
}

static void wait_for_if(void)
{
	log_all();
	enable_x2apic();
	let_in(); /* IF was 1, and is 0 without an exit */
	for (int i = 0; i < 4; i++) {
		nr_log = 0;
		x2apic_write(APIC_SELF_IPI, 0x52);
		let_the_host_interrupt();
		GUEST_ASSERT_EQ(nr_log, 0);
		GUEST_ASSERT_EQ(let_in(), 1);
	}
	/* One that waits for the EOI of another, and then for the end of its handler. */
	guest_handlers[0x91] = end_early;
	for (int i = 0; i < 4; i++) {
		GUEST_SYNC(0); /* the host sends 0x52 and 0x91 */
		GUEST_ASSERT_EQ(let_in(), 2);
		GUEST_ASSERT_EQ(log_vector[0], 0x91);
		GUEST_ASSERT_EQ(log_vector[1], 0x52);
	}
	GUEST_DONE();
}

TEST(requests_wait_while_the_host_is_interrupted)
{
	struct vcpu *vcpu = vcpu_create(vm_create());
	struct vm *vm;

	a_few_host_ticks = 30ull * IOCTL(vcpu->fd, KVM_GET_TSC_KHZ, 0);
	vm = vm_create_with_irqchip();
	vcpu = vcpu_add(vm, wait_for_if);
	for (int i = 0; i < 4; i++) {
		RUN_SYNC(vcpu);
		send_msi(vm, 0x52);
		send_msi(vm, 0x91);
	}
	RUN_DONE(vcpu);
}

TEST_MAIN
