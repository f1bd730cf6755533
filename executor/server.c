/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One turn of the loop: take every whole request that was received, submit it
 * or answer it; flush the backend; send all answers with one write; wait.
 *
 * Waiting is where the system calls are saved. While no job is in flight, the
 * socket is the only thing that can happen, so the loop blocks in recv() itself
 * and a request costs two system calls, recv and send. (The CPU backend finishes
 * every request at once and knows nothing else.) Only while jobs are in flight is
 * there a second source, and then epoll waits for both: for the socket
 * level-triggered, for the backend's descriptor edge-triggered, so that it
 * never has to be read.
 */
#include "server.h"

#include "channel.h"
#include "response.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

/* Positive outcomes of a step that end the loop. Of the negative ones, -ECANCELED
 * has been explained on standard error already. */
enum {
    SERVER_HANGUP = 1, /* the mediator closed the socket between two messages */
    SERVER_LOST = 2,   /* the backend can't go on in this process */
};

typedef struct Slot {
    uint64_t tag;
    uint32_t opcode; /* the request's, which decides the response's form */
    uint32_t size;   /* bytes of the result */
    Window *window;  /* of a COMPUTE; NULL for a REQUEST */
} Slot;

typedef struct Server {
    const BackendOps *ops;
    Backend *backend;
    uint64_t all_slots, free_slots; /* bit i: slot i */
    int epoll_fd;
    bool watching_socket;
    Slot slots[EXECUTOR_SLOTS_MAX];
    Window *windows;
    Channel channel;
} Server;

static void close_fdp(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

static void server_freep(Server **s)
{
    if (*s)
        channel_close_fds(&(*s)->channel);
    free(*s);
}

/* ---- Answers ------------------------------------------------------------- */

static int server_answer(Server *s, uint64_t tag, const Response *response)
{
    unsigned char *payload;
    int r;

    r = channel_reserve(&s->channel, EXECUTOR_MSG_RESPONSE, tag, response_size(response), &payload);
    if (r < 0)
        return r;

    response_write(response, payload);
    return 0;
}

static int server_answer_cuda_error(Server *s, uint64_t tag, uint32_t cuda_result)
{
    const Response response = {
        .status = VGPU_ERROR_CUDA_ERROR,
        .n_results = 1,
        .results = &cuda_result,
    };

    return server_answer(s, tag, &response);
}

static int server_answer_device_info(Server *s, uint64_t tag)
{
    VGPUDeviceInfo info;
    uint32_t cuda_result = s->ops->device_info(s->backend, &info);
    const Response response = {.data = &info, .data_length = sizeof(info)};

    if (cuda_result != 0)
        return server_answer_cuda_error(s, tag, cuda_result);

    return server_answer(s, tag, &response);
}

static int server_answer_compute(Server *s, uint64_t tag, const ExecutorResult *result)
{
    unsigned char *payload;
    int r = channel_reserve(&s->channel, EXECUTOR_MSG_RESULT, tag, sizeof(*result), &payload);

    if (r < 0)
        return r;

    memcpy(payload, result, sizeof(*result));
    return 0;
}

static int server_answer_compute_error(Server *s, uint64_t tag, uint32_t cuda_result)
{
    const ExecutorResult result = {.status = VGPU_ERROR_CUDA_ERROR, .cuda_result = cuda_result};

    return server_answer_compute(s, tag, &result);
}

static int server_complete_compute(Server *s, const Slot *slot, const Completion *completion)
{
    const ExecutorResult lost = {.status = VGPU_ERROR_INVALID_REQUEST};
    const ExecutorResult result = {
        .result = completion->result,
        .exec_time_us = completion->exec_time_us,
    };

    if (window_is_lost(slot->window))
        return server_answer_compute(s, slot->tag, &lost);

    if (completion->cuda_result != 0)
        return server_answer_compute_error(s, slot->tag, completion->cuda_result);

    return server_answer_compute(s, slot->tag, &result);
}

static void server_release_window(Server *s, Window *window);

static int server_answer_completion(Server *s, const Completion *completion)
{
    const Slot *slot = &s->slots[completion->slot];
    Response response = {.exec_time_us = completion->exec_time_us};
    uint32_t sum;
    int r;

    s->free_slots |= UINT64_C(1) << completion->slot;

    if (slot->window) {
        r = server_complete_compute(s, slot, completion);
        server_release_window(s, slot->window);
        return r;
    }
    if (completion->cuda_result != 0)
        return server_answer_cuda_error(s, slot->tag, completion->cuda_result);

    if (slot->opcode == VGPU_OP_CUDA_KERNEL) {
        memcpy(&sum, completion->c, sizeof(sum));
        response.n_results = 1;
        response.results = &sum;
    } else {
        response.data = completion->c;
        response.data_length = slot->size;
    }

    return server_answer(s, slot->tag, &response);
}

/* ---- Windows --------------------------------------------------------------- */

static void server_drop_window(Server *s, Window **link)
{
    Window *w = *link;

    *link = w->next;
    s->ops->window_remove(s->backend, w);
    window_free(w);
}

/* A job of the window has ended. */
static void server_release_window(Server *s, Window *window)
{
    Window **link = &s->windows;

    if (--window->n_jobs > 0 || !window->removed)
        return;

    while (*link != window)
        link = &(*link)->next;
    server_drop_window(s, link);
}

/* A window that this process has no room for is not there, and what is to be computed
 * in it is refused: other VMs' work goes on. */
static int server_add_window(Server *s, const Message *m)
{
    __attribute__((cleanup(close_fdp))) int fd = m->fd;
    ExecutorWindow message;
    Window *w;
    int r;

    memcpy(&message, m->payload, sizeof(message));
    if (window_find(&s->windows, message.id)) {
        fprintf(stderr, "vgpu-executor: the mediator added window %u twice\n", message.id);
        return -ECANCELED;
    }
    r = window_new(message.id, fd, &w);
    if (r < 0) {
        fprintf(stderr, "vgpu-executor: window %u: %s\n", message.id, strerror(-r));
        return 0;
    }

    w->next = s->windows;
    s->windows = w;
    s->ops->window_add(s->backend, w);
    return 0;
}

/* The mediator removes no window with a job in it. If it does, the window stays until
 * the job is done: memory that a device works on must not be unmapped. */
static int server_remove_window(Server *s, const Message *m)
{
    ExecutorWindow message;
    Window **link;

    memcpy(&message, m->payload, sizeof(message));
    link = window_find(&s->windows, message.id);
    if (!link)
        return 0; /* one that there was no room for */

    (*link)->removed = true;
    if ((*link)->n_jobs == 0)
        server_drop_window(s, link);
    return 0;
}

/* With no job in flight. */
static void server_drop_windows(Server *s)
{
    while (s->windows)
        server_drop_window(s, &s->windows);
}

/* To be called only while a slot is free. */
static int server_compute(Server *s, const Message *m)
{
    unsigned slot = (unsigned) __builtin_ctzll(s->free_slots);
    ExecutorCompute message;
    ExecutorResult refusal = {.status = VGPU_ERROR_INVALID_REQUEST};
    Completion completion;
    Compute compute;
    Window **link;
    bool repeatable;

    memcpy(&message, m->payload, sizeof(message));
    link = window_find(&s->windows, message.window);
    if (link && !window_is_lost(*link))
        refusal.status = vgpu_submission_check(&message.submission, (*link)->size, &repeatable);
    if (refusal.status != VGPU_ERROR_NONE || message.submission.opcode == VGPU_OP_RING_NOP)
        return server_answer_compute(s, m->header.tag, &refusal);

    s->free_slots &= ~(UINT64_C(1) << slot);
    s->slots[slot] = (Slot){.tag = m->header.tag, .window = *link};
    (*link)->n_jobs++;
    compute = (Compute){m->header.priority, *link, message.submission};

    if (s->ops->compute(s->backend, slot, &compute, &completion))
        return server_answer_completion(s, &completion);

    return 0;
}

/* ---- Requests ------------------------------------------------------------ */

/* To be called only while a slot is free. */
static int server_submit(Server *s, const Message *m, uint32_t opcode, const Job *job)
{
    unsigned slot = (unsigned) __builtin_ctzll(s->free_slots);
    Completion completion;

    s->free_slots &= ~(UINT64_C(1) << slot);
    s->slots[slot] = (Slot){
        .tag = m->header.tag,
        .opcode = opcode,
        .size = job->n * vgpu_element_size(job->opcode),
    };

    if (s->ops->submit(s->backend, slot, job, &completion))
        return server_answer_completion(s, &completion);

    return 0;
}

/* The scalar form: the vector-add kernel on vectors of one element. */
static int server_submit_scalar(Server *s, const Message *m)
{
    const unsigned char *params = m->payload + sizeof(VGPURequest);
    const Job job = {
        .opcode = VGPU_OP_VECTOR_ADD_INT32,
        .priority = m->header.priority,
        .n = 1,
        .a = params,
        .b = params + sizeof(uint32_t),
    };

    return server_submit(s, m, VGPU_OP_CUDA_KERNEL, &job);
}

static int server_submit_vector(Server *s, const Message *m, const VGPURequest *request)
{
    const unsigned char *data = m->payload + request->data_offset;
    const Job job = {
        .opcode = request->opcode,
        .priority = m->header.priority,
        .n = request->data_length / (2 * vgpu_element_size(request->opcode)),
        .a = data,
        .b = data + request->data_length / 2,
    };

    return server_submit(s, m, request->opcode, &job);
}

/* The mediator checked the request already; a second look is cheap and keeps a
 * bug there from becoming one here. */
static int server_request(Server *s, const Message *m)
{
    VGPURequest request;
    Response response = {0};

    response.status = vgpu_request_check(m->payload, m->header.length, &request);
    if (response.status != VGPU_ERROR_NONE)
        return server_answer(s, m->header.tag, &response);

    switch (request.opcode) {
    case VGPU_OP_NOP:
        return server_answer(s, m->header.tag, &response);
    case VGPU_OP_GET_DEVICE_INFO:
        return server_answer_device_info(s, m->header.tag);
    case VGPU_OP_CUDA_KERNEL:
        return server_submit_scalar(s, m);
    case VGPU_OP_VECTOR_ADD_INT32:
    case VGPU_OP_VECTOR_ADD_INT64:
    case VGPU_OP_VECTOR_ADD_FLOAT32:
    case VGPU_OP_VECTOR_ADD_FLOAT64:
        return server_submit_vector(s, m, &request);
    default:
        response.status = VGPU_ERROR_UNSUPPORTED_OP;
        return server_answer(s, m->header.tag, &response);
    }
}

static int server_complain(void)
{
    fprintf(stderr, "vgpu-executor: the mediator sent something that is no request\n");
    return -ECANCELED;
}

static int server_dispatch(Server *s, const Message *m)
{
    switch (m->header.type) {
    case EXECUTOR_MSG_WINDOW_ADD:
        return server_add_window(s, m);
    case EXECUTOR_MSG_WINDOW_REMOVE:
        return server_remove_window(s, m);
    case EXECUTOR_MSG_COMPUTE:
        return server_compute(s, m);
    default:
        return server_request(s, m);
    }
}

/* Takes what was received, as far as slots are free. */
static int server_take(Server *s)
{
    Message m;
    int r;

    while (s->free_slots != 0) {
        r = channel_next(&s->channel, &m);
        if (r == -EPROTO)
            return server_complain();
        if (r <= 0)
            return r;

        r = server_dispatch(s, &m);
        if (r < 0)
            return r;
        if (s->ops->lost(s->backend) != 0)
            return SERVER_LOST;
    }

    return 0;
}

/* ---- Waiting ------------------------------------------------------------- */

static int server_receive(Server *s)
{
    int r = channel_receive(&s->channel);

    if (r > 0)
        return 0;
    if (r == -EPROTO)
        return server_complain();
    if (r < 0)
        return r;
    if (!channel_is_mid_message(&s->channel))
        return SERVER_HANGUP;

    fprintf(stderr, "vgpu-executor: the mediator hung up in the middle of a message\n");
    return -ECANCELED;
}

static int server_collect(Server *s)
{
    Completion completions[EXECUTOR_SLOTS_MAX];
    unsigned n = s->ops->collect(s->backend, completions);

    for (unsigned i = 0; i < n; i++) {
        int r = server_answer_completion(s, &completions[i]);

        if (r < 0)
            return r;
    }

    return s->ops->lost(s->backend) != 0 ? SERVER_LOST : 0;
}

/* A mediator that sends more than there are slots is not read until one is
 * free. A hang-up is reported all the same. */
static int server_watch_socket(Server *s, bool watch)
{
    struct epoll_event event = {.events = watch ? EPOLLIN : 0, .data.fd = s->channel.fd};

    if (watch == s->watching_socket)
        return 0;
    if (epoll_ctl(s->epoll_fd, EPOLL_CTL_MOD, s->channel.fd, &event) < 0)
        return -errno;

    s->watching_socket = watch;
    return 0;
}

static int server_wait_both(Server *s)
{
    struct epoll_event events[2];
    bool readable = false;
    int n, r;

    r = server_watch_socket(s, !channel_has_message(&s->channel));
    if (r < 0)
        return r;

    n = epoll_wait(s->epoll_fd, events, 2, -1);
    if (n < 0)
        return errno == EINTR ? 0 : -errno;

    for (int i = 0; i < n; i++) {
        if (events[i].data.fd == s->channel.fd) {
            readable = true;
            continue;
        }
        r = server_collect(s);
        if (r != 0)
            return r;
    }

    if (!readable)
        return 0;
    if (!s->watching_socket)
        return SERVER_HANGUP;
    return server_receive(s);
}

static int server_turn(Server *s)
{
    int r = server_take(s);

    if (r != 0)
        return r;

    s->ops->flush(s->backend);
    if (s->ops->lost(s->backend) != 0)
        return SERVER_LOST;

    r = channel_flush(&s->channel);
    if (r < 0)
        return r;

    if (s->free_slots == s->all_slots)
        return server_receive(s);
    return server_wait_both(s);
}

/* ---- Beginning and end --------------------------------------------------- */

static int server_watch(Server *s, int backend_fd)
{
    struct epoll_event socket_event = {.events = EPOLLIN, .data.fd = s->channel.fd};
    struct epoll_event backend_event = {.events = EPOLLIN | EPOLLET, .data.fd = backend_fd};

    if (epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, s->channel.fd, &socket_event) < 0 ||
        epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, backend_fd, &backend_event) < 0)
        return -errno;

    s->watching_socket = true;
    return 0;
}

static int server_hello(Server *s)
{
    ExecutorHello hello;
    unsigned char *payload;
    uint32_t cuda_result = s->ops->device_info(s->backend, &hello.device);
    int r;

    if (cuda_result != 0) {
        fprintf(stderr, "vgpu-executor: device information: CUDA error %u\n", cuda_result);
        return -ECANCELED;
    }

    r = channel_reserve(&s->channel, EXECUTOR_MSG_HELLO, 0, sizeof(hello), &payload);
    if (r < 0)
        return r;

    memcpy(payload, &hello, sizeof(hello));
    return channel_flush(&s->channel);
}

/* Everything in flight, and everything that was received to be in flight, ends
 * with the error that the device ended with. */
static int server_answer_lost(Server *s)
{
    uint32_t cuda_result = s->ops->lost(s->backend);
    uint64_t in_flight = s->all_slots & ~s->free_slots;
    Message m;
    int r;

    fprintf(stderr, "vgpu-executor: CUDA error %u made this process unusable\n", cuda_result);

    for (; in_flight != 0; in_flight &= in_flight - 1) {
        const Slot *slot = &s->slots[__builtin_ctzll(in_flight)];

        r = slot->window ? server_answer_compute_error(s, slot->tag, cuda_result)
                         : server_answer_cuda_error(s, slot->tag, cuda_result);
        if (r < 0)
            return r;
    }

    while (channel_next(&s->channel, &m) > 0) {
        r = 0;
        close_fdp(&m.fd);
        if (m.header.type == EXECUTOR_MSG_REQUEST)
            r = server_answer_cuda_error(s, m.header.tag, cuda_result);
        else if (m.header.type == EXECUTOR_MSG_COMPUTE)
            r = server_answer_compute_error(s, m.header.tag, cuda_result);
        if (r < 0)
            return r;
    }

    return channel_flush(&s->channel);
}

static int server_serve(Server *s)
{
    int r = server_watch(s, s->ops->wait_fd(s->backend));

    if (r == 0)
        r = server_hello(s);
    while (r == 0)
        r = server_turn(s);

    return r;
}

int server_run(const BackendOps *ops, Backend *backend, unsigned n_slots, int fd, bool *ret_idle)
{
    __attribute__((cleanup(server_freep))) Server *s = calloc(1, sizeof(*s));
    __attribute__((cleanup(close_fdp))) int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    int r;

    if (!s || epoll_fd < 0) {
        perror("vgpu-executor");
        *ret_idle = true;
        return EXECUTOR_EXIT_FAILURE;
    }

    s->ops = ops;
    s->backend = backend;
    s->all_slots = s->free_slots = UINT64_MAX >> (EXECUTOR_SLOTS_MAX - n_slots);
    s->epoll_fd = epoll_fd;
    s->channel.fd = fd;

    r = server_serve(s);
    *ret_idle = s->free_slots == s->all_slots && r != SERVER_LOST;
    if (*ret_idle)
        server_drop_windows(s);
    if (r == SERVER_LOST) {
        (void) server_answer_lost(s); /* whoever is not there to hear it knows from the hang-up */
        return EXECUTOR_EXIT_STICKY;
    }
    if (r == SERVER_HANGUP || r == -EPIPE)
        return EXECUTOR_EXIT_OK;

    if (r != -ECANCELED)
        fprintf(stderr, "vgpu-executor: %s\n", strerror(-r));
    return EXECUTOR_EXIT_FAILURE;
}
