/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * installed-program MODULE - a program of the driver API, for tests of the package: it is linked
 * against libcuda.so.1, and finds it as the machine is set up. Prints which it has, the device, and
 * whether all sums were right.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#include "cuda-api.h"

#define N 100000u
#define THREADS 256u

/* For main(): the call, or the end */
#define CALL(call)                                                        \
    do {                                                                  \
        CUresult result_ = (call);                                        \
                                                                          \
        if (result_ != CUDA_SUCCESS) {                                    \
            fprintf(stderr, "%s: CUDA error %d\n", #call, (int) result_); \
            return EXIT_FAILURE;                                          \
        }                                                                 \
    } while (0)

static void print_library(void)
{
    Dl_info info;

    if (dladdr((void *) cuInit, &info))
        printf("library: %s\n", info.dli_fname);
}

static unsigned count_wrong(const float *y)
{
    unsigned wrong = 0;

    for (unsigned i = 0; i < N; i++)
        wrong += y[i] != 2 * (float) i + 1;
    return wrong;
}

int main(int argc, char **argv)
{
    static float x[N], y[N];
    uint32_t n = N;
    float a = 2;
    CUdeviceptr on_device_x, on_device_y;
    void *parameters[] = {&n, &a, &on_device_x, &on_device_y};
    CUfunction saxpy;
    CUcontext context;
    CUmodule module;
    char name[256];
    unsigned wrong;

    if (argc != 2)
        return EXIT_FAILURE;
    print_library();
    for (unsigned i = 0; i < N; i++) {
        x[i] = (float) i;
        y[i] = 1;
    }

    CALL(cuInit(0));
    CALL(cuDeviceGetName(name, (int) sizeof(name), 0));
    printf("device: %s\n", name);
    CALL(cuDevicePrimaryCtxRetain(&context, 0));
    CALL(cuCtxSetCurrent(context));
    CALL(cuModuleLoad(&module, argv[1]));
    CALL(cuModuleGetFunction(&saxpy, module, "saxpy"));
    CALL(cuMemAlloc_v2(&on_device_x, sizeof(x)));
    CALL(cuMemAlloc_v2(&on_device_y, sizeof(y)));
    CALL(cuMemcpyHtoD_v2(on_device_x, x, sizeof(x)));
    CALL(cuMemcpyHtoD_v2(on_device_y, y, sizeof(y)));
    CALL(cuLaunchKernel(saxpy, (N + THREADS - 1) / THREADS, 1, 1, THREADS, 1, 1, 0, NULL,
                        parameters, NULL));
    CALL(cuMemcpyDtoH_v2(y, on_device_y, sizeof(y)));
    wrong = count_wrong(y);
    printf("sums: %u of %u wrong\n", wrong, N);
    return wrong ? EXIT_FAILURE : EXIT_SUCCESS;
}
