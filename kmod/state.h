/* SPDX-License-Identifier: GPL-2.0-only */
/* The ioctls that move a register file: each gets the ioctl's structure in kernel memory. */
#ifndef MV_STATE_H
#define MV_STATE_H

struct mv_vcpu;

/* state.c: an interrupt on its way into the guest. */
bool mv_get_sent_irq(struct mv_vcpu *vcpu, u8 *vector);
void mv_set_sent_irq(struct mv_vcpu *vcpu, u8 vector);

/* fpu.c */
int mv_get_fpu(struct mv_vcpu *vcpu, void *buf);
int mv_set_fpu(struct mv_vcpu *vcpu, void *buf);
int mv_get_xsave(struct mv_vcpu *vcpu, void *buf);
int mv_set_xsave(struct mv_vcpu *vcpu, void *buf);
int mv_get_xcrs(struct mv_vcpu *vcpu, void *buf);
int mv_set_xcrs(struct mv_vcpu *vcpu, void *buf);

/* debug.c */
int mv_get_debugregs(struct mv_vcpu *vcpu, void *buf);
int mv_set_debugregs(struct mv_vcpu *vcpu, void *buf);
int mv_set_guest_debug(struct mv_vcpu *vcpu, void *buf);

/* cr.c */
int mv_get_sregs(struct mv_vcpu *vcpu, void *buf);
int mv_set_sregs(struct mv_vcpu *vcpu, void *buf);
int mv_get_sregs2(struct mv_vcpu *vcpu, void *buf);
int mv_set_sregs2(struct mv_vcpu *vcpu, void *buf);

/* msr.c */
long mv_get_msrs(struct mv_vcpu *vcpu, struct kvm_msrs __user *arg);
long mv_set_msrs(struct mv_vcpu *vcpu, struct kvm_msrs __user *arg);

/* mce.c; the first four as rows of msr.c's table */
int mv_get_mce_bank(struct mv_vcpu *vcpu, u32 msr, u64 *val, bool host);
int mv_set_mce_bank(struct mv_vcpu *vcpu, u32 msr, u64 val, bool host);
int mv_get_mcg_ctl(struct mv_vcpu *vcpu, u32 msr, u64 *val, bool host);
int mv_set_mcg_ctl(struct mv_vcpu *vcpu, u32 msr, u64 val, bool host);
int mv_setup_mce(struct mv_vcpu *vcpu, void *buf);
int mv_set_mce(struct mv_vcpu *vcpu, void *buf);

/* tsc.c: KVM_HAS/GET/SET_DEVICE_ATTR */
long mv_tsc_attr(struct mv_vcpu *vcpu, unsigned int nr, const struct kvm_device_attr __user *arg);

#endif /* MV_STATE_H */
