// SPDX-License-Identifier: GPL-2.0
#include "unit.h"

u8 mem[MEM_SIZE];
static struct machine machine;
struct machine *const m = &machine;
bool failed;

void expect(int line, const char *what, u64 seen, u64 right)
{
	if (seen == right)
		return;
	printf("# line %d: %s is %#llx, should be %#llx\n", line, what, seen, right);
	failed = true;
}

void expect_fault(int line, unsigned int vector, u32 error_code)
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

void start(enum mv_emul_mode mode, const u8 *code, unsigned int len)
{
	unsigned int i;

	for (i = 0; i < MEM_SIZE; i++)
		mem[i] = i;
	machine_init(m, mode, mem, code, len);
	m->gpr[MV_RBX] = MEM_LA;
}

void start_segmented(enum mv_emul_mode mode, const u8 *code, unsigned int len)
{
	start(mode, code, len);
	m->gpr[MV_RBX] = 0;
	m->seg[MV_SEG_DS].base = MEM_LA;
	m->seg[MV_SEG_ES].base = MEM_LA;
	m->seg[MV_SEG_SS].base = MEM_LA;
}

void set_mmio(u64 start, unsigned int len)
{
	m->mmio_start = start;
	m->mmio_end = start + len;
}

u64 peek(unsigned int offset, unsigned int len)
{
	u64 val = 0;

	memcpy(&val, mem + offset, len);
	return val;
}

static const struct unit_test *const tables[] = {
	decode_tests, faults_tests, caller_tests, strings_tests, ports_tests, system_tests,
	cost_tests,
};

int main(void)
{
	unsigned int i, nr = 0, nr_failed = 0;
	const struct unit_test *t;

	printf("TAP version 13\n");
	for (i = 0; i < ARRAY_SIZE(tables); i++) {
		for (t = tables[i]; t->promise; t++) {
			failed = false;
			t->run();
			nr_failed += failed;
			printf("%sok %u - %s\n", failed ? "not " : "", ++nr, t->promise);
		}
	}
	printf("1..%u\n", nr);
	return nr_failed != 0;
}
