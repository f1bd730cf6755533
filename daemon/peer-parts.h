/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a peer is made of; peer.h says what one is. */
#ifndef VGPU_PEER_PARTS_H
#define VGPU_PEER_PARTS_H

#include <stdbool.h>
#include <sys/queue.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#include "config.h"
#include "connection.h"
#include "identity.h"
#include "message-source.h"
#include "origin.h"
#include "ring-source.h"
#include "vm-quarantine.h"
#include "vm-registry.h"
#include "vm-sessions.h"

typedef struct Peer Peer;

/* All peers of a mediator. */
typedef struct Peers {
    Connections connections;
    TAILQ_HEAD(, Peer) list;
    TAILQ_HEAD(, Peer) silent; /* have not said who they are; the longest silent one is first */
    sd_event_source *deadline; /* of the first of those */
    Origins origins;
    Identity identity;
    Pools *pools;
    VMRegistry *vms;
    RingSources *rings;
    Sessions *sessions;
    VMQuarantine *quarantine;
    const Config *config;
    unsigned n_max;    /* connections that there may be */
    bool can_register; /* is there a way to register VMs? */
} Peers;

struct Peer {
    TAILQ_ENTRY(Peer) link;
    TAILQ_ENTRY(Peer) silent_link;
    Peers *peers;
    Connection *connection;
    Origin *process;
    uint64_t since_usec; /* when it connected */
    bool is_silent;      /* until the first HELLO or REQUEST */
    bool is_stranger;    /* until it is a registered VM's; counts as its user's */
    bool has_complained;
    VM *vm;                 /* NULL until the first REQUEST, or the answer to HELLO */
    IdentityCheck *check;   /* a HELLO waits for this */
    uint8_t claimed[16];    /* the UUID of the VM that its HELLO claims, or zeros */
    uint32_t hello_id;      /* its request_id */
    VGPUSocketHeader hello; /* of one that may be of a place: while that is asked */
    VMMember member;        /* of a VM that is a place; its vm is NULL otherwise */
    int pidfd;              /* of the process that connected, while it is asked where it is; -1 */
    uint32_t features;      /* and what it offers */
    MessageSource messages;
    RingSource *ring;
    Session *session[VGPU_RINGS_MAX]; /* by its ring; that of requests has none */
};

/* What the mediator can do of what a device offers. */
#define FEATURES (VGPU_FEATURE_RING | VGPU_FEATURE_SESSIONS | VGPU_FEATURE_LIST)

/* And of what a process offers that has no device */
#define PLACE_FEATURES (VGPU_FEATURE_SESSIONS | VGPU_FEATURE_LIST)

#endif
