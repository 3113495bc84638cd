/* SPDX-License-Identifier: GPL-2.0 */
/* A vCPU for the emulator's tests: registers, segments, some memory, one port. */
#ifndef EMUL_MACHINE_H
#define EMUL_MACHINE_H

#include <linux/kernel.h>
#include "emul.h"
#include "insn.h"

#define MEM_LA		0x20000000ull
#define MEM_SIZE	0x10000u
#define BAD_SELECTOR	0xbad3
#define MACHINE_OUT_MAX	(3 * MV_EMUL_PIO_MAX)

struct machine {
	struct mv_emul e;
	u64 gpr[16];
	u64 cr0, cr4;
	u64 xmm[16][2], mm[8];
	u16 fsw;
	u16 selector[8];	/* loading BAD_SELECTOR faults */
	struct {
		u64 base;
		u32 limit, attr;
	} seg[6];
	u8 *mem;		/* MEM_SIZE bytes at linear address MEM_LA */
	const u8 *code;		/* code_len bytes at linear address code_la */
	u64 code_la;
	unsigned int code_len;

	u64 mmio_start, mmio_end;	/* part of mem that is userspace's */
	u64 read_only;		/* a page that cannot be written, or 0 */
	u64 absent;		/* a page that is not mapped, or 0 */
	bool contended;		/* another vCPU changes memory before each cmpxchg */
	bool user_port;		/* the port is userspace's */

	struct {
		u64 la;
		unsigned int len;
	} asked;		/* the read that returned MV_EMUL_IO */
	struct {
		u64 la;
		unsigned int len;
		u8 data[8];
	} posted[MV_EMUL_WRITES_MAX];
	unsigned int nr_posted;

	u8 port_data;		/* the next byte that the port gives */
	bool port_answered;
	u16 port;		/* the last one used, and how */
	unsigned int port_size, port_count;
	u8 out[MACHINE_OUT_MAX];	/* what was written to ports */
	unsigned int nr_out;

	unsigned int nr_fetches, nr_asked, nr_shown;	/* fetches, reads and writes by userspace */
	u64 pio_data[MV_EMUL_PIO_MAX / 8];
};

/* Flat segments, no MMIO, RIP at the code. @mem has MEM_SIZE bytes. */
void machine_init(struct machine *m, enum mv_emul_mode mode, u8 *mem, const void *code,
		  unsigned int code_len);

/* One call of the emulator. Posted writes are carried out if it commits. */
int machine_step(struct machine *m);

/* Userspace answers what the last step asked for. */
void machine_answer(struct machine *m);

/* Steps, with userspace's answers and re-entries, until the instruction has ended. */
int machine_run(struct machine *m);

#endif
