// SPDX-License-Identifier: GPL-2.0-only
/*
 * The host's own registers: whatever a guest or the user of its vCPU does, and wherever a vCPU's
 * thread is preempted, other threads of the CPU find what is the host's, and the vCPU's own
 * thread what is its own.
 *
 * Some registers cannot be looked at without being used: with a guest's LSTAR in the CPU, the
 * system call that is to read it ends the machine, which is how a test here may fail.
 */
#include <asm/prctl.h>
#include <fcntl.h>
#include <linux/hw_breakpoint.h>
#include <linux/perf_event.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include "test.h"

#define MSR_DEBUGCTL 0x1d9
#define MSR_EFER 0xc0000080
#define MSR_STAR 0xc0000081
#define MSR_LSTAR 0xc0000082
#define MSR_CSTAR 0xc0000083
#define MSR_FMASK 0xc0000084
#define MSR_KERNEL_GS_BASE 0xc0000102
#define MSR_TSC_AUX 0xc0000103
#define EFER_SCE 1ull
#define CR4_DE 0x8ull
#define CR4_OSXSAVE 0x40000ull
#define CR4_PKE 0x400000ull
#define PREEMPTIONS 8000
#define STRIDE 3089 /* coprime */
#define MAX_SECONDS 10
#define STEP_NS 10 /* one instruction of the testbed's VT-x */
#define GUEST_ADDRESS 0x00005ead12340000ull
#define SEL_LDT 7 /* entry 0, of ring 3 */
#define SEL_LDT_FLAT 15 /* entry 1 */

/* ---- what is looked at ---- */

static const struct {
	const char *name;
	u32 index;
} msrs[] = {
	{ "SYSENTER_CS", 0x174 }, { "SYSENTER_ESP", 0x175 }, { "SYSENTER_EIP", 0x176 },
	{ "PAT", 0x277 }, { "DEBUGCTL", MSR_DEBUGCTL }, { "SPEC_CTRL", 0x48 }, { "XSS", 0xda0 },
	{ "EFER", MSR_EFER }, { "STAR", MSR_STAR }, { "LSTAR", MSR_LSTAR },
	{ "CSTAR", MSR_CSTAR }, { "FMASK", MSR_FMASK }, { "FS_BASE", 0xc0000100 },
	{ "GS_BASE", 0xc0000101 }, { "KERNEL_GS_BASE", MSR_KERNEL_GS_BASE },
	{ "TSC_AUX", MSR_TSC_AUX },
};

#define NR_MSRS ARRAY_SIZE(msrs)

/* As one thread on one CPU sees it. */
struct host_state {
	u64 msrs[NR_MSRS];
	u64 gdt[2]; /* limit and base */
	u64 idt; /* VM exit sets the limit to 0xffff, which is as good as 0xfff: there are 256 */
	u64 tr, ldt, ds, es, fs, gs, gs_base, gs_value;
	u64 xcr0, pkru, tsc_aux;
};

static bool has_msr[NR_MSRS], has_rdtscp, has_xsave, has_pku, has_umip;
static int msr_fd = -1;
static u64 gs_value = 0x1122334455667788;

static void learn_cpu(int cpu)
{
	u32 a, b, c, d;
	char path[32];
	u64 val;

	cpuid(0x80000001, 0, &a, &b, &c, &d);
	has_rdtscp = d >> 27 & 1;
	cpuid(1, 0, &a, &b, &c, &d);
	has_xsave = c >> 27 & 1;
	cpuid(7, 0, &a, &b, &c, &d);
	has_pku = c >> 4 & 1;
	has_umip = c >> 2 & 1;
	if (msr_fd >= 0)
		close(msr_fd);
	snprintf(path, sizeof(path), "/dev/cpu/%d/msr", cpu);
	msr_fd = open(path, O_RDONLY);
	for (int i = 0; i < NR_MSRS; i++)
		has_msr[i] = pread(msr_fd, &val, sizeof(val), msrs[i].index) == sizeof(val);
}

/* In the order of the harm that a wrong one does: the first system call comes last. */
static struct host_state look(void)
{
	struct __attribute__((packed)) { u16 limit; u64 base; } table = {};
	struct host_state s = {};
	u32 lo, hi, aux;

	if (has_rdtscp) {
		asm volatile("rdtscp" : "=a"(lo), "=d"(hi), "=c"(aux));
		s.tsc_aux = aux;
	}
	if (!has_umip) { /* it would be a fault, or emulated */
		asm volatile("sgdt %0" : "=m"(table));
		s.gdt[0] = table.limit;
		s.gdt[1] = table.base;
		asm volatile("sidt %0" : "=m"(table));
		s.idt = table.base;
		asm volatile("str %0" : "=r"(s.tr));
		asm volatile("sldt %0" : "=r"(s.ldt));
	}
	if (has_xsave) {
		asm volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
		s.xcr0 = (u64)hi << 32 | lo;
	}
	if (has_pku) {
		asm volatile("rdpkru" : "=a"(lo), "=d"(hi) : "c"(0));
		s.pkru = lo;
	}
	asm volatile("mov %%ds, %0" : "=r"(s.ds));
	asm volatile("mov %%es, %0" : "=r"(s.es));
	asm volatile("mov %%fs, %0" : "=r"(s.fs));
	asm volatile("mov %%gs, %0" : "=r"(s.gs));
	asm volatile("mov %%gs:0, %0" : "=r"(s.gs_value));
	syscall(SYS_arch_prctl, ARCH_GET_GS, &s.gs_base);
	for (int i = 0; i < NR_MSRS; i++)
		if (has_msr[i])
			pread(msr_fd, &s.msrs[i], sizeof(u64), msrs[i].index);
	return s;
}

/* The first difference, or NULL. */
static const char *difference(const struct host_state *a, const struct host_state *b)
{
	static char text[100];
	u64 was = 0, is = 0;
	const char *name = NULL;

#define DIFFERS(field)                          \
	do {                                    \
		if (!name && a->field != b->field) { \
			name = #field;          \
			was = a->field;         \
			is = b->field;          \
		}                               \
	} while (0)
	DIFFERS(tsc_aux);
	DIFFERS(gdt[0]);
	DIFFERS(gdt[1]);
	DIFFERS(idt);
	DIFFERS(tr);
	DIFFERS(ldt);
	DIFFERS(xcr0);
	DIFFERS(pkru);
	DIFFERS(ds);
	DIFFERS(es);
	DIFFERS(fs);
	DIFFERS(gs);
	DIFFERS(gs_base);
	DIFFERS(gs_value);
	for (int i = 0; i < NR_MSRS && !name; i++) {
		if (a->msrs[i] == b->msrs[i])
			continue;
		name = msrs[i].name;
		was = a->msrs[i];
		is = b->msrs[i];
	}
#undef DIFFERS
	if (!name)
		return NULL;
	snprintf(text, sizeof(text), "%s is %#lx and was %#lx", name, is, was);
	return text;
}

#define EXPECT_SAME(a, b)                                                \
	do {                                                             \
		const char *__text = difference(a, b);                   \
									 \
		if (__text)                                              \
			TH_LOG("%s", __text);                            \
		EXPECT_EQ(NULL, __text);                                 \
	} while (0)

/* ---- threads ---- */

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		FAIL("sched_setaffinity: %s", strerror(errno));
}

static bool has_two_cpus(void)
{
	return sysconf(_SC_NPROCESSORS_ONLN) >= 2;
}

static void *run_until_stopped(void *arg)
{
	struct vcpu *vcpu = arg;

	for (;;) {
		if (ioctl(vcpu->fd, KVM_RUN, 0) && errno != EINTR)
			FAIL("KVM_RUN: %s", strerror(errno));
		if (is_ucall(vcpu))
			FAIL("the guest: ucall %llu, %#llx at %#llx", vcpu_regs(vcpu).rdi,
			     vcpu_regs(vcpu).rsi, vcpu_regs(vcpu).rcx);
	}
	return NULL;
}

/*
 * Another thread of this CPU, of a higher priority, that sleeps for another time each time: where
 * the clock counts instructions, as it does in the testbed, it preempts the first one everywhere.
 * On a slow kernel, not all of it, but evenly. Returns the first difference.
 */
static const char *preempt_everywhere(void *(*fn)(void *arg), void *arg)
{
	const struct sched_param param = { .sched_priority = 50 };
	struct host_state before, now;
	const char *text = NULL;
	pthread_t thread;
	time_t end;

	pin(0);
	learn_cpu(0);
	syscall(SYS_arch_prctl, ARCH_SET_GS, &gs_value);
	before = look();
	if (pthread_create(&thread, NULL, fn, arg))
		FAIL("pthread_create");
	if (sched_setscheduler(0, SCHED_FIFO, &param))
		FAIL("sched_setscheduler: %s", strerror(errno));
	end = time(NULL) + MAX_SECONDS;
	for (int i = 0; i < PREEMPTIONS && !text && time(NULL) < end; i++) {
		const int step = i * STRIDE % PREEMPTIONS;
		const struct timespec ts = { .tv_nsec = 1000 + step * STEP_NS };

		clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, NULL);
		now = look();
		text = difference(&before, &now);
	}
	return text;
}

#define EXPECT_UNCHANGED(text)                 \
	do {                                   \
		const char *__text = text;     \
					       \
		if (__text)                    \
			TH_LOG("%s", __text);  \
		EXPECT_EQ(NULL, __text);       \
	} while (0)

/* ---- another thread of the CPU ---- */

/* Each write is a change, from and to what the guest has had before. */
static void change_msrs(void)
{
	bool rdtscp;
	u32 a, b, c, d;
	u64 efer = rdmsr(MSR_EFER);

	cpuid(0x80000001, 0, &a, &b, &c, &d);
	rdtscp = d >> 27 & 1;
	for (u64 i = 0;; i++) {
		u64 val = GUEST_ADDRESS + (i & 1) * 0x1000;

		wrmsr(MSR_LSTAR, val);
		wrmsr(MSR_STAR, val << 16);
		wrmsr(MSR_FMASK, val & 0xffff);
		wrmsr(MSR_CSTAR, val);
		wrmsr(MSR_KERNEL_GS_BASE, val);
		GUEST_ASSERT_EQ(rdmsr(MSR_KERNEL_GS_BASE), val);
		if (rdtscp)
			wrmsr(MSR_TSC_AUX, i & 0xffff);
		wrmsr(MSR_EFER, efer ^ ((i & 1) * EFER_SCE));
		wrmsr(0x174, i & 0xfff8);
		wrmsr(0x175, val);
		wrmsr(0x176, val);
		wrmsr(0x277, i & 1 ? 0x0007040600070406 : 0x0606060606060606);
		wrmsr(MSR_DEBUGCTL, 0);
		GUEST_ASSERT_EQ(rdmsr(MSR_LSTAR), val);
		GUEST_ASSERT_EQ(rdmsr(MSR_KERNEL_GS_BASE), val);
	}
}

TEST(a_guest_that_changes_its_msrs)
{
	struct vcpu *vcpu = vcpu_add(vm_create(), change_msrs);

	EXPECT_UNCHANGED(preempt_everywhere(run_until_stopped, vcpu));
}

/* As above with what a system call needs alone, which is then written most of the time. */
static void change_lstar(void)
{
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SCE);
	for (u64 i = 0;; i++)
		wrmsr(MSR_LSTAR, GUEST_ADDRESS + (i & 1) * 0x1000);
}

TEST(a_guest_that_changes_its_system_call_entry)
{
	struct vcpu *vcpu = vcpu_add(vm_create(), change_lstar);

	EXPECT_UNCHANGED(preempt_everywhere(run_until_stopped, vcpu));
}

static void change_efer(void)
{
	u64 efer = rdmsr(MSR_EFER);

	wrmsr(MSR_STAR, GUEST_ADDRESS << 16);
	wrmsr(MSR_LSTAR, GUEST_ADDRESS);
	wrmsr(MSR_FMASK, 0x700);
	for (;;) {
		wrmsr(MSR_EFER, efer | EFER_SCE);
		wrmsr(MSR_EFER, efer & ~EFER_SCE);
	}
}

TEST(a_guest_that_turns_system_calls_on_and_off)
{
	struct vcpu *vcpu = vcpu_add(vm_create(), change_efer);

	EXPECT_UNCHANGED(preempt_everywhere(run_until_stopped, vcpu));
}

static void change_tsc_aux(void)
{
	for (;;) {
		wrmsr(MSR_TSC_AUX, 0);
		wrmsr(MSR_TSC_AUX, 0x777);
	}
}

TEST(a_guest_that_changes_its_tsc_aux)
{
	struct vm *vm = vm_create();

	learn_cpu(0);
	if (!has_rdtscp)
		SKIP(return, "no RDTSCP");
	EXPECT_UNCHANGED(preempt_everywhere(run_until_stopped, vcpu_add(vm, change_tsc_aux)));
}

static void *set_msrs(void *arg)
{
	struct vcpu *vcpu = arg;
	struct kvm_sregs sregs = vcpu_sregs(vcpu);

	for (u64 i = 0;; i++) {
		u64 val = GUEST_ADDRESS + (i & 1) * 0x1000;

		if (has_rdtscp)
			vcpu_set_msr(vcpu, MSR_TSC_AUX, 0x100 + (i & 0xff));
		vcpu_set_msr(vcpu, MSR_STAR, val << 16);
		vcpu_set_msr(vcpu, MSR_LSTAR, val);
		vcpu_set_msr(vcpu, MSR_FMASK, val & 0xffff);
		vcpu_set_msr(vcpu, MSR_KERNEL_GS_BASE, val);
		sregs.efer ^= EFER_SCE;
		vcpu_set_sregs(vcpu, &sregs);
	}
	return NULL;
}

TEST(a_user_that_sets_a_guests_msrs)
{
	struct vcpu *vcpu = vcpu_add(vm_create(), change_msrs);

	EXPECT_UNCHANGED(preempt_everywhere(set_msrs, vcpu));
}

/* ---- the vCPU's own thread ---- */

/* All that a guest can have of its own, and exits after that. */
static void take_all(void)
{
	u32 a, b, c, d;
	u64 val;

	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SCE);
	wrmsr(MSR_STAR, GUEST_ADDRESS << 16);
	wrmsr(MSR_LSTAR, GUEST_ADDRESS);
	wrmsr(MSR_CSTAR, GUEST_ADDRESS);
	wrmsr(MSR_FMASK, 0x700);
	wrmsr(MSR_KERNEL_GS_BASE, GUEST_ADDRESS);
	wrmsr(0x174, 8);
	wrmsr(0x175, GUEST_ADDRESS);
	wrmsr(0x176, GUEST_ADDRESS);
	wrmsr_safe(0x48, 1);
	cpuid(0x80000001, 0, &a, &b, &c, &d);
	if (d >> 27 & 1)
		wrmsr(MSR_TSC_AUX, 0x777);
	cpuid(1, 0, &a, &b, &c, &d);
	if (c >> 26 & 1) {
		write_cr4(read_cr4() | CR4_OSXSAVE);
		asm volatile("xsetbv" : : "a"(1), "d"(0), "c"(0));
	}
	cpuid(7, 0, &a, &b, &c, &d);
	if (c >> 3 & 1) {
		write_cr4(read_cr4() | CR4_PKE);
		asm volatile("wrpkru" : : "a"(0x55555554), "d"(0), "c"(0));
	}
	write_cr4(read_cr4() | CR4_DE);
	/* Breakpoints on execution where nothing is executed. */
	asm volatile("mov %0, %%dr0; mov %0, %%dr1; mov %0, %%dr2; mov %0, %%dr3"
		     : : "r"(GUEST_ADDRESS));
	asm volatile("mov %0, %%dr7" : : "r"(0x455ull));
	asm volatile("lldt %w0" : : "r"(0));
	for (;;) {
		for (int i = 0; i < 50; i++)
			cpuid(0, 0, &a, &b, &c, &d);
		val = rdmsr(MSR_LSTAR);
		GUEST_SYNC(val);
	}
}

TEST(a_vcpus_thread_has_its_own_registers_back)
{
	struct vcpu *vcpu = vcpu_add(vm_create(), take_all);
	struct host_state before, after;

	pin(0);
	learn_cpu(0);
	syscall(SYS_arch_prctl, ARCH_SET_GS, &gs_value);
	before = look();
	for (int i = 0; i < 20; i++) {
		EXPECT_EQ(GUEST_ADDRESS, RUN_SYNC(vcpu));
		after = look();
		EXPECT_SAME(&before, &after);
	}
}

static volatile int faults, fault_len; /* of the instruction that faults */

static void skip_insn(int sig __attribute__((unused)), siginfo_t *info __attribute__((unused)),
		      void *context)
{
	faults++;
	((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] += fault_len;
}

static void expect_faults(int len)
{
	const struct sigaction sa = { .sa_sigaction = skip_insn, .sa_flags = SA_SIGINFO };

	fault_len = len;
	if (sigaction(SIGSEGV, &sa, NULL))
		FAIL("sigaction: %s", strerror(errno));
}

TEST(a_thread_that_must_not_read_the_tsc)
{
	struct vcpu *vcpu = vcpu_add(vm_create(), take_all);
	int before;

	expect_faults(2);
	ASSERT_EQ(0, prctl(PR_SET_TSC, PR_TSC_SIGSEGV, 0, 0, 0));
	asm volatile("rdtsc" : : : "rax", "rdx");
	before = faults;
	IOCTL(vcpu->fd, KVM_RUN, 0);
	asm volatile("rdtsc" : : : "rax", "rdx");
	prctl(PR_SET_TSC, PR_TSC_ENABLE, 0, 0, 0);
	EXPECT_EQ(1, before);
	EXPECT_EQ(2, faults);
}

/* The I/O bitmap is behind the TSS's first 0x67 bytes, which is all that VM exit gives TR. */
TEST(a_thread_with_an_io_bitmap)
{
	struct vcpu *vcpu = vcpu_add(vm_create(), take_all);

	if (syscall(SYS_ioperm, 0x80, 1, 1))
		SKIP(return, "ioperm: %s", strerror(errno));
	expect_faults(1);
	for (int i = 0; i < 10; i++) {
		asm volatile("out %%al, %%dx" : : "a"(0), "d"(0x80));
		EXPECT_EQ(0, faults);
		RUN_SYNC(vcpu);
	}
	asm volatile("out %%al, %%dx" : : "a"(0), "d"(0x81));
	EXPECT_EQ(1, faults);
}

TEST(a_thread_with_a_breakpoint)
{
	static u64 var;
	struct perf_event_attr attr = {
		.type = PERF_TYPE_BREAKPOINT, .size = sizeof(attr), .bp_type = HW_BREAKPOINT_W,
		.bp_addr = (u64)&var, .bp_len = HW_BREAKPOINT_LEN_8, .exclude_kernel = 1,
		.exclude_hv = 1,
	};
	struct vcpu *vcpu = vcpu_add(vm_create(), take_all);
	int fd = syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0);
	u64 count = 0;

	if (fd < 0)
		SKIP(return, "perf_event_open: %s", strerror(errno));
	for (u64 i = 1; i <= 10; i++) {
		WRITE_ONCE(var, i);
		EXPECT_EQ(sizeof(count), read(fd, &count, sizeof(count)));
		if (i == 1 && !count)
			SKIP(return, "breakpoints do not work here");
		EXPECT_EQ(i, count);
		RUN_SYNC(vcpu);
	}
}

/* ---- the LDT ---- */

static bool has_ldt(void)
{
	u64 entry;

	return syscall(SYS_modify_ldt, 0, &entry, sizeof(entry)) >= 0;
}

/* Entry 0, of data, with this limit. */
static bool set_ldt_entry(u32 entry, u32 base, u32 limit)
{
	/* struct user_desc; its last flags: of 32 bits, for the program's use */
	const u32 desc[4] = { entry, base, limit, 1 << 0 | 1 << 6 };

	return !syscall(SYS_modify_ldt, 0x11, desc, sizeof(desc));
}

static bool set_ldt(u32 limit)
{
	return set_ldt_entry(0, 0x1000, limit);
}

/* The limit that the LDT in the CPU has in entry 0; -1: there is none. */
static long ldt_limit(void)
{
	long limit = -1;

	asm volatile("lsl %1, %0" : "+r"(limit) : "r"((long)SEL_LDT) : "cc");
	return limit;
}

static u64 running, stop;

static void exit_until_stopped(void)
{
	u32 a, b, c, d;

	sti(); /* else Bochs holds the host's interrupts back, see testbed.md */
	WRITE_ONCE(running, 1);
	while (!READ_ONCE(stop))
		cpuid(0, 0, &a, &b, &c, &d);
	GUEST_DONE();
}

static volatile long limit_before, limit_after, limit_later;
static volatile int phase;

static void *run_on_cpu_1(void *arg)
{
	struct vcpu *vcpu = arg;

	pin(1);
	limit_before = ldt_limit();
	RUN_DONE(vcpu);
	limit_after = ldt_limit();
	phase = 1;
	while (phase == 1)
		;
	limit_later = ldt_limit();
	return NULL;
}

/* Another thread of the process changes the LDT from @first (0: none) while the guest runs. */
static void change_ldt(struct __test_metadata *_metadata, u32 first)
{
	u64 page[512];
	struct vm *vm;
	pthread_t thread;
	int pipe_fd[2];

	if (!has_two_cpus())
		SKIP(return, "one CPU");
	if (!has_ldt())
		SKIP(return, "no LDT");
	ASSERT_TRUE(!first || set_ldt(first));
	pin(0);
	vm = vm_create();
	ASSERT_EQ(0, pthread_create(&thread, NULL, run_on_cpu_1,
				    vcpu_add(vm, exit_until_stopped)));
	while (!READ_ONCE(*guest_ptr(vm, running)))
		usleep(1000);
	usleep(10000);
	ASSERT_TRUE(set_ldt(0x222));
	/* The page of the old one is free: who gets it must not choose the thread's segments. */
	for (int i = 0; i < 512; i++)
		page[i] = 0x0040f30010000333ull;
	for (int i = 0; i < 8; i++) {
		ASSERT_EQ(0, pipe(pipe_fd));
		ASSERT_EQ(sizeof(page), write(pipe_fd[1], page, sizeof(page)));
	}
	usleep(10000);
	WRITE_ONCE(*guest_ptr(vm, stop), 1);
	while (phase != 1)
		usleep(1000);
	phase = 2;
	pthread_join(thread, NULL);
	EXPECT_EQ(first ? (long)first : -1, limit_before);
	EXPECT_EQ(0x222, limit_after);
	EXPECT_EQ(0x222, limit_later);
}

TEST(a_new_ldt_comes_while_the_guest_runs)
{
	change_ldt(_metadata, 0x111);
}

TEST(the_first_ldt_comes_while_the_guest_runs)
{
	change_ldt(_metadata, 0);
}

static __always_inline long raw_syscall(long nr, long a, long b, long c)
{
	long ret;

	asm volatile("syscall"
		     : "=a"(ret)
		     : "0"(nr), "D"(a), "S"(b), "d"(c)
		     : "rcx", "r11", "memory");
	return ret;
}

/*
 * Without FS the C library cannot be called. DS and ES get a base of 0, which QEMU's TCG adds in
 * 64-bit mode, too, in the program and in the kernel.
 */
static long run_with_segments(int fd, u16 after[4], u64 gs_base[2])
{
	u64 fs_base;
	long ret;

	raw_syscall(SYS_arch_prctl, ARCH_GET_FS, (long)&fs_base, 0);
	asm volatile("mov %0, %%ds; mov %0, %%es; mov %1, %%fs; mov %1, %%gs"
		     : : "r"(SEL_LDT_FLAT), "r"(SEL_LDT));
	raw_syscall(SYS_arch_prctl, ARCH_GET_GS, (long)&gs_base[0], 0);
	ret = raw_syscall(SYS_ioctl, fd, KVM_RUN, 0);
	asm volatile("mov %%ds, %0" : "=m"(after[0]));
	asm volatile("mov %%es, %0" : "=m"(after[1]));
	asm volatile("mov %%fs, %0" : "=m"(after[2]));
	asm volatile("mov %%gs, %0" : "=m"(after[3]));
	raw_syscall(SYS_arch_prctl, ARCH_GET_GS, (long)&gs_base[1], 0);
	asm volatile("mov %0, %%ds; mov %0, %%es; mov %0, %%gs" : : "r"(0));
	raw_syscall(SYS_arch_prctl, ARCH_SET_FS, fs_base, 0);
	return ret;
}

TEST(a_thread_with_segments_of_its_ldt)
{
	struct vcpu *vcpu = vcpu_add(vm_create(), take_all);
	u64 gs_base[2];
	u16 after[4];

	if (!has_ldt())
		SKIP(return, "no LDT");
	ASSERT_TRUE(set_ldt(0xfffff));
	ASSERT_TRUE(set_ldt_entry(1, 0, 0xfffff));
	for (int i = 0; i < 5; i++) {
		ASSERT_EQ(0, run_with_segments(vcpu->fd, after, gs_base));
		for (int j = 0; j < 4; j++)
			EXPECT_EQ(j < 2 ? SEL_LDT_FLAT : SEL_LDT, after[j]);
		EXPECT_EQ(0x1000, gs_base[0]);
		EXPECT_EQ(0x1000, gs_base[1]);
		EXPECT_EQ(0xfffff, ldt_limit());
		EXPECT_TRUE(is_ucall(vcpu));
	}
}

TEST_MAIN
