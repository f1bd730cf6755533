/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A peer that may be a process of a unit or a machine that is registered as a VM. */
#ifndef VGPU_PEER_PLACE_H
#define VGPU_PEER_PLACE_H

#include "peer-parts.h"

/*
 * peer_find_place() - the HELLO of a process that names no machine
 *
 * Asks where it is, and makes it a process of the VM that is registered for that; else it is a VM
 * that nobody registered. Returns as a connection's message handler.
 */
int peer_find_place(Peer *p, const VGPUSocketHeader *h);

/* peer_close_process() - nobody asks any more where it is */
void peer_close_process(Peer *p);

#endif
