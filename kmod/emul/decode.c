// SPDX-License-Identifier: GPL-2.0
/*
 * The instruction decoder (SDM vol. 2A, chapter 2, and vol. 2D, appendix A). It knows the
 * instructions that access memory the way drivers and firmware access devices; all others are
 * OP_UNKNOWN.
 */
#include <linux/kernel.h>
#include <linux/string.h>
#include "insn.h"

#define REX_W	8
#define REX_R	4
#define REX_X	2
#define REX_B	1

struct opcode {
	u8 op;
	u8 form;
	u16 flags;
};

enum group {
	GROUP_1, GROUP_1A, GROUP_2, GROUP_3, GROUP_4, GROUP_5, GROUP_6, GROUP_7, GROUP_8, GROUP_9,
	GROUP_11, GROUP_15, GROUP_D9, GROUP_DD, NR_GROUPS
};

#define LOCKABLE	(F_WRITE | F_LOCKABLE)

/* A row adds its flags to the opcode's, and its form if it has one. */
static const struct opcode groups[NR_GROUPS][8] = {
	[GROUP_1] = {
		{ OP_ADD, 0, LOCKABLE }, { OP_OR,  0, LOCKABLE },
		{ OP_ADC, 0, LOCKABLE }, { OP_SBB, 0, LOCKABLE },
		{ OP_AND, 0, LOCKABLE }, { OP_SUB, 0, LOCKABLE },
		{ OP_XOR, 0, LOCKABLE }, { OP_CMP, 0, 0 },
	},
	[GROUP_1A] = { { OP_POP, 0, F_WRITE } },
	[GROUP_2] = {
		{ OP_ROL, 0, F_WRITE }, { OP_ROR, 0, F_WRITE }, { OP_RCL, 0, F_WRITE },
		{ OP_RCR, 0, F_WRITE }, { OP_SHL, 0, F_WRITE }, { OP_SHR, 0, F_WRITE },
		{ OP_SAL, 0, F_WRITE }, { OP_SAR, 0, F_WRITE },
	},
	[GROUP_3] = {
		[0] = { OP_TEST, FORM_E_I, 0 },
		[2] = { OP_NOT, FORM_E, LOCKABLE },
		[3] = { OP_NEG, FORM_E, LOCKABLE },
		[4] = { OP_MUL, FORM_E, 0 }, [5] = { OP_IMUL, FORM_E, 0 },
		[6] = { OP_DIV, FORM_E, 0 }, [7] = { OP_IDIV, FORM_E, 0 },
	},
	[GROUP_4] = { { OP_INC, 0, LOCKABLE }, { OP_DEC, 0, LOCKABLE } },
	[GROUP_5] = {
		[0] = { OP_INC, 0, LOCKABLE },
		[1] = { OP_DEC, 0, LOCKABLE },
		[2] = { OP_CALL, 0, F_D64 },
		[4] = { OP_JMP, 0, F_D64 },
		[6] = { OP_PUSH, 0, F_D64 },
	},
	[GROUP_6] = { { OP_SLDT, 0, F_WRITE }, { OP_STR, 0, F_WRITE } },
	[GROUP_7] = {
		/* VMCALL, XSETBV, MONITOR, RDTSCP, SVM's and others */
		[0 ... 3] = { OP_SYSTEM }, [5] = { OP_SYSTEM }, [7] = { OP_SYSTEM },
		[4] = { OP_SMSW, 0, F_WRITE }, [6] = { OP_LMSW, 0, 0 },
	},
	[GROUP_8] = {
		[4] = { OP_BT,  0, 0 },   [5] = { OP_BTS, 0, LOCKABLE },
		[6] = { OP_BTR, 0, LOCKABLE }, [7] = { OP_BTC, 0, LOCKABLE },
	},
	[GROUP_9] = { [1] = { OP_CMPXCHG8B, 0, LOCKABLE | F_MEM } },
	[GROUP_11] = { { OP_MOV, 0, F_WRITE } },
	[GROUP_15] = {
		[6] = { OP_NOP, 0, F_MEM },	/* CLWB, but only with prefix 66 */
		[7] = { OP_NOP, 0, F_MEM },	/* CLFLUSH, CLFLUSHOPT */
	},
	[GROUP_D9] = { [7] = { OP_FNSTCW, 0, F_WRITE } },
	[GROUP_DD] = { [7] = { OP_FNSTSW, 0, F_WRITE } },
};

#define M(op, form, flags)	{ OP_##op, FORM_##form, F_MODRM | (flags) }
#define MG(group, form, flags)	{ OP_GROUPS + GROUP_##group, FORM_##form, F_MODRM | (flags) }

#define PREFIX			{ OP_UNKNOWN, FORM_NONE, F_PREFIX }
#define PUSH_SREG		{ OP_PUSH_SREG, FORM_NONE, F_NO64 }
#define POP_SREG		{ OP_POP_SREG, FORM_NONE, F_NO64 }

static const struct opcode one_byte[256] = {
	[0x00] = M(ADD, E_G, F_BYTE | LOCKABLE), M(ADD, E_G, LOCKABLE),
		 M(ADD, G_E, F_BYTE), M(ADD, G_E, 0),
	[0x08] = M(OR, E_G, F_BYTE | LOCKABLE), M(OR, E_G, LOCKABLE),
		 M(OR, G_E, F_BYTE), M(OR, G_E, 0),
	[0x10] = M(ADC, E_G, F_BYTE | LOCKABLE), M(ADC, E_G, LOCKABLE),
		 M(ADC, G_E, F_BYTE), M(ADC, G_E, 0),
	[0x18] = M(SBB, E_G, F_BYTE | LOCKABLE), M(SBB, E_G, LOCKABLE),
		 M(SBB, G_E, F_BYTE), M(SBB, G_E, 0),
	[0x20] = M(AND, E_G, F_BYTE | LOCKABLE), M(AND, E_G, LOCKABLE),
		 M(AND, G_E, F_BYTE), M(AND, G_E, 0),
	[0x28] = M(SUB, E_G, F_BYTE | LOCKABLE), M(SUB, E_G, LOCKABLE),
		 M(SUB, G_E, F_BYTE), M(SUB, G_E, 0),
	[0x30] = M(XOR, E_G, F_BYTE | LOCKABLE), M(XOR, E_G, LOCKABLE),
		 M(XOR, G_E, F_BYTE), M(XOR, G_E, 0),
	[0x38] = M(CMP, E_G, F_BYTE), M(CMP, E_G, 0),
		 M(CMP, G_E, F_BYTE), M(CMP, G_E, 0),
	[0x06] = PUSH_SREG, POP_SREG, [0x0e] = PUSH_SREG,
	[0x16] = PUSH_SREG, POP_SREG, [0x1e] = PUSH_SREG, POP_SREG,
	[0x26] = PREFIX, [0x2e] = PREFIX, [0x36] = PREFIX, [0x3e] = PREFIX,
	[0x40 ... 0x4f] = PREFIX,			/* REX, only in long mode */
	[0x50 ... 0x57] = { OP_PUSH, FORM_O, F_D64 },
	[0x58 ... 0x5f] = { OP_POP, FORM_O, F_D64 },
	[0x60] = { OP_PUSHA, FORM_NONE, F_NO64 },
	[0x61] = { OP_POPA, FORM_NONE, F_NO64 },
	[0x63] = M(MOVSX, G_E, F_SRC32),	/* MOVSXD; ARPL outside long mode */
	[0x64 ... 0x67] = PREFIX,
	[0x68] = { OP_PUSH, FORM_I, F_D64 },
	[0x69] = M(IMUL2, G_E_I, 0),
	[0x6a] = { OP_PUSH, FORM_IB, F_D64 },
	[0x6b] = M(IMUL2, G_E_IB, 0),
	[0x6c] = { OP_INS, FORM_NONE, F_BYTE },
	[0x6d] = { OP_INS },
	[0x6e] = { OP_OUTS, FORM_NONE, F_BYTE },
	[0x6f] = { OP_OUTS },
	[0x80] = MG(1, E_IB, F_BYTE),
	[0x81] = MG(1, E_I, 0),
	[0x83] = MG(1, E_IB, 0),
	[0x84] = M(TEST, E_G, F_BYTE),
	[0x85] = M(TEST, E_G, 0),
	[0x86] = M(XCHG, E_G, F_BYTE | LOCKABLE),
	[0x87] = M(XCHG, E_G, LOCKABLE),
	[0x88] = M(MOV, E_G, F_BYTE | F_WRITE),
	[0x89] = M(MOV, E_G, F_WRITE),
	[0x8a] = M(MOV, G_E, F_BYTE),
	[0x8b] = M(MOV, G_E, 0),
	[0x8c] = M(STORE_SREG, NONE, F_SRC16 | F_WRITE),
	[0x8e] = M(LOAD_SREG, NONE, F_SRC16),
	[0x8f] = MG(1A, E, F_D64),
	[0x90] = { OP_SYSTEM },				/* PAUSE */
	[0x9c] = { OP_PUSHF, FORM_NONE, F_D64 },
	[0x9d] = { OP_POPF, FORM_NONE, F_D64 },
	[0xa0] = { OP_MOV, FORM_A_O, F_BYTE },
	[0xa1] = { OP_MOV, FORM_A_O, 0 },
	[0xa2] = { OP_MOV, FORM_O_A, F_BYTE | F_WRITE },
	[0xa3] = { OP_MOV, FORM_O_A, F_WRITE },
	[0xa4] = { OP_MOVS, FORM_NONE, F_BYTE },
	[0xa5] = { OP_MOVS },
	[0xa6] = { OP_CMPS, FORM_NONE, F_BYTE },
	[0xa7] = { OP_CMPS },
	[0xaa] = { OP_STOS, FORM_NONE, F_BYTE },
	[0xab] = { OP_STOS },
	[0xac] = { OP_LODS, FORM_NONE, F_BYTE },
	[0xad] = { OP_LODS },
	[0xae] = { OP_SCAS, FORM_NONE, F_BYTE },
	[0xaf] = { OP_SCAS },
	[0xc0] = MG(2, E_IB, F_BYTE),
	[0xc1] = MG(2, E_IB, 0),
	[0xc2] = { OP_RET, FORM_IW, F_D64 },
	[0xc3] = { OP_RET, FORM_NONE, F_D64 },
	[0xc4 ... 0xc5] = M(LOAD_FAR, NONE, F_MEM | F_NO64),	/* or VEX */
	[0xc6] = MG(11, E_I, F_BYTE),
	[0xc7] = MG(11, E_I, 0),
	[0xc8] = { OP_ENTER, FORM_IW_IB, F_D64 },
	[0xc9] = { OP_LEAVE, FORM_NONE, F_D64 },
	[0xcc] = { OP_SYSTEM },				/* INT3 */
	[0xd0] = MG(2, E_1, F_BYTE),
	[0xd1] = MG(2, E_1, 0),
	[0xd2] = MG(2, E_CL, F_BYTE),
	[0xd3] = MG(2, E_CL, 0),
	[0xd7] = { OP_MOV, FORM_XLAT, F_BYTE },
	[0xd9] = MG(D9, NONE, F_SRC16 | F_MEM),
	[0xdd] = MG(DD, NONE, F_SRC16 | F_MEM),
	[0xe4] = { OP_IN, FORM_IB, F_BYTE },
	[0xe5] = { OP_IN, FORM_IB },
	[0xe6] = { OP_OUT, FORM_IB, F_BYTE },
	[0xe7] = { OP_OUT, FORM_IB },
	[0xe8] = { OP_CALL, FORM_I, F_D64 },
	[0xec] = { OP_IN, FORM_NONE, F_BYTE },
	[0xed] = { OP_IN },
	[0xee] = { OP_OUT, FORM_NONE, F_BYTE },
	[0xef] = { OP_OUT },
	[0xf0] = PREFIX, [0xf2 ... 0xf3] = PREFIX,
	[0xf4] = { OP_SYSTEM },				/* HLT */
	[0xf6] = MG(3, NONE, F_BYTE),
	[0xf7] = MG(3, NONE, 0),
	[0xfe] = MG(4, E, F_BYTE),
	[0xff] = MG(5, E, 0),
};

static const struct opcode two_byte[256] = {
	[0x00] = MG(6, NONE, F_SRC16),
	[0x01] = MG(7, NONE, F_SRC16),
	[0x06] = { OP_SYSTEM },				/* CLTS */
	[0x08 ... 0x09] = { OP_SYSTEM },		/* INVD, WBINVD */
	[0x0d] = M(NOP, E, F_MEM),			/* PREFETCHW */
	[0x10 ... 0x11] = M(SSE, NONE, 0),
	[0x18 ... 0x1f] = M(NOP, E, 0),			/* PREFETCHh, hints, multi-byte NOP */
	[0x20 ... 0x23] = M(SYSTEM, NONE, F_REG),	/* MOV from and to CR and DR */
	[0x28 ... 0x29] = M(SSE, NONE, 0),
	[0x2b] = M(SSE, NONE, 0),
	[0x30 ... 0x33] = { OP_SYSTEM },		/* WRMSR, RDTSC, RDMSR, RDPMC */
	[0x40 ... 0x4f] = M(CMOV, G_E, 0),
	[0x6e ... 0x6f] = M(SSE, NONE, 0),
	[0x7e ... 0x7f] = M(SSE, NONE, 0),
	[0x90 ... 0x9f] = M(SETCC, E, F_BYTE | F_WRITE),
	[0xa0] = { OP_PUSH_SREG, FORM_NONE, F_D64 },
	[0xa1] = { OP_POP_SREG, FORM_NONE, F_D64 },
	[0xa2] = { OP_SYSTEM },				/* CPUID */
	[0xa3] = M(BT, E_G, 0),
	[0xa4] = M(SHLD, E_G_IB, F_WRITE),
	[0xa5] = M(SHLD, E_G_CL, F_WRITE),
	[0xa8] = { OP_PUSH_SREG, FORM_NONE, F_D64 },
	[0xa9] = { OP_POP_SREG, FORM_NONE, F_D64 },
	[0xab] = M(BTS, E_G, LOCKABLE),
	[0xac] = M(SHRD, E_G_IB, F_WRITE),
	[0xad] = M(SHRD, E_G_CL, F_WRITE),
	[0xae] = MG(15, E, 0),
	[0xaf] = M(IMUL2, G_E, 0),
	[0xb0] = M(CMPXCHG, E_G, F_BYTE | LOCKABLE),
	[0xb1] = M(CMPXCHG, E_G, LOCKABLE),
	[0xb2] = M(LOAD_FAR, NONE, F_MEM),		/* LSS */
	[0xb3] = M(BTR, E_G, LOCKABLE),
	[0xb4 ... 0xb5] = M(LOAD_FAR, NONE, F_MEM),	/* LFS, LGS */
	[0xb6] = M(MOV, G_E, F_SRC8),		/* MOVZX */
	[0xb7] = M(MOV, G_E, F_SRC16),
	[0xb8] = M(POPCNT, G_E, 0),			/* but only with F3 */
	[0xba] = MG(8, E_IB, 0),
	[0xbb] = M(BTC, E_G, LOCKABLE),
	[0xbc] = M(BSF, G_E, 0),				/* with F3: TZCNT */
	[0xbd] = M(BSR, G_E, 0),				/* with F3: LZCNT */
	[0xbe] = M(MOVSX, G_E, F_SRC8),
	[0xbf] = M(MOVSX, G_E, F_SRC16),
	[0xc0] = M(XADD, E_G, F_BYTE | LOCKABLE),
	[0xc1] = M(XADD, E_G, LOCKABLE),
	[0xc3] = M(MOV, E_G, F_WRITE | F_MEM | F_NP),	/* MOVNTI */
	[0xc7] = MG(9, E, F_NP),
	[0xd6] = M(SSE, NONE, 0),
	[0xe7] = M(SSE, NONE, 0),
};

static const struct opcode unknown;
static const struct opcode movntdqa = M(SSE, NONE, 0);		/* 66 0f 38 2a */
static const struct opcode movbe_load = M(MOVBE, G_E, F_MEM);	/* 0f 38 f0 */
static const struct opcode movbe_store = M(MOVBE, E_G, F_WRITE | F_MEM);	/* 0f 38 f1 */

/*
 * The moves between memory and an XMM or MMX register that leave no old bits in it. A size of 0
 * stands for 4 or, with REX.W, 8.
 */
static const struct sse {
	u8 opcode;
	u8 prefix;
	u8 size;
	u16 flags;
} sse[] = {
	{ 0x10, 0x00, 16, 0 },		/* MOVUPS */
	{ 0x10, 0x66, 16, 0 },		/* MOVUPD */
	{ 0x10, 0xf3,  4, 0 },		/* MOVSS */
	{ 0x10, 0xf2,  8, 0 },		/* MOVSD */
	{ 0x11, 0x00, 16, F_WRITE },
	{ 0x11, 0x66, 16, F_WRITE },
	{ 0x11, 0xf3,  4, F_WRITE },
	{ 0x11, 0xf2,  8, F_WRITE },
	{ 0x28, 0x00, 16, F_ALIGN },	/* MOVAPS */
	{ 0x28, 0x66, 16, F_ALIGN },	/* MOVAPD */
	{ 0x29, 0x00, 16, F_WRITE | F_ALIGN },
	{ 0x29, 0x66, 16, F_WRITE | F_ALIGN },
	{ 0x2a, 0x66, 16, F_ALIGN },	/* MOVNTDQA */
	{ 0x2b, 0x00, 16, F_WRITE | F_ALIGN },	/* MOVNTPS */
	{ 0x2b, 0x66, 16, F_WRITE | F_ALIGN },	/* MOVNTPD */
	{ 0x6e, 0x00,  0, F_MMX },	/* MOVD, MOVQ */
	{ 0x6e, 0x66,  0, 0 },
	{ 0x6f, 0x00,  8, F_MMX },	/* MOVQ */
	{ 0x6f, 0x66, 16, F_ALIGN },	/* MOVDQA */
	{ 0x6f, 0xf3, 16, 0 },		/* MOVDQU */
	{ 0x7e, 0x00,  0, F_WRITE | F_MMX },	/* MOVD, MOVQ */
	{ 0x7e, 0x66,  0, F_WRITE },
	{ 0x7e, 0xf3,  8, 0 },		/* MOVQ */
	{ 0x7f, 0x00,  8, F_WRITE | F_MMX },	/* MOVQ */
	{ 0x7f, 0x66, 16, F_WRITE | F_ALIGN },	/* MOVDQA */
	{ 0x7f, 0xf3, 16, F_WRITE },		/* MOVDQU */
	{ 0xd6, 0x66,  8, F_WRITE },		/* MOVQ */
	{ 0xe7, 0x00,  8, F_WRITE | F_MMX },	/* MOVNTQ */
	{ 0xe7, 0x66, 16, F_WRITE | F_ALIGN },	/* MOVNTDQ */
};

/* Makes @vector the exception to inject. Real mode pushes no error codes. */
int mv_emul_raise(struct mv_emul *e, unsigned int vector, u32 error_code)
{
	bool pushes = vector >= 10 && vector <= 17 && vector != 16;

	e->exception = (struct mv_emul_exception) {
		.vector = vector,
		.has_error_code = pushes && e->mode != MV_MODE_REAL,
		.error_code = error_code,
	};
	return MV_EMUL_FAULT;
}

/* Brings more instruction bytes. The hardware has checked CS' limit. */
static int fetch(struct mv_emul *e)
{
	unsigned int max = MV_EMUL_INSN_MAX - e->insn_len;
	u64 la = e->rip + e->insn_len;
	u32 limit, attr;
	u64 base;
	int got;

	if (e->mode != MV_MODE_LONG64) {
		e->ops->get_seg(e, MV_SEG_CS, &base, &limit, &attr);
		la = (u32)(base + la);
	}
	if (max > 0x1000 - (la & 0xfff))
		max = 0x1000 - (la & 0xfff);
	got = e->ops->fetch(e, la, e->insn + e->insn_len, max);
	if (got < 0)
		return got;
	e->insn_len += got;
	return MV_EMUL_OK;
}

/*
 * The functions below take the instruction's bytes from @p on and return what is behind them. They
 * run ahead of what has been fetched, see mv_emul_decode().
 */

/* A displacement or immediate, sign-extended from @size bytes. */
static __always_inline const u8 *decode_value(const u8 *p, unsigned int size, u64 *val)
{
	s32 dword;
	s16 word;

	switch (size) {
	case 1:
		*val = (s64)(s8)*p;
		break;
	case 2:
		memcpy(&word, p, sizeof(word));
		*val = (s64)word;
		break;
	case 4:
		memcpy(&dword, p, sizeof(dword));
		*val = (s64)dword;
		break;
	default:
		memcpy(val, p, sizeof(*val));
	}
	return p + size;
}

/* Prefixes, and the sizes they give. */
static const u8 *decode_prefixes(struct mv_emul *e, const u8 *p)
{
	const u8 *end = e->insn + MV_EMUL_INSN_MAX;
	bool addrsize_prefix = false;
	struct mv_insn *d = &e->d;

	for (; one_byte[*p].flags & F_PREFIX && p < end; p++) {
		switch (*p) {
		case 0x40 ... 0x4f:
			if (e->mode != MV_MODE_LONG64)
				goto out;
			d->rex = *p;	/* counts only right before the opcode */
			continue;
		case 0x26: case 0x2e: case 0x36: case 0x3e:	/* ignored in long mode */
			if (e->mode != MV_MODE_LONG64)
				d->seg = (*p >> 3) & 3;
			break;
		case 0x64: case 0x65:
			d->seg = *p & 7;
			break;
		case 0x66:
			d->opsize_prefix = true;
			break;
		case 0x67:
			addrsize_prefix = true;
			break;
		case 0xf0:
			d->lock = true;
			break;
		default:
			d->rep = *p;
		}
		d->rex = 0;
	}
out:
	switch (e->mode) {
	case MV_MODE_LONG64:
		d->opsize = d->rex & REX_W ? 8 : d->opsize_prefix ? 2 : 4;
		d->addrsize = addrsize_prefix ? 4 : 8;
		break;
	case MV_MODE_PROT32:
		d->opsize = d->opsize_prefix ? 2 : 4;
		d->addrsize = addrsize_prefix ? 2 : 4;
		break;
	default:
		d->opsize = d->opsize_prefix ? 4 : 2;
		d->addrsize = addrsize_prefix ? 4 : 2;
	}
	return p;
}

static const u8 *decode_opcode(struct mv_insn *d, const u8 *p)
{
	const struct opcode *o = &one_byte[*p];

	if (*p == 0x0f) {
		o = &two_byte[*++p];
		if (*p == 0x38) {
			p++;
			o = *p == 0x2a ? &movntdqa :
			    *p == 0xf0 ? &movbe_load :
			    *p == 0xf1 ? &movbe_store : &unknown;
		}
	}
	d->op = o->op;
	d->form = o->form;
	d->flags = o->flags;
	d->opcode = *p;
	return p + 1;
}

/* 16-bit addressing (SDM vol. 2A, table 2-1). */
static noinline const u8 *decode_ea16(struct mv_emul *e, const u8 *p, u8 *seg)
{
	static const u8 base[8] = {
		MV_RBX, MV_RBX, MV_RBP, MV_RBP, MV_RSI, MV_RDI, MV_RBP, MV_RBX
	};
	unsigned int mod = *p >> 6, rm = *p & 7;
	struct mv_insn *d = &e->d;

	p++;
	d->ea = 0;
	if (mod == 0 && rm == 6)
		return decode_value(p, 2, &d->ea);
	if (mod)
		p = decode_value(p, mod, &d->ea);
	d->ea += e->gpr[base[rm]];
	if (rm < 4)
		d->ea += e->gpr[rm & 1 ? MV_RDI : MV_RSI];
	if (base[rm] == MV_RBP)
		*seg = MV_SEG_SS;
	return p;
}

/* 32- and 64-bit addressing (tables 2-2 and 2-3). */
static __always_inline const u8 *decode_ea(struct mv_emul *e, const u8 *p, u8 *seg)
{
	unsigned int mod = *p >> 6, base = *p & 7, index;
	struct mv_insn *d = &e->d;
	u64 ea = 0, disp;
	bool sib;

	p++;
	sib = base == 4;
	if (sib) {
		base = *p & 7;
		index = ((*p >> 3) & 7) | (d->rex & REX_X ? 8 : 0);
		if (index != 4)
			ea = e->gpr[index] << (*p >> 6);
		p++;
	}
	if (mod || base == 5) {
		p = decode_value(p, mod == 1 ? 1 : 4, &disp);
		ea += disp;
	}
	if (!mod && base == 5) {
		d->rip_rel = !sib && e->mode == MV_MODE_LONG64;
	} else {
		if (d->rex & REX_B)
			base |= 8;
		else if (base == MV_RSP || base == MV_RBP)
			*seg = MV_SEG_SS;
		ea += e->gpr[base];
		/* POP computes its address after it has incremented RSP. */
		if (d->op == OP_POP && base == MV_RSP)
			ea += d->opsize;
	}
	d->ea = ea;
	return p;
}

static __always_inline const u8 *decode_modrm(struct mv_emul *e, const u8 *p)
{
	struct mv_insn *d = &e->d;
	const struct opcode *row;
	u8 modrm = *p, seg = MV_SEG_DS;

	d->reg = (modrm >> 3) & 7;
	if (d->op >= OP_GROUPS) {
		row = &groups[d->op - OP_GROUPS][d->reg];
		d->op = row->op;
		d->flags |= row->flags;
		if (row->form)
			d->form = row->form;
	}
	if (d->rex & REX_R)
		d->reg |= 8;
	if (d->flags & F_D64 && e->mode == MV_MODE_LONG64 && d->opsize == 4)
		d->opsize = 8;

	if (modrm >> 6 == 3 || d->flags & F_REG) {
		d->rm = (modrm & 7) | (d->rex & REX_B ? 8 : 0);
		return p + 1;
	}
	d->mem = true;
	p = d->addrsize == 2 ? decode_ea16(e, p, &seg) : decode_ea(e, p, &seg);
	if (d->seg == MV_SEG_NONE)
		d->seg = seg;
	return p;
}

static noinline const u8 *decode_no_modrm(struct mv_emul *e, const u8 *p)
{
	struct mv_insn *d = &e->d;

	if (d->seg == MV_SEG_NONE)
		d->seg = MV_SEG_DS;
	if (d->flags & F_D64 && e->mode == MV_MODE_LONG64 && d->opsize == 4)
		d->opsize = 8;

	switch (d->form) {
	case FORM_O:
		d->form = FORM_E;
		d->rm = (d->opcode & 7) | (d->rex & REX_B ? 8 : 0);
		return p;
	case FORM_XLAT:		/* as a MOV with ModRM */
		d->ea = e->gpr[MV_RBX] + (u8)e->gpr[MV_RAX];
		break;
	case FORM_A_O:
	case FORM_O_A:		/* likewise */
		p = decode_value(p, d->addrsize, &d->ea);
		break;
	default:
		return p;
	}
	d->form = d->form == FORM_O_A ? FORM_E_G : FORM_G_E;
	d->reg = MV_RAX;
	d->mem = true;
	return p;
}

static noinline const u8 *decode_immediate(struct mv_emul *e, const u8 *p)
{
	struct mv_insn *d = &e->d;

	switch (d->form) {
	case FORM_E_I:
	case FORM_G_E_I:
	case FORM_I:
		return decode_value(p, d->opsize > 4 ? 4 : d->opsize, &d->imm);
	case FORM_IW:
	case FORM_IW_IB:
		p = decode_value(p, 2, &d->imm);
		d->imm = (u16)d->imm;
		if (d->form == FORM_IW_IB)
			d->reg = *p++ & 31;
		return p;
	case FORM_E_1:
		d->imm = 1;
		return p;
	case FORM_E_CL:
	case FORM_E_G_CL:
		d->imm = e->gpr[MV_RCX] & 0xff;
		return p;
	default:
		return decode_value(p, 1, &d->imm);
	}
}

static void decode_port(struct mv_emul *e)
{
	struct mv_insn *d = &e->d;

	d->imm = d->form == FORM_IB ? (u8)d->imm : (u16)e->gpr[MV_RDX];
	if (d->opsize == 8)
		d->opsize = 4;
}

static noinline bool decode_sse(struct mv_insn *d)
{
	u8 prefix = d->rep ? d->rep : d->opsize_prefix ? 0x66 : 0;
	const struct sse *s;

	for (s = sse; s < sse + ARRAY_SIZE(sse); s++) {
		if (s->opcode != d->opcode || s->prefix != prefix)
			continue;
		d->flags |= s->flags | F_MEM;
		d->memsize = s->size ? s->size : d->rex & REX_W ? 8 : 4;
		return true;
	}
	return false;
}

/* Without a look at the TSS' bitmap. */
static bool may_use_ports(struct mv_emul *e)
{
	unsigned int iopl = (e->rflags & X86_EFLAGS_IOPL) >> X86_EFLAGS_IOPL_BIT;

	return e->mode == MV_MODE_REAL || (e->mode != MV_MODE_V86 && e->cpl <= iopl);
}

/* Opcodes whose meaning hangs on the mode or on prefixes in a way of their own. */
static noinline bool is_unknown(struct mv_emul *e)
{
	struct mv_insn *d = &e->d;

	if (d->flags & F_MEM && !d->mem)
		return true;
	if (d->flags & F_NO64 && e->mode == MV_MODE_LONG64)
		return true;
	if (d->flags & F_NP && (d->rep || d->opsize_prefix))
		return true;
	if (d->op == OP_MOVBE && d->rep)		/* CRC32 */
		return true;
	if (d->flags & F_SRC32 && e->mode != MV_MODE_LONG64)	/* ARPL */
		return true;
	/* Without prefix 66 these are XSAVEOPT and the like; with F3, of CET. */
	if (d->op == OP_NOP && d->opcode == 0xae)
		return d->rep || (d->reg == 6 && !d->opsize_prefix);
	/* The hardware has checked the right to the port that it saw, not to this one. */
	return d->op >= OP_INS && !may_use_ports(e);
}

/* Operand sizes other than those of most instructions. */
static noinline void decode_odd_sizes(struct mv_insn *d)
{
	/* MOVNTI and CMPXCHG8B know no 16-bit operands. */
	if (d->flags & F_NP && d->opsize == 2)
		d->opsize = 4;

	if (d->flags & F_SRC8)
		d->memsize = 1;
	else if (d->flags & F_SRC16)
		d->memsize = 2;
	else if (d->flags & F_SRC32)
		d->memsize = d->opsize > 4 ? 4 : d->opsize;
	else
		d->memsize = d->op == OP_CMPXCHG8B ? 2 * d->opsize : d->opsize;
	if (d->memsize == 16)
		d->flags |= F_ALIGN;
}

static void finish_address(struct mv_emul *e)
{
	struct mv_insn *d = &e->d;

	/* The bit string that BT and its like address extends both ways. */
	if (d->op >= OP_BT && d->op <= OP_BTC && d->form == FORM_E_G)
		d->ea += (u64)((s64)mv_emul_sign_extend(e->gpr[d->reg], d->opsize) >> 3) &
			 -(u64)d->opsize;
	if (d->rip_rel)
		d->ea += e->rip + d->len;
	if (d->addrsize != 8)
		d->ea &= mv_emul_mask(d->addrsize);
}

static int decode(struct mv_emul *e)
{
	struct mv_insn *d = &e->d;
	const u8 *p;

	*d = (struct mv_insn) { .seg = MV_SEG_NONE };
	p = decode_prefixes(e, e->insn);
	p = decode_opcode(d, p);
	p = d->flags & F_MODRM ? decode_modrm(e, p) : decode_no_modrm(e, p);
	if (d->flags & F_BYTE)
		d->opsize = 1;
	d->memsize = d->opsize;
	if (d->flags & (F_NP | F_SRC8 | F_SRC16 | F_SRC32))
		decode_odd_sizes(d);
	if (d->form >= FORM_E_I)
		p = decode_immediate(e, p);
	d->len = p - e->insn;

	if (d->op >= OP_INS)
		decode_port(e);
	if (d->op == OP_UNKNOWN || (d->op == OP_SSE && !decode_sse(d)) ||
	    (d->op == OP_POPCNT && d->rep != 0xf3))
		return MV_EMUL_UNKNOWN;
	if ((d->flags & (F_MEM | F_NP | F_SRC32 | F_NO64) || d->op >= OP_INS) && is_unknown(e))
		return MV_EMUL_UNKNOWN;
	/* "lock mov %cr0" is CR8 on AMD's; of the others the hardware would have raised #UD. */
	if (d->lock && !(d->flags & F_LOCKABLE && d->mem) && d->op != OP_SYSTEM)
		return mv_emul_raise(e, VEC_UD, 0);
	if (d->mem)
		finish_address(e);
	return MV_EMUL_OK;
}

/*
 * Decodes the instruction at RIP into e->d. What is behind the bytes that were fetched is garbage,
 * so a decode that has used any of that is repeated with more of them. That happens only at the
 * end of a page, and saves a check for each byte.
 */
int mv_emul_decode(struct mv_emul *e)
{
	int ret;

	if (!e->insn_len) {
		ret = fetch(e);
		if (ret)
			return ret;
	}
	for (;;) {
		ret = decode(e);
		if (likely(e->d.len <= e->insn_len))
			return ret;
		if (e->insn_len == MV_EMUL_INSN_MAX)
			return mv_emul_raise(e, VEC_GP, 0);
		ret = fetch(e);
		if (ret)
			return ret;
	}
}

unsigned int mv_emul_system_len(const u8 *insn)
{
	const struct opcode *o;
	const u8 *p = insn;

	while (one_byte[*p].flags & F_PREFIX && p < insn + MV_EMUL_INSN_MAX)
		p++;
	o = *p == 0x0f ? &two_byte[*++p] : &one_byte[*p];
	p++;
	if (o->op == OP_GROUPS + GROUP_7)
		return *p < 0xc0 ? 0 : p + 1 - insn;
	if (o->op != OP_SYSTEM)
		return 0;
	return p + (o->flags & F_MODRM ? 1 : 0) - insn;
}
