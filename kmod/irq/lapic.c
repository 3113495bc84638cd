// SPDX-License-Identifier: GPL-2.0-only
/*
 * The local APIC: SDM vol. 3A, chapter 11.
 */
#include <linux/slab.h>
#include <uapi/linux/kvm_para.h>

#include "backend.h"
#include "irq.h"

#define LAPIC_VERSION 0x14u
#define LAPIC_MAX_LVT 5 /* the highest entry, without CMCI */

/* What software can write. */
#define LVT_BITS (APIC_VECTOR_MASK | APIC_LVT_MASKED)
#define LINT_BITS (LVT_BITS | APIC_MODE_MASK | APIC_INPUT_POLARITY | APIC_LVT_LEVEL_TRIGGER)
#define SPIV_BITS 0x3ffu
#define TDCR_BITS 0xbu
#define XAPIC_ID_BITS GENMASK(31, 24) /* of ID, LDR, ICR2 */
#define X2APIC_ICR_RESERVED (GENMASK_ULL(31, 20) | GENMASK_ULL(17, 16) | BIT_ULL(13))
#define X2APIC_MSR 0x800

static const u32 lvts[] = { APIC_LVTT, APIC_LVTTHMR, APIC_LVTPC, APIC_LVT0,
			    APIC_LVT1, APIC_LVTERR,  APIC_LVTCMCI };

/* The last one is there only if the guest's machine checks can use it. */
static int nr_lvts(struct mv_lapic *lapic)
{
	return ARRAY_SIZE(lvts) - !mv_mce_has_cmci(lapic->vcpu);
}

/* ---- errors --------------------------------------------------------------- */

/* SDM vol. 3A, 11.5.3: collected until the next write to the ESR. */
static void raise_error(struct mv_lapic *lapic, u32 error, struct mv_vcpu *self)
{
	if (!test_and_set_bit(__ffs(error), &lapic->esr))
		mv_lapic_local(lapic, APIC_LVTERR, self);
}

/* ---- accepting ------------------------------------------------------------ */

static void set_irr(struct mv_lapic *lapic, u8 vector, bool level, struct mv_vcpu *self)
{
	struct mv_vcpu *vcpu = lapic->vcpu;
	unsigned long *tmr = lapic_row(lapic, APIC_TMR, vector);
	int bit = vector & 31, row = vector >> 5;

	if (test_bit(bit, tmr) != level) {
		if (level)
			set_bit(bit, tmr);
		else
			clear_bit(bit, tmr);
	}
	if (vcpu == self && test_bit(bit, lapic_row(lapic, APIC_IRR, vector)))
		return;
	/* Whoever set it first has woken the vCPU, or is about to. */
	if (test_and_set_bit(vector, lapic->pir))
		return;
	if (!test_bit(row, &lapic->pir_rows))
		set_bit(row, &lapic->pir_rows);

	mv_request(vcpu, MV_REQ_EVENT);
	if (vcpu != self)
		mv_vcpu_kick(vcpu);
}

int mv_lapic_accept(struct mv_vcpu *vcpu, const struct mv_apic_irq *irq, struct mv_vcpu *self)
{
	struct mv_lapic *lapic = vcpu->lapic;

	switch (irq->mode) {
	case APIC_DM_FIXED:
	case APIC_DM_LOWEST:
		if (!lapic_enabled(lapic))
			return 0;
		if (irq->vector < 16) {
			raise_error(lapic, APIC_ESR_RECVILL, self);
			return 0;
		}
		set_irr(lapic, irq->vector, irq->level, self);
		return 1;

	case APIC_DM_NMI:
		mv_inject_nmi(vcpu);
		return 1;

	case APIC_DM_INIT:
		if (irq->deassert)
			return 0;
		/* INIT makes a SIPI that came before it void. */
		WRITE_ONCE(vcpu->apic_events, BIT(MV_APIC_INIT));
		break;

	case APIC_DM_STARTUP:
		WRITE_ONCE(vcpu->sipi_vector, irq->vector);
		/* Pairs with the barrier in mv_apic_take_events(). */
		smp_wmb();
		set_bit(MV_APIC_SIPI, &vcpu->apic_events);
		break;

	default:
		/* SMI: there is no SMM.  ExtINT: asked for when an interrupt is taken. */
		return 0;
	}

	mv_request(vcpu, MV_REQ_EVENT);
	mv_vcpu_kick(vcpu);
	return 1;
}

/* An interrupt of the APIC itself, by the LVT entry @lvt; from any context. */
void mv_lapic_local(struct mv_lapic *lapic, u32 lvt, struct mv_vcpu *self)
{
	u32 entry = lapic_reg(lapic, lvt);
	struct mv_apic_irq irq = {
		.mode = entry & APIC_MODE_MASK,
		.vector = entry & APIC_VECTOR_MASK,
		.level = entry & APIC_LVT_LEVEL_TRIGGER,
	};

	if (lapic_hw_enabled(lapic) && !(entry & APIC_LVT_MASKED))
		mv_lapic_accept(lapic->vcpu, &irq, self);
}

bool mv_lapic_takes_pic(struct mv_vcpu *vcpu)
{
	u32 lvt0;

	if (!vcpu->lapic)
		return false;
	if (!lapic_hw_enabled(vcpu->lapic))
		return true;
	lvt0 = lapic_reg(vcpu->lapic, APIC_LVT0);
	return (lvt0 & (APIC_LVT_MASKED | APIC_MODE_MASK)) == APIC_DM_EXTINT;
}

/* ---- INIT and SIPI -------------------------------------------------------- */

bool mv_apic_has_events(struct mv_vcpu *vcpu)
{
	return READ_ONCE(vcpu->apic_events);
}

int mv_apic_take_events(struct mv_vcpu *vcpu)
{
	struct kvm_segment cs;
	u8 vector;

	if (test_and_clear_bit(MV_APIC_INIT, &vcpu->apic_events)) {
		mv_vcpu_reset(vcpu, true);
		vcpu->mp_state = mv_is_bsp(vcpu) ? KVM_MP_STATE_RUNNABLE :
						   KVM_MP_STATE_INIT_RECEIVED;
	}
	if (test_and_clear_bit(MV_APIC_SIPI, &vcpu->apic_events) &&
	    vcpu->mp_state == KVM_MP_STATE_INIT_RECEIVED) {
		/* Pairs with the barrier before the bit was set. */
		smp_rmb();
		vector = READ_ONCE(vcpu->sipi_vector);
		mv_backend->get_seg(vcpu, MV_CS, &cs);
		cs.selector = vector << 8;
		cs.base = vector << 12;
		mv_backend->set_seg(vcpu, MV_CS, &cs);
		mv_write_rip(vcpu, 0);
		vcpu->mp_state = KVM_MP_STATE_RUNNABLE;
	}
	return 0;
}

/* ---- priority ------------------------------------------------------------- */

/*
 * The IRR is the vCPU thread's and, in the guest, the processor's, which does
 * not expect others to write there (SDM vol. 3C, 25.11.4): what they request
 * comes in here.  Who sets a bit of pir sets the row's after it.
 */
static void take_pir(struct mv_lapic *lapic)
{
	unsigned long rows;
	u32 bits;
	int row;

	if (!READ_ONCE(lapic->pir_rows))
		return;
	rows = xchg(&lapic->pir_rows, 0);
	for_each_set_bit(row, &rows, 8) {
		bits = xchg((u32 *)lapic->pir + row, 0);
		if (!bits)
			continue;
		*lapic_regp(lapic, APIC_IRR + row * 0x10) |= bits;
		__set_bit(row, &lapic->irr_rows);
	}
	lapic->irr_changed = true;
}

/* Of the 256-bit register @reg, of which no more than @rows are not zero. */
static int highest(struct mv_lapic *lapic, u32 reg, unsigned long rows)
{
	u32 bits;
	int row;

	/* The processor does not keep count. */
	for (rows = mv_apicv ? 0xff : rows; rows; __clear_bit(row, &rows)) {
		row = __fls(rows);
		bits = lapic_reg(lapic, reg + row * 0x10);
		if (bits)
			return row * 32 + __fls(bits);
	}
	return -1;
}

int mv_lapic_highest_irr(struct mv_lapic *lapic)
{
	take_pir(lapic);
	return highest(lapic, APIC_IRR, lapic->irr_rows);
}

int mv_lapic_highest_isr(struct mv_lapic *lapic)
{
	return highest(lapic, APIC_ISR, lapic->isr_rows);
}

static void clear_vector(struct mv_lapic *lapic, u32 reg, unsigned long *rows, u8 vector)
{
	__clear_bit(vector & 31, lapic_row(lapic, reg, vector));
	if (!lapic_reg(lapic, reg + (vector >> 5) * 0x10))
		__clear_bit(vector >> 5, rows);
}

/* SDM vol. 3A, 11.8.3.1 */
static u32 processor_priority(struct mv_lapic *lapic)
{
	u32 tpr = lapic_reg(lapic, APIC_TASKPRI);
	int isr = max(mv_lapic_highest_isr(lapic), 0);

	return tpr >> 4 >= isr >> 4 ? tpr : isr & 0xf0;
}

/* The highest request if it may interrupt now; else -1. */
static int deliverable(struct mv_lapic *lapic)
{
	int irr;

	irr = mv_lapic_highest_irr(lapic);
	if (irr < 0 || !lapic_hw_enabled(lapic))
		return -1;
	return irr >> 4 > (int)processor_priority(lapic) >> 4 ? irr : -1;
}

static gpa_t pv_eoi_gpa(struct mv_vcpu *vcpu)
{
	return vcpu->msr.pv_eoi & ~(u64)KVM_MSR_ENABLED;
}

/* The PIC, which may be userspace's, asks for an interrupt. */
bool mv_pic_pending(struct mv_vcpu *vcpu)
{
	struct mv_irqchip *chips = mv_chips(vcpu->vm);
	bool output = chips ? READ_ONCE(chips->pic.output) : vcpu->user_irq >= 0;

	return output && mv_lapic_takes_pic(vcpu);
}

bool mv_irq_pending(struct mv_vcpu *vcpu)
{
	if (unlikely(vcpu->pv.eoi_offered) && mv_lapic_highest_irr(vcpu->lapic) >= 0)
		mv_pv_eoi_sync(vcpu);
	return deliverable(vcpu->lapic) >= 0 || mv_pic_pending(vcpu);
}

/*
 * If no interrupt waits for the end of this one, and no device, then the guest
 * may end it by clearing a byte in memory. One that comes meanwhile takes the
 * offer back: who makes a request has MV_REQ_EVENT seen before the next entry.
 */
static void offer_pv_eoi(struct mv_lapic *lapic, int vector)
{
	static const u8 offered = KVM_PV_EOI_ENABLED;
	struct mv_vcpu *vcpu = lapic->vcpu;

	if (mv_lapic_highest_irr(lapic) >= 0 || test_bit(vector, vcpu->vm->eoi_vectors))
		return;
	vcpu->pv.eoi_offered = !mv_write_guest(vcpu->vm, pv_eoi_gpa(vcpu), &offered, 1);
}

int mv_irq_take(struct mv_vcpu *vcpu)
{
	struct mv_lapic *lapic = vcpu->lapic;
	int vector;

	if (mv_pic_pending(vcpu))
		return mv_chips(vcpu->vm) ? mv_pic_take(vcpu->vm) : mv_take_user_irq(vcpu);
	if (mv_apicv)
		return -1;

	vector = deliverable(lapic);
	if (vector >= 0) {
		clear_vector(lapic, APIC_IRR, &lapic->irr_rows, vector);
		__set_bit(vector & 31, lapic_row(lapic, APIC_ISR, vector));
		__set_bit(vector >> 5, &lapic->isr_rows);
		if (unlikely(vcpu->msr.pv_eoi & KVM_MSR_ENABLED))
			offer_pv_eoi(lapic, vector);
	}
	return vector;
}

/* The class that TPR holds back: when CR8 falls below it, it is time to look again. */
static int tpr_below(struct mv_lapic *lapic)
{
	int irr = mv_lapic_highest_irr(lapic);

	return irr >= 0 && irr >> 4 <= lapic_reg(lapic, APIC_TASKPRI) >> 4 ? irr >> 4 : -1;
}

void mv_irq_tell_backend(struct mv_vcpu *vcpu, bool blocked)
{
	struct mv_lapic *lapic = vcpu->lapic;

	if (!mv_apicv) {
		if (mv_backend->update_cr8_intercept)
			mv_backend->update_cr8_intercept(vcpu, blocked ? -1 : tpr_below(lapic));
		return;
	}
	take_pir(lapic);
	if (lapic->irr_changed || blocked) {
		blocked |= !lapic_hw_enabled(lapic);
		mv_call(set_rvi)(vcpu, blocked ? 0 : max(mv_lapic_highest_irr(lapic), 0));
		lapic->irr_changed = blocked;
	}
}

/* The backend does not know the mode, what is in service, or whose EOI matters. */
static void apic_changed(struct mv_lapic *lapic)
{
	if (mv_apicv)
		mv_request(lapic->vcpu, MV_REQ_APIC);
}

void mv_lapic_tell_backend(struct mv_vcpu *vcpu)
{
	int isr = mv_lapic_highest_isr(vcpu->lapic);

	mv_backend->update_apic(vcpu, max(isr, 0), vcpu->vm->eoi_vectors);
	vcpu->lapic->irr_changed = true;
	mv_request(vcpu, MV_REQ_EVENT);
}

/* The priority fell: look again before entry.  The processor does so by itself. */
static void recheck(struct mv_lapic *lapic)
{
	if (!mv_apicv && (lapic->irr_rows || READ_ONCE(lapic->pir_rows)))
		mv_request(lapic->vcpu, MV_REQ_EVENT);
}

void mv_lapic_set_tpr(struct mv_lapic *lapic, u32 tpr)
{
	lapic_set_reg(lapic, APIC_TASKPRI, tpr);
	recheck(lapic);
}

void mv_lapic_set_cr8(struct mv_vcpu *vcpu, u64 val)
{
	mv_lapic_set_tpr(vcpu->lapic, (val & 0xf) << 4);
}

u64 mv_lapic_get_cr8(struct mv_vcpu *vcpu)
{
	return lapic_reg(vcpu->lapic, APIC_TASKPRI) >> 4;
}

/* To the IOAPIC; userspace's is told of level-triggered interrupts only. */
static void broadcast_eoi(struct mv_lapic *lapic, u8 vector)
{
	bool level = test_bit(vector & 31, lapic_row(lapic, APIC_TMR, vector));
	struct mv_vcpu *vcpu = lapic->vcpu;

	if (mv_chips(vcpu->vm)) {
		mv_ioapic_eoi(lapic, vector, level);
	} else if (level) {
		vcpu->eoi_vector = vector;
		mv_request(vcpu, MV_REQ_IOAPIC_EOI);
	}
}

void mv_lapic_eoi(struct mv_vcpu *vcpu, u8 vector)
{
	if (test_bit(vector, vcpu->vm->eoi_vectors))
		broadcast_eoi(vcpu->lapic, vector);
}

void mv_set_eoi_vectors(struct mv_vm *vm, const unsigned long *vectors)
{
	struct mv_vcpu *vcpu;
	int i;

	lockdep_assert_held(&vm->irq_lock);
	if (bitmap_equal(vectors, vm->eoi_vectors, 256))
		return;
	for (i = 0; i < ARRAY_SIZE(vm->eoi_vectors); i++)
		WRITE_ONCE(vm->eoi_vectors[i], vectors[i]);
	if (!mv_apicv)
		return;
	mv_for_each_vcpu(i, vcpu, vm) {
		mv_request(vcpu, MV_REQ_APIC);
		mv_vcpu_kick(vcpu);
	}
}

static void end_of_interrupt(struct mv_lapic *lapic)
{
	int vector;

	/* Of two, the first was this way. */
	mv_pv_eoi_sync(lapic->vcpu);
	vector = mv_lapic_highest_isr(lapic);
	if (vector < 0)
		return;
	clear_vector(lapic, APIC_ISR, &lapic->isr_rows, vector);
	apic_changed(lapic);
	mv_lapic_eoi(lapic->vcpu, vector);
	recheck(lapic);
}

/* ---- the EOI without an exit: Documentation/hypercalls.md ------------------- */

int mv_set_pv_eoi(struct mv_vcpu *vcpu, u32 msr, u64 val, bool host)
{
	gpa_t gpa = val & ~(u64)KVM_MSR_ENABLED;
	u8 unused;

	if (gpa & 3 || (val & KVM_MSR_ENABLED && mv_read_guest(vcpu->vm, gpa, &unused, 1)))
		return 1;
	mv_pv_eoi_sync(vcpu);
	vcpu->msr.pv_eoi = val;
	return 0;
}

/* Whatever looks at the ISR has to know whether the guest has taken the offer. */
void mv_pv_eoi_sync(struct mv_vcpu *vcpu)
{
	static const u8 withdrawn;
	u8 byte;

	if (likely(!vcpu->pv.eoi_offered))
		return;
	vcpu->pv.eoi_offered = false;
	if (mv_read_guest(vcpu->vm, pv_eoi_gpa(vcpu), &byte, 1))
		return;
	if (byte & KVM_PV_EOI_ENABLED)
		mv_write_guest(vcpu->vm, pv_eoi_gpa(vcpu), &withdrawn, 1);
	else
		end_of_interrupt(vcpu->lapic);
}

/* ---- sending -------------------------------------------------------------- */

static void send_ipi(struct mv_lapic *lapic, u32 icr, u32 dest)
{
	struct mv_vcpu *vcpu = lapic->vcpu;
	struct mv_apic_irq irq = {
		.dest = dest,
		.mode = icr & APIC_MODE_MASK,
		.shorthand = icr & APIC_DEST_ALLBUT,
		.vector = icr & APIC_VECTOR_MASK,
		.logical = icr & APIC_DEST_LOGICAL,
		.deassert = (icr & (APIC_INT_LEVELTRIG | APIC_INT_ASSERT)) == APIC_INT_LEVELTRIG,
	};

	if (irq.vector < 16 && (irq.mode == APIC_DM_FIXED || irq.mode == APIC_DM_LOWEST))
		raise_error(lapic, APIC_ESR_SENDILL, vcpu);
	else if (irq.shorthand == APIC_DEST_SELF)
		mv_lapic_accept(vcpu, &irq, vcpu);
	else
		mv_apic_deliver(vcpu->vm, &irq, vcpu);
}

/* ---- registers ------------------------------------------------------------ */

/* What the map is made of changed; a vCPU in creation is not in it yet. */
static void map_changed(struct mv_lapic *lapic)
{
	struct mv_vcpu *vcpu = lapic->vcpu;

	if (xa_load(&vcpu->vm->vcpus, vcpu->idx) == vcpu)
		mv_apic_map_update(vcpu->vm);
}

static void set_lvt0(struct mv_lapic *lapic, u32 val)
{
	const u32 bits = APIC_MODE_MASK | APIC_LVT_MASKED;
	struct mv_irqchip *chips = mv_chips(lapic->vcpu->vm);
	bool nmi = (val & bits) == APIC_DM_NMI;

	lapic_set_reg(lapic, APIC_LVT0, val);
	if (chips)
		atomic_add(nmi - lapic->lint0_nmi, &chips->lint0_nmi);
	lapic->lint0_nmi = nmi;
	/* The output of the PIC may be seen from now on. */
	mv_request(lapic->vcpu, MV_REQ_EVENT);
}

static void set_lvtt(struct mv_lapic *lapic, u32 val)
{
	u32 old = lapic_timer_mode(lapic);

	lapic_set_reg(lapic, APIC_LVTT, val);
	mv_apic_timer_sync(lapic);
	/* SDM vol. 3A, 11.5.4.1: to and from TSC-deadline mode disarms. */
	if ((old ^ lapic_timer_mode(lapic)) & APIC_LVT_TIMER_TSCDEADLINE) {
		lapic_set_reg(lapic, APIC_TMICT, 0);
		mv_apic_timer_stop(lapic);
	}
}

static void set_spiv(struct mv_lapic *lapic, u32 val)
{
	bool on = val & APIC_SPIV_APIC_ENABLED;
	int i;

	lapic_set_reg(lapic, APIC_SPIV, val);
	for (i = 0; !on && i < nr_lvts(lapic); i++) {
		u32 masked = lapic_reg(lapic, lvts[i]) | APIC_LVT_MASKED;

		if (lvts[i] == APIC_LVT0)
			set_lvt0(lapic, masked);
		else
			lapic_set_reg(lapic, lvts[i], masked);
	}
	if (on != lapic->sw_enabled)
		map_changed(lapic);
	lapic->sw_enabled = on;
}

/* SDM vol. 3A, 11.12.10.2 */
static u32 x2apic_ldr(u32 id)
{
	return id >> 4 << 16 | BIT(id & 0xf);
}

/* A register of 32 bits; 1: there is none to be written in this mode. */
static int write_reg(struct mv_lapic *lapic, u32 reg, u32 val)
{
	bool x2apic = lapic_x2apic(lapic);
	u32 mask;

	switch (reg) {
	case APIC_EOI:
		end_of_interrupt(lapic);
		return 0;
	case APIC_TASKPRI:
		if (unlikely(lapic->report_tpr))
			mv_report_tpr(lapic, true);
		mv_lapic_set_tpr(lapic, val & 0xff);
		return 0;
	case APIC_ICR:
		val &= ~APIC_ICR_BUSY;
		lapic_set_reg(lapic, reg, val);
		send_ipi(lapic, val, GET_XAPIC_DEST_FIELD(lapic_reg(lapic, APIC_ICR2)));
		return 0;
	case APIC_TMICT:
		if (lapic_timer_mode(lapic) == APIC_LVT_TIMER_TSCDEADLINE) {
			lapic_set_reg(lapic, reg, 0);
			return 0;
		}
		lapic_set_reg(lapic, reg, val);
		mv_apic_timer_start(lapic, val);
		return 0;
	case APIC_TDCR:
		mv_apic_timer_set_divider(lapic, val & TDCR_BITS);
		return 0;
	case APIC_SPIV:
		mask = SPIV_BITS;
		if (lapic_reg(lapic, APIC_LVR) & APIC_LVR_DIRECTED_EOI)
			mask |= APIC_SPIV_DIRECTED_EOI;
		set_spiv(lapic, val & mask);
		return 0;
	case APIC_ESR:
		if (x2apic && val)
			return 1;
		lapic_set_reg(lapic, reg, xchg(&lapic->esr, 0));
		return 0;

	case APIC_LVTT:
		mask = LVT_BITS | APIC_LVT_TIMER_PERIODIC;
		if (mv_guest_has(lapic->vcpu, X86_FEATURE_TSC_DEADLINE_TIMER))
			mask |= APIC_LVT_TIMER_TSCDEADLINE;
		break;
	case APIC_LVTCMCI:
		if (!mv_mce_has_cmci(lapic->vcpu))
			return 1;
		fallthrough;
	case APIC_LVTTHMR:
	case APIC_LVTPC:
		mask = LVT_BITS | APIC_MODE_MASK;
		break;
	case APIC_LVT0:
	case APIC_LVT1:
		mask = LINT_BITS;
		break;
	case APIC_LVTERR:
		mask = LVT_BITS;
		break;

	case APIC_SELF_IPI:
		if (!x2apic || val & ~APIC_VECTOR_MASK)
			return 1;
		send_ipi(lapic, APIC_DEST_SELF | val, 0);
		return 0;

	case APIC_ID:
	case APIC_LDR:
	case APIC_DFR:
		if (x2apic)
			return 1;
		lapic_set_reg(lapic, reg, reg == APIC_DFR ? val | APIC_DFR_CLUSTER :
							    val & XAPIC_ID_BITS);
		map_changed(lapic);
		return 0;
	case APIC_ICR2:
		if (x2apic)
			return 1;
		lapic_set_reg(lapic, reg, val & XAPIC_ID_BITS);
		return 0;
	default:
		return 1;
	}

	/* An LVT entry. */
	val &= mask;
	if (!(lapic_reg(lapic, APIC_SPIV) & APIC_SPIV_APIC_ENABLED))
		val |= APIC_LVT_MASKED;
	if (reg == APIC_LVT0)
		set_lvt0(lapic, val);
	else if (reg == APIC_LVTT)
		set_lvtt(lapic, val);
	else
		lapic_set_reg(lapic, reg, val);
	return 0;
}

#define REG_BIT(reg) BIT_ULL((reg) >> 4)
#define REG_BITS(first, last) GENMASK_ULL((last) >> 4, (first) >> 4)

static int read_reg(struct mv_lapic *lapic, u32 reg, u32 *val)
{
	const u64 both = REG_BITS(APIC_ID, APIC_LVR) | REG_BIT(APIC_TASKPRI) |
			 REG_BIT(APIC_PROCPRI) | REG_BIT(APIC_LDR) |
			 REG_BITS(APIC_SPIV, APIC_ESR) | REG_BIT(APIC_ICR) |
			 REG_BITS(APIC_LVTT, APIC_TMCCT) | REG_BIT(APIC_TDCR);
	const u64 xapic = REG_BIT(APIC_ARBPRI) | REG_BIT(APIC_DFR) | REG_BIT(APIC_ICR2);

	if (!((lapic_x2apic(lapic) ? both : both | xapic) & REG_BIT(reg)) &&
	    !(reg == APIC_LVTCMCI && mv_mce_has_cmci(lapic->vcpu)))
		return 1;

	if (unlikely(lapic->report_tpr) && reg == APIC_TASKPRI)
		mv_report_tpr(lapic, false);
	mv_pv_eoi_sync(lapic->vcpu);
	if (reg == APIC_PROCPRI)
		*val = processor_priority(lapic);
	else if (reg == APIC_TMCCT)
		*val = mv_apic_timer_count(lapic);
	else
		*val = lapic_reg(lapic, reg);
	return 0;
}

int mv_lapic_msr(struct mv_vcpu *vcpu, u32 msr, u64 *val, bool write)
{
	struct mv_lapic *lapic = vcpu->lapic;
	u32 reg = (msr - X2APIC_MSR) << 4, low;

	if (!lapic || !lapic_x2apic(lapic) || reg > APIC_SELF_IPI)
		return 1;

	if (reg == APIC_ICR) {
		u64 *icr = (u64 *)(lapic->regs + APIC_ICR);

		if (!write) {
			*val = *icr;
			return 0;
		}
		if (*val & X2APIC_ICR_RESERVED)
			return 1;
		*icr = *val & ~(u64)APIC_ICR_BUSY;
		send_ipi(lapic, *val, *val >> 32);
		return 0;
	}

	if (write) {
		if (*val >> 32 || (reg == APIC_EOI && *val))
			return 1;
		return write_reg(lapic, reg, *val);
	}
	if (read_reg(lapic, reg, &low))
		return 1;
	*val = low;
	return 0;
}

/* The processor has let the guest write the register at @reg: act upon it. */
void mv_lapic_written(struct mv_vcpu *vcpu, u32 reg)
{
	write_reg(vcpu->lapic, reg, lapic_reg(vcpu->lapic, reg));
}

bool mv_lapic_mmio_hit(struct mv_vcpu *vcpu, gpa_t gpa)
{
	return vcpu->lapic && (gpa & PAGE_MASK) == (vcpu->apic_base & PAGE_MASK);
}

bool mv_lapic_mmio(struct mv_vcpu *vcpu, gpa_t gpa, void *data, int len, bool write)
{
	struct mv_lapic *lapic = vcpu->lapic;
	u32 offset = gpa & ~PAGE_MASK, val;
	int err = 0;

	if (!mv_lapic_mmio_hit(vcpu, gpa))
		return false;

	/* By a quirk nothing else is behind the page. */
	if (!lapic_hw_enabled(lapic) || lapic_x2apic(lapic)) {
		if (!mv_has_quirk(vcpu->vm, KVM_X86_QUIRK_LAPIC_MMIO_HOLE))
			return false;
		if (!write)
			memset(data, 0xff, len);
		return true;
	}

	/* SDM vol. 3A, 11.4.1: aligned accesses of 32 bits; a part can be read. */
	if (write) {
		if (len != 4 || offset & 0xf)
			return true;
		memcpy(&val, data, 4);
		/* Writes to registers that are read-only go unnoticed. */
		err = offset > APIC_SELF_IPI ||
		      (write_reg(lapic, offset, val) && read_reg(lapic, offset, &val));
	} else {
		if ((offset & 0xf) + len > 4)
			return true;
		err = offset > APIC_SELF_IPI + 3 || read_reg(lapic, offset & ~0xf, &val);
		if (!err)
			memcpy(data, (u8 *)&val + (offset & 0xf), len);
	}
	if (err)
		raise_error(lapic, APIC_ESR_ILLREGA, vcpu);
	return true;
}

/* ---- modes, reset, state -------------------------------------------------- */

static void set_mode(struct mv_vcpu *vcpu, u64 base)
{
	struct mv_lapic *lapic = vcpu->lapic;
	u64 changed = vcpu->apic_base ^ base;

	WRITE_ONCE(vcpu->apic_base, base);
	if (changed & XAPIC_ENABLE)
		mv_cpuid_runtime_update(vcpu);
	if (!lapic)
		return;

	if (changed & base & XAPIC_ENABLE)
		lapic_set_reg(lapic, APIC_ID, vcpu->id << 24);
	if (changed & base & X2APIC_ENABLE) {
		lapic_set_reg(lapic, APIC_ID, vcpu->id);
		lapic_set_reg(lapic, APIC_LDR, x2apic_ldr(vcpu->id));
	}
	if (changed) {
		apic_changed(lapic);
		map_changed(lapic);
		recheck(lapic); /* enabled with requests in the IRR */
	}
}

/* SDM vol. 3A, 11.12.5: the legal transitions. */
int mv_lapic_set_base(struct mv_vcpu *vcpu, u64 val, bool host)
{
	const u64 modes = XAPIC_ENABLE | X2APIC_ENABLE;
	u64 was = vcpu->apic_base & modes, is = val & modes;
	u64 valid = MSR_IA32_APICBASE_BSP | modes | GENMASK_ULL(vcpu->maxphyaddr - 1, PAGE_SHIFT);

	if (val & ~valid || is == X2APIC_ENABLE)
		return 1;
	if (is == modes && !mv_guest_has(vcpu, X86_FEATURE_X2APIC))
		return 1;
	if (!host && ((was == modes && is == XAPIC_ENABLE) || (!was && is == modes)))
		return 1;

	set_mode(vcpu, val);
	return 0;
}

void mv_lapic_set_version(struct mv_vcpu *vcpu)
{
	u32 version = LAPIC_VERSION | (LAPIC_MAX_LVT + mv_mce_has_cmci(vcpu)) << 16;

	/* Of use only with an IOAPIC that has an EOI register: userspace's may. */
	if (vcpu->vm->split_irqchip && mv_guest_has(vcpu, X86_FEATURE_X2APIC))
		version |= APIC_LVR_DIRECTED_EOI;
	lapic_set_reg(vcpu->lapic, APIC_LVR, version);
}

void mv_lapic_update_cmci(struct mv_vcpu *vcpu)
{
	mv_lapic_set_version(vcpu);
	lapic_set_reg(vcpu->lapic, APIC_LVTCMCI, mv_mce_has_cmci(vcpu) ? APIC_LVT_MASKED : 0);
}

void mv_lapic_reset(struct mv_vcpu *vcpu, bool init)
{
	struct mv_lapic *lapic = vcpu->lapic;
	u32 id, ldr;
	int i;

	if (!init)
		set_mode(vcpu, APIC_DEFAULT_PHYS_BASE | XAPIC_ENABLE |
				       (mv_is_bsp(vcpu) ? MSR_IA32_APICBASE_BSP : 0));
	if (!lapic)
		return;

	/* INIT keeps the mode and the ID: SDM vol. 3A, 11.4.7.3, 11.12.5.1. */
	id = init ? lapic_reg(lapic, APIC_ID) : vcpu->id << 24;
	ldr = lapic_x2apic(lapic) ? x2apic_ldr(vcpu->id) : 0;

	mv_apic_timer_stop(lapic);
	set_lvt0(lapic, APIC_LVT_MASKED);
	memset(lapic->regs, 0, PAGE_SIZE);
	bitmap_zero(lapic->pir, 256);
	lapic->irr_rows = 0;
	lapic->isr_rows = 0;
	lapic->esr = 0;
	lapic->sw_enabled = false;

	lapic_set_reg(lapic, APIC_ID, id);
	lapic_set_reg(lapic, APIC_LDR, ldr);
	lapic_set_reg(lapic, APIC_DFR, APIC_DFR_FLAT);
	lapic_set_reg(lapic, APIC_SPIV, 0xff);
	mv_lapic_set_version(vcpu);
	for (i = 0; i < nr_lvts(lapic); i++)
		lapic_set_reg(lapic, lvts[i], APIC_LVT_MASKED);
	/* The firmware that would wire the PIC to the boot processor may be missing. */
	if (mv_is_bsp(vcpu) && mv_has_quirk(vcpu->vm, KVM_X86_QUIRK_LINT0_REENABLED))
		set_lvt0(lapic, APIC_DM_EXTINT);
	mv_apic_timer_sync(lapic);
	apic_changed(lapic);
	map_changed(lapic);
}

static u32 *state_reg(const struct kvm_lapic_state *s, u32 reg)
{
	BUILD_BUG_ON(sizeof(s->regs) != APIC_SELF_IPI + 0x10);
	return (u32 *)(s->regs + reg);
}

/*
 * The state of x2APIC mode is in the form of xAPIC mode: the ICR in two, and
 * the ID in the upper byte unless userspace has asked for all of it.
 */
int mv_lapic_get_state(struct mv_vcpu *vcpu, struct kvm_lapic_state *s)
{
	struct mv_lapic *lapic = vcpu->lapic;

	if (!lapic)
		return -EINVAL;

	take_pir(lapic);
	memcpy(s->regs, lapic->regs, sizeof(s->regs));
	*state_reg(s, APIC_PROCPRI) = processor_priority(lapic);
	*state_reg(s, APIC_TMCCT) = mv_apic_timer_count(lapic);
	if (lapic_x2apic(lapic)) {
		*state_reg(s, APIC_ICR2) = lapic_reg(lapic, APIC_ICR + 4);
		if (!(vcpu->vm->x2apic_api & KVM_X2APIC_API_USE_32BIT_IDS))
			*state_reg(s, APIC_ID) <<= 24;
	}
	return 0;
}

int mv_lapic_set_state(struct mv_vcpu *vcpu, const struct kvm_lapic_state *s)
{
	struct mv_lapic *lapic = vcpu->lapic;
	u32 count = *state_reg(s, APIC_TMCCT);
	int row;

	if (!lapic)
		return -EINVAL;
	if (lapic_x2apic(lapic) && vcpu->vm->x2apic_api & KVM_X2APIC_API_USE_32BIT_IDS &&
	    *state_reg(s, APIC_ID) != vcpu->id)
		return -EINVAL;

	mv_apic_timer_stop(lapic);
	set_lvt0(lapic, *state_reg(s, APIC_LVT0));
	memcpy(lapic->regs, s->regs, sizeof(s->regs));
	if (lapic_x2apic(lapic)) {
		lapic_set_reg(lapic, APIC_ID, vcpu->id);
		lapic_set_reg(lapic, APIC_LDR, x2apic_ldr(vcpu->id));
		lapic_set_reg(lapic, APIC_ICR + 4, *state_reg(s, APIC_ICR2));
		lapic_set_reg(lapic, APIC_ICR2, 0);
	}
	mv_lapic_set_version(vcpu);

	lapic->esr = 0;
	lapic->sw_enabled = lapic_reg(lapic, APIC_SPIV) & APIC_SPIV_APIC_ENABLED;
	bitmap_zero(lapic->pir, 256);
	lapic->irr_rows = 0;
	lapic->isr_rows = 0;
	for (row = 0; row < 8; row++) {
		__assign_bit(row, &lapic->irr_rows, lapic_reg(lapic, APIC_IRR + row * 0x10));
		__assign_bit(row, &lapic->isr_rows, lapic_reg(lapic, APIC_ISR + row * 0x10));
	}

	mv_apic_timer_sync(lapic);
	if (lapic_timer_mode(lapic) == APIC_LVT_TIMER_PERIODIC && !count)
		count = lapic_reg(lapic, APIC_TMICT);
	mv_apic_timer_start(lapic, count);
	map_changed(lapic);
	apic_changed(lapic);
	mv_request(vcpu, MV_REQ_EVENT);
	return 0;
}

int mv_lapic_create(struct mv_vcpu *vcpu)
{
	struct mv_lapic *lapic = kzalloc(sizeof(*lapic), GFP_KERNEL_ACCOUNT);

	if (!lapic)
		return -ENOMEM;
	lapic->regs = (u8 *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (!lapic->regs) {
		kfree(lapic);
		return -ENOMEM;
	}
	lapic->vcpu = vcpu;
	mv_apic_timer_init(lapic);
	vcpu->lapic = lapic;
	return 0;
}

/* The VM is on its way out, or @vcpu was never in it: no message comes any more. */
void mv_lapic_destroy(struct mv_vcpu *vcpu)
{
	struct mv_lapic *lapic = vcpu->lapic;

	if (!lapic)
		return;
	hrtimer_cancel(&lapic->timer.hrtimer);
	free_page((unsigned long)lapic->regs);
	kfree(lapic);
	vcpu->lapic = NULL;
}
