// SPDX-License-Identifier: GPL-2.0-only
/* The in-kernel local APIC: modes, priorities, interprocessor interrupts, timer. */
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include "apic.h"
#include "test.h"

static u32 mp_state(struct vcpu *vcpu)
{
	struct kvm_mp_state mp;

	IOCTL(vcpu->fd, KVM_GET_MP_STATE, &mp);
	return mp.mp_state;
}

static void set_mp_state(struct vcpu *vcpu, u32 state)
{
	struct kvm_mp_state mp = { .mp_state = state };

	IOCTL(vcpu->fd, KVM_SET_MP_STATE, &mp);
}

static void set_lapic_reg(struct vcpu *vcpu, u32 reg, u32 val)
{
	struct kvm_lapic_state s = lapic_state(vcpu);

	*lapic_reg(&s, reg) = val;
	IOCTL(vcpu->fd, KVM_SET_LAPIC, &s);
}

TEST(reset_state)
{
	static const u32 lvts[] = { APIC_LVTT, APIC_LVTTHMR, APIC_LVTPC, APIC_LVT1, APIC_LVTERR };
	struct vm *vm = vm_create_with_irqchip();
	struct vcpu *bsp = vcpu_create(vm), *ap = vcpu_create(vm);

	EXPECT_EQ(APIC_MMIO | APIC_BASE_ENABLE | APIC_BASE_BSP, vcpu_sregs(bsp).apic_base);
	EXPECT_EQ(APIC_MMIO | APIC_BASE_ENABLE, vcpu_sregs(ap).apic_base);
	EXPECT_EQ(KVM_MP_STATE_RUNNABLE, mp_state(bsp));
	EXPECT_EQ(KVM_MP_STATE_UNINITIALIZED, mp_state(ap));
	EXPECT_EQ(0, vcpu_lapic_reg(bsp, APIC_ID));
	EXPECT_EQ(1u << 24, vcpu_lapic_reg(ap, APIC_ID));
	EXPECT_EQ(0x50014, vcpu_lapic_reg(ap, APIC_LVR));
	EXPECT_EQ(0xff, vcpu_lapic_reg(ap, APIC_SPIV));
	EXPECT_EQ(0xffffffff, vcpu_lapic_reg(ap, APIC_DFR));
	EXPECT_EQ(0, vcpu_lapic_reg(ap, APIC_LDR));
	for (size_t i = 0; i < ARRAY_SIZE(lvts); i++)
		EXPECT_EQ(LVT_MASKED, vcpu_lapic_reg(ap, lvts[i]));
	/* The boot processor takes the PIC's interrupts from the beginning. */
	EXPECT_EQ(0x700, vcpu_lapic_reg(bsp, APIC_LVT0));
	EXPECT_EQ(LVT_MASKED, vcpu_lapic_reg(ap, APIC_LVT0));
}

static void modes(void)
{
	u64 base = rdmsr(APIC_BASE_MSR), val;

	GUEST_ASSERT_EQ(rdmsr_safe(x2apic_msr(APIC_ID), &val), GP);
	GUEST_ASSERT_EQ(xapic_read(APIC_ID), 3u << 24);
	GUEST_ASSERT_EQ(wrmsr_safe(APIC_BASE_MSR, base | 1), GP);
	GUEST_ASSERT_EQ(wrmsr_safe(APIC_BASE_MSR, base | 1ull << 60), GP);
	/* Disabled: nothing behind the page, and x2APIC mode is not reached from here. */
	wrmsr(APIC_BASE_MSR, base & ~APIC_BASE_ENABLE);
	GUEST_ASSERT_EQ(wrmsr_safe(APIC_BASE_MSR, base | APIC_BASE_X2APIC), GP);
	GUEST_ASSERT_EQ(wrmsr_safe(APIC_BASE_MSR,
				   (base & ~APIC_BASE_ENABLE) | APIC_BASE_X2APIC), GP);
	wrmsr(APIC_BASE_MSR, base);
	GUEST_ASSERT_EQ(xapic_read(APIC_ID), 3u << 24);

	wrmsr(APIC_BASE_MSR, base | APIC_BASE_X2APIC);
	GUEST_ASSERT_EQ(x2apic_read(APIC_ID), 3);
	GUEST_ASSERT_EQ(x2apic_read(APIC_LDR), 1 << 3);
	GUEST_ASSERT_EQ(wrmsr_safe(APIC_BASE_MSR, base), GP);
	GUEST_ASSERT_EQ(xapic_read(APIC_LVR), 0xffffffff);
	/* What x2APIC mode has not, what is read-only, and bits that are reserved. */
	GUEST_ASSERT_EQ(rdmsr_safe(x2apic_msr(APIC_DFR), &val), GP);
	GUEST_ASSERT_EQ(rdmsr_safe(x2apic_msr(APIC_ICR2), &val), GP);
	GUEST_ASSERT_EQ(rdmsr_safe(x2apic_msr(APIC_EOI), &val), GP);
	GUEST_ASSERT_EQ(rdmsr_safe(x2apic_msr(APIC_SELF_IPI), &val), GP);
	GUEST_ASSERT_EQ(wrmsr_safe(x2apic_msr(APIC_ID), 0), GP);
	GUEST_ASSERT_EQ(wrmsr_safe(x2apic_msr(APIC_LDR), 0), GP);
	GUEST_ASSERT_EQ(wrmsr_safe(x2apic_msr(APIC_ISR), 0), GP);
	GUEST_ASSERT_EQ(wrmsr_safe(x2apic_msr(APIC_ESR), 1), GP);
	GUEST_ASSERT_EQ(wrmsr_safe(x2apic_msr(APIC_TPR), 1ull << 32), GP);
	GUEST_ASSERT_EQ(wrmsr_safe(x2apic_msr(APIC_SELF_IPI), 0x100), GP);

	wrmsr(APIC_BASE_MSR, base & ~APIC_BASE_ENABLE);
	wrmsr(APIC_BASE_MSR, base);
	GUEST_ASSERT_EQ(xapic_read(APIC_ID), 3u << 24);
	GUEST_DONE();
}

TEST(mode_transitions)
{
	struct vm *vm = vm_create_with_irqchip();
	struct vcpu *vcpu;

	for (int i = 0; i < 3; i++)
		vcpu_create(vm);
	vcpu = vcpu_add(vm, modes);
	set_mp_state(vcpu, KVM_MP_STATE_RUNNABLE);
	RUN_DONE(vcpu);
}

static bool tcg; /* set before the guest is made */

static void xapic_registers(void)
{
	/* Disabled by software: the LVT stays masked. */
	xapic_write(APIC_LVT1, 0x400);
	GUEST_ASSERT_EQ(xapic_read(APIC_LVT1), LVT_MASKED | 0x400);
	xapic_write(APIC_SPIV, SPIV_ON);
	xapic_write(APIC_LVT1, 0x400);
	GUEST_ASSERT_EQ(xapic_read(APIC_LVT1), 0x400);
	GUEST_ASSERT_EQ(*(volatile u8 *)(u64)(APIC_MMIO + APIC_LVT1 + 1), 4);
	xapic_write(APIC_LVTERR, 0xffffffff);
	GUEST_ASSERT_EQ(xapic_read(APIC_LVTERR) & 0x1ffff & ~0x1000, 0x100ff);
	xapic_write(APIC_LDR, 0xffffffff);
	GUEST_ASSERT_EQ(xapic_read(APIC_LDR), 0xff000000);
	xapic_write(APIC_DFR, 0);
	GUEST_ASSERT_EQ(xapic_read(APIC_DFR), 0x0fffffff);
	xapic_write(APIC_TDCR, 0xffffffff);
	GUEST_ASSERT_EQ(xapic_read(APIC_TDCR), 0xb);
	xapic_write(APIC_LVR, 0);
	GUEST_ASSERT_EQ(xapic_read(APIC_LVR), 0x50014);
	xapic_write(APIC_TPR, 0x1a5);
	GUEST_ASSERT_EQ(xapic_read(APIC_TPR) & 0xf0, 0xa0);
	GUEST_ASSERT_EQ(xapic_read(APIC_PPR) & 0xf0, 0xa0);
	GUEST_ASSERT_EQ(read_cr8(), 0xa);
	write_cr8(3);
	GUEST_ASSERT_EQ(xapic_read(APIC_TPR), 0x30);
	if (!tcg) /* which drops the reserved bits */
		GUEST_ASSERT_EQ(TRY("mov %[v], %%cr8", [v] "r"(0x10ull)), GP);
	xapic_write(APIC_SPIV, 0xff);
	GUEST_ASSERT_EQ(xapic_read(APIC_LVT1), LVT_MASKED | 0x400);
	GUEST_DONE();
}

TEST(registers_of_xapic_mode)
{
	tcg = on_tcg();
	RUN_DONE(vcpu_add(vm_create_with_irqchip(), xapic_registers));
}

/* ---- priorities ---- */

static u8 log_vector[64], log_ppr[64];
static volatile u32 nr_log;

static void log_irq(struct ex_frame *frame)
{
	log_ppr[nr_log] = x2apic_read(APIC_PPR);
	log_vector[nr_log++] = frame->vector;
	x2apic_write(APIC_EOI, 0);
}

static void log_irq_and_nest(struct ex_frame *frame)
{
	log_vector[nr_log++] = frame->vector;
	/* Of its own class nothing comes in, of a higher one it does. */
	x2apic_write(APIC_SELF_IPI, 0x48);
	x2apic_write(APIC_SELF_IPI, 0x61);
	sti();
	asm volatile("nop");
	cli();
	log_vector[nr_log++] = 0;
	GUEST_ASSERT_EQ(x2apic_read(APIC_ISR + 0x20), 1 << 1);
	x2apic_write(APIC_EOI, 0);
}

static void priorities(void)
{
	enable_x2apic();
	for (int v = 0x20; v < 256; v++)
		guest_handlers[v] = log_irq;
	x2apic_write(APIC_SELF_IPI, 0x31);
	x2apic_write(APIC_SELF_IPI, 0x52);
	x2apic_write(APIC_SELF_IPI, 0x71);
	x2apic_write(APIC_SELF_IPI, 0x52); /* already there: one */
	GUEST_ASSERT_EQ(x2apic_read(APIC_IRR + 0x20), 1 << 0x12);
	x2apic_write(APIC_TPR, 0x50);
	sti();
	asm volatile("nop");
	GUEST_ASSERT_EQ(nr_log, 1);
	GUEST_ASSERT_EQ(log_vector[0], 0x71);
	GUEST_ASSERT_EQ(log_ppr[0], 0x70);
	GUEST_ASSERT_EQ(x2apic_read(APIC_PPR), 0x50);
	x2apic_write(APIC_TPR, 0x40);
	asm volatile("nop");
	GUEST_ASSERT_EQ(nr_log, 2);
	GUEST_ASSERT_EQ(log_vector[1], 0x52);
	x2apic_write(APIC_TPR, 0);
	asm volatile("nop");
	GUEST_ASSERT_EQ(nr_log, 3);
	GUEST_ASSERT_EQ(log_vector[2], 0x31);

	nr_log = 0;
	guest_handlers[0x41] = log_irq_and_nest;
	x2apic_write(APIC_ICR, ICR_SELF | ICR_ASSERT | 0x41);
	asm volatile("nop");
	GUEST_ASSERT_EQ(nr_log, 4);
	GUEST_ASSERT_EQ(log_vector[0], 0x41);
	GUEST_ASSERT_EQ(log_vector[1], 0x61);
	GUEST_ASSERT_EQ(log_vector[2], 0);
	GUEST_ASSERT_EQ(log_vector[3], 0x48);
	/* An EOI with nothing in service does nothing. */
	x2apic_write(APIC_EOI, 0);
	GUEST_DONE();
}

TEST(priorities_and_nesting)
{
	RUN_DONE(vcpu_add(vm_create_with_irqchip(), priorities));
}

/* ---- the TPR, reported and copied ---- */

/* Away from where the processor may virtualize the page. */
#define MOVED_TPR (*(volatile u32 *)(GPA_MMIO + APIC_TPR))

static void move_apic(void)
{
	wrmsr(APIC_BASE_MSR, GPA_MMIO | APIC_BASE_ENABLE | APIC_BASE_BSP);
	*(volatile u32 *)(GPA_MMIO + APIC_SPIV) = SPIV_ON;
}

extern const u8 tpr_write[], tpr_read[];

static void access_tpr(void)
{
	u32 val;

	move_apic();
	for (;;) {
		GUEST_SYNC(1);
		asm volatile("tpr_write: movl %1, %0" : "=m"(MOVED_TPR) : "r"(0x20));
		GUEST_SYNC(2);
		asm volatile("tpr_read: movl %1, %0" : "=r"(val) : "m"(MOVED_TPR));
		GUEST_ASSERT_EQ(val, 0x20);
	}
}

static int report_tpr(struct vcpu *vcpu, u32 enabled, u32 flags)
{
	struct kvm_tpr_access_ctl ctl = { .enabled = enabled, .flags = flags };

	return ioctl(vcpu->fd, KVM_TPR_ACCESS_REPORTING, &ctl);
}

TEST(accesses_to_the_tpr_are_reported)
{
	struct vcpu *vcpu = vcpu_add(vm_create_with_irqchip(), access_tpr);

	REQUIRE_CAP(vcpu->vm->dev, KVM_CAP_VAPIC);
	EXPECT_ERRNO(EINVAL, report_tpr(vcpu, 1, 1));
	EXPECT_ERRNO(EFAULT, ioctl(vcpu->fd, KVM_TPR_ACCESS_REPORTING, NULL));
	EXPECT_EQ(1, RUN_SYNC(vcpu));
	EXPECT_EQ(0, report_tpr(vcpu, 1, 0));
	for (int i = 0; i < 2; i++) {
		RUN_TO(vcpu, KVM_EXIT_TPR_ACCESS);
		EXPECT_EQ((u64)tpr_write, vcpu->run->tpr_access.rip);
		EXPECT_EQ(1, vcpu->run->tpr_access.is_write);
		/* It has been made. */
		EXPECT_LT((u64)tpr_write, vcpu_regs(vcpu).rip);
		EXPECT_EQ(0x20, vcpu_lapic_reg(vcpu, APIC_TPR));
		EXPECT_EQ(2, RUN_SYNC(vcpu));
		RUN_TO(vcpu, KVM_EXIT_TPR_ACCESS);
		EXPECT_EQ((u64)tpr_read, vcpu->run->tpr_access.rip);
		EXPECT_EQ(0, vcpu->run->tpr_access.is_write);
		EXPECT_EQ(1, RUN_SYNC(vcpu));
	}
	EXPECT_EQ(0, report_tpr(vcpu, 0, 0));
	EXPECT_EQ(2, RUN_SYNC(vcpu));
	EXPECT_EQ(1, RUN_SYNC(vcpu));
}

static union {
	u32 all;
	struct {
		u8 tpr, isr, unused, irr;
	};
} volatile vapic;

static void log_irq_at_moved_apic(struct ex_frame *frame)
{
	log_vector[nr_log++] = frame->vector;
	GUEST_SYNC(0x35);
	GUEST_ASSERT_EQ(vapic.isr, 0x30);
	*(volatile u32 *)(GPA_MMIO + APIC_EOI) = 0;
}

static void use_vapic(void)
{
	move_apic();
	guest_handlers[0x35] = log_irq_at_moved_apic;
	GUEST_SYNC(1);
	vapic.tpr = 0x40;
	GUEST_SYNC(2);
	*(volatile u32 *)(GPA_MMIO + APIC_ICR) = ICR_SELF | ICR_ASSERT | 0x35;
	GUEST_SYNC(3);
	sti();
	GUEST_SYNC(4);
	GUEST_ASSERT_EQ(nr_log, 0);
	GUEST_ASSERT_EQ(vapic.irr, 0x35);
	GUEST_ASSERT_EQ(vapic.isr, 0);
	vapic.tpr = 0;
	GUEST_SYNC(5);
	GUEST_ASSERT_EQ(nr_log, 1);
	GUEST_ASSERT_EQ(vapic.irr, 0);
	GUEST_SYNC(6);
	/* When userspace says so, it is memory like all other. */
	vapic.tpr = 0x50;
	GUEST_SYNC(7);
	GUEST_DONE();
}

static int set_vapic(struct vcpu *vcpu, u64 addr)
{
	struct kvm_vapic_addr va = { .vapic_addr = addr };

	return ioctl(vcpu->fd, KVM_SET_VAPIC_ADDR, &va);
}

TEST(the_tpr_has_a_copy_in_memory)
{
	struct vcpu *vcpu = vcpu_add(vm_create_with_irqchip(), use_vapic);

	REQUIRE_CAP(vcpu->vm->dev, KVM_CAP_VAPIC);
	EXPECT_ERRNO(EINVAL, set_vapic(vcpu, RAM_SIZE));
	EXPECT_ERRNO(EINVAL, set_vapic(vcpu, RAM_SIZE - 2));
	EXPECT_ERRNO(EINVAL, set_vapic(vcpu, ~0ull));
	EXPECT_ERRNO(EFAULT, ioctl(vcpu->fd, KVM_SET_VAPIC_ADDR, NULL));
	EXPECT_EQ(1, RUN_SYNC(vcpu));
	set_lapic_reg(vcpu, APIC_TPR, 0x10);
	EXPECT_EQ(0, set_vapic(vcpu, (u64)&vapic));
	EXPECT_EQ(2, RUN_SYNC(vcpu));
	EXPECT_EQ(0x40, vcpu_lapic_reg(vcpu, APIC_TPR));
	for (int i = 3; i <= 5; i++)
		EXPECT_EQ(i, RUN_SYNC(vcpu));
	EXPECT_EQ(0x35, RUN_SYNC(vcpu));
	EXPECT_EQ(6, RUN_SYNC(vcpu));
	EXPECT_EQ(0, vcpu_lapic_reg(vcpu, APIC_TPR));
	EXPECT_EQ(0, set_vapic(vcpu, 0));
	EXPECT_EQ(7, RUN_SYNC(vcpu));
	EXPECT_EQ(0, vcpu_lapic_reg(vcpu, APIC_TPR));
	RUN_DONE(vcpu);
}

/* ---- destinations ---- */

static volatile u64 icr;

static void send_xapic(void)
{
	xapic_write(APIC_SPIV, SPIV_ON);
	for (;;) {
		GUEST_SYNC(0);
		xapic_write(APIC_ICR2, icr >> 32);
		xapic_write(APIC_ICR, icr);
	}
}

static void send_x2apic(void)
{
	for (;;) {
		GUEST_SYNC(0);
		x2apic_write(APIC_ICR, icr);
	}
}

#define NR 4

/* Has vCPU 0 send @val; who got vector 0x99, a bit for each. */
static u32 who_gets(struct vm *vm, u64 val)
{
	u32 who = 0;

	*guest_ptr(vm, icr) = val | ICR_ASSERT | 0x99;
	RUN_SYNC(&vm->vcpus[0]);
	for (int i = 0; i < NR; i++) {
		who |= lapic_requested(&vm->vcpus[i], 0x99) << i;
		set_lapic_reg(&vm->vcpus[i], APIC_IRR + 0x40, 0);
	}
	return who;
}

static struct vm *four_apics(void (*sender)(void), const u32 *ldr, u32 dfr)
{
	struct vm *vm = vm_create_with_irqchip();

	for (int i = 0; i < NR; i++) {
		struct vcpu *vcpu = i ? vcpu_create(vm) : vcpu_add(vm, sender);

		if (!ldr) {
			struct kvm_sregs sregs = vcpu_sregs(vcpu);

			sregs.apic_base |= APIC_BASE_X2APIC;
			vcpu_set_sregs(vcpu, &sregs);
		}
		set_lapic_reg(vcpu, APIC_SPIV, SPIV_ON);
		if (ldr) {
			set_lapic_reg(vcpu, APIC_LDR, ldr[i] << 24);
			set_lapic_reg(vcpu, APIC_DFR, dfr);
		}
	}
	RUN_SYNC(&vm->vcpus[0]);
	return vm;
}

TEST(destinations_xapic_flat)
{
	static const u32 ldr[NR] = { 1, 2, 4, 8 };
	struct vm *vm = four_apics(send_xapic, ldr, 0xffffffff);

	for (u64 i = 0; i < NR; i++)
		EXPECT_EQ(1u << i, who_gets(vm, i << 56));
	EXPECT_EQ(0, who_gets(vm, 9ull << 56));
	EXPECT_EQ(0xf, who_gets(vm, 0xffull << 56));
	EXPECT_EQ(0x1, who_gets(vm, ICR_SELF));
	EXPECT_EQ(0xf, who_gets(vm, ICR_ALL));
	EXPECT_EQ(0xe, who_gets(vm, ICR_OTHERS));
	EXPECT_EQ(0x6, who_gets(vm, ICR_LOGICAL | 6ull << 56));
	EXPECT_EQ(0xf, who_gets(vm, ICR_LOGICAL | 0xffull << 56));
	EXPECT_EQ(0, who_gets(vm, ICR_LOGICAL | 0x10ull << 56));
	EXPECT_EQ(1, __builtin_popcount(who_gets(vm, ICR_LOGICAL | ICR_LOWEST | 0xeull << 56)));
	/* Who is disabled by software takes no interrupt. */
	set_lapic_reg(&vm->vcpus[2], APIC_SPIV, 0xff);
	EXPECT_EQ(0xb, who_gets(vm, ICR_ALL));
	EXPECT_EQ(0x8, who_gets(vm, ICR_LOGICAL | ICR_LOWEST | 0xcull << 56));
	/* Another ID, another place. */
	set_lapic_reg(&vm->vcpus[1], APIC_ID, 9u << 24);
	EXPECT_EQ(0x2, who_gets(vm, 9ull << 56));
	EXPECT_EQ(0, who_gets(vm, 1ull << 56));
}

TEST(destinations_xapic_cluster)
{
	static const u32 ldr[NR] = { 0x11, 0x12, 0x21, 0x28 };
	struct vm *vm = four_apics(send_xapic, ldr, 0x0fffffff);

	EXPECT_EQ(0x3, who_gets(vm, ICR_LOGICAL | 0x13ull << 56));
	EXPECT_EQ(0x2, who_gets(vm, ICR_LOGICAL | 0x12ull << 56));
	EXPECT_EQ(0xc, who_gets(vm, ICR_LOGICAL | 0x2full << 56));
	EXPECT_EQ(0, who_gets(vm, ICR_LOGICAL | 0x3full << 56));
	EXPECT_EQ(0x8, who_gets(vm, 3ull << 56));
}

TEST(destinations_x2apic)
{
	struct vm *vm = four_apics(send_x2apic, NULL, 0);

	for (u64 i = 0; i < NR; i++) {
		EXPECT_EQ(1u << i, who_gets(vm, i << 32));
		EXPECT_EQ(1u << i, who_gets(vm, ICR_LOGICAL | 1ull << (32 + i)));
	}
	EXPECT_EQ(0x6, who_gets(vm, ICR_LOGICAL | 6ull << 32));
	EXPECT_EQ(0, who_gets(vm, ICR_LOGICAL | 0x10001ull << 32));
	EXPECT_EQ(0xf, who_gets(vm, 0xffffffffull << 32));
	EXPECT_EQ(0, who_gets(vm, 0xffull << 32));
	EXPECT_EQ(0xe, who_gets(vm, ICR_OTHERS));
	EXPECT_EQ(1, __builtin_popcount(who_gets(vm, ICR_LOGICAL | ICR_LOWEST | 0xeull << 32)));
}

static void bad_icr(void)
{
	enable_x2apic();
	for (int bit = 0; bit < 32; bit++) {
		if (0xfffff000 >> bit & 1 && !(0xccf00 >> bit & 1) && bit != 12)
			GUEST_ASSERT_EQ(wrmsr_safe(x2apic_msr(APIC_ICR), 0x40 | 1u << bit), GP);
	}
	GUEST_DONE();
}

TEST(reserved_bits_of_the_x2apic_icr)
{
	RUN_DONE(vcpu_add(vm_create_with_irqchip(), bad_icr));
}

/* ---- INIT, SIPI, NMI ---- */

/* Where application processors begin: they tell CS, and stop. */
GUEST_ASM(ap_start, "16",
	  "mov %cs, %ax\n mov %ax, %cs:0x800\n"
	  "lock incw %cs:0x802\n"
	  "1: cli\n hlt\n jmp 1b\n");

#define AP_CS(vm) (*(volatile u16 *)gpa_ptr(vm, GPA_CODE + 0x800))
#define AP_STARTS(vm) (*(volatile u16 *)gpa_ptr(vm, GPA_CODE + 0x802))

static void *run_forever(void *arg)
{
	struct vcpu *vcpu = arg;

	for (;;)
		ioctl(vcpu->fd, KVM_RUN, 0);
	return NULL;
}

static void *run_until_done(void *arg)
{
	struct vcpu *vcpu = arg;

	for (;;) {
		if (ioctl(vcpu->fd, KVM_RUN, 0) && errno != EAGAIN && errno != EINTR)
			FAIL("KVM_RUN: %s", strerror(errno));
		if (is_ucall(vcpu))
			return NULL;
	}
}

static pthread_t start(void *(*fn)(void *), struct vcpu *vcpu)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, fn, vcpu))
		FAIL("pthread_create");
	return thread;
}

static void wait_for_starts(struct vm *vm, u16 n)
{
	for (int i = 0; AP_STARTS(vm) != n; i++) {
		if (i == 5000)
			FAIL("%u starts, not %u", AP_STARTS(vm), n);
		usleep(1000);
	}
}

TEST(init_and_sipi_start_an_ap)
{
	struct vm *vm = vm_create_with_irqchip();
	struct vcpu *bsp = vcpu_add(vm, send_x2apic), *ap = vcpu_create(vm);
	struct kvm_sregs sregs = vcpu_sregs(bsp);

	sregs.apic_base |= APIC_BASE_X2APIC;
	vcpu_set_sregs(bsp, &sregs);
	memcpy(gpa_ptr(vm, GPA_CODE), ap_start, ap_start_end - ap_start);
	AP_CS(vm) = 0;
	AP_STARTS(vm) = 0;
	RUN_SYNC(bsp);
	start(run_forever, ap);

	/* SIPI without INIT before it is not heard. */
	*guest_ptr(vm, icr) = 1ull << 32 | ICR_ASSERT | ICR_SIPI | GPA_CODE >> 12;
	RUN_SYNC(bsp);
	usleep(20000);
	EXPECT_EQ(0, AP_STARTS(vm));
	*guest_ptr(vm, icr) = 1ull << 32 | ICR_ASSERT | ICR_LEVEL | ICR_INIT;
	RUN_SYNC(bsp);
	*guest_ptr(vm, icr) = 1ull << 32 | ICR_LEVEL | ICR_INIT; /* de-assert */
	RUN_SYNC(bsp);
	usleep(20000);
	EXPECT_EQ(0, AP_STARTS(vm));
	*guest_ptr(vm, icr) = 1ull << 32 | ICR_ASSERT | ICR_SIPI | GPA_CODE >> 12;
	RUN_SYNC(bsp);
	wait_for_starts(vm, 1);
	EXPECT_EQ(GPA_CODE >> 4, AP_CS(vm));
	/* The second SIPI of the start-up sequence finds it running. */
	RUN_SYNC(bsp);
	usleep(20000);
	EXPECT_EQ(1, AP_STARTS(vm));
	/* And once more from the beginning, out of HLT with interrupts off. */
	*guest_ptr(vm, icr) = ICR_OTHERS | ICR_ASSERT | ICR_INIT;
	RUN_SYNC(bsp);
	*guest_ptr(vm, icr) = ICR_OTHERS | ICR_ASSERT | ICR_SIPI | GPA_CODE >> 12;
	RUN_SYNC(bsp);
	wait_for_starts(vm, 2);
}

TEST(mp_states)
{
	struct vm *vm = vm_create_with_irqchip();
	struct vcpu *vcpu = vcpu_create(vm);

	for (u32 state = KVM_MP_STATE_RUNNABLE; state <= KVM_MP_STATE_HALTED; state++) {
		set_mp_state(vcpu, state);
		EXPECT_EQ(state, mp_state(vcpu));
	}
}

static volatile u32 nmis;

static void count_nmi(struct ex_frame *frame __attribute__((unused)))
{
	nmis++;
}

static void wait_for_nmi(void)
{
	guest_handlers[NMI] = count_nmi;
	for (u32 i = 1; i <= 3; i++) {
		GUEST_SYNC(i);
		while (nmis < i)
			hlt();
	}
	GUEST_DONE();
}

TEST(nmi_by_ipi)
{
	struct vm *vm = vm_create_with_irqchip();
	struct vcpu *bsp = vcpu_add(vm, send_xapic), *ap = vcpu_add(vm, wait_for_nmi);
	pthread_t thread;

	set_mp_state(ap, KVM_MP_STATE_RUNNABLE);
	RUN_SYNC(bsp);
	*guest_ptr(vm, icr) = 1ull << 56 | ICR_ASSERT | ICR_NMI;
	EXPECT_EQ(1, RUN_SYNC(ap));
	RUN_SYNC(bsp);
	EXPECT_EQ(2, RUN_SYNC(ap));
	/* While it sleeps in HLT with interrupts off. */
	thread = start(run_until_done, ap);
	usleep(20000);
	RUN_SYNC(bsp);
	pthread_join(thread, NULL);
	EXPECT_EQ(2, *guest_ptr(vm, nmis));
}

#define ROUNDS 300
static volatile u32 rounds[2];

static void echo(struct ex_frame *frame __attribute__((unused)))
{
	u32 me = x2apic_read(APIC_ID);

	x2apic_write(APIC_EOI, 0);
	if (++rounds[me] <= ROUNDS)
		x2apic_write(APIC_ICR, (u64)!me << 32 | ICR_ASSERT | 0x55);
}

static void ping_pong(void)
{
	enable_x2apic();
	guest_handlers[0x55] = echo;
	if (!x2apic_read(APIC_ID))
		x2apic_write(APIC_ICR, ICR_SELF | ICR_ASSERT | 0x55);
	while (rounds[x2apic_read(APIC_ID)] < ROUNDS)
		asm volatile("sti; hlt; cli" : : : "memory");
	GUEST_DONE();
}

TEST(ipis_between_two_that_sleep)
{
	struct vm *vm = vm_create_with_irqchip();
	struct vcpu *a = vcpu_add(vm, ping_pong), *b = vcpu_add(vm, ping_pong);
	pthread_t thread;

	/* It has to be there before the first message. */
	set_mp_state(b, KVM_MP_STATE_RUNNABLE);
	set_lapic_reg(b, APIC_SPIV, SPIV_ON);
	thread = start(run_until_done, b);
	RUN_DONE(a);
	pthread_join(thread, NULL);
	EXPECT_LE(ROUNDS, guest_ptr(vm, rounds)[0][0]);
	EXPECT_EQ(ROUNDS, guest_ptr(vm, rounds)[0][1]);
}

/* ---- the timer ---- */

static volatile u32 ticks;

static void count_tick(struct ex_frame *frame __attribute__((unused)))
{
	ticks++;
	x2apic_write(APIC_EOI, 0);
}

static void sleep_until(u32 n)
{
	while (ticks < n)
		asm volatile("sti; hlt; cli" : : : "memory");
}

#define MS 1000000 /* of the APIC's 1 GHz clock */

static void timer_modes(void)
{
	u32 count;

	enable_x2apic();
	guest_handlers[0x60] = count_tick;
	x2apic_write(APIC_TDCR, TDCR_1);

	/* One shot. */
	x2apic_write(APIC_LVTT, 0x60);
	x2apic_write(APIC_TMICT, 1000 * MS);
	count = x2apic_read(APIC_TMCCT);
	GUEST_ASSERT(count <= 1000 * MS);
	GUEST_ASSERT(count > 0);
	GUEST_ASSERT(x2apic_read(APIC_TMCCT) < count);
	x2apic_write(APIC_TMICT, 5 * MS);
	sleep_until(1);
	GUEST_ASSERT_EQ(x2apic_read(APIC_TMCCT), 0);
	GUEST_ASSERT_EQ(x2apic_read(APIC_TMICT), 5 * MS);

	/* Periodic, then stopped. */
	x2apic_write(APIC_LVTT, 0x60 | LVT_PERIODIC);
	x2apic_write(APIC_TMICT, 2 * MS);
	sleep_until(5);
	x2apic_write(APIC_TMICT, 0);
	GUEST_ASSERT_EQ(x2apic_read(APIC_TMCCT), 0);

	/* Masked: it counts, and says nothing.  One may have come before it was stopped. */
	asm volatile("sti; nop; cli" : : : "memory");
	ticks = 0;
	x2apic_write(APIC_LVTT, 0x60 | LVT_MASKED);
	x2apic_write(APIC_TMICT, 1);
	while (x2apic_read(APIC_TMCCT))
		cpu_relax();
	sti();
	asm volatile("nop");
	cli();
	GUEST_ASSERT_EQ(ticks, 0);

	/* TSC deadline: the counting registers rest. */
	x2apic_write(APIC_LVTT, 0x60 | LVT_DEADLINE);
	x2apic_write(APIC_TMICT, 5 * MS);
	GUEST_ASSERT_EQ(x2apic_read(APIC_TMICT), 0);
	GUEST_ASSERT_EQ(rdmsr(TSC_DEADLINE_MSR), 0);
	wrmsr(TSC_DEADLINE_MSR, rdtsc() + 1000000);
	sleep_until(1);
	GUEST_ASSERT_EQ(rdmsr(TSC_DEADLINE_MSR), 0);
	wrmsr(TSC_DEADLINE_MSR, 1); /* long ago */
	sleep_until(2);
	/* To a later time, to an earlier one, and off. */
	wrmsr(TSC_DEADLINE_MSR, rdtsc() + 1000000);
	wrmsr(TSC_DEADLINE_MSR, rdtsc() + 3000000);
	sleep_until(3);
	wrmsr(TSC_DEADLINE_MSR, -1ull);
	GUEST_ASSERT_EQ(rdmsr(TSC_DEADLINE_MSR), -1ull);
	wrmsr(TSC_DEADLINE_MSR, rdtsc() + 1000000);
	sleep_until(4);
	wrmsr(TSC_DEADLINE_MSR, rdtsc() + 20000000);
	wrmsr(TSC_DEADLINE_MSR, 0);
	for (u64 end = rdtsc() + 30000000; rdtsc() < end;)
		cpu_relax();
	/* Another mode forgets it. */
	wrmsr(TSC_DEADLINE_MSR, -1ull);
	x2apic_write(APIC_LVTT, 0x60);
	GUEST_ASSERT_EQ(rdmsr(TSC_DEADLINE_MSR), 0);
	sti();
	asm volatile("nop");
	cli();
	GUEST_ASSERT_EQ(ticks, 4);
	GUEST_DONE();
}

TEST(timer)
{
	struct vm *vm = vm_create_with_irqchip();

	REQUIRE_CAP(vm->dev, KVM_CAP_TSC_DEADLINE_TIMER);
	RUN_DONE(vcpu_add(vm, timer_modes));
}

static volatile u32 restored;

static void count_restored(struct ex_frame *frame __attribute__((unused)))
{
	restored++;
	x2apic_write(APIC_EOI, 0);
}

static void start_timer(void)
{
	enable_x2apic();
	guest_handlers[0xbf] = count_restored;
	guest_handlers[0x60] = count_tick;
	x2apic_write(APIC_TDCR, TDCR_1);
	x2apic_write(APIC_LVTT, 0x60 | LVT_PERIODIC);
	x2apic_write(APIC_TMICT, 3 * MS);
	x2apic_write(APIC_ICR, 0x1234567800000000 | ICR_ASSERT | 0x77);
	GUEST_SYNC(0);
	sleep_until(2);
	GUEST_ASSERT_EQ(x2apic_read(APIC_ICR), 0x1234567800000000 | ICR_ASSERT | 0x77);
	/* More of them on a host that is slow. */
	GUEST_ASSERT(ticks >= 2);
	GUEST_ASSERT_EQ(restored, 1);
	GUEST_DONE();
}

/* As a migration does: all state to another vCPU, where the timer goes on. */
TEST(state_moves_to_another_vm)
{
	struct vm *vm = vm_create_with_irqchip(), *to = vm_create_with_irqchip();
	struct vcpu *a = vcpu_add(vm, start_timer), *b = vcpu_create(to);
	struct kvm_lapic_state s;
	struct kvm_sregs sregs;
	struct kvm_regs regs;

	RUN_SYNC(a);
	/* The port access is over with the next run. */
	a->run->immediate_exit = 1;
	EXPECT_ERRNO(EINTR, ioctl(a->fd, KVM_RUN, 0));
	s = lapic_state(a);
	EXPECT_EQ(0x12345678, *lapic_reg(&s, APIC_ICR2));
	EXPECT_EQ(ICR_ASSERT | 0x77, *lapic_reg(&s, APIC_ICR));
	EXPECT_EQ(3 * MS, *lapic_reg(&s, APIC_TMICT));
	*lapic_reg(&s, APIC_IRR + 0x50) |= 1u << 31; /* vector 0xbf */
	*lapic_reg(&s, APIC_TPR) = 0xb0;
	sregs = vcpu_sregs(a);
	sregs.cr8 = 0xb;
	regs = vcpu_regs(a);
	memcpy(to->mem, vm->mem, RAM_SIZE);
	vcpu_set_sregs(b, &sregs);
	vcpu_set_regs(b, &regs);
	IOCTL(b->fd, KVM_SET_LAPIC, &s);
	EXPECT_EQ(0xb0, vcpu_lapic_reg(b, APIC_TPR));
	*lapic_reg(&s, APIC_TPR) = 0;
	IOCTL(b->fd, KVM_SET_LAPIC, &s);
	RUN_DONE(b);
}

TEST(without_an_irqchip_there_is_no_lapic)
{
	struct vcpu *vcpu = vcpu_create(vm_create());
	struct kvm_lapic_state s = {};

	EXPECT_ERRNO(EINVAL, ioctl(vcpu->fd, KVM_GET_LAPIC, &s));
	EXPECT_ERRNO(EINVAL, ioctl(vcpu->fd, KVM_SET_LAPIC, &s));
}

TEST_MAIN
