// SPDX-License-Identifier: GPL-2.0-only
/*
 * Machine checks: the host's that end a guest, and those that userspace reports to its
 * guest, in banks that it sets up and fills.  SDM vol. 3B, chapter 16.
 */
#include <linux/nospec.h>
#include <linux/slab.h>
#include <asm/mce.h>

#include "base/regs.h"
#include "cpu/event.h"
#include "cpu/mce.h"
#include "irq/irq.h"
#include "irq/lapic.h"

/*
 * A machine check of the host's has ended the guest, and its banks are filled. It goes to the
 * host's handler as one of the user thread that the guest is, whatever ran in it: what it can
 * recover from costs this thread its memory or its life. By "int $18" it would be one of the
 * kernel, of which the handler panics. Interrupts are off, on the CPU that took it.
 */
void mv_host_machine_check(void)
{
#ifdef CONFIG_X86_MCE
	struct pt_regs regs = { .cs = __USER_CS, .flags = X86_EFLAGS_IF };

	do_machine_check(&regs);
#endif
}

/* The registers of a bank, in the order of their MSRs, then CTL2, which has a range of its own. */
enum { CTL, STATUS, ADDR, MISC, CTL2, NR_REGS };

struct mv_mce_bank {
	u64 reg[NR_REGS];
};

u64 mv_mce_supported(void)
{
	/* The signal of corrected errors, an interrupt, is Intel's. */
	return MCG_CTL_P | MCG_SER_P |
	       (boot_cpu_data.x86_vendor == X86_VENDOR_INTEL ? MCG_CMCI_P : 0);
}

static u32 nr_banks(struct mv_vcpu *vcpu)
{
	return vcpu->msr.mcg_cap & MCG_BANKCNT_MASK;
}

/* The register behind an MSR, NULL if the guest has it not. */
static u64 *find_reg(struct mv_vcpu *vcpu, u32 msr, int *reg)
{
	u32 bank;

	if (msr >= MSR_IA32_MC0_CTL) {
		bank = (msr - MSR_IA32_MC0_CTL) / 4;
		*reg = (msr - MSR_IA32_MC0_CTL) % 4;
	} else {
		bank = msr - MSR_IA32_MC0_CTL2;
		*reg = CTL2;
	}
	if (bank >= nr_banks(vcpu))
		return NULL;
	return &vcpu->mce_banks[array_index_nospec(bank, MV_MCE_BANKS)].reg[*reg];
}

int mv_get_mce_bank(struct mv_vcpu *vcpu, u32 msr, u64 *val, bool host)
{
	int reg;
	const u64 *p = find_reg(vcpu, msr, &reg);

	if (!p || (reg == CTL2 && !mv_has_cmci(vcpu) && !host))
		return 1;
	*val = *p;
	return 0;
}

static bool valid_reg(struct mv_vcpu *vcpu, int reg, u64 val, bool host)
{
	switch (reg) {
	case CTL:
		/* All or nothing; but some leave out bit 10 for a K8, 0 for corrected errors. */
		return !val || (val | BIT(10) | BIT(0)) == ~0ull;
	case STATUS:
		return host || !val;
	case CTL2:
		if (!mv_has_cmci(vcpu) && (val || !host))
			return false;
		return !(val & ~(u64)(MCI_CTL2_CMCI_EN | MCI_CTL2_CMCI_THRESHOLD_MASK));
	default:
		return true;
	}
}

int mv_set_mce_bank(struct mv_vcpu *vcpu, u32 msr, u64 val, bool host)
{
	int reg;
	u64 *p = find_reg(vcpu, msr, &reg);

	if (!p || !valid_reg(vcpu, reg, val, host))
		return 1;
	*p = val;
	return 0;
}

int mv_get_mcg_ctl(struct mv_vcpu *vcpu, u32 msr, u64 *val, bool host)
{
	*val = vcpu->msr.mcg_ctl;
	return !(vcpu->msr.mcg_cap & MCG_CTL_P) && !host;
}

int mv_set_mcg_ctl(struct mv_vcpu *vcpu, u32 msr, u64 val, bool host)
{
	if (!(vcpu->msr.mcg_cap & MCG_CTL_P) && (val || !host))
		return 1;
	if (val && val != ~0ull)
		return 1;
	vcpu->msr.mcg_ctl = val;
	return 0;
}

/* ---- ioctls ---- */

int mv_setup_mce(struct mv_vcpu *vcpu, void *buf)
{
	u64 cap = *(u64 *)buf;
	int i;

	if (!(cap & MCG_BANKCNT_MASK) || (cap & MCG_BANKCNT_MASK) > MV_MCE_BANKS ||
	    cap & ~(mv_mce_supported() | MCG_BANKCNT_MASK | MCG_EXT_CNT_MASK))
		return -EINVAL;
	if (!vcpu->mce_banks)
		vcpu->mce_banks = kcalloc(MV_MCE_BANKS, sizeof(*vcpu->mce_banks),
					  GFP_KERNEL_ACCOUNT);
	if (!vcpu->mce_banks)
		return -ENOMEM;
	/* Software error recovery is Intel's, too. */
	if (boot_cpu_data.x86_vendor != X86_VENDOR_INTEL)
		cap &= MCG_BANKCNT_MASK | MCG_CTL_P;
	vcpu->msr.mcg_cap = cap;
	if (cap & MCG_CTL_P)
		vcpu->msr.mcg_ctl = ~0ull;
	for (i = 0; i < nr_banks(vcpu); i++) {
		vcpu->mce_banks[i].reg[CTL] = ~0ull;
		vcpu->mce_banks[i].reg[CTL2] = 0;
	}
	if (vcpu->lapic)
		mv_lapic_update_cmci(vcpu);
	return 0;
}

/* Uncorrected, but no action is asked for: no exception. SDM vol. 3B, 16.6.3. */
static bool is_ucna(const struct kvm_x86_mce *mce)
{
	return (mce->status & MCI_STATUS_UC) && !mce->mcg_status &&
	       !(mce->status & (MCI_STATUS_PCC | MCI_STATUS_S | MCI_STATUS_AR));
}

static void record(struct mv_vcpu *vcpu, struct mv_mce_bank *bank, const struct kvm_x86_mce *mce)
{
	bool overwrites = (bank->reg[STATUS] & MCI_STATUS_VAL) && !is_ucna(mce);

	bank->reg[STATUS] = mce->status | (overwrites ? MCI_STATUS_OVER : 0);
	bank->reg[ADDR] = mce->addr;
	bank->reg[MISC] = mce->misc;
}

int mv_set_mce(struct mv_vcpu *vcpu, void *buf)
{
	const struct kvm_x86_mce *mce = buf;
	bool uncorrected = mce->status & MCI_STATUS_UC;
	struct mv_mce_bank *bank;

	if (mce->bank >= nr_banks(vcpu) || !(mce->status & MCI_STATUS_VAL))
		return -EINVAL;
	bank = &vcpu->mce_banks[array_index_nospec(mce->bank, MV_MCE_BANKS)];

	if (is_ucna(mce)) {
		record(vcpu, bank, mce);
		vcpu->msr.mcg_status = 0;
		if (vcpu->lapic && (bank->reg[CTL2] & MCI_CTL2_CMCI_EN))
			mv_lapic_local(vcpu->lapic, APIC_LVTCMCI, vcpu);
		return 0;
	}
	if (!uncorrected) {
		/* An uncorrected error that waits is not overwritten. SDM vol. 3B, 16.3.2.2.1. */
		if ((bank->reg[STATUS] & MCI_STATUS_VAL) && (bank->reg[STATUS] & MCI_STATUS_UC))
			bank->reg[STATUS] |= MCI_STATUS_OVER;
		else
			record(vcpu, bank, mce);
		return 0;
	}

	/* The guest has turned the reporting of it off. */
	if (((vcpu->msr.mcg_cap & MCG_CTL_P) && ~vcpu->msr.mcg_ctl) || ~bank->reg[CTL])
		return 0;
	/* A machine check in another one's handler, or without one, shuts the processor down. */
	if ((vcpu->msr.mcg_status & MCG_STATUS_MCIP) || !mv_cr4_has(vcpu, X86_CR4_MCE)) {
		mv_request(vcpu, MV_REQ_TRIPLE_FAULT);
		return 0;
	}
	record(vcpu, bank, mce);
	vcpu->msr.mcg_status = mce->mcg_status;
	mv_queue_exception(vcpu, MC_VECTOR);
	return 0;
}
