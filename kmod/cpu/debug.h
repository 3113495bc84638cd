/* SPDX-License-Identifier: GPL-2.0-only */
/* Debug registers, and a debugger outside of the guest. */
#ifndef MV_CPU_DEBUG_H
#define MV_CPU_DEBUG_H

#include "base/vm.h"

int mv_get_dr(struct mv_vcpu *vcpu, int dr, u64 *val); /* 1: #UD or #GP is queued */
int mv_set_dr(struct mv_vcpu *vcpu, int dr, u64 val);
u32 mv_exception_intercepts(struct mv_vcpu *vcpu); /* bits: vectors */
bool mv_debug_exit(struct mv_vcpu *vcpu, u8 vector, u64 payload); /* true: for userspace */
u64 mv_linear_rip(struct mv_vcpu *vcpu);

int mv_get_debugregs(struct mv_vcpu *vcpu, void *buf);
int mv_set_debugregs(struct mv_vcpu *vcpu, void *buf);
int mv_set_guest_debug(struct mv_vcpu *vcpu, void *buf);

#endif /* MV_CPU_DEBUG_H */
