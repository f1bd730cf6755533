/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "example.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONTEXT 1 /* the program chooses the numbers of its objects */
#define STREAM 0  /* the context's default stream */
#define LOG_SIZE 16384

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    exit(EXIT_FAILURE);
}

/* The functions of a session return a CUresult. */
static void check(const char *what, int result)
{
    const char *name = vgpu_cuda_result_name(result);
    char why[64];

    if (result == VGPU_CUDA_SUCCESS)
        return;
    snprintf(why, sizeof(why), "CUDA error %d, %s", result, name ? name : "unnamed");
    fail(what, why);
}

/* ---- A session ---------------------------------------------------------------- */

/* vgpu_session_open() alone has three kinds of results. */
static void open_session(example *e)
{
    int cuda = 0, r = vgpu_session_open(NULL, &e->session, &cuda);

    if (r == VGPU_ERROR_CUDA_ERROR)
        check("cannot open a CUDA session", cuda); /* the host's GPU, or its driver */
    if (r > 0)
        fail("cannot open a CUDA session", vgpu_strerror(r)); /* the mediator */
    if (r < 0)
        fail("cannot open a CUDA session", vgpu_strerror(r)); /* this machine */
}

static void make_context(example *e)
{
    const VGPUSessionContext context = {.id = CONTEXT, .primary = 1};

    check("context", vgpu_session_call(e->session, VGPU_SESSION_OP_CONTEXT_CREATE, &e->from,
                                       &context, sizeof(context), NULL, 0, NULL));
    e->from.context = CONTEXT;
}

/* The file, with a 0 behind it */
static char *read_file(const char *path, size_t *ret_size)
{
    FILE *file = fopen(path, "rbe");
    char *content = NULL;
    size_t size = 0;

    if (!file)
        fail(path, strerror(errno));
    do {
        content = realloc(content, size + 65536);
        if (!content)
            fail(path, strerror(errno));
        size += fread(content + size, 1, 65535, file);
    } while (!feof(file) && !ferror(file));
    if (ferror(file))
        fail(path, strerror(errno));
    fclose(file);
    content[size] = '\0';
    *ret_size = size;
    return content;
}

static void load_module(example *e, const char *path)
{
    static char log[LOG_SIZE];
    vgpu_session_logs logs = {.error = log, .error_size = sizeof(log)};
    size_t size;
    char *image = read_file(path, &size);
    /* PTX is a text and goes with the 0 behind it; a cubin would go without. */
    int r =
        vgpu_session_module_load(e->session, &e->from, image, size + 1, NULL, &logs, &e->module);

    if (r != VGPU_CUDA_SUCCESS)
        fputs(log, stderr); /* of the driver's compiler */
    check(path, r);
    free(image);
}

void example_open(example *e, const char *path)
{
    *e = (example){0};
    open_session(e);
    make_context(e);
    check("fence", vgpu_session_fence_new(e->session, &e->fence));
    load_module(e, path);
}

void example_close(example *e)
{
    check("module", vgpu_session_module_unload(e->session, &e->from, e->module));
    e->fence = vgpu_session_fence_free(e->session, e->fence);
    e->session = vgpu_session_close(e->session); /* and with it the context */
}

/* ---- Memory --------------------------------------------------------------------- */

uint64_t example_buffer(example *e, size_t size, const void *content)
{
    uint64_t address;

    check("memory", vgpu_session_memory_alloc(e->session, &e->from, size, &address));
    if (content)
        check("copy up", vgpu_session_upload(e->session, &e->from, STREAM, address, content, size));
    return address;
}

void example_buffer_free(example *e, uint64_t address)
{
    check("free", vgpu_session_memory_free(e->session, &e->from, address));
}

void example_read(example *e, void *to, uint64_t address, size_t size)
{
    check("copy down", vgpu_session_download(e->session, &e->from, STREAM, to, address, size));
}

/* ---- Kernels --------------------------------------------------------------------- */

example_kernel example_kernel_get(example *e, const char *name)
{
    example_kernel kernel = {.name = name};

    check(name, vgpu_session_function_get(e->session, &e->from, e->module, name, &kernel.id,
                                          &kernel.layout));
    return kernel;
}

void example_kernel_free(example_kernel *kernel)
{
    free(kernel->layout);
    kernel->layout = NULL;
}

/* The record is written into the ring itself, the parameters behind it. It has no reply: the caller
 * goes on at once, and hears of an error when it waits. */
void example_launch(example *e, const example_kernel *kernel, const uint32_t grid[static 3],
                    const uint32_t block[static 3], uint32_t shared_bytes,
                    const void *const *arguments)
{
    const VGPUSessionFunction *layout = kernel->layout;
    VGPUSessionLaunch *launch;
    uint8_t *parameters;
    void *room;

    check(kernel->name, vgpu_session_begin(e->session, VGPU_SESSION_OP_LAUNCH, &e->from,
                                           sizeof(*launch) + layout->parameters_size, &room));
    launch = room;
    *launch = (VGPUSessionLaunch){
        .function = kernel->id,
        .stream = STREAM,
        .grid = {grid[0], grid[1], grid[2]},
        .block = {block[0], block[1], block[2]},
        .shared_bytes = shared_bytes,
        .parameters_size = layout->parameters_size,
    };
    parameters = (uint8_t *) (launch + 1);
    memset(parameters, 0, layout->parameters_size);
    for (uint32_t i = 0; i < layout->n_parameters; i++)
        memcpy(parameters + layout->parameter[i].offset, arguments[i], layout->parameter[i].size);
    vgpu_session_commit(e->session);
}

/*
 * A fence is a number that the device writes into memory when it comes to it. A kernel that does
 * something forbidden ends the context: the wait returns that. What the driver refused to begin
 * with, a block that is too large for example, is latched; the context goes on after that.
 */
void example_wait(example *e)
{
    uint64_t number;

    check("fence", vgpu_session_fence_post(e->session, &e->from, STREAM, e->fence, &number));
    check("the device", vgpu_session_fence_wait(e->session, &e->from, STREAM, e->fence, number));
    check("the device", vgpu_session_get_latched(e->session));
}
