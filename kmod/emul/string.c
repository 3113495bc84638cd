// SPDX-License-Identifier: GPL-2.0
/* String instructions, IN and OUT. */
#include "insn.h"

/* A repeated string instruction lets interrupts in after so many iterations. */
#define ITERATIONS_MAX	256

static void advance(struct mv_emul *e, unsigned int reg, unsigned int bytes)
{
	u64 val = e->gpr[reg];

	val = e->rflags & X86_EFLAGS_DF ? val - bytes : val + bytes;
	mv_emul_set_reg(e, reg, val, e->d.addrsize);
}

static u64 repeat_count(struct mv_emul *e)
{
	return e->d.rep ? e->gpr[MV_RCX] & mv_emul_mask(e->d.addrsize) : 1;
}

static int unit_address(struct mv_emul *e, unsigned int seg, unsigned int reg, bool write, u64 *la)
{
	struct mv_insn *d = &e->d;
	u64 ea = e->gpr[reg] & mv_emul_mask(d->addrsize);
	int ret;

	ret = mv_emul_linear(e, seg, ea, d->opsize, write, la);
	return ret ? ret : mv_emul_align(e, *la, d->opsize);
}

static int read_unit(struct mv_emul *e, unsigned int seg, unsigned int reg, u64 *val)
{
	int ret;
	u64 la;

	ret = unit_address(e, seg, reg, false, &la);
	return ret ? ret : mv_emul_read(e, la, val, e->d.opsize, false);
}

static int write_unit(struct mv_emul *e, u64 val)
{
	int ret;
	u64 la;

	ret = unit_address(e, MV_SEG_ES, MV_RDI, true, &la);
	return ret ? ret : mv_emul_write(e, la, val, e->d.opsize);
}

static int iterate(struct mv_emul *e)
{
	struct mv_insn *d = &e->d;
	unsigned int size = d->opsize;
	bool source = d->op == OP_MOVS || d->op == OP_CMPS || d->op == OP_LODS;
	u64 a = e->gpr[MV_RAX] & mv_emul_mask(size), b;
	int ret = MV_EMUL_OK;

	if (source)
		ret = read_unit(e, d->seg, MV_RSI, &a);
	if (ret)
		return ret;
	if (d->op == OP_MOVS || d->op == OP_STOS)
		ret = write_unit(e, a);
	else if (d->op == OP_CMPS || d->op == OP_SCAS)
		ret = read_unit(e, MV_SEG_ES, MV_RDI, &b);
	if (ret)
		return ret;

	if (d->op == OP_CMPS || d->op == OP_SCAS)
		mv_emul_alu(OP_CMP, a, b, size, &e->rflags);
	if (d->op == OP_LODS)
		mv_emul_set_reg(e, MV_RAX, a, size);
	else
		advance(e, MV_RDI, size);
	if (source)
		advance(e, MV_RSI, size);
	return MV_EMUL_OK;
}

/* REPE goes on while equal, REPNE while not. */
static bool compare_ends(struct mv_emul *e)
{
	bool equal = e->rflags & X86_EFLAGS_ZF;

	if (e->d.op != OP_CMPS && e->d.op != OP_SCAS)
		return false;
	return equal != (e->d.rep == 0xf3);
}

/* MOVS, CMPS, STOS, LODS, SCAS. Each iteration is committed for itself. */
int mv_emul_string(struct mv_emul *e)
{
	struct mv_insn *d = &e->d;
	u64 count = repeat_count(e);
	unsigned int i;
	int ret;

	if (d->op == OP_MOVS || d->op == OP_CMPS)
		e->gpa_valid = false;	/* the hint does not tell which operand it is of */

	for (i = 0; count; i++) {
		/* Userspace sees a posted write, a debugger each iteration. */
		if (i == ITERATIONS_MAX || (i && (e->posted || e->rflags & X86_EFLAGS_TF)))
			return MV_EMUL_REP;
		ret = iterate(e);
		if (ret)
			return ret;
		e->nr_reads = 0;
		e->next_read = 0;
		if (!d->rep)
			break;
		mv_emul_set_reg(e, MV_RCX, --count, d->addrsize);
		if (compare_ends(e))
			break;
	}
	return MV_EMUL_OK;
}

static int port_out(struct mv_emul *e, unsigned int count)
{
	int ret = e->ops->pio_out(e, e->d.imm, e->d.opsize, count);

	if (ret != MV_EMUL_POSTED)
		return ret;
	e->posted = true;
	return MV_EMUL_OK;
}

/* IN and OUT */
int mv_emul_port(struct mv_emul *e)
{
	struct mv_insn *d = &e->d;
	int ret;

	if (d->op == OP_OUT) {
		*(u64 *)e->pio_data = e->gpr[MV_RAX];
		return port_out(e, 1);
	}
	ret = e->ops->pio_in(e, d->imm, d->opsize, 1);
	if (!ret)
		mv_emul_set_reg(e, MV_RAX, *(u64 *)e->pio_data, d->opsize);
	return ret;
}

/* How many of @count units from @ea on can go at once: upwards, within a page and the segment. */
static unsigned int batch(struct mv_emul *e, unsigned int seg, u64 ea, u64 la, u64 count)
{
	struct mv_insn *d = &e->d;
	unsigned int n = (0x1000 - (la & 0xfff)) / d->opsize;
	u64 to_wrap = (mv_emul_mask(d->addrsize) - ea) / d->opsize;

	if (e->rflags & (X86_EFLAGS_DF | X86_EFLAGS_TF))
		return 1;
	if (n > count)
		n = count;
	if (n > to_wrap)
		n = to_wrap;
	if (n < 2 || mv_emul_linear(e, seg, ea, n * d->opsize, d->op == OP_INS, &la))
		return 1;
	return n;
}

/* The port is not read before it is sure that the data find their place. */
static int input(struct mv_emul *e, u64 la, unsigned int n)
{
	unsigned int size = e->d.opsize, len = n * size;
	int ret;

	ret = e->ops->check_write(e, la);
	if (!ret && mv_emul_crosses_page(la, len))
		ret = e->ops->check_write(e, mv_emul_next_page(e, la));
	if (!ret)
		ret = e->ops->pio_in(e, e->d.imm, size, n);
	if (ret)
		return ret;
	if (len > 8)
		return e->ops->write(e, la, e->pio_data, len);
	return mv_emul_write(e, la, *(u64 *)e->pio_data, len);
}

static int output(struct mv_emul *e, u64 la, unsigned int n)
{
	unsigned int size = e->d.opsize, len = n * size;
	int ret;

	ret = len > 8 ? e->ops->read(e, la, e->pio_data, len, false) :
			mv_emul_read(e, la, e->pio_data, len, false);
	return ret ? ret : port_out(e, n);
}

/* INS and OUTS, a page at most. */
int mv_emul_port_string(struct mv_emul *e)
{
	struct mv_insn *d = &e->d;
	bool in = d->op == OP_INS;
	unsigned int seg = in ? MV_SEG_ES : d->seg;
	unsigned int reg = in ? MV_RDI : MV_RSI;
	u64 count = repeat_count(e), la;
	unsigned int n;
	int ret;

	if (!count)
		return MV_EMUL_OK;
	e->gpa_valid = false;	/* the exit was for the port */
	ret = unit_address(e, seg, reg, in, &la);
	if (ret)
		return ret;
	n = batch(e, seg, e->gpr[reg] & mv_emul_mask(d->addrsize), la, count);
	ret = in ? input(e, la, n) : output(e, la, n);
	if (ret)
		return ret;

	advance(e, reg, n * d->opsize);
	if (d->rep)
		mv_emul_set_reg(e, MV_RCX, count - n, d->addrsize);
	return count > n ? MV_EMUL_REP : MV_EMUL_OK;
}

int mv_emul_string_io(struct mv_emul *e, const struct mv_string_io *io)
{
	struct mv_insn *d = &e->d;
	u8 seg = io->seg, addrsize = io->addrsize;
	int ret;

	if (!addrsize || (seg == MV_SEG_NONE && !io->in)) {
		ret = mv_emul_decode(e);
		if (ret < 0)
			return ret;
		seg = d->seg;
		addrsize = d->addrsize;
	}
	*d = (struct mv_insn) {
		.op = io->in ? OP_INS : OP_OUTS,
		.rep = io->rep ? 0xf3 : 0,
		.opsize = io->size,
		.addrsize = addrsize,
		.seg = seg,
		.imm = io->port,
		.len = io->insn_len,
	};
	return mv_emul_run(e);
}
