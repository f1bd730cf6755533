/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One turn of the loop: take every whole request that was received, submit it
 * or answer it; flush the backend; send all answers with one write; wait.
 *
 * Waiting is where the system calls are saved. While no job is in flight, the
 * socket is the only thing that can happen, so the loop blocks in recv() itself
 * and a request costs two system calls, recv and send. (The CPU backend finishes
 * every job at once and knows nothing else.) Only while jobs are in flight is
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
} Slot;

typedef struct Server {
    const BackendOps *ops;
    Backend *backend;
    uint64_t all_slots, free_slots; /* bit i: slot i */
    int epoll_fd;
    bool watching_socket;
    Slot slots[EXECUTOR_SLOTS_MAX];
    Channel channel;
} Server;

static void close_fdp(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

static void freep(void *p)
{
    free(*(void **) p);
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

static int server_answer_completion(Server *s, const Completion *completion)
{
    const Slot *slot = &s->slots[completion->slot];
    Response response = {.exec_time_us = completion->exec_time_us};
    uint32_t sum;

    s->free_slots |= UINT64_C(1) << completion->slot;

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
static int server_dispatch(Server *s, const Message *m)
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

/* Takes what was received, as far as slots are free. */
static int server_take(Server *s)
{
    Message m;
    int r;

    while (s->free_slots != 0) {
        r = channel_next(&s->channel, &m);
        if (r == -EPROTO) {
            fprintf(stderr, "vgpu-executor: the mediator sent something that is no request\n");
            return -ECANCELED;
        }
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
        r = server_answer_cuda_error(s, s->slots[__builtin_ctzll(in_flight)].tag, cuda_result);
        if (r < 0)
            return r;
    }

    while (channel_next(&s->channel, &m) > 0) {
        r = server_answer_cuda_error(s, m.header.tag, cuda_result);
        if (r < 0)
            return r;
    }

    return channel_flush(&s->channel);
}

static int server_serve(Server *s)
{
    int backend_fd = s->ops->wait_fd(s->backend);
    int r = backend_fd >= 0 ? server_watch(s, backend_fd) : 0;

    if (r == 0)
        r = server_hello(s);
    while (r == 0)
        r = server_turn(s);

    return r;
}

int server_run(const BackendOps *ops, Backend *backend, unsigned n_slots, int fd, bool *ret_idle)
{
    __attribute__((cleanup(freep))) Server *s = calloc(1, sizeof(*s));
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
