// SPDX-License-Identifier: GPL-2.0-only
/* The virtual CPU: its descriptor, ioctls and life. */
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "base/backend.h"
#include "base/request.h"
#include "cpu/asyncpf.h"
#include "cpu/cpuid.h"
#include "cpu/fpu.h"
#include "cpu/state.h"
#include "io/io.h"
#include "irq/irq.h"
#include "mmu/memory.h"
#include "run/run.h"
#include "time/time.h"
#include "vm/ioctl.h"

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
		return arg ? -EINVAL : mv_vcpu_run(vcpu);
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
		mv_vcpu_load(vcpu);
		r = vcpu_ioctl_locked(vcpu, nr, arg);
		mv_vcpu_put(vcpu);
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
	vcpu->user_irq = -1;
	mv_cpuid_derive(vcpu);
	vcpu->apic_base = APIC_DEFAULT_PHYS_BASE | MSR_IA32_APICBASE_ENABLE |
			  (mv_is_bsp(vcpu) ? MSR_IA32_APICBASE_BSP : 0);
	mutex_init(&vcpu->mutex);
	rcuwait_init(&vcpu->wait);
	mv_vcpu_init_load(vcpu);
	mv_apf_init_vcpu(vcpu);

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
	mv_apf_reset(vcpu);
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

/*
 * Into the VM's list, where other threads find it, and into a descriptor. vm->lock held.
 *
 * Who guesses the number of the descriptor runs the vCPU as soon as it leads somewhere. What is
 * done to all vCPUs, or left out while there are none, has to reach this one by then.
 */
static long vcpu_publish(struct mv_vcpu *vcpu)
{
	struct mv_vm *vm = vcpu->vm;
	struct file *file;
	char name[32];
	int fd, r;

	lockdep_assert_held(&vm->lock);
	if (vm->nr_vcpus >= MV_MAX_VCPUS)
		return -EINVAL;
	if (id_in_use(vm, vcpu->id))
		return -EEXIST;
	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0)
		return fd;
	vcpu->idx = vm->nr_vcpus;
	r = xa_insert(&vm->vcpus, vcpu->idx, vcpu, GFP_KERNEL_ACCOUNT);
	if (r)
		goto put_fd;
	snprintf(name, sizeof(name), "minivirt-vcpu:%d", vcpu->id);
	file = anon_inode_getfile(name, &vcpu_fops, vcpu, O_RDWR);
	r = PTR_ERR_OR_ZERO(file);
	if (r)
		goto erase;
	mv_vm_get(vm);
	/* Pairs with mv_nr_vcpus(). */
	smp_store_release(&vm->nr_vcpus, vm->nr_vcpus + 1);
	if (vcpu->lapic)
		mv_apic_map_update(vm);
	mv_clock_check(vm);
	/* Pairs with wait_for_readers() of bus.c: no ioctl of this vCPU before it is counted. */
	smp_mb();
	fd_install(fd, file);
	return fd;

erase:
	xa_erase(&vm->vcpus, vcpu->idx);
put_fd:
	put_unused_fd(fd);
	return r;
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
	mv_vcpu_load(vcpu);
	mv_vcpu_reset(vcpu, false);
	mv_vcpu_put(vcpu);
	r = vcpu_publish(vcpu);
	if (r < 0)
		mv_vcpu_destroy(vcpu);
unlock:
	mutex_unlock(&vm->lock);
	return r;
}
