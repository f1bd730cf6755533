/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A session's memory: each operation as it should be, and wrong by one.
 *
 *   test-session-operations fake    over the fake driver
 *   test-session-operations gpu     over the host's own; skips without a GPU
 */
#include <unistd.h>

#include "test-session-fixture.h"

/* Nobody's: far from all that a driver gives */
#define NOWHERE UINT64_C(0x123400000000)

static World w;

static void fill_pattern(unsigned char *bytes, size_t size, unsigned seed)
{
    for (size_t i = 0; i < size; i++)
        bytes[i] = (unsigned char) (i * 7 + i / 251 + seed);
}

/* ---- Allocations ---------------------------------------------------------------------------- */

TEST(test_alloc_and_free)
{
    uint64_t a, b;

    world_begin(&w, NULL);
    a = world_alloc(&w, MIB);
    b = world_alloc(&w, 1);
    assert_true(b >= a + MIB || b < a);
    assert_true(w.g.control->memory >= MIB + 1);

    assert_fails(CALL(&w, MEMORY_ALLOC, .size = 0), CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL(&w, MEMORY_ALLOC, .size = UINT64_MAX), CUDA_ERROR_OUT_OF_MEMORY);
    assert_fails(CALL(&w, MEMORY_ALLOC, .size = UINT64_C(1) << 62), CUDA_ERROR_OUT_OF_MEMORY);
    assert_fails(CALL(&w, MEMORY_ALLOC_ASYNC, .size = UINT64_C(1) << 45), CUDA_ERROR_OUT_OF_MEMORY);
    assert_fails(CALL(&w, PHYSICAL_CREATE, .size = UINT64_C(1) << 45, .id = 1),
                 CUDA_ERROR_OUT_OF_MEMORY);
    assert_fails(CALL(&w, MEMORY_FREE, .address = a + 1), CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL(&w, MEMORY_FREE, .address = NOWHERE), CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL(&w, MEMORY_FREE, .address = world_address(w.g.window)),
                 CUDA_ERROR_INVALID_VALUE);
    assert_ok(CALL(&w, MEMORY_FREE, .address = 0));
    assert_ok(CALL(&w, MEMORY_FREE, .address = a));
    assert_fails(CALL(&w, MEMORY_FREE, .address = a), CUDA_ERROR_INVALID_VALUE);
    assert_ok(CALL(&w, MEMORY_FREE, .address = b));
    assert_int_equal(w.g.control->memory, 0);
    /* Not what was refused */
    assert_int_equal(w.g.control->memory_peak, MIB + 512);
    world_end(&w);
}

TEST(test_quota)
{
    const WorldLimits limits = {.memory_max = 8 * MIB};
    uint64_t a, b;

    world_begin(&w, &limits);
    assert_ok(CALL(&w, MEMORY_INFO));
    assert_int_equal(w.value[0], 8 * MIB);
    assert_int_equal(w.value[1], 8 * MIB);
    assert_fails(CALL(&w, MEMORY_ALLOC, .size = 8 * MIB + 1), CUDA_ERROR_OUT_OF_MEMORY);
    a = world_alloc(&w, 6 * MIB);
    assert_fails(CALL(&w, MEMORY_ALLOC, .size = 2 * MIB + 1), CUDA_ERROR_OUT_OF_MEMORY);
    b = world_alloc(&w, 2 * MIB);
    assert_fails(CALL(&w, MEMORY_ALLOC, .size = 1), CUDA_ERROR_OUT_OF_MEMORY);
    assert_fails(CALL(&w, MEMORY_ALLOC_ASYNC, .size = 1), CUDA_ERROR_OUT_OF_MEMORY);
    assert_fails(CALL(&w, PHYSICAL_CREATE, .size = 2 * MIB, .id = 1), CUDA_ERROR_OUT_OF_MEMORY);
    assert_ok(CALL(&w, MEMORY_INFO));
    assert_int_equal(w.value[0], 0);
    assert_int_equal(w.g.control->memory, 8 * MIB);

    assert_ok(CALL(&w, MEMORY_FREE, .address = a));
    assert_ok(CALL(&w, MEMORY_INFO));
    assert_int_equal(w.value[0], 6 * MIB);
    a = world_alloc(&w, 6 * MIB);
    assert_ok(CALL(&w, MEMORY_FREE, .address = a));
    assert_ok(CALL(&w, MEMORY_FREE, .address = b));
    assert_int_equal(w.g.control->memory, 0);
    assert_int_equal(w.g.control->memory_peak, 8 * MIB);
    world_end(&w);
}

/* Two sessions of one VM */
TEST(test_quota_of_two)
{
    const WorldLimits limits = {.memory_max = 8 * MIB};
    SessionGuestOptions options = {.window_size = 32 * MIB, .slot = 3};
    static World other;
    uint64_t a;

    world_begin(&w, &limits);
    options.account = dup(w.g.fds[SESSION_FD_ACCOUNT]);
    world_open(&other, &options, NULL);
    a = world_alloc(&w, 6 * MIB);
    assert_ok(CALL(&other, MEMORY_INFO));
    assert_int_equal(other.value[0], 2 * MIB);
    assert_int_equal(other.value[1], 8 * MIB);
    assert_fails(CALL(&other, MEMORY_ALLOC, .size = 2 * MIB + 1), CUDA_ERROR_OUT_OF_MEMORY);
    (void) world_alloc(&other, 2 * MIB);
    assert_fails(CALL(&w, MEMORY_ALLOC, .size = 1), CUDA_ERROR_OUT_OF_MEMORY);
    assert_int_equal(other.g.control->memory, 2 * MIB);

    /* The mediator changes the maximum while they run. */
    __atomic_store_n(&w.g.account->memory_max, 9 * MIB, __ATOMIC_SEQ_CST);
    (void) world_alloc(&other, MIB);
    __atomic_store_n(&w.g.account->memory_max, MIB, __ATOMIC_SEQ_CST);
    assert_ok(CALL(&w, MEMORY_INFO));
    assert_int_equal(w.value[0], 0);
    assert_ok(CALL(&w, MEMORY_FREE, .address = a));
    assert_fails(CALL(&w, MEMORY_ALLOC, .size = 1), CUDA_ERROR_OUT_OF_MEMORY);
    __atomic_store_n(&w.g.account->memory_max, 10 * MIB, __ATOMIC_SEQ_CST);
    world_end(&other);
    __atomic_store_n(&w.g.account->slot[3], 0, __ATOMIC_SEQ_CST);
    (void) world_alloc(&w, 10 * MIB);
    world_end(&w);
}

TEST(test_async)
{
    unsigned char bytes[4096], back[4096];
    uint64_t a;

    world_begin(&w, NULL);
    assert_ok(CALL(&w, STREAM_CREATE, .id = 5, .flags = CU_STREAM_NON_BLOCKING));
    assert_ok(CALL(&w, MEMORY_ALLOC_ASYNC, .size = sizeof(bytes), .stream = 5));
    a = w.value[0];
    world_settle(&w, 5);
    fill_pattern(bytes, sizeof(bytes), 1);
    world_write(&w, a, bytes, sizeof(bytes));
    world_read(&w, a, back, sizeof(back));
    assert_memory_equal(bytes, back, sizeof(bytes));

    assert_fails(CALL(&w, MEMORY_ALLOC_ASYNC, .size = 0, .stream = 5), CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL(&w, MEMORY_ALLOC_ASYNC, .size = 1, .stream = 6), CUDA_ERROR_INVALID_HANDLE);
    assert_fails(CALL(&w, MEMORY_FREE_ASYNC, .address = a, .stream = 6), CUDA_ERROR_INVALID_HANDLE);
    assert_fails(CALL(&w, MEMORY_FREE_ASYNC, .address = a + 1, .stream = 5),
                 CUDA_ERROR_INVALID_VALUE);
    assert_ok(CALL(&w, MEMORY_FREE_ASYNC, .address = a, .stream = 5));
    assert_fails(CALL(&w, MEMORY_FREE_ASYNC, .address = a, .stream = 5), CUDA_ERROR_INVALID_VALUE);
    world_settle(&w, 5);
    assert_int_equal(w.g.control->memory, 0);

    /* Each kind of allocation may be freed in both ways. */
    assert_ok(CALL(&w, MEMORY_ALLOC_ASYNC, .size = 512, .stream = 5));
    a = w.value[0];
    world_settle(&w, 5);
    assert_ok(CALL(&w, MEMORY_FREE, .address = a));
    a = world_alloc(&w, 512);
    assert_ok(CALL(&w, MEMORY_FREE_ASYNC, .address = a, .stream = 5));
    world_settle(&w, 5);
    assert_int_equal(w.g.control->memory, 0);
    world_end(&w);
}

/* What a stream that waits has not freed yet is still the session's. */
TEST(test_quota_of_frees)
{
    const WorldLimits limits = {.memory_max = 8 * MIB};
    uint64_t *word;
    uint64_t a;

    world_begin(&w, &limits);
    word = (uint64_t *) world_window(&w, sizeof(*word));
    assert_ok(CALL(&w, STREAM_CREATE, .id = 5, .flags = CU_STREAM_NON_BLOCKING));
    assert_ok(CALL(&w, STREAM_CREATE, .id = 6, .flags = CU_STREAM_NON_BLOCKING));
    assert_ok(CALL(&w, MEMORY_ALLOC_ASYNC, .size = 6 * MIB, .stream = 5));
    a = w.value[0];
    assert_ok(
        CALL(&w, WORD_WAIT, .stream = 5, .address = world_address(word), .value = 1, .bits = 64));
    assert_ok(CALL(&w, MEMORY_FREE_ASYNC, .address = a, .stream = 5));
    assert_fails(CALL(&w, MEMORY_FREE_ASYNC, .address = a, .stream = 5), CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL(&w, SET, .address = a, .count = 1, .rows = 1, .width = 1),
                 CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL(&w, MEMORY_ALLOC_ASYNC, .size = 6 * MIB, .stream = 6),
                 CUDA_ERROR_OUT_OF_MEMORY);
    assert_fails(CALL(&w, MEMORY_ALLOC, .size = 6 * MIB), CUDA_ERROR_OUT_OF_MEMORY);
    assert_fails(CALL(&w, PHYSICAL_CREATE, .size = 6 * MIB, .id = 1), CUDA_ERROR_OUT_OF_MEMORY);
    assert_ok(CALL(&w, MEMORY_INFO));
    assert_int_equal(w.value[0], 2 * MIB);

    __atomic_store_n(word, 1, __ATOMIC_RELEASE);
    world_settle(&w, 5);
    assert_ok(CALL(&w, MEMORY_ALLOC_ASYNC, .size = 6 * MIB, .stream = 6));
    a = w.value[0];
    assert_ok(CALL(&w, MEMORY_FREE_ASYNC, .address = a, .stream = 6));
    world_settle(&w, 6);
    assert_ok(CALL(&w, MEMORY_INFO));
    assert_int_equal(w.value[0], 8 * MIB);
    assert_int_equal(w.g.control->memory, 0);
    world_end(&w);
}

/* As many as a context can have on their way, and one more: that one is not freed. */
TEST(test_too_many_frees)
{
    enum { FREES_MAX = 512 };
    const WorldLimits limits = {.memory_max = 64 * MIB};
    uint64_t a[FREES_MAX + 1];
    uint64_t *word;

    world_begin(&w, &limits);
    word = (uint64_t *) world_window(&w, sizeof(*word));
    assert_ok(CALL(&w, STREAM_CREATE, .id = 5, .flags = CU_STREAM_NON_BLOCKING));
    for (unsigned i = 0; i <= FREES_MAX; i++) {
        assert_ok(CALL(&w, MEMORY_ALLOC_ASYNC, .size = 512, .stream = 5));
        a[i] = w.value[0];
    }
    assert_ok(
        CALL(&w, WORD_WAIT, .stream = 5, .address = world_address(word), .value = 1, .bits = 64));
    for (unsigned i = 0; i < FREES_MAX; i++)
        assert_ok(CALL(&w, MEMORY_FREE_ASYNC, .address = a[i], .stream = 5));
    assert_fails(CALL(&w, MEMORY_FREE_ASYNC, .address = a[FREES_MAX], .stream = 5),
                 CUDA_ERROR_OUT_OF_MEMORY);
    assert_int_equal(w.g.control->memory, (FREES_MAX + 1) * 512);
    __atomic_store_n(word, 1, __ATOMIC_RELEASE);
    world_settle(&w, 5);
    assert_ok(CALL(&w, SET, .address = a[FREES_MAX], .count = 512, .rows = 1, .width = 1));
    world_settle(&w, 0);
    assert_ok(CALL(&w, MEMORY_FREE_ASYNC, .address = a[FREES_MAX], .stream = 5));
    world_settle(&w, 5);
    assert_ok(CALL(&w, MEMORY_INFO));
    assert_int_equal(w.g.control->memory, 0);
    world_end(&w);
}

/* What was freed in the order of a stream is the device's again, and stays in no pool. */
TEST(test_pools_keep_nothing)
{
    const uint64_t size = 256 * MIB;
    uint64_t before;

    world_begin(&w, NULL);
    assert_ok(CALL(&w, MEMORY_ALLOC_ASYNC, .size = 512));
    assert_ok(CALL(&w, MEMORY_INFO));
    before = w.value[0];
    assert_ok(CALL(&w, MEMORY_ALLOC_ASYNC, .size = size));
    assert_ok(CALL(&w, MEMORY_FREE_ASYNC, .address = w.value[0]));
    world_settle(&w, 0);
    assert_ok(CALL(&w, MEMORY_INFO));
    assert_true(w.value[0] > before - size / 2);
    world_end(&w);
}

/* ---- Reserved addresses --------------------------------------------------------------------- */

TEST(test_mapped_memory)
{
    unsigned char bytes[8192], back[8192];
    uint64_t granule, base, middle;

    world_begin(&w, NULL);
    assert_ok(CALL(&w, GRANULARITY, .flags = 0));
    granule = w.value[0];
    assert_true(granule > 0 && granule <= 64 * MIB && (granule & (granule - 1)) == 0);
    assert_fails(CALL(&w, GRANULARITY, .flags = 2), CUDA_ERROR_INVALID_VALUE);

    assert_fails(CALL(&w, ADDRESS_RESERVE, .size = 0), CUDA_ERROR_INVALID_VALUE);
    assert_ok(CALL(&w, ADDRESS_RESERVE, .size = 4 * granule));
    base = w.value[0];
    middle = base + granule - sizeof(bytes) / 2;
    assert_ok(CALL(&w, PHYSICAL_CREATE, .size = granule, .id = 1));
    assert_ok(CALL(&w, PHYSICAL_CREATE, .size = granule, .id = 2));
    assert_int_equal(w.g.control->memory, 2 * granule);
    assert_fails(CALL(&w, PHYSICAL_CREATE, .size = granule, .id = 2), CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL(&w, PHYSICAL_CREATE, .size = granule, .id = 0), CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL(&w, PHYSICAL_CREATE, .size = 0, .id = 3), CUDA_ERROR_INVALID_VALUE);
    assert_int_equal(w.g.control->memory, 2 * granule);

    assert_fails(CALL(&w, PHYSICAL_MAP, .address = base, .size = granule, .id = 3),
                 CUDA_ERROR_INVALID_HANDLE);
    assert_fails(CALL(&w, PHYSICAL_MAP, .address = base, .size = 2 * granule, .id = 1),
                 CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL(&w, PHYSICAL_MAP, .address = base, .size = granule, .offset = 1, .id = 1),
                 CUDA_ERROR_INVALID_VALUE);
    assert_fails(
        CALL(&w, PHYSICAL_MAP, .address = base, .size = granule, .offset = UINT64_MAX, .id = 1),
        CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL(&w, PHYSICAL_MAP, .address = base + 4 * granule, .size = granule, .id = 1),
                 CUDA_ERROR_INVALID_VALUE);
    assert_fails(
        CALL(&w, PHYSICAL_MAP, .address = world_address(w.g.window), .size = granule, .id = 1),
        CUDA_ERROR_INVALID_VALUE);
    assert_ok(CALL(&w, PHYSICAL_MAP, .address = base, .size = granule, .id = 1));
    assert_fails(CALL(&w, PHYSICAL_MAP, .address = base, .size = granule, .id = 2),
                 CUDA_ERROR_INVALID_VALUE);
    assert_ok(CALL(&w, PHYSICAL_MAP, .address = base + granule, .size = granule, .id = 2));

    /* Not before access is allowed */
    assert_fails(CALL(&w, SET, .address = base, .count = 1, .rows = 1, .width = 1),
                 CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL(&w, PHYSICAL_ACCESS, .address = base, .size = 3 * granule, .flags = 3),
                 CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL(&w, PHYSICAL_ACCESS, .address = base, .size = 2 * granule, .flags = 2),
                 CUDA_ERROR_INVALID_VALUE);
    assert_ok(CALL(&w, PHYSICAL_ACCESS, .address = base, .size = 2 * granule, .flags = 3));

    /* Across the border between two mappings */
    fill_pattern(bytes, sizeof(bytes), 2);
    world_write(&w, middle, bytes, sizeof(bytes));
    world_read(&w, middle, back, sizeof(back));
    assert_memory_equal(bytes, back, sizeof(bytes));
    assert_fails(CALL(&w, SET, .address = base, .count = 2 * granule + 1, .rows = 1, .width = 1),
                 CUDA_ERROR_INVALID_VALUE);

    /* The memory stays the session's until it is neither mapped nor known by a number. */
    assert_ok(CALL(&w, PHYSICAL_RELEASE, .id = 1));
    assert_fails(CALL(&w, PHYSICAL_RELEASE, .id = 1), CUDA_ERROR_INVALID_HANDLE);
    assert_int_equal(w.g.control->memory, 2 * granule);
    assert_fails(CALL(&w, ADDRESS_FREE, .address = base, .size = 4 * granule),
                 CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL(&w, PHYSICAL_UNMAP, .address = base, .size = granule / 2),
                 CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL(&w, PHYSICAL_UNMAP, .address = base, .size = 3 * granule),
                 CUDA_ERROR_INVALID_VALUE);
    assert_ok(CALL(&w, PHYSICAL_UNMAP, .address = base, .size = 2 * granule));
    assert_int_equal(w.g.control->memory, granule);
    /* Where nothing is mapped, as the driver; not where nothing is reserved */
    assert_ok(CALL(&w, PHYSICAL_UNMAP, .address = base, .size = granule));
    assert_fails(CALL(&w, PHYSICAL_UNMAP, .address = base, .size = 5 * granule),
                 CUDA_ERROR_INVALID_VALUE);
    assert_ok(CALL(&w, PHYSICAL_RELEASE, .id = 2));
    assert_int_equal(w.g.control->memory, 0);

    assert_fails(CALL(&w, ADDRESS_FREE, .address = base, .size = granule),
                 CUDA_ERROR_INVALID_VALUE);
    assert_ok(CALL(&w, ADDRESS_FREE, .address = base, .size = 4 * granule));
    assert_fails(CALL(&w, ADDRESS_FREE, .address = base, .size = 4 * granule),
                 CUDA_ERROR_INVALID_VALUE);
    world_end(&w);
}

/* ---- Limits and ends ------------------------------------------------------------------------ */

TEST(test_too_many_objects)
{
    const WorldLimits limits = {.objects_max = 3};
    uint64_t granule;

    world_begin(&w, &limits);
    assert_ok(CALL(&w, GRANULARITY, .flags = 0));
    granule = w.value[0];
    for (uint32_t id = 1; id <= 3; id++)
        assert_ok(CALL(&w, PHYSICAL_CREATE, .size = granule, .id = id));
    assert_fails(CALL(&w, PHYSICAL_CREATE, .size = granule, .id = 4), CUDA_ERROR_INVALID_VALUE);
    assert_fails(CALL(&w, PHYSICAL_CREATE, .size = granule, .id = UINT32_MAX),
                 CUDA_ERROR_INVALID_VALUE);
    assert_int_equal(w.g.control->memory, 3 * granule);
    world_end(&w);
}

/* A context takes its memory along. */
TEST(test_context_ends)
{
    uint64_t a;

    world_begin(&w, NULL);
    a = world_alloc(&w, 4 * MIB);
    assert_ok(CALL(&w, MEMORY_ALLOC_ASYNC, .size = MIB));
    assert_ok(CALL(&w, CONTEXT_DESTROY, .id = 1));
    assert_int_equal(w.g.control->memory, 0);
    session_guest_context(&w.g, 1, true);
    assert_fails(CALL(&w, SET, .address = a, .count = 1, .rows = 1, .width = 1),
                 CUDA_ERROR_INVALID_VALUE);
    (void) world_alloc(&w, MIB);
    world_end(&w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alloc_and_free),     cmocka_unit_test(test_quota),
        cmocka_unit_test(test_quota_of_two),       cmocka_unit_test(test_async),
        cmocka_unit_test(test_quota_of_frees),     cmocka_unit_test(test_too_many_frees),
        cmocka_unit_test(test_pools_keep_nothing), cmocka_unit_test(test_mapped_memory),
        cmocka_unit_test(test_too_many_objects),   cmocka_unit_test(test_context_ends),
    };

    world_main(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
