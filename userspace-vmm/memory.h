/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Guest memory, and where things are in the guest's physical address space.
 */
#ifndef MEMORY_H
#define MEMORY_H

#include <stddef.h>
#include <stdint.h>
#include "minivirt.h"

/*
 * The guest's physical address space.  The hole below 4 GiB holds the IOAPIC,
 * the LAPICs and, on processors that need it, KVM's TSS and identity map.
 */
#define GPA_LOW_RAM_END	 0x9fc00UL	/* the end of conventional memory */
#define GPA_ACPI	 0xe0000UL	/* where a BIOS has its tables */
#define GPA_ACPI_END	 0x100000UL
#define GPA_HIGH_RAM	 0x100000UL
#define GPA_HOLE	 0xc0000000UL
#define GPA_IOAPIC	 0xfec00000UL
#define GPA_LAPIC	 0xfee00000UL
#define GPA_IDENTITY_MAP 0xfffbc000UL	/* one page */
#define GPA_TSS		 0xfffbd000UL	/* three pages */

/* What the boot code leaves for the kernel, in conventional memory. */
#define GPA_GDT		 0x1000UL
#define GPA_BOOT_PARAMS	 0x2000UL	/* struct boot_params or hvm_start_info */
#define GPA_PAGE_TABLES	 0x3000UL	/* six pages */
#define GPA_CMDLINE	 0x20000UL
#define CMDLINE_SPACE	 0x10000UL

#define MEMORY_REGIONS 2

/**
 * struct memory - the RAM of a guest
 * @base: where it is mapped here
 * @size: in bytes
 *
 * RAM fills the address space from 0 up to the hole, and goes on at 4 GiB.
 */
struct memory {
	uint8_t *base;
	uint64_t size;
};

struct memory_region {
	uint64_t gpa;
	uint64_t size;
	void *hva;
};

/** memory_alloc - map @size bytes, which is a multiple of the page size */
void memory_alloc(struct memory *mem, uint64_t size);

/** memory_low - bytes of RAM below the hole */
uint64_t memory_low(const struct memory *mem);

/**
 * memory_regions - the contiguous pieces
 * Returns their number.
 */
unsigned int memory_regions(const struct memory *mem, struct memory_region *regions);

/** memory_end - the first guest-physical address behind all RAM */
uint64_t memory_end(const struct memory *mem);

/**
 * memory_at - pointer to @len bytes at @gpa
 * Returns NULL if they are not all RAM, in one piece.
 */
void *memory_at(const struct memory *mem, uint64_t gpa, uint64_t len);

#endif /* MEMORY_H */
