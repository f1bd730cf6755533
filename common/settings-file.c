/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "settings-file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "cleanup.h"

#define BLANKS " \t\r\n\f\v"

/* ---- The file --------------------------------------------------------------------------- */

static bool is_dev_null(const struct stat *st)
{
    return S_ISCHR(st->st_mode) && st->st_rdev == makedev(1, 3);
}

/* Returns 0, 1 when there is none, or a negative errno. */
static int settings_file_open(const char *path, unsigned flags, int *ret)
{
    CLEANUP_CLOSE int fd = -1;
    struct stat st;

    /* O_NONBLOCK: a FIFO must not keep us here. */
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK |
                        (flags & SETTINGS_FILE_NO_LINK ? O_NOFOLLOW : 0));
    if (fd < 0)
        return errno == ENOENT ? 1 : -errno;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (S_ISDIR(st.st_mode))
        return -EISDIR;
    if (!S_ISREG(st.st_mode) && !is_dev_null(&st))
        return -EBADFD;

    *ret = TAKE_FD(fd);
    return 0;
}

/* Reads all, and a NUL behind it. */
static int settings_file_load(int fd, size_t size_max, char **ret, size_t *ret_size)
{
    CLEANUP_FREE char *text = malloc(size_max + 1);
    size_t size = 0;
    ssize_t n;

    if (!text)
        return -ENOMEM;
    while ((n = read(fd, text + size, size_max + 1 - size)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        size += (size_t) n;
        if (size > size_max)
            return -EFBIG;
    }

    text[size] = '\0';
    *ret = TAKE_PTR(text);
    *ret_size = size;
    return 0;
}

const char *settings_file_strerror(int error)
{
    return error == -EBADFD  ? "It is no regular file"
           : error == -ELOOP ? "It is a symbolic link"
                             : strerror(-error);
}

/* ---- Lines ------------------------------------------------------------------------------ */

typedef struct Reader {
    const SettingsFileHandler *handler;
    char *rest, *end; /* of the text */
    unsigned line;    /* that rest begins with, less one */
    const char *section;
} Reader;

static char *strip(char *text)
{
    size_t size;

    text += strspn(text, BLANKS);
    size = strlen(text);
    while (size > 0 && strchr(BLANKS, text[size - 1]))
        size--;
    text[size] = '\0';
    return text;
}

/* The next line of the file, terminated; NULL after the last. @ret_zero: there are NULs in it. */
static char *reader_next(Reader *r, bool *ret_zero)
{
    char *line = r->rest, *end;

    if (line >= r->end)
        return NULL;
    end = memchr(line, '\n', (size_t) (r->end - line));
    if (!end)
        end = r->end;
    *end = '\0';
    r->rest = end + 1;
    r->line++;
    *ret_zero = strlen(line) != (size_t) (end - line);
    return line;
}

static bool is_comment(const char *line)
{
    line += strspn(line, BLANKS);
    return *line == '#' || *line == ';';
}

/* Is there a backslash at its end? Then it is taken away. Blanks behind it make it none. */
static bool take_backslash(char *line)
{
    size_t size = strlen(line);

    if (size > 0 && line[size - 1] == '\r')
        size--;
    if (size == 0 || line[size - 1] != '\\')
        return false;
    line[size - 1] = '\0';
    return true;
}

/* Joins lines as backslashes say: what follows is moved up to the end of @line, which is before
 * it in memory. Returns true when a NUL was among them. */
static bool reader_join(Reader *r, char *line)
{
    bool more = take_backslash(line), zero = false, any_zero = false;
    size_t size = strlen(line);
    char *next;

    while (more && (next = reader_next(r, &zero))) {
        any_zero = any_zero || zero;
        if (is_comment(next))
            continue;
        more = take_backslash(next);
        line[size++] = ' ';
        memmove(line + size, next, strlen(next) + 1);
        size += strlen(line + size);
    }
    return any_zero;
}

static void reader_complain(const Reader *r, unsigned line, const char *reason)
{
    if (r->handler->other)
        r->handler->other(r->handler->userdata, line, reason);
}

static void reader_section(Reader *r, unsigned line, char *text)
{
    size_t size = strlen(text);

    /* What follows a broken line belongs to no section, least of all to the one before. */
    r->section = NULL;
    if (size < 3 || text[size - 1] != ']' || strcspn(text + 1, "[]") != size - 2) {
        reader_complain(r, line, "no proper [section]");
        return;
    }

    text[size - 1] = '\0';
    r->section = text + 1;
    if (r->handler->section)
        r->handler->section(r->handler->userdata, line, r->section);
}

static void reader_line(Reader *r, unsigned line, char *text)
{
    char *equals;

    if (*text == '[') {
        reader_section(r, line, text);
        return;
    }
    equals = strchr(text, '=');
    if (!equals || equals == text) {
        reader_complain(r, line, "neither a [section] nor a Setting=value");
        return;
    }

    *equals = '\0';
    if (r->handler->setting)
        r->handler->setting(r->handler->userdata, line, r->section, strip(text), strip(equals + 1));
}

static void reader_run(Reader *r)
{
    bool zero = false;
    char *line, *text;

    while ((line = reader_next(r, &zero))) {
        unsigned number = r->line;

        if (!zero && is_comment(line))
            continue;
        zero = zero || reader_join(r, line);
        text = strip(line);
        if (zero)
            reader_complain(r, number, "a line with a NUL byte");
        else if (*text)
            reader_line(r, number, text);
    }
}

int settings_file_read(const char *path, unsigned flags, size_t size_max,
                       const SettingsFileHandler *handler)
{
    static const char mark[] = "\xef\xbb\xbf"; /* that some editors put before UTF-8 */
    CLEANUP_CLOSE int fd = -1;
    CLEANUP_FREE char *text = NULL;
    Reader reader;
    size_t size = 0;
    int r;

    r = settings_file_open(path, flags, &fd);
    if (r != 0)
        return r;
    r = settings_file_load(fd, size_max, &text, &size);
    if (r < 0)
        return r;

    reader = (Reader){.handler = handler, .rest = text, .end = text + size};
    if (strncmp(text, mark, strlen(mark)) == 0)
        reader.rest += strlen(mark);
    reader_run(&reader);
    return 0;
}
