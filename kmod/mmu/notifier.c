// SPDX-License-Identifier: GPL-2.0-only
/*
 * The host's changes of the VM's memory, and the life of the tables.
 *
 * The notifier is put, not unregistered, so that the end of a VM need not wait
 * for other users of the notifiers: the VM's memory stays until the last
 * callback is over. A callback that comes late finds no root and does nothing.
 */
#include <linux/cpu.h>
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/slab.h>
#include <linux/wait_bit.h>

#include "mmu/memory.h"
#include "mmu/mmu.h"

static struct mv_vm *to_vm(struct mmu_notifier *notifier)
{
	return container_of(notifier, struct mv_vm, notifier);
}

/* @op to what is at @start to @end - 1 in the process, and in @slot. mmu->lock is held. */
static unsigned int for_slot(struct mv_vm *vm, const struct mv_slot *slot, enum mv_pt_op op,
			     hva_t start, hva_t end, struct list_head *freed)
{
	hva_t first = max(start, slot->hva);
	hva_t last = min(end, slot->hva + slot->npages * PAGE_SIZE);

	return mv_pt_range(&vm->mmu, op, slot->base_gfn + ((first - slot->hva) >> PAGE_SHIFT),
			   slot->base_gfn + (PAGE_ALIGN(last - slot->hva) >> PAGE_SHIFT), freed);
}

#define for_each_slot_at(node, vm, start, end)                                                \
	for (node = interval_tree_iter_first(&(vm)->mmu.slots_by_hva, start, (end) - 1); node; \
	     node = interval_tree_iter_next(node, start, (end) - 1))

static struct mv_slot *to_slot(struct interval_tree_node *node)
{
	return container_of(node, struct mv_slot, hva_range);
}

static unsigned int for_hva_range(struct mv_vm *vm, enum mv_pt_op op, hva_t start, hva_t end)
{
	struct interval_tree_node *node;
	unsigned int changed = 0;

	for_each_slot_at(node, vm, start, end)
		changed |= for_slot(vm, to_slot(node), op, start, end, NULL);
	return changed;
}

/*
 * Any number of slots may be of the same memory: so others are let in after each. The slots
 * are looked for anew then, from the one behind the last; what has come meanwhile maps nothing.
 */
static void zap_slots(struct mv_vm *vm, hva_t start, hva_t end, bool block,
		      unsigned int *changed, struct list_head *freed)
{
	struct interval_tree_node *node;
	struct mv_slot *slot;
	u64 serial = 0;
	hva_t at = 0;

again:
	for_each_slot_at(node, vm, start, end) {
		slot = to_slot(node);
		if (slot->hva < at || (slot->hva == at && slot->serial <= serial))
			continue;
		at = slot->hva;
		serial = slot->serial;
		*changed |= for_slot(vm, slot, MV_PT_ZAP, start, end, freed);
		if (block && (need_resched() || rwlock_needbreak(&vm->mmu.lock))) {
			*changed = mv_let_others(vm, *changed);
			if (!vm->mmu.root)
				return;
			goto again;
		}
	}
}

static void begin_invalidate(struct mv_mmu *mmu, hva_t start, hva_t end)
{
	/* One range for all that are under way: it may only be too large. */
	if (!mmu->invalidate_in_progress++) {
		mmu->invalidate_start = start;
		mmu->invalidate_end = end;
	} else {
		mmu->invalidate_start = min(mmu->invalidate_start, start);
		mmu->invalidate_end = max(mmu->invalidate_end, end);
	}
}

/*
 * What is mapped by the first slot that reaches behind @at, or by others there,
 * up to the next place for a break. Return: that place; @end if there is no more.
 */
static hva_t zap_some(struct mv_vm *vm, hva_t at, hva_t end, bool block,
		      unsigned int *changed, struct list_head *freed)
{
	struct interval_tree_node *node =
		interval_tree_iter_first(&vm->mmu.slots_by_hva, at, end - 1);
	const struct mv_slot *slot = container_of(node, struct mv_slot, hva_range);
	gfn_t gfn;

	if (!node)
		return end;
	at = max(at, slot->hva);
	gfn = slot->base_gfn + ((at - slot->hva) >> PAGE_SHIFT);
	end = min(end, at + ((mv_next_break(gfn) - gfn) << PAGE_SHIFT));
	zap_slots(vm, at, end, block, changed, freed);
	return end;
}

/* While the range is in work no fault enters anything of it: the lock may be let go. */
static int invalidate_range_start(struct mmu_notifier *notifier,
				  const struct mmu_notifier_range *range)
{
	struct mv_vm *vm = to_vm(notifier);
	struct mv_mmu *mmu = &vm->mmu;
	bool block = mmu_notifier_range_blockable(range);
	hva_t at = range->start;
	unsigned int changed = 0;
	LIST_HEAD(freed);

	write_lock(&mmu->lock);
	begin_invalidate(mmu, range->start, range->end);
	while (mmu->root && at < range->end) {
		at = zap_some(vm, at, range->end, block, &changed, &freed);
		if (block)
			changed = mv_let_others(vm, changed);
	}
	mv_flush_gone(vm, changed);
	write_unlock(&mmu->lock);
	mv_pt_free(&freed);
	return 0;
}

static void invalidate_range_end(struct mmu_notifier *notifier,
				 const struct mmu_notifier_range *range)
{
	struct mv_mmu *mmu = &to_vm(notifier)->mmu;

	write_lock(&mmu->lock);
	/* Faults that looked at the host's tables before they had changed are to begin again. */
	mmu->invalidate_seq++;
	mmu->invalidate_in_progress--;
	write_unlock(&mmu->lock);
}

/*
 * A processor without accessed bits says nothing about use: then the guest's
 * memory ages as if it used none of it, and costs faults, but can be reclaimed.
 */
static int age(struct mmu_notifier *notifier, enum mv_pt_op op, hva_t start, hva_t end,
	       bool flush)
{
	struct mv_vm *vm = to_vm(notifier);
	unsigned int young = 0;

	read_lock(&vm->mmu.lock);
	if (vm->mmu.root)
		young = for_hva_range(vm, op, start, end);
	if (young && flush)
		mv_flush_all(vm);
	read_unlock(&vm->mmu.lock);
	return young;
}

static int clear_flush_young(struct mmu_notifier *notifier, struct mm_struct *mm,
			     unsigned long start, unsigned long end)
{
	return age(notifier, MV_PT_CLEAR_YOUNG, start, end, true);
}

static int clear_young(struct mmu_notifier *notifier, struct mm_struct *mm,
		       unsigned long start, unsigned long end)
{
	return age(notifier, MV_PT_CLEAR_YOUNG, start, end, false);
}

static int test_young(struct mmu_notifier *notifier, struct mm_struct *mm, unsigned long address)
{
	return age(notifier, MV_PT_TEST_YOUNG, address, address + PAGE_SIZE, false);
}

/* The process is gone; nobody can run a vCPU of the VM any more. */
static void release(struct mmu_notifier *notifier, struct mm_struct *mm)
{
	mv_mmu_stop_vm(to_vm(notifier));
}

static atomic_t nr_notifiers = ATOMIC_INIT(0);

static void free_notifier(struct mmu_notifier *notifier)
{
	kfree(to_vm(notifier));
	if (atomic_dec_and_test(&nr_notifiers))
		wake_up_var(&nr_notifiers);
}

/*
 * The last VMs' callbacks. mmu_notifier_synchronize() waits for the grace period, not for the
 * callbacks that other CPUs make after it; those run with bottom halves off.
 */
void mv_mmu_exit(void)
{
	mmu_notifier_synchronize();
	wait_var_event(&nr_notifiers, !atomic_read(&nr_notifiers));
	synchronize_rcu();
}

static const struct mmu_notifier_ops mv_notifier_ops = {
	.invalidate_range_start = invalidate_range_start,
	.invalidate_range_end = invalidate_range_end,
	.clear_flush_young = clear_flush_young,
	.clear_young = clear_young,
	.test_young = test_young,
	.release = release,
	.free_notifier = free_notifier,
};

void mv_mmu_zap_page(struct mv_vm *vm, gfn_t gfn)
{
	LIST_HEAD(freed);

	write_lock(&vm->mmu.lock);
	mv_flush_gone(vm, mv_pt_range(&vm->mmu, MV_PT_ZAP, gfn, gfn + 1, &freed));
	write_unlock(&vm->mmu.lock);
	mv_pt_free(&freed);
}

/* ---- life ---- */

int mv_mmu_init_vm(struct mv_vm *vm)
{
	struct mv_mmu *mmu = &vm->mmu;
	int r;

	mt_init_flags(&vm->slots, MT_FLAGS_USE_RCU);
	xa_init(&vm->slots_by_id);
	mmu->slots_by_hva = RB_ROOT_CACHED;
	rwlock_init(&mmu->lock);
	mmu->invalidate_seq = 1;
	mmu->root = mv_pt_alloc();
	if (!mmu->root)
		return -ENOMEM;
	mmu->root_hpa = page_to_phys(mmu->root);
	/*
	 * On processors with the erratum a guest that fetches code through a large
	 * page can stop the machine: large leaves are not executable there, and a
	 * fetch gets 4 KiB leaves. Documentation/admin-guide/hw-vuln/multihit.rst.
	 */
	mmu->exec_splits = boot_cpu_has_bug(X86_BUG_ITLB_MULTIHIT) && !cpu_mitigations_off();
	vm->notifier.ops = &mv_notifier_ops;
	r = mmu_notifier_register(&vm->notifier, vm->mm);
	if (r)
		__free_page(mmu->root);
	else
		atomic_inc(&nr_notifiers);
	return r;
}

/*
 * No vCPU runs, nor can one again: what TLBs still have is flushed before a new
 * vCPU enters for the first time, should its tables have the same root page.
 */
void mv_mmu_stop_vm(struct mv_vm *vm)
{
	struct mv_mmu *mmu = &vm->mmu;
	struct page *root;

	write_lock(&mmu->lock);
	root = mmu->root;
	mmu->root = NULL;
	write_unlock(&mmu->lock);
	if (root)
		mv_pt_free_all(root);
}

void mv_mmu_free_vm(struct mv_vm *vm)
{
	mv_slots_free(vm);
	mmu_notifier_put(&vm->notifier);
}
