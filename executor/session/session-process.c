/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The process of a session: what the mediator says, what is made of that, and its end. */
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/socket.h>

#include "cleanup.h"
#include "clock.h"
#include "executor-protocol.h"
#include "fd-passing.h"
#include "session-containment.h"
#include "session-dispatch.h"
#include "session-log.h"
#include "session-loop.h"
#include "session-marks.h"
#include "session-open.h"
#include "session-reply.h"
#include "session-run.h"
#include "session-share.h"
#include "session-slow.h"
#include "session-store.h"

/* ---- The end --------------------------------------------------------------------------------- */

static int process_status(uint32_t reason)
{
    switch (reason) {
    case SESSION_END_HANGUP:
    case SESSION_END_VIOLATION:
        return EXECUTOR_EXIT_OK;
    case SESSION_END_KERNEL_TIMEOUT:
        return EXECUTOR_EXIT_STICKY;
    default:
        return EXECUTOR_EXIT_FAILURE;
    }
}

static void process_send(const Session *s, const void *message, size_t size)
{
    /* If it does not fit, the mediator has not read for long. The end of the connection, which
     * follows, says enough. */
    (void) !send(s->socket, message, size, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* The ring's thread may be in the middle of an operation, and write the reply after this. Then the
 * guest has two results, of which it sees one. */
static void process_answer(Session *s, CUresult result)
{
    const SessionCall *now = __atomic_load_n(&s->ring_thread.call, __ATOMIC_ACQUIRE);

    if (now && session_thread() != &s->ring_thread)
        session_reply(s, now, result);
    session_slow_end(s, result);
}

void session_end(Session *s, uint32_t reason, uint32_t result)
{
    SessionEnded message = {.type = SESSION_MSG_ENDED, .reason = reason};

    pthread_mutex_lock(&s->end_lock); /* for ever: there is one end */
    if (result != CUDA_SUCCESS)
        session_stick(s, (CUresult) result);
    message.cuda_result = (uint32_t) session_sticky(s);
    session_set_state(s, VGPU_SESSION_STATE_ENDED);
    process_send(s, &message, sizeof(message));
    process_answer(s, message.cuda_result != 0 ? (CUresult) message.cuda_result
                                               : CUDA_ERROR_DEINITIALIZED);
    session_signal(s);

    /* A kernel may run for ever, and a context that is broken can't be closed. The system cleans up
     * after both. exit() would run the driver's handlers. */
    _exit(process_status(reason));
}

/* ---- The mediator ------------------------------------------------------------------------------
 */

typedef union ProcessMessage {
    uint32_t type;
    SessionWarm warm;
    SessionStart start;
    SessionShareMessage share;
} ProcessMessage;

typedef struct ProcessPacket {
    ProcessMessage message;
    size_t size;
    int fds[FD_PASSING_MAX];
    unsigned n_fds;
} ProcessPacket;

static void process_close_fds(ProcessPacket *p)
{
    while (p->n_fds > 0)
        close(p->fds[--p->n_fds]);
}

/* Waits for a packet. Returns 0, 1 when the mediator has hung up, or a negative errno. */
static int process_receive(int socket, ProcessPacket *ret)
{
    struct pollfd fd = {.fd = socket, .events = POLLIN};
    ssize_t n;

    *ret = (ProcessPacket){0};
    do {
        if (poll(&fd, 1, -1) < 0 && errno != EINTR)
            return -errno;
        n = fd_passing_receive(socket, &ret->message, sizeof(ret->message), ret->fds,
                               FD_PASSING_MAX, &ret->n_fds);
    } while (n == -EAGAIN || n == -EINTR);
    if (n <= 0) {
        process_close_fds(ret);
        return n == 0 || n == -ECONNRESET ? 1 : (int) n;
    }
    ret->size = (size_t) n;
    return 0;
}

static bool process_is_warm(const ProcessPacket *p)
{
    return p->size == sizeof(p->message.warm) && p->message.type == SESSION_MSG_WARM &&
           p->message.warm.reserved == 0 && p->n_fds == 0 &&
           memchr(p->message.warm.device, 0, SESSION_DEVICE_MAX);
}

static bool process_is_start(const ProcessPacket *p)
{
    const SessionStart *start = &p->message.start;

    return p->size == sizeof(*start) && start->type == SESSION_MSG_START && start->reserved == 0 &&
           p->n_fds == SESSION_N_FDS && memchr(start->device, 0, SESSION_DEVICE_MAX) &&
           memchr(start->name, 0, sizeof(start->name)) && start->kernel_timeout_usec > 0 &&
           start->objects_max >= 1 && start->objects_max <= VGPU_SESSION_ID_MAX &&
           start->account_slot < SESSION_ACCOUNT_SLOTS && start->reserved2 == 0;
}

/* Reads until there is a session. Returns as process_receive(). */
static int process_wait_for_start(Session *s)
{
    for (bool is_warm = false;; is_warm = true) {
        CLEANUP(process_close_fds) ProcessPacket p;
        int r = process_receive(s->socket, &p);

        if (r != 0)
            return r;
        if (process_is_start(&p)) {
            s->start = p.message.start;
            memcpy(s->fds, p.fds, sizeof(s->fds));
            p.n_fds = 0;
            return 0;
        }
        if (is_warm || !process_is_warm(&p)) {
            session_log("the mediator sent something that makes no sense");
            return -EPROTO;
        }
        /* If it fails, START fails in the same way, and is answered. */
        (void) session_open_driver(s, p.message.warm.device);
        (void) session_open_warm(s);
    }
}

/* ---- The session -------------------------------------------------------------------------------
 */

/* How often to look at the marks. -1: never */
static int process_pause_msec(const Session *s)
{
    uint64_t msec = s->marks.limit_nsec / NSEC_PER_MSEC / 10;

    if (s->marks.limit_nsec == UINT64_MAX)
        return -1;
    return msec < 1 ? 1 : msec > 100 ? 100 : (int) msec;
}

static bool process_is_answer(const ProcessPacket *p)
{
    const SessionShareMessage *m = &p->message.share;

    return p->size == sizeof(*m) &&
           (m->type == SESSION_MSG_SHARED || m->type == SESSION_MSG_TAKEN) && p->n_fds <= 1;
}

static void process_hear(Session *s)
{
    CLEANUP(process_close_fds) ProcessPacket p;
    int fd = -1;

    if (process_receive(s->socket, &p) != 0)
        session_end(s, SESSION_END_HANGUP, 0);
    if (!process_is_answer(&p)) {
        session_log("%s: the mediator sent something that makes no sense", s->start.name);
        session_end(s, SESSION_END_FAILURE, 0);
    }
    if (p.n_fds > 0)
        fd = p.fds[--p.n_fds];
    session_share_answer(s, &p.message.share, fd);
}

__attribute__((noreturn)) static void process_watch(Session *s)
{
    struct pollfd fd = {.fd = s->socket, .events = POLLIN};

    for (;;) {
        if (poll(&fd, 1, process_pause_msec(s)) < 0 && errno != EINTR)
            session_end(s, SESSION_END_FAILURE, 0);
        if (fd.revents != 0)
            process_hear(s);
        if (session_marks_is_overdue(s, now_nsec())) {
            session_log("%s: a kernel ran longer than the limit of %llu ms", s->start.name,
                        (unsigned long long) (s->start.kernel_timeout_usec / USEC_PER_MSEC));
            session_end(s, SESSION_END_KERNEL_TIMEOUT, CUDA_ERROR_LAUNCH_TIMEOUT);
        }
    }
}

static int process_start_threads(Session *s)
{
    pthread_t thread;
    int r = session_slow_start(s);

    return r == 0 ? -pthread_create(&thread, NULL, session_loop_run, s) : r;
}

/* Device addresses go to the guest's program as they are, and must never equal an address that it
 * uses itself. Ordinary processes map their memory from the end of the address space downwards, and
 * so does the driver its device addresses. In the layout that the kernel had earlier, memory goes
 * upwards from a third of the address space, where ordinary processes have nothing. A process has
 * the layout that was set when it was executed. */
static int process_use_compat_layout(char *argv[])
{
    int persona = personality(0xffffffff);

    if (persona < 0 || (persona & ADDR_COMPAT_LAYOUT))
        return 0;
    if (personality((unsigned long) persona | ADDR_COMPAT_LAYOUT) < 0) {
        session_log("personality: %s; device addresses may be such as a guest's program has itself",
                    strerror(errno));
        return 0;
    }
    execv("/proc/self/exe", argv);
    return -errno;
}

static int process_check_socket(int fd)
{
    socklen_t size = sizeof(int);
    int type;

    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0)
        return -errno;
    return type == SOCK_SEQPACKET ? 0 : -EINVAL;
}

/* The mediator's end ends the process also while the first thread is in the driver, which may not
 * return. */
static void *process_wait_for_hangup(void *data)
{
    Session *s = data;
    struct pollfd fd = {.fd = s->socket};

    while (poll(&fd, 1, -1) < 0 && errno == EINTR)
        continue;
    if (__atomic_load_n(&s->is_open, __ATOMIC_ACQUIRE))
        session_end(s, SESSION_END_HANGUP, 0);
    pthread_mutex_lock(&s->end_lock); /* for ever */
    _exit(EXECUTOR_EXIT_OK);
}

/* Returns an exit status where there is no session to be watched. */
static int process_serve(Session *s)
{
    const uint32_t hello = SESSION_MSG_HELLO;
    pthread_t thread;
    int r = session_output_open(&s->output);

    process_send(s, &hello, sizeof(hello));

    if (r == 0)
        r = -pthread_create(&thread, NULL, process_wait_for_hangup, s);
    if (r == 0)
        r = process_wait_for_start(s);
    if (r != 0)
        return r > 0 ? EXECUTOR_EXIT_OK : EXECUTOR_EXIT_FAILURE;
    r = session_open(s);
    if (r == 0)
        r = process_start_threads(s);
    s->started.error = r;
    if (r == 0) {
        session_set_state(s, VGPU_SESSION_STATE_OPEN);
        __atomic_store_n(&s->is_open, true, __ATOMIC_RELEASE);
    }
    if (r < 0)
        pthread_mutex_lock(&s->end_lock); /* for ever: a hang-up changes nothing now */
    process_send(s, &s->started, sizeof(s->started));
    if (r < 0)
        return r == -ENODEV ? EXECUTOR_EXIT_NO_BACKEND : EXECUTOR_EXIT_FAILURE;
    process_watch(s);
}

int session_run(int fd, char *argv[], bool contained)
{
    Session *s;
    int r = process_check_socket(fd);

    if (r < 0) {
        session_log("descriptor %d is no connection for a session", fd);
        return EXECUTOR_EXIT_USAGE;
    }
    r = process_use_compat_layout(argv);
    if (r < 0) {
        session_log("/proc/self/exe: %s", strerror(-r));
        return EXECUTOR_EXIT_FAILURE;
    }
    r = contained ? session_containment_begin(fd) : 0;
    if (r < 0) {
        session_log("containment: %s", strerror(-r));
        return EXECUTOR_EXIT_FAILURE;
    }
    s = session_new(fd);
    if (!s)
        return EXECUTOR_EXIT_FAILURE;
    _exit(process_serve(s)); /* as session_end() does */
}
