/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vgpu-executor --session over the fake driver: how a session begins and ends, and how
 * both sides wake each other. test-session-streams.c and test-session-time.c have the rest. */
#include <stdio.h>
#include <stdlib.h>

#include "executor-protocol.h"
#include "test-session-start.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define BASE UINT64_C(0x300000000000)

static const VGPUSessionNone none;

static uint32_t call_nop(SessionGuest *g)
{
    return session_guest_call(g, VGPU_SESSION_OP_NOP, 0, &none, sizeof(none));
}

/* ---- Its beginning ----------------------------------------------------------------------------
 */

TEST(test_start)
{
    SessionGuest g = start(NULL);

    assert_int_equal(g.header->state, VGPU_SESSION_STATE_OPEN);
    assert_int_equal(g.started.cuda_result, 0);
    assert_int_equal(g.started.guest_pid, getpid());
    assert_string_equal(g.started.command, "session-guest");
    assert_int_equal(call_nop(&g), 0);
    assert_int_equal(g.control->operations, 1);
    assert_int_equal(g.control->n_contexts, 0);
    assert_end(&g, 0, "");
}

/* What the guest says of itself is any bytes. The last is 0 all the same. */
TEST(test_command_is_any_bytes)
{
    SessionGuest g;

    session_guest_open(&g, NULL);
    memset(g.header->command, 0xff, sizeof(g.header->command));
    session_guest_spawn(&g, NULL);
    assert_int_equal(session_guest_start(&g), 0);
    assert_int_equal((unsigned char) g.started.command[30], 0xff);
    assert_int_equal(g.started.command[31], 0);
    assert_end(&g, 0, "");
}

/* With a window that the guest has at an address of its choice, an area that is not at its
 * beginning, the smallest table, and a ring that is looked at for a while */
TEST(test_start_with_everything)
{
    const SessionGuestOptions o = {
        .window_size = 64 << 20, .offset = 8192, .ring_size = 1 << 20, .window_base = BASE};
    SessionGuest g;
    uint64_t word;

    session_guest_open(&g, &o);
    g.start.objects_max = 1;
    g.start.busy_poll_usec = UINT32_MAX;
    g.account->memory_max = 1 << 20;
    session_guest_spawn(&g, NULL);
    session_guest_warm(&g, "0");
    assert_int_equal(session_guest_start(&g), 0);
    session_guest_context(&g, 1, true);
    word = session_guest_alloc(&g, 8);
    session_guest_fence(&g, 1, 0, word, 42);
    assert_true(session_guest_wait_word(&g, word, 42, SESSION_GUEST_TIMEOUT_MSEC));
    assert_end(&g, 0, "");
}

static void change_magic(VGPUSessionHeader *h)
{
    h->magic++;
}

static void change_version(VGPUSessionHeader *h)
{
    h->version = 2;
}

static void change_ring_size(VGPUSessionHeader *h)
{
    h->ring_size = 3 << 15;
}

static void change_to_large_ring(VGPUSessionHeader *h)
{
    h->ring_size = 1 << 26;
}

static void change_tail(VGPUSessionHeader *h)
{
    h->tail = 16;
}

static void change_to_odd_base(VGPUSessionHeader *h)
{
    h->window_base = BASE + 4096;
}

static void change_to_high_base(VGPUSessionHeader *h)
{
    h->window_base = UINT64_MAX & ~UINT64_C(0x1fffff);
}

static void change_to_kernel_base(VGPUSessionHeader *h)
{
    h->window_base = UINT64_C(0xffff800000000000);
}

/* Each is refused; the header says so, and the mediator is told. */
TEST(test_areas_that_are_none)
{
    static const struct {
        void (*change)(VGPUSessionHeader *h);
        int error;
    } wrong[] = {
        {change_magic, -EPROTO},        {change_version, -EPROTO},
        {change_ring_size, -EPROTO},    {change_to_large_ring, -EPROTO},
        {change_tail, -EPROTO},         {change_to_odd_base, -EINVAL},
        {change_to_high_base, -EINVAL}, {change_to_kernel_base, -ENOMEM},
    };

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        SessionGuest g;

        session_guest_open(&g, NULL);
        wrong[i].change(g.header);
        session_guest_spawn(&g, NULL);
        assert_int_equal(session_guest_start(&g), wrong[i].error);
        assert_int_equal(g.header->state, VGPU_SESSION_STATE_REFUSED);
        assert_end(&g, EXECUTOR_EXIT_FAILURE, "vgpu-executor: test: ");
    }
}

TEST(test_area_outside_the_window)
{
    static const uint64_t offsets[] = {1, 16 << 20, (16 << 20) - 4096, UINT64_MAX - 4095, 4095};

    for (size_t i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
        SessionGuest g;

        session_guest_open(&g, NULL);
        g.start.offset = offsets[i];
        session_guest_spawn(&g, NULL);
        assert_int_equal(session_guest_start(&g), -EPROTO);
        assert_end(&g, EXECUTOR_EXIT_FAILURE, "test: the guest's area is n");
    }
}

/* The guest cannot have its window put over something of the executor's. */
TEST(test_base_is_taken)
{
    const SessionGuestOptions o = {.window_size = UINT64_C(1) << 30, .window_base = BASE};
    char path[64], line[256] = "";
    SessionGuest g;
    uint64_t stack = 0;
    FILE *maps;

    session_guest_open(&g, &o);
    session_guest_spawn(&g, NULL);
    session_guest_warm(&g, "");
    snprintf(path, sizeof(path), "/proc/%d/maps", (int) g.pid);
    while (stack == 0) {
        maps = fopen(path, "re");
        assert_non_null(maps);
        /* In its own layout, which it is executed a second time for */
        while (fgets(line, sizeof(line), maps))
            if (strstr(line, "libcuda") && stack == 0)
                stack = strtoull(line, NULL, 16);
        fclose(maps);
    }
    g.header->window_base = stack & ~UINT64_C(0x1fffff);
    assert_int_equal(session_guest_start(&g), -EEXIST);
    assert_int_equal(g.header->state, VGPU_SESSION_STATE_REFUSED);
    assert_end(&g, EXECUTOR_EXIT_FAILURE, "the window cannot lie where the guest has it");
}

/* Device addresses lie where an ordinary process has nothing: memory begins a third up. */
TEST(test_memory_layout)
{
    SessionGuest g = start(NULL);
    char path[64], line[256];
    unsigned long long first = 0;
    FILE *maps;

    snprintf(path, sizeof(path), "/proc/%d/maps", (int) g.pid);
    maps = fopen(path, "re");
    assert_non_null(maps);
    while (first == 0 && fgets(line, sizeof(line), maps))
        if (strstr(line, "libc.so"))
            first = strtoull(line, NULL, 16);
    fclose(maps);
    assert_int_equal(first >> 44, 0x2);
    assert_end(&g, 0, "");
}

TEST(test_no_device)
{
    SessionGuest g;

    session_guest_open(&g, NULL);
    session_guest_spawn(&g, "devices=0");
    assert_int_equal(session_guest_start(&g), -ENODEV);
    assert_int_equal(g.started.cuda_result, 100);
    assert_end(&g, EXECUTOR_EXIT_NO_BACKEND, "cuInit: CUDA_ERROR_NO_DEVICE (100)");
}

/* WARM has no answer. START tries once more. */
TEST(test_warm_fails)
{
    SessionGuest g;

    session_guest_open(&g, NULL);
    session_guest_spawn(&g, "fail=cuDevicePrimaryCtxRetain:2");
    session_guest_warm(&g, "0");
    assert_int_equal(session_guest_start(&g), 0);
    assert_int_equal(g.started.cuda_result, 0);
    session_guest_context(&g, 1, true);
    assert_end(&g, 0, "context: CUDA_ERROR_OUT_OF_MEMORY (2)");
}

/* ---- What no mediator sends ---------------------------------------------------------------------
 */

TEST(test_packets_that_are_none)
{
    SessionGuest g;

    for (unsigned i = 0; i < 8; i++) {
        session_guest_open(&g, NULL);
        session_guest_spawn(&g, NULL);
        switch (i) {
        case 0:
            session_guest_send_start(&g, g.fds, SESSION_N_FDS - 1);
            break;
        case 1:
            session_guest_send_start(&g, NULL, 0);
            break;
        case 2:
            memset(g.start.device, 'x', sizeof(g.start.device));
            session_guest_send_start(&g, g.fds, SESSION_N_FDS);
            break;
        case 3:
            memset(g.start.name, 'x', sizeof(g.start.name));
            session_guest_send_start(&g, g.fds, SESSION_N_FDS);
            break;
        case 4:
            g.start.objects_max = 0;
            session_guest_send_start(&g, g.fds, SESSION_N_FDS);
            break;
        case 6:
            g.start.kernel_timeout_usec = 0;
            session_guest_send_start(&g, g.fds, SESSION_N_FDS);
            break;
        case 5:
            session_guest_warm(&g, "0");
            session_guest_warm(&g, "0");
            break;
        default:
            assert_int_equal(send(g.socket, "x", 1, 0), 1);
        }
        assert_int_equal(session_guest_message(&g, &g.started, sizeof(g.started), 60000), 0);
        assert_end(&g, EXECUTOR_EXIT_FAILURE, "the mediator sent something that makes no sense");
    }
}

/* After STARTED it hears answers, and it has asked nothing. */
TEST(test_packets_after_the_start)
{
    const SessionShareMessage unasked = {.type = SESSION_MSG_SHARED, .token = {1, 2}};
    SessionEnded ended;
    SessionGuest g;

    for (unsigned i = 0; i < 3; i++) {
        session_guest_open(&g, NULL);
        session_guest_spawn(&g, NULL);
        assert_int_equal(session_guest_start(&g), 0);
        assert_int_equal(send(g.socket, &unasked, sizeof(unasked), 0), sizeof(unasked));
        session_guest_context(&g, 1, true);
        if (i == 0)
            assert_int_equal(send(g.socket, &unasked, sizeof(unasked) - 1, 0), sizeof(unasked) - 1);
        else if (i == 1)
            session_guest_send_start(&g, g.fds, SESSION_N_FDS);
        else
            session_guest_warm(&g, "0");
        assert_true(session_guest_wait_ended(&g, &ended));
        assert_int_equal(ended.reason, SESSION_END_FAILURE);
        assert_end(&g, EXECUTOR_EXIT_FAILURE, "the mediator sent something that makes no sense");
    }
}

static void assert_refused_fd(unsigned which, int fd)
{
    static const char *const says[SESSION_N_FDS] = {
        [SESSION_FD_WINDOW] = "window: Invalid argument",
        [SESSION_FD_CONTROL] = "the mediator sent no control page",
        [SESSION_FD_ACCOUNT] = "the mediator sent no account",
    };
    SessionGuest g;
    int fds[SESSION_N_FDS];

    assert_true(fd >= 0);
    session_guest_open(&g, NULL);
    memcpy(fds, g.fds, sizeof(fds));
    fds[which] = fd;
    session_guest_spawn(&g, NULL);
    session_guest_send_start(&g, fds, SESSION_N_FDS);
    assert_int_equal(session_guest_message(&g, &g.started, sizeof(g.started), 60000),
                     sizeof(g.started));
    assert_int_equal(g.started.error, -EINVAL);
    assert_int_equal(g.header->state, VGPU_SESSION_STATE_NEW);
    assert_end(&g, EXECUTOR_EXIT_FAILURE, says[which]);
    close(fd);
}

static int sealed(size_t size)
{
    int fd = memfd_create("sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    assert_int_equal(ftruncate(fd, (off_t) size), 0);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
    return fd;
}

static int unsealed(void)
{
    int fd = memfd_create("unsealed", MFD_CLOEXEC);

    assert_int_equal(ftruncate(fd, 16 << 20), 0);
    return fd;
}

TEST(test_descriptors_that_are_none)
{
    static const unsigned memory[] = {SESSION_FD_WINDOW, SESSION_FD_CONTROL, SESSION_FD_ACCOUNT};

    for (unsigned i = 0; i < 2; i++) {
        assert_refused_fd(memory[i], sealed(0));
        assert_refused_fd(memory[i], sealed(sizeof(SessionControl) - 1));
        assert_refused_fd(memory[i], unsealed());
        assert_refused_fd(memory[i], eventfd(0, EFD_CLOEXEC));
    }
}

TEST(test_no_connection)
{
    static const char *const fds[] = {"9 9</dev/null", "99", "1 >/dev/null"};

    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
        char command[4096];

        snprintf(command, sizeof(command), "%s --session 2>/dev/null --fd=%s",
                 getenv("VGPU_EXECUTOR"), fds[i]);
        assert_int_equal(WEXITSTATUS(system(command)), EXECUTOR_EXIT_USAGE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_start),
        cmocka_unit_test(test_command_is_any_bytes),
        cmocka_unit_test(test_start_with_everything),
        cmocka_unit_test(test_areas_that_are_none),
        cmocka_unit_test(test_area_outside_the_window),
        cmocka_unit_test(test_base_is_taken),
        cmocka_unit_test(test_memory_layout),
        cmocka_unit_test(test_no_device),
        cmocka_unit_test(test_warm_fails),
        cmocka_unit_test(test_packets_that_are_none),
        cmocka_unit_test(test_packets_after_the_start),
        cmocka_unit_test(test_descriptors_that_are_none),
        cmocka_unit_test(test_no_connection),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
