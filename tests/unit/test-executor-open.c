/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How the executor opens CUDA and what it asks of the driver, over the fake one. The environment
 * is that of test-executor.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "cleanup.h"
#include "test-executor-fake.h"
#include "test.h"

#include <fcntl.h>
#include <unistd.h>

/* ---- Opening ------------------------------------------------------------------------ */

static void assert_no_backend(ClientOptions o, int status, const char *says)
{
    Client *c = client_start(&o);
    ClientResponse r;

    assert_false(client_receive(c, &r));
    assert_end(c, status, says);
}

TEST(test_no_device)
{
    ClientOptions o = fake_options("devices=2");

    assert_no_backend(fake_options("devices=0"), EXECUTOR_EXIT_NO_BACKEND,
                      "no CUDA: cuInit: CUDA_ERROR_NO_DEVICE (100)\n");
    o.device = "2";
    assert_no_backend(o, EXECUTOR_EXIT_NO_BACKEND, "no CUDA: no device 2: this host has 2\n");
    o.device = "1";
    assert_good_end(client_start(&o));
}

TEST(test_no_driver)
{
    ClientOptions o = fake_options(NULL);
    char empty[] = "/tmp/vgpu-test-XXXXXX", path[64];
    int fd;

    /* The loader finds a file that is no library before any real driver. */
    assert_non_null(mkdtemp(empty));
    snprintf(path, sizeof(path), "%s/libcuda.so.1", empty);
    fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    o.library_dir = empty;
    assert_no_backend(o, EXECUTOR_EXIT_NO_BACKEND, "no CUDA: no driver: ");

    close(fd);
    unlink(path);
    rmdir(empty);
}

/* Each step of opening fails once, and everything that was opened before is given back: the fake
 * driver aborts on what is left over. */
TEST(test_every_step_of_opening_fails)
{
    static const struct {
        const char *fake;
        int status;
    } steps[] = {
        {"fail=cuInit:999", EXECUTOR_EXIT_FAILURE},
        {"fail=cuDeviceGetCount:100", EXECUTOR_EXIT_NO_BACKEND},
        {"fail=cuDeviceGet:101", EXECUTOR_EXIT_NO_BACKEND},
        {"fail=cuDriverGetVersion:1", EXECUTOR_EXIT_NO_BACKEND},
        {"fail=cuDeviceGetName:1", EXECUTOR_EXIT_NO_BACKEND},
        {"fail=cuDeviceGetAttribute:1", EXECUTOR_EXIT_NO_BACKEND},
        {"fail=cuDeviceGetAttribute:1:after=1", EXECUTOR_EXIT_NO_BACKEND},
        {"fail=cuDeviceGetAttribute:1:after=2", EXECUTOR_EXIT_NO_BACKEND},
        {"fail=cuDevicePrimaryCtxSetFlags_v2:1", EXECUTOR_EXIT_NO_BACKEND},
        {"fail=cuDevicePrimaryCtxRetain:2", EXECUTOR_EXIT_FAILURE},
        {"fail=cuCtxSetCurrent:201", EXECUTOR_EXIT_NO_BACKEND},
        {"fail=cuCtxGetStreamPriorityRange:1", EXECUTOR_EXIT_NO_BACKEND},
        {"fail=cuStreamCreateWithPriority:2:after=2", EXECUTOR_EXIT_FAILURE},
        {"fail=cuModuleLoadData:209", EXECUTOR_EXIT_NO_BACKEND},
        {"fail=cuModuleGetFunction:500:after=3", EXECUTOR_EXIT_NO_BACKEND},
        {"fail=cuModuleGetFunction:500:after=20", EXECUTOR_EXIT_NO_BACKEND},
        {"fail=cuFuncLoad:209", EXECUTOR_EXIT_NO_BACKEND},
        {"fail=cuFuncLoad:2:after=27", EXECUTOR_EXIT_FAILURE},
        {"fail=cuMemHostAlloc:2", EXECUTOR_EXIT_FAILURE},
        {"fail=cuMemHostGetDevicePointer_v2:1", EXECUTOR_EXIT_NO_BACKEND},
        {"fail=cuMemGetInfo_v2:2", EXECUTOR_EXIT_FAILURE},
    };

    for (size_t i = 0; i < ELEMENTSOF(steps); i++)
        assert_no_backend(fake_options(steps[i].fake), steps[i].status, "vgpu-executor: pool T: ");
}

TEST(test_auto)
{
    static const char *const no_cuda[] = {"devices=0", "fail=cuDevicePrimaryCtxRetain:2",
                                          "fail=cuModuleLoadData:209"};
    ClientOptions o = fake_options(NULL);
    Client *c;
    ClientResponse r;

    o.backend = "auto";
    c = start_ready(&o);
    assert_string_equal(c->device.backend, "cuda");
    assert_good_end(c);

    for (size_t i = 0; i < 3; i++) {
        o.fake = no_cuda[i];
        c = start_ready(&o);
        assert_string_equal(c->device.backend, "cpu");
        send_scalar(c, 5, VGPU_PRIORITY_LOW);
        r = receive(c);
        assert_sum(&r);
        assert_hang_up(c, EXECUTOR_EXIT_OK, "no CUDA, computing on the CPU: ");
    }
}

TEST(test_kernels_option)
{
    ClientOptions o = fake_options(NULL);

    o.kernels = "/nonexistent/kernels";
    assert_no_backend(o, EXECUTOR_EXIT_NO_BACKEND, "kernels: /nonexistent/kernels: No such file");
    o.kernels = "/dev/zero";
    assert_no_backend(o, EXECUTOR_EXIT_NO_BACKEND, "kernels: /dev/zero: Invalid argument");
    o.kernels = getenv("VGPU_EXECUTOR");
    assert_no_backend(o, EXECUTOR_EXIT_NO_BACKEND, "kernels: CUDA_ERROR_INVALID_IMAGE (200)");
    o.kernels = getenv("VGPU_FAKE_KERNELS");
    assert_good_end(client_start(&o));
}

/* ---- What is asked of the driver ------------------------------------------------------ */

/* The context, the memory, the module and a stream for each priority are made once,
 * and a request is a launch, and a callback when the executor sleeps meanwhile. */
TEST(test_what_is_made_is_kept)
{
    Trace trace = trace_new();
    Client *c = start(trace.plan);

    for (unsigned i = 0; i < 300; i++) {
        ClientResponse r;

        send_scalar(c, i, i % VGPU_N_PRIORITIES);
        r = receive(c);
        assert_sum(&r);
    }
    assert_good_end(c);

    assert_int_equal(trace_count(&trace, "cuDevicePrimaryCtxRetain "), 1);
    assert_int_equal(trace_count(&trace, "cuMemHostAlloc "), 1);
    assert_int_equal(trace_count(&trace, "cuModuleLoadData "), 1);
    assert_int_equal(trace_count(&trace, "cuStreamCreateWithPriority "), VGPU_N_PRIORITIES);
    assert_int_equal(trace_count(&trace, "cuStreamCreateWithPriority 0\n"), 1);
    assert_int_equal(trace_count(&trace, "cuStreamCreateWithPriority -2\n"), 1);
    assert_int_equal(trace_count(&trace, "cuStreamCreateWithPriority -5\n"), 1);
    assert_int_equal(trace_count(&trace, "cuLaunchKernel "), 300);
    assert_true(trace_count(&trace, "cuStreamAddCallback ") <= 300);
    assert_int_equal(trace_count(&trace, "cuStreamSynchronize "), VGPU_N_PRIORITIES);
    assert_int_equal(trace_count(&trace, "cuDevicePrimaryCtxRelease_v2 "), 1);
    trace_remove(&trace);
}

/* Four requests that came together, in three priorities: no more than three callbacks. */
TEST(test_a_row_has_one_callback)
{
    Trace trace = trace_new();
    Client *c = start(trace.plan);

    send_scalars(c, SLOTS);
    for (unsigned i = 0; i < SLOTS; i++) {
        ClientResponse r = receive(c);

        assert_sum(&r);
    }
    assert_good_end(c);

    assert_int_equal(trace_count(&trace, "cuLaunchKernel "), SLOTS);
    assert_in_range(trace_count(&trace, "cuStreamAddCallback "), 0, VGPU_N_PRIORITIES);
    trace_remove(&trace);
}

/* An executor that looks for what has ended gets it from the kernel itself. Where others need the
 * processor it sleeps meanwhile, so it has many tries. */
TEST(test_awake_needs_no_callback)
{
    Trace trace = trace_new();
    ClientOptions o = fake_options(trace.plan);
    unsigned before, after = 0, tries = 0;
    Client *c;

    o.busy_poll_usec = 1000;
    c = start_ready(&o);
    do {
        before = after;
        for (unsigned i = 0; i < 10; i++) {
            ClientResponse r;

            send_scalar(c, i, VGPU_PRIORITY_LOW);
            r = receive(c);
            assert_sum(&r);
        }
        after = trace_count(&trace, "cuStreamAddCallback ");
    } while (after > before && ++tries < 1000);
    assert_int_equal(after, before);
    assert_good_end(c);
    trace_remove(&trace);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_device),
        cmocka_unit_test(test_no_driver),
        cmocka_unit_test(test_every_step_of_opening_fails),
        cmocka_unit_test(test_auto),
        cmocka_unit_test(test_kernels_option),
        cmocka_unit_test(test_what_is_made_is_kept),
        cmocka_unit_test(test_a_row_has_one_callback),
        cmocka_unit_test(test_awake_needs_no_callback),
    };

    return cmocka_run_group_tests_name("executor-open", tests, NULL, NULL);
}
