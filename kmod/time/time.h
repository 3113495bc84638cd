/* SPDX-License-Identifier: GPL-2.0-only */
/* The times that a guest is told: its TSC, the kvmclock, the time that was stolen. */
#ifndef MV_TIME_TIME_H
#define MV_TIME_TIME_H

#include <linux/math64.h>
#include <asm/msr.h>
#include <asm/tsc.h>

#include "base/backend.h"
#include "base/vm.h"

/* The guest's at that moment. */
static inline u64 mv_guest_tsc(struct mv_vcpu *vcpu, u64 host_tsc)
{
	if (unlikely(vcpu->tsc_ratio))
		host_tsc = mul_u64_u64_shr(host_tsc, vcpu->tsc_ratio, mv_backend->tsc_frac_bits);
	return host_tsc + vcpu->tsc_offset;
}

static inline u64 mv_read_tsc(struct mv_vcpu *vcpu) /* as the guest would read it now */
{
	return mv_guest_tsc(vcpu, rdtsc());
}

int mv_write_versioned(struct mv_vm *vm, gpa_t gpa, void *data, size_t len, size_t offset);

/* steal.c */
int mv_set_steal_time(struct mv_vcpu *vcpu, u32 msr, u64 val, bool host);
void mv_steal_time_update(struct mv_vcpu *vcpu); /* before entry, for MV_REQ_STEAL_TIME */
void mv_steal_time_preempted(struct mv_vcpu *vcpu); /* by the scheduler, its lock held */
void mv_steal_time_loaded(struct mv_vcpu *vcpu); /* preemption is off */

/* kvmclock.c */
#define MV_CLOCK_FLAGS (KVM_CLOCK_TSC_STABLE | KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC)
void mv_clock_init(void);
void mv_clock_exit(void);
void mv_clock_init_vm(struct mv_vm *vm);
void mv_clock_destroy_vm(struct mv_vm *vm); /* before its vCPUs go */
void mv_clock_restart_all(void); /* the host's clock is not what it was */
void mv_clock_check(struct mv_vm *vm); /* a vCPU was added; sleeps */
void mv_clock_tsc_changed(struct mv_vcpu *vcpu); /* its offset or rate; sleeps */
void mv_clock_update(struct mv_vcpu *vcpu); /* before entry, for MV_REQ_CLOCK */
int mv_set_pv_clock(struct mv_vcpu *vcpu, u32 msr, u64 val, bool host);
int mv_get_wall_clock(struct mv_vcpu *vcpu, u32 msr, u64 *val, bool host);
int mv_set_wall_clock(struct mv_vcpu *vcpu, u32 msr, u64 val, bool host);
long mv_kvmclock_ctrl(struct mv_vcpu *vcpu);
long mv_get_clock(struct mv_vm *vm, struct kvm_clock_data __user *arg);
long mv_set_clock(struct mv_vm *vm, const struct kvm_clock_data __user *arg);
s64 mv_clock_pairing(struct mv_vcpu *vcpu, gpa_t gpa, u64 type); /* 0, or -KVM_E... */

#endif /* MV_TIME_TIME_H */
