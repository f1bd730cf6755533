/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rival.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct Rival {
    TAILQ_ENTRY(Rival) link;
    Rivals *rivals;
    sd_bus_message *call;
    IdentityCheck *check;
    uint8_t uuid[16];
    uint64_t registered_usec; /* a VM that is registered anew meanwhile is about to start */
};

static void rival_free(Rival *rival)
{
    TAILQ_REMOVE(&rival->rivals->list, rival, link);
    identity_check_free(rival->check);
    sd_bus_message_unref(rival->call);
    free(rival);
}

void rivals_init(Rivals *rivals, Identity *identity, VMRegistry *vms,
                 void (*refuse)(sd_bus_message *call, const VM *vm))
{
    TAILQ_INIT(&rivals->list);
    rivals->identity = identity;
    rivals->vms = vms;
    rivals->refuse = refuse;
}

void rivals_clear(Rivals *rivals)
{
    while (!TAILQ_EMPTY(&rivals->list))
        rival_free(TAILQ_FIRST(&rivals->list));
}

static void rival_handle_again(const Rival *rival)
{
    int r = sd_bus_message_rewind(rival->call, true);

    if (r >= 0)
        r = sd_bus_enqueue_for_read(sd_bus_message_get_bus(rival->call), rival->call);
    if (r < 0)
        (void) sd_bus_reply_method_errno(rival->call, r, NULL);
}

static void rival_on_answer(void *userdata, IdentityVerdict verdict)
{
    Rival *rival = userdata;
    Rivals *rivals = rival->rivals;
    VM *vm = vm_registry_find_by_uuid(rivals->vms, rival->uuid);

    if (vm && verdict == IDENTITY_NONE && vm->registered_usec == rival->registered_usec &&
        vm_registry_may_be_gone(vm)) {
        log_context(LOG_NOTICE, &vm->client.log,
                    "forgotten for another VM with its name or UUID: systemd-machined has no such "
                    "machine");
        (void) vm_registry_remove(rivals->vms, vm);
        vm = NULL;
    }
    if (vm)
        rivals->refuse(rival->call, vm);
    else
        rival_handle_again(rival);
    rival_free(rival);
}

int rivals_ask(Rivals *rivals, sd_bus_message *call, const VM *vm)
{
    Rival *rival;
    int r;

    if (!vm_registry_may_be_gone(vm))
        return 0;

    rival = calloc(1, sizeof(*rival));
    if (!rival)
        return -ENOMEM;
    rival->rivals = rivals;
    rival->call = sd_bus_message_ref(call);
    rival->registered_usec = vm->registered_usec;
    memcpy(rival->uuid, vm->uuid, sizeof(rival->uuid));
    TAILQ_INSERT_TAIL(&rivals->list, rival, link);

    r = identity_search_new(rivals->identity, vm->uuid, rival_on_answer, rival, &rival->check);
    if (r < 0)
        rival_free(rival);
    return r == -ENOMEM ? r : r >= 0;
}
