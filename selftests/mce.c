// SPDX-License-Identifier: GPL-2.0-only
/* Machine checks: banks that userspace sets up, and what it reports in them. */
#include <fcntl.h>
#include "test.h"
#include "apic.h"

#define MCG_CAP 0x179
#define MCG_STATUS 0x17a
#define MCG_CTL 0x17b
#define BANK(n, reg) (0x400 + 4 * (n) + (reg))
#define CTL2(n) (0x280 + (n))
enum { CTL, STATUS, ADDR, MISC };

#define CAP_CTL (1ull << 8)
#define CAP_CMCI (1ull << 10)
#define ST_VAL (1ull << 63)
#define ST_OVER (1ull << 62)
#define ST_UC (1ull << 61)
#define ST_EN (1ull << 60)
#define ST_PCC (1ull << 57)
#define MCIP 4
#define CR4_MCE (1 << 6)
#define CMCI_EN (1ull << 30)
#define APIC_LVTCMCI 0x2f0
#define VECTOR 0x61

static u64 seen, seen_status, seen_addr;

static void note(struct ex_frame *frame)
{
	seen = frame->vector;
	seen_status = rdmsr(BANK(2, STATUS));
	seen_addr = rdmsr(BANK(2, ADDR));
	wrmsr(BANK(2, STATUS), 0);
	wrmsr(MCG_STATUS, 0);
	if (frame->vector == VECTOR)
		x2apic_write(APIC_EOI, 0);
}

static void wait_for_errors(void)
{
	guest_handlers[MC] = note;
	write_cr4(read_cr4() | CR4_MCE);
	for (;;) {
		u64 was = seen;

		seen = 0;
		GUEST_SYNC(was);
		ucall(UCALL_SYNC, seen_status, seen_addr, 0, 0);
	}
}

static u64 supported(struct vm *vm)
{
	u64 cap;

	IOCTL(vm->dev, KVM_X86_GET_MCE_CAP_SUPPORTED, &cap);
	return cap;
}

static void setup(struct vcpu *vcpu, u64 cap)
{
	IOCTL(vcpu->fd, KVM_X86_SETUP_MCE, &cap);
}

static int report(struct vcpu *vcpu, u8 bank, u64 status, u64 mcg_status)
{
	struct kvm_x86_mce mce = {
		.bank = bank, .status = status, .addr = 0x1234000, .misc = 0x8c,
		.mcg_status = mcg_status,
	};

	return ioctl(vcpu->fd, KVM_X86_SET_MCE, &mce);
}

static struct vcpu *waiting_vcpu(void)
{
	struct vcpu *vcpu = vcpu_add(vm_create(), wait_for_errors);

	setup(vcpu, CAP_CTL | 10);
	RUN_SYNC(vcpu);
	RUN_SYNC(vcpu);
	return vcpu;
}

#define NEED_MCE() \
	do { \
		int dev = dev_open(); \
		int banks = has_cap(dev, KVM_CAP_MCE); \
		close(dev); \
		if (banks < 10) \
			SKIP(return, "no KVM_CAP_MCE"); \
	} while (0)

TEST(banks_are_set_up)
{
	struct vm *vm = vm_create();
	struct vcpu *vcpu = vcpu_create(vm);
	u64 cap;

	NEED_MCE();
	EXPECT_TRUE(supported(vm) & CAP_CTL);
	setup(vcpu, CAP_CTL | 10);
	EXPECT_EQ(CAP_CTL | 10, vcpu_get_msr(vcpu, MCG_CAP));
	EXPECT_EQ(~0ull, vcpu_get_msr(vcpu, MCG_CTL));
	for (int i = 0; i < 10; i++) {
		EXPECT_EQ(~0ull, vcpu_get_msr(vcpu, BANK(i, CTL)));
		EXPECT_EQ(0, vcpu_get_msr(vcpu, BANK(i, STATUS)));
	}
	EXPECT_EQ(0, vcpu_set_msr(vcpu, BANK(10, CTL), 0));
	EXPECT_EQ(1, vcpu_set_msr(vcpu, BANK(9, MISC), 0x55));
	EXPECT_EQ(0x55, vcpu_get_msr(vcpu, BANK(9, MISC)));
	EXPECT_EQ(1, vcpu_set_msr(vcpu, BANK(9, STATUS), ST_VAL));
	EXPECT_EQ(0, vcpu_set_msr(vcpu, BANK(9, CTL), 5));
	EXPECT_EQ(0, vcpu_set_msr(vcpu, MCG_CTL, 5));

	cap = 0;
	EXPECT_ERRNO(EINVAL, ioctl(vcpu->fd, KVM_X86_SETUP_MCE, &cap));
	cap = has_cap(vm->dev, KVM_CAP_MCE) + 1;
	EXPECT_ERRNO(EINVAL, ioctl(vcpu->fd, KVM_X86_SETUP_MCE, &cap));
	cap = 10 | 1ull << 40;
	EXPECT_ERRNO(EINVAL, ioctl(vcpu->fd, KVM_X86_SETUP_MCE, &cap));
	EXPECT_ERRNO(EFAULT, ioctl(vcpu->fd, KVM_X86_SETUP_MCE, 8));
	EXPECT_ERRNO(EFAULT, ioctl(vm->dev, KVM_X86_GET_MCE_CAP_SUPPORTED, 8));
}

static void guest_writes(void)
{
	u64 val;

	GUEST_ASSERT_EQ(rdmsr(MCG_CAP), CAP_CTL | 10);
	GUEST_ASSERT_EQ(wrmsr_safe(MCG_CAP, 11), GP);
	GUEST_ASSERT_EQ(rdmsr_safe(BANK(10, CTL), &val), GP);
	GUEST_ASSERT_EQ(wrmsr_safe(BANK(3, STATUS), 1), GP);
	GUEST_ASSERT_EQ(wrmsr_safe(BANK(3, STATUS), 0), TRY_NONE);
	GUEST_ASSERT_EQ(wrmsr_safe(BANK(3, CTL), 0), TRY_NONE);
	GUEST_ASSERT_EQ(rdmsr(BANK(3, CTL)), 0);
	GUEST_ASSERT_EQ(wrmsr_safe(BANK(3, CTL), 6), GP);
	GUEST_ASSERT_EQ(wrmsr_safe(BANK(3, CTL), ~(1ull << 10)), TRY_NONE);
	GUEST_ASSERT_EQ(rdmsr_safe(CTL2(3), &val), GP); /* no CMCI */
	GUEST_DONE();
}

TEST(guest_has_the_banks)
{
	struct vcpu *vcpu = vcpu_add(vm_create(), guest_writes);

	NEED_MCE();
	setup(vcpu, CAP_CTL | 10);
	RUN_DONE(vcpu);
}

TEST(an_uncorrected_error_is_a_machine_check)
{
	struct vcpu *vcpu;

	NEED_MCE();
	vcpu = waiting_vcpu();
	EXPECT_EQ(0, report(vcpu, 2, ST_VAL | ST_UC | ST_EN | ST_PCC | 0x90, MCIP));
	EXPECT_EQ(MCIP, vcpu_get_msr(vcpu, MCG_STATUS));
	EXPECT_EQ(MC, RUN_SYNC(vcpu));
	EXPECT_EQ(ST_VAL | ST_UC | ST_EN | ST_PCC | 0x90, RUN_SYNC(vcpu));
	EXPECT_EQ(0x1234000, vcpu->args[1]);
	EXPECT_EQ(0, RUN_SYNC(vcpu));
}

TEST(a_corrected_error_is_only_recorded)
{
	struct vcpu *vcpu;

	NEED_MCE();
	vcpu = waiting_vcpu();
	EXPECT_EQ(0, report(vcpu, 2, ST_VAL | 0x90, 0));
	EXPECT_EQ(0, RUN_SYNC(vcpu));
	EXPECT_EQ(ST_VAL | 0x90, vcpu_get_msr(vcpu, BANK(2, STATUS)));
	EXPECT_EQ(0x1234000, vcpu_get_msr(vcpu, BANK(2, ADDR)));
	EXPECT_EQ(0x8c, vcpu_get_msr(vcpu, BANK(2, MISC)));
	/* A second one overwrites it, and says so. */
	EXPECT_EQ(0, report(vcpu, 2, ST_VAL | 0x91, 0));
	EXPECT_EQ(ST_VAL | ST_OVER | 0x91, vcpu_get_msr(vcpu, BANK(2, STATUS)));
	/* But not an uncorrected one. */
	EXPECT_EQ(1, vcpu_set_msr(vcpu, BANK(2, STATUS), ST_VAL | ST_UC));
	EXPECT_EQ(0, report(vcpu, 2, ST_VAL | 0x92, 0));
	EXPECT_EQ(ST_VAL | ST_OVER | ST_UC, vcpu_get_msr(vcpu, BANK(2, STATUS)));
}

TEST(errors_that_the_guest_turned_off)
{
	u64 error = ST_VAL | ST_UC | ST_EN | ST_PCC;
	struct vcpu *vcpu;

	NEED_MCE();
	vcpu = waiting_vcpu();
	EXPECT_EQ(1, vcpu_set_msr(vcpu, BANK(2, CTL), 0));
	EXPECT_EQ(0, report(vcpu, 2, error, MCIP));
	EXPECT_EQ(1, vcpu_set_msr(vcpu, BANK(2, CTL), ~0ull));
	EXPECT_EQ(1, vcpu_set_msr(vcpu, MCG_CTL, 0));
	EXPECT_EQ(0, report(vcpu, 2, error, MCIP));
	EXPECT_EQ(0, vcpu_get_msr(vcpu, BANK(2, STATUS)));
	EXPECT_EQ(0, RUN_SYNC(vcpu));
}

TEST(an_error_that_nobody_handles_shuts_down)
{
	struct vcpu *vcpu;

	NEED_MCE();
	vcpu = waiting_vcpu();
	EXPECT_EQ(1, vcpu_set_msr(vcpu, MCG_STATUS, MCIP));
	EXPECT_EQ(0, report(vcpu, 2, ST_VAL | ST_UC | ST_EN | ST_PCC, MCIP));
	RUN_TO(vcpu, KVM_EXIT_SHUTDOWN);
}

TEST(bad_errors_are_refused)
{
	struct vcpu *vcpu;

	NEED_MCE();
	vcpu = waiting_vcpu();
	EXPECT_ERRNO(EINVAL, report(vcpu, 10, ST_VAL, 0));
	EXPECT_ERRNO(EINVAL, report(vcpu, 255, ST_VAL, 0));
	EXPECT_ERRNO(EINVAL, report(vcpu, 2, 0, 0));
	EXPECT_ERRNO(EFAULT, ioctl(vcpu->fd, KVM_X86_SET_MCE, 8));
	EXPECT_EQ(0, RUN_SYNC(vcpu));
}

static void wait_for_cmci(void)
{
	guest_handlers[VECTOR] = note;
	wrmsr(APIC_BASE_MSR, rdmsr(APIC_BASE_MSR) | APIC_BASE_X2APIC);
	x2apic_write(APIC_SPIV, SPIV_ON);
	GUEST_ASSERT_EQ(x2apic_read(APIC_LVR) >> 16 & 0xff, 6);
	GUEST_ASSERT_EQ(x2apic_read(APIC_LVTCMCI), LVT_MASKED);
	x2apic_write(APIC_LVTCMCI, VECTOR);
	GUEST_ASSERT_EQ(x2apic_read(APIC_LVTCMCI), VECTOR);
	GUEST_ASSERT_EQ(wrmsr_safe(CTL2(2), 1ull << 29), GP);
	wrmsr(CTL2(2), CMCI_EN | 1);
	GUEST_ASSERT_EQ(rdmsr(CTL2(2)), CMCI_EN | 1);
	sti();
	wait_for_errors();
}

/* An uncorrected error that asks for no action is told by an interrupt. */
TEST(cmci)
{
	struct vm *vm = vm_create();
	struct vcpu *vcpu;

	NEED_MCE();
	if (!(supported(vm) & CAP_CMCI))
		SKIP(return, "no CMCI");
	IOCTL(vm->fd, KVM_CREATE_IRQCHIP, 0);
	vcpu = vcpu_add(vm, wait_for_cmci);
	setup(vcpu, CAP_CTL | CAP_CMCI | 10);
	RUN_SYNC(vcpu);
	RUN_SYNC(vcpu);
	EXPECT_EQ(0, report(vcpu, 2, ST_VAL | ST_UC | ST_EN | 0x90, 0));
	EXPECT_EQ(VECTOR, RUN_SYNC(vcpu));
	EXPECT_EQ(ST_VAL | ST_UC | ST_EN | 0x90, RUN_SYNC(vcpu));
	EXPECT_EQ(1, vcpu_set_msr(vcpu, CTL2(2), 0));
	EXPECT_EQ(0, report(vcpu, 2, ST_VAL | ST_UC | ST_EN | 0x90, 0));
	EXPECT_EQ(0, RUN_SYNC(vcpu));
	EXPECT_EQ(ST_VAL | ST_UC | ST_EN | 0x90, vcpu_get_msr(vcpu, BANK(2, STATUS)));
}

TEST_MAIN
