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

/*
 * SHLD and SHRD: @count bits of @b move into @a. A count above 16, where these are all, is
 * undefined; it goes on with @a.
 */
u64 mv_emul_double_shift(enum mv_op op, u64 a, u64 b, unsigned int count, unsigned int size,
			 u64 *rflags)
{
	unsigned int bits = size * 8, sign = bits - 1;
	bool carry;
	u64 r;

	count &= size == 8 ? 63 : 31;
	if (!count)
		return a;
	if (count > bits) {
		count -= bits;
		r = a;
		a = b;
		b = r;
	}
	if (op == OP_SHLD) {
		carry = (a >> (bits - count)) & 1;
		r = (a << count | b >> (bits - count)) & mv_emul_mask(size);
	} else {
		carry = (a >> (count - 1)) & 1;
		r = (a >> count | b << (bits - count)) & mv_emul_mask(size);
	}
	*rflags = (*rflags & ~FLAGS_ARITH) | zero_sign_parity(r, size) |
		  flag(X86_EFLAGS_CF, carry) | flag(X86_EFLAGS_OF, ((a ^ r) >> sign) & 1);
	return r;
}

/* @hi:@lo = @lo * @b. CF and OF: the product does not fit @size. */
void mv_emul_mul(bool sign, u64 *lo, u64 *hi, u64 b, unsigned int size, u64 *rflags)
{
	unsigned int bits = size * 8;
	u64 mask = mv_emul_mask(size), product;
	bool fits;

	if (size == 8) {
		if (sign)
			__asm__("imulq %2" : "+a"(*lo), "=d"(*hi) : "r"(b) : "cc");
		else
			__asm__("mulq %2" : "+a"(*lo), "=d"(*hi) : "r"(b) : "cc");
	} else {
		product = sign ? mv_emul_sign_extend(*lo, size) * mv_emul_sign_extend(b, size) :
				 *lo * b;
		*lo = product & mask;
		*hi = (product >> bits) & mask;
	}
	fits = *hi == (sign && *lo >> (bits - 1) ? mask : 0);
	*rflags = (*rflags & ~(X86_EFLAGS_CF | X86_EFLAGS_OF)) |
		  flag(X86_EFLAGS_CF | X86_EFLAGS_OF, !fits);
}

/* @lo = @hi:@lo / @b, @hi = the remainder. False: #DE. */
bool mv_emul_div(bool sign, u64 *lo, u64 *hi, u64 b, unsigned int size)
{
	unsigned int bits = size * 8;
	u64 mask = mv_emul_mask(size), quotient, rest;
	bool negative = sign && *hi >> (bits - 1), minus = sign && b >> (bits - 1);

	if (negative) {
		*lo = -*lo & mask;
		*hi = (~*hi + !*lo) & mask;
	}
	if (minus)
		b = -b & mask;
	if (*hi >= b)
		return false;
	if (size == 8) {
		__asm__("divq %4" : "=a"(quotient), "=d"(rest) : "0"(*lo), "1"(*hi), "r"(b) : "cc");
	} else {
		quotient = (*hi << bits | *lo) / b;
		rest = (*hi << bits | *lo) % b;
	}
	minus ^= negative;
	if (sign && quotient > (mask >> 1) + minus)
		return false;
	*lo = (minus ? -quotient : quotient) & mask;
	*hi = (negative ? -rest : rest) & mask;
	return true;
}

/*
 * BSF and BSR, with @count TZCNT and LZCNT; POPCNT. False: the register stays, but for the upper
 * half, which the manual leaves undefined.
 */
bool mv_emul_scan(enum mv_op op, bool count, u64 src, u64 *dst, unsigned int size, u64 *rflags)
{
	unsigned int bits = size * 8;

	if (op == OP_POPCNT) {
		*rflags = (*rflags & ~FLAGS_ARITH) | flag(X86_EFLAGS_ZF, !src);
		for (*dst = 0; src; src &= src - 1)
			++*dst;
		return true;
	}
	if (!count) {
		*rflags = (*rflags & ~X86_EFLAGS_ZF) | flag(X86_EFLAGS_ZF, !src);
		if (!src)
			return false;
		*dst = op == OP_BSF ? __builtin_ctzll(src) : 63 - __builtin_clzll(src);
		return true;
	}
	if (!src)
		*dst = bits;
	else
		*dst = op == OP_BSF ? __builtin_ctzll(src) : __builtin_clzll(src) + (int)bits - 64;
	*rflags = (*rflags & ~(X86_EFLAGS_CF | X86_EFLAGS_ZF)) | flag(X86_EFLAGS_CF, !src) |
		  flag(X86_EFLAGS_ZF, !*dst);
	return true;
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
