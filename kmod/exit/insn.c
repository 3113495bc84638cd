// SPDX-License-Identifier: GPL-2.0-only
/* The end of an exit's instruction: it is passed over, or cannot be emulated. */
#include <uapi/asm/debugreg.h>

#include "base/backend.h"
#include "base/regs.h"
#include "cpu/debug.h"
#include "cpu/event.h"
#include "exit/handler.h"

/*
 * An instruction is over: the shadow of STI or MOV SS ends with it, and
 * RFLAGS.TF or a debugger's single-step wants its trap.  Returns as a handler.
 */
static __always_inline int insn_done(struct mv_vcpu *vcpu)
{
	if (mv_call(get_int_shadow)(vcpu)) {
		mv_backend->set_int_shadow(vcpu, 0);
		mv_request(vcpu, MV_REQ_EVENT);
	}
	if (unlikely(mv_rflags(vcpu) & X86_EFLAGS_TF)) {
		if (mv_debug_exit(vcpu, DB_VECTOR, DR_STEP))
			return 0;
		mv_queue_exception_p(vcpu, DB_VECTOR, DR_STEP);
	}
	return 1;
}

int mv_insn_done(struct mv_vcpu *vcpu)
{
	return insn_done(vcpu);
}

static __always_inline void move_rip(struct mv_vcpu *vcpu, unsigned int len)
{
	u64 old = mv_rip(vcpu), rip = old + len;

	/* EIP wraps; only one that crosses 4 GiB is worth the question of what it is. */
	if (unlikely((rip ^ old) >> 32) && !mv_64bit_mode(vcpu))
		rip = (u32)rip;
	mv_write_rip(vcpu, rip);
}

void mv_move_rip(struct mv_vcpu *vcpu, unsigned int len)
{
	move_rip(vcpu, len);
}

int mv_skip_insn(struct mv_vcpu *vcpu)
{
	unsigned int len = vcpu->exit.insn_len ?: mv_call(skip_len)(vcpu);

	if (unlikely(!len))
		return mv_not_emulated(vcpu);
	move_rip(vcpu, len);
	return insn_done(vcpu);
}

/**
 * mv_internal_error() - give up on this exit: KVM_EXIT_INTERNAL_ERROR
 * @vcpu: whose exit it is
 * @suberror: KVM_INTERNAL_ERROR_*
 *
 * Return: 0, to userspace. The data words are the hardware's reason, RIP, the
 * exit's address and the CPU; with EMULATION, the instruction bytes.
 */
int mv_internal_error(struct mv_vcpu *vcpu, u32 suberror)
{
	struct kvm_run *run = vcpu->run;

	memset(&run->internal, 0, sizeof(run->internal));
	run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
	run->internal.suberror = suberror;
	if (suberror == KVM_INTERNAL_ERROR_EMULATION) {
		struct mv_emul *e = &vcpu->emul;

		vcpu->stats[MV_STAT_EMULATION_FAIL]++;
		run->emulation_failure.ndata = 3;
		run->emulation_failure.flags =
			KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES;
		run->emulation_failure.insn_size = e->insn_len;
		memset(run->emulation_failure.insn_bytes, 0x90,
		       sizeof(run->emulation_failure.insn_bytes));
		memcpy(run->emulation_failure.insn_bytes, e->insn, e->insn_len);
		return 0;
	}
	run->internal.ndata = 4;
	run->internal.data[0] = vcpu->exit.hw_reason;
	run->internal.data[1] = mv_rip(vcpu);
	if (vcpu->exit.reason == MV_EXIT_PAGE_FAULT)
		run->internal.data[2] = vcpu->exit.fault.gpa;
	run->internal.data[3] = vcpu->cpu;
	return 0;
}

/* An instruction that is not emulated. A guest's own user must not end the guest by it. */
int mv_not_emulated(struct mv_vcpu *vcpu)
{
	if (mv_cpl(vcpu) && !vcpu->vm->exit_on_emulation_failure)
		return mv_inject_ud(vcpu);
	return mv_internal_error(vcpu, KVM_INTERNAL_ERROR_EMULATION);
}
