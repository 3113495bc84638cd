// SPDX-License-Identifier: GPL-2.0
/* How instructions are fetched and decoded. */
#include "unit.h"

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
		{ { 0x0f, 0xae, 0x03 }, 3, MV_MODE_LONG64 },		/* fxsave (%rbx) */
		{ { 0x0f, 0x01, 0x13 }, 3, MV_MODE_LONG64 },		/* lgdt (%rbx) */
		{ { 0x0f, 0x01, 0xc1 }, 3, MV_MODE_LONG64 },		/* vmcall */
		{ { 0xc8, 0x10, 0x00, 0x01 }, 4, MV_MODE_LONG64 },	/* enter $16, $1 */
		{ { 0xc5, 0x03 }, 2, MV_MODE_LONG64 },			/* VEX */
		{ { 0x06 }, 1, MV_MODE_LONG64 },			/* push %es */
		{ { 0x60 }, 1, MV_MODE_LONG64 },			/* pusha */
		{ { 0x0f, 0xb8, 0x03 }, 3, MV_MODE_LONG64 },		/* popcnt without F3 */
		{ { 0xff, 0x1b }, 2, MV_MODE_LONG64 },			/* lcall *(%rbx) */
		{ { 0x66, 0xff, 0x23 }, 3, MV_MODE_LONG64 },		/* jmpw *(%rbx) */
		{ { 0xc7, 0x0b }, 2, MV_MODE_LONG64 },			/* group 11 /1 */
		{ { 0x0f, 0xae, 0x33 }, 3, MV_MODE_LONG64 },		/* xsaveopt (%rbx) */
		{ { 0xf3, 0x0f, 0xae, 0x33 }, 4, MV_MODE_LONG64 },	/* clrssbsy (%rbx) */
		{ { 0x0f, 0xef, 0x03 }, 3, MV_MODE_LONG64 },		/* pxor (%rbx), %mm0 */
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

const struct unit_test decode_tests[] = {
	TEST(fetches_across_a_page),
	TEST(uses_the_bytes_that_the_hardware_gives),
	TEST(fetches_by_cs_base),
	TEST(refuses_what_is_too_long),
	TEST(refuses_lock_where_it_is_illegal),
	TEST(never_guesses),
	TEST(takes_prefixes_in_any_order),
	{}
};
