/* SPDX-License-Identifier: GPL-2.0-only */
/* What an exit is, independent of the vendor. */
#ifndef MV_BASE_EXIT_H
#define MV_BASE_EXIT_H

#include "base/types.h"

enum mv_exit_reason {
	MV_EXIT_UNKNOWN, /* .hw_reason */
	MV_EXIT_FAIL_ENTRY, /* .hw_reason */
	MV_EXIT_EXTERNAL_INTERRUPT,
	MV_EXIT_NMI,
	MV_EXIT_EXCEPTION, /* .exception */
	MV_EXIT_TRIPLE_FAULT,
	MV_EXIT_SHUTDOWN, /* the same, and the backend has lost the state of the guest */
	MV_EXIT_IRQ_WINDOW,
	MV_EXIT_NMI_WINDOW,
	MV_EXIT_CPUID,
	MV_EXIT_HLT,
	MV_EXIT_PAUSE,
	MV_EXIT_INVD, /* INVD and WBINVD */
	MV_EXIT_RDPMC,
	MV_EXIT_RDTSC,
	MV_EXIT_HYPERCALL,
	MV_EXIT_CR, /* .cr */
	MV_EXIT_DR, /* .dr */
	MV_EXIT_IO, /* .io */
	MV_EXIT_RDMSR,
	MV_EXIT_WRMSR,
	MV_EXIT_MONITOR,
	MV_EXIT_MWAIT,
	MV_EXIT_XSETBV,
	MV_EXIT_INVALID_OP, /* an instruction that the guest does not have */
	MV_EXIT_TASK_SWITCH, /* .task */
	MV_EXIT_PAGE_FAULT, /* .fault: second-stage violation */
	MV_EXIT_DOORBELL, /* a write that mv_ring_doorbell() has made */
	MV_EXIT_LOG_FULL, /* vcpu->cpu_log */
	MV_EXIT_APIC_ACCESS, /* .fault: an access to the APIC page to be emulated */
	MV_EXIT_APIC_WRITE, /* .apic: the offset of the register that has been written */
	MV_EXIT_EOI, /* .apic: the vector, one of those that the IOAPIC waits for */
	MV_EXIT_EMULATE, /* the emulator does the instruction at RIP */
	MV_EXIT_UNFINISHED, /* the backend's @finish_exit tells what it is */
	MV_EXIT_DONE, /* the backend has dealt with it whole */
	MV_NR_EXITS
};

/* Counters of a vCPU: by reason of exit, and these. */
enum mv_stat {
	MV_STAT_MMIO = MV_NR_EXITS, /* accesses that userspace had to answer */
	MV_STAT_SIGNAL,
	MV_STAT_IRQ,
	MV_STAT_NMI,
	MV_STAT_EMULATION_FAIL,
	MV_STAT_ASYNC_PF, /* faults for which the guest did not have to wait */
	MV_NR_STATS
};

enum mv_task_switch_by { MV_TASK_CALL, MV_TASK_IRET, MV_TASK_JMP, MV_TASK_GATE /* in the IDT */ };
enum mv_cr_op { MV_CR_WRITE, MV_CR_READ, MV_CR_CLTS, MV_CR_LMSW };

/* mv_exit.fault.access and the access argument of mv_mmu_fault(), mv_walk(). */
#define MV_ACCESS_READ BIT(0)
#define MV_ACCESS_WRITE BIT(1)
#define MV_ACCESS_EXEC BIT(2)
#define MV_ACCESS_USER BIT(3) /* mv_walk(): a user-mode access */
#define MV_ACCESS_IMPLICIT BIT(4) /* mv_walk(): supervisor, whatever RFLAGS.AC says */

/**
 * struct mv_exit - one VM exit, decoded by the backend
 * @reason: enum mv_exit_reason
 * @insn_len: length of the exiting instruction in bytes; 0: not known
 * @hw_reason: the hardware's own reason, for reports
 */
struct mv_exit {
	u16 reason;
	u8 insn_len;
	u32 hw_reason;
	union {
		struct {
			u8 vector;
			bool has_error;
			u32 error;
			u64 payload; /* #PF: CR2; #DB: the DR6 bits */
			u8 skip; /* bytes from RIP to where the handler is to return */
		} exception;
		struct {
			u8 op; /* enum mv_cr_op */
			u8 cr;
			u8 gpr;
			u16 lmsw;
		} cr;
		struct {
			u8 dr;
			u8 gpr;
			bool read;
		} dr;
		struct {
			u16 port; /* insn_len is known, or costs no look at guest memory */
			u8 size; /* 1, 2, 4 bytes */
			bool in;
			bool string; /* INS or OUTS: the rest of it follows */
			bool rep;
			u8 addrsize; /* 2, 4, 8 bytes; 0: the hardware does not tell */
			u8 seg; /* enum mv_emul_seg; MV_SEG_NONE: it does not tell */
		} io;
		struct {
			gpa_t gpa;
			u32 access; /* MV_ACCESS_* */
			bool in_walk; /* on the guest's own page tables */
		} fault;
		u16 apic;
		struct {
			u16 sel; /* of the new TSS */
			u8 by; /* enum mv_task_switch_by */
		} task;
	};
};

enum mv_bus_id { MV_PIO_BUS, MV_MMIO_BUS, MV_NR_BUSES };

#endif /* MV_BASE_EXIT_H */
