// SPDX-License-Identifier: GPL-2.0-only
/* Load and put: which vCPU's control block and MSRs a CPU holds. */
#include <asm/pkru.h>
#include <asm/tsc.h>

#include "base/backend.h"
#include "base/request.h"
#include "run/run.h"
#include "time/time.h"

/* What the guest is to know of its coming to a CPU. */
static void set_cpu(struct mv_vcpu *vcpu, int cpu)
{
	/* TSCs that the host does not trust: time is told anew on each CPU. */
	if (unlikely(vcpu->msr.pv_clock & KVM_MSR_ENABLED) && !READ_ONCE(vcpu->vm->clock.master) &&
	    (vcpu->cpu != cpu || check_tsc_unstable()))
		mv_request(vcpu, MV_REQ_CLOCK);
	if (unlikely(vcpu->msr.pv_steal_time & KVM_MSR_ENABLED))
		mv_steal_time_loaded(vcpu);
	vcpu->cpu = cpu;
	__this_cpu_write(mv_loaded, vcpu);
}

static void vcpu_sched_in(struct preempt_notifier *n, int cpu)
{
	struct mv_vcpu *vcpu = container_of(n, struct mv_vcpu, preempt);

	set_cpu(vcpu, cpu);
	WRITE_ONCE(vcpu->preempted, false);
	mv_taint_l1d(vcpu);
	vcpu->host_pkru = read_pkru();
	mv_call(load)(vcpu);
}

static void vcpu_sched_out(struct preempt_notifier *n, struct task_struct *next)
{
	struct mv_vcpu *vcpu = container_of(n, struct mv_vcpu, preempt);

	/* It would run on; it does not sleep. */
	if (task_is_running(current))
		WRITE_ONCE(vcpu->preempted, true);
	if (unlikely(vcpu->msr.pv_steal_time & KVM_MSR_ENABLED))
		mv_steal_time_preempted(vcpu);
	mv_call(put)(vcpu);
	__this_cpu_write(mv_loaded, NULL);
}

static struct preempt_ops mv_preempt_ops = {
	.sched_in = vcpu_sched_in,
	.sched_out = vcpu_sched_out,
};

void mv_vcpu_load(struct mv_vcpu *vcpu)
{
	preempt_disable();
	set_cpu(vcpu, smp_processor_id());
	vcpu->host_pkru = read_pkru();
	preempt_notifier_register(&vcpu->preempt);
	mv_call(load)(vcpu);
	preempt_enable();
}

void mv_vcpu_put(struct mv_vcpu *vcpu)
{
	preempt_disable();
	mv_call(put)(vcpu);
	__this_cpu_write(mv_loaded, NULL);
	preempt_notifier_unregister(&vcpu->preempt);
	preempt_enable();
}

/**
 * mv_vcpu_init_load() - of a new vCPU, before its first mv_vcpu_load()
 * @vcpu: the new one
 */
void mv_vcpu_init_load(struct mv_vcpu *vcpu)
{
	vcpu->cpu = -1;
	preempt_notifier_init(&vcpu->preempt, &mv_preempt_ops);
}
