/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What CUDA sessions of a VM may have, and when they may work, by D-Bus. The executors stand in for
 * the real one. */
#include <string.h>
#include <unistd.h>

#include "session-world.h"
#include "test.h"

/* ---- Limits ---------------------------------------------------------------------------------- */

TEST(test_limits)
{
    SessionGuest g[16];
    int fd;

    register_vm("web", 1, "A", "low");
    call_manager(NULL, "SetVMLimits", "sa{sv}b", "web", 2, "SessionsMax", "u", 15,
                 "SessionMemoryMax", "t", UINT64_C(123456), 1);
    call_manager(VGPU_BUS_ERROR_INVALID_LIMIT, "SetVMLimits", "sa{sv}b", "web", 1, "SessionsMax",
                 "u", 16, 1);
    call_manager(VGPU_BUS_ERROR_INVALID_LIMIT, "SetVMLimits", "sa{sv}b", "web", 1,
                 "SessionMemoryMax", "u", 1, 1);
    call_manager(VGPU_BUS_ERROR_INVALID_LIMIT, "SetVMLimits", "sa{sv}b", "web", 1,
                 "SessionMemoryMax", "t", (UINT64_C(1) << 50) + 1, 1);
    fd = connect_as(1);
    for (unsigned ring = 1; ring <= 15; ring++)
        session_peer_up(fd, &g[ring], ring, "");
    assert_int_equal(list_sessions(NULL, 0), 15);
    assert_int_equal(session_peer_children(NULL, 0), 15);
    assert_int_equal(session_peer_ask(&g[15]).memory_max, 123456);
    session_peer_count(&g[15], &(FakeFigures){.memory = 123457});
    assert_int_equal(session_u64(SESSION("15"), "MemoryBytes"), 123456);

    /* A change reaches those that run; what one has already is shown. */
    call_manager(NULL, "SetVMLimits", "sa{sv}b", "web", 1, "SessionMemoryMax", "t", UINT64_C(1000),
                 1);
    assert_int_equal(session_peer_ask(&g[1]).memory_max, 1000);
    assert_int_equal(session_u64(SESSION("15"), "MemoryBytes"), 123456);
    call_manager(NULL, "SetVMLimits", "sa{sv}b", "web", 1, "SessionMemoryMax", "t",
                 UINT64_C(200000), 1);
    assert_int_equal(session_peer_ask(&g[15]).memory_max, 200000);
    assert_int_equal(session_u64(SESSION("15"), "MemoryBytes"), 123457);

    /* What there is stays when the limit becomes less. */
    session_peer_down(fd, &g[15], 15);
    call_manager(NULL, "SetVMLimits", "sa{sv}b", "web", 2, "SessionsMax", "u", 0,
                 "SessionMemoryMax", "t", UINT64_C(0), 1);
    session_peer_prepare(&g[15], "");
    session_peer_open(fd, &g[15], 15);
    expect_session_ready(fd, 15, VGPU_ERROR_QUEUE_FULL, 0);
    assert_int_equal(session_peer_children(NULL, 0), 14);
    call_manager(NULL, "SetVMLimits", "sa{sv}b", "web", 1, "SessionsMax", "u", 15, 1);
    session_peer_open(fd, &g[15], 15);
    expect_session_ready(fd, 15, VGPU_ERROR_NONE, 0);
    assert_true(session_peer_ask(&g[15]).memory_max == UINT64_MAX);

    close(fd);
    for (unsigned ring = 1; ring <= 15; ring++)
        session_guest_close(&g[ring]);
    wait_for_children(0, 2000);
    /* The mediator may hear of the last one's end a moment later. */
    for (unsigned i = 0; list_sessions(NULL, 0) > 0; i++) {
        assert_true(i < 2000);
        usleep(1000);
    }
}

/* ---- The gate -------------------------------------------------------------------------------- */

static void expect_gate(const SessionGuest *g, uint32_t gate, uint32_t n_gates)
{
    FakeReport report = session_peer_ask(g);

    assert_int_equal(report.gate, gate);
    report = session_peer_ask(g); /* it may hear of the doorbell before it hears of the gate */
    assert_int_equal(report.n_gates, n_gates);
}

/* It is closed while the VM or its pool is paused; the executor is woken when it opens or closes.
 */
TEST(test_gate)
{
    SessionGuest g, other;
    int fd;

    register_vm("web", 1, "A", "low");
    fd = connect_as(1);
    session_peer_up(fd, &g, 1, "");
    expect_gate(&g, 1, 1);
    call_manager(NULL, "PauseVM", "s", "web");
    expect_gate(&g, 0, 2);
    call_object(NULL, POOL_A, VGPU_INTERFACE_POOL, "Pause", NULL);
    expect_gate(&g, 0, 2);
    call_manager(NULL, "ResumeVM", "s", "web");
    expect_gate(&g, 0, 2);

    session_peer_up(fd, &other, 2, "");
    expect_gate(&other, 0, 0);
    call_object(NULL, POOL_A, VGPU_INTERFACE_POOL, "Resume", NULL);
    expect_gate(&g, 1, 3);
    expect_gate(&other, 1, 1);
    session_peer_down(fd, &g, 1);
    session_peer_down(fd, &other, 2);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_SESSIONS(NULL, test_limits),
        WITH_SESSIONS(NULL, test_gate),
    };

    return cmocka_run_group_tests_name("session-limits", tests, NULL, NULL);
}
