/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Threads that come and go, signals, and several users of the library in one process. */
#include <dlfcn.h>
#include <signal.h>
#include <sys/time.h>
#include <unistd.h>

#include "cuda-api-streams.h"
#include "test-libcuda-work.h"

/* Threads come and go, each with a default stream of its own, while others work. */
TEST(test_threads_that_end)
{
    Worker workers[WORK_PARTS];
    CUcontext context = libcuda_primary();
    Work w = work_open();
    bool stop = false;

    workers_start(workers, 0, 1, &w, context, &stop);
    for (unsigned round = 0; round < 10; round++) {
        workers_start(workers, 1, WORK_PARTS, &w, context, NULL);
        workers_end(workers, 1, WORK_PARTS);
    }
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    workers_end(workers, 0, 1);
    work_close(&w);
    CALL(cuDevicePrimaryCtxRelease_v2(0));
}

/* A thread's default stream ends with the context; where that comes again, there is another. */
TEST(test_default_streams_of_contexts_that_end)
{
    CUcontext context;
    Work w;

    for (uint32_t i = 0; i < 3; i++) {
        libcuda_primary();
        w = work_open();
        CALL(work_do(&w, 0, i, CU_STREAM_PER_THREAD));
        CALL(cuCtxCreate_v2(&context, 0, 0));
        w = work_open();
        CALL(work_do(&w, 1, i, CU_STREAM_PER_THREAD));
        CALL(cuCtxDestroy_v2(context));
        CALL(cuDevicePrimaryCtxReset_v2(0));
        CALL_FAILS(CUDA_ERROR_CONTEXT_IS_DESTROYED, cuStreamSynchronize(CU_STREAM_PER_THREAD));
    }
}

/* ---- Signals -----------------------------------------------------------------------------------
 */

static volatile sig_atomic_t n_signals;
static pthread_t signalled;

static void on_signal(int number)
{
    (void) number;
    n_signals++;
    signalled = pthread_self();
}

static void host_function(void *userdata)
{
    usleep(20000);
    *(pthread_t *) userdata = pthread_self();
}

TEST(test_signals_during_waits)
{
    const struct sigaction action = {.sa_handler = on_signal};
    const struct itimerval often = {{0, 1000}, {0, 1000}}, never = {0};
    uint64_t nsec = 50000000;
    void *each[] = {&nsec};
    pthread_t thread;
    CUevent event;
    Work w;

    libcuda_primary();
    assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
    for (unsigned i = 0; i < 3; i++) {
        w = work_open();
        CALL(cuEventCreate(&event, 0));
        CALL(cuLaunchKernel(w.busy, 1, 1, 1, 1, 1, 1, 0, NULL, each, NULL));
        CALL(cuEventRecord(event, NULL));
        CALL(cuEventSynchronize(event));
        CALL(cuLaunchKernel(w.busy, 1, 1, 1, 1, 1, 1, 0, NULL, each, NULL));
        CALL(cuLaunchHostFunc(NULL, host_function, &thread));
        CALL(work_do(&w, 0, i, NULL));
        assert_false(pthread_equal(thread, signalled));
        CALL(cuEventDestroy_v2(event));
        work_close(&w);
    }
    assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
    assert_true(n_signals > 10);
    CALL(cuDevicePrimaryCtxRelease_v2(0));
}

/* ---- The library -------------------------------------------------------------------------------
 */

TEST(test_library_opened_often)
{
    CUresult (*count)(int *);
    Dl_info info;
    Work w;
    int n = 0;

    libcuda_primary();
    w = work_open();
    assert_true(dladdr((void *) cuInit, &info) != 0);
    for (unsigned i = 0; i < 10; i++) {
        void *library = dlopen(info.dli_fname, RTLD_NOW | RTLD_LOCAL);

        assert_non_null(library);
        *(void **) &count = dlsym(library, "cuDeviceGetCount");
        CALL(count(&n));
        assert_int_equal(n, 1);
        assert_int_equal(dlclose(library), 0);
        CALL(work_do(&w, 0, i, CU_STREAM_PER_THREAD));
    }
    work_close(&w);
    CALL(cuDevicePrimaryCtxRelease_v2(0));
}

/* Two runtimes in one process: each finds the functions by itself, and has the context as long as
 * it wants. */
typedef struct Runtime {
    CUresult (*retain)(CUcontext *context, CUdevice device);
    CUresult (*release)(CUdevice device);
    CUcontext context;
    Work work;
} Runtime;

static Runtime runtime_start(void)
{
    Runtime r;

    CALL(cuInit(0));
    CALL(cuGetProcAddress_v2("cuDevicePrimaryCtxRetain", (void **) &r.retain, 13000, 0, NULL));
    CALL(cuGetProcAddress_v2("cuDevicePrimaryCtxRelease", (void **) &r.release, 13000, 0, NULL));
    CALL(r.retain(&r.context, 0));
    CALL(cuCtxSetCurrent(r.context));
    r.work = work_open();
    return r;
}

static void runtime_end(const Runtime *r)
{
    work_close(&r->work);
    CALL(r->release(0));
}

TEST(test_runtimes)
{
    Runtime a = runtime_start(), b = runtime_start();
    CUmodule module;

    assert_ptr_equal(a.context, b.context);
    CALL(work_do(&a.work, 0, 1, NULL));
    CALL(work_do(&b.work, 0, 2, CU_STREAM_PER_THREAD));
    runtime_end(&a);
    CALL(work_do(&b.work, 0, 3, CU_STREAM_PER_THREAD));
    runtime_end(&b);
    CALL_FAILS(CUDA_ERROR_CONTEXT_IS_DESTROYED, cuModuleLoad(&module, "/proc/self/exe"));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads_that_end),
        cmocka_unit_test(test_default_streams_of_contexts_that_end),
        cmocka_unit_test(test_signals_during_waits),
        cmocka_unit_test(test_library_opened_often),
        cmocka_unit_test(test_runtimes),
    };

    return libcuda_test_main(argc, argv, tests);
}
