// SPDX-License-Identifier: GPL-2.0-only
/*
 * The timer of the local APIC: SDM vol. 3A, 11.5.4.  It counts at 1 GHz, as
 * KVM's does, before the divider.
 */
#include <linux/math64.h>

#include "irq/irq.h"
#include "irq/lapic.h"
#include "time/time.h"

static u32 divider(u32 tdcr)
{
	u32 field = (tdcr & 3) | (tdcr & 8) >> 1;

	return 1 << ((field + 1) & 7);
}

static bool in_deadline_mode(struct mv_lapic *lapic)
{
	return lapic_timer_mode(lapic) == APIC_LVT_TIMER_TSCDEADLINE;
}

/* From now to the guest TSC value @deadline in ns; 0: it has passed. */
static u64 ns_until(struct mv_vcpu *vcpu, u64 deadline)
{
	u64 khz = vcpu->tsc_khz, now = mv_read_tsc(vcpu);

	if (deadline <= now)
		return 0;
	/* Weeks at once are enough: the timer then looks again. */
	return mul_u64_u32_div(min(deadline - now, khz << 32), USEC_PER_SEC, khz) + 1;
}

/* Returns false if the deadline has passed. */
static bool aim_at_deadline(struct mv_lapic *lapic, ktime_t *expires)
{
	struct mv_apic_timer *t = &lapic->timer;
	u64 ns = ns_until(lapic->vcpu, t->deadline);

	if (!ns)
		return false;
	t->armed = t->deadline;
	t->armed_offset = lapic->vcpu->tsc_offset;
	*expires = ktime_add_ns(ktime_get(), ns);
	return true;
}

/* It is over: SDM vol. 3A, 11.5.4.1. */
static void fire_deadline(struct mv_lapic *lapic, struct mv_vcpu *self)
{
	WRITE_ONCE(lapic->vcpu->deadline_due, false);
	lapic->timer.deadline = 0;
	mv_lapic_local(lapic, APIC_LVTT, self);
}

/*
 * The deadline has passed. A vCPU that does not run keeps it until it does:
 * userspace reads the deadline and the IRR one after the other, and between
 * the two it must not go from one to the other.
 */
static void deadline_passed(struct mv_lapic *lapic)
{
	WRITE_ONCE(lapic->vcpu->deadline_due, true);
	/* Pairs with mv_vcpu_run(): it sees that one is due, or we that it runs. */
	smp_mb();
	if (READ_ONCE(lapic->vcpu->in_run))
		fire_deadline(lapic, NULL);
}

void mv_lapic_fire_deadline(struct mv_vcpu *vcpu)
{
	struct mv_lapic *lapic = vcpu->lapic;
	unsigned long flags;

	raw_spin_lock_irqsave(&lapic->timer.lock, flags);
	if (vcpu->deadline_due && in_deadline_mode(lapic))
		fire_deadline(lapic, vcpu);
	raw_spin_unlock_irqrestore(&lapic->timer.lock, flags);
}

/*
 * Counting modes: the count has reached zero, and the interrupt comes now. A
 * new period begins, if there is one.
 */
static void count_is_over(struct mv_lapic *lapic, ktime_t now, struct mv_vcpu *self)
{
	struct mv_apic_timer *t = &lapic->timer;
	u64 period = max_t(u64, t->period, MV_MIN_TIMER_PERIOD_NS);

	if (lapic_timer_mode(lapic) == APIC_LVT_TIMER_PERIODIC)
		t->expiry += period * (div64_u64(now - t->expiry, period) + 1);
	else
		t->expiry = 0;
	mv_lapic_local(lapic, APIC_LVTT, self);
}

static enum hrtimer_restart apic_timer_fn(struct hrtimer *hrtimer)
{
	struct mv_apic_timer *t = container_of(hrtimer, struct mv_apic_timer, hrtimer);
	struct mv_lapic *lapic = container_of(t, struct mv_lapic, timer);
	enum hrtimer_restart restart = HRTIMER_NORESTART;
	ktime_t expires, now = ktime_get();

	raw_spin_lock(&t->lock);
	/* Started anew while this expiry was on its way: that one counts. */
	if (hrtimer_is_queued(hrtimer))
		goto out;

	if (in_deadline_mode(lapic)) {
		t->armed = 0;
		if (!t->deadline)
			goto out;
		if (!aim_at_deadline(lapic, &expires)) {
			deadline_passed(lapic);
			goto out;
		}
	} else {
		if (t->expiry && t->expiry <= now)
			count_is_over(lapic, now, NULL);
		if (!t->expiry)
			goto out;
		expires = t->expiry;
	}
	hrtimer_set_expires(hrtimer, expires);
	restart = HRTIMER_RESTART;
out:
	raw_spin_unlock(&t->lock);
	return restart;
}

void mv_apic_timer_init(struct mv_lapic *lapic)
{
	raw_spin_lock_init(&lapic->timer.lock);
	hrtimer_init(&lapic->timer.hrtimer, CLOCK_MONOTONIC, HRTIMER_MODE_ABS_HARD);
	lapic->timer.hrtimer.function = apic_timer_fn;
}

void mv_apic_timer_sync(struct mv_lapic *lapic)
{
	WRITE_ONCE(lapic->timer.mode, lapic_reg(lapic, APIC_LVTT) & (APIC_LVT_TIMER_PERIODIC |
								     APIC_LVT_TIMER_TSCDEADLINE));
	lapic->timer.divide = divider(lapic_reg(lapic, APIC_TDCR));
}

/* Without waiting for an expiry on its way: it finds nothing to do. */
static void stop(struct mv_lapic *lapic)
{
	struct mv_apic_timer *t = &lapic->timer;

	lockdep_assert_held(&t->lock);
	WRITE_ONCE(lapic->vcpu->deadline_due, false);
	t->armed = 0;
	t->expiry = 0;
	hrtimer_try_to_cancel(&t->hrtimer);
}

void mv_apic_timer_stop(struct mv_lapic *lapic)
{
	struct mv_apic_timer *t = &lapic->timer;
	unsigned long flags;

	raw_spin_lock_irqsave(&t->lock, flags);
	stop(lapic);
	t->deadline = 0;
	raw_spin_unlock_irqrestore(&t->lock, flags);
}

/* A TSC deadline stays: it is not one of the registers that userspace is about to restore. */
void mv_apic_timer_hold(struct mv_lapic *lapic)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&lapic->timer.lock, flags);
	stop(lapic);
	raw_spin_unlock_irqrestore(&lapic->timer.lock, flags);
}

/* Counting from @count, which is the initial count unless state is restored. */
void mv_apic_timer_start(struct mv_lapic *lapic, u32 count)
{
	struct mv_apic_timer *t = &lapic->timer;
	u64 unit = t->divide;
	unsigned long flags;

	raw_spin_lock_irqsave(&t->lock, flags);
	stop(lapic);
	if (!in_deadline_mode(lapic) && count) {
		t->period = lapic_reg(lapic, APIC_TMICT) * unit;
		t->expiry = ktime_add_ns(ktime_get(), count * unit);
		hrtimer_start(&t->hrtimer, t->expiry, HRTIMER_MODE_ABS_HARD);
	}
	raw_spin_unlock_irqrestore(&t->lock, flags);
}

/*
 * Who is told 0 may take it that the interrupt has been requested. So it is
 * here, if the host's timer is late, and a last part of a unit counts as one.
 */
u32 mv_apic_timer_count(struct mv_lapic *lapic)
{
	struct mv_apic_timer *t = &lapic->timer;
	ktime_t now = ktime_get();
	unsigned long flags;
	u64 left = 0;

	raw_spin_lock_irqsave(&t->lock, flags);
	if (!in_deadline_mode(lapic)) {
		if (t->expiry && t->expiry <= now)
			count_is_over(lapic, now, lapic->vcpu);
		if (t->expiry)
			left = ktime_sub(t->expiry, now);
	}
	raw_spin_unlock_irqrestore(&t->lock, flags);
	/* A period that was too short for the host shows as the initial count. */
	return min_t(u64, DIV_ROUND_UP_ULL(left, t->divide), lapic_reg(lapic, APIC_TMICT));
}

/* A running count goes on from where it is, at the new rate. */
void mv_apic_timer_set_divider(struct mv_lapic *lapic, u32 tdcr)
{
	u32 count = mv_apic_timer_count(lapic);

	lapic_set_reg(lapic, APIC_TDCR, tdcr);
	mv_apic_timer_sync(lapic);
	if (count)
		mv_apic_timer_start(lapic, count);
}

u64 mv_lapic_get_tsc_deadline(struct mv_vcpu *vcpu)
{
	struct mv_lapic *lapic = vcpu->lapic;
	unsigned long flags;
	u64 val;

	if (!lapic || !in_deadline_mode(lapic))
		return 0;
	/* An expiry under way, which still saw KVM_RUN, is over: it is not here and in the IRR. */
	raw_spin_lock_irqsave(&lapic->timer.lock, flags);
	val = lapic->timer.deadline;
	raw_spin_unlock_irqrestore(&lapic->timer.lock, flags);
	return val;
}

void mv_lapic_set_tsc_deadline(struct mv_vcpu *vcpu, u64 val)
{
	struct mv_lapic *lapic = vcpu->lapic;
	struct mv_apic_timer *t;
	unsigned long flags;
	ktime_t expires;

	if (!lapic || !lapic_hw_enabled(lapic) || !in_deadline_mode(lapic))
		return;

	t = &lapic->timer;
	raw_spin_lock_irqsave(&t->lock, flags);
	t->deadline = val;
	if (val && !(t->armed && val >= t->armed && t->armed_offset == vcpu->tsc_offset)) {
		if (aim_at_deadline(lapic, &expires))
			hrtimer_start(&t->hrtimer, expires, HRTIMER_MODE_ABS_HARD);
		else
			fire_deadline(lapic, vcpu);
	}
	raw_spin_unlock_irqrestore(&t->lock, flags);
}

/* The deadline is what it was, but the mode, or what the TSC has to do with time, may not be. */
static void restart_deadline(struct mv_lapic *lapic)
{
	struct mv_apic_timer *t = &lapic->timer;
	ktime_t expires;

	lockdep_assert_held(&t->lock);
	if (!in_deadline_mode(lapic))
		return;
	stop(lapic);
	if (!t->deadline)
		return;
	if (aim_at_deadline(lapic, &expires))
		hrtimer_start(&t->hrtimer, expires, HRTIMER_MODE_ABS_HARD);
	else
		deadline_passed(lapic);
}

/* By userspace, which may have yet to restore the mode. */
void mv_lapic_restore_tsc_deadline(struct mv_vcpu *vcpu, u64 val)
{
	struct mv_lapic *lapic = vcpu->lapic;
	unsigned long flags;

	raw_spin_lock_irqsave(&lapic->timer.lock, flags);
	lapic->timer.deadline = val;
	restart_deadline(lapic);
	raw_spin_unlock_irqrestore(&lapic->timer.lock, flags);
}

void mv_lapic_tsc_changed(struct mv_vcpu *vcpu)
{
	unsigned long flags;

	if (!vcpu->lapic)
		return;
	raw_spin_lock_irqsave(&vcpu->lapic->timer.lock, flags);
	restart_deadline(vcpu->lapic);
	raw_spin_unlock_irqrestore(&vcpu->lapic->timer.lock, flags);
}

/*
 * Registers come from userspace, with the current count @count: in TSC-deadline
 * mode that MSR, which it may have restored before, tells what remains.
 */
void mv_apic_timer_restore(struct mv_lapic *lapic, u32 count)
{
	unsigned long flags;

	mv_apic_timer_sync(lapic);
	if (lapic_timer_mode(lapic) == APIC_LVT_TIMER_PERIODIC && !count)
		count = lapic_reg(lapic, APIC_TMICT);
	mv_apic_timer_start(lapic, count);
	raw_spin_lock_irqsave(&lapic->timer.lock, flags);
	restart_deadline(lapic);
	raw_spin_unlock_irqrestore(&lapic->timer.lock, flags);
}
