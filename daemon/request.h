/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One request, from the moment it is queued until it is over: a message on the socket, or an
 * entry of a ring. Its source makes it, and hears of its end. In between it belongs to a
 * scheduler, and then to an executor.
 */
#ifndef VGPU_REQUEST_H
#define VGPU_REQUEST_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "client.h"
#include "vgpu-builtin.h"
#include "window.h"

typedef struct Request Request;
typedef struct RequestSource RequestSource;

typedef TAILQ_HEAD(RequestList, Request) RequestList;

/* How a request ended. */
typedef struct Outcome {
    uint32_t status; /* VGPU_ERROR_* */
    uint32_t exec_time_us;
    uint32_t cuda_result;   /* with VGPU_ERROR_CUDA_ERROR */
    uint64_t value;         /* of an entry: the result of DOT, SUM, MIN and MAX */
    const void *response;   /* of a message: what passed vgpu_response_check() */
    uint32_t response_size; /* of a message, in bytes */
    const char *reason;     /* for the log, where the status does not say it; or NULL */
    bool dropped;           /* nobody is to be answered; the rest does not matter */
} Outcome;

/* What a source hears about its requests. */
typedef struct RequestOps {
    /* An executor is about to get it. May be NULL. */
    void (*started)(RequestSource *source, const Request *r);
    /* It is over: answered, failed or dropped. Once for each request, always, unless the source
     * ended before. The request is freed by the caller. */
    void (*complete)(RequestSource *source, const Request *r, const Outcome *outcome);
} RequestOps;

struct RequestSource {
    const RequestOps *ops;
    RequestList requests; /* queued and running */
    bool stopped;         /* nothing of it is to be begun any more */
};

/* Memory for requests that come and go by the million, all of one size. All zero: empty. */
typedef struct RequestCache {
    Request *spare;
    unsigned n;
} RequestCache;

/* What a request knows of the pool that it is queued for. A pool embeds one. */
typedef struct RequestQueue {
    char pool; /* the letter */
    Scheduler scheduler;
    Statistics statistics;
    BusyTime busy; /* when requests run */
} RequestQueue;

struct Request {
    union {
        SchedRequest sched;
        Request *spare; /* the next, while it is nobody's */
    };
    Client *client;
    RequestSource *source; /* NULL when nobody waits any more */
    TAILQ_ENTRY(Request) source_link;
    TAILQ_ENTRY(Request) running_link; /* the executor's */
    Window *window;                    /* of an entry: a reference; of a message: NULL */
    RequestCache *cache;               /* where its memory goes; NULL: back to malloc() */
    uint32_t id;                       /* of a message: the guest's tag; of an entry: its index */
    bool timed_out;                    /* its executor is being killed for that */
    unsigned deaths;                   /* executors that ended while they computed it */
    uint64_t began_usec; /* when its execution began (CLOCK_MONOTONIC); 0: not yet, or not known */
    uint64_t bytes_in;   /* what it reads, and for an entry what it writes */
    uint64_t bytes_out;
    uint32_t size;
    /* A VGPURequest that passed vgpu_request_check(), or a VGPUSubmission that passed
     * vgpu_submission_check(). */
    _Alignas(8) char payload[];
};

static inline const VGPUSubmission *request_submission(const Request *r)
{
    return (const VGPUSubmission *) r->payload;
}

/*
 * request_new_message() - a request that is not queued yet
 * @payload: copied
 * @size: 1..VGPU_REQUEST_MAX
 *
 * Returns it, to be queued or freed with request_free(), or NULL without memory.
 */
Request *request_new_message(Client *client, RequestSource *source, uint32_t id,
                             const void *payload, uint32_t size);

/*
 * request_new_entry() - the same for an entry of a ring
 * @cache: outlives the request
 * @submission: copied
 */
Request *request_new_entry(RequestCache *cache, Client *client, RequestSource *source,
                           Window *window, uint32_t index, const VGPUSubmission *submission);

/* request_free() - drop one that was never queued. The source is not told */
void request_free(Request *r);

/* request_from_sched() - NULL is fine */
Request *request_from_sched(SchedRequest *r);

/* request_queue() - where it is queued or runs, or did last */
RequestQueue *request_queue(const Request *r);

/* request_start() - an executor is about to get it: tell the source, and count the time that it
 * runs from now on */
void request_start(Request *r);

/*
 * request_stop() - it runs no more; request_end() follows
 * @usec: how long it ran
 */
void request_stop(const Request *r, uint64_t usec);

/* request_end() - count the outcome, tell the source, and free the request, which no scheduler
 * knows any more */
void request_end(Request *r, const Outcome *outcome);

/*
 * request_fail() - the same with an answer that only says why
 * @error: VGPU_ERROR_*, not NONE
 * @cuda_result: a CUresult, for VGPU_ERROR_CUDA_ERROR
 */
void request_fail(Request *r, uint32_t error, uint32_t cuda_result);

/* request_refuse() - the same with INVALID_REQUEST; @reason is for the log, which has no other */
void request_refuse(Request *r, const char *reason);

/* request_drop() - the same, and nobody is answered */
void request_drop(Request *r);

/*
 * request_put_back() - a running request is to run again: queue it where it stood
 *
 * For one whose executor is gone. @r has not been computed, or request_is_repeatable().
 */
void request_put_back(Request *r);

/* request_is_wanted() - does anybody wait for the answer of a request that runs? */
bool request_is_wanted(const Request *r);

/* request_is_repeatable() - may it be computed twice, with the same outcome as once? */
bool request_is_repeatable(const Request *r);

/* request_source_init() - @ops must outlive the source and its requests */
void request_source_init(RequestSource *source, const RequestOps *ops);

/* request_source_drop_queued() - drop what no executor has; nothing is queued any more */
void request_source_drop_queued(RequestSource *source);

/* request_source_end() - drop what is queued; nobody hears any more of what runs */
void request_source_end(RequestSource *source);

/* request_cache_clear() - give back the memory that is kept for the next ones */
void request_cache_clear(RequestCache *cache);

#endif
