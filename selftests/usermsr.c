// SPDX-License-Identifier: GPL-2.0-only
/* MSRs in which userspace has a say: filters, exits, and what KVM_ENABLE_CAP hides. */
#include <fcntl.h>
#include "test.h"

#define MSR_POWER_CTL 0x1fc
#define MSR_PLATFORM_INFO 0xce
#define MSR_EFER 0xc0000080
#define MSR_LSTAR 0xc0000082
#define MSR_FS_BASE 0xc0000100
#define MSR_GS_BASE 0xc0000101
#define MSR_KERNEL_GS_BASE 0xc0000102
#define MSR_UNKNOWN 0x474f4f00 /* no vendor's */

#define ALL_REASONS \
	(KVM_MSR_EXIT_REASON_INVAL | KVM_MSR_EXIT_REASON_UNKNOWN | KVM_MSR_EXIT_REASON_FILTER)
#define READ_WRITE (KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE)

static int enable_cap(struct vm *vm, u32 cap, u64 arg)
{
	struct kvm_enable_cap c = { .cap = cap, .args = { arg } };

	return ioctl(vm->fd, KVM_ENABLE_CAP, &c);
}

static int set_filter(struct vm *vm, struct kvm_msr_filter *filter)
{
	return ioctl(vm->fd, KVM_X86_SET_MSR_FILTER, filter);
}

static u64 zero_bits[KVM_MSR_FILTER_MAX_BITMAP_SIZE / 8];

/* Denies @nr MSRs from @msr on, or none with @nr 0. */
static void deny(struct vm *vm, u32 msr, u32 nr, u32 access)
{
	struct kvm_msr_filter filter = {
		.flags = KVM_MSR_FILTER_DEFAULT_ALLOW,
		.ranges[7] = {
			.flags = access, .base = msr, .nmsrs = nr, .bitmap = (void *)zero_bits,
		},
	};

	if (set_filter(vm, &filter))
		FAIL("KVM_X86_SET_MSR_FILTER: %s", strerror(errno));
}

/* The next exit is of this kind; userspace's answer is in struct kvm_run then. */
#define RUN_TO_MSR(vcpu, exit, msr_index, why)                    \
	do {                                                      \
		RUN_TO(vcpu, exit);                               \
		EXPECT_EQ(msr_index, (vcpu)->run->msr.index);     \
		EXPECT_EQ(why, (vcpu)->run->msr.reason);          \
		EXPECT_EQ(0, (vcpu)->run->msr.error);             \
	} while (0)

static void just_done(void)
{
	GUEST_DONE();
}

static void ask_for_unknown(void)
{
	u64 val;

	GUEST_ASSERT_EQ(rdmsr(MSR_UNKNOWN), 0x1122334455667788);
	GUEST_ASSERT_EQ(rdmsr_safe(MSR_UNKNOWN, &val), GP);
	wrmsr(MSR_UNKNOWN, 0x8877665544332211);
	GUEST_ASSERT_EQ(wrmsr_safe(MSR_UNKNOWN, 0), GP);
	/* One that is there, and a value that it does not take. */
	wrmsr(MSR_LSTAR, 0x1000);
	wrmsr(MSR_EFER, 1ull << 63);
	GUEST_DONE();
}

TEST(userspace_answers_for_unknown_msrs)
{
	struct vm *vm = vm_create();
	struct vcpu *vcpu = vcpu_add(vm, ask_for_unknown);

	REQUIRE_CAP(vm->dev, KVM_CAP_X86_USER_SPACE_MSR);
	EXPECT_EQ(0, enable_cap(vm, KVM_CAP_X86_USER_SPACE_MSR, ALL_REASONS));
	RUN_TO_MSR(vcpu, KVM_EXIT_X86_RDMSR, MSR_UNKNOWN, KVM_MSR_EXIT_REASON_UNKNOWN);
	vcpu->run->msr.data = 0x1122334455667788;
	RUN_TO_MSR(vcpu, KVM_EXIT_X86_RDMSR, MSR_UNKNOWN, KVM_MSR_EXIT_REASON_UNKNOWN);
	vcpu->run->msr.error = 1;
	RUN_TO_MSR(vcpu, KVM_EXIT_X86_WRMSR, MSR_UNKNOWN, KVM_MSR_EXIT_REASON_UNKNOWN);
	EXPECT_EQ(0x8877665544332211, vcpu->run->msr.data);
	RUN_TO_MSR(vcpu, KVM_EXIT_X86_WRMSR, MSR_UNKNOWN, KVM_MSR_EXIT_REASON_UNKNOWN);
	vcpu->run->msr.error = 1;
	RUN_TO_MSR(vcpu, KVM_EXIT_X86_WRMSR, MSR_EFER, KVM_MSR_EXIT_REASON_INVAL);
	EXPECT_EQ(1ull << 63, vcpu->run->msr.data);
	RUN_DONE(vcpu);
}

static void touch_unknown(void)
{
	u64 val;

	GUEST_ASSERT_EQ(rdmsr_safe(MSR_UNKNOWN, &val), GP);
	GUEST_ASSERT_EQ(wrmsr_safe(MSR_EFER, 1ull << 63), GP);
	GUEST_DONE();
}

TEST(only_for_the_reasons_that_it_asked_for)
{
	struct vm *vm = vm_create();
	struct vcpu *vcpu;

	REQUIRE_CAP(vm->dev, KVM_CAP_X86_USER_SPACE_MSR);
	RUN_DONE(vcpu_add(vm, touch_unknown));
	EXPECT_EQ(0, enable_cap(vm, KVM_CAP_X86_USER_SPACE_MSR, KVM_MSR_EXIT_REASON_FILTER));
	RUN_DONE(vcpu_add(vm, touch_unknown));
	EXPECT_EQ(0, enable_cap(vm, KVM_CAP_X86_USER_SPACE_MSR, KVM_MSR_EXIT_REASON_UNKNOWN));
	vcpu = vcpu_add(vm, touch_unknown);
	RUN_TO_MSR(vcpu, KVM_EXIT_X86_RDMSR, MSR_UNKNOWN, KVM_MSR_EXIT_REASON_UNKNOWN);
	EXPECT_EQ(0, enable_cap(vm, KVM_CAP_X86_USER_SPACE_MSR, KVM_MSR_EXIT_REASON_INVAL));
	vcpu = vcpu_add(vm, touch_unknown);
	RUN_TO_MSR(vcpu, KVM_EXIT_X86_WRMSR, MSR_EFER, KVM_MSR_EXIT_REASON_INVAL);
	EXPECT_EQ(0, enable_cap(vm, KVM_CAP_X86_USER_SPACE_MSR, 0));
	RUN_DONE(vcpu_add(vm, touch_unknown));
	EXPECT_ERRNO(EINVAL, enable_cap(vm, KVM_CAP_X86_USER_SPACE_MSR, 8));
	EXPECT_ERRNO(EINVAL, enable_cap(vm, KVM_CAP_X86_USER_SPACE_MSR, 1ull << 32));
}

/* These are a guest's without exits when there is no filter. */
static void use_bases(void)
{
	wrmsr(MSR_FS_BASE, 0x1000);
	GUEST_ASSERT_EQ(rdmsr(MSR_FS_BASE), 0x1000);
	wrmsr(MSR_KERNEL_GS_BASE, 0x2000);
	GUEST_ASSERT_EQ(rdmsr(MSR_KERNEL_GS_BASE), 0x2000);
}

static void use_bases_thrice(void)
{
	use_bases();
	GUEST_SYNC(1);
	use_bases();
	GUEST_SYNC(2);
	use_bases();
	GUEST_DONE();
}

TEST(a_filter_stops_what_needs_no_exit_without_it)
{
	struct vm *vm = vm_create();
	struct vcpu *vcpu = vcpu_add(vm, use_bases_thrice), *later;

	REQUIRE_CAP(vm->dev, KVM_CAP_X86_MSR_FILTER);
	EXPECT_EQ(0, enable_cap(vm, KVM_CAP_X86_USER_SPACE_MSR, KVM_MSR_EXIT_REASON_FILTER));
	EXPECT_EQ(1, RUN_SYNC(vcpu));
	deny(vm, MSR_FS_BASE, 1, KVM_MSR_FILTER_READ);
	RUN_TO_MSR(vcpu, KVM_EXIT_X86_RDMSR, MSR_FS_BASE, KVM_MSR_EXIT_REASON_FILTER);
	vcpu->run->msr.data = 0x1000;
	EXPECT_EQ(2, RUN_SYNC(vcpu));
	/* A vCPU that comes after the filter has it, too. */
	later = vcpu_add(vm, use_bases_thrice);
	RUN_TO_MSR(later, KVM_EXIT_X86_RDMSR, MSR_FS_BASE, KVM_MSR_EXIT_REASON_FILTER);
	deny(vm, MSR_KERNEL_GS_BASE, 1, KVM_MSR_FILTER_WRITE);
	RUN_TO_MSR(vcpu, KVM_EXIT_X86_WRMSR, MSR_KERNEL_GS_BASE, KVM_MSR_EXIT_REASON_FILTER);
	EXPECT_EQ(0x2000, vcpu->run->msr.data);
	/* Userspace does what it was asked for. */
	EXPECT_EQ(1, vcpu_set_msr(vcpu, MSR_KERNEL_GS_BASE, 0x2000));
	deny(vm, 0, 0, 0);
	RUN_DONE(vcpu);
	later->run->msr.data = 0x1000;
	EXPECT_EQ(1, RUN_SYNC(later));
	EXPECT_EQ(2, RUN_SYNC(later));
	RUN_DONE(later);
}

static void write_power_ctl(void)
{
	for (u64 i = 1;; i++)
		GUEST_SYNC(wrmsr_safe(MSR_POWER_CTL, i));
}

TEST(what_is_filtered_and_not_asked_for_is_a_fault)
{
	struct vm *vm = vm_create();
	struct vcpu *vcpu = vcpu_add(vm, write_power_ctl);

	REQUIRE_CAP(vm->dev, KVM_CAP_X86_MSR_FILTER);
	EXPECT_EQ(TRY_NONE, RUN_SYNC(vcpu));
	deny(vm, MSR_POWER_CTL, 1, READ_WRITE);
	EXPECT_EQ(GP, RUN_SYNC(vcpu));
	/* It is the guest's accesses that are filtered. */
	EXPECT_EQ(1, vcpu_get_msr(vcpu, MSR_POWER_CTL));
	EXPECT_EQ(1, vcpu_set_msr(vcpu, MSR_POWER_CTL, 77));
	EXPECT_EQ(77, vcpu_get_msr(vcpu, MSR_POWER_CTL));
	deny(vm, MSR_POWER_CTL, 1, KVM_MSR_FILTER_READ);
	EXPECT_EQ(TRY_NONE, RUN_SYNC(vcpu));
	deny(vm, MSR_POWER_CTL + 1, 1, READ_WRITE);
	EXPECT_EQ(TRY_NONE, RUN_SYNC(vcpu));
	deny(vm, MSR_POWER_CTL - 100, KVM_MSR_FILTER_MAX_BITMAP_SIZE * 8, KVM_MSR_FILTER_WRITE);
	EXPECT_EQ(GP, RUN_SYNC(vcpu));
	EXPECT_EQ(4, vcpu_get_msr(vcpu, MSR_POWER_CTL));
}

static void read_lstar_write_x2apic(void)
{
	u64 val;

	/* Denied by default; the first range that has it decides. */
	GUEST_ASSERT_EQ(rdmsr_safe(MSR_LSTAR, &val), TRY_NONE);
	GUEST_ASSERT_EQ(wrmsr_safe(MSR_LSTAR, val), GP);
	GUEST_ASSERT_EQ(rdmsr_safe(MSR_GS_BASE, &val), GP);
	GUEST_ASSERT_EQ(rdmsr_safe(MSR_POWER_CTL, &val), GP);
	/* The local APIC's MSRs are not filtered. */
	wrmsr(0x1b, rdmsr(0x1b) | 0x400);
	GUEST_ASSERT_EQ(rdmsr_safe(0x802, &val), TRY_NONE);
	GUEST_DONE();
}

TEST(deny_by_default_and_the_first_range_wins)
{
	static u64 apic_base_bits = 1, lstar_bits = 1 << 2;
	struct kvm_msr_filter filter = {
		.flags = KVM_MSR_FILTER_DEFAULT_DENY,
		.ranges = {
			{ .flags = KVM_MSR_FILTER_READ, .base = MSR_EFER, .nmsrs = 3,
			  .bitmap = (void *)&lstar_bits },
			{ .flags = READ_WRITE, .base = MSR_LSTAR, .nmsrs = 1,
			  .bitmap = (void *)zero_bits },
			{ .flags = READ_WRITE, .base = 0x1b, .nmsrs = 1,
			  .bitmap = (void *)&apic_base_bits },
		},
	};
	struct vm *vm = vm_create();
	struct vcpu *vcpu;

	REQUIRE_CAP(vm->dev, KVM_CAP_X86_MSR_FILTER);
	IOCTL(vm->fd, KVM_CREATE_IRQCHIP, 0);
	for (u32 i = 0; i < vm->cpuid->nent; i++)
		if (vm->cpuid->entries[i].function == 1)
			vm->cpuid->entries[i].ecx |= 1 << 21; /* x2APIC */
	vcpu = vcpu_add(vm, read_lstar_write_x2apic);
	EXPECT_EQ(0, set_filter(vm, &filter));
	RUN_DONE(vcpu);
}

TEST(filters_that_are_wrong)
{
	struct vm *vm = vm_create();
	struct kvm_msr_filter none = { .flags = KVM_MSR_FILTER_DEFAULT_DENY }, f;
	const struct kvm_msr_filter good = {
		.ranges[3] = { .flags = READ_WRITE, .base = 0xfffffff0, .nmsrs = 64,
			       .bitmap = (void *)zero_bits },
	};

	REQUIRE_CAP(vm->dev, KVM_CAP_X86_MSR_FILTER);
	EXPECT_ERRNO(EINVAL, set_filter(vm, &none));
	none.flags = 0;
	EXPECT_EQ(0, set_filter(vm, &none));
	f = good;
	EXPECT_EQ(0, set_filter(vm, &f));
	f.flags = 2;
	EXPECT_ERRNO(EINVAL, set_filter(vm, &f));
	f = good;
	f.ranges[3].flags = 0;
	EXPECT_ERRNO(EINVAL, set_filter(vm, &f));
	f.ranges[3].flags = 4;
	EXPECT_ERRNO(EINVAL, set_filter(vm, &f));
	f = good;
	f.ranges[3].nmsrs = KVM_MSR_FILTER_MAX_BITMAP_SIZE * 8 + 1;
	EXPECT_ERRNO(EINVAL, set_filter(vm, &f));
	f.ranges[3].nmsrs = 0xffffffff;
	EXPECT_ERRNO(EINVAL, set_filter(vm, &f));
	f = good;
	f.ranges[3].bitmap = (void *)8;
	EXPECT_ERRNO(EFAULT, set_filter(vm, &f));
	EXPECT_ERRNO(EFAULT, set_filter(vm, (void *)8));
	RUN_DONE(vcpu_add(vm, just_done));
}

static void read_platform_info(void)
{
	u64 val;

	for (;;)
		GUEST_SYNC(rdmsr_safe(MSR_PLATFORM_INFO, &val));
}

TEST(platform_info_can_be_hidden)
{
	struct vm *vm = vm_create();
	struct vcpu *vcpu = vcpu_add(vm, read_platform_info);

	REQUIRE_CAP(vm->dev, KVM_CAP_MSR_PLATFORM_INFO);
	EXPECT_EQ(TRY_NONE, RUN_SYNC(vcpu));
	EXPECT_EQ(0, enable_cap(vm, KVM_CAP_MSR_PLATFORM_INFO, 0));
	EXPECT_EQ(GP, RUN_SYNC(vcpu));
	vcpu_get_msr(vcpu, MSR_PLATFORM_INFO);
	EXPECT_EQ(1, vcpu_set_msr(vcpu, MSR_PLATFORM_INFO, 0xff00));
	EXPECT_EQ(0, enable_cap(vm, KVM_CAP_MSR_PLATFORM_INFO, 1));
	EXPECT_EQ(TRY_NONE, RUN_SYNC(vcpu));
	EXPECT_EQ(0xff00, vcpu_get_msr(vcpu, MSR_PLATFORM_INFO));
}

TEST_MAIN
