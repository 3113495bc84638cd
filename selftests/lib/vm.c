// SPDX-License-Identifier: GPL-2.0-only
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/syscall.h>
#include <linux/userfaultfd.h>
#include "vm.h"

extern const u8 guest_ex_stubs[];
extern const u8 __executable_start[], _end[];

const char *dev_path = "/dev/minivirt";

void __fail(const char *file, int line, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "# %s:%d: ", file, line);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	/* The harness reports it as "terminated by assertion". */
	abort();
}

const char *__strerror(int err)
{
	return strerror(err);
}

int dev_open(void)
{
	int fd = open(dev_path, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		FAIL("%s: %s", dev_path, strerror(errno));
	return fd;
}

int has_cap(int fd, long cap)
{
	return ioctl(fd, KVM_CHECK_EXTENSION, cap);
}

bool is_minivirt(void)
{
	int dev = dev_open();
	bool ret = has_cap(dev, MINIVIRT_CAP_INFO) > 0;

	close(dev);
	return ret;
}

bool on_tcg(void)
{
	u32 a, b, c, d;

	cpuid(0x40000000, 0, &a, &b, &c, &d);
	return b == 0x54474354 && c == 0x43544743 && d == 0x47435447; /* "TCGTCGTCGTCG" */
}

bool on_bochs(void)
{
	char facp[16] = "";
	u32 a, b, c, d;
	int fd = open("/sys/firmware/acpi/tables/FACP", O_RDONLY);
	bool named = fd >= 0 && read(fd, facp, sizeof(facp)) == sizeof(facp) &&
		     !memcmp(facp + 10, "BOCHS ", 6);

	close(fd);
	cpuid(1, 0, &a, &b, &c, &d);
	return named && !(c >> 31);
}

static u64 number_after(const char *path, const char *text)
{
	char buf[8192] = "", *at = buf;
	int fd = open(path, O_RDONLY);

	if (fd >= 0 && read(fd, buf, sizeof(buf) - 1) > 0)
		at = strstr(buf, text);
	close(fd);
	return at ? strtoull(at + strlen(text), NULL, 0) : 0;
}

u64 kernel_trouble(void)
{
	return number_after("/proc/sys/kernel/tainted", "") << 1 |
	       number_after("/proc/lockdep_stats", "debug_locks:");
}

struct vm *vm_create_empty(void)
{
	struct vm *vm = calloc(1, sizeof(*vm));
	const int nent = 256;

	vm->dev = dev_open();
	vm->fd = IOCTL(vm->dev, KVM_CREATE_VM, 0);
	vm->run_size = IOCTL(vm->dev, KVM_GET_VCPU_MMAP_SIZE, 0);
	vm->cpuid = calloc(1, sizeof(*vm->cpuid) + nent * sizeof(vm->cpuid->entries[0]));
	vm->cpuid->nent = nent;
	IOCTL(vm->dev, KVM_GET_SUPPORTED_CPUID, vm->cpuid);
	return vm;
}

int vm_set_slot(struct vm *vm, u32 slot, u64 gpa, u64 size, void *hva, u32 flags)
{
	return set_memory_region(vm->fd, slot, gpa, size, hva, flags);
}

int missing_memory(void *mem, u64 size)
{
	struct uffdio_register reg = { .range = { (u64)mem, size },
				       .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct uffdio_api api = { .api = UFFD_API };
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		FAIL("userfaultfd: %s", __strerror(errno));
	IOCTL(fd, UFFDIO_API, &api);
	IOCTL(fd, UFFDIO_REGISTER, &reg);
	return fd;
}

void *vm_add_memory(struct vm *vm, u32 slot, u64 gpa, u64 size, u32 flags)
{
	void *hva = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (hva == MAP_FAILED)
		FAIL("mmap: %s", strerror(errno));
	if (vm_set_slot(vm, slot, gpa, size, hva, flags))
		FAIL("slot %u at %#llx: %s", slot, (unsigned long long)gpa, strerror(errno));
	return hva;
}

void *gpa_ptr(struct vm *vm, u64 gpa)
{
	if (gpa >= RAM_SIZE)
		FAIL("%#llx is not in slot 0", (unsigned long long)gpa);
	return vm->mem + gpa;
}

/*
 * Identity-mapped, user-accessible: the first 8 MiB by 4 KiB pages, so that tests
 * can change single ones (page 0 is left out), the rest of 4 GiB by 2 MiB pages.
 */
static void setup_page_tables(struct vm *vm)
{
	u64 *pml4 = gpa_ptr(vm, GPA_PML4), *pd = pml4 + 2 * 512, *pt = pd + 4 * 512;
	const u64 flags = PTE_P | PTE_W | PTE_U;

	write_page_tables(pml4, GPA_PML4, flags);
	for (u64 i = 0; i < RAM_SIZE >> 21; i++)
		pd[i] = (GPA_PML4 + (6 + i) * 0x1000) | flags;
	for (u64 i = 1; i < RAM_SIZE >> 12; i++)
		pt[i] = i << 12 | flags;
}

static void setup_tables(struct vm *vm)
{
	u64 *gdt = gpa_ptr(vm, GPA_GDT), *idt = gpa_ptr(vm, GPA_IDT);

	write_descriptors(gdt);
	gdt[SEL_UCODE / 8] = 0x00affb000000ffff;
	gdt[SEL_UDATA / 8] = 0x00cff3000000ffff;
	gdt[SEL_CODE32 / 8] = 0x00cf9b000000ffff;
	for (u64 i = 0; i < 256; i++) {
		u64 addr = (u64)guest_ex_stubs + i * 16;

		/* Interrupt gates that ring 3 may use too (INT n). */
		idt[2 * i] = (addr & 0xffff) | SEL_CODE << 16 | 0xeeull << 40 |
			     (addr >> 16 & 0xffff) << 48;
		idt[2 * i + 1] = addr >> 32;
	}
}

struct vm *vm_create(void)
{
	struct vm *vm = vm_create_empty();
	u64 start = (u64)__executable_start, end = (u64)_end;

	if (start != GPA_IMAGE || end > RAM_SIZE)
		FAIL("the program is not linked to where guests have it");
	vm->mem = vm_add_memory(vm, 0, 0, RAM_SIZE, 0);
	setup_page_tables(vm);
	setup_tables(vm);
	memcpy(gpa_ptr(vm, start), __executable_start, end - start);
	return vm;
}

struct vcpu *vcpu_create(struct vm *vm)
{
	struct vcpu *vcpu = &vm->vcpus[vm->nr_vcpus];

	vcpu->vm = vm;
	vcpu->id = vm->nr_vcpus++;
	vcpu->fd = IOCTL(vm->fd, KVM_CREATE_VCPU, (long)vcpu->id);
	vcpu->run = mmap(NULL, vm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
	if (vcpu->run == MAP_FAILED)
		FAIL("mmap of struct kvm_run: %s", strerror(errno));
	/* The leaves that tell the APIC ID must agree with it. */
	for (u32 i = 0; i < vm->cpuid->nent; i++) {
		struct kvm_cpuid_entry2 *e = &vm->cpuid->entries[i];

		if (e->function == 1)
			e->ebx = (e->ebx & 0x00ffffff) | (u32)vcpu->id << 24;
		else if (e->function == 0xb || e->function == 0x1f)
			e->edx = vcpu->id;
	}
	IOCTL(vcpu->fd, KVM_SET_CPUID2, vm->cpuid);
	return vcpu;
}

static void set_tables(struct vcpu *vcpu, struct kvm_sregs *sregs)
{
	sregs->tr.selector = SEL_TSS;
	sregs->tr.base = GPA_TSS + vcpu->id * 128;
	sregs->gdt = (struct kvm_dtable) { .base = GPA_GDT, .limit = 0xff };
	sregs->idt = (struct kvm_dtable) { .base = GPA_IDT, .limit = 0xfff };
}

void vcpu_set_long_mode(struct vcpu *vcpu, u64 rip)
{
	struct kvm_sregs sregs = vcpu_sregs(vcpu);
	struct kvm_regs regs = {
		.rip = rip,
		.rflags = 2,
		/* As after a CALL: the ABI has RSP + 8 aligned to 16 at entry. */
		.rsp = GPA_STACKS + (vcpu->id + 1) * STACK_SIZE - 8,
	};

	u64 *rsp0 = gpa_ptr(vcpu->vm, GPA_TSS + vcpu->id * 128 + 4);

	/* Exceptions of ring 3 come on the lower half of the stack. */
	*rsp0 = GPA_STACKS + vcpu->id * STACK_SIZE + STACK_SIZE / 2;
	set_long_mode(&sregs, GPA_PML4);
	set_tables(vcpu, &sregs);
	vcpu_set_sregs(vcpu, &sregs);
	vcpu_set_regs(vcpu, &regs);
}

struct vcpu *vcpu_add(struct vm *vm, const void *entry)
{
	struct vcpu *vcpu = vcpu_create(vm);

	vcpu_set_long_mode(vcpu, (u64)entry);
	return vcpu;
}

struct vcpu *vcpu_add_asm(struct vm *vm, const u8 *code, const u8 *end)
{
	struct vcpu *vcpu = vcpu_create(vm);

	memcpy(gpa_ptr(vm, GPA_CODE), code, end - code);
	vcpu_set_long_mode(vcpu, GPA_CODE);
	return vcpu;
}

struct vcpu *vcpu_add_real(struct vm *vm, const u8 *code, const u8 *end)
{
	struct vcpu *vcpu = vcpu_create(vm);
	struct kvm_sregs sregs = vcpu_sregs(vcpu);
	struct kvm_regs regs = { .rip = GPA_CODE, .rflags = 2, .rsp = GPA_CODE };

	memcpy(gpa_ptr(vm, GPA_CODE), code, end - code);
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	vcpu_set_sregs(vcpu, &sregs);
	vcpu_set_regs(vcpu, &regs);
	return vcpu;
}

struct vcpu *vcpu_add_prot(struct vm *vm, const u8 *code, const u8 *end)
{
	struct vcpu *vcpu = vcpu_create(vm);
	struct kvm_sregs sregs = vcpu_sregs(vcpu);
	struct kvm_regs regs = { .rip = GPA_CODE, .rflags = 2, .rsp = GPA_CODE };

	memcpy(gpa_ptr(vm, GPA_CODE), code, end - code);
	set_segments(&sregs, flat_segment(SEL_CODE32, 11, false));
	set_tables(vcpu, &sregs);
	sregs.cr0 |= 1;
	vcpu_set_sregs(vcpu, &sregs);
	vcpu_set_regs(vcpu, &regs);
	return vcpu;
}

void vcpu_set_args(struct vcpu *vcpu, u64 a0, u64 a1)
{
	struct kvm_regs regs = vcpu_regs(vcpu);

	regs.rdi = a0;
	regs.rsi = a1;
	vcpu_set_regs(vcpu, &regs);
}

struct kvm_regs vcpu_regs(struct vcpu *vcpu)
{
	struct kvm_regs regs;

	IOCTL(vcpu->fd, KVM_GET_REGS, &regs);
	return regs;
}

void vcpu_set_regs(struct vcpu *vcpu, const struct kvm_regs *regs)
{
	IOCTL(vcpu->fd, KVM_SET_REGS, regs);
}

struct kvm_sregs vcpu_sregs(struct vcpu *vcpu)
{
	struct kvm_sregs sregs;

	IOCTL(vcpu->fd, KVM_GET_SREGS, &sregs);
	return sregs;
}

void vcpu_set_sregs(struct vcpu *vcpu, const struct kvm_sregs *sregs)
{
	IOCTL(vcpu->fd, KVM_SET_SREGS, sregs);
}

struct one_msr {
	struct kvm_msrs head;
	struct kvm_msr_entry entry;
};

u64 vcpu_get_msr(struct vcpu *vcpu, u32 index)
{
	struct one_msr msr = { .head.nmsrs = 1, .entry.index = index };

	if (ioctl(vcpu->fd, KVM_GET_MSRS, &msr) != 1)
		FAIL("KVM_GET_MSRS of %#x: %s", index, strerror(errno));
	return msr.entry.data;
}

int vcpu_set_msr(struct vcpu *vcpu, u32 index, u64 val)
{
	struct one_msr msr = { .head.nmsrs = 1, .entry.index = index, .entry.data = val };

	return IOCTL(vcpu->fd, KVM_SET_MSRS, &msr);
}

u32 vcpu_run(struct vcpu *vcpu)
{
	IOCTL(vcpu->fd, KVM_RUN, 0);
	return vcpu->run->exit_reason;
}

const char *exit_name(u32 reason)
{
#define NAME(n) [KVM_EXIT_##n] = #n
	static const char *const names[] = {
		NAME(UNKNOWN), NAME(EXCEPTION), NAME(IO), NAME(HYPERCALL), NAME(DEBUG), NAME(HLT),
		NAME(MMIO), NAME(IRQ_WINDOW_OPEN), NAME(SHUTDOWN), NAME(FAIL_ENTRY), NAME(INTR),
		NAME(SET_TPR), NAME(TPR_ACCESS), NAME(NMI), NAME(INTERNAL_ERROR),
		NAME(SYSTEM_EVENT), NAME(IOAPIC_EOI),
	};
#undef NAME

	if (reason < sizeof(names) / sizeof(names[0]) && names[reason])
		return names[reason];
	return "?";
}

bool is_ucall(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;

	return run->exit_reason == KVM_EXIT_IO && run->io.port == UCALL_PORT &&
	       run->io.direction == KVM_EXIT_IO_OUT;
}

/* What one wants to know of an exit that should not have been. */
static void report_exit(struct vcpu *vcpu, const char *file, int line, const char *wanted)
{
	struct kvm_run *run = vcpu->run;
	struct kvm_regs regs = vcpu_regs(vcpu);
	char more[128] = "";

	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		snprintf(more, sizeof(more), " port %#x size %u %s", run->io.port, run->io.size,
			 run->io.direction == KVM_EXIT_IO_OUT ? "out" : "in");
		break;
	case KVM_EXIT_MMIO:
		snprintf(more, sizeof(more), " at %#llx len %u %s", run->mmio.phys_addr,
			 run->mmio.len, run->mmio.is_write ? "write" : "read");
		break;
	case KVM_EXIT_FAIL_ENTRY:
		snprintf(more, sizeof(more), " hardware reason %#llx",
			 run->fail_entry.hardware_entry_failure_reason);
		break;
	case KVM_EXIT_INTERNAL_ERROR:
		snprintf(more, sizeof(more), " suberror %u ndata %u data %#llx %#llx",
			 run->internal.suberror, run->internal.ndata, run->internal.data[0],
			 run->internal.data[1]);
		break;
	}
	__fail(file, line, "exit %u (%s)%s at rip %#llx instead of %s", run->exit_reason,
	       exit_name(run->exit_reason), more, regs.rip, wanted);
}

/* The ucall at hand; one that says that the guest found a fault ends the test. */
static u32 take_ucall(struct vcpu *vcpu, const char *file, int line)
{
	struct kvm_regs regs = vcpu_regs(vcpu);

	vcpu->args[0] = regs.rsi;
	vcpu->args[1] = regs.rdx;
	vcpu->args[2] = regs.rcx;
	vcpu->args[3] = regs.r8;
	if (regs.rdi == UCALL_ASSERT)
		__fail(file, line, "guest: %s (line %llu): %#llx, %#llx",
		       (char *)gpa_ptr(vcpu->vm, regs.rsi), regs.rdx, regs.rcx, regs.r8);
	if (regs.rdi == UCALL_EXCEPTION)
		__fail(file, line, "guest: exception %llu error %#llx rip %#llx cr2 %#llx",
		       regs.rsi, regs.rdx, regs.rcx, regs.r8);
	return regs.rdi;
}

void __run_to(struct vcpu *vcpu, u32 reason, const char *file, int line)
{
	if (vcpu_run(vcpu) == reason && !is_ucall(vcpu))
		return;
	if (is_ucall(vcpu))
		take_ucall(vcpu, file, line);
	report_exit(vcpu, file, line, exit_name(reason));
}

u32 __run_ucall(struct vcpu *vcpu, const char *file, int line)
{
	vcpu_run(vcpu);
	if (!is_ucall(vcpu))
		report_exit(vcpu, file, line, "a ucall");
	return take_ucall(vcpu, file, line);
}

u64 __run_sync(struct vcpu *vcpu, const char *file, int line)
{
	u32 type = __run_ucall(vcpu, file, line);

	if (type != UCALL_SYNC)
		__fail(file, line, "guest: ucall %u instead of a sync", type);
	return vcpu->args[0];
}

void __run_done(struct vcpu *vcpu, const char *file, int line)
{
	u32 type = __run_ucall(vcpu, file, line);

	if (type != UCALL_DONE)
		__fail(file, line, "guest: ucall %u (%#llx) instead of done", type,
		       (unsigned long long)vcpu->args[0]);
}
