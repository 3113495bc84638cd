// SPDX-License-Identifier: GPL-2.0-only
/* MSR accesses in which userspace has a say: filters, and exits for what the guest may not do. */
#include <linux/nospec.h>
#include <linux/slab.h>
#include <linux/srcu.h>
#include <linux/uaccess.h>
#include <asm/apicdef.h>

#include "base/backend.h"
#include "base/regs.h"
#include "cpu/event.h"
#include "exit/handler.h"
#include "exit/msrfilter.h"

struct mv_msr_range {
	u32 first, nr;
	u32 flags; /* KVM_MSR_FILTER_READ, _WRITE: for which accesses */
	unsigned long *allowed; /* a bit for each */
};

struct mv_msr_filter {
	bool deny; /* what no range has */
	u32 nr;
	struct mv_msr_range range[KVM_MSR_FILTER_MAX_RANGES];
};

/* Never set before a first filter is: without one the guest's accesses pay nothing for it. */
DEFINE_STATIC_KEY_FALSE(mv_msr_filters);

/* The first range that has it decides. The local APIC's are left to the guest, as KVM does. */
static bool denied(const struct mv_msr_filter *filter, u32 msr, u32 access)
{
	u32 i;

	if (!filter || msr - APIC_BASE_MSR < 0x100)
		return false;
	for (i = 0; i < filter->nr; i++) {
		const struct mv_msr_range *range = &filter->range[i];
		u32 bit = msr - range->first;

		if (bit < range->nr && (range->flags & access))
			return !test_bit(array_index_nospec(bit, range->nr), range->allowed);
	}
	return filter->deny;
}

bool mv_msr_denied(struct mv_vcpu *vcpu, u32 msr, u32 access)
{
	struct mv_vm *vm = vcpu->vm;
	int idx = srcu_read_lock(&vm->srcu);
	bool r = denied(srcu_dereference(vm->msr_filter, &vm->srcu), msr, access);

	srcu_read_unlock(&vm->srcu, idx);
	return r;
}

/* ---- exits to userspace ---- */

/* Userspace may have moved RIP, and completes the instruction only where it left. */
static int complete_wrmsr(struct mv_vcpu *vcpu)
{
	if (mv_rip(vcpu) != vcpu->io_rip)
		return 1;
	return vcpu->run->msr.error ? mv_inject_gp(vcpu) : mv_skip_insn(vcpu);
}

static int complete_rdmsr(struct mv_vcpu *vcpu)
{
	u64 val = vcpu->run->msr.data;

	if (mv_rip(vcpu) == vcpu->io_rip && !vcpu->run->msr.error)
		mv_set_edx_eax(vcpu, val);
	return complete_wrmsr(vcpu);
}

/**
 * mv_msr_refused() - the guest may not do this: ask userspace if it wants to be, else #GP
 * @vcpu: whose RDMSR or WRMSR it is
 * @reason: KVM_MSR_EXIT_REASON_*
 * @write: WRMSR
 *
 * Return: as an exit handler.
 */
int mv_msr_refused(struct mv_vcpu *vcpu, u32 reason, bool write)
{
	struct kvm_run *run = vcpu->run;

	if (!(READ_ONCE(vcpu->vm->user_msr_reasons) & reason))
		return mv_inject_gp(vcpu);
	memset(&run->msr, 0, sizeof(run->msr));
	run->exit_reason = write ? KVM_EXIT_X86_WRMSR : KVM_EXIT_X86_RDMSR;
	run->msr.reason = reason;
	run->msr.index = vcpu->gpr[MV_RCX];
	if (write)
		run->msr.data = mv_edx_eax(vcpu);
	vcpu->io_rip = mv_rip(vcpu);
	vcpu->complete = write ? complete_wrmsr : complete_rdmsr;
	return 0;
}

/* ---- KVM_X86_SET_MSR_FILTER ---- */

static void free_filter(struct mv_msr_filter *filter)
{
	u32 i;

	for (i = 0; filter && i < filter->nr; i++)
		kfree(filter->range[i].allowed);
	kfree(filter);
}

static int copy_range(struct mv_msr_filter *filter, const struct kvm_msr_filter_range *user)
{
	size_t size = BITS_TO_LONGS((u64)user->nmsrs) * sizeof(long);
	struct mv_msr_range *range = &filter->range[filter->nr];

	if (!user->nmsrs)
		return 0;
	if (!user->flags || (user->flags & ~(KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE)) ||
	    size > KVM_MSR_FILTER_MAX_BITMAP_SIZE)
		return -EINVAL;
	range->allowed = kmalloc(size, GFP_KERNEL_ACCOUNT);
	if (!range->allowed)
		return -ENOMEM;
	range->first = user->base;
	range->nr = user->nmsrs;
	range->flags = user->flags;
	filter->nr++; /* free_filter() has it from here on */
	return copy_from_user(range->allowed, (void __user *)user->bitmap, size) ? -EFAULT : 0;
}

static struct mv_msr_filter *make_filter(const struct kvm_msr_filter *user)
{
	struct mv_msr_filter *filter;
	int i, r = 0;

	if (user->flags & ~KVM_MSR_FILTER_DEFAULT_DENY)
		return ERR_PTR(-EINVAL);
	filter = kzalloc(sizeof(*filter), GFP_KERNEL_ACCOUNT);
	if (!filter)
		return ERR_PTR(-ENOMEM);
	filter->deny = user->flags & KVM_MSR_FILTER_DEFAULT_DENY;
	for (i = 0; i < ARRAY_SIZE(user->ranges) && !r; i++)
		r = copy_range(filter, &user->ranges[i]);
	/* A guest that may use no MSR at all is a mistake. */
	if (!r && filter->deny && !filter->nr)
		r = -EINVAL;
	if (r) {
		free_filter(filter);
		return ERR_PTR(r);
	}
	return filter;
}

static bool denies_access(const struct mv_msr_filter *filter, u32 msr)
{
	return denied(filter, msr, KVM_MSR_FILTER_READ) ||
	       denied(filter, msr, KVM_MSR_FILTER_WRITE);
}

/* The guest has these without exits, so a filter that denies one of them has to end that. */
static bool denies_passed_through(const struct mv_msr_filter *filter)
{
	const u32 *msr;

	for (msr = mv_backend->passed_through; *msr; msr++)
		if (denies_access(filter, *msr))
			return true;
	/* From the first write on */
	return boot_cpu_has(X86_FEATURE_MSR_SPEC_CTRL) && denies_access(filter, MSR_IA32_SPEC_CTRL);
}

/* @user: in kernel memory; freed here */
static long set_filter(struct mv_vm *vm, const struct kvm_msr_filter *user)
{
	struct mv_msr_filter *filter = make_filter(user), *old;

	kfree(user);
	if (IS_ERR(filter))
		return PTR_ERR(filter);

	static_branch_enable(&mv_msr_filters);
	mutex_lock(&vm->lock);
	old = rcu_dereference_protected(vm->msr_filter, lockdep_is_held(&vm->lock));
	rcu_assign_pointer(vm->msr_filter, filter);
	WRITE_ONCE(vm->all_msrs_exit, denies_passed_through(filter));
	mv_request_all(vm, MV_REQ_MSR_EXITS, true);
	mutex_unlock(&vm->lock);
	synchronize_srcu_expedited(&vm->srcu);
	free_filter(old);
	return 0;
}

long mv_set_msr_filter(struct mv_vm *vm, const struct kvm_msr_filter __user *arg)
{
	/* Too much for the stack. */
	struct kvm_msr_filter *user = memdup_user(arg, sizeof(*user));

	return IS_ERR(user) ? PTR_ERR(user) : set_filter(vm, user);
}

/* struct kvm_msr_filter as a 32-bit process has it. */
struct msr_filter32 {
	u32 flags;
	struct {
		u32 flags, nmsrs, base;
		u32 bitmap; /* a pointer */
	} ranges[KVM_MSR_FILTER_MAX_RANGES];
};

#define KVM_X86_SET_MSR_FILTER32 _IOW(KVMIO, 0xc6, struct msr_filter32)

/* -ENOIOCTLCMD: @nr, of a 32-bit process, is another ioctl. */
long mv_set_msr_filter32(struct mv_vm *vm, unsigned int nr, const void __user *arg)
{
	struct kvm_msr_filter *user;
	struct msr_filter32 *user32;
	int i;

	if (nr != KVM_X86_SET_MSR_FILTER32)
		return -ENOIOCTLCMD;
	user32 = memdup_user(arg, sizeof(*user32));
	if (IS_ERR(user32))
		return PTR_ERR(user32);
	user = kzalloc(sizeof(*user), GFP_KERNEL_ACCOUNT);
	if (user) {
		user->flags = user32->flags;
		for (i = 0; i < ARRAY_SIZE(user->ranges); i++)
			user->ranges[i] = (struct kvm_msr_filter_range) {
				.flags = user32->ranges[i].flags,
				.nmsrs = user32->ranges[i].nmsrs,
				.base = user32->ranges[i].base,
				.bitmap = (u8 *)(unsigned long)user32->ranges[i].bitmap,
			};
	}
	kfree(user32);
	return user ? set_filter(vm, user) : -ENOMEM;
}

void mv_free_msr_filter(struct mv_vm *vm)
{
	free_filter(rcu_dereference_protected(vm->msr_filter, true));
}
