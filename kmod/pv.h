/* SPDX-License-Identifier: GPL-2.0-only */
/* pv/: the paravirtual services. */
#ifndef MV_PV_H
#define MV_PV_H

int mv_hypercall(struct mv_vcpu *vcpu); /* returns as an exit handler */
int mv_hypercall_ud(struct mv_vcpu *vcpu); /* #UD: the other vendor's hypercall, perhaps */

int mv_write_versioned(struct mv_vm *vm, gpa_t gpa, void *data, size_t len, size_t offset);

/* steal.c */
int mv_set_steal_time(struct mv_vcpu *vcpu, u32 msr, u64 val, bool host);
void mv_steal_time_update(struct mv_vcpu *vcpu); /* before entry, for MV_REQ_STEAL_TIME */
void mv_steal_time_preempted(struct mv_vcpu *vcpu); /* by the scheduler, its lock held */
void mv_steal_time_loaded(struct mv_vcpu *vcpu); /* preemption is off */

/* asyncpf.c */
int mv_apf_init(void);
void mv_apf_exit(void);
void mv_apf_init_vcpu(struct mv_vcpu *vcpu);
void mv_apf_reset(struct mv_vcpu *vcpu); /* nothing is waited for any more; waits for nothing */
bool mv_apf_enabled(struct mv_vcpu *vcpu);
/* A second-stage fault would have to wait for the page at @hva: true if the guest need not. */
bool mv_apf_begin(struct mv_vcpu *vcpu, gfn_t gfn, hva_t hva, bool write);
void mv_apf_wait(struct mv_vcpu *vcpu); /* MV_REQ_APF_WAIT */
void mv_apf_ready(struct mv_vcpu *vcpu); /* MV_REQ_APF_READY */
int mv_set_apf(struct mv_vcpu *vcpu, u32 msr, u64 val, bool host);
int mv_set_apf_int(struct mv_vcpu *vcpu, u32 msr, u64 val, bool host);
int mv_set_apf_ack(struct mv_vcpu *vcpu, u32 msr, u64 val, bool host);

/* clock.c */
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

#endif /* MV_PV_H */
