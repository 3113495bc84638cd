// SPDX-License-Identifier: GPL-2.0-only
/* What a guest asks of its host by VMCALL or VMMCALL: Documentation/hypercalls.md. */
#include <linux/sched/stat.h>
#include <uapi/linux/kvm_para.h>

#include "base/backend.h"
#include "base/regs.h"
#include "cpu/debug.h"
#include "cpu/event.h"
#include "exit/handler.h"
#include "irq/lapic.h"
#include "mmu/memory.h"
#include "time/time.h"
#include "../uapi/linux/minivirt.h"

/* The argument registers, 32 bits of each outside 64-bit mode. */
struct call {
	u64 nr, a0, a1, a2, a3;
	bool mode64;
};

static void yield_to_apic(struct mv_vcpu *vcpu, u64 apic_id)
{
	struct mv_vcpu *target = mv_apic_find(vcpu->vm, apic_id);

	if (target && target != vcpu && !single_task_running())
		mv_vcpu_yield_to(target);
}

static void kick(struct mv_vcpu *vcpu, u64 apic_id)
{
	struct mv_vcpu *target = mv_apic_find(vcpu->vm, apic_id);

	if (!target)
		return;
	WRITE_ONCE(target->pv.unhalted, true);
	/* Its barrier pairs with that of set_current_state() in halt.c. */
	rcuwait_wake_up(&target->wait);
}

/* One bit of the map in a0 and a1 for each APIC ID from a2 on. Return: how many have got it. */
static s64 send_ipi(struct mv_vcpu *vcpu, const struct call *call)
{
	unsigned long maps[] = { call->a0, call->a1 };
	unsigned int bits = call->mode64 ? 64 : 32, map, bit;
	struct mv_apic_irq irq = {
		.mode = call->a3 & APIC_MODE_MASK,
		.vector = call->a3 & APIC_VECTOR_MASK,
	};
	s64 count = 0;

	if (call->a3 & (APIC_DEST_LOGICAL | APIC_DEST_ALLBUT))
		return -KVM_EINVAL;
	for (map = 0; map < ARRAY_SIZE(maps); map++) {
		for_each_set_bit(bit, &maps[map], bits) {
			struct mv_vcpu *target = mv_apic_find(vcpu->vm,
							      (u32)call->a2 + map * bits + bit);

			if (target)
				count += mv_lapic_accept(target, &irq, vcpu);
		}
	}
	return count;
}

static s64 execute(struct mv_vcpu *vcpu, const struct call *call)
{
	switch (call->nr) {
	case KVM_HC_VAPIC_POLL_IRQ:
		/* The exit was all that was wanted: interrupts are looked for before entry. */
		return 0;
	case KVM_HC_KICK_CPU:
		if (!mv_guest_has(vcpu, MV_FEATURE_PV(PV_UNHALT)))
			break;
		kick(vcpu, call->a1);
		yield_to_apic(vcpu, call->a1);
		return 0;
	case KVM_HC_CLOCK_PAIRING:
		return mv_clock_pairing(vcpu, call->a0, call->a1);
	case KVM_HC_SEND_IPI:
		if (!vcpu->lapic || !mv_guest_has(vcpu, MV_FEATURE_PV(PV_SEND_IPI)))
			break;
		return send_ipi(vcpu, call);
	case KVM_HC_SCHED_YIELD:
		if (!mv_guest_has(vcpu, MV_FEATURE_PV(PV_SCHED_YIELD)))
			break;
		yield_to_apic(vcpu, call->a0);
		return 0;
	}
	return -KVM_ENOSYS;
}

static bool in_user_mode(struct mv_vcpu *vcpu, u32 rights)
{
	return (rights & MV_SEG_DPL) && mv_cr0_has(vcpu, X86_CR0_PE);
}

int mv_hypercall(struct mv_vcpu *vcpu)
{
	u32 rights = mv_call(code_rights)(vcpu);
	struct call call = {
		.nr = vcpu->gpr[MV_RAX],
		.a0 = vcpu->gpr[MV_RBX],
		.a1 = vcpu->gpr[MV_RCX],
		.a2 = vcpu->gpr[MV_RDX],
		.a3 = vcpu->gpr[MV_RSI],
		.mode64 = mv_long_mode(vcpu) && (rights & MV_SEG_L),
	};
	s64 ret;

	if (!call.mode64) {
		call.nr = (u32)call.nr;
		call.a0 = (u32)call.a0;
		call.a1 = (u32)call.a1;
		call.a2 = (u32)call.a2;
		call.a3 = (u32)call.a3;
	}
	ret = in_user_mode(vcpu, rights) ? -KVM_EPERM : execute(vcpu, &call);
	vcpu->gpr[MV_RAX] = call.mode64 ? ret : (u32)ret;
	return mv_skip_insn(vcpu);
}

/* The last byte of each; the first two are the same. */
#define VMCALL 0xc1
#define VMMCALL 0xd9

/*
 * A guest that was made for the other vendor's processor: its instruction is
 * made this one's, and executed again. Where the guest's tables do not let it
 * be changed, the hypercall is made all the same, and again the next time.
 */
int mv_hypercall_ud(struct mv_vcpu *vcpu)
{
	bool vmx = mv_backend->id == MINIVIRT_BACKEND_VMX;
	u8 insn[3], ours = vmx ? VMCALL : VMMCALL, theirs = vmx ? VMMCALL : VMCALL;
	u64 la = mv_linear_rip(vcpu);
	gpa_t gpa;
	int i;

	if (!mv_has_quirk(vcpu->vm, KVM_X86_QUIRK_FIX_HYPERCALL_INSN) ||
	    in_user_mode(vcpu, mv_call(code_rights)(vcpu)))
		return mv_inject_ud(vcpu);
	/* It may cross a page. */
	for (i = 0; i < ARRAY_SIZE(insn); i++)
		if (mv_fetch(vcpu, la + i, MV_ACCESS_EXEC, &insn[i], 1, NULL))
			return mv_inject_ud(vcpu);
	if (insn[0] != 0x0f || insn[1] != 0x01 || insn[2] != theirs)
		return mv_inject_ud(vcpu);
	if (!mv_walk(vcpu, la + 2, MV_ACCESS_WRITE, &gpa, NULL) &&
	    !mv_write_guest(vcpu->vm, gpa, &ours, 1))
		return 1;
	vcpu->exit.insn_len = ARRAY_SIZE(insn);
	return mv_hypercall(vcpu);
}
