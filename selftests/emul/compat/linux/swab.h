/* SPDX-License-Identifier: GPL-2.0 */
#ifndef COMPAT_LINUX_SWAB_H
#define COMPAT_LINUX_SWAB_H

#define swab64(x)	__builtin_bswap64(x)

#endif
