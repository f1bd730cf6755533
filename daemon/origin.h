/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where connections come from: a process, and the user whose process it is, by the kernel. Each
 * of the two is held to its own limits, so that the others do not pay for it: how many
 * connections it has, how many lines in the log it causes, how much memory it leaves behind in
 * windows, and how many of its requests are at fault.
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
#include <sys/stat.h>

#include "fault-limit.h"
#include "log-limit.h"

#define ORIGINS_BUCKETS 256u
#define ORIGINS_IDLE_MAX 512u

/* Lines in half a minute. A user has room for the lines of some processes, not of all. */
#define ORIGIN_PROCESS_LINES 10u
#define ORIGIN_USER_LINES 100u

/* A process may have so many times the memory of one window in windows, those it has handed over
 * before counted too. */
#define ORIGIN_WINDOWS_FACTOR 8u

/* Outcome of origin_take_window() beside 0. */
enum {
    ORIGIN_TOO_MUCH = 1,
};

typedef struct Origin Origin;
typedef struct Origins Origins;

typedef TAILQ_HEAD(OriginList, Origin) OriginList;

struct Origins {
    OriginList buckets[ORIGINS_BUCKETS];
    OriginList idle; /* nobody has a reference; the longest idle one is first */
    unsigned n_idle;
};

/* Memory of a process that is a window, or was one: as often as it is handed over, it is there
 * once. */
typedef struct OriginWindow {
    TAILQ_ENTRY(OriginWindow) link;
    dev_t device;
    ino_t inode;
    unsigned n_open; /* windows that are this memory now */
    uint64_t bytes;  /* its size, or while it is no window, what was allocated of it */
} OriginWindow;

/* How many that are no window now are remembered one by one. */
#define ORIGIN_WINDOWS_MAX 16u

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

    /* Of a process. */
    TAILQ_HEAD(, OriginWindow) windows; /* the one that was let go last is last */
    unsigned n_earlier;                 /* of those that are no window now */
    uint64_t forgotten_bytes;           /* of those that had no place there any more */
    FaultRecord faults;                 /* of its requests for VMs that nobody registered */
    bool quarantined;                   /* by an administrator, as one of those */
    uint64_t quarantined_until_usec;    /* for those: CLOCK_REALTIME; 0: not */
    int pidfd;                          /* while there is something to forget at its end; else -1 */
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

/* origin_watch() - what is known of the process is to be forgotten at its end. Returns false when
 * that has come, and everything is forgotten. */
bool origin_watch(Origin *process);

/* origin_may_log() - is there room for one more line that this process causes? Says once in each
 * half minute that lines are left out. */
bool origin_may_log(Origin *process);

/*
 * origin_take_window() - it hands over a window
 * @st: of the window's memfd
 * @size_max: bytes that one window may have
 * @ret: for origin_return_window()
 *
 * Whoever touches a page of a memfd that is not there yet makes it, and the kernel counts it as
 * his, even when that is not the process whose memfd it is. It stays for as long as that process
 * keeps the memfd. So what one process hands over is limited in all, not only at one time:
 * ORIGIN_TOO_MUCH when it would be more than ORIGIN_WINDOWS_FACTOR times @size_max. The same memfd
 * counts once, handed over ever so often.
 *
 * Returns 0, ORIGIN_TOO_MUCH or -ENOMEM.
 */
int origin_take_window(Origin *process, const struct stat *st, uint64_t size_max,
                       OriginWindow **ret);

/* origin_return_window() - it is not used here any more; @allocated: the bytes that are allocated
 * of it */
void origin_return_window(Origin *process, OriginWindow *window, uint64_t allocated);

#endif
