/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session-spares.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "log.h"

/* Until the next try after one that ended by itself; doubled each time that another does. */
#define PAUSE_MIN_USEC (UINT64_C(1) * USEC_PER_SEC)
#define PAUSE_MAX_USEC (UINT64_C(60) * USEC_PER_SEC)

/* What a pool computes with is not known before its own executor has started. */
#define UNKNOWN_USEC UINT64_C(500000)

struct SessionSpare {
    TAILQ_ENTRY(SessionSpare) link;
    SessionSpares *spares;
    SessionProcess *process;
    char pool;
    char device[SESSION_DEVICE_MAX];
    bool ending; /* it is not wanted any more */
};

static void session_spares_look(SessionSpares *spares, uint64_t usec)
{
    (void) sd_event_source_set_time_relative(spares->timer, usec);
    (void) sd_event_source_set_enabled(spares->timer, SD_EVENT_ONESHOT);
}

/* ---- One of them --------------------------------------------------------------------------- */

static void session_spare_free(SessionSpare *spare)
{
    TAILQ_REMOVE(&spare->spares->list, spare, link);
    session_process_free(spare->process);
    free(spare);
}

static void session_spare_on_started(void *userdata, const SessionStarted *message)
{
    (void) userdata, (void) message; /* never: it has not had START */
}

static void session_spare_on_ended(void *userdata, const SessionEnded *message)
{
    (void) userdata, (void) message;
}

static bool session_spare_on_changed(void *userdata)
{
    (void) userdata;

    return false; /* never: likewise */
}

static void session_spare_on_gone(void *userdata, SessionProcessFate fate, const char *text)
{
    SessionSpare *spare = userdata;
    SessionSpares *spares = spare->spares;
    LogContext context = {.pool = spare->pool};

    (void) fate;

    if (!spare->ending) {
        spares->pause_usec = spares->pause_usec == 0                   ? PAUSE_MIN_USEC
                             : spares->pause_usec * 2 < PAUSE_MAX_USEC ? spares->pause_usec * 2
                                                                       : PAUSE_MAX_USEC;
        log_context(LOG_WARNING, &context,
                    "pool %c: an executor that waited for a session %s; the next one is started "
                    "in %llu s",
                    spare->pool, text, (unsigned long long) (spares->pause_usec / USEC_PER_SEC));
        session_spares_look(spares, spares->pause_usec);
    }
    session_spare_free(spare);
}

static const SessionProcessHandler session_spare_handler = {
    .on_started = session_spare_on_started,
    .on_ended = session_spare_on_ended,
    .on_changed = session_spare_on_changed,
    .on_gone = session_spare_on_gone,
};

/* Returns 0 or a negative errno. */
static int session_spare_new(SessionSpares *spares, const Pool *pool, const char *device)
{
    SessionSpare *spare = calloc(1, sizeof(*spare));
    int r;

    if (!spare)
        return -ENOMEM;
    spare->spares = spares;
    spare->pool = pool->name;
    snprintf(spare->device, sizeof(spare->device), "%s", device);
    TAILQ_INSERT_TAIL(&spares->list, spare, link);
    r = session_process_new(spares->event, &spares->options, &session_spare_handler, spare,
                            &spare->process);
    if (r >= 0)
        r = session_process_warm(spare->process, device);
    if (r < 0)
        session_spare_free(spare);
    return r;
}

/* ---- As many as are wanted --------------------------------------------------------------- */

static unsigned session_spares_wanted(const Pool *p)
{
    return strcmp(executor_device(pool_executor(p))->backend, "cuda") == 0 ? p->config.warm_spares
                                                                           : 0;
}

static bool pool_has_device(const Pool *p, const char *device)
{
    for (unsigned i = 0; i < p->config.devices.n; i++)
        if (strcmp(p->config.devices.name[i], device) == 0)
            return true;
    return false;
}

static bool session_spares_is_unknown(const Pool *p)
{
    return p->config.warm_spares > 0 && p->config.backend != POOL_BACKEND_CPU &&
           executor_device(pool_executor(p))->backend[0] == '\0';
}

static unsigned session_spares_count(const SessionSpares *spares, const Pool *p, const char *device)
{
    const SessionSpare *spare;
    unsigned n = 0;

    TAILQ_FOREACH(spare, &spares->list, link)
    {
        n += !spare->ending && spare->pool == p->name && strcmp(spare->device, device) == 0;
    }
    return n;
}

/* Those of a device that the pool has no more, and those beyond the number. */
static void session_spares_end_surplus(SessionSpares *spares)
{
    SessionSpare *spare;

    TAILQ_FOREACH(spare, &spares->list, link)
    {
        const Pool *p = pools_find(spares->pools, (unsigned char) spare->pool);

        if (spare->ending)
            continue;
        if (pool_has_device(p, spare->device) &&
            session_spares_count(spares, p, spare->device) <= session_spares_wanted(p))
            continue;
        spare->ending = true;
        session_process_end(spare->process);
    }
}

/* The device of a pool that has too few of them; NULL: none has. */
static const char *session_spares_lacking(const SessionSpares *spares, const Pool *p)
{
    for (unsigned i = 0; i < p->config.devices.n; i++) {
        const char *device = p->config.devices.name[i];

        if (session_spares_count(spares, p, device) < session_spares_wanted(p))
            return device;
    }
    return NULL;
}

/* One at a time: each takes a while to start, and others have their turn. Returns whether it is
 * enough, or a negative errno. */
static int session_spares_add_one(SessionSpares *spares)
{
    POOLS_FOREACH(p, spares->pools)
    {
        const char *device = session_spares_lacking(spares, p);
        int r;

        if (!device)
            continue;
        r = session_spare_new(spares, p, device);
        return r < 0 ? r : 0;
    }
    return 1;
}

static int session_spares_on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
    SessionSpares *spares = userdata;
    int r;

    (void) source, (void) usec;

    session_spares_end_surplus(spares);
    r = session_spares_add_one(spares);
    if (r < 0)
        log_errno(r, "cannot start an executor for sessions to come");
    if (r <= 0)
        session_spares_look(spares, r < 0 ? PAUSE_MAX_USEC : 0);
    POOLS_FOREACH(p, spares->pools)
    {
        if (r > 0 && session_spares_is_unknown(p))
            session_spares_look(spares, UNKNOWN_USEC);
    }
    return 0;
}

/* ---- All of them --------------------------------------------------------------------------- */

int session_spares_init(SessionSpares *spares, sd_event *event, const Pools *pools)
{
    int r;

    spares->event = event;
    spares->pools = pools;
    TAILQ_INIT(&spares->list);
    r = sd_event_add_time_relative(event, &spares->timer, CLOCK_MONOTONIC, UINT64_MAX / 2,
                                   10 * USEC_PER_MSEC, session_spares_on_timer, spares);
    return r < 0 ? r : sd_event_source_set_enabled(spares->timer, SD_EVENT_OFF);
}

void session_spares_configure(SessionSpares *spares, const SessionProcessOptions *options)
{
    spares->options = *options;
    spares->pause_usec = 0;
    session_spares_look(spares, 0);
}

SessionProcess *session_spares_take(SessionSpares *spares, const Pool *pool, const char *device)
{
    SessionProcess *process;
    SessionSpare *spare;

    TAILQ_FOREACH(spare, &spares->list, link)
    {
        if (!spare->ending && spare->pool == pool->name && strcmp(spare->device, device) == 0 &&
            session_process_is_well(spare->process))
            break;
    }
    if (!spare)
        return NULL;

    process = spare->process;
    spare->process = NULL;
    session_spare_free(spare);
    spares->pause_usec = 0;
    session_spares_look(spares, 0);
    return process;
}

void session_spares_clear(SessionSpares *spares)
{
    if (!spares->timer)
        return;
    while (!TAILQ_EMPTY(&spares->list))
        session_spare_free(TAILQ_FIRST(&spares->list));
    spares->timer = sd_event_source_disable_unref(spares->timer);
}
