/* SPDX-License-Identifier: GPL-2.0-only */
/* VMRUN and #VMEXIT: APM vol. 2, 15.5 and 15.6. */
#include <linux/linkage.h>
#include <asm/asm.h>
#include <asm/nospec-branch.h>

#include "base/compat.h"
#include "base/entry.h"

.section .noinstr.text, "ax"

/*
 * unsigned long svm_enter(u64 *gpr, u64 vmcb_pa, u64 host_pa)
 *
 * @host_pa: where this CPU's host state was put by VMSAVE
 *
 * From CLGI to STGI nothing interrupts, NMIs and machine checks included: the
 * segment bases and TR are the guest's there. IF is set in between because
 * with V_INTR_MASKING it decides whether host interrupts end the guest. STI's
 * shadow is over before VMRUN, so that none can leak into the guest.
 *
 * The instructions of SVM fault when it has been turned off under us for a
 * reboot or a crash dump. Then they are passed over, and 1 is returned.
 */
SYM_FUNC_START(svm_enter)
	push	%rbp
	push	%r15
	push	%r14
	push	%r13
	push	%r12
	push	%rbx
	push	%rdx
	push	%rdi

1:	clgi
2:	LOAD_GUEST_SPEC_CTRL
	mov	%rsi, %rax
	sti
3:	vmload	%rax
4:
	LOAD_GPRS

	VM_CLEAR_CPU_BUFFERS
5:	vmrun	%rax
	/* RAX and RSP are the host's again: the VMCB, and the pointers pushed above. */
6:	vmsave	%rax
7:	mov	(%rsp), %rax
	SAVE_GPRS %rax
	mov	%rdi, RDI(%rax)
	mov	%rax, %rdi
	mov	8(%rsp), %rax
8:	vmload	%rax
9:	cli

	/* Before the first RET: the guest may have filled the return stack, trained the BTB. */
	FILL_RETURN_BUFFER %rax, RSB_CLEAR_LOOPS, X86_FEATURE_RSB_VMEXIT
	RESTORE_HOST_SPEC_CTRL
	UNTRAIN_RET_VM
	add	$16, %rsp

	/* No guest value may be left for speculation; what is popped below is not. */
	xor	%eax, %eax
	CLEAR_GPRS

10:	stgi
.Lpop:
	pop	%rbx
	pop	%r12
	pop	%r13
	pop	%r14
	pop	%r15
	pop	%rbp
	RET

	/* STGI is the last of those that fault. */
.Lfault_stgi:
	mov	$1, %eax
	jmp	.Lpop

	_ASM_EXTABLE(1b, 2b)
	_ASM_EXTABLE(3b, 4b)
	_ASM_EXTABLE(5b, 6b)
	_ASM_EXTABLE(6b, 7b)
	_ASM_EXTABLE(8b, 9b)
	_ASM_EXTABLE(10b, .Lfault_stgi)
SYM_FUNC_END(svm_enter)
