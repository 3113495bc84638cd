// SPDX-License-Identifier: GPL-2.0-only
/* MSRs that the VMX backend holds for the guest, and the bitmaps of those that make no exit. */
#include <linux/lockdep.h>
#include <linux/mm.h>
#include <linux/percpu.h>
#include <asm/apicdef.h>
#include <asm/msr.h>

#include "base/regs.h"
#include "vmx/vmx.h"

/* ---- MSRs of the CPU that have the guest's value from the first entry to vmx_put() ---- */

static const u32 vmx_cpu_msr_numbers[] = {
	[VMX_STAR] = MSR_STAR,
	[VMX_LSTAR] = MSR_LSTAR,
	[VMX_FMASK] = MSR_SYSCALL_MASK,
	[VMX_TSC_AUX] = MSR_TSC_AUX,
};

/* The host's values, which do not change, and what is in the CPU. */
struct vmx_cpu_msrs {
	u64 host[VMX_NR_CPU_MSRS], now[VMX_NR_CPU_MSRS];
};

static DEFINE_PER_CPU(struct vmx_cpu_msrs, vmx_cpu_msrs);

void vmx_read_host_msrs(void)
{
	struct vmx_cpu_msrs *msrs = this_cpu_ptr(&vmx_cpu_msrs);
	int i;

	for (i = 0; i < VMX_NR_CPU_MSRS; i++) {
		if (i == VMX_TSC_AUX && !boot_cpu_has(X86_FEATURE_RDTSCP))
			continue;
		rdmsrl(vmx_cpu_msr_numbers[i], msrs->host[i]);
		msrs->now[i] = msrs->host[i];
	}
}

/*
 * The only place where a guest's value goes into one of them. Preemption is off, so vmx_put()
 * comes before or after, and what makes it bring the host's value back is set first.
 */
static __always_inline void vmx_load_cpu_msr(struct vmx_vcpu *vmx, enum vmx_cpu_msr i, u64 val)
{
	struct vmx_cpu_msrs *msrs = this_cpu_ptr(&vmx_cpu_msrs);

	if (msrs->now[i] == val)
		return;
	vmx->cpu_msrs_loaded = true;
	msrs->now[i] = val;
	wrmsrl(vmx_cpu_msr_numbers[i], val);
}

static bool vmx_guest_uses_syscall(struct mv_vcpu *vcpu)
{
	return (vcpu->efer & (EFER_SCE | EFER_LMA)) == (EFER_SCE | EFER_LMA);
}

/* Preemption off, guest_loaded set: vmx_put() undoes it. */
void vmx_load_cpu_msrs(struct vmx_vcpu *vmx)
{
	struct mv_vcpu *vcpu = &vmx->vcpu;

	lockdep_assert_preemption_disabled();
	lockdep_assert(vmx->guest_loaded);
	if (vmx_guest_uses_syscall(vcpu)) {
		vmx_load_cpu_msr(vmx, VMX_STAR, vcpu->msr.star);
		vmx_load_cpu_msr(vmx, VMX_LSTAR, vcpu->msr.lstar);
		vmx_load_cpu_msr(vmx, VMX_FMASK, vcpu->msr.fmask);
	}
	if (mv_guest_has(vcpu, X86_FEATURE_RDTSCP))
		vmx_load_cpu_msr(vmx, VMX_TSC_AUX, vcpu->msr.tsc_aux);
}

/* By what is in the CPU, not by what the guest has by now. */
void vmx_unload_cpu_msrs(struct vmx_vcpu *vmx)
{
	struct vmx_cpu_msrs *msrs = this_cpu_ptr(&vmx_cpu_msrs);
	int i;

	lockdep_assert_preemption_disabled();
	for (i = 0; i < VMX_NR_CPU_MSRS; i++) {
		if (msrs->now[i] == msrs->host[i])
			continue;
		wrmsrl(vmx_cpu_msr_numbers[i], msrs->host[i]);
		msrs->now[i] = msrs->host[i];
	}
	vmx->cpu_msrs_loaded = false;
}

/* The guest's own value, or its use for them, has changed. */
void vmx_update_cpu_msrs(struct vmx_vcpu *vmx)
{
	preempt_disable();
	if (vmx->guest_loaded)
		vmx_load_cpu_msrs(vmx);
	preempt_enable();
}

/* ---- RDMSR and WRMSR ---- */

/* Those that VM entry and exit switch, or that the guest has without an exit. */
static const struct {
	u32 msr;
	u16 field;
} vmx_msr_fields[] = {
	{ MSR_FS_BASE, GUEST_FS_BASE },
	{ MSR_GS_BASE, GUEST_GS_BASE },
	{ MSR_IA32_SYSENTER_CS, GUEST_SYSENTER_CS },
	{ MSR_IA32_SYSENTER_ESP, GUEST_SYSENTER_ESP },
	{ MSR_IA32_SYSENTER_EIP, GUEST_SYSENTER_EIP },
};

int vmx_get_msr(struct mv_vcpu *vcpu, u32 msr, u64 *val)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(vmx_msr_fields); i++) {
		if (vmx_msr_fields[i].msr == msr) {
			*val = vmcs_read(vmx_msr_fields[i].field);
			return 0;
		}
	}
	switch (msr) {
	case MSR_STAR:
		*val = vcpu->msr.star;
		return 0;
	case MSR_LSTAR:
		*val = vcpu->msr.lstar;
		return 0;
	case MSR_CSTAR:
		*val = vcpu->msr.cstar;
		return 0;
	case MSR_SYSCALL_MASK:
		*val = vcpu->msr.fmask;
		return 0;
	case MSR_TSC_AUX:
		*val = vcpu->msr.tsc_aux;
		return 0;
	case MSR_KERNEL_GS_BASE:
		/* The CPU has the guest's until vmx_put(), which may come at any time. */
		preempt_disable();
		if (to_vmx(vcpu)->guest_loaded)
			rdmsrl(MSR_KERNEL_GS_BASE, vcpu->msr.kernel_gs_base);
		*val = vcpu->msr.kernel_gs_base;
		preempt_enable();
		return 0;
	}
	return 1;
}

int vmx_set_msr(struct mv_vcpu *vcpu, u32 msr, u64 val)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	int i;

	for (i = 0; i < ARRAY_SIZE(vmx_msr_fields); i++) {
		if (vmx_msr_fields[i].msr == msr) {
			vmcs_write(vmx_msr_fields[i].field, val);
			return 0;
		}
	}
	switch (msr) {
	case MSR_STAR:
		vcpu->msr.star = val;
		break;
	case MSR_LSTAR:
		vcpu->msr.lstar = val;
		break;
	case MSR_SYSCALL_MASK:
		vcpu->msr.fmask = val;
		break;
	case MSR_TSC_AUX:
		vcpu->msr.tsc_aux = val;
		break;
	case MSR_CSTAR:
		/* Intel processors have the MSR but take #UD on SYSCALL in compatibility mode. */
		vcpu->msr.cstar = val;
		return 0;
	case MSR_KERNEL_GS_BASE:
		/* As above: with preemption off, and only while vmx_put() is to undo it. */
		preempt_disable();
		vcpu->msr.kernel_gs_base = val;
		if (vmx->guest_loaded)
			wrmsrl(msr, val);
		preempt_enable();
		return 0;
	default:
		return 1;
	}
	vmx_update_cpu_msrs(vmx);
	return 0;
}

/* ---- MSR bitmaps ---- */

const u32 vmx_passed_through[] = {
	MSR_FS_BASE, MSR_GS_BASE, MSR_KERNEL_GS_BASE,
	MSR_IA32_SYSENTER_CS, MSR_IA32_SYSENTER_ESP, MSR_IA32_SYSENTER_EIP, 0
};

/* SDM vol. 3C, 30.5.  The current count is the timer's to tell. */
static const u16 x2apic_reads[] __initconst = {
	APIC_ID, APIC_LVR, APIC_TASKPRI, APIC_PROCPRI, APIC_LDR, APIC_SPIV, APIC_ESR, APIC_ICR,
	APIC_LVTT, APIC_LVTTHMR, APIC_LVTPC, APIC_LVT0, APIC_LVT1, APIC_LVTERR, APIC_TMICT,
	APIC_TDCR,
};

/* Which bitmap: a sum of these */
#define BITMAP_X2APIC 1 /* the processor virtualizes the local APIC's */
#define BITMAP_SPEC_CTRL 2 /* the guest's IA32_SPEC_CTRL is switched */

static unsigned long *msr_bitmaps[4] __ro_after_init;

/* Parts of a bitmap, in bytes: reads and writes, each of low and of high MSRs. SDM 25.6.9. */
#define READS 0
#define WRITES 0x800
#define HIGH_MSRS 0x400

/* A set bit exits. */
static void __init pass(int which, u32 msr, int part)
{
	if (msr >= 0xc0000000)
		part += HIGH_MSRS;
	__clear_bit(part * 8 + (msr & 0x1fff), msr_bitmaps[which]);
}

static void __init fill(int which)
{
	const u32 *msr;
	int i;

	memset(msr_bitmaps[which], 0xff, PAGE_SIZE);
	for (msr = vmx_passed_through; *msr; msr++) {
		pass(which, *msr, READS);
		pass(which, *msr, WRITES);
	}
	if (which & BITMAP_SPEC_CTRL) {
		pass(which, MSR_IA32_SPEC_CTRL, READS);
		pass(which, MSR_IA32_SPEC_CTRL, WRITES);
	}
	if (!(which & BITMAP_X2APIC))
		return;
	for (i = 0; i < ARRAY_SIZE(x2apic_reads); i++)
		pass(which, APIC_BASE_MSR + (x2apic_reads[i] >> 4), READS);
	for (i = 0; i < 3 * 8; i++) /* ISR, TMR, IRR */
		pass(which, APIC_BASE_MSR + (APIC_ISR >> 4) + i, READS);
	pass(which, APIC_BASE_MSR + (APIC_TASKPRI >> 4), WRITES);
	pass(which, APIC_BASE_MSR + (APIC_EOI >> 4), WRITES);
	if (vmx_passes_self_ipi())
		pass(which, APIC_BASE_MSR + (APIC_SELF_IPI >> 4), WRITES);
}

int __init vmx_alloc_msr_bitmaps(void)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(msr_bitmaps); i++) {
		msr_bitmaps[i] = (void *)__get_free_page(GFP_KERNEL);
		if (!msr_bitmaps[i])
			return -ENOMEM;
		fill(i);
	}
	return 0;
}

void vmx_free_msr_bitmaps(void)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(msr_bitmaps); i++)
		free_page((unsigned long)msr_bitmaps[i]);
}

/*
 * Without virtual-interrupt delivery a WRMSR that BITMAP_X2APIC lets through
 * would reach the host's own APIC: controls and bitmap go together.
 */
void vmx_write_msr_bitmap(struct vmx_vcpu *vmx)
{
	int which = 0;

	if (vmx->cpu2 & SECONDARY_EXEC_VIRTUALIZE_X2APIC_MODE)
		which |= BITMAP_X2APIC;
	if (vmx->vcpu.spec_ctrl_switched)
		which |= BITMAP_SPEC_CTRL;
	vmcs_write(MSR_BITMAP, __pa(msr_bitmaps[which]));
}

/* SDM 25.6.9: without the bitmap all of them exit. */
void vmx_update_msr_exits(struct mv_vcpu *vcpu)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);

	vmx_set_cpu_ctl(vmx, READ_ONCE(vcpu->vm->all_msrs_exit) ?
				vmx->cpu_ctl & ~CPU_BASED_USE_MSR_BITMAPS :
				vmx->cpu_ctl | CPU_BASED_USE_MSR_BITMAPS);
	vmx_write_msr_bitmap(vmx);
}
