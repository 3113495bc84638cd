/* SPDX-License-Identifier: GPL-2.0-only */
/* General registers and events, as the ioctls that move them have them; and reset. */
#ifndef MV_CPU_STATE_H
#define MV_CPU_STATE_H

#include "base/vm.h"

int mv_get_regs(struct mv_vcpu *vcpu, void *buf);
int mv_set_regs(struct mv_vcpu *vcpu, void *buf);
int mv_get_events(struct mv_vcpu *vcpu, void *buf);
int mv_set_events(struct mv_vcpu *vcpu, void *buf);

/* An interrupt on its way into the guest. */
bool mv_get_sent_irq(struct mv_vcpu *vcpu, u8 *vector);
void mv_set_sent_irq(struct mv_vcpu *vcpu, u8 vector);

void mv_vcpu_reset(struct mv_vcpu *vcpu, bool init);

#endif /* MV_CPU_STATE_H */
