/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One turn of the loop: take every request that is in the queue, start it or answer it;
 * flush the backend; show the mediator the answers; wait.
 *
 * Waiting is one system call, whatever happens next: the eventfds of queue and backend are
 * watched edge-triggered, and so never have to be read.
 *
 * A step of the loop returns 0, a negative errno, or SERVER_* (windows.h), which ends the
 * loop. With -ECANCELED the reason stands on standard error already.
 */
#include "server.h"

#include "answer.h"
#include "busy-poll.h"
#include "cleanup.h"
#include "clock.h"
#include "windows.h"

#include <assert.h>
#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

/* What epoll tells apart. */
enum { EVENT_SOCKET, EVENT_REQUESTS, EVENT_BACKEND };

/* After so many requests the mediator is shown the answers although more requests wait, so
 * that it can handle the first answers meanwhile. */
#define FLUSH_EVERY 16u

/* The socket is looked at after so many turns that found something to do without sleeping. */
#define SOCKET_EVERY 64u

typedef struct Slot {
    uint64_t tag;
    uint32_t opcode;      /* the request's, which decides the response's form */
    uint32_t size;        /* bytes of the result */
    MappedWindow *window; /* of a COMPUTE; NULL for a REQUEST */
} Slot;

typedef struct Server {
    const BackendOps *ops;
    Backend *backend;
    uint64_t all_slots, free_slots; /* bit i: slot i */
    int epoll_fd;
    Slot slots[EXECUTOR_SLOTS_MAX];
    Windows windows;
    ExecutorMemory *memory;
    ExecutorReader requests;
    ExecutorWriter answers;
    BusyPoll poll;
    unsigned n_found_awake;
} Server;

/* A request out of the queue, in memory that the mediator leaves alone until the answer. */
typedef struct Message {
    ExecutorHeader header;
    const unsigned char *payload; /* header.length bytes */
} Message;

static void server_freep(Server **s)
{
    if (*s)
        channel_close_fds(&(*s)->windows.channel);
    free(*s);
}

/* ---- How long the loop takes for one thing --------------------------------------------- */

/* Returns 0 where nobody wants to know. */
static uint64_t server_begin_step(const Server *s)
{
    return __atomic_load_n(&s->memory->longest_nsec, __ATOMIC_RELAXED) == 0
               ? 0
               : clock_nsec(CLOCK_THREAD_CPUTIME_ID);
}

static void server_end_step(Server *s, uint64_t begin)
{
    uint64_t nsec;

    if (begin == 0)
        return;
    nsec = clock_nsec(CLOCK_THREAD_CPUTIME_ID) - begin;
    if (nsec > __atomic_load_n(&s->memory->longest_nsec, __ATOMIC_RELAXED))
        __atomic_store_n(&s->memory->longest_nsec, nsec, __ATOMIC_RELAXED);
}

/* ---- Answers ------------------------------------------------------------- */

static void server_answer_device_info(Server *s, uint64_t tag)
{
    VGPUDeviceInfo info;
    uint32_t cuda_result = s->ops->device_info(s->backend, &info);
    const Response response = {.data = &info, .data_length = sizeof(info)};

    if (cuda_result != 0)
        answer_cuda_error(&s->answers, tag, cuda_result);
    else
        answer_response(&s->answers, tag, &response);
}

static void server_answer_compute(Server *s, const Slot *slot, const Completion *completion)
{
    const ExecutorResult refusal = {.status = VGPU_ERROR_INVALID_REQUEST};
    const ExecutorResult result = {
        .result = completion->result,
        .exec_time_us = completion->exec_time_us,
    };

    if (mapped_window_is_lost(slot->window))
        answer_result(&s->answers, slot->tag, &refusal);
    else if (completion->cuda_result != 0)
        answer_result_cuda_error(&s->answers, slot->tag, completion->cuda_result);
    else
        answer_result(&s->answers, slot->tag, &result);
}

static void server_answer_request(Server *s, const Slot *slot, const Completion *completion)
{
    Response response = {.exec_time_us = completion->exec_time_us};
    uint32_t sum;

    if (completion->cuda_result != 0) {
        answer_cuda_error(&s->answers, slot->tag, completion->cuda_result);
        return;
    }

    if (slot->opcode == VGPU_OP_CUDA_KERNEL) {
        memcpy(&sum, completion->c, sizeof(sum));
        response.n_results = 1;
        response.results = &sum;
    } else {
        response.data = completion->c;
        response.data_length = slot->size;
    }
    answer_response(&s->answers, slot->tag, &response);
}

static void server_complete(Server *s, const Completion *completion)
{
    const Slot *slot = &s->slots[completion->slot];
    uint64_t bit = UINT64_C(1) << completion->slot;

    assert((s->all_slots & bit) && !(s->free_slots & bit));
    s->free_slots |= bit;

    if (!slot->window) {
        server_answer_request(s, slot, completion);
        return;
    }
    server_answer_compute(s, slot, completion);
    windows_release(&s->windows, slot->window);
}

/* ---- Requests ------------------------------------------------------------ */

static int server_complain(void)
{
    warnx("the mediator sent something that makes no sense");
    return -ECANCELED;
}

/* To be called only while a slot is free. */
static void server_start(Server *s, const Slot *slot, Operation *operation)
{
    Completion completion;
    uint64_t begin;
    bool ended;
    unsigned i;

    assert(s->free_slots != 0);
    i = (unsigned) __builtin_ctzll(s->free_slots);
    s->free_slots &= ~(UINT64_C(1) << i);
    s->slots[i] = *slot;
    operation->tag = slot->tag;
    operation->begun = executor_memory_begun(s->memory, slot->tag);

    begin = server_begin_step(s);
    ended = s->ops->start(s->backend, i, operation, &completion);
    server_end_step(s, begin);
    if (ended)
        server_complete(s, &completion);
}

/* To be called only while a slot is free. */
static int server_compute(Server *s, const Message *m)
{
    ExecutorResult refusal = {.status = VGPU_ERROR_INVALID_REQUEST};
    Slot slot = {.tag = m->header.tag};
    ExecutorCompute message;
    Operation operation;
    bool repeatable;
    int r;

    memcpy(&message, m->payload, sizeof(message));
    r = windows_find(&s->windows, message.window, &slot.window);
    if (r != 0)
        return r;
    if (slot.window && !mapped_window_is_lost(slot.window))
        refusal.status = vgpu_submission_check(&message.submission, slot.window->size, &repeatable);
    if (refusal.status != VGPU_ERROR_NONE || message.submission.opcode == VGPU_OP_RING_NOP) {
        answer_result(&s->answers, m->header.tag, &refusal);
        return 0;
    }

    slot.window->n_operations++;
    operation = (Operation){
        .priority = m->header.priority,
        .window = slot.window,
        .submission = message.submission,
    };
    server_start(s, &slot, &operation);
    return 0;
}

static void server_add(Server *s, const Message *m, uint32_t opcode, const VectorAdd *add)
{
    const Slot slot = {
        .tag = m->header.tag,
        .opcode = opcode,
        .size = add->n * vgpu_element_size(add->opcode),
    };
    Operation operation;

    /* Not by an initializer: that would clear the room for a submission, too. */
    operation.priority = m->header.priority;
    operation.window = NULL;
    operation.add = *add;
    server_start(s, &slot, &operation);
}

/* The scalar form: the vector-add kernel on vectors of one element. */
static void server_add_scalars(Server *s, const Message *m)
{
    const unsigned char *params = m->payload + sizeof(VGPURequest);
    const VectorAdd add = {
        .opcode = VGPU_OP_VECTOR_ADD_INT32,
        .n = 1,
        .a = params,
        .b = params + sizeof(uint32_t),
    };

    server_add(s, m, VGPU_OP_CUDA_KERNEL, &add);
}

static void server_add_vectors(Server *s, const Message *m, const VGPURequest *request)
{
    const unsigned char *data = m->payload + request->data_offset;
    const VectorAdd add = {
        .opcode = request->opcode,
        .n = request->data_length / (2 * vgpu_element_size(request->opcode)),
        .a = data,
        .b = data + request->data_length / 2,
    };

    server_add(s, m, request->opcode, &add);
}

/* The mediator has checked the request already. A second check is cheap and keeps a bug there
 * from becoming one here. */
static void server_request(Server *s, const Message *m)
{
    VGPURequest request;
    Response response = {0};

    response.status = vgpu_request_check(m->payload, m->header.length, &request);
    if (response.status != VGPU_ERROR_NONE) {
        answer_response(&s->answers, m->header.tag, &response);
        return;
    }

    switch (request.opcode) {
    case VGPU_OP_NOP:
        answer_response(&s->answers, m->header.tag, &response);
        break;
    case VGPU_OP_GET_DEVICE_INFO:
        server_answer_device_info(s, m->header.tag);
        break;
    case VGPU_OP_CUDA_KERNEL:
        server_add_scalars(s, m);
        break;
    case VGPU_OP_VECTOR_ADD_INT32:
    case VGPU_OP_VECTOR_ADD_INT64:
    case VGPU_OP_VECTOR_ADD_FLOAT32:
    case VGPU_OP_VECTOR_ADD_FLOAT64:
        server_add_vectors(s, m, &request);
        break;
    default:
        response.status = VGPU_ERROR_UNSUPPORTED_OP;
        answer_response(&s->answers, m->header.tag, &response);
    }
}

static bool server_accepts(const ExecutorHeader *h)
{
    if (h->priority >= VGPU_N_PRIORITIES || h->reserved != 0)
        return false;

    return h->type == EXECUTOR_MSG_REQUEST   ? h->length <= EXECUTOR_PAYLOAD_MAX
           : h->type == EXECUTOR_MSG_COMPUTE ? h->length == sizeof(ExecutorCompute)
                                             : false;
}

/* Returns 1 and a request, 0 when there is none, or a negative errno. */
static int server_next(Server *s, Message *ret)
{
    const ExecutorMessage *m;
    int r = executor_reader_next(&s->requests, &m);

    if (r == 0)
        return 0;
    if (r < 0)
        return server_complain();

    *ret = (Message){.header = m->header, .payload = m->payload};
    if (!server_accepts(&ret->header))
        return server_complain();
    executor_reader_pop(&s->requests);
    return 1;
}

/* Takes requests out of the queue while there are any and slots are free. */
static int server_take(Server *s)
{
    Message m;
    int r;

    for (unsigned n = 1; s->free_slots != 0; n++) {
        r = server_next(s, &m);
        if (r <= 0)
            return r;

        if (m.header.type == EXECUTOR_MSG_REQUEST)
            server_request(s, &m);
        else if ((r = server_compute(s, &m)) != 0)
            return r;
        if (s->ops->lost(s->backend) != 0)
            return SERVER_LOST;
        if (n % FLUSH_EVERY == 0)
            executor_writer_flush(&s->answers);
    }

    return 0;
}

/* ---- Waiting ------------------------------------------------------------- */

static int server_collect(Server *s)
{
    Completion completions[EXECUTOR_SLOTS_MAX];
    unsigned n = s->ops->collect(s->backend, completions);

    for (unsigned i = 0; i < n; i++)
        server_complete(s, &completions[i]);

    return s->ops->lost(s->backend) != 0 ? SERVER_LOST : 0;
}

/* @timeout: as for epoll_wait() */
static int server_wait(Server *s, int timeout)
{
    struct epoll_event events[3];
    int n = epoll_wait(s->epoll_fd, events, 3, timeout), r = 0;

    if (n < 0)
        return errno == EINTR ? 0 : -errno;

    for (int i = 0; i < n && r == 0; i++) {
        uint64_t begin = server_begin_step(s);

        if (events[i].data.u32 == EVENT_SOCKET)
            r = windows_receive(&s->windows);
        else if (events[i].data.u32 == EVENT_BACKEND)
            r = server_collect(s);
        server_end_step(s, begin);
    }
    return r;
}

static bool server_has_request(const Server *s)
{
    const ExecutorMessage *m;

    return s->free_slots != 0 && executor_reader_next(&s->requests, &m) != 0;
}

/* Looks for a request and for operations that end, again and again for a short while. Returns
 * false when there was neither; @ret_result is how the loop goes on. */
static bool server_look(Server *s, int *ret_result)
{
    const uint64_t before = s->free_slots;

    *ret_result = 0;
    do {
        if (s->free_slots != s->all_slots)
            *ret_result = server_collect(s);
        if (*ret_result != 0 || s->free_slots != before || server_has_request(s))
            return true;
    } while (busy_poll_go_on(&s->poll));
    return false;
}

static int server_sleep(Server *s)
{
    if (s->free_slots != 0 && executor_reader_sleep(&s->requests) != 0)
        return 0;
    if (s->free_slots != s->all_slots)
        s->ops->sleep(s->backend);
    return s->ops->lost(s->backend) != 0 ? SERVER_LOST : server_wait(s, -1);
}

/* While it never sleeps, the loop still looks at the socket now and then. */
static int server_wait_for_news(Server *s)
{
    int r;

    busy_poll_begin(&s->poll);
    if (!server_look(s, &r))
        r = server_sleep(s);
    else if (r == 0 && ++s->n_found_awake % SOCKET_EVERY == 0)
        r = server_wait(s, 0);
    busy_poll_end(&s->poll);
    return r;
}

static int server_turn(Server *s)
{
    int r = server_take(s);

    if (r != 0)
        return r;

    s->ops->flush(s->backend);
    if (s->ops->lost(s->backend) != 0)
        return SERVER_LOST;

    executor_writer_flush(&s->answers);
    return server_wait_for_news(s);
}

/* ---- Beginning and end --------------------------------------------------- */

static int server_watch(Server *s, uint32_t event, int fd, uint32_t flags)
{
    struct epoll_event e = {.events = EPOLLIN | flags, .data.u32 = event};

    return epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd, &e) < 0 ? -errno : 0;
}

static int server_hello(Server *s)
{
    ExecutorHello hello;
    uint32_t cuda_result = s->ops->device_info(s->backend, &hello.device);

    if (cuda_result != 0) {
        warnx("device information: CUDA error %u", cuda_result);
        return -ECANCELED;
    }

    return channel_send_hello(&s->windows.channel, &hello);
}

/* Whatever is in flight, and whatever waits in the queue, ends with the error that made the
 * device unusable. */
static void server_answer_lost(Server *s)
{
    uint32_t cuda_result = s->ops->lost(s->backend);
    uint64_t in_flight = s->all_slots & ~s->free_slots;
    Message m;

    warnx("CUDA error %u made this process unusable", cuda_result);

    for (; in_flight != 0; in_flight &= in_flight - 1) {
        const Slot *slot = &s->slots[__builtin_ctzll(in_flight)];

        if (slot->window)
            answer_result_cuda_error(&s->answers, slot->tag, cuda_result);
        else
            answer_cuda_error(&s->answers, slot->tag, cuda_result);
    }

    while (server_next(s, &m) > 0) {
        if (m.header.type == EXECUTOR_MSG_REQUEST)
            answer_cuda_error(&s->answers, m.header.tag, cuda_result);
        else
            answer_result_cuda_error(&s->answers, m.header.tag, cuda_result);
    }
    executor_writer_flush(&s->answers);
}

static int server_serve(Server *s, const Link *link)
{
    int r = server_watch(s, EVENT_SOCKET, link->socket, 0);

    if (r == 0)
        r = server_watch(s, EVENT_REQUESTS, link->requests_event, EPOLLET);
    if (r == 0)
        r = server_watch(s, EVENT_BACKEND, s->ops->wait_fd(s->backend), EPOLLET);
    if (r == 0)
        r = server_hello(s);
    while (r == 0)
        r = server_turn(s);

    return r;
}

int server_run(const BackendOps *ops, Backend *backend, const ServerOptions *options,
               const Link *link, bool *ret_idle)
{
    CLEANUP(server_freep) Server *s = calloc(1, sizeof(*s));
    CLEANUP_CLOSE int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    int r;

    if (!s || epoll_fd < 0) {
        warn(NULL);
        *ret_idle = true;
        return EXECUTOR_EXIT_FAILURE;
    }

    s->ops = ops;
    s->backend = backend;
    s->all_slots = s->free_slots = UINT64_MAX >> (EXECUTOR_SLOTS_MAX - options->n_slots);
    s->epoll_fd = epoll_fd;
    s->windows = (Windows){.ops = ops, .backend = backend, .channel.fd = link->socket};
    busy_poll_init(&s->poll, options->busy_poll_usec);
    s->memory = link->memory;
    s->requests.queue = &link->memory->requests;
    s->answers = (ExecutorWriter){.queue = &link->memory->answers, .event = link->answers_event};

    unmapper_start(&s->windows.unmapper);
    r = server_serve(s, link);
    *ret_idle = s->free_slots == s->all_slots && r != SERVER_LOST;
    if (*ret_idle)
        windows_drop_all(&s->windows);
    unmapper_stop(&s->windows.unmapper);
    if (r == SERVER_LOST) {
        server_answer_lost(s);
        return EXECUTOR_EXIT_STICKY;
    }
    if (r == SERVER_HANGUP || r == -EPIPE)
        return EXECUTOR_EXIT_OK;

    if (r != -ECANCELED)
        warnx("%s", strerror(-r));
    return EXECUTOR_EXIT_FAILURE;
}
