// SPDX-License-Identifier: GPL-2.0-only
/*
 * kvmclock: the guest computes its time from the TSC by a line that the host
 * gives it. Documentation/hypercalls.md.
 *
 * While the host's own clock is the TSC and all vCPUs have the same TSC, they
 * all get one line, and are told that what they read is comparable: the
 * "master" state. Else each gets a line of its own, anew on each CPU it comes to.
 */
#include <linux/clocksource.h>
#include <linux/irq_work.h>
#include <linux/pvclock_gtod.h>
#include <linux/timekeeper_internal.h>
#include <linux/timekeeping.h>
#include <linux/uaccess.h>
#include <linux/workqueue.h>
#include <uapi/linux/kvm_para.h>
#include <asm/pvclock.h>
#include <asm/tsc.h>

#include "base/request.h"
#include "mmu/memory.h"
#include "time/time.h"

static bool host_on_tsc; /* the host's clocksource is the TSC */

/* All VMs' clocks, for when that changes. */
static LIST_HEAD(clocks);
static DEFINE_MUTEX(clocks_lock);

/* ---- the host's time ---- */

/* One moment: the TSC, the time since boot that NTP does not slew, and the time of day. */
struct moment {
	u64 tsc, ns, real;
};

static u64 host_ns(void)
{
	return ktime_to_ns(ktime_mono_to_any(ktime_get_raw(), TK_OFFS_BOOT));
}

/* False: the host's clock is not the TSC, so all that there is of it is for now. */
static bool get_moment(struct moment *m)
{
	struct system_time_snapshot snapshot;

	ktime_get_snapshot(&snapshot);
	m->tsc = snapshot.cycles;
	m->ns = ktime_to_ns(ktime_mono_to_any(snapshot.raw, TK_OFFS_BOOT));
	m->real = ktime_to_ns(snapshot.real);
	/* Changed within the timekeeper's write section, so after a snapshot by another clock. */
	return READ_ONCE(host_on_tsc);
}

/* ns = cycles * 2^shift * mul / 2^32, with 32 significant bits in mul. */
static void get_scale(u32 khz, s8 *shift, u32 *mul)
{
	u64 ns_per_cycle = div_u64(1000000ull << 40, khz);
	int bits = fls64(ns_per_cycle);

	*shift = bits - 40;
	*mul = bits > 32 ? ns_per_cycle >> (bits - 32) : ns_per_cycle << (32 - bits);
}

/* ---- the line ---- */

static bool tscs_agree(struct mv_vm *vm)
{
	struct mv_vcpu *vcpu, *first = xa_load(&vm->vcpus, 0);
	int i;

	mv_for_each_vcpu(i, vcpu, vm)
		if (READ_ONCE(vcpu->tsc_offset) != READ_ONCE(first->tsc_offset) ||
		    READ_ONCE(vcpu->tsc_ratio) != READ_ONCE(first->tsc_ratio))
			return false;
	return i > 0;
}

/*
 * A new line for all, or none. No vCPU runs on with the old one while another
 * has the new one: when the request is seen, mv_clock_update() waits for the lock.
 */
static void restart(struct mv_vm *vm)
{
	struct mv_clock *clock = &vm->clock;
	struct moment now;

	lockdep_assert_held(&clock->lock);
	mv_request_all(vm, MV_REQ_CLOCK, true);
	clock->master = get_moment(&now) && tscs_agree(vm);
	clock->tsc = now.tsc;
	clock->ns = now.ns;
}

void mv_clock_check(struct mv_vm *vm)
{
	struct mv_clock *clock = &vm->clock;

	mutex_lock(&clock->lock);
	if (clock->master != (READ_ONCE(host_on_tsc) && tscs_agree(vm)))
		restart(vm);
	mutex_unlock(&clock->lock);
}

void mv_clock_tsc_changed(struct mv_vcpu *vcpu)
{
	mv_request(vcpu, MV_REQ_CLOCK);
	mv_clock_check(vcpu->vm);
}

/* The guest's time and, with the flags for them, the host's TSC and time of day. */
static void get_clock(struct mv_vm *vm, struct kvm_clock_data *data)
{
	struct mv_clock *clock = &vm->clock;
	struct moment now;
	s8 shift;
	u32 mul;

	lockdep_assert_held(&clock->lock);
	memset(data, 0, sizeof(*data));
	if (get_moment(&now) && clock->master) {
		get_scale(tsc_khz, &shift, &mul);
		data->flags = KVM_CLOCK_TSC_STABLE | KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC;
		data->host_tsc = now.tsc;
		now.ns = clock->ns + pvclock_scale_delta(now.tsc - clock->tsc, mul, shift);
	}
	data->realtime = now.real;
	data->clock = now.ns + clock->offset;
}

/**
 * mv_write_versioned() - change what vCPUs of the guest may be reading
 * @vm: whose memory it is
 * @gpa: where
 * @data: the new contents, with the version that is there now
 * @len: of it, in bytes
 * @offset: of the version, a u32: even, but odd while the rest changes
 *
 * Return: 0, or -EFAULT where there is no memory. Sleeps.
 */
int mv_write_versioned(struct mv_vm *vm, gpa_t gpa, void *data, size_t len, size_t offset)
{
	u32 *version = data + offset;

	*version = (*version + 1) | 1;
	if (mv_write_guest(vm, gpa + offset, version, sizeof(*version)))
		return -EFAULT;
	smp_wmb(); /* Readers see the odd version before anything else that is new, */
	if (mv_write_guest(vm, gpa, data, len))
		return -EFAULT;
	smp_wmb(); /* and all of it before the even one. */
	++*version;
	return mv_write_guest(vm, gpa + offset, version, sizeof(*version));
}

/* Flags that the guest has not cleared stay. */
static void write_line(struct mv_vcpu *vcpu, struct pvclock_vcpu_time_info *line)
{
	gpa_t gpa = vcpu->msr.pv_clock & ~(u64)KVM_MSR_ENABLED;
	struct pvclock_vcpu_time_info old;

	if (mv_read_guest(vcpu->vm, gpa, &old, sizeof(old)))
		return;
	line->version = old.version;
	line->flags |= old.flags & PVCLOCK_GUEST_STOPPED;
	if (vcpu->pv.stopped)
		line->flags |= PVCLOCK_GUEST_STOPPED;
	if (!mv_write_versioned(vcpu->vm, gpa, line, sizeof(*line),
				offsetof(struct pvclock_vcpu_time_info, version)))
		vcpu->pv.stopped = false;
}

/* Before entry, for MV_REQ_CLOCK. */
void mv_clock_update(struct mv_vcpu *vcpu)
{
	struct mv_clock *clock = &vcpu->vm->clock;
	struct pvclock_vcpu_time_info line = {};
	u64 tsc, ns;

	if (!(vcpu->msr.pv_clock & KVM_MSR_ENABLED))
		return;
	mutex_lock(&clock->lock);
	if (clock->master) {
		tsc = clock->tsc;
		ns = clock->ns;
		line.flags = PVCLOCK_TSC_STABLE_BIT;
	} else {
		/* On the CPU where the vCPU runs next; elsewhere it is made again. */
		local_irq_disable();
		tsc = rdtsc();
		ns = host_ns();
		local_irq_enable();
	}
	line.system_time = ns + clock->offset;
	mutex_unlock(&clock->lock);
	line.tsc_timestamp = mv_guest_tsc(vcpu, tsc);
	/* A rate that was set without need of scaling is the host's in fact. */
	get_scale(vcpu->tsc_ratio ? vcpu->tsc_khz : tsc_khz, &line.tsc_shift,
		  &line.tsc_to_system_mul);
	write_line(vcpu, &line);
}

/* ---- MSRs ---- */

int mv_set_pv_clock(struct mv_vcpu *vcpu, u32 msr, u64 val, bool host)
{
	vcpu->msr.pv_clock = val;
	mv_request(vcpu, MV_REQ_CLOCK);
	return 0;
}

int mv_get_wall_clock(struct mv_vcpu *vcpu, u32 msr, u64 *val, bool host)
{
	*val = READ_ONCE(vcpu->vm->clock.wall);
	return 0;
}

/* The time of day at which the guest's clock was 0, written once to the address @val. */
int mv_set_wall_clock(struct mv_vcpu *vcpu, u32 msr, u64 val, bool host)
{
	struct mv_vm *vm = vcpu->vm;
	struct pvclock_wall_clock wall;
	struct kvm_clock_data now;
	u32 nsec;

	WRITE_ONCE(vm->clock.wall, val);
	if (!val || mv_read_guest(vm, val, &wall, sizeof(wall)))
		return 0;
	mutex_lock(&vm->clock.lock);
	get_clock(vm, &now);
	mutex_unlock(&vm->clock.lock);
	wall.sec = div_u64_rem(now.realtime - now.clock, NSEC_PER_SEC, &nsec);
	wall.nsec = nsec;
	mv_write_versioned(vm, val, &wall, sizeof(wall),
			   offsetof(struct pvclock_wall_clock, version));
	return 0;
}

/* ---- ioctls, the hypercall ---- */

long mv_kvmclock_ctrl(struct mv_vcpu *vcpu)
{
	if (!(vcpu->msr.pv_clock & KVM_MSR_ENABLED))
		return -EINVAL;
	vcpu->pv.stopped = true;
	mv_request(vcpu, MV_REQ_CLOCK);
	return 0;
}

long mv_get_clock(struct mv_vm *vm, struct kvm_clock_data __user *arg)
{
	struct kvm_clock_data data;

	mutex_lock(&vm->clock.lock);
	get_clock(vm, &data);
	mutex_unlock(&vm->clock.lock);
	return copy_to_user(arg, &data, sizeof(data)) ? -EFAULT : 0;
}

long mv_set_clock(struct mv_vm *vm, const struct kvm_clock_data __user *arg)
{
	struct mv_clock *clock = &vm->clock;
	struct kvm_clock_data data;
	u64 real;

	if (copy_from_user(&data, arg, sizeof(data)))
		return -EFAULT;
	/* What KVM_GET_CLOCK has given is accepted whole, though one flag matters. */
	if (data.flags & ~MV_CLOCK_FLAGS)
		return -EINVAL;
	mutex_lock(&clock->lock);
	restart(vm);
	real = ktime_get_real_ns();
	if ((data.flags & KVM_CLOCK_REALTIME) && real > data.realtime)
		data.clock += real - data.realtime;
	clock->offset = data.clock - (clock->master ? clock->ns : host_ns());
	mutex_unlock(&clock->lock);
	return 0;
}

/* KVM_HC_CLOCK_PAIRING: the time of day and the guest's TSC at one moment, to @gpa. */
s64 mv_clock_pairing(struct mv_vcpu *vcpu, gpa_t gpa, u64 type)
{
	struct kvm_clock_pairing pairing = {};
	struct moment now;
	u32 nsec;

	if (type != KVM_CLOCK_PAIRING_WALLCLOCK || !get_moment(&now))
		return -KVM_EOPNOTSUPP;
	pairing.sec = div_u64_rem(now.real, NSEC_PER_SEC, &nsec);
	pairing.nsec = nsec;
	pairing.tsc = mv_guest_tsc(vcpu, now.tsc);
	return mv_write_guest(vcpu->vm, gpa, &pairing, sizeof(pairing)) ? -KVM_EFAULT : 0;
}

/* ---- changes of the host's clock ---- */

void mv_clock_restart_all(void)
{
	struct mv_clock *clock;

	mutex_lock(&clocks_lock);
	list_for_each_entry(clock, &clocks, node) {
		mutex_lock(&clock->lock);
		restart(container_of(clock, struct mv_vm, clock));
		mutex_unlock(&clock->lock);
	}
	mutex_unlock(&clocks_lock);
}

static void host_changed_work(struct work_struct *work)
{
	mv_clock_restart_all();
}

static DECLARE_WORK(host_work, host_changed_work);

static void host_changed_irq(struct irq_work *work)
{
	schedule_work(&host_work);
}

static DEFINE_IRQ_WORK(host_irq_work, host_changed_irq);

/* With the timekeeper's lock held, which the scheduler takes: so work is queued from elsewhere. */
static int host_time_updated(struct notifier_block *nb, unsigned long was_set, void *data)
{
	const struct timekeeper *tk = data;
	bool on_tsc = tk->tkr_mono.clock->vdso_clock_mode == VDSO_CLOCKMODE_TSC;

	if (on_tsc != host_on_tsc) {
		WRITE_ONCE(host_on_tsc, on_tsc);
		irq_work_queue(&host_irq_work);
	}
	return NOTIFY_OK;
}

static struct notifier_block host_time_nb = { .notifier_call = host_time_updated };

void mv_clock_init(void)
{
	pvclock_gtod_register_notifier(&host_time_nb);
}

void mv_clock_exit(void)
{
	pvclock_gtod_unregister_notifier(&host_time_nb);
	irq_work_sync(&host_irq_work);
	cancel_work_sync(&host_work);
}

void mv_clock_init_vm(struct mv_vm *vm)
{
	mutex_init(&vm->clock.lock);
	vm->clock.offset = -host_ns();
	mutex_lock(&clocks_lock);
	list_add(&vm->clock.node, &clocks);
	mutex_unlock(&clocks_lock);
}

void mv_clock_destroy_vm(struct mv_vm *vm)
{
	mutex_lock(&clocks_lock);
	list_del(&vm->clock.node);
	mutex_unlock(&clocks_lock);
}
