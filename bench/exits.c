// SPDX-License-Identifier: GPL-2.0-only
/* Exits that the kernel handles, and exits that userspace does. */
#include <string.h>

#include "guests.h"

/*
 * Batches short enough that most see no timer interrupt of the host: at 100
 * MHz, as Bochs has it, one comes every 400,000 instructions.
 */
#define BATCH 40
#define REPEAT 31
#define SINGLES 201
#define STRING_BYTES 64

static const struct kvm_regs *start_regs(const struct row *row, const struct vm *vm)
{
	return vm->flags & VM_REAL_MODE ? &row->regs16 : &row->regs;
}

static struct vm *loop_vm(const struct row *row)
{
	bool real = real_mode && row->guest->code16 && !(row->flags & VM_IRQCHIP);
	struct vm *vm = vm_new(row->flags | (real ? VM_REAL_MODE : 0), 1);

	vcpu_load(vm, 0, row->guest);
	return vm;
}

static u64 batch(struct vm *vm, const struct row *row, u64 count)
{
	u64 samples[REPEAT], start;

	for (int i = 0; i < REPEAT; i++) {
		vcpu_start(vm, 0, start_regs(row, vm), count);
		start = ticks();
		vcpu_run(&vm->vcpus[0]);
		samples[i] = ticks() - start;
		if (vm->vcpus[0].run->exit_reason != KVM_EXIT_IO ||
		    vm->vcpus[0].run->io.port != DONE_PORT)
			die("exit %u", vm->vcpus[0].run->exit_reason);
	}
	return median(samples, REPEAT);
}

/* An operation of the kernel: what a batch twice as long takes more. */
static double kernel_exit(const struct row *row)
{
	struct vm *vm = loop_vm(row);
	u64 shorter = batch(vm, row, BATCH), longer = batch(vm, row, 2 * BATCH);

	vm_free(vm);
	return (double)(s64)(longer - shorter) / BATCH;
}

/* An operation of userspace: one KVM_RUN, system call included. */
static double user_exit(const struct row *row)
{
	struct vm *vm = loop_vm(row);
	struct vcpu *vcpu = &vm->vcpus[0];
	u64 samples[SINGLES], start;

	vcpu_start(vm, 0, start_regs(row, vm), 0);
	for (int i = 0; i < SINGLES; i++) {
		start = ticks();
		vcpu_run(vcpu);
		samples[i] = ticks() - start;
		if (vcpu->run->exit_reason != KVM_EXIT_IO &&
		    vcpu->run->exit_reason != KVM_EXIT_MMIO &&
		    vcpu->run->exit_reason != KVM_EXIT_HLT)
			die("%s: exit %u", row->name, vcpu->run->exit_reason);
	}
	vm_free(vm);
	return median(samples, SINGLES);
}

/* REP OUTSB and INSB: how many bytes an exit has is the kernel's choice. */
static double string_io(const struct row *row)
{
	struct vm *vm = loop_vm(row);
	struct vcpu *vcpu = &vm->vcpus[0];
	u64 samples[REPEAT], start;

	for (int i = 0; i < REPEAT; i++) {
		vcpu_start(vm, 0, start_regs(row, vm), 1);
		start = ticks();
		do {
			vcpu_run_to(vcpu, KVM_EXIT_IO);
		} while (vcpu->run->io.port != DONE_PORT);
		samples[i] = ticks() - start;
	}
	vm_free(vm);
	return (double)median(samples, REPEAT) / STRING_BYTES;
}

GUEST(cpuid_loop, LOOP("xor %eax, %eax\n cpuid"));
GUEST(vmcall_loop, LOOP("vmcall"));
GUEST(vmmcall_loop, LOOP("vmmcall"));
GUEST(rdmsr_loop, LOOP("rdmsr"));
GUEST(wrmsr_loop, LOOP("wrmsr"));
GUEST(wbinvd_loop, LOOP("wbinvd"));
GUEST64(cr8_loop, LOOP("mov %rax, %cr8\n xor $1, %eax"));
GUEST(in_loop, LOOP("in %dx, %al"));
GUEST(write_loop, LOOP("mov %eax, (%ebx)"));
GUEST(read_loop, LOOP("mov (%ebx), %eax"));
/* A self-IPI that is taken, acknowledged and returned from. */
GUEST64(self_ipi_loop, "sti\n" LOOP("wrmsr\n nop"));

GUEST(out_forever, FOREVER("out %al, %dx"));
GUEST(in_forever, FOREVER("in %dx, %al"));
GUEST(write_forever, FOREVER("mov %eax, (%ebx)"));
GUEST(read_forever, FOREVER("mov (%ebx), %eax"));
GUEST(hlt_forever, FOREVER("hlt"));
GUEST64(outs, "cld\n rep outsb\n" DONE);
GUEST64(ins, "cld\n rep insb\n" DONE);

static double hypercall(const struct row *row)
{
	struct row of_vendor = *row;

	if (is_amd())
		of_vendor.guest = &vmmcall_loop;
	return kernel_exit(&of_vendor);
}

#define KERNEL(n, t, g, ...)                                                             \
	{ .name = n, .title = t, .group = "kernel", .measure = kernel_exit, .guest = &(g), \
	  __VA_ARGS__ }
#define USER(n, t, g, ...)                                                               \
	{ .name = n, .title = t, .group = "user", .measure = user_exit, .guest = &(g),   \
	  __VA_ARGS__ }

#define MSR_MCG_STATUS 0x17a
#define MSR_MISC_ENABLE 0x1a0
#define MSR_TSC_DEADLINE 0x6e0
#define MSR_X2APIC_EOI 0x80b
#define MSR_X2APIC_ICR 0x830
#define ICR_SELF (1 << 18 | 0x4000)

/* In real mode DS begins at MMIO_GPA. */
#define REGS(...) .regs = { __VA_ARGS__ }, .regs16 = { __VA_ARGS__ }

const struct row exit_rows[] = {
	KERNEL("cpuid", "CPUID", cpuid_loop),
	{ .name = "hypercall", .title = "hypercall, unknown number", .group = "kernel",
	  .measure = hypercall, .guest = &vmcall_loop, REGS(.rax = 0xffff) },
	KERNEL("rdmsr", "RDMSR, emulated", rdmsr_loop, REGS(.rcx = MSR_MISC_ENABLE)),
	KERNEL("wrmsr", "WRMSR, emulated", wrmsr_loop, REGS(.rcx = MSR_MCG_STATUS)),
	KERNEL("wbinvd", "WBINVD", wbinvd_loop),
	KERNEL("cr8", "MOV to CR8", cr8_loop, .flags = VM_IRQCHIP),
	KERNEL("icr", "x2APIC ICR, self-IPI already pending", wrmsr_loop,
	       .flags = VM_IRQCHIP | VM_X2APIC,
	       REGS(.rcx = MSR_X2APIC_ICR, .rax = ICR_SELF | VECTOR)),
	KERNEL("self-ipi", "x2APIC self-IPI, its delivery and EOI", self_ipi_loop,
	       .flags = VM_IRQCHIP | VM_X2APIC,
	       REGS(.rcx = MSR_X2APIC_ICR, .rax = ICR_SELF | VECTOR)),
	KERNEL("x2apic-eoi", "x2APIC EOI", wrmsr_loop, .flags = VM_IRQCHIP | VM_X2APIC,
	       REGS(.rcx = MSR_X2APIC_EOI)),
	KERNEL("tsc-deadline", "TSC-deadline write", wrmsr_loop, .flags = VM_IRQCHIP | VM_X2APIC,
	       .cap = KVM_CAP_TSC_DEADLINE_TIMER,
	       REGS(.rcx = MSR_TSC_DEADLINE, .rdx = 0x100)),
	KERNEL("pic", "PIO in, in-kernel 8259", in_loop, .flags = VM_IRQCHIP, REGS(.rdx = 0x21)),
	KERNEL("pit", "PIO in, in-kernel PIT", in_loop, .flags = VM_IRQCHIP, REGS(.rdx = 0x40)),
	KERNEL("ioapic", "MMIO read, in-kernel IOAPIC", read_loop, .flags = VM_IRQCHIP,
	       REGS(.rbx = 0xfec00010)),
	KERNEL("apic-read", "MMIO read, in-kernel APIC (LVT)", read_loop, .flags = VM_IRQCHIP,
	       REGS(.rbx = 0xfee00350)),
	KERNEL("apic-eoi", "MMIO EOI, in-kernel APIC", write_loop, .flags = VM_IRQCHIP,
	       REGS(.rbx = 0xfee000b0)),
	USER("pio-out", "PIO out to userspace", out_forever, REGS(.rdx = 0x10)),
	USER("pio-in", "PIO in from userspace", in_forever, REGS(.rdx = 0x10)),
	USER("mmio-write", "MMIO write to userspace", write_forever, .regs.rbx = MMIO_GPA),
	USER("mmio-read", "MMIO read from userspace", read_forever, .regs.rbx = MMIO_GPA),
	USER("hlt", "HLT to userspace (no irqchip)", hlt_forever),
	{ .name = "outs", .title = "REP OUTSB to userspace, a byte", .group = "user",
	  .measure = string_io, .guest = &outs,
	  .regs = { .rdx = 0x10, .rcx = STRING_BYTES, .rsi = GDT_GPA } },
	{ .name = "ins", .title = "REP INSB from userspace, a byte", .group = "user",
	  .measure = string_io, .guest = &ins,
	  .regs = { .rdx = 0x10, .rcx = STRING_BYTES, .rdi = STACK_GPA + 0x4000 } },
	{}
};
