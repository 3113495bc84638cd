// SPDX-License-Identifier: GPL-2.0-only
/* CPUID: what is offered, what is set, what the guest gets. */
#include <fcntl.h>
#include "test.h"

#define MAX_ENTRIES 256

static struct kvm_cpuid2 *alloc_cpuid(u32 nent)
{
	struct kvm_cpuid2 *c = calloc(1, sizeof(*c) + nent * sizeof(c->entries[0]));

	c->nent = nent;
	return c;
}

static struct kvm_cpuid_entry2 *find(struct kvm_cpuid2 *c, u32 function, u32 index)
{
	for (u32 i = 0; i < c->nent; i++) {
		struct kvm_cpuid_entry2 *e = &c->entries[i];

		if (e->function == function &&
		    (!(e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) || e->index == index))
			return e;
	}
	return NULL;
}

TEST(supported_cpuid_sizes)
{
	int dev = dev_open();
	struct kvm_cpuid2 *c = alloc_cpuid(MAX_ENTRIES);
	u32 n;

	REQUIRE_CAP(dev, KVM_CAP_EXT_CPUID);
	ASSERT_EQ(0, ioctl(dev, KVM_GET_SUPPORTED_CPUID, c));
	n = c->nent;
	EXPECT_LT(4, n);
	EXPECT_GE(MAX_ENTRIES, n);
	/* Exactly enough is enough; one less is not. */
	c->nent = n;
	EXPECT_EQ(0, ioctl(dev, KVM_GET_SUPPORTED_CPUID, c));
	EXPECT_EQ(n, c->nent);
	c->nent = n - 1;
	EXPECT_ERRNO(E2BIG, ioctl(dev, KVM_GET_SUPPORTED_CPUID, c));
	c->nent = 0;
	EXPECT_ERRNO(E2BIG, ioctl(dev, KVM_GET_SUPPORTED_CPUID, c));
	EXPECT_ERRNO(EFAULT, ioctl(dev, KVM_GET_SUPPORTED_CPUID, NULL));
}

TEST(supported_cpuid_is_enough_for_a_64_bit_guest)
{
	struct vm *vm = vm_create_empty();
	struct kvm_cpuid_entry2 *e;

	e = find(vm->cpuid, 0, 0);
	ASSERT_NE(NULL, e);
	EXPECT_LE(0xd, e->eax);
	e = find(vm->cpuid, 1, 0);
	ASSERT_NE(NULL, e);
	/* FPU, TSC, MSR, PAE, CX8, APIC, PGE, CMOV, PAT, FXSR, SSE, SSE2 */
	EXPECT_EQ(0x0701a371 & ~0x200, e->edx & (0x0701a371 & ~0x200));
	e = find(vm->cpuid, 0x80000001, 0);
	ASSERT_NE(NULL, e);
	EXPECT_EQ(1 << 29 | 1 << 20 | 1 << 11, e->edx & (1 << 29 | 1 << 20 | 1 << 11));
	e = find(vm->cpuid, 0x80000008, 0);
	ASSERT_NE(NULL, e);
	EXPECT_LE(32, e->eax & 0xff);
	EXPECT_GE(52, e->eax & 0xff);
	EXPECT_LE(48, e->eax >> 8 & 0xff);
	e = find(vm->cpuid, 0x40000000, 0);
	ASSERT_NE(NULL, e);
	EXPECT_EQ(0, memcmp(&e->ebx, "KVMKVMKVM\0\0\0", 12));
}

TEST(no_more_than_the_processor_has)
{
	struct vm *vm = vm_create_empty();
	u32 a, b, c, d;
	struct kvm_cpuid_entry2 *e = find(vm->cpuid, 7, 0);

	cpuid(7, 0, &a, &b, &c, &d);
	ASSERT_NE(NULL, e);
	/* UMIP and TSC_ADJUST can be emulated; the rest needs the processor. */
	EXPECT_EQ(0, e->ebx & ~b & ~(1 << 1));
	EXPECT_EQ(0, e->ecx & ~c & ~(1 << 2 | 1 << 22));
}

TEST(set_and_get)
{
	struct vcpu *vcpu = vcpu_create(vm_create_empty());
	u32 n = vcpu->vm->cpuid->nent;
	struct kvm_cpuid2 *c = alloc_cpuid(MAX_ENTRIES + 1);

	ASSERT_EQ(0, ioctl(vcpu->fd, KVM_GET_CPUID2, c));
	/* Linux 6.1 leaves the count as it was; later ones store it. */
	EXPECT_TRUE(c->nent == n || c->nent == MAX_ENTRIES + 1);
	for (u32 i = 0; i < n; i++) {
		struct kvm_cpuid_entry2 *set = &vcpu->vm->cpuid->entries[i], *get = &c->entries[i];

		EXPECT_EQ(set->function, get->function);
		EXPECT_EQ(set->index, get->index);
	}
	c->nent = n - 1;
	EXPECT_ERRNO(E2BIG, ioctl(vcpu->fd, KVM_GET_CPUID2, c));
	c->nent = MAX_ENTRIES + 1;
	EXPECT_ERRNO(E2BIG, ioctl(vcpu->fd, KVM_SET_CPUID2, c));
	EXPECT_ERRNO(EFAULT, ioctl(vcpu->fd, KVM_SET_CPUID2, NULL));
	EXPECT_ERRNO(EFAULT, ioctl(vcpu->fd, KVM_GET_CPUID2, NULL));
	/* None at all is allowed. */
	c->nent = 0;
	EXPECT_EQ(0, ioctl(vcpu->fd, KVM_SET_CPUID2, c));
	EXPECT_EQ(0, ioctl(vcpu->fd, KVM_GET_CPUID2, c));
}

struct query {
	u32 leaf, index;
	u32 a, b, c, d;
};

static struct query queries[8];
static u32 nr_queries;

static void ask(void)
{
	for (u32 i = 0; i < READ_ONCE(nr_queries); i++) {
		struct query *q = &queries[i];

		cpuid(q->leaf, q->index, &q->a, &q->b, &q->c, &q->d);
	}
	GUEST_DONE();
}

#define EXPECT_ANSWER(q, aa, bb, cc, dd)                                                           \
	do {                                                                                       \
		EXPECT_EQ(aa, (q)->a);                                                             \
		EXPECT_EQ(bb, (q)->b);                                                             \
		EXPECT_EQ(cc, (q)->c);                                                             \
		EXPECT_EQ(dd, (q)->d);                                                             \
	} while (0)

TEST(guest_gets_what_was_set)
{
	static const struct kvm_cpuid_entry2 entries[] = {
		{ .function = 0, .eax = 4,
		  .ebx = 0x756e6547, .ecx = 0x6c65746e, .edx = 0x49656e69 },
		{ .function = 1, .eax = 0x12345 },
		{ .function = 4, .index = 0, .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
		  .eax = 0x40, .ebx = 0x41, .ecx = 0x42, .edx = 0x43 },
		{ .function = 4, .index = 1, .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
		  .eax = 0x44, .ebx = 0x45, .ecx = 0x46, .edx = 0x47 },
		{ .function = 0x80000000, .eax = 0x80000003 },
		{ .function = 0x80000001, .edx = 1 << 29 | 1 << 20 | 1 << 11 },
		{ .function = 0x80000003, .eax = 1, .ebx = 2, .ecx = 3, .edx = 4 },
		{ .function = 0x40000000, .eax = 0x40000000, .ebx = 5, .ecx = 6, .edx = 7 },
	};
	struct vcpu *vcpu;
	struct vm *vm;
	struct kvm_cpuid2 *c = alloc_cpuid(ARRAY_SIZE(entries));
	struct query *q;

	queries[0] = (struct query) { .leaf = 0, .index = 0 };
	queries[1] = (struct query) { .leaf = 4, .index = 1 };
	queries[2] = (struct query) { .leaf = 4, .index = 2 }; /* no such index */
	queries[3] = (struct query) { .leaf = 2, .index = 0 }; /* in range, not set */
	queries[4] = (struct query) { .leaf = 0x80000003, .index = 99 }; /* no matter */
	queries[5] = (struct query) { .leaf = 0x80000002, .index = 0 };
	queries[6] = (struct query) { .leaf = 0x40000000, .index = 0 };
	/* Intel: beyond the last basic leaf, the last one answers (SDM vol. 2A, CPUID). */
	queries[7] = (struct query) { .leaf = 0x10, .index = 0 };
	nr_queries = 8;
	vm = vm_create();
	vcpu = vcpu_add(vm, ask);
	memcpy(c->entries, entries, sizeof(entries));
	ASSERT_EQ(0, ioctl(vcpu->fd, KVM_SET_CPUID2, c));
	RUN_DONE(vcpu);
	q = *guest_ptr(vm, queries);
	EXPECT_ANSWER(&q[0], 4, 0x756e6547, 0x6c65746e, 0x49656e69);
	EXPECT_ANSWER(&q[1], 0x44, 0x45, 0x46, 0x47);
	EXPECT_ANSWER(&q[2], 0, 0, 0, 0);
	EXPECT_ANSWER(&q[3], 0, 0, 0, 0);
	EXPECT_ANSWER(&q[4], 1, 2, 3, 4);
	EXPECT_ANSWER(&q[5], 0, 0, 0, 0);
	EXPECT_ANSWER(&q[6], 0x40000000, 5, 6, 7);
	EXPECT_ANSWER(&q[7], 0x40, 0x41, 0x42, 0x43);
}

TEST(supported_leaves_reach_the_guest)
{
	static const u32 leaves[] = { 0, 0x80000000, 0x80000001, 0x80000008, 0x40000000 };
	struct vcpu *vcpu;
	struct query *q;

	nr_queries = ARRAY_SIZE(leaves);
	for (u32 i = 0; i < nr_queries; i++)
		queries[i].leaf = leaves[i];
	vcpu = vcpu_add(vm_create(), ask);
	RUN_DONE(vcpu);
	q = *guest_ptr(vcpu->vm, queries);
	for (u32 i = 0; i < nr_queries; i++) {
		struct kvm_cpuid_entry2 *e = find(vcpu->vm->cpuid, leaves[i], 0);

		ASSERT_NE(NULL, e);
		EXPECT_ANSWER(&q[i], e->eax, e->ebx, e->ecx, e->edx);
	}
}

static u32 cpuid_1_ecx(void)
{
	u32 a, b, c, d;

	cpuid(1, 0, &a, &b, &c, &d);
	return c;
}

static void toggle_osxsave(void)
{
	GUEST_ASSERT_EQ(cpuid_1_ecx() >> 27 & 1, 0);
	write_cr4(read_cr4() | 1 << 18);
	GUEST_ASSERT_EQ(cpuid_1_ecx() >> 27 & 1, 1);
	write_cr4(read_cr4() & ~(1 << 18));
	GUEST_ASSERT_EQ(cpuid_1_ecx() >> 27 & 1, 0);
	GUEST_DONE();
}

TEST(osxsave_follows_cr4)
{
	struct vcpu *vcpu = vcpu_add(vm_create(), toggle_osxsave);

	if (!(find(vcpu->vm->cpuid, 1, 0)->ecx >> 26 & 1))
		SKIP(return, "no XSAVE");
	RUN_DONE(vcpu);
}

TEST(no_change_after_the_first_run)
{
	struct vcpu *vcpu = vcpu_add(vm_create(), ask);
	struct kvm_cpuid2 *c = vcpu->vm->cpuid;

	RUN_DONE(vcpu);
	ASSERT_EQ(0, ioctl(vcpu->fd, KVM_GET_CPUID2, c));
	EXPECT_EQ(0, ioctl(vcpu->fd, KVM_SET_CPUID2, c));
	find(c, 0x80000001, 0)->edx ^= 1 << 26;
	EXPECT_ERRNO(EINVAL, ioctl(vcpu->fd, KVM_SET_CPUID2, c));
	c->nent--;
	EXPECT_ERRNO(EINVAL, ioctl(vcpu->fd, KVM_SET_CPUID2, c));
}

static void read_efer_nx(void)
{
	u64 efer = rdmsr(0xc0000080);

	/* Without NX in CPUID, EFER.NXE is a reserved bit. */
	GUEST_ASSERT_EQ(wrmsr_safe(0xc0000080, efer | 1 << 11), GP);
	GUEST_DONE();
}

TEST(hidden_features_are_not_there)
{
	struct vm *vm = vm_create();
	struct vcpu *vcpu = vcpu_add(vm, read_efer_nx);
	struct kvm_sregs sregs;

	find(vm->cpuid, 0x80000001, 0)->edx &= ~(1 << 20);
	ASSERT_EQ(0, ioctl(vcpu->fd, KVM_SET_CPUID2, vm->cpuid));
	sregs = vcpu_sregs(vcpu);
	sregs.efer &= ~(1ull << 11);
	vcpu_set_sregs(vcpu, &sregs);
	RUN_DONE(vcpu);
}

TEST_MAIN
