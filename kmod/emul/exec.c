// SPDX-License-Identifier: GPL-2.0
/*
 * The executor. A register or flag changes only when nothing can fail any more, so that an
 * instruction may be started over: after userspace has answered a read, or by the guest.
 */
#include <linux/swab.h>
#include "insn.h"

/* Without a REX prefix, the byte registers 4 to 7 are AH, CH, DH and BH. */
static bool is_high_byte(struct mv_emul *e, unsigned int n, unsigned int size)
{
	return size == 1 && !e->d.rex && n >= 4;
}

static u64 get_reg(struct mv_emul *e, unsigned int n, unsigned int size)
{
	if (unlikely(is_high_byte(e, n, size)))
		return (e->gpr[n - 4] >> 8) & 0xff;
	return e->gpr[n] & mv_emul_mask(size);
}

static void set_reg(struct mv_emul *e, unsigned int n, u64 val, unsigned int size)
{
	if (unlikely(is_high_byte(e, n, size)))
		e->gpr[n - 4] = (e->gpr[n - 4] & ~0xff00ull) | (val & 0xff) << 8;
	else
		mv_emul_set_reg(e, n, val, size);
}

int mv_emul_read_rm(struct mv_emul *e, u64 *val)
{
	struct mv_insn *d = &e->d;

	if (likely(d->mem))
		return mv_emul_read(e, d->la, val, d->memsize, d->flags & F_WRITE);
	*val = get_reg(e, d->rm, d->memsize);
	return MV_EMUL_OK;
}

int mv_emul_write_rm(struct mv_emul *e, u64 val)
{
	struct mv_insn *d = &e->d;

	if (likely(d->mem))
		return mv_emul_write(e, d->la, val, d->memsize);
	set_reg(e, d->rm, val, d->memsize);
	return MV_EMUL_OK;
}

/* Writes back a ModRM operand that was read as @old. */
static int update_rm(struct mv_emul *e, u64 old, u64 val)
{
	struct mv_insn *d = &e->d;

	if (d->lock)
		return mv_emul_exchange(e, d->la, &old, &val, d->memsize);
	return mv_emul_write_rm(e, val);
}

static u64 byteswap(u64 val, unsigned int size)
{
	return swab64(val) >> (64 - size * 8);
}

/* MOV, MOVZX, MOVSX, MOVSXD, MOVNTI, MOVBE */
static int exec_mov(struct mv_emul *e)
{
	struct mv_insn *d = &e->d;
	u64 val;
	int ret;

	if (d->form == FORM_G_E) {
		ret = mv_emul_read_rm(e, &val);
		if (ret)
			return ret;
		if (d->op == OP_MOVSX)
			val = mv_emul_sign_extend(val, d->memsize);
		else if (d->op == OP_MOVBE)
			val = byteswap(val, d->opsize);
		set_reg(e, d->reg, val, d->opsize);
		return MV_EMUL_OK;
	}
	val = d->form == FORM_E_I ? d->imm : get_reg(e, d->reg, d->opsize);
	if (d->op == OP_MOVBE)
		val = byteswap(val, d->opsize);
	return mv_emul_write_rm(e, val);
}

static bool only_flags(enum mv_op op)
{
	return op == OP_CMP || op == OP_TEST || op == OP_BT;
}

static int exec_alu(struct mv_emul *e)
{
	struct mv_insn *d = &e->d;
	u64 rflags = e->rflags;
	u64 rm, src, res;
	int ret;

	ret = mv_emul_read_rm(e, &rm);
	if (ret)
		return ret;

	if (d->form == FORM_G_E) {
		res = mv_emul_alu(d->op, get_reg(e, d->reg, d->opsize), rm, d->opsize, &rflags);
		if (!only_flags(d->op))
			set_reg(e, d->reg, res, d->opsize);
		e->rflags = rflags;
		return MV_EMUL_OK;
	}

	src = d->form == FORM_E_G ? get_reg(e, d->reg, d->opsize) :
				    d->imm & mv_emul_mask(d->opsize);
	if (d->op >= OP_ROL && d->op <= OP_SAR)
		res = mv_emul_shift(d->op, rm, src, d->opsize, &rflags);
	else
		res = mv_emul_alu(d->op, rm, src, d->opsize, &rflags);
	if (!only_flags(d->op)) {
		ret = update_rm(e, rm, res);
		if (ret)
			return ret;
	}
	e->rflags = rflags;
	return MV_EMUL_OK;
}

/* XCHG, XADD. XCHG with memory locks, prefix or not. */
static int exec_exchange(struct mv_emul *e)
{
	struct mv_insn *d = &e->d;
	u64 rflags = e->rflags;
	u64 old, val;
	int ret;

	ret = mv_emul_read_rm(e, &old);
	if (ret)
		return ret;
	val = get_reg(e, d->reg, d->opsize);
	if (d->op == OP_XADD)
		val = mv_emul_alu(OP_ADD, old, val, d->opsize, &rflags);
	else
		d->lock = d->mem;

	/* Of two registers, the one in ModRM.rm is written last: "xadd %eax, %eax". */
	if (!d->mem)
		set_reg(e, d->reg, old, d->opsize);
	ret = update_rm(e, old, val);
	if (ret)
		return ret;
	if (d->mem)
		set_reg(e, d->reg, old, d->opsize);
	e->rflags = rflags;
	return MV_EMUL_OK;
}

/* A comparison that fails writes memory too, with its old value, but not a register. */
static int exec_cmpxchg(struct mv_emul *e)
{
	struct mv_insn *d = &e->d;
	u64 rflags = e->rflags;
	u64 old, acc;
	bool equal;
	int ret;

	ret = mv_emul_read_rm(e, &old);
	if (ret)
		return ret;
	acc = get_reg(e, MV_RAX, d->opsize);
	equal = acc == old;
	mv_emul_alu(OP_CMP, acc, old, d->opsize, &rflags);

	if (equal || d->mem) {
		ret = update_rm(e, old, equal ? get_reg(e, d->reg, d->opsize) : old);
		if (ret)
			return ret;
	}
	if (!equal)
		set_reg(e, MV_RAX, old, d->opsize);
	e->rflags = rflags;
	return MV_EMUL_OK;
}

/* CMPXCHG8B and CMPXCHG16B: RDX:RAX with memory, and RCX:RBX into it. */
static int exec_cmpxchg8b(struct mv_emul *e)
{
	struct mv_insn *d = &e->d;
	unsigned int half = d->opsize;
	u64 old[2], new[2];
	bool equal;
	int ret;

	ret = mv_emul_read(e, d->la, &old[0], half, true);
	if (ret)
		return ret;
	ret = mv_emul_read(e, d->la + half, &old[1], half, true);
	if (ret)
		return ret;

	equal = old[0] == get_reg(e, MV_RAX, half) && old[1] == get_reg(e, MV_RDX, half);
	new[0] = equal ? get_reg(e, MV_RBX, half) : old[0];
	new[1] = equal ? get_reg(e, MV_RCX, half) : old[1];
	if (half == 4) {
		u64 old8 = old[0] | old[1] << 32;
		u64 new8 = new[0] | new[1] << 32;

		ret = d->lock ? mv_emul_exchange(e, d->la, &old8, &new8, 8) :
				mv_emul_write(e, d->la, new8, 8);
	} else {
		ret = mv_emul_exchange(e, d->la, old, new, 16);
	}
	if (ret)
		return ret;

	if (equal) {
		e->rflags |= X86_EFLAGS_ZF;
	} else {
		e->rflags &= ~(u64)X86_EFLAGS_ZF;
		mv_emul_set_reg(e, MV_RAX, old[0], half);
		mv_emul_set_reg(e, MV_RDX, old[1], half);
	}
	return MV_EMUL_OK;
}

/* CMOVcc reads its operand, and clears the upper half of a 32-bit register, in any case. */
static int exec_cmov(struct mv_emul *e)
{
	struct mv_insn *d = &e->d;
	u64 val;
	int ret;

	ret = mv_emul_read_rm(e, &val);
	if (ret)
		return ret;
	if (!mv_emul_condition(d->opcode, e->rflags))
		val = get_reg(e, d->reg, d->opsize);
	set_reg(e, d->reg, val, d->opsize);
	return MV_EMUL_OK;
}

/* SHLD, SHRD */
static int exec_double_shift(struct mv_emul *e)
{
	struct mv_insn *d = &e->d;
	u64 rflags = e->rflags, rm;
	int ret;

	ret = mv_emul_read_rm(e, &rm);
	if (ret)
		return ret;
	rm = mv_emul_double_shift(d->op, rm, get_reg(e, d->reg, d->opsize), d->imm, d->opsize,
				  &rflags);
	ret = mv_emul_write_rm(e, rm);
	if (!ret)
		e->rflags = rflags;
	return ret;
}

/* MUL, IMUL, DIV and IDIV with one operand; the other is RDX:RAX, or AX. */
static int exec_muldiv(struct mv_emul *e)
{
	struct mv_insn *d = &e->d;
	unsigned int size = d->opsize;
	u64 lo = e->gpr[MV_RAX] & mv_emul_mask(size), hi, src;
	bool sign = d->op == OP_IMUL || d->op == OP_IDIV;
	int ret;

	hi = size == 1 ? (e->gpr[MV_RAX] >> 8) & 0xff : e->gpr[MV_RDX] & mv_emul_mask(size);
	ret = mv_emul_read_rm(e, &src);
	if (ret)
		return ret;
	if (d->op <= OP_IMUL)
		mv_emul_mul(sign, &lo, &hi, src, size, &e->rflags);
	else if (!mv_emul_div(sign, &lo, &hi, src, size))
		return mv_emul_raise(e, VEC_DE, 0);

	if (size == 1) {
		mv_emul_set_reg(e, MV_RAX, hi << 8 | lo, 2);
	} else {
		mv_emul_set_reg(e, MV_RAX, lo, size);
		mv_emul_set_reg(e, MV_RDX, hi, size);
	}
	return MV_EMUL_OK;
}

/* IMUL with two and three operands, BSF, BSR, TZCNT, LZCNT, POPCNT. */
static int exec_to_reg(struct mv_emul *e)
{
	struct mv_insn *d = &e->d;
	u64 rm, hi, val = get_reg(e, d->reg, d->opsize);
	int ret;

	ret = mv_emul_read_rm(e, &rm);
	if (ret)
		return ret;
	if (d->op == OP_IMUL2) {
		if (d->form != FORM_G_E)
			val = d->imm & mv_emul_mask(d->opsize);
		mv_emul_mul(true, &val, &hi, rm, d->opsize, &e->rflags);
	} else if (!mv_emul_scan(d->op, d->rep == 0xf3, rm, &val, d->opsize, &e->rflags)) {
		return MV_EMUL_OK;
	}
	set_reg(e, d->reg, val, d->opsize);
	return MV_EMUL_OK;
}

/* A selector, or CR0, of which memory gets 16 bits in any case. */
static int exec_store_system(struct mv_emul *e)
{
	struct mv_insn *d = &e->d;
	u64 val;

	if (d->op == OP_STORE_SREG) {
		if ((d->reg & 7) > MV_SEG_GS)	/* without REX.R */
			return mv_emul_raise(e, VEC_UD, 0);
		val = e->ops->get_selector(e, d->reg & 7);
	} else {
		if (d->op != OP_SMSW && (e->mode == MV_MODE_REAL || e->mode == MV_MODE_V86))
			return mv_emul_raise(e, VEC_UD, 0);
		if (e->cpl && e->ops->get_cr(e, 4) & X86_CR4_UMIP)
			return mv_emul_raise(e, VEC_GP, 0);
		val = d->op == OP_SMSW ? e->ops->get_cr(e, 0) :
		      e->ops->get_selector(e, d->op == OP_SLDT ? MV_SEG_LDTR : MV_SEG_TR);
	}
	if (d->mem)
		return mv_emul_write_rm(e, val);
	set_reg(e, d->rm, val, d->opsize);
	return MV_EMUL_OK;
}

/* PE, MP, EM and TS; it cannot clear PE. */
static int exec_lmsw(struct mv_emul *e)
{
	u64 cr0 = e->ops->get_cr(e, 0), val;
	int ret;

	if (e->cpl)
		return mv_emul_raise(e, VEC_GP, 0);
	ret = mv_emul_read_rm(e, &val);
	return ret ? ret : e->ops->set_cr0(e, (cr0 & ~0xeull) | (val & 0xf));
}

static int exec_load_sreg(struct mv_emul *e)
{
	unsigned int seg = e->d.reg & 7;
	u64 val;
	int ret;

	if (seg > MV_SEG_GS || seg == MV_SEG_CS)
		return mv_emul_raise(e, VEC_UD, 0);
	ret = mv_emul_read_rm(e, &val);
	return ret ? ret : e->ops->load_seg(e, seg, val);
}

/* LES, LDS, LSS, LFS, LGS: the offset, behind it the selector. */
static int exec_load_far(struct mv_emul *e)
{
	struct mv_insn *d = &e->d;
	unsigned int seg = d->opcode == 0xc4 ? MV_SEG_ES :
			   d->opcode == 0xc5 ? MV_SEG_DS : d->opcode & 7;
	unsigned int size = d->opsize;
	u64 offset, selector, la;
	int ret;

	ret = mv_emul_linear(e, d->seg, d->ea, size + 2, false, &la);
	if (!ret)
		ret = mv_emul_read(e, la, &offset, size < 8 ? size + 2 : 8, false);
	if (!ret && size == 8)
		ret = mv_emul_read(e, la + 8, &selector, 2, false);
	else
		selector = (u32)(offset >> (8 * size & 63));
	if (!ret)
		ret = e->ops->load_seg(e, seg, selector);
	if (!ret)
		set_reg(e, d->reg, offset, d->opsize);
	return ret;
}

static int exec_store_fpu(struct mv_emul *e)
{
	if (e->ops->get_cr(e, 0) & (X86_CR0_EM | X86_CR0_TS))
		return mv_emul_raise(e, VEC_NM, 0);
	return mv_emul_write_rm(e, e->ops->fpu_word(e, e->d.op == OP_FNSTSW));
}

/* SDM vol. 3A, 2.5: CR0.EM and TS, CR4.OSFXSR; MMX: vol. 2B, 22.25.3. */
static int check_sse(struct mv_emul *e)
{
	u64 cr0 = e->ops->get_cr(e, 0);
	bool mmx = e->d.flags & F_MMX;

	if (cr0 & X86_CR0_EM || (!mmx && !(e->ops->get_cr(e, 4) & X86_CR4_OSFXSR)))
		return mv_emul_raise(e, VEC_UD, 0);
	if (cr0 & X86_CR0_TS)
		return mv_emul_raise(e, VEC_NM, 0);
	/* An exception of the x87 FPU waits. */
	if (mmx && e->ops->fpu_word(e, true) & 0x80)
		return mv_emul_raise(e, VEC_MF, 0);
	return MV_EMUL_OK;
}

static int exec_mmx(struct mv_emul *e)
{
	struct mv_insn *d = &e->d;
	u64 val;
	int ret;

	if (d->flags & F_WRITE)
		return mv_emul_write(e, d->la, e->ops->read_mm(e, d->reg & 7), d->memsize);
	ret = mv_emul_read(e, d->la, &val, d->memsize, false);
	if (!ret)
		e->ops->write_mm(e, d->reg & 7, val);
	return ret;
}

static int exec_sse(struct mv_emul *e)
{
	struct mv_insn *d = &e->d;
	unsigned int low = d->memsize > 8 ? 8 : d->memsize;
	u64 val[2] = { 0 };
	int ret;

	if (d->flags & F_MMX)
		return exec_mmx(e);
	if (d->flags & F_WRITE) {
		/* Nothing is to be written if the second half cannot be. */
		if (d->memsize == 16 && mv_emul_crosses_page(d->la, 16)) {
			ret = e->ops->check_write(e, mv_emul_next_page(e, d->la));
			if (ret)
				return ret;
		}
		e->ops->read_xmm(e, d->reg, val);
		ret = mv_emul_write(e, d->la, val[0], low);
		if (!ret && d->memsize == 16)
			ret = mv_emul_write(e, d->la + 8, val[1], 8);
		return ret;
	}
	ret = mv_emul_read(e, d->la, &val[0], low, false);
	if (!ret && d->memsize == 16)
		ret = mv_emul_read(e, d->la + 8, &val[1], 8, false);
	if (!ret)
		e->ops->write_xmm(e, d->reg, val);
	return ret;
}

static noinline int check_misaligned(struct mv_emul *e)
{
	struct mv_insn *d = &e->d;

	if (d->flags & F_ALIGN)
		return mv_emul_raise(e, VEC_GP, 0);
	return d->memsize < 16 ? mv_emul_align(e, d->la, d->memsize) : MV_EMUL_OK;
}

static noinline int exec_other(struct mv_emul *e)
{
	struct mv_insn *d = &e->d;

	switch (d->op) {
	case OP_ADD ... OP_BTC:
		return exec_alu(e);
	case OP_XCHG:
	case OP_XADD:
		return exec_exchange(e);
	case OP_CMPXCHG:
		return exec_cmpxchg(e);
	case OP_CMPXCHG8B:
		return exec_cmpxchg8b(e);
	case OP_CMOV:
		return exec_cmov(e);
	case OP_SETCC:
		return mv_emul_write_rm(e, mv_emul_condition(d->opcode, e->rflags));
	case OP_PUSH ... OP_RET:
		return mv_emul_stack(e);
	case OP_SHLD:
	case OP_SHRD:
		return exec_double_shift(e);
	case OP_MUL ... OP_IDIV:
		return exec_muldiv(e);
	case OP_IMUL2:
	case OP_BSF ... OP_POPCNT:
		return exec_to_reg(e);
	case OP_STORE_SREG ... OP_SMSW:
		return exec_store_system(e);
	case OP_LMSW:
		return exec_lmsw(e);
	case OP_LOAD_SREG:
		return exec_load_sreg(e);
	case OP_LOAD_FAR:
		return exec_load_far(e);
	case OP_FNSTCW:
	case OP_FNSTSW:
		return exec_store_fpu(e);
	case OP_MOVS ... OP_SCAS:
		return mv_emul_string(e);
	case OP_INS:
	case OP_OUTS:
		return mv_emul_port_string(e);
	case OP_IN:
	case OP_OUT:
		return mv_emul_port(e);
	case OP_SSE:
		return exec_sse(e);
	default:
		return MV_EMUL_UNKNOWN;
	}
}

static int execute(struct mv_emul *e)
{
	struct mv_insn *d = &e->d;
	int ret;

	if (d->op == OP_NOP)
		return MV_EMUL_OK;
	if (d->op == OP_SSE) {
		ret = check_sse(e);
		if (ret)
			return ret;
	}
	if (d->mem) {
		ret = mv_emul_linear(e, d->seg, d->ea, d->memsize, d->flags & F_WRITE, &d->la);
		if (!ret && unlikely(d->la & (d->memsize - 1u)))
			ret = check_misaligned(e);
		if (ret)
			return ret;
	}
	if (likely(d->op >= OP_MOV && d->op <= OP_MOVBE))
		return exec_mov(e);
	return exec_other(e);
}

/* Executes what is decoded in e->d, from its start. */
int mv_emul_run(struct mv_emul *e)
{
	int ret;

	e->posted = false;
	e->next_read = 0;
	ret = execute(e);
	e->resume = ret == MV_EMUL_IO;
	if (!e->resume)
		e->nr_reads = 0;
	if (ret == MV_EMUL_OK) {
		e->rip += e->d.len;
		if (e->mode != MV_MODE_LONG64)
			e->rip = (u32)e->rip;
		e->rflags &= ~(u64)X86_EFLAGS_RF;
	}
	return ret;
}

int mv_emul_insn(struct mv_emul *e)
{
	int ret;

	if (!e->resume) {
		ret = mv_emul_decode(e);
		if (ret)
			return ret;
	}
	return mv_emul_run(e);
}
