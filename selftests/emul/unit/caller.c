// SPDX-License-Identifier: GPL-2.0
/* How the emulator works together with its caller. */
#include "unit.h"

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
	EXPECT_EQ(machine_step(m), MV_EMUL_RETRY);
	EXPECT_EQ(m->e.rip, 0x1000);
	EXPECT_EQ(m->e.rflags, 2);
	m->contended = false;
	EXPECT_EQ(machine_step(m), MV_EMUL_OK);
	EXPECT_EQ(peek(0, 4), 0x03020102);

	START(MV_MODE_LONG64, 0x87, 0x03);		/* xchg locks by itself */
	m->contended = true;
	EXPECT_EQ(machine_step(m), MV_EMUL_RETRY);
	EXPECT_EQ(m->gpr[MV_RAX], 0);
}

/* machine.c sees to it that op_cmpxchg() is not asked for more than a cache line. */
static void writes_split_locks_plainly(void)
{
	static const unsigned int offsets[] = { 0x3d, 0x7f, 0xffd };	/* and a page */
	unsigned int i, mmio;

	for (i = 0; i < 2 * ARRAY_SIZE(offsets); i++) {
		unsigned int at = offsets[i / 2];
		u64 before;

		mmio = i & 1;
		START(MV_MODE_LONG64, 0xf0, 0x0f, 0xb1, 0x0b);	/* lock cmpxchg %ecx, (%rbx) */
		if (mmio)
			set_mmio(MEM_LA, MEM_SIZE);
		before = peek(at, 4);
		m->gpr[MV_RBX] = MEM_LA + at;
		m->gpr[MV_RAX] = before;
		m->gpr[MV_RCX] = 0xaabbccdd;
		EXPECT_EQ(machine_run(m), MV_EMUL_OK);
		EXPECT_EQ(peek(at, 4), 0xaabbccdd);
		EXPECT_EQ(!!(m->e.rflags & X86_EFLAGS_ZF), 1);

		START(MV_MODE_LONG64, 0x66, 0x87, 0x0b);	/* xchg %cx, (%rbx) */
		m->gpr[MV_RBX] = MEM_LA + (at | 3);
		m->gpr[MV_RCX] = 0x55aa;
		before = peek(at | 3, 2);
		EXPECT_EQ(machine_run(m), MV_EMUL_OK);
		EXPECT_EQ(peek(at | 3, 2), 0x55aa);
		EXPECT_EQ(m->gpr[MV_RCX], before);

		START(MV_MODE_LONG64, 0xf0, 0x0f, 0xc7, 0x0b);	/* lock cmpxchg8b (%rbx) */
		m->gpr[MV_RBX] = MEM_LA + at;
		m->gpr[MV_RAX] = peek(at, 4);
		m->gpr[MV_RDX] = peek(at + 4, 4);
		EXPECT_EQ(machine_run(m), MV_EMUL_OK);
		EXPECT_EQ(peek(at, 8), MEM_LA + at);
	}
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

static void clears_the_resume_flag(void)
{
	START(MV_MODE_LONG64, 0x8b, 0x03);
	m->e.rflags |= X86_EFLAGS_RF;
	EXPECT_EQ(machine_run(m), MV_EMUL_OK);
	EXPECT_EQ(m->e.rflags, 2);
}

const struct unit_test caller_tests[] = {
	TEST(asks_userspace_once),
	TEST(asks_fragment_by_fragment),
	TEST(can_be_given_up_while_it_waits),
	TEST(retries_when_a_locked_operation_is_contended),
	TEST(writes_split_locks_plainly),
	TEST(gives_the_hint_where_it_fits),
	TEST(clears_the_resume_flag),
	{}
};
