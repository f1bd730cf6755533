/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A program of the CUDA runtime, as a user would write it: several streams and threads, events, memory of three
 * kinds, errors. The fake driver knows its kernel too.
 */
#include <cuda_runtime.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <thread>

#define N (1 << 20)
#define THREADS 4

#define CALL(call)                                                                                   \
    do {                                                                                             \
        cudaError_t _r = (call);                                                                     \
        if (_r != cudaSuccess) {                                                                     \
            fprintf(stderr, "%s: %s\n", #call, cudaGetErrorString(_r));                              \
            exit(EXIT_FAILURE);                                                                      \
        }                                                                                            \
    } while (0)

/* result NAME GOT, which has to be WANTED */
static void result(const char *name, const char *got, const char *wanted)
{
    printf("result %s %s\n", name, got);
    if (strcmp(got, wanted) != 0) {
        fprintf(stderr, "%s is %s, not %s\n", name, got, wanted);
        exit(EXIT_FAILURE);
    }
}

static void result_number(const char *name, double got, double wanted)
{
    char texts[2][32];

    snprintf(texts[0], sizeof(texts[0]), "%.0f", got);
    snprintf(texts[1], sizeof(texts[1]), "%.0f", wanted);
    result(name, texts[0], texts[1]);
}

extern "C" __global__ void saxpy(uint32_t n, float a, const float *x, float *y)
{
    uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;

    if (i < n)
        y[i] = a * x[i] + y[i];
}

/* In each thread: pinned memory, a stream and an event of its own */
static void work(int number, double *ret)
{
    float *host, *x, *y;
    cudaStream_t stream;
    cudaEvent_t done;

    CALL(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    CALL(cudaEventCreateWithFlags(&done, cudaEventDisableTiming));
    CALL(cudaMallocHost(&host, N * sizeof(*host)));
    CALL(cudaMalloc(&x, N * sizeof(*x)));
    CALL(cudaMalloc(&y, N * sizeof(*y)));
    for (int i = 0; i < N; i++)
        host[i] = (float) (i % 1000);
    CALL(cudaMemcpyAsync(x, host, N * sizeof(*x), cudaMemcpyHostToDevice, stream));
    CALL(cudaMemsetAsync(y, 0, N * sizeof(*y), stream));
    for (int i = 0; i < 10; i++)
        saxpy<<<N / 256, 256, 0, stream>>>(N, (float) (number + 1), x, y);
    CALL(cudaGetLastError());
    CALL(cudaMemcpyAsync(host, y, N * sizeof(*y), cudaMemcpyDeviceToHost, stream));
    CALL(cudaEventRecord(done, stream));
    CALL(cudaEventSynchronize(done));
    *ret = 0;
    for (int i = 0; i < N; i++)
        *ret += host[i];
    CALL(cudaFree(x));
    CALL(cudaFree(y));
    CALL(cudaFreeHost(host));
    CALL(cudaEventDestroy(done));
    CALL(cudaStreamDestroy(stream));
}

int main(void)
{
    static const char *const names[THREADS] = {"thread-0", "thread-1", "thread-2", "thread-3"};
    std::thread threads[THREADS];
    double sums[THREADS], sum = 0;
    cudaDeviceProp properties;
    float *x, *y, *managed, msec;
    cudaEvent_t begin, end;
    int n;

    if (cudaGetDeviceCount(&n) != cudaSuccess || n == 0) {
        printf("skip no device\n");
        return 0;
    }
    CALL(cudaGetDeviceProperties(&properties, 0));
    printf("result device %s\n", properties.name);

    for (int i = 0; i < THREADS; i++)
        threads[i] = std::thread(work, i, &sums[i]);
    for (int i = 0; i < THREADS; i++)
        threads[i].join();
    for (int i = 0; i < N; i++)
        sum += i % 1000;
    for (int i = 0; i < THREADS; i++)
        result_number(names[i], sums[i], 10 * (i + 1) * sum);

    CALL(cudaMalloc(&x, N * sizeof(*x)));
    CALL(cudaMalloc(&y, N * sizeof(*y)));
    CALL(cudaMallocManaged(&managed, N * sizeof(*managed)));
    for (int i = 0; i < N; i++)
        managed[i] = 1;
    CALL(cudaMemcpy(x, managed, N * sizeof(*x), cudaMemcpyDefault));
    CALL(cudaMemset(y, 0, N * sizeof(*y)));
    CALL(cudaEventCreate(&begin));
    CALL(cudaEventCreate(&end));
    CALL(cudaEventRecord(begin));
    for (int i = 0; i < 1000; i++)
        saxpy<<<N / 256, 256>>>(N, 2, x, y);
    CALL(cudaEventRecord(end));
    CALL(cudaEventSynchronize(end));
    CALL(cudaEventElapsedTime(&msec, begin, end));
    printf("time launch-of-a-thousand %.3f\n", msec);
    saxpy<<<N / 256, 256>>>(N, 1, y, managed);
    CALL(cudaDeviceSynchronize());
    result_number("managed", managed[0], 2001);
    result_number("managed-end", managed[N - 1], 2001);

    saxpy<<<1, 2048>>>(1, 2, x, y); /* more threads than a block has */
    printf("result too-large %s\n", cudaGetErrorName(cudaGetLastError()));
    result("no-memory", cudaGetErrorName(cudaMalloc(&x, (size_t) 1 << 50)),
           "cudaErrorMemoryAllocation");
    (void) cudaGetLastError();
    CALL(cudaStreamSynchronize(NULL));
    CALL(cudaDeviceReset());
    return 0;
}
