// SPDX-License-Identifier: GPL-2.0-only
/*
 * The local APIC's registers, modes and state: SDM vol. 3A, chapter 11. What it
 * does with interrupts is in accept.c.
 */
#include <linux/slab.h>

#include "base/regs.h"
#include "base/request.h"
#include "irq/chips.h"
#include "irq/irq.h"

#define LAPIC_VERSION 0x14u
#define LAPIC_MAX_LVT 5 /* the highest entry, without CMCI */

/* What software can write. */
#define LVT_BITS (APIC_VECTOR_MASK | APIC_LVT_MASKED)
#define LINT_BITS (LVT_BITS | APIC_MODE_MASK | APIC_INPUT_POLARITY | APIC_LVT_LEVEL_TRIGGER)
#define SPIV_BITS 0x3ffu
#define TDCR_BITS 0xbu
#define XAPIC_ID_BITS GENMASK(31, 24) /* of ID, LDR, ICR2 */
#define X2APIC_ICR_RESERVED (GENMASK_ULL(31, 20) | GENMASK_ULL(17, 16) | BIT_ULL(13))

static const u32 lvts[] = { APIC_LVTT, APIC_LVTTHMR, APIC_LVTPC, APIC_LVT0,
			    APIC_LVT1, APIC_LVTERR,  APIC_LVTCMCI };

/* The last one is there only if the guest's machine checks can use it. */
static int nr_lvts(struct mv_lapic *lapic)
{
	return ARRAY_SIZE(lvts) - !mv_has_cmci(lapic->vcpu);
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
		mv_lapic_error(lapic, APIC_ESR_SENDILL, vcpu);
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
	/* What it could not be told with its APIC off. */
	mv_request(lapic->vcpu, MV_REQ_APF_READY);
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
		mv_lapic_end_of_interrupt(lapic);
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
		if (!mv_has_cmci(lapic->vcpu))
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
	    !(reg == APIC_LVTCMCI && mv_has_cmci(lapic->vcpu)))
		return 1;

	if (unlikely(lapic->report_tpr) && reg == APIC_TASKPRI)
		mv_report_tpr(lapic, false);
	mv_pv_eoi_sync(lapic->vcpu);
	if (reg == APIC_PROCPRI)
		*val = mv_lapic_priority(lapic);
	else if (reg == APIC_TMCCT)
		*val = mv_apic_timer_count(lapic);
	else
		*val = lapic_reg(lapic, reg);
	return 0;
}

int mv_lapic_msr(struct mv_vcpu *vcpu, u32 msr, u64 *val, bool write)
{
	struct mv_lapic *lapic = vcpu->lapic;
	u32 reg = (msr - APIC_BASE_MSR) << 4, low;

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

bool mv_lapic_mmio(struct mv_vcpu *vcpu, gpa_t gpa, void *data, int len, bool write)
{
	struct mv_lapic *lapic = vcpu->lapic;
	u32 offset = gpa & ~PAGE_MASK, val;
	int err = 0;

	if ((gpa & PAGE_MASK) != (vcpu->apic_base & PAGE_MASK))
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
		mv_lapic_error(lapic, APIC_ESR_ILLREGA, vcpu);
	return true;
}

/* ---- modes, reset, state -------------------------------------------------- */

static void set_mode(struct mv_vcpu *vcpu, u64 base)
{
	struct mv_lapic *lapic = vcpu->lapic;
	u64 changed = vcpu->apic_base ^ base;

	WRITE_ONCE(vcpu->apic_base, base);
	if (!lapic)
		return;

	if (changed & base & XAPIC_ENABLE)
		lapic_set_reg(lapic, APIC_ID, vcpu->id << 24);
	if (changed & base & X2APIC_ENABLE) {
		lapic_set_reg(lapic, APIC_ID, vcpu->id);
		lapic_set_reg(lapic, APIC_LDR, x2apic_ldr(vcpu->id));
	}
	if (changed) {
		mv_lapic_changed(lapic);
		map_changed(lapic);
		mv_lapic_recheck(lapic); /* enabled with requests in the IRR */
		mv_request(vcpu, MV_REQ_APF_READY);
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
	u32 version = LAPIC_VERSION | (LAPIC_MAX_LVT + mv_has_cmci(vcpu)) << 16;

	/* Of use only with an IOAPIC that has an EOI register: userspace's may. */
	if (vcpu->vm->split_irqchip && mv_guest_has(vcpu, X86_FEATURE_X2APIC))
		version |= APIC_LVR_DIRECTED_EOI;
	lapic_set_reg(vcpu->lapic, APIC_LVR, version);
}

void mv_lapic_update_cmci(struct mv_vcpu *vcpu)
{
	mv_lapic_set_version(vcpu);
	lapic_set_reg(vcpu->lapic, APIC_LVTCMCI, mv_has_cmci(vcpu) ? APIC_LVT_MASKED : 0);
}

void mv_lapic_reset(struct mv_vcpu *vcpu, bool init)
{
	struct mv_lapic *lapic = vcpu->lapic;
	u32 id, ldr;
	int i;

	if (!init)
		set_mode(vcpu, APIC_DEFAULT_PHYS_BASE | XAPIC_ENABLE |
				       (mv_is_bsp(vcpu) ? MSR_IA32_APICBASE_BSP : 0));

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
	mv_lapic_changed(lapic);
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
int mv_lapic_get_state(struct mv_vcpu *vcpu, void *buf)
{
	struct mv_lapic *lapic = vcpu->lapic;
	struct kvm_lapic_state *s = buf;
	u32 count;

	if (!lapic)
		return -EINVAL;

	/* First: an expiry is in the count, or its interrupt in the IRR. */
	count = mv_apic_timer_count(lapic);
	mv_lapic_take_pir(lapic);
	memcpy(s->regs, lapic->regs, sizeof(s->regs));
	*state_reg(s, APIC_PROCPRI) = mv_lapic_priority(lapic);
	*state_reg(s, APIC_TMCCT) = count;
	if (lapic_x2apic(lapic)) {
		*state_reg(s, APIC_ICR2) = lapic_reg(lapic, APIC_ICR + 4);
		if (!(vcpu->vm->x2apic_api & KVM_X2APIC_API_USE_32BIT_IDS))
			*state_reg(s, APIC_ID) <<= 24;
	}
	return 0;
}

int mv_lapic_set_state(struct mv_vcpu *vcpu, void *buf)
{
	struct mv_lapic *lapic = vcpu->lapic;
	const struct kvm_lapic_state *s = buf;
	struct mv_irqchip *chips = mv_chips(vcpu->vm);
	int row;

	if (!lapic)
		return -EINVAL;
	if (lapic_x2apic(lapic) && vcpu->vm->x2apic_api & KVM_X2APIC_API_USE_32BIT_IDS &&
	    *state_reg(s, APIC_ID) != vcpu->id)
		return -EINVAL;

	mv_apic_timer_hold(lapic);
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

	mv_apic_timer_restore(lapic, *state_reg(s, APIC_TMCCT));
	if (chips) {
		spin_lock_bh(&chips->vm->irq_lock);
		mv_pit_state_replaced(chips);
		spin_unlock_bh(&chips->vm->irq_lock);
	}
	map_changed(lapic);
	mv_lapic_changed(lapic);
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

	hrtimer_cancel(&lapic->timer.hrtimer);
	free_page((unsigned long)lapic->regs);
	kfree(lapic);
	vcpu->lapic = NULL;
}
