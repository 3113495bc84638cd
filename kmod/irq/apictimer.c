// SPDX-License-Identifier: GPL-2.0-only
/*
 * The timer of the local APIC: SDM vol. 3A, 11.5.4.  It counts at 1 GHz, as
 * KVM's does, before the divider.
 */
#include <linux/math64.h>

#include "irq.h"

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

/* Returns false if the deadline has passed: then it is over. */
static bool aim_at_deadline(struct mv_lapic *lapic, ktime_t *expires)
{
	struct mv_apic_timer *t = &lapic->timer;
	u64 ns = ns_until(lapic->vcpu, t->deadline);

	if (!ns) {
		t->deadline = 0;
		return false;
	}
	t->armed = t->deadline;
	t->armed_offset = lapic->vcpu->tsc_offset;
	*expires = ktime_add_ns(ktime_get(), ns);
	return true;
}

static enum hrtimer_restart apic_timer_fn(struct hrtimer *hrtimer)
{
	struct mv_apic_timer *t = container_of(hrtimer, struct mv_apic_timer, hrtimer);
	struct mv_lapic *lapic = container_of(t, struct mv_lapic, timer);
	enum hrtimer_restart restart = HRTIMER_NORESTART;
	ktime_t expires, now = ktime_get();
	bool fire = false;
	u64 period;

	raw_spin_lock(&t->lock);
	/* Started anew while this expiry was on its way: that one counts. */
	if (hrtimer_is_queued(hrtimer))
		goto out;

	if (in_deadline_mode(lapic)) {
		t->armed = 0;
		if (!t->deadline)
			goto out;
		fire = !aim_at_deadline(lapic, &expires);
		if (fire)
			goto out;
	} else {
		if (!t->expiry)
			goto out;
		fire = t->expiry <= now;
		if (fire && lapic_timer_mode(lapic) != APIC_LVT_TIMER_PERIODIC) {
			t->expiry = 0;
			goto out;
		}
		if (fire) {
			period = max_t(u64, t->period, MV_MIN_TIMER_PERIOD_NS);
			t->expiry += period * (div64_u64(now - t->expiry, period) + 1);
		}
		expires = t->expiry;
	}
	hrtimer_set_expires(hrtimer, expires);
	restart = HRTIMER_RESTART;
out:
	raw_spin_unlock(&t->lock);
	if (fire)
		mv_lapic_local(lapic, APIC_LVTT, NULL);
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
void mv_apic_timer_stop(struct mv_lapic *lapic)
{
	struct mv_apic_timer *t = &lapic->timer;
	unsigned long flags;

	raw_spin_lock_irqsave(&t->lock, flags);
	t->deadline = 0;
	t->armed = 0;
	t->expiry = 0;
	hrtimer_try_to_cancel(&t->hrtimer);
	raw_spin_unlock_irqrestore(&t->lock, flags);
}

/* Counting from @count, which is the initial count unless state is restored. */
void mv_apic_timer_start(struct mv_lapic *lapic, u32 count)
{
	struct mv_apic_timer *t = &lapic->timer;
	u64 unit = t->divide;
	unsigned long flags;

	mv_apic_timer_stop(lapic);
	if (in_deadline_mode(lapic) || !count)
		return;
	raw_spin_lock_irqsave(&t->lock, flags);
	t->period = lapic_reg(lapic, APIC_TMICT) * unit;
	t->expiry = ktime_add_ns(ktime_get(), count * unit);
	hrtimer_start(&t->hrtimer, t->expiry, HRTIMER_MODE_ABS_HARD);
	raw_spin_unlock_irqrestore(&t->lock, flags);
}

u32 mv_apic_timer_count(struct mv_lapic *lapic)
{
	struct mv_apic_timer *t = &lapic->timer;
	unsigned long flags;
	s64 left = 0;

	raw_spin_lock_irqsave(&t->lock, flags);
	if (!in_deadline_mode(lapic) && t->expiry)
		left = max_t(s64, ktime_sub(t->expiry, ktime_get()), 0);
	raw_spin_unlock_irqrestore(&t->lock, flags);
	/* A period that was too short for the host shows as the initial count. */
	return min_t(u64, left / t->divide, lapic_reg(lapic, APIC_TMICT));
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

	if (!lapic || !in_deadline_mode(lapic))
		return 0;
	return READ_ONCE(lapic->timer.deadline);
}

void mv_lapic_set_tsc_deadline(struct mv_vcpu *vcpu, u64 val)
{
	struct mv_lapic *lapic = vcpu->lapic;
	struct mv_apic_timer *t;
	unsigned long flags;
	ktime_t expires;
	bool fire = false;

	if (!lapic || !lapic_hw_enabled(lapic) || !in_deadline_mode(lapic))
		return;

	t = &lapic->timer;
	raw_spin_lock_irqsave(&t->lock, flags);
	t->deadline = val;
	if (val && !(t->armed && val >= t->armed && t->armed_offset == vcpu->tsc_offset)) {
		fire = !aim_at_deadline(lapic, &expires);
		if (!fire)
			hrtimer_start(&t->hrtimer, expires, HRTIMER_MODE_ABS_HARD);
	}
	raw_spin_unlock_irqrestore(&t->lock, flags);
	if (fire)
		mv_lapic_local(lapic, APIC_LVTT, vcpu);
}
