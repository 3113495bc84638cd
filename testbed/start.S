/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A PC option ROM that starts the kernel, for Bochs: the BIOS has set up its tables by then, and
 * no boot device, boot loader or decompressor costs emulated time. The kernel is entered at its
 * ELF entry point as its own decompressor does it: in 64-bit mode, identity mapping, boot_params
 * in rsi. (The PVH entry point would be simpler, but with KASAN the kernel crashes there.)
 *
 * Bochs copies a file into guest memory at the start ("optramimage"), but wrongly when it is longer
 * than one block: it writes the file across consecutive blocks of its pool, and the pool's
 * blocks become guest memory in the order in which the guest first touches them. So the file begins
 * with PAD blocks, each marked, that stand for those which the BIOS has touched. This code touches
 * fresh memory until it sees the mark of the last one; the next addresses that it touches in
 * ascending order are the kernel and the initrd.
 *
 * Symbols from the command line: ENTRY, KERNEL, INITRD, INITRD_SIZE, MEM (bytes);
 * the file "cmdline" holds the kernel's command line.
 */
#define BASE		0xd0000
#define BLOCK		0x20000
#define PAD_FROM	0x200000
#define PAD_LAST	0x4c646170	/* "padL" */
#define PAGE_TABLES	0x10000		/* three pages, zero: nobody has used them yet */

#define ADDR(label)	(BASE + (label) - rom)

#define CODE32		8
#define DATA		16
#define CODE64		24

#define PTE_TABLE	3		/* present, writable */
#define PTE_LARGE	0x83		/* and a large page */
#define CR4_PAE		(1 << 5)
#define MSR_EFER	0xc0000080
#define EFER_LME	(1 << 8)
#define CR0_PE		(1 << 0)
#define CR0_PG		(1 << 31)

#define E820_RAM	1
#define E820_RESERVED	2
#define E820_ACPI	3

	.code16
rom:
	.byte 0x55, 0xaa, (rom_end - rom) / 512
	cli
	lgdtl %cs:gdtr - rom
	mov %cr0, %eax
	or $CR0_PE, %al
	mov %eax, %cr0
	ljmpl $CODE32, $ADDR(protected)

	.code32
protected:
	mov $DATA, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss

	mov $PAD_FROM, %esi
skip_pad:
	cmp $KERNEL, %esi
	je lost
	mov (%esi), %eax
	add $BLOCK, %esi
	cmp $PAD_LAST, %eax
	jne skip_pad

	mov $KERNEL, %esi
touch:
	mov (%esi), %eax
	add $BLOCK, %esi
	cmp $INITRD + INITRD_SIZE, %esi
	jb touch

	/* Map the first GiB to itself. */
	movl $PAGE_TABLES + 0x1000 + PTE_TABLE, PAGE_TABLES
	movl $PAGE_TABLES + 0x2000 + PTE_TABLE, PAGE_TABLES + 0x1000
	mov $PAGE_TABLES + 0x2000, %edi
	mov $PTE_LARGE, %eax
map:
	mov %eax, (%edi)
	add $8, %edi
	add $0x200000, %eax
	cmp $0x40000000, %eax
	jb map

	mov $CR4_PAE, %eax
	mov %eax, %cr4
	mov $PAGE_TABLES, %eax
	mov %eax, %cr3
	mov $MSR_EFER, %ecx
	xor %edx, %edx
	mov $EFER_LME, %eax
	wrmsr
	mov $(CR0_PG | CR0_PE), %eax
	mov %eax, %cr0
	ljmpl $CODE64, $ADDR(long)

	.code64
long:
	mov $ADDR(boot_params), %esi
	mov $ENTRY, %eax
	jmp *%rax

	/* Port 0x8900 with this text ends Bochs. */
	.code32
lost:
	mov $ADDR(shutdown), %esi
	mov $shutdown_end - shutdown, %ecx
	mov $0x8900, %edx
	cld
	rep outsb
	hlt

shutdown:
	.ascii "Shutdown"
shutdown_end:

	.balign 8
gdt:
	.quad 0
	.quad 0x00cf9b000000ffff
	.quad 0x00cf93000000ffff
	.quad 0x00af9b000000ffff
gdtr:
	.word . - gdt - 1
	.long ADDR(gdt)

	/* struct boot_params, by the offsets of Documentation/x86/{boot,zero-page}.rst */
	.balign 16
boot_params:
	.org boot_params + 0x1e8
	.byte (e820_end - e820) / 20
	.org boot_params + 0x1fe
	.word 0xaa55
	.org boot_params + 0x202
	.ascii "HdrS"
	.word 0x20c
	.org boot_params + 0x210
	.byte 0xff, 1			/* type_of_loader unknown, loadflags LOADED_HIGH */
	.org boot_params + 0x218
	.long INITRD, INITRD_SIZE
	.org boot_params + 0x228
	.long ADDR(cmdline)
	.org boot_params + 0x2d0
e820:
	.quad 0, 0x9fc00
	.long E820_RAM
	.quad 0xe0000, 0x20000
	.long E820_RESERVED
	.quad 0x100000, MEM - 0x110000
	.long E820_RAM
	.quad MEM - 0x10000, 0x10000
	.long E820_ACPI
e820_end:
	.org boot_params + 0x1000
cmdline:
	.incbin "cmdline"
	.byte 0
	.balign 512
	.space 511
checksum:
	.byte 0
rom_end:
