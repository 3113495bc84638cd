/* SPDX-License-Identifier: GPL-2.0-only */
/* Guest memory: slots, second-stage tables, the dirty log, copies, the guest's own page tables. */
#ifndef MV_MMU_MEMORY_H
#define MV_MMU_MEMORY_H

#include "base/vm.h"

enum mv_fault_result {
	MV_FAULT_DONE = 1, /* mapped, or somebody else did: run again */
	MV_FAULT_MMIO = 2, /* no slot here, or a write to a read-only one */
	MV_FAULT_WAITS = 3, /* the page has to be waited for */
};

void mv_mmu_exit(void); /* at module unload: nothing of a VM runs any more */
int mv_mmu_init_vm(struct mv_vm *vm); /* root table, empty slots, notifier */
void mv_mmu_stop_vm(struct mv_vm *vm); /* last descriptor closed: the tables go */
void mv_mmu_free_vm(struct mv_vm *vm); /* last: the slots, and @vm when no notifier uses it */
int mv_set_memory_region(struct mv_vm *vm, const struct kvm_userspace_memory_region *r);
int mv_set_nr_mmu_pages(struct mv_vm *vm, unsigned long nr);
unsigned long mv_get_nr_mmu_pages(struct mv_vm *vm);
int mv_get_dirty_log(struct mv_vm *vm, const struct kvm_dirty_log *log);
int mv_clear_dirty_log(struct mv_vm *vm, const struct kvm_clear_dirty_log *log);

/* vcpu->cpu_log, where the processor has one: the backend says when it is full. */
#define MV_CPU_LOG_ENTRIES 512
int mv_cpu_log_create(struct mv_vcpu *vcpu);
void mv_cpu_log_full(struct mv_vcpu *vcpu);
#define MV_MAX_DIRTY_RING (65536 * sizeof(struct kvm_dirty_gfn))
long mv_enable_dirty_ring(struct mv_vm *vm, u64 size);
long mv_reset_dirty_rings(struct mv_vm *vm);
int mv_dirty_ring_create(struct mv_vcpu *vcpu);
void mv_dirty_ring_destroy(struct mv_vcpu *vcpu);
struct page *mv_dirty_ring_page(struct mv_vcpu *vcpu, pgoff_t pgoff);
bool mv_dirty_ring_full(struct mv_vcpu *vcpu); /* but for a reserve */
void mv_mmu_zap_page(struct mv_vm *vm, gfn_t gfn); /* take its leaf away */

/**
 * mv_mmu_fault() - map the page at @gpa
 * @vcpu: whose fault it is
 * @gpa: any address in the page
 * @access: MV_ACCESS_* that it has to allow
 * @absent: NULL: the page may be waited for; else gets the host address to wait for
 *
 * Context: in the VM's mm, preemptible, without vm->srcu held.
 * Return: enum mv_fault_result, or -EFAULT when the host has no page there,
 * -EINTR when a signal came while waiting for it, -ENOMEM.
 */
int mv_mmu_fault(struct mv_vcpu *vcpu, gpa_t gpa, u32 access, hva_t *absent);

/* A device: no slot was there at the last fault, and the slots are those of then. */
static inline bool mv_is_mmio(struct mv_vcpu *vcpu, gpa_t gpa)
{
	return gpa_to_gfn(gpa) == vcpu->mmio_gfn &&
	       READ_ONCE(vcpu->vm->mmu.invalidate_seq) == vcpu->mmio_seq;
}

/* Readers of slots hold vm->srcu. */
struct mv_slot *mv_slot_find(struct mv_vm *vm, gfn_t gfn);
void mv_mark_page_dirty(struct mv_vm *vm, struct mv_slot *slot, gfn_t gfn);

/* Guest-physical copies; take vm->srcu themselves; any length; -EFAULT if not all RAM. */
int mv_read_guest(struct mv_vm *vm, gpa_t gpa, void *buf, size_t len);
int mv_write_guest(struct mv_vm *vm, gpa_t gpa, const void *buf, size_t len);
/* Compare-and-exchange of 1, 2, 4, 8 bytes in a cache line; 1: other value found (in @old). */
int mv_cmpxchg_guest(struct mv_vm *vm, gpa_t gpa, u64 *old, u64 new, size_t len);

struct mv_walk_fault {
	u8 vector; /* #PF, or #GP for a non-canonical address */
	u32 error;
};

/**
 * mv_walk() - translate linear address @la by the guest's own page tables
 * @access: MV_ACCESS_*; accessed and dirty bits are set as the processor does
 * @gpa: the result
 * @fault: on failure, what the guest gets; may be NULL
 * Return: 0, or -EFAULT. SDM vol. 3A, chapter 4.
 */
int mv_walk(struct mv_vcpu *vcpu, u64 la, u32 access, gpa_t *gpa, struct mv_walk_fault *fault);

#define MV_FETCH_NO_RAM 1

/**
 * mv_fetch() - read @len bytes at linear address @la, which lie in one page
 *
 * Return: 0, -EFAULT as mv_walk(), or MV_FETCH_NO_RAM: nothing to read from there.
 */
int mv_fetch(struct mv_vcpu *vcpu, u64 la, u32 access, void *buf, size_t len,
	     struct mv_walk_fault *fault);

#endif /* MV_MMU_MEMORY_H */
