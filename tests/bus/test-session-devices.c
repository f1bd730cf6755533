/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* CUDA sessions in a pool with several devices: the mediator with the real executor, over the fake
 * driver. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "session-peer.h"
#include "test.h"
#include "world.h"

#define MIB (UINT64_C(1) << 20)

#define SESSION(id) VGPU_OBJECT_SESSION "/" id

/* The fake driver's third device */
#define MIG "MIG-76677075-2066-616b-6520-475055202032"
#define GONE "GPU-00000000-0000-0000-0000-000000000000"

static int start(void **state)
{
    setenv("VGPU_FAKE_CUDA", "devices=4", 1);
    setenv("LD_LIBRARY_PATH", getenv("VGPU_FAKE_CUDA_DIR"), 1);
    if (!getenv("VGPU_REAL_EXECUTOR"))
        setenv("VGPU_REAL_EXECUTOR", getenv("VGPU_EXECUTOR"), 1);
    setenv("VGPU_EXECUTOR", getenv("VGPU_FAKE_CUDA_EXECUTOR"), 1);
    return world_start(*state);
}

static int connect_vm(const char *name, uint8_t tag, uint32_t features)
{
    VGPUHello message = {.features = features};
    VGPUSocketHeader h = wire_header(VGPU_MSG_HELLO, 1, 70, 0, sizeof(message));
    int fd;

    register_vm(name, tag, "A", "low");
    call_manager(NULL, "SetVMLimits", "sa{sv}b", name, 1, "SessionsMax", "u", 15, 1);
    fd = dial();
    memset(message.uuid, tag, sizeof(message.uuid));
    assert_true(wire_send(fd, &h, &message));
    assert_int_equal(expect_welcome(fd).features, features);
    return fd;
}

static int connect_web(void)
{
    return connect_vm("web", 1, VGPU_FEATURE_SESSIONS);
}

static void open_session(int fd, SessionGuest *g, uint32_t ring)
{
    session_guest_open(g, NULL);
    session_peer_open(fd, g, ring);
    expect_session_ready(fd, ring, VGPU_ERROR_NONE, 0);
    session_guest_context(g, 1, true);
}

static void allocate(SessionGuest *g, uint64_t size)
{
    const VGPUSessionMemory p = {.size = size};

    assert_int_equal(session_guest_call(g, VGPU_SESSION_OP_MEMORY_ALLOC, 1, &p, sizeof(p)), 0);
}

static void expect_device(const char *session, const char *device)
{
    expect_text(session, VGPU_INTERFACE_SESSION, "Device", device);
}

/* What the guest sees of it */
static void expect_name(SessionGuest *g, const char *name)
{
    const VGPUSessionDeviceInfo p = {{session_guest_alloc(g, 4096), 4096}};

    assert_int_equal(session_guest_call(g, VGPU_SESSION_OP_DEVICE_INFO, 0, &p, sizeof(p)), 0);
    assert_string_equal(((VGPUSessionDevice *) (g->window + p.into.offset))->name, name);
}

static void expect_session_devices(const char *expected)
{
    char **devices, text[1024] = "";

    assert_true(sd_bus_get_property_strv(bus, VGPU_BUS_NAME, POOL_A, VGPU_INTERFACE_POOL,
                                         "SessionDevices", NULL, &devices) >= 0);
    for (char **p = devices; *p; p++) {
        strcat(text, p > devices ? " " : "");
        strcat(text, *p);
        free(*p);
    }
    free(devices);
    assert_string_equal(text, expected);
}

/* Fewest sessions first, then least memory, then the order of the file; each stays where it is. */
TEST(test_least_loaded)
{
    int fd = connect_web();
    SessionGuest g[6];

    expect_session_devices("1 " MIG " 0");
    for (uint32_t ring = 0; ring < 3; ring++)
        open_session(fd, &g[ring], ring + 1);
    expect_device(SESSION("1"), "1");
    expect_device(SESSION("2"), MIG);
    expect_device(SESSION("3"), "0");
    expect_name(&g[0], "Fake GPU 1");
    expect_name(&g[1], "Fake GPU 2");
    expect_name(&g[2], "Fake GPU 0");

    allocate(&g[0], 8 * MIB);
    allocate(&g[1], 4 * MIB);
    allocate(&g[2], 5 * MIB);
    open_session(fd, &g[3], 4);
    expect_device(SESSION("4"), MIG);
    open_session(fd, &g[4], 5);
    expect_device(SESSION("5"), "0");
    session_peer_down(fd, &g[1], 2);
    session_peer_down(fd, &g[3], 4);
    open_session(fd, &g[5], 6);
    expect_device(SESSION("6"), MIG);

    session_peer_down(fd, &g[0], 1);
    session_peer_down(fd, &g[2], 3);
    session_peer_down(fd, &g[4], 5);
    session_peer_down(fd, &g[5], 6);
    close(fd);
}

/* WarmSpares= is for each device. */
TEST(test_spares)
{
    int fd = connect_web();
    pid_t spares[4];
    SessionGuest g[2];
    uint32_t executor;

    wait_for_children(4, WIRE_TIMEOUT_MSEC);
    assert_int_equal(session_peer_children(spares, 4), 4);
    for (uint32_t ring = 0; ring < 2; ring++) {
        char path[64];

        open_session(fd, &g[ring], ring + 1);
        snprintf(path, sizeof(path), SESSION("%u"), ring + 1);
        expect_device(path, ring == 0 ? "0" : "3");
        executor = get_u32(path, VGPU_INTERFACE_SESSION, "ExecutorPID");
        assert_true(executor == (uint32_t) spares[0] || executor == (uint32_t) spares[1] ||
                    executor == (uint32_t) spares[2] || executor == (uint32_t) spares[3]);
        expect_name(&g[ring], ring == 0 ? "Fake GPU 0" : "Fake GPU 3");
        wait_for_children(5 + ring, WIRE_TIMEOUT_MSEC);
    }
    session_peer_down(fd, &g[0], 1);
    session_peer_down(fd, &g[1], 2);
    close(fd);
}

/* What is open stays where it is; who comes goes where the file says now. */
TEST(test_reload)
{
    int fd = connect_web();
    SessionGuest g[3];

    open_session(fd, &g[0], 1);
    expect_device(SESSION("1"), "0");
    write_config("[Pool A]\nBackend=cuda\nDevice=0 2\n");
    call_manager(NULL, "Reload", NULL);
    expect_session_devices("0 2");
    open_session(fd, &g[1], 2);
    expect_device(SESSION("2"), "2");
    write_config("[Pool A]\nBackend=cuda\nDevice=3\n");
    call_manager(NULL, "Reload", NULL);
    open_session(fd, &g[2], 3);
    expect_device(SESSION("3"), "3");
    expect_device(SESSION("1"), "0");
    allocate(&g[0], MIB);
    for (uint32_t ring = 0; ring < 3; ring++)
        session_peer_down(fd, &g[ring], ring + 1);
    close(fd);
}

/* Whether there is such a device is for the driver to say. */
TEST(test_no_such_device)
{
    int fd = connect_web();
    SessionGuest g[2];

    open_session(fd, &g[0], 1);
    session_guest_open(&g[1], NULL);
    session_peer_open(fd, &g[1], 2);
    expect_session_ready(fd, 2, VGPU_ERROR_CUDA_ERROR, 100);
    session_guest_close(&g[1]);
    session_peer_down(fd, &g[0], 1);
    close(fd);
}

static void send_list(int fd, uint32_t after)
{
    const VGPUSessionList list = {.after = after};
    VGPUSocketHeader h = wire_header(VGPU_MSG_SESSION_LIST, 5, 71, 0, sizeof(list));

    assert_true(wire_send(fd, &h, &list));
}

static unsigned ask_sessions(int fd, uint32_t after, VGPUSessionListed ret[VGPU_LISTED_MAX])
{
    WireMessage m;

    send_list(fd, after);
    assert_int_equal(wire_receive(fd, &m), 1);
    assert_int_equal(m.header.msg_type, VGPU_MSG_SESSION_LISTED);
    assert_int_equal(m.header.request_id, 71);
    assert_int_equal(m.header.payload_len % sizeof(*ret), 0);
    memcpy(ret, m.payload, m.header.payload_len);
    return m.header.payload_len / (unsigned) sizeof(*ret);
}

/* A VM learns of its own sessions, and of nobody else's. */
TEST(test_list)
{
    VGPUSessionListed listed[VGPU_LISTED_MAX];
    int fd = connect_vm("web", 1, VGPU_FEATURE_SESSIONS | VGPU_FEATURE_LIST);
    int other = connect_vm("other", 2, VGPU_FEATURE_SESSIONS);
    SessionGuest g[3];

    assert_int_equal(ask_sessions(fd, 0, listed), 0);
    for (uint32_t ring = 0; ring < 2; ring++)
        open_session(fd, &g[ring], ring + 1);
    open_session(other, &g[2], 1);
    allocate(&g[1], MIB);
    assert_int_equal(ask_sessions(fd, 0, listed), 2);
    assert_int_equal(listed[0].id, 1);
    assert_int_equal(listed[0].memory, 0);
    assert_int_equal(listed[0].n_contexts, 1);
    assert_int_equal(listed[1].id, 2);
    assert_int_equal(listed[1].memory, MIB);
    assert_int_equal(listed[1].guest_pid, g[1].header->guest_pid);
    assert_int_equal(ask_sessions(fd, 1, listed), 1);
    assert_int_equal(listed[0].id, 2);
    assert_int_equal(ask_sessions(fd, 2, listed), 0);

    session_peer_down(fd, &g[1], 2);
    assert_int_equal(ask_sessions(fd, 0, listed), 1);
    session_peer_down(fd, &g[0], 1);
    session_peer_down(other, &g[2], 1);

    send_list(other, 0); /* which has not said that it asks */
    expect_closed(other);
    close(fd);
}

#define WITH_BUS(config, test)                           \
    {                                                    \
#test, test, start, world_end, (void *) (config) \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_BUS("[Pool A]\nBackend=cuda\n", test_list),
        WITH_BUS("[Pool A]\nBackend=cuda\nDevice=1 " MIG " 0\n", test_least_loaded),
        WITH_BUS("[Pool A]\nBackend=cuda\nDevice=0 3\nWarmSpares=2\n", test_spares),
        WITH_BUS("[Pool A]\nBackend=cuda\n", test_reload),
        WITH_BUS("[Pool A]\nBackend=cuda\nDevice=0 " GONE "\n", test_no_such_device),
    };

    return cmocka_run_group_tests_name("session-devices", tests, NULL, NULL);
}
