// SPDX-License-Identifier: GPL-2.0
/* Where memory is, which exceptions an access to it has, and that a fault changes nothing. */
#include "unit.h"

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

const struct unit_test faults_tests[] = {
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
	TEST(checks_where_it_jumps),
	{}
};
