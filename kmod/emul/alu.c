// SPDX-License-Identifier: GPL-2.0
/*
 * Arithmetic and its flags. Flags that the manual leaves undefined come out as of the neighbouring
 * defined case.
 */
#include "insn.h"

#define FLAGS_ZSP	(X86_EFLAGS_ZF | X86_EFLAGS_SF | X86_EFLAGS_PF)
#define FLAGS_ARITH	(FLAGS_ZSP | X86_EFLAGS_CF | X86_EFLAGS_OF | X86_EFLAGS_AF)

static u64 flag(u64 flag, bool set)
{
	return set ? flag : 0;
}

static u64 zero_sign_parity(u64 r, unsigned int size)
{
	unsigned int nibble = (r ^ (r >> 4)) & 0xf;

	return flag(X86_EFLAGS_ZF, !r) |
	       flag(X86_EFLAGS_SF, r >> (size * 8 - 1)) |
	       flag(X86_EFLAGS_PF, !((0x6996 >> nibble) & 1));
}

static u64 add(u64 a, u64 b, bool carry, unsigned int size, u64 *rflags)
{
	u64 r = (a + b + carry) & mv_emul_mask(size);
	unsigned int sign = size * 8 - 1;

	*rflags = (*rflags & ~FLAGS_ARITH) | zero_sign_parity(r, size) |
		  flag(X86_EFLAGS_CF, (((a & b) | ((a | b) & ~r)) >> sign) & 1) |
		  flag(X86_EFLAGS_OF, (((a ^ r) & (b ^ r)) >> sign) & 1) |
		  flag(X86_EFLAGS_AF, (a ^ b ^ r) & 0x10);
	return r;
}

static u64 sub(u64 a, u64 b, bool borrow, unsigned int size, u64 *rflags)
{
	u64 r = (a - b - borrow) & mv_emul_mask(size);
	unsigned int sign = size * 8 - 1;

	*rflags = (*rflags & ~FLAGS_ARITH) | zero_sign_parity(r, size) |
		  flag(X86_EFLAGS_CF, (((~a & b) | ((~a | b) & r)) >> sign) & 1) |
		  flag(X86_EFLAGS_OF, (((a ^ b) & (a ^ r)) >> sign) & 1) |
		  flag(X86_EFLAGS_AF, (a ^ b ^ r) & 0x10);
	return r;
}

static u64 logic(u64 r, unsigned int size, u64 *rflags)
{
	*rflags = (*rflags & ~FLAGS_ARITH) | zero_sign_parity(r, size);
	return r;
}

static u64 bit_test(enum mv_op op, u64 a, u64 b, unsigned int size, u64 *rflags)
{
	u64 bit = 1ull << (b & (size * 8 - 1));

	*rflags = (*rflags & ~X86_EFLAGS_CF) | flag(X86_EFLAGS_CF, a & bit);
	switch (op) {
	case OP_BTS:
		return a | bit;
	case OP_BTR:
		return a & ~bit;
	case OP_BTC:
		return a ^ bit;
	default:
		return a;
	}
}

/*
 * Result of @op on @a, the destination, and @b, both @size bytes and zero-extended. Updates the
 * arithmetic flags in @rflags.
 */
u64 mv_emul_alu(enum mv_op op, u64 a, u64 b, unsigned int size, u64 *rflags)
{
	bool carry = *rflags & X86_EFLAGS_CF;
	u64 r;

	switch (op) {
	case OP_ADD:
		return add(a, b, false, size, rflags);
	case OP_ADC:
		return add(a, b, carry, size, rflags);
	case OP_SUB:
	case OP_CMP:
		return sub(a, b, false, size, rflags);
	case OP_SBB:
		return sub(a, b, carry, size, rflags);
	case OP_NEG:
		return sub(0, a, false, size, rflags);
	case OP_OR:
		return logic(a | b, size, rflags);
	case OP_AND:
	case OP_TEST:
		return logic(a & b, size, rflags);
	case OP_XOR:
		return logic(a ^ b, size, rflags);
	case OP_NOT:
		return ~a & mv_emul_mask(size);
	case OP_INC:
	case OP_DEC:
		r = op == OP_INC ? add(a, 1, false, size, rflags) : sub(a, 1, false, size, rflags);
		*rflags = (*rflags & ~X86_EFLAGS_CF) | flag(X86_EFLAGS_CF, carry);
		return r;
	default:
		return bit_test(op, a, b, size, rflags);
	}
}

/* RCL rotates through CF, so it goes bit by bit; there are at most 63. */
static u64 rotate_carry(enum mv_op op, u64 a, unsigned int count, unsigned int size, bool *carry)
{
	unsigned int sign = size * 8 - 1;
	bool out;

	while (count--) {
		if (op == OP_RCL) {
			out = (a >> sign) & 1;
			a = (a << 1) | *carry;
		} else {
			out = a & 1;
			a = (a >> 1) | ((u64)*carry << sign);
		}
		*carry = out;
	}
	return a & mv_emul_mask(size);
}

/* The shifts and rotates (SDM vol. 2B, "RCL/RCR/ROL/ROR", "SAL/SAR/SHL/SHR"). */
u64 mv_emul_shift(enum mv_op op, u64 a, unsigned int count, unsigned int size, u64 *rflags)
{
	bool carry = *rflags & X86_EFLAGS_CF;
	unsigned int bits = size * 8, sign = bits - 1, n;
	bool overflow;
	u64 r, flags;
	s64 wide;

	count &= size == 8 ? 63 : 31;
	if (!count)
		return a;
	n = count & sign;

	switch (op) {
	case OP_ROL:
		r = n ? ((a << n) | (a >> (bits - n))) & mv_emul_mask(size) : a;
		carry = r & 1;
		break;
	case OP_ROR:
		r = n ? ((a >> n) | (a << (bits - n))) & mv_emul_mask(size) : a;
		carry = (r >> sign) & 1;
		break;
	case OP_RCL:
	case OP_RCR:
		r = rotate_carry(op, a, count, size, &carry);
		break;
	case OP_SHL:
	case OP_SAL:
		carry = count <= bits && (a >> (bits - count)) & 1;
		r = (a << count) & mv_emul_mask(size);
		break;
	case OP_SHR:
		carry = (a >> (count - 1)) & 1;
		r = a >> count;
		break;
	default:
		wide = (s64)mv_emul_sign_extend(a, size);
		carry = (wide >> (count - 1)) & 1;
		r = (u64)(wide >> count) & mv_emul_mask(size);
	}

	if (op == OP_ROL || op == OP_RCL || op == OP_SHL || op == OP_SAL)
		overflow = ((r >> sign) & 1) != carry;
	else if (op == OP_ROR || op == OP_RCR)
		overflow = ((r >> sign) ^ (r >> (sign - 1))) & 1;
	else
		overflow = op == OP_SHR && (a >> sign) & 1;

	flags = flag(X86_EFLAGS_CF, carry) | flag(X86_EFLAGS_OF, overflow);
	*rflags &= ~(X86_EFLAGS_CF | X86_EFLAGS_OF);
	if (op >= OP_SHL) {
		*rflags &= ~(FLAGS_ZSP | X86_EFLAGS_AF);
		flags |= zero_sign_parity(r, size);
	}
	*rflags |= flags;
	return r;
}

/* The condition in the low four bits of Jcc, SETcc and CMOVcc opcodes. */
bool mv_emul_condition(unsigned int cc, u64 rflags)
{
	bool sign = !(rflags & X86_EFLAGS_SF) != !(rflags & X86_EFLAGS_OF);
	bool is;

	switch ((cc >> 1) & 7) {
	case 0:
		is = rflags & X86_EFLAGS_OF;
		break;
	case 1:
		is = rflags & X86_EFLAGS_CF;
		break;
	case 2:
		is = rflags & X86_EFLAGS_ZF;
		break;
	case 3:
		is = rflags & (X86_EFLAGS_CF | X86_EFLAGS_ZF);
		break;
	case 4:
		is = rflags & X86_EFLAGS_SF;
		break;
	case 5:
		is = rflags & X86_EFLAGS_PF;
		break;
	case 6:
		is = sign;
		break;
	default:
		is = sign || rflags & X86_EFLAGS_ZF;
	}
	return is != (cc & 1);
}
