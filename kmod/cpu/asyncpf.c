// SPDX-License-Identifier: GPL-2.0-only
/*
 * Asynchronous page faults: the guest hears that the host has yet to get a page,
 * and runs something else meanwhile. Documentation/hypercalls.md.
 *
 * A work item waits for the page in the vCPU's place. It may wait for ever, as
 * userspace may have to bring the page (userfaultfd, FUSE), so nobody waits for
 * an item: it holds what it needs, the process's memory and the module, and one
 * that nobody wants any more is left to end by itself.
 */
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/workqueue.h>
#include <uapi/linux/kvm_para.h>

#include "base/backend.h"
#include "base/regs.h"
#include "cpu/asyncpf.h"
#include "cpu/event.h"
#include "irq/lapic.h"
#include "mmu/memory.h"

#define MAX_PER_VCPU 64 /* KVM's number */
/* Each has to run at once, whatever the others wait for: what the workqueue takes. */
#define MAX_ITEMS 512
static_assert(MAX_ITEMS <= WQ_MAX_ACTIVE);

#define TOKEN_OF_ALL (~0u)
#define TOKEN_ID_BITS 12 /* of the vCPU: MV_MAX_VCPU_ID */
static_assert(MV_MAX_VCPU_ID <= BIT(TOKEN_ID_BITS));

/* A page that is waited for. */
struct item {
	struct work_struct work;
	struct list_head node; /* vcpu->apf.items, the vCPU's thread's own */
	struct mv_vcpu *vcpu; /* whose; NULL: nobody's any more; under apf_lock */
	struct mm_struct *mm;
	hva_t hva;
	gfn_t gfn;
	u32 token;
	bool write;
	bool told; /* the guest knows of it, by @token */
	bool done; /* under apf_lock */
};

static DEFINE_SPINLOCK(apf_lock);
static struct workqueue_struct *apf_wq;
static atomic_t nr_items = ATOMIC_INIT(0);

/* ---- the item's side ---- */

static void item_free(struct item *item)
{
	kfree(item);
	atomic_dec(&nr_items);
}

/* What becomes of it does not matter here: the guest finds out when it tries again. */
static void fault_in(struct item *item)
{
	bool unlocked;

	mmap_read_lock(item->mm);
	fixup_user_fault(item->mm, item->hva, item->write ? FAULT_FLAG_WRITE : 0, &unlocked);
	mmap_read_unlock(item->mm);
}

static void item_work(struct work_struct *work)
{
	struct item *item = container_of(work, struct item, work);
	struct mv_vcpu *vcpu;

	if (READ_ONCE(item->vcpu))
		fault_in(item);
	mmput(item->mm);

	spin_lock(&apf_lock);
	vcpu = item->vcpu;
	if (vcpu) {
		/* It cannot go away now, but the item can, as soon as the lock is free. */
		item->done = true;
		mv_request(vcpu, MV_REQ_APF_READY);
		mv_vcpu_kick(vcpu);
	}
	spin_unlock(&apf_lock);
	if (!vcpu)
		item_free(item);
	/* What is left of this function destroy_workqueue() waits for. */
	module_put(THIS_MODULE);
}

/* ---- the vCPU's thread ---- */

static gpa_t area(struct mv_vcpu *vcpu)
{
	return vcpu->msr.pv_apf & ~0x3full;
}

bool mv_apf_enabled(struct mv_vcpu *vcpu)
{
	const u64 mask = KVM_ASYNC_PF_ENABLED | KVM_ASYNC_PF_DELIVERY_AS_INT;

	return (vcpu->msr.pv_apf & mask) == mask;
}

/* A #PF in the guest's kernel is only for one that says it can take it there. */
static bool takes_fault(struct mv_vcpu *vcpu)
{
	return mv_cr0_has(vcpu, X86_CR0_PG) &&
	       ((vcpu->msr.pv_apf & KVM_ASYNC_PF_SEND_ALWAYS) ||
		(mv_call(code_rights)(vcpu) & MV_SEG_DPL));
}

/* Nothing is on its way into the guest, and it has its interrupts on: it can be led elsewhere. */
static bool can_wait(struct mv_vcpu *vcpu)
{
	if (vcpu->pending.any || !mv_call(irq_allowed)(vcpu))
		return false;
	/* This would be a HLT that exits. */
	return !(vcpu->vm->disabled_exits & KVM_X86_DISABLE_EXITS_HLT) || takes_fault(vcpu);
}

/* Nothing else is to come in between: the guest has done with the #PF before. */
static bool tell(struct mv_vcpu *vcpu, struct item *item)
{
	gpa_t flags = area(vcpu) + offsetof(struct kvm_vcpu_pv_apf_data, flags);
	u32 val = 0;

	if (!takes_fault(vcpu) || mv_read_guest(vcpu->vm, flags, &val, sizeof(val)) || val)
		return false;
	val = KVM_PV_REASON_PAGE_NOT_PRESENT;
	if (mv_write_guest(vcpu->vm, flags, &val, sizeof(val)))
		return false;
	mv_queue_page_fault(vcpu, item->token, 0);
	return true;
}

static bool is_waited_for(struct mv_vcpu *vcpu, gfn_t gfn)
{
	struct item *item;
	bool found = false;

	spin_lock(&apf_lock);
	list_for_each_entry(item, &vcpu->apf.items, node)
		found |= item->gfn == gfn && !item->done;
	spin_unlock(&apf_lock);
	return found;
}

/* Neither 0 nor TOKEN_OF_ALL, whatever the vCPU. */
static u32 new_token(struct mv_vcpu *vcpu)
{
	const u32 last = (~0u >> TOKEN_ID_BITS) - 1;

	vcpu->apf.last_id = vcpu->apf.last_id < last ? vcpu->apf.last_id + 1 : 1;
	return vcpu->apf.last_id << TOKEN_ID_BITS | vcpu->id;
}

static struct item *item_alloc(struct mv_vcpu *vcpu)
{
	struct item *item;

	if (vcpu->apf.nr >= MAX_PER_VCPU)
		return NULL;
	if (atomic_inc_return(&nr_items) > MAX_ITEMS)
		goto dec;
	/* Who has to wait for memory can wait for the page as well. */
	item = kzalloc(sizeof(*item), GFP_NOWAIT | __GFP_NOWARN | __GFP_ACCOUNT);
	if (item)
		return item;
dec:
	atomic_dec(&nr_items);
	return NULL;
}

bool mv_apf_begin(struct mv_vcpu *vcpu, gfn_t gfn, hva_t hva, bool write)
{
	struct item *item;

	if (!can_wait(vcpu))
		return false;
	if (is_waited_for(vcpu, gfn)) {
		mv_request(vcpu, MV_REQ_APF_WAIT);
		return true;
	}
	item = item_alloc(vcpu);
	if (!item)
		return false;
	INIT_WORK(&item->work, item_work);
	item->vcpu = vcpu;
	item->mm = vcpu->vm->mm; /* this thread's */
	mmget(item->mm);
	item->hva = hva;
	item->gfn = gfn;
	item->write = write;
	item->token = new_token(vcpu);
	list_add_tail(&item->node, &vcpu->apf.items);
	vcpu->apf.nr++;
	vcpu->stats[MV_STAT_ASYNC_PF]++;
	item->told = tell(vcpu, item);
	if (!item->told)
		mv_request(vcpu, MV_REQ_APF_WAIT);
	__module_get(THIS_MODULE);
	queue_work(apf_wq, &item->work);
	return true;
}

/* One at a time: the guest clears the token, then says so by MSR_KVM_ASYNC_PF_ACK. */
static bool tell_ready(struct mv_vcpu *vcpu, u32 token)
{
	gpa_t gpa = area(vcpu) + offsetof(struct kvm_vcpu_pv_apf_data, token);
	struct mv_apic_irq irq = { .mode = APIC_DM_FIXED, .vector = vcpu->msr.pv_apf_int };
	u32 val;

	if (!lapic_enabled(vcpu->lapic) || mv_read_guest(vcpu->vm, gpa, &val, sizeof(val)) || val ||
	    mv_write_guest(vcpu->vm, gpa, &token, sizeof(token)))
		return false;
	mv_lapic_accept(vcpu, &irq, vcpu);
	return true;
}

static void item_drop(struct mv_vcpu *vcpu, struct item *item)
{
	bool done;

	list_del(&item->node);
	vcpu->apf.nr--;
	spin_lock(&apf_lock);
	done = item->done;
	item->vcpu = NULL;
	spin_unlock(&apf_lock);
	if (done)
		item_free(item);
}

void mv_apf_ready(struct mv_vcpu *vcpu)
{
	struct item *item, *next;
	bool told = false;

	if (!mv_apf_enabled(vcpu))
		return;
	if (vcpu->apf.wake_all) {
		told = true;
		vcpu->apf.wake_all = !tell_ready(vcpu, TOKEN_OF_ALL);
	}
	list_for_each_entry_safe(item, next, &vcpu->apf.items, node) {
		if (!READ_ONCE(item->done) || (item->told && told))
			continue;
		if (item->told) {
			told = true;
			if (!tell_ready(vcpu, item->token))
				continue;
		}
		item_drop(vcpu, item);
	}
}

void mv_apf_reset(struct mv_vcpu *vcpu)
{
	struct item *item, *next;

	list_for_each_entry_safe(item, next, &vcpu->apf.items, node)
		item_drop(vcpu, item);
	vcpu->apf.wake_all = false;
	/* No page would end that. */
	clear_bit(MV_REQ_APF_WAIT, &vcpu->requests);
}

/* ---- MSRs ---- */

int mv_set_apf(struct mv_vcpu *vcpu, u32 msr, u64 val, bool host)
{
	u64 feature_bits = 0;
	u32 unused;

	if (mv_guest_has(vcpu, MV_FEATURE_PV(ASYNC_PF_INT)))
		feature_bits |= KVM_ASYNC_PF_DELIVERY_AS_INT;
	/* Of a guest's guest, so nothing comes of it. */
	if (mv_guest_has(vcpu, MV_FEATURE_PV(ASYNC_PF_VMEXIT)))
		feature_bits |= KVM_ASYNC_PF_DELIVERY_AS_PF_VMEXIT;
	if (val & 0x3f & ~(feature_bits | KVM_ASYNC_PF_ENABLED | KVM_ASYNC_PF_SEND_ALWAYS))
		return 1;
	if (!vcpu->lapic)
		return !!val;
	if ((val & KVM_ASYNC_PF_ENABLED) && (val & KVM_ASYNC_PF_DELIVERY_AS_INT) &&
	    mv_read_guest(vcpu->vm, val & ~0x3full, &unused, sizeof(unused)))
		return 1;

	vcpu->msr.pv_apf = val;
	if (!mv_apf_enabled(vcpu)) {
		mv_apf_reset(vcpu);
		return 0;
	}
	/* A guest that has come from elsewhere may wait for pages that nobody brings here. */
	vcpu->apf.wake_all = true;
	mv_request(vcpu, MV_REQ_APF_READY);
	return 0;
}

int mv_set_apf_int(struct mv_vcpu *vcpu, u32 msr, u64 val, bool host)
{
	/* Without a local APIC only a VMM may write it: QEMU restores all that CPUID shows. */
	if (val >> 8 || (!vcpu->lapic && !host))
		return 1;
	vcpu->msr.pv_apf_int = val;
	return 0;
}

int mv_set_apf_ack(struct mv_vcpu *vcpu, u32 msr, u64 val, bool host)
{
	if (val & 1)
		mv_request(vcpu, MV_REQ_APF_READY);
	return 0;
}

/* ---- life ---- */

void mv_apf_init_vcpu(struct mv_vcpu *vcpu)
{
	INIT_LIST_HEAD(&vcpu->apf.items);
}

int __init mv_apf_init(void)
{
	/* Not WQ_UNBOUND: since 6.9 a NUMA node gets only its share of the limit there. */
	apf_wq = alloc_workqueue("minivirt_apf", 0, MAX_ITEMS);
	return apf_wq ? 0 : -ENOMEM;
}

void mv_apf_exit(void)
{
	destroy_workqueue(apf_wq);
}
