/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session-info.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup-bus.h"
#include "names.h"
#include "properties.h"

#define SESSION(property, key, type, member)                     \
    {                                                            \
        NULL, key, type, offsetof(SessionInfo, member), property \
    }

const Column session_columns[SESSION_COLUMNS] = {
    SESSION("ID", "id", COLUMN_UINT, id),
    SESSION(NULL, "vm", COLUMN_STRING, vm),
    SESSION("VM", "vm_object", COLUMN_STRING, vm_path),
    SESSION("GuestPID", "guest_pid", COLUMN_UINT, guest_pid),
    SESSION("Command", "command", COLUMN_STRING, command),
    SESSION("Pool", "pool", COLUMN_STRING, pool),
    SESSION("Device", "device", COLUMN_STRING, device),
    SESSION("Ring", "ring", COLUMN_UINT, ring),
    SESSION("State", "state", COLUMN_STRING, state),
    SESSION("StartTimestamp", "started_usec", COLUMN_COUNT, started),
    SESSION("ExecutorPID", "executor_pid", COLUMN_UINT, executor_pid),
    SESSION("MemoryBytes", "memory_bytes", COLUMN_BYTES, memory),
    SESSION("MemoryPeakBytes", "memory_peak_bytes", COLUMN_BYTES, memory_peak),
    SESSION("ImagesBytes", "images_bytes", COLUMN_BYTES, images),
    SESSION("DeviceTimeUSec", "device_usec", COLUMN_USEC, device_time),
    SESSION("Launches", "launches", COLUMN_COUNT, launches),
    SESSION("Operations", "operations", COLUMN_COUNT, operations),
    SESSION("BytesToDevice", "bytes_to_device", COLUMN_BYTES, to_device),
    SESSION("BytesFromDevice", "bytes_from_device", COLUMN_BYTES, from_device),
    SESSION("CUDAError", "cuda_error", COLUMN_UINT, cuda_error),
};

static int session_compare(const void *a, const void *b)
{
    const SessionInfo *x = a, *y = b;

    return x->id < y->id ? -1 : x->id > y->id;
}

static void session_release(SessionInfo *s)
{
    free(s->vm);
    properties_release(session_columns, SESSION_COLUMNS, s);
}

/* Reads a session, of zeros until now. On failure it is to be released all the same. */
static int session_read(sd_bus_message *m, SessionInfo *s)
{
    int r;

    r = properties_read(m, session_columns, SESSION_COLUMNS, s);
    if (r < 0)
        return r;
    if (!properties_are_all_there(session_columns, SESSION_COLUMNS, s))
        return -EBADMSG;
    r = sd_bus_path_decode(s->vm_path, VGPU_OBJECT_VM, &s->vm);
    return r > 0 ? 0 : r < 0 ? r : -EBADMSG;
}

/* Appends the session at @path, unless it is gone since the list was made. */
static int session_list_add(SessionList *l, sd_bus *bus, const char *path, sd_bus_error *error)
{
    CLEANUP_MESSAGE sd_bus_message *reply = NULL;
    SessionInfo *sessions;
    int r;

    r = sd_bus_call_method(bus, VGPU_BUS_NAME, path, "org.freedesktop.DBus.Properties", "GetAll",
                           error, &reply, "s", VGPU_INTERFACE_SESSION);
    if (r < 0 && sd_bus_error_has_names(error, SD_BUS_ERROR_UNKNOWN_OBJECT,
                                        SD_BUS_ERROR_UNKNOWN_INTERFACE)) {
        sd_bus_error_free(error);
        return 0;
    }
    if (r < 0)
        return r;

    sessions = reallocarray(l->sessions, l->n + 1, sizeof(*sessions));
    if (!sessions)
        return -ENOMEM;
    l->sessions = sessions;
    sessions[l->n] = (SessionInfo){0};
    return session_read(reply, &sessions[l->n++]);
}

int session_list_get(sd_bus *bus, sd_bus_error *error, SessionList **ret)
{
    CLEANUP(cleanup_session_list) SessionList *l = calloc(1, sizeof(*l));
    CLEANUP_MESSAGE sd_bus_message *reply = NULL;
    const char *path, *vm, *command, *state;
    uint32_t id, pid;
    int r;

    if (!l)
        return -ENOMEM;
    r = sd_bus_call_method(bus, VGPU_BUS_NAME, VGPU_OBJECT_MANAGER, VGPU_INTERFACE_MANAGER,
                           "ListSessions", error, &reply, NULL);
    if (r >= 0)
        r = sd_bus_message_enter_container(reply, 'a', "(uoosus)");
    if (r < 0)
        return r;
    while ((r = sd_bus_message_read(reply, "(uoosus)", &id, &path, &vm, &command, &pid, &state)) >
           0) {
        r = session_list_add(l, bus, path, error);
        if (r < 0)
            return r;
    }
    if (r < 0)
        return r;

    if (l->n > 0)
        qsort(l->sessions, l->n, sizeof(*l->sessions), session_compare);
    *ret = TAKE_PTR(l);
    return 0;
}

SessionList *session_list_free(SessionList *l)
{
    if (!l)
        return NULL;
    for (size_t i = 0; i < l->n; i++)
        session_release(&l->sessions[i]);
    free(l->sessions);
    free(l);
    return NULL;
}
