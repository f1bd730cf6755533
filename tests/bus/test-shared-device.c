/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sessions of several VMs take turns on a device: the mediator with executors that say what the
 * test has them say. Nothing here ends because of time unless the test is about that. */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "session-world.h"
#include "test.h"

#define TURNS(more)                                                                        \
    "[Pool A]\nBackend=cuda\nSharing=turns\nTurnUSec=1000000\nPatienceUSec=1000000\n" more \
    "[Unregistered]\nPolicy=allow\n"

typedef struct Machine {
    int fd;
    SessionGuest g;
} Machine;

static Machine machine(const char *name, uint8_t tag, const char *priority)
{
    Machine m;

    register_vm(name, tag, "A", priority);
    m.fd = connect_as(tag);
    session_peer_up(m.fd, &m.g, 1, "");
    return m;
}

static void machine_off(Machine *m)
{
    session_peer_down(m->fd, &m->g, 1);
    close(m->fd);
}

/* What its executor says from now on */
static void says(const Machine *m, bool waits, bool runs)
{
    static uint8_t serial;

    if (++serial == 0)
        serial++;
    session_peer_count(&m->g, &(FakeFigures){.serial = serial, .waiting = waits, .running = runs});
}

static FakeReport report_of(const Machine *m)
{
    return session_peer_ask(&m->g);
}

static void wait_for_gate(const Machine *m, uint32_t gate)
{
    for (uint64_t end = now_usec() + 10 * USEC_PER_SEC; report_of(m).gate != gate; usleep(1000))
        assert_true(now_usec() < end);
}

static void wait_for_watch(const Machine *m)
{
    for (uint64_t end = now_usec() + 10 * USEC_PER_SEC; report_of(m).tell == 0; usleep(1000))
        assert_true(now_usec() < end);
}

/* One that waits gets the turn, and gives work. */
static void takes_turn(const Machine *m)
{
    FakeReport report;

    for (uint64_t end = now_usec() + 10 * USEC_PER_SEC;; usleep(1000)) {
        report = report_of(m);
        if (report.gate && report.running)
            break;
        assert_true(now_usec() < end);
    }
}

TEST(test_one_at_a_time)
{
    Machine a = machine("a", 1, "low"), b = machine("b", 2, "low");
    FakeReport report = report_of(&a);

    assert_int_equal(report.gate, 0);
    assert_int_equal(report.tell, 1);
    assert_int_equal(report.ahead_usec, 1000);

    says(&a, true, false);
    takes_turn(&a);
    assert_int_equal(report_of(&a).tell, 0);

    /* The turn goes on until it has lasted long enough, and then what is there has to end. */
    says(&b, true, false);
    wait_for_watch(&a);
    assert_int_equal(report_of(&b).gate, 0);
    wait_for_gate(&a, 0);
    says(&a, true, true);
    assert_int_equal(report_of(&b).gate, 0);
    says(&a, true, false);
    takes_turn(&b);
    assert_int_equal(report_of(&a).gate, 0);

    /* Who has nothing to do loses it at once. */
    says(&b, false, false);
    takes_turn(&a);
    assert_int_equal(report_of(&b).gate, 0);
    machine_off(&a);
    machine_off(&b);
}

TEST(test_priority)
{
    Machine low = machine("l", 1, "low"), high = machine("h", 2, "high"),
            other = machine("o", 3, "low");

    says(&low, true, false);
    takes_turn(&low);
    says(&other, true, false);
    says(&high, true, false);
    wait_for_gate(&low, 0);
    assert_int_equal(report_of(&high).gate, 0);
    says(&low, false, false);
    takes_turn(&high);
    says(&high, false, false);
    takes_turn(&other);

    /* One that rises comes before those that are in its way. */
    says(&low, true, false);
    call_manager(NULL, "SetVMPriority", "ssb", "l", "high", 0);
    wait_for_gate(&other, 0);
    says(&other, false, false);
    takes_turn(&low);
    machine_off(&low);
    machine_off(&high);
    machine_off(&other);
}

TEST(test_patience)
{
    Machine low = machine("l", 1, "low"), high = machine("h", 2, "high");

    says(&low, true, false);
    takes_turn(&low);
    says(&high, true, false);
    wait_for_gate(&low, 0);
    takes_turn(&high); /* though the other one's work has not ended */
    session_expect_log("session 1 still has work on device 0 of pool A");
    session_expect_log("session 2 begins beside it");
    machine_off(&low);
    machine_off(&high);
}

TEST(test_paused)
{
    Machine a = machine("a", 1, "low"), b = machine("b", 2, "low");

    says(&a, true, false);
    takes_turn(&a);
    says(&b, true, false);
    call_manager(NULL, "PauseVM", "s", "a");
    wait_for_gate(&a, 0);
    says(&a, true, false);
    takes_turn(&b);
    says(&b, false, false);
    assert_int_equal(report_of(&a).gate, 0);
    call_manager(NULL, "ResumeVM", "s", "a");
    takes_turn(&a);

    call_object(NULL, POOL_A, VGPU_INTERFACE_POOL, "Pause", NULL);
    wait_for_gate(&a, 0);
    says(&a, false, false);
    says(&b, true, false);
    assert_int_equal(report_of(&b).gate, 0);
    call_object(NULL, POOL_A, VGPU_INTERFACE_POOL, "Resume", NULL);
    takes_turn(&b);
    machine_off(&a);
    machine_off(&b);
}

/* The administrator changes his mind while sessions are open. */
TEST(test_reload)
{
    Machine a = machine("a", 1, "low"), b = machine("b", 2, "low");

    says(&a, true, false);
    takes_turn(&a);
    says(&b, true, false);
    write_config(SESSION_CONFIG);
    call_manager(NULL, "Reload", NULL);
    takes_turn(&b);
    assert_int_equal(report_of(&a).gate, 1);
    assert_int_equal(report_of(&a).tell, 0);
    assert_int_equal(report_of(&a).ahead_usec, 0);

    write_config(TURNS("AheadUSec=2000\n"));
    call_manager(NULL, "Reload", NULL);
    wait_for_gate(&a, 0);
    wait_for_gate(&b, 0);
    says(&a, true, false);
    assert_int_equal(report_of(&a).gate, 0);
    assert_int_equal(report_of(&a).ahead_usec, 2000);
    says(&b, false, false);
    takes_turn(&a);
    machine_off(&a);
    machine_off(&b);
}

TEST(test_death)
{
    Machine a = machine("a", 1, "low"), b = machine("b", 2, "low");

    says(&a, true, false);
    takes_turn(&a);
    says(&b, true, false);
    assert_int_equal(kill((pid_t) session_u32(SESSION("1"), "ExecutorPID"), SIGKILL), 0);
    takes_turn(&b);
    close(a.fd);
    session_guest_close(&a.g);
    machine_off(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_SESSIONS(TURNS(""), test_one_at_a_time),
        WITH_SESSIONS(TURNS(""), test_priority),
        WITH_SESSIONS(TURNS("PatienceUSec=1000\n"), test_patience),
        WITH_SESSIONS(TURNS(""), test_paused),
        WITH_SESSIONS(TURNS(""), test_reload),
        WITH_SESSIONS(TURNS(""), test_death),
    };

    return cmocka_run_group_tests_name("shared-device", tests, NULL, NULL);
}
