// SPDX-License-Identifier: GPL-2.0-only
/* The run loop: KVM_RUN, from userspace into the guest and back. */
#include <linux/entry-kvm.h>
#include <linux/rcupdate.h>
#include <linux/sched/signal.h>
#include <asm/debugreg.h>
#include <asm/fpu/xcr.h>

#include "base/backend.h"
#include "base/compat.h"
#include "base/regs.h"
#include "base/trace.h"
#include "cpu/asyncpf.h"
#include "cpu/cr.h"
#include "cpu/event.h"
#include "cpu/fpu.h"
#include "cpu/msr.h"
#include "cpu/state.h"
#include "exit/handler.h"
#include "irq/irq.h"
#include "mmu/memory.h"
#include "run/run.h"
#include "time/time.h"

/* One that the guest takes now. */
static bool has_event(struct mv_vcpu *vcpu)
{
	return vcpu->pending.any ||
	       ((vcpu->nmi_pending || atomic_read(&vcpu->nmi_queued)) &&
		!mv_backend->nmi_masked(vcpu)) ||
	       (mv_want_irq(vcpu) && mv_call(irq_allowed)(vcpu));
}

/* Could the guest run on, were it let? In HLT only an event that it takes wakes it. */
bool mv_vcpu_runnable(struct mv_vcpu *vcpu)
{
	if (READ_ONCE(vcpu->apic_events))
		return true;
	switch (vcpu->mp_state) {
	case KVM_MP_STATE_RUNNABLE:
		return !vcpu->apf.waiting || has_event(vcpu);
	case KVM_MP_STATE_HALTED:
		return READ_ONCE(vcpu->pv.unhalted) || has_event(vcpu);
	default:
		return false;
	}
}

/* As in HLT, but for interrupts alone, which may lead the guest elsewhere, and for the page. */
static void wait_for_page(struct mv_vcpu *vcpu)
{
	vcpu->apf.waiting = true;
	mv_vcpu_block(vcpu);
	vcpu->apf.waiting = false;
}

void mv_take_init_sipi(struct mv_vcpu *vcpu)
{
	struct kvm_segment cs;
	u8 vector;

	if (test_and_clear_bit(MV_APIC_INIT, &vcpu->apic_events)) {
		mv_vcpu_reset(vcpu, true);
		vcpu->mp_state = mv_is_bsp(vcpu) ? KVM_MP_STATE_RUNNABLE :
						   KVM_MP_STATE_INIT_RECEIVED;
	}
	if (test_and_clear_bit(MV_APIC_SIPI, &vcpu->apic_events) &&
	    vcpu->mp_state == KVM_MP_STATE_INIT_RECEIVED) {
		/* Pairs with the barrier before the bit was set. */
		smp_rmb();
		vector = READ_ONCE(vcpu->sipi_vector);
		mv_backend->get_seg(vcpu, MV_CS, &cs);
		cs.selector = vector << 8;
		cs.base = vector << 12;
		mv_backend->set_seg(vcpu, MV_CS, &cs);
		mv_write_rip(vcpu, 0);
		vcpu->mp_state = KVM_MP_STATE_RUNNABLE;
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
	if (mv_take_request(vcpu, MV_REQ_RESAMPLE))
		mv_irqfd_resample(vcpu->vm);
	if (mv_take_request(vcpu, MV_REQ_TPR_ACCESS)) {
		mv_exit_tpr_access(vcpu);
		return 0;
	}
	if (unlikely(READ_ONCE(vcpu->requests) & (BIT(MV_REQ_APF_WAIT) | BIT(MV_REQ_APF_READY)))) {
		/* In this order: what is ready ends the wait. */
		if (mv_take_request(vcpu, MV_REQ_APF_WAIT))
			wait_for_page(vcpu);
		if (mv_take_request(vcpu, MV_REQ_APF_READY))
			mv_apf_ready(vcpu);
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
	if (mv_take_request(vcpu, MV_REQ_EVENT) | mv_take_request(vcpu, MV_REQ_NMI))
		mv_update_events(vcpu);
	/* INIT or SIPI came after vcpu_loop() looked: their request may just have been taken. */
	if (unlikely(READ_ONCE(vcpu->apic_events)))
		mv_request(vcpu, MV_REQ_EVENT);
	return 1;
}

/*
 * XCR0, XSS and PKRU are the guest's only while it runs: the host's kernel uses them too. Both
 * functions are called in one stretch with interrupts off, in which nothing changes the guest's.
 */
static __always_inline void load_guest_xstate(struct mv_vcpu *vcpu)
{
	lockdep_assert_irqs_disabled();
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

	lockdep_assert_irqs_disabled(); /* the host's come back when they are on again */
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

/* Those of devices and eventfds do not go with interrupts off then. */
#define SPINLOCKS_SLEEP IS_ENABLED(CONFIG_PREEMPT_RT)

/*
 * Whether passing over the exit's instruction takes no look at guest memory, which may sleep:
 * whatever else an exit is, without this it is not a fast one.
 */
static __always_inline bool insn_len_is_known(struct mv_vcpu *vcpu)
{
	return !static_branch_unlikely(&mv_skip_fetches) || vcpu->exit.insn_len;
}

/* Whether its handler neither sleeps, nor touches guest memory, nor turns interrupts on. */
static __always_inline bool exit_is_fast(struct mv_vcpu *vcpu)
{
	/* The commonest one. But for the chips, a device's work at a port is short. */
	if (vcpu->exit.reason == MV_EXIT_IO)
		return !vcpu->exit.io.string && !SPINLOCKS_SLEEP && insn_len_is_known(vcpu) &&
		       !mv_is_chip_port(vcpu);
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
		return !SPINLOCKS_SLEEP && mv_ring_doorbell(vcpu) && insn_len_is_known(vcpu);
	case MV_EXIT_CPUID:
	case MV_EXIT_INVD:
		break;
	default:
		return false;
	}
	return insn_len_is_known(vcpu);
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
		if (unlikely(READ_ONCE(vcpu->apic_events)))
			mv_take_init_sipi(vcpu);
		if (READ_ONCE(vcpu->requests)) {
			r = handle_requests(vcpu);
			if (r <= 0)
				return r;
		}
		if (likely(vcpu->mp_state == KVM_MP_STATE_RUNNABLE)) {
			if (unlikely(vcpu->vapic))
				mv_vapic_to_guest(vcpu);
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
		mv_take_init_sipi(vcpu);
		return -EAGAIN;
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

long mv_vcpu_run(struct mv_vcpu *vcpu)
{
	struct pid *pid = task_pid(current);
	long r;

	if (unlikely(rcu_access_pointer(vcpu->pid) != pid))
		set_pid(vcpu, pid);
	/* What was blocked is to end KVM_RUN, not to take effect: not even if that is to kill. */
	if (vcpu->sigset_active)
		sigprocmask(SIG_SETMASK, &vcpu->sigset, &current->real_blocked);

	mv_taint_l1d(vcpu);
	mv_fpu_load(vcpu);
	WRITE_ONCE(vcpu->in_run, true);
	/* Pairs with the timer's, see deadline_passed(). */
	smp_mb();
	if (unlikely(READ_ONCE(vcpu->deadline_due)))
		mv_lapic_fire_deadline(vcpu);
	r = run_locked(vcpu);
	/* A HLT that the guest has executed by itself is not different from one that exits. */
	if (unlikely(vcpu->vm->disabled_exits & KVM_X86_DISABLE_EXITS_HLT) &&
	    mv_backend->take_halt && mv_backend->take_halt(vcpu))
		vcpu->mp_state = KVM_MP_STATE_HALTED;
	mv_pv_eoi_sync(vcpu);
	WRITE_ONCE(vcpu->in_run, false);
	/* The device's eventfd is signaled before userspace looks at it. */
	if (unlikely(mv_take_request(vcpu, MV_REQ_RESAMPLE)))
		mv_irqfd_resample(vcpu->vm);
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
