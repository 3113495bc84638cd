// SPDX-License-Identifier: GPL-2.0
/* Instructions with an operand on the stack: PUSH, POP and their like, CALL and RET. */
#include "insn.h"

static unsigned int stack_size(struct mv_emul *e)
{
	u32 limit, attr;
	u64 base;

	if (e->mode == MV_MODE_LONG64)
		return 8;
	e->ops->get_seg(e, MV_SEG_SS, &base, &limit, &attr);
	return attr & MV_SEG_DB ? 4 : 2;
}

/* @size bytes at SS:@sp, which wraps with the stack's size. */
static int stack_access(struct mv_emul *e, u64 sp, unsigned int size, u64 *val, bool write)
{
	u64 la;
	int ret;

	sp &= mv_emul_mask(stack_size(e));
	ret = mv_emul_linear(e, MV_SEG_SS, sp, size, write, &la);
	if (!ret)
		ret = mv_emul_align(e, la, size);
	if (ret)
		return ret;
	return write ? mv_emul_write(e, la, *val, size) : mv_emul_read(e, la, val, size, false);
}

static void set_sp(struct mv_emul *e, u64 sp)
{
	mv_emul_set_reg(e, MV_RSP, sp, stack_size(e));
}

static int push(struct mv_emul *e, u64 val)
{
	u64 sp = e->gpr[MV_RSP] - e->d.opsize;
	int ret = stack_access(e, sp, e->d.opsize, &val, true);

	if (!ret)
		set_sp(e, sp);
	return ret;
}

static int exec_push(struct mv_emul *e)
{
	struct mv_insn *d = &e->d;
	u64 val = d->imm;
	int ret = MV_EMUL_OK;

	if (d->mem)
		e->gpa_valid = false;	/* two operands in memory: the hint tells one, not which */
	if (d->form == FORM_E)
		ret = mv_emul_read_rm(e, &val);
	return ret ? ret : push(e, val);
}

static int exec_pop(struct mv_emul *e)
{
	struct mv_insn *d = &e->d;
	u64 sp = e->gpr[MV_RSP], val;
	int ret;

	if (d->mem)
		e->gpa_valid = false;
	ret = stack_access(e, sp, d->opsize, &val, false);
	if (!ret && d->mem)
		ret = mv_emul_write_rm(e, val);
	if (ret)
		return ret;
	set_sp(e, sp + d->opsize);
	return d->mem ? MV_EMUL_OK : mv_emul_write_rm(e, val);	/* last, for "pop %rsp" */
}

/* Intel's leave the upper half of 32 bits on the stack as it was, AMD's clear it. */
static int exec_push_sreg(struct mv_emul *e)
{
	return push(e, e->ops->get_selector(e, (e->d.opcode >> 3) & 7));
}

static int exec_pop_sreg(struct mv_emul *e)
{
	unsigned int size = stack_size(e);
	u64 sp = e->gpr[MV_RSP], val;
	int ret;

	ret = stack_access(e, sp, 2, &val, false);
	if (!ret)
		ret = e->ops->load_seg(e, (e->d.opcode >> 3) & 7, val);
	if (!ret)
		mv_emul_set_reg(e, MV_RSP, sp + e->d.opsize, size);
	return ret;
}

static int exec_pusha(struct mv_emul *e)
{
	unsigned int size = e->d.opsize, n;
	u64 sp = e->gpr[MV_RSP];
	int ret;

	for (n = 0; n < 8; n++) {
		sp -= size;
		ret = stack_access(e, sp, size, &e->gpr[n], true);
		if (ret)
			return ret;
	}
	set_sp(e, sp);
	return MV_EMUL_OK;
}

static int exec_popa(struct mv_emul *e)
{
	unsigned int size = e->d.opsize, n;
	u64 sp = e->gpr[MV_RSP], val[8];
	int ret;

	for (n = 8; n--; sp += size) {
		ret = stack_access(e, sp, size, &val[n], false);
		if (ret)
			return ret;
	}
	for (n = 0; n < 8; n++)
		if (n != MV_RSP)
			mv_emul_set_reg(e, n, val[n], size);
	set_sp(e, sp);
	return MV_EMUL_OK;
}

/* In virtual-8086 mode PUSHF and POPF need IOPL 3, or are of CR4.VME (SDM vol. 3B, 20.2.7). */
static int check_flags_access(struct mv_emul *e)
{
	if (e->mode != MV_MODE_V86 || (e->rflags & X86_EFLAGS_IOPL) == X86_EFLAGS_IOPL)
		return MV_EMUL_OK;
	return e->ops->get_cr(e, 4) & X86_CR4_VME ? MV_EMUL_UNKNOWN : mv_emul_raise(e, VEC_GP, 0);
}

static int exec_pushf(struct mv_emul *e)
{
	int ret = check_flags_access(e);

	return ret ? ret : push(e, e->rflags & ~(u64)(X86_EFLAGS_VM | X86_EFLAGS_RF));
}

static int exec_popf(struct mv_emul *e)
{
	u64 sp = e->gpr[MV_RSP], val, mask = X86_EFLAGS_CF | X86_EFLAGS_PF | X86_EFLAGS_AF |
		   X86_EFLAGS_ZF | X86_EFLAGS_SF | X86_EFLAGS_TF | X86_EFLAGS_DF | X86_EFLAGS_OF |
		   X86_EFLAGS_NT;
	int ret = check_flags_access(e);

	if (!ret)
		ret = stack_access(e, sp, e->d.opsize, &val, false);
	if (ret)
		return ret;
	if (e->d.opsize > 2)
		mask |= X86_EFLAGS_AC | X86_EFLAGS_ID;
	if (e->cpl <= (e->rflags & X86_EFLAGS_IOPL) >> X86_EFLAGS_IOPL_BIT)
		mask |= X86_EFLAGS_IF;
	if (!e->cpl)
		mask |= X86_EFLAGS_IOPL;
	e->rflags = (e->rflags & ~mask) | (val & mask);
	set_sp(e, sp + e->d.opsize);
	return MV_EMUL_OK;
}

/*
 * Not with copies of outer frames: no compiler makes them. The end of the new frame has to be
 * writable, too (SDM vol. 2A, "ENTER").
 */
static int exec_enter(struct mv_emul *e)
{
	u64 sp = e->gpr[MV_RSP] - e->d.opsize, end = sp - e->d.imm, la;
	unsigned int size = stack_size(e);
	int ret;

	if (e->d.reg)
		return MV_EMUL_UNKNOWN;
	e->gpa_valid = false;	/* of the frame's end or its beginning, a page apart */
	ret = mv_emul_linear(e, MV_SEG_SS, end & mv_emul_mask(size), e->d.opsize, true, &la);
	if (!ret)
		ret = e->ops->check_write(e, la);
	if (!ret)
		ret = push(e, e->gpr[MV_RBP]);
	if (ret)
		return ret;
	mv_emul_set_reg(e, MV_RBP, sp, e->d.opsize);
	set_sp(e, end);
	return MV_EMUL_OK;
}

static int exec_leave(struct mv_emul *e)
{
	u64 sp = e->gpr[MV_RBP], val;
	int ret = stack_access(e, sp, e->d.opsize, &val, false);

	if (ret)
		return ret;
	set_sp(e, sp + e->d.opsize);
	mv_emul_set_reg(e, MV_RBP, val, e->d.opsize);
	return MV_EMUL_OK;
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

/* CALL, JMP and RET within the segment. */
static int exec_branch(struct mv_emul *e)
{
	struct mv_insn *d = &e->d;
	u64 next = e->rip + d->len, target = (next + d->imm) & mv_emul_mask(d->opsize);
	int ret = MV_EMUL_OK;

	/* With prefix 66 in 64-bit mode: Intel's have 64 bits, AMD's 16. */
	if (e->mode == MV_MODE_LONG64 && d->opsize != 8)
		return MV_EMUL_UNKNOWN;
	if (d->op == OP_CALL && d->mem)
		e->gpa_valid = false;
	if (d->op == OP_RET)
		ret = stack_access(e, e->gpr[MV_RSP], d->opsize, &target, false);
	else if (d->form == FORM_E)
		ret = mv_emul_read_rm(e, &target);
	if (!ret)
		ret = check_target(e, target);
	if (!ret && d->op == OP_CALL)
		ret = push(e, next);
	if (ret)
		return ret;
	if (d->op == OP_RET)
		set_sp(e, e->gpr[MV_RSP] + d->opsize + d->imm);
	e->rip = target - d->len;	/* which mv_emul_run() adds */
	return MV_EMUL_OK;
}

static int (*const stack_insns[])(struct mv_emul *e) = {
	[OP_PUSH] = exec_push, [OP_POP] = exec_pop,
	[OP_PUSH_SREG] = exec_push_sreg, [OP_POP_SREG] = exec_pop_sreg,
	[OP_PUSHA] = exec_pusha, [OP_POPA] = exec_popa,
	[OP_PUSHF] = exec_pushf, [OP_POPF] = exec_popf,
	[OP_ENTER] = exec_enter, [OP_LEAVE] = exec_leave,
	[OP_CALL] = exec_branch, [OP_JMP] = exec_branch, [OP_RET] = exec_branch,
};

int mv_emul_stack(struct mv_emul *e)
{
	return stack_insns[e->d.op](e);
}
