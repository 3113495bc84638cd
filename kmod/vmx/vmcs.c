// SPDX-License-Identifier: GPL-2.0-only
/* The VMCS: its life, and the guest state in it. SDM vol. 3C, chapter 25. */
#include <linux/percpu.h>
#include <linux/idr.h>
#include <linux/smp.h>
#include <asm/desc.h>
#include <asm/msr.h>
#include <asm/tlbflush.h>

#include "base/backend.h"
#include "base/compat.h"
#include "base/regs.h"
#include "base/request.h"
#include "cpu/debug.h"
#include "mmu/memory.h"
#include "vmx/vmx.h"

/* VMCSs that are active on a CPU, to be cleared before VMX goes off there. */
static DEFINE_PER_CPU(struct list_head, vmx_active);
static DEFINE_PER_CPU(void *, vmx_current);

static DEFINE_IDA(vpids);
#define VPID_MAX 0xffff

/*
 * PAUSE-loop exiting, SDM 26.1.3: PAUSEs this close together are one loop, and
 * a loop of this length exits.  A lock held by a running vCPU is free sooner.
 */
#define PLE_GAP_CYCLES 128
#define PLE_WINDOW_CYCLES 4096

void __init vmx_init_active_lists(void)
{
	int cpu;

	for_each_possible_cpu(cpu)
		INIT_LIST_HEAD(&per_cpu(vmx_active, cpu));
}

static void vmcs_clear(void *vmcs)
{
	u64 pa = __pa(vmcs);

	/* The fault: VMX has been turned off under us for a reboot. */
	asm volatile("1: vmclear %0\n2:\n" _ASM_EXTABLE(1b, 2b)
		     : : "m"(pa) : "cc", "memory");
}

static void vmcs_load(void *vmcs)
{
	u64 pa = __pa(vmcs);

	asm volatile("1: vmptrld %0\n2:\n" _ASM_EXTABLE(1b, 2b)
		     : : "m"(pa) : "cc", "memory");
}

/* On the CPU where it is active, interrupts off. */
static void vmx_deactivate_here(void *info)
{
	struct vmx_vcpu *vmx = info;

	if (vmx->vmcs_cpu != smp_processor_id())
		return; /* VMX went off here in the meantime */
	vmcs_clear(vmx->vmcs);
	if (this_cpu_read(vmx_current) == vmx->vmcs)
		this_cpu_write(vmx_current, NULL);
	list_del(&vmx->vmcs_link);
	vmx->launched = false;
	/* Whoever sees the VMCS inactive may activate it elsewhere. */
	smp_store_release(&vmx->vmcs_cpu, -1);
}

static void vmx_deactivate(struct vmx_vcpu *vmx)
{
	int cpu = smp_load_acquire(&vmx->vmcs_cpu); /* pairs with vmx_deactivate_here() */

	if (cpu >= 0)
		smp_call_function_single(cpu, vmx_deactivate_here, vmx, 1);
}

void vmx_clear_all_on_this_cpu(void)
{
	struct vmx_vcpu *vmx, *next;

	list_for_each_entry_safe(vmx, next, this_cpu_ptr(&vmx_active), vmcs_link)
		vmx_deactivate_here(vmx);
}

/* An NMI may have come between the two stores of a list_add(): next pointers are valid always. */
void vmx_emergency_clear_all(void)
{
	struct vmx_vcpu *vmx;

	list_for_each_entry(vmx, this_cpu_ptr(&vmx_active), vmcs_link)
		vmcs_clear(vmx->vmcs);
}

/* Host state that depends on the CPU. */
static void vmx_write_cpu_host_state(void)
{
	struct desc_ptr idt;
	u64 val;

	vmcs_write(HOST_TR_BASE,
		   (unsigned long)&get_cpu_entry_area(smp_processor_id())->tss.x86_tss);
	vmcs_write(HOST_GDTR_BASE, (unsigned long)get_current_gdt_ro());
	rdmsrl(MSR_GS_BASE, val);
	vmcs_write(HOST_GS_BASE, val);
	rdmsrl(MSR_IA32_SYSENTER_ESP, val);
	vmcs_write(HOST_IA32_SYSENTER_ESP, val);
	store_idt(&idt);
	vmcs_write(HOST_IDTR_BASE, idt.address);
}

void vmx_activate(struct vmx_vcpu *vmx)
{
	int cpu = smp_processor_id();
	unsigned long flags;

	if (vmx->vmcs_cpu == cpu) {
		if (this_cpu_read(vmx_current) != vmx->vmcs) {
			vmcs_load(vmx->vmcs);
			this_cpu_write(vmx_current, vmx->vmcs);
			indirect_branch_prediction_barrier();
		}
		return;
	}

	vmx_deactivate(vmx);
	/* Another guest's branch history must not steer this one. */
	indirect_branch_prediction_barrier();
	local_irq_save(flags);
	vmx->vmcs_cpu = cpu;
	list_add(&vmx->vmcs_link, this_cpu_ptr(&vmx_active));
	local_irq_restore(flags);
	vmcs_load(vmx->vmcs);
	this_cpu_write(vmx_current, vmx->vmcs);
	vmx_write_cpu_host_state();

	/* What this CPU has cached for the VM may be from before a change made elsewhere. */
	mv_request(&vmx->vcpu, MV_REQ_TLB_FLUSH);
}

int vmx_vcpu_init(struct mv_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	int vpid = 0;

	vmx->vmcs_cpu = -1;
	/* Not what any of them can be: the first entry writes them all. */
	memset(&vmx->host, 0xff, sizeof(vmx->host));
	if (vmx_caps.vpid) {
		vpid = ida_alloc_range(&vpids, 1, VPID_MAX, GFP_KERNEL_ACCOUNT);
		/* Somebody has taken all of them: it goes without, by which each entry flushes. */
		if (vpid == -ENOSPC)
			vpid = 0;
		else if (vpid < 0)
			return vpid;
	}
	vmx->vmcs = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (!vmx->vmcs) {
		if (vpid)
			ida_free(&vpids, vpid);
		return -ENOMEM;
	}
	vmx->vpid = vpid;
	*(u32 *)vmx->vmcs = vmx_caps.revision;
	/* A VMCS must be cleared once before its first use, which needs VMX: here it is on. */
	preempt_disable();
	vmcs_clear(vmx->vmcs);
	preempt_enable();
	return 0;
}

void vmx_vcpu_free(struct mv_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	preempt_disable();
	vmx_deactivate(vmx);
	preempt_enable();
	free_page((unsigned long)vmx->vmcs);
	if (vmx->vpid)
		ida_free(&vpids, vmx->vpid);
}

/* Exits that userspace has turned off. A HLT without a local APIC is userspace's in any case. */
static u32 vmx_unwanted_exits(struct mv_vcpu *vcpu)
{
	u32 off = vcpu->vm->disabled_exits;

	return (vcpu->lapic ? CPU_BASED_CR8_LOAD_EXITING | CPU_BASED_CR8_STORE_EXITING :
			      CPU_BASED_TPR_SHADOW) |
	       (off & KVM_X86_DISABLE_EXITS_HLT && vcpu->lapic ? CPU_BASED_HLT_EXITING : 0) |
	       (off & KVM_X86_DISABLE_EXITS_MWAIT ?
			CPU_BASED_MWAIT_EXITING | CPU_BASED_MONITOR_EXITING : 0);
}

static u32 vmx_secondary_controls(struct mv_vcpu *vcpu)
{
	u32 cpu2 = vmx_caps.cpu2 | vmx_apic_controls(vcpu);

	if (!to_vmx(vcpu)->vpid)
		cpu2 &= ~SECONDARY_EXEC_ENABLE_VPID;
	/* Without its CPUID bit an instruction is undefined for the guest. */
	if (!mv_guest_has(vcpu, X86_FEATURE_RDTSCP))
		cpu2 &= ~SECONDARY_EXEC_ENABLE_RDTSCP;
	if (!mv_guest_has(vcpu, X86_FEATURE_INVPCID))
		cpu2 &= ~SECONDARY_EXEC_ENABLE_INVPCID;
	if (!mv_guest_has(vcpu, X86_FEATURE_XSAVES))
		cpu2 &= ~SECONDARY_EXEC_ENABLE_XSAVES;
	if (vcpu->vm->disabled_exits & KVM_X86_DISABLE_EXITS_PAUSE)
		cpu2 &= ~SECONDARY_EXEC_PAUSE_LOOP_EXITING;
	return cpu2;
}

/* What no guest ever changes. */
static void vmx_write_constant_state(struct vmx_vcpu *vmx)
{
	struct mv_vcpu *vcpu = &vmx->vcpu;
	u64 val;

	vmx->cpu_ctl = vmx_caps.cpu & ~vmx_unwanted_exits(vcpu);
	vmcs_write(PIN_BASED_VM_EXEC_CONTROL, vmx_caps.pin);
	vmcs_write(CPU_BASED_VM_EXEC_CONTROL, vmx->cpu_ctl);
	vmx_update_msr_exits(vcpu);
	vmx->cpu2 = 0;
	vmx_write_cpu2(vcpu);
	vmx_init_apic(vmx);
	vmcs_write(VM_EXIT_CONTROLS, vmx_caps.exit);
	vmcs_write(VM_ENTRY_CONTROLS, vmx_caps.entry);
	vmcs_write(VMCS_LINK_POINTER, ~0ull);
	vmcs_write(PAGE_FAULT_ERROR_CODE_MASK, 0);
	vmcs_write(PAGE_FAULT_ERROR_CODE_MATCH, 0);
	vmcs_write(CR3_TARGET_COUNT, 0);
	vmcs_write(VM_EXIT_MSR_STORE_COUNT, 0);
	vmcs_write(VM_EXIT_MSR_LOAD_COUNT, 0);
	vmcs_write(VM_ENTRY_MSR_LOAD_COUNT, 0);
	vmcs_write(VM_EXIT_MSR_LOAD_ADDR, __pa(vmx->host_perf));
	vmcs_write(VM_ENTRY_MSR_LOAD_ADDR, __pa(vmx->guest_perf));
	vmx->nr_perf_msrs = 0;
	vmcs_write(CR0_GUEST_HOST_MASK, ~MV_CR0_GUEST_OWNED);
	vmcs_write(EPT_POINTER, vmx->vcpu.vm->mmu.root_hpa | VMX_EPTP_MT_WB | VMX_EPTP_PWL_4 |
				(vmx_caps.ept_ad ? VMX_EPTP_AD_ENABLE_BIT : 0));
	if (vmx->vpid)
		vmcs_write(VIRTUAL_PROCESSOR_ID, vmx->vpid);
	if (vmx_caps.cpu2 & SECONDARY_EXEC_ENABLE_XSAVES)
		vmcs_write(XSS_EXIT_BITMAP, 0);
	/* No guest has SGX: all leaf functions exit. */
	if (vmx_caps.cpu2 & SECONDARY_EXEC_ENCLS_EXITING)
		vmcs_write(ENCLS_EXITING_BITMAP, ~0ull);
	if (vmx->vcpu.cpu_log) {
		vmcs_write(PML_ADDRESS, __pa(vmx->vcpu.cpu_log));
		vmcs_write(GUEST_PML_INDEX, MV_CPU_LOG_ENTRIES - 1);
	}
	if (vmx_caps.cpu2 & SECONDARY_EXEC_PAUSE_LOOP_EXITING) {
		vmcs_write(PLE_GAP, PLE_GAP_CYCLES);
		vmcs_write(PLE_WINDOW, PLE_WINDOW_CYCLES);
	}

	vmcs_write(HOST_CR0, read_cr0());
	vmcs_write(HOST_CS_SELECTOR, __KERNEL_CS);
	vmcs_write(HOST_SS_SELECTOR, __KERNEL_DS);
	/* Data selectors are 0 in the kernel; vmx_put() brings a thread's own back. */
	vmcs_write(HOST_DS_SELECTOR, 0);
	vmcs_write(HOST_ES_SELECTOR, 0);
	vmcs_write(HOST_FS_SELECTOR, 0);
	vmcs_write(HOST_GS_SELECTOR, 0);
	vmcs_write(HOST_TR_SELECTOR, GDT_ENTRY_TSS * 8);
	vmcs_write(HOST_RIP, (unsigned long)vmx_exit_entry);
	rdmsrl(MSR_IA32_SYSENTER_CS, val);
	vmcs_write(HOST_IA32_SYSENTER_CS, val);
	rdmsrl(MSR_IA32_SYSENTER_EIP, val);
	vmcs_write(HOST_IA32_SYSENTER_EIP, val);
	rdmsrl(MSR_EFER, val);
	vmcs_write(HOST_IA32_EFER, val);
}

/* The state after power-up or INIT, as far as the VMCS holds it. SDM vol. 3A, table 10-1. */
void vmx_vcpu_reset(struct mv_vcpu *vcpu, bool init)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	if (!init)
		vmx_write_constant_state(vmx);

	vmcs_write(GUEST_SYSENTER_CS, 0);
	vmcs_write(GUEST_SYSENTER_ESP, 0);
	vmcs_write(GUEST_SYSENTER_EIP, 0);
	vmcs_write(GUEST_IA32_DEBUGCTL, 0);
	vmcs_write(GUEST_ACTIVITY_STATE, GUEST_ACTIVITY_ACTIVE);
	vmcs_write(GUEST_INTERRUPTIBILITY_INFO, 0);
	vmcs_write(GUEST_PENDING_DBG_EXCEPTIONS, 0);
	vmcs_write(VM_ENTRY_INTR_INFO_FIELD, 0);
	vmx_update_debug(vcpu);
}

/* ---- segments and descriptor tables ---- */

/* The fields of one segment are 2 apart in each group, ES first; LDTR comes before TR. */
static unsigned long seg_field(unsigned long es_field, enum mv_seg seg)
{
	if (seg == MV_TR)
		return es_field + 2 * 7;
	if (seg == MV_LDTR)
		return es_field + 2 * 6;
	return es_field + 2 * seg;
}

void vmx_get_seg(struct mv_vcpu *vcpu, enum mv_seg seg, struct kvm_segment *s)
{
	u32 ar = vmcs_read(seg_field(GUEST_ES_AR_BYTES, seg));

	s->base = vmcs_read(seg_field(GUEST_ES_BASE, seg));
	s->limit = vmcs_read(seg_field(GUEST_ES_LIMIT, seg));
	s->selector = vmcs_read(seg_field(GUEST_ES_SELECTOR, seg));
	s->type = ar & 15;
	s->s = (ar >> 4) & 1;
	s->dpl = (ar >> 5) & 3;
	s->unusable = (ar >> 16) & 1;
	s->present = !s->unusable;
	s->avl = (ar >> 12) & 1;
	s->l = (ar >> 13) & 1;
	s->db = (ar >> 14) & 1;
	s->g = (ar >> 15) & 1;
	s->padding = 0;
}

u32 vmx_get_rights(struct mv_vcpu *vcpu, enum mv_seg seg, u64 *base, u32 *limit)
{
	*base = vmcs_read(seg_field(GUEST_ES_BASE, seg));
	*limit = vmcs_read(seg_field(GUEST_ES_LIMIT, seg));
	return vmcs_read(seg_field(GUEST_ES_AR_BYTES, seg));
}

/* SS.DPL is the CPL, always. */
u32 vmx_code_rights(struct mv_vcpu *vcpu)
{
	return (vmcs_read(GUEST_CS_AR_BYTES) & (MV_SEG_L | MV_SEG_DB)) |
	       (vmcs_read(GUEST_SS_AR_BYTES) & MV_SEG_DPL);
}

void vmx_set_seg(struct mv_vcpu *vcpu, enum mv_seg seg, const struct kvm_segment *s)
{
	u32 ar;

	vmcs_write(seg_field(GUEST_ES_BASE, seg), s->base);
	vmcs_write(seg_field(GUEST_ES_LIMIT, seg), s->limit);
	vmcs_write(seg_field(GUEST_ES_SELECTOR, seg), s->selector);
	if (s->unusable || !s->present) {
		/* SS.DPL is the CPL in any case. */
		ar = MV_SEG_UNUSABLE | (seg == MV_SS ? (s->dpl & 3) << MV_SEG_DPL_SHIFT : 0);
	} else {
		ar = (s->type & 15) | (s->s & 1) << 4 | (s->dpl & 3) << 5 | (s->present & 1) << 7 |
		     (s->avl & 1) << 12 | (s->l & 1) << 13 | (s->db & 1) << 14 | (s->g & 1) << 15;
	}
	/*
	 * VM entry wants the accessed bit, which the processor sets when it
	 * loads a segment; userspace may have left it out. SDM 27.3.1.2.
	 */
	if (seg < MV_TR && !(ar & MV_SEG_UNUSABLE))
		ar |= 1;
	vmcs_write(seg_field(GUEST_ES_AR_BYTES, seg), ar);
}

void vmx_get_dt(struct mv_vcpu *vcpu, bool idt, struct kvm_dtable *dt)
{
	dt->base = vmcs_read(idt ? GUEST_IDTR_BASE : GUEST_GDTR_BASE);
	dt->limit = vmcs_read(idt ? GUEST_IDTR_LIMIT : GUEST_GDTR_LIMIT);
}

void vmx_set_dt(struct mv_vcpu *vcpu, bool idt, const struct kvm_dtable *dt)
{
	vmcs_write(idt ? GUEST_IDTR_BASE : GUEST_GDTR_BASE, dt->base);
	vmcs_write(idt ? GUEST_IDTR_LIMIT : GUEST_GDTR_LIMIT, dt->limit);
}

/* ---- control registers ---- */

void vmx_set_cr0(struct mv_vcpu *vcpu, u64 val)
{
	if ((val ^ vcpu->cr0) & MV_CR0_TLB_BITS)
		mv_request(vcpu, MV_REQ_TLB_FLUSH);
	vcpu->cr0 = val;
	vcpu->regs_avail |= BIT(MV_LAZY_CR0);
	vmcs_write(CR0_READ_SHADOW, val);
	/* The host's caching stays: the guest's CD and NW are for its eyes only. */
	vmcs_write(GUEST_CR0, (val & ~(X86_CR0_CD | X86_CR0_NW)) | vmx_caps.cr0_fixed);
}

void vmx_set_cr4(struct mv_vcpu *vcpu, u64 val)
{
	u64 owned = MV_CR4_GUEST_OWNED & ~vcpu->cr4_reserved;

	if ((val ^ vcpu->cr4) & MV_CR4_TLB_BITS)
		mv_request(vcpu, MV_REQ_TLB_FLUSH);
	vcpu->cr4 = val;
	vcpu->regs_avail |= BIT(MV_LAZY_CR4);
	vmcs_write(CR4_GUEST_HOST_MASK, ~owned);
	vmcs_write(CR4_READ_SHADOW, val);
	/* A machine check in the guest is the host's. */
	vmcs_write(GUEST_CR4, (val & ~X86_CR4_MCE) | (cr4_read_shadow() & X86_CR4_MCE) |
			      vmx_caps.cr4_fixed);
}

void vmx_write_efer(struct mv_vcpu *vcpu, u64 val)
{
	u32 entry = vmx_caps.entry, tr;

	if (val & ~vcpu->efer & EFER_LMA) {
		/*
		 * VM entry wants a 64-bit TSS now. A processor refuses to begin IA-32e mode with a
		 * 16-bit one, KVM and AMD do not: with its base and limit as they are.
		 */
		tr = vmcs_read(GUEST_TR_AR_BYTES);
		vmcs_write(GUEST_TR_AR_BYTES, tr | VMX_AR_TYPE_BUSY_64_TSS);
	}
	vcpu->efer = val;
	if (val & EFER_LMA)
		entry |= VM_ENTRY_IA32E_MODE;
	vmcs_write(VM_ENTRY_CONTROLS, entry);
	vmcs_write(GUEST_IA32_EFER, val);
}

void vmx_write_cpu2(struct mv_vcpu *vcpu)
{
	u32 cpu2 = vmx_secondary_controls(vcpu);
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	if (cpu2 == vmx->cpu2)
		return;
	/* Accesses to the APIC-access page may be cached. SDM vol. 3C, 29.4.4.1. */
	if ((cpu2 ^ vmx->cpu2) & SECONDARY_EXEC_VIRTUALIZE_APIC_ACCESSES)
		mv_request(vcpu, MV_REQ_TLB_FLUSH);
	vmx->cpu2 = cpu2;
	vmcs_write(SECONDARY_VM_EXEC_CONTROL, cpu2);
	vmx_write_msr_bitmap(vmx);
}

void vmx_cpuid_changed(struct mv_vcpu *vcpu)
{
	vmx_write_cpu2(vcpu);
	/* Which CR4 bits the guest owns depends on what it may set. */
	vmx_set_cr4(vcpu, mv_cr4(vcpu));
}

void vmx_update_debug(struct mv_vcpu *vcpu)
{
	vmcs_write(EXCEPTION_BITMAP, mv_exception_intercepts(vcpu));
	vmcs_write(GUEST_DR7, mv_effective_dr7(vcpu));
}

/* ---- registers that are read on demand ---- */

void vmx_cache_reg(struct mv_vcpu *vcpu, enum mv_lazy_reg reg)
{
	u64 owned;

	switch (reg) {
	case MV_LAZY_RSP:
		vcpu->gpr[MV_RSP] = vmcs_read(GUEST_RSP);
		break;
	case MV_LAZY_RIP:
		vcpu->rip = vmcs_read(GUEST_RIP);
		break;
	case MV_LAZY_RFLAGS:
		vcpu->rflags = vmcs_read(GUEST_RFLAGS);
		break;
	case MV_LAZY_CR0:
		vcpu->cr0 = (vcpu->cr0 & ~MV_CR0_GUEST_OWNED) |
			    (vmcs_read(GUEST_CR0) & MV_CR0_GUEST_OWNED);
		break;
	case MV_LAZY_CR3:
		vcpu->cr3 = vmcs_read(GUEST_CR3);
		break;
	case MV_LAZY_CR4:
		owned = MV_CR4_GUEST_OWNED & ~vcpu->cr4_reserved;
		vcpu->cr4 = (vcpu->cr4 & ~owned) | (vmcs_read(GUEST_CR4) & owned);
		break;
	default:
		return;
	}
	vcpu->regs_avail |= BIT(reg);
}

/* Who asks for the length wants these two next, to go past the instruction. */
unsigned int vmx_skip_len(struct mv_vcpu *vcpu)
{
	if (likely(!(vcpu->regs_avail & BIT(MV_LAZY_RIP))))
		vcpu->rip = vmcs_read(GUEST_RIP);
	if (likely(!(vcpu->regs_avail & BIT(MV_LAZY_RFLAGS))))
		vcpu->rflags = vmcs_read(GUEST_RFLAGS);
	vcpu->regs_avail |= BIT(MV_LAZY_RIP) | BIT(MV_LAZY_RFLAGS);
	return vmcs_read(VM_EXIT_INSTRUCTION_LEN);
}

void vmx_read_pdptrs(struct mv_vcpu *vcpu)
{
	vcpu->pdptrs[0] = vmcs_read(GUEST_PDPTR0);
	vcpu->pdptrs[1] = vmcs_read(GUEST_PDPTR1);
	vcpu->pdptrs[2] = vmcs_read(GUEST_PDPTR2);
	vcpu->pdptrs[3] = vmcs_read(GUEST_PDPTR3);
}

/* But for RIP, which vmx_run() has written. */
void vmx_write_dirty_regs(struct mv_vcpu *vcpu)
{
	u32 dirty = vcpu->regs_dirty;

	if (dirty & BIT(MV_LAZY_RSP))
		vmcs_write(GUEST_RSP, vcpu->gpr[MV_RSP]);
	if (dirty & BIT(MV_LAZY_RFLAGS))
		vmcs_write(GUEST_RFLAGS, vcpu->rflags);
	if (dirty & BIT(MV_LAZY_CR3)) {
		vmcs_write(GUEST_CR3, vcpu->cr3);
		if (mv_pae_paging(vcpu)) {
			vmcs_write(GUEST_PDPTR0, vcpu->pdptrs[0]);
			vmcs_write(GUEST_PDPTR1, vcpu->pdptrs[1]);
			vmcs_write(GUEST_PDPTR2, vcpu->pdptrs[2]);
			vmcs_write(GUEST_PDPTR3, vcpu->pdptrs[3]);
		}
	}
}

/* ---- reports ---- */

void vmcs_write_failed(unsigned long field, u64 val)
{
	pr_err_ratelimited("VMWRITE of %#llx to field %#lx failed: instruction error %llu\n", val,
			   field, vmcs_read(VM_INSTRUCTION_ERROR));
}

void vmx_dump(struct mv_vcpu *vcpu)
{
	static const struct {
		const char *name;
		u16 field;
	} fields[] = {
		{ "pin", PIN_BASED_VM_EXEC_CONTROL }, { "cpu", CPU_BASED_VM_EXEC_CONTROL },
		{ "cpu2", SECONDARY_VM_EXEC_CONTROL }, { "entry", VM_ENTRY_CONTROLS },
		{ "exit", VM_EXIT_CONTROLS }, { "exceptions", EXCEPTION_BITMAP },
		{ "entry intr", VM_ENTRY_INTR_INFO_FIELD }, { "reason", VM_EXIT_REASON },
		{ "qualification", EXIT_QUALIFICATION },
		{ "idt vectoring", IDT_VECTORING_INFO_FIELD },
		{ "interruptibility", GUEST_INTERRUPTIBILITY_INFO },
		{ "activity", GUEST_ACTIVITY_STATE },
		{ "pending dbg", GUEST_PENDING_DBG_EXCEPTIONS }, { "rip", GUEST_RIP },
		{ "rsp", GUEST_RSP }, { "rflags", GUEST_RFLAGS }, { "cr0", GUEST_CR0 },
		{ "cr3", GUEST_CR3 }, { "cr4", GUEST_CR4 }, { "efer", GUEST_IA32_EFER },
		{ "dr7", GUEST_DR7 }, { "eptp", EPT_POINTER }, { "vpid", VIRTUAL_PROCESSOR_ID },
		{ "host cr0", HOST_CR0 }, { "host cr3", HOST_CR3 }, { "host cr4", HOST_CR4 },
		{ "host rip", HOST_RIP }, { "host rsp", HOST_RSP }, { "host efer", HOST_IA32_EFER },
	};
	static const char *const seg_names[] = { "es", "cs", "ss", "ds", "fs", "gs", "tr", "ldtr" };
	enum mv_seg seg;
	int i;

	for (i = 0; i < ARRAY_SIZE(fields); i++)
		pr_info("vmcs %-16s %016llx\n", fields[i].name, vmcs_read(fields[i].field));
	for (seg = 0; seg < MV_NR_SEGS; seg++)
		pr_info("vmcs %-4s sel %04llx base %016llx limit %08llx ar %05llx\n",
			seg_names[seg], vmcs_read(seg_field(GUEST_ES_SELECTOR, seg)),
			vmcs_read(seg_field(GUEST_ES_BASE, seg)),
			vmcs_read(seg_field(GUEST_ES_LIMIT, seg)),
			vmcs_read(seg_field(GUEST_ES_AR_BYTES, seg)));
}
