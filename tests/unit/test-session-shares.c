/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "closer.h"
#include "session-shares.h"

/* Two sessions, and their VM's table */
static int a, b;
static SessionShares shares, others;

static int add(const void *owner, uint64_t size, int fd, uint64_t token[2])
{
    const SessionShareMessage m = {
        .kind = fd >= 0 ? SESSION_SHARE_PHYSICAL : SESSION_SHARE_MEMORY,
        .size = size,
        .handle = {(uint8_t) size, 7},
    };

    return session_shares_add(&shares, owner, &m, fd, token);
}

static int find(const SessionShares *where, uint32_t kind, const uint64_t token[2],
                SessionShareMessage *ret, int *ret_fd)
{
    const SessionShareMessage m = {.kind = kind, .token = {token[0], token[1]}};

    return session_shares_find(where, &m, ret, ret_fd);
}

static bool is_there(const uint64_t token[2])
{
    SessionShareMessage m;
    int fd;

    return find(&shares, SESSION_SHARE_MEMORY, token, &m, &fd) == 0;
}

static bool is_open(int fd)
{
    closer_wait();
    return fcntl(fd, F_GETFD) >= 0;
}

TEST(test_tokens)
{
    uint64_t one[2], two[2];
    SessionShareMessage m = {0};
    int fd = 0;

    assert_int_equal(add(&a, 100, -1, one), 0);
    assert_int_equal(add(&a, 200, -1, two), 0);
    assert_memory_not_equal(one, two, sizeof(one));
    assert_int_equal(find(&shares, SESSION_SHARE_MEMORY, two, &m, &fd), 0);
    assert_int_equal(m.size, 200);
    assert_int_equal(m.handle[0], 200);
    assert_int_equal(m.handle[1], 7);
    assert_int_equal(fd, -1);

    assert_int_equal(find(&shares, SESSION_SHARE_PHYSICAL, two, &m, &fd), -ENOENT);
    assert_int_equal(find(&others, SESSION_SHARE_MEMORY, two, &m, &fd), -ENOENT);
    two[1]++;
    assert_false(is_there(two));
    assert_false(is_there((uint64_t[2]){0, 0}));

    /* Nobody ends another one's. */
    session_shares_remove(&shares, &b, one);
    assert_true(is_there(one));
    session_shares_remove(&shares, &a, one);
    assert_false(is_there(one));
    session_shares_end(&shares, &a);
    assert_true(LIST_EMPTY(&shares.list));
}

TEST(test_descriptors)
{
    int fds[3] = {eventfd(0, 0), eventfd(0, 0), eventfd(0, 0)}, fd = -1;
    SessionShareMessage m;
    uint64_t token[3][2];

    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(add(i < 2 ? &a : &b, i + 1, fds[i], token[i]), 0);
    assert_int_equal(find(&shares, SESSION_SHARE_PHYSICAL, token[1], &m, &fd), 0);
    assert_int_equal(fd, fds[1]);
    assert_int_equal(find(&shares, SESSION_SHARE_MEMORY, token[1], &m, &fd), -ENOENT);
    session_shares_remove(&shares, &a, token[1]);
    assert_false(is_open(fds[1]));
    session_shares_end(&shares, &a);
    assert_false(is_open(fds[0]));
    assert_true(is_open(fds[2]));
    session_shares_end(&shares, &b);
    assert_false(is_open(fds[2]));
}

/* What does not fit is closed. */
TEST(test_limits)
{
    uint64_t token[2];
    int fd;

    for (unsigned i = 0; i < SESSION_SHARES_WITH_FD_MAX; i++)
        assert_int_equal(add(&a, 1, eventfd(0, 0), token), 0);
    fd = eventfd(0, 0);
    assert_int_equal(add(&a, 1, fd, token), -ENOSPC);
    assert_false(is_open(fd));
    assert_int_equal(add(&b, 1, eventfd(0, 0), token), 0);
    for (unsigned i = SESSION_SHARES_WITH_FD_MAX; i < SESSION_SHARES_MAX; i++)
        assert_int_equal(add(&a, 1, -1, token), 0);
    assert_int_equal(add(&a, 1, -1, token), -ENOSPC);
    session_shares_end(&shares, &a);
    assert_int_equal(add(&a, 1, -1, token), 0);

    /* Of all VMs together; one is b's. */
    session_shares_limit_fds(3);
    assert_int_equal(add(&a, 1, eventfd(0, 0), token), 0);
    assert_int_equal(add(&a, 1, eventfd(0, 0), token), 0);
    fd = eventfd(0, 0);
    assert_int_equal(add(&a, 1, fd, token), -ENOSPC);
    assert_false(is_open(fd));
    session_shares_end(&shares, &b);
    assert_int_equal(add(&a, 1, eventfd(0, 0), token), 0);
    session_shares_end(&shares, &a);
    assert_true(LIST_EMPTY(&shares.list));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_descriptors),
        cmocka_unit_test(test_limits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
