// SPDX-License-Identifier: GPL-2.0-only
/*
 * Exceptions and interrupts without an in-kernel irqchip: the guest's own, and
 * those that the host injects.
 */
#include <fcntl.h>
#include "test.h"

#define PAGE ((u64)GPA_FREE) /* of the guest, for page faults */
#define VECTOR 0x40

static bool tcg; /* set before the guest is made */

static u64 *guest_idt = (u64 *)GPA_IDT;

static void simple_faults(void)
{
	u64 err;

	GUEST_ASSERT_EQ(TRY("divl %[zero]", [zero] "r"(0), "a"(1), "d"(0)), DE);
	GUEST_ASSERT_EQ(TRY("int3"), BP);
	GUEST_ASSERT_EQ(TRY("ud2"), UD);
	GUEST_ASSERT_EQ(TRY_ERR(err, "testb $0, (%[p])", [p] "r"(1ull << 63)), GP);
	GUEST_ASSERT_EQ(err, 0);
	GUEST_ASSERT_EQ(TRY_ERR(err, "movw %w[sel], %%fs", [sel] "r"(0x38)), GP);
	GUEST_ASSERT_EQ(err, 0x38);
	/* A data segment that is not present. */
	((u64 *)GPA_GDT)[7] = 0x00cf13000000ffff;
	GUEST_ASSERT_EQ(TRY_ERR(err, "movw %w[sel], %%fs", [sel] "r"(0x38)), NP);
	GUEST_ASSERT_EQ(err, 0x38);
	GUEST_ASSERT_EQ(TRY("cli; hlt; ud2; nop"), UD);
	write_cr0(read_cr0() | 1 << 3);
	GUEST_ASSERT_EQ(TRY("fnop"), NM);
	write_cr0(read_cr0() & ~(1ull << 3));
	GUEST_ASSERT_EQ(TRY("fnop"), TRY_NONE);
	/* INT n through a gate that is not present; bit 1: the error is in the IDT. */
	guest_idt[2 * 0x50] &= ~(1ull << 47);
	GUEST_ASSERT_EQ(TRY_ERR(err, "int $0x50"), NP);
	GUEST_ASSERT_EQ(err, tcg ? 0x50 << 4 | 2 : 0x50 << 3 | 2); /* TCG is wrong */
	GUEST_DONE();
}

TEST(faults_of_the_guest_reach_its_handlers)
{
	struct vcpu *vcpu;

	tcg = on_tcg();
	vcpu = vcpu_add(vm_create(), simple_faults);
	/* Only the HLT among them is seen outside. */
	RUN_TO(vcpu, KVM_EXIT_HLT);
	RUN_DONE(vcpu);
}

#define PF_P 1
#define PF_W 2
#define PF_U 4
#define PF_RSVD 8
#define PF_I 16

static void expect_pf(u64 vec, u64 err, u64 expected_err, u64 addr)
{
	GUEST_ASSERT_EQ(vec, PF);
	GUEST_ASSERT_EQ(err, expected_err);
	GUEST_ASSERT_EQ(read_cr2(), addr);
}

static void page_faults_user(void)
{
	u64 err;

	GUEST_ASSERT_EQ(TRY_ERR(err, "testb $0, (%[p])", [p] "r"(PAGE + 5)), PF);
	GUEST_ASSERT_EQ(err, PF_P | PF_U);
	GUEST_ASSERT_EQ(TRY_ERR(err, "movb $0, (%[p])", [p] "r"(PAGE + 0x1000)), PF);
	GUEST_ASSERT_EQ(err, PF_P | PF_U | PF_W);
	GUEST_ASSERT_EQ(TRY_ERR(err, "movb $0, (%[p])", [p] "r"(PAGE + 0x2000)), PF);
	GUEST_ASSERT_EQ(err, PF_U | PF_W);
	GUEST_ASSERT_EQ(TRY("hlt"), GP);
	GUEST_ASSERT_EQ(TRY("mov %%cr0, %%rax", "a"(0)), GP);
	GUEST_DONE();
}

static void page_faults(void)
{
	volatile u64 *pte = (u64 *)pte_gpa(PAGE);
	u64 err, vec;

	*pte = 0;
	invlpg(PAGE);
	vec = TRY_ERR(err, "testb $0, (%[p])", [p] "r"(PAGE + 0x123));
	expect_pf(vec, err, 0, PAGE + 0x123);
	vec = TRY_ERR(err, "movb $0, (%[p])", [p] "r"(PAGE + 0x456));
	expect_pf(vec, err, PF_W, PAGE + 0x456);
	*pte = PAGE | PTE_P;
	GUEST_ASSERT_EQ(TRY("testb $0, (%[p])", [p] "r"(PAGE)), TRY_NONE);
	vec = TRY_ERR(err, "movb $0, (%[p])", [p] "r"(PAGE));
	expect_pf(vec, err, PF_W | PF_P, PAGE);
	/* The access was noted (SDM vol. 3A, 4.8). */
	GUEST_ASSERT_EQ(*pte & (PTE_A | PTE_D), PTE_A);
	*pte = PAGE | PTE_P | PTE_W;
	invlpg(PAGE);
	GUEST_ASSERT_EQ(TRY("movb $0xc3, (%[p])", [p] "r"(PAGE)), TRY_NONE);
	GUEST_ASSERT_EQ(*pte & (PTE_A | PTE_D), PTE_A | PTE_D);
	*pte = PAGE | PTE_P | PTE_NX;
	invlpg(PAGE);
	vec = TRY_ERR(err, "jmp *%[p]", [p] "r"(PAGE));
	expect_pf(vec, err, PF_I | PF_P, PAGE);
	*pte = PAGE | PTE_P | 1ull << 51;
	invlpg(PAGE);
	vec = TRY_ERR(err, "testb $0, (%[p])", [p] "r"(PAGE));
	expect_pf(vec, err, tcg ? PF_RSVD : PF_RSVD | PF_P, PAGE); /* TCG forgets P */

	*pte = PAGE | PTE_P | PTE_W;
	pte[1] = (PAGE + 0x1000) | PTE_P | PTE_U;
	pte[2] = 0;
	write_cr3(read_cr3());
	enter_user(page_faults_user);
}

TEST(page_faults_have_error_code_and_address)
{
	tcg = on_tcg();
	RUN_DONE(vcpu_add(vm_create(), page_faults));
}

static void double_fault(void)
{
	u64 err;

	/* No gate for #GP: #NP while it is delivered is a double fault. */
	guest_idt[2 * GP] &= ~(1ull << 47);
	GUEST_ASSERT_EQ(TRY_ERR(err, "testb $0, (%[p])", [p] "r"(1ull << 63)), DF);
	GUEST_ASSERT_EQ(err, 0);
	/* Nor one for that: shutdown. */
	guest_idt[2 * DF] &= ~(1ull << 47);
	TRY("testb $0, (%[p])", [p] "r"(1ull << 63));
	GUEST_DONE();
}

TEST(fault_in_a_fault_is_a_double_then_a_triple_fault)
{
	if (on_tcg())
		SKIP(return, "TCG delivers #NP instead of #DF");
	RUN_TO(vcpu_add(vm_create(), double_fault), KVM_EXIT_SHUTDOWN);
}

static u64 count;

static void count_it(struct ex_frame *frame __attribute__((unused)))
{
	count++;
}

static void nested_bp(struct ex_frame *frame __attribute__((unused)))
{
	GUEST_ASSERT_EQ(TRY("ud2"), UD);
	asm volatile("int $0x41");
	count += 10;
}

static void nesting(void)
{
	guest_handlers[0x41] = count_it;
	guest_handlers[BP] = nested_bp;
	asm volatile("int3");
	GUEST_ASSERT_EQ(count, 11);
	GUEST_DONE();
}

TEST(exceptions_nest)
{
	RUN_DONE(vcpu_add(vm_create(), nesting));
}

static void single_step_handler(struct ex_frame *frame)
{
	u64 dr6;

	asm volatile("mov %%dr6, %0" : "=r"(dr6));
	GUEST_ASSERT_EQ(dr6 & 1 << 14, 1 << 14); /* BS */
	asm volatile("mov %0, %%dr6" : : "r"(0xffff0ff0ull));
	if (++count == 4)
		frame->rflags &= ~0x100ull;
}

static void single_step(void)
{
	u32 a = 0, b, c = 0, d;

	guest_handlers[DB] = single_step_handler;
	/* The first trap comes after the instruction behind POPF. */
	asm volatile("pushfq; orq $0x100, (%%rsp); popfq\n\t"
		     "nop\n\t"
		     "cpuid\n\t"
		     "nop\n\t"
		     "nop\n\t"
		     "nop"
		     : "+a"(a), "=b"(b), "+c"(c), "=d"(d)
		     :
		     : "memory");
	GUEST_ASSERT_EQ(count, 4);
	GUEST_DONE();
}

/* CPUID exits: the trap behind it is the hypervisor's to deliver. */
TEST(trap_flag_steps_over_exiting_instructions)
{
	RUN_DONE(vcpu_add(vm_create(), single_step));
}

/* STI does not hold a trap back, MOV SS does: there is none between it and the next instruction. */
static void single_step_in_shadows(void)
{
	guest_handlers[DB] = single_step_handler;
	asm volatile("movl %%ss, %%eax\n\t"
		     "pushfq; orq $0x100, (%%rsp); popfq\n\t"
		     "sti\n\t"
		     "nop\n\t"
		     "movl %%eax, %%ss\n\t"
		     "nop\n\t"
		     "cli"
		     :
		     :
		     : "eax", "memory");
	GUEST_ASSERT_EQ(count, 4);
	GUEST_DONE();
}

TEST(trap_flag_steps_over_interrupt_shadows)
{
	if (on_tcg())
		SKIP(return, "TCG's STI holds a trap back");
	RUN_DONE(vcpu_add(vm_create(), single_step_in_shadows));
}

static u64 icebp_rip;

static void icebp_handler(struct ex_frame *frame)
{
	frame->rflags &= ~0x100ull;
	icebp_rip = frame->rip;
	/* Get on, should it be a fault. */
	if (++count > 3)
		frame->rip++;
}

extern const u8 behind_icebp[], behind_shadowed_icebp[];

static void icebp(void)
{
	guest_handlers[DB] = icebp_handler;
	asm volatile(".byte 0xf1\n"
		     "behind_icebp:\n\t"
		     "nop" : : : "memory");
	GUEST_ASSERT_EQ(count, 1);
	GUEST_ASSERT_EQ(icebp_rip, behind_icebp);
	/* With a single-step trap that waits for the end of the shadow. */
	asm volatile("movl %%ss, %%eax\n\t"
		     "pushfq; orq $0x100, (%%rsp); popfq\n\t"
		     "movl %%eax, %%ss\n\t"
		     ".byte 0xf1\n"
		     "behind_shadowed_icebp:\n\t"
		     "nop"
		     :
		     :
		     : "eax", "memory");
	GUEST_ASSERT_EQ(count, 2);
	GUEST_ASSERT_EQ(icebp_rip, behind_shadowed_icebp);
	GUEST_DONE();
}

TEST(icebp_is_a_trap)
{
	if (on_tcg())
		SKIP(return, "TCG stops for its own debugger");
	RUN_DONE(vcpu_add(vm_create(), icebp));
}

static void complete_out(struct vcpu *vcpu)
{
	vcpu->run->immediate_exit = 1;
	if (!ioctl(vcpu->fd, KVM_RUN, 0) || errno != EINTR)
		FAIL("immediate_exit: no EINTR");
	vcpu->run->immediate_exit = 0;
}

static void step_once(void)
{
	guest_handlers[DB] = icebp_handler;
	for (;;)
		GUEST_SYNC(0);
}

/* As of a migrated vCPU: processors want to know of the trap that waits. */
TEST(host_sets_the_trap_flag_in_a_shadow)
{
	static const u8 shadows[] = { KVM_X86_SHADOW_INT_STI, KVM_X86_SHADOW_INT_MOV_SS };
	struct kvm_vcpu_events ev = { .flags = KVM_VCPUEVENT_VALID_SHADOW };
	struct kvm_regs regs;

	if (!is_minivirt())
		SKIP(return, "KVM leaves it to userspace not to");
	for (int i = 0; i < 4; i++) {
		struct vcpu *vcpu = vcpu_add(vm_create(), step_once);

		RUN_SYNC(vcpu);
		complete_out(vcpu);
		regs = vcpu_regs(vcpu);
		regs.rflags |= 0x300;
		ev.interrupt.shadow = shadows[i / 2];
		if (i & 1)
			IOCTL(vcpu->fd, KVM_SET_VCPU_EVENTS, &ev);
		vcpu_set_regs(vcpu, &regs);
		if (!(i & 1))
			IOCTL(vcpu->fd, KVM_SET_VCPU_EVENTS, &ev);
		RUN_SYNC(vcpu);
		EXPECT_EQ(1, *guest_ptr(vcpu->vm, count));
	}
}

static void wait_for_interrupts(void)
{
	guest_handlers[VECTOR] = count_it;
	outb(0x10, 0);
	sti();
	outb(0x11, 0); /* in the shadow of STI */
	outb(0x12, 0);
	GUEST_SYNC(count);
	GUEST_SYNC(count);
}

#define RUN_TO_PORT(vcpu, p)                                                                       \
	do {                                                                                       \
		RUN_TO(vcpu, KVM_EXIT_IO);                                                         \
		ASSERT_EQ(p, (vcpu)->run->io.port);                                                \
	} while (0)

TEST(interrupt_window)
{
	struct vcpu *vcpu = vcpu_add(vm_create(), wait_for_interrupts);
	struct kvm_interrupt irq = { .irq = VECTOR };

	vcpu->run->request_interrupt_window = 1;
	RUN_TO_PORT(vcpu, 0x10);
	EXPECT_EQ(0, vcpu->run->ready_for_interrupt_injection);
	EXPECT_EQ(0, vcpu->run->if_flag);
	RUN_TO_PORT(vcpu, 0x11);
	RUN_TO(vcpu, KVM_EXIT_IRQ_WINDOW_OPEN);
	EXPECT_EQ(1, vcpu->run->ready_for_interrupt_injection);
	EXPECT_EQ(1, vcpu->run->if_flag);
	vcpu->run->request_interrupt_window = 0;
	IOCTL(vcpu->fd, KVM_INTERRUPT, &irq);
	RUN_TO_PORT(vcpu, 0x12);
	EXPECT_EQ(1, RUN_SYNC(vcpu));
	/* Once it is open, an interrupt goes in at any time. */
	EXPECT_EQ(1, vcpu->run->ready_for_interrupt_injection);
	IOCTL(vcpu->fd, KVM_INTERRUPT, &irq);
	EXPECT_EQ(2, RUN_SYNC(vcpu));
	irq.irq = 256;
	EXPECT_ERRNO(EINVAL, ioctl(vcpu->fd, KVM_INTERRUPT, &irq));
}

GUEST_ASM(sti_hlt, "64", "sti\n hlt\n out %al, $0x10\n");

TEST(window_opens_after_sti_hlt)
{
	struct vcpu *vcpu = vcpu_add_asm(vm_create(), sti_hlt, sti_hlt_end);

	vcpu->run->request_interrupt_window = 1;
	RUN_TO(vcpu, KVM_EXIT_HLT);
	RUN_TO(vcpu, KVM_EXIT_IRQ_WINDOW_OPEN);
	EXPECT_EQ(GPA_CODE + 2, vcpu_regs(vcpu).rip);
}

/* As when the host took the processor between STI and HLT. */
TEST(shadow_of_sti_lasts_over_an_entry)
{
	struct vcpu *vcpu = vcpu_add_asm(vm_create(), sti_hlt, sti_hlt_end);
	struct kvm_vcpu_events ev = { .flags = KVM_VCPUEVENT_VALID_SHADOW };
	struct kvm_regs regs;

	if (on_tcg() && !is_minivirt())
		SKIP(return, "TCG forgets it, and KVM knows nothing of that");
	IOCTL(vcpu->fd, KVM_GET_REGS, &regs);
	regs.rip += 1;
	regs.rflags |= 1 << 9;
	IOCTL(vcpu->fd, KVM_SET_REGS, &regs);
	ev.interrupt.shadow = KVM_X86_SHADOW_INT_STI;
	IOCTL(vcpu->fd, KVM_SET_VCPU_EVENTS, &ev);
	vcpu->run->request_interrupt_window = 1;
	RUN_TO(vcpu, KVM_EXIT_HLT);
	RUN_TO(vcpu, KVM_EXIT_IRQ_WINDOW_OPEN);
	vcpu->run->request_interrupt_window = 0;
	RUN_TO_PORT(vcpu, 0x10);
}

/* For guests that are no C functions. */
static u64 seen_rflags, traps, interrupts;

static void note_rflags(struct ex_frame *frame)
{
	seen_rflags = frame->rflags;
	if (frame->vector == UD)
		frame->rip += 2;
}

static void count_trap(struct ex_frame *frame)
{
	frame->rflags &= ~0x100ull;
	traps++;
}

static void count_interrupt(struct ex_frame *frame __attribute__((unused)))
{
	interrupts++;
}

/* First of all what is needed is mapped: no other exit is to come. */
#define WAITING(name, text) GUEST_ASM(name, "64", "int $0x50\n out %al, $0x11\n" text)

WAITING(int_n, "int $0x50\n out %al, $0x10\n hlt");
WAITING(pushf, "pushfq\n pop %rbx\n out %al, $0x10\n hlt");
WAITING(popf, "popfq\n pushfq\n pop %rbx\n out %al, $0x10\n hlt");
WAITING(undefined, "ud2\n out %al, $0x10\n hlt");
WAITING(page_fault, "mov (%rcx), %al\n out %al, $0x10\n hlt");
WAITING(system_call, "syscall\n hlt\n mov %r11, %rbx\n out %al, $0x10\n hlt");
WAITING(no_op, "nop\n out %al, $0x10\n hlt");

static void skip_the_load(struct ex_frame *frame)
{
	seen_rflags = frame->rflags;
	frame->rip += 2;
}

/* However it is brought about that it waits for the end of the shadow: the guest sees nothing. */
TEST(an_interrupt_that_waits_in_a_shadow_leaves_no_trace)
{
	static const struct {
		const u8 *code, *end;
	} cases[] = {
		{ int_n, int_n_end }, { pushf, pushf_end }, { popf, popf_end },
		{ undefined, undefined_end }, { page_fault, page_fault_end },
		{ system_call, system_call_end }, { no_op, no_op_end },
	};

	if (!is_minivirt())
		SKIP(return, "KVM injects an interrupt at once, and leaves its own TF to be seen");
	guest_handlers[DB] = count_trap;
	guest_handlers[0x50] = note_rflags;
	guest_handlers[UD] = note_rflags;
	guest_handlers[PF] = skip_the_load;
	guest_handlers[NMI] = count_interrupt;
	guest_handlers[VECTOR] = count_interrupt;
	for (u32 i = 0; i < 2 * ARRAY_SIZE(cases); i++) {
		struct kvm_vcpu_events ev = { .flags = KVM_VCPUEVENT_VALID_SHADOW };
		struct kvm_interrupt irq = { .irq = VECTOR };
		struct vm *vm = vm_create();
		struct vcpu *vcpu = vcpu_add_asm(vm, cases[i / 2].code, cases[i / 2].end);
		struct kvm_regs regs;

		RUN_TO_PORT(vcpu, 0x11);
		complete_out(vcpu);
		*guest_ptr(vm, seen_rflags) = 0;
		regs = vcpu_regs(vcpu);
		vcpu_set_msr(vcpu, 0xc0000081, (u64)SEL_CODE << 32); /* STAR */
		vcpu_set_msr(vcpu, 0xc0000082, GPA_CODE + 7); /* LSTAR: behind the first HLT */
		vcpu_set_msr(vcpu, 0xc0000084, 0); /* SFMASK */
		regs.rflags |= 0x200;
		regs.rsp -= 8;
		*(u64 *)gpa_ptr(vm, regs.rsp) = 0x202; /* for POPF */
		vcpu_set_regs(vcpu, &regs);
		ev.interrupt.shadow = KVM_X86_SHADOW_INT_STI;
		IOCTL(vcpu->fd, KVM_SET_VCPU_EVENTS, &ev);
		if (i & 1)
			IOCTL(vcpu->fd, KVM_NMI, 0);
		else
			IOCTL(vcpu->fd, KVM_INTERRUPT, &irq);
		RUN_TO_PORT(vcpu, 0x10);
		EXPECT_EQ(0, *guest_ptr(vm, traps))
			TH_LOG("case %u", i);
		EXPECT_EQ(1, *guest_ptr(vm, interrupts))
			TH_LOG("case %u", i);
		EXPECT_EQ(0, *guest_ptr(vm, seen_rflags) & 0x100)
			TH_LOG("case %u", i);
		EXPECT_EQ(0, vcpu_regs(vcpu).rbx & 0x100)
			TH_LOG("case %u", i);
		EXPECT_EQ(0, vcpu_regs(vcpu).rflags & 0x100)
			TH_LOG("case %u", i);
	}
}

static void nmi_handler(struct ex_frame *frame __attribute__((unused)))
{
	count++;
	GUEST_SYNC(count);
}

static void wait_for_nmis(void)
{
	guest_handlers[NMI] = nmi_handler;
	GUEST_SYNC(0);
	for (;;)
		GUEST_SYNC(100 + count);
}

TEST(nmi_blocks_nmis_until_iret)
{
	struct vcpu *vcpu = vcpu_add(vm_create(), wait_for_nmis);
	struct kvm_vcpu_events ev;

	EXPECT_EQ(0, RUN_SYNC(vcpu));
	IOCTL(vcpu->fd, KVM_NMI, 0);
	EXPECT_EQ(1, RUN_SYNC(vcpu)); /* in the handler */
	IOCTL(vcpu->fd, KVM_GET_VCPU_EVENTS, &ev);
	EXPECT_EQ(1, ev.nmi.masked);
	/* While blocked, one is latched and more are lost. */
	IOCTL(vcpu->fd, KVM_NMI, 0);
	IOCTL(vcpu->fd, KVM_NMI, 0);
	EXPECT_EQ(2, RUN_SYNC(vcpu));
	EXPECT_EQ(102, RUN_SYNC(vcpu));
	EXPECT_EQ(102, RUN_SYNC(vcpu));
	IOCTL(vcpu->fd, KVM_GET_VCPU_EVENTS, &ev);
	EXPECT_EQ(0, ev.nmi.masked | ev.nmi.pending | ev.nmi.injected);
}

static u64 seen_vector, seen_error, seen_cr2;

static void note_exception(struct ex_frame *frame)
{
	seen_vector = frame->vector;
	seen_error = frame->error;
	seen_cr2 = read_cr2();
}

static void wait_for_injection(void)
{
	guest_handlers[GP] = note_exception;
	guest_handlers[UD] = note_exception;
	guest_handlers[PF] = note_exception;
	guest_handlers[NMI] = note_exception;
	guest_handlers[VECTOR] = note_exception;
	sti();
	for (;;) {
		GUEST_SYNC(0);
		ucall(UCALL_SYNC, seen_vector, seen_error, seen_cr2, 0);
		seen_vector = -1;
	}
}

TEST(events_that_the_host_sets_are_delivered)
{
	struct vcpu *vcpu = vcpu_add(vm_create(), wait_for_injection);
	struct kvm_vcpu_events none, ev;
	struct kvm_sregs sregs;

	RUN_SYNC(vcpu);
	IOCTL(vcpu->fd, KVM_GET_VCPU_EVENTS, &none);
	none.flags = 0;

	ev = none;
	ev.exception.injected = 1;
	ev.exception.nr = GP;
	ev.exception.has_error_code = 1;
	ev.exception.error_code = 0x123;
	IOCTL(vcpu->fd, KVM_SET_VCPU_EVENTS, &ev);
	EXPECT_EQ(GP, RUN_SYNC(vcpu));
	EXPECT_EQ(0x123, vcpu->args[1]);
	RUN_SYNC(vcpu);

	ev = none;
	ev.exception.injected = 1;
	ev.exception.nr = UD;
	IOCTL(vcpu->fd, KVM_SET_VCPU_EVENTS, &ev);
	EXPECT_EQ(UD, RUN_SYNC(vcpu));
	RUN_SYNC(vcpu);

	sregs = vcpu_sregs(vcpu);
	sregs.cr2 = 0xabcdef;
	vcpu_set_sregs(vcpu, &sregs);
	ev = none;
	ev.exception.injected = 1;
	ev.exception.nr = PF;
	ev.exception.has_error_code = 1;
	ev.exception.error_code = PF_W;
	IOCTL(vcpu->fd, KVM_SET_VCPU_EVENTS, &ev);
	EXPECT_EQ(PF, RUN_SYNC(vcpu));
	EXPECT_EQ(PF_W, vcpu->args[1]);
	EXPECT_EQ(0xabcdef, vcpu->args[2]);
	RUN_SYNC(vcpu);

	ev = none;
	ev.interrupt.injected = 1;
	ev.interrupt.nr = VECTOR;
	IOCTL(vcpu->fd, KVM_SET_VCPU_EVENTS, &ev);
	EXPECT_EQ(VECTOR, RUN_SYNC(vcpu));
	RUN_SYNC(vcpu);

	ev = none;
	ev.nmi.pending = 1;
	ev.flags = KVM_VCPUEVENT_VALID_NMI_PENDING;
	IOCTL(vcpu->fd, KVM_SET_VCPU_EVENTS, &ev);
	EXPECT_EQ(NMI, RUN_SYNC(vcpu));
	RUN_SYNC(vcpu);

	/* And each only once. */
	EXPECT_EQ(-1, (s64)RUN_SYNC(vcpu));
}

#define FRESH 0x1000000ul /* a slot whose pages the guest has not touched: IDT, stack */

static void deliver_through_fresh_memory(void)
{
	struct {
		u16 limit;
		u64 base;
	} __attribute__((packed)) idtr = { 0xfff, FRESH };

	asm volatile("lidt %0" : : "m"(idtr));
	guest_handlers[0x80] = count_it;
	guest_handlers[VECTOR] = count_it;
	sti();
	GUEST_SYNC(0);
	GUEST_ASSERT_EQ(TRY("ud2"), UD);
	GUEST_SYNC(count);
	GUEST_ASSERT_EQ(TRY("int3"), BP);
	GUEST_SYNC(count);
	asm volatile("int $0x80");
	GUEST_SYNC(count);
	GUEST_SYNC(count);
}

static void refresh(struct vm *vm, u8 *mem)
{
	u64 *idt = (u64 *)mem;

	/* The host takes both pages away from the guest and puts new ones there. */
	madvise(mem, 0x2000, MADV_DONTNEED);
	memcpy(idt, gpa_ptr(vm, GPA_IDT), 0x1000);
	for (int i = 0; i < 256; i++)
		idt[2 * i] |= 1ull << 32; /* IST 1 */
}

/* A second-stage fault while an event is delivered: it must not be lost or doubled. */
TEST(events_survive_a_fault_of_their_delivery)
{
	struct vm *vm = vm_create();
	struct vcpu *vcpu = vcpu_add(vm, deliver_through_fresh_memory);
	struct kvm_interrupt irq = { .irq = VECTOR };
	u8 *mem = vm_add_memory(vm, 1, FRESH, 0x2000, 0);
	u64 *ist1 = gpa_ptr(vm, GPA_TSS + 36);

	*ist1 = FRESH + 0x2000;
	refresh(vm, mem);
	EXPECT_EQ(0, RUN_SYNC(vcpu));
	refresh(vm, mem);
	EXPECT_EQ(0, RUN_SYNC(vcpu)); /* #UD */
	refresh(vm, mem);
	EXPECT_EQ(0, RUN_SYNC(vcpu)); /* INT3 */
	refresh(vm, mem);
	EXPECT_EQ(1, RUN_SYNC(vcpu)); /* INT n */
	refresh(vm, mem);
	IOCTL(vcpu->fd, KVM_INTERRUPT, &irq);
	EXPECT_EQ(2, RUN_SYNC(vcpu));
}

TEST_MAIN
