/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The terminal as a screen to draw on. */
#ifndef VGPU_CTL_TERMINAL_H
#define VGPU_CTL_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>
#include <termios.h>

typedef struct Terminal {
    bool entered;
    struct termios before;
} Terminal;

/*
 * terminal_enter() - take the screen, and read keys one by one without echo
 *
 * ^C and the like are still signals. Returns 0, or -ENOTTY when standard input or output is no
 * terminal.
 */
int terminal_enter(Terminal *t);

/* terminal_leave() - restore the terminal; without terminal_enter() it does nothing */
void terminal_leave(Terminal *t);

/* terminal_size() - rows and columns in characters */
void terminal_size(size_t *ret_rows, size_t *ret_columns);

/*
 * terminal_draw() - show @text from the top of the screen, and clear the rest
 * @text: lines, each with its newline; lines beyond the screen are cut off
 * @footer: the last line of the screen
 */
void terminal_draw(const char *text, const char *footer);

#endif
