/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who submits requests, as a request knows it: the place in the schedulers, the counters, how
 * to name it in a log line, and who waits for room in its queue. A VM embeds one.
 */
#ifndef VGPU_CLIENT_H
#define VGPU_CLIENT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "log-limit.h"
#include "log.h"
#include "scheduler.h"
#include "statistics.h"

typedef struct Client Client;
typedef struct ClientWaiter ClientWaiter;

/* Whoever has more requests than the client's queue has room for embeds one. The owner sets
 * has_room. The client sets the rest. */
struct ClientWaiter {
    void (*has_room)(ClientWaiter *w);
    Client *client; /* NULL while it does not wait */
    TAILQ_ENTRY(ClientWaiter) link;
};

struct Client {
    SchedClient sched;
    Statistics statistics;
    TimeWindow execution; /* of its requests that are over */
    LogContext log;       /* which VM a line is about */
    /* NULL, or to be called when the last request of the client is over: may free it. */
    void (*idle)(Client *c);
    TAILQ_HEAD(, ClientWaiter) waiters;
    LogLimit log_limit;
};

/* client_init() - without requests; may queue @limit at once. Zero before */
void client_init(Client *c, unsigned limit);

/* client_wait_for_room() - call @w once, when a place in the queue becomes free */
void client_wait_for_room(Client *c, ClientWaiter *w);

/* client_stop_waiting() - does nothing for one that does not wait */
void client_stop_waiting(ClientWaiter *w);

/* client_has_room() - to be called when a place became free */
void client_has_room(Client *c);

/* client_has_requests() - queued or running */
static inline bool client_has_requests(const Client *c)
{
    return c->sched.n_queued > 0 || c->sched.n_running > 0;
}

/*
 * client_may_log() - is there room for one more line about what this VM's guest did?
 *
 * Ten in half a minute: a guest must not fill the journal. Says once in each
 * half minute that lines are left out.
 */
bool client_may_log(Client *c);

/* client_log_no_memory() - say, within that, why a request is refused as if a queue were full */
void client_log_no_memory(Client *c);

#endif
