/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The fake CUDA driver: memory, ranges of addresses, copies and sets */
#include "test-fake-cuda-fixture.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB ((size_t) 1 << 20)
#define GRANULE (2 * MIB)

static size_t free_memory(void)
{
    size_t free_bytes, total;

    OK(BASE.mem_get_info(&free_bytes, &total));
    return free_bytes;
}

/* ---- Allocations ----------------------------------------------------------------------------- */

static void try_alloc(void)
{
    size_t before = free_memory();
    CUdeviceptr small[3], large;

    EXPECT(before == 64 * MIB);
    for (size_t i = 0; i < 3; i++) {
        OK(BASE.mem_alloc(&small[i], 100));
        EXPECT(small[i] % 512 == 0);
        EXPECT(small[i] >= UINT64_C(0x2ac100000000) && small[i] < UINT64_C(0x2d0000000000));
    }
    EXPECT(free_memory() == before - GRANULE);
    OK(BASE.mem_alloc(&large, 5 * MIB));
    EXPECT(large % GRANULE == 0);
    EXPECT(free_memory() == before - GRANULE - 3 * GRANULE);

    EXPECT_RESULT(BASE.mem_alloc(&large, 60 * MIB), CUDA_ERROR_OUT_OF_MEMORY);
    EXPECT_RESULT(BASE.mem_alloc(&large, SIZE_MAX), CUDA_ERROR_OUT_OF_MEMORY);
    EXPECT_RESULT(BASE.mem_alloc(&large, 0), CUDA_ERROR_INVALID_VALUE);
    EXPECT_RESULT(BASE.mem_free(small[0] + 512 * 99), CUDA_ERROR_INVALID_VALUE);
    EXPECT_RESULT(BASE.mem_free(small[0] + 1), CUDA_ERROR_INVALID_VALUE);

    OK(BASE.mem_free(large));
    EXPECT_RESULT(BASE.mem_free(large), CUDA_ERROR_INVALID_VALUE);
    for (size_t i = 0; i < 3; i++)
        OK(BASE.mem_free(small[i]));
    EXPECT(free_memory() == before);
}

TEST(test_alloc)
{
    assert_good("total=64", try_alloc);
}

/* Memory that was another's has nothing of it; addresses come again. */
static void try_reuse(void)
{
    CUdeviceptr first, second;

    OK(BASE.mem_alloc(&first, 4 * MIB));
    fill(first, 0x12345678, MIB, NULL);
    OK(BASE.mem_free(first));
    OK(BASE.mem_alloc(&second, 4 * MIB));
    EXPECT(first == second);
    EXPECT(number_at(second) == 0);
    EXPECT(number_at(second + 4 * MIB - 4) == 0);
}

TEST(test_reuse)
{
    assert_good("", try_reuse);
}

static void release_later(void *word)
{
    usleep(30000);
    __atomic_store_n((uint32_t *) word, 1, __ATOMIC_RELEASE);
}

/* cuMemFree() waits for what is queued; cuMemFreeAsync() is in the order of its stream. */
static void try_free_in_order(void)
{
    uint32_t *word = pinned(1);
    CUstream s = new_stream(CU_STREAM_NON_BLOCKING), other = new_stream(CU_STREAM_NON_BLOCKING);
    CUdeviceptr cell = new_numbers(1), async;
    size_t before = free_memory();

    OK(cu.stream_wait_value_32(s, ADDRESS(word), 1, 0));
    fill(cell, 9, 1, s);
    OK(cu.launch_host_func(other, release_later, word));
    OK(BASE.mem_free(cell));
    OK(cu.stream_query(s));

    OK(cu.mem_alloc_async(&async, 8 * MIB, s));
    fill(async, 9, 1, s);
    OK(cu.mem_free_async(async, s));
    EXPECT_RESULT(cu.mem_free_async(async, s), CUDA_ERROR_INVALID_VALUE);
    EXPECT_RESULT(BASE.mem_free(async), CUDA_ERROR_INVALID_VALUE);
    OK(BASE.stream_synchronize(s));
    EXPECT(free_memory() >= before);
}

/* A pool has 32 MiB at a time. It keeps what was freed until the program waits, or until it needs
 * room itself. */
static void try_pool(void)
{
    CUstream s = new_stream(CU_STREAM_NON_BLOCKING);
    CUdeviceptr first, second, other;
    size_t before = free_memory();

    OK(cu.mem_alloc_async(&first, 40 * MIB, s));
    OK(cu.mem_free_async(first, s));
    while (cu.stream_query(s) == CUDA_ERROR_NOT_READY)
        usleep(100);
    EXPECT(free_memory() == before - 64 * MIB);
    EXPECT_RESULT(BASE.mem_alloc(&other, 40 * MIB), CUDA_ERROR_OUT_OF_MEMORY);
    OK(cu.mem_alloc_async(&second, 40 * MIB, s));
    OK(cu.mem_free_async(second, s));
    OK(BASE.stream_synchronize(s));
    EXPECT(free_memory() == before);
    OK(BASE.mem_alloc(&other, 40 * MIB));
}

TEST(test_free_in_order)
{
    assert_good("", try_free_in_order);
    assert_good("total=64", try_pool);
}

static void use_freed(void)
{
    CUdeviceptr cell = new_numbers(1);

    OK(BASE.mem_free(cell));
    cu.memset_d32_async(cell, 1, 1, NULL);
}

static void set_outside(void)
{
    cu.memset_d8_async(new_numbers(1), 1, 5, NULL);
}

static void copy_from_stack(void)
{
    uint32_t number = 1;

    BASE.memcpy_h_to_d_async(new_numbers(1), &number, 4, NULL);
}

static void copy_from_device_as_host(void)
{
    BASE.memcpy_h_to_d_async(new_numbers(1), (void *) (uintptr_t) new_numbers(1), 4, NULL);
}

TEST(test_misuse)
{
    assert_misuse("", use_freed, "no device address");
    assert_misuse("", set_outside, "outside their allocation");
    assert_misuse("", copy_from_stack, "not pinned");
    assert_misuse("", copy_from_device_as_host, "not pinned");
}

static void touch(void)
{
    *(volatile uint32_t *) (uintptr_t) new_numbers(1) = 1;
}

TEST(test_host_cannot_touch_it)
{
    Outcome o = outcome_of("", touch);

    assert_true(WIFSIGNALED(o.status) && WTERMSIG(o.status) == SIGSEGV);
}

/* ---- Copies and sets ------------------------------------------------------------------------- */

static void try_copies(void)
{
    uint32_t *host = pinned(1024);
    CUdeviceptr a = new_numbers(1024), b = new_numbers(1024);

    for (uint32_t i = 0; i < 1024; i++)
        host[i] = i;
    OK(BASE.memcpy_h_to_d_async(a, host, 4096, NULL));
    OK(cu.memcpy_d_to_d_async(b, a + 4, 4092, NULL));
    /* The window's memory has the same address for the device. */
    OK(cu.memcpy_d_to_d_async(ADDRESS(host), b, 4, NULL));
    OK(BASE.memcpy_d_to_h_async(host + 1, b + 4088, 4, NULL));
    OK(cu.memcpy_d_to_d_async(a, b, 0, NULL));
    OK(BASE.stream_synchronize(NULL));
    EXPECT(host[0] == 1 && host[1] == 1023 && host[2] == 2);
}

/* A box of 2 x 3 x 4 numbers out of 5 x 6 x 7, to another place in a box of 4 x 4 x 5 */
static void try_copy_3d(void)
{
    uint32_t *host = pinned(5 * 6 * 7);
    CUdeviceptr to = new_numbers(4 * 4 * 5);
    CudaCopy3D c = {
        .src_type = CU_MEMORYTYPE_HOST,
        .src_host = host,
        .src_pitch = 5 * 4,
        .src_height = 6,
        .src_x_bytes = 3 * 4,
        .src_y = 2,
        .src_z = 1,
        .dst_type = CU_MEMORYTYPE_DEVICE,
        .dst_device = to,
        .dst_pitch = 4 * 4,
        .dst_height = 4,
        .dst_x_bytes = 4,
        .dst_y = 1,
        .dst_z = 1,
        .width_bytes = 2 * 4,
        .height = 3,
        .depth = 4,
    };

    for (uint32_t i = 0; i < 5 * 6 * 7; i++)
        host[i] = i;
    OK(cu.memset_d32_async(to, 1000, 4 * 4 * 5, NULL));
    OK(cu.memcpy_3d_async(&c, NULL));
    OK(BASE.stream_synchronize(NULL));
    for (uint32_t z = 0; z < 5; z++)
        for (uint32_t y = 0; y < 4; y++)
            for (uint32_t x = 0; x < 4; x++) {
                bool in = x >= 1 && x < 3 && y >= 1 && z >= 1;
                uint32_t is = number_at(to + 4 * (x + 4 * (y + 4 * z)));

                EXPECT(is == (in ? x + 2 + 5 * (y + 1 + 6 * z) : 1000));
            }
    c.dst_pitch = 4;
    EXPECT_RESULT(cu.memcpy_3d_async(&c, NULL), CUDA_ERROR_INVALID_VALUE);
}

static void try_sets(void)
{
    CUdeviceptr cells = new_numbers(64);

    OK(cu.memset_d8_async(cells, 0, 256, NULL));
    OK(cu.memset_d8_async(cells, 0x11, 3, NULL));
    OK(cu.memset_d16_async(cells + 4, 0x2233, 2, NULL));
    OK(cu.memset_2d8_async(cells + 16, 16, 0x44, 2, 2, NULL));
    OK(cu.memset_2d16_async(cells + 64, 16, 0x5566, 2, 2, NULL));
    OK(cu.memset_2d32_async(cells + 128, 16, 0x778899aa, 1, 2, NULL));
    OK(cu.ctx_synchronize());
    EXPECT(number_at(cells) == 0x111111);
    EXPECT(number_at(cells + 4) == 0x22332233);
    EXPECT(number_at(cells + 16) == 0x4444 && number_at(cells + 20) == 0);
    EXPECT(number_at(cells + 32) == 0x4444 && number_at(cells + 48) == 0);
    EXPECT(number_at(cells + 80) == 0x55665566 && number_at(cells + 84) == 0);
    EXPECT(number_at(cells + 128) == 0x778899aa && number_at(cells + 144) == 0x778899aa);
    EXPECT(number_at(cells + 160) == 0);
    EXPECT_RESULT(cu.memset_d32_async(cells + 2, 0, 1, NULL), CUDA_ERROR_INVALID_VALUE);
    EXPECT_RESULT(cu.memset_2d32_async(cells, 6, 0, 1, 2, NULL), CUDA_ERROR_INVALID_VALUE);
}

TEST(test_copies)
{
    assert_good("", try_copies);
    assert_good("", try_copy_3d);
    assert_good("", try_sets);
}

/* ---- Ranges and mappings --------------------------------------------------------------------- */

static const CUmemAllocationProp prop = {
    .type = CU_MEM_ALLOCATION_TYPE_PINNED,
    .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE},
};
static const CUmemAccessDesc access_both = {
    .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE},
    .flags = 3,
};

static void try_mappings(void)
{
    CUmemGenericAllocationHandle first, second;
    size_t granularity, before;
    CUdeviceptr range, there;

    function("fill");
    before = free_memory();
    OK(cu.mem_get_allocation_granularity(&granularity, &prop, CU_MEM_ALLOC_GRANULARITY_MINIMUM));
    EXPECT(granularity == GRANULE);
    OK(cu.mem_address_reserve(&range, 4 * GRANULE, 0, 0, 0));
    EXPECT(free_memory() == before);
    OK(cu.mem_create(&first, GRANULE, &prop, 0));
    OK(cu.mem_create(&second, 2 * GRANULE, &prop, 0));
    EXPECT(free_memory() == before - 3 * GRANULE);

    OK(cu.mem_map(range, GRANULE, 0, first, 0));
    OK(cu.mem_map(range + GRANULE, 2 * GRANULE, 0, second, 0));
    EXPECT_RESULT(cu.mem_map(range, GRANULE, 0, first, 0), CUDA_ERROR_INVALID_VALUE);
    EXPECT_RESULT(cu.mem_set_access(range, 4 * GRANULE, &access_both, 1), CUDA_ERROR_INVALID_VALUE);
    OK(cu.mem_set_access(range, 3 * GRANULE, &access_both, 1));

    /* Over the border of two mappings */
    fill(range + GRANULE - 400, 77, 200, NULL);
    OK(cu.ctx_synchronize());
    EXPECT(number_at(range + GRANULE - 4) == 77 && number_at(range + GRANULE) == 77);

    /* The memory is what it is, wherever it is mapped. */
    OK(cu.mem_unmap(range, GRANULE));
    EXPECT_RESULT(cu.mem_unmap(range + GRANULE, GRANULE), CUDA_ERROR_INVALID_VALUE);
    OK(cu.mem_map(range + 3 * GRANULE, GRANULE, 0, first, 0));
    OK(cu.mem_set_access(range + 3 * GRANULE, GRANULE, &access_both, 1));
    EXPECT(number_at(range + 4 * GRANULE - 4) == 77);

    EXPECT_RESULT(cu.mem_address_free(range, 4 * GRANULE), CUDA_ERROR_INVALID_VALUE);
    OK(cu.mem_release(first));
    OK(cu.mem_release(second));
    EXPECT(free_memory() == before - 3 * GRANULE);
    OK(cu.mem_unmap(range + GRANULE, 3 * GRANULE));
    EXPECT(free_memory() == before);
    OK(cu.mem_address_free(range, 4 * GRANULE));

    OK(cu.mem_address_reserve(&there, GRANULE, 0, UINT64_C(0x200000000000), 0));
    EXPECT(there == UINT64_C(0x200000000000));
    OK(cu.mem_address_reserve(&range, GRANULE, 64 * MIB, 0, 0));
    EXPECT(range % (64 * MIB) == 0);
    EXPECT_RESULT(cu.mem_create(&first, MIB, &prop, 0), CUDA_ERROR_INVALID_VALUE);
    EXPECT_RESULT(cu.mem_create(&first, 66 * MIB, &prop, 0), CUDA_ERROR_OUT_OF_MEMORY);
}

/* A kernel that reaches into a range where nothing is mapped */
static void reach_unmapped(void)
{
    CUmemGenericAllocationHandle memory;
    CUdeviceptr range;

    OK(cu.mem_address_reserve(&range, 2 * GRANULE, 0, 0, 0));
    OK(cu.mem_create(&memory, GRANULE, &prop, 0));
    OK(cu.mem_map(range, GRANULE, 0, memory, 0));
    OK(cu.mem_set_access(range, GRANULE, &access_both, 1));
    fill(range + GRANULE - 8, 1, 3, NULL);
    EXPECT_RESULT(cu.ctx_synchronize(), CUDA_ERROR_ILLEGAL_ADDRESS);
}

/* Mapped, but nobody may touch it */
static void reach_without_access(void)
{
    CUmemGenericAllocationHandle memory;
    CUdeviceptr range;

    OK(cu.mem_address_reserve(&range, GRANULE, 0, 0, 0));
    OK(cu.mem_create(&memory, GRANULE, &prop, 0));
    OK(cu.mem_map(range, GRANULE, 0, memory, 0));
    fill(range, 1, 1, NULL);
    EXPECT_RESULT(cu.ctx_synchronize(), CUDA_ERROR_ILLEGAL_ADDRESS);
}

TEST(test_mappings)
{
    assert_good("total=64", try_mappings);
    assert_good("", reach_unmapped);
    assert_good("", reach_without_access);
}

/* What a context has ends with it. */
static void try_context_end(void)
{
    size_t before = free_memory();
    CUmemGenericAllocationHandle memory;
    CUdeviceptr address;
    CUcontext other;

    OK(cu.ctx_create(&other, 0, 0));
    OK(BASE.mem_alloc(&address, 100));
    OK(BASE.mem_alloc(&address, 4 * MIB));
    OK(cu.mem_address_reserve(&address, GRANULE, 0, 0, 0));
    OK(cu.mem_create(&memory, GRANULE, &prop, 0));
    OK(cu.mem_map(address, GRANULE, 0, memory, 0));
    load_module();
    new_stream(0);
    new_event();
    OK(cu.ctx_destroy(other));
    OK(BASE.ctx_set_current(primary));
    EXPECT(free_memory() == before);
}

TEST(test_context_end)
{
    assert_good("", try_context_end);
}

/* ---- Several processes ----------------------------------------------------------------------- */

static int told[2];

static void take_and_stay(void)
{
    CUdeviceptr address;

    OK(BASE.mem_alloc(&address, 40 * MIB));
    EXPECT(write(told[1], &(pid_t){getpid()}, sizeof(pid_t)) == sizeof(pid_t));
    for (;;)
        pause();
}

static void see_it_come_back(void)
{
    CUdeviceptr address;
    pid_t pid;

    EXPECT(read(told[0], &pid, sizeof(pid)) == sizeof(pid));
    EXPECT(free_memory() == 24 * MIB);
    EXPECT_RESULT(BASE.mem_alloc(&address, 30 * MIB), CUDA_ERROR_OUT_OF_MEMORY);
    EXPECT(kill(pid, SIGKILL) == 0);
    for (unsigned i = 0; free_memory() != 64 * MIB; i++) {
        EXPECT(i < 3000);
        usleep(10000);
    }
    OK(BASE.mem_alloc(&address, 60 * MIB));
    EXPECT(free_memory() == 4 * MIB);
}

TEST(test_memory_of_several_processes)
{
    char path[] = "/tmp/vgpu-test-XXXXXX", plan[64];
    int fd = mkstemp(path);
    pid_t pid;

    assert_true(fd >= 0);
    close(fd);
    snprintf(plan, sizeof(plan), "memory=%s,total=64", path);
    assert_int_equal(pipe(told), 0);

    fflush(NULL);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        run_driver(plan, take_and_stay);
    close(told[1]);
    assert_good(plan, see_it_come_back);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alloc),
        cmocka_unit_test(test_reuse),
        cmocka_unit_test(test_free_in_order),
        cmocka_unit_test(test_misuse),
        cmocka_unit_test(test_host_cannot_touch_it),
        cmocka_unit_test(test_copies),
        cmocka_unit_test(test_mappings),
        cmocka_unit_test(test_context_end),
        cmocka_unit_test(test_memory_of_several_processes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
