/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The instruction emulator: executes one guest instruction whose memory operand (or port) the
 * hardware left to the hypervisor. It sees the vCPU only through struct mv_emul and its ops, so
 * it compiles in userspace too, where it is tested against the real processor.
 */
#ifndef MINIVIRT_EMUL_H
#define MINIVIRT_EMUL_H

#include <linux/bits.h>
#include <linux/types.h>

struct mv_emul;

/* What the emulator's functions and its ops return. */
enum mv_emul_result {
	MV_EMUL_OK	= 0,	/* done; for an instruction: committed */
	MV_EMUL_REP	= 1,	/* iterations are done, others not: re-enter the guest at RIP */
	MV_EMUL_POSTED	= 2,	/* ops only: a write accepted, to be shown to userspace at commit */
	MV_EMUL_RETRY	= 3,	/* nothing is done, another vCPU was quicker: re-enter */
	MV_EMUL_IO	= -1,	/* userspace has to answer a read; then run the instruction again */
	MV_EMUL_FAULT	= -2,	/* inject mv_emul.exception */
	MV_EMUL_UNKNOWN	= -3,	/* KVM_EXIT_INTERNAL_ERROR with mv_emul.insn */
};

enum mv_emul_mode {
	MV_MODE_REAL,		/* CR0.PE clear */
	MV_MODE_V86,		/* RFLAGS.VM set */
	MV_MODE_PROT16,		/* CS.D clear; with EFER.LMA, compatibility mode */
	MV_MODE_PROT32,		/* CS.D set; with EFER.LMA, compatibility mode */
	MV_MODE_LONG64,		/* EFER.LMA and CS.L set */
};

/* Segment registers, in the instruction set's encoding (SDM vol. 2B, table B-8). */
enum mv_emul_seg {
	MV_SEG_ES, MV_SEG_CS, MV_SEG_SS, MV_SEG_DS, MV_SEG_FS, MV_SEG_GS,
	MV_SEG_TR, MV_SEG_LDTR,	/* of get_selector only */
	MV_SEG_NONE = 0xff,
};

#define MV_EMUL_INSN_MAX	15	/* SDM vol. 2A, 2.3.11 */
#define MV_EMUL_INSN_SLACK	17	/* what a decode may read behind that */
#define MV_EMUL_READS_MAX	9	/* POPA, with one operand across a page */
#define MV_EMUL_WRITES_MAX	9	/* PUSHA, likewise */
#define MV_EMUL_PIO_MAX		4096	/* size of the buffer at mv_emul.pio_data */
#define MV_EMUL_LINE		64	/* bytes of a cache line */

/* Segment attributes, laid out as VMX access rights (SDM vol. 3C, 25.4.1). */
#define MV_SEG_TYPE_RW		BIT(1)	/* data: writable; code: readable */
#define MV_SEG_TYPE_DOWN	BIT(2)	/* data: expand-down */
#define MV_SEG_TYPE_CODE	BIT(3)
#define MV_SEG_DPL_SHIFT	5
#define MV_SEG_DPL		(3 << MV_SEG_DPL_SHIFT)
#define MV_SEG_L		BIT(13)
#define MV_SEG_DB		BIT(14)
#define MV_SEG_UNUSABLE		BIT(16)

/**
 * struct mv_emul_ops - what the emulator needs of the vCPU
 *
 * Linear addresses come checked (segment limits, canonical form). Accesses of read, write and
 * cmpxchg never cross a page; they walk the guest's page tables at mv_emul.cpl. A walk that
 * fails fills mv_emul.exception with the #PF and returns MV_EMUL_FAULT.
 *
 * @fetch: Copies up to @len instruction bytes from @la, which stay within a page. Returns how
 *	many, at least one, or a negative enum mv_emul_result.
 * @read: Reads @len bytes. @for_write: the instruction is going to write there too, so that
 *	the page must be writable, and a #PF is reported as one of a write. MV_EMUL_IO: the read
 *	is userspace's; mv_emul_complete_read() brings the data, then the instruction is run
 *	again. @len is 1 to 8, and 8 bytes at @buf are zero then; or for OUTS up to a page; where
 *	more than 8 bytes meet MMIO, return MV_EMUL_UNKNOWN.
 * @write: Writes likewise; more than 8 bytes are of INS. MV_EMUL_POSTED: queued for userspace,
 *	which sees it after the commit; there are at most MV_EMUL_WRITES_MAX in an instruction.
 *	The queue is dropped when the instruction ends in a negative result.
 * @check_write: MV_EMUL_OK if a write to the page of @la would not fault.
 * @cmpxchg: Atomically replaces @len (1, 2, 4, 8 or 16) bytes, which are in one cache line, by
 *	@new if they are @old; MV_EMUL_RETRY if they are not. On MMIO it is a write of @new; one
 *	of 16 bytes counts as two posted writes.
 * @pio_in: Reads @count units of @size bytes from @port to pio_data, or MV_EMUL_IO, and is then
 *	called again with the same arguments. Data that were not asked for again because the
 *	instruction ended otherwise are dropped.
 * @pio_out: Writes @count units from pio_data: MV_EMUL_OK or MV_EMUL_POSTED.
 * @get_seg: A segment register's hidden part; @base is not truncated. Not called in
 *	MV_MODE_LONG64 for other segments than FS and GS.
 * @get_selector: Of a segment register, LDTR or TR.
 * @load_seg: Loads one (not CS, LDTR, TR) with all checks: MV_EMUL_OK, _FAULT or _UNKNOWN.
 * @get_cr: CR0 or CR4, which few instructions need.
 * @set_cr0: MV_EMUL_OK or _FAULT.
 * @fpu_word: The control or status word of the x87 FPU.
 * @read_mm, @write_mm: An MMX register, with what that does to the x87 FPU.
 * @read_xmm: The 16 bytes of register @n. The emulator has checked CR0 and CR4 for it.
 * @write_xmm: Sets them; bits beyond 127 of the vector register stay.
 */
struct mv_emul_ops {
	int (*fetch)(struct mv_emul *e, u64 la, u8 *buf, unsigned int len);
	int (*read)(struct mv_emul *e, u64 la, void *buf, unsigned int len, bool for_write);
	int (*write)(struct mv_emul *e, u64 la, const void *buf, unsigned int len);
	int (*check_write)(struct mv_emul *e, u64 la);
	int (*cmpxchg)(struct mv_emul *e, u64 la, const void *old, const void *new,
		       unsigned int len);
	int (*pio_in)(struct mv_emul *e, u16 port, unsigned int size, unsigned int count);
	int (*pio_out)(struct mv_emul *e, u16 port, unsigned int size, unsigned int count);
	void (*get_seg)(struct mv_emul *e, unsigned int seg, u64 *base, u32 *limit, u32 *attr);
	u16 (*get_selector)(struct mv_emul *e, unsigned int seg);
	int (*load_seg)(struct mv_emul *e, unsigned int seg, u16 selector);
	u64 (*get_cr)(struct mv_emul *e, unsigned int n);
	int (*set_cr0)(struct mv_emul *e, u64 val);
	u16 (*fpu_word)(struct mv_emul *e, bool status);
	u64 (*read_mm)(struct mv_emul *e, unsigned int n);
	void (*write_mm)(struct mv_emul *e, unsigned int n, u64 val);
	void (*read_xmm)(struct mv_emul *e, unsigned int n, u64 val[2]);
	void (*write_xmm)(struct mv_emul *e, unsigned int n, const u64 val[2]);
};

struct mv_emul_exception {
	u8 vector;
	bool has_error_code;
	u32 error_code;
	u64 cr2;		/* of a #PF */
};

/* A decoded instruction. @len, @opcode and @rm are of use to others, the rest is private. */
struct mv_insn {
	u8 len;			/* bytes decoded so far */
	u8 op;
	u8 form;
	u8 opcode;		/* the last opcode byte */
	u16 flags;
	u8 opsize;		/* operand size in bytes */
	u8 memsize;		/* size of the ModRM operand; differs for MOVZX and the like */
	u8 addrsize;
	u8 rex;
	u8 rep;			/* 0, or the last of 0xf2 and 0xf3 */
	u8 seg;			/* segment of the memory operand */
	u8 reg;			/* register number of ModRM.reg */
	u8 rm;			/* of ModRM.rm, if !mem */
	bool mem;		/* the ModRM operand is in memory */
	bool rip_rel;		/* and addressed relative to RIP */
	bool opsize_prefix;
	bool lock;
	u64 ea;			/* offset in the segment */
	u64 la;			/* linear address */
	u64 imm;		/* sign-extended */
};

/**
 * struct mv_emul - the emulator's view of a vCPU, embedded in it
 *
 * For a new exit the caller sets the first group and calls mv_emul_start(); what the hardware
 * told it about the access goes into the second group after that. After MV_EMUL_OK and
 * MV_EMUL_REP it takes over @rip and @rflags; registers were written in place. Clearing the
 * interrupt shadow, and the single-step trap of RFLAGS.TF, are the caller's.
 */
struct mv_emul {
	const struct mv_emul_ops *ops;
	u64 *gpr;			/* 16 registers, encoding order: RAX, RCX, RDX, ... */
	void *pio_data;			/* MV_EMUL_PIO_MAX bytes, aligned to 8 */
	u64 rip;
	u64 rflags;
	u8 mode;			/* enum mv_emul_mode */
	u8 cpl;

	u8 insn_len;			/* valid bytes of @insn, 0 or from decode assists */
	u8 insn[MV_EMUL_INSN_MAX + MV_EMUL_INSN_SLACK];
	bool gpa_valid;			/* @gpa is where the access that exited went */
	bool gpa_write;			/* and that access was a write */
	u64 gpa;

	struct mv_emul_exception exception;

	/* The rest is private. */
	bool resume;			/* decoded, waits for userspace's answer */
	bool posted;			/* a write of this instruction was posted */
	u8 nr_reads;			/* userspace's answers to this instruction, in order */
	u8 next_read;			/* how many of them this attempt has used */
	struct mv_emul_read {
		u64 la;
		u64 data;
		u8 len;
	} reads[MV_EMUL_READS_MAX];	/* [nr_reads] is the one under way */
	struct mv_insn d;
};

/**
 * struct mv_string_io - INS or OUTS as the hardware describes it at an I/O exit
 * @size: Of a unit, in bytes: 1, 2 or 4.
 * @addrsize: Address size in bytes: 2, 4 or 8; 0 where the hardware does not tell: as for @seg.
 * @seg: Of OUTS' source. MV_SEG_NONE where the hardware does not tell: it is then looked up in
 *	the instruction's prefixes.
 * @insn_len: In bytes.
 */
struct mv_string_io {
	u16 port;
	u8 size;
	u8 addrsize;
	u8 seg;
	u8 insn_len;
	bool in;
	bool rep;
};

/**
 * mv_emul_start - prepare for the instruction of a new exit
 *
 * Also called to give up an instruction that waits for userspace.
 */
static inline void mv_emul_start(struct mv_emul *e)
{
	e->insn_len = 0;
	e->gpa_valid = false;
	e->resume = false;
	e->nr_reads = 0;
}

/**
 * mv_emul_hint - the physical address of an access, if the hardware has told it
 * @la: Linear address of an access that an op was asked for.
 * @write: Whether that is a write (or a read for one).
 * @gpa: Where the guest-physical address goes.
 *
 * Returns true if the guest's page tables need not be walked for this access.
 */
static inline bool mv_emul_hint(const struct mv_emul *e, u64 la, bool write, u64 *gpa)
{
	if (!e->gpa_valid || ((la ^ e->gpa) & 0xfff) || (write && !e->gpa_write))
		return false;
	*gpa = e->gpa;
	return true;
}

/**
 * mv_emul_decode - decode the instruction at mv_emul.rip into mv_emul.d
 *
 * Returns MV_EMUL_OK, MV_EMUL_FAULT or MV_EMUL_UNKNOWN.
 */
int mv_emul_decode(struct mv_emul *e);

/**
 * mv_emul_system_len - the length of an intercepted instruction without an operand in memory
 * @insn: MV_EMUL_INSN_MAX bytes and three more.
 *
 * Returns 0 if it is none, or no longer: another vCPU may have overwritten it.
 */
unsigned int mv_emul_system_len(const u8 *insn);

/**
 * mv_emul_raise - make an exception the one to inject
 * @error_code: Of those that push one.
 *
 * Returns MV_EMUL_FAULT.
 */
int mv_emul_raise(struct mv_emul *e, unsigned int vector, u32 error_code);

/**
 * mv_emul_insn - emulate the instruction at mv_emul.rip
 *
 * After MV_EMUL_IO it is to be called again once userspace has answered. Returns an enum
 * mv_emul_result; a negative one leaves all registers as they were, except that the iterations
 * which a repeated string instruction has completed stay completed.
 */
int mv_emul_insn(struct mv_emul *e);

/**
 * mv_emul_string_io - INS or OUTS, without a decode
 * @io: What the hardware says of it. The hardware has checked the right to use the port.
 *
 * Transfers at most a page. Returns as mv_emul_insn(). After MV_EMUL_IO, call either.
 */
int mv_emul_string_io(struct mv_emul *e, const struct mv_string_io *io);

/**
 * mv_emul_complete_read - userspace's answer to the read that gave MV_EMUL_IO
 * @data: As many bytes as were asked for, zero-extended.
 */
void mv_emul_complete_read(struct mv_emul *e, u64 data);

#endif
