/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bus-util.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "clock.h"
#include "names.h"

/* What a client written with sd-bus gets as errno. */
static const sd_bus_error_map error_map[] = {
    SD_BUS_ERROR_MAP(VGPU_BUS_ERROR_NO_SUCH_VM, ENOENT),
    SD_BUS_ERROR_MAP(VGPU_BUS_ERROR_NO_SUCH_POOL, ENODEV),
    SD_BUS_ERROR_MAP(VGPU_BUS_ERROR_NO_SUCH_SESSION, ENOENT),
    SD_BUS_ERROR_MAP(VGPU_BUS_ERROR_INVALID_PRIORITY, EINVAL),
    SD_BUS_ERROR_MAP(VGPU_BUS_ERROR_INVALID_NAME, EINVAL),
    SD_BUS_ERROR_MAP(VGPU_BUS_ERROR_INVALID_UUID, EINVAL),
    SD_BUS_ERROR_MAP(VGPU_BUS_ERROR_INVALID_LIMIT, ERANGE),
    SD_BUS_ERROR_MAP(VGPU_BUS_ERROR_VM_EXISTS, EEXIST),
    SD_BUS_ERROR_MAP(VGPU_BUS_ERROR_VM_ID_TAKEN, EBUSY),
    SD_BUS_ERROR_MAP(VGPU_BUS_ERROR_NOT_REGISTERED, EPERM),
    SD_BUS_ERROR_MAP(VGPU_BUS_ERROR_NOT_KEPT, EROFS),
    SD_BUS_ERROR_MAP(VGPU_BUS_ERROR_UNREADABLE, EIO),
    SD_BUS_ERROR_MAP_END,
};

int bus_add_errors(void)
{
    return sd_bus_error_add_map(error_map);
}

/* sd-bus lets nobody say this between its own opening and its start. */
static int bus_open_address(const char *address, bool trusted, sd_bus **ret)
{
    sd_bus *bus = NULL;
    int r = sd_bus_new(&bus);

    if (r >= 0)
        r = sd_bus_set_address(bus, address);
    if (r >= 0)
        r = sd_bus_set_bus_client(bus, true);
    if (r >= 0)
        r = sd_bus_set_trusted(bus, trusted);
    if (r >= 0)
        r = sd_bus_negotiate_fds(bus, false);
    if (r >= 0)
        r = sd_bus_start(bus);
    if (r < 0) {
        sd_bus_unref(bus);
        return r;
    }

    *ret = bus;
    return 0;
}

int bus_open_system(sd_bus **ret)
{
    const char *address = secure_getenv("DBUS_SYSTEM_BUS_ADDRESS");

    return bus_open_address(address ? address : "unix:path=/run/dbus/system_bus_socket", false,
                            ret);
}

int bus_open_user(sd_bus **ret)
{
    const char *address = secure_getenv("DBUS_SESSION_BUS_ADDRESS"),
               *directory = secure_getenv("XDG_RUNTIME_DIR");
    char own[PATH_MAX];

    if (!address && !directory)
        return -ENOMEDIUM;
    if (!address && snprintf(own, sizeof(own), "unix:path=%s/bus", directory) >= (int) sizeof(own))
        return -ENAMETOOLONG;
    return bus_open_address(address ? address : own, true, ret);
}

/* A property without a getter is where its offset leads to. */
static int bus_append_value(sd_bus_message *m, const char *path, const char *interface,
                            const sd_bus_vtable *property, void *object)
{
    const char *signature = property->x.property.signature;
    char *value = (char *) object + property->x.property.offset;

    if (property->x.property.get)
        return property->x.property.get(sd_bus_message_get_bus(m), path, interface,
                                        property->x.property.member, m, value, NULL);
    return sd_bus_message_append_basic(m, signature[0],
                                       signature[0] == 's' ? *(char **) value : value);
}

static int bus_append_property(sd_bus_message *m, const char *path, const char *interface,
                               const sd_bus_vtable *property, void *object)
{
    int r = sd_bus_message_open_container(m, 'e', "sv");

    if (r >= 0)
        r = sd_bus_message_append_basic(m, 's', property->x.property.member);
    if (r >= 0)
        r = sd_bus_message_open_container(m, 'v', property->x.property.signature);
    if (r >= 0)
        r = bus_append_value(m, path, interface, property, object);
    if (r >= 0)
        r = sd_bus_message_close_container(m);
    return r < 0 ? r : sd_bus_message_close_container(m);
}

static int bus_append_interface(sd_bus_message *m, const char *path, const char *interface,
                                const sd_bus_vtable *const *tables, unsigned n_tables, void *object)
{
    int r = sd_bus_message_open_container(m, 'e', "sa{sv}");

    if (r >= 0)
        r = sd_bus_message_append_basic(m, 's', interface);
    if (r >= 0)
        r = sd_bus_message_open_container(m, 'a', "{sv}");
    for (unsigned i = 0; i < n_tables; i++)
        for (const sd_bus_vtable *v = tables[i]; v->type != _SD_BUS_VTABLE_END && r >= 0; v++)
            if (v->type == _SD_BUS_VTABLE_PROPERTY)
                r = bus_append_property(m, path, interface, v, object);
    if (r >= 0)
        r = sd_bus_message_close_container(m);
    return r < 0 ? r : sd_bus_message_close_container(m);
}

int bus_append_object(sd_bus_message *m, const char *path, const char *interface,
                      const sd_bus_vtable *const *tables, unsigned n_tables, void *object)
{
    int r = sd_bus_message_open_container(m, 'e', "oa{sa{sv}}");

    if (r >= 0)
        r = sd_bus_message_append_basic(m, 'o', path);
    if (r >= 0)
        r = sd_bus_message_open_container(m, 'a', "{sa{sv}}");
    if (r >= 0)
        r = sd_bus_message_append(m, "{sa{sv}}{sa{sv}}{sa{sv}}", "org.freedesktop.DBus.Peer", 0,
                                  "org.freedesktop.DBus.Introspectable", 0,
                                  "org.freedesktop.DBus.Properties", 0);
    if (r >= 0)
        r = bus_append_interface(m, path, interface, tables, n_tables, object);
    if (r >= 0)
        r = sd_bus_message_close_container(m);
    return r < 0 ? r : sd_bus_message_close_container(m);
}

int bus_add_timer(sd_event *event, int priority, sd_event_time_handler_t handler, void *userdata,
                  sd_event_source **ret)
{
    int r;

    r = sd_event_add_time(event, ret, CLOCK_MONOTONIC, UINT64_MAX / 2, 10 * USEC_PER_MSEC, handler,
                          userdata);
    if (r >= 0)
        r = sd_event_source_set_priority(*ret, priority);
    if (r >= 0)
        r = sd_event_source_set_enabled(*ret, SD_EVENT_OFF);
    return r < 0 ? r : 0;
}

char *bus_object_path(const char *prefix, const char *name)
{
    char *path = NULL;

    return sd_bus_path_encode(prefix, name, &path) < 0 ? NULL : path;
}
