/* SPDX-License-Identifier: GPL-2.0 */
/* The attribute that the kernel calls noinline is defined in the Makefile. */
#ifndef COMPAT_LINUX_COMPILER_H
#define COMPAT_LINUX_COMPILER_H

#include <sys/cdefs.h>		/* __always_inline */

#define likely(x)	__builtin_expect(!!(x), 1)
#define unlikely(x)	__builtin_expect(!!(x), 0)

#endif
