/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Programs of ioctls: made by a grammar, executed, changed. As text, one op a line:
 *
 *	vm KVM_SET_USER_MEMORY_REGION 16:8=0x100000 24:8=mem+0x0
 *	vcpu0 KVM_SET_SREGS get 192:8=0x80000011
 *	vcpu0 run arg=3
 *
 * An op is an object, a call, whether the structure is first filled by the ioctl that
 * gets it, the argument of a call that has no structure, and values that are put into
 * the structure, OFFSET:BYTES=VALUE. A value may be an address in the guest's memory
 * (mem+), one in a buffer (buf+) or an eventfd (event+).
 */
#ifndef SELFTESTS_FUZZ_H
#define SELFTESTS_FUZZ_H

#include <stdio.h>
#include <stdlib.h>
#include "vm.h"
#include "rnd.h"

#define MAX_OPS 24
#define MAX_PATCHES 10
#define MEM_SIZE 0x100000ul
#define BUF_SIZE 0x10000ul
#define NR_VCPUS 4
#define NR_STATS 2
#define NR_EVENTS 4

enum object {
	OBJ_SYS, OBJ_VM, OBJ_STATS, OBJ_VCPU = OBJ_STATS + NR_STATS,
	NR_OBJECTS = OBJ_VCPU + NR_VCPUS,
};

/* What is done to which kind of object. */
enum target { ON_SYS = 1, ON_VM = 2, ON_VCPU = 4, ON_STATS = 8, ON_ANY = 15 };

/* What a value of a structure means. */
enum kind {
	NUMBER = 1, /* any */
	FLAGS, /* few of the lower bits */
	SMALL, /* below 8 */
	SLOT,
	GPA,
	SIZE, /* whole pages */
	MEM, /* an address in the guest's memory */
	BUF, /* one in the buffer */
	EVENT,
	GSI,
	VECTOR,
	MSR,
	LEAF, /* of CPUID */
	CAP,
	PORT, /* or an address of MMIO */
	MSI, /* an address where APICs take messages */
};

struct field {
	u16 offset;
	u8 width, kind;
};

enum special {
	IOCTL_INT = 1, IOCTL_PTR, RUN, GUEST, RUN_PAGE, MEMORY, ADVISE, CLOSE, MAP, SIGNAL, READ,
};

struct call {
	const char *name;
	u32 nr; /* of an ioctl */
	u32 get; /* the ioctl that gets what this one sets */
	u16 size; /* of what its argument points to */
	u8 what; /* enum special */
	u8 on;
	struct field fields[10];
};

enum relative { ABSOLUTE, REL_MEM, REL_BUF, REL_EVENT };

struct patch {
	u16 offset;
	u8 width, relative;
	u64 val;
};

struct op {
	u16 call;
	u8 object;
	u8 get;
	u32 nr_patches;
	u64 arg;
	struct patch patches[MAX_PATCHES];
};

struct program {
	u32 nr;
	struct op ops[MAX_OPS];
};

/* grammar.c */
extern const struct call calls[];
extern const int nr_calls;
extern const char *const object_names[NR_OBJECTS];
void random_op(u64 *r, struct op *op);
void mutate(u64 *r, struct program *p, const struct program *other);

/* text.c: false for what is no program. */
bool read_program(FILE *f, struct program *p);
void write_program(FILE *f, const struct program *p);

/* execute.c */
void executor_init(void);
void execute(const struct program *p, bool verbose);

#endif /* SELFTESTS_FUZZ_H */
