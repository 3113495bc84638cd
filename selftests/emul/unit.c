// SPDX-License-Identifier: GPL-2.0
/*
 * What the emulator promises where the real processor cannot be asked from userspace: faults,
 * real mode, ports, and how it works together with its caller.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include "machine.h"

/* What a MOV may cost, decode and all. */
#define INSTRUCTIONS_MAX	400

static u8 mem[MEM_SIZE];
static struct machine machine, *const m = &machine;
static bool failed;

#define EXPECT_EQ(seen, right)						\
	expect(__LINE__, #seen, (u64)(seen), (u64)(right))

static void expect(int line, const char *what, u64 seen, u64 right)
{
	if (seen == right)
		return;
	printf("# line %d: %s is %#llx, should be %#llx\n", line, what, seen, right);
	failed = true;
}

/* RBX points to the memory; the memory is 00 01 02 and so on. */
static void start(enum mv_emul_mode mode, const u8 *code, unsigned int len)
{
	unsigned int i;

	for (i = 0; i < MEM_SIZE; i++)
		mem[i] = i;
	machine_init(m, mode, mem, code, len);
	m->gpr[MV_RBX] = MEM_LA;
}

/* The same with DS, ES and SS based at the memory, and RBX 0. */
static void start_segmented(enum mv_emul_mode mode, const u8 *code, unsigned int len)
{
	start(mode, code, len);
	m->gpr[MV_RBX] = 0;
	m->seg[MV_SEG_DS].base = MEM_LA;
	m->seg[MV_SEG_ES].base = MEM_LA;
	m->seg[MV_SEG_SS].base = MEM_LA;
}

#define START(mode, ...) do {						\
	static const u8 code[] = { __VA_ARGS__ };			\
									\
	start(mode, code, sizeof(code));				\
} while (0)

#define START_SEGMENTED(mode, ...) do {					\
	static const u8 code[] = { __VA_ARGS__ };			\
									\
	start_segmented(mode, code, sizeof(code));			\
} while (0)

static void set_mmio(u64 start, unsigned int len)
{
	m->mmio_start = start;
	m->mmio_end = start + len;
}

static u64 peek(unsigned int offset, unsigned int len)
{
	u64 val = 0;

	memcpy(&val, mem + offset, len);
	return val;
}

/* The instruction ends in this exception, with nothing changed. */
#define EXPECT_FAULT(vec, code) expect_fault(__LINE__, vec, code)

static void expect_fault(int line, unsigned int vector, u32 error_code)
{
	u64 gpr[16], rip = m->e.rip, rflags = m->e.rflags;

	memcpy(gpr, m->gpr, sizeof(gpr));
	expect(line, "result", machine_run(m), MV_EMUL_FAULT);
	expect(line, "vector", m->e.exception.vector, vector);
	expect(line, "error code", m->e.exception.error_code, error_code);
	expect(line, "rip", m->e.rip, rip);
	expect(line, "rflags", m->e.rflags, rflags);
	expect(line, "registers", memcmp(gpr, m->gpr, sizeof(gpr)), 0);
}

static void fetches_across_a_page(void)
{
	/* mov 0x0(%rbx), %eax, with its displacement on the next page */
	START(MV_MODE_LONG64, 0x8b, 0x83, 0x00, 0x00, 0x00, 0x00);
	m->code_la = 0x1ffe;
	m->e.rip = 0x1ffe;
	EXPECT_EQ(machine_run(m), MV_EMUL_OK);
	EXPECT_EQ(m->gpr[MV_RAX], 0x03020100);
	EXPECT_EQ(m->e.rip, 0x2004);
	EXPECT_EQ(m->nr_fetches, 2);
}

static void uses_the_bytes_that_the_hardware_gives(void)
{
	START(MV_MODE_LONG64, 0x8b, 0x03);
	memcpy(m->e.insn, m->code, 2);
	m->e.insn_len = 2;
	EXPECT_EQ(machine_run(m), MV_EMUL_OK);
	EXPECT_EQ(m->nr_fetches, 0);
	EXPECT_EQ(m->gpr[MV_RAX], 0x03020100);
}

static void fetches_by_cs_base(void)
{
	START(MV_MODE_REAL, 0x88, 0x07);	/* mov %al, (%bx) */
	m->seg[MV_SEG_CS].base = 0xf0000;
	m->code_la = 0xf1000;
	m->seg[MV_SEG_DS].base = MEM_LA;
	m->gpr[MV_RBX] = 5;
	m->gpr[MV_RAX] = 0x77;
	EXPECT_EQ(machine_run(m), MV_EMUL_OK);
	EXPECT_EQ(mem[5], 0x77);
}

static void refuses_what_is_too_long(void)
{
	u8 code[16];

	memset(code, 0x66, sizeof(code));
	start(MV_MODE_LONG64, code, sizeof(code));
	EXPECT_FAULT(VEC_GP, 0);
}

static void refuses_lock_where_it_is_illegal(void)
{
	START(MV_MODE_LONG64, 0xf0, 0x8b, 0x03);		/* lock mov (%rbx), %eax */
	EXPECT_FAULT(VEC_UD, 0);
	START(MV_MODE_LONG64, 0xf0, 0x01, 0xc3);		/* lock add %eax, %ebx */
	EXPECT_FAULT(VEC_UD, 0);
	START(MV_MODE_LONG64, 0xf0, 0x39, 0x03);		/* lock cmp %eax, (%rbx) */
	EXPECT_FAULT(VEC_UD, 0);
	START(MV_MODE_LONG64, 0xf0, 0x03, 0x03);		/* lock add (%rbx), %eax */
	EXPECT_FAULT(VEC_UD, 0);
	START(MV_MODE_LONG64, 0xf0, 0x0f, 0xa3, 0x03);	/* lock bt %eax, (%rbx) */
	EXPECT_FAULT(VEC_UD, 0);
}

static void never_guesses(void)
{
	static const struct {
		u8 code[8];
		u8 len;
		u8 mode;
	} unknown[] = {
		{ { 0x0f, 0x0b }, 2, MV_MODE_LONG64 },			/* ud2 */
		{ { 0xd8, 0x03 }, 2, MV_MODE_LONG64 },			/* fadds (%rbx) */
		{ { 0xc5, 0xfa, 0x6f, 0x03 }, 4, MV_MODE_LONG64 },	/* vmovdqu (%rbx), %xmm0 */
		{ { 0x8e, 0x1b }, 2, MV_MODE_LONG64 },			/* mov (%rbx), %ds */
		{ { 0xff, 0x1b }, 2, MV_MODE_LONG64 },			/* lcall *(%rbx) */
		{ { 0x66, 0xff, 0x23 }, 3, MV_MODE_LONG64 },		/* jmpw *(%rbx) */
		{ { 0xf7, 0x23 }, 2, MV_MODE_LONG64 },			/* mull (%rbx) */
		{ { 0xc7, 0x0b }, 2, MV_MODE_LONG64 },			/* group 11 /1 */
		{ { 0x0f, 0xae, 0x33 }, 3, MV_MODE_LONG64 },		/* xsaveopt (%rbx) */
		{ { 0xf3, 0x0f, 0xae, 0x33 }, 4, MV_MODE_LONG64 },	/* clrssbsy (%rbx) */
		{ { 0x0f, 0x6f, 0x03 }, 3, MV_MODE_LONG64 },		/* movq (%rbx), %mm0 */
		{ { 0xf2, 0x0f, 0x38, 0xf0, 0x03 }, 5, MV_MODE_LONG64 },	/* crc32b */
		{ { 0x0f, 0x38, 0x00, 0x03 }, 4, MV_MODE_LONG64 },	/* pshufb */
		{ { 0x66, 0x0f, 0xc3, 0x03 }, 4, MV_MODE_LONG64 },	/* movnti with 66 */
		{ { 0x0f, 0xc7, 0xc8 }, 3, MV_MODE_LONG64 },		/* cmpxchg8b %eax */
		{ { 0x0f, 0x10, 0xc1 }, 3, MV_MODE_LONG64 },		/* movups %xmm1, %xmm0 */
		{ { 0x63, 0x03 }, 2, MV_MODE_PROT32 },			/* arpl %ax, (%ebx) */
		{ { 0x82, 0x03, 0x00 }, 3, MV_MODE_LONG64 },
		{ { 0xd6 }, 1, MV_MODE_LONG64 },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(unknown); i++) {
		u8 copy[16];

		start(unknown[i].mode, unknown[i].code, unknown[i].len);
		memcpy(copy, unknown[i].code, 8);
		if (machine_run(m) != MV_EMUL_UNKNOWN) {
			printf("# instruction %u of the list was executed\n", i);
			failed = true;
		}
		EXPECT_EQ(m->e.rip, 0x1000);
		EXPECT_EQ(memcmp(m->e.insn, copy, unknown[i].len), 0);
	}
}

static void checks_canonical_addresses(void)
{
	START(MV_MODE_LONG64, 0x8b, 0x03);		/* mov (%rbx), %eax */
	m->gpr[MV_RBX] = 0x0000800000000000;
	EXPECT_FAULT(VEC_GP, 0);
	EXPECT_EQ(m->e.exception.has_error_code, true);

	START(MV_MODE_LONG64, 0x8b, 0x03);
	m->gpr[MV_RBX] = 0x00007ffffffffffd;			/* only its last byte is not */
	EXPECT_FAULT(VEC_GP, 0);

	START(MV_MODE_LONG64, 0x8b, 0x45, 0x00);		/* mov 0(%rbp), %eax */
	m->gpr[MV_RBP] = 0x8000000000000000;
	EXPECT_FAULT(VEC_SS, 0);

	START(MV_MODE_LONG64, 0x41, 0x8b, 0x45, 0x00);	/* mov 0(%r13), %eax */
	m->gpr[13] = 0x8000000000000000;
	EXPECT_FAULT(VEC_GP, 0);

	START(MV_MODE_LONG64, 0x8b, 0x03);
	m->gpr[MV_RBX] = 0x0000800000000000;
	m->cr4 |= X86_CR4_LA57;				/* canonical, but not mapped */
	EXPECT_FAULT(14, 0);
	EXPECT_EQ(m->e.exception.cr2, 0x0000800000000000);
}

static void adds_fs_and_gs_base_in_long_mode(void)
{
	START(MV_MODE_LONG64, 0x65, 0x8b, 0x03);		/* mov %gs:(%rbx), %eax */
	m->gpr[MV_RBX] = 4;
	m->seg[MV_SEG_GS].base = MEM_LA;
	EXPECT_EQ(machine_run(m), MV_EMUL_OK);
	EXPECT_EQ(m->gpr[MV_RAX], 0x07060504);

	START(MV_MODE_LONG64, 0x64, 0x8b, 0x03);		/* mov %fs:(%rbx), %eax */
	m->gpr[MV_RBX] = 8;
	m->seg[MV_SEG_FS].base = MEM_LA;
	EXPECT_EQ(machine_run(m), MV_EMUL_OK);
	EXPECT_EQ(m->gpr[MV_RAX], 0x0b0a0908);
}

static void checks_segment_limits(void)
{
	START_SEGMENTED(MV_MODE_PROT32, 0x8b, 0x03);	/* mov (%ebx), %eax */
	m->seg[MV_SEG_DS].limit = 0x102;
	m->gpr[MV_RBX] = 0x100;
	EXPECT_FAULT(VEC_GP, 0);
	m->seg[MV_SEG_DS].limit = 0x103;
	EXPECT_EQ(machine_run(m), MV_EMUL_OK);

	START_SEGMENTED(MV_MODE_PROT32, 0x8b, 0x45, 0x00);	/* mov 0(%ebp), %eax */
	m->seg[MV_SEG_SS].limit = 2;
	EXPECT_FAULT(VEC_SS, 0);

	/* The offset does not wrap within the access. */
	START(MV_MODE_PROT32, 0x8b, 0x03);
	m->gpr[MV_RBX] = 0xfffffffe;
	EXPECT_FAULT(VEC_GP, 0);
}

static void checks_expand_down_segments(void)
{
	START_SEGMENTED(MV_MODE_PROT32, 0x8b, 0x03);
	m->seg[MV_SEG_DS].attr |= MV_SEG_TYPE_DOWN;
	m->seg[MV_SEG_DS].limit = 0xfff;
	m->gpr[MV_RBX] = 0xfff;
	EXPECT_FAULT(VEC_GP, 0);
	m->gpr[MV_RBX] = 0x1000;
	EXPECT_EQ(machine_run(m), MV_EMUL_OK);

	START_SEGMENTED(MV_MODE_PROT32, 0x8b, 0x03);
	m->seg[MV_SEG_DS].attr |= MV_SEG_TYPE_DOWN;
	m->seg[MV_SEG_DS].attr &= ~MV_SEG_DB;
	m->seg[MV_SEG_DS].limit = 0xfff;
	m->gpr[MV_RBX] = 0xfffd;
	EXPECT_FAULT(VEC_GP, 0);
}

static void checks_segment_types(void)
{
	START_SEGMENTED(MV_MODE_PROT32, 0x89, 0x03);	/* mov %eax, (%ebx) */
	m->seg[MV_SEG_DS].attr &= ~MV_SEG_TYPE_RW;
	EXPECT_FAULT(VEC_GP, 0);

	START_SEGMENTED(MV_MODE_PROT32, 0x2e, 0x89, 0x03);	/* mov %eax, %cs:(%ebx) */
	EXPECT_FAULT(VEC_GP, 0);

	START_SEGMENTED(MV_MODE_PROT32, 0x2e, 0x8b, 0x03);	/* execute-only */
	m->seg[MV_SEG_CS].attr &= ~MV_SEG_TYPE_RW;
	EXPECT_FAULT(VEC_GP, 0);

	START_SEGMENTED(MV_MODE_PROT32, 0x8b, 0x03);
	m->seg[MV_SEG_DS].attr |= MV_SEG_UNUSABLE;
	EXPECT_FAULT(VEC_GP, 0);

	START_SEGMENTED(MV_MODE_REAL, 0x89, 0x07);	/* real mode knows no types */
	m->seg[MV_SEG_DS].attr &= ~MV_SEG_TYPE_RW;
	EXPECT_EQ(machine_run(m), MV_EMUL_OK);
}

static void knows_real_mode(void)
{
	START_SEGMENTED(MV_MODE_REAL, 0x8b, 0x07);	/* mov (%bx), %ax */
	m->gpr[MV_RBX] = 0x12340010;
	m->gpr[MV_RAX] = 0x1111222233334444;
	EXPECT_EQ(machine_run(m), MV_EMUL_OK);
	EXPECT_EQ(m->gpr[MV_RAX], 0x1111222233331110);
	EXPECT_EQ(m->e.rip, 0x1002);

	START_SEGMENTED(MV_MODE_REAL, 0x66, 0x67, 0x8b, 0x03);	/* mov (%ebx), %eax */
	m->gpr[MV_RBX] = 0x20;
	EXPECT_EQ(machine_run(m), MV_EMUL_OK);
	EXPECT_EQ(m->gpr[MV_RAX], 0x23222120);

	START_SEGMENTED(MV_MODE_REAL, 0x8b, 0x07);	/* a word at the last byte */
	m->gpr[MV_RBX] = 0xffff;
	EXPECT_FAULT(VEC_GP, 0);
	EXPECT_EQ(m->e.exception.has_error_code, false);

	START_SEGMENTED(MV_MODE_REAL, 0x67, 0x8b, 0x03);	/* beyond 64 KiB */
	m->gpr[MV_RBX] = 0x10000;
	EXPECT_FAULT(VEC_GP, 0);

	START_SEGMENTED(MV_MODE_REAL, 0x67, 0x8b, 0x03);	/* "unreal mode": may be */
	m->seg[MV_SEG_DS].limit = 0xffffffff;
	m->seg[MV_SEG_DS].base = 0;
	m->gpr[MV_RBX] = MEM_LA;
	EXPECT_EQ(machine_run(m), MV_EMUL_OK);
	EXPECT_EQ(m->gpr[MV_RAX], 0x0100);

	START_SEGMENTED(MV_MODE_V86, 0x8b, 0x07);		/* V86 pushes error codes */
	m->gpr[MV_RBX] = 0xffff;
	EXPECT_FAULT(VEC_GP, 0);
	EXPECT_EQ(m->e.exception.has_error_code, true);
}

static void wraps_linear_addresses_at_4_gib(void)
{
	START(MV_MODE_PROT32, 0x8b, 0x03);
	m->seg[MV_SEG_DS].base = 0xfffff000;
	m->gpr[MV_RBX] = MEM_LA + 0x1000;
	EXPECT_EQ(machine_run(m), MV_EMUL_OK);
	EXPECT_EQ(m->gpr[MV_RAX], 0x03020100);

	START(MV_MODE_PROT32, 0x8b, 0x03);	/* across the end: not mapped, but no #GP */
	m->seg[MV_SEG_DS].base = 0xfffff000;
	m->gpr[MV_RBX] = 0xffe;
	EXPECT_FAULT(14, 0);
}

static void wraps_rip_at_4_gib(void)
{
	START(MV_MODE_PROT32, 0x8b, 0x03);
	m->code_la = 0xfffffffe;
	m->e.rip = 0xfffffffe;
	EXPECT_EQ(machine_run(m), MV_EMUL_OK);
	EXPECT_EQ(m->e.rip, 0);
}

static void checks_alignment(void)
{
	START(MV_MODE_LONG64, 0x66, 0x0f, 0x6f, 0x03);	/* movdqa (%rbx), %xmm0 */
	m->gpr[MV_RBX] += 8;
	EXPECT_FAULT(VEC_GP, 0);
	START(MV_MODE_LONG64, 0x48, 0x0f, 0xc7, 0x0b);	/* cmpxchg16b (%rbx) */
	m->gpr[MV_RBX] += 8;
	EXPECT_FAULT(VEC_GP, 0);

	START(MV_MODE_LONG64, 0x8b, 0x03);
	m->gpr[MV_RBX] += 2;
	m->e.rflags |= X86_EFLAGS_AC;
	EXPECT_EQ(machine_run(m), MV_EMUL_OK);			/* at CPL 0 */
	START(MV_MODE_LONG64, 0x8b, 0x03);
	m->gpr[MV_RBX] += 2;
	m->e.rflags |= X86_EFLAGS_AC;
	m->e.cpl = 3;
	EXPECT_FAULT(VEC_AC, 0);
	m->cr0 &= ~X86_CR0_AM;
	EXPECT_EQ(machine_run(m), MV_EMUL_OK);
}

static void checks_that_sse_may_be_used(void)
{
	START(MV_MODE_LONG64, 0x0f, 0x10, 0x03);		/* movups (%rbx), %xmm0 */
	m->cr0 |= X86_CR0_TS;
	EXPECT_FAULT(VEC_NM, 0);
	m->cr0 |= X86_CR0_EM;
	EXPECT_FAULT(VEC_UD, 0);
	m->cr0 &= ~(u64)(X86_CR0_TS | X86_CR0_EM);
	m->cr4 = 0;
	EXPECT_FAULT(VEC_UD, 0);
}

static void writes_all_pages_or_none(void)
{
	START(MV_MODE_LONG64, 0x89, 0x03);
	m->gpr[MV_RBX] = MEM_LA + 0xffe;
	m->gpr[MV_RAX] = 0xaabbccdd;
	m->absent = MEM_LA + 0x1000;
	EXPECT_FAULT(14, 2);
	EXPECT_EQ(m->e.exception.cr2, MEM_LA + 0x1000);
	EXPECT_EQ(peek(0xffe, 4), 0x0100fffe);
}

static void reports_a_read_for_write_as_write(void)
{
	START(MV_MODE_LONG64, 0x01, 0x03);		/* add %eax, (%rbx) */
	m->absent = MEM_LA;
	m->e.cpl = 3;
	EXPECT_FAULT(14, 6);
	m->absent = 0;
	m->read_only = MEM_LA;
	EXPECT_FAULT(14, 7);
	START(MV_MODE_LONG64, 0x39, 0x03);		/* cmp %eax, (%rbx) only reads */
	m->read_only = MEM_LA;
	EXPECT_EQ(machine_run(m), MV_EMUL_OK);
}

static void asks_userspace_once(void)
{
	START(MV_MODE_LONG64, 0x01, 0x03);		/* add %eax, (%rbx) */
	set_mmio(MEM_LA, 4);
	m->gpr[MV_RAX] = 1;
	EXPECT_EQ(machine_step(m), MV_EMUL_IO);
	EXPECT_EQ(m->e.rip, 0x1000);
	EXPECT_EQ(m->e.rflags, 2);
	machine_answer(m);
	EXPECT_EQ(machine_step(m), MV_EMUL_OK);
	EXPECT_EQ(m->nr_asked, 1);
	EXPECT_EQ(m->nr_shown, 1);
	EXPECT_EQ(m->nr_fetches, 1);
	EXPECT_EQ(peek(0, 4), 0x03020101);
	EXPECT_EQ(m->e.rip, 0x1002);
}

static void asks_fragment_by_fragment(void)
{
	START(MV_MODE_LONG64, 0x48, 0xa7);		/* cmpsq, both across a page */
	set_mmio(MEM_LA, MEM_SIZE);
	m->gpr[MV_RSI] = MEM_LA + 0xffd;
	m->gpr[MV_RDI] = MEM_LA + 0x2ffd;
	EXPECT_EQ(machine_run(m), MV_EMUL_OK);
	EXPECT_EQ(m->nr_asked, 4);
	EXPECT_EQ(!!(m->e.rflags & X86_EFLAGS_ZF), 1);

	START(MV_MODE_LONG64, 0x0f, 0x10, 0x03);		/* movups across a page */
	set_mmio(MEM_LA, MEM_SIZE);
	m->gpr[MV_RBX] = MEM_LA + 0xffb;
	EXPECT_EQ(machine_run(m), MV_EMUL_OK);
	EXPECT_EQ(m->nr_asked, 3);
	EXPECT_EQ(memcmp(m->xmm[0], mem + 0xffb, 16), 0);

	START(MV_MODE_LONG64, 0x0f, 0x11, 0x03);
	set_mmio(MEM_LA, MEM_SIZE);
	m->gpr[MV_RBX] = MEM_LA + 0xffb;
	EXPECT_EQ(machine_run(m), MV_EMUL_OK);
	EXPECT_EQ(m->nr_shown, 3);
}

static void can_be_given_up_while_it_waits(void)
{
	START(MV_MODE_LONG64, 0x8b, 0x03);
	set_mmio(MEM_LA, 4);
	EXPECT_EQ(machine_step(m), MV_EMUL_IO);
	mv_emul_start(&m->e);
	m->asked.len = 0;
	m->gpr[MV_RBX] = MEM_LA + 8;
	EXPECT_EQ(machine_step(m), MV_EMUL_OK);
	EXPECT_EQ(m->gpr[MV_RAX], 0x0b0a0908);
}

static void retries_when_a_locked_operation_is_contended(void)
{
	START(MV_MODE_LONG64, 0xf0, 0x01, 0x03);		/* lock add %eax, (%rbx) */
	m->gpr[MV_RAX] = 1;
	m->contended = true;
	EXPECT_EQ(machine_step(m), MV_EMUL_REP);
	EXPECT_EQ(m->e.rip, 0x1000);
	EXPECT_EQ(m->e.rflags, 2);
	m->contended = false;
	EXPECT_EQ(machine_step(m), MV_EMUL_OK);
	EXPECT_EQ(peek(0, 4), 0x03020102);

	START(MV_MODE_LONG64, 0x87, 0x03);		/* xchg locks by itself */
	m->contended = true;
	EXPECT_EQ(machine_step(m), MV_EMUL_REP);
	EXPECT_EQ(m->gpr[MV_RAX], 0);
}

static void shows_each_repeated_write(void)
{
	START(MV_MODE_LONG64, 0xf3, 0xab);		/* rep stosl */
	set_mmio(MEM_LA, MEM_SIZE);
	m->gpr[MV_RDI] = MEM_LA;
	m->gpr[MV_RCX] = 3;
	EXPECT_EQ(machine_step(m), MV_EMUL_REP);
	EXPECT_EQ(m->nr_shown, 1);
	EXPECT_EQ(m->gpr[MV_RCX], 2);
	EXPECT_EQ(m->gpr[MV_RDI], MEM_LA + 4);
	EXPECT_EQ(m->e.rip, 0x1000);
	EXPECT_EQ(machine_step(m), MV_EMUL_REP);
	EXPECT_EQ(machine_step(m), MV_EMUL_OK);
	EXPECT_EQ(m->nr_shown, 3);
	EXPECT_EQ(m->e.rip, 0x1002);
}

static void lets_interrupts_into_repeats(void)
{
	START(MV_MODE_LONG64, 0xf3, 0xaa);		/* rep stosb */
	m->gpr[MV_RDI] = MEM_LA;
	m->gpr[MV_RCX] = 1000;
	EXPECT_EQ(machine_step(m), MV_EMUL_REP);
	EXPECT_EQ(m->gpr[MV_RCX], 1000 - 256);
	EXPECT_EQ(m->e.rip, 0x1000);

	START(MV_MODE_LONG64, 0xf3, 0xaa);		/* single-stepped */
	m->gpr[MV_RDI] = MEM_LA;
	m->gpr[MV_RCX] = 2;
	m->e.rflags |= X86_EFLAGS_TF;
	EXPECT_EQ(machine_step(m), MV_EMUL_REP);
	EXPECT_EQ(m->gpr[MV_RCX], 1);
	EXPECT_EQ(machine_step(m), MV_EMUL_OK);
}

static void keeps_what_a_repeat_has_done_at_a_fault(void)
{
	START(MV_MODE_LONG64, 0xf3, 0xa4);		/* rep movsb */
	m->gpr[MV_RSI] = MEM_LA;
	m->gpr[MV_RDI] = MEM_LA + 0x1ffe;
	m->gpr[MV_RCX] = 5;
	m->absent = MEM_LA + 0x2000;
	EXPECT_EQ(machine_run(m), MV_EMUL_FAULT);
	EXPECT_EQ(m->e.exception.cr2, MEM_LA + 0x2000);
	EXPECT_EQ(m->gpr[MV_RCX], 3);
	EXPECT_EQ(m->gpr[MV_RSI], MEM_LA + 2);
	EXPECT_EQ(m->gpr[MV_RDI], MEM_LA + 0x2000);
	EXPECT_EQ(m->e.rip, 0x1000);
}

static void tells_userspace_apart_in_repeats(void)
{
	START(MV_MODE_LONG64, 0xf3, 0xa5);		/* rep movsl from MMIO */
	set_mmio(MEM_LA, 0x100);
	m->gpr[MV_RSI] = MEM_LA;
	m->gpr[MV_RDI] = MEM_LA + 0x1000;
	m->gpr[MV_RCX] = 8;
	memset(mem + 0x1000, 0, 32);
	EXPECT_EQ(machine_run(m), MV_EMUL_OK);
	EXPECT_EQ(m->nr_asked, 8);
	EXPECT_EQ(memcmp(mem, mem + 0x1000, 32), 0);
}

static void reads_ports(void)
{
	START(MV_MODE_LONG64, 0xed);			/* in (%dx), %eax */
	m->gpr[MV_RAX] = ~0ull;
	m->gpr[MV_RDX] = 0xffff1234;
	m->user_port = true;
	EXPECT_EQ(machine_step(m), MV_EMUL_IO);
	machine_answer(m);
	EXPECT_EQ(machine_step(m), MV_EMUL_OK);
	EXPECT_EQ(m->gpr[MV_RAX], 0x03020100);
	EXPECT_EQ(m->port, 0x1234);

	START(MV_MODE_LONG64, 0xe4, 0x80);		/* in $0x80, %al */
	m->gpr[MV_RAX] = 0x11223344;
	EXPECT_EQ(machine_run(m), MV_EMUL_OK);
	EXPECT_EQ(m->gpr[MV_RAX], 0x11223300);
	EXPECT_EQ(m->port, 0x80);
}

static void writes_ports(void)
{
	START(MV_MODE_LONG64, 0x66, 0xef);		/* out %ax, (%dx) */
	m->gpr[MV_RAX] = 0x11223344;
	m->gpr[MV_RDX] = 0x3f8;
	m->user_port = true;
	EXPECT_EQ(machine_run(m), MV_EMUL_OK);
	EXPECT_EQ(m->nr_out, 2);
	EXPECT_EQ(m->out[0] | m->out[1] << 8, 0x3344);
	EXPECT_EQ(m->e.rip, 0x1002);
}

static void leaves_the_right_to_ports_to_the_hardware(void)
{
	START(MV_MODE_LONG64, 0xee);
	m->e.cpl = 3;
	EXPECT_EQ(machine_run(m), MV_EMUL_UNKNOWN);
	m->e.rflags |= X86_EFLAGS_IOPL;
	EXPECT_EQ(machine_run(m), MV_EMUL_OK);
	START(MV_MODE_V86, 0xee);
	m->e.cpl = 3;
	m->e.rflags |= X86_EFLAGS_IOPL;
	EXPECT_EQ(machine_run(m), MV_EMUL_UNKNOWN);
	START(MV_MODE_REAL, 0xee);
	EXPECT_EQ(machine_run(m), MV_EMUL_OK);
}

static const struct mv_string_io rep_insb = {
	.port = 0x1f0, .size = 1, .addrsize = 8, .insn_len = 2, .in = true, .rep = true,
};

static void transfers_strings_by_the_page(void)
{
	START(MV_MODE_LONG64, 0xf3, 0x6c);
	m->user_port = true;
	m->gpr[MV_RDI] = MEM_LA + 0x800;
	m->gpr[MV_RCX] = 0x1000;
	EXPECT_EQ(mv_emul_string_io(&m->e, &rep_insb), MV_EMUL_IO);
	EXPECT_EQ(m->port_count, 0x800);
	EXPECT_EQ(m->gpr[MV_RCX], 0x1000);
	machine_answer(m);
	EXPECT_EQ(machine_step(m), MV_EMUL_REP);
	EXPECT_EQ(m->gpr[MV_RCX], 0x800);
	EXPECT_EQ(m->gpr[MV_RDI], MEM_LA + 0x1000);
	EXPECT_EQ(mem[0x800], 0);
	EXPECT_EQ(mem[0xfff], 0xff);
	EXPECT_EQ(m->nr_fetches, 0);
	mv_emul_start(&m->e);
	EXPECT_EQ(machine_run(m), MV_EMUL_OK);			/* decoded this time */
	EXPECT_EQ(m->gpr[MV_RCX], 0);
	EXPECT_EQ(m->e.rip, 0x1002);
	EXPECT_EQ(m->port_count, 0x800);
}

static void inputs_only_what_has_a_place(void)
{
	START(MV_MODE_LONG64, 0xf3, 0x6c);
	m->gpr[MV_RDI] = MEM_LA;
	m->gpr[MV_RCX] = 4;
	m->read_only = MEM_LA;
	EXPECT_EQ(mv_emul_string_io(&m->e, &rep_insb), MV_EMUL_FAULT);
	EXPECT_EQ(m->port_data, 0);

	START(MV_MODE_LONG64, 0x6d);			/* insl across a page */
	m->gpr[MV_RDI] = MEM_LA + 0xffe;
	m->absent = MEM_LA + 0x1000;
	EXPECT_FAULT(14, 2);
	EXPECT_EQ(m->port_data, 0);
	m->absent = 0;
	EXPECT_EQ(machine_run(m), MV_EMUL_OK);
	EXPECT_EQ(peek(0xffe, 4), 0x03020100);
}

static void outputs_strings(void)
{
	struct mv_string_io io = {
		.port = 0x3f8, .size = 2, .addrsize = 8, .insn_len = 3, .rep = true,
		.seg = MV_SEG_NONE,
	};

	START(MV_MODE_LONG64, 0x65, 0xf3, 0x66, 0x6f);	/* rep outsw %gs:(%rsi), (%dx) */
	io.insn_len = 4;
	m->seg[MV_SEG_GS].base = MEM_LA;
	m->gpr[MV_RSI] = 0x10;
	m->gpr[MV_RCX] = 4;
	EXPECT_EQ(mv_emul_string_io(&m->e, &io), MV_EMUL_OK);
	EXPECT_EQ(m->nr_out, 8);
	EXPECT_EQ(memcmp(m->out, mem + 0x10, 8), 0);
	EXPECT_EQ(m->gpr[MV_RSI], 0x18);
	EXPECT_EQ(m->e.rip, 0x1004);
}

static void looks_up_the_address_size(void)
{
	const struct mv_string_io io = {
		.port = 0x3f8, .size = 1, .insn_len = 3, .rep = true, .in = true, .seg = MV_SEG_ES,
	};

	START(MV_MODE_LONG64, 0xf3, 0x67, 0x6c);	/* rep insb (%dx), %es:(%edi) */
	m->gpr[MV_RDI] = 0xfull << 32 | MEM_LA;
	m->gpr[MV_RCX] = 0xfull << 32 | 2;
	EXPECT_EQ(mv_emul_string_io(&m->e, &io), MV_EMUL_OK);
	EXPECT_EQ(m->gpr[MV_RDI], MEM_LA + 2);
	EXPECT_EQ(m->gpr[MV_RCX], 0);
	EXPECT_EQ(m->e.rip, 0x1003);
}

static void strings_go_down_one_by_one(void)
{
	START(MV_MODE_LONG64, 0xf3, 0x6e);		/* rep outsb */
	m->e.rflags |= X86_EFLAGS_DF;
	m->gpr[MV_RSI] = MEM_LA + 5;
	m->gpr[MV_RCX] = 3;
	EXPECT_EQ(machine_step(m), MV_EMUL_REP);
	EXPECT_EQ(machine_run(m), MV_EMUL_OK);
	EXPECT_EQ(m->nr_out, 3);
	EXPECT_EQ(m->out[0] << 16 | m->out[1] << 8 | m->out[2], 0x050403);
	EXPECT_EQ(m->gpr[MV_RSI], MEM_LA + 2);
}

static void strings_wrap_with_their_address_size(void)
{
	START_SEGMENTED(MV_MODE_REAL, 0xf3, 0x6e);	/* rep outsb */
	m->gpr[MV_RSI] = 0xabcdfffe;
	m->gpr[MV_RCX] = 0xabcd0004;
	EXPECT_EQ(machine_run(m), MV_EMUL_OK);
	EXPECT_EQ(m->nr_out, 4);
	EXPECT_EQ(m->out[1] << 16 | m->out[2] << 8 | m->out[3], 0xff0001);
	EXPECT_EQ(m->gpr[MV_RSI], 0xabcd0002);
	EXPECT_EQ(m->gpr[MV_RCX], 0xabcd0000);

	/* A larger limit does not change that: after two bytes comes what is not mapped. */
	START(MV_MODE_REAL, 0xf3, 0x6e);
	m->seg[MV_SEG_DS].limit = 0xffffffff;
	m->seg[MV_SEG_DS].base = MEM_LA - 0xf800;
	m->gpr[MV_RSI] = 0xfffe;
	m->gpr[MV_RCX] = 4;
	EXPECT_EQ(machine_run(m), MV_EMUL_FAULT);
	EXPECT_EQ(m->e.exception.cr2, MEM_LA - 0xf800);
	EXPECT_EQ(m->nr_out, 2);

	START(MV_MODE_LONG64, 0x67, 0xf3, 0xaa);		/* addr32 rep stosb */
	m->gpr[MV_RDI] = 0xffffffff00000000 | MEM_LA;
	m->gpr[MV_RCX] = 0xffffffff00000002;
	EXPECT_EQ(machine_run(m), MV_EMUL_OK);
	EXPECT_EQ(m->gpr[MV_RDI], MEM_LA + 2);
	EXPECT_EQ(m->gpr[MV_RCX], 0);
}

static void strings_stop_at_the_segment_limit(void)
{
	START_SEGMENTED(MV_MODE_PROT32, 0xf3, 0x6e);	/* rep outsb */
	m->seg[MV_SEG_DS].limit = 9;
	m->gpr[MV_RCX] = 20;
	EXPECT_EQ(machine_run(m), MV_EMUL_FAULT);
	EXPECT_EQ(m->e.exception.vector, VEC_GP);
	EXPECT_EQ(m->nr_out, 10);
	EXPECT_EQ(m->gpr[MV_RSI], 10);
	EXPECT_EQ(m->gpr[MV_RCX], 10);
}

static void does_nothing_zero_times(void)
{
	START(MV_MODE_LONG64, 0xf3, 0xa4);		/* rep movsb */
	m->gpr[MV_RDI] = 0x8000000000000000;
	EXPECT_EQ(machine_run(m), MV_EMUL_OK);
	EXPECT_EQ(m->e.rip, 0x1002);
	START(MV_MODE_LONG64, 0xf3, 0x6c);		/* rep insb */
	m->gpr[MV_RDI] = 0x8000000000000000;
	EXPECT_EQ(machine_run(m), MV_EMUL_OK);
	EXPECT_EQ(m->port_count, 0);
}

static void gives_the_hint_where_it_fits(void)
{
	u64 gpa = 0;

	START(MV_MODE_LONG64, 0x8b, 0x03);
	m->e.gpa_valid = true;
	m->e.gpa = 0xfee00020;
	EXPECT_EQ(machine_run(m), MV_EMUL_OK);
	EXPECT_EQ(mv_emul_hint(&m->e, MEM_LA + 0x20, false, &gpa), true);
	EXPECT_EQ(gpa, 0xfee00020);
	EXPECT_EQ(mv_emul_hint(&m->e, MEM_LA + 0x24, false, &gpa), false);
	EXPECT_EQ(mv_emul_hint(&m->e, MEM_LA + 0x20, true, &gpa), false);
	m->e.gpa_write = true;
	EXPECT_EQ(mv_emul_hint(&m->e, MEM_LA + 0x20, true, &gpa), true);

	START(MV_MODE_LONG64, 0xa4);			/* movsb: which operand? */
	m->gpr[MV_RSI] = MEM_LA;
	m->gpr[MV_RDI] = MEM_LA;
	m->e.gpa_valid = true;
	EXPECT_EQ(machine_run(m), MV_EMUL_OK);
	EXPECT_EQ(m->e.gpa_valid, false);

	START(MV_MODE_LONG64, 0xff, 0x33);		/* push (%rbx) */
	m->gpr[MV_RSP] = MEM_LA + 0x100;
	m->e.gpa_valid = true;
	EXPECT_EQ(machine_run(m), MV_EMUL_OK);
	EXPECT_EQ(m->e.gpa_valid, false);

	START(MV_MODE_LONG64, 0x8b, 0x03);		/* across a page: which one? */
	m->gpr[MV_RBX] = MEM_LA + 0xffe;
	m->e.gpa_valid = true;
	EXPECT_EQ(machine_run(m), MV_EMUL_OK);
	EXPECT_EQ(m->e.gpa_valid, false);
}

static void checks_where_it_jumps(void)
{
	START(MV_MODE_LONG64, 0xff, 0x23);			/* jmp *(%rbx) */
	memset(mem, 0, 8);
	mem[6] = 0x80;
	EXPECT_FAULT(VEC_GP, 0);
	memset(mem + 5, 0xff, 3);
	mem[5] = 0x80;
	EXPECT_EQ(machine_run(m), MV_EMUL_OK);
	EXPECT_EQ(m->e.rip, 0xffff800000000000);

	START_SEGMENTED(MV_MODE_PROT32, 0xff, 0x13);		/* call *(%ebx) */
	m->gpr[MV_RSP] = 0x100;
	m->seg[MV_SEG_CS].limit = 0x030200ff;
	EXPECT_FAULT(VEC_GP, 0);
	m->seg[MV_SEG_CS].limit = 0x03020100;
	EXPECT_EQ(machine_run(m), MV_EMUL_OK);
	EXPECT_EQ(m->e.rip, 0x03020100);
	EXPECT_EQ(m->gpr[MV_RSP], 0xfc);
	EXPECT_EQ(peek(0xfc, 4), 0x1002);

	/* Nothing has happened when there is no stack. */
	START_SEGMENTED(MV_MODE_PROT32, 0xff, 0x13);
	m->seg[MV_SEG_SS].limit = 0xff;
	m->gpr[MV_RSP] = 0x200;
	EXPECT_FAULT(VEC_SS, 0);

	START_SEGMENTED(MV_MODE_REAL, 0xff, 0x17);		/* call *(%bx) */
	m->gpr[MV_RSP] = 0x12340000;
	m->seg[MV_SEG_SS].attr &= ~MV_SEG_DB;
	EXPECT_EQ(machine_run(m), MV_EMUL_OK);
	EXPECT_EQ(m->e.rip, 0x0100);
	EXPECT_EQ(m->gpr[MV_RSP], 0x1234fffe);
	EXPECT_EQ(peek(0xfffe, 2), 0x1002);
}

static void clears_the_resume_flag(void)
{
	START(MV_MODE_LONG64, 0x8b, 0x03);
	m->e.rflags |= X86_EFLAGS_RF;
	EXPECT_EQ(machine_run(m), MV_EMUL_OK);
	EXPECT_EQ(m->e.rflags, 2);
}

static void takes_prefixes_in_any_order(void)
{
	/* A REX prefix that is not the last does not count; of REP prefixes, the last does. */
	START(MV_MODE_LONG64, 0x48, 0x66, 0x8b, 0x03);
	EXPECT_EQ(machine_run(m), MV_EMUL_OK);
	EXPECT_EQ(m->gpr[MV_RAX], 0x0100);
	START(MV_MODE_LONG64, 0xf2, 0xf3, 0x0f, 0x6f, 0x03);	/* movdqu */
	EXPECT_EQ(machine_run(m), MV_EMUL_OK);
	EXPECT_EQ(memcmp(m->xmm[0], mem, 16), 0);
	START(MV_MODE_LONG64, 0x65, 0x2e, 0x8b, 0x03);	/* CS does not undo GS */
	m->seg[MV_SEG_GS].base = 4;
	EXPECT_EQ(machine_run(m), MV_EMUL_OK);
	EXPECT_EQ(m->gpr[MV_RAX], 0x07060504);
}

/* Ops that cost nothing, to count what the emulator itself costs. */
static int quick_fetch(struct mv_emul *e, u64 la, u8 *buf, unsigned int len)
{
	memcpy(buf, m->code, 16);
	return 15;
}

static int quick_read(struct mv_emul *e, u64 la, void *buf, unsigned int len, bool for_write)
{
	*(u32 *)buf = m->mem[0x20];
	return m->mmio_end ? MV_EMUL_IO : MV_EMUL_OK;
}

static int quick_write(struct mv_emul *e, u64 la, const void *buf, unsigned int len)
{
	m->mem[0x20] = *(const u32 *)buf;
	return MV_EMUL_OK;
}

static sig_atomic_t steps;

static void count_step(int sig)
{
	steps++;
}

/* How many instructions a call takes, by single steps. */
static unsigned int count_instructions(void)
{
	struct sigaction sa = { .sa_handler = count_step };

	sigaction(SIGTRAP, &sa, NULL);
	steps = 0;
	__asm__ volatile("pushfq; orl $0x100, (%%rsp); popfq" ::: "memory", "cc");
	mv_emul_insn(&m->e);
	__asm__ volatile("pushfq; andl $~0x100, (%%rsp); popfq" ::: "memory", "cc");
	return steps;
}

static void moves_in_few_instructions(void)
{
	static const struct mv_emul_ops quick_ops = {
		.fetch = quick_fetch, .read = quick_read, .write = quick_write,
	};
	static const u8 load[16] = { 0x8b, 0x83, 0x20, 0x00, 0x00, 0x00 };
	static const u8 store[16] = { 0x89, 0x83, 0x20, 0x00, 0x00, 0x00 };
	unsigned int n;

	start(MV_MODE_LONG64, load, sizeof(load));
	m->e.ops = &quick_ops;
	n = count_instructions();
	EXPECT_EQ(m->gpr[MV_RAX], 0x20);
	EXPECT_EQ(m->e.rip, 0x1006);
	printf("# mov 0x20(%%rbx), %%eax: %u instructions\n", n);
	EXPECT_EQ(n < INSTRUCTIONS_MAX, true);

	start(MV_MODE_LONG64, store, sizeof(store));
	m->e.ops = &quick_ops;
	n = count_instructions();
	EXPECT_EQ(mem[0x20], 0);
	printf("# mov %%eax, 0x20(%%rbx): %u instructions\n", n);
	EXPECT_EQ(n < INSTRUCTIONS_MAX, true);

	start(MV_MODE_LONG64, load, sizeof(load));
	m->e.ops = &quick_ops;
	m->mmio_end = 1;
	EXPECT_EQ(mv_emul_insn(&m->e), MV_EMUL_IO);
	mv_emul_complete_read(&m->e, 0x12345678);
	n = count_instructions();
	EXPECT_EQ(m->gpr[MV_RAX], 0x12345678);
	printf("# the rest of it, when userspace has answered: %u instructions\n", n);
	EXPECT_EQ(n < INSTRUCTIONS_MAX / 2, true);
}

static const struct {
	const char *promise;
	void (*test)(void);
} tests[] = {
#define TEST(name)	{ #name, name }
	TEST(fetches_across_a_page),
	TEST(uses_the_bytes_that_the_hardware_gives),
	TEST(fetches_by_cs_base),
	TEST(refuses_what_is_too_long),
	TEST(refuses_lock_where_it_is_illegal),
	TEST(never_guesses),
	TEST(takes_prefixes_in_any_order),
	TEST(checks_canonical_addresses),
	TEST(adds_fs_and_gs_base_in_long_mode),
	TEST(checks_segment_limits),
	TEST(checks_expand_down_segments),
	TEST(checks_segment_types),
	TEST(knows_real_mode),
	TEST(wraps_linear_addresses_at_4_gib),
	TEST(wraps_rip_at_4_gib),
	TEST(checks_alignment),
	TEST(checks_that_sse_may_be_used),
	TEST(writes_all_pages_or_none),
	TEST(reports_a_read_for_write_as_write),
	TEST(asks_userspace_once),
	TEST(asks_fragment_by_fragment),
	TEST(can_be_given_up_while_it_waits),
	TEST(retries_when_a_locked_operation_is_contended),
	TEST(shows_each_repeated_write),
	TEST(lets_interrupts_into_repeats),
	TEST(keeps_what_a_repeat_has_done_at_a_fault),
	TEST(tells_userspace_apart_in_repeats),
	TEST(does_nothing_zero_times),
	TEST(reads_ports),
	TEST(writes_ports),
	TEST(leaves_the_right_to_ports_to_the_hardware),
	TEST(transfers_strings_by_the_page),
	TEST(inputs_only_what_has_a_place),
	TEST(outputs_strings),
	TEST(looks_up_the_address_size),
	TEST(strings_go_down_one_by_one),
	TEST(strings_wrap_with_their_address_size),
	TEST(strings_stop_at_the_segment_limit),
	TEST(gives_the_hint_where_it_fits),
	TEST(checks_where_it_jumps),
	TEST(clears_the_resume_flag),
	TEST(moves_in_few_instructions),
};

int main(void)
{
	unsigned int i, nr_failed = 0;

	printf("TAP version 13\n1..%zu\n", ARRAY_SIZE(tests));
	for (i = 0; i < ARRAY_SIZE(tests); i++) {
		failed = false;
		tests[i].test();
		nr_failed += failed;
		printf("%sok %u - %s\n", failed ? "not " : "", i + 1, tests[i].promise);
	}
	return nr_failed != 0;
}
