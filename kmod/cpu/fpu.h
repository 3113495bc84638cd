/* SPDX-License-Identifier: GPL-2.0-only */
/* The FPU and the extended states. */
#ifndef MV_CPU_FPU_H
#define MV_CPU_FPU_H

#include <asm/fpu/api.h>

#include "base/vm.h"

int mv_set_xcr0(struct mv_vcpu *vcpu, u32 index, u64 val); /* XSETBV; 1: #GP(0) */

int mv_get_fpu(struct mv_vcpu *vcpu, void *buf);
int mv_set_fpu(struct mv_vcpu *vcpu, void *buf);
int mv_get_xsave(struct mv_vcpu *vcpu, void *buf);
int mv_set_xsave(struct mv_vcpu *vcpu, void *buf);
int mv_get_xcrs(struct mv_vcpu *vcpu, void *buf);
int mv_set_xcrs(struct mv_vcpu *vcpu, void *buf);

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

#endif /* MV_CPU_FPU_H */
