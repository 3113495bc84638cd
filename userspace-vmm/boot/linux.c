// SPDX-License-Identifier: GPL-2.0
/*
 * bzImage, and the 64-bit boot protocol: Documentation/x86/boot.rst of the
 * kernel.
 */
#include <assert.h>
#include <string.h>
#include "boot.h"

#define HEADER_OFFSET	0x1f1
#define BOOT_FLAG	0xaa55
#define HEADER_MAGIC	0x53726448 /* "HdrS" */
#define PROTOCOL_64BIT	0x020c
#define ENTRY_64BIT	0x200
#define SECTOR		512
#define LOADER_UNKNOWN	0xff
#define VGA_NORMAL	0xffff

#define PTE_PRESENT_WRITE 0x3ULL
#define PTE_LARGE	  0x80ULL

static_assert(offsetof(struct boot_params, hdr) == HEADER_OFFSET, "struct boot_params");
static_assert(sizeof(struct boot_params) == SZ_4K, "struct boot_params");

/* In bytes: the boot sector, the setup code, then the kernel itself. */
static size_t setup_size(const struct setup_header *hdr)
{
	return (1 + (hdr->setup_sects ? hdr->setup_sects : 4)) * SECTOR;
}

static void bzimage_load(const struct kernel *kernel, struct memory *mem)
{
	size_t skip = setup_size(&kernel->hdr);
	size_t size = min(kernel->file.size - skip, kernel->end - kernel->start);

	memcpy(memory_at(mem, kernel->start, size), kernel->file.data + skip, size);
}

bool bzimage_parse(struct kernel *kernel)
{
	const struct file *file = &kernel->file;
	struct setup_header *hdr = &kernel->hdr;
	size_t len;

	if (file->size < HEADER_OFFSET + sizeof(*hdr))
		return false;
	/* The header ends where the jump over it goes: later kernels know more, older less. */
	len = 0x202 + file->data[0x201] - HEADER_OFFSET;
	memcpy(hdr, file->data + HEADER_OFFSET, min(len, sizeof(*hdr)));
	if (hdr->boot_flag != BOOT_FLAG || hdr->header != HEADER_MAGIC)
		return false;
	if (hdr->version < PROTOCOL_64BIT || !(hdr->xloadflags & XLF_KERNEL_64))
		die(STATUS_HOST_ERROR,
		    "%s has no 64-bit entry (boot protocol %u.%02u): it is a 32-bit or a very old kernel",
		    file->path, hdr->version >> 8, hdr->version & 0xff);
	if (file->size <= setup_size(hdr) ||
	    file->size + 15 < setup_size(hdr) + hdr->syssize * 16ULL)
		die(STATUS_HOST_ERROR, "%s is cut short: %zu bytes of %llu", file->path, file->size,
		    (unsigned long long)(setup_size(hdr) + hdr->syssize * 16ULL));

	kernel->protocol = BOOT_LINUX64;
	kernel->load = bzimage_load;
	/* Relocatable or not: it runs nowhere below its preferred address. */
	kernel->start = hdr->pref_address;
	kernel->end = hdr->pref_address + hdr->init_size;
	kernel->entry = hdr->pref_address + ENTRY_64BIT;
	kernel->initrd_max = hdr->initrd_addr_max;
	kernel->cmdline_max = hdr->cmdline_size;
	return true;
}

/* The protocol: kernel, boot_params and command line are mapped where they are. */
static void write_page_tables(struct memory *mem)
{
	uint64_t *pml4 = memory_at(mem, GPA_PAGE_TABLES, 6 * SZ_4K);
	uint64_t *pdpt = pml4 + 512;
	uint64_t *pd = pdpt + 512;

	pml4[0] = (GPA_PAGE_TABLES + SZ_4K) | PTE_PRESENT_WRITE;
	for (uint64_t i = 0; i < 4; i++)
		pdpt[i] = (GPA_PAGE_TABLES + (2 + i) * SZ_4K) | PTE_PRESENT_WRITE;
	for (uint64_t i = 0; i < 4 * 512; i++)
		pd[i] = i * SZ_2M | PTE_PRESENT_WRITE | PTE_LARGE;
}

static void write_gdt(struct memory *mem)
{
	uint64_t *gdt = memory_at(mem, GPA_GDT, BOOT_GDT_SIZE);

	gdt[BOOT_CS / 8] = 0x00af9b000000ffffULL; /* 64-bit code */
	gdt[BOOT_DS / 8] = 0x00cf93000000ffffULL; /* flat data */
	gdt[BOOT_TR / 8] = 0x00008b0000000067ULL; /* busy TSS at 0 */
}

void linux_write_params(struct memory *mem, const struct kernel *kernel,
			const struct boot_info *info)
{
	struct boot_params *params = memory_at(mem, GPA_BOOT_PARAMS, sizeof(*params));

	params->hdr = kernel->hdr;
	params->hdr.type_of_loader = LOADER_UNKNOWN;
	params->hdr.vid_mode = VGA_NORMAL;
	params->hdr.code32_start = kernel->start;
	params->hdr.cmd_line_ptr = GPA_CMDLINE;
	params->hdr.ramdisk_image = info->initrd;
	params->hdr.ramdisk_size = info->initrd_size;
	params->acpi_rsdp_addr = info->rsdp;
	params->e820_entries = boot_memory_map(mem, params->e820_table);
	write_page_tables(mem);
	write_gdt(mem);
}
