/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A process that turns off the rings of processes that have died, in whatever way, so that their
 * executors end. A ring has a lock that ends with its process; the keeper looks at the locks, and
 * when one has become free, at the ring.
 *
 * There is one for each device, by a lock of its own. The first process with a session starts it;
 * it ends some time after the last one. It is no child of that process, and shares no terminal with
 * it.
 */
#ifndef VGPU_GUEST_RING_KEEPER_H
#define VGPU_GUEST_RING_KEEPER_H

#include "device.h"

/*
 * ring_keeper_start() - start a keeper, unless the device has one
 * @dev: a handle that has the lock of a ring
 * @program: a vgpu command; NULL: the installed one. Where it is not to be had, a copy of this
 * process does it.
 *
 * Returns 0 or a negative errno.
 */
int ring_keeper_start(vgpu_device *dev, const char *program);

/* ring_keeper_run() - be the keeper of @dev, until no process has had a session for some time, or
 * another process is. Calls nothing but async-signal-safe functions. */
void ring_keeper_run(vgpu_device *dev);

/* The first operand by which the vgpu command becomes the keeper; the second is the PCI address. */
#define RING_KEEPER_COMMAND "keep-rings"

#endif
