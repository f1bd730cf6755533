/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files of elements, as operands and results. */
#ifndef VGPU_GUEST_STREAM_H
#define VGPU_GUEST_STREAM_H

#include <sys/stat.h>

#include "command.h"

typedef struct stream {
    const char *name;
    FILE *file;
    struct stat st;
} stream;

/* Open a file, or the standard input or output for "-". Each returns an exit code, and prints a
 * message unless that is 0. */
int stream_open_input(const char *name, stream *s);

/* The file is emptied only when it is known to be none of the @n inputs. */
int stream_open_output(const char *name, const stream *const *inputs, size_t n, stream *s);

/* Close an output. A full disk may show only here. Returns @code, or an exit code of its own where
 * @code is 0. */
int stream_close_output(stream *s, int code);

/* Is it a file with a size? */
bool stream_is_regular(const stream *s);

/* Check what can be checked before the output is touched: that @a, and @b if it is not NULL, hold
 * whole elements, and the same number of them. The length of a pipe is known only at its end. */
int stream_check_sizes(const options *o, const stream *a, const stream *b);

/* Read the next @size bytes, fewer at the end. */
int stream_read(const options *o, stream *s, void *ret, size_t size, size_t *ret_bytes);

/* Read the whole stream into memory that the caller frees. */
int stream_read_all(const options *o, stream *s, void **ret, size_t *ret_bytes);

/* Check that the command has its output, and that at most one operand is the standard input. @b may
 * be NULL. Prints a message unless it returns 0. Returns an exit code. */
int check_operands(const options *o, const char *command, const char *a, const char *b,
                   bool has_output);

/* Print a message, and return the exit code that goes with it. */
int complain_file(const stream *s, int error);
int complain_lengths(const stream *a, const stream *b);

static inline void cleanup_stream(stream *s)
{
    if (s->file)
        fclose(s->file);
}

#define CLEANUP_STREAM CLEANUP(cleanup_stream)

#endif
