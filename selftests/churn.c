// SPDX-License-Identifier: GPL-2.0-only
/*
 * What reclaim.c tests step by step, under vCPUs that never stop: whatever the
 * host does to the memory, swapping, merging, moving, protecting, each page
 * keeps what was last written, and what is thrown away is gone at once.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sys/wait.h>
#include "test.h"

#define GPA 0x10000000ul
#define PAGE 0x1000ul
#define HUGE 0x200000ul
#define NR_VCPUS 2
#define SHARE HUGE /* of the memory that one vCPU counts in, every 16th page */
#define STEP (16 * PAGE)
#define MREMAP_FLAGS (MREMAP_MAYMOVE | MREMAP_FIXED)
#define SIZE (NR_VCPUS * SHARE)
#define ROUNDS 8

static bool stop;
static u64 dwell; /* TSC ticks from one page to the next */

/* Counts in the pages of a vCPU's share, and looks whether the counts are right. */
static void count(u64 base)
{
	u64 pass = 0, page, next;

	do {
		for (page = base; page < base + SHARE; page += STEP) {
			GUEST_ASSERT_EQ(READ_ONCE(*(u64 *)page), pass);
			WRITE_ONCE(*(u64 *)page, pass + 1);
			next = rdtsc() + READ_ONCE(dwell);
			do
				cpu_relax();
			while (rdtsc() < next);
		}
		pass++;
	} while (!READ_ONCE(stop));
	GUEST_SYNC(pass);
	GUEST_DONE();
}

/* Returns when the value is another. */
static void wait_for_change(u64 addr, u64 val)
{
	while (READ_ONCE(*(u64 *)addr) == val)
		cpu_relax();
	GUEST_SYNC(READ_ONCE(*(u64 *)addr));
	GUEST_DONE();
}

struct runner {
	struct vcpu *vcpu;
	pthread_t thread;
	u64 passes;
	int faults;
};

/* Runs to the first ucall; the host may take the memory away for a while. */
static void *run_guest(void *arg)
{
	struct runner *r = arg;

	while (ioctl(r->vcpu->fd, KVM_RUN, 0)) {
		if (errno != EFAULT)
			FAIL("KVM_RUN: %s", __strerror(errno));
		r->faults++;
	}
	if (!is_ucall(r->vcpu) || vcpu_regs(r->vcpu).rdi != UCALL_SYNC)
		FAIL("%s at %#llx: a page had %#llx instead of %#llx",
		     exit_name(r->vcpu->run->exit_reason), vcpu_regs(r->vcpu).rip,
		     vcpu_regs(r->vcpu).rcx, vcpu_regs(r->vcpu).r8);
	r->passes = vcpu_regs(r->vcpu).rsi;
	return NULL;
}

FIXTURE(churn) {
	struct vm *vm;
	u8 *mem;
	struct runner runners[NR_VCPUS];
};

/* Memory in which huge pages fit, as in the slot. */
FIXTURE_SETUP(churn)
{
	u8 *area = mmap(NULL, SIZE + HUGE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, area);
	self->mem = (u8 *)(((u64)area + HUGE - 1) & ~(HUGE - 1));
	madvise(self->mem, SIZE, MADV_NOHUGEPAGE);
	self->vm = vm_create();
	ASSERT_EQ(0, vm_set_slot(self->vm, 1, GPA, SIZE, self->mem, 0));
	for (int i = 0; i < NR_VCPUS; i++) {
		self->runners[i].vcpu = vcpu_add(self->vm, (void (*)(void))count);
		vcpu_set_args(self->runners[i].vcpu, GPA + i * SHARE, 0);
	}
}

FIXTURE_TEARDOWN(churn)
{
}

#define SELF FIXTURE_DATA(churn)

static void start(SELF *self)
{
	for (int i = 0; i < NR_VCPUS; i++)
		if (pthread_create(&self->runners[i].thread, NULL, run_guest, &self->runners[i]))
			FAIL("no thread");
}

/* Ends the guests; every page has its vCPU's count. */
static void finish(SELF *self)
{
	*guest_ptr(self->vm, stop) = true;
	for (int i = 0; i < NR_VCPUS; i++) {
		struct runner *r = &self->runners[i];

		pthread_join(r->thread, NULL);
		for (u64 at = 0; at < SHARE; at += STEP) {
			u64 val = *(u64 *)(self->mem + i * SHARE + at);

			if (val != r->passes)
				FAIL("vCPU %d page %#llx: %llu instead of %llu", i,
				     (unsigned long long)at, (unsigned long long)val,
				     (unsigned long long)r->passes);
		}
	}
}

static int faults(SELF *self)
{
	int sum = 0;

	for (int i = 0; i < NR_VCPUS; i++)
		sum += self->runners[i].faults;
	return sum;
}

/* A number from a line of a file of /proc or /sys; 0 if there is none. */
static long number(const char *path, const char *key)
{
	char line[256];
	long val = 0;
	FILE *f = fopen(path, "r");

	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f)) {
		if (!strncmp(line, key, strlen(key))) {
			val = atol(line + strlen(key));
			break;
		}
	}
	fclose(f);
	return val;
}

static bool set_number(const char *path, const char *val)
{
	int fd = open(path, O_WRONLY);
	bool done = fd >= 0 && write(fd, val, strlen(val)) > 0;

	if (fd >= 0)
		close(fd);
	return done;
}

TEST_F(churn, swapped_out)
{
	long most = 0, now;

	if (!number("/proc/meminfo", "SwapTotal:"))
		SKIP(return, "no swap space");
	/*
	 * The host keeps what is in use: the first of two calls clears the accessed bits,
	 * the second takes the pages that no guest has come back to meanwhile.
	 */
	*guest_ptr(self->vm, dwell) = 50000;
	start(self);
	for (int i = 0; i < ROUNDS; i++) {
		ASSERT_EQ(0, madvise(self->mem, SIZE, MADV_PAGEOUT));
		ASSERT_EQ(0, madvise(self->mem, SIZE, MADV_PAGEOUT));
		now = number("/proc/self/status", "VmSwap:");
		most = now > most ? now : most;
		usleep(5000);
	}
	finish(self);
	EXPECT_GT(most, 0);
}

TEST_F(churn, merged_with_equal_pages)
{
	if (!set_number("/sys/kernel/mm/ksm/run", "1"))
		SKIP(return, "no KSM");
	set_number("/sys/kernel/mm/ksm/pages_to_scan", "10000");
	set_number("/sys/kernel/mm/ksm/sleep_millisecs", "1");
	ASSERT_EQ(0, madvise(self->mem, SIZE, MADV_MERGEABLE));
	start(self);
	usleep(500000);
	finish(self);
	set_number("/sys/kernel/mm/ksm/run", "2");
	set_number("/sys/kernel/mm/ksm/run", "0");
}

/* Pages that are merged already, read by the guest and then written. */
TEST_F(churn, merged_before_it_runs)
{
	long merged = 0;

	if (!set_number("/sys/kernel/mm/ksm/run", "1"))
		SKIP(return, "no KSM");
	set_number("/sys/kernel/mm/ksm/pages_to_scan", "10000");
	set_number("/sys/kernel/mm/ksm/sleep_millisecs", "1");
	for (u64 at = 0; at < SIZE; at += PAGE)
		self->mem[at + 8] = 1;
	ASSERT_EQ(0, madvise(self->mem, SIZE, MADV_MERGEABLE));
	for (int i = 0; i < 100 && merged < 100; i++) {
		usleep(50000);
		merged = number("/sys/kernel/mm/ksm/pages_sharing", "");
	}
	EXPECT_GE(merged, 100);
	start(self);
	usleep(200000);
	finish(self);
	for (u64 at = 0; at < SIZE; at += PAGE)
		ASSERT_EQ(1, self->mem[at + 8]);
	set_number("/sys/kernel/mm/ksm/run", "2");
	set_number("/sys/kernel/mm/ksm/run", "0");
}

#define KHUGEPAGED "/sys/kernel/mm/transparent_hugepage/khugepaged/"

TEST_F(churn, huge_pages_come_and_go)
{
	long most = 0, now;

	if (!set_number(KHUGEPAGED "scan_sleep_millisecs", "0"))
		SKIP(return, "no transparent huge pages");
	set_number(KHUGEPAGED "pages_to_scan", "10000");
	start(self);
	for (int i = 0; i < ROUNDS; i++) {
		madvise(self->mem, SIZE, MADV_HUGEPAGE);
		for (int tries = 0; tries < 20; tries++) {
			now = number("/proc/self/smaps_rollup", "AnonHugePages:");
			most = now > most ? now : most;
			if (now)
				break;
			usleep(5000);
		}
		ASSERT_EQ(0, madvise(self->mem, SIZE, MADV_NOHUGEPAGE));
		/* Splits the first one in the host. */
		ASSERT_EQ(0, mprotect(self->mem + PAGE, PAGE, PROT_READ));
		ASSERT_EQ(0, mprotect(self->mem + PAGE, PAGE, PROT_READ | PROT_WRITE));
	}
	finish(self);
	EXPECT_GT(most, 0);
}

TEST_F(churn, huge_from_the_beginning)
{
	if (access(KHUGEPAGED, F_OK))
		SKIP(return, "no transparent huge pages");
	ASSERT_EQ(0, madvise(self->mem, SIZE, MADV_HUGEPAGE));
	memset(self->mem + 8, 0xff, 1);
	start(self);
	usleep(100000);
	/* Another page in a part of a huge one. */
	for (int i = 0; i < ROUNDS; i++) {
		ASSERT_EQ(0, madvise(self->mem + SHARE / 2, PAGE, MADV_COLD));
		usleep(1000);
	}
	finish(self);
}

/* The guest's writes break copy-on-write: a child keeps what was there at its fork(). */
TEST_F(churn, copied_on_write_after_fork)
{
	start(self);
	for (int i = 0; i < ROUNDS; i++) {
		int status;
		pid_t pid = fork();

		ASSERT_GE(pid, 0);
		if (!pid) {
			u64 sum[2] = {};

			for (int look = 0; look < 2; look++) {
				for (u64 at = 0; at < SIZE; at += PAGE)
					sum[look] += *(u64 *)(self->mem + at);
				usleep(3000);
			}
			_exit(sum[0] != sum[1]);
		}
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		EXPECT_EQ(0, status);
	}
	finish(self);
}

TEST_F(churn, write_protected_memory_is_a_fault_of_the_host)
{
	start(self);
	for (int i = 0; i < ROUNDS; i++) {
		u64 before, after;

		ASSERT_EQ(0, mprotect(self->mem, SIZE, PROT_READ));
		before = *(u64 *)(self->mem + SHARE - STEP);
		usleep(2000);
		after = *(u64 *)(self->mem + SHARE - STEP);
		EXPECT_EQ(before, after);
		ASSERT_EQ(0, mprotect(self->mem, SIZE, PROT_READ | PROT_WRITE));
		usleep(2000);
	}
	finish(self);
	EXPECT_GT(faults(self), 0);
}

TEST_F(churn, moved_away_and_back)
{
	u8 *other = mmap(NULL, SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, other);
	start(self);
	for (int i = 0; i < ROUNDS; i++) {
		ASSERT_EQ(other, mremap(self->mem, SIZE, SIZE, MREMAP_FLAGS, other));
		usleep(1000);
		ASSERT_EQ(self->mem, mremap(other, SIZE, SIZE, MREMAP_FLAGS, self->mem));
		usleep(1000);
	}
	finish(self);
}

TEST_F(churn, compacted)
{
	if (!set_number("/proc/sys/vm/compact_memory", "1"))
		SKIP(return, "no compaction");
	start(self);
	for (int i = 0; i < ROUNDS; i++) {
		set_number("/proc/sys/vm/compact_memory", "1");
		usleep(2000);
	}
	finish(self);
}

/* Every page that changed between two logs is in the second one. */
TEST_F(churn, dirty_log_misses_nothing)
{
	static u64 bitmap[SIZE / PAGE / 64], seen[SIZE / PAGE];
	struct kvm_dirty_log log = { .slot = 1, .dirty_bitmap = bitmap };

	start(self);
	for (int i = 0; i < ROUNDS; i++) {
		if (i % 4 == 0)
			ASSERT_EQ(0, vm_set_slot(self->vm, 1, GPA, SIZE, self->mem,
						 KVM_MEM_LOG_DIRTY_PAGES));
		if (i % 4 == 3) {
			ASSERT_EQ(0, vm_set_slot(self->vm, 1, GPA, SIZE, self->mem, 0));
			continue;
		}
		IOCTL(self->vm->fd, KVM_GET_DIRTY_LOG, &log);
		/* A page that the log does not name has not changed since the last round. */
		for (u64 n = 0; n < SIZE / PAGE; n++)
			seen[n] = *(u64 *)(self->mem + n * PAGE);
		usleep(2000);
		IOCTL(self->vm->fd, KVM_GET_DIRTY_LOG, &log);
		for (u64 n = 0; n < SIZE / PAGE; n++) {
			u64 val = *(u64 *)(self->mem + n * PAGE);

			/* Written after the second log, then the third has it. */
			if (val == seen[n] || (bitmap[n / 64] >> n % 64 & 1))
				continue;
			IOCTL(self->vm->fd, KVM_GET_DIRTY_LOG, &log);
			ASSERT_TRUE(bitmap[n / 64] >> n % 64 & 1);
			break;
		}
	}
	finish(self);
}

/* ---- memory that the process gives away: the guest sees the new at once ---- */

FIXTURE(discard) {
	struct vm *vm;
	u8 *mem;
	struct runner runner;
};

FIXTURE_SETUP(discard)
{
	self->vm = vm_create();
	self->mem = vm_add_memory(self->vm, 1, GPA, SIZE, 0);
	self->runner.vcpu = vcpu_add(self->vm, (void (*)(void))wait_for_change);
	vcpu_set_args(self->runner.vcpu, GPA, 1);
	*(u64 *)self->mem = 1;
	ASSERT_EQ(0, pthread_create(&self->runner.thread, NULL, run_guest, &self->runner));
	usleep(50000);
}

FIXTURE_TEARDOWN(discard)
{
}

TEST_F(discard, discarded_memory_is_zero)
{
	ASSERT_EQ(0, madvise(self->mem, PAGE, MADV_DONTNEED));
	pthread_join(self->runner.thread, NULL);
	EXPECT_EQ(0, self->runner.passes);
}

TEST_F(discard, new_mapping_in_the_same_place)
{
	u64 *other = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, other);
	*other = 7;
	ASSERT_EQ(self->mem, mremap(other, PAGE, PAGE, MREMAP_FLAGS, self->mem));
	pthread_join(self->runner.thread, NULL);
	EXPECT_EQ(7, self->runner.passes);
}

TEST_MAIN
