// SPDX-License-Identifier: GPL-2.0-only
/* All ioctls with their structures, and how programs of them are made and changed. */
#include "fuzz.h"

const char *const object_names[NR_OBJECTS] = {
	"sys", "vm", "stats0", "stats1", "vcpu0", "vcpu1", "vcpu2", "vcpu3",
};

#define AT(type, member, k) { offsetof(type, member), sizeof_member(type, member), k }
#define sizeof_member(type, member) sizeof(((type *)0)->member)
#define INT(nr, on, ...) { #nr, nr, 0, 0, IOCTL_INT, on, { __VA_ARGS__ } }
#define PTR(nr, on, ...) { #nr, nr, 0, _IOC_SIZE(nr), IOCTL_PTR, on, { __VA_ARGS__ } }
/* With entries behind the structure */
#define LONG(nr, size, on, ...) { #nr, nr, 0, size, IOCTL_PTR, on, { __VA_ARGS__ } }
#define SET(nr, get, on, ...) { #nr, nr, get, _IOC_SIZE(nr), IOCTL_PTR, on, { __VA_ARGS__ } }
#define OTHER(name, what, on, ...) { name, 0, 0, 0x3000, what, on, { __VA_ARGS__ } }

#define REGION struct kvm_userspace_memory_region
#define EVENTS struct kvm_vcpu_events
#define ROUTE(i, member) (8 + 48 * (i) + offsetof(struct kvm_irq_routing_entry, member))

const struct call calls[] = {
	/* The first is what most programs begin with. */
	INT(KVM_CREATE_VM, ON_SYS, { 0, 8, SMALL }),
	INT(KVM_GET_API_VERSION, ON_SYS),
	INT(KVM_CHECK_EXTENSION, ON_SYS | ON_VM, { 0, 8, CAP }),
	INT(KVM_GET_VCPU_MMAP_SIZE, ON_SYS),
	LONG(KVM_GET_SUPPORTED_CPUID, 8 + 40 * 100, ON_SYS, { 0, 4, NUMBER }),
	LONG(KVM_GET_EMULATED_CPUID, 8 + 40 * 10, ON_SYS, { 0, 4, SMALL }),
	LONG(KVM_GET_MSR_INDEX_LIST, 4 + 4 * 300, ON_SYS, { 0, 4, NUMBER }),
	LONG(KVM_GET_MSR_FEATURE_INDEX_LIST, 4 + 4 * 100, ON_SYS, { 0, 4, NUMBER }),
	PTR(KVM_X86_GET_MCE_CAP_SUPPORTED, ON_SYS),
	PTR(MINIVIRT_GET_INFO, ON_SYS, { 0, 4, NUMBER }),
	PTR(KVM_GET_DEVICE_ATTR, ON_SYS | ON_VCPU, AT(struct kvm_device_attr, group, SMALL),
	    AT(struct kvm_device_attr, attr, SMALL), AT(struct kvm_device_attr, addr, BUF)),
	PTR(KVM_SET_DEVICE_ATTR, ON_SYS | ON_VCPU, AT(struct kvm_device_attr, group, SMALL),
	    AT(struct kvm_device_attr, attr, SMALL), AT(struct kvm_device_attr, addr, BUF)),
	PTR(KVM_HAS_DEVICE_ATTR, ON_SYS | ON_VCPU, AT(struct kvm_device_attr, attr, SMALL)),

	INT(KVM_CREATE_VCPU, ON_VM, { 0, 8, SMALL }),
	PTR(KVM_SET_USER_MEMORY_REGION, ON_VM, AT(REGION, slot, SLOT), AT(REGION, flags, FLAGS),
	    AT(REGION, guest_phys_addr, GPA), AT(REGION, memory_size, SIZE),
	    AT(REGION, userspace_addr, MEM)),
	PTR(KVM_GET_DIRTY_LOG, ON_VM, AT(struct kvm_dirty_log, slot, SLOT),
	    AT(struct kvm_dirty_log, dirty_bitmap, BUF)),
	PTR(KVM_CLEAR_DIRTY_LOG, ON_VM, AT(struct kvm_clear_dirty_log, slot, SLOT),
	    AT(struct kvm_clear_dirty_log, num_pages, NUMBER),
	    AT(struct kvm_clear_dirty_log, first_page, NUMBER),
	    AT(struct kvm_clear_dirty_log, dirty_bitmap, BUF)),
	INT(KVM_RESET_DIRTY_RINGS, ON_VM),
	INT(KVM_SET_NR_MMU_PAGES, ON_VM, { 0, 8, NUMBER }),
	INT(KVM_GET_NR_MMU_PAGES, ON_VM),
	INT(KVM_SET_TSS_ADDR, ON_VM, { 0, 8, GPA }),
	PTR(KVM_SET_IDENTITY_MAP_ADDR, ON_VM, { 0, 8, GPA }),
	PTR(KVM_ENABLE_CAP, ON_VM | ON_VCPU, AT(struct kvm_enable_cap, cap, CAP),
	    AT(struct kvm_enable_cap, flags, FLAGS),
	    { offsetof(struct kvm_enable_cap, args), 8, NUMBER }),
	PTR(KVM_ENABLE_CAP, ON_VM, AT(struct kvm_enable_cap, cap, CAP),
	    { offsetof(struct kvm_enable_cap, args), 8, FLAGS }),
	PTR(KVM_X86_SET_MSR_FILTER, ON_VM, { 0, 4, SMALL }, { 8, 4, SMALL }, { 12, 4, SMALL },
	    { 16, 4, MSR }, { 24, 8, BUF }, { 32, 4, SMALL }, { 36, 4, NUMBER }, { 40, 4, MSR },
	    { 48, 8, BUF }),
	PTR(KVM_GET_CLOCK, ON_VM),
	SET(KVM_SET_CLOCK, KVM_GET_CLOCK, ON_VM, { 0, 8, NUMBER }, { 8, 4, FLAGS }),
	INT(KVM_SET_BOOT_CPU_ID, ON_VM, { 0, 8, SMALL }),
	PTR(KVM_IOEVENTFD, ON_VM, AT(struct kvm_ioeventfd, datamatch, SMALL),
	    AT(struct kvm_ioeventfd, addr, PORT), AT(struct kvm_ioeventfd, len, SMALL),
	    AT(struct kvm_ioeventfd, fd, EVENT), AT(struct kvm_ioeventfd, flags, FLAGS)),
	PTR(KVM_REGISTER_COALESCED_MMIO, ON_VM, { 0, 8, PORT }, { 8, 4, SIZE }, { 12, 4, SMALL }),
	PTR(KVM_UNREGISTER_COALESCED_MMIO, ON_VM, { 0, 8, PORT }, { 8, 4, SIZE }, { 12, 4, SMALL }),
	INT(KVM_GET_STATS_FD, ON_VM | ON_VCPU),
	INT(KVM_GET_TSC_KHZ, ON_VM | ON_VCPU),
	INT(KVM_SET_TSC_KHZ, ON_VM | ON_VCPU, { 0, 8, NUMBER }),

	INT(KVM_CREATE_IRQCHIP, ON_VM),
	PTR(KVM_CREATE_PIT2, ON_VM, { 0, 4, FLAGS }),
	INT(KVM_CREATE_PIT, ON_VM),
	PTR(KVM_GET_IRQCHIP, ON_VM, { 0, 4, SMALL }),
	SET(KVM_SET_IRQCHIP, KVM_GET_IRQCHIP, ON_VM, { 0, 4, SMALL }),
	PTR(KVM_GET_PIT, ON_VM),
	SET(KVM_SET_PIT, KVM_GET_PIT, ON_VM),
	PTR(KVM_GET_PIT2, ON_VM),
	SET(KVM_SET_PIT2, KVM_GET_PIT2, ON_VM),
	PTR(KVM_REINJECT_CONTROL, ON_VM, { 0, 1, SMALL }),
	LONG(KVM_SET_GSI_ROUTING, 8 + 48 * 4, ON_VM, { 0, 4, SMALL },
	     { ROUTE(0, gsi), 4, GSI }, { ROUTE(0, type), 4, SMALL },
	     { ROUTE(0, u.msi.address_lo), 4, MSI }, { ROUTE(0, u.msi.data), 4, VECTOR },
	     { ROUTE(1, gsi), 4, GSI }, { ROUTE(1, type), 4, SMALL },
	     { ROUTE(1, u.irqchip.irqchip), 4, SMALL }, { ROUTE(1, u.irqchip.pin), 4, GSI }),
	PTR(KVM_IRQFD, ON_VM, AT(struct kvm_irqfd, fd, EVENT), AT(struct kvm_irqfd, gsi, GSI),
	    AT(struct kvm_irqfd, flags, FLAGS), AT(struct kvm_irqfd, resamplefd, EVENT)),
	PTR(KVM_IRQ_LINE, ON_VM, { 0, 4, GSI }, { 4, 4, SMALL }),
	PTR(KVM_IRQ_LINE_STATUS, ON_VM, { 0, 4, GSI }, { 4, 4, SMALL }),
	PTR(KVM_SIGNAL_MSI, ON_VM, { 0, 4, MSI }, { 8, 4, VECTOR }),

	PTR(KVM_GET_REGS, ON_VCPU),
	SET(KVM_SET_REGS, KVM_GET_REGS, ON_VCPU, AT(struct kvm_regs, rip, GPA),
	    AT(struct kvm_regs, rflags, NUMBER), AT(struct kvm_regs, rcx, MSR)),
	PTR(KVM_GET_SREGS, ON_VCPU),
	SET(KVM_SET_SREGS, KVM_GET_SREGS, ON_VCPU, AT(struct kvm_sregs, cr0, NUMBER),
	    AT(struct kvm_sregs, cr4, NUMBER), AT(struct kvm_sregs, efer, NUMBER),
	    AT(struct kvm_sregs, cr3, GPA), AT(struct kvm_sregs, cr8, SMALL),
	    AT(struct kvm_sregs, apic_base, MSI),
	    { offsetof(struct kvm_sregs, interrupt_bitmap), 8, FLAGS }),
	PTR(KVM_GET_SREGS2, ON_VCPU),
	SET(KVM_SET_SREGS2, KVM_GET_SREGS2, ON_VCPU, AT(struct kvm_sregs2, cr0, NUMBER),
	    AT(struct kvm_sregs2, cr4, NUMBER), AT(struct kvm_sregs2, efer, NUMBER),
	    AT(struct kvm_sregs2, flags, FLAGS), AT(struct kvm_sregs2, pdptrs[0], GPA)),
	PTR(KVM_GET_FPU, ON_VCPU),
	SET(KVM_SET_FPU, KVM_GET_FPU, ON_VCPU, AT(struct kvm_fpu, mxcsr, NUMBER)),
	PTR(KVM_GET_XSAVE, ON_VCPU),
	LONG(KVM_GET_XSAVE2, 4096, ON_VCPU),
	SET(KVM_SET_XSAVE, KVM_GET_XSAVE, ON_VCPU, { 512, 8, SMALL }, { 520, 8, NUMBER },
	    { 24, 4, NUMBER }),
	PTR(KVM_GET_XCRS, ON_VCPU),
	SET(KVM_SET_XCRS, KVM_GET_XCRS, ON_VCPU, { 0, 4, SMALL }, { 16, 8, SMALL }),
	PTR(KVM_GET_DEBUGREGS, ON_VCPU),
	SET(KVM_SET_DEBUGREGS, KVM_GET_DEBUGREGS, ON_VCPU, { 32, 8, NUMBER }, { 40, 8, NUMBER }),
	PTR(KVM_SET_GUEST_DEBUG, ON_VCPU, { 0, 4, NUMBER }, { 0, 4, FLAGS }, { 8, 8, GPA },
	    { 64, 8, NUMBER }),
	PTR(KVM_GET_VCPU_EVENTS, ON_VCPU),
	SET(KVM_SET_VCPU_EVENTS, KVM_GET_VCPU_EVENTS, ON_VCPU,
	    AT(EVENTS, exception.injected, SMALL), AT(EVENTS, exception.nr, VECTOR),
	    AT(EVENTS, interrupt.injected, SMALL), AT(EVENTS, interrupt.nr, VECTOR),
	    AT(EVENTS, nmi.injected, SMALL), AT(EVENTS, flags, FLAGS),
	    AT(EVENTS, exception.pending, SMALL), AT(EVENTS, smi.latched_init, SMALL)),
	PTR(KVM_GET_MP_STATE, ON_VCPU),
	SET(KVM_SET_MP_STATE, KVM_GET_MP_STATE, ON_VCPU, { 0, 4, SMALL }),
	PTR(KVM_GET_LAPIC, ON_VCPU),
	SET(KVM_SET_LAPIC, KVM_GET_LAPIC, ON_VCPU, { 0x320, 4, VECTOR }, { 0x380, 4, NUMBER },
	    { 0x390, 4, NUMBER }, { 0x3e0, 4, SMALL }, { 0xf0, 4, NUMBER }, { 0x200, 8, FLAGS },
	    { 0x100, 8, FLAGS }),
	PTR(KVM_SET_VAPIC_ADDR, ON_VCPU, { 0, 8, GPA }),
	PTR(KVM_TPR_ACCESS_REPORTING, ON_VCPU, { 0, 4, SMALL }),
	PTR(KVM_TRANSLATE, ON_VCPU, { 0, 8, GPA }),
	PTR(KVM_X86_SETUP_MCE, ON_VCPU, { 0, 8, SMALL }),
	PTR(KVM_X86_SET_MCE, ON_VCPU, { 0, 8, NUMBER }, { 24, 1, SMALL }),
	LONG(KVM_GET_MSRS, 8 + 16 * 4, ON_VCPU | ON_SYS, { 0, 4, SMALL }, { 8, 4, MSR },
	     { 24, 4, MSR }, { 40, 4, MSR }),
	LONG(KVM_SET_MSRS, 8 + 16 * 4, ON_VCPU, { 0, 4, SMALL }, { 8, 4, MSR }, { 16, 8, NUMBER },
	     { 24, 4, MSR }, { 32, 8, GPA }, { 40, 4, MSR }, { 48, 8, FLAGS }),
	LONG(KVM_GET_CPUID2, 8 + 40 * 100, ON_VCPU, { 0, 4, NUMBER }),
	{ "KVM_SET_CPUID2", KVM_SET_CPUID2, KVM_GET_SUPPORTED_CPUID, 8 + 40 * 100, IOCTL_PTR,
	  ON_VCPU, { { 8, 4, LEAF }, { 48, 4, LEAF }, { 20, 4, NUMBER } } },
	INT(KVM_SMI, ON_VCPU),
	INT(KVM_NMI, ON_VCPU),
	INT(KVM_KVMCLOCK_CTRL, ON_VCPU),
	PTR(KVM_INTERRUPT, ON_VCPU, { 0, 4, VECTOR }),
	{ "KVM_SET_SIGNAL_MASK", KVM_SET_SIGNAL_MASK, 0, 12, IOCTL_PTR, ON_VCPU,
	  { { 0, 4, SMALL }, { 4, 8, NUMBER } } },

	/* KVM_RUN for some ms, some times */
	OTHER("run", RUN, ON_VCPU, { 0, 8, SMALL }),
	OTHER("run", RUN, ON_VCPU, { 0, 8, SMALL }),
	OTHER("run", RUN, ON_VCPU, { 0, 8, SMALL }),
	/* Code and registers by the argument; its lowest two bits choose the mode. */
	OTHER("guest", GUEST, ON_VCPU, { 0, 8, NUMBER }),
	OTHER("guest", GUEST, ON_VCPU, { 0, 8, NUMBER }),
	/* struct kvm_run, the page of port I/O and that of coalesced MMIO */
	OTHER("page", RUN_PAGE, ON_VCPU, AT(struct kvm_run, request_interrupt_window, SMALL),
	      AT(struct kvm_run, immediate_exit, SMALL), AT(struct kvm_run, cr8, NUMBER),
	      AT(struct kvm_run, kvm_valid_regs, FLAGS), AT(struct kvm_run, kvm_dirty_regs, FLAGS),
	      AT(struct kvm_run, io.count, NUMBER), AT(struct kvm_run, io.data_offset, NUMBER),
	      { 0x2000, 4, NUMBER }),
	OTHER("memory", MEMORY, ON_VM, { 0, 8, NUMBER }, { 0x1000, 8, NUMBER },
	      { 0x2000, 4, NUMBER }),
	OTHER("advise", ADVISE, ON_VM, { 0, 8, NUMBER }),
	OTHER("close", CLOSE, ON_ANY),
	OTHER("map", MAP, ON_VCPU, { 0, 8, SMALL }),
	OTHER("signal", SIGNAL, ON_VM, { 0, 8, SMALL }),
	OTHER("read", READ, ON_STATS, { 0, 8, NUMBER }),
};

const int nr_calls = sizeof(calls) / sizeof(calls[0]);

static u64 pick(u64 *r, const u32 *list, u32 nr)
{
	return list[rnd_below(r, nr)];
}

#define PICK(r, list) pick(r, list, sizeof(list) / sizeof((list)[0]))

static const u32 caps[] = {
	KVM_CAP_SPLIT_IRQCHIP, KVM_CAP_X2APIC_API, KVM_CAP_EXCEPTION_PAYLOAD,
	KVM_CAP_X86_TRIPLE_FAULT_EVENT, KVM_CAP_EXIT_ON_EMULATION_FAILURE,
	KVM_CAP_MSR_PLATFORM_INFO, KVM_CAP_MAX_VCPU_ID, KVM_CAP_DISABLE_QUIRKS2,
	KVM_CAP_DISABLE_QUIRKS, KVM_CAP_X86_DISABLE_EXITS, KVM_CAP_X86_USER_SPACE_MSR,
	KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, KVM_CAP_DIRTY_LOG_RING, KVM_CAP_DIRTY_LOG_RING_ACQ_REL,
	KVM_CAP_VM_DISABLE_NX_HUGE_PAGES, KVM_CAP_HALT_POLL, KVM_CAP_ENFORCE_PV_FEATURE_CPUID,
	KVM_CAP_X86_MSR_FILTER, KVM_CAP_HYPERV_SYNIC, KVM_CAP_TSC_CONTROL,
};

static const u32 msrs[] = {
	0x10, 0x1b, 0x3a, 0x3b, 0x48, 0x49, 0x8b, 0xc1, 0xce, 0x10a, 0x140, 0x174, 0x175, 0x176,
	0x179, 0x17a, 0x17b, 0x186, 0x1a0, 0x1d9, 0x200, 0x250, 0x26f, 0x277, 0x2ff, 0x345, 0x38f,
	0x400, 0x401, 0x402, 0x403, 0x480, 0x6e0, 0x802, 0x808, 0x80b, 0x80f, 0x828, 0x830, 0x832,
	0x838, 0x839, 0x83e, 0x83f, 0xda0, 0x11, 0x12, 0x40000000, 0x40000001, 0x4b564d00,
	0x4b564d01, 0x4b564d02, 0x4b564d03, 0x4b564d04, 0x4b564d05, 0x4b564d06, 0x4b564d07,
	0xc0000080, 0xc0000081, 0xc0000082, 0xc0000083, 0xc0000084, 0xc0000100, 0xc0000101,
	0xc0000102, 0xc0000103, 0xc0000104, 0xc0010010, 0xc0010015, 0xc001001f, 0xc0010064,
	0xc0010114, 0xc0010117, 0xc0011029,
};

static const u32 leaves[] = {
	0, 1, 2, 4, 6, 7, 0xa, 0xb, 0xd, 0x14, 0x15, 0x1f, 0x40000000, 0x40000001, 0x80000000,
	0x80000001, 0x80000007, 0x80000008, 0x8000000a, 0x8000001d, 0xc0000000,
};

static const u32 gpas[] = {
	0, 0, 0, 0x1000, 0x8000, 0x10000, 0xff000, 0x100000, 0x200000, 0xd0000000, 0xfec00000,
	0xfee00000, 0xfffff000,
};

static const u32 ports[] = {
	0x20, 0x21, 0x40, 0x43, 0x61, 0x80, 0x80, 0x80, 0xe9, 0xffff, 0xd0000000, 0xd0000000,
	0xd0000008, 0xd0000ffc, 0xfec00000, 0xfee000b0,
};

static u64 random_value(u64 *r, enum kind kind)
{
	switch (kind) {
	case FLAGS:
		return rnd_below(r, 2) ? 1ull << rnd_below(r, 8) : rnd(r) & rnd(r) & 0xff;
	case SMALL:
		return rnd_below(r, 8);
	case SLOT:
		return rnd_below(r, 4) | (rnd_below(r, 16) ? 0 : 0x10000);
	case GPA:
		return rnd_below(r, 8) ? PICK(r, gpas) : (u64)rnd(r) << 12;
	case SIZE:
		return rnd_below(r, 2) ? MEM_SIZE : rnd_below(r, 300) << 12;
	case MEM:
		return rnd_below(r, 2) ? 0 : rnd_below(r, MEM_SIZE >> 12) << 12;
	case BUF:
		return rnd_below(r, 4) ? 0 : rnd_below(r, BUF_SIZE);
	case EVENT:
		return rnd_below(r, NR_EVENTS);
	case GSI:
		return rnd_below(r, 28);
	case VECTOR:
		return rnd_below(r, 256);
	case MSR:
		return PICK(r, msrs);
	case LEAF:
		return PICK(r, leaves);
	case CAP:
		return rnd_below(r, 4) ? PICK(r, caps) : rnd_below(r, 256);
	case PORT:
		return PICK(r, ports);
	case MSI:
		return 0xfee00000 | (rnd_below(r, 2) ? rnd(r) & 0xff00c : rnd(r) & 0xd00);
	default:
		return rnd_value(r);
	}
}

static void random_patch(u64 *r, const struct op *op, struct patch *patch)
{
	static const u8 widths[] = { 1, 2, 4, 4, 8, 8 };
	const struct call *c = &calls[op->call];
	int nr = 0;

	while (nr < 10 && c->fields[nr].kind)
		nr++;
	*patch = (struct patch) { 0 };
	if (nr && rnd_below(r, 4)) {
		const struct field *f = &c->fields[rnd_below(r, nr)];

		patch->offset = f->offset;
		patch->width = f->width;
		if (rnd_below(r, 8) == 0) {
			patch->val = rnd_value(r);
			return;
		}
		patch->val = random_value(r, f->kind);
		patch->relative = f->kind == MEM ? REL_MEM : f->kind == BUF ? REL_BUF :
				  f->kind == EVENT ? REL_EVENT : ABSOLUTE;
		return;
	}
	patch->width = widths[rnd_below(r, 6)];
	patch->offset = rnd_below(r, c->size / patch->width + 1) * patch->width;
	patch->val = rnd_value(r);
}

/* All that the structure has, each as it should be. */
static void patch_all(u64 *r, struct op *op)
{
	const struct field *f = calls[op->call].fields;

	for (; f < calls[op->call].fields + 10 && f->kind; f++) {
		struct patch *patch = &op->patches[op->nr_patches++];

		patch->offset = f->offset;
		patch->width = f->width;
		patch->val = random_value(r, f->kind);
		patch->relative = f->kind == MEM ? REL_MEM : f->kind == BUF ? REL_BUF :
				  f->kind == EVENT ? REL_EVENT : ABSOLUTE;
	}
}

static u8 random_object(u64 *r, u8 on)
{
	static const u8 targets[NR_OBJECTS] = {
		ON_SYS, ON_VM, ON_STATS, ON_STATS, ON_VCPU, ON_VCPU, ON_VCPU, ON_VCPU,
	};
	u8 object;

	if (rnd_below(r, 64) == 0)
		return rnd_below(r, NR_OBJECTS);
	/* Most of what is done is done to the first vCPU. */
	if ((on & ON_VCPU) && rnd_below(r, 3))
		return OBJ_VCPU;
	do
		object = rnd_below(r, NR_OBJECTS);
	while (!(targets[object] & on));
	return object;
}

void random_op(u64 *r, struct op *op)
{
	const struct call *c;

	memset(op, 0, sizeof(*op));
	op->call = rnd_below(r, nr_calls);
	c = &calls[op->call];
	op->object = random_object(r, c->on);
	if (c->what != IOCTL_PTR && c->what != RUN_PAGE && c->what != MEMORY) {
		op->arg = c->fields[0].kind ? random_value(r, c->fields[0].kind) : 0;
		if (rnd_below(r, 16) == 0)
			op->arg = rnd_value(r);
		return;
	}
	op->get = c->get && rnd_below(r, 4);
	if (op->get || c->what == RUN_PAGE)
		for (u64 n = rnd_below(r, 4); n; n--)
			random_patch(r, op, &op->patches[op->nr_patches++]);
	else
		patch_all(r, op);
}

static void insert_op(u64 *r, struct program *p)
{
	u32 at = rnd_below(r, p->nr + 1);

	if (p->nr == MAX_OPS)
		return;
	memmove(&p->ops[at + 1], &p->ops[at], (p->nr - at) * sizeof(p->ops[0]));
	random_op(r, &p->ops[at]);
	p->nr++;
}

static void delete_op(u64 *r, struct program *p)
{
	u32 at = rnd_below(r, p->nr);

	memmove(&p->ops[at], &p->ops[at + 1], (p->nr - at - 1) * sizeof(p->ops[0]));
	p->nr--;
}

static void change_op(u64 *r, struct op *op)
{
	struct patch *patch = &op->patches[rnd_below(r, MAX_PATCHES)];

	switch (rnd_below(r, 8)) {
	case 0:
		op->object = random_object(r, calls[op->call].on);
		break;
	case 1:
		op->get = !op->get && calls[op->call].get;
		break;
	case 2:
		op->arg = rnd_below(r, 2) ? rnd_value(r) :
			  random_value(r, calls[op->call].fields[0].kind);
		break;
	case 3:
		if (op->nr_patches)
			op->nr_patches--;
		break;
	case 4:
	case 5:
		if (op->nr_patches < MAX_PATCHES && calls[op->call].size)
			random_patch(r, op, &op->patches[op->nr_patches++]);
		break;
	case 6:
		if (patch < op->patches + op->nr_patches)
			patch->val ^= 1ull << rnd_below(r, patch->width * 8);
		break;
	default:
		if (patch < op->patches + op->nr_patches)
			random_patch(r, op, patch);
	}
}

void mutate(u64 *r, struct program *p, const struct program *other)
{
	for (u64 n = 1 + rnd_below(r, 4); n; n--) {
		u32 at = rnd_below(r, p->nr ? p->nr : 1), from, nr;

		switch (rnd_below(r, 10)) {
		case 0:
			if (p->nr > 1)
				delete_op(r, p);
			break;
		case 1: /* the end of another one behind the beginning of this one */
			from = rnd_below(r, other->nr);
			nr = other->nr - from;
			if (nr > MAX_OPS - at)
				nr = MAX_OPS - at;
			memcpy(&p->ops[at], &other->ops[from], nr * sizeof(p->ops[0]));
			p->nr = at + nr;
			break;
		case 2: /* one op of it */
			if (p->nr < MAX_OPS)
				p->ops[p->nr++] = other->ops[rnd_below(r, other->nr)];
			break;
		case 3:
			if (p->nr && p->nr < MAX_OPS)
				p->ops[p->nr] = p->ops[at], p->nr++;
			break;
		case 4 ... 6:
			insert_op(r, p);
			break;
		default:
			if (p->nr)
				change_op(r, &p->ops[at]);
		}
	}
	if (!p->nr)
		insert_op(r, p);
}
