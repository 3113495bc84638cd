// SPDX-License-Identifier: GPL-2.0
/*
 * One vCPU: its first state, its loop, and what is printed when it fails.
 */
#include <cpuid.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include "vm.h"

#define MSR_IA32_MISC_ENABLE   0x1a0
#define MISC_ENABLE_FAST_STRING BIT_ULL(0)
#define MSR_MTRR_DEF_TYPE      0x2ff
#define MTRR_ENABLE	       BIT_ULL(11)
#define MTRR_WRITE_BACK	       6
#define CPUID_1_EDX_MTRR       BIT_ULL(12)

#define CR0_PE	    BIT_ULL(0)
#define CR0_MP	    BIT_ULL(1)
#define CR0_ET	    BIT_ULL(4)
#define CR0_NE	    BIT_ULL(5)
#define CR0_WP	    BIT_ULL(16)
#define CR0_PG	    BIT_ULL(31)
#define CR4_PAE	    BIT_ULL(5)
#define EFER_LME    BIT_ULL(8)
#define EFER_LMA    BIT_ULL(10)
#define RFLAGS_1    BIT_ULL(1)

struct one_msr {
	struct kvm_msrs header;
	struct kvm_msr_entry entry;
};

static void set_msr(struct vcpu *vcpu, uint32_t index, uint64_t value)
{
	struct one_msr msr = {
		.header.nmsrs = 1,
		.entry = { .index = index, .data = value },
	};

	if (kvm_ioctl(vcpu->fd, KVM_SET_MSRS, &msr) != 1)
		die(STATUS_HOST_ERROR, "cannot set MSR 0x%x", index);
}

/* What a BIOS sets up, and kernels take as a sign that there was one. */
static void set_msrs(struct vcpu *vcpu, struct kvm_cpuid2 *cpuid)
{
	const struct kvm_cpuid_entry2 *vendor = cpuid_find(cpuid, 0, 0);
	const struct kvm_cpuid_entry2 *features = cpuid_find(cpuid, 1, 0);
	struct one_msr misc = {
		.header.nmsrs = 1,
		.entry.index = MSR_IA32_MISC_ENABLE,
	};

	/* Without write-back as the default, kernels run without PAT. */
	if (features && features->edx & CPUID_1_EDX_MTRR)
		set_msr(vcpu, MSR_MTRR_DEF_TYPE, MTRR_ENABLE | MTRR_WRITE_BACK);
	/* Without this bit, kernels take REP MOVS for slow. */
	if (vendor && vendor->ebx == signature_INTEL_ebx &&
	    ioctl(vcpu->fd, KVM_GET_MSRS, &misc) == 1)
		set_msr(vcpu, MSR_IA32_MISC_ENABLE, misc.entry.data | MISC_ENABLE_FAST_STRING);
}

void vcpu_init(struct vcpu *vcpu, struct vm *vm, unsigned int id, struct kvm_cpuid2 *cpuid)
{
	vcpu->vm = vm;
	vcpu->id = id;
	vcpu->fd = kvm_ioctl(vm->fd, KVM_CREATE_VCPU, id);
	vcpu->run = mmap(NULL, vm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
	if (vcpu->run == MAP_FAILED)
		die(STATUS_HOST_ERROR, "cannot map struct kvm_run: %s", strerror(errno));
	kvm_ioctl(vcpu->fd, KVM_SET_CPUID2, cpuid);
	set_msrs(vcpu, cpuid);
}

/* Flat segments, with the selectors that the boot protocol names. */
static void set_segments(struct kvm_sregs *sregs, bool long_mode)
{
	struct kvm_segment code = {
		.limit = 0xffffffff, .selector = BOOT_CS, .type = 11, .present = 1, .s = 1,
		.g = 1, .l = long_mode, .db = !long_mode,
	};
	struct kvm_segment data = {
		.limit = 0xffffffff, .selector = BOOT_DS, .type = 3, .present = 1, .s = 1,
		.g = 1, .db = 1,
	};
	struct kvm_segment task = {
		.limit = 0x67, .selector = BOOT_TR, .type = 11, .present = 1,
	};

	sregs->cs = code;
	sregs->ds = data;
	sregs->es = data;
	sregs->fs = data;
	sregs->gs = data;
	sregs->ss = data;
	sregs->tr = task;
	sregs->gdt.base = GPA_GDT;
	sregs->gdt.limit = BOOT_GDT_SIZE - 1;
	sregs->idt.limit = 0;
}

void vcpu_set_entry(struct vcpu *vcpu, const struct boot_entry *entry)
{
	bool long_mode = entry->protocol == BOOT_LINUX64;
	struct kvm_regs regs = { .rip = entry->rip, .rflags = RFLAGS_1 };
	struct kvm_sregs sregs;

	kvm_ioctl(vcpu->fd, KVM_GET_SREGS, &sregs);
	set_segments(&sregs, long_mode);
	if (long_mode) {
		regs.rsi = entry->params;
		sregs.cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG;
		sregs.cr3 = GPA_PAGE_TABLES;
		sregs.cr4 = CR4_PAE;
		sregs.efer |= EFER_LME | EFER_LMA;
	} else {
		regs.rbx = entry->params;
		sregs.cr0 = CR0_PE | CR0_ET;
		sregs.cr4 = 0;
	}
	kvm_ioctl(vcpu->fd, KVM_SET_SREGS, &sregs);
	kvm_ioctl(vcpu->fd, KVM_SET_REGS, &regs);
}

static void dump_segment(const char *name, const struct kvm_segment *s)
{
	fprintf(stderr, "  %-4s %04x base %016llx limit %08x type %x%s%s%s%s dpl %u\n",
		name, s->selector, s->base, s->limit, s->type, s->s ? " s" : "",
		s->l ? " l" : "", s->db ? " db" : "", s->g ? " g" : "", s->dpl);
}

static void dump_bytes(const char *name, const uint8_t *bytes, size_t len)
{
	fprintf(stderr, "  %s", name);
	for (size_t i = 0; i < len; i++)
		fprintf(stderr, " %02x", bytes[i]);
	fprintf(stderr, "\n");
}

static void dump_code(struct vcpu *vcpu, uint64_t address)
{
	struct kvm_translation tr = { .linear_address = address };
	const uint8_t *code;
	size_t len;

	if (ioctl(vcpu->fd, KVM_TRANSLATE, &tr) || !tr.valid)
		return;
	len = min(16, SZ_4K - (tr.physical_address & (SZ_4K - 1)));
	code = memory_at(&vcpu->vm->memory, tr.physical_address, len);
	if (code)
		dump_bytes("code", code, len);
}

static void dump_registers(struct vcpu *vcpu)
{
	struct kvm_sregs s;
	struct kvm_regs r;

	if (ioctl(vcpu->fd, KVM_GET_REGS, &r) || ioctl(vcpu->fd, KVM_GET_SREGS, &s))
		return;
	const struct {
		const char *name;
		__u64 value;
	} regs[] = {
		{ "rip", r.rip }, { "rflags", r.rflags }, { "rax", r.rax }, { "rbx", r.rbx },
		{ "rcx", r.rcx }, { "rdx", r.rdx },	  { "rsi", r.rsi }, { "rdi", r.rdi },
		{ "rsp", r.rsp }, { "rbp", r.rbp },	  { "r8", r.r8 },   { "r9", r.r9 },
		{ "r10", r.r10 }, { "r11", r.r11 },	  { "r12", r.r12 }, { "r13", r.r13 },
		{ "r14", r.r14 }, { "r15", r.r15 },	  { "cr0", s.cr0 }, { "cr2", s.cr2 },
		{ "cr3", s.cr3 }, { "cr4", s.cr4 },	  { "cr8", s.cr8 }, { "efer", s.efer },
	};

	for (size_t i = 0; i < ARRAY_SIZE(regs); i++)
		fprintf(stderr, "  %-6s %016llx%s", regs[i].name, regs[i].value,
			i % 3 == 2 ? "\n" : "");
	dump_segment("cs", &s.cs);
	dump_segment("ds", &s.ds);
	dump_segment("ss", &s.ss);
	dump_segment("tr", &s.tr);
	fprintf(stderr, "  gdt  base %016llx limit %04x\n", s.gdt.base,
		s.gdt.limit);
	fprintf(stderr, "  idt  base %016llx limit %04x\n", s.idt.base,
		s.idt.limit);
	dump_code(vcpu, s.cs.base + r.rip);
}

static void report_internal_error(struct vcpu *vcpu)
{
	const struct kvm_run *run = vcpu->run;
	unsigned int n = min(run->internal.ndata, ARRAY_SIZE(run->internal.data));
	bool emulation = run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION;

	error("vCPU %u: internal error of the hypervisor, suberror %u%s", vcpu->id,
	      run->internal.suberror,
	      emulation ? ": an instruction that it cannot emulate" : "");
	for (unsigned int i = 0; i < n; i++)
		fprintf(stderr, "  data %u %016llx\n", i, run->internal.data[i]);
	if (emulation && n &&
	    run->emulation_failure.flags & KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES)
		dump_bytes("instruction", run->emulation_failure.insn_bytes,
			   min(run->emulation_failure.insn_size,
			       sizeof(run->emulation_failure.insn_bytes)));
}

void vcpu_report(struct vcpu *vcpu)
{
	const struct kvm_run *run = vcpu->run;

	if (vcpu->run_errno) {
		error("vCPU %u: KVM_RUN failed: %s", vcpu->id, strerror(vcpu->run_errno));
	} else {
		switch (run->exit_reason) {
		case KVM_EXIT_SHUTDOWN:
			error("vCPU %u: triple fault", vcpu->id);
			break;
		case KVM_EXIT_SYSTEM_EVENT:
			error("vCPU %u: the guest crashed, system event %u", vcpu->id,
			      run->system_event.type);
			break;
		case KVM_EXIT_FAIL_ENTRY:
			error("vCPU %u: failed VM entry, hardware reason 0x%llx", vcpu->id,
			      run->fail_entry.hardware_entry_failure_reason);
			break;
		case KVM_EXIT_INTERNAL_ERROR:
			report_internal_error(vcpu);
			break;
		default:
			error("vCPU %u: unexpected exit reason %u", vcpu->id, run->exit_reason);
		}
	}
	dump_registers(vcpu);
}

/* The first vCPU that fails is the one to report. */
static void fail(struct vcpu *vcpu, enum status status)
{
	if (vm_stop(vcpu->vm, status))
		vcpu->vm->failed = vcpu;
}

static void handle_io(struct vcpu *vcpu)
{
	const struct kvm_run *run = vcpu->run;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;

	for (uint32_t i = 0; i < run->io.count; i++)
		bus_access(&vcpu->vm->bus, SPACE_PIO, run->io.port, data + i * run->io.size,
			   run->io.size, run->io.direction == KVM_EXIT_IO_OUT);
}

static void handle_system_event(struct vcpu *vcpu)
{
	switch (vcpu->run->system_event.type) {
	case KVM_SYSTEM_EVENT_SHUTDOWN:
		vm_stop(vcpu->vm, STATUS_POWER_OFF);
		break;
	case KVM_SYSTEM_EVENT_RESET:
		vm_stop(vcpu->vm, STATUS_REBOOT);
		break;
	default:
		fail(vcpu, STATUS_SHUTDOWN);
	}
}

static void handle_exit(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;

	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		handle_io(vcpu);
		break;
	case KVM_EXIT_MMIO:
		bus_access(&vcpu->vm->bus, SPACE_MMIO, run->mmio.phys_addr, run->mmio.data,
			   run->mmio.len, run->mmio.is_write);
		break;
	case KVM_EXIT_INTR:
	case KVM_EXIT_IRQ_WINDOW_OPEN:
		break;
	case KVM_EXIT_SYSTEM_EVENT:
		handle_system_event(vcpu);
		break;
	case KVM_EXIT_SHUTDOWN:
		fail(vcpu, STATUS_SHUTDOWN);
		break;
	default:
		fail(vcpu, STATUS_VCPU_FAILED);
	}
}

void *vcpu_main(void *arg)
{
	struct vcpu *vcpu = arg;

	while (atomic_load(&vcpu->vm->status) == VM_RUNNING) {
		vcpu->run_errno = ioctl(vcpu->fd, KVM_RUN, 0) ? errno : 0;
		/* EAGAIN: it was waiting for INIT and has just received it. */
		if (!vcpu->run_errno)
			handle_exit(vcpu);
		else if (vcpu->run_errno != EINTR && vcpu->run_errno != EAGAIN)
			fail(vcpu, STATUS_HOST_ERROR);
	}
	return NULL;
}

void vcpu_kick(struct vcpu *vcpu)
{
	/* Before the signal: it may come before the vCPU is in KVM_RUN. */
	__atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	pthread_kill(vcpu->thread, SIG_KICK);
}
