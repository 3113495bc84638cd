// SPDX-License-Identifier: GPL-2.0-only
/* The second stage: faults, dirty logging, and what the host's own changes cost. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "guests.h"

#define PAGE 4096ul
#define HUGE (2ul << 20)
#define BATCH 40
#define REPEAT 31
#define ROUND 1000 /* pages */
#define ROUNDS 11
#define STORM_PAGES 256 /* by each vCPU */

/* RBP pages from RBX on, RDX bytes apart. */
GUEST64(touch, LOOP("movb $1, (%rbx)\n add %rdx, %rbx"));

static void start_touch(struct vm *vm, u64 page, u64 count, u64 size)
{
	struct kvm_regs regs = { .rbx = MEM_GPA + page * size, .rdx = size };

	vcpu_start(vm, 0, &regs, count);
}

static void touch_pages(struct vm *vm, u64 page, u64 count, u64 size)
{
	start_touch(vm, page, count, size);
	vcpu_run_done(&vm->vcpus[0]);
}

static u64 time_touch(struct vm *vm, u64 page, u64 count, u64 size)
{
	u64 start;

	start_touch(vm, page, count, size);
	start = ticks();
	vcpu_run_done(&vm->vcpus[0]);
	return ticks() - start;
}

/* Each batch touches pages that none has touched before. */
static double fault(u64 size, u64 batch, int repeat, int advice)
{
	struct vm *vm = vm_new(0, 1);
	u64 shorter[REPEAT], longer[REPEAT], page = 0;

	vm_add_mem(vm, 3 * batch * repeat * size, 0, advice);
	vcpu_load(vm, 0, &touch);
	for (int i = 0; i < repeat; i++) {
		shorter[i] = time_touch(vm, page, batch, size);
		page += batch;
		longer[i] = time_touch(vm, page, 2 * batch, size);
		page += 2 * batch;
	}
	vm_free(vm);
	return (double)(s64)(median(longer, repeat) - median(shorter, repeat)) / batch;
}

static double fault_4k(const struct row *row)
{
	return fault(PAGE, BATCH, REPEAT, MADV_NOHUGEPAGE);
}

static double fault_2m(const struct row *row)
{
	return fault(HUGE, 4, 11, MADV_HUGEPAGE);
}

/* Four vCPUs at once; on one host CPU they take turns. */
static void *storm_thread(void *arg)
{
	vcpu_run_done(arg);
	return NULL;
}

static double fault_storm(const struct row *row)
{
	u64 samples[ROUNDS], start;

	for (int r = 0; r < ROUNDS; r++) {
		struct vm *vm = vm_new(0, MAX_VCPUS);
		pthread_t threads[MAX_VCPUS];

		vm_add_mem(vm, MAX_VCPUS * STORM_PAGES * PAGE, 0, MADV_NOHUGEPAGE);
		for (int i = 0; i < MAX_VCPUS; i++) {
			struct kvm_regs regs = {
				.rbx = MEM_GPA + i * STORM_PAGES * PAGE,
				.rdx = PAGE,
			};

			vcpu_load(vm, i, &touch);
			vcpu_start(vm, i, &regs, STORM_PAGES);
		}
		start = ticks();
		for (int i = 0; i < MAX_VCPUS; i++)
			pthread_create(&threads[i], NULL, storm_thread, &vm->vcpus[i]);
		for (int i = 0; i < MAX_VCPUS; i++)
			pthread_join(threads[i], NULL);
		samples[r] = ticks() - start;
		vm_free(vm);
	}
	return (double)median(samples, ROUNDS) / (MAX_VCPUS * STORM_PAGES);
}

/* A round of what live migration does: the guest writes, the log is fetched and cleared. */
static double dirty_log(const struct row *row)
{
	struct vm *vm = vm_new(0, 1);
	u64 samples[ROUNDS], start;
	struct kvm_dirty_log log = {
		.slot = 1,
		.dirty_bitmap = calloc(1, ROUND / 8 + 8),
	};

	vm_add_mem(vm, ROUND * PAGE, KVM_MEM_LOG_DIRTY_PAGES, MADV_NOHUGEPAGE);
	vcpu_load(vm, 0, &touch);
	for (int i = -1; i < ROUNDS; i++) {
		start = ticks();
		touch_pages(vm, 0, ROUND, PAGE);
		IOCTL(vm->fd, KVM_GET_DIRTY_LOG, &log);
		if (i >= 0)
			samples[i] = ticks() - start;
	}
	vm_free(vm);
	free(log.dirty_bitmap);
	return median(samples, ROUNDS);
}

/* The host takes 1,000 pages from the guest with one call. */
static double zap(const struct row *row)
{
	struct vm *vm = vm_new(0, 1);
	u64 samples[ROUNDS], start;

	vm_add_mem(vm, ROUND * PAGE, 0, MADV_NOHUGEPAGE);
	vcpu_load(vm, 0, &touch);
	for (int i = 0; i < ROUNDS; i++) {
		memset(vm->mem, 1, ROUND * PAGE);
		touch_pages(vm, 0, ROUND, PAGE);
		start = ticks();
		madvise(vm->mem, ROUND * PAGE, MADV_DONTNEED);
		samples[i] = ticks() - start;
	}
	vm_free(vm);
	return (double)median(samples, ROUNDS) / ROUND;
}

/* The host makes single pages read-only while the guest has them mapped. */
static double protect(const struct row *row)
{
	struct vm *vm = vm_new(0, 1);
	u64 samples[REPEAT], start;

	vm_add_mem(vm, REPEAT * PAGE, 0, MADV_NOHUGEPAGE);
	vcpu_load(vm, 0, &touch);
	for (int i = 0; i < REPEAT; i++) {
		touch_pages(vm, 0, REPEAT, PAGE);
		start = ticks();
		mprotect(vm->mem + i * PAGE, PAGE, PROT_READ);
		samples[i] = ticks() - start;
		mprotect(vm->mem + i * PAGE, PAGE, PROT_READ | PROT_WRITE);
	}
	vm_free(vm);
	return median(samples, REPEAT);
}

static double slot(const struct row *row)
{
	struct vm *vm = vm_new(0, 1);
	void *mem = map_memory(PAGE, 0);
	u64 samples[ROUNDS], start;

	for (int i = 0; i < ROUNDS; i++) {
		start = ticks();
		vm_set_slot(vm, 1, MEM_GPA, PAGE, mem, 0);
		vm_set_slot(vm, 1, MEM_GPA, 0, mem, 0);
		samples[i] = ticks() - start;
	}
	vm_free(vm);
	munmap(mem, PAGE);
	return median(samples, ROUNDS);
}

#define MEMORY(n, t, f) { .name = n, .title = t, .group = "memory", .measure = f }

const struct row memory_rows[] = {
	MEMORY("fault-4k", "second-stage fault, 4 KiB page, host page present", fault_4k),
	MEMORY("fault-2m", "second-stage fault, 2 MiB page, host page present", fault_2m),
	MEMORY("fault-storm", "the same by 4 vCPUs on one host CPU, a 4 KiB page", fault_storm),
	MEMORY("dirty-log", "dirty-log round: 1,000 pages written, log fetched", dirty_log),
	MEMORY("zap", "madvise(DONTNEED) of 1,000 mapped pages, a page", zap),
	MEMORY("protect", "mprotect(PROT_READ) of one mapped page", protect),
	MEMORY("slot", "memory slot of one page, add and delete", slot),
	{}
};
