// SPDX-License-Identifier: GPL-2.0-only
/* The register files: what was set is read back, is what the guest sees, or is refused. */
#include <fcntl.h>
#include "test.h"

#define EFER_LME (1 << 8)
#define EFER_LMA (1 << 10)
#define CR0_PE (1 << 0)
#define CR0_PG (1u << 31)
#define CR0_CD (1 << 30)
#define CR0_NW (1 << 29)
#define CR4_PAE (1 << 5)
#define CR4_OSXSAVE (1 << 18)

static void just_done(void)
{
	GUEST_DONE();
}

static struct vcpu *long_mode_vcpu(void)
{
	return vcpu_add(vm_create(), just_done);
}

TEST(reset_state)
{
	struct vcpu *vcpu = vcpu_create(vm_create());
	struct kvm_regs regs = vcpu_regs(vcpu);
	struct kvm_sregs sregs = vcpu_sregs(vcpu);
	struct kvm_debugregs dr;
	struct kvm_mp_state mp;
	struct kvm_fpu fpu;

	/* SDM vol. 3A, table 10-1. */
	EXPECT_EQ(0xfff0, regs.rip);
	EXPECT_EQ(2, regs.rflags);
	EXPECT_EQ(0, regs.rax | regs.rbx | regs.rcx | regs.rsi | regs.rdi | regs.rsp | regs.rbp);
	EXPECT_EQ(0x600, regs.rdx & ~0xffull);
	EXPECT_EQ(0x60000010, sregs.cr0);
	EXPECT_EQ(0, sregs.cr2 | sregs.cr3 | sregs.cr4 | sregs.cr8 | sregs.efer);
	EXPECT_EQ(0xf000, sregs.cs.selector);
	EXPECT_EQ(0xffff0000, sregs.cs.base);
	EXPECT_EQ(0xffff, sregs.cs.limit);
	EXPECT_EQ(0, sregs.ds.selector | sregs.ds.base);
	EXPECT_EQ(0xffff, sregs.ds.limit);
	EXPECT_EQ(0xffff, sregs.idt.limit);
	EXPECT_EQ(0xffff, sregs.gdt.limit);
	EXPECT_EQ(0xfee00900, sregs.apic_base);
	IOCTL(vcpu->fd, KVM_GET_DEBUGREGS, &dr);
	EXPECT_EQ(0xffff0ff0, dr.dr6);
	EXPECT_EQ(0x400, dr.dr7);
	IOCTL(vcpu->fd, KVM_GET_MP_STATE, &mp);
	EXPECT_EQ(KVM_MP_STATE_RUNNABLE, mp.mp_state);
	IOCTL(vcpu->fd, KVM_GET_FPU, &fpu);
	EXPECT_EQ(0x37f, fpu.fcw);
	EXPECT_EQ(0, fpu.fsw);
}

static struct kvm_regs pattern_regs(void)
{
	struct kvm_regs regs;
	u64 *r = (u64 *)&regs;

	for (int i = 0; i < sizeof(regs) / 8; i++)
		r[i] = 0x0123456789abcd00 + i * 0x1011;
	regs.rflags = 0x2;
	return regs;
}

TEST(regs_round_trip)
{
	struct vcpu *vcpu = long_mode_vcpu();
	struct kvm_regs set = pattern_regs(), get;

	set.rflags = 0x246;
	vcpu_set_regs(vcpu, &set);
	get = vcpu_regs(vcpu);
	EXPECT_EQ(0, memcmp(&set, &get, sizeof(set)));
	/* Bit 1 of RFLAGS is always set. */
	set.rflags = 0;
	vcpu_set_regs(vcpu, &set);
	EXPECT_EQ(2, vcpu_regs(vcpu).rflags);
}

GUEST_ASM(swap_regs, "64",
	  "xchg %rax, %rbx\n xchg %rcx, %rdx\n xchg %rsi, %rdi\n xchg %rsp, %rbp\n"
	  "xchg %r8, %r9\n xchg %r10, %r11\n xchg %r12, %r13\n xchg %r14, %r15\n"
	  "stc\n hlt\n");

TEST(guest_has_the_regs_and_changes_them)
{
	struct vcpu *vcpu = vcpu_add_asm(vm_create(), swap_regs, swap_regs_end);
	struct kvm_regs set = pattern_regs(), get;

	set.rip = GPA_CODE;
	vcpu_set_regs(vcpu, &set);
	RUN_TO(vcpu, KVM_EXIT_HLT);
	get = vcpu_regs(vcpu);
	EXPECT_EQ(set.rax, get.rbx);
	EXPECT_EQ(set.rbx, get.rax);
	EXPECT_EQ(set.rcx, get.rdx);
	EXPECT_EQ(set.rdx, get.rcx);
	EXPECT_EQ(set.rsi, get.rdi);
	EXPECT_EQ(set.rdi, get.rsi);
	EXPECT_EQ(set.rsp, get.rbp);
	EXPECT_EQ(set.rbp, get.rsp);
	EXPECT_EQ(set.r8, get.r9);
	EXPECT_EQ(set.r9, get.r8);
	EXPECT_EQ(set.r10, get.r11);
	EXPECT_EQ(set.r11, get.r10);
	EXPECT_EQ(set.r12, get.r13);
	EXPECT_EQ(set.r13, get.r12);
	EXPECT_EQ(set.r14, get.r15);
	EXPECT_EQ(set.r15, get.r14);
	EXPECT_EQ(GPA_CODE + swap_regs_end - swap_regs, get.rip);
	EXPECT_EQ(0x3, get.rflags);
}

static void expect_segment(struct __test_metadata *_metadata, const char *name,
			   const struct kvm_segment *a, const struct kvm_segment *b)
{
	bool same = a->base == b->base && a->limit == b->limit && a->selector == b->selector &&
		    a->type == b->type && a->present == b->present && a->dpl == b->dpl &&
		    a->db == b->db && a->s == b->s && a->l == b->l && a->g == b->g &&
		    a->avl == b->avl && a->unusable == b->unusable;

	EXPECT_TRUE(same)
		TH_LOG("segment %s", name);
}

TEST(sregs_round_trip)
{
	struct vcpu *vcpu = long_mode_vcpu();
	struct kvm_sregs set = vcpu_sregs(vcpu), get;

	set.fs.base = 0x123456789000;
	set.gs.base = 0xffff888000000000;
	set.gs.limit = 0xabcde;
	set.gs.g = 0;
	set.gs.selector = 0x18;
	set.gs.avl = 1;
	set.es.type = 1; /* read-only data, accessed */
	set.idt.base = 0xfffffe0000000000;
	set.idt.limit = 0x123;
	set.gdt.base = 0xfffffe0000001000;
	set.gdt.limit = 0x77;
	set.cr2 = 0xdeadbeef000;
	set.cr3 = 0x345000;
	set.cr8 = 9;
	vcpu_set_sregs(vcpu, &set);
	get = vcpu_sregs(vcpu);
	expect_segment(_metadata, "cs", &set.cs, &get.cs);
	expect_segment(_metadata, "ds", &set.ds, &get.ds);
	expect_segment(_metadata, "es", &set.es, &get.es);
	expect_segment(_metadata, "fs", &set.fs, &get.fs);
	expect_segment(_metadata, "gs", &set.gs, &get.gs);
	expect_segment(_metadata, "ss", &set.ss, &get.ss);
	expect_segment(_metadata, "tr", &set.tr, &get.tr);
	EXPECT_EQ(set.ldt.unusable, get.ldt.unusable);
	EXPECT_EQ(set.idt.base, get.idt.base);
	EXPECT_EQ(set.idt.limit, get.idt.limit);
	EXPECT_EQ(set.gdt.base, get.gdt.base);
	EXPECT_EQ(set.gdt.limit, get.gdt.limit);
	EXPECT_EQ(set.cr0, get.cr0);
	EXPECT_EQ(set.cr2, get.cr2);
	EXPECT_EQ(set.cr3, get.cr3);
	EXPECT_EQ(set.cr4, get.cr4);
	EXPECT_EQ(set.cr8, get.cr8);
	EXPECT_EQ(set.efer, get.efer);
	EXPECT_EQ(set.apic_base, get.apic_base);
	for (int i = 0; i < ARRAY_SIZE(get.interrupt_bitmap); i++)
		EXPECT_EQ(0, get.interrupt_bitmap[i]);
}

TEST(pending_interrupt_is_part_of_sregs)
{
	struct vcpu *vcpu = long_mode_vcpu();
	struct kvm_sregs sregs = vcpu_sregs(vcpu);

	sregs.interrupt_bitmap[1] = 1ull << 3;
	vcpu_set_sregs(vcpu, &sregs);
	EXPECT_EQ(1ull << 3, vcpu_sregs(vcpu).interrupt_bitmap[1]);
}

TEST(impossible_sregs_are_refused)
{
	struct vcpu *vcpu = long_mode_vcpu();
	const struct kvm_sregs good = vcpu_sregs(vcpu);
	struct kvm_sregs bad;

#define EXPECT_REFUSED(change)                                                                     \
	do {                                                                                       \
		bad = good;                                                                        \
		bad.change;                                                                        \
		EXPECT_ERRNO(EINVAL, ioctl(vcpu->fd, KVM_SET_SREGS, &bad));                        \
	} while (0)

	EXPECT_REFUSED(cr4 &= ~CR4_PAE);
	EXPECT_REFUSED(efer &= ~EFER_LMA);
	EXPECT_REFUSED(efer &= ~EFER_LME);
	EXPECT_REFUSED(cr0 &= ~CR0_PG);
	EXPECT_REFUSED(cr0 &= ~CR0_PE);
	EXPECT_REFUSED(cr0 |= 1ull << 32);
	EXPECT_REFUSED(cr0 |= CR0_NW);
	EXPECT_REFUSED(cr3 |= 1ull << 62);
	EXPECT_REFUSED(cr4 |= 1ull << 63);
	EXPECT_REFUSED(cr4 |= 1ull << 15);
	EXPECT_REFUSED(apic_base |= 1);
	EXPECT_REFUSED(apic_base |= 1ull << 63);
	/* None of them changed anything. */
	RUN_DONE(vcpu);
}

static void read_control_regs(void)
{
	GUEST_ASSERT_EQ(read_cr0(), 0x80050033);
	GUEST_ASSERT_EQ(read_cr2(), 0xdeadbeef000);
	GUEST_ASSERT_EQ(read_cr3(), GPA_PML4);
	GUEST_ASSERT_EQ(read_cr4(), 0x620);
	GUEST_ASSERT_EQ(read_cr8(), 9);
	write_cr2(0x1234);
	write_cr8(3);
	GUEST_SYNC(0);
	write_cr4(0x628);
	GUEST_ASSERT_EQ(read_cr4(), 0x628);
	write_cr0(0x80050033 ^ (1 << 16));
	GUEST_ASSERT_EQ(read_cr0(), 0x80050033 ^ (1 << 16));
	asm volatile("clts");
	write_cr0(read_cr0() | 1 << 3);
	GUEST_ASSERT_EQ(read_cr0() & 8, 8);
	asm volatile("clts");
	GUEST_ASSERT_EQ(read_cr0() & 8, 0);
	GUEST_DONE();
}

TEST(guest_has_the_control_registers_and_changes_them)
{
	struct vcpu *vcpu = vcpu_add(vm_create(), read_control_regs);
	struct kvm_sregs sregs = vcpu_sregs(vcpu);

	sregs.cr2 = 0xdeadbeef000;
	sregs.cr8 = 9;
	vcpu_set_sregs(vcpu, &sregs);
	/* Without an in-kernel APIC, TPR comes from kvm_run at each entry. */
	vcpu->run->cr8 = 9;
	/* It may let an interrupt through that waited, so it hears of lower ones. */
	RUN_TO(vcpu, KVM_EXIT_SET_TPR);
	EXPECT_EQ(3, vcpu->run->cr8);
	RUN_SYNC(vcpu);
	RUN_DONE(vcpu);
	sregs = vcpu_sregs(vcpu);
	EXPECT_EQ(0x1234, sregs.cr2);
	EXPECT_EQ(0x628, sregs.cr4);
	EXPECT_EQ(0x80050033 ^ (1 << 16), sregs.cr0);
	EXPECT_EQ(3, sregs.cr8);
	EXPECT_EQ(3, vcpu->run->cr8);
}

static bool tcg; /* set before the guest is made */

static void bad_control_regs(void)
{
	u64 cr0 = read_cr0(), cr4 = read_cr4();

	/* TCG leaves some out, and KVM there emulates MOV to CR4 with 32 bits. */
	if (!tcg) {
		GUEST_ASSERT_EQ(TRY("mov %[v], %%cr4", [v] "r"(cr4 | 1ull << 63)), GP);
		GUEST_ASSERT_EQ(TRY("mov %[v], %%cr0", [v] "r"(cr0 | 1ull << 32)), GP);
		GUEST_ASSERT_EQ(TRY("mov %[v], %%cr0", [v] "r"(cr0 & ~1ull)), GP);
		GUEST_ASSERT_EQ(TRY("mov %[v], %%cr0", [v] "r"(cr0 | CR0_NW)), GP);
		GUEST_ASSERT_EQ(TRY("mov %[v], %%cr0", [v] "r"(cr0 & ~(u64)CR0_PG)), GP);
		GUEST_ASSERT_EQ(TRY("mov %[v], %%cr3", [v] "r"(1ull << 62 | GPA_PML4)), GP);
		GUEST_ASSERT_EQ(TRY("mov %[v], %%cr8", [v] "r"(16ull)), GP);
	}
	GUEST_ASSERT_EQ(TRY("mov %[v], %%cr4", [v] "r"(cr4 | 1 << 15)), GP);
	GUEST_ASSERT_EQ(TRY("mov %[v], %%cr4", [v] "r"(cr4 & ~CR4_PAE)), GP);
	GUEST_ASSERT_EQ(read_cr0(), cr0);
	GUEST_ASSERT_EQ(read_cr4(), cr4);
	GUEST_DONE();
}

TEST(guest_cannot_set_reserved_control_bits)
{
	tcg = on_tcg();
	RUN_DONE(vcpu_add(vm_create(), bad_control_regs));
}

static u8 guest_fpu_image[512] __attribute__((aligned(16)));

static void save_and_change_fpu(void)
{
	/* Takes both parts out of their initial state. */
	asm volatile("fninit; fldpi; pcmpeqd %%xmm7, %%xmm7" : : : "xmm7");
	GUEST_SYNC(0);
	asm volatile("fxsave %0" : "=m"(guest_fpu_image));
	asm volatile("pcmpeqd %%xmm7, %%xmm7" : : : "xmm7");
	asm volatile("fninit; fld1");
	GUEST_DONE();
}

TEST(fpu_round_trip_and_guest)
{
	struct vm *vm = vm_create();
	struct vcpu *vcpu = vcpu_add(vm, save_and_change_fpu);
	static const u8 one[10] = { 0, 0, 0, 0, 0, 0, 0, 0x80, 0xff, 0x3f };
	static const u8 ones[16] = { [0 ... 15] = 0xff };
	struct kvm_fpu set, get;
	u8 *image = *guest_ptr(vm, guest_fpu_image);

	/*
	 * KVM_SET_FPU does not mark parts as used (KVM's XSTATE_BV), so on KVM it
	 * has an effect only on parts that the guest has used.
	 */
	RUN_SYNC(vcpu);
	IOCTL(vcpu->fd, KVM_GET_FPU, &set);
	for (int i = 0; i < 8; i++)
		for (int j = 0; j < 10; j++)
			set.fpr[i][j] = 0x10 * i + j;
	for (int i = 0; i < 16; i++)
		memset(set.xmm[i], 0xa0 + i, 16);
	set.fcw = 0x27f;
	set.fsw = 0x3800;
	set.ftwx = 0x81;
	set.last_opcode = 0x123;
	IOCTL(vcpu->fd, KVM_SET_FPU, &set);
	IOCTL(vcpu->fd, KVM_GET_FPU, &get);
	EXPECT_EQ(0, memcmp(&set, &get, sizeof(set)));
	RUN_DONE(vcpu);
	EXPECT_EQ(0x27f, *(u16 *)image);
	EXPECT_EQ(0x3800, *(u16 *)(image + 2));
	EXPECT_EQ(0x81, image[4]);
	for (int i = 0; i < 8; i++)
		EXPECT_EQ(0, memcmp(image + 32 + 16 * i, set.fpr[i], 10));
	EXPECT_EQ(0, memcmp(image + 160, set.xmm, 256));
	IOCTL(vcpu->fd, KVM_GET_FPU, &get);
	EXPECT_EQ(0x37f, get.fcw);
	EXPECT_EQ(7, get.fsw >> 11 & 7);
	EXPECT_EQ(0x80, get.ftwx);
	EXPECT_EQ(0, memcmp(get.fpr[0], one, 10));
	EXPECT_EQ(0, memcmp(get.xmm[7], ones, 16));
}

static void two_vcpus_guest(void)
{
	u64 x;

	asm volatile("pcmpeqd %%xmm3, %%xmm3" : : : "xmm3");
	GUEST_SYNC(0);
	asm volatile("movq %%xmm3, %0" : "=r"(x));
	GUEST_SYNC(x);
	asm volatile("paddq %%xmm3, %%xmm3; movq %%xmm3, %0" : "=r"(x) : : "xmm3");
	GUEST_SYNC(x);
}

TEST(vcpus_of_one_thread_have_their_own_fpu)
{
	struct vm *vm = vm_create();
	struct vcpu *vcpu[2] = { vcpu_add(vm, two_vcpus_guest), vcpu_add(vm, two_vcpus_guest) };
	struct kvm_fpu fpu;

	for (u64 i = 0; i < 2; i++) {
		u64 val = 0x100 + i;

		RUN_SYNC(vcpu[i]);
		IOCTL(vcpu[i]->fd, KVM_GET_FPU, &fpu);
		memcpy(fpu.xmm[3], &val, sizeof(val));
		IOCTL(vcpu[i]->fd, KVM_SET_FPU, &fpu);
	}
	EXPECT_EQ(0x100, RUN_SYNC(vcpu[0]));
	EXPECT_EQ(0x101, RUN_SYNC(vcpu[1]));
	EXPECT_EQ(0x200, RUN_SYNC(vcpu[0]));
	EXPECT_EQ(0x202, RUN_SYNC(vcpu[1]));
}

/* The layout of an XSAVE area (SDM vol. 1, 13.4). */
#define XSAVE_MXCSR 6 /* index of 32-bit words */
#define XSAVE_XMM (160 / 4)
#define XSAVE_XSTATE_BV (512 / 4)

TEST(xsave_round_trip)
{
	struct vcpu *vcpu = long_mode_vcpu();
	struct kvm_xsave set, get;

	REQUIRE_CAP(vcpu->vm->dev, KVM_CAP_XSAVE);
	IOCTL(vcpu->fd, KVM_GET_XSAVE, &set);
	EXPECT_EQ(0x1f80, set.region[XSAVE_MXCSR]);
	set.region[XSAVE_XSTATE_BV] |= 3;
	for (int i = 0; i < 64; i++)
		set.region[XSAVE_XMM + i] = 0x1234 * i;
	set.region[XSAVE_MXCSR] = 0x1f00;
	IOCTL(vcpu->fd, KVM_SET_XSAVE, &set);
	IOCTL(vcpu->fd, KVM_GET_XSAVE, &get);
	EXPECT_EQ(0x1f00, get.region[XSAVE_MXCSR]);
	EXPECT_EQ(0, memcmp(set.region + XSAVE_XMM, get.region + XSAVE_XMM, 256));
	EXPECT_EQ(3, get.region[XSAVE_XSTATE_BV] & 3);
}

TEST(bad_xsave_is_refused)
{
	struct vcpu *vcpu = long_mode_vcpu();
	struct kvm_xsave good, bad;

	/* Without XSAVE the area has no header. */
	REQUIRE_CAP(vcpu->vm->dev, KVM_CAP_XCRS);
	IOCTL(vcpu->fd, KVM_GET_XSAVE, &good);
	good.region[XSAVE_XSTATE_BV] |= 3;
	bad = good;
	bad.region[XSAVE_MXCSR] = 1u << 31;
	EXPECT_ERRNO(EINVAL, ioctl(vcpu->fd, KVM_SET_XSAVE, &bad));
	bad = good;
	bad.region[XSAVE_XSTATE_BV + 1] = 1u << 30; /* no such component */
	EXPECT_ERRNO(EINVAL, ioctl(vcpu->fd, KVM_SET_XSAVE, &bad));
	bad = good;
	bad.region[XSAVE_XSTATE_BV + 4] = 1; /* reserved part of the header */
	EXPECT_ERRNO(EINVAL, ioctl(vcpu->fd, KVM_SET_XSAVE, &bad));
	RUN_DONE(vcpu);
}

static u64 xgetbv0(void)
{
	u32 lo, hi;

	asm volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	return (u64)hi << 32 | lo;
}

static void xcr0_guest(void)
{
	GUEST_ASSERT_EQ(TRY("xgetbv", "c"(0)), UD);
	write_cr4(read_cr4() | CR4_OSXSAVE);
	GUEST_ASSERT_EQ(xgetbv0(), 3);
	GUEST_ASSERT_EQ(TRY("xsetbv", "c"(0), "a"(1), "d"(0)), TRY_NONE);
	/* TCG lets the guest execute XSETBV without an exit: the next one brings 3 back. */
	if (!tcg)
		GUEST_ASSERT_EQ(xgetbv0(), 1);
	GUEST_ASSERT_EQ(TRY("xsetbv", "c"(0), "a"(2), "d"(0)), GP);
	GUEST_ASSERT_EQ(TRY("xsetbv", "c"(0), "a"(1), "d"(1u << 31)), GP);
	GUEST_ASSERT_EQ(TRY("xsetbv", "c"(1), "a"(1), "d"(0)), GP);
	if (!tcg)
		GUEST_ASSERT_EQ(xgetbv0(), 1);
	GUEST_DONE();
}

TEST(xcrs)
{
	struct kvm_xcrs xcrs;
	struct vcpu *vcpu;

	tcg = on_tcg();
	vcpu = vcpu_add(vm_create(), xcr0_guest);
	REQUIRE_CAP(vcpu->vm->dev, KVM_CAP_XCRS);
	IOCTL(vcpu->fd, KVM_GET_XCRS, &xcrs);
	EXPECT_EQ(1, xcrs.nr_xcrs);
	EXPECT_EQ(0, xcrs.flags);
	EXPECT_EQ(0, xcrs.xcrs[0].xcr);
	EXPECT_EQ(1, xcrs.xcrs[0].value);

	xcrs.xcrs[0].value = 3;
	IOCTL(vcpu->fd, KVM_SET_XCRS, &xcrs);
	IOCTL(vcpu->fd, KVM_GET_XCRS, &xcrs);
	EXPECT_EQ(3, xcrs.xcrs[0].value);

	xcrs.xcrs[0].value = 2; /* without x87 */
	EXPECT_ERRNO(EINVAL, ioctl(vcpu->fd, KVM_SET_XCRS, &xcrs));
	xcrs.xcrs[0].value = 5; /* AVX without SSE */
	EXPECT_ERRNO(EINVAL, ioctl(vcpu->fd, KVM_SET_XCRS, &xcrs));
	xcrs.xcrs[0].value = 3 | 1ull << 62;
	EXPECT_ERRNO(EINVAL, ioctl(vcpu->fd, KVM_SET_XCRS, &xcrs));
	xcrs.xcrs[0].value = 3;
	xcrs.flags = 1;
	EXPECT_ERRNO(EINVAL, ioctl(vcpu->fd, KVM_SET_XCRS, &xcrs));
	xcrs.flags = 0;
	xcrs.nr_xcrs = KVM_MAX_XCRS + 1;
	EXPECT_ERRNO(EINVAL, ioctl(vcpu->fd, KVM_SET_XCRS, &xcrs));

	RUN_DONE(vcpu);
	IOCTL(vcpu->fd, KVM_GET_XCRS, &xcrs);
	EXPECT_EQ(tcg ? 3 : 1, xcrs.xcrs[0].value);
}

#define READ_DR(n)                                                                                 \
	({                                                                                         \
		u64 __val;                                                                         \
		asm volatile("mov %%dr" #n ", %0" : "=r"(__val));                                  \
		__val;                                                                             \
	})

static void debug_regs_guest(void)
{
	GUEST_ASSERT_EQ(READ_DR(0), 0x1000);
	GUEST_ASSERT_EQ(READ_DR(1), 0x2000);
	GUEST_ASSERT_EQ(READ_DR(2), 0x3000);
	GUEST_ASSERT_EQ(READ_DR(3), 0x4000);
	GUEST_ASSERT_EQ(READ_DR(6), 0xffff0ff1);
	GUEST_ASSERT_EQ(READ_DR(7), 0x400);
	asm volatile("mov %0, %%dr1" : : "r"(0x5000ull));
	asm volatile("mov %0, %%dr6" : : "r"(0xffff0ff2ull));
	asm volatile("mov %0, %%dr7" : : "r"(0x402ull));
	GUEST_ASSERT_EQ(READ_DR(7), 0x402);
	if (!tcg) {
		GUEST_ASSERT_EQ(TRY("mov %[v], %%dr7", [v] "r"(1ull << 32)), GP);
		GUEST_ASSERT_EQ(TRY("mov %[v], %%dr6", [v] "r"(1ull << 32)), GP);
	}
	GUEST_DONE();
}

TEST(debug_registers)
{
	struct vcpu *vcpu;
	struct kvm_debugregs set = {
		.db = { 0x1000, 0x2000, 0x3000, 0x4000 }, .dr6 = 0xffff0ff1, .dr7 = 0x400,
	}, get, bad;

	tcg = on_tcg();
	vcpu = vcpu_add(vm_create(), debug_regs_guest);
	IOCTL(vcpu->fd, KVM_SET_DEBUGREGS, &set);
	IOCTL(vcpu->fd, KVM_GET_DEBUGREGS, &get);
	EXPECT_EQ(0, memcmp(&set, &get, sizeof(set)));
	bad = set;
	bad.flags = 1;
	EXPECT_ERRNO(EINVAL, ioctl(vcpu->fd, KVM_SET_DEBUGREGS, &bad));
	bad = set;
	bad.dr6 |= 1ull << 32;
	EXPECT_ERRNO(EINVAL, ioctl(vcpu->fd, KVM_SET_DEBUGREGS, &bad));
	bad = set;
	bad.dr7 |= 1ull << 32;
	EXPECT_ERRNO(EINVAL, ioctl(vcpu->fd, KVM_SET_DEBUGREGS, &bad));
	RUN_DONE(vcpu);
	IOCTL(vcpu->fd, KVM_GET_DEBUGREGS, &get);
	EXPECT_EQ(0x5000, get.db[1]);
	EXPECT_EQ(0xffff0ff2, get.dr6);
	EXPECT_EQ(0x402, get.dr7);
}

TEST(vcpu_events_round_trip)
{
	struct vcpu *vcpu = long_mode_vcpu();
	struct kvm_vcpu_events ev, get;

	IOCTL(vcpu->fd, KVM_GET_VCPU_EVENTS, &ev);
	EXPECT_EQ(0, ev.exception.injected | ev.interrupt.injected | ev.nmi.injected |
			     ev.nmi.pending | ev.nmi.masked | ev.interrupt.shadow);
	ev.exception.injected = 1;
	ev.exception.nr = GP;
	ev.exception.has_error_code = 1;
	ev.exception.error_code = 0x18;
	ev.nmi.pending = 1;
	ev.nmi.masked = 1;
	ev.flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW;
	ev.interrupt.shadow = KVM_X86_SHADOW_INT_STI;
	IOCTL(vcpu->fd, KVM_SET_VCPU_EVENTS, &ev);
	IOCTL(vcpu->fd, KVM_GET_VCPU_EVENTS, &get);
	EXPECT_EQ(1, get.exception.injected);
	EXPECT_EQ(GP, get.exception.nr);
	EXPECT_EQ(1, get.exception.has_error_code);
	EXPECT_EQ(0x18, get.exception.error_code);
	EXPECT_EQ(1, get.nmi.pending);
	EXPECT_EQ(1, get.nmi.masked);
	/* AMD-V has one bit for both shadows, so which one cannot be told there. */
	EXPECT_NE(0, get.interrupt.shadow);

	memset(&ev, 0, sizeof(ev));
	ev.flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW;
	ev.interrupt.injected = 1;
	ev.interrupt.nr = 0x55;
	IOCTL(vcpu->fd, KVM_SET_VCPU_EVENTS, &ev);
	IOCTL(vcpu->fd, KVM_GET_VCPU_EVENTS, &get);
	EXPECT_EQ(0, get.exception.injected | get.nmi.pending | get.nmi.masked);
	EXPECT_EQ(0, get.interrupt.shadow);
	EXPECT_EQ(1, get.interrupt.injected);
	EXPECT_EQ(0x55, get.interrupt.nr);
}

TEST(bad_vcpu_events_are_refused)
{
	struct vcpu *vcpu = long_mode_vcpu();
	struct kvm_vcpu_events good, bad;

	IOCTL(vcpu->fd, KVM_GET_VCPU_EVENTS, &good);
	bad = good;
	bad.flags = 1u << 31;
	EXPECT_ERRNO(EINVAL, ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &bad));
	bad = good;
	bad.exception.injected = 1;
	bad.exception.nr = 32;
	EXPECT_ERRNO(EINVAL, ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &bad));
	bad.exception.nr = NMI;
	EXPECT_ERRNO(EINVAL, ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &bad));
	/* Payloads are for those who enabled KVM_CAP_EXCEPTION_PAYLOAD. */
	bad = good;
	bad.flags |= KVM_VCPUEVENT_VALID_PAYLOAD;
	EXPECT_ERRNO(EINVAL, ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &bad));
	RUN_DONE(vcpu);
}

TEST(mp_state_without_an_irqchip_is_runnable)
{
	struct vcpu *vcpu = long_mode_vcpu();
	struct kvm_mp_state mp = { KVM_MP_STATE_RUNNABLE };

	EXPECT_EQ(0, ioctl(vcpu->fd, KVM_SET_MP_STATE, &mp));
	mp.mp_state = KVM_MP_STATE_HALTED;
	EXPECT_ERRNO(EINVAL, ioctl(vcpu->fd, KVM_SET_MP_STATE, &mp));
	mp.mp_state = KVM_MP_STATE_UNINITIALIZED;
	EXPECT_ERRNO(EINVAL, ioctl(vcpu->fd, KVM_SET_MP_STATE, &mp));
	mp.mp_state = 1000;
	EXPECT_ERRNO(EINVAL, ioctl(vcpu->fd, KVM_SET_MP_STATE, &mp));
	RUN_DONE(vcpu);
}

TEST_MAIN
