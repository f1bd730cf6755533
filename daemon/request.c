/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "connection.h"
#include "manager.h"
#include "request.h"

Request *request_new(VM *vm, Connection *connection, uint32_t id, const void *payload,
                     uint32_t size)
{
    Request *r = malloc(sizeof(*r) + size);

    if (!r)
        return NULL;

    *r = (Request){.vm = vm, .connection = connection, .id = id, .size = size};
    memcpy(r->payload, payload, size);
    return r;
}

static void count_answer(Statistics *s, const VGPUResponse *response, uint32_t size)
{
    if (response->status == VGPU_ERROR_NONE) {
        s->completed++;
        histogram_add(&s->execution, response->exec_time_us);
    } else {
        s->failed++;
    }
    s->bytes_out += size;
}

static void request_free(Request *r)
{
    VM *vm = r->vm;
    Manager *manager = vm->manager;

    free(r);
    vm_free_if_over(vm);
    manager_check_drained(manager);
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
    count_answer(&r->vm->statistics, &header, size);
    count_answer(&request_pool(r)->statistics, &header, size);

    if (r->connection)
        connection_answer(r->connection, r->id, response, size);
    request_free(r);
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
    uint32_t size = sizeof(response.header);

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
    request_free(r);
}
