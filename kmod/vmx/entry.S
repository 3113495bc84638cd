/* SPDX-License-Identifier: GPL-2.0-only */
/* VM entry and exit: SDM vol. 3C, chapters 27 and 28. */
#include <linux/linkage.h>
#include <asm/asm.h>
#include <asm/nospec-branch.h>
#include <asm/unwind_hints.h>

#define HOST_RSP 0x6c14

/* Offsets into u64 gpr[16]: the encoding order of the registers. */
#define RAX 0x00
#define RCX 0x08
#define RDX 0x10
#define RBX 0x18
#define RBP 0x28
#define RSI 0x30
#define RDI 0x38
#define R8 0x40
#define R9 0x48
#define R10 0x50
#define R11 0x58
#define R12 0x60
#define R13 0x68
#define R14 0x70
#define R15 0x78

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
	/* Into CF: the moves and VERW below keep it. */
	bt	$0, %edx

	mov	RAX(%rdi), %rax
	mov	RCX(%rdi), %rcx
	mov	RDX(%rdi), %rdx
	mov	RBX(%rdi), %rbx
	mov	RBP(%rdi), %rbp
	mov	RSI(%rdi), %rsi
	mov	R8(%rdi), %r8
	mov	R9(%rdi), %r9
	mov	R10(%rdi), %r10
	mov	R11(%rdi), %r11
	mov	R12(%rdi), %r12
	mov	R13(%rdi), %r13
	mov	R14(%rdi), %r14
	mov	R15(%rdi), %r15
	mov	RDI(%rdi), %rdi

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
	pop	%rdi
	mov	$1, %eax
	jmp	.Lclear

	/* HOST_RIP. RSP is HOST_RSP; everything else is the guest's. */
SYM_INNER_LABEL_ALIGN(vmx_exit_entry, SYM_L_GLOBAL)
	ANNOTATE_NOENDBR
	UNWIND_HINT_RESTORE
	push	%rdi
	mov	8(%rsp), %rdi
	mov	%rax, RAX(%rdi)
	mov	%rcx, RCX(%rdi)
	mov	%rdx, RDX(%rdi)
	mov	%rbx, RBX(%rdi)
	mov	%rbp, RBP(%rdi)
	mov	%rsi, RSI(%rdi)
	mov	%r8, R8(%rdi)
	mov	%r9, R9(%rdi)
	mov	%r10, R10(%rdi)
	mov	%r11, R11(%rdi)
	mov	%r12, R12(%rdi)
	mov	%r13, R13(%rdi)
	mov	%r14, R14(%rdi)
	mov	%r15, R15(%rdi)
	pop	RDI(%rdi)
	pop	%rdi
	xor	%eax, %eax
.Lclear:
	/* No guest value may be left for speculation; what is popped below is not. */
	xor	%ecx, %ecx
	xor	%edx, %edx
	xor	%esi, %esi
	xor	%edi, %edi
	xor	%r8d, %r8d
	xor	%r9d, %r9d
	xor	%r10d, %r10d
	xor	%r11d, %r11d
	xor	%ebx, %ebx
	xor	%ebp, %ebp
	xor	%r12d, %r12d
	xor	%r13d, %r13d
	xor	%r14d, %r14d
	xor	%r15d, %r15d

	/* Before the first RET: the guest may have filled the return stack. */
	FILL_RETURN_BUFFER %rcx, RSB_CLEAR_LOOPS, X86_FEATURE_RSB_VMEXIT, \
			   X86_FEATURE_RSB_VMEXIT_LITE
#ifdef X86_FEATURE_CLEAR_BHB_LOOP_ON_VMEXIT
	CLEAR_BRANCH_HISTORY_VMEXIT
#endif
	pop	%rbx
	pop	%r12
	pop	%r13
	pop	%r14
	pop	%r15
	pop	%rbp
	RET
SYM_FUNC_END(vmx_enter)
