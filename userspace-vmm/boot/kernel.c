// SPDX-License-Identifier: GPL-2.0
/*
 * Opens a kernel image and puts everything into guest memory.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "boot.h"

#define E820_RAM      1
#define E820_RESERVED 2

static void file_map(struct file *file, const char *what, const char *path)
{
	struct stat st;
	void *data;
	int fd;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st))
		die(STATUS_HOST_ERROR, "cannot open the %s %s: %s", what, path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		die(STATUS_HOST_ERROR, "the %s %s is not a regular file", what, path);
	if (!st.st_size)
		die(STATUS_HOST_ERROR, "the %s %s is empty", what, path);
	data = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (data == MAP_FAILED)
		die(STATUS_HOST_ERROR, "cannot map the %s %s: %s", what, path, strerror(errno));
	close(fd);
	file->path = path;
	file->data = data;
	file->size = st.st_size;
}

void kernel_open(struct kernel *kernel, const char *path)
{
	memset(kernel, 0, sizeof(*kernel));
	file_map(&kernel->file, "kernel", path);
	if (!elf_parse(kernel) && !bzimage_parse(kernel))
		die(STATUS_HOST_ERROR,
		    "%s is not a kernel: it is neither an x86 bzImage nor an ELF file", path);
	if (kernel->start < GPA_HIGH_RAM || kernel->end > SZ_4G || kernel->entry < kernel->start ||
	    kernel->entry >= kernel->end)
		die(STATUS_HOST_ERROR, "%s wants to be loaded at 0x%llx, which is no place for it",
		    path, (unsigned long long)kernel->start);
}

unsigned int boot_memory_map(const struct memory *mem, struct boot_e820_entry *map)
{
	unsigned int n = 0;

	map[n++] = (struct boot_e820_entry){ 0, GPA_LOW_RAM_END, E820_RAM };
	map[n++] = (struct boot_e820_entry){ GPA_LOW_RAM_END, 0xa0000 - GPA_LOW_RAM_END,
					     E820_RESERVED };
	map[n++] = (struct boot_e820_entry){ GPA_ACPI, GPA_ACPI_END - GPA_ACPI, E820_RESERVED };
	map[n++] = (struct boot_e820_entry){ GPA_HIGH_RAM, memory_low(mem) - GPA_HIGH_RAM,
					     E820_RAM };
	if (memory_end(mem) > SZ_4G)
		map[n++] = (struct boot_e820_entry){ SZ_4G, memory_end(mem) - SZ_4G, E820_RAM };
	return n;
}

static void too_little_memory(const struct memory *mem, uint64_t need)
{
	die(STATUS_USAGE,
	    "--mem: %llu MiB are too little for this kernel and initrd: it takes %llu",
	    (unsigned long long)(mem->size / SZ_1M),
	    (unsigned long long)(align_up(need, SZ_1M) / SZ_1M));
}

/* As high as it may be: the kernel unpacks and relocates itself below. */
static void load_initrd(struct memory *mem, const struct kernel *kernel, const char *path,
			struct boot_info *info)
{
	uint64_t floor = align_up(kernel->end, SZ_4K);
	uint64_t top = min(memory_low(mem), kernel->initrd_max + 1);
	struct file file;

	file_map(&file, "initrd", path);
	if (floor + file.size > kernel->initrd_max)
		die(STATUS_HOST_ERROR, "the initrd %s is too large for this kernel", path);
	if (top < file.size || align_down(top - file.size, SZ_4K) < floor)
		too_little_memory(mem, floor + align_up(file.size, SZ_4K));
	info->initrd = align_down(top - file.size, SZ_4K);
	info->initrd_size = file.size;
	memcpy(memory_at(mem, info->initrd, file.size), file.data, file.size);
	munmap((void *)file.data, file.size);
}

static void write_cmdline(struct memory *mem, const struct kernel *kernel, const char *cmdline)
{
	size_t len = strlen(cmdline);

	if (len > kernel->cmdline_max || len >= CMDLINE_SPACE)
		die(STATUS_USAGE, "--append: %zu characters; this kernel takes at most %u", len,
		    (unsigned int)min(kernel->cmdline_max, CMDLINE_SPACE - 1));
	memcpy(memory_at(mem, GPA_CMDLINE, len + 1), cmdline, len + 1);
}

struct boot_entry boot_prepare(struct memory *mem, const struct kernel *kernel, const char *initrd,
			       const char *cmdline, unsigned int cpus)
{
	struct boot_info info = { 0 };

	if (kernel->end > memory_low(mem))
		too_little_memory(mem, kernel->end);
	kernel->load(kernel, mem);
	if (initrd)
		load_initrd(mem, kernel, initrd, &info);
	write_cmdline(mem, kernel, cmdline);
	info.rsdp = acpi_write(mem, cpus);
	if (kernel->protocol == BOOT_PVH)
		pvh_write_params(mem, &info);
	else
		linux_write_params(mem, kernel, &info);
	return (struct boot_entry){ kernel->protocol, kernel->entry, GPA_BOOT_PARAMS };
}
