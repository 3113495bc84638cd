// SPDX-License-Identifier: GPL-2.0-only
/*
 * The log of written pages: one bit a page, set when a fault or the module
 * itself writes a page. A page whose bit is clear is mapped so that its next
 * write is seen: read-only or, if the processor keeps a log of its own (PML,
 * SDM vol. 3C, 29.3.6), with a clear dirty bit.
 */
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "base/request.h"
#include "mmu/memory.h"
#include "mmu/mmu.h"

/* Words of the log that are taken at once under the lock. */
#define MV_LOG_CHUNK (PAGE_SIZE / sizeof(long))

/* What stands where the processor has logged nothing: no page begins there. */
#define MV_CPU_LOG_FREE (~0ull)

int mv_cpu_log_create(struct mv_vcpu *vcpu)
{
	if (!mv_cpu_logs_writes())
		return 0;
	vcpu->cpu_log = (void *)__get_free_page(GFP_KERNEL_ACCOUNT);
	if (!vcpu->cpu_log)
		return -ENOMEM;
	memset64(vcpu->cpu_log, MV_CPU_LOG_FREE, MV_CPU_LOG_ENTRIES);
	return 0;
}

/*
 * Move what the processor has logged for @vcpu to the slots' logs. Several
 * threads may do that at once: each entry is seen by one of them.
 */
static void drain_cpu_log(struct mv_vcpu *vcpu)
{
	struct mv_vm *vm = vcpu->vm;
	struct mv_slot *slot;
	u64 gpa;
	int i;

	lockdep_assert_held(&vm->mmu.lock);
	for (i = 0; i < MV_CPU_LOG_ENTRIES; i++) {
		if (READ_ONCE(vcpu->cpu_log[i]) == MV_CPU_LOG_FREE)
			continue;
		gpa = xchg(&vcpu->cpu_log[i], MV_CPU_LOG_FREE);
		slot = mv_slot_find(vm, gpa_to_gfn(gpa));
		if (slot)
			mv_mark_page_dirty(vm, slot, gpa_to_gfn(gpa));
	}
}

/* The processor finds no room for another entry. */
void mv_cpu_log_full(struct mv_vcpu *vcpu)
{
	read_lock(&vcpu->vm->mmu.lock);
	drain_cpu_log(vcpu);
	read_unlock(&vcpu->vm->mmu.lock);
}

static void drain_cpu_logs(struct mv_vm *vm)
{
	struct mv_vcpu *vcpu;
	int i;

	if (!mv_cpu_logs_writes())
		return;
	/* Entries are sure to be in memory after an exit. */
	mv_request_all(vm, MV_REQ_EVENT, true);
	read_lock(&vm->mmu.lock);
	mv_for_each_vcpu(i, vcpu, vm)
		drain_cpu_log(vcpu);
	read_unlock(&vm->mmu.lock);
}

/*
 * Of words @first to @first + @n - 1 take the bits that @buf has; @buf becomes
 * what was taken. Return: not 0 if a TLB flush is due.
 */
static unsigned int take_words(struct mv_vm *vm, struct mv_slot *slot, unsigned long *buf,
			       u64 first, u64 n)
{
	struct mv_mmu *mmu = &vm->mmu;
	unsigned int changed = 0;
	gfn_t gfn;
	u64 i;

	write_lock(&mmu->lock);
	for (i = 0; i < n; i++) {
		/* Bits may be set meanwhile, but nobody else clears them. */
		buf[i] &= READ_ONCE(slot->dirty[first + i]);
		if (!buf[i])
			continue;
		atomic_long_andnot(buf[i], (atomic_long_t *)&slot->dirty[first + i]);
		gfn = slot->base_gfn + (first + i) * BITS_PER_LONG;
		changed |= mv_pt_range(mmu, MV_PT_LOG_WRITES, gfn + __ffs(buf[i]),
				       gfn + __fls(buf[i]) + 1, NULL);
	}
	changed = mv_flush_gone(vm, changed);
	write_unlock(&mmu->lock);
	return changed;
}

/*
 * Take words @first to @end - 1 of the log: those bits that @mask has, or all
 * of them, which then go to @user.
 */
static int take_log(struct mv_vm *vm, struct mv_slot *slot, u64 first, u64 end,
		    const void __user *mask, void __user *user)
{
	unsigned long *buf;
	unsigned int changed = 0;
	size_t at, bytes;
	u64 i, n;
	int r = 0;

	buf = kmalloc_array(MV_LOG_CHUNK, sizeof(long), GFP_KERNEL_ACCOUNT);
	if (!buf)
		return -ENOMEM;
	for (i = first; i < end && !r; i += n) {
		n = min_t(u64, end - i, MV_LOG_CHUNK);
		at = (i - first) * sizeof(long);
		bytes = n * sizeof(long);
		memset(buf, 0xff, bytes);
		if (mask && copy_from_user(buf, mask + at, bytes)) {
			r = -EFAULT;
			break;
		}
		changed |= take_words(vm, slot, buf, i, n);
		if (user && copy_to_user(user + at, buf, bytes))
			r = -EFAULT;
		cond_resched();
	}
	/* Before userspace reads a page by this log, no vCPU writes it unseen. */
	if (changed)
		mv_flush_all(vm);
	kfree(buf);
	return r;
}

static struct mv_slot *logged_slot(struct mv_vm *vm, u16 id)
{
	struct mv_slot *slot = mv_slot_by_id(vm, id);

	return slot && slot->dirty ? slot : NULL;
}

/* What the log of one slot has, and with it a fresh start unless userspace asks for that. */
static int get_log(struct mv_vm *vm, u16 id, void __user *user)
{
	struct mv_slot *slot = logged_slot(vm, id);
	u64 words;

	if (vm->dirty_ring_entries)
		return -ENXIO;
	if (!slot)
		return -ENOENT;
	words = BITS_TO_LONGS(slot->npages);
	drain_cpu_logs(vm);
	if (!(vm->manual_log & KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE))
		return take_log(vm, slot, 0, words, NULL, user);
	return copy_to_user(user, slot->dirty, words * sizeof(long)) ? -EFAULT : 0;
}

/**
 * mv_get_dirty_log() - KVM_GET_DIRTY_LOG
 * @vm: the VM
 * @log: the slot, and where the bits go
 *
 * Return: 0; -EINVAL for a slot number out of range, -ENOENT for a slot that
 * is not there or has no log, -ENXIO where rings are the log, -EFAULT, -ENOMEM.
 */
int mv_get_dirty_log(struct mv_vm *vm, const struct kvm_dirty_log *log)
{
	int r;

	if (log->slot >= MV_MAX_SLOTS)
		return -EINVAL;
	mutex_lock(&vm->slots_lock);
	r = get_log(vm, log->slot, log->dirty_bitmap);
	mutex_unlock(&vm->slots_lock);
	return r;
}

static int clear_log(struct mv_vm *vm, const struct kvm_clear_dirty_log *log)
{
	struct mv_slot *slot = logged_slot(vm, log->slot);
	u64 rest;

	if (vm->dirty_ring_entries)
		return -ENXIO;
	if (!slot)
		return -ENOENT;
	if (log->first_page > slot->npages)
		return -EINVAL;
	/* A part of a word only at the slot's end. */
	rest = slot->npages - log->first_page;
	if (log->num_pages > rest || (log->num_pages < rest && log->num_pages % BITS_PER_LONG))
		return -EINVAL;
	/* What the processors have logged since is newer than what userspace clears here. */
	return take_log(vm, slot, log->first_page / BITS_PER_LONG,
			BITS_TO_LONGS(log->first_page + log->num_pages), log->dirty_bitmap, NULL);
}

/**
 * mv_clear_dirty_log() - KVM_CLEAR_DIRTY_LOG
 * @vm: the VM
 * @log: the slot, a range of its pages, the bits to clear
 *
 * Return: as mv_get_dirty_log(); -EINVAL too for a range that is not of whole
 * words or not in the slot.
 */
int mv_clear_dirty_log(struct mv_vm *vm, const struct kvm_clear_dirty_log *log)
{
	int r;

	if (log->slot >= MV_MAX_SLOTS || log->first_page % BITS_PER_LONG)
		return -EINVAL;
	mutex_lock(&vm->slots_lock);
	r = clear_log(vm, log);
	mutex_unlock(&vm->slots_lock);
	return r;
}
