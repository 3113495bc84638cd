/* SPDX-License-Identifier: GPL-2.0 */
/*
 * From files to a guest memory that a kernel can start in.
 */
#ifndef BOOT_H
#define BOOT_H

#include <asm/bootparam.h>
#include <stddef.h>
#include <stdint.h>
#include "memory.h"

/* Selectors and GDT that the 64-bit boot protocol asks for (boot.rst, __BOOT_CS). */
#define BOOT_CS	      0x10
#define BOOT_DS	      0x18
#define BOOT_TR	      0x20
#define BOOT_GDT_SIZE 0x30 /* BOOT_TR's descriptor takes two entries */

enum boot_protocol {
	BOOT_LINUX64, /* long mode, RSI = struct boot_params */
	BOOT_PVH,     /* protected mode without paging, EBX = struct hvm_start_info */
};

/**
 * struct boot_entry - how the first vCPU starts
 * @rip: guest-physical address of the first instruction
 * @params: guest-physical address of what the protocol passes
 */
struct boot_entry {
	enum boot_protocol protocol;
	uint64_t rip;
	uint64_t params;
};

/* A file, mapped read-only. */
struct file {
	const char *path;
	const uint8_t *data;
	size_t size;
};

/**
 * struct kernel - a kernel image that has been checked
 * @load: copy it to its place
 * @start: @start to @end is the guest-physical range that it needs as RAM
 * @entry: guest-physical address to start at
 * @initrd_max: highest address that an initrd's last byte may have
 * @cmdline_max: longest command line, without its NUL
 * @hdr: what struct boot_params is to pass on, for BOOT_LINUX64
 */
struct kernel {
	struct file file;
	void (*load)(const struct kernel *kernel, struct memory *mem);
	enum boot_protocol protocol;
	uint64_t start;
	uint64_t end;
	uint64_t entry;
	uint64_t initrd_max;
	uint32_t cmdline_max;
	struct setup_header hdr;
};

/**
 * struct boot_info - what the kernel is told, in either protocol
 * @initrd: guest-physical address
 * @initrd_size: in bytes, 0 if there is none
 * @rsdp: guest-physical address of ACPI's root pointer
 */
struct boot_info {
	uint64_t initrd;
	uint64_t initrd_size;
	uint64_t rsdp;
};

/** kernel_open - map and check a kernel image; dies if it is none */
void kernel_open(struct kernel *kernel, const char *path);

/**
 * boot_prepare - fill the guest's memory
 * @initrd: path, or NULL
 * @cpus: for the ACPI tables
 *
 * Dies if it does not all fit.
 */
struct boot_entry boot_prepare(struct memory *mem, const struct kernel *kernel, const char *initrd,
			       const char *cmdline, unsigned int cpus);

/** boot_memory_map - the e820 map; returns the number of entries */
#define BOOT_MEMORY_MAP_MAX 8
unsigned int boot_memory_map(const struct memory *mem, struct boot_e820_entry *map);

/* The formats: each returns false if the file is of another one, and dies if it is broken. */
bool bzimage_parse(struct kernel *kernel);
bool elf_parse(struct kernel *kernel);

/* The protocols: each writes the structures to GPA_BOOT_PARAMS. */
void linux_write_params(struct memory *mem, const struct kernel *kernel,
			const struct boot_info *info);
void pvh_write_params(struct memory *mem, const struct boot_info *info);

/** acpi_write - write the ACPI tables; returns the address of the root pointer */
uint64_t acpi_write(struct memory *mem, unsigned int cpus);

#endif /* BOOT_H */
