// SPDX-License-Identifier: GPL-2.0
/*
 * libFuzzer target: any bytes as mode, registers and instruction. The emulator must end, keep to
 * its ops' rules (machine.c aborts otherwise), and change nothing when it fails.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "machine.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

static u8 mem[MEM_SIZE];

static void require(bool holds, const char *rule)
{
	if (holds)
		return;
	fprintf(stderr, "broken: %s\n", rule);
	abort();
}

static void set_up(struct machine *m, u8 control, u8 more, const u8 *code, unsigned int len)
{
	unsigned int i;

	machine_init(m, control % 5, mem, code, len);
	for (i = 0; i < 16; i++)
		m->gpr[i] = MEM_LA + 0x1000 * (i & 3) + 0x800 + i;
	m->gpr[MV_RCX] = more & 0x3f;
	if (m->e.mode != MV_MODE_LONG64) {
		for (i = 0; i < 6; i++)
			m->seg[i].base = i == MV_SEG_CS ? 0 : MEM_LA - 0x100 * i;
		for (i = 0; i < 16; i++)
			m->gpr[i] &= 0xffff;
	}
	m->code_la = control & 0x08 ? 0x1ffc : 0x1000;
	m->e.rip = m->code_la;
	m->e.cpl = control & 0x10 ? 3 : 0;
	m->user_port = control & 0x20;
	if (control & 0x40) {
		m->mmio_start = MEM_LA;
		m->mmio_end = MEM_LA + (control & 0x80 ? 0x2000 : MEM_SIZE);
	}
	if (more & 0x40)
		m->e.rflags |= X86_EFLAGS_DF | X86_EFLAGS_IOPL | X86_EFLAGS_AC | X86_EFLAGS_RF;
	if (more & 0x80)
		m->absent = MEM_LA + 0x2000;
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static struct machine m;
	unsigned int nr_steps = 0;
	u64 gpr[16], rip, rflags;
	int ret;

	if (size < 3)
		return 0;
	set_up(&m, data[0], data[1], data + 2, size - 2 > 32 ? 32 : size - 2);
	rip = m.e.rip;

	do {
		memcpy(gpr, m.gpr, sizeof(gpr));
		rflags = m.e.rflags;
		ret = machine_step(&m);
		if (ret == MV_EMUL_IO)
			machine_answer(&m);
		else if (ret == MV_EMUL_REP || ret == MV_EMUL_RETRY)
			mv_emul_start(&m.e);
		require(nr_steps++ < 1000, "an instruction ends");
	} while (ret == MV_EMUL_IO || ret == MV_EMUL_REP || ret == MV_EMUL_RETRY);

	require(ret == MV_EMUL_OK || ret == MV_EMUL_FAULT || ret == MV_EMUL_UNKNOWN,
		"results are those of an instruction");
	if (ret == MV_EMUL_OK) {
		require((m.e.rip > rip && m.e.rip <= rip + MV_EMUL_INSN_MAX) ||
			(m.e.d.op >= OP_CALL && m.e.d.op <= OP_RET), "RIP goes on");
		return 0;
	}
	require(m.e.rip == rip, "a fault leaves RIP");
	if (!m.e.d.rep) {
		require(!memcmp(gpr, m.gpr, sizeof(gpr)), "a fault leaves the registers");
		require(rflags == m.e.rflags, "a fault leaves the flags");
	}
	if (ret == MV_EMUL_FAULT)
		require(m.e.exception.vector < 32, "a fault has a vector");
	return 0;
}
