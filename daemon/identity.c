/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "identity.h"
#include "names.h"

struct IdentityCheck {
    sd_bus *bus;
    sd_bus_slot *slot;
    uint8_t uuid[16];
    IdentityHandler handler;
    void *userdata;
};

IdentityCheck *identity_check_free(IdentityCheck *check)
{
    if (!check)
        return NULL;

    sd_bus_slot_unref(check->slot);
    sd_bus_unref(check->bus);
    free(check);
    return NULL;
}

static int on_id(sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
    IdentityCheck *check = userdata;
    const char *reason = NULL;
    const void *id;
    size_t size;

    (void) error;

    if (sd_bus_message_is_method_error(reply, NULL) ||
        sd_bus_message_enter_container(reply, 'v', "ay") < 0 ||
        sd_bus_message_read_array(reply, 'y', &id, &size) < 0)
        reason = "systemd-machined does not say which machine its process is in";
    else if (size != sizeof(check->uuid) || memcmp(id, check->uuid, size) != 0)
        reason = "its process belongs to another machine, by systemd-machined";

    check->handler(check->userdata, reason);
    return 0;
}

/* Is it a no, or is there nobody to ask? */
static const char *judge_error(const sd_bus_error *e)
{
    static const char *const harmless[] = {
        "org.freedesktop.machine1.NoMachineForPID", SD_BUS_ERROR_SERVICE_UNKNOWN,
        SD_BUS_ERROR_NAME_HAS_NO_OWNER, "org.freedesktop.systemd1.NoSuchUnit",
        "org.freedesktop.systemd1.UnitMasked"};

    for (size_t i = 0; i < sizeof(harmless) / sizeof(harmless[0]); i++)
        if (sd_bus_error_has_name(e, harmless[i]))
            return NULL;
    return "systemd-machined does not answer";
}

static int on_machine(sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
    IdentityCheck *check = userdata;
    const char *path;

    (void) error;

    if (sd_bus_message_is_method_error(reply, NULL)) {
        check->handler(check->userdata, judge_error(sd_bus_message_get_error(reply)));
        return 0;
    }

    check->slot = sd_bus_slot_unref(check->slot);
    if (sd_bus_message_read(reply, "o", &path) < 0 ||
        sd_bus_call_method_async(check->bus, &check->slot, VGPU_MACHINED_NAME, path,
                                 "org.freedesktop.DBus.Properties", "Get", on_id, check, "ss",
                                 VGPU_MACHINED_NAME ".Machine", "Id") < 0)
        check->handler(check->userdata, "systemd-machined cannot be asked");
    return 0;
}

int identity_check_new(sd_bus *bus, pid_t pid, const uint8_t uuid[16], IdentityHandler handler,
                       void *userdata, IdentityCheck **ret)
{
    IdentityCheck *check = calloc(1, sizeof(*check));
    int r;

    if (!check)
        return -ENOMEM;

    check->bus = sd_bus_ref(bus);
    check->handler = handler;
    check->userdata = userdata;
    memcpy(check->uuid, uuid, sizeof(check->uuid));

    r = sd_bus_call_method_async(bus, &check->slot, VGPU_MACHINED_NAME, "/org/freedesktop/machine1",
                                 VGPU_MACHINED_NAME ".Manager", "GetMachineByPID", on_machine,
                                 check, "u", (uint32_t) pid);
    if (r < 0) {
        identity_check_free(check);
        return r;
    }

    *ret = check;
    return 0;
}
