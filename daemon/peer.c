/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "peer.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "closer.h"
#include "message-source.h"
#include "peer-place.h"
#include "session-roll.h"

#define DEADLINE_ACCURACY_USEC 100000

/* ---- Saying no --------------------------------------------------------------------------- */

int peer_violation(Peer *p, const char *reason)
{
    const VM *vm = p->vm ? p->vm : vm_registry_find_by_uuid(p->peers->vms, p->claimed);
    const Origin *process = p->process;
    LogContext context = vm ? vm->client.log : (LogContext){0};

    if (p->has_complained)
        return MESSAGE_CLOSE;
    p->has_complained = true;
    context.peer_pid = process->pid;
    if (p->vm ? client_may_log(&p->vm->client) : origin_may_log(p->process))
        log_context(LOG_WARNING, &context, "closing %s (process %d, user %u): %s",
                    p->vm ? "its connection"
                    : vm  ? "the connection of a peer that claims to be this VM"
                          : "the connection of a peer",
                    (int) process->pid, (unsigned) process->uid, reason);
    return MESSAGE_CLOSE;
}

int peer_refuse(Peer *p, uint32_t request_id, const char *reason)
{
    const VGPUSocketHeader header = {.msg_type = VGPU_MSG_QUARANTINED, .request_id = request_id};

    assert(!p->vm);
    connection_send(p->connection, &header, NULL);
    return peer_violation(p, reason);
}

/* The device comes back by itself, and the guest's request waits there meanwhile. */
static int peer_send_away(Peer *p)
{
    return peer_violation(p, "systemd-machined cannot be asked now which machine its process is "
                             "in; the device will try again");
}

/* ---- Silence ----------------------------------------------------------------------------- */

/* Where a device needs no HELLO, because unregistered ones are served, it may be silent until its
 * first request. */
static bool peers_admit_unregistered(const Peers *peers)
{
    UnregisteredPolicy policy = peers->config->unregistered;

    return policy == UNREGISTERED_ALLOW || (policy == UNREGISTERED_DEFAULT && !peers->can_register);
}

static void peers_set_deadline(Peers *peers)
{
    const Peer *first = TAILQ_FIRST(&peers->silent);
    uint64_t timeout = peers->config->hello_timeout_usec;

    if (!first || peers_admit_unregistered(peers) || timeout == UINT64_MAX) {
        (void) sd_event_source_set_enabled(peers->deadline, SD_EVENT_OFF);
        return;
    }
    (void) sd_event_source_set_time(peers->deadline, first->since_usec + timeout);
    (void) sd_event_source_set_enabled(peers->deadline, SD_EVENT_ONESHOT);
}

void peer_set_silent(Peer *p, bool silent)
{
    Peers *peers = p->peers;
    bool was_first = TAILQ_FIRST(&peers->silent) == p;

    if (p->is_silent == silent)
        return;

    p->is_silent = silent;
    if (silent)
        TAILQ_INSERT_TAIL(&peers->silent, p, silent_link);
    else
        TAILQ_REMOVE(&peers->silent, p, silent_link);
    if (was_first || TAILQ_FIRST(&peers->silent) == p)
        peers_set_deadline(peers);
}

void peer_set_stranger(Peer *p, bool stranger)
{
    if (p->is_stranger == stranger)
        return;

    p->is_stranger = stranger;
    p->process->user->n_connections += stranger ? 1u : -1u;
}

/* ---- Becoming a VM ----------------------------------------------------------------------- */

static void peer_on_hang_up(VM *vm, void *userdata)
{
    (void) vm;

    peer_free(userdata);
}

static void peer_become(Peer *p, VM *vm)
{
    assert(!p->vm);
    p->vm = p->messages.vm = vm;
    peer_set_silent(p, false);
    if (vm->registered)
        peer_set_stranger(p, false);
    else
        vm->client.log_limit.parent = &p->process->log;
    connection_admit(p->connection);
    vm_registry_attach(p->peers->vms, vm, p->connection, connection_peer(p->connection)->pid,
                       peer_on_hang_up, p);
}

void peer_welcome(Peer *p, VM *vm, uint32_t request_id)
{
    VGPUWelcome payload = {.vm_id = vm->id, .features = p->features & FEATURES};

    peer_become(p, vm);
    if (vm->claimed)
        memcpy(payload.resume, vm->resume, sizeof(payload.resume));
    vm_send(vm, VGPU_MSG_WELCOME, request_id, &payload, sizeof(payload));
}

int peer_admit_unregistered(Peer *p, const VGPUSocketHeader *h, VM **ret)
{
    int r;

    if (!peers_admit_unregistered(p->peers))
        return peer_refuse(p, h->request_id,
                           "no such VM is registered, and [Unregistered] Policy= refuses others");

    r = vm_registry_add_unregistered(p->peers->vms, h->vm_id, (char) h->pool_id, h->priority,
                                     p->process, ret);
    if (r < 0)
        return r;
    vm_quarantine_admit(p->peers->quarantine, *ret);
    return MESSAGE_OK;
}

/* Time must not tell how much of a guess was right. */
static bool is_same_secret(const uint8_t a[16], const uint8_t b[16])
{
    uint8_t difference = 0;

    for (unsigned i = 0; i < 16; i++)
        difference |= a[i] ^ b[i];
    return difference == 0;
}

static void vm_log_unchecked(VM *vm)
{
    if (client_may_log(&vm->client))
        log_context(LOG_WARNING, &vm->client.log,
                    "taking a process at its word that it is this VM: this host has no "
                    "systemd-machined");
}

/* Why not? Returns NULL when the process may be the VM. */
static const char *vm_judge(VM *vm, IdentityVerdict verdict)
{
    if (!vm)
        return "the VM was unregistered meanwhile";
    if (vm->connection)
        return "the VM's device is connected already";
    if (verdict == IDENTITY_OTHER)
        return "its process belongs to another machine, by systemd-machined";
    if (verdict == IDENTITY_NONE && vm->device.require_machine)
        return "its process is in no machine, by systemd-machined, and the VM is registered for "
               "its "
               "machine alone";

    if (verdict == IDENTITY_NOBODY_TO_ASK && vm->device.require_machine)
        vm_log_unchecked(vm);
    return NULL;
}

static void peer_on_identity(void *userdata, IdentityVerdict verdict)
{
    Peer *p = userdata;
    VM *vm = vm_registry_find_by_uuid(p->peers->vms, p->claimed);
    const char *reason;

    p->check = identity_check_free(p->check);
    if (verdict == IDENTITY_CANNOT_ASK) {
        (void) peer_send_away(p);
        peer_free(p);
        return;
    }
    reason = vm_judge(vm, verdict);
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

    memcpy(p->claimed, vm->uuid, sizeof(p->claimed));
    if (vm->claimed && is_same_secret(hello->resume, vm->resume)) {
        vm_hang_up(vm);
        peer_welcome(p, vm, h->request_id);
        return MESSAGE_OK;
    }
    if (vm->connection)
        return peer_refuse(p, h->request_id, "the VM's device is connected already");
    if (!p->peers->identity.open_bus) {
        (void) vm_judge(vm, IDENTITY_NOBODY_TO_ASK);
        peer_welcome(p, vm, h->request_id);
        return MESSAGE_OK;
    }

    p->hello_id = h->request_id;
    r = identity_check_new(&p->peers->identity, p->process->pid, vm->uuid, peer_on_identity, p,
                           &p->check);
    if (r == -ENOMEM)
        return r;
    if (r < 0)
        return peer_send_away(p);
    peer_set_silent(p, false);
    return MESSAGE_WAIT;
}

/* ---- Messages ------------------------------------------------------------------------------ */

static int peer_on_hello(Peer *p, const VGPUSocketHeader *h, const char *payload)
{
    static const uint8_t no_uuid[16];
    VGPUHello hello = {0};
    VM *vm;
    int r;

    if (p->vm)
        return peer_violation(p, "a second HELLO, or one after a REQUEST");
    if (!vgpu_pool_is_valid(h->pool_id) || h->priority >= VGPU_N_PRIORITIES)
        return peer_violation(p, "no such pool or priority in HELLO");

    memcpy(&hello, payload, h->payload_len < sizeof(hello) ? h->payload_len : sizeof(hello));
    p->features = hello.features;
    if (memcmp(hello.uuid, no_uuid, sizeof(no_uuid)) == 0)
        return peer_find_place(p, h);
    vm = vm_registry_find_by_uuid(p->peers->vms, hello.uuid);
    if (vm && vm_is_place(vm))
        return peer_refuse(p, h->request_id, "a device claims to be a VM that has none");
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

    if (p->member.vm)
        return peer_violation(p, "a REQUEST of a process that can have sessions only");
    message_source_take(&p->messages, h, payload);
    return MESSAGE_OK;
}

static void peer_pong(Peer *p, uint32_t request_id)
{
    const VGPUSocketHeader header = {.msg_type = VGPU_MSG_PONG, .request_id = request_id};

    if (p->vm) {
        /* Answered in any case, for it shows that the mediator lives. */
        (void) vm_take_token(p->vm);
        vm_send_by(p->vm, p->connection, VGPU_MSG_PONG, request_id, NULL, 0);
    } else {
        connection_send(p->connection, &header, NULL);
    }
}

static int peer_on_ring_setup(Peer *p, const VGPUSocketHeader *h, const char *payload)
{
    int fds[VGPU_RING_N_FDS];
    VGPURingSetup setup;

    if (!p->vm || p->member.vm)
        return peer_violation(p, "RING_SETUP before HELLO, or of a process without a device");
    if (!connection_take_fds(p->connection, fds, VGPU_RING_N_FDS))
        return peer_violation(p, "RING_SETUP without its descriptors");

    memcpy(&setup, payload, sizeof(setup));
    return ring_source_setup(p->peers->rings, p->vm, p->process, fds, &setup, h->request_id,
                             &p->ring) == RING_SOURCE_VIOLATION
               ? peer_violation(p, "RING_SETUP while there is a ring")
               : MESSAGE_OK;
}

static int peer_on_ring_off(Peer *p, const VGPUSocketHeader *h)
{
    if (!p->vm || p->member.vm)
        return peer_violation(p, "RING_OFF before HELLO, or of a process without a device");
    return ring_source_stop(p->vm, h->request_id, &p->ring) == RING_SOURCE_VIOLATION
               ? peer_violation(p, "RING_OFF before RING_STOPPED")
               : MESSAGE_OK;
}

static bool ring_can_have_session(uint32_t ring)
{
    return ring >= 1 && ring < VGPU_RINGS_MAX;
}

static int peer_on_session_open(Peer *p, const VGPUSocketHeader *h, const char *payload)
{
    int fds[VGPU_RING_N_FDS];
    VGPUSessionOpen open;

    if (!p->vm || !(p->features & VGPU_FEATURE_SESSIONS))
        return peer_violation(p, "SESSION_OPEN of a device that has not offered sessions");
    if (!connection_take_fds(p->connection, fds, VGPU_RING_N_FDS))
        return peer_violation(p, "SESSION_OPEN without its descriptors");

    memcpy(&open, payload, sizeof(open));
    if (!ring_can_have_session(open.ring)) {
        for (unsigned i = 0; i < VGPU_RING_N_FDS; i++)
            closer_close(fds[i]);
        return peer_violation(p, "SESSION_OPEN of a ring that has none");
    }
    return sessions_open(p->peers->sessions, p->vm, p->connection, p->process, fds, &open,
                         h->request_id, &p->session[open.ring]) == SESSIONS_VIOLATION
               ? peer_violation(p, "SESSION_OPEN while there is a session")
               : MESSAGE_OK;
}

static int peer_on_session_close(Peer *p, const VGPUSocketHeader *h, const char *payload)
{
    VGPUSessionRing close_ring;

    memcpy(&close_ring, payload, sizeof(close_ring));
    if (!p->vm || !(p->features & VGPU_FEATURE_SESSIONS))
        return peer_violation(p, "SESSION_CLOSE of a device that has not offered sessions");
    if (!ring_can_have_session(close_ring.ring))
        return peer_violation(p, "SESSION_CLOSE of a ring that has none");

    sessions_close(p->vm, p->connection, close_ring.ring, h->request_id,
                   p->session[close_ring.ring]);
    return MESSAGE_OK;
}

static int peer_on_session_list(Peer *p, const VGPUSocketHeader *h, const char *payload)
{
    VGPUSessionList list;

    memcpy(&list, payload, sizeof(list));
    if (!p->vm || !(p->features & VGPU_FEATURE_LIST))
        return peer_violation(p, "SESSION_LIST of a peer that has not offered to ask");

    session_roll_answer(p->peers->sessions, p->vm, p->connection, h->request_id, list.after);
    return MESSAGE_OK;
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
    case VGPU_MSG_SESSION_OPEN:
        return peer_on_session_open(p, h, payload);
    case VGPU_MSG_SESSION_CLOSE:
        return peer_on_session_close(p, h, payload);
    case VGPU_MSG_SESSION_LIST:
        return peer_on_session_list(p, h, payload);
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

Peer *peer_free(Peer *p)
{
    if (!p)
        return NULL;

    identity_check_free(p->check);
    ring_source_free(p->ring);
    for (unsigned i = 0; i < VGPU_RINGS_MAX; i++)
        session_abandon(p->session[i]);
    message_source_end(&p->messages);
    peer_set_silent(p, false);
    peer_set_stranger(p, false);
    p->process->n_connections--;
    peer_close_process(p);
    if (p->vm && !p->vm->registered)
        log_limit_close(&p->vm->client.log_limit);
    if (p->member.vm)
        vm_leave(&p->member);
    else if (p->vm)
        vm_registry_detach(p->peers->vms, p->vm);
    origin_unref(p->process);
    TAILQ_REMOVE(&p->peers->list, p, link);
    connection_free(p->connection);
    free(p);
    return NULL;
}

/* Ends the one that has been silent longest of a process or a user, or of all. Returns false when
 * that is @newest. A device says HELLO at once, so its turn to go does not come. */
static bool peers_displace(Peers *peers, const Origin *origin, const Peer *newest,
                           const char *reason)
{
    bool is_newest;
    Peer *p;

    TAILQ_FOREACH(p, &peers->silent, silent_link)
    {
        if (!origin || p->process == origin || p->process->user == origin)
            break;
    }
    assert(p);
    is_newest = p == newest;
    (void) peer_violation(p, reason);
    peer_free(p);
    return !is_newest;
}

static void peers_keep_limits(Peers *peers, Peer *newest)
{
    const Config *config = peers->config;
    const Origin *process = newest->process, *user = process->user;
    bool is_there = true;

    if (process->n_connections > config->max_connections_per_process)
        is_there = peers_displace(peers, process, newest,
                                  "its process has more connections than ConnectionsPerProcess=");
    if (is_there && user->n_connections > config->max_connections_per_user)
        is_there = peers_displace(peers, user, newest,
                                  "its user has more connections than ConnectionsPerUser=");
    if (is_there && peers->connections.n > peers->n_max)
        (void) peers_displace(peers, NULL, newest,
                              "there are more connections than MaxConnections=");
}

int peers_add(Peers *peers, int fd)
{
    Peer *p = calloc(1, sizeof(*p));
    int r;

    if (!p) {
        closer_close(fd);
        return -ENOMEM;
    }

    r = connection_new(&peers->connections, fd, &peer_connection_handler, p, &p->connection);
    if (r >= 0)
        r = origin_get(&peers->origins, connection_peer(p->connection), &p->process);
    if (r < 0) {
        connection_free(p->connection);
        free(p);
        return r;
    }

    p->peers = peers;
    p->since_usec = now_usec();
    p->pidfd = -1;
    message_source_init(&p->messages, peers->pools);
    TAILQ_INSERT_TAIL(&peers->list, p, link);
    p->process->n_connections++;
    peer_set_stranger(p, true);
    peer_set_silent(p, true);
    peers_keep_limits(peers, p);
    return 0;
}

unsigned peers_count(const Peers *peers)
{
    return peers->connections.n;
}

static int peers_on_deadline(sd_event_source *source, uint64_t usec, void *userdata)
{
    Peers *peers = userdata;
    uint64_t now = now_usec();
    Peer *p;

    (void) source, (void) usec;

    while ((p = TAILQ_FIRST(&peers->silent)) &&
           now - p->since_usec >= peers->config->hello_timeout_usec) {
        (void) peer_violation(p, "it has not said who it is within HelloTimeoutSec=");
        peer_free(p);
    }
    peers_set_deadline(peers);
    return 0;
}

int peers_init(Peers *peers, sd_event *event, Pools *pools, VMRegistry *vms, RingSources *rings,
               Sessions *sessions, VMQuarantine *quarantine, const Config *config)
{
    int r;

    peers->pools = pools;
    peers->vms = vms;
    peers->rings = rings;
    peers->sessions = sessions;
    peers->quarantine = quarantine;
    peers->config = config;
    TAILQ_INIT(&peers->list);
    TAILQ_INIT(&peers->silent);
    origins_init(&peers->origins);
    identity_init(&peers->identity, event);
    r = connections_init(&peers->connections, event);
    if (r >= 0)
        r = sd_event_add_time(event, &peers->deadline, CLOCK_MONOTONIC, 0, DEADLINE_ACCURACY_USEC,
                              peers_on_deadline, peers);
    return r < 0 ? r : sd_event_source_set_enabled(peers->deadline, SD_EVENT_OFF);
}

void peers_reload(Peers *peers)
{
    peers_set_deadline(peers);
}

void peers_forget(Peers *peers)
{
    origins_clear(&peers->origins);
}

void peers_clear(Peers *peers)
{
    while (!TAILQ_EMPTY(&peers->list))
        peer_free(TAILQ_FIRST(&peers->list));
    connections_clear(&peers->connections);
    identity_clear(&peers->identity);
    peers->deadline = sd_event_source_disable_unref(peers->deadline);
}
