// SPDX-License-Identifier: GPL-2.0-only
/* A guest's CPUID: what userspace gave it, and what follows from that. */
#include <linux/hash.h>
#include <linux/log2.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <asm/msr-index.h>

#include "base/backend.h"
#include "base/regs.h"
#include "cpu/cpuid.h"
#include "cpu/cr.h"
#include "cpu/features.h"
#include "irq/irq.h"

/*
 * The entries in the order in which userspace gave them, since it reads them
 * back so, and an open hash table of their indices plus 1: CPUID exits are
 * frequent.  An entry whose index does not matter is found under index 0.
 */
struct mv_cpuid {
	u32 nr;
	u32 hash_mask;
	u16 *hash; /* behind the entries */
	struct kvm_cpuid_entry2 entries[];
};

#define MAX_HASH_BITS 10
static_assert(MV_MAX_CPUID_ENTRIES < BIT(MAX_HASH_BITS - 1));

/* By function alone: what is in ECX often means nothing, and few functions have many subleaves. */
static u32 cpuid_hash(const struct mv_cpuid *cpuid, u32 function)
{
	return hash_32(function, MAX_HASH_BITS) & cpuid->hash_mask;
}

static u32 next_slot(const struct mv_cpuid *cpuid, u32 slot)
{
	return (slot + 1) & cpuid->hash_mask;
}

static struct mv_cpuid *alloc_cpuid(u32 nr)
{
	u32 slots = roundup_pow_of_two(2 * nr + 1); /* one is always free: it ends a search */
	struct mv_cpuid *cpuid;

	cpuid = kvzalloc(struct_size(cpuid, entries, nr) + slots * sizeof(u16),
			 GFP_KERNEL_ACCOUNT);
	if (cpuid) {
		cpuid->nr = nr;
		cpuid->hash_mask = slots - 1;
		cpuid->hash = (u16 *)&cpuid->entries[nr];
	}
	return cpuid;
}

static void fill_hash(struct mv_cpuid *cpuid)
{
	u32 i;

	for (i = 0; i < cpuid->nr; i++) {
		u32 slot = cpuid_hash(cpuid, cpuid->entries[i].function);

		while (cpuid->hash[slot])
			slot = next_slot(cpuid, slot);
		cpuid->hash[slot] = i + 1;
	}
}

static struct kvm_cpuid_entry2 *find(struct mv_vcpu *vcpu, u32 function, u32 index)
{
	struct mv_cpuid *cpuid = vcpu->cpuid;
	u32 slot;

	if (unlikely(!cpuid))
		return NULL;
	for (slot = cpuid_hash(cpuid, function); cpuid->hash[slot]; slot = next_slot(cpuid, slot)) {
		struct kvm_cpuid_entry2 *e = &cpuid->entries[cpuid->hash[slot] - 1];

		if (e->function == function &&
		    (e->index == index || !(e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX)))
			return e;
	}
	return NULL;
}

/*
 * Above the highest leaf of its range, an Intel processor answers as for the
 * highest basic leaf, others with zeroes. SDM vol. 2A, CPUID; APM vol. 3, appendix D.
 */
static const struct kvm_cpuid_entry2 *find_out_of_range(struct mv_vcpu *vcpu, u32 function,
							u32 index)
{
	const struct kvm_cpuid_entry2 *basic = find(vcpu, 0, 0), *range;

	/* "Auth" of AuthenticAMD, "Hygo" of HygonGenuine. */
	if (!basic || basic->ebx == 0x68747541 || basic->ebx == 0x6f677948)
		return NULL;
	if (function >= 0x40000000 && function <= 0x4fffffff)
		range = find(vcpu, function & 0xffffff00, 0);
	else
		range = find(vcpu, function & 0x80000000, 0);
	if (range && function <= range->eax)
		return NULL;
	return find(vcpu, basic->eax, index);
}

static __always_inline void answer(struct mv_vcpu *vcpu, const struct kvm_cpuid_entry2 *e)
{
	vcpu->gpr[MV_RAX] = e->eax;
	vcpu->gpr[MV_RBX] = e->ebx;
	vcpu->gpr[MV_RCX] = e->ecx;
	vcpu->gpr[MV_RDX] = e->edx;
}

static noinline void not_listed(struct mv_vcpu *vcpu, u32 function, u32 index)
{
	static const struct kvm_cpuid_entry2 zero;
	const struct kvm_cpuid_entry2 *e = find_out_of_range(vcpu, function, index);

	answer(vcpu, e ?: &zero);
	/* Each subleaf of the topology leaves tells its number, and the x2APIC ID. */
	if (!e && (function == 0xb || function == 0x1f)) {
		e = find(vcpu, function, 0);
		if (e) {
			vcpu->gpr[MV_RCX] = index & 0xff;
			vcpu->gpr[MV_RDX] = e->edx;
		}
	}
}

void mv_cpuid(struct mv_vcpu *vcpu)
{
	u32 function = vcpu->gpr[MV_RAX], index = vcpu->gpr[MV_RCX];
	const struct kvm_cpuid_entry2 *e = find(vcpu, function, index);

	if (likely(e))
		answer(vcpu, e);
	else
		not_listed(vcpu, function, index);
}

/* ---- what follows from it ---- */

static void change_bit_of(u32 *reg, u32 mask, bool set)
{
	*reg = set ? *reg | mask : *reg & ~mask;
}

/*
 * The paravirtual services' leaves may be moved up, to let those of another
 * interface have their place. Guests look for the signature in this way.
 */
static struct kvm_cpuid_entry2 *find_pv_leaf(struct mv_vcpu *vcpu)
{
	const struct kvm_cpuid_entry2 *e;
	u32 base;

	for (base = KVM_CPUID_SIGNATURE; base < KVM_CPUID_SIGNATURE + 0x10000; base += 0x100) {
		e = find(vcpu, base, 0);
		if (e && !memcmp(&e->ebx, KVM_SIGNATURE, 12))
			return find(vcpu, base + 1, 0);
	}
	return NULL;
}

/* Bits and sizes that follow the guest's registers. CR4, XCR0 or the APIC base changed. */
void mv_cpuid_runtime_update(struct mv_vcpu *vcpu)
{
	struct kvm_cpuid_entry2 *e;

	e = find(vcpu, 1, 0);
	if (e) {
		change_bit_of(&e->ecx, F(OSXSAVE),
			      boot_cpu_has(X86_FEATURE_XSAVE) && mv_cr4_has(vcpu, X86_CR4_OSXSAVE));
		change_bit_of(&e->edx, F(APIC), vcpu->apic_base & MSR_IA32_APICBASE_ENABLE);
		if (!mv_has_quirk(vcpu->vm, KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT))
			change_bit_of(&e->ecx, F(MWAIT),
				      vcpu->msr.misc_enable & MSR_IA32_MISC_ENABLE_MWAIT);
	}
	/* A HLT that does not exit cannot be ended by a kick. */
	e = vcpu->vm->disabled_exits & KVM_X86_DISABLE_EXITS_HLT ? find_pv_leaf(vcpu) : NULL;
	if (e)
		e->eax &= ~BIT(KVM_FEATURE_PV_UNHALT);
	e = find(vcpu, 7, 0);
	if (e)
		change_bit_of(&e->ecx, F(OSPKE), mv_cr4_has(vcpu, X86_CR4_PKE));
	e = find(vcpu, 0xd, 0);
	if (e)
		e->ebx = mv_xstate_size(vcpu->xcr0, false);
	e = find(vcpu, 0xd, 1);
	if (e && (e->eax & (F(XSAVES) | F(XSAVEC))))
		e->ebx = mv_xstate_size(vcpu->xcr0 | vcpu->ia32_xss, true);
}

/* It is not among those that are given to guests: with it or without, it is a no-op. */
bool mv_cpuid_has_mwait(struct mv_vcpu *vcpu)
{
	const struct kvm_cpuid_entry2 *e = find(vcpu, 1, 0);

	return e && (e->ecx & F(MWAIT));
}

/* CR4 bits that come with a feature; the others have always been there. */
static const struct {
	u64 bits;
	unsigned int feature;
} cr4_features[] = {
	{ X86_CR4_PCIDE, X86_FEATURE_PCID },
	{ X86_CR4_OSXSAVE, X86_FEATURE_XSAVE },
	{ X86_CR4_SMEP, X86_FEATURE_SMEP },
	{ X86_CR4_SMAP, X86_FEATURE_SMAP },
	{ X86_CR4_FSGSBASE, X86_FEATURE_FSGSBASE },
	{ X86_CR4_PKE, X86_FEATURE_PKU },
	{ X86_CR4_UMIP, X86_FEATURE_UMIP },
};

static u64 cr4_allowed(const u32 *features)
{
	u64 cr4 = X86_CR4_VME | X86_CR4_PVI | X86_CR4_TSD | X86_CR4_DE | X86_CR4_PSE |
		  X86_CR4_PAE | X86_CR4_MCE | X86_CR4_PGE | X86_CR4_PCE | X86_CR4_OSFXSR |
		  X86_CR4_OSXMMEXCPT;
	int i;

	for (i = 0; i < ARRAY_SIZE(cr4_features); i++)
		if (features[cr4_features[i].feature / 32] & BIT(cr4_features[i].feature % 32))
			cr4 |= cr4_features[i].bits;
	return cr4;
}

u64 mv_efer_allowed(const u32 *features)
{
	u64 efer = 0;

	if (features[CPUID_8000_0001_EDX] & F(SYSCALL))
		efer |= EFER_SCE;
	if (features[CPUID_8000_0001_EDX] & F(LM))
		efer |= EFER_LME | EFER_LMA;
	if (features[CPUID_8000_0001_EDX] & F(NX))
		efer |= EFER_NX;
	if (features[CPUID_8000_0001_EDX] & F(FXSR_OPT))
		efer |= EFER_FFXSR;
	return efer;
}

static u8 guest_maxphyaddr(struct mv_vcpu *vcpu)
{
	const struct kvm_cpuid_entry2 *e;

	if (!vcpu->cpuid)
		return boot_cpu_data.x86_phys_bits;
	e = find(vcpu, 0x80000000, 0);
	if (e && e->eax >= 0x80000008) {
		e = find(vcpu, 0x80000008, 0);
		if (e)
			return clamp_t(u8, e->eax, 32, 52); /* what page-table entries can hold */
	}
	return 36; /* SDM vol. 3A, 4.1.4: without the leaf */
}

void mv_cpuid_derive_pv(struct mv_vcpu *vcpu)
{
	const struct kvm_cpuid_entry2 *e;

	vcpu->features[MV_PV_WORD] = ~0u;
	if (vcpu->pv.enforced) {
		e = find_pv_leaf(vcpu);
		vcpu->features[MV_PV_WORD] = e ? e->eax : 0;
	}
}

void mv_cpuid_derive(struct mv_vcpu *vcpu)
{
	const u32 *features = vcpu->cpuid ? vcpu->features : mv_supported_features;
	struct kvm_cpuid_entry2 *e;
	int i;

	for (i = 0; i < NCAPINTS; i++) {
		vcpu->features[i] = 0;
		if (!mv_feature_words[i].function)
			continue;
		e = find(vcpu, mv_feature_words[i].function, mv_feature_words[i].index);
		if (e)
			vcpu->features[i] = *entry_reg(e, mv_feature_words[i].reg) &
					    mv_supported_features[i];
	}
	mv_cpuid_derive_pv(vcpu);
	e = find(vcpu, 0xd, 0);
	vcpu->guest_supported_xcr0 = e ? (e->eax | (u64)e->edx << 32) & mv_supported_xcr0() : 0;
	vcpu->maxphyaddr = guest_maxphyaddr(vcpu);
	/* Which bits of page tables are reserved follows from CPUID, too. */
	memset(vcpu->fetched, 0, sizeof(vcpu->fetched));
	/* Registers can be set before CPUID is; then all that is supported goes. */
	vcpu->cr4_reserved = ~cr4_allowed(features);
	vcpu->efer_reserved = ~mv_efer_allowed(features);
}

static bool same_cpuid(const struct mv_cpuid *a, const struct mv_cpuid *b)
{
	u32 i;

	if ((a ? a->nr : 0) != b->nr)
		return false;
	for (i = 0; i < b->nr; i++)
		if (memcmp(&a->entries[i], &b->entries[i],
			   offsetof(struct kvm_cpuid_entry2, padding)))
			return false;
	return true;
}

/* Linear addresses have 48 or 57 bits; nothing else can be given to a guest. */
static bool valid_cpuid(struct mv_vcpu *vcpu)
{
	const struct kvm_cpuid_entry2 *e = find(vcpu, 0x80000008, 0);
	u8 bits = e ? e->eax >> 8 : 0;

	return bits == 0 || bits == 48 || bits == 57;
}

long mv_set_cpuid2(struct mv_vcpu *vcpu, struct kvm_cpuid2 __user *arg)
{
	struct mv_cpuid *old = vcpu->cpuid, *new;
	struct kvm_cpuid2 head;
	long r;

	if (copy_from_user(&head, arg, sizeof(head)))
		return -EFAULT;
	if (head.nent > MV_MAX_CPUID_ENTRIES)
		return -E2BIG;
	new = alloc_cpuid(head.nent);
	if (!new)
		return -ENOMEM;
	if (copy_from_user(new->entries, arg->entries, new->nr * sizeof(new->entries[0]))) {
		kvfree(new);
		return -EFAULT;
	}
	fill_hash(new);

	vcpu->cpuid = new;
	mv_cpuid_runtime_update(vcpu);
	/* A guest that has run keeps its CPUID: what is derived from it is in use. */
	r = (vcpu->pid ? same_cpuid(old, new) : valid_cpuid(vcpu)) ? 0 : -EINVAL;
	if (r || vcpu->pid) {
		vcpu->cpuid = old;
		kvfree(new);
		return r;
	}
	mv_cpuid_derive(vcpu);
	if (vcpu->lapic)
		mv_lapic_set_version(vcpu);
	mv_backend->cpuid_changed(vcpu);
	kvfree(old);
	return 0;
}

long mv_get_cpuid2(struct mv_vcpu *vcpu, struct kvm_cpuid2 __user *arg)
{
	u32 nr = vcpu->cpuid ? vcpu->cpuid->nr : 0;
	struct kvm_cpuid2 head;

	if (copy_from_user(&head, arg, sizeof(head)))
		return -EFAULT;
	if (head.nent < nr)
		return -E2BIG;
	head.nent = nr;
	if (nr && copy_to_user(arg->entries, vcpu->cpuid->entries, nr * sizeof(arg->entries[0])))
		return -EFAULT;
	return copy_to_user(arg, &head, sizeof(head)) ? -EFAULT : 0;
}
