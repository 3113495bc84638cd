// SPDX-License-Identifier: GPL-2.0-only
/* Small virtual machines: RAM, page tables, an IDT, one program a vCPU. */
#include <cpuid.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guests.h"

/* All vectors lead here: acknowledge by x2APIC, and go on. */
GUEST64(eoi_handler,
	"push %rax\n push %rcx\n push %rdx\n"
	"mov $0x80b, %ecx\n xor %eax, %eax\n xor %edx, %edx\n wrmsr\n"
	"pop %rdx\n pop %rcx\n pop %rax\n iretq\n");

#define HANDLER_GPA 0x3000
#define RUN_CODE_MAX 0x1000

void die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fprintf(stderr, "bench: ");
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	exit(1);
}

int checked_ioctl(int fd, unsigned long req, unsigned long arg, const char *name)
{
	int r = ioctl(fd, req, arg);

	if (r < 0)
		die("%s: %s", name, strerror(errno));
	return r;
}

static int compare(const void *a, const void *b)
{
	u64 x = *(const u64 *)a, y = *(const u64 *)b;

	return x < y ? -1 : x > y;
}

u64 median(u64 *samples, size_t nr)
{
	qsort(samples, nr, sizeof(*samples), compare);
	return samples[nr / 2];
}

bool is_amd(void)
{
	u32 a, b, c, d;

	__cpuid(0, a, b, c, d);
	return c == signature_AMD_ecx;
}

struct kvm_cpuid2 *supported_cpuid(void)
{
	static struct kvm_cpuid2 *cpuid;
	const u32 nent = 256;

	if (cpuid)
		return cpuid;
	cpuid = calloc(1, sizeof(*cpuid) + nent * sizeof(cpuid->entries[0]));
	cpuid->nent = nent;
	IOCTL(dev, KVM_GET_SUPPORTED_CPUID, cpuid);
	for (u32 i = 0; i < cpuid->nent; i++) {
		struct kvm_cpuid_entry2 *e = &cpuid->entries[i];

		/* True with an in-kernel APIC only, so not always told. */
		if (e->function == 1)
			e->ecx |= 1u << 21 | (ioctl(dev, KVM_CHECK_EXTENSION,
						      KVM_CAP_TSC_DEADLINE_TIMER) > 0) << 24;
	}
	return cpuid;
}

void *map_memory(size_t size, int advice)
{
	/* Aligned to 2 MiB, that huge pages fit. */
	const size_t align = 2 << 20;
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS;
	u8 *p = mmap(NULL, size + align, PROT_READ | PROT_WRITE, flags, -1, 0), *aligned;

	if (p == MAP_FAILED)
		die("mmap: %s", strerror(errno));
	aligned = (u8 *)(((uintptr_t)p + align - 1) & ~(align - 1));
	if (aligned > p)
		munmap(p, aligned - p);
	munmap(aligned + size, p + align - aligned);
	if (advice)
		madvise(aligned, size, advice);
	return aligned;
}

void vm_set_slot(struct vm *vm, u32 slot, u64 gpa, u64 size, void *hva, u32 flags)
{
	if (set_memory_region(vm->fd, slot, gpa, size, hva, flags))
		die("KVM_SET_USER_MEMORY_REGION: %s", strerror(errno));
}

static void write_tables(struct vm *vm)
{
	u64 *idt = (u64 *)(vm->ram + IDT_GPA);

	write_page_tables((u64 *)(vm->ram + PML4_GPA), PML4_GPA, PTE_P | PTE_W);
	write_descriptors((u64 *)(vm->ram + GDT_GPA));
	for (int i = 0; i < 256; i++)
		idt[2 * i] = HANDLER_GPA | (u64)SEL_CODE << 16 | 0x8eull << 40;
	memcpy(vm->ram + HANDLER_GPA, eoi_handler.code64, eoi_handler.end64 - eoi_handler.code64);
}

/* The local APIC as a guest would have set it up: on, its timer in TSC-deadline mode. */
static void start_apic(struct vm *vm, struct vcpu *vcpu)
{
	struct kvm_lapic_state lapic;

	IOCTL(vcpu->fd, KVM_GET_LAPIC, &lapic);
	*(u32 *)(lapic.regs + 0xf0) = 0x1ff;
	*(u32 *)(lapic.regs + 0x320) = 0x40000 | VECTOR;
	if (!(vm->flags & VM_X2APIC)) {
		*(u32 *)(lapic.regs + 0xd0) = 1 << 24;
		*(u32 *)(lapic.regs + 0xe0) = 0xffffffff;
	}
	IOCTL(vcpu->fd, KVM_SET_LAPIC, &lapic);
}

static void add_vcpu(struct vm *vm, int i)
{
	struct vcpu *vcpu = &vm->vcpus[i];
	struct kvm_cpuid2 *cpuid = supported_cpuid();
	struct kvm_mp_state runnable = { .mp_state = KVM_MP_STATE_RUNNABLE };
	struct kvm_sregs sregs;

	vcpu->fd = IOCTL(vm->fd, KVM_CREATE_VCPU, i);
	vcpu->run = mmap(NULL, IOCTL(dev, KVM_GET_VCPU_MMAP_SIZE, 0), PROT_READ | PROT_WRITE,
			 MAP_SHARED, vcpu->fd, 0);
	if (vcpu->run == MAP_FAILED)
		die("mmap of struct kvm_run: %s", strerror(errno));
	IOCTL(vcpu->fd, KVM_SET_CPUID2, cpuid);
	IOCTL(vcpu->fd, KVM_GET_SREGS, &sregs);
	if (vm->flags & VM_REAL_MODE) {
		sregs.cs.base = 0;
		sregs.cs.selector = 0;
		sregs.ds.base = MMIO_GPA;
		sregs.ds.selector = MMIO_GPA >> 4;
	} else {
		set_long_mode(&sregs, PML4_GPA);
		sregs.gdt = (struct kvm_dtable) { .base = GDT_GPA, .limit = 0x17 };
		sregs.idt = (struct kvm_dtable) { .base = IDT_GPA, .limit = 0xfff };
	}
	if (vm->flags & VM_X2APIC)
		sregs.apic_base |= 1 << 10;
	IOCTL(vcpu->fd, KVM_SET_SREGS, &sregs);
	if (vm->flags & VM_IRQCHIP) {
		start_apic(vm, vcpu);
		IOCTL(vcpu->fd, KVM_SET_MP_STATE, &runnable);
	}
}

struct vm *vm_new(unsigned int flags, int nr_vcpus)
{
	struct kvm_pit_config pit = { .flags = 0 };
	struct vm *vm = calloc(1, sizeof(*vm));

	vm->flags = flags;
	vm->fd = IOCTL(dev, KVM_CREATE_VM, 0);
	if (flags & VM_IRQCHIP) {
		/* VT-x keeps a task state segment and a page table of the KVM ABI there. */
		IOCTL(vm->fd, KVM_SET_TSS_ADDR, 0xfffbd000);
		IOCTL(vm->fd, KVM_CREATE_IRQCHIP, 0);
		IOCTL(vm->fd, KVM_CREATE_PIT2, &pit);
	}
	vm->ram = map_memory(RAM_SIZE, 0);
	vm_set_slot(vm, 0, 0, RAM_SIZE, vm->ram, 0);
	write_tables(vm);
	vm->nr_vcpus = nr_vcpus;
	for (int i = 0; i < nr_vcpus; i++)
		add_vcpu(vm, i);
	return vm;
}

void vm_free(struct vm *vm)
{
	for (int i = 0; i < vm->nr_vcpus; i++) {
		munmap(vm->vcpus[i].run, IOCTL(dev, KVM_GET_VCPU_MMAP_SIZE, 0));
		close(vm->vcpus[i].fd);
	}
	close(vm->fd);
	munmap(vm->ram, RAM_SIZE);
	if (vm->mem)
		munmap(vm->mem, vm->mem_size);
	free(vm);
}

void vm_add_mem(struct vm *vm, size_t size, u32 slot_flags, int advice)
{
	vm->mem_size = size;
	vm->mem = map_memory(size, advice);
	/* The host's pages are there: the rows are about the second stage. */
	memset(vm->mem, 1, size);
	vm_set_slot(vm, 1, MEM_GPA, size, vm->mem, slot_flags);
}

static u64 code_gpa(int i)
{
	return i ? CODE2_GPA : CODE_GPA;
}

void vcpu_load(struct vm *vm, int i, const struct guest *guest)
{
	bool real = vm->flags & VM_REAL_MODE;
	const u8 *code = real ? guest->code16 : guest->code64;
	size_t size = (real ? guest->end16 : guest->end64) - code;

	if (size > RUN_CODE_MAX)
		die("a guest of %zu bytes is too long", size);
	memcpy(vm->ram + code_gpa(i), code, size);
}

void vcpu_start(struct vm *vm, int i, const struct kvm_regs *from, u64 count)
{
	struct kvm_regs regs = *from;

	regs.rip = code_gpa(i);
	regs.rsp = STACK_GPA + i * 0x1000;
	regs.rbp = count;
	regs.rflags |= 2;
	IOCTL(vm->vcpus[i].fd, KVM_SET_REGS, &regs);
}

void vcpu_run(struct vcpu *vcpu)
{
	IOCTL(vcpu->fd, KVM_RUN, 0);
}

void vcpu_run_to(struct vcpu *vcpu, u32 reason)
{
	struct kvm_regs regs;

	vcpu_run(vcpu);
	if (vcpu->run->exit_reason == reason)
		return;
	IOCTL(vcpu->fd, KVM_GET_REGS, &regs);
	die("exit %u instead of %u at rip %#llx, %#llx", vcpu->run->exit_reason, reason, regs.rip,
	    vcpu->run->exit_reason == KVM_EXIT_MMIO ? vcpu->run->mmio.phys_addr :
						      vcpu->run->internal.suberror);
}

void vcpu_run_done(struct vcpu *vcpu)
{
	vcpu_run_to(vcpu, KVM_EXIT_IO);
	if (vcpu->run->io.port != DONE_PORT)
		die("I/O at port %#x instead of the end", vcpu->run->io.port);
}
