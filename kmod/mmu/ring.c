// SPDX-License-Identifier: GPL-2.0-only
/*
 * The log of written pages in its other form: a ring in memory for each vCPU,
 * that userspace reads while the guest runs. The slots' bits are there too: one
 * that is set says that its page is in a ring, and is not to be entered again
 * before userspace has given the entry back.
 */
#include <linux/mm.h>
#include <linux/vmalloc.h>

#include "base/request.h"
#include "mmu/memory.h"
#include "mmu/mmu.h"

#define RESET_BATCH 64 /* entries that are taken back under the lock at once */

/* What is left free when the guest has to stop: for what one exit and userspace's ioctls write. */
static u32 reserve(void)
{
	return 64 + (mv_cpu_logs_writes() ? MV_CPU_LOG_ENTRIES : 0);
}

/**
 * mv_enable_dirty_ring() - KVM_CAP_DIRTY_LOG_RING
 * @vm: without vCPUs yet
 * @size: of each vCPU's ring, in bytes, a power of two
 *
 * Return: 0, -EINVAL, -E2BIG
 */
long mv_enable_dirty_ring(struct mv_vm *vm, u64 size)
{
	long r = -EINVAL;

	if (!is_power_of_2(size) || size > U32_MAX || size < PAGE_SIZE ||
	    size < reserve() * sizeof(struct kvm_dirty_gfn))
		return -EINVAL;
	if (size > MV_MAX_DIRTY_RING)
		return -E2BIG;
	mutex_lock(&vm->lock);
	if (!vm->nr_vcpus && !vm->dirty_ring_entries) {
		vm->dirty_ring_entries = size / sizeof(struct kvm_dirty_gfn);
		r = 0;
	}
	mutex_unlock(&vm->lock);
	return r;
}

int mv_dirty_ring_create(struct mv_vcpu *vcpu)
{
	struct mv_dirty_ring *ring = &vcpu->dirty_ring;
	u32 entries = vcpu->vm->dirty_ring_entries;

	if (!entries)
		return 0;
	raw_spin_lock_init(&ring->lock);
	ring->entries = __vmalloc(entries * sizeof(*ring->entries),
				  GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	return ring->entries ? 0 : -ENOMEM;
}

void mv_dirty_ring_destroy(struct mv_vcpu *vcpu)
{
	vfree(vcpu->dirty_ring.entries);
}

/* For userspace's mapping; NULL: the ring does not reach there. */
struct page *mv_dirty_ring_page(struct mv_vcpu *vcpu, pgoff_t pgoff)
{
	u32 size = vcpu->vm->dirty_ring_entries * sizeof(struct kvm_dirty_gfn);

	pgoff -= KVM_DIRTY_LOG_PAGE_OFFSET;
	if (pgoff >= size / PAGE_SIZE)
		return NULL;
	return vmalloc_to_page((void *)vcpu->dirty_ring.entries + pgoff * PAGE_SIZE);
}

static u32 used(const struct mv_dirty_ring *ring)
{
	return READ_ONCE(ring->pushed) - READ_ONCE(ring->reset);
}

/* The guest must not go on before userspace has taken entries out. */
bool mv_dirty_ring_full(struct mv_vcpu *vcpu)
{
	return used(&vcpu->dirty_ring) >= vcpu->vm->dirty_ring_entries - reserve();
}

static bool push(struct mv_vcpu *vcpu, u32 slot, u64 offset)
{
	struct mv_dirty_ring *ring = &vcpu->dirty_ring;
	u32 entries = vcpu->vm->dirty_ring_entries;
	struct kvm_dirty_gfn *entry;
	unsigned long flags;
	bool room;

	/* From mv_steal_time_preempted() too: inside the lock of the CPU's runqueue. */
	raw_spin_lock_irqsave(&ring->lock, flags);
	room = used(ring) < entries;
	if (room) {
		entry = &ring->entries[ring->pushed % entries];
		entry->slot = slot;
		entry->offset = offset;
		/* Userspace reads the flags first. */
		smp_store_release(&entry->flags, KVM_DIRTY_GFN_F_DIRTY);
		WRITE_ONCE(ring->pushed, ring->pushed + 1);
	}
	raw_spin_unlock_irqrestore(&ring->lock, flags);
	if (mv_dirty_ring_full(vcpu))
		mv_request(vcpu, MV_REQ_DIRTY_RING_FULL);
	return room;
}

/* A page's bit has been set: into the ring of the vCPU that this thread is, else into any. */
void mv_dirty_ring_push(struct mv_vm *vm, struct mv_slot *slot, gfn_t gfn)
{
	struct mv_vcpu *vcpu = mv_loaded_vcpu();
	int i;

	if (vcpu && vcpu->vm == vm && push(vcpu, slot->id, gfn - slot->base_gfn))
		return;
	mv_for_each_vcpu(i, vcpu, vm)
		if (push(vcpu, slot->id, gfn - slot->base_gfn))
			return;
	/* Nowhere: userspace has written more than it reads. The page's next write may be seen. */
	clear_bit(gfn - slot->base_gfn, slot->dirty);
}

/*
 * One entry that userspace has given back: from now on the page's next write
 * is seen. What the entry says can be anything.
 */
static bool reset_entry(struct mv_vcpu *vcpu, unsigned int *changed)
{
	struct mv_dirty_ring *ring = &vcpu->dirty_ring;
	struct mv_vm *vm = vcpu->vm;
	struct kvm_dirty_gfn *entry;
	struct mv_slot *slot = NULL;
	u64 offset;
	u32 id;

	entry = &ring->entries[ring->reset % vm->dirty_ring_entries];
	/* Userspace writes the flags last. */
	if (!used(ring) || !(smp_load_acquire(&entry->flags) & KVM_DIRTY_GFN_F_RESET))
		return false;
	id = READ_ONCE(entry->slot);
	offset = READ_ONCE(entry->offset);
	WRITE_ONCE(entry->flags, 0);
	/* Who sees that there is room may write the entry. */
	smp_store_release(&ring->reset, ring->reset + 1);

	if (id < MV_MAX_SLOTS)
		slot = mv_slot_by_id(vm, id);
	if (!slot || !slot->dirty || offset >= slot->npages)
		return true;
	offset = array_index_nospec(offset, slot->npages);
	if (test_and_clear_bit(offset, slot->dirty))
		*changed |= mv_pt_range(&vm->mmu, MV_PT_LOG_WRITES, slot->base_gfn + offset,
					slot->base_gfn + offset + 1, NULL);
	return true;
}

static u32 reset_ring(struct mv_vcpu *vcpu, unsigned int *changed)
{
	u32 count = 0, n;

	do {
		write_lock(&vcpu->vm->mmu.lock);
		for (n = 0; n < RESET_BATCH && reset_entry(vcpu, changed); n++)
			;
		*changed = mv_flush_gone(vcpu->vm, *changed);
		write_unlock(&vcpu->vm->mmu.lock);
		count += n;
		cond_resched();
	} while (n == RESET_BATCH);
	return count;
}

/**
 * mv_reset_dirty_rings() - KVM_RESET_DIRTY_RINGS
 * @vm: the VM
 *
 * Return: how many entries were taken back; -EINVAL without rings
 */
long mv_reset_dirty_rings(struct mv_vm *vm)
{
	struct mv_vcpu *vcpu;
	unsigned int changed = 0;
	u32 count = 0;
	int i;

	if (!READ_ONCE(vm->dirty_ring_entries))
		return -EINVAL;
	mutex_lock(&vm->slots_lock);
	mv_for_each_vcpu(i, vcpu, vm)
		count += reset_ring(vcpu, &changed);
	/* Before userspace reads the pages, no vCPU writes them unseen. */
	if (changed)
		mv_flush_all(vm);
	mutex_unlock(&vm->slots_lock);
	return count;
}
