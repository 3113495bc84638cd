/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The console: the program's standard input and output as a serial device
 * sees them.
 */
#ifndef CONSOLE_H
#define CONSOLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct console;

/** What the user asked for by an escape key. */
enum console_key {
	CONSOLE_KEY_NONE,
	CONSOLE_KEY_QUIT,
};

/**
 * console_open - start the console
 * @tty: read the standard input, and put a terminal there into raw mode
 */
struct console *console_open(bool tty);

/**
 * console_close - stop the console and put the terminal back
 * @drain: first write out what is buffered, however long that takes
 */
void console_close(struct console *con, bool drain);

/**
 * console_write - output from the guest
 *
 * Buffers, and waits only while the buffer is full.  What is buffered is
 * written within a millisecond.  Callable from any thread.
 */
void console_write(struct console *con, const uint8_t *data, size_t len);

/** console_fd - the descriptor to poll for input, or -1 while none is wanted */
int console_fd(const struct console *con);

/**
 * console_read - take what the user typed, after console_fd() was readable
 *
 * Returns the escape key that was among it.
 */
enum console_key console_read(struct console *con);

/**
 * console_input - what has been read and not yet been consumed
 * @len: its length, in bytes
 */
const uint8_t *console_input(const struct console *con, size_t *len);
void console_consume(struct console *con, size_t len);

#endif /* CONSOLE_H */
