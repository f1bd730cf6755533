/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session-bus.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bus-property.h"
#include "bus-util.h"
#include "cleanup.h"
#include "names.h"
#include "parse.h"
#include "session-text.h"

/* ---- Properties ---------------------------------------------------------------------------- */

static int get_session_vm(sd_bus *bus, const char *path, const char *interface,
                          const char *property, sd_bus_message *reply, void *userdata,
                          sd_bus_error *error)
{
    const Session *s = userdata;
    CLEANUP_FREE char *vm = bus_object_path(VGPU_OBJECT_VM, s->vm->name);

    (void) bus, (void) path, (void) interface, (void) property, (void) error;

    return vm ? sd_bus_message_append(reply, "o", vm) : -ENOMEM;
}

static BUS_PROPERTY_GET(get_session_pool, "s", Session, s, (const char[]){s->pool->name, '\0'});
static BUS_PROPERTY_GET(get_session_device, "s", Session, s, s->device);
static BUS_PROPERTY_GET(get_command, "s", Session, s, s->command);
static BUS_PROPERTY_GET(get_session_state, "s", Session, s, session_state_to_string(s->state));
static BUS_PROPERTY_GET(get_executor, "u", Session, s, (uint32_t) session_executor(s));

/* What the executor counts is looked at when somebody asks. */
#define GET_FIGURE(function, type, field) \
    BUS_PROPERTY_GET(function, type, Session, s, session_figures((Session *) s)->field)

static GET_FIGURE(get_memory, "t", memory);
static GET_FIGURE(get_memory_peak, "t", memory_peak);
static GET_FIGURE(get_images, "t", images);
static GET_FIGURE(get_device_time, "t", device_usec);
static GET_FIGURE(get_launches, "t", launches);
static GET_FIGURE(get_operations, "t", operations);
static GET_FIGURE(get_bytes_to_device, "t", bytes_to_device);
static GET_FIGURE(get_bytes_from_device, "t", bytes_from_device);
static GET_FIGURE(get_cuda_error, "u", sticky);

/* ---- The end of one ------------------------------------------------------------------------ */

static int session_bus_end(sd_bus_message *call, Session *s, sd_bus_error *error)
{
    BusContext *context = bus_context(call);
    int r = access_check(&context->access, call, s->vm->name, error);
    LogContext about;
    LogChange change;

    if (r <= 0)
        return r < 0 ? r : 1;

    about = s->vm->client.log;
    about.session = s->id;
    change = bus_change(context, NULL, NULL, NULL);
    log_event(VGPU_MESSAGE_VM_CHANGED, &about, &change, "CUDA session %u of ring %u is to end",
              s->id, s->ring);
    session_end(s, SESSION_ENDED_ON_CALL);
    return sd_bus_reply_method_return(call, NULL);
}

static int session_method_end(sd_bus_message *call, void *userdata, sd_bus_error *error)
{
    return session_bus_end(call, userdata, error);
}

int session_bus_end_session(sd_bus_message *call, void *userdata, sd_bus_error *error)
{
    const BusContext *context = userdata;
    uint32_t id;
    Session *s;
    int r;

    r = sd_bus_message_read(call, "u", &id);
    if (r < 0)
        return r;
    s = sessions_find(context->sessions, id);
    if (!s)
        return sd_bus_error_setf(error, VGPU_BUS_ERROR_NO_SUCH_SESSION,
                                 "There is no CUDA session %u.", id);
    return session_bus_end(call, s, error);
}

static const sd_bus_vtable session_vtable[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_METHOD_WITH_ARGS("End", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, session_method_end,
                            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_PROPERTY("ID", "u", NULL, offsetof(Session, id), SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("VM", "o", get_session_vm, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("Ring", "u", NULL, offsetof(Session, ring), SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("Pool", "s", get_session_pool, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("Device", "s", get_session_device, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("GuestPID", "u", NULL, offsetof(Session, guest_pid), 0),
    SD_BUS_PROPERTY("Command", "s", get_command, 0, 0),
    SD_BUS_PROPERTY("State", "s", get_session_state, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_PROPERTY("StartTimestamp", "t", NULL, offsetof(Session, start_usec),
                    SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("ExecutorPID", "u", get_executor, 0, 0),
    SD_BUS_PROPERTY("MemoryBytes", "t", get_memory, 0, 0),
    SD_BUS_PROPERTY("MemoryPeakBytes", "t", get_memory_peak, 0, 0),
    SD_BUS_PROPERTY("ImagesBytes", "t", get_images, 0, 0),
    SD_BUS_PROPERTY("DeviceTimeUSec", "t", get_device_time, 0, 0),
    SD_BUS_PROPERTY("Launches", "t", get_launches, 0, 0),
    SD_BUS_PROPERTY("Operations", "t", get_operations, 0, 0),
    SD_BUS_PROPERTY("BytesToDevice", "t", get_bytes_to_device, 0, 0),
    SD_BUS_PROPERTY("BytesFromDevice", "t", get_bytes_from_device, 0, 0),
    SD_BUS_PROPERTY("CUDAError", "u", get_cuda_error, 0, 0),
    SD_BUS_VTABLE_END,
};

/* ---- Objects ------------------------------------------------------------------------------- */

/* One number has one path: without zeros in front. */
static int find_session(sd_bus *bus, const char *path, const char *interface, void *userdata,
                        void **ret_found, sd_bus_error *error)
{
    const char *number = path + strlen(VGPU_OBJECT_SESSION) + 1;
    char expected[SESSION_PATH_SIZE];
    uint32_t id;

    (void) bus, (void) interface, (void) error;

    if (strlen(path) < sizeof(VGPU_OBJECT_SESSION) || parse_u32(number, 1, UINT32_MAX, &id) < 0 ||
        strcmp(session_path(id, expected), path) != 0)
        return 0;

    *ret_found = sessions_find(((BusContext *) userdata)->sessions, id);
    return *ret_found != NULL;
}

static int enumerate_sessions(sd_bus *bus, const char *prefix, void *userdata, char ***ret_nodes,
                              sd_bus_error *error)
{
    const Sessions *sessions = ((BusContext *) userdata)->sessions;
    char **nodes = calloc(sessions->n + 1, sizeof(*nodes));
    char path[SESSION_PATH_SIZE];
    unsigned n = 0;

    (void) bus, (void) prefix, (void) error;

    if (!nodes)
        return -ENOMEM;
    for (Session *s = sessions_next(sessions, NULL); s; s = sessions_next(sessions, s)) {
        nodes[n] = strdup(session_path(s->id, path));
        if (!nodes[n])
            break;
        n++;
    }

    *ret_nodes = nodes;
    return 1;
}

int session_bus_add_objects(BusContext *context, sd_bus *bus)
{
    int r = sd_bus_add_fallback_vtable(bus, NULL, VGPU_OBJECT_SESSION, VGPU_INTERFACE_SESSION,
                                       session_vtable, find_session, context);

    return r < 0 ? r
                 : sd_bus_add_node_enumerator(bus, NULL, VGPU_OBJECT_SESSION, enumerate_sessions,
                                              context);
}

/* ---- Answers about all --------------------------------------------------------------------- */

/* Calls @append for each session of @vm. */
static int session_bus_for_each(BusContext *context, sd_bus_message *m, const VM *vm,
                                int (*append)(sd_bus_message *m, Session *s))
{
    const Sessions *sessions = context->sessions;
    int r = 0;

    if (vm->n_users == 0)
        return 0;
    for (Session *s = sessions_next(sessions, NULL); s && r >= 0; s = sessions_next(sessions, s)) {
        if (s->vm != vm)
            continue;
        session_signals_in_reply(&context->session_signals, s);
        r = append(m, s);
    }
    return r < 0 ? r : 0;
}

static int session_bus_append(sd_bus_message *m, Session *s)
{
    const sd_bus_vtable *const table = session_vtable;
    char path[SESSION_PATH_SIZE];

    return bus_append_object(m, session_path(s->id, path), VGPU_INTERFACE_SESSION, &table, 1, s);
}

int session_bus_append_all(BusContext *context, sd_bus_message *m, const VM *vm)
{
    return session_bus_for_each(context, m, vm, session_bus_append);
}

static int list_sessions_begin(sd_bus_message *reply, void *userdata)
{
    (void) userdata;

    return sd_bus_message_open_container(reply, 'a', "(uoosus)");
}

static int append_row(sd_bus_message *m, Session *s)
{
    CLEANUP_FREE char *vm = bus_object_path(VGPU_OBJECT_VM, s->vm->name);
    char path[SESSION_PATH_SIZE];

    if (!vm)
        return -ENOMEM;
    return sd_bus_message_append(m, "(uoosus)", s->id, session_path(s->id, path), vm, s->command,
                                 s->guest_pid, session_state_to_string(s->state));
}

static int list_sessions_append(sd_bus_message *reply, VM *vm, void *userdata)
{
    return session_bus_for_each(userdata, reply, vm, append_row);
}

static int list_sessions_end(sd_bus_message *reply, void *userdata)
{
    (void) userdata;

    return sd_bus_message_close_container(reply);
}

int session_bus_list(sd_bus_message *call, void *userdata, sd_bus_error *error)
{
    static const BusReplyOps ops = {list_sessions_begin, list_sessions_append, list_sessions_end};
    BusContext *context = userdata;

    return bus_replies_add(&context->replies, call, &ops, context, error);
}
