// SPDX-License-Identifier: GPL-2.0-only
/* Model-specific registers: one table of those that guests have; all others get #GP. */
#include <linux/hash.h>
#include <linux/nospec.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <asm/apicdef.h>
#include <asm/msr.h>
#include <asm/mtrr.h>

#include "base/backend.h"
#include "base/regs.h"
#include "base/request.h"
#include "cpu/asyncpf.h"
#include "cpu/cpuid.h"
#include "cpu/cr.h"
#include "cpu/mce.h"
#include "cpu/msr.h"
#include "cpu/tsc.h"
#include "irq/irq.h"
#include "time/time.h"
#include "../uapi/linux/minivirt.h"

/* Functions that only tell whether something is right return 1 for this. */
static_assert(KVM_MSR_EXIT_REASON_INVAL == 1);

#define MAX_IO_MSRS 256 /* KVM_GET/SET_MSRS take fewer than this */

/* What a new vCPU begins with; also the values of the feature MSRs. */
static struct mv_msr_state new_vcpu __ro_after_init;

/* ---- the time-stamp counter ---- */

static int get_tsc(struct mv_vcpu *vcpu, u32 msr, u64 *val, bool host)
{
	*val = mv_read_tsc(vcpu);
	return 0;
}

/* The guest's write shows in IA32_TSC_ADJUST, and the reverse. SDM vol. 3B, 18.17.3. */
static int set_tsc(struct mv_vcpu *vcpu, u32 msr, u64 val, bool host)
{
	u64 change;

	if (host) {
		mv_set_tsc_from_host(vcpu, val);
		return 0;
	}
	change = val - mv_read_tsc(vcpu);
	vcpu->tsc_adjust += change;
	mv_set_tsc_offset(vcpu, vcpu->tsc_offset + change);
	return 0;
}

static int get_tsc_adjust(struct mv_vcpu *vcpu, u32 msr, u64 *val, bool host)
{
	*val = vcpu->tsc_adjust;
	return 0;
}

static int set_tsc_adjust(struct mv_vcpu *vcpu, u32 msr, u64 val, bool host)
{
	if (!host)
		mv_set_tsc_offset(vcpu, vcpu->tsc_offset + val - vcpu->tsc_adjust);
	vcpu->tsc_adjust = val;
	return 0;
}

/* ---- speculation ---- */

/* The bits of IA32_SPEC_CTRL that guests can set; 0: there is no such register. */
static u64 spec_ctrl_bits __ro_after_init;

static bool guest_has_spec_ctrl(struct mv_vcpu *vcpu)
{
	return mv_guest_has(vcpu, X86_FEATURE_SPEC_CTRL) ||
	       mv_guest_has(vcpu, X86_FEATURE_INTEL_STIBP) ||
	       mv_guest_has(vcpu, X86_FEATURE_SPEC_CTRL_SSBD) ||
	       mv_guest_has(vcpu, X86_FEATURE_AMD_IBRS) ||
	       mv_guest_has(vcpu, X86_FEATURE_AMD_STIBP) ||
	       mv_guest_has(vcpu, X86_FEATURE_AMD_SSBD);
}

static int get_spec_ctrl(struct mv_vcpu *vcpu, u32 msr, u64 *val, bool host)
{
	if (!host && !guest_has_spec_ctrl(vcpu))
		return 1;
	*val = vcpu->spec_ctrl;
	return 0;
}

/*
 * The first value other than the one of reset ends the exits, for a guest may
 * write the register at each of its own system calls; from then on it costs an
 * RDMSR at every exit. Where the processor switches it, writes go on to exit.
 */
static int set_spec_ctrl(struct mv_vcpu *vcpu, u32 msr, u64 val, bool host)
{
	if ((!host && !guest_has_spec_ctrl(vcpu)) || (val & ~spec_ctrl_bits))
		return 1;
	vcpu->spec_ctrl = val;
	if (val && !boot_cpu_has(X86_FEATURE_V_SPEC_CTRL))
		vcpu->spec_ctrl_switched = true;
	mv_request(vcpu, MV_REQ_MSR_EXITS);
	return 0;
}

/* A barrier against indirect branches trained before, on the CPU that the guest is on. */
static int set_pred_cmd(struct mv_vcpu *vcpu, u32 msr, u64 val, bool host)
{
	if (!host && !mv_guest_has(vcpu, X86_FEATURE_SPEC_CTRL) &&
	    !mv_guest_has(vcpu, X86_FEATURE_AMD_IBPB))
		return 1;
	if (!boot_cpu_has(X86_FEATURE_IBPB) || (val & ~(u64)PRED_CMD_IBPB))
		return 1;
	if (val)
		wrmsrl(MSR_IA32_PRED_CMD, PRED_CMD_IBPB);
	return 0;
}

static void __init setup_spec_ctrl(void)
{
	if (!boot_cpu_has(X86_FEATURE_MSR_SPEC_CTRL))
		return;
	if (boot_cpu_has(X86_FEATURE_IBRS))
		spec_ctrl_bits |= SPEC_CTRL_IBRS;
	if (boot_cpu_has(X86_FEATURE_STIBP))
		spec_ctrl_bits |= SPEC_CTRL_STIBP;
	if (boot_cpu_has(X86_FEATURE_SPEC_CTRL_SSBD) || boot_cpu_has(X86_FEATURE_AMD_SSBD))
		spec_ctrl_bits |= SPEC_CTRL_SSBD;
}

/* ---- the local APIC ---- */

static int get_tsc_deadline(struct mv_vcpu *vcpu, u32 msr, u64 *val, bool host)
{
	*val = vcpu->lapic ? mv_lapic_get_tsc_deadline(vcpu) : 0;
	return 0;
}

static int set_tsc_deadline(struct mv_vcpu *vcpu, u32 msr, u64 val, bool host)
{
	if (vcpu->lapic && unlikely(host))
		mv_lapic_restore_tsc_deadline(vcpu, val);
	else if (vcpu->lapic)
		mv_lapic_set_tsc_deadline(vcpu, val);
	return 0;
}

static int get_apic_base(struct mv_vcpu *vcpu, u32 msr, u64 *val, bool host)
{
	*val = vcpu->apic_base;
	return 0;
}

static int set_apic_base(struct mv_vcpu *vcpu, u32 msr, u64 val, bool host)
{
	u64 old = vcpu->apic_base;

	if (mv_lapic_set_base(vcpu, val, host))
		return 1;
	if ((old ^ val) & MSR_IA32_APICBASE_ENABLE)
		mv_cpuid_runtime_update(vcpu);
	return 0;
}

/* ---- EFER, TSC_AUX ---- */

static int get_efer(struct mv_vcpu *vcpu, u32 msr, u64 *val, bool host)
{
	*val = vcpu->efer;
	return 0;
}

static int set_efer(struct mv_vcpu *vcpu, u32 msr, u64 val, bool host)
{
	return mv_set_efer(vcpu, val, host);
}

static int get_tsc_aux(struct mv_vcpu *vcpu, u32 msr, u64 *val, bool host)
{
	return boot_cpu_has(X86_FEATURE_RDTSCP) ? mv_backend->get_msr(vcpu, msr, val) : 1;
}

/* AMD processors drop the upper half, Intel's refuse it: refusing is what software can see. */
static int set_tsc_aux(struct mv_vcpu *vcpu, u32 msr, u64 val, bool host)
{
	if (!boot_cpu_has(X86_FEATURE_RDTSCP) || val >> 32)
		return 1;
	return mv_backend->set_msr(vcpu, msr, val);
}

/*
 * AMD's processors take any value from a guest, so one that is not canonical may be there to be
 * restored; Intel's VM entry refuses such a one.
 */
static int set_sysenter(struct mv_vcpu *vcpu, u32 msr, u64 val, bool host)
{
	if (!host && !mv_canonical(vcpu, val))
		return 1;
	if (mv_backend->id == MINIVIRT_BACKEND_VMX)
		val = mv_make_canonical(vcpu, val);
	return mv_backend->set_msr(vcpu, msr, val);
}

/* ---- what the processor is and may do ---- */

static int get_refused(struct mv_vcpu *vcpu, u32 msr, u64 *val, bool host)
{
	return 1;
}

#define MISC_ENABLE_NO_PMU (MSR_IA32_MISC_ENABLE_BTS_UNAVAIL | MSR_IA32_MISC_ENABLE_PEBS_UNAVAIL)

static int get_misc_enable(struct mv_vcpu *vcpu, u32 msr, u64 *val, bool host)
{
	*val = vcpu->msr.misc_enable;
	return 0;
}

static int set_misc_enable(struct mv_vcpu *vcpu, u32 msr, u64 val, bool host)
{
	u64 old = vcpu->msr.misc_enable;

	if (!host) {
		if ((val ^ old) & MISC_ENABLE_NO_PMU)
			return 1;
		/* That there is a PMU is a fact, not a setting. */
		val = (val & ~MSR_IA32_MISC_ENABLE_EMON) | (old & MSR_IA32_MISC_ENABLE_EMON);
	}
	/* MWAIT came with SSE3. SDM vol. 4, table 2-2. */
	if (((val ^ old) & MSR_IA32_MISC_ENABLE_MWAIT) && !mv_guest_has(vcpu, X86_FEATURE_XMM3) &&
	    !mv_has_quirk(vcpu->vm, KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT))
		return 1;
	vcpu->msr.misc_enable = val;
	mv_cpuid_runtime_update(vcpu);
	return 0;
}

/* MSR_PLATFORM_INFO: a value of userspace's, which can take it from the guest. */
static int get_platform_info(struct mv_vcpu *vcpu, u32 msr, u64 *val, bool host)
{
	*val = vcpu->msr.platform_info;
	return !host && vcpu->vm->no_platform_info;
}

/* No faulting on CPUID, which is the only thing that this MSR promises. */
static int set_platform_info(struct mv_vcpu *vcpu, u32 msr, u64 val, bool host)
{
	if (!host || (val & MSR_PLATFORM_INFO_CPUID_FAULT))
		return 1;
	vcpu->msr.platform_info = val;
	return 0;
}

/* How long the core has slept, for a guest that may send it to sleep. */
static int get_residency(struct mv_vcpu *vcpu, u32 msr, u64 *val, bool host)
{
	if (!(vcpu->vm->disabled_exits & KVM_X86_DISABLE_EXITS_CSTATE) || rdmsrl_safe(msr, val))
		return 1;
	return 0;
}

static int get_hwcr(struct mv_vcpu *vcpu, u32 msr, u64 *val, bool host)
{
	*val = vcpu->msr.hwcr;
	return 0;
}

/* What boot code sets for the caches and for IGNNE has no effect; the others it leaves alone. */
#define HWCR_IGNORED (BIT(3) | BIT(6) | BIT(8)) /* TlbCacheDis, FFDis, IgnneEm */
#define HWCR_KEPT (BIT(18) | BIT(24)) /* McStatusWrEn, TscFreqSel */

static int set_hwcr(struct mv_vcpu *vcpu, u32 msr, u64 val, bool host)
{
	val &= ~(u64)HWCR_IGNORED;
	if (val & ~(u64)HWCR_KEPT)
		return 1;
	vcpu->msr.hwcr = val;
	return 0;
}

/* ---- what values a register takes ---- */

static bool valid_canonical(struct mv_vcpu *vcpu, u32 msr, u64 val, bool host)
{
	return mv_canonical(vcpu, val);
}

/*
 * RFLAGS has no more. Intel's processors refuse them, and with VMX the host loads this one as it
 * is; where the VMCB has it, a guest may have written what its processor has let it.
 */
static bool valid_flag_mask(struct mv_vcpu *vcpu, u32 msr, u64 val, bool host)
{
	return !(val >> 32) || (host && mv_backend->id == MINIVIRT_BACKEND_SVM);
}

#define EACH_BYTE(x) ((x) * 0x0101010101010101ull)

/* Eight bytes of up to 7, but not 2 and 3. SDM vol. 3A, table 12-10. */
static bool valid_types(u64 val)
{
	u64 bit_1 = val & EACH_BYTE(2);

	return !(val & EACH_BYTE(0xf8)) && !((bit_1 << 1) & ~val);
}

static bool valid_pat(struct mv_vcpu *vcpu, u32 msr, u64 val, bool host)
{
	return valid_types(val);
}

/* Type 7, UC-, is only for the PAT. */
static bool valid_mtrr_types(u64 val)
{
	return valid_types(val) && !(val & (val >> 1) & (val >> 2) & EACH_BYTE(1));
}

static bool valid_mtrr_fixed(struct mv_vcpu *vcpu, u32 msr, u64 val, bool host)
{
	return valid_mtrr_types(val);
}

/* SDM vol. 3A, 12.11.2.1: bits 11 and 10 enable. */
static bool valid_mtrr_def_type(struct mv_vcpu *vcpu, u32 msr, u64 val, bool host)
{
	return !(val & ~0xcffull) && valid_mtrr_types(val & 0xff);
}

/* SDM vol. 3A, 12.11.2.3: pairs of base with type, and mask with valid bit. */
static bool valid_mtrr_var(struct mv_vcpu *vcpu, u32 msr, u64 val, bool host)
{
	if (val & mv_reserved_gpa(vcpu))
		return false;
	if (msr & 1)
		return !(val & 0x7ff);
	return !(val & 0xf00) && valid_mtrr_types(val & 0xff);
}

/* VMX off, and locked so. */
static bool valid_feature_control(struct mv_vcpu *vcpu, u32 msr, u64 val, bool host)
{
	return host && val == FEAT_CTL_LOCKED;
}

/* Registers whose only defined bits belong to features that guests do not have. */
static bool valid_zero(struct mv_vcpu *vcpu, u32 msr, u64 val, bool host)
{
	return !val;
}

static bool valid_bit_0(struct mv_vcpu *vcpu, u32 msr, u64 val, bool host)
{
	return val <= 1;
}

static bool valid_from_host(struct mv_vcpu *vcpu, u32 msr, u64 val, bool host)
{
	return host;
}

static bool valid_mcg_cap(struct mv_vcpu *vcpu, u32 msr, u64 val, bool host)
{
	return host && val == vcpu->msr.mcg_cap;
}

/* Linux sets BTF for a debugger without asking whether it is there. */
static bool valid_debugctl(struct mv_vcpu *vcpu, u32 msr, u64 val, bool host)
{
	return !(val & ~(u64)(DEBUGCTLMSR_LBR | DEBUGCTLMSR_BTF));
}

/* Whether LFENCE serializes: a fact, not a setting. */
static bool valid_de_cfg(struct mv_vcpu *vcpu, u32 msr, u64 val, bool host)
{
	return val == vcpu->msr.de_cfg || (host && !(val & ~new_vcpu.de_cfg));
}

/* ---- the table ---- */

/**
 * struct msr_row - one MSR, or some with consecutive numbers
 * @first: its number, or the first one
 * @nr: how many
 * @listed: KVM_GET_MSR_INDEX_LIST has it: it is state to save and restore
 * @is_feature: KVM_GET_MSRS of the system has it: the value of a new vCPU
 * @ignored: the guest's writes have no effect; a constant without it is read-only
 * @in_backend: the backend holds it
 * @offset: of its value in struct mv_msr_state, or NOT_STORED
 * @value: of a constant one
 * @feature: the guest needs this X86_FEATURE_* or MV_FEATURE_PV() to have it (0: none;
 *	X86_FEATURE_FPU is 0)
 * @valid: which values can be written; NULL: all
 * @get: for those that need code: as mv_get_msr()
 * @set: as mv_set_msr()
 *
 * A @set without a @get, or the reverse, goes with the other fields.
 */
struct msr_row {
	u32 first;
	u16 nr;
	bool listed : 1, is_feature : 1, ignored : 1, in_backend : 1;
	u16 offset;
	u16 feature;
	u64 value;
	bool (*valid)(struct mv_vcpu *vcpu, u32 msr, u64 val, bool host);
	int (*get)(struct mv_vcpu *vcpu, u32 msr, u64 *val, bool host);
	int (*set)(struct mv_vcpu *vcpu, u32 msr, u64 val, bool host);
};

#define NOT_STORED 0xffff

#define CODE(msr, n, getter, setter, ...) \
	{ .first = msr, .nr = n, .offset = NOT_STORED, .get = getter, .set = setter, ##__VA_ARGS__ }
#define BACKEND(msr, ...) \
	{ .first = msr, .nr = 1, .offset = NOT_STORED, .in_backend = true, ##__VA_ARGS__ }
#define STORED(msr, n, field, ...) \
	{ .first = msr, .nr = n, .offset = offsetof(struct mv_msr_state, field), ##__VA_ARGS__ }
#define CONSTANT(msr, n, val, ...) \
	{ .first = msr, .nr = n, .offset = NOT_STORED, .value = val, ##__VA_ARGS__ }
#define WRITE_ONLY(msr) \
	{ .first = msr, .nr = 1, .offset = NOT_STORED, .get = get_refused, IGNORED }
#define READ_ONLY_CODE(msr, n, name) \
	{ .first = msr, .nr = n, .offset = NOT_STORED, .get = get_##name }
#define LISTED .listed = true
#define FEATURE .is_feature = true
#define IGNORED .ignored = true
#define NEEDS(name) .feature = X86_FEATURE_##name
#define NEEDS_PV(name) .feature = MV_FEATURE_PV(name)

static const struct msr_row rows[] = {
	CODE(MSR_IA32_TSC, 1, get_tsc, set_tsc, LISTED),
	CODE(MSR_IA32_TSC_ADJUST, 1, get_tsc_adjust, set_tsc_adjust, LISTED, NEEDS(TSC_ADJUST)),
	CODE(MSR_IA32_TSC_DEADLINE, 1, get_tsc_deadline, set_tsc_deadline, LISTED),
	CODE(MSR_TSC_AUX, 1, get_tsc_aux, set_tsc_aux, LISTED, NEEDS(RDTSCP)),

	CODE(MSR_IA32_APICBASE, 1, get_apic_base, set_apic_base),

	/* System calls and bases. */
	CODE(MSR_EFER, 1, get_efer, set_efer),
	BACKEND(MSR_STAR, LISTED),
	BACKEND(MSR_LSTAR, LISTED, .valid = valid_canonical),
	BACKEND(MSR_CSTAR, LISTED, .valid = valid_canonical),
	BACKEND(MSR_SYSCALL_MASK, LISTED, .valid = valid_flag_mask),
	BACKEND(MSR_FS_BASE, .valid = valid_canonical),
	BACKEND(MSR_GS_BASE, .valid = valid_canonical),
	BACKEND(MSR_KERNEL_GS_BASE, LISTED, .valid = valid_canonical),
	BACKEND(MSR_IA32_SYSENTER_CS, LISTED),
	BACKEND(MSR_IA32_SYSENTER_ESP, LISTED, .set = set_sysenter),
	BACKEND(MSR_IA32_SYSENTER_EIP, LISTED, .set = set_sysenter),
	CONSTANT(MSR_IA32_XSS, 1, 0, IGNORED, NEEDS(XSAVES), .valid = valid_zero),

	/* Memory types: kept for the guest; its memory is cached as the host's is. */
	STORED(MSR_IA32_CR_PAT, 1, pat, LISTED, .valid = valid_pat),
	CONSTANT(MSR_MTRRcap, 1, 0x508), /* 8 variable ranges, fixed ones, write-combining */
	STORED(MSR_MTRRdefType, 1, mtrr_def_type, .valid = valid_mtrr_def_type),
	STORED(MSR_MTRRfix64K_00000, 1, mtrr_fixed[0], .valid = valid_mtrr_fixed),
	STORED(MSR_MTRRfix16K_80000, 2, mtrr_fixed[1], .valid = valid_mtrr_fixed),
	STORED(MSR_MTRRfix4K_C0000, 8, mtrr_fixed[3], .valid = valid_mtrr_fixed),
	STORED(MTRRphysBase_MSR(0), 16, mtrr_var, .valid = valid_mtrr_var),

	/* Speculation. */
	CODE(MSR_IA32_SPEC_CTRL, 1, get_spec_ctrl, set_spec_ctrl, LISTED),
	CODE(MSR_IA32_PRED_CMD, 1, get_refused, set_pred_cmd),

	/* What the processor is. */
	STORED(MSR_IA32_ARCH_CAPABILITIES, 1, arch_capabilities, LISTED, FEATURE,
	       NEEDS(ARCH_CAPABILITIES), .valid = valid_from_host),
	STORED(MSR_IA32_UCODE_REV, 1, ucode_rev, LISTED, FEATURE, IGNORED),
	CODE(MSR_IA32_MISC_ENABLE, 1, get_misc_enable, set_misc_enable, LISTED),
	CODE(MSR_PLATFORM_INFO, 1, get_platform_info, set_platform_info, LISTED),
	CONSTANT(MSR_MISC_FEATURES_ENABLES, 1, 0, LISTED, IGNORED, .valid = valid_zero),
	STORED(MSR_IA32_FEAT_CTL, 1, feature_control, LISTED, .valid = valid_feature_control),
	CONSTANT(MSR_IA32_PLATFORM_ID, 1, 0),
	CONSTANT(MSR_IA32_EBL_CR_POWERON, 1, 0),
	CONSTANT(MSR_EBC_FREQUENCY_ID, 1, 1 << 24), /* 100 MHz, times 1 */
	CONSTANT(MSR_FSB_FREQ, 1, 3),
	CONSTANT(MSR_IA32_BBL_CR_CTL3, 1, 0xbe702111, IGNORED), /* an L2 cache, configured */
	WRITE_ONLY(MSR_IA32_UCODE_WRITE),

	/* Machine checks. */
	CONSTANT(MSR_IA32_P5_MC_ADDR, 2, 0), /* and _TYPE */
	STORED(MSR_IA32_MCG_CAP, 1, mcg_cap, .valid = valid_mcg_cap),
	STORED(MSR_IA32_MCG_STATUS, 1, mcg_status, LISTED),
	CODE(MSR_IA32_MCG_CTL, 1, mv_get_mcg_ctl, mv_set_mcg_ctl, LISTED),
	CODE(MSR_IA32_MC0_CTL, 4 * MV_MCE_BANKS, mv_get_mce_bank, mv_set_mce_bank),
	CODE(MSR_IA32_MC0_CTL2, MV_MCE_BANKS, mv_get_mce_bank, mv_set_mce_bank),

	/*
	 * No performance counters, no branch records, no power management; but
	 * guests touch the old ones among them without asking CPUID.
	 */
	CONSTANT(MSR_IA32_DEBUGCTLMSR, 1, 0, IGNORED, .valid = valid_debugctl),
	CONSTANT(MSR_IA32_LASTBRANCHFROMIP, 4, 0),
	CONSTANT(MSR_P6_PERFCTR0, 2, 0, IGNORED),
	CONSTANT(MSR_P6_EVNTSEL0, 2, 0, IGNORED),
	CONSTANT(MSR_K7_EVNTSEL0, 4, 0, IGNORED),
	CONSTANT(MSR_K7_PERFCTR0, 4, 0, IGNORED),
	CONSTANT(MSR_IA32_PERF_STATUS, 1, 1000 | 4ull << 40),
	CONSTANT(MSR_IA32_PERF_CTL, 1, 0),
	STORED(MSR_IA32_POWER_CTL, 1, power_ctl, LISTED),
	READ_ONLY_CODE(MSR_CORE_C1_RES, 1, residency),
	READ_ONLY_CODE(MSR_CORE_C3_RESIDENCY, 3, residency),
	CONSTANT(MSR_SMI_COUNT, 1, 0), /* there is no SMM */
	CONSTANT(MSR_RAPL_POWER_UNIT, 1, 0),
	CONSTANT(MSR_PKG_ENERGY_STATUS, 1, 0),
	CONSTANT(MSR_DRAM_ENERGY_STATUS, 1, 0),
	CONSTANT(MSR_PP0_ENERGY_STATUS, 1, 0),
	CONSTANT(MSR_PP1_ENERGY_STATUS, 1, 0),

	/* Paravirtual services. */
	CODE(MSR_KVM_WALL_CLOCK, 1, mv_get_wall_clock, mv_set_wall_clock, LISTED,
	     NEEDS_PV(CLOCKSOURCE)),
	CODE(MSR_KVM_WALL_CLOCK_NEW, 1, mv_get_wall_clock, mv_set_wall_clock, LISTED,
	     NEEDS_PV(CLOCKSOURCE2)),
	STORED(MSR_KVM_SYSTEM_TIME, 1, pv_clock, LISTED, .set = mv_set_pv_clock,
	       NEEDS_PV(CLOCKSOURCE)),
	STORED(MSR_KVM_SYSTEM_TIME_NEW, 1, pv_clock, LISTED, .set = mv_set_pv_clock,
	       NEEDS_PV(CLOCKSOURCE2)),
	STORED(MSR_KVM_STEAL_TIME, 1, pv_steal_time, LISTED, .set = mv_set_steal_time,
	       NEEDS_PV(STEAL_TIME)),
	STORED(MSR_KVM_PV_EOI_EN, 1, pv_eoi, LISTED, .set = mv_set_pv_eoi, NEEDS_PV(PV_EOI)),
	STORED(MSR_KVM_ASYNC_PF_EN, 1, pv_apf, LISTED, .set = mv_set_apf, NEEDS_PV(ASYNC_PF)),
	STORED(MSR_KVM_ASYNC_PF_INT, 1, pv_apf_int, LISTED, .set = mv_set_apf_int,
	       NEEDS_PV(ASYNC_PF_INT)),
	CONSTANT(MSR_KVM_ASYNC_PF_ACK, 1, 0, LISTED, .set = mv_set_apf_ack,
		 NEEDS_PV(ASYNC_PF_INT)),
	STORED(MSR_KVM_POLL_CONTROL, 1, pv_poll_control, LISTED, .valid = valid_bit_0,
	       NEEDS_PV(POLL_CONTROL)),

	/* AMD. */
	STORED(MSR_AMD64_DE_CFG, 1, de_cfg, FEATURE, .valid = valid_de_cfg),
	CODE(MSR_K7_HWCR, 1, get_hwcr, set_hwcr, LISTED),
	CONSTANT(MSR_K7_CLK_CTL, 1, 0x20000000, IGNORED), /* as Linux wants it of a K7 */
	CONSTANT(MSR_AMD64_SYSCFG, 1, 0),
	CONSTANT(MSR_K8_INT_PENDING_MSG, 1, 0),
	CONSTANT(MSR_K8_TSEG_ADDR, 2, 0),
	CONSTANT(MSR_AMD64_NB_CFG, 1, 0, IGNORED),
	WRITE_ONLY(MSR_AMD64_PATCH_LOADER),
	CONSTANT(MSR_FAM10H_MMIO_CONF_BASE, 1, 0, IGNORED),
	CONSTANT(MSR_AMD64_DC_CFG, 1, 0, IGNORED),
	CONSTANT(MSR_AMD64_BU_CFG2, 1, 0, IGNORED),
	CONSTANT(MSR_AMD64_TW_CFG, 1, 0, IGNORED),
	CONSTANT(MSR_F15H_EX_CFG, 1, 0, IGNORED),
	CONSTANT(MSR_F15H_IC_CFG, 1, 0),
};

/* Where an MSR's row is: an open hash table of indices plus 1, never full. */
#define ROW_HASH_BITS 10
static u8 row_hash[BIT(ROW_HASH_BITS)] __ro_after_init;
static_assert(ARRAY_SIZE(rows) < 0xff);

static u32 next_slot(u32 slot)
{
	return (slot + 1) % ARRAY_SIZE(row_hash);
}

static __always_inline const struct msr_row *find(u32 msr)
{
	u32 slot;

	for (slot = hash_32(msr, ROW_HASH_BITS); row_hash[slot]; slot = next_slot(slot)) {
		const struct msr_row *row = &rows[row_hash[slot] - 1];

		if (msr - row->first < row->nr)
			return row;
	}
	return NULL;
}

static void __init fill_row_hash(void)
{
	u32 i, n, slot;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		for (n = 0; n < rows[i].nr; n++) {
			slot = hash_32(rows[i].first + n, ROW_HASH_BITS);
			while (row_hash[slot])
				slot = next_slot(slot);
			row_hash[slot] = i + 1;
		}
	}
}

/* The local APIC's 256 have no row. */
static bool is_x2apic(u32 msr)
{
	return msr - APIC_BASE_MSR < 0x100;
}

static u64 *stored(struct mv_msr_state *state, const struct msr_row *row, u32 msr)
{
	u32 i = array_index_nospec(msr - row->first, row->nr);

	return (void *)state + row->offset + i * sizeof(u64);
}

static bool guest_lacks(struct mv_vcpu *vcpu, const struct msr_row *row)
{
	return row->feature && !mv_guest_has(vcpu, row->feature);
}

/**
 * mv_get_msr() - RDMSR, or one entry of KVM_GET_MSRS
 * @vcpu: the vCPU, loaded
 * @msr: which
 * @val: its value
 * @host: for userspace, which may read what the guest's CPUID does not offer
 *
 * Return: 0, or KVM_MSR_EXIT_REASON_INVAL (1) or _UNKNOWN when the guest gets #GP.
 */
int mv_get_msr(struct mv_vcpu *vcpu, u32 msr, u64 *val, bool host)
{
	const struct msr_row *row;

	if (is_x2apic(msr))
		return mv_lapic_msr(vcpu, msr, val, false);
	row = find(msr);
	if (unlikely(!row))
		return KVM_MSR_EXIT_REASON_UNKNOWN;
	if (unlikely(!host && guest_lacks(vcpu, row)))
		return 1;
	if (row->get)
		return row->get(vcpu, msr, val, host);
	if (row->in_backend)
		return mv_backend->get_msr(vcpu, msr, val);
	*val = row->offset == NOT_STORED ? row->value : *stored(&vcpu->msr, row, msr);
	return 0;
}

/* What guests write all the time, but an IPI to many takes too long; and what is only stored. */
bool mv_wrmsr_is_fast(struct mv_vcpu *vcpu)
{
	u32 low = vcpu->gpr[MV_RAX], dest = vcpu->gpr[MV_RDX];
	const struct msr_row *row;

	switch ((u32)vcpu->gpr[MV_RCX]) {
	case MSR_IA32_TSC_DEADLINE:
	case APIC_BASE_MSR + (APIC_SELF_IPI >> 4):
		return true;
	case APIC_BASE_MSR + (APIC_ICR >> 4):
		if (low & APIC_DEST_ALLBUT) /* both bits of the shorthand */
			return (low & APIC_DEST_ALLBUT) == APIC_DEST_SELF;
		return !(low & APIC_DEST_LOGICAL) && dest != ~0u &&
		       mv_apic_ids_are_unique(vcpu->vm);
	default:
		row = find(vcpu->gpr[MV_RCX]);
		return row && !row->set && !row->in_backend;
	}
}

int mv_set_msr(struct mv_vcpu *vcpu, u32 msr, u64 val, bool host)
{
	const struct msr_row *row;

	/* What a guest writes all the time: its timer, its EOIs and IPIs. */
	if (msr == MSR_IA32_TSC_DEADLINE)
		return set_tsc_deadline(vcpu, msr, val, host);
	if (is_x2apic(msr))
		return mv_lapic_msr(vcpu, msr, &val, true);

	row = find(msr);
	if (unlikely(!row))
		return KVM_MSR_EXIT_REASON_UNKNOWN;
	if (unlikely(!host && guest_lacks(vcpu, row)))
		return 1;
	if (row->valid && !row->valid(vcpu, msr, val, host))
		return 1;
	if (row->set)
		return row->set(vcpu, msr, val, host);
	if (row->in_backend)
		return mv_backend->set_msr(vcpu, msr, val);
	if (row->ignored && (!host || row->offset == NOT_STORED))
		return 0;
	if (row->offset == NOT_STORED)
		return !host || val != row->value; /* read-only */
	*stored(&vcpu->msr, row, msr) = val;
	return 0;
}

/* ---- the state of a new vCPU ---- */

/*
 * Of the host's immunities those that hold for a guest, too; what would need
 * an MSR that guests do not have (IA32_TSX_CTRL) is left out.
 */
static u64 __init arch_capabilities(void)
{
	u64 val = 0;

	if (boot_cpu_has(X86_FEATURE_ARCH_CAPABILITIES))
		rdmsrl(MSR_IA32_ARCH_CAPABILITIES, val);
	val &= ARCH_CAP_RDCL_NO | ARCH_CAP_IBRS_ALL | ARCH_CAP_RSBA |
	       ARCH_CAP_SKIP_VMENTRY_L1DFLUSH | ARCH_CAP_SSB_NO | ARCH_CAP_MDS_NO |
	       ARCH_CAP_PSCHANGE_MC_NO | ARCH_CAP_TAA_NO | ARCH_CAP_SBDR_SSDP_NO |
	       ARCH_CAP_FBSDP_NO | ARCH_CAP_PSDP_NO | ARCH_CAP_FB_CLEAR | ARCH_CAP_RRSBA |
	       ARCH_CAP_BHI_NO | ARCH_CAP_PBRSB_NO | ARCH_CAP_GDS_NO | ARCH_CAP_RFDS_NO |
	       ARCH_CAP_RFDS_CLEAR | ARCH_CAP_ITS_NO;

	/* The kernel knows of processors that are older than the bits. */
	if (!boot_cpu_has_bug(X86_BUG_CPU_MELTDOWN))
		val |= ARCH_CAP_RDCL_NO;
	if (!boot_cpu_has_bug(X86_BUG_SPEC_STORE_BYPASS))
		val |= ARCH_CAP_SSB_NO;
	if (!boot_cpu_has_bug(X86_BUG_MDS))
		val |= ARCH_CAP_MDS_NO;
	if (!boot_cpu_has_bug(X86_BUG_GDS))
		val |= ARCH_CAP_GDS_NO;
	if (!boot_cpu_has_bug(X86_BUG_RFDS))
		val |= ARCH_CAP_RFDS_NO;
	if (!boot_cpu_has_bug(X86_BUG_ITS))
		val |= ARCH_CAP_ITS_NO;
	return val;
}

void __init mv_msr_init(void)
{
	fill_row_hash();
	setup_spec_ctrl();

	new_vcpu.pat = 0x0007040600070406ull; /* SDM vol. 3A, table 12-12 */
	new_vcpu.misc_enable = MISC_ENABLE_NO_PMU;
	new_vcpu.feature_control = FEAT_CTL_LOCKED;
	new_vcpu.pv_poll_control = 1;
	new_vcpu.arch_capabilities = arch_capabilities();
	/* Intel has the revision in the upper half. SDM vol. 3A, 10.11.7.1. */
	new_vcpu.ucode_rev = boot_cpu_data.microcode;
	if (boot_cpu_data.x86_vendor == X86_VENDOR_INTEL)
		new_vcpu.ucode_rev <<= 32;
	if (boot_cpu_has(X86_FEATURE_LFENCE_RDTSC))
		new_vcpu.de_cfg = MSR_AMD64_DE_CFG_LFENCE_SERIALIZE;
}

void mv_msr_reset(struct mv_vcpu *vcpu)
{
	vcpu->msr = new_vcpu;
	mv_tsc_reset(vcpu);
}

/* ---- ioctls ---- */

static bool row_is_in_list(const struct msr_row *row, bool features)
{
	if (row->first == MSR_AMD64_DE_CFG && boot_cpu_data.x86_vendor == X86_VENDOR_INTEL)
		return false;
	if (row->first == MSR_IA32_SPEC_CTRL && !spec_ctrl_bits)
		return false;
	if (row->feature && !mv_supported(row->feature))
		return false;
	return features ? row->is_feature : row->listed;
}

long mv_get_msr_index_list(struct kvm_msr_list __user *arg, bool features)
{
	u32 list[ARRAY_SIZE(rows)], nr = 0, room;
	int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++)
		if (row_is_in_list(&rows[i], features))
			list[nr++] = rows[i].first;
	if (get_user(room, &arg->nmsrs) || put_user(nr, &arg->nmsrs))
		return -EFAULT;
	if (room < nr)
		return -E2BIG;
	return copy_to_user(arg->indices, list, nr * sizeof(list[0])) ? -EFAULT : 0;
}

/*
 * For each of userspace's entries @fn, up to the first that fails.
 * Return: how many were done, or -errno.
 */
static long do_entries(struct mv_vcpu *vcpu, struct kvm_msrs __user *arg,
		       int (*fn)(struct mv_vcpu *vcpu, struct kvm_msr_entry *e), bool out)
{
	struct kvm_msr_entry *entries;
	struct kvm_msrs head;
	size_t size;
	u32 i;
	long r;

	if (copy_from_user(&head, arg, sizeof(head)))
		return -EFAULT;
	if (head.nmsrs >= MAX_IO_MSRS)
		return -E2BIG;
	size = head.nmsrs * sizeof(*entries);
	entries = memdup_user(arg->entries, size);
	if (IS_ERR(entries))
		return PTR_ERR(entries);
	for (i = 0; i < head.nmsrs; i++)
		if (fn(vcpu, &entries[i]))
			break;
	r = i;
	if (out && copy_to_user(arg->entries, entries, size))
		r = -EFAULT;
	kfree(entries);
	return r;
}

static int get_entry(struct mv_vcpu *vcpu, struct kvm_msr_entry *e)
{
	return mv_get_msr(vcpu, e->index, &e->data, true);
}

static int set_entry(struct mv_vcpu *vcpu, struct kvm_msr_entry *e)
{
	return mv_set_msr(vcpu, e->index, e->data, true);
}

static int get_feature_entry(struct mv_vcpu *vcpu, struct kvm_msr_entry *e)
{
	const struct msr_row *row = find(e->index);

	if (!row || !row_is_in_list(row, true))
		return 1;
	e->data = *stored(&new_vcpu, row, e->index);
	return 0;
}

long mv_get_msrs(struct mv_vcpu *vcpu, struct kvm_msrs __user *arg)
{
	return do_entries(vcpu, arg, get_entry, true);
}

long mv_set_msrs(struct mv_vcpu *vcpu, struct kvm_msrs __user *arg)
{
	return do_entries(vcpu, arg, set_entry, false);
}

long mv_get_feature_msrs(struct kvm_msrs __user *arg)
{
	return do_entries(NULL, arg, get_feature_entry, true);
}
