// SPDX-License-Identifier: GPL-2.0
/*
 * The emulator against the real processor: random instructions of every form that it knows, on
 * random registers, flags and memory, executed by both; afterwards all of these have to agree.
 * Every case is run a second time with all its memory being userspace's MMIO.
 */
#define _GNU_SOURCE
#include <asm/ldt.h>
#include <asm/prctl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>
#include "machine.h"
#include "native.h"

#define CODE_LA		0x10000000ull
#define GS_BASE		(MEM_LA + 0x1230)
#define FLAGS_ARITH	(X86_EFLAGS_CF | X86_EFLAGS_PF | X86_EFLAGS_AF | X86_EFLAGS_ZF | \
			 X86_EFLAGS_SF | X86_EFLAGS_OF)

/* Kinds of instruction, as far as a generator of valid ones has to know. */
#define K_BYTE		BIT(0)	/* byte operands */
#define K_W		BIT(1)	/* byte operands; with the opcode's bit 0 set, others */
#define K_LOCK		BIT(2)	/* may have a LOCK prefix */
#define K_IMM		BIT(3)	/* immediate of the operand size */
#define K_IMM8		BIT(4)
#define K_MEM		BIT(5)	/* no register as ModRM operand */
#define K_ALU		BIT(6)	/* the operation is in the opcode's bits 3 to 5 */
#define K_GROUP1	BIT(7)	/* it is in ModRM.reg */
#define K_LOGIC		BIT(8)	/* AF is undefined */
#define K_SHIFT		BIT(9)	/* which one is in ModRM.reg */
#define K_BIT		BIT(10)	/* all flags but CF and ZF are undefined */
#define K_BITREG	BIT(11)	/* and a register addresses into a bit string */
#define K_GROUP8	BIT(12)	/* ModRM.reg is 4 to 7 */
#define K_CMPXCHG	BIT(13)	/* let half of the comparisons succeed */
#define K_16BYTES	BIT(14)	/* aligned to 16 bytes */
#define K_NO66		BIT(15)	/* a prefix 66 would make it another instruction */
#define K_STRING	BIT(16)
#define K_COMPARE	BIT(17)	/* a string instruction that compares */
#define K_MOFFS		BIT(18)
#define K_LONG64	BIT(19)	/* only in 64-bit mode */
#define K_REXW		BIT(20)	/* always with REX.W */
#define K_NOREXW	BIT(21)
#define K_STACK		BIT(22)	/* PUSH or POP */
#define K_CC		BIT(23)	/* a condition is in the opcode's low bits */
#define K_MOVBE		BIT(24)	/* not every processor has it */
#define K_BRANCH	(BIT(25) | K_STACK | K_MEM | K_NO66)
#define K_OREG		(BIT(26) | K_STACK)	/* a register in the opcode's low bits */
#define K_RET		(BIT(27) | K_STACK | K_NO66)	/* to what follows, from the stack */
#define K_UNDEF		BIT(28)	/* all flags but those that the form names are undefined */
#define K_NO64		BIT(29)
#define K_CURRENT	BIT(30)	/* loads the selector that is there already */
#define K_DOUBLE	BIT(31)	/* SHLD, SHRD */
#define K_XMM		(K_MEM | K_NO66)
#define K_XMM16		(K_XMM | K_16BYTES)

#define ANY		-1
#define NO_MODRM	-2

static const struct form {
	const char *name;
	u8 prefix;		/* that belongs to the opcode */
	u8 map;			/* 0, 0x0f, or 0x38 for 0f 38 */
	u8 opcode;
	int reg;		/* ModRM.reg, ANY or NO_MODRM */
	unsigned int kind;
	u64 defined;		/* flags, with K_UNDEF */
} forms[] = {
	{ "add and so on rm, r", 0, 0, 0x00, ANY, K_ALU | K_W | K_LOCK },
	{ "add and so on r, rm", 0, 0, 0x02, ANY, K_ALU | K_W },
	{ "add and so on rm, imm", 0, 0, 0x80, ANY, K_GROUP1 | K_BYTE | K_IMM8 | K_LOCK },
	{ "add and so on rm, imm", 0, 0, 0x81, ANY, K_GROUP1 | K_IMM | K_LOCK },
	{ "add and so on rm, imm8", 0, 0, 0x83, ANY, K_GROUP1 | K_IMM8 | K_LOCK },
	{ "test rm, r", 0, 0, 0x84, ANY, K_LOGIC | K_W },
	{ "test rm, imm", 0, 0, 0xf6, 0, K_LOGIC | K_BYTE | K_IMM8 },
	{ "test rm, imm", 0, 0, 0xf7, 0, K_LOGIC | K_IMM },
	{ "inc", 0, 0, 0xfe, 0, K_W | K_LOCK },
	{ "dec", 0, 0, 0xfe, 1, K_W | K_LOCK },
	{ "not", 0, 0, 0xf6, 2, K_W | K_LOCK },
	{ "neg", 0, 0, 0xf6, 3, K_W | K_LOCK },
	{ "shift by 1", 0, 0, 0xd0, ANY, K_SHIFT | K_W },
	{ "shift by cl", 0, 0, 0xd2, ANY, K_SHIFT | K_W },
	{ "shift by imm", 0, 0, 0xc0, ANY, K_SHIFT | K_W | K_IMM8 },
	{ "bt", 0, 0x0f, 0xa3, ANY, K_BIT | K_BITREG },
	{ "bts", 0, 0x0f, 0xab, ANY, K_BIT | K_BITREG | K_LOCK },
	{ "btr", 0, 0x0f, 0xb3, ANY, K_BIT | K_BITREG | K_LOCK },
	{ "btc", 0, 0x0f, 0xbb, ANY, K_BIT | K_BITREG | K_LOCK },
	{ "bt and so on imm", 0, 0x0f, 0xba, ANY, K_BIT | K_GROUP8 | K_IMM8 | K_LOCK },
	{ "mov rm, r", 0, 0, 0x88, ANY, K_W },
	{ "mov r, rm", 0, 0, 0x8a, ANY, K_W },
	{ "mov rm, imm", 0, 0, 0xc6, 0, K_BYTE | K_IMM8 },
	{ "mov rm, imm", 0, 0, 0xc7, 0, K_IMM },
	{ "mov acc, moffs", 0, 0, 0xa0, NO_MODRM, K_MOFFS | K_W },
	{ "mov moffs, acc", 0, 0, 0xa2, NO_MODRM, K_MOFFS | K_W },
	{ "movzx 8", 0, 0x0f, 0xb6, ANY, 0 },
	{ "movzx 16", 0, 0x0f, 0xb7, ANY, 0 },
	{ "movsx 8", 0, 0x0f, 0xbe, ANY, 0 },
	{ "movsx 16", 0, 0x0f, 0xbf, ANY, 0 },
	{ "movsxd", 0, 0, 0x63, ANY, K_LONG64 },
	{ "movnti", 0, 0x0f, 0xc3, ANY, K_MEM | K_NO66 },
	{ "movbe r, m", 0, 0x38, 0xf0, ANY, K_MEM | K_MOVBE },
	{ "movbe m, r", 0, 0x38, 0xf1, ANY, K_MEM | K_MOVBE },
	{ "cmovcc", 0, 0x0f, 0x40, ANY, K_CC },
	{ "setcc", 0, 0x0f, 0x90, ANY, K_CC | K_BYTE },
	{ "xchg", 0, 0, 0x86, ANY, K_W | K_LOCK },
	{ "xadd", 0, 0x0f, 0xc0, ANY, K_W | K_LOCK },
	{ "cmpxchg", 0, 0x0f, 0xb0, ANY, K_W | K_LOCK | K_CMPXCHG },
	{ "cmpxchg8b", 0, 0x0f, 0xc7, 1, K_MEM | K_LOCK | K_CMPXCHG | K_NO66 | K_NOREXW },
	{ "cmpxchg16b", 0, 0x0f, 0xc7, 1,
	  K_MEM | K_LOCK | K_CMPXCHG | K_NO66 | K_REXW | K_LONG64 | K_16BYTES },
	{ "push", 0, 0, 0xff, 6, K_STACK },
	{ "pop", 0, 0, 0x8f, 0, K_STACK },
	{ "push r", 0, 0, 0x50, NO_MODRM, K_OREG },
	{ "pop r", 0, 0, 0x58, NO_MODRM, K_OREG },
	{ "push imm", 0, 0, 0x68, NO_MODRM, K_STACK | K_IMM },
	{ "push imm8", 0, 0, 0x6a, NO_MODRM, K_STACK | K_IMM8 },
	{ "push es", 0, 0, 0x06, NO_MODRM, K_STACK | K_NO64 },
	{ "push cs", 0, 0, 0x0e, NO_MODRM, K_STACK | K_NO64 },
	{ "push ss", 0, 0, 0x16, NO_MODRM, K_STACK | K_NO64 },
	{ "push ds", 0, 0, 0x1e, NO_MODRM, K_STACK | K_NO64 },
	{ "push fs", 0, 0x0f, 0xa0, NO_MODRM, K_STACK },
	{ "push gs", 0, 0x0f, 0xa8, NO_MODRM, K_STACK },
	{ "pop es", 0, 0, 0x07, NO_MODRM, K_STACK | K_NO64 | K_CURRENT },
	{ "pop ss", 0, 0, 0x17, NO_MODRM, K_STACK | K_NO64 | K_CURRENT },
	{ "pop ds", 0, 0, 0x1f, NO_MODRM, K_STACK | K_NO64 | K_CURRENT },
	{ "pusha", 0, 0, 0x60, NO_MODRM, K_STACK | K_NO64 },
	{ "popa", 0, 0, 0x61, NO_MODRM, K_STACK | K_NO64 },
	{ "pushf", 0, 0, 0x9c, NO_MODRM, K_STACK },
	{ "popf", 0, 0, 0x9d, NO_MODRM, K_STACK },
	{ "enter", 0, 0, 0xc8, NO_MODRM, K_STACK },
	{ "leave", 0, 0, 0xc9, NO_MODRM, K_STACK },
	{ "call rel", 0, 0, 0xe8, NO_MODRM, K_STACK | K_NO66 },
	{ "ret", 0, 0, 0xc3, NO_MODRM, K_RET },
	{ "ret imm", 0, 0, 0xc2, NO_MODRM, K_RET },
	{ "xlat", 0, 0, 0xd7, NO_MODRM, K_BYTE },
	{ "mov rm, sreg", 0, 0, 0x8c, ANY, 0 },
	{ "mov sreg, rm", 0, 0, 0x8e, ANY, K_CURRENT | K_MEM },
	{ "les", 0, 0, 0xc4, ANY, K_CURRENT | K_MEM | K_NO64 },
	{ "lds", 0, 0, 0xc5, ANY, K_CURRENT | K_MEM | K_NO64 },
	{ "lss", 0, 0x0f, 0xb2, ANY, K_CURRENT | K_MEM | K_NO64 },
	{ "mul", 0, 0, 0xf6, 4, K_W | K_UNDEF, X86_EFLAGS_CF | X86_EFLAGS_OF },
	{ "imul", 0, 0, 0xf6, 5, K_W | K_UNDEF, X86_EFLAGS_CF | X86_EFLAGS_OF },
	{ "imul r, rm", 0, 0x0f, 0xaf, ANY, K_UNDEF, X86_EFLAGS_CF | X86_EFLAGS_OF },
	{ "imul r, rm, imm", 0, 0, 0x69, ANY, K_IMM | K_UNDEF, X86_EFLAGS_CF | X86_EFLAGS_OF },
	{ "imul r, rm, imm8", 0, 0, 0x6b, ANY, K_IMM8 | K_UNDEF, X86_EFLAGS_CF | X86_EFLAGS_OF },
	{ "div", 0, 0, 0xf6, 6, K_W | K_UNDEF, 0 },
	{ "idiv", 0, 0, 0xf6, 7, K_W | K_UNDEF, 0 },
	{ "bsf", 0, 0x0f, 0xbc, ANY, K_UNDEF, X86_EFLAGS_ZF },
	{ "bsr", 0, 0x0f, 0xbd, ANY, K_UNDEF, X86_EFLAGS_ZF },
	{ "tzcnt", 0xf3, 0x0f, 0xbc, ANY, K_UNDEF, X86_EFLAGS_ZF | X86_EFLAGS_CF },
	{ "lzcnt", 0xf3, 0x0f, 0xbd, ANY, K_UNDEF, X86_EFLAGS_ZF | X86_EFLAGS_CF },
	{ "popcnt", 0xf3, 0x0f, 0xb8, ANY, 0 },
	{ "shld imm", 0, 0x0f, 0xa4, ANY, K_DOUBLE | K_IMM8 },
	{ "shld cl", 0, 0x0f, 0xa5, ANY, K_DOUBLE },
	{ "shrd imm", 0, 0x0f, 0xac, ANY, K_DOUBLE | K_IMM8 },
	{ "shrd cl", 0, 0x0f, 0xad, ANY, K_DOUBLE },
	{ "fnstcw", 0, 0, 0xd9, 7, K_MEM | K_NO66 },
	{ "fnstsw", 0, 0, 0xdd, 7, K_MEM | K_NO66 },
	{ "call", 0, 0, 0xff, 2, K_BRANCH },
	{ "jmp", 0, 0, 0xff, 4, K_BRANCH },
	{ "movs", 0, 0, 0xa4, NO_MODRM, K_STRING | K_W },
	{ "cmps", 0, 0, 0xa6, NO_MODRM, K_STRING | K_W | K_COMPARE },
	{ "stos", 0, 0, 0xaa, NO_MODRM, K_STRING | K_W },
	{ "lods", 0, 0, 0xac, NO_MODRM, K_STRING | K_W },
	{ "scas", 0, 0, 0xae, NO_MODRM, K_STRING | K_W | K_COMPARE },
	{ "nop", 0, 0x0f, 0x1f, 0, 0 },
	{ "prefetcht0", 0, 0x0f, 0x18, 1, K_MEM },
	{ "prefetchw", 0, 0x0f, 0x0d, 1, K_MEM },
	{ "clflush", 0, 0x0f, 0xae, 7, K_MEM | K_NO66 },
	{ "movups load", 0, 0x0f, 0x10, ANY, K_XMM },
	{ "movupd load", 0x66, 0x0f, 0x10, ANY, K_XMM },
	{ "movss load", 0xf3, 0x0f, 0x10, ANY, K_XMM },
	{ "movsd load", 0xf2, 0x0f, 0x10, ANY, K_XMM },
	{ "movups store", 0, 0x0f, 0x11, ANY, K_XMM },
	{ "movupd store", 0x66, 0x0f, 0x11, ANY, K_XMM },
	{ "movss store", 0xf3, 0x0f, 0x11, ANY, K_XMM },
	{ "movsd store", 0xf2, 0x0f, 0x11, ANY, K_XMM },
	{ "movaps load", 0, 0x0f, 0x28, ANY, K_XMM16 },
	{ "movapd load", 0x66, 0x0f, 0x28, ANY, K_XMM16 },
	{ "movaps store", 0, 0x0f, 0x29, ANY, K_XMM16 },
	{ "movapd store", 0x66, 0x0f, 0x29, ANY, K_XMM16 },
	{ "movntps", 0, 0x0f, 0x2b, ANY, K_XMM16 },
	{ "movntpd", 0x66, 0x0f, 0x2b, ANY, K_XMM16 },
	{ "movntdqa", 0x66, 0x38, 0x2a, ANY, K_XMM16 },
	{ "movd load", 0x66, 0x0f, 0x6e, ANY, K_XMM },
	{ "movdqa load", 0x66, 0x0f, 0x6f, ANY, K_XMM16 },
	{ "movdqu load", 0xf3, 0x0f, 0x6f, ANY, K_XMM },
	{ "movd store", 0x66, 0x0f, 0x7e, ANY, K_XMM },
	{ "movq load", 0xf3, 0x0f, 0x7e, ANY, K_XMM },
	{ "movdqa store", 0x66, 0x0f, 0x7f, ANY, K_XMM16 },
	{ "movdqu store", 0xf3, 0x0f, 0x7f, ANY, K_XMM },
	{ "movq store", 0x66, 0x0f, 0xd6, ANY, K_XMM },
	{ "movntdq", 0x66, 0x0f, 0xe7, ANY, K_XMM16 },
};

/* One case: an instruction and all that it starts from. */
struct sample {
	const struct form *form;
	enum mv_emul_mode mode;
	u8 opcode, reg;
	u8 insn[MV_EMUL_INSN_MAX + 1];
	unsigned int len, opsize, addrsize;
	u64 gpr[16], xmm[16][2], rflags, undefined;
};

static u8 *const mem = (u8 *)MEM_LA;
static u8 *const slot = (u8 *)CODE_LA;
static u8 before[MEM_SIZE], after[MEM_SIZE];
static struct machine machine;
static struct sample sample;

/* xorshift64*: the same cases in each run. */
static u64 seed = 88172645463325252ull;

static u64 rnd(void)
{
	seed ^= seed >> 12;
	seed ^= seed << 25;
	seed ^= seed >> 27;
	return seed * 2685821657736338717ull;
}

static u64 below(u64 n)
{
	return (rnd() >> 11) % n;
}

/* Values at which carries and signs change turn up more often than by chance. */
static u64 interesting(void)
{
	static const u64 values[] = {
		0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000,
		0xffffffff, 0x7fffffffffffffff, 0x8000000000000000, ~0ull,
	};

	return below(3) ? rnd() : values[below(ARRAY_SIZE(values))];
}

/* The segments of 16- and 32-bit modes: each its own part of the memory, 16 KiB long. */
static u64 seg_base(enum mv_emul_mode mode, unsigned int seg)
{
	if (mode == MV_MODE_LONG64)
		return seg == MV_SEG_GS ? GS_BASE : 0;
	return MEM_LA + (seg == MV_SEG_ES ? 0x4000 : seg == MV_SEG_SS ? 0x8000 : 0);
}

/* An offset in @seg that lies well within memory: 1 KiB from either end. Often across a page. */
static u64 target(struct sample *s, unsigned int seg, unsigned int align)
{
	u64 ea = 0x400 + below(0x3800);

	if (!below(4))
		ea = 0x1000 * (1 + below(3)) - below(16);
	ea &= -(u64)align;
	if (s->mode == MV_MODE_LONG64)
		ea += MEM_LA + 0x4000 - seg_base(s->mode, seg);
	return ea;
}

static void put(struct sample *s, u64 val, unsigned int bytes)
{
	memcpy(s->insn + s->len, &val, bytes);
	s->len += bytes;
}

/* Makes a register used for addressing right in the bits that count, and random above. */
static void set_address(struct sample *s, unsigned int reg, u64 val)
{
	u64 mask = mv_emul_mask(s->addrsize);

	s->gpr[reg] = (val & mask) | (rnd() & ~mask);
}

static u64 address(struct sample *s, unsigned int reg)
{
	return s->gpr[reg] & mv_emul_mask(s->addrsize);
}

/* Chooses ModRM and what follows so that the operand is in memory that may be used. */
static bool put_modrm16(struct sample *s, int override, unsigned int align)
{
	unsigned int mod = below(3), rm = below(8);
	bool disp_only = mod == 0 && rm == 6;
	bool bp = rm == 2 || rm == 3 || (rm == 6 && mod);
	unsigned int seg = override >= 0 ? override : bp ? MV_SEG_SS : MV_SEG_DS;
	u64 ea = target(s, seg, align);
	u64 disp = mod == 1 ? (u64)(int8_t)rnd() : mod == 2 ? rnd() : 0;
	static const u8 fix[8] = { 3, 3, 5, 5, 6, 7, 5, 3 };

	put(s, mod << 6 | s->reg << 3 | rm, 1);
	if (disp_only) {
		put(s, ea, 2);
		return true;
	}
	put(s, disp, mod);
	ea -= disp;
	if (rm < 4)
		ea -= s->gpr[rm & 1 ? MV_RDI : MV_RSI];
	set_address(s, fix[rm], ea);
	return true;
}

static bool put_modrm(struct sample *s, int override, unsigned int rex, unsigned int align,
		      unsigned int imm_len)
{
	unsigned int mod = below(3), rm = below(8), base = rm, index = 0, scale = 0;
	unsigned int rex_b = rex & 1 ? 8 : 0, rex_x = rex & 2 ? 8 : 0;
	bool sib = rm == 4, has_base, has_index = false, rip;
	unsigned int seg;
	u64 ea, disp;

	if (sib) {
		base = below(8);
		index = below(8) | rex_x;
		scale = below(4);
		has_index = index != 4;
	}
	if (s->form->kind & K_STACK && !(rex & 3) && !below(4)) {	/* RSP as base */
		mod = 1;
		rm = 4;
		sib = true;
		base = MV_RSP;
		index = 4;
		has_index = false;
	}
	has_base = mod || base != 5;
	rip = !has_base && !sib && s->mode == MV_MODE_LONG64;
	seg = has_base && !rex_b && (base == 4 || base == 5) ? MV_SEG_SS : MV_SEG_DS;
	if (override >= 0)
		seg = override;
	ea = target(s, seg, align);
	base |= rex_b;

	/* These would have to be two things at once. */
	if (has_base && has_index && base == index)
		return false;
	/* RSP has to be near the operand. */
	if (s->form->kind & K_STACK && has_base && base == MV_RSP && (mod != 1 || has_index))
		return false;

	disp = has_base ? rnd() : 0;
	if (mod == 1)
		disp = (u64)(int8_t)disp;
	else
		disp = (u64)(int32_t)disp;
	if (has_base && !mod)
		disp = 0;
	if (has_index && !has_base)
		set_address(s, index, below(0x10000));
	if (has_index)
		ea -= address(s, index) << scale;
	if (has_base)
		set_address(s, base, ea - disp);
	else
		disp = ea;

	put(s, mod << 6 | s->reg << 3 | rm, 1);
	if (sib)
		put(s, scale << 6 | (index & 7) << 3 | (base & 7), 1);
	if (rip)
		disp -= CODE_LA + s->len + 4 + imm_len;
	if (mod || !has_base) {
		if (mod != 1 && s->addrsize == 8 && (u64)(int32_t)disp != disp)
			return false;
		put(s, disp, mod == 1 ? 1 : 4);
	}
	return true;
}

static void fill_memory(void)
{
	unsigned int i;

	for (i = 0; i < MEM_SIZE; i += 8) {
		u64 val = rnd();

		memcpy(mem + i, &val, 8);
	}
}

static void prepare_string(struct sample *s, int override)
{
	unsigned int src = override >= 0 ? override : MV_SEG_DS;

	set_address(s, MV_RSI, target(s, src, 1));
	set_address(s, MV_RDI, target(s, MV_SEG_ES, 1));
	set_address(s, MV_RCX, below(8) ? below(70) : 0);
	/* REP with a zero count leaves nothing to see of the address size. */
	if (s->form->kind & K_COMPARE && below(2)) {
		memset(mem, 0x55, MEM_SIZE);
		s->gpr[MV_RAX] = 0x5555555555555555;
		mem[0x4000 + below(0x4000)]++;
	}
}

/* Of the eight operations in the opcode or in ModRM.reg. */
static unsigned int alu_operation(struct sample *s)
{
	return s->form->kind & K_ALU ? s->opcode >> 3 : s->reg;
}

static unsigned int shift_count(struct sample *s)
{
	unsigned int count;

	if (s->form->kind & K_IMM8)
		count = s->insn[s->len - 1];
	else
		count = s->form->kind & K_SHIFT && s->opcode < 0xd2 ? 1 : s->gpr[MV_RCX] & 0xff;
	return count & (s->opsize == 8 ? 63 : 31);
}

/* Which flags the manual leaves undefined after this instruction (SDM vol. 1, appendix A). */
static u64 undefined_flags(struct sample *s)
{
	unsigned int kind = s->form->kind, count, op;
	u64 undefined = 0;

	if (kind & (K_ALU | K_GROUP1)) {
		op = alu_operation(s);
		return op == 1 || op == 4 || op == 6 ? X86_EFLAGS_AF : 0;
	}
	if (kind & K_LOGIC)
		return X86_EFLAGS_AF;
	if (kind & K_UNDEF)
		return FLAGS_ARITH & ~s->form->defined;
	if (kind & K_BIT)
		return X86_EFLAGS_OF | X86_EFLAGS_SF | X86_EFLAGS_AF | X86_EFLAGS_PF;
	if (!(kind & (K_SHIFT | K_DOUBLE)))
		return 0;
	count = shift_count(s);
	if (kind & K_DOUBLE)
		return !count ? 0 : count > 1 ? X86_EFLAGS_AF | X86_EFLAGS_OF : X86_EFLAGS_AF;
	if (count && s->reg >= 4)
		undefined |= X86_EFLAGS_AF;
	if (count > 1)
		undefined |= X86_EFLAGS_OF;
	if (count >= s->opsize * 8 && s->reg >= 4 && s->reg < 7)
		undefined |= X86_EFLAGS_CF;
	return undefined;
}

static bool may_lock(struct sample *s)
{
	unsigned int kind = s->form->kind;

	if (!(kind & K_LOCK))
		return false;
	if (kind & (K_ALU | K_GROUP1))
		return alu_operation(s) != 7;		/* CMP */
	return !(kind & K_GROUP8) || s->reg != 4;	/* BT */
}

/* Chooses the bits of opcode and ModRM.reg that the form leaves open. */
static void choose_operation(struct sample *s)
{
	unsigned int kind = s->form->kind;

	s->opcode = s->form->opcode;
	s->reg = s->form->reg == ANY ? below(8) : (u8)s->form->reg;
	if (kind & K_ALU)
		s->opcode |= below(8) << 3;
	if (kind & K_W)
		s->opcode |= below(2);
	if (kind & K_CC)
		s->opcode |= below(16);
	if (kind & K_GROUP8)
		s->reg |= 4;
	if ((kind & K_OREG) == K_OREG)
		s->opcode |= below(8);
	if (s->form->opcode == 0x8c && !s->form->map)
		s->reg = below(6);
	if (s->form->opcode == 0x8e)		/* not CS, nor FS and GS with their bases */
		s->reg = below(2) ? MV_SEG_DS : below(2) ? MV_SEG_ES : MV_SEG_SS;
}

/* Of instructions with neither ModRM nor @form's immediate. */
static void put_stack_operands(struct sample *s)
{
	if (s->form->map)
		return;
	switch (s->form->opcode) {
	case 0xc2:	/* RET imm */
		put(s, rnd(), 2);
		break;
	case 0xc8:	/* ENTER imm, 0 */
		put(s, below(0x80), 3);
		break;
	case 0xc9:	/* LEAVE */
		s->gpr[MV_RBP] = target(s, MV_SEG_SS, 1);
		break;
	case 0xe8:	/* CALL to what follows */
		put(s, 0, s->opsize > 4 ? 4 : s->opsize);
		break;
	}
}

/* Makes a random case of @form, or returns false if chance has chosen what contradicts itself. */
static bool generate(struct sample *s, const struct form *form, enum mv_emul_mode mode)
{
	unsigned int kind = form->kind, rex = 0, imm_len = 0, align = 1, i;
	bool long64 = mode == MV_MODE_LONG64, lock = false, rep = false;
	bool opsize_prefix, addrsize_prefix;
	int override = -1;

	if (long64 ? kind & K_NO64 : kind & K_LONG64)
		return false;
	memset(s, 0, sizeof(*s));
	s->form = form;
	s->mode = mode;
	choose_operation(s);
	for (i = 0; i < 16; i++) {
		s->gpr[i] = interesting();
		s->xmm[i][0] = rnd();
		s->xmm[i][1] = rnd();
	}
	s->rflags = (rnd() & (FLAGS_ARITH | X86_EFLAGS_DF)) | X86_EFLAGS_IF | X86_EFLAGS_FIXED;

	opsize_prefix = !(kind & K_NO66) && !below(3);
	addrsize_prefix = !below(4);
	if (long64 && (kind & K_REXW || below(2)))
		rex = 0x40 | below(16);
	if (kind & K_REXW)
		rex |= 8;
	if (kind & K_NOREXW)
		rex &= ~8;
	if (long64) {
		s->addrsize = addrsize_prefix ? 4 : 8;
		s->opsize = rex & 8 ? 8 : opsize_prefix ? 2 : 4;
	} else {
		s->addrsize = addrsize_prefix == (mode == MV_MODE_PROT32) ? 2 : 4;
		s->opsize = opsize_prefix == (mode == MV_MODE_PROT32) ? 2 : 4;
	}
	if (kind & K_BYTE || (kind & K_W && !(s->opcode & 1)))
		s->opsize = 1;
	if (kind & K_STRING)
		rep = below(4);
	else if (may_lock(s))
		lock = below(2);

	if (!below(4)) {
		static const u8 segs[] = { MV_SEG_ES, MV_SEG_SS, MV_SEG_DS, MV_SEG_GS };

		override = segs[below(long64 ? 4 : 3)];
		put(s, override == MV_SEG_GS ? 0x65 : 0x26 | override << 3, 1);
		if (long64 && override != MV_SEG_GS)
			override = -1;
	}
	if (addrsize_prefix)
		put(s, 0x67, 1);
	if (opsize_prefix)
		put(s, 0x66, 1);
	if (lock)
		put(s, 0xf0, 1);
	if (rep)
		put(s, below(2) ? 0xf2 : 0xf3, 1);
	if (form->prefix)
		put(s, form->prefix, 1);
	if (rex)
		put(s, rex, 1);
	if (form->map)
		put(s, 0x0f, 1);
	if (form->map == 0x38)
		put(s, 0x38, 1);
	put(s, s->opcode, 1);

	if (kind & K_IMM8)
		imm_len = 1;
	else if (kind & K_IMM)
		imm_len = s->opsize > 4 ? 4 : s->opsize;
	if (kind & (K_16BYTES | K_LOCK))
		align = 16;

	if (kind & K_STRING) {
		prepare_string(s, override);
	} else if (kind & K_MOFFS) {
		put(s, target(s, override >= 0 ? override : MV_SEG_DS, 1), s->addrsize);
	} else if (form->reg == NO_MODRM) {
		if (form->opcode == 0xd7)
			set_address(s, MV_RBX, target(s, override >= 0 ? override : MV_SEG_DS, 1) -
				    (u8)s->gpr[MV_RAX]);
	} else if (!(kind & K_MEM) && !lock && !below(4)) {
		put(s, 0xc0 | s->reg << 3 | below(8), 1);
	} else {
		bool done = s->addrsize == 2 ? put_modrm16(s, override, align) :
				put_modrm(s, override, rex, align, imm_len);

		if (!done)
			return false;
		if (kind & K_BITREG) {
			/* The bit string has to stay in memory. */
			unsigned int n = s->reg | (rex & 4 ? 8 : 0);
			u64 mask = mv_emul_mask(s->opsize);
			u64 off = lock ? below(16) : below(0x1000) - 0x800;

			s->gpr[n] = (off & mask) | (s->gpr[n] & ~mask);
		}
	}
	for (i = 0; i < imm_len; i++)
		put(s, rnd(), 1);
	if (kind & K_STACK && (form->reg == NO_MODRM || !below(2)))
		s->gpr[MV_RSP] = target(s, MV_SEG_SS, 1);
	if (kind & K_STACK && form->reg == NO_MODRM)
		put_stack_operands(s);
	/* Most random quotients would be too large. */
	if ((form->opcode == 0xf6 && s->reg >= 6) && below(4)) {
		s->gpr[MV_RDX] = below(2) ? 0 : ~0ull;
		s->gpr[MV_RAX] = s->opsize == 1 ? (u64)(int8_t)rnd() : s->gpr[MV_RAX];
	}
	/* Undefined */
	if (kind & K_DOUBLE && shift_count(s) > s->opsize * 8)
		return false;
	s->undefined = undefined_flags(s);
	return s->len <= MV_EMUL_INSN_MAX;
}

/* What native_run() loads; FS and GS are as Linux has them. */
static u16 selector(enum mv_emul_mode mode, unsigned int seg)
{
	static const u16 selectors[3][6] = {
		{ 0x2f, 0x07, 0x37, 0x27 }, { 0x17, 0x23, 0x1f, 0x0f }, { 0, 0x33, 0x2b, 0 },
	};

	return selectors[mode == MV_MODE_PROT16 ? 0 : mode == MV_MODE_PROT32 ? 1 : 2][seg];
}

static void load_machine(struct machine *m, struct sample *s)
{
	unsigned int i;

	machine_init(m, s->mode, mem, s->insn, s->len);
	memcpy(m->gpr, s->gpr, sizeof(m->gpr));
	memcpy(m->xmm, s->xmm, sizeof(m->xmm));
	m->e.rflags = s->rflags;
	m->code_la = CODE_LA;
	m->e.rip = s->mode == MV_MODE_PROT16 ? 0 : CODE_LA;
	m->e.cpl = 3;
	for (i = 0; i < 6; i++) {
		m->seg[i].base = seg_base(s->mode, i);
		m->seg[i].limit = 0x3fff;
		m->selector[i] = selector(s->mode, i);
		if (s->mode == MV_MODE_PROT16)
			m->seg[i].attr &= ~MV_SEG_DB;
	}
	m->seg[MV_SEG_CS].base = s->mode == MV_MODE_PROT16 ? CODE_LA : 0;
	m->seg[MV_SEG_CS].limit = s->mode == MV_MODE_PROT16 ? 0xffff : 0xffffffff;
}

/* Whether the operand is where both may access it: registers may have got two roles. */
static bool operand_in_memory(struct machine *m, struct sample *s)
{
	struct mv_insn *d = &m->e.d;
	unsigned int seg;
	u64 la;

	if (mv_emul_decode(&m->e))
		return true;
	if (s->form->kind & K_STACK) {
		u64 sp = s->gpr[MV_RSP] - (s->mode == MV_MODE_LONG64 ? MEM_LA : 0);

		if (s->mode == MV_MODE_PROT16)
			sp &= 0xffff;
		else if (s->mode == MV_MODE_PROT32)
			sp &= 0xffffffff;
		if (sp < 32 || sp + 32 > (s->mode == MV_MODE_LONG64 ? MEM_SIZE : 0x4000))
			return false;
	}
	if (!d->mem)
		return true;
	seg = s->mode == MV_MODE_LONG64 && d->seg != MV_SEG_GS ? MV_SEG_DS : d->seg;
	la = seg_base(s->mode, seg) + d->ea;
	if (s->form->kind & (K_LOCK | K_16BYTES) && la % d->memsize)
		return false;
	if (s->mode == MV_MODE_LONG64)
		return la - MEM_LA <= MEM_SIZE - 16;
	return d->ea + 16 <= 0x4000;
}

static u8 *stack_pointer(struct sample *s)
{
	u64 mask = s->mode == MV_MODE_LONG64 ? ~0ull :
		   s->mode == MV_MODE_PROT32 ? 0xffffffff : 0xffff;

	return (u8 *)(seg_base(s->mode, MV_SEG_SS) + (s->gpr[MV_RSP] & mask));
}

/* What the stack or the operand has to hold so that the processor can go on. */
static void put_memory(struct machine *m, struct sample *s)
{
	struct mv_insn *d = &m->e.d;
	unsigned int kind = s->form->kind, seg = d->seg;
	u64 val = rnd();
	u8 *p;

	if ((kind & K_RET) == K_RET) {
		val = (s->mode == MV_MODE_PROT16 ? 0 : CODE_LA) + s->len;
		memcpy(stack_pointer(s), &val, d->opsize);
	}
	if (d->op == OP_POPF) {
		val &= FLAGS_ARITH | X86_EFLAGS_DF;
		memcpy(stack_pointer(s), &val, 8);
	}
	if (d->op == OP_PUSH_SREG)	/* or Intel's and AMD's would differ */
		memset(stack_pointer(s) - d->opsize, 0, d->opsize);
	if (!(kind & K_CURRENT))
		return;
	if (d->op == OP_POP_SREG) {
		val = selector(s->mode, (s->opcode >> 3) & 7);
		memcpy(stack_pointer(s), &val, 2);
		return;
	}
	if (s->mode == MV_MODE_LONG64 && seg != MV_SEG_GS)
		seg = MV_SEG_DS;
	p = (u8 *)(seg_base(s->mode, seg) + d->ea);
	val = selector(s->mode, d->op == OP_LOAD_SREG ? d->reg & 7 :
		       s->opcode == 0xc4 ? MV_SEG_ES : s->opcode == 0xc5 ? MV_SEG_DS : MV_SEG_SS);
	memcpy(d->op == OP_LOAD_SREG ? p : p + d->opsize, &val, 2);
}

/* Of CALL and JMP: to what follows them. */
static void put_target(struct machine *m, struct sample *s)
{
	struct mv_insn *d = &m->e.d;
	unsigned int seg = s->mode == MV_MODE_LONG64 && d->seg != MV_SEG_GS ? MV_SEG_DS : d->seg;
	u64 next = (s->mode == MV_MODE_PROT16 ? 0 : CODE_LA) + s->len;

	memcpy((u8 *)(seg_base(s->mode, seg) + d->ea), &next, d->opsize);
}

/* Lets comparisons with the accumulator succeed every other time. */
static void make_equal(struct machine *m, struct sample *s)
{
	struct mv_insn *d = &m->e.d;
	unsigned int seg = s->mode == MV_MODE_LONG64 && d->seg != MV_SEG_GS ? MV_SEG_DS : d->seg;
	u8 *p = (u8 *)(seg_base(s->mode, seg) + d->ea);
	unsigned int half = d->op == OP_CMPXCHG8B ? d->opsize : d->memsize;

	if (!d->mem)
		return;
	memcpy(p, &s->gpr[MV_RAX], half);
	if (d->op == OP_CMPXCHG8B)
		memcpy(p + half, &s->gpr[MV_RDX], half);
}

static volatile bool divided_badly;

/* #DE of DIV: on to native_done(), with the registers as they were. */
static void division_error(int sig, siginfo_t *info, void *context)
{
	greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;

	divided_badly = true;
	regs[REG_RIP] = (greg_t)(unsigned long)native_done;
	regs[REG_CSGSFS] = (regs[REG_CSGSFS] & 0x0000ffffffff0000) | 0x002b000000000033;
}

static void run_native(struct sample *s)
{
	struct native_state *n = &native_state;
	u32 done = (u32)(unsigned long)native_done;
	u8 *end = slot + s->len;
	bool long64 = s->mode == MV_MODE_LONG64;

	memcpy(slot, s->insn, s->len);
	if (long64) {
		*end++ = 0xe9;			/* jmp native_done */
		done -= (u32)(CODE_LA + s->len + 5);
		memcpy(end, &done, 4);
	} else {
		if (s->mode == MV_MODE_PROT16)
			*end++ = 0x66;
		*end++ = 0xea;			/* ljmp $0x33, $native_done */
		memcpy(end, &done, 4);
		memcpy(end + 4, "\x33", 2);
	}
	memcpy(n->gpr, s->gpr, sizeof(n->gpr));
	memcpy(n->xmm, s->xmm, sizeof(n->xmm));
	n->rflags = s->rflags;
	n->offset = s->mode == MV_MODE_PROT16 ? 0 : CODE_LA;
	n->selector = selector(s->mode, MV_SEG_CS);
	n->ds = selector(s->mode, MV_SEG_DS);
	n->es = selector(s->mode, MV_SEG_ES);
	n->ss = selector(s->mode, MV_SEG_SS);
	divided_badly = false;
	native_run();
}

static const char *const mode_names[] = {
	[MV_MODE_PROT16] = "16-bit", [MV_MODE_PROT32] = "32-bit", [MV_MODE_LONG64] = "64-bit",
};

static void show(struct sample *s)
{
	unsigned int i;

	printf("# %s, %s:", s->form->name, mode_names[s->mode]);
	for (i = 0; i < s->len; i++)
		printf(" %02x", s->insn[i]);
	printf("\n# rflags %#llx", s->rflags);
	for (i = 0; i < 16; i++)
		printf("%s%llx", i % 8 ? " " : "\n#   ", s->gpr[i]);
	printf("\n");
}

static void crashed(int sig)
{
	printf("# signal %d on the real processor\n", sig);
	show(&sample);
	printf("not ok 1 - the generator makes instructions that the processor executes\n");
	fflush(stdout);
	_exit(1);
}

static bool agree(struct machine *m, struct sample *s, int ret)
{
	struct native_state *n = &native_state;
	unsigned int i, nr = s->mode == MV_MODE_LONG64 ? 16 : 8;
	u64 mask = s->mode == MV_MODE_LONG64 ? ~0ull : 0xffffffff;
	u64 flags = (FLAGS_ARITH | X86_EFLAGS_DF) & ~s->undefined;
	u64 end = (s->mode == MV_MODE_PROT16 ? 0 : CODE_LA) + s->len;
	bool ok = true;

	if (divided_badly && ret == MV_EMUL_FAULT && m->e.exception.vector == VEC_DE)
		return !memcmp(after, before, MEM_SIZE) && !memcmp(m->gpr, s->gpr, sizeof(m->gpr));
	if (ret || divided_badly) {
		printf("# result %d, vector %u\n", ret, m->e.exception.vector);
		return false;
	}
	if (m->e.rip != end) {
		printf("# rip %#llx, should be %#llx\n", m->e.rip, end);
		ok = false;
	}
	for (i = 0; i < nr; i++) {
		if (!((m->gpr[i] ^ n->gpr[i]) & mask))
			continue;
		printf("# register %u: %#llx, should be %#llx\n", i, m->gpr[i], n->gpr[i]);
		ok = false;
	}
	if ((m->e.rflags ^ n->rflags) & flags) {
		printf("# rflags: %#llx, should be %#llx\n", m->e.rflags, n->rflags);
		ok = false;
	}
	if (memcmp(m->xmm, n->xmm, sizeof(m->xmm))) {
		printf("# XMM registers differ\n");
		ok = false;
	}
	if (!memcmp(after, mem, MEM_SIZE))
		return ok;
	for (i = 0; after[i] == mem[i]; i++)
		;
	printf("# memory at %#x: %02x, should be %02x\n", i, after[i], mem[i]);
	return false;
}

static bool check(struct machine *m, struct sample *s, bool mmio)
{
	int ret;

	memcpy(mem, before, MEM_SIZE);
	load_machine(m, s);
	if (mmio) {
		m->mmio_start = MEM_LA;
		m->mmio_end = MEM_LA + MEM_SIZE;
	}
	ret = machine_run(m);
	memcpy(after, mem, MEM_SIZE);
	memcpy(mem, before, MEM_SIZE);
	run_native(s);
	if (agree(m, s, ret))
		return true;
	printf("# memory is %s\n", mmio ? "MMIO" : "RAM");
	show(s);
	return false;
}

static bool set_descriptor(unsigned int n, u64 base, bool code, bool big)
{
	struct user_desc d = {
		.entry_number = n,
		.base_addr = base,
		.limit = code ? 0xffff : 0x3fff,
		.seg_32bit = big,
		.contents = code ? 2 : 0,
	};

	return !syscall(SYS_modify_ldt, 1, &d, sizeof(d));
}

/* Selectors: 7 16-bit code; 0f, 17, 1f 32-bit DS, ES, SS; 27, 2f, 37 16-bit ones. */
static bool set_segments(void)
{
	return set_descriptor(0, CODE_LA, true, false) &&
	       set_descriptor(1, MEM_LA, false, true) &&
	       set_descriptor(2, MEM_LA + 0x4000, false, true) &&
	       set_descriptor(3, MEM_LA + 0x8000, false, true) &&
	       set_descriptor(4, MEM_LA, false, false) &&
	       set_descriptor(5, MEM_LA + 0x4000, false, false) &&
	       set_descriptor(6, MEM_LA + 0x8000, false, false);
}

static bool has_movbe(void)
{
	u32 eax = 1, ebx, ecx = 0, edx;

	__asm__("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
	return ecx & BIT(22);
}

static unsigned int nr_cases[ARRAY_SIZE(forms)];

static bool test_mode(enum mv_emul_mode mode, unsigned int rounds, unsigned int *done)
{
	struct machine *m = &machine;
	struct sample *s = &sample;
	bool movbe = has_movbe();
	unsigned int i, round;

	*done = 0;
	for (i = 0; i < ARRAY_SIZE(forms); i++) {
		if (forms[i].kind & K_MOVBE && !movbe)
			continue;
		for (round = 0; round < rounds; round++) {
			if (round % 32 == 0)
				fill_memory();
			if (!generate(s, &forms[i], mode))
				continue;
			load_machine(m, s);
			if (!operand_in_memory(m, s))
				continue;
			if (forms[i].kind & K_CMPXCHG && below(2))
				make_equal(m, s);
			if ((forms[i].kind & K_BRANCH) == K_BRANCH)
				put_target(m, s);
			put_memory(m, s);
			memcpy(before, mem, MEM_SIZE);
			if (!check(m, s, false) || !check(m, s, true))
				return false;
			*done += 2;
			nr_cases[i]++;
		}
	}
	return true;
}

int main(int argc, char **argv)
{
	static const enum mv_emul_mode modes[] = {
		MV_MODE_LONG64, MV_MODE_PROT32, MV_MODE_PROT16
	};
	unsigned int rounds = argc > 1 ? atoi(argv[1]) : 100, done, i;
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
	int prot = PROT_READ | PROT_WRITE;
	struct sigaction sa = { .sa_handler = crashed, .sa_flags = SA_ONSTACK };
	struct sigaction de = {
		.sa_sigaction = division_error, .sa_flags = SA_ONSTACK | SA_SIGINFO
	};
	static u8 signal_stack[65536];
	stack_t stack = { .ss_sp = signal_stack, .ss_size = sizeof(signal_stack) };
	bool all_ok = true;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (mmap(mem, MEM_SIZE, prot, flags, -1, 0) != mem ||
	    mmap(slot, 0x1000, prot | PROT_EXEC, flags, -1, 0) != slot ||
	    syscall(SYS_arch_prctl, ARCH_SET_GS, GS_BASE)) {
		printf("Bail out! cannot set up memory\n");
		return 1;
	}
	sigaltstack(&stack, NULL);
	sigaction(SIGFPE, &de, NULL);
	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGBUS, &sa, NULL);
	sigaction(SIGILL, &sa, NULL);
	sigaction(SIGTRAP, &sa, NULL);

	printf("TAP version 13\n1..%zu\n", ARRAY_SIZE(modes));
	for (i = 0; i < ARRAY_SIZE(modes); i++) {
		const char *mode = mode_names[modes[i]];
		bool ok;

		if (modes[i] != MV_MODE_LONG64 && !set_segments()) {
			printf("ok %u - %s mode # SKIP no modify_ldt here\n", i + 1, mode);
			continue;
		}
		ok = test_mode(modes[i], rounds, &done);
		all_ok &= ok;
		printf("%sok %u - %s instructions do as the real processor does (%u cases)\n",
		       ok ? "" : "not ", i + 1, mode, done);
	}
	for (i = 0; i < ARRAY_SIZE(forms); i++) {
		if (nr_cases[i] || forms[i].kind & K_MOVBE)
			continue;
		printf("# no case of %s\n", forms[i].name);
		all_ok = false;
	}
	return !all_ok;
}
