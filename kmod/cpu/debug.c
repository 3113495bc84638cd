// SPDX-License-Identifier: GPL-2.0-only
/* Debug registers, the guest's and its debugger's. SDM vol. 3B, chapter 18. */
#include <linux/percpu.h>
#include <asm/debugreg.h>
#include <asm/trapnr.h>

#include "base/backend.h"
#include "base/regs.h"
#include "cpu/debug.h"
#include "cpu/event.h"

#define DR7_WRITABLE 0xffff2bff
/* B0 to B3, BD, BS, BT; with TSX also RTM, which is active low as the reserved bits. */
#define DR6_WRITABLE 0xe00f
#define DR6_RTM_BIT BIT(16)

/* DR4 and DR5 are DR6 and DR7 unless CR4.DE is set. Return: the register, or -1: #UD. */
static int alias(struct mv_vcpu *vcpu, int dr)
{
	if (dr == 4 || dr == 5)
		return mv_cr4_has(vcpu, X86_CR4_DE) ? -1 : dr + 2;
	return dr;
}

int mv_get_dr(struct mv_vcpu *vcpu, int dr, u64 *val)
{
	dr = alias(vcpu, dr);
	switch (dr) {
	case 0 ... 3:
		*val = vcpu->dr[dr];
		return 0;
	case 6:
		*val = vcpu->dr6;
		return 0;
	case 7:
		*val = vcpu->dr7;
		return 0;
	default:
		return mv_inject_ud(vcpu);
	}
}

int mv_set_dr(struct mv_vcpu *vcpu, int dr, u64 val)
{
	u64 writable = DR6_WRITABLE;

	dr = alias(vcpu, dr);
	switch (dr) {
	case 0 ... 3:
		vcpu->dr[dr] = val;
		break;
	case 6:
		if (val >> 32)
			return mv_inject_gp(vcpu);
		if (mv_guest_has(vcpu, X86_FEATURE_RTM))
			writable |= DR6_RTM_BIT;
		vcpu->dr6 = (val & writable) | (DR6_RESERVED & ~writable);
		break;
	case 7:
		if (val >> 32)
			return mv_inject_gp(vcpu);
		vcpu->dr7 = (val & DR7_WRITABLE) | MV_DR7_RESET;
		mv_backend->update_debug(vcpu);
		break;
	default:
		return mv_inject_ud(vcpu);
	}
	return 0;
}

/*
 * #DB and #AC always: a guest whose handler for one of them raises it again
 * would keep the processor in microcode for ever. #MC is the host's. #UD for
 * the other vendor's hypercall instruction.
 */
u32 mv_exception_intercepts(struct mv_vcpu *vcpu)
{
	u32 vectors = BIT(X86_TRAP_DB) | BIT(X86_TRAP_UD) | BIT(X86_TRAP_AC) |
		      BIT(X86_TRAP_MC);

	if ((vcpu->guest_debug & KVM_GUESTDBG_ENABLE) &&
	    (vcpu->guest_debug & KVM_GUESTDBG_USE_SW_BP))
		vectors |= BIT(X86_TRAP_BP);
	return vectors;
}

u64 mv_linear_rip(struct mv_vcpu *vcpu)
{
	struct kvm_segment cs;

	if (mv_64bit_mode(vcpu))
		return mv_rip(vcpu);
	mv_backend->get_seg(vcpu, MV_CS, &cs);
	return (u32)(cs.base + mv_rip(vcpu));
}

/**
 * mv_debug_exit() - report a debug exception to the debugger, if it is its own
 * @vcpu: the vCPU, loaded
 * @vector: #DB or #BP; #BP only exits for a debugger that asked for it
 * @payload: for #DB, the bits that it sets in DR6
 *
 * Return: true with KVM_EXIT_DEBUG in struct kvm_run; false: it is the guest's.
 */
bool mv_debug_exit(struct mv_vcpu *vcpu, u8 vector, u64 payload)
{
	struct kvm_debug_exit_arch *debug = &vcpu->run->debug.arch;
	u32 wanted = KVM_GUESTDBG_USE_SW_BP;

	if (vector == DB_VECTOR)
		wanted = KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_USE_HW_BP;
	if (!(vcpu->guest_debug & wanted))
		return false;

	vcpu->run->exit_reason = KVM_EXIT_DEBUG;
	memset(debug, 0, sizeof(*debug));
	debug->exception = vector;
	debug->pc = mv_linear_rip(vcpu);
	if (vector == DB_VECTOR) {
		debug->dr6 = payload | DR6_RESERVED;
		debug->dr7 = mv_effective_dr7(vcpu);
	}
	return true;
}

int mv_set_guest_debug(struct mv_vcpu *vcpu, void *buf)
{
	const struct kvm_guest_debug *dbg = buf;
	u64 rflags = mv_rflags(vcpu);

	if (dbg->control & ~MV_GUESTDBG_FLAGS)
		return -EINVAL;
	if (dbg->control & (KVM_GUESTDBG_INJECT_DB | KVM_GUESTDBG_INJECT_BP)) {
		if (vcpu->pending.exc_pending || vcpu->pending.exc_injected)
			return -EBUSY;
		vcpu->pending.insn_len = 1; /* of INT3 */
		mv_queue_exception(vcpu, dbg->control & KVM_GUESTDBG_INJECT_DB ? DB_VECTOR :
										 BP_VECTOR);
	}

	/* While the debugger steps, RFLAGS.TF is its own; the guest's is not kept. */
	if (vcpu->guest_debug & KVM_GUESTDBG_SINGLESTEP)
		rflags &= ~X86_EFLAGS_TF;
	vcpu->guest_debug = dbg->control & KVM_GUESTDBG_ENABLE ? dbg->control : 0;
	if (vcpu->guest_debug & KVM_GUESTDBG_SINGLESTEP)
		rflags |= X86_EFLAGS_TF;
	mv_write_rflags(vcpu, rflags);
	/* In a shadow the step would be over before the instruction. */
	mv_backend->set_int_shadow(vcpu, rflags & X86_EFLAGS_TF ? 0 :
						 mv_call(get_int_shadow)(vcpu));

	if (vcpu->guest_debug & KVM_GUESTDBG_USE_HW_BP) {
		memcpy(vcpu->guest_debug_dr, dbg->arch.debugreg, sizeof(vcpu->guest_debug_dr));
		/* The upper half has to be zero: VM entry checks it. SDM vol. 3C, 27.3.1.1. */
		vcpu->guest_debug_dr7 = (u32)dbg->arch.debugreg[7];
	}
	mv_backend->update_debug(vcpu);
	mv_request(vcpu, MV_REQ_EVENT);
	return 0;
}

int mv_get_debugregs(struct mv_vcpu *vcpu, void *buf)
{
	struct kvm_debugregs *d = buf;

	memcpy(d->db, vcpu->dr, sizeof(d->db));
	d->dr6 = vcpu->dr6;
	d->dr7 = vcpu->dr7;
	return 0;
}

int mv_set_debugregs(struct mv_vcpu *vcpu, void *buf)
{
	const struct kvm_debugregs *d = buf;

	if (d->flags || d->dr6 >> 32 || d->dr7 >> 32)
		return -EINVAL;
	memcpy(vcpu->dr, d->db, sizeof(d->db));
	vcpu->dr6 = d->dr6;
	vcpu->dr7 = d->dr7;
	mv_backend->update_debug(vcpu);
	return 0;
}
