/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What code that runs inside a guest may use.
 *
 * A 64-bit guest is a C function of the test program.  The program's image is
 * copied into the guest's memory at the addresses it is linked to, and the
 * guest's page tables map guest-virtual to equal guest-physical addresses, so
 * functions, constants and globals of the program are there.  The globals are
 * the guest's own copies: values that the host stores before vm_create() are
 * seen by the guest; later the host reaches them through guest_ptr().
 *
 * Nothing of the C library may be called from a guest.
 */
#ifndef SELFTESTS_GUEST_H
#define SELFTESTS_GUEST_H

#include "setup.h"

/* Guest-physical layout; the image lies at 4 MiB, where the linker puts it. */
#define GPA_GDT 0x1000
#define GPA_IDT 0x2000
#define GPA_TSS 0x3000 /* 128 bytes for each vCPU */
#define GPA_CODE 0x8000 /* 16-bit and 32-bit guests: code and its stack below */
#define GPA_PML4 0x10000 /* 16 pages of page tables */
#define GPA_STACKS 0x20000
#define STACK_SIZE 0x2000 /* for each vCPU */
#define GPA_FREE 0x100000 /* from here to the image: the test's own */
#define GPA_IMAGE 0x400000
#define RAM_SIZE 0x800000
#define GPA_MMIO 0xd0000000 /* never memory; mapped in 64-bit guests */

/* SEL_CODE and SEL_DATA, those of ring 0, are in setup.h. */
#define SEL_UCODE 0x1b
#define SEL_UDATA 0x23
#define SEL_CODE32 0x28
#define SEL_TSS 0x30

/* What a guest says to the host: a byte written here, arguments in registers. */
#define UCALL_PORT 0xe9

enum ucall_type {
	UCALL_SYNC = 1, /* args[0]: any value */
	UCALL_DONE,
	UCALL_ASSERT, /* args[0]: text, [1]: line, [2], [3]: values */
	UCALL_EXCEPTION, /* args[0]: vector, [1]: error, [2]: rip, [3]: cr2 */
};

static inline __attribute__((always_inline)) void ucall(u64 type, u64 a0, u64 a1, u64 a2, u64 a3)
{
	register u64 r8 asm("r8") = a3;

	asm volatile("outb %%al, %[port]"
		     :
		     : [port] "N"(UCALL_PORT), "D"(type), "S"(a0), "d"(a1), "c"(a2), "r"(r8), "a"(0)
		     : "memory");
}

#define GUEST_SYNC(value) ucall(UCALL_SYNC, (u64)(value), 0, 0, 0)
#define GUEST_DONE() ucall(UCALL_DONE, 0, 0, 0, 0)

#define __GUEST_ASSERT(a, op, b, text)                                                             \
	do {                                                                                       \
		u64 __a = (u64)(a), __b = (u64)(b);                                                \
		if (!(__a op __b))                                                                 \
			ucall(UCALL_ASSERT, (u64)(text), __LINE__, __a, __b);                      \
	} while (0)
#define GUEST_ASSERT_EQ(a, b) __GUEST_ASSERT(a, ==, b, __FILE__ ": " #a " == " #b)
#define GUEST_ASSERT_NE(a, b) __GUEST_ASSERT(a, !=, b, __FILE__ ": " #a " != " #b)
#define GUEST_ASSERT(cond) __GUEST_ASSERT(!!(cond), !=, 0, __FILE__ ": " #cond)

/* The frame that an exception handler gets; changes to it take effect. */
struct ex_frame {
	u64 r15, r14, r13, r12, r11, r10, r9, r8;
	u64 rdi, rsi, rbp, rbx, rdx, rcx, rax;
	u64 vector, error;
	u64 rip, cs, rflags, rsp, ss;
};

typedef void (*ex_handler_t)(struct ex_frame *frame);

/* One for all vCPUs of a VM.  Set by the guest or, before vm_create(), by the host. */
extern ex_handler_t guest_handlers[256];

/*
 * TRY() executes one instruction and gives the vector of the exception that it
 * raised, or TRY_NONE.  TRY_ERR() stores the error code too.  Inputs that the
 * instruction names must have a name: TRY("mov %[v], %%cr3", [v] "r"(val)).
 */
#define TRY_NONE 0x100u
#define TRY_MAGIC 0x74727921u

#define TRY_ERR(err, insn, inputs...)                                                              \
	({                                                                                         \
		u64 __vector;                                                                      \
		asm volatile("leaq 771f(%%rip), %%r11\n\t"                                         \
			     "movl %[magic], %%r10d\n\t" insn "\n\t"                               \
			     "movl %[none], %%r10d\n"                                              \
			     "771:\n\t"                                                            \
			     "movq %%r10, %[vec]\n\t"                                              \
			     "movq %%r9, %[error]"                                                 \
			     : [vec] "=&r"(__vector), [error] "=&r"(err)                           \
			     : [magic] "i"(TRY_MAGIC), [none] "i"(TRY_NONE), ##inputs              \
			     : "r9", "r10", "r11", "memory", "cc");                                \
		__vector;                                                                          \
	})
#define TRY(insn, inputs...)                                                                       \
	({                                                                                         \
		u64 __error __attribute__((unused));                                               \
		TRY_ERR(__error, insn, ##inputs);                                                  \
	})

enum {
	DE = 0, DB = 1, NMI = 2, BP = 3, OF = 4, BR = 5, UD = 6, NM = 7, DF = 8, TS = 10, NP = 11,
	SS = 12, GP = 13, PF = 14, MF = 16, AC = 17, MC = 18, XM = 19,
};

static inline u64 rdmsr(u32 msr)
{
	u32 lo, hi;

	asm volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr) : "memory");
	return (u64)hi << 32 | lo;
}

static inline void wrmsr(u32 msr, u64 val)
{
	asm volatile("wrmsr" : : "c"(msr), "a"((u32)val), "d"((u32)(val >> 32)) : "memory");
}

/* The vector of the exception that it raised, or TRY_NONE. */
static inline u64 rdmsr_safe(u32 msr, u64 *val)
{
	u64 vec;
	u32 lo = 0, hi = 0;

	asm volatile("leaq 771f(%%rip), %%r11\n\t"
		     "movl %[magic], %%r10d\n\t"
		     "rdmsr\n\t"
		     "movl %[none], %%r10d\n"
		     "771:\n\t"
		     "movq %%r10, %[vec]"
		     : [vec] "=r"(vec), "+a"(lo), "+d"(hi)
		     : [magic] "i"(TRY_MAGIC), [none] "i"(TRY_NONE), "c"(msr)
		     : "r9", "r10", "r11", "memory");
	*val = (u64)hi << 32 | lo;
	return vec;
}

static inline u64 wrmsr_safe(u32 msr, u64 val)
{
	return TRY("wrmsr", "c"(msr), "a"((u32)val), "d"((u32)(val >> 32)));
}

#define DEFINE_CR(n)                                                                               \
	static inline u64 read_cr##n(void)                                                         \
	{                                                                                          \
		u64 val;                                                                           \
												   \
		asm volatile("mov %%cr" #n ", %0" : "=r"(val));                                    \
		return val;                                                                        \
	}                                                                                          \
	static inline void write_cr##n(u64 val)                                                    \
	{                                                                                          \
		asm volatile("mov %0, %%cr" #n : : "r"(val) : "memory");                           \
	}
DEFINE_CR(0)
DEFINE_CR(2)
DEFINE_CR(3)
DEFINE_CR(4)
DEFINE_CR(8)

static inline void cpuid(u32 leaf, u32 index, u32 *a, u32 *b, u32 *c, u32 *d)
{
	asm volatile("cpuid" : "=a"(*a), "=b"(*b), "=c"(*c), "=d"(*d) : "0"(leaf), "2"(index));
}

static inline u64 rdtsc(void)
{
	u32 lo, hi;

	asm volatile("rdtsc" : "=a"(lo), "=d"(hi));
	return (u64)hi << 32 | lo;
}

static inline void outb(u16 port, u8 val)
{
	asm volatile("outb %0, %1" : : "a"(val), "Nd"(port) : "memory");
}

static inline u8 inb(u16 port)
{
	u8 val;

	asm volatile("inb %1, %0" : "=a"(val) : "Nd"(port) : "memory");
	return val;
}

static inline void invlpg(u64 addr)
{
	asm volatile("invlpg (%0)" : : "r"(addr) : "memory");
}

static inline void cpu_relax(void)
{
	asm volatile("pause" : : : "memory");
}

/* Goes on in fn() in ring 3, where I/O ports may be used too, so ucalls work. */
static inline void enter_user(void (*fn)(void))
{
	asm volatile("movq %%rsp, %%rax\n\t"
		     "andq $-16, %%rax\n\t"
		     "subq $8, %%rax\n\t"
		     "pushq %[ss]\n\t"
		     "pushq %%rax\n\t"
		     "pushq $0x3002\n\t"
		     "pushq %[cs]\n\t"
		     "pushq %[fn]\n\t"
		     "iretq"
		     :
		     : [ss] "i"(SEL_UDATA), [cs] "i"(SEL_UCODE), [fn] "r"(fn)
		     : "rax", "memory");
}

#define sti() asm volatile("sti" : : : "memory")
#define cli() asm volatile("cli" : : : "memory")
#define hlt() asm volatile("hlt" : : : "memory")
#define READ_ONCE(x) (*(const volatile __typeof__(x) *)&(x))
#define WRITE_ONCE(x, val) (*(volatile __typeof__(x) *)&(x) = (val))

/* The entry of a 4 KiB page of guest memory below RAM_SIZE; for guest and host (a gpa). */
static inline u64 pte_gpa(u64 gva)
{
	return GPA_PML4 + 6 * 0x1000 + gva / 0x1000 * 8;
}

/*
 * A 16-bit or 32-bit guest (or one of 64-bit assembly) as bytes of the program:
 * GUEST_ASM(name, "16", "...") defines name[] and name_end[].  It is assembled
 * for GPA_CODE through labels relative to its start.
 */
#define GUEST_ASM(name, bits, text)                                                                \
	extern const u8 name[], name##_end[];                                                      \
	asm(".pushsection .rodata\n\t"                                                             \
	    ".code" bits "\n" #name ":\n" text "\n" #name "_end:\n\t"                              \
	    ".code64\n\t"                                                                          \
	    ".popsection")

#endif /* SELFTESTS_GUEST_H */
