// SPDX-License-Identifier: GPL-2.0-only
/* The VMX backend: load and put, one entry and exit, injection. */
#include <linux/percpu.h>
#include <asm/debugreg.h>
#include <asm/desc.h>
#include <asm/fsgsbase.h>
#include <asm/msr.h>
#include <asm/perf_event.h>
#include <asm/tlbflush.h>

#include "base/backend.h"
#include "base/compat.h"
#include "base/regs.h"
#include "vmx/vmx.h"
#include "../uapi/linux/minivirt.h"

/* ---- L1TF: flush of the L1 data cache before entry, if the host asks for it ---- */

/* Twice the 32 KiB of an L1D, for its replacement policy */
#define L1D_FLUSH_ORDER 4
#define L1D_FLUSH_PAGES BIT(L1D_FLUSH_ORDER)

static DEFINE_STATIC_KEY_FALSE(vmx_l1d_flush);
static bool vmx_l1d_flush_always __ro_after_init;
static void *vmx_l1d_flush_pages __ro_after_init;

static int __init vmx_setup_l1tf(void)
{
	if (!boot_cpu_has_bug(X86_BUG_L1TF)) {
		l1tf_vmx_mitigation = VMENTER_L1D_FLUSH_NOT_REQUIRED;
		return 0;
	}
	if (l1tf_mitigation == L1TF_MITIGATION_OFF) {
		l1tf_vmx_mitigation = VMENTER_L1D_FLUSH_NEVER;
		return 0;
	}
	vmx_l1d_flush_always = l1tf_mitigation == L1TF_MITIGATION_FULL ||
			       l1tf_mitigation == L1TF_MITIGATION_FULL_FORCE;
	l1tf_vmx_mitigation = vmx_l1d_flush_always ? VMENTER_L1D_FLUSH_ALWAYS :
						     VMENTER_L1D_FLUSH_COND;
	if (!boot_cpu_has(X86_FEATURE_FLUSH_L1D)) {
		int i;

		vmx_l1d_flush_pages = (void *)__get_free_pages(GFP_KERNEL, L1D_FLUSH_ORDER);
		if (!vmx_l1d_flush_pages)
			return -ENOMEM;
		/* Each page different, or KSM in a hypervisor below could merge them. */
		for (i = 0; i < L1D_FLUSH_PAGES; i++)
			memset(vmx_l1d_flush_pages + i * PAGE_SIZE, i + 1, PAGE_SIZE);
	}
	static_branch_enable(&vmx_l1d_flush);
	return 0;
}

static void vmx_unsetup_l1tf(void)
{
	l1tf_vmx_mitigation = VMENTER_L1D_FLUSH_AUTO;
	free_pages((unsigned long)vmx_l1d_flush_pages, L1D_FLUSH_ORDER);
}

/*
 * Conditional flush: only when something since the last entry may have brought
 * secrets into the cache, as mv_taint_l1d() and the host's interrupts tell.
 */
static __always_inline bool vmx_l1d_flush_due(struct mv_vcpu *vcpu)
{
	return vcpu->l1d_tainted || kvm_get_cpu_l1tf_flush_l1d() || vmx_l1d_flush_always;
}

static noinline void vmx_flush_l1d(struct mv_vcpu *vcpu)
{
	unsigned long i;

	vcpu->l1d_tainted = false;
	kvm_clear_cpu_l1tf_flush_l1d();
	if (static_cpu_has(X86_FEATURE_FLUSH_L1D)) {
		native_wrmsrl(MSR_IA32_FLUSH_CMD, L1D_FLUSH);
		return;
	}
	/* First the translations, then every line; eight lines a turn. */
	for (i = 0; i < L1D_FLUSH_PAGES; i++)
		READ_ONCE(*(u8 *)(vmx_l1d_flush_pages + i * PAGE_SIZE));
	asm volatile("cpuid" : "=a"(i) : "a"(0) : "ebx", "ecx", "edx"); /* serialize */
	for (i = 0; i < L1D_FLUSH_PAGES * PAGE_SIZE; i += 8 * 64) {
		u8 *p = vmx_l1d_flush_pages + i;

		READ_ONCE(p[0 * 64]);
		READ_ONCE(p[1 * 64]);
		READ_ONCE(p[2 * 64]);
		READ_ONCE(p[3 * 64]);
		READ_ONCE(p[4 * 64]);
		READ_ONCE(p[5 * 64]);
		READ_ONCE(p[6 * 64]);
		READ_ONCE(p[7 * 64]);
	}
	rmb(); /* LFENCE: all of them done before the entry */
}

/* ---- load and put ---- */

/* Sets MSR_KERNEL_GS_BASE and returns what it was; interrupts are off. */
static u64 vmx_swap_kernel_gs_base(u64 base)
{
	u64 old;

	if (static_cpu_has(X86_FEATURE_FSGSBASE))
		return vmx_swap_gs_base(base);
	rdmsrl(MSR_KERNEL_GS_BASE, old);
	wrmsrl(MSR_KERNEL_GS_BASE, base);
	return old;
}

static DEFINE_STATIC_KEY_FALSE(vmx_host_counts);

/*
 * The host's counters that are to pause while a guest runs: by their user's wish, and those
 * with PEBS always, which writes its records to a linear address: of the guest's, there.
 * VM entry and exit switch them, as an NMI may come at any time. SDM vol. 3B, 20.9.5. Only a
 * switch of threads, an interrupt or a counter's own NMI changes which ones count on this CPU.
 */
static void vmx_switch_perf(struct vmx_vcpu *vmx)
{
	struct perf_guest_switch_msr *msrs;
	int nr = 0, n = 0, i;

	if (!static_branch_unlikely(&vmx_host_counts))
		return;
	msrs = perf_guest_get_msrs(&nr, NULL);
	for (i = 0; msrs && i < nr && n < VMX_PERF_MSRS; i++) {
		if (likely(msrs[i].host == msrs[i].guest))
			continue;
		/* A record on its way needs time to come out, which VM entry does not give. */
		if (msrs[i].msr == MSR_IA32_PEBS_ENABLE)
			wrmsrl(MSR_IA32_PEBS_ENABLE, 0);
		vmx->guest_perf[n] = (struct vmx_msr_entry){ msrs[i].msr, 0, msrs[i].guest };
		vmx->host_perf[n++] = (struct vmx_msr_entry){ msrs[i].msr, 0, msrs[i].host };
	}
	if (unlikely(n != vmx->nr_perf_msrs)) {
		vmx->nr_perf_msrs = n;
		vmcs_write(VM_ENTRY_MSR_LOAD_COUNT, n);
		vmcs_write(VM_EXIT_MSR_LOAD_COUNT, n);
	}
}

/*
 * Before the first entry since the load, with interrupts off: the thread's part of the host
 * state into the VMCS, the guest's MSRs that VM entry does not load into the CPU. A user
 * thread's segments and their bases do not change until vmx_put(): only itself can change them.
 */
static noinline void vmx_switch_to_guest(struct vmx_vcpu *vmx)
{
	struct vmx_host_state *host = &vmx->host;
	unsigned long val;

	lockdep_assert_irqs_disabled();
	vmx->guest_loaded = true;
	val = x86_fsbase_read_cpu();
	if (val != host->fs_base) {
		host->fs_base = val;
		vmcs_write(HOST_FS_BASE, val);
	}
	savesegment(fs, host->fs_sel);
	savesegment(gs, host->gs_sel);
	savesegment(ds, host->ds_sel);
	savesegment(es, host->es_sel);
	store_ldt(host->ldt_sel);
	host->debugctl = get_debugctlmsr();

	host->kernel_gs_base = vmx_swap_kernel_gs_base(vmx->vcpu.msr.kernel_gs_base);
	vmx_load_cpu_msrs(vmx);
	vmx_switch_perf(vmx);
}

/*
 * What an interrupt may have changed while the vCPU is loaded, so that VM exit would undo it:
 * IA32_DEBUGCTL and the counters by perf, LDTR by modify_ldt() of another thread of the process.
 * An NMI leaves them alone, or stops a counter: see vmx_run(). Reading them before every entry
 * would cost all guests an access to an MSR.
 */
static noinline void vmx_look_after_interrupt(struct vmx_vcpu *vmx)
{
	u16 ldt_sel;

	vmx->host.debugctl = get_debugctlmsr();
	/* The last exit has cleared LDTR: it is 0, or was loaded since. */
	store_ldt(ldt_sel);
	vmx->host.ldt_sel |= ldt_sel;
	vmx_switch_perf(vmx);
}

static noinline void vmx_switch_to_host(struct vmx_vcpu *vmx)
{
	struct vmx_host_state *host = &vmx->host;
	unsigned long flags;

	if (vmx->cpu_msrs_loaded)
		vmx_unload_cpu_msrs(vmx);
	local_irq_save(flags);
	vmx->vcpu.msr.kernel_gs_base = vmx_swap_kernel_gs_base(host->kernel_gs_base);
	local_irq_restore(flags);
	if (unlikely(host->fs_sel | host->gs_sel | host->ds_sel | host->es_sel | host->ldt_sel)) {
		/* Its descriptor in the GDT is that of the process's present LDT. */
		if (host->ldt_sel)
			asm volatile("lldt %0" : : "m"(host->ldt_sel));
		loadsegment(ds, host->ds_sel);
		loadsegment(es, host->es_sel);
		loadsegment(fs, host->fs_sel);
		x86_fsbase_write_cpu(host->fs_base);
		load_gs_index(host->gs_sel);
		wrmsrl(MSR_KERNEL_GS_BASE, host->kernel_gs_base);
	}

	/* VM exit leaves GDTR with a limit of 0xffff, TR with one of 0x67. SDM 28.5.2, 28.5.3. */
	load_fixmap_gdt(smp_processor_id());
	invalidate_tss_limit();
	vmx->guest_loaded = false;
}

static void vmx_load(struct mv_vcpu *vcpu)
{
	vmx_activate(to_vmx(vcpu));
}

static void vmx_put(struct mv_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	if (vmx->guest_loaded)
		vmx_switch_to_host(vmx);
}

/* ---- one entry and exit ---- */

static void vmx_prepare(struct mv_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	unsigned long cr3 = __read_cr3(), cr4 = cr4_read_shadow();

	if (unlikely(!vmx->guest_loaded))
		vmx_switch_to_guest(vmx);
	else if (unlikely(mv_was_interrupted(vcpu)))
		vmx_look_after_interrupt(vmx);
	/*
	 * The kernel may come back to the thread's mm with another PCID after a short stay in
	 * another, as for patching its own code when an exit's handler changes a static key.
	 */
	if (unlikely(cr3 != vmx->host.cr3)) {
		vmx->host.cr3 = cr3;
		vmcs_write(HOST_CR3, cr3);
	}
	/* CR4.PCE can be changed by an IPI while the vCPU is loaded. */
	if (unlikely(cr4 != vmx->host.cr4)) {
		vmx->host.cr4 = cr4;
		vmcs_write(HOST_CR4, cr4);
	}
}

static void vmx_run(struct mv_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	unsigned long failed;

	if (likely(vcpu->regs_dirty & BIT(MV_LAZY_RIP)))
		vmcs_write(GUEST_RIP, vcpu->rip);
	if (unlikely(vcpu->regs_dirty & ~BIT(MV_LAZY_RIP)))
		vmx_write_dirty_regs(vcpu);
	vcpu->regs_dirty = 0;
	if (static_branch_unlikely(&vmx_l1d_flush) && vmx_l1d_flush_due(vcpu))
		vmx_flush_l1d(vcpu); /* which clears the buffers, too */
	else if (mv_mmio_leaks_buffers() && READ_ONCE(vcpu->vm->mmu.maps_device))
		x86_clear_cpu_buffers();
	/* A counter's NMI since the last entry may have stopped it. */
	if (unlikely(vmx->nr_perf_msrs))
		vmx_switch_perf(vmx);
	if (vcpu->cr2 != native_read_cr2())
		native_write_cr2(vcpu->cr2);

	mv_guest_enter();
	failed = vmx_enter(vcpu->gpr, &vmx->host.rsp, vmx->launched);
	mv_guest_leave();

	vcpu->cr2 = native_read_cr2();
	/* VM exit clears it. SDM 28.5.1. */
	if (unlikely(vmx->host.debugctl))
		update_debugctlmsr(vmx->host.debugctl);
	vcpu->regs_avail = 0;

	if (unlikely(failed)) {
		vcpu->exit.reason = MV_EXIT_FAIL_ENTRY;
		vcpu->exit.hw_reason = vmcs_read(VM_INSTRUCTION_ERROR);
		return;
	}
	vmx_decode_exit(vmx);
}

static void vmx_flush_tlb(struct mv_vcpu *vcpu)
{
	struct {
		u64 eptp, reserved;
	} desc = { vcpu->vm->mmu.root_hpa | VMX_EPTP_MT_WB | VMX_EPTP_PWL_4 |
		   (vmx_caps.ept_ad ? VMX_EPTP_AD_ENABLE_BIT : 0), 0 };

	/* Combined mappings too, of every VPID and PCID with this EPTP. SDM 29.4.3.1. */
	asm volatile("invept %0, %1"
		     : : "m"(desc), "r"((u64)VMX_EPT_EXTENT_CONTEXT) : "cc", "memory");
}

/* ---- injection ---- */

static bool vmx_irq_allowed(struct mv_vcpu *vcpu)
{
	return (mv_rflags(vcpu) & X86_EFLAGS_IF) &&
	       !(vmcs_read(GUEST_INTERRUPTIBILITY_INFO) &
		 (GUEST_INTR_STATE_STI | GUEST_INTR_STATE_MOV_SS));
}

static bool vmx_nmi_allowed(struct mv_vcpu *vcpu)
{
	return !(vmcs_read(GUEST_INTERRUPTIBILITY_INFO) &
		 (GUEST_INTR_STATE_STI | GUEST_INTR_STATE_MOV_SS | GUEST_INTR_STATE_NMI));
}

void vmx_set_cpu_ctl(struct vmx_vcpu *vmx, u32 ctl)
{
	if (vmx->cpu_ctl != ctl) {
		vmx->cpu_ctl = ctl;
		vmcs_write(CPU_BASED_VM_EXEC_CONTROL, ctl);
	}
}

static void vmx_irq_window(struct mv_vcpu *vcpu, bool on)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	vmx_set_cpu_ctl(vmx, on ? vmx->cpu_ctl | CPU_BASED_INTR_WINDOW_EXITING :
				  vmx->cpu_ctl & ~CPU_BASED_INTR_WINDOW_EXITING);
}

static void vmx_nmi_window(struct mv_vcpu *vcpu, bool on)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	vmx_set_cpu_ctl(vmx, on ? vmx->cpu_ctl | CPU_BASED_NMI_WINDOW_EXITING :
				  vmx->cpu_ctl & ~CPU_BASED_NMI_WINDOW_EXITING);
}

/* VM-entry interruption information. SDM 25.8.3. */
static void vmx_inject(struct mv_vcpu *vcpu, enum mv_event_type type)
{
	struct mv_pending *p = &vcpu->pending;
	u32 info = INTR_INFO_VALID_MASK;
	bool soft = false;

	switch (type) {
	case MV_EVENT_NMI:
		info |= NMI_VECTOR | INTR_TYPE_NMI_INTR;
		break;
	case MV_EVENT_IRQ:
		info |= p->irq_vector;
		if (p->irq_soft) {
			info |= INTR_TYPE_SOFT_INTR;
			soft = true;
		}
		break;
	case MV_EVENT_EXCEPTION:
		info |= p->exc_vector;
		/* In real mode exceptions have no error code. */
		if (p->exc_has_error && mv_cr0_has(vcpu, X86_CR0_PE)) {
			vmcs_write(VM_ENTRY_EXCEPTION_ERROR_CODE, p->exc_error);
			info |= INTR_INFO_DELIVER_CODE_MASK;
		}
		if (p->exc_vector == BP_VECTOR || p->exc_vector == OF_VECTOR) {
			info |= INTR_TYPE_SOFT_EXCEPTION;
			soft = true;
		} else {
			info |= INTR_TYPE_HARD_EXCEPTION;
		}
		break;
	}
	if (soft)
		vmcs_write(VM_ENTRY_INSTRUCTION_LEN, p->insn_len ? p->insn_len : 1);
	vmcs_write(VM_ENTRY_INTR_INFO_FIELD, info);
}

static void vmx_cancel_inject(struct mv_vcpu *vcpu)
{
	vmcs_write(VM_ENTRY_INTR_INFO_FIELD, 0);
}

static u32 vmx_get_int_shadow(struct mv_vcpu *vcpu)
{
	u32 state = vmcs_read(GUEST_INTERRUPTIBILITY_INFO);

	if (likely(!(state & (GUEST_INTR_STATE_STI | GUEST_INTR_STATE_MOV_SS))))
		return 0;
	return (state & GUEST_INTR_STATE_STI ? KVM_X86_SHADOW_INT_STI : 0) |
	       (state & GUEST_INTR_STATE_MOV_SS ? KVM_X86_SHADOW_INT_MOV_SS : 0);
}

static void vmx_set_int_shadow(struct mv_vcpu *vcpu, u32 shadow)
{
	u32 old = vmcs_read(GUEST_INTERRUPTIBILITY_INFO);
	u32 new = old & ~(GUEST_INTR_STATE_STI | GUEST_INTR_STATE_MOV_SS);
	u64 traps = vmcs_read(GUEST_PENDING_DBG_EXCEPTIONS), step = 0;

	/* At most one; with TF, and only then, a single-step trap waits in it. SDM 27.3.1.5. */
	if (shadow & KVM_X86_SHADOW_INT_MOV_SS)
		new |= GUEST_INTR_STATE_MOV_SS;
	else if (shadow & KVM_X86_SHADOW_INT_STI)
		new |= GUEST_INTR_STATE_STI;
	if (shadow && (mv_rflags(vcpu) & X86_EFLAGS_TF))
		step = DR_STEP;
	if (new != old)
		vmcs_write(GUEST_INTERRUPTIBILITY_INFO, new);
	if ((traps ^ step) & DR_STEP)
		vmcs_write(GUEST_PENDING_DBG_EXCEPTIONS, traps ^ DR_STEP);
}

static bool vmx_nmi_masked(struct mv_vcpu *vcpu)
{
	return vmcs_read(GUEST_INTERRUPTIBILITY_INFO) & GUEST_INTR_STATE_NMI;
}

static void vmx_set_nmi_masked(struct mv_vcpu *vcpu, bool masked)
{
	u32 state = vmcs_read(GUEST_INTERRUPTIBILITY_INFO) & ~GUEST_INTR_STATE_NMI;

	vmcs_write(GUEST_INTERRUPTIBILITY_INFO, state | (masked ? GUEST_INTR_STATE_NMI : 0));
}

static void vmx_set_efer(struct mv_vcpu *vcpu, u64 val)
{
	vmx_write_efer(vcpu, val);
	/* With SCE it may need the syscall MSRs. */
	vmx_update_cpu_msrs(to_vmx(vcpu));
}

/* A halted guest stays so across exits; only its interrupts may be injected then. SDM 27.3.1.5. */
static bool vmx_take_halt(struct mv_vcpu *vcpu)
{
	if (!vcpu->lapic || vmcs_read(GUEST_ACTIVITY_STATE) != GUEST_ACTIVITY_HLT)
		return false;
	vmcs_write(GUEST_ACTIVITY_STATE, GUEST_ACTIVITY_ACTIVE);
	return true;
}

static void vmx_update_tsc(struct mv_vcpu *vcpu)
{
	vmcs_write(TSC_OFFSET, vcpu->tsc_offset);
	if (vmx_caps.cpu2 & SECONDARY_EXEC_TSC_SCALING)
		vmcs_write(TSC_MULTIPLIER, vcpu->tsc_ratio ?: BIT_ULL(VMX_TSC_FRAC_BITS));
}

/* ---- load and unload of the module ---- */

static int __init vmx_setup(void)
{
	int r;

	r = vmx_setup_caps(&mv_vmx_backend);
	if (r)
		return r;
	vmx_init_active_lists();
	/*
	 * Processors tell the length of an instruction that made an EPT
	 * violation. SDM 28.2.5 does not promise it, and a hypervisor below
	 * this one may leave it out.
	 */
	mv_vmx_backend.fault_has_len = !boot_cpu_has(X86_FEATURE_HYPERVISOR);

	if (boot_cpu_has(X86_FEATURE_ARCH_PERFMON))
		static_branch_enable(&vmx_host_counts);

	r = vmx_alloc_vmxon();
	if (!r)
		r = vmx_setup_apicv(&mv_vmx_backend);
	if (!r)
		r = vmx_alloc_msr_bitmaps();
	if (!r)
		r = vmx_setup_l1tf();
	if (r) {
		vmx_free_apicv();
		vmx_free_msr_bitmaps();
		vmx_free_vmxon();
	}
	return r;
}

static void vmx_unsetup(void)
{
	vmx_unsetup_l1tf();
	vmx_free_apicv();
	vmx_free_msr_bitmaps();
	vmx_free_vmxon();
}

/* Refers to __init code: setup is called at load alone. */
struct mv_backend mv_vmx_backend __refdata = {
	.name = "vmx",
	.id = MINIVIRT_BACKEND_VMX,
	.vcpu_size = sizeof(struct vmx_vcpu),
	.passed_through = vmx_passed_through,
	.setup = vmx_setup,
	.unsetup = vmx_unsetup,
	.cpu_enable = vmx_cpu_enable,
	.cpu_disable = vmx_cpu_disable,
	.cpu_emergency_disable = vmx_cpu_emergency_disable,
	.vcpu_init = vmx_vcpu_init,
	.vcpu_free = vmx_vcpu_free,
	.vcpu_reset = vmx_vcpu_reset,
	.get_seg = vmx_get_seg,
	.set_seg = vmx_set_seg,
	.get_rights = vmx_get_rights,
	.code_rights = vmx_code_rights,
	.get_dt = vmx_get_dt,
	.set_dt = vmx_set_dt,
	.set_cr0 = vmx_set_cr0,
	.set_cr4 = vmx_set_cr4,
	.set_efer = vmx_set_efer,
	.read_pdptrs = vmx_read_pdptrs,
	.get_msr = vmx_get_msr,
	.set_msr = vmx_set_msr,
	.cancel_inject = vmx_cancel_inject,
	.get_int_shadow = vmx_get_int_shadow,
	.set_int_shadow = vmx_set_int_shadow,
	.nmi_masked = vmx_nmi_masked,
	.set_nmi_masked = vmx_set_nmi_masked,
	.update_cr8_intercept = vmx_update_cr8_intercept,
	.update_apic = vmx_update_apic,
	.update_debug = vmx_update_debug,
	.update_tsc = vmx_update_tsc,
	.cpuid_changed = vmx_cpuid_changed,
	.update_msr_exits = vmx_update_msr_exits,
	.take_halt = vmx_take_halt,
	.skip_len = vmx_skip_len,
	.dump = vmx_dump,
	.load = vmx_load,
	.put = vmx_put,
	.prepare = vmx_prepare,
	.run = vmx_run,
	.cache_reg = vmx_cache_reg,
	.inject = vmx_inject,
	.irq_allowed = vmx_irq_allowed,
	.nmi_allowed = vmx_nmi_allowed,
	.irq_window = vmx_irq_window,
	.nmi_window = vmx_nmi_window,
	.set_rvi = vmx_set_rvi,
	.flush_tlb = vmx_flush_tlb,
};
