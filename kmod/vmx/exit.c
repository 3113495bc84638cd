// SPDX-License-Identifier: GPL-2.0-only
/* A VM exit of the hardware made into struct mv_exit. SDM vol. 3C, chapter 28, appendix C. */
#include "base/regs.h"
#include "cpu/event.h"
#include "cpu/mce.h"
#include "mmu/memory.h"
#include "vmx/vmx.h"

/* Basic exit reasons that <asm/vmx.h> does not name, or not in all kernels. */
enum {
	VMX_REASON_GETSEC = 11,
	VMX_REASON_RSM = 17,
	VMX_REASON_PCONFIG = 65,
	VMX_REASON_LOADIWKEY = 69,
	VMX_REASON_ENCLV = 70,
	VMX_REASON_SEAMCALL = 76,
	VMX_REASON_TDCALL = 77,
	VMX_REASON_RDMSRLIST = 78,
	VMX_REASON_WRMSRLIST = 79,
	VMX_REASON_URDMSR = 80,
	VMX_REASON_UWRMSR = 81,
	VMX_REASON_RDMSR_IMM = 84,
	VMX_REASON_WRMSR_IMM = 85,
};

/*
 * All that a guest can cause; Documentation/mitigations.md tells why the others of appendix C
 * do not come. Instructions that no guest has are undefined for it, at every CPL.
 */
static const u8 vmx_reasons[] = {
	[EXIT_REASON_EXCEPTION_NMI] = MV_EXIT_EXCEPTION,
	[EXIT_REASON_EXTERNAL_INTERRUPT] = MV_EXIT_EXTERNAL_INTERRUPT,
	[EXIT_REASON_TRIPLE_FAULT] = MV_EXIT_TRIPLE_FAULT,
	[EXIT_REASON_INIT_SIGNAL] = MV_EXIT_DONE, /* the machine's: nothing happened to the guest */
	[EXIT_REASON_INTERRUPT_WINDOW] = MV_EXIT_IRQ_WINDOW,
	[EXIT_REASON_NMI_WINDOW] = MV_EXIT_NMI_WINDOW,
	[EXIT_REASON_TASK_SWITCH] = MV_EXIT_TASK_SWITCH,
	[EXIT_REASON_CPUID] = MV_EXIT_CPUID,
	[VMX_REASON_GETSEC] = MV_EXIT_INVALID_OP,
	[EXIT_REASON_HLT] = MV_EXIT_HLT,
	[EXIT_REASON_INVD] = MV_EXIT_INVD,
	[EXIT_REASON_RDPMC] = MV_EXIT_RDPMC,
	[EXIT_REASON_RDTSC] = MV_EXIT_RDTSC,
	[VMX_REASON_RSM] = MV_EXIT_INVALID_OP,
	[EXIT_REASON_VMCALL] = MV_EXIT_HYPERCALL,
	[EXIT_REASON_VMCLEAR] = MV_EXIT_INVALID_OP,
	[EXIT_REASON_VMLAUNCH] = MV_EXIT_INVALID_OP,
	[EXIT_REASON_VMPTRLD] = MV_EXIT_INVALID_OP,
	[EXIT_REASON_VMPTRST] = MV_EXIT_INVALID_OP,
	[EXIT_REASON_VMREAD] = MV_EXIT_INVALID_OP,
	[EXIT_REASON_VMRESUME] = MV_EXIT_INVALID_OP,
	[EXIT_REASON_VMWRITE] = MV_EXIT_INVALID_OP,
	[EXIT_REASON_VMOFF] = MV_EXIT_INVALID_OP,
	[EXIT_REASON_VMON] = MV_EXIT_INVALID_OP,
	[EXIT_REASON_CR_ACCESS] = MV_EXIT_CR,
	[EXIT_REASON_DR_ACCESS] = MV_EXIT_DR,
	[EXIT_REASON_IO_INSTRUCTION] = MV_EXIT_IO,
	[EXIT_REASON_MSR_READ] = MV_EXIT_RDMSR,
	[EXIT_REASON_MSR_WRITE] = MV_EXIT_WRMSR,
	[EXIT_REASON_MWAIT_INSTRUCTION] = MV_EXIT_MWAIT,
	[EXIT_REASON_MONITOR_INSTRUCTION] = MV_EXIT_MONITOR,
	[EXIT_REASON_PAUSE_INSTRUCTION] = MV_EXIT_PAUSE,
	/* An interrupt that TPR has held back may come in. */
	[EXIT_REASON_TPR_BELOW_THRESHOLD] = MV_EXIT_IRQ_WINDOW,
	[EXIT_REASON_APIC_ACCESS] = MV_EXIT_APIC_ACCESS,
	[EXIT_REASON_EOI_INDUCED] = MV_EXIT_EOI,
	[EXIT_REASON_EPT_VIOLATION] = MV_EXIT_PAGE_FAULT,
	[EXIT_REASON_INVEPT] = MV_EXIT_INVALID_OP,
	[EXIT_REASON_INVVPID] = MV_EXIT_INVALID_OP,
	[EXIT_REASON_WBINVD] = MV_EXIT_INVD,
	[EXIT_REASON_XSETBV] = MV_EXIT_XSETBV,
	[EXIT_REASON_APIC_WRITE] = MV_EXIT_APIC_WRITE,
	[EXIT_REASON_INVPCID] = MV_EXIT_INVALID_OP,
	[EXIT_REASON_VMFUNC] = MV_EXIT_INVALID_OP,
	[EXIT_REASON_ENCLS] = MV_EXIT_INVALID_OP,
	[EXIT_REASON_PML_FULL] = MV_EXIT_LOG_FULL,
	[VMX_REASON_PCONFIG] = MV_EXIT_INVALID_OP,
	[VMX_REASON_LOADIWKEY ... VMX_REASON_ENCLV] = MV_EXIT_INVALID_OP,
	[VMX_REASON_SEAMCALL ... VMX_REASON_UWRMSR] = MV_EXIT_INVALID_OP,
	[VMX_REASON_RDMSR_IMM ... VMX_REASON_WRMSR_IMM] = MV_EXIT_INVALID_OP,
};

static_assert(MV_EXIT_UNKNOWN == 0);

/*
 * An exit in the middle of the delivery of an event: deliver it again.
 * SDM 28.2.4; only exits that can happen there come here.
 */
static void vmx_requeue_event(struct vmx_vcpu *vmx)
{
	struct mv_pending *p = &vmx->vcpu.pending;
	u32 info = vmcs_read(IDT_VECTORING_INFO_FIELD);
	u8 vector;

	if (likely(!(info & VECTORING_INFO_VALID_MASK)))
		return;

	info = vmx_vectoring_info(&vmx->vcpu, info);
	vector = info & VECTORING_INFO_VECTOR_MASK;
	switch (info & VECTORING_INFO_TYPE_MASK) {
	case INTR_TYPE_NMI_INTR:
		p->nmi_injected = true;
		/* It is to block others when it is delivered, not before. */
		vmcs_write(GUEST_INTERRUPTIBILITY_INFO,
			   vmcs_read(GUEST_INTERRUPTIBILITY_INFO) & ~GUEST_INTR_STATE_NMI);
		break;
	case INTR_TYPE_PRIV_SW_EXCEPTION:
		/* ICEBP's #DB goes in again as one of the hardware, which pushes RIP as it is. */
		mv_write_rip(&vmx->vcpu, mv_rip(&vmx->vcpu) + vmcs_read(VM_EXIT_INSTRUCTION_LEN));
		fallthrough;
	case INTR_TYPE_SOFT_EXCEPTION:
	case INTR_TYPE_HARD_EXCEPTION:
		p->exc_injected = true;
		p->exc_vector = vector;
		p->exc_has_error = info & VECTORING_INFO_DELIVER_CODE_MASK;
		if (p->exc_has_error)
			p->exc_error = vmcs_read(IDT_VECTORING_ERROR_CODE);
		p->exc_has_payload = false;
		p->insn_len = vmcs_read(VM_EXIT_INSTRUCTION_LEN);
		break;
	case INTR_TYPE_SOFT_INTR:
	case INTR_TYPE_EXT_INTR:
		p->irq_injected = true;
		p->irq_vector = vector;
		p->irq_soft = (info & VECTORING_INFO_TYPE_MASK) == INTR_TYPE_SOFT_INTR;
		p->insn_len = vmcs_read(VM_EXIT_INSTRUCTION_LEN);
		break;
	}
	mv_request(&vmx->vcpu, MV_REQ_EVENT);
}

/* An IRET that faulted has unblocked NMIs too early. SDM 28.2.3. */
static void vmx_reblock_nmi(void)
{
	if (!(vmcs_read(IDT_VECTORING_INFO_FIELD) & VECTORING_INFO_VALID_MASK))
		vmcs_write(GUEST_INTERRUPTIBILITY_INFO,
			   vmcs_read(GUEST_INTERRUPTIBILITY_INFO) | GUEST_INTR_STATE_NMI);
}

static void vmx_decode_exception(struct vmx_vcpu *vmx)
{
	struct mv_exit *exit = &vmx->vcpu.exit;
	u32 info = vmcs_read(VM_EXIT_INTR_INFO);
	u8 vector = info & INTR_INFO_VECTOR_MASK;

	if ((info & INTR_INFO_INTR_TYPE_MASK) == INTR_TYPE_NMI_INTR) {
		/* The host's NMI. It is blocked until the handler's IRET. */
		exit->reason = MV_EXIT_NMI;
		vmx_requeue_event(vmx);
		asm volatile("int $2");
		return;
	}
	if (vector == MC_VECTOR) {
		exit->reason = MV_EXIT_DONE;
		vmx_requeue_event(vmx);
		mv_host_machine_check();
		return;
	}

	if ((info & INTR_INFO_UNBLOCK_NMI) && vector != DF_VECTOR)
		vmx_reblock_nmi();
	vmx_requeue_event(vmx);
	exit->exception.vector = vector;
	exit->exception.has_error = info & INTR_INFO_DELIVER_CODE_MASK;
	if (exit->exception.has_error)
		exit->exception.error = vmcs_read(VM_EXIT_INTR_ERROR_CODE);
	/* #DB: the DR6 bits; #PF: the address. */
	exit->exception.payload = vmcs_read(EXIT_QUALIFICATION);
	exit->exception.skip = 0;
	if ((info & INTR_INFO_INTR_TYPE_MASK) == INTR_TYPE_PRIV_SW_EXCEPTION)
		exit->exception.skip = vmcs_read(VM_EXIT_INSTRUCTION_LEN);
}

/* Exit qualification for control-register accesses. SDM table 28-3. */
static void vmx_decode_cr(struct mv_exit *exit)
{
	u64 q = vmcs_read(EXIT_QUALIFICATION);

	exit->cr.cr = q & 15;
	exit->cr.op = (q >> 4) & 3; /* enum mv_cr_op is in the hardware's order */
	exit->cr.gpr = (q >> 8) & 15;
	exit->cr.lmsw = q >> LMSW_SOURCE_DATA_SHIFT;
}

static void vmx_decode_dr(struct mv_exit *exit)
{
	u64 q = vmcs_read(EXIT_QUALIFICATION);

	exit->dr.dr = q & 7;
	exit->dr.read = q & BIT(4);
	exit->dr.gpr = (q >> 8) & 15;
}

/* SDM table 28-5; VM-exit instruction information, table 28-8. */
static void vmx_decode_io(struct mv_exit *exit)
{
	u64 q = vmcs_read(EXIT_QUALIFICATION);
	u32 info;

	exit->io.size = (q & 7) + 1;
	exit->io.in = q & BIT(3);
	exit->io.string = q & BIT(4);
	exit->io.port = q >> 16;
	if (exit->io.string) {
		exit->io.rep = q & BIT(5);
		info = vmcs_read(VMX_INSTRUCTION_INFO);
		exit->io.addrsize = 2 << ((info >> 7) & 7);
		exit->io.seg = (info >> 15) & 7;
	}
}

/* Exit qualification for EPT violations. SDM table 28-7. */
static void vmx_decode_page_fault(struct vmx_vcpu *vmx)
{
	struct mv_exit *exit = &vmx->vcpu.exit;
	u64 q = vmcs_read(EXIT_QUALIFICATION);

	if (q & INTR_INFO_UNBLOCK_NMI)
		vmx_reblock_nmi();
	vmx_requeue_event(vmx);
	exit->fault.gpa = vmcs_read(GUEST_PHYSICAL_ADDRESS);
	exit->fault.access = q & (MV_ACCESS_READ | MV_ACCESS_WRITE | MV_ACCESS_EXEC);
	/* Bit 7: there is a linear address; bit 8: the access was to its translation. */
	exit->fault.in_walk = (q & BIT(7)) && !(q & BIT(8));
}

/* It comes before the write, which is made again. SDM 28.2.2, table 28-7 for the bit. */
static void vmx_decode_log_full(struct vmx_vcpu *vmx)
{
	if (vmcs_read(EXIT_QUALIFICATION) & INTR_INFO_UNBLOCK_NMI)
		vmx_reblock_nmi();
	vmx_requeue_event(vmx);
	vmcs_write(GUEST_PML_INDEX, MV_CPU_LOG_ENTRIES - 1);
}

static_assert(MV_TASK_CALL == 0 && MV_TASK_IRET == 1 && MV_TASK_JMP == 2 && MV_TASK_GATE == 3);
static_assert(MV_CR_WRITE == 0 && MV_CR_READ == 1 && MV_CR_CLTS == 2 && MV_CR_LMSW == 3);
static_assert(MV_ACCESS_READ == BIT(0) && MV_ACCESS_WRITE == BIT(1) && MV_ACCESS_EXEC == BIT(2));

void vmx_decode_exit(struct vmx_vcpu *vmx)
{
	struct mv_exit *exit = &vmx->vcpu.exit;
	u32 hw_reason = vmcs_read(VM_EXIT_REASON);
	u16 basic = hw_reason;

	exit->hw_reason = hw_reason;
	if (unlikely(hw_reason & VMX_EXIT_REASONS_FAILED_VMENTRY)) {
		/* Userspace hears of it as a failed entry, if the host survives. SDM 27.9. */
		if (basic == EXIT_REASON_MCE_DURING_VMENTRY)
			mv_host_machine_check();
		exit->reason = MV_EXIT_FAIL_ENTRY;
		return;
	}
	vmx->launched = true; /* only now: a VMLAUNCH that fails leaves the VMCS clear */
	mv_events_sent(&vmx->vcpu);
	exit->reason = basic < ARRAY_SIZE(vmx_reasons) ? vmx_reasons[basic] : MV_EXIT_UNKNOWN;
	exit->insn_len = 0; /* read when it is wanted */

	switch (exit->reason) {
	case MV_EXIT_EXCEPTION:
		vmx_decode_exception(vmx);
		break;
	case MV_EXIT_CR:
		vmx_decode_cr(exit);
		break;
	case MV_EXIT_DR:
		vmx_decode_dr(exit);
		break;
	case MV_EXIT_IO:
		vmx_decode_io(exit);
		break;
	case MV_EXIT_PAGE_FAULT:
		vmx_decode_page_fault(vmx);
		break;
	case MV_EXIT_LOG_FULL:
		vmx_decode_log_full(vmx);
		break;
	case MV_EXIT_APIC_ACCESS:
		vmx_decode_apic_access(&vmx->vcpu);
		vmx_requeue_event(vmx);
		break;
	case MV_EXIT_APIC_WRITE:
		exit->apic = vmcs_read(EXIT_QUALIFICATION);
		break;
	case MV_EXIT_EOI:
		vmx_decode_eoi(&vmx->vcpu);
		break;
	case MV_EXIT_TASK_SWITCH:
		/* SDM table 28-2. Through a task gate an event is in delivery. */
		exit->task.sel = vmcs_read(EXIT_QUALIFICATION);
		exit->task.by = vmcs_read(EXIT_QUALIFICATION) >> 30 & 3;
		vmx_requeue_event(vmx);
		break;
	case MV_EXIT_UNKNOWN:
		vmx_requeue_event(vmx);
		break;
	}
}
