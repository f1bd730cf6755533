/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The linker, and all that is in modules and libraries. */
#include <string.h>

#include "cuda-api-streams.h"
#include "test-libcuda.h"

#define N 64u
#define LOG 4096u
#define KERNELS "tests/fake-cuda/session-kernels.ptx"
#define LINK_KERNEL "tests/gpu/session-link-kernel.ptx"
#define LINK_FUNCTION "tests/gpu/session-link-function.ptx"

/* CUjitInputType, CUjit_option */
enum { LINK_PTX = 1, LINK_NVVM = 5 };
enum {
    JIT_WALL_TIME = 2,
    JIT_INFO_LOG = 3,
    JIT_INFO_LOG_SIZE = 4,
    JIT_ERROR_LOG = 5,
    JIT_ERROR_LOG_SIZE = 6,
    JIT_OPTIMIZATION_LEVEL = 7,
    JIT_GLOBAL_SYMBOL_COUNT = 19,
    JIT_SPLIT_COMPILE = 34,
};

static const char *path_of(const char *name)
{
    static char path[4096];

    snprintf(path, sizeof(path), "%s/%s", libcuda_sources, name);
    return path;
}

/* The text of a file, with its 0. @ret_size: without that */
static char *text_of(const char *name, size_t *ret_size)
{
    static char text[65536];
    FILE *file = fopen(path_of(name), "re");

    assert_non_null(file);
    *ret_size = fread(text, 1, sizeof(text) - 1, file);
    assert_in_range(*ret_size, 1, sizeof(text) - 2);
    text[*ret_size] = '\0';
    fclose(file);
    return text;
}

static void run_linked(CUmodule module)
{
    uint32_t back[N], y = 7;
    CUfunction function;
    CUdeviceptr a;
    void *each[] = {&a, &y};

    CALL(cuModuleGetFunction(&function, module, "linked"));
    CALL(cuMemAlloc_v2(&a, sizeof(back)));
    CALL(cuLaunchKernel(function, 1, 1, 1, N, 1, 1, 0, NULL, each, NULL));
    CALL(cuMemcpyDtoH_v2(back, a, sizeof(back)));
    for (uint32_t i = 0; i < N; i++)
        assert_int_equal(back[i], 2 * i + 7);
    CALL(cuMemFree_v2(a));
}

TEST(test_link)
{
    static char info[LOG], error[LOG];
    int options[] = {JIT_INFO_LOG,       JIT_INFO_LOG_SIZE,      JIT_ERROR_LOG,
                     JIT_ERROR_LOG_SIZE, JIT_OPTIMIZATION_LEVEL, JIT_WALL_TIME};
    void *values[] = {info, (void *) (uintptr_t) LOG, error, (void *) (uintptr_t) LOG, (void *) 3,
                      NULL};
    int level = JIT_OPTIMIZATION_LEVEL;
    void *own[] = {(void *) 2};
    void *cubin = NULL, *again, *copy;
    CUlinkState link;
    CUmodule module;
    size_t size, text_size;
    char *text;
    float msec;

    libcuda_primary();
    memset(info, 'x', sizeof(info));
    CALL(cuLinkCreate_v2(6, options, values, &link));
    CALL(cuLinkAddFile_v2(link, LINK_PTX, path_of(LINK_KERNEL), 0, NULL, NULL));
    text = text_of(LINK_FUNCTION, &text_size);
    CALL(cuLinkAddData_v2(link, LINK_PTX, text, text_size, "the function", 1, &level, own));
    CALL(cuLinkComplete(link, &cubin, &size));
    assert_true(size > 64 && memcmp(cubin, "\177ELF", 4) == 0);
    assert_int_equal((uintptr_t) values[1], strlen(info));
    assert_int_equal((uintptr_t) values[3], strlen(error));
    memcpy(&msec, &values[5], sizeof(msec));
    assert_true(msec > 0.0f && msec < 60000.0f);
    CALL(cuModuleLoadData(&module, cubin));
    run_linked(module);
    CALL(cuModuleUnload(module));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuLinkComplete(link, &again, NULL));

    /* It is an image as others are when the linker has gone. */
    copy = malloc(size);
    assert_non_null(copy);
    memcpy(copy, cubin, size);
    CALL(cuLinkDestroy(link));
    CALL_FAILS(CUDA_ERROR_INVALID_HANDLE, cuLinkDestroy(link));
    CALL(cuModuleLoadData(&module, copy));
    run_linked(module);
    CALL(cuModuleUnload(module));
    free(copy);
    CALL(cuDevicePrimaryCtxRelease_v2(0));
}

TEST(test_link_fails)
{
    static char error[LOG];
    int options[] = {JIT_ERROR_LOG, JIT_ERROR_LOG_SIZE}, none = JIT_GLOBAL_SYMBOL_COUNT;
    void *values[] = {error, (void *) (uintptr_t) LOG}, *count[] = {(void *) 1};
    CUlinkState link;
    CUcontext context;
    size_t size;
    void *cubin;
    char byte = 0;

    CALL(cuInit(0));
    CALL_FAILS(CUDA_ERROR_INVALID_CONTEXT, cuLinkCreate_v2(0, NULL, NULL, &link));
    libcuda_primary();
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuLinkCreate_v2(0, NULL, NULL, NULL));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuLinkCreate_v2(1, options, NULL, &link));
    CALL_FAILS(CUDA_ERROR_NOT_SUPPORTED, cuLinkCreate_v2(1, &none, count, &link));
    CALL(cuLinkCreate(2, options, values, &link));
    CALL_FAILS(CUDA_ERROR_FILE_NOT_FOUND,
               cuLinkAddFile(link, LINK_PTX, "/nonexistent", 0, NULL, NULL));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE,
               cuLinkAddData(link, LINK_NVVM, &byte, 1, NULL, 0, NULL, NULL));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE,
               cuLinkAddData_v2(link, LINK_PTX, NULL, 1, NULL, 0, NULL, NULL));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE,
               cuLinkAddData_v2(link, LINK_PTX, &byte, 0, NULL, 0, NULL, NULL));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE,
               cuLinkAddFile_v2(link, LINK_PTX, path_of(LINK_KERNEL), 2, options, values));
    CALL(cuLinkAddFile(link, LINK_PTX, path_of(LINK_KERNEL), 0, NULL, NULL));
    assert_int_not_equal(cuLinkComplete(link, &cubin, &size), CUDA_SUCCESS);
    assert_non_null(strstr(error, "twice_and"));
    assert_int_equal((uintptr_t) values[1], strlen(error));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuLinkComplete(link, NULL, &size));
    CALL(cuLinkDestroy(link));

    CALL(cuCtxCreate_v2(&context, 0, 0));
    CALL(cuLinkCreate_v2(0, NULL, NULL, &link));
    CALL(cuCtxDestroy_v2(context));
    CALL_FAILS(CUDA_ERROR_CONTEXT_IS_DESTROYED,
               cuLinkAddFile_v2(link, LINK_PTX, path_of(LINK_KERNEL), 0, NULL, NULL));
    CALL(cuLinkDestroy(link));
    CALL(cuDevicePrimaryCtxRelease_v2(0));
}

TEST(test_options_of_modules)
{
    char info[LOG];
    int options[] = {JIT_INFO_LOG, JIT_INFO_LOG_SIZE, JIT_WALL_TIME, JIT_SPLIT_COMPILE};
    void *values[] = {info, (void *) (uintptr_t) LOG, NULL, (void *) 4};
    int unknown = 77;
    size_t size;
    CUmodule module;
    float msec;

    libcuda_primary();
    memset(info, 'x', sizeof(info));
    CALL(cuModuleLoadDataEx(&module, text_of(KERNELS, &size), 4, options, values));
    assert_int_equal((uintptr_t) values[1], strlen(info));
    memcpy(&msec, &values[2], sizeof(msec));
    assert_true(msec > 0.0f && msec < 60000.0f);
    CALL(cuModuleUnload(module));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE,
               cuModuleLoadDataEx(&module, text_of(KERNELS, &size), 1, &unknown, values));
    CALL(cuDevicePrimaryCtxRelease_v2(0));
}

/* ---- What is in it -----------------------------------------------------------------------------
 */

static bool is_among(const char *name, CUfunction *functions, unsigned n)
{
    const char *other;

    for (unsigned i = 0; i < n; i++) {
        CALL(cuFuncGetName(&other, functions[i]));
        if (strcmp(other, name) == 0)
            return true;
    }
    return false;
}

TEST(test_functions_of_a_module)
{
    static const char *const names[] = {"saxpy", "fill", "print_number", "nothing"};
    CUfunction functions[32] = {NULL}, fill;
    CUmodule module, other;
    unsigned n = 0;
    size_t offset, size;
    int loaded;

    libcuda_primary();
    module = libcuda_load(KERNELS);
    CALL(cuModuleGetFunctionCount(&n, module));
    assert_in_range(n, 4, 31);
    CALL(cuModuleEnumerateFunctions(functions, n, module));
    for (unsigned i = 0; i < 4; i++)
        assert_true(is_among(names[i], functions, n));
    assert_null(functions[n]);
    CALL(cuModuleGetFunction(&fill, module, "fill"));
    CALL(cuFuncGetParamInfo(fill, 1, &offset, &size));
    assert_true(offset == 8 && size == 4);
    CALL(cuFuncGetParamInfo(fill, 2, &offset, NULL));
    assert_int_equal(offset, 16);
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuFuncGetParamInfo(fill, 3, &offset, &size));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuFuncGetParamInfo(fill, 0, NULL, &size));
    CALL(cuFuncLoad(fill));
    CALL(cuFuncIsLoaded(&loaded, fill));
    assert_int_equal(loaded, 1);
    CALL(cuFuncGetModule(&other, fill));
    assert_ptr_equal(other, module);

    functions[1] = NULL;
    CALL(cuModuleEnumerateFunctions(functions, 1, module));
    assert_null(functions[1]);
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuModuleGetFunctionCount(NULL, module));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuModuleEnumerateFunctions(NULL, 1, module));
    CALL(cuModuleUnload(module));
    CALL_FAILS(CUDA_ERROR_INVALID_HANDLE, cuModuleGetFunctionCount(&n, module));
    CALL_FAILS(CUDA_ERROR_INVALID_HANDLE, cuFuncLoad(fill));
    CALL(cuDevicePrimaryCtxRelease_v2(0));
}

TEST(test_kernels_of_a_library)
{
    CUkernel kernels[32] = {NULL}, fill;
    CUlibrary library, whose;
    const char *name;
    unsigned n = 0, n_fill = 0;
    size_t size;
    void *pointer;

    libcuda_primary();
    CALL(cuLibraryLoadData(&library, text_of(KERNELS, &size), NULL, NULL, 0, NULL, NULL, 0));
    CALL(cuLibraryGetKernel(&fill, library, "fill"));
    CALL(cuLibraryGetKernelCount(&n, library));
    assert_in_range(n, 4, 31);
    CALL(cuLibraryEnumerateKernels(kernels, n, library));
    for (unsigned i = 0; i < n; i++) {
        CALL(cuKernelGetName(&name, kernels[i]));
        CALL(cuKernelGetLibrary(&whose, kernels[i]));
        assert_ptr_equal(whose, library);
        if (strcmp(name, "fill") == 0) {
            assert_ptr_equal(kernels[i], fill);
            n_fill++;
        }
    }
    assert_int_equal(n_fill, 1);
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuLibraryGetKernelCount(NULL, library));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuLibraryEnumerateKernels(NULL, 1, library));
    CALL_FAILS(CUDA_ERROR_NOT_FOUND, cuLibraryGetUnifiedFunction(&pointer, library, "fill"));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuLibraryGetUnifiedFunction(NULL, library, "fill"));
    CALL(cuLibraryUnload(library));
    CALL_FAILS(CUDA_ERROR_INVALID_HANDLE, cuLibraryGetKernelCount(&n, library));
    CALL(cuDevicePrimaryCtxRelease_v2(0));
}

/* A program could not touch what is managed by a module: it has no address of it. */
TEST(test_managed_variables)
{
    static const char text[] = ".version 8.0\n.target sm_75\n.address_size 64\n"
                               ".visible .global .attribute(.managed) .align 4 .u32 counter = 5;\n"
                               ".visible .global .align 8 .b8 table[64];\n"
                               ".visible .entry fill()\n{\nret;\n}\n";
    CUdeviceptr address = 1;
    CUlibrary library;
    CUmodule module;
    size_t size = 1;

    libcuda_primary();
    CALL(cuModuleLoadData(&module, text));
    CALL_FAILS(CUDA_ERROR_INVALID_IMAGE, cuModuleGetGlobal_v2(&address, &size, module, "counter"));
    CALL(cuLibraryLoadData(&library, text, NULL, NULL, 0, NULL, NULL, 0));
    CALL_FAILS(CUDA_ERROR_INVALID_IMAGE, cuLibraryGetGlobal(&address, &size, library, "counter"));
    CALL_FAILS(CUDA_ERROR_INVALID_IMAGE, cuLibraryGetManaged(&address, &size, library, "counter"));
    CALL_FAILS(CUDA_ERROR_NOT_FOUND, cuLibraryGetManaged(&address, &size, library, "table"));
    CALL_FAILS(CUDA_ERROR_NOT_FOUND, cuLibraryGetManaged(&address, &size, library, "none"));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuLibraryGetManaged(NULL, NULL, library, "counter"));
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, cuLibraryGetManaged(&address, &size, library, NULL));
    assert_true(address == 1 && size == 1);
    CALL(cuLibraryGetGlobal(&address, &size, library, "table"));
    assert_int_equal(size, 64);
    CALL(cuModuleUnload(module));
    CALL(cuDevicePrimaryCtxRelease_v2(0));

    /* It is of no context. */
    CALL(cuCtxSetCurrent(NULL));
    CALL_FAILS(CUDA_ERROR_INVALID_IMAGE, cuLibraryGetManaged(&address, &size, library, "counter"));
    CALL(cuLibraryUnload(library));
    CALL_FAILS(CUDA_ERROR_INVALID_HANDLE, cuLibraryGetManaged(&address, &size, library, "counter"));
}

static unsigned n_told;

static void tell(void *userdata, CUfunction function, CUmodule module)
{
    const char *name;

    CALL(cuFuncGetName(&name, function));
    assert_ptr_equal(module, userdata);
    n_told++;
}

/* The table that cuFFT asks for: word 7 goes through a module's functions, and counts them. */
TEST(test_functions_by_a_table)
{
    static const CUuuid id = {{0x6e, 0x16, 0x3f, 0xbe, 0xb9, 0x58, 0x44, 0x4d, 0x83, 0x5c, 0xe1,
                               0x82, 0xaf, 0xf1, 0x99, 0x1e}};
    typedef void Told(void *userdata, CUfunction function, CUmodule module);
    uint64_t (*each)(CUcontext context, CUmodule module, Told * callback, void *userdata);
    const void *const *table;
    CUmodule module;
    unsigned n;

    CUcontext context = libcuda_primary();

    module = libcuda_load(KERNELS);
    CALL(cuGetExportTable((const void **) &table, &id));
    memcpy(&each, &table[7], sizeof(each));
    CALL(cuModuleGetFunctionCount(&n, module));
    assert_int_equal(each(context, module, tell, module), n);
    assert_int_equal(n_told, n);
    assert_int_equal(each(context, module, NULL, NULL), n);
    CALL(cuModuleUnload(module));
    CALL(cuDevicePrimaryCtxRelease_v2(0));
}

/* The table that cuBLAS asks for: word 51 shows what is behind a stream. */
TEST(test_streams_by_a_table)
{
    static const CUuuid id = {{0x21, 0x31, 0x8c, 0x60, 0x97, 0x14, 0x32, 0x48, 0x8c, 0xa6, 0x41,
                               0xff, 0x73, 0x24, 0xc8, 0xf2}};
    CUresult (*look)(CUcontext context, CUstream stream, const void **ret);
    const void *const *table, *legacy, *of_stream, *again;
    CUcontext context = libcuda_primary();
    CUstream stream;

    CALL(cuGetExportTable((const void **) &table, &id));
    memcpy(&look, &table[51], sizeof(look));
    CALL(cuStreamCreate(&stream, 0));
    CALL(look(context, NULL, &legacy));
    CALL(look(context, stream, &of_stream));
    CALL(look(context, stream, &again));
    assert_ptr_not_equal(legacy, of_stream);
    assert_ptr_equal(again, of_stream);
    CALL_FAILS(CUDA_ERROR_INVALID_VALUE, look(context, stream, NULL));
    CALL_FAILS(CUDA_ERROR_INVALID_HANDLE, look(context, (CUstream) (uintptr_t) -1, &again));
    CALL(cuStreamDestroy_v2(stream));
    CALL(cuDevicePrimaryCtxRelease_v2(0));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_link_fails),           cmocka_unit_test(test_link),
        cmocka_unit_test(test_options_of_modules),   cmocka_unit_test(test_functions_of_a_module),
        cmocka_unit_test(test_kernels_of_a_library), cmocka_unit_test(test_functions_by_a_table),
        cmocka_unit_test(test_streams_by_a_table),   cmocka_unit_test(test_managed_variables),
    };

    return libcuda_test_main(argc, argv, tests);
}
