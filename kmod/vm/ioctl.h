/* SPDX-License-Identifier: GPL-2.0-only */
/* Descriptors and ioctls: the device, its VMs, their vCPUs. */
#ifndef MV_VM_IOCTL_H
#define MV_VM_IOCTL_H

#include "base/vm.h"

long mv_vm_create(unsigned long type); /* returns a descriptor */
int mv_vm_count(void);
void mv_vm_get(struct mv_vm *vm);
void mv_vm_put(struct mv_vm *vm);
int mv_check_extension(struct mv_vm *vm, long cap);
long mv_vcpu_create(struct mv_vm *vm, unsigned long id); /* returns a descriptor */
void mv_vcpu_destroy(struct mv_vcpu *vcpu);
long mv_state_ioctl(struct mv_vcpu *vcpu, unsigned int nr, unsigned long arg);
/* stats.c: a descriptor, of the vCPU's counters or, with @vcpu NULL, the VM's */
long mv_get_stats_fd(struct mv_vm *vm, struct mv_vcpu *vcpu);

#endif /* MV_VM_IOCTL_H */
