// SPDX-License-Identifier: GPL-2.0-only
/*
 * Asynchronous page faults: while the host has yet to get a page, the guest does
 * something else. The pages are missing until a thread of the test brings them
 * (userfaultfd).
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <asm/kvm_para.h>
#include <linux/userfaultfd.h>
#include "apic.h"
#include "test.h"

#define VECTOR 0x50
#define TIMER 0x51
#define MISSING_GPA 0x10000000
#define NR_PAGES 80
#define PAGE 4096
#define ON (KVM_ASYNC_PF_ENABLED | KVM_ASYNC_PF_DELIVERY_AS_INT)

/* The guest's: where the host writes, and what it has seen. */
static struct kvm_vcpu_pv_apf_data area __attribute__((aligned(64)));
static volatile u64 told, ready, all, work, ticks, other_faults;
static volatile bool halts; /* instead of working */
static volatile u32 ready_tokens[2 * NR_PAGES];

static bool is_ready(u32 token)
{
	for (u64 i = 0; i < ready; i++)
		if (ready_tokens[i] == token)
			return true;
	return false;
}

static void on_ready(struct ex_frame *frame)
{
	u32 token = area.token;

	(void)frame;
	if (token == ~0u)
		all++;
	else
		ready_tokens[ready++ % (2 * NR_PAGES)] = token;
	WRITE_ONCE(area.token, 0);
	x2apic_write(APIC_EOI, 0);
	wrmsr(MSR_KVM_ASYNC_PF_ACK, 1);
}

static void on_tick(struct ex_frame *frame)
{
	(void)frame;
	ticks++;
	x2apic_write(APIC_EOI, 0);
}

/* What a scheduler would do: something else, until the page is there. */
static void on_fault(struct ex_frame *frame)
{
	u32 token = read_cr2();

	if (!READ_ONCE(area.flags)) {
		other_faults++;
		return;
	}
	GUEST_ASSERT_EQ(area.flags, KVM_PV_REASON_PAGE_NOT_PRESENT);
	GUEST_ASSERT_EQ(frame->error, 0);
	GUEST_ASSERT_NE(token, 0);
	WRITE_ONCE(area.flags, 0);
	told++;
	while (!is_ready(token)) {
		if (halts) {
			asm volatile("sti; hlt; cli" : : : "memory");
		} else {
			sti();
			for (int i = 0; i < 10; i++)
				cpu_relax();
			cli();
			work++;
		}
	}
}

static void turn_on(u64 bits, ex_handler_t handler)
{
	guest_handlers[VECTOR] = on_ready;
	guest_handlers[TIMER] = on_tick;
	guest_handlers[PF] = handler;
	enable_x2apic();
	wrmsr(MSR_KVM_ASYNC_PF_INT, VECTOR);
	wrmsr(MSR_KVM_ASYNC_PF_EN, (u64)&area | bits);
	sti();
	/* A guest that has been moved may wait for what does not come here: it hears that. */
	while (!all)
		cpu_relax();
}

static u64 page_value(int i)
{
	return 0x1234567800 + i;
}

static u64 read_page(int i)
{
	return *(volatile u64 *)(u64)(MISSING_GPA + i * PAGE);
}

/* ---- the pages --------------------------------------------------------------- */

struct missing {
	struct vm *vm;
	u8 *mem;
	int uffd;
	pthread_t thread;
	volatile u64 *wait_for; /* of the guest */
	u64 at_least;
	int nr; /* pages that come */
};

static void missing_init(struct missing *m, struct vm *vm)
{
	memset(m, 0, sizeof(*m));
	m->vm = vm;
	m->mem = mmap(NULL, NR_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		      -1, 0);
	m->uffd = missing_memory(m->mem, NR_PAGES * PAGE);
	vm_set_slot(vm, 1, MISSING_GPA, NR_PAGES * PAGE, m->mem, 0);
}

static void bring(struct missing *m, int i)
{
	u64 page[PAGE / 8] __attribute__((aligned(PAGE))) = { page_value(i) };
	struct uffdio_copy copy = {
		.dst = (uintptr_t)m->mem + i * PAGE, .src = (uintptr_t)page, .len = PAGE,
	};

	IOCTL(m->uffd, UFFDIO_COPY, &copy);
}

/* First all have to be asked for, and what the guest does meanwhile has to be seen. */
static void *bring_all(void *arg)
{
	struct missing *m = arg;
	struct pollfd pfd = { .fd = m->uffd, .events = POLLIN };
	bool asked[NR_PAGES] = {};
	struct uffd_msg msg;
	int n = 0, i;

	while (n < m->nr) {
		poll(&pfd, 1, -1);
		if (read(m->uffd, &msg, sizeof(msg)) != sizeof(msg))
			continue;
		i = (msg.arg.pagefault.address - (uintptr_t)m->mem) / PAGE;
		n += !asked[i];
		asked[i] = true;
	}
	while (m->wait_for && *m->wait_for < m->at_least)
		usleep(100);
	while (n--)
		bring(m, n);
	return NULL;
}

static void bring_when(struct missing *m, int nr, volatile u64 *wait_for, u64 at_least)
{
	m->nr = nr;
	m->wait_for = wait_for;
	m->at_least = at_least;
	pthread_create(&m->thread, NULL, bring_all, m);
}

#define REQUIRE_APF(vm)                                                                            \
	do {                                                                                       \
		REQUIRE_CAP((vm)->fd, KVM_CAP_ASYNC_PF);                                           \
		REQUIRE_CAP((vm)->fd, KVM_CAP_ASYNC_PF_INT);                                       \
	} while (0)

/* ---- tests --------------------------------------------------------------------- */

static void guest_reads(u64 nr, u64 bits)
{
	turn_on(bits, on_fault);
	for (u64 i = 0; i < nr; i++)
		GUEST_ASSERT_EQ(read_page(i), page_value(i));
	GUEST_ASSERT_EQ(other_faults, 0);
	GUEST_SYNC(told);
	GUEST_DONE();
}

TEST(a_guest_works_while_a_page_is_missing)
{
	struct vm *vm = vm_create_with_irqchip();
	struct vcpu *vcpu = vcpu_add(vm, guest_reads);
	struct missing m;

	REQUIRE_APF(vm);
	missing_init(&m, vm);
	vcpu_set_args(vcpu, 1, ON | KVM_ASYNC_PF_SEND_ALWAYS);
	bring_when(&m, 1, guest_ptr(vm, work), 100);
	EXPECT_EQ(1, RUN_SYNC(vcpu));
	RUN_DONE(vcpu);
	EXPECT_EQ(1, *guest_ptr(vm, ready));
	EXPECT_LE(100, *guest_ptr(vm, work));
	EXPECT_EQ(1, *guest_ptr(vm, all));
}

TEST(a_halted_guest_hears_that_a_page_is_there)
{
	struct vm *vm = vm_create_with_irqchip();
	struct vcpu *vcpu = vcpu_add(vm, guest_reads);
	struct missing m;

	REQUIRE_APF(vm);
	missing_init(&m, vm);
	*guest_ptr(vm, halts) = true;
	vcpu_set_args(vcpu, NR_PAGES, ON | KVM_ASYNC_PF_SEND_ALWAYS);
	for (int i = 1; i < NR_PAGES; i++)
		bring(&m, i);
	bring_when(&m, 1, guest_ptr(vm, told), 1);
	EXPECT_EQ(1, RUN_SYNC(vcpu));
	RUN_DONE(vcpu);
	EXPECT_EQ(1, *guest_ptr(vm, ready));
}

/* Each fault comes in the handler of the one before. */
static volatile u64 depth;

static void on_nested_fault(struct ex_frame *frame)
{
	u32 token = read_cr2();
	int page = ++depth;

	(void)frame;
	WRITE_ONCE(area.flags, 0);
	told++;
	sti();
	if (page < 12)
		GUEST_ASSERT_EQ(read_page(page), page_value(page));
	while (!is_ready(token))
		cpu_relax();
	cli();
}

static void guest_nests(void)
{
	turn_on(ON | KVM_ASYNC_PF_SEND_ALWAYS, on_nested_fault);
	GUEST_ASSERT_EQ(read_page(0), page_value(0));
	GUEST_SYNC(told);
	GUEST_DONE();
}

TEST(many_pages_are_missing_at_once)
{
	struct vm *vm = vm_create_with_irqchip();
	struct vcpu *vcpu = vcpu_add(vm, guest_nests);
	struct missing m;

	REQUIRE_APF(vm);
	missing_init(&m, vm);
	bring_when(&m, 12, guest_ptr(vm, told), 12);
	EXPECT_EQ(12, RUN_SYNC(vcpu));
	RUN_DONE(vcpu);
	EXPECT_EQ(12, *guest_ptr(vm, ready));
}

static void on_fault_pass_over(struct ex_frame *frame)
{
	WRITE_ONCE(area.flags, 0);
	told++;
	frame->rip = frame->r11;
}

static void guest_reads_and_goes_on(u64 nr)
{
	turn_on(ON | KVM_ASYNC_PF_SEND_ALWAYS, on_fault_pass_over);
	for (u64 i = 0; i < nr; i++)
		asm volatile("leaq 1f(%%rip), %%r11\n\tmovq (%0), %%rax\n1:"
			     : : "r"((u64)MISSING_GPA + i * PAGE) : "rax", "r11", "memory");
	while (ready < told)
		cpu_relax();
	GUEST_SYNC(told);
	GUEST_DONE();
}

/* For the one that is too many the guest has to wait. */
TEST(no_more_than_64_pages_are_waited_for)
{
	struct vm *vm = vm_create_with_irqchip();
	struct vcpu *vcpu = vcpu_add(vm, guest_reads_and_goes_on);
	struct missing m;

	REQUIRE_APF(vm);
	missing_init(&m, vm);
	vcpu_set_args(vcpu, 65, 0);
	bring_when(&m, 65, NULL, 0);
	EXPECT_EQ(64, RUN_SYNC(vcpu));
	RUN_DONE(vcpu);
}

static void guest_ticks(u64 bits)
{
	turn_on(bits, on_fault);
	x2apic_write(APIC_TDCR, TDCR_1);
	x2apic_write(APIC_LVTT, LVT_PERIODIC | TIMER);
	x2apic_write(APIC_TMICT, 1000000);
	GUEST_ASSERT_EQ(read_page(0), page_value(0));
	GUEST_SYNC(told);
	GUEST_DONE();
}

/* No #PF in its kernel, which has not asked for it; but interrupts go on. */
TEST(interrupts_come_while_a_page_is_missing)
{
	struct vm *vm = vm_create_with_irqchip();
	struct vcpu *vcpu = vcpu_add(vm, guest_ticks);
	struct missing m;

	REQUIRE_APF(vm);
	missing_init(&m, vm);
	vcpu_set_args(vcpu, ON, 0);
	bring_when(&m, 1, guest_ptr(vm, ticks), 20);
	EXPECT_EQ(0, RUN_SYNC(vcpu));
	RUN_DONE(vcpu);
	EXPECT_EQ(0, *guest_ptr(vm, ready));
}

static void guest_with_interrupts_off(void)
{
	turn_on(ON | KVM_ASYNC_PF_SEND_ALWAYS, on_fault);
	cli();
	GUEST_ASSERT_EQ(read_page(0), page_value(0));
	GUEST_SYNC(told);
	GUEST_DONE();
}

TEST(with_interrupts_off_a_guest_waits)
{
	struct vm *vm = vm_create_with_irqchip();
	struct vcpu *vcpu = vcpu_add(vm, guest_with_interrupts_off);
	struct missing m;

	REQUIRE_APF(vm);
	missing_init(&m, vm);
	bring_when(&m, 1, NULL, 0);
	EXPECT_EQ(0, RUN_SYNC(vcpu));
	RUN_DONE(vcpu);
}

/* It does not want to be told in its kernel: the vCPU waits. */
static void guest_waits(void)
{
	turn_on(ON, on_fault);
	read_page(0);
}

static void guest_elsewhere(void)
{
	GUEST_DONE();
}

static void do_nothing(int sig)
{
	(void)sig;
}

struct interruption {
	int uffd;
	pthread_t whom;
};

static void *interrupt_wait(void *arg)
{
	struct interruption *i = arg;
	struct pollfd pfd = { .fd = i->uffd, .events = POLLIN };

	poll(&pfd, 1, -1);
	pthread_kill(i->whom, SIGUSR1);
	return NULL;
}

/* As a VMM does that resets its machine: no page is waited for any more. */
TEST(a_reset_ends_the_wait_for_a_page)
{
	struct vm *vm = vm_create_with_irqchip();
	struct vcpu *vcpu = vcpu_add(vm, guest_waits);
	struct interruption i = { .whom = pthread_self() };
	struct sigaction sa = { .sa_handler = do_nothing };
	struct kvm_regs regs;
	struct missing m;
	pthread_t thread;

	REQUIRE_APF(vm);
	if (!is_minivirt())
		SKIP(return, "KVM waits for the page then");
	missing_init(&m, vm);
	i.uffd = m.uffd;
	sigaction(SIGUSR1, &sa, NULL);
	ASSERT_EQ(0, pthread_create(&thread, NULL, interrupt_wait, &i));
	/* All others come first: the signal is there before the wait begins. */
	ASSERT_EQ(0, sched_setscheduler(0, SCHED_IDLE, &(struct sched_param) { 0 }));
	EXPECT_ERRNO(EINTR, ioctl(vcpu->fd, KVM_RUN, 0));
	pthread_join(thread, NULL);
	EXPECT_EQ(1, vcpu_set_msr(vcpu, MSR_KVM_ASYNC_PF_EN, 0));
	regs = vcpu_regs(vcpu);
	regs.rip = (u64)guest_elsewhere;
	regs.rflags = 2;
	vcpu_set_regs(vcpu, &regs);
	RUN_DONE(vcpu);
}

static volatile bool rewrites; /* the MSR; else userspace does */

static void on_fault_stop(struct ex_frame *frame)
{
	(void)frame;
	told++;
	WRITE_ONCE(area.flags, 0);
	GUEST_SYNC(read_cr2());
	all = 0;
	if (rewrites) {
		wrmsr(MSR_KVM_ASYNC_PF_EN, 0);
		wrmsr(MSR_KVM_ASYNC_PF_EN, (u64)&area | ON);
	}
	sti();
	while (!all)
		cpu_relax();
	cli();
	GUEST_SYNC(all);
}

static void guest_stops_waiting(void)
{
	turn_on(ON | KVM_ASYNC_PF_SEND_ALWAYS, on_fault_stop);
	GUEST_ASSERT_EQ(read_page(0), page_value(0));
	GUEST_SYNC(told);
	GUEST_DONE();
}

/* A token of before does not come; the one that ends all waiting does. */
TEST(turned_off_and_on_nothing_is_waited_for)
{
	struct vm *vm = vm_create_with_irqchip();
	struct vcpu *vcpu = vcpu_add(vm, guest_stops_waiting);
	struct missing m;

	REQUIRE_APF(vm);
	/* KVM waits in the WRMSR for a page that this thread is to bring. */
	if (!is_minivirt())
		SKIP(return, "KVM waits for the page then");
	missing_init(&m, vm);
	*guest_ptr(vm, rewrites) = true;
	EXPECT_NE(0, RUN_SYNC(vcpu));
	EXPECT_EQ(1, RUN_SYNC(vcpu));
	bring(&m, 0);
	EXPECT_EQ(1, RUN_SYNC(vcpu));
	RUN_DONE(vcpu);
	EXPECT_EQ(0, *guest_ptr(vm, ready));
}

TEST(the_slot_goes_while_a_page_is_missing)
{
	struct vm *vm = vm_create_with_irqchip();
	struct vcpu *vcpu = vcpu_add(vm, guest_stops_waiting);
	struct missing m;

	REQUIRE_APF(vm);
	missing_init(&m, vm);
	*guest_ptr(vm, rewrites) = true;
	EXPECT_NE(0, RUN_SYNC(vcpu));
	vm_set_slot(vm, 1, MISSING_GPA, 0, m.mem, 0);
	bring(&m, 0);
	EXPECT_EQ(1, RUN_SYNC(vcpu));
	RUN_TO(vcpu, KVM_EXIT_MMIO);
}

/* The state goes to another VM: its guest hears that it need not wait. */
TEST(a_moved_guest_hears_that_it_need_not_wait)
{
	struct vm *vm = vm_create_with_irqchip(), *to = vm_create_with_irqchip();
	struct vcpu *a = vcpu_add(vm, guest_stops_waiting), *b = vcpu_add(to, guest_stops_waiting);
	struct kvm_lapic_state lapic;
	struct kvm_sregs sregs;
	struct kvm_regs regs;
	struct missing m, n;

	REQUIRE_APF(vm);
	missing_init(&m, vm);
	missing_init(&n, to);
	RUN_SYNC(a);
	a->run->immediate_exit = 1;
	EXPECT_ERRNO(EINTR, ioctl(a->fd, KVM_RUN, 0));
	EXPECT_EQ((u64)&area | ON | KVM_ASYNC_PF_SEND_ALWAYS, vcpu_get_msr(a, MSR_KVM_ASYNC_PF_EN));
	EXPECT_EQ(VECTOR, vcpu_get_msr(a, MSR_KVM_ASYNC_PF_INT));
	EXPECT_EQ(0, vcpu_get_msr(a, MSR_KVM_ASYNC_PF_ACK));
	memcpy(to->mem, vm->mem, RAM_SIZE);
	for (int i = 0; i < NR_PAGES; i++)
		bring(&n, i);
	regs = vcpu_regs(a);
	sregs = vcpu_sregs(a);
	lapic = lapic_state(a);
	vcpu_set_sregs(b, &sregs);
	vcpu_set_regs(b, &regs);
	IOCTL(b->fd, KVM_SET_LAPIC, &lapic);
	vcpu_set_msr(b, MSR_KVM_ASYNC_PF_EN, vcpu_get_msr(a, MSR_KVM_ASYNC_PF_EN));
	vcpu_set_msr(b, MSR_KVM_ASYNC_PF_INT, vcpu_get_msr(a, MSR_KVM_ASYNC_PF_INT));
	EXPECT_EQ(1, RUN_SYNC(b)); /* all */
	EXPECT_EQ(1, RUN_SYNC(b)); /* told */
	RUN_DONE(b);
	bring(&m, 0);
}

/* Whoever brings the pages may never do so: that keeps no process from its end. */
TEST(a_process_ends_while_a_page_is_missing)
{
	int to_parent[2], uffd, pidfd, status;
	pid_t pid;

	if (!is_minivirt())
		SKIP(return, "KVM waits for the page then");
	ASSERT_EQ(0, pipe(to_parent));
	pid = fork();
	if (!pid) {
		struct vm *vm = vm_create_with_irqchip();
		struct vcpu *vcpu = vcpu_add(vm, guest_stops_waiting);
		struct missing m;

		missing_init(&m, vm);
		RUN_SYNC(vcpu);
		if (write(to_parent[1], &m.uffd, sizeof(m.uffd)) != sizeof(m.uffd))
			_exit(1);
		pause();
	}
	ASSERT_EQ(sizeof(uffd), read(to_parent[0], &uffd, sizeof(uffd)));
	pidfd = syscall(SYS_pidfd_open, pid, 0);
	ASSERT_LE(0, pidfd);
	uffd = syscall(SYS_pidfd_getfd, pidfd, uffd, 0);
	ASSERT_LE(0, uffd);
	kill(pid, SIGKILL);
	EXPECT_EQ(pid, waitpid(pid, &status, 0));
	/* The module is in use as long as its work item waits. */
	close(uffd);
}

static void guest_msrs(void)
{
	u64 val;

	GUEST_ASSERT_EQ(rdmsr(MSR_KVM_ASYNC_PF_EN), 0);
	GUEST_ASSERT_EQ(rdmsr(MSR_KVM_ASYNC_PF_INT), 0);
	GUEST_ASSERT_EQ(rdmsr_safe(MSR_KVM_ASYNC_PF_ACK, &val), TRY_NONE);
	GUEST_ASSERT_EQ(val, 0);
	GUEST_ASSERT_EQ(wrmsr_safe(MSR_KVM_ASYNC_PF_ACK, 1), TRY_NONE);
	GUEST_ASSERT_EQ(wrmsr_safe(MSR_KVM_ASYNC_PF_INT, 0x100), GP);
	GUEST_ASSERT_EQ(wrmsr_safe(MSR_KVM_ASYNC_PF_INT, 0xff), TRY_NONE);
	GUEST_ASSERT_EQ(rdmsr(MSR_KVM_ASYNC_PF_INT), 0xff);
	GUEST_ASSERT_EQ(wrmsr_safe(MSR_KVM_ASYNC_PF_EN, (u64)&area | 0x10), GP);
	GUEST_ASSERT_EQ(wrmsr_safe(MSR_KVM_ASYNC_PF_EN, (u64)&area | 0x20), GP);
	/* Without the interrupt nothing is delivered, so nothing is looked at. */
	GUEST_ASSERT_EQ(wrmsr_safe(MSR_KVM_ASYNC_PF_EN, GPA_MMIO | 1), TRY_NONE);
	GUEST_ASSERT_EQ(rdmsr(MSR_KVM_ASYNC_PF_EN), GPA_MMIO | 1);
	GUEST_ASSERT_EQ(wrmsr_safe(MSR_KVM_ASYNC_PF_EN, GPA_MMIO | ON), GP);
	GUEST_ASSERT_EQ(wrmsr_safe(MSR_KVM_ASYNC_PF_EN, (u64)&area | ON), TRY_NONE);
	GUEST_DONE();
}

static void guest_msrs_without_apic(void)
{
	GUEST_ASSERT_EQ(wrmsr_safe(MSR_KVM_ASYNC_PF_EN, 0), TRY_NONE);
	GUEST_ASSERT_EQ(wrmsr_safe(MSR_KVM_ASYNC_PF_EN, (u64)&area | ON), GP);
	GUEST_ASSERT_EQ(wrmsr_safe(MSR_KVM_ASYNC_PF_INT, VECTOR), GP);
	GUEST_DONE();
}

/* With only what CPUID shows. */
static void guest_msrs_not_shown(void)
{
	u64 val;

	GUEST_ASSERT_EQ(rdmsr_safe(MSR_KVM_ASYNC_PF_EN, &val), GP);
	GUEST_ASSERT_EQ(rdmsr_safe(MSR_KVM_ASYNC_PF_INT, &val), GP);
	GUEST_ASSERT_EQ(wrmsr_safe(MSR_KVM_ASYNC_PF_EN, 0), GP);
	GUEST_ASSERT_EQ(wrmsr_safe(MSR_KVM_ASYNC_PF_ACK, 1), GP);
	GUEST_DONE();
}

TEST(msrs)
{
	struct vm *vm = vm_create_with_irqchip();
	struct kvm_enable_cap enforce = { .cap = KVM_CAP_ENFORCE_PV_FEATURE_CPUID, .args = { 1 } };
	struct vcpu *vcpu;

	REQUIRE_APF(vm);
	RUN_DONE(vcpu_add(vm, guest_msrs));
	vcpu = vcpu_add(vm_create(), guest_msrs_without_apic);
	RUN_DONE(vcpu);
	/* KVM refuses this, and QEMU ends by it with an irqchip of its own. */
	if (is_minivirt())
		EXPECT_EQ(1, vcpu_set_msr(vcpu, MSR_KVM_ASYNC_PF_INT, 0));
	for (u32 i = 0; i < vm->cpuid->nent; i++)
		if (vm->cpuid->entries[i].function == KVM_CPUID_FEATURES) {
			EXPECT_TRUE(vm->cpuid->entries[i].eax & 1 << KVM_FEATURE_ASYNC_PF);
			EXPECT_TRUE(vm->cpuid->entries[i].eax & 1 << KVM_FEATURE_ASYNC_PF_INT);
		}
	vm = vm_create_with_irqchip();
	for (u32 i = 0; i < vm->cpuid->nent; i++)
		if (vm->cpuid->entries[i].function == KVM_CPUID_FEATURES)
			vm->cpuid->entries[i].eax = 0;
	vcpu = vcpu_add(vm, guest_msrs_not_shown);
	IOCTL(vcpu->fd, KVM_ENABLE_CAP, &enforce);
	RUN_DONE(vcpu);
}

TEST_MAIN
