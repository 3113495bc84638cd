/* SPDX-License-Identifier: GPL-2.0-only */
/* The register files: state.c, cr.c, debug.c, cpuid.c, msr.c, fpu.c, tsc.c. */
#ifndef MV_REGISTERS_H
#define MV_REGISTERS_H

long mv_state_ioctl(struct mv_vcpu *vcpu, unsigned int nr, unsigned long arg);
int mv_load_sync_regs(struct mv_vcpu *vcpu); /* kvm_dirty_regs of struct kvm_run; or -EINVAL */
void mv_store_sync_regs(struct mv_vcpu *vcpu); /* kvm_valid_regs */

/* cr.c: the architecture's checks; 0: done, 1: the guest gets #GP(0). */
int mv_set_cr0(struct mv_vcpu *vcpu, u64 val);
int mv_set_cr3(struct mv_vcpu *vcpu, u64 val);
int mv_set_cr4(struct mv_vcpu *vcpu, u64 val);
int mv_set_cr8(struct mv_vcpu *vcpu, u64 val);
u64 mv_get_cr8(struct mv_vcpu *vcpu);
int mv_set_efer(struct mv_vcpu *vcpu, u64 val, bool host);
int mv_set_xcr0(struct mv_vcpu *vcpu, u32 index, u64 val);

static inline bool mv_long_mode(struct mv_vcpu *vcpu)
{
	return vcpu->efer & EFER_LMA;
}

static inline bool mv_pae_paging(struct mv_vcpu *vcpu)
{
	return !mv_long_mode(vcpu) && mv_cr4_has(vcpu, X86_CR4_PAE) &&
	       mv_cr0_has(vcpu, X86_CR0_PG);
}

int mv_get_dr(struct mv_vcpu *vcpu, int dr, u64 *val); /* 1: #UD or #GP is queued */
int mv_set_dr(struct mv_vcpu *vcpu, int dr, u64 val);

/* The guest's, or its debugger's. */
static inline u64 mv_effective_dr7(const struct mv_vcpu *vcpu)
{
	return vcpu->guest_debug & KVM_GUESTDBG_USE_HW_BP ? vcpu->guest_debug_dr7 : vcpu->dr7;
}

u32 mv_exception_intercepts(struct mv_vcpu *vcpu); /* bits: vectors */
bool mv_debug_exit(struct mv_vcpu *vcpu, u8 vector, u64 payload); /* true: for userspace */
u64 mv_linear_rip(struct mv_vcpu *vcpu);

/* As vcpu->features, of a guest that has all that can be given to one. */
extern u32 mv_supported_features[MV_NR_FEATURE_WORDS];

/* Bits of a guest-physical address that are reserved in CR3 and table entries. */
static inline u64 mv_reserved_gpa(struct mv_vcpu *vcpu)
{
	return ~0ull << vcpu->maxphyaddr;
}

/* @feature: X86_FEATURE_*, MV_FEATURE_PV() */
static inline bool mv_guest_has(struct mv_vcpu *vcpu, unsigned int feature)
{
	return vcpu->features[feature / 32] & BIT(feature % 32);
}

static inline bool mv_supported(unsigned int feature)
{
	return mv_supported_features[feature / 32] & BIT(feature % 32);
}

void mv_cpuid_init(void);
void mv_cpuid_derive(struct mv_vcpu *vcpu); /* what follows from CPUID; at creation too */
void mv_cpuid_derive_pv(struct mv_vcpu *vcpu); /* of it, the paravirtual services */
void mv_cpuid(struct mv_vcpu *vcpu); /* the instruction, on the vCPU's registers */
void mv_cpuid_runtime_update(struct mv_vcpu *vcpu); /* OSXSAVE, leaf 0xd sizes, APIC bit... */
bool mv_cpuid_has_mwait(struct mv_vcpu *vcpu);
long mv_get_supported_cpuid(struct kvm_cpuid2 __user *arg);
long mv_get_emulated_cpuid(struct kvm_cpuid2 __user *arg);
long mv_set_cpuid2(struct mv_vcpu *vcpu, struct kvm_cpuid2 __user *arg);
long mv_get_cpuid2(struct mv_vcpu *vcpu, struct kvm_cpuid2 __user *arg);
u64 mv_efer_allowed(const u32 *features);
u64 mv_supported_xcr0(void);

void mv_msr_init(void);
int mv_get_msr(struct mv_vcpu *vcpu, u32 msr, u64 *val, bool host);
int mv_set_msr(struct mv_vcpu *vcpu, u32 msr, u64 val, bool host);
bool mv_wrmsr_is_fast(struct mv_vcpu *vcpu); /* see exit_is_fast() in run.c */
void mv_msr_reset(struct mv_vcpu *vcpu);
long mv_get_msr_index_list(struct kvm_msr_list __user *arg, bool features);
long mv_get_feature_msrs(struct kvm_msrs __user *arg);

/* mce.c */
u64 mv_mce_supported(void); /* bits of IA32_MCG_CAP */
bool mv_mce_has_cmci(struct mv_vcpu *vcpu);

/* stats.c: a descriptor, of the vCPU's counters or, with @vcpu NULL, the VM's */
long mv_get_stats_fd(struct mv_vm *vm, struct mv_vcpu *vcpu);

/* ---- tsc.c --------------------------------------------------------------- */

u64 mv_guest_tsc(struct mv_vcpu *vcpu, u64 host_tsc); /* the guest's at that moment */
void mv_set_tsc_offset(struct mv_vcpu *vcpu, u64 offset);
void mv_set_tsc_from_host(struct mv_vcpu *vcpu, u64 val);
long mv_set_tsc_khz(struct mv_vcpu *vcpu, u32 khz);
long mv_vm_set_tsc_khz(struct mv_vm *vm, u32 khz);
void mv_tsc_reset(struct mv_vcpu *vcpu); /* at creation */

static inline u64 mv_read_tsc(struct mv_vcpu *vcpu) /* as the guest would read it now */
{
	return mv_guest_tsc(vcpu, rdtsc());
}

/* msrfilter.c */
DECLARE_STATIC_KEY_FALSE(mv_msr_filters);
bool mv_msr_denied(struct mv_vcpu *vcpu, u32 msr, u32 access); /* KVM_MSR_FILTER_* */
int mv_msr_refused(struct mv_vcpu *vcpu, u32 reason, bool write);
long mv_set_msr_filter(struct mv_vm *vm, const struct kvm_msr_filter __user *arg);
long mv_set_msr_filter32(struct mv_vm *vm, unsigned int nr, const void __user *arg);
void mv_free_msr_filter(struct mv_vm *vm);

int mv_fpu_create(struct mv_vcpu *vcpu);
void mv_fpu_destroy(struct mv_vcpu *vcpu);
void mv_fpu_reset(struct mv_vcpu *vcpu, bool init);

/* KVM_RUN: the guest's in, the thread's out */
static inline void mv_fpu_load(struct mv_vcpu *vcpu)
{
	fpu_swap_kvm_fpstate(&vcpu->fpu, true);
}

static inline void mv_fpu_put(struct mv_vcpu *vcpu)
{
	fpu_swap_kvm_fpstate(&vcpu->fpu, false);
}

#endif /* MV_REGISTERS_H */
