/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Peers that have not said who they are, and what they cannot take from a registered VM: places,
 * lines in the log, its name, memory. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fake-machined.h"
#include "ring-peer.h"
#include "test.h"
#include "world.h"

#define REFUSE "[Pool A]\nBackend=cpu\n[Unregistered]\nPolicy=refuse\n"

static int start_refusing(void **state)
{
    return world_start(*state);
}

#define WITH_BUS(config, test)                                    \
    {                                                             \
#test, test, start_refusing, world_end, (void *) (config) \
    }

/* Does @do_it in a process of its own. It must work, and contain no expectation. */
static void in_another_process(bool (*do_it)(void))
{
    pid_t child = fork();
    int status;

    assert_true(child >= 0);
    if (child == 0)
        _exit(do_it() ? EXIT_SUCCESS : EXIT_FAILURE);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static unsigned count_lines(const char *with)
{
    char *log = test_mediator_log(&mediator);
    unsigned n = 0;

    for (char *line = strtok(log, "\n"); line; line = strtok(NULL, "\n"))
        n += strstr(line, with) != NULL;
    free(log);
    return n;
}

/* ---- Places --------------------------------------------------------------------------- */

TEST(test_silence_has_an_end)
{
    int silent = dial(), vm = dial();

    register_vm("vm", 0x11, "A", "low");
    hello(vm, 0x11, 0, NULL);
    expect_welcome(vm);
    expect_closed(silent);
    assert_int_equal(test_mediator_wait_log(&mediator, "not said who it is"), 0);
    expect_pong(vm);
    close(vm);
}

/* A device without HELLO is silent until its guest's first request. */
TEST(test_a_device_may_be_silent_where_it_needs_no_hello)
{
    int silent = dial();

    sleep(2);
    expect_add(silent, 1, 1, 0, 2, 3);
    close(silent);
}

static bool add(void)
{
    int fd = wire_connect(mediator.socket);
    WireMessage m;

    return wire_send_add(fd, 9, 1, 0, 2, 3) && wire_receive(fd, &m) == 1 &&
           m.header.msg_type == VGPU_MSG_RESPONSE && m.results.results[0] == 5;
}

/* One more displaces the one that has been silent longest, and nobody else's. */
TEST(test_places_of_a_process)
{
    int fds[6];

    for (unsigned i = 0; i < 6; i++)
        fds[i] = dial();
    expect_closed(fds[0]);
    expect_closed(fds[1]);
    in_another_process(add);
    expect_pong(fds[2]);
    for (unsigned i = 2; i < 6; i++)
        expect_add(fds[i], i, 1, 0, 2, 3);
    /* None of them is silent now. */
    expect_closed(dial());
    for (unsigned i = 2; i < 6; i++) {
        expect_pong(fds[i]);
        close(fds[i]);
    }
}

static void open_silent_ones(void)
{
    for (unsigned i = 0; i < 3; i++)
        (void) wire_connect(mediator.socket);
    raise(SIGSTOP);
}

/* Eight processes of a user, three connections each, and nine places for them in all. */
TEST(test_places_of_a_user)
{
    pid_t children[8];
    int fd;

    for (unsigned i = 0; i < 8; i++) {
        children[i] = fork();
        assert_true(children[i] >= 0);
        if (children[i] == 0) {
            open_silent_ones();
            _exit(0);
        }
        assert_int_equal(waitpid(children[i], NULL, WUNTRACED), children[i]);
    }
    fd = dial();
    expect_pong(fd);
    assert_true(count_lines("more connections than ConnectionsPerUser=") > 0);
    close(fd);
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(kill(children[i], SIGKILL), 0);
        assert_int_equal(waitpid(children[i], NULL, 0), children[i]);
    }
}

/* Strangers hold every place there is, and more of them press in. */
TEST(test_a_registered_vm_finds_a_place)
{
    int strangers[32], vm;

    register_vm("vm", 0x11, "A", "low");
    for (unsigned i = 0; i < 16; i++)
        strangers[i] = dial();
    vm = dial();
    hello(vm, 0x11, 0, NULL);
    expect_welcome(vm);
    for (unsigned i = 16; i < 32; i++)
        strangers[i] = dial();
    expect_add(vm, 1, 1, 0, 2, 3);
    close(vm);
    for (unsigned i = 0; i < 32; i++)
        close(strangers[i]);
}

/* ---- Lines ----------------------------------------------------------------------------- */

/* Returns when the mediator has hung up, which it logs before. */
static bool be_wrong(void)
{
    const VGPUSocketHeader wrong = {.magic = 1};
    int fd = wire_connect(mediator.socket);
    WireMessage m;
    bool is_closed = send(fd, &wrong, sizeof(wrong), MSG_NOSIGNAL) > 0 && wire_receive(fd, &m) <= 0;

    close(fd);
    return is_closed;
}

/* The flood of one process is some lines, and does not hide what another does. */
TEST(test_lines_of_refused_peers)
{
    unsigned n;

    /* The last line that nobody here causes */
    assert_int_equal(test_mediator_wait_log(&mediator, "computing with backend cpu"), 0);
    for (unsigned i = 0; i < 200; i++)
        assert_true(be_wrong());
    n = count_lines("");
    assert_true(count_lines("bad magic") == 10);
    assert_int_equal(count_lines("not logged for a while"), 1);

    in_another_process(be_wrong);
    assert_int_equal(count_lines("bad magic"), 11);
    assert_int_equal(count_lines(""), n + 1);
}

/* A VM that nobody registered ends with its connection. Its process does not. */
TEST(test_lines_of_unregistered_vms)
{
    for (unsigned i = 0; i < 30; i++) {
        int fd = dial();

        assert_true(wire_send_request(fd, 1, 3, 0, VGPU_OP_MEMORY_ALLOC, NULL, 0, NULL, 0));
        expect_response(fd, 3, VGPU_ERROR_UNSUPPORTED_OP);
        close(fd);
    }
    /* That it came and went are lines about it too. */
    assert_in_range(count_lines("rejected"), 1, 10);
}

/* 64 KiB at a time, none of the answers read. */
TEST(test_one_line_for_one_connection)
{
    static VGPUSocketHeader pings[2700];
    int fd = dial();

    for (unsigned i = 0; i < 2700; i++)
        pings[i] = wire_header(VGPU_MSG_PING, 0, i, 0, 0);
    while (send(fd, pings, sizeof(pings), MSG_NOSIGNAL) > 0)
        continue;
    close(fd);
    assert_int_equal(test_mediator_wait_log(&mediator, "does not read its answers"), 0);
    expect_pong(dial());
    assert_int_equal(count_lines("does not read its answers"), 1);
}

/* That there are no descriptors left is the host's trouble, and is called so. */
TEST(test_no_descriptors_left)
{
    struct rlimit limit;
    RingGuest g;
    int fd = ring_hello(5, VGPU_PRIORITY_LOW);

    limit.rlim_cur = limit.rlim_max = count_fds(mediator.pid);
    assert_int_equal(prlimit(mediator.pid, RLIMIT_NOFILE, &limit, NULL), 0);
    assert_int_equal(ring_guest_open(&g, RING_WINDOW, 0, 64, 0), 0);
    assert_true(ring_guest_setup(&g, fd, RING_SETUP_ID, VGPU_RING_N_FDS));
    expect_closed(fd);
    assert_int_equal(test_mediator_wait_log(&mediator, "Too many open files"), 0);
    ring_guest_close(&g);
}

/* ---- The rate limit --------------------------------------------------------------------- */

/* One token a second, and two messages in one portion: the first takes the token. */
static void expect_second_is_limited(int fd, const VGPUSocketHeader *first, const void *payload)
{
    VGPURequest nop = {.version = VGPU_PROTOCOL_VERSION};
    VGPUSocketHeader h = wire_header(VGPU_MSG_REQUEST, 1, 2, 0, sizeof(nop));
    char both[2 * (sizeof(h) + sizeof(nop))];
    size_t size = 0;
    WireMessage m;

    memcpy(both, first, sizeof(*first));
    size += sizeof(*first);
    memcpy(both + size, payload, first->payload_len);
    size += first->payload_len;
    memcpy(both + size, &h, sizeof(h));
    size += sizeof(h);
    memcpy(both + size, &nop, sizeof(nop));
    size += sizeof(nop);
    assert_true(wire_send_bytes(fd, both, size, NULL, 0));
    assert_int_equal(wire_receive(fd, &m), 1);
    expect_response(fd, 2, VGPU_ERROR_RATE_LIMITED);
}

TEST(test_everything_counts_for_the_rate)
{
    VGPURequest unknown = {.version = VGPU_PROTOCOL_VERSION, .opcode = VGPU_OP_MEMORY_ALLOC};
    VGPUSocketHeader ping = wire_header(VGPU_MSG_PING, 1, 1, 0, 0),
                     bad = wire_header(VGPU_MSG_REQUEST, 1, 1, 0, sizeof(unknown));
    int fd = dial();

    register_vm("vm", 0x11, "A", "low");
    call_manager(NULL, "SetVMLimits", "sa{sv}b", "vm", 1, "RequestRateLimit", "u", 1, 1);
    hello(fd, 0x11, 0, NULL);
    expect_welcome(fd);
    expect_second_is_limited(fd, &ping, "");
    sleep(2);
    expect_second_is_limited(fd, &bad, &unknown);
    close(fd);
}

/* ---- Names ------------------------------------------------------------------------------- */

static void register_required(const char *name, uint64_t window_size)
{
    call_manager(NULL, "RegisterVM", "ssssa{sv}", name, "11111111111111111111111111111111", "A",
                 "low", 2, "RequireMachine", "b", 1, "WindowSize", "t", window_size);
}

static void expect_hello_refused(void)
{
    int fd = dial();

    hello(fd, 0x11, 0, NULL);
    expect_quarantined(fd, 70);
    expect_closed(fd);
}

static void expect_hello_served(void)
{
    int fd = dial();

    hello(fd, 0x11, 0, NULL);
    expect_welcome(fd);
    close(fd);
}

/* A process in no machine, and a machine that has not connected yet. */
TEST(test_a_machines_name_is_its_own)
{
    FakeMachined machined;
    uint8_t uuid[16];

    memset(uuid, 0x11, sizeof(uuid));
    register_required("vm", RING_WINDOW);
    fake_machined_start(&machined, 1, uuid);
    expect_hello_refused();
    assert_int_equal(test_mediator_wait_log(&mediator, "its process is in no machine"), 0);
    restart_mediator(SIGKILL);
    expect_hello_refused();
    fake_machined_stop(&machined);

    fake_machined_start(&machined, getpid(), uuid);
    expect_hello_served();
    fake_machined_stop(&machined);
}

TEST(test_who_needs_no_machine)
{
    FakeMachined machined;
    uint8_t uuid[16];

    memset(uuid, 0x11, sizeof(uuid));
    register_vm("vm", 0x11, "A", "low");
    fake_machined_start(&machined, 1, uuid);
    expect_hello_served();
    fake_machined_stop(&machined);
}

TEST(test_a_host_without_machined)
{
    register_required("vm", RING_WINDOW);
    expect_hello_served();
    assert_int_equal(test_mediator_wait_log(&mediator, "at its word"), 0);
}

/* Not to know is no reason to say no: the device is to come again. */
TEST(test_machined_has_no_answer)
{
    static const char *const errors[] = {SD_BUS_ERROR_LIMITS_EXCEEDED, SD_BUS_ERROR_NO_REPLY,
                                         SD_BUS_ERROR_ACCESS_DENIED, "org.example.Unheard"};
    FakeMachined machined;

    register_vm("vm", 0x11, "A", "low");
    for (unsigned i = 0; i < 4; i++) {
        int fd = dial();

        fake_machined_start_failing(&machined, errors[i]);
        hello(fd, 0x11, 0, NULL);
        expect_closed(fd);
        fake_machined_stop(&machined);
    }
    assert_int_equal(test_mediator_wait_log(&mediator, "cannot be asked now"), 0);
    expect_hello_served();
}

/* How many connections to the bus the mediator has. */
static unsigned count_bus_connections(void)
{
    char **names;
    unsigned n = 0;

    assert_true(sd_bus_list_names(bus, &names, NULL) >= 0);
    for (char **name = names; *name; free(*name++)) {
        sd_bus_creds *creds = NULL;
        pid_t pid = 0;

        if ((*name)[0] == ':' && sd_bus_get_name_creds(bus, *name, SD_BUS_CREDS_PID, &creds) >= 0)
            (void) sd_bus_creds_get_pid(creds, &pid);
        n += pid == mediator.pid;
        sd_bus_creds_unref(creds);
    }
    free(names);
    return n;
}

/* Whoever asks the mediator cannot use up what it may ask itself. */
TEST(test_the_question_has_its_own_way)
{
    FakeMachined machined;
    uint8_t uuid[16];
    unsigned before;

    memset(uuid, 0x11, sizeof(uuid));
    register_required("vm", RING_WINDOW);
    fake_machined_start(&machined, getpid(), uuid);
    before = count_bus_connections();
    expect_hello_served();
    assert_int_equal(count_bus_connections(), before + 1);
    fake_machined_stop(&machined);
}

/* ---- Windows ------------------------------------------------------------------------------ */

static void expect_window(uint64_t size, uint32_t error)
{
    RingGuest g;
    int fd = dial();

    hello(fd, 0x11, 0, NULL);
    expect_welcome(fd);
    assert_int_equal(ring_guest_open(&g, size, 0, 64, 0), 0);
    assert_true(ring_guest_setup(&g, fd, RING_SETUP_ID, VGPU_RING_N_FDS));
    expect_ready(fd, error);
    ring_down(&g, fd);
}

/* As large as its device was attached with, whatever the configuration says of others. */
TEST(test_window_of_a_registration)
{
    register_required("vm", 2 * RING_WINDOW);
    expect_window(2 * RING_WINDOW, VGPU_ERROR_NONE);
    expect_window(2 * RING_WINDOW + 4096, VGPU_ERROR_INVALID_REQUEST);
    restart_mediator(SIGKILL);
    expect_window(2 * RING_WINDOW, VGPU_ERROR_NONE);
    expect_window(2 * RING_WINDOW + 4096, VGPU_ERROR_INVALID_REQUEST);

    call_manager(VGPU_BUS_ERROR_INVALID_LIMIT, "RegisterVM", "ssssa{sv}", "vm",
                 "11111111111111111111111111111111", "A", "low", 1, "WindowSize", "t",
                 (uint64_t) 4096);
    call_manager(VGPU_BUS_ERROR_INVALID_LIMIT, "RegisterVM", "ssssa{sv}", "vm",
                 "11111111111111111111111111111111", "A", "low", 1, "WindowSize", "u", 1u << 20);
    call_manager(VGPU_BUS_ERROR_INVALID_LIMIT, "RegisterVM", "ssssa{sv}", "vm",
                 "11111111111111111111111111111111", "A", "low", 1, "RequireMachine", "u", 1);
    call_manager(VGPU_BUS_ERROR_INVALID_LIMIT, "SetVMLimits", "sa{sv}b", "vm", 1, "WindowSize", "t",
                 (uint64_t) RING_WINDOW, 1);
}

TEST(test_window_without_a_size)
{
    register_vm("vm", 0x11, "A", "low");
    expect_window(RING_WINDOW, VGPU_ERROR_NONE);
    expect_window(RING_WINDOW + 4096, VGPU_ERROR_INVALID_REQUEST);
}

/* Keeps every window that an executor filled, and comes with the next one. */
TEST(test_windows_that_are_kept)
{
    RingGuest kept[9];
    int fd;

    register_required("vm", RING_WINDOW);
    fd = dial();
    hello(fd, 0x11, 0, NULL);
    expect_welcome(fd);
    for (unsigned i = 0; i < 9; i++) {
        const uint64_t n = (RING_WINDOW - 65536) / 8;
        const VGPUSubmission add = ring_guest_add(i, n, 65536, 65536, 65536);

        assert_int_equal(ring_guest_open(&kept[i], RING_WINDOW, 0, 64, 0), 0);
        assert_true(ring_guest_setup(&kept[i], fd, RING_SETUP_ID, VGPU_RING_N_FDS));
        expect_ready(fd, i < 8 ? VGPU_ERROR_NONE : VGPU_ERROR_INVALID_REQUEST);
        if (i == 8)
            break;
        ring_guest_submit(&kept[i], &add);
        expect_tag(&kept[i], i);
        ring_turn_off(fd);
    }
    /* One of those that are known already may come as often as it likes. */
    for (unsigned i = 0; i < 20; i++) {
        ring_turn_on(&kept[3], fd);
        ring_turn_off(fd);
    }
    close(fd);
    for (unsigned i = 0; i < 9; i++)
        ring_guest_close(&kept[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_BUS(REFUSE "[Timeouts]\nHelloTimeoutSec=1\n", test_silence_has_an_end),
        WITH_MEDIATOR("[Pool A]\nBackend=cpu\n[Timeouts]\nHelloTimeoutSec=1\n",
                      test_a_device_may_be_silent_where_it_needs_no_hello),
        WITH_MEDIATOR("[Pool A]\nBackend=cpu\n[Limits]\nConnectionsPerProcess=4\n",
                      test_places_of_a_process),
        WITH_MEDIATOR("[Pool A]\nBackend=cpu\n[Limits]\nConnectionsPerUser=9\n",
                      test_places_of_a_user),
        WITH_BUS(REFUSE "[Limits]\nMaxConnections=8\n", test_a_registered_vm_finds_a_place),
        WITH_MEDIATOR("[Pool A]\nBackend=cpu\n", test_lines_of_refused_peers),
        WITH_MEDIATOR("[Pool A]\nBackend=cpu\n", test_lines_of_unregistered_vms),
        WITH_MEDIATOR("[Pool A]\nBackend=cpu\n", test_one_line_for_one_connection),
        WITH_MEDIATOR("[Pool A]\nBackend=cpu\n", test_no_descriptors_left),
        WITH_BUS(REFUSE, test_everything_counts_for_the_rate),
        WITH_BUS(REFUSE, test_a_machines_name_is_its_own),
        WITH_BUS(REFUSE, test_who_needs_no_machine),
        WITH_BUS(REFUSE, test_a_host_without_machined),
        WITH_BUS(REFUSE, test_machined_has_no_answer),
        WITH_BUS(REFUSE, test_the_question_has_its_own_way),
        WITH_BUS(REFUSE, test_window_of_a_registration),
        WITH_BUS(REFUSE "[Limits]\nWindowSizeMax=1M\n", test_window_without_a_size),
        WITH_BUS(REFUSE, test_windows_that_are_kept),
    };

    return cmocka_run_group_tests_name("strangers", tests, NULL, NULL);
}
