/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "buffer.h"
#include "executor-client.h"
#include "log.h"

#define EXECUTOR_FD 3

#define BACKOFF_MIN_USEC UINT64_C(100000)
#define BACKOFF_MAX_USEC UINT64_C(30000000)
#define START_TIMEOUT_USEC UINT64_C(60000000)

/* All slots full of the largest requests, several times over. */
#define OUT_MAX (4 * EXECUTOR_SLOTS_MAX * (sizeof(ExecutorHeader) + EXECUTOR_PAYLOAD_MAX))
#define IN_SIZE (32 * 1024)

struct ExecutorClient {
    sd_event *event;
    ExecutorOptions options;
    const ExecutorHandler *handler;
    void *userdata;

    ExecutorState state;
    pid_t pid;
    int fd;
    bool was_ready;
    uint64_t restarts;
    uint64_t backoff_usec;

    sd_event_source *io;
    sd_event_source *child;
    sd_event_source *timer; /* the next start, or the limit of this one */
    sd_event_source *flush;
    unsigned n_holds;

    Buffer out;
    size_t in_used;
    char in[IN_SIZE];
};

static int start(ExecutorClient *c);

static void log_pool(const ExecutorClient *c, int priority, const char *text)
{
    LogContext context = {.pool = c->options.pool};

    log_context(priority, &context, "pool %c: executor %s", c->options.pool, text);
}

ExecutorState executor_client_state(const ExecutorClient *c)
{
    return c->state;
}

pid_t executor_client_pid(const ExecutorClient *c)
{
    return c->pid;
}

uint64_t executor_client_restarts(const ExecutorClient *c)
{
    return c->restarts;
}

void executor_client_kill(ExecutorClient *c)
{
    if (c->pid <= 0)
        return;

    (void) kill(c->pid, SIGKILL);
    c->state = EXECUTOR_ENDING;
    sd_event_source_set_enabled(c->io, SD_EVENT_OFF);
    sd_event_source_set_enabled(c->flush, SD_EVENT_OFF);
}

static int arm_timer(ExecutorClient *c, uint64_t usec)
{
    int r = sd_event_source_set_time_relative(c->timer, usec);

    return r < 0 ? r : sd_event_source_set_enabled(c->timer, SD_EVENT_ONESHOT);
}

void executor_client_replace(ExecutorClient *c, const char *backend, unsigned device)
{
    c->options.backend = backend;
    c->options.device = device;
    c->backoff_usec = 0;
    /* That it ends is no sign that it cannot start. */
    c->was_ready = true;
    if (c->pid > 0)
        executor_client_kill(c);
    else
        (void) arm_timer(c, 0);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
    ExecutorClient *c = userdata;

    (void) source;
    (void) usec;

    if (c->state == EXECUTOR_STARTING) {
        log_pool(c, LOG_ERR, "did not become ready in time, killing it");
        executor_client_kill(c);
    } else if (c->state == EXECUTOR_WAITING) {
        return start(c);
    }
    return 0;
}

static int wait_before_start(ExecutorClient *c)
{
    uint64_t pause = c->backoff_usec;

    c->state = EXECUTOR_WAITING;
    c->backoff_usec = pause * 2 > BACKOFF_MAX_USEC   ? BACKOFF_MAX_USEC
                      : pause * 2 < BACKOFF_MIN_USEC ? BACKOFF_MIN_USEC
                                                     : pause * 2;
    return arm_timer(c, pause);
}

static void close_connection(ExecutorClient *c)
{
    c->io = sd_event_source_disable_unref(c->io);
    c->child = sd_event_source_disable_unref(c->child);
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    c->in_used = 0;
    buffer_clear(&c->out);
    sd_event_source_set_enabled(c->flush, SD_EVENT_OFF);
}

static void log_exit(const ExecutorClient *c, const siginfo_t *si)
{
    char text[80];

    if (si->si_code == CLD_EXITED)
        snprintf(text, sizeof(text), "exited with status %d", si->si_status);
    else
        snprintf(text, sizeof(text), "was killed by signal %d", si->si_status);
    log_pool(c, LOG_WARNING, text);
}

static int on_child(sd_event_source *source, const siginfo_t *si, void *userdata)
{
    ExecutorClient *c = userdata;
    ExecutorEnd end = c->was_ready ? EXECUTOR_END_STARTED : EXECUTOR_END_START;

    (void) source;

    log_exit(c, si);
    c->pid = 0;
    close_connection(c);
    if (c->was_ready)
        c->restarts++;

    /* The handler may look at the state, so that comes first. */
    int r = wait_before_start(c);
    c->handler->on_end(c->userdata, end);
    return r;
}

static bool on_result(ExecutorClient *c, const ExecutorHeader *h, const char *payload)
{
    ExecutorResult result;

    if (c->state != EXECUTOR_READY || h->length != sizeof(result))
        return false;
    memcpy(&result, payload, sizeof(result));
    if (result.status >= VGPU_N_ERRORS)
        return false;

    c->backoff_usec = BACKOFF_MIN_USEC;
    return c->handler->on_result(c->userdata, h->tag, &result);
}

/* Returns false when the message makes no sense. */
static bool on_message(ExecutorClient *c, const ExecutorHeader *h, const char *payload)
{
    ExecutorHello hello;

    switch (h->type) {
    case EXECUTOR_MSG_HELLO:
        if (c->state != EXECUTOR_STARTING || h->length != sizeof(hello))
            return false;
        memcpy(&hello, payload, sizeof(hello));
        hello.device.backend[sizeof(hello.device.backend) - 1] = '\0';
        hello.device.name[sizeof(hello.device.name) - 1] = '\0';

        sd_event_source_set_enabled(c->timer, SD_EVENT_OFF);
        c->state = EXECUTOR_READY;
        c->was_ready = true;
        c->handler->on_ready(c->userdata, &hello);
        return true;

    case EXECUTOR_MSG_RESPONSE:
        if (c->state != EXECUTOR_READY || !vgpu_response_check(payload, h->length, NULL))
            return false;
        c->backoff_usec = BACKOFF_MIN_USEC;
        return c->handler->on_response(c->userdata, h->tag, payload, h->length);

    case EXECUTOR_MSG_RESULT:
        return on_result(c, h, payload);

    default:
        return false;
    }
}

/* Handles every whole message of the input and keeps the rest. */
static bool parse_input(ExecutorClient *c)
{
    size_t at = 0;

    while (c->in_used - at >= sizeof(ExecutorHeader)) {
        ExecutorHeader h;

        memcpy(&h, c->in + at, sizeof(h));
        if (h.length > EXECUTOR_PAYLOAD_MAX)
            return false;
        if (c->in_used - at < sizeof(h) + h.length)
            break;
        if (!on_message(c, &h, c->in + at + sizeof(h)))
            return false;
        at += sizeof(h) + h.length;
    }

    memmove(c->in, c->in + at, c->in_used - at);
    c->in_used -= at;
    return true;
}

static void flush_output(ExecutorClient *c)
{
    int r = buffer_send(&c->out, c->fd);

    /* A peer that is gone is reaped in on_child(). */
    if (r < 0 || c->state != EXECUTOR_READY)
        return;
    sd_event_source_set_io_events(c->io, r > 0 ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
    ExecutorClient *c = userdata;
    ssize_t n;

    if (revents & EPOLLOUT)
        flush_output(c);
    if (!(revents & (EPOLLIN | EPOLLHUP | EPOLLERR)))
        return 0;

    n = recv(fd, c->in + c->in_used, IN_SIZE - c->in_used, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (n <= 0) {
        /* Its end of the socket is gone, so it is ending; on_child() has the rest. */
        sd_event_source_set_enabled(source, SD_EVENT_OFF);
        return 0;
    }

    c->in_used += (size_t) n;
    executor_client_hold(c);
    if (!parse_input(c) && c->state != EXECUTOR_ENDING) {
        log_pool(c, LOG_ERR, "sent a message that makes no sense, killing it");
        executor_client_kill(c);
    }
    c->handler->on_round(c->userdata);
    executor_client_release(c);
    return 0;
}

static int on_flush(sd_event_source *source, void *userdata)
{
    (void) source;

    flush_output(userdata);
    return 0;
}

/* What is still in the socket when the process is seen to be dead comes first. */
static int add_sources(ExecutorClient *c)
{
    int r = sd_event_add_io(c->event, &c->io, c->fd, EPOLLIN, on_io, c);

    if (r < 0)
        return r;
    r = sd_event_add_child(c->event, &c->child, c->pid, WEXITED, on_child, c);
    if (r < 0)
        return r;
    return sd_event_source_set_priority(c->child, SD_EVENT_PRIORITY_NORMAL + 10);
}

static int spawn(const ExecutorClient *c, int fd, pid_t *ret_pid)
{
    char backend[32], device[32], slots[32], fd_arg[32];
    char *argv[] = {(char *) "vgpu-executor", backend, device, slots, fd_arg, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none;
    int r;

    snprintf(backend, sizeof(backend), "--backend=%s", c->options.backend);
    snprintf(device, sizeof(device), "--device=%u", c->options.device);
    snprintf(slots, sizeof(slots), "--slots=%u", c->options.slots);
    snprintf(fd_arg, sizeof(fd_arg), "--fd=%d", EXECUTOR_FD);

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, fd, EXECUTOR_FD);
    posix_spawnattr_init(&attributes);
    sigemptyset(&none);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);

    r = posix_spawn(ret_pid, c->options.path, &actions, &attributes, argv, environ);

    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return -r;
}

static int start(ExecutorClient *c)
{
    int pair[2], r;

    c->was_ready = false;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        log_errno(-errno, "pool %c: cannot make a socketpair", c->options.pool);
        return wait_before_start(c);
    }
    c->fd = pair[0];

    r = spawn(c, pair[1], &c->pid);
    close(pair[1]);
    if (r < 0) {
        log_errno(r, "pool %c: cannot start %s", c->options.pool, c->options.path);
        c->pid = 0;
        close_connection(c);
        r = wait_before_start(c);
        c->handler->on_end(c->userdata, EXECUTOR_END_START);
        return r;
    }

    c->state = EXECUTOR_STARTING;
    r = add_sources(c);
    return r < 0 ? r : arm_timer(c, START_TIMEOUT_USEC);
}

int executor_client_new(sd_event *event, const ExecutorOptions *options,
                        const ExecutorHandler *handler, void *userdata, ExecutorClient **ret)
{
    ExecutorClient *c = calloc(1, sizeof(*c));
    int r;

    if (!c)
        return -ENOMEM;

    c->event = sd_event_ref(event);
    c->options = *options;
    c->handler = handler;
    c->userdata = userdata;
    c->fd = -1;
    c->backoff_usec = BACKOFF_MIN_USEC;
    c->state = EXECUTOR_WAITING;

    /* The first start comes from the loop, when the caller has its pointer. */
    r = sd_event_add_time_relative(event, &c->timer, CLOCK_MONOTONIC, 0, 0, on_timer, c);
    if (r >= 0)
        r = sd_event_add_defer(event, &c->flush, on_flush, c);
    if (r >= 0)
        r = sd_event_source_set_enabled(c->flush, SD_EVENT_OFF);
    /* After everything that may add to the same write. */
    if (r >= 0)
        r = sd_event_source_set_priority(c->flush, SD_EVENT_PRIORITY_NORMAL + 1);
    if (r < 0) {
        executor_client_free(c);
        return r;
    }

    *ret = c;
    return 0;
}

ExecutorClient *executor_client_free(ExecutorClient *c)
{
    if (!c)
        return NULL;

    if (c->pid > 0) {
        (void) kill(c->pid, SIGKILL);
        (void) waitpid(c->pid, NULL, 0);
    }
    close_connection(c);
    sd_event_source_disable_unref(c->timer);
    sd_event_source_disable_unref(c->flush);
    sd_event_unref(c->event);
    free(c);
    return NULL;
}

static void fail_output(ExecutorClient *c)
{
    log_pool(c, LOG_ERR, "does not read its requests, killing it");
    executor_client_kill(c);
}

static void queue_message(ExecutorClient *c, const ExecutorHeader *h, const void *payload)
{
    if (buffer_append(&c->out, h, sizeof(*h), OUT_MAX) < 0 ||
        buffer_append(&c->out, payload, h->length, OUT_MAX) < 0)
        fail_output(c);
}

static void send_soon(ExecutorClient *c, bool urgent)
{
    if (c->state != EXECUTOR_READY || c->n_holds > 0)
        return;

    if (urgent)
        flush_output(c);
    else
        sd_event_source_set_enabled(c->flush, SD_EVENT_ONESHOT);
}

void executor_client_hold(ExecutorClient *c)
{
    c->n_holds++;
}

void executor_client_release(ExecutorClient *c)
{
    if (--c->n_holds == 0)
        executor_client_flush(c);
}

void executor_client_flush(ExecutorClient *c)
{
    if (c->state == EXECUTOR_READY && buffer_used(&c->out) > 0)
        flush_output(c);
}

void executor_client_submit(ExecutorClient *c, uint64_t tag, uint32_t priority, const void *request,
                            uint32_t size, bool urgent)
{
    const ExecutorHeader h = {
        .type = EXECUTOR_MSG_REQUEST, .length = size, .tag = tag, .priority = priority};

    queue_message(c, &h, request);
    send_soon(c, urgent);
}

void executor_client_add_window(ExecutorClient *c, uint32_t id, int fd)
{
    const ExecutorWindow window = {.id = id};
    const ExecutorHeader h = {.type = EXECUTOR_MSG_WINDOW_ADD, .length = sizeof(window)};

    if (buffer_append_fd(&c->out, fd) < 0)
        fail_output(c);
    else
        queue_message(c, &h, &window);
}

void executor_client_remove_window(ExecutorClient *c, uint32_t id)
{
    const ExecutorWindow window = {.id = id};
    const ExecutorHeader h = {.type = EXECUTOR_MSG_WINDOW_REMOVE, .length = sizeof(window)};

    if (c->state != EXECUTOR_READY)
        return;
    queue_message(c, &h, &window);
    send_soon(c, false);
}

void executor_client_compute(ExecutorClient *c, uint64_t tag, uint32_t priority, uint32_t window,
                             const VGPUSubmission *submission, bool urgent)
{
    const ExecutorCompute compute = {.window = window, .submission = *submission};
    const ExecutorHeader h = {
        .type = EXECUTOR_MSG_COMPUTE, .length = sizeof(compute), .tag = tag, .priority = priority};

    queue_message(c, &h, &compute);
    send_soon(c, urgent);
}
