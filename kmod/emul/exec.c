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

static int read_rm(struct mv_emul *e, u64 *val)
{
	struct mv_insn *d = &e->d;

	if (likely(d->mem))
		return mv_emul_read(e, d->la, val, d->memsize, d->flags & F_WRITE);
	*val = get_reg(e, d->rm, d->memsize);
	return MV_EMUL_OK;
}

static int write_rm(struct mv_emul *e, u64 val)
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
	return write_rm(e, val);
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
		ret = read_rm(e, &val);
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
	return write_rm(e, val);
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

	ret = read_rm(e, &rm);
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

	ret = read_rm(e, &old);
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

	ret = read_rm(e, &old);
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

	ret = read_rm(e, &val);
	if (ret)
		return ret;
	if (!mv_emul_condition(d->opcode, e->rflags))
		val = get_reg(e, d->reg, d->opsize);
	set_reg(e, d->reg, val, d->opsize);
	return MV_EMUL_OK;
}

static unsigned int stack_size(struct mv_emul *e)
{
	u32 limit, attr;
	u64 base;

	if (e->mode == MV_MODE_LONG64)
		return 8;
	e->ops->get_seg(e, MV_SEG_SS, &base, &limit, &attr);
	return attr & MV_SEG_DB ? 4 : 2;
}

static int push(struct mv_emul *e, u64 val)
{
	unsigned int size = e->d.opsize, sp_size = stack_size(e);
	u64 sp = (e->gpr[MV_RSP] - size) & mv_emul_mask(sp_size);
	u64 la;
	int ret;

	ret = mv_emul_linear(e, MV_SEG_SS, sp, size, true, &la);
	if (!ret)
		ret = mv_emul_align(e, la, size);
	if (!ret)
		ret = mv_emul_write(e, la, val, size);
	if (!ret)
		mv_emul_set_reg(e, MV_RSP, sp, sp_size);
	return ret;
}

static int exec_push(struct mv_emul *e)
{
	u64 val;
	int ret;

	e->gpa_valid = false;	/* two operands in memory: the hint tells one, not which */
	ret = read_rm(e, &val);
	return ret ? ret : push(e, val);
}

/* The limit of CS, or canonical form. */
static int check_target(struct mv_emul *e, u64 target)
{
	u64 base, la;
	u32 limit, attr;

	if (e->mode == MV_MODE_LONG64)
		return mv_emul_linear(e, MV_SEG_CS, target, 1, false, &la);
	e->ops->get_seg(e, MV_SEG_CS, &base, &limit, &attr);
	return target > limit ? mv_emul_raise(e, VEC_GP, 0) : MV_EMUL_OK;
}

/* CALL and JMP within the segment. */
static int exec_branch(struct mv_emul *e)
{
	struct mv_insn *d = &e->d;
	u64 target;
	int ret;

	/* With prefix 66 in 64-bit mode: Intel's have 64 bits, AMD's 16. */
	if (e->mode == MV_MODE_LONG64 && d->opsize != 8)
		return MV_EMUL_UNKNOWN;
	if (d->op == OP_CALL)
		e->gpa_valid = false;
	ret = read_rm(e, &target);
	if (!ret)
		ret = check_target(e, target);
	if (!ret && d->op == OP_CALL)
		ret = push(e, e->rip + d->len);
	if (!ret)
		e->rip = target - d->len;	/* which mv_emul_run() adds */
	return ret;
}

static int exec_pop(struct mv_emul *e)
{
	unsigned int size = e->d.opsize, sp_size = stack_size(e);
	u64 sp = e->gpr[MV_RSP] & mv_emul_mask(sp_size);
	u64 val, la;
	int ret;

	e->gpa_valid = false;
	ret = mv_emul_linear(e, MV_SEG_SS, sp, size, false, &la);
	if (!ret)
		ret = mv_emul_align(e, la, size);
	if (!ret)
		ret = mv_emul_read(e, la, &val, size, false);
	if (ret)
		return ret;
	if (e->d.mem) {
		ret = write_rm(e, val);
		if (!ret)
			mv_emul_set_reg(e, MV_RSP, sp + size, sp_size);
		return ret;
	}
	mv_emul_set_reg(e, MV_RSP, sp + size, sp_size);
	return write_rm(e, val);	/* last, for "pop %rsp" */
}

/* SDM vol. 3A, 2.5: CR0.EM and TS, CR4.OSFXSR. */
static int check_sse(struct mv_emul *e)
{
	u64 cr0 = e->ops->get_cr(e, 0);

	if (cr0 & X86_CR0_EM || !(e->ops->get_cr(e, 4) & X86_CR4_OSFXSR))
		return mv_emul_raise(e, VEC_UD, 0);
	if (cr0 & X86_CR0_TS)
		return mv_emul_raise(e, VEC_NM, 0);
	return MV_EMUL_OK;
}

static int exec_sse(struct mv_emul *e)
{
	struct mv_insn *d = &e->d;
	unsigned int low = d->memsize > 8 ? 8 : d->memsize;
	u64 val[2] = { 0 };
	int ret;

	if (d->flags & F_WRITE) {
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
		return write_rm(e, mv_emul_condition(d->opcode, e->rflags));
	case OP_PUSH:
		return exec_push(e);
	case OP_POP:
		return exec_pop(e);
	case OP_CALL:
	case OP_JMP:
		return exec_branch(e);
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
