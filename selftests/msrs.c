// SPDX-License-Identifier: GPL-2.0-only
/* Model-specific registers, through KVM_GET/SET_MSRS and through the guest. */
#include <asm/prctl.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "test.h"

#define MSR_TSC 0x10
#define MSR_APIC_BASE 0x1b
#define MSR_TSC_ADJUST 0x3b
#define MSR_MTRR_CAP 0xfe
#define MSR_SYSENTER_CS 0x174
#define MSR_SYSENTER_ESP 0x175
#define MSR_SYSENTER_EIP 0x176
#define MSR_MISC_ENABLE 0x1a0
#define MSR_MTRR_PHYSBASE0 0x200
#define MSR_MTRR_PHYSMASK0 0x201
#define MSR_MTRR_FIX64K 0x250
#define MSR_PAT 0x277
#define MSR_MTRR_DEF_TYPE 0x2ff
#define MSR_EFER 0xc0000080
#define MSR_STAR 0xc0000081
#define MSR_LSTAR 0xc0000082
#define MSR_CSTAR 0xc0000083
#define MSR_FMASK 0xc0000084
#define MSR_FS_BASE 0xc0000100
#define MSR_GS_BASE 0xc0000101
#define MSR_KERNEL_GS_BASE 0xc0000102
#define MSR_TSC_AUX 0xc0000103
#define MSR_UNKNOWN 0x4b564d99 /* no vendor's */

#define MAX_MSRS 512

struct msrs {
	struct kvm_msrs head;
	struct kvm_msr_entry entries[MAX_MSRS];
};

static void just_done(void)
{
	GUEST_DONE();
}

static struct kvm_msr_list *msr_list(int dev)
{
	struct kvm_msr_list *list = calloc(1, sizeof(*list) + MAX_MSRS * sizeof(u32));

	list->nmsrs = MAX_MSRS;
	IOCTL(dev, KVM_GET_MSR_INDEX_LIST, list);
	return list;
}

static bool listed(struct kvm_msr_list *list, u32 index)
{
	for (u32 i = 0; i < list->nmsrs; i++)
		if (list->indices[i] == index)
			return true;
	return false;
}

TEST(index_list_sizes)
{
	int dev = dev_open();
	struct kvm_msr_list *list = msr_list(dev);
	u32 n = list->nmsrs;

	EXPECT_LT(10, n);
	list->nmsrs = n;
	EXPECT_EQ(0, ioctl(dev, KVM_GET_MSR_INDEX_LIST, list));
	/* Too few: it says how many are needed. */
	list->nmsrs = n - 1;
	EXPECT_ERRNO(E2BIG, ioctl(dev, KVM_GET_MSR_INDEX_LIST, list));
	EXPECT_EQ(n, list->nmsrs);
	list->nmsrs = 0;
	EXPECT_ERRNO(E2BIG, ioctl(dev, KVM_GET_MSR_INDEX_LIST, list));
	EXPECT_EQ(n, list->nmsrs);
	EXPECT_ERRNO(EFAULT, ioctl(dev, KVM_GET_MSR_INDEX_LIST, NULL));
}

TEST(the_list_has_what_a_64_bit_guest_keeps_state_in)
{
	static const u32 needed[] = { MSR_TSC, MSR_SYSENTER_CS, MSR_SYSENTER_ESP, MSR_SYSENTER_EIP,
				      MSR_PAT, MSR_STAR, MSR_LSTAR, MSR_CSTAR, MSR_FMASK,
				      MSR_KERNEL_GS_BASE, MSR_MISC_ENABLE };
	struct kvm_msr_list *list = msr_list(dev_open());

	for (int i = 0; i < ARRAY_SIZE(needed); i++) {
		EXPECT_TRUE(listed(list, needed[i]))
			TH_LOG("MSR %#x", needed[i]);
	}
}

/* What migration does: everything listed can be read, and written back. */
TEST(listed_msrs_can_be_saved_and_restored)
{
	static struct msrs msrs, again;
	struct vm *vm = vm_create();
	struct kvm_msr_list *list = msr_list(vm->dev);
	struct vcpu *vcpu;
	u32 done;

	/* Some belong to the APIC. */
	if (has_cap(vm->dev, KVM_CAP_IRQCHIP))
		IOCTL(vm->fd, KVM_CREATE_IRQCHIP, 0);
	vcpu = vcpu_add(vm, just_done);
	ASSERT_GT(256, list->nmsrs);
	msrs.head.nmsrs = list->nmsrs;
	for (u32 i = 0; i < list->nmsrs; i++)
		msrs.entries[i].index = list->indices[i];
	again = msrs;
	done = IOCTL(vcpu->fd, KVM_GET_MSRS, &msrs);
	EXPECT_EQ(list->nmsrs, done)
		TH_LOG("MSR %#x", msrs.entries[done].index);
	done = IOCTL(vcpu->fd, KVM_SET_MSRS, &msrs);
	EXPECT_EQ(list->nmsrs, done)
		TH_LOG("MSR %#x", msrs.entries[done].index);
	done = IOCTL(vcpu->fd, KVM_GET_MSRS, &again);
	EXPECT_EQ(list->nmsrs, done);
	for (u32 i = 0; i < list->nmsrs; i++) {
		u32 index = msrs.entries[i].index;

		/* The clocks among them go on: TSC and Hyper-V's. */
		if (index == MSR_TSC || index >> 8 == 0x400000)
			continue;
		EXPECT_EQ(msrs.entries[i].data, again.entries[i].data)
			TH_LOG("MSR %#x", msrs.entries[i].index);
	}
	RUN_DONE(vcpu);
}

static void write_odd_values(void)
{
	/* What the processor refuses stays as it was. */
	wrmsr_safe(MSR_SYSENTER_CS, 0x1234567812345678);
	wrmsr_safe(MSR_SYSENTER_ESP, 0x1234567812345678);
	wrmsr_safe(MSR_SYSENTER_EIP, 0x8765432187654321);
	wrmsr_safe(MSR_STAR, ~0ull);
	wrmsr_safe(MSR_FMASK, ~0ull);
	wrmsr_safe(MSR_PAT, 0x0706050401000706);
	wrmsr_safe(MSR_MISC_ENABLE, rdmsr(MSR_MISC_ENABLE) ^ 1);
	GUEST_DONE();
}

/* Whatever a guest has managed to set can be restored. */
TEST(what_a_guest_has_written_can_be_restored)
{
	static const u32 indices[] = {
		MSR_SYSENTER_CS, MSR_SYSENTER_ESP, MSR_SYSENTER_EIP, MSR_STAR, MSR_FMASK, MSR_PAT,
		MSR_MISC_ENABLE,
	};
	struct vm *vm = vm_create(), *target = vm_create();
	struct vcpu *vcpu = vcpu_add(vm, write_odd_values), *other = vcpu_add(target, just_done);

	RUN_DONE(vcpu);
	for (u32 i = 0; i < ARRAY_SIZE(indices); i++) {
		u64 val = vcpu_get_msr(vcpu, indices[i]);

		EXPECT_EQ(1, vcpu_set_msr(other, indices[i], val))
			TH_LOG("MSR %#x: %#llx", indices[i], (unsigned long long)val);
		/* KVM makes the two addresses canonical. */
		if (is_minivirt())
			EXPECT_EQ(val, vcpu_get_msr(other, indices[i]))
				TH_LOG("MSR %#x", indices[i]);
	}
	RUN_DONE(other);
}

TEST(an_address_of_sysenter_is_made_one_that_the_processor_takes)
{
	struct vcpu *vcpu = vcpu_add(vm_create(), just_done);

	EXPECT_EQ(1, vcpu_set_msr(vcpu, MSR_SYSENTER_EIP, 0x1234567812345678));
	EXPECT_EQ(1, vcpu_set_msr(vcpu, MSR_SYSENTER_ESP, 0x1234567812345678));
	RUN_DONE(vcpu);
}

TEST(the_count_says_where_it_stopped)
{
	struct vcpu *vcpu = vcpu_create(vm_create_empty());
	static struct msrs msrs;

	msrs.head.nmsrs = 0;
	EXPECT_EQ(0, ioctl(vcpu->fd, KVM_GET_MSRS, &msrs));
	EXPECT_EQ(0, ioctl(vcpu->fd, KVM_SET_MSRS, &msrs));
	msrs.head.nmsrs = 3;
	msrs.entries[0] = (struct kvm_msr_entry) { .index = MSR_LSTAR, .data = 0x1000 };
	msrs.entries[1] = (struct kvm_msr_entry) { .index = MSR_UNKNOWN };
	msrs.entries[2] = (struct kvm_msr_entry) { .index = MSR_CSTAR, .data = 0x2000 };
	EXPECT_EQ(1, ioctl(vcpu->fd, KVM_SET_MSRS, &msrs));
	EXPECT_EQ(0x1000, vcpu_get_msr(vcpu, MSR_LSTAR));
	EXPECT_EQ(0, vcpu_get_msr(vcpu, MSR_CSTAR));
	msrs.entries[0].data = 0;
	EXPECT_EQ(1, ioctl(vcpu->fd, KVM_GET_MSRS, &msrs));
	EXPECT_EQ(0x1000, msrs.entries[0].data);
	msrs.head.nmsrs = 256;
	EXPECT_ERRNO(E2BIG, ioctl(vcpu->fd, KVM_GET_MSRS, &msrs));
	EXPECT_ERRNO(E2BIG, ioctl(vcpu->fd, KVM_SET_MSRS, &msrs));
	msrs.head.nmsrs = 0xffffffff;
	EXPECT_ERRNO(E2BIG, ioctl(vcpu->fd, KVM_GET_MSRS, &msrs));
	EXPECT_ERRNO(EFAULT, ioctl(vcpu->fd, KVM_GET_MSRS, NULL));
}

static const struct {
	u32 index;
	u64 good, good2, bad; /* bad == good: there is none */
	bool guest_too;
} values[] = {
	{ MSR_STAR, 0x0023001000000000, 0x1234567812345678, 0x0023001000000000, true },
	{ MSR_LSTAR, 0xffffffff81000000, 0x7fffffffffff, 1ull << 63, true },
	{ MSR_CSTAR, 0xffffffff82000000, 0x1000, 0x800000000000, true },
	{ MSR_FMASK, 0x47700, 0x200, 0x47700, true },
	{ MSR_KERNEL_GS_BASE, 0xffff888000000000, 0x1234000, 1ull << 62, true },
	{ MSR_FS_BASE, 0x7f0000001000, 0xffff800000000000, 1ull << 63, true },
	{ MSR_GS_BASE, 0xffffffff80000000, 0x600000, 0x8000000000000000, true },
	{ MSR_SYSENTER_CS, 0x10, 0x18, 0x10, true },
	{ MSR_SYSENTER_ESP, 0x83000000, 0x9000, 0x83000000, true },
	{ MSR_SYSENTER_EIP, 0x84000000, 0xa000, 0x84000000, true },
	{ MSR_PAT, 0x0007040600070406, 0x0007050600070106, 0x0007040600070402, true },
	{ MSR_EFER, 0xd01, 0xd00, 0xd01 | 1 << 20, true },
	{ MSR_MTRR_DEF_TYPE, 0xc06, 0x800, 0x802, true },
	{ MSR_MTRR_FIX64K, 0x0606060606060606, 0, 0x0606060606060602, true },
	{ MSR_MTRR_PHYSBASE0, 0xc0000000, 0x80000006, 0xc0000002, true },
	{ MSR_MTRR_PHYSMASK0, 0xfc0000800, 0, 0xfc0000001, true },
	{ MSR_APIC_BASE, 0xfee00900, 0xfee00800, 0xfee00901, false },
};

TEST(host_reads_back_what_it_sets)
{
	struct vcpu *vcpu = vcpu_add(vm_create(), just_done);

	for (int i = 0; i < ARRAY_SIZE(values); i++) {
		u32 index = values[i].index;

		EXPECT_EQ(1, vcpu_set_msr(vcpu, index, values[i].good2))
			TH_LOG("MSR %#x", index);
		EXPECT_EQ(values[i].good2, vcpu_get_msr(vcpu, index))
			TH_LOG("MSR %#x", index);
		EXPECT_EQ(1, vcpu_set_msr(vcpu, index, values[i].good))
			TH_LOG("MSR %#x", index);
		EXPECT_EQ(values[i].good, vcpu_get_msr(vcpu, index))
			TH_LOG("MSR %#x", index);
	}
}

static bool tcg; /* set before the guest is made */

static void write_and_read(void)
{
	for (int i = 0; i < ARRAY_SIZE(values); i++) {
		u32 index = values[i].index;
		u64 val, saved;

		if (!values[i].guest_too)
			continue;
		GUEST_ASSERT_EQ(rdmsr_safe(index, &saved), TRY_NONE);
		GUEST_ASSERT_EQ(wrmsr_safe(index, values[i].good2), TRY_NONE);
		GUEST_ASSERT_EQ(rdmsr_safe(index, &val), TRY_NONE);
		GUEST_ASSERT_EQ(val, values[i].good2);
		wrmsr(index, values[i].good);
		GUEST_ASSERT_EQ(rdmsr(index), values[i].good);
		/* TCG does not check what it writes without an exit. */
		if (values[i].bad != values[i].good && !(tcg && index >= MSR_STAR))
			GUEST_ASSERT_EQ(wrmsr_safe(index, values[i].bad), GP);
		GUEST_ASSERT_EQ(rdmsr(index), values[i].good);
	}
	GUEST_DONE();
}

TEST(guest_reads_back_what_it_writes)
{
	struct vcpu *vcpu;

	tcg = on_tcg();
	vcpu = vcpu_add(vm_create(), write_and_read);
	RUN_DONE(vcpu);
	/* The host sees the same. */
	for (int i = 0; i < ARRAY_SIZE(values); i++)
		if (values[i].guest_too)
			EXPECT_EQ(values[i].good, vcpu_get_msr(vcpu, values[i].index));
	EXPECT_EQ(0x7f0000001000, vcpu_sregs(vcpu).fs.base);
	EXPECT_EQ(0xffffffff80000000, vcpu_sregs(vcpu).gs.base);
}

static void bad_msrs(void)
{
	u64 val;

	GUEST_ASSERT_EQ(rdmsr_safe(MSR_UNKNOWN, &val), GP);
	GUEST_ASSERT_EQ(wrmsr_safe(MSR_UNKNOWN, 0), GP);
	GUEST_ASSERT_EQ(rdmsr_safe(0xffffffff, &val), GP);
	GUEST_ASSERT_EQ(wrmsr_safe(0x1fff, 1), GP);
	/* Read-only. */
	GUEST_ASSERT_EQ(rdmsr_safe(MSR_MTRR_CAP, &val), TRY_NONE);
	GUEST_ASSERT_EQ(wrmsr_safe(MSR_MTRR_CAP, val), GP);
	/* Long mode cannot be left by a write to EFER while there is paging. */
	GUEST_ASSERT_EQ(wrmsr_safe(MSR_EFER, rdmsr(MSR_EFER) & ~(1ull << 8)), GP);
	GUEST_DONE();
}

TEST(unknown_and_read_only_msrs_are_a_fault_of_the_guest)
{
	struct vcpu *vcpu = vcpu_add(vm_create(), bad_msrs);

	RUN_DONE(vcpu);
	EXPECT_EQ(0, vcpu_set_msr(vcpu, MSR_UNKNOWN, 0));
}

static void do_syscall(void)
{
	extern void syscall_target(void);
	u64 flags;

	wrmsr(MSR_STAR, (u64)SEL_CODE << 32);
	wrmsr(MSR_LSTAR, (u64)syscall_target);
	wrmsr(MSR_FMASK, 1);
	asm volatile("stc; syscall\n"
		     "syscall_target: pushfq; popq %0"
		     : "=r"(flags)
		     :
		     : "rcx", "r11", "memory");
	GUEST_ASSERT_EQ(flags & 1, 0); /* masked by FMASK */
	wrmsr(MSR_GS_BASE, 0x1000);
	wrmsr(MSR_KERNEL_GS_BASE, 0x2000);
	asm volatile("swapgs");
	GUEST_ASSERT_EQ(rdmsr(MSR_GS_BASE), 0x2000);
	GUEST_ASSERT_EQ(rdmsr(MSR_KERNEL_GS_BASE), 0x1000);
	GUEST_SYNC(0);
	GUEST_ASSERT_EQ(rdmsr(MSR_KERNEL_GS_BASE), 0x1000);
	GUEST_DONE();
}

TEST(syscall_and_swapgs_use_them)
{
	struct vm *vm = vm_create();
	struct vcpu *vcpu = vcpu_add(vm, do_syscall), *other = vcpu_add(vm, just_done);

	RUN_SYNC(vcpu);
	EXPECT_EQ(0x1000, vcpu_get_msr(vcpu, MSR_KERNEL_GS_BASE));
	/* Another vCPU in between has its own. */
	vcpu_set_msr(other, MSR_KERNEL_GS_BASE, 0x5000);
	RUN_DONE(other);
	EXPECT_EQ(0x5000, vcpu_get_msr(other, MSR_KERNEL_GS_BASE));
	RUN_DONE(vcpu);
}

static void read_tsc(void)
{
	for (u64 last = 0;;) {
		u64 now = rdtsc(), now2 = rdmsr(MSR_TSC);

		GUEST_ASSERT(now > last);
		GUEST_ASSERT(now2 >= now);
		last = now2;
		GUEST_SYNC(last);
	}
}

TEST(tsc_runs_and_can_be_set)
{
	struct vcpu *vcpu = vcpu_add(vm_create(), read_tsc);
	u64 t1, t2;

	t1 = RUN_SYNC(vcpu);
	t2 = vcpu_get_msr(vcpu, MSR_TSC);
	EXPECT_LT(t1, t2);
	EXPECT_LT(t2, RUN_SYNC(vcpu));
	EXPECT_EQ(1, vcpu_set_msr(vcpu, MSR_TSC, 1ull << 50));
	t1 = RUN_SYNC(vcpu);
	EXPECT_LT(1ull << 50, t1);
	EXPECT_GT((1ull << 50) + (1ull << 45), t1);
}

static void write_tsc(void)
{
	wrmsr(MSR_TSC, 1ull << 52);
	GUEST_ASSERT(rdtsc() > 1ull << 52);
	GUEST_ASSERT(rdtsc() < (1ull << 52) + (1ull << 45));
	/* What was added is seen there (SDM vol. 3B, 18.17.3). */
	GUEST_ASSERT(rdmsr(MSR_TSC_ADJUST) > 1ull << 51);
	wrmsr(MSR_TSC_ADJUST, rdmsr(MSR_TSC_ADJUST) + (1ull << 52));
	GUEST_ASSERT(rdtsc() > 1ull << 53);
	GUEST_DONE();
}

TEST(guest_sets_tsc_and_tsc_adjust)
{
	struct vcpu *vcpu = vcpu_add(vm_create(), write_tsc);

	if (!listed(msr_list(vcpu->vm->dev), MSR_TSC_ADJUST))
		SKIP(return, "no TSC_ADJUST");
	RUN_DONE(vcpu);
}

static void read_tsc_aux(void)
{
	u32 aux;

	asm volatile("rdtscp" : "=c"(aux) : : "rax", "rdx");
	GUEST_ASSERT_EQ(aux, 0x1234);
	wrmsr(MSR_TSC_AUX, 0x5678);
	GUEST_SYNC(0);
	asm volatile("rdtscp" : "=c"(aux) : : "rax", "rdx");
	GUEST_ASSERT_EQ(aux, 0x5678);
	GUEST_ASSERT_EQ(rdmsr(MSR_TSC_AUX), 0x5678);
	GUEST_DONE();
}

TEST(tsc_aux_is_what_rdtscp_gives)
{
	struct vcpu *vcpu = vcpu_add(vm_create(), read_tsc_aux);

	if (!listed(msr_list(vcpu->vm->dev), MSR_TSC_AUX))
		SKIP(return, "no RDTSCP");
	EXPECT_EQ(1, vcpu_set_msr(vcpu, MSR_TSC_AUX, 0x1234));
	RUN_SYNC(vcpu);
	EXPECT_EQ(0x5678, vcpu_get_msr(vcpu, MSR_TSC_AUX));
	RUN_DONE(vcpu);
}

static bool with_tsc_aux; /* set before the guest is made */

static void change_all(void)
{
	for (u64 i = 1;; i++) {
		wrmsr(MSR_STAR, i << 48 | (u64)SEL_CODE << 32);
		wrmsr(MSR_LSTAR, i << 12);
		wrmsr(MSR_FMASK, i);
		wrmsr(MSR_FS_BASE, i << 13);
		wrmsr(MSR_GS_BASE, i << 14);
		wrmsr(MSR_KERNEL_GS_BASE, i << 15);
		if (with_tsc_aux)
			wrmsr(MSR_TSC_AUX, i << 16);
		GUEST_SYNC(i);
		GUEST_ASSERT_EQ(rdmsr(MSR_STAR), i << 48 | (u64)SEL_CODE << 32);
		GUEST_ASSERT_EQ(rdmsr(MSR_LSTAR), i << 12);
		GUEST_ASSERT_EQ(rdmsr(MSR_FMASK), i);
		GUEST_ASSERT_EQ(rdmsr(MSR_FS_BASE), i << 13);
		GUEST_ASSERT_EQ(rdmsr(MSR_GS_BASE), i << 14);
		GUEST_ASSERT_EQ(rdmsr(MSR_KERNEL_GS_BASE), i << 15);
		if (with_tsc_aux)
			GUEST_ASSERT_EQ(rdmsr(MSR_TSC_AUX), i << 16);
	}
}

struct thread_state {
	u64 fs_base, gs_base;
	u16 gs, ds, es;
	u32 tsc_aux;
};

static struct thread_state thread_state(void)
{
	struct thread_state s = { 0 };

	/* System calls: they need STAR, LSTAR and FMASK. */
	syscall(SYS_arch_prctl, ARCH_GET_FS, &s.fs_base);
	syscall(SYS_arch_prctl, ARCH_GET_GS, &s.gs_base);
	asm volatile("mov %%gs, %0; mov %%ds, %1; mov %%es, %2"
		     : "=r"(s.gs), "=r"(s.ds), "=r"(s.es));
	if (with_tsc_aux)
		asm volatile("rdtscp" : "=c"(s.tsc_aux) : : "rax", "rdx");
	return s;
}

TEST(the_thread_keeps_its_own)
{
	static const u64 user_ds = 0x2b; /* __USER_DS of 64-bit Linux */
	struct thread_state before, after;
	struct vcpu *vcpu;
	cpu_set_t cpus;

	/* IA32_TSC_AUX is the CPU's. */
	CPU_ZERO(&cpus);
	CPU_SET(sched_getcpu(), &cpus);
	ASSERT_EQ(0, sched_setaffinity(0, sizeof(cpus), &cpus));
	vcpu = vcpu_create(vm_create());
	with_tsc_aux = listed(msr_list(vcpu->vm->dev), MSR_TSC_AUX);
	vcpu = vcpu_add(vm_create(), change_all);

	for (u64 i = 1; i <= 40; i++) {
		/* A base, or selectors, which bring a base of their own */
		if (i & 1) {
			asm volatile("mov %0, %%gs; mov %0, %%ds; mov %0, %%es" : : "r"(0ull));
			syscall(SYS_arch_prctl, ARCH_SET_GS, i << 20);
		} else {
			asm volatile("mov %0, %%gs; mov %0, %%ds; mov %0, %%es" : : "r"(user_ds));
		}
		before = thread_state();
		EXPECT_EQ(i & 1 ? i << 20 : 0, before.gs_base);
		EXPECT_EQ(i, RUN_SYNC(vcpu));
		after = thread_state();
		EXPECT_EQ(before.fs_base, after.fs_base);
		EXPECT_EQ(before.gs_base, after.gs_base);
		EXPECT_EQ(before.gs, after.gs);
		EXPECT_EQ(before.ds, after.ds);
		EXPECT_EQ(before.es, after.es);
		EXPECT_EQ(before.tsc_aux, after.tsc_aux);
	}
}

TEST(apic_base_is_one_with_sregs)
{
	struct vcpu *vcpu = vcpu_create(vm_create_empty());
	struct kvm_sregs sregs = vcpu_sregs(vcpu);

	EXPECT_EQ(0xfee00900, vcpu_get_msr(vcpu, MSR_APIC_BASE));
	sregs.apic_base = 0xfee00800;
	vcpu_set_sregs(vcpu, &sregs);
	EXPECT_EQ(0xfee00800, vcpu_get_msr(vcpu, MSR_APIC_BASE));
	EXPECT_EQ(0, vcpu_set_msr(vcpu, MSR_APIC_BASE, 1ull << 62));
	EXPECT_EQ(0, vcpu_set_msr(vcpu, MSR_APIC_BASE, 0xfee00901));
	/* x2APIC without xAPIC is not a state. */
	EXPECT_EQ(0, vcpu_set_msr(vcpu, MSR_APIC_BASE, 0xfee00500));
	EXPECT_EQ(0xfee00800, vcpu_sregs(vcpu).apic_base);
}

TEST_MAIN
