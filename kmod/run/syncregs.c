// SPDX-License-Identifier: GPL-2.0-only
/* KVM_CAP_SYNC_REGS: register files in struct kvm_run, moved by KVM_RUN itself. */
#include "cpu/cr.h"
#include "cpu/state.h"
#include "run/run.h"

#define SYNC(bit, field, get, set)                                                         \
	{ bit, offsetof(struct kvm_sync_regs, field), sizeof_field(struct kvm_sync_regs, field), \
	  get, set }
static const struct {
	u32 bit;
	u16 offset, size;
	int (*get)(struct mv_vcpu *vcpu, void *buf);
	int (*set)(struct mv_vcpu *vcpu, void *buf);
} sync_sets[] = {
	SYNC(KVM_SYNC_X86_REGS, regs, mv_get_regs, mv_set_regs),
	SYNC(KVM_SYNC_X86_SREGS, sregs, mv_get_sregs, mv_set_sregs),
	SYNC(KVM_SYNC_X86_EVENTS, events, mv_get_events, mv_set_events),
};

/* Userspace may write to struct kvm_run meanwhile, so what is checked is a copy. */
int mv_load_sync_regs(struct mv_vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	struct kvm_sync_regs copy;
	int i;

	for (i = 0; i < ARRAY_SIZE(sync_sets); i++) {
		if (!(run->kvm_dirty_regs & sync_sets[i].bit))
			continue;
		memcpy(&copy, (u8 *)&run->s.regs + sync_sets[i].offset, sync_sets[i].size);
		if (sync_sets[i].set(vcpu, &copy))
			return -EINVAL;
		run->kvm_dirty_regs &= ~(u64)sync_sets[i].bit;
	}
	return 0;
}

void mv_store_sync_regs(struct mv_vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	struct kvm_sync_regs copy;
	int i;

	for (i = 0; i < ARRAY_SIZE(sync_sets); i++) {
		if (!(run->kvm_valid_regs & sync_sets[i].bit))
			continue;
		memset(&copy, 0, sync_sets[i].size);
		sync_sets[i].get(vcpu, &copy);
		memcpy((u8 *)&run->s.regs + sync_sets[i].offset, &copy, sync_sets[i].size);
	}
}
