/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libvgpu's sessions: addresses of the device's, pools, and physical memory. */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "address-space.h"
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

/* ---- Addresses --------------------------------------------------------------------------- */

static const vgpu_session_from in_context = {.context = 1};

static bool is_free(uint64_t address, uint64_t size)
{
    void *p = mmap((void *) (uintptr_t) address, size, PROT_NONE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

    if (p == MAP_FAILED)
        return false;
    munmap(p, size);
    return true;
}

/* An address at which this process has nothing, outside all ranges that are reserved: far from
 * where the kernel and sanitizers map things */
static uint64_t free_address(uint64_t size)
{
    static uint64_t last = UINT64_C(0x200000000000);

    last += UINT64_C(1) << 30;
    assert_true(is_free(last, size));
    return last;
}

/* What the host was told to free again */
static struct {
    uint16_t opcode;
    uint64_t address;
} undone;

static uint32_t note_undone(fake_session *f, const VGPUSessionRecord *record, const void *p)
{
    (void) f;
    switch (record->opcode) {
    case VGPU_SESSION_OP_MEMORY_FREE:
    case VGPU_SESSION_OP_MEMORY_FREE_ASYNC:
    case VGPU_SESSION_OP_ADDRESS_FREE:
        undone.opcode = record->opcode;
        memcpy(&undone.address, p, sizeof(undone.address));
    }
    return 0;
}

static int make(uint16_t opcode, uint64_t size, uint64_t *ret)
{
    uint64_t bytes;

    switch (opcode) {
    case VGPU_SESSION_OP_MEMORY_ALLOC:
        return vgpu_session_memory_alloc(s, &in_context, size, ret);
    case VGPU_SESSION_OP_MEMORY_ALLOC_ASYNC:
        return vgpu_session_memory_alloc_async(s, &in_context, 3, 0, size, ret);
    case VGPU_SESSION_OP_ADDRESS_RESERVE:
        return vgpu_session_address_reserve(s, &in_context, size, 0, 0, ret);
    default:
        return vgpu_session_global_get(s, &in_context, 9, "name", ret, &bytes);
    }
}

static int unmake(uint16_t opcode, uint64_t address, uint64_t size)
{
    switch (opcode) {
    case VGPU_SESSION_OP_MEMORY_ALLOC:
        return vgpu_session_memory_free(s, &in_context, address);
    case VGPU_SESSION_OP_MEMORY_ALLOC_ASYNC:
        return vgpu_session_memory_free_async(s, &in_context, 3, address);
    case VGPU_SESSION_OP_ADDRESS_RESERVE:
        return vgpu_session_address_free(s, &in_context, address, size);
    default:
        return vgpu_session_module_unload(s, &in_context, 9);
    }
}

/* Everything that has an address, and how it is freed again when that cannot be; 0: not at all */
static const uint16_t makers[][2] = {
    {VGPU_SESSION_OP_MEMORY_ALLOC, VGPU_SESSION_OP_MEMORY_FREE},
    {VGPU_SESSION_OP_MEMORY_ALLOC_ASYNC, VGPU_SESSION_OP_MEMORY_FREE_ASYNC},
    {VGPU_SESSION_OP_ADDRESS_RESERVE, VGPU_SESSION_OP_ADDRESS_FREE},
    {VGPU_SESSION_OP_GLOBAL_GET, 0},
};
#define N_MAKERS (sizeof(makers) / sizeof(makers[0]))

TEST(test_addresses)
{
    uint32_t id;

    CREATE(1);
    for (unsigned i = 1; i <= 9; i++) /* make() has a module 9 */
        assert_int_equal(vgpu_session_id_take(s, VGPU_SESSION_MODULES, &id), 0);
    for (size_t i = 0; i < N_MAKERS; i++) {
        uint64_t at = free_address(16384), address;

        fake.next_address = at + 100;
        assert_int_equal(make(makers[i][0], 8000, &address), 0);
        assert_int_equal(address, at + 100);
        assert_false(is_free(at, 4096));
        assert_true(is_free(at + 8192, 8192));
        assert_int_equal(unmake(makers[i][0], address, 8000), 0);
        assert_true(is_free(at, 16384));
    }
}

/* The program has something there. */
TEST(test_addresses_that_are_taken)
{
    CREATE(1);
    fake.hook = note_undone;
    for (size_t i = 0; i < N_MAKERS; i++) {
        uint64_t at = free_address(16384), address = 77;
        void *own = mmap((void *) (uintptr_t) (at + 8192), 4096, PROT_READ,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

        assert_true(own != MAP_FAILED);
        memset(&undone, 0, sizeof(undone));
        fake.next_address = i == N_MAKERS - 1 ? at + 8192 : at;
        assert_int_equal(make(makers[i][0], 16384, &address), VGPU_CUDA_ERROR_OUT_OF_MEMORY);
        assert_int_equal(address, 77);
        assert_true(is_free(at, 8192));
        munmap(own, 4096);
        /* A reply comes when the one before it has been carried out. */
        assert_int_equal(vgpu_session_call(s, VGPU_SESSION_OP_NOP, NULL, &(VGPUSessionNone){{0, 0}},
                                           sizeof(VGPUSessionNone), NULL, 0, NULL),
                         0);
        assert_int_equal(undone.opcode, makers[i][1]);
        assert_int_equal(undone.address, makers[i][1] != 0 ? at : 0);
    }
}

/* An address that is wanted may be one that the program has. */
TEST(test_wanted_address)
{
    uint64_t at = free_address(4096), address;
    void *own = mmap((void *) (uintptr_t) at, 4096, PROT_READ,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

    assert_true(own != MAP_FAILED);
    CREATE(1);
    fake.next_address = at;
    assert_int_equal(vgpu_session_address_reserve(s, &in_context, 4096, 0, at, &address), 0);
    assert_true(address != at);
    munmap(own, 4096);
}

/* Small things share pages; one page lasts as long as the last of them. */
TEST(test_addresses_that_share_pages)
{
    uint64_t at = free_address(65536), a, b, c;

    CREATE(1);
    fake.next_address = at;
    assert_int_equal(vgpu_session_memory_alloc(s, &in_context, 512, &a), 0);
    fake.next_address = at + 512;
    assert_int_equal(vgpu_session_memory_alloc(s, &in_context, 512, &b), 0);
    fake.next_address = at + 1024;
    assert_int_equal(vgpu_session_memory_alloc(s, &in_context, 30000, &c), 0);
    assert_int_equal(vgpu_session_memory_free(s, &in_context, a), 0);
    assert_false(is_free(at, 4096));
    assert_int_equal(vgpu_session_memory_free(s, &in_context, c), 0);
    assert_false(is_free(at, 4096));
    assert_true(is_free(at + 4096, 61440));
    assert_int_equal(vgpu_session_memory_free(s, &in_context, b), 0);
    assert_true(is_free(at, 65536));
}

TEST(test_addresses_end)
{
    uint64_t at = free_address(65536), address, bytes;

    CREATE(1);
    CREATE(2);
    fake.next_address = at;
    assert_int_equal(vgpu_session_memory_alloc(s, &in_context, 4096, &address), 0);
    for (unsigned i = 0; i < 2; i++) { /* the same twice */
        fake.next_address = at + 8192;
        assert_int_equal(vgpu_session_global_get(s, &in_context, 5, "x", &address, &bytes), 0);
        assert_int_equal(bytes, 100);
    }
    fake.next_address = at + 16384;
    assert_int_equal(vgpu_session_address_reserve(s, &in_context, 4096, 0, 0, &address), 0);
    assert_false(is_free(at + 8192, 4096));
    DESTROY(1);
    assert_true(is_free(at, 4096));
    assert_true(is_free(at + 8192, 4096));
    assert_false(is_free(at + 16384, 4096));
    s = vgpu_session_close(s);
    assert_true(is_free(at, 65536));
}

/* Lies of the host's */
TEST(test_addresses_that_cannot_be)
{
    static const uint64_t wrong[] = {1, 4095, UINT64_MAX, UINT64_MAX - 5000, UINT64_C(1) << 63};
    uint64_t address;

    CREATE(1);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        fake.next_address = wrong[i];
        assert_int_equal(vgpu_session_memory_alloc(s, &in_context, 8192, &address),
                         VGPU_CUDA_ERROR_OUT_OF_MEMORY);
    }
}

/* Where pools have their memory, this process has nothing, unless it had before. */
TEST(test_range_of_pools)
{
    const uint64_t first = UINT64_C(0x302000000);
    uint64_t address;

    CREATE(1);
    assert_int_equal(is_free(first, 4096), 0);
    fake.next_address = first;
    if (address_space_has(first, MIB)) {
        assert_int_equal(make(VGPU_SESSION_OP_MEMORY_ALLOC_ASYNC, MIB, &address), 0);
        assert_int_equal(address, first);
    } else { /* a sanitizer lives there */
        assert_int_equal(make(VGPU_SESSION_OP_MEMORY_ALLOC_ASYNC, MIB, &address),
                         VGPU_CUDA_ERROR_OUT_OF_MEMORY);
    }
}

/* The driver knows nothing of our ranges: what it gives may begin or end in one. */
TEST(test_addresses_across_a_border)
{
    const uint64_t begin = DEVICE_RANGE_BEGIN - MIB, end = POOL_RANGE_END - MIB;
    uint64_t address, other;

    CREATE(1);
    fake.next_address = begin;
    assert_int_equal(vgpu_session_address_reserve(s, &in_context, 3 * MIB, 0, 0, &address), 0);
    assert_int_equal(address, begin);
    assert_false(is_free(begin, 4096));
    if (address_space_has(end, MIB)) { /* no sanitizer lives there */
        fake.next_address = end;
        assert_int_equal(vgpu_session_address_reserve(s, &in_context, 3 * MIB, 0, 0, &other), 0);
        assert_false(is_free(POOL_RANGE_END, 2 * MIB));
        assert_int_equal(vgpu_session_address_free(s, &in_context, other, 3 * MIB), 0);
        assert_true(is_free(POOL_RANGE_END, 2 * MIB));
        assert_false(is_free(end, MIB));
    }
    assert_int_equal(vgpu_session_address_free(s, &in_context, address, 3 * MIB), 0);
    assert_true(is_free(begin, MIB));
    assert_false(is_free(DEVICE_RANGE_BEGIN, MIB));
}

/* ---- Pools and physical memory: what the host is asked ------------------------------------- */

static struct {
    uint16_t opcode;
    union {
        VGPUSessionPool pool;
        VGPUSessionPhysical physical;
    };
} asked;

static uint32_t refusal;

static uint32_t tell_memory(fake_session *f, const VGPUSessionRecord *record, const void *p)
{
    (void) p;
    if (record->opcode != VGPU_SESSION_OP_MEMORY_INFO)
        return 0;
    f->value[0] = 7 * MIB;
    f->value[1] = 9 * MIB;
    return refusal;
}

TEST(test_info)
{
    uint64_t n_free = 1, total = 2;

    CREATE(1);
    fake.hook = tell_memory;
    refusal = 1;
    assert_int_equal(vgpu_session_memory_info(s, &in_context, &n_free, &total), 1);
    assert_int_equal(n_free, 1);
    assert_int_equal(total, 2);
    refusal = 0;
    assert_int_equal(vgpu_session_memory_info(s, &in_context, &n_free, &total), 0);
    assert_int_equal(n_free, 7 * MIB);
    assert_int_equal(total, 9 * MIB);
}

static uint32_t note_asked(fake_session *f, const VGPUSessionRecord *record, const void *p)
{
    (void) f;
    asked.opcode = record->opcode;
    if (record->opcode >= VGPU_SESSION_OP_POOL_CREATE &&
        record->opcode <= VGPU_SESSION_OP_POOL_TRIM)
        asked.pool = *(const VGPUSessionPool *) p;
    if (record->opcode >= VGPU_SESSION_OP_ADDRESS_RESERVE &&
        record->opcode <= VGPU_SESSION_OP_GRANULARITY)
        asked.physical = *(const VGPUSessionPhysical *) p;
    return refusal;
}

#define ASSERT_POOL(op, id_, attribute_, value_)                   \
    do {                                                           \
        assert_int_equal(asked.opcode, VGPU_SESSION_OP_POOL_##op); \
        assert_int_equal(asked.pool.id, id_);                      \
        assert_int_equal(asked.pool.attribute, attribute_);        \
        assert_int_equal(asked.pool.value, value_);                \
    } while (0)

TEST(test_pools)
{
    uint32_t id, other;
    uint64_t value;

    CREATE(1);
    fake.hook = note_asked;
    refusal = 0;
    assert_int_equal(vgpu_session_pool_create(s, &in_context, 4096, &id), 0);
    ASSERT_POOL(CREATE, id, 0, 4096);
    assert_int_equal(vgpu_session_pool_set(s, &in_context, id, 4, 77), 0);
    ASSERT_POOL(SET, id, 4, 77);
    assert_int_equal(vgpu_session_pool_get(s, &in_context, id, 5, &value), 0);
    ASSERT_POOL(GET, id, 5, 0);
    assert_int_equal(vgpu_session_pool_trim(s, &in_context, 0, 9), 0);
    ASSERT_POOL(TRIM, 0, 0, 9);
    refusal = 801;
    assert_int_equal(vgpu_session_pool_destroy(s, &in_context, id), 801);
    ASSERT_POOL(DESTROY, id, 0, 0);
    assert_int_equal(vgpu_session_pool_create(s, &in_context, 0, &other), 801);
    value = 3;
    assert_int_equal(vgpu_session_pool_get(s, &in_context, id, 5, &value), 801);
    assert_int_equal(value, 3);
    refusal = 0;
    assert_int_equal(vgpu_session_pool_destroy(s, &in_context, id), 0);
}

TEST(test_physical)
{
    uint32_t id, flags = VGPU_PHYSICAL_SHAREABLE;
    uint64_t value;

    CREATE(1);
    fake.hook = note_asked;
    refusal = 0;
    assert_int_equal(vgpu_session_granularity(s, &in_context, true, &value), 0);
    assert_int_equal(asked.physical.flags, 1);
    assert_int_equal(vgpu_session_physical_create(s, &in_context, 4096, &flags, &id), 0);
    assert_int_equal(asked.opcode, VGPU_SESSION_OP_PHYSICAL_CREATE);
    assert_int_equal(asked.physical.size, 4096);
    assert_int_equal(asked.physical.flags, VGPU_PHYSICAL_SHAREABLE);
    assert_int_equal(asked.physical.id, id);
    assert_int_equal(vgpu_session_physical_map(s, &in_context, 8192, 4096, 512, id), 0);
    assert_int_equal(asked.opcode, VGPU_SESSION_OP_PHYSICAL_MAP);
    assert_int_equal(asked.physical.address, 8192);
    assert_int_equal(asked.physical.offset, 512);
    assert_int_equal(vgpu_session_physical_access(s, &in_context, 8192, 4096, 3), 0);
    assert_int_equal(asked.opcode, VGPU_SESSION_OP_PHYSICAL_ACCESS);
    assert_int_equal(asked.physical.flags, 3);
    assert_int_equal(vgpu_session_physical_unmap(s, &in_context, 8192, 4096), 0);
    assert_int_equal(asked.opcode, VGPU_SESSION_OP_PHYSICAL_UNMAP);
    refusal = 400;
    assert_int_equal(vgpu_session_physical_release(s, &in_context, id), 400);
    assert_int_equal(vgpu_session_physical_create(s, &in_context, 1, &flags, &id), 400);
    refusal = 0;
    assert_int_equal(vgpu_session_physical_release(s, &in_context, id), 0);
    assert_int_equal(asked.opcode, VGPU_SESSION_OP_PHYSICAL_RELEASE);
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
        CASE(test_addresses),      CASE(test_addresses_that_are_taken),
        CASE(test_wanted_address), CASE(test_addresses_that_share_pages),
        CASE(test_addresses_end),  CASE(test_addresses_that_cannot_be),
        CASE(test_range_of_pools), CASE(test_addresses_across_a_border),
        CASE(test_info),           CASE(test_pools),
        CASE(test_physical),
    };

    return cmocka_run_group_tests_name("guest-session-memory", tests, group_setup, group_teardown);
}
