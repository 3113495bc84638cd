/* SPDX-License-Identifier: GPL-2.0-only */
/* The SVM backend's own declarations; the VMCB's layout is the kernel's <asm/svm.h>. */
#ifndef MV_SVM_VMCB_H
#define MV_SVM_VMCB_H

#include <linux/mem_encrypt.h>
#include <asm/svm.h>

#include "base/backend.h"

/* Assembly and the processor rely on these. APM vol. 2, appendix B. */
static_assert(offsetof(struct mv_vcpu, gpr) == 0);
static_assert(offsetof(struct vmcb, control.exit_code) == 0x70);
static_assert(offsetof(struct vmcb, control.event_inj) == 0xa8);
static_assert(offsetof(struct vmcb, control.clean) == 0xc0);
static_assert(offsetof(struct vmcb, control.next_rip) == 0xc8);
static_assert(offsetof(struct vmcb, save) == 0x400);
static_assert(offsetof(struct vmcb, save.ldtr) == 0x470);
static_assert(offsetof(struct vmcb, save.cpl) == 0x4cb);
static_assert(offsetof(struct vmcb, save.rip) == 0x578);
static_assert(offsetof(struct vmcb, save.cr2) == 0x640);
static_assert(offsetof(struct vmcb, save.g_pat) == 0x668);

/* VMCB clean bits: parts that the processor may keep from the last VMRUN. APM vol. 2, 15.15.3. */
enum svm_clean {
	SVM_CLEAN_INTERCEPTS = BIT(0), /* and the TSC offset */
	SVM_CLEAN_PERM_MAP = BIT(1),
	SVM_CLEAN_ASID = BIT(2),
	SVM_CLEAN_INTR = BIT(3), /* int_ctl, int_vector */
	SVM_CLEAN_NPT = BIT(4), /* nested_cr3, g_pat */
	SVM_CLEAN_CR = BIT(5), /* CR0, CR3, CR4, EFER */
	SVM_CLEAN_DR = BIT(6),
	SVM_CLEAN_DT = BIT(7),
	SVM_CLEAN_SEG = BIT(8), /* CS, DS, SS, ES, CPL */
	SVM_CLEAN_CR2 = BIT(9),
	SVM_CLEAN_LBR = BIT(10), /* DEBUGCTL and the branch records */
	SVM_CLEAN_ALL = 0x7ff,
};

/* Bits of EXITINFO1 of a nested page fault. APM vol. 2, 15.25.6. */
#define SVM_NPF_WRITE BIT_ULL(1)
#define SVM_NPF_FETCH BIT_ULL(4)
#define SVM_NPF_IN_WALK BIT_ULL(33)

#define SVM_CR_INFO_MOV BIT_ULL(63) /* EXITINFO1: a MOV, its register in bits 3:0 */

/* One of each CPU. */
struct svm_cpu {
	void *hsave; /* where VMRUN keeps the host's state: the processor's own */
	struct vmcb *host; /* where VMSAVE keeps the rest of it */
	u64 host_pa;
	u64 asid_generation;
	u32 next_asid;
	u64 last_vcpu; /* svm_vcpu.id */
	u64 tsc_aux; /* the host's */
};

struct svm_vcpu {
	struct mv_vcpu vcpu;
	struct vmcb *vmcb;
	u64 vmcb_pa;
	struct svm_cpu *cpu; /* where it was loaded last */
	u64 asid_generation; /* 0: needs a new ASID */
	u64 id; /* never given to another vCPU */
	u64 *pml5; /* root of a five-level table, on a host with five levels */
	bool tsc_aux_loaded;
	u16 host_ldt, host_ds, host_es; /* what svm_put() is to bring back; 0: nothing */

	/*
	 * NMIs. The processor does not track their blocking, so IRET is
	 * intercepted after an injection. The intercept comes before the IRET:
	 * it has ended when RIP has changed.
	 */
	bool nmi_masked;
	bool nmi_in_iret; /* the IRET at @nmi_iret_rip has been seen to begin */
	u64 nmi_iret_rip;
	bool nmi_window; /* asked for */
	bool nmi_step; /* RFLAGS.TF is set for it in this entry */
	bool nmi_step_tf; /* what the guest has there */

	/* An INT n, INT3 or INTO in injection: where to resume if it is cut short. */
	bool soft_event;
	u64 soft_rip, soft_next_rip;
};

static inline struct svm_vcpu *to_svm(struct mv_vcpu *vcpu)
{
	return container_of(vcpu, struct svm_vcpu, vcpu);
}

/* The part of the VMCB in @bits (enum svm_clean) has been changed. */
static inline void svm_mark_dirty(struct svm_vcpu *svm, u32 bits)
{
	svm->vmcb->control.clean &= ~bits;
}

static inline void svm_intercept(struct svm_vcpu *svm, unsigned int bit, bool on)
{
	u32 *word = &svm->vmcb->control.intercepts[bit / 32];
	u32 val = on ? *word | BIT(bit % 32) : *word & ~BIT(bit % 32);

	if (val != *word) {
		*word = val;
		svm_mark_dirty(svm, SVM_CLEAN_INTERCEPTS);
	}
}

/* CR0 bits that guests see, but get only without a quirk: their memory is cached as the host's. */
#define SVM_CR0_HIDDEN ((u64)(X86_CR0_CD | X86_CR0_NW))

/* entry.S: clears GIF, enters, comes back with GIF set; 1 when VMRUN faulted. */
unsigned long svm_enter(u64 *gpr, u64 vmcb_pa, u64 host_pa);

/* svm.c */
void svm_update_tsc_aux(struct svm_vcpu *svm);

/* vmcb.c */
extern const u32 svm_passed_through[];
extern bool svm_forgets_shadow;
int svm_alloc_maps(void);
void svm_free_maps(void);
int svm_vcpu_init(struct mv_vcpu *vcpu);
void svm_vcpu_free(struct mv_vcpu *vcpu);
void svm_vcpu_reset(struct mv_vcpu *vcpu, bool init);
void svm_get_seg(struct mv_vcpu *vcpu, enum mv_seg seg, struct kvm_segment *s);
u32 svm_get_rights(struct mv_vcpu *vcpu, enum mv_seg seg, u64 *base, u32 *limit);
u32 svm_code_rights(struct mv_vcpu *vcpu);
void svm_set_seg(struct mv_vcpu *vcpu, enum mv_seg seg, const struct kvm_segment *s);
void svm_get_dt(struct mv_vcpu *vcpu, bool idt, struct kvm_dtable *dt);
void svm_set_dt(struct mv_vcpu *vcpu, bool idt, const struct kvm_dtable *dt);
void svm_set_cr0(struct mv_vcpu *vcpu, u64 val);
void svm_set_cr4(struct mv_vcpu *vcpu, u64 val);
void svm_set_efer(struct mv_vcpu *vcpu, u64 val);
int svm_get_msr(struct mv_vcpu *vcpu, u32 msr, u64 *val);
int svm_set_msr(struct mv_vcpu *vcpu, u32 msr, u64 val);
void svm_update_debug(struct mv_vcpu *vcpu);
void svm_update_tsc(struct mv_vcpu *vcpu);
void svm_cpuid_changed(struct mv_vcpu *vcpu);
void svm_update_msr_exits(struct mv_vcpu *vcpu);
void svm_cache_reg(struct mv_vcpu *vcpu, enum mv_lazy_reg reg);
void svm_dump(struct mv_vcpu *vcpu);

/* event.c */
void svm_inject(struct mv_vcpu *vcpu, enum mv_event_type type);
void svm_cancel_inject(struct mv_vcpu *vcpu);
bool svm_irq_allowed(struct mv_vcpu *vcpu);
bool svm_nmi_allowed(struct mv_vcpu *vcpu);
void svm_irq_window(struct mv_vcpu *vcpu, bool on);
void svm_nmi_window(struct mv_vcpu *vcpu, bool on);
u32 svm_get_int_shadow(struct mv_vcpu *vcpu);
void svm_set_int_shadow(struct mv_vcpu *vcpu, u32 shadow);
bool svm_nmi_masked(struct mv_vcpu *vcpu);
void svm_set_nmi_masked(struct mv_vcpu *vcpu, bool masked);
void svm_update_cr8_intercept(struct mv_vcpu *vcpu, int tpr);
void svm_requeue_event(struct svm_vcpu *svm);
void svm_iret(struct svm_vcpu *svm);
void svm_track_iret(struct svm_vcpu *svm);
void svm_begin_nmi_step(struct svm_vcpu *svm);
bool svm_end_nmi_step(struct svm_vcpu *svm);
bool svm_step_refused(struct svm_vcpu *svm);

/* exit.c */
void svm_decode_exit(struct svm_vcpu *svm);
void svm_finish_exit(struct mv_vcpu *vcpu, const struct mv_insn *insn);
unsigned int svm_skip_len(struct mv_vcpu *vcpu);

#endif /* MV_SVM_VMCB_H */
