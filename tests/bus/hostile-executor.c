/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An executor that stands in for vgpu-executor and lies. It adds scalars, and from the second
 * request on it tells the mediator what $VGPU_HOSTILE says. The first answer is honest: by it a
 * test learns that the executor runs. It computes with $VGPU_HOSTILE_BACKEND, it says. Some numbers
 * to be added have it do something else at once: HOSTILE_* (hostile-executor.h).
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "answer.h"
#include "channel.h"
#include "clock.h"
#include "hostile-executor.h"
#include "link.h"

static Link l;
static ExecutorWriter answers;
static ExecutorReader requests;

static uint32_t sum_of(const ExecutorMessage *m)
{
    uint32_t params[2];

    memcpy(params, m->payload + sizeof(VGPURequest), sizeof(params));
    return params[0] + params[1];
}

static void answer(const ExecutorMessage *m, uint64_t tag)
{
    uint32_t sum = sum_of(m);

    answer_response(&answers, tag, &(Response){.n_results = 1, .results = &sum});
}

/* Returns the message of an answer, for the caller to spoil. */
static ExecutorMessage *spoil(const ExecutorMessage *m)
{
    answer(m, m->header.tag);
    return &answers.queue->message[(answers.tail - 1) % EXECUTOR_QUEUE_LENGTH];
}

static void scribble(const ExecutorMessage *m)
{
    answer(m, m->header.tag);
    memset(&l.memory->requests, 0xaa, sizeof(l.memory->requests));
    executor_writer_flush(&answers);
    _exit(EXIT_SUCCESS);
}

/* The mediator is not woken for this answer. */
static void answer_and_die(const ExecutorMessage *m)
{
    answer(m, m->header.tag);
    __atomic_store_n(&answers.queue->tail, answers.tail, __ATOMIC_RELEASE);
    _exit(EXIT_SUCCESS);
}

static void lie(const char *how, const ExecutorMessage *m)
{
    const ExecutorResult result = {0};

    if (strcmp(how, "tail") == 0) {
        answers.tail += EXECUTOR_QUEUE_LENGTH + 1;
    } else if (strcmp(how, "back") == 0) {
        answers.tail--;
    } else if (strcmp(how, "length") == 0) {
        spoil(m)->header.length = UINT32_MAX;
    } else if (strcmp(how, "short") == 0) {
        spoil(m)->header.length = 1;
    } else if (strcmp(how, "type") == 0) {
        spoil(m)->header.type = EXECUTOR_MSG_HELLO;
    } else if (strcmp(how, "payload") == 0) {
        memset(spoil(m)->payload, 0xff, sizeof(VGPUResponse));
    } else if (strcmp(how, "tag") == 0) {
        answer(m, m->header.tag + 1);
    } else if (strcmp(how, "twice") == 0) {
        answer(m, m->header.tag);
        answer(m, m->header.tag);
    } else if (strcmp(how, "kind") == 0) {
        answer_result(&answers, m->header.tag, &result);
    } else if (strcmp(how, "surplus") == 0) {
        (void) !write(l.socket, "", 1);
        pause();
    } else if (strcmp(how, "scribble") == 0) {
        scribble(m);
    } else if (strcmp(how, "die") == 0) {
        answer_and_die(m);
    }
    executor_writer_flush(&answers);
}

static void begin(const ExecutorMessage *m)
{
    executor_begun_write(executor_memory_begun(l.memory, m->header.tag), m->header.tag, now_usec());
}

/* Computes what the number says. Returns whether it was one of those. */
static bool act(const ExecutorMessage *m)
{
    uint32_t params[2];

    memcpy(params, m->payload + sizeof(VGPURequest), sizeof(params));
    switch (params[0]) {
    case HOSTILE_DIE:
        begin(m);
        _exit(EXIT_FAILURE);
    case HOSTILE_TAKE_LONG:
        begin(m);
        usleep(HOSTILE_LONG_USEC);
        answer(m, m->header.tag);
        executor_writer_flush(&answers);
        return true;
    case HOSTILE_HANG_LATE:
        usleep(HOSTILE_LONG_USEC);
        begin(m);
        for (;;)
            pause();
    default:
        return false;
    }
}

static void serve(const char *how)
{
    const ExecutorMessage *m;
    const bool always = strcmp(how, "never") == 0;
    bool honest = true;
    eventfd_t n;

    for (;;) {
        while (executor_reader_next(&requests, &m) > 0) {
            if (act(m))
                ;
            else if (honest)
                answer(m, m->header.tag);
            else
                lie(how, m);
            honest = always;
            executor_reader_pop(&requests);
        }
        executor_writer_flush(&answers);
        if (executor_reader_sleep(&requests) == 0)
            (void) eventfd_read(l.requests_event, &n);
    }
}

/* The first one dies while it starts: it makes the file $VGPU_HOSTILE_FIRST, if that is set. */
static void die_first(void)
{
    const char *path = getenv("VGPU_HOSTILE_FIRST");

    if (!path || open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600) < 0)
        return;
    usleep(500000);
    (void) raise(SIGKILL);
}

int main(int argc, char *argv[])
{
    const char *how = getenv("VGPU_HOSTILE"), *backend = getenv("VGPU_HOSTILE_BACKEND");
    ExecutorHello hello = {.device.name = "fake"};
    Channel channel = {0};
    int first_fd = -1;

    (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (int i = 1; i < argc; i++)
        (void) sscanf(argv[i], "--fd=%d", &first_fd);
    if (!how || link_open(first_fd, &l) < 0)
        return EXIT_FAILURE;

    snprintf(hello.device.backend, sizeof(hello.device.backend), "%s", backend ? backend : "cpu");
    die_first();
    channel.fd = l.socket;
    requests.queue = &l.memory->requests;
    answers = (ExecutorWriter){.queue = &l.memory->answers, .event = l.answers_event};
    if (channel_send_hello(&channel, &hello) < 0)
        return EXIT_FAILURE;
    serve(how);
    return EXIT_SUCCESS;
}
