/* SPDX-License-Identifier: GPL-2.0 */
#ifndef EMUL_NATIVE_H
#define EMUL_NATIVE_H

#include <assert.h>
#include <linux/types.h>

/* What native_run() loads and stores. Laid out as native.S knows it. */
extern struct native_state {
	u64 gpr[16];
	u64 rflags;
	u32 offset;
	u16 selector;
	u16 pad;
	u16 ds, es, ss, pad2[5];
	u64 xmm[16][2];
} native_state;
static_assert(offsetof(struct native_state, offset) == 136, "TARGET in native.S");
static_assert(offsetof(struct native_state, ds) == 144, "DS_ES_SS in native.S");
static_assert(offsetof(struct native_state, xmm) == 160, "XMM in native.S");

/* Jumps to selector:offset. The code there has to end with a 64-bit jump to native_done. */
void native_run(void);
extern u8 native_done[];

#endif
