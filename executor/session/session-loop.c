/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session-loop.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>

#include "clock.h"
#include "session-contexts.h"
#include "session-dispatch.h"
#include "session-log.h"
#include "session-meter.h"
#include "session-reply.h"
#include "session-window.h"

/* After so many records the guest is shown the room that they leave, although more wait. */
#define LOOP_BATCH 32u

/* Sleeps of 20 µs end on time, and not up to 50 µs later, as the kernel's default is. */
#define LOOP_SLACK_NSEC 1000ul

int session_loop_open(Session *s)
{
    static const int waited_for[] = {SESSION_FD_DOORBELL, SESSION_FD_GATE};

    s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (s->epoll_fd < 0)
        return -errno;
    for (unsigned i = 0; i < sizeof(waited_for) / sizeof(waited_for[0]); i++) {
        /* Edge-triggered, so never read: the guest may have the descriptor too, and could have
         * read it first. */
        struct epoll_event event = {.events = EPOLLIN | EPOLLET};

        if (epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, s->fds[waited_for[i]], &event) < 0)
            return -errno;
    }
    busy_poll_init(&s->poll, s->start.busy_poll_usec);
    return 0;
}

void session_tell(Session *s)
{
    const uint32_t message = SESSION_MSG_CHANGED;

    s->untold = false;
    if (__atomic_load_n(&s->control->tell, __ATOMIC_SEQ_CST) == 0)
        return;
    if (send(s->socket, &message, sizeof(message), MSG_DONTWAIT | MSG_NOSIGNAL) < 0 &&
        (errno == EAGAIN || errno == ENOBUFS))
        s->untold = true;
}

/* What has to be done from time to time. Returns when to come again (now_nsec()), or UINT64_MAX. */
static uint64_t loop_tend(Session *s)
{
    uint64_t now = now_nsec();
    uint64_t next = session_meter_look(s, now);

    session_contexts_reap(s);
    if (s->untold)
        session_tell(s);
    if (s->untold && next > now + NSEC_PER_MSEC)
        next = now + NSEC_PER_MSEC;
    return next;
}

/* While operations follow each other, a millisecond may pass: a question to the driver takes half
 * as long as a launch. */
static void loop_tend_in_passing(Session *s)
{
    uint64_t now = now_nsec();

    if (now - s->tended_nsec < NSEC_PER_MSEC)
        return;
    s->tended_nsec = now;
    (void) loop_tend(s);
}

static void loop_sleep(Session *s, uint64_t until)
{
    struct epoll_event events[2];
    struct timespec timeout;
    uint64_t now = until == UINT64_MAX ? 0 : now_nsec();

    if (until <= now)
        return;
    timeout = (struct timespec){
        .tv_sec = (time_t) ((until - now) / NSEC_PER_SEC),
        .tv_nsec = (long) ((until - now) % NSEC_PER_SEC),
    };
    if (epoll_pwait2(s->epoll_fd, events, 2, until == UINT64_MAX ? NULL : &timeout, NULL) < 0 &&
        errno != EINTR) {
        session_log("%s: epoll_pwait2: %s", s->start.name, strerror(errno));
        session_end(s, SESSION_END_FAILURE, 0);
    }
}

static void loop_check_window(Session *s)
{
    if (!session_window_is_lost(s))
        return;
    session_log("%s: the VM took memory of its window away", s->start.name);
    session_end(s, SESSION_END_WINDOW_LOST, 0);
}

static void loop_wait(Session *s)
{
    uint32_t *executor_waits = &s->header->executor_waits;
    bool sleeps = false;

    busy_poll_begin(&s->poll);
    while (!session_ring_has_news(&s->ring)) {
        uint64_t next = loop_tend(s);

        if (busy_poll_go_on(&s->poll))
            continue;
        if (!sleeps) {
            __atomic_store_n(executor_waits, 1, __ATOMIC_RELAXED);
            __atomic_thread_fence(__ATOMIC_SEQ_CST);
            sleeps = true;
            continue; /* look once more */
        }
        loop_sleep(s, next);
        loop_check_window(s);
    }
    if (sleeps)
        __atomic_store_n(executor_waits, 0, __ATOMIC_RELAXED);
    busy_poll_end(&s->poll);
}

static void loop_show_head(Session *s)
{
    __atomic_store_n(&s->header->head, s->ring.head, __ATOMIC_RELEASE);
}

void session_wait_at_gate(Session *s)
{
    loop_show_head(s);
    __atomic_store_n(&s->control->waiting, 1, __ATOMIC_SEQ_CST);
    session_tell(s);
    while (__atomic_load_n(&s->control->gate, __ATOMIC_SEQ_CST) == 0)
        loop_sleep(s, loop_tend(s));
    __atomic_store_n(&s->control->waiting, 0, __ATOMIC_SEQ_CST);
}

void session_hold_back(Session *s, const SessionRingRecord *record)
{
    SessionAheadWait wait;
    uint64_t next, tend;

    if (!session_ahead_is_full(s, record))
        return;
    loop_show_head(s);
    session_ahead_begin_wait(s, &wait);
    do {
        if (__atomic_load_n(&s->control->gate, __ATOMIC_SEQ_CST) == 0) {
            session_wait_at_gate(s);
            session_ahead_begin_wait(s, &wait);
        }
        if (!session_ahead_go_on_waiting(s, &wait, &next))
            return;
        session_meter_hurry(s); /* behind a stream's last work there is no mark */
        tend = loop_tend(s);
        if (session_ahead_is_full(s, record))
            loop_sleep(s, tend < next ? tend : next);
        loop_check_window(s);
    } while (session_ahead_is_full(s, record));
    session_pass_gate(s);
}

void *session_loop_run(void *data)
{
    Session *s = data;
    SessionRingRecord record;
    int r;

    session_thread_set(&s->ring_thread);
    (void) prctl(PR_SET_TIMERSLACK, LOOP_SLACK_NSEC, 0, 0, 0);
    for (;;) {
        unsigned n = 0;

        do {
            r = session_ring_take(&s->ring, &record);
            if (r == 0)
                session_dispatch(s, &record);
        } while (r == 0 && ++n < LOOP_BATCH);
        loop_check_window(s);
        if (r == SESSION_RING_BROKEN) {
            session_log("%s: the guest broke its ring: %s", s->start.name, s->ring.reason);
            session_end(s, SESSION_END_VIOLATION, 0);
        }
        loop_show_head(s);
        if (r == SESSION_RING_EMPTY)
            loop_wait(s);
        else
            loop_tend_in_passing(s);
    }
    return NULL;
}
