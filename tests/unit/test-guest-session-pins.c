/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libvgpu's sessions: what the host pins of the window. */
#include <stdlib.h>
#include <unistd.h>

#include "cuda-client.h"
#include "test-guest-session-fake.h"
#include "test.h"

#define MIB (UINT64_C(1) << 20)

static fake_session fake;
static vgpu_session *s;

static int setup_size(uint64_t window_size)
{
    const vgpu_session_options o = {.socket = fake.path, .window_size = window_size};

    fake.hook = NULL;
    return vgpu_session_open(&o, &s, NULL);
}

static int setup(void **state)
{
    (void) state;
    return setup_size(64 * MIB);
}

static int teardown(void **state)
{
    (void) state;
    s = vgpu_session_close(s);
    return 0;
}

static int context(uint16_t opcode, uint32_t id)
{
    const VGPUSessionContext create = {.id = id, .primary = 1};
    const VGPUSessionId destroy = {.id = id};

    return opcode == VGPU_SESSION_OP_CONTEXT_CREATE
               ? vgpu_session_call(s, opcode, NULL, &create, sizeof(create), NULL, 0, NULL)
               : vgpu_session_call(s, opcode, NULL, &destroy, sizeof(destroy), NULL, 0, NULL);
}

#define CREATE(id) assert_int_equal(context(VGPU_SESSION_OP_CONTEXT_CREATE, id), 0)
#define DESTROY(id) assert_int_equal(context(VGPU_SESSION_OP_CONTEXT_DESTROY, id), 0)

static bool is_pinned(const void *memory, uint64_t size)
{
    VGPUSessionBytes bytes;

    assert_true(vgpu_session_window_bytes(s, memory, size, &bytes));
    for (uint64_t at = bytes.offset; at < bytes.offset + size; at += 4096)
        if (!fake.pinned[at / 4096])
            return false;
    return fake.pinned[(bytes.offset + size - 1) / 4096];
}

static uint64_t pinned_bytes(void)
{
    uint64_t n = 0;

    for (uint64_t page = 0; page < fake.window_size / 4096; page++)
        n += fake.pinned[page] ? 4096 : 0;
    return n;
}

/* ---- Pins ------------------------------------------------------------------------------- */

TEST(test_pins_wait_for_a_context)
{
    void *a, *b;

    assert_int_equal(fake.header->flags, VGPU_SESSION_PINS);
    assert_int_equal(vgpu_session_window_alloc(s, 100, 0, &a), 0);
    assert_int_equal(vgpu_session_window_alloc(s, 20 * MIB, 0, &b), 0);
    assert_int_equal(fake.n_pins, 0);
    CREATE(1);
    assert_true(is_pinned(a, 100));
    assert_true(is_pinned(b, 20 * MIB));
    assert_in_range(pinned_bytes(), 20 * MIB, 40 * MIB);
    CREATE(2);
    assert_in_range(fake.n_pins, 1, 4);
}

TEST(test_pins_follow)
{
    void *a, *b, *c;
    unsigned before;

    CREATE(1);
    assert_int_equal(fake.n_pins, 0);
    assert_int_equal(vgpu_session_window_alloc(s, 5, 0, &a), 0);
    assert_true(is_pinned(a, 5));
    assert_in_range(pinned_bytes(), 8 * MIB, 8 * MIB);
    /* In the same piece there is nothing to be pinned. */
    before = fake.n_pins;
    assert_int_equal(vgpu_session_window_alloc(s, MIB, 0, &b), 0);
    assert_true(is_pinned(b, MIB));
    assert_int_equal(fake.n_pins, before);
    assert_int_equal(vgpu_session_window_alloc(s, 30 * MIB, 0, &c), 0);
    assert_true(is_pinned(c, 30 * MIB));
    assert_int_equal(fake.n_pins, before + 1);
    /* What is used again is pinned already. */
    assert_int_equal(vgpu_session_window_free(s, c), 0);
    assert_int_equal(vgpu_session_window_alloc(s, 30 * MIB, 0, &c), 0);
    assert_int_equal(fake.n_pins, before + 1);
}

/* Pins are made in any context that lives; without one they wait again. */
TEST(test_pins_and_contexts)
{
    void *a;

    CREATE(1);
    CREATE(2);
    DESTROY(1);
    assert_int_equal(vgpu_session_window_alloc(s, 10 * MIB, 0, &a), 0);
    assert_true(is_pinned(a, 10 * MIB));
    DESTROY(2);
    assert_int_equal(vgpu_session_window_alloc(s, 40 * MIB, 0, &a), 0);
    assert_false(is_pinned(a, 40 * MIB));
    CREATE(7);
    assert_true(is_pinned(a, 40 * MIB));
}

static uint32_t pin_result;

static uint32_t refuse_pins(fake_session *f, const VGPUSessionRecord *record, const void *p)
{
    (void) f;
    (void) p;
    return record->opcode == VGPU_SESSION_OP_WINDOW_PIN ? pin_result : 0;
}

TEST(test_pins_that_fail)
{
    void *a;

    CREATE(1);
    fake.hook = refuse_pins;
    pin_result = VGPU_CUDA_ERROR_OUT_OF_MEMORY;
    assert_int_equal(vgpu_session_window_alloc(s, 40 * MIB, 0, &a), VGPU_CUDA_ERROR_OUT_OF_MEMORY);
    fake.hook = NULL;
    /* It was given back. */
    assert_int_equal(vgpu_session_window_alloc(s, 60 * MIB, 0, &a), 0);
    assert_true(is_pinned(a, 60 * MIB));
}

TEST(test_context_without_its_pins)
{
    void *a;

    assert_int_equal(vgpu_session_window_alloc(s, 5, 0, &a), 0);
    fake.hook = refuse_pins;
    pin_result = VGPU_CUDA_ERROR_OUT_OF_MEMORY;
    assert_int_equal(context(VGPU_SESSION_OP_CONTEXT_CREATE, 1), VGPU_CUDA_ERROR_OUT_OF_MEMORY);
    fake.hook = NULL;
    CREATE(1);
    assert_int_equal(fake.n_contexts, 1);
    assert_true(is_pinned(a, 5));
}

/* A host that does not know the operation has pinned all. */
TEST(test_old_host)
{
    void *a;

    fake.hook = refuse_pins;
    pin_result = VGPU_CUDA_ERROR_NOT_SUPPORTED;
    CREATE(1);
    assert_int_equal(vgpu_session_window_alloc(s, 5, 0, &a), 0);
    assert_int_equal(vgpu_session_window_alloc(s, 50 * MIB, 0, &a), 0);
}

typedef struct user {
    pthread_t thread;
    unsigned seed;
    int failures;
} user;

static void *use_many(void *userdata)
{
    user *me = userdata;

    for (unsigned i = 0; i < 200; i++) {
        size_t size = 1 + (size_t) rand_r(&me->seed) % (3 * MIB);
        void *memory;

        if (vgpu_session_window_alloc(s, size, 0, &memory) != 0)
            continue; /* no room now */
        if (!is_pinned(memory, size))
            me->failures++;
        if (vgpu_session_window_free(s, memory) != 0)
            me->failures++;
    }
    return NULL;
}

TEST(test_pins_of_threads)
{
    user users[6];

    CREATE(1);
    for (unsigned i = 0; i < 6; i++) {
        users[i] = (user){.seed = i + 1};
        assert_int_equal(pthread_create(&users[i].thread, NULL, use_many, &users[i]), 0);
    }
    for (unsigned i = 0; i < 6; i++) {
        pthread_join(users[i].thread, NULL);
        assert_int_equal(users[i].failures, 0);
    }
}

static int group_setup(void **state)
{
    (void) state;
    fake_session_start(&fake);
    return 0;
}

static int group_teardown(void **state)
{
    (void) state;
    fake_session_stop(&fake);
    return 0;
}

int main(void)
{
#define CASE(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_pins_wait_for_a_context),  CASE(test_pins_follow),
        CASE(test_pins_and_contexts),        CASE(test_pins_that_fail),
        CASE(test_context_without_its_pins), CASE(test_old_host),
        CASE(test_pins_of_threads),
    };

    return cmocka_run_group_tests_name("guest-session-pins", tests, group_setup, group_teardown);
}
