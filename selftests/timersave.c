// SPDX-License-Identifier: GPL-2.0-only
/*
 * Timers over save and restore. What userspace saves while a timer expires has
 * to have the interrupt, in the one form or in the other: what runs on from it
 * gets it. TIMER_SAVES=N in the environment asks for another number of saves.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "apic.h"
#include "test.h"

#define VECTOR 0x40
#define TSC_MSR 0x10

/* The guest's copies are what the host sets. */
static u64 delta; /* to the expiry, in units of the timer */
static volatile u64 got;

static void on_timer(struct ex_frame *frame)
{
	(void)frame;
	got++;
	x2apic_write(APIC_EOI, 0);
}

static void begin(u32 lvtt)
{
	guest_handlers[VECTOR] = on_timer;
	enable_x2apic();
	x2apic_write(APIC_TDCR, TDCR_1);
	x2apic_write(APIC_LVTT, lvtt);
}

/* What the round before has left is taken; then interrupts are off. */
static void take_pending(void)
{
	sti();
	for (int i = 0; i < 10; i++)
		cpu_relax();
	cli();
}

static void guest_deadline(void)
{
	begin(LVT_DEADLINE | VECTOR);
	for (;;) {
		wrmsr(TSC_DEADLINE_MSR, 0);
		take_pending();
		wrmsr(TSC_DEADLINE_MSR, rdtsc() + delta);
		GUEST_SYNC(0);
	}
}

static void guest_counts(u64 lvtt)
{
	begin(lvtt);
	for (;;) {
		x2apic_write(APIC_TMICT, 0);
		take_pending();
		x2apic_write(APIC_TMICT, delta);
		GUEST_SYNC(0);
	}
}

/* Runs on from what was saved: how many interrupts come until the first, at most 1, has. */
static void guest_waits(void)
{
	guest_handlers[VECTOR] = on_timer;
	for (;;) {
		got = 0;
		sti();
		for (u64 i = 0; i < 3000000 && !got; i++)
			cpu_relax();
		cli();
		GUEST_SYNC(got);
	}
}

struct saved {
	struct kvm_lapic_state lapic;
	u64 deadline;
};

static bool requested(struct saved *s)
{
	return *lapic_reg(&s->lapic, APIC_IRR + VECTOR / 32 * 16) & 1 << VECTOR % 32;
}

static u32 count(struct saved *s)
{
	return *lapic_reg(&s->lapic, APIC_TMCCT);
}

static u32 random_state = 1;

static u32 random_below(u32 n)
{
	random_state = random_state * 1103515245 + 12345;
	return (random_state >> 8) % n;
}

static u64 now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void busy_ns(u64 ns)
{
	u64 end = now_ns() + ns;

	while (now_ns() < end)
		;
}

static u32 nr_saves(void)
{
	const char *env = getenv("TIMER_SAVES");
	u32 n = env ? strtoul(env, NULL, 0) : 1000;

	ksft_print_msg("%u saves\n", n);
	return n;
}

static struct vcpu *vcpu_that_waits(struct vcpu *from)
{
	struct vcpu *vcpu = vcpu_add(vm_create_with_irqchip(), guest_waits);
	u64 offset;
	struct kvm_device_attr attr = {
		.group = KVM_VCPU_TSC_CTRL, .attr = KVM_VCPU_TSC_OFFSET, .addr = (uintptr_t)&offset,
	};

	vcpu_set_msr(vcpu, APIC_BASE_MSR, vcpu_get_msr(from, APIC_BASE_MSR));
	IOCTL(from->fd, KVM_GET_DEVICE_ATTR, &attr);
	IOCTL(vcpu->fd, KVM_SET_DEVICE_ATTR, &attr);
	return vcpu;
}

static void save(struct vcpu *vcpu, struct saved *s, bool msrs_first)
{
	if (msrs_first)
		s->deadline = vcpu_get_msr(vcpu, TSC_DEADLINE_MSR);
	else
		s->lapic = lapic_state(vcpu);
	if (msrs_first)
		s->lapic = lapic_state(vcpu);
	else
		s->deadline = vcpu_get_msr(vcpu, TSC_DEADLINE_MSR);
}

/* How many ns one round takes: a save is over before half of them. */
static u32 time_of_a_save(struct vcpu *vcpu)
{
	u64 start = now_ns();
	struct saved s;

	for (int i = 0; i < 16; i++) {
		RUN_SYNC(vcpu);
		save(vcpu, &s, false);
	}
	return (now_ns() - start) / 16;
}

static void restore(struct vcpu *vcpu, struct saved *s, bool msrs_first, bool msrs_last)
{
	if (msrs_first)
		vcpu_set_msr(vcpu, TSC_DEADLINE_MSR, s->deadline);
	IOCTL(vcpu->fd, KVM_SET_LAPIC, &s->lapic);
	if (msrs_last)
		vcpu_set_msr(vcpu, TSC_DEADLINE_MSR, s->deadline);
}

FIXTURE(timersave)
{
};

FIXTURE_SETUP(timersave)
{
}

FIXTURE_TEARDOWN(timersave)
{
}

TEST_F_TIMEOUT(timersave, deadlines, 7200)
{
	struct vcpu *a = vcpu_add(vm_create_with_irqchip(), guest_deadline), *b;
	struct kvm_lapic_state no_deadline;
	u64 khz = IOCTL(a->fd, KVM_GET_TSC_KHZ, 0);
	u32 n = nr_saves(), lost = 0, passed = 0, ns = time_of_a_save(a);
	struct saved s;

	b = vcpu_that_waits(a);
	no_deadline = lapic_state(b);
	for (u32 i = 0; i < n; i++) {
		/* The one before the mode: KVM forgets it then. */
		bool msrs_first = is_minivirt() && i & 2;

		*guest_ptr(a->vm, delta) = khz * random_below(ns / 2) / 1000000;
		RUN_SYNC(a);
		save(a, &s, i & 1);
		passed += requested(&s) || !s.deadline;
		if (is_minivirt())
			IOCTL(b->fd, KVM_SET_LAPIC, &no_deadline);
		restore(b, &s, msrs_first, !msrs_first);
		lost += !RUN_SYNC(b);
	}
	EXPECT_EQ(0, lost);
	ksft_print_msg("%u of them with the interrupt requested\n", passed);
}

TEST_F_TIMEOUT(timersave, one_shots, 7200)
{
	struct vcpu *a = vcpu_add(vm_create_with_irqchip(), guest_counts), *b;
	u32 n = nr_saves(), lost = 0, unrequested = 0, passed = 0, ns;
	struct saved s;

	vcpu_set_args(a, VECTOR, 0);
	*guest_ptr(a->vm, delta) = 1;
	ns = time_of_a_save(a);
	b = vcpu_that_waits(a);
	for (u32 i = 0; i < n; i++) {
		*guest_ptr(a->vm, delta) = 1 + random_below(ns / 2);
		RUN_SYNC(a);
		save(a, &s, false);
		passed += requested(&s);
		/* KVM keeps it as pending, where userspace does not see it. */
		unrequested += is_minivirt() && !requested(&s) && !count(&s);
		restore(b, &s, false, false);
		lost += !RUN_SYNC(b);
	}
	EXPECT_EQ(0, unrequested);
	EXPECT_EQ(0, lost);
	ksft_print_msg("%u of them with the interrupt requested\n", passed);
}

TEST_F_TIMEOUT(timersave, periods, 7200)
{
	struct vcpu *a = vcpu_add(vm_create_with_irqchip(), guest_counts), *b;
	u32 n = nr_saves(), lost = 0, unrequested = 0, stopped = 0;
	struct saved s, next;

	vcpu_set_args(a, LVT_PERIODIC | VECTOR, 0);
	*guest_ptr(a->vm, delta) = 1000000;
	RUN_SYNC(a);
	b = vcpu_that_waits(a);
	for (u32 i = 0; i < n;) {
		*guest_ptr(a->vm, delta) = 250000 + random_below(300000);
		RUN_SYNC(a);
		/* A save that shows the next period shows the tick. */
		for (save(a, &next, false), i++; i < n && !requested(&next); i++) {
			s = next;
			busy_ns(random_below(50000));
			save(a, &next, false);
			stopped += !count(&next);
			unrequested += count(&next) > count(&s) && !requested(&next);
		}
		restore(b, &next, false, false);
		lost += !RUN_SYNC(b);
	}
	/* KVM keeps them as pending, where userspace does not see them. */
	if (is_minivirt()) {
		EXPECT_EQ(0, unrequested);
		EXPECT_EQ(0, stopped);
	}
	EXPECT_EQ(0, lost);
}

/* The interrupt comes with the vCPU's next run: until then userspace can take it back. */
TEST(a_deadline_that_has_passed_stays_until_the_vcpu_runs)
{
	struct vm *vm = vm_create_with_irqchip();
	struct vcpu *a = vcpu_add(vm, guest_deadline);
	u64 deadline;

	*guest_ptr(vm, delta) = 1ull << 50;
	RUN_SYNC(a);
	deadline = vcpu_get_msr(a, TSC_MSR);
	vcpu_set_msr(a, TSC_DEADLINE_MSR, deadline);
	EXPECT_EQ(deadline, vcpu_get_msr(a, TSC_DEADLINE_MSR));
	EXPECT_FALSE(lapic_requested(a, VECTOR));
	vcpu_set_msr(a, TSC_DEADLINE_MSR, 0);
	*guest_ptr(vm, got) = 0;
	RUN_SYNC(a);
	EXPECT_EQ(0, *guest_ptr(vm, got));
	vcpu_set_msr(a, TSC_DEADLINE_MSR, deadline);
	vcpu_set_long_mode(a, (u64)guest_waits);
	EXPECT_EQ(1, RUN_SYNC(a));
	EXPECT_EQ(0, vcpu_get_msr(a, TSC_DEADLINE_MSR));
}

/* Userspace may restore the TSC after the deadline; and a guest may write it. */
TEST(a_deadline_is_in_the_tsc_of_the_time)
{
	struct vm *vm = vm_create_with_irqchip();
	struct vcpu *a = vcpu_add(vm, guest_deadline);
	u64 far = 1ull << 50;

	if (!is_minivirt())
		SKIP(return, "KVM waits for as long as it would have been before");
	*guest_ptr(vm, delta) = far;
	RUN_SYNC(a);
	vcpu_set_msr(a, TSC_MSR, vcpu_get_msr(a, TSC_MSR) + 2 * far);
	vcpu_set_long_mode(a, (u64)guest_waits);
	EXPECT_EQ(1, RUN_SYNC(a));
}

TEST_MAIN
