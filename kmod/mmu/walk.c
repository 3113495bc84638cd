// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest's own page tables: what its processor would make of a linear
 * address. SDM vol. 3A, chapter 4; APM vol. 2, chapter 5.
 */
#include <linux/mm.h>
#include <linux/uaccess.h>
#include <asm/pgtable_types.h>
#include <asm/pkru.h>
#include <asm/trap_pf.h>
#include <asm/trapnr.h>

#include "base/regs.h"
#include "mmu/memory.h"
#include "mmu/mmu.h"

#define MV_WALK_TRIES 16

/* A constant for the compiler, wherever it counts. */
enum paging { PAGING_32, PAGING_PAE, PAGING_LONG };

struct walk {
	struct mv_vcpu *vcpu;
	u32 access;
	enum paging mode;
	bool nxe;
	bool set; /* accessed and dirty bits, as all that was found is in order */
	u64 cr4;
	u64 reserved; /* of entries with PAE, whatever their level */
	struct mv_slot *slot; /* of the last entry: most are in the same one */
	int nr_steps; /* entries read */
	struct mv_walk_step steps[MV_WALK_STEPS];
	u64 all, any; /* bits that all entries have, and that any has: what they allow together */
};

static void walk_init(struct walk *w, struct mv_vcpu *vcpu, u32 access)
{
	w->vcpu = vcpu;
	w->access = access;
	w->cr4 = vcpu->cr4; /* nothing of it that counts here changes without an exit */
	w->mode = mv_long_mode(vcpu) ? PAGING_LONG :
		    w->cr4 & X86_CR4_PAE ? PAGING_PAE : PAGING_32;
	w->nxe = w->mode != PAGING_32 && (vcpu->efer & EFER_NX);
	w->set = false;
	w->slot = NULL;
	w->nr_steps = 0;
	w->reserved = GENMASK_ULL(51, 0) & mv_reserved_gpa(vcpu);
	if (!w->nxe)
		w->reserved |= _PAGE_NX;
	if (w->mode != PAGING_LONG)
		w->reserved |= GENMASK_ULL(62, 52);
}

/* The four entries of PAE's top level have neither access rights nor accessed bits. */
static __always_inline bool is_pdpte(enum paging mode, int level)
{
	return mode == PAGING_PAE && level == 3;
}

/* An entry with the PS bit. */
static __always_inline bool is_large(const struct walk *w, enum paging mode, int level)
{
	if (mode == PAGING_32)
		return level == 2 && (w->cr4 & X86_CR4_PSE);
	return level == 2 || (level == 3 && mode == PAGING_LONG);
}

/* PSE-36: bits 20:13 of a 4 MiB entry are bits 39:32 of the address. */
static u64 pse36_base(u64 entry)
{
	return (entry & GENMASK_ULL(31, 22)) | (entry & GENMASK_ULL(20, 13)) << 19;
}

/* Reserved bits of a leaf above level 1, beyond w->reserved. */
static u64 large_reserved(const struct walk *w, enum paging mode, int level)
{
	if (mode == PAGING_32)
		return GENMASK_ULL(21, min_t(int, w->vcpu->maxphyaddr, 40) - 19);
	if (level == 2)
		return GENMASK_ULL(20, 13);
	return mv_guest_has(w->vcpu, X86_FEATURE_GBPAGES) ? GENMASK_ULL(29, 13) : _PAGE_PSE;
}

static __always_inline void __user *user_address(const struct mv_slot *slot, gpa_t gpa)
{
	u64 offset = gpa - gfn_to_gpa(slot->base_gfn);

	return (void __user *)slot->hva + array_index_nospec(offset, slot->npages << PAGE_SHIFT);
}

/* vcpu->vm->srcu is held through the walk. */
static __always_inline bool find_slot(struct walk *w, gfn_t gfn)
{
	if (!w->slot || gfn - w->slot->base_gfn >= w->slot->npages)
		w->slot = mv_slot_near(w->vcpu, gfn);
	return w->slot;
}

static __always_inline int read_entry(struct walk *w, enum paging mode, gpa_t gpa, u64 *entry)
{
	void __user *user;
	u32 entry32;
	int r;

	if (!find_slot(w, gpa_to_gfn(gpa)))
		return -EFAULT;
	user = user_address(w->slot, gpa);
	if (mode == PAGING_32) {
		r = __get_user(entry32, (u32 __user *)user);
		*entry = entry32;
	} else {
		r = __get_user(*entry, (u64 __user *)user);
	}
	w->steps[w->nr_steps++] = (struct mv_walk_step){ user, *entry };
	return r;
}

/* Protection keys: user pages, data accesses. SDM vol. 3A, 4.6.2. */
static __always_inline bool pkey_denies(const struct walk *w, u64 leaf)
{
	u32 rights;

	if (!(w->cr4 & X86_CR4_PKE) || w->mode != PAGING_LONG || !(w->all & _PAGE_USER) ||
	    (w->access & MV_ACCESS_EXEC))
		return false;
	rights = w->vcpu->pkru >> (2 * ((leaf & _PAGE_PKEY_MASK) >> _PAGE_BIT_PKEY_BIT0));
	if (rights & PKRU_AD_BIT)
		return true;
	return (rights & PKRU_WD_BIT) && (w->access & MV_ACCESS_WRITE) &&
	       ((w->access & MV_ACCESS_USER) || mv_cr0_has(w->vcpu, X86_CR0_WP));
}

/* Access rights. SDM vol. 3A, 4.6.1. */
static __always_inline bool denied(const struct walk *w)
{
	bool user = w->access & MV_ACCESS_USER, user_page = w->all & _PAGE_USER;

	if (user && !user_page)
		return true;
	if ((w->access & MV_ACCESS_WRITE) && !(w->all & _PAGE_RW) &&
	    (user || mv_cr0_has(w->vcpu, X86_CR0_WP)))
		return true;
	if (w->access & MV_ACCESS_EXEC)
		return (w->nxe && (w->any & _PAGE_NX)) ||
		       (!user && user_page && (w->cr4 & X86_CR4_SMEP));
	/* SMAP: the kernel at user pages, unless it says by AC that it means them. */
	return !user && user_page && (w->cr4 & X86_CR4_SMAP) &&
	       ((w->access & MV_ACCESS_IMPLICIT) || !(mv_rflags(w->vcpu) & X86_EFLAGS_AC));
}

static u32 error_code(const struct walk *w, u32 why)
{
	u32 error = why;

	if (w->access & MV_ACCESS_WRITE)
		error |= X86_PF_WRITE;
	if (w->access & MV_ACCESS_USER)
		error |= X86_PF_USER;
	if ((w->access & MV_ACCESS_EXEC) && (w->nxe || (w->cr4 & X86_CR4_SMEP)))
		error |= X86_PF_INSTR;
	return error;
}

/*
 * In the entry read last, at @gpa. Read-only memory keeps the bits it has.
 * false: another processor has changed it meanwhile.
 */
static bool set_bits(struct walk *w, gpa_t gpa, u64 entry, u64 bits)
{
	u64 old = entry;
	int r;

	if ((old & bits) == bits || (w->slot->flags & KVM_MEM_READONLY))
		return true;
	r = mv_cmpxchg_user(w->steps[w->nr_steps - 1].user, &old, old | bits,
			    w->mode == PAGING_32 ? 4 : 8);
	if (!r)
		mv_mark_page_dirty(w->vcpu->vm, w->slot, gpa_to_gfn(gpa));
	return r <= 0;
}

static __always_inline gpa_t leaf_gpa(enum paging mode, u64 entry, int level, int shift, u64 la)
{
	u64 offset = la & (BIT_ULL(shift) - 1);
	u64 base;

	if (mode == PAGING_32)
		base = level == 2 ? pse36_base(entry) : entry & GENMASK_ULL(31, 12);
	else
		base = entry & GENMASK_ULL(51, 12) & ~(BIT_ULL(shift) - 1);
	return base | offset;
}

/*
 * One attempt: 0 with the address in *@gpa, or -EFAULT with the error code in
 * *@error; -EAGAIN: once more, to set bits or because another processor has
 * changed an entry meanwhile.
 */
static __always_inline int walk_once(struct walk *w, enum paging mode, bool set, u64 la,
				     gpa_t *gpa, u32 *error)
{
	u64 table = mv_cr3(w->vcpu) & (mode == PAGING_LONG ? GENMASK_ULL(51, 12) :
				       mode == PAGING_PAE ? GENMASK_ULL(31, 5) :
							      GENMASK_ULL(31, 12));
	const u64 next_table = mode == PAGING_32 ? GENMASK_ULL(31, 12) : GENMASK_ULL(51, 12);
	const int index_bits = mode == PAGING_32 ? 10 : 9;
	const int entry_shift = mode == PAGING_32 ? 2 : 3;
	const u64 index_mask = (BIT_ULL(index_bits) - 1) << entry_shift;
	u64 reserved = mode == PAGING_32 ? 0 : w->reserved;
	u64 entry, entry_gpa, all = ~0ull, any = 0, wanted = _PAGE_ACCESSED;
	int level, shift;

	if (mode == PAGING_LONG)
		level = w->cr4 & X86_CR4_LA57 ? 5 : 4;
	else
		level = mode == PAGING_PAE ? 3 : 2;
	shift = PAGE_SHIFT + index_bits * (level - 1);
	w->nr_steps = 0;
	for (;; level--, shift -= index_bits) {
		entry_gpa = table + ((la >> (shift - entry_shift)) & index_mask);
		if (read_entry(w, mode, entry_gpa, &entry) || !(entry & _PAGE_PRESENT)) {
			*error = error_code(w, 0);
			return -EFAULT;
		}
		/* Those of PAE's top level were checked when CR3 was loaded. */
		if (!is_pdpte(mode, level)) {
			if (unlikely(entry & reserved))
				goto reserved;
			all &= entry;
			any |= entry;
			/* In the last level this bit is PAT. */
			if (level == 1)
				break;
			if (unlikely(entry & _PAGE_PSE)) {
				if (is_large(w, mode, level)) {
					if (entry & large_reserved(w, mode, level))
						goto reserved;
					break;
				}
				if (mode != PAGING_32)
					goto reserved;
			}
			if (set && !set_bits(w, entry_gpa, entry, _PAGE_ACCESSED))
				return -EAGAIN;
		}
		table = entry & next_table;
	}
	w->all = all;
	w->any = any;
	if (denied(w)) {
		*error = error_code(w, X86_PF_PROT);
		return -EFAULT;
	}
	if (pkey_denies(w, entry)) {
		*error = error_code(w, X86_PF_PROT | X86_PF_PK);
		return -EFAULT;
	}
	*gpa = leaf_gpa(mode, entry, level, shift, la);
	if (w->access & MV_ACCESS_WRITE)
		wanted |= _PAGE_DIRTY;
	if (set)
		return set_bits(w, entry_gpa, entry, wanted) ? 0 : -EAGAIN;
	/* Mostly all bits are set already. */
	w->set = !(all & _PAGE_ACCESSED) || (wanted & ~entry);
	return likely(!w->set) ? 0 : -EAGAIN;
reserved:
	*error = error_code(w, X86_PF_PROT | X86_PF_RSVD);
	return -EFAULT;
}

static int fail(struct mv_walk_fault *fault, u8 vector, u32 error)
{
	if (fault)
		*fault = (struct mv_walk_fault){ .vector = vector, .error = error };
	return -EFAULT;
}

/* vcpu->vm->srcu is held. */
static int walk_locked(struct walk *w, u64 la, gpa_t *gpa, struct mv_walk_fault *fault)
{
	int tries = MV_WALK_TRIES, r;
	u32 error;

	if (!mv_cr0_has(w->vcpu, X86_CR0_PG)) {
		*gpa = (u32)la;
		return 0;
	}
	if (w->mode != PAGING_LONG)
		la = (u32)la;
	else if (!mv_canonical(w->vcpu, la))
		return fail(fault, X86_TRAP_GP, 0);

	do {
		if (likely(w->mode == PAGING_LONG && !w->set))
			r = walk_once(w, PAGING_LONG, false, la, gpa, &error);
		else
			r = walk_once(w, w->mode, w->set, la, gpa, &error);
	} while (r == -EAGAIN && --tries);
	/* A guest that changes its tables without end: *gpa was right when it was read. */
	if (r == -EAGAIN) {
		w->nr_steps = 0;
		return 0;
	}
	return r ? fail(fault, X86_TRAP_PF, error) : 0;
}

static noinline int walk_tables(struct mv_vcpu *vcpu, u64 la, u32 access, gpa_t *gpa,
				struct mv_walk_fault *fault)
{
	struct walk w;
	int idx, r;

	walk_init(&w, vcpu, access);
	idx = srcu_read_lock(&vcpu->vm->srcu);
	r = walk_locked(&w, la, gpa, fault);
	srcu_read_unlock(&vcpu->vm->srcu, idx);
	return r;
}

int mv_walk(struct mv_vcpu *vcpu, u64 la, u32 access, gpa_t *gpa, struct mv_walk_fault *fault)
{
	if (!mv_cr0_has(vcpu, X86_CR0_PG)) {
		*gpa = (u32)la;
		return 0;
	}
	return walk_tables(vcpu, la, access, gpa, fault);
}

/* Two loads that may overlap do for what instructions are fetched by. */
static int read_user(void *buf, const void __user *user, size_t len)
{
	u64 first, last;

	if (len < 8 || len > 16)
		return __copy_from_user(buf, user, len) ? -EFAULT : 0;
	if (__get_user(first, (const u64 __user *)user) ||
	    __get_user(last, (const u64 __user *)(user + len - 8)))
		return -EFAULT;
	memcpy(buf, &first, 8);
	memcpy(buf + len - 8, &last, 8);
	return 0;
}

static struct mv_fetched *fetched(struct mv_vcpu *vcpu, u64 la)
{
	return &vcpu->fetched[(la >> PAGE_SHIFT) % MV_FETCHED];
}

/*
 * The page of @la is where an earlier fetch found it if all entries on the way
 * there are as they were: then they and the instruction are read in one go.
 * vcpu->vm->srcu is held.
 */
static bool fetch_again(struct mv_vcpu *vcpu, u64 la, u32 access, void *buf, size_t len)
{
	const struct mv_fetched *f = fetched(vcpu, la);
	const void __user *user = f->user + offset_in_page(la);
	const struct mv_walk_step *step;
	u64 entry, first, last;

	if (f->key != ((la & PAGE_MASK) | access) || f->cr3 != mv_cr3(vcpu) ||
	    f->cr4 != vcpu->cr4 || f->efer != vcpu->efer || len < 8 || len > 16)
		return false;
	/* Pairs with slots_changed(). */
	if (f->seq != smp_load_acquire(&vcpu->vm->mmu.invalidate_seq) ||
	    !user_access_begin(user, len))
		return false;
	for (step = f->steps; step < f->steps + f->nr_steps; step++) {
		unsafe_get_user(entry, (const u64 __user *)step->user, not_again);
		if (entry != step->entry)
			goto not_again;
	}
	unsafe_get_user(first, (const u64 __user *)user, not_again);
	unsafe_get_user(last, (const u64 __user *)(user + len - 8), not_again);
	user_access_end();
	memcpy(buf, &first, 8);
	memcpy(buf + len - 8, &last, 8);
	return true;

not_again:
	user_access_end();
	return false;
}

/* For fetch_again(). @seq is from before the walk, and @user of the page that it led to. */
static void remember(const struct walk *w, u64 la, const void __user *user, unsigned long seq)
{
	struct mv_fetched *f = fetched(w->vcpu, la);

	f->key = (la & PAGE_MASK) | w->access;
	f->cr3 = mv_cr3(w->vcpu);
	f->cr4 = w->cr4;
	f->efer = w->vcpu->efer;
	f->seq = seq;
	f->user = user;
	f->nr_steps = w->nr_steps;
	memcpy(f->steps, w->steps, w->nr_steps * sizeof(*w->steps));
}

static noinline int fetch_by_walk(struct mv_vcpu *vcpu, u64 la, u32 access, void *buf, size_t len,
				  struct mv_walk_fault *fault)
{
	const void __user *user;
	unsigned long seq;
	struct walk w;
	gpa_t gpa;

	/* Before the slots are looked at; pairs with slots_changed(). */
	seq = smp_load_acquire(&vcpu->vm->mmu.invalidate_seq);
	walk_init(&w, vcpu, access);
	if (walk_locked(&w, la, &gpa, fault))
		return -EFAULT;
	if (!find_slot(&w, gpa_to_gfn(gpa)))
		return MV_FETCH_NO_RAM;
	user = user_address(w.slot, gpa);
	if (read_user(buf, user, len))
		return MV_FETCH_NO_RAM;
	if (w.mode == PAGING_LONG && w.nr_steps)
		remember(&w, la, user - offset_in_page(la), seq);
	return 0;
}

int mv_fetch(struct mv_vcpu *vcpu, u64 la, u32 access, void *buf, size_t len,
	     struct mv_walk_fault *fault)
{
	int idx = srcu_read_lock(&vcpu->vm->srcu), r = 0;

	if (!fetch_again(vcpu, la, access, buf, len))
		r = fetch_by_walk(vcpu, la, access, buf, len, fault);
	srcu_read_unlock(&vcpu->vm->srcu, idx);
	return r;
}
