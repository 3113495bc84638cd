/* SPDX-License-Identifier: GPL-2.0-only */
/* Interrupt controllers, to the other layers. */
#ifndef MV_IRQ_IRQ_H
#define MV_IRQ_IRQ_H

#include <asm/mce.h>

#include "base/vm.h"

/* Bits of vcpu->apic_events. */
#define MV_APIC_INIT 0
#define MV_APIC_SIPI 1

int mv_irqchip_split(struct mv_vm *vm, u64 nr_routes); /* KVM_CAP_SPLIT_IRQCHIP */
void mv_irqchip_destroy(struct mv_vm *vm); /* before the vCPUs */
/* KVM_IRQ_LINE, KVM_SET_GSI_ROUTING, KVM_SIGNAL_MSI, KVM_GET/SET_IRQCHIP, KVM_GET/SET_PIT2... */
long mv_irq_vm_ioctl(struct mv_vm *vm, unsigned int nr, unsigned long arg);
void mv_irqfd_init_vm(struct mv_vm *vm);
void mv_irqfd_release_vm(struct mv_vm *vm); /* the VM's own descriptor is closed */
/*
 * At the ports of the PICs and the PIT, or of few others: what the guest does there may interrupt
 * all vCPUs, and needs interrupts on.
 */
static inline bool mv_is_chip_port(struct mv_vcpu *vcpu)
{
	u16 port = vcpu->exit.io.port;

	return (port < 0x100 || (port & ~1) == 0x4d0) && vcpu->vm->irqchip;
}

void mv_irqfd_resample(struct mv_vm *vm); /* MV_REQ_RESAMPLE; sleeps */

int mv_lapic_create(struct mv_vcpu *vcpu);
void mv_lapic_destroy(struct mv_vcpu *vcpu);
void mv_lapic_reset(struct mv_vcpu *vcpu, bool init);
int mv_lapic_get_state(struct mv_vcpu *vcpu, void *buf);
int mv_lapic_set_state(struct mv_vcpu *vcpu, void *buf);
int mv_lapic_set_base(struct mv_vcpu *vcpu, u64 val, bool host); /* 1: #GP */
int mv_lapic_msr(struct mv_vcpu *vcpu, u32 msr, u64 *val, bool write); /* x2APIC; 1: #GP */
u64 mv_lapic_get_tsc_deadline(struct mv_vcpu *vcpu);
void mv_lapic_set_tsc_deadline(struct mv_vcpu *vcpu, u64 val);
void mv_lapic_restore_tsc_deadline(struct mv_vcpu *vcpu, u64 val);
void mv_lapic_fire_deadline(struct mv_vcpu *vcpu); /* with vcpu->deadline_due */
void mv_lapic_tsc_changed(struct mv_vcpu *vcpu); /* its offset or rate */
/* The signal of corrected machine checks, by IA32_MCG_CAP as userspace has set it. */
static inline bool mv_has_cmci(struct mv_vcpu *vcpu)
{
	return vcpu->msr.mcg_cap & MCG_CMCI_P;
}

void mv_lapic_update_cmci(struct mv_vcpu *vcpu); /* IA32_MCG_CAP changed */
void mv_lapic_set_cr8(struct mv_vcpu *vcpu, u64 val);
u64 mv_lapic_get_cr8(struct mv_vcpu *vcpu);
/* An access in the APIC page: true if @gpa is the enabled xAPIC's. As mv_bus_access(). */
bool mv_lapic_mmio(struct mv_vcpu *vcpu, gpa_t gpa, void *data, int len, bool write);
void mv_lapic_set_version(struct mv_vcpu *vcpu); /* by its CPUID */
bool mv_lapic_takes_pic(struct mv_vcpu *vcpu);
void mv_lapic_written(struct mv_vcpu *vcpu, u32 reg); /* MV_EXIT_APIC_WRITE */
void mv_lapic_eoi(struct mv_vcpu *vcpu, u8 vector); /* it is over, say so to the IOAPIC */
void mv_lapic_tell_backend(struct mv_vcpu *vcpu); /* MV_REQ_APIC */
int mv_set_tpr_reporting(struct mv_vcpu *vcpu, void *buf);
int mv_set_vapic_addr(struct mv_vcpu *vcpu, void *buf);
void mv_exit_tpr_access(struct mv_vcpu *vcpu); /* MV_REQ_TPR_ACCESS */
void mv_vapic_to_guest(struct mv_vcpu *vcpu); /* with vcpu->vapic: before an entry */
void mv_vapic_from_guest(struct mv_vcpu *vcpu); /* and after an exit */
int mv_set_pv_eoi(struct mv_vcpu *vcpu, u32 msr, u64 val, bool host);
void mv_pv_eoi_take_back(struct mv_vcpu *vcpu); /* for the next */

/* Whatever looks at the ISR has to know whether the guest has taken the offer. Sleeps. */
static inline void mv_pv_eoi_sync(struct mv_vcpu *vcpu)
{
	if (unlikely(vcpu->pv.eoi_offered))
		mv_pv_eoi_take_back(vcpu);
}

bool mv_apic_ids_are_unique(struct mv_vm *vm); /* one ID is of one APIC, and known without asking */
void mv_apic_map_update(struct mv_vm *vm); /* a vCPU was added to vm->vcpus; sleeps */
/* The vector of KVM_INTERRUPT, there is one: it goes into the guest. */
static inline int mv_take_user_irq(struct mv_vcpu *vcpu)
{
	int vector = vcpu->user_irq;

	vcpu->user_irq = -1;
	return vector;
}

/* Only with a local APIC: */
bool mv_irq_pending(struct mv_vcpu *vcpu); /* an interrupt could be taken, RFLAGS.IF apart */
bool mv_pic_pending(struct mv_vcpu *vcpu); /* one of the PIC could */
int mv_irq_take(struct mv_vcpu *vcpu); /* interrupt acknowledge: the vector, -1 none */
/* Before entry: what the backend has to know of requests; @blocked: of none. */
void mv_irq_tell_backend(struct mv_vcpu *vcpu, bool blocked);

#endif /* MV_IRQ_IRQ_H */
