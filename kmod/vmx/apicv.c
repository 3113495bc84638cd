// SPDX-License-Identifier: GPL-2.0-only
/*
 * The local APIC in hardware: TPR shadow, virtualized accesses, and
 * virtual-interrupt delivery.  SDM vol. 3C, chapter 30.
 *
 * The register page of struct mv_lapic is the virtual-APIC page.  All that is
 * used beyond the TPR shadow is there or none of it: mv_apicv.  Posted
 * interrupts are not needed: who sends an interrupt to a vCPU in the guest kicks
 * it out, and RVI is set before the next entry.
 */
#include <linux/io.h>
#include <linux/mm.h>

#include "base/backend.h"
#include "irq/types.h"
#include "vmx/vmx.h"

static struct page *apic_access_page __ro_after_init;

/*
 * The one processor that has virtual-interrupt delivery without posted
 * interrupts is Bochs 2.7, and it has two faults there: an exit in the middle of
 * the delivery tells another event than this one in the IDT-vectoring
 * information; and a host interrupt makes it deliver a virtual interrupt that is
 * pending although RFLAGS.IF is 0.  So none may become pending then: not at
 * entry, not by a self-IPI, not by the EOI of another.
 */
static bool bochs __ro_after_init;

/* In x2APIC mode, by its own register. */
bool __init vmx_passes_self_ipi(void)
{
	return !bochs;
}

int __init vmx_setup_apicv(struct mv_backend *backend)
{
	u64 pin;

	if (!mv_apicv)
		return 0;
	rdmsrl(MSR_IA32_VMX_PINBASED_CTLS, pin);
	bochs = !(pin >> 32 & PIN_BASED_POSTED_INTR);
	apic_access_page = alloc_page(GFP_KERNEL | __GFP_ZERO);
	if (!apic_access_page)
		return -ENOMEM;
	backend->apic_access_pfn = page_to_pfn(apic_access_page);
	return 0;
}

void vmx_free_apicv(void)
{
	if (apic_access_page)
		__free_page(apic_access_page);
}

/* The constant part of a new VMCS. */
void vmx_init_apic(struct vmx_vcpu *vmx)
{
	struct mv_lapic *lapic = vmx->vcpu.lapic;

	if (!lapic)
		return;
	vmcs_write(VIRTUAL_APIC_PAGE_ADDR, __pa(lapic->regs));
	vmx->tpr_threshold = 0;
	vmcs_write(TPR_THRESHOLD, 0);
	if (mv_apicv)
		vmcs_write(APIC_ACCESS_ADDR, page_to_phys(apic_access_page));
}

/* Secondary controls */
u32 vmx_apic_controls(struct mv_vcpu *vcpu)
{
	u32 cpu2 = SECONDARY_EXEC_APIC_REGISTER_VIRT | SECONDARY_EXEC_VIRTUAL_INTR_DELIVERY;

	if (!mv_apicv || !vcpu->lapic)
		return 0;
	if (lapic_x2apic(vcpu->lapic))
		cpu2 |= SECONDARY_EXEC_VIRTUALIZE_X2APIC_MODE;
	else if (lapic_hw_enabled(vcpu->lapic))
		cpu2 |= SECONDARY_EXEC_VIRTUALIZE_APIC_ACCESSES;
	return cpu2;
}

static void write_eoi_exits(const unsigned long *eoi_vectors, unsigned long all)
{
	int i;

	/* An EOI with nothing in service is taken for one of vector 0. */
	vmcs_write(EOI_EXIT_BITMAP0, (READ_ONCE(eoi_vectors[0]) | all) & ~1ul);
	for (i = 1; i < 256 / 64; i++)
		vmcs_write(EOI_EXIT_BITMAP0 + 2 * i, READ_ONCE(eoi_vectors[i]) | all);
}

void vmx_update_apic(struct mv_vcpu *vcpu, u8 isr, const unsigned long *eoi_vectors)
{
	vmx_write_cpu2(vcpu);
	vmcs_write(GUEST_INTR_STATUS, isr << 8); /* SVI; RVI is 0 */
	to_vmx(vcpu)->all_eois_exit = false;
	write_eoi_exits(eoi_vectors, 0);
}

/* For Bochs: while RFLAGS.IF is 0. */
static void keep_from_pending(struct mv_vcpu *vcpu, u8 irr)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	int row, vectors = 0;

	if (!irr)
		return;
	/* With interrupt-window exiting nothing is pending. */
	if (!mv_call(irq_allowed)(vcpu))
		mv_call(irq_window)(vcpu, true);
	/* One that waits for the end of another: not before it has been looked at. */
	for (row = 0; row < 8; row++)
		vectors += hweight32(lapic_reg(vcpu->lapic, APIC_IRR + row * 0x10) |
				     lapic_reg(vcpu->lapic, APIC_ISR + row * 0x10));
	if (vectors > 1 && !vmx->all_eois_exit) {
		vmx->all_eois_exit = true;
		write_eoi_exits(vcpu->vm->eoi_vectors, ~0ul);
	}
}

void vmx_set_rvi(struct mv_vcpu *vcpu, u8 irr)
{
	u16 status = vmcs_read(GUEST_INTR_STATUS);

	if ((u8)status != irr)
		vmcs_write(GUEST_INTR_STATUS, (status & 0xff00) | irr);
	if (bochs)
		keep_from_pending(vcpu, irr);
}

void vmx_decode_eoi(struct mv_vcpu *vcpu)
{
	vcpu->exit.apic = vmcs_read(EXIT_QUALIFICATION);
	if (bochs)
		mv_request(vcpu, MV_REQ_APIC);
}

/* The IDT-vectoring information, which is valid. */
u32 vmx_vectoring_info(struct mv_vcpu *vcpu, u32 info)
{
	u8 svi;

	if (!bochs || !vcpu->lapic)
		return info;
	/* The handler of an interrupt begins with IF = 0, so this one has not begun. */
	svi = vmcs_read(GUEST_INTR_STATUS) >> 8;
	if (svi && mv_call(irq_allowed)(vcpu))
		info = VECTORING_INFO_VALID_MASK | INTR_TYPE_EXT_INTR | svi;
	return info;
}

void vmx_update_cr8_intercept(struct mv_vcpu *vcpu, int tpr)
{
	struct vmx_vcpu *vmx = to_vmx(vcpu);
	u8 threshold = max(tpr, 0);

	if (vmx->tpr_threshold != threshold) {
		vmx->tpr_threshold = threshold;
		vmcs_write(TPR_THRESHOLD, threshold);
	}
}

/* Exit qualification for APIC accesses. SDM vol. 3C, table 28-6. */
void vmx_decode_apic_access(struct mv_vcpu *vcpu)
{
	u64 q = vmcs_read(EXIT_QUALIFICATION);
	u8 type = (q >> 12) & 15;

	vcpu->exit.fault.gpa = (vcpu->apic_base & PAGE_MASK) | (q & ~PAGE_MASK);
	/* 0: data read, 1: data write, 2: fetch, 3: the stack of an event; from 10: tables */
	vcpu->exit.fault.access = type < 3 ? BIT(type) : MV_ACCESS_WRITE;
	vcpu->exit.fault.in_walk = type > 3;
}
