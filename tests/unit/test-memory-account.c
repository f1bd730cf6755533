/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "memory-account.h"

TEST(test_slots)
{
    MemoryAccount *a;
    uint32_t slot;

    assert_int_equal(memory_account_new(UINT64_MAX, &a), 0);
    for (uint32_t i = 0; i < SESSION_ACCOUNT_SLOTS; i++) {
        assert_int_equal(memory_account_take_slot(a, &slot), 0);
        assert_int_equal(slot, i);
    }
    assert_int_equal(memory_account_take_slot(a, &slot), -ENOSPC);

    /* What its executor wrote there is gone with it. */
    a->page->slot[100] = a->page->slot[101] = 7;
    memory_account_give_slot(a, 100);
    assert_int_equal(a->page->slot[100], 0);
    assert_int_equal(a->page->slot[101], 7);
    assert_int_equal(memory_account_take_slot(a, &slot), 0);
    assert_int_equal(slot, 100);
    assert_null(memory_account_unref(a));
}

/* A session may outlive its VM. */
TEST(test_references)
{
    MemoryAccount *a;

    assert_int_equal(memory_account_new(4096, &a), 0);
    assert_ptr_equal(memory_account_ref(a), a);
    assert_null(memory_account_unref(a));
    assert_int_equal(a->page->memory_max, 4096);
    memory_account_set_max(a, 1);
    assert_int_equal(a->page->memory_max, 1);
    assert_null(memory_account_unref(a));
    assert_null(memory_account_unref(NULL));
}

/* Executors have the page, and cannot take it away. */
TEST(test_seals)
{
    MemoryAccount *a;
    SessionAccount *theirs;

    assert_int_equal(memory_account_new(5, &a), 0);
    assert_int_equal(ftruncate(a->fd, 0), -1);
    assert_int_equal(fcntl(a->fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
    theirs = mmap(NULL, sizeof(*theirs), PROT_READ | PROT_WRITE, MAP_SHARED, a->fd, 0);
    assert_true(theirs != MAP_FAILED);
    assert_int_equal(theirs->memory_max, 5);
    memory_account_set_max(a, UINT64_MAX);
    assert_true(theirs->memory_max == UINT64_MAX);
    munmap(theirs, sizeof(*theirs));
    memory_account_unref(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slots),
        cmocka_unit_test(test_references),
        cmocka_unit_test(test_seals),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
