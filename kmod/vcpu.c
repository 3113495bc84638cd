// SPDX-License-Identifier: GPL-2.0-only
/* The virtual CPU: loaded and put, asked for something, reset; its descriptor, ioctls and life. */
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <linux/uaccess.h>
#include <asm/debugreg.h>
#include <asm/pkru.h>
#include <asm/tsc.h>
#include <trace/events/ipi.h>

#include "backend.h"

void mv_cache_reg(struct mv_vcpu *vcpu, enum mv_lazy_reg reg)
{
	mv_call(cache_reg)(vcpu, reg);
}

/* ---- load and put: which vCPU's control block and MSRs a CPU holds ---- */

static DEFINE_PER_CPU(struct mv_vcpu *, loaded_vcpu);

/* The one of this thread; NULL: it has none loaded. */
struct mv_vcpu *mv_loaded_vcpu(void)
{
	return this_cpu_read(loaded_vcpu);
}

/* What the guest is to know of its coming to a CPU. */
static void set_cpu(struct mv_vcpu *vcpu, int cpu)
{
	/* TSCs that the host does not trust: time is told anew on each CPU. */
	if (unlikely(vcpu->msr.pv_clock & KVM_MSR_ENABLED) && !READ_ONCE(vcpu->vm->clock.master) &&
	    (vcpu->cpu != cpu || check_tsc_unstable()))
		mv_request(vcpu, MV_REQ_CLOCK);
	if (unlikely(vcpu->msr.pv_steal_time & KVM_MSR_ENABLED))
		mv_steal_time_loaded(vcpu);
	vcpu->cpu = cpu;
	__this_cpu_write(loaded_vcpu, vcpu);
}

static void vcpu_sched_in(struct preempt_notifier *n, int cpu)
{
	struct mv_vcpu *vcpu = container_of(n, struct mv_vcpu, preempt);

	set_cpu(vcpu, cpu);
	WRITE_ONCE(vcpu->preempted, false);
	mv_taint_l1d(vcpu);
	vcpu->host_pkru = read_pkru();
	mv_call(load)(vcpu);
}

static void vcpu_sched_out(struct preempt_notifier *n, struct task_struct *next)
{
	struct mv_vcpu *vcpu = container_of(n, struct mv_vcpu, preempt);

	/* It would run on; it does not sleep. */
	if (task_is_running(current))
		WRITE_ONCE(vcpu->preempted, true);
	if (unlikely(vcpu->msr.pv_steal_time & KVM_MSR_ENABLED))
		mv_steal_time_preempted(vcpu);
	mv_call(put)(vcpu);
	__this_cpu_write(loaded_vcpu, NULL);
}

static struct preempt_ops mv_preempt_ops = {
	.sched_in = vcpu_sched_in,
	.sched_out = vcpu_sched_out,
};

static void vcpu_load(struct mv_vcpu *vcpu)
{
	preempt_disable();
	set_cpu(vcpu, smp_processor_id());
	vcpu->host_pkru = read_pkru();
	preempt_notifier_register(&vcpu->preempt);
	mv_call(load)(vcpu);
	preempt_enable();
}

static void vcpu_put(struct mv_vcpu *vcpu)
{
	preempt_disable();
	mv_call(put)(vcpu);
	__this_cpu_write(loaded_vcpu, NULL);
	preempt_notifier_unregister(&vcpu->preempt);
	preempt_enable();
}

/* ---- requests and kicks ---- */

static void kick_ack(void *unused)
{
	/* The interrupt has made the CPU leave the guest; there is no more to it. */
}

void mv_vcpu_kick(struct mv_vcpu *vcpu)
{
	int cpu;

	rcuwait_wake_up(&vcpu->wait);
	/* Pairs with vcpu_enter()'s: it sees the request, or we its mode. */
	smp_mb();
	if (READ_ONCE(vcpu->mode) != MV_IN_GUEST)
		return;
	cpu = get_cpu();
	if (READ_ONCE(vcpu->cpu) != cpu && cpu_online(READ_ONCE(vcpu->cpu)))
		smp_send_reschedule(READ_ONCE(vcpu->cpu));
	put_cpu();
}

/**
 * mv_request_all() - make a request of every vCPU of a VM
 * @vm: whose vCPUs
 * @req: what to ask of them
 * @wait: do not return before each has left the guest, so that none runs on
 *	with what it knew before
 */
void mv_request_all(struct mv_vm *vm, enum mv_request req, bool wait)
{
	struct mv_vcpu *vcpu;
	cpumask_var_t cpus;
	bool have_mask, any = false;
	int i, me;

	have_mask = zalloc_cpumask_var(&cpus, GFP_ATOMIC);
	me = get_cpu();
	mv_for_each_vcpu(i, vcpu, vm) {
		mv_request(vcpu, req);
		smp_mb__after_atomic(); /* pairs with vcpu_enter()'s, as in mv_vcpu_kick() */
		if (READ_ONCE(vcpu->mode) == MV_OUTSIDE || READ_ONCE(vcpu->cpu) == me)
			continue;
		any = true;
		if (have_mask)
			cpumask_set_cpu(READ_ONCE(vcpu->cpu), cpus);
	}
	if (any)
		smp_call_function_many(have_mask ? cpus : cpu_online_mask, kick_ack, NULL, wait);
	put_cpu();
	free_cpumask_var(cpus);
}

/* ---- directed yield ---- */

bool mv_vcpu_yield_to(struct mv_vcpu *vcpu)
{
	struct task_struct *task;
	bool yielded;

	if (!READ_ONCE(vcpu->preempted))
		return false;
	rcu_read_lock();
	task = pid_task(rcu_dereference(vcpu->pid), PIDTYPE_PID);
	if (task)
		get_task_struct(task);
	rcu_read_unlock();
	if (!task)
		return false;
	yielded = yield_to(task, true) > 0;
	put_task_struct(task);
	return yielded;
}

/**
 * mv_vcpu_yield() - this guest spins: run the vCPU that it may be waiting for
 * @me: the one that spins
 *
 * Which one has the lock is not known; all that were preempted get their turn.
 */
void mv_vcpu_yield(struct mv_vcpu *me)
{
	struct mv_vm *vm = me->vm;
	int nr = mv_nr_vcpus(vm);
	int i, idx, last = READ_ONCE(vm->last_yielded_to);

	for (i = 1; i <= nr; i++) {
		struct mv_vcpu *vcpu;

		idx = (last + i) % nr;
		vcpu = xa_load(&vm->vcpus, idx);
		if (vcpu != me && mv_vcpu_yield_to(vcpu)) {
			WRITE_ONCE(vm->last_yielded_to, idx);
			return;
		}
	}
}

/* ---- reset ---- */

/* The state after power-up or INIT. SDM vol. 3A, table 10-1. */
void mv_vcpu_reset(struct mv_vcpu *vcpu, bool init)
{
	static const struct kvm_segment data = {
		.limit = 0xffff, .type = 3, .present = 1, .s = 1,
	};
	static const struct kvm_segment code = {
		.base = 0xffff0000, .limit = 0xffff, .selector = 0xf000,
		.type = 11, .present = 1, .s = 1,
	};
	static const struct kvm_segment ldt = { .limit = 0xffff, .type = 2, .present = 1 };
	static const struct kvm_segment tss = { .limit = 0xffff, .type = 11, .present = 1 };
	static const struct kvm_dtable table = { .limit = 0xffff };
	enum mv_seg seg;
	u64 cr0 = X86_CR0_ET | X86_CR0_NW | X86_CR0_CD;

	/* INIT leaves the cache bits. */
	if (init)
		cr0 = (mv_cr0(vcpu) & (X86_CR0_NW | X86_CR0_CD)) | X86_CR0_ET;

	memset(&vcpu->pending, 0, sizeof(vcpu->pending));
	vcpu->nmi_pending = 0;
	atomic_set(&vcpu->nmi_queued, 0);
	vcpu->complete = NULL;
	memset(&vcpu->pv, 0, offsetof(struct mv_pv, enforced));
	vcpu->msr.pv_clock = 0;
	vcpu->msr.pv_steal_time = 0;
	vcpu->msr.pv_eoi = 0;
	vcpu->msr.pv_apf = 0;
	vcpu->msr.pv_apf_int = 0;
	mv_apf_reset(vcpu);
	vcpu->dr6 = DR6_RESERVED;
	vcpu->dr7 = MV_DR7_RESET;
	memset(vcpu->dr, 0, sizeof(vcpu->dr));
	vcpu->cr2 = 0;
	vcpu->spec_ctrl = 0;
	vcpu->vapic = 0;

	mv_backend->vcpu_reset(vcpu, init);
	for (seg = MV_ES; seg <= MV_GS; seg++)
		mv_backend->set_seg(vcpu, seg, seg == MV_CS ? &code : &data);
	mv_backend->set_seg(vcpu, MV_LDTR, &ldt);
	mv_backend->set_seg(vcpu, MV_TR, &tss);
	mv_backend->set_dt(vcpu, false, &table);
	mv_backend->set_dt(vcpu, true, &table);

	memset(vcpu->gpr, 0, sizeof(vcpu->gpr));
	/* Family 6, the signature that is in EDX after reset. */
	vcpu->gpr[MV_RDX] = 0x600;
	mv_mark_dirty(vcpu, MV_LAZY_RSP);
	mv_write_rip(vcpu, 0xfff0);
	mv_write_rflags(vcpu, X86_EFLAGS_FIXED);
	vcpu->cr3 = 0;
	mv_mark_dirty(vcpu, MV_LAZY_CR3);
	mv_backend->set_cr0(vcpu, cr0);
	mv_backend->set_cr4(vcpu, 0);
	mv_backend->set_efer(vcpu, 0);
	mv_backend->update_debug(vcpu);

	mv_fpu_reset(vcpu, init);
	if (!init)
		mv_msr_reset(vcpu);
	if (vcpu->lapic)
		mv_lapic_reset(vcpu, init);
	mv_request(vcpu, MV_REQ_EVENT);
	mv_request(vcpu, MV_REQ_TLB_FLUSH);
}

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
		vcpu_load(vcpu);
		r = vcpu_ioctl_locked(vcpu, nr, arg);
		vcpu_put(vcpu);
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
	vcpu->cpu = -1;
	vcpu->user_irq = -1;
	mv_cpuid_derive(vcpu);
	vcpu->apic_base = APIC_DEFAULT_PHYS_BASE | MSR_IA32_APICBASE_ENABLE |
			  (mv_is_bsp(vcpu) ? MSR_IA32_APICBASE_BSP : 0);
	mutex_init(&vcpu->mutex);
	rcuwait_init(&vcpu->wait);
	preempt_notifier_init(&vcpu->preempt, &mv_preempt_ops);
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
	vcpu_load(vcpu);
	mv_vcpu_reset(vcpu, false);
	vcpu_put(vcpu);
	r = vcpu_publish(vcpu);
	if (r < 0)
		mv_vcpu_destroy(vcpu);
unlock:
	mutex_unlock(&vm->lock);
	return r;
}
