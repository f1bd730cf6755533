/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Requests that come as messages: those that a guest writes into the device's registers.
 * Each is queued, or answered at once with the reason why not.
 */
#ifndef VGPU_MESSAGE_SOURCE_H
#define VGPU_MESSAGE_SOURCE_H

#include "pools.h"
#include "vgpu-protocol.h"
#include "vm.h"

typedef struct MessageSource {
    RequestSource source;
    Pools *pools;
    VM *vm; /* NULL until there is one */
} MessageSource;

/* message_source_init() - @pools outlive it */
void message_source_init(MessageSource *s, Pools *pools);

/*
 * message_source_take() - REQUEST
 * @h: checked
 * @payload: h->payload_len bytes, as the device sent them
 *
 * The source has its VM, which is connected.
 */
void message_source_take(MessageSource *s, const VGPUSocketHeader *h, const char *payload);

/* message_source_end() - drop what is queued; nobody is told any more of what runs */
void message_source_end(MessageSource *s);

#endif
