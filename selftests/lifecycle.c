// SPDX-License-Identifier: GPL-2.0-only
/* Descriptors: how VMs and vCPUs come into being, are kept, and go. */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include "test.h"

GUEST_ASM(say_twice, "16", "out %al, $0x10\n out %al, $0x10\n hlt\n");
GUEST_ASM(spin_forever, "16", "out %al, $0x10\n sti\n 1: jmp 1b\n");

/* A VM with one real-mode vCPU that has run to its first exit. */
static struct vcpu *running_vcpu(void)
{
	struct vm *vm = vm_create_empty();
	struct vcpu *vcpu;

	vm->mem = vm_add_memory(vm, 0, 0, 0x10000, 0);
	vcpu = vcpu_add_real(vm, say_twice, say_twice_end);
	RUN_TO(vcpu, KVM_EXIT_IO);
	return vcpu;
}

TEST(api_version_is_12)
{
	int dev = dev_open();

	EXPECT_EQ(12, KVM_API_VERSION);
	EXPECT_EQ(12, ioctl(dev, KVM_GET_API_VERSION, 0));
	EXPECT_ERRNO(EINVAL, ioctl(dev, KVM_GET_API_VERSION, 1));
}

TEST(run_mapping_holds_kvm_run_and_the_pio_page)
{
	int dev = dev_open();
	int size = ioctl(dev, KVM_GET_VCPU_MMAP_SIZE, 0);

	EXPECT_LE((KVM_PIO_PAGE_OFFSET + 1) * 4096, size);
	EXPECT_LE((int)sizeof(struct kvm_run), size);
	EXPECT_EQ(0, size % 4096);
	EXPECT_ERRNO(EINVAL, ioctl(dev, KVM_GET_VCPU_MMAP_SIZE, 1));
}

TEST(only_machine_type_0_exists)
{
	int dev = dev_open();

	EXPECT_ERRNO(EINVAL, ioctl(dev, KVM_CREATE_VM, 1000ul));
}

TEST(promised_capabilities)
{
	static const struct {
		int cap, min;
	} caps[] = {
		{ KVM_CAP_USER_MEMORY, 1 },   { KVM_CAP_DESTROY_MEMORY_REGION_WORKS, 1 },
		{ KVM_CAP_NR_VCPUS, 1 },      { KVM_CAP_MAX_VCPUS, 2 },
		{ KVM_CAP_NR_MEMSLOTS, 32 },  { KVM_CAP_EXT_CPUID, 1 },
		{ KVM_CAP_SET_TSS_ADDR, 1 },  { KVM_CAP_SET_IDENTITY_MAP_ADDR, 1 },
		{ KVM_CAP_MP_STATE, 1 },      { KVM_CAP_USER_NMI, 1 },
		{ KVM_CAP_VCPU_EVENTS, 1 },   { KVM_CAP_DEBUGREGS, 1 },
		{ KVM_CAP_XSAVE, 1 },	      { KVM_CAP_IMMEDIATE_EXIT, 1 },
		{ KVM_CAP_READONLY_MEM, 1 },  { KVM_CAP_SYNC_MMU, 1 },
		{ KVM_CAP_SET_GUEST_DEBUG, 1 }, { KVM_CAP_CHECK_EXTENSION_VM, 1 },
	};
	int dev = dev_open();
	int vm = IOCTL(dev, KVM_CREATE_VM, 0);

	for (int i = 0; i < ARRAY_SIZE(caps); i++) {
		EXPECT_LE(caps[i].min, has_cap(dev, caps[i].cap))
			TH_LOG("capability %d", caps[i].cap);
		EXPECT_EQ(has_cap(dev, caps[i].cap), has_cap(vm, caps[i].cap));
	}
	EXPECT_EQ(0, has_cap(dev, 0x7fffffff));
	EXPECT_EQ(0, has_cap(vm, 0x7fffffff));
}

TEST(descriptors_are_closed_on_exec)
{
	struct vcpu *vcpu = running_vcpu();

	EXPECT_EQ(FD_CLOEXEC, fcntl(vcpu->vm->fd, F_GETFD));
	EXPECT_EQ(FD_CLOEXEC, fcntl(vcpu->fd, F_GETFD));
}

TEST(vcpu_descriptor_keeps_the_vm)
{
	struct vcpu *vcpu = running_vcpu();

	close(vcpu->vm->dev);
	close(vcpu->vm->fd);
	RUN_TO(vcpu, KVM_EXIT_IO);
	RUN_TO(vcpu, KVM_EXIT_HLT);
}

TEST(mapping_keeps_kvm_run)
{
	struct vcpu *vcpu = running_vcpu();

	close(vcpu->vm->dev);
	close(vcpu->vm->fd);
	close(vcpu->fd);
	EXPECT_EQ(KVM_EXIT_IO, vcpu->run->exit_reason);
	EXPECT_EQ(0x10, vcpu->run->io.port);
	vcpu->run->immediate_exit = 1;
	EXPECT_EQ(1, vcpu->run->immediate_exit);
	EXPECT_EQ(0, munmap(vcpu->run, vcpu->vm->run_size));
}

TEST(vcpu_runs_without_the_mapping)
{
	struct vcpu *vcpu = running_vcpu();
	struct kvm_regs regs;

	EXPECT_EQ(0, munmap(vcpu->run, vcpu->vm->run_size));
	EXPECT_EQ(0, ioctl(vcpu->fd, KVM_RUN, 0));
	EXPECT_EQ(0, ioctl(vcpu->fd, KVM_RUN, 0));
	regs = vcpu_regs(vcpu);
	EXPECT_EQ(GPA_CODE + say_twice_end - say_twice, regs.rip);
}

TEST(descriptors_close_in_any_order)
{
	static const u8 orders[6][3] = { { 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 },
					 { 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 } };

	for (int i = 0; i < 12; i++) {
		struct vcpu *vcpu = running_vcpu();
		int fds[3] = { vcpu->vm->dev, vcpu->vm->fd, vcpu->fd };

		if (i < 6)
			munmap(vcpu->run, vcpu->vm->run_size);
		for (int j = 0; j < 3; j++)
			EXPECT_EQ(0, close(fds[orders[i % 6][j]]));
		if (i >= 6)
			munmap(vcpu->run, vcpu->vm->run_size);
	}
}

TEST(memory_may_go_before_the_vm)
{
	struct vcpu *vcpu = running_vcpu();

	EXPECT_EQ(0, munmap(vcpu->vm->mem, 0x10000));
	close(vcpu->vm->fd);
	close(vcpu->fd);
}

TEST(many_vms_at_once)
{
	struct vcpu *vcpus[32];

	for (int i = 0; i < ARRAY_SIZE(vcpus); i++)
		vcpus[i] = running_vcpu();
	for (int i = 0; i < ARRAY_SIZE(vcpus); i++)
		RUN_TO(vcpus[i], KVM_EXIT_IO);
}

TEST(vcpu_ids_are_unique_and_bounded)
{
	struct vm *vm = vm_create_empty();
	int max_id = has_cap(vm->dev, KVM_CAP_MAX_VCPU_ID);
	int fd = IOCTL(vm->fd, KVM_CREATE_VCPU, 3);

	EXPECT_ERRNO(EEXIST, ioctl(vm->fd, KVM_CREATE_VCPU, 3));
	/* A vCPU stays part of its VM when its descriptor is closed. */
	close(fd);
	EXPECT_ERRNO(EEXIST, ioctl(vm->fd, KVM_CREATE_VCPU, 3));
	EXPECT_LT(0, max_id);
	EXPECT_ERRNO(EINVAL, ioctl(vm->fd, KVM_CREATE_VCPU, (long)max_id));
	EXPECT_ERRNO(EINVAL, ioctl(vm->fd, KVM_CREATE_VCPU, -1l));
}

/* Runs in a child: every ioctl of VM and vCPU is refused there. */
static int refused_here(struct vcpu *vcpu)
{
	struct kvm_regs regs;

	if (ioctl(vcpu->vm->fd, KVM_CREATE_VCPU, 7) != -1 || errno != EIO)
		return 1;
	if (ioctl(vcpu->vm->fd, KVM_CHECK_EXTENSION, KVM_CAP_USER_MEMORY) != -1 || errno != EIO)
		return 2;
	if (ioctl(vcpu->fd, KVM_RUN, 0) != -1 || errno != EIO)
		return 3;
	if (ioctl(vcpu->fd, KVM_GET_REGS, &regs) != -1 || errno != EIO)
		return 4;
	return 0;
}

TEST(another_process_gets_eio)
{
	struct vcpu *vcpu = running_vcpu();
	pid_t pid = fork();
	int status;

	if (!pid)
		_exit(refused_here(vcpu));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	/* Neither what the child did nor its end touched the parent's VM. */
	RUN_TO(vcpu, KVM_EXIT_IO);
}

TEST(descriptors_outlive_the_creator)
{
	int ready[2], status;
	pid_t pid;

	ASSERT_EQ(0, pipe(ready));
	pid = fork();
	if (!pid) {
		struct vcpu *vcpu = running_vcpu();

		if (fork())
			_exit(0);
		/* The creator and its memory go; the descriptors stay here. */
		while (getppid() != 1 && !usleep(1000))
			;
		status = refused_here(vcpu);
		close(vcpu->vm->fd);
		close(vcpu->fd);
		_exit(write(ready[1], &status, sizeof(status)) != sizeof(status));
	}
	close(ready[1]);
	ASSERT_EQ(sizeof(status), read(ready[0], &status, sizeof(status)));
	EXPECT_EQ(0, status);
}

TEST(process_with_a_spinning_guest_can_be_killed)
{
	struct vm *vm;
	struct vcpu *vcpu;
	int status, up[2];
	char c;
	pid_t pid;

	ASSERT_EQ(0, pipe(up));
	pid = fork();
	if (!pid) {
		vm = vm_create_empty();
		vm->mem = vm_add_memory(vm, 0, 0, 0x10000, 0);
		vcpu = vcpu_add_real(vm, spin_forever, spin_forever_end);
		RUN_TO(vcpu, KVM_EXIT_IO);
		if (write(up[1], "x", 1) == 1)
			vcpu_run(vcpu);
		_exit(1);
	}
	ASSERT_EQ(1, read(up[0], &c, 1));
	ASSERT_EQ(0, kill(pid, SIGKILL));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(SIGKILL, WTERMSIG(status));
}

TEST_SIGNAL(nothing_behind_the_run_mapping, SIGBUS)
{
	struct vcpu *vcpu = running_vcpu();
	u8 *p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, vcpu->fd, 1ul << 30);

	ASSERT_NE(MAP_FAILED, (void *)p);
	EXPECT_EQ(0, *(volatile u8 *)p);
}

TEST(info_tells_about_this_module)
{
	int dev = dev_open();
	struct minivirt_info info = { .size = sizeof(info) };
	u32 vms;

	REQUIRE_CAP(dev, MINIVIRT_CAP_INFO);
	ASSERT_EQ(0, ioctl(dev, MINIVIRT_GET_INFO, &info));
	EXPECT_EQ(MINIVIRT_INFO_SIZE_V0, info.size);
	EXPECT_TRUE(info.backend == MINIVIRT_BACKEND_VMX || info.backend == MINIVIRT_BACKEND_SVM);
	EXPECT_NE(0, info.version[0]);
	EXPECT_EQ(0, info.version[sizeof(info.version) - 1]);
	EXPECT_LE(32, info.phys_bits);
	EXPECT_GE(52, info.phys_bits);
	vms = info.vms;
	running_vcpu();
	info.size = sizeof(info);
	ASSERT_EQ(0, ioctl(dev, MINIVIRT_GET_INFO, &info));
	EXPECT_EQ(vms + 1, info.vms);
}

TEST(info_is_extensible)
{
	int dev = dev_open();
	struct {
		struct minivirt_info info;
		u64 future;
	} big = { .info.size = sizeof(big), .future = 0x55 };
	struct minivirt_info info = { .size = MINIVIRT_INFO_SIZE_V0 - 1 };

	REQUIRE_CAP(dev, MINIVIRT_CAP_INFO);
	EXPECT_ERRNO(EINVAL, ioctl(dev, MINIVIRT_GET_INFO, &info));
	EXPECT_ERRNO(EFAULT, ioctl(dev, MINIVIRT_GET_INFO, NULL));
	EXPECT_EQ(0, ioctl(dev, MINIVIRT_GET_INFO, &big));
	EXPECT_EQ(sizeof(struct minivirt_info), big.info.size);
	EXPECT_EQ(0x55, big.future);
}

TEST_MAIN
