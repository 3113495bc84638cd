// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the vCPUs of all races run: exits of all kinds, in any order.  A guest that
 * is not wild looks whether it is itself all right: its registers, its memory, no
 * exception that it did not ask for.
 */
#include "stress.h"

bool stress_wild, stress_vmcall, stress_has_apic, stress_tcg;

u64 stress_counts[MAX_VCPUS][512] __attribute__((aligned(4096)));
static u8 strings[MAX_VCPUS][4096] __attribute__((aligned(4096)));

static const u32 msrs[] = {
	0x10, 0x1b, 0x3b, 0x8b, 0x174, 0x175, 0x176, 0x179, 0x1a0, 0x1d9, 0x277, 0x2ff, 0x400,
	0x48, 0x49, 0x6e0, 0x802, 0x80b, 0x80f, 0x828, 0x838, 0x839, 0x83f, 0xda0,
	0x4b564d00, 0x4b564d01, 0x4b564d02, 0x4b564d03, 0x4b564d04, 0x4b564d05, 0x40000000,
	0xc0000080, 0xc0000081, 0xc0000082, 0xc0000083, 0xc0000084, 0xc0000102, 0xc0000103,
	0xc0010015, 0xc001001f, 0xc0010064, 0x12345678,
};

static u64 any_address(u64 *r)
{
	return WINDOW + (rnd(r) & (WINDOW_SIZE - 1) & ~7ull);
}

static void eoi(void)
{
	if (rdmsr(APIC_BASE_MSR) & APIC_BASE_X2APIC)
		x2apic_write(APIC_EOI, 0);
	else
		xapic_write(APIC_EOI, 0);
}

static void on_interrupt(struct ex_frame *frame)
{
	(void)frame;
	if (stress_has_apic)
		eoi();
}

static void on_nmi(struct ex_frame *frame)
{
	(void)frame;
}

static void write_apic(u32 reg, u64 val)
{
	if (rdmsr(APIC_BASE_MSR) & APIC_BASE_X2APIC) {
		wrmsr_safe(x2apic_msr(reg), val);
		return;
	}
	if (reg == APIC_ICR)
		xapic_write(APIC_ICR2, val >> 32 << 24);
	xapic_write(reg, val);
}

static u8 vector(u64 *r)
{
	return 0x30 + rnd_below(r, 0xc0);
}

/* To some or all vCPUs, in all the ways in which a VM that goes on may. */
static void send_ipi(u64 *r)
{
	static const u32 shorthands[] = { 0, 0, ICR_SELF, ICR_ALL, ICR_OTHERS };
	u32 kind = shorthands[rnd_below(r, 5)] | ICR_ASSERT;
	u64 dest = rnd_below(r, NR_RUNNERS + 1);

	if (rnd_below(r, 16) == 0)
		kind |= ICR_NMI;
	else if (rnd_below(r, 4) == 0)
		kind |= ICR_LOWEST;
	if (rnd_below(r, 4) == 0)
		kind |= ICR_LOGICAL;
	if (stress_wild && rnd_below(r, 32) == 0)
		kind = rnd(r); /* INIT, SIPI and those that are reserved */
	write_apic(APIC_ICR, dest << 32 | kind | vector(r));
}

static void program_timer(u64 *r)
{
	static const u32 modes[] = { 0, LVT_PERIODIC, LVT_DEADLINE };
	u32 mode = modes[rnd_below(r, 3)];

	write_apic(APIC_TDCR, TDCR_1);
	write_apic(APIC_LVTT, mode | vector(r) | (rnd_below(r, 4) ? 0 : LVT_MASKED));
	if (mode == LVT_DEADLINE)
		wrmsr_safe(TSC_DEADLINE_MSR, rdtsc() + rnd_below(r, 200000));
	else
		write_apic(APIC_TMICT, 10000 + rnd_below(r, 100000));
}

static void sleep_until_interrupt(u64 *r)
{
	if (stress_has_apic) {
		write_apic(APIC_TDCR, TDCR_1);
		write_apic(APIC_LVTT, vector(r));
		write_apic(APIC_TMICT, 1000 + rnd_below(r, 100000));
	}
	asm volatile("sti; hlt; cli" : : : "memory");
}

static void touch_apic(u64 *r)
{
	static const u32 regs[] = {
		APIC_TPR, APIC_LDR, APIC_DFR, APIC_SPIV, APIC_ESR, APIC_LVTTHMR, APIC_LVTPC,
		APIC_LVT0, APIC_LVT1, APIC_LVTERR, APIC_TMICT, APIC_TDCR, APIC_EOI,
	};
	u32 reg = regs[rnd_below(r, sizeof(regs) / 4)];

	if (reg == APIC_SPIV)
		write_apic(reg, SPIV_ON);
	else if (reg >= APIC_LVTTHMR && reg <= APIC_LVTERR)
		write_apic(reg, vector(r) | (rnd_below(r, 2) ? LVT_MASKED : 0));
	else
		write_apic(reg, reg == APIC_TPR ? rnd_below(r, 256) : rnd(r));
	write_apic(APIC_TPR, 0);
}

static void touch_chips(u64 *r)
{
	static const u16 ports[] = {
		0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1, 0x40, 0x41, 0x42, 0x43, 0x61,
	};
	u16 port = ports[rnd_below(r, sizeof(ports) / 2)];

	switch (rnd_below(r, 4)) {
	case 0:
		outb(port, rnd(r));
		break;
	case 1:
		inb(port);
		break;
	case 2:
		ioapic_write(RTE(rnd_below(r, 24)),
			     vector(r) | (rnd_below(r, 2) ? RTE_LEVEL : 0) |
			     (rnd_below(r, 4) ? 0 : RTE_MASKED));
		break;
	default:
		ioapic_read(rnd_below(r, 64));
	}
}

static void do_ports(u64 *r, u8 *string)
{
	u16 port = PORTS + (rnd(r) & 0xff);
	u64 count = rnd_below(r, 300);

	switch (rnd_below(r, 6)) {
	case 0:
		outb(port, rnd(r));
		break;
	case 1:
		inb(port);
		break;
	case 2:
		asm volatile("outl %0, %1" : : "a"((u32)rnd(r)), "Nd"(port));
		break;
	case 3:
		asm volatile("outw %w0, %1" : : "a"((u32)rnd(r)), "Nd"(port));
		break;
	case 4:
		asm volatile("rep outsb" : "+S"(string), "+c"(count) : "d"(port) : "memory");
		break;
	default:
		asm volatile("rep insl" : "+D"(string), "+c"(count) : "d"(port) : "memory");
	}
}

static void do_mmio(u64 *r)
{
	u64 addr = GPA_MMIO + (rnd(r) & 0xff8), val = rnd(r);

	switch (rnd_below(r, 6)) {
	case 0:
		*(volatile u8 *)addr = val;
		break;
	case 1:
		*(volatile u16 *)addr = val;
		break;
	case 2:
		*(volatile u32 *)addr = val;
		break;
	case 3:
		*(volatile u64 *)addr = val;
		break;
	case 4: /* over the boundary of two pages */
		*(volatile u64 *)(GPA_MMIO + 0xffd) = val;
		break;
	default:
		*(volatile u32 *)addr;
	}
}

/* Registers of SSE and the general ones are the same after an exit. */
static void check_registers(u64 *r)
{
	u64 val = rnd(r), sse, gpr;

	asm volatile("movq %[val], %%xmm15\n\t"
		     "movq %[val], %%r12\n\t"
		     "outb %%al, %[port]\n\t"
		     "movq %%xmm15, %[sse]\n\t"
		     "movq %%r12, %[gpr]"
		     : [sse] "=r"(sse), [gpr] "=r"(gpr)
		     : [val] "r"(val), [port] "N"(0x80), "a"(0)
		     : "r12", "xmm15", "memory");
	if (!stress_wild) {
		GUEST_ASSERT_EQ(sse, val);
		GUEST_ASSERT_EQ(gpr, val);
	}
}

static void do_msrs(u64 *r)
{
	u32 msr = msrs[rnd_below(r, sizeof(msrs) / sizeof(msrs[0]))];
	u64 val;

	if (rdmsr_safe(msr, &val) != TRY_NONE || rnd_below(r, 2))
		return;
	switch (msr) {
	case 0x10: /* guests that are not wild need a clock that goes on */
	case 0x3b:
		val += rnd_below(r, 1000);
		break;
	case APIC_BASE_MSR:
		/* From xAPIC to x2APIC there is a way without losing the timer. */
		if (rnd_below(r, 8) == 0)
			val |= APIC_BASE_X2APIC;
		if (stress_wild && rnd_below(r, 8) == 0)
			val = rnd(r);
		break;
	case 0xc0000081: /* what the guest does not use, and the host must never have */
	case 0xc0000082:
	case 0xc0000083:
	case 0xc0000084:
	case 0xc0000102:
	case 0xc0000103:
		val = HOST_NEVER | (rnd(r) & 0xffff);
		break;
	case 0xc0000080:
		break;
	default:
		if (stress_wild)
			val = rnd(r);
	}
	wrmsr_safe(msr, val);
}

/* Clocks, steal time and EOI by memory, which slots come to and go from. */
static void do_pv(u64 *r)
{
	static const u32 pv[] = { 0x4b564d01, 0x4b564d03, 0x4b564d03, 0x4b564d04 };

	wrmsr_safe(pv[rnd_below(r, 4)], (any_address(r) & ~0x3full) | (rnd_below(r, 4) != 0));
}

static void do_control_registers(u64 *r)
{
	u64 val = rnd(r);

	switch (rnd_below(r, 8)) {
	case 0:
		write_cr3(read_cr3());
		break;
	case 1:
		write_cr0(read_cr0() ^ (1 << 16));
		break;
	case 2:
		write_cr4(read_cr4() ^ (1 << 7));
		break;
	case 3:
		/* QEMU 7.2 ends by an assertion when a virtual interrupt waits at that time. */
		if (!stress_tcg) {
			write_cr8(rnd_below(r, 3));
			write_cr8(0);
		}
		break;
	case 4:
		asm volatile("mov %0, %%dr0" : : "r"(val));
		asm volatile("mov %%dr6, %0" : "=r"(val));
		break;
	case 5:
		invlpg(any_address(r));
		break;
	case 6:
		TRY("xsetbv", "c"(0), "a"(3), "d"(0));
		break;
	default:
		asm volatile("wbinvd");
	}
}

static void do_hypercall(u64 *r)
{
	u64 nr = rnd_below(r, 14), a = rnd(r), b = rnd(r), c = rnd(r);

	if (nr == 9)
		a = any_address(r);
	if (rnd_below(r, 2))
		a &= 7, b &= 7, c = vector(r);
	if (stress_vmcall)
		TRY("vmcall", "a"(nr), "b"(a), "c"(b), "d"(c), "S"(0));
	else
		TRY("vmmcall", "a"(nr), "b"(a), "c"(b), "d"(c), "S"(0));
}

static void do_exception(u64 *r)
{
	switch (rnd_below(r, 4)) {
	case 0:
		TRY("ud2");
		break;
	case 1:
		TRY("int3");
		break;
	case 2:
		TRY("int $0x80");
		break;
	default:
		TRY("mov %[v], %%cr4", [v] "r"(rnd(r) | 1ull << 40));
	}
}

static void do_memory(u64 *r)
{
	u64 addr = any_address(r), n;

	for (n = rnd_below(r, 8); n; n--) {
		WRITE_ONCE(*(u64 *)addr, addr);
		addr = WINDOW + ((addr + PAGE) & (WINDOW_SIZE - 1));
		(void)READ_ONCE(*(u64 *)addr);
	}
}

/* What a device's registers do not expect, and what may end in any way. */
static void do_wild(u64 *r)
{
	u64 addr = rnd_below(r, 2) ? any_address(r) : GPA_MMIO + (rnd(r) & 0xff8);
	u64 n = rnd_below(r, 64);

	switch (rnd_below(r, 12)) {
	case 0:
		asm volatile("lock addq $1, (%0)" : : "r"(addr) : "memory");
		break;
	case 1:
		asm volatile("rep movsb" : "+S"(addr), "+c"(n) : "D"(any_address(r)) : "memory");
		break;
	case 2:
		asm volatile("rep stosq" : "+D"(addr), "+c"(n) : "a"(addr) : "memory");
		break;
	case 3:
		asm volatile("rep outsl" : "+S"(addr), "+c"(n) : "d"(PORTS) : "memory");
		break;
	case 4:
		asm volatile("rep insw" : "+D"(addr), "+c"(n) : "d"(PORTS) : "memory");
		break;
	case 5:
		asm volatile("movups (%0), %%xmm1; movups %%xmm1, (%0)" : : "r"(addr) : "memory");
		break;
	case 6:
		asm volatile("xchg %%eax, (%0); cmpxchgl %%ecx, (%0)"
			     :
			     : "r"(addr), "c"(0)
			     : "rax", "memory");
		break;
	case 7: /* a ret */
		*(volatile u8 *)addr = 0xc3;
		asm volatile("call *%0" : : "r"(addr) : "memory");
		break;
	case 8:
		wrmsr_safe(msrs[rnd_below(r, sizeof(msrs) / sizeof(msrs[0]))], rnd(r));
		break;
	case 9:
		TRY("mov %[v], %%cr0", [v] "r"(read_cr0() ^ (1ull << rnd_below(r, 32))));
		break;
	case 10:
		TRY("mov %[v], %%cr4", [v] "r"(read_cr4() ^ (1ull << rnd_below(r, 24))));
		break;
	default:
		asm volatile("mov %0, %%dr7" : : "r"(rnd(r) & 0xffff07ff));
	}
}

void stress_prepare_guest(void)
{
	for (int i = 32; i < 256; i++)
		guest_handlers[i] = on_interrupt;
	guest_handlers[NMI] = on_nmi;
}

void stress_guest(u64 id, u64 seed)
{
	u64 r = seed | 1, count = stress_counts[id][0];
	u32 a, b, c, d, i;

	if (stress_has_apic) {
		write_apic(APIC_SPIV, SPIV_ON);
		/* The PIC has no vectors yet. */
		write_apic(APIC_LVT0, LVT_MASKED);
	}
	for (;;) {
		switch (rnd_below(&r, 21)) {
		case 0:
		case 1:
			do_ports(&r, strings[id]);
			break;
		case 2:
		case 3:
			do_mmio(&r);
			break;
		case 4:
			cpuid(rnd_below(&r, 32) | (rnd(&r) & 0xc0000000), rnd_below(&r, 4), &a, &b,
			      &c, &d);
			break;
		case 5:
			do_msrs(&r);
			break;
		case 6:
			sleep_until_interrupt(&r);
			break;
		case 7:
			if (stress_has_apic)
				program_timer(&r);
			break;
		case 8:
			if (stress_has_apic)
				send_ipi(&r);
			break;
		case 9:
			if (stress_has_apic)
				touch_apic(&r);
			break;
		case 10:
			touch_chips(&r);
			break;
		case 11:
			do_control_registers(&r);
			break;
		case 12:
			do_hypercall(&r);
			break;
		case 13:
			do_exception(&r);
			break;
		case 14:
			check_registers(&r);
			break;
		case 15:
			asm volatile("sti; nop; nop; cli" : : : "memory");
			for (i = 0; i < 100; i++)
				cpu_relax();
			break;
		case 16:
			do_pv(&r);
			break;
		case 17:
			if (stress_wild && rnd_below(&r, 2))
				do_wild(&r);
			break;
		default:
			do_memory(&r);
		}
		if (!stress_wild)
			GUEST_ASSERT_EQ(READ_ONCE(stress_counts[id][0]), count);
		WRITE_ONCE(stress_counts[id][0], ++count);
	}
}
