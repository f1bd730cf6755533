/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* sessions and end-session: a line for each CUDA session, and the end of some. */
#include <errno.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"
#include "names.h"
#include "parse.h"
#include "session-info.h"
#include "snapshot.h"
#include "text.h"

/* Bytes of a command in the table. A guest chooses it, and so it could take the place of all other
 * columns. */
#define COMMAND_MAX 24

/* A session, and its command as it is shown. */
typedef struct Row {
    SessionInfo session; /* borrowed */
    char command[COMMAND_MAX + sizeof("...")];
    const char *shown; /* the command */
} Row;

#define ROW(title, key, type, member, drop)                        \
    {                                                              \
        title, key, type, offsetof(Row, member), NULL, false, drop \
    }

static const Column columns[] = {
    ROW("ID", "id", COLUMN_UINT, session.id, 0),
    ROW("VM", "vm", COLUMN_STRING, session.vm, 0),
    ROW("PID", "guest_pid", COLUMN_UINT, session.guest_pid, 6),
    ROW("COMMAND", "command", COLUMN_STRING, shown, 2),
    ROW("POOL", "pool", COLUMN_STRING, session.pool, 8),
    ROW("DEVICE", "device", COLUMN_STRING, session.device, 10),
    ROW("STATE", "state", COLUMN_STATE, session.state, 4),
    ROW("MEM", "memory_bytes", COLUMN_BYTES, session.memory, 1),
    ROW("PEAK", "memory_peak_bytes", COLUMN_BYTES, session.memory_peak, 9),
    ROW("TIME/s", "device_usec", COLUMN_SEC, session.device_time, 3),
    ROW("LAUNCHES", "launches", COLUMN_COUNT, session.launches, 7),
};

/* ---- sessions ----------------------------------------------------------------------------- */

static bool is_named(const char *vm, char *const *names, int n)
{
    for (int i = 0; i < n; i++)
        if (strcmp(vm, names[i]) == 0 || fnmatch(names[i], vm, 0) == 0)
            return true;
    return n == 0;
}

static int set_command(Row *row)
{
    CLEANUP_FREE char *escaped = text_escape(row->session.command);
    size_t n;

    if (!escaped)
        return -ENOMEM;
    n = strlen(escaped);
    if (n > COMMAND_MAX)
        for (n = COMMAND_MAX; n > 0 && ((unsigned char) escaped[n] & 0xc0) == 0x80; n--)
            continue; /* in the middle of a character */
    snprintf(row->command, sizeof(row->command), "%.*s%s", (int) n, escaped,
             escaped[n] ? "..." : "");
    return 0;
}

/* As a table for people; JSON has everything. */
static int print_table(Context *c, const SessionInfo *sessions, size_t n)
{
    CLEANUP_FREE Row *rows = calloc(n + 1, sizeof(*rows));
    int r = 0;

    if (!rows)
        return -ENOMEM;
    for (size_t i = 0; i < n && r >= 0; i++) {
        rows[i].session = sessions[i];
        rows[i].shown = rows[i].command;
        r = set_command(&rows[i]);
    }
    return r < 0 ? r
                 : table_print(&c->options.table, "sessions", "sessions", columns,
                               ELEMENTSOF(columns), rows, n, sizeof(*rows));
}

static int print_sessions(Context *c, const SessionInfo *sessions, size_t n)
{
    open_pager(c);
    if (c->options.table.json == JSON_OFF)
        return print_table(c, sessions, n);
    return table_print(&c->options.table, "sessions", "sessions", session_columns, SESSION_COLUMNS,
                       sessions, n, sizeof(*sessions));
}

/* Says which names are no VM's. A VM without a session is none the less one. Returns 0, or -ENOENT
 * when there was one. */
static int check_names(sd_bus *bus, char **names, int n, sd_bus_error *error)
{
    CLEANUP(cleanup_snapshot) Snapshot *s = NULL;
    int r = n > 0 ? snapshot_get(bus, error, &s) : 0, result = 0;

    if (r < 0)
        return r;
    for (int i = 0; i < n; i++) {
        bool found = false;

        for (size_t j = 0; j < s->n_vms && !found; j++)
            found = is_named(s->vms[j].object.name, &names[i], 1);
        if (found)
            continue;
        print_error("No VM '%s' is known.", names[i]);
        result = -ENOENT;
    }
    return result;
}

int verb_sessions(Context *c, int argc, char **argv)
{
    CLEANUP(cleanup_session_list) SessionList *l = NULL;
    CLEANUP_ERROR sd_bus_error error = SD_BUS_ERROR_NULL;
    sd_bus *bus = bus_client_bus(c->client);
    CLEANUP_FREE SessionInfo *named = NULL;
    int missing, r;
    size_t n = 0;

    r = session_list_get(bus, &error, &l);
    missing = r < 0 ? r : check_names(bus, argv + 1, argc - 1, &error);
    if (r < 0 || (missing < 0 && missing != -ENOENT)) {
        r = r < 0 ? r : missing;
        print_error("Failed to list sessions: %s", bus_client_strerror(&error, r));
        return r;
    }

    named = calloc(l->n + 1, sizeof(*named));
    if (!named)
        return -ENOMEM;
    for (size_t i = 0; i < l->n; i++)
        if (is_named(l->sessions[i].vm, argv + 1, argc - 1))
            named[n++] = l->sessions[i];
    if (missing < 0 && n == 0)
        return missing;
    r = print_sessions(c, named, n);
    return r < 0 ? r : missing;
}

/* ---- end-session --------------------------------------------------------------------------- */

static int end_session(Context *c, const char *text)
{
    CLEANUP_ERROR sd_bus_error error = SD_BUS_ERROR_NULL;
    uint32_t id;
    int r;

    if (parse_u32(text, 0, UINT32_MAX, &id) < 0) {
        print_error("'%s' is no number of a session, as vgpuctl sessions shows them.", text);
        return -EINVAL;
    }
    bus_client_authorize(c->client);
    r = sd_bus_call_method(bus_client_bus(c->client), VGPU_BUS_NAME, VGPU_OBJECT_MANAGER,
                           VGPU_INTERFACE_MANAGER, "EndSession", &error, NULL, "u", id);
    if (r < 0)
        print_error("Failed to end session %" PRIu32 ": %s", id, bus_client_strerror(&error, r));
    return r;
}

/* Tries each session. The first failure, if there is one, is the result. */
int verb_end_session(Context *c, int argc, char **argv)
{
    int failure = 0;

    for (int i = 1; i < argc; i++) {
        int r = end_session(c, argv[i]);

        failure = failure < 0 ? failure : r;
    }
    return failure;
}
