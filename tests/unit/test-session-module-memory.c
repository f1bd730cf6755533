/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What modules take of a session's quota of device memory.
 *
 *   test-session-module-memory fake    over the fake driver
 *   test-session-module-memory gpu     over the host's own; skips without a GPU
 */
#include "test-session-fixture.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define HEAD ".version 6.3\n.target sm_75\n.address_size 64\n"
#define KERNEL ".visible .entry k() { ret; }\n"
#define LARGE (64 * MIB)
#define SLACK (4 * MIB)

/* Keys of images, by their first byte: 64 MiB of variables as a number, as a product that is not
 * understood, with an error, and none at all */
enum { NUMBER = 1, PRODUCT = 2, BROKEN = 3, SMALL = 4 };

static World w;

static void send(uint8_t key, const char *text)
{
    const uint8_t whole_key[32] = {key};

    world_load_image(&w, whole_key, text, strlen(text) + 1);
}

static void begin(const WorldLimits *limits)
{
    world_begin(&w, limits);
    send(NUMBER, HEAD ".visible .global .align 4 .b8 large[67108864];\n" KERNEL);
    send(PRODUCT, HEAD ".visible .global .align 4 .b8 large[64*1048576];\n" KERNEL);
    send(BROKEN, HEAD ".visible .global .align 4 .b8 large[67108864];\n"
                      ".visible .entry k() { this is none; ret; \n");
    send(SMALL, HEAD KERNEL);
}

static uint64_t charged(void)
{
    return __atomic_load_n(&w.g.control->memory, __ATOMIC_RELAXED);
}

static uint64_t free_memory(void)
{
    assert_ok(CALL(&w, MEMORY_INFO, 0));
    return w.value[0];
}

TEST(test_known)
{
    uint64_t before, free_before;

    begin(NULL);
    before = charged();
    assert_ok(CALL(&w, MODULE_LOAD, .key = {NUMBER}, .id = 1));
    assert_in_range(charged() - before, LARGE, LARGE + SLACK);
    free_before = free_memory();
    assert_ok(CALL(&w, MODULE_LOAD, .key = {NUMBER}, .id = 2));
    assert_in_range(charged() - before, 2 * LARGE, 2 * (LARGE + SLACK));
    /* And that is what the device says. */
    assert_in_range(free_before - free_memory(), LARGE, LARGE + SLACK);
    assert_ok(CALL(&w, MODULE_UNLOAD, .id = 1));
    assert_ok(CALL(&w, MODULE_UNLOAD, .id = 2));
    assert_int_equal(charged(), before);

    /* One that takes little, and those that come to nothing */
    assert_ok(CALL(&w, MODULE_LOAD, .key = {SMALL}, .id = 1));
    assert_in_range(charged() - before, 1, MIB);
    assert_ok(CALL(&w, MODULE_UNLOAD, .id = 1));
    assert_int_not_equal(CALL(&w, MODULE_LOAD, .key = {BROKEN}, .id = 1), CUDA_SUCCESS);
    assert_int_equal(charged(), before);
    assert_fails(CALL(&w, MODULE_LOAD, .key = {NUMBER}, .id = 0), CUDA_ERROR_INVALID_VALUE);
    assert_fails(
        CALL(&w, MODULE_LOAD, .key = {NUMBER}, .id = 1, .n_options = 1, .option = {{3, 1}}),
        CUDA_ERROR_INVALID_VALUE);
    assert_int_equal(charged(), before);
    world_end(&w);
}

TEST(test_above_the_quota)
{
    const WorldLimits limits = {.memory_max = 100 * MIB};
    uint64_t before;

    begin(&limits);
    before = charged();
    assert_ok(CALL(&w, MODULE_LOAD, .key = {NUMBER}, .id = 1));
    assert_fails(CALL(&w, MODULE_LOAD, .key = {NUMBER}, .id = 2), CUDA_ERROR_OUT_OF_MEMORY);
    assert_fails(CALL(&w, MEMORY_ALLOC, .size = 40 * MIB), CUDA_ERROR_OUT_OF_MEMORY);
    assert_ok(CALL(&w, MODULE_UNLOAD, .id = 1));
    assert_ok(CALL(&w, MODULE_LOAD, .key = {NUMBER}, .id = 2));
    assert_ok(CALL(&w, MODULE_UNLOAD, .id = 2));
    assert_int_equal(charged(), before);
    world_alloc(&w, 99 * MIB);
    assert_ok(CALL(&w, MODULE_LOAD, .key = {SMALL}, .id = 3));
    world_end(&w);
}

TEST(test_unknown)
{
    uint64_t before, first;

    if (world_is_gpu()) /* its compiler takes no products there */
        skip();
    begin(NULL);
    before = charged();
    assert_ok(CALL(&w, MODULE_LOAD, .key = {PRODUCT}, .id = 1));
    first = charged() - before;
    assert_in_range(first, LARGE, LARGE + SLACK);
    assert_ok(CALL(&w, MODULE_LOAD, .key = {PRODUCT}, .id = 2));
    assert_in_range(charged() - before - first, LARGE, LARGE + SLACK);
    assert_ok(CALL(&w, MODULE_UNLOAD, .id = 1));
    assert_ok(CALL(&w, MODULE_UNLOAD, .id = 2));
    assert_int_equal(charged(), before);
    world_end(&w);
}

TEST(test_unknown_above_the_quota)
{
    const WorldLimits limits = {.memory_max = 50 * MIB};
    uint64_t before, in_use;

    if (world_is_gpu()) /* its compiler takes no products there */
        skip();
    begin(&limits);
    assert_ok(CALL(&w, MODULE_LOAD, .key = {SMALL}, .id = 1));
    before = charged();
    in_use = free_memory();
    for (uint32_t i = 0; i < 20; i++)
        assert_fails(CALL(&w, MODULE_LOAD, .key = {PRODUCT}, .id = 2), CUDA_ERROR_OUT_OF_MEMORY);
    assert_int_equal(charged(), before);
    assert_int_equal(free_memory(), in_use);
    assert_fails(CALL(&w, MODULE_UNLOAD, .id = 2), CUDA_ERROR_INVALID_HANDLE);
    world_alloc(&w, 40 * MIB);
    world_end(&w);
}

TEST(test_context_ends)
{
    uint64_t before;

    if (world_is_gpu()) /* its compiler takes no products there */
        skip();
    begin(NULL);
    before = charged();
    assert_ok(CALL(&w, MODULE_LOAD, .key = {NUMBER}, .id = 1));
    assert_ok(CALL(&w, MODULE_LOAD, .key = {PRODUCT}, .id = 2));
    assert_ok(CALL(&w, CONTEXT_DESTROY, .id = 1));
    assert_int_equal(charged(), before);
    world_end(&w);
}

/* ---- Neighbours -------------------------------------------------------------------------------
 */

/* A process that takes 256 MiB and gives it back, all the time, until @stop ends */
__attribute__((noreturn)) static void be_a_neighbour(const char *plan, int ready, int stop)
{
    const SessionGuestOptions options = {.window_base = UINT64_C(0x380000000000)};
    struct pollfd fd = {.fd = stop, .events = POLLIN};
    SessionGuest g;

    session_guest_open(&g, &options);
    session_guest_spawn(&g, plan);
    if (session_guest_start(&g) != 0)
        _exit(EXIT_FAILURE);
    session_guest_context(&g, 1, true);
    close(ready);
    while (poll(&fd, 1, 0) == 0) {
        VGPUSessionMemory p = {.size = 256 * MIB};
        uint64_t value[6];

        if (session_guest_call_with(&g, VGPU_SESSION_OP_MEMORY_ALLOC, 1, &p, sizeof(p), NULL, 0,
                                    value) != CUDA_SUCCESS)
            _exit(EXIT_FAILURE);
        p.address = value[0];
        (void) session_guest_call(&g, VGPU_SESSION_OP_MEMORY_FREE, 1, &p, sizeof(p));
    }
    _exit(session_guest_end(&g, NULL));
}

static pid_t start_neighbour(const char *plan, int *ret_stop)
{
    int ready[2], stop[2];
    pid_t pid;
    char c;

    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    assert_int_equal(pipe2(stop, O_CLOEXEC), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        close(ready[0]);
        close(stop[1]);
        be_a_neighbour(plan, ready[1], stop[0]);
    }
    close(ready[1]);
    close(stop[0]);
    assert_int_equal(read(ready[0], &c, 1), 0);
    close(ready[0]);
    *ret_stop = stop[1];
    return pid;
}

/* Whatever others do on the device, a session is charged for what it has itself. */
TEST(test_neighbour)
{
    char file[] = "/tmp/vgpu-test-XXXXXX", plan[100];
    int fd = mkstemp(file), stop, status;
    uint64_t before;
    pid_t pid;

    if (world_is_gpu()) /* its compiler takes no products there */
        skip();
    assert_true(fd >= 0);
    close(fd);
    snprintf(plan, sizeof(plan), "memory=%s", file);
    pid = start_neighbour(plan, &stop);
    begin(&(WorldLimits){.plan = plan});
    assert_ok(CALL(&w, MODULE_LOAD, .key = {SMALL}, .id = 1));
    assert_ok(CALL(&w, MODULE_LOAD, .key = {PRODUCT}, .id = 2));
    assert_ok(CALL(&w, MODULE_UNLOAD, .id = 2));
    before = charged();
    for (uint32_t i = 0; i < 12; i++) {
        assert_ok(CALL(&w, MODULE_LOAD, .key = {PRODUCT}, .id = 2));
        assert_in_range(charged() - before, LARGE, LARGE + SLACK);
        assert_ok(CALL(&w, MODULE_UNLOAD, .id = 2));
        assert_int_equal(charged(), before);
    }
    close(stop);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    world_end(&w);
    unlink(file);
}

/* Without NVIDIA's management library, what is free on the device has to do. */
TEST(test_no_library)
{
    uint64_t before;

    if (world_is_gpu())
        skip();
    begin(&(WorldLimits){.plan = "nvml=0"});
    before = charged();
    assert_ok(CALL(&w, MODULE_LOAD, .key = {PRODUCT}, .id = 1));
    assert_in_range(charged() - before, LARGE, LARGE + SLACK);
    assert_ok(CALL(&w, MODULE_UNLOAD, .id = 1));
    assert_int_equal(charged(), before);
    world_end(&w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known),        cmocka_unit_test(test_above_the_quota),
        cmocka_unit_test(test_unknown),      cmocka_unit_test(test_unknown_above_the_quota),
        cmocka_unit_test(test_context_ends), cmocka_unit_test(test_neighbour),
        cmocka_unit_test(test_no_library),
    };

    world_main(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
