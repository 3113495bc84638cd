// SPDX-License-Identifier: GPL-2.0
/* What the emulator itself costs. */
#include <signal.h>
#include "unit.h"

/* What a MOV may cost, decode and all. */
#define INSTRUCTIONS_MAX	400

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

const struct unit_test cost_tests[] = {
	TEST(moves_in_few_instructions),
	{}
};
