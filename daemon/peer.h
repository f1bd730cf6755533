/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One peer on the socket: a device in a QEMU, or whatever else connected. This file alone
 * checks what a peer says: who it is, and what its messages mean. A peer becomes a VM's with
 * its HELLO, or, if it is a v1 device, with its first REQUEST. From then on it owns the VM's
 * ring, and is told of its sessions.
 */
#ifndef VGPU_PEER_H
#define VGPU_PEER_H

#include <stdbool.h>
#include <sys/queue.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#include "config.h"
#include "connection.h"
#include "identity.h"
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

/*
 * peers_init() - without peers
 * @pools, @vms, @rings, @sessions, @quarantine, @config: outlive them
 *
 * Returns 0 or a negative errno.
 */
int peers_init(Peers *peers, sd_event *event, Pools *pools, VMRegistry *vms, RingSources *rings,
               Sessions *sessions, VMQuarantine *quarantine, const Config *config);

/*
 * peers_add() - take over an accepted socket
 * @fd: non-blocking; owned from here on, also on failure
 *
 * The peer ends by itself. Where there are too many, of all or of its process or user, the one of
 * them that has been silent longest has to go, or this one. Returns 0 or a negative errno.
 */
int peers_add(Peers *peers, int fd);

/* peers_reload() - the configuration, or n_max, is another now */
void peers_reload(Peers *peers);

/* peers_clear() - hang up on every one. What runs for them may still have their windows */
void peers_clear(Peers *peers);

/* peers_forget() - after that, when there are no windows any more: forget where they came from */
void peers_forget(Peers *peers);

/* peers_count() - how many there are */
unsigned peers_count(const Peers *peers);

#endif
