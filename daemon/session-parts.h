/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a session is made of; vm-session.h says what one is. */
#ifndef VGPU_SESSION_PARTS_H
#define VGPU_SESSION_PARTS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <systemd/sd-event.h>

#include "eventfd-signaller.h"
#include "pool.h"
#include "session-client.h"
#include "session-figures.h"
#include "turns.h"
#include "vm.h"
#include "window.h"

typedef struct Session Session;
typedef struct SessionTurns SessionTurns;

typedef enum SessionState {
    SESSION_STARTING, /* until the executor takes operations */
    SESSION_OPEN,
    SESSION_ENDING, /* until the executor is gone */
} SessionState;

typedef enum SessionReason {
    SESSION_CLOSED,        /* by the guest */
    SESSION_HUNG_UP,       /* the device is gone */
    SESSION_QUARANTINED,   /* the VM is */
    SESSION_ENDED_ON_CALL, /* by an administrator */
    SESSION_SERVICE_ENDS,
    SESSION_REFUSED,        /* the executor cannot serve it */
    SESSION_START_LATE,     /* the executor was too slow */
    SESSION_VIOLATION,      /* the guest wrote what is no ring */
    SESSION_KERNEL_TIMEOUT, /* a kernel ran too long */
    SESSION_WINDOW_LOST,    /* the VM took memory of its window away */
    SESSION_FAILED,         /* the executor says so */
    SESSION_DIED,           /* the executor has, or made no sense and was killed */
    SESSION_N_REASONS,
} SessionReason;

/* The owner of sessions. All of it is called from the event loop. */
typedef struct SessionOps {
    /* Its state is another one. */
    void (*changed)(Session *s, void *userdata);
    /* Its VM is about to go: it has none from now on. */
    void (*lost_vm)(Session *s, void *userdata);
    /* It ended for something that the guest of @vm is to blame for, and that cost others. */
    void (*fault)(VM *vm, void *userdata);
    /* A fresh executor, instead of one that ended before it began. Returns 0 or a negative errno.
     */
    int (*start)(SessionProcess **ret, void *userdata);
    /* The executor is gone, and all is said: the owner frees it. */
    void (*over)(Session *s, void *userdata);
} SessionOps;

/* Characters of a command as it is shown: each of its bytes may take four. */
#define SESSION_COMMAND_SIZE (4 * sizeof(((SessionStarted *) NULL)->command) + 1)

/* What START took, while another executor may need it; descriptors: -1: nothing is kept. */
typedef struct SessionKept {
    uint64_t offset;
    int doorbell, interrupt, control;
} SessionKept;

struct Session {
    TAILQ_ENTRY(Session) link; /* the owner's */
    void *observed;            /* likewise */
    const SessionOps *ops;
    void *userdata;

    uint32_t id;
    uint32_t ring;
    VM *vm;                 /* NULL when it is gone */
    Connection *connection; /* while somebody waits for answers */
    Pool *pool;
    char device[SESSION_DEVICE_MAX];
    SessionState state;
    SessionReason reason;               /* while ENDING */
    uint32_t guest_pid;                 /* a claim */
    char command[SESSION_COMMAND_SIZE]; /* a claim; made printable */
    uint64_t start_usec;                /* CLOCK_REALTIME */
    uint64_t began_usec;                /* CLOCK_MONOTONIC */

    SessionProcess *process;
    Window *window;
    SessionKept kept;
    SessionControl *control;
    int gate;
    EventfdSignaller *signaller;
    SessionTurns *turns;              /* of all sessions */
    Turn turn;                        /* while it takes part */
    struct TurnsDevice *turns_device; /* NULL: it does not, and gives work when it likes */
    MemoryAccount *account;           /* a reference; NULL at first */
    uint32_t account_slot;
    uint64_t memory_max;    /* bytes: the most that it may ever have had */
    SessionFigures figures; /* as they were last */

    VMWatcher watcher;
    VMUser user;
    Session **owner;   /* the pointer that leads here while somebody waits for answers */
    uint32_t open_id;  /* of SESSION_OPEN */
    uint32_t close_id; /* of the last SESSION_CLOSE */
    uint32_t n_closes; /* that are not answered */
    bool lost_vm;
    bool was_open;
    bool is_logged;       /* its end */
    uint32_t error;       /* what the guest is told: VGPU_ERROR_* */
    uint32_t cuda_result; /* and with CUDA_ERROR */
    uint32_t sticky;      /* as ENDED said */
    bool timed_out;       /* likewise */
    int executor_error;   /* with REFUSED */
};

/* What a new session is made of. */
typedef struct SessionOptions {
    EventfdSignaller *signaller; /* NULL: the host has none; outlives the session */
    SessionTurns *turns;         /* likewise */
    uint32_t id;
    uint32_t ring;
    uint32_t request_id;
    uint64_t offset; /* of its area in the window; checked */
    const char *device;
    Connection *connection;  /* answers go there; there as long as the owner's pointer is */
    int doorbell, interrupt; /* eventfds; stay the caller's */
    bool is_spare; /* its process is one that may have ended: then it gets another, once */
} SessionOptions;

#endif
