/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Children, programs that become others, and the end of a process. */
#include <dlfcn.h>
#include <sys/mman.h>

#include "cuda-api-streams.h"
#include "symbols.h"
#include "test-libcuda-apart.h"
#include "test-libcuda-late.h"
#include "test-libcuda-work.h"

/* ---- Children ----------------------------------------------------------------------------------
 */

/* Those that answer without a driver */
static bool answers_always(const char *symbol)
{
    static const char *const names[] = {
        "cuDriverGetVersion",     "cuGetErrorName",
        "cuGetErrorString",       "cuGetProcAddress",
        "cuGetProcAddress_v2",    "cuGetExportTable",
        "cuModuleGetLoadingMode", "cuThreadExchangeStreamCaptureMode",
        "cuLogsRegisterCallback", "cuLogsUnregisterCallback",
        "cuLogsCurrent",          "cuLogsDumpToFile",
        "cuLogsDumpToMemory",
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(names[i], symbol) == 0)
            return true;
    return false;
}

/* Each function, with nothing: none does anything, none hangs or crashes. */
static bool call_is_refused(const char *symbol)
{
    CUresult (*function)(void *, void *, void *, void *, void *, void *, void *, void *, void *,
                         void *, void *, void *);

    *(void **) &function = dlsym(RTLD_DEFAULT, symbol);
    if (answers_always(symbol) || function(NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
                                           NULL, NULL, NULL) != CUDA_SUCCESS)
        return true;
    fprintf(stderr, "%s has not failed\n", symbol);
    return false;
}

static bool all_are_refused(void)
{
    bool are = true;

#define REFUSED_(symbol, base, since, streams) are = call_is_refused(#symbol) && are;
    LIBCUDA_SYMBOLS(REFUSED_)
#undef REFUSED_
    return are;
}

/* Returns @data, or NULL. */
static void *child_thread(void *data)
{
    CUcontext context;
    int n;

    return cuCtxGetCurrent(&context) == CUDA_ERROR_NOT_INITIALIZED &&
                   cuDeviceGetCount(&n) == CUDA_ERROR_NOT_INITIALIZED
               ? data
               : NULL;
}

/* What a child of a process with a session sees. Returns its exit status. */
static int child_of(const Work *w, CUstream stream)
{
    CUcontext context;
    CUdeviceptr a;
    pthread_t thread;
    void *passed = NULL;
    float msec;
    int n;

    if (cuInit(0) != CUDA_ERROR_NOT_INITIALIZED)
        return 2;
    if (cuDeviceGetCount(&n) != CUDA_ERROR_NOT_INITIALIZED ||
        cuCtxGetCurrent(&context) != CUDA_ERROR_NOT_INITIALIZED ||
        cuDevicePrimaryCtxRetain(&context, 0) != CUDA_ERROR_NOT_INITIALIZED ||
        cuMemAlloc_v2(&a, 4096) != CUDA_ERROR_NOT_INITIALIZED ||
        cuMemFree_v2(w->a) != CUDA_ERROR_NOT_INITIALIZED ||
        cuStreamSynchronize(stream) != CUDA_ERROR_NOT_INITIALIZED ||
        cuStreamQuery(NULL) != CUDA_ERROR_NOT_INITIALIZED ||
        cuEventElapsedTime(&msec, NULL, NULL) != CUDA_ERROR_NOT_INITIALIZED ||
        work_do(w, 0, 1, stream) != CUDA_ERROR_NOT_INITIALIZED ||
        work_do(w, 0, 1, CU_STREAM_PER_THREAD) != CUDA_ERROR_NOT_INITIALIZED)
        return 3;
    if (!all_are_refused())
        return 4;
    if (pthread_create(&thread, NULL, child_thread, &n) != 0 ||
        pthread_join(thread, &passed) != 0 || !passed)
        return 5;
    return 0;
}

static int child_status(const Work *w, CUstream stream, bool is_to_exit)
{
    pid_t child;

    fflush(NULL);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        int status = child_of(w, stream);

        if (is_to_exit)
            exit(status);
        _exit(status);
    }
    return apart_wait(child);
}

TEST(test_child)
{
    CUstream stream;
    Work w;

    libcuda_primary();
    w = work_open();
    CALL(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    CALL(work_do(&w, 0, 1, stream));
    CALL(work_do(&w, 0, 2, CU_STREAM_PER_THREAD));
    assert_int_equal(child_status(&w, stream, false), 0);
    CALL(work_do(&w, 0, 3, stream));
    assert_int_equal(child_status(&w, stream, true), 0);
    CALL(work_do(&w, 0, 4, stream));
    apart_run("test_alone");
    CALL(work_do(&w, 0, 5, stream));
    CALL(cuStreamDestroy_v2(stream));
    work_close(&w);
    CALL(cuDevicePrimaryCtxRelease_v2(0));
}

#ifdef __has_feature
#define HAS_SANITIZER __has_feature(address_sanitizer)
#elif defined(__SANITIZE_ADDRESS__)
#define HAS_SANITIZER 1
#else
#define HAS_SANITIZER 0
#endif

/* Whatever lock another thread has when a child is made, the child gets on. AddressSanitizer's
 * allocator does not: there it is not tried. */
TEST(test_child_of_threads)
{
    Worker workers[2];
    CUcontext context = libcuda_primary();
    CUstream stream;
    Work w = work_open();
    bool stop = false;

    CALL(cuStreamCreate(&stream, 0));
    workers_start(workers, 0, 2, &w, context, &stop);
    for (unsigned i = 0; i < (HAS_SANITIZER ? 0 : 10); i++)
        assert_int_equal(child_status(&w, stream, false), 0);
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    workers_end(workers, 0, 2);
    work_close(&w);
    CALL(cuDevicePrimaryCtxRelease_v2(0));
}

/* ---- The end of a process ----------------------------------------------------------------------
 */

/* In a process of its own: what a child with a session of its own does, and its parent, too. */
static void test_alone(void **state)
{
    pid_t child;
    CUcontext context;
    Work w;

    (void) state;
    child = fork(); /* before the parent has called anything */
    assert_true(child >= 0);
    context = libcuda_primary();
    w = work_open();
    for (uint32_t i = 0; i < 3; i++)
        CALL(work_do(&w, 0, i, NULL));
    work_close(&w);
    CALL(cuDevicePrimaryCtxRelease_v2(0));
    assert_non_null(context);
    if (child == 0)
        exit(EXIT_SUCCESS);
    assert_int_equal(apart_wait(child), 0);
}

/* In a process of its own, with a session: it becomes another program, which has one, too. */
static void test_becomes_another(void **state)
{
    Work w;

    (void) state;
    libcuda_primary();
    w = work_open();
    CALL(work_do(&w, 0, 1, NULL));
    apart_exec("test_alone");
}

static struct {
    Work work;
    CUstream stream;
    int *results; /* of those that are called at the end, for the parent */
} at_end;

/* All calls are as in the middle of the program. */
static void end_early(void)
{
    at_end.results[0] = work_do(&at_end.work, 0, 1, at_end.stream) == CUDA_SUCCESS &&
                        work_do(&at_end.work, 0, 2, CU_STREAM_PER_THREAD) == CUDA_SUCCESS;
}

static void end_middle(void)
{
    at_end.results[1] =
        cuCtxSynchronize() == CUDA_SUCCESS && cuStreamDestroy_v2(at_end.stream) == CUDA_SUCCESS;
}

/* Everything says that it is over. */
static void end_late(void)
{
    CUcontext context;
    int n;

    at_end.results[2] =
        cuInit(0) == CUDA_ERROR_DEINITIALIZED && cuDeviceGetCount(&n) == CUDA_ERROR_DEINITIALIZED &&
        cuCtxGetCurrent(&context) == CUDA_ERROR_DEINITIALIZED &&
        cuCtxSynchronize() == CUDA_ERROR_DEINITIALIZED &&
        cuMemFree_v2(at_end.work.a) == CUDA_ERROR_DEINITIALIZED &&
        cuModuleUnload(at_end.work.module) == CUDA_ERROR_DEINITIALIZED && all_are_refused();
}

/* A thread that is at work when the process ends */
static void *end_worker(void *data)
{
    CUresult r = cuCtxSetCurrent(data);

    for (uint32_t i = 0; r == CUDA_SUCCESS; i++)
        r = work_do(&at_end.work, 1, i, CU_STREAM_PER_THREAD);
    at_end.results[3] = r;
    return NULL;
}

static void open_late_library(void)
{
    void (**call)(void);
    char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 64);
    void *library;

    assert_true(n > 0);
    path[n] = '\0';
    strcpy(strrchr(path, '/'), "/libtest-libcuda-late.so");
    library = dlopen(path, RTLD_NOW);
    assert_non_null(library);
    call = dlsym(library, "late_call");
    assert_non_null(call);
    *call = end_late;
}

static int run_to_the_end(bool has_worker)
{
    CUcontext context;
    pthread_t thread;

    open_late_library();
    if (atexit(end_middle) != 0)
        return EXIT_FAILURE;
    context = libcuda_primary();
    at_end.work = work_open();
    CALL(cuStreamCreate(&at_end.stream, 0));
    if (atexit(end_early) != 0)
        return EXIT_FAILURE;
    if (has_worker && pthread_create(&thread, NULL, end_worker, context) != 0)
        return EXIT_FAILURE;
    return EXIT_SUCCESS;
}

static void end_once(bool has_worker)
{
    pid_t child;
    int *results = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    assert_ptr_not_equal(results, MAP_FAILED);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        at_end.results = results;
        exit(run_to_the_end(has_worker));
    }
    assert_int_equal(apart_wait(child), 0);
    assert_true(results[0] && results[1] && results[2]);
    assert_true(results[3] == CUDA_SUCCESS || results[3] == CUDA_ERROR_DEINITIALIZED);
    munmap(results, 4096);
}

/* In a process of its own, which has no session itself */
static void test_end(void **state)
{
    (void) state;
    end_once(false);
    for (unsigned i = 0; i < 3; i++)
        end_once(true);
}

TEST(test_apart)
{
    apart_run("test_end");
    apart_run("test_becomes_another");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_apart),
        cmocka_unit_test(test_child),
        cmocka_unit_test(test_child_of_threads),
    };
    const struct CMUnitTest apart[] = {
        cmocka_unit_test(test_alone),
        cmocka_unit_test(test_becomes_another),
        cmocka_unit_test(test_end),
    };

    return apart_test_main(argc, argv, tests, apart);
}
