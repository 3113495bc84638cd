/* SPDX-License-Identifier: GPL-2.0-only */
/* What the rows of the benchmark share: small virtual machines, and time. */
#ifndef BENCH_H
#define BENCH_H

#include <stddef.h>
#include <stdio.h>

#include "setup.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/*
 * The guest's physical memory. RAM ends where in a PC the VGA's begins; an
 * access above it is MMIO. A second slot, for rows about memory, is at MEM_GPA.
 */
#define RAM_SIZE 0xa0000
#define CODE_GPA 0x1000
#define CODE2_GPA 0x2000 /* vCPUs from the second on */
#define STACK_GPA 0x9000 /* they grow down, 0x1000 each from here up */
#define IDT_GPA 0x10000
#define GDT_GPA 0x11000
#define PML4_GPA 0x12000
#define MMIO_GPA 0xd0000
#define MEM_GPA 0x40000000ull

#define DONE_PORT 0xe0 /* an OUT to it ends a batch */
#define VECTOR 0xf0
#define MAX_VCPUS 4

enum vm_flags {
	VM_IRQCHIP = 1, /* with the PIT */
	VM_X2APIC = 2,
	VM_REAL_MODE = 4,
};

struct vcpu {
	int fd;
	struct kvm_run *run;
};

struct vm {
	int fd;
	unsigned int flags;
	u8 *ram;
	u8 *mem; /* the second slot: mem_size bytes */
	size_t mem_size;
	int nr_vcpus;
	struct vcpu vcpus[MAX_VCPUS];
};

/* Machine code, assembled for both modes: see guests.h. */
struct guest {
	const u8 *code64, *end64, *code16, *end16;
};

struct row {
	const char *name;
	const char *title;
	const char *group;
	const char *unit; /* NULL: instructions */
	double (*measure)(const struct row *row); /* negative: the device cannot */
	const struct guest *guest;
	unsigned int flags;
	struct kvm_regs regs; /* at the start, besides RIP, RSP and RBP */
	struct kvm_regs regs16; /* the same in real mode */
	int cap; /* KVM_CAP_* that it takes; 0: none */
};

extern const struct row exit_rows[], event_rows[], memory_rows[], life_rows[];

extern const char *dev_path;
extern int dev;
extern bool real_mode; /* guests that can run in real mode do */

__attribute__((noreturn, format(printf, 1, 2))) void die(const char *fmt, ...);

/* ioctl() that must succeed; its result. */
#define IOCTL(fd, req, arg) checked_ioctl(fd, req, (unsigned long)(arg), #req)
int checked_ioctl(int fd, unsigned long req, unsigned long arg, const char *name);

extern int marks;
void mark(void);

/*
 * Called at the start and at the end of each sample. One tick an instruction in the
 * emulators. LFENCE keeps real processors from overlapping.
 */
static inline u64 ticks(void)
{
	u32 lo, hi;

	if (marks)
		mark();
	asm volatile("lfence; rdtsc; lfence" : "=a"(lo), "=d"(hi) : : "memory");
	return lo | (u64)hi << 32;
}

u64 median(u64 *samples, size_t nr);

struct vm *vm_new(unsigned int flags, int nr_vcpus);
void vm_free(struct vm *vm);
void vm_add_mem(struct vm *vm, size_t size, u32 slot_flags, int advice);
void vm_set_slot(struct vm *vm, u32 slot, u64 gpa, u64 size, void *hva, u32 flags);
void *map_memory(size_t size, int advice);
/* Code for vCPU @i; @regs, and the count of operations in RBP. */
void vcpu_load(struct vm *vm, int i, const struct guest *guest);
void vcpu_start(struct vm *vm, int i, const struct kvm_regs *regs, u64 count);
void vcpu_run(struct vcpu *vcpu); /* to any exit */
void vcpu_run_to(struct vcpu *vcpu, u32 reason);
void vcpu_run_done(struct vcpu *vcpu); /* to the OUT to DONE_PORT */
struct kvm_cpuid2 *supported_cpuid(void);
bool is_amd(void);

#endif /* BENCH_H */
