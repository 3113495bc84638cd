// SPDX-License-Identifier: GPL-2.0-only
/* From #VMEXIT to struct mv_exit: APM vol. 2, 15.9 to 15.14 and appendix C. */
#include <linux/mm.h>
#include <asm/debugreg.h>
#include <asm/trapnr.h>

#include "base/backend.h"
#include "base/regs.h"
#include "cpu/mce.h"
#include "mmu/memory.h"
#include "svm/vmcb.h"

static const u8 svm_reasons[] = {
	[SVM_EXIT_READ_CR0 ... SVM_EXIT_WRITE_CR8] = MV_EXIT_CR,
	[SVM_EXIT_READ_DR0 ... SVM_EXIT_WRITE_DR7] = MV_EXIT_DR,
	[SVM_EXIT_EXCP_BASE ... SVM_EXIT_LAST_EXCP] = MV_EXIT_EXCEPTION,
	[SVM_EXIT_INTR] = MV_EXIT_EXTERNAL_INTERRUPT,
	[SVM_EXIT_NMI] = MV_EXIT_NMI,
	[SVM_EXIT_SMI] = MV_EXIT_DONE, /* the host has had it when GIF was set */
	[SVM_EXIT_INIT] = MV_EXIT_DONE,
	[SVM_EXIT_VINTR] = MV_EXIT_IRQ_WINDOW,
	[SVM_EXIT_CR0_SEL_WRITE] = MV_EXIT_CR,
	[SVM_EXIT_RDPMC] = MV_EXIT_RDPMC,
	[SVM_EXIT_CPUID] = MV_EXIT_CPUID,
	[SVM_EXIT_RSM] = MV_EXIT_INVALID_OP,
	[SVM_EXIT_IRET] = MV_EXIT_DONE,
	[SVM_EXIT_INVD] = MV_EXIT_INVD,
	[SVM_EXIT_PAUSE] = MV_EXIT_PAUSE,
	[SVM_EXIT_HLT] = MV_EXIT_HLT,
	[SVM_EXIT_INVLPGA] = MV_EXIT_INVALID_OP,
	[SVM_EXIT_IOIO] = MV_EXIT_IO,
	[SVM_EXIT_MSR] = MV_EXIT_RDMSR,
	[SVM_EXIT_TASK_SWITCH] = MV_EXIT_TASK_SWITCH,
	/* It leaves the VMCB undefined. APM vol. 2, 15.14.3. */
	[SVM_EXIT_SHUTDOWN] = MV_EXIT_SHUTDOWN,
	[SVM_EXIT_VMRUN] = MV_EXIT_INVALID_OP,
	[SVM_EXIT_VMMCALL] = MV_EXIT_HYPERCALL,
	[SVM_EXIT_VMLOAD ... SVM_EXIT_RDTSCP] = MV_EXIT_INVALID_OP,
	[SVM_EXIT_WBINVD] = MV_EXIT_INVD,
	[SVM_EXIT_MONITOR] = MV_EXIT_MONITOR,
	[SVM_EXIT_MWAIT] = MV_EXIT_MWAIT,
	[SVM_EXIT_XSETBV] = MV_EXIT_XSETBV,
	[SVM_EXIT_RDPRU] = MV_EXIT_INVALID_OP,
	[SVM_EXIT_INVPCID] = MV_EXIT_INVALID_OP,
};

static void svm_decode_page_fault(struct mv_exit *x, const struct vmcb_control_area *control)
{
	u64 error = control->exit_info_1;

	x->reason = MV_EXIT_PAGE_FAULT;
	x->fault.gpa = control->exit_info_2;
	x->fault.access = error & SVM_NPF_FETCH ? MV_ACCESS_EXEC :
			  error & SVM_NPF_WRITE ? MV_ACCESS_WRITE : MV_ACCESS_READ;
	x->fault.in_walk = error & SVM_NPF_IN_WALK;
}

static void svm_decode_io(struct mv_exit *x, const struct vmcb *vmcb)
{
	u32 info = vmcb->control.exit_info_1;

	x->io.port = info >> 16;
	x->io.size = (info & SVM_IOIO_SIZE_MASK) >> SVM_IOIO_SIZE_SHIFT;
	x->io.in = info & SVM_IOIO_TYPE_MASK;
	x->io.string = info & SVM_IOIO_STR_MASK;
	if (x->io.string) {
		x->io.rep = info & SVM_IOIO_REP_MASK;
		x->io.addrsize = (info >> SVM_IOIO_ASIZE_SHIFT & 7) * 2;
		x->io.seg = static_cpu_has(X86_FEATURE_DECODEASSISTS) ? info >> 10 & 7 :
									MV_SEG_NONE;
	}
	x->insn_len = vmcb->control.exit_info_2 - vmcb->save.rip;
}

/* Bits of EXITINFO2: why; whether the event has an error code; RFLAGS.RF of the old task. */
#define SVM_TASK_IRET BIT_ULL(36)
#define SVM_TASK_JMP BIT_ULL(38)
#define SVM_TASK_RF BIT_ULL(48)

/* APM vol. 2, 15.14.1. The event of a task gate is in EXITINTINFO. */
static void svm_decode_task_switch(struct svm_vcpu *svm)
{
	const struct vmcb_control_area *control = &svm->vmcb->control;
	u32 event = control->exit_int_info, type = event & SVM_EXITINTINFO_TYPE_MASK;
	u8 vector = event & SVM_EXITINTINFO_VEC_MASK;
	struct mv_pending *p = &svm->vcpu.pending;
	struct mv_exit *x = &svm->vcpu.exit;

	x->task.sel = control->exit_info_1;
	if (control->exit_info_2 & SVM_TASK_IRET)
		x->task.by = MV_TASK_IRET;
	else if (control->exit_info_2 & SVM_TASK_JMP)
		x->task.by = MV_TASK_JMP;
	else
		x->task.by = event & SVM_EXITINTINFO_VALID ? MV_TASK_GATE : MV_TASK_CALL;
	if (control->exit_info_2 & SVM_TASK_RF)
		mv_write_rflags(&svm->vcpu, svm->vcpu.rflags | X86_EFLAGS_RF);
	if (x->task.by != MV_TASK_GATE || p->any)
		return;
	/* The guest's own INT n, INT3 or INTO: svm_requeue_event() lets it execute that again. */
	p->insn_len = x->insn_len;
	if (type == SVM_EXITINTINFO_TYPE_SOFT) {
		p->irq_injected = true;
		p->irq_soft = true;
		p->irq_vector = vector;
	} else {
		p->exc_injected = true;
		p->exc_vector = vector;
		p->exc_has_error = false;
	}
}

#define SVM_EXCEPTIONS_WITH_ERROR                                                      \
	(BIT(DF_VECTOR) | BIT(TS_VECTOR) | BIT(NP_VECTOR) | BIT(SS_VECTOR) |           \
	 BIT(GP_VECTOR) | BIT(PF_VECTOR) | BIT(AC_VECTOR) | BIT(X86_TRAP_CP))

static void svm_decode_exception(struct svm_vcpu *svm, u8 vector)
{
	struct mv_exit *x = &svm->vcpu.exit;
	struct vmcb *vmcb = svm->vmcb;

	if (vector == MC_VECTOR) {
		x->reason = MV_EXIT_DONE;
		mv_host_machine_check();
		return;
	}
	x->exception.vector = vector;
	x->exception.has_error = SVM_EXCEPTIONS_WITH_ERROR & BIT(vector);
	x->exception.error = vmcb->control.exit_info_1;
	x->exception.skip = 0;
	if (vector == PF_VECTOR) {
		x->exception.payload = vmcb->control.exit_info_2;
	} else if (vector == DB_VECTOR) {
		/* The guest's DR6 is shared code's; the processor's has this exception's bits. */
		x->exception.payload = vmcb->save.dr6 ^ DR6_RESERVED;
		vmcb->save.dr6 = DR6_RESERVED;
		svm_mark_dirty(svm, SVM_CLEAN_DR);
	}
}

/* Accesses of control and debug registers: the operand is known only with decode assists. */
static void svm_decode_reg(struct mv_exit *x, const struct vmcb_control_area *control)
{
	u32 code = control->exit_code;

	if (x->reason == MV_EXIT_DR) {
		x->dr.dr = code & 7;
		x->dr.gpr = control->exit_info_1 & 15;
		x->dr.read = code < SVM_EXIT_WRITE_DR0;
		if (!static_cpu_has(X86_FEATURE_DECODEASSISTS))
			x->reason = MV_EXIT_UNFINISHED;
		return;
	}
	x->cr.cr = code == SVM_EXIT_CR0_SEL_WRITE ? 0 : code & 15;
	x->cr.op = code < SVM_EXIT_WRITE_CR0 ? MV_CR_READ : MV_CR_WRITE;
	x->cr.gpr = control->exit_info_1 & 15;
	/* CLTS, LMSW and SMSW are left to be decoded in any case. */
	if (!static_cpu_has(X86_FEATURE_DECODEASSISTS) ||
	    !(control->exit_info_1 & SVM_CR_INFO_MOV))
		x->reason = MV_EXIT_UNFINISHED;
}

/* Interrupts are off, the exit's own work is not done here. */
void svm_decode_exit(struct svm_vcpu *svm)
{
	struct mv_exit *x = &svm->vcpu.exit;
	const struct vmcb *vmcb = svm->vmcb;
	u32 code = vmcb->control.exit_code;

	x->hw_reason = code;
	x->insn_len = 0;
	if (static_cpu_has(X86_FEATURE_NRIPS) && vmcb->control.next_rip)
		x->insn_len = vmcb->control.next_rip - vmcb->save.rip;

	if (unlikely(svm->nmi_step)) {
		if (svm_end_nmi_step(svm)) {
			svm_decode_exception(svm, DB_VECTOR);
			x->reason = MV_EXIT_NMI_WINDOW;
			return;
		}
		if (svm_step_refused(svm)) {
			x->reason = MV_EXIT_DONE;
			return;
		}
	}
	if (code == SVM_EXIT_NPF) {
		svm_decode_page_fault(x, &vmcb->control);
		return;
	}
	x->reason = code < ARRAY_SIZE(svm_reasons) ? svm_reasons[code] : MV_EXIT_UNKNOWN;

	switch (code) {
	case SVM_EXIT_IOIO:
		svm_decode_io(x, vmcb);
		break;
	case SVM_EXIT_MSR:
		if (vmcb->control.exit_info_1)
			x->reason = MV_EXIT_WRMSR;
		break;
	case SVM_EXIT_READ_CR0 ... SVM_EXIT_WRITE_DR7:
	case SVM_EXIT_CR0_SEL_WRITE:
		svm_decode_reg(x, &vmcb->control);
		break;
	case SVM_EXIT_EXCP_BASE ... SVM_EXIT_LAST_EXCP:
		svm_decode_exception(svm, code - SVM_EXIT_EXCP_BASE);
		break;
	case SVM_EXIT_IRET:
		svm_iret(svm);
		break;
	case SVM_EXIT_TASK_SWITCH:
		svm_decode_task_switch(svm);
		break;
	}
}

/* ---- instructions that the processor leaves to be decoded ---- */

/* The bytes at RIP: as many as there are, 15 at most. */
static unsigned int svm_fetch(struct mv_vcpu *vcpu, u8 *insn)
{
	const struct vmcb_save_area *save = &to_svm(vcpu)->vmcb->save;
	u32 access = MV_ACCESS_EXEC | (save->cpl == 3 ? MV_ACCESS_USER : 0);
	unsigned int n = 0;
	u64 la = mv_rip(vcpu);

	lockdep_assert_irqs_enabled(); /* it may sleep: no exit that needs it is a fast one */
	if (!mv_long_mode(vcpu) || !(save->cs.attrib & SVM_SELECTOR_L_MASK))
		la = (u32)(save->cs.base + la);
	while (n < MV_EMUL_INSN_MAX) {
		unsigned int len = min_t(u64, MV_EMUL_INSN_MAX - n, PAGE_SIZE - offset_in_page(la));

		if (mv_fetch(vcpu, la, access, insn + n, len, NULL))
			break;
		n += len;
		la += len;
	}
	return n;
}

/* Without a whole decode: it is on the path of all exits of processors that do not tell. */
unsigned int svm_skip_len(struct mv_vcpu *vcpu)
{
	u8 insn[MV_EMUL_INSN_MAX + 3];
	unsigned int n = svm_fetch(vcpu, insn), len;

	memset(insn + n, 0, 3);
	len = mv_emul_system_len(insn);
	return len <= n ? len : 0;
}

/* What svm_decode_exit() could not do with interrupts off. */
void svm_finish_exit(struct mv_vcpu *vcpu, const struct mv_insn *insn)
{
	struct mv_exit *x = &vcpu->exit;

	/* LMSW, SMSW; at CPL > 0 only that, or what has been written over it. */
	if (!insn || insn->opcode == 0x01 ||
	    (svm_reasons[x->hw_reason] == MV_EXIT_CR && mv_cpl(vcpu))) {
		x->reason = MV_EXIT_EMULATE;
		return;
	}
	x->reason = svm_reasons[x->hw_reason];
	x->insn_len = insn->len;
	if (x->reason == MV_EXIT_DR)
		x->dr.gpr = insn->rm;
	else if (insn->opcode == 0x06)
		x->cr.op = MV_CR_CLTS;
	else
		x->cr.gpr = insn->rm;
}
