/* SPDX-License-Identifier: GPL-2.0 */
/* What the emulator's own files share. */
#ifndef MINIVIRT_EMUL_INSN_H
#define MINIVIRT_EMUL_INSN_H

#include <linux/bits.h>
#include <linux/compiler.h>
#include <linux/types.h>
#include <asm/processor-flags.h>
#include "emul.h"

enum mv_reg { MV_RAX, MV_RCX, MV_RDX, MV_RBX, MV_RSP, MV_RBP, MV_RSI, MV_RDI };

#define VEC_DE	0
#define VEC_UD	6
#define VEC_NM	7
#define VEC_SS	12
#define VEC_GP	13
#define VEC_MF	16
#define VEC_AC	17

/* Runs of operations follow the encoding of ModRM.reg in their group. */
enum mv_op {
	OP_UNKNOWN,
	OP_ADD, OP_OR, OP_ADC, OP_SBB, OP_AND, OP_SUB, OP_XOR, OP_CMP, OP_TEST,
	OP_INC, OP_DEC, OP_NOT, OP_NEG,
	OP_ROL, OP_ROR, OP_RCL, OP_RCR, OP_SHL, OP_SHR, OP_SAL, OP_SAR,
	OP_BT, OP_BTS, OP_BTR, OP_BTC,
	OP_MOV, OP_MOVSX, OP_MOVBE, OP_CMOV, OP_SETCC,
	OP_XCHG, OP_XADD, OP_CMPXCHG, OP_CMPXCHG8B,
	OP_PUSH, OP_POP, OP_PUSH_SREG, OP_POP_SREG, OP_PUSHA, OP_POPA, OP_PUSHF, OP_POPF,
	OP_ENTER, OP_LEAVE, OP_CALL, OP_JMP, OP_RET,
	OP_SHLD, OP_SHRD, OP_MUL, OP_IMUL, OP_DIV, OP_IDIV, OP_IMUL2, OP_BSF, OP_BSR, OP_POPCNT,
	OP_STORE_SREG, OP_SLDT, OP_STR, OP_SMSW, OP_LMSW, OP_LOAD_SREG, OP_LOAD_FAR,
	OP_FNSTCW, OP_FNSTSW,
	OP_SYSTEM,		/* decoded for its length only */
	OP_MOVS, OP_CMPS, OP_STOS, OP_LODS, OP_SCAS,
	OP_SSE, OP_NOP,
	OP_INS, OP_OUTS, OP_IN, OP_OUT,
	OP_GROUPS,		/* in a table: ModRM.reg selects from a group */
};

/* Where the operands are: E is the one of ModRM.mod and rm, G that of ModRM.reg. */
enum mv_form {
	FORM_NONE,
	FORM_E,			/* E alone */
	FORM_E_G,		/* E is changed, G is read */
	FORM_G_E,
	FORM_A_O,		/* accumulator from an absolute offset */
	FORM_O_A,
	FORM_O,			/* E is a register named by the opcode */
	FORM_XLAT,
	/* From here on there is an immediate operand, though an implicit one perhaps. */
	FORM_E_I,		/* of the operand size, at most 4 bytes */
	FORM_E_IB,		/* a byte */
	FORM_E_1,
	FORM_E_CL,
	FORM_E_G_IB,
	FORM_E_G_CL,
	FORM_G_E_I,
	FORM_G_E_IB,
	FORM_I,			/* as E_I, and no E */
	FORM_IB,
	FORM_IW,		/* a word, not sign-extended */
	FORM_IW_IB,		/* and a byte, which goes to @reg */
};

#define F_BYTE		BIT(0)	/* operands are bytes */
#define F_MODRM		BIT(1)
#define F_WRITE		BIT(2)	/* the ModRM operand is written */
#define F_LOCKABLE	BIT(3)	/* may have a LOCK prefix */
#define F_D64		BIT(4)	/* operand size defaults to 8 in long mode */
#define F_MEM		BIT(5)	/* the ModRM operand has to be in memory */
#define F_NP		BIT(6)	/* with a prefix 66, F2 or F3 it is another instruction */
#define F_SRC8		BIT(7)	/* E is a byte, of MOVZX and the like */
#define F_SRC16		BIT(8)
#define F_SRC32		BIT(9)
#define F_ALIGN		BIT(10)	/* #GP unless aligned to its size */
#define F_PREFIX	BIT(11)	/* no opcode, but a prefix */
#define F_NO64		BIT(12)	/* not in long mode */
#define F_MMX		BIT(13)
#define F_REG		BIT(14)	/* the ModRM operand is a register, whatever ModRM.mod says */

/* alu.c */
u64 mv_emul_alu(enum mv_op op, u64 a, u64 b, unsigned int size, u64 *rflags);
u64 mv_emul_shift(enum mv_op op, u64 a, unsigned int count, unsigned int size, u64 *rflags);
u64 mv_emul_double_shift(enum mv_op op, u64 a, u64 b, unsigned int count, unsigned int size,
			 u64 *rflags);
void mv_emul_mul(bool sign, u64 *lo, u64 *hi, u64 b, unsigned int size, u64 *rflags);
bool mv_emul_div(bool sign, u64 *lo, u64 *hi, u64 b, unsigned int size);
bool mv_emul_scan(enum mv_op op, bool count, u64 src, u64 *dst, unsigned int size, u64 *rflags);
bool mv_emul_condition(unsigned int cc, u64 rflags);

/* access.c */
int mv_emul_linear(struct mv_emul *e, unsigned int seg, u64 ea, unsigned int len, bool write,
		   u64 *la);
int mv_emul_align(struct mv_emul *e, u64 la, unsigned int len);
int mv_emul_read(struct mv_emul *e, u64 la, u64 *val, unsigned int len, bool for_write);
int mv_emul_write(struct mv_emul *e, u64 la, u64 val, unsigned int len);
int mv_emul_exchange(struct mv_emul *e, u64 la, const u64 *old, const u64 *new, unsigned int len);

/* exec.c */
int mv_emul_run(struct mv_emul *e);
int mv_emul_read_rm(struct mv_emul *e, u64 *val);
int mv_emul_write_rm(struct mv_emul *e, u64 val);

/* stack.c */
int mv_emul_stack(struct mv_emul *e);

/* string.c */
int mv_emul_string(struct mv_emul *e);
int mv_emul_port(struct mv_emul *e);
int mv_emul_port_string(struct mv_emul *e);

static inline bool mv_emul_crosses_page(u64 la, unsigned int len)
{
	return (la & 0xfff) + len > 0x1000;
}

static inline u64 mv_emul_next_page(const struct mv_emul *e, u64 la)
{
	u64 next = (la | 0xfff) + 1;

	return e->mode == MV_MODE_LONG64 ? next : (u32)next;
}

static inline u64 mv_emul_mask(unsigned int size)
{
	return ~0ull >> (64 - size * 8);
}

static inline u64 mv_emul_sign_extend(u64 val, unsigned int size)
{
	unsigned int shift = 64 - size * 8;

	return (u64)((s64)(val << shift) >> shift);
}

/* A write of 32 bits clears the upper half, one of 8 or 16 bits leaves what is above. */
static inline void mv_emul_set_reg(struct mv_emul *e, unsigned int n, u64 val, unsigned int size)
{
	if (size == 1)
		val = (e->gpr[n] & ~0xffull) | (val & 0xff);
	else if (size == 2)
		val = (e->gpr[n] & ~0xffffull) | (val & 0xffff);
	else if (size == 4)
		val = (u32)val;
	e->gpr[n] = val;
}

#endif
