/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the executor does when CUDA fails, over the fake driver. Environment as
 * for test-executor.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "test-executor-client.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MESSAGE_MAX (sizeof(ExecutorHeader) + EXECUTOR_PAYLOAD_MAX)
#define SLOTS 4u

enum {
    OUT_OF_MEMORY = 2,
    ILLEGAL_ADDRESS = 700,
    LAUNCH_OUT_OF_RESOURCES = 701,
    LAUNCH_FAILED = 719,
};

static ClientOptions fake_options(const char *fake)
{
    return (ClientOptions){
        .executor = getenv("VGPU_EXECUTOR"),
        .backend = "cuda",
        .slots = SLOTS,
        .library_dir = getenv("VGPU_FAKE_CUDA_DIR"),
        .kernels = getenv("VGPU_KERNELS"),
        .fake = fake,
    };
}

static Client *start(const char *fake)
{
    const ClientOptions o = fake_options(fake);
    Client *c = client_start(&o);

    client_hello(c);
    return c;
}

static void assert_end(Client *c, int status, const char *says)
{
    char *text;

    assert_int_equal(client_end(c, &text), status);
    if (!strstr(text, says))
        fail_msg("said \"%s\" instead of \"%s\"", text, says);
    free(text);
}

static void assert_good_end(Client *c)
{
    client_hang_up(c);
    assert_end(c, EXECUTOR_EXIT_OK, "");
}

static void send_scalar(Client *c, uint64_t tag, uint32_t priority)
{
    unsigned char m[MESSAGE_MAX];

    assert_true(client_send(c, m, message_scalar(m, tag, priority, (uint32_t) tag, 1)));
}

/* One write, so that all of them are submitted before anything is waited for. */
static void send_scalars(Client *c, unsigned n)
{
    unsigned char *m = malloc(n * MESSAGE_MAX);
    size_t size = 0;

    assert_non_null(m);
    for (unsigned i = 0; i < n; i++)
        size += message_scalar(m + size, i, i % VGPU_N_PRIORITIES, i, 1);
    assert_true(client_send(c, m, size));
    free(m);
}

static void assert_sum(const ClientResponse *r)
{
    uint32_t sum;

    assert_int_equal(r->header.status, VGPU_ERROR_NONE);
    memcpy(&sum, r->bytes + sizeof(r->header), sizeof(sum));
    assert_int_equal(sum, r->tag + 1);
}

static void assert_cuda_error(const ClientResponse *r, uint32_t error)
{
    uint32_t result;

    assert_int_equal(r->header.status, VGPU_ERROR_CUDA_ERROR);
    assert_int_equal(r->header.result_count, 1);
    assert_int_equal(r->header.data_length, 0);
    memcpy(&result, r->bytes + sizeof(r->header), sizeof(result));
    assert_int_equal(result, error);
}

static ClientResponse receive(Client *c)
{
    ClientResponse r;

    assert_true(client_receive(c, &r));
    return r;
}

/* ---- Errors that end one request ---------------------------------------------- */

/* Of six requests one after the other, only the third fails. */
static void assert_fails_third(const char *fake, uint32_t error)
{
    Client *c = start(fake);

    for (unsigned i = 0; i < 6; i++) {
        ClientResponse r;

        send_scalar(c, i, VGPU_PRIORITY_HIGH);
        r = receive(c);
        assert_int_equal(r.tag, i);
        if (i == 2)
            assert_cuda_error(&r, error);
        else
            assert_sum(&r);
    }
    assert_good_end(c);
}

static void test_launch_fails(void **state)
{
    (void) state;
    assert_fails_third("fail=cuLaunchKernel:701:after=2", LAUNCH_OUT_OF_RESOURCES);
}

/* Then the executor waits for the kernel itself, and nothing fails at all: slow, so
 * that an answer given too early would be noticed. */
static void test_callback_fails(void **state)
{
    Client *c = start("slow=3,fail=cuStreamAddCallback:2:after=2");

    (void) state;

    for (unsigned i = 0; i < 6; i++) {
        ClientResponse r;

        send_scalar(c, i, VGPU_PRIORITY_HIGH);
        r = receive(c);
        assert_sum(&r);
    }
    assert_good_end(c);
}

static void test_kernel_fails(void **state)
{
    (void) state;
    assert_fails_third("fault=701:after=2", LAUNCH_OUT_OF_RESOURCES);
}

/* The first cuMemGetInfo is the HELLO's. */
static void test_device_info_fails(void **state)
{
    Client *c = start("fail=cuMemGetInfo_v2:2:after=1");
    unsigned char m[MESSAGE_MAX];
    size_t size = message_plain(m, 8, VGPU_OP_GET_DEVICE_INFO);
    ClientResponse r;

    (void) state;

    assert_true(client_send(c, m, size));
    r = receive(c);
    assert_cuda_error(&r, OUT_OF_MEMORY);
    assert_true(client_send(c, m, size));
    r = receive(c);
    assert_int_equal(r.header.status, VGPU_ERROR_NONE);
    assert_good_end(c);
}

static void test_one_of_many_fails(void **state)
{
    unsigned failed = 0;
    Client *c = start("hold=3,fail=cuLaunchKernel:701:after=1");

    (void) state;

    send_scalars(c, SLOTS);
    for (unsigned i = 0; i < SLOTS; i++) {
        ClientResponse r = receive(c);

        if (r.header.status == VGPU_ERROR_NONE) {
            assert_sum(&r);
            continue;
        }
        assert_int_equal(r.tag, 1);
        assert_cuda_error(&r, LAUNCH_OUT_OF_RESOURCES);
        failed++;
    }
    assert_int_equal(failed, 1);
    assert_good_end(c);
}

/* ---- Errors that end the process ------------------------------------------------ */

/* @n requests at once; each is answered, at least @at_least with the error, and
 * then the executor ends. */
static void assert_sticky(const char *fake, unsigned n, uint32_t error, unsigned at_least)
{
    Client *c = start(fake);
    unsigned failed = 0, answered = 0;
    uint64_t seen = 0;
    ClientResponse r;

    send_scalars(c, n);
    while (client_receive(c, &r)) {
        assert_false(seen & UINT64_C(1) << r.tag);
        seen |= UINT64_C(1) << r.tag;
        answered++;
        if (r.header.status == VGPU_ERROR_NONE) {
            assert_sum(&r);
            continue;
        }
        assert_cuda_error(&r, error);
        failed++;
    }

    assert_int_equal(answered, n);
    assert_true(failed >= at_least);
    assert_end(c, EXECUTOR_EXIT_STICKY, "made this process unusable");
}

static void test_kernel_faults(void **state)
{
    (void) state;

    assert_sticky("fault=700", 1, ILLEGAL_ADDRESS, 1);
    assert_sticky("hold=4,fault=719", SLOTS, LAUNCH_FAILED, 1);
    assert_sticky("hold=4,fault=700:after=3", SLOTS, ILLEGAL_ADDRESS, 1);
}

/* More than the slots: those that wait in the executor's buffer are answered, too. */
static void test_kernel_faults_with_a_queue(void **state)
{
    (void) state;
    assert_sticky("hold=4,fault=700", 3 * SLOTS, ILLEGAL_ADDRESS, 1);
}

static void test_launch_faults(void **state)
{
    (void) state;

    assert_sticky("fail=cuLaunchKernel:719", 1, LAUNCH_FAILED, 1);
    assert_sticky("hold=4,fail=cuLaunchKernel:719:after=3", SLOTS, LAUNCH_FAILED, SLOTS);
    assert_sticky("hold=4,fail=cuStreamAddCallback:700:after=2", SLOTS, ILLEGAL_ADDRESS, SLOTS);
}

static void test_device_info_faults(void **state)
{
    Client *c = start("fail=cuMemGetInfo_v2:700:after=1");
    unsigned char m[MESSAGE_MAX];
    ClientResponse r;

    (void) state;

    assert_true(client_send(c, m, message_plain(m, 8, VGPU_OP_GET_DEVICE_INFO)));
    r = receive(c);
    assert_cuda_error(&r, ILLEGAL_ADDRESS);
    assert_false(client_receive(c, &r));
    assert_end(c, EXECUTOR_EXIT_STICKY, "made this process unusable");
}

/* ---- Hangs ------------------------------------------------------------------------ */

/* One kernel never ends; the requests in the other slots are answered. */
static Client *start_with_hung_kernel(void)
{
    Client *c = start("hold=4,hang=kernel:after=1");

    send_scalars(c, SLOTS);
    for (unsigned i = 0; i < SLOTS - 1; i++) {
        ClientResponse r = receive(c);

        assert_int_not_equal(r.tag, 1);
        assert_sum(&r);
    }
    return c;
}

static void test_hung_kernel_leaves_the_others(void **state)
{
    Client *c = start_with_hung_kernel();

    (void) state;

    for (unsigned i = 10; i < 20; i++) {
        ClientResponse r;

        send_scalar(c, i, VGPU_PRIORITY_HIGH);
        r = receive(c);
        assert_int_equal(r.tag, i);
        assert_sum(&r);
    }
    kill(c->pid, SIGTERM);
    assert_end(c, 128 + SIGTERM, "");
}

static void test_hung_kernel_and_hang_up(void **state)
{
    Client *c = start_with_hung_kernel();

    (void) state;

    assert_good_end(c);
}

/* The fake driver writes a line for each call into a FIFO, and this is how the
 * test learns that the executor is inside one. */
static FILE *open_trace(const char *path, const char *function)
{
    char line[128];
    FILE *f = fopen(path, "re");

    assert_non_null(f);
    do
        assert_non_null(fgets(line, sizeof(line), f));
    while (strncmp(line, function, strlen(function)) != 0);
    return f;
}

static void test_hung_call_can_be_killed(void **state)
{
    char path[] = "/tmp/vgpu-test-XXXXXX", fifo[64], fake[160];
    ClientOptions o = fake_options(NULL);
    Client *c;
    FILE *trace;

    (void) state;

    assert_non_null(mkdtemp(path));
    snprintf(fifo, sizeof(fifo), "%s/trace", path);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    snprintf(fake, sizeof(fake), "trace=%s,hang=cuLaunchKernel", fifo);

    o.fake = fake;
    c = client_start(&o);
    send_scalar(c, 1, VGPU_PRIORITY_LOW);
    trace = open_trace(fifo, "cuLaunchKernel");
    kill(c->pid, SIGKILL);
    assert_end(c, 128 + SIGKILL, "");

    fclose(trace);
    unlink(fifo);
    rmdir(path);
}

/* The executor hangs in a call and does not see that its mediator is gone. The
 * mediator is a child of this test; the end of the FIFO is the executor's end. */
static void test_orphan_is_killed(void **state)
{
    char path[] = "/tmp/vgpu-test-XXXXXX", fifo[64], fake[160], rest[64];
    FILE *trace;
    pid_t mediator;

    (void) state;

    assert_non_null(mkdtemp(path));
    snprintf(fifo, sizeof(fifo), "%s/trace", path);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    snprintf(fake, sizeof(fake), "trace=%s,hang=cuInit", fifo);

    mediator = fork();
    assert_true(mediator >= 0);
    if (mediator == 0) {
        const ClientOptions o = fake_options(fake);

        client_start(&o);
        for (;;)
            pause();
    }

    trace = open_trace(fifo, "cuInit");
    kill(mediator, SIGKILL);
    assert_int_equal(waitpid(mediator, NULL, 0), mediator);
    assert_null(fgets(rest, sizeof(rest), trace));

    fclose(trace);
    unlink(fifo);
    rmdir(path);
}

/* ---- Opening ------------------------------------------------------------------------ */

static void assert_no_backend(ClientOptions o, int status, const char *says)
{
    Client *c = client_start(&o);
    ClientResponse r;

    assert_false(client_receive(c, &r));
    assert_end(c, status, says);
}

static void test_no_device(void **state)
{
    ClientOptions o = fake_options("devices=2");

    (void) state;

    assert_no_backend(fake_options("devices=0"), EXECUTOR_EXIT_NO_BACKEND,
                      "no CUDA: cuInit: CUDA_ERROR_NO_DEVICE (100)\n");
    o.device = "2";
    assert_no_backend(o, EXECUTOR_EXIT_NO_BACKEND, "no CUDA: no device 2: this host has 2\n");
    o.device = "1";
    assert_good_end(client_start(&o));
}

static void test_no_driver(void **state)
{
    ClientOptions o = fake_options(NULL);
    char empty[] = "/tmp/vgpu-test-XXXXXX", path[64];
    int fd;

    (void) state;

    /* A file that is no library is found before any real driver. */
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

/* Everything that is opened is tried once in failing, and given back: the fake
 * driver aborts on what is left over. */
static void test_every_step_of_opening_fails(void **state)
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
        {"fail=cuMemHostAlloc:2", EXECUTOR_EXIT_FAILURE},
        {"fail=cuMemHostGetDevicePointer_v2:1", EXECUTOR_EXIT_NO_BACKEND},
        {"fail=cuMemGetInfo_v2:2", EXECUTOR_EXIT_FAILURE},
    };

    (void) state;

    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
        assert_no_backend(fake_options(steps[i].fake), steps[i].status, "vgpu-executor: ");
}

static void test_auto(void **state)
{
    static const char *const no_cuda[] = {"devices=0", "fail=cuDevicePrimaryCtxRetain:2",
                                          "fail=cuModuleLoadData:209"};
    ClientOptions o = fake_options(NULL);
    Client *c;
    ClientResponse r;

    (void) state;

    o.backend = "auto";
    c = client_start(&o);
    client_hello(c);
    assert_string_equal(c->device.backend, "cuda");
    assert_good_end(c);

    for (size_t i = 0; i < 3; i++) {
        o.fake = no_cuda[i];
        c = client_start(&o);
        client_hello(c);
        assert_string_equal(c->device.backend, "cpu");
        send_scalar(c, 5, VGPU_PRIORITY_LOW);
        r = receive(c);
        assert_sum(&r);
        client_hang_up(c);
        assert_end(c, EXECUTOR_EXIT_OK, "no CUDA, computing on the CPU: ");
    }
}

static void test_kernels_option(void **state)
{
    ClientOptions o = fake_options(NULL);

    (void) state;

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

static unsigned count_lines(const char *text, const char *line)
{
    unsigned n = 0;

    for (const char *p = text; (p = strstr(p, line)) != NULL; p += strlen(line))
        n++;
    return n;
}

static char *read_file(const char *path)
{
    FILE *f = fopen(path, "re");
    char *text = NULL;
    size_t size = 0;

    assert_non_null(f);
    assert_true(getdelim(&text, &size, '\0', f) > 0);
    fclose(f);
    return text;
}

/* The context, the memory, the module and a stream for each priority are made once,
 * and a request is two calls. */
static void test_what_is_made_is_kept(void **state)
{
    char path[] = "/tmp/vgpu-test-XXXXXX", fake[128], *trace;
    int fd = mkstemp(path);
    Client *c;

    (void) state;

    assert_true(fd >= 0);
    snprintf(fake, sizeof(fake), "trace=%s", path);
    c = start(fake);
    for (unsigned i = 0; i < 300; i++) {
        ClientResponse r;

        send_scalar(c, i, i % VGPU_N_PRIORITIES);
        r = receive(c);
        assert_sum(&r);
    }
    assert_good_end(c);

    trace = read_file(path);
    assert_int_equal(count_lines(trace, "cuDevicePrimaryCtxRetain "), 1);
    assert_int_equal(count_lines(trace, "cuMemHostAlloc "), 1);
    assert_int_equal(count_lines(trace, "cuModuleLoadData "), 1);
    assert_int_equal(count_lines(trace, "cuStreamCreateWithPriority "), VGPU_N_PRIORITIES);
    assert_int_equal(count_lines(trace, "cuStreamCreateWithPriority 0\n"), 1);
    assert_int_equal(count_lines(trace, "cuStreamCreateWithPriority -2\n"), 1);
    assert_int_equal(count_lines(trace, "cuStreamCreateWithPriority -5\n"), 1);
    assert_int_equal(count_lines(trace, "cuLaunchKernel "), 300);
    assert_int_equal(count_lines(trace, "cuStreamAddCallback "), 300);
    assert_int_equal(count_lines(trace, "cuStreamSynchronize "), VGPU_N_PRIORITIES);
    assert_int_equal(count_lines(trace, "cuDevicePrimaryCtxRelease_v2 "), 1);

    free(trace);
    close(fd);
    unlink(path);
}

/* Four jobs that came together, in three priorities: three callbacks. */
static void test_a_row_has_one_callback(void **state)
{
    char path[] = "/tmp/vgpu-test-XXXXXX", fake[128], *trace;
    int fd = mkstemp(path);
    Client *c;

    (void) state;

    assert_true(fd >= 0);
    snprintf(fake, sizeof(fake), "trace=%s", path);
    c = start(fake);
    send_scalars(c, SLOTS);
    for (unsigned i = 0; i < SLOTS; i++) {
        ClientResponse r = receive(c);

        assert_sum(&r);
    }
    assert_good_end(c);

    trace = read_file(path);
    assert_int_equal(count_lines(trace, "cuLaunchKernel "), SLOTS);
    assert_int_equal(count_lines(trace, "cuStreamAddCallback "), VGPU_N_PRIORITIES);

    free(trace);
    close(fd);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_launch_fails),
        cmocka_unit_test(test_callback_fails),
        cmocka_unit_test(test_kernel_fails),
        cmocka_unit_test(test_device_info_fails),
        cmocka_unit_test(test_one_of_many_fails),
        cmocka_unit_test(test_kernel_faults),
        cmocka_unit_test(test_kernel_faults_with_a_queue),
        cmocka_unit_test(test_launch_faults),
        cmocka_unit_test(test_device_info_faults),
        cmocka_unit_test(test_hung_kernel_leaves_the_others),
        cmocka_unit_test(test_hung_kernel_and_hang_up),
        cmocka_unit_test(test_hung_call_can_be_killed),
        cmocka_unit_test(test_orphan_is_killed),
        cmocka_unit_test(test_no_device),
        cmocka_unit_test(test_no_driver),
        cmocka_unit_test(test_every_step_of_opening_fails),
        cmocka_unit_test(test_auto),
        cmocka_unit_test(test_kernels_option),
        cmocka_unit_test(test_what_is_made_is_kept),
        cmocka_unit_test(test_a_row_has_one_callback),
    };

    return cmocka_run_group_tests_name("executor-faults", tests, NULL, NULL);
}
