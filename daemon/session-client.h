/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The executor process of a CUDA session, as the mediator sees it: started, told what to do,
 * ended, and gone. session-protocol.h is the language.
 *
 * It is a unit of systemd where its socket is there, and a child of this process otherwise. In both
 * cases it is over when on_gone() is called, once, and not before the process has ended.
 */
#ifndef VGPU_SESSION_CLIENT_H
#define VGPU_SESSION_CLIENT_H

#include <stdbool.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#include "session-protocol.h"
#include "unit-killer.h"

typedef struct SessionProcess SessionProcess;

typedef struct SessionProcessOptions {
    const char *path;   /* of vgpu-executor */
    const char *socket; /* of its unit; NULL or "": there is none */
    UnitKiller *killer; /* of units whose processes this one may not signal; NULL: nobody is */
} SessionProcessOptions;

/* How long it may take to answer START, and to end after session_process_end(). */
#define SESSION_START_USEC (UINT64_C(30) * 1000000)
#define SESSION_END_USEC (UINT64_C(5) * 1000000)

/* Why it is gone. */
typedef enum SessionProcessFate {
    SESSION_PROCESS_ENDED,      /* when it was told to, or after it said so (ENDED) */
    SESSION_PROCESS_DIED,       /* by itself, without a word */
    SESSION_PROCESS_UNABLE,     /* the same, before it answered START */
    SESSION_PROCESS_START_LATE, /* killed: it did not answer START in time */
    SESSION_PROCESS_END_LATE,   /* killed: it did not end in time */
    SESSION_PROCESS_NO_SENSE,   /* killed: it broke the protocol */
} SessionProcessFate;

/* Called from the event loop. The messages have the right size, and come when they may. What they
 * say is the executor's affair. */
typedef struct SessionProcessHandler {
    void (*on_started)(void *userdata, const SessionStarted *message);
    void (*on_ended)(void *userdata, const SessionEnded *message);
    /* CHANGED. Returns whether it makes sense. */
    bool (*on_changed)(void *userdata);
    /* SHARE, TAKE or UNSHARE. @fd: what came with SHARE of SESSION_SHARE_PHYSICAL, to be taken over
     * with TAKE_FD(), or -1: then this process could open no more. SHARE and TAKE are to be
     * answered with session_process_answer(). */
    void (*on_share)(void *userdata, const SessionShareMessage *message, int *fd);
    /* @text: how, for a log line: "exited with status 1". The handler frees the process. */
    void (*on_gone)(void *userdata, SessionProcessFate fate, const char *text);
} SessionProcessHandler;

/*
 * session_process_new() - start one
 * @handler, @userdata: as session_process_set_handler()
 *
 * Where nobody listens at the socket, it becomes a child. Returns 0 or a negative errno.
 */
int session_process_new(sd_event *event, const SessionProcessOptions *options,
                        const SessionProcessHandler *handler, void *userdata, SessionProcess **ret);

/* session_process_set_handler() - somebody else owns it from now on; @handler outlives it */
void session_process_set_handler(SessionProcess *p, const SessionProcessHandler *handler,
                                 void *userdata);

/* session_process_warm() - WARM, for @device. Returns 0 or a negative errno */
int session_process_warm(SessionProcess *p, const char *device);

/*
 * session_process_begin() - START; once
 * @fds: in the order of SESSION_FD_*; stay the caller's
 *
 * Returns 0 or a negative errno.
 */
int session_process_begin(SessionProcess *p, const SessionStart *start,
                          const int fds[SESSION_N_FDS]);

/* session_process_answer() - SHARED or TAKEN. @fd: goes along, and stays the caller's; -1: none */
void session_process_answer(SessionProcess *p, const SessionShareMessage *answer, int fd);

/* session_process_end() - close the connection: it is to end, and is killed when it does not. More
 * calls do nothing */
void session_process_end(SessionProcess *p);

/* session_process_is_well() - nobody has ended it, and it has not ended */
bool session_process_is_well(const SessionProcess *p);

/* session_process_pid() - 0: not known */
pid_t session_process_pid(const SessionProcess *p);

/* session_process_free() - kill it, if it is there, and wait for a child. NULL is fine */
SessionProcess *session_process_free(SessionProcess *p);

#endif
