/* SPDX-License-Identifier: GPL-2.0-only */
/* Asynchronous page faults. */
#ifndef MV_CPU_ASYNCPF_H
#define MV_CPU_ASYNCPF_H

#include "base/vm.h"

int mv_apf_init(void);
void mv_apf_exit(void);
void mv_apf_init_vcpu(struct mv_vcpu *vcpu);
void mv_apf_reset(struct mv_vcpu *vcpu); /* nothing is waited for any more; waits for nothing */
bool mv_apf_enabled(struct mv_vcpu *vcpu);
/* A second-stage fault would have to wait for the page at @hva: true if the guest need not. */
bool mv_apf_begin(struct mv_vcpu *vcpu, gfn_t gfn, hva_t hva, bool write);
void mv_apf_ready(struct mv_vcpu *vcpu); /* MV_REQ_APF_READY */
int mv_set_apf(struct mv_vcpu *vcpu, u32 msr, u64 val, bool host);
int mv_set_apf_int(struct mv_vcpu *vcpu, u32 msr, u64 val, bool host);
int mv_set_apf_ack(struct mv_vcpu *vcpu, u32 msr, u64 val, bool host);

#endif /* MV_CPU_ASYNCPF_H */
