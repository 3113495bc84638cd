/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What is done for an exit.
 *
 * An exit handler returns 1 to go on in the guest, 0 to return to userspace
 * with struct kvm_run filled in, or -errno.
 */
#ifndef MV_EXIT_HANDLER_H
#define MV_EXIT_HANDLER_H

#include "base/vm.h"

int mv_handle_exit(struct mv_vcpu *vcpu);
bool mv_ring_doorbell(struct mv_vcpu *vcpu);
void mv_move_rip(struct mv_vcpu *vcpu, unsigned int len); /* onward by @len bytes */
int mv_skip_insn(struct mv_vcpu *vcpu); /* RIP past it; returns as a handler does */
int mv_emulate_mmio(struct mv_vcpu *vcpu); /* exit.fault is an MMIO access */
int mv_emulate_insn(struct mv_vcpu *vcpu); /* the one at RIP */
const struct mv_insn *mv_decode_insn(struct mv_vcpu *vcpu); /* likewise; NULL: not known */
int mv_internal_error(struct mv_vcpu *vcpu, u32 suberror);
int mv_task_switch(struct mv_vcpu *vcpu);
int mv_not_emulated(struct mv_vcpu *vcpu); /* #UD, or at CPL 0 an internal error */

int mv_emulate_string_io(struct mv_vcpu *vcpu); /* exit.io is INS or OUTS */
int mv_pio_to_user(struct mv_vcpu *vcpu, u16 port, u8 size, bool in, u32 count);
int mv_insn_done(struct mv_vcpu *vcpu); /* after RIP moved; returns as a handler */
int mv_hypercall(struct mv_vcpu *vcpu); /* returns as an exit handler */
int mv_hypercall_ud(struct mv_vcpu *vcpu); /* #UD: the other vendor's hypercall, perhaps */
void mv_vcpu_yield(struct mv_vcpu *me);
bool mv_vcpu_yield_to(struct mv_vcpu *vcpu); /* if it was preempted; true: it runs now */

#endif /* MV_EXIT_HANDLER_H */
