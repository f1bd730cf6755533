/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One request, from the moment it is queued until it is answered.
 */
#ifndef VGPU_REQUEST_H
#define VGPU_REQUEST_H

#include <stddef.h>
#include <stdint.h>

#include "scheduler.h"
#include "vm.h"

typedef struct Pool Pool;

typedef struct Request {
    SchedRequest sched;
    VM *vm;
    Connection *connection; /* whom to answer; NULL when nobody waits any more */
    uint32_t id;            /* the guest's tag */
    uint32_t size;
    char payload[]; /* passed vgpu_request_check() */
} Request;

/*
 * request_new() - a request that is not queued yet
 * @payload: copied
 * @size: 1..VGPU_REQUEST_MAX
 *
 * Returns it, to be freed with free(), or NULL without memory.
 */
Request *request_new(VM *vm, Connection *connection, uint32_t id, const void *payload,
                     uint32_t size);

static inline Request *request_from_sched(SchedRequest *r)
{
    return r ? (Request *) ((char *) r - offsetof(Request, sched)) : NULL;
}

/*
 * request_answer() - send the response and forget the request
 * @r: not known to a scheduler any more; freed
 * @response: passed vgpu_response_check()
 */
void request_answer(Request *r, const void *response, uint32_t size);

/*
 * request_fail() - the same with a response that only says why
 * @error: VGPU_ERROR_*, not NONE
 * @cuda_result: a CUresult, for VGPU_ERROR_CUDA_ERROR
 */
void request_fail(Request *r, uint32_t error, uint32_t cuda_result);

/* request_discard() - forget a request, not known to a scheduler any more, unanswered; freed */
void request_discard(Request *r);

#endif
