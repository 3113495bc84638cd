// SPDX-License-Identifier: GPL-2.0-only
/* What of the processor's features guests can be given: KVM_GET_SUPPORTED_CPUID. */
#include <linux/uaccess.h>
#include <asm/fpu/types.h>
#include <asm/fpu/xcr.h>
#include <asm/fpu/xstate.h>
#include <asm/processor.h>

#include "base/backend.h"
#include "cpu/cpuid.h"
#include "cpu/features.h"
#include "../uapi/linux/minivirt.h"

const struct mv_feature_word mv_feature_words[NCAPINTS] = {
	[CPUID_1_EDX] = { 1, 0, EDX },
	[CPUID_1_ECX] = { 1, 0, ECX },
	[CPUID_6_EAX] = { 6, 0, EAX },
	[CPUID_7_0_EBX] = { 7, 0, EBX },
	[CPUID_7_ECX] = { 7, 0, ECX },
	[CPUID_7_EDX] = { 7, 0, EDX },
	[CPUID_7_1_EAX] = { 7, 1, EAX },
	[CPUID_D_1_EAX] = { 0xd, 1, EAX },
	[CPUID_8000_0001_EDX] = { 0x80000001, 0, EDX },
	[CPUID_8000_0001_ECX] = { 0x80000001, 0, ECX },
	[CPUID_8000_0008_EBX] = { 0x80000008, 0, EBX },
};

/*
 * One row for each leaf that guests can be given: which of the host's bits
 * pass, and which are set because minivirt emulates the feature itself.  A bit
 * of a feature word passes only if the host's kernel uses the feature, too.
 * Any other leaf is zero.
 */
struct leaf {
	u32 function;
	u8 kind;
	u32 mask[4]; /* EAX, EBX, ECX, EDX */
	u32 set[4];
};

enum {
	LEAF_PLAIN,
	LEAF_INDEX, /* subleaf 0 of an indexed leaf; its other subleaves are zero */
	LEAF_CACHES, /* subleaves up to the first of type 0 */
	LEAF_FEATURES, /* leaf 7 */
	LEAF_XSTATE, /* leaf 0xd */
};

#define ALL ~0u

#define COMMON_EDX                                                                            \
	(F(FPU) | F(VME) | F(DE) | F(PSE) | F(TSC) | F(MSR) | F(PAE) | F(MCE) | F(CX8) |      \
	 F(APIC) | F(MTRR) | F(PGE) | F(MCA) | F(CMOV) | F(PAT) | F(PSE36) | F(MMX) | F(FXSR))

/* Subleaf 1 of leaf 7 has a mask of its own. */
#define LEAF_7_1_EAX (F(AVX_VNNI) | F(AVX512_BF16))
#define LEAF_D_1_EAX (F(XSAVEOPT) | F(XSAVEC) | F(XGETBV1) | F(XSAVES))

#define PV(name) BIT(KVM_FEATURE_##name)
#define PV_FEATURES                                                                           \
	(PV(CLOCKSOURCE) | PV(CLOCKSOURCE2) | PV(CLOCKSOURCE_STABLE_BIT) | PV(NOP_IO_DELAY) | \
	 PV(STEAL_TIME) | PV(PV_EOI) | PV(PV_UNHALT) | PV(PV_TLB_FLUSH) | PV(PV_SEND_IPI) |   \
	 PV(POLL_CONTROL) | PV(PV_SCHED_YIELD) | PV(ASYNC_PF) | PV(ASYNC_PF_INT))

#define MAX_BASIC 0x1f
#define MAX_EXTENDED 0x8000001e

static const struct leaf leaves[] __initconst = {
	{ 0, LEAF_PLAIN, { ALL, ALL, ALL, ALL } },
	{ 1, LEAF_PLAIN,
	  { ALL, 0x00ffff00, /* without the APIC ID of the CPU that we happen to be on */
	    F(XMM3) | F(PCLMULQDQ) | F(SSSE3) | F(FMA) | F(CX16) | F(PCID) | F(XMM4_1) |
	    F(XMM4_2) | F(MOVBE) | F(POPCNT) | F(AES) | F(XSAVE) | F(AVX) | F(F16C) | F(RDRAND),
	    COMMON_EDX | F(SEP) | F(CLFLUSH) | F(XMM) | F(XMM2) | F(SELFSNOOP) },
	  /* TSC_DEADLINE_TIMER is userspace's to set, by KVM_CAP_TSC_DEADLINE_TIMER. */
	  { 0, 0, F(X2APIC) | F(HYPERVISOR) } },
	{ 2, LEAF_PLAIN, { ALL, ALL, ALL, ALL } },
	{ 4, LEAF_CACHES, { ALL, ALL, ALL, ALL } },
	{ 6, LEAF_PLAIN, {}, { F(ARAT) } },
	{ 7, LEAF_FEATURES,
	  { 1,
	    F(FSGSBASE) | F(BMI1) | F(HLE) | F(AVX2) | F(FDP_EXCPTN_ONLY) | F(SMEP) | F(BMI2) |
	    F(ERMS) | F(INVPCID) | F(RTM) | F(ZERO_FCS_FDS) | F(AVX512F) | F(AVX512DQ) |
	    F(RDSEED) | F(ADX) | F(SMAP) | F(AVX512IFMA) | F(CLFLUSHOPT) | F(CLWB) |
	    F(AVX512PF) | F(AVX512ER) | F(AVX512CD) | F(SHA_NI) | F(AVX512BW) | F(AVX512VL),
	    F(AVX512VBMI) | F(UMIP) | F(PKU) | F(AVX512_VBMI2) | F(GFNI) | F(VAES) |
	    F(VPCLMULQDQ) | F(AVX512_VNNI) | F(AVX512_BITALG) | F(AVX512_VPOPCNTDQ) |
	    F(RDPID) | F(CLDEMOTE) | F(MOVDIRI) | F(MOVDIR64B),
	    F(AVX512_4VNNIW) | F(AVX512_4FMAPS) | F(FSRM) | F(AVX512_VP2INTERSECT) |
	    F(MD_CLEAR) | F(SERIALIZE) | F(TSXLDTRK) | F(AVX512_FP16) | F(SPEC_CTRL) |
	    F(INTEL_STIBP) | F(SPEC_CTRL_SSBD) },
	  { 0, F(TSC_ADJUST), 0, F(ARCH_CAPABILITIES) } },
	{ 0xb, LEAF_INDEX },
	{ 0xd, LEAF_XSTATE },
	{ 0x1f, LEAF_INDEX },
	{ KVM_CPUID_SIGNATURE, LEAF_PLAIN, {},
	  { KVM_CPUID_FEATURES, 0x4b4d564b, 0x564b4d56, 0x4d } }, /* "KVMKVMKVM" */
	{ KVM_CPUID_FEATURES, LEAF_PLAIN, {}, { PV_FEATURES } },
	{ 0x80000000, LEAF_PLAIN, { ALL, ALL, ALL, ALL } },
	{ 0x80000001, LEAF_PLAIN,
	  { ALL, 0xf000ffff,
	    F(LAHF_LM) | F(CMP_LEGACY) | F(CR8_LEGACY) | F(ABM) | F(SSE4A) | F(MISALIGNSSE) |
	    F(3DNOWPREFETCH) | F(XOP) | F(FMA4) | F(TBM) | F(TOPOEXT),
	    COMMON_EDX | F(SYSCALL) | F(NX) | F(MMXEXT) | F(FXSR_OPT) | F(GBPAGES) | F(RDTSCP) |
	    F(LM) | F(3DNOWEXT) | F(3DNOW) } },
	{ 0x80000002, LEAF_PLAIN, { ALL, ALL, ALL, ALL } },
	{ 0x80000003, LEAF_PLAIN, { ALL, ALL, ALL, ALL } },
	{ 0x80000004, LEAF_PLAIN, { ALL, ALL, ALL, ALL } },
	{ 0x80000005, LEAF_PLAIN, { ALL, ALL, ALL, ALL } },
	{ 0x80000006, LEAF_PLAIN, { ALL, ALL, ALL, ALL } },
	{ 0x80000007, LEAF_PLAIN, { 0, 0, 0, BIT(8) } }, /* invariant TSC */
	/* Physical addresses as the host has them, linear ones of 48 bits. */
	{ 0x80000008, LEAF_PLAIN, { 0xff,
	    F(CLZERO) | F(XSAVEERPTR) | F(WBNOINVD) | F(AMD_IBPB) | F(AMD_IBRS) | F(AMD_STIBP) |
	    F(AMD_STIBP_ALWAYS_ON) | F(AMD_SSBD) | F(AMD_SSB_NO) },
	  { 48 << 8 } },
	{ 0x8000001d, LEAF_CACHES, { ALL, ALL, ALL, ALL } },
	{ 0x8000001e, LEAF_PLAIN },
};

static struct kvm_cpuid_entry2 supported[64] __ro_after_init;
static int nr_supported __ro_after_init;

u32 mv_supported_features[MV_NR_FEATURE_WORDS] __ro_after_init;

static u64 supported_xcr0 __ro_after_init;

/* The components of the XSAVE area: where they are in the standard form. SDM vol. 1, 13.4. */
static struct {
	u32 size, offset;
	bool aligned; /* to 64 bytes, in the compacted form */
} xstate_components[XFEATURE_MAX] __ro_after_init;

u64 mv_supported_xcr0(void)
{
	return supported_xcr0;
}

u32 mv_xstate_size(u64 xfeatures, bool compacted)
{
	u32 size = FXSAVE_SIZE + XSAVE_HDR_SIZE;
	int i;

	for (i = FIRST_EXTENDED_XFEATURE; i < XFEATURE_MAX; i++) {
		if (!(xfeatures & BIT_ULL(i)))
			continue;
		if (compacted)
			size = (xstate_components[i].aligned ? ALIGN(size, 64) : size) +
			       xstate_components[i].size;
		else
			size = max(size, xstate_components[i].offset + xstate_components[i].size);
	}
	return size;
}

static struct kvm_cpuid_entry2 *__init add_host(u32 function, u32 index, bool indexed)
{
	struct kvm_cpuid_entry2 *e = &supported[nr_supported];

	/* The last one is scratch space for the case that all are used. */
	if (nr_supported < ARRAY_SIZE(supported) - 1)
		nr_supported++;
	e->function = function;
	e->index = index;
	e->flags = indexed ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0;
	cpuid_count(function, index, &e->eax, &e->ebx, &e->ecx, &e->edx);
	return e;
}

static bool is_feature_word(int word, const struct kvm_cpuid_entry2 *e)
{
	return e->function && mv_feature_words[word].function == e->function &&
	       mv_feature_words[word].index == e->index;
}

static void __init mask_entry(struct kvm_cpuid_entry2 *e, const struct leaf *leaf)
{
	int reg, i;

	for (i = 0; i < NCAPINTS; i++)
		if (is_feature_word(i, e))
			*entry_reg(e, mv_feature_words[i].reg) &= boot_cpu_data.x86_capability[i];
	for (reg = EAX; reg <= EDX; reg++) {
		*entry_reg(e, reg) &= leaf->mask[reg];
		*entry_reg(e, reg) |= leaf->set[reg];
	}
}

static void __init add_features(const struct leaf *leaf)
{
	static const struct leaf subleaf_1 __initconst = { 7, LEAF_FEATURES, { LEAF_7_1_EAX } };
	struct kvm_cpuid_entry2 *e = add_host(7, 0, true);
	u32 max_index = min(e->eax, 1u);

	mask_entry(e, leaf);
	e->eax = max_index;
	if (!boot_cpu_has(X86_FEATURE_OSPKE))
		e->ecx &= ~F(PKU);
	if (max_index)
		mask_entry(add_host(7, 1, true), &subleaf_1);
}

static void __init add_xstate(void)
{
	static const struct leaf subleaf_1 __initconst = { 0xd, LEAF_XSTATE, { LEAF_D_1_EAX } };
	struct kvm_cpuid_entry2 *e;
	int i;

	if (!supported_xcr0)
		return;
	for (i = FIRST_EXTENDED_XFEATURE; i < XFEATURE_MAX; i++) {
		u32 flags, unused;

		if (supported_xcr0 & BIT_ULL(i)) {
			cpuid_count(0xd, i, &xstate_components[i].size,
				    &xstate_components[i].offset, &flags, &unused);
			xstate_components[i].aligned = flags & BIT(1);
		}
	}

	e = add_host(0xd, 0, true);
	e->eax = supported_xcr0;
	e->edx = supported_xcr0 >> 32;
	e->ebx = mv_xstate_size(supported_xcr0, false);
	e->ecx = e->ebx;

	e = add_host(0xd, 1, true);
	mask_entry(e, &subleaf_1);
	if (!(mv_backend->features & MINIVIRT_FEATURE_XSAVES))
		e->eax &= ~F(XSAVES);
	e->ebx = e->eax & (F(XSAVES) | F(XSAVEC)) ? mv_xstate_size(supported_xcr0, true) : 0;

	for (i = FIRST_EXTENDED_XFEATURE; i < XFEATURE_MAX; i++) {
		if (supported_xcr0 & BIT_ULL(i)) {
			e = add_host(0xd, i, true);
			e->ecx &= BIT(1);
			e->edx = 0;
		}
	}
}

static void __init add_caches(const struct leaf *leaf)
{
	struct kvm_cpuid_entry2 *e;
	u32 index = 0;

	/* AMD's leaf is there only with the topology extensions. */
	if (leaf->function == 0x8000001d && !boot_cpu_has(X86_FEATURE_TOPOEXT))
		return;
	do {
		e = add_host(leaf->function, index, true);
	} while ((e->eax & 0x1f) && ++index < 8);
}

static void __init add_leaf(const struct leaf *leaf)
{
	struct kvm_cpuid_entry2 *e;

	switch (leaf->kind) {
	case LEAF_FEATURES:
		add_features(leaf);
		break;
	case LEAF_XSTATE:
		add_xstate();
		break;
	case LEAF_CACHES:
		add_caches(leaf);
		break;
	default:
		e = add_host(leaf->function, 0, leaf->kind == LEAF_INDEX);
		mask_entry(e, leaf);
		if (leaf->function == 0)
			e->eax = min_t(u32, e->eax, MAX_BASIC);
		else if (leaf->function == 0x80000000)
			e->eax = min_t(u32, e->eax, MAX_EXTENDED);
	}
}

static void __init compute_features(void)
{
	int i, j;

	for (i = 0; i < NCAPINTS; i++)
		for (j = 0; j < nr_supported; j++)
			if (is_feature_word(i, &supported[j]))
				mv_supported_features[i] =
					*entry_reg(&supported[j], mv_feature_words[i].reg);
	mv_supported_features[CPUID_1_ECX] |= F(TSC_DEADLINE_TIMER);
	mv_supported_features[MV_PV_WORD] = PV_FEATURES;
}

void __init mv_cpuid_init(void)
{
	u32 host_max[3];
	int i;

	host_max[0] = cpuid_eax(0);
	host_max[1] = KVM_CPUID_FEATURES;
	host_max[2] = cpuid_eax(0x80000000);
	if (boot_cpu_has(X86_FEATURE_XSAVE))
		supported_xcr0 = xgetbv(XCR_XFEATURE_ENABLED_MASK) &
				 (XFEATURE_MASK_FPSSE | XFEATURE_MASK_YMM | XFEATURE_MASK_AVX512 |
				  XFEATURE_MASK_PKRU);

	for (i = 0; i < ARRAY_SIZE(leaves); i++)
		if (leaves[i].function <= host_max[leaves[i].function >> 30])
			add_leaf(&leaves[i]);
	compute_features();
}

long mv_get_supported_cpuid(struct kvm_cpuid2 __user *arg)
{
	struct kvm_cpuid2 head;

	if (copy_from_user(&head, arg, sizeof(head)))
		return -EFAULT;
	if (head.nent < nr_supported)
		return -E2BIG;
	head.nent = nr_supported;
	if (copy_to_user(arg->entries, supported, nr_supported * sizeof(*supported)) ||
	    copy_to_user(arg, &head, sizeof(head)))
		return -EFAULT;
	return 0;
}

/* Features that the module would emulate for a processor that lacks them: none, not even leaf 1. */
long mv_get_emulated_cpuid(struct kvm_cpuid2 __user *arg)
{
	struct kvm_cpuid_entry2 leaf_0 = {};
	struct kvm_cpuid2 head;
	u32 i;

	if (copy_from_user(&head, arg, sizeof(head)))
		return -EFAULT;
	if (!head.nent)
		return -E2BIG;
	for (i = 0; i < min_t(u32, head.nent, MV_MAX_CPUID_ENTRIES); i++)
		if (check_zeroed_user(arg->entries[i].padding, sizeof(leaf_0.padding)) <= 0)
			return -EINVAL;
	head.nent = 1;
	if (copy_to_user(arg->entries, &leaf_0, sizeof(leaf_0)) ||
	    copy_to_user(arg, &head, sizeof(head)))
		return -EFAULT;
	return 0;
}
