/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cleanup.h"
#include "terminal.h"

/* Switch to the alternate screen, hide the cursor, and cut long lines off; and back. */
#define ENTER "\033[?1049h\033[?25l\033[?7l"
#define LEAVE "\033[?7h\033[?25h\033[?1049l"

static void terminal_write(const char *text, size_t size)
{
    while (size > 0) {
        ssize_t n = write(STDOUT_FILENO, text, size);

        if (n < 0 && errno != EINTR)
            return; /* the terminal is gone, and SIGHUP is on its way */
        if (n > 0) {
            text += n;
            size -= (size_t) n;
        }
    }
}

int terminal_enter(Terminal *t)
{
    struct termios raw;

    if (!isatty(STDOUT_FILENO) || tcgetattr(STDIN_FILENO, &t->before) < 0)
        return -ENOTTY;

    raw = t->before;
    raw.c_lflag &= ~(tcflag_t) (ICANON | ECHO);
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    if (tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) < 0)
        return -errno;
    terminal_write(ENTER, strlen(ENTER));
    t->entered = true;
    return 0;
}

void terminal_leave(Terminal *t)
{
    if (!t->entered)
        return;
    terminal_write(LEAVE, strlen(LEAVE));
    (void) tcsetattr(STDIN_FILENO, TCSADRAIN, &t->before);
    t->entered = false;
}

void terminal_size(size_t *ret_rows, size_t *ret_columns)
{
    struct winsize size = {0};

    (void) ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
    *ret_rows = size.ws_row > 0 ? size.ws_row : 24;
    *ret_columns = size.ws_col > 0 ? size.ws_col : 80;
}

void terminal_draw(const char *text, const char *footer)
{
    CLEANUP_FREE char *frame = NULL;
    size_t rows, columns, size;
    FILE *f = open_memstream(&frame, &size);

    if (!f)
        return;
    terminal_size(&rows, &columns);

    /* Each line is cleared before it is written: a cursor that has come to the last column stays on
     * the character there, so that clearing after it would take that away. */
    fputs("\033[H", f);
    for (size_t row = 1; row < rows && *text; row++) {
        size_t n = strcspn(text, "\n");

        fprintf(f, "\033[K%.*s\r\n", (int) n, text);
        text += n + (text[n] == '\n');
    }
    fprintf(f, "\033[J\033[%zuH%s", rows, footer);
    if (fclose(f) == 0)
        terminal_write(frame, size);
}
