// SPDX-License-Identifier: GPL-2.0-only
/* The VMCB: its life, and the guest state in it. APM vol. 2, appendix B. */
#include <linux/mm.h>
#include <asm/debugreg.h>
#include <asm/msr.h>
#include <asm/tlbflush.h>

#include "base/backend.h"
#include "base/regs.h"
#include "base/request.h"
#include "cpu/debug.h"
#include "svm/vmcb.h"

/* PAT with write-back in all entries: guest memory is cached as the host's is. */
#define PAT_ALL_WB 0x0606060606060606ull

/* ---- permission maps: the same for all guests ---- */

#define IOPM_SIZE (3 * PAGE_SIZE) /* APM vol. 2, 15.10.1 */
#define MSRPM_SIZE (2 * PAGE_SIZE) /* APM vol. 2, 15.11 */

static void *svm_iopm __ro_after_init;
static void *svm_msrpm __ro_after_init;
static void *svm_spec_ctrl_msrpm __ro_after_init; /* the same for guests with IA32_SPEC_CTRL */

/* MSRs that VMSAVE and VMLOAD switch: the guest has them without exits. */
const u32 svm_passed_through[] = {
	MSR_STAR, MSR_LSTAR, MSR_CSTAR, MSR_SYSCALL_MASK,
	MSR_KERNEL_GS_BASE, MSR_FS_BASE, MSR_GS_BASE,
	MSR_IA32_SYSENTER_CS, MSR_IA32_SYSENTER_ESP, MSR_IA32_SYSENTER_EIP, 0
};

/* Two bits an MSR, read and write; 0x800 bytes for each range of 0x2000 MSRs. */
static void __init svm_pass_through(void *map, u32 msr)
{
	unsigned int bit = 2 * (msr & 0x1fff) + (msr >= 0xc0000000 ? 0x800 * 8 : 0);

	__clear_bit(bit, map);
	__clear_bit(bit + 1, map);
}

int __init svm_alloc_maps(void)
{
	const u32 *msr;

	svm_iopm = alloc_pages_exact(IOPM_SIZE, GFP_KERNEL);
	svm_msrpm = alloc_pages_exact(MSRPM_SIZE, GFP_KERNEL);
	svm_spec_ctrl_msrpm = alloc_pages_exact(MSRPM_SIZE, GFP_KERNEL);
	if (!svm_iopm || !svm_msrpm || !svm_spec_ctrl_msrpm) {
		svm_free_maps();
		return -ENOMEM;
	}
	memset(svm_iopm, 0xff, IOPM_SIZE);
	memset(svm_msrpm, 0xff, MSRPM_SIZE);
	for (msr = svm_passed_through; *msr; msr++)
		svm_pass_through(svm_msrpm, *msr);
	memcpy(svm_spec_ctrl_msrpm, svm_msrpm, MSRPM_SIZE);
	svm_pass_through(svm_spec_ctrl_msrpm, MSR_IA32_SPEC_CTRL);
	return 0;
}

void svm_free_maps(void)
{
	if (svm_iopm)
		free_pages_exact(svm_iopm, IOPM_SIZE);
	if (svm_msrpm)
		free_pages_exact(svm_msrpm, MSRPM_SIZE);
	if (svm_spec_ctrl_msrpm)
		free_pages_exact(svm_spec_ctrl_msrpm, MSRPM_SIZE);
}

/* ---- life of a VMCB ---- */

/*
 * PAUSE intercept filtering, APM vol. 2, 15.14.4: a loop of this many PAUSEs
 * exits, if they are this close together.
 */
#define PAUSE_FILTER_COUNT 3000
#define PAUSE_FILTER_CYCLES 128

/* What every guest exits for, always. */
static const u8 svm_intercepts_always[] = {
	INTERCEPT_CR4_WRITE,
	INTERCEPT_DR0_READ, INTERCEPT_DR1_READ, INTERCEPT_DR2_READ, INTERCEPT_DR3_READ,
	INTERCEPT_DR4_READ, INTERCEPT_DR5_READ, INTERCEPT_DR6_READ, INTERCEPT_DR7_READ,
	INTERCEPT_DR0_WRITE, INTERCEPT_DR1_WRITE, INTERCEPT_DR2_WRITE, INTERCEPT_DR3_WRITE,
	INTERCEPT_DR4_WRITE, INTERCEPT_DR5_WRITE, INTERCEPT_DR6_WRITE, INTERCEPT_DR7_WRITE,
	INTERCEPT_INTR, INTERCEPT_NMI, INTERCEPT_SMI, INTERCEPT_INIT, INTERCEPT_VINTR,
	INTERCEPT_SELECTIVE_CR0, INTERCEPT_RDPMC, INTERCEPT_CPUID, INTERCEPT_RSM, INTERCEPT_INVD,
	INTERCEPT_HLT, INTERCEPT_INVLPGA, INTERCEPT_IOIO_PROT, INTERCEPT_MSR_PROT,
	INTERCEPT_TASK_SWITCH, INTERCEPT_SHUTDOWN,
	INTERCEPT_VMRUN, INTERCEPT_VMMCALL, INTERCEPT_VMLOAD, INTERCEPT_VMSAVE, INTERCEPT_STGI,
	INTERCEPT_CLGI, INTERCEPT_SKINIT, INTERCEPT_WBINVD, INTERCEPT_MONITOR, INTERCEPT_MWAIT,
	INTERCEPT_XSETBV, INTERCEPT_RDPRU,
};

int svm_vcpu_init(struct mv_vcpu *vcpu)
{
	static atomic64_t last_id;
	struct svm_vcpu *svm = to_svm(vcpu);

	svm->vmcb = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (!svm->vmcb)
		return -ENOMEM;
	svm->vmcb_pa = __sme_set(__pa(svm->vmcb));
	svm->id = atomic64_inc_return(&last_id);

	/* Nested tables have as many levels as the host's; the VM's own table has four. */
	if (pgtable_l5_enabled()) {
		svm->pml5 = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
		if (!svm->pml5) {
			free_page((unsigned long)svm->vmcb);
			return -ENOMEM;
		}
		svm->pml5[0] = vcpu->vm->mmu.root_hpa | mv_svm_backend.pt_format->table;
	}
	return 0;
}

void svm_vcpu_free(struct mv_vcpu *vcpu)
{
	struct svm_vcpu *svm = to_svm(vcpu);

	free_page((unsigned long)svm->pml5);
	free_page((unsigned long)svm->vmcb);
}

/* The state after power-up or INIT, as far as shared code does not set it. */
void svm_vcpu_reset(struct mv_vcpu *vcpu, bool init)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	struct vmcb_control_area *control = &svm->vmcb->control;
	struct vmcb_save_area *save = &svm->vmcb->save;
	u32 off = vcpu->vm->disabled_exits;
	int i;

	memset(control->intercepts, 0, sizeof(control->intercepts));
	for (i = 0; i < ARRAY_SIZE(svm_intercepts_always); i++)
		svm_intercept(svm, svm_intercepts_always[i], true);
	/* Userspace hears of a lower task priority, if interrupts are its own. */
	svm_intercept(svm, INTERCEPT_CR8_WRITE, !vcpu->lapic);
	/* A HLT without a local APIC is userspace's in any case. */
	if (off & KVM_X86_DISABLE_EXITS_HLT && vcpu->lapic)
		svm_intercept(svm, INTERCEPT_HLT, false);
	if (off & KVM_X86_DISABLE_EXITS_MWAIT) {
		svm_intercept(svm, INTERCEPT_MONITOR, false);
		svm_intercept(svm, INTERCEPT_MWAIT, false);
	}
	if (boot_cpu_has(X86_FEATURE_PAUSEFILTER) && !(off & KVM_X86_DISABLE_EXITS_PAUSE)) {
		svm_intercept(svm, INTERCEPT_PAUSE, true);
		control->pause_filter_count = PAUSE_FILTER_COUNT;
		if (boot_cpu_has(X86_FEATURE_PFTHRESHOLD))
			control->pause_filter_thresh = PAUSE_FILTER_CYCLES;
	}
	control->iopm_base_pa = __sme_set(__pa(svm_iopm));
	control->tsc_offset = vcpu->tsc_offset;
	control->int_ctl = V_INTR_MASKING_MASK;
	control->int_state = 0;
	control->event_inj = 0;
	control->nested_ctl = SVM_NESTED_CTL_NP_ENABLE;
	control->nested_cr3 = svm->pml5 ? __sme_set(__pa(svm->pml5)) :
					  __sme_set(vcpu->vm->mmu.root_hpa);

	save->g_pat = PAT_ALL_WB;
	save->dbgctl = 0;
	save->dr6 = DR6_RESERVED;
	save->sysenter_cs = 0;
	save->sysenter_esp = 0;
	save->sysenter_eip = 0;

	svm->nmi_masked = false;
	svm->nmi_in_iret = false;
	svm->nmi_window = false;
	svm->nmi_step = false;
	svm->soft_event = false;
	svm_update_debug(vcpu);
	svm_cpuid_changed(vcpu);
	svm_update_msr_exits(vcpu);
	control->clean = 0;
}

/* ---- segments and descriptor tables ---- */

static struct vmcb_seg *svm_seg(struct mv_vcpu *vcpu, enum mv_seg seg)
{
	struct vmcb_save_area *save = &to_svm(vcpu)->vmcb->save;

	switch (seg) {
	case MV_TR:
		return &save->tr;
	case MV_LDTR:
		return &save->ldtr;
	default:
		return &save->es + seg; /* ES to GS in the order of their encoding */
	}
}

void svm_get_seg(struct mv_vcpu *vcpu, enum mv_seg seg, struct kvm_segment *s)
{
	const struct vmcb_seg *v = svm_seg(vcpu, seg);

	s->base = v->base;
	s->limit = v->limit;
	s->selector = v->selector;
	s->type = v->attrib & SVM_SELECTOR_TYPE_MASK;
	s->s = (v->attrib >> SVM_SELECTOR_S_SHIFT) & 1;
	s->dpl = (v->attrib >> SVM_SELECTOR_DPL_SHIFT) & 3;
	s->present = (v->attrib >> SVM_SELECTOR_P_SHIFT) & 1;
	s->avl = (v->attrib >> SVM_SELECTOR_AVL_SHIFT) & 1;
	s->l = (v->attrib >> SVM_SELECTOR_L_SHIFT) & 1;
	s->db = (v->attrib >> SVM_SELECTOR_DB_SHIFT) & 1;
	/* Processors differ in whether they keep the G bit; the limit is in bytes in any case. */
	s->g = v->limit > 0xfffff;
	s->unusable = !s->present;
	s->padding = 0;

	/* What else the processor does not keep but Intel's VM entry wants, should this migrate. */
	switch (seg) {
	case MV_SS:
		s->dpl = to_svm(vcpu)->vmcb->save.cpl;
		if (s->unusable)
			s->db = 0;
		else
			s->type |= 1;
		break;
	case MV_TR:
		s->type |= 2; /* busy */
		break;
	case MV_CS:
	case MV_LDTR:
		break;
	default:
		if (!s->unusable)
			s->type |= 1; /* accessed */
	}
}

u32 svm_get_rights(struct mv_vcpu *vcpu, enum mv_seg seg, u64 *base, u32 *limit)
{
	const struct vmcb_seg *v = svm_seg(vcpu, seg);
	u32 rights = (v->attrib & 0xff) | (v->attrib & 0xf00) << 4;

	*base = v->base;
	*limit = v->limit;
	if (seg == MV_SS)
		rights = (rights & ~MV_SEG_DPL) |
			 to_svm(vcpu)->vmcb->save.cpl << MV_SEG_DPL_SHIFT;
	return v->attrib & SVM_SELECTOR_P_MASK ? rights : rights | MV_SEG_UNUSABLE;
}

u32 svm_code_rights(struct mv_vcpu *vcpu)
{
	const struct vmcb_save_area *save = &to_svm(vcpu)->vmcb->save;

	return (save->cs.attrib & (SVM_SELECTOR_L_MASK | SVM_SELECTOR_DB_MASK)) << 4 |
	       save->cpl << MV_SEG_DPL_SHIFT;
}

static_assert(SVM_SELECTOR_L_MASK << 4 == MV_SEG_L && SVM_SELECTOR_DB_MASK << 4 == MV_SEG_DB);

void svm_set_seg(struct mv_vcpu *vcpu, enum mv_seg seg, const struct kvm_segment *s)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	struct vmcb_seg *v = svm_seg(vcpu, seg);

	v->base = s->base;
	v->limit = s->limit;
	v->selector = s->selector;
	v->attrib = (s->type & SVM_SELECTOR_TYPE_MASK) | (s->s & 1) << SVM_SELECTOR_S_SHIFT |
		    (s->dpl & 3) << SVM_SELECTOR_DPL_SHIFT |
		    (s->present && !s->unusable) << SVM_SELECTOR_P_SHIFT |
		    (s->avl & 1) << SVM_SELECTOR_AVL_SHIFT | (s->l & 1) << SVM_SELECTOR_L_SHIFT |
		    (s->db & 1) << SVM_SELECTOR_DB_SHIFT | (s->g & 1) << SVM_SELECTOR_G_SHIFT;
	/* The CPL has a field of its own; SS.DPL is the CPL everywhere else. */
	if (seg == MV_SS)
		svm->vmcb->save.cpl = s->dpl & 3;
	svm_mark_dirty(svm, SVM_CLEAN_SEG);
}

static struct vmcb_seg *svm_dt(struct mv_vcpu *vcpu, bool idt)
{
	struct vmcb_save_area *save = &to_svm(vcpu)->vmcb->save;

	return idt ? &save->idtr : &save->gdtr;
}

void svm_get_dt(struct mv_vcpu *vcpu, bool idt, struct kvm_dtable *dt)
{
	dt->base = svm_dt(vcpu, idt)->base;
	dt->limit = svm_dt(vcpu, idt)->limit;
}

void svm_set_dt(struct mv_vcpu *vcpu, bool idt, const struct kvm_dtable *dt)
{
	svm_dt(vcpu, idt)->base = dt->base;
	svm_dt(vcpu, idt)->limit = dt->limit;
	svm_mark_dirty(to_svm(vcpu), SVM_CLEAN_DT);
}

/* ---- control registers ---- */

/*
 * The guest changes TS and MP without an exit, the rest not. While it sees a
 * CR0 other than the processor's, all accesses exit.
 */
void svm_set_cr0(struct mv_vcpu *vcpu, u64 val)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	u64 hw = val;

	if (mv_has_quirk(vcpu->vm, KVM_X86_QUIRK_CD_NW_CLEARED))
		hw &= ~SVM_CR0_HIDDEN;
	if ((val ^ vcpu->cr0) & MV_CR0_TLB_BITS)
		mv_request(vcpu, MV_REQ_TLB_FLUSH);
	vcpu->cr0 = val;
	vcpu->regs_avail |= BIT(MV_LAZY_CR0);
	svm->vmcb->save.cr0 = hw;
	svm_intercept(svm, INTERCEPT_CR0_READ, hw != val);
	svm_intercept(svm, INTERCEPT_CR0_WRITE, hw != val);
	svm_mark_dirty(svm, SVM_CLEAN_CR);
}

void svm_set_cr4(struct mv_vcpu *vcpu, u64 val)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	/* A machine check in the guest is the host's. */
	u64 hw = val | (cr4_read_shadow() & X86_CR4_MCE);

	if ((val ^ vcpu->cr4) & MV_CR4_TLB_BITS)
		mv_request(vcpu, MV_REQ_TLB_FLUSH);
	vcpu->cr4 = val;
	vcpu->regs_avail |= BIT(MV_LAZY_CR4);
	svm->vmcb->save.cr4 = hw;
	svm_intercept(svm, INTERCEPT_CR4_READ, hw != val);
	svm_mark_dirty(svm, SVM_CLEAN_CR);
}

void svm_set_efer(struct mv_vcpu *vcpu, u64 val)
{
	struct svm_vcpu *svm = to_svm(vcpu);

	vcpu->efer = val;
	/* VMRUN refuses a guest without SVME; EFER accesses exit, so the guest does not see it. */
	svm->vmcb->save.efer = val | EFER_SVME;
	svm_mark_dirty(svm, SVM_CLEAN_CR);
}

/* All registers are in struct mv_vcpu always: they cost a load each after an exit. */
void svm_cache_reg(struct mv_vcpu *vcpu, enum mv_lazy_reg reg)
{
	vcpu->regs_avail |= BIT(reg);
}

/* ---- MSRs ---- */

#define SAVED(msr, field) { msr, offsetof(struct vmcb, save.field) }
static const struct {
	u32 msr;
	u16 offset;
} svm_msrs[] = {
	SAVED(MSR_FS_BASE, fs.base),
	SAVED(MSR_GS_BASE, gs.base),
	SAVED(MSR_KERNEL_GS_BASE, kernel_gs_base),
	SAVED(MSR_STAR, star),
	SAVED(MSR_LSTAR, lstar),
	SAVED(MSR_CSTAR, cstar),
	SAVED(MSR_SYSCALL_MASK, sfmask),
	SAVED(MSR_IA32_SYSENTER_CS, sysenter_cs),
	SAVED(MSR_IA32_SYSENTER_ESP, sysenter_esp),
	SAVED(MSR_IA32_SYSENTER_EIP, sysenter_eip),
};

#undef SAVED

static u64 *svm_saved_msr(struct svm_vcpu *svm, u32 msr)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(svm_msrs); i++) {
		if (svm_msrs[i].msr == msr)
			return (void *)svm->vmcb + svm_msrs[i].offset;
	}
	return NULL;
}

int svm_get_msr(struct mv_vcpu *vcpu, u32 msr, u64 *val)
{
	const u64 *saved = svm_saved_msr(to_svm(vcpu), msr);

	if (saved)
		*val = *saved;
	else if (msr == MSR_TSC_AUX)
		*val = vcpu->msr.tsc_aux;
	else
		return 1;
	return 0;
}

int svm_set_msr(struct mv_vcpu *vcpu, u32 msr, u64 val)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	u64 *saved = svm_saved_msr(svm, msr);

	if (saved) {
		*saved = val;
	} else if (msr == MSR_TSC_AUX) {
		vcpu->msr.tsc_aux = val;
		svm_update_tsc_aux(svm);
	} else {
		return 1;
	}
	return 0;
}

/* ---- what else the guest's configuration decides ---- */

void svm_update_debug(struct mv_vcpu *vcpu)
{
	struct svm_vcpu *svm = to_svm(vcpu);

	svm->vmcb->control.intercepts[INTERCEPT_EXCEPTION] = mv_exception_intercepts(vcpu);
	svm->vmcb->save.dr7 = mv_effective_dr7(vcpu);
	svm_mark_dirty(svm, SVM_CLEAN_INTERCEPTS | SVM_CLEAN_DR);
}

void svm_update_tsc(struct mv_vcpu *vcpu)
{
	struct svm_vcpu *svm = to_svm(vcpu);

	svm->vmcb->control.tsc_offset = vcpu->tsc_offset;
	svm_mark_dirty(svm, SVM_CLEAN_INTERCEPTS);
}

void svm_cpuid_changed(struct mv_vcpu *vcpu)
{
	struct svm_vcpu *svm = to_svm(vcpu);

	/* Without its CPUID bit an instruction is undefined for the guest. */
	svm_intercept(svm, INTERCEPT_RDTSCP, !mv_guest_has(vcpu, X86_FEATURE_RDTSCP));
	if (boot_cpu_has(X86_FEATURE_INVPCID))
		svm_intercept(svm, INTERCEPT_INVPCID, !mv_guest_has(vcpu, X86_FEATURE_INVPCID));
}

/* The map of the ports has all bits set, in more pages than a map of MSRs needs. */
static_assert(IOPM_SIZE >= MSRPM_SIZE);

void svm_update_msr_exits(struct mv_vcpu *vcpu)
{
	struct svm_vcpu *svm = to_svm(vcpu);
	void *map = vcpu->spec_ctrl_switched ? svm_spec_ctrl_msrpm : svm_msrpm;

	if (READ_ONCE(vcpu->vm->all_msrs_exit))
		map = svm_iopm;
	/* With virtual SPEC_CTRL the processor adds the host's bits to these. */
	svm->vmcb->save.spec_ctrl = vcpu->spec_ctrl;
	svm->vmcb->control.msrpm_base_pa = __sme_set(__pa(map));
	svm_mark_dirty(svm, SVM_CLEAN_PERM_MAP);
}

/* ---- reports ---- */

void svm_dump(struct mv_vcpu *vcpu)
{
	static const char *const names[] = { "es", "cs", "ss", "ds", "fs", "gs", "tr", "ldtr" };
	const struct vmcb_control_area *c = &to_svm(vcpu)->vmcb->control;
	const struct vmcb_save_area *s = &to_svm(vcpu)->vmcb->save;
	enum mv_seg seg;

	pr_info("vmcb exit %#x:%#x info1 %#llx info2 %#llx int_info %#x event_inj %#x\n",
		c->exit_code_hi, c->exit_code, c->exit_info_1, c->exit_info_2, c->exit_int_info,
		c->event_inj);
	pr_info("vmcb intercepts %*ph asid %u tlb_ctl %u int_ctl %#x int_state %#x\n",
		(int)sizeof(c->intercepts), c->intercepts, c->asid, c->tlb_ctl, c->int_ctl,
		c->int_state);
	pr_info("vmcb iopm %#llx msrpm %#llx nested_ctl %#llx nested_cr3 %#llx clean %#x\n",
		c->iopm_base_pa, c->msrpm_base_pa, c->nested_ctl, c->nested_cr3, c->clean);
	pr_info("vmcb rip %#llx rsp %#llx rflags %#llx cpl %u efer %#llx\n", s->rip, s->rsp,
		s->rflags, s->cpl, s->efer);
	pr_info("vmcb cr0 %#llx cr2 %#llx cr3 %#llx cr4 %#llx dr6 %#llx dr7 %#llx\n", s->cr0,
		s->cr2, s->cr3, s->cr4, s->dr6, s->dr7);
	for (seg = 0; seg < MV_NR_SEGS; seg++) {
		const struct vmcb_seg *v = svm_seg(vcpu, seg);

		pr_info("vmcb %-4s sel %04x base %016llx limit %08x attrib %04x\n", names[seg],
			v->selector, v->base, v->limit, v->attrib);
	}
}
