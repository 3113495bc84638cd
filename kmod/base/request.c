// SPDX-License-Identifier: GPL-2.0-only
/* What is asked of a vCPU, from any thread: requests, kicks; and the one of this CPU. */
#include <linux/smp.h>
#include <trace/events/ipi.h>

#include "base/backend.h"
#include "base/regs.h"
#include "base/request.h"

void mv_cache_reg(struct mv_vcpu *vcpu, enum mv_lazy_reg reg)
{
	mv_call(cache_reg)(vcpu, reg);
}

DEFINE_PER_CPU(struct mv_vcpu *, mv_loaded);

static void kick_ack(void *unused)
{
	/* The interrupt has made the CPU leave the guest; there is no more to it. */
}

void mv_vcpu_kick(struct mv_vcpu *vcpu)
{
	int cpu;

	rcuwait_wake_up(&vcpu->wait);
	/* Pairs with vcpu_enter()'s: it sees the request, or we its mode. */
	smp_mb();
	if (READ_ONCE(vcpu->mode) != MV_IN_GUEST)
		return;
	cpu = get_cpu();
	if (READ_ONCE(vcpu->cpu) != cpu && cpu_online(READ_ONCE(vcpu->cpu)))
		smp_send_reschedule(READ_ONCE(vcpu->cpu));
	put_cpu();
}

/**
 * mv_request_all() - make a request of every vCPU of a VM
 * @vm: whose vCPUs
 * @req: what to ask of them
 * @wait: do not return before each has left the guest, so that none runs on
 *	with what it knew before
 */
void mv_request_all(struct mv_vm *vm, enum mv_request req, bool wait)
{
	struct mv_vcpu *vcpu;
	cpumask_var_t cpus;
	bool have_mask, any = false;
	int i, me;

	have_mask = zalloc_cpumask_var(&cpus, GFP_ATOMIC);
	me = get_cpu();
	mv_for_each_vcpu(i, vcpu, vm) {
		mv_request(vcpu, req);
		smp_mb__after_atomic(); /* pairs with vcpu_enter()'s, as in mv_vcpu_kick() */
		if (READ_ONCE(vcpu->mode) == MV_OUTSIDE || READ_ONCE(vcpu->cpu) == me)
			continue;
		any = true;
		if (have_mask)
			cpumask_set_cpu(READ_ONCE(vcpu->cpu), cpus);
	}
	if (any)
		smp_call_function_many(have_mask ? cpus : cpu_online_mask, kick_ack, NULL, wait);
	put_cpu();
	free_cpumask_var(cpus);
}

void mv_inject_nmi(struct mv_vcpu *vcpu)
{
	atomic_inc(&vcpu->nmi_queued);
	mv_request(vcpu, MV_REQ_NMI);
	mv_vcpu_kick(vcpu);
}
