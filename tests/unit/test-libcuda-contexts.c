/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Contexts in all their forms and their limits, questions about the device, and what tools ask. */
#include <string.h>
#include <unistd.h>

#include "cuda-api-streams.h"
#include "test-libcuda.h"

/* CUlimit */
enum { LIMIT_STACK = 0, LIMIT_PRINTF = 1, LIMIT_UNKNOWN = 60 };

TEST(test_device)
{
    DeviceProperties p;
    char luid[8];
    unsigned nodes, capabilities[2] = {1, 1};
    int value, operations[] = {0, 9}, bad = 13;

    CALL_FAILS(CUDA_ERROR_NOT_INITIALIZED, cuDeviceGetProperties(&p, 0));
    CALL(cuInit(0));
    CALL(cuDeviceGetProperties(&p, 0));
    assert_int_equal(p.max_threads_per_block, 1024);
    assert_true(p.max_block[2] == 64 && p.max_grid[0] == INT32_MAX && p.max_grid[2] == 65535);
    assert_true(p.warp == 32 && p.constant_bytes == 65536 && p.texture_alignment == 512);
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuDeviceGetProperties(NULL, 0));
    CALL_FAILS(CUDA_ERROR_INVALID_DEVICE, cuDeviceGetProperties(&p, 1));
    CALL_FAILS(CUDA_ERROR_NOT_SUPPORTED, cuDeviceGetLuid(luid, &nodes, 0));
    CALL_FAILS(CUDA_ERROR_INVALID_DEVICE, cuDeviceGetLuid(luid, &nodes, 3));
    CALL_FAILS(CUDA_ERROR_INVALID_DEVICE, cuDeviceGetP2PAttribute(&value, 1, 0, 0));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuDeviceGetP2PAttribute(&value, 9, 0, 0));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuDeviceGetP2PAttribute(NULL, 1, 0, 1));
    CALL_FAILS(CUDA_ERROR_INVALID_DEVICE,
               cuDeviceGetP2PAtomicCapabilities(capabilities, operations, 2, 0, 0));
    CALL(cuDeviceGetHostAtomicCapabilities(capabilities, operations, 2, 0));
    assert_true(capabilities[0] == 0 && capabilities[1] == 0);
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE,
               cuDeviceGetHostAtomicCapabilities(capabilities, &bad, 1, 0));
    CALL(cuDeviceGetExecAffinitySupport(&value, 0, 0));
    assert_int_equal(value, 0);
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuDeviceGetExecAffinitySupport(&value, 1, 0));
}

TEST(test_forms)
{
    ExecAffinity affinity = {0, 2};
    ContextParameters parameters = {0};
    CUcontext a, b, current;
    unsigned version;

    CALL(cuCtxCreate(&a, 0, 0));
    CALL(cuCtxGetApiVersion(a, &version));
    assert_int_equal(version, 3010);
    CALL(cuCtxCreate_v3(&b, NULL, 0, 0, 0));
    CALL(cuCtxPopCurrent(&current));
    assert_ptr_equal(current, b);
    CALL(cuCtxDestroy(b));
    CALL_FAILS(CUDA_ERROR_UNSUPPORTED_EXEC_AFFINITY, cuCtxCreate_v3(&b, &affinity, 1, 0, 0));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuCtxCreate_v3(&b, NULL, 1, 0, 0));
    CALL(cuCtxCreate_v4(&b, &parameters, 0, 0));
    CALL(cuCtxDestroy(b));
    parameters.affinity = &affinity;
    parameters.n_affinity = 1;
    CALL_FAILS(CUDA_ERROR_UNSUPPORTED_EXEC_AFFINITY, cuCtxCreate_v4(&b, &parameters, 0, 0));
    parameters = (ContextParameters){.graphics = &affinity};
    CALL_FAILS(CUDA_ERROR_NOT_SUPPORTED, cuCtxCreate_v4(&b, &parameters, 0, 0));
    CALL_FAILS(CUDA_ERROR_INVALID_DEVICE, cuCtxCreate_v4(&b, NULL, 0, 1));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuCtxCreate_v2(&b, 0x100, 0));
    CALL_FAILS(CUDA_ERROR_UNSUPPORTED_EXEC_AFFINITY, cuCtxGetExecAffinity(&affinity, 0));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuCtxGetExecAffinity(NULL, 0));

    CALL(cuCtxGetCurrent(&current));
    assert_ptr_equal(current, a);
    CALL(cuCtxAttach(&current, 0));
    assert_ptr_equal(current, a);
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuCtxAttach(&current, 1));
    CALL(cuCtxDetach(a));
    CALL(cuCtxSynchronize());
    CALL(cuCtxPushCurrent(a));
    CALL(cuCtxPopCurrent(NULL));
    CALL(cuCtxDetach(a)); /* the last one */
    CALL_FAILS(CUDA_ERROR_INVALID_CONTEXT, cuCtxSynchronize());
    CALL_FAILS(CUDA_ERROR_INVALID_CONTEXT, cuCtxPushCurrent(a));
    CALL_FAILS(CUDA_ERROR_INVALID_CONTEXT, cuCtxAttach(&current, 0));
}

TEST(test_limits)
{
    size_t value;

    libcuda_primary();
    CALL(cuCtxGetLimit(&value, LIMIT_PRINTF));
    assert_int_equal(value, 1 << 20);
    CALL(cuCtxSetLimit(LIMIT_PRINTF, 2 << 20));
    CALL(cuCtxGetLimit(&value, LIMIT_PRINTF));
    assert_int_equal(value, 2 << 20);
    CALL(cuCtxSetLimit(LIMIT_STACK, 4096));
    CALL(cuCtxGetLimit(&value, LIMIT_STACK));
    assert_int_equal(value, 4096);
    CALL_FAILS(CUDA_ERROR_UNSUPPORTED_LIMIT, cuCtxGetLimit(&value, LIMIT_UNKNOWN));
    CALL_FAILS(CUDA_ERROR_UNSUPPORTED_LIMIT, cuCtxSetLimit(LIMIT_UNKNOWN, 1));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuCtxGetLimit(NULL, LIMIT_STACK));
    CALL_FAILS(CUDA_ERROR_NOT_SUPPORTED, cuFlushGPUDirectRDMAWrites(0, 100));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuFlushGPUDirectRDMAWrites(0, 1));
    CALL(cuDevicePrimaryCtxRelease_v2(0));
}

/* ---- Tools -------------------------------------------------------------------------------------
 */

/* CUcoredumpSettings */
enum { COREDUMP_ENABLE = 1, COREDUMP_TRIGGER_HOST = 2, COREDUMP_FILE = 5 };

TEST(test_tools)
{
    bool flag = true;
    char path[64];
    size_t size = sizeof(flag);

    CALL(cuCtxSetCurrent(NULL));
    CALL_FAILS(CUDA_ERROR_INVALID_CONTEXT, cuProfilerStart());
    libcuda_primary();
    CALL(cuProfilerStart());
    CALL(cuProfilerStop());

    CALL(cuCoredumpGetAttribute(COREDUMP_ENABLE, &flag, &size));
    assert_false(flag);
    CALL(cuCoredumpGetAttributeGlobal(COREDUMP_TRIGGER_HOST, &flag, &size));
    assert_true(flag);
    CALL_FAILS(CUDA_ERROR_NOT_SUPPORTED, cuCoredumpSetAttribute(COREDUMP_ENABLE, &flag, &size));
    flag = false;
    CALL(cuCoredumpSetAttributeGlobal(COREDUMP_ENABLE, &flag, &size));
    size = sizeof(path);
    CALL(cuCoredumpGetAttribute(COREDUMP_FILE, path, &size));
    assert_int_equal(size, 1);
    assert_string_equal(path, "");
    size = 5;
    memcpy(path, "core", 5);
    CALL_FAILS(CUDA_ERROR_NOT_SUPPORTED, cuCoredumpSetAttribute(COREDUMP_FILE, path, &size));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuCoredumpGetAttribute(99, path, &size));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuCoredumpGetAttribute(COREDUMP_FILE, path, NULL));
    CALL(cuDevicePrimaryCtxRelease_v2(0));
}

static unsigned n_heard;

static void hear(void *userdata, int level, char *message, size_t size)
{
    assert_int_equal(level, 0);
    assert_int_equal(strlen(message), size);
    if (strstr(message, userdata))
        n_heard++;
}

TEST(test_logs)
{
    CUlogsCallbackHandle handle;
    CUlogIterator before, at;
    char text[25600], path[] = "/tmp/vgpu-test-XXXXXX";
    CUfunction function;
    CUmodule module;
    size_t size;
    FILE *file;

    libcuda_primary();
    module = libcuda_load("tests/fake-cuda/session-kernels.ptx");
    CALL(cuLogsRegisterCallback(hear, "no_such_kernel", &handle));
    CALL(cuLogsCurrent(&before, 0));
    CALL_FAILS(CUDA_ERROR_NOT_FOUND, cuModuleGetFunction(&function, module, "no_such_kernel"));
    assert_int_equal(n_heard, 1);
    at = before;
    size = sizeof(text);
    CALL(cuLogsDumpToMemory(&at, text, &size, 0));
    assert_true(at > before && size == strlen(text));
    assert_non_null(strstr(text, "no_such_kernel"));
    size = sizeof(text);
    CALL(cuLogsDumpToMemory(&at, text, &size, 0));
    assert_int_equal(size, 0);
    size = 4; /* no line has room */
    CALL(cuLogsDumpToMemory(NULL, text, &size, 0));
    assert_int_equal(size, 0);

    close(mkstemp(path));
    CALL(cuLogsDumpToFile(&before, path, 0));
    file = fopen(path, "re");
    assert_non_null(file);
    assert_non_null(fgets(text, sizeof(text), file));
    assert_non_null(strstr(text, "no_such_kernel"));
    fclose(file);
    unlink(path);

    CALL(cuLogsUnregisterCallback(handle));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuLogsUnregisterCallback(handle));
    CALL_FAILS(CUDA_ERROR_NOT_FOUND, cuModuleGetFunction(&function, module, "no_such_kernel"));
    assert_int_equal(n_heard, 1);
    size = 30000;
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuLogsDumpToMemory(NULL, text, &size, 0));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuLogsCurrent(&at, 1));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuLogsRegisterCallback(NULL, NULL, &handle));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuLogsDumpToFile(NULL, "/nonexistent/file", 0));
    CALL(cuModuleUnload(module));
    CALL(cuDevicePrimaryCtxRelease_v2(0));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_device), cmocka_unit_test(test_forms), cmocka_unit_test(test_limits),
        cmocka_unit_test(test_tools),  cmocka_unit_test(test_logs),
    };

    return libcuda_test_main(argc, argv, tests);
}
