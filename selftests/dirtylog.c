// SPDX-License-Identifier: GPL-2.0-only
/*
 * The log of written pages: KVM_GET_DIRTY_LOG, KVM_CLEAR_DIRTY_LOG.  The same
 * is to be seen whether the processor keeps a log of its own or not.
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <linux/userfaultfd.h>
#include "stats.h"
#include "test.h"

#define GPA 0x1000000ul
#define PAGE 0x1000ul
#define PAGES 1100 /* not whole words; more than the 512 that a processor logs at a time */
#define SIZE (PAGES * PAGE)
#define WORDS (PAGES / 64 + 1)
#define MANUAL KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE
#define ALL_SET (MANUAL | KVM_DIRTY_LOG_INITIALLY_SET)

/* Reads or writes pages first, first + step, ... below end. */
static struct job {
	u64 gpa, first, end, step;
	bool write;
} job;

static void work(void)
{
	for (u64 round = 1;; round++) {
		for (u64 i = READ_ONCE(job.first); i < READ_ONCE(job.end);
		     i += READ_ONCE(job.step)) {
			volatile u64 *p = (u64 *)(READ_ONCE(job.gpa) + i * PAGE);

			if (READ_ONCE(job.write))
				*p = round;
			else
				*p;
		}
		GUEST_SYNC(round);
	}
}

static void touch(struct vcpu *vcpu, bool write, u64 first, u64 end, u64 step)
{
	*guest_ptr(vcpu->vm, job) = (struct job){ GPA, first, end, step, write };
	RUN_SYNC(vcpu);
}

FIXTURE(log) {
	struct vm *vm;
	struct vcpu *vcpu;
	u64 *mem;
	u64 bits[WORDS];
};

FIXTURE_SETUP(log)
{
	self->vm = vm_create();
	self->vcpu = vcpu_add(self->vm, work);
	self->mem = vm_add_memory(self->vm, 1, GPA, SIZE, 0);
}

FIXTURE_TEARDOWN(log)
{
}

#define SELF FIXTURE_DATA(log)

static int set_manual(struct vm *vm, u64 flags)
{
	return ioctl(vm->fd, KVM_ENABLE_CAP, &(struct kvm_enable_cap) {
			.cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, .args = { flags } });
}

static void log_on(SELF *self)
{
	if (vm_set_slot(self->vm, 1, GPA, SIZE, self->mem, KVM_MEM_LOG_DIRTY_PAGES))
		FAIL("no log: %s", __strerror(errno));
}

/* Gets the log into self->bits; how many pages it has. */
static int get_log(SELF *self)
{
	struct kvm_dirty_log log = { .slot = 1, .dirty_bitmap = self->bits };
	int n = 0;

	IOCTL(self->vm->fd, KVM_GET_DIRTY_LOG, &log);
	for (int i = 0; i < WORDS; i++)
		n += __builtin_popcountll(self->bits[i]);
	return n;
}

static int try_clear(SELF *self, u64 first, u32 pages, void *bits)
{
	return ioctl(self->vm->fd, KVM_CLEAR_DIRTY_LOG, &(struct kvm_clear_dirty_log) {
			.slot = 1, .first_page = first, .num_pages = pages, .dirty_bitmap = bits });
}

static void clear_log(SELF *self, u64 first, u32 pages)
{
	if (try_clear(self, first, pages, self->bits + first / 64))
		FAIL("KVM_CLEAR_DIRTY_LOG: %s", __strerror(errno));
}

static bool dirty(SELF *self, u64 page)
{
	return self->bits[page / 64] >> page % 64 & 1;
}

TEST_F(log, names_the_written_pages)
{
	touch(self->vcpu, true, 0, 20, 1);
	log_on(self);
	EXPECT_EQ(0, get_log(self));
	touch(self->vcpu, true, 3, PAGES, 5);
	touch(self->vcpu, true, 3, 10, 5);
	EXPECT_EQ((PAGES - 3 + 4) / 5, get_log(self));
	for (u64 i = 0; i < PAGES; i++)
		EXPECT_EQ(i % 5 == 3, dirty(self, i));
	EXPECT_EQ(0, get_log(self));
	/* The second write after a log is seen as the first was. */
	touch(self->vcpu, true, 8, 9, 1);
	EXPECT_EQ(1, get_log(self));
	EXPECT_TRUE(dirty(self, 8));
}

TEST_F(log, reads_are_no_writes)
{
	log_on(self);
	touch(self->vcpu, false, 0, PAGES, 1);
	EXPECT_EQ(0, get_log(self));
	/* What was read first is seen when it is written. */
	touch(self->vcpu, true, 0, PAGES, 1);
	EXPECT_EQ(PAGES, get_log(self));
	touch(self->vcpu, false, 0, PAGES, 1);
	EXPECT_EQ(0, get_log(self));
}

TEST_F(log, is_of_one_slot)
{
	struct vm *vm = self->vm;
	u64 gpa = GPA + 0x1000000;

	log_on(self);
	/* The same memory in another place */
	ASSERT_EQ(0, vm_set_slot(vm, 2, gpa, SIZE, self->mem, KVM_MEM_LOG_DIRTY_PAGES));
	*guest_ptr(vm, job) = (struct job){ gpa, 3, 4, 1, true };
	RUN_SYNC(self->vcpu);
	EXPECT_EQ(0, get_log(self));
	IOCTL(vm->fd, KVM_GET_DIRTY_LOG,
	      &((struct kvm_dirty_log) { .slot = 2, .dirty_bitmap = self->bits }));
	EXPECT_EQ(8, self->bits[0]);
	/* Without logging there is none. */
	ASSERT_EQ(0, vm_set_slot(vm, 1, GPA, SIZE, self->mem, 0));
	EXPECT_ERRNO(ENOENT, ioctl(vm->fd, KVM_GET_DIRTY_LOG,
				   &(struct kvm_dirty_log) { .slot = 1 }));
	EXPECT_ERRNO(ENOENT, try_clear(self, 0, 64, self->bits));
}

TEST_F(log, moves_with_its_slot)
{
	log_on(self);
	touch(self->vcpu, true, 0, 1, 1);
	ASSERT_EQ(0, vm_set_slot(self->vm, 1, GPA + PAGE, SIZE, self->mem,
				 KVM_MEM_LOG_DIRTY_PAGES));
	/* Address and number of a page are one apart now. */
	touch(self->vcpu, true, 6, 7, 1);
	EXPECT_EQ(2, get_log(self));
	EXPECT_TRUE(dirty(self, 0));
	EXPECT_TRUE(dirty(self, 5));
}

static void huge(SELF *self)
{
	madvise(self->mem, SIZE, MADV_HUGEPAGE);
	touch(self->vcpu, true, 0, PAGES, 1);
}

TEST_F(log, sees_small_pages_of_huge_ones)
{
	huge(self);
	log_on(self);
	get_log(self);
	touch(self->vcpu, true, 600, 602, 1);
	EXPECT_EQ(2, get_log(self));
	EXPECT_TRUE(dirty(self, 600));
	/* And again from the beginning. */
	ASSERT_EQ(0, vm_set_slot(self->vm, 1, GPA, SIZE, self->mem, 0));
	touch(self->vcpu, true, 0, PAGES, 1);
	log_on(self);
	touch(self->vcpu, true, 700, 701, 1);
	EXPECT_EQ(1, get_log(self));
	EXPECT_TRUE(dirty(self, 700));
}

/* The processor's own write: of the accessed bit, into the guest's page table. */
TEST_F(log, sees_writes_of_page_walks)
{
	u64 *pte = gpa_ptr(self->vm, pte_gpa(GPA_FREE)), bits[RAM_SIZE / PAGE / 64];
	struct kvm_dirty_log log = { .slot = 0, .dirty_bitmap = bits };
	struct vm *vm = self->vm;
	u64 page = pte_gpa(GPA_FREE) / PAGE;

	touch(self->vcpu, false, 0, 1, 1);
	ASSERT_EQ(0, vm_set_slot(vm, 0, 0, RAM_SIZE, vm->mem, KVM_MEM_LOG_DIRTY_PAGES));
	*guest_ptr(vm, job) = (struct job){ GPA_FREE, 0, 1, 1, false };
	IOCTL(vm->fd, KVM_GET_DIRTY_LOG, &log);
	*pte &= ~PTE_A;
	RUN_SYNC(self->vcpu);
	EXPECT_TRUE(*pte & PTE_A);
	IOCTL(vm->fd, KVM_GET_DIRTY_LOG, &log);
	EXPECT_TRUE(bits[page / 64] >> page % 64 & 1);
}

static void input_string(void)
{
	u64 to = GPA + 5 * PAGE - 2, n = 4;

	asm volatile("rep insb" : "+D"(to), "+c"(n) : "d"(0x20) : "memory");
	GUEST_DONE();
}

/* A write of the hypervisor for the guest */
TEST_F(log, sees_string_input)
{
	struct vcpu *vcpu = vcpu_add(self->vm, input_string);

	log_on(self);
	do {
		ASSERT_EQ(KVM_EXIT_IO, vcpu_run(vcpu));
	} while (!is_ucall(vcpu));
	EXPECT_EQ(2, get_log(self));
	EXPECT_TRUE(dirty(self, 4) && dirty(self, 5));
}

/* ---- KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 ---- */

TEST_F(log, manual_flags)
{
	struct vm *vm = self->vm;

	ASSERT_EQ(ALL_SET, has_cap(vm->dev, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2));
	EXPECT_ERRNO(EINVAL, set_manual(vm, KVM_DIRTY_LOG_INITIALLY_SET));
	EXPECT_ERRNO(EINVAL, set_manual(vm, 4));
	EXPECT_ERRNO(EINVAL, set_manual(vm, ALL_SET | 1ull << 32));
	EXPECT_ERRNO(EINVAL, ioctl(vm->fd, KVM_ENABLE_CAP, &(struct kvm_enable_cap) {
			.cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, .flags = 1, .args = { 1 } }));
	EXPECT_EQ(0, set_manual(vm, ALL_SET));
	EXPECT_EQ(0, set_manual(vm, MANUAL));
	EXPECT_EQ(0, set_manual(vm, 0));
}

TEST_F(log, manual_get_clears_nothing)
{
	ASSERT_EQ(0, set_manual(self->vm, MANUAL));
	log_on(self);
	EXPECT_EQ(0, get_log(self));
	touch(self->vcpu, true, 60, 70, 1);
	EXPECT_EQ(10, get_log(self));
	EXPECT_EQ(10, get_log(self));
	clear_log(self, 64, 64);
	EXPECT_EQ(4, get_log(self));
	EXPECT_TRUE(dirty(self, 63));
	touch(self->vcpu, true, 66, 67, 1);
	EXPECT_EQ(5, get_log(self));
	clear_log(self, 0, PAGES);
	EXPECT_EQ(0, get_log(self));
	touch(self->vcpu, true, 0, PAGES, 1);
	EXPECT_EQ(PAGES, get_log(self));
}

TEST_F(log, clear_takes_only_the_bits_that_are_given)
{
	u64 bits[WORDS] = { 1 << 5 | 1 << 9, [WORDS - 1] = ~0ull };

	ASSERT_EQ(0, set_manual(self->vm, MANUAL));
	log_on(self);
	touch(self->vcpu, true, 0, 8, 1);
	touch(self->vcpu, true, PAGES - 1, PAGES, 1);
	EXPECT_EQ(9, get_log(self));
	/* Bits of pages that are not dirty, or behind the slot's end, mean nothing. */
	EXPECT_EQ(0, try_clear(self, 0, PAGES, bits));
	EXPECT_EQ(7, get_log(self));
	EXPECT_EQ(0xdf, self->bits[0]);
	touch(self->vcpu, true, 5, 6, 1);
	EXPECT_EQ(8, get_log(self));
	EXPECT_EQ(0xff, self->bits[0]);
}

TEST_F(log, initially_all_is_dirty)
{
	ASSERT_EQ(0, set_manual(self->vm, ALL_SET));
	huge(self);
	log_on(self);
	EXPECT_EQ(PAGES, get_log(self));
	touch(self->vcpu, true, 0, 10, 1);
	/* The last word is not whole. */
	memset(self->bits, 0xff, sizeof(self->bits));
	clear_log(self, 0, 64);
	clear_log(self, PAGES / 64 * 64, PAGES % 64);
	EXPECT_EQ(PAGES / 64 * 64 - 64, get_log(self));
	touch(self->vcpu, true, 7, PAGES, PAGES - 8);
	EXPECT_EQ(PAGES / 64 * 64 - 62, get_log(self));
	EXPECT_TRUE(dirty(self, 7) && dirty(self, PAGES - 1));
	clear_log(self, 0, PAGES);
	EXPECT_EQ(0, get_log(self));
	touch(self->vcpu, true, 100, 101, 1);
	EXPECT_EQ(1, get_log(self));
}

TEST_F(log, clear_without_the_capability)
{
	log_on(self);
	touch(self->vcpu, true, 0, 2, 1);
	self->bits[0] = 1;
	clear_log(self, 0, 64);
	EXPECT_EQ(1, get_log(self));
	EXPECT_EQ(0, get_log(self));
}

static void let_go(int fd, void *page)
{
	struct uffdio_zeropage zero = { .range = { (u64)page, PAGE } };

	IOCTL(fd, UFFDIO_ZEROPAGE, &zero);
}

struct clearing {
	int vm;
	struct kvm_clear_dirty_log log;
};

static void *clear_all(void *arg)
{
	struct clearing *c = arg;

	IOCTL(c->vm, KVM_CLEAR_DIRTY_LOG, &c->log);
	return NULL;
}

/*
 * A huge page that goes because small ones are to be logged may still be in a
 * TLB. The host finds nothing mapped when it takes the memory away then, so the
 * flush has to come before it can: with the clear of the log not yet over.
 */
TEST_F(log, what_is_gone_is_flushed_before_the_host_may_take_it)
{
	u64 size = 256ul << 20, gpa = 1ul << 30, huge = 2ul << 20;
	u8 *area = mmap(NULL, size + huge, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	u8 *mem = (u8 *)(((u64)area + huge - 1) & -huge);
	u64 *bits = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			 -1, 0);
	struct clearing c = { self->vm->fd,
			      { .slot = 2, .num_pages = size / PAGE, .dirty_bitmap = bits } };
	struct pollfd pfd = { .events = POLLIN };
	struct stats stats;
	pthread_t thread;
	s64 before;

	ASSERT_NE(MAP_FAILED, area);
	ASSERT_NE(MAP_FAILED, bits);
	/* It counts no flush that nobody has to be interrupted for. */
	if (!is_minivirt())
		SKIP(return, "KVM counts other flushes");
	stats_open(&stats, self->vm->fd);
	if (madvise(mem, huge, MADV_HUGEPAGE))
		SKIP(return, "no transparent huge pages");
	if (set_manual(self->vm, ALL_SET))
		SKIP(return, "logs do not begin with all set");
	ASSERT_EQ(0, vm_set_slot(self->vm, 2, gpa, size, mem, 0));
	*guest_ptr(self->vm, job) = (struct job){ gpa, 0, 1, 1, true };
	RUN_SYNC(self->vcpu);
	ASSERT_EQ(0, vm_set_slot(self->vm, 2, gpa, size, mem, KVM_MEM_LOG_DIRTY_PAGES));

	bits[0] = 1;
	pfd.fd = missing_memory((u8 *)bits + PAGE, PAGE);
	before = stats_get(&stats, "remote_tlb_flush");
	ASSERT_EQ(0, pthread_create(&thread, NULL, clear_all, &c));
	ASSERT_EQ(1, poll(&pfd, 1, -1));
	ASSERT_EQ(0, madvise(mem, huge, MADV_DONTNEED));
	EXPECT_LT(before, stats_get(&stats, "remote_tlb_flush"));
	let_go(pfd.fd, (u8 *)bits + PAGE);
	pthread_join(thread, NULL);
	RUN_SYNC(self->vcpu);
	EXPECT_EQ(2, *(u64 *)mem);
}

TEST_F(log, bad_ranges_are_refused)
{
	u64 *bits = self->bits;
	struct kvm_clear_dirty_log clear = { .num_pages = 64, .dirty_bitmap = bits };

	ASSERT_EQ(0, set_manual(self->vm, MANUAL));
	EXPECT_ERRNO(ENOENT, try_clear(self, 0, 64, bits));
	log_on(self);
	EXPECT_ERRNO(EINVAL, try_clear(self, 1, 63, bits));
	EXPECT_ERRNO(EINVAL, try_clear(self, 0, 63, bits));
	EXPECT_ERRNO(EINVAL, try_clear(self, 0, PAGES + 1, bits));
	EXPECT_ERRNO(EINVAL, try_clear(self, 0, PAGES / 64 * 64 + 64, bits));
	EXPECT_ERRNO(EINVAL, try_clear(self, 64, PAGES - 63, bits));
	EXPECT_ERRNO(EINVAL, try_clear(self, PAGES / 64 * 64 + 64, 0, bits));
	EXPECT_ERRNO(EINVAL, try_clear(self, 1ull << 63, 64, bits));
	EXPECT_ERRNO(EINVAL, try_clear(self, -64ull, 64, bits));
	EXPECT_EQ(0, try_clear(self, 64, 0, bits));
	EXPECT_EQ(0, try_clear(self, PAGES / 64 * 64, PAGES % 64, bits));
	EXPECT_ERRNO(EFAULT, try_clear(self, 0, 64, (void *)1));
	EXPECT_ERRNO(EFAULT, ioctl(self->vm->fd, KVM_CLEAR_DIRTY_LOG, 1));
	EXPECT_ERRNO(EFAULT, ioctl(self->vm->fd, KVM_GET_DIRTY_LOG, &(struct kvm_dirty_log) {
			.slot = 1, .dirty_bitmap = (void *)1 }));
	clear.slot = 0x20001;
	EXPECT_ERRNO(EINVAL, ioctl(self->vm->fd, KVM_CLEAR_DIRTY_LOG, &clear));
	clear.slot = 7;
	EXPECT_ERRNO(ENOENT, ioctl(self->vm->fd, KVM_CLEAR_DIRTY_LOG, &clear));
}

/* ---- while vCPUs write ---- */

#define NR 2
#define TIMEOUT 120 /* seconds, for emulated machines */

/* Each counts in its own half of the pages, which only grows. */
static void count(u64 id)
{
	u64 n = 0;

	sti();
	for (u64 round = 1; !READ_ONCE(job.end); round++)
		for (u64 i = id; i < PAGES; i += NR)
			*(volatile u64 *)(GPA + i * PAGE) = ++n;
	GUEST_DONE();
}

static void *run(void *arg)
{
	RUN_DONE((struct vcpu *)arg);
	return NULL;
}

/* What the copy of a migration has: pages are copied when the log has them. */
static void copy_by_log(SELF *self, u64 *copy, bool manual)
{
	get_log(self);
	if (manual)
		clear_log(self, 0, PAGES);
	for (u64 i = 0; i < PAGES; i++)
		if (dirty(self, i))
			copy[i] = READ_ONCE(self->mem[i * 512]);
}

static void migrate(struct __test_metadata *_metadata, SELF *self, u64 flags)
{
	static u64 copy[PAGES];
	pthread_t threads[NR];

	ASSERT_EQ(0, set_manual(self->vm, flags));
	for (u64 i = 0; i < NR; i++) {
		struct vcpu *vcpu = vcpu_add(self->vm, count);

		vcpu_set_args(vcpu, i, 0);
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, run, vcpu));
	}
	usleep(2000);
	log_on(self);
	for (u64 i = 0; i < PAGES; i++)
		copy[i] = READ_ONCE(self->mem[i * 512]);
	for (int round = 0; round < 6; round++) {
		copy_by_log(self, copy, flags);
		usleep(100);
	}
	guest_ptr(self->vm, job)->end = 1;
	for (u64 i = 0; i < NR; i++)
		ASSERT_EQ(0, pthread_join(threads[i], NULL));
	copy_by_log(self, copy, flags);
	for (u64 i = 0; i < PAGES; i++)
		ASSERT_EQ(self->mem[i * 512], copy[i]);
	/* Nothing runs: nothing is written. */
	EXPECT_EQ(0, get_log(self));
}

TEST_F_TIMEOUT(log, is_enough_for_a_copy, TIMEOUT)
{
	migrate(_metadata, self, 0);
}

TEST_F_TIMEOUT(log, is_enough_for_a_copy_when_cleared_by_hand, TIMEOUT)
{
	migrate(_metadata, self, MANUAL);
}

TEST_F_TIMEOUT(log, is_enough_for_a_copy_when_all_is_dirty_at_first, TIMEOUT)
{
	migrate(_metadata, self, ALL_SET);
}

TEST_MAIN
