// SPDX-License-Identifier: GPL-2.0-only
/* The paravirtual services but for the clock: CPUID, hypercalls, EOI, steal time. */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <time.h>
#include <unistd.h>
#include "apic.h"
#include "test.h"

#define MSR_WALL_CLOCK 0x11
#define MSR_SYSTEM_TIME 0x12
#define MSR_WALL_CLOCK_NEW 0x4b564d00
#define MSR_SYSTEM_TIME_NEW 0x4b564d01
#define MSR_STEAL_TIME 0x4b564d03
#define MSR_PV_EOI 0x4b564d04
#define MSR_POLL_CONTROL 0x4b564d05
#define ENABLED 1

#define CPUID_SIGNATURE 0x40000000
#define CPUID_FEATURES 0x40000001
#define FEATURES_OF_MINIVIRT 0x01007afb

enum { HC_POLL_IRQ = 1, HC_KICK_CPU = 5, HC_SEND_IPI = 10, HC_SCHED_YIELD = 11 };

#define ENOSYS_OF_KVM -1000
#define EPERM_OF_KVM -1
#define EINVAL_OF_KVM -22

#define GPA_STEAL GPA_FREE
#define GPA_EOI (GPA_FREE + 0x1000)

static bool amd; /* set before the guest is made */

static s64 hypercall(s64 nr, u64 a0, u64 a1, u64 a2, u64 a3)
{
	s64 ret;

	if (amd)
		asm volatile("vmmcall"
			     : "=a"(ret) : "a"(nr), "b"(a0), "c"(a1), "d"(a2), "S"(a3) : "memory");
	else
		asm volatile("vmcall"
			     : "=a"(ret) : "a"(nr), "b"(a0), "c"(a1), "d"(a2), "S"(a3) : "memory");
	return ret;
}

static void find_vendor(void)
{
	u32 a, b, c, d;

	cpuid(0, 0, &a, &b, &c, &d);
	amd = c == 0x444d4163; /* "cAMD" */
}

static struct vm *pv_vm(void)
{
	find_vendor();
	return vm_create_with_irqchip();
}

static struct kvm_cpuid_entry2 *leaf(struct vm *vm, u32 function)
{
	for (u32 i = 0; i < vm->cpuid->nent; i++)
		if (vm->cpuid->entries[i].function == function)
			return &vm->cpuid->entries[i];
	FAIL("no CPUID leaf %#x", function);
}

static void run_ap(struct vcpu *vcpu)
{
	struct kvm_mp_state mp = { .mp_state = KVM_MP_STATE_RUNNABLE };

	IOCTL(vcpu->fd, KVM_SET_MP_STATE, &mp);
}

static void *run_done(void *arg)
{
	struct vcpu *vcpu = arg;

	while (ioctl(vcpu->fd, KVM_RUN, 0) && (errno == EINTR || errno == EAGAIN))
		;
	if (!is_ucall(vcpu) || vcpu_regs(vcpu).rdi != UCALL_DONE)
		FAIL("the guest is not done: %s", exit_name(vcpu->run->exit_reason));
	return NULL;
}

static pthread_t start(struct vcpu *vcpu)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, run_done, vcpu))
		FAIL("pthread_create");
	return thread;
}

/* ---- what is there, and what the guest is let have ---- */

TEST(the_leaves_are_supported)
{
	struct vm *vm = pv_vm();

	EXPECT_EQ(0, memcmp(&leaf(vm, CPUID_SIGNATURE)->ebx, "KVMKVMKVM\0\0", 12));
	EXPECT_EQ(CPUID_FEATURES, leaf(vm, CPUID_SIGNATURE)->eax);
	EXPECT_EQ(FEATURES_OF_MINIVIRT, leaf(vm, CPUID_FEATURES)->eax & FEATURES_OF_MINIVIRT);
	if (is_minivirt())
		EXPECT_EQ(FEATURES_OF_MINIVIRT, leaf(vm, CPUID_FEATURES)->eax);
	/* Hints are userspace's. */
	EXPECT_EQ(0, leaf(vm, CPUID_FEATURES)->edx);
}

static const u32 pv_msrs[] = {
	MSR_WALL_CLOCK, MSR_SYSTEM_TIME, MSR_WALL_CLOCK_NEW, MSR_SYSTEM_TIME_NEW,
	MSR_STEAL_TIME, MSR_PV_EOI, MSR_POLL_CONTROL,
};

static const u32 pv_calls[] = { HC_KICK_CPU, HC_SEND_IPI, HC_SCHED_YIELD };

static bool allowed; /* in the guest's copy */

static void try_all(void)
{
	u64 val;

	for (int i = 0; i < ARRAY_SIZE(pv_msrs); i++) {
		GUEST_ASSERT_EQ(rdmsr_safe(pv_msrs[i], &val), allowed ? TRY_NONE : GP);
		GUEST_ASSERT_EQ(wrmsr_safe(pv_msrs[i], 0), allowed ? TRY_NONE : GP);
	}
	for (int i = 0; i < ARRAY_SIZE(pv_calls); i++)
		GUEST_ASSERT_EQ(hypercall(pv_calls[i], 0, 0, 0, 0), allowed ? 0 : ENOSYS_OF_KVM);
	GUEST_DONE();
}

static void try_with(struct __test_metadata *_metadata, bool has_features, bool enforce)
{
	struct kvm_enable_cap cap = {
		.cap = KVM_CAP_ENFORCE_PV_FEATURE_CPUID,
		.args = { enforce },
	};
	struct vm *vm;
	struct vcpu *vcpu;

	allowed = has_features || !enforce;
	vm = pv_vm();
	if (!has_features)
		leaf(vm, CPUID_FEATURES)->eax = 0;
	vcpu = vcpu_add(vm, try_all);
	ASSERT_EQ(0, ioctl(vcpu->fd, KVM_ENABLE_CAP, &cap));
	RUN_DONE(vcpu);
}

TEST(without_enforcement_cpuid_does_not_matter)
{
	try_with(_metadata, true, false);
	try_with(_metadata, false, false);
}

TEST(with_enforcement_only_what_cpuid_shows)
{
	try_with(_metadata, true, true);
	try_with(_metadata, false, true);
}

TEST(bad_capabilities)
{
	struct vm *vm = pv_vm();
	struct vcpu *vcpu = vcpu_create(vm);
	struct kvm_enable_cap cap = { .cap = KVM_CAP_ENFORCE_PV_FEATURE_CPUID, .flags = 1 };

	EXPECT_ERRNO(EINVAL, ioctl(vcpu->fd, KVM_ENABLE_CAP, &cap));
	cap = (struct kvm_enable_cap) { .cap = 9999 };
	EXPECT_ERRNO(EINVAL, ioctl(vcpu->fd, KVM_ENABLE_CAP, &cap));
	EXPECT_ERRNO(EFAULT, ioctl(vcpu->fd, KVM_ENABLE_CAP, NULL));

	cap = (struct kvm_enable_cap) { .cap = KVM_CAP_HALT_POLL, .args = { 1ull << 32 } };
	EXPECT_ERRNO(EINVAL, ioctl(vm->fd, KVM_ENABLE_CAP, &cap));
	cap.args[0] = 1000;
	EXPECT_EQ(0, ioctl(vm->fd, KVM_ENABLE_CAP, &cap));
	cap = (struct kvm_enable_cap) { .cap = KVM_CAP_DISABLE_QUIRKS2, .args = { 1ull << 40 } };
	EXPECT_ERRNO(EINVAL, ioctl(vm->fd, KVM_ENABLE_CAP, &cap));
}

static void bad_values(void)
{
	GUEST_ASSERT_EQ(wrmsr_safe(MSR_STEAL_TIME, GPA_STEAL | 2), GP);
	GUEST_ASSERT_EQ(wrmsr_safe(MSR_STEAL_TIME, GPA_STEAL | 0x20), GP);
	GUEST_ASSERT_EQ(wrmsr_safe(MSR_PV_EOI, GPA_EOI | 2), GP);
	GUEST_ASSERT_EQ(wrmsr_safe(MSR_PV_EOI, (1ull << 40) | ENABLED), GP);
	GUEST_ASSERT_EQ(wrmsr_safe(MSR_POLL_CONTROL, 2), GP);
	GUEST_ASSERT_EQ(rdmsr(MSR_POLL_CONTROL), 1);
	GUEST_ASSERT_EQ(wrmsr_safe(MSR_POLL_CONTROL, 0), TRY_NONE);
	GUEST_ASSERT_EQ(rdmsr(MSR_POLL_CONTROL), 0);
	GUEST_DONE();
}

TEST(bad_values_of_msrs)
{
	RUN_DONE(vcpu_add(pv_vm(), bad_values));
}

/* ---- the calling convention ---- */

static void call_from_ring_3(void)
{
	GUEST_ASSERT_EQ(hypercall(HC_POLL_IRQ, 0, 0, 0, 0), EPERM_OF_KVM);
	GUEST_DONE();
}

static void calls(void)
{
	GUEST_ASSERT_EQ(hypercall(HC_POLL_IRQ, 0, 0, 0, 0), 0);
	GUEST_ASSERT_EQ(hypercall(9999, 0, 0, 0, 0), ENOSYS_OF_KVM);
	GUEST_ASSERT_EQ(hypercall(HC_POLL_IRQ | 1ull << 32, 0, 0, 0, 0), ENOSYS_OF_KVM);
	enter_user(call_from_ring_3);
}

TEST(a_call_needs_ring_0)
{
	RUN_DONE(vcpu_add(pv_vm(), calls));
}

GUEST_ASM(vmcall32, "32", ".byte 0x0f, 0x01, 0xc1; out %al, $0x10; hlt");
GUEST_ASM(vmmcall32, "32", ".byte 0x0f, 0x01, 0xd9; out %al, $0x10; hlt");

TEST(protected_mode_calls_have_32_bits)
{
	struct vm *vm = pv_vm();
	struct vcpu *vcpu = amd ? vcpu_add_prot(vm, vmmcall32, vmmcall32_end) :
				  vcpu_add_prot(vm, vmcall32, vmcall32_end);
	struct kvm_regs regs = vcpu_regs(vcpu);

	regs.rax = 0xffffffff00000000 | HC_POLL_IRQ;
	vcpu_set_regs(vcpu, &regs);
	RUN_TO(vcpu, KVM_EXIT_IO);
	EXPECT_EQ(0, vcpu_regs(vcpu).rax);
	regs.rax = 9999;
	vcpu_set_regs(vcpu, &regs);
	RUN_TO(vcpu, KVM_EXIT_IO);
	EXPECT_EQ((u32)ENOSYS_OF_KVM, vcpu_regs(vcpu).rax);
}

/* The instruction of the other vendor's processors, in its third byte. */
static void call_as_the_other(void)
{
	static u8 insn[] = { 0x0f, 0x01, 0, 0xc3 };
	s64 ret = HC_POLL_IRQ;

	insn[2] = amd ? 0xc1 : 0xd9;
	asm volatile("call *%1" : "+a"(ret) : "r"(insn) : "memory");
	GUEST_ASSERT_EQ(ret, 0);
	GUEST_SYNC(READ_ONCE(insn[2]));
	ret = HC_POLL_IRQ;
	asm volatile("call *%1" : "+a"(ret) : "r"(insn) : "memory");
	GUEST_ASSERT_EQ(ret, 0);
	GUEST_DONE();
}

TEST(the_other_vendors_instruction_is_made_this_ones)
{
	struct vcpu *vcpu = vcpu_add(pv_vm(), call_as_the_other);

	EXPECT_EQ(amd ? 0xd9 : 0xc1, RUN_SYNC(vcpu));
	RUN_DONE(vcpu);
}

static void call_as_the_other_gives_ud(void)
{
	u64 vec = amd ? TRY(".byte 0x0f, 0x01, 0xc1", "a"(1)) :
			TRY(".byte 0x0f, 0x01, 0xd9", "a"(1));

	GUEST_ASSERT_EQ(vec, UD);
	GUEST_ASSERT_EQ(TRY("ud2"), UD);
	GUEST_DONE();
}

TEST(without_the_quirk_it_gives_ud)
{
	struct kvm_enable_cap cap = {
		.cap = KVM_CAP_DISABLE_QUIRKS2,
		.args = { KVM_X86_QUIRK_FIX_HYPERCALL_INSN },
	};
	struct vm *vm = pv_vm();
	struct vcpu *vcpu = vcpu_add(vm, call_as_the_other_gives_ud);

	if (!(has_cap(vm->fd, KVM_CAP_DISABLE_QUIRKS2) & KVM_X86_QUIRK_FIX_HYPERCALL_INSN))
		SKIP(return, "no such quirk");
	IOCTL(vm->fd, KVM_ENABLE_CAP, &cap);
	RUN_DONE(vcpu);
}

/* ---- interrupts and HLT ---- */

static volatile u32 irqs[2]; /* by APIC ID; in the guest's copy */

static void count_irq(struct ex_frame *frame __attribute__((unused)))
{
	irqs[x2apic_read(APIC_ID)]++;
	x2apic_write(APIC_EOI, 0);
}

static void wait_for_ipis(void)
{
	u64 me;

	guest_handlers[0x55] = count_irq;
	enable_x2apic();
	me = x2apic_read(APIC_ID);
	WRITE_ONCE(irqs[me], 1); /* ready */
	while (irqs[me] < 3)
		asm volatile("sti; hlt; cli" : : : "memory");
	GUEST_DONE();
}

static void send_ipis(void)
{
	guest_handlers[0x55] = count_irq;
	enable_x2apic();
	while (!READ_ONCE(irqs[1]))
		cpu_relax();
	/* A bit for each APIC ID from the third argument on. */
	GUEST_ASSERT_EQ(hypercall(HC_SEND_IPI, 1 << 1, 0, 0, 0x55), 1);
	while (READ_ONCE(irqs[1]) != 2)
		cpu_relax();
	GUEST_ASSERT_EQ(hypercall(HC_SEND_IPI, 1, 0, 2, 0x55), 0);
	GUEST_ASSERT_EQ(hypercall(HC_SEND_IPI, ~0ull, ~0ull, 1000000, 0x55), 0);
	GUEST_ASSERT_EQ(hypercall(HC_SEND_IPI, 1, 0, 0, 0x55 | ICR_LOGICAL), EINVAL_OF_KVM);
	GUEST_ASSERT_EQ(hypercall(HC_SEND_IPI, 1, 0, 0, 0x55 | ICR_ALL), EINVAL_OF_KVM);
	GUEST_ASSERT_EQ(hypercall(HC_SEND_IPI, 3, 0, 0, 0x55), 2);
	sti();
	while (!READ_ONCE(irqs[0]))
		cpu_relax();
	GUEST_ASSERT_EQ(irqs[0], 1);
	GUEST_DONE();
}

TEST(one_call_sends_many_ipis)
{
	struct vm *vm = pv_vm();
	struct vcpu *bsp = vcpu_add(vm, send_ipis), *ap = vcpu_add(vm, wait_for_ipis);
	pthread_t thread;

	run_ap(ap);
	thread = start(ap);
	RUN_DONE(bsp);
	pthread_join(thread, NULL);
	EXPECT_EQ(3, guest_ptr(vm, irqs)[0][1]);
}

static void halt_with_interrupts_off(void)
{
	enable_x2apic();
	GUEST_SYNC(1);
	cli();
	hlt();
	GUEST_DONE();
}

static void kick(void)
{
	GUEST_ASSERT_EQ(hypercall(HC_KICK_CPU, 0, 77, 0, 0), 0); /* nobody */
	GUEST_ASSERT_EQ(hypercall(HC_KICK_CPU, 0, 1, 0, 0), 0);
	GUEST_DONE();
}

TEST(a_kick_ends_hlt)
{
	struct vm *vm = pv_vm();
	struct vcpu *bsp = vcpu_add(vm, kick), *ap = vcpu_add(vm, halt_with_interrupts_off);
	struct kvm_mp_state mp;
	pthread_t thread;

	run_ap(ap);
	RUN_SYNC(ap);
	thread = start(ap);
	usleep(20000);
	RUN_DONE(bsp);
	pthread_join(thread, NULL);

	/* Nor does one that comes before get lost; userspace sees that it runs. */
	vm = pv_vm();
	bsp = vcpu_add(vm, kick);
	ap = vcpu_add(vm, halt_with_interrupts_off);
	run_ap(ap);
	RUN_SYNC(ap);
	RUN_DONE(bsp);
	mp.mp_state = KVM_MP_STATE_HALTED;
	IOCTL(ap->fd, KVM_SET_MP_STATE, &mp);
	IOCTL(ap->fd, KVM_GET_MP_STATE, &mp);
	EXPECT_EQ(KVM_MP_STATE_RUNNABLE, mp.mp_state);
	run_ap(ap);
	RUN_DONE(ap);
}

static void yield(void)
{
	GUEST_ASSERT_EQ(hypercall(HC_SCHED_YIELD, 0, 0, 0, 0), 0);
	GUEST_ASSERT_EQ(hypercall(HC_SCHED_YIELD, 1, 0, 0, 0), 0);
	GUEST_ASSERT_EQ(hypercall(HC_SCHED_YIELD, ~0ull, 0, 0, 0), 0);
	GUEST_DONE();
}

TEST(yielding_to_anybody_works)
{
	struct vm *vm = pv_vm();
	struct vcpu *bsp = vcpu_add(vm, yield);

	vcpu_create(vm);
	RUN_DONE(bsp);
}

/* ---- the end of an interrupt without an exit ---- */

static volatile u8 *const eoi_byte = (u8 *)GPA_EOI;
static volatile u32 seen[256], offers; /* in the guest's copy */

static void end_irq(struct ex_frame *frame)
{
	seen[frame->vector]++;
	if (*eoi_byte & 1) {
		*eoi_byte = 0;
		offers++;
	} else {
		x2apic_write(APIC_EOI, 0);
	}
}

static void send_to_self(u8 vector)
{
	x2apic_write(APIC_ICR, ICR_SELF | ICR_ASSERT | vector);
}

static void end_irqs(void)
{
	guest_handlers[0x35] = end_irq;
	guest_handlers[0x36] = end_irq;
	guest_handlers[0x55] = end_irq;
	enable_x2apic();
	*eoi_byte = 0;
	wrmsr(MSR_PV_EOI, GPA_EOI | ENABLED);
	sti();
	for (u32 i = 1; i <= 20; i++) {
		send_to_self(0x35);
		while (seen[0x35] != i)
			cpu_relax();
	}
	/* One that waits for another must not be forgotten. */
	for (u32 i = 1; i <= 20; i++) {
		cli();
		send_to_self(0x35);
		send_to_self(0x36);
		send_to_self(0x55);
		sti();
		while (seen[0x35] != 20 + i || seen[0x36] != i || seen[0x55] != i)
			cpu_relax();
	}
	/* Nothing is left in service: a lower priority gets through, out of HLT, too. */
	send_to_self(0x55);
	while (seen[0x55] != 21)
		cpu_relax();
	cli();
	x2apic_write(APIC_TPR, 0);
	GUEST_ASSERT_EQ(x2apic_read(APIC_PPR), 0);
	x2apic_write(APIC_LVTT, 0x35);
	x2apic_write(APIC_TDCR, TDCR_1);
	x2apic_write(APIC_TMICT, 1000000);
	while (seen[0x35] != 41)
		asm volatile("sti; hlt; cli" : : : "memory");
	wrmsr(MSR_PV_EOI, 0);
	sti();
	*eoi_byte = 0;
	send_to_self(0x35);
	while (seen[0x35] != 42)
		cpu_relax();
	GUEST_SYNC(offers);
	GUEST_DONE();
}

TEST(interrupts_end_by_a_byte_in_memory)
{
	struct vm *vm = pv_vm();
	struct vcpu *vcpu = vcpu_add(vm, end_irqs);
	u64 n = RUN_SYNC(vcpu);
	struct kvm_lapic_state s = lapic_state(vcpu);

	for (u32 i = 0; i < 8; i++)
		EXPECT_EQ(0, *lapic_reg(&s, APIC_ISR + i * 16));
	RUN_DONE(vcpu);
	/* Hardware that ends interrupts without an exit needs no such help. */
	if (!n)
		SKIP(return, "never offered");
	EXPECT_LE(20, n);
}

/* ---- steal time ---- */

struct steal_time {
	u64 steal;
	u32 version, flags;
	u8 preempted;
};

#define PREEMPTED 1
#define FLUSH_TLB 2

static volatile bool go; /* in the guest's copy */

static void spin_with_steal_time(void)
{
	sti(); /* Bochs does not let the host's interrupts through otherwise. */
	wrmsr(MSR_STEAL_TIME, GPA_STEAL | ENABLED);
	GUEST_SYNC(1);
	for (;;) {
		while (!go)
			cpu_relax();
		go = false;
		GUEST_SYNC(2);
	}
}

struct other_vcpu {
	struct steal_time *time;
	volatile bool *go;
	u8 preempted; /* what was there last */
};

/* Asks for a flush when the vCPU is preempted, as one does that has changed a page table. */
static void *ask_for_flush(void *arg)
{
	struct other_vcpu *other = arg;

	for (int i = 0; i < 2000; i++) {
		usleep(1000);
		other->preempted = PREEMPTED;
		if (__atomic_compare_exchange_n(&other->time->preempted, &other->preempted,
						PREEMPTED | FLUSH_TLB, false,
						__ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
			break;
	}
	/* A good while, longer than what else the threads wait */
	for (clock_t end = clock() + CLOCKS_PER_SEC / 50; clock() < end;)
		;
	*other->go = true;
	return NULL;
}

static void *run_to_sync(void *arg)
{
	RUN_SYNC((struct vcpu *)arg);
	return NULL;
}

/* Two threads on one CPU: while the other one runs, the vCPU waits. */
TEST(steal_time_says_that_the_vcpu_has_no_cpu)
{
	struct vm *vm = pv_vm();
	struct vcpu *vcpu = vcpu_add(vm, spin_with_steal_time);
	struct steal_time *time = gpa_ptr(vm, GPA_STEAL);
	struct other_vcpu other = { .time = time, .go = guest_ptr(vm, go) };
	cpu_set_t cpus;
	pthread_t thread;
	u64 steal;

	CPU_ZERO(&cpus);
	CPU_SET(sched_getcpu(), &cpus);
	sched_setaffinity(0, sizeof(cpus), &cpus);
	time->version = 7;
	time->preempted = PREEMPTED;
	RUN_SYNC(vcpu);
	EXPECT_EQ(0, time->version & 1);
	EXPECT_LT(7, time->version);
	EXPECT_EQ(0, time->preempted);

	for (int round = 0; round < 2; round++) {
		steal = time->steal;
		ASSERT_EQ(0, pthread_create(&thread, NULL, ask_for_flush, &other));
		RUN_SYNC(vcpu);
		pthread_join(thread, NULL);
		EXPECT_EQ(PREEMPTED, other.preempted);
		EXPECT_EQ(0, time->preempted & FLUSH_TLB);
		EXPECT_LT(steal, time->steal);
	}

	/* A new thread has waited less in its life; KVM takes the difference off. */
	steal = time->steal;
	ASSERT_EQ(0, pthread_create(&thread, NULL, run_to_sync, vcpu));
	ask_for_flush(&other);
	pthread_join(thread, NULL);
	if (is_minivirt())
		EXPECT_LT(steal, time->steal);
}

static volatile u64 *const flushed_page = (u64 *)(GPA_FREE + 0x10000);

static void reread(void)
{
	wrmsr(MSR_STEAL_TIME, GPA_STEAL | ENABLED);
	for (;;)
		GUEST_SYNC(*flushed_page);
}

/* The page table changes while the vCPU is marked as preempted: only the byte tells it. */
TEST(a_preempted_vcpu_flushes_its_tlb)
{
	struct vm *vm = pv_vm();
	struct vcpu *vcpu = vcpu_add(vm, reread);
	volatile struct steal_time *time = gpa_ptr(vm, GPA_STEAL);
	u64 gpa = (u64)flushed_page, *pte = gpa_ptr(vm, pte_gpa(gpa));

	*(u64 *)gpa_ptr(vm, gpa) = 1;
	*(u64 *)gpa_ptr(vm, gpa + 0x1000) = 2;
	EXPECT_EQ(1, RUN_SYNC(vcpu));
	*pte += 0x1000;
	time->preempted = PREEMPTED | FLUSH_TLB;
	/* Writing the MSR again has the byte looked at before the next entry. */
	EXPECT_EQ(1, vcpu_set_msr(vcpu, MSR_STEAL_TIME, GPA_STEAL | ENABLED));
	EXPECT_EQ(2, RUN_SYNC(vcpu));
	EXPECT_EQ(0, time->preempted);
}

TEST(the_msrs_can_be_saved)
{
	struct vm *vm = pv_vm();
	struct kvm_msr_list *list = calloc(1, sizeof(*list) + 512 * sizeof(u32));

	list->nmsrs = 512;
	IOCTL(vm->dev, KVM_GET_MSR_INDEX_LIST, list);
	for (int i = 0; i < ARRAY_SIZE(pv_msrs); i++) {
		bool found = false;

		for (u32 j = 0; j < list->nmsrs; j++)
			found |= list->indices[j] == pv_msrs[i];
		EXPECT_TRUE(found)
			TH_LOG("MSR %#x", pv_msrs[i]);
	}
}

TEST_MAIN
