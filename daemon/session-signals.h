/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the bus hears of CUDA sessions, and when. Guests make these come and go: some at once are
 * announced as they come, and then one at a time. One that ends before its turn is never
 * mentioned.
 */
#ifndef VGPU_SESSION_SIGNALS_H
#define VGPU_SESSION_SIGNALS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <systemd/sd-bus.h>

#include "bus-reply.h"
#include "vm-sessions.h"

typedef struct SessionSignal SessionSignal;

/* Bytes of the path of a session's object. */
#define SESSION_PATH_SIZE 64

typedef struct SessionSignals {
    sd_bus *bus; /* the owner's; NULL while there is none that is ready */
    BusReplies *replies;
    TAILQ_HEAD(, SessionSignal) list;    /* of all sessions */
    TAILQ_HEAD(, SessionSignal) pending; /* of those that something is to be announced of */
    TAILQ_HEAD(, GoneSession) gone;      /* sessions that were in the answer at hand */
    sd_event_source *timer;
    uint64_t next_usec; /* when one more may be announced, if none came for a while before */
} SessionSignals;

/*
 * session_signals_init() - nothing to announce
 * @replies: outlives @signals
 * @priority: of what is announced later
 *
 * Returns 0 or a negative errno. @signals is zero before.
 */
int session_signals_init(SessionSignals *signals, sd_event *event, BusReplies *replies,
                         int priority);

/* session_signals_free() - the sessions may be gone already. All zero is fine */
void session_signals_free(SessionSignals *signals);

/* session_signals_announce(), session_signals_changed() - what the observer of sessions is told */
void session_signals_announce(SessionSignals *signals, Session *s, bool added);
void session_signals_changed(SessionSignals *signals, Session *s);

/* session_signals_in_reply() - the answer at hand says what this session is like now */
void session_signals_in_reply(SessionSignals *signals, Session *s);

/* session_signals_reply_done() - there is no answer at hand any more */
void session_signals_reply_done(SessionSignals *signals);

/* session_path() - the path of its object, in @ret, which is returned */
char *session_path(uint32_t id, char ret[SESSION_PATH_SIZE]);

#endif
