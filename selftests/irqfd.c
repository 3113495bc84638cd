// SPDX-License-Identifier: GPL-2.0-only
/* Eventfds that raise interrupts, and those that tell of their end. */
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include "apic.h"
#include "test.h"

#define MSI_GSI 40
#define PIN 21
#define PIC_PIN 5
#define RESAMPLE KVM_IRQFD_FLAG_RESAMPLE
#define DEASSIGN KVM_IRQFD_FLAG_DEASSIGN

static int irqfd(struct vm *vm, int fd, u32 gsi, u32 flags, int resample)
{
	struct kvm_irqfd i = { .fd = fd, .gsi = gsi, .flags = flags, .resamplefd = resample };

	return ioctl(vm->fd, KVM_IRQFD, &i);
}

static int new_eventfd(void)
{
	return eventfd(0, EFD_NONBLOCK);
}

static void signal_fd(int fd)
{
	u64 one = 1;

	if (write(fd, &one, sizeof(one)) != sizeof(one))
		FAIL("write to an eventfd: %s", strerror(errno));
}

static u64 take(int fd)
{
	u64 n = 0;

	if (read(fd, &n, sizeof(n)) != sizeof(n) && errno != EAGAIN)
		FAIL("read of an eventfd: %s", strerror(errno));
	return n;
}

/* Pins are raised by a thread of the kernel, a little later. */
#define EVENTUALLY(cond)                                                                           \
	({                                                                                         \
		int __tries;                                                                       \
												   \
		for (__tries = 0; __tries < 1000 && !(cond); __tries++)                            \
			usleep(1000);                                                              \
		__tries < 1000;                                                                    \
	})

static void route_msi(struct vm *vm, u32 vector)
{
	struct kvm_irq_routing_entry e[] = {
		msi_route(MSI_GSI, APIC_MMIO, vector),
		pin_route(PIN, KVM_IRQCHIP_IOAPIC, PIN),
		pin_route(PIC_PIN, KVM_IRQCHIP_PIC_MASTER, PIC_PIN),
	};

	if (set_routing(vm, e, ARRAY_SIZE(e)))
		FAIL("KVM_SET_GSI_ROUTING: %s", strerror(errno));
}

static bool line_is_up(struct vm *vm)
{
	struct kvm_irqchip chip = { .chip_id = KVM_IRQCHIP_IOAPIC };

	IOCTL(vm->fd, KVM_GET_IRQCHIP, &chip);
	return chip.chip.ioapic.irr >> PIN & 1;
}

static void set_pin(struct vm *vm, u32 rte)
{
	struct kvm_irqchip chip = { .chip_id = KVM_IRQCHIP_IOAPIC };

	IOCTL(vm->fd, KVM_GET_IRQCHIP, &chip);
	chip.chip.ioapic.redirtbl[PIN].bits = rte;
	IOCTL(vm->fd, KVM_SET_IRQCHIP, &chip);
}

/* A VM with a vCPU that never runs and takes interrupts into its IRR. */
FIXTURE(idle) {
	struct vm *vm;
	struct vcpu *vcpu;
	int fd[2];
};

FIXTURE_SETUP(idle)
{
	struct kvm_lapic_state s;

	self->vm = vm_create_with_irqchip();
	self->vcpu = vcpu_create(self->vm);
	s = lapic_state(self->vcpu);
	*lapic_reg(&s, APIC_SPIV) = SPIV_ON;
	IOCTL(self->vcpu->fd, KVM_SET_LAPIC, &s);
	route_msi(self->vm, 0x41);
	for (int i = 0; i < 2; i++)
		self->fd[i] = new_eventfd();
}

FIXTURE_TEARDOWN(idle)
{
}

#define REQUESTED(vector) lapic_requested(self->vcpu, vector)

static void clear_requests(struct vcpu *vcpu)
{
	struct kvm_lapic_state s = lapic_state(vcpu);

	for (int i = 0; i < 8; i++)
		*lapic_reg(&s, APIC_IRR + 16 * i) = 0;
	IOCTL(vcpu->fd, KVM_SET_LAPIC, &s);
}

TEST_F(idle, bad_arguments)
{
	struct vm *vm = vm_create_empty(); /* without an irqchip */
	int null = open("/dev/null", O_RDWR);

	EXPECT_EQ(1, has_cap(self->vm->dev, KVM_CAP_IRQFD));
	EXPECT_EQ(1, has_cap(self->vm->dev, KVM_CAP_IRQFD_RESAMPLE));
	EXPECT_ERRNO(EFAULT, ioctl(self->vm->fd, KVM_IRQFD, 8));
	EXPECT_ERRNO(EINVAL, irqfd(self->vm, self->fd[0], PIN, 4, 0));
	EXPECT_ERRNO(EINVAL, irqfd(self->vm, self->fd[0], PIN, 1u << 31 | DEASSIGN, 0));
	EXPECT_ERRNO(EBADF, irqfd(self->vm, -1, PIN, 0, 0));
	EXPECT_ERRNO(EINVAL, irqfd(self->vm, null, PIN, 0, 0));
	EXPECT_ERRNO(EBADF, irqfd(self->vm, -1, PIN, DEASSIGN, 0));
	EXPECT_ERRNO(EINVAL, irqfd(self->vm, null, PIN, DEASSIGN, 0));
	EXPECT_ERRNO(EBADF, irqfd(self->vm, self->fd[0], PIN, RESAMPLE, -1));
	EXPECT_ERRNO(EINVAL, irqfd(self->vm, self->fd[0], PIN, RESAMPLE, null));

	/* An eventfd is for one GSI, once; taking away what is not there is no error. */
	ASSERT_EQ(0, irqfd(self->vm, self->fd[0], MSI_GSI, 0, 0));
	EXPECT_ERRNO(EBUSY, irqfd(self->vm, self->fd[0], MSI_GSI, 0, 0));
	EXPECT_ERRNO(EBUSY, irqfd(self->vm, self->fd[0], PIN, RESAMPLE, self->fd[1]));
	EXPECT_EQ(0, irqfd(self->vm, self->fd[1], MSI_GSI, DEASSIGN, 0));
	EXPECT_EQ(0, irqfd(self->vm, self->fd[0], PIN, DEASSIGN, 0));
	EXPECT_ERRNO(EBUSY, irqfd(self->vm, self->fd[0], MSI_GSI, 0, 0));
	EXPECT_EQ(0, irqfd(self->vm, self->fd[0], MSI_GSI, DEASSIGN, 0));
	EXPECT_EQ(0, irqfd(self->vm, self->fd[0], MSI_GSI, 0, 0));

	/* A GSI that leads nowhere. */
	EXPECT_EQ(0, irqfd(self->vm, self->fd[1], 0xffffffff, 0, 0));
	signal_fd(self->fd[1]);

	EXPECT_ERRNO(EINVAL, irqfd(vm, self->fd[1], PIN, 0, 0));
	EXPECT_EQ(0, irqfd(vm, self->fd[1], PIN, DEASSIGN, 0));
}

TEST_F(idle, message)
{
	ASSERT_EQ(0, irqfd(self->vm, self->fd[0], MSI_GSI, 0, 0));
	EXPECT_FALSE(REQUESTED(0x41));
	signal_fd(self->fd[0]);
	/* By the writer itself, and it is consumed. */
	EXPECT_TRUE(REQUESTED(0x41));
	EXPECT_EQ(0, take(self->fd[0]));

	clear_requests(self->vcpu);
	EXPECT_EQ(0, irqfd(self->vm, self->fd[0], MSI_GSI, DEASSIGN, 0));
	signal_fd(self->fd[0]);
	EXPECT_FALSE(REQUESTED(0x41));
	EXPECT_EQ(1, take(self->fd[0]));
}

TEST_F(idle, pin)
{
	set_pin(self->vm, 0x51);
	ASSERT_EQ(0, irqfd(self->vm, self->fd[0], PIN, 0, 0));
	for (int i = 0; i < 3; i++) {
		signal_fd(self->fd[0]);
		/* A pulse, so each is an edge. */
		EXPECT_TRUE(EVENTUALLY(REQUESTED(0x51)));
		EXPECT_TRUE(EVENTUALLY(!line_is_up(self->vm)));
		clear_requests(self->vcpu);
	}
}

TEST_F(idle, signalled_before_it_was_assigned)
{
	signal_fd(self->fd[0]);
	ASSERT_EQ(0, irqfd(self->vm, self->fd[0], MSI_GSI, 0, 0));
	EXPECT_TRUE(EVENTUALLY(REQUESTED(0x41)));
}

/* What the irqfd has taken out of the eventfd is not lost with it. */
TEST_F(idle, signalled_before_it_was_deassigned)
{
	set_pin(self->vm, 0x51);
	/* No worker of the kernel comes in between. */
	ASSERT_EQ(0, sched_setscheduler(0, SCHED_FIFO, &(struct sched_param) { 1 }));
	for (int i = 0; i < 20; i++) {
		ASSERT_EQ(0, irqfd(self->vm, self->fd[0], PIN, 0, 0));
		signal_fd(self->fd[0]);
		ASSERT_EQ(0, irqfd(self->vm, self->fd[0], PIN, KVM_IRQFD_FLAG_DEASSIGN, 0));
		EXPECT_TRUE(REQUESTED(0x51));
		clear_requests(self->vcpu);
	}
}

TEST_F(idle, routes_change_while_it_is_assigned)
{
	struct kvm_irq_routing_entry e = pin_route(MSI_GSI, KVM_IRQCHIP_IOAPIC, PIN);

	set_pin(self->vm, 0x51);
	ASSERT_EQ(0, irqfd(self->vm, self->fd[0], MSI_GSI, 0, 0));
	route_msi(self->vm, 0x42);
	signal_fd(self->fd[0]);
	EXPECT_TRUE(REQUESTED(0x42));
	EXPECT_FALSE(REQUESTED(0x41));
	ASSERT_EQ(0, set_routing(self->vm, &e, 1));
	signal_fd(self->fd[0]);
	EXPECT_TRUE(EVENTUALLY(REQUESTED(0x51)));
	ASSERT_EQ(0, set_routing(self->vm, NULL, 0));
	signal_fd(self->fd[0]);
	route_msi(self->vm, 0x43);
	usleep(20000);
	EXPECT_FALSE(REQUESTED(0x41));
	signal_fd(self->fd[0]);
	EXPECT_TRUE(REQUESTED(0x43));
}

TEST_F(idle, eventfd_closed_while_assigned)
{
	set_pin(self->vm, 0x51 | RTE_LEVEL);
	ASSERT_EQ(0, irqfd(self->vm, self->fd[0], PIN, RESAMPLE, self->fd[1]));
	signal_fd(self->fd[0]);
	EXPECT_TRUE(EVENTUALLY(line_is_up(self->vm)));
	/* Nobody is left to lower the line, so it is lowered. */
	close(self->fd[0]);
	EXPECT_TRUE(EVENTUALLY(!line_is_up(self->vm)));
	clear_requests(self->vcpu);
	set_pin(self->vm, 0x51 | RTE_LEVEL);
	self->fd[0] = new_eventfd();
	ASSERT_EQ(0, irqfd(self->vm, self->fd[0], PIN, RESAMPLE, self->fd[1]));
	signal_fd(self->fd[0]);
	EXPECT_TRUE(EVENTUALLY(REQUESTED(0x51)));
}

TEST_F(idle, deassigned_while_its_line_is_up)
{
	int other = new_eventfd();

	set_pin(self->vm, 0x51 | RTE_LEVEL);
	ASSERT_EQ(0, irqfd(self->vm, self->fd[0], PIN, RESAMPLE, self->fd[1]));
	ASSERT_EQ(0, irqfd(self->vm, other, PIN, RESAMPLE, self->fd[1]));
	signal_fd(self->fd[0]);
	EXPECT_TRUE(EVENTUALLY(line_is_up(self->vm)));
	EXPECT_EQ(0, irqfd(self->vm, self->fd[0], PIN, DEASSIGN, 0));
	EXPECT_TRUE(line_is_up(self->vm));
	EXPECT_EQ(0, irqfd(self->vm, other, PIN, DEASSIGN, 0));
	EXPECT_FALSE(line_is_up(self->vm));
}

TEST_F(idle, vm_closed_while_assigned)
{
	ASSERT_EQ(0, irqfd(self->vm, self->fd[0], MSI_GSI, 0, 0));
	ASSERT_EQ(0, irqfd(self->vm, self->fd[1], PIN, RESAMPLE, self->fd[0]));
	close(self->vm->fd);
	signal_fd(self->fd[0]);
	EXPECT_FALSE(REQUESTED(0x41));
	EXPECT_EQ(1, take(self->fd[0]));
	signal_fd(self->fd[1]);
	close(self->vcpu->fd);
	munmap(self->vcpu->run, self->vm->run_size);
	signal_fd(self->fd[0]);
	EXPECT_EQ(1, take(self->fd[0]));
	EXPECT_EQ(1, take(self->fd[1]));
}

/* ---- in a running guest ---- */

static volatile u32 nr_taken;

static void count_and_end(struct ex_frame *frame)
{
	(void)frame;
	nr_taken++;
	x2apic_write(APIC_EOI, 0);
}

static void count_and_end_of_pic(struct ex_frame *frame)
{
	(void)frame;
	nr_taken++;
	outb(0x20, 0x20);
}

/* One interrupt after the other: halts for each, then tells. */
static void take_forever(void)
{
	cli();
	enable_x2apic();
	x2apic_write(APIC_LVT0, LVT_MASKED);
	guest_handlers[0x41] = count_and_end;
	guest_handlers[0x51] = count_and_end;
	ioapic_write(RTE(PIN) + 1, 0);
	ioapic_write(RTE(PIN), 0x51 | RTE_LEVEL);
	for (u32 n = 0;;) {
		GUEST_SYNC(nr_taken);
		while (nr_taken == n)
			asm volatile("sti; hlt; cli" : : : "memory");
		n = nr_taken;
	}
}

static void take_from_pic(void)
{
	cli();
	guest_handlers[0x25] = count_and_end_of_pic;
	outb(0x20, 0x11);
	outb(0x21, 0x20);
	outb(0x21, 4);
	outb(0x21, 1);
	outb(0x21, 0xff & ~(1 << PIC_PIN));
	outb(0x4d0, 1 << PIC_PIN);
	for (u32 n = 0;;) {
		GUEST_SYNC(nr_taken);
		while (nr_taken == n)
			asm volatile("sti; hlt; cli" : : : "memory");
		n = nr_taken;
	}
}

FIXTURE(running) {
	struct vm *vm;
	struct vcpu *vcpu;
	int fd[2], resample[2];
};

FIXTURE_SETUP(running)
{
	self->vm = vm_create_with_irqchip();
	self->vcpu = vcpu_add(self->vm, take_forever);
	route_msi(self->vm, 0x41);
	for (int i = 0; i < 2; i++) {
		self->fd[i] = new_eventfd();
		self->resample[i] = new_eventfd();
	}
}

FIXTURE_TEARDOWN(running)
{
}

static void *signal_later(void *arg)
{
	usleep(20000);
	signal_fd(*(int *)arg);
	return NULL;
}

TEST_F(running, message_wakes_a_halted_guest)
{
	pthread_t thread;

	ASSERT_EQ(0, irqfd(self->vm, self->fd[0], MSI_GSI, 0, 0));
	EXPECT_EQ(0, RUN_SYNC(self->vcpu));
	for (int i = 1; i <= 3; i++) {
		pthread_create(&thread, NULL, signal_later, &self->fd[0]);
		EXPECT_EQ(i, RUN_SYNC(self->vcpu));
		pthread_join(thread, NULL);
	}
}

/*
 * TCG now and then delivers an interrupt twice that the VMCB injects once:
 * Documentation/testbed.md.
 */
static u32 next_taken(struct __test_metadata *_metadata, struct vcpu *vcpu, u32 nr)
{
	u32 taken = RUN_SYNC(vcpu);

	if (!on_tcg() || taken != nr + 2)
		EXPECT_EQ(nr + 1, taken);
	return taken;
}

/* The guest may only see it once for each signal. */
static void check_resampling(struct __test_metadata *_metadata, struct vm *vm, struct vcpu *vcpu,
			     const int *fd, const int *resample, u32 gsi)
{
	u32 nr = RUN_SYNC(vcpu);

	EXPECT_EQ(0, nr);
	for (int i = 0; i < 2; i++)
		ASSERT_EQ(0, irqfd(vm, fd[i], gsi, RESAMPLE, resample[i]));
	for (int i = 0; i < 4; i++) {
		signal_fd(fd[i & 1]);
		nr = next_taken(_metadata, vcpu, nr);
		/* All on that line are asked whether it was them. */
		EXPECT_EQ(1, take(resample[0]));
		EXPECT_EQ(1, take(resample[1]));
	}
	/* Still wanting something, by the same device's word. */
	signal_fd(fd[0]);
	signal_fd(fd[1]);
	EXPECT_LT(nr, RUN_SYNC(vcpu));
	EXPECT_LE(1, take(resample[0]));

	/* Without it, the line stays as the others leave it. */
	EXPECT_EQ(0, irqfd(vm, fd[0], gsi, DEASSIGN, 0));
	take(resample[1]);
	signal_fd(fd[1]);
	RUN_SYNC(vcpu);
	EXPECT_EQ(0, take(resample[0]));
	EXPECT_LE(1, take(resample[1]));
}

TEST_F(running, resampling_at_the_end_of_an_ioapic_interrupt)
{
	check_resampling(_metadata, self->vm, self->vcpu, self->fd, self->resample, PIN);
}

TEST_F(running, resampling_at_the_end_of_a_pic_interrupt)
{
	self->vm = vm_create_with_irqchip();
	check_resampling(_metadata, self->vm, vcpu_add(self->vm, take_from_pic), self->fd,
			 self->resample, PIC_PIN);
}

/* The resampling eventfd may itself raise an interrupt. */
TEST_F(running, resampling_into_a_message)
{
	ASSERT_EQ(0, irqfd(self->vm, self->fd[0], PIN, RESAMPLE, self->resample[0]));
	ASSERT_EQ(0, irqfd(self->vm, self->resample[0], MSI_GSI, 0, 0));
	EXPECT_EQ(0, RUN_SYNC(self->vcpu));
	signal_fd(self->fd[0]);
	while (RUN_SYNC(self->vcpu) < 2)
		;
	EXPECT_EQ(0, take(self->resample[0]));
}

/* ---- many of them ---- */

#define NR_RESAMPLED 1000
#define NR_WAITERS 600 /* for each */

static u64 phase; /* in the guest's copy */

static void end_of_interrupt(void)
{
	WRITE_ONCE(phase, 0); /* that the page is there */
	outb(0x80, 0);
	WRITE_ONCE(phase, 1);
	outb(0x20, 0x60 | PIC_PIN);
	WRITE_ONCE(phase, 2);
	GUEST_DONE();
}

/* On the vCPU's CPU, before anything else there: how often it comes to run during the OUT. */
static void *watch_phase(void *arg)
{
	const struct sched_param param = { .sched_priority = 1 };
	const struct timespec pause = { .tv_nsec = 200000 };
	u64 *p = arg, nr = 0;

	pthread_setschedparam(pthread_self(), SCHED_FIFO, &param);
	while (READ_ONCE(*p) < 2) {
		nr += READ_ONCE(*p) == 1;
		nanosleep(&pause, NULL);
	}
	return (void *)nr;
}

/* One instruction of the guest that wakes many does not keep the CPU for itself. */
TEST(the_end_of_an_interrupt_leaves_the_cpu_to_others)
{
	struct rlimit limit = { 4096, 4096 };
	struct epoll_event event = { .events = EPOLLIN };
	int resample = new_eventfd(), ep = epoll_create1(0);
	struct vm *vm = vm_create_with_irqchip();
	struct vcpu *vcpu = vcpu_add(vm, end_of_interrupt);
	cpu_set_t cpu = {};
	pthread_t thread;
	void *nr;

	if (!is_minivirt())
		SKIP(return, "KVM only where the kernel is preemptible");
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	route_msi(vm, 0x41);
	for (int i = 0; i < NR_RESAMPLED; i++)
		ASSERT_EQ(0, irqfd(vm, new_eventfd(), PIC_PIN, RESAMPLE, resample));
	for (int i = 0; i < NR_WAITERS; i++)
		ASSERT_EQ(0, epoll_ctl(ep, EPOLL_CTL_ADD, dup(resample), &event));
	CPU_SET(sched_getcpu(), &cpu);
	ASSERT_EQ(0, sched_setaffinity(0, sizeof(cpu), &cpu));
	ASSERT_EQ(0, pthread_create(&thread, NULL, watch_phase, guest_ptr(vm, phase)));
	RUN_TO(vcpu, KVM_EXIT_IO);
	RUN_DONE(vcpu);
	ASSERT_EQ(0, pthread_join(thread, &nr));
	/* A few times by chance: just before the OUT and just after it. */
	EXPECT_LT(20, (u64)nr);
	EXPECT_EQ(NR_RESAMPLED, take(resample));
}

/* ---- userspace that never answers ---- */

#define PAGE 0x1000ul

/* Two pages: who touches the second one waits for ever. */
static u8 *half_a_mapping(int *uffd)
{
	u8 *p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	*uffd = missing_memory(p + PAGE, PAGE);
	return p;
}

struct call {
	int fd;
	unsigned long nr;
	void *arg;
};

static void *make_call(void *arg)
{
	struct call *call = arg;

	ioctl(call->fd, call->nr, call->arg);
	return NULL;
}

/* Returns when a thread has begun the ioctl, and waits for the second page of @arg's mapping. */
static void begin_call(int fd, unsigned long nr, void *arg, int uffd)
{
	struct pollfd p = { .fd = uffd, .events = POLLIN };
	struct call *call = malloc(sizeof(*call));
	struct uffd_msg msg;
	pthread_t thread;

	*call = (struct call){ fd, nr, arg };
	pthread_create(&thread, NULL, make_call, call);
	if (poll(&p, 1, 10000) != 1 || read(uffd, &msg, sizeof(msg)) != sizeof(msg))
		FAIL("ioctl %#lx does not wait", nr);
}

/* An eventfd is closed: the line that it held up goes down. */
static void check_close(struct __test_metadata *_metadata, struct vm *vm)
{
	int fd = new_eventfd();

	ASSERT_EQ(0, irqfd(vm, fd, PIN, RESAMPLE, new_eventfd()));
	signal_fd(fd);
	EXPECT_TRUE(EVENTUALLY(line_is_up(vm)));
	close(fd);
	EXPECT_TRUE(EVENTUALLY(!line_is_up(vm)));
}

/*
 * The kernel's own threads free irqfds. A copy from userspace that takes for
 * ever holds no lock that they need.
 */
TEST_F(idle, an_unanswered_copy_holds_up_nobody)
{
	static const unsigned long calls[] = {
		KVM_IRQFD, KVM_SET_GSI_ROUTING, KVM_GET_IRQCHIP, KVM_SET_IRQCHIP, KVM_SET_PIT2,
		KVM_GET_PIT2, KVM_CREATE_PIT2, KVM_REINJECT_CONTROL, KVM_SET_CLOCK, KVM_GET_CLOCK,
		KVM_SET_USER_MEMORY_REGION, KVM_IOEVENTFD,
	};
	struct kvm_pit_config pit = {};
	struct kvm_irq_routing *routing;
	u8 *p;
	int uffd;

	IOCTL(self->vm->fd, KVM_CREATE_PIT2, &pit);
	set_pin(self->vm, 0x51 | RTE_LEVEL | RTE_MASKED);
	for (int i = 0; i < ARRAY_SIZE(calls); i++) {
		p = half_a_mapping(&uffd);
		begin_call(self->vm->fd, calls[i], p + PAGE - 4, uffd);
	}
	/* The second of two copies, too. */
	p = half_a_mapping(&uffd);
	routing = (void *)(p + PAGE - sizeof(*routing));
	routing->nr = 1;
	begin_call(self->vm->fd, KVM_SET_GSI_ROUTING, routing, uffd);
	check_close(_metadata, self->vm);
}

/* Nor does a lock that others hold over a copy. */
TEST_F(idle, an_unanswered_copy_of_the_dirty_log_holds_up_no_eventfd)
{
	struct kvm_pit_config pit = {};
	struct kvm_dirty_log log = { .slot = 1 };
	struct call create = { self->vm->fd, KVM_CREATE_PIT2, &pit };
	pthread_t thread;
	int uffd;

	if (!is_minivirt())
		SKIP(return, "KVM_GET_IRQCHIP waits for KVM_CREATE_PIT2");
	set_pin(self->vm, 0x51 | RTE_LEVEL | RTE_MASKED);
	vm_add_memory(self->vm, 1, GPA_FREE + 0x10000000, PAGE, KVM_MEM_LOG_DIRTY_PAGES);
	log.dirty_bitmap = half_a_mapping(&uffd) + PAGE;
	begin_call(self->vm->fd, KVM_GET_DIRTY_LOG, &log, uffd);
	/* It needs the buses' lock, which is the slots'. */
	ASSERT_EQ(0, pthread_create(&thread, NULL, make_call, &create));
	usleep(20000);
	check_close(_metadata, self->vm);
}

/* ---- all at once ---- */

#define ROUNDS 200

static volatile bool over;

static void *keep_signalling(void *arg)
{
	int *fd = arg;

	for (int i = 0; !over; i++)
		signal_fd(fd[i & 1]);
	return NULL;
}

/* A message to all: by way of a thread of the kernel, as it may be many. */
TEST_F(idle, a_broadcast_message_reaches_all)
{
	struct kvm_irq_routing_entry e = msi_route(MSI_GSI, APIC_MMIO | 0xff << 12, 0x61);
	struct vcpu *vcpus[4] = { self->vcpu };
	struct kvm_lapic_state s = lapic_state(self->vcpu);

	for (int i = 1; i < ARRAY_SIZE(vcpus); i++) {
		vcpus[i] = vcpu_create(self->vm);
		*lapic_reg(&s, APIC_ID) = i << 24;
		IOCTL(vcpus[i]->fd, KVM_SET_LAPIC, &s);
	}
	ASSERT_EQ(0, set_routing(self->vm, &e, 1));
	ASSERT_EQ(0, irqfd(self->vm, self->fd[0], MSI_GSI, 0, 0));
	signal_fd(self->fd[0]);
	for (int i = 0; i < ARRAY_SIZE(vcpus); i++)
		EXPECT_TRUE(EVENTUALLY(lapic_requested(vcpus[i], 0x61)));
	EXPECT_EQ(0, take(self->fd[0]));
}

TEST_F(idle, everything_changes_while_it_is_signalled)
{
	pthread_t thread;
	int fd[2];

	set_pin(self->vm, 0x51 | RTE_LEVEL);
	for (int i = 0; i < 2; i++)
		fd[i] = dup(self->fd[i]);
	pthread_create(&thread, NULL, keep_signalling, fd);
	for (int i = 0; i < ROUNDS; i++) {
		int resample = new_eventfd();

		ASSERT_EQ(0, irqfd(self->vm, self->fd[0], i & 2 ? MSI_GSI : PIN, 0, 0));
		ASSERT_EQ(0, irqfd(self->vm, self->fd[1], PIN, RESAMPLE, resample));
		route_msi(self->vm, 0x41 + (i & 7));
		close(resample);
		if (i % 16 == 0)
			close(new_eventfd());
		EXPECT_EQ(0, irqfd(self->vm, self->fd[0], i & 2 ? MSI_GSI : PIN, DEASSIGN, 0));
		EXPECT_EQ(0, irqfd(self->vm, self->fd[1], PIN, DEASSIGN, 0));
	}
	ASSERT_EQ(0, irqfd(self->vm, self->fd[0], MSI_GSI, 0, 0));
	ASSERT_EQ(0, irqfd(self->vm, self->fd[1], PIN, RESAMPLE, new_eventfd()));
	close(self->vm->fd);
	usleep(1000);
	over = true;
	pthread_join(thread, NULL);
}

TEST_F(idle, eventfds_close_while_the_vm_does)
{
	for (int i = 0; i < 50; i++) {
		struct vm *vm = vm_create_empty();
		int fd = new_eventfd(), pin = new_eventfd(), resample = new_eventfd();

		IOCTL(vm->fd, KVM_CREATE_IRQCHIP, 0);
		ASSERT_EQ(0, irqfd(vm, fd, MSI_GSI, 0, 0));
		ASSERT_EQ(0, irqfd(vm, pin, 3, RESAMPLE, resample));
		signal_fd(pin);
		close(i & 1 ? fd : vm->fd);
		close(pin);
		close(resample);
		close(i & 1 ? vm->fd : fd);
	}
}

TEST_MAIN
