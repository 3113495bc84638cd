/* SPDX-License-Identifier: GPL-2.0-only */
/* The exception entries of 64-bit guests: 256 stubs of 16 bytes each. */

	.section .note.GNU-stack, "", @progbits

	.text
	.globl	guest_ex_stubs
	.balign	16
guest_ex_stubs:
	vector = 0
	.rept	256
	.balign	16
	/* These push an error code of their own (SDM vol. 3A, 6.3.1). */
	.if vector != 8 && (vector < 10 || vector > 14) && vector != 17 && vector != 21
	pushq	$0
	.endif
	pushq	$vector
	jmp	ex_common
	vector = vector + 1
	.endr

ex_common:
	pushq	%rax
	pushq	%rcx
	pushq	%rdx
	pushq	%rbx
	pushq	%rbp
	pushq	%rsi
	pushq	%rdi
	pushq	%r8
	pushq	%r9
	pushq	%r10
	pushq	%r11
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	cld
	movq	%rsp, %rdi
	/* An interrupt aligns the stack to 16 bytes; 22 words came on it since. */
	call	guest_exception
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%r11
	popq	%r10
	popq	%r9
	popq	%r8
	popq	%rdi
	popq	%rsi
	popq	%rbp
	popq	%rbx
	popq	%rdx
	popq	%rcx
	popq	%rax
	addq	$16, %rsp
	iretq
