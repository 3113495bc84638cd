// SPDX-License-Identifier: GPL-2.0-only
/*
 * Task switches by hardware, which leave the guest in any case on VT-x: SDM vol. 3A, chapter 8;
 * what the processor has checked before, vol. 3C, 26.4.2.
 *
 * What can be refused is looked at first: then the fault is the old task's. From the change of TR
 * on, faults are the new one's, before its first instruction.
 */
#include <linux/mm.h>
#include <asm/debugreg.h>
#include <asm/trapnr.h>

#include "base/backend.h"
#include "base/regs.h"
#include "cpu/cr.h"
#include "cpu/debug.h"
#include "cpu/event.h"
#include "exit/handler.h"
#include "mmu/memory.h"

#define TYPE_BUSY 2 /* of a TSS descriptor's type: in use */
#define TYPE_32 8 /* not an 80286's */
#define TYPE_LDT 2
#define TYPE_CONFORMING 4

#define EFLAGS_LOADED                                                                            \
	(X86_EFLAGS_CF | X86_EFLAGS_PF | X86_EFLAGS_AF | X86_EFLAGS_ZF | X86_EFLAGS_SF |         \
	 X86_EFLAGS_TF | X86_EFLAGS_IF | X86_EFLAGS_DF | X86_EFLAGS_OF | X86_EFLAGS_IOPL |       \
	 X86_EFLAGS_NT | X86_EFLAGS_RF | X86_EFLAGS_VM | X86_EFLAGS_AC | X86_EFLAGS_VIF |        \
	 X86_EFLAGS_VIP | X86_EFLAGS_ID)

/* DR7: the enable bits that are local to a task, L0 to L3 and LE. */
#define DR7_LOCAL 0x155ull

/* Figures 8-2 and 8-10: what a switch loads, in dwords, or in words without FS and GS. */
enum { T_EIP, T_EFLAGS, T_GPR, T_SEG = T_GPR + 8, T_LDT = T_SEG + 6, T_NR };
#define TSS_CR3 0x1c
#define TSS_TRAP 0x64
#define TSS_SIZE 104

static const struct tss_format {
	u16 limit; /* the least */
	u8 width, first; /* of a field; where they begin */
	u8 nr_segs;
} formats[] = {
	{ 0x2b, 2, 0x0e, 4 },
	{ TSS_SIZE - 1, 4, 0x20, 6 },
};

static const struct tss_format *format(const struct kvm_segment *tss)
{
	return &formats[!!(tss->type & TYPE_32)];
}

struct task_switch {
	struct mv_vcpu *vcpu;
	u8 by; /* enum mv_task_switch_by */
	bool nests; /* the new task returns to the old one */
	u8 ext; /* in error codes: the event is not an instruction's */
	u8 cpl; /* of the new task */
	struct kvm_segment old, tss;
	u8 image[TSS_SIZE]; /* of the new TSS */
	u32 field[T_NR]; /* from there */
};

/* These return 0, 1 when the guest has got a fault, or -EFAULT where there is no memory. */

static int fault(struct task_switch *t, u8 vector, u16 sel)
{
	mv_queue_exception_e(t->vcpu, vector, (sel & ~3) | t->ext);
	return 1;
}

static int copy(struct task_switch *t, u32 la, void *buf, unsigned int len, u32 access, bool store)
{
	struct mv_walk_fault pf;
	unsigned int n;
	gpa_t gpa;
	int r;

	for (; len; la += n, buf += n, len -= n) {
		n = min_t(unsigned int, len, PAGE_SIZE - offset_in_page(la));
		if (mv_walk(t->vcpu, la, access, &gpa, &pf)) {
			mv_queue_page_fault(t->vcpu, la, pf.error);
			return 1;
		}
		r = store ? mv_write_guest(t->vcpu->vm, gpa, buf, n) :
			    mv_read_guest(t->vcpu->vm, gpa, buf, n);
		if (r)
			return r;
	}
	return 0;
}

/* The processor reads and writes its tables and a TSS as a supervisor. */
static int read(struct task_switch *t, u32 la, void *buf, unsigned int len)
{
	return copy(t, la, buf, len, MV_ACCESS_READ | MV_ACCESS_IMPLICIT, false);
}

static int read_for_write(struct task_switch *t, u32 la, void *buf, unsigned int len)
{
	return copy(t, la, buf, len, MV_ACCESS_WRITE | MV_ACCESS_IMPLICIT, false);
}

static int write(struct task_switch *t, u32 la, void *buf, unsigned int len)
{
	return copy(t, la, buf, len, MV_ACCESS_WRITE | MV_ACCESS_IMPLICIT, true);
}

/* ---- descriptors ---- */

/* @vector: what the guest gets where there is none; its byte of access rights is at @la + 5 */
static int read_descriptor(struct task_switch *t, u16 sel, u8 vector, struct kvm_segment *seg,
			   u32 *la)
{
	struct kvm_segment ldt = {};
	struct kvm_dtable table;
	u64 d;
	int r;

	mv_backend->get_dt(t->vcpu, false, &table);
	if (sel & 4) {
		mv_backend->get_seg(t->vcpu, MV_LDTR, &ldt);
		table.base = ldt.base;
		table.limit = min(ldt.limit, 0xffffu);
	}
	if (!(sel & ~3) || ldt.unusable || (sel | 7) > table.limit)
		return fault(t, vector, sel);
	*la = table.base + (sel & ~7);
	r = read(t, *la, &d, sizeof(d));
	if (r)
		return r;
	*seg = mv_descriptor_segment(sel, d);
	seg->l = 0; /* it has no meaning outside IA-32e mode */
	return 0;
}

static u8 access_rights(const struct kvm_segment *seg)
{
	return seg->type | seg->s << 4 | seg->dpl << 5 | seg->present << 7;
}

static int load_ldt(struct task_switch *t)
{
	u16 sel = t->field[T_LDT];
	struct kvm_segment ldt;
	u32 la;
	int r;

	if (!(sel & ~3))
		return 0;
	if (sel & 4)
		return fault(t, X86_TRAP_TS, sel);
	r = read_descriptor(t, sel, X86_TRAP_TS, &ldt, &la);
	if (r)
		return r;
	if (ldt.s || ldt.type != TYPE_LDT || !ldt.present)
		return fault(t, X86_TRAP_TS, sel);
	mv_backend->set_seg(t->vcpu, MV_LDTR, &ldt);
	return 0;
}

/* Whether the descriptor is of a segment that @reg may have. Table 8-1. */
static bool fits(const struct task_switch *t, enum mv_seg reg, const struct kvm_segment *seg)
{
	u8 rpl = seg->selector & 3;
	bool code = seg->type & MV_SEG_TYPE_CODE;
	bool conforming = code && (seg->type & TYPE_CONFORMING);

	if (!seg->s)
		return false;
	switch (reg) {
	case MV_CS:
		return code && (conforming ? seg->dpl <= rpl : seg->dpl == rpl);
	case MV_SS:
		return !code && (seg->type & MV_SEG_TYPE_RW) && rpl == t->cpl && seg->dpl == t->cpl;
	default:
		return (!code || (seg->type & MV_SEG_TYPE_RW)) &&
		       (conforming || (seg->dpl >= t->cpl && seg->dpl >= rpl));
	}
}

static int load_segment(struct task_switch *t, enum mv_seg reg)
{
	u16 sel = t->field[T_SEG + reg];
	struct kvm_segment seg;
	u8 rights;
	u32 la;
	int r;

	if (!(sel & ~3) && reg != MV_CS && reg != MV_SS)
		return 0;
	r = read_descriptor(t, sel, X86_TRAP_TS, &seg, &la);
	if (r)
		return r;
	if (!fits(t, reg, &seg))
		return fault(t, X86_TRAP_TS, sel);
	if (!seg.present)
		return fault(t, reg == MV_SS ? X86_TRAP_SS : X86_TRAP_NP, sel);
	if (!(seg.type & 1)) {
		seg.type |= 1; /* accessed */
		rights = access_rights(&seg);
		r = write(t, la + 5, &rights, 1);
		if (r)
			return r;
	}
	mv_backend->set_seg(t->vcpu, reg, &seg);
	return 0;
}

/* ---- the old task ---- */

/*
 * Of the instruction that leads to another task, where the processor does not tell: far CALL or
 * JMP, IRET, INT n, INT3, INTO. There is no 64-bit mode. Return: 0: it is none of them any more.
 */
static unsigned int insn_len(struct mv_vcpu *vcpu)
{
	u32 access = MV_ACCESS_EXEC | (mv_cpl(vcpu) == 3 ? MV_ACCESS_USER : 0);
	bool op32 = mv_call(code_rights)(vcpu) & MV_SEG_DB, addr32 = op32, sib = false;
	u32 la = mv_linear_rip(vcpu), disp;
	u8 b[MV_EMUL_INSN_MAX + 2] = {}, rm; /* and a ModRM and SIB behind 14 prefixes */
	unsigned int i;

	for (i = 0; i < MV_EMUL_INSN_MAX; i++)
		if (mv_fetch(vcpu, (u32)(la + i), access, &b[i], 1, NULL))
			break;
	for (i = 0; i < MV_EMUL_INSN_MAX; i++) {
		switch (b[i]) {
		case 0x66:
			op32 = !op32;
			break;
		case 0x67:
			addr32 = !addr32;
			break;
		case 0x26: case 0x2e: case 0x36: case 0x3e: case 0x64: case 0x65:
		case 0xf0: case 0xf2: case 0xf3:
			break;
		case 0x9a: case 0xea:
			return i + 1 + (op32 ? 4 : 2) + 2;
		case 0xcc: case 0xce: case 0xcf:
			return i + 1;
		case 0xcd:
			return i + 2;
		case 0xff:
			rm = b[i + 1] & 7;
			disp = b[i + 1] >> 6;
			sib = addr32 && rm == 4;
			if (sib)
				rm = b[i + 2] & 7;
			/* Without a base there is a displacement of full size. */
			if (!disp)
				disp = rm == (addr32 ? 5 : 6) ? 2 : 0;
			return i + 2 + sib + (disp == 2 && addr32 ? 4 : disp);
		default:
			return 0;
		}
	}
	return 0;
}

/* INT n, INT3 and INTO may use only gates of their level; AMD does not say that it looks first. */
static int check_gate(struct task_switch *t)
{
	const struct mv_pending *p = &t->vcpu->pending;
	u8 vector = p->irq_injected ? p->irq_vector : p->exc_vector, rights;
	struct kvm_dtable idt;
	int r;

	mv_backend->get_dt(t->vcpu, true, &idt);
	r = read(t, idt.base + vector * 8 + 5, &rights, 1);
	if (r)
		return r;
	/* Bit 1 of the error code: it is of the IDT. */
	if ((rights >> 5 & 3) < mv_cpl(t->vcpu)) {
		mv_queue_exception_e(t->vcpu, X86_TRAP_GP, vector * 8 | 2);
		return 1;
	}
	return 0;
}

/* The new TSS, its image into @t. @la: of its descriptor */
static int find_tss(struct task_switch *t, u32 *la)
{
	bool iret = t->by == MV_TASK_IRET;
	u8 vector = iret ? X86_TRAP_TS : X86_TRAP_GP;
	u16 sel = t->vcpu->exit.task.sel;
	const struct tss_format *f;
	int r;

	if (sel & 4)
		return fault(t, vector, sel);
	r = read_descriptor(t, sel, vector, &t->tss, la);
	if (r)
		return r;
	/* 1, 3, 9 and 11 are of a TSS. */
	if (t->tss.s || (t->tss.type & 5) != 1 || !!(t->tss.type & TYPE_BUSY) != iret)
		return fault(t, vector, sel);
	if (!t->tss.present)
		return fault(t, X86_TRAP_NP, sel);
	f = format(&t->tss);
	if (t->tss.limit < f->limit)
		return fault(t, X86_TRAP_TS, sel);
	return read(t, t->tss.base, t->image, f->limit + 1);
}

static u32 get_field(const struct tss_format *f, const void *p, int i)
{
	return f->width == 4 ? ((const u32 *)p)[i] : ((const u16 *)p)[i];
}

static void put_field(const struct tss_format *f, void *p, int i, u32 val)
{
	if (f->width == 4)
		((u32 *)p)[i] = val;
	else
		((u16 *)p)[i] = val;
}

/* The registers to the old TSS, whose bytes are in @image. */
static int save_task(struct task_switch *t, u32 eip, u8 *image)
{
	const struct tss_format *f = format(&t->old);
	void *p = image + f->first;
	u32 flags = mv_rflags(t->vcpu);
	struct kvm_segment seg;
	int i;

	if (t->vcpu->guest_debug & KVM_GUESTDBG_SINGLESTEP)
		flags &= ~X86_EFLAGS_TF;
	if (t->by == MV_TASK_IRET)
		flags &= ~X86_EFLAGS_NT;
	put_field(f, p, T_EIP, eip);
	put_field(f, p, T_EFLAGS, flags);
	for (i = 0; i < 8; i++)
		put_field(f, p, T_GPR + i, mv_gpr(t->vcpu, i));
	for (i = 0; i < f->nr_segs; i++) {
		mv_backend->get_seg(t->vcpu, i, &seg);
		put_field(f, p, T_SEG + i, seg.selector);
	}
	return write(t, t->old.base + f->first, p, (T_SEG + f->nr_segs) * f->width);
}

/* The old task is free again, unless it is to be returned to. */
static int clear_old_busy(struct task_switch *t)
{
	struct kvm_dtable gdt;
	u8 rights;
	u32 la;
	int r;

	mv_backend->get_dt(t->vcpu, false, &gdt);
	la = gdt.base + (t->old.selector & ~7) + 5;
	/* Userspace may have set a TR that is in no table. */
	if (t->nests || !(t->old.selector & ~7) || (t->old.selector | 7) > gdt.limit)
		return 0;
	r = read_for_write(t, la, &rights, 1);
	if (r)
		return r;
	rights &= ~TYPE_BUSY;
	return write(t, la, &rights, 1);
}

/* All that can go wrong in the old task's name, then what it leaves behind. */
static int leave_task(struct task_switch *t, u32 eip)
{
	const struct tss_format *f;
	u8 image[TSS_SIZE], rights;
	u32 tss_la;
	int r;

	mv_backend->get_seg(t->vcpu, MV_TR, &t->old);
	f = format(&t->old);
	r = find_tss(t, &tss_la);
	if (r)
		return r;
	if (t->old.limit < f->limit)
		return fault(t, X86_TRAP_TS, t->old.selector);
	r = read_for_write(t, t->old.base, image, f->limit + 1);
	if (!r && t->nests)
		r = read_for_write(t, t->tss.base, t->image, 2);
	if (!r)
		r = read_for_write(t, tss_la + 5, &rights, 1);
	if (!r)
		r = clear_old_busy(t);
	if (!r)
		r = save_task(t, eip, image);
	if (!r && t->nests)
		r = write(t, t->tss.base, &t->old.selector, 2);
	if (r || t->by == MV_TASK_IRET)
		return r;
	t->tss.type |= TYPE_BUSY;
	rights = access_rights(&t->tss);
	return write(t, tss_la + 5, &rights, 1);
}

/* ---- the new task ---- */

static void parse_image(struct task_switch *t)
{
	const struct tss_format *f = format(&t->tss);
	const void *p = t->image + f->first;
	int i;

	for (i = 0; i < T_SEG + f->nr_segs; i++)
		t->field[i] = get_field(f, p, i);
	t->field[T_LDT] = get_field(f, p, T_SEG + f->nr_segs);
}

/* Of the segments the selectors only, until their descriptors have been found to be right. */
static void load_registers(struct task_switch *t)
{
	struct mv_vcpu *vcpu = t->vcpu;
	u32 flags = (t->field[T_EFLAGS] & EFLAGS_LOADED) | X86_EFLAGS_FIXED;
	struct kvm_segment seg;
	enum mv_seg reg;
	int i;

	mv_backend->set_seg(vcpu, MV_TR, &t->tss);
	mv_backend->set_cr0(vcpu, mv_cr0(vcpu) | X86_CR0_TS);
	vcpu->dr7 &= ~DR7_LOCAL;
	mv_backend->update_debug(vcpu);

	if (t->nests)
		flags |= X86_EFLAGS_NT;
	t->cpl = flags & X86_EFLAGS_VM ? 3 : t->field[T_SEG + MV_CS] & 3;
	if (vcpu->guest_debug & KVM_GUESTDBG_SINGLESTEP)
		flags |= X86_EFLAGS_TF;
	mv_write_rip(vcpu, t->field[T_EIP]);
	mv_write_rflags(vcpu, flags);
	for (i = 0; i < 8; i++)
		mv_set_gpr(vcpu, i, t->field[T_GPR + i]);

	for (reg = MV_ES; reg <= MV_GS; reg++) {
		mv_backend->get_seg(vcpu, reg, &seg);
		seg.selector = t->field[T_SEG + reg];
		seg.dpl = t->cpl;
		if (flags & X86_EFLAGS_VM)
			seg = (struct kvm_segment) {
				.base = seg.selector << 4, .limit = 0xffff, .dpl = 3,
				.selector = seg.selector, .type = 3, .s = 1, .present = 1,
			};
		else if (reg == MV_CS)
			seg.type = 11; /* a conforming one's would not do with every CPL */
		else
			seg.unusable = 1;
		mv_backend->set_seg(vcpu, reg, &seg);
	}
	seg = (struct kvm_segment) { .selector = t->field[T_LDT], .unusable = 1 };
	mv_backend->set_seg(vcpu, MV_LDTR, &seg);
}

static int load_descriptors(struct task_switch *t)
{
	static const u8 order[] = { MV_CS, MV_SS, MV_DS, MV_ES, MV_FS, MV_GS };
	struct mv_vcpu *vcpu = t->vcpu;
	struct kvm_segment cs;
	int i, r;

	if ((t->tss.type & TYPE_32) && mv_cr0_has(vcpu, X86_CR0_PG) &&
	    mv_set_cr3(vcpu, *(u32 *)(t->image + TSS_CR3)))
		return mv_inject_gp(vcpu); /* SDM vol. 3A, 4.4.1 */
	r = load_ldt(t);
	for (i = 0; i < ARRAY_SIZE(order) && !r && !(mv_rflags(vcpu) & X86_EFLAGS_VM); i++)
		r = load_segment(t, order[i]);
	if (r)
		return r;
	mv_backend->get_seg(vcpu, MV_CS, &cs);
	if (t->field[T_EIP] > cs.limit)
		return fault(t, X86_TRAP_GP, 0);
	return 0;
}

/* The exception's error code onto the new task's stack. */
static int push_error(struct task_switch *t)
{
	u32 error = t->vcpu->pending.exc_error, width = format(&t->tss)->width, mask, low, high, sp;
	struct kvm_segment ss;
	int r;

	mv_backend->get_seg(t->vcpu, MV_SS, &ss);
	mask = ss.db ? ~0u : 0xffff;
	sp = (mv_gpr(t->vcpu, MV_RSP) - width) & mask;
	low = ss.type & MV_SEG_TYPE_DOWN ? ss.limit + 1 : 0;
	high = ss.type & MV_SEG_TYPE_DOWN ? mask : ss.limit;
	if (sp < low || sp > high || high - sp < width - 1)
		return fault(t, X86_TRAP_SS, 0);
	r = copy(t, ss.base + sp, &error, width,
		 MV_ACCESS_WRITE | (t->cpl == 3 ? MV_ACCESS_USER : 0), true);
	if (!r)
		mv_set_gpr(t->vcpu, MV_RSP, (mv_gpr(t->vcpu, MV_RSP) & ~mask) | sp);
	return r;
}

static int switch_task(struct task_switch *t, u32 eip, bool nmi)
{
	struct mv_pending *p = &t->vcpu->pending;
	int r = leave_task(t, eip);

	if (r)
		return r;
	parse_image(t);
	load_registers(t);
	if (nmi || t->by == MV_TASK_IRET)
		mv_backend->set_nmi_masked(t->vcpu, nmi);
	r = load_descriptors(t);
	if (!r && p->exc_injected && p->exc_has_error)
		r = push_error(t);
	/* Up to here a fault was one in the delivery of the exception. */
	if (!r)
		p->exc_injected = false;
	return r;
}

/* The trap that a TSS may ask for, and the debugger's; return as an exit handler. */
static int trap(struct task_switch *t)
{
	u64 dr6 = (t->tss.type & TYPE_32) && (t->image[TSS_TRAP] & 1) ? DR_SWITCH : 0;
	u64 step = t->vcpu->guest_debug & KVM_GUESTDBG_SINGLESTEP ? DR_STEP : 0;

	if ((dr6 | step) && mv_debug_exit(t->vcpu, X86_TRAP_DB, dr6 | step))
		return 0;
	if (dr6)
		mv_queue_exception_p(t->vcpu, X86_TRAP_DB, dr6);
	return 1;
}

/**
 * mv_task_switch() - a far JMP or CALL, an IRET or an event that leads to another task
 * @vcpu: whose exit.task it is. An event is among the pending ones as for being injected again.
 *
 * Return: as an exit handler.
 */
int mv_task_switch(struct mv_vcpu *vcpu)
{
	struct mv_pending *p = &vcpu->pending;
	struct task_switch t = { .vcpu = vcpu, .by = vcpu->exit.task.by };
	bool soft = p->exc_injected ? p->exc_vector == BP_VECTOR || p->exc_vector == OF_VECTOR :
				      p->irq_injected && p->irq_soft;
	bool nmi = p->nmi_injected;
	unsigned int len = 0;
	int r = 0;

	if (t.by != MV_TASK_GATE)
		len = vcpu->exit.insn_len ?: mv_call(skip_len)(vcpu);
	else if (soft)
		len = p->insn_len;
	if (!len && (soft || t.by != MV_TASK_GATE)) {
		len = insn_len(vcpu);
		if (!len) {
			p->irq_injected = false;
			p->exc_injected = false;
			return mv_not_emulated(vcpu);
		}
	}
	t.nests = t.by == MV_TASK_CALL || t.by == MV_TASK_GATE;
	t.ext = t.by == MV_TASK_GATE && !soft;

	if (t.by == MV_TASK_GATE && soft)
		r = check_gate(&t);
	/* A fault takes an interrupt's place; with an exception it may be a double fault. */
	p->irq_injected = false;
	p->nmi_injected = false;
	if (mv_call(get_int_shadow)(vcpu))
		mv_backend->set_int_shadow(vcpu, 0);
	if (!r)
		r = switch_task(&t, mv_rip(vcpu) + len, nmi);
	if (r < 0)
		return mv_not_emulated(vcpu);
	return r ? 1 : trap(&t);
}
