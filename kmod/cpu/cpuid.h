/* SPDX-License-Identifier: GPL-2.0-only */
/* What guests can have, and what one was given. */
#ifndef MV_CPU_CPUID_H
#define MV_CPU_CPUID_H

#include "base/vm.h"

/* As vcpu->features, of a guest that has all that can be given to one. */
extern u32 mv_supported_features[MV_NR_FEATURE_WORDS];

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
u64 mv_supported_xcr0(void);

#endif /* MV_CPU_CPUID_H */
