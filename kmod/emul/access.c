// SPDX-License-Identifier: GPL-2.0
/* From an instruction's operand to accesses within a page: segmentation, alignment, replay. */
#include "insn.h"

static int segment_fault(struct mv_emul *e, unsigned int seg)
{
	return mv_emul_raise(e, seg == MV_SEG_SS ? VEC_SS : VEC_GP, 0);
}

/* Limit and type checks outside 64-bit mode (SDM vol. 3A, 5.3 to 5.5). */
static bool segment_allows(struct mv_emul *e, u64 ea, unsigned int len, bool write, u32 limit,
			   u32 attr)
{
	u64 last = ea + len - 1;

	if (e->mode == MV_MODE_REAL || e->mode == MV_MODE_V86)
		return last <= limit;
	if (attr & MV_SEG_UNUSABLE)
		return false;
	if (attr & MV_SEG_TYPE_CODE)
		return !write && attr & MV_SEG_TYPE_RW && last <= limit;
	if (write && !(attr & MV_SEG_TYPE_RW))
		return false;
	if (attr & MV_SEG_TYPE_DOWN)
		return ea > limit && last <= (attr & MV_SEG_DB ? 0xffffffffu : 0xffffu);
	return last <= limit;
}

/* Whether all of @len bytes are in one of the two halves of @bits-bit addresses. */
static bool is_canonical(u64 la, unsigned int len, unsigned int bits)
{
	u64 half = 1ull << (bits - 1);

	return la + half < 2 * half && la + half + len <= 2 * half;
}

static noinline int linear_other(struct mv_emul *e, unsigned int seg, u64 ea, unsigned int len,
				 bool write, u64 *la)
{
	u64 base = 0;
	u32 limit, attr;

	if (e->mode == MV_MODE_LONG64) {
		if (seg >= MV_SEG_FS)
			e->ops->get_seg(e, seg, &base, &limit, &attr);
		if (!is_canonical(base + ea, len, e->ops->get_cr(e, 4) & X86_CR4_LA57 ? 57 : 48))
			return segment_fault(e, seg);
		*la = base + ea;
		return MV_EMUL_OK;
	}
	e->ops->get_seg(e, seg, &base, &limit, &attr);
	if (!segment_allows(e, ea, len, write, limit, attr))
		return segment_fault(e, seg);
	*la = (u32)(base + ea);
	return MV_EMUL_OK;
}

/*
 * Translates @len bytes at @ea in segment @seg, all of which the segment must allow, to a linear
 * address. Outside 64-bit mode they may wrap at 4 GiB.
 */
int mv_emul_linear(struct mv_emul *e, unsigned int seg, u64 ea, unsigned int len, bool write,
		   u64 *la)
{
	if (likely(e->mode == MV_MODE_LONG64 && seg < MV_SEG_FS && is_canonical(ea, len, 48))) {
		*la = ea;
		return MV_EMUL_OK;
	}
	return linear_other(e, seg, ea, len, write, la);
}

/* #AC, where the guest has asked for it (SDM vol. 3A, 6.15, "Interrupt 17"). */
int mv_emul_align(struct mv_emul *e, u64 la, unsigned int len)
{
	if (likely(!(la & (len - 1))) || e->cpl != 3 || !(e->rflags & X86_EFLAGS_AC) ||
	    !(e->ops->get_cr(e, 0) & X86_CR0_AM))
		return MV_EMUL_OK;
	return mv_emul_raise(e, VEC_AC, 0);
}

static noinline int ask(struct mv_emul *e, u64 la, u64 *val, unsigned int len, bool for_write)
{
	struct mv_emul_read *r = &e->reads[e->next_read];
	int ret;

	*val = 0;
	ret = e->ops->read(e, la, val, len, for_write);
	if (ret != MV_EMUL_IO)
		return ret;
	if (e->next_read == MV_EMUL_READS_MAX)
		return MV_EMUL_UNKNOWN;
	r->la = la;
	r->len = len;
	e->nr_reads = e->next_read;
	return ret;
}

/* What userspace has answered to an earlier attempt is not asked again. */
static __always_inline int read_fragment(struct mv_emul *e, u64 la, u64 *val, unsigned int len,
					 bool for_write)
{
	struct mv_emul_read *r = &e->reads[e->next_read];

	if (e->next_read >= e->nr_reads || r->la != la || r->len != len)
		return ask(e, la, val, len, for_write);
	*val = r->data;
	e->next_read++;
	return MV_EMUL_OK;
}

void mv_emul_complete_read(struct mv_emul *e, u64 data)
{
	e->reads[e->nr_reads++].data = data;
}

static noinline int read_across(struct mv_emul *e, u64 la, u64 *val, unsigned int len,
				bool for_write)
{
	unsigned int first = 0x1000 - (la & 0xfff);
	u64 high;
	int ret;

	e->gpa_valid = false;	/* the hint does not tell which page it is of */
	ret = read_fragment(e, la, val, first, for_write);
	if (ret)
		return ret;
	ret = read_fragment(e, mv_emul_next_page(e, la), &high, len - first, for_write);
	*val |= high << (8 * first);
	return ret;
}

/* Reads 1 to 8 bytes. */
int mv_emul_read(struct mv_emul *e, u64 la, u64 *val, unsigned int len, bool for_write)
{
	if (unlikely(mv_emul_crosses_page(la, len)))
		return read_across(e, la, val, len, for_write);
	return read_fragment(e, la, val, len, for_write);
}

static int posted(struct mv_emul *e, int ret)
{
	if (ret != MV_EMUL_POSTED)
		return ret;
	e->posted = true;
	return MV_EMUL_OK;
}

static noinline int write_across(struct mv_emul *e, u64 la, u64 val, unsigned int len)
{
	unsigned int first = 0x1000 - (la & 0xfff);
	int ret;

	e->gpa_valid = false;
	ret = e->ops->check_write(e, mv_emul_next_page(e, la));
	if (ret)
		return ret;
	ret = posted(e, e->ops->write(e, la, &val, first));
	if (ret)
		return ret;
	val >>= 8 * first;
	return posted(e, e->ops->write(e, mv_emul_next_page(e, la), &val, len - first));
}

/* Writes 1 to 8 bytes; nothing if any of them cannot be. */
int mv_emul_write(struct mv_emul *e, u64 la, u64 val, unsigned int len)
{
	if (unlikely(mv_emul_crosses_page(la, len)))
		return write_across(e, la, val, len);
	return posted(e, e->ops->write(e, la, &val, len));
}

/*
 * The write of a locked operation: MV_EMUL_RETRY if memory has changed since @old was read. A split
 * lock, across two cache lines, is a plain write: it would stop all processors, and a host that
 * detects it does not survive an #AC of its own (SDM vol. 3A, 8.1.2.3). 16 bytes are aligned.
 */
int mv_emul_exchange(struct mv_emul *e, u64 la, const u64 *old, const u64 *new, unsigned int len)
{
	if (unlikely((la & (MV_EMUL_LINE - 1)) + len > MV_EMUL_LINE))
		return mv_emul_write(e, la, *new, len);
	return posted(e, e->ops->cmpxchg(e, la, old, new, len));
}
