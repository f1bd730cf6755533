/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The tables of a session's objects: numbers that a guest chooses. */
#include <pthread.h>
#include <stdint.h>

#include "session-table.h"
#include "test.h"

static char objects[4];

TEST(test_numbers)
{
    static const uint32_t none[] = {0, 101, 65536, UINT32_MAX};
    SessionTable t;

    session_table_init(&t, 100);
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        assert_int_equal(session_table_add(&t, none[i], &objects[0], 1), -EINVAL);
        assert_null(session_table_find(&t, none[i]));
        assert_null(session_table_remove(&t, none[i]));
    }
    assert_int_equal(session_table_add(&t, 1, &objects[1], 1), 0);
    assert_int_equal(session_table_add(&t, 100, &objects[2], 1), 0);
    assert_int_equal(t.block->size, 100);
    assert_ptr_equal(session_table_find(&t, 1), &objects[1]);
    assert_ptr_equal(session_table_find(&t, 100), &objects[2]);
    assert_null(session_table_find(&t, 2));
    assert_int_equal(t.n, 2);
    session_table_close(&t);
    assert_null(session_table_find(&t, 1));
}

TEST(test_taken_and_free_again)
{
    SessionTable t;

    session_table_init(&t, 65535);
    assert_int_equal(session_table_add(&t, 7, &objects[0], 1), 0);
    assert_int_equal(session_table_add(&t, 7, &objects[1], 1), -EEXIST);
    assert_ptr_equal(session_table_remove(&t, 7), &objects[0]);
    assert_null(session_table_remove(&t, 7));
    assert_int_equal(session_table_add(&t, 7, &objects[1], 1), 0);
    assert_ptr_equal(session_table_find(&t, 7), &objects[1]);
    session_table_close(&t);
}

/* The memory follows the numbers, not the limit; a limit of one is a table of one. */
TEST(test_growth)
{
    SessionTable t;

    session_table_init(&t, 65535);
    assert_int_equal(session_table_add(&t, 1, &objects[0], 1), 0);
    assert_true(t.block->size < 1000);
    for (uint32_t id = 2; id <= 65535; id++)
        assert_int_equal(session_table_add(&t, id, &objects[id % 4], id % 3), 0);
    assert_int_equal(t.block->size, 65535);
    for (uint32_t id = 2; id <= 65535; id++)
        assert_ptr_equal(session_table_find(&t, id), &objects[id % 4]);
    session_table_close(&t);

    session_table_init(&t, 1);
    assert_int_equal(session_table_add(&t, 2, &objects[0], 1), -EINVAL);
    assert_int_equal(session_table_add(&t, 1, &objects[0], 1), 0);
    assert_int_equal(t.block->size, 1);
    session_table_close(&t);
}

/* One thread looks while another one lets the table grow and takes numbers back: what has a number
 * all the time is found each time. */
static void *look(void *data)
{
    SessionTable *t = data;
    bool done = false;

    while (!done) {
        void *last = session_table_find(t, 65535);

        assert_ptr_equal(session_table_find(t, 1), &objects[1]);
        assert_true(last == NULL || last == &objects[2]);
        done = last != NULL;
    }
    return NULL;
}

TEST(test_looking_meanwhile)
{
    SessionTable t;
    pthread_t thread;

    session_table_init(&t, 65535);
    assert_int_equal(session_table_add(&t, 1, &objects[1], 1), 0);
    assert_int_equal(pthread_create(&thread, NULL, look, &t), 0);
    for (uint32_t id = 2; id < 65535; id++) {
        assert_int_equal(session_table_add(&t, id, &objects[3], 1), 0);
        if (id % 2)
            assert_ptr_equal(session_table_remove(&t, id), &objects[3]);
    }
    assert_int_equal(session_table_add(&t, 65535, &objects[2], 1), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    session_table_close(&t);
}

/* All objects of one context, and no others */
TEST(test_of_a_context)
{
    SessionTable t;
    uint32_t id = 0, n = 0;
    void *object;

    session_table_init(&t, 65535);
    assert_null(session_table_take_of(&t, 1, &id));
    for (uint32_t i = 1; i <= 300; i++)
        assert_int_equal(session_table_add(&t, i, &objects[i % 4], i % 3), 0);
    while ((object = session_table_take_of(&t, 1, &id))) {
        assert_int_equal(id % 3, 1);
        assert_ptr_equal(object, &objects[id % 4]);
        n++;
    }
    assert_int_equal(n, 100);
    assert_int_equal(t.n, 200);
    assert_null(session_table_find(&t, 1));
    assert_non_null(session_table_find(&t, 2));
    id = 0;
    assert_null(session_table_take_of(&t, 1, &id));
    session_table_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),      cmocka_unit_test(test_taken_and_free_again),
        cmocka_unit_test(test_growth),       cmocka_unit_test(test_looking_meanwhile),
        cmocka_unit_test(test_of_a_context),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
