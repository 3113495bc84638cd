// SPDX-License-Identifier: GPL-2.0-only
/*
 * Second-stage faults: find the host's page and enter it into the tables.
 *
 * No page is pinned, nor held longer than it takes to look at it. What makes
 * an entry right is that no invalidation by the host came between the look and
 * the entry: invalidate_seq has not moved since before the look, and none that
 * covers the page is under way. See Documentation/locking.rst.
 */
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <asm/apicdef.h>

#include "base/backend.h"
#include "base/compat.h"
#include "base/request.h"
#include "mmu/memory.h"
#include "mmu/mmu.h"

struct mv_fault {
	struct mv_vm *vm;
	struct mv_slot *slot;
	hva_t hva;
	unsigned long seq;
	struct mv_map map;
	bool may_wait;
};

/* ---- the host's page ---- */

/*
 * The level at which the host has mapped @hva. With interrupts off its tables
 * cannot be freed under the walk; that they have not been changed since, the
 * check of invalidate_seq tells.
 */
static int host_level(struct mm_struct *mm, hva_t hva)
{
	unsigned long flags;
	int level = 1;
	pgd_t pgd;
	p4d_t p4d;
	pud_t pud;
	pmd_t pmd;

	local_irq_save(flags);
	pgd = READ_ONCE(*pgd_offset(mm, hva));
	if (pgd_none(pgd))
		goto out;
	p4d = READ_ONCE(*p4d_offset(&pgd, hva));
	if (p4d_none(p4d) || !p4d_present(p4d))
		goto out;
	pud = READ_ONCE(*pud_offset(&p4d, hva));
	if (pud_none(pud) || !pud_present(pud))
		goto out;
	if (pud_leaf(pud)) {
		level = 3;
		goto out;
	}
	pmd = READ_ONCE(*pmd_offset(&pud, hva));
	if (!pmd_none(pmd) && pmd_present(pmd) && pmd_leaf(pmd))
		level = 2;
out:
	local_irq_restore(flags);
	return level;
}

/* The largest leaf that fits into the slot, with both addresses aligned to it. */
static int slot_level(const struct mv_fault *f)
{
	const struct mv_slot *slot = f->slot;
	int level = mv_backend->pt_format->max_level;
	u64 mask;
	gfn_t gfn;

	/* The log is about 4 KiB pages. */
	if (slot->dirty || ((f->map.access & MV_ACCESS_EXEC) && f->vm->mmu.exec_splits))
		return 1;
	for (; level > 1; level--) {
		mask = mv_pt_pages(level) - 1;
		gfn = f->map.gfn & ~mask;
		if (!((slot->base_gfn ^ (slot->hva >> PAGE_SHIFT)) & mask) &&
		    gfn >= slot->base_gfn && gfn + mask < slot->base_gfn + slot->npages)
			break;
	}
	return level;
}

/*
 * A page of the process. On a read, too, it is mapped writable if the host's
 * page tables allow that without breaking copy-on-write, unless that fault is
 * how a write gets into the log: it saves the fault of the first write.
 */
static int get_ram(struct mv_vcpu *vcpu, struct mv_fault *f)
{
	bool write = f->map.access & MV_ACCESS_WRITE;
	bool try_write = write || (!(f->slot->flags & KVM_MEM_READONLY) &&
				   (!f->slot->dirty || mv_cpu_logs_writes()));
	struct page *page, *writable;
	int r;

	f->map.clean = f->slot->dirty && !write;
	f->map.writable = try_write;
	if (!get_user_page_fast_only(f->hva, try_write ? FOLL_WRITE : 0, &page)) {
		unsigned int flags = (write ? FOLL_WRITE : 0) | FOLL_HWPOISON;

		/* The host may read the page from a disk, copy or clear it, and reclaim others. */
		mv_taint_l1d(vcpu);
		f->map.writable = write;
		flags |= f->may_wait ? MV_FOLL_INTERRUPTIBLE : FOLL_NOWAIT;
		r = get_user_pages_unlocked(f->hva, 1, &page, flags);
		if (!r)
			return f->may_wait ? -EFAULT : MV_FAULT_WAITS;
		if (r < 0)
			return r;
		if (!write && try_write &&
		    get_user_page_fast_only(f->hva, FOLL_WRITE, &writable)) {
			put_page(page);
			page = writable;
			f->map.writable = true;
		}
	}
	f->map.pfn = page_to_pfn(page);
	f->map.level = PageCompound(page) ? slot_level(f) : 1;
	if (f->map.level > 1)
		f->map.level = min(f->map.level, host_level(f->vm->mm, f->hva));
	/*
	 * The guest's writes leave no trace in the host's page tables. The host
	 * cleans a page only after an invalidation, and then this comes again.
	 */
	if (f->map.writable && !PageDirty(page) && !PageReserved(page))
		SetPageDirty(page);
	put_page(page);
	return 0;
}

/*
 * The VM is about to have MMIO of the host mapped, by which its guest could read what
 * transactions of others have left in the processor's buffers: from now on they are cleared
 * before every entry, where that is needed. No vCPU may be in the guest without that.
 */
static void note_device(struct mv_fault *f)
{
	struct mv_mmu *mmu = &f->vm->mmu;

	if (likely(!f->map.device) || READ_ONCE(mmu->all_know_device))
		return;
	WRITE_ONCE(mmu->maps_device, true);
	/* It has barriers: who sees the next store finds no vCPU in the guest that did not know. */
	mv_request_all(f->vm, MV_REQ_EVENT, true);
	WRITE_ONCE(mmu->all_know_device, true);
}

/* Memory without struct page, as of a device; only where the VMA says so. */
static int get_pfnmap(struct mv_fault *f)
{
	bool write = f->map.access & MV_ACCESS_WRITE, unlocked = false;
	struct mm_struct *mm = f->vm->mm;
	struct vm_area_struct *vma;
	int r = -EFAULT;

	mmap_read_lock(mm);
	vma = vma_lookup(mm, f->hva);
	if (!vma || !(vma->vm_flags & (VM_IO | VM_PFNMAP)))
		goto out;
	r = mv_follow_pfn(vma, f->hva, &f->map.pfn, &f->map.writable);
	if (r || (write && !f->map.writable)) {
		r = fixup_user_fault(mm, f->hva, write ? FAULT_FLAG_WRITE : 0, &unlocked);
		if (!r && unlocked)
			r = -EAGAIN; /* the VMA may be another */
		if (!r)
			r = mv_follow_pfn(vma, f->hva, &f->map.pfn, &f->map.writable);
		if (!r && write && !f->map.writable)
			r = -EFAULT;
	}
	if (f->slot->flags & KVM_MEM_READONLY || (f->slot->dirty && !write))
		f->map.writable = false;
	f->map.level = 1;
	f->map.device = !page_is_ram(f->map.pfn);
out:
	mmap_read_unlock(mm);
	return r;
}

/*
 * The APIC-access page, whose address alone matters: the processor turns
 * accesses to it into accesses to the APIC of the vCPU.
 */
static int get_apic_page(struct mv_fault *f)
{
	if (f->map.gfn != gpa_to_gfn(APIC_DEFAULT_PHYS_BASE) ||
	    !READ_ONCE(f->vm->apic_access_page))
		return MV_FAULT_MMIO;
	f->map.pfn = mv_backend->apic_access_pfn;
	f->map.level = 1;
	f->map.writable = true;
	return 0;
}

/* ---- into the tables ---- */

static bool stale(const struct mv_fault *f)
{
	const struct mv_mmu *mmu = &f->vm->mmu;
	hva_t size = mv_pt_pages(f->map.level) << PAGE_SHIFT;
	hva_t start = f->hva & ~(size - 1);

	lockdep_assert_held(&mmu->lock);
	/* It may have been cleared; who did that zaps after what is entered now. */
	if (!f->slot && !READ_ONCE(f->vm->apic_access_page))
		return true;
	if (mmu->invalidate_seq != f->seq)
		return true;
	return mmu->invalidate_in_progress && start < mmu->invalidate_end &&
	       mmu->invalidate_start < start + size;
}

/* As mv_pt_map(); -EAGAIN if the page has been invalidated meanwhile. */
static int map_locked(struct mv_fault *f, struct list_head *tables)
{
	struct mv_mmu *mmu = &f->vm->mmu;
	int r = -EAGAIN;

	read_lock(&mmu->lock);
	if (!stale(f)) {
		r = mv_pt_map(mmu, &f->map, tables);
		if (!r && f->map.writable && !f->map.clean && f->slot)
			mv_mark_page_dirty(f->vm, f->slot, f->map.gfn);
	}
	read_unlock(&mmu->lock);
	return r;
}

static int add_tables(struct list_head *tables, int n)
{
	struct page *page;

	while (n--) {
		page = mv_pt_alloc();
		if (!page)
			return -ENOMEM;
		list_add(&page->lru, tables);
	}
	return 0;
}

static int map_page(struct mv_fault *f)
{
	LIST_HEAD(tables);
	int r;

	for (;;) {
		r = map_locked(f, &tables);
		if (likely(!r) || r == -EAGAIN)
			break;
		/*
		 * Make room, and use it: were this fault to begin again, one of the tables
		 * that the guest walks before could bring the same large leaf back.
		 */
		if (r == -EBUSY) {
			mv_mmu_zap_page(f->vm, f->map.gfn);
			continue;
		}
		r = add_tables(&tables, r);
		if (r)
			break;
	}
	mv_pt_free(&tables);
	return r;
}

static int handle_fault(struct mv_vcpu *vcpu, struct mv_fault *f)
{
	bool write = f->map.access & MV_ACCESS_WRITE;
	int r;

	/* Before the slots and the host's page are looked at; pairs with slots_changed(). */
	f->seq = smp_load_acquire(&f->vm->mmu.invalidate_seq);
	f->slot = mv_slot_near(vcpu, f->map.gfn);
	if (unlikely(!f->slot)) {
		r = get_apic_page(f);
	} else if (write && (f->slot->flags & KVM_MEM_READONLY)) {
		r = MV_FAULT_MMIO;
	} else {
		f->hva = mv_slot_hva(f->slot, f->map.gfn);
		r = get_ram(vcpu, f);
		if (r == -EFAULT)
			r = get_pfnmap(f);
		note_device(f);
	}
	return r ?: map_page(f);
}

int mv_mmu_fault(struct mv_vcpu *vcpu, gpa_t gpa, u32 access, hva_t *absent)
{
	struct mv_fault f = {
		.vm = vcpu->vm,
		.map = { .gfn = gpa_to_gfn(gpa), .access = access },
		.may_wait = !absent,
	};
	int idx, r;

	idx = srcu_read_lock(&f.vm->srcu);
	r = handle_fault(vcpu, &f);
	srcu_read_unlock(&f.vm->srcu, idx);

	switch (r) {
	case -EHWPOISON:
		/* The memory is broken: the process is told as if it had touched it itself. */
		send_sig_mceerr(BUS_MCEERR_AR, (void __user *)f.hva, PAGE_SHIFT, current);
		fallthrough;
	case -EAGAIN:
	case 0:
		return MV_FAULT_DONE;
	case MV_FAULT_MMIO:
		/* Whether the APIC-access page is there depends on more. */
		if (!f.slot && (!mv_apicv || f.map.gfn != gpa_to_gfn(APIC_DEFAULT_PHYS_BASE))) {
			vcpu->mmio_gfn = f.map.gfn;
			vcpu->mmio_seq = f.seq;
		}
		return r;
	case MV_FAULT_WAITS:
		*absent = f.hva;
		return r;
	case -ENOMEM:
	case -EINTR:
		return r;
	default:
		return -EFAULT;
	}
}
