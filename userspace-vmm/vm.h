/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A virtual machine and its vCPUs.
 */
#ifndef VM_H
#define VM_H

#include <linux/kvm.h>
#include <pthread.h>
#include <stdatomic.h>
#include "boot/boot.h"
#include "device.h"
#include "memory.h"
#include "minivirt.h"

struct vm;

struct vcpu {
	struct vm *vm;
	unsigned int id; /* also its APIC ID */
	int fd;
	struct kvm_run *run;
	int run_errno; /* of the last KVM_RUN, 0 if it succeeded */
	pthread_t thread;
};

/**
 * struct vm - a virtual machine
 * @dev_fd: the system descriptor, /dev/minivirt or /dev/kvm
 * @fd: the VM descriptor
 * @event_fd: eventfd that wakes the event loop: the VM has stopped, or a
 *            device has room for input
 * @memory: its RAM
 * @bus: its devices
 * @status: enum status once it has stopped, %VM_RUNNING before
 * @failed: the vCPU that stopped it because it could not go on, or NULL
 */
struct vm {
	int dev_fd;
	int fd;
	int event_fd;
	struct memory memory;
	struct bus bus;
	unsigned int nr_vcpus;
	struct vcpu *vcpus;
	size_t run_size;
	atomic_int status;
	struct vcpu *failed;
};

#define VM_RUNNING (-1)

/**
 * kvm_ioctl - an ioctl whose failure ends the program
 */
#define kvm_ioctl(fd, req, arg) kvm_ioctl_named(fd, req, (unsigned long)(arg), #req)
int kvm_ioctl_named(int fd, unsigned long req, unsigned long arg, const char *name);

/**
 * vm_create - create the VM, its interrupt controllers, memory and vCPUs
 * @path: the device
 * @vm: @vm->memory and @vm->bus are set up already
 * @cpus: how many vCPUs
 */
void vm_create(struct vm *vm, const char *path, unsigned int cpus);

/** vm_start - start the vCPUs; the first one starts at @entry */
void vm_start(struct vm *vm, const struct boot_entry *entry);

/** vm_join - make every vCPU leave the guest and wait for its thread */
void vm_join(struct vm *vm);

/**
 * vm_stop - the machine is to stop
 * @status: why; the first reason given counts
 *
 * Callable from any thread.  Does not wait: the event loop does the rest.
 * Returns whether it was the first.
 */
bool vm_stop(struct vm *vm, int status);

/** vm_fail - vm_stop() with %STATUS_HOST_ERROR and a message */
void vm_fail(struct vm *vm, const char *fmt, ...) __printf(2, 3);

/** vm_wake - make the event loop look around */
void vm_wake(struct vm *vm);

/** vm_irq_line - set the level of an interrupt line of the PIC and IOAPIC */
void vm_irq_line(struct vm *vm, unsigned int irq, bool level);

/* vcpu.c */

/** vcpu_init - create the vCPU's descriptor and give it its CPUID and MSRs */
void vcpu_init(struct vcpu *vcpu, struct vm *vm, unsigned int id, struct kvm_cpuid2 *cpuid);

/** vcpu_set_entry - registers as the boot protocol wants them */
void vcpu_set_entry(struct vcpu *vcpu, const struct boot_entry *entry);

/** vcpu_main - run the guest until the VM stops: a thread's start routine */
void *vcpu_main(void *arg);

/** vcpu_report - print why it could not go on, and its registers; when its thread has ended */
void vcpu_report(struct vcpu *vcpu);

/** vcpu_kick - make it leave the guest, now or as soon as it enters */
void vcpu_kick(struct vcpu *vcpu);

/* The signal that vcpu_kick() sends. */
#define SIG_KICK SIGUSR1

/* cpuid.c */

/** cpuid_alloc - what the device supports, with space for cpuid_set_topology() */
struct kvm_cpuid2 *cpuid_alloc(int dev_fd);

/**
 * cpuid_set_topology - make it the CPUID of one vCPU
 * @id: its APIC ID
 * @cpus: number of vCPUs: all are cores of one package
 */
void cpuid_set_topology(struct kvm_cpuid2 *cpuid, unsigned int id, unsigned int cpus);

/** cpuid_find - the entry of a leaf, or NULL */
struct kvm_cpuid_entry2 *cpuid_find(struct kvm_cpuid2 *cpuid, uint32_t function, uint32_t index);

/** cpuid_phys_bits - width of guest-physical addresses, in bits */
unsigned int cpuid_phys_bits(struct kvm_cpuid2 *cpuid);

#endif /* VM_H */
