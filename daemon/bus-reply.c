/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bus-reply.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup-bus.h"
#include "clock.h"

/* A piece ends with the first VM behind this. */
#define PIECE_USEC UINT64_C(25)

/* The pause behind a piece, as a multiple of it: the part of the time that answers can take. */
#define PAUSE_FACTOR 2

/* How often to look whether the bus has taken the last answer. */
#define DRAIN_USEC UINT64_C(1000)

#define PER_SENDER_MAX 4

/* As many as one user can have: the bus gives none more than 256 connections. */
#define REPLIES_MAX (256 * PER_SENDER_MAX)

struct BusReply {
    TAILQ_ENTRY(BusReply) link;
    sd_bus_message *call;
    sd_bus_message *message; /* NULL before the first piece */
    const BusReplyOps *ops;
    void *userdata;
    VM *next;      /* the first VM that is not in the message */
    unsigned turn; /* how many of its connection were before it */
};

static void bus_reply_free(BusReplies *replies, BusReply *r)
{
    TAILQ_REMOVE(&replies->list, r, link);
    sd_bus_message_unref(r->message);
    sd_bus_message_unref(r->call);
    free(r);
}

static void bus_replies_arm(BusReplies *replies, uint64_t usec)
{
    (void) sd_event_source_set_time(replies->timer, usec);
    (void) sd_event_source_set_enabled(replies->timer, SD_EVENT_ONESHOT);
}

/* ---- Pieces ------------------------------------------------------------------------ */

static int bus_reply_begin(BusReplies *replies, BusReply *r)
{
    int error = sd_bus_message_new_method_return(r->call, &r->message);

    replies->serial++;
    r->next = TAILQ_FIRST(&replies->vms->list);
    return error < 0 ? error : r->ops->begin(r->message, r->userdata);
}

/* Returns 1 when the answer is complete and sent, 0 when there is more, or a negative errno. */
static int bus_reply_make_piece(BusReplies *replies, BusReply *r, uint64_t begin)
{
    int error = 0;

    if (!r->message)
        return bus_reply_begin(replies, r);

    while (r->next) {
        error = r->ops->append(r->message, r->next, r->userdata);
        if (error < 0)
            return error;
        r->next = TAILQ_NEXT(r->next, link);
        if (now_usec() - begin >= PIECE_USEC)
            return 0;
    }

    error = r->ops->end(r->message, r->userdata);
    if (error >= 0)
        error = sd_bus_send(NULL, r->message, NULL);
    return error < 0 ? error : 1;
}

/* Memory for one answer is enough: the next one waits until the bus has taken the last. */
static bool bus_reply_has_to_wait(const BusReply *r)
{
    uint64_t n = 0;

    return !r->message && sd_bus_get_n_queued_write(sd_bus_message_get_bus(r->call), &n) >= 0 &&
           n > 0;
}

static int bus_replies_on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
    BusReplies *replies = userdata;
    BusReply *r = TAILQ_FIRST(&replies->list);
    uint64_t begin = now_usec(), end;
    int error;

    (void) source, (void) usec;

    if (!r)
        return 0;
    if (bus_reply_has_to_wait(r)) {
        bus_replies_arm(replies, begin + DRAIN_USEC);
        return 0;
    }

    error = bus_reply_make_piece(replies, r, begin);
    if (error < 0)
        (void) sd_bus_reply_method_errno(r->call, error, NULL);
    if (error != 0) {
        bus_reply_free(replies, r);
        replies->done(replies->userdata);
    }
    end = now_usec();
    if (!TAILQ_EMPTY(&replies->list))
        bus_replies_arm(replies, end + PAUSE_FACTOR * (end - begin));
    return 0;
}

/* ---- Calls ------------------------------------------------------------------------- */

/* Behind all calls that are as early in their connections' turns. */
static void bus_replies_insert(BusReplies *replies, BusReply *new)
{
    BusReply *r = TAILQ_LAST(&replies->list, BusReplyList);

    while (r && !r->message && r->turn > new->turn)
        r = TAILQ_PREV(r, BusReplyList, link);
    if (r)
        TAILQ_INSERT_AFTER(&replies->list, r, new, link);
    else
        TAILQ_INSERT_HEAD(&replies->list, new, link);
}

int bus_replies_add(BusReplies *replies, sd_bus_message *call, const BusReplyOps *ops,
                    void *userdata, sd_bus_error *error)
{
    const char *sender = sd_bus_message_get_sender(call);
    unsigned of_sender = 0, n = 0;
    BusReply *r;

    TAILQ_FOREACH(r, &replies->list, link)
    {
        n++;
        of_sender += strcmp(sd_bus_message_get_sender(r->call), sender) == 0;
    }
    if (of_sender >= PER_SENDER_MAX || n >= REPLIES_MAX)
        return sd_bus_error_set(error, SD_BUS_ERROR_LIMITS_EXCEEDED,
                                "Too many calls wait for an answer about all VMs.");

    r = calloc(1, sizeof(*r));
    if (!r)
        return -ENOMEM;
    r->call = sd_bus_message_ref(call);
    r->ops = ops;
    r->userdata = userdata;
    r->turn = of_sender;
    bus_replies_insert(replies, r);
    if (n == 0)
        bus_replies_arm(replies, 0);
    return 1;
}

uint64_t bus_replies_current(const BusReplies *replies)
{
    const BusReply *r = TAILQ_FIRST(&replies->list);

    return r && r->message ? replies->serial : 0;
}

void bus_replies_forget(BusReplies *replies, const VM *vm)
{
    BusReply *r;

    TAILQ_FOREACH(r, &replies->list, link)
    {
        if (r->next == vm)
            r->next = TAILQ_NEXT(vm, link);
    }
}

/* ---- All of them ------------------------------------------------------------------- */

int bus_replies_init(BusReplies *replies, sd_event *event, const VMRegistry *vms, int priority,
                     void (*done)(void *userdata), void *userdata)
{
    int r;

    TAILQ_INIT(&replies->list);
    replies->vms = vms;
    replies->done = done;
    replies->userdata = userdata;
    r = sd_event_add_time(event, &replies->timer, CLOCK_MONOTONIC, UINT64_MAX / 2, 1,
                          bus_replies_on_timer, replies);
    if (r >= 0)
        r = sd_event_source_set_priority(replies->timer, priority);
    if (r >= 0)
        r = sd_event_source_set_enabled(replies->timer, SD_EVENT_OFF);
    return r < 0 ? r : 0;
}

void bus_replies_clear(BusReplies *replies)
{
    while (!TAILQ_EMPTY(&replies->list))
        bus_reply_free(replies, TAILQ_FIRST(&replies->list));
}

void bus_replies_free(BusReplies *replies)
{
    if (!replies->timer)
        return;
    bus_replies_clear(replies);
    replies->timer = sd_event_source_disable_unref(replies->timer);
}
