/* SPDX-License-Identifier: GPL-2.0-only */
/* Between features.c, what can be given to guests, and cpuid.c, what one was given. */
#ifndef MV_CPU_FEATURES_H
#define MV_CPU_FEATURES_H

#include "base/types.h"

enum { EAX, EBX, ECX, EDX };

static_assert(offsetof(struct kvm_cpuid_entry2, edx) ==
	      offsetof(struct kvm_cpuid_entry2, eax) + EDX * sizeof(u32));

static inline u32 *entry_reg(struct kvm_cpuid_entry2 *e, int reg)
{
	return &e->eax + reg;
}

/* The bit of a feature in its register. */
#define F(name) BIT(X86_FEATURE_##name % 32)

/* Where a word of X86_FEATURE_* is in CPUID; function 0: it is not. */
struct mv_feature_word {
	u32 function, index;
	u8 reg;
};

extern const struct mv_feature_word mv_feature_words[NCAPINTS];

/* The size of the XSAVE area for some components, in the standard or the compacted form. */
u32 mv_xstate_size(u64 xfeatures, bool compacted);

#endif /* MV_CPU_FEATURES_H */
