/* SPDX-License-Identifier: GPL-2.0-only */
/* Machine checks: the host's, and those that userspace reports. */
#ifndef MV_CPU_MCE_H
#define MV_CPU_MCE_H

#include "base/vm.h"

void mv_host_machine_check(void);
u64 mv_mce_supported(void); /* bits of IA32_MCG_CAP */

/* mce.c; the first four as rows of msr.c's table */
int mv_get_mce_bank(struct mv_vcpu *vcpu, u32 msr, u64 *val, bool host);
int mv_set_mce_bank(struct mv_vcpu *vcpu, u32 msr, u64 val, bool host);
int mv_get_mcg_ctl(struct mv_vcpu *vcpu, u32 msr, u64 *val, bool host);
int mv_set_mcg_ctl(struct mv_vcpu *vcpu, u32 msr, u64 val, bool host);
int mv_setup_mce(struct mv_vcpu *vcpu, void *buf);
int mv_set_mce(struct mv_vcpu *vcpu, void *buf);

#endif /* MV_CPU_MCE_H */
