// SPDX-License-Identifier: GPL-2.0-only
/* The guest's time-stamp counter: its rate and its offset to the host's. SDM vol. 3B, 18.17. */
#include <linux/math64.h>
#include <linux/uaccess.h>
#include <asm/tsc.h>

#include "base/backend.h"
#include "cpu/tsc.h"
#include "irq/irq.h"
#include "time/time.h"

static void tsc_changed(struct mv_vcpu *vcpu)
{
	mv_clock_tsc_changed(vcpu);
	mv_lapic_tsc_changed(vcpu);
}

void mv_set_tsc_offset(struct mv_vcpu *vcpu, u64 offset)
{
	vcpu->tsc_offset = offset;
	mv_backend->update_tsc(vcpu);
	tsc_changed(vcpu);
}

/*
 * Userspace sets up one vCPU after the other, but means them to agree: a value
 * of 0, or one less than a second off what the VM's TSC is, is the VM's.
 */
void mv_set_tsc_from_host(struct mv_vcpu *vcpu, u64 val)
{
	u64 offset, second = vcpu->tsc_khz * 1000ull;
	struct mv_vm *vm = vcpu->vm;

	spin_lock(&vm->tsc_lock);
	offset = val - (mv_read_tsc(vcpu) - vcpu->tsc_offset);
	if (vcpu->tsc_khz == vm->tsc_synced_khz &&
	    (!val || offset - vm->tsc_offset + second < 2 * second)) {
		offset = vm->tsc_offset;
	} else {
		vm->tsc_offset = offset;
		vm->tsc_synced_khz = vcpu->tsc_khz;
	}
	spin_unlock(&vm->tsc_lock);
	mv_set_tsc_offset(vcpu, offset);
}

/* ---- its rate ---- */

/* Without TSC scaling it is the host's; 250 ppm off is within what NTP corrects. */
static int khz_to_ratio(u32 khz, u64 *ratio)
{
	u32 tolerance = tsc_khz / 4000;

	*ratio = 0;
	if (khz - (tsc_khz - tolerance) <= 2 * tolerance)
		return 0;
	if (!mv_backend->tsc_frac_bits || !tsc_khz || khz >= S32_MAX)
		return -EINVAL;
	*ratio = mul_u64_u32_div(1ull << mv_backend->tsc_frac_bits, khz, tsc_khz);
	return *ratio ? 0 : -EINVAL;
}

static int set_rate(struct mv_vcpu *vcpu, u32 khz)
{
	u64 ratio;
	int r = khz_to_ratio(khz, &ratio);

	if (r)
		return r;
	vcpu->tsc_khz = khz;
	vcpu->tsc_ratio = ratio;
	mv_backend->update_tsc(vcpu);
	tsc_changed(vcpu);
	return 0;
}

long mv_set_tsc_khz(struct mv_vcpu *vcpu, u32 khz)
{
	return set_rate(vcpu, khz ?: tsc_khz);
}

/* Of the vCPUs that are created from now on. */
long mv_vm_set_tsc_khz(struct mv_vm *vm, u32 khz)
{
	u64 ratio;
	int r;

	khz = khz ?: tsc_khz;
	r = khz_to_ratio(khz, &ratio);
	if (!r)
		WRITE_ONCE(vm->tsc_khz, khz);
	return r;
}

/* The VM's TSC begins at 0 with its first vCPU. */
void mv_tsc_reset(struct mv_vcpu *vcpu)
{
	vcpu->tsc_adjust = 0;
	set_rate(vcpu, READ_ONCE(vcpu->vm->tsc_khz));
	mv_set_tsc_from_host(vcpu, 0);
}

/* ---- KVM_VCPU_TSC_CTRL, a group of device attributes: the offset, exactly ---- */

long mv_tsc_attr(struct mv_vcpu *vcpu, unsigned int nr, const struct kvm_device_attr __user *arg)
{
	struct mv_vm *vm = vcpu->vm;
	struct kvm_device_attr attr;
	u64 __user *val;
	u64 offset;

	if (copy_from_user(&attr, arg, sizeof(attr)))
		return -EFAULT;
	if (attr.group != KVM_VCPU_TSC_CTRL || attr.attr != KVM_VCPU_TSC_OFFSET)
		return -ENXIO;
	val = u64_to_user_ptr(attr.addr);
	switch (nr) {
	case KVM_GET_DEVICE_ATTR:
		return put_user(vcpu->tsc_offset, val);
	case KVM_SET_DEVICE_ATTR:
		if (get_user(offset, val))
			return -EFAULT;
		spin_lock(&vm->tsc_lock);
		vm->tsc_offset = offset;
		vm->tsc_synced_khz = vcpu->tsc_khz;
		spin_unlock(&vm->tsc_lock);
		mv_set_tsc_offset(vcpu, offset);
		return 0;
	default:
		return 0; /* KVM_HAS_DEVICE_ATTR */
	}
}
