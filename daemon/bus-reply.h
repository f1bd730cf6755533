/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Answers about all VMs, made in pieces: a list of a thousand VMs takes many milliseconds, and
 * requests of VMs must not wait for it. A piece takes some microseconds, and between two of them
 * the event loop does everything else. One answer is made at a time.
 *
 * What an answer says of a VM may have changed before it is complete. Its reader then hears of
 * the change before the answer, so whoever announces changes does so again behind it.
 */
#ifndef VGPU_BUS_REPLY_H
#define VGPU_BUS_REPLY_H

#include <stdint.h>
#include <sys/queue.h>
#include <systemd/sd-bus.h>

#include "vm-registry.h"

typedef struct BusReply BusReply;
typedef struct BusReplies BusReplies;

/* What is in an answer. Each function returns 0 or a negative errno. */
typedef struct BusReplyOps {
    /* What stands before the VMs. */
    int (*begin)(sd_bus_message *reply, void *userdata);
    int (*append)(sd_bus_message *reply, VM *vm, void *userdata);
    int (*end)(sd_bus_message *reply, void *userdata);
} BusReplyOps;

struct BusReplies {
    TAILQ_HEAD(BusReplyList, BusReply) list; /* the first is being made */
    const VMRegistry *vms;
    sd_event_source *timer;
    uint64_t serial; /* of the answer that is being made, or was last */
    /* An answer is complete, and sent. */
    void (*done)(void *userdata);
    void *userdata;
};

/*
 * bus_replies_init() - nothing to answer
 * @vms: outlives @replies
 * @priority: of the pieces, as in sd_event_source_set_priority(3)
 * @done, @userdata: called after each answer
 *
 * Returns 0 or a negative errno. @replies is zero before.
 */
int bus_replies_init(BusReplies *replies, sd_event *event, const VMRegistry *vms, int priority,
                     void (*done)(void *userdata), void *userdata);

/* bus_replies_clear() - forget all calls, whose bus is gone; more may follow */
void bus_replies_clear(BusReplies *replies);

/* bus_replies_free() - the same, and none may follow. All zero is fine */
void bus_replies_free(BusReplies *replies);

/*
 * bus_replies_add() - answer a call when it is its turn
 * @ops, @userdata: outlive the answer
 *
 * Four calls of one connection may wait, and each connection has its turn before another's
 * second call. Returns 1, or a negative errno with @error set: as the call's handler does.
 */
int bus_replies_add(BusReplies *replies, sd_bus_message *call, const BusReplyOps *ops,
                    void *userdata, sd_bus_error *error);

/* bus_replies_current() - a number for the answer that is being made, or 0 */
uint64_t bus_replies_current(const BusReplies *replies);

/* bus_replies_forget() - this VM is about to go */
void bus_replies_forget(BusReplies *replies, const VM *vm);

#endif
