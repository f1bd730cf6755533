/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "closer.h"

#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define THREADS 4u
#define LATE 256u

/* Makes the kernel give up waiting, where it can be interrupted. */
#define INTERRUPTION SIGUSR1
#define PATIENCE_NSEC 10000000

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

/* One for the process, as its descriptors are. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    pthread_cond_t rest; /* all are idle */
    int *fds;            /* that wait */
    size_t n, size;
    unsigned n_threads, n_idle;
} closer = {
    .lock = PTHREAD_MUTEX_INITIALIZER,
    .wake = PTHREAD_COND_INITIALIZER,
    .rest = PTHREAD_COND_INITIALIZER,
};

static void on_interruption(int signal)
{
    (void) signal;
}

/* Until it is taken back: again and again, for the first may come before the wait. */
static void set_interruptions(const timer_t *timer, bool on)
{
    const struct timespec patience = {.tv_nsec = on ? PATIENCE_NSEC : 0};

    if (timer)
        (void) timer_settime(
            *timer, 0, &(struct itimerspec){.it_value = patience, .it_interval = patience}, NULL);
}

static void close_one(int fd)
{
    const struct linger no_linger = {0};

    /* It may be set anew before close(), but then there is still the interruption. */
    (void) setsockopt(fd, SOL_SOCKET, SO_LINGER, &no_linger, sizeof(no_linger));
    close(fd);
}

/* Waits until there is something to close, and takes it. */
static int closer_take(const timer_t *timer)
{
    if (closer.n == 0)
        set_interruptions(timer, false);
    while (closer.n == 0) {
        if (++closer.n_idle == closer.n_threads)
            (void) pthread_cond_broadcast(&closer.rest);
        (void) pthread_cond_wait(&closer.wake, &closer.lock);
        closer.n_idle--;
        if (closer.n > 0)
            set_interruptions(timer, true);
    }
    return closer.fds[--closer.n];
}

static void *closer_run(void *userdata)
{
    struct sigevent event = {
        .sigev_notify = SIGEV_THREAD_ID,
        .sigev_signo = INTERRUPTION,
        .sigev_notify_thread_id = gettid(),
    };
    timer_t timer;
    bool has_timer = timer_create(CLOCK_MONOTONIC, &event, &timer) == 0;

    (void) userdata;

    set_interruptions(has_timer ? &timer : NULL, true);
    (void) pthread_mutex_lock(&closer.lock);
    for (;;) {
        int fd = closer_take(has_timer ? &timer : NULL);

        (void) pthread_mutex_unlock(&closer.lock);
        close_one(fd);
        (void) pthread_mutex_lock(&closer.lock);
    }
    return NULL;
}

/* It gets no signal but the interruption, and those that are faults. */
static bool closer_start_thread(void)
{
    const struct sigaction action = {.sa_handler = on_interruption};
    sigset_t most, before;
    pthread_t thread;
    int r;

    if (sigaction(INTERRUPTION, &action, NULL) < 0)
        return false;
    sigfillset(&most);
    sigdelset(&most, INTERRUPTION);
    sigdelset(&most, SIGBUS);
    sigdelset(&most, SIGSEGV);
    (void) pthread_sigmask(SIG_SETMASK, &most, &before);
    r = pthread_create(&thread, NULL, closer_run, NULL);
    (void) pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (r == 0)
        (void) pthread_detach(thread);
    return r == 0;
}

/* Returns false when that must be done at once: without memory, or without a thread. */
static bool closer_leave(int fd)
{
    if (closer.n == closer.size) {
        size_t size = closer.size > 0 ? closer.size * 2 : LATE;
        int *fds = reallocarray(closer.fds, size, sizeof(*fds));

        if (!fds)
            return false;
        closer.fds = fds;
        closer.size = size;
    }
    while (closer.n_threads < THREADS && closer_start_thread())
        closer.n_threads++;
    if (closer.n_threads == 0)
        return false;

    closer.fds[closer.n++] = fd;
    (void) pthread_cond_signal(&closer.wake);
    return true;
}

void closer_close(int fd)
{
    bool left;

    if (fd < 0)
        return;

    (void) pthread_mutex_lock(&closer.lock);
    left = closer_leave(fd);
    (void) pthread_mutex_unlock(&closer.lock);
    if (!left)
        close(fd);
}

void closer_wait(void)
{
    (void) pthread_mutex_lock(&closer.lock);
    while (closer.n > 0 || closer.n_idle < closer.n_threads)
        (void) pthread_cond_wait(&closer.rest, &closer.lock);
    (void) pthread_mutex_unlock(&closer.lock);
}

bool closer_is_late(void)
{
    bool late;

    (void) pthread_mutex_lock(&closer.lock);
    late = closer.n > LATE;
    (void) pthread_mutex_unlock(&closer.lock);
    return late;
}
