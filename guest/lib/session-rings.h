/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The rings of a device beside ring 0: each is for the CUDA session of one process. */
#ifndef VGPU_GUEST_SESSION_RINGS_H
#define VGPU_GUEST_SESSION_RINGS_H

#include "deadline.h"
#include "device.h"

/* session_rings_count() - how many rings the device has, with ring 0; 0 when it knows no sessions.
 * At most VGPU_RINGS_MAX. */
uint32_t session_rings_count(vgpu_device *dev);

/* session_ring_turn_off() - turn ring @ring off, whose lock this handle has. Returns 0, -ETIMEDOUT,
 * or -ENODEV when the device no longer answers. */
int session_ring_turn_off(vgpu_device *dev, uint32_t ring, deadline until);

/*
 * session_rings_turn_off_dead() - turn off the rings of processes that have ended
 *
 * The lock of a ring ends with its process, and so does its hold on the window's memory; but the
 * host may use both until the ring is off. Whoever takes over memory calls this before it uses it.
 *
 * Returns how many were on, or a negative errno as session_ring_turn_off().
 */
int session_rings_turn_off_dead(vgpu_device *dev, deadline until);

#endif
