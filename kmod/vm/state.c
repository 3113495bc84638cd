// SPDX-License-Identifier: GPL-2.0-only
/* The vCPU ioctls that read and write state: their table, and the small ones. */
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "base/request.h"
#include "cpu/cpuid.h"
#include "cpu/cr.h"
#include "cpu/debug.h"
#include "cpu/fpu.h"
#include "cpu/mce.h"
#include "cpu/msr.h"
#include "cpu/state.h"
#include "cpu/tsc.h"
#include "irq/irq.h"
#include "mmu/memory.h"
#include "run/run.h"
#include "vm/ioctl.h"

/* ---- what the vCPU is doing ---- */

static int get_mp_state(struct mv_vcpu *vcpu, void *buf)
{
	struct kvm_mp_state *mp = buf;

	mv_take_init_sipi(vcpu);
	mp->mp_state = vcpu->mp_state;
	if (mp->mp_state == KVM_MP_STATE_HALTED && vcpu->pv.unhalted)
		mp->mp_state = KVM_MP_STATE_RUNNABLE;
	return 0;
}

static int set_mp_state(struct mv_vcpu *vcpu, void *buf)
{
	u32 state = ((struct kvm_mp_state *)buf)->mp_state;

	switch (state) {
	case KVM_MP_STATE_RUNNABLE:
		break;
	case KVM_MP_STATE_UNINITIALIZED:
	case KVM_MP_STATE_HALTED:
	case KVM_MP_STATE_INIT_RECEIVED:
	case KVM_MP_STATE_SIPI_RECEIVED:
		/* The others are states of the local APIC's making. */
		if (!vcpu->lapic)
			return -EINVAL;
		break;
	default:
		return -EINVAL;
	}
	if (state == KVM_MP_STATE_SIPI_RECEIVED) {
		/* The run loop goes on from there as if the SIPI had just come. */
		state = KVM_MP_STATE_INIT_RECEIVED;
		set_bit(MV_APIC_SIPI, &vcpu->apic_events);
	}
	vcpu->mp_state = state;
	mv_request(vcpu, MV_REQ_EVENT);
	return 0;
}

static int translate(struct mv_vcpu *vcpu, void *buf)
{
	struct kvm_translation *tr = buf;
	gpa_t gpa;

	tr->valid = !mv_walk(vcpu, tr->linear_address, MV_ACCESS_READ, &gpa, NULL);
	tr->physical_address = tr->valid ? gpa : MV_INVALID_GPA;
	/* Which accesses are allowed is not told, as KVM does not tell it. */
	tr->writeable = 1;
	tr->usermode = 0;
	return 0;
}

/* ---- the table ---- */

/* The ioctl's number has the structure's size, and whether it goes in or out. */
static const struct state_ioctl {
	unsigned int nr;
	int (*fn)(struct mv_vcpu *vcpu, void *buf);
} state_ioctls[] = {
	{ KVM_GET_REGS, mv_get_regs },
	{ KVM_SET_REGS, mv_set_regs },
	{ KVM_GET_SREGS, mv_get_sregs },
	{ KVM_SET_SREGS, mv_set_sregs },
	{ KVM_GET_SREGS2, mv_get_sregs2 },
	{ KVM_SET_SREGS2, mv_set_sregs2 },
	{ KVM_GET_FPU, mv_get_fpu },
	{ KVM_SET_FPU, mv_set_fpu },
	{ KVM_GET_XSAVE, mv_get_xsave },
	{ KVM_GET_XSAVE2, mv_get_xsave },
	{ KVM_SET_XSAVE, mv_set_xsave },
	{ KVM_GET_XCRS, mv_get_xcrs },
	{ KVM_SET_XCRS, mv_set_xcrs },
	{ KVM_GET_DEBUGREGS, mv_get_debugregs },
	{ KVM_SET_DEBUGREGS, mv_set_debugregs },
	{ KVM_SET_GUEST_DEBUG, mv_set_guest_debug },
	{ KVM_GET_VCPU_EVENTS, mv_get_events },
	{ KVM_SET_VCPU_EVENTS, mv_set_events },
	{ KVM_GET_MP_STATE, get_mp_state },
	{ KVM_SET_MP_STATE, set_mp_state },
	{ KVM_GET_LAPIC, mv_lapic_get_state },
	{ KVM_SET_LAPIC, mv_lapic_set_state },
	{ KVM_SET_VAPIC_ADDR, mv_set_vapic_addr },
	{ KVM_TPR_ACCESS_REPORTING, mv_set_tpr_reporting },
	{ KVM_TRANSLATE, translate },
	{ KVM_X86_SETUP_MCE, mv_setup_mce },
	{ KVM_X86_SET_MCE, mv_set_mce },
};

static long call_state_ioctl(struct mv_vcpu *vcpu, const struct state_ioctl *s, void __user *arg)
{
	size_t size = _IOC_SIZE(s->nr);
	u64 small[64];
	void *buf = small;
	long r = 0;

	if (size > sizeof(small)) {
		buf = kmalloc(size, GFP_KERNEL_ACCOUNT);
		if (!buf)
			return -ENOMEM;
	}
	if (!(_IOC_DIR(s->nr) & _IOC_WRITE))
		memset(buf, 0, size);
	else if (copy_from_user(buf, arg, size))
		r = -EFAULT;
	if (!r)
		r = s->fn(vcpu, buf);
	if (!r && (_IOC_DIR(s->nr) & _IOC_READ) && copy_to_user(arg, buf, size))
		r = -EFAULT;
	if (buf != small)
		kfree(buf);
	return r;
}

long mv_state_ioctl(struct mv_vcpu *vcpu, unsigned int nr, unsigned long arg)
{
	void __user *uarg = (void __user *)arg;
	int i;

	for (i = 0; i < ARRAY_SIZE(state_ioctls); i++)
		if (state_ioctls[i].nr == nr)
			return call_state_ioctl(vcpu, &state_ioctls[i], uarg);
	switch (nr) {
	case KVM_GET_MSRS:
		return mv_get_msrs(vcpu, uarg);
	case KVM_SET_MSRS:
		return mv_set_msrs(vcpu, uarg);
	case KVM_GET_CPUID2:
		return mv_get_cpuid2(vcpu, uarg);
	case KVM_SET_CPUID2:
		return mv_set_cpuid2(vcpu, uarg);
	case KVM_GET_TSC_KHZ:
		return vcpu->tsc_khz;
	case KVM_SET_TSC_KHZ:
		return mv_set_tsc_khz(vcpu, arg);
	case KVM_HAS_DEVICE_ATTR:
	case KVM_GET_DEVICE_ATTR:
	case KVM_SET_DEVICE_ATTR:
		return mv_tsc_attr(vcpu, nr, uarg);
	case KVM_SMI:
		return -ENOTTY; /* no SMM */
	default:
		return -EINVAL;
	}
}
