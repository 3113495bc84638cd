/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The two objects, the virtual machine and the virtual CPU, and what the
 * files of the module call of each other.  The vendor seam is in backend.h.
 */
#ifndef MINIVIRT_H
#define MINIVIRT_H

#include <linux/types.h>
#include <linux/bits.h>
#include <linux/hrtimer.h>
#include <linux/jump_label.h>
#include <linux/interval_tree.h>
#include <linux/kvm.h>
#include <linux/maple_tree.h>
#include <linux/mmu_notifier.h>
#include <linux/mutex.h>
#include <linux/preempt.h>
#include <linux/rcuwait.h>
#include <linux/refcount.h>
#include <linux/sched.h>
#include <linux/srcu.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>
#include <asm/cpufeature.h>
#include <asm/fpu/api.h>
#include <asm/kvm_para.h>
#include <asm/msr.h>
#include <asm/processor-flags.h>

#include "emul/emul.h"

#define MV_VERSION "0.1"

/* Limits that KVM_CHECK_EXTENSION reports. */
#define MV_MAX_VCPUS 1024
#define MV_MAX_VCPU_ID 4096
#define MV_MAX_SLOTS 32764 /* KVM's number */
#define MV_MAX_CPUID_ENTRIES 256
#define MV_MAX_ROUTES 4096
#define MV_NR_PINS 24
#define MV_X2APIC_API                                                                      \
	(KVM_X2APIC_API_USE_32BIT_IDS | KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK)
#define MV_MCE_BANKS 32
#define MV_GUESTDBG_FLAGS                                                                  \
	(KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_USE_SW_BP |           \
	 KVM_GUESTDBG_USE_HW_BP | KVM_GUESTDBG_INJECT_DB | KVM_GUESTDBG_INJECT_BP |         \
	 KVM_GUESTDBG_BLOCKIRQ)

struct mv_vm;
struct mv_vcpu;
struct mv_lapic;
struct mv_irqchip;
struct mv_routing;
struct mv_bus;
struct mv_msr_filter;

typedef u64 gpa_t;
typedef u64 gfn_t;
typedef unsigned long hva_t;

#define MV_FETCHED 4 /* pages of code whose translation a vCPU remembers */
#define MV_WALK_STEPS 5 /* levels of the guest's page tables, at most */

#define MV_INVALID_GPA (~(gpa_t)0)

/*
 * Bits of the leaf KVM_CPUID_FEATURES are features as those of the processor
 * are: a word of their own, after those of X86_FEATURE_*.
 */
#define MV_PV_WORD NCAPINTS
#define MV_FEATURE_PV(name) (MV_PV_WORD * 32 + KVM_FEATURE_##name)
#define MV_NR_FEATURE_WORDS (NCAPINTS + 1)

static inline gfn_t gpa_to_gfn(gpa_t gpa)
{
	return gpa >> PAGE_SHIFT;
}

static inline gpa_t gfn_to_gpa(gfn_t gfn)
{
	return gfn << PAGE_SHIFT;
}

/* General registers, in the order of their encoding in instructions. */
enum mv_gpr {
	MV_RAX,
	MV_RCX,
	MV_RDX,
	MV_RBX,
	MV_RSP,
	MV_RBP,
	MV_RSI,
	MV_RDI,
	MV_R8,
	MV_R15 = 15,
	MV_NR_GPRS
};

/* Segment registers, in the order of their encoding; then the system ones. */
enum mv_seg {
	MV_ES,
	MV_CS,
	MV_SS,
	MV_DS,
	MV_FS,
	MV_GS,
	MV_TR,
	MV_LDTR,
	MV_NR_SEGS
};

/* Registers that live in the control block and are read on demand. */
enum mv_lazy_reg {
	MV_LAZY_RSP,
	MV_LAZY_RIP,
	MV_LAZY_RFLAGS,
	MV_LAZY_CR0,
	MV_LAZY_CR3,
	MV_LAZY_CR4,
	MV_NR_LAZY
};

/* ---- what an exit is, independent of the vendor ---------------------- */

enum mv_exit_reason {
	MV_EXIT_UNKNOWN, /* .hw_reason */
	MV_EXIT_FAIL_ENTRY, /* .hw_reason */
	MV_EXIT_EXTERNAL_INTERRUPT,
	MV_EXIT_NMI,
	MV_EXIT_EXCEPTION, /* .exception */
	MV_EXIT_TRIPLE_FAULT,
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
	MV_EXIT_TASK_SWITCH, /* .hw_reason */
	MV_EXIT_PAGE_FAULT, /* .fault: second-stage violation */
	MV_EXIT_DOORBELL, /* a write that mv_ring_doorbell() has made */
	MV_EXIT_LOG_FULL, /* vcpu->cpu_log */
	MV_EXIT_APIC_ACCESS, /* .fault: an access to the APIC page to be emulated */
	MV_EXIT_APIC_WRITE, /* .apic: the offset of the register that has been written */
	MV_EXIT_EOI, /* .apic: the vector, one of those that the IOAPIC waits for */
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
	MV_NR_STATS
};

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
	};
};

/* Debug-register bits that asm/debugreg.h has no names for. SDM vol. 3B, 17.2. */
#define MV_DR6_BD BIT(13)
#define MV_DR6_BT BIT(15)
#define MV_DR6_RESET 0xffff0ff0ull
#define MV_DR7_GD BIT(13)
#define MV_DR7_ENABLE 0xffull /* L0 to G3 */
#define MV_DR7_RESET 0x400ull

enum mv_bus_id { MV_PIO_BUS, MV_MMIO_BUS, MV_NR_BUSES };

/* ---- the virtual CPU -------------------------------------------------- */

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
 * @requests, @mode, @nmi_queued, @cpu_log and what irq/ says of struct mv_lapic.
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
		u64 pv_clock, pv_steal_time, pv_eoi, pv_poll_control;
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

	/* pv/: paravirtual services. Their MSRs are in @msr. */
	struct mv_pv {
		bool stopped; /* KVM_KVMCLOCK_CTRL: the guest is to hear that it was */
		bool preempted; /* the steal time area says so */
		bool eoi_offered; /* the byte of MSR_KVM_PV_EOI_EN is set, or the guest took it */
		bool unhalted; /* KVM_HC_KICK_CPU: the next HLT is over at once; set by any vCPU */
		/* Kept over INIT: */
		bool enforced; /* only those that CPUID shows: KVM_CAP_ENFORCE_PV_FEATURE_CPUID */
		u64 run_delay; /* of this thread: what the guest knows of */
	} pv;

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
		spinlock_t lock; /* who writes an entry */
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
	bool l1tf_flush_l1d; /* VMX: host secrets may be in the L1 data cache */
};

/* ---- memory ----------------------------------------------------------- */

struct mv_slot {
	gfn_t base_gfn;
	u64 npages;
	hva_t hva;
	u32 flags; /* KVM_MEM_* */
	u16 id;
	unsigned long *dirty; /* one bit a page, with KVM_MEM_LOG_DIRTY_PAGES */
	struct interval_tree_node hva_range; /* in mmu.slots_by_hva */
};

/* The second-stage page tables of a VM; fields are mmu/'s own. */
struct mv_mmu {
	u64 root_hpa;
	struct page *root; /* NULL: stopped */
	rwlock_t lock;
	unsigned long invalidate_seq; /* of the host's invalidations and of slot changes, from 1 */
	long invalidate_in_progress;
	bool exec_splits; /* large leaves are not executable */
	hva_t invalidate_start, invalidate_end; /* the host addresses in work, if any are */
	struct rb_root_cached slots_by_hva;
};

/* ---- the virtual machine ---------------------------------------------- */

/* kvmclock: ns(host_tsc) = @ns + (host_tsc - @tsc) * rate + @offset. pv/clock.c's own. */
struct mv_clock {
	struct mutex lock; /* all but @node */
	struct list_head node; /* of all VMs' clocks */
	bool master; /* that line serves all vCPUs; else @tsc and @ns mean nothing */
	u64 tsc, ns; /* ns: the host's time */
	u64 offset; /* of the guest's time to the host's */
	u64 wall; /* MSR_KVM_WALL_CLOCK */
};

struct mv_vm {
	struct mm_struct *mm; /* the creator's, by mmgrab() */
	refcount_t refs; /* one a descriptor */
	struct mutex lock; /* configuration: vCPUs, irqchip */
	struct mutex slots_lock; /* changes of slots and of the buses */
	struct srcu_struct srcu; /* slots, routing, MSR filter */
	struct maple_tree slots; /* by page frame; readers hold @srcu or mmu.lock */
	struct xarray slots_by_id; /* slots_lock */
	struct mv_mmu mmu;
	struct mmu_notifier notifier;

	struct xarray vcpus; /* by index, 0..nr_vcpus-1 */
	int nr_vcpus; /* read with smp_load_acquire() */
	int bsp_id;

	spinlock_t irq_lock; /* irq/irq.h says what of */
	struct mv_irqchip *irqchip; /* NULL, or PIC + IOAPIC (+ PIT); smp_load_acquire() */
	struct mv_routing __rcu *routing;
	struct mv_apic_map __rcu *apic_map; /* irq/apicmap.c: APIC ID to vCPU */
	struct list_head irqfds; /* irq/irqfd.c: all, under lock */
	struct list_head resampled_irqfds; /* under irq_lock */
	struct work_struct irqfd_reaper;
	bool split_irqchip; /* local APICs only; set while there are no vCPUs */
	u32 nr_ioapic_routes; /* with it: GSIs below are pins of userspace's IOAPIC */
	unsigned long eoi_vectors[256 / BITS_PER_LONG]; /* whose EOI an IOAPIC has to know */
	bool apic_access_page; /* with mv_apicv: may be mapped, see mv_apic_map_update() */
	u32 x2apic_api; /* KVM_X2APIC_API_*, of KVM_CAP_X2APIC_API */

	struct mv_bus __rcu *bus[MV_NR_BUSES]; /* io/bus.c */
	spinlock_t ring_lock; /* of coalesced_ring: who adds to it */
	struct kvm_coalesced_mmio_ring *coalesced_ring; /* a page; NULL: never asked for */

	spinlock_t tsc_lock; /* the next two */
	u64 tsc_offset; /* that vCPUs are to agree on, at this rate: the last one that was set */
	u32 tsc_synced_khz;
	u32 tsc_khz; /* of new vCPUs */

	/* What KVM_ENABLE_CAP has turned on or off. */
	bool exception_payload;
	bool triple_fault_event;
	bool exit_on_emulation_failure;
	bool no_platform_info;
	u32 max_vcpu_ids; /* 0: not set yet */
	u64 manual_log; /* KVM_DIRTY_LOG_* */
	u32 dirty_ring_entries; /* of each vCPU; 0: the log is read as a bitmap */
	u64 disabled_quirks; /* KVM_X86_QUIRK_* */
	u32 disabled_exits; /* KVM_X86_DISABLE_EXITS_*; constant once there are vCPUs */
	u32 user_msr_reasons; /* KVM_MSR_EXIT_REASON_* for which userspace is asked */

	pid_t creator;
	atomic64_t tlb_flushes; /* of all vCPUs */
	unsigned long nr_mmu_pages; /* KVM_SET_NR_MMU_PAGES; 0: not set */
	int last_yielded_to; /* index of the vCPU that mv_vcpu_yield() chose last */

	struct mv_msr_filter __rcu *msr_filter; /* srcu, vm->lock; NULL: none */
	bool all_msrs_exit; /* as the filter denies one that guests have without exits */

	struct mv_clock clock;
	s64 halt_poll_ns; /* KVM_CAP_HALT_POLL: limit of the vCPUs'; -1: the module's */
};

/* vCPUs below this index are whole. */
static inline int mv_nr_vcpus(struct mv_vm *vm)
{
	return smp_load_acquire(&vm->nr_vcpus); /* pairs with vcpu_publish() */
}

#define mv_for_each_vcpu(i, vcpu, vm)                                                      \
	for ((i) = 0; (i) < mv_nr_vcpus(vm) && ((vcpu) = xa_load(&(vm)->vcpus, (i))); (i)++)

/* ---- register access --------------------------------------------------- */

void mv_cache_reg(struct mv_vcpu *vcpu, enum mv_lazy_reg reg);

static __always_inline void mv_need(struct mv_vcpu *vcpu, enum mv_lazy_reg reg)
{
	if (unlikely(!(vcpu->regs_avail & BIT(reg))))
		mv_cache_reg(vcpu, reg);
}

static inline void mv_mark_dirty(struct mv_vcpu *vcpu, enum mv_lazy_reg reg)
{
	vcpu->regs_avail |= BIT(reg);
	vcpu->regs_dirty |= BIT(reg);
}

static inline u64 mv_gpr(struct mv_vcpu *vcpu, int n)
{
	if (n == MV_RSP)
		mv_need(vcpu, MV_LAZY_RSP);
	return vcpu->gpr[n];
}

static inline void mv_set_gpr(struct mv_vcpu *vcpu, int n, u64 val)
{
	vcpu->gpr[n] = val;
	if (n == MV_RSP)
		mv_mark_dirty(vcpu, MV_LAZY_RSP);
}

#define MV_LAZY_ACCESSORS(name, NAME)                                          \
	static __always_inline u64 mv_##name(struct mv_vcpu *vcpu)             \
	{                                                                      \
		mv_need(vcpu, MV_LAZY_##NAME);                                 \
		return vcpu->name;                                             \
	}

MV_LAZY_ACCESSORS(rip, RIP)
MV_LAZY_ACCESSORS(rflags, RFLAGS)
MV_LAZY_ACCESSORS(cr0, CR0)
MV_LAZY_ACCESSORS(cr3, CR3)
MV_LAZY_ACCESSORS(cr4, CR4)

/* Bits of CR0 and CR4 that the guest may change without an exit. */
#define MV_CR0_GUEST_OWNED (X86_CR0_MP | X86_CR0_EM | X86_CR0_TS | X86_CR0_WP | X86_CR0_AM)
#define MV_CR4_GUEST_OWNED                                                                 \
	(X86_CR4_VME | X86_CR4_PVI | X86_CR4_TSD | X86_CR4_DE | X86_CR4_PGE | X86_CR4_PCE | \
	 X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT)

/* For a constant @bit: of the others it is known without asking the processor. */
static __always_inline bool mv_cr0_has(struct mv_vcpu *vcpu, u64 bit)
{
	return (bit & MV_CR0_GUEST_OWNED ? mv_cr0(vcpu) : vcpu->cr0) & bit;
}

static __always_inline bool mv_cr4_has(struct mv_vcpu *vcpu, u64 bit)
{
	return (bit & MV_CR4_GUEST_OWNED ? mv_cr4(vcpu) : vcpu->cr4) & bit;
}

static inline bool mv_canonical(struct mv_vcpu *vcpu, u64 la)
{
	int unused = mv_cr4_has(vcpu, X86_CR4_LA57) ? 64 - 57 : 64 - 48;

	return la == (u64)((s64)(la << unused) >> unused);
}

static inline void mv_write_rip(struct mv_vcpu *vcpu, u64 val)
{
	vcpu->rip = val;
	mv_mark_dirty(vcpu, MV_LAZY_RIP);
}

static inline void mv_write_rflags(struct mv_vcpu *vcpu, u64 val)
{
	vcpu->rflags = val;
	mv_mark_dirty(vcpu, MV_LAZY_RFLAGS);
}

/* EDX:EAX, as MSR and XSETBV instructions take it. */
static inline u64 mv_edx_eax(struct mv_vcpu *vcpu)
{
	return (u32)vcpu->gpr[MV_RAX] | (u64)(u32)vcpu->gpr[MV_RDX] << 32;
}

static inline void mv_set_edx_eax(struct mv_vcpu *vcpu, u64 val)
{
	vcpu->gpr[MV_RAX] = (u32)val;
	vcpu->gpr[MV_RDX] = val >> 32;
}

static inline bool mv_has_quirk(struct mv_vm *vm, u64 quirk) /* KVM_X86_QUIRK_* */
{
	return !(READ_ONCE(vm->disabled_quirks) & quirk);
}

/* ---- requests and kicks (vcpu.c) --------------------------------------- */

static inline void mv_request(struct mv_vcpu *vcpu, enum mv_request req)
{
	/* Pairs with the barrier after mode = MV_IN_GUEST in the run loop. */
	smp_wmb();
	set_bit(req, &vcpu->requests);
}

static inline bool mv_take_request(struct mv_vcpu *vcpu, enum mv_request req)
{
	return test_bit(req, &vcpu->requests) && test_and_clear_bit(req, &vcpu->requests);
}

void mv_vcpu_kick(struct mv_vcpu *vcpu); /* out of the guest, out of HLT; any context */
void mv_request_all(struct mv_vm *vm, enum mv_request req, bool wait);

/* The host's values of what is switched around the guest: the same on every CPU. */
struct mv_host {
	u64 xcr0, xss;
};

extern struct mv_host mv_host; /* main.c */
extern bool mv_dump_on_failure; /* module parameter: dump */
/*
 * The processor virtualizes local APICs, and delivers the interrupts in the IRR
 * by itself: module parameter apicv, and the hardware can.
 */
extern bool mv_apicv;

struct mv_vcpu *mv_loaded_vcpu(void);

/* ---- main.c, vm.c, vcpu.c ---------------------------------------------- */

long mv_vm_create(unsigned long type); /* returns a descriptor */
int mv_vm_count(void);
void mv_vm_get(struct mv_vm *vm);
void mv_vm_put(struct mv_vm *vm);
int mv_check_extension(struct mv_vm *vm, long cap);
long mv_vcpu_create(struct mv_vm *vm, unsigned long id); /* returns a descriptor */
void mv_vcpu_destroy(struct mv_vcpu *vcpu);
void mv_vcpu_reset(struct mv_vcpu *vcpu, bool init);
bool mv_vcpu_runnable(struct mv_vcpu *vcpu);
void mv_vcpu_yield(struct mv_vcpu *me);
bool mv_vcpu_yield_to(struct mv_vcpu *vcpu); /* if it was preempted; true: it runs now */
void mv_vcpu_block(struct mv_vcpu *vcpu); /* halt.c: until it can run, or for a signal */
int mv_guest_mode_work(void); /* work.c: 0, or -EINTR for a signal */

static inline bool mv_is_bsp(struct mv_vcpu *vcpu)
{
	return vcpu->id == vcpu->vm->bsp_id;
}

/*
 * ---- exit.c ----
 *
 * An exit handler returns 1 to go on in the guest, 0 to return to userspace
 * with struct kvm_run filled in, or -errno.
 */

int mv_handle_exit(struct mv_vcpu *vcpu);
bool mv_ring_doorbell(struct mv_vcpu *vcpu);
int mv_skip_insn(struct mv_vcpu *vcpu); /* RIP past it; returns as a handler does */
int mv_emulate_mmio(struct mv_vcpu *vcpu); /* emulate.c: exit.fault is an MMIO access */
int mv_internal_error(struct mv_vcpu *vcpu, u32 suberror);

int mv_emulate_string_io(struct mv_vcpu *vcpu); /* emulate.c: exit.io is INS or OUTS */
int mv_pio_to_user(struct mv_vcpu *vcpu, u16 port, u8 size, bool in, u32 count);
int mv_insn_done(struct mv_vcpu *vcpu); /* after RIP moved; returns as a handler */

/* ---- event.c: exceptions, interrupts, NMIs ------------------------------ */

void mv_queue_exception(struct mv_vcpu *vcpu, u8 vector);
void mv_queue_exception_e(struct mv_vcpu *vcpu, u8 vector, u32 error);
void mv_queue_exception_p(struct mv_vcpu *vcpu, u8 vector, u64 payload); /* #DB */
void mv_queue_page_fault(struct mv_vcpu *vcpu, u64 cr2, u32 error);
int mv_inject_gp(struct mv_vcpu *vcpu); /* #GP(0); returns 1 */
int mv_inject_ud(struct mv_vcpu *vcpu); /* #UD; returns 1 */
void mv_inject_nmi(struct mv_vcpu *vcpu); /* from any thread */
void mv_update_events(struct mv_vcpu *vcpu); /* before entry: choose and inject */
void mv_deliver_payload(struct mv_vcpu *vcpu);
bool mv_want_irq(struct mv_vcpu *vcpu); /* an interrupt waits, RFLAGS.IF apart */
/* Userspace is the PIC, has no vector waiting, and this vCPU listens to it. */
bool mv_takes_user_irq(struct mv_vcpu *vcpu);

static inline int mv_take_user_irq(struct mv_vcpu *vcpu)
{
	int vector = vcpu->user_irq;

	vcpu->user_irq = -1;
	return vector;
}

/* The backend, after an entry that did not fail: what was sent is on its way. */
static inline void mv_events_sent(struct mv_vcpu *vcpu)
{
	if (unlikely(vcpu->pending.sent)) {
		vcpu->pending.any &= ~vcpu->pending.sent;
		vcpu->pending.sent = 0;
		if (vcpu->pending.any)
			mv_request(vcpu, MV_REQ_EVENT);
	}
}

/* ---- state.c, cr.c, debug.c, cpuid.c, msr.c, fpu.c ----------------------- */

long mv_state_ioctl(struct mv_vcpu *vcpu, unsigned int nr, unsigned long arg);
int mv_load_sync_regs(struct mv_vcpu *vcpu); /* kvm_dirty_regs of struct kvm_run; or -EINVAL */
void mv_store_sync_regs(struct mv_vcpu *vcpu); /* kvm_valid_regs */

/* cr.c: the architecture's checks; 0: done, 1: the guest gets #GP(0). */
int mv_set_cr0(struct mv_vcpu *vcpu, u64 val);
int mv_set_cr3(struct mv_vcpu *vcpu, u64 val);
int mv_set_cr4(struct mv_vcpu *vcpu, u64 val);
int mv_set_cr8(struct mv_vcpu *vcpu, u64 val);
u64 mv_get_cr8(struct mv_vcpu *vcpu);
int mv_set_efer(struct mv_vcpu *vcpu, u64 val, bool host);
int mv_set_xcr0(struct mv_vcpu *vcpu, u32 index, u64 val);

static inline bool mv_long_mode(struct mv_vcpu *vcpu)
{
	return vcpu->efer & EFER_LMA;
}

static inline bool mv_pae_paging(struct mv_vcpu *vcpu)
{
	return !mv_long_mode(vcpu) && mv_cr4_has(vcpu, X86_CR4_PAE) &&
	       mv_cr0_has(vcpu, X86_CR0_PG);
}

/* A 48- or 57-bit linear address in canonical form, by the guest's CR4.LA57. */

int mv_get_dr(struct mv_vcpu *vcpu, int dr, u64 *val); /* 1: #UD or #GP is queued */
int mv_set_dr(struct mv_vcpu *vcpu, int dr, u64 val);
u64 mv_effective_dr7(struct mv_vcpu *vcpu);
u32 mv_exception_intercepts(struct mv_vcpu *vcpu); /* bits: vectors */
bool mv_debug_exit(struct mv_vcpu *vcpu, u8 vector, u64 payload); /* true: for userspace */
u64 mv_linear_rip(struct mv_vcpu *vcpu);

/* As vcpu->features, of a guest that has all that can be given to one. */
extern u32 mv_supported_features[MV_NR_FEATURE_WORDS];

/* Bits of a guest-physical address that are reserved in CR3 and table entries. */
static inline u64 mv_reserved_gpa(struct mv_vcpu *vcpu)
{
	return ~0ull << vcpu->maxphyaddr;
}

/* @feature: X86_FEATURE_*, MV_FEATURE_PV() */
static inline bool mv_guest_has(struct mv_vcpu *vcpu, unsigned int feature)
{
	return vcpu->features[feature / 32] & BIT(feature % 32);
}

static inline bool mv_supported(unsigned int feature)
{
	return mv_supported_features[feature / 32] & BIT(feature % 32);
}

int mv_cpuid_init(void);
void mv_cpuid_derive(struct mv_vcpu *vcpu); /* what follows from CPUID; at creation too */
void mv_cpuid_derive_pv(struct mv_vcpu *vcpu); /* of it, the paravirtual services */
void mv_cpuid(struct mv_vcpu *vcpu); /* the instruction, on the vCPU's registers */
void mv_cpuid_runtime_update(struct mv_vcpu *vcpu); /* OSXSAVE, leaf 0xd sizes, APIC bit... */
bool mv_cpuid_has_mwait(struct mv_vcpu *vcpu);
long mv_get_supported_cpuid(struct kvm_cpuid2 __user *arg);
long mv_get_emulated_cpuid(struct kvm_cpuid2 __user *arg);
long mv_set_cpuid2(struct mv_vcpu *vcpu, struct kvm_cpuid2 __user *arg);
long mv_get_cpuid2(struct mv_vcpu *vcpu, struct kvm_cpuid2 __user *arg);
u64 mv_efer_allowed(const u32 *features);
u64 mv_supported_xcr0(void);

int mv_msr_init(void);
int mv_get_msr(struct mv_vcpu *vcpu, u32 msr, u64 *val, bool host);
int mv_set_msr(struct mv_vcpu *vcpu, u32 msr, u64 val, bool host);
bool mv_wrmsr_is_fast(struct mv_vcpu *vcpu); /* see exit_is_fast() in vcpu.c */
void mv_msr_reset(struct mv_vcpu *vcpu);
long mv_get_msr_index_list(struct kvm_msr_list __user *arg, bool features);
long mv_get_feature_msrs(struct kvm_msrs __user *arg);

/* mce.c */
u64 mv_mce_supported(void); /* bits of IA32_MCG_CAP */
bool mv_mce_has_cmci(struct mv_vcpu *vcpu);

/* stats.c: a descriptor, of the vCPU's counters or, with @vcpu NULL, the VM's */
long mv_get_stats_fd(struct mv_vm *vm, struct mv_vcpu *vcpu);

/* ---- tsc.c --------------------------------------------------------------- */

u64 mv_guest_tsc(struct mv_vcpu *vcpu, u64 host_tsc); /* the guest's at that moment */
void mv_set_tsc_offset(struct mv_vcpu *vcpu, u64 offset);
void mv_set_tsc_from_host(struct mv_vcpu *vcpu, u64 val);
long mv_set_tsc_khz(struct mv_vcpu *vcpu, u32 khz);
long mv_vm_set_tsc_khz(struct mv_vm *vm, u32 khz);
void mv_tsc_reset(struct mv_vcpu *vcpu); /* at creation */

static inline u64 mv_read_tsc(struct mv_vcpu *vcpu) /* as the guest would read it now */
{
	return mv_guest_tsc(vcpu, rdtsc());
}

/* msrfilter.c */
DECLARE_STATIC_KEY_FALSE(mv_msr_filters);
bool mv_msr_denied(struct mv_vcpu *vcpu, u32 msr, u32 access); /* KVM_MSR_FILTER_* */
int mv_msr_refused(struct mv_vcpu *vcpu, u32 reason, bool write);
long mv_set_msr_filter(struct mv_vm *vm, const struct kvm_msr_filter __user *arg);
void mv_free_msr_filter(struct mv_vm *vm);

int mv_fpu_create(struct mv_vcpu *vcpu);
void mv_fpu_destroy(struct mv_vcpu *vcpu);
void mv_fpu_reset(struct mv_vcpu *vcpu, bool init);
void mv_fpu_load(struct mv_vcpu *vcpu); /* KVM_RUN: the guest's in, the thread's out */
void mv_fpu_put(struct mv_vcpu *vcpu);

/* ---- mmu/ ---------------------------------------------------------------- */

enum mv_fault_result {
	MV_FAULT_DONE = 1, /* mapped, or somebody else did: run again */
	MV_FAULT_MMIO = 2, /* no slot here, or a write to a read-only one */
};

int mv_mmu_init_vm(struct mv_vm *vm); /* root table, empty slots, notifier */
void mv_mmu_stop_vm(struct mv_vm *vm); /* last descriptor closed: the tables go */
void mv_mmu_free_vm(struct mv_vm *vm); /* last: the slots, and @vm when no notifier uses it */
int mv_set_memory_region(struct mv_vm *vm, const struct kvm_userspace_memory_region *r);
int mv_set_nr_mmu_pages(struct mv_vm *vm, unsigned long nr);
unsigned long mv_get_nr_mmu_pages(struct mv_vm *vm);
int mv_get_dirty_log(struct mv_vm *vm, const struct kvm_dirty_log *log);
int mv_clear_dirty_log(struct mv_vm *vm, const struct kvm_clear_dirty_log *log);

/* vcpu->cpu_log, where the processor has one: the backend says when it is full. */
#define MV_CPU_LOG_ENTRIES 512
int mv_cpu_log_create(struct mv_vcpu *vcpu);
void mv_cpu_log_full(struct mv_vcpu *vcpu);
#define MV_MAX_DIRTY_RING (65536 * sizeof(struct kvm_dirty_gfn))
long mv_enable_dirty_ring(struct mv_vm *vm, u64 size);
long mv_reset_dirty_rings(struct mv_vm *vm);
int mv_dirty_ring_create(struct mv_vcpu *vcpu);
void mv_dirty_ring_destroy(struct mv_vcpu *vcpu);
struct page *mv_dirty_ring_page(struct mv_vcpu *vcpu, pgoff_t pgoff);
bool mv_dirty_ring_full(struct mv_vcpu *vcpu); /* but for a reserve */
void mv_mmu_zap_page(struct mv_vm *vm, gfn_t gfn); /* take its leaf away */

/**
 * mv_mmu_fault() - map the page at @gpa for @access (MV_ACCESS_*)
 *
 * Context: in the VM's mm, preemptible, without vm->srcu held.
 * Return: enum mv_fault_result, or -EFAULT when the host has no page there,
 * -EINTR when a signal came while waiting for it, -ENOMEM.
 */
int mv_mmu_fault(struct mv_vcpu *vcpu, gpa_t gpa, u32 access);

/* A device: no slot was there at the last fault, and the slots are those of then. */
static inline bool mv_is_mmio(struct mv_vcpu *vcpu, gpa_t gpa)
{
	return gpa_to_gfn(gpa) == vcpu->mmio_gfn &&
	       READ_ONCE(vcpu->vm->mmu.invalidate_seq) == vcpu->mmio_seq;
}

/* Readers of slots hold vm->srcu. */
struct mv_slot *mv_slot_find(struct mv_vm *vm, gfn_t gfn);
hva_t mv_gfn_to_hva(struct mv_vm *vm, gfn_t gfn, bool write); /* 0: none */
void mv_mark_page_dirty(struct mv_vm *vm, struct mv_slot *slot, gfn_t gfn);

/* Guest-physical copies; take vm->srcu themselves; any length; -EFAULT if not all RAM. */
int mv_read_guest(struct mv_vm *vm, gpa_t gpa, void *buf, size_t len);
int mv_write_guest(struct mv_vm *vm, gpa_t gpa, const void *buf, size_t len);
/* Compare-and-exchange of 1, 2, 4, 8 naturally aligned bytes; 1: other value found (in @old). */
int mv_cmpxchg_guest(struct mv_vm *vm, gpa_t gpa, u64 *old, u64 new, size_t len);

struct mv_walk_fault {
	u8 vector; /* #PF, or #GP for a non-canonical address */
	u32 error;
};

/**
 * mv_walk() - translate linear address @la by the guest's own page tables
 * @access: MV_ACCESS_*; accessed and dirty bits are set as the processor does
 * @gpa: the result
 * @fault: on failure, what the guest gets; may be NULL
 * Return: 0, or -EFAULT. SDM vol. 3A, chapter 4.
 */
int mv_walk(struct mv_vcpu *vcpu, u64 la, u32 access, gpa_t *gpa, struct mv_walk_fault *fault);

#define MV_FETCH_NO_RAM 1

/**
 * mv_fetch() - read @len bytes at linear address @la, which lie in one page
 *
 * Return: 0, -EFAULT as mv_walk(), or MV_FETCH_NO_RAM: nothing to read from there.
 */
int mv_fetch(struct mv_vcpu *vcpu, u64 la, u32 access, void *buf, size_t len,
	     struct mv_walk_fault *fault);

/* ---- irq/ ---------------------------------------------------------------- */

/* Bits of vcpu->apic_events. */
#define MV_APIC_INIT 0
#define MV_APIC_SIPI 1

#define MV_IRQ_SOURCE_USER 0
#define MV_IRQ_SOURCE_PIT 1
#define MV_IRQ_SOURCE_IRQFD 2

int mv_irqchip_create(struct mv_vm *vm); /* vm->lock held; no vCPUs yet: else -EINVAL */
int mv_irqchip_split(struct mv_vm *vm, u64 nr_routes); /* KVM_CAP_SPLIT_IRQCHIP */
int mv_pit_create(struct mv_vm *vm, const struct kvm_pit_config *cfg);
void mv_irqchip_destroy(struct mv_vm *vm); /* before the vCPUs */
/* KVM_IRQ_LINE, KVM_SET_GSI_ROUTING, KVM_SIGNAL_MSI, KVM_GET/SET_IRQCHIP, KVM_GET/SET_PIT2... */
long mv_irq_vm_ioctl(struct mv_vm *vm, unsigned int nr, unsigned long arg);
int mv_set_irq(struct mv_vm *vm, u32 gsi, int level, int source); /* <0 masked, 0 coalesced, >0 */
void mv_irqfd_init_vm(struct mv_vm *vm);
void mv_irqfd_release_vm(struct mv_vm *vm); /* the VM's own descriptor is closed */

int mv_lapic_create(struct mv_vcpu *vcpu);
void mv_lapic_destroy(struct mv_vcpu *vcpu);
void mv_lapic_reset(struct mv_vcpu *vcpu, bool init);
int mv_lapic_get_state(struct mv_vcpu *vcpu, struct kvm_lapic_state *s);
int mv_lapic_set_state(struct mv_vcpu *vcpu, const struct kvm_lapic_state *s);
int mv_lapic_set_base(struct mv_vcpu *vcpu, u64 val, bool host); /* 1: #GP */
int mv_lapic_msr(struct mv_vcpu *vcpu, u32 msr, u64 *val, bool write); /* x2APIC; 1: #GP */
u64 mv_lapic_get_tsc_deadline(struct mv_vcpu *vcpu);
void mv_lapic_set_tsc_deadline(struct mv_vcpu *vcpu, u64 val);
void mv_lapic_update_cmci(struct mv_vcpu *vcpu); /* IA32_MCG_CAP changed */
void mv_lapic_set_cr8(struct mv_vcpu *vcpu, u64 val);
u64 mv_lapic_get_cr8(struct mv_vcpu *vcpu);
/* An access in the APIC page: true if @gpa is the enabled xAPIC's. As mv_bus_access(). */
bool mv_lapic_mmio(struct mv_vcpu *vcpu, gpa_t gpa, void *data, int len, bool write);
bool mv_lapic_mmio_hit(struct mv_vcpu *vcpu, gpa_t gpa);
void mv_lapic_set_version(struct mv_vcpu *vcpu); /* by its CPUID */
bool mv_lapic_takes_pic(struct mv_vcpu *vcpu);
void mv_lapic_written(struct mv_vcpu *vcpu, u32 reg); /* MV_EXIT_APIC_WRITE */
void mv_lapic_eoi(struct mv_vcpu *vcpu, u8 vector); /* it is over, say so to the IOAPIC */
void mv_lapic_tell_backend(struct mv_vcpu *vcpu); /* MV_REQ_APIC */
int mv_set_tpr_reporting(struct mv_vcpu *vcpu, void *buf);
int mv_set_vapic_addr(struct mv_vcpu *vcpu, void *buf);
void mv_exit_tpr_access(struct mv_vcpu *vcpu); /* MV_REQ_TPR_ACCESS */
void mv_vapic_to_guest(struct mv_vcpu *vcpu); /* with vcpu->vapic: before an entry */
void mv_vapic_from_guest(struct mv_vcpu *vcpu); /* and after an exit */
bool mv_apic_has_events(struct mv_vcpu *vcpu); /* INIT or SIPI waits */
int mv_apic_take_events(struct mv_vcpu *vcpu); /* in the run loop */
int mv_set_pv_eoi(struct mv_vcpu *vcpu, u32 msr, u64 val, bool host);
void mv_pv_eoi_sync(struct mv_vcpu *vcpu); /* in the vCPU's thread; sleeps */
void mv_apic_map_update(struct mv_vm *vm); /* a vCPU was added to vm->vcpus; sleeps */
/* Only with a local APIC: */
bool mv_irq_pending(struct mv_vcpu *vcpu); /* an interrupt could be taken, RFLAGS.IF apart */
bool mv_pic_pending(struct mv_vcpu *vcpu); /* one of the PIC could */
int mv_irq_take(struct mv_vcpu *vcpu); /* interrupt acknowledge: the vector, -1 none */
/* Before entry: what the backend has to know of requests; @blocked: of none. */
void mv_irq_tell_backend(struct mv_vcpu *vcpu, bool blocked);

/* ---- pv/ ----------------------------------------------------------------- */

int mv_hypercall(struct mv_vcpu *vcpu); /* returns as an exit handler */
int mv_hypercall_ud(struct mv_vcpu *vcpu); /* #UD: the other vendor's hypercall, perhaps */

int mv_write_versioned(struct mv_vm *vm, gpa_t gpa, void *data, size_t len, size_t offset);

/* steal.c */
int mv_set_steal_time(struct mv_vcpu *vcpu, u32 msr, u64 val, bool host);
void mv_steal_time_update(struct mv_vcpu *vcpu); /* before entry, for MV_REQ_STEAL_TIME */
void mv_steal_time_preempted(struct mv_vcpu *vcpu); /* by the scheduler, its lock held */
void mv_steal_time_loaded(struct mv_vcpu *vcpu); /* preemption is off */

/* clock.c */
#define MV_CLOCK_FLAGS (KVM_CLOCK_TSC_STABLE | KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC)
void mv_clock_init(void);
void mv_clock_exit(void);
void mv_clock_init_vm(struct mv_vm *vm);
void mv_clock_destroy_vm(struct mv_vm *vm); /* before its vCPUs go */
void mv_clock_restart_all(void); /* the host's clock is not what it was */
void mv_clock_check(struct mv_vm *vm); /* a vCPU was added; sleeps */
void mv_clock_tsc_changed(struct mv_vcpu *vcpu); /* its offset or rate; sleeps */
void mv_clock_update(struct mv_vcpu *vcpu); /* before entry, for MV_REQ_CLOCK */
int mv_set_pv_clock(struct mv_vcpu *vcpu, u32 msr, u64 val, bool host);
int mv_get_wall_clock(struct mv_vcpu *vcpu, u32 msr, u64 *val, bool host);
int mv_set_wall_clock(struct mv_vcpu *vcpu, u32 msr, u64 val, bool host);
long mv_kvmclock_ctrl(struct mv_vcpu *vcpu);
long mv_get_clock(struct mv_vm *vm, struct kvm_clock_data __user *arg);
long mv_set_clock(struct mv_vm *vm, const struct kvm_clock_data __user *arg);
s64 mv_clock_pairing(struct mv_vcpu *vcpu, gpa_t gpa, u64 type); /* 0, or -KVM_E... */

/* ---- io/bus.c: devices of the module on the PIO and the MMIO bus ---------- */

struct mv_io_device;

struct mv_io_ops {
	/*
	 * 0: done; -EOPNOTSUPP: not for this device, go on looking.  They do not sleep.
	 * @read may be missing; @data is all zero before it.
	 */
	int (*read)(struct mv_io_device *dev, struct mv_vcpu *vcpu, u64 addr, int len, void *data);
	int (*write)(struct mv_io_device *dev, struct mv_vcpu *vcpu, u64 addr, int len,
		     const void *data);
	/* Optional, with one range only: at the end of the VM. */
	void (*destroy)(struct mv_io_device *dev);
};

struct mv_io_device {
	const struct mv_io_ops *ops;
};

int mv_bus_register(struct mv_vm *vm, enum mv_bus_id bus, u64 addr, u64 len,
		    struct mv_io_device *dev); /* vm->slots_lock held */
void mv_bus_unregister(struct mv_vm *vm, enum mv_bus_id bus, struct mv_io_device *dev);
struct mv_io_device *mv_bus_find(struct mv_vm *vm, enum mv_bus_id bus,
				 bool (*match)(const struct mv_io_device *dev, const void *arg),
				 const void *arg);
/*
 * 0, or -EOPNOTSUPP: for userspace. @len 0: a write, for who takes one of any length. What is
 * read goes into @data, all zero before.
 */
int mv_bus_access(struct mv_vcpu *vcpu, enum mv_bus_id bus, u64 addr, int len, void *data,
		  bool write);
void mv_bus_destroy(struct mv_vm *vm);

/* ---- io/ioeventfd.c, io/coalesced.c ---------------------------------------- */

long mv_ioeventfd_ioctl(struct mv_vm *vm, const struct kvm_ioeventfd __user *arg);
long mv_coalesced_ioctl(struct mv_vm *vm, const struct kvm_coalesced_mmio_zone __user *arg,
			bool add);
struct kvm_coalesced_mmio_ring *mv_coalesced_ring(struct mv_vm *vm);

#endif /* MINIVIRT_H */
