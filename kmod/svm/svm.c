// SPDX-License-Identifier: GPL-2.0-only
/* The SVM backend: the CPUs, address space identifiers, one entry and exit. */
#include <linux/lockdep.h>
#include <linux/mm.h>
#include <linux/percpu.h>
#include <asm/desc.h>
#include <asm/msr.h>
#include <asm/nospec-branch.h>

#include "base/backend.h"
#include "base/compat.h"
#include "base/ptformat.h"
#include "cpu/cr.h"
#include "cpu/event.h"
#include "svm/vmcb.h"
#include "../uapi/linux/minivirt.h"

static DEFINE_PER_CPU(struct svm_cpu, svm_cpus);
static u32 svm_nr_asids __ro_after_init;

/* Nested page tables are in the format of the host's own. APM vol. 2, 15.25.5. */
static struct mv_pt_format svm_pt_format __ro_after_init = {
	.table = _PAGE_PRESENT | _PAGE_RW | _PAGE_USER,
	.leaf = _PAGE_PRESENT | _PAGE_USER,
	.leaf_device = _PAGE_PRESENT | _PAGE_USER | _PAGE_PCD | _PAGE_PWT,
	.present = _PAGE_PRESENT,
	.large = _PAGE_PSE,
	.write = _PAGE_RW,
	.no_exec = _PAGE_NX,
	.accessed = _PAGE_ACCESSED,
	.dirty = _PAGE_DIRTY,
	.logged = _PAGE_RW,
	.max_level = 2,
};

/* ---- the CPUs ---- */

/*
 * SRSO, on processors where nothing is needed between a user and the kernel but something
 * between a guest and the host: a mode of the branch predictor, for as long as there may be
 * guests. Kernels that do not know of it use an IBPB after each exit.
 */
static void svm_reduce_speculation(bool on)
{
#ifdef X86_FEATURE_SRSO_BP_SPEC_REDUCE
	u64 val;

	if (!cpu_feature_enabled(X86_FEATURE_SRSO_BP_SPEC_REDUCE))
		return;
	rdmsrl(MSR_ZEN4_BP_CFG, val);
	__assign_bit(MSR_ZEN4_BP_CFG_BP_SPEC_REDUCE_BIT, (unsigned long *)&val, on);
	wrmsrl(MSR_ZEN4_BP_CFG, val);
#endif
}

static int svm_cpu_enable(void)
{
	struct svm_cpu *cpu = this_cpu_ptr(&svm_cpus);
	u64 efer;

	rdmsrl(MSR_EFER, efer);
	if (efer & EFER_SVME)
		return -EBUSY;
	wrmsrl(MSR_EFER, efer | EFER_SVME);
	wrmsrl(MSR_VM_HSAVE_PA, __sme_set(__pa(cpu->hsave)));
	/* No ASID from before is valid, and the next one begins a generation, which flushes all. */
	cpu->asid_generation++;
	cpu->next_asid = svm_nr_asids;
	cpu->last_vcpu = 0;
	if (boot_cpu_has(X86_FEATURE_RDTSCP))
		rdmsrl(MSR_TSC_AUX, cpu->tsc_aux);
	svm_reduce_speculation(true);
	return 0;
}

static void svm_cpu_disable(void)
{
	u64 efer;

	svm_reduce_speculation(false);
	wrmsrl(MSR_VM_HSAVE_PA, 0);
	rdmsrl(MSR_EFER, efer);
	wrmsrl(MSR_EFER, efer & ~EFER_SVME);
}

/* A crash or reboot may have stopped this CPU between CLGI and STGI, which blocks INIT. */
static void svm_cpu_emergency_disable(void)
{
	u64 efer;

	rdmsrl(MSR_EFER, efer);
	if (!(efer & EFER_SVME))
		return;
	asm volatile("1: stgi\n2:\n" _ASM_EXTABLE(1b, 2b) : : : "memory");
	wrmsrl(MSR_EFER, efer & ~EFER_SVME);
}

/* ---- address space identifiers ---- */

/*
 * Every vCPU has an ASID of its own on the CPU that it runs on. They are given
 * out in turn; when they are used up, a new generation begins with a flush of
 * all. Interrupts off, right before the entry that does the flush.
 */
static noinline void svm_new_asid(struct svm_vcpu *svm, struct svm_cpu *cpu)
{
	struct vmcb_control_area *control = &svm->vmcb->control;

	if (cpu->next_asid == svm_nr_asids) {
		cpu->asid_generation++;
		cpu->next_asid = 1; /* 0 is the host's */
		control->tlb_ctl = TLB_CONTROL_FLUSH_ALL_ASID;
	}
	svm->asid_generation = cpu->asid_generation;
	control->asid = cpu->next_asid++;
	control->clean = 0; /* the CPU may have been off since it cached the VMCB */
}

static void svm_flush_tlb(struct mv_vcpu *vcpu)
{
	struct svm_vcpu *svm = to_svm(vcpu);

	if (static_cpu_has(X86_FEATURE_FLUSHBYASID))
		svm->vmcb->control.tlb_ctl = TLB_CONTROL_FLUSH_ASID;
	else
		svm->asid_generation = 0;
}

/* ---- load and put ---- */

/*
 * The only MSR that gets a guest's value from here on until svm_put(): the others are switched
 * between CLGI and STGI. Preemption is off, so svm_put() comes before or after, and what makes it
 * bring the host's value back is set first.
 */
static void svm_load_tsc_aux(struct svm_vcpu *svm)
{
	lockdep_assert_preemption_disabled();
	svm->tsc_aux_loaded = true;
	wrmsrl(MSR_TSC_AUX, svm->vcpu.msr.tsc_aux);
}

/* The guest's TSC_AUX has changed. */
void svm_update_tsc_aux(struct svm_vcpu *svm)
{
	preempt_disable();
	svm_load_tsc_aux(svm);
	preempt_enable();
}

/*
 * VMRUN saves the selectors of DS and ES, and #VMEXIT loads the registers while LDTR is still the
 * guest's: they are not to be the LDT's. APM vol. 2, 15.5.1. The kernel has no use for them.
 */
static void svm_save_data_segments(struct svm_vcpu *svm)
{
	savesegment(ds, svm->host_ds);
	savesegment(es, svm->host_es);
	if (unlikely(svm->host_ds | svm->host_es)) {
		loadsegment(ds, 0);
		loadsegment(es, 0);
	}
}

/* The first LDT of the process may have come by an interrupt: else LDTR is as loaded, or empty. */
static noinline void svm_look_for_ldt(struct svm_vcpu *svm)
{
	u16 ldt;

	store_ldt(ldt);
	svm->host_ldt |= ldt;
}

static noinline void svm_restore_segments(struct svm_vcpu *svm)
{
	/* Its descriptor in the GDT is that of the process's present LDT. */
	if (svm->host_ldt)
		asm volatile("lldt %0" : : "m"(svm->host_ldt));
	svm->host_ldt = 0;
	loadsegment(ds, svm->host_ds);
	loadsegment(es, svm->host_es);
}

static void svm_load(struct mv_vcpu *vcpu)
{
	struct svm_cpu *cpu = this_cpu_ptr(&svm_cpus);
	struct svm_vcpu *svm = to_svm(vcpu);

	if (svm->cpu != cpu) {
		svm->cpu = cpu;
		svm->asid_generation = 0;
		svm->vmcb->control.clean = 0; /* this CPU has not seen the VMCB's present state */
	}
	if (cpu->last_vcpu != svm->id) {
		cpu->last_vcpu = svm->id;
		/* Another guest's branch history must not steer this one. */
		indirect_branch_prediction_barrier();
	}

	/*
	 * What the VMLOAD after every exit brings back. A thread's segments and bases, the CPU's TR
	 * and MSRs stay as they are until svm_put(). The LDT does not: modify_ldt() of another
	 * thread of the process, by an interrupt, gives this CPU a new one and frees the old one.
	 * So exits leave LDTR empty, which the kernel does not notice, as it has no use for an LDT
	 * itself. VMSAVE before every entry would do, too, but all would pay for what few have.
	 */
	asm volatile("1: vmsave %0\n2:\n" _ASM_EXTABLE(1b, 2b) : : "a"(cpu->host_pa) : "memory");
	memset(&cpu->host->save.ldtr, 0, sizeof(cpu->host->save.ldtr));
	store_ldt(svm->host_ldt);
	svm_save_data_segments(svm);

	if (vcpu->msr.tsc_aux != cpu->tsc_aux && boot_cpu_has(X86_FEATURE_RDTSCP))
		svm_load_tsc_aux(svm);
}

static void svm_put(struct mv_vcpu *vcpu)
{
	struct svm_vcpu *svm = to_svm(vcpu);

	if (svm->tsc_aux_loaded) {
		wrmsrl(MSR_TSC_AUX, svm->cpu->tsc_aux);
		svm->tsc_aux_loaded = false;
	}
	if (unlikely(svm->host_ldt | svm->host_ds | svm->host_es))
		svm_restore_segments(svm);
}

/* ---- one entry and exit ---- */

/* CR8 is the guest's own copy of the task priority, in the VMCB: V_TPR. APM vol. 2, 15.21.2. */
static __always_inline u8 svm_enter_tpr(struct svm_vcpu *svm)
{
	u32 *int_ctl = &svm->vmcb->control.int_ctl;
	u8 tpr = mv_get_cr8(&svm->vcpu);

	if (unlikely((*int_ctl & V_TPR_MASK) != tpr)) {
		*int_ctl = (*int_ctl & ~V_TPR_MASK) | tpr;
		svm_mark_dirty(svm, SVM_CLEAN_INTR);
	}
	return tpr;
}

static void svm_prepare(struct mv_vcpu *vcpu)
{
	struct svm_vcpu *svm = to_svm(vcpu);

	if (unlikely(mv_was_interrupted(vcpu)))
		svm_look_for_ldt(svm);
	if (unlikely(svm->asid_generation != svm->cpu->asid_generation))
		svm_new_asid(svm, svm->cpu);
}

static void svm_run(struct mv_vcpu *vcpu)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	struct vmcb_control_area *control = &svm->vmcb->control;
	struct vmcb_save_area *save = &svm->vmcb->save;
	unsigned long failed;
	u8 tpr;

	save->rax = vcpu->gpr[MV_RAX];
	save->rsp = vcpu->gpr[MV_RSP];
	save->rip = vcpu->rip;
	save->rflags = vcpu->rflags;
	if (unlikely(svm->nmi_window))
		svm_begin_nmi_step(svm);
	if (unlikely(vcpu->regs_dirty & BIT(MV_LAZY_CR3))) {
		save->cr3 = vcpu->cr3;
		svm_mark_dirty(svm, SVM_CLEAN_CR);
	}
	if (unlikely(save->cr2 != vcpu->cr2)) {
		save->cr2 = vcpu->cr2;
		svm_mark_dirty(svm, SVM_CLEAN_CR2);
	}
	tpr = svm_enter_tpr(svm);

	mv_guest_enter();
	amd_clear_divider();
	failed = svm_enter(vcpu->gpr, svm->vmcb_pa, svm->cpu->host_pa);
	mv_guest_leave();

	vcpu->gpr[MV_RAX] = save->rax;
	vcpu->gpr[MV_RSP] = save->rsp;
	vcpu->rip = save->rip;
	vcpu->rflags = save->rflags;
	vcpu->cr0 = (vcpu->cr0 & SVM_CR0_HIDDEN) | (save->cr0 & ~SVM_CR0_HIDDEN);
	vcpu->cr2 = save->cr2;
	vcpu->cr3 = save->cr3;
	vcpu->regs_dirty = 0;

	if (unlikely(failed || control->exit_code == (u32)SVM_EXIT_ERR)) {
		vcpu->exit.reason = MV_EXIT_FAIL_ENTRY;
		vcpu->exit.hw_reason = control->exit_code;
		return;
	}
	control->tlb_ctl = TLB_CONTROL_DO_NOTHING;
	control->clean = SVM_CLEAN_ALL;
	if (unlikely((control->int_ctl & V_TPR_MASK) != tpr))
		mv_set_cr8(vcpu, control->int_ctl & V_TPR_MASK);
	mv_events_sent(vcpu);
	if (unlikely(control->exit_int_info & SVM_EXITINTINFO_VALID))
		svm_requeue_event(svm);
	svm->soft_event = false;
	if (unlikely(svm->nmi_masked))
		svm_track_iret(svm);
	/* An interrupt window that is open already would come too early. */
	if (unlikely(svm_forgets_shadow) && svm_get_int_shadow(vcpu))
		mv_request(vcpu, MV_REQ_EVENT);
	svm_decode_exit(svm);
}

/* ---- load and unload of the module ---- */

static void svm_free_cpus(void)
{
	int i;

	for_each_possible_cpu(i) {
		struct svm_cpu *cpu = per_cpu_ptr(&svm_cpus, i);

		free_page((unsigned long)cpu->hsave);
		free_page((unsigned long)cpu->host);
		cpu->hsave = NULL;
		cpu->host = NULL;
	}
}

static void *__init svm_alloc_page_on(int node)
{
	struct page *page = alloc_pages_node(node, GFP_KERNEL | __GFP_ZERO, 0);

	return page ? page_address(page) : NULL;
}

static int __init svm_alloc_cpus(void)
{
	int i;

	for_each_possible_cpu(i) {
		struct svm_cpu *cpu = per_cpu_ptr(&svm_cpus, i);

		cpu->hsave = svm_alloc_page_on(cpu_to_node(i));
		cpu->host = svm_alloc_page_on(cpu_to_node(i));
		if (!cpu->hsave || !cpu->host)
			return -ENOMEM;
		cpu->host_pa = __sme_set(__pa(cpu->host));
	}
	return 0;
}

static int __init svm_check(void)
{
	u64 val;

	if (!boot_cpu_has(X86_FEATURE_SVM)) {
		/* The kernel clears the flag where the firmware has locked SVM off. */
		if (cpuid_eax(0x80000000) >= SVM_CPUID_FUNC && (cpuid_ecx(0x80000001) & BIT(2)))
			pr_err("AMD-V is disabled: enable SVM in the firmware's settings\n");
		return -ENODEV;
	}
	if (!boot_cpu_has(X86_FEATURE_NPT)) {
		pr_err("this CPU's AMD-V has no nested paging (CPUID 8000000Ah, EDX bit 0)\n");
		return -EOPNOTSUPP;
	}
	svm_nr_asids = cpuid_ebx(SVM_CPUID_FUNC);
	if (svm_nr_asids < 2) {
		pr_err("this CPU has no address space identifier for guests\n");
		return -EOPNOTSUPP;
	}
	rdmsrl(MSR_VM_CR, val);
	if (val & BIT(4)) { /* SVMDIS */
		pr_err("AMD-V is disabled by the firmware (VM_CR.SVMDIS)\n");
		return -EOPNOTSUPP;
	}
	if (mv_fred_enabled()) {
		pr_err("FRED is on: not supported yet\n");
		return -EOPNOTSUPP;
	}
	rdmsrl(MSR_EFER, val);
	if (val & EFER_SVME) {
		pr_err("AMD-V is in use by another hypervisor: is kvm_amd loaded?\n");
		return -EBUSY;
	}
	return 0;
}

/*
 * QEMU's TCG enters a guest without the interrupt shadow that the VMCB tells
 * of. An interrupt between the STI and the HLT of an idle loop would leave the
 * guest asleep with what it was to wake up for.
 */
bool svm_forgets_shadow __ro_after_init;

static int __init svm_setup(void)
{
	struct mv_backend *b = &mv_svm_backend;
	int r;

	r = svm_check();
	if (r)
		return r;

	b->features = MINIVIRT_FEATURE_VPID | MINIVIRT_FEATURE_AD_BITS | MINIVIRT_FEATURE_PAGE_2M |
		      MINIVIRT_FEATURE_TPR_SHADOW;
	if (boot_cpu_has(X86_FEATURE_GBPAGES)) {
		svm_pt_format.max_level = 3;
		b->features |= MINIVIRT_FEATURE_PAGE_1G;
	}
	if (boot_cpu_has(X86_FEATURE_NRIPS))
		b->features |= MINIVIRT_FEATURE_NEXT_RIP;
	if (boot_cpu_has(X86_FEATURE_PAUSEFILTER))
		b->features |= MINIVIRT_FEATURE_PLE;
	/* With next-RIP save, too: a next RIP of 0 may be the real one or stand for none. */
	static_branch_enable(&mv_skip_fetches);
	svm_forgets_shadow = hypervisor_cpuid_base("TCGTCGTCGTCG", 0);
	svm_pt_format.table |= sme_me_mask;
	svm_pt_format.leaf |= sme_me_mask;

	r = svm_alloc_cpus();
	if (!r)
		r = svm_alloc_maps();
	if (r)
		svm_free_cpus();
	return r;
}

static void svm_unsetup(void)
{
	svm_free_maps();
	svm_free_cpus();
}

/* Refers to __init code: setup is called at load alone. */
struct mv_backend mv_svm_backend __refdata = {
	.name = "svm",
	.id = MINIVIRT_BACKEND_SVM,
	.pt_format = &svm_pt_format,
	.vcpu_size = sizeof(struct svm_vcpu),
	.passed_through = svm_passed_through,
	.setup = svm_setup,
	.unsetup = svm_unsetup,
	.cpu_enable = svm_cpu_enable,
	.cpu_disable = svm_cpu_disable,
	.cpu_emergency_disable = svm_cpu_emergency_disable,
	.vcpu_init = svm_vcpu_init,
	.vcpu_free = svm_vcpu_free,
	.vcpu_reset = svm_vcpu_reset,
	.get_seg = svm_get_seg,
	.set_seg = svm_set_seg,
	.get_rights = svm_get_rights,
	.code_rights = svm_code_rights,
	.get_dt = svm_get_dt,
	.set_dt = svm_set_dt,
	.set_cr0 = svm_set_cr0,
	.set_cr4 = svm_set_cr4,
	.set_efer = svm_set_efer,
	.get_msr = svm_get_msr,
	.set_msr = svm_set_msr,
	.cancel_inject = svm_cancel_inject,
	.get_int_shadow = svm_get_int_shadow,
	.set_int_shadow = svm_set_int_shadow,
	.nmi_masked = svm_nmi_masked,
	.set_nmi_masked = svm_set_nmi_masked,
	.update_cr8_intercept = svm_update_cr8_intercept,
	.update_debug = svm_update_debug,
	.update_tsc = svm_update_tsc,
	.cpuid_changed = svm_cpuid_changed,
	.update_msr_exits = svm_update_msr_exits,
	.skip_len = svm_skip_len,
	.finish_exit = svm_finish_exit,
	.dump = svm_dump,
	.load = svm_load,
	.put = svm_put,
	.prepare = svm_prepare,
	.run = svm_run,
	.cache_reg = svm_cache_reg,
	.inject = svm_inject,
	.irq_allowed = svm_irq_allowed,
	.nmi_allowed = svm_nmi_allowed,
	.irq_window = svm_irq_window,
	.nmi_window = svm_nmi_window,
	.flush_tlb = svm_flush_tlb,
};
