// SPDX-License-Identifier: GPL-2.0-only
/* What user space may get wrong: each has its error, and nothing else happens. */
#include <fcntl.h>
#include <pthread.h>
#include "test.h"

static void just_done(void)
{
	GUEST_DONE();
}

FIXTURE(bad) {
	struct vm *vm;
	struct vcpu *vcpu;
	int fd[3]; /* system, VM, vCPU */
};

FIXTURE_SETUP(bad)
{
	self->vm = vm_create();
	self->vcpu = vcpu_add(self->vm, just_done);
	self->fd[0] = self->vm->dev;
	self->fd[1] = self->vm->fd;
	self->fd[2] = self->vcpu->fd;
}

/* After whatever was done, the VM works. */
FIXTURE_TEARDOWN(bad)
{
	RUN_DONE(self->vcpu);
}

/* KVM gives EINVAL for them on the system and vCPU descriptors. */
static bool refused_as_unknown(int fd, unsigned long req)
{
	return ioctl(fd, req, 0) == -1 && (errno == ENOTTY || errno == EINVAL);
}

TEST_F(bad, unknown_ioctls)
{
	EXPECT_ERRNO(ENOTTY, ioctl(self->fd[1], _IO(KVMIO, 0xff), 0));
	EXPECT_ERRNO(ENOTTY, ioctl(self->fd[1], _IO(0, 0), 0));
	for (int i = 0; i < 3; i++) {
		EXPECT_TRUE(refused_as_unknown(self->fd[i], _IO(KVMIO, 0xff)));
		EXPECT_TRUE(refused_as_unknown(self->fd[i], _IO(0x12, 0x34)));
		EXPECT_TRUE(refused_as_unknown(self->fd[i], 0));
		EXPECT_TRUE(refused_as_unknown(self->fd[i], ~0ul));
	}
	/* The size is part of the number. */
	EXPECT_TRUE(refused_as_unknown(self->fd[2], _IOR(KVMIO, 0x81, struct kvm_sregs)));
	EXPECT_TRUE(refused_as_unknown(self->fd[2], _IOW(KVMIO, 0x81, struct kvm_regs)));
}

TEST_F(bad, ioctls_of_another_descriptor)
{
	struct kvm_regs regs;

	for (int i = 0; i < 2; i++) {
		EXPECT_TRUE(refused_as_unknown(self->fd[i], KVM_RUN));
		EXPECT_TRUE(refused_as_unknown(self->fd[i], KVM_NMI));
		EXPECT_EQ(-1, ioctl(self->fd[i], KVM_GET_REGS, &regs));
	}
	EXPECT_TRUE(refused_as_unknown(self->fd[0], KVM_CREATE_VCPU));
	EXPECT_TRUE(refused_as_unknown(self->fd[2], KVM_CREATE_VCPU));
	EXPECT_TRUE(refused_as_unknown(self->fd[1], KVM_CREATE_VM));
	EXPECT_TRUE(refused_as_unknown(self->fd[2], KVM_GET_VCPU_MMAP_SIZE));
	EXPECT_TRUE(refused_as_unknown(self->fd[1], KVM_GET_API_VERSION));
}

TEST_F(bad, other_system_calls)
{
	char c;

	for (int i = 0; i < 3; i++) {
		EXPECT_EQ(-1, read(self->fd[i], &c, 1));
		EXPECT_EQ(-1, write(self->fd[i], &c, 1));
	}
	EXPECT_EQ(MAP_FAILED, mmap(NULL, 4096, PROT_READ, MAP_SHARED, self->fd[0], 0));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, 4096, PROT_READ, MAP_SHARED, self->fd[1], 0));
}

/* ioctls with a structure: which descriptor, and whether it goes in or out (or both). */
static const struct {
	const char *name;
	unsigned long req;
	u8 fd;
} structs[] = {
#define STRUCT(fd, req) { #req, req, fd }
	STRUCT(0, KVM_GET_SUPPORTED_CPUID), STRUCT(0, KVM_GET_MSR_INDEX_LIST),
	STRUCT(1, KVM_SET_USER_MEMORY_REGION),
	STRUCT(2, KVM_GET_REGS), STRUCT(2, KVM_SET_REGS),
	STRUCT(2, KVM_GET_SREGS), STRUCT(2, KVM_SET_SREGS),
	STRUCT(2, KVM_GET_FPU), STRUCT(2, KVM_SET_FPU),
	STRUCT(2, KVM_GET_XSAVE), STRUCT(2, KVM_SET_XSAVE),
	STRUCT(2, KVM_GET_XCRS), STRUCT(2, KVM_SET_XCRS),
	STRUCT(2, KVM_GET_DEBUGREGS), STRUCT(2, KVM_SET_DEBUGREGS),
	STRUCT(2, KVM_GET_VCPU_EVENTS), STRUCT(2, KVM_SET_VCPU_EVENTS),
	STRUCT(2, KVM_GET_MP_STATE), STRUCT(2, KVM_SET_MP_STATE),
	STRUCT(2, KVM_GET_MSRS), STRUCT(2, KVM_SET_MSRS),
	STRUCT(2, KVM_GET_CPUID2), STRUCT(2, KVM_SET_CPUID2),
	STRUCT(2, KVM_INTERRUPT), STRUCT(2, KVM_SET_SIGNAL_MASK),
	STRUCT(2, KVM_SET_GUEST_DEBUG),
};

TEST_F(bad, addresses_that_are_not_mapped)
{
	static const u64 addrs[] = { 8, 1ull << 47, 0xffff888000000000, -16ull };

	for (int i = 0; i < ARRAY_SIZE(structs); i++)
		for (int j = 0; j < ARRAY_SIZE(addrs); j++) {
			EXPECT_ERRNO(EFAULT, ioctl(self->fd[structs[i].fd], structs[i].req,
						   addrs[j]))
				TH_LOG("%s", structs[i].name);
		}
}

TEST_F(bad, structures_that_run_off_the_mapping)
{
	u8 *page = mmap(NULL, 0x2000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	munmap(page + 0x1000, 0x1000);
	for (int i = 0; i < ARRAY_SIZE(structs); i++) {
		u32 size = _IOC_SIZE(structs[i].req);

		memset(page, 0, 0x1000);
		EXPECT_ERRNO(EFAULT, ioctl(self->fd[structs[i].fd], structs[i].req,
					   page + 0x1000 - size / 2))
			TH_LOG("%s", structs[i].name);
	}
}

TEST_F(bad, read_only_destination)
{
	u8 *page = mmap(NULL, 0x1000, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	EXPECT_ERRNO(EFAULT, ioctl(self->fd[2], KVM_GET_REGS, page));
	EXPECT_ERRNO(EFAULT, ioctl(self->fd[2], KVM_GET_SREGS, page));
	EXPECT_ERRNO(EFAULT, ioctl(self->fd[2], KVM_GET_XSAVE, page));
	EXPECT_ERRNO(EFAULT, ioctl(self->fd[2], KVM_GET_VCPU_EVENTS, page));
	EXPECT_ERRNO(EFAULT, ioctl(self->fd[2], KVM_GET_DEBUGREGS, page));
}

TEST_F(bad, unaligned_structures_work)
{
	u8 buf[sizeof(struct kvm_regs) + 1];
	struct kvm_regs regs = vcpu_regs(self->vcpu);

	EXPECT_EQ(0, ioctl(self->fd[2], KVM_GET_REGS, buf + 1));
	EXPECT_EQ(0, memcmp(buf + 1, &regs, sizeof(regs)));
	EXPECT_EQ(0, ioctl(self->fd[2], KVM_SET_REGS, buf + 1));
}

TEST_F(bad, arguments_that_must_be_zero)
{
	EXPECT_ERRNO(EINVAL, ioctl(self->fd[2], KVM_RUN, 1));
	EXPECT_ERRNO(EINVAL, ioctl(self->fd[0], KVM_GET_API_VERSION, 1));
	EXPECT_ERRNO(EINVAL, ioctl(self->fd[0], KVM_GET_VCPU_MMAP_SIZE, 1));
}

TEST_F(bad, tss_and_identity_map_addresses)
{
	int vm = IOCTL(self->fd[0], KVM_CREATE_VM, 0);
	u64 addr = 0xfffbc000;

	EXPECT_EQ(0, ioctl(vm, KVM_SET_TSS_ADDR, 0xfffbd000));
	EXPECT_ERRNO(EINVAL, ioctl(vm, KVM_SET_TSS_ADDR, 0xffffe000));
	EXPECT_ERRNO(EINVAL, ioctl(vm, KVM_SET_TSS_ADDR, 1ull << 32));
	EXPECT_EQ(0, ioctl(vm, KVM_SET_IDENTITY_MAP_ADDR, &addr));
	EXPECT_ERRNO(EFAULT, ioctl(vm, KVM_SET_IDENTITY_MAP_ADDR, NULL));
	/* Too late when there is a vCPU. */
	EXPECT_ERRNO(EINVAL, ioctl(self->fd[1], KVM_SET_IDENTITY_MAP_ADDR, &addr));
}

TEST_F(bad, closed_descriptors)
{
	int vm = IOCTL(self->fd[0], KVM_CREATE_VM, 0);
	int vcpu = IOCTL(vm, KVM_CREATE_VCPU, 0);

	close(vm);
	EXPECT_ERRNO(EBADF, ioctl(vm, KVM_CREATE_VCPU, 1));
	close(vcpu);
	EXPECT_ERRNO(EBADF, ioctl(vcpu, KVM_RUN, 0));
}

static void *hammer(void *arg)
{
	struct vcpu *vcpu = arg;
	struct kvm_vcpu_events ev;
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_fpu fpu;

	for (int i = 0; i < 200; i++) {
		ioctl(vcpu->fd, KVM_GET_REGS, &regs);
		ioctl(vcpu->fd, KVM_GET_SREGS, &sregs);
		ioctl(vcpu->fd, KVM_GET_FPU, &fpu);
		ioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &ev);
		ioctl(vcpu->fd, KVM_RUN, 0);
	}
	return NULL;
}

static void sync_forever(void)
{
	for (;;)
		GUEST_SYNC(0);
}

TEST_F(bad, two_threads_in_one_vcpu)
{
	struct vcpu *vcpu = vcpu_add(self->vm, sync_forever);
	pthread_t thread;

	ASSERT_EQ(0, pthread_create(&thread, NULL, hammer, vcpu));
	hammer(vcpu);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	RUN_SYNC(vcpu);
}

static void *make_vcpus(void *arg)
{
	struct vm *vm = arg;
	long made = 0;

	for (int i = 1; i <= 8; i++)
		made += ioctl(vm->fd, KVM_CREATE_VCPU, i) >= 0;
	return (void *)made;
}

TEST_F(bad, two_threads_create_the_same_vcpus)
{
	pthread_t thread;
	long made;
	void *other;

	ASSERT_EQ(0, pthread_create(&thread, NULL, make_vcpus, self->vm));
	made = (long)make_vcpus(self->vm);
	ASSERT_EQ(0, pthread_join(thread, &other));
	EXPECT_EQ(8, made + (long)other);
}

/* Garbage in kvm_run is the user's to write: it may not matter more than it must. */
TEST_F(bad, garbage_in_kvm_run)
{
	struct vcpu *vcpu = vcpu_add(self->vm, sync_forever);
	u8 *run = (u8 *)vcpu->run;

	RUN_SYNC(vcpu);
	/* An exit at once, registers to synchronize that do not exist, ... */
	memset(run, 0xff, self->vm->run_size);
	EXPECT_EQ(-1, ioctl(vcpu->fd, KVM_RUN, 0));
	EXPECT_TRUE(errno == EINTR || errno == EINVAL);
	vcpu->run->immediate_exit = 0;
	EXPECT_TRUE(ioctl(vcpu->fd, KVM_RUN, 0) == 0 || errno == EINVAL);
	memset(run, 0, self->vm->run_size);
	RUN_SYNC(vcpu);
}

static u64 random_state = 0x123456789abcdef;

static u64 next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

/* Any number with any argument: the errors do not matter, only that all goes on. */
TEST_F(bad, random_ioctls)
{
	static u8 buf[0x10000];
	struct vm *vm = vm_create();
	struct vcpu *vcpu = vcpu_add(vm, just_done);
	const int fds[3] = { vm->dev, vm->fd, vcpu->fd };

	vcpu->run->immediate_exit = 1;
	for (int i = 0; i < 4000; i++) {
		u64 r = next_random();
		unsigned long req = _IOC(r & 3, KVMIO, r >> 8 & 0xff, r >> 16 & 0xfff);
		u64 arg = r >> 32;

		/* Half of them with the size of a known one. */
		if (r & 4) {
			req = structs[(r >> 8) % ARRAY_SIZE(structs)].req;
			arg = (u64)buf;
			for (int j = 0; j < 512; j += 8)
				*(u64 *)(buf + j) = next_random() >> (next_random() & 63);
		}
		/* Descriptors that it may have made must not pile up. */
		if (_IOC_NR(req) == _IOC_NR(KVM_CREATE_VM) ||
		    _IOC_NR(req) == _IOC_NR(KVM_CREATE_VCPU))
			continue;
		ioctl(fds[r >> 4 & 3 ? (r >> 4 & 3) - 1 : 2], req, arg);
		if (!(i % 64))
			ioctl(vcpu->fd, KVM_RUN, 0);
	}
}

TEST_MAIN
