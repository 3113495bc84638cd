// SPDX-License-Identifier: GPL-2.0-only
/* Load and unload, /dev/minivirt and /dev/kvm, the system ioctls. */
#include <linux/cpu.h>
#include <linux/cpuhotplug.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/platform_device.h>
#include <linux/pm.h>
#include <linux/reboot.h>
#include <linux/uaccess.h>
#include <asm/fpu/xcr.h>
#include <asm/reboot.h>

#include "base/backend.h"
#include "cpu/asyncpf.h"
#include "cpu/cpuid.h"
#include "cpu/mce.h"
#include "cpu/msr.h"
#include "mmu/memory.h"
#include "time/time.h"
#include "vm/ioctl.h"
#include "../uapi/linux/minivirt.h"

static bool kvm_node __ro_after_init;
module_param(kvm_node, bool, 0444);
MODULE_PARM_DESC(kvm_node, "also be /dev/kvm, for programs whose path is fixed");

/* ---- the hardware, on every CPU that comes and goes ---- */

static int cpu_online_enable(unsigned int cpu)
{
	int r;

	local_irq_disable();
	r = mv_backend->cpu_enable();
	local_irq_enable();
	if (r)
		pr_err("CPU %u: cannot enable %s: %d\n", cpu, mv_backend->name, r);
	return r;
}

static int cpu_offline_disable(unsigned int cpu)
{
	local_irq_disable();
	mv_backend->cpu_disable();
	local_irq_enable();
	return 0;
}

static void disable_on_this_cpu(void *unused)
{
	mv_backend->cpu_disable();
}

static void enable_on_this_cpu(void *unused)
{
	mv_backend->cpu_enable();
}

/* A CPU in VMX operation ignores INIT: it has to leave it before the firmware takes over. */
static int reboot_notify(struct notifier_block *nb, unsigned long val, void *unused)
{
	on_each_cpu(disable_on_this_cpu, NULL, 1);
	return NOTIFY_OK;
}

static struct notifier_block mv_reboot_nb = { .notifier_call = reboot_notify };

/*
 * Suspend and hibernation, when all user threads are frozen: the other CPUs
 * go through hotplug besides, the boot CPU has only this.
 */
static int mv_suspend(struct device *dev)
{
	on_each_cpu(disable_on_this_cpu, NULL, 1);
	return 0;
}

static int mv_resume(struct device *dev)
{
	on_each_cpu(enable_on_this_cpu, NULL, 1);
	mv_clock_restart_all();
	return 0;
}

static DEFINE_SIMPLE_DEV_PM_OPS(mv_pm_ops, mv_suspend, mv_resume);

static struct platform_driver mv_platform_driver = {
	.driver = { .name = "minivirt", .pm = pm_sleep_ptr(&mv_pm_ops) },
};

static struct platform_device *mv_platform_device;

/* ---- /dev/minivirt and /dev/kvm ---- */

static long get_info(struct minivirt_info __user *arg)
{
	struct minivirt_info info = {
		.backend = mv_backend->id,
		.features = mv_backend->features,
		.version = MV_VERSION,
		.phys_bits = boot_cpu_data.x86_phys_bits,
		.vms = mv_vm_count(),
	};
	u32 size;

	if (get_user(size, &arg->size))
		return -EFAULT;
	if (size < MINIVIRT_INFO_SIZE_V0)
		return -EINVAL;
	info.size = min_t(u32, size, sizeof(info));
	return copy_to_user(arg, &info, info.size) ? -EFAULT : 0;
}

static_assert(sizeof(struct minivirt_info) == MINIVIRT_INFO_SIZE_V0);

static long dev_attr(unsigned int nr, const struct kvm_device_attr __user *arg)
{
	struct kvm_device_attr attr;

	if (copy_from_user(&attr, arg, sizeof(attr)))
		return -EFAULT;
	if (attr.group || attr.attr != KVM_X86_XCOMP_GUEST_SUPP)
		return -ENXIO;
	if (nr == KVM_HAS_DEVICE_ATTR)
		return 0;
	return put_user(mv_supported_xcr0(), (u64 __user *)u64_to_user_ptr(attr.addr));
}

static long dev_ioctl(struct file *file, unsigned int nr, unsigned long arg)
{
	void __user *uarg = (void __user *)arg;

	switch (nr) {
	case KVM_GET_API_VERSION:
		return arg ? -EINVAL : KVM_API_VERSION;
	case KVM_CREATE_VM:
		return mv_vm_create(arg);
	case KVM_CHECK_EXTENSION:
		return mv_check_extension(NULL, arg);
	case KVM_GET_VCPU_MMAP_SIZE:
		return arg ? -EINVAL : (KVM_COALESCED_MMIO_PAGE_OFFSET + 1) * PAGE_SIZE;
	case KVM_GET_SUPPORTED_CPUID:
		return mv_get_supported_cpuid(uarg);
	case KVM_GET_EMULATED_CPUID:
		return mv_get_emulated_cpuid(uarg);
	case KVM_X86_GET_MCE_CAP_SUPPORTED:
		return put_user(mv_mce_supported(), (u64 __user *)uarg);
	case KVM_HAS_DEVICE_ATTR:
	case KVM_GET_DEVICE_ATTR:
		return dev_attr(nr, uarg);
	case KVM_GET_MSR_INDEX_LIST:
		return mv_get_msr_index_list(uarg, false);
	case KVM_GET_MSR_FEATURE_INDEX_LIST:
		return mv_get_msr_index_list(uarg, true);
	case KVM_GET_MSRS:
		return mv_get_feature_msrs(uarg);
	case MINIVIRT_GET_INFO:
		return get_info(uarg);
	default:
		return -EINVAL;
	}
}

static const struct file_operations dev_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = dev_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.llseek = noop_llseek,
};

static struct miscdevice mv_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "minivirt",
	.fops = &dev_fops,
	.mode = 0600,
};

static struct miscdevice mv_kvm_misc = {
	.minor = KVM_MINOR,
	.name = "kvm",
	.fops = &dev_fops,
	.mode = 0600,
};

static int __init register_nodes(void)
{
	int r;

	r = misc_register(&mv_misc);
	if (r || !kvm_node)
		return r;
	r = misc_register(&mv_kvm_misc);
	if (r) {
		misc_deregister(&mv_misc);
		if (r == -EBUSY)
			pr_err("kvm_node=1: /dev/kvm is taken, unload kvm_intel or kvm_amd first\n");
	}
	return r;
}

static void unregister_nodes(void)
{
	if (kvm_node)
		misc_deregister(&mv_kvm_misc);
	misc_deregister(&mv_misc);
}

/* ---- load and unload ---- */

static struct mv_backend *const mv_backends[] __initconst = { &mv_vmx_backend, &mv_svm_backend };

#define MV_BIND_CALL(name) static_call_update(mv_##name##_call, mv_backend->name);

/* -ENODEV from a backend: this is not its processor; any other error is the answer. */
static int __init choose_backend(void)
{
	int i, r = -ENODEV;

	for (i = 0; i < ARRAY_SIZE(mv_backends) && r == -ENODEV; i++) {
		mv_backend = mv_backends[i];
		r = mv_backend->setup();
	}
	mv_apicv = mv_backend->features & MINIVIRT_FEATURE_APICV;
	if (r == -ENODEV)
		pr_err("this processor has neither VT-x nor AMD-V, or the firmware hides it\n");
	if (r)
		return r;
	MV_STATIC_CALLS(MV_BIND_CALL)
	return 0;
}

static void __init read_host_state(void)
{
	if (boot_cpu_has(X86_FEATURE_XSAVE))
		mv_host.xcr0 = xgetbv(XCR_XFEATURE_ENABLED_MASK);
	if (boot_cpu_has(X86_FEATURE_XSAVES))
		rdmsrl(MSR_IA32_XSS, mv_host.xss);
}

static int mv_cpuhp_state __ro_after_init;

static int __init minivirt_init(void)
{
	int r;

	r = choose_backend();
	if (r)
		return r;
	read_host_state();
	mv_msr_init();
	mv_cpuid_init();

	/* Once: it patches the scheduler's code, which no VM's creation should pay for. */
	preempt_notifier_inc();
	mv_clock_init();
	r = mv_apf_init();
	if (r)
		goto exit_clock;
	cpu_emergency_register_virt_callback(mv_backend->cpu_emergency_disable);
	r = cpuhp_setup_state(CPUHP_AP_ONLINE_DYN, "virt/minivirt:online", cpu_online_enable,
			      cpu_offline_disable);
	if (r < 0)
		goto unregister_emergency;
	mv_cpuhp_state = r;
	r = register_reboot_notifier(&mv_reboot_nb);
	if (r)
		goto remove_cpuhp;
	r = platform_driver_register(&mv_platform_driver);
	if (r)
		goto unregister_reboot;
	mv_platform_device = platform_device_register_simple("minivirt", PLATFORM_DEVID_NONE,
							     NULL, 0);
	r = PTR_ERR_OR_ZERO(mv_platform_device);
	if (r)
		goto unregister_driver;
	r = register_nodes();
	if (r)
		goto unregister_device;
	pr_info("%s, version " MV_VERSION "\n", mv_backend->name);
	return 0;

unregister_device:
	platform_device_unregister(mv_platform_device);
unregister_driver:
	platform_driver_unregister(&mv_platform_driver);
unregister_reboot:
	unregister_reboot_notifier(&mv_reboot_nb);
remove_cpuhp:
	cpuhp_remove_state(mv_cpuhp_state);
unregister_emergency:
	cpu_emergency_unregister_virt_callback(mv_backend->cpu_emergency_disable);
	mv_apf_exit();
exit_clock:
	mv_clock_exit();
	preempt_notifier_dec();
	mv_backend->unsetup();
	return r;
}

static void __exit minivirt_exit(void)
{
	unregister_nodes();
	platform_device_unregister(mv_platform_device);
	platform_driver_unregister(&mv_platform_driver);
	unregister_reboot_notifier(&mv_reboot_nb);
	cpuhp_remove_state(mv_cpuhp_state);
	cpu_emergency_unregister_virt_callback(mv_backend->cpu_emergency_disable);
	mv_apf_exit();
	mv_clock_exit();
	preempt_notifier_dec();
	mv_backend->unsetup();
	mv_mmu_exit();
}

module_init(minivirt_init);
module_exit(minivirt_exit);
MODULE_DESCRIPTION("minivirt: a hypervisor that speaks the KVM ABI");
MODULE_VERSION(MV_VERSION);
MODULE_LICENSE("GPL");
