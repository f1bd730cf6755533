/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "status-line.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#include "clock.h"

#define INTERVAL_USEC UINT64_C(1000000)

/* Nobody waits for it: it may coincide with something else. */
#define ACCURACY_USEC UINT64_C(250000)

__attribute__((format(printf, 2, 3))) static void status_line_append(char *text, const char *format,
                                                                     ...)
{
    size_t n = strlen(text);
    va_list ap;

    va_start(ap, format);
    vsnprintf(text + n, STATUS_LINE_SIZE - n, format, ap);
    va_end(ap);
}

static void status_line_append_vms(const VMRegistry *vms, char *text)
{
    unsigned connected = 0;
    const VM *vm;

    TAILQ_FOREACH(vm, &vms->list, link)
    {
        connected += vm_is_connected(vm);
    }
    status_line_append(text, "%u VM%s, %u connected", vms->n, vms->n == 1 ? "" : "s", connected);
}

static void status_line_append_pools(const Pools *pools, char *text)
{
    const char *before = pools_count(pools) == 1 ? "; pool " : "; pools ";

    POOLS_FOREACH(p, pools)
    {
        const char *backend = executor_device(pool_executor(p))->backend;

        status_line_append(text, "%s%c (%s%s)", before, p->name, backend[0] ? backend : "starting",
                           p->queue.scheduler.held ? ", paused" : "");
        before = ", ";
    }
}

/* What an administrator may have forgotten. */
static void status_line_append_held(const VMRegistry *vms, char *text)
{
    unsigned paused = 0, quarantined = 0;
    const VM *vm;

    TAILQ_FOREACH(vm, &vms->list, link)
    {
        paused += vm->paused;
        quarantined += vm->quarantined;
    }
    if (paused > 0)
        status_line_append(text, "; %u paused", paused);
    if (quarantined > 0)
        status_line_append(text, "; %u quarantined", quarantined);
}

static int status_line_on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
    StatusLine *s = userdata;
    Manager *m = s->manager;
    char text[STATUS_LINE_SIZE] = "";

    (void) source, (void) usec;

    s->pending = false;
    /* Then the line says that the service ends. */
    if (manager_is_draining(m))
        return 0;

    status_line_append_vms(manager_vms(m), text);
    status_line_append_pools(manager_pools(m), text);
    status_line_append_held(manager_vms(m), text);
    if (strcmp(text, s->text) == 0)
        return 0;

    memcpy(s->text, text, sizeof(s->text));
    s->next_usec = now_usec() + INTERVAL_USEC;
    (void) sd_notifyf(false, "STATUS=%s", text);
    return 0;
}

void status_line_changed(StatusLine *s)
{
    if (s->pending)
        return;

    s->pending = true;
    (void) sd_event_source_set_time(s->timer, s->next_usec);
    (void) sd_event_source_set_enabled(s->timer, SD_EVENT_ONESHOT);
}

int status_line_init(StatusLine *s, Manager *m)
{
    int r;

    s->manager = m;
    r = sd_event_add_time(manager_event(m), &s->timer, CLOCK_MONOTONIC, UINT64_MAX / 2,
                          ACCURACY_USEC, status_line_on_timer, s);
    if (r >= 0)
        r = sd_event_source_set_priority(s->timer, SD_EVENT_PRIORITY_IDLE);
    if (r >= 0)
        r = sd_event_source_set_enabled(s->timer, SD_EVENT_OFF);
    return r < 0 ? r : 0;
}

void status_line_free(StatusLine *s)
{
    s->timer = sd_event_source_disable_unref(s->timer);
}
