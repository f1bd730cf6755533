/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The scalar addition on the GPU: bare, in every way in which the executor could do it, and
 * through the executor.
 *
 * The floor is the plainest use of the driver API: copy in, kernel, copy out, one stream,
 * wait. The other rows show why backend-cuda.c and cuda-completion.c are as they are. They
 * differ in whether the kernel works in mapped host memory instead, and in how its end
 * becomes known: by waiting in the driver (which spins, or blocks in one stream and sees
 * nothing else), by a callback that wakes epoll, by a word that the stream writes behind the
 * kernel, or by what the kernel itself writes last.
 *
 * The executor is measured asleep, where it and its client wake each other for each message, and
 * awake, as with BusyPollUSec=50 and a client that looks. A message that is nothing to do is the
 * round trip beside it.
 *
 * Usage: cuda-floor [EXECUTOR]   or VGPU_EXECUTOR; exit status 77: no GPU, no kernels
 */
#include "clock.h"
#include "cuda-driver.h"
#include "kernels-image.h"
#include "test-executor-client.h"

#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define N_WARM_UP 2000u
#define N_MEASURED 20000u
#define N_ROUNDS 3u
#define EXIT_SKIP 77
#define BUSY_POLL_USEC 50u
#define WORD 32u /* in words of host */

typedef struct Bench {
    CudaDriver driver;
    /* cuLaunchHostFunc, which the executor does not use */
    CUresult (*launch_host_func)(CUstream stream, void (*function)(void *), void *user_data);
    CUresult (*write_value)(CUstream stream, CUdeviceptr address, uint32_t value, unsigned flags);

    CUfunction add;
    CUstream stream;
    uint32_t *host; /* a, b, c in the first three words, the time in the fifth */
    CUdeviceptr mapped, device;
    int event_fd, epoll_fd;
} Bench;

static void check(const Bench *b, CUresult result, const char *what)
{
    if (result == CUDA_SUCCESS)
        return;

    printf("%s: %s (%d)\n", what, cuda_driver_error_name(&b->driver, result), result);
    exit(EXIT_SKIP);
}

static void open_bench(Bench *b, unsigned schedule)
{
    const struct epoll_event event = {.events = EPOLLIN | EPOLLET};
    char reason[256];
    CUcontext context;
    CUmodule module;
    CUdevice device;
    void *host;

    if (cuda_driver_open(&b->driver, reason, sizeof(reason)) < 0) {
        puts(reason);
        exit(EXIT_SKIP);
    }
    *(void **) &b->launch_host_func = dlsym(b->driver.shared_object, "cuLaunchHostFunc");
    *(void **) &b->write_value = dlsym(b->driver.shared_object, "cuStreamWriteValue32_v2");
    if (!b->launch_host_func || !b->write_value) {
        puts("the driver is too old");
        exit(EXIT_SKIP);
    }

    check(b, b->driver.init(0), "cuInit");
    check(b, b->driver.device_get(&device, 0), "device");
    check(b, b->driver.primary_ctx_set_flags(device, schedule), "flags");
    check(b, b->driver.primary_ctx_retain(&context, device), "context");
    check(b, b->driver.ctx_set_current(context), "context");
    check(b, b->driver.module_load_data(&module, kernels_image), "kernels");
    check(b, b->driver.module_get_function(&b->add, module, "vgpu_vector_add_int32"), "kernel");
    check(b, b->driver.stream_create_with_priority(&b->stream, CU_STREAM_NON_BLOCKING, 0),
          "stream");
    check(b, b->driver.mem_host_alloc(&host, 4096, CU_MEMHOSTALLOC_DEVICEMAP), "memory");
    check(b, b->driver.mem_host_get_device_pointer(&b->mapped, host, 0), "memory");
    check(b, b->driver.mem_alloc(&b->device, 4096), "memory");
    b->host = host;

    b->event_fd = eventfd(0, EFD_CLOEXEC);
    b->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_ctl(b->epoll_fd, EPOLL_CTL_ADD, b->event_fd, (struct epoll_event *) &event) < 0)
        abort();
}

/* ---- The ways -------------------------------------------------------------------- */

static void launch(Bench *b, CUdeviceptr base)
{
    CUdeviceptr va = base, vb = base + 4, vc = base + 8, ns = base + 16;
    uint32_t n = 1;
    void *params[] = {&va, &vb, &vc, &n, &ns};

    check(b, b->driver.launch_kernel(b->add, 1, 1, 1, 128, 1, 1, 0, b->stream, params, NULL),
          "launch");
}

static void compute_copied(Bench *b)
{
    check(b, b->driver.memcpy_h_to_d_async(b->device, b->host, 8, b->stream), "copy");
    launch(b, b->device);
    check(b, b->driver.memcpy_d_to_h_async(b->host + 2, b->device + 8, 4, b->stream), "copy");
}

static void compute_mapped(Bench *b)
{
    launch(b, b->mapped);
}

static void compute_reported(Bench *b)
{
    b->host[4] = b->host[5] = 0;
    launch(b, b->mapped);
}

static void wait_for_report(Bench *b)
{
    while (__atomic_load_n((uint64_t *) (b->host + 4), __ATOMIC_ACQUIRE) == 0)
        ;
}

static void wait_for_word(Bench *b)
{
    static uint32_t number;

    number++;
    check(b, b->write_value(b->stream, b->mapped + WORD * sizeof(uint32_t), number, 0), "word");
    while (__atomic_load_n(b->host + WORD, __ATOMIC_ACQUIRE) != number)
        ;
}

static void wait_in_driver(Bench *b)
{
    check(b, b->driver.stream_synchronize(b->stream), "synchronize");
}

static void wait_in_epoll(const Bench *b)
{
    struct epoll_event event;

    while (epoll_wait(b->epoll_fd, &event, 1, -1) != 1)
        ;
}

static void host_func(void *user_data)
{
    eventfd_write(*(int *) user_data, 1);
}

static void wait_for_host_func(Bench *b)
{
    check(b, b->launch_host_func(b->stream, host_func, &b->event_fd), "host function");
    wait_in_epoll(b);
}

static void stream_callback(CUstream stream, CUresult status, void *user_data)
{
    (void) stream;
    (void) status;
    eventfd_write(*(int *) user_data, 1);
}

static void wait_for_callback(Bench *b)
{
    check(b, b->driver.stream_add_callback(b->stream, stream_callback, &b->event_fd, 0),
          "callback");
    wait_in_epoll(b);
}

/* ---- Measuring --------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *) a, y = *(const uint64_t *) b;

    return (x > y) - (x < y);
}

/* Prints a row; returns the median in microseconds. */
static double report(const char *name, uint64_t ns[], size_t n)
{
    double median, p99;

    qsort(ns, n, sizeof(ns[0]), compare);
    median = (double) ns[n / 2] / 1000;
    p99 = (double) ns[n * 99 / 100] / 1000;
    printf("%-58s %9.2f %9.2f\n", name, median, p99);
    fflush(stdout);
    return median;
}

static double measure(Bench *b, const char *name, void (*compute)(Bench *), void (*wait)(Bench *))
{
    static uint64_t ns[N_MEASURED];

    for (unsigned i = 0; i < N_WARM_UP + N_MEASURED; i++) {
        uint64_t start = now_nsec();

        b->host[0] = i;
        b->host[1] = 2 * i;
        compute(b);
        wait(b);
        if (b->host[2] != 3 * i) {
            printf("%s: wrong sum\n", name);
            exit(1);
        }
        if (i >= N_WARM_UP)
            ns[i - N_WARM_UP] = now_nsec() - start;
    }

    return report(name, ns, N_MEASURED);
}

/* Runs in a process of its own, since a context's way of waiting is chosen once. */
static void measure_ways(unsigned schedule, double *ret_floor)
{
    Bench b = {0};

    open_bench(&b, schedule);
    if (schedule == CU_CTX_SCHED_SPIN) {
        *ret_floor = measure(&b, "copy-kernel-copy, wait spinning (the floor)", compute_copied,
                             wait_in_driver);
        measure(&b, "mapped, wait spinning", compute_mapped, wait_in_driver);
        measure(&b, "copy-kernel-copy, a word", compute_copied, wait_for_word);
        measure(&b, "mapped, a word", compute_mapped, wait_for_word);
        measure(&b, "mapped, the kernel's report", compute_reported, wait_for_report);
    } else {
        measure(&b, "copy-kernel-copy, wait blocking", compute_copied, wait_in_driver);
        measure(&b, "mapped, wait blocking", compute_mapped, wait_in_driver);
    }
    measure(&b, "copy-kernel-copy, host function, epoll", compute_copied, wait_for_host_func);
    measure(&b, "mapped, host function, epoll", compute_mapped, wait_for_host_func);
    measure(&b, "copy-kernel-copy, stream callback, epoll", compute_copied, wait_for_callback);
    measure(&b, "mapped, stream callback, epoll", compute_mapped, wait_for_callback);
}

static void in_child(unsigned schedule, double *ret_floor)
{
    int status;
    pid_t pid;

    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        measure_ways(schedule, ret_floor);
        exit(0);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
        exit(1);
    if (WEXITSTATUS(status) != 0)
        exit(WEXITSTATUS(status));
}

/* ---- The executor --------------------------------------------------------------------- */

static Client *open_executor(const char *executor, const char *backend, unsigned slots, bool awake)
{
    const ClientOptions o = {
        .executor = executor,
        .backend = backend,
        .slots = slots,
        .busy_poll_usec = awake ? BUSY_POLL_USEC : 0,
    };
    Client *c = client_start(&o);

    client_hello(c);
    return c;
}

static void close_executor(Client *c)
{
    client_hang_up(c);
    if (client_end(c, NULL) != EXECUTOR_EXIT_OK) {
        puts("the executor failed");
        exit(1);
    }
}

static void receive_sum(Client *c)
{
    ClientResponse r;
    uint32_t sum;

    if (!client_receive(c, &r) || r.header.status != VGPU_ERROR_NONE) {
        puts("the executor failed a request");
        exit(1);
    }
    memcpy(&sum, r.bytes + sizeof(r.header), sizeof(sum));
    if (sum != 3 * (uint32_t) r.tag) {
        puts("the executor gave a wrong sum");
        exit(1);
    }
}

static void receive_nothing(Client *c)
{
    ClientResponse r;

    if (!client_receive(c, &r) || r.header.status != VGPU_ERROR_NONE) {
        puts("the executor failed a request");
        exit(1);
    }
}

static double executor_latency(const char *executor, const char *backend, bool awake, bool adds)
{
    static uint64_t ns[N_MEASURED];
    Client *c = open_executor(executor, backend, 4, awake);
    unsigned char m[2048];
    char name[64];

    for (uint32_t i = 0; i < N_WARM_UP + N_MEASURED; i++) {
        uint64_t start = now_nsec();

        client_send(c, m,
                    adds ? message_scalar(m, i, VGPU_PRIORITY_MEDIUM, i, 2 * i)
                         : message_plain(m, i, VGPU_OP_NOP));
        while (awake && !client_has_input(c))
            ;
        if (adds)
            receive_sum(c);
        else
            receive_nothing(c);
        if (i >= N_WARM_UP)
            ns[i - N_WARM_UP] = now_nsec() - start;
    }

    close_executor(c);
    snprintf(name, sizeof(name), "executor, %s, %s, one %s at a time", backend,
             awake ? "awake" : "asleep", adds ? "request" : "nothing");
    return report(name, ns, N_MEASURED);
}

/* Returns requests a second, with @window of them outstanding. */
static double executor_throughput(const char *executor, const char *backend, unsigned window,
                                  bool awake)
{
    const uint32_t n = 20000 + 5000 * window;
    Client *c = open_executor(executor, backend, window, awake);
    unsigned char m[64 * 128];
    uint32_t sent = 0, received = 0;
    uint64_t start = now_nsec();

    while (received < n) {
        size_t size = 0;

        for (; sent < n && sent - received < window; sent++)
            size += message_scalar(m + size, sent, sent % VGPU_N_PRIORITIES, sent, 2 * sent);
        client_send(c, m, size);
        do {
            receive_sum(c);
            received++;
        } while (client_has_input(c));
    }

    close_executor(c);
    return n / ((double) (now_nsec() - start) / 1e9);
}

/* The best round's medians */
typedef struct Executor {
    double add, nothing;
} Executor;

static double smaller(double a, double b)
{
    return a < b ? a : b;
}

static Executor bench_executor(const char *executor, const char *backend, bool awake)
{
    static const unsigned windows[] = {1, 4, 16, 64};
    Executor best = {INFINITY, INFINITY};

    for (unsigned r = 0; r < N_ROUNDS; r++) {
        best.add = smaller(best.add, executor_latency(executor, backend, awake, true));
        best.nothing = smaller(best.nothing, executor_latency(executor, backend, awake, false));
    }
    for (unsigned i = 0; i < 4; i++)
        printf("executor, %s, %s, %2u in flight: %26.0f requests/s\n", backend,
               awake ? "awake" : "asleep", windows[i],
               executor_throughput(executor, backend, windows[i], awake));

    return best;
}

static void print_ratio(const char *name, const Executor *e, double floor_us)
{
    printf("%s: executor %.2f, floor %.2f, round trip %.2f, over floor %.2f; of 1.3 x floor and a "
           "round trip %.2f (aim <= 1)\n",
           name, e->add, floor_us, e->nothing, e->add / floor_us,
           e->add / (1.3 * floor_us + e->nothing));
}

int main(int argc, char *argv[])
{
    const char *executor = argc > 1 ? argv[1] : getenv("VGPU_EXECUTOR");
    double *floor_us =
        mmap(NULL, sizeof(*floor_us), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    Executor asleep, awake;

    if (!executor || floor_us == MAP_FAILED) {
        fprintf(stderr, "which executor?\n");
        return 2;
    }
    if (kernels_image_size == 0) {
        puts("skipped: this build has no CUDA kernels");
        return EXIT_SKIP;
    }

    printf("%-58s %9s %9s\n", "µs for one scalar addition", "median", "p99");
    in_child(CU_CTX_SCHED_SPIN, floor_us);
    in_child(CU_CTX_SCHED_BLOCKING_SYNC, floor_us);
    asleep = bench_executor(executor, "cuda", false);
    awake = bench_executor(executor, "cuda", true);
    bench_executor(executor, "cpu", false);
    print_ratio("asleep", &asleep, *floor_us);
    print_ratio("awake", &awake, *floor_us);
    return 0;
}
