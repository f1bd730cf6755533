/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session-signals.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "bus-util.h"
#include "clock.h"
#include "names.h"

/* How often a session can be announced, and how many before that counts. */
#define ADDED_USEC UINT64_C(100000)
#define ADDED_BURST 16

/* What was announced of a session, and what is to be. */
struct SessionSignal {
    TAILQ_ENTRY(SessionSignal) link;
    TAILQ_ENTRY(SessionSignal) pending_link;
    Session *session;
    bool is_pending;
    bool announced;
    bool stale;     /* its state changed behind the answer at hand */
    uint64_t reply; /* the last answer that it is in */
};

/* A session that is in the answer at hand, and is gone. */
typedef struct GoneSession {
    TAILQ_ENTRY(GoneSession) link;
    uint32_t id;
} GoneSession;

char *session_path(uint32_t id, char ret[SESSION_PATH_SIZE])
{
    snprintf(ret, SESSION_PATH_SIZE, VGPU_OBJECT_SESSION "/%u", id);
    return ret;
}

/* ---- Sending ------------------------------------------------------------------------------- */

static sd_bus *session_signals_bus(const SessionSignals *signals)
{
    return signals->bus && sd_bus_is_ready(signals->bus) > 0 ? signals->bus : NULL;
}

static void session_signals_send_added(const SessionSignals *signals, uint32_t id)
{
    sd_bus *bus = session_signals_bus(signals);
    char path[SESSION_PATH_SIZE];

    if (bus)
        (void) sd_bus_emit_object_added(bus, session_path(id, path));
}

/* By name: the object may be no more. */
static void session_signals_send_removed(const SessionSignals *signals, uint32_t id)
{
    sd_bus *bus = session_signals_bus(signals);
    char path[SESSION_PATH_SIZE];

    if (bus)
        (void) sd_bus_emit_interfaces_removed(
            bus, session_path(id, path), VGPU_INTERFACE_SESSION, "org.freedesktop.DBus.Properties",
            "org.freedesktop.DBus.Introspectable", "org.freedesktop.DBus.Peer", NULL);
}

static void session_signals_send_state(const SessionSignals *signals, uint32_t id)
{
    sd_bus *bus = session_signals_bus(signals);
    char path[SESSION_PATH_SIZE];

    if (bus)
        (void) sd_bus_emit_properties_changed(bus, session_path(id, path), VGPU_INTERFACE_SESSION,
                                              "State", NULL);
}

/* ---- What is announced later ----------------------------------------------------------------- */

static bool session_signals_is_in_reply(const SessionSignals *signals, const SessionSignal *s)
{
    uint64_t current = bus_replies_current(signals->replies);

    return current != 0 && s->reply == current;
}

/* UINT64_MAX: not before the answer at hand is complete. One that comes while it is made may be
 * missing in it. */
static uint64_t session_signals_due(const SessionSignals *signals, const SessionSignal *s)
{
    const uint64_t burst = ADDED_BURST * ADDED_USEC;

    if (bus_replies_current(signals->replies) != 0)
        return UINT64_MAX;
    return s->announced || signals->next_usec < burst ? 0 : signals->next_usec - burst;
}

static void session_signals_remove_pending(SessionSignals *signals, SessionSignal *s)
{
    if (s->is_pending)
        TAILQ_REMOVE(&signals->pending, s, pending_link);
    s->is_pending = false;
}

/* Sets the timer for what is due first. */
static void session_signals_arm(SessionSignals *signals)
{
    uint64_t first = UINT64_MAX;
    SessionSignal *s;

    if (bus_replies_current(signals->replies) != 0)
        return;
    if (!TAILQ_EMPTY(&signals->gone))
        first = 0;
    TAILQ_FOREACH(s, &signals->pending, pending_link)
    {
        uint64_t due = session_signals_due(signals, s);

        if (due < first)
            first = due;
    }
    if (first == UINT64_MAX)
        return;
    (void) sd_event_source_set_time(signals->timer, first);
    (void) sd_event_source_set_enabled(signals->timer, SD_EVENT_ONESHOT);
}

static void session_signals_add_pending(SessionSignals *signals, SessionSignal *s)
{
    if (!s->is_pending)
        TAILQ_INSERT_TAIL(&signals->pending, s, pending_link);
    s->is_pending = true;
    session_signals_arm(signals);
}

static void session_signals_send_pending(SessionSignals *signals, SessionSignal *s, uint64_t now)
{
    session_signals_remove_pending(signals, s);
    if (!s->announced) {
        signals->next_usec = (signals->next_usec > now ? signals->next_usec : now) + ADDED_USEC;
        s->announced = true;
        session_signals_send_added(signals, s->session->id);
    } else if (s->stale) {
        s->stale = false;
        session_signals_send_state(signals, s->session->id);
    }
}

/* One at a time, so that requests do not wait for many. */
static int session_signals_on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
    SessionSignals *signals = userdata;
    GoneSession *gone = TAILQ_FIRST(&signals->gone);
    uint64_t now = now_usec();
    SessionSignal *s;

    (void) source, (void) usec;

    if (bus_replies_current(signals->replies) != 0)
        return 0;
    if (gone) {
        session_signals_send_removed(signals, gone->id);
        TAILQ_REMOVE(&signals->gone, gone, link);
        free(gone);
    } else {
        TAILQ_FOREACH(s, &signals->pending, pending_link)
        {
            if (session_signals_due(signals, s) <= now)
                break;
        }
        if (s)
            session_signals_send_pending(signals, s, now);
    }
    session_signals_arm(signals);
    return 0;
}

/* ---- What sessions tell ---------------------------------------------------------------------- */

static void session_signals_added(SessionSignals *signals, Session *session)
{
    SessionSignal *s = calloc(1, sizeof(*s));
    uint64_t now = now_usec();

    if (!s) {
        session_signals_send_added(signals, session->id);
        return;
    }
    s->session = session;
    session->observed = s;
    TAILQ_INSERT_TAIL(&signals->list, s, link);
    if (session_signals_due(signals, s) <= now)
        session_signals_send_pending(signals, s, now);
    else
        session_signals_add_pending(signals, s);
}

static void session_signals_removed(SessionSignals *signals, Session *session)
{
    SessionSignal *s = session->observed;
    GoneSession *gone;

    if (!s || s->announced)
        session_signals_send_removed(signals, session->id);
    if (!s)
        return;

    if (session_signals_is_in_reply(signals, s)) {
        gone = malloc(sizeof(*gone));
        if (gone) {
            gone->id = session->id;
            TAILQ_INSERT_TAIL(&signals->gone, gone, link);
        }
    }
    session_signals_remove_pending(signals, s);
    TAILQ_REMOVE(&signals->list, s, link);
    session->observed = NULL;
    free(s);
}

void session_signals_announce(SessionSignals *signals, Session *s, bool added)
{
    if (added)
        session_signals_added(signals, s);
    else
        session_signals_removed(signals, s);
}

/* An executor changes its state twice at most. */
void session_signals_changed(SessionSignals *signals, Session *session)
{
    SessionSignal *s = session->observed;

    if (s && !s->announced)
        return;
    session_signals_send_state(signals, session->id);
    if (s && session_signals_is_in_reply(signals, s)) {
        s->stale = true;
        session_signals_add_pending(signals, s);
    }
}

void session_signals_in_reply(SessionSignals *signals, Session *session)
{
    SessionSignal *s = session->observed;

    if (s)
        s->reply = bus_replies_current(signals->replies);
}

void session_signals_reply_done(SessionSignals *signals)
{
    session_signals_arm(signals);
}

/* ---- All of them --------------------------------------------------------------------------- */

int session_signals_init(SessionSignals *signals, sd_event *event, BusReplies *replies,
                         int priority)
{
    signals->replies = replies;
    TAILQ_INIT(&signals->list);
    TAILQ_INIT(&signals->pending);
    TAILQ_INIT(&signals->gone);
    return bus_add_timer(event, priority, session_signals_on_timer, signals, &signals->timer);
}

void session_signals_free(SessionSignals *signals)
{
    GoneSession *gone;
    SessionSignal *s;

    if (!signals->timer)
        return;
    while ((s = TAILQ_FIRST(&signals->list))) {
        TAILQ_REMOVE(&signals->list, s, link);
        free(s);
    }
    while ((gone = TAILQ_FIRST(&signals->gone))) {
        TAILQ_REMOVE(&signals->gone, gone, link);
        free(gone);
    }
    signals->timer = sd_event_source_disable_unref(signals->timer);
}
