// SPDX-License-Identifier: GPL-2.0
/*
 * ACPI tables: the vCPUs, the interrupt controllers, how to power off and how
 * to reset.  Table layouts: ACPI Specification 6.4, chapter 5.2.
 *
 * Not the hardware-reduced form: in that one, Linux does without the PIT and
 * the 8259, and so without what it calibrates its clocks by.
 */
#include <assert.h>
#include <string.h>
#include "boot.h"
#include "dev/devices.h"

#define SCI_IRQ 9

struct __packed header {
	char signature[4];
	uint32_t length;
	uint8_t revision;
	uint8_t checksum;
	char oem_id[6];
	char oem_table_id[8];
	uint32_t oem_revision;
	char creator_id[4];
	uint32_t creator_revision;
};

struct __packed rsdp {
	char signature[8];
	uint8_t checksum; /* of the first 20 bytes */
	char oem_id[6];
	uint8_t revision;
	uint32_t rsdt;
	uint32_t length;
	uint64_t xsdt;
	uint8_t extended_checksum;
	uint8_t reserved[3];
};

struct __packed xsdt {
	struct header header;
	uint64_t tables[2];
};

struct __packed facs {
	char signature[4];
	uint32_t length;
	uint8_t zero[56];
};

struct __packed generic_address {
	uint8_t space; /* 1: ports */
	uint8_t bit_width;
	uint8_t bit_offset;
	uint8_t access_size; /* 1: byte */
	uint64_t address;
};

/* Revision 3, of ACPI 2.0: the first with a reset register. */
struct __packed fadt {
	struct header header;
	uint32_t facs;
	uint32_t dsdt;
	uint8_t reserved0;
	uint8_t preferred_pm_profile;
	uint16_t sci_int;
	uint32_t smi_cmd;
	uint8_t acpi_enable;
	uint8_t acpi_disable;
	uint8_t s4bios_req;
	uint8_t pstate_cnt;
	uint32_t pm1a_evt_blk;
	uint32_t pm1b_evt_blk;
	uint32_t pm1a_cnt_blk;
	uint32_t pm1b_cnt_blk;
	uint32_t pm2_cnt_blk;
	uint32_t pm_tmr_blk;
	uint32_t gpe0_blk;
	uint32_t gpe1_blk;
	uint8_t pm1_evt_len;
	uint8_t pm1_cnt_len;
	uint8_t pm2_cnt_len;
	uint8_t pm_tmr_len;
	uint8_t gpe0_blk_len;
	uint8_t gpe1_blk_len;
	uint8_t gpe1_base;
	uint8_t cst_cnt;
	uint16_t p_lvl2_lat;
	uint16_t p_lvl3_lat;
	uint16_t flush_size;
	uint16_t flush_stride;
	uint8_t duty_offset;
	uint8_t duty_width;
	uint8_t day_alrm;
	uint8_t mon_alrm;
	uint8_t century;
	uint16_t iapc_boot_arch;
	uint8_t reserved1;
	uint32_t flags;
	struct generic_address reset_reg;
	uint8_t reset_value;
	uint8_t reserved2[3];
	uint64_t x_facs;
	uint64_t x_dsdt;
	struct generic_address x_blk[8];
};

#define FADT_WBINVD	    BIT(0)
#define FADT_PROC_C1	    BIT(2)
#define FADT_PWR_BUTTON	    BIT(4) /* none in the fixed registers */
#define FADT_SLP_BUTTON	    BIT(5) /* nor this */
#define FADT_FIX_RTC	    BIT(6) /* nor the alarm's wake status */
#define FADT_TMR_VAL_EXT    BIT(8) /* 32 bits */
#define FADT_RESET_REG_SUP  BIT(10)
#define FADT_HEADLESS	    BIT(12)
#define IAPC_LEGACY_DEVICES BIT(0) /* bit 1, an i8042, is clear: nothing to probe */
#define IAPC_VGA_ABSENT	    BIT(2)
#define IAPC_ASPM_ABSENT    BIT(4)

struct __packed madt {
	struct header header;
	uint32_t lapic_address;
	uint32_t flags; /* bit 0: 8259s too */
};

struct __packed madt_lapic {
	uint8_t type, length;
	uint8_t uid;
	uint8_t apic_id;
	uint32_t flags;
};

struct __packed madt_ioapic {
	uint8_t type, length;
	uint8_t id;
	uint8_t reserved;
	uint32_t address;
	uint32_t gsi_base;
};

struct __packed madt_override {
	uint8_t type, length;
	uint8_t bus;
	uint8_t irq;
	uint32_t gsi;
	uint16_t flags;
};

struct __packed madt_lapic_nmi {
	uint8_t type, length;
	uint8_t uid;
	uint16_t flags;
	uint8_t lint;
};

#define ACTIVE_HIGH_LEVEL 0xd

static_assert(sizeof(struct header) == 36, "struct header");
static_assert(sizeof(struct rsdp) == 36, "struct rsdp");
static_assert(sizeof(struct facs) == 64, "struct facs");
static_assert(sizeof(struct fadt) == 244, "struct fadt");
static_assert(sizeof(struct madt_lapic) == 8, "struct madt_lapic");
static_assert(sizeof(struct madt_ioapic) == 12, "struct madt_ioapic");
static_assert(sizeof(struct madt_override) == 10, "struct madt_override");
static_assert(sizeof(struct madt_lapic_nmi) == 6, "struct madt_lapic_nmi");

/* Name (\_S5, Package () { S5_TYPE, S5_TYPE, 0, 0 }) */
static const uint8_t dsdt_aml[] = {
	0x08, '_', 'S', '5', '_',		/* NameOp */
	0x12, 8, 4,				/* PackageOp, length, elements */
	0x0a, PM_S5_TYPE, 0x0a, PM_S5_TYPE,	/* BytePrefix */
	0x00, 0x00,				/* ZeroOp */
};

/* Where the next table goes. */
struct writer {
	struct memory *mem;
	uint64_t gpa;
};

static uint8_t checksum(const void *data, size_t len)
{
	const uint8_t *p = data;
	uint8_t sum = 0;

	while (len--)
		sum += *p++;
	return -sum;
}

/* Copies bytes in and returns their address. */
static uint64_t append(struct writer *w, const void *data, size_t len)
{
	uint64_t gpa = w->gpa;

	memcpy(memory_at(w->mem, gpa, len), data, len);
	w->gpa += len;
	return gpa;
}

static void align(struct writer *w)
{
	w->gpa = align_up(w->gpa, 64);
}

static struct header table_header(const char *signature, uint8_t revision)
{
	struct header h = {
		.revision = revision,
		.oem_id = { 'M', 'I', 'N', 'I', 'V', ' ' },
		.oem_table_id = { 'M', 'I', 'N', 'I', 'V', 'I', 'R', 'T' },
		.oem_revision = 1,
		.creator_id = { 'M', 'I', 'N', 'V' },
		.creator_revision = 1,
	};

	memcpy(h.signature, signature, sizeof(h.signature));
	return h;
}

/* The table that starts at @gpa has been written up to here. */
static void finish(struct writer *w, uint64_t gpa)
{
	size_t length = w->gpa - gpa;
	struct header *h = memory_at(w->mem, gpa, length);

	h->length = length;
	h->checksum = checksum(h, length);
	align(w);
}

static uint64_t write_facs(struct writer *w)
{
	struct facs facs = { .signature = { 'F', 'A', 'C', 'S' }, .length = sizeof(facs) };

	return append(w, &facs, sizeof(facs));
}

static uint64_t write_dsdt(struct writer *w)
{
	struct header h = table_header("DSDT", 2);
	uint64_t gpa = append(w, &h, sizeof(h));

	append(w, dsdt_aml, sizeof(dsdt_aml));
	finish(w, gpa);
	return gpa;
}

static uint64_t write_fadt(struct writer *w)
{
	struct fadt fadt = {
		.header = table_header("FACP", 3),
		.facs = write_facs(w),
		.dsdt = write_dsdt(w),
		.sci_int = SCI_IRQ,
		.pm1a_evt_blk = PM1_EVENT_PORT,
		.pm1_evt_len = PM1_EVENT_SIZE,
		.pm1a_cnt_blk = PM1_CONTROL_PORT,
		.pm1_cnt_len = PM1_CONTROL_SIZE,
		.pm_tmr_blk = PM_TIMER_PORT,
		.pm_tmr_len = PM_TIMER_SIZE,
		.p_lvl2_lat = 101,  /* above 100: no C2 */
		.p_lvl3_lat = 1001, /* above 1000: no C3 */
		.century = RTC_CENTURY,
		.iapc_boot_arch = IAPC_LEGACY_DEVICES | IAPC_VGA_ABSENT | IAPC_ASPM_ABSENT,
		.flags = FADT_WBINVD | FADT_PROC_C1 | FADT_PWR_BUTTON | FADT_SLP_BUTTON |
			 FADT_FIX_RTC | FADT_TMR_VAL_EXT | FADT_RESET_REG_SUP | FADT_HEADLESS,
		.reset_reg = { .space = 1, .bit_width = 8, .access_size = 1,
			       .address = RESET_PORT },
		.reset_value = RESET_VALUE,
	};
	uint64_t gpa = append(w, &fadt, sizeof(fadt));

	finish(w, gpa);
	return gpa;
}

static uint64_t write_madt(struct writer *w, unsigned int cpus)
{
	struct madt madt = {
		.header = table_header("APIC", 3),
		.lapic_address = GPA_LAPIC,
		.flags = 1,
	};
	struct madt_ioapic ioapic = { .type = 1, .length = sizeof(ioapic), .address = GPA_IOAPIC };
	/* The SCI is an exception among ISA interrupts; all others are as they are wired. */
	struct madt_override sci = {
		.type = 2, .length = sizeof(sci), .irq = SCI_IRQ, .gsi = SCI_IRQ,
		.flags = ACTIVE_HIGH_LEVEL,
	};
	struct madt_lapic_nmi nmi = { .type = 4, .length = sizeof(nmi), .uid = 0xff, .lint = 1 };
	uint64_t gpa = append(w, &madt, sizeof(madt));

	for (unsigned int i = 0; i < cpus; i++) {
		struct madt_lapic lapic = {
			.length = sizeof(lapic), .uid = i, .apic_id = i, .flags = 1,
		};

		append(w, &lapic, sizeof(lapic));
	}
	append(w, &ioapic, sizeof(ioapic));
	append(w, &sci, sizeof(sci));
	append(w, &nmi, sizeof(nmi));
	finish(w, gpa);
	return gpa;
}

uint64_t acpi_write(struct memory *mem, unsigned int cpus)
{
	/* The root pointer comes first, where a kernel that is not told looks for it. */
	struct writer w = { mem, GPA_ACPI + align_up(sizeof(struct rsdp), 64) };
	struct rsdp rsdp = {
		.signature = { 'R', 'S', 'D', ' ', 'P', 'T', 'R', ' ' },
		.oem_id = { 'M', 'I', 'N', 'I', 'V', ' ' },
		.revision = 2,
		.length = sizeof(rsdp),
	};
	struct xsdt xsdt = {
		.header = table_header("XSDT", 1),
		.tables = { write_fadt(&w), write_madt(&w, cpus) },
	};

	rsdp.xsdt = append(&w, &xsdt, sizeof(xsdt));
	finish(&w, rsdp.xsdt);
	rsdp.checksum = checksum(&rsdp, 20);
	rsdp.extended_checksum = checksum(&rsdp, sizeof(rsdp));
	memcpy(memory_at(mem, GPA_ACPI, sizeof(rsdp)), &rsdp, sizeof(rsdp));
	return GPA_ACPI;
}
