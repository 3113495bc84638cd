/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A guest that tests the PVH entry: it powers off with status 0 if all is as
 * the protocol says, else with the number of the check that failed.
 */
#define DEBUG_EXIT	0xf4
#define PM1_CONTROL	0x604
#define S5		(5 << 10 | 1 << 13)
#define PHYS32_ENTRY	18

	.macro	check number
	movb	$\number, %al
	jne	power_off
	.endm

	.section .note.Xen, "a", @note
	.long	4, 4, PHYS32_ENTRY
	.asciz	"Xen"
	.long	entry

	.text
	.code32
	.globl	_start
_start:
	ud2				/* the entry of the 64-bit protocol */

entry:
	cmpl	$0x336ec578, (%ebx)	/* start_info.magic */
	check	1
	cmpl	$1, 4(%ebx)		/* .version */
	check	2
	cmpl	$0, 12(%ebx)		/* .nr_modules */
	check	3
	movl	24(%ebx), %esi		/* .cmdline_paddr */
	cmpl	$0x687670, (%esi)	/* "pvh" */
	check	4
	movl	32(%ebx), %esi		/* .rsdp_paddr */
	cmpl	$0x20445352, (%esi)	/* "RSD " */
	check	5
	movl	40(%ebx), %esi		/* .memmap_paddr */
	cmpl	$1, 16(%esi)		/* first entry: RAM at 0 */
	check	6
	cmpl	$0, (%esi)
	check	7
	movl	%cr0, %eax
	andl	$0x80000001, %eax	/* PE, and no paging */
	cmpl	$1, %eax
	check	8
	movl	$0x80000, %esp		/* the stack segment is flat */
	pushl	$0x5a5a5a5a
	cmpl	$0x5a5a5a5a, %ss:0x7fffc
	check	9
	pushfl
	popl	%eax
	testl	$0x200, %eax		/* interrupts are off */
	check	10
	xorl	%eax, %eax

power_off:
	outb	%al, $DEBUG_EXIT
	movw	$PM1_CONTROL, %dx
	movw	$S5, %ax
	outw	%ax, %dx
	hlt

	.section .note.GNU-stack, "", @progbits
