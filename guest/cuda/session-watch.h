/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the sessions of this machine use, for a program that asks again and again. Asking starts no
 * executor: a guest looks into its window, and a process without a device asks the mediator.
 */
#ifndef VGPU_GUEST_SESSION_WATCH_H
#define VGPU_GUEST_SESSION_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "vgpu.h"

/* More than a host allows one machine */
#define SESSION_WATCH_MAX 256u

typedef struct session_use {
    uint32_t id;          /* of the session: not the same for another process */
    uint32_t pid;         /* as the process said */
    uint32_t n_contexts;  /* that it has */
    uint64_t memory;      /* bytes of device memory */
    uint64_t device_usec; /* how long the device has had work of it */
} session_use;

typedef struct session_watch session_watch;

/* session_watch_new() - by the name of a session, a PCI address or a socket, neither of which is
 * touched. @paths: NULL. Returns NULL without memory. */
session_watch *session_watch_new(const vgpu_paths *paths, const char *name);

/* session_watch_free() - takes NULL. Returns NULL */
session_watch *session_watch_free(session_watch *w);

/* session_watch_hang_up() - give back what it keeps from one look to the next; in a child of the
 * process, before its first look, whatever the parent's threads did */
void session_watch_hang_up(session_watch *w);

/*
 * session_watch_look() - what is used now
 * @ret: room for SESSION_WATCH_MAX
 *
 * For one thread at a time. Returns how many sessions there are, or a negative errno: -EOPNOTSUPP
 * when the host does not tell it, others as vgpu_open() or connect(2).
 */
int session_watch_look(session_watch *w, session_use ret[static SESSION_WATCH_MAX]);

#endif
