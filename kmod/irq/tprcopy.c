// SPDX-License-Identifier: GPL-2.0-only
/*
 * For guests that use the task priority all the time, and by MMIO: userspace
 * can have their accesses reported, replace the instructions by ones that use
 * a copy in memory, and say where that copy is.
 */
#include "base/regs.h"
#include "base/request.h"
#include "irq/irq.h"
#include "irq/lapic.h"
#include "mmu/memory.h"

int mv_set_tpr_reporting(struct mv_vcpu *vcpu, void *buf)
{
	const struct kvm_tpr_access_ctl *ctl = buf;

	if (ctl->flags)
		return -EINVAL;
	if (vcpu->lapic)
		vcpu->lapic->report_tpr = ctl->enabled;
	return 0;
}

/* Userspace learns of it when the instruction is done, and wants to know where that was. */
void mv_report_tpr(struct mv_lapic *lapic, bool write)
{
	lapic->tpr_rip = mv_rip(lapic->vcpu);
	lapic->tpr_write = write;
	mv_request(lapic->vcpu, MV_REQ_TPR_ACCESS);
}

void mv_exit_tpr_access(struct mv_vcpu *vcpu)
{
	vcpu->run->exit_reason = KVM_EXIT_TPR_ACCESS;
	vcpu->run->tpr_access.rip = vcpu->lapic->tpr_rip;
	vcpu->run->tpr_access.is_write = vcpu->lapic->tpr_write;
}

int mv_set_vapic_addr(struct mv_vcpu *vcpu, void *buf)
{
	gpa_t gpa = ((struct kvm_vapic_addr *)buf)->vapic_addr;
	u32 unused;

	if (!vcpu->lapic || (gpa && mv_read_guest(vcpu->vm, gpa, &unused, sizeof(unused))))
		return -EINVAL;
	vcpu->vapic = gpa;
	mv_request(vcpu, MV_REQ_EVENT);
	return 0;
}

/* TPR, the class of the interrupt in service, the highest request: a byte each, at 0, 1 and 3. */
void mv_vapic_to_guest(struct mv_vcpu *vcpu)
{
	struct mv_lapic *lapic = vcpu->lapic;
	u32 isr = max(mv_lapic_highest_isr(lapic), 0), irr = max(mv_lapic_highest_irr(lapic), 0);
	u32 val = (lapic_reg(lapic, APIC_TASKPRI) & 0xff) | (isr & 0xf0) << 8 | irr << 24;

	mv_write_guest(vcpu->vm, vcpu->vapic, &val, sizeof(val));
}

void mv_vapic_from_guest(struct mv_vcpu *vcpu)
{
	u8 tpr;

	if (!mv_read_guest(vcpu->vm, vcpu->vapic, &tpr, sizeof(tpr)) &&
	    tpr != (lapic_reg(vcpu->lapic, APIC_TASKPRI) & 0xff))
		mv_lapic_set_tpr(vcpu->lapic, tpr);
}
