// SPDX-License-Identifier: GPL-2.0-only
/* The virtual machine: its descriptor, its ioctls, its lifetime. */
#include <linux/anon_inodes.h>
#include <linux/compat.h>
#include <linux/cpu.h>
#include <linux/fs.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <asm/tsc.h>

#include "base/backend.h"
#include "cpu/tsc.h"
#include "exit/msrfilter.h"
#include "io/io.h"
#include "irq/irq.h"
#include "mmu/memory.h"
#include "time/time.h"
#include "vm/ioctl.h"
#include "../uapi/linux/minivirt.h"

static atomic_t vm_count = ATOMIC_INIT(0);

int mv_vm_count(void)
{
	return atomic_read(&vm_count);
}

static void vm_destroy(struct mv_vm *vm)
{
	struct mv_vcpu *vcpu;
	unsigned long i;

	/* Before the devices that others free: nobody accesses the buses any more. */
	mv_bus_destroy(vm);
	mv_irqchip_destroy(vm);
	mv_clock_destroy_vm(vm);
	/* No second-stage fault can come any more; the notifier must not find freed vCPUs. */
	mv_mmu_stop_vm(vm);
	xa_for_each(&vm->vcpus, i, vcpu)
		mv_vcpu_destroy(vcpu);
	xa_destroy(&vm->vcpus);
	free_page((unsigned long)vm->coalesced_ring);
	mv_free_msr_filter(vm);
	cleanup_srcu_struct(&vm->srcu);
	mmdrop(vm->mm);
	mv_mmu_free_vm(vm);
	atomic_dec(&vm_count);
}

void mv_vm_get(struct mv_vm *vm)
{
	refcount_inc(&vm->refs);
}

void mv_vm_put(struct mv_vm *vm)
{
	if (refcount_dec_and_test(&vm->refs))
		vm_destroy(vm);
}

/* ---- capabilities ---- */

/* What KVM does against the architecture, and so does minivirt unless it is told not to. */
#define MV_QUIRKS                                                                   \
	(KVM_X86_QUIRK_LINT0_REENABLED | KVM_X86_QUIRK_CD_NW_CLEARED |              \
	 KVM_X86_QUIRK_LAPIC_MMIO_HOLE | KVM_X86_QUIRK_OUT_7E_INC_RIP |             \
	 KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT | KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS | \
	 KVM_X86_QUIRK_FIX_HYPERCALL_INSN)
#define MV_MANUAL_LOG_FLAGS (KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET)

/* What KVM_CHECK_EXTENSION answers; all that is not here is 0. */
static const struct {
	long cap;
	int val;
} mv_caps[] = {
	{ KVM_CAP_IRQCHIP, 1 },
	{ KVM_CAP_HLT, 1 },
	{ KVM_CAP_USER_MEMORY, 1 },
	{ KVM_CAP_SET_TSS_ADDR, 1 },
	{ KVM_CAP_VAPIC, 1 },
	{ KVM_CAP_EXT_CPUID, 1 },
	{ KVM_CAP_CLOCKSOURCE, 1 },
	{ KVM_CAP_MMU_SHADOW_CACHE_CONTROL, 1 },
	{ KVM_CAP_NR_MEMSLOTS, MV_MAX_SLOTS },
	{ KVM_CAP_PIT, 1 },
	{ KVM_CAP_NOP_IO_DELAY, 1 },
	{ KVM_CAP_MP_STATE, 1 },
	{ KVM_CAP_COALESCED_MMIO, KVM_COALESCED_MMIO_PAGE_OFFSET },
	{ KVM_CAP_SYNC_MMU, 1 },
	{ KVM_CAP_DESTROY_MEMORY_REGION_WORKS, 1 },
	{ KVM_CAP_USER_NMI, 1 },
	{ KVM_CAP_ASYNC_PF, 1 },
	{ KVM_CAP_SET_GUEST_DEBUG, 1 },
	{ KVM_CAP_REINJECT_CONTROL, 1 },
	{ KVM_CAP_IRQ_ROUTING, MV_MAX_ROUTES },
	{ KVM_CAP_IRQFD, 1 },
	{ KVM_CAP_IRQ_INJECT_STATUS, 1 },
	{ KVM_CAP_JOIN_MEMORY_REGIONS_WORKS, 1 },
	{ KVM_CAP_PIT2, 1 },
	{ KVM_CAP_SET_BOOT_CPU_ID, 1 },
	{ KVM_CAP_PIT_STATE2, 1 },
	{ KVM_CAP_IOEVENTFD, 1 },
	{ KVM_CAP_SET_IDENTITY_MAP_ADDR, 1 },
	{ KVM_CAP_INTERNAL_ERROR_DATA, 1 },
	{ KVM_CAP_VCPU_EVENTS, 1 },
	{ KVM_CAP_DEBUGREGS, 1 },
	{ KVM_CAP_X86_ROBUST_SINGLESTEP, 1 },
	{ KVM_CAP_ENABLE_CAP, 1 },
	{ KVM_CAP_XSAVE, 1 },
	{ KVM_CAP_GET_TSC_KHZ, 1 },
	{ KVM_CAP_SYNC_REGS, KVM_SYNC_X86_VALID_FIELDS },
	{ KVM_CAP_MCE, MV_MCE_BANKS },
	{ KVM_CAP_MAX_VCPUS, MV_MAX_VCPUS },
	{ KVM_CAP_TSC_DEADLINE_TIMER, 1 },
	{ KVM_CAP_DISABLE_QUIRKS, 1 },
	{ KVM_CAP_SIGNAL_MSI, 1 },
	{ KVM_CAP_READONLY_MEM, 1 },
	{ KVM_CAP_IRQFD_RESAMPLE, 1 },
	{ KVM_CAP_IOEVENTFD_NO_LENGTH, 1 },
	{ KVM_CAP_EXT_EMUL_CPUID, 1 },
	{ KVM_CAP_CHECK_EXTENSION_VM, 1 },
	{ KVM_CAP_IOAPIC_POLARITY_IGNORED, 1 },
	{ KVM_CAP_ENABLE_CAP_VM, 1 },
	{ KVM_CAP_SPLIT_IRQCHIP, 1 },
	{ KVM_CAP_IOEVENTFD_ANY_LENGTH, 1 },
	{ KVM_CAP_VCPU_ATTRIBUTES, 1 },
	{ KVM_CAP_IMMEDIATE_EXIT, 1 },
	{ KVM_CAP_MAX_VCPU_ID, MV_MAX_VCPU_ID },
	{ KVM_CAP_X2APIC_API, MV_X2APIC_API },
	{ KVM_CAP_GET_MSR_FEATURES, 1 },
	{ KVM_CAP_COALESCED_PIO, 1 },
	{ KVM_CAP_EXCEPTION_PAYLOAD, 1 },
	{ KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, MV_MANUAL_LOG_FLAGS },
	{ KVM_CAP_SET_GUEST_DEBUG2, MV_GUESTDBG_FLAGS },
	{ KVM_CAP_BINARY_STATS_FD, 1 },
	{ KVM_CAP_SREGS2, 1 },
	{ KVM_CAP_EXIT_ON_EMULATION_FAILURE, 1 },
	{ KVM_CAP_XSAVE2, sizeof(struct kvm_xsave) },
	{ KVM_CAP_SYS_ATTRIBUTES, 1 },
	{ KVM_CAP_X86_TRIPLE_FAULT_EVENT, 1 },
	{ KVM_CAP_MSR_PLATFORM_INFO, 1 },
	{ KVM_CAP_ASYNC_PF_INT, 1 },
	{ KVM_CAP_X86_USER_SPACE_MSR, 1 },
	{ KVM_CAP_X86_MSR_FILTER, 1 },
	{ KVM_CAP_DIRTY_LOG_RING, MV_MAX_DIRTY_RING },
	{ KVM_CAP_DIRTY_LOG_RING_ACQ_REL, MV_MAX_DIRTY_RING },
	{ KVM_CAP_DISABLE_QUIRKS2, MV_QUIRKS },
	{ KVM_CAP_VM_DISABLE_NX_HUGE_PAGES, 1 },
	{ KVM_CAP_HALT_POLL, 1 },
	{ KVM_CAP_LAST_CPU, 1 },
	{ KVM_CAP_STEAL_TIME, 1 },
	{ KVM_CAP_ADJUST_CLOCK, MV_CLOCK_FLAGS },
	{ KVM_CAP_KVMCLOCK_CTRL, 1 },
	{ KVM_CAP_ENFORCE_PV_FEATURE_CPUID, 1 },
	{ MINIVIRT_CAP_INFO, 1 },
};

/*
 * A CPU that rests, in HLT or MWAIT, in the guest's name: not where the sibling thread could then
 * speculate with this one's returns, nor where MWAIT does not wake up reliably.
 */
static u32 exits_that_can_be_off(void)
{
	u32 exits = KVM_X86_DISABLE_EXITS_PAUSE;

	if (boot_cpu_has_bug(X86_BUG_SMT_RSB) && cpu_smt_possible())
		return exits;
	exits |= KVM_X86_DISABLE_EXITS_HLT | KVM_X86_DISABLE_EXITS_CSTATE;
	if (boot_cpu_has(X86_FEATURE_MWAIT) && !boot_cpu_has_bug(X86_BUG_MONITOR) &&
	    boot_cpu_has(X86_FEATURE_ARAT))
		exits |= KVM_X86_DISABLE_EXITS_MWAIT;
	return exits;
}

int mv_check_extension(struct mv_vm *vm, long cap)
{
	int i;

	switch (cap) {
	case KVM_CAP_NR_VCPUS:
		return min_t(unsigned int, num_online_cpus(), MV_MAX_VCPUS);
	case KVM_CAP_XCRS:
		return boot_cpu_has(X86_FEATURE_XSAVE);
	case KVM_CAP_TSC_CONTROL:
	case KVM_CAP_VM_TSC_CONTROL:
		return !!mv_backend->tsc_frac_bits;
	case KVM_CAP_X86_DISABLE_EXITS:
		return exits_that_can_be_off();
	}
	for (i = 0; i < ARRAY_SIZE(mv_caps); i++)
		if (mv_caps[i].cap == cap)
			return mv_caps[i].val;
	return 0;
}

/* Once, and before the first vCPU. */
static long set_max_vcpu_ids(struct mv_vm *vm, u64 nr)
{
	long r = 0;

	if (nr > MV_MAX_VCPU_ID)
		return -EINVAL;
	mutex_lock(&vm->lock);
	if (!vm->max_vcpu_ids)
		vm->max_vcpu_ids = nr;
	else if (vm->max_vcpu_ids != nr)
		r = -EINVAL;
	mutex_unlock(&vm->lock);
	return r;
}

static long disable_exits(struct mv_vm *vm, u64 exits)
{
	long r = -EINVAL;

	if (exits & ~(u64)exits_that_can_be_off())
		return -EINVAL;
	mutex_lock(&vm->lock);
	if (!vm->nr_vcpus) {
		vm->disabled_exits |= exits;
		r = 0;
	}
	mutex_unlock(&vm->lock);
	return r;
}

static long set_manual_log(struct mv_vm *vm, u64 flags)
{
	if (flags & ~MV_MANUAL_LOG_FLAGS || flags == KVM_DIRTY_LOG_INITIALLY_SET)
		return -EINVAL;
	mutex_lock(&vm->slots_lock);
	vm->manual_log = flags;
	mutex_unlock(&vm->slots_lock);
	return 0;
}

/* Userspace trusts this guest not to stop the machine, as only who may stop it can say. */
static long disable_nx_huge_pages(struct mv_vm *vm, u64 arg)
{
	long r = -EINVAL;

	if (!capable(CAP_SYS_BOOT))
		return -EPERM;
	mutex_lock(&vm->lock);
	if (!arg && !vm->nr_vcpus) {
		vm->mmu.exec_splits = false;
		r = 0;
	}
	mutex_unlock(&vm->lock);
	return r;
}

static long vm_enable_cap(struct mv_vm *vm, const struct kvm_enable_cap __user *arg)
{
	struct kvm_enable_cap cap;

	if (copy_from_user(&cap, arg, sizeof(cap)))
		return -EFAULT;
	if (cap.flags)
		return -EINVAL;
	switch (cap.cap) {
	case KVM_CAP_EXCEPTION_PAYLOAD:
		vm->exception_payload = cap.args[0];
		return 0;
	case KVM_CAP_SPLIT_IRQCHIP:
		return mv_irqchip_split(vm, cap.args[0]);
	case KVM_CAP_X2APIC_API:
		if (cap.args[0] & ~MV_X2APIC_API)
			return -EINVAL;
		mutex_lock(&vm->lock);
		vm->x2apic_api |= cap.args[0];
		mutex_unlock(&vm->lock);
		return 0;
	case KVM_CAP_X86_TRIPLE_FAULT_EVENT:
		vm->triple_fault_event = cap.args[0];
		return 0;
	case KVM_CAP_EXIT_ON_EMULATION_FAILURE:
		if (cap.args[0] > 1)
			return -EINVAL;
		vm->exit_on_emulation_failure = cap.args[0];
		return 0;
	case KVM_CAP_MSR_PLATFORM_INFO:
		vm->no_platform_info = !cap.args[0];
		return 0;
	case KVM_CAP_MAX_VCPU_ID:
		return set_max_vcpu_ids(vm, cap.args[0]);
	case KVM_CAP_DISABLE_QUIRKS2:
		if (cap.args[0] & ~(u64)MV_QUIRKS)
			return -EINVAL;
		fallthrough;
	case KVM_CAP_DISABLE_QUIRKS:
		WRITE_ONCE(vm->disabled_quirks, cap.args[0]);
		return 0;
	case KVM_CAP_X86_DISABLE_EXITS:
		return disable_exits(vm, cap.args[0]);
	case KVM_CAP_X86_USER_SPACE_MSR:
		if (cap.args[0] & ~(u64)(KVM_MSR_EXIT_REASON_INVAL | KVM_MSR_EXIT_REASON_UNKNOWN |
					 KVM_MSR_EXIT_REASON_FILTER))
			return -EINVAL;
		WRITE_ONCE(vm->user_msr_reasons, cap.args[0]);
		return 0;
	case KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2:
		return set_manual_log(vm, cap.args[0]);
	case KVM_CAP_DIRTY_LOG_RING:
	case KVM_CAP_DIRTY_LOG_RING_ACQ_REL:
		return mv_enable_dirty_ring(vm, cap.args[0]);
	case KVM_CAP_VM_DISABLE_NX_HUGE_PAGES:
		return disable_nx_huge_pages(vm, cap.args[0]);
	case KVM_CAP_HALT_POLL:
		if (cap.args[0] > U32_MAX)
			return -EINVAL;
		WRITE_ONCE(vm->halt_poll_ns, cap.args[0]);
		return 0;
	default:
		return -EINVAL;
	}
}

/* ---- ioctls ---- */

static long set_boot_cpu(struct mv_vm *vm, unsigned long id)
{
	long r = 0;

	mutex_lock(&vm->lock);
	if (vm->nr_vcpus)
		r = -EBUSY;
	else
		vm->bsp_id = id;
	mutex_unlock(&vm->lock);
	return r;
}

/*
 * The three pages of a TSS, and the page of an identity map, that KVM borrows
 * from the guest to run real mode on old hardware. Accepted and not needed.
 */
static long set_tss_addr(struct mv_vm *vm, unsigned long addr)
{
	return addr > (u32)(-3 * PAGE_SIZE) ? -EINVAL : 0;
}

static long set_identity_map_addr(struct mv_vm *vm, const u64 __user *arg)
{
	u64 addr;
	long r;

	if (copy_from_user(&addr, arg, sizeof(addr)))
		return -EFAULT;
	mutex_lock(&vm->lock);
	r = vm->nr_vcpus ? -EINVAL : 0;
	mutex_unlock(&vm->lock);
	return r;
}

static long set_user_memory_region(struct mv_vm *vm,
				   const struct kvm_userspace_memory_region __user *arg)
{
	struct kvm_userspace_memory_region region;

	if (copy_from_user(&region, arg, sizeof(region)))
		return -EFAULT;
	return mv_set_memory_region(vm, &region);
}

/* A 32-bit process leaves the upper half of a pointer in a structure as it finds it. */
static void __user *user_pointer(void __user *p)
{
	return in_compat_syscall() ? (void __user *)(unsigned long)(u32)(unsigned long)p : p;
}

static long get_dirty_log(struct mv_vm *vm, const struct kvm_dirty_log __user *arg)
{
	struct kvm_dirty_log log;

	if (copy_from_user(&log, arg, sizeof(log)))
		return -EFAULT;
	log.dirty_bitmap = user_pointer(log.dirty_bitmap);
	return mv_get_dirty_log(vm, &log);
}

static long clear_dirty_log(struct mv_vm *vm, const struct kvm_clear_dirty_log __user *arg)
{
	struct kvm_clear_dirty_log log;

	if (copy_from_user(&log, arg, sizeof(log)))
		return -EFAULT;
	log.dirty_bitmap = user_pointer(log.dirty_bitmap);
	return mv_clear_dirty_log(vm, &log);
}

static long vm_ioctl(struct file *file, unsigned int nr, unsigned long arg)
{
	struct mv_vm *vm = file->private_data;
	void __user *uarg = (void __user *)arg;

	if (current->mm != vm->mm)
		return -EIO;
	switch (nr) {
	case KVM_CREATE_VCPU:
		return mv_vcpu_create(vm, arg);
	case KVM_CHECK_EXTENSION:
		return mv_check_extension(vm, arg);
	case KVM_ENABLE_CAP:
		return vm_enable_cap(vm, uarg);
	case KVM_SET_USER_MEMORY_REGION:
		return set_user_memory_region(vm, uarg);
	case KVM_GET_DIRTY_LOG:
		return get_dirty_log(vm, uarg);
	case KVM_CLEAR_DIRTY_LOG:
		return clear_dirty_log(vm, uarg);
	case KVM_RESET_DIRTY_RINGS:
		return mv_reset_dirty_rings(vm);
	case KVM_SET_NR_MMU_PAGES:
		return mv_set_nr_mmu_pages(vm, arg);
	case KVM_GET_NR_MMU_PAGES:
		return mv_get_nr_mmu_pages(vm);
	case KVM_SET_TSS_ADDR:
		return set_tss_addr(vm, arg);
	case KVM_SET_IDENTITY_MAP_ADDR:
		return set_identity_map_addr(vm, uarg);
	case KVM_X86_SET_MSR_FILTER:
		return mv_set_msr_filter(vm, uarg);
	case KVM_GET_CLOCK:
		return mv_get_clock(vm, uarg);
	case KVM_SET_CLOCK:
		return mv_set_clock(vm, uarg);
	case KVM_SET_BOOT_CPU_ID:
		return set_boot_cpu(vm, arg);
	case KVM_IOEVENTFD:
		return mv_ioeventfd_ioctl(vm, uarg);
	case KVM_REGISTER_COALESCED_MMIO:
	case KVM_UNREGISTER_COALESCED_MMIO:
		return mv_coalesced_ioctl(vm, uarg, nr == KVM_REGISTER_COALESCED_MMIO);
	case KVM_GET_STATS_FD:
		return mv_get_stats_fd(vm, NULL);
	case KVM_GET_TSC_KHZ:
		return READ_ONCE(vm->tsc_khz);
	case KVM_SET_TSC_KHZ:
		return mv_vm_set_tsc_khz(vm, arg);
	default:
		return mv_irq_vm_ioctl(vm, nr, arg);
	}
}

/* Of a 32-bit process: all structures but one have the same layout for it. */
static long vm_ioctl32(struct file *file, unsigned int nr, unsigned long arg)
{
	struct mv_vm *vm = file->private_data;
	long r;

	arg = (u32)arg;
	if (current->mm != vm->mm)
		return -EIO;
	r = mv_set_msr_filter32(vm, nr, (void __user *)arg);
	return r == -ENOIOCTLCMD ? vm_ioctl(file, nr, arg) : r;
}

static int vm_release(struct inode *inode, struct file *file)
{
	mv_irqfd_release_vm(file->private_data);
	mv_vm_put(file->private_data);
	return 0;
}

static const struct file_operations vm_fops = {
	.owner = THIS_MODULE,
	.release = vm_release,
	.unlocked_ioctl = vm_ioctl,
	.compat_ioctl = vm_ioctl32,
	.llseek = noop_llseek,
};

static struct mv_vm *vm_alloc(void)
{
	struct mv_vm *vm;
	int r;

	vm = kzalloc(sizeof(*vm), GFP_KERNEL_ACCOUNT);
	if (!vm)
		return ERR_PTR(-ENOMEM);
	refcount_set(&vm->refs, 1);
	vm->halt_poll_ns = -1;
	mutex_init(&vm->lock);
	mutex_init(&vm->slots_lock);
	spin_lock_init(&vm->irq_lock);
	spin_lock_init(&vm->ring_lock);
	mv_irqfd_init_vm(vm);
	spin_lock_init(&vm->tsc_lock);
	vm->tsc_khz = tsc_khz;
	vm->creator = task_pid_nr(current);
	xa_init(&vm->vcpus);
	r = init_srcu_struct(&vm->srcu);
	if (r)
		goto free;
	vm->mm = current->mm;
	mmgrab(vm->mm);
	r = mv_mmu_init_vm(vm);
	if (r)
		goto drop;
	mv_clock_init_vm(vm);
	atomic_inc(&vm_count);
	return vm;
drop:
	mmdrop(vm->mm);
	cleanup_srcu_struct(&vm->srcu);
free:
	kfree(vm);
	return ERR_PTR(r);
}

long mv_vm_create(unsigned long type)
{
	struct mv_vm *vm;
	long fd;

	if (type)
		return -EINVAL;
	vm = vm_alloc();
	if (IS_ERR(vm))
		return PTR_ERR(vm);
	fd = anon_inode_getfd("minivirt-vm", &vm_fops, vm, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		mv_vm_put(vm);
	return fd;
}
