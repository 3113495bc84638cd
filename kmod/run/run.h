/* SPDX-License-Identifier: GPL-2.0-only */
/* KVM_RUN. */
#ifndef MV_RUN_RUN_H
#define MV_RUN_RUN_H

#include "base/vm.h"

long mv_vcpu_run(struct mv_vcpu *vcpu); /* KVM_RUN */
bool mv_vcpu_runnable(struct mv_vcpu *vcpu);
void mv_vcpu_block(struct mv_vcpu *vcpu); /* until it can run, or for a signal */
int mv_guest_mode_work(void); /* 0, or -EINTR for a signal */
void mv_vcpu_load(struct mv_vcpu *vcpu); /* to this CPU; the thread may migrate with it */
void mv_vcpu_put(struct mv_vcpu *vcpu);
void mv_vcpu_init_load(struct mv_vcpu *vcpu);
void mv_take_init_sipi(struct mv_vcpu *vcpu); /* in the vCPU's thread, with vcpu->apic_events */
int mv_load_sync_regs(struct mv_vcpu *vcpu); /* kvm_dirty_regs of struct kvm_run; or -EINVAL */
void mv_store_sync_regs(struct mv_vcpu *vcpu); /* kvm_valid_regs */

#endif /* MV_RUN_RUN_H */
