/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "connection-internal.h"
#include "manager.h"

static int refuse(Connection *c, uint32_t request_id, const char *reason)
{
    connection_send(c, VGPU_MSG_QUARANTINED, request_id, NULL, 0);
    return connection_violation(c, reason);
}

static void welcome(Connection *c, VM *vm, uint32_t request_id)
{
    VGPUWelcome payload = {.vm_id = vm->id, .features = c->features & VGPU_FEATURE_RING};

    c->vm = vm;
    vm_attach(vm, c, c->peer.pid);
    if (vm->claimed)
        memcpy(payload.resume, vm->resume, sizeof(payload.resume));
    connection_send(c, VGPU_MSG_WELCOME, request_id, &payload, sizeof(payload));
}

/* A VM for a peer that nobody registered. What it says of itself counts, but it
 * is let in only where the administrator says so. */
static int admit_unregistered(Connection *c, const VGPUSocketHeader *h, VM **ret)
{
    UnregisteredPolicy policy = c->manager->config.unregistered;
    bool nobody_can_register = c->manager->bus_kind == BUS_NONE;

    if (policy == UNREGISTERED_REFUSE || (policy == UNREGISTERED_DEFAULT && !nobody_can_register))
        return refuse(c, h->request_id,
                      "no such VM is registered, and [Unregistered] Policy= refuses others");

    return vm_new_unregistered(c->manager, h->vm_id, (char) h->pool_id, h->priority, ret);
}

/* Time must not tell how much of a guess was right. */
static bool is_same_secret(const uint8_t a[16], const uint8_t b[16])
{
    uint8_t difference = 0;

    for (unsigned i = 0; i < 16; i++)
        difference |= a[i] ^ b[i];
    return difference == 0;
}

/* systemd-machined has answered, or nobody had to be asked. */
static void on_identity(void *userdata, const char *reason)
{
    Connection *c = userdata;
    VM *vm = vm_find_registered(c->manager, c->claimed);

    c->check = identity_check_free(c->check);
    if (!reason && !vm)
        reason = "the VM was unregistered meanwhile";
    if (!reason && vm->connection)
        reason = "the VM's device is connected already";

    if (reason) {
        (void) refuse(c, c->hello_id, reason);
        connection_free(c);
        return;
    }

    welcome(c, vm, c->hello_id);
    connection_go_on(c);
}

/* A claim to be a registered VM. The secret of the last WELCOME proves it, and then
 * an older connection is a dead one. Without it, the VM must be free, and the
 * kernel and systemd-machined must agree. */
static int claim(Connection *c, VM *vm, const VGPUSocketHeader *h, const VGPUHello *hello)
{
    int r;

    if (vm->claimed && is_same_secret(hello->resume, vm->resume)) {
        if (vm->connection)
            connection_free(vm->connection);
        welcome(c, vm, h->request_id);
        return MESSAGE_OK;
    }
    if (vm->connection)
        return refuse(c, h->request_id, "the VM's device is connected already");
    if (!c->manager->bus) {
        welcome(c, vm, h->request_id);
        return MESSAGE_OK;
    }

    memcpy(c->claimed, vm->uuid, sizeof(c->claimed));
    c->hello_id = h->request_id;
    r = identity_check_new(c->manager->bus, c->peer.pid, vm->uuid, on_identity, c, &c->check);
    return r < 0 ? r : MESSAGE_WAIT;
}

static int on_hello(Connection *c, const VGPUSocketHeader *h, const char *payload)
{
    VGPUHello hello = {0};
    VM *vm;
    int r;

    if (c->vm)
        return connection_violation(c, "a second HELLO, or one after a REQUEST");
    if (!vgpu_pool_is_valid(h->pool_id) || h->priority >= VGPU_N_PRIORITIES)
        return connection_violation(c, "no such pool or priority in HELLO");

    memcpy(&hello, payload, h->payload_len < sizeof(hello) ? h->payload_len : sizeof(hello));
    c->features = hello.features;
    vm = vm_find_registered(c->manager, hello.uuid);
    if (vm)
        return claim(c, vm, h, &hello);

    r = admit_unregistered(c, h, &vm);
    if (r != MESSAGE_OK)
        return r;
    memcpy(vm->uuid, hello.uuid, sizeof(vm->uuid));
    welcome(c, vm, h->request_id);
    return MESSAGE_OK;
}

/* Answers a request that was not queued. */
static int reject(Connection *c, uint32_t request_id, uint32_t error)
{
    VGPUResponse response = {.version = VGPU_PROTOCOL_VERSION, .status = error};
    LogContext context = connection_log_context(c);

    context.pool = c->vm->settings.pool;
    context.has_request_id = true;
    context.request_id = request_id;
    context.error = error;
    if (client_may_log(&c->vm->client))
        log_context(LOG_INFO, &context, "request %u rejected: %s", request_id,
                    vgpu_error_to_string(error));

    c->vm->client.statistics.rejected++;
    if (error == VGPU_ERROR_QUEUE_FULL)
        connection_send(c, VGPU_MSG_BUSY, request_id, NULL, 0);
    else if (error == VGPU_ERROR_VM_QUARANTINED)
        connection_send(c, VGPU_MSG_QUARANTINED, request_id, NULL, 0);
    else
        connection_send(c, VGPU_MSG_RESPONSE, request_id, &response, sizeof(response));
    return MESSAGE_OK;
}

static int queue_request(Connection *c, Pool *pool, unsigned priority, const VGPUSocketHeader *h,
                         const char *payload)
{
    Request *request =
        request_new_message(&c->vm->client, &c->source, h->request_id, payload, h->payload_len);

    /* Without memory it is as if there were no room. */
    if (!request || pool_queue(pool, request, priority, now_usec()) > 0) {
        if (request)
            request_free(request);
        pool->queue.statistics.rejected++;
        return reject(c, h->request_id, VGPU_ERROR_QUEUE_FULL);
    }

    pool_dispatch(pool);
    return MESSAGE_OK;
}

static int on_request(Connection *c, const VGPUSocketHeader *h, const char *payload)
{
    uint32_t error;
    Pool *pool;
    int r;

    if (!c->vm) {
        r = admit_unregistered(c, h, &c->vm);
        if (r != MESSAGE_OK)
            return r;
        vm_attach(c->vm, c, c->peer.pid);
    }

    /* Only of those that nobody registered is it asked what they want to be. */
    if (!c->vm->registered) {
        if (!manager_pool(c->manager, h->pool_id))
            return reject(c, h->request_id, VGPU_ERROR_INVALID_POOL);
        if (h->priority >= VGPU_N_PRIORITIES)
            return reject(c, h->request_id, VGPU_ERROR_INVALID_REQUEST);
        c->vm->settings.pool = (char) h->pool_id;
        c->vm->settings.priority = h->priority;
    }
    pool = manager_pool(c->manager, (unsigned char) c->vm->settings.pool);

    error = vgpu_request_check(payload, h->payload_len, NULL);
    if (error != VGPU_ERROR_NONE)
        return reject(c, h->request_id, error);
    if (c->vm->quarantined)
        return reject(c, h->request_id, VGPU_ERROR_VM_QUARANTINED);
    if (!vm_take_token(c->vm))
        return reject(c, h->request_id, VGPU_ERROR_RATE_LIMITED);

    return queue_request(c, pool, c->vm->settings.priority, h, payload);
}

static int on_ring_setup(Connection *c, const VGPUSocketHeader *h, const char *payload)
{
    int fds[VGPU_RING_N_FDS];
    VGPURingSetup setup;

    if (!c->vm)
        return connection_violation(c, "RING_SETUP before HELLO");
    if (!passed_fds_take(&c->fds, fds, VGPU_RING_N_FDS))
        return connection_violation(c, "RING_SETUP without its descriptors");

    memcpy(&setup, payload, sizeof(setup));
    if (!lane_setup(c->vm, fds, &setup, h->request_id))
        return connection_violation(c, "RING_SETUP while there is a ring");
    return MESSAGE_OK;
}

static int on_ring_off(Connection *c, const VGPUSocketHeader *h)
{
    if (!c->vm)
        return connection_violation(c, "RING_OFF before HELLO");
    if (!lane_stop(c->vm, h->request_id))
        return connection_violation(c, "RING_OFF before RING_STOPPED");
    return MESSAGE_OK;
}

int connection_on_message(Connection *c, const VGPUSocketHeader *h, const char *payload)
{
    switch (h->msg_type) {
    case VGPU_MSG_HELLO:
        return on_hello(c, h, payload);
    case VGPU_MSG_REQUEST:
        return on_request(c, h, payload);
    case VGPU_MSG_PING:
        connection_send(c, VGPU_MSG_PONG, h->request_id, NULL, 0);
        return MESSAGE_OK;
    case VGPU_MSG_PONG:
        return MESSAGE_OK;
    case VGPU_MSG_RING_SETUP:
        return on_ring_setup(c, h, payload);
    case VGPU_MSG_RING_OFF:
        return on_ring_off(c, h);
    default:
        return connection_violation(c, "a message that only the mediator sends");
    }
}
