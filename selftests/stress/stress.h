/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Races: a process creates a VM whose vCPUs run a loop of exits of all kinds,
 * and workers, threads, that do what they like to it meanwhile.
 */
#ifndef SELFTESTS_STRESS_H
#define SELFTESTS_STRESS_H

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "apic.h"

#define PAGE 0x1000ul
/* Guest-physical memory that slots come to and go from; all of them are parts of the pool. */
#define WINDOW 0x10000000ul
#define WINDOW_SIZE 0x1000000ul
#define POOL_SIZE 0x1000000ul
#define NR_RUNNERS 3
#define NR_EVENTFDS 8
#define MAX_WORKERS 16
#define RING_SIZE 0x4000
#define PORTS 0x200 /* 256 of them, for ioeventfds */

enum irqchip { IRQCHIP_NONE, IRQCHIP_FULL, IRQCHIP_SPLIT };

struct worker;

struct race {
	const char *name;

	void (*workers[MAX_WORKERS - NR_RUNNERS + 1])(struct worker *w); /* up to a NULL */

	/* The guest may do what stops it, and its state may be anything. */
	bool wild;
	bool ring;
	/* The process is killed in the middle, after some ms. */
	bool killed;
};

struct stress {
	const struct race *race;
	struct vm *vm;
	enum irqchip irqchip;
	u8 *pool;
	int eventfds[NR_EVENTFDS];
	struct kvm_regs regs; /* with which a vCPU starts */
	struct kvm_sregs sregs;
	struct worker {
		struct stress *s;
		pthread_t thread;
		u64 rnd;
		void (*fn)(struct worker *w);
		struct vcpu *vcpu; /* of one that runs it */
	} workers[MAX_WORKERS];
	int nr_workers;
};

extern bool stress_stop;
/* What the guest, which has copies, is to know. */
extern bool stress_wild, stress_has_apic;
extern bool stress_vmcall; /* this processor's hypercall is VMCALL, not VMMCALL */
extern bool stress_tcg;

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
u64 rnd_value(u64 *state);
/* Changes a few bytes, words or bits of a structure. */
void rnd_mutate(u64 *state, void *buf, size_t size);

/* guest.c: before a VM is made, and what its vCPUs run, which never returns. */
void stress_prepare_guest(void);
void stress_guest(u64 id, u64 seed);

/* workers.c, state.c */
extern const struct race stress_races[];
extern const int stress_nr_races;
/* Brings the vCPU back to the start of its loop. */
void stress_reset_vcpu(struct stress *s, int fd, u64 id, u64 seed);
void stress_run_vcpu(struct worker *w);
void stress_state(struct worker *w);

#endif /* SELFTESTS_STRESS_H */
