/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the emulator promises where the real processor cannot be asked from userspace: faults,
 * real mode, ports, and how it works together with its caller. A test is a function whose name
 * is the promise; each file has the table of its own.
 */
#ifndef EMUL_UNIT_H
#define EMUL_UNIT_H

#include <stdio.h>
#include <string.h>
#include "machine.h"

struct unit_test {
	const char *promise;	/* NULL: the end of a table */
	void (*run)(void);
};

#define TEST(name)	{ #name, name }

extern const struct unit_test decode_tests[], faults_tests[], caller_tests[], strings_tests[];
extern const struct unit_test ports_tests[], cost_tests[], system_tests[];

extern u8 mem[MEM_SIZE];
extern struct machine *const m;
extern bool failed;

#define EXPECT_EQ(seen, right)						\
	expect(__LINE__, #seen, (u64)(seen), (u64)(right))

void expect(int line, const char *what, u64 seen, u64 right);

/* The instruction ends in this exception, with nothing changed. */
#define EXPECT_FAULT(vec, code) expect_fault(__LINE__, vec, code)

void expect_fault(int line, unsigned int vector, u32 error_code);

/* RBX points to the memory; the memory is 00 01 02 and so on. */
void start(enum mv_emul_mode mode, const u8 *code, unsigned int len);

/* The same with DS, ES and SS based at the memory, and RBX 0. */
void start_segmented(enum mv_emul_mode mode, const u8 *code, unsigned int len);

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

void set_mmio(u64 start, unsigned int len);
u64 peek(unsigned int offset, unsigned int len);

#endif
