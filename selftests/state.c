// SPDX-License-Identifier: GPL-2.0-only
/*
 * What userspace has beside the plain register files: their newer forms, those
 * in struct kvm_run, and capabilities that it enables.
 */
#include <fcntl.h>
#include "test.h"

#define CR0_PE (1u << 0)
#define CR0_PG (1u << 31)
#define CR4_PAE (1u << 5)

static void enable_cap(int fd, u32 cap, u64 arg)
{
	struct kvm_enable_cap enable = { .cap = cap, .args = { arg } };

	IOCTL(fd, KVM_ENABLE_CAP, &enable);
}

static int try_cap(int fd, u32 cap, u64 arg)
{
	struct kvm_enable_cap enable = { .cap = cap, .args = { arg } };

	return ioctl(fd, KVM_ENABLE_CAP, &enable);
}

static u64 counter;

static void count(void)
{
	for (;;)
		GUEST_SYNC(++counter);
}

static struct vcpu *counting_vcpu(void)
{
	return vcpu_add(vm_create(), count);
}

/* ---- KVM_GET/SET_SREGS2 ---- */

TEST(sregs2_is_sregs_and_more)
{
	struct vcpu *vcpu = counting_vcpu();
	struct kvm_sregs sregs = vcpu_sregs(vcpu);
	struct kvm_sregs2 sregs2;

	REQUIRE_CAP(vcpu->vm->dev, KVM_CAP_SREGS2);
	memset(&sregs2, 0xff, sizeof(sregs2));
	IOCTL(vcpu->fd, KVM_GET_SREGS2, &sregs2);
	EXPECT_EQ(0, memcmp(&sregs, &sregs2, offsetof(struct kvm_sregs, interrupt_bitmap)));
	/* No PDPTRs in 64-bit mode. */
	EXPECT_EQ(0, sregs2.flags);
	EXPECT_EQ(0, sregs2.pdptrs[0]);

	sregs2.cr2 = 0x123456;
	sregs2.fs.base = 0x7000;
	IOCTL(vcpu->fd, KVM_SET_SREGS2, &sregs2);
	sregs = vcpu_sregs(vcpu);
	EXPECT_EQ(0x123456, sregs.cr2);
	EXPECT_EQ(0x7000, sregs.fs.base);
	EXPECT_EQ(1, RUN_SYNC(vcpu));
}

TEST(bad_sregs2_is_refused)
{
	struct vcpu *vcpu = counting_vcpu();
	struct kvm_sregs2 good, bad;

	REQUIRE_CAP(vcpu->vm->dev, KVM_CAP_SREGS2);
	IOCTL(vcpu->fd, KVM_GET_SREGS2, &good);
	bad = good;
	bad.flags = 2;
	EXPECT_ERRNO(EINVAL, ioctl(vcpu->fd, KVM_SET_SREGS2, &bad));
	/* PDPTRs for a guest that has none */
	bad.flags = KVM_SREGS2_FLAGS_PDPTRS_VALID;
	EXPECT_ERRNO(EINVAL, ioctl(vcpu->fd, KVM_SET_SREGS2, &bad));
	bad = good;
	bad.cr0 &= ~(u64)CR0_PE;
	EXPECT_ERRNO(EINVAL, ioctl(vcpu->fd, KVM_SET_SREGS2, &bad));
	EXPECT_ERRNO(EFAULT, ioctl(vcpu->fd, KVM_GET_SREGS2, 8));
	EXPECT_ERRNO(EFAULT, ioctl(vcpu->fd, KVM_SET_SREGS2, 8));
	EXPECT_EQ(1, RUN_SYNC(vcpu));
}

#define PDPT 0x9000ul
#define PD 0xa000ul

/* PAE paging: one 2 MiB page at 0. */
static void make_pae_tables(struct vm *vm)
{
	u64 *pdpt = gpa_ptr(vm, PDPT), *pd = gpa_ptr(vm, PD);

	memset(pdpt, 0, 0x1000);
	memset(pd, 0, 0x1000);
	pdpt[0] = PD | PTE_P;
	pd[0] = PTE_P | PTE_W | PTE_PS;
}

GUEST_ASM(pae_loop, "32", "1: incl 0x100000\n outb %al, $0x10\n jmp 1b\n");

TEST(pdptrs_are_told_and_set)
{
	struct vm *vm = vm_create();
	struct vcpu *vcpu = vcpu_add_prot(vm, pae_loop, pae_loop_end);
	struct kvm_sregs2 s;

	REQUIRE_CAP(vm->dev, KVM_CAP_SREGS2);
	make_pae_tables(vm);
	IOCTL(vcpu->fd, KVM_GET_SREGS2, &s);
	EXPECT_EQ(0, s.flags);
	s.cr3 = PDPT;
	s.cr4 |= CR4_PAE;
	s.cr0 |= CR0_PG;
	/* Not with memory's, but with these. */
	s.flags = KVM_SREGS2_FLAGS_PDPTRS_VALID;
	s.pdptrs[0] = PD | PTE_P;
	s.pdptrs[2] = 0x5000 | PTE_P;
	IOCTL(vcpu->fd, KVM_SET_SREGS2, &s);
	memset(&s, 0, sizeof(s));
	IOCTL(vcpu->fd, KVM_GET_SREGS2, &s);
	EXPECT_EQ(KVM_SREGS2_FLAGS_PDPTRS_VALID, s.flags);
	EXPECT_EQ(PD | PTE_P, s.pdptrs[0]);
	EXPECT_EQ(0, s.pdptrs[1]);
	EXPECT_EQ(0x5000 | PTE_P, s.pdptrs[2]);

	/* Without the flag, those in memory. */
	s.flags = 0;
	IOCTL(vcpu->fd, KVM_SET_SREGS2, &s);
	RUN_TO(vcpu, KVM_EXIT_IO);
	EXPECT_EQ(1, *(u32 *)gpa_ptr(vm, 0x100000));
	IOCTL(vcpu->fd, KVM_GET_SREGS2, &s);
	EXPECT_EQ(KVM_SREGS2_FLAGS_PDPTRS_VALID, s.flags);
	EXPECT_EQ(PD | PTE_P, s.pdptrs[0]);
	EXPECT_EQ(0, s.pdptrs[2]);
	RUN_TO(vcpu, KVM_EXIT_IO);
	EXPECT_EQ(2, *(u32 *)gpa_ptr(vm, 0x100000));
}

/* ---- KVM_GET_XSAVE2, what there is of XCR0 ---- */

TEST(xsave2_is_xsave)
{
	struct vcpu *vcpu = counting_vcpu();
	int size = has_cap(vcpu->vm->fd, KVM_CAP_XSAVE2);
	struct kvm_xsave old;
	u8 *new;

	if (!size)
		SKIP(return, "no KVM_CAP_XSAVE2");
	EXPECT_LE(sizeof(old), size);
	new = malloc(size);
	IOCTL(vcpu->fd, KVM_GET_XSAVE, &old);
	memset(new, 0xff, size);
	IOCTL(vcpu->fd, KVM_GET_XSAVE2, new);
	EXPECT_EQ(0, memcmp(&old, new, sizeof(old)));
	IOCTL(vcpu->fd, KVM_SET_XSAVE, new);
	EXPECT_ERRNO(EFAULT, ioctl(vcpu->fd, KVM_GET_XSAVE2, 8));
	free(new);
}

TEST(xcomp_attribute_is_xcr0_in_cpuid)
{
	struct vm *vm = vm_create();
	struct kvm_device_attr attr = { .attr = KVM_X86_XCOMP_GUEST_SUPP };
	u64 xcr0 = ~0ull, cpuid = 0;

	REQUIRE_CAP(vm->dev, KVM_CAP_SYS_ATTRIBUTES);
	attr.addr = (u64)&xcr0;
	EXPECT_EQ(0, ioctl(vm->dev, KVM_HAS_DEVICE_ATTR, &attr));
	EXPECT_EQ(0, ioctl(vm->dev, KVM_GET_DEVICE_ATTR, &attr));
	for (int i = 0; i < vm->cpuid->nent; i++)
		if (vm->cpuid->entries[i].function == 0xd && !vm->cpuid->entries[i].index)
			cpuid = vm->cpuid->entries[i].eax |
				(u64)vm->cpuid->entries[i].edx << 32;
	/* Userspace has to ask for AMX before CPUID shows it. */
	EXPECT_EQ(cpuid, xcr0 & ~(3ull << 17));

	attr.addr = 8;
	EXPECT_ERRNO(EFAULT, ioctl(vm->dev, KVM_GET_DEVICE_ATTR, &attr));
	attr.attr = 99;
	EXPECT_ERRNO(ENXIO, ioctl(vm->dev, KVM_HAS_DEVICE_ATTR, &attr));
	EXPECT_ERRNO(ENXIO, ioctl(vm->dev, KVM_GET_DEVICE_ATTR, &attr));
	attr.attr = KVM_X86_XCOMP_GUEST_SUPP;
	attr.group = 1;
	EXPECT_ERRNO(ENXIO, ioctl(vm->dev, KVM_HAS_DEVICE_ATTR, &attr));
	EXPECT_ERRNO(EFAULT, ioctl(vm->dev, KVM_HAS_DEVICE_ATTR, 8));
}

TEST(emulated_cpuid)
{
	struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 entries[64];
	} list = { .head.nent = 64 };
	int dev = dev_open();

	REQUIRE_CAP(dev, KVM_CAP_EXT_EMUL_CPUID);
	IOCTL(dev, KVM_GET_EMULATED_CPUID, &list);
	EXPECT_LE(1, list.head.nent);
	EXPECT_EQ(0, list.entries[0].function);
	list.head.nent = 64;
	list.entries[63].padding[2] = 1;
	EXPECT_ERRNO(EINVAL, ioctl(dev, KVM_GET_EMULATED_CPUID, &list));
	list.head.nent = 0;
	EXPECT_ERRNO(E2BIG, ioctl(dev, KVM_GET_EMULATED_CPUID, &list));
	EXPECT_ERRNO(EFAULT, ioctl(dev, KVM_GET_EMULATED_CPUID, 8));
}

/* ---- KVM_CAP_SYNC_REGS ---- */

#define SYNC_ALL (KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS | KVM_SYNC_X86_EVENTS)

TEST(sync_regs_go_in_and_out_with_run)
{
	struct vcpu *vcpu = counting_vcpu();
	struct kvm_run *run = vcpu->run;
	struct kvm_vcpu_events ev;
	struct kvm_sregs sregs;
	struct kvm_regs regs;

	if (has_cap(vcpu->vm->dev, KVM_CAP_SYNC_REGS) != SYNC_ALL)
		SKIP(return, "no KVM_CAP_SYNC_REGS");
	run->kvm_valid_regs = SYNC_ALL;
	EXPECT_EQ(1, RUN_SYNC(vcpu));
	regs = vcpu_regs(vcpu);
	sregs = vcpu_sregs(vcpu);
	IOCTL(vcpu->fd, KVM_GET_VCPU_EVENTS, &ev);
	EXPECT_EQ(0, memcmp(&regs, &run->s.regs.regs, sizeof(regs)));
	EXPECT_EQ(0, memcmp(&sregs, &run->s.regs.sregs, sizeof(sregs)));
	EXPECT_EQ(0, memcmp(&ev, &run->s.regs.events, sizeof(ev)));

	run->s.regs.regs.r15 = 0xabc;
	run->s.regs.sregs.cr2 = 0x555000;
	run->kvm_valid_regs = 0;
	run->kvm_dirty_regs = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS;
	run->immediate_exit = 1;
	EXPECT_ERRNO(EINTR, ioctl(vcpu->fd, KVM_RUN, 0));
	run->immediate_exit = 0;
	EXPECT_EQ(0, run->kvm_dirty_regs);
	EXPECT_EQ(0xabc, vcpu_regs(vcpu).r15);
	EXPECT_EQ(0x555000, vcpu_sregs(vcpu).cr2);

	/* What is not asked for stays as it is, on both sides. */
	run->s.regs.sregs.cr2 = 0x777000;
	EXPECT_EQ(2, RUN_SYNC(vcpu));
	EXPECT_EQ(0x777000, run->s.regs.sregs.cr2);
	EXPECT_EQ(0x555000, vcpu_sregs(vcpu).cr2);
}

TEST(bad_sync_regs_are_refused)
{
	struct vcpu *vcpu = counting_vcpu();
	struct kvm_run *run = vcpu->run;

	if (has_cap(vcpu->vm->dev, KVM_CAP_SYNC_REGS) != SYNC_ALL)
		SKIP(return, "no KVM_CAP_SYNC_REGS");
	run->kvm_valid_regs = 8;
	EXPECT_ERRNO(EINVAL, ioctl(vcpu->fd, KVM_RUN, 0));
	run->kvm_valid_regs = SYNC_ALL;
	run->kvm_dirty_regs = 1ull << 63;
	EXPECT_ERRNO(EINVAL, ioctl(vcpu->fd, KVM_RUN, 0));
	run->kvm_dirty_regs = 0;
	EXPECT_EQ(1, RUN_SYNC(vcpu));
	/* What the ioctls refuse, KVM_RUN does. */
	run->s.regs.events.flags = 1u << 31;
	run->kvm_dirty_regs = KVM_SYNC_X86_EVENTS;
	EXPECT_ERRNO(EINVAL, ioctl(vcpu->fd, KVM_RUN, 0));
	run->kvm_dirty_regs = 0;
	run->s.regs.sregs.cr0 &= ~(u64)CR0_PE;
	run->kvm_dirty_regs = KVM_SYNC_X86_SREGS;
	EXPECT_ERRNO(EINVAL, ioctl(vcpu->fd, KVM_RUN, 0));
	run->kvm_dirty_regs = 0;
	EXPECT_EQ(2, RUN_SYNC(vcpu));
}

/* ---- struct kvm_vcpu_events, its flags ---- */

TEST(a_triple_fault_can_wait)
{
	struct vcpu *vcpu = counting_vcpu();
	struct kvm_vcpu_events ev;

	REQUIRE_CAP(vcpu->vm->fd, KVM_CAP_X86_TRIPLE_FAULT_EVENT);
	IOCTL(vcpu->fd, KVM_GET_VCPU_EVENTS, &ev);
	EXPECT_EQ(0, ev.flags & KVM_VCPUEVENT_VALID_TRIPLE_FAULT);
	ev.flags |= KVM_VCPUEVENT_VALID_TRIPLE_FAULT;
	EXPECT_ERRNO(EINVAL, ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &ev));

	enable_cap(vcpu->vm->fd, KVM_CAP_X86_TRIPLE_FAULT_EVENT, 1);
	IOCTL(vcpu->fd, KVM_GET_VCPU_EVENTS, &ev);
	EXPECT_TRUE(ev.flags & KVM_VCPUEVENT_VALID_TRIPLE_FAULT);
	EXPECT_EQ(0, ev.triple_fault.pending);
	ev.triple_fault.pending = 1;
	IOCTL(vcpu->fd, KVM_SET_VCPU_EVENTS, &ev);
	IOCTL(vcpu->fd, KVM_GET_VCPU_EVENTS, &ev);
	EXPECT_EQ(1, ev.triple_fault.pending);
	/* It is taken back. */
	ev.triple_fault.pending = 0;
	IOCTL(vcpu->fd, KVM_SET_VCPU_EVENTS, &ev);
	EXPECT_EQ(1, RUN_SYNC(vcpu));
	ev.triple_fault.pending = 1;
	IOCTL(vcpu->fd, KVM_SET_VCPU_EVENTS, &ev);
	RUN_TO(vcpu, KVM_EXIT_SHUTDOWN);
}

/* SMM is not for every device, but that there is none of it in progress can be said to all. */
TEST(smm_flags)
{
	struct vcpu *vcpu = counting_vcpu();
	struct kvm_vcpu_events ev;

	IOCTL(vcpu->fd, KVM_GET_VCPU_EVENTS, &ev);
	EXPECT_TRUE(ev.flags & KVM_VCPUEVENT_VALID_SMM);
	EXPECT_EQ(0, ev.smi.smm | ev.smi.pending | ev.smi.smm_inside_nmi | ev.smi.latched_init);
	EXPECT_EQ(0, ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &ev));
	if (!has_cap(vcpu->vm->dev, KVM_CAP_X86_SMM)) {
		EXPECT_ERRNO(ENOTTY, ioctl(vcpu->fd, KVM_SMI, 0));
		ev.smi.smm = 1;
		EXPECT_ERRNO(EINVAL, ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &ev));
		ev.smi.smm = 0;
		ev.smi.pending = 1;
		EXPECT_ERRNO(EINVAL, ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &ev));
	}
	EXPECT_EQ(1, RUN_SYNC(vcpu));
}

TEST(a_latched_init_is_kept)
{
	struct vm *vm = vm_create();
	struct kvm_vcpu_events ev;
	struct kvm_mp_state mp;
	struct vcpu *vcpu;

	IOCTL(vm->fd, KVM_CREATE_IRQCHIP, 0);
	vcpu_create(vm);
	vcpu = vcpu_create(vm);
	IOCTL(vcpu->fd, KVM_GET_VCPU_EVENTS, &ev);
	EXPECT_EQ(0, ev.smi.latched_init);
	ev.smi.latched_init = 1;
	IOCTL(vcpu->fd, KVM_SET_VCPU_EVENTS, &ev);
	IOCTL(vcpu->fd, KVM_GET_VCPU_EVENTS, &ev);
	EXPECT_EQ(1, ev.smi.latched_init);
	/* Asked what the processor is doing, it takes it. */
	IOCTL(vcpu->fd, KVM_GET_MP_STATE, &mp);
	EXPECT_EQ(KVM_MP_STATE_INIT_RECEIVED, mp.mp_state);
	IOCTL(vcpu->fd, KVM_GET_VCPU_EVENTS, &ev);
	EXPECT_EQ(0, ev.smi.latched_init);
}

static u64 seen;

static void note_vector(struct ex_frame *frame)
{
	seen = frame->vector << 32 | read_cr2();
}

static void wait_for_fault(void)
{
	guest_handlers[PF] = note_vector;
	GUEST_SYNC(0);
	GUEST_SYNC(seen);
}

/* An exception that is not delivered yet comes with its side effect, which is made later. */
TEST(exception_payload)
{
	struct vcpu *vcpu = vcpu_add(vm_create(), wait_for_fault);
	struct kvm_vcpu_events ev;

	REQUIRE_CAP(vcpu->vm->fd, KVM_CAP_EXCEPTION_PAYLOAD);
	enable_cap(vcpu->vm->fd, KVM_CAP_EXCEPTION_PAYLOAD, 1);
	RUN_SYNC(vcpu);
	IOCTL(vcpu->fd, KVM_GET_VCPU_EVENTS, &ev);
	EXPECT_TRUE(ev.flags & KVM_VCPUEVENT_VALID_PAYLOAD);
	ev.exception.pending = 1;
	ev.exception.nr = PF;
	ev.exception.has_error_code = 1;
	ev.exception_has_payload = 1;
	ev.exception_payload = 0xbad000;
	IOCTL(vcpu->fd, KVM_SET_VCPU_EVENTS, &ev);
	IOCTL(vcpu->fd, KVM_GET_VCPU_EVENTS, &ev);
	EXPECT_EQ(1, ev.exception.pending);
	EXPECT_EQ(0, ev.exception.injected);
	EXPECT_EQ(0xbad000, ev.exception_payload);
	EXPECT_NE(0xbad000, vcpu_sregs(vcpu).cr2);
	EXPECT_EQ((u64)PF << 32 | 0xbad000, RUN_SYNC(vcpu));
}

/* ---- capabilities to be enabled ---- */

TEST(max_vcpu_id)
{
	struct vm *vm = vm_create_empty();
	int max = has_cap(vm->fd, KVM_CAP_MAX_VCPU_ID);

	EXPECT_ERRNO(EINVAL, try_cap(vm->fd, KVM_CAP_MAX_VCPU_ID, max + 1));
	EXPECT_EQ(0, try_cap(vm->fd, KVM_CAP_MAX_VCPU_ID, 3));
	EXPECT_EQ(0, try_cap(vm->fd, KVM_CAP_MAX_VCPU_ID, 3));
	EXPECT_ERRNO(EINVAL, try_cap(vm->fd, KVM_CAP_MAX_VCPU_ID, 4));
	EXPECT_ERRNO(EINVAL, ioctl(vm->fd, KVM_CREATE_VCPU, 3));
	EXPECT_LE(0, ioctl(vm->fd, KVM_CREATE_VCPU, 2));

	/* With a vCPU it is too late. */
	vm = vm_create_empty();
	EXPECT_LE(0, ioctl(vm->fd, KVM_CREATE_VCPU, 0));
	EXPECT_ERRNO(EINVAL, try_cap(vm->fd, KVM_CAP_MAX_VCPU_ID, 3));
}

TEST_MAIN
