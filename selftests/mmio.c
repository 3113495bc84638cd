// SPDX-License-Identifier: GPL-2.0-only
/*
 * Instructions that access MMIO: each form makes the accesses of the processor,
 * in its order, and changes registers and flags as it does.
 */
#include <fcntl.h>
#include "test.h"

#define M GPA_MMIO
#define CF 1
#define ZF 0x40
#define SF 0x80
#define OF 0x800
#define NO_FLAGS ~0ull

struct access {
	u8 write, len;
	u16 off; /* from M */
	u64 data;
};

/*
 * Before each: rax = 0x1122334455667788, rcx = 3, rdx = 0x0123456789abcdef,
 * rbx = M + 0x100, rsi = rdi = M, rbp = GPA_FREE, flags clear but for CF if stc.
 */
struct form {
	const char *text;
	const u8 *code, *end;
	struct access access[4]; /* up to the first of length 0 */
	u64 rax, rcx;
	u64 flags; /* CF, ZF, SF, OF afterwards */
};

#define RAX 0x1122334455667788ull
#define RCX 3ull
#define RDX 0x0123456789abcdefull

#define R(l, o, d) { 0, l, o, d }
#define W(l, o, d) { 1, l, o, d }
#define FORM(name, insn) GUEST_ASM(insn_##name, "64", insn "\n hlt\n");

/* name, instruction, accesses, rax, rcx, flags */
#define FORMS(X)                                                                                   \
	X(mov_imm8, "movb $0x5a, (%rbx)", (W(1, 0x100, 0x5a)), RAX, RCX, NO_FLAGS)                 \
	X(mov_imm16, "movw $0x5a5b, (%rbx)", (W(2, 0x100, 0x5a5b)), RAX, RCX, NO_FLAGS)            \
	X(mov_imm32, "movl $0x5a5b5c5d, 8(%rbx)", (W(4, 0x108, 0x5a5b5c5d)), RAX, RCX, NO_FLAGS)   \
	X(mov_imm64, "movq $-2, (%rbx)", (W(8, 0x100, -2ull)), RAX, RCX, NO_FLAGS)                 \
	X(mov_ah, "movb %ah, (%rbx)", (W(1, 0x100, 0x77)), RAX, RCX, NO_FLAGS)                     \
	X(mov_sib, "movl %eax, 4(%rbx,%rcx,8)", (W(4, 0x11c, 0x55667788)), RAX, RCX, NO_FLAGS)     \
	X(mov_moffs, "movabsb 0xd0000010, %al", (R(1, 0x10, 0x99)), 0x1122334455667799, RCX,       \
	  NO_FLAGS)                                                                                \
	X(mov_load_cl, "movb (%rbx), %cl", (R(1, 0x100, 0xfe)), RAX, 0xfe, NO_FLAGS)               \
	X(mov_load_ch, "movb (%rbx), %ch", (R(1, 0x100, 0xfe)), RAX, 0xfe03, NO_FLAGS)             \
	X(movzx8, "movzbl (%rbx), %eax", (R(1, 0x100, 0xfe)), 0xfe, RCX, NO_FLAGS)                 \
	X(movzx16, "movzwq (%rbx), %rax", (R(2, 0x100, 0xfedc)), 0xfedc, RCX, NO_FLAGS)            \
	X(movsx8, "movsbq (%rbx), %rax", (R(1, 0x100, 0xfe)), -2ull, RCX, NO_FLAGS)                \
	X(movsx16, "movswl (%rbx), %eax", (R(2, 0x100, 0x8000)), 0xffff8000, RCX, NO_FLAGS)        \
	X(movsxd, "movslq (%rbx), %rax", (R(4, 0x100, 0x80000000)), 0xffffffff80000000, RCX,       \
	  NO_FLAGS)                                                                                \
	X(add_load, "addl (%rbx), %eax", (R(4, 0x100, 0xaa998878)), 0, RCX, CF | ZF)               \
	X(add_store, "addw %ax, (%rbx)", (R(2, 0x100, 1), W(2, 0x100, 0x7789)), RAX, RCX, 0)       \
	X(sub_imm, "subl $2, (%rbx)", (R(4, 0x100, 1), W(4, 0x100, 0xffffffff)), RAX, RCX,         \
	  CF | SF)                                                                                 \
	X(adc, "stc; adcb $0, (%rbx)", (R(1, 0x100, 0x7f), W(1, 0x100, 0x80)), RAX, RCX, SF | OF)  \
	X(and_store, "andq %rax, (%rbx)", (R(8, 0x100, 0xff), W(8, 0x100, 0x88)), RAX, RCX, 0)     \
	X(or_imm, "orb $0x80, (%rbx)", (R(1, 0x100, 1), W(1, 0x100, 0x81)), RAX, RCX, SF)          \
	X(xor_store, "xorl %eax, (%rbx)", (R(4, 0x100, 0x55667788), W(4, 0x100, 0)), RAX, RCX, ZF) \
	X(cmp_load, "cmpl (%rbx), %ecx", (R(4, 0x100, 4)), RAX, RCX, CF | SF)                      \
	X(cmp_imm, "cmpb $3, (%rbx)", (R(1, 0x100, 3)), RAX, RCX, ZF)                              \
	X(test_imm, "testl $0x80000000, (%rbx)", (R(4, 0x100, -1u)), RAX, RCX, SF)                 \
	X(inc, "incl (%rbx)", (R(4, 0x100, 0x7fffffff), W(4, 0x100, 0x80000000)), RAX, RCX,        \
	  SF | OF)                                                                                 \
	X(dec, "decb (%rbx)", (R(1, 0x100, 1), W(1, 0x100, 0)), RAX, RCX, ZF)                      \
	X(neg, "negl (%rbx)", (R(4, 0x100, 1), W(4, 0x100, -1u)), RAX, RCX, CF | SF)               \
	X(not, "notw (%rbx)", (R(2, 0x100, 0xff), W(2, 0x100, 0xff00)), RAX, RCX, NO_FLAGS)        \
	X(xchg, "xchgl %ecx, (%rbx)", (R(4, 0x100, 0x42), W(4, 0x100, 3)), RAX, 0x42, NO_FLAGS)    \
	X(bt, "btl $5, (%rbx)", (R(4, 0x100, 0x20)), RAX, RCX, NO_FLAGS)                           \
	X(bts, "btsl $5, (%rbx)", (R(4, 0x100, 0), W(4, 0x100, 0x20)), RAX, RCX, NO_FLAGS)         \
	X(shl, "shll $1, (%rbx)", (R(4, 0x100, 0x40000000), W(4, 0x100, 0x80000000)), RAX, RCX,    \
	  NO_FLAGS)                                                                                \
	X(sete, "cmp %eax, %eax; sete (%rbx)", (W(1, 0x100, 1)), RAX, RCX, ZF)                     \
	X(cmov_not, "clc; cmovcl (%rbx), %eax", (R(4, 0x100, 5)), 0x55667788, RCX, NO_FLAGS)       \
	X(push_mem, "pushq (%rbx); popq %rax", (R(8, 0x100, 0xabcd)), 0xabcd, RCX, NO_FLAGS)       \
	X(stos, "movb $1, %cl; rep stosl",                                                         \
	  (W(4, 0, 0x55667788)), RAX, 0, NO_FLAGS)                                                 \
	X(rep_stos, "rep stosw", (W(2, 0, 0x7788), W(2, 2, 0x7788), W(2, 4, 0x7788)), RAX, 0,      \
	  NO_FLAGS)                                                                                \
	X(lods, "lodsb", (R(1, 0, 0xee)), 0x11223344556677ee, RCX, NO_FLAGS)                       \
	X(movs_to_mmio, "mov %rbp, %rsi; rep movsl",                                               \
	  (W(4, 0, 0x03020100), W(4, 4, 0x07060504), W(4, 8, 0x0b0a0908)), RAX, 0, NO_FLAGS)       \
	X(movs_from_mmio, "mov %rbp, %rdi; movsq; movq (%rbp), %rax",                              \
	  (R(8, 0, 0x1020304050607080)), 0x1020304050607080, RCX, NO_FLAGS)                        \
	X(scas, "scasb", (R(1, 0, 0x88)), RAX, RCX, ZF)                                            \
	X(sse_store, "movd %eax, %xmm1; pshufd $0, %xmm1, %xmm1; movdqu %xmm1, (%rbx)",            \
	  (W(8, 0x100, 0x5566778855667788), W(8, 0x108, 0x5566778855667788)), RAX, RCX, NO_FLAGS)  \
	X(sse_load, "movdqu (%rbx), %xmm1; movq %xmm1, %rax",                                      \
	  (R(8, 0x100, 0x42), R(8, 0x108, 0)), 0x42, RCX, NO_FLAGS)                                \
	X(movnti, "movnti %eax, (%rbx)", (W(4, 0x100, 0x55667788)), RAX, RCX, NO_FLAGS)            \
	X(addr32, "movl %eax, (%ebx)", (W(4, 0x100, 0x55667788)), RAX, RCX, NO_FLAGS)              \
	X(rex_r8, "mov %rbx, %r9; movb %al, (%r9)", (W(1, 0x100, 0x88)), RAX, RCX, NO_FLAGS)       \
	X(xadd, "lock; xaddl %ecx, (%rbx)", (R(4, 0x100, 5), W(4, 0x100, 8)), RAX, 5, 0)           \
	X(cmpxchg, "cmpxchgl %ecx, (%rbx)", (R(4, 0x100, 0x55667788), W(4, 0x100, 3)), RAX, RCX,   \
	  ZF)                                                                                      \
	X(btr, "btrl %ecx, (%rbx)", (R(4, 0x100, 0xff), W(4, 0x100, 0xf7)), RAX, RCX, NO_FLAGS)    \
	X(bt_string, "mov $-1, %ecx; btl %ecx, (%rbx)", (R(4, 0xfc, 0x80000000)), RAX, 0xffffffff, \
	  NO_FLAGS)                                                                                \
	X(repne_scas, "repne scasb", (R(1, 0, 1), R(1, 1, 2), R(1, 2, 0x88)), RAX, 0, ZF)          \
	X(movbe, "movbel (%rbx), %eax", (R(4, 0x100, 0x01020304)), 0x04030201, RCX, NO_FLAGS)      \
	X(call_mem, "call *(%rbx); jmp 1f; ret; 1:", (R(8, 0x100, GPA_CODE + 4)), RAX, RCX,        \
	  NO_FLAGS)                                                                                \
	X(jmp_mem, "jmp *(%rbx); ud2", (R(8, 0x100, GPA_CODE + 4)), RAX, RCX, NO_FLAGS)            \
	X(mul, "mulb (%rbx)", (R(1, 0x100, 3)), 0x1122334455660198, RCX, NO_FLAGS)                 \
	X(imul, "imull $-2, (%rbx), %eax", (R(4, 0x100, 5)), 0xfffffff6, RCX, NO_FLAGS)            \
	X(div, "mov $1000, %eax; xor %edx, %edx; divl (%rbx)", (R(4, 0x100, 7)), 142, RCX,         \
	  NO_FLAGS)                                                                                \
	X(idiv, "mov $-7, %rax; cqo; idivq (%rbx)", (R(8, 0x100, 2)), -3ull, RCX, NO_FLAGS)        \
	X(bsf, "bsfl (%rbx), %eax", (R(4, 0x100, 0x700)), 8, RCX, NO_FLAGS)                        \
	X(bsr, "bsrq (%rbx), %rax", (R(8, 0x100, 0x700)), 10, RCX, NO_FLAGS)                       \
	X(shld, "shldl $8, %eax, (%rbx)", (R(4, 0x100, 0x11223344), W(4, 0x100, 0x22334455)), RAX, \
	  RCX, NO_FLAGS)                                                                           \
	X(shrd, "shrdl %cl, %eax, (%rbx)", (R(4, 0x100, 0x11223344), W(4, 0x100, 0x2244668)), RAX, \
	  RCX, NO_FLAGS)                                                                           \
	X(xlat, "mov %rbx, %rdx; xlatb", (R(1, 0x188, 0x5a)), 0x112233445566775a, RCX, NO_FLAGS)   \
	X(push, "mov %rbx, %rsp; push %rax", (W(8, 0xf8, RAX)), RAX, RCX, NO_FLAGS)                \
	X(push_imm, "mov %rbx, %rsp; push $-3", (W(8, 0xf8, -3ull)), RAX, RCX, NO_FLAGS)           \
	X(pop, "mov %rbx, %rsp; pop %rax", (R(8, 0x100, 0x4321)), 0x4321, RCX, NO_FLAGS)           \
	X(pushf, "mov %rbx, %rsp; stc; pushf", (W(8, 0xf8, 3)), RAX, RCX, CF)                      \
	X(popf, "mov %rbx, %rsp; popf", (R(8, 0x100, 0x8c3)), RAX, RCX, CF | ZF | SF | OF)         \
	X(enter, "mov %rbx, %rsp; mov %rax, %rbp; enter $16, $0; mov %rsp, %rax",                  \
	  (W(8, 0xf8, RAX)), M + 0xe8, RCX, NO_FLAGS)                                              \
	X(leave, "mov %rbx, %rbp; leave; mov %rbp, %rax", (R(8, 0x100, 0x77)), 0x77, RCX,          \
	  NO_FLAGS)                                                                                \
	X(call_ret, "mov %rbx, %rsp; call 1f; jmp 2f; 1: ret; 2:",                                 \
	  (W(8, 0xf8, GPA_CODE + 8), R(8, 0xf8, GPA_CODE + 8)), RAX, RCX, NO_FLAGS)                \
	X(mov_from_sreg, "mov %ss, (%rbx)", (W(2, 0x100, SEL_DATA)), RAX, RCX, NO_FLAGS)           \
	X(mov_to_sreg, "mov (%rbx), %es; mov %es, %eax", (R(2, 0x100, SEL_DATA)), SEL_DATA, RCX,   \
	  NO_FLAGS)                                                                                \
	X(lfs, "lfs (%rbx), %eax; mov %fs, %ecx", (R(6, 0x100, (u64)SEL_DATA << 32 | 0x12345678)), \
	  0x12345678, SEL_DATA, NO_FLAGS)                                                          \
	X(push_pop_fs, "mov %rbx, %rsp; push %fs; pop %fs",                                        \
	  (W(8, 0xf8, SEL_DATA), R(2, 0xf8, SEL_DATA)), RAX, RCX, NO_FLAGS)                        \
	X(fnstcw, "fninit; fnstcw (%rbx)", (W(2, 0x100, 0x37f)), RAX, RCX, NO_FLAGS)               \
	X(fnstsw, "fninit; fnstsw (%rbx)", (W(2, 0x100, 0)), RAX, RCX, NO_FLAGS)                   \
	X(movq_mm, "fninit; movq (%rbx), %mm3; movq %mm3, 8(%rbx); emms",                          \
	  (R(8, 0x100, RDX), W(8, 0x108, RDX)), RAX, RCX, NO_FLAGS)                                \
	X(smsw, "smsw (%rbx)", (W(2, 0x100, 0x33)), RAX, RCX, NO_FLAGS)                            \
	X(lmsw, "lmsw (%rbx); mov %cr0, %rax; btr $3, %eax; lmsw %ax", (R(2, 0x100, 0x3b)),        \
	  0x80050033, RCX, NO_FLAGS)                                                               \
	X(split_lock, "lock; addl %eax, 0x3d(%rbx)", (R(4, 0x13d, 1), W(4, 0x13d, 0x55667789)),    \
	  RAX, RCX, NO_FLAGS)                                                                      \
	X(locked, "lock; orl $1, (%rbx)", (R(4, 0x100, 0), W(4, 0x100, 1)), RAX, RCX, 0)

/* Stock KVM does not know these, or reads before it writes. */
#define MORE_FORMS(X)                                                                              \
	X(sldt, "sldt (%rbx)", (W(2, 0x100, 0)), RAX, RCX, NO_FLAGS)                               \
	X(str, "str (%rbx)", (W(2, 0x100, SEL_TSS)), RAX, RCX, NO_FLAGS)                           \
	X(tzcnt, "tzcntl (%rbx), %eax", (R(4, 0x100, 0)), 32, RCX, CF)                             \
	X(lzcnt, "lzcntw (%rbx), %ax", (R(2, 0x100, 0x8000)), 0x1122334455660000, RCX, ZF)         \
	X(popcnt, "popcntq (%rbx), %rax", (R(8, 0x100, -1ull)), 64, RCX, 0)

#define UNPAREN(...) __VA_ARGS__
#define X_CODE(name, insn, acc, rax, rcx, flags) FORM(name, insn)
#define X_ROW(name, insn, acc, rax, rcx, flags)                                                    \
	{ insn, insn_##name, insn_##name##_end, { UNPAREN acc }, rax, rcx, flags },

FORMS(X_CODE)
MORE_FORMS(X_CODE)

#define X_COUNT(...) + 1
#define NR_FORMS (0 FORMS(X_COUNT))

static const struct form forms[] = { FORMS(X_ROW) MORE_FORMS(X_ROW) };

static void start_form(struct vcpu *vcpu, const struct form *f)
{
	struct kvm_regs regs = {
		.rip = GPA_CODE, .rflags = 2, .rsp = GPA_STACKS + STACK_SIZE,
		.rax = RAX, .rcx = RCX, .rdx = RDX, .rbx = M + 0x100,
		.rsi = M, .rdi = M, .rbp = GPA_FREE,
	};
	u8 *src = gpa_ptr(vcpu->vm, GPA_FREE);

	memcpy(gpa_ptr(vcpu->vm, GPA_CODE), f->code, f->end - f->code);
	for (int i = 0; i < 16; i++)
		src[i] = i;
	vcpu_set_regs(vcpu, &regs);
}

TEST(each_form_of_instruction)
{
	static const u8 hlt[] = { 0xf4 };
	struct vcpu *vcpu = vcpu_add_asm(vm_create(), hlt, hlt + 1);
	struct kvm_run *run = vcpu->run;

	for (int i = 0; i < (is_minivirt() ? ARRAY_SIZE(forms) : NR_FORMS); i++) {
		const struct form *f = &forms[i];
		const struct access *a;
		struct kvm_regs regs;

		start_form(vcpu, f);
		for (a = f->access; a->len; a++) {
			vcpu_run(vcpu);
			ASSERT_EQ(KVM_EXIT_MMIO, run->exit_reason)
				TH_LOG("%s", f->text);
			EXPECT_EQ(a->write, run->mmio.is_write)
				TH_LOG("%s", f->text);
			EXPECT_EQ(M + a->off, run->mmio.phys_addr)
				TH_LOG("%s", f->text);
			EXPECT_EQ(a->len, run->mmio.len)
				TH_LOG("%s", f->text);
			if (!a->write)
				memcpy(run->mmio.data, &a->data, a->len);
			else if (memcmp(run->mmio.data, &a->data, a->len))
				FAIL("%s: wrote other data", f->text);
		}
		vcpu_run(vcpu);
		ASSERT_EQ(KVM_EXIT_HLT, run->exit_reason)
			TH_LOG("%s", f->text);
		regs = vcpu_regs(vcpu);
		EXPECT_EQ(GPA_CODE + (f->end - f->code), regs.rip)
			TH_LOG("%s", f->text);
		EXPECT_EQ(f->rax, regs.rax)
			TH_LOG("%s", f->text);
		EXPECT_EQ(f->rcx, regs.rcx)
			TH_LOG("%s", f->text);
		if (f->flags != NO_FLAGS)
			EXPECT_EQ(f->flags, regs.rflags & (CF | ZF | SF | OF));
	}
}

/* 16 MiB: within reach of a displacement, and no memory either. */
GUEST_ASM(rip_relative, "64", "movw $0x1234, 0x1000000 - 0x8009(%rip)\n hlt\n");

TEST(rip_relative_counts_from_the_next_instruction)
{
	struct vcpu *vcpu = vcpu_add_asm(vm_create(), rip_relative, rip_relative_end);

	RUN_TO(vcpu, KVM_EXIT_MMIO);
	EXPECT_EQ(0x1000000, vcpu->run->mmio.phys_addr);
	EXPECT_EQ(2, vcpu->run->mmio.len);
	RUN_TO(vcpu, KVM_EXIT_HLT);
}

GUEST_ASM(real_mode_mmio, "16",
	  "mov $0xb800, %ax\n mov %ax, %es\n mov $0x10, %di\n mov $0x1234, %ax\n stosw\n"
	  "movb %es:0x20, %al\n hlt\n");

TEST(real_mode_segments)
{
	struct vm *vm = vm_create_empty();
	struct vcpu *vcpu;

	/* Memory ends at 640 KiB. */
	vm->mem = vm_add_memory(vm, 0, 0, 0xa0000, 0);
	vcpu = vcpu_add_real(vm, real_mode_mmio, real_mode_mmio_end);
	RUN_TO(vcpu, KVM_EXIT_MMIO);
	EXPECT_EQ(0xb8010, vcpu->run->mmio.phys_addr);
	EXPECT_EQ(2, vcpu->run->mmio.len);
	EXPECT_EQ(0x34, vcpu->run->mmio.data[0]);
	RUN_TO(vcpu, KVM_EXIT_MMIO);
	EXPECT_EQ(0xb8020, vcpu->run->mmio.phys_addr);
	EXPECT_EQ(0, vcpu->run->mmio.is_write);
	vcpu->run->mmio.data[0] = 0x99;
	RUN_TO(vcpu, KVM_EXIT_HLT);
	EXPECT_EQ(0x1299, vcpu_regs(vcpu).rax & 0xffff);
}

/* What a VGA BIOS does to its memory; the target of the CALL is behind the HLT. */
GUEST_ASM(vga_bios, "16",
	  "mov $0xa000, %ax\n mov %ax, %ds\n mov %ax, %es\n"
	  "mov $2, %si\n mov $0xfffe, %di\n mov $2, %cx\n rep movsw\n"
	  "std\n mov $1, %di\n mov $7, %al\n mov $2, %cx\n rep stosb\n cld\n"
	  "orb $0x80, 0x10\n xchg %al, 0x20\n callw *0x30\n hlt\n ret\n");

TEST(real_mode_strings_wrap_and_calls_return)
{
	static const struct access accesses[] = {
		R(2, 2, 0x1111), W(2, 0xfffe, 0x1111), R(2, 4, 0x2222), W(2, 0, 0x2222),
		W(1, 1, 7), W(1, 0, 7), R(1, 0x10, 1), W(1, 0x10, 0x81), R(1, 0x20, 0x55),
		W(1, 0x20, 7), R(2, 0x30, 0),
	};
	struct vm *vm = vm_create_empty();
	struct kvm_run *run;
	struct vcpu *vcpu;
	u64 val;

	vm->mem = vm_add_memory(vm, 0, 0, 0xa0000, 0);
	vcpu = vcpu_add_real(vm, vga_bios, vga_bios_end);
	run = vcpu->run;
	for (int i = 0; i < ARRAY_SIZE(accesses); i++) {
		const struct access *a = &accesses[i];

		RUN_TO(vcpu, KVM_EXIT_MMIO);
		EXPECT_EQ(0xa0000 + a->off, run->mmio.phys_addr);
		EXPECT_EQ(a->len, run->mmio.len);
		ASSERT_EQ(a->write, run->mmio.is_write);
		val = a->off == 0x30 ? vcpu_regs(vcpu).rip + 5 : a->data;
		if (!a->write)
			memcpy(run->mmio.data, &val, a->len);
		EXPECT_EQ(0, memcmp(run->mmio.data, &val, a->len));
	}
	RUN_TO(vcpu, KVM_EXIT_HLT);
	EXPECT_EQ(GPA_CODE + (vga_bios_end - vga_bios) - 1, vcpu_regs(vcpu).rip);
	EXPECT_EQ(0x55, vcpu_regs(vcpu).rax & 0xff);
	EXPECT_EQ(0xffff, vcpu_regs(vcpu).rdi & 0xffff);
}

/* "Big real mode", in which firmware reaches its devices from 16-bit code. */
GUEST_ASM(big_real_mode_mmio, "16",
	  "mov $0xd0000000, %ebx\n movl $0x12345678, 4(%ebx)\n mov %ebx, %edi\n mov $1, %ecx\n"
	  "addr32 rep stosw\n hlt\n");

TEST(real_mode_with_big_segments)
{
	struct vcpu *vcpu = vcpu_add_real(vm_create(), big_real_mode_mmio, big_real_mode_mmio_end);
	struct kvm_sregs sregs = vcpu_sregs(vcpu);

	sregs.ds.limit = 0xffffffff;
	sregs.ds.g = 1;
	sregs.es = sregs.ds;
	vcpu_set_sregs(vcpu, &sregs);
	RUN_TO(vcpu, KVM_EXIT_MMIO);
	EXPECT_EQ(M + 4, vcpu->run->mmio.phys_addr);
	EXPECT_EQ(4, vcpu->run->mmio.len);
	RUN_TO(vcpu, KVM_EXIT_MMIO);
	EXPECT_EQ(M, vcpu->run->mmio.phys_addr);
	EXPECT_EQ(2, vcpu->run->mmio.len);
	RUN_TO(vcpu, KVM_EXIT_HLT);
	EXPECT_EQ(0xd0000002, vcpu_regs(vcpu).rdi);
}

GUEST_ASM(prot_mode_mmio, "32",
	  "movl $0xd0000000, %ebx\n movw $0x1234, 2(%ebx)\n addr16 movl %eax, 0x1000\n"
	  "push (%ebx)\n pop %eax\n hlt\n");

TEST(protected_mode_sizes)
{
	struct vcpu *vcpu = vcpu_add_prot(vm_create(), prot_mode_mmio, prot_mode_mmio_end);

	RUN_TO(vcpu, KVM_EXIT_MMIO);
	EXPECT_EQ(M + 2, vcpu->run->mmio.phys_addr);
	EXPECT_EQ(2, vcpu->run->mmio.len);
	RUN_TO(vcpu, KVM_EXIT_MMIO);
	EXPECT_EQ(M, vcpu->run->mmio.phys_addr);
	EXPECT_EQ(4, vcpu->run->mmio.len);
	memcpy(vcpu->run->mmio.data, "\x78\x56\x34\x12", 4);
	RUN_TO(vcpu, KVM_EXIT_HLT);
	EXPECT_EQ(0x12345678, vcpu_regs(vcpu).rax);
}

static void faulting_mmio(void)
{
	volatile u64 *pte = (u64 *)pte_gpa(GPA_FREE);
	u64 err;

	/* A string copy from MMIO to a page that is not there: the page fault comes. */
	*pte = 0;
	invlpg(GPA_FREE);
	GUEST_ASSERT_EQ(TRY_ERR(err, "movsq", "S"((u64)M), "D"((u64)GPA_FREE)), PF);
	GUEST_ASSERT_EQ(err, 2);
	GUEST_ASSERT_EQ(read_cr2(), GPA_FREE);
	GUEST_DONE();
}

TEST(faults_of_emulated_instructions)
{
	struct vcpu *vcpu = vcpu_add(vm_create(), faulting_mmio);

	/* Whether the read is made before is not defined. */
	vcpu_run(vcpu);
	if (vcpu->run->exit_reason == KVM_EXIT_MMIO) {
		RUN_DONE(vcpu);
	} else {
		ASSERT_TRUE(is_ucall(vcpu));
		EXPECT_EQ(UCALL_DONE, vcpu_regs(vcpu).rdi);
	}
}

#define MOVED (GPA_FREE + 0x10000)
#define MOVED_SLOT 0x1000000
#define STORE_AL 0xc30388 /* mov %al, (%rbx); ret */
#define STORE_CL 0xc30b88

static void run_moved(u64 code)
{
	asm volatile("call *%[code]" : : [code] "r"(code), "a"(1), "c"(2), "b"(M) : "memory");
}

static void moved_code(void)
{
	volatile u64 *pte = (u64 *)pte_gpa(MOVED), *pde = (u64 *)(GPA_PML4 + 0x2000);
	volatile u64 *other = (u64 *)(GPA_FREE + 0x20000), *table = (u64 *)((u64)pte & ~0xfffull);
	u64 flags = *pte & 0xfff;

	*(volatile u32 *)(GPA_FREE + 0x1000) = STORE_AL;
	*(volatile u32 *)(GPA_FREE + 0x2000) = STORE_CL;
	*pte = (GPA_FREE + 0x1000) | flags;
	invlpg(MOVED);
	run_moved(MOVED);
	run_moved(MOVED);
	/* In place */
	*(volatile u32 *)(GPA_FREE + 0x1000) = STORE_CL;
	run_moved(MOVED);
	*(volatile u32 *)(GPA_FREE + 0x1000) = STORE_AL;
	run_moved(MOVED);
	/* By its entry, and by that of its table */
	*pte = (GPA_FREE + 0x2000) | flags;
	invlpg(MOVED);
	run_moved(MOVED);
	for (int i = 0; i < 512; i++)
		other[i] = table[i];
	other[(MOVED >> 12) % 512] = (GPA_FREE + 0x1000) | flags;
	*pde = (u64)other | (*pde & 0xfff);
	write_cr3(read_cr3());
	run_moved(MOVED);
	/* By the host */
	run_moved(MOVED_SLOT);
	run_moved(MOVED_SLOT);
	GUEST_DONE();
}

TEST(instructions_are_fetched_anew)
{
	static const u8 expected[] = { 1, 1, 2, 1, 2, 1, 1, 2 };
	struct vm *vm = vm_create();
	struct vcpu *vcpu = vcpu_add(vm, moved_code);
	u32 *first = vm_add_memory(vm, 1, MOVED_SLOT, 0x1000, 0);
	u32 *second = mmap(NULL, 0x1000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			   -1, 0);

	*first = STORE_AL;
	*second = STORE_CL;
	for (int i = 0; i < ARRAY_SIZE(expected); i++) {
		RUN_TO(vcpu, KVM_EXIT_MMIO);
		EXPECT_EQ(expected[i], vcpu->run->mmio.data[0])
			TH_LOG("store %d", i);
		if (i == ARRAY_SIZE(expected) - 2) {
			ASSERT_EQ(0, vm_set_slot(vm, 1, MOVED_SLOT, 0, first, 0));
			ASSERT_EQ(0, vm_set_slot(vm, 1, MOVED_SLOT, 0x1000, second, 0));
		}
	}
	RUN_DONE(vcpu);
}

TEST_MAIN
