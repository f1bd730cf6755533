/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "manager.h"
#include "vm-bus.h"

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const VM *) a)->name, ((const VM *) b)->name);
}

VM *vm_find(Manager *manager, const char *name)
{
    VM key = {.name = (char *) name};
    VM **found = tfind(&key, &manager->vms_by_name, compare_names);

    return found ? *found : NULL;
}

static char *unique_name(Manager *manager, uint32_t id)
{
    char name[40];

    snprintf(name, sizeof(name), "vm%u", id);
    for (unsigned i = 2; vm_find(manager, name); i++)
        snprintf(name, sizeof(name), "vm%u-%u", id, i);

    return strdup(name);
}

int vm_new(Manager *manager, uint32_t id, char pool, uint8_t priority, VM **ret)
{
    VM *vm = calloc(1, sizeof(*vm));

    if (!vm)
        return -ENOMEM;

    vm->manager = manager;
    vm->id = id;
    vm->pool = pool;
    vm->priority = priority;
    sched_client_init(&vm->client, manager->config.vm_queue_limit);

    vm->name = unique_name(manager, id);
    if (!vm->name || !tsearch(vm, &manager->vms_by_name, compare_names)) {
        free(vm->name);
        free(vm);
        return -ENOMEM;
    }
    TAILQ_INSERT_TAIL(&manager->vms, vm, link);
    manager->n_vms++;

    vm_bus_announce(vm, true);
    *ret = vm;
    return 0;
}

VM *vm_free(VM *vm)
{
    if (!vm)
        return NULL;

    vm_bus_announce(vm, false);
    tdelete(vm, &vm->manager->vms_by_name, compare_names);
    TAILQ_REMOVE(&vm->manager->vms, vm, link);
    vm->manager->n_vms--;
    free(vm->name);
    free(vm);
    return NULL;
}

LogContext vm_log_context(const VM *vm)
{
    return (LogContext){.vm = vm->name, .vm_id = vm->id, .peer_pid = vm->leader};
}

#define LOG_WINDOW_USEC UINT64_C(30000000)
#define LOG_LINES_MAX 10

bool vm_may_log(VM *vm)
{
    uint64_t now = 0;

    (void) sd_event_now(vm->manager->event, CLOCK_MONOTONIC, &now);
    if (now - vm->log_window_usec >= LOG_WINDOW_USEC) {
        vm->log_window_usec = now;
        vm->log_lines = 0;
    }
    if (vm->log_lines > LOG_LINES_MAX)
        return false;
    if (vm->log_lines++ == LOG_LINES_MAX) {
        LogContext context = vm_log_context(vm);

        log_context(LOG_WARNING, &context, "more failed requests, not logged for a while");
        return false;
    }
    return true;
}
