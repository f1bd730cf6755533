/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Programs whose code was compiled in parts, as the compiler puts them together. */
#include <stdint.h>
#include <string.h>

#include "test-libcuda.h"

#define N 64u
#define LOG 4096u
#define TEXT_MAX 4096u
#define KERNEL "tests/gpu/session-link-kernel.ptx"
#define FUNCTION "tests/gpu/session-link-function.ptx"

enum { JIT_ERROR_LOG = 5, JIT_ERROR_LOG_SIZE = 6, LIBRARY_BINARY_IS_PRESERVED = 1 };

typedef struct Header {
    uint32_t magic;
    uint16_t version, header_size;
    uint64_t size;
} Header;

typedef struct Entry {
    uint16_t kind, version;
    uint32_t header_size;
    uint64_t size;
    uint32_t packed_size, options;
    uint16_t minor, major;
    uint32_t architecture, name, name_size;
    uint64_t flags, reserved, unpacked_size;
} Entry;

typedef struct Container {
    Header header;
    Entry entry;
    char text[TEXT_MAX];
} Container;

typedef struct Wrapper {
    uint32_t magic, version;
    const void *container;
    const void *parts;
} Wrapper;

#define HEADER(n)                                                         \
    {                                                                     \
        .magic = 0xba55ed50, .version = 1, .header_size = 16, .size = (n) \
    }

static const Header nothing = HEADER(0);
static Container kernel, function;

static void read_part(const char *name, Container *ret)
{
    char path[4096];
    FILE *file;

    *ret = (Container){
        .header = HEADER(sizeof(*ret) - sizeof(Header)),
        .entry = {.kind = 1,
                  .version = 0x101,
                  .header_size = sizeof(Entry),
                  .size = TEXT_MAX,
                  .architecture = 75},
    };
    snprintf(path, sizeof(path), "%s/%s", libcuda_sources, name);
    file = fopen(path, "re");
    assert_non_null(file);
    assert_in_range(fread(ret->text, 1, TEXT_MAX, file), 100, TEXT_MAX - 1);
    fclose(file);
}

static void read_parts(void)
{
    read_part(KERNEL, &kernel);
    read_part(FUNCTION, &function);
}

static void run(CUfunction linked)
{
    uint32_t back[N], y = 7;
    CUdeviceptr a;
    void *each[] = {&a, &y};

    CALL(cuMemAlloc_v2(&a, sizeof(back)));
    CALL(cuLaunchKernel(linked, 1, 1, 1, N, 1, 1, 0, NULL, each, NULL));
    CALL(cuMemcpyDtoH_v2(back, a, sizeof(back)));
    for (uint32_t i = 0; i < N; i++)
        assert_int_equal(back[i], 2 * i + 7);
    CALL(cuMemFree_v2(a));
}

static void run_module(const Wrapper *wrapper)
{
    CUfunction linked;
    CUmodule module;

    CALL(cuModuleLoadData(&module, wrapper));
    CALL(cuModuleGetFunction(&linked, module, "linked"));
    run(linked);
    CALL(cuModuleUnload(module));
}

TEST(test_a_module_is_linked)
{
    const void *parts[] = {&kernel, &nothing, &function, NULL};
    const Wrapper wrapper = {0x466243b1, 2, &nothing, parts};

    libcuda_primary();
    read_parts();
    for (unsigned i = 0; i < 20; i++) /* a session has 16 linkers at most */
        run_module(&wrapper);
    CALL(cuDevicePrimaryCtxRelease_v2(0));
}

/* What the compiler has linked is taken; its parts are not looked at. */
TEST(test_a_module_that_is_linked)
{
    const void *parts[] = {"no container at all", NULL};
    const Wrapper wrapper = {0x466243b1, 2, &kernel, parts};

    libcuda_primary();
    read_parts();
    run_module(&wrapper);
    CALL(cuDevicePrimaryCtxRelease_v2(0));
}

static void run_kernel(CUkernel k)
{
    CUfunction linked;

    CALL(cuKernelGetFunction(&linked, k));
    run(linked);
}

/* In two contexts: it is linked once. */
static void run_library(CUlibrary library)
{
    CUcontext context;
    CUkernel k;

    CALL(cuLibraryGetKernel(&k, library, "linked"));
    run_kernel(k);
    CALL(cuCtxCreate_v2(&context, 0, 0));
    run_kernel(k);
    CALL(cuCtxDestroy_v2(context));
    CALL(cuLibraryUnload(library));
}

TEST(test_a_library_is_linked)
{
    const void *parts[] = {&function, &kernel, NULL};
    const Wrapper wrapper = {0x466243b1, 2, &nothing, parts};
    int option = LIBRARY_BINARY_IS_PRESERVED;
    void *yes[] = {(void *) 1};
    CUlibrary library;

    libcuda_primary();
    read_parts();
    CALL(cuLibraryLoadData(&library, &wrapper, NULL, NULL, 0, &option, yes, 1));
    run_library(library);

    /* Without the option the bytes may go. */
    CALL(cuLibraryLoadData(&library, &wrapper, NULL, NULL, 0, NULL, NULL, 0));
    memset(&kernel, 0, sizeof(kernel));
    memset(&function, 0, sizeof(function));
    parts[0] = NULL;
    run_library(library);
    CALL(cuDevicePrimaryCtxRelease_v2(0));
}

TEST(test_what_is_not_linked)
{
    static char error[LOG];
    int options[] = {JIT_ERROR_LOG, JIT_ERROR_LOG_SIZE};
    void *values[] = {error, (void *) (uintptr_t) LOG};
    const void *none[] = {NULL}, *half[] = {&kernel, NULL}, *bad[] = {&kernel, &error, NULL};
    Wrapper wrapper = {0x466243b1, 2, &nothing, NULL};
    CUlibrary library;
    CUmodule module;

    libcuda_primary();
    read_parts();
    CALL_FAILS(CUDA_ERROR_NO_BINARY_FOR_GPU, cuModuleLoadData(&module, &wrapper));
    wrapper.parts = none;
    CALL_FAILS(CUDA_ERROR_NO_BINARY_FOR_GPU, cuModuleLoadData(&module, &wrapper));
    wrapper.parts = bad;
    CALL_FAILS(CUDA_ERROR_INVALID_IMAGE, cuModuleLoadData(&module, &wrapper));
    CALL_FAILS(CUDA_ERROR_INVALID_IMAGE,
               cuLibraryLoadData(&library, &wrapper, NULL, NULL, 0, NULL, NULL, 0));
    wrapper.parts = half;
    assert_int_not_equal(cuModuleLoadDataEx(&module, &wrapper, 2, options, values), CUDA_SUCCESS);
    assert_non_null(strstr(error, "twice_and"));
    assert_int_equal((uintptr_t) values[1], strlen(error));
    /* A name stands there in a wrapper of version 1. */
    wrapper.version = 1;
    CALL_FAILS(CUDA_ERROR_NO_BINARY_FOR_GPU, cuModuleLoadData(&module, &wrapper));
    CALL(cuDevicePrimaryCtxRelease_v2(0));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_module_is_linked),
        cmocka_unit_test(test_a_module_that_is_linked),
        cmocka_unit_test(test_a_library_is_linked),
        cmocka_unit_test(test_what_is_not_linked),
    };

    return libcuda_test_main(argc, argv, tests);
}
