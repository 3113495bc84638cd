/* SPDX-License-Identifier: GPL-2.0-only */
/* What differs between the kernel versions that minivirt builds on: 6.1 to 6.12. */
#ifndef MV_BASE_COMPAT_H
#define MV_BASE_COMPAT_H

#include <linux/version.h>
#include <asm/nospec-branch.h>

#ifdef __ASSEMBLY__

/*
 * CLEAR_BRANCH_HISTORY_VMEXIT stands for either feature. 6.1.85, 6.6.26 and 6.9 were the first to
 * have it; what is older lacks VM_CLEAR_CPU_BUFFERS and x86_clear_cpu_buffers(), too.
 */
#if !defined(X86_FEATURE_CLEAR_BHB_LOOP_ON_VMEXIT) && !defined(X86_FEATURE_CLEAR_BHB_VMEXIT)
#error "this kernel has no known way to clear the branch history at VM exit (BHI)"
#endif

/* 6.1 has it only in two parts. */
#ifndef UNTRAIN_RET_VM
.macro UNTRAIN_RET_VM
	UNTRAIN_RET
	ALTERNATIVE "", "call entry_ibpb", X86_FEATURE_IBPB_ON_VMEXIT
.endm
#endif

#else

#include <linux/eventfd.h>
#include <linux/kvm.h>
#include <linux/mm.h>
#include <asm/cpufeature.h>
#include <asm/pkru.h>
#include <asm/vmx.h>

/* FRED replaces the IDT that exits hand NMIs and machine checks to. */
static inline bool mv_fred_enabled(void)
{
#ifdef X86_FEATURE_FRED
	return cpu_feature_enabled(X86_FEATURE_FRED);
#else
	return false;
#endif
}

static inline void mv_eventfd_signal(struct eventfd_ctx *ctx)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 8, 0)
	eventfd_signal(ctx);
#else
	eventfd_signal(ctx, 1);
#endif
}

/* Userspace writes it at any time. */
static inline bool mv_immediate_exit(struct kvm_run *run)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 10, 0)
	return READ_ONCE(run->immediate_exit__unsafe);
#else
	return READ_ONCE(run->immediate_exit);
#endif
}

#ifndef SECONDARY_EXEC_ENABLE_XSAVES
#define SECONDARY_EXEC_ENABLE_XSAVES SECONDARY_EXEC_XSAVES
#endif

/* VMSCAPE: a guest has run here; flush its branch predictions before userspace runs again. */
static inline void mv_note_guest_ran(void)
{
#ifdef X86_FEATURE_IBPB_EXIT_TO_USER
	if (cpu_feature_enabled(X86_FEATURE_IBPB_EXIT_TO_USER))
		this_cpu_write(x86_ibpb_exit_to_user, true);
#elif LINUX_VERSION_CODE >= KERNEL_VERSION(6, 17, 0) /* and since 6.1.152, 6.6.106, 6.12.47 */
#error "this kernel has no known way to flush branch predictions before userspace (VMSCAPE)"
#endif
}

/* MMIO stale data alone, of the vulnerabilities by buffers: VERW only for guests with MMIO. */
static __always_inline bool mv_mmio_leaks_buffers(void)
{
#ifdef X86_FEATURE_CLEAR_CPU_BUF_VM_MMIO /* 6.19 */
	return cpu_feature_enabled(X86_FEATURE_CLEAR_CPU_BUF_VM_MMIO);
#elif LINUX_VERSION_CODE >= KERNEL_VERSION(6, 16, 0)
	return static_branch_unlikely(&cpu_buf_vm_clear);
#else
	return static_branch_unlikely(&mmio_stale_data_clear);
#endif
}

/* A wait for userfaultfd or for I/O ends with any signal, not with a fatal one only. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 2, 0)
#define MV_FOLL_INTERRUPTIBLE FOLL_INTERRUPTIBLE
#else
#define MV_FOLL_INTERRUPTIBLE 0
#endif

/* The page frame that a VM_IO or VM_PFNMAP area has mapped; mmap_lock is held. */
static inline int mv_follow_pfn(struct vm_area_struct *vma, unsigned long addr, u64 *pfn,
				bool *writable)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0)
	struct follow_pfnmap_args args = { .vma = vma, .address = addr };
	int r = follow_pfnmap_start(&args);

	if (r)
		return r;
	*pfn = args.pfn;
	*writable = args.writable;
	follow_pfnmap_end(&args);
#else
	spinlock_t *lock; /* of the page table */
	pte_t *pte;
	int r = follow_pte(vma->vm_mm, addr, &pte, &lock);

	if (r)
		return r;
	__acquire(lock); /* for sparse: follow_pte() says nothing of it */
	*pfn = pte_pfn(*pte);
	*writable = pte_write(*pte);
	pte_unmap_unlock(pte, lock);
#endif
	return 0;
}

#endif /* __ASSEMBLY__ */

#endif /* MV_BASE_COMPAT_H */
