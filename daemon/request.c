/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "connection.h"
#include "manager.h"
#include "request.h"

#define SPARES_MAX 64u

Request *request_new(VM *vm, Connection *connection, uint32_t id, const void *payload,
                     uint32_t size)
{
    Request *r = malloc(sizeof(*r) + size);

    if (!r)
        return NULL;

    *r = (Request){.vm = vm, .connection = connection, .id = id, .size = size, .bytes_in = size};
    memcpy(r->payload, payload, size);
    return r;
}

/* Entries of rings come and go by the million, all of one size: some are kept at hand. */
static Request *take_spare(Manager *m, size_t payload)
{
    Request *r = m->spare_requests;

    if (!r)
        return malloc(sizeof(*r) + payload);

    m->spare_requests = r->spare;
    m->n_spare_requests--;
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

Request *request_new_compute(VM *vm, Lane *lane, Window *window, uint32_t index,
                             const VGPUSubmission *submission)
{
    Request *r = take_spare(vm->manager, sizeof(*submission));

    if (!r)
        return NULL;

    *r = (Request){.vm = vm,
                   .lane = lane,
                   .window = window_ref(window),
                   .id = index,
                   .size = sizeof(*submission)};
    memcpy(r->payload, submission, sizeof(*submission));
    count_operands(submission, &r->bytes_in, &r->bytes_out);
    return r;
}

void request_free(Request *r)
{
    Manager *m = r->vm->manager;

    if (!r->window || m->n_spare_requests == SPARES_MAX) {
        window_unref(r->window);
        free(r);
        return;
    }

    window_unref(r->window);
    r->spare = m->spare_requests;
    m->spare_requests = r;
    m->n_spare_requests++;
}

void request_free_spares(Manager *m)
{
    Request *r;

    while ((r = m->spare_requests)) {
        m->spare_requests = r->spare;
        free(r);
    }
}

static void count_end(Statistics *s, uint32_t status, uint32_t exec_time_us, uint64_t bytes_out)
{
    if (status == VGPU_ERROR_NONE) {
        s->completed++;
        histogram_add(&s->execution, exec_time_us);
    } else {
        s->failed++;
    }
    s->bytes_out += bytes_out;
}

static void count(const Request *r, uint32_t status, uint32_t exec_time_us, uint64_t bytes_out)
{
    count_end(&r->vm->statistics, status, exec_time_us, bytes_out);
    count_end(&request_pool(r)->statistics, status, exec_time_us, bytes_out);
}

/* One that was queued, and is over. */
static void forget(Request *r)
{
    VM *vm = r->vm;

    request_free(r);
    lane_has_room(vm->lane);
    vm_free_if_over(vm);
}

static void log_failure(const Request *r, uint32_t error)
{
    LogContext context = vm_log_context(r->vm);

    if (!vm_may_log(r->vm))
        return;

    context.pool = request_pool(r)->name;
    context.has_request_id = true;
    context.request_id = r->id;
    context.error = error;
    log_context(LOG_WARNING, &context, "request %u failed: %s", r->id, vgpu_error_to_string(error));
}

void request_answer(Request *r, const void *response, uint32_t size)
{
    VGPUResponse header;

    memcpy(&header, response, sizeof(header));
    if (header.status != VGPU_ERROR_NONE)
        log_failure(r, header.status);
    count(r, header.status, header.exec_time_us, size);

    if (r->connection)
        connection_answer(r->connection, r->id, response, size);
    forget(r);
}

void request_complete(Request *r, const RingResult *result)
{
    bool done = result->status == VGPU_ERROR_NONE;

    if (!done)
        log_failure(r, result->status);
    count(r, result->status, result->exec_time_us, done ? r->bytes_out : 0);

    if (r->lane)
        lane_complete_request(r, result);
    forget(r);
}

void request_fail(Request *r, uint32_t error, uint32_t cuda_result)
{
    struct {
        VGPUResponse header;
        uint32_t result;
    } response = {
        .header.version = VGPU_PROTOCOL_VERSION,
        .header.status = error,
    };
    const RingResult result = {
        .status = error,
        .cuda_result = error == VGPU_ERROR_CUDA_ERROR ? cuda_result : 0,
    };
    uint32_t size = sizeof(response.header);

    if (r->window) {
        request_complete(r, &result);
        return;
    }
    if (error == VGPU_ERROR_CUDA_ERROR) {
        response.header.result_count = 1;
        response.result = cuda_result;
        size = sizeof(response);
    }

    request_answer(r, &response, size);
}

void request_discard(Request *r)
{
    r->vm->statistics.failed++;
    request_pool(r)->statistics.failed++;
    forget(r);
}
