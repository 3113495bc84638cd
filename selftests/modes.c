// SPDX-License-Identifier: GPL-2.0-only
/* What is different outside of 64-bit mode, above all in IA-32e mode's other half. */
#include <fcntl.h>
#include "test.h"

#define TOP 0xfffff000u /* the last page below 4 GiB */

static struct vcpu *compat_vcpu(struct vm *vm, u64 rip)
{
	struct vcpu *vcpu = vcpu_create(vm);
	struct kvm_sregs sregs;

	vcpu_set_long_mode(vcpu, rip);
	sregs = vcpu_sregs(vcpu);
	sregs.cs = flat_segment(SEL_CODE32, 11, false);
	vcpu_set_sregs(vcpu, &sregs);
	return vcpu;
}

GUEST_ASM(out_55, "32", "out %al, $0x55\n hlt");

/* The instruction ends at 4 GiB: the next one is at 0. */
static struct vcpu *vcpu_at_the_top(bool compat, const u8 *insn, int len)
{
	struct vm *vm = vm_create();
	u8 *top = vm_add_memory(vm, 1, TOP, 4096, 0);
	struct vcpu *vcpu;
	struct kvm_regs regs;

	memcpy(top + 4096 - len, insn, len);
	memcpy(gpa_ptr(vm, 0), out_55, out_55_end - out_55);
	((u64 *)gpa_ptr(vm, GPA_PML4 + 6 * 0x1000))[0] = PTE_P | PTE_W | PTE_U; /* page 0 */
	vcpu = compat ? compat_vcpu(vm, 0) : vcpu_add_prot(vm, out_55, out_55_end);
	regs = vcpu_regs(vcpu);
	regs.rip = 0x100000000ull - len;
	regs.rax = 0;
	regs.rbx = GPA_MMIO;
	vcpu_set_regs(vcpu, &regs);
	return vcpu;
}

#define EXPECT_WRAPPED(vcpu)                                                                       \
	do {                                                                                       \
		RUN_TO(vcpu, KVM_EXIT_IO);                                                         \
		EXPECT_EQ(0x55, (vcpu)->run->io.port);                                             \
		EXPECT_GE(2, vcpu_regs(vcpu).rip);                                                 \
	} while (0)

static const u8 out_50[] = { 0xe6, 0x50 }, cpuid_insn[] = { 0x0f, 0xa2 };
static const u8 store_ebx[] = { 0x89, 0x03 };

TEST(eip_wraps_at_4_gib_in_protected_mode)
{
	struct vcpu *vcpu = vcpu_at_the_top(false, cpuid_insn, sizeof(cpuid_insn));

	EXPECT_WRAPPED(vcpu);
	vcpu = vcpu_at_the_top(false, out_50, sizeof(out_50));
	RUN_TO(vcpu, KVM_EXIT_IO);
	EXPECT_WRAPPED(vcpu);
}

TEST(eip_wraps_at_4_gib_in_compatibility_mode)
{
	struct vcpu *vcpu = vcpu_at_the_top(true, cpuid_insn, sizeof(cpuid_insn));

	EXPECT_WRAPPED(vcpu);
	vcpu = vcpu_at_the_top(true, out_50, sizeof(out_50));
	RUN_TO(vcpu, KVM_EXIT_IO);
	EXPECT_WRAPPED(vcpu);
	vcpu = vcpu_at_the_top(true, store_ebx, sizeof(store_ebx));
	RUN_TO(vcpu, KVM_EXIT_MMIO);
	EXPECT_WRAPPED(vcpu);
}

GUEST_ASM(write_registers, "32",
	  "mov %ebx, %cr4\n"
	  "mov %ecx, %dr7\n"
	  "mov %edx, %dr0\n"
	  "mov %cr4, %esi\n"
	  "mov %dr0, %edi\n"
	  "out %al, $0x55\n"
	  "hlt");

/* What is in the upper halves of the general registers is left from 64-bit code. */
TEST(cr_and_dr_moves_of_compatibility_mode_have_32_bits)
{
	struct vm *vm = vm_create();
	struct vcpu *vcpu = compat_vcpu(vm, GPA_CODE);
	struct kvm_regs regs = vcpu_regs(vcpu);

	if (!is_minivirt())
		SKIP(return, "KVM asks EFER.LMA in some of them");
	memcpy(gpa_ptr(vm, GPA_CODE), write_registers, write_registers_end - write_registers);
	regs.rbx = 0xdeadbeef00000620;
	regs.rcx = 0xdeadbeef00000400;
	regs.rdx = 0xdeadbeef12345678;
	vcpu_set_regs(vcpu, &regs);
	RUN_TO(vcpu, KVM_EXIT_IO);
	regs = vcpu_regs(vcpu);
	EXPECT_EQ(0x620, regs.rsi);
	EXPECT_EQ(0x12345678, regs.rdi);
}

GUEST_ASM(begin_long_mode, "32",
	  "mov %cr4, %eax\n"
	  "or $0x20, %eax\n" /* PAE */
	  "mov %eax, %cr4\n"
	  "mov $0x10000, %eax\n" /* GPA_PML4 */
	  "mov %eax, %cr3\n"
	  "mov $0xc0000080, %ecx\n"
	  "rdmsr\n"
	  "or $0x100, %eax\n" /* LME */
	  "wrmsr\n"
	  "mov %cr0, %eax\n"
	  "or $0x80000000, %eax\n"
	  "mov %eax, %cr0\n"
	  "out %al, $0x55\n"
	  "hlt");

TEST(long_mode_begins_with_a_16_bit_tss)
{
	struct vcpu *vcpu = vcpu_add_prot(vm_create(), begin_long_mode, begin_long_mode_end);
	struct kvm_sregs sregs = vcpu_sregs(vcpu);

	sregs.tr.type = 3;
	sregs.tr.limit = 0x2b;
	vcpu_set_sregs(vcpu, &sregs);
	RUN_TO(vcpu, KVM_EXIT_IO);
	sregs = vcpu_sregs(vcpu);
	EXPECT_EQ(0x500, sregs.efer & 0x500);
	EXPECT_EQ(0x2b, sregs.tr.limit);
}

static void xsetbv_in_user_mode(void)
{
	u64 err;

	GUEST_ASSERT_EQ(TRY_ERR(err, "xsetbv", "a"(1), "d"(0), "c"(0)), GP);
	GUEST_ASSERT_EQ(err, 0);
	GUEST_DONE();
}

static void enable_xsave(void)
{
	GUEST_ASSERT_EQ(TRY("xsetbv", "a"(1), "d"(0), "c"(0)), UD);
	write_cr4(read_cr4() | 1 << 18);
	GUEST_ASSERT_EQ(TRY("xsetbv", "a"(1), "d"(0), "c"(0)), TRY_NONE);
	enter_user(xsetbv_in_user_mode);
}

TEST(xsetbv_is_of_ring_0)
{
	struct vm *vm = vm_create();

	if (!has_cap(vm->dev, KVM_CAP_XCRS))
		SKIP(return, "no XSAVE");
	RUN_DONE(vcpu_add(vm, enable_xsave));
}

TEST_MAIN
