// SPDX-License-Identifier: GPL-2.0
/* String instructions and their repeats. */
#include "unit.h"

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

const struct unit_test strings_tests[] = {
	TEST(shows_each_repeated_write),
	TEST(lets_interrupts_into_repeats),
	TEST(keeps_what_a_repeat_has_done_at_a_fault),
	TEST(tells_userspace_apart_in_repeats),
	TEST(does_nothing_zero_times),
	TEST(strings_go_down_one_by_one),
	TEST(strings_wrap_with_their_address_size),
	TEST(strings_stop_at_the_segment_limit),
	{}
};
