/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What kernels print. The driver writes it to the process's standard output, and what an assertion
 * says to standard error. In a session both are pipes to the process itself, whose text is kept
 * until the guest asks for it. It is the guest's alone: it never comes into a log.
 *
 * A thread empties the pipes, so that the driver never waits for room in them. Of each of the two,
 * SESSION_OUTPUT_MAX bytes are kept; what comes above that is lost, and a line in the text says how
 * much.
 */
#ifndef VGPU_SESSION_SESSION_OUTPUT_H
#define VGPU_SESSION_SESSION_OUTPUT_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SESSION_OUTPUT_MAX ((size_t) 16 << 20)

typedef struct SessionText {
    int pipe;            /* the end to read from; does not block */
    unsigned char *text; /* what is kept: size bytes from begin on, of room */
    size_t begin, size, room;
    uint64_t n_lost; /* bytes that came after it, and were not kept */
} SessionText;

enum { SESSION_TEXT_OUTPUT, SESSION_TEXT_ERROR, SESSION_N_TEXTS };

typedef struct SessionOutput {
    pthread_mutex_t lock;
    SessionText texts[SESSION_N_TEXTS];
} SessionOutput;

/*
 * session_output_open() - from now on, what is written to standard output and standard error is
 *     kept in @o, and session_log() writes to what standard error was
 *
 * @o must last until the process ends. Once in a process. Returns 0 or a negative errno.
 */
int session_output_open(SessionOutput *o);

/*
 * session_output_take() - the oldest text that is kept
 * @into: @room bytes; NULL with 0
 * @ret: bytes of each text; they lie one behind the other
 *
 * All that had been written before the call is taken into account. Takes what it returns out of
 * @o. From any thread. Returns whether there is more.
 */
bool session_output_take(SessionOutput *o, unsigned char *into, uint64_t room,
                         uint64_t ret[static SESSION_N_TEXTS]);

#endif
