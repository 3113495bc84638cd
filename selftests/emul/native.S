/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Runs one instruction on the real processor, with all registers as struct native_state has them,
 * in 64-bit code or in a 16- or 32-bit code segment. Linked at a fixed address below 2 GiB, so
 * that absolute addresses work in every mode and no register is taken by the harness.
 */
#define GPR(n)		native_state + 8 * (n)
#define RFLAGS		native_state + 128
#define TARGET		native_state + 136	/* offset and selector of the instruction */
#define DS_ES_SS	native_state + 144
#define XMM(n)		native_state + 160 + 16 * (n)

	.bss
	.balign 16
	.globl native_state
native_state:
	.skip 160 + 256
host_rsp:
	.skip 8

	.text
	.globl native_run
	.type native_run, @function
native_run:
	push %rbx
	push %rbp
	push %r12
	push %r13
	push %r14
	push %r15
	mov %rsp, host_rsp
	mov DS_ES_SS, %ds
	mov DS_ES_SS + 2, %es
	.irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	movups XMM(\n), %xmm\n
	.endr
	pushq RFLAGS
	popfq
	mov GPR(0), %rax
	mov GPR(1), %rcx
	mov GPR(2), %rdx
	mov GPR(3), %rbx
	mov DS_ES_SS + 4, %ss
	mov GPR(4), %rsp
	mov GPR(5), %rbp
	mov GPR(6), %rsi
	mov GPR(7), %rdi
	.irp n, 8, 9, 10, 11, 12, 13, 14, 15
	mov GPR(\n), %r\n
	.endr
	ljmp *TARGET

	/* The instruction jumps here, to selector 0x33. */
	.globl native_done
native_done:
	mov %rax, GPR(0)
	mov $0x2b, %eax
	mov %eax, %ss
	mov %rcx, GPR(1)
	mov %rdx, GPR(2)
	mov %rbx, GPR(3)
	mov %rsp, GPR(4)
	mov host_rsp, %rsp
	mov %rbp, GPR(5)
	mov %rsi, GPR(6)
	mov %rdi, GPR(7)
	.irp n, 8, 9, 10, 11, 12, 13, 14, 15
	mov %r\n, GPR(\n)
	.endr
	pushfq
	popq RFLAGS
	.irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	movups %xmm\n, XMM(\n)
	.endr
	xor %eax, %eax
	mov %eax, %ds
	mov %eax, %es
	cld
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbp
	pop %rbx
	ret
	.size native_run, . - native_run

	.section .note.GNU-stack, "", @progbits
