// SPDX-License-Identifier: GPL-2.0
/* System registers, flags by privilege, and the x87 FPU's words: what a user cannot try out. */
#include "unit.h"

#define UMIP X86_CR4_UMIP

static void stores_system_registers(void)
{
	START(MV_MODE_LONG64, 0x0f, 0x00, 0x03);	/* sldt (%rbx) */
	m->selector[MV_SEG_LDTR] = 0x1234;
	EXPECT_EQ(machine_run(m), MV_EMUL_OK);
	EXPECT_EQ(peek(0, 4), 0x03021234);
	START(MV_MODE_LONG64, 0x48, 0x0f, 0x00, 0xc8);	/* str %rax */
	m->selector[MV_SEG_TR] = 0x5678;
	m->gpr[MV_RAX] = ~0ull;
	EXPECT_EQ(machine_run(m), MV_EMUL_OK);
	EXPECT_EQ(m->gpr[MV_RAX], 0x5678);
	START(MV_MODE_LONG64, 0x0f, 0x01, 0x23);	/* smsw (%rbx) */
	m->cr0 = 0x80050033;
	EXPECT_EQ(machine_run(m), MV_EMUL_OK);
	EXPECT_EQ(peek(0, 4), 0x03020033);
	START(MV_MODE_LONG64, 0x66, 0x0f, 0x01, 0xe0);	/* smsw %ax */
	m->cr0 = 0x80050033;
	m->gpr[MV_RAX] = ~0ull;
	EXPECT_EQ(machine_run(m), MV_EMUL_OK);
	EXPECT_EQ(m->gpr[MV_RAX], 0xffffffffffff0033);
	m->e.rip = 0x1000;
	m->e.cpl = 3;
	m->cr4 |= UMIP;
	EXPECT_FAULT(VEC_GP, 0);
	START_SEGMENTED(MV_MODE_REAL, 0x0f, 0x00, 0x07);	/* sldt (%bx) */
	EXPECT_FAULT(VEC_UD, 0);
	START(MV_MODE_LONG64, 0x8c, 0x33);		/* mov %?6, (%rbx) */
	EXPECT_FAULT(VEC_UD, 0);
}

static void lmsw_changes_four_bits_and_keeps_pe(void)
{
	START(MV_MODE_LONG64, 0x0f, 0x01, 0x33);	/* lmsw (%rbx) */
	m->cr0 = 0x80050033;
	mem[0] = 0xfc;
	EXPECT_EQ(machine_run(m), MV_EMUL_OK);
	EXPECT_EQ(m->cr0, 0x8005003d);
	START(MV_MODE_LONG64, 0x0f, 0x01, 0x33);
	m->e.cpl = 3;
	EXPECT_FAULT(VEC_GP, 0);
}

static void loads_segments(void)
{
	START(MV_MODE_LONG64, 0x8e, 0x1b);		/* mov (%rbx), %ds */
	set_mmio(MEM_LA, 2);
	EXPECT_EQ(machine_run(m), MV_EMUL_OK);
	EXPECT_EQ(m->selector[MV_SEG_DS], 0x0100);
	START(MV_MODE_LONG64, 0x8e, 0x0b);		/* CS cannot */
	EXPECT_FAULT(VEC_UD, 0);
	START(MV_MODE_LONG64, 0x0f, 0xb4, 0x03);	/* lfs (%rbx), %eax */
	EXPECT_EQ(machine_run(m), MV_EMUL_OK);
	EXPECT_EQ(m->gpr[MV_RAX], 0x03020100);
	EXPECT_EQ(m->selector[MV_SEG_FS], 0x0504);

	/* A fault of the selector leaves all as it was. */
	START(MV_MODE_LONG64, 0x0f, 0xb4, 0x03);
	mem[4] = (u8)BAD_SELECTOR;
	mem[5] = BAD_SELECTOR >> 8;
	EXPECT_FAULT(VEC_GP, BAD_SELECTOR & ~3);
	START(MV_MODE_LONG64, 0x0f, 0xa1);		/* pop %fs */
	m->gpr[MV_RSP] = MEM_LA;
	mem[0] = (u8)BAD_SELECTOR;
	mem[1] = BAD_SELECTOR >> 8;
	EXPECT_FAULT(VEC_GP, BAD_SELECTOR & ~3);
	START_SEGMENTED(MV_MODE_PROT32, 0xc5, 0x03);	/* lds (%ebx): all six bytes */
	m->seg[MV_SEG_DS].limit = 4;
	EXPECT_FAULT(VEC_GP, 0);
}

static u64 popped_flags(u8 cpl, u64 rflags)
{
	START(MV_MODE_LONG64, 0x9d);			/* popf */
	m->gpr[MV_RSP] = MEM_LA;
	memset(mem, 0xff, 8);
	m->e.rflags = rflags | 2;
	m->e.cpl = cpl;
	EXPECT_EQ(machine_run(m), MV_EMUL_OK);
	EXPECT_EQ(m->gpr[MV_RSP], MEM_LA + 8);
	return m->e.rflags;
}

static void pops_flags_by_privilege(void)
{
	EXPECT_EQ(popped_flags(0, 0), 0x247fd7);
	EXPECT_EQ(popped_flags(1, 0x1000), 0x245fd7);
	EXPECT_EQ(popped_flags(3, 0x2000), 0x246dd7);
	START_SEGMENTED(MV_MODE_V86, 0x9c);		/* pushf */
	m->e.cpl = 3;
	EXPECT_FAULT(VEC_GP, 0);
	START_SEGMENTED(MV_MODE_V86, 0x9c);
	m->e.cpl = 3;
	m->cr4 |= X86_CR4_VME;
	EXPECT_EQ(machine_run(m), MV_EMUL_UNKNOWN);
}

static void reports_divisions(void)
{
	START(MV_MODE_LONG64, 0xf7, 0x33);		/* divl (%rbx) */
	memset(mem, 0, 4);
	EXPECT_FAULT(VEC_DE, 0);
	START(MV_MODE_LONG64, 0x48, 0xf7, 0x3b);	/* idivq (%rbx): -2^63 / -1 */
	memset(mem, 0xff, 8);
	m->gpr[MV_RAX] = 1ull << 63;
	m->gpr[MV_RDX] = ~0ull;
	EXPECT_FAULT(VEC_DE, 0);
}

static void moves_mmx_registers(void)
{
	START(MV_MODE_LONG64, 0x0f, 0x6f, 0x13);	/* movq (%rbx), %mm2 */
	EXPECT_EQ(machine_run(m), MV_EMUL_OK);
	EXPECT_EQ(m->mm[2], 0x0706050403020100);
	START(MV_MODE_LONG64, 0x0f, 0x7e, 0x13);	/* movd %mm2, (%rbx) */
	m->mm[2] = 0x1122334455667788;
	EXPECT_EQ(machine_run(m), MV_EMUL_OK);
	EXPECT_EQ(peek(0, 8), 0x0706050455667788);

	START(MV_MODE_LONG64, 0x0f, 0x6f, 0x13);
	m->fsw = 0x80;
	EXPECT_FAULT(VEC_MF, 0);
	m->cr0 |= X86_CR0_TS;
	EXPECT_FAULT(VEC_NM, 0);
	START(MV_MODE_LONG64, 0xdd, 0x3b);		/* fnstsw (%rbx) does not wait */
	m->fsw = 0x80;
	EXPECT_EQ(machine_run(m), MV_EMUL_OK);
	EXPECT_EQ(peek(0, 4), 0x03020080);
	START(MV_MODE_LONG64, 0xd9, 0x3b);		/* fnstcw (%rbx) */
	m->cr0 |= X86_CR0_EM;
	EXPECT_FAULT(VEC_NM, 0);
}

static void asks_and_shows_all_of_the_stack(void)
{
	START_SEGMENTED(MV_MODE_PROT32, 0x60);		/* pusha, one operand across a page */
	set_mmio(MEM_LA, MEM_SIZE);
	m->gpr[MV_RSP] = 0x100e;
	m->gpr[MV_RDI] = 0x77777777;
	EXPECT_EQ(machine_run(m), MV_EMUL_OK);
	EXPECT_EQ(m->nr_shown, 9);
	EXPECT_EQ(m->gpr[MV_RSP], 0xfee);
	EXPECT_EQ(peek(0xfee, 4), 0x77777777);
	EXPECT_EQ(peek(0xffa, 4), 0x100e);

	START_SEGMENTED(MV_MODE_PROT32, 0x61);		/* popa */
	set_mmio(MEM_LA, MEM_SIZE);
	m->gpr[MV_RSP] = 0xfee;
	EXPECT_EQ(machine_run(m), MV_EMUL_OK);
	EXPECT_EQ(m->nr_asked, 9);
	EXPECT_EQ(m->gpr[MV_RDI], 0xf1f0efee);
	EXPECT_EQ(m->gpr[MV_RAX], 0x0d0c0b0a);
	EXPECT_EQ(m->gpr[MV_RSP], 0x100e);
}

static void enters_only_where_the_frame_has_room(void)
{
	START(MV_MODE_LONG64, 0xc8, 0x00, 0x10, 0x00);	/* enter $4096, $0 */
	m->gpr[MV_RSP] = MEM_LA + 0x2010;
	m->read_only = MEM_LA + 0x1000;
	EXPECT_FAULT(14, 3);
	m->read_only = 0;
	EXPECT_EQ(machine_run(m), MV_EMUL_OK);
	EXPECT_EQ(m->gpr[MV_RSP], MEM_LA + 0x1008);
	EXPECT_EQ(m->gpr[MV_RBP], MEM_LA + 0x2008);
}

const struct unit_test system_tests[] = {
	TEST(stores_system_registers),
	TEST(lmsw_changes_four_bits_and_keeps_pe),
	TEST(loads_segments),
	TEST(pops_flags_by_privilege),
	TEST(reports_divisions),
	TEST(moves_mmx_registers),
	TEST(asks_and_shows_all_of_the_stack),
	TEST(enters_only_where_the_frame_has_room),
	{}
};
