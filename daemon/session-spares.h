/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Executors that are started before a session wants one (WarmSpares= of a pool): they have the
 * device's context when it comes. One that is taken, or ends, is replaced.
 */
#ifndef VGPU_SESSION_SPARES_H
#define VGPU_SESSION_SPARES_H

#include <sys/queue.h>
#include <systemd/sd-event.h>

#include "pools.h"
#include "session-client.h"

typedef struct SessionSpare SessionSpare;

typedef struct SessionSpares {
    sd_event *event;
    const Pools *pools;
    SessionProcessOptions options;
    TAILQ_HEAD(, SessionSpare) list;
    sd_event_source *timer; /* when to look again whether there are enough */
    uint64_t pause_usec;    /* after one that ended by itself */
} SessionSpares;

/*
 * session_spares_init() - without any
 * @pools: outlive them
 *
 * Returns 0 or a negative errno. @spares is zero before.
 */
int session_spares_init(SessionSpares *spares, sd_event *event, const Pools *pools);

/* session_spares_configure() - the pools, or how executors are started, may have changed.
 * @options: its strings outlive @spares */
void session_spares_configure(SessionSpares *spares, const SessionProcessOptions *options);

/* session_spares_take() - one of this pool and device, which is the caller's from now on; NULL
 * when there is none */
SessionProcess *session_spares_take(SessionSpares *spares, const Pool *pool, const char *device);

/* session_spares_clear() - end them all. All zero is fine */
void session_spares_clear(SessionSpares *spares);

#endif
