/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vgpu run: one kernel of a module, in a CUDA session of its own. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "run-arguments.h"
#include "run-module.h"
#include "session-command.h"

#define CONTEXT 1u
#define STREAM 0u
#define EVENT_BEFORE 1u
#define EVENT_AFTER 2u
#define BLOCK_THREADS_MAX 1024u
/* By CUfunction_attribute: facts from the CUDA manual */
#define FUNCTION_THREADS_MAX 0
#define FUNCTION_DYNAMIC_SHARED_MAX 8

typedef struct run_job {
    const options *o;
    uint8_t *image; /* of the module's file */
    size_t image_size;
    vgpu_session *s;
    vgpu_session_from from;
    run_argument *arguments;
    size_t n_arguments;
    uint32_t function;
    VGPUSessionFunction *layout;
    vgpu_session_fence *fence;
} run_job;

static int run_call(run_job *j, uint16_t opcode, const void *parameters, size_t size,
                    VGPUSessionReply *ret)
{
    return vgpu_session_call(j->s, opcode, &j->from, parameters, size, NULL, 0, ret);
}

/* ---- Before ------------------------------------------------------------------- */

static int parse_arguments(run_job *j, char **texts)
{
    while (texts[j->n_arguments])
        j->n_arguments++;
    j->arguments = calloc(j->n_arguments + 1, sizeof(*j->arguments));
    if (!j->arguments) {
        complain("%s", strerror(ENOMEM));
        return EXIT_SYSTEM;
    }
    for (size_t i = 0; i < j->n_arguments; i++) {
        int r = run_argument_parse(texts[i], &j->arguments[i]);

        if (r != EXIT_OK)
            return r;
    }
    return EXIT_OK;
}

static void run_job_free(run_job *j)
{
    for (size_t i = 0; j->arguments && i < j->n_arguments; i++)
        run_argument_free(&j->arguments[i]);
    free(j->arguments);
    free(j->image);
    free(j->layout);
    if (j->s)
        vgpu_session_fence_free(j->s, j->fence);
    vgpu_session_close(j->s);
}

/* Of the kernel; 0 where the driver knows it not */
static int32_t attribute(const run_job *j, unsigned int number)
{
    return j->layout->attribute[number].result == 0 ? j->layout->attribute[number].value : 0;
}

/* What the driver would refuse at the launch, by the kernel's own limits */
static int check_block(const run_job *j)
{
    const uint32_t *b = j->o->block;
    uint64_t threads = (uint64_t) b[0] * b[1] * b[2];
    uint64_t most = BLOCK_THREADS_MAX;

    if (attribute(j, FUNCTION_THREADS_MAX) > 0)
        most = (uint64_t) attribute(j, FUNCTION_THREADS_MAX);
    if (threads <= most)
        return EXIT_OK;
    complain("a block of %" PRIu64 " threads: %s can have %" PRIu64, threads, j->o->kernel, most);
    return EXIT_USAGE;
}

/* More than 48 KiB a kernel has to ask for, as a program does by cuFuncSetAttribute(). */
static int allow_shared(run_job *j)
{
    const VGPUSessionFunctionSet set = {
        .function = j->function,
        .attribute = FUNCTION_DYNAMIC_SHARED_MAX,
        .value = j->o->shared > INT32_MAX ? INT32_MAX : (int32_t) j->o->shared,
    };
    int r;

    if (j->o->shared <= (uint32_t) attribute(j, FUNCTION_DYNAMIC_SHARED_MAX))
        return EXIT_OK;
    r = run_call(j, VGPU_SESSION_OP_FUNCTION_ATTRIBUTE, &set, sizeof(set), NULL);
    if (r == VGPU_CUDA_ERROR_INVALID_VALUE) {
        complain("%s cannot have %" PRIu32 " bytes of dynamic shared memory (INVALID_VALUE)",
                 j->o->kernel, j->o->shared);
        return EXIT_REFUSED;
    }
    return r == 0 ? EXIT_OK : complain_cuda("shared memory", r);
}

static int fill_buffer(run_job *j, const run_argument *a)
{
    const VGPUSessionSet zeros = {
        .address = a->address,
        .count = a->buffer_size,
        .rows = 1,
        .width = 1,
        .stream = STREAM,
    };
    int r;

    if (a->content)
        r = vgpu_session_upload(j->s, &j->from, STREAM, a->address, a->content, a->buffer_size);
    else
        r = run_call(j, VGPU_SESSION_OP_SET, &zeros, sizeof(zeros), NULL);
    return r == 0 ? EXIT_OK : complain_cuda(a->text, r);
}

static int fill_buffers(run_job *j)
{
    int r = EXIT_OK;

    for (size_t i = 0; r == EXIT_OK && i < j->n_arguments; i++)
        if (j->arguments[i].is_buffer)
            r = fill_buffer(j, &j->arguments[i]);
    return r;
}

static int make_buffers(run_job *j)
{
    for (size_t i = 0; i < j->n_arguments; i++) {
        run_argument *a = &j->arguments[i];
        int r = 0;

        if (a->is_buffer)
            r = vgpu_session_memory_alloc(j->s, &j->from, a->buffer_size, &a->address);
        if (r != 0)
            return complain_cuda(a->text, r);
    }
    return fill_buffers(j);
}

static int prepare(run_job *j, const char *path)
{
    const VGPUSessionContext context = {.id = CONTEXT, .primary = 1};
    uint32_t module;
    int r;

    r = run_call(j, VGPU_SESSION_OP_CONTEXT_CREATE, &context, sizeof(context), NULL);
    if (r != 0)
        return complain_cuda("cannot make a CUDA context", r);
    j->from.context = CONTEXT;
    r = vgpu_session_fence_new(j->s, &j->fence);
    if (r != 0)
        return complain_cuda("window", r);

    r = run_module_load(j->s, &j->from, j->image, j->image_size, path, &module);
    if (r == EXIT_OK)
        r = run_module_find(j->s, &j->from, module, j->o->kernel, &j->function, &j->layout);
    if (r == EXIT_OK)
        r = run_arguments_check(j->arguments, j->n_arguments, j->o->kernel, j->layout);
    if (r == EXIT_OK)
        r = check_block(j);
    if (r == EXIT_OK)
        r = allow_shared(j);
    return r == EXIT_OK ? make_buffers(j) : r;
}

/* ---- The kernel ------------------------------------------------------------------ */

static int launch(run_job *j)
{
    const options *o = j->o;
    VGPUSessionLaunch *l;
    void *p;
    int r;

    r = vgpu_session_begin(j->s, VGPU_SESSION_OP_LAUNCH, &j->from,
                           sizeof(*l) + j->layout->parameters_size, &p);
    if (r != 0)
        return r;
    l = p;
    *l = (VGPUSessionLaunch){
        .function = j->function,
        .stream = STREAM,
        .grid = {o->grid[0], o->grid[1], o->grid[2]},
        .block = {o->block[0], o->block[1], o->block[2]},
        .shared_bytes = o->shared,
        .parameters_size = j->layout->parameters_size,
    };
    run_arguments_pack(j->arguments, j->n_arguments, j->layout, (uint8_t *) (l + 1));
    vgpu_session_commit(j->s);
    return 0;
}

static int record(run_job *j, uint32_t event)
{
    const VGPUSessionEvent parameters = {.event = event, .stream = STREAM};

    return vgpu_session_post(j->s, VGPU_SESSION_OP_EVENT_RECORD, &j->from, &parameters,
                             sizeof(parameters), NULL, 0);
}

/* Wait for all that was given. What failed on the way is told here, by its own number. */
static int synchronize(run_job *j)
{
    const VGPUSessionNone none = {0};
    VGPUSessionReply reply;
    uint64_t number;
    int r;

    r = vgpu_session_fence_post(j->s, &j->from, STREAM, j->fence, &number);
    if (r == 0)
        r = vgpu_session_fence_wait(j->s, &j->from, STREAM, j->fence, number);
    if (r == 0 && vgpu_session_get_latched(j->s) != 0) {
        r = vgpu_session_get_latched(j->s);
        (void) run_call(j, VGPU_SESSION_OP_ERROR_TAKE, &none, sizeof(none), &reply);
    }
    return r;
}

static int make_events(run_job *j)
{
    int r = 0;

    for (uint32_t id = EVENT_BEFORE; r == 0 && id <= EVENT_AFTER; id++) {
        const VGPUSessionCreate create = {.id = id};

        r = run_call(j, VGPU_SESSION_OP_EVENT_CREATE, &create, sizeof(create), NULL);
    }
    return r;
}

static int print_timing(run_job *j, uint64_t wall_nsec)
{
    const VGPUSessionEvent events = {.event = EVENT_BEFORE, .other = EVENT_AFTER};
    VGPUSessionReply reply;
    uint32_t bits;
    float msec;
    int r;

    r = run_call(j, VGPU_SESSION_OP_EVENT_ELAPSED, &events, sizeof(events), &reply);
    if (r != 0)
        return r;
    bits = (uint32_t) reply.value[0];
    memcpy(&msec, &bits, sizeof(msec));
    printf("%" PRIu32 " launch%s: %.2f us each on the device, %.2f us each in all\n", j->o->repeat,
           j->o->repeat == 1 ? "" : "es", (double) msec * 1000 / j->o->repeat,
           (double) wall_nsec / 1000 / j->o->repeat);
    return 0;
}

/* What an assertion says is not forgotten. */
static void forget_output(void *userdata, bool is_error, const char *text, size_t size)
{
    (void) userdata;
    if (is_error)
        fwrite(text, 1, size, stderr);
}

/* A first launch takes longer, and so it is not one of those that are timed. What it did to the
 * buffers is undone. Returns an exit code. */
static int warm_up(run_job *j)
{
    int r;

    vgpu_session_set_text(j->s, forget_output, NULL);
    r = launch(j);
    if (r == 0)
        r = synchronize(j);
    vgpu_session_set_text(j->s, NULL, NULL);
    return r == 0 ? fill_buffers(j) : complain_cuda(j->o->kernel, r);
}

static int launch_all(run_job *j, uint64_t *ret_nsec)
{
    uint32_t n = j->o->repeat > 0 ? j->o->repeat : 1;
    bool is_timed = j->o->repeat > 0;
    uint64_t before;
    int r;

    r = is_timed ? make_events(j) : 0;
    if (r == 0)
        r = synchronize(j); /* the buffers are there */
    before = now_nsec();
    if (r == 0 && is_timed)
        r = record(j, EVENT_BEFORE);
    for (uint32_t i = 0; r == 0 && i < n; i++)
        r = launch(j);
    if (r == 0 && is_timed)
        r = record(j, EVENT_AFTER);
    if (r == 0)
        r = synchronize(j);
    *ret_nsec = now_nsec() - before;
    return r;
}

static int compute(run_job *j)
{
    uint64_t nsec;
    int r;

    if (j->o->repeat > 0) {
        r = warm_up(j);
        if (r != EXIT_OK)
            return r;
    }
    r = launch_all(j, &nsec);
    if (r == 0 && j->o->repeat > 0)
        r = print_timing(j, nsec);
    return r == 0 ? EXIT_OK : complain_cuda(j->o->kernel, r);
}

/* ---- After ---------------------------------------------------------------------- */

static int write_file(const char *path, const uint8_t *content, size_t size)
{
    FILE *file = fopen(path, "we");
    bool failed;

    if (!file) {
        complain("cannot write '%s': %s", path, strerror(errno));
        return EXIT_SYSTEM;
    }
    failed = fwrite(content, 1, size, file) != size;
    if (fclose(file) != 0 || failed) {
        complain("cannot write '%s': %s", path, strerror(errno));
        return EXIT_SYSTEM;
    }
    return EXIT_OK;
}

static int save_buffer(run_job *j, const run_argument *a)
{
    CLEANUP_FREE uint8_t *content = malloc(a->buffer_size);
    int r;

    if (!content) {
        complain("%s: %s", a->text, strerror(ENOMEM));
        return EXIT_SYSTEM;
    }
    r = vgpu_session_download(j->s, &j->from, STREAM, content, a->address, a->buffer_size);
    return r == 0 ? write_file(a->output, content, a->buffer_size) : complain_cuda(a->text, r);
}

static int run_all(run_job *j, char **argv)
{
    int r;

    r = parse_arguments(j, argv + 1);
    if (r == EXIT_OK)
        r = read_whole_file(argv[0], &j->image, &j->image_size);
    if (r == EXIT_OK && j->image_size == 0) {
        complain("'%s' is empty", argv[0]);
        r = EXIT_USAGE;
    }
    if (r == EXIT_OK)
        r = open_session(j->o, &j->s);
    if (r == EXIT_OK)
        r = prepare(j, argv[0]);
    if (r == EXIT_OK)
        r = compute(j);
    for (size_t i = 0; r == EXIT_OK && i < j->n_arguments; i++)
        if (j->arguments[i].output)
            r = save_buffer(j, &j->arguments[i]);
    return r;
}

int command_run(const options *o, char **argv)
{
    run_job j = {.o = o};
    int r;

    if (!o->kernel || o->grid[0] == 0 || o->block[0] == 0) {
        complain("run needs --kernel, --grid and --block");
        return EXIT_USAGE;
    }
    r = run_all(&j, argv);
    run_job_free(&j);
    return finish_output(r);
}
