/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session-output.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "session-log.h"

#define TEXT_ROOM_MIN ((size_t) 64 << 10)
#define TEXT_NOTICE_SIZE 100u
#define TEXT_READ_SIZE ((size_t) 16 << 10)
/* As many reads take all that a pipe can hold. */
#define TEXT_READS_MAX 8u

/* ---- A text; the caller holds the lock --------------------------------------------------------
 */

/* Makes room for @n more bytes behind the text. Returns false when the text may not have them. */
static bool text_grow(SessionText *t, size_t n)
{
    size_t room = t->room < TEXT_ROOM_MIN ? TEXT_ROOM_MIN : t->room;
    unsigned char *more;

    if (t->begin > 0 && t->begin + t->size + n > t->room) {
        memmove(t->text, t->text + t->begin, t->size);
        t->begin = 0;
    }
    if (t->begin + t->size + n <= t->room)
        return true;
    if (t->size + n > SESSION_OUTPUT_MAX)
        return false;
    while (room < t->size + n)
        room *= 2;
    more = realloc(t->text, room);
    if (!more)
        return false;
    t->text = more;
    t->room = room;
    return true;
}

/* After a byte that was lost none is kept, so that the notice stands where the gap is. */
static void text_add(SessionText *t, const unsigned char *bytes, size_t n)
{
    if (t->n_lost > 0 || !text_grow(t, n)) {
        t->n_lost += n;
        return;
    }
    memcpy(t->text + t->begin + t->size, bytes, n);
    t->size += n;
}

static void text_read(SessionText *t)
{
    unsigned char bytes[TEXT_READ_SIZE];

    for (unsigned i = 0; i < TEXT_READS_MAX; i++) {
        ssize_t n = read(t->pipe, bytes, sizeof(bytes));

        if (n > 0)
            text_add(t, bytes, (size_t) n);
        else if (n == 0 || errno != EINTR)
            return;
    }
}

static size_t text_take(SessionText *t, unsigned char *into, uint64_t room)
{
    size_t n = t->size < room ? t->size : (size_t) room;

    if (n == 0)
        return 0;
    memcpy(into, t->text + t->begin, n);
    t->begin += n;
    t->size -= n;
    return n;
}

/* The text is empty: says what was lost behind it, or gives its memory back. */
static void text_end(SessionText *t)
{
    char notice[TEXT_NOTICE_SIZE];

    t->begin = 0;
    if (t->n_lost > 0) {
        int n = snprintf(notice, sizeof(notice),
                         "\nvgpu: %llu bytes that kernels printed here are lost\n",
                         (unsigned long long) t->n_lost);

        t->n_lost = 0;
        text_add(t, (unsigned char *) notice, (size_t) n);
        return;
    }
    if (t->room > TEXT_ROOM_MIN) {
        free(t->text);
        t->text = NULL;
        t->room = 0;
    }
}

bool session_output_take(SessionOutput *o, unsigned char *into, uint64_t room,
                         uint64_t ret[static SESSION_N_TEXTS])
{
    bool more = false;

    pthread_mutex_lock(&o->lock);
    for (unsigned i = 0; i < SESSION_N_TEXTS; i++) {
        SessionText *t = &o->texts[i];
        size_t n;

        text_read(t);
        n = text_take(t, into, room);
        if (t->size == 0)
            text_end(t);
        more = more || t->size > 0;
        ret[i] = n;
        if (into)
            into += n;
        room -= n;
    }
    pthread_mutex_unlock(&o->lock);
    return more;
}

/* ---- The pipes --------------------------------------------------------------------------------
 */

static void *output_run(void *data)
{
    SessionOutput *o = data;
    struct pollfd fds[SESSION_N_TEXTS];

    for (unsigned i = 0; i < SESSION_N_TEXTS; i++)
        fds[i] = (struct pollfd){.fd = o->texts[i].pipe, .events = POLLIN};
    for (;;) {
        if (poll(fds, SESSION_N_TEXTS, -1) < 0)
            continue;
        pthread_mutex_lock(&o->lock);
        for (unsigned i = 0; i < SESSION_N_TEXTS; i++)
            text_read(&o->texts[i]);
        pthread_mutex_unlock(&o->lock);
    }
    return NULL;
}

/* The end to write to becomes the descriptor @fd. */
static int output_make_pipe(SessionText *t, int fd)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    t->pipe = ends[0];
    if (fcntl(ends[0], F_SETFL, O_NONBLOCK) < 0 || dup3(ends[1], fd, O_CLOEXEC) < 0)
        return -errno;
    close(ends[1]);
    return 0;
}

int session_output_open(SessionOutput *o)
{
    int log = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    pthread_t thread;
    int r;

    if (log < 0)
        return -errno;
    session_log_open(log);
    *o = (SessionOutput){.lock = PTHREAD_MUTEX_INITIALIZER};
    r = output_make_pipe(&o->texts[SESSION_TEXT_OUTPUT], STDOUT_FILENO);
    if (r == 0)
        r = output_make_pipe(&o->texts[SESSION_TEXT_ERROR], STDERR_FILENO);
    return r == 0 ? -pthread_create(&thread, NULL, output_run, o) : r;
}
