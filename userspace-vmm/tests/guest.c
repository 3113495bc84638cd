// SPDX-License-Identifier: GPL-2.0
/*
 * A guest that tests the runner's devices.  It is an ELF kernel without a PVH
 * note, so it is entered by the 64-bit boot protocol; the first word of its
 * command line names the test.
 *
 * It prints what is wrong, and powers off with the number of failed checks as
 * the exit status, or ends as the test's name says.
 */
#include <asm/bootparam.h>
#include <linux/serial_reg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define __packed      __attribute__((packed))
#define __used	      __attribute__((used))

#define COM1	     0x3f8
#define CMOS_INDEX   0x70
#define CMOS_DATA    0x71
#define DEBUG_EXIT   0xf4
#define PM1_CONTROL  0x604
#define PM_TIMER     0x608
#define RESET	     0xcf9
#define I8042_STATUS 0x64
#define S5	     (5 << 10 | 1 << 13)

static unsigned int failures;

static uint8_t inb(uint16_t port)
{
	uint8_t v;

	asm volatile("inb %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}

static uint16_t inw(uint16_t port)
{
	uint16_t v;

	asm volatile("inw %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}

static uint32_t inl(uint16_t port)
{
	uint32_t v;

	asm volatile("inl %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}

static void outb(uint16_t port, uint8_t v)
{
	asm volatile("outb %0, %1" : : "a"(v), "Nd"(port) : "memory");
}

static void outw(uint16_t port, uint16_t v)
{
	asm volatile("outw %0, %1" : : "a"(v), "Nd"(port) : "memory");
}

static void outl(uint16_t port, uint32_t v)
{
	asm volatile("outl %0, %1" : : "a"(v), "Nd"(port) : "memory");
}

static void print(const char *s)
{
	while (*s)
		outb(COM1, *s++);
}

static void print_hex(uint64_t v)
{
	for (int shift = 60; shift >= 0; shift -= 4)
		outb(COM1, "0123456789abcdef"[v >> shift & 15]);
}

static void check_equal(const char *what, uint64_t got, uint64_t want)
{
	if (got == want)
		return;
	failures++;
	print(what);
	print(" is ");
	print_hex(got);
	print(", should be ");
	print_hex(want);
	print("\n");
}

#define CHECK_EQ(got, want) check_equal(#got, got, want)
#define CHECK(cond)	    check_equal(#cond, !!(cond), true)

static bool equal(const void *a, const void *b, size_t len)
{
	const char *x = a, *y = b;

	while (len && *x == *y)
		x++, y++, len--;
	return !len;
}

static void power_off(uint8_t status)
{
	outb(DEBUG_EXIT, status);
	outw(PM1_CONTROL, S5);
	for (;;)
		asm volatile("hlt");
}

/* Tests that end the machine in their own way. */

static void test_status(const struct boot_params *params)
{
	outb(DEBUG_EXIT, 1);
	power_off(77);
}

static void test_reset_register(const struct boot_params *params)
{
	outb(DEBUG_EXIT, 1);
	outb(RESET, 2);
	outb(RESET, 6);
}

static void test_reset_i8042(const struct boot_params *params)
{
	CHECK_EQ(inb(I8042_STATUS) & 2, 0);
	outb(I8042_STATUS, 0xfe);
}

static void test_triple_fault(const struct boot_params *params)
{
	static const struct __packed {
		uint16_t limit;
		uint64_t base;
	} no_idt;

	asm volatile("lidt %0; ud2" : : "m"(no_idt));
}

/* There is no code to fetch where no memory is. */
static void test_execute_nowhere(const struct boot_params *params)
{
	((void (*)(void))0xd0000000UL)();
}

static void test_hang(const struct boot_params *params)
{
	print("hanging\n");
	for (;;)
		asm volatile("cli; hlt");
}

static void test_flood(const struct boot_params *params)
{
	for (;;)
		print("0123456789abcdef\n");
}

/* Tests that count failures. */

static void test_absent(const struct boot_params *params)
{
	volatile uint64_t *nowhere = (void *)0xd0000000UL;

	CHECK_EQ(inb(0x2f8), 0xff);
	CHECK_EQ(inw(0x5000), 0xffff);
	outl(0xcf8, 0x80000600); /* bit 2 of 0xcf9, and yet no reset */
	CHECK_EQ(inl(0xcf8), 0xffffffff);
	CHECK_EQ(inl(0xcfc), 0xffffffff);
	*nowhere = 0;
	CHECK_EQ(*nowhere, ~0ULL);
	CHECK_EQ(*(volatile uint8_t *)nowhere, 0xff);
}

static uint8_t cmos(uint8_t index)
{
	outb(CMOS_INDEX, index);
	return inb(CMOS_DATA);
}

static void write_cmos(uint8_t index, uint8_t v)
{
	outb(CMOS_INDEX, index);
	outb(CMOS_DATA, v);
}

static unsigned int from_bcd(uint8_t v)
{
	return (v >> 4) * 10 + (v & 15);
}

static void test_rtc(const struct boot_params *params)
{
	uint8_t hour;

	CHECK_EQ(cmos(13), 0x80);
	CHECK(from_bcd(cmos(0)) < 60);
	CHECK(from_bcd(cmos(2)) < 60);
	CHECK(from_bcd(cmos(4)) < 24);
	CHECK(from_bcd(cmos(7)) >= 1 && from_bcd(cmos(7)) <= 31);
	CHECK(from_bcd(cmos(8)) >= 1 && from_bcd(cmos(8)) <= 12);
	CHECK_EQ(from_bcd(cmos(0x32)), 20);
	hour = from_bcd(cmos(4));
	write_cmos(11, 6); /* binary */
	CHECK((uint8_t)(cmos(4) - hour) <= 1 || !cmos(4));
	write_cmos(0x40, 0x5a);
	CHECK_EQ(cmos(0x40), 0x5a);
	CHECK_EQ(cmos(0xc0), 0x5a); /* bit 7 masks NMIs */
	CHECK_EQ(cmos(0x34) | cmos(0x35) << 8, (64 - 16) * 16);
	CHECK_EQ(cmos(0x15) | cmos(0x16) << 8, 640);
}

static void test_pm(const struct boot_params *params)
{
	uint32_t start = inl(PM_TIMER);

	CHECK_EQ(inw(PM1_CONTROL) & 1, 1); /* ACPI mode, from the start */
	outw(PM1_CONTROL, 3 << 10 | 1 << 13);
	CHECK_EQ(inw(PM1_CONTROL), 3 << 10 | 1); /* SLP_EN reads as 0, S3 is none */
	CHECK_EQ(inw(0x600), 0);
	outw(0x602, 0x100);
	CHECK_EQ(inl(0x600), 0x100 << 16); /* both halves at once */
	while (inl(PM_TIMER) - start < 3580)
		;
}

static uint8_t byte_sum(const void *table, size_t len)
{
	const uint8_t *p = table;
	uint8_t sum = 0;

	while (len--)
		sum += *p++;
	return sum;
}

struct __packed acpi_header {
	char signature[4];
	uint32_t length;
	uint8_t rest[28];
};

static void test_acpi(const struct boot_params *params)
{
	const uint8_t *rsdp = (const void *)(uintptr_t)params->acpi_rsdp_addr;
	const struct acpi_header *xsdt;

	CHECK(equal(rsdp, "RSD PTR ", 8));
	CHECK_EQ(byte_sum(rsdp, 20), 0);
	CHECK_EQ(byte_sum(rsdp, 36), 0);
	xsdt = *(const struct acpi_header *const *)(rsdp + 24);
	CHECK(equal(xsdt->signature, "XSDT", 4));
	CHECK_EQ(byte_sum(xsdt, xsdt->length), 0);
	for (size_t i = 0; i < (xsdt->length - sizeof(*xsdt)) / 8; i++) {
		const struct acpi_header *table;

		__builtin_memcpy(&table, (const char *)(xsdt + 1) + i * 8, sizeof(table));
		CHECK_EQ(byte_sum(table, table->length), 0);
	}
}

/* Run with 64 MiB, and with 4 GiB. */
static void test_memory(const struct boot_params *params)
{
	uint64_t total = 0;

	for (unsigned int i = 0; i < params->e820_entries; i++) {
		const struct boot_e820_entry *e = &params->e820_table[i];
		volatile uint64_t *last = (void *)(uintptr_t)(e->addr + e->size - 8);

		if (e->type != 1)
			continue;
		total += e->size;
		if (e->addr + e->size > 1ULL << 32)
			continue; /* not mapped */
		*last = ~(uintptr_t)last;
		CHECK_EQ(*last, ~(uintptr_t)last);
	}
	/* The hole from 640 KiB to 1 MiB is missing. */
	CHECK_EQ((total + 0x60400) & 0xfffff, 0);
	CHECK((total + 0x60400) >> 20 == 64 || (total + 0x60400) >> 20 == 4096);
	CHECK_EQ(params->hdr.ramdisk_size, 0);
}

static void test_string_io(const struct boot_params *params)
{
	static const char text[] = "one instruction\n";
	const char *p = text;
	size_t n = sizeof(text) - 1;

	asm volatile("rep outsb" : "+S"(p), "+c"(n) : "d"(COM1) : "memory");
	CHECK_EQ(n, 0);
}

/* Interrupts: through the 8259, with the first IDT entries that it takes. */

struct __packed gate {
	uint16_t offset_low, selector, type;
	uint16_t offset_middle;
	uint32_t offset_high, reserved;
};

static struct gate idt[0x30];
static volatile unsigned int interrupts;
static volatile uint8_t last_iir;
static char received[64];
static volatile unsigned int nr_received;

__attribute__((interrupt)) static void serial_interrupt(void *frame)
{
	uint8_t iir;

	interrupts++;
	while (!((iir = inb(COM1 + UART_IIR)) & UART_IIR_NO_INT)) {
		last_iir = iir;
		if ((iir & UART_IIR_ID) == UART_IIR_RDI && nr_received < ARRAY_SIZE(received))
			received[nr_received++] = inb(COM1 + UART_RX);
		else if ((iir & UART_IIR_ID) == UART_IIR_RDI)
			inb(COM1 + UART_RX);
	}
	outb(0x20, 0x20);
}

static void enable_interrupts(void)
{
	static const struct __packed {
		uint16_t limit;
		const void *base;
	} idtr = { sizeof(idt) - 1, idt };
	uintptr_t handler = (uintptr_t)serial_interrupt;

	idt[0x24] = (struct gate){
		handler, 0x10, 0x8e00, handler >> 16, handler >> 32, 0,
	};
	asm volatile("lidt %0" : : "m"(idtr));
	outb(0x20, 0x11);
	outb(0x21, 0x20); /* vectors from 20h */
	outb(0x21, 4);
	outb(0x21, 1);
	outb(0x21, ~(1 << 4)); /* all but the UART's masked */
	outb(0xa1, 0xff);
	outb(COM1 + UART_MCR, UART_MCR_OUT2);
	asm volatile("sti");
}

static void test_serial_interrupts(const struct boot_params *params)
{
	enable_interrupts();
	outb(COM1 + UART_FCR, UART_FCR_ENABLE_FIFO);
	CHECK_EQ(inb(COM1 + UART_IIR), 0xc1);
	outb(COM1 + UART_IER, UART_IER_THRI);
	CHECK_EQ(interrupts, 1);
	CHECK_EQ(last_iir, 0xc2);
	outb(COM1, '.');
	CHECK_EQ(interrupts, 2);
	outb(COM1, '\n');
	CHECK_EQ(interrupts, 3);
	outb(COM1 + UART_IER, 0);
	outb(COM1, '\n');
	CHECK_EQ(interrupts, 3);
	outb(COM1 + UART_MCR, 0);
	outb(COM1 + UART_IER, UART_IER_THRI);
	CHECK_EQ(interrupts, 3);
	outb(COM1 + UART_MCR, UART_MCR_OUT2);
	CHECK_EQ(interrupts, 4);
}

/* Echo up to a full stop; as some drivers do, probe first, which must not lose input. */
static void test_echo(const struct boot_params *params)
{
	outb(COM1 + UART_IER, 0xf);
	print("ready\n");
	for (unsigned int i = 0; i < 1000; i++)
		CHECK(!(inb(COM1 + UART_LSR) & UART_LSR_DR));
	outb(COM1 + UART_IER, 0);
	outb(COM1 + UART_FCR, UART_FCR_ENABLE_FIFO | UART_FCR_CLEAR_RCVR);
	enable_interrupts();
	outb(COM1 + UART_IER, UART_IER_RDI);
	for (unsigned int i = 0;; i++) {
		asm volatile("cli");
		while (i == nr_received)
			asm volatile("sti; hlt; cli");
		asm volatile("sti");
		outb(COM1, received[i]);
		if (received[i] == '.')
			break;
	}
	print("\n");
}

static const struct {
	const char *name;
	void (*run)(const struct boot_params *params);
} tests[] = {
	{ "status", test_status },
	{ "reset-register", test_reset_register },
	{ "reset-i8042", test_reset_i8042 },
	{ "triple-fault", test_triple_fault },
	{ "execute-nowhere", test_execute_nowhere },
	{ "hang", test_hang },
	{ "flood", test_flood },
	{ "absent", test_absent },
	{ "rtc", test_rtc },
	{ "pm", test_pm },
	{ "acpi", test_acpi },
	{ "memory", test_memory },
	{ "string-io", test_string_io },
	{ "serial-interrupts", test_serial_interrupts },
	{ "echo", test_echo },
};

static bool first_word_is(const char *s, const char *word)
{
	while (*word && *s == *word)
		s++, word++;
	return !*word && (!*s || *s == ' ');
}

__used static void guest_main(const struct boot_params *params)
{
	const char *cmdline = (const char *)(uintptr_t)params->hdr.cmd_line_ptr;

	for (size_t i = 0; i < ARRAY_SIZE(tests); i++) {
		if (!first_word_is(cmdline, tests[i].name))
			continue;
		tests[i].run(params);
		power_off(failures);
	}
	print("no such test: ");
	print(cmdline);
	print("\n");
	power_off(255);
}

asm(".globl	_start\n"
	"_start:\n"
	"	movl	$0x80000, %esp\n"
	"	movq	%rsi, %rdi\n"
	"	call	guest_main\n");
