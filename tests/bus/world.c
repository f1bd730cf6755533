/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "test.h"
#include "world.h"

TestBus test_bus;
sd_bus *bus;

int world_start(const char *config)
{
    if (test_bus_start(&test_bus) < 0 || test_mediator_start(&mediator, config, "system") < 0 ||
        sd_bus_open_system(&bus) < 0)
        return -1;
    if (sd_bus_add_match(bus, NULL, "type='signal',path_namespace='" VGPU_OBJECT_MANAGER "'", NULL,
                         NULL) < 0)
        return -1;
    wait_for_name();
    return 0;
}

int world_end(void **state)
{
    int r;

    bus = sd_bus_flush_close_unref(bus);
    r = stop(state);
    test_bus_stop(&test_bus);
    return r;
}

void wait_for_name(void)
{
    for (;;) {
        sd_bus_message *reply = NULL;
        sd_bus_error error = SD_BUS_ERROR_NULL;
        int r = sd_bus_call_method(bus, VGPU_BUS_NAME, VGPU_OBJECT_MANAGER,
                                   "org.freedesktop.DBus.Peer", "Ping", &error, &reply, NULL);
        bool absent = sd_bus_error_has_name(&error, SD_BUS_ERROR_SERVICE_UNKNOWN) ||
                      sd_bus_error_has_name(&error, SD_BUS_ERROR_NAME_HAS_NO_OWNER);

        sd_bus_error_free(&error);
        sd_bus_message_unref(reply);
        if (r >= 0)
            return;
        assert_true(absent);
    }
}

void restart_mediator(int signal)
{
    assert_int_equal(test_mediator_signal_and_wait(&mediator, signal),
                     signal == SIGKILL ? 128 + SIGKILL : 0);
    assert_int_equal(test_mediator_run(&mediator, "system"), 0);
    wait_for_name();
}

uint64_t get_u64(const char *path, const char *interface, const char *property)
{
    uint64_t value;

    assert_true(sd_bus_get_property_trivial(bus, VGPU_BUS_NAME, path, interface, property, NULL,
                                            't', &value) >= 0);
    return value;
}

uint32_t get_u32(const char *path, const char *interface, const char *property)
{
    uint32_t value;

    assert_true(sd_bus_get_property_trivial(bus, VGPU_BUS_NAME, path, interface, property, NULL,
                                            'u', &value) >= 0);
    return value;
}

void expect_text(const char *path, const char *interface, const char *property,
                 const char *expected)
{
    char *value = NULL;

    assert_true(sd_bus_get_property_string(bus, VGPU_BUS_NAME, path, interface, property, NULL,
                                           &value) >= 0);
    assert_string_equal(value, expected);
    free(value);
}

bool get_bool(const char *path, const char *interface, const char *property)
{
    int value;

    assert_true(sd_bus_get_property_trivial(bus, VGPU_BUS_NAME, path, interface, property, NULL,
                                            'b', &value) >= 0);
    return value;
}

void call_object(const char *error, const char *path, const char *interface, const char *member,
                 const char *types, ...)
{
    sd_bus_error got = SD_BUS_ERROR_NULL;
    va_list ap;
    int r;

    va_start(ap, types);
    r = sd_bus_call_methodv(bus, VGPU_BUS_NAME, path, interface, member, &got, NULL, types, ap);
    va_end(ap);

    if (!error && r < 0)
        fail_msg("%s: %s: %s", member, got.name, got.message);
    if (error && !sd_bus_error_has_name(&got, error))
        fail_msg("%s: %s: %s instead of %s", member, got.name, got.message, error);
    sd_bus_error_free(&got);
}

uint32_t register_vm(const char *name, uint8_t tag, const char *pool, const char *priority)
{
    sd_bus_message *reply = NULL;
    sd_bus_error error = SD_BUS_ERROR_NULL;
    uint32_t id;
    char uuid[33];
    int r;

    for (unsigned i = 0; i < 16; i++)
        snprintf(uuid + 2 * i, 3, "%02x", tag);
    r = sd_bus_call_method(bus, VGPU_BUS_NAME, VGPU_OBJECT_MANAGER, VGPU_INTERFACE_MANAGER,
                           "RegisterVM", &error, &reply, "ssssa{sv}", name, uuid, pool, priority,
                           0);
    if (r < 0)
        fail_msg("RegisterVM: %s", error.message);
    assert_true(sd_bus_message_read(reply, "uo", &id, NULL) > 0);
    sd_bus_message_unref(reply);
    return id;
}

void hello(int fd, uint8_t tag, uint8_t claimed_priority, const uint8_t resume[16])
{
    VGPUHello message = {0};
    VGPUSocketHeader h = wire_header(VGPU_MSG_HELLO, 1, 70, claimed_priority, sizeof(message));

    memset(message.uuid, tag, sizeof(message.uuid));
    if (resume)
        memcpy(message.resume, resume, sizeof(message.resume));
    assert_true(wire_send(fd, &h, &message));
}

VGPUWelcome expect_welcome(int fd)
{
    VGPUWelcome welcome;
    WireMessage m;

    assert_int_equal(wire_receive(fd, &m), 1);
    assert_int_equal(m.header.msg_type, VGPU_MSG_WELCOME);
    assert_int_equal(m.header.request_id, 70);
    memcpy(&welcome, m.payload, sizeof(welcome));
    return welcome;
}

void expect_quarantined(int fd, uint32_t id)
{
    WireMessage m;

    assert_int_equal(wire_receive(fd, &m), 1);
    assert_int_equal(m.header.msg_type, VGPU_MSG_QUARANTINED);
    assert_int_equal(m.header.request_id, id);
}

static bool is_signal(sd_bus_message *m, const char *path, const char *member, const char *first)
{
    const char *text = NULL;

    if (!m || sd_bus_message_is_signal(m, NULL, member) <= 0 ||
        (path && strcmp(sd_bus_message_get_path(m), path) != 0))
        return false;
    return sd_bus_message_read_basic(m, sd_bus_message_get_signature(m, true)[0], &text) > 0 &&
           strcmp(text, first) == 0;
}

void expect_signal(const char *path, const char *member, const char *first)
{
    for (bool found = false; !found;) {
        sd_bus_message *m = NULL;
        int r = sd_bus_process(bus, &m);

        assert_true(r >= 0);
        if (r == 0)
            assert_true(sd_bus_wait(bus, UINT64_C(20000000)) > 0);
        found = is_signal(m, path, member, first);
        sd_bus_message_unref(m);
    }
}
