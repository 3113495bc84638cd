// SPDX-License-Identifier: GPL-2.0-only
/* The log of written pages as rings: KVM_CAP_DIRTY_LOG_RING, KVM_RESET_DIRTY_RINGS. */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>
#include "test.h"

#define GPA 0x1000000ul
#define PAGE 0x1000ul
#define PAGES 2000
#define RING 0x4000 /* bytes: 1,024 entries, of which some are a reserve */
#define ENTRIES (RING / sizeof(struct kvm_dirty_gfn))

static struct job {
	u64 first, end;
} job;

static void work(void)
{
	for (u64 round = 1;; round++) {
		for (u64 i = READ_ONCE(job.first); i < READ_ONCE(job.end); i++)
			*(volatile u64 *)(GPA + i * PAGE) = round;
		GUEST_SYNC(round);
	}
}

static void set_job(struct vcpu *vcpu, u64 first, u64 end)
{
	*guest_ptr(vcpu->vm, job) = (struct job){ first, end };
}

static int enable_ring(struct vm *vm, u64 size)
{
	return ioctl(vm->fd, KVM_ENABLE_CAP, &(struct kvm_enable_cap) {
			.cap = KVM_CAP_DIRTY_LOG_RING, .args = { size } });
}

static struct kvm_dirty_gfn *map_ring(struct vcpu *vcpu, int prot, int flags)
{
	return mmap(NULL, RING, prot, flags, vcpu->fd, KVM_DIRTY_LOG_PAGE_OFFSET * PAGE);
}

FIXTURE(ring) {
	struct vm *vm;
	struct vcpu *vcpu;
	struct kvm_dirty_gfn *ring;
	u64 *mem;
	u32 next; /* to be read */
};

#define SELF FIXTURE_DATA(ring)

FIXTURE_SETUP(ring)
{
	self->vm = vm_create();
	if (!has_cap(self->vm->dev, KVM_CAP_DIRTY_LOG_RING))
		SKIP(return, "no KVM_CAP_DIRTY_LOG_RING");
	if (enable_ring(self->vm, RING))
		FAIL("KVM_CAP_DIRTY_LOG_RING: %s", __strerror(errno));
	self->vcpu = vcpu_add(self->vm, work);
	self->ring = map_ring(self->vcpu, PROT_READ | PROT_WRITE, MAP_SHARED);
	if (self->ring == MAP_FAILED)
		FAIL("mmap: %s", __strerror(errno));
	self->mem = vm_add_memory(self->vm, 1, GPA, PAGES * PAGE, KVM_MEM_LOG_DIRTY_PAGES);
}

FIXTURE_TEARDOWN(ring)
{
}

/* The entries that are there, all of slot 1 and given back; bits of pages in @seen. */
static u32 harvest(SELF *self, u8 *seen)
{
	u32 n = 0;

	for (;; n++, self->next++) {
		struct kvm_dirty_gfn *e = &self->ring[self->next % ENTRIES];

		if (!(__atomic_load_n(&e->flags, __ATOMIC_ACQUIRE) & KVM_DIRTY_GFN_F_DIRTY))
			return n;
		if (e->slot != 1 || e->offset >= PAGES)
			FAIL("slot %u, page %llu", e->slot, e->offset);
		if (seen && seen[e->offset] < 255)
			seen[e->offset]++;
		__atomic_store_n(&e->flags, KVM_DIRTY_GFN_F_RESET, __ATOMIC_RELEASE);
	}
}

static int reset(SELF *self)
{
	return ioctl(self->vm->fd, KVM_RESET_DIRTY_RINGS, 0);
}

TEST_F(ring, names_each_written_page_once)
{
	u8 seen[PAGES] = { 0 };

	set_job(self->vcpu, 10, 20);
	RUN_SYNC(self->vcpu);
	RUN_SYNC(self->vcpu);
	EXPECT_EQ(10, harvest(self, seen));
	for (int i = 0; i < PAGES; i++)
		EXPECT_EQ(i >= 10 && i < 20, seen[i]);
	/* Not given back yet: they stay writable. */
	RUN_SYNC(self->vcpu);
	EXPECT_EQ(0, harvest(self, NULL));
	EXPECT_EQ(10, reset(self));
	EXPECT_EQ(0, reset(self));
	EXPECT_EQ(0, harvest(self, NULL));
	RUN_SYNC(self->vcpu);
	EXPECT_EQ(10, harvest(self, NULL));
}

TEST_F(ring, stops_the_guest_when_it_is_full)
{
	u8 seen[PAGES] = { 0 };
	u32 n = 0, exits = 0;

	set_job(self->vcpu, 0, PAGES);
	for (;;) {
		vcpu_run(self->vcpu);
		if (is_ucall(self->vcpu))
			break;
		ASSERT_EQ(KVM_EXIT_DIRTY_RING_FULL, self->vcpu->run->exit_reason);
		exits++;
		/* It does not go on without room. */
		RUN_TO(self->vcpu, KVM_EXIT_DIRTY_RING_FULL);
		n += harvest(self, seen);
		RUN_TO(self->vcpu, KVM_EXIT_DIRTY_RING_FULL);
		EXPECT_LT(0, reset(self));
	}
	EXPECT_LE(PAGES / ENTRIES, exits);
	n += harvest(self, seen);
	/* The page whose entry was the last one has not been written yet, and is named again. */
	EXPECT_EQ(PAGES + exits, n);
	for (int i = 0; i < PAGES; i++) {
		EXPECT_LE(1, seen[i])
			TH_LOG("page %d", i);
	}
}

/* What userspace writes there is not trusted. KVM believes that all of it was pushed. */
TEST_F(ring, survives_nonsense)
{
	if (!is_minivirt())
		SKIP(return, "the guest does not go on");
	set_job(self->vcpu, 0, 4);
	RUN_SYNC(self->vcpu);
	for (u32 i = 0; i < ENTRIES; i++)
		self->ring[i] = (struct kvm_dirty_gfn){
			.flags = KVM_DIRTY_GFN_F_RESET,
			.slot = i & 1 ? 1 : i << 14, .offset = ~0ull >> (i % 64),
		};
	EXPECT_LE(4, reset(self));
	RUN_SYNC(self->vcpu);
}

TEST_F(ring, takes_the_place_of_the_bitmap)
{
	u64 bits[PAGES / 64 + 1];
	struct kvm_dirty_log get = { .slot = 1, .dirty_bitmap = bits };
	struct kvm_clear_dirty_log clear = { .slot = 1, .num_pages = 64, .dirty_bitmap = bits };

	EXPECT_ERRNO(ENXIO, ioctl(self->vm->fd, KVM_GET_DIRTY_LOG, &get));
	EXPECT_ERRNO(ENXIO, ioctl(self->vm->fd, KVM_CLEAR_DIRTY_LOG, &clear));
	/* Once, and before there are vCPUs. */
	EXPECT_ERRNO(EINVAL, enable_ring(self->vm, RING));
}

TEST_F(ring, is_mapped_shared)
{
	volatile u8 *p;

	EXPECT_EQ(MAP_FAILED, map_ring(self->vcpu, PROT_READ, MAP_PRIVATE));
	EXPECT_EQ(MAP_FAILED, map_ring(self->vcpu, PROT_READ | PROT_EXEC, MAP_SHARED));
	p = (u8 *)map_ring(self->vcpu, PROT_READ, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(0, p[RING - 1]);
}

#define STEAL_PAGE 7
#define MSR_STEAL_TIME 0x4b564d03
#define TURNS 200

static bool go; /* in the guest's copy */

static void spin_with_steal_time(void)
{
	sti(); /* Bochs does not let the host's interrupts through otherwise. */
	wrmsr(MSR_STEAL_TIME, (GPA + STEAL_PAGE * PAGE) | 1);
	while (!READ_ONCE(go))
		cpu_relax();
	GUEST_SYNC(1);
}

static void *take_turns(void *arg)
{
	for (int i = 0; i < TURNS; i++)
		usleep(1000);
	WRITE_ONCE(*(bool *)arg, true);
	return NULL;
}

static void *run_to_sync(void *arg)
{
	RUN_SYNC((struct vcpu *)arg);
	return NULL;
}

/*
 * The host says in the guest's memory that the vCPU is preempted, and that is a
 * write like any other. The scheduler's lock is held there; meanwhile entries
 * are taken out on another CPU, so that it is in none of them.
 */
TEST_F(ring, names_what_the_scheduler_writes)
{
	struct vcpu *vcpu = vcpu_add(self->vm, spin_with_steal_time);
	bool *stop = guest_ptr(self->vm, go);
	cpu_set_t cpus = {}, rest;
	pthread_t threads[2];
	u8 seen[PAGES] = {};
	int cpu;

	sched_getaffinity(0, sizeof(rest), &rest);
	if (CPU_COUNT(&rest) < 2)
		SKIP(return, "one CPU");
	cpu = sched_getcpu();
	CPU_SET(cpu, &cpus);
	CPU_CLR(cpu, &rest);
	self->ring = map_ring(vcpu, PROT_READ | PROT_WRITE, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, self->ring);
	ASSERT_EQ(0, sched_setaffinity(0, sizeof(cpus), &cpus));
	ASSERT_EQ(0, pthread_create(&threads[0], NULL, run_to_sync, vcpu));
	ASSERT_EQ(0, pthread_create(&threads[1], NULL, take_turns, stop));
	ASSERT_EQ(0, sched_setaffinity(0, sizeof(rest), &rest));
	while (!READ_ONCE(*stop)) {
		harvest(self, seen);
		reset(self);
	}
	for (int i = 0; i < ARRAY_SIZE(threads); i++)
		ASSERT_EQ(0, pthread_join(threads[i], NULL));
	harvest(self, seen);
	EXPECT_LT(1, seen[STEAL_PAGE]);
}

TEST(bad_sizes_are_refused)
{
	struct vm *vm = vm_create_empty();
	long max = has_cap(vm->dev, KVM_CAP_DIRTY_LOG_RING);

	REQUIRE_CAP(vm->dev, KVM_CAP_DIRTY_LOG_RING);
	EXPECT_ERRNO(EINVAL, ioctl(vm->fd, KVM_RESET_DIRTY_RINGS, 0));
	EXPECT_ERRNO(EINVAL, enable_ring(vm, 0));
	EXPECT_ERRNO(EINVAL, enable_ring(vm, RING + 16));
	EXPECT_ERRNO(EINVAL, enable_ring(vm, 16));
	EXPECT_ERRNO(E2BIG, enable_ring(vm, 2 * max));
	vcpu_create(vm);
	EXPECT_ERRNO(EINVAL, enable_ring(vm, RING));
	EXPECT_ERRNO(EINVAL, ioctl(vm->fd, KVM_RESET_DIRTY_RINGS, 0));
}

TEST_MAIN
