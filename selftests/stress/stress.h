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
#include "rnd.h"

#define PAGE 0x1000ul
/* Guest-physical memory that slots come to and go from; all of them are parts of the pool. */
#define WINDOW 0x10000000ul
#define WINDOW_SIZE 0x1000000ul
#define POOL_SIZE 0x1000000ul
#define NR_RUNNERS 3
#define NR_EVENTFDS 8
#define MAX_WORKERS 16
#define RING_SIZE 0x4000
#define HOST_NEVER 0x5a5a0000 /* in MSRs of guests */
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

/* guest.c: before a VM is made, and what its vCPUs run, which never returns. */
void stress_prepare_guest(void);
void stress_guest(u64 id, u64 seed);
/* What each has done: the first of a page */
extern u64 stress_counts[MAX_VCPUS][512];

/* workers.c, state.c */
extern const struct race stress_races[];
extern const int stress_nr_races;
/* Brings the vCPU back to the start of its loop. */
void stress_reset_vcpu(struct stress *s, int fd, u64 id, u64 seed);
void stress_run_vcpu(struct worker *w);
void stress_state(struct worker *w);

#endif /* SELFTESTS_STRESS_H */
