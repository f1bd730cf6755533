/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* common/fd-passing: what arrives, and what of it when not everything fits. */
#include <stdint.h>

#include "fd-passing.h"
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX 3u

typedef struct Pair {
    int sockets[2];
    int null[4]; /* something to send */
    int fds[MAX];
    unsigned n_fds;
    char bytes[64];
} Pair;

static int setup(void **state)
{
    Pair *p = calloc(1, sizeof(*p));

    assert_non_null(p);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, p->sockets), 0);
    for (unsigned i = 0; i < 4; i++) {
        p->null[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
        assert_true(p->null[i] >= 0);
    }
    *state = p;
    return 0;
}

static void close_received(Pair *p)
{
    while (p->n_fds > 0)
        assert_int_equal(close(p->fds[--p->n_fds]), 0);
}

static int teardown(void **state)
{
    Pair *p = *state;

    close_received(p);
    for (unsigned i = 0; i < 4; i++)
        close(p->null[i]);
    close(p->sockets[0]);
    if (p->sockets[1] >= 0)
        close(p->sockets[1]);
    free(p);
    return 0;
}

static void put(Pair *p, const char *bytes, unsigned n_fds)
{
    size_t size = strlen(bytes);

    assert_int_equal(fd_passing_send(p->sockets[1], bytes, size, p->null, n_fds, 0), size);
}

static int get(Pair *p)
{
    return (int) fd_passing_receive(p->sockets[0], p->bytes, sizeof(p->bytes), p->fds, MAX,
                                    &p->n_fds);
}

static void assert_received(const Pair *p, unsigned n)
{
    struct stat sent, received;

    assert_int_equal(p->n_fds, n);
    assert_int_equal(fstat(p->null[0], &sent), 0);
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(fstat(p->fds[i], &received), 0);
        assert_int_equal(received.st_rdev, sent.st_rdev);
        assert_int_equal(fcntl(p->fds[i], F_GETFD), FD_CLOEXEC);
    }
}

static void test_with_and_without(void **state)
{
    Pair *p = *state;

    assert_int_equal(get(p), -EAGAIN);
    put(p, "none", 0);
    assert_int_equal(get(p), 4);
    assert_memory_equal(p->bytes, "none", 4);
    assert_received(p, 0);
    put(p, "all", MAX);
    assert_int_equal(get(p), 3);
    assert_received(p, MAX);
}

/* A read ends where other descriptors begin, and they go behind those that are here. */
static void test_one_after_the_other(void **state)
{
    Pair *p = *state;

    put(p, "first", 1);
    put(p, "second", 2);
    assert_int_equal(get(p), 5);
    assert_received(p, 1);
    assert_int_equal(get(p), 6);
    assert_received(p, 3);
}

static void test_more_than_fit(void **state)
{
    Pair *p = *state;

    put(p, "x", MAX + 1);
    assert_int_equal(get(p), -EPROTO);
    assert_received(p, MAX);
    put(p, "x", 1);
    assert_int_equal(get(p), -EPROTO);
    assert_received(p, MAX);

    close_received(p);
    put(p, "x", 1);
    assert_int_equal(get(p), 1);
    put(p, "x", MAX);
    assert_int_equal(get(p), -EPROTO);
    assert_received(p, MAX);
}

/* That is not the sender's fault. */
static void test_no_more_may_be_open(void **state)
{
    Pair *p = *state;
    struct rlimit before, low;
    int next = dup(p->null[0]), r;

    assert_true(next >= 0);
    close(next);
    put(p, "x", 2);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    low = (struct rlimit){.rlim_cur = (rlim_t) next + 1, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    r = get(p);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(r, -EMFILE);
    assert_received(p, 1);
}

static void test_the_end(void **state)
{
    Pair *p = *state;

    put(p, "x", 1);
    close(p->sockets[1]);
    p->sockets[1] = -1;
    assert_int_equal(get(p), 1);
    assert_int_equal(get(p), 0);
    assert_int_equal(fd_passing_send(p->sockets[0], "x", 1, p->null, 1, 0), -EPIPE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_with_and_without, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_after_the_other, setup, teardown),
        cmocka_unit_test_setup_teardown(test_more_than_fit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_more_may_be_open, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_end, setup, teardown),
    };

    return cmocka_run_group_tests_name("fd-passing", tests, NULL, NULL);
}
