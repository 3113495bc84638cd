/* SPDX-License-Identifier: GPL-2.0-only */
/* The time-stamp counter of a guest, as it or userspace sets it. */
#ifndef MV_CPU_TSC_H
#define MV_CPU_TSC_H

#include "base/vm.h"

void mv_set_tsc_offset(struct mv_vcpu *vcpu, u64 offset);
void mv_set_tsc_from_host(struct mv_vcpu *vcpu, u64 val);
long mv_set_tsc_khz(struct mv_vcpu *vcpu, u32 khz);
long mv_vm_set_tsc_khz(struct mv_vm *vm, u32 khz);
void mv_tsc_reset(struct mv_vcpu *vcpu); /* at creation */
/* KVM_HAS/GET/SET_DEVICE_ATTR */
long mv_tsc_attr(struct mv_vcpu *vcpu, unsigned int nr, const struct kvm_device_attr __user *arg);

#endif /* MV_CPU_TSC_H */
