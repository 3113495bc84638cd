// SPDX-License-Identifier: GPL-2.0-only
/* Memory slots: which guest-physical addresses are which memory of the VM's process. */
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "mmu/memory.h"
#include "mmu/mmu.h"

#define MV_SLOT_FLAGS (KVM_MEM_LOG_DIRTY_PAGES | KVM_MEM_READONLY)
#define MV_SLOT_MAX_PAGES ((1ull << 31) - 1)
#define MV_MIN_MMU_PAGES 64ul

/* ---- readers ---- */

struct mv_slot *mv_slot_find(struct mv_vm *vm, gfn_t gfn)
{
	RCU_LOCKDEP_WARN(!srcu_read_lock_held(&vm->srcu) && !lockdep_is_held(&vm->mmu.lock),
			 "a slot may be freed under its user");
	return mtree_load(&vm->slots, gfn);
}

void mv_mark_page_dirty(struct mv_vm *vm, struct mv_slot *slot, gfn_t gfn)
{
	u64 offset = gfn - slot->base_gfn;

	if (!slot->dirty)
		return;
	if (likely(!vm->dirty_ring_entries))
		set_bit(offset, slot->dirty);
	else if (!test_and_set_bit(offset, slot->dirty))
		mv_dirty_ring_push(vm, slot, gfn);
}

/* ---- copies; the caller is in the VM's mm and may take page faults ---- */

/* The slot of @gpa, where it is in the process, and how much of @len lies in it. */
static struct mv_slot *copy_range(struct mv_vm *vm, gpa_t gpa, size_t len, bool write,
				  void __user **user, size_t *n)
{
	gfn_t gfn = gpa_to_gfn(gpa);
	struct mv_slot *slot = mv_slot_find(vm, gfn);

	if (!slot || (write && (slot->flags & KVM_MEM_READONLY)))
		return NULL;
	*user = (void __user *)(mv_slot_hva(slot, gfn) + offset_in_page(gpa));
	*n = min_t(u64, len, gfn_to_gpa(slot->base_gfn + slot->npages) - gpa);
	return slot;
}

int mv_read_guest(struct mv_vm *vm, gpa_t gpa, void *buf, size_t len)
{
	int idx = srcu_read_lock(&vm->srcu), r = 0;
	void __user *user;
	size_t n;

	for (; len; gpa += n, buf += n, len -= n) {
		if (!copy_range(vm, gpa, len, false, &user, &n) || __copy_from_user(buf, user, n)) {
			r = -EFAULT;
			break;
		}
	}
	srcu_read_unlock(&vm->srcu, idx);
	return r;
}

int mv_write_guest(struct mv_vm *vm, gpa_t gpa, const void *buf, size_t len)
{
	int idx = srcu_read_lock(&vm->srcu), r = 0;
	struct mv_slot *slot;
	void __user *user;
	gfn_t gfn;
	size_t n;

	for (; len; gpa += n, buf += n, len -= n) {
		slot = copy_range(vm, gpa, len, true, &user, &n);
		if (!slot || __copy_to_user(user, buf, n)) {
			r = -EFAULT;
			break;
		}
		for (gfn = gpa_to_gfn(gpa); gfn <= gpa_to_gfn(gpa + n - 1); gfn++)
			mv_mark_page_dirty(vm, slot, gfn);
	}
	srcu_read_unlock(&vm->srcu, idx);
	return r;
}

/* The kernel's macro has a label of the function: so a function for each size. */
#define DEFINE_CMPXCHG_USER(type)                                                           \
	static int cmpxchg_user_##type(void __user *user, u64 *old, u64 new)                \
	{                                                                                   \
		type val = *old;                                                            \
		int r = __try_cmpxchg_user((type __user *)user, &val, (type)new, fault);    \
											    \
		*old = val;                                                                 \
		return r;                                                                   \
	}

DEFINE_CMPXCHG_USER(u8)
DEFINE_CMPXCHG_USER(u16)
DEFINE_CMPXCHG_USER(u32)
DEFINE_CMPXCHG_USER(u64)

/*
 * 0: exchanged; 1: not, *old tells what is there; -EFAULT. Entries of page tables are aligned,
 * and the emulator splits no lock: whoever else comes must not either, as #AC kills the host.
 */
int mv_cmpxchg_user(void __user *user, u64 *old, u64 new, size_t len)
{
	if (((unsigned long)user & (MV_EMUL_LINE - 1)) + len > MV_EMUL_LINE)
		return -EFAULT;
	switch (len) {
	case 1:
		return cmpxchg_user_u8(user, old, new);
	case 2:
		return cmpxchg_user_u16(user, old, new);
	case 4:
		return cmpxchg_user_u32(user, old, new);
	case 8:
		return cmpxchg_user_u64(user, old, new);
	default:
		return -EFAULT;
	}
}

int mv_cmpxchg_guest(struct mv_vm *vm, gpa_t gpa, u64 *old, u64 new, size_t len)
{
	int idx = srcu_read_lock(&vm->srcu), r = -EFAULT;
	struct mv_slot *slot;
	void __user *user;
	size_t n;

	slot = copy_range(vm, gpa, len, true, &user, &n);
	if (slot && n == len)
		r = mv_cmpxchg_user(user, old, new, len);
	if (!r)
		mv_mark_page_dirty(vm, slot, gpa_to_gfn(gpa));
	srcu_read_unlock(&vm->srcu, idx);
	return r;
}

/* ---- changes ---- */

struct mv_slot *mv_slot_by_id(struct mv_vm *vm, u16 id)
{
	lockdep_assert_held(&vm->slots_lock);
	return xa_load(&vm->slots_by_id, id);
}

static gfn_t slot_end(const struct mv_slot *slot)
{
	return slot->base_gfn + slot->npages;
}

/* Does a slot other than @id have a page of the range? */
static bool overlaps(struct mv_vm *vm, u16 id, gfn_t base, u64 npages)
{
	unsigned long gfn = base;
	struct mv_slot *slot;

	mt_for_each(&vm->slots, slot, gfn, base + npages - 1)
		if (slot->id != id)
			return true;
	return false;
}

static void index_hva(struct mv_vm *vm, struct mv_slot *slot)
{
	write_lock(&vm->mmu.lock);
	slot->serial = ++vm->mmu.slot_serial;
	interval_tree_insert(&slot->hva_range, &vm->mmu.slots_by_hva);
	write_unlock(&vm->mmu.lock);
}

static void unindex_hva(struct mv_vm *vm, struct mv_slot *slot)
{
	write_lock(&vm->mmu.lock);
	interval_tree_remove(&slot->hva_range, &vm->mmu.slots_by_hva);
	write_unlock(&vm->mmu.lock);
}

/* mmu->lock is held for writing, and let go now and then. Nobody else changes slots. */
static void change_leaves(struct mv_vm *vm, enum mv_pt_op op, const struct mv_slot *slot,
			  struct list_head *freed)
{
	gfn_t end = slot_end(slot), gfn = slot->base_gfn, next;
	unsigned int changed = 0;

	for (; gfn < end; gfn = next) {
		next = min(end, mv_next_break(gfn));
		changed |= mv_pt_range(&vm->mmu, op, gfn, next, freed);
		changed = mv_let_others(vm, changed);
	}
	if (changed)
		mv_flush_all(vm);
}

/*
 * The slots are others: what vCPUs remember of them, and faults that have begun, are to look
 * again. mmu->lock is held for writing; who sees the new number sees the new slots.
 */
static void slots_changed(struct mv_mmu *mmu)
{
	/* Pairs with mv_slot_near() and handle_fault(). */
	smp_store_release(&mmu->invalidate_seq, mmu->invalidate_seq + 1);
}

/*
 * Readers do not find @old any more: let nothing that was mapped by it outlive
 * this. A fault that has begun with it finds another invalidate_seq and begins
 * again; what it mapped before is taken away here. @new has replaced it, or is NULL.
 */
static void retire(struct mv_vm *vm, struct mv_slot *old, const struct mv_slot *new)
{
	struct mv_mmu *mmu = &vm->mmu;
	enum mv_pt_op op = MV_PT_ZAP;
	LIST_HEAD(freed);

	/* Without the log large leaves may come back: all goes, as for a slot that is deleted. */
	if (new && old->base_gfn == new->base_gfn && new->dirty)
		op = MV_PT_LOG_WRITES;

	write_lock(&mmu->lock);
	slots_changed(mmu);
	if (op == MV_PT_ZAP || !mv_log_begins_set(vm))
		change_leaves(vm, op, old, &freed);
	write_unlock(&mmu->lock);
	mv_pt_free(&freed);
	unindex_hva(vm, old);
}

static void slot_free(struct mv_slot *slot)
{
	kvfree(slot->dirty);
	kfree(slot);
}

/* Make readers find @new, which may take pages from @old, the slot of the same number or NULL. */
static int add(struct mv_vm *vm, struct mv_slot *old, struct mv_slot *new)
{
	int r = xa_err(xa_store(&vm->slots_by_id, new->id, new, GFP_KERNEL_ACCOUNT));

	if (r)
		return r;
	/* First, that the host's invalidations find all that a fault maps by the new slot. */
	index_hva(vm, new);
	r = mtree_store_range(&vm->slots, new->base_gfn, slot_end(new) - 1, new,
			      GFP_KERNEL_ACCOUNT);
	if (r) {
		unindex_hva(vm, new);
		xa_store(&vm->slots_by_id, new->id, old, GFP_KERNEL_ACCOUNT);
	}
	return r;
}

/* Take away what readers still find of @old when @new, or nothing, has its number. */
static int withdraw(struct mv_vm *vm, struct mv_slot *old, const struct mv_slot *new)
{
	gfn_t first = old->base_gfn, end = slot_end(old);
	gfp_t gfp = GFP_KERNEL_ACCOUNT;

	if (new) {
		if (new->base_gfn > first)
			end = min(end, new->base_gfn);
		else
			first = max(first, slot_end(new));
		/* A few nodes of a tree, where a failure could not be undone. */
		gfp |= __GFP_NOFAIL;
	}
	return first < end ? mtree_store_range(&vm->slots, first, end - 1, NULL, gfp) : 0;
}

/*
 * Put @new in the place of @old; either may be NULL. The old one is freed. A
 * reader finds the one or the other for each page that they share.
 */
static int install(struct mv_vm *vm, struct mv_slot *old, struct mv_slot *new)
{
	int r = new ? add(vm, old, new) : 0;

	if (r)
		return r;
	if (!old) {
		/* Nobody could use what was not there: it is only to be found now. */
		write_lock(&vm->mmu.lock);
		slots_changed(&vm->mmu);
		write_unlock(&vm->mmu.lock);
		return 0;
	}
	r = withdraw(vm, old, new);
	if (r)
		return r;
	if (!new)
		xa_erase(&vm->slots_by_id, old->id);
	retire(vm, old, new);
	synchronize_srcu_expedited(&vm->srcu);
	if (new && new->dirty == old->dirty)
		old->dirty = NULL;
	slot_free(old);
	return 0;
}

/* What can be said of a region without knowing the others. */
static int check_region(const struct kvm_userspace_memory_region *r)
{
	u64 npages = r->memory_size >> PAGE_SHIFT;

	if (r->flags & ~MV_SLOT_FLAGS)
		return -EINVAL;
	if (!PAGE_ALIGNED(r->memory_size) || !PAGE_ALIGNED(r->guest_phys_addr) ||
	    !PAGE_ALIGNED(r->userspace_addr))
		return -EINVAL;
	if (r->userspace_addr != untagged_addr(r->userspace_addr) ||
	    !access_ok((void __user *)r->userspace_addr, r->memory_size))
		return -EINVAL;
	/* The upper half of the number is the address space; there is one. */
	if (r->slot >= MV_MAX_SLOTS)
		return -EINVAL;
	if (npages > MV_SLOT_MAX_PAGES || r->guest_phys_addr + r->memory_size < r->guest_phys_addr)
		return -EINVAL;
	return 0;
}

/* Only its place and its log can change in a slot. */
static int check_change(const struct mv_slot *old, const struct kvm_userspace_memory_region *r)
{
	if (r->userspace_addr != old->hva || r->memory_size >> PAGE_SHIFT != old->npages ||
	    ((r->flags ^ old->flags) & KVM_MEM_READONLY))
		return -EINVAL;
	return 0;
}

static struct mv_slot *slot_alloc(struct mv_vm *vm, const struct kvm_userspace_memory_region *r,
				  const struct mv_slot *old)
{
	struct mv_slot *slot = kzalloc(sizeof(*slot), GFP_KERNEL_ACCOUNT);

	if (!slot)
		return NULL;
	slot->base_gfn = gpa_to_gfn(r->guest_phys_addr);
	slot->npages = r->memory_size >> PAGE_SHIFT;
	slot->hva = r->userspace_addr;
	slot->flags = r->flags;
	slot->id = r->slot;
	slot->hva_range.start = r->userspace_addr;
	slot->hva_range.last = r->userspace_addr + r->memory_size - 1;
	if (!(r->flags & KVM_MEM_LOG_DIRTY_PAGES))
		return slot;
	if (old && old->dirty) {
		slot->dirty = old->dirty;
		return slot;
	}
	slot->dirty = kvcalloc(BITS_TO_LONGS(slot->npages), sizeof(long), GFP_KERNEL_ACCOUNT);
	if (!slot->dirty) {
		kfree(slot);
		return NULL;
	}
	if (mv_log_begins_set(vm))
		bitmap_set(slot->dirty, 0, slot->npages);
	return slot;
}

static int set_region_locked(struct mv_vm *vm, const struct kvm_userspace_memory_region *r)
{
	struct mv_slot *old = mv_slot_by_id(vm, r->slot), *new;
	gfn_t base = gpa_to_gfn(r->guest_phys_addr);
	u64 npages = r->memory_size >> PAGE_SHIFT;
	int ret;

	if (!npages)
		return old ? install(vm, old, NULL) : -EINVAL;
	if (old) {
		ret = check_change(old, r);
		if (ret)
			return ret;
		if (base == old->base_gfn && r->flags == old->flags)
			return 0;
	}
	if (overlaps(vm, r->slot, base, npages))
		return -EEXIST;
	if (base + npages > mv_max_gfn())
		return -EINVAL;

	new = slot_alloc(vm, r, old);
	if (!new)
		return -ENOMEM;
	ret = install(vm, old, new);
	if (ret) {
		if (old && new->dirty == old->dirty)
			new->dirty = NULL;
		slot_free(new);
	}
	return ret;
}

/**
 * mv_set_memory_region() - KVM_SET_USER_MEMORY_REGION
 * @vm: the VM
 * @r: the region; size 0 deletes the slot
 *
 * When this returns, no vCPU and no copy of the module uses what was replaced.
 *
 * Return: 0, or KVM's errno: -EINVAL, -EEXIST for an overlap, -ENOMEM.
 */
int mv_set_memory_region(struct mv_vm *vm, const struct kvm_userspace_memory_region *r)
{
	int ret = check_region(r);

	if (ret)
		return ret;
	mutex_lock(&vm->slots_lock);
	ret = set_region_locked(vm, r);
	mutex_unlock(&vm->slots_lock);
	return ret;
}

/*
 * KVM_SET_NR_MMU_PAGES bounds the shadow page tables of processors that need
 * them. Here as on KVM with two-dimensional paging it is only remembered.
 */
int mv_set_nr_mmu_pages(struct mv_vm *vm, unsigned long nr)
{
	if (nr < MV_MIN_MMU_PAGES)
		return -EINVAL;
	mutex_lock(&vm->slots_lock);
	vm->nr_mmu_pages = nr;
	mutex_unlock(&vm->slots_lock);
	return 0;
}

/* What was set, or KVM's default: a table page for 50 pages of memory. */
unsigned long mv_get_nr_mmu_pages(struct mv_vm *vm)
{
	struct mv_slot *slot;
	unsigned long id, nr = 0;

	mutex_lock(&vm->slots_lock);
	xa_for_each(&vm->slots_by_id, id, slot)
		nr += slot->npages;
	nr = vm->nr_mmu_pages ?: max(nr / 50, MV_MIN_MMU_PAGES);
	mutex_unlock(&vm->slots_lock);
	return nr;
}

/* At the end of the VM: nobody reads the slots any more. */
void mv_slots_free(struct mv_vm *vm)
{
	struct mv_slot *slot;
	unsigned long id;

	xa_for_each(&vm->slots_by_id, id, slot)
		slot_free(slot);
	xa_destroy(&vm->slots_by_id);
	/* Nobody reads it: nodes go at once. Linux 6.1 crashes if they wait for a grace period. */
	mt_clear_in_rcu(&vm->slots);
	mtree_destroy(&vm->slots);
}
