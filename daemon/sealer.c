/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sealer.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"

/* How long a file that nobody holds may take, and the pause behind one that took longer. */
#define PATIENCE_USEC UINT64_C(20000)
#define PAUSE_USEC (100 * PATIENCE_USEC)

/* One thread, for one file at a time. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t wake, ended;
    bool has_thread;
    bool is_busy;
    int fd;
    int seals;
    uint64_t paused_until_usec;
} sealer = {
    .lock = PTHREAD_MUTEX_INITIALIZER,
    .wake = PTHREAD_COND_INITIALIZER,
    .ended = PTHREAD_COND_INITIALIZER,
};

static void *sealer_run(void *userdata)
{
    (void) userdata;

    (void) pthread_mutex_lock(&sealer.lock);
    for (;;) {
        while (!sealer.is_busy)
            (void) pthread_cond_wait(&sealer.wake, &sealer.lock);
        (void) pthread_mutex_unlock(&sealer.lock);
        (void) fcntl(sealer.fd, F_ADD_SEALS, sealer.seals);
        close(sealer.fd);
        (void) pthread_mutex_lock(&sealer.lock);
        sealer.is_busy = false;
        (void) pthread_cond_signal(&sealer.ended);
    }
    return NULL;
}

/* A thread that no signal reaches. */
static int sealer_start(void)
{
    sigset_t all, before;
    pthread_t thread;
    int r;

    if (sealer.has_thread)
        return 0;
    sigfillset(&all);
    (void) pthread_sigmask(SIG_SETMASK, &all, &before);
    r = pthread_create(&thread, NULL, sealer_run, NULL);
    (void) pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (r != 0)
        return r == EAGAIN ? -ENOMEM : -r;

    (void) pthread_detach(thread);
    sealer.has_thread = true;
    return 0;
}

static int sealer_wait(void)
{
    uint64_t end = now_usec() + PATIENCE_USEC;
    const struct timespec until = {
        .tv_sec = (time_t) (end / USEC_PER_SEC),
        .tv_nsec = (long) (end % USEC_PER_SEC) * 1000,
    };

    while (sealer.is_busy)
        if (pthread_cond_clockwait(&sealer.ended, &sealer.lock, CLOCK_MONOTONIC, &until) != 0)
            break;
    if (!sealer.is_busy)
        return 0;
    sealer.paused_until_usec = now_usec() + PAUSE_USEC;
    return -EBUSY;
}

static int sealer_do(int fd, int seals)
{
    int r;

    if (sealer.is_busy || now_usec() < sealer.paused_until_usec)
        return -EBUSY;
    r = sealer_start();
    if (r < 0)
        return r;
    /* The caller may close its own before the thread is done. */
    sealer.fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (sealer.fd < 0)
        return -errno;

    sealer.seals = seals;
    sealer.is_busy = true;
    (void) pthread_cond_signal(&sealer.wake);
    return sealer_wait();
}

int sealer_add(int fd, int seals)
{
    int r;

    (void) pthread_mutex_lock(&sealer.lock);
    r = sealer_do(fd, seals);
    (void) pthread_mutex_unlock(&sealer.lock);
    return r;
}
