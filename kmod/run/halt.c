// SPDX-License-Identifier: GPL-2.0-only
/*
 * A vCPU in HLT, or one that waits for INIT. What ends a HLT often comes soon:
 * before the thread sleeps it looks for a while, as long as that has paid off.
 */
#include <linux/module.h>
#include <linux/sched/signal.h>
#include <linux/sched/stat.h>

#include "base/request.h"
#include "irq/irq.h"
#include "run/run.h"

#define FIRST_POLL_NS 10000u

static unsigned int halt_poll_ns = 200000;
module_param(halt_poll_ns, uint, 0644);
MODULE_PARM_DESC(halt_poll_ns, "how long a halted vCPU looks for events before it sleeps, at most");

static u32 poll_limit(struct mv_vcpu *vcpu)
{
	s64 limit = READ_ONCE(vcpu->vm->halt_poll_ns);

	if (vcpu->mp_state != KVM_MP_STATE_HALTED || !vcpu->msr.pv_poll_control)
		return 0;
	return limit < 0 ? READ_ONCE(halt_poll_ns) : limit;
}

static bool wakes_up(struct mv_vcpu *vcpu)
{
	/* That a page has come the run loop may have to tell by an interrupt. */
	return mv_vcpu_runnable(vcpu) || signal_pending(current) ||
	       (vcpu->mp_state != KVM_MP_STATE_UNINITIALIZED &&
		test_bit(MV_REQ_APF_READY, &vcpu->requests));
}

/* As long as nobody else wants the CPU. */
static bool poll(struct mv_vcpu *vcpu, ktime_t end)
{
	do {
		if (wakes_up(vcpu))
			return true;
		cpu_relax();
	} while (single_task_running() && !need_resched() && ktime_before(ktime_get(), end));
	return false;
}

static void sleep(struct mv_vcpu *vcpu)
{
	prepare_to_rcuwait(&vcpu->wait);
	for (;;) {
		set_current_state(TASK_INTERRUPTIBLE);
		if (wakes_up(vcpu))
			break;
		schedule();
	}
	finish_rcuwait(&vcpu->wait);
}

/* It took @ns: would a longer look, no longer than the limit, have seen the event? */
static void adapt(struct mv_vcpu *vcpu, s64 ns, u32 limit)
{
	u32 poll_ns = vcpu->halt_poll_ns;

	if (!mv_vcpu_runnable(vcpu) || ns > limit)
		vcpu->halt_poll_ns = 0;
	else if (ns > poll_ns)
		vcpu->halt_poll_ns = clamp_t(u64, 2ull * poll_ns, FIRST_POLL_NS, limit);
}

void mv_vcpu_block(struct mv_vcpu *vcpu)
{
	u32 limit = poll_limit(vcpu);
	ktime_t start = ktime_get();

	/* mv_vcpu_runnable() looks at the ISR, and nothing may wait for memory then. */
	mv_pv_eoi_sync(vcpu);
	vcpu->halt_poll_ns = min(vcpu->halt_poll_ns, limit);
	if (!vcpu->halt_poll_ns || !poll(vcpu, ktime_add_ns(start, vcpu->halt_poll_ns)))
		sleep(vcpu);
	adapt(vcpu, ktime_to_ns(ktime_sub(ktime_get(), start)), limit);

	if (mv_vcpu_runnable(vcpu) && vcpu->mp_state == KVM_MP_STATE_HALTED) {
		vcpu->mp_state = KVM_MP_STATE_RUNNABLE;
		WRITE_ONCE(vcpu->pv.unhalted, false);
		mv_request(vcpu, MV_REQ_EVENT);
	}
}
