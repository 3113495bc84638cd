/* SPDX-License-Identifier: GPL-2.0-only */
/* What is asked of a vCPU before its next entry, and how it hears of it. */
#ifndef MV_BASE_REQUEST_H
#define MV_BASE_REQUEST_H

#include <linux/percpu.h>

#include "base/vm.h"

static inline void mv_request(struct mv_vcpu *vcpu, enum mv_request req)
{
	/* Pairs with the barrier after mode = MV_IN_GUEST in the run loop. */
	smp_wmb();
	set_bit(req, &vcpu->requests);
}

static __always_inline bool mv_take_request(struct mv_vcpu *vcpu, enum mv_request req)
{
	return test_bit(req, &vcpu->requests) && test_and_clear_bit(req, &vcpu->requests);
}

/*
 * What the kernel does next touches memory that is not this guest's, so secrets may be in the
 * L1 data cache. Where a guest could read them there (L1TF), the backend flushes it before
 * the next entry, unless the host has chosen always or never.
 */
static inline void mv_taint_l1d(struct mv_vcpu *vcpu)
{
	vcpu->l1d_tainted = true;
}

void mv_vcpu_kick(struct mv_vcpu *vcpu); /* out of the guest, out of HLT; any context */
void mv_request_all(struct mv_vm *vm, enum mv_request req, bool wait);

DECLARE_PER_CPU(struct mv_vcpu *, mv_loaded); /* load.c's */

/* The one of this thread; NULL: it has none loaded. */
static inline struct mv_vcpu *mv_loaded_vcpu(void)
{
	return this_cpu_read(mv_loaded);
}

void mv_inject_nmi(struct mv_vcpu *vcpu); /* from any thread */

#endif /* MV_BASE_REQUEST_H */
