/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How CUDA sessions end for something that an administrator, or the mediator, does. The executors
 * stand in for the real one. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "session-world.h"
#include "test.h"

/* ---- Ends ------------------------------------------------------------------------------------ */

TEST(test_end)
{
    SessionGuest g[2];
    int fd;

    register_vm("web", 1, "A", "low");
    fd = connect_as(1);
    session_peer_up(fd, &g[0], 1, "");
    session_peer_up(fd, &g[1], 2, "");
    call_manager(VGPU_BUS_ERROR_NO_SUCH_SESSION, "EndSession", "u", 3);
    call_manager(VGPU_BUS_ERROR_NO_SUCH_SESSION, "EndSession", "u", 0);
    call_manager(NULL, "EndSession", "u", 2);
    expect_session_ready(fd, 2, VGPU_ERROR_MEDIATOR_UNAVAILABLE, 0);
    call_object(NULL, SESSION("1"), VGPU_INTERFACE_SESSION, "End", NULL);
    expect_session_ready(fd, 1, VGPU_ERROR_MEDIATOR_UNAVAILABLE, 0);
    assert_int_equal(list_sessions(NULL, 0), 0);
    assert_int_equal(
        test_mediator_wait_log(&mediator, "CUDA session 1 of ring 1 is to end, by user"), 0);
    assert_int_equal(test_mediator_wait_log(
                         &mediator, "CUDA session 2 of ring 2 ended: an administrator ended it"),
                     0);
    assert_int_equal(vm_u64("web", "SessionFaults"), 0);
    session_guest_close(&g[0]);
    session_guest_close(&g[1]);
    close(fd);
}

/* One that is ending can be ended again; that does nothing. */
TEST(test_end_twice)
{
    SessionGuest g;
    int fd;

    register_vm("web", 1, "A", "low");
    fd = connect_as(1);
    session_peer_up(fd, &g, 1, FAKE_STAY);
    call_manager(NULL, "EndSession", "u", 1);
    expect_session_text(SESSION("1"), "State", "ending");
    call_manager(NULL, "EndSession", "u", 1);
    session_peer_close(fd, 1);
    expect_session_closed(fd, 1);
    session_guest_close(&g);
    close(fd);
}

/* The journal says why, also when there is nobody left to ask. */
TEST(test_service_ends)
{
    SessionGuest g;
    char *log;
    int fd;

    register_vm("web", 1, "A", "low");
    fd = connect_as(1);
    session_peer_up(fd, &g, 1, FAKE_STAY);
    restart_mediator(SIGTERM);
    log = test_mediator_log(&mediator);
    assert_non_null(strstr(log, "CUDA session 1 of ring 1 ended: the service ends"));
    free(log);
    assert_int_equal(list_sessions(NULL, 0), 0);
    session_guest_close(&g);
    close(fd);
}

TEST(test_quarantine)
{
    SessionGuest g, neighbour;
    int fd, other;

    register_vm("web", 1, "A", "low");
    register_vm("db", 2, "A", "low");
    fd = connect_as(1);
    other = connect_as(2);
    session_peer_up(fd, &g, 1, "");
    session_peer_up(other, &neighbour, 1, "");
    call_manager(NULL, "QuarantineVM", "s", "web");
    expect_session_ready(fd, 1, VGPU_ERROR_VM_QUARANTINED, 0);
    session_peer_open(fd, &g, 1);
    expect_session_ready(fd, 1, VGPU_ERROR_VM_QUARANTINED, 0);
    call_manager(NULL, "ReleaseVM", "s", "web");
    session_peer_open(fd, &g, 1);
    expect_session_ready(fd, 1, VGPU_ERROR_NONE, 0);
    assert_int_equal(session_peer_ask(&neighbour).n_doorbells, 1);
    session_peer_down(fd, &g, 1);
    session_peer_down(other, &neighbour, 1);
    close(fd);
    close(other);
}

/* The fault limit is the VM's, and a neighbour does not notice. */
TEST(test_faults)
{
    static const char *const commands[] = {FAKE_DIE, FAKE_END_TIMEOUT};
    SessionGuest g, neighbour;
    WireMessage m;
    int fd, other;

    register_vm("web", 1, "A", "low");
    register_vm("db", 2, "A", "low");
    fd = connect_as(1);
    other = connect_as(2);
    session_peer_up(other, &neighbour, 1, "");
    session_peer_up(fd, &g, 1, FAKE_END_VIOLATION);
    session_peer_ring(&g);
    expect_session_ready(fd, 1, VGPU_ERROR_INVALID_REQUEST, 0);
    session_guest_close(&g);
    assert_int_equal(vm_u64("web", "SessionFaults"), 1);
    for (unsigned i = 0; i < 2; i++) {
        assert_false(get_bool(VM("web"), VGPU_INTERFACE_VM, "Quarantined"));
        session_peer_up(fd, &g, 1, commands[i]);
        session_peer_ring(&g);
        assert_int_equal(wire_receive(fd, &m), 1);
        assert_int_equal(m.header.msg_type, VGPU_MSG_SESSION_READY);
        assert_int_equal(vm_u64("web", "SessionFaults"), 2 + i);
        session_guest_close(&g);
    }
    expect_text(VM("web"), VGPU_INTERFACE_VM, "QuarantineReason", "fault-limit");
    assert_false(get_bool(VM("db"), VGPU_INTERFACE_VM, "Quarantined"));
    assert_int_equal(session_peer_ask(&neighbour).n_doorbells, 1);
    session_peer_down(other, &neighbour, 1);
    close(fd);
    close(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_SESSIONS(NULL, test_end),
        WITH_SESSIONS(NULL, test_end_twice),
        WITH_SESSIONS(NULL, test_service_ends),
        WITH_SESSIONS(NULL, test_quarantine),
        WITH_SESSIONS(SESSION_CONFIG "[Limits]\nFaultLimit=2\n", test_faults),
    };

    return cmocka_run_group_tests_name("session-ends", tests, NULL, NULL);
}
