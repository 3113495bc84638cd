// SPDX-License-Identifier: GPL-2.0-only
/*
 * The 8254 interval timer and the port of the speaker: Intel 8254 data sheet,
 * 231164-005.  Channel 0 raises GSI 0; channel 2 is the speaker's.
 */
#include <linux/math64.h>
#include <linux/nospec.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "irq/chips.h"

#define PIT_HZ 1193182
#define PIT_PORT 0x40
#define PIT_CONTROL 3 /* offset of the control word */
#define SPEAKER_PORT 0x61

/* Which byte comes next: kvm_pit_channel_state.read_state, write_state, count_latched. */
enum { RW_NONE, RW_LOW, RW_HIGH, RW_BOTH, RW_BOTH_HIGH };

/* The mode before the first control word. */
#define MODE_NONE 0xff

/* ---- counting ------------------------------------------------------------- */

/* Clocks since the count was loaded. */
static u64 elapsed(struct kvm_pit_channel_state *c)
{
	return mul_u64_u32_div(max_t(s64, ktime_get() - c->count_load_time, 0), PIT_HZ,
			       NSEC_PER_SEC);
}

static u32 current_count(struct kvm_pit_channel_state *c)
{
	u64 d = elapsed(c);

	switch (c->mode) {
	case 0:
	case 1:
	case 4:
	case 5:
		return (c->count - d) & 0xffff;
	case 3:
		return c->count - 2 * d % c->count;
	default:
		return c->count - d % c->count;
	}
}

/* The OUT pin. */
static bool output(struct kvm_pit_channel_state *c)
{
	u64 d = elapsed(c);

	switch (c->mode) {
	case 0:
		return d >= c->count;
	case 1:
		return d < c->count;
	case 2:
		return d && !(d % c->count);
	case 3:
		return d % c->count < (c->count + 1) >> 1;
	case 4:
	case 5:
		return d == c->count;
	default:
		return false;
	}
}

/* ---- channel 0's interrupt ------------------------------------------------ */

static void raise_tick(struct mv_irqchip *chips)
{
	struct mv_pit *pit = chips->pit;
	struct mv_vcpu *vcpu;
	int i;

	if (pit->reinject && !pit->acked)
		return;
	pit->acked = false;

	mv_set_irq_locked(chips, MV_PIT_GSI, 1, MV_IRQ_SOURCE_PIT);
	mv_set_irq_locked(chips, MV_PIT_GSI, 0, MV_IRQ_SOURCE_PIT);

	/* The NMI watchdog of old kernels: the tick by LINT0 to every vCPU that asks. */
	if (atomic_read(&chips->lint0_nmi)) {
		mv_for_each_vcpu(i, vcpu, chips->vm) {
			if ((lapic_reg(vcpu->lapic, APIC_LVT0) & APIC_MODE_MASK) == APIC_DM_NMI)
				mv_lapic_local(vcpu->lapic, APIC_LVT0, NULL);
		}
	}
}

/*
 * In softirq context: an expiry may interrupt many vCPUs, as the guest has
 * programmed the IOAPIC, and that is not for a hard interrupt.
 */
static enum hrtimer_restart pit_timer_fn(struct hrtimer *timer)
{
	struct mv_pit *pit = container_of(timer, struct mv_pit, timer);
	struct mv_irqchip *chips = pit->chips;
	enum hrtimer_restart restart = HRTIMER_NORESTART;

	spin_lock(&chips->vm->irq_lock);
	/* Stopped, or started anew, while this expiry was on its way. */
	if (!pit->running || hrtimer_is_queued(timer))
		goto out;

	if (pit->period) {
		pit->owed += hrtimer_forward_now(timer, pit->period);
		restart = HRTIMER_RESTART;
	} else {
		pit->owed++;
		pit->running = false;
	}
	raise_tick(chips);
out:
	spin_unlock(&chips->vm->irq_lock);
	return restart;
}

/* The guest has dealt with a tick: the next one, if it is overdue. */
void mv_pit_acked(struct mv_irqchip *chips)
{
	struct mv_pit *pit = chips->pit;

	pit->acked = true;
	if (pit->owed && --pit->owed)
		raise_tick(chips);
}

/* The tick that waits for its end may be in no state any more: the next one need not wait. */
void mv_pit_state_replaced(struct mv_irqchip *chips)
{
	if (chips->pit)
		chips->pit->acked = true;
}

void mv_pit_forget_ticks(struct mv_irqchip *chips)
{
	chips->pit->acked = true;
	chips->pit->owed = 0;
}

static void start_timer(struct mv_irqchip *chips)
{
	struct mv_pit *pit = chips->pit;
	struct kvm_pit_channel_state *c = &pit->s.channels[0];
	u64 ns = mul_u64_u32_div(c->count, NSEC_PER_SEC, PIT_HZ);

	pit->running = false;
	hrtimer_try_to_cancel(&pit->timer);
	if (pit->s.flags & KVM_PIT_FLAGS_HPET_LEGACY)
		return;

	switch (c->mode) {
	case 0:
	case 1:
	case 4:
		pit->period = 0;
		break;
	case 2:
	case 3:
		pit->period = max_t(u64, ns, MV_MIN_TIMER_PERIOD_NS);
		break;
	default:
		return;
	}
	mv_pit_forget_ticks(chips);
	pit->running = true;
	hrtimer_start(&pit->timer, ktime_add_ns(ktime_get(), ns), HRTIMER_MODE_ABS_SOFT);
}

/* ---- ports ---------------------------------------------------------------- */

static void load_count(struct mv_irqchip *chips, int channel, u32 count)
{
	struct kvm_pit_channel_state *c = &chips->pit->s.channels[channel];

	c->count = count ?: 0x10000;
	c->count_load_time = ktime_get();
	if (channel == 0)
		start_timer(chips);
}

static void latch_count(struct kvm_pit_channel_state *c)
{
	if (c->count_latched)
		return;
	c->latched_count = current_count(c);
	c->count_latched = c->rw_mode;
}

static void latch_status(struct kvm_pit_channel_state *c)
{
	if (c->status_latched)
		return;
	/* Bit 6, null count, stays clear: a count takes effect at once. */
	c->status = output(c) << 7 | c->rw_mode << 4 | (c->mode & 7) << 1 | c->bcd;
	c->status_latched = 1;
}

static void write_control(struct mv_pit *pit, u8 val)
{
	struct kvm_pit_channel_state *c;
	int channel = val >> 6, rw = val >> 4 & 3;

	if (channel == 3) {
		/* Read-back: bits 3:1 choose the channels. */
		for (channel = 0; channel < 3; channel++) {
			c = &pit->s.channels[channel];
			if (!(val & 2 << channel))
				continue;
			if (!(val & 0x20))
				latch_count(c);
			if (!(val & 0x10))
				latch_status(c);
		}
		return;
	}

	c = &pit->s.channels[array_index_nospec(channel, 3)];
	if (rw == RW_NONE) {
		latch_count(c);
		return;
	}
	c->rw_mode = rw;
	c->read_state = rw;
	c->write_state = rw;
	c->mode = val >> 1 & 7;
	if (c->mode > 5)
		c->mode -= 4;
	c->bcd = val & 1;
}

static void write_count(struct mv_irqchip *chips, int channel, u8 val)
{
	struct kvm_pit_channel_state *c = &chips->pit->s.channels[channel];

	switch (c->write_state) {
	case RW_HIGH:
		load_count(chips, channel, val << 8);
		break;
	case RW_BOTH:
		c->write_latch = val;
		c->write_state = RW_BOTH_HIGH;
		break;
	case RW_BOTH_HIGH:
		c->write_state = RW_BOTH;
		load_count(chips, channel, c->write_latch | val << 8);
		break;
	default:
		load_count(chips, channel, val);
		break;
	}
}

static u8 read_latched(struct kvm_pit_channel_state *c)
{
	switch (c->count_latched) {
	case RW_BOTH:
		c->count_latched = RW_HIGH;
		return c->latched_count;
	case RW_HIGH:
		c->count_latched = RW_NONE;
		return c->latched_count >> 8;
	default:
		c->count_latched = RW_NONE;
		return c->latched_count;
	}
}

static u8 read_count(struct kvm_pit_channel_state *c)
{
	if (c->status_latched) {
		c->status_latched = 0;
		return c->status;
	}
	if (c->count_latched)
		return read_latched(c);
	switch (c->read_state) {
	case RW_BOTH:
		c->read_state = RW_BOTH_HIGH;
		return current_count(c);
	case RW_BOTH_HIGH:
		c->read_state = RW_BOTH;
		fallthrough;
	case RW_HIGH:
		return current_count(c) >> 8;
	default:
		return current_count(c);
	}
}

static int pit_read(struct mv_io_device *dev, struct mv_vcpu *vcpu, u64 port, int len, void *data)
{
	struct mv_pit *pit = container_of(dev, struct mv_pit, dev);
	struct kvm_pit_channel_state *c = &pit->s.channels[array_index_nospec(port & 3, 3)];

	if ((port & 3) == PIT_CONTROL)
		return 0;
	spin_lock_bh(&pit->chips->vm->irq_lock);
	*(u8 *)data = read_count(c);
	spin_unlock_bh(&pit->chips->vm->irq_lock);
	return 0;
}

static int pit_write(struct mv_io_device *dev, struct mv_vcpu *vcpu, u64 port, int len,
		     const void *data)
{
	struct mv_pit *pit = container_of(dev, struct mv_pit, dev);
	u8 val = *(const u8 *)data;
	int channel = port & 3;

	spin_lock_bh(&pit->chips->vm->irq_lock);
	if (channel == PIT_CONTROL)
		write_control(pit, val);
	else
		write_count(pit->chips, array_index_nospec(channel, 3), val);
	spin_unlock_bh(&pit->chips->vm->irq_lock);
	return 0;
}

static int speaker_read(struct mv_io_device *dev, struct mv_vcpu *vcpu, u64 port, int len,
			void *data)
{
	struct mv_pit *pit = container_of(dev, struct mv_pit, speaker);
	struct kvm_pit_channel_state *c = &pit->s.channels[2];
	/* The DRAM refresh toggles every 15 us; 2^14 ns is near enough. */
	u8 refresh = ktime_get() >> 14 & 1;

	spin_lock_bh(&pit->chips->vm->irq_lock);
	*(u8 *)data = c->gate | !!(pit->s.flags & KVM_PIT_FLAGS_SPEAKER_DATA_ON) << 1 |
		      refresh << 4 | output(c) << 5;
	spin_unlock_bh(&pit->chips->vm->irq_lock);
	return 0;
}

static int speaker_write(struct mv_io_device *dev, struct mv_vcpu *vcpu, u64 port, int len,
			 const void *data)
{
	struct mv_pit *pit = container_of(dev, struct mv_pit, speaker);
	struct kvm_pit_channel_state *c = &pit->s.channels[2];
	u8 val = *(const u8 *)data, gate = val & 1;

	spin_lock_bh(&pit->chips->vm->irq_lock);
	/* Modes 1, 2, 3 and 5 begin anew when the gate opens. */
	if (gate && !c->gate && c->mode != 0 && c->mode != 4)
		c->count_load_time = ktime_get();
	c->gate = gate;
	if (val & 2)
		pit->s.flags |= KVM_PIT_FLAGS_SPEAKER_DATA_ON;
	else
		pit->s.flags &= ~KVM_PIT_FLAGS_SPEAKER_DATA_ON;
	spin_unlock_bh(&pit->chips->vm->irq_lock);
	return 0;
}

static const struct mv_io_ops pit_ops = { .read = pit_read, .write = pit_write };
static const struct mv_io_ops speaker_ops = { .read = speaker_read, .write = speaker_write };

/* ---- creation and state --------------------------------------------------- */

int mv_pit_create(struct mv_vm *vm, const struct kvm_pit_config *cfg)
{
	struct mv_irqchip *chips = vm->irqchip;
	struct mv_pit *pit;
	int i, err;

	lockdep_assert_held(&vm->lock);
	if (!chips)
		return -ENOENT;
	if (chips->pit)
		return -EEXIST;

	pit = kzalloc(sizeof(*pit), GFP_KERNEL_ACCOUNT);
	if (!pit)
		return -ENOMEM;
	pit->chips = chips;
	pit->dev.ops = &pit_ops;
	pit->speaker.ops = &speaker_ops;
	pit->reinject = true;
	pit->acked = true;
	hrtimer_init(&pit->timer, CLOCK_MONOTONIC, HRTIMER_MODE_ABS_SOFT);
	pit->timer.function = pit_timer_fn;
	for (i = 0; i < 3; i++) {
		pit->s.channels[i].mode = MODE_NONE;
		pit->s.channels[i].gate = i != 2;
		pit->s.channels[i].count = 0x10000;
		pit->s.channels[i].count_load_time = ktime_get();
	}

	spin_lock_bh(&vm->irq_lock);
	chips->pit = pit;
	mv_ioapic_update_eoi_vectors(chips);
	spin_unlock_bh(&vm->irq_lock);

	mutex_lock(&vm->slots_lock);
	err = mv_bus_register(vm, MV_PIO_BUS, PIT_PORT, 4, &pit->dev);
	if (!err && cfg->flags & KVM_PIT_SPEAKER_DUMMY)
		err = mv_bus_register(vm, MV_PIO_BUS, SPEAKER_PORT, 1, &pit->speaker);
	if (err)
		mv_bus_unregister(vm, MV_PIO_BUS, &pit->dev);
	mutex_unlock(&vm->slots_lock);
	if (err)
		mv_pit_destroy(chips);
	return err;
}

void mv_pit_destroy(struct mv_irqchip *chips)
{
	struct mv_pit *pit = chips->pit;

	if (!pit)
		return;
	spin_lock_bh(&chips->vm->irq_lock);
	chips->pit = NULL;
	pit->running = false;
	spin_unlock_bh(&chips->vm->irq_lock);
	hrtimer_cancel(&pit->timer);
	kfree(pit);
}

/* The channels as userspace has them; each count starts again from its beginning. */
static void set_state(struct mv_irqchip *chips, const struct kvm_pit_state2 *s)
{
	struct mv_pit *pit = chips->pit;
	int i;

	spin_lock_bh(&chips->vm->irq_lock);
	pit->s.flags = s->flags;
	memcpy(pit->s.channels, s->channels, sizeof(pit->s.channels));
	for (i = 0; i < 3; i++)
		load_count(chips, i, s->channels[i].count);
	spin_unlock_bh(&chips->vm->irq_lock);
}

static void set_reinject(struct mv_irqchip *chips, bool reinject)
{
	struct mv_pit *pit = chips->pit;

	spin_lock_bh(&chips->vm->irq_lock);
	if (pit->reinject != reinject) {
		pit->reinject = reinject;
		mv_pit_forget_ticks(chips);
		mv_ioapic_update_eoi_vectors(chips);
	}
	spin_unlock_bh(&chips->vm->irq_lock);
}

static void get_state(struct mv_irqchip *chips, struct kvm_pit_state2 *s)
{
	spin_lock_bh(&chips->vm->irq_lock);
	*s = chips->pit->s;
	spin_unlock_bh(&chips->vm->irq_lock);
}

/* vm->lock held: the PIT is there for good, or not. */
static long pit_ioctl(struct mv_irqchip *chips, unsigned int nr, struct kvm_pit_state2 *s,
		      bool reinject)
{
	if (!chips || !chips->pit)
		return -ENXIO;
	switch (nr) {
	case KVM_GET_PIT:
	case KVM_GET_PIT2:
		get_state(chips, s);
		break;
	case KVM_SET_PIT:
		s->flags = chips->pit->s.flags;
		fallthrough;
	case KVM_SET_PIT2:
		set_state(chips, s);
		break;
	default: /* KVM_REINJECT_CONTROL */
		set_reinject(chips, reinject);
	}
	return 0;
}

long mv_pit_ioctl(struct mv_vm *vm, unsigned int nr, void __user *arg)
{
	struct kvm_reinject_control control = {};
	struct kvm_pit_state2 s = {};
	/* KVM_GET_PIT and KVM_SET_PIT know the channels alone, which come first. */
	const size_t channels = sizeof(struct kvm_pit_state);
	long r;

	BUILD_BUG_ON(sizeof(struct kvm_pit_state) != offsetof(struct kvm_pit_state2, flags));

	if ((nr == KVM_SET_PIT && copy_from_user(&s, arg, channels)) ||
	    (nr == KVM_SET_PIT2 && copy_from_user(&s, arg, sizeof(s))) ||
	    (nr == KVM_REINJECT_CONTROL && copy_from_user(&control, arg, sizeof(control))))
		return -EFAULT;
	mutex_lock(&vm->lock);
	r = pit_ioctl(vm->irqchip, nr, &s, control.pit_reinject);
	mutex_unlock(&vm->lock);
	if (!r && ((nr == KVM_GET_PIT && copy_to_user(arg, &s, channels)) ||
		   (nr == KVM_GET_PIT2 && copy_to_user(arg, &s, sizeof(s)))))
		return -EFAULT;
	return r;
}
