// SPDX-License-Identifier: GPL-2.0-only
/*
 * Instructions of the extensions that virtualize, isolate or configure a machine, in a guest
 * that has none of them. Many exit at any CPL: all have to fault there, or to run, but never to
 * stop the VM.
 */
#include <fcntl.h>
#include "test.h"

#define DONE 0x30 /* the INT that comes after the instruction */
#define IDT32 GPA_FREE
#define STUBS32 (GPA_FREE + 0x1000)
#define STUB_SIZE 16
#define SCRATCH (GPA_FREE + 0x4000) /* RAX: where memory operands lie */

static const struct row {
	const char *name;
	u8 len, bytes[5];
	bool any; /* it may run, too */
} rows[] = {
#define INSN(any, name, ...) { name, sizeof((u8[]) { __VA_ARGS__ }), { __VA_ARGS__ }, any }
#define ROW(...) INSN(false, __VA_ARGS__)
#define RUNS(...) INSN(true, __VA_ARGS__)
	/* VMX, SDM vol. 3C, chapter 31 */
	ROW("vmlaunch", 0x0f, 0x01, 0xc2),
	ROW("vmresume", 0x0f, 0x01, 0xc3),
	ROW("vmxoff", 0x0f, 0x01, 0xc4),
	ROW("vmread", 0x0f, 0x78, 0xc0),
	ROW("vmwrite", 0x0f, 0x79, 0xc0),
	ROW("vmptrld", 0x0f, 0xc7, 0x30),
	ROW("vmptrst", 0x0f, 0xc7, 0x38),
	ROW("vmclear", 0x66, 0x0f, 0xc7, 0x30),
	ROW("vmxon", 0xf3, 0x0f, 0xc7, 0x30),
	ROW("invept", 0x66, 0x0f, 0x38, 0x80, 0x00),
	ROW("invvpid", 0x66, 0x0f, 0x38, 0x81, 0x00),
	ROW("vmfunc", 0x0f, 0x01, 0xd4),
	RUNS("vmcall", 0x0f, 0x01, 0xc1),
	/* SMX and SMM */
	ROW("getsec", 0x0f, 0x37),
	ROW("rsm", 0x0f, 0xaa),
	/* TDX */
	ROW("tdcall", 0x66, 0x0f, 0x01, 0xcc),
	ROW("seamret", 0x66, 0x0f, 0x01, 0xcd),
	ROW("seamops", 0x66, 0x0f, 0x01, 0xce),
	ROW("seamcall", 0x66, 0x0f, 0x01, 0xcf),
	/* SGX */
	ROW("encls", 0x0f, 0x01, 0xcf),
	ROW("enclu", 0x0f, 0x01, 0xd7),
	ROW("enclv", 0x0f, 0x01, 0xc0),
	/* other Intel extensions */
	ROW("pconfig", 0x0f, 0x01, 0xc5),
	ROW("wrmsrns", 0x0f, 0x01, 0xc6),
	ROW("rdmsrlist", 0xf2, 0x0f, 0x01, 0xc6),
	ROW("wrmsrlist", 0xf3, 0x0f, 0x01, 0xc6),
	ROW("loadiwkey", 0xf3, 0x0f, 0x38, 0xdc, 0xc0),
	ROW("enqcmd", 0xf2, 0x0f, 0x38, 0xf8, 0x00),
	ROW("enqcmds", 0xf3, 0x0f, 0x38, 0xf8, 0x00),
	ROW("urdmsr", 0xf2, 0x0f, 0x38, 0xf8, 0xc0),
	ROW("uwrmsr", 0xf3, 0x0f, 0x38, 0xf8, 0xc0),
	RUNS("umonitor", 0xf3, 0x0f, 0xae, 0xf0),
	RUNS("umwait", 0xf2, 0x0f, 0xae, 0xf0),
	RUNS("tpause", 0x66, 0x0f, 0xae, 0xf0),
	RUNS("xsaves", 0x0f, 0xc7, 0x28),
	RUNS("xrstors", 0x0f, 0xc7, 0x18),
	RUNS("invpcid", 0x66, 0x0f, 0x38, 0x82, 0x00),
	RUNS("rdrand", 0x0f, 0xc7, 0xf0),
	RUNS("rdseed", 0x0f, 0xc7, 0xf8),
	RUNS("rdpid", 0xf3, 0x0f, 0xc7, 0xf8),
	/* SVM, APM vol. 3, chapter 4 */
	ROW("vmrun", 0x0f, 0x01, 0xd8),
	ROW("vmload", 0x0f, 0x01, 0xda),
	ROW("vmsave", 0x0f, 0x01, 0xdb),
	ROW("skinit", 0x0f, 0x01, 0xde),
	ROW("invlpga", 0x0f, 0x01, 0xdf),
	RUNS("stgi", 0x0f, 0x01, 0xdc), /* on KVM with a virtual GIF */
	RUNS("clgi", 0x0f, 0x01, 0xdd),
	RUNS("vmmcall", 0x0f, 0x01, 0xd9),
	/* other AMD extensions */
	RUNS("monitorx", 0x0f, 0x01, 0xfa),
	RUNS("mwaitx", 0x0f, 0x01, 0xfb),
	ROW("rdpru", 0x0f, 0x01, 0xfd),
	ROW("invlpgb", 0x0f, 0x01, 0xfe),
	ROW("tlbsync", 0x0f, 0x01, 0xff),
	RUNS("mcommit", 0xf3, 0x0f, 0x01, 0xfa),
	ROW("psmash", 0xf3, 0x0f, 0x01, 0xff),
	ROW("pvalidate", 0xf2, 0x0f, 0x01, 0xff),
	ROW("rmpadjust", 0xf3, 0x0f, 0x01, 0xfe),
	ROW("rmpupdate", 0xf2, 0x0f, 0x01, 0xfe),
	/* of both, and intercepted */
	RUNS("monitor", 0x0f, 0x01, 0xc8),
	RUNS("mwait", 0x0f, 0x01, 0xc9),
	RUNS("xgetbv", 0x0f, 0x01, 0xd0),
	RUNS("xsetbv", 0x0f, 0x01, 0xd1),
	RUNS("rdtscp", 0x0f, 0x01, 0xf9),
	RUNS("invd", 0x0f, 0x08),
	RUNS("wbinvd", 0x0f, 0x09),
	RUNS("wbnoinvd", 0xf3, 0x0f, 0x09),
	RUNS("rdpmc", 0x0f, 0x33),
	RUNS("pause", 0xf3, 0x90),
};

FIXTURE(opcodes) {
	struct vcpu *vcpu;
};

FIXTURE_VARIANT(opcodes) {
	bool code64;
	u8 cpl;
};

FIXTURE_VARIANT_ADD(opcodes, kernel64) { .code64 = true };
FIXTURE_VARIANT_ADD(opcodes, user64) { .code64 = true, .cpl = 3 };
FIXTURE_VARIANT_ADD(opcodes, kernel32) {};
FIXTURE_VARIANT_ADD(opcodes, user32) { .cpl = 3 };

/* Vectors of 32-bit mode are told as those of 64-bit mode are, by code at STUBS32. */
static void write_idt32(struct vm *vm)
{
	u64 *idt = gpa_ptr(vm, IDT32);

	for (u32 i = 0; i <= DONE; i++) {
		u64 addr = STUBS32 + i * STUB_SIZE;
		const u8 stub[] = {
			0xbf, UCALL_EXCEPTION, 0, 0, 0, /* mov $, %edi */
			0xbe, i, 0, 0, 0, /* mov $, %esi */
			0xe6, UCALL_PORT, /* out %al */
		};

		memcpy(gpa_ptr(vm, addr), stub, sizeof(stub));
		idt[i] = (addr & 0xffff) | SEL_CODE32 << 16 | 0xeeull << 40 | (addr >> 16) << 48;
	}
}

/* KVM would let its guests have these. */
static void hide_extensions(struct vm *vm)
{
	for (u32 i = 0; i < vm->cpuid->nent; i++) {
		struct kvm_cpuid_entry2 *e = &vm->cpuid->entries[i];

		if (e->function == 1)
			e->ecx &= ~(1 << 5 | 1 << 6); /* VMX, SMX */
		else if (e->function == 7 && !e->index)
			e->ebx &= ~(1 << 2); /* SGX */
		else if (e->function == 0x80000001)
			e->ecx &= ~(1 << 2); /* SVM */
	}
}

FIXTURE_SETUP(opcodes)
{
	struct vm *vm = vm_create();
	struct kvm_sregs sregs;

	hide_extensions(vm);
	self->vcpu = vcpu_create(vm);
	if (variant->code64) {
		vcpu_set_long_mode(self->vcpu, GPA_CODE);
		sregs = vcpu_sregs(self->vcpu);
	} else {
		u32 *tss = gpa_ptr(vm, GPA_TSS);

		write_idt32(vm);
		tss[1] = GPA_STACKS + STACK_SIZE; /* ESP0, SS0 */
		tss[2] = SEL_DATA;
		sregs = vcpu_sregs(self->vcpu);
		set_segments(&sregs, flat_segment(SEL_CODE32, 11, false));
		sregs.cr0 |= 1;
		sregs.tr.base = GPA_TSS;
		sregs.gdt = (struct kvm_dtable) { .base = GPA_GDT, .limit = 0xff };
		sregs.idt = (struct kvm_dtable) { .base = IDT32, .limit = DONE * 8 + 7 };
	}
	if (variant->cpl) {
		sregs.cs = flat_segment(SEL_UCODE, 11, variant->code64);
		sregs.ss = flat_segment(SEL_UDATA, 3, false);
	}
	vcpu_set_sregs(self->vcpu, &sregs);
}

FIXTURE_TEARDOWN(opcodes)
{
}

/* The vector that comes of the instruction, DONE if none does; 0x100 and more: an exit. */
static u32 execute(struct vcpu *vcpu, const struct row *row)
{
	struct kvm_regs regs = {
		.rip = GPA_CODE, .rflags = 2, .rax = SCRATCH, .rsp = GPA_STACKS + STACK_SIZE / 2,
	};
	u8 *code = gpa_ptr(vcpu->vm, GPA_CODE);
	u32 reason;

	memcpy(code, row->bytes, row->len);
	code[row->len] = 0xcd; /* INT */
	code[row->len + 1] = DONE;
	vcpu_set_regs(vcpu, &regs);
	reason = vcpu_run(vcpu);
	regs = vcpu_regs(vcpu);
	if (reason != KVM_EXIT_IO || regs.rdi != UCALL_EXCEPTION)
		return 0x100 + reason;
	return regs.rsi;
}

TEST_F(opcodes, fault_or_run)
{
	struct kvm_sregs sregs = vcpu_sregs(self->vcpu);

	if (on_tcg() && variant->cpl && !variant->code64)
		SKIP(return, "QEMU ends at a busy TSS of 32 bits that VMRUN has loaded");
	for (const struct row *row = rows; row < rows + ARRAY_SIZE(rows); row++) {
		u32 vector = execute(self->vcpu, row);

		EXPECT_TRUE(vector == UD || (vector == GP && (row->any || variant->cpl)) ||
			    (vector == DONE && row->any))
			TH_LOG("%s: %#x", row->name, vector);
		vcpu_set_sregs(self->vcpu, &sregs);
	}
}

TEST_MAIN
