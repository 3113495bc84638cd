/* SPDX-License-Identifier: GPL-2.0-only */
/* Control registers, EFER and segments. */
#ifndef MV_CPU_CR_H
#define MV_CPU_CR_H

#include "base/vm.h"

/* The architecture's checks; 0: done, 1: the guest gets #GP(0). */
int mv_set_cr0(struct mv_vcpu *vcpu, u64 val);
int mv_set_cr3(struct mv_vcpu *vcpu, u64 val);
int mv_set_cr4(struct mv_vcpu *vcpu, u64 val);
int mv_set_cr8(struct mv_vcpu *vcpu, u64 val);
u64 mv_get_cr8(struct mv_vcpu *vcpu);
int mv_set_efer(struct mv_vcpu *vcpu, u64 val, bool host);
u64 mv_efer_allowed(const u32 *features);

/* For the ioctls of these names. */
int mv_get_sregs(struct mv_vcpu *vcpu, void *buf);
int mv_set_sregs(struct mv_vcpu *vcpu, void *buf);
int mv_get_sregs2(struct mv_vcpu *vcpu, void *buf);
int mv_set_sregs2(struct mv_vcpu *vcpu, void *buf);

#endif /* MV_CPU_CR_H */
