/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the mediator and an executor that it started say to each other.
 *
 * An executor inherits four descriptors, one after the other (EXECUTOR_FD_*): one end of an
 * AF_UNIX stream socketpair; a memfd with two queues (executor-queue.h), one for each
 * direction; and two eventfds, which wake whoever waits for a queue. Requests and answers
 * go through the queues, which costs no system call while both programs are awake. Rare
 * messages go through the socket, whose end tells each program that the other is gone.
 *
 * Every message is an ExecutorHeader and its payload. The two programs are always built
 * together, so nothing here is a stable contract. But an executor runs on behalf of guests:
 * the mediator checks its messages like any peer's.
 *
 * Through the socket:
 *
 *   HELLO     executor to mediator, once, first: ExecutorHello. Sent when the
 *             backend is ready; the mediator sends no request before it.
 *   WINDOW_ADD      mediator to executor: ExecutorWindow, and with its first byte
 *             the memfd of a VM's window (fd-passing.h), which the executor maps whole. It is
 *             in the socket before the first COMPUTE of that window is in the queue. There is
 *             no answer. If the executor can't map the window (not sealed against shrinking,
 *             of no window's size, no room), or the VM takes memory of it away, every COMPUTE
 *             in it is answered INVALID_REQUEST; if CUDA can't register it, CUDA_ERROR.
 *   WINDOW_REMOVE   mediator to executor: ExecutorWindow. No COMPUTE of that window
 *             is in flight then. (If one is, the window stays mapped until it has ended.)
 *
 * Through the queues:
 *
 *   REQUEST   mediator to executor: a VGPURequest that vgpu_request_check()
 *             answered with NONE.
 *   RESPONSE  executor to mediator: a VGPUResponse, with the request's tag.
 *             In any order.
 *   COMPUTE   mediator to executor: ExecutorCompute, a submission that passed
 *             vgpu_submission_check(). Takes a slot like a REQUEST.
 *   RESULT    executor to mediator: ExecutorResult, with the tag of a COMPUTE. In
 *             any order.
 *
 * Beside the queues, the executor keeps a note for each request of when its execution began
 * (ExecutorBegun), which the mediator reads when a time limit is due, and when the executor is
 * gone. The tag modulo EXECUTOR_SLOTS_MAX says where; no two requests that the mediator has
 * unanswered have the same place. It costs no message and no system call.
 *
 * The mediator never has more requests unanswered than it said with --slots. An executor ends
 * when the mediator's end of the socket closes; when the executor's closes, it is dead.
 */
#ifndef VGPU_EXECUTOR_PROTOCOL_H
#define VGPU_EXECUTOR_PROTOCOL_H

#include "vgpu-builtin.h"
#include "vgpu-protocol.h"

enum {
    EXECUTOR_MSG_HELLO = 1,
    EXECUTOR_MSG_REQUEST = 2,
    EXECUTOR_MSG_RESPONSE = 3,
    EXECUTOR_MSG_WINDOW_ADD = 4,
    EXECUTOR_MSG_WINDOW_REMOVE = 5,
    EXECUTOR_MSG_COMPUTE = 6,
    EXECUTOR_MSG_RESULT = 7,
};

#define EXECUTOR_PAYLOAD_MAX 1024u
/* The most requests an executor can have in flight: --slots. */
#define EXECUTOR_SLOTS_MAX 64u

/* What an executor inherits: --fd says which descriptor is the first. */
enum {
    EXECUTOR_FD_SOCKET,
    EXECUTOR_FD_MEMORY,         /* ExecutorMemory */
    EXECUTOR_FD_REQUESTS_EVENT, /* wakes the executor */
    EXECUTOR_FD_ANSWERS_EVENT,  /* wakes the mediator */
    EXECUTOR_N_FDS,
};

typedef struct ExecutorHeader {
    uint32_t type;
    uint32_t length;   /* payload bytes, at most EXECUTOR_PAYLOAD_MAX */
    uint64_t tag;      /* REQUEST, COMPUTE: chosen by the mediator; RESPONSE, RESULT: the same */
    uint32_t priority; /* REQUEST, COMPUTE: VGPU_PRIORITY_*; else 0 */
    uint32_t reserved;
} ExecutorHeader;

typedef struct ExecutorHello {
    VGPUDeviceInfo device;
} ExecutorHello;

typedef struct ExecutorWindow {
    uint32_t id; /* the mediator's choice */
    uint32_t reserved;
} ExecutorWindow;

typedef struct ExecutorCompute {
    uint32_t window;
    uint32_t reserved;
    VGPUSubmission submission; /* its state, status and other results have no meaning here */
} ExecutorCompute;

typedef struct ExecutorResult {
    uint64_t result; /* as in VGPUSubmission */
    uint32_t status; /* VGPU_ERROR_* */
    uint32_t exec_time_us;
    uint32_t cuda_result;
    uint32_t reserved;
} ExecutorResult;

/* The executor writes the time first, and then the tag (release). */
typedef struct ExecutorBegun {
    uint64_t tag;  /* of the request that the time is about */
    uint64_t usec; /* EXECUTOR_BEGUN_*, or else CLOCK_MONOTONIC */
} ExecutorBegun;

enum {
    EXECUTOR_BEGUN_NOT = 0,
    /* It lies in a queue of the device behind others. The device may have begun already. */
    EXECUTOR_BEGUN_PERHAPS = 1,
};

static_assert(sizeof(ExecutorHeader) == 24, "no padding");
static_assert(sizeof(ExecutorHello) <= EXECUTOR_PAYLOAD_MAX, "fits");
static_assert(EXECUTOR_PAYLOAD_MAX >= VGPU_REQUEST_MAX, "fits");

/* Exit statuses of vgpu-executor */
enum {
    EXECUTOR_EXIT_OK = 0, /* the mediator hung up */
    EXECUTOR_EXIT_FAILURE = 1,
    EXECUTOR_EXIT_USAGE = 2,
    /* This host can't run the backend: no driver, no device, no kernels. Never with
     * --backend=auto. */
    EXECUTOR_EXIT_NO_BACKEND = 3,
    /* A CUDA error left the process unusable. A new process can go on. */
    EXECUTOR_EXIT_STICKY = 4,
};

#endif
