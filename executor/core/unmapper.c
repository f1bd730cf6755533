/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unmapper.h"

#include <stddef.h>

static void *unmapper_run(void *data)
{
    Unmapper *u = data;

    pthread_mutex_lock(&u->lock);
    while (u->list || !u->stop) {
        MappedWindow *window = u->list;

        if (!window) {
            pthread_cond_wait(&u->wake, &u->lock);
            continue;
        }
        u->list = window->next;
        pthread_mutex_unlock(&u->lock);
        mapped_window_free(window);
        pthread_mutex_lock(&u->lock);
    }
    pthread_mutex_unlock(&u->lock);
    return NULL;
}

void unmapper_start(Unmapper *u)
{
    pthread_mutex_init(&u->lock, NULL);
    pthread_cond_init(&u->wake, NULL);
    u->started = pthread_create(&u->thread, NULL, unmapper_run, u) == 0;
}

void unmapper_push(Unmapper *u, MappedWindow *window)
{
    if (!u->started) {
        mapped_window_free(window);
        return;
    }

    pthread_mutex_lock(&u->lock);
    window->next = u->list;
    u->list = window;
    pthread_cond_signal(&u->wake);
    pthread_mutex_unlock(&u->lock);
}

void unmapper_stop(Unmapper *u)
{
    pthread_mutex_lock(&u->lock);
    u->stop = true;
    pthread_cond_signal(&u->wake);
    pthread_mutex_unlock(&u->lock);
    if (u->started)
        pthread_join(u->thread, NULL);
    u->started = false;
    pthread_cond_destroy(&u->wake);
    pthread_mutex_destroy(&u->lock);
}
