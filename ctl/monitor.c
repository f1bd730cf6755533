/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* monitor: a line for each change, as it happens. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-event.h>
#include <time.h>

#include "ctl.h"
#include "json.h"
#include "names.h"
#include "text.h"

typedef struct Monitor {
    sd_event *event;
    bool json;
} Monitor;

/* Begins a line: when, and what happened to whom. @name NULL: to the mediator. */
static void monitor_begin(bool json, const char *kind, const char *name, const char *event)
{
    struct timespec now;
    struct tm tm;
    char when[32];

    clock_gettime(CLOCK_REALTIME, &now);
    if (json) {
        printf("{\"timestamp\":%" PRIu64 ",\"event\":\"%s\"",
               (uint64_t) now.tv_sec * USEC_PER_SEC + (uint64_t) now.tv_nsec / 1000, event);
        if (name) {
            printf(",\"%s\":", kind);
            json_string(stdout, name);
        }
        return;
    }

    if (!localtime_r(&now.tv_sec, &tm) || strftime(when, sizeof(when), "%b %d %H:%M:%S", &tm) == 0)
        when[0] = '\0';
    printf("%s.%06ld ", when, now.tv_nsec / 1000);
    if (name) {
        CLEANUP_FREE char *escaped = text_escape(name);

        printf("%s %s %s", strcmp(kind, "vm") == 0 ? "VM" : kind, escaped ? escaped : "", event);
    } else {
        printf("mediator %s", event);
    }
}

/* Ends a line. Where it cannot be written, the monitor ends: main() says why. */
static void monitor_end(const Monitor *m)
{
    puts(m->json ? "}" : "");
    if (fflush(stdout) != 0)
        (void) sd_event_exit(m->event, -EIO);
}

/* ---- Values ------------------------------------------------------------------------------- */

/* Writes a value for people: as in JSON, but without quotes, and escaped for the terminal. */
static int write_text(sd_bus_message *m)
{
    CLEANUP_FREE char *text = NULL, *escaped = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    int r;

    if (!f)
        return -ENOMEM;
    r = json_value(f, m);
    if (fclose(f) != 0)
        r = -ENOMEM;
    if (r < 0)
        return r;

    if (size >= 2 && text[0] == '"') {
        text[size - 1] = '\0';
        memmove(text, text + 1, size - 1);
    }
    escaped = text_escape(text);
    fputs(escaped ? escaped : "", stdout);
    return 0;
}

static int write_property(sd_bus_message *m, bool json, bool first)
{
    const char *property;
    int r;

    r = sd_bus_message_read(m, "s", &property);
    if (r < 0)
        return r;
    if (!json) {
        printf("%s %s=", first ? ":" : "", property);
        return write_text(m);
    }
    if (!first)
        putchar(',');
    json_string(stdout, property);
    putchar(':');
    return json_value(stdout, m);
}

/* Reads a{sv}, the properties that have a new value, and writes them. */
static int write_changed(sd_bus_message *m, bool json)
{
    bool first = true;
    int r;

    if (json)
        fputs(",\"properties\":{", stdout);
    r = sd_bus_message_enter_container(m, 'a', "{sv}");
    if (r < 0)
        return r;
    while ((r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
        r = write_property(m, json, first);
        if (r >= 0)
            r = sd_bus_message_exit_container(m);
        if (r < 0)
            return r;
        first = false;
    }
    if (json)
        putchar('}');
    return r < 0 ? r : sd_bus_message_exit_container(m);
}

/* ---- Events ------------------------------------------------------------------------------- */

static int monitor_on_vm(const Monitor *monitor, sd_bus_message *m, const char *event)
{
    const char *name;
    int r = sd_bus_message_read(m, "s", &name);

    if (r < 0)
        return r;
    monitor_begin(monitor->json, "vm", name, event);
    monitor_end(monitor);
    return 0;
}

static int monitor_on_properties(const Monitor *monitor, sd_bus_message *m)
{
    bool json = monitor->json;
    CLEANUP_FREE char *vm = NULL, *pool = NULL, *session = NULL;
    const char *path = sd_bus_message_get_path(m), *interface;
    int r;

    r = sd_bus_message_read(m, "s", &interface);
    if (r < 0)
        return r;
    if (sd_bus_path_decode(path, VGPU_OBJECT_VM, &vm) > 0)
        monitor_begin(json, "vm", vm, "changed");
    else if (sd_bus_path_decode(path, VGPU_OBJECT_POOL, &pool) > 0)
        monitor_begin(json, "pool", pool, "changed");
    else if (sd_bus_path_decode(path, VGPU_OBJECT_SESSION, &session) > 0)
        monitor_begin(json, "session", session, "changed");
    else
        monitor_begin(json, NULL, NULL, "changed");
    r = write_changed(m, json);
    monitor_end(monitor);
    return r;
}

static int monitor_on_signal(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
    const Monitor *monitor = userdata;
    int r = 0;

    (void) error;

    if (sd_bus_message_is_signal(m, VGPU_INTERFACE_MANAGER, "VMAdded") > 0)
        r = monitor_on_vm(monitor, m, "added");
    else if (sd_bus_message_is_signal(m, VGPU_INTERFACE_MANAGER, "VMRemoved") > 0)
        r = monitor_on_vm(monitor, m, "removed");
    else if (sd_bus_message_is_signal(m, "org.freedesktop.DBus.Properties", "PropertiesChanged"))
        r = monitor_on_properties(monitor, m);
    if (r < 0)
        print_error("Ignoring a signal that makes no sense: %s", strerror(-r));
    return 0;
}

static int monitor_on_owner(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
    const Monitor *monitor = userdata;
    const char *name, *before, *after;

    (void) error;

    if (sd_bus_message_read(m, "sss", &name, &before, &after) < 0)
        return 0;
    if (*before) {
        monitor_begin(monitor->json, NULL, NULL, "stopped");
        monitor_end(monitor);
    }
    if (*after) {
        monitor_begin(monitor->json, NULL, NULL, "started");
        monitor_end(monitor);
    }
    return 0;
}

static int monitor_on_disconnected(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
    Monitor *monitor = userdata;

    (void) m, (void) error;

    print_error("The connection to the system bus is lost.");
    return sd_event_exit(monitor->event, -ECONNRESET);
}

/* ---- The verb ----------------------------------------------------------------------------- */

static int monitor_add_matches(Monitor *m, sd_bus *bus)
{
    int r;

    r = sd_bus_add_match(bus, NULL,
                         "type='signal',sender='" VGPU_BUS_NAME
                         "',path_namespace='" VGPU_OBJECT_MANAGER "'",
                         monitor_on_signal, m);
    if (r >= 0)
        r = sd_bus_add_match(bus, NULL,
                             "type='signal',sender='org.freedesktop.DBus',"
                             "member='NameOwnerChanged',arg0='" VGPU_BUS_NAME "'",
                             monitor_on_owner, m);
    if (r >= 0)
        r = sd_bus_match_signal(bus, NULL, "org.freedesktop.DBus.Local", NULL,
                                "org.freedesktop.DBus.Local", "Disconnected",
                                monitor_on_disconnected, m);
    return r;
}

int verb_monitor(Context *c, int argc, char **argv)
{
    sd_bus *bus = bus_client_bus(c->client);
    Monitor m = {.json = c->options.table.json != JSON_OFF};
    sigset_t signals;
    int r;

    (void) argc, (void) argv;

    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    (void) sigprocmask(SIG_BLOCK, &signals, NULL);

    r = sd_event_new(&m.event);
    if (r >= 0)
        r = sd_event_add_signal(m.event, NULL, SIGINT, NULL, NULL);
    if (r >= 0)
        r = sd_event_add_signal(m.event, NULL, SIGTERM, NULL, NULL);
    if (r >= 0)
        r = sd_bus_attach_event(bus, m.event, 0);
    if (r >= 0)
        r = monitor_add_matches(&m, bus);
    if (r >= 0) {
        if (!c->options.table.no_legend)
            fputs("Showing changes as they happen.\n", stderr);
        r = sd_event_loop(m.event);
        (void) sd_bus_detach_event(bus);
    } else {
        print_error("Failed to watch the mediator: %s", strerror(-r));
    }
    sd_event_unref(m.event);
    return r;
}
