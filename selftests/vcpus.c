// SPDX-License-Identifier: GPL-2.0-only
/* Many vCPUs, each on a thread of its own, sharing memory. */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>
#include "apic.h"
#include "test.h"

#define NR 8
#define ROUNDS 2000

static u64 total, next_turn; /* in the guest's copy */
static volatile u64 *const shared = (u64 *)GPA_FREE;

static void *run_done(void *arg)
{
	RUN_DONE((struct vcpu *)arg);
	return NULL;
}

static void run_all(struct __test_metadata *_metadata, struct vm *vm)
{
	pthread_t threads[NR];

	for (int i = 0; i < NR; i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, run_done, &vm->vcpus[i]));
	for (int i = 0; i < NR; i++)
		ASSERT_EQ(0, pthread_join(threads[i], NULL));
}

static void add_atomically(void)
{
	for (int i = 0; i < ROUNDS; i++)
		__atomic_fetch_add(&total, 1, __ATOMIC_SEQ_CST);
	GUEST_DONE();
}

TEST(atomic_additions_add_up)
{
	struct vm *vm = vm_create();

	for (int i = 0; i < NR; i++)
		vcpu_add(vm, add_atomically);
	run_all(_metadata, vm);
	EXPECT_EQ(NR * ROUNDS, *guest_ptr(vm, total));
}

/* Only the vCPU whose turn it is goes on: all of them must get to run. */
static void take_turns(u64 id)
{
	for (u64 i = 0; i < 5; i++) {
		while (READ_ONCE(next_turn) != i * NR + id)
			cpu_relax();
		outb(0x10, id);
		WRITE_ONCE(next_turn, i * NR + id + 1);
	}
	GUEST_DONE();
}

static void *run_turns(void *arg)
{
	struct vcpu *vcpu = arg;

	for (int i = 0; i < 5; i++)
		RUN_TO(vcpu, KVM_EXIT_IO);
	RUN_DONE(vcpu);
	return NULL;
}

TEST(turns_go_round)
{
	struct vm *vm = vm_create();
	pthread_t threads[NR];

	for (int i = 0; i < NR; i++)
		vcpu_set_args(vcpu_add(vm, take_turns), i, 0);
	for (int i = 0; i < NR; i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, run_turns, &vm->vcpus[i]));
	for (int i = 0; i < NR; i++)
		ASSERT_EQ(0, pthread_join(threads[i], NULL));
	EXPECT_EQ(5 * NR, *guest_ptr(vm, next_turn));
}

static void touch_fresh_memory(void)
{
	/* All of them fault on the same pages at the same time. */
	for (u64 i = 0; i < 256; i++)
		__atomic_fetch_add(&shared[i * 512], 1, __ATOMIC_SEQ_CST);
	GUEST_DONE();
}

TEST(faults_on_the_same_pages)
{
	struct vm *vm = vm_create();

	for (int i = 0; i < NR; i++)
		vcpu_add(vm, touch_fresh_memory);
	run_all(_metadata, vm);
	for (u64 i = 0; i < 256; i++)
		EXPECT_EQ(NR, *(u64 *)gpa_ptr(vm, GPA_FREE + i * 0x1000));
}

static void io_and_mmio(u64 id)
{
	for (u64 i = 0; i < 20; i++) {
		outb(0x10 + id, i);
		*(volatile u32 *)(GPA_MMIO + id * 4) = i;
		GUEST_ASSERT_EQ(*(volatile u32 *)(GPA_MMIO + id * 4), i + id);
	}
	GUEST_DONE();
}

static void *serve(void *arg)
{
	struct vcpu *vcpu = arg;
	struct kvm_run *run = vcpu->run;

	for (u32 i = 0; i < 20; i++) {
		u32 answer = i + vcpu->id;

		RUN_TO(vcpu, KVM_EXIT_IO);
		if (run->io.port != 0x10 + vcpu->id)
			FAIL("port %#x for vCPU %d", run->io.port, vcpu->id);
		RUN_TO(vcpu, KVM_EXIT_MMIO);
		if (run->mmio.phys_addr != GPA_MMIO + vcpu->id * 4u || !run->mmio.is_write)
			FAIL("MMIO at %#llx for vCPU %d", run->mmio.phys_addr, vcpu->id);
		RUN_TO(vcpu, KVM_EXIT_MMIO);
		memcpy(run->mmio.data, &answer, 4);
	}
	RUN_DONE(vcpu);
	return NULL;
}

TEST(exits_are_each_ones_own)
{
	struct vm *vm = vm_create();
	pthread_t threads[NR];

	for (int i = 0; i < NR; i++)
		vcpu_set_args(vcpu_add(vm, io_and_mmio), i, 0);
	for (int i = 0; i < NR; i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, serve, &vm->vcpus[i]));
	for (int i = 0; i < NR; i++)
		ASSERT_EQ(0, pthread_join(threads[i], NULL));
}

/* A change of a slot reaches vCPUs that are in the guest, before the ioctl returns. */
static void watch_page(void)
{
	volatile u64 *p = (u64 *)0x40000000ul;

	__atomic_fetch_add(&total, 1, __ATOMIC_SEQ_CST);
	sti();
	while (*p == 1)
		cpu_relax();
	GUEST_ASSERT_EQ(*p, 2);
	GUEST_DONE();
}

TEST(a_new_mapping_reaches_running_vcpus)
{
	struct vm *vm = vm_create();
	u64 *one = vm_add_memory(vm, 1, 0x40000000, 0x1000, 0);
	u64 *two = mmap(NULL, 0x1000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pthread_t threads[NR];

	*one = 1;
	*two = 2;
	for (int i = 0; i < NR; i++)
		vcpu_add(vm, watch_page);
	for (int i = 0; i < NR; i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, run_done, &vm->vcpus[i]));
	while (*(volatile u64 *)guest_ptr(vm, total) < NR)
		usleep(1000);
	/* The host's page under it changes; no vCPU makes an exit of its own accord. */
	ASSERT_EQ(one, mremap(two, 0x1000, 0x1000, MREMAP_MAYMOVE | MREMAP_FIXED, one));
	for (int i = 0; i < NR; i++)
		ASSERT_EQ(0, pthread_join(threads[i], NULL));
}

TEST(vcpu_numbers_need_not_be_dense)
{
	struct vm *vm = vm_create_empty();
	int max = has_cap(vm->dev, KVM_CAP_MAX_VCPUS);
	int max_id = has_cap(vm->dev, KVM_CAP_MAX_VCPU_ID);

	ASSERT_LE(2, max);
	ASSERT_LE(max, max_id);
	EXPECT_LE(0, ioctl(vm->fd, KVM_CREATE_VCPU, (long)max_id - 1));
	EXPECT_LE(0, ioctl(vm->fd, KVM_CREATE_VCPU, 0));
	EXPECT_LE(0, ioctl(vm->fd, KVM_CREATE_VCPU, 17));
}

/* Whose vCPU the next descriptor is going to be; the number is easily guessed. */
static struct guess {
	int vm, fd;
	u32 id;
	bool stop, idle;
	u64 found, lost;
} guess;

static bool seconds_are_over(const struct timespec *start, int seconds)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec - start->tv_sec > seconds;
}

/*
 * As soon as the descriptor works, an NMI reaches the vCPU. This thread comes
 * anywhere in between, on the same CPU, where the kernel can be preempted.
 */
static void *interrupt_at_once(void *arg)
{
	const struct sched_param param = { .sched_priority = 1 };
	struct timespec moment = {};
	struct kvm_mp_state s;

	pthread_setschedparam(pthread_self(), SCHED_FIFO, &param);
	while (!READ_ONCE(guess.stop)) {
		struct kvm_msi msi = { .data = ICR_NMI };
		int vm, fd;

		moment.tv_nsec = (moment.tv_nsec + 777) % 50000;
		nanosleep(&moment, NULL);
		vm = READ_ONCE(guess.vm);
		fd = READ_ONCE(guess.fd);
		msi.address_lo = APIC_MMIO | READ_ONCE(guess.id) << 12;
		if (fd < 0 || ioctl(fd, KVM_GET_MP_STATE, &s))
			continue;
		/* Unless it is the next one's turn, which has another VM. */
		if (ioctl(vm, KVM_SIGNAL_MSI, &msi) != 1 && READ_ONCE(guess.fd) == fd)
			guess.lost++;
		guess.found++;
	}
	return arg;
}

TEST(a_descriptor_is_of_a_whole_vcpu)
{
	struct timespec start;
	cpu_set_t cpu = {};
	pthread_t thread;

	if (!is_minivirt())
		SKIP(return, "KVM counts a vCPU after its descriptor works");
	CPU_SET(sched_getcpu(), &cpu);
	ASSERT_EQ(0, sched_setaffinity(0, sizeof(cpu), &cpu));
	guess.fd = -1;
	clock_gettime(CLOCK_MONOTONIC, &start);
	ASSERT_EQ(0, pthread_create(&thread, NULL, interrupt_at_once, NULL));
	while (!seconds_are_over(&start, 8)) {
		int dev = dev_open(), fds[128], vm = IOCTL(dev, KVM_CREATE_VM, 0);

		IOCTL(vm, KVM_CREATE_IRQCHIP, 0);
		for (int i = 0; i < ARRAY_SIZE(fds); i++) {
			WRITE_ONCE(guess.fd, -1);
			WRITE_ONCE(guess.vm, vm);
			WRITE_ONCE(guess.id, i);
			WRITE_ONCE(guess.fd, vm + 1 + i);
			fds[i] = IOCTL(vm, KVM_CREATE_VCPU, (long)i);
			ASSERT_EQ(vm + 1 + i, fds[i]);
		}
		WRITE_ONCE(guess.fd, -1);
		for (int i = 0; i < ARRAY_SIZE(fds); i++)
			close(fds[i]);
		close(vm);
		close(dev);
	}
	WRITE_ONCE(guess.stop, true);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_LT(0, guess.found);
	EXPECT_EQ(0, guess.lost);
}

/* The first vCPU of a VM runs as soon as its descriptor works, and writes to a port. */
static void *run_at_once(void *arg)
{
	while (!READ_ONCE(guess.stop)) {
		int fd = READ_ONCE(guess.fd);

		WRITE_ONCE(guess.idle, fd < 0);
		if (fd < 0)
			sched_yield();
		else if (!ioctl(fd, KVM_RUN, 0))
			guess.found++;
	}
	return arg;
}

/* What is there comes and goes meanwhile. */
static void *change_the_bus(void *arg)
{
	struct kvm_ioeventfd e = {
		.addr = 0x10, .len = 1, .fd = *(int *)arg, .flags = KVM_IOEVENTFD_FLAG_PIO,
	};

	while (!READ_ONCE(guess.stop)) {
		e.flags ^= KVM_IOEVENTFD_FLAG_DEASSIGN;
		ioctl(READ_ONCE(guess.vm), KVM_IOEVENTFD, &e);
	}
	return arg;
}

TEST(vcpus_run_while_they_are_created)
{
	u8 *rom = mmap(NULL, 0x1000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	const struct kvm_userspace_memory_region slot = {
		.guest_phys_addr = 0xfffff000, .memory_size = 0x1000, .userspace_addr = (u64)rom,
	};
	/* sti, as Bochs lets no interrupt of the host through without; 1: out %al, $0x10; jmp 1b */
	static const u8 reset_vector[] = { 0xfb, 0xe6, 0x10, 0xeb, 0xfc };
	int event = eventfd(0, EFD_NONBLOCK);
	pthread_t runner, changer;
	struct timespec start;

	memcpy(rom + 0xff0, reset_vector, sizeof(reset_vector));
	guess.vm = -1;
	guess.fd = -1;
	clock_gettime(CLOCK_MONOTONIC, &start);
	ASSERT_EQ(0, pthread_create(&runner, NULL, run_at_once, NULL));
	ASSERT_EQ(0, pthread_create(&changer, NULL, change_the_bus, &event));
	while (!seconds_are_over(&start, 5)) {
		int dev = dev_open(), vm = IOCTL(dev, KVM_CREATE_VM, 0), vcpu;
		u64 before = READ_ONCE(guess.found);

		IOCTL(vm, KVM_SET_USER_MEMORY_REGION, &slot);
		WRITE_ONCE(guess.vm, vm);
		WRITE_ONCE(guess.idle, false);
		WRITE_ONCE(guess.fd, vm + 1);
		vcpu = IOCTL(vm, KVM_CREATE_VCPU, 0);
		EXPECT_EQ(guess.fd, vcpu);
		while (READ_ONCE(guess.found) == before)
			sched_yield();
		WRITE_ONCE(guess.fd, -1);
		/* It comes out when the port is userspace's. */
		while (!READ_ONCE(guess.idle))
			sched_yield();
		WRITE_ONCE(guess.vm, -1);
		close(vcpu);
		close(vm);
		close(dev);
	}
	WRITE_ONCE(guess.stop, true);
	ASSERT_EQ(0, pthread_join(runner, NULL));
	ASSERT_EQ(0, pthread_join(changer, NULL));
}

TEST_MAIN
