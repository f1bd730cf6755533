/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A CUDA session of a VM's guest: a ring of its device, and the executor process that serves it.
 * The mediator is on no call's way. It has started the executor, opens and closes its gate, reads
 * what it counts, and ends it.
 *
 * A session is over when its executor is gone, and not before: until then it counts, and nobody is
 * told that the window is free. Its VM may go earlier.
 */
#ifndef VGPU_VM_SESSION_H
#define VGPU_VM_SESSION_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <systemd/sd-event.h>

#include "eventfd-signaller.h"
#include "pool.h"
#include "session-client.h"
#include "session-figures.h"
#include "vm.h"
#include "window.h"

typedef struct Session Session;

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
    /* The executor is gone, and all is said: the owner frees it. */
    void (*over)(Session *s, void *userdata);
} SessionOps;

/* Characters of a command as it is shown: each of its bytes may take four. */
#define SESSION_COMMAND_SIZE (4 * sizeof(((SessionStarted *) NULL)->command) + 1)

struct Session {
    TAILQ_ENTRY(Session) link; /* the owner's */
    void *observed;            /* likewise */
    const SessionOps *ops;
    void *userdata;

    uint32_t id;
    uint32_t ring;
    VM *vm; /* NULL when it is gone */
    Pool *pool;
    char device[SESSION_DEVICE_MAX];
    SessionState state;
    SessionReason reason;               /* while ENDING */
    uint32_t guest_pid;                 /* a claim */
    char command[SESSION_COMMAND_SIZE]; /* a claim; made printable */
    uint64_t start_usec;                /* CLOCK_REALTIME */
    uint64_t began_usec;                /* CLOCK_MONOTONIC */

    SessionProcess *process;
    pid_t executor; /* 0: not known, or gone */
    Window *window;
    SessionControl *control;
    int gate;
    EventfdSignaller *signaller;
    MemoryAccount *account; /* a reference; NULL at first */
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
    uint32_t id;
    uint32_t ring;
    uint32_t request_id;
    uint64_t offset; /* of its area in the window; checked */
    const char *device;
    int doorbell, interrupt; /* eventfds; stay the caller's */
} SessionOptions;

/*
 * session_new() - hand a ring to an executor
 * @vm: connected
 * @process: taken over on 0
 * @window: a reference, taken over on 0
 * @owner: where the VM's device has it; set now, and to NULL when the session is over
 *
 * Answers SESSION_READY when the executor has. Returns 0 or a negative errno.
 */
int session_new(const SessionOptions *options, VM *vm, Pool *pool, SessionProcess *process,
                Window *window, const SessionOps *ops, void *userdata, Session **owner,
                Session **ret);

/* session_end() - the executor is to end. Does nothing for one that is ending */
void session_end(Session *s, SessionReason reason);

/* session_close() - SESSION_CLOSE; answers SESSION_CLOSED when the executor is gone */
void session_close(Session *s, uint32_t request_id);

/* session_abandon() - the device is gone: nobody is answered any more. NULL is fine */
void session_abandon(Session *s);

/* session_update_gate() - the VM or the pool is paused, or goes on */
void session_update_gate(Session *s);

/* session_figures() - as they are now */
const SessionFigures *session_figures(Session *s);

/* session_state_to_string() - "starting", "open" or "ending"; static */
const char *session_state_to_string(SessionState state);

/* session_free() - kill its executor; nobody is told but the journal. NULL is fine */
Session *session_free(Session *s);

#endif
