/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session-world.h"

#include <stdio.h>
#include <string.h>

#include "test.h"

int session_world_start(void **state)
{
    return world_start(*state ? *state : SESSION_CONFIG);
}

int connect_as(uint8_t tag)
{
    VGPUHello message = {.features = VGPU_FEATURE_RING | VGPU_FEATURE_SESSIONS};
    VGPUSocketHeader h = wire_header(VGPU_MSG_HELLO, 1, 70, 0, sizeof(message));
    int fd = dial();

    memset(message.uuid, tag, sizeof(message.uuid));
    assert_true(wire_send(fd, &h, &message));
    assert_int_equal(expect_welcome(fd).features, VGPU_FEATURE_RING | VGPU_FEATURE_SESSIONS);
    return fd;
}

bool has_object(const char *path)
{
    sd_bus_message *reply = NULL;
    sd_bus_error error = SD_BUS_ERROR_NULL;
    int r = sd_bus_get_property(bus, VGPU_BUS_NAME, path, VGPU_INTERFACE_SESSION, "ID", &error,
                                &reply, "u");

    sd_bus_message_unref(reply);
    sd_bus_error_free(&error);
    return r >= 0;
}

unsigned list_sessions(char *ret_text, size_t size)
{
    sd_bus_message *reply = NULL;
    const char *path, *vm, *command, *session_state;
    uint32_t id, pid;
    unsigned n = 0;

    assert_true(sd_bus_call_method(bus, VGPU_BUS_NAME, VGPU_OBJECT_MANAGER, VGPU_INTERFACE_MANAGER,
                                   "ListSessions", NULL, &reply, NULL) >= 0);
    assert_true(sd_bus_message_enter_container(reply, 'a', "(uoosus)") >= 0);
    while (sd_bus_message_read(reply, "(uoosus)", &id, &path, &vm, &command, &pid, &session_state) >
           0) {
        n++;
        if (ret_text)
            snprintf(ret_text, size, "%u %s %s %s %u %s", id, path, vm, command, pid,
                     session_state);
    }
    sd_bus_message_unref(reply);
    return n;
}
