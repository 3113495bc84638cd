/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The host's side: virtual machines for tests.  Every function here ends the
 * test as failed, with a message, when what it needs does not work.
 */
#ifndef SELFTESTS_VM_H
#define SELFTESTS_VM_H

#include <errno.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <linux/kvm.h>
#include <linux/minivirt.h>
#include "guest.h"

#define MAX_VCPUS 16

struct vcpu {
	struct vm *vm;
	int fd;
	int id;
	struct kvm_run *run;
	u64 args[4]; /* of the last ucall */
};

struct vm {
	int dev;
	int fd;
	u8 *mem; /* RAM_SIZE bytes at guest-physical 0: slot 0 */
	size_t run_size;
	struct kvm_cpuid2 *cpuid;
	struct vcpu vcpus[MAX_VCPUS];
	int nr_vcpus;
};

/* --dev, else $MINIVIRT_DEV, else /dev/minivirt. */
extern const char *dev_path;

__attribute__((noreturn, format(printf, 3, 4)))
void __fail(const char *file, int line, const char *fmt, ...);
#define FAIL(fmt, ...) __fail(__FILE__, __LINE__, fmt, ##__VA_ARGS__)

/* ioctl() that must succeed; its result. */
#define IOCTL(fd, req, arg)                                                                        \
	({                                                                                         \
		int __ret = ioctl(fd, req, arg);                                                   \
		if (__ret < 0)                                                                     \
			FAIL(#req ": %s", __strerror(errno));                                      \
		__ret;                                                                             \
	})
const char *__strerror(int err);

int dev_open(void);
/* KVM_CHECK_EXTENSION on a system or VM descriptor. */
int has_cap(int fd, long cap);
bool is_minivirt(void);
/*
 * Whether this machine is emulated by QEMU's TCG, whose AMD-V leaves out some
 * checks and intercepts of real processors.
 */
bool on_tcg(void);
/* The same of Bochs and its VT-x: its ACPI tables name it, its CPUID no hypervisor. */
bool on_bochs(void);

/* Another number when the kernel has warned, or lockdep has complained, meanwhile. */
u64 kernel_trouble(void);

/* A VM without memory; then one with RAM, page tables and the program's image. */
struct vm *vm_create_empty(void);
struct vm *vm_create(void);
/* Maps anonymous memory and registers it as a slot; returns the mapping. */
void *vm_add_memory(struct vm *vm, u32 slot, u64 gpa, u64 size, u32 flags);
int vm_set_slot(struct vm *vm, u32 slot, u64 gpa, u64 size, void *hva, u32 flags);
/* The userfaultfd of memory that is missing until it is given by that: who touches it waits. */
int missing_memory(void *mem, u64 size);
/* The host's address of a guest-physical one in slot 0. */
void *gpa_ptr(struct vm *vm, u64 gpa);
/* The host's pointer to the guest's copy of a global of the program. */
#define guest_ptr(vm, var) ((__typeof__(var) *)gpa_ptr(vm, (u64)&(var)))

/* A vCPU without any state set: as after reset. */
struct vcpu *vcpu_create(struct vm *vm);
/* 64-bit, all of CPUID; entry is a function that never returns. */
struct vcpu *vcpu_add(struct vm *vm, const void *entry);
/* Real mode and flat 32-bit protected mode without paging, at GPA_CODE. */
struct vcpu *vcpu_add_real(struct vm *vm, const u8 *code, const u8 *end);
struct vcpu *vcpu_add_prot(struct vm *vm, const u8 *code, const u8 *end);
/* 64-bit, code copied to GPA_CODE. */
struct vcpu *vcpu_add_asm(struct vm *vm, const u8 *code, const u8 *end);
void vcpu_set_long_mode(struct vcpu *vcpu, u64 rip);

/* The arguments of a 64-bit guest's function. */
void vcpu_set_args(struct vcpu *vcpu, u64 a0, u64 a1);

struct kvm_regs vcpu_regs(struct vcpu *vcpu);
void vcpu_set_regs(struct vcpu *vcpu, const struct kvm_regs *regs);
struct kvm_sregs vcpu_sregs(struct vcpu *vcpu);
void vcpu_set_sregs(struct vcpu *vcpu, const struct kvm_sregs *sregs);
u64 vcpu_get_msr(struct vcpu *vcpu, u32 index);
/* The number of MSRs set: 0 when it is refused. */
int vcpu_set_msr(struct vcpu *vcpu, u32 index, u64 val);

/* KVM_RUN that must return 0; the exit reason. */
u32 vcpu_run(struct vcpu *vcpu);
const char *exit_name(u32 reason);
/* Fails unless the next exit is this one. */
#define RUN_TO(vcpu, reason) __run_to(vcpu, reason, __FILE__, __LINE__)
void __run_to(struct vcpu *vcpu, u32 reason, const char *file, int line);
/* Runs up to the guest's next ucall; its type.  Failed guest asserts end the test. */
#define RUN_UCALL(vcpu) __run_ucall(vcpu, __FILE__, __LINE__)
u32 __run_ucall(struct vcpu *vcpu, const char *file, int line);
/* Whether the exit at hand is a ucall. */
bool is_ucall(struct vcpu *vcpu);
/* Runs to GUEST_SYNC(), gives its value; runs to GUEST_DONE(). */
#define RUN_SYNC(vcpu) __run_sync(vcpu, __FILE__, __LINE__)
u64 __run_sync(struct vcpu *vcpu, const char *file, int line);
#define RUN_DONE(vcpu) __run_done(vcpu, __FILE__, __LINE__)
void __run_done(struct vcpu *vcpu, const char *file, int line);

#endif /* SELFTESTS_VM_H */
