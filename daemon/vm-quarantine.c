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

/* By the clock of fault_record_add(); UINT64_MAX: no end, or no such quarantine. */
static uint64_t vm_quarantine_end(VM *vm)
{
    return vm->quarantined && vm->quarantined_until_usec != 0 ? vm_faults(vm)->end_usec
                                                              : UINT64_MAX;
}

/* Wakes up for this end, too. */
static void vm_quarantine_arm(VMQuarantine *q, uint64_t end)
{
    uint64_t armed = UINT64_MAX;
    int enabled = SD_EVENT_OFF;

    if (end == UINT64_MAX)
        return;
    (void) sd_event_source_get_enabled(q->timer, &enabled);
    if (enabled != SD_EVENT_OFF)
        (void) sd_event_source_get_time(q->timer, &armed);
    if (end >= armed)
        return;
    (void) sd_event_source_set_time(q->timer, end);
    (void) sd_event_source_set_enabled(q->timer, SD_EVENT_ONESHOT);
}

void vm_quarantine_resume(VMQuarantine *q)
{
    VM *vm;

    TAILQ_FOREACH(vm, &q->vms->list, link)
    {
        vm_quarantine_arm(q, vm_quarantine_end(vm));
    }
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
        if (vm_quarantine_end(vm) > now)
            continue;
        (void) vm_registry_end_quarantine(q->vms, vm);
        vm_quarantine_log(vm, "released from quarantine: its time is over");
    }
    vm_quarantine_resume(q);
    return 0;
}

/* The time has its end in vm_faults(). */
static void vm_quarantine_begin(VMQuarantine *q, VM *vm, uint64_t until)
{
    (void) vm_registry_quarantine_until(q->vms, vm, until);
    vm_quarantine_arm(q, vm_quarantine_end(vm));
}

static bool origin_is_quarantined(const Origin *process)
{
    return process->quarantined_until_usec != 0 && process->faults.end_usec > now_usec();
}

void vm_quarantine_admit(VMQuarantine *q, VM *vm)
{
    Origin *process = vm->process;

    if (!process)
        return;
    if (process->quarantined)
        (void) vm_registry_set_quarantined(q->vms, vm, true);
    else if (origin_is_quarantined(process))
        vm_quarantine_begin(q, vm, process->quarantined_until_usec);
    if (vm->quarantined && origin_may_log(process))
        vm_quarantine_log(vm, "quarantined, as its process was before");
}

/* It is one VM for each of its connections. */
static void vm_quarantine_process(VMQuarantine *q, Origin *process, uint64_t until)
{
    VM *vm;

    process->quarantined_until_usec = until;
    TAILQ_FOREACH(vm, &q->vms->list, link)
    {
        if (vm->process == process && !vm->quarantined)
            vm_quarantine_begin(q, vm, until);
    }
}

static void vm_quarantine_log_fault(const VM *vm, const FaultLimit *limit, uint64_t usec)
{
    char until[40] = "until an administrator releases it", line[200];

    if (usec != UINT64_MAX)
        snprintf(until, sizeof(until), "for %llu s", (unsigned long long) (usec / USEC_PER_SEC));
    snprintf(line, sizeof(line),
             "quarantined %s: %u of its requests ran into RequestTimeoutSec= or took executors "
             "down (FaultLimit=)",
             until, limit->max);
    vm_quarantine_log(vm, line);
}

void vm_quarantine_fault(VMQuarantine *q, VM *vm)
{
    const FaultLimit *limit = &q->config->fault_limit;
    uint64_t usec, until;

    /* Several of its requests may have been at fault at once. */
    if (vm->quarantined || (vm_is_gone(vm) && !vm->process) ||
        (vm->process && (origin_is_quarantined(vm->process) || !origin_watch(vm->process))))
        return;
    usec = fault_record_add(vm_faults(vm), limit, now_usec());
    if (usec == 0)
        return;

    until = usec == UINT64_MAX ? usec : clock_usec(CLOCK_REALTIME) + usec;
    if (vm->process)
        vm_quarantine_process(q, vm->process, until);
    else
        vm_quarantine_begin(q, vm, until);
    if (!vm_is_gone(vm))
        vm_quarantine_log_fault(vm, limit, usec);
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
