/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Peers that pipeline: while the mediator is stopped, hundreds of connections fill up with
 * messages, and then a neighbour asks for one sum. How many of the others' answers come before its
 * own?
 */
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "attack.h"
#include "test.h"

#define ALLOW "[Pool A]\nBackend=cpu\n[Unregistered]\nPolicy=allow\n[Limits]\nVMQueueLimit=1024\n"

/* A connection's answers fit into its socket, so that nobody has to read them meanwhile. */
#define N_CONNECTIONS 400u
#define N_MESSAGES 200u

/* The others' messages, all of them on their way before the neighbour's */
typedef struct Crowd {
    int fds[N_CONNECTIONS];
} Crowd;

static void crowd_join(Crowd *c)
{
    for (unsigned i = 0; i < N_CONNECTIONS; i++) {
        WireMessage m;

        c->fds[i] = dial();
        (void) wire_send_add(c->fds[i], 2000 + i, 1, VGPU_PRIORITY_LOW, 1, 1);
        (void) wire_receive(c->fds[i], &m);
    }
}

static void crowd_send(const Crowd *c, const void *message, size_t size)
{
    char messages[N_MESSAGES * 128];

    assert_true(size <= 128);
    for (unsigned n = 0; n < N_MESSAGES; n++)
        memcpy(messages + n * size, message, size);
    for (unsigned i = 0; i < N_CONNECTIONS; i++)
        (void) send(c->fds[i], messages, N_MESSAGES * size, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static unsigned crowd_answered(const Crowd *c)
{
    unsigned sum = 0;

    for (unsigned i = 0; i < N_CONNECTIONS; i++)
        sum += available(c->fds[i]);
    return sum;
}

static void crowd_leave(Crowd *c)
{
    for (unsigned i = 0; i < N_CONNECTIONS; i++)
        close(c->fds[i]);
}

/* The bytes of the crowd's answers that came before the neighbour's answer, in per cent of @all. */
static unsigned answered_before(const void *message, size_t size, unsigned all)
{
    int neighbour = dial();
    unsigned before;
    Crowd c;

    expect_add(neighbour, 1, 1, VGPU_PRIORITY_HIGH, 1, 1);
    crowd_join(&c);
    assert_true(test_process_stop(mediator.pid));
    crowd_send(&c, message, size);
    assert_true(wire_send_add(neighbour, 1, 2, VGPU_PRIORITY_HIGH, 2, 2));
    assert_int_equal(kill(mediator.pid, SIGCONT), 0);
    expect_sum(neighbour, 2, 4);
    before = crowd_answered(&c);
    crowd_leave(&c);
    close(neighbour);
    return (unsigned) ((uint64_t) before * 100 / all);
}

/* In one of five rounds at least, the neighbour has its turn before half of the others' are over.
 * On a machine with other work it may sleep through that moment, but not each time. */
static void expect_turn(const void *message, size_t size, size_t answer)
{
    unsigned all = N_CONNECTIONS * N_MESSAGES * (unsigned) answer, least = 100;

    for (unsigned round = 0; round < 5 && least >= 50; round++) {
        unsigned n = answered_before(message, size, all);

        least = n < least ? n : least;
    }
    assert_in_range(least, 0, 49);
}

TEST(test_turn_among_pings)
{
    const VGPUSocketHeader ping = wire_header(VGPU_MSG_PING, 3, 99, 0, 0);

    expect_turn(&ping, sizeof(ping), sizeof(ping));
}

/* A request of no operation: refused in words, by the mediator itself */
TEST(test_turn_among_malformed_requests)
{
    struct {
        VGPUSocketHeader header;
        VGPURequest request;
    } malformed = {
        .request = {.version = VGPU_PROTOCOL_VERSION, .opcode = 0x7777},
    };

    malformed.header =
        wire_header(VGPU_MSG_REQUEST, 3, 99, VGPU_PRIORITY_LOW, sizeof(malformed.request));
    expect_turn(&malformed, sizeof(malformed), sizeof(VGPUSocketHeader) + sizeof(VGPUResponse));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNDER_ATTACK(ALLOW, test_turn_among_pings),
        UNDER_ATTACK(ALLOW, test_turn_among_malformed_requests),
    };

    return cmocka_run_group_tests_name("hostile turns", tests, NULL, NULL);
}
