/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* All CUDA sessions of a mediator: who may open one, which executor it gets, and the end of each.
 */
#ifndef VGPU_VM_SESSIONS_H
#define VGPU_VM_SESSIONS_H

#include <stdint.h>
#include <sys/queue.h>
#include <systemd/sd-event.h>

#include "config.h"
#include "pools.h"
#include "ring-source.h"
#include "session-spares.h"
#include "session-turns.h"
#include "vgpu-ring.h"
#include "vm-quarantine.h"
#include "vm-session.h"

/* Announces sessions and their changes to the world. Each function may be NULL. One that has lost
 * its VM is not there any more. */
typedef struct SessionsObserver {
    void (*announce)(Session *s, bool added, void *userdata);
    void (*changed)(Session *s, void *userdata); /* its state */
    void *userdata;
} SessionsObserver;

typedef struct Sessions {
    sd_event *event;
    const Pools *pools;
    RingSources *rings; /* whose windows and signaller are used */
    VMQuarantine *quarantine;
    const Config *config;
    const char *executor_path;
    TAILQ_HEAD(, Session) list;
    unsigned n;
    unsigned n_max; /* sessions that there may be */
    uint32_t last_id;
    SessionSpares spares;
    SessionTurns turns;
    UnitKiller killer;
    SessionsObserver observer;
} Sessions;

/*
 * sessions_init() - without sessions
 * @pools, @rings, @quarantine, @config: outlive them
 * @executor_path: of vgpu-executor; likewise
 *
 * Returns 0 or a negative errno. @all is zero before.
 */
int sessions_init(Sessions *all, sd_event *event, const Pools *pools, RingSources *rings,
                  VMQuarantine *quarantine, const Config *config, const char *executor_path);

/* sessions_reload() - the configuration, or n_max, is another now */
void sessions_reload(Sessions *all);

/* sessions_stop() - the service ends: all are to end, before their connections do */
void sessions_stop(Sessions *all);

/* sessions_clear() - kill all executors. The connections are gone. All zero is fine */
void sessions_clear(Sessions *all);

/* Outcome of sessions_open() beside 0. */
enum {
    SESSIONS_VIOLATION = 1, /* the device broke the protocol */
};

/*
 * sessions_open() - SESSION_OPEN of a VM that is connected
 * @connection: by which it came
 * @process: at its other end
 * @fds: VGPU_RING_N_FDS of them, taken over in any case
 * @request_id: for SESSION_READY
 * @slot: the VM's session on that ring; NULL while there is none. Set to NULL when it is over
 *
 * Answers SESSION_READY, now or later, also when the session cannot be. Returns 0, or
 * SESSIONS_VIOLATION when there is one.
 */
int sessions_open(Sessions *all, VM *vm, Connection *connection, Origin *process, const int *fds,
                  const VGPUSessionOpen *open, uint32_t request_id, Session **slot);

/* sessions_close() - SESSION_CLOSE; answers SESSION_CLOSED, now or later, also where there is no
 * session (NULL) */
void sessions_close(VM *vm, Connection *connection, uint32_t ring, uint32_t request_id, Session *s);

/* sessions_update_gates() - the pool is paused, or goes on */
void sessions_update_gates(Sessions *all, const Pool *p);

/* sessions_find() - by number; NULL when there is none whose VM is there */
Session *sessions_find(const Sessions *all, uint32_t id);

/* sessions_next() - the one after @s whose VM is there, the first one for NULL; NULL after the
 * last */
Session *sessions_next(const Sessions *all, const Session *s);

#endif
