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

#include "exit.h"

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

	/* pv/asyncpf.c's own */
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

/* ---- memory ----------------------------------------------------------- */

struct mv_slot {
	gfn_t base_gfn;
	u64 npages;
	hva_t hva;
	u32 flags; /* KVM_MEM_* */
	u16 id;
	unsigned long *dirty; /* one bit a page, with KVM_MEM_LOG_DIRTY_PAGES */
	struct interval_tree_node hva_range; /* in mmu.slots_by_hva */
	u64 serial; /* of its coming there: slots of one address are in this order */
};

/* The second-stage page tables of a VM; fields are mmu/'s own. */
struct mv_mmu {
	u64 root_hpa;
	struct page *root; /* NULL: stopped */
	rwlock_t lock;
	unsigned long invalidate_seq; /* of the host's invalidations and of slot changes, from 1 */
	long invalidate_in_progress;
	bool exec_splits; /* large leaves are not executable */
	bool maps_device; /* the guest may have MMIO of the host: set before that is mapped */
	bool all_know_device; /* no vCPU is in the guest that did not see that */
	hva_t invalidate_start, invalidate_end; /* the host addresses in work, if any are */
	u64 slot_serial; /* the last one */
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
	struct mutex irqfds_lock; /* irq/irqfd.c: the three lists */
	struct list_head irqfds, resampled_irqfds, untold_irqfds;
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

/* A 48- or 57-bit linear address, by the guest's CR4.LA57, made canonical. */
static inline u64 mv_make_canonical(struct mv_vcpu *vcpu, u64 la)
{
	int unused = mv_cr4_has(vcpu, X86_CR4_LA57) ? 64 - 57 : 64 - 48;

	return (s64)(la << unused) >> unused;
}

static inline bool mv_canonical(struct mv_vcpu *vcpu, u64 la)
{
	return la == mv_make_canonical(vcpu, la);
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

static __always_inline bool mv_take_request(struct mv_vcpu *vcpu, enum mv_request req)
{
	return test_bit(req, &vcpu->requests) && test_and_clear_bit(req, &vcpu->requests);
}

/*
 * What the kernel does next touches memory that is not this guest's, so secrets may be in the
 * L1 data cache. Where a guest could read them there (L1TF), the backend flushes it before
 * the next entry, unless the host has chosen always or never.
 */
static inline void mv_taint_l1d(struct mv_vcpu *vcpu)
{
	vcpu->l1d_tainted = true;
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

/* ---- main.c, vm.c, vcpu.c, run.c --------------------------------------- */

long mv_vm_create(unsigned long type); /* returns a descriptor */
int mv_vm_count(void);
void mv_vm_get(struct mv_vm *vm);
void mv_vm_put(struct mv_vm *vm);
int mv_check_extension(struct mv_vm *vm, long cap);
long mv_vcpu_create(struct mv_vm *vm, unsigned long id); /* returns a descriptor */
void mv_vcpu_destroy(struct mv_vcpu *vcpu);
void mv_vcpu_reset(struct mv_vcpu *vcpu, bool init);
long mv_vcpu_run(struct mv_vcpu *vcpu); /* KVM_RUN */
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
int mv_emulate_insn(struct mv_vcpu *vcpu); /* the one at RIP */
const struct mv_insn *mv_decode_insn(struct mv_vcpu *vcpu); /* likewise; NULL: not known */
int mv_internal_error(struct mv_vcpu *vcpu, u32 suberror);
int mv_task_switch(struct mv_vcpu *vcpu); /* task.c */
int mv_not_emulated(struct mv_vcpu *vcpu); /* #UD, or at CPL 0 an internal error */

int mv_emulate_string_io(struct mv_vcpu *vcpu); /* emulate.c: exit.io is INS or OUTS */
int mv_pio_to_user(struct mv_vcpu *vcpu, u16 port, u8 size, bool in, u32 count);
int mv_insn_done(struct mv_vcpu *vcpu); /* after RIP moved; returns as a handler */

/* What the files of the module call of each other, by subject */
#include "event.h"
#include "registers.h"
#include "memory.h"
#include "interrupts.h"
#include "pv.h"
#include "io.h"

#endif /* MINIVIRT_H */
