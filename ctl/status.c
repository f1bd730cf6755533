/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* status: all about VMs, as lines for people or as JSON. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "clock.h"
#include "ctl.h"
#include "session-info.h"
#include "snapshot.h"
#include "text.h"

#define LABEL_WIDTH 15

__attribute__((format(printf, 2, 3))) static void line(const char *label, const char *format, ...)
{
    va_list ap;

    printf("%*s: ", LABEL_WIDTH, label);
    va_start(ap, format);
    vprintf(format, ap);
    va_end(ap);
    putchar('\n');
}

/* The present value, and the registered one if it is another. */
static void print_setting(const char *label, const char *now, const char *configured)
{
    if (strcmp(now, configured) == 0 || !*configured)
        line(label, "%s", now);
    else
        line(label, "%s (configured: %s)", now, configured);
}

static void print_state(const VMInfo *vm, bool colors)
{
    const char *color = !colors                                      ? ""
                        : vm->quarantined                            ? "\033[31m"
                        : vm->paused                                 ? "\033[33m"
                        : vm->connected                              ? "\033[32m"
                        : strcmp(vm->object.state, "no device") == 0 ? "\033[31m"
                                                                     : "";

    line("State", "%s%s%s%s", color, vm->object.state, *color ? "\033[0m" : "",
         vm->registered ? "" : " (not registered)");
}

/* The reason may come from a newer mediator, and so be another. */
static void print_quarantine(const VMInfo *vm)
{
    CLEANUP_FREE char *reason = text_escape(vm->quarantine_reason ? vm->quarantine_reason : "");
    const char *text = reason ? reason : "";
    char when[TEXT_SIZE];

    if (strcmp(text, "administrator") == 0)
        text = "by an administrator";
    else if (strcmp(text, "fault-limit") == 0)
        text = "for its faults";
    if (vm->quarantined_until == UINT64_MAX)
        line("Quarantined", "%s%suntil it is released", text, *text ? ", " : "");
    else if (vm->quarantined_until > 0)
        line("Quarantined", "%s%suntil %s", text, *text ? ", " : "",
             text_timestamp(vm->quarantined_until, when));
    else if (*text)
        line("Quarantined", "%s", text);
}

static void print_device_problem(const VMInfo *vm)
{
    CLEANUP_FREE char *problem = text_escape(vm->device_problem);

    line("Device", "none: %s", problem ? problem : "");
}

/* A process chooses its name in /proc itself, so it is escaped. */
static void print_leader(uint32_t pid)
{
    CLEANUP_FREE char *escaped = NULL;
    char path[32], comm[32] = "";
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%" PRIu32 "/comm", pid);
    f = fopen(path, "re");
    if (f) {
        if (!fgets(comm, sizeof(comm), f))
            comm[0] = '\0';
        comm[strcspn(comm, "\n")] = '\0';
        fclose(f);
    }
    escaped = text_escape(comm);
    if (escaped && *escaped)
        line("Leader PID", "%" PRIu32 " (%s)", pid, escaped);
    else
        line("Leader PID", "%" PRIu32, pid);
}

static void print_times(const char *label, uint64_t p50, uint64_t p95, uint64_t p99, uint64_t max,
                        uint64_t total)
{
    char b[5][TEXT_SIZE];

    line(label, "p50 %s, p95 %s, p99 %s, max %s, total %s", text_usec(p50, b[0]),
         text_usec(p95, b[1]), text_usec(p99, b[2]), text_usec(max, b[3]), text_usec(total, b[4]));
}

static void print_last_request(uint64_t usec)
{
    char when[TEXT_SIZE], ago[TEXT_SIZE];
    uint64_t now = clock_usec(CLOCK_REALTIME);

    line("Last request", "%s; %s ago", text_timestamp(usec, when),
         text_usec(now > usec ? now - usec : 0, ago));
}

static void print_counters(const Counters *c)
{
    char in[TEXT_SIZE], out[TEXT_SIZE];

    line("Requests",
         "%" PRIu64 " submitted, %" PRIu64 " completed, %" PRIu64 " failed, %" PRIu64 " rejected",
         c->submitted, c->completed, c->failed, c->rejected);
    line("Data", "%s in, %s out", text_bytes(c->bytes_in, in), text_bytes(c->bytes_out, out));
    if (c->completed > 0 || c->failed > 0) {
        print_times("Wait", c->wait_p50, c->wait_p95, c->wait_p99, c->wait_max, c->wait);
        print_times("Run", c->execution_p50, c->execution_p95, c->execution_p99, c->execution_max,
                    c->execution);
    }
    if (c->last_request > 0)
        print_last_request(c->last_request);
}

/* The queue's limit stands with its depth, and a rate limit only where there is one. */
static void print_vm_limits(const VMInfo *vm)
{
    char text[VM_SETTING_TEXT_SIZE];

    line("Queue", "%" PRIu32 " of %" PRIu32 "%s", vm->queue_depth, vm->limits.queue_limit,
         vm->paused && vm->window_size > 0 ? ", and what its ring holds" : "");
    if (vm->limits.rate_limit > 0)
        line("Rate limit", "%" PRIu32 "/s", vm->limits.rate_limit);
    for (unsigned i = 0; i < VM_N_SETTINGS; i++)
        if (vm_settings[i].label)
            line(vm_settings[i].label, "%s", vm_setting_print(&vm_settings[i], &vm->limits, text));
}

/* ---- CUDA sessions ------------------------------------------------------------------------ */

/* A guest chooses the command. */
static void print_session(const SessionInfo *s)
{
    CLEANUP_FREE char *command = text_escape(s->command);
    char memory[TEXT_SIZE], peak[TEXT_SIZE], time[TEXT_SIZE], label[32];

    snprintf(label, sizeof(label), "Session %" PRIu32, s->id);
    line(label,
         "%s (guest's PID %" PRIu32 "), %s; memory %s, peak %s; %s on the device, %" PRIu64
         " launches",
         command && *command ? command : "-", s->guest_pid, s->state, text_bytes(s->memory, memory),
         text_bytes(s->memory_peak, peak), text_usec(s->device_time, time), s->launches);
}

/* What its sessions have done, those that have ended too. */
static void print_session_totals(const VMInfo *vm)
{
    char to[TEXT_SIZE], from[TEXT_SIZE], time[TEXT_SIZE];

    line("CUDA work",
         "%s on the device, %" PRIu64 " launches, %s to it, %s from it, %" PRIu64 " faults",
         text_usec(vm->session_device_time, time), vm->session_launches,
         text_bytes(vm->session_to_device, to), text_bytes(vm->session_from_device, from),
         vm->session_faults);
}

/* @sessions: of all VMs; NULL: a mediator without any */
static void print_sessions(const VMInfo *vm, const SessionList *sessions)
{
    char memory[TEXT_SIZE], max[TEXT_SIZE];

    if (!sessions)
        return;
    line("Sessions", "%" PRIu32 " of %" PRIu32 ", with %s of device memory", vm->sessions,
         vm->limits.sessions_max, text_bytes(vm->session_memory, memory));
    if (vm->limits.session_memory_max > 0)
        line("Session memory", "at most %s in all", text_bytes(vm->limits.session_memory_max, max));
    for (size_t i = 0; i < sessions->n; i++)
        if (strcmp(sessions->sessions[i].vm, vm->object.name) == 0)
            print_session(&sessions->sessions[i]);
    if (vm->session_launches > 0 || vm->session_device_time > 0 || vm->session_faults > 0)
        print_session_totals(vm);
}

static void print_vm(const VMInfo *vm, const SessionList *sessions, bool colors)
{
    CLEANUP_FREE char *name = text_escape(vm->object.name);

    printf("%s (%" PRIu32 ")\n", name ? name : "", vm->id);
    if (*vm->uuid)
        line("UUID", "%s", vm->uuid);
    if (vm->unit && *vm->unit)
        line("Unit", "%s", vm->unit);
    if (vm->machine && *vm->machine)
        line("Machine", "%s", vm->machine);
    print_state(vm, colors);
    if (vm->quarantined)
        print_quarantine(vm);
    if (vm->without_device)
        print_device_problem(vm);
    if (vm->leader_pid > 0)
        print_leader(vm->leader_pid);
    print_setting("Pool", vm->pool, vm->configured_pool);
    print_setting("Priority", vm->priority, vm->configured_priority);
    print_vm_limits(vm);
    line("Running", "%" PRIu32, vm->object.counters.in_flight);
    if (!isnan(vm->object.counters.share))
        line("Share", "%.1f%% of the last 10s", vm->object.counters.share * 100);
    print_counters(&vm->object.counters);
    print_sessions(vm, sessions);
}

/* A mediator that is older than sessions has no such method, or its bus's policy lets nobody call
 * it. */
static int get_sessions(Context *c, SessionList **ret)
{
    CLEANUP_ERROR sd_bus_error error = SD_BUS_ERROR_NULL;
    int r = session_list_get(bus_client_bus(c->client), &error, ret);

    if (r >= 0 ||
        sd_bus_error_has_names(&error, SD_BUS_ERROR_UNKNOWN_METHOD, SD_BUS_ERROR_ACCESS_DENIED))
        return 0;
    print_error("Failed to list sessions: %s", bus_client_strerror(&error, r));
    return r;
}

static int status_print(Context *c, const VMInfo *vms, size_t n)
{
    CLEANUP(cleanup_session_list) SessionList *sessions = NULL;
    int r;

    if (n == 0)
        return 0;
    r = c->options.table.json == JSON_OFF ? get_sessions(c, &sessions) : 0;
    open_pager(c);
    if (c->options.table.json != JSON_OFF) {
        const VMColumns columns = vm_info_columns();

        return table_print(&c->options.table, "vms", "VMs", columns.column, columns.n, vms, n,
                           sizeof(*vms));
    }

    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            putchar('\n');
        print_vm(&vms[i], sessions, c->options.table.colors);
    }
    return r;
}

int verb_status(Context *c, int argc, char **argv)
{
    CLEANUP_FREE VMInfo *vms = calloc((size_t) argc, sizeof(*vms));
    size_t n = 0;
    int failure = 0, r;

    if (!vms)
        return -ENOMEM;

    for (int i = 1; i < argc; i++) {
        CLEANUP_ERROR sd_bus_error error = SD_BUS_ERROR_NULL;

        r = vm_info_get(bus_client_bus(c->client), argv[i], &error, &vms[n]);
        if (r >= 0) {
            n++;
            continue;
        }
        print_error("Failed to get status of VM %s: %s", argv[i], bus_client_strerror(&error, r));
        failure = failure < 0 ? failure : r;
    }

    r = status_print(c, vms, n);
    for (size_t i = 0; i < n; i++)
        vm_info_release(&vms[i]);
    return failure < 0 ? failure : r;
}
