/* SPDX-License-Identifier: GPL-2.0-only */
/* For the backends' entry.S: the guest's general registers in u64 gpr[16], %rsp left out. */
#ifndef MV_ENTRY_H
#define MV_ENTRY_H

/* Offsets into gpr: the encoding order of the registers. */
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

/* From gpr in %rdi, all but %rax; flags are kept. */
.macro LOAD_GPRS
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
.endm

/* To gpr in \base, all but %rax and %rdi, of which it may be either. */
.macro SAVE_GPRS base:req
	mov	%rcx, RCX(\base)
	mov	%rdx, RDX(\base)
	mov	%rbx, RBX(\base)
	mov	%rbp, RBP(\base)
	mov	%rsi, RSI(\base)
	mov	%r8, R8(\base)
	mov	%r9, R9(\base)
	mov	%r10, R10(\base)
	mov	%r11, R11(\base)
	mov	%r12, R12(\base)
	mov	%r13, R13(\base)
	mov	%r14, R14(\base)
	mov	%r15, R15(\base)
.endm

/* All but %rax: no guest value may be left for speculation. */
.macro CLEAR_GPRS
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
.endm

#endif /* MV_ENTRY_H */
