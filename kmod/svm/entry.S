/* SPDX-License-Identifier: GPL-2.0-only */
/* VMRUN and #VMEXIT: APM vol. 2, 15.5 and 15.6. */
#include <linux/linkage.h>
#include <asm/asm.h>
#include <asm/nospec-branch.h>

#include "compat.h"

/* Offsets into u64 gpr[16]; RAX and RSP are in the VMCB. */
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
	mov	%rsi, %rax

1:	clgi
2:	sti
3:	vmload	%rax
4:
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

	VM_CLEAR_CPU_BUFFERS
5:	vmrun	%rax
	/* RAX and RSP are the host's again: the VMCB, and the pointers pushed above. */
6:	vmsave	%rax
7:	pop	%rax
	mov	%rcx, RCX(%rax)
	mov	%rdx, RDX(%rax)
	mov	%rbx, RBX(%rax)
	mov	%rbp, RBP(%rax)
	mov	%rsi, RSI(%rax)
	mov	%rdi, RDI(%rax)
	mov	%r8, R8(%rax)
	mov	%r9, R9(%rax)
	mov	%r10, R10(%rax)
	mov	%r11, R11(%rax)
	mov	%r12, R12(%rax)
	mov	%r13, R13(%rax)
	mov	%r14, R14(%rax)
	mov	%r15, R15(%rax)
	pop	%rax
8:	vmload	%rax
9:	cli

	/* Before the first RET: the guest may have filled the return stack, trained the BTB. */
	FILL_RETURN_BUFFER %rax, RSB_CLEAR_LOOPS, X86_FEATURE_RSB_VMEXIT
	UNTRAIN_RET_VM

	/* No guest value may be left for speculation; what is popped below is not. */
	xor	%eax, %eax
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
