// SPDX-License-Identifier: GPL-2.0-only
/* kvmclock: the time that a guest computes from its TSC, and the ioctls that set it. */
#include <fcntl.h>
#include <time.h>
#include "test.h"

#define MSR_TSC 0x10
#define MSR_WALL_CLOCK 0x11
#define MSR_SYSTEM_TIME 0x12
#define MSR_WALL_CLOCK_NEW 0x4b564d00
#define MSR_SYSTEM_TIME_NEW 0x4b564d01
#define ENABLED 1

#define SECOND 1000000000ll
#define FLAG_STABLE 1
#define FLAG_STOPPED 2

/* What the host writes: struct pvclock_vcpu_time_info of the kernel. */
struct line {
	u32 version;
	u32 pad;
	u64 tsc;
	u64 ns;
	u32 mul;
	int8_t shift;
	u8 flags;
	u8 pad2[2];
};

struct wall_clock {
	u32 version, sec, nsec;
};

#define GPA_LINE(n) (GPA_FREE + 0x1000 * (n))
#define GPA_WALL (GPA_FREE + 0x100)
#define GPA_PAIRING (GPA_FREE + 0x200)

static u64 guest_now(u64 gpa)
{
	const volatile struct line *line = (void *)gpa;
	u32 version;
	u64 ns;

	do {
		version = line->version;
		u64 cycles = rdtsc() - line->tsc;

		cycles = line->shift < 0 ? cycles >> -line->shift : cycles << line->shift;
		ns = line->ns + (u64)((__uint128_t)cycles * line->mul >> 32);
	} while ((version & 1) || version != line->version);
	return ns;
}

static void tell_time(u64 msr)
{
	wrmsr(msr, GPA_LINE(0) | ENABLED);
	for (;;)
		GUEST_SYNC(guest_now(GPA_LINE(0)));
}

static struct vcpu *add_clock(struct vm *vm, u32 msr)
{
	struct vcpu *vcpu = vcpu_add(vm, tell_time);

	vcpu_set_args(vcpu, msr, 0);
	return vcpu;
}

static struct kvm_clock_data get_clock(struct vm *vm)
{
	struct kvm_clock_data data;

	IOCTL(vm->fd, KVM_GET_CLOCK, &data);
	return data;
}

static void set_clock(struct vm *vm, u64 ns)
{
	struct kvm_clock_data data = { .clock = ns };

	IOCTL(vm->fd, KVM_SET_CLOCK, &data);
}

static s64 real_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec * SECOND + ts.tv_nsec;
}

/* Whether all clocks here are one function of the host's TSC. */
static bool is_stable(struct vm *vm)
{
	return get_clock(vm).flags & KVM_CLOCK_TSC_STABLE;
}

TEST(both_msrs_tell_the_time_that_the_host_reads)
{
	static const u32 msrs[] = { MSR_SYSTEM_TIME, MSR_SYSTEM_TIME_NEW };

	for (int i = 0; i < 2; i++) {
		struct vm *vm = vm_create();
		struct vcpu *vcpu = add_clock(vm, msrs[i]);
		/* Two clocks of the host that are read one after the other do not agree exactly. */
		u64 slack = is_stable(vm) ? 0 : SECOND / 100;

		for (int j = 0; j < 5; j++) {
			u64 start = get_clock(vm).clock, now = RUN_SYNC(vcpu);

			EXPECT_LE(start, now + slack);
			EXPECT_LE(now, get_clock(vm).clock + slack);
		}
		EXPECT_EQ(GPA_LINE(0) | ENABLED, vcpu_get_msr(vcpu, MSR_SYSTEM_TIME));
		EXPECT_EQ(GPA_LINE(0) | ENABLED, vcpu_get_msr(vcpu, MSR_SYSTEM_TIME_NEW));
	}
}

TEST(a_new_vm_is_at_zero)
{
	EXPECT_GT(SECOND, get_clock(vm_create()).clock);
}

TEST(set_clock_sets_the_guests_time)
{
	static const s64 times[] = { 180 * SECOND, 0, 3600 * SECOND };
	struct vm *vm = vm_create();
	struct vcpu *vcpu = add_clock(vm, MSR_SYSTEM_TIME_NEW);

	RUN_SYNC(vcpu);
	for (int i = 0; i < 3; i++) {
		set_clock(vm, times[i]);
		s64 now = RUN_SYNC(vcpu);

		EXPECT_LE(times[i], now);
		EXPECT_GT(times[i] + SECOND, now);
	}
}

TEST(set_clock_adds_the_time_since_a_moment_of_the_day)
{
	struct kvm_clock_data data = { .clock = 5 * SECOND, .flags = KVM_CLOCK_REALTIME };
	struct vm *vm = vm_create();

	if (!(has_cap(vm->fd, KVM_CAP_ADJUST_CLOCK) & KVM_CLOCK_REALTIME))
		SKIP(return, "no KVM_CLOCK_REALTIME");
	data.realtime = real_now() - 100 * SECOND;
	IOCTL(vm->fd, KVM_SET_CLOCK, &data);
	EXPECT_LE(105 * SECOND, get_clock(vm).clock);
	EXPECT_GT(106 * SECOND, get_clock(vm).clock);
	/* Never back. */
	data.realtime = real_now() + 100 * SECOND;
	IOCTL(vm->fd, KVM_SET_CLOCK, &data);
	EXPECT_LE(5 * SECOND, get_clock(vm).clock);
	EXPECT_GT(6 * SECOND, get_clock(vm).clock);
}

TEST(set_clock_takes_what_get_clock_gave_and_no_other_flag)
{
	struct vm *vm = vm_create();
	struct kvm_clock_data data;

	vcpu_add(vm, tell_time);
	data = get_clock(vm);
	EXPECT_EQ(0, ioctl(vm->fd, KVM_SET_CLOCK, &data));
	data.flags |= 1 << 30;
	EXPECT_ERRNO(EINVAL, ioctl(vm->fd, KVM_SET_CLOCK, &data));
	EXPECT_ERRNO(EFAULT, ioctl(vm->fd, KVM_SET_CLOCK, 1));
	EXPECT_ERRNO(EFAULT, ioctl(vm->fd, KVM_GET_CLOCK, 1));
}

TEST(a_clock_that_is_off_is_not_written)
{
	struct vm *vm = vm_create();
	struct vcpu *vcpu = add_clock(vm, MSR_SYSTEM_TIME_NEW);
	struct line *line = gpa_ptr(vm, GPA_LINE(0));
	u32 version;

	RUN_SYNC(vcpu);
	version = line->version;
	EXPECT_EQ(0, version & 1);
	EXPECT_LT(0, version);
	EXPECT_EQ(1, vcpu_set_msr(vcpu, MSR_SYSTEM_TIME_NEW, GPA_LINE(0)));
	set_clock(vm, 0);
	RUN_SYNC(vcpu);
	EXPECT_EQ(version, line->version);
}

TEST(nothing_happens_where_there_is_no_memory)
{
	struct vcpu *vcpu = add_clock(vm_create(), MSR_SYSTEM_TIME_NEW);

	RUN_SYNC(vcpu);
	EXPECT_EQ(1, vcpu_set_msr(vcpu, MSR_SYSTEM_TIME_NEW, (1ull << 40) | ENABLED));
	RUN_SYNC(vcpu);
	EXPECT_EQ(1, vcpu_set_msr(vcpu, MSR_SYSTEM_TIME_NEW, ~0ull));
	RUN_SYNC(vcpu);
	EXPECT_EQ(1, vcpu_set_msr(vcpu, MSR_WALL_CLOCK_NEW, ~0ull));
	RUN_SYNC(vcpu);
}

TEST(the_guest_hears_that_it_was_stopped)
{
	struct vm *vm = vm_create();
	struct vcpu *vcpu = add_clock(vm, MSR_SYSTEM_TIME_NEW);
	struct line *line = gpa_ptr(vm, GPA_LINE(0));

	REQUIRE_CAP(vm->fd, KVM_CAP_KVMCLOCK_CTRL);
	EXPECT_ERRNO(EINVAL, ioctl(vcpu->fd, KVM_KVMCLOCK_CTRL, 0));
	RUN_SYNC(vcpu);
	EXPECT_EQ(0, line->flags & FLAG_STOPPED);
	EXPECT_EQ(0, ioctl(vcpu->fd, KVM_KVMCLOCK_CTRL, 0));
	RUN_SYNC(vcpu);
	EXPECT_EQ(FLAG_STOPPED, line->flags & FLAG_STOPPED);
	/* Until the guest clears it. */
	set_clock(vm, 0);
	RUN_SYNC(vcpu);
	EXPECT_EQ(FLAG_STOPPED, line->flags & FLAG_STOPPED);
	line->flags &= ~FLAG_STOPPED;
	set_clock(vm, 0);
	RUN_SYNC(vcpu);
	EXPECT_EQ(0, line->flags & FLAG_STOPPED);
}

static void tell_time_of_one(u64 gpa)
{
	wrmsr(MSR_SYSTEM_TIME_NEW, gpa | ENABLED);
	for (;;)
		GUEST_SYNC(guest_now(gpa));
}

TEST(vcpus_with_one_tsc_have_one_time)
{
	struct vm *vm = vm_create();
	struct vcpu *a = vcpu_add(vm, tell_time_of_one), *b = vcpu_add(vm, tell_time_of_one);
	struct line *line_a = gpa_ptr(vm, GPA_LINE(0)), *line_b = gpa_ptr(vm, GPA_LINE(1));
	u64 last = 0;

	vcpu_set_args(a, GPA_LINE(0), 0);
	vcpu_set_args(b, GPA_LINE(1), 0);
	RUN_SYNC(a);
	RUN_SYNC(b);
	if (!is_stable(vm))
		SKIP(return, "the host's clock is not the TSC");
	RUN_SYNC(a);
	EXPECT_EQ(FLAG_STABLE, line_a->flags);
	EXPECT_EQ(FLAG_STABLE, line_b->flags);
	EXPECT_EQ(line_a->tsc, line_b->tsc);
	EXPECT_EQ(line_a->ns, line_b->ns);
	for (int i = 0; i < 10; i++) {
		u64 now = RUN_SYNC(i & 1 ? a : b);

		EXPECT_LE(last, now);
		last = now;
	}

	/* A TSC of its own: they can no longer be compared, but each tells the time. */
	EXPECT_EQ(1, vcpu_set_msr(b, MSR_TSC, vcpu_get_msr(b, MSR_TSC) + (1ull << 45)));
	last = RUN_SYNC(b);
	EXPECT_EQ(0, line_b->flags & FLAG_STABLE);
	RUN_SYNC(a);
	EXPECT_EQ(0, line_a->flags & FLAG_STABLE);
	EXPECT_FALSE(is_stable(vm));
	EXPECT_GT(last + 5 * SECOND, get_clock(vm).clock);

	/* And as before. */
	EXPECT_EQ(1, vcpu_set_msr(a, MSR_TSC, vcpu_get_msr(b, MSR_TSC)));
	RUN_SYNC(a);
	RUN_SYNC(b);
	EXPECT_EQ(FLAG_STABLE, line_a->flags);
	EXPECT_EQ(FLAG_STABLE, line_b->flags);
	EXPECT_TRUE(is_stable(vm));
}

/* A VM with its memory and its MSRs on the other side. */
TEST(a_restored_guest_goes_on_where_it_was)
{
	struct vm *from = vm_create(), *to = vm_create();
	struct vcpu *a = add_clock(from, MSR_SYSTEM_TIME_NEW), *b = vcpu_add(to, tell_time);
	struct kvm_clock_data data;
	struct kvm_regs regs;
	u64 before, after;

	RUN_SYNC(a);
	set_clock(from, 1000 * SECOND);
	before = RUN_SYNC(a);
	data = get_clock(from);
	regs = vcpu_regs(a);
	memcpy(to->mem, from->mem, RAM_SIZE);
	vcpu_set_regs(b, &regs);
	EXPECT_EQ(1, vcpu_set_msr(b, MSR_TSC, vcpu_get_msr(a, MSR_TSC)));
	EXPECT_EQ(1, vcpu_set_msr(b, MSR_SYSTEM_TIME_NEW, vcpu_get_msr(a, MSR_SYSTEM_TIME_NEW)));
	data.flags = 0;
	IOCTL(to->fd, KVM_SET_CLOCK, &data);
	/* Userspace had the port write in hand. */
	regs.rip += 2;
	vcpu_set_regs(b, &regs);
	after = RUN_SYNC(b);
	EXPECT_LE(before, after);
	EXPECT_GT(before + 5 * SECOND, after);
}

static void tell_wall_clock(u64 msr)
{
	wrmsr(MSR_SYSTEM_TIME_NEW, GPA_LINE(0) | ENABLED);
	wrmsr(msr, GPA_WALL);
	GUEST_ASSERT_EQ(rdmsr(msr), GPA_WALL);
	GUEST_SYNC(guest_now(GPA_LINE(0)));
}

TEST(the_wall_clock_is_the_time_of_day_at_zero)
{
	static const u32 msrs[] = { MSR_WALL_CLOCK, MSR_WALL_CLOCK_NEW };

	for (int i = 0; i < 2; i++) {
		struct vm *vm = vm_create();
		struct vcpu *vcpu = vcpu_add(vm, tell_wall_clock);
		struct wall_clock *wall = gpa_ptr(vm, GPA_WALL);
		s64 guest, host;

		set_clock(vm, 50 * SECOND);
		vcpu_set_args(vcpu, msrs[i], 0);
		guest = RUN_SYNC(vcpu);
		EXPECT_EQ(0, wall->version & 1);
		EXPECT_LT(0, wall->version);
		EXPECT_GT(SECOND, wall->nsec);
		guest += wall->sec * SECOND + wall->nsec;
		host = real_now();
		EXPECT_GT(2 * SECOND, llabs(host - guest));
	}
}

#define KVM_HC_CLOCK_PAIRING 9
#define EOPNOTSUPP_OF_KVM -95

static bool amd; /* set before the guest is made */

static s64 hypercall2(u64 nr, u64 a0, u64 a1)
{
	s64 ret = nr;

	if (amd)
		asm volatile("vmmcall" : "+a"(ret) : "b"(a0), "c"(a1) : "memory");
	else
		asm volatile("vmcall" : "+a"(ret) : "b"(a0), "c"(a1) : "memory");
	return ret;
}

static void pair(void)
{
	GUEST_ASSERT_EQ(hypercall2(KVM_HC_CLOCK_PAIRING, GPA_PAIRING, 7), EOPNOTSUPP_OF_KVM);
	GUEST_SYNC(hypercall2(KVM_HC_CLOCK_PAIRING, GPA_PAIRING, 0));
}

TEST(a_pairing_is_the_time_of_day_and_the_tsc)
{
	struct {
		s64 sec, nsec;
		u64 tsc;
		u32 flags, pad[9];
	} *pairing;
	u32 a, b, c, d;
	struct vm *vm;
	struct vcpu *vcpu;
	s64 ret;

	cpuid(0, 0, &a, &b, &c, &d);
	amd = c == 0x444d4163; /* "cAMD" */
	vm = vm_create();
	vcpu = vcpu_add(vm, pair);
	pairing = gpa_ptr(vm, GPA_PAIRING);
	ret = RUN_SYNC(vcpu);
	if (ret == EOPNOTSUPP_OF_KVM)
		SKIP(return, "the host's clock is not the TSC");
	EXPECT_EQ(0, ret);
	EXPECT_GT(2 * SECOND, llabs(real_now() - pairing->sec * SECOND - pairing->nsec));
	EXPECT_LT(0, pairing->tsc);
	EXPECT_LE(pairing->tsc, vcpu_get_msr(vcpu, MSR_TSC));
	EXPECT_EQ(0, pairing->flags);
}

TEST_MAIN
