/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libvgpu's sessions: memory that processes share. */
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cuda-client.h"
#include "test-guest-session-fake.h"
#include "test.h"

/* Outside the reserved range */
#define ELSEWHERE UINT64_C(0x200000000000)

static fake_session fake;
static vgpu_session *s;
static unsigned n_operations[VGPU_SESSION_N_OPS];

static uint32_t count(fake_session *f, const VGPUSessionRecord *record, const void *p)
{
    (void) f, (void) p;
    __atomic_fetch_add(&n_operations[record->opcode], 1, __ATOMIC_SEQ_CST);
    return 0;
}

static unsigned seen(uint16_t opcode)
{
    return __atomic_exchange_n(&n_operations[opcode], 0, __ATOMIC_SEQ_CST);
}

static int setup(void **state)
{
    const vgpu_session_options o = {.socket = fake.path, .window_size = UINT64_C(8) << 20};

    (void) state;
    fake.hook = count;
    memset(n_operations, 0, sizeof(n_operations));
    return vgpu_session_open(&o, &s, NULL);
}

static int teardown(void **state)
{
    (void) state;
    s = vgpu_session_close(s);
    return 0;
}

static bool is_reserved(uint64_t address)
{
    void *p = mmap((void *) (uintptr_t) address, 4096, PROT_NONE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

    if (p != MAP_FAILED)
        munmap(p, 4096);
    return p == MAP_FAILED;
}

TEST(test_memory)
{
    const uint64_t address = FAKE_MEMORY + 4096;
    vgpu_session_handle handle;
    vgpu_session_taken taken;

    assert_int_equal(vgpu_session_share_memory(s, NULL, address, 100, &handle), 0);
    assert_int_equal(vgpu_session_take_memory(s, NULL, &handle, &taken), 0);
    assert_true(taken.address == address);
    assert_int_equal(taken.size, FAKE_SHARED_SIZE);
    assert_int_equal(taken.offset, 100);
    assert_int_equal(vgpu_session_taken_free(s, NULL, taken.address), 0);
    assert_int_equal(seen(VGPU_SESSION_OP_TAKEN_FREE), 1);
    assert_int_equal(vgpu_session_share_memory(s, NULL, address, FAKE_SHARED_SIZE + 1, &handle),
                     VGPU_CUDA_ERROR_INVALID_VALUE);
}

/* Nothing of the program's comes to lie where the memory is, until it was given up as often as it
 * was taken. */
TEST(test_addresses)
{
    vgpu_session_handle handle;
    vgpu_session_taken taken;
    void *mine;

    assert_int_equal(vgpu_session_share_memory(s, NULL, ELSEWHERE, 0, &handle), 0);
    assert_int_equal(vgpu_session_take_memory(s, NULL, &handle, &taken), 0);
    assert_int_equal(vgpu_session_take_memory(s, NULL, &handle, &taken), 0);
    assert_true(taken.address == ELSEWHERE && is_reserved(ELSEWHERE));
    assert_int_equal(vgpu_session_taken_free(s, NULL, ELSEWHERE), 0);
    assert_true(is_reserved(ELSEWHERE));
    assert_int_equal(vgpu_session_taken_free(s, NULL, ELSEWHERE), 0);
    assert_false(is_reserved(ELSEWHERE));
    (void) seen(VGPU_SESSION_OP_TAKEN_FREE);

    mine = mmap((void *) ELSEWHERE, 4096, PROT_NONE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    assert_true(mine == (void *) ELSEWHERE);
    assert_int_equal(vgpu_session_take_memory(s, NULL, &handle, &taken),
                     VGPU_CUDA_ERROR_OUT_OF_MEMORY);
    munmap(mine, 4096);
    /* Behind this, the host has seen that it was given back. */
    assert_int_equal(vgpu_session_share_memory(s, NULL, ELSEWHERE, 0, &handle), 0);
    assert_int_equal(seen(VGPU_SESSION_OP_TAKEN_FREE), 1);
}

/* What another process sends may be anything: a token is for the host to judge, the rest is not
 * even sent. */
TEST(test_bad_handles)
{
    vgpu_session_handle good, bad;
    vgpu_session_taken taken;

    assert_int_equal(vgpu_session_share_memory(s, NULL, FAKE_MEMORY, 0, &good), 0);
    for (unsigned i = 0; i < sizeof(good); i++) {
        bool is_token = i >= 8 && i < 24, is_size = i >= 24 && i < 32;
        int r;

        bad = good;
        bad.bytes[i] ^= 0xff;
        (void) seen(VGPU_SESSION_OP_TAKE_MEMORY);
        r = vgpu_session_take_memory(s, NULL, &bad, &taken);
        if (is_token && i < 16)
            assert_int_equal(r, VGPU_CUDA_ERROR_INVALID_HANDLE);
        else if (is_token || is_size || (i >= 32 && i < 34))
            continue; /* another token of the fake's, or a place in the allocation */
        else
            assert_int_equal(r, VGPU_CUDA_ERROR_INVALID_VALUE);
        assert_int_equal(seen(VGPU_SESSION_OP_TAKE_MEMORY), is_token);
    }
    memset(&bad, 0, sizeof(bad));
    assert_int_equal(vgpu_session_take_memory(s, NULL, &bad, &taken),
                     VGPU_CUDA_ERROR_INVALID_VALUE);
}

TEST(test_physical)
{
    uint32_t id, next, flags;
    uint64_t size;
    int fd;

    assert_int_equal(vgpu_session_share_physical(s, NULL, 5, &fd), 0);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    assert_int_equal(ftruncate(fd, 1), -1);
    assert_int_equal(pwrite(fd, "x", 1, 0), -1);
    assert_int_equal(vgpu_session_take_physical(s, NULL, fd, &id, &size, &flags), 0);
    assert_int_equal(size, FAKE_SHARED_SIZE);
    assert_int_equal(vgpu_session_take_physical(s, NULL, fd, &next, &size, &flags), 0);
    assert_int_not_equal(next, id);
    close(fd);
}

static uint32_t refuse(fake_session *f, const VGPUSessionRecord *record, const void *p)
{
    (void) f, (void) p;
    return record->opcode == VGPU_SESSION_OP_TAKE_PHYSICAL ? 2 : 0;
}

TEST(test_bad_descriptors)
{
    const int unsealed = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    const int empty = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    const int fds[] = {-1, eventfd(0, 0), unsealed, empty, open("/dev/zero", O_RDONLY)};
    char bytes[64];
    uint32_t id, flags;
    uint64_t size;
    int good;

    assert_int_equal(vgpu_session_share_physical(s, NULL, 5, &good), 0);
    assert_int_equal(pread(good, bytes, sizeof(bytes), 0), sizeof(bytes));
    assert_int_equal(write(unsealed, bytes, sizeof(bytes)), sizeof(bytes));
    assert_int_equal(fcntl(empty, F_ADD_SEALS, fcntl(good, F_GET_SEALS)), 0);
    for (unsigned i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
        assert_int_equal(vgpu_session_take_physical(s, NULL, fds[i], &id, &size, &flags),
                         VGPU_CUDA_ERROR_INVALID_VALUE);
        if (fds[i] >= 0)
            close(fds[i]);
    }
    assert_int_equal(seen(VGPU_SESSION_OP_TAKE_PHYSICAL), 0);

    /* A number that the host did not take is there for others. */
    fake.hook = refuse;
    for (uint32_t i = 0; i < VGPU_SESSION_ID_MAX + 1; i++)
        assert_int_equal(vgpu_session_take_physical(s, NULL, good, &id, &size, &flags),
                         VGPU_CUDA_ERROR_OUT_OF_MEMORY);
    close(good);
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
        CASE(test_memory),   CASE(test_addresses),       CASE(test_bad_handles),
        CASE(test_physical), CASE(test_bad_descriptors),
    };

    return cmocka_run_group_tests_name("guest-session-share", tests, group_setup, group_teardown);
}
