// SPDX-License-Identifier: GPL-2.0-only
/*
 * Many vCPUs that fault on the same memory at once, while its slots, logs and
 * host pages change.  Each vCPU has a word of its own in every page and finds
 * there what it wrote last.
 */
#include <fcntl.h>
#include <pthread.h>
#include "test.h"

#define NR 8
#define GPA 0x40000000ul
#define PAGE 0x1000ul
#define PAGES 256ul
#define SIZE (PAGES * PAGE)
#define ROUNDS 4
#define TIMEOUT 120 /* seconds: a slot's change waits for all the threads, on few CPUs */

static bool stop;

/* Each begins in another place. */
static void count(u64 id)
{
	u64 pass = 0, i, page;

	sti();
	do {
		for (i = 0; i < PAGES; i++) {
			page = GPA + (i + id * (PAGES / NR)) % PAGES * PAGE + id * 8;
			GUEST_ASSERT_EQ(READ_ONCE(*(u64 *)page), pass);
			WRITE_ONCE(*(u64 *)page, pass + 1);
		}
		pass++;
		cpu_relax();
	} while (!READ_ONCE(stop));
	GUEST_SYNC(pass);
}

FIXTURE(faults) {
	struct vm *vm;
	u8 *mem;
	pthread_t threads[NR];
	u64 passes[NR];
};

#define SELF FIXTURE_DATA(faults)

FIXTURE_SETUP(faults)
{
	self->vm = vm_create();
	self->mem = vm_add_memory(self->vm, 1, GPA, SIZE, 0);
	madvise(self->mem, SIZE, MADV_NOHUGEPAGE);
	for (u64 i = 0; i < NR; i++)
		vcpu_set_args(vcpu_add(self->vm, count), i, 0);
}

FIXTURE_TEARDOWN(faults)
{
}

static void *run(void *arg)
{
	return (void *)RUN_SYNC((struct vcpu *)arg);
}

static void start(SELF *self)
{
	for (int i = 0; i < NR; i++)
		if (pthread_create(&self->threads[i], NULL, run, &self->vm->vcpus[i]))
			FAIL("no thread");
}

static void finish(SELF *self)
{
	*guest_ptr(self->vm, stop) = true;
	for (int i = 0; i < NR; i++)
		pthread_join(self->threads[i], (void **)&self->passes[i]);
	for (u64 at = 0; at < SIZE; at += PAGE)
		for (int i = 0; i < NR; i++)
			if (((u64 *)(self->mem + at))[i] != self->passes[i])
				FAIL("vCPU %d, page %#llx: a pass is lost", i,
				     (unsigned long long)at);
}

static void set_slot(SELF *self, u32 slot, u64 gpa, u64 size, void *mem, u32 flags)
{
	if (vm_set_slot(self->vm, slot, gpa, size, mem, flags))
		FAIL("slot %u: %s", slot, __strerror(errno));
}

TEST_F(faults, on_fresh_memory)
{
	start(self);
	finish(self);
}

TEST_F_TIMEOUT(faults, on_memory_that_goes_and_comes, TIMEOUT)
{
	start(self);
	for (int i = 0; i < ROUNDS; i++) {
		/* Protection takes the second-stage entries away; the data stays. */
		ASSERT_EQ(0, mprotect(self->mem, SIZE, PROT_READ | PROT_WRITE | PROT_EXEC));
		ASSERT_EQ(0, mprotect(self->mem, SIZE, PROT_READ | PROT_WRITE));
		usleep(1000);
		madvise(self->mem, SIZE, i % 2 ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
		madvise(self->mem, SIZE / 2, MADV_PAGEOUT);
	}
	finish(self);
}

TEST_F_TIMEOUT(faults, with_the_log_on_and_off, TIMEOUT)
{
	static u64 bits[PAGES / 64];
	struct kvm_dirty_log log = { .slot = 1, .dirty_bitmap = bits };

	start(self);
	for (int i = 0; i < ROUNDS; i++) {
		set_slot(self, 1, GPA, SIZE, self->mem, KVM_MEM_LOG_DIRTY_PAGES);
		for (int j = 0; j < 2; j++) {
			IOCTL(self->vm->fd, KVM_GET_DIRTY_LOG, &log);
			usleep(500);
		}
		set_slot(self, 1, GPA, SIZE, self->mem, 0);
		usleep(500);
	}
	finish(self);
}

TEST_F_TIMEOUT(faults, while_other_slots_change, TIMEOUT)
{
	start(self);
	for (int i = 0; i < ROUNDS; i++) {
		for (u64 j = 0; j < 3; j++)
			set_slot(self, 2 + j, GPA + SIZE + j * 2 * PAGE, PAGE, self->mem, 0);
		for (u64 j = 0; j < 3; j++)
			set_slot(self, 2 + j, GPA + SIZE + (j * 2 + 1) * PAGE, PAGE, self->mem, 0);
		for (u64 j = 0; j < 3; j++)
			set_slot(self, 2 + j, 0, 0, NULL, 0);
	}
	finish(self);
}

/* ---- a slot that moves ---- */

#define SHIFT 3 /* pages; the slot has more, so that the two places overlap */
#define MOVED (8 * PAGE)

static void watch_common_pages(void)
{
	sti();
	do {
		for (u64 i = SHIFT; i < MOVED / PAGE; i++) {
			u64 val = READ_ONCE(*(u64 *)(GPA + SIZE + i * PAGE));

			/* Of this page of the slot in its first place, or in the second */
			GUEST_ASSERT(val == 0x100 + i || val == 0x100 + i - SHIFT);
		}
		cpu_relax();
	} while (!READ_ONCE(stop));
	GUEST_SYNC(0);
}

TEST(a_slot_moves_under_running_vcpus)
{
	struct vm *vm = vm_create();
	u64 *mem = vm_add_memory(vm, 1, GPA + SIZE, MOVED, 0);
	pthread_t threads[4];

	for (u64 i = 0; i < MOVED / PAGE; i++)
		mem[i * 512] = 0x100 + i;
	for (int i = 0; i < 4; i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, run,
					    vcpu_add(vm, watch_common_pages)));
	for (int i = 0; i < 12; i++) {
		u64 gpa = GPA + SIZE + (i % 2 ? 0 : SHIFT * PAGE);

		ASSERT_EQ(0, vm_set_slot(vm, 1, gpa, MOVED, mem, 0));
		usleep(200);
	}
	*guest_ptr(vm, stop) = true;
	for (int i = 0; i < 4; i++)
		ASSERT_EQ(0, pthread_join(threads[i], NULL));
}

TEST_MAIN
