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

/* Open a file, or the standard input or output for "-". Each returns an exit code and has printed a
 * message if that is not 0. */
int stream_open_input(const char *name, stream *s);

/* Does not empty the file before it is known to be none of the @n inputs. */
int stream_open_output(const char *name, const stream *const *inputs, size_t n, stream *s);

/* Close what was written: a full disk shows here. Returns @code, or an exit code of its own in
 * place of 0. */
int stream_close_output(stream *s, int code);

/* Is it a file with a size? */
bool stream_is_regular(const stream *s);

/* See what can be seen before the output is touched: that @a, and @b if it is not NULL, hold whole
 * elements, and as many of them. A pipe shows its length at its end only. */
int stream_check_sizes(const options *o, const stream *a, const stream *b);

/* Read the next @size bytes, fewer at the end. */
int stream_read(const options *o, stream *s, void *ret, size_t size, size_t *ret_bytes);

/* Read all of it into memory that the caller frees. */
int stream_read_all(const options *o, stream *s, void **ret, size_t *ret_bytes);

/* Does the command have its output, and at most one operand from the standard input? @b may be
 * NULL. Returns an exit code likewise. */
int check_operands(const options *o, const char *command, const char *a, const char *b,
                   bool has_output);

/* Messages, and the exit code that goes with them. */
int complain_file(const stream *s, int error);
int complain_lengths(const stream *a, const stream *b);

static inline void cleanup_stream(stream *s)
{
    if (s->file)
        fclose(s->file);
}

#define CLEANUP_STREAM CLEANUP(cleanup_stream)

#endif
