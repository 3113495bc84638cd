// SPDX-License-Identifier: GPL-2.0-only
/* The time-stamp counter as userspace sets it: rate, offset, and that vCPUs agree. */
#include <fcntl.h>
#include "test.h"

#define MSR_TSC 0x10

static void tell_tsc(void)
{
	for (;;)
		GUEST_SYNC(rdtsc());
}

static struct vcpu *tsc_vcpu(void)
{
	return vcpu_add(vm_create(), tell_tsc);
}

static int attr(struct vcpu *vcpu, unsigned long req, u32 group, u64 nr, const void *addr)
{
	struct kvm_device_attr a = { .group = group, .attr = nr, .addr = (u64)addr };

	return ioctl(vcpu->fd, req, &a);
}

static u64 get_offset(struct vcpu *vcpu)
{
	u64 offset;

	if (attr(vcpu, KVM_GET_DEVICE_ATTR, KVM_VCPU_TSC_CTRL, KVM_VCPU_TSC_OFFSET, &offset))
		FAIL("KVM_GET_DEVICE_ATTR: %s", __strerror(errno));
	return offset;
}

static void set_offset(struct vcpu *vcpu, u64 offset)
{
	if (attr(vcpu, KVM_SET_DEVICE_ATTR, KVM_VCPU_TSC_CTRL, KVM_VCPU_TSC_OFFSET, &offset))
		FAIL("KVM_SET_DEVICE_ATTR: %s", __strerror(errno));
}

TEST(offset_is_what_was_set)
{
	static const u64 offsets[] = { 0, 1ull << 40, -(1ull << 30) };
	struct vcpu *vcpu = tsc_vcpu();

	REQUIRE_CAP(vcpu->vm->fd, KVM_CAP_VCPU_ATTRIBUTES);
	for (int i = 0; i < ARRAY_SIZE(offsets); i++) {
		u64 before, tsc;

		set_offset(vcpu, offsets[i]);
		EXPECT_EQ(offsets[i], get_offset(vcpu));
		before = rdtsc() + offsets[i];
		tsc = RUN_SYNC(vcpu);
		EXPECT_LE(before, tsc);
		EXPECT_LE(tsc, rdtsc() + offsets[i]);
		/* The MSR follows. */
		EXPECT_LE(tsc, vcpu_get_msr(vcpu, MSR_TSC));
	}
}

TEST(attributes_that_are_not_there)
{
	struct vcpu *vcpu = tsc_vcpu();
	u64 val = 0;

	REQUIRE_CAP(vcpu->vm->fd, KVM_CAP_VCPU_ATTRIBUTES);
	EXPECT_EQ(0, attr(vcpu, KVM_HAS_DEVICE_ATTR, KVM_VCPU_TSC_CTRL, KVM_VCPU_TSC_OFFSET, 0));
	EXPECT_ERRNO(EFAULT, attr(vcpu, KVM_GET_DEVICE_ATTR, KVM_VCPU_TSC_CTRL,
				  KVM_VCPU_TSC_OFFSET, (void *)8));
	EXPECT_ERRNO(EFAULT, attr(vcpu, KVM_SET_DEVICE_ATTR, KVM_VCPU_TSC_CTRL,
				  KVM_VCPU_TSC_OFFSET, (void *)8));
	for (int i = 0; i < 3; i++) {
		static const unsigned long reqs[] = {
			KVM_HAS_DEVICE_ATTR, KVM_GET_DEVICE_ATTR, KVM_SET_DEVICE_ATTR,
		};

		EXPECT_ERRNO(ENXIO, attr(vcpu, reqs[i], KVM_VCPU_TSC_CTRL, 99, &val));
		EXPECT_ERRNO(ENXIO, attr(vcpu, reqs[i], 99, KVM_VCPU_TSC_OFFSET, &val));
		EXPECT_ERRNO(EFAULT, ioctl(vcpu->fd, reqs[i], 8));
	}
}

/* Userspace writes the same TSC to one vCPU after the other: it means them to agree. */
TEST(vcpus_agree)
{
	struct vm *vm = vm_create();
	struct vcpu *a = vcpu_add(vm, tell_tsc), *b = vcpu_add(vm, tell_tsc);

	REQUIRE_CAP(vm->fd, KVM_CAP_VCPU_ATTRIBUTES);
	EXPECT_EQ(get_offset(a), get_offset(b));
	EXPECT_EQ(1, vcpu_set_msr(a, MSR_TSC, 1ull << 50));
	EXPECT_NE(get_offset(a), get_offset(b));
	EXPECT_EQ(1, vcpu_set_msr(b, MSR_TSC, 1ull << 50));
	EXPECT_EQ(get_offset(a), get_offset(b));
	/* What is set exactly is not adjusted, and others are to agree with it. */
	set_offset(a, 12345);
	EXPECT_EQ(12345, get_offset(a));
	EXPECT_EQ(1, vcpu_set_msr(b, MSR_TSC, vcpu_get_msr(a, MSR_TSC)));
	EXPECT_EQ(12345, get_offset(b));
}

/* The host measures its rate once more after it has booted, sooner or later. */
static bool is_rate(int khz, int expected)
{
	return abs(khz - expected) <= expected / 1000;
}

TEST(rate_is_the_hosts)
{
	struct vm *vm = vm_create();
	struct vcpu *vcpu = vcpu_add(vm, tell_tsc);
	int khz = IOCTL(vcpu->fd, KVM_GET_TSC_KHZ, 0);

	EXPECT_LT(0, khz);
	EXPECT_EQ(0, ioctl(vcpu->fd, KVM_SET_TSC_KHZ, khz));
	EXPECT_EQ(0, ioctl(vcpu->fd, KVM_SET_TSC_KHZ, 0));
	EXPECT_TRUE(is_rate(ioctl(vcpu->fd, KVM_GET_TSC_KHZ, 0), khz));
	EXPECT_TRUE(is_rate(ioctl(vm->fd, KVM_GET_TSC_KHZ, 0), khz));
	EXPECT_EQ(0, ioctl(vm->fd, KVM_SET_TSC_KHZ, 0));
	if (has_cap(vm->dev, KVM_CAP_TSC_CONTROL)) {
		EXPECT_ERRNO(EINVAL, ioctl(vcpu->fd, KVM_SET_TSC_KHZ, 0x7fffffff));
		EXPECT_ERRNO(EINVAL, ioctl(vm->fd, KVM_SET_TSC_KHZ, 0x7fffffff));
	} else {
		EXPECT_ERRNO(EINVAL, ioctl(vcpu->fd, KVM_SET_TSC_KHZ, khz / 2));
	}
	RUN_SYNC(vcpu);
}

static u64 expected_tsc(u64 host, int khz, int host_khz)
{
	return (__uint128_t)host * khz / host_khz;
}

/* Twice and half of the host's rate: by what an entry takes in both clocks. */
TEST(rate_with_scaling)
{
	struct vm *vm = vm_create();
	int host_khz = IOCTL(vm->fd, KVM_GET_TSC_KHZ, 0);
	int rates[] = { host_khz / 2, host_khz * 2, host_khz };
	struct vcpu *vcpu;

	REQUIRE_CAP(vm->dev, KVM_CAP_TSC_CONTROL);
	EXPECT_EQ(has_cap(vm->dev, KVM_CAP_TSC_CONTROL), has_cap(vm->fd, KVM_CAP_VM_TSC_CONTROL));
	vcpu = vcpu_add(vm, tell_tsc);
	for (int i = 0; i < ARRAY_SIZE(rates); i++) {
		u64 before, tsc;

		EXPECT_EQ(0, ioctl(vcpu->fd, KVM_SET_TSC_KHZ, rates[i]));
		EXPECT_EQ(rates[i], ioctl(vcpu->fd, KVM_GET_TSC_KHZ, 0));
		set_offset(vcpu, 0);
		before = expected_tsc(rdtsc(), rates[i], host_khz);
		tsc = RUN_SYNC(vcpu);
		/* The ratio has 48 or 32 bits behind the point. */
		EXPECT_LE(before - before / 1000000, tsc);
		EXPECT_LE(tsc, expected_tsc(rdtsc(), rates[i], host_khz) + before / 1000000);
		tsc = vcpu_get_msr(vcpu, MSR_TSC);
		EXPECT_LE(tsc, expected_tsc(rdtsc(), rates[i], host_khz) + before / 1000000);
	}
}

TEST(a_vms_rate_is_that_of_its_new_vcpus)
{
	struct vm *vm = vm_create();
	int khz = IOCTL(vm->fd, KVM_GET_TSC_KHZ, 0) / 2;

	REQUIRE_CAP(vm->fd, KVM_CAP_VM_TSC_CONTROL);
	EXPECT_EQ(0, ioctl(vm->fd, KVM_SET_TSC_KHZ, khz));
	EXPECT_EQ(khz, ioctl(vm->fd, KVM_GET_TSC_KHZ, 0));
	EXPECT_EQ(khz, ioctl(vcpu_create(vm)->fd, KVM_GET_TSC_KHZ, 0));
}

TEST_MAIN
