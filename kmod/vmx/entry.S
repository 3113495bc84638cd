/* SPDX-License-Identifier: GPL-2.0-only */
/* VM entry and exit: SDM vol. 3C, chapters 27 and 28. */
#include <linux/linkage.h>
#include <asm/asm.h>
#include <asm/nospec-branch.h>
#include <asm/unwind_hints.h>

#include "base/compat.h"
#include "base/entry.h"

#define HOST_RSP 0x6c14

.section .noinstr.text, "ax"

/*
 * unsigned long vmx_enter(u64 *gpr, unsigned long *host_rsp, bool launched)
 *
 * *host_rsp is HOST_RSP as last written, so that the VMWRITE is only made when
 * the call came from another stack depth.
 */
SYM_FUNC_START(vmx_enter)
	push	%rbp
	push	%r15
	push	%r14
	push	%r13
	push	%r12
	push	%rbx
	push	%rdi

	cmp	%rsp, (%rsi)
	je	.Lrsp_current
	mov	%rsp, (%rsi)
	mov	$HOST_RSP, %eax
	vmwrite	%rsp, %rax
.Lrsp_current:
	mov	%edx, %r8d
	LOAD_GUEST_SPEC_CTRL
	/* Into CF: the moves and VERW below keep it. */
	bt	$0, %r8d

	mov	RAX(%rdi), %rax
	LOAD_GPRS

	CLEAR_CPU_BUFFERS

	/* For the unwinder: VM exit comes back with the stack as it is here. */
	UNWIND_HINT_SAVE
	jnc	.Llaunch
	vmresume
	jmp	.Lfailed
.Llaunch:
	vmlaunch
.Lfailed:
	/* VMfail: no guest has run, and the registers hold its values. */
	mov	$1, %eax
	jmp	.Lclear

	/* HOST_RIP. RSP is HOST_RSP; everything else is the guest's. */
SYM_INNER_LABEL_ALIGN(vmx_exit_entry, SYM_L_GLOBAL)
	ANNOTATE_NOENDBR
	UNWIND_HINT_RESTORE
	push	%rdi
	mov	8(%rsp), %rdi
	mov	%rax, RAX(%rdi)
	SAVE_GPRS %rdi
	pop	RDI(%rdi)
	xor	%eax, %eax
.Lclear:
	/* No guest value may be left for speculation; what is popped below is not. */
	CLEAR_GPRS

	/* Before the first RET: the guest may have filled the return stack. */
	FILL_RETURN_BUFFER %rcx, RSB_CLEAR_LOOPS, X86_FEATURE_RSB_VMEXIT, \
			   X86_FEATURE_RSB_VMEXIT_LITE
	pop	%rdi
	mov	%eax, %ebx
	RESTORE_HOST_SPEC_CTRL
	CLEAR_BRANCH_HISTORY_VMEXIT
	mov	%ebx, %eax
	pop	%rbx
	pop	%r12
	pop	%r13
	pop	%r14
	pop	%r15
	pop	%rbp
	RET
SYM_FUNC_END(vmx_enter)

/*
 * u64 vmx_swap_gs_base(u64 base)
 *
 * For the time between the two SWAPGS the kernel's GS base is not in place: an
 * NMI or machine check brings its own, and what else may come is held off.
 */
SYM_FUNC_START(vmx_swap_gs_base)
	swapgs
	rdgsbase %rax
	wrgsbase %rdi
	swapgs
	RET
SYM_FUNC_END(vmx_swap_gs_base)
