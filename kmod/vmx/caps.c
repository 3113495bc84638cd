// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the processor can do, and VMX operation on and off.
 * SDM vol. 3C, 24.6 to 24.8; vol. 3D, appendix A.
 */
#include <linux/module.h>
#include <linux/namei.h>
#include <linux/percpu.h>
#include <asm/cpufeature.h>
#include <asm/msr.h>
#include <asm/perf_event.h>
#include <asm/special_insns.h>
#include <asm/tlbflush.h>

#include "base/backend.h"
#include "base/compat.h"
#include "base/ptformat.h"
#include "vmx/vmx.h"
#include "../uapi/linux/minivirt.h"

struct vmx_caps vmx_caps __ro_after_init;

static bool vmx_use_pml __ro_after_init = true;
module_param_named(pml, vmx_use_pml, bool, 0444);
MODULE_PARM_DESC(pml, "log written pages by page-modification logging where the processor has it");

static DEFINE_PER_CPU(void *, vmxon_region);
static DEFINE_PER_CPU(bool, vmx_enabled);

/* EPT entries: readable, writable, executable; memory type write-back, guest PAT ignored. */
#define EPT_RWX (VMX_EPT_READABLE_MASK | VMX_EPT_WRITABLE_MASK | VMX_EPT_EXECUTABLE_MASK)
#define EPT_WB (VMX_EPTP_MT_WB << VMX_EPT_MT_EPTE_SHIFT)

static struct mv_pt_format ept_format __ro_after_init = {
	.table = EPT_RWX,
	.leaf = VMX_EPT_READABLE_MASK | EPT_WB | VMX_EPT_IPAT_BIT,
	.leaf_device = VMX_EPT_READABLE_MASK | VMX_EPT_IPAT_BIT,
	.present = EPT_RWX,
	.large = BIT_ULL(7),
	.write = VMX_EPT_WRITABLE_MASK,
	.exec = VMX_EPT_EXECUTABLE_MASK,
	.logged = VMX_EPT_WRITABLE_MASK,
	.max_level = 1,
};

/*
 * One row for each VM-execution control word: the bits that minivirt needs,
 * the bits it takes when they are there, and the MSRs that tell.
 */
struct vmx_control {
	const char *name;
	u32 msr, true_msr;
	u32 need, take;
	u32 *result;
};

/* What mv_apicv stands for. */
#define VMX_APICV                                                                          \
	(SECONDARY_EXEC_VIRTUALIZE_APIC_ACCESSES | SECONDARY_EXEC_VIRTUALIZE_X2APIC_MODE | \
	 SECONDARY_EXEC_APIC_REGISTER_VIRT | SECONDARY_EXEC_VIRTUAL_INTR_DELIVERY)

static const struct vmx_control vmx_controls[] __initconst = {
	{ "pin-based controls", MSR_IA32_VMX_PINBASED_CTLS, MSR_IA32_VMX_TRUE_PINBASED_CTLS,
	  PIN_BASED_EXT_INTR_MASK | PIN_BASED_NMI_EXITING | PIN_BASED_VIRTUAL_NMIS, 0,
	  &vmx_caps.pin },
	{ "processor-based controls", MSR_IA32_VMX_PROCBASED_CTLS,
	  MSR_IA32_VMX_TRUE_PROCBASED_CTLS,
	  CPU_BASED_HLT_EXITING | CPU_BASED_CR8_LOAD_EXITING | CPU_BASED_CR8_STORE_EXITING |
	  CPU_BASED_TPR_SHADOW |
	  CPU_BASED_UNCOND_IO_EXITING | CPU_BASED_MOV_DR_EXITING |
	  CPU_BASED_USE_TSC_OFFSETTING | CPU_BASED_MWAIT_EXITING |
	  CPU_BASED_MONITOR_EXITING | CPU_BASED_RDPMC_EXITING |
	  CPU_BASED_USE_MSR_BITMAPS | CPU_BASED_ACTIVATE_SECONDARY_CONTROLS, 0,
	  &vmx_caps.cpu },
	{ "secondary processor-based controls (EPT and unrestricted guest)",
	  MSR_IA32_VMX_PROCBASED_CTLS2, 0,
	  SECONDARY_EXEC_ENABLE_EPT | SECONDARY_EXEC_UNRESTRICTED_GUEST,
	  SECONDARY_EXEC_ENABLE_VPID | SECONDARY_EXEC_ENABLE_RDTSCP |
	  SECONDARY_EXEC_ENABLE_INVPCID | SECONDARY_EXEC_WBINVD_EXITING |
	  SECONDARY_EXEC_ENABLE_XSAVES | SECONDARY_EXEC_PAUSE_LOOP_EXITING |
	  SECONDARY_EXEC_TSC_SCALING | SECONDARY_EXEC_ENABLE_PML |
	  SECONDARY_EXEC_ENCLS_EXITING | VMX_APICV,
	  &vmx_caps.cpu2 },
	{ "VM-exit controls", MSR_IA32_VMX_EXIT_CTLS, MSR_IA32_VMX_TRUE_EXIT_CTLS,
	  VM_EXIT_HOST_ADDR_SPACE_SIZE | VM_EXIT_LOAD_IA32_EFER |
	  VM_EXIT_SAVE_DEBUG_CONTROLS, 0,
	  &vmx_caps.exit },
	{ "VM-entry controls", MSR_IA32_VMX_ENTRY_CTLS, MSR_IA32_VMX_TRUE_ENTRY_CTLS,
	  VM_ENTRY_LOAD_IA32_EFER | VM_ENTRY_LOAD_DEBUG_CONTROLS, 0,
	  &vmx_caps.entry },
};

static int __init vmx_setup_control(const struct vmx_control *c, bool have_true)
{
	u32 must, may;

	rdmsr(have_true && c->true_msr ? c->true_msr : c->msr, must, may);
	if (~may & c->need) {
		pr_err("this processor lacks %s %#x\n", c->name, ~may & c->need);
		return -EOPNOTSUPP;
	}
	*c->result = must | c->need | (may & c->take);
	return 0;
}

static int __init vmx_setup_ept(struct mv_backend *backend)
{
	u64 cap;

	rdmsrl(MSR_IA32_VMX_EPT_VPID_CAP, cap);
	if (!(cap & VMX_EPT_PAGE_WALK_4_BIT) || !(cap & VMX_EPTP_WB_BIT) ||
	    !(cap & VMX_EPT_INVEPT_BIT) || !(cap & VMX_EPT_EXTENT_CONTEXT_BIT)) {
		pr_err("this processor's EPT lacks 4-level write-back tables or INVEPT\n");
		return -EOPNOTSUPP;
	}
	if (cap & VMX_EPT_AD_BIT) {
		vmx_caps.ept_ad = true;
		ept_format.accessed = VMX_EPT_ACCESS_BIT;
		ept_format.dirty = VMX_EPT_DIRTY_BIT;
		backend->features |= MINIVIRT_FEATURE_AD_BITS;
	}
	if (!vmx_caps.ept_ad || !vmx_use_pml)
		vmx_caps.cpu2 &= ~SECONDARY_EXEC_ENABLE_PML;
	if (vmx_caps.cpu2 & SECONDARY_EXEC_ENABLE_PML) {
		ept_format.logged = ept_format.dirty;
		backend->features |= MINIVIRT_FEATURE_PML;
	}
	if (cap & VMX_EPT_2MB_PAGE_BIT) {
		ept_format.max_level = 2;
		backend->features |= MINIVIRT_FEATURE_PAGE_2M;
		if (cap & VMX_EPT_1GB_PAGE_BIT) {
			ept_format.max_level = 3;
			backend->features |= MINIVIRT_FEATURE_PAGE_1G;
		}
	}
	backend->pt_format = &ept_format;
	return 0;
}

/* A loaded kvm_intel owns VMX, and the kernel's one emergency callback, with or without a VM. */
static bool __init vmx_other_owner(void)
{
	struct path path;

	if (kern_path("/sys/module/kvm_intel", 0, &path))
		return false;
	path_put(&path);
	return true;
}

int __init vmx_setup_caps(struct mv_backend *backend)
{
	u64 basic, feature, fixed;
	int i, r;

	if (!boot_cpu_has(X86_FEATURE_VMX))
		return -ENODEV;

	rdmsrl(MSR_IA32_FEAT_CTL, feature);
	if ((feature & FEAT_CTL_LOCKED) && !(feature & FEAT_CTL_VMX_ENABLED_OUTSIDE_SMX)) {
		pr_err("VMX is locked off by the firmware\n");
		return -EOPNOTSUPP;
	}
	if (vmx_other_owner() || (__read_cr4() & X86_CR4_VMXE)) {
		pr_err("another hypervisor holds VMX (is kvm_intel loaded?)\n");
		return -EBUSY;
	}
	if (mv_fred_enabled()) {
		pr_err("FRED is on: not supported yet\n");
		return -EOPNOTSUPP;
	}

	rdmsrl(MSR_IA32_VMX_BASIC, basic);
	if (((basic >> 50) & 0xf) != VMX_EPTP_MT_WB ||
	    vmx_basic_vmcs_size(basic) > PAGE_SIZE) {
		pr_err("this processor's VMCS is not one write-back page\n");
		return -EOPNOTSUPP;
	}
	vmx_caps.revision = basic & GENMASK(30, 0);

	for (i = 0; i < ARRAY_SIZE(vmx_controls); i++) {
		/* Bit 55: the TRUE capability MSRs are there. */
		r = vmx_setup_control(&vmx_controls[i], basic & BIT_ULL(55));
		if (r)
			return r;
	}
	/* CR3 and INVLPG exits are for shadow paging; only TRUE MSRs let them be off. */
	if (vmx_caps.cpu & (CPU_BASED_CR3_LOAD_EXITING | CPU_BASED_CR3_STORE_EXITING |
			    CPU_BASED_INVLPG_EXITING)) {
		pr_err("this processor cannot turn CR3 and INVLPG exits off\n");
		return -EOPNOTSUPP;
	}

	rdmsrl(MSR_IA32_VMX_CR0_FIXED0, fixed);
	vmx_caps.cr0_fixed = fixed & ~(X86_CR0_PE | X86_CR0_PG); /* unrestricted guest */
	rdmsrl(MSR_IA32_VMX_CR4_FIXED0, vmx_caps.cr4_fixed);

	backend->features |= MINIVIRT_FEATURE_TPR_SHADOW;
	mv_apicv &= (vmx_caps.cpu2 & VMX_APICV) == VMX_APICV;
	if (mv_apicv)
		backend->features |= MINIVIRT_FEATURE_APICV;
	vmx_caps.cpu2 &= ~VMX_APICV; /* see vmx_apic_controls() */
	if (vmx_caps.cpu2 & SECONDARY_EXEC_ENABLE_VPID) {
		vmx_caps.vpid = true;
		backend->features |= MINIVIRT_FEATURE_VPID;
	}
	if (vmx_caps.cpu2 & SECONDARY_EXEC_ENABLE_XSAVES)
		backend->features |= MINIVIRT_FEATURE_XSAVES;
	if (vmx_caps.cpu2 & SECONDARY_EXEC_PAUSE_LOOP_EXITING)
		backend->features |= MINIVIRT_FEATURE_PLE;
	if (vmx_caps.cpu2 & SECONDARY_EXEC_TSC_SCALING) {
		backend->features |= MINIVIRT_FEATURE_TSC_SCALING;
		backend->tsc_frac_bits = VMX_TSC_FRAC_BITS;
	}
	return vmx_setup_ept(backend);
}

int vmx_alloc_vmxon(void)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		u32 *region = (u32 *)get_zeroed_page(GFP_KERNEL);

		if (!region) {
			vmx_free_vmxon();
			return -ENOMEM;
		}
		*region = vmx_caps.revision;
		per_cpu(vmxon_region, cpu) = region;
	}
	return 0;
}

void vmx_free_vmxon(void)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		free_page((unsigned long)per_cpu(vmxon_region, cpu));
		per_cpu(vmxon_region, cpu) = NULL;
	}
}

/* Where the firmware has left the lock open, VMX is enabled here, as SDM 24.7 says. */
static void vmx_enable_feature(void)
{
	u64 feature;

	rdmsrl(MSR_IA32_FEAT_CTL, feature);
	if (!(feature & FEAT_CTL_LOCKED))
		wrmsrl(MSR_IA32_FEAT_CTL,
		       feature | FEAT_CTL_LOCKED | FEAT_CTL_VMX_ENABLED_OUTSIDE_SMX);
}

int vmx_cpu_enable(void)
{
	u64 pa = __pa(this_cpu_read(vmxon_region));
	u8 failed = true; /* stays so if VMXON faults */

	if (this_cpu_read(vmx_enabled))
		return 0;
	if (__read_cr4() & X86_CR4_VMXE)
		return -EBUSY;

	vmx_enable_feature();
	cr4_set_bits(X86_CR4_VMXE);
	/* Where it excludes Intel PT, VMXON stops that, and turning it on faults. SDM 33.5. */
	intel_pt_handle_vmx(1);
	asm volatile("1: vmxon %1\n\tsetna %0\n2:\n" _ASM_EXTABLE(1b, 2b)
		     : "+q"(failed) : "m"(pa) : "cc", "memory");
	if (failed) {
		intel_pt_handle_vmx(0);
		cr4_clear_bits(X86_CR4_VMXE);
		return -EIO;
	}
	vmx_read_host_msrs();
	this_cpu_write(vmx_enabled, true);
	return 0;
}

/* VMXOFF faults when VMX was already off: by then that is what is wanted. */
static void vmx_off(void)
{
	asm volatile("1: vmxoff\n2:\n" _ASM_EXTABLE(1b, 2b) : : : "cc", "memory");
	cr4_clear_bits(X86_CR4_VMXE);
}

void vmx_cpu_disable(void)
{
	if (!this_cpu_read(vmx_enabled))
		return;
	vmx_clear_all_on_this_cpu();
	this_cpu_write(vmx_enabled, false);
	vmx_off();
	intel_pt_handle_vmx(0);
}

/* From an NMI, before a crash kernel or a forced reboot: no locks, nothing freed. */
void vmx_cpu_emergency_disable(void)
{
	if (!this_cpu_read(vmx_enabled))
		return;
	this_cpu_write(vmx_enabled, false);
	vmx_emergency_clear_all();
	vmx_off();
}
