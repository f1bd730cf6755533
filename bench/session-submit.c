/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * session-submit - what a launch costs the guest's thread that makes it
 *
 * One thread writes launches of a kernel with four parameters into a session's ring, and the
 * executor of the tests, another thread, takes each and does nothing with it. Printed is the time
 * in the caller for one launch, the median of many batches, for one thread and for several; and the
 * round trip of an operation with a reply. There is no native twin: the GPU's own cost of a launch
 * is measured where there is one.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "clock.h"
#include "cuda-client.h"
#include "measure.h"
#include "test-guest-session-fake.h"

#define BATCH 1000u
#define BATCHES 1001u
#define CALLS 20001u
#define THREADS 4u

typedef struct parameters {
    uint64_t x, y;
    float a;
    uint32_t n;
} parameters;

typedef struct caller {
    pthread_t thread;
    vgpu_session *s;
    double wall[BATCHES], cpu[BATCHES]; /* ns for one launch */
} caller;

static void launch(vgpu_session *s, uint32_t i)
{
    const vgpu_session_from from = {.context = 1};
    VGPUSessionLaunch *l;
    void *p;

    if (vgpu_session_begin(s, VGPU_SESSION_OP_LAUNCH, &from, sizeof(*l) + sizeof(parameters), &p) !=
        0)
        die("launch");
    l = p;
    *l = (VGPUSessionLaunch){
        .function = 1,
        .grid = {i, 1, 1},
        .block = {256, 1, 1},
        .parameters_size = sizeof(parameters),
    };
    *(parameters *) (l + 1) = (parameters){FAKE_MEMORY, FAKE_MEMORY + 4096, 2, i};
    vgpu_session_commit(s);
}

static void *call(void *userdata)
{
    caller *c = userdata;

    for (uint32_t b = 0; b < BATCHES; b++) {
        uint64_t wall = now_nsec(), cpu = clock_nsec(CLOCK_THREAD_CPUTIME_ID);

        for (uint32_t i = 0; i < BATCH; i++)
            launch(c->s, i);
        c->cpu[b] = (double) (clock_nsec(CLOCK_THREAD_CPUTIME_ID) - cpu) / BATCH;
        c->wall[b] = (double) (now_nsec() - wall) / BATCH;
    }
    return NULL;
}

static void measure_threads(vgpu_session *s, uint32_t n)
{
    static caller callers[THREADS];
    double cpu = 0;

    for (uint32_t i = 0; i < n; i++) {
        callers[i].s = s;
        if (pthread_create(&callers[i].thread, NULL, call, &callers[i]) != 0)
            die("thread");
    }
    for (uint32_t i = 0; i < n; i++) {
        pthread_join(callers[i].thread, NULL);
        cpu += median(callers[i].cpu, BATCHES) / n;
    }
    printf("launch, %u thread%s: %.0f ns (%.0f ns of processor time)\n", n, n == 1 ? "" : "s",
           median(callers[0].wall, BATCHES), cpu);
}

static void measure_calls(vgpu_session *s)
{
    static double usec[CALLS];
    const VGPUSessionNone none = {0};

    for (uint32_t i = 0; i < CALLS; i++) {
        uint64_t before = now_nsec();

        if (vgpu_session_call(s, VGPU_SESSION_OP_NOP, NULL, &none, sizeof(none), NULL, 0, NULL) !=
            0)
            die("call");
        usec[i] = (double) (now_nsec() - before) / 1000;
    }
    printf("round trip: %.2f us\n", median(usec, CALLS));
}

int main(void)
{
    static fake_session fake;
    vgpu_session_options o = {.window_size = UINT64_C(64) << 20};
    vgpu_session *s;

    fake.busy = true;
    fake_session_start(&fake);
    o.socket = fake.path;
    if (vgpu_session_open(&o, &s, NULL) != 0)
        die("session");
    measure_threads(s, 1);
    measure_threads(s, THREADS);
    measure_calls(s);
    vgpu_session_close(s);
    fake_session_stop(&fake);
    return EXIT_SUCCESS;
}
