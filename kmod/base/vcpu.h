/* SPDX-License-Identifier: GPL-2.0-only */
/* The virtual CPU. */
#ifndef MV_BASE_VCPU_H
#define MV_BASE_VCPU_H

#include <linux/hrtimer.h>
#include <linux/kvm.h>
#include <linux/mutex.h>
#include <linux/preempt.h>
#include <linux/rcuwait.h>
#include <linux/sched.h>
#include <asm/fpu/api.h>

#include "base/exit.h"
#include "base/types.h"
#include "emul/emul.h"

/* vcpu->requests: what to do before the next entry. */
enum mv_request {
	MV_REQ_EVENT, /* look for something to inject again */
	MV_REQ_TLB_FLUSH, /* drop this VM's cached translations on this CPU */
	MV_REQ_TRIPLE_FAULT, /* report KVM_EXIT_SHUTDOWN */
	MV_REQ_APIC, /* with mv_apicv: the APIC's state is another than the backend knows */
	MV_REQ_NMI, /* vcpu->nmi_queued went up */
	MV_REQ_IOAPIC_EOI, /* tell userspace's IOAPIC of vcpu->eoi_vector */
	MV_REQ_MSR_EXITS, /* vm->all_msrs_exit, spec_ctrl or spec_ctrl_switched changed */
	MV_REQ_CLOCK, /* tell the guest how its TSC makes time */
	MV_REQ_STEAL_TIME, /* tell the guest how long it waited for a CPU */
	MV_REQ_TPR_ACCESS, /* report KVM_EXIT_TPR_ACCESS */
	MV_REQ_DIRTY_RING_FULL, /* report KVM_EXIT_DIRTY_RING_FULL, if it still is */
	MV_REQ_APF_WAIT, /* for a page, or for an interrupt that leads the guest elsewhere */
	MV_REQ_APF_READY, /* a page has come */
	MV_REQ_RESAMPLE, /* tell irqfds that their interrupt has ended */
};

enum mv_vcpu_mode { MV_OUTSIDE, MV_IN_GUEST };

/* An event that waits for injection or is being delivered. */
struct mv_pending {
	union {
		struct {
			u8 exc_pending; /* raised, its side effects not yet made */
			u8 exc_injected; /* in delivery: goes in again as it is */
			u8 irq_injected;
			u8 nmi_injected;
		};
		u32 any;
	};
	u32 sent; /* of @any: what the control block holds for the next entry */
	u8 exc_vector;
	bool exc_has_error;
	bool exc_has_payload;
	u8 irq_vector;
	bool irq_soft; /* INT n, re-injected with insn_len */
	u8 insn_len; /* of a software interrupt or exception */
	u32 exc_error;
	u64 exc_payload; /* #PF: CR2; #DB: the DR6 bits */
};

/* Where KVM_RUN goes on when userspace has answered; returns as an exit handler does. */
typedef int (*mv_complete_fn)(struct mv_vcpu *vcpu);

/**
 * struct mv_vcpu - a virtual CPU; the backend's own structure begins with it
 *
 * Rule: fields are the property of the thread that holds @mutex, except
 * @requests, @mode, @nmi_queued, @deadline_due, @cpu_log and what irq/ says of struct mv_lapic.
 */
struct mv_vcpu {
	/* Entry and exit: what every pass through the run loop touches. */
	u64 gpr[MV_NR_GPRS];
	u64 spec_ctrl; /* IA32_SPEC_CTRL; entry.h knows gpr and these two by their place */
	bool spec_ctrl_switched; /* at entry and exit, and the guest has it without exits */
	u64 rip, rflags;
	u64 cr0, cr2, cr3, cr4, cr8;
	u32 regs_avail, regs_dirty; /* bits: enum mv_lazy_reg */
	unsigned long requests;
	int mode; /* enum mv_vcpu_mode */
	int cpu; /* where it is loaded; -1: nowhere */
	struct mv_vm *vm;
	struct mv_exit exit;
	struct mv_pending pending;
	struct kvm_run *run;
	u64 efer;
	u64 apic_base;
	struct mv_lapic *lapic; /* NULL without an in-kernel irqchip */
	gpa_t vapic; /* where the guest keeps a copy of the TPR; 0: nowhere */

	/* Interrupts and NMIs. */
	atomic_t nmi_queued; /* KVM_NMI and APIC NMIs not yet seen by the loop */
	u8 nmi_pending; /* 0 to 2, as the processor latches them */
	int user_irq; /* KVM_INTERRUPT: a vector of userspace's PIC; -1: none */
	u8 eoi_vector; /* for KVM_EXIT_IOAPIC_EOI */
	u32 mp_state; /* KVM_MP_STATE_* */
	unsigned long apic_events; /* irq/: pending INIT, SIPI */
	u8 sipi_vector;
	bool in_run; /* KVM_RUN is under way */
	bool deadline_due; /* the TSC deadline passed while it was not; under the timer's lock */

	/* Time. */
	u64 tsc_offset;
	u64 tsc_ratio; /* of the rate to the host's, in mv_backend->tsc_frac_bits; 0: the same */
	u32 tsc_khz;
	u64 tsc_adjust;

	/* FPU and extended state. */
	struct fpu_guest fpu;
	u64 xcr0, ia32_xss;
	u64 guest_supported_xcr0;
	u32 pkru, host_pkru;

	/* Debug registers and KVM_SET_GUEST_DEBUG. */
	u64 dr[4], dr6, dr7;
	u32 guest_debug; /* KVM_GUESTDBG_* */
	u64 guest_debug_dr7;
	u64 guest_debug_dr[4];

	/* MSRs that have no better place. */
	struct mv_msr_state {
		u64 pat;
		u64 misc_enable;
		u64 mtrr_def_type;
		u64 mtrr_fixed[11];
		u64 mtrr_var[8][2];
		u64 mcg_cap, mcg_status, mcg_ctl;
		u64 platform_info;
		u64 arch_capabilities;
		u64 ucode_rev;
		u64 feature_control;
		u64 de_cfg;
		u64 power_ctl;
		u64 hwcr;
		u64 tsc_aux;
		u64 pv_clock, pv_steal_time, pv_eoi, pv_poll_control, pv_apf, pv_apf_int;
		u64 star, lstar, cstar, fmask, kernel_gs_base;
	} msr;

	struct mv_mce_bank *mce_banks; /* MV_MCE_BANKS; NULL before KVM_X86_SETUP_MCE */

	/* CPUID as userspace set it, and what follows from it. */
	struct mv_cpuid *cpuid; /* NULL: not set yet */
	/* Words of X86_FEATURE_*, and MV_PV_WORD: has it, and minivirt can do it. */
	u32 features[MV_NR_FEATURE_WORDS];
	u8 maxphyaddr;
	u64 cr4_reserved; /* bits that this guest may not set */
	u64 efer_reserved;

	/* Paravirtual services. Their MSRs are in @msr. */
	struct mv_pv {
		bool stopped; /* KVM_KVMCLOCK_CTRL: the guest is to hear that it was */
		bool preempted; /* the steal time area says so */
		bool eoi_offered; /* the byte of MSR_KVM_PV_EOI_EN is set, or the guest took it */
		bool unhalted; /* KVM_HC_KICK_CPU: the next HLT is over at once; set by any vCPU */
		/* Kept over INIT: */
		bool enforced; /* only those that CPUID shows: KVM_CAP_ENFORCE_PV_FEATURE_CPUID */
		u64 run_delay; /* of this thread: what the guest knows of */
	} pv;

	/* cpu/asyncpf.c's own */
	struct mv_apf {
		struct list_head items; /* pages that are waited for */
		u32 nr; /* of them */
		u32 last_id; /* of their tokens */
		bool wake_all; /* the guest is to hear that it need not wait for any */
		bool waiting; /* it is not in HLT, but its thread sleeps as if it were */
	} apf;

	/* Instruction emulation and I/O that userspace answers. */
	struct mv_emul emul;
	mv_complete_fn complete;
	void *pio_data; /* the page at KVM_PIO_PAGE_OFFSET */
	struct mv_pio {
		u8 size;
		bool answered; /* userspace has put the input into pio_data */
		bool to_user; /* an exit is ready in struct kvm_run */
	} pio;
	struct mv_string_io string_io; /* the INS or OUTS under way: .size != 0 */
	u64 io_rip; /* of the IN or OUT that userspace completes */
	unsigned long bus_index[MV_NR_BUSES]; /* of the range that an access has led to last */
	struct mv_mmio {
		u8 nr, next; /* fragments queued, and given to userspace so far */
		bool insn_over; /* after them */
		bool mov_ss; /* it has loaded SS */
		struct {
			gpa_t gpa;
			u64 data;
			u8 len;
		} frag[MV_EMUL_WRITES_MAX];
	} mmio;
	u64 pdptrs[4]; /* PAE guests: as loaded with CR3; valid while that is dirty */

	/* mmu/: what was found last, while mmu.invalidate_seq is this; 0: nothing. */
	struct mv_slot *near_slot;
	unsigned long near_seq;
	gfn_t mmio_gfn; /* no slot is there */
	unsigned long mmio_seq;
	/*
	 * Fetches of instructions in 64-bit mode, from the page at @user, and the entries that
	 * have led there; while mmu.invalidate_seq is @seq they are where they were.
	 */
	struct mv_fetched {
		u64 key; /* linear address of the page, and MV_ACCESS_*; 0: nothing */
		u64 cr3, cr4, efer;
		unsigned long seq;
		const void __user *user;
		int nr_steps;
		struct mv_walk_step {
			void __user *user;
			u64 entry;
		} steps[MV_WALK_STEPS];
	} fetched[MV_FETCHED]; /* by the low bits of the page's number */

	/* KVM_CAP_DIRTY_LOG_RING; @pushed and @reset count without end */
	struct mv_dirty_ring {
		raw_spinlock_t lock; /* who writes an entry */
		struct kvm_dirty_gfn *entries; /* vm->dirty_ring_entries of them */
		u32 pushed, reset;
	} dirty_ring;
	u64 *cpu_log; /* pages that the processor has logged as written; NULL: it keeps no log */

	/* Life. */
	struct mutex mutex; /* one thread in an ioctl of this vCPU */
	struct preempt_notifier preempt;
	struct pid __rcu *pid; /* of the last thread that ran it */
	bool preempted; /* the thread lost its CPU while it would run on */
	struct rcuwait wait;
	u32 halt_poll_ns; /* how long to look for an event before it sleeps in HLT */
	int id; /* as given to KVM_CREATE_VCPU */
	int idx; /* in vm->vcpus */
	u64 stats[MV_NR_STATS]; /* enum mv_exit_reason, then enum mv_stat; others read them */
	bool sigset_active;
	sigset_t sigset;
	bool l1d_tainted; /* see mv_taint_l1d() */
};

#endif /* MV_BASE_VCPU_H */
