// SPDX-License-Identifier: GPL-2.0
/*
 * The virtual machine: the device, the VM descriptor and the vCPU threads.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "vm.h"

static const struct {
	int cap;
	const char *name;
} required[] = {
	{ KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY" },
	{ KVM_CAP_EXT_CPUID, "KVM_CAP_EXT_CPUID" },
	{ KVM_CAP_IRQCHIP, "KVM_CAP_IRQCHIP" },
	{ KVM_CAP_PIT2, "KVM_CAP_PIT2" },
	{ KVM_CAP_SET_TSS_ADDR, "KVM_CAP_SET_TSS_ADDR" },
	{ KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT" },
};

int kvm_ioctl_named(int fd, unsigned long req, unsigned long arg, const char *name)
{
	int ret = ioctl(fd, req, arg);

	if (ret < 0)
		die(STATUS_HOST_ERROR, "%s failed: %s", name, strerror(errno));
	return ret;
}

const char *device_path(const char *option)
{
	const char *env = getenv("MINIVIRT_DEV");

	if (option)
		return option;
	return env && *env ? env : "/dev/minivirt";
}

int device_open(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	int version;

	if (fd < 0 && errno == ENOENT)
		die(STATUS_HOST_ERROR,
		    "%s does not exist: the module is not loaded; load it with 'modprobe minivirt' or 'insmod minivirt.ko', as root",
		    path);
	if (fd < 0 && (errno == EACCES || errno == EPERM))
		die(STATUS_HOST_ERROR,
		    "no permission to open %s: run as root, or as a user who may read and write it",
		    path);
	if (fd < 0)
		die(STATUS_HOST_ERROR, "cannot open %s: %s", path, strerror(errno));
	version = ioctl(fd, KVM_GET_API_VERSION, 0);
	if (version < 0)
		die(STATUS_HOST_ERROR, "%s is not a device that speaks the KVM ABI", path);
	if (version != KVM_API_VERSION)
		die(STATUS_HOST_ERROR, "%s has version %d of the KVM ABI; this needs %d", path,
		    version, KVM_API_VERSION);
	return fd;
}

static int check_extension(int fd, int cap)
{
	int ret = ioctl(fd, KVM_CHECK_EXTENSION, cap);

	return ret < 0 ? 0 : ret;
}

static void check_capabilities(int dev_fd, const char *path, unsigned int cpus)
{
	int max = check_extension(dev_fd, KVM_CAP_MAX_VCPUS);

	for (size_t i = 0; i < ARRAY_SIZE(required); i++) {
		if (!check_extension(dev_fd, required[i].cap))
			die(STATUS_HOST_ERROR, "%s lacks %s", path, required[i].name);
	}
	/* api.rst: a device without the capability has KVM_CAP_NR_VCPUS, or 4. */
	if (!max)
		max = check_extension(dev_fd, KVM_CAP_NR_VCPUS);
	if (!max)
		max = 4;
	if (cpus > (unsigned int)max)
		die(STATUS_USAGE, "--cpus %u: %s allows at most %d", cpus, path, max);
}

/* Where the device has the deadline timer, KVM leaves it to us to announce it. */
static void announce_tsc_deadline(int dev_fd, struct kvm_cpuid2 *cpuid)
{
	struct kvm_cpuid_entry2 *e = cpuid_find(cpuid, 1, 0);

	if (e && check_extension(dev_fd, KVM_CAP_TSC_DEADLINE_TIMER))
		e->ecx |= 1U << 24;
}

static void create_vcpus(struct vm *vm, struct kvm_cpuid2 *cpuid, unsigned int cpus)
{
	vm->vcpus = xzalloc(cpus * sizeof(*vm->vcpus));
	vm->nr_vcpus = cpus;
	vm->run_size = kvm_ioctl(vm->dev_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	for (unsigned int i = 0; i < cpus; i++) {
		cpuid_set_topology(cpuid, i, cpus);
		vcpu_init(&vm->vcpus[i], vm, i, cpuid);
	}
}

static void register_memory(struct vm *vm)
{
	struct memory_region regions[MEMORY_REGIONS];
	unsigned int n = memory_regions(&vm->memory, regions);

	for (unsigned int i = 0; i < n; i++) {
		struct kvm_userspace_memory_region slot = {
			.slot = i,
			.guest_phys_addr = regions[i].gpa,
			.memory_size = regions[i].size,
			.userspace_addr = (uintptr_t)regions[i].hva,
		};

		kvm_ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &slot);
	}
}

void vm_create(struct vm *vm, const char *path, unsigned int cpus)
{
	/* Port 61h too: the kernel calibrates its clocks by the PIT's channel 2. */
	struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };
	uint64_t identity_map = GPA_IDENTITY_MAP;
	struct kvm_cpuid2 *cpuid;
	unsigned int bits;

	atomic_init(&vm->status, VM_RUNNING);
	vm->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (vm->event_fd < 0)
		die(STATUS_HOST_ERROR, "eventfd: %s", strerror(errno));
	vm->dev_fd = device_open(path);
	check_capabilities(vm->dev_fd, path, cpus);
	cpuid = cpuid_alloc(vm->dev_fd);
	bits = cpuid_phys_bits(cpuid);
	if (memory_end(&vm->memory) > 1ULL << bits)
		die(STATUS_USAGE, "--mem: the guest has %u-bit physical addresses", bits);
	announce_tsc_deadline(vm->dev_fd, cpuid);

	vm->fd = kvm_ioctl(vm->dev_fd, KVM_CREATE_VM, 0);
	kvm_ioctl(vm->fd, KVM_SET_IDENTITY_MAP_ADDR, &identity_map);
	kvm_ioctl(vm->fd, KVM_SET_TSS_ADDR, GPA_TSS);
	kvm_ioctl(vm->fd, KVM_CREATE_IRQCHIP, 0);
	kvm_ioctl(vm->fd, KVM_CREATE_PIT2, &pit);
	register_memory(vm);
	create_vcpus(vm, cpuid, cpus);
	free(cpuid);
}

/* Only there to interrupt KVM_RUN: vcpu_kick() has said the rest. */
static void on_kick(int sig)
{
}

void vm_start(struct vm *vm, const struct boot_entry *entry)
{
	struct sigaction sa = { .sa_handler = on_kick };

	sigaction(SIG_KICK, &sa, NULL);
	/* The others wait for INIT and SIPI, in the kernel's LAPIC. */
	vcpu_set_entry(&vm->vcpus[0], entry);
	for (unsigned int i = 0; i < vm->nr_vcpus; i++) {
		struct vcpu *vcpu = &vm->vcpus[i];
		char name[16];
		int err;

		err = pthread_create(&vcpu->thread, NULL, vcpu_main, vcpu);
		if (err)
			die(STATUS_HOST_ERROR, "cannot start a thread: %s", strerror(err));
		snprintf(name, sizeof(name), "vcpu%u", i);
		pthread_setname_np(vcpu->thread, name);
	}
}

void vm_join(struct vm *vm)
{
	for (unsigned int i = 0; i < vm->nr_vcpus; i++)
		vcpu_kick(&vm->vcpus[i]);
	for (unsigned int i = 0; i < vm->nr_vcpus; i++)
		pthread_join(vm->vcpus[i].thread, NULL);
}

void vm_wake(struct vm *vm)
{
	/* Fails only if it would overflow: then it is readable already. */
	eventfd_write(vm->event_fd, 1);
}

bool vm_stop(struct vm *vm, int status)
{
	int running = VM_RUNNING;
	bool first = atomic_compare_exchange_strong(&vm->status, &running, status);

	if (first)
		vm_wake(vm);
	return first;
}

void vm_fail(struct vm *vm, const char *fmt, ...)
{
	char msg[256];
	va_list args;

	va_start(args, fmt);
	vsnprintf(msg, sizeof(msg), fmt, args);
	va_end(args);
	error("%s", msg);
	vm_stop(vm, STATUS_HOST_ERROR);
}

void vm_irq_line(struct vm *vm, unsigned int irq, bool level)
{
	struct kvm_irq_level line = { .irq = irq, .level = level };

	if (ioctl(vm->fd, KVM_IRQ_LINE, &line) < 0)
		vm_fail(vm, "KVM_IRQ_LINE failed: %s", strerror(errno));
}
