/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "client.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define LOG_LINES_MAX 10

void client_init(Client *c, unsigned limit)
{
    sched_client_init(&c->sched, limit);
    log_limit_init(&c->log_limit, LOG_LINES_MAX, NULL);
    TAILQ_INIT(&c->waiters);
}

void client_wait_for_room(Client *c, ClientWaiter *w)
{
    assert(w->has_room);
    if (w->client)
        return;

    w->client = c;
    TAILQ_INSERT_TAIL(&c->waiters, w, link);
}

void client_stop_waiting(ClientWaiter *w)
{
    if (!w->client)
        return;

    TAILQ_REMOVE(&w->client->waiters, w, link);
    w->client = NULL;
}

void client_has_room(Client *c)
{
    ClientWaiter *w;

    while ((w = TAILQ_FIRST(&c->waiters))) {
        client_stop_waiting(w);
        w->has_room(w);
    }
}

bool client_may_log(Client *c)
{
    LogVerdict verdict = log_limit_take(&c->log_limit);

    if (verdict == LOG_VERDICT_LAST)
        log_context(LOG_WARNING, &c->log, "more lines about this VM, not logged for a while");
    return verdict == LOG_VERDICT_LINE;
}

void client_log_no_memory(Client *c)
{
    if (client_may_log(c))
        log_context(LOG_ERR, &c->log, "cannot take a request: %s", strerror(ENOMEM));
}
