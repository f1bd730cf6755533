/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "request.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "container-of.h"

#define SPARES_MAX 64u

/* ---- Beginning --------------------------------------------------------------------- */

static void request_init(Request *r, Client *client, RequestSource *source, uint32_t id,
                         const void *payload, uint32_t size)
{
    *r = (Request){.client = client, .source = source, .id = id, .size = size};
    memcpy(r->payload, payload, size);
    TAILQ_INSERT_TAIL(&source->requests, r, source_link);
}

Request *request_new_message(Client *client, RequestSource *source, uint32_t id,
                             const void *payload, uint32_t size)
{
    Request *r = malloc(sizeof(*r) + size);

    if (!r)
        return NULL;

    request_init(r, client, source, id, payload, size);
    r->bytes_in = size;
    return r;
}

static Request *request_cache_take(RequestCache *cache)
{
    Request *r = cache->spare;

    if (!r)
        return malloc(sizeof(*r) + sizeof(VGPUSubmission));

    cache->spare = r->spare;
    cache->n--;
    return r;
}

/* The operands' own bytes, not those that a stride passes over. */
static void count_operands(const VGPUSubmission *s, uint64_t *ret_in, uint64_t *ret_out)
{
    uint64_t element = vgpu_ring_type_size(s->type);
    VGPUShape shape;

    if (!vgpu_submission_shape(s, &shape))
        return;

    *ret_in = shape.rows[0] * shape.columns[0] * element;
    if (shape.has_b)
        *ret_in += shape.rows[1] * shape.columns[1] * element;
    *ret_out = shape.has_c ? shape.rows[2] * shape.columns[2] * element : element;
}

Request *request_new_entry(RequestCache *cache, Client *client, RequestSource *source,
                           Window *window, uint32_t index, const VGPUSubmission *submission)
{
    Request *r = request_cache_take(cache);

    if (!r)
        return NULL;

    request_init(r, client, source, index, submission, sizeof(*submission));
    r->cache = cache;
    r->window = window_ref(window);
    count_operands(submission, &r->bytes_in, &r->bytes_out);
    return r;
}

/* ---- End ----------------------------------------------------------------------------- */

static void request_leave_source(Request *r)
{
    if (r->source)
        TAILQ_REMOVE(&r->source->requests, r, source_link);
    r->source = NULL;
}

void request_free(Request *r)
{
    RequestCache *cache = r->cache;

    assert(r->sched.state == SCHED_IDLE);
    request_leave_source(r);
    window_unref(r->window);
    if (!cache || cache->n == SPARES_MAX) {
        free(r);
        return;
    }

    r->spare = cache->spare;
    cache->spare = r;
    cache->n++;
}

void request_cache_clear(RequestCache *cache)
{
    Request *r;

    while ((r = cache->spare)) {
        cache->spare = r->spare;
        free(r);
    }
    cache->n = 0;
}

static void statistics_count_end(Statistics *s, const Outcome *outcome, uint64_t bytes_out)
{
    if (outcome->dropped || outcome->status != VGPU_ERROR_NONE) {
        s->failed++;
    } else {
        s->completed++;
        histogram_add(&s->execution, outcome->exec_time_us);
    }
    s->bytes_out += bytes_out;
}

static void request_count_end(const Request *r, const Outcome *outcome)
{
    uint64_t bytes_out = outcome->dropped                     ? 0
                         : !r->window                         ? outcome->response_size
                         : outcome->status == VGPU_ERROR_NONE ? r->bytes_out
                                                              : 0;

    statistics_count_end(&r->client->statistics, outcome, bytes_out);
    statistics_count_end(&request_queue(r)->statistics, outcome, bytes_out);
}

static void request_log_failure(const Request *r, uint32_t error, const char *reason)
{
    LogContext context = r->client->log;

    if (!client_may_log(r->client))
        return;

    context.pool = request_queue(r)->pool;
    context.has_request_id = true;
    context.request_id = r->id;
    context.error = error;
    log_context(LOG_WARNING, &context, "request %u failed: %s%s%s", r->id,
                vgpu_error_to_string(error), reason ? ": " : "", reason ? reason : "");
}

void request_end(Request *r, const Outcome *outcome)
{
    Client *client = r->client;
    RequestSource *source = r->source;

    assert(r->sched.state == SCHED_IDLE);
    assert(outcome->dropped || r->window || outcome->response);

    if (!outcome->dropped && outcome->status != VGPU_ERROR_NONE)
        request_log_failure(r, outcome->status, outcome->reason);
    request_count_end(r, outcome);
    request_leave_source(r);
    if (source)
        source->ops->complete(source, r, outcome);
    request_free(r);

    client_has_room(client);
    if (client->idle && !client_has_requests(client))
        client->idle(client);
}

static void request_end_with_error(Request *r, uint32_t error, uint32_t cuda_result,
                                   const char *reason)
{
    struct {
        VGPUResponse header;
        uint32_t result;
    } response = {
        .header.version = VGPU_PROTOCOL_VERSION,
        .header.status = error,
    };
    Outcome outcome = {
        .status = error,
        .response = &response,
        .response_size = sizeof(response.header),
        .reason = reason,
    };

    if (error == VGPU_ERROR_CUDA_ERROR) {
        outcome.cuda_result = cuda_result;
        response.header.result_count = 1;
        response.result = cuda_result;
        outcome.response_size = sizeof(response);
    }
    request_end(r, &outcome);
}

void request_fail(Request *r, uint32_t error, uint32_t cuda_result)
{
    request_end_with_error(r, error, cuda_result, NULL);
}

void request_refuse(Request *r, const char *reason)
{
    request_end_with_error(r, VGPU_ERROR_INVALID_REQUEST, 0, reason);
}

void request_drop(Request *r)
{
    request_end(r, &(const Outcome){.dropped = true});
}

/* ---- In between ---------------------------------------------------------------------- */

Request *request_from_sched(SchedRequest *r)
{
    return r ? CONTAINER_OF(r, Request, sched) : NULL;
}

RequestQueue *request_queue(const Request *r)
{
    return CONTAINER_OF(r->sched.scheduler, RequestQueue, scheduler);
}

void request_start(Request *r)
{
    busy_begin(&request_queue(r)->busy, now_usec());
    if (r->source && r->source->ops->started)
        r->source->ops->started(r->source, r);
}

void request_stop(const Request *r, uint64_t usec)
{
    uint64_t now = now_usec();

    busy_end(&request_queue(r)->busy, now);
    time_window_add(&r->client->execution, usec < now ? now - usec : 0, now);
}

void request_put_back(Request *r)
{
    r->began_usec = 0;
    sched_request_put_back(&r->sched);
}

bool request_is_wanted(const Request *r)
{
    return r->source && !r->source->stopped;
}

/* Requests by register have their operands with them. */
bool request_is_repeatable(const Request *r)
{
    bool repeatable = true;

    if (r->window)
        (void) vgpu_submission_check(request_submission(r), r->window->size, &repeatable);
    return repeatable;
}

/* ---- Sources ------------------------------------------------------------------------- */

void request_source_init(RequestSource *source, const RequestOps *ops)
{
    source->ops = ops;
    source->stopped = false;
    TAILQ_INIT(&source->requests);
}

void request_source_drop_queued(RequestSource *source)
{
    Request *r = TAILQ_FIRST(&source->requests);

    source->stopped = true;
    while (r) {
        Request *next = TAILQ_NEXT(r, source_link);

        if (r->sched.state == SCHED_QUEUED) {
            sched_request_remove(&r->sched);
            request_drop(r);
        }
        r = next;
    }
}

void request_source_end(RequestSource *source)
{
    request_source_drop_queued(source);
    while (!TAILQ_EMPTY(&source->requests))
        request_leave_source(TAILQ_FIRST(&source->requests));
}
