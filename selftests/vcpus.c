// SPDX-License-Identifier: GPL-2.0-only
/* Many vCPUs, each on a thread of its own, sharing memory. */
#include <fcntl.h>
#include <pthread.h>
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

TEST_MAIN
