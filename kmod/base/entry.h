/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * For the backends' entry.S: the guest's general registers in u64 gpr[16], %rsp
 * left out, and its IA32_SPEC_CTRL, which is behind them in struct mv_vcpu.
 */
#ifndef MV_BASE_ENTRY_H
#define MV_BASE_ENTRY_H

#include <asm/alternative.h>
#include <asm/cpufeatures.h>
#include <asm/msr-index.h>
#include <asm/percpu.h>

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
/* Behind gpr */
#define SPEC_CTRL 0x80
#define SPEC_CTRL_SWITCHED 0x88

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

/*
 * gpr in %rdi, interrupts off; spoils %rax, %rcx, %rdx and flags. Until a guest
 * writes the register, the host's value stays in force for it.
 */
.macro LOAD_GUEST_SPEC_CTRL
	ALTERNATIVE "jmp .Lguest_spec_ctrl_done\@", "", X86_FEATURE_MSR_SPEC_CTRL
	testb	$1, SPEC_CTRL_SWITCHED(%rdi)
	jz	.Lguest_spec_ctrl_done\@
	mov	SPEC_CTRL(%rdi), %eax
	cmp	PER_CPU_VAR(x86_spec_ctrl_current), %eax
	je	.Lguest_spec_ctrl_done\@
	mov	$MSR_IA32_SPEC_CTRL, %ecx
	xor	%edx, %edx
	wrmsr
.Lguest_spec_ctrl_done\@:
.endm

/*
 * Likewise, after the exit, with the host's GS base in place, before any RET. Legacy IBRS,
 * where the host uses it, protects from its last write on: that is made after every exit.
 */
.macro RESTORE_HOST_SPEC_CTRL
	ALTERNATIVE "jmp .Lhost_spec_ctrl_done\@", "", X86_FEATURE_MSR_SPEC_CTRL
	mov	$MSR_IA32_SPEC_CTRL, %ecx
	testb	$1, SPEC_CTRL_SWITCHED(%rdi)
	jz	.Lhost_spec_ctrl_same\@
	rdmsr
	mov	%eax, SPEC_CTRL(%rdi)
	cmp	PER_CPU_VAR(x86_spec_ctrl_current), %eax
	jne	.Lhost_spec_ctrl_write\@
.Lhost_spec_ctrl_same\@:
	ALTERNATIVE "jmp .Lhost_spec_ctrl_barrier\@", "", X86_FEATURE_KERNEL_IBRS
.Lhost_spec_ctrl_write\@:
	mov	PER_CPU_VAR(x86_spec_ctrl_current), %eax
	xor	%edx, %edx
	wrmsr
.Lhost_spec_ctrl_barrier\@:
	/* No branch above may be guessed around the write. */
	lfence
.Lhost_spec_ctrl_done\@:
.endm

#endif /* MV_BASE_ENTRY_H */
