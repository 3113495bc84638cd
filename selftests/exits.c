// SPDX-License-Identifier: GPL-2.0-only
/* Every reason for which KVM_RUN returns, and what struct kvm_run says then. */
#include <fcntl.h>
#include "test.h"

static void *io_data(struct vcpu *vcpu)
{
	return (u8 *)vcpu->run + vcpu->run->io.data_offset;
}

#define EXPECT_IO(vcpu, dir, sz, p)                                                                \
	do {                                                                                       \
		RUN_TO(vcpu, KVM_EXIT_IO);                                                         \
		EXPECT_EQ(KVM_EXIT_IO_##dir, (vcpu)->run->io.direction);                           \
		EXPECT_EQ(sz, (vcpu)->run->io.size);                                               \
		EXPECT_EQ(p, (vcpu)->run->io.port);                                                \
		EXPECT_EQ(1, (vcpu)->run->io.count);                                               \
	} while (0)

#define EXPECT_MMIO(vcpu, write, addr, length)                                                     \
	do {                                                                                       \
		RUN_TO(vcpu, KVM_EXIT_MMIO);                                                       \
		EXPECT_EQ(write, (vcpu)->run->mmio.is_write);                                      \
		EXPECT_EQ(addr, (vcpu)->run->mmio.phys_addr);                                      \
		EXPECT_EQ(length, (vcpu)->run->mmio.len);                                          \
	} while (0)

GUEST_ASM(out_all_sizes, "16",
	  "movl $0x11223344, %eax\n"
	  "outb %al, $0x10\n"
	  "outw %ax, $0x11\n"
	  "outl %eax, $0xfe\n"
	  "movw $0xabcd, %dx\n"
	  "outb %al, %dx\n"
	  "outw %ax, %dx\n"
	  "outl %eax, %dx\n"
	  "hlt\n");

TEST(out_of_all_sizes)
{
	struct vm *vm = vm_create();
	struct vcpu *vcpu = vcpu_add_real(vm, out_all_sizes, out_all_sizes_end);

	EXPECT_IO(vcpu, OUT, 1, 0x10);
	EXPECT_EQ(0x44, *(u8 *)io_data(vcpu));
	EXPECT_IO(vcpu, OUT, 2, 0x11);
	EXPECT_EQ(0x3344, *(u16 *)io_data(vcpu));
	EXPECT_IO(vcpu, OUT, 4, 0xfe);
	EXPECT_EQ(0x11223344, *(u32 *)io_data(vcpu));
	EXPECT_IO(vcpu, OUT, 1, 0xabcd);
	EXPECT_IO(vcpu, OUT, 2, 0xabcd);
	EXPECT_IO(vcpu, OUT, 4, 0xabcd);
	RUN_TO(vcpu, KVM_EXIT_HLT);
}

static void in_all_sizes(void)
{
	u64 a = ~0ull;

	asm volatile("inb $0x20, %%al" : "+a"(a));
	GUEST_ASSERT_EQ(a, 0xffffffffffffff11);
	asm volatile("inw $0x21, %%ax" : "+a"(a));
	GUEST_ASSERT_EQ(a, 0xffffffffffff2233);
	asm volatile("inl %%dx, %%eax" : "+a"(a) : "d"(0xfffc));
	GUEST_ASSERT_EQ(a, 0x44556677);
	GUEST_DONE();
}

TEST(in_of_all_sizes)
{
	struct vm *vm = vm_create();
	struct vcpu *vcpu = vcpu_add(vm, in_all_sizes);

	EXPECT_IO(vcpu, IN, 1, 0x20);
	*(u8 *)io_data(vcpu) = 0x11;
	EXPECT_IO(vcpu, IN, 2, 0x21);
	*(u16 *)io_data(vcpu) = 0x2233;
	EXPECT_IO(vcpu, IN, 4, 0xfffc);
	*(u32 *)io_data(vcpu) = 0x44556677;
	RUN_DONE(vcpu);
}

#define STRING_ADDR (GPA_FREE + 0x1000 - 7) /* crosses a page */
#define STRING_COUNT 20

static u64 string_rflags;

static void rep_outs(void)
{
	u64 rcx = STRING_COUNT, rsi = STRING_ADDR;
	bool df = string_rflags & 1 << 10;

	if (df) {
		rsi += (STRING_COUNT - 1) * 2;
		asm volatile("std");
	}
	asm volatile("rep outsw; cld" : "+c"(rcx), "+S"(rsi) : "d"(0x30));
	GUEST_ASSERT_EQ(rcx, 0);
	GUEST_ASSERT_EQ(rsi, df ? STRING_ADDR - 2 : STRING_ADDR + 2 * STRING_COUNT);
	GUEST_DONE();
}

/* One exit may carry any number of elements: the sequence is what is promised. */
static void check_rep_outs(struct __test_metadata *_metadata, bool df)
{
	u16 expected[STRING_COUNT], seen[STRING_COUNT];
	struct vcpu *vcpu;
	struct vm *vm;
	u32 n = 0;

	string_rflags = df ? 1 << 10 : 0;
	vm = vm_create();
	vcpu = vcpu_add(vm, rep_outs);
	for (int i = 0; i < STRING_COUNT; i++) {
		u16 val = 0x1000 + i * 0x101;

		expected[df ? STRING_COUNT - 1 - i : i] = val;
		memcpy(gpa_ptr(vm, STRING_ADDR + 2 * i), &val, 2);
	}
	while (n < STRING_COUNT) {
		RUN_TO(vcpu, KVM_EXIT_IO);
		ASSERT_EQ(KVM_EXIT_IO_OUT, vcpu->run->io.direction);
		ASSERT_EQ(2, vcpu->run->io.size);
		ASSERT_EQ(0x30, vcpu->run->io.port);
		ASSERT_LE(1, vcpu->run->io.count);
		ASSERT_LE(n + vcpu->run->io.count, STRING_COUNT);
		memcpy(seen + n, io_data(vcpu), vcpu->run->io.count * 2);
		n += vcpu->run->io.count;
	}
	EXPECT_EQ(0, memcmp(expected, seen, sizeof(seen)));
	RUN_DONE(vcpu);
}

TEST(rep_outs_gives_all_elements_in_order)
{
	check_rep_outs(_metadata, false);
}

TEST(rep_outs_goes_down_with_the_direction_flag)
{
	check_rep_outs(_metadata, true);
}

static void rep_ins(void)
{
	u64 rcx = STRING_COUNT, rdi = STRING_ADDR;

	asm volatile("rep insl" : "+c"(rcx), "+D"(rdi) : "d"(0x40) : "memory");
	GUEST_ASSERT_EQ(rcx, 0);
	GUEST_ASSERT_EQ(rdi, STRING_ADDR + 4 * STRING_COUNT);
	/* None: no exit, no change. */
	asm volatile("rep insl; rep outsb" : "+c"(rcx), "+D"(rdi) : "d"(0x41), "S"(0) : "memory");
	GUEST_ASSERT_EQ(rdi, STRING_ADDR + 4 * STRING_COUNT);
	GUEST_DONE();
}

TEST(rep_ins_fills_guest_memory)
{
	struct vm *vm = vm_create();
	struct vcpu *vcpu = vcpu_add(vm, rep_ins);
	u32 n = 0, val;

	while (n < STRING_COUNT) {
		RUN_TO(vcpu, KVM_EXIT_IO);
		ASSERT_EQ(KVM_EXIT_IO_IN, vcpu->run->io.direction);
		ASSERT_EQ(4, vcpu->run->io.size);
		ASSERT_EQ(0x40, vcpu->run->io.port);
		ASSERT_LE(n + vcpu->run->io.count, STRING_COUNT);
		for (u32 i = 0; i < vcpu->run->io.count; i++, n++)
			((u32 *)io_data(vcpu))[i] = 0xc0de0000 + n;
	}
	RUN_DONE(vcpu);
	for (n = 0; n < STRING_COUNT; n++) {
		memcpy(&val, gpa_ptr(vm, STRING_ADDR + 4 * n), 4);
		EXPECT_EQ(0xc0de0000 + n, val);
	}
}

static void mmio_all_sizes(void)
{
	u64 a = ~0ull;

	asm volatile("movb %b0, (%1)" : : "a"(0x1122334455667788), "r"(GPA_MMIO + 0x10ul));
	asm volatile("movw %w0, (%1)" : : "a"(0x1122334455667788), "r"(GPA_MMIO + 0x20ul));
	asm volatile("movl %k0, (%1)" : : "a"(0x1122334455667788), "r"(GPA_MMIO + 0x30ul));
	asm volatile("movq %q0, (%1)" : : "a"(0x1122334455667788), "r"(GPA_MMIO + 0x40ul));
	asm volatile("movb (%1), %b0" : "+a"(a) : "r"(GPA_MMIO + 0x11ul));
	GUEST_ASSERT_EQ(a, 0xffffffffffffff99);
	asm volatile("movw (%1), %w0" : "+a"(a) : "r"(GPA_MMIO + 0x21ul));
	GUEST_ASSERT_EQ(a, 0xffffffffffff8899);
	asm volatile("movl (%1), %k0" : "+a"(a) : "r"(GPA_MMIO + 0x31ul));
	GUEST_ASSERT_EQ(a, 0x66778899);
	asm volatile("movq (%1), %q0" : "+a"(a) : "r"(GPA_MMIO + 0x41ul));
	GUEST_ASSERT_EQ(a, 0x2233445566778899);
	GUEST_DONE();
}

TEST(mmio_of_all_sizes)
{
	const u64 written = 0x1122334455667788, read = 0x2233445566778899;
	struct vm *vm = vm_create();
	struct vcpu *vcpu = vcpu_add(vm, mmio_all_sizes);

	for (u32 len = 1, off = 0x10; len <= 8; len *= 2, off += 0x10) {
		EXPECT_MMIO(vcpu, 1, GPA_MMIO + off, len);
		EXPECT_EQ(0, memcmp(vcpu->run->mmio.data, &written, len));
	}
	for (u32 len = 1, off = 0x11; len <= 8; len *= 2, off += 0x10) {
		EXPECT_MMIO(vcpu, 0, GPA_MMIO + off, len);
		memcpy(vcpu->run->mmio.data, &read, len);
	}
	RUN_DONE(vcpu);
}

static void mmio_crossing(void)
{
	volatile u64 *p = (u64 *)(GPA_MMIO + 0xffdul);

	*p = 0x1122334455667788;
	GUEST_ASSERT_EQ(*p, 0x0807060504030201);
	GUEST_DONE();
}

TEST(mmio_across_a_page_boundary_is_two_accesses)
{
	static const u8 low[] = { 0x88, 0x77, 0x66 }, high[] = { 0x55, 0x44, 0x33, 0x22, 0x11 };
	struct vm *vm = vm_create();
	struct vcpu *vcpu = vcpu_add(vm, mmio_crossing);

	EXPECT_MMIO(vcpu, 1, GPA_MMIO + 0xffd, 3);
	EXPECT_EQ(0, memcmp(vcpu->run->mmio.data, low, 3));
	EXPECT_MMIO(vcpu, 1, GPA_MMIO + 0x1000, 5);
	EXPECT_EQ(0, memcmp(vcpu->run->mmio.data, high, 5));
	EXPECT_MMIO(vcpu, 0, GPA_MMIO + 0xffd, 3);
	memcpy(vcpu->run->mmio.data, "\1\2\3", 3);
	EXPECT_MMIO(vcpu, 0, GPA_MMIO + 0x1000, 5);
	memcpy(vcpu->run->mmio.data, "\4\5\6\7\10", 5);
	RUN_DONE(vcpu);
}

#define HALF_RAM 0x1000000ul /* a slot of one page, MMIO behind it */

static void half_mmio(void)
{
	volatile u64 *p = (u64 *)(HALF_RAM + 0xffc);

	*p = 0x1122334455667788;
	GUEST_ASSERT_EQ(*p, 0xaabbccdd55667788);
	GUEST_DONE();
}

TEST(access_half_in_memory_half_in_mmio)
{
	static const u8 answer[] = { 0xdd, 0xcc, 0xbb, 0xaa };
	struct vm *vm = vm_create();
	struct vcpu *vcpu = vcpu_add(vm, half_mmio);
	u8 *mem = vm_add_memory(vm, 1, HALF_RAM, 0x1000, 0);

	EXPECT_MMIO(vcpu, 1, HALF_RAM + 0x1000, 4);
	EXPECT_EQ(0, memcmp(vcpu->run->mmio.data, "\x44\x33\x22\x11", 4));
	EXPECT_EQ(0, memcmp(mem + 0xffc, "\x88\x77\x66\x55", 4));
	EXPECT_MMIO(vcpu, 0, HALF_RAM + 0x1000, 4);
	memcpy(vcpu->run->mmio.data, answer, 4);
	RUN_DONE(vcpu);
}

GUEST_ASM(halts, "16", "mov $1, %bl\n hlt\n mov $2, %bl\n hlt\n");

/*
 * Of two bytes: the next RIP is 0, which is not to be taken for one that the processor does not
 * tell of where that cannot be found out. The guest goes on with OUT to port 0x80 there.
 */
TEST(instructions_at_the_end_of_the_address_space)
{
	static const struct {
		u8 code[2];
		u64 rcx, rax;
	} insns[] = {
		{ { 0x0f, 0xa2 }, 0, 0 }, /* CPUID */
		{ { 0x0f, 0x08 }, 0, 0 }, /* INVD */
		{ { 0x0f, 0x32 }, 0x277, 0 }, /* RDMSR of the PAT */
		{ { 0x0f, 0x30 }, 0x277, 0x06060606 }, /* WRMSR */
	};
	const u64 flags = 7; /* present, writable, user */
	struct vm *vm = vm_create();
	struct vcpu *vcpu = vcpu_add(vm, in_all_sizes);
	u64 *pml4 = gpa_ptr(vm, GPA_PML4), *tables = gpa_ptr(vm, GPA_FREE);
	u8 *last = gpa_ptr(vm, GPA_FREE + 0x3ffe);
	struct kvm_regs regs = vcpu_regs(vcpu);

	pml4[511] = GPA_FREE | flags;
	tables[511] = (GPA_FREE + 0x1000) | flags;
	tables[512 + 511] = (GPA_FREE + 0x2000) | flags;
	tables[2 * 512 + 511] = (GPA_FREE + 0x3000) | flags;
	*(u64 *)gpa_ptr(vm, pte_gpa(0)) = flags;
	memcpy(gpa_ptr(vm, 0), "\xe7\x80", 2);
	for (int i = 0; i < ARRAY_SIZE(insns); i++) {
		memcpy(last, insns[i].code, 2);
		regs.rip = -2ull;
		regs.rcx = insns[i].rcx;
		regs.rax = insns[i].rax;
		regs.rdx = insns[i].rax;
		vcpu_set_regs(vcpu, &regs);
		EXPECT_IO(vcpu, OUT, 4, 0x80);
	}
	EXPECT_EQ(0x0606060606060606, vcpu_get_msr(vcpu, 0x277));
}

TEST(hlt_without_an_irqchip)
{
	struct vm *vm = vm_create();
	struct vcpu *vcpu = vcpu_add_real(vm, halts, halts_end);
	struct kvm_regs regs;

	RUN_TO(vcpu, KVM_EXIT_HLT);
	regs = vcpu_regs(vcpu);
	EXPECT_EQ(1, regs.rbx & 0xff);
	EXPECT_EQ(GPA_CODE + 3, regs.rip);
	/* Userspace decides that the halt is over by running it again. */
	RUN_TO(vcpu, KVM_EXIT_HLT);
	regs = vcpu_regs(vcpu);
	EXPECT_EQ(2, regs.rbx & 0xff);
}

static void triple_fault(void)
{
	struct {
		u16 limit;
		u64 base;
	} __attribute__((packed)) idt = { 0 };

	asm volatile("lidt %0; ud2" : : "m"(idt));
}

TEST(triple_fault_is_shutdown)
{
	struct vm *vm = vm_create();
	struct vcpu *vcpu = vcpu_add(vm, triple_fault);

	RUN_TO(vcpu, KVM_EXIT_SHUTDOWN);
}

#define KVM_HC_UNKNOWN 9999
#define ENOSYS_OF_KVM -1000 /* KVM_ENOSYS of the kernel's linux/kvm_para.h */

static bool amd; /* set before the guest is made */

static void hypercall_guest(void)
{
	s64 ret = KVM_HC_UNKNOWN;

	if (amd)
		asm volatile("vmmcall" : "+a"(ret) : "b"(1), "c"(2), "d"(3), "S"(4) : "memory");
	else
		asm volatile("vmcall" : "+a"(ret) : "b"(1), "c"(2), "d"(3), "S"(4) : "memory");
	GUEST_ASSERT_EQ(ret, ENOSYS_OF_KVM);
	GUEST_DONE();
}

TEST(unknown_hypercall_gives_enosys)
{
	struct vm *vm;
	u32 a, b, c, d;

	cpuid(0, 0, &a, &b, &c, &d);
	amd = c == 0x444d4163; /* "cAMD" */
	vm = vm_create();
	RUN_DONE(vcpu_add(vm, hypercall_guest));
}

static void x87_mmio(void)
{
	asm volatile("fldl (%0)" : : "r"((u64)GPA_MMIO));
	GUEST_DONE();
}

TEST(unknown_instruction_on_mmio_is_internal_error)
{
	struct vm *vm = vm_create();
	struct vcpu *vcpu = vcpu_add(vm, x87_mmio);
	struct kvm_run *run = vcpu->run;
	struct kvm_regs regs;

	RUN_TO(vcpu, KVM_EXIT_INTERNAL_ERROR);
	EXPECT_EQ(KVM_INTERNAL_ERROR_EMULATION, run->emulation_failure.suberror);
	/* Still at the instruction, whose bytes are given. */
	regs = vcpu_regs(vcpu);
	EXPECT_LE(3, run->emulation_failure.ndata);
	EXPECT_TRUE(run->emulation_failure.flags &
		    KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES);
	EXPECT_LE(2, run->emulation_failure.insn_size);
	EXPECT_EQ(0, memcmp(run->emulation_failure.insn_bytes, gpa_ptr(vm, regs.rip), 2));
}

static void x87_mmio_of_user(void)
{
	GUEST_SYNC(TRY("fldl (%[mmio])", [mmio] "r"((u64)GPA_MMIO)));
	x87_mmio();
}

static void enter_x87_mmio(void)
{
	enter_user(x87_mmio_of_user);
}

TEST(unknown_instruction_of_user_mode_is_the_guests_fault)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_EXIT_ON_EMULATION_FAILURE, .args = { 2 } };
	struct vm *vm = vm_create();
	struct vcpu *vcpu = vcpu_add(vm, enter_x87_mmio);

	REQUIRE_CAP(vm->fd, KVM_CAP_EXIT_ON_EMULATION_FAILURE);
	EXPECT_EQ(UD, RUN_SYNC(vcpu));
	EXPECT_ERRNO(EINVAL, ioctl(vm->fd, KVM_ENABLE_CAP, &cap));
	cap.args[0] = 1;
	EXPECT_EQ(0, ioctl(vm->fd, KVM_ENABLE_CAP, &cap));
	RUN_TO(vcpu, KVM_EXIT_INTERNAL_ERROR);
	EXPECT_EQ(KVM_INTERNAL_ERROR_EMULATION, vcpu->run->internal.suberror);
}

GUEST_ASM(jump_to_nowhere, "32", "movl $0xd0000000, %eax\n jmp *%eax\n");

TEST(execution_without_memory_is_internal_error)
{
	struct vm *vm = vm_create();
	struct vcpu *vcpu = vcpu_add_prot(vm, jump_to_nowhere, jump_to_nowhere_end);

	RUN_TO(vcpu, KVM_EXIT_INTERNAL_ERROR);
	EXPECT_EQ(KVM_INTERNAL_ERROR_EMULATION, vcpu->run->internal.suberror);
}

static void msw_of_memory(void)
{
	volatile u16 *word = (u16 *)GPA_FREE;
	u64 ax = ~0ull;

	/* With cache disabled CR0 is not the processor's, and AMD-V has all accesses exit. */
	write_cr0(read_cr0() | 1ull << 30);
	asm volatile("smsw (%0)" : : "r"(word) : "memory");
	GUEST_ASSERT_EQ(*word, 0x33);
	asm volatile("smsw %w0" : "+r"(ax));
	GUEST_ASSERT_EQ(ax, 0xffffffffffff0033);
	*word = 0xffca;		/* TS, but no PE */
	asm volatile("lmsw (%0)" : : "r"(word) : "memory");
	GUEST_ASSERT_EQ(read_cr0(), 0xc005003b);
	*word = 0x31;
	asm volatile("lmsw %w0" : : "r"((u64)*word));
	GUEST_ASSERT_EQ(read_cr0(), 0xc0050031);
	asm volatile("smsw (%0)" : : "r"((u64)GPA_MMIO) : "memory");
	asm volatile("lmsw (%0)" : : "r"((u64)GPA_MMIO) : "memory");
	GUEST_ASSERT_EQ(read_cr0(), 0xc0050033);
	/* Where there is no page */
	*(volatile u64 *)pte_gpa(GPA_FREE) = 0;
	invlpg(GPA_FREE);
	GUEST_ASSERT_EQ(TRY("smsw (%[p])", [p] "r"(word)), PF);
	GUEST_ASSERT_EQ(read_cr2(), GPA_FREE);
	GUEST_ASSERT_EQ(TRY("lmsw (%[p])", [p] "r"(word)), PF);
	GUEST_DONE();
}

TEST(lmsw_and_smsw_of_memory)
{
	struct vcpu *vcpu = vcpu_add(vm_create(), msw_of_memory);

	EXPECT_MMIO(vcpu, 1, GPA_MMIO, 2);
	EXPECT_EQ(0, memcmp(vcpu->run->mmio.data, "\x31", 2));
	EXPECT_MMIO(vcpu, 0, GPA_MMIO, 2);
	memcpy(vcpu->run->mmio.data, "\x33", 2);
	RUN_DONE(vcpu);
}

static void users_faults(void)
{
	u64 vec;

	/* Code where there is no memory */
	asm volatile("leaq 771f(%%rip), %%r11\n movl %[magic], %%r10d\n jmp *%[mmio]\n"
		     "771: movq %%r10, %[vec]"
		     : [vec] "=r"(vec)
		     : [magic] "i"(TRY_MAGIC), [mmio] "r"((u64)GPA_MMIO)
		     : "r9", "r10", "r11", "memory");
	GUEST_SYNC(vec);
	/* A gate to conforming code leaves it on its stack: where there is no memory either. */
	asm volatile("leaq 771f(%%rip), %%r11\n movl %[magic], %%r10d\n movq %%rsp, %%rbx\n"
		     "movq %[mmio], %%rsp\n int $0x50\n"
		     "771: movq %%rbx, %%rsp\n movq %%r10, %[vec]"
		     : [vec] "=&r"(vec)
		     : [magic] "i"(TRY_MAGIC), [mmio] "r"((u64)GPA_MMIO + 0x100)
		     : "rbx", "r9", "r10", "r11", "memory");
	GUEST_SYNC(vec);
	GUEST_DONE();
}

#define SEL_CONFORMING 0x48

static void enter_users_faults(void)
{
	volatile u64 *gate = (u64 *)GPA_IDT + 2 * 0x50;

	((volatile u64 *)GPA_GDT)[SEL_CONFORMING / 8] = 0x00af9f000000ffff;
	*gate = (*gate & ~0xffff0000ull) | SEL_CONFORMING << 16;
	enter_user(users_faults);
}

TEST(no_program_of_user_mode_ends_the_guest)
{
	struct vcpu *vcpu = vcpu_add(vm_create(), enter_users_faults);

	if (!is_minivirt())
		SKIP(return, "KVM gives up");
	EXPECT_EQ(UD, RUN_SYNC(vcpu));
	EXPECT_EQ(UD, RUN_SYNC(vcpu));
	RUN_DONE(vcpu);
}

static void misaligned(void)
{
	u64 error;

	asm volatile("pushfq; orl $0x40000, (%%rsp); popfq" : : : "memory", "cc");
	GUEST_SYNC(TRY_ERR(error, "movl 1(%[p]), %%r9d", [p] "r"((u64)GPA_FREE)));
	GUEST_DONE();
}

static void enter_misaligned(void)
{
	enter_user(misaligned);
}

/* Whether or not the host has the processor detect split locks. */
TEST(alignment_checks_are_the_guests_own)
{
	struct vcpu *vcpu = vcpu_add(vm_create(), enter_misaligned);

	if (on_tcg())
		SKIP(return, "TCG does not check the alignment");
	EXPECT_EQ(AC, RUN_SYNC(vcpu));
	RUN_DONE(vcpu);
}

TEST(invalid_guest_state_is_fail_entry)
{
	struct vm *vm = vm_create();
	struct vcpu *vcpu = vcpu_add(vm, in_all_sizes);
	struct kvm_sregs sregs = vcpu_sregs(vcpu);

	/*
	 * What KVM_SET_SREGS leaves to the processor to find: a code segment of 64
	 * bits and of 32 bits at once, and a reserved bit of EFER.
	 */
	sregs.cs.db = 1;
	sregs.efer |= 1 << 20;
	vcpu_set_sregs(vcpu, &sregs);
	RUN_TO(vcpu, KVM_EXIT_FAIL_ENTRY);
	EXPECT_NE(0, vcpu->run->fail_entry.hardware_entry_failure_reason);
	EXPECT_GE(sysconf(_SC_NPROCESSORS_CONF), vcpu->run->fail_entry.cpu);
	/* Not for good: with new state it runs. */
	vcpu_set_long_mode(vcpu, (u64)in_all_sizes);
	RUN_TO(vcpu, KVM_EXIT_IO);
}

GUEST_ASM(flags_and_out, "16",
	  "out %al, $0x10\n sti\n nop\n out %al, $0x10\n cli\n out %al, $0x10\n");

TEST(run_tells_the_interrupt_flag_tpr_and_apic_base)
{
	struct vm *vm = vm_create();
	struct vcpu *vcpu = vcpu_add_real(vm, flags_and_out, flags_and_out_end);

	vcpu->run->cr8 = 5;
	RUN_TO(vcpu, KVM_EXIT_IO);
	EXPECT_EQ(0, vcpu->run->if_flag);
	EXPECT_EQ(5, vcpu->run->cr8);
	EXPECT_EQ(vcpu_sregs(vcpu).apic_base, vcpu->run->apic_base);
	RUN_TO(vcpu, KVM_EXIT_IO);
	EXPECT_EQ(1, vcpu->run->if_flag);
	RUN_TO(vcpu, KVM_EXIT_IO);
	EXPECT_EQ(0, vcpu->run->if_flag);
}

TEST_MAIN
