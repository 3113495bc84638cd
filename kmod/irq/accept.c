// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a local APIC does with interrupts: how they are accepted, prioritized,
 * taken and ended. SDM vol. 3A, 11.8.
 */
#include <uapi/linux/kvm_para.h>

#include "base/backend.h"
#include "irq/chips.h"
#include "irq/irq.h"
#include "mmu/memory.h"

/* ---- errors --------------------------------------------------------------- */

/* SDM vol. 3A, 11.5.3: collected until the next write to the ESR. */
void mv_lapic_error(struct mv_lapic *lapic, u32 error, struct mv_vcpu *self)
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
			mv_lapic_error(lapic, APIC_ESR_RECVILL, self);
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
		/* Pairs with the barrier in mv_take_init_sipi(). */
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

/* ---- priority ------------------------------------------------------------- */

/*
 * The IRR is the vCPU thread's and, in the guest, the processor's, which does
 * not expect others to write there (SDM vol. 3C, 25.11.4): what they request
 * comes in here.  Who sets a bit of pir sets the row's after it.
 */
void mv_lapic_take_pir(struct mv_lapic *lapic)
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
	mv_lapic_take_pir(lapic);
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
u32 mv_lapic_priority(struct mv_lapic *lapic)
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
	return irr >> 4 > (int)mv_lapic_priority(lapic) >> 4 ? irr : -1;
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
	mv_lapic_take_pir(lapic);
	if (lapic->irr_changed || blocked) {
		blocked |= !lapic_hw_enabled(lapic);
		mv_call(set_rvi)(vcpu, blocked ? 0 : max(mv_lapic_highest_irr(lapic), 0));
		lapic->irr_changed = blocked;
	}
}

/* The backend does not know the mode, what is in service, or whose EOI matters. */
void mv_lapic_changed(struct mv_lapic *lapic)
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
void mv_lapic_recheck(struct mv_lapic *lapic)
{
	if (!mv_apicv && (lapic->irr_rows || READ_ONCE(lapic->pir_rows)))
		mv_request(lapic->vcpu, MV_REQ_EVENT);
}

void mv_lapic_set_tpr(struct mv_lapic *lapic, u32 tpr)
{
	lapic_set_reg(lapic, APIC_TASKPRI, tpr);
	mv_lapic_recheck(lapic);
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

void mv_lapic_end_of_interrupt(struct mv_lapic *lapic)
{
	int vector;

	/* Of two, the first was this way. */
	mv_pv_eoi_sync(lapic->vcpu);
	vector = mv_lapic_highest_isr(lapic);
	if (vector < 0)
		return;
	clear_vector(lapic, APIC_ISR, &lapic->isr_rows, vector);
	mv_lapic_changed(lapic);
	mv_lapic_eoi(lapic->vcpu, vector);
	mv_lapic_recheck(lapic);
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

void mv_pv_eoi_take_back(struct mv_vcpu *vcpu)
{
	static const u8 withdrawn;
	u8 byte;

	vcpu->pv.eoi_offered = false;
	if (mv_read_guest(vcpu->vm, pv_eoi_gpa(vcpu), &byte, 1))
		return;
	if (byte & KVM_PV_EOI_ENABLED)
		mv_write_guest(vcpu->vm, pv_eoi_gpa(vcpu), &withdrawn, 1);
	else
		mv_lapic_end_of_interrupt(vcpu->lapic);
}
