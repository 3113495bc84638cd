// SPDX-License-Identifier: GPL-2.0
/*
 * Error messages.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include "minivirt.h"
#include "terminal.h"

static void __printf(1, 0) verror(const char *fmt, va_list args)
{
	char msg[512];

	vsnprintf(msg, sizeof(msg), fmt, args);
	fprintf(stderr, "minivirt: %s%s\n", msg, terminal_is_raw() ? "\r" : "");
}

void error(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	verror(fmt, args);
	va_end(args);
}

void die(enum status status, const char *fmt, ...)
{
	va_list args;

	terminal_restore();
	va_start(args, fmt);
	verror(fmt, args);
	va_end(args);
	exit(status);
}

void *xzalloc(size_t size)
{
	void *p = calloc(1, size);

	if (!p)
		die(STATUS_HOST_ERROR, "out of memory");
	return p;
}
