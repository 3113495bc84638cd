// SPDX-License-Identifier: GPL-2.0-only
/* A vCPU that waits for another one gives it its CPU. */
#include <linux/sched.h>

#include "exit/handler.h"

bool mv_vcpu_yield_to(struct mv_vcpu *vcpu)
{
	struct task_struct *task;
	bool yielded;

	if (!READ_ONCE(vcpu->preempted))
		return false;
	rcu_read_lock();
	task = pid_task(rcu_dereference(vcpu->pid), PIDTYPE_PID);
	if (task)
		get_task_struct(task);
	rcu_read_unlock();
	if (!task)
		return false;
	yielded = yield_to(task, true) > 0;
	put_task_struct(task);
	return yielded;
}

/**
 * mv_vcpu_yield() - this guest spins: run the vCPU that it may be waiting for
 * @me: the one that spins
 *
 * Which one has the lock is not known; all that were preempted get their turn.
 */
void mv_vcpu_yield(struct mv_vcpu *me)
{
	struct mv_vm *vm = me->vm;
	int nr = mv_nr_vcpus(vm);
	int i, idx, last = READ_ONCE(vm->last_yielded_to);

	for (i = 1; i <= nr; i++) {
		struct mv_vcpu *vcpu;

		idx = (last + i) % nr;
		vcpu = xa_load(&vm->vcpus, idx);
		if (vcpu != me && mv_vcpu_yield_to(vcpu)) {
			WRITE_ONCE(vm->last_yielded_to, idx);
			return;
		}
	}
}
