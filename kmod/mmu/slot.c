// SPDX-License-Identifier: GPL-2.0-only
/* Memory slots: which guest-physical addresses are which memory of the VM's process. */
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "mmu.h"

#define MV_SLOT_FLAGS (KVM_MEM_LOG_DIRTY_PAGES | KVM_MEM_READONLY)
#define MV_SLOT_MAX_PAGES ((1ull << 31) - 1)

/* What a VM begins with. It is never freed, so the first slot has nobody to wait for. */
struct mv_slots mv_no_slots;

/* ---- readers ---- */

struct mv_slot *mv_slot_find(struct mv_vm *vm, gfn_t gfn)
{
	struct mv_slots *slots = srcu_dereference(vm->slots, &vm->srcu);
	int low = 0, high = slots->nr, mid;
	struct mv_slot *slot;

	/* low: how many slots begin at or below gfn. */
	while (low < high) {
		mid = (low + high) / 2;
		if (slots->slot[mid]->base_gfn <= gfn)
			low = mid + 1;
		else
			high = mid;
	}
	if (!low)
		return NULL;
	slot = slots->slot[low - 1];
	return gfn - slot->base_gfn < slot->npages ? slot : NULL;
}

hva_t mv_gfn_to_hva(struct mv_vm *vm, gfn_t gfn, bool write)
{
	struct mv_slot *slot = mv_slot_find(vm, gfn);

	if (!slot || (write && (slot->flags & KVM_MEM_READONLY)))
		return 0;
	return mv_slot_hva(slot, gfn);
}

void mv_mark_page_dirty(struct mv_vm *vm, struct mv_slot *slot, gfn_t gfn)
{
	if (slot->dirty)
		set_bit(gfn - slot->base_gfn, slot->dirty);
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

/* 0: exchanged; 1: not, *old tells what is there; -EFAULT. */
int mv_cmpxchg_user(void __user *user, u64 *old, u64 new, size_t len)
{
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

static struct mv_slots *slots_locked(struct mv_vm *vm)
{
	return rcu_dereference_protected(vm->slots, lockdep_is_held(&vm->slots_lock));
}

struct mv_slot *mv_slot_by_id(struct mv_vm *vm, u16 id)
{
	struct mv_slots *slots = slots_locked(vm);
	int i;

	for (i = 0; i < slots->nr; i++)
		if (slots->slot[i]->id == id)
			return slots->slot[i];
	return NULL;
}

/* Does a slot other than @id have a page of the range? */
static bool overlaps(struct mv_vm *vm, u16 id, gfn_t base, u64 npages)
{
	struct mv_slots *slots = slots_locked(vm);
	struct mv_slot *slot;
	int i;

	for (i = 0; i < slots->nr; i++) {
		slot = slots->slot[i];
		if (slot->id != id && base < slot->base_gfn + slot->npages &&
		    slot->base_gfn < base + npages)
			return true;
	}
	return false;
}

/* A copy of the array, without @old and with @new; either may be NULL. */
static struct mv_slots *replace(const struct mv_slots *slots, const struct mv_slot *old,
				struct mv_slot *new)
{
	int nr = slots->nr - !!old + !!new, i;
	struct mv_slots *copy;

	copy = kmalloc(struct_size(copy, slot, nr), GFP_KERNEL_ACCOUNT);
	if (!copy)
		return NULL;
	copy->nr = 0;
	for (i = 0; i < slots->nr; i++) {
		if (slots->slot[i] == old)
			continue;
		if (new && new->base_gfn < slots->slot[i]->base_gfn) {
			copy->slot[copy->nr++] = new;
			new = NULL;
		}
		copy->slot[copy->nr++] = slots->slot[i];
	}
	if (new)
		copy->slot[copy->nr++] = new;
	return copy;
}

/* mmu->lock is held for writing, and let go now and then. Nobody else changes slots. */
static bool change_leaves(struct mv_vm *vm, enum mv_pt_op op, const struct mv_slot *slot,
			  struct list_head *freed)
{
	gfn_t end = slot->base_gfn + slot->npages, gfn = slot->base_gfn, next;
	bool any = false;

	for (; gfn < end; gfn = next) {
		next = min(end, round_down(gfn, mv_pt_pages(3)) + mv_pt_pages(3));
		any |= mv_pt_range(&vm->mmu, op, gfn, next, freed);
		cond_resched_rwlock_write(&vm->mmu.lock);
	}
	return any;
}

/*
 * Make @slots what readers see, and let nothing that was mapped by @old outlive
 * this. A fault that has begun with the old slots finds another invalidate_seq
 * and begins again; what it mapped before is taken away here.
 */
static void publish(struct mv_vm *vm, struct mv_slots *slots, struct mv_slot *old,
		    struct mv_slot *new)
{
	struct mv_mmu *mmu = &vm->mmu;
	enum mv_pt_op op = MV_PT_ZAP;
	LIST_HEAD(freed);

	/* Without the log large leaves may come back: all goes, as for a slot that is deleted. */
	if (old && new && old->base_gfn == new->base_gfn && new->dirty) {
		op = MV_PT_LOG_WRITES;
		/* The log says that all is written: to be seen is what is after the first clear. */
		if (vm->manual_log & KVM_DIRTY_LOG_INITIALLY_SET)
			old = NULL;
	}

	write_lock(&mmu->lock);
	rcu_assign_pointer(vm->slots, slots);
	/* Pairs with the barrier in mv_mmu_fault(): with this number one sees these slots. */
	smp_wmb();
	mmu->invalidate_seq++;
	if (old && change_leaves(vm, op, old, &freed))
		mv_flush_all(vm);
	write_unlock(&mmu->lock);
	mv_pt_free(&freed);
}

static void slot_free(struct mv_slot *slot)
{
	kvfree(slot->dirty);
	kfree(slot);
}

/* Put @new in the place of @old; the old one is freed, at failure the new one. */
static int install(struct mv_vm *vm, struct mv_slot *old, struct mv_slot *new)
{
	struct mv_slots *before = slots_locked(vm), *after;

	after = replace(before, old, new);
	if (!after)
		return -ENOMEM;
	publish(vm, after, old, new);
	/* The first slot: there was nothing that a reader could still use. */
	if (before == &mv_no_slots)
		return 0;
	synchronize_srcu_expedited(&vm->srcu);
	if (old) {
		if (new && new->dirty == old->dirty)
			old->dirty = NULL;
		slot_free(old);
	}
	kfree(before);
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
	if (vm->manual_log & KVM_DIRTY_LOG_INITIALLY_SET)
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

/* At the end of the VM: nobody reads the slots any more. */
void mv_slots_free(struct mv_vm *vm)
{
	struct mv_slots *slots = rcu_dereference_protected(vm->slots, true);
	int i;

	for (i = 0; i < slots->nr; i++)
		slot_free(slots->slot[i]);
	if (slots != &mv_no_slots)
		kfree(slots);
}
