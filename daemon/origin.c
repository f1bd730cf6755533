/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "origin.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "log.h"

/* The pid of a user. */
#define NO_PROCESS ((pid_t) -1)

void origins_init(Origins *all)
{
    for (unsigned i = 0; i < ORIGINS_BUCKETS; i++)
        TAILQ_INIT(&all->buckets[i]);
    TAILQ_INIT(&all->idle);
    all->n_idle = 0;
}

static OriginList *origins_bucket(Origins *all, uid_t uid, pid_t pid)
{
    return &all->buckets[(pid == NO_PROCESS ? uid : (unsigned) pid) % ORIGINS_BUCKETS];
}

static void origin_forget_window(Origin *o, OriginWindow *w)
{
    TAILQ_REMOVE(&o->windows, w, link);
    o->n_earlier--;
    free(w);
}

/* What lasts as long as the process. */
static void origin_forget(Origin *o)
{
    OriginWindow *w, *next;

    for (w = TAILQ_FIRST(&o->windows); w; w = next) {
        next = TAILQ_NEXT(w, link);
        if (w->n_open == 0)
            origin_forget_window(o, w);
    }
    o->forgotten_bytes = 0;
    o->faults = (FaultRecord){0};
    o->quarantined = false;
    o->quarantined_until_usec = 0;
    if (o->pidfd >= 0)
        close(o->pidfd);
    o->pidfd = -1;
}

/* Nobody has a reference. */
static void origin_free(Origin *o)
{
    Origin *user = o->user;

    assert(o->n_references == 0 && o->n_connections == 0);
    TAILQ_REMOVE(&o->all->idle, o, idle_link);
    o->all->n_idle--;
    TAILQ_REMOVE(origins_bucket(o->all, o->uid, o->pid), o, link);
    origin_forget(o);
    assert(TAILQ_EMPTY(&o->windows));
    free(o);
    origin_unref(user);
}

void origins_clear(Origins *all)
{
    while (!TAILQ_EMPTY(&all->idle))
        origin_free(TAILQ_FIRST(&all->idle));
    for (unsigned i = 0; i < ORIGINS_BUCKETS; i++)
        assert(TAILQ_EMPTY(&all->buckets[i]));
}

Origin *origin_ref(Origin *o)
{
    if (o->n_references++ == 0) {
        TAILQ_REMOVE(&o->all->idle, o, idle_link);
        o->all->n_idle--;
    }
    return o;
}

Origin *origin_unref(Origin *o)
{
    Origins *all;

    if (!o || --o->n_references > 0)
        return NULL;

    all = o->all;
    TAILQ_INSERT_TAIL(&all->idle, o, idle_link);
    all->n_idle++;
    if (all->n_idle > ORIGINS_IDLE_MAX)
        origin_free(TAILQ_FIRST(&all->idle));
    return NULL;
}

static Origin *origin_find(Origins *all, uid_t uid, pid_t pid)
{
    Origin *o;

    TAILQ_FOREACH(o, origins_bucket(all, uid, pid), link)
    {
        if (o->uid == uid && o->pid == pid)
            return o;
    }
    return NULL;
}

/* Takes over the reference to @user, also on failure. */
static Origin *origin_new(Origins *all, uid_t uid, pid_t pid, Origin *user)
{
    Origin *o = calloc(1, sizeof(*o));

    if (!o) {
        origin_unref(user);
        return NULL;
    }

    *o = (Origin){.all = all, .user = user, .uid = uid, .pid = pid, .n_references = 1, .pidfd = -1};
    log_limit_init(&o->log, user ? ORIGIN_PROCESS_LINES : ORIGIN_USER_LINES,
                   user ? &user->log : NULL);
    TAILQ_INIT(&o->windows);
    TAILQ_INSERT_TAIL(origins_bucket(all, uid, pid), o, link);
    return o;
}

static bool origin_is_gone(const Origin *o)
{
    struct pollfd p = {.fd = o->pidfd, .events = POLLIN};

    return o->pidfd >= 0 && poll(&p, 1, 0) > 0;
}

bool origin_watch(Origin *process)
{
    if (process->pidfd < 0)
        process->pidfd = (int) syscall(SYS_pidfd_open, process->pid, 0);
    if (process->pidfd >= 0 && !origin_is_gone(process))
        return true;
    origin_forget(process);
    return false;
}

int origin_get(Origins *all, const struct ucred *process, Origin **ret)
{
    Origin *o = origin_find(all, process->uid, process->pid), *user;

    if (o) {
        /* Another process has its number now. */
        if (origin_is_gone(o))
            origin_forget(o);
        *ret = origin_ref(o);
        return 0;
    }

    user = origin_find(all, process->uid, NO_PROCESS);
    user = user ? origin_ref(user) : origin_new(all, process->uid, NO_PROCESS, NULL);
    o = user ? origin_new(all, process->uid, process->pid, user) : NULL;
    if (!o)
        return -ENOMEM;

    *ret = o;
    return 0;
}

bool origin_may_log(Origin *process)
{
    const LogContext context = {.peer_pid = process->pid};
    LogVerdict verdict = log_limit_take(&process->log);

    if (verdict == LOG_VERDICT_LAST)
        log_context(LOG_WARNING, &context,
                    "more about process %d of user %u is not logged for a while",
                    (int) process->pid, (unsigned) process->uid);
    return verdict == LOG_VERDICT_LINE;
}

/* ---- Windows ----------------------------------------------------------------------------- */

static OriginWindow *origin_find_window(Origin *o, const struct stat *st)
{
    OriginWindow *w;

    TAILQ_FOREACH(w, &o->windows, link)
    {
        if (w->device == st->st_dev && w->inode == st->st_ino)
            return w;
    }
    return NULL;
}

/* The memory of all but @except. */
static uint64_t origin_window_bytes(const Origin *o, const OriginWindow *except)
{
    uint64_t bytes = o->forgotten_bytes;
    const OriginWindow *w;

    TAILQ_FOREACH(w, &o->windows, link)
    {
        if (w != except)
            bytes += w->bytes;
    }
    return bytes;
}

int origin_take_window(Origin *process, const struct stat *st, uint64_t size_max,
                       OriginWindow **ret)
{
    OriginWindow *w = origin_find_window(process, st);
    uint64_t size = (uint64_t) st->st_size;

    if (origin_window_bytes(process, w) + size > ORIGIN_WINDOWS_FACTOR * size_max)
        return ORIGIN_TOO_MUCH;

    if (!w) {
        w = calloc(1, sizeof(*w));
        if (!w)
            return -ENOMEM;
        w->device = st->st_dev;
        w->inode = st->st_ino;
        TAILQ_INSERT_TAIL(&process->windows, w, link);
    } else if (w->n_open == 0) {
        process->n_earlier--;
    }
    w->n_open++;
    w->bytes = size;
    *ret = w;
    return 0;
}

/* Remembers one for as long as its process lives. */
static void origin_keep_window(Origin *o, OriginWindow *w, uint64_t allocated)
{
    OriginWindow *oldest;

    w->bytes = allocated;
    o->n_earlier++;
    TAILQ_REMOVE(&o->windows, w, link);
    TAILQ_INSERT_TAIL(&o->windows, w, link);
    if (o->n_earlier <= ORIGIN_WINDOWS_MAX)
        return;

    TAILQ_FOREACH(oldest, &o->windows, link)
    {
        if (oldest->n_open == 0)
            break;
    }
    o->forgotten_bytes += oldest->bytes;
    origin_forget_window(o, oldest);
}

void origin_return_window(Origin *process, OriginWindow *window, uint64_t allocated)
{
    assert(window->n_open > 0);
    if (--window->n_open > 0)
        return;

    /* When the process ends, its windows go with it. */
    origin_keep_window(process, window, allocated);
    (void) origin_watch(process);
}
