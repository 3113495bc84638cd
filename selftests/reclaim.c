// SPDX-License-Identifier: GPL-2.0-only
/*
 * The host goes on with its memory as it likes while guests use it: huge pages,
 * reclaim, merging, protection, fork.  The guest sees its data, nothing else.
 */
#include <fcntl.h>
#include <pthread.h>
#include "test.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

#define GPA 0x40000000ul
#define HUGE_SIZE 0x200000ul
#define SIZE (2 * HUGE_SIZE)
#define PAGES (SIZE / 0x1000)

static u64 *const pages = (u64 *)GPA;

static u64 stamp(u64 page, u64 round)
{
	return page * 0x100000001b3 + round;
}

/* Round 0 reads zeroes; each round reads what the one before wrote, writes its own. */
static void check_and_stamp(void)
{
	for (u64 round = 1;; round++) {
		for (u64 i = 0; i < PAGES; i++) {
			u64 old = round == 1 ? 0 : stamp(i, round - 1);

			GUEST_ASSERT_EQ(READ_ONCE(pages[i * 512]), old);
			WRITE_ONCE(pages[i * 512], stamp(i, round));
		}
		GUEST_SYNC(round);
	}
}

FIXTURE(mem) {
	struct vm *vm;
	struct vcpu *vcpu;
	u64 *mem; /* SIZE bytes, aligned to huge pages, at GPA */
};

FIXTURE_SETUP(mem)
{
	u8 *p = mmap(NULL, SIZE + HUGE_SIZE, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, (void *)p);
	self->mem = (u64 *)(((u64)p + HUGE_SIZE - 1) & ~(HUGE_SIZE - 1));
	self->vm = vm_create();
	self->vcpu = vcpu_add(self->vm, check_and_stamp);
	ASSERT_EQ(0, vm_set_slot(self->vm, 1, GPA, SIZE, self->mem, 0));
}

FIXTURE_TEARDOWN(mem)
{
}

static void expect_host_sees(struct __test_metadata *_metadata, u64 *mem, u64 round)
{
	u64 wrong = 0;

	for (u64 i = 0; i < PAGES; i++)
		wrong += mem[i * 512] != stamp(i, round);
	EXPECT_EQ(0, wrong);
}

TEST_F(mem, huge_pages)
{
	madvise(self->mem, SIZE, MADV_HUGEPAGE);
	memset(self->mem, 0, SIZE);
	EXPECT_EQ(1, RUN_SYNC(self->vcpu));
	expect_host_sees(_metadata, self->mem, 1);
	/* Split under the guest by taking one small page out. */
	ASSERT_EQ(0, madvise((u8 *)self->mem + 0x5000, 0x1000, MADV_DONTNEED));
	EXPECT_EQ(0, self->mem[5 * 512]);
	self->mem[5 * 512] = stamp(5, 1);
	EXPECT_EQ(2, RUN_SYNC(self->vcpu));
	EXPECT_EQ(3, RUN_SYNC(self->vcpu));
	expect_host_sees(_metadata, self->mem, 3);
}

TEST_F(mem, small_pages_that_become_huge)
{
	madvise(self->mem, SIZE, MADV_NOHUGEPAGE);
	EXPECT_EQ(1, RUN_SYNC(self->vcpu));
	madvise(self->mem, SIZE, MADV_HUGEPAGE);
	if (madvise(self->mem, SIZE, MADV_COLLAPSE))
		SKIP(return, "MADV_COLLAPSE: %s", strerror(errno));
	EXPECT_EQ(2, RUN_SYNC(self->vcpu));
	expect_host_sees(_metadata, self->mem, 2);
}

/* The slot begins 4 KiB into a huge page of the guest: no huge mapping can be right. */
TEST_F(mem, huge_pages_that_do_not_line_up)
{
	struct vm *vm = self->vm;

	madvise(self->mem, SIZE, MADV_HUGEPAGE);
	memset(self->mem, 0, SIZE);
	ASSERT_EQ(0, vm_set_slot(vm, 1, 0, 0, NULL, 0));
	ASSERT_EQ(0, vm_set_slot(vm, 1, GPA, SIZE - 0x1000, (u8 *)self->mem + 0x1000, 0));
	vm_add_memory(vm, 2, GPA + SIZE - 0x1000, 0x1000, 0);
	EXPECT_EQ(1, RUN_SYNC(self->vcpu));
	EXPECT_EQ(0, self->mem[0]);
	EXPECT_EQ(stamp(0, 1), self->mem[512]);
	EXPECT_EQ(stamp(PAGES - 2, 1), self->mem[(PAGES - 1) * 512]);
	EXPECT_EQ(2, RUN_SYNC(self->vcpu));
}

TEST_F(mem, pages_thrown_away_are_zero_again)
{
	EXPECT_EQ(1, RUN_SYNC(self->vcpu));
	ASSERT_EQ(0, madvise(self->mem, SIZE, MADV_DONTNEED));
	for (u64 i = 0; i < PAGES; i++)
		self->mem[i * 512] = stamp(i, 1);
	EXPECT_EQ(2, RUN_SYNC(self->vcpu));
	expect_host_sees(_metadata, self->mem, 2);
}

/* The same of a mapping as a whole. */
TEST_F(mem, another_mapping_in_its_place)
{
	u64 *other;

	EXPECT_EQ(1, RUN_SYNC(self->vcpu));
	other = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (u64 i = 0; i < PAGES; i++)
		other[i * 512] = stamp(i, 1);
	ASSERT_EQ(self->mem, mremap(other, SIZE, SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, self->mem));
	EXPECT_EQ(2, RUN_SYNC(self->vcpu));
	expect_host_sees(_metadata, self->mem, 2);
	/* And away: there is nothing for the guest now. */
	ASSERT_NE(MAP_FAILED, mremap(self->mem, SIZE, SIZE, MREMAP_MAYMOVE | MREMAP_FIXED,
				     mmap(NULL, SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
					  0)));
	EXPECT_ERRNO(EFAULT, ioctl(self->vcpu->fd, KVM_RUN, 0));
}

TEST_F(mem, protection)
{
	EXPECT_EQ(1, RUN_SYNC(self->vcpu));
	ASSERT_EQ(0, mprotect(self->mem, SIZE, PROT_READ));
	/* The guest's write has no place to go. */
	EXPECT_ERRNO(EFAULT, ioctl(self->vcpu->fd, KVM_RUN, 0));
	expect_host_sees(_metadata, self->mem, 1);
	ASSERT_EQ(0, mprotect(self->mem, SIZE, PROT_NONE));
	EXPECT_ERRNO(EFAULT, ioctl(self->vcpu->fd, KVM_RUN, 0));
	ASSERT_EQ(0, mprotect(self->mem, SIZE, PROT_READ | PROT_WRITE));
	EXPECT_EQ(2, RUN_SYNC(self->vcpu));
}

TEST_F(mem, fork_shares_until_someone_writes)
{
	int down[2], up[2], status;
	char c = 0;
	pid_t pid;

	EXPECT_EQ(1, RUN_SYNC(self->vcpu));
	ASSERT_EQ(0, pipe(down));
	ASSERT_EQ(0, pipe(up));
	pid = fork();
	if (!pid) {
		u64 wrong = 0;

		/* After the guest has written, the child's memory is as it was. */
		if (read(down[0], &c, 1) != 1)
			_exit(2);
		for (u64 i = 0; i < PAGES; i++)
			wrong += self->mem[i * 512] != stamp(i, 1);
		memset(self->mem, 0xff, SIZE);
		_exit(wrong != 0);
	}
	EXPECT_EQ(2, RUN_SYNC(self->vcpu));
	ASSERT_EQ(1, write(down[1], &c, 1));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	expect_host_sees(_metadata, self->mem, 2);
	EXPECT_EQ(3, RUN_SYNC(self->vcpu));
}

TEST_F(mem, paged_out)
{
	u8 resident[PAGES];
	u64 out = 0;

	madvise(self->mem, SIZE, MADV_NOHUGEPAGE);
	EXPECT_EQ(1, RUN_SYNC(self->vcpu));
	/* The first time may only begin to write them. */
	for (int tries = 0; tries < 10 && !out; tries++) {
		ASSERT_EQ(0, madvise(self->mem, SIZE, MADV_PAGEOUT));
		ASSERT_EQ(0, mincore(self->mem, SIZE, resident));
		for (u64 i = 0; i < PAGES; i++)
			out += !(resident[i] & 1);
	}
	EXPECT_EQ(2, RUN_SYNC(self->vcpu));
	expect_host_sees(_metadata, self->mem, 2);
	/* Without swap space, nothing can go out. */
	if (!out)
		SKIP(return, "no page went out");
}

static bool write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	close(fd);
	return ok;
}

static long read_number(const char *path)
{
	char text[32] = "";
	int fd = open(path, O_RDONLY);
	ssize_t n = read(fd, text, sizeof(text) - 1);

	close(fd);
	return n > 0 ? atol(text) : -1;
}

static void read_only_rounds(void)
{
	for (u64 i = 0; i < 16; i++)
		GUEST_ASSERT_EQ(READ_ONCE(pages[i * 512]), 0x5555555555555555);
	GUEST_SYNC(1);
	for (u64 i = 0; i < 16; i++)
		GUEST_ASSERT_EQ(READ_ONCE(pages[i * 512]), 0x5555555555555555);
	WRITE_ONCE(pages[3 * 512], 3);
	GUEST_SYNC(2);
	for (u64 i = 0; i < 16; i++)
		GUEST_ASSERT_EQ(READ_ONCE(pages[i * 512]), i == 3 ? 3 : 0x5555555555555555);
	GUEST_SYNC(3);
}

#define KSM "/sys/kernel/mm/ksm/"

TEST_F(mem, merged_pages_are_copied_before_a_write)
{
	struct vcpu *vcpu = vcpu_add(self->vm, read_only_rounds);
	long scans;

	madvise(self->mem, SIZE, MADV_NOHUGEPAGE);
	memset(self->mem, 0x55, 16 * 0x1000);
	if (madvise(self->mem, 16 * 0x1000, MADV_MERGEABLE) ||
	    !write_file(KSM "sleep_millisecs", "1") || !write_file(KSM "pages_to_scan", "1000") ||
	    !write_file(KSM "run", "1"))
		SKIP(return, "no KSM");
	EXPECT_EQ(1, RUN_SYNC(vcpu));
	/* Two scans see that a page does not change; the next one merges it. */
	scans = read_number(KSM "full_scans");
	while (read_number(KSM "full_scans") < scans + 4)
		usleep(2000);
	EXPECT_LT(0, read_number(KSM "pages_sharing"));
	EXPECT_EQ(2, RUN_SYNC(vcpu));
	EXPECT_EQ(3, self->mem[3 * 512]);
	EXPECT_EQ(0x5555555555555555, self->mem[2 * 512]);
	EXPECT_EQ(3, RUN_SYNC(vcpu));
	write_file(KSM "run", "2"); /* unmerge all */
}

/* The last: other threads do all this while the guest runs. */
struct churn {
	u64 *mem;
	volatile bool stop;
	u64 rounds;
};

static void *churn(void *arg)
{
	struct churn *c = arg;

	for (; !c->stop; c->rounds++) {
		u8 *p = (u8 *)c->mem + HUGE_SIZE;

		/* The guest's half is only moved about, never changed. */
		madvise(c->mem, HUGE_SIZE, MADV_PAGEOUT);
		mprotect(c->mem, HUGE_SIZE, PROT_READ);
		mprotect(c->mem, HUGE_SIZE, PROT_READ | PROT_WRITE);
		madvise(p, HUGE_SIZE, MADV_DONTNEED);
		p[0x3000] = 1;
		madvise(c->mem, HUGE_SIZE, c->rounds & 1 ? MADV_COLD : MADV_HUGEPAGE);
		usleep(500);
	}
	return NULL;
}

static void count_in_memory(void)
{
	for (u64 n = 1;; n++) {
		for (u64 i = 0; i < PAGES / 2; i += 8) {
			GUEST_ASSERT_EQ(READ_ONCE(pages[i * 512 + 1]), n - 1);
			WRITE_ONCE(pages[i * 512 + 1], n);
			READ_ONCE(pages[(PAGES / 2 + i) * 512]);
		}
		GUEST_SYNC(n);
	}
}

TEST_F(mem, all_at_once_under_a_running_guest)
{
	struct vcpu *vcpu = vcpu_add(self->vm, count_in_memory);
	struct churn c = { .mem = self->mem };
	pthread_t thread;
	u64 n = 0;

	ASSERT_EQ(0, pthread_create(&thread, NULL, churn, &c));
	while (*(volatile u64 *)&c.rounds < 50) {
		int ret = ioctl(vcpu->fd, KVM_RUN, 0);

		/* A write that fell into the read-only moment is tried again. */
		if (ret && errno == EFAULT)
			continue;
		ASSERT_EQ(0, ret);
		ASSERT_TRUE(is_ucall(vcpu));
		ASSERT_EQ(UCALL_SYNC, vcpu_regs(vcpu).rdi);
		ASSERT_EQ(++n, vcpu_regs(vcpu).rsi);
	}
	c.stop = true;
	pthread_join(thread, NULL);
	EXPECT_EQ(n + 1, RUN_SYNC(vcpu));
}

TEST_MAIN
