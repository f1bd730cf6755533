/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One peer on the socket: a device in a QEMU, or whatever else connected. This file alone
 * checks what a peer says: who it is, and what its messages mean. A peer becomes a VM's with
 * its HELLO, or, if it is a v1 device, with its first REQUEST. From then on it owns the VM's
 * ring, and is told of its sessions.
 */
#ifndef VGPU_PEER_H
#define VGPU_PEER_H

#include "peer-parts.h"

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

/* ---- For the files of a peer ---- */

/* peer_violation() - say once why it is closed. Returns MESSAGE_CLOSE */
int peer_violation(Peer *p, const char *reason);

/* peer_refuse() - the same after an answer to the message @request_id, that it is quarantined */
int peer_refuse(Peer *p, uint32_t request_id, const char *reason);

/* peer_set_silent() - has it yet to say who it is? */
void peer_set_silent(Peer *p, bool silent);

/* peer_set_stranger() - does it count as its user's? */
void peer_set_stranger(Peer *p, bool stranger);

/* peer_welcome() - it is this VM's device from now on, and is told so */
void peer_welcome(Peer *p, VM *vm, uint32_t request_id);

/* peer_admit_unregistered() - a VM for a peer that nobody registered. The mediator believes what it
 * says of itself, but lets it in only where the administrator allows that. Returns MESSAGE_OK,
 * MESSAGE_CLOSE or a negative errno */
int peer_admit_unregistered(Peer *p, const VGPUSocketHeader *h, VM **ret);

/* peer_free() - hang up. NULL is fine; returns NULL */
Peer *peer_free(Peer *p);

#endif
