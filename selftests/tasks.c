// SPDX-License-Identifier: GPL-2.0-only
/*
 * Task switches by hardware, of a 32-bit guest: SDM vol. 3A, chapter 8. On VT-x each of them is
 * the hypervisor's work; QEMU's TCG makes them itself, not always as a processor does.
 */
#include <assert.h>
#include <fcntl.h>
#include "test.h"

/* Three tasks: A begins, B is switched to, C takes faults that B's stack cannot. */
#define TSS_A 0x5000
#define TSS_B 0x5100
#define TSS_C 0x5200
#define LDT 0x5300
#define CODE_B 0x9000
#define CODE_C 0xa000
#define STACK_B 0xb000
#define STACK_C 0xc000
#define STUBS 0xe000 /* handlers, 8 bytes each */
#define PD_A GPA_FREE
#define PD_B (GPA_FREE + 0x1000)
#define ALIAS 0xc00000u /* with PD_B a second view of the memory at 0 */

enum {
	SEL_A = 0x38, SEL_B = 0x40, SEL_C = 0x48, SEL_LDT = 0x50, SEL_ABSENT = 0x58,
	SEL_READ_ONLY = 0x60, SEL_CODE_3 = 0x68 | 3, SEL_DATA_3 = 0x70 | 3, SEL_CODE16 = 0x78,
	SEL_EXEC_ONLY = 0x80, SEL_NO_TASK = 0x88, SEL_SHORT = 0x90, SEL_OUTSIDE = 0x7f8,
};

struct tss {
	u32 link, esp0, ss0, esp1, ss1, esp2, ss2, cr3, eip, eflags;
	u32 eax, ecx, edx, ebx, esp, ebp, esi, edi;
	u32 es, cs, ss, ds, fs, gs, ldt;
	u16 trap, iomap;
};

struct tss16 {
	u16 link, sp0, ss0, sp1, ss1, sp2, ss2, ip, flags;
	u16 ax, cx, dx, bx, sp, bp, si, di;
	u16 es, cs, ss, ds, ldt;
};

static_assert(sizeof(struct tss) == 104 && sizeof(struct tss16) == 44);

GUEST_ASM(jump, "32",
	  "mov $0x38, %ax; ltr %ax\n"
	  "mov $0x1111, %ebx\n"
	  "ljmp $0x40, $0\n"
	  "back_in_a: out %al, $0x51\n"
	  "hlt");
GUEST_ASM(call, "32",
	  "mov $0x38, %ax; ltr %ax\n"
	  "1: lcall $0x40, $0\n"
	  "out %al, $0x51\n"
	  "jmp 1b");
GUEST_ASM(bad_load, "32",
	  "mov $0x38, %ax; ltr %ax\n"
	  "mov $0x7f8, %eax\n"
	  "mov %eax, %fs\n"
	  "out %al, $0x51\n"
	  "hlt");
GUEST_ASM(be_interrupted, "32",
	  "mov $0x38, %ax; ltr %ax\n"
	  "out %al, $0x4f\n"
	  "sti\n"
	  "nop; nop; nop; nop\n"
	  "out %al, $0x51\n"
	  "hlt");
GUEST_ASM(software_interrupts, "32",
	  "mov $0x38, %ax; ltr %ax\n"
	  "int $0x41\n"
	  "out %al, $0x51\n"
	  "int3\n"
	  "out %al, $0x52\n"
	  "hlt");
GUEST_ASM(task_b, "32",
	  "out %al, $0x50\n"
	  "iret\n"
	  "out %al, $0x53\n"
	  "ljmp $0x38, $0\n"
	  "hlt");
GUEST_ASM(task_b_jumps, "32",
	  "out %al, $0x50\n"
	  "ljmp $0x38, $0\n"
	  "hlt");
GUEST_ASM(task_b_pops, "32",
	  "pop %eax\n"
	  "out %al, $0x50\n"
	  "iret\n"
	  "hlt");
GUEST_ASM(task_b_reads, "32",
	  "mov 0xc05010, %eax\n" /* by the alias: eax of TSS_A's esp2 */
	  "out %al, $0x50\n"
	  "iret\n"
	  "hlt");
GUEST_ASM(task_b_16, "16",
	  "out %al, $0x50\n"
	  "iret\n"
	  "hlt");
GUEST_ASM(task_c, "32", "out %al, $0x5c\n hlt");

static u64 descriptor(u32 base, u32 limit, u8 rights, u8 flags)
{
	return (limit & 0xffff) | (u64)(base & 0xffffff) << 16 | (u64)rights << 40 |
	       (u64)(limit >> 16 & 15) << 48 | (u64)flags << 52 | (u64)(base >> 24) << 56;
}

static void set_descriptor(struct vm *vm, u16 sel, u32 base, u32 limit, u8 rights, u8 flags)
{
	((u64 *)gpa_ptr(vm, GPA_GDT))[sel / 8] = descriptor(base, limit, rights, flags);
}

static u8 rights_of(struct vm *vm, u16 sel)
{
	return ((u64 *)gpa_ptr(vm, GPA_GDT))[sel / 8] >> 40;
}

static struct tss *set_tss(struct vm *vm, u32 at, u16 sel, u32 eip, u32 esp)
{
	struct tss *tss = gpa_ptr(vm, at);

	*tss = (struct tss) {
		.cr3 = PD_A, .eip = eip, .eflags = 2, .esp = esp, .eax = 0xa, .ecx = 0xc,
		.edx = 0xd, .ebx = 0xb, .ebp = 0xbb, .esi = 0x51, .edi = 0xd1, .es = SEL_DATA,
		.cs = SEL_CODE32, .ss = SEL_DATA, .ds = SEL_DATA, .fs = SEL_DATA, .gs = SEL_DATA,
		.iomap = sizeof(*tss),
	};
	set_descriptor(vm, sel, at, sizeof(*tss) - 1, 0x89, 0);
	return tss;
}

static void set_gate(struct vm *vm, u8 vector, u64 gate)
{
	((u64 *)gpa_ptr(vm, GPA_IDT))[vector] = gate;
}

static void set_task_gate(struct vm *vm, u8 vector, u16 sel)
{
	set_gate(vm, vector, 0x0000850000000000ull | (u64)sel << 16);
}

/* A handler that tells its vector in BL. */
static void set_handler(struct vm *vm, u8 vector)
{
	u32 addr = STUBS + vector * 8;
	u8 *code = gpa_ptr(vm, addr);

	memcpy(code, (u8[]) { 0xb3, vector, 0xe6, 0x60, 0xf4 }, 5);
	set_gate(vm, vector, (addr & 0xffff) | (u64)SEL_CODE32 << 16 | 0x8eull << 40 |
			     (u64)(addr >> 16) << 48);
}

#define START(code, b) start(code, code##_end, b, b##_end)
static struct vcpu *start(const u8 *code, const u8 *end, const u8 *b, const u8 *b_end)
{
	struct vm *vm = vm_create();
	struct vcpu *vcpu = vcpu_add_prot(vm, code, end);

	set_tss(vm, TSS_A, SEL_A, 0, 0);
	set_tss(vm, TSS_B, SEL_B, CODE_B, STACK_B);
	set_tss(vm, TSS_C, SEL_C, CODE_C, STACK_C);
	memcpy(gpa_ptr(vm, CODE_B), b, b_end - b);
	memcpy(gpa_ptr(vm, CODE_C), task_c, task_c_end - task_c);
	set_descriptor(vm, SEL_LDT, LDT, 15, 0x82, 0);
	((u64 *)gpa_ptr(vm, LDT))[0] = descriptor(0x1000, 0xfffff, 0x93, 0xc);
	set_descriptor(vm, SEL_ABSENT, 0, 0xfffff, 0x13, 0xc);
	set_descriptor(vm, SEL_READ_ONLY, 0, 0xfffff, 0x91, 0xc);
	set_descriptor(vm, SEL_CODE_3, 0, 0xfffff, 0xfa, 0xc); /* not accessed */
	set_descriptor(vm, SEL_DATA_3, 0, 0xfffff, 0xf2, 0xc);
	set_descriptor(vm, SEL_CODE16, 0, 0xffff, 0x9b, 0);
	set_descriptor(vm, SEL_EXEC_ONLY, 0, 0xfffff, 0x99, 0xc);
	set_descriptor(vm, SEL_NO_TASK, TSS_B, 103, 0x09, 0);
	set_descriptor(vm, SEL_SHORT, TSS_B, 102, 0x89, 0);
	for (int i = 0; i < 32; i++)
		set_handler(vm, i);
	return vcpu;
}

/* 4 MiB pages. */
static void enable_paging(struct vcpu *vcpu)
{
	struct kvm_sregs sregs = vcpu_sregs(vcpu);
	u32 *a = gpa_ptr(vcpu->vm, PD_A), *b = gpa_ptr(vcpu->vm, PD_B);

	a[0] = 0x87;
	a[1] = 0x400087;
	b[0] = 0x87;
	b[ALIAS >> 22] = 0x87;
	sregs.cr3 = PD_A;
	sregs.cr4 = 0x10;
	sregs.cr0 |= 1u << 31;
	vcpu_set_sregs(vcpu, &sregs);
}

#define RUN_TO_PORT(vcpu, p)                                                                       \
	do {                                                                                       \
		RUN_TO(vcpu, KVM_EXIT_IO);                                                         \
		ASSERT_EQ(p, (vcpu)->run->io.port)                                                 \
			TH_LOG("vector %llu, rip %#llx", vcpu_regs(vcpu).rbx & 0xff,               \
			       vcpu_regs(vcpu).rip);                                               \
	} while (0)

/* What stock KVM and TCG do otherwise. */
#define NOT_ON_KVM(what)                                                                           \
	do {                                                                                       \
		if (!is_minivirt())                                                                \
			SKIP(return, "KVM " what);                                                 \
	} while (0)
#define NOT_ON_TCG(what)                                                                           \
	do {                                                                                       \
		if (on_tcg())                                                                      \
			SKIP(return, "TCG " what);                                                 \
	} while (0)

#define TSS(vcpu, at) ((struct tss *)gpa_ptr((vcpu)->vm, at))
#define NT 0x4000

TEST(jump_to_a_task_and_back)
{
	struct vcpu *vcpu = START(jump, task_b_jumps);
	struct kvm_debugregs debug = { .db = { 0x700000 }, .dr6 = 0xffff0ff0, .dr7 = 0x403 };
	struct tss *a = TSS(vcpu, TSS_A);
	struct kvm_sregs sregs;
	struct kvm_regs regs;

	IOCTL(vcpu->fd, KVM_SET_DEBUGREGS, &debug);
	RUN_TO_PORT(vcpu, 0x50);
	regs = vcpu_regs(vcpu);
	sregs = vcpu_sregs(vcpu);
	EXPECT_EQ(SEL_B, sregs.tr.selector);
	EXPECT_EQ(TSS_B, sregs.tr.base);
	EXPECT_EQ(103, sregs.tr.limit);
	EXPECT_EQ(11, sregs.tr.type);
	if (!on_tcg() || is_minivirt())
		EXPECT_EQ(8, sregs.cr0 & 8); /* TS */
	EXPECT_EQ(0xa, regs.rax);
	EXPECT_EQ(0xb, regs.rbx);
	EXPECT_EQ(0xc, regs.rcx);
	EXPECT_EQ(0xd, regs.rdx);
	EXPECT_EQ(STACK_B, regs.rsp);
	EXPECT_EQ(0xbb, regs.rbp);
	EXPECT_EQ(0x51, regs.rsi);
	EXPECT_EQ(0xd1, regs.rdi);
	EXPECT_EQ(2, regs.rflags & ~0x10000);
	EXPECT_EQ(0x89, rights_of(vcpu->vm, SEL_A));
	EXPECT_EQ(0x8b, rights_of(vcpu->vm, SEL_B));
	EXPECT_EQ(GPA_CODE + (jump_end - jump) - 3, a->eip);
	EXPECT_EQ(0x1111, a->ebx);
	EXPECT_EQ(GPA_CODE, a->esp);
	EXPECT_EQ(SEL_CODE32, a->cs);
	EXPECT_EQ(SEL_DATA, a->gs);
	EXPECT_EQ(0, a->link);
	/* Breakpoints that are local to a task. */
	if (!on_tcg()) {
		IOCTL(vcpu->fd, KVM_GET_DEBUGREGS, &debug);
		EXPECT_EQ(0x402, debug.dr7);
	}
	RUN_TO_PORT(vcpu, 0x51);
	EXPECT_EQ(0x1111, vcpu_regs(vcpu).rbx);
	EXPECT_EQ(SEL_A, vcpu_sregs(vcpu).tr.selector);
	EXPECT_EQ(0x8b, rights_of(vcpu->vm, SEL_A));
	EXPECT_EQ(0x89, rights_of(vcpu->vm, SEL_B));
}

TEST(call_nests_and_iret_returns)
{
	struct vcpu *vcpu = START(call, task_b);
	struct tss *a = TSS(vcpu, TSS_A), *b = TSS(vcpu, TSS_B);

	RUN_TO_PORT(vcpu, 0x50);
	EXPECT_EQ(NT, vcpu_regs(vcpu).rflags & NT);
	EXPECT_EQ(SEL_A, b->link);
	EXPECT_EQ(0x8b, rights_of(vcpu->vm, SEL_A));
	EXPECT_EQ(0x8b, rights_of(vcpu->vm, SEL_B));
	RUN_TO_PORT(vcpu, 0x51);
	EXPECT_EQ(0, vcpu_regs(vcpu).rflags & NT);
	EXPECT_EQ(0x8b, rights_of(vcpu->vm, SEL_A));
	EXPECT_EQ(0x89, rights_of(vcpu->vm, SEL_B));
	EXPECT_EQ(CODE_B + 3, b->eip);
	EXPECT_EQ(0, b->eflags & NT);
	EXPECT_EQ(0, a->eflags & NT);
	/* B goes on behind its IRET; a jump leaves it, for a task that is busy. */
	RUN_TO_PORT(vcpu, 0x53);
	RUN_TO_PORT(vcpu, 0x60);
	EXPECT_EQ(GP, vcpu_regs(vcpu).rbx & 0xff);
	EXPECT_EQ(SEL_A, *(u32 *)gpa_ptr(vcpu->vm, vcpu_regs(vcpu).rsp));
	EXPECT_EQ(SEL_B, vcpu_sregs(vcpu).tr.selector);
}

TEST(exception_through_a_task_gate)
{
	struct vcpu *vcpu = START(bad_load, task_b_pops);
	struct tss *a = TSS(vcpu, TSS_A);

	NOT_ON_TCG("makes a double fault of it");
	set_task_gate(vcpu->vm, GP, SEL_B);
	RUN_TO_PORT(vcpu, 0x50);
	EXPECT_EQ(SEL_OUTSIDE, vcpu_regs(vcpu).rax);
	EXPECT_EQ(STACK_B, vcpu_regs(vcpu).rsp);
	EXPECT_EQ(SEL_A, TSS(vcpu, TSS_B)->link);
	/* At the instruction. */
	EXPECT_EQ(GPA_CODE + (bad_load_end - bad_load) - 5, a->eip);
	a->eip += 2;
	RUN_TO_PORT(vcpu, 0x51);
	EXPECT_EQ(SEL_A, vcpu_sregs(vcpu).tr.selector);
}

TEST(interrupt_through_a_task_gate)
{
	struct vcpu *vcpu = START(be_interrupted, task_b);
	struct kvm_interrupt irq = { .irq = 0x40 };

	NOT_ON_KVM("fails the entry");
	set_task_gate(vcpu->vm, 0x40, SEL_B);
	RUN_TO_PORT(vcpu, 0x4f);
	IOCTL(vcpu->fd, KVM_INTERRUPT, &irq);
	RUN_TO_PORT(vcpu, 0x50);
	EXPECT_EQ(STACK_B, vcpu_regs(vcpu).rsp);
	EXPECT_EQ(NT, vcpu_regs(vcpu).rflags & (NT | 0x200));
	EXPECT_EQ(0x200, TSS(vcpu, TSS_A)->eflags & 0x200);
	RUN_TO_PORT(vcpu, 0x51);
	EXPECT_EQ(0x200, vcpu_regs(vcpu).rflags & 0x200);
}

/* Two of them: IRET to the old task lets the second through. */
TEST(nmi_through_a_task_gate)
{
	struct vcpu *vcpu = START(be_interrupted, task_b_jumps);
	struct kvm_vcpu_events ev;

	NOT_ON_TCG("saves the TF of a step over IRET");
	memcpy(gpa_ptr(vcpu->vm, CODE_B + 2), "\xcf\xeb\xfb", 3); /* IRET; JMP to the OUT */
	set_task_gate(vcpu->vm, NMI, SEL_B);
	RUN_TO_PORT(vcpu, 0x4f);
	IOCTL(vcpu->fd, KVM_NMI, 0);
	RUN_TO_PORT(vcpu, 0x50);
	IOCTL(vcpu->fd, KVM_GET_VCPU_EVENTS, &ev);
	EXPECT_EQ(1, ev.nmi.masked);
	IOCTL(vcpu->fd, KVM_NMI, 0);
	RUN_TO_PORT(vcpu, 0x50);
	RUN_TO_PORT(vcpu, 0x51);
	IOCTL(vcpu->fd, KVM_GET_VCPU_EVENTS, &ev);
	EXPECT_EQ(0, ev.nmi.masked);
}

TEST(software_interrupts_through_task_gates)
{
	struct vcpu *vcpu = START(software_interrupts, task_b_jumps);
	struct tss *a = TSS(vcpu, TSS_A);

	memcpy(gpa_ptr(vcpu->vm, CODE_B + 2), "\xcf\xeb\xfb", 3);
	set_task_gate(vcpu->vm, 0x41, SEL_B);
	set_task_gate(vcpu->vm, BP, SEL_B);
	RUN_TO_PORT(vcpu, 0x50);
	/* Behind it. */
	EXPECT_EQ(GPA_CODE + (software_interrupts_end - software_interrupts) - 6, a->eip);
	RUN_TO_PORT(vcpu, 0x51);
	RUN_TO_PORT(vcpu, 0x50);
	EXPECT_EQ(GPA_CODE + (software_interrupts_end - software_interrupts) - 3, a->eip);
	EXPECT_EQ(STACK_B, vcpu_regs(vcpu).rsp);
	RUN_TO_PORT(vcpu, 0x52);
}

TEST(task_of_an_80286)
{
	struct vcpu *vcpu = START(call, task_b_16);
	struct tss16 *b = gpa_ptr(vcpu->vm, TSS_B);
	struct kvm_sregs sregs;
	struct kvm_regs regs;

	NOT_ON_KVM("fails the entry");
	memset(b, 0, 104);
	*b = (struct tss16) {
		.ip = CODE_B, .flags = 2, .sp = STACK_B, .ax = 0xa, .cx = 0xc, .dx = 0xd, .bx = 0xb,
		.bp = 0xbb, .si = 0x51, .di = 0xd1, .es = SEL_DATA, .cs = SEL_CODE16,
		.ss = SEL_DATA, .ds = SEL_DATA,
	};
	set_descriptor(vcpu->vm, SEL_B, TSS_B, sizeof(*b) - 1, 0x81, 0);
	RUN_TO_PORT(vcpu, 0x50);
	regs = vcpu_regs(vcpu);
	sregs = vcpu_sregs(vcpu);
	EXPECT_EQ(3, sregs.tr.type);
	EXPECT_EQ(0xb, regs.rbx & 0xffff);
	EXPECT_EQ(0xd1, regs.rdi & 0xffff);
	EXPECT_EQ(STACK_B, regs.rsp & 0xffff);
	EXPECT_EQ(NT, regs.rflags & NT);
	EXPECT_EQ(SEL_A, b->link);
	EXPECT_EQ(0x83, rights_of(vcpu->vm, SEL_B));
	RUN_TO_PORT(vcpu, 0x51);
	EXPECT_EQ(CODE_B + 3, b->ip);
	EXPECT_EQ(0x81, rights_of(vcpu->vm, SEL_B));
}

TEST(the_new_task_has_its_own_page_tables)
{
	struct vcpu *vcpu = START(call, task_b_reads);

	NOT_ON_TCG("keeps the old ones' translations");
	enable_paging(vcpu);
	TSS(vcpu, TSS_B)->cr3 = PD_B;
	TSS(vcpu, TSS_A)->ss1 = 0x12345678; /* at 0x10 */
	RUN_TO_PORT(vcpu, 0x50);
	EXPECT_EQ(PD_B, vcpu_sregs(vcpu).cr3);
	EXPECT_EQ(0x12345678, vcpu_regs(vcpu).rax);
	RUN_TO_PORT(vcpu, 0x51);
	EXPECT_EQ(PD_A, vcpu_sregs(vcpu).cr3);
}

TEST(page_fault_on_a_tss_is_the_old_tasks)
{
	struct vcpu *vcpu = START(call, task_b);
	struct kvm_sregs sregs;
	u32 *stack;

	NOT_ON_KVM("goes on behind the CALL");
	enable_paging(vcpu);
	set_descriptor(vcpu->vm, SEL_B, ALIAS + TSS_B, 103, 0x89, 0);
	RUN_TO_PORT(vcpu, 0x60);
	sregs = vcpu_sregs(vcpu);
	stack = gpa_ptr(vcpu->vm, vcpu_regs(vcpu).rsp);
	EXPECT_EQ(PF, vcpu_regs(vcpu).rbx & 0xff);
	EXPECT_EQ(0, stack[0] & ~2);
	EXPECT_EQ(ALIAS + TSS_B, sregs.cr2 & ~0xffull);
	EXPECT_EQ(SEL_A, sregs.tr.selector);
	EXPECT_EQ(0x89, rights_of(vcpu->vm, SEL_B));
}

TEST(the_new_task_has_its_own_ldt)
{
	struct vcpu *vcpu = START(call, task_b);
	struct kvm_sregs sregs;

	TSS(vcpu, TSS_B)->ldt = SEL_LDT;
	TSS(vcpu, TSS_B)->ds = 4;
	RUN_TO_PORT(vcpu, 0x50);
	sregs = vcpu_sregs(vcpu);
	EXPECT_EQ(SEL_LDT, sregs.ldt.selector);
	EXPECT_EQ(LDT, sregs.ldt.base);
	EXPECT_EQ(4, sregs.ds.selector);
	EXPECT_EQ(0x1000, sregs.ds.base);
	RUN_TO_PORT(vcpu, 0x51);
	sregs = vcpu_sregs(vcpu);
	EXPECT_EQ(0, sregs.ldt.selector);
	EXPECT_EQ(0, sregs.ds.base);
}

TEST(the_new_task_is_of_ring_3)
{
	struct vcpu *vcpu = START(call, task_b);
	struct tss *b = TSS(vcpu, TSS_B);
	struct kvm_sregs sregs;

	b->eflags = 0x3002; /* IOPL 3 */
	b->cs = SEL_CODE_3;
	b->ss = SEL_DATA_3;
	b->ds = SEL_DATA_3;
	b->es = 0;
	b->fs = SEL_DATA_3;
	b->gs = 0;
	RUN_TO_PORT(vcpu, 0x50);
	sregs = vcpu_sregs(vcpu);
	EXPECT_EQ(SEL_CODE_3, sregs.cs.selector);
	EXPECT_EQ(3, sregs.cs.dpl);
	EXPECT_EQ(3, sregs.ss.dpl);
	EXPECT_EQ(1, sregs.es.unusable);
	if (!on_tcg()) {
		EXPECT_EQ(0xfb, rights_of(vcpu->vm, SEL_CODE_3)); /* accessed */
		EXPECT_EQ(0xf3, rights_of(vcpu->vm, SEL_DATA_3));
	}
	RUN_TO_PORT(vcpu, 0x51);
	EXPECT_EQ(0, vcpu_sregs(vcpu).ss.dpl);
}

TEST(the_new_task_is_virtual_8086)
{
	struct vcpu *vcpu = START(call, task_b_16);
	struct tss *b = TSS(vcpu, TSS_B);
	struct kvm_sregs sregs;

	b->eflags = 0x23002; /* VM, IOPL 3 */
	b->eip = 0;
	b->cs = CODE_B >> 4;
	b->ss = 0xb00;
	b->esp = 0x100;
	b->ds = 0x1234;
	/* A port is by the bitmap, in any case. */
	set_descriptor(vcpu->vm, SEL_B, TSS_B, 103 + 32, 0x89, 0);
	RUN_TO_PORT(vcpu, 0x50);
	sregs = vcpu_sregs(vcpu);
	EXPECT_EQ(CODE_B >> 4, sregs.cs.selector);
	EXPECT_EQ(CODE_B, sregs.cs.base);
	EXPECT_EQ(0x12340, sregs.ds.base);
	EXPECT_EQ(3, sregs.ss.dpl);
}

/* The code that switches to @sel by a jump. */
static struct vcpu *start_jump_to(u16 sel)
{
	struct vcpu *vcpu = START(jump, task_b);

	memcpy(gpa_ptr(vcpu->vm, GPA_CODE + (jump_end - jump) - 5), &sel, 2);
	return vcpu;
}

TEST(faults_of_the_old_task)
{
	static const struct {
		u16 sel;
		u8 vector;
	} cases[] = {
		{ SEL_A, GP }, { SEL_NO_TASK, NP }, { SEL_SHORT, TS },
	};

	for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
		struct vcpu *vcpu = start_jump_to(cases[i].sel);
		u32 *stack;

		RUN_TO_PORT(vcpu, 0x60);
		stack = gpa_ptr(vcpu->vm, vcpu_regs(vcpu).rsp);
		EXPECT_EQ(cases[i].vector, vcpu_regs(vcpu).rbx & 0xff)
			TH_LOG("case %u", i);
		EXPECT_EQ(cases[i].sel, stack[0]);
		EXPECT_EQ(GPA_CODE + (jump_end - jump) - 10, stack[1]);
		EXPECT_EQ(SEL_A, vcpu_sregs(vcpu).tr.selector);
		EXPECT_EQ(0, TSS(vcpu, TSS_A)->eip);
		EXPECT_EQ(0x8b, rights_of(vcpu->vm, SEL_A));
	}
}

#define FIELD(f) offsetof(struct tss, f)

TEST(faults_of_the_new_task)
{
	static const struct {
		u8 field;
		u32 val;
		u8 vector;
		u16 error;
		bool stack; /* it has none: a task has to handle it */
	} cases[] = {
		{ FIELD(ds), SEL_ABSENT, NP, SEL_ABSENT, false },
		{ FIELD(gs), SEL_OUTSIDE, TS, SEL_OUTSIDE, false },
		{ FIELD(es), SEL_EXEC_ONLY, TS, SEL_EXEC_ONLY, false },
		{ FIELD(fs), SEL_B, TS, SEL_B, false }, /* no segment */
		{ FIELD(ldt), SEL_DATA, TS, SEL_DATA, true },
		{ FIELD(cs), SEL_DATA, TS, SEL_DATA, true },
		{ FIELD(cs), 0, TS, 0, true },
		{ FIELD(cs), SEL_CODE32 | 3, TS, SEL_CODE32, true },
		{ FIELD(ss), SEL_READ_ONLY, TS, SEL_READ_ONLY, true },
		{ FIELD(ss), SEL_DATA | 3, TS, SEL_DATA, true },
		{ FIELD(ss), 0, TS, 0, true },
		{ FIELD(ss), SEL_ABSENT, SS, SEL_ABSENT, true },
		{ FIELD(eip), 0xfffffff0, GP, 0, false },
	};

	NOT_ON_TCG("goes on before it looks, or fails in the old one");
	NOT_ON_KVM("goes on in the old one");
	for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
		struct vcpu *vcpu = START(jump, task_b);
		struct tss *b = TSS(vcpu, TSS_B);
		u32 *stack;

		*(u32 *)((u8 *)b + cases[i].field) = cases[i].val;
		if (cases[i].field == FIELD(eip))
			b->cs = SEL_CODE16;
		if (cases[i].stack)
			set_task_gate(vcpu->vm, cases[i].vector, SEL_C);
		RUN_TO(vcpu, KVM_EXIT_IO);
		stack = gpa_ptr(vcpu->vm, vcpu_regs(vcpu).rsp);
		EXPECT_EQ(cases[i].error, stack[0])
			TH_LOG("case %u", i);
		if (cases[i].stack) {
			EXPECT_EQ(0x5c, vcpu->run->io.port)
				TH_LOG("case %u", i);
			EXPECT_EQ(STACK_C - 4, vcpu_regs(vcpu).rsp);
			EXPECT_EQ(SEL_B, TSS(vcpu, TSS_C)->link);
			EXPECT_EQ(CODE_B, b->eip);
		} else {
			EXPECT_EQ(0x60, vcpu->run->io.port)
				TH_LOG("case %u", i);
			EXPECT_EQ(cases[i].vector, vcpu_regs(vcpu).rbx & 0xff);
			EXPECT_EQ(b->eip, stack[1]);
			EXPECT_EQ(SEL_B, vcpu_sregs(vcpu).tr.selector);
		}
		EXPECT_EQ(0x89, rights_of(vcpu->vm, SEL_A));
	}
}

/* A fault while an exception is delivered; and one of an event, which no instruction has made. */
TEST(faults_of_the_new_task_of_an_event)
{
	struct vcpu *vcpu = START(bad_load, task_b);

	NOT_ON_TCG("goes on before it looks");
	NOT_ON_KVM("goes on in the old one");
	set_task_gate(vcpu->vm, GP, SEL_B);
	TSS(vcpu, TSS_B)->ds = SEL_ABSENT;
	RUN_TO_PORT(vcpu, 0x60);
	EXPECT_EQ(DF, vcpu_regs(vcpu).rbx & 0xff);
	EXPECT_EQ(SEL_B, vcpu_sregs(vcpu).tr.selector);

	vcpu = START(be_interrupted, task_b);
	set_task_gate(vcpu->vm, NMI, SEL_B);
	TSS(vcpu, TSS_B)->ds = SEL_ABSENT;
	RUN_TO_PORT(vcpu, 0x4f);
	IOCTL(vcpu->fd, KVM_NMI, 0);
	RUN_TO_PORT(vcpu, 0x60);
	EXPECT_EQ(NP, vcpu_regs(vcpu).rbx & 0xff);
	EXPECT_EQ(SEL_ABSENT | 1, *(u32 *)gpa_ptr(vcpu->vm, vcpu_regs(vcpu).rsp));
}

/* Far CALL with a pointer in memory, by all kinds of addresses, and what prefixes do. */
GUEST_ASM(calls, "32",
	  "mov $0x38, %ax; ltr %ax\n"
	  "mov $0x7000, %ebx\n"
	  "mov $0x3800, %esi\n"
	  "lcall *0x7000\n"
	  "lcall *(%ebx)\n"
	  "lcall *0x10(%ebx)\n"
	  "lcall *-0x1000(,%esi,2)\n"
	  "lcall *(%ebx,%esi)\n"
	  "lcall *0x100(%ebx,%esi)\n"
	  ".byte 0x3e; lcall *%cs:0x7000\n"
	  "addr16 lcall *0x7000\n"
	  "addr16 lcall *(%bx)\n"
	  "addr16 lcall *0x10(%bx)\n"
	  "addr16 lcall *0x100(%bx,%si)\n"
	  "data16 lcall $0x40, $0\n"
	  "int $0x41\n"
	  "out %al, $0x51\n"
	  "hlt");

TEST(the_old_task_goes_on_behind_its_instruction)
{
	static const u16 pointers[] = { 0x7000, 0x7010, 0x6000, 0xa800, 0xa900 };
	struct vcpu *vcpu = START(calls, task_b_jumps);

	memcpy(gpa_ptr(vcpu->vm, CODE_B + 2), "\xcf\xeb\xfb", 3); /* IRET; JMP to the OUT */
	set_task_gate(vcpu->vm, 0x41, SEL_B);
	/* 4 bytes of offset before the selector, or with an operand size of 16 bits 2. */
	for (u32 i = 0; i < ARRAY_SIZE(pointers); i++)
		*(u16 *)gpa_ptr(vcpu->vm, pointers[i] + 4) = SEL_B;
	for (int i = 0; i < 13; i++)
		RUN_TO_PORT(vcpu, 0x50);
	RUN_TO_PORT(vcpu, 0x51);
}

TEST(a_tss_may_ask_for_a_trap)
{
	struct vcpu *vcpu = START(jump, task_b);
	struct kvm_debugregs debug;
	u32 *stack;

	NOT_ON_TCG("makes none");
	NOT_ON_KVM("makes none");
	TSS(vcpu, TSS_B)->trap = 1;
	RUN_TO_PORT(vcpu, 0x60);
	EXPECT_EQ(DB, vcpu_regs(vcpu).rbx & 0xff);
	stack = gpa_ptr(vcpu->vm, vcpu_regs(vcpu).rsp);
	EXPECT_EQ(CODE_B, stack[0]);
	IOCTL(vcpu->fd, KVM_GET_DEBUGREGS, &debug);
	EXPECT_EQ(0x8000, debug.dr6 & 0x8000); /* BT */
}

/* Where a TSS has to be there is a device. */
TEST(tss_without_memory_is_an_internal_error)
{
	struct vcpu *vcpu = START(jump, task_b);

	if (!is_minivirt())
		SKIP(return, "KVM tries it again");
	set_descriptor(vcpu->vm, SEL_B, GPA_MMIO, 103, 0x89, 0);
	if (on_tcg())
		SKIP(return, "TCG makes the task switch");
	RUN_TO(vcpu, KVM_EXIT_INTERNAL_ERROR);
	EXPECT_EQ(KVM_INTERNAL_ERROR_EMULATION, vcpu->run->internal.suberror);
}

TEST_MAIN
