/* SPDX-License-Identifier: GPL-2.0-only */
/* Model-specific registers. */
#ifndef MV_CPU_MSR_H
#define MV_CPU_MSR_H

#include "base/vm.h"

void mv_msr_init(void);
int mv_get_msr(struct mv_vcpu *vcpu, u32 msr, u64 *val, bool host);
int mv_set_msr(struct mv_vcpu *vcpu, u32 msr, u64 val, bool host);
bool mv_wrmsr_is_fast(struct mv_vcpu *vcpu); /* see exit_is_fast() in run.c */
void mv_msr_reset(struct mv_vcpu *vcpu);
long mv_get_msr_index_list(struct kvm_msr_list __user *arg, bool features);
long mv_get_feature_msrs(struct kvm_msrs __user *arg);
long mv_get_msrs(struct mv_vcpu *vcpu, struct kvm_msrs __user *arg);
long mv_set_msrs(struct mv_vcpu *vcpu, struct kvm_msrs __user *arg);

#endif /* MV_CPU_MSR_H */
