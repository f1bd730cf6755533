/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A thread that unmaps windows: the more pages a window has, the longer that takes, and the loop
 * has other VMs to serve.
 */
#ifndef VGPU_EXECUTOR_UNMAPPER_H
#define VGPU_EXECUTOR_UNMAPPER_H

#include "mapped-window.h"

#include <pthread.h>

typedef struct Unmapper {
    pthread_t thread;
    bool started; /* if not, windows are unmapped at once */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stop;
    MappedWindow *list;
} Unmapper;

/* unmapper_start() - start the thread; @u is zeroed by the caller. Without it all goes on, slower
 */
void unmapper_start(Unmapper *u);

/* unmapper_push() - mapped_window_free() it soon */
void unmapper_push(Unmapper *u, MappedWindow *window);

/* unmapper_stop() - end the thread, when it has nothing left */
void unmapper_stop(Unmapper *u);

#endif
