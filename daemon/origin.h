/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where connections come from: a process, and the user whose process it is, by the kernel. Each
 * of the two is held to its own limits, so that the others do not pay for it: how many
 * connections it has, and how many lines in the log it causes.
 *
 * A process that has gone, or has no connection any more, is remembered for a while. There are no
 * more of those than ORIGINS_IDLE_MAX, whatever connects.
 */
#ifndef VGPU_ORIGIN_H
#define VGPU_ORIGIN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "log-limit.h"

#define ORIGINS_BUCKETS 256u
#define ORIGINS_IDLE_MAX 512u

/* Lines in half a minute. A user has room for the lines of some processes, not of all. */
#define ORIGIN_PROCESS_LINES 10u
#define ORIGIN_USER_LINES 100u

typedef struct Origin Origin;
typedef struct Origins Origins;

typedef TAILQ_HEAD(OriginList, Origin) OriginList;

struct Origins {
    OriginList buckets[ORIGINS_BUCKETS];
    OriginList idle; /* nobody has a reference; the longest idle one is first */
    unsigned n_idle;
};

struct Origin {
    TAILQ_ENTRY(Origin) link;
    TAILQ_ENTRY(Origin) idle_link;
    Origins *all;
    Origin *user; /* of a process; NULL: it is a user itself */
    uid_t uid;
    pid_t pid; /* 0: of a process that the kernel does not show here */
    unsigned n_references;
    unsigned n_connections; /* of a process, all; of a user, those that are no registered VM's */
    LogLimit log;
};

void origins_init(Origins *all);

/* origins_clear() - nobody has a reference any more */
void origins_clear(Origins *all);

/*
 * origin_get() - a process that connects
 * @ret: a reference. It has one to its user
 *
 * Returns 0 or -ENOMEM.
 */
int origin_get(Origins *all, const struct ucred *process, Origin **ret);

Origin *origin_ref(Origin *o);

/* origin_unref() - NULL is fine */
Origin *origin_unref(Origin *o);

/* origin_may_log() - is there room for one more line that this process causes? Says once in each
 * half minute that lines are left out. */
bool origin_may_log(Origin *process);

#endif
