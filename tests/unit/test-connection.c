/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Connections without a mediator: whose turn it is, and what a peer gets that has to go. */
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "connection.h"
#include "test.h"

#define N 2u

typedef struct Peer {
    struct Fixture *fixture;
    Connection *connection;
    int fd; /* the other end */
    unsigned n_messages, n_complaints;
} Peer;

typedef struct Fixture {
    sd_event *event;
    Connections all;
    Peer peers[N];
    bool answers; /* every message, with a PONG */
    unsigned
        first_of_second; /* how many messages of the first peer came before one of the second */
} Fixture;

static int on_message(void *userdata, const VGPUSocketHeader *h, const char *payload)
{
    const VGPUSocketHeader pong = {.msg_type = VGPU_MSG_PONG, .request_id = h->request_id};
    Peer *p = userdata;
    Fixture *f = p->fixture;

    (void) payload;

    if (p == &f->peers[1] && p->n_messages == 0)
        f->first_of_second = f->peers[0].n_messages;
    p->n_messages++;
    if (f->answers)
        connection_send(p->connection, &pong, NULL);
    return MESSAGE_OK;
}

static void on_complaint(void *userdata, const char *reason, int error)
{
    Peer *p = userdata;

    assert_true(reason || error < 0);
    p->n_complaints++;
}

static void on_closed(void *userdata)
{
    Peer *p = userdata;

    p->connection = connection_free(p->connection);
}

static const ConnectionHandler handler = {
    .message = on_message,
    .complain = on_complaint,
    .closed = on_closed,
};

static int setup(void **state)
{
    Fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    assert_true(sd_event_new(&f->event) >= 0);
    assert_true(connections_init(&f->all, f->event) >= 0);
    for (unsigned i = 0; i < N; i++) {
        Peer *p = &f->peers[i];
        int pair[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
        p->fixture = f;
        p->fd = pair[1];
        assert_int_equal(connection_new(&f->all, pair[0], &handler, p, &p->connection), 0);
    }
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    Fixture *f = *state;

    for (unsigned i = 0; i < N; i++) {
        connection_free(f->peers[i].connection);
        close(f->peers[i].fd);
    }
    connections_clear(&f->all);
    sd_event_unref(f->event);
    free(f);
    return 0;
}

static void run(Fixture *f)
{
    while (sd_event_run(f->event, 0) > 0)
        continue;
}

/* As many as the socket takes. Returns how many that were. */
static unsigned send_pings(const Peer *p, unsigned max)
{
    const VGPUSocketHeader ping = {.magic = VGPU_SOCKET_MAGIC, .msg_type = VGPU_MSG_PING};
    unsigned n = 0;

    while (n < max && send(p->fd, &ping, sizeof(ping), MSG_NOSIGNAL | MSG_DONTWAIT) == sizeof(ping))
        n++;
    return n;
}

static unsigned count_pongs(const Peer *p)
{
    VGPUSocketHeader pong;
    unsigned n = 0;

    while (recv(p->fd, &pong, sizeof(pong), MSG_DONTWAIT) == sizeof(pong))
        n++;
    return n;
}

/* A peer with much to say is heard in turns: another one does not wait for all of it. */
static void test_turns(void **state)
{
    Fixture *f = *state;
    unsigned n = send_pings(&f->peers[0], 200);

    assert_int_equal(n, 200);
    assert_int_equal(send_pings(&f->peers[1], 1), 1);
    run(f);
    assert_int_equal(f->peers[0].n_messages, n);
    assert_int_equal(f->peers[1].n_messages, 1);
    assert_true(f->first_of_second <= 4);
}

/* What is left from a turn is handled although nothing more comes, and before the hang-up. */
static void test_the_last_words_are_heard(void **state)
{
    Fixture *f = *state;

    assert_int_equal(send_pings(&f->peers[0], 40), 40);
    assert_int_equal(shutdown(f->peers[0].fd, SHUT_WR), 0);
    run(f);
    assert_int_equal(f->peers[0].n_messages, 40);
    assert_null(f->peers[0].connection);
    assert_int_equal(f->peers[0].n_complaints, 0);
}

/* Messages left from a turn do not keep the loop busy when nobody is to be read any more. */
static void test_no_turn_after_the_end_of_reading(void **state)
{
    Fixture *f = *state;

    assert_int_equal(send_pings(&f->peers[0], 40), 40);
    assert_true(sd_event_run(f->event, 0) > 0);
    assert_int_equal(f->peers[0].n_messages, 4);
    connections_stop_reading(&f->all);
    assert_int_equal(shutdown(f->peers[0].fd, SHUT_RDWR), 0);
    run(f);
    assert_null(f->peers[0].connection);
}

/* Does the peer that reads nothing lose its connection after @n messages? */
static bool is_closed_unread(Fixture *f, unsigned n)
{
    Peer *p = &f->peers[0];

    f->answers = true;
    while (n > 0 && p->connection) {
        unsigned sent = send_pings(p, n < 100 ? n : 100);

        run(f);
        if (sent == 0)
            break;
        n -= sent;
    }
    return !p->connection;
}

/* How many answers a socket holds depends on the kernel, so it is counted first. What the mediator
 * holds beyond that is a few KiB for somebody whom it does not know. */
static void test_unread_answers(void **state)
{
    Fixture *f = *state;
    const unsigned few = 4096 / sizeof(VGPUSocketHeader);
    unsigned in_socket = 0;
    char byte[sizeof(VGPUSocketHeader)] = {0};
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    while (send(pair[0], byte, sizeof(byte), MSG_DONTWAIT) == sizeof(byte))
        in_socket++;
    close(pair[0]);
    close(pair[1]);

    assert_true(is_closed_unread(f, in_socket + few + 100));
    assert_int_equal(f->peers[0].n_complaints, 1);
}

static void test_unread_answers_of_a_vm(void **state)
{
    Fixture *f = *state;

    connection_admit(f->peers[0].connection);
    assert_false(is_closed_unread(f, 2000));
    assert_int_equal(f->peers[0].n_messages, 2000);
    assert_int_equal(f->peers[0].n_complaints, 0);
}

/* Once it has to go, nothing that it sent is handled, answered or complained of any more. */
static void test_nothing_after_a_violation(void **state)
{
    Fixture *f = *state;
    Peer *p = &f->peers[0];
    const VGPUSocketHeader wrong = {.magic = 1};

    f->answers = true;
    assert_int_equal(send_pings(p, 3), 3);
    assert_int_equal(send(p->fd, &wrong, sizeof(wrong), 0), sizeof(wrong));
    (void) send_pings(p, 100);
    run(f);
    assert_null(p->connection);
    assert_int_equal(p->n_messages, 3);
    assert_int_equal(p->n_complaints, 1);
    assert_int_equal(count_pongs(p), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_turns, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_last_words_are_heard, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_turn_after_the_end_of_reading, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unread_answers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unread_answers_of_a_vm, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nothing_after_a_violation, setup, teardown),
    };

    return cmocka_run_group_tests_name("connection", tests, NULL, NULL);
}
