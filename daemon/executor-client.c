/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "buffer.h"
#include "busy-poll.h"
#include "child-source.h"
#include "executor-client.h"
#include "executor-queue.h"
#include "log.h"

#define BACKOFF_MIN_USEC UINT64_C(100000)
#define BACKOFF_MAX_USEC UINT64_C(30000000)
#define START_TIMEOUT_USEC UINT64_C(60000000)

/* So many that end while they start, one after the other, and none can be expected to do better:
 * three seconds, with the pauses in between. */
#define STARTS_MAX 6

/* The client takes so many answers in one round, and tells the pool after each round. After so
 * many rounds in a row, other event sources have their turn. */
#define ROUND 16
#define MAX_ROUNDS 16

/* Windows come and go in bursts when many VMs do. */
#define OUT_MAX (UINT32_C(1) << 20)

/* The one message that comes through the socket. */
typedef struct Hello {
    ExecutorHeader header;
    ExecutorHello hello;
} Hello;

struct ExecutorClient {
    sd_event *event;
    ExecutorOptions options;
    const ExecutorHandler *handler;
    void *userdata;

    ExecutorState state;
    ExecutorProcess process;
    ExecutorWriter requests;
    ExecutorReader answers;
    unsigned n_unanswered;
    BusyPoll poll;
    bool was_ready;
    unsigned failed_starts; /* since one was ready */
    uint64_t restarts;
    uint64_t backoff_usec;

    sd_event_source *io;       /* the socket */
    sd_event_source *answered; /* the event of the answers */
    sd_event_source *child;
    sd_event_source *timer; /* the next start, or the limit of this one */
    unsigned n_holds;
    ExecutorBegun begun[EXECUTOR_SLOTS_MAX]; /* what the process that ended last wrote */

    Buffer out; /* to the socket */
    size_t in_used;
    struct {
        Hello hello;
        char surplus; /* that nobody sends */
    } in;
};

static int executor_client_start(ExecutorClient *c);

static void executor_client_log_pool(const ExecutorClient *c, int priority, const char *text)
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
    return c->process.pid;
}

uint64_t executor_client_restarts(const ExecutorClient *c)
{
    return c->restarts;
}

uint64_t executor_client_begun(const ExecutorClient *c, uint64_t tag)
{
    const ExecutorBegun *begun = c->process.memory ? c->process.memory->begun : c->begun;

    return executor_begun_read(&begun[tag % EXECUTOR_SLOTS_MAX], tag);
}

void executor_client_kill(ExecutorClient *c)
{
    if (c->process.pid <= 0)
        return;

    (void) kill(c->process.pid, SIGKILL);
    c->state = EXECUTOR_ENDING;
    sd_event_source_set_enabled(c->io, SD_EVENT_OFF);
    sd_event_source_set_enabled(c->answered, SD_EVENT_OFF);
}

static int executor_client_arm_timer(ExecutorClient *c, uint64_t usec)
{
    int r = sd_event_source_set_time_relative(c->timer, usec);

    return r < 0 ? r : sd_event_source_set_enabled(c->timer, SD_EVENT_ONESHOT);
}

void executor_client_replace(ExecutorClient *c, const ExecutorOptions *options)
{
    c->options = *options;
    c->backoff_usec = 0;
    /* That it ends is no sign that it cannot start. */
    c->was_ready = true;
    if (c->process.pid > 0)
        executor_client_kill(c);
    else
        (void) executor_client_arm_timer(c, 0);
}

static int executor_client_on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
    ExecutorClient *c = userdata;

    (void) source;
    (void) usec;

    if (c->state == EXECUTOR_STARTING) {
        executor_client_log_pool(c, LOG_ERR, "did not become ready in time, killing it");
        executor_client_kill(c);
    } else if (c->state == EXECUTOR_WAITING) {
        return executor_client_start(c);
    }
    return 0;
}

static int executor_client_wait_before_start(ExecutorClient *c)
{
    uint64_t pause = c->backoff_usec;

    c->state = EXECUTOR_WAITING;
    c->backoff_usec = pause * 2 > BACKOFF_MAX_USEC   ? BACKOFF_MAX_USEC
                      : pause * 2 < BACKOFF_MIN_USEC ? BACKOFF_MIN_USEC
                                                     : pause * 2;
    return executor_client_arm_timer(c, pause);
}

static void executor_client_close_connection(ExecutorClient *c)
{
    c->io = sd_event_source_disable_unref(c->io);
    c->answered = sd_event_source_disable_unref(c->answered);
    c->child = sd_event_source_disable_unref(c->child);
    if (c->process.memory)
        memcpy(c->begun, c->process.memory->begun, sizeof(c->begun));
    executor_process_close(&c->process);
    c->in_used = 0;
    buffer_clear(&c->out);
}

static void executor_client_log_exit(const ExecutorClient *c, const siginfo_t *si)
{
    char text[80];

    if (si->si_code == CLD_EXITED)
        snprintf(text, sizeof(text), "exited with status %d", si->si_status);
    else
        snprintf(text, sizeof(text), "was killed by signal %d", si->si_status);
    executor_client_log_pool(c, LOG_WARNING, text);
}

static void executor_client_complain(ExecutorClient *c)
{
    if (c->state == EXECUTOR_ENDING)
        return;
    executor_client_log_pool(c, LOG_ERR, "sent a message that makes no sense, killing it");
    executor_client_kill(c);
}

/* ---- The socket: HELLO, and the windows ---------------------------------------------------- */

static bool executor_client_on_hello(ExecutorClient *c)
{
    ExecutorHello *hello = &c->in.hello.hello;

    if (c->state != EXECUTOR_STARTING || c->in.hello.header.type != EXECUTOR_MSG_HELLO ||
        c->in.hello.header.length != sizeof(*hello))
        return false;
    hello->device.backend[sizeof(hello->device.backend) - 1] = '\0';
    hello->device.name[sizeof(hello->device.name) - 1] = '\0';

    sd_event_source_set_enabled(c->timer, SD_EVENT_OFF);
    c->state = EXECUTOR_READY;
    c->was_ready = true;
    c->failed_starts = 0;
    c->handler->on_ready(c->userdata, hello);
    return true;
}

/* Sends what waits for the socket and then shows the requests, which may be about windows
 * that came before them. */
static void executor_client_flush_output(ExecutorClient *c)
{
    int r = buffer_send(&c->out, c->process.fds[EXECUTOR_FD_SOCKET]);

    /* A peer that is gone is reaped in executor_client_on_child(). */
    if (r < 0 || c->state != EXECUTOR_READY)
        return;
    sd_event_source_set_io_events(c->io, r > 0 ? EPOLLIN | EPOLLOUT : EPOLLIN);
    if (r == 0)
        executor_writer_flush(&c->requests);
}

static int executor_client_on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
    ExecutorClient *c = userdata;
    ssize_t n;

    if (revents & EPOLLOUT)
        executor_client_flush_output(c);
    if (!(revents & (EPOLLIN | EPOLLHUP | EPOLLERR)))
        return 0;

    n = recv(fd, (char *) &c->in + c->in_used, sizeof(c->in) - c->in_used, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (n <= 0) {
        /* Its end of the socket is gone, so it is ending; executor_client_on_child() has the rest.
         */
        sd_event_source_set_enabled(source, SD_EVENT_OFF);
        return 0;
    }

    c->in_used += (size_t) n;
    if (c->in_used < sizeof(Hello))
        return 0;
    if (c->in_used > sizeof(Hello) || !executor_client_on_hello(c))
        executor_client_complain(c);
    return 0;
}

/* ---- The queues ------------------------------------------------------------------------------ */

/* Returns false when the message makes no sense. */
static bool executor_client_on_message(ExecutorClient *c, const ExecutorHeader *h,
                                       const void *payload)
{
    ExecutorResult result;

    if (c->state != EXECUTOR_READY)
        return false;

    switch (h->type) {
    case EXECUTOR_MSG_RESPONSE:
        if (!vgpu_response_check(payload, h->length, NULL))
            return false;
        c->backoff_usec = BACKOFF_MIN_USEC;
        return c->handler->on_response(c->userdata, h->tag, payload, h->length);

    case EXECUTOR_MSG_RESULT:
        if (h->length != sizeof(result))
            return false;
        memcpy(&result, payload, sizeof(result));
        if (result.status >= VGPU_N_ERRORS)
            return false;
        c->backoff_usec = BACKOFF_MIN_USEC;
        return c->handler->on_result(c->userdata, h->tag, &result);

    default:
        return false;
    }
}

/* Copied before it is looked at: what is shared may change. */
static bool executor_client_take_answer(ExecutorClient *c, const ExecutorMessage *message)
{
    _Alignas(8) char payload[EXECUTOR_PAYLOAD_MAX];
    ExecutorHeader h;

    memcpy(&h, &message->header, sizeof(h));
    __asm__ volatile("" ::: "memory");
    if (h.length > sizeof(payload))
        return false;
    memcpy(payload, message->payload, h.length);
    __asm__ volatile("" ::: "memory");

    executor_reader_pop(&c->answers);
    c->n_unanswered--;
    return executor_client_on_message(c, &h, payload);
}

/* Takes those of a round. Returns as executor_reader_next(). */
static int executor_client_take_answers(ExecutorClient *c)
{
    const ExecutorMessage *message;
    int r = 0;

    for (unsigned i = 0; i < ROUND; i++) {
        r = executor_reader_next(&c->answers, &message);
        if (r > 0 && !executor_client_take_answer(c, message))
            r = -EPROTO;
        if (r <= 0)
            break;
    }
    return r;
}

static int executor_client_on_answered(sd_event_source *source, int fd, uint32_t revents,
                                       void *userdata)
{
    ExecutorClient *c = userdata;
    unsigned rounds = 0;

    (void) source;
    (void) revents;

    busy_poll_end(&c->poll);

    do {
        executor_client_hold(c);
        if (executor_client_take_answers(c) < 0)
            executor_client_complain(c);
        c->handler->on_round(c->userdata);
        executor_client_release(c);
        busy_poll_begin(&c->poll);
        if (c->state == EXECUTOR_ENDING)
            return 0;
    } while (++rounds < MAX_ROUNDS && executor_reader_sleep(&c->answers) != 0);

    /* There may be more, but others have their turn first. */
    if (rounds == MAX_ROUNDS)
        (void) eventfd_write(fd, 1);
    return 0;
}

static bool executor_client_others_wait(ExecutorClient *c)
{
    struct pollfd p = {.fd = sd_event_get_fd(c->event), .events = POLLIN};

    return c->handler->has_work(c->userdata) || poll(&p, 1, 0) != 0;
}

/* Each time before the loop waits: what was begun goes out, and answers that come at once
 * are worth to look for, until something else happens. */
static int executor_client_on_prepare(sd_event_source *source, void *userdata)
{
    ExecutorClient *c = userdata;
    const ExecutorMessage *m;

    (void) source;

    executor_client_flush(c);
    while (c->n_unanswered > 0 && busy_poll_go_on(&c->poll) && !executor_client_others_wait(c))
        if (executor_reader_next(&c->answers, &m) != 0)
            return eventfd_write(c->process.fds[EXECUTOR_FD_ANSWERS_EVENT], 1);
    return 0;
}

/* How it ended, by its exit status. One that was killed says nothing about the next one. */
static ExecutorEnd executor_client_judge_end(ExecutorClient *c, const siginfo_t *si)
{
    bool is_unable = si->si_code == CLD_EXITED && (si->si_status == EXECUTOR_EXIT_NO_BACKEND ||
                                                   si->si_status == EXECUTOR_EXIT_USAGE);

    if (c->was_ready)
        return EXECUTOR_END_STARTED;
    return is_unable || ++c->failed_starts >= STARTS_MAX ? EXECUTOR_END_UNABLE : EXECUTOR_END_START;
}

static int executor_client_on_child(sd_event_source *source, const siginfo_t *si, void *userdata)
{
    ExecutorClient *c = userdata;
    ExecutorEnd end = executor_client_judge_end(c, si);
    int r;

    (void) source;

    executor_client_log_exit(c, si);
    /* It may have ended before it could wake anybody. It gets nothing more to do. */
    while (c->state == EXECUTOR_READY && executor_client_take_answers(c) > 0)
        continue;
    c->process.pid = 0;
    executor_client_close_connection(c);
    if (c->was_ready)
        c->restarts++;

    /* The handler may look at the state, so that comes first. */
    r = executor_client_wait_before_start(c);
    c->handler->on_end(c->userdata, end);
    return r;
}

/* ---- Starting it --------------------------------------------------------------------------- */

static int executor_client_add_sources(ExecutorClient *c)
{
    int r = sd_event_add_io(c->event, &c->io, c->process.fds[EXECUTOR_FD_SOCKET], EPOLLIN,
                            executor_client_on_io, c);

    if (r < 0)
        return r;
    /* Never read: each write is an edge, and so an event. */
    r = sd_event_add_io(c->event, &c->answered, c->process.fds[EXECUTOR_FD_ANSWERS_EVENT],
                        EPOLLIN | EPOLLET, executor_client_on_answered, c);
    if (r < 0)
        return r;
    r = sd_event_source_set_prepare(c->answered, executor_client_on_prepare);
    if (r < 0)
        return r;
    return child_source_add(c->event, c->process.pid, executor_client_on_child, c, &c->child);
}

static void executor_client_open_queues(ExecutorClient *c)
{
    ExecutorMemory *memory = c->process.memory;

    c->requests = (ExecutorWriter){
        .queue = &memory->requests,
        .event = c->process.fds[EXECUTOR_FD_REQUESTS_EVENT],
    };
    c->answers = (ExecutorReader){.queue = &memory->answers};
    (void) executor_reader_sleep(&c->answers);
    c->n_unanswered = 0;
    busy_poll_init(&c->poll, c->options.busy_poll_usec);
}

static void executor_client_end_process(ExecutorClient *c)
{
    if (c->process.pid <= 0)
        return;

    (void) kill(c->process.pid, SIGKILL);
    (void) waitpid(c->process.pid, NULL, 0);
    c->process.pid = 0;
}

static int executor_client_start(ExecutorClient *c)
{
    int r;

    c->was_ready = false;

    r = executor_process_start(&c->process, &c->options);
    if (r >= 0) {
        c->state = EXECUTOR_STARTING;
        executor_client_open_queues(c);
        r = executor_client_add_sources(c);
    }
    if (r >= 0)
        return executor_client_arm_timer(c, START_TIMEOUT_USEC);

    log_errno(r, "pool %c: cannot start %s", c->options.pool, c->options.path);
    executor_client_end_process(c);
    executor_client_close_connection(c);
    r = executor_client_wait_before_start(c);
    c->handler->on_end(c->userdata, EXECUTOR_END_UNABLE);
    return r;
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
    c->process = EXECUTOR_PROCESS_NONE;
    c->backoff_usec = BACKOFF_MIN_USEC;
    c->state = EXECUTOR_WAITING;

    /* The first start comes from the loop, when the caller has its pointer. */
    r = sd_event_add_time_relative(event, &c->timer, CLOCK_MONOTONIC, 0, 0,
                                   executor_client_on_timer, c);
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

    executor_client_end_process(c);
    executor_client_close_connection(c);
    sd_event_source_disable_unref(c->timer);
    sd_event_unref(c->event);
    free(c);
    return NULL;
}

/* ---- What is given to it ------------------------------------------------------------------- */

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
    if (c->state == EXECUTOR_READY)
        executor_client_flush_output(c);
}

/* Appends a message about a window, with its descriptor where @fd is one. A process that has not
 * read so many is stuck, and ends. Returns 0 or -ENOMEM. */
static int executor_client_tell_window(ExecutorClient *c, uint32_t type, uint32_t id, int fd)
{
    const struct {
        ExecutorHeader header;
        ExecutorWindow window;
    } message = {
        .header = {.type = type, .length = sizeof(ExecutorWindow)},
        .window = {.id = id},
    };
    int r = fd >= 0 ? buffer_append_with_fd(&c->out, &message, sizeof(message), OUT_MAX, fd)
                    : buffer_append(&c->out, &message, sizeof(message), OUT_MAX);

    if (r != -ENOBUFS)
        return r;
    executor_client_log_pool(c, LOG_ERR, "does not read what it is sent, killing it");
    executor_client_kill(c);
    return 0;
}

int executor_client_add_window(ExecutorClient *c, uint32_t id, int fd)
{
    return executor_client_tell_window(c, EXECUTOR_MSG_WINDOW_ADD, id, fd);
}

void executor_client_remove_window(ExecutorClient *c, uint32_t id)
{
    if (c->state != EXECUTOR_READY)
        return;
    /* It would keep the window's memory for ever. */
    if (executor_client_tell_window(c, EXECUTOR_MSG_WINDOW_REMOVE, id, -1) < 0) {
        executor_client_log_pool(
            c, LOG_ERR, "cannot be told of a window that ended for want of memory, killing it");
        executor_client_kill(c);
    }
}

/* One that finds an executor with nothing to do begins a wait. */
static void executor_client_end_request(ExecutorClient *c, bool urgent)
{
    if (c->n_unanswered++ == 0)
        busy_poll_begin(&c->poll);
    if (urgent && c->n_holds == 0)
        executor_client_flush(c);
}

void executor_client_submit(ExecutorClient *c, uint64_t tag, uint32_t priority, const void *request,
                            uint32_t size, bool urgent)
{
    ExecutorMessage *m = executor_writer_begin(&c->requests);

    m->header = (ExecutorHeader){
        .type = EXECUTOR_MSG_REQUEST, .length = size, .tag = tag, .priority = priority};
    memcpy(m->payload, request, size);
    executor_client_end_request(c, urgent);
}

void executor_client_compute(ExecutorClient *c, uint64_t tag, uint32_t priority, uint32_t window,
                             const VGPUSubmission *submission, bool urgent)
{
    ExecutorMessage *m = executor_writer_begin(&c->requests);
    ExecutorCompute *compute = (ExecutorCompute *) m->payload;

    m->header = (ExecutorHeader){
        .type = EXECUTOR_MSG_COMPUTE, .length = sizeof(*compute), .tag = tag, .priority = priority};
    compute->window = window;
    compute->reserved = 0;
    compute->submission = *submission;
    executor_client_end_request(c, urgent);
}
