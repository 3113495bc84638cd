// SPDX-License-Identifier: GPL-2.0-only
/* The vCPU ioctls that read and write state: their table, and the small ones. */
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "backend.h"
#include "state.h"

/* ---- general registers ---- */

/* struct kvm_regs begins with the general registers, in an order of its own. */
static const u8 regs_order[] = {
	MV_RAX, MV_RBX, MV_RCX, MV_RDX, MV_RSI, MV_RDI, MV_RSP, MV_RBP,
	MV_R8, MV_R8 + 1, MV_R8 + 2, MV_R8 + 3, MV_R8 + 4, MV_R8 + 5, MV_R8 + 6, MV_R15,
};

static_assert(offsetof(struct kvm_regs, rip) == ARRAY_SIZE(regs_order) * sizeof(u64));

static int get_regs(struct mv_vcpu *vcpu, void *buf)
{
	struct kvm_regs *regs = buf;
	u64 *gprs = buf;
	int i;

	for (i = 0; i < ARRAY_SIZE(regs_order); i++)
		gprs[i] = mv_gpr(vcpu, regs_order[i]);
	regs->rip = mv_rip(vcpu);
	regs->rflags = mv_rflags(vcpu);
	/* TF is the debugger's while it steps. */
	if (vcpu->guest_debug & KVM_GUESTDBG_SINGLESTEP)
		regs->rflags &= ~(u64)X86_EFLAGS_TF;
	return 0;
}

static int set_regs(struct mv_vcpu *vcpu, void *buf)
{
	const struct kvm_regs *regs = buf;
	const u64 *gprs = buf;
	u64 rflags = regs->rflags | X86_EFLAGS_FIXED;
	int i;

	for (i = 0; i < ARRAY_SIZE(regs_order); i++)
		mv_set_gpr(vcpu, regs_order[i], gprs[i]);
	mv_write_rip(vcpu, regs->rip);
	if (vcpu->guest_debug & KVM_GUESTDBG_SINGLESTEP)
		rflags |= X86_EFLAGS_TF;
	mv_write_rflags(vcpu, rflags);
	/* Of the shadow there is more to know with TF. */
	mv_backend->set_int_shadow(vcpu, mv_call(get_int_shadow)(vcpu));

	/* An exception that the old registers had raised is moot. */
	vcpu->pending.exc_pending = false;
	mv_request(vcpu, MV_REQ_EVENT);
	return 0;
}

/* ---- events ---- */

bool mv_get_sent_irq(struct mv_vcpu *vcpu, u8 *vector)
{
	if (vcpu->pending.irq_injected && !vcpu->pending.irq_soft)
		*vector = vcpu->pending.irq_vector;
	else if (!vcpu->lapic && vcpu->user_irq >= 0)
		*vector = vcpu->user_irq;
	else
		return false;
	return true;
}

/*
 * The local APIC has had its interrupt acknowledged, so it has to go in as it
 * is.  Without one it is as from KVM_INTERRUPT: when the guest can take it.
 */
void mv_set_sent_irq(struct mv_vcpu *vcpu, u8 vector)
{
	if (vcpu->lapic) {
		vcpu->pending.irq_injected = true;
		vcpu->pending.irq_soft = false;
		vcpu->pending.irq_vector = vector;
	} else {
		vcpu->user_irq = vector;
	}
}

static bool is_soft_exception(u8 vector)
{
	return vector == BP_VECTOR || vector == OF_VECTOR;
}

/* Without KVM_CAP_EXCEPTION_PAYLOAD, userspace knows no exception that is not yet delivered. */
static void get_exception(struct mv_vcpu *vcpu, struct kvm_vcpu_events *ev)
{
	struct mv_pending *p = &vcpu->pending;
	bool payloads = vcpu->vm->exception_payload;

	if (p->exc_pending && p->exc_has_payload && !payloads)
		mv_deliver_payload(vcpu);
	/* The structure has no instruction length: the guest executes INT3 or INTO again. */
	if (!is_soft_exception(p->exc_vector)) {
		ev->exception.injected = p->exc_injected || (p->exc_pending && !payloads);
		ev->exception.pending = p->exc_pending && payloads;
	}
	ev->exception.nr = p->exc_vector;
	ev->exception.has_error_code = p->exc_has_error;
	ev->exception.error_code = p->exc_error;
	ev->exception_has_payload = p->exc_has_payload;
	ev->exception_payload = p->exc_payload;
}

static int get_events(struct mv_vcpu *vcpu, void *buf)
{
	struct kvm_vcpu_events *ev = buf;
	struct mv_pending *p = &vcpu->pending;

	get_exception(vcpu, ev);
	ev->interrupt.injected = mv_get_sent_irq(vcpu, &ev->interrupt.nr);
	ev->interrupt.shadow = mv_call(get_int_shadow)(vcpu);
	ev->nmi.injected = p->nmi_injected;
	ev->nmi.pending = vcpu->nmi_pending || atomic_read(&vcpu->nmi_queued);
	ev->nmi.masked = mv_backend->nmi_masked(vcpu);
	/* There is no SMM; but an INIT that waits is told among its flags. */
	ev->smi.latched_init = vcpu->lapic && test_bit(MV_APIC_INIT, &vcpu->apic_events);
	ev->flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW |
		    KVM_VCPUEVENT_VALID_SMM;
	if (vcpu->vm->exception_payload)
		ev->flags |= KVM_VCPUEVENT_VALID_PAYLOAD;
	if (vcpu->vm->triple_fault_event) {
		ev->triple_fault.pending = test_bit(MV_REQ_TRIPLE_FAULT, &vcpu->requests);
		ev->flags |= KVM_VCPUEVENT_VALID_TRIPLE_FAULT;
	}
	return 0;
}

static bool valid_events(struct mv_vcpu *vcpu, const struct kvm_vcpu_events *ev)
{
	u32 flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW |
		    KVM_VCPUEVENT_VALID_SIPI_VECTOR | KVM_VCPUEVENT_VALID_SMM;

	if (vcpu->vm->exception_payload)
		flags |= KVM_VCPUEVENT_VALID_PAYLOAD;
	if (vcpu->vm->triple_fault_event)
		flags |= KVM_VCPUEVENT_VALID_TRIPLE_FAULT;
	if (ev->flags & ~flags)
		return false;
	if ((ev->flags & KVM_VCPUEVENT_VALID_SMM) &&
	    (ev->smi.smm || ev->smi.pending || ev->smi.smm_inside_nmi))
		return false;
	return !(ev->exception.injected || ev->exception.pending) ||
	       (ev->exception.nr <= 31 && ev->exception.nr != NMI_VECTOR);
}

static int set_events(struct mv_vcpu *vcpu, void *buf)
{
	struct kvm_vcpu_events *ev = buf;
	struct mv_pending *p = &vcpu->pending;

	if (!(ev->flags & KVM_VCPUEVENT_VALID_PAYLOAD))
		ev->exception.pending = 0;
	if (!valid_events(vcpu, ev))
		return -EINVAL;

	p->exc_pending = !!ev->exception.pending;
	p->exc_injected = ev->exception.injected && !p->exc_pending;
	p->exc_vector = ev->exception.nr;
	p->exc_has_error = ev->exception.has_error_code;
	p->exc_error = ev->exception.error_code;
	p->exc_has_payload = p->exc_pending && ev->exception_has_payload;
	p->exc_payload = ev->exception_payload;

	/* A software interrupt comes without its length; the guest executes INT n again. */
	p->irq_injected = false;
	if (!vcpu->lapic)
		vcpu->user_irq = -1;
	if (ev->interrupt.injected && !ev->interrupt.soft)
		mv_set_sent_irq(vcpu, ev->interrupt.nr);
	if (ev->flags & KVM_VCPUEVENT_VALID_SHADOW)
		mv_backend->set_int_shadow(vcpu, ev->interrupt.shadow);

	p->nmi_injected = !!ev->nmi.injected;
	if (ev->flags & KVM_VCPUEVENT_VALID_NMI_PENDING) {
		atomic_set(&vcpu->nmi_queued, 0);
		vcpu->nmi_pending = !!ev->nmi.pending;
	}
	mv_backend->set_nmi_masked(vcpu, ev->nmi.masked);
	if ((ev->flags & KVM_VCPUEVENT_VALID_SIPI_VECTOR) && vcpu->lapic)
		vcpu->sipi_vector = ev->sipi_vector;
	if ((ev->flags & KVM_VCPUEVENT_VALID_SMM) && vcpu->lapic)
		assign_bit(MV_APIC_INIT, &vcpu->apic_events, ev->smi.latched_init);
	if (ev->flags & KVM_VCPUEVENT_VALID_TRIPLE_FAULT)
		assign_bit(MV_REQ_TRIPLE_FAULT, &vcpu->requests, ev->triple_fault.pending);
	mv_request(vcpu, MV_REQ_EVENT);
	return 0;
}

/* ---- what the vCPU is doing ---- */

static int get_mp_state(struct mv_vcpu *vcpu, void *buf)
{
	struct kvm_mp_state *mp = buf;

	if (vcpu->lapic && mv_apic_has_events(vcpu))
		mv_apic_take_events(vcpu);
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

/* ---- KVM_CAP_SYNC_REGS: register files in struct kvm_run, moved by KVM_RUN itself ---- */

#define SYNC(bit, field, get, set)                                                         \
	{ bit, offsetof(struct kvm_sync_regs, field), sizeof_field(struct kvm_sync_regs, field), \
	  get, set }
static const struct {
	u32 bit;
	u16 offset, size;
	int (*get)(struct mv_vcpu *vcpu, void *buf);
	int (*set)(struct mv_vcpu *vcpu, void *buf);
} sync_sets[] = {
	SYNC(KVM_SYNC_X86_REGS, regs, get_regs, set_regs),
	SYNC(KVM_SYNC_X86_SREGS, sregs, mv_get_sregs, mv_set_sregs),
	SYNC(KVM_SYNC_X86_EVENTS, events, get_events, set_events),
};

/* Userspace may write to struct kvm_run meanwhile, so what is checked is a copy. */
int mv_load_sync_regs(struct mv_vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	struct kvm_sync_regs copy;
	int i;

	for (i = 0; i < ARRAY_SIZE(sync_sets); i++) {
		if (!(run->kvm_dirty_regs & sync_sets[i].bit))
			continue;
		memcpy(&copy, (u8 *)&run->s.regs + sync_sets[i].offset, sync_sets[i].size);
		if (sync_sets[i].set(vcpu, &copy))
			return -EINVAL;
		run->kvm_dirty_regs &= ~(u64)sync_sets[i].bit;
	}
	return 0;
}

void mv_store_sync_regs(struct mv_vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	struct kvm_sync_regs copy;
	int i;

	for (i = 0; i < ARRAY_SIZE(sync_sets); i++) {
		if (!(run->kvm_valid_regs & sync_sets[i].bit))
			continue;
		memset(&copy, 0, sync_sets[i].size);
		sync_sets[i].get(vcpu, &copy);
		memcpy((u8 *)&run->s.regs + sync_sets[i].offset, &copy, sync_sets[i].size);
	}
}

/* ---- the table ---- */

/* The ioctl's number has the structure's size, and whether it goes in or out. */
static const struct state_ioctl {
	unsigned int nr;
	int (*fn)(struct mv_vcpu *vcpu, void *buf);
} state_ioctls[] = {
	{ KVM_GET_REGS, get_regs },
	{ KVM_SET_REGS, set_regs },
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
	{ KVM_GET_VCPU_EVENTS, get_events },
	{ KVM_SET_VCPU_EVENTS, set_events },
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
