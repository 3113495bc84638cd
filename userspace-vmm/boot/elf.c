// SPDX-License-Identifier: GPL-2.0
/*
 * An ELF vmlinux: entered by its PVH note if it has one, else by the 64-bit
 * boot protocol.
 */
#include <elf.h>
#include <string.h>
#include "boot.h"

#define XEN_ELFNOTE_PHYS32_ENTRY 18
#define NOTE_ALIGN		 4

#define COMMAND_LINE_MAX 2047 /* x86's COMMAND_LINE_SIZE; an ELF file does not tell */
#define HEADER_MAGIC	 0x53726448
#define BOOT_FLAG	 0xaa55
#define PROTOCOL	 0x020f
#define KERNEL_ALIGN	 SZ_2M

static const Elf64_Ehdr *elf_header(const struct kernel *kernel)
{
	return (const Elf64_Ehdr *)kernel->file.data;
}

static void broken(const struct kernel *kernel, const char *why)
{
	die(STATUS_HOST_ERROR, "%s is not a kernel: %s", kernel->file.path, why);
}

/* Program header @i, checked to lie in the file with all that it names. */
static Elf64_Phdr program_header(const struct kernel *kernel, unsigned int i)
{
	const Elf64_Ehdr *eh = elf_header(kernel);
	size_t size = kernel->file.size;
	Elf64_Phdr ph;

	if (eh->e_phentsize != sizeof(ph) || eh->e_phoff > size ||
	    (size - eh->e_phoff) / sizeof(ph) <= i)
		broken(kernel, "its ELF program headers are cut short");
	memcpy(&ph, kernel->file.data + eh->e_phoff + i * sizeof(ph), sizeof(ph));
	if (ph.p_offset > size || ph.p_filesz > size - ph.p_offset)
		broken(kernel, "an ELF segment is cut short");
	return ph;
}

static void elf_load(const struct kernel *kernel, struct memory *mem)
{
	for (unsigned int i = 0; i < elf_header(kernel)->e_phnum; i++) {
		Elf64_Phdr ph = program_header(kernel, i);

		/* What is behind p_filesz is zero already. */
		if (ph.p_type == PT_LOAD && ph.p_filesz)
			memcpy(memory_at(mem, ph.p_paddr, ph.p_memsz),
			       kernel->file.data + ph.p_offset, ph.p_filesz);
	}
}

static void find_extent(struct kernel *kernel)
{
	kernel->start = UINT64_MAX;
	for (unsigned int i = 0; i < elf_header(kernel)->e_phnum; i++) {
		Elf64_Phdr ph = program_header(kernel, i);

		if (ph.p_type != PT_LOAD)
			continue;
		if (ph.p_filesz > ph.p_memsz || ph.p_memsz > SZ_4G || ph.p_paddr > SZ_4G)
			broken(kernel, "an ELF segment has an impossible size or address");
		if (!ph.p_memsz)
			continue;
		kernel->start = min(kernel->start, ph.p_paddr);
		if (ph.p_paddr + ph.p_memsz > kernel->end)
			kernel->end = ph.p_paddr + ph.p_memsz;
	}
	if (!kernel->end)
		broken(kernel, "its ELF file has nothing to load");
}

/* The PVH entry point in a segment of notes, or 0. */
static uint32_t find_pvh_note(const uint8_t *notes, size_t size)
{
	Elf64_Nhdr nh;

	while (size >= sizeof(nh)) {
		size_t name, desc;
		uint32_t entry;

		memcpy(&nh, notes, sizeof(nh));
		name = align_up((size_t)nh.n_namesz, NOTE_ALIGN);
		desc = align_up((size_t)nh.n_descsz, NOTE_ALIGN);
		notes += sizeof(nh);
		size -= sizeof(nh);
		if (name > size || desc > size - name)
			break;
		if (nh.n_type == XEN_ELFNOTE_PHYS32_ENTRY && nh.n_namesz == sizeof("Xen") &&
		    !memcmp(notes, "Xen", sizeof("Xen")) && nh.n_descsz >= sizeof(entry)) {
			memcpy(&entry, notes + name, sizeof(entry));
			return entry;
		}
		notes += name + desc;
		size -= name + desc;
	}
	return 0;
}

static uint32_t find_pvh_entry(const struct kernel *kernel)
{
	uint32_t entry = 0;

	for (unsigned int i = 0; i < elf_header(kernel)->e_phnum && !entry; i++) {
		Elf64_Phdr ph = program_header(kernel, i);

		if (ph.p_type == PT_NOTE)
			entry = find_pvh_note(kernel->file.data + ph.p_offset, ph.p_filesz);
	}
	return entry;
}

bool elf_parse(struct kernel *kernel)
{
	const Elf64_Ehdr *eh = elf_header(kernel);

	if (kernel->file.size < SELFMAG || memcmp(eh->e_ident, ELFMAG, SELFMAG))
		return false;
	if (kernel->file.size < sizeof(*eh) || eh->e_ident[EI_CLASS] != ELFCLASS64 ||
	    eh->e_ident[EI_DATA] != ELFDATA2LSB || eh->e_machine != EM_X86_64)
		broken(kernel, "its ELF file is not for x86-64");
	if (eh->e_type != ET_EXEC && eh->e_type != ET_DYN)
		broken(kernel, "its ELF file is not an executable");
	find_extent(kernel);

	kernel->load = elf_load;
	kernel->initrd_max = UINT32_MAX;
	kernel->cmdline_max = COMMAND_LINE_MAX;
	kernel->entry = find_pvh_entry(kernel);
	if (kernel->entry) {
		kernel->protocol = BOOT_PVH;
		return true;
	}
	kernel->protocol = BOOT_LINUX64;
	kernel->entry = eh->e_entry;
	/* The header that the missing setup code would have had. */
	kernel->hdr = (struct setup_header){
		.boot_flag = BOOT_FLAG,
		.header = HEADER_MAGIC,
		.version = PROTOCOL,
		.loadflags = LOADED_HIGH,
		.kernel_alignment = KERNEL_ALIGN,
		.cmdline_size = COMMAND_LINE_MAX,
	};
	return true;
}
