// SPDX-License-Identifier: GPL-2.0-only
/* The state ioctls with contents that are nearly right, nearly wrong, or nothing at all. */
#include <stdio.h>
#include "stress.h"

/* The ioctls that set what another gets; 0: that start from zeros. */
static const struct {
	unsigned long get, set;
} pairs[] = {
	{ KVM_GET_REGS, KVM_SET_REGS },
	{ KVM_GET_SREGS, KVM_SET_SREGS },
	{ KVM_GET_SREGS2, KVM_SET_SREGS2 },
	{ KVM_GET_FPU, KVM_SET_FPU },
	{ KVM_GET_XSAVE, KVM_SET_XSAVE },
	{ KVM_GET_XSAVE2, KVM_SET_XSAVE },
	{ KVM_GET_XCRS, KVM_SET_XCRS },
	{ KVM_GET_DEBUGREGS, KVM_SET_DEBUGREGS },
	{ KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS },
	{ KVM_GET_MP_STATE, KVM_SET_MP_STATE },
	{ KVM_GET_LAPIC, KVM_SET_LAPIC },
	{ 0, KVM_SET_GUEST_DEBUG },
	{ 0, KVM_SET_VAPIC_ADDR },
	{ 0, KVM_TPR_ACCESS_REPORTING },
	{ 0, KVM_TRANSLATE },
	{ 0, KVM_X86_SETUP_MCE },
	{ 0, KVM_X86_SET_MCE },
	{ 0, KVM_INTERRUPT },
	{ 0, KVM_ENABLE_CAP },
};

static const struct {
	unsigned long get, set;
} vm_pairs[] = {
	{ KVM_GET_IRQCHIP, KVM_SET_IRQCHIP },
	{ KVM_GET_PIT2, KVM_SET_PIT2 },
	{ KVM_GET_CLOCK, KVM_SET_CLOCK },
	{ 0, KVM_SET_IDENTITY_MAP_ADDR },
	{ 0, KVM_CREATE_PIT2 },
	{ 0, KVM_IRQ_LINE_STATUS },
	{ 0, KVM_SIGNAL_MSI },
	{ 0, KVM_REINJECT_CONTROL },
	{ 0, KVM_ENABLE_CAP },
};

#define MAX_MSRS 256
struct msrs {
	struct kvm_msrs head;
	struct kvm_msr_entry e[MAX_MSRS];
};

struct cpuid {
	struct kvm_cpuid2 head;
	struct kvm_cpuid_entry2 e[256];
};

static void set_msrs(u64 *r, int fd, const struct kvm_msr_list *list)
{
	struct msrs m = { .head.nmsrs = 1 + rnd_below(r, 16) };

	for (u32 i = 0; i < m.head.nmsrs; i++)
		m.e[i].index = rnd_below(r, 8) ? list->indices[rnd_below(r, list->nmsrs)] : rnd(r);
	ioctl(fd, KVM_GET_MSRS, &m);
	rnd_mutate(r, m.e, m.head.nmsrs * sizeof(m.e[0]));
	ioctl(fd, KVM_SET_MSRS, &m);
}

static void set_cpuid(u64 *r, int fd)
{
	static struct cpuid c;

	/* Two workers share it: what one reads in between is random, too. */
	c.head.nent = 256;
	if (ioctl(fd, KVM_GET_CPUID2, &c) || !c.head.nent || c.head.nent > 256)
		return;
	rnd_mutate(r, c.e, c.head.nent * sizeof(c.e[0]));
	ioctl(fd, KVM_SET_CPUID2, &c);
}

static void set_msr_filter(u64 *r, int fd)
{
	u8 bitmap[0x400];
	struct kvm_msr_filter f = { .flags = rnd_below(r, 2) };

	for (u32 i = 0; i < sizeof(bitmap); i++)
		bitmap[i] = rnd_below(r, 4) ? 0xff : rnd(r);
	for (u64 i = rnd_below(r, 5); i; i--)
		f.ranges[i - 1] = (struct kvm_msr_filter_range) {
			.flags = 1 + rnd_below(r, 3),
			.nmsrs = 1 + rnd_below(r, sizeof(bitmap) * 8),
			.base = rnd_below(r, 2) ? 0 : 0xc0000000,
			.bitmap = bitmap,
		};
	if (rnd_below(r, 8) == 0)
		rnd_mutate(r, &f, sizeof(f));
	ioctl(fd, KVM_X86_SET_MSR_FILTER, &f);
}

static void set_one(u64 *r, int fd, unsigned long get, unsigned long set)
{
	u8 buf[0x2000] = { 0 };
	u64 n;

	if (get == KVM_GET_IRQCHIP)
		buf[0] = rnd_below(r, 3);
	if (get)
		ioctl(fd, get, buf);
	for (n = rnd_below(r, 3); n; n--)
		rnd_mutate(r, buf, _IOC_SIZE(set));
	if (get == KVM_GET_IRQCHIP)
		buf[0] = rnd_below(r, 4);
	/* Capabilities by number; those that change the VM for good only now and then. */
	if (set == KVM_ENABLE_CAP)
		*(u32 *)buf = rnd_below(r, 250);
	if (set == KVM_SET_GUEST_DEBUG)
		*(u32 *)buf &= 0x1f0003;
	ioctl(fd, set, buf);
}

void stress_state(struct worker *w)
{
	struct vm *vm = w->s->vm;
	struct kvm_msr_list *list = calloc(1, sizeof(*list) + MAX_MSRS * sizeof(u32));
	u64 *r = &w->rnd, which;

	list->nmsrs = MAX_MSRS;
	IOCTL(vm->dev, KVM_GET_MSR_INDEX_LIST, list);
	while (!READ_ONCE(stress_stop)) {
		int fd = vm->vcpus[rnd_below(r, vm->nr_vcpus)].fd;

		switch (rnd_below(r, 32)) {
		case 0 ... 3:
			set_msrs(r, fd, list);
			break;
		case 4:
			set_cpuid(r, fd);
			break;
		case 5:
			set_msr_filter(r, vm->fd);
			break;
		case 6:
			ioctl(fd, KVM_SET_TSC_KHZ, rnd_value(r));
			break;
		case 7:
			ioctl(fd, KVM_NMI, 0);
			ioctl(fd, KVM_KVMCLOCK_CTRL, 0);
			break;
		case 8 ... 11:
			which = rnd_below(r, sizeof(vm_pairs) / sizeof(vm_pairs[0]));
			set_one(r, vm->fd, vm_pairs[which].get, vm_pairs[which].set);
			break;
		default:
			which = rnd_below(r, sizeof(pairs) / sizeof(pairs[0]));
			set_one(r, fd, pairs[which].get, pairs[which].set);
		}
	}
	free(list);
}
