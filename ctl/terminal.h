/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The terminal as a screen to draw on, and back as it was. */
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
 * terminal_enter() - keys come one by one and unseen, and the screen is ours
 *
 * ^C and its like are signals still. Returns 0, or -ENOTTY where standard input or
 * output is no terminal.
 */
int terminal_enter(Terminal *t);

/* terminal_leave() - all as it was; does nothing when it is so already */
void terminal_leave(Terminal *t);

/* terminal_size() - in characters */
void terminal_size(size_t *ret_rows, size_t *ret_columns);

/*
 * terminal_draw() - show @text, from the top; the rest of the screen is empty
 * @text: lines, each with its newline; those beyond the screen are cut off
 * @footer: the last line of the screen
 */
void terminal_draw(const char *text, const char *footer);

#endif
