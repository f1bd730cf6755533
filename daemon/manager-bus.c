/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bus-property.h"
#include "bus-util.h"
#include "cleanup-bus.h"
#include "clock.h"
#include "manager-bus.h"
#include "names.h"
#include "override-methods.h"
#include "pool-bus.h"
#include "session-bus.h"
#include "version.h"
#include "vm-bus.h"
#include "vm-methods.h"

static int append_vm(sd_bus_message *reply, const VM *vm)
{
    CLEANUP_FREE char *path = bus_object_path(VGPU_OBJECT_VM, vm->name);
    char pool[2] = {vm->settings.pool, '\0'};

    if (!path)
        return -ENOMEM;
    return sd_bus_message_append(reply, "(susso)", vm->name, vm->id, pool,
                                 vgpu_priority_to_string(vm->settings.priority), path);
}

/* ---- Answers about all VMs -------------------------------------------------------------- */

static int list_begin(sd_bus_message *reply, void *userdata)
{
    (void) userdata;

    return sd_bus_message_open_container(reply, 'a', "(susso)");
}

static int list_append(sd_bus_message *reply, VM *vm, void *userdata)
{
    BusContext *context = userdata;

    vm_signals_in_reply(&context->signals, vm);
    return append_vm(reply, vm);
}

static int list_end(sd_bus_message *reply, void *userdata)
{
    (void) userdata;

    return sd_bus_message_close_container(reply);
}

static int list_vms(sd_bus_message *call, void *userdata, sd_bus_error *error)
{
    static const BusReplyOps ops = {list_begin, list_append, list_end};
    BusContext *context = userdata;

    return bus_replies_add(&context->replies, call, &ops, context, error);
}

static int objects_begin(sd_bus_message *reply, void *userdata)
{
    (void) userdata;

    return sd_bus_message_open_container(reply, 'a', "{oa{sa{sv}}}");
}

static int objects_append(sd_bus_message *reply, VM *vm, void *userdata)
{
    BusContext *context = userdata;
    int r;

    vm_signals_in_reply(&context->signals, vm);
    r = vm_bus_append(reply, vm);
    return r < 0 ? r : session_bus_append_all(context, reply, vm);
}

/* The pools come last: then none of them can change before the answer is sent. */
static int objects_end(sd_bus_message *reply, void *userdata)
{
    const BusContext *context = userdata;
    int r = 0;

    POOLS_FOREACH(p, context->pools)
    {
        if (r >= 0)
            r = pool_bus_append(reply, p);
    }
    return r < 0 ? r : sd_bus_message_close_container(reply);
}

/* Stands before sd-bus's own answer, which is made in one go. */
static int manager_on_call(sd_bus_message *call, void *userdata, sd_bus_error *error)
{
    static const BusReplyOps ops = {objects_begin, objects_append, objects_end};
    BusContext *context = userdata;

    if (sd_bus_message_is_method_call(call, "org.freedesktop.DBus.ObjectManager",
                                      "GetManagedObjects") <= 0 ||
        sd_bus_message_has_signature(call, "") <= 0)
        return 0;
    return bus_replies_add(&context->replies, call, &ops, context, error);
}

/* What every object has, as sd-bus says it. */
static const char tree_head[] =
    "<!DOCTYPE node PUBLIC \"-//freedesktop//DTD D-BUS Object Introspection 1.0//EN\"\n"
    "\"https://www.freedesktop.org/standards/dbus/1.0/introspect.dtd\">\n"
    "<node>\n"
    " <interface name=\"org.freedesktop.DBus.Peer\">\n"
    "  <method name=\"Ping\"/>\n"
    "  <method name=\"GetMachineId\">\n"
    "   <arg type=\"s\" name=\"machine_uuid\" direction=\"out\"/>\n"
    "  </method>\n"
    " </interface>\n"
    " <interface name=\"org.freedesktop.DBus.Introspectable\">\n"
    "  <method name=\"Introspect\">\n"
    "   <arg name=\"xml_data\" type=\"s\" direction=\"out\"/>\n"
    "  </method>\n"
    " </interface>\n";

static int tree_begin(sd_bus_message *reply, void *userdata)
{
    BusContext *context = userdata;

    (void) reply;

    bus_context_drop_tree(context);
    context->tree = open_memstream(&context->tree_text, &context->tree_size);
    if (!context->tree)
        return -errno;
    return fputs(tree_head, context->tree) < 0 ? -ENOMEM : 0;
}

/* An escaped name needs no escapes in XML. */
static int tree_append(sd_bus_message *reply, VM *vm, void *userdata)
{
    CLEANUP_FREE char *path = bus_object_path(VGPU_OBJECT_VM, vm->name);
    BusContext *context = userdata;

    (void) reply;

    if (!path || fprintf(context->tree, " <node name=\"%s\"/>\n", strrchr(path, '/') + 1) < 0)
        return -ENOMEM;
    return 0;
}

static int tree_end(sd_bus_message *reply, void *userdata)
{
    BusContext *context = userdata;
    bool failed = fputs("</node>\n", context->tree) < 0;
    int r;

    failed |= fclose(context->tree) != 0;
    context->tree = NULL;
    r = failed ? -ENOMEM : sd_bus_message_append(reply, "s", context->tree_text);
    bus_context_drop_tree(context);
    return r;
}

/* The object that has all VMs below it. */
static int tree_on_call(sd_bus_message *call, void *userdata, sd_bus_error *error)
{
    static const BusReplyOps ops = {tree_begin, tree_append, tree_end};
    BusContext *context = userdata;

    if (sd_bus_message_is_method_call(call, "org.freedesktop.DBus.Introspectable", "Introspect") <=
            0 ||
        sd_bus_message_has_signature(call, "") <= 0)
        return 0;
    return bus_replies_add(&context->replies, call, &ops, context, error);
}

/* ---- Pools, numbers, names ------------------------------------------------------------- */

static int append_pool(sd_bus_message *reply, const Pool *p)
{
    char name[2] = {p->name, '\0'};
    CLEANUP_FREE char *path = bus_object_path(VGPU_OBJECT_POOL, name);

    if (!path)
        return -ENOMEM;
    return sd_bus_message_append(reply, "(sso)", name, executor_device(pool_executor(p))->backend,
                                 path);
}

static int list_pools(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
    CLEANUP_MESSAGE sd_bus_message *reply = NULL;
    const BusContext *context = userdata;
    int r;

    (void) error;

    r = sd_bus_message_new_method_return(message, &reply);
    if (r >= 0)
        r = sd_bus_message_open_container(reply, 'a', "(sso)");
    POOLS_FOREACH(p, context->pools)
    {
        if (r >= 0)
            r = append_pool(reply, p);
    }
    if (r >= 0)
        r = sd_bus_message_close_container(reply);
    if (r >= 0)
        r = sd_bus_send(NULL, reply, NULL);
    return r;
}

static BUS_PROPERTY_GET(get_version, "s", BusContext, c, VGPU_VERSION);
static BUS_PROPERTY_GET(get_protocol_version, "u", BusContext, c, VGPU_PROTOCOL_VERSION);
static BUS_PROPERTY_GET(get_n_pools, "u", BusContext, c, pools_count(c->pools));
static BUS_PROPERTY_GET(get_n_vms, "u", BusContext, c, c->vms->n);
static BUS_PROPERTY_GET(get_n_connections, "u", BusContext, c,
                        peers_count(manager_peers(c->manager)));

/* The service's counters are the sums over its pools, computed when asked for. */
#define GET_COUNTER(function, field)               \
    BUS_PROPERTY_GET(function, "t", BusContext, c, \
                     pools_counter(c->pools, offsetof(Statistics, field)))

static GET_COUNTER(get_submitted, submitted);
static GET_COUNTER(get_completed, completed);
static GET_COUNTER(get_failed, failed);
static GET_COUNTER(get_rejected, rejected);

static int reply_path(sd_bus_message *call, const VM *vm)
{
    CLEANUP_FREE char *path = bus_object_path(VGPU_OBJECT_VM, vm->name);

    if (!path)
        return -ENOMEM;
    return sd_bus_reply_method_return(call, "o", path);
}

static int get_vm(sd_bus_message *call, void *userdata, sd_bus_error *error)
{
    const char *name;
    VM *vm;
    int r;

    r = sd_bus_message_read(call, "s", &name);
    if (r < 0)
        return r;
    vm = vm_registry_find(((BusContext *) userdata)->vms, name);
    if (!vm)
        return sd_bus_error_setf(error, VGPU_BUS_ERROR_NO_SUCH_VM, "No VM '%s' is known.", name);
    return reply_path(call, vm);
}

static int get_vm_by_id(sd_bus_message *call, void *userdata, sd_bus_error *error)
{
    uint32_t id;
    VM *vm;
    int r;

    r = sd_bus_message_read(call, "u", &id);
    if (r < 0)
        return r;
    vm = vm_registry_find_by_id(((BusContext *) userdata)->vms, id);
    if (!vm)
        return sd_bus_error_setf(error, VGPU_BUS_ERROR_NO_SUCH_VM, "No VM has the number %u.", id);
    return reply_path(call, vm);
}

static int get_vm_by_pid(sd_bus_message *call, void *userdata, sd_bus_error *error)
{
    uint32_t pid;
    VM *vm;
    int r;

    r = sd_bus_message_read(call, "u", &pid);
    if (r < 0)
        return r;
    vm = vm_registry_find_by_pid(((BusContext *) userdata)->vms, (pid_t) pid);
    if (!vm)
        return sd_bus_error_setf(error, VGPU_BUS_ERROR_NO_SUCH_VM,
                                 "No VM's device connected from process %u.", pid);
    return reply_path(call, vm);
}

static int method_reload(sd_bus_message *call, void *userdata, sd_bus_error *error)
{
    BusContext *context = userdata;
    CLEANUP_FREE char *reason = NULL;
    int r = access_check(&context->access, call, NULL, error);
    LogChange change;

    if (r <= 0)
        return r < 0 ? r : 1;
    change = bus_change(context, NULL, NULL, NULL);
    log_event(VGPU_MESSAGE_SERVICE_CHANGED, NULL, &change, "reading the configuration again");
    r = manager_reload(context->manager, &reason);
    if (reason)
        return sd_bus_error_set(error, VGPU_BUS_ERROR_UNREADABLE, reason);
    return r < 0 ? r : sd_bus_reply_method_return(call, NULL);
}

static int method_reset_statistics(sd_bus_message *call, void *userdata, sd_bus_error *error)
{
    BusContext *context = userdata;
    LogChange change;
    VM *vm;
    int r;

    r = access_check(&context->access, call, NULL, error);
    if (r <= 0)
        return r < 0 ? r : 1;

    change = bus_change(context, NULL, NULL, NULL);
    log_event(VGPU_MESSAGE_SERVICE_CHANGED, NULL, &change, "statistics of all VMs and pools reset");
    TAILQ_FOREACH(vm, &context->vms->list, link)
    {
        vm->client.statistics = (Statistics){0};
        vm_reset_usage(vm);
    }
    POOLS_FOREACH(p, context->pools)
    {
        p->queue.statistics = (Statistics){0};
        busy_reset(&p->queue.busy, now_usec());
    }
    return sd_bus_reply_method_return(call, NULL);
}

static const sd_bus_vtable manager_vtable[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_METHOD_WITH_ARGS("ListVMs", SD_BUS_NO_ARGS, SD_BUS_RESULT("a(susso)", vms), list_vms,
                            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("ListPools", SD_BUS_NO_ARGS, SD_BUS_RESULT("a(sso)", pools), list_pools,
                            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("GetVM", SD_BUS_ARGS("s", name), SD_BUS_RESULT("o", path), get_vm,
                            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("GetVMByID", SD_BUS_ARGS("u", vm_id), SD_BUS_RESULT("o", path),
                            get_vm_by_id, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("GetVMByPID", SD_BUS_ARGS("u", pid), SD_BUS_RESULT("o", path),
                            get_vm_by_pid, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS(
        "RegisterVM", SD_BUS_ARGS("s", name, "s", uuid, "s", pool, "s", priority, "a{sv}", options),
        SD_BUS_RESULT("u", vm_id, "o", path), vm_method_register, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("UnregisterVM", SD_BUS_ARGS("s", name), SD_BUS_NO_RESULT,
                            vm_method_unregister, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("SetVMStarted", SD_BUS_ARGS("s", name, "a{sv}", facts),
                            SD_BUS_NO_RESULT, vm_method_set_started, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("SetVMPriority", SD_BUS_ARGS("s", name, "s", priority, "b", runtime),
                            SD_BUS_NO_RESULT, vm_method_set_priority, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("SetVMPool", SD_BUS_ARGS("s", name, "s", pool, "b", runtime),
                            SD_BUS_NO_RESULT, vm_method_set_pool, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("SetVMLimits", SD_BUS_ARGS("s", name, "a{sv}", limits, "b", runtime),
                            SD_BUS_NO_RESULT, vm_method_set_limits, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("ConfigureVM", SD_BUS_ARGS("s", name, "a{sv}", settings),
                            SD_BUS_NO_RESULT, override_method_configure,
                            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("RevertVM", SD_BUS_ARGS("s", name, "as", settings), SD_BUS_NO_RESULT,
                            override_method_revert, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("ListOverrides", SD_BUS_NO_ARGS, SD_BUS_RESULT("a(ssa{sv})", overrides),
                            override_method_list, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("PauseVM", SD_BUS_ARGS("s", name), SD_BUS_NO_RESULT, vm_method_pause,
                            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("ResumeVM", SD_BUS_ARGS("s", name), SD_BUS_NO_RESULT, vm_method_resume,
                            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("QuarantineVM", SD_BUS_ARGS("s", name), SD_BUS_NO_RESULT,
                            vm_method_quarantine, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("ReleaseVM", SD_BUS_ARGS("s", name), SD_BUS_NO_RESULT,
                            vm_method_release, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("ListSessions", SD_BUS_NO_ARGS, SD_BUS_RESULT("a(uoosus)", sessions),
                            session_bus_list, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("EndSession", SD_BUS_ARGS("u", id), SD_BUS_NO_RESULT,
                            session_bus_end_session, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("Reload", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, method_reload,
                            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("ResetStatistics", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT,
                            method_reset_statistics, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_SIGNAL_WITH_ARGS("VMAdded", SD_BUS_ARGS("s", name, "o", path), 0),
    SD_BUS_SIGNAL_WITH_ARGS("VMRemoved", SD_BUS_ARGS("s", name, "o", path), 0),
    SD_BUS_PROPERTY("Version", "s", get_version, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("ProtocolVersion", "u", get_protocol_version, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("NVMs", "u", get_n_vms, 0, 0),
    SD_BUS_PROPERTY("NPools", "u", get_n_pools, 0, 0),
    SD_BUS_PROPERTY("NConnections", "u", get_n_connections, 0, 0),
    SD_BUS_PROPERTY("RequestsSubmitted", "t", get_submitted, 0, 0),
    SD_BUS_PROPERTY("RequestsCompleted", "t", get_completed, 0, 0),
    SD_BUS_PROPERTY("RequestsFailed", "t", get_failed, 0, 0),
    SD_BUS_PROPERTY("RequestsRejected", "t", get_rejected, 0, 0),
    SD_BUS_VTABLE_END,
};

int manager_bus_add_objects(BusContext *context, sd_bus *bus)
{
    int r = sd_bus_add_object_vtable(bus, NULL, VGPU_OBJECT_MANAGER, VGPU_INTERFACE_MANAGER,
                                     manager_vtable, context);

    if (r >= 0)
        r = sd_bus_add_object(bus, NULL, VGPU_OBJECT_MANAGER, manager_on_call, context);
    if (r >= 0)
        r = sd_bus_add_object(bus, NULL, VGPU_OBJECT_VM, tree_on_call, context);
    return r < 0 ? r : sd_bus_add_object_manager(bus, NULL, VGPU_OBJECT_MANAGER);
}
