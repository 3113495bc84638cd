// SPDX-License-Identifier: GPL-2.0-only
/* The instruction emulator's view of a vCPU: memory, devices, ports, and userspace's part. */
#include <asm/fpu/api.h>

#include "base/backend.h"
#include "base/regs.h"
#include "cpu/cr.h"
#include "cpu/event.h"
#include "exit/handler.h"
#include "io/io.h"
#include "irq/irq.h"
#include "mmu/memory.h"

static struct mv_vcpu *to_vcpu(struct mv_emul *e)
{
	return container_of(e, struct mv_vcpu, emul);
}

static int walk_failed(struct mv_emul *e, u64 la, const struct mv_walk_fault *fault)
{
	e->exception.vector = fault->vector;
	e->exception.has_error_code = true;
	e->exception.error_code = fault->error;
	e->exception.cr2 = la;
	return MV_EMUL_FAULT;
}

/*
 * Where linear address @la is. *@mmio: certainly no RAM, because the exit was
 * an access to it that had no memory slot.
 */
static int translate(struct mv_emul *e, u64 la, u32 access, gpa_t *gpa, bool *mmio)
{
	struct mv_walk_fault fault;

	*mmio = mv_emul_hint(e, la, access & MV_ACCESS_WRITE, gpa);
	if (*mmio)
		return MV_EMUL_OK;
	if (e->cpl == 3)
		access |= MV_ACCESS_USER;
	if (mv_walk(to_vcpu(e), la, access, gpa, &fault))
		return walk_failed(e, la, &fault);
	return MV_EMUL_OK;
}

static int op_fetch(struct mv_emul *e, u64 la, u8 *buf, unsigned int len)
{
	u32 access = MV_ACCESS_EXEC | (e->cpl == 3 ? MV_ACCESS_USER : 0);
	struct mv_walk_fault fault;
	int r = mv_fetch(to_vcpu(e), la, access, buf, len, &fault);

	if (r < 0)
		return walk_failed(e, la, &fault);
	return r ? MV_EMUL_UNKNOWN : len;
}

/* A device of the module, if it has one there. */
static bool kernel_mmio(struct mv_vcpu *vcpu, gpa_t gpa, void *data, int len, bool write)
{
	if (vcpu->lapic && mv_lapic_mmio(vcpu, gpa, data, len, write))
		return true;
	return !mv_bus_access(vcpu, MV_MMIO_BUS, gpa, len, data, write);
}

static int op_read(struct mv_emul *e, u64 la, void *buf, unsigned int len, bool for_write)
{
	struct mv_vcpu *vcpu = to_vcpu(e);
	struct mv_mmio *m = &vcpu->mmio;
	gpa_t gpa;
	bool mmio;
	int r;

	r = translate(e, la, for_write ? MV_ACCESS_WRITE : MV_ACCESS_READ, &gpa, &mmio);
	if (r)
		return r;
	/* A read-only slot makes exits for the writes to it alone. */
	if ((!mmio || (for_write && vcpu->exit.reason == MV_EXIT_PAGE_FAULT)) &&
	    !mv_read_guest(vcpu->vm, gpa, buf, len))
		return MV_EMUL_OK;
	if (len > 8)
		return MV_EMUL_UNKNOWN;
	if (kernel_mmio(vcpu, gpa, buf, len, false))
		return MV_EMUL_OK;
	m->frag[0].gpa = gpa;
	m->frag[0].len = len;
	return MV_EMUL_IO;
}

static int op_write(struct mv_emul *e, u64 la, const void *buf, unsigned int len)
{
	struct mv_vcpu *vcpu = to_vcpu(e);
	struct mv_mmio *m = &vcpu->mmio;
	u64 data = 0;
	gpa_t gpa;
	bool mmio;
	int r;

	r = translate(e, la, MV_ACCESS_WRITE, &gpa, &mmio);
	if (r)
		return r;
	if (!mmio && !mv_write_guest(vcpu->vm, gpa, buf, len))
		return MV_EMUL_OK;
	if (len > 8)
		return MV_EMUL_UNKNOWN;
	memcpy(&data, buf, len);
	if (kernel_mmio(vcpu, gpa, &data, len, true))
		return MV_EMUL_OK;
	m->frag[m->nr].gpa = gpa;
	m->frag[m->nr].len = len;
	m->frag[m->nr].data = data;
	m->nr++;
	return MV_EMUL_POSTED;
}

static int op_check_write(struct mv_emul *e, u64 la)
{
	gpa_t gpa;
	bool mmio;

	return translate(e, la, MV_ACCESS_WRITE, &gpa, &mmio);
}

static int op_cmpxchg(struct mv_emul *e, u64 la, const void *old, const void *new,
		      unsigned int len)
{
	struct mv_vcpu *vcpu = to_vcpu(e);
	u64 expected = 0, replacement = 0;
	gpa_t gpa;
	bool mmio;
	int r;

	r = translate(e, la, MV_ACCESS_WRITE, &gpa, &mmio);
	if (r)
		return r;
	if (len == 16) {
		r = op_write(e, la, new, 8);
		return r < 0 ? r : op_write(e, la + 8, new + 8, 8);
	}
	memcpy(&expected, old, len);
	memcpy(&replacement, new, len);
	if (!mmio) {
		r = mv_cmpxchg_guest(vcpu->vm, gpa, &expected, replacement, len);
		if (r >= 0)
			return r ? MV_EMUL_RETRY : MV_EMUL_OK;
	}
	return op_write(e, la, new, len);
}

static int op_pio_in(struct mv_emul *e, u16 port, unsigned int size, unsigned int count)
{
	struct mv_vcpu *vcpu = to_vcpu(e);
	unsigned int i;

	if (vcpu->pio.answered) {
		vcpu->pio.answered = false;
		return MV_EMUL_OK;
	}
	memset(e->pio_data, 0, count * size);
	for (i = 0; i < count; i++)
		if (mv_bus_access(vcpu, MV_PIO_BUS, port, size, e->pio_data + i * size, false))
			break;
	if (i == count)
		return MV_EMUL_OK;
	/* A device is on the bus or it is not: the first unit decides. */
	mv_pio_to_user(vcpu, port, size, true, count);
	return MV_EMUL_IO;
}

static int op_pio_out(struct mv_emul *e, u16 port, unsigned int size, unsigned int count)
{
	struct mv_vcpu *vcpu = to_vcpu(e);
	unsigned int i;

	for (i = 0; i < count; i++)
		if (mv_bus_access(vcpu, MV_PIO_BUS, port, size, e->pio_data + i * size, true))
			break;
	if (i == count)
		return MV_EMUL_OK;
	/* Of units that differ, some may be for an eventfd; a ring may become full. */
	memmove(e->pio_data, e->pio_data + i * size, (count - i) * size);
	mv_pio_to_user(vcpu, port, size, false, count - i);
	return MV_EMUL_POSTED;
}

static void op_get_seg(struct mv_emul *e, unsigned int seg, u64 *base, u32 *limit, u32 *attr)
{
	*attr = mv_backend->get_rights(to_vcpu(e), seg, base, limit);
}

static u16 op_get_selector(struct mv_emul *e, unsigned int seg)
{
	struct kvm_segment s;

	mv_backend->get_seg(to_vcpu(e), seg, &s);
	return s.selector;
}

/* The descriptor of @selector, and where its byte with the type is. */
static int read_descriptor(struct mv_emul *e, u16 selector, u64 *desc, u64 *type_la)
{
	struct mv_vcpu *vcpu = to_vcpu(e);
	struct mv_walk_fault fault;
	struct kvm_segment ldt;
	struct kvm_dtable dt;
	gpa_t gpa;
	u64 la;

	mv_backend->get_dt(vcpu, false, &dt);
	if (selector & 4) {
		mv_backend->get_seg(vcpu, MV_LDTR, &ldt);
		dt.base = ldt.base;
		dt.limit = ldt.unusable ? 0 : min_t(u32, ldt.limit, 0xffff);
	}
	if ((selector | 7) > dt.limit)
		return mv_emul_raise(e, GP_VECTOR, selector & ~3);
	la = dt.base + (selector & ~7);
	if (!mv_long_mode(vcpu))
		la = (u32)la;
	if (la & 7) /* it may cross a page, and nobody has such a table */
		return MV_EMUL_UNKNOWN;
	if (mv_walk(vcpu, la, MV_ACCESS_READ | MV_ACCESS_IMPLICIT, &gpa, &fault))
		return walk_failed(e, la, &fault);
	*type_la = la + 5;
	return mv_read_guest(vcpu->vm, gpa, desc, 8) ? MV_EMUL_UNKNOWN : MV_EMUL_OK;
}

static int write_accessed(struct mv_emul *e, u64 la, u64 type)
{
	struct mv_vcpu *vcpu = to_vcpu(e);
	struct mv_walk_fault fault;
	gpa_t gpa;
	int r;

	if (mv_walk(vcpu, la, MV_ACCESS_WRITE | MV_ACCESS_IMPLICIT, &gpa, &fault))
		return walk_failed(e, la, &fault);
	r = mv_cmpxchg_guest(vcpu->vm, gpa, &type, type | 1, 1);
	return r < 0 ? MV_EMUL_UNKNOWN : r ? MV_EMUL_RETRY : MV_EMUL_OK;
}

/* SDM vol. 3A, 5.6 and vol. 2B, "MOV". The vector, or 0. */
static unsigned int refuse_segment(struct mv_emul *e, unsigned int seg, u16 selector,
				   const struct kvm_segment *s)
{
	bool code = s->type & 8, writable = (s->type & 10) == 2, conforming = (s->type & 12) == 12;
	unsigned int rpl = selector & 3;

	if (!s->s)
		return GP_VECTOR;
	if (seg == MV_SEG_SS) {
		if (!writable || rpl != e->cpl || s->dpl != e->cpl)
			return GP_VECTOR;
		return s->present ? 0 : SS_VECTOR;
	}
	if ((code && !(s->type & 2)) || (!conforming && max_t(u8, rpl, e->cpl) > s->dpl))
		return GP_VECTOR;
	return s->present ? 0 : NP_VECTOR;
}

static int op_load_seg(struct mv_emul *e, unsigned int seg, u16 selector)
{
	struct mv_vcpu *vcpu = to_vcpu(e);
	struct kvm_segment s = { .selector = selector, .unusable = 1 };
	unsigned int vector;
	u64 desc, type_la;
	int r;

	if (e->mode == MV_MODE_REAL || e->mode == MV_MODE_V86) {
		/* Limit and attributes stay: "big real mode". */
		mv_backend->get_seg(vcpu, seg, &s);
		s.selector = selector;
		s.base = selector << 4;
	} else if (!(selector & ~3)) {
		if (seg == MV_SEG_SS && (e->mode != MV_MODE_LONG64 || e->cpl == 3 ||
					 (selector & 3) != e->cpl))
			return mv_emul_raise(e, GP_VECTOR, 0);
		if (seg == MV_SEG_SS && e->cpl)
			return MV_EMUL_UNKNOWN;
	} else {
		r = read_descriptor(e, selector, &desc, &type_la);
		if (r)
			return r;
		s = mv_descriptor_segment(selector, desc);
		vector = refuse_segment(e, seg, selector, &s);
		if (vector)
			return mv_emul_raise(e, vector, selector & ~3);
		if (!(s.type & 1)) {
			/* As the processor: by a locked write, if the page may be written. */
			r = write_accessed(e, type_la, desc >> 40 & 0xff);
			if (r)
				return r;
		}
		s.type |= 1;
	}
	mv_backend->set_seg(vcpu, seg, &s);
	/* Not LSS: it has loaded RSP, too. SDM vol. 3A, 6.8.3. */
	vcpu->mmio.mov_ss = seg == MV_SEG_SS && e->d.opcode != 0xb2;
	return MV_EMUL_OK;
}

static u64 op_get_cr(struct mv_emul *e, unsigned int n)
{
	return n ? mv_cr4(to_vcpu(e)) : mv_cr0(to_vcpu(e));
}

static int op_set_cr0(struct mv_emul *e, u64 val)
{
	return mv_set_cr0(to_vcpu(e), val) ? mv_emul_raise(e, GP_VECTOR, 0) : MV_EMUL_OK;
}

static_assert(MV_SEG_ES == (int)MV_ES && MV_SEG_LDTR == (int)MV_LDTR);

/* The guest's vector registers are in the processor while its FPU state is loaded. */
#define XMM_CASE(n, insn)                         \
	case n:                                   \
		asm volatile(insn(n) : : "r"(val) : "memory"); \
		break;
#define XMM_STORE(n) "movdqu %%xmm" #n ", (%0)"
#define XMM_LOAD(n) "movdqu (%0), %%xmm" #n
#define XMM_ALL(insn)                                                            \
	XMM_CASE(0, insn) XMM_CASE(1, insn) XMM_CASE(2, insn) XMM_CASE(3, insn)     \
	XMM_CASE(4, insn) XMM_CASE(5, insn) XMM_CASE(6, insn) XMM_CASE(7, insn)     \
	XMM_CASE(8, insn) XMM_CASE(9, insn) XMM_CASE(10, insn) XMM_CASE(11, insn)   \
	XMM_CASE(12, insn) XMM_CASE(13, insn) XMM_CASE(14, insn) XMM_CASE(15, insn)

static void lock_guest_fpu(void)
{
	fpregs_lock();
	fpregs_assert_state_consistent();
	if (test_thread_flag(TIF_NEED_FPU_LOAD))
		switch_fpu_return();
}

static void op_read_xmm(struct mv_emul *e, unsigned int n, u64 val[2])
{
	lock_guest_fpu();
	switch (n) {
		XMM_ALL(XMM_STORE)
	}
	fpregs_unlock();
}

static void op_write_xmm(struct mv_emul *e, unsigned int n, const u64 val[2])
{
	lock_guest_fpu();
	switch (n) {
		XMM_ALL(XMM_LOAD)
	}
	fpregs_unlock();
}

static u16 op_fpu_word(struct mv_emul *e, bool status)
{
	u16 word;

	lock_guest_fpu();
	if (status)
		asm volatile("fnstsw %0" : "=m"(word));
	else
		asm volatile("fnstcw %0" : "=m"(word));
	fpregs_unlock();
	return word;
}

#define MM_STORE(n) "movq %%mm" #n ", (%0)"
#define MM_LOAD(n) "movq (%0), %%mm" #n
#define MM_ALL(insn)                                                             \
	XMM_CASE(0, insn) XMM_CASE(1, insn) XMM_CASE(2, insn) XMM_CASE(3, insn)     \
	XMM_CASE(4, insn) XMM_CASE(5, insn) XMM_CASE(6, insn) XMM_CASE(7, insn)

static u64 op_read_mm(struct mv_emul *e, unsigned int n)
{
	u64 mm, *val = &mm;

	lock_guest_fpu();
	switch (n) {
		MM_ALL(MM_STORE)
	}
	fpregs_unlock();
	return mm;
}

static void op_write_mm(struct mv_emul *e, unsigned int n, u64 mm)
{
	u64 *val = &mm;

	lock_guest_fpu();
	switch (n) {
		MM_ALL(MM_LOAD)
	}
	fpregs_unlock();
}

static const struct mv_emul_ops mv_emul_ops = {
	.fetch = op_fetch,
	.read = op_read,
	.write = op_write,
	.check_write = op_check_write,
	.cmpxchg = op_cmpxchg,
	.pio_in = op_pio_in,
	.pio_out = op_pio_out,
	.get_seg = op_get_seg,
	.get_selector = op_get_selector,
	.load_seg = op_load_seg,
	.get_cr = op_get_cr,
	.set_cr0 = op_set_cr0,
	.fpu_word = op_fpu_word,
	.read_mm = op_read_mm,
	.write_mm = op_write_mm,
	.read_xmm = op_read_xmm,
	.write_xmm = op_write_xmm,
};

/* ---- running it ---- */

static void start(struct mv_vcpu *vcpu)
{
	struct mv_emul *e = &vcpu->emul;
	u32 rights = mv_call(code_rights)(vcpu);

	e->ops = &mv_emul_ops;
	e->gpr = vcpu->gpr;
	e->pio_data = vcpu->pio_data;
	e->rip = mv_rip(vcpu);
	e->rflags = mv_rflags(vcpu);
	if (!mv_cr0_has(vcpu, X86_CR0_PE)) {
		e->mode = MV_MODE_REAL;
		e->cpl = 0;
	} else if (e->rflags & X86_EFLAGS_VM) {
		e->mode = MV_MODE_V86;
		e->cpl = 3;
	} else {
		e->cpl = (rights & MV_SEG_DPL) >> MV_SEG_DPL_SHIFT;
		if (mv_long_mode(vcpu) && (rights & MV_SEG_L))
			e->mode = MV_MODE_LONG64;
		else
			e->mode = rights & MV_SEG_DB ? MV_MODE_PROT32 : MV_MODE_PROT16;
	}
	mv_emul_start(e);
	vcpu->mmio.nr = 0;
	vcpu->mmio.next = 0;
	vcpu->mmio.mov_ss = false;
	vcpu->pio.answered = false;
}

static int go_on(struct mv_vcpu *vcpu);

static int mmio_to_user(struct mv_vcpu *vcpu, int n, bool write)
{
	struct kvm_run *run = vcpu->run;

	vcpu->stats[MV_STAT_MMIO]++;
	run->exit_reason = KVM_EXIT_MMIO;
	run->mmio.phys_addr = vcpu->mmio.frag[n].gpa;
	run->mmio.len = vcpu->mmio.frag[n].len;
	run->mmio.is_write = write;
	if (write)
		memcpy(run->mmio.data, &vcpu->mmio.frag[n].data, sizeof(run->mmio.data));
	return 0;
}

/*
 * The registers are committed: userspace sees what was posted, an output or writes, one at a time,
 * and after that a debugger the step that is over. A step is also an iteration with RFLAGS.TF.
 */
static int complete_writes(struct mv_vcpu *vcpu)
{
	struct mv_mmio *m = &vcpu->mmio;

	if (vcpu->pio.to_user || m->next < m->nr)
		vcpu->complete = complete_writes;
	if (vcpu->pio.to_user) {
		vcpu->pio.to_user = false;
		return 0;
	}
	if (m->next < m->nr)
		return mmio_to_user(vcpu, m->next++, true);
	if (!m->insn_over)
		return 1;
	/* MOV SS and POP SS hold everything back until the next instruction is over. */
	if (unlikely(m->mov_ss)) {
		mv_backend->set_int_shadow(vcpu, KVM_X86_SHADOW_INT_MOV_SS);
		return 1;
	}
	return mv_insn_done(vcpu);
}

/* A debugger may have begun or ended to step while userspace had the word. */
static int resume(struct mv_vcpu *vcpu)
{
	struct mv_emul *e = &vcpu->emul;

	e->rflags = (e->rflags & ~(u64)X86_EFLAGS_TF) | (mv_rflags(vcpu) & X86_EFLAGS_TF);
	return go_on(vcpu);
}

static int complete_mmio_read(struct mv_vcpu *vcpu)
{
	u64 data = 0;

	memcpy(&data, vcpu->run->mmio.data, vcpu->mmio.frag[0].len);
	mv_emul_complete_read(&vcpu->emul, data);
	return resume(vcpu);
}

static int complete_string_in(struct mv_vcpu *vcpu)
{
	vcpu->pio.answered = true;
	return resume(vcpu);
}

static int commit(struct mv_vcpu *vcpu, bool insn_over)
{
	u64 old = mv_rflags(vcpu), new = vcpu->emul.rflags;
	int r;

	mv_write_rip(vcpu, vcpu->emul.rip);
	if (unlikely((new ^ old) & X86_EFLAGS_TF)) {
		/* POPF, which posts nothing: its trap is by what TF was when it began. */
		r = mv_insn_done(vcpu);
		if (vcpu->guest_debug & KVM_GUESTDBG_SINGLESTEP)
			new |= X86_EFLAGS_TF;
		mv_write_rflags(vcpu, new);
		return r;
	}
	if (new != old)
		mv_write_rflags(vcpu, new);
	vcpu->mmio.insn_over = insn_over;
	return complete_writes(vcpu);
}

static int raise_fault(struct mv_vcpu *vcpu)
{
	const struct mv_emul_exception *exc = &vcpu->emul.exception;

	if (exc->vector == PF_VECTOR)
		mv_queue_page_fault(vcpu, exc->cr2, exc->error_code);
	else if (exc->has_error_code)
		mv_queue_exception_e(vcpu, exc->vector, exc->error_code);
	else
		mv_queue_exception(vcpu, exc->vector);
	return 1;
}

/* Begin, or resume when userspace has answered. */
static int go_on(struct mv_vcpu *vcpu)
{
	struct mv_emul *e = &vcpu->emul;
	u64 rsp = mv_gpr(vcpu, MV_RSP);
	int r;

	vcpu->pio.to_user = false;
	mv_taint_l1d(vcpu);
	r = vcpu->string_io.size ? mv_emul_string_io(e, &vcpu->string_io) : mv_emul_insn(e);
	/* What is left as it was need not go back into the control block. */
	if (vcpu->gpr[MV_RSP] != rsp)
		mv_mark_dirty(vcpu, MV_LAZY_RSP);
	switch (r) {
	case MV_EMUL_OK:
		return commit(vcpu, true);
	case MV_EMUL_REP:
		return commit(vcpu, e->rflags & X86_EFLAGS_TF);
	case MV_EMUL_RETRY:
		return 1;
	case MV_EMUL_IO:
		if (vcpu->pio.to_user) {
			vcpu->complete = complete_string_in;
			return 0;
		}
		vcpu->complete = complete_mmio_read;
		return mmio_to_user(vcpu, 0, false);
	case MV_EMUL_FAULT:
		return raise_fault(vcpu);
	default:
		return mv_not_emulated(vcpu);
	}
}

int mv_emulate_mmio(struct mv_vcpu *vcpu)
{
	struct mv_exit *exit = &vcpu->exit;
	struct mv_emul *e = &vcpu->emul;

	vcpu->string_io.size = 0;
	start(vcpu);
	/* Page tables, or code, where there is no memory. */
	if (exit->fault.in_walk || (exit->fault.access & MV_ACCESS_EXEC))
		return mv_not_emulated(vcpu);
	e->gpa_valid = true;
	e->gpa_write = exit->fault.access & MV_ACCESS_WRITE;
	e->gpa = exit->fault.gpa;
	return go_on(vcpu);
}

int mv_emulate_string_io(struct mv_vcpu *vcpu)
{
	struct mv_exit *exit = &vcpu->exit;

	vcpu->string_io = (struct mv_string_io){
		.port = exit->io.port,
		.size = exit->io.size,
		.addrsize = exit->io.addrsize,
		.seg = exit->io.seg,
		.insn_len = exit->insn_len ?: mv_call(skip_len)(vcpu),
		.in = exit->io.in,
		.rep = exit->io.rep,
	};
	start(vcpu);
	return go_on(vcpu);
}

int mv_emulate_insn(struct mv_vcpu *vcpu)
{
	vcpu->string_io.size = 0;
	start(vcpu);
	return go_on(vcpu);
}

const struct mv_insn *mv_decode_insn(struct mv_vcpu *vcpu)
{
	start(vcpu);
	return mv_emul_decode(&vcpu->emul) ? NULL : &vcpu->emul.d;
}
