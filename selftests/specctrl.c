// SPDX-License-Identifier: GPL-2.0-only
/* IA32_SPEC_CTRL and IA32_PRED_CMD, on processors that have them. */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
#include "test.h"

#define MSR_SPEC_CTRL 0x48
#define MSR_PRED_CMD 0x49
#define IBRS 1
#define STIBP 2
#define SSBD 4

/* The bits of SPEC_CTRL that CPUID offers with them, and IBPB, in leaf 7 and in 80000008h. */
#define LEAF_7_EDX (1u << 26 | 1u << 27 | 1u << 31)
#define LEAF_80000008_EBX (1u << 12 | 1u << 14 | 1u << 15 | 1u << 24)

static bool is_leaf(const struct kvm_cpuid_entry2 *e, u32 function)
{
	return e->function == function && !e->index;
}

/* Which of the three bits the guests of this VM have. */
static u64 offered(struct vm *vm)
{
	u64 bits = 0;

	for (u32 i = 0; i < vm->cpuid->nent; i++) {
		const struct kvm_cpuid_entry2 *e = &vm->cpuid->entries[i];

		if (is_leaf(e, 7))
			bits |= (e->edx & 1u << 26 ? IBRS : 0) | (e->edx & 1u << 27 ? STIBP : 0) |
				(e->edx & 1u << 31 ? SSBD : 0);
		if (is_leaf(e, 0x80000008))
			bits |= (e->ebx & 1u << 14 ? IBRS : 0) | (e->ebx & 1u << 15 ? STIBP : 0) |
				(e->ebx & 1u << 24 ? SSBD : 0);
	}
	return bits;
}

static void withhold(struct vm *vm)
{
	for (u32 i = 0; i < vm->cpuid->nent; i++) {
		struct kvm_cpuid_entry2 *e = &vm->cpuid->entries[i];

		if (is_leaf(e, 7))
			e->edx &= ~LEAF_7_EDX;
		if (is_leaf(e, 0x80000008))
			e->ebx &= ~LEAF_80000008_EBX;
	}
}

static bool is_listed(struct vm *vm)
{
	struct kvm_msr_list *list = calloc(1, sizeof(*list) + 512 * sizeof(u32));
	bool found = false;

	list->nmsrs = 512;
	IOCTL(vm->dev, KVM_GET_MSR_INDEX_LIST, list);
	for (u32 i = 0; i < list->nmsrs; i++)
		found |= list->indices[i] == MSR_SPEC_CTRL;
	free(list);
	return found;
}

/* The host's own value. */
static u64 host_spec_ctrl(void)
{
	int fd = open("/dev/cpu/0/msr", O_RDONLY);
	u64 val;

	if (fd < 0 || pread(fd, &val, sizeof(val), MSR_SPEC_CTRL) != sizeof(val))
		FAIL("/dev/cpu/0/msr: %s", strerror(errno));
	close(fd);
	return val;
}

#define REQUIRE_SPEC_CTRL(vm)                                                 \
	do {                                                                  \
		if (!(offered(vm) & IBRS))                                    \
			SKIP(return, "this processor has no IA32_SPEC_CTRL"); \
	} while (0)

static void touch_both(void)
{
	u64 val;

	GUEST_ASSERT_EQ(rdmsr_safe(MSR_SPEC_CTRL, &val), GP);
	GUEST_ASSERT_EQ(wrmsr_safe(MSR_SPEC_CTRL, 0), GP);
	GUEST_ASSERT_EQ(wrmsr_safe(MSR_SPEC_CTRL, IBRS), GP);
	GUEST_ASSERT_EQ(wrmsr_safe(MSR_PRED_CMD, 1), GP);
	GUEST_DONE();
}

TEST(without_its_cpuid_bits_a_guest_has_neither)
{
	struct vm *vm = vm_create();
	struct vcpu *vcpu;

	withhold(vm);
	vcpu = vcpu_add(vm, touch_both);
	RUN_DONE(vcpu);
}

TEST(listed_where_it_is)
{
	struct vm *vm = vm_create();

	/* KVM lists it wherever the processor has it. */
	if (offered(vm) || is_minivirt())
		EXPECT_EQ(!!offered(vm), is_listed(vm));
}

static void write_and_read(u64 mine)
{
	GUEST_ASSERT_EQ(rdmsr(MSR_SPEC_CTRL), 0);
	wrmsr(MSR_SPEC_CTRL, mine);
	GUEST_ASSERT_EQ(rdmsr(MSR_SPEC_CTRL), mine);
	GUEST_SYNC(1);
	GUEST_ASSERT_EQ(rdmsr(MSR_SPEC_CTRL), mine);
	wrmsr(MSR_SPEC_CTRL, 0);
	GUEST_SYNC(2);
	GUEST_ASSERT_EQ(rdmsr(MSR_SPEC_CTRL), 0);
	wrmsr(MSR_SPEC_CTRL, mine);
	GUEST_SYNC(3);
	/* What userspace has set. */
	GUEST_ASSERT_EQ(rdmsr(MSR_SPEC_CTRL), IBRS);
	GUEST_DONE();
}

TEST(guests_and_host_have_each_their_own)
{
	static const u64 values[] = { IBRS, STIBP, SSBD, IBRS | STIBP | SSBD };
	struct vm *vm = vm_create();
	struct vcpu *vcpus[ARRAY_SIZE(values)];
	u64 host;

	REQUIRE_SPEC_CTRL(vm);
	host = host_spec_ctrl();
	for (int i = 0; i < ARRAY_SIZE(values); i++) {
		vcpus[i] = vcpu_add(vm, write_and_read);
		vcpu_set_args(vcpus[i], values[i] & offered(vm), 0);
	}
	for (int step = 1; step <= 3; step++) {
		for (int i = 0; i < ARRAY_SIZE(values); i++) {
			u64 mine = values[i] & offered(vm);

			EXPECT_EQ(step, RUN_SYNC(vcpus[i]));
			EXPECT_EQ(host, host_spec_ctrl());
			EXPECT_EQ(step == 2 ? 0 : mine, vcpu_get_msr(vcpus[i], MSR_SPEC_CTRL));
		}
	}
	for (int i = 0; i < ARRAY_SIZE(values); i++) {
		EXPECT_EQ(1, vcpu_set_msr(vcpus[i], MSR_SPEC_CTRL, IBRS));
		RUN_DONE(vcpus[i]);
		EXPECT_EQ(host, host_spec_ctrl());
		EXPECT_EQ(IBRS, vcpu_get_msr(vcpus[i], MSR_SPEC_CTRL));
	}
}

static void read_first(void)
{
	GUEST_ASSERT_EQ(rdmsr(MSR_SPEC_CTRL), IBRS);
	GUEST_SYNC(1);
	GUEST_ASSERT_EQ(rdmsr(MSR_SPEC_CTRL), 0);
	GUEST_DONE();
}

/* As after a migration. */
TEST(userspace_sets_it_before_the_guest_does)
{
	struct vm *vm = vm_create();
	struct vcpu *vcpu;
	u64 host;

	REQUIRE_SPEC_CTRL(vm);
	host = host_spec_ctrl();
	vcpu = vcpu_add(vm, read_first);
	EXPECT_EQ(0, vcpu_get_msr(vcpu, MSR_SPEC_CTRL));
	EXPECT_EQ(1, vcpu_set_msr(vcpu, MSR_SPEC_CTRL, IBRS));
	EXPECT_EQ(1, RUN_SYNC(vcpu));
	EXPECT_EQ(1, vcpu_set_msr(vcpu, MSR_SPEC_CTRL, 0));
	EXPECT_EQ(host, host_spec_ctrl());
	RUN_DONE(vcpu);
}

static void misuse(void)
{
	u64 val;

	/* Before and after the register is the guest's without exits */
	GUEST_ASSERT_EQ(wrmsr_safe(MSR_SPEC_CTRL, 1ull << 63), GP);
	GUEST_ASSERT_EQ(rdmsr(MSR_SPEC_CTRL), 0);
	wrmsr(MSR_SPEC_CTRL, IBRS);
	GUEST_ASSERT_EQ(wrmsr_safe(MSR_SPEC_CTRL, 1ull << 63), GP);
	GUEST_ASSERT_EQ(rdmsr(MSR_SPEC_CTRL), IBRS);
	GUEST_ASSERT_EQ(rdmsr_safe(MSR_PRED_CMD, &val), GP);
	GUEST_ASSERT_EQ(wrmsr_safe(MSR_PRED_CMD, 1ull << 63), GP);
	GUEST_ASSERT_EQ(wrmsr_safe(MSR_PRED_CMD, 0), TRY_NONE);
	GUEST_ASSERT_EQ(wrmsr_safe(MSR_PRED_CMD, 1), TRY_NONE);
	GUEST_DONE();
}

TEST(other_bits_are_refused)
{
	struct vm *vm = vm_create();
	struct vcpu *vcpu;

	REQUIRE_SPEC_CTRL(vm);
	vcpu = vcpu_add(vm, misuse);
	EXPECT_EQ(0, vcpu_set_msr(vcpu, MSR_SPEC_CTRL, 1ull << 63));
	RUN_DONE(vcpu);
}

static void read_and_write(void)
{
	u64 val;

	wrmsr(MSR_SPEC_CTRL, IBRS);
	GUEST_SYNC(1);
	GUEST_ASSERT_EQ(rdmsr_safe(MSR_SPEC_CTRL, &val), GP);
	GUEST_ASSERT_EQ(wrmsr_safe(MSR_SPEC_CTRL, 0), GP);
	GUEST_SYNC(2);
	GUEST_ASSERT_EQ(rdmsr(MSR_SPEC_CTRL), IBRS);
	GUEST_DONE();
}

TEST(a_filter_takes_it_away)
{
	u64 none = 0;
	struct kvm_msr_filter filter = {
		.ranges[0] = {
			.flags = KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE,
			.base = MSR_SPEC_CTRL, .nmsrs = 1, .bitmap = (void *)&none,
		},
	};
	struct vm *vm = vm_create();
	struct vcpu *vcpu;

	REQUIRE_SPEC_CTRL(vm);
	REQUIRE_CAP(vm->dev, KVM_CAP_X86_MSR_FILTER);
	vcpu = vcpu_add(vm, read_and_write);
	EXPECT_EQ(1, RUN_SYNC(vcpu));
	EXPECT_EQ(0, ioctl(vm->fd, KVM_X86_SET_MSR_FILTER, &filter));
	EXPECT_EQ(2, RUN_SYNC(vcpu));
	filter.ranges[0].nmsrs = 0;
	EXPECT_EQ(0, ioctl(vm->fd, KVM_X86_SET_MSR_FILTER, &filter));
	RUN_DONE(vcpu);
}

TEST_MAIN
