// SPDX-License-Identifier: GPL-2.0-only
/* The virtual CPU: its descriptor, its ioctls, and the run loop. */
#include <linux/anon_inodes.h>
#include <linux/entry-kvm.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/rcupdate.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <linux/uaccess.h>
#include <asm/debugreg.h>
#include <asm/fpu/xcr.h>
#include <asm/tsc.h>
#include <trace/events/ipi.h>

#include "backend.h"
#include "compat.h"

#define CREATE_TRACE_POINTS
#include "trace.h"

void mv_cache_reg(struct mv_vcpu *vcpu, enum mv_lazy_reg reg)
{
	mv_call(cache_reg)(vcpu, reg);
}

/* ---- load and put: which vCPU's control block and MSRs a CPU holds ---- */

static DEFINE_PER_CPU(struct mv_vcpu *, loaded_vcpu);

/* The one of this thread; NULL: it has none loaded. */
struct mv_vcpu *mv_loaded_vcpu(void)
{
	return this_cpu_read(loaded_vcpu);
}

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
	__this_cpu_write(loaded_vcpu, vcpu);
}

static void vcpu_sched_in(struct preempt_notifier *n, int cpu)
{
	struct mv_vcpu *vcpu = container_of(n, struct mv_vcpu, preempt);

	set_cpu(vcpu, cpu);
	WRITE_ONCE(vcpu->preempted, false);
	vcpu->l1tf_flush_l1d = true;
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
	__this_cpu_write(loaded_vcpu, NULL);
}

static struct preempt_ops mv_preempt_ops = {
	.sched_in = vcpu_sched_in,
	.sched_out = vcpu_sched_out,
};

static void vcpu_load(struct mv_vcpu *vcpu)
{
	preempt_disable();
	set_cpu(vcpu, smp_processor_id());
	vcpu->host_pkru = read_pkru();
	preempt_notifier_register(&vcpu->preempt);
	mv_call(load)(vcpu);
	preempt_enable();
}

static void vcpu_put(struct mv_vcpu *vcpu)
{
	preempt_disable();
	mv_call(put)(vcpu);
	__this_cpu_write(loaded_vcpu, NULL);
	preempt_notifier_unregister(&vcpu->preempt);
	preempt_enable();
}

/* ---- requests and kicks ---- */

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

/* ---- directed yield ---- */

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

/* ---- the run loop ---- */

/* Could the guest run on, were it let? In HLT only an event that it takes wakes it. */
bool mv_vcpu_runnable(struct mv_vcpu *vcpu)
{
	if (vcpu->lapic && mv_apic_has_events(vcpu))
		return true;
	switch (vcpu->mp_state) {
	case KVM_MP_STATE_RUNNABLE:
		return true;
	case KVM_MP_STATE_HALTED:
		return vcpu->pending.any || READ_ONCE(vcpu->pv.unhalted) ||
		       ((vcpu->nmi_pending || atomic_read(&vcpu->nmi_queued)) &&
			!mv_backend->nmi_masked(vcpu)) ||
		       (mv_want_irq(vcpu) && mv_call(irq_allowed)(vcpu));
	default:
		return false;
	}
}

/* Requests, in an order that lets later ones see what earlier ones did. */
static int handle_requests(struct mv_vcpu *vcpu)
{
	if (mv_take_request(vcpu, MV_REQ_TRIPLE_FAULT)) {
		vcpu->run->exit_reason = KVM_EXIT_SHUTDOWN;
		return 0;
	}
	if (mv_take_request(vcpu, MV_REQ_IOAPIC_EOI)) {
		vcpu->run->exit_reason = KVM_EXIT_IOAPIC_EOI;
		vcpu->run->eoi.vector = vcpu->eoi_vector;
		return 0;
	}
	if (mv_take_request(vcpu, MV_REQ_DIRTY_RING_FULL) && mv_dirty_ring_full(vcpu)) {
		mv_request(vcpu, MV_REQ_DIRTY_RING_FULL);
		vcpu->run->exit_reason = KVM_EXIT_DIRTY_RING_FULL;
		return 0;
	}
	if (mv_take_request(vcpu, MV_REQ_TPR_ACCESS)) {
		mv_exit_tpr_access(vcpu);
		return 0;
	}
	if (mv_take_request(vcpu, MV_REQ_STEAL_TIME))
		mv_steal_time_update(vcpu);
	if (mv_take_request(vcpu, MV_REQ_APIC))
		mv_lapic_tell_backend(vcpu);
	if (mv_take_request(vcpu, MV_REQ_TLB_FLUSH)) {
		/* On the CPU where the vCPU is to run; a migration makes the request again. */
		preempt_disable();
		mv_call(flush_tlb)(vcpu);
		preempt_enable();
	}
	if (mv_take_request(vcpu, MV_REQ_MSR_EXITS))
		mv_backend->update_msr_exits(vcpu);
	if (mv_take_request(vcpu, MV_REQ_CLOCK))
		mv_clock_update(vcpu);
	if (mv_take_request(vcpu, MV_REQ_EVENT) | mv_take_request(vcpu, MV_REQ_NMI)) {
		mv_update_events(vcpu);
		if (unlikely(vcpu->vapic))
			mv_vapic_to_guest(vcpu);
	}
	return 1;
}

/* XCR0, XSS and PKRU are the guest's only while it runs: the host's kernel uses them too. */
static __always_inline void load_guest_xstate(struct mv_vcpu *vcpu)
{
	if (mv_host.xcr0 != vcpu->xcr0 && mv_cr4_has(vcpu, X86_CR4_OSXSAVE))
		xsetbv(XCR_XFEATURE_ENABLED_MASK, vcpu->xcr0);
	if (mv_host.xss != vcpu->ia32_xss)
		wrmsrl(MSR_IA32_XSS, vcpu->ia32_xss);
	if (cpu_feature_enabled(X86_FEATURE_OSPKE) && vcpu->pkru != vcpu->host_pkru &&
	    ((vcpu->xcr0 & XFEATURE_MASK_PKRU) || mv_cr4_has(vcpu, X86_CR4_PKE)))
		wrpkru(vcpu->pkru);
}

static __always_inline void load_host_xstate(struct mv_vcpu *vcpu)
{
	if (cpu_feature_enabled(X86_FEATURE_OSPKE) &&
	    ((vcpu->xcr0 & XFEATURE_MASK_PKRU) || mv_cr4_has(vcpu, X86_CR4_PKE))) {
		vcpu->pkru = rdpkru();
		if (vcpu->pkru != vcpu->host_pkru)
			wrpkru(vcpu->host_pkru);
	}
	if (mv_host.xss != vcpu->ia32_xss)
		wrmsrl(MSR_IA32_XSS, mv_host.xss);
	if (mv_host.xcr0 != vcpu->xcr0 && mv_cr4_has(vcpu, X86_CR4_OSXSAVE))
		xsetbv(XCR_XFEATURE_ENABLED_MASK, mv_host.xcr0);
}

/* With a breakpoint enabled in DR7, DR0 to DR3 have to be the guest's or its debugger's. */
static void load_guest_debug_regs(struct mv_vcpu *vcpu)
{
	const u64 *dr = vcpu->guest_debug & KVM_GUESTDBG_USE_HW_BP ? vcpu->guest_debug_dr :
								      vcpu->dr;

	set_debugreg(0, 7);
	set_debugreg(dr[0], 0);
	set_debugreg(dr[1], 1);
	set_debugreg(dr[2], 2);
	set_debugreg(dr[3], 3);
}

/*
 * A host interrupt ended the guest: take it here, with the time booked to the
 * guest. RCU sees a quiescent state as for userspace: nothing of this thread
 * was in a read-side section while the guest ran.
 */
static void take_host_interrupt(void)
{
	rcu_note_context_switch(false);
	current->flags |= PF_VCPU;
	local_irq_enable();
	/* The shadow of STI ends only after the next instruction. */
	asm volatile("nop");
	local_irq_disable();
	current->flags &= ~PF_VCPU;
}

/* Whether its handler neither sleeps, nor touches guest memory, nor turns interrupts on. */
static __always_inline bool exit_is_fast(struct mv_vcpu *vcpu)
{
	/* The commonest one. A device's work at a port is short, and under spinlocks. */
	if (vcpu->exit.reason == MV_EXIT_IO)
		return !vcpu->exit.io.string;
	switch (vcpu->exit.reason) {
	case MV_EXIT_RDMSR:
		/* Of the local APIC, which may have to look at the guest's memory. */
		if (vcpu->pv.eoi_offered)
			return false;
		break;
	case MV_EXIT_WRMSR:
		if (!mv_wrmsr_is_fast(vcpu))
			return false;
		break;
	case MV_EXIT_PAGE_FAULT:
		/* What is left of a doorbell is to pass over the instruction. */
		return mv_ring_doorbell(vcpu);
	case MV_EXIT_CPUID:
	case MV_EXIT_INVD:
		break;
	default:
		return false;
	}
	return !mv_backend->skip_fetches || vcpu->exit.insn_len;
}

/**
 * vcpu_enter() - one entry and exit; more of them as long as the exits are fast
 * @vcpu: loaded, its requests handled
 *
 * Return: as an exit handler; 1 too when something had to be looked at first.
 */
static int vcpu_enter(struct mv_vcpu *vcpu)
{
	bool debug_regs = unlikely(mv_effective_dr7(vcpu) & MV_DR7_ENABLE), fast;
	int r;

	preempt_disable();
	local_irq_disable();
	/* From here an IPI makes the guest exit; what was requested before is seen below. */
	smp_store_mb(vcpu->mode, MV_IN_GUEST);
	if (READ_ONCE(vcpu->requests) || xfer_to_guest_mode_work_pending()) {
		WRITE_ONCE(vcpu->mode, MV_OUTSIDE);
		local_irq_enable();
		preempt_enable();
		return 1;
	}
	if (debug_regs)
		load_guest_debug_regs(vcpu);
	/* Another thread, or the kernel itself, may have had the FPU since the last entry. */
	if (unlikely(test_thread_flag(TIF_NEED_FPU_LOAD)))
		switch_fpu_return();
	load_guest_xstate(vcpu);
	mv_call(prepare)(vcpu);

	do {
		mv_call(run)(vcpu);
		trace_mv_exit(vcpu);
		fast = exit_is_fast(vcpu);
		if (!fast)
			break;
		r = mv_handle_exit(vcpu);
	} while (r > 0 && !READ_ONCE(vcpu->requests) && !xfer_to_guest_mode_work_pending());

	load_host_xstate(vcpu);
	/* The exit has cleared DR7. */
	if (unlikely(hw_breakpoint_active()))
		hw_breakpoint_restore();
	WRITE_ONCE(vcpu->mode, MV_OUTSIDE);
	if (vcpu->exit.reason == MV_EXIT_EXTERNAL_INTERRUPT)
		take_host_interrupt();
	mv_note_guest_ran();
	local_irq_enable();
	preempt_enable();

	return fast ? r : mv_handle_exit(vcpu);
}

static int vcpu_loop(struct mv_vcpu *vcpu)
{
	int r;

	for (;;) {
		if (vcpu->lapic && unlikely(mv_apic_has_events(vcpu))) {
			r = mv_apic_take_events(vcpu);
			if (r < 0)
				return r;
		}
		if (READ_ONCE(vcpu->requests)) {
			r = handle_requests(vcpu);
			if (r <= 0)
				return r;
		}
		if (likely(vcpu->mp_state == KVM_MP_STATE_RUNNABLE)) {
			r = vcpu_enter(vcpu);
			if (unlikely(vcpu->vapic))
				mv_vapic_from_guest(vcpu);
			if (r <= 0)
				return r;
		} else {
			mv_vcpu_block(vcpu);
		}

		if (__xfer_to_guest_mode_work_pending()) {
			r = mv_guest_mode_work();
			if (r) {
				vcpu->stats[MV_STAT_SIGNAL]++;
				vcpu->run->exit_reason = KVM_EXIT_INTR;
				return r;
			}
		}
	}
}

/* What KVM_RUN tells with every exit, besides the reason. */
static void fill_run(struct mv_vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;

	run->if_flag = !!(mv_rflags(vcpu) & X86_EFLAGS_IF);
	run->flags = 0;
	run->cr8 = mv_get_cr8(vcpu);
	run->apic_base = vcpu->apic_base;
	run->ready_for_interrupt_injection =
		vcpu->vm->irqchip || (run->if_flag && mv_takes_user_irq(vcpu) &&
				      !vcpu->pending.any && mv_call(irq_allowed)(vcpu));
}

static int run_locked(struct mv_vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	mv_complete_fn complete;
	int r;

	if (vcpu->mp_state == KVM_MP_STATE_UNINITIALIZED) {
		/* An application processor waits for INIT and SIPI. */
		if (mv_immediate_exit(run))
			return -EINTR;
		mv_vcpu_block(vcpu);
		if (signal_pending(current)) {
			run->exit_reason = KVM_EXIT_INTR;
			return -EINTR;
		}
		/* Userspace starts it with a call of its own, as it does with KVM. */
		r = 0;
		if (vcpu->lapic && mv_apic_has_events(vcpu))
			r = mv_apic_take_events(vcpu);
		return r < 0 ? r : -EAGAIN;
	}

	if (unlikely((run->kvm_valid_regs | run->kvm_dirty_regs) & ~KVM_SYNC_X86_VALID_FIELDS))
		return -EINVAL;
	if (unlikely(run->kvm_dirty_regs) && mv_load_sync_regs(vcpu))
		return -EINVAL;

	/* Without an irqchip TPR is userspace's to tell. */
	if (!vcpu->lapic && mv_set_cr8(vcpu, run->cr8))
		return -EINVAL;

	complete = vcpu->complete;
	if (complete) {
		vcpu->complete = NULL;
		r = complete(vcpu);
		if (r <= 0)
			return r;
	}
	if (mv_immediate_exit(run))
		return -EINTR;
	if (run->request_interrupt_window && mv_takes_user_irq(vcpu))
		mv_request(vcpu, MV_REQ_EVENT);

	run->exit_reason = KVM_EXIT_UNKNOWN;
	return vcpu_loop(vcpu);
}

/* For mv_vcpu_yield() and the steal time: whose thread this is. */
static void set_pid(struct mv_vcpu *vcpu, struct pid *pid)
{
	struct pid *old = rcu_dereference_protected(vcpu->pid, lockdep_is_held(&vcpu->mutex));

	vcpu->pv.run_delay = current->sched_info.run_delay;
	rcu_assign_pointer(vcpu->pid, get_pid(pid));
	if (old) {
		synchronize_rcu();
		put_pid(old);
	}
}

static long vcpu_run(struct mv_vcpu *vcpu)
{
	struct pid *pid = task_pid(current);
	long r;

	if (unlikely(rcu_access_pointer(vcpu->pid) != pid))
		set_pid(vcpu, pid);
	/* What was blocked is to end KVM_RUN, not to take effect: not even if that is to kill. */
	if (vcpu->sigset_active)
		sigprocmask(SIG_SETMASK, &vcpu->sigset, &current->real_blocked);

	vcpu->l1tf_flush_l1d = true;
	mv_fpu_load(vcpu);
	r = run_locked(vcpu);
	/* A HLT that the guest has executed by itself is not different from one that exits. */
	if (unlikely(vcpu->vm->disabled_exits & KVM_X86_DISABLE_EXITS_HLT) &&
	    mv_backend->take_halt && mv_backend->take_halt(vcpu))
		vcpu->mp_state = KVM_MP_STATE_HALTED;
	mv_pv_eoi_sync(vcpu);
	/* Userspace takes it that all that was written is in the ring after an exit. */
	if (unlikely(vcpu->vm->dirty_ring_entries) && vcpu->cpu_log)
		mv_cpu_log_full(vcpu);
	mv_fpu_put(vcpu);
	if (unlikely(vcpu->run->kvm_valid_regs))
		mv_store_sync_regs(vcpu);
	fill_run(vcpu);
	/* Userspace may change what the control block already holds for the next entry. */
	if (vcpu->pending.sent)
		mv_request(vcpu, MV_REQ_EVENT);

	if (vcpu->sigset_active) {
		sigprocmask(SIG_SETMASK, &current->real_blocked, NULL);
		sigemptyset(&current->real_blocked);
	}
	return r;
}

/* ---- reset ---- */

/* The state after power-up or INIT. SDM vol. 3A, table 10-1. */
void mv_vcpu_reset(struct mv_vcpu *vcpu, bool init)
{
	static const struct kvm_segment data = {
		.limit = 0xffff, .type = 3, .present = 1, .s = 1,
	};
	static const struct kvm_segment code = {
		.base = 0xffff0000, .limit = 0xffff, .selector = 0xf000,
		.type = 11, .present = 1, .s = 1,
	};
	static const struct kvm_segment ldt = { .limit = 0xffff, .type = 2, .present = 1 };
	static const struct kvm_segment tss = { .limit = 0xffff, .type = 11, .present = 1 };
	static const struct kvm_dtable table = { .limit = 0xffff };
	enum mv_seg seg;
	u64 cr0 = X86_CR0_ET | X86_CR0_NW | X86_CR0_CD;

	/* INIT leaves the cache bits. */
	if (init)
		cr0 = (mv_cr0(vcpu) & (X86_CR0_NW | X86_CR0_CD)) | X86_CR0_ET;

	memset(&vcpu->pending, 0, sizeof(vcpu->pending));
	vcpu->nmi_pending = 0;
	atomic_set(&vcpu->nmi_queued, 0);
	vcpu->complete = NULL;
	memset(&vcpu->pv, 0, offsetof(struct mv_pv, enforced));
	vcpu->msr.pv_clock = 0;
	vcpu->msr.pv_steal_time = 0;
	vcpu->msr.pv_eoi = 0;
	vcpu->dr6 = MV_DR6_RESET;
	vcpu->dr7 = MV_DR7_RESET;
	memset(vcpu->dr, 0, sizeof(vcpu->dr));
	vcpu->cr2 = 0;
	vcpu->spec_ctrl = 0;
	vcpu->vapic = 0;

	mv_backend->vcpu_reset(vcpu, init);
	for (seg = MV_ES; seg <= MV_GS; seg++)
		mv_backend->set_seg(vcpu, seg, seg == MV_CS ? &code : &data);
	mv_backend->set_seg(vcpu, MV_LDTR, &ldt);
	mv_backend->set_seg(vcpu, MV_TR, &tss);
	mv_backend->set_dt(vcpu, false, &table);
	mv_backend->set_dt(vcpu, true, &table);

	memset(vcpu->gpr, 0, sizeof(vcpu->gpr));
	/* Family 6, the signature that is in EDX after reset. */
	vcpu->gpr[MV_RDX] = 0x600;
	mv_mark_dirty(vcpu, MV_LAZY_RSP);
	mv_write_rip(vcpu, 0xfff0);
	mv_write_rflags(vcpu, X86_EFLAGS_FIXED);
	vcpu->cr3 = 0;
	mv_mark_dirty(vcpu, MV_LAZY_CR3);
	mv_backend->set_cr0(vcpu, cr0);
	mv_backend->set_cr4(vcpu, 0);
	mv_backend->set_efer(vcpu, 0);
	mv_backend->update_debug(vcpu);

	mv_fpu_reset(vcpu, init);
	if (!init)
		mv_msr_reset(vcpu);
	if (vcpu->lapic)
		mv_lapic_reset(vcpu, init);
	mv_request(vcpu, MV_REQ_EVENT);
	mv_request(vcpu, MV_REQ_TLB_FLUSH);
}

/* ---- the descriptor ---- */

static vm_fault_t vcpu_fault(struct vm_fault *vmf)
{
	struct mv_vcpu *vcpu = vmf->vma->vm_file->private_data;
	struct page *ring = mv_dirty_ring_page(vcpu, vmf->pgoff);
	void *page;

	if (ring) {
		get_page(ring);
		vmf->page = ring;
		return 0;
	}
	switch (vmf->pgoff) {
	case 0:
		page = vcpu->run;
		break;
	case KVM_PIO_PAGE_OFFSET:
		page = vcpu->pio_data;
		break;
	case KVM_COALESCED_MMIO_PAGE_OFFSET:
		page = mv_coalesced_ring(vcpu->vm);
		if (!page)
			return VM_FAULT_OOM;
		break;
	default:
		return VM_FAULT_SIGBUS;
	}
	vmf->page = virt_to_page(page);
	get_page(vmf->page);
	return 0;
}

static const struct vm_operations_struct vcpu_vm_ops = {
	.fault = vcpu_fault,
};

static int vcpu_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct mv_vcpu *vcpu = file->private_data;

	/* A private copy of a ring would never change. */
	if ((mv_dirty_ring_page(vcpu, vma->vm_pgoff) ||
	     mv_dirty_ring_page(vcpu, vma->vm_pgoff + vma_pages(vma) - 1)) &&
	    (!(vma->vm_flags & VM_SHARED) || (vma->vm_flags & VM_EXEC)))
		return -EINVAL;
	vma->vm_ops = &vcpu_vm_ops;
	return 0;
}

static int vcpu_release(struct inode *inode, struct file *file)
{
	struct mv_vcpu *vcpu = file->private_data;

	mv_vm_put(vcpu->vm);
	return 0;
}

static long set_signal_mask(struct mv_vcpu *vcpu, const struct kvm_signal_mask __user *arg)
{
	struct kvm_signal_mask mask;
	sigset_t set;

	if (!arg) {
		vcpu->sigset_active = false;
		return 0;
	}
	if (copy_from_user(&mask, arg, sizeof(mask)))
		return -EFAULT;
	if (mask.len != sizeof(set))
		return -EINVAL;
	if (copy_from_user(&set, arg->sigset, sizeof(set)))
		return -EFAULT;
	sigdelsetmask(&set, sigmask(SIGKILL) | sigmask(SIGSTOP));
	vcpu->sigset = set;
	vcpu->sigset_active = true;
	return 0;
}

/* KVM_INTERRUPT: a vector for a vCPU whose PIC is userspace's. */
static long user_interrupt(struct mv_vcpu *vcpu, const struct kvm_interrupt __user *arg)
{
	struct kvm_interrupt irq;

	if (copy_from_user(&irq, arg, sizeof(irq)))
		return -EFAULT;
	if (irq.irq >= 256)
		return -EINVAL;
	if (vcpu->vm->irqchip)
		return -ENXIO;
	if (vcpu->user_irq >= 0)
		return -EEXIST;
	vcpu->user_irq = irq.irq;
	mv_request(vcpu, MV_REQ_EVENT);
	return 0;
}

static long vcpu_enable_cap(struct mv_vcpu *vcpu, const struct kvm_enable_cap __user *arg)
{
	struct kvm_enable_cap cap;

	if (copy_from_user(&cap, arg, sizeof(cap)))
		return -EFAULT;
	if (cap.flags || cap.cap != KVM_CAP_ENFORCE_PV_FEATURE_CPUID)
		return -EINVAL;
	vcpu->pv.enforced = cap.args[0];
	mv_cpuid_derive_pv(vcpu);
	return 0;
}

static long vcpu_ioctl_locked(struct mv_vcpu *vcpu, unsigned int nr, unsigned long arg)
{
	switch (nr) {
	case KVM_RUN:
		return arg ? -EINVAL : vcpu_run(vcpu);
	case KVM_SET_SIGNAL_MASK:
		return set_signal_mask(vcpu, (void __user *)arg);
	case KVM_NMI:
		mv_inject_nmi(vcpu);
		return 0;
	case KVM_KVMCLOCK_CTRL:
		return mv_kvmclock_ctrl(vcpu);
	case KVM_ENABLE_CAP:
		return vcpu_enable_cap(vcpu, (void __user *)arg);
	default:
		return mv_state_ioctl(vcpu, nr, arg);
	}
}

static long vcpu_ioctl(struct file *file, unsigned int nr, unsigned long arg)
{
	struct mv_vcpu *vcpu = file->private_data;
	long r;

	if (current->mm != vcpu->vm->mm)
		return -EIO;
	if (_IOC_TYPE(nr) != KVMIO)
		return -EINVAL;
	if (mutex_lock_killable(&vcpu->mutex))
		return -EINTR;
	if (nr == KVM_GET_STATS_FD) {
		r = mv_get_stats_fd(vcpu->vm, vcpu);
	} else if (nr == KVM_INTERRUPT) {
		r = user_interrupt(vcpu, (void __user *)arg);
	} else {
		vcpu_load(vcpu);
		r = vcpu_ioctl_locked(vcpu, nr, arg);
		vcpu_put(vcpu);
	}
	mutex_unlock(&vcpu->mutex);
	return r;
}

static const struct file_operations vcpu_fops = {
	.owner = THIS_MODULE,
	.release = vcpu_release,
	.unlocked_ioctl = vcpu_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.mmap = vcpu_mmap,
	.llseek = noop_llseek,
};

/* ---- life ---- */

static struct mv_vcpu *vcpu_alloc(struct mv_vm *vm, int id)
{
	struct mv_vcpu *vcpu;
	int r;

	vcpu = kzalloc(mv_backend->vcpu_size, GFP_KERNEL_ACCOUNT);
	if (!vcpu)
		return ERR_PTR(-ENOMEM);
	vcpu->vm = vm;
	vcpu->id = id;
	vcpu->cpu = -1;
	vcpu->user_irq = -1;
	mv_cpuid_derive(vcpu);
	vcpu->apic_base = APIC_DEFAULT_PHYS_BASE | MSR_IA32_APICBASE_ENABLE |
			  (mv_is_bsp(vcpu) ? MSR_IA32_APICBASE_BSP : 0);
	mutex_init(&vcpu->mutex);
	rcuwait_init(&vcpu->wait);
	preempt_notifier_init(&vcpu->preempt, &mv_preempt_ops);

	r = -ENOMEM;
	vcpu->run = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	vcpu->pio_data = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (!vcpu->run || !vcpu->pio_data)
		goto free_pages;
	r = mv_fpu_create(vcpu);
	if (r)
		goto free_pages;
	r = mv_cpu_log_create(vcpu);
	if (!r)
		r = mv_dirty_ring_create(vcpu);
	if (r)
		goto destroy_fpu;
	r = mv_backend->vcpu_init(vcpu);
	if (r)
		goto destroy_fpu;
	if (vm->irqchip || vm->split_irqchip) {
		r = mv_lapic_create(vcpu);
		if (r)
			goto free_backend;
	}
	return vcpu;

free_backend:
	mv_backend->vcpu_free(vcpu);
destroy_fpu:
	mv_dirty_ring_destroy(vcpu);
	free_page((unsigned long)vcpu->cpu_log);
	mv_fpu_destroy(vcpu);
free_pages:
	free_page((unsigned long)vcpu->pio_data);
	free_page((unsigned long)vcpu->run);
	kfree(vcpu);
	return ERR_PTR(r);
}

void mv_vcpu_destroy(struct mv_vcpu *vcpu)
{
	if (vcpu->lapic)
		mv_lapic_destroy(vcpu);
	mv_backend->vcpu_free(vcpu);
	mv_dirty_ring_destroy(vcpu);
	free_page((unsigned long)vcpu->cpu_log);
	mv_fpu_destroy(vcpu);
	kvfree(vcpu->cpuid);
	kfree(vcpu->mce_banks);
	put_pid(rcu_access_pointer(vcpu->pid));
	free_page((unsigned long)vcpu->pio_data);
	free_page((unsigned long)vcpu->run);
	kfree(vcpu);
}

static bool id_in_use(struct mv_vm *vm, int id)
{
	struct mv_vcpu *vcpu;
	int i;

	mv_for_each_vcpu(i, vcpu, vm)
		if (vcpu->id == id)
			return true;
	return false;
}

/* Into the VM's list, where other threads find it, and into a descriptor. vm->lock held. */
static long vcpu_publish(struct mv_vcpu *vcpu)
{
	struct mv_vm *vm = vcpu->vm;
	char name[32];
	long fd;
	int r;

	lockdep_assert_held(&vm->lock);
	if (vm->nr_vcpus >= MV_MAX_VCPUS)
		return -EINVAL;
	if (id_in_use(vm, vcpu->id))
		return -EEXIST;
	vcpu->idx = vm->nr_vcpus;
	r = xa_insert(&vm->vcpus, vcpu->idx, vcpu, GFP_KERNEL_ACCOUNT);
	if (r)
		return r;
	mv_vm_get(vm);
	snprintf(name, sizeof(name), "minivirt-vcpu:%d", vcpu->id);
	fd = anon_inode_getfd(name, &vcpu_fops, vcpu, O_RDWR | O_CLOEXEC);
	if (fd < 0) {
		xa_erase(&vm->vcpus, vcpu->idx);
		mv_vm_put(vm);
		return fd;
	}
	/* Pairs with mv_for_each_vcpu(). */
	smp_store_release(&vm->nr_vcpus, vm->nr_vcpus + 1);
	if (vcpu->lapic)
		mv_apic_map_update(vm);
	mv_clock_check(vm);
	return fd;
}

long mv_vcpu_create(struct mv_vm *vm, unsigned long id)
{
	struct mv_vcpu *vcpu;
	long r;

	mutex_lock(&vm->lock);
	if (!vm->max_vcpu_ids)
		vm->max_vcpu_ids = MV_MAX_VCPU_ID;
	if (id >= vm->max_vcpu_ids) {
		r = -EINVAL;
		goto unlock;
	}
	vcpu = vcpu_alloc(vm, id);
	if (IS_ERR(vcpu)) {
		r = PTR_ERR(vcpu);
		goto unlock;
	}
	/* An application processor waits for INIT and SIPI, if something can bring them. */
	vcpu->mp_state = vcpu->lapic && !mv_is_bsp(vcpu) ? KVM_MP_STATE_UNINITIALIZED :
							   KVM_MP_STATE_RUNNABLE;
	vcpu_load(vcpu);
	mv_vcpu_reset(vcpu, false);
	vcpu_put(vcpu);
	r = vcpu_publish(vcpu);
	if (r < 0)
		mv_vcpu_destroy(vcpu);
unlock:
	mutex_unlock(&vm->lock);
	return r;
}
