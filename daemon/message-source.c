/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "message-source.h"

#include "clock.h"
#include "container-of.h"

static void message_source_on_complete(RequestSource *source, const Request *r,
                                       const Outcome *outcome)
{
    MessageSource *s = CONTAINER_OF(source, MessageSource, source);

    if (!outcome->dropped)
        vm_send(s->vm, VGPU_MSG_RESPONSE, r->id, outcome->response, outcome->response_size);
}

static const RequestOps message_source_ops = {
    .complete = message_source_on_complete,
};

void message_source_init(MessageSource *s, Pools *pools)
{
    *s = (MessageSource){.pools = pools};
    request_source_init(&s->source, &message_source_ops);
}

/* Answers a request that was not queued. */
static void message_source_reject(MessageSource *s, uint32_t request_id, uint32_t error)
{
    VGPUResponse response = {.version = VGPU_PROTOCOL_VERSION, .status = error};
    VM *vm = s->vm;
    LogContext context = vm->client.log;

    context.pool = vm->settings.pool;
    context.has_request_id = true;
    context.request_id = request_id;
    context.error = error;
    if (client_may_log(&vm->client))
        log_context(LOG_INFO, &context, "request %u rejected: %s", request_id,
                    vgpu_error_to_string(error));

    vm->client.statistics.rejected++;
    if (error == VGPU_ERROR_QUEUE_FULL)
        vm_send(vm, VGPU_MSG_BUSY, request_id, NULL, 0);
    else if (error == VGPU_ERROR_VM_QUARANTINED)
        vm_send(vm, VGPU_MSG_QUARANTINED, request_id, NULL, 0);
    else
        vm_send(vm, VGPU_MSG_RESPONSE, request_id, &response, sizeof(response));
}

/* A VM that nobody registered has the pool and the priority that its messages claim. */
static uint32_t message_source_follow_claim(MessageSource *s, const VGPUSocketHeader *h)
{
    if (!pools_find(s->pools, h->pool_id))
        return VGPU_ERROR_INVALID_POOL;
    if (h->priority >= VGPU_N_PRIORITIES)
        return VGPU_ERROR_INVALID_REQUEST;

    s->vm->settings.pool = (char) h->pool_id;
    s->vm->settings.priority = h->priority;
    return VGPU_ERROR_NONE;
}

/* May it be queued? Returns a VGPU_ERROR_*. */
static uint32_t message_source_check(MessageSource *s, const VGPUSocketHeader *h,
                                     const char *payload)
{
    uint32_t error = s->vm->registered ? VGPU_ERROR_NONE : message_source_follow_claim(s, h);
    bool has_token = vm_take_token(s->vm); /* a request that is rejected costs one too */

    if (error == VGPU_ERROR_NONE)
        error = vgpu_request_check(payload, h->payload_len, NULL);
    if (error != VGPU_ERROR_NONE)
        return error;
    if (s->vm->quarantined)
        return VGPU_ERROR_VM_QUARANTINED;
    if (!pools_find(s->pools, (unsigned char) s->vm->settings.pool))
        return VGPU_ERROR_INVALID_POOL;
    return has_token ? VGPU_ERROR_NONE : VGPU_ERROR_RATE_LIMITED;
}

void message_source_take(MessageSource *s, const VGPUSocketHeader *h, const char *payload)
{
    uint32_t error = message_source_check(s, h, payload);
    VM *vm = s->vm;
    Request *r;
    Pool *p;

    if (error != VGPU_ERROR_NONE) {
        message_source_reject(s, h->request_id, error);
        return;
    }

    p = pools_find(s->pools, (unsigned char) vm->settings.pool);
    r = request_new_message(&vm->client, &s->source, h->request_id, payload, h->payload_len);
    if (!r)
        client_log_no_memory(&vm->client);
    if (!r || pool_queue(p, r, vm->settings.priority, now_usec()) > 0) {
        if (r)
            request_free(r);
        p->queue.statistics.rejected++;
        message_source_reject(s, h->request_id, VGPU_ERROR_QUEUE_FULL);
        return;
    }
    pool_dispatch(p);
}

void message_source_end(MessageSource *s)
{
    request_source_end(&s->source);
}
