// SPDX-License-Identifier: GPL-2.0-only
/* KVM_SET_GUEST_DEBUG: what a debugger in userspace needs. */
#include <fcntl.h>
#include "test.h"

#define DR6_BS (1 << 14)

static u64 watched;

GUEST_ASM(straight_line, "64",
	  "nop\n"			/* 0 */
	  "mov $1, %eax\n"		/* 1 */
	  "cpuid\n"			/* 6: exits */
	  "outb %al, $0x10\n"		/* 8: goes to userspace */
	  "mov %eax, 0x100000\n"	/* 10 */
	  "int3\n"			/* 17 */
	  "nop\n"			/* 18 */
	  "hlt\n");			/* 19 */

static const u8 offsets[] = { 0, 1, 6, 8, 10, 17, 18, 19 };

static void set_debug(struct vcpu *vcpu, u32 control, u64 dr0, u64 dr7)
{
	struct kvm_guest_debug dbg = { .control = control };

	dbg.arch.debugreg[0] = dr0;
	dbg.arch.debugreg[7] = dr7;
	IOCTL(vcpu->fd, KVM_SET_GUEST_DEBUG, &dbg);
}

static bool no_debug(void)
{
	int dev = dev_open();
	bool ret = !has_cap(dev, KVM_CAP_SET_GUEST_DEBUG);

	close(dev);
	return ret;
}

#define NEED_GUEST_DEBUG()                                                                         \
	do {                                                                                       \
		if (no_debug())                                                                    \
			SKIP(return, "no KVM_CAP_SET_GUEST_DEBUG");                                \
	} while (0)

#define NEED_BREAKPOINTS()                                                                         \
	do {                                                                                       \
		if (on_tcg())                                                                      \
			SKIP(return, "TCG does not intercept INT3 nor load debug registers");      \
	} while (0)

static struct vcpu *straight_line_vcpu(void)
{
	return vcpu_add_asm(vm_create(), straight_line, straight_line_end);
}

#define EXPECT_DEBUG(vcpu, vector, offset)                                                         \
	do {                                                                                       \
		RUN_TO(vcpu, KVM_EXIT_DEBUG);                                                      \
		EXPECT_EQ(vector, (vcpu)->run->debug.arch.exception);                              \
		EXPECT_EQ(GPA_CODE + (offset), (vcpu)->run->debug.arch.pc);                        \
		EXPECT_EQ(GPA_CODE + (offset), vcpu_regs(vcpu).rip);                               \
	} while (0)

TEST(single_step_stops_after_each_instruction)
{
	struct vcpu *vcpu;

	NEED_GUEST_DEBUG();
	if (on_bochs())
		SKIP(return, "Bochs traps before the first instruction of an entry with TF");
	vcpu = straight_line_vcpu();
	set_debug(vcpu, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP, 0, 0);
	for (int i = 1; i <= 3; i++) {
		EXPECT_DEBUG(vcpu, DB, offsets[i]);
		EXPECT_EQ(DR6_BS, vcpu->run->debug.arch.dr6 & DR6_BS);
	}
	RUN_TO(vcpu, KVM_EXIT_IO);
	/* The debugger's flag is not the guest's. */
	EXPECT_EQ(0, vcpu_regs(vcpu).rflags & 0x100);
	set_debug(vcpu, 0, 0, 0);
	EXPECT_EQ(0, vcpu_regs(vcpu).rflags & 0x100);
}

GUEST_ASM(to_userspace, "64",
	  "mov %eax, (%rdi)\n"		/* 0: MMIO */
	  "nop\n"			/* 2 */
	  "outsb\n"			/* 3 */
	  "nop\n"			/* 4 */
	  "rep outsb\n"			/* 5: two of them */
	  "mov $1, %ecx\n"		/* 7 */
	  "rep stosl\n"			/* c */
	  "outb %al, $0x7e\n"		/* e: over when userspace sees it */
	  "hlt\n");			/* 10 */

/* By the debugger, or with the guest's own flag by its handler. */
TEST(single_step_over_what_goes_to_userspace)
{
	static const struct {
		u32 reason, offset;
	} expected[] = {
		{ KVM_EXIT_MMIO, 2 }, { KVM_EXIT_DEBUG, 2 }, { KVM_EXIT_DEBUG, 3 },
		{ KVM_EXIT_IO, 4 }, { KVM_EXIT_DEBUG, 4 }, { KVM_EXIT_DEBUG, 5 },
		{ KVM_EXIT_IO, 5 }, { KVM_EXIT_DEBUG, 5 }, { KVM_EXIT_IO, 7 },
		{ KVM_EXIT_DEBUG, 7 }, { KVM_EXIT_DEBUG, 0xc }, { KVM_EXIT_MMIO, 0xe },
		{ KVM_EXIT_DEBUG, 0xe }, { KVM_EXIT_IO, 0x10 }, { KVM_EXIT_DEBUG, 0x10 },
		{ KVM_EXIT_HLT, 0x11 }, { KVM_EXIT_DEBUG, 0x11 },
	};
	struct kvm_regs regs = {
		.rip = GPA_CODE, .rflags = 2, .rsp = GPA_STACKS + STACK_SIZE,
		.rdi = GPA_MMIO, .rsi = GPA_FREE, .rdx = 0x10, .rcx = 2,
	};
	struct vcpu *vcpu;

	NEED_GUEST_DEBUG();
	if (on_bochs())
		SKIP(return, "Bochs traps before the first instruction of an entry with TF");
	if (!is_minivirt())
		SKIP(return, "KVM loses the steps");
	vcpu = vcpu_add_asm(vm_create(), to_userspace, to_userspace_end);
	vcpu_set_regs(vcpu, &regs);
	set_debug(vcpu, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP, 0, 0);
	for (int i = 0; i < ARRAY_SIZE(expected); i++) {
		RUN_TO(vcpu, expected[i].reason);
		EXPECT_EQ(GPA_CODE + expected[i].offset, vcpu_regs(vcpu).rip)
			TH_LOG("exit %d", i);
	}
}

GUEST_ASM(read_and_write, "64",
	  "add %eax, (%rdi)\n"		/* 0 */
	  "nop\n"			/* 2 */
	  "outsb\n"			/* 3 */
	  "nop\n"			/* 4 */
	  "hlt\n");			/* 5 */

TEST(single_step_from_the_middle_of_an_instruction)
{
	struct kvm_regs regs = {
		.rip = GPA_CODE, .rflags = 2, .rsp = GPA_STACKS + STACK_SIZE,
		.rdi = GPA_MMIO, .rsi = GPA_FREE, .rdx = 0x10,
	};
	struct vcpu *vcpu;

	NEED_GUEST_DEBUG();
	if (!is_minivirt())
		SKIP(return, "KVM loses the step");
	vcpu = vcpu_add_asm(vm_create(), read_and_write, read_and_write_end);
	vcpu_set_regs(vcpu, &regs);
	RUN_TO(vcpu, KVM_EXIT_MMIO);
	EXPECT_EQ(0, vcpu->run->mmio.is_write);
	set_debug(vcpu, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP, 0, 0);
	RUN_TO(vcpu, KVM_EXIT_MMIO);
	EXPECT_EQ(1, vcpu->run->mmio.is_write);
	EXPECT_DEBUG(vcpu, DB, 2);
	set_debug(vcpu, 0, 0, 0);
	RUN_TO(vcpu, KVM_EXIT_IO);
	set_debug(vcpu, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP, 0, 0);
	EXPECT_DEBUG(vcpu, DB, 4);
	set_debug(vcpu, 0, 0, 0);
	RUN_TO(vcpu, KVM_EXIT_HLT);
	EXPECT_EQ(0, vcpu_regs(vcpu).rflags & 0x100);
}

static u64 steps[16], nr_steps;

static void note_step(struct ex_frame *frame)
{
	steps[nr_steps++ % 16] = frame->rip;
	if (nr_steps == 8)
		frame->rflags &= ~0x100ull;
}

static void step_itself(void)
{
	u64 at;

	guest_handlers[DB] = note_step;
	asm volatile("leaq 1f(%%rip), %[at]\n pushfq\n orl $0x100, (%%rsp)\n popfq\n"
		     "mov %%eax, (%%rdi)\n"	/* the trap of POPFQ comes behind this */
		     "1: nop\n outsb\n rep outsb\n nop\n nop\n nop\n nop\n"
		     : [at] "=&r"(at)
		     : "D"((u64)GPA_MMIO), "S"((u64)GPA_FREE), "d"(0x10), "c"(2), "a"(0)
		     : "memory", "cc");
	GUEST_ASSERT_EQ(steps[0], at);
	GUEST_ASSERT_EQ(steps[1], at + 1);
	GUEST_ASSERT_EQ(steps[2], at + 2);
	GUEST_ASSERT_EQ(steps[3], at + 2);
	GUEST_ASSERT_EQ(steps[4], at + 4);
	GUEST_ASSERT_EQ(steps[5], at + 5);
	GUEST_DONE();
}

TEST(guest_steps_over_what_goes_to_userspace)
{
	static const u32 reasons[] = { KVM_EXIT_MMIO, KVM_EXIT_IO, KVM_EXIT_IO, KVM_EXIT_IO };
	struct vcpu *vcpu = vcpu_add(vm_create(), step_itself);

	if (on_bochs())
		SKIP(return, "Bochs traps before the first instruction of an entry with TF");
	if (!is_minivirt())
		SKIP(return, "KVM loses the steps");
	for (int i = 0; i < ARRAY_SIZE(reasons); i++)
		RUN_TO(vcpu, reasons[i]);
	RUN_DONE(vcpu);
}

TEST(int3_is_the_debuggers_when_it_asks)
{
	struct vcpu *vcpu;
	struct kvm_regs regs;

	NEED_GUEST_DEBUG();
	NEED_BREAKPOINTS();
	vcpu = straight_line_vcpu();
	set_debug(vcpu, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP, 0, 0);
	RUN_TO(vcpu, KVM_EXIT_IO);
	EXPECT_DEBUG(vcpu, BP, 17);
	/* At the instruction: the debugger puts back what was there, or steps over it. */
	regs = vcpu_regs(vcpu);
	regs.rip++;
	vcpu_set_regs(vcpu, &regs);
	RUN_TO(vcpu, KVM_EXIT_HLT);
}

TEST(hardware_breakpoint_on_execution)
{
	struct vcpu *vcpu;

	NEED_GUEST_DEBUG();
	NEED_BREAKPOINTS();
	vcpu = straight_line_vcpu();
	set_debug(vcpu, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP, GPA_CODE + 10, 0x402);
	RUN_TO(vcpu, KVM_EXIT_IO);
	EXPECT_DEBUG(vcpu, DB, 10);
	EXPECT_EQ(1, vcpu->run->debug.arch.dr6 & 0xf);
	set_debug(vcpu, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP, 0, 0);
	EXPECT_DEBUG(vcpu, BP, 17);
}

TEST(hardware_breakpoint_on_a_write)
{
	struct vcpu *vcpu;

	NEED_GUEST_DEBUG();
	NEED_BREAKPOINTS();
	vcpu = straight_line_vcpu();
	/* 4 bytes, write: a trap, so behind the instruction. */
	set_debug(vcpu, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP, GPA_FREE, 0xd0402);
	RUN_TO(vcpu, KVM_EXIT_IO);
	EXPECT_DEBUG(vcpu, DB, 17);
	EXPECT_EQ(1, vcpu->run->debug.arch.dr6 & 0xf);
}

GUEST_ASM(icebp, "64",
	  "sti\n"		/* 0 */
	  ".byte 0xf1\n"	/* 1 */
	  "hlt\n");		/* 2 */

TEST(icebp_stops_behind_it)
{
	struct vcpu *vcpu;

	NEED_GUEST_DEBUG();
	NEED_BREAKPOINTS();
	if (!is_minivirt())
		SKIP(return, "KVM stops at it, again and again");
	vcpu = vcpu_add_asm(vm_create(), icebp, icebp_end);
	set_debug(vcpu, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP, 0, 0x400);
	EXPECT_DEBUG(vcpu, DB, 2);
	RUN_TO(vcpu, KVM_EXIT_HLT);
}

GUEST_ASM(sti_and_nops, "64", "sti\n nop\n nop\n hlt\n");

TEST(single_step_over_sti)
{
	struct vcpu *vcpu;
	struct kvm_regs regs;

	NEED_GUEST_DEBUG();
	if (on_tcg())
		SKIP(return, "TCG's STI holds a trap back");
	vcpu = vcpu_add_asm(vm_create(), sti_and_nops, sti_and_nops_end);
	set_debug(vcpu, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP, 0, 0);
	for (int i = 1; i <= 3; i++) {
		RUN_TO(vcpu, KVM_EXIT_DEBUG);
		/* Bochs traps before the first instruction of an entry with TF. */
		if (!on_bochs())
			EXPECT_EQ(GPA_CODE + i, vcpu_regs(vcpu).rip);
	}
	/* Behind an STI that was not stepped over. */
	vcpu = vcpu_add_asm(vm_create(), sti_and_nops, sti_and_nops_end);
	regs = vcpu_regs(vcpu);
	regs.rip++;
	regs.rflags |= 1 << 9;
	vcpu_set_regs(vcpu, &regs);
	IOCTL(vcpu->fd, KVM_SET_VCPU_EVENTS, &((struct kvm_vcpu_events) {
		.flags = KVM_VCPUEVENT_VALID_SHADOW, .interrupt.shadow = KVM_X86_SHADOW_INT_STI }));
	set_debug(vcpu, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP, 0, 0);
	RUN_TO(vcpu, KVM_EXIT_DEBUG);
	if (!on_bochs())
		EXPECT_EQ(GPA_CODE + 2, vcpu_regs(vcpu).rip);
}

TEST(unknown_control_bits)
{
	struct kvm_guest_debug dbg = { .control = KVM_GUESTDBG_ENABLE };
	struct vcpu *vcpu;

	NEED_GUEST_DEBUG();
	vcpu = straight_line_vcpu();
	EXPECT_EQ(0, ioctl(vcpu->fd, KVM_SET_GUEST_DEBUG, &dbg));
	EXPECT_ERRNO(EFAULT, ioctl(vcpu->fd, KVM_SET_GUEST_DEBUG, 8));
	RUN_TO(vcpu, KVM_EXIT_IO);
}

static u64 hits;

static void count_hit(struct ex_frame *frame __attribute__((unused)))
{
	u64 dr6;

	asm volatile("mov %%dr6, %0" : "=r"(dr6));
	GUEST_ASSERT_EQ(dr6 & 0xf, 1);
	asm volatile("mov %0, %%dr6" : : "r"(0xffff0ff0ull));
	hits++;
}

static void watch_itself(void)
{
	guest_handlers[DB] = count_hit;
	WRITE_ONCE(watched, 0);
	for (;;) {
		GUEST_SYNC(hits);
		WRITE_ONCE(watched, 1);
	}
}

static void set_guest_dr7(struct vcpu *vcpu, u64 dr7)
{
	struct kvm_debugregs regs = { .db = { (u64)&watched }, .dr6 = 0xffff0ff0, .dr7 = dr7 };

	IOCTL(vcpu->fd, KVM_SET_DEBUGREGS, &regs);
}

TEST(the_guests_own_breakpoints)
{
	struct vm *vm = vm_create();
	struct vcpu *vcpu = vcpu_add(vm, watch_itself);
	struct vcpu *other = vcpu_add_asm(vm, straight_line, straight_line_end);

	NEED_BREAKPOINTS();
	EXPECT_EQ(0, RUN_SYNC(vcpu));
	set_guest_dr7(vcpu, 0xd0402); /* 4 bytes, write */
	EXPECT_EQ(1, RUN_SYNC(vcpu));
	/* They stay with the vCPU, whoever runs in between. */
	RUN_TO(other, KVM_EXIT_IO);
	*guest_ptr(vm, watched) = 7;
	EXPECT_EQ(2, RUN_SYNC(vcpu));
	set_guest_dr7(vcpu, 0x400);
	EXPECT_EQ(2, RUN_SYNC(vcpu));
}

TEST_MAIN
