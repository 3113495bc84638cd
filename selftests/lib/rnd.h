/* SPDX-License-Identifier: GPL-2.0-only */
/* Random numbers that a seed repeats. */
#ifndef SELFTESTS_RND_H
#define SELFTESTS_RND_H

#include <string.h>
#include "setup.h"

/* xorshift64*: also for the guest, which has no C library. */
static inline u64 rnd(u64 *state)
{
	u64 x = *state;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	*state = x;
	return (x * 0x2545f4914f6cdd1dull) >> 16;
}

static inline u64 rnd_below(u64 *state, u64 end)
{
	return rnd(state) % end;
}

/* A state from any number, so that neighbours give different numbers. */
static inline u64 rnd_seed(u64 seed)
{
	seed = (seed ^ (seed >> 30)) * 0xbf58476d1ce4e5b9ull + 0x9e3779b97f4a7c15ull;
	seed = (seed ^ (seed >> 27)) * 0x94d049bb133111ebull;
	return (seed ^ (seed >> 31)) | 1;
}

/* A value as those that are not expected are: bounds, single bits, anything. */
static inline u64 rnd_value(u64 *r)
{
	static const u64 some[] = {
		0, 1, 2, 3, 0x7f, 0x80, 0xff, 0x100, 0xfff, 0x1000, 0x7fff, 0x8000, 0xffff, 0x10000,
		0x7fffffff, 0x80000000, 0xffffffff, 0x100000000, 0xfee00000, 0xfffffffff000,
		0x7fffffffffff, 0x800000000000, 0xffff800000000000, 0x7fffffffffffffff,
		0x8000000000000000, 0xfffffffffffff000, 0xffffffffffffffff,
	};

	switch (rnd_below(r, 4)) {
	case 0:
		return 1ull << rnd_below(r, 64);
	case 1:
		return rnd(r) >> rnd_below(r, 48);
	case 2:
		return rnd(r) << 16 ^ rnd(r);
	default:
		return some[rnd_below(r, sizeof(some) / sizeof(some[0]))];
	}
}

/* Changes a few bytes, words or more of a structure. */
static inline void rnd_mutate(u64 *r, void *buf, size_t size)
{
	static const u8 widths[] = { 1, 1, 2, 4, 8 };
	u64 n = 1 + rnd_below(r, 4), val;

	while (n--) {
		u8 width = widths[rnd_below(r, 5)];

		if (width > size)
			continue;
		val = rnd_value(r);
		memcpy((u8 *)buf + rnd_below(r, size / width) * width, &val, width);
	}
}

#endif /* SELFTESTS_RND_H */
