/* SPDX-License-Identifier: GPL-2.0-only */
/* For guests with an in-kernel local APIC, and their hosts. */
#ifndef SELFTESTS_APIC_H
#define SELFTESTS_APIC_H

#include <stdlib.h>
#include <string.h>
#include "vm.h"

#define APIC_BASE_MSR 0x1b
#define APIC_BASE_BSP (1 << 8)
#define APIC_BASE_X2APIC (1 << 10)
#define APIC_BASE_ENABLE (1 << 11)
#define TSC_DEADLINE_MSR 0x6e0
#define APIC_MMIO 0xfee00000u

enum {
	APIC_ID = 0x20, APIC_LVR = 0x30, APIC_TPR = 0x80, APIC_PPR = 0xa0, APIC_EOI = 0xb0,
	APIC_LDR = 0xd0, APIC_DFR = 0xe0, APIC_SPIV = 0xf0, APIC_ISR = 0x100, APIC_TMR = 0x180,
	APIC_IRR = 0x200, APIC_ESR = 0x280, APIC_ICR = 0x300, APIC_ICR2 = 0x310, APIC_LVTT = 0x320,
	APIC_LVTTHMR = 0x330, APIC_LVTPC = 0x340, APIC_LVT0 = 0x350, APIC_LVT1 = 0x360,
	APIC_LVTERR = 0x370, APIC_TMICT = 0x380, APIC_TMCCT = 0x390, APIC_TDCR = 0x3e0,
	APIC_SELF_IPI = 0x3f0,
};

#define SPIV_ON 0x1ff
#define ICR_LOWEST 0x100
#define ICR_NMI 0x400
#define ICR_INIT 0x500
#define ICR_SIPI 0x600
#define ICR_LOGICAL 0x800
#define ICR_ASSERT 0x4000
#define ICR_LEVEL 0x8000
#define ICR_SELF 0x40000
#define ICR_ALL 0x80000
#define ICR_OTHERS 0xc0000
#define LVT_MASKED 0x10000
#define LVT_PERIODIC 0x20000
#define LVT_DEADLINE 0x40000
#define TDCR_1 0xb

static inline u32 xapic_read(u32 reg)
{
	return *(volatile u32 *)(u64)(APIC_MMIO + reg);
}

static inline void xapic_write(u32 reg, u32 val)
{
	*(volatile u32 *)(u64)(APIC_MMIO + reg) = val;
}

static inline u32 x2apic_msr(u32 reg)
{
	return 0x800 + reg / 16;
}

static inline u64 x2apic_read(u32 reg)
{
	return rdmsr(x2apic_msr(reg));
}

static inline void x2apic_write(u32 reg, u64 val)
{
	wrmsr(x2apic_msr(reg), val);
}

static inline void enable_x2apic(void)
{
	wrmsr(APIC_BASE_MSR, rdmsr(APIC_BASE_MSR) | APIC_BASE_X2APIC);
	x2apic_write(APIC_SPIV, SPIV_ON);
}

#define IOAPIC_MMIO 0xfec00000u
#define RTE_LEVEL 0x8000
#define RTE_MASKED 0x10000
#define RTE_REMOTE_IRR 0x4000

static inline u32 ioapic_read(u8 index)
{
	*(volatile u32 *)(u64)IOAPIC_MMIO = index;
	return *(volatile u32 *)(u64)(IOAPIC_MMIO + 0x10);
}

static inline void ioapic_write(u8 index, u32 val)
{
	*(volatile u32 *)(u64)IOAPIC_MMIO = index;
	*(volatile u32 *)(u64)(IOAPIC_MMIO + 0x10) = val;
}

#define RTE(pin) (0x10 + 2 * (pin))

/* The host's side. */
static inline struct kvm_lapic_state lapic_state(struct vcpu *vcpu)
{
	struct kvm_lapic_state s;

	IOCTL(vcpu->fd, KVM_GET_LAPIC, &s);
	return s;
}

static inline u32 *lapic_reg(struct kvm_lapic_state *s, u32 reg)
{
	return (u32 *)(s->regs + reg);
}

static inline u32 vcpu_lapic_reg(struct vcpu *vcpu, u32 reg)
{
	struct kvm_lapic_state s = lapic_state(vcpu);

	return *lapic_reg(&s, reg);
}

/* Whether @vector waits in the IRR. */
static inline bool lapic_requested(struct vcpu *vcpu, u8 vector)
{
	return vcpu_lapic_reg(vcpu, APIC_IRR + vector / 32 * 16) >> (vector & 31) & 1;
}

/* By @enable on a VM; with all the CPUID bits that local APICs allow. */
static inline struct vm *vm_create_with_apics(void (*enable)(struct vm *vm))
{
	struct vm *vm = vm_create();

	enable(vm);
	/* The rest of its leaf is in KVM_GET_SUPPORTED_CPUID: this is by its capability. */
	for (u32 i = 0; i < vm->cpuid->nent; i++)
		if (vm->cpuid->entries[i].function == 1)
			vm->cpuid->entries[i].ecx |= 1 << 24 | 1 << 21; /* TSC deadline, x2APIC */
	return vm;
}

static inline void create_irqchip(struct vm *vm)
{
	IOCTL(vm->fd, KVM_CREATE_IRQCHIP, 0);
}

static inline struct vm *vm_create_with_irqchip(void)
{
	return vm_create_with_apics(create_irqchip);
}

static inline int set_routing(struct vm *vm, const struct kvm_irq_routing_entry *e, u32 nr)
{
	struct kvm_irq_routing *routing = calloc(1, sizeof(*routing) + nr * sizeof(*e));
	int ret;

	routing->nr = nr;
	if (nr)
		memcpy(routing->entries, e, nr * sizeof(*e));
	ret = ioctl(vm->fd, KVM_SET_GSI_ROUTING, routing);
	free(routing);
	return ret;
}

static inline struct kvm_irq_routing_entry pin_route(u32 gsi, u32 chip, u32 pin)
{
	return (struct kvm_irq_routing_entry) {
		.gsi = gsi, .type = KVM_IRQ_ROUTING_IRQCHIP, .u.irqchip = { chip, pin },
	};
}

static inline struct kvm_irq_routing_entry msi_route(u32 gsi, u32 address, u32 data)
{
	return (struct kvm_irq_routing_entry) {
		.gsi = gsi, .type = KVM_IRQ_ROUTING_MSI,
		.u.msi = { .address_lo = address, .data = data },
	};
}

#endif /* SELFTESTS_APIC_H */
