/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The terminal's mode.
 */
#ifndef TERMINAL_H
#define TERMINAL_H

#include <stdbool.h>

/**
 * terminal_raw - put the terminal on the standard input into raw mode
 *
 * It is put back by terminal_restore(), by exit(), and by a signal that kills
 * the program.  Does nothing if the standard input is no terminal.
 */
void terminal_raw(void);
void terminal_restore(void);
bool terminal_is_raw(void);

#endif /* TERMINAL_H */
