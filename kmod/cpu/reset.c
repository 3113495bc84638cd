// SPDX-License-Identifier: GPL-2.0-only
/* The state after power-up or INIT. SDM vol. 3A, table 10-1. */
#include <uapi/asm/debugreg.h>

#include "base/backend.h"
#include "base/regs.h"
#include "base/request.h"
#include "cpu/asyncpf.h"
#include "cpu/cpuid.h"
#include "cpu/fpu.h"
#include "cpu/msr.h"
#include "cpu/state.h"
#include "irq/irq.h"

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
	mv_cpuid_runtime_update(vcpu);
	mv_request(vcpu, MV_REQ_EVENT);
	mv_request(vcpu, MV_REQ_TLB_FLUSH);
}
