/* SPDX-License-Identifier: GPL-2.0-only */
/* MSRs that userspace wants to be asked for, or denies. */
#ifndef MV_EXIT_MSRFILTER_H
#define MV_EXIT_MSRFILTER_H

#include <linux/jump_label.h>

#include "base/vm.h"

DECLARE_STATIC_KEY_FALSE(mv_msr_filters);
bool mv_msr_denied(struct mv_vcpu *vcpu, u32 msr, u32 access); /* KVM_MSR_FILTER_* */
int mv_msr_refused(struct mv_vcpu *vcpu, u32 reason, bool write);
long mv_set_msr_filter(struct mv_vm *vm, const struct kvm_msr_filter __user *arg);
long mv_set_msr_filter32(struct mv_vm *vm, unsigned int nr, const void __user *arg);
void mv_free_msr_filter(struct mv_vm *vm);

#endif /* MV_EXIT_MSRFILTER_H */
