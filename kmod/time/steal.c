// SPDX-License-Identifier: GPL-2.0-only
/*
 * Steal time: how long the guest's vCPU waited for a CPU of the host, and
 * whether it is without one now. Documentation/hypercalls.md.
 */
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/uaccess.h>
#include <uapi/linux/kvm_para.h>

#include "base/regs.h"
#include "base/request.h"
#include "mmu/memory.h"
#include "mmu/mmu.h"
#include "time/time.h"

#define TRIES 16

static gpa_t area(struct mv_vcpu *vcpu)
{
	return vcpu->msr.pv_steal_time & KVM_STEAL_VALID_BITS;
}

int mv_set_steal_time(struct mv_vcpu *vcpu, u32 msr, u64 val, bool host)
{
	if (val & KVM_STEAL_RESERVED_MASK)
		return 1;
	/* What it waited before is not asked for. */
	if (!host)
		vcpu->pv.run_delay = current->sched_info.run_delay;
	vcpu->msr.pv_steal_time = val;
	vcpu->pv.preempted = false;
	if (val & KVM_MSR_ENABLED)
		mv_request(vcpu, MV_REQ_STEAL_TIME);
	return 0;
}

/*
 * The vCPU runs again. Another one that wanted its TLB flushed may have asked
 * for that here rather than by an interrupt. A guest that goes on changing the
 * byte gets the flush that it may have asked for.
 */
static void clear_preempted(struct mv_vcpu *vcpu)
{
	gpa_t gpa = area(vcpu) + offsetof(struct kvm_steal_time, preempted);
	u64 seen = KVM_VCPU_PREEMPTED;
	int i, r = 1;

	for (i = 0; i < TRIES && r == 1; i++)
		r = mv_cmpxchg_guest(vcpu->vm, gpa, &seen, 0, 1);
	vcpu->pv.preempted = false;
	if ((r || (seen & KVM_VCPU_FLUSH_TLB)) && mv_guest_has(vcpu, MV_FEATURE_PV(PV_TLB_FLUSH)))
		mv_request(vcpu, MV_REQ_TLB_FLUSH);
}

/* Before entry, for MV_REQ_STEAL_TIME; before the TLB flush that it may request. */
void mv_steal_time_update(struct mv_vcpu *vcpu)
{
	u64 delay = current->sched_info.run_delay;
	struct kvm_steal_time time;
	gpa_t gpa = area(vcpu);
	const size_t len = offsetofend(struct kvm_steal_time, version);

	if (!(vcpu->msr.pv_steal_time & KVM_MSR_ENABLED))
		return;
	clear_preempted(vcpu);
	if (mv_read_guest(vcpu->vm, gpa, &time, len))
		return;
	time.steal += delay - vcpu->pv.run_delay;
	vcpu->pv.run_delay = delay;
	mv_write_versioned(vcpu->vm, gpa, &time, len, offsetof(struct kvm_steal_time, version));
}

static_assert(offsetofend(struct kvm_steal_time, version) == 12);

/*
 * The vCPU loses its CPU; the scheduler's lock is held, so nothing can wait
 * here, nor take a lock that is held with interrupts on elsewhere. Only between
 * two instructions of the guest: one that the module is doing in its place may
 * use translations that others take for flushed then.
 */
void mv_steal_time_preempted(struct mv_vcpu *vcpu)
{
	static const u8 preempted = KVM_VCPU_PREEMPTED;
	gpa_t gpa = area(vcpu) + offsetof(struct kvm_steal_time, preempted);
	struct mv_vm *vm = vcpu->vm;
	struct mv_slot *slot;
	u8 __user *user;
	int idx;

	if (vcpu->pv.preempted || vcpu->exit.reason != MV_EXIT_EXTERNAL_INTERRUPT)
		return;
	/* Without room in its own ring, all the others' would be tried. */
	if (unlikely(mv_dirty_ring_full(vcpu)))
		return;
	idx = srcu_read_lock(&vm->srcu);
	slot = mv_slot_find(vm, gpa_to_gfn(gpa));
	if (slot && !(slot->flags & KVM_MEM_READONLY)) {
		user = (u8 __user *)(mv_slot_hva(slot, gpa_to_gfn(gpa)) + offset_in_page(gpa));
		if (!copy_to_user_nofault(user, &preempted, sizeof(preempted))) {
			vcpu->pv.preempted = true;
			mv_mark_page_dirty(vm, slot, gpa_to_gfn(gpa));
		}
	}
	srcu_read_unlock(&vm->srcu, idx);
}

/* It has one again: what did it miss? */
void mv_steal_time_loaded(struct mv_vcpu *vcpu)
{
	if (vcpu->pv.preempted || current->sched_info.run_delay != vcpu->pv.run_delay)
		mv_request(vcpu, MV_REQ_STEAL_TIME);
}
