/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the objects on D-Bus are about: all of them are added with it as their userdata. */
#ifndef VGPU_BUS_CONTEXT_H
#define VGPU_BUS_CONTEXT_H

#include <stdio.h>
#include <stdlib.h>
#include <systemd/sd-bus.h>

#include "access.h"
#include "bus-reply.h"
#include "log.h"
#include "manager.h"
#include "rival.h"
#include "session-signals.h"
#include "vm-signals.h"

typedef struct BusContext {
    Manager *manager;
    Pools *pools;
    VMRegistry *vms;
    Sessions *sessions;
    AccessQueue access;
    BusReplies replies;
    VMSignals signals;
    SessionSignals session_signals;
    Rivals rivals;
    FILE *tree; /* of the answer to Introspect that is being made, or NULL */
    char *tree_text;
    size_t tree_size;
    sd_bus *bus; /* NULL while there is none */
} BusContext;

/* bus_context() - of the object that a call is for */
static inline BusContext *bus_context(sd_bus_message *call)
{
    return sd_bus_slot_get_userdata(sd_bus_get_current_slot(sd_bus_message_get_bus(call)));
}

/* bus_context_drop_tree() - forget what is written of it */
static inline void bus_context_drop_tree(BusContext *context)
{
    if (context->tree)
        (void) fclose(context->tree);
    free(context->tree_text);
    context->tree = NULL;
    context->tree_text = NULL;
}

/* bus_change() - a change by the caller whom access_check() has let in, for the journal */
static inline LogChange bus_change(const BusContext *context, const char *setting, const char *from,
                                   const char *to)
{
    const AccessCaller *caller = &context->access.caller;

    return (LogChange){
        .setting = setting,
        .from = from,
        .to = to,
        .sender_uid = caller->uid,
        .sender_pid = caller->pid,
    };
}

/* bus_context_ready() - the bus that signals can go to, or NULL */
static inline sd_bus *bus_context_ready(const BusContext *context)
{
    return context->bus && sd_bus_is_ready(context->bus) > 0 ? context->bus : NULL;
}

#endif
