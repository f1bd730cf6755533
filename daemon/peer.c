/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "peer.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "identity.h"
#include "message-source.h"

struct Peer {
    TAILQ_ENTRY(Peer) link;
    Peers *peers;
    Connection *connection;
    VM *vm;               /* NULL until the first HELLO or REQUEST */
    IdentityCheck *check; /* a HELLO waits for this */
    uint8_t claimed[16];  /* the UUID in it */
    uint32_t hello_id;    /* its request_id */
    uint32_t features;    /* and what it offers */
    MessageSource messages;
    RingSource *ring;
};

/* ---- Saying no --------------------------------------------------------------------------- */

static int peer_violation(const Peer *p, const char *reason)
{
    const struct ucred *process = connection_peer(p->connection);
    LogContext context = p->vm ? p->vm->client.log : (LogContext){.peer_pid = process->pid};

    log_context(LOG_WARNING, &context, "closing the connection of %s (process %d, user %u): %s",
                p->vm ? p->vm->name : "a peer", (int) process->pid, (unsigned) process->uid,
                reason);
    return MESSAGE_CLOSE;
}

static int peer_refuse(Peer *p, uint32_t request_id, const char *reason)
{
    const VGPUSocketHeader header = {.msg_type = VGPU_MSG_QUARANTINED, .request_id = request_id};

    assert(!p->vm);
    connection_send(p->connection, &header, NULL);
    return peer_violation(p, reason);
}

/* ---- Becoming a VM ----------------------------------------------------------------------- */

static Peer *peer_free(Peer *p);

static void peer_on_hang_up(VM *vm, void *userdata)
{
    (void) vm;

    peer_free(userdata);
}

static void peer_become(Peer *p, VM *vm)
{
    assert(!p->vm);
    p->vm = p->messages.vm = vm;
    connection_admit(p->connection);
    vm_registry_attach(p->peers->vms, vm, p->connection, connection_peer(p->connection)->pid,
                       peer_on_hang_up, p);
}

static void peer_welcome(Peer *p, VM *vm, uint32_t request_id)
{
    VGPUWelcome payload = {.vm_id = vm->id, .features = p->features & VGPU_FEATURE_RING};

    peer_become(p, vm);
    if (vm->claimed)
        memcpy(payload.resume, vm->resume, sizeof(payload.resume));
    vm_send(vm, VGPU_MSG_WELCOME, request_id, &payload, sizeof(payload));
}

/* A VM for a peer that nobody registered. The mediator believes what it says of itself, but
 * lets it in only where the administrator allows that. */
static int peer_admit_unregistered(Peer *p, const VGPUSocketHeader *h, VM **ret)
{
    UnregisteredPolicy policy = p->peers->config->unregistered;

    if (policy == UNREGISTERED_REFUSE || (policy == UNREGISTERED_DEFAULT && p->peers->can_register))
        return peer_refuse(p, h->request_id,
                           "no such VM is registered, and [Unregistered] Policy= refuses others");

    return vm_registry_add_unregistered(p->peers->vms, h->vm_id, (char) h->pool_id, h->priority,
                                        ret);
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
static void peer_on_identity(void *userdata, const char *reason)
{
    Peer *p = userdata;
    VM *vm = vm_registry_find_by_uuid(p->peers->vms, p->claimed);

    p->check = identity_check_free(p->check);
    if (!reason && !vm)
        reason = "the VM was unregistered meanwhile";
    if (!reason && vm->connection)
        reason = "the VM's device is connected already";

    if (reason) {
        (void) peer_refuse(p, p->hello_id, reason);
        peer_free(p);
        return;
    }

    peer_welcome(p, vm, p->hello_id);
    connection_go_on(p->connection);
}

/* A claim to be a registered VM. The secret of the last WELCOME proves it, and then
 * an older connection is a dead one. Without it, the VM must be free, and the
 * kernel and systemd-machined must agree. */
static int peer_claim(Peer *p, VM *vm, const VGPUSocketHeader *h, const VGPUHello *hello)
{
    int r;

    if (vm->claimed && is_same_secret(hello->resume, vm->resume)) {
        vm_hang_up(vm);
        peer_welcome(p, vm, h->request_id);
        return MESSAGE_OK;
    }
    if (vm->connection)
        return peer_refuse(p, h->request_id, "the VM's device is connected already");
    if (!p->peers->bus) {
        peer_welcome(p, vm, h->request_id);
        return MESSAGE_OK;
    }

    memcpy(p->claimed, vm->uuid, sizeof(p->claimed));
    p->hello_id = h->request_id;
    r = identity_check_new(p->peers->bus, connection_peer(p->connection)->pid, vm->uuid,
                           peer_on_identity, p, &p->check);
    return r < 0 ? r : MESSAGE_WAIT;
}

/* ---- Messages ------------------------------------------------------------------------------ */

static int peer_on_hello(Peer *p, const VGPUSocketHeader *h, const char *payload)
{
    VGPUHello hello = {0};
    VM *vm;
    int r;

    if (p->vm)
        return peer_violation(p, "a second HELLO, or one after a REQUEST");
    if (!vgpu_pool_is_valid(h->pool_id) || h->priority >= VGPU_N_PRIORITIES)
        return peer_violation(p, "no such pool or priority in HELLO");

    memcpy(&hello, payload, h->payload_len < sizeof(hello) ? h->payload_len : sizeof(hello));
    p->features = hello.features;
    vm = vm_registry_find_by_uuid(p->peers->vms, hello.uuid);
    if (vm)
        return peer_claim(p, vm, h, &hello);

    r = peer_admit_unregistered(p, h, &vm);
    if (r != MESSAGE_OK)
        return r;
    memcpy(vm->uuid, hello.uuid, sizeof(vm->uuid));
    peer_welcome(p, vm, h->request_id);
    return MESSAGE_OK;
}

static int peer_on_request(Peer *p, const VGPUSocketHeader *h, const char *payload)
{
    VM *vm;
    int r;

    if (!p->vm) {
        r = peer_admit_unregistered(p, h, &vm);
        if (r != MESSAGE_OK)
            return r;
        peer_become(p, vm);
    }

    message_source_take(&p->messages, h, payload);
    return MESSAGE_OK;
}

static void peer_pong(Peer *p, uint32_t request_id)
{
    const VGPUSocketHeader header = {.msg_type = VGPU_MSG_PONG, .request_id = request_id};

    if (p->vm)
        vm_send(p->vm, VGPU_MSG_PONG, request_id, NULL, 0);
    else
        connection_send(p->connection, &header, NULL);
}

static int peer_on_ring_setup(Peer *p, const VGPUSocketHeader *h, const char *payload)
{
    int fds[VGPU_RING_N_FDS];
    VGPURingSetup setup;

    if (!p->vm)
        return peer_violation(p, "RING_SETUP before HELLO");
    if (!connection_take_fds(p->connection, fds, VGPU_RING_N_FDS))
        return peer_violation(p, "RING_SETUP without its descriptors");

    memcpy(&setup, payload, sizeof(setup));
    return ring_source_setup(p->peers->rings, p->vm, fds, &setup, h->request_id, &p->ring) ==
                   RING_SOURCE_VIOLATION
               ? peer_violation(p, "RING_SETUP while there is a ring")
               : MESSAGE_OK;
}

static int peer_on_ring_off(Peer *p, const VGPUSocketHeader *h)
{
    if (!p->vm)
        return peer_violation(p, "RING_OFF before HELLO");
    return ring_source_stop(p->vm, h->request_id, &p->ring) == RING_SOURCE_VIOLATION
               ? peer_violation(p, "RING_OFF before RING_STOPPED")
               : MESSAGE_OK;
}

static int peer_on_message(void *userdata, const VGPUSocketHeader *h, const char *payload)
{
    Peer *p = userdata;

    switch (h->msg_type) {
    case VGPU_MSG_HELLO:
        return peer_on_hello(p, h, payload);
    case VGPU_MSG_REQUEST:
        return peer_on_request(p, h, payload);
    case VGPU_MSG_PING:
        peer_pong(p, h->request_id);
        return MESSAGE_OK;
    case VGPU_MSG_PONG:
        return MESSAGE_OK;
    case VGPU_MSG_RING_SETUP:
        return peer_on_ring_setup(p, h, payload);
    case VGPU_MSG_RING_OFF:
        return peer_on_ring_off(p, h);
    default:
        return peer_violation(p, "a message that only the mediator sends");
    }
}

/* ---- The peer -------------------------------------------------------------------------------- */

static void peer_on_complain(void *userdata, const char *reason, int error)
{
    (void) peer_violation(userdata, reason ? reason : strerror(-error));
}

static void peer_on_closed(void *userdata)
{
    peer_free(userdata);
}

static const ConnectionHandler peer_connection_handler = {
    .message = peer_on_message,
    .complain = peer_on_complain,
    .closed = peer_on_closed,
};

static Peer *peer_free(Peer *p)
{
    if (!p)
        return NULL;

    identity_check_free(p->check);
    ring_source_free(p->ring);
    message_source_end(&p->messages);
    if (p->vm)
        vm_registry_detach(p->peers->vms, p->vm);
    TAILQ_REMOVE(&p->peers->list, p, link);
    connection_free(p->connection);
    free(p);
    return NULL;
}

int peers_add(Peers *peers, int fd)
{
    Peer *p = calloc(1, sizeof(*p));
    int r;

    if (!p) {
        close(fd);
        return -ENOMEM;
    }

    r = connection_new(&peers->connections, fd, &peer_connection_handler, p, &p->connection);
    if (r < 0) {
        free(p);
        return r;
    }
    p->peers = peers;
    message_source_init(&p->messages, peers->pools);
    TAILQ_INSERT_TAIL(&peers->list, p, link);
    return 0;
}

unsigned peers_count(const Peers *peers)
{
    return peers->connections.n;
}

int peers_init(Peers *peers, sd_event *event, Pools *pools, VMRegistry *vms, RingSources *rings,
               const Config *config)
{
    peers->pools = pools;
    peers->vms = vms;
    peers->rings = rings;
    peers->config = config;
    TAILQ_INIT(&peers->list);
    return connections_init(&peers->connections, event);
}

void peers_clear(Peers *peers)
{
    while (!TAILQ_EMPTY(&peers->list))
        peer_free(TAILQ_FIRST(&peers->list));
    connections_clear(&peers->connections);
}
