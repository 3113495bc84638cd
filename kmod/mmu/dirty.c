// SPDX-License-Identifier: GPL-2.0-only
/*
 * The log of written pages: one bit a page, set when a fault or the module
 * itself makes a page writable or writes it. A page whose bit is clear is
 * mapped read-only, so the next write is seen.
 */
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "mmu.h"

/* Words of the log that are taken at once under the lock. */
#define MV_LOG_CHUNK (PAGE_SIZE / sizeof(long))

/* Move words @first to @first + @n - 1 into @buf. true: a TLB flush is due. */
static bool take_words(struct mv_vm *vm, struct mv_slot *slot, unsigned long *buf, u64 first,
		       u64 n)
{
	struct mv_mmu *mmu = &vm->mmu;
	bool flush = false;
	gfn_t gfn;
	u64 i;

	write_lock(&mmu->lock);
	for (i = 0; i < n; i++) {
		buf[i] = 0;
		if (!READ_ONCE(slot->dirty[first + i]))
			continue;
		buf[i] = xchg(&slot->dirty[first + i], 0);
		gfn = slot->base_gfn + (first + i) * BITS_PER_LONG;
		flush |= mv_pt_range(mmu, MV_PT_WRITE_PROTECT, gfn, gfn + BITS_PER_LONG, NULL);
	}
	write_unlock(&mmu->lock);
	return flush;
}

static int take_log(struct mv_vm *vm, struct mv_slot *slot, void __user *user)
{
	u64 words = BITS_TO_LONGS(slot->npages), first, n;
	unsigned long *buf;
	bool flush = false;
	int r = 0;

	buf = kmalloc_array(MV_LOG_CHUNK, sizeof(long), GFP_KERNEL_ACCOUNT);
	if (!buf)
		return -ENOMEM;
	for (first = 0; first < words && !r; first += n) {
		n = min_t(u64, words - first, MV_LOG_CHUNK);
		flush |= take_words(vm, slot, buf, first, n);
		if (copy_to_user(user + first * sizeof(long), buf, n * sizeof(long)))
			r = -EFAULT;
		cond_resched();
	}
	/* Before userspace reads a page by this log, no vCPU writes it unseen. */
	if (flush)
		mv_flush_all(vm);
	kfree(buf);
	return r;
}

/**
 * mv_get_dirty_log() - KVM_GET_DIRTY_LOG
 * @vm: the VM
 * @log: the slot, and where the bits go
 *
 * Return: 0; -EINVAL for a slot number out of range, -ENOENT for a slot that
 * is not there or has no log, -EFAULT, -ENOMEM.
 */
int mv_get_dirty_log(struct mv_vm *vm, const struct kvm_dirty_log *log)
{
	struct mv_slot *slot;
	int r = -ENOENT;

	if (log->slot >= MV_MAX_SLOTS)
		return -EINVAL;
	mutex_lock(&vm->slots_lock);
	slot = mv_slot_by_id(vm, log->slot);
	if (slot && slot->dirty)
		r = take_log(vm, slot, log->dirty_bitmap);
	mutex_unlock(&vm->slots_lock);
	return r;
}
