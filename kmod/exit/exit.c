// SPDX-License-Identifier: GPL-2.0-only
/* One dispatch table over the exits of both vendors. */
#include <asm/cpu.h>

#include "base/backend.h"
#include "base/regs.h"
#include "cpu/asyncpf.h"
#include "cpu/cpuid.h"
#include "cpu/cr.h"
#include "cpu/debug.h"
#include "cpu/event.h"
#include "cpu/fpu.h"
#include "cpu/msr.h"
#include "cpu/state.h"
#include "exit/handler.h"
#include "exit/msrfilter.h"
#include "io/io.h"
#include "irq/irq.h"
#include "mmu/memory.h"
#include "time/time.h"

/* Outside 64-bit mode an operand of MOV to or from CR or DR has 32 bits. */
static u64 operand(struct mv_vcpu *vcpu, u64 val)
{
	return val >> 32 && !mv_64bit_mode(vcpu) ? (u32)val : val;
}

/* ---- exits that nothing is done for, beyond having left the guest ---- */

static int handle_nothing(struct mv_vcpu *vcpu)
{
	return 1;
}

static int handle_unknown(struct mv_vcpu *vcpu)
{
	return mv_internal_error(vcpu, KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON);
}

static int handle_fail_entry(struct mv_vcpu *vcpu)
{
	vcpu->run->exit_reason = KVM_EXIT_FAIL_ENTRY;
	vcpu->run->fail_entry.hardware_entry_failure_reason = vcpu->exit.hw_reason;
	vcpu->run->fail_entry.cpu = vcpu->cpu;
	if (mv_dump_on_failure)
		mv_backend->dump(vcpu);
	return 0;
}

static int handle_unfinished(struct mv_vcpu *vcpu)
{
	mv_backend->finish_exit(vcpu, mv_decode_insn(vcpu));
	return mv_handle_exit(vcpu);
}

static int handle_triple_fault(struct mv_vcpu *vcpu)
{
	vcpu->run->exit_reason = KVM_EXIT_SHUTDOWN;
	return 0;
}

/* There is no state of the guest any more. */
static int handle_shutdown(struct mv_vcpu *vcpu)
{
	mv_vcpu_reset(vcpu, true);
	return handle_triple_fault(vcpu);
}

static int handle_irq_window(struct mv_vcpu *vcpu)
{
	mv_call(irq_window)(vcpu, false);
	mv_request(vcpu, MV_REQ_EVENT);
	if (vcpu->run->request_interrupt_window && mv_takes_user_irq(vcpu)) {
		vcpu->run->exit_reason = KVM_EXIT_IRQ_WINDOW_OPEN;
		return 0;
	}
	return 1;
}

static int handle_nmi_window(struct mv_vcpu *vcpu)
{
	mv_call(nmi_window)(vcpu, false);
	mv_request(vcpu, MV_REQ_EVENT);
	return 1;
}

/* ---- exceptions ---- */

/*
 * #AC is the guest's own at CPL 3 with CR0.AM and RFLAGS.AC (SDM vol. 3A, 6.15, "Interrupt 17").
 * Any other is of a split lock, that the host makes the processor detect: by its policy the guest
 * goes on, undetected for a while, or this thread gets SIGBUS.
 */
static int handle_alignment_check(struct mv_vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;

	if (!boot_cpu_has(X86_FEATURE_SPLIT_LOCK_DETECT) ||
	    (mv_cpl(vcpu) == 3 && mv_cr0_has(vcpu, X86_CR0_AM) &&
	     (mv_rflags(vcpu) & X86_EFLAGS_AC))) {
		mv_queue_exception_e(vcpu, AC_VECTOR, vcpu->exit.exception.error);
		return 1;
	}
	if (handle_guest_split_lock(mv_rip(vcpu)))
		return 1;
	run->exit_reason = KVM_EXIT_EXCEPTION;
	run->ex.exception = AC_VECTOR;
	run->ex.error_code = vcpu->exit.exception.error;
	return 0;
}

static int handle_exception(struct mv_vcpu *vcpu)
{
	struct mv_exit *exit = &vcpu->exit;

	switch (exit->exception.vector) {
	case DB_VECTOR:
		/* ICEBP is a trap: its #DB has the address of the next instruction. */
		if (exit->exception.skip)
			mv_move_rip(vcpu, exit->exception.skip);
		/*
		 * A shadow is over with ICEBP, and with the instruction that a step was over; of
		 * one with TF, VM entry wants that a trap still waits. SDM 27.3.1.5.
		 */
		if ((exit->exception.skip || (mv_rflags(vcpu) & X86_EFLAGS_TF)) &&
		    mv_call(get_int_shadow)(vcpu))
			mv_backend->set_int_shadow(vcpu, 0);
		if (mv_debug_exit(vcpu, DB_VECTOR, exit->exception.payload))
			return 0;
		mv_queue_exception_p(vcpu, DB_VECTOR, exit->exception.payload);
		return 1;
	case BP_VECTOR:
		if (mv_debug_exit(vcpu, BP_VECTOR, 0))
			return 0;
		vcpu->pending.insn_len = 1;
		mv_queue_exception(vcpu, BP_VECTOR);
		return 1;
	case UD_VECTOR:
		return mv_hypercall_ud(vcpu);
	case AC_VECTOR:
		return handle_alignment_check(vcpu);
	case PF_VECTOR:
		mv_queue_page_fault(vcpu, exit->exception.payload, exit->exception.error);
		return 1;
	default:
		if (exit->exception.has_error)
			mv_queue_exception_e(vcpu, exit->exception.vector, exit->exception.error);
		else
			mv_queue_exception(vcpu, exit->exception.vector);
		return 1;
	}
}

/* ---- instructions ---- */

static int handle_cpuid(struct mv_vcpu *vcpu)
{
	mv_cpuid(vcpu);
	return mv_skip_insn(vcpu);
}

static int handle_hlt(struct mv_vcpu *vcpu)
{
	int r = mv_skip_insn(vcpu);

	/* A debugger that steps over it finds the guest halted. */
	if (r <= 0 && vcpu->run->exit_reason != KVM_EXIT_DEBUG)
		return r;
	if (vcpu->lapic) {
		vcpu->mp_state = KVM_MP_STATE_HALTED;
		return r;
	}
	if (!r)
		vcpu->complete = mv_insn_done;
	vcpu->run->exit_reason = KVM_EXIT_HLT;
	return 0;
}

static int handle_skip(struct mv_vcpu *vcpu)
{
	return mv_skip_insn(vcpu);
}

/* As no-ops even without the CPUID bit, by KVM's ABI, unless that quirk is off. */
static int handle_mwait(struct mv_vcpu *vcpu)
{
	if (!mv_has_quirk(vcpu->vm, KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS) &&
	    !mv_cpuid_has_mwait(vcpu))
		return mv_inject_ud(vcpu);
	return mv_skip_insn(vcpu);
}

static int handle_pause(struct mv_vcpu *vcpu)
{
	mv_vcpu_yield(vcpu);
	return mv_skip_insn(vcpu);
}

static int handle_ud(struct mv_vcpu *vcpu)
{
	return mv_inject_ud(vcpu);
}

static int handle_gp(struct mv_vcpu *vcpu)
{
	return mv_inject_gp(vcpu);
}

static int handle_rdtsc(struct mv_vcpu *vcpu)
{
	mv_set_edx_eax(vcpu, mv_read_tsc(vcpu));
	return mv_skip_insn(vcpu);
}

static int handle_xsetbv(struct mv_vcpu *vcpu)
{
	/* Processors differ in whether they check it before they exit. APM vol. 2, table 15-7. */
	if (mv_cpl(vcpu) || mv_set_xcr0(vcpu, vcpu->gpr[MV_RCX], mv_edx_eax(vcpu)))
		return mv_inject_gp(vcpu);
	return mv_skip_insn(vcpu);
}

/* ---- control and debug registers ---- */

/* Results of a register write: 0 done, 1 #GP. */
static int finish_write(struct mv_vcpu *vcpu, int r)
{
	return r ? mv_inject_gp(vcpu) : mv_skip_insn(vcpu);
}

static int handle_cr_write(struct mv_vcpu *vcpu)
{
	u64 val = operand(vcpu, mv_gpr(vcpu, vcpu->exit.cr.gpr));
	u64 cr8;
	int r;

	switch (vcpu->exit.cr.cr) {
	case 0:
		return finish_write(vcpu, mv_set_cr0(vcpu, val));
	case 3:
		return finish_write(vcpu, mv_set_cr3(vcpu, val));
	case 4:
		return finish_write(vcpu, mv_set_cr4(vcpu, val));
	case 8:
		cr8 = mv_get_cr8(vcpu);
		r = finish_write(vcpu, mv_set_cr8(vcpu, val));
		/* A userspace irqchip has to know that the priority went down. */
		if (r > 0 && !vcpu->lapic && mv_get_cr8(vcpu) < cr8) {
			vcpu->run->exit_reason = KVM_EXIT_SET_TPR;
			return 0;
		}
		return r;
	default:
		return mv_inject_ud(vcpu);
	}
}

static int handle_cr(struct mv_vcpu *vcpu)
{
	struct mv_exit *exit = &vcpu->exit;
	u64 val;

	switch ((enum mv_cr_op)exit->cr.op) {
	case MV_CR_WRITE:
		return handle_cr_write(vcpu);
	case MV_CR_CLTS:
		return finish_write(vcpu, mv_set_cr0(vcpu, mv_cr0(vcpu) & ~X86_CR0_TS));
	case MV_CR_LMSW:
		/* PE, MP, EM, TS; LMSW cannot clear PE. */
		val = (mv_cr0(vcpu) & ~0xeull) | (exit->cr.lmsw & 0xf);
		return finish_write(vcpu, mv_set_cr0(vcpu, val));
	case MV_CR_READ:
		break;
	}

	switch (exit->cr.cr) {
	case 0:
		val = mv_cr0(vcpu);
		break;
	case 2:
		val = vcpu->cr2;
		break;
	case 3:
		val = mv_cr3(vcpu);
		break;
	case 4:
		val = mv_cr4(vcpu);
		break;
	case 8:
		val = mv_get_cr8(vcpu);
		break;
	default:
		return mv_inject_ud(vcpu);
	}
	mv_set_gpr(vcpu, exit->cr.gpr, operand(vcpu, val));
	return mv_skip_insn(vcpu);
}

static int handle_dr(struct mv_vcpu *vcpu)
{
	struct mv_exit *exit = &vcpu->exit;
	u64 val;

	if (mv_cr0_has(vcpu, X86_CR0_PE) && mv_cpl(vcpu))
		return mv_inject_gp(vcpu);
	/* General detect: any access traps, before it is made. SDM vol. 3B, 18.2.4. */
	if (mv_effective_dr7(vcpu) & MV_DR7_GD) {
		if (mv_debug_exit(vcpu, DB_VECTOR, MV_DR6_BD))
			return 0;
		mv_queue_exception_p(vcpu, DB_VECTOR, MV_DR6_BD);
		return 1;
	}
	if (exit->dr.read) {
		if (mv_get_dr(vcpu, exit->dr.dr, &val))
			return 1;
		mv_set_gpr(vcpu, exit->dr.gpr, operand(vcpu, val));
	} else {
		val = operand(vcpu, mv_gpr(vcpu, exit->dr.gpr));
		if (mv_set_dr(vcpu, exit->dr.dr, val))
			return 1;
	}
	return mv_skip_insn(vcpu);
}

/* ---- MSRs ---- */

static int handle_rdmsr(struct mv_vcpu *vcpu)
{
	u32 msr = vcpu->gpr[MV_RCX];
	u64 val;
	int r;

	if (static_branch_unlikely(&mv_msr_filters) &&
	    mv_msr_denied(vcpu, msr, KVM_MSR_FILTER_READ))
		r = KVM_MSR_EXIT_REASON_FILTER;
	else
		r = mv_get_msr(vcpu, msr, &val, false);
	if (unlikely(r))
		return mv_msr_refused(vcpu, r, false);
	mv_set_edx_eax(vcpu, val);
	return mv_skip_insn(vcpu);
}

static int handle_wrmsr(struct mv_vcpu *vcpu)
{
	u32 msr = vcpu->gpr[MV_RCX];
	int r;

	if (static_branch_unlikely(&mv_msr_filters) &&
	    mv_msr_denied(vcpu, msr, KVM_MSR_FILTER_WRITE))
		r = KVM_MSR_EXIT_REASON_FILTER;
	else
		r = mv_set_msr(vcpu, msr, mv_edx_eax(vcpu), false);
	if (unlikely(r))
		return mv_msr_refused(vcpu, r, true);
	return mv_skip_insn(vcpu);
}

/* ---- port I/O ---- */

/* AL and AX leave the rest of RAX alone, EAX clears its upper half. */
static void write_ax(struct mv_vcpu *vcpu, u32 data, u8 size)
{
	static const u64 masks[] = { [1] = 0xff, [2] = 0xffff, [4] = ~0ull };
	u64 mask = masks[size];

	vcpu->gpr[MV_RAX] = (vcpu->gpr[MV_RAX] & ~mask) | (data & mask);
}

/* Userspace may have moved RIP, and completes the instruction only where it left. */
static int complete_out(struct mv_vcpu *vcpu)
{
	return mv_rip(vcpu) == vcpu->io_rip ? mv_skip_insn(vcpu) : 1;
}

static int complete_in(struct mv_vcpu *vcpu)
{
	if (mv_rip(vcpu) != vcpu->io_rip)
		return 1;
	write_ax(vcpu, *(u32 *)vcpu->pio_data, vcpu->pio.size);
	return mv_skip_insn(vcpu);
}

int mv_pio_to_user(struct mv_vcpu *vcpu, u16 port, u8 size, bool in, u32 count)
{
	struct kvm_run *run = vcpu->run;

	vcpu->pio.size = size;
	vcpu->pio.to_user = true;
	run->exit_reason = KVM_EXIT_IO;
	run->io.direction = in ? KVM_EXIT_IO_IN : KVM_EXIT_IO_OUT;
	run->io.size = size;
	run->io.port = port;
	run->io.count = count;
	run->io.data_offset = KVM_PIO_PAGE_OFFSET * PAGE_SIZE;
	return 0;
}

static int handle_io(struct mv_vcpu *vcpu)
{
	struct mv_exit *exit = &vcpu->exit;
	u32 data = exit->io.in ? 0 : vcpu->gpr[MV_RAX];

	if (exit->io.string)
		return mv_emulate_string_io(vcpu);

	if (!mv_bus_access(vcpu, MV_PIO_BUS, exit->io.port, exit->io.size, &data, !exit->io.in)) {
		if (exit->io.in)
			write_ax(vcpu, data, exit->io.size);
		return mv_skip_insn(vcpu);
	}

	vcpu->io_rip = mv_rip(vcpu);
	if (exit->io.in) {
		vcpu->complete = complete_in;
	} else {
		*(u32 *)vcpu->pio_data = data;
		/* VMMs rely on it that this one is over when they see it. */
		if (exit->io.port != 0x7e ||
		    !mv_has_quirk(vcpu->vm, KVM_X86_QUIRK_OUT_7E_INC_RIP))
			vcpu->complete = complete_out;
		else if (!mv_skip_insn(vcpu))
			vcpu->complete = mv_insn_done; /* a debugger's step, after the output */
	}
	return mv_pio_to_user(vcpu, exit->io.port, exit->io.size, exit->io.in, 1);
}

/* ---- second-stage faults ---- */

/*
 * A write to an eventfd that takes any length: what the instruction writes does
 * not matter, so where the hardware tells its length it is not even fetched.
 */
static bool ring_doorbell(struct mv_vcpu *vcpu)
{
	struct mv_exit *exit = &vcpu->exit;

	return mv_backend->fault_has_len && exit->fault.access == MV_ACCESS_WRITE &&
	       !exit->fault.in_walk && !vcpu->pending.any &&
	       mv_bus_ring(vcpu, exit->fault.gpa);
}

/**
 * mv_ring_doorbell() - make a second-stage fault MV_EXIT_DOORBELL, if it is one
 * @vcpu: whose exit it is; interrupts may be off
 */
bool mv_ring_doorbell(struct mv_vcpu *vcpu)
{
	if (!mv_is_mmio(vcpu, vcpu->exit.fault.gpa) || !ring_doorbell(vcpu))
		return false;
	vcpu->exit.reason = MV_EXIT_DOORBELL;
	return true;
}

static int handle_log_full(struct mv_vcpu *vcpu)
{
	mv_cpu_log_full(vcpu);
	return 1;
}

/*
 * The stack or the tables of an event in delivery cannot be emulated. A program below CPL 0 may
 * come here by itself, with INT n or a fault whose gate leads to conforming code, on the stack that
 * it has chosen: the event becomes #UD. Where that fails too, the guest's kernel is at fault.
 */
static int delivery_failed(struct mv_vcpu *vcpu)
{
	struct mv_pending *p = &vcpu->pending;

	if (!mv_cpl(vcpu) || vcpu->vm->exit_on_emulation_failure || p->nmi_injected ||
	    (p->irq_injected && !p->irq_soft) ||
	    (p->exc_injected && (p->exc_vector == UD_VECTOR || p->exc_vector == DF_VECTOR)))
		return mv_internal_error(vcpu, KVM_INTERNAL_ERROR_DELIVERY_EV);
	p->irq_injected = false;
	p->exc_injected = false;
	return mv_inject_ud(vcpu);
}

static int emulate_access(struct mv_vcpu *vcpu)
{
	return vcpu->pending.any ? delivery_failed(vcpu) : mv_emulate_mmio(vcpu);
}

/* The guest may hear of a page that has to be waited for, and run something else meanwhile. */
static int map_page(struct mv_vcpu *vcpu)
{
	gpa_t gpa = vcpu->exit.fault.gpa;
	u32 access = vcpu->exit.fault.access;
	hva_t absent;
	int r;

	r = mv_mmu_fault(vcpu, gpa, access, mv_apf_enabled(vcpu) ? &absent : NULL);
	if (r != MV_FAULT_WAITS)
		return r;
	if (mv_apf_begin(vcpu, gpa_to_gfn(gpa), absent, access & MV_ACCESS_WRITE))
		return MV_FAULT_DONE;
	return mv_mmu_fault(vcpu, gpa, access, NULL);
}

static int handle_page_fault(struct mv_vcpu *vcpu)
{
	int r;

	/* No doorbell: it has been tried. */
	if (mv_is_mmio(vcpu, vcpu->exit.fault.gpa))
		return emulate_access(vcpu);
	r = map_page(vcpu);
	if (likely(r == MV_FAULT_DONE))
		return 1;
	if (r < 0) {
		if (r == -EINTR)
			vcpu->run->exit_reason = KVM_EXIT_INTR;
		return r;
	}
	return ring_doorbell(vcpu) ? mv_skip_insn(vcpu) : emulate_access(vcpu);
}

/* ---- the local APIC, after the processor has dealt with the instruction ---- */

static int handle_apic_write(struct mv_vcpu *vcpu)
{
	mv_lapic_written(vcpu, vcpu->exit.apic);
	return 1;
}

static int handle_eoi(struct mv_vcpu *vcpu)
{
	mv_lapic_eoi(vcpu, vcpu->exit.apic);
	return 1;
}

static int (*const mv_exit_handlers[MV_NR_EXITS])(struct mv_vcpu *vcpu) = {
	[MV_EXIT_UNKNOWN] = handle_unknown,
	[MV_EXIT_FAIL_ENTRY] = handle_fail_entry,
	[MV_EXIT_EXTERNAL_INTERRUPT] = handle_nothing,
	[MV_EXIT_NMI] = handle_nothing,
	[MV_EXIT_EXCEPTION] = handle_exception,
	[MV_EXIT_TRIPLE_FAULT] = handle_triple_fault,
	[MV_EXIT_SHUTDOWN] = handle_shutdown,
	[MV_EXIT_IRQ_WINDOW] = handle_irq_window,
	[MV_EXIT_NMI_WINDOW] = handle_nmi_window,
	[MV_EXIT_CPUID] = handle_cpuid,
	[MV_EXIT_HLT] = handle_hlt,
	[MV_EXIT_PAUSE] = handle_pause,
	/* The host's caches are coherent: nothing to write back. */
	[MV_EXIT_INVD] = handle_skip,
	[MV_EXIT_RDPMC] = handle_gp,
	[MV_EXIT_RDTSC] = handle_rdtsc,
	[MV_EXIT_HYPERCALL] = mv_hypercall,
	[MV_EXIT_CR] = handle_cr,
	[MV_EXIT_DR] = handle_dr,
	[MV_EXIT_IO] = handle_io,
	[MV_EXIT_RDMSR] = handle_rdmsr,
	[MV_EXIT_WRMSR] = handle_wrmsr,
	[MV_EXIT_MONITOR] = handle_mwait,
	[MV_EXIT_MWAIT] = handle_mwait,
	[MV_EXIT_XSETBV] = handle_xsetbv,
	[MV_EXIT_INVALID_OP] = handle_ud,
	[MV_EXIT_TASK_SWITCH] = mv_task_switch,
	[MV_EXIT_PAGE_FAULT] = handle_page_fault,
	[MV_EXIT_DOORBELL] = handle_skip,
	[MV_EXIT_LOG_FULL] = handle_log_full,
	[MV_EXIT_APIC_ACCESS] = emulate_access,
	[MV_EXIT_APIC_WRITE] = handle_apic_write,
	[MV_EXIT_EOI] = handle_eoi,
	[MV_EXIT_EMULATE] = mv_emulate_insn,
	[MV_EXIT_UNFINISHED] = handle_unfinished,
	[MV_EXIT_DONE] = handle_nothing,
};

int mv_handle_exit(struct mv_vcpu *vcpu)
{
	vcpu->stats[vcpu->exit.reason]++;
	return mv_exit_handlers[vcpu->exit.reason](vcpu);
}
