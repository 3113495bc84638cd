// SPDX-License-Identifier: GPL-2.0
/* IN and OUT, INS and OUTS. */
#include "unit.h"

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

const struct unit_test ports_tests[] = {
	TEST(reads_ports),
	TEST(writes_ports),
	TEST(leaves_the_right_to_ports_to_the_hardware),
	TEST(transfers_strings_by_the_page),
	TEST(inputs_only_what_has_a_place),
	TEST(outputs_strings),
	TEST(looks_up_the_address_size),
	{}
};
