/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One request, from the moment it is queued until it is answered: a message on the
 * socket, or an entry of a ring.
 */
#ifndef VGPU_REQUEST_H
#define VGPU_REQUEST_H

#include <stddef.h>
#include <stdint.h>

#include "lane.h"
#include "ring-host.h"
#include "scheduler.h"
#include "vm.h"
#include "window.h"

typedef struct Pool Pool;

typedef struct Request {
    union {
        SchedRequest sched;
        struct Request *spare; /* the next, while it is nobody's */
    };
    VM *vm;
    Connection *connection; /* of a message: whom to answer; NULL when nobody waits any more */
    Window *window;         /* of an entry: a reference; of a message: NULL */
    Lane *lane;             /* of an entry: as connection */
    uint32_t id;            /* of a message: the guest's tag; of an entry: its index */
    bool timed_out;         /* of an entry: its executor is being killed for that */
    uint64_t bytes_in;      /* what it reads, and for an entry what it writes */
    uint64_t bytes_out;
    uint32_t size;
    /* A VGPURequest that passed vgpu_request_check(), or a VGPUSubmission that passed
     * vgpu_submission_check(). */
    _Alignas(8) char payload[];
} Request;

static inline const VGPUSubmission *request_submission(const Request *r)
{
    return (const VGPUSubmission *) r->payload;
}

/*
 * request_new() - a request that is not queued yet
 * @payload: copied
 * @size: 1..VGPU_REQUEST_MAX
 *
 * Returns it, to be freed with request_free(), or NULL without memory.
 */
Request *request_new(VM *vm, Connection *connection, uint32_t id, const void *payload,
                     uint32_t size);

/*
 * request_new_compute() - the same for an entry of a ring
 * @submission: copied
 */
Request *request_new_compute(VM *vm, Lane *lane, Window *window, uint32_t index,
                             const VGPUSubmission *submission);

/* request_free() - drop one that was never queued */
void request_free(Request *r);

/* request_free_spares() - give back the memory that is kept for the next ones */
void request_free_spares(Manager *manager);

static inline Request *request_from_sched(SchedRequest *r)
{
    return r ? (Request *) ((char *) r - offsetof(Request, sched)) : NULL;
}

/*
 * request_answer() - send the response and forget the request
 * @r: a message; not known to a scheduler any more; freed
 * @response: passed vgpu_response_check()
 */
void request_answer(Request *r, const void *response, uint32_t size);

/* request_complete() - the same of an entry of a ring */
void request_complete(Request *r, const RingResult *result);

/*
 * request_fail() - the same of either, with an answer that only says why
 * @error: VGPU_ERROR_*, not NONE
 * @cuda_result: a CUresult, for VGPU_ERROR_CUDA_ERROR
 */
void request_fail(Request *r, uint32_t error, uint32_t cuda_result);

/* request_discard() - forget a request, not known to a scheduler any more, unanswered; freed */
void request_discard(Request *r);

#endif
