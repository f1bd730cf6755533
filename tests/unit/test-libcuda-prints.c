/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What kernels print, and what assertions say. */
#include <fcntl.h>

#include "cuda-api-streams.h"
#include "test-libcuda-apart.h"

#define KERNELS "tests/fake-cuda/session-kernels.ptx"

static CUfunction function_of(CUmodule module, const char *name)
{
    CUfunction function;

    CALL(cuModuleGetFunction(&function, module, name));
    return function;
}

typedef struct Caught {
    int fd, before, text;
} Caught;

static Caught catch (int fd)
{
    char path[] = "/tmp/vgpu-test-XXXXXX";
    Caught c = {.fd = fd};

    fflush(NULL);
    c.before = dup(fd);
    c.text = mkstemp(path);
    assert_true(c.before >= 0 && c.text >= 0);
    unlink(path);
    dup2(c.text, fd);
    return c;
}

/* What was written since the last look */
static const char *caught(const Caught *c)
{
    static char text[4096];
    ssize_t n = pread(c->text, text, sizeof(text) - 1, 0);

    assert_true(n >= 0);
    text[n] = '\0';
    assert_int_equal(ftruncate(c->text, 0), 0);
    lseek(c->text, 0, SEEK_SET);
    return text;
}

static void catch_end(const Caught *c)
{
    fflush(NULL);
    dup2(c->before, c->fd);
    close(c->before);
    close(c->text);
}

static CUresult wait_by_looking_at_stream(CUstream stream)
{
    CUresult r;

    do
        r = cuStreamQuery(stream);
    while (r == CUDA_ERROR_NOT_READY);
    return r;
}

static CUresult wait_by_looking_at_event(CUevent event)
{
    CUresult r;

    do
        r = cuEventQuery(event);
    while (r == CUDA_ERROR_NOT_READY);
    return r;
}

/* Whichever way a program finds that a kernel has ended, what that printed is out. */
TEST(test_text_before_the_end_is_seen)
{
    CUmodule module;
    CUfunction print;
    CUstream stream;
    CUevent event;
    int number = 3;
    void *parameters[] = {&number};
    Caught c;

    libcuda_primary();
    module = libcuda_load(KERNELS);
    print = function_of(module, "print_number");
    CALL(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    CALL(cuEventCreate(&event, 0));
    c = catch (STDOUT_FILENO);
#define PRINT() CALL(cuLaunchKernel(print, 1u, 1u, 1u, 1u, 1u, 1u, 0u, stream, parameters, NULL))
    PRINT();
    CALL(wait_by_looking_at_stream(stream));
    assert_string_equal(caught(&c), "number 3\n");
    CALL(cuStreamQuery(stream));
    number = 4;
    PRINT();
    CALL(cuEventRecord(event, stream));
    CALL(wait_by_looking_at_event(event));
    assert_string_equal(caught(&c), "number 4\n");
    number = 5;
    PRINT();
    CALL(cuEventRecord(event, stream));
    CALL(cuEventSynchronize(event));
    assert_string_equal(caught(&c), "number 5\n");
    number = 6;
    PRINT();
    CALL(cuStreamSynchronize(stream));
    assert_string_equal(caught(&c), "number 6\n");
    number = 7;
    PRINT();
    CALL(cuEventRecord(event, stream));
    usleep(20000); /* it has ended when the context is waited for */
    CALL(cuCtxSynchronize());
    assert_string_equal(caught(&c), "number 7\n");
    catch_end(&c);
    CALL(cuEventDestroy_v2(event));
    CALL(cuStreamDestroy_v2(stream));
    CALL(cuModuleUnload(module));
    CALL(cuDevicePrimaryCtxRelease_v2(0));
}

/* In a process of its own: what an assertion says is out when the program is told of the error. */
static void test_assertion(void **state)
{
    CUstream stream;
    CUmodule module;
    int number = -1;
    void *parameters[] = {&number};
    const char *text;
    CUresult r;
    Caught c;

    (void) state;
    libcuda_primary();
    module = libcuda_load(KERNELS);
    CALL(cuStreamCreate(&stream, 0));
    c = catch (STDERR_FILENO);
    CALL(cuLaunchKernel(function_of(module, "assert_positive"), 1u, 1u, 1u, 1u, 1u, 1u, 0u, stream,
                        parameters, NULL));
    r = wait_by_looking_at_stream(stream);
    text = caught(&c);
    catch_end(&c);
    assert_int_equal(r, CUDA_ERROR_ASSERT);
    assert_non_null(strstr(text, "Assertion `number > 0` failed."));
}

TEST(test_apart)
{
    apart_run("test_assertion");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_before_the_end_is_seen),
        cmocka_unit_test(test_apart),
    };
    const struct CMUnitTest apart[] = {
        cmocka_unit_test(test_assertion),
    };

    return apart_test_main(argc, argv, tests, apart);
}
