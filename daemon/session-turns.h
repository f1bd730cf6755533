/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The turns of sessions (turns.h) on each device of each pool with Sharing=turns: who may give work
 * goes into their control pages, and what these say goes to the turns.
 *
 * A pool's own executor takes none.
 */
#ifndef VGPU_SESSION_TURNS_H
#define VGPU_SESSION_TURNS_H

#include <sys/queue.h>
#include <systemd/sd-event.h>

#include "log-limit.h"
#include "session-parts.h"
#include "turns.h"

/* What the sessions of a VM are together on a device */
typedef struct TurnsVM {
    TurnClient client; /* first */
    TAILQ_ENTRY(TurnsVM) link;
    const VM *vm; /* NULL when it is gone */
    unsigned n;   /* sessions */
} TurnsVM;

/* Pools that name the same device do not know of each other. */
typedef struct TurnsDevice {
    TAILQ_ENTRY(TurnsDevice) link;
    Turns turns;
    Pool *pool;
    char name[SESSION_DEVICE_MAX];
    TAILQ_HEAD(, TurnsVM) vms;
    sd_event_source *timer;
    LogLimit log; /* of patience that ran out */
} TurnsDevice;

struct SessionTurns {
    sd_event *event;
    TAILQ_HEAD(, TurnsDevice) devices;
};

/* session_turns_init() - without devices. @event: outlives it */
void session_turns_init(SessionTurns *all, sd_event *event);

/* session_turns_clear() - no session is in it any more */
void session_turns_clear(SessionTurns *all);

/*
 * session_turns_enter() - a session of a pool that has turns takes part from now on
 * @s: with its VM, pool, device, control page and gate, which is closed
 *
 * Returns 0 or a negative errno.
 */
int session_turns_enter(SessionTurns *all, Session *s);

/* session_turns_leave() - its executor is gone. Does nothing for one that takes no part */
void session_turns_leave(Session *s);

/* session_turns_see() - its control page has changed */
void session_turns_see(Session *s);

/* session_turns_update() - its VM is paused, goes on, has other settings or is gone (NULL); or the
 * settings of its pool are others */
void session_turns_update(Session *s);

/* session_turns_configure() - the pool has another configuration, is paused, or goes on */
void session_turns_configure(SessionTurns *all, const Pool *p);

#endif
