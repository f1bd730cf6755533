/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Peers that connect and misbehave: they do not read, say nothing, or say rubbish, again and
 * again. The mediator's log stays readable, its memory small, and there is a place for others.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "attack.h"
#include "test.h"

#define ALLOW "[Pool A]\nBackend=cpu\n[Unregistered]\nPolicy=allow\n"

/* An attack of some seconds may leave this many lines. */
#define LINES_MAX 200
#define SECONDS 1.5

#define N_PINGS 2700u /* 64 KiB of them */
#define BUSY_UUID            \
    {                        \
        [0] = 0xb5, [15] = 1 \
    }

static VGPUSocketHeader pings[N_PINGS];

static void fill_pings(void)
{
    for (unsigned i = 0; i < N_PINGS; i++)
        pings[i] = wire_header(VGPU_MSG_PING, 3, i, 0, 0);
}

/* Attacks while the neighbour works, and expects few lines. */
static void expect_few_lines(void (*round)(void))
{
    int neighbour = dial();
    unsigned before;
    Attack *a;

    expect_add(neighbour, 1, 1, VGPU_PRIORITY_HIGH, 1, 1);
    before = mediator_lines();
    a = attack_repeat(round);
    neighbour_works(neighbour, SECONDS);
    assert_true(a->rounds > 0);
    attack_end(a);
    expect_add(neighbour, 1, 1, VGPU_PRIORITY_HIGH, 2, 2);
    assert_in_range(mediator_lines() - before, 0, LINES_MAX);
    close(neighbour);
}

/* Sends PINGs, and reads no answer, until nobody takes more. */
static void ping_unread(void)
{
    int fd = attack_dial();

    for (unsigned i = 0; i < 40; i++)
        attack_send(fd, pings, sizeof(pings));
    close(fd);
}

TEST(test_unread_answers_in_the_log)
{
    fill_pings();
    expect_few_lines(ping_unread);
}

static void say_rubbish(void)
{
    static const char rubbish[64] = "GET / HTTP/1.1\r\n\r\n";
    int fd = attack_dial();
    char end;

    attack_send(fd, rubbish, sizeof(rubbish));
    (void) recv(fd, &end, 1, 0);
    close(fd);
}

TEST(test_rubbish_in_the_log)
{
    expect_few_lines(say_rubbish);
}

/* Five hundred that have not said who they are, and do not read what they are answered: a
 * few KiB for each is enough. */
#define N_UNREAD 500u
#define UNREAD_KIB 32u

static void leave_unread(Attack *a)
{
    (void) a;
    for (unsigned i = 0; i < N_UNREAD; i++) {
        int fd = attack_dial();

        for (unsigned n = 0; n < 3; n++)
            attack_send(fd, pings, sizeof(pings));
    }
}

TEST(test_unread_answers_in_memory)
{
    int neighbour = dial();
    unsigned before;
    Attack *a;

    fill_pings();
    expect_add(neighbour, 1, 1, VGPU_PRIORITY_HIGH, 1, 1);
    before = memory_kib(mediator.pid);
    a = attack_start(leave_unread);
    for (unsigned i = 0; i < 4; i++) {
        neighbour_works(neighbour, SECONDS / 2);
        /* A sanitizer's allocator keeps what was freed. */
        if (!SANITIZED)
            assert_in_range(memory_kib(mediator.pid), 0, before + N_UNREAD * UNREAD_KIB);
    }
    attack_end(a);
    close(neighbour);
}

/* More of them than there are places, and they stay. */
static void stay_idle(Attack *a)
{
    (void) a;
    for (unsigned i = 0; i < 5000; i++)
        (void) attack_dial();
}

/* Is a request on a new connection answered? */
static bool newcomer_is_served(void)
{
    int fd = dial();
    WireMessage m;
    bool served = wire_send_add(fd, 1, 1, VGPU_PRIORITY_HIGH, 5, 6) && wire_receive(fd, &m) == 1 &&
                  m.header.msg_type == VGPU_MSG_RESPONSE && m.response.status == VGPU_ERROR_NONE &&
                  m.results.results[0] == 11;

    close(fd);
    return served;
}

TEST(test_idle_connections_leave_places)
{
    time_t end = time(NULL) + 15;
    int neighbour = dial();
    Attack *a;

    expect_add(neighbour, 1, 1, VGPU_PRIORITY_HIGH, 1, 1);
    a = attack_start(stay_idle);
    expect_add(neighbour, 1, 2, VGPU_PRIORITY_HIGH, 2, 2);
    while (!newcomer_is_served()) {
        assert_true(time(NULL) < end);
        usleep(50000);
    }
    attack_end(a);
    close(neighbour);
}

/* A process that ends does not wait for what it closes. So it sends them from one, and the mediator
 * has the last one. The other end stays with the attacker. */
static void send_lingering(const void *bytes, size_t size, unsigned n)
{
    int fds[WIRE_FDS_MAX], fd = attack_make_lingering();
    pid_t pid = fork();

    if (pid == 0) {
        int connection = attack_dial();

        for (unsigned i = 0; i < n; i++)
            fds[i] = fd;
        attack_send(connection, bytes, size - 1);
        (void) wire_send_bytes(connection, (const char *) bytes + size - 1, 1, fds, n);
        usleep(5000);
        _exit(0);
    }
    close(fd);
    (void) waitpid(pid, NULL, 0);
}

static void leave_lingering(void)
{
    static const char rubbish[4096] = "GET / HTTP/1.1\r\n\r\n";
    const VGPUSocketHeader setup = wire_header(VGPU_MSG_RING_SETUP, 1, 1, 0, sizeof(VGPURingSetup));

    send_lingering(&setup, sizeof(setup), VGPU_RING_N_FDS); /* received, with half a message */
    send_lingering(&setup, sizeof(setup), WIRE_FDS_MAX);    /* more than are kept */
    send_lingering(rubbish, sizeof(rubbish), 1);            /* behind what is not read any more */
}

TEST(test_descriptors_that_take_long_to_close)
{
    int neighbour = dial();
    Attack *a;

    expect_add(neighbour, 1, 1, VGPU_PRIORITY_HIGH, 1, 1);
    a = attack_repeat(leave_lingering);
    neighbour_works(neighbour, SECONDS);
    assert_true(a->rounds > 0);
    assert_true(newcomer_is_served());
    attack_end(a);
    close(neighbour);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNDER_ATTACK(ALLOW, test_unread_answers_in_the_log),
        UNDER_ATTACK(ALLOW, test_rubbish_in_the_log),
        UNDER_ATTACK(ALLOW, test_unread_answers_in_memory),
        UNDER_ATTACK(ALLOW, test_idle_connections_leave_places),
        UNDER_ATTACK(ALLOW, test_descriptors_that_take_long_to_close),
    };

    return cmocka_run_group_tests_name("hostile peers", tests, NULL, NULL);
}
