// SPDX-License-Identifier: GPL-2.0-only
/* Quirks, and exits, that KVM_ENABLE_CAP turns off. */
#include <fcntl.h>
#include <signal.h>
#include <sys/time.h>
#include "test.h"
#include "apic.h"

#define MSR_MISC_ENABLE 0x1a0
#define MISC_ENABLE_MWAIT 0x40000
#define CPUID_1_ECX_SSE3 1
#define CPUID_1_ECX_MWAIT 8
#define MSR_CORE_C6 0x3fd

static int enable_cap(struct vm *vm, u32 cap, u64 arg)
{
	struct kvm_enable_cap c = { .cap = cap, .args = { arg } };

	return ioctl(vm->fd, KVM_ENABLE_CAP, &c);
}

static u32 *leaf_1_ecx(struct vm *vm)
{
	for (u32 i = 0; i < vm->cpuid->nent; i++)
		if (vm->cpuid->entries[i].function == 1)
			return &vm->cpuid->entries[i].ecx;
	FAIL("no leaf 1");
	return NULL;
}

static void just_done(void)
{
	GUEST_DONE();
}

/* ---- quirks ---- */

static void monitor_mwait(void)
{
	static char line[64];
	u32 a, b, c, d;

	for (;;) {
		u64 vec = TRY("monitor", "a"(line), "c"(0), "d"(0));

		if (vec == TRY_NONE)
			vec = TRY("mwait", "a"(0), "c"(0));
		cpuid(1, 0, &a, &b, &c, &d);
		GUEST_SYNC(vec | (u64)!!(c & CPUID_1_ECX_MWAIT) << 32);
	}
}

TEST(mwait_without_its_cpuid_bit_is_a_no_op_by_a_quirk)
{
	struct vm *vm = vm_create();
	struct vcpu *vcpu;

	REQUIRE_CAP(vm->dev, KVM_CAP_DISABLE_QUIRKS2);
	*leaf_1_ecx(vm) &= ~CPUID_1_ECX_MWAIT;
	vcpu = vcpu_add(vm, monitor_mwait);
	EXPECT_EQ(TRY_NONE, RUN_SYNC(vcpu));
	EXPECT_EQ(0, enable_cap(vm, KVM_CAP_DISABLE_QUIRKS2, KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS));
	EXPECT_EQ(UD, RUN_SYNC(vcpu));
	EXPECT_EQ(0, enable_cap(vm, KVM_CAP_DISABLE_QUIRKS, 0));
	EXPECT_EQ(TRY_NONE, RUN_SYNC(vcpu));
}

TEST(misc_enable_changes_cpuid_without_its_quirk)
{
	const u64 both = KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS | KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT;
	struct vm *vm = vm_create();
	struct vcpu *vcpu;

	REQUIRE_CAP(vm->dev, KVM_CAP_DISABLE_QUIRKS2);
	*leaf_1_ecx(vm) &= ~CPUID_1_ECX_MWAIT;
	vcpu = vcpu_add(vm, monitor_mwait);
	EXPECT_EQ(1, vcpu_set_msr(vcpu, MSR_MISC_ENABLE, MISC_ENABLE_MWAIT));
	EXPECT_EQ(TRY_NONE, RUN_SYNC(vcpu));
	EXPECT_EQ(1, vcpu_set_msr(vcpu, MSR_MISC_ENABLE, 0));
	EXPECT_EQ(0, enable_cap(vm, KVM_CAP_DISABLE_QUIRKS2, both));
	EXPECT_EQ(UD, RUN_SYNC(vcpu));
	EXPECT_EQ(1, vcpu_set_msr(vcpu, MSR_MISC_ENABLE, MISC_ENABLE_MWAIT));
	EXPECT_EQ(TRY_NONE | 1ull << 32, RUN_SYNC(vcpu));
	EXPECT_EQ(MISC_ENABLE_MWAIT, vcpu_get_msr(vcpu, MSR_MISC_ENABLE));
}

TEST(misc_enable_has_no_mwait_without_sse3)
{
	struct vm *vm = vm_create();
	struct vcpu *vcpu;

	REQUIRE_CAP(vm->dev, KVM_CAP_DISABLE_QUIRKS2);
	EXPECT_EQ(0, enable_cap(vm, KVM_CAP_DISABLE_QUIRKS2, KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT));
	*leaf_1_ecx(vm) &= ~(CPUID_1_ECX_MWAIT | CPUID_1_ECX_SSE3);
	vcpu = vcpu_add(vm, just_done);
	EXPECT_EQ(0, vcpu_set_msr(vcpu, MSR_MISC_ENABLE, MISC_ENABLE_MWAIT));
	RUN_DONE(vcpu);
}

TEST(lint0_lets_the_pic_in_after_reset_by_a_quirk)
{
	struct vm *vm = vm_create_with_irqchip();

	if (!(has_cap(vm->fd, KVM_CAP_DISABLE_QUIRKS2) & KVM_X86_QUIRK_LINT0_REENABLED))
		SKIP(return, "no KVM_X86_QUIRK_LINT0_REENABLED");
	EXPECT_EQ(0x700, vcpu_lapic_reg(vcpu_add(vm, just_done), APIC_LVT0));
	vm = vm_create_with_irqchip();
	EXPECT_EQ(0, enable_cap(vm, KVM_CAP_DISABLE_QUIRKS2, KVM_X86_QUIRK_LINT0_REENABLED));
	EXPECT_EQ(LVT_MASKED, vcpu_lapic_reg(vcpu_add(vm, just_done), APIC_LVT0));
}

extern const u8 out_7e[], out_7e_end[];

static void out_to_7e(void)
{
	for (;;)
		asm volatile("out_7e: outb %%al, $0x7e\n\tout_7e_end:" : : "a"(0x12));
}

TEST(an_out_to_port_7e_is_over_when_userspace_sees_it_by_a_quirk)
{
	struct vm *vm = vm_create();
	struct vcpu *vcpu = vcpu_add(vm, out_to_7e);

	if (!(has_cap(vm->fd, KVM_CAP_DISABLE_QUIRKS2) & KVM_X86_QUIRK_OUT_7E_INC_RIP))
		SKIP(return, "no KVM_X86_QUIRK_OUT_7E_INC_RIP");
	for (int i = 0; i < 2; i++) {
		RUN_TO(vcpu, KVM_EXIT_IO);
		EXPECT_EQ(0x7e, vcpu->run->io.port);
		EXPECT_EQ(0x12, *((u8 *)vcpu->run + vcpu->run->io.data_offset));
		EXPECT_EQ((u64)out_7e_end, vcpu_regs(vcpu).rip);
	}
	EXPECT_EQ(0, enable_cap(vm, KVM_CAP_DISABLE_QUIRKS2, KVM_X86_QUIRK_OUT_7E_INC_RIP));
	for (int i = 0; i < 2; i++) {
		RUN_TO(vcpu, KVM_EXIT_IO);
		EXPECT_EQ((u64)out_7e, vcpu_regs(vcpu).rip);
	}
}

static void read_behind_the_apic(void)
{
	enable_x2apic();
	for (;;)
		GUEST_SYNC(xapic_read(APIC_ID));
}

TEST(the_page_of_an_apic_in_x2apic_mode_is_a_hole_by_a_quirk)
{
	struct vm *vm = vm_create_with_irqchip();
	struct vcpu *vcpu = vcpu_add(vm, read_behind_the_apic);

	if (!(has_cap(vm->fd, KVM_CAP_DISABLE_QUIRKS2) & KVM_X86_QUIRK_LAPIC_MMIO_HOLE))
		SKIP(return, "no KVM_X86_QUIRK_LAPIC_MMIO_HOLE");
	EXPECT_EQ(0xffffffff, RUN_SYNC(vcpu));
	EXPECT_EQ(0, enable_cap(vm, KVM_CAP_DISABLE_QUIRKS2, KVM_X86_QUIRK_LAPIC_MMIO_HOLE));
	RUN_TO(vcpu, KVM_EXIT_MMIO);
	EXPECT_EQ(APIC_MMIO + APIC_ID, vcpu->run->mmio.phys_addr);
	*(u32 *)vcpu->run->mmio.data = 0x1234;
	EXPECT_EQ(0x1234, RUN_SYNC(vcpu));
}

#define CR0_CD_NW (3ull << 29)

static void set_cd(void)
{
	write_cr0(read_cr0() | CR0_CD_NW);
	GUEST_ASSERT_EQ(read_cr0() & CR0_CD_NW, CR0_CD_NW);
	GUEST_SYNC(1);
	asm volatile("clts");
	GUEST_ASSERT_EQ(read_cr0() & CR0_CD_NW, CR0_CD_NW);
	write_cr0(read_cr0() & ~CR0_CD_NW);
	GUEST_SYNC(2);
	GUEST_ASSERT_EQ(read_cr0() & CR0_CD_NW, 0);
	GUEST_DONE();
}

/* What the guest reads is what it has written, with the quirk and without. */
TEST(the_guest_sees_its_cd_and_nw)
{
	for (int i = 0; i < 2; i++) {
		struct vm *vm = vm_create();
		struct vcpu *vcpu;

		if (!(has_cap(vm->fd, KVM_CAP_DISABLE_QUIRKS2) & KVM_X86_QUIRK_CD_NW_CLEARED))
			SKIP(return, "no KVM_X86_QUIRK_CD_NW_CLEARED");
		if (i)
			EXPECT_EQ(0, enable_cap(vm, KVM_CAP_DISABLE_QUIRKS2,
						KVM_X86_QUIRK_CD_NW_CLEARED));
		vcpu = vcpu_add(vm, set_cd);
		EXPECT_EQ(1, RUN_SYNC(vcpu));
		EXPECT_EQ(CR0_CD_NW, vcpu_sregs(vcpu).cr0 & CR0_CD_NW);
		EXPECT_EQ(2, RUN_SYNC(vcpu));
		EXPECT_EQ(0, vcpu_sregs(vcpu).cr0 & CR0_CD_NW);
		RUN_DONE(vcpu);
	}
}

TEST(quirks_that_are_not_there)
{
	struct vm *vm = vm_create();
	u32 quirks = has_cap(vm->fd, KVM_CAP_DISABLE_QUIRKS2);

	REQUIRE_CAP(vm->dev, KVM_CAP_DISABLE_QUIRKS2);
	EXPECT_EQ(1, has_cap(vm->fd, KVM_CAP_DISABLE_QUIRKS));
	EXPECT_EQ(0, enable_cap(vm, KVM_CAP_DISABLE_QUIRKS2, quirks));
	EXPECT_ERRNO(EINVAL, enable_cap(vm, KVM_CAP_DISABLE_QUIRKS2, ~(u64)quirks));
	EXPECT_ERRNO(EINVAL, enable_cap(vm, KVM_CAP_DISABLE_QUIRKS2, 1ull << 63));
	/* The older of the two takes anything. */
	EXPECT_EQ(0, enable_cap(vm, KVM_CAP_DISABLE_QUIRKS, ~0ull));
	RUN_DONE(vcpu_add(vm, just_done));
}

/* ---- exits ---- */

#define VECTOR 0x40

static void timer_tick(struct ex_frame *frame)
{
	(void)frame;
	x2apic_write(APIC_EOI, 0);
}

/* It sleeps twice, until its timer, and once without one. */
static void halt(void)
{
	guest_handlers[VECTOR] = timer_tick;
	enable_x2apic();
	x2apic_write(APIC_TDCR, TDCR_1);
	x2apic_write(APIC_LVTT, VECTOR);
	for (int i = 0; i < 2; i++) {
		x2apic_write(APIC_TMICT, 1000000);
		/* A processor may leave HLT with each interrupt of its host. */
		while (x2apic_read(APIC_TMCCT))
			asm volatile("sti; hlt; cli" : : : "memory");
		asm volatile("sti; nop; cli" : : : "memory");
	}
	GUEST_SYNC(0);
	for (;;)
		asm volatile("sti; hlt" : : : "memory");
}

static void interrupt(int sig)
{
	(void)sig;
}

static struct vcpu *run_halting(struct vm *vm)
{
	struct itimerval it = { .it_value.tv_usec = 300000, .it_interval.tv_usec = 300000 };
	struct sigaction sa = { .sa_handler = interrupt };
	struct vcpu *vcpu = vcpu_add(vm, halt);

	RUN_SYNC(vcpu);
	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &it, NULL);
	if (ioctl(vcpu->fd, KVM_RUN, 0) != -1 || errno != EINTR)
		FAIL("KVM_RUN of a halted guest: exit %u", vcpu->run->exit_reason);
	return vcpu;
}

TEST(a_guest_may_halt_without_an_exit)
{
	struct vm *vm = vm_create_with_irqchip();
	struct kvm_mp_state mp;
	struct vcpu *vcpu;

	if (!(has_cap(vm->fd, KVM_CAP_X86_DISABLE_EXITS) & KVM_X86_DISABLE_EXITS_HLT))
		SKIP(return, "no KVM_X86_DISABLE_EXITS_HLT");
	EXPECT_EQ(0, enable_cap(vm, KVM_CAP_X86_DISABLE_EXITS, KVM_X86_DISABLE_EXITS_HLT));
	vcpu = run_halting(vm);
	/* It goes on when userspace says so, wherever it slept. */
	mp.mp_state = KVM_MP_STATE_RUNNABLE;
	IOCTL(vcpu->fd, KVM_SET_MP_STATE, &mp);
	vcpu_set_long_mode(vcpu, (u64)just_done);
	if (is_minivirt())
		RUN_DONE(vcpu);
}

static void use_mwait(void)
{
	static char line[64];

	guest_handlers[VECTOR] = timer_tick;
	enable_x2apic();
	x2apic_write(APIC_TDCR, TDCR_1);
	x2apic_write(APIC_LVTT, VECTOR);
	x2apic_write(APIC_TMICT, 1000000);
	sti();
	for (int i = 0; i < 100 && x2apic_read(APIC_TMCCT); i++)
		asm volatile("monitor; mwait" : : "a"(line), "c"(0), "d"(0) : "memory");
	for (int i = 0; i < 10; i++)
		cpu_relax();
	GUEST_DONE();
}

TEST(mwait_and_pause_without_exits)
{
	struct vm *vm = vm_create_with_irqchip();
	u32 all = has_cap(vm->fd, KVM_CAP_X86_DISABLE_EXITS);

	EXPECT_EQ(0, enable_cap(vm, KVM_CAP_X86_DISABLE_EXITS, all & ~KVM_X86_DISABLE_EXITS_HLT));
	RUN_DONE(vcpu_add(vm, use_mwait));
}

static void read_residency(void)
{
	u64 val;

	GUEST_SYNC(rdmsr_safe(MSR_CORE_C6, &val));
}

TEST(residency_counters_only_for_a_guest_that_may_sleep)
{
	struct vm *vm = vm_create(), *other = vm_create();

	EXPECT_EQ(GP, RUN_SYNC(vcpu_add(vm, read_residency)));
	EXPECT_EQ(0, enable_cap(other, KVM_CAP_X86_DISABLE_EXITS, KVM_X86_DISABLE_EXITS_CSTATE));
	/* The emulated processors have none. */
	RUN_SYNC(vcpu_add(other, read_residency));
}

TEST(exits_that_do_not_exist)
{
	struct vm *vm = vm_create();

	EXPECT_ERRNO(EINVAL, enable_cap(vm, KVM_CAP_X86_DISABLE_EXITS, 1 << 4));
	EXPECT_ERRNO(EINVAL, enable_cap(vm, KVM_CAP_X86_DISABLE_EXITS, 1ull << 32));
	EXPECT_EQ(0, enable_cap(vm, KVM_CAP_X86_DISABLE_EXITS, 0));
	RUN_DONE(vcpu_add(vm, just_done));
}

TEST_MAIN
