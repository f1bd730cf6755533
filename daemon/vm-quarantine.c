/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vm-quarantine.h"

#include <stdio.h>

#include "clock.h"
#include "names.h"

/* The times are of minutes. */
#define TIMER_ACCURACY_USEC UINT64_C(250000)

/* As an administrator's is logged. */
static void vm_quarantine_log(const VM *vm, const char *line)
{
    const LogChange change = {
        .setting = "Quarantined",
        .from = vm->quarantined ? "released" : "quarantined",
        .to = vm->quarantined ? "quarantined" : "released",
        .by_itself = true,
    };

    log_event(VGPU_MESSAGE_VM_CHANGED, &vm->client.log, &change, "%s", line);
}

static bool vm_is_in_quarantine(const VM *vm)
{
    return vm->quarantined && vm->quarantined_until_usec != 0 && vm->faults.end_usec != UINT64_MAX;
}

static void vm_quarantine_arm(VMQuarantine *q)
{
    uint64_t next = UINT64_MAX;
    const VM *vm;

    TAILQ_FOREACH(vm, &q->vms->list, link)
    {
        if (vm_is_in_quarantine(vm) && vm->faults.end_usec < next)
            next = vm->faults.end_usec;
    }
    if (next == UINT64_MAX)
        return;
    (void) sd_event_source_set_time(q->timer, next);
    (void) sd_event_source_set_enabled(q->timer, SD_EVENT_ONESHOT);
}

static int vm_quarantine_on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
    VMQuarantine *q = userdata;
    uint64_t now = now_usec();
    VM *vm;

    (void) source;
    (void) usec;

    TAILQ_FOREACH(vm, &q->vms->list, link)
    {
        if (!vm_is_in_quarantine(vm) || vm->faults.end_usec > now)
            continue;
        vm_end_quarantine(vm);
        vm_quarantine_log(vm, "released from quarantine: its time is over");
    }
    vm_quarantine_arm(q);
    return 0;
}

void vm_quarantine_fault(VMQuarantine *q, VM *vm)
{
    const FaultLimit *limit = &q->config->fault_limit;
    char until[40] = "until an administrator releases it", line[200];
    uint64_t usec;

    /* Several of its requests may have been at fault at once. */
    if (vm->quarantined)
        return;
    usec = fault_record_add(&vm->faults, limit, now_usec());
    if (usec == 0)
        return;

    if (usec != UINT64_MAX)
        snprintf(until, sizeof(until), "for %llu s", (unsigned long long) (usec / USEC_PER_SEC));
    vm_quarantine_until(vm, usec == UINT64_MAX ? usec : clock_usec(CLOCK_REALTIME) + usec);
    snprintf(line, sizeof(line),
             "quarantined %s: %u of its requests ran into RequestTimeoutSec= or took executors "
             "down (FaultLimit=)",
             until, limit->max);
    vm_quarantine_log(vm, line);
    vm_quarantine_arm(q);
}

int vm_quarantine_init(VMQuarantine *q, sd_event *event, VMRegistry *vms, const Config *config)
{
    int r;

    *q = (VMQuarantine){.vms = vms, .config = config};
    r = sd_event_add_time_relative(event, &q->timer, CLOCK_MONOTONIC, UINT64_MAX / 2,
                                   TIMER_ACCURACY_USEC, vm_quarantine_on_timer, q);
    return r < 0 ? r : sd_event_source_set_enabled(q->timer, SD_EVENT_OFF);
}

void vm_quarantine_clear(VMQuarantine *q)
{
    q->timer = sd_event_source_disable_unref(q->timer);
}
