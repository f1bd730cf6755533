/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Files of settings, in systemd's syntax: mediator.conf with its drop-ins, and the files in which
 * the mediator keeps what is to outlive it.
 *
 *   [Section]
 *   Key=value
 *
 * Blanks around a line, a key and a value mean nothing. A line that begins with # or ; is a
 * comment. A line that ends in a backslash goes on in the next one, with a blank in between.
 * Comments among such lines are passed over. Only the file as a whole has a largest size.
 *
 * libinih is not used, because Debian's build of it cuts every line at 200 bytes. What follows,
 * be it the rest of a comment, it takes for a line of its own. It also joins an indented line
 * to the one before, and does not tell of sections.
 */
#ifndef VGPU_SETTINGS_FILE_H
#define VGPU_SETTINGS_FILE_H

#include <stddef.h>

/* Each function is called with the number of the line, from 1 on, and may be NULL. */
typedef struct SettingsFileHandler {
    /* A line [Section]; a setting belongs to the last one before it. */
    void (*section)(void *userdata, unsigned line, const char *section);
    /* A line Key=value. @section is NULL where none has begun, or its line was no proper one. */
    void (*setting)(void *userdata, unsigned line, const char *section, const char *key,
                    const char *value);
    /* A line that is none of these. @reason is part of a sentence: "neither a … nor a …". */
    void (*other)(void *userdata, unsigned line, const char *reason);
    void *userdata;
} SettingsFileHandler;

/* Flags of settings_file_read(). */
enum {
    SETTINGS_FILE_NO_LINK = 1 << 0, /* refuse a symbolic link */
};

/*
 * settings_file_read() - read a file and tell the handler what is in it
 * @flags: a set of SETTINGS_FILE_*
 * @size_max: the most bytes that the file may have
 *
 * Waits for nothing but the disk. What is no regular file is refused, except /dev/null, which
 * has no lines.
 *
 * Returns 0; 1 when there is no such file; -EFBIG when it is too large; -EISDIR, -ELOOP, or
 * -EBADFD when it is a directory, a symbolic link, or no file; or another negative errno.
 * After a failure the handler has not been called.
 */
int settings_file_read(const char *path, unsigned flags, size_t size_max,
                       const SettingsFileHandler *handler);

/* settings_file_strerror() - the reason of a failure in words, as strerror(3) */
const char *settings_file_strerror(int error);

#endif
