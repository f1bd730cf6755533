/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session-client.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child-source.h"
#include "cleanup.h"
#include "clock.h"
#include "closer.h"
#include "fd-passing.h"
#include "log.h"
#include "session-packet.h"

/* What a child inherits, in its own numbers. */
#define CHILD_FD 3

/* No errno is larger. */
#define ERRNO_MAX 4095

/* Limits are seconds: a timer that is this much late does no harm. */
#define TIMER_ACCURACY_USEC UINT64_C(100000)

/* What a process can have sent that nobody has read when it is gone. A well-behaved one sends less.
 */
#define REST_MAX 16

/* Messages of a kind that may come now */
typedef struct SessionBudget {
    unsigned left;
    uint64_t usec; /* when that was right */
} SessionBudget;

struct SessionProcess {
    sd_event *event;
    const SessionProcessHandler *handler;
    void *userdata;
    UnitKiller *killer;
    int fd;
    pid_t pid; /* 0: not known, or reaped */
    int pidfd; /* of a unit's process; -1: not known */
    bool is_child;
    bool greeted;   /* HELLO has come */
    bool has_begun; /* START is sent */
    bool answered;  /* STARTED has come */
    bool has_ended; /* ENDED has come */
    bool ending;    /* the connection is closed on this side */
    bool hung_up;   /* and on the other */
    bool killed;
    SessionProcessFate fate; /* once killed */
    sd_event_source *io, *end, *timer;
    sd_event_source *pause; /* while io is off */
    SessionBudget shares, changes;
};

/* ---- Its end ------------------------------------------------------------------------------- */

static void session_process_send_kill(const SessionProcess *p)
{
    int r = p->is_child     ? kill(p->pid, SIGKILL)
            : p->pidfd >= 0 ? (int) syscall(SYS_pidfd_send_signal, p->pidfd, SIGKILL, NULL, 0)
                            : -1;

    if (r < 0 && errno == EPERM && p->pidfd >= 0 && p->killer)
        unit_killer_kill(p->killer, p->pid);
    else if (r < 0)
        log_warning("the executor of a session, process %d, does not end and cannot be killed: %s",
                    (int) p->pid, p->pid == 0 ? "its number is not known" : strerror(errno));
}

static void session_process_kill(SessionProcess *p, SessionProcessFate fate)
{
    if (p->killed)
        return;

    p->killed = true;
    p->fate = fate;
    session_process_end(p);
    session_process_send_kill(p);
}

static int session_process_on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
    SessionProcess *p = userdata;

    (void) source, (void) usec;

    session_process_kill(p, p->ending || p->has_ended || p->hung_up ? SESSION_PROCESS_END_LATE
                                                                    : SESSION_PROCESS_START_LATE);
    return 0;
}

static void session_process_set_timer(SessionProcess *p, uint64_t usec)
{
    (void) sd_event_source_set_time_relative(p->timer, usec);
    (void) sd_event_source_set_enabled(p->timer, SD_EVENT_ONESHOT);
}

static SessionProcessFate session_process_judge(const SessionProcess *p)
{
    if (p->killed)
        return p->fate;
    if (p->ending || p->has_ended)
        return SESSION_PROCESS_ENDED;
    return p->answered ? SESSION_PROCESS_DIED : SESSION_PROCESS_UNABLE;
}

static void session_process_gone(SessionProcess *p, const char *text)
{
    p->io = sd_event_source_disable_unref(p->io);
    p->end = sd_event_source_disable_unref(p->end);
    (void) sd_event_source_set_enabled(p->timer, SD_EVENT_OFF);
    (void) sd_event_source_set_enabled(p->pause, SD_EVENT_OFF);
    p->handler->on_gone(p->userdata, session_process_judge(p), text);
}

/* ---- What it says ---------------------------------------------------------------------------- */

/*
 * How many messages about shared memory an executor has said lately: some at once, and then so many
 * a second. A guest can make its executor ask as fast as it likes. Nobody reads what is said beyond
 * that, until its time comes.
 */
#define SHARES_AT_ONCE 256u
#define SHARES_PER_SECOND 512u
#define SHARES_PAUSE_USEC UINT64_C(50000)

/* The same of CHANGED. A turn has three of them at most: nobody has that many who means well. */
#define CHANGES_AT_ONCE 10000u
#define CHANGES_PER_SECOND 20000u

static void session_budget_take(SessionBudget *b, unsigned at_once, unsigned per_second)
{
    const uint64_t now = now_usec();
    const uint64_t more = (now - b->usec) * per_second / USEC_PER_SEC;

    if (more > 0) {
        b->left = more < at_once - b->left ? b->left + (unsigned) more : at_once;
        b->usec = now;
    }
    if (b->left > 0)
        b->left--;
}

static void session_process_count_share(SessionProcess *p)
{
    session_budget_take(&p->shares, SHARES_AT_ONCE, SHARES_PER_SECOND);
    if (p->shares.left > 0 || !p->io)
        return;
    (void) sd_event_source_set_enabled(p->io, SD_EVENT_OFF);
    (void) sd_event_source_set_time_relative(p->pause, SHARES_PAUSE_USEC);
    (void) sd_event_source_set_enabled(p->pause, SD_EVENT_ONESHOT);
}

static int session_process_on_pause(sd_event_source *source, uint64_t usec, void *userdata)
{
    SessionProcess *p = userdata;

    (void) source, (void) usec;

    if (p->io)
        (void) sd_event_source_set_enabled(p->io, SD_EVENT_ON);
    return 0;
}

static bool session_process_on_share(SessionProcess *p, SessionPacket *m)
{
    const SessionShareMessage *share = &m->share;
    bool may_have_fd = share->type == SESSION_MSG_SHARE && share->kind == SESSION_SHARE_PHYSICAL;

    if (m->size != sizeof(*share) || !p->answered || share->kind >= SESSION_SHARE_N_KINDS ||
        share->error != 0 || share->reserved != 0)
        return false;
    if (m->has_fds != may_have_fd || m->has_surplus)
        return false;
    session_process_count_share(p);
    if (!p->ending)
        p->handler->on_share(p->userdata, share, &m->fd);
    return true;
}

/* Returns whether it makes sense. */
static bool session_process_on_message(SessionProcess *p, SessionPacket *m)
{
    const size_t size = (size_t) m->size;

    if (size < sizeof(m->type) || p->has_ended)
        return false;

    switch (m->type) {
    case SESSION_MSG_HELLO:
        if (size != sizeof(m->type) || p->greeted || p->answered || m->has_fds)
            return false;
        p->greeted = true;
        return true;
    case SESSION_MSG_SHARE:
    case SESSION_MSG_TAKE:
    case SESSION_MSG_UNSHARE:
        return session_process_on_share(p, m);
    case SESSION_MSG_STARTED:
        if (size != sizeof(m->started) || !p->has_begun || p->answered || m->has_fds)
            return false;
        if (m->started.error > 0 || m->started.error < -ERRNO_MAX)
            return false;
        p->answered = true;
        if (!p->ending)
            (void) sd_event_source_set_enabled(p->timer, SD_EVENT_OFF);
        m->started.command[sizeof(m->started.command) - 1] = '\0';
        p->handler->on_started(p->userdata, &m->started);
        return true;
    case SESSION_MSG_ENDED:
        if (size != sizeof(m->ended) || m->has_fds)
            return false;
        p->has_ended = true;
        if (!p->ending)
            session_process_set_timer(p, SESSION_END_USEC);
        p->handler->on_ended(p->userdata, &m->ended);
        return true;
    case SESSION_MSG_CHANGED:
        session_budget_take(&p->changes, CHANGES_AT_ONCE, CHANGES_PER_SECOND);
        if (size != sizeof(m->type) || !p->has_begun || m->has_fds || p->changes.left == 0)
            return false;
        return p->ending || p->handler->on_changed(p->userdata);
    default:
        return false;
    }
}

static int session_process_on_pidfd(sd_event_source *source, int fd, uint32_t revents,
                                    void *userdata)
{
    (void) source, (void) fd, (void) revents;

    session_process_gone(userdata, "ended");
    return 0;
}

/* Who sends, by the kernel: the process of a unit is not this one's child. Where it is not known,
 * the end of its connection has to do. */
static void session_process_take_sender(SessionProcess *p, pid_t sender)
{
    if (p->is_child || p->pid != 0 || sender <= 0)
        return;

    p->pid = sender;
    p->pidfd = (int) syscall(SYS_pidfd_open, sender, 0);
    if (p->pidfd >= 0 &&
        sd_event_add_io(p->event, &p->end, p->pidfd, EPOLLIN, session_process_on_pidfd, p) < 0) {
        close(p->pidfd);
        p->pidfd = -1;
    }
}

static void session_process_receive(SessionProcess *p, SessionPacket *ret)
{
    session_packet_receive(p->fd, ret);
    session_process_take_sender(p, ret->sender);
}

/* Returns whether there may be more. An executor that ends without having read all that it was sent
 * leaves an error before its last words. */
static bool session_process_take_message(SessionProcess *p)
{
    CLEANUP(session_packet_close) SessionPacket m;

    session_process_receive(p, &m);
    if (m.size <= 0)
        return m.size < 0 && (errno == EINTR || errno == ECONNRESET);
    if (!session_process_on_message(p, &m))
        session_process_kill(p, SESSION_PROCESS_NO_SENSE);
    return !p->killed;
}

/* Behind the end of its connection there is the end of the process. */
static void session_process_on_hang_up(SessionProcess *p)
{
    p->io = sd_event_source_disable_unref(p->io);
    p->hung_up = true;
    if (!p->is_child && p->pidfd < 0)
        session_process_gone(p, "hung up");
    else if (!p->ending && !p->has_ended)
        session_process_set_timer(p, SESSION_END_USEC);
}

static int session_process_on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
    CLEANUP(session_packet_close) SessionPacket m = {.fd = -1};
    SessionProcess *p = userdata;

    (void) source, (void) fd;

    if (revents & EPOLLIN)
        session_process_receive(p, &m);
    if (m.size == 0 && revents & (EPOLLHUP | EPOLLRDHUP))
        session_process_on_hang_up(p);
    else if (m.size >= 0 && !p->killed && !session_process_on_message(p, &m))
        session_process_kill(p, SESSION_PROCESS_NO_SENSE);
    return 0;
}

static int session_process_on_child(sd_event_source *source, const siginfo_t *si, void *userdata)
{
    SessionProcess *p = userdata;
    char text[80];

    (void) source;

    if (si->si_code == CLD_EXITED)
        snprintf(text, sizeof(text), "exited with status %d", si->si_status);
    else
        snprintf(text, sizeof(text), "was killed by signal %d", si->si_status);
    p->pid = 0;
    /* Its last words may not have been read. */
    for (unsigned i = 0; i < REST_MAX && !p->killed && session_process_take_message(p); i++)
        continue;
    session_process_gone(p, text);
    return 0;
}

/* ---- Starting it ----------------------------------------------------------------------------- */

/* Returns a connected socket, -ENOENT when nobody listens there, or another negative errno. */
static int connect_to_unit(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    CLEANUP_CLOSE int fd = -1;
    const int on = 1;

    if (!path || !*path)
        return -ENOENT;
    if (strlen(path) >= sizeof(address.sun_path))
        return -ENAMETOOLONG;
    memcpy(address.sun_path, path, strlen(path) + 1);

    fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0)
        return -errno;
    if (connect(fd, (struct sockaddr *) &address, sizeof(address)) < 0)
        return errno == ECONNREFUSED ? -ENOENT : -errno;
    return TAKE_FD(fd);
}

static int spawn_executor(const char *path, int fd, pid_t *ret)
{
    char fd_arg[] = "--fd=3", session_arg[] = "--session";
    char *argv[] = {(char *) "vgpu-executor", session_arg, fd_arg, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none;
    int r;

    static_assert(CHILD_FD == 3, "as in --fd=");
    r = posix_spawn_file_actions_init(&actions);
    if (r != 0)
        return -r;
    r = posix_spawn_file_actions_adddup2(&actions, fd, CHILD_FD);
    posix_spawnattr_init(&attributes);
    sigemptyset(&none);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);

    if (r == 0)
        r = posix_spawn(ret, path, &actions, &attributes, argv, environ);

    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return -r;
}

static int session_process_fork(SessionProcess *p, const char *path)
{
    CLEANUP_CLOSE int theirs = -1;
    int pair[2], r;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    p->fd = pair[0];
    theirs = pair[1];
    r = spawn_executor(path, theirs, &p->pid);
    if (r < 0) {
        p->pid = 0;
        return r;
    }
    p->is_child = true;
    return child_source_add(p->event, p->pid, session_process_on_child, p, &p->end);
}

static void session_process_freep(SessionProcess **p)
{
    session_process_free(*p);
}

int session_process_new(sd_event *event, const SessionProcessOptions *options,
                        const SessionProcessHandler *handler, void *userdata, SessionProcess **ret)
{
    CLEANUP(session_process_freep) SessionProcess *p = calloc(1, sizeof(*p));
    int r;

    if (!p)
        return -ENOMEM;
    p->event = sd_event_ref(event);
    p->handler = handler;
    p->userdata = userdata;
    p->killer = options->killer;
    p->pidfd = -1;
    p->fd = r = connect_to_unit(options->socket);
    if (r == -ENOENT)
        r = session_process_fork(p, options->path);
    if (r >= 0)
        r = sd_event_add_io(event, &p->io, p->fd, EPOLLIN | EPOLLRDHUP, session_process_on_io, p);
    if (r >= 0)
        r = sd_event_add_time_relative(event, &p->timer, CLOCK_MONOTONIC, UINT64_MAX / 2,
                                       TIMER_ACCURACY_USEC, session_process_on_timer, p);
    if (r >= 0)
        r = sd_event_source_set_enabled(p->timer, SD_EVENT_OFF);
    if (r >= 0)
        r = sd_event_add_time_relative(event, &p->pause, CLOCK_MONOTONIC, UINT64_MAX / 2,
                                       TIMER_ACCURACY_USEC / 10, session_process_on_pause, p);
    if (r >= 0)
        r = sd_event_source_set_enabled(p->pause, SD_EVENT_OFF);
    if (r < 0)
        return r;

    *ret = TAKE_PTR(p);
    return 0;
}

void session_process_set_handler(SessionProcess *p, const SessionProcessHandler *handler,
                                 void *userdata)
{
    p->handler = handler;
    p->userdata = userdata;
}

/* ---- What it is told ------------------------------------------------------------------------- */

static int session_process_send(const SessionProcess *p, const void *message, size_t size,
                                const int *fds, unsigned n_fds)
{
    ssize_t n = fd_passing_send(p->fd, message, size, fds, n_fds, MSG_DONTWAIT);

    return n < 0 ? (int) n : 0;
}

int session_process_warm(SessionProcess *p, const char *device)
{
    SessionWarm warm = {.type = SESSION_MSG_WARM};

    assert(!p->has_begun);
    snprintf(warm.device, sizeof(warm.device), "%s", device);
    return session_process_send(p, &warm, sizeof(warm), NULL, 0);
}

int session_process_begin(SessionProcess *p, const SessionStart *start,
                          const int fds[SESSION_N_FDS])
{
    int r;

    assert(!p->has_begun);
    r = session_process_send(p, start, sizeof(*start), fds, SESSION_N_FDS);
    if (r < 0)
        return r;

    p->has_begun = true;
    session_process_set_timer(p, SESSION_START_USEC);
    return 0;
}

void session_process_answer(SessionProcess *p, const SessionShareMessage *answer, int fd)
{
    /* It has one question at a time, so there is room. */
    if (session_process_send(p, answer, sizeof(*answer), &fd, fd >= 0) == -EAGAIN)
        session_process_kill(p, SESSION_PROCESS_NO_SENSE);
}

void session_process_end(SessionProcess *p)
{
    if (p->ending)
        return;

    /* What it says last can still be read. */
    p->ending = true;
    (void) shutdown(p->fd, SHUT_WR);
    session_process_set_timer(p, SESSION_END_USEC);
}

bool session_process_is_well(const SessionProcess *p)
{
    struct pollfd poll_fd = {.fd = p->fd, .events = POLLRDHUP};

    return !p->ending && !p->has_ended && poll(&poll_fd, 1, 0) == 0;
}

pid_t session_process_pid(const SessionProcess *p)
{
    return p->pid;
}

SessionProcess *session_process_free(SessionProcess *p)
{
    if (!p)
        return NULL;

    if (p->is_child && p->pid > 0) {
        (void) kill(p->pid, SIGKILL);
        (void) waitpid(p->pid, NULL, 0);
    } else if (p->pidfd >= 0) {
        (void) syscall(SYS_pidfd_send_signal, p->pidfd, SIGKILL, NULL, 0);
    }
    sd_event_source_disable_unref(p->io);
    sd_event_source_disable_unref(p->end);
    sd_event_source_disable_unref(p->timer);
    sd_event_source_disable_unref(p->pause);
    if (p->pidfd >= 0)
        close(p->pidfd);
    /* With what it has sent that nobody has read. */
    closer_close(p->fd);
    sd_event_unref(p->event);
    free(p);
    return NULL;
}
