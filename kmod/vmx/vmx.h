/* SPDX-License-Identifier: GPL-2.0-only */
/* The VMX backend's own declarations. */
#ifndef MV_VMX_H
#define MV_VMX_H

#include <asm/vmx.h>

#include "base/backend.h"

/* What the capability MSRs allow and this module uses: the same on every CPU. */
struct vmx_caps {
	u32 revision; /* VMCS revision identifier */
	/* The controls of a new VMCS; of TPR shadow and CR8 exits one or the other */
	u32 pin, cpu, cpu2, exit, entry;
	u64 cr0_fixed, cr4_fixed; /* bits that must be 1 in VMX operation */
	bool ept_ad;
	bool vpid;
};

extern struct vmx_caps vmx_caps;

#define VMX_TSC_FRAC_BITS 48 /* SDM vol. 3C, 26.3: of the TSC multiplier */

/*
 * MSRs that the guest needs in the CPU and neither VM entry nor VM exit loads. The host has no
 * use for them before it goes back to userspace, so they stay over exits.
 */
enum vmx_cpu_msr { VMX_STAR, VMX_LSTAR, VMX_FMASK, VMX_TSC_AUX, VMX_NR_CPU_MSRS };

/* The host's: first as last written to the VMCS; then what VM exit does not bring back. */
struct vmx_host_state {
	unsigned long cr3, cr4, fs_base, rsp;
	u16 fs_sel, gs_sel, ds_sel, es_sel, ldt_sel;
	u64 debugctl;
	u64 kernel_gs_base;
};

#define VMX_PERF_MSRS 4

struct vmx_vcpu {
	struct mv_vcpu vcpu;
	void *vmcs;
	int vmcs_cpu; /* where the VMCS is active; -1: nowhere */
	struct list_head vmcs_link; /* in that CPU's list of active VMCSs */
	bool launched;
	bool guest_loaded; /* host state saved, guest MSRs in the CPU */
	bool cpu_msrs_loaded; /* some of enum vmx_cpu_msr among them */
	u16 vpid;
	u32 cpu_ctl, cpu2; /* processor-based controls as written */
	u8 tpr_threshold; /* as written */
	bool all_eois_exit;
	struct vmx_host_state host;
	/* Of the performance counters: loaded by VM entry, by VM exit. vmx_switch_perf() */
	u8 nr_perf_msrs;
	struct vmx_msr_entry guest_perf[VMX_PERF_MSRS], host_perf[VMX_PERF_MSRS];
};

static inline struct vmx_vcpu *to_vmx(struct mv_vcpu *vcpu)
{
	return container_of(vcpu, struct vmx_vcpu, vcpu);
}

static __always_inline u64 vmcs_read(unsigned long field)
{
	u64 val;

	asm volatile("vmread %1, %0" : "=rm"(val) : "r"(field) : "cc");
	return val;
}

void vmcs_write_failed(unsigned long field, u64 val);

static __always_inline void vmcs_write(unsigned long field, u64 val)
{
	bool failed;

	asm volatile("vmwrite %2, %1" CC_SET(na)
		     : CC_OUT(na)(failed) : "r"(field), "rm"(val) : "memory");
	if (unlikely(failed))
		vmcs_write_failed(field, val);
}

extern const char vmx_exit_entry[]; /* entry.S: HOST_RIP */

/* entry.S: 0 after a VM exit; 1 when VMLAUNCH or VMRESUME itself failed. */
unsigned long vmx_enter(u64 *gpr, unsigned long *host_rsp, bool launched);
/* entry.S: sets the base that SWAPGS brings in; returns what it was. With interrupts off. */
u64 vmx_swap_gs_base(u64 base);

/* caps.c */
int vmx_setup_caps(struct mv_backend *backend);
int vmx_cpu_enable(void);
void vmx_cpu_disable(void);
void vmx_cpu_emergency_disable(void);
int vmx_alloc_vmxon(void);
void vmx_free_vmxon(void);

/* msrs.c */
extern const u32 vmx_passed_through[];
int vmx_alloc_msr_bitmaps(void);
void vmx_free_msr_bitmaps(void);
void vmx_write_msr_bitmap(struct vmx_vcpu *vmx);
void vmx_update_msr_exits(struct mv_vcpu *vcpu);
void vmx_read_host_msrs(void);
void vmx_load_cpu_msrs(struct vmx_vcpu *vmx);
void vmx_unload_cpu_msrs(struct vmx_vcpu *vmx);
void vmx_update_cpu_msrs(struct vmx_vcpu *vmx);
int vmx_get_msr(struct mv_vcpu *vcpu, u32 msr, u64 *val);
int vmx_set_msr(struct mv_vcpu *vcpu, u32 msr, u64 val);

/* vmx.c */
void vmx_set_cpu_ctl(struct vmx_vcpu *vmx, u32 ctl);

/* vmcs.c */
void vmx_init_active_lists(void);
int vmx_vcpu_init(struct mv_vcpu *vcpu);
void vmx_vcpu_free(struct mv_vcpu *vcpu);
void vmx_vcpu_reset(struct mv_vcpu *vcpu, bool init);
void vmx_activate(struct vmx_vcpu *vmx); /* VMCLEAR elsewhere, VMPTRLD here */
void vmx_clear_all_on_this_cpu(void);
void vmx_emergency_clear_all(void);
void vmx_get_seg(struct mv_vcpu *vcpu, enum mv_seg seg, struct kvm_segment *s);
u32 vmx_get_rights(struct mv_vcpu *vcpu, enum mv_seg seg, u64 *base, u32 *limit);
u32 vmx_code_rights(struct mv_vcpu *vcpu);
void vmx_set_seg(struct mv_vcpu *vcpu, enum mv_seg seg, const struct kvm_segment *s);
void vmx_get_dt(struct mv_vcpu *vcpu, bool idt, struct kvm_dtable *dt);
void vmx_set_dt(struct mv_vcpu *vcpu, bool idt, const struct kvm_dtable *dt);
void vmx_set_cr0(struct mv_vcpu *vcpu, u64 val);
void vmx_set_cr4(struct mv_vcpu *vcpu, u64 val);
void vmx_write_efer(struct mv_vcpu *vcpu, u64 val);
void vmx_write_cpu2(struct mv_vcpu *vcpu);
void vmx_cpuid_changed(struct mv_vcpu *vcpu);
void vmx_update_debug(struct mv_vcpu *vcpu);
void vmx_cache_reg(struct mv_vcpu *vcpu, enum mv_lazy_reg reg);
unsigned int vmx_skip_len(struct mv_vcpu *vcpu);
void vmx_read_pdptrs(struct mv_vcpu *vcpu);
void vmx_write_dirty_regs(struct mv_vcpu *vcpu);
void vmx_dump(struct mv_vcpu *vcpu);

/* apicv.c */
bool vmx_passes_self_ipi(void);
int vmx_setup_apicv(struct mv_backend *backend);
void vmx_free_apicv(void);
void vmx_init_apic(struct vmx_vcpu *vmx);
u32 vmx_apic_controls(struct mv_vcpu *vcpu);
void vmx_update_apic(struct mv_vcpu *vcpu, u8 isr, const unsigned long *eoi_vectors);
void vmx_set_rvi(struct mv_vcpu *vcpu, u8 irr);
u32 vmx_vectoring_info(struct mv_vcpu *vcpu, u32 info);
void vmx_update_cr8_intercept(struct mv_vcpu *vcpu, int tpr);
void vmx_decode_eoi(struct mv_vcpu *vcpu);
void vmx_decode_apic_access(struct mv_vcpu *vcpu);

/* exit.c */
void vmx_decode_exit(struct vmx_vcpu *vmx);

#endif /* MV_VMX_H */
