/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Guests in assembly. The same source is assembled for 64-bit and for real
 * mode; what needs 64-bit mode is GUEST64().
 */
#ifndef GUESTS_H
#define GUESTS_H

#include "bench.h"

#define GUEST_STRING2(x) #x
#define GUEST_STRING(x) GUEST_STRING2(x)

#define GUEST_ASM(name, mode, body)                                                      \
	asm(".pushsection .rodata\n"                                                     \
	    ".code" mode "\n"                                                            \
	    #name "_" mode ":\n" body "\n" #name "_" mode "_end:\n"                      \
	    ".code64\n"                                                                  \
	    ".popsection\n");

#define GUEST64(name, body)                                                              \
	GUEST_ASM(name, "64", body)                                                      \
	extern const u8 name##_64[], name##_64_end[];                                    \
	static const struct guest name = { .code64 = name##_64, .end64 = name##_64_end }

#define GUEST(name, body)                                                                \
	GUEST_ASM(name, "64", body)                                                      \
	GUEST_ASM(name, "16", body)                                                      \
	extern const u8 name##_64[], name##_64_end[];                                    \
	extern const u8 name##_16[], name##_16_end[];                                    \
	static const struct guest name = {                                               \
		.code64 = name##_64, .end64 = name##_64_end,                             \
		.code16 = name##_16, .end16 = name##_16_end,                             \
	}

/* RBP operations, then the exit that ends the batch. */
#define LOOP(op)                                                                         \
	"1:	" op "\n"                                                                \
	"	sub $1, %ebp\n"                                                          \
	"	jnz 1b\n"                                                                \
	DONE

#define DONE "	out %al, $" GUEST_STRING(DONE_PORT) "\n"

#define FOREVER(op)                                                                      \
	"1:	" op "\n"                                                                \
	"	jmp 1b\n"

#endif /* GUESTS_H */
