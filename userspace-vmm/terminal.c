// SPDX-License-Identifier: GPL-2.0
/*
 * The terminal's mode.  There is one terminal, and exit and signal handlers
 * take no argument: so this is state of the process.
 */
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>
#include "minivirt.h"
#include "terminal.h"

static struct termios saved;
static atomic_bool is_raw; /* without a lock: for signal handlers too */

bool terminal_is_raw(void)
{
	return is_raw;
}

void terminal_restore(void)
{
	if (is_raw) {
		is_raw = false;
		tcsetattr(STDIN_FILENO, TCSANOW, &saved);
	}
}

/* Registered with SA_RESETHAND: raising the signal again kills. */
static void restore_and_die(int sig)
{
	terminal_restore();
	raise(sig);
}

static void restore_on_fatal_signals(void)
{
	static const int fatal[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS };
	struct sigaction sa = { .sa_handler = restore_and_die, .sa_flags = SA_RESETHAND };

	for (size_t i = 0; i < ARRAY_SIZE(fatal); i++)
		sigaction(fatal[i], &sa, NULL);
}

void terminal_raw(void)
{
	static bool registered;
	struct termios raw;

	if (is_raw || tcgetattr(STDIN_FILENO, &saved))
		return;
	if (!registered) {
		registered = true;
		atexit(terminal_restore);
		restore_on_fatal_signals();
	}
	raw = saved;
	cfmakeraw(&raw);
	is_raw = true;
	tcsetattr(STDIN_FILENO, TCSANOW, &raw);
}
