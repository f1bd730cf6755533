/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One peer on the socket: a device in a QEMU, or whatever else connected. This file alone
 * checks what a peer says: who it is, and what its messages mean. A peer becomes a VM's with
 * its HELLO, or, if it is a v1 device, with its first REQUEST. From then on it owns the VM's
 * ring.
 */
#ifndef VGPU_PEER_H
#define VGPU_PEER_H

#include <stdbool.h>
#include <sys/queue.h>
#include <systemd/sd-bus.h>

#include "config.h"
#include "connection.h"
#include "ring-source.h"
#include "vm-registry.h"

typedef struct Peer Peer;

/* All peers of a mediator. */
typedef struct Peers {
    Connections connections;
    TAILQ_HEAD(, Peer) list;
    Pools *pools;
    VMRegistry *vms;
    RingSources *rings;
    const Config *config;
    sd_bus *bus;       /* to ask systemd-machined; NULL while there is none */
    bool can_register; /* is there a way to register VMs? */
} Peers;

/*
 * peers_init() - without peers
 * @pools, @vms, @rings, @config: outlive them
 *
 * Returns 0 or a negative errno.
 */
int peers_init(Peers *peers, sd_event *event, Pools *pools, VMRegistry *vms, RingSources *rings,
               const Config *config);

/*
 * peers_add() - take over an accepted socket
 * @fd: non-blocking; owned from here on, also on failure
 *
 * The peer ends by itself. Returns 0 or a negative errno.
 */
int peers_add(Peers *peers, int fd);

/* peers_clear() - hang up on every one */
void peers_clear(Peers *peers);

/* peers_count() - how many there are */
unsigned peers_count(const Peers *peers);

#endif
