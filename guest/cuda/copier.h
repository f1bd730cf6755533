/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Threads that help to copy out of the window. One processor does not copy as fast as a device
 * sends.
 *
 * They are made with the first copy that they help with, sleep between copies, and look for work
 * while one lasts. Whoever copies takes small parts of it in turn with them: so a helper that gets
 * no processor delays nothing but the part that it has in its hands.
 */
#ifndef VGPU_GUEST_COPIER_H
#define VGPU_GUEST_COPIER_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "copy-out.h"

#define COPIER_THREADS_MAX 8u

typedef struct copier {
    unsigned wanted;       /* threads that help; 0: none */
    pthread_mutex_t owner; /* whoever copies with them */
    pthread_mutex_t lock;  /* of the next five */
    pthread_cond_t wake;
    pthread_t threads[COPIER_THREADS_MAX];
    unsigned n;
    bool must_stop;
    bool is_active; /* atomic: a copy lasts */

    /* What is to be copied now */
    copy_out_way way;
    uint8_t *to;
    const uint8_t *from;
    size_t size;
    uint64_t job;  /* atomic: odd while there is one */
    size_t next;   /* atomic: the first byte that nobody has taken */
    unsigned n_in; /* atomic: helpers that look at it */
} copier;

/* copier_init() - @threads: that copy, with the caller; 0 or 1: it does without */
void copier_init(copier *c, unsigned threads);

/* copier_stop() - end the threads, until the next copy */
void copier_stop(copier *c);

/* copier_destroy() - after copier_stop(), or in a child, which has none of them */
void copier_destroy(copier *c);

/* copier_begin() - a copy begins, of several calls of copier_copy(). Returns false when another
 * thread has the helpers, or there are none: then copy_out() does. copier_end() ends it. */
bool copier_begin(copier *c);
void copier_copy(copier *c, copy_out_way way, void *to, const void *from, size_t size);
void copier_end(copier *c);

#endif
