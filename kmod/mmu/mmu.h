/* SPDX-License-Identifier: GPL-2.0-only */
/* What the files of mmu/ call of each other.  The rules of the locks: Documentation/locking.rst. */
#ifndef MV_MMU_MMU_H
#define MV_MMU_MMU_H

#include <linux/nospec.h>

#include "base/backend.h"
#include "base/request.h"
#include "mmu/memory.h"

#define MV_PT_LEVELS 4

/* Guest page frames that one entry at @level spans. */
static inline u64 mv_pt_pages(int level)
{
	return 1ull << (9 * (level - 1));
}

/* Guest page frames that the tables reach, if the processor has as many address bits. */
static inline gfn_t mv_max_gfn(void)
{
	return 1ull << (min_t(int, boot_cpu_data.x86_phys_bits, 48) - PAGE_SHIFT);
}

/**
 * struct mv_map - a translation to enter into the tables
 * @gfn: what
 * @pfn: where to; of this very page frame also if @level is above 1
 * @access: MV_ACCESS_* that it has to allow
 * @level: highest level of a leaf
 * @writable: the leaf allows writes
 * @clean: they are logged: the first one is to be seen
 * @device: @pfn is not RAM
 */
struct mv_map {
	gfn_t gfn;
	u64 pfn;
	u32 access;
	int level;
	bool writable;
	bool clean;
	bool device;
};

/* pgtable.c */
enum mv_pt_op {
	MV_PT_ZAP,
	MV_PT_LOG_WRITES, /* see the next; large leaves go, that 4 KiB ones may come instead */
	MV_PT_TEST_YOUNG,
	MV_PT_CLEAR_YOUNG,
};

/* What mv_pt_range() has done or found. */
#define MV_PT_CHANGED BIT(0) /* an entry is another, or is young */
#define MV_PT_GONE BIT(1) /* a leaf or a table is gone: see mv_flush_gone() */

struct page *mv_pt_alloc(void);
void mv_pt_free(struct list_head *tables);
void mv_pt_free_all(struct page *root);
int mv_pt_map(struct mv_mmu *mmu, const struct mv_map *map, struct list_head *tables);
unsigned int mv_pt_range(struct mv_mmu *mmu, enum mv_pt_op op, gfn_t start, gfn_t end,
			 struct list_head *freed);

/* Does the processor itself log the writes of leaves with a clear dirty bit? */
static inline bool mv_cpu_logs_writes(void)
{
	return mv_backend->pt_format->logged == mv_backend->pt_format->dirty;
}

/* slot.c */
void mv_slots_free(struct mv_vm *vm);
struct mv_slot *mv_slot_by_id(struct mv_vm *vm, u16 id);
int mv_cmpxchg_user(void __user *user, u64 *old, u64 new, size_t len);

/* @gfn is in @slot. The guest chooses it: not even speculation may leave the slot. */
static inline hva_t mv_slot_hva(const struct mv_slot *slot, gfn_t gfn)
{
	return slot->hva + array_index_nospec(gfn - slot->base_gfn, slot->npages) * PAGE_SIZE;
}

/* mv_slot_find() for a vCPU, which mostly asks for the slot of the last time; vm->srcu is held. */
static inline struct mv_slot *mv_slot_near(struct mv_vcpu *vcpu, gfn_t gfn)
{
	/* Before the slots are looked at; pairs with retire(), which frees none that this is of. */
	unsigned long seq = smp_load_acquire(&vcpu->vm->mmu.invalidate_seq);
	struct mv_slot *slot = vcpu->near_slot;

	if (likely(seq == vcpu->near_seq && gfn - slot->base_gfn < slot->npages))
		return slot;
	slot = mv_slot_find(vcpu->vm, gfn);
	vcpu->near_slot = slot;
	vcpu->near_seq = slot ? seq : 0;
	return slot;
}

/* Of a new log all bits are set: nothing is to be seen before the first clear. */
static inline bool mv_log_begins_set(const struct mv_vm *vm)
{
	return (vm->manual_log & KVM_DIRTY_LOG_INITIALLY_SET) && !vm->dirty_ring_entries;
}

/* ring.c */
void mv_dirty_ring_push(struct mv_vm *vm, struct mv_slot *slot, gfn_t gfn);

static inline void mv_flush_all(struct mv_vm *vm)
{
	atomic64_inc(&vm->tlb_flushes);
	mv_request_all(vm, MV_REQ_TLB_FLUSH, true);
}

/**
 * mv_flush_gone() - before mmu->lock is let go
 * @vm: its mmu->lock is held for writing
 * @changed: what mv_pt_range() has returned since the last flush
 *
 * A page that no entry leads to any more may still be in a TLB. An invalidation
 * by the host finds no entry of it, has nothing to flush, and lets the page be
 * freed: so nobody else may have the lock before the flush.
 *
 * Return: what is left of @changed, for a flush that may come later
 */
static inline unsigned int mv_flush_gone(struct mv_vm *vm, unsigned int changed)
{
	lockdep_assert_held_write(&vm->mmu.lock);
	if (!(changed & MV_PT_GONE))
		return changed;
	mv_flush_all(vm);
	return 0;
}

/* mmu->lock is held for writing, and let go if others want it, or the CPU. */
static inline unsigned int mv_let_others(struct mv_vm *vm, unsigned int changed)
{
	if (!need_resched() && !rwlock_needbreak(&vm->mmu.lock))
		return changed;
	changed = mv_flush_gone(vm, changed);
	cond_resched_rwlock_write(&vm->mmu.lock);
	return changed;
}

/* Where one that lets others in may do so: behind @gfn, at the border of a table of level 2. */
static inline gfn_t mv_next_break(gfn_t gfn)
{
	return round_down(gfn, mv_pt_pages(3)) + mv_pt_pages(3);
}

#endif /* MV_MMU_MMU_H */
