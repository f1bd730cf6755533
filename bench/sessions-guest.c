/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The same through a session, by the mediator's socket */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "cuda-client.h"
#include "measure.h"
#include "sessions.h"

#define GUEST_CONTEXT 1u

uint64_t session_window_size;
unsigned session_copy_threads;

static const vgpu_session_from guest_from = {.context = GUEST_CONTEXT};

static struct {
    vgpu_session *session;
    vgpu_session_fence *fence;
    uint32_t stream, function, replay;
    uint64_t memory;
    void *pinned;
    void *pageable;
} guest;

static void must(int result, const char *what)
{
    if (result == 0)
        return;
    fprintf(stderr, "session: %s: %d (failure %d, sticky %d)\n", what, result,
            guest.session ? vgpu_session_get_failure(guest.session) : 0,
            guest.session ? vgpu_session_get_sticky(guest.session) : 0);
    exit(EXIT_FAILURE);
}

static void guest_begin(void)
{
    const vgpu_session_options options = {
        .window_size = session_window_size,
        .copy_threads = session_copy_threads,
    };
    const VGPUSessionContext context = {.id = GUEST_CONTEXT, .primary = 1};
    int cuda = 0, r;

    r = vgpu_session_open(&options, &guest.session, &cuda);
    if (r != 0) {
        fprintf(stderr, "no session: %d, CUDA error %d\n", r, cuda);
        exit(cuda == VGPU_CUDA_ERROR_NO_DEVICE ? 77 : EXIT_FAILURE);
    }
    must(vgpu_session_call(guest.session, VGPU_SESSION_OP_CONTEXT_CREATE, NULL, &context,
                           sizeof(context), NULL, 0, NULL),
         "CONTEXT_CREATE");
}

static void guest_launch(void)
{
    struct {
        VGPUSessionLaunch launch;
        uint64_t memory;
        uint32_t n;
        uint32_t pad;
    } * p;
    void *place;

    must(vgpu_session_begin(guest.session, VGPU_SESSION_OP_LAUNCH, &guest_from, sizeof(*p), &place),
         "LAUNCH");
    p = place;
    p->launch = (VGPUSessionLaunch){
        .function = guest.function,
        .stream = guest.stream,
        .grid = {1, 1, 1},
        .block = {32, 1, 1},
        .parameters_size = 12,
    };
    p->memory = guest.memory;
    p->n = 1;
    p->pad = 0;
    vgpu_session_commit(guest.session);
}

static void guest_wait(void)
{
    uint64_t number;

    must(vgpu_session_fence_post(guest.session, &guest_from, guest.stream, guest.fence, &number),
         "FENCE");
    must(vgpu_session_fence_wait(guest.session, &guest_from, guest.stream, guest.fence, number),
         "FENCE");
    must(vgpu_session_get_latched(guest.session), "an operation before");
}

static void guest_copy(uint64_t to, uint64_t from, uint64_t size)
{
    const VGPUSessionCopy copy = {.to = to, .from = from, .size = size, .stream = guest.stream};

    must(vgpu_session_post(guest.session, VGPU_SESSION_OP_COPY, &guest_from, &copy, sizeof(copy),
                           NULL, 0),
         "COPY");
    guest_wait();
}

static void guest_graph(uint16_t opcode, const char *what, uint32_t graph)
{
    const VGPUSessionGraph p = {.graph = graph, .exec = guest.replay, .stream = guest.stream};

    must(vgpu_session_call(guest.session, opcode, &guest_from, &p, sizeof(p), NULL, 0, NULL), what);
}

static void guest_record_replay(void)
{
    uint32_t graph;

    must(vgpu_session_id_take(guest.session, VGPU_SESSION_GRAPHS, &graph), "a number");
    must(vgpu_session_id_take(guest.session, VGPU_SESSION_EXECS, &guest.replay), "a number");
    guest_graph(VGPU_SESSION_OP_CAPTURE_BEGIN, "CAPTURE_BEGIN", graph);
    for (unsigned i = 0; i < 3; i++)
        guest_launch();
    guest_graph(VGPU_SESSION_OP_CAPTURE_END, "CAPTURE_END", graph);
    guest_graph(VGPU_SESSION_OP_GRAPH_INSTANTIATE, "GRAPH_INSTANTIATE", graph);
}

static void guest_prepare(void)
{
    VGPUSessionFunction *function = NULL;
    VGPUSessionCreate create;
    uint32_t module;

    if (guest.fence)
        return;
    must(vgpu_session_fence_new(guest.session, &guest.fence), "a fence");
    must(vgpu_session_id_take(guest.session, VGPU_SESSION_STREAMS, &guest.stream), "a number");
    create = (VGPUSessionCreate){.id = guest.stream, .flags = 1}; /* CU_STREAM_NON_BLOCKING */
    must(vgpu_session_post(guest.session, VGPU_SESSION_OP_STREAM_CREATE, &guest_from, &create,
                           sizeof(create), NULL, 0),
         "STREAM_CREATE");
    must(vgpu_session_module_load(guest.session, &guest_from, BENCH_KERNEL, sizeof(BENCH_KERNEL),
                                  NULL, NULL, &module),
         "MODULE_LOAD");
    must(vgpu_session_function_get(guest.session, &guest_from, module, "nothing", &guest.function,
                                   &function),
         "FUNCTION_GET");
    free(function);
    must(vgpu_session_memory_alloc(guest.session, &guest_from, BENCH_BYTES, &guest.memory),
         "MEMORY_ALLOC");
    must(vgpu_session_window_alloc(guest.session, BENCH_BYTES, 4096, &guest.pinned),
         "window memory");
    guest.pageable = malloc(BENCH_BYTES);
    if (!guest.pageable)
        die("memory");
    memset(guest.pinned, 1, BENCH_BYTES);
    memset(guest.pageable, 1, BENCH_BYTES);
    guest_record_replay();
}

static void guest_replay(void)
{
    const VGPUSessionGraph p = {.exec = guest.replay, .stream = guest.stream};

    must(vgpu_session_post(guest.session, VGPU_SESSION_OP_GRAPH_LAUNCH, &guest_from, &p, sizeof(p),
                           NULL, 0),
         "GRAPH_LAUNCH");
}

static double guest_rate(double begin)
{
    return (double) BENCH_BYTES / (now_sec() - begin) / 1e9;
}

static void guest_upload(size_t size)
{
    must(vgpu_session_upload(guest.session, &guest_from, guest.stream, guest.memory, guest.pageable,
                             size),
         "upload");
}

static void guest_download(size_t size)
{
    must(vgpu_session_download(guest.session, &guest_from, guest.stream, guest.pageable,
                               guest.memory, size),
         "download");
}

static void *guest_own(void)
{
    void *own =
        mmap(NULL, BENCH_REGISTERED, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (own == MAP_FAILED)
        die("memory");
    memset(own, 1, BENCH_REGISTERED);
    return own;
}

/* Seconds of what is asked: to register and to give up, or a copy between the two */
static double guest_registered(Figure f)
{
    void *own = guest_own(), *window;
    double begin = now_sec(), copied;

    must(vgpu_session_host_register(guest.session, own, BENCH_REGISTERED, &window), "register");
    copied = now_sec();
    if (f == FIGURE_REGISTERED_UP)
        guest_copy(guest.memory, (uintptr_t) window, BENCH_REGISTERED);
    else if (f == FIGURE_REGISTERED_DOWN)
        guest_copy((uintptr_t) window, guest.memory, BENCH_REGISTERED);
    copied = now_sec() - copied;
    must(vgpu_session_host_unregister(guest.session, own), "unregister");
    begin = now_sec() - begin;
    munmap(own, BENCH_REGISTERED);
    return f == FIGURE_REGISTER ? begin : copied;
}

static double guest_figure(Figure f)
{
    double begin, end;

    guest_prepare();
    guest_launch();
    guest_wait();
    begin = now_sec();
    switch (f) {
    case FIGURE_LAUNCH_CALL:
        for (unsigned i = 0; i < BENCH_BURST; i++)
            guest_launch();
        end = now_sec();
        guest_wait();
        return (end - begin) * 1e9 / BENCH_BURST;
    case FIGURE_LAUNCH_RATE:
        for (unsigned i = 0; i < BENCH_ROW; i++)
            guest_launch();
        guest_wait();
        return BENCH_ROW / (now_sec() - begin) / 1e3;
    case FIGURE_LAUNCH_WAIT:
        for (unsigned i = 0; i < BENCH_WAITS; i++) {
            guest_launch();
            guest_wait();
        }
        return (now_sec() - begin) * 1e6 / BENCH_WAITS;
    case FIGURE_PINNED_UP:
        guest_copy(guest.memory, (uintptr_t) guest.pinned, BENCH_BYTES);
        return guest_rate(begin);
    case FIGURE_PINNED_DOWN:
        guest_copy((uintptr_t) guest.pinned, guest.memory, BENCH_BYTES);
        return guest_rate(begin);
    case FIGURE_PAGEABLE_UP:
        guest_upload(BENCH_BYTES);
        return guest_rate(begin);
    case FIGURE_PAGEABLE_DOWN:
        guest_download(BENCH_BYTES);
        return guest_rate(begin);
    case FIGURE_REGISTER:
        return guest_registered(f) * 1e3;
    case FIGURE_REGISTERED_UP:
    case FIGURE_REGISTERED_DOWN:
        return (double) BENCH_REGISTERED / guest_registered(f) / 1e9;
    case FIGURE_SMALL_UP:
        for (unsigned i = 0; i < BENCH_WAITS; i++)
            guest_upload(BENCH_SMALL);
        return (now_sec() - begin) * 1e6 / BENCH_WAITS;
    case FIGURE_SMALL_DOWN:
        for (unsigned i = 0; i < BENCH_WAITS; i++)
            guest_download(BENCH_SMALL);
        return (now_sec() - begin) * 1e6 / BENCH_WAITS;
    case FIGURE_REPLAY_RATE:
        for (unsigned i = 0; i < BENCH_REPLAYS; i++)
            guest_replay();
        guest_wait();
        return BENCH_REPLAYS / (now_sec() - begin) / 1e3;
    case N_FIGURES:
        break;
    }
    abort();
}

const Way way_session = {.name = "session", .begin = guest_begin, .figure = guest_figure};
