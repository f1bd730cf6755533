/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A session's pools of memory: what they do, what is refused, and that they keep nothing above the
 * session's quota.
 *
 *   test-session-pools fake    over the fake driver
 *   test-session-pools gpu     over the host's own; skips without a GPU
 */
#include "test-session-fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* CUmemPool_attribute */
enum {
    FOLLOW_EVENTS = 1,
    OPPORTUNISTIC = 2,
    INTERNAL = 3,
    THRESHOLD = 4,
    RESERVED = 5,
    RESERVED_HIGH = 6,
    USED = 7,
    USED_HIGH = 8,
};

static World w;

static uint64_t get(uint32_t pool, uint32_t attribute)
{
    assert_ok(CALL(&w, POOL_GET, .id = pool, .attribute = attribute));
    return w.value[0];
}

static uint32_t set(uint32_t pool, uint32_t attribute, uint64_t value)
{
    return CALL(&w, POOL_SET, .id = pool, .attribute = attribute, .value = value);
}

static uint64_t alloc(uint32_t pool, uint64_t size)
{
    assert_ok(CALL(&w, MEMORY_ALLOC_ASYNC, .size = size, .pool = pool));
    return w.value[0];
}

static void free_async(uint64_t address)
{
    assert_ok(CALL(&w, MEMORY_FREE_ASYNC, .address = address));
}

static void check_memory(uint64_t address, size_t size)
{
    unsigned char *bytes = malloc(size), *back = malloc(size);

    assert_non_null(bytes);
    assert_non_null(back);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (unsigned char) (i * 11 + address / 512);
    world_write(&w, address, bytes, size);
    world_read(&w, address, back, size);
    assert_memory_equal(bytes, back, size);
    free(bytes);
    free(back);
}

TEST(test_life)
{
    uint64_t a, b;

    world_begin(&w, NULL);
    assert_ok(CALL(&w, POOL_CREATE, .id = 3));
    a = alloc(3, MIB);
    b = alloc(0, MIB);
    world_settle(&w, 0);
    assert_true(a != b);
    check_memory(a, MIB);
    check_memory(b, MIB);
    assert_true(w.g.control->memory >= 2 * MIB);
    free_async(a);
    world_settle(&w, 0);
    assert_fails(CALL(&w, SET, .address = a, .count = 1, .rows = 1, .width = 1),
                 CUDA_ERROR_INVALID_VALUE);

    /* With an allocation alive: that stays, and the number is free. */
    a = alloc(3, MIB);
    assert_ok(CALL(&w, POOL_DESTROY, .id = 3));
    check_memory(a, MIB);
    assert_fails(CALL(&w, MEMORY_ALLOC_ASYNC, .size = 1, .pool = 3), CUDA_ERROR_INVALID_HANDLE);
    assert_fails(CALL(&w, POOL_DESTROY, .id = 3), CUDA_ERROR_INVALID_HANDLE);
    assert_ok(CALL(&w, POOL_CREATE, .id = 3));
    check_memory(a, MIB);
    assert_ok(CALL(&w, MEMORY_FREE, .address = a));
    free_async(b);
    world_settle(&w, 0);
    assert_ok(CALL(&w, POOL_DESTROY, .id = 3));
    assert_int_equal(w.g.control->memory, 0);
    world_end(&w);
}

/* A program may set its pools up, and ask for the granularity, before it has a context. */
TEST(test_without_a_context)
{
    world_begin(&w, NULL);
    assert_ok(CALL(&w, CONTEXT_DESTROY, .id = 1));
    assert_ok(CALL(&w, POOL_CREATE, .id = 1));
    assert_ok(set(1, THRESHOLD, 64 * MIB));
    assert_true(get(1, THRESHOLD) == 64 * MIB);
    assert_ok(set(0, OPPORTUNISTIC, 0));
    assert_int_equal(get(0, OPPORTUNISTIC), 0);
    assert_ok(CALL(&w, POOL_TRIM, .id = 1));
    assert_ok(CALL(&w, GRANULARITY, .flags = 0));
    assert_true(w.value[0] > 0);
    assert_fails(CALL(&w, MEMORY_ALLOC_ASYNC, .size = 1, .pool = 1), CUDA_ERROR_INVALID_CONTEXT);
    session_guest_context(&w.g, 1, true);
    check_memory(alloc(1, MIB), MIB);
    assert_ok(CALL(&w, POOL_DESTROY, .id = 1));
    world_end(&w);
}

TEST(test_bad_input)
{
    static const VGPUSessionPool wrong_sets[] = {
        {.attribute = 0},
        {.attribute = 9},
        {.attribute = UINT32_MAX},
        {.attribute = FOLLOW_EVENTS, .value = 2},
        {.attribute = OPPORTUNISTIC, .value = UINT64_MAX},
        {.attribute = INTERNAL, .value = UINT64_C(1) << 32},
        {.attribute = RESERVED},
        {.attribute = RESERVED, .value = 1},
        {.attribute = RESERVED_HIGH, .value = 1},
        {.attribute = USED},
        {.attribute = USED_HIGH, .value = UINT64_MAX},
    };
    static const VGPUSessionPool wrong_gets[] = {
        {.attribute = 0},
        {.attribute = 9},
        {.attribute = UINT32_MAX},
        {.attribute = USED, .value = 1},
    };

    world_begin(&w, NULL);
    assert_ok(CALL(&w, POOL_CREATE, .id = 1));
    for (uint32_t id = 0; id < 2; id++) {
        for (size_t i = 0; i < sizeof(wrong_sets) / sizeof(wrong_sets[0]); i++)
            assert_fails(set(id, wrong_sets[i].attribute, wrong_sets[i].value),
                         CUDA_ERROR_INVALID_VALUE);
        for (size_t i = 0; i < sizeof(wrong_gets) / sizeof(wrong_gets[0]); i++)
            assert_fails(CALL(&w, POOL_GET, .id = id, .attribute = wrong_gets[i].attribute,
                              .value = wrong_gets[i].value),
                         CUDA_ERROR_INVALID_VALUE);
        assert_fails(CALL(&w, POOL_TRIM, .id = id, .attribute = 1), CUDA_ERROR_INVALID_VALUE);
    }
    assert_fails(CALL(&w, POOL_CREATE, .id = 0), CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL(&w, POOL_CREATE, .id = 1), CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL(&w, POOL_CREATE, .id = UINT32_MAX), CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL(&w, POOL_CREATE, .id = 2, .attribute = 1), CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL(&w, POOL_DESTROY, .id = 0), CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL(&w, POOL_DESTROY, .id = 1, .value = 1), CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL(&w, POOL_DESTROY, .id = 2), CUDA_ERROR_INVALID_HANDLE);
    assert_fails(CALL(&w, POOL_TRIM, .id = 2), CUDA_ERROR_INVALID_HANDLE);
    assert_fails(CALL(&w, POOL_GET, .id = 2, .attribute = USED), CUDA_ERROR_INVALID_HANDLE);
    assert_fails(set(2, THRESHOLD, 0), CUDA_ERROR_INVALID_HANDLE);
    assert_fails(CALL(&w, MEMORY_ALLOC_ASYNC, .size = 1, .pool = UINT32_MAX),
                 CUDA_ERROR_INVALID_HANDLE);
    assert_fails(CALL(&w, MEMORY_ALLOC_ASYNC, .size = 0, .pool = 1), CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL(&w, MEMORY_ALLOC_ASYNC, .size = 1, .pool = 1, .stream = 7),
                 CUDA_ERROR_INVALID_HANDLE);
    assert_fails(CALL(&w, MEMORY_ALLOC_ASYNC, .size = UINT64_C(1) << 62, .pool = 1),
                 CUDA_ERROR_OUT_OF_MEMORY);
    world_end(&w);
}

TEST(test_attributes)
{
    uint64_t a;

    world_begin(&w, NULL);
    assert_ok(CALL(&w, POOL_CREATE, .id = 1));
    for (uint32_t id = 0; id < 2; id++) {
        assert_int_equal(get(id, THRESHOLD), 0);
        for (uint32_t flag = FOLLOW_EVENTS; flag <= INTERNAL; flag++) {
            assert_int_equal(get(id, flag), 1);
            assert_ok(set(id, flag, 0));
            assert_int_equal(get(id, flag), 0);
            assert_ok(set(id, flag, 1));
        }
        assert_ok(set(id, THRESHOLD, UINT64_MAX));
        assert_true(get(id, THRESHOLD) == UINT64_MAX);
        assert_ok(set(id, THRESHOLD, 0));
    }
    a = alloc(1, 5 * MIB);
    world_settle(&w, 0);
    assert_in_range(get(1, USED), 5 * MIB, 8 * MIB);
    assert_in_range(get(1, USED_HIGH), 5 * MIB, 8 * MIB);
    assert_true(get(1, RESERVED) >= 5 * MIB);
    assert_true(get(1, RESERVED_HIGH) >= get(1, RESERVED));
    free_async(a);
    world_settle(&w, 0);
    assert_ok(CALL(&w, POOL_TRIM, .id = 1));
    assert_int_equal(get(1, RESERVED), 0);
    assert_int_equal(get(1, USED), 0);
    assert_true(get(1, USED_HIGH) >= 5 * MIB);
    assert_ok(set(1, USED_HIGH, 0));
    assert_ok(set(1, RESERVED_HIGH, 0));
    assert_int_equal(get(1, USED_HIGH), 0);
    assert_int_equal(get(1, RESERVED_HIGH), 0);
    world_end(&w);
}

/* What a pool may keep, it keeps, until it is trimmed. */
TEST(test_threshold)
{
    uint64_t a;

    world_begin(&w, NULL);
    assert_ok(CALL(&w, POOL_CREATE, .id = 1));
    assert_ok(set(1, THRESHOLD, 256 * MIB));
    a = alloc(1, 64 * MIB);
    free_async(a);
    world_settle(&w, 0);
    assert_ok(CALL(&w, MEMORY_INFO));
    assert_true(get(1, RESERVED) >= 64 * MIB);
    assert_ok(CALL(&w, POOL_TRIM, .id = 1, .value = 256 * MIB));
    assert_true(get(1, RESERVED) >= 64 * MIB);
    assert_ok(CALL(&w, POOL_TRIM, .id = 1));
    assert_int_equal(get(1, RESERVED), 0);
    world_end(&w);
}

TEST(test_maximum)
{
    uint64_t a;

    world_begin(&w, NULL);
    assert_ok(CALL(&w, POOL_CREATE, .id = 1, .value = 64 * MIB));
    a = alloc(1, 48 * MIB);
    assert_fails(CALL(&w, MEMORY_ALLOC_ASYNC, .size = 96 * MIB, .pool = 1),
                 CUDA_ERROR_OUT_OF_MEMORY);
    (void) alloc(0, 96 * MIB);
    free_async(a);
    world_settle(&w, 0);
    world_end(&w);
}

TEST(test_contexts)
{
    uint64_t a;

    world_begin(&w, NULL);
    assert_ok(CALL(&w, POOL_CREATE, .id = 1));
    a = alloc(1, MIB);
    assert_ok(CALL(&w, CONTEXT_DESTROY, .id = 1));
    assert_int_equal(w.g.control->memory, 0);
    session_guest_context(&w.g, 1, true);
    assert_fails(CALL(&w, SET, .address = a, .count = 1, .rows = 1, .width = 1),
                 CUDA_ERROR_INVALID_VALUE);
    a = alloc(1, MIB);
    world_settle(&w, 0);
    check_memory(a, MIB);
    world_end(&w);
}

TEST(test_too_many)
{
    enum { POOLS_MAX = 1024 };

    if (world_is_gpu()) /* an H200 makes 467 at most */
        skip();
    world_begin(&w, NULL);
    for (uint32_t id = 1; id <= POOLS_MAX; id++)
        assert_ok(CALL(&w, POOL_CREATE, .id = id));
    assert_fails(CALL(&w, POOL_CREATE, .id = POOLS_MAX + 1), CUDA_ERROR_OUT_OF_MEMORY);
    assert_ok(CALL(&w, POOL_DESTROY, .id = 5));
    assert_ok(CALL(&w, POOL_CREATE, .id = POOLS_MAX + 1));
    world_end(&w);
}

/* ---- The quota ----------------------------------------------------------------------------------
 */

/* Another session, without a quota, sees what all have of the device. */
static World watch;
static uint64_t free_before;

static uint64_t taken(void)
{
    assert_ok(CALL(&watch, MEMORY_INFO));
    return watch.value[0] < free_before ? free_before - watch.value[0] : 0;
}

static char plan[64];

static void quota_begin(uint64_t quota)
{
    const SessionGuestOptions options = {.window_size = 4 * MIB};

    snprintf(plan, sizeof(plan), "memory=/tmp/vgpu-pools.XXXXXX");
    close(mkstemp(plan + strlen("memory=")));
    world_open(&watch, &options, &(WorldLimits){.plan = plan});
    world_begin(&w, &(WorldLimits){.memory_max = quota, .plan = plan});
    assert_ok(CALL(&watch, MEMORY_INFO));
    free_before = watch.value[0];
}

static void quota_end(void)
{
    world_end(&w);
    world_end(&watch);
    unlink(plan + strlen("memory="));
}

#define QUOTA (256 * MIB)
#define SLACK (64 * MIB) /* the first pages of pools and of small allocations */

/* What a pool keeps is charged; and given back when the session lacks room. */
TEST(test_quota_of_what_is_kept)
{
    uint64_t a;

    quota_begin(QUOTA);
    assert_ok(CALL(&w, POOL_CREATE, .id = 1));
    assert_ok(set(1, THRESHOLD, UINT64_MAX));
    a = alloc(1, 160 * MIB);
    assert_true(w.g.control->memory >= 160 * MIB);
    free_async(a);
    world_settle(&w, 0);
    assert_ok(CALL(&w, MEMORY_INFO));
    assert_true(taken() >= 160 * MIB);
    assert_true(w.g.control->memory >= 160 * MIB);
    assert_true(w.value[0] <= QUOTA - 160 * MIB);

    a = world_alloc(&w, 200 * MIB);
    assert_true(taken() <= QUOTA + SLACK);
    assert_true(w.g.control->memory <= QUOTA);
    assert_fails(CALL(&w, MEMORY_ALLOC_ASYNC, .size = 100 * MIB, .pool = 1),
                 CUDA_ERROR_OUT_OF_MEMORY);
    assert_ok(CALL(&w, MEMORY_FREE, .address = a));
    a = alloc(1, 160 * MIB);
    assert_ok(CALL(&w, POOL_DESTROY, .id = 1));
    assert_true(w.g.control->memory >= 160 * MIB);
    free_async(a);
    world_settle(&w, 0);
    assert_ok(CALL(&w, MEMORY_INFO));
    assert_int_equal(w.g.control->memory, 0);
    assert_int_equal(w.value[0], QUOTA);
    quota_end();
}

/* Many pools that each keep as much as they can */
TEST(test_quota_of_many_pools)
{
    unsigned n_made = 0;

    quota_begin(QUOTA);
    for (uint32_t id = 1; id <= 40; id++) {
        assert_ok(CALL(&w, POOL_CREATE, .id = id));
        assert_ok(set(id, THRESHOLD, UINT64_MAX));
        for (unsigned i = 0; i < 4; i++)
            if (CALL(&w, MEMORY_ALLOC_ASYNC, .size = 7 * MIB, .pool = id) == CUDA_SUCCESS) {
                n_made++;
                if (i > 0)
                    free_async(w.value[0]);
            }
        assert_true(w.g.control->memory <= QUOTA);
        assert_true(taken() <= QUOTA + SLACK);
    }
    assert_in_range(n_made, 20, 40 * 4);
    quota_end();
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_life),
        cmocka_unit_test(test_without_a_context),
        cmocka_unit_test(test_bad_input),
        cmocka_unit_test(test_attributes),
        cmocka_unit_test(test_threshold),
        cmocka_unit_test(test_maximum),
        cmocka_unit_test(test_contexts),
        cmocka_unit_test(test_too_many),
        cmocka_unit_test(test_quota_of_what_is_kept),
        cmocka_unit_test(test_quota_of_many_pools),
    };

    world_main(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
