/* SPDX-License-Identifier: GPL-2.0-only */
/* The virtual machine. */
#ifndef MV_BASE_VM_H
#define MV_BASE_VM_H

#include <linux/interval_tree.h>
#include <linux/kvm.h>
#include <linux/maple_tree.h>
#include <linux/mmu_notifier.h>
#include <linux/mutex.h>
#include <linux/refcount.h>
#include <linux/srcu.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

#include "base/vcpu.h"

struct mv_slot {
	gfn_t base_gfn;
	u64 npages;
	hva_t hva;
	u32 flags; /* KVM_MEM_* */
	u16 id;
	unsigned long *dirty; /* one bit a page, with KVM_MEM_LOG_DIRTY_PAGES */
	struct interval_tree_node hva_range; /* in mmu.slots_by_hva */
	u64 serial; /* of its coming there: slots of one address are in this order */
};

/* The second-stage page tables of a VM; fields are mmu/'s own. */
struct mv_mmu {
	u64 root_hpa;
	struct page *root; /* NULL: stopped */
	rwlock_t lock;
	unsigned long invalidate_seq; /* of the host's invalidations and of slot changes, from 1 */
	long invalidate_in_progress;
	bool exec_splits; /* large leaves are not executable */
	bool maps_device; /* the guest may have MMIO of the host: set before that is mapped */
	bool all_know_device; /* no vCPU is in the guest that did not see that */
	hva_t invalidate_start, invalidate_end; /* the host addresses in work, if any are */
	u64 slot_serial; /* the last one */
	struct rb_root_cached slots_by_hva;
};

/* kvmclock: ns(host_tsc) = @ns + (host_tsc - @tsc) * rate + @offset. time/kvmclock.c's own. */
struct mv_clock {
	struct mutex lock; /* all but @node */
	struct list_head node; /* of all VMs' clocks */
	bool master; /* that line serves all vCPUs; else @tsc and @ns mean nothing */
	u64 tsc, ns; /* ns: the host's time */
	u64 offset; /* of the guest's time to the host's */
	u64 wall; /* MSR_KVM_WALL_CLOCK */
};

struct mv_vm {
	struct mm_struct *mm; /* the creator's, by mmgrab() */
	refcount_t refs; /* one a descriptor */
	struct mutex lock; /* configuration: vCPUs, irqchip */
	struct mutex slots_lock; /* changes of slots and of the buses */
	struct srcu_struct srcu; /* slots, routing, MSR filter */
	struct maple_tree slots; /* by page frame; readers hold @srcu or mmu.lock */
	struct xarray slots_by_id; /* slots_lock */
	struct mv_mmu mmu;
	struct mmu_notifier notifier;

	struct xarray vcpus; /* by index, 0..nr_vcpus-1 */
	int nr_vcpus; /* read with smp_load_acquire() */
	int bsp_id;

	spinlock_t irq_lock; /* irq/irq.h says what of */
	struct mv_irqchip *irqchip; /* NULL, or PIC + IOAPIC (+ PIT); smp_load_acquire() */
	struct mv_routing __rcu *routing;
	struct mv_apic_map __rcu *apic_map; /* irq/map.c: APIC ID to vCPU */
	struct mutex irqfds_lock; /* irq/irqfd.c: the three lists */
	struct list_head irqfds, resampled_irqfds, untold_irqfds;
	struct work_struct irqfd_reaper;
	bool split_irqchip; /* local APICs only; set while there are no vCPUs */
	u32 nr_ioapic_routes; /* with it: GSIs below are pins of userspace's IOAPIC */
	unsigned long eoi_vectors[256 / BITS_PER_LONG]; /* whose EOI an IOAPIC has to know */
	bool apic_access_page; /* with mv_apicv: may be mapped, see mv_apic_map_update() */
	u32 x2apic_api; /* KVM_X2APIC_API_*, of KVM_CAP_X2APIC_API */

	struct mv_bus __rcu *bus[MV_NR_BUSES]; /* io/bus.c */
	spinlock_t ring_lock; /* of coalesced_ring: who adds to it */
	struct kvm_coalesced_mmio_ring *coalesced_ring; /* a page; NULL: never asked for */

	spinlock_t tsc_lock; /* the next two */
	u64 tsc_offset; /* that vCPUs are to agree on, at this rate: the last one that was set */
	u32 tsc_synced_khz;
	u32 tsc_khz; /* of new vCPUs */

	/* What KVM_ENABLE_CAP has turned on or off. */
	bool exception_payload;
	bool triple_fault_event;
	bool exit_on_emulation_failure;
	bool no_platform_info;
	u32 max_vcpu_ids; /* 0: not set yet */
	u64 manual_log; /* KVM_DIRTY_LOG_* */
	u32 dirty_ring_entries; /* of each vCPU; 0: the log is read as a bitmap */
	u64 disabled_quirks; /* KVM_X86_QUIRK_* */
	u32 disabled_exits; /* KVM_X86_DISABLE_EXITS_*; constant once there are vCPUs */
	u32 user_msr_reasons; /* KVM_MSR_EXIT_REASON_* for which userspace is asked */

	pid_t creator;
	atomic64_t tlb_flushes; /* of all vCPUs */
	unsigned long nr_mmu_pages; /* KVM_SET_NR_MMU_PAGES; 0: not set */
	int last_yielded_to; /* index of the vCPU that mv_vcpu_yield() chose last */

	struct mv_msr_filter __rcu *msr_filter; /* srcu, vm->lock; NULL: none */
	bool all_msrs_exit; /* as the filter denies one that guests have without exits */

	struct mv_clock clock;
	s64 halt_poll_ns; /* KVM_CAP_HALT_POLL: limit of the vCPUs'; -1: the module's */
};

/* vCPUs below this index are whole. */
static inline int mv_nr_vcpus(struct mv_vm *vm)
{
	return smp_load_acquire(&vm->nr_vcpus); /* pairs with vcpu_publish() */
}

#define mv_for_each_vcpu(i, vcpu, vm)                                                      \
	for ((i) = 0; (i) < mv_nr_vcpus(vm) && ((vcpu) = xa_load(&(vm)->vcpus, (i))); (i)++)

static inline bool mv_has_quirk(struct mv_vm *vm, u64 quirk) /* KVM_X86_QUIRK_* */
{
	return !(READ_ONCE(vm->disabled_quirks) & quirk);
}

static inline bool mv_is_bsp(struct mv_vcpu *vcpu)
{
	return vcpu->id == vcpu->vm->bsp_id;
}

#endif /* MV_BASE_VM_H */
