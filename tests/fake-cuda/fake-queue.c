/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fake-capture.h"
#include "fake-memory.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* How long the device looks away from a word that a stream waits for: soon at first */
#define WORD_PAUSE_MIN_NS 20000L
#define WORD_PAUSE_MAX_NS 1000000L

static struct {
    pthread_cond_t work, progress;
    pthread_t thread;
    bool stop, started;
    unsigned launched;
    unsigned random;
    bool running; /* a kernel or a copy */
    bool waits;   /* a stream waits for a word */
    CUstream executing;
    long pause_ns;
    uint64_t sequence; /* of the last work */
    CUresult error;
    CUstream streams;
} device = {
    .work = PTHREAD_COND_INITIALIZER,
    .progress = PTHREAD_COND_INITIALIZER,
};

bool fake_error_is_sticky(CUresult error)
{
    return error == CUDA_ERROR_ILLEGAL_ADDRESS || error == CUDA_ERROR_LAUNCH_TIMEOUT ||
           (error >= CUDA_ERROR_HARDWARE_STACK_ERROR && error <= CUDA_ERROR_LAUNCH_FAILED) ||
           error == CUDA_ERROR_ASSERT || error == CUDA_ERROR_ECC_UNCORRECTABLE ||
           error == CUDA_ERROR_CONTAINED;
}

/* ---- Work ------------------------------------------------------------------- */

static unsigned char *copy_bytes(const unsigned char *bytes, size_t size)
{
    unsigned char *copy;

    if (!bytes)
        return NULL;
    copy = malloc(size ? size : 1);
    if (!copy)
        abort();
    memcpy(copy, bytes, size);
    return copy;
}

void fake_work_copy(FakeWork *to, const FakeWork *from)
{
    *to = *from;
    if (from->kind == FAKE_WORK_KERNEL) {
        to->launch.parameters = copy_bytes(from->launch.parameters, from->launch.parameters_size);
        to->launch.operands = NULL;
    }
    if (from->kind == FAKE_WORK_RECORD || from->kind == FAKE_WORK_WAIT_EVENT)
        to->event.event->references++;
    if (from->kind == FAKE_WORK_CHOICE)
        fake_choice_ref(to->choice);
}

void fake_work_clear(FakeWork *w)
{
    if (w->kind == FAKE_WORK_KERNEL) {
        free(w->launch.parameters);
        free(w->launch.operands);
    }
    if (w->kind == FAKE_WORK_RECORD || w->kind == FAKE_WORK_WAIT_EVENT)
        fake_event_unref(w->event.event);
    if (w->kind == FAKE_WORK_CHOICE)
        fake_choice_unref(w->choice);
    if (w->kind == FAKE_WORK_HOLD) {
        for (size_t i = 0; i < w->hold.n; i++)
            fake_user_object_end(w->hold.all[i]);
        free(w->hold.all);
    }
}

static void work_free(FakeWork *w)
{
    fake_work_clear(w);
    free(w);
}

static FakeWork *stream_pop(CUstream s)
{
    FakeWork *w = s->first;

    s->first = w->next;
    if (!s->first)
        s->last = &s->first;
    return w;
}

/* A kernel is launched: how is it to end? */
static void plan_launch(FakeLaunch *l)
{
    Plan *plan = fake_plan();

    device.launched++;
    if (l->exempt)
        return;
    if (plan_item_is_due(&plan->fault, "kernel"))
        l->fault = plan->fault.result;
    l->hang = plan_item_is_due(&plan->hang, "kernel") || l->kernel->endless;
}

static void push_batch(CUstream s, const FakeBatch *b)
{
    for (unsigned i = 0; i < b->n; i++) {
        const FakeWork w = {.kind = b->waits[i] ? FAKE_WORK_WAIT : FAKE_WORK_WRITE,
                            .word = b->word[i]};

        fake_push(s, &w);
    }
}

void fake_push(CUstream s, const FakeWork *work)
{
    FakeWork *w;

    if (work->kind == FAKE_WORK_BATCH) {
        push_batch(s, &work->batch);
        return;
    }
    w = malloc(sizeof(*w));

    if (!w)
        abort();
    *w = *work;
    w->next = NULL;
    s->was_used = true;
    w->sequence = ++device.sequence;
    if (w->kind == FAKE_WORK_KERNEL)
        plan_launch(&w->launch);
    if (w->kind == FAKE_WORK_RECORD)
        w->event.number = ++w->event.event->recorded;
    if (w->kind == FAKE_WORK_WAIT_EVENT)
        w->event.number = w->event.event->recorded;
    *s->last = w;
    s->last = &w->next;
    device.pause_ns = WORD_PAUSE_MIN_NS;
    pthread_cond_signal(&device.work);
}

void fake_push_next(CUstream s, const FakeWork *works, size_t n, uint64_t sequence)
{
    for (size_t i = n; i > 0; i--) {
        FakeWork *w = malloc(sizeof(*w));

        if (!w)
            abort();
        fake_work_copy(w, &works[i - 1]);
        w->sequence = sequence;
        w->next = s->first;
        if (!s->first)
            s->last = &w->next;
        s->first = w;
    }
    for (FakeWork *w = s->first; n > 0; w = w->next, n--)
        if (w->kind == FAKE_WORK_KERNEL)
            plan_launch(&w->launch);
}

/* ---- What may go on ----------------------------------------------------------- */

/* The oldest that is not done; UINT64_MAX: nothing */
static uint64_t oldest(const struct CUstream_st *s)
{
    if (s->busy)
        return s->running;
    return s->first ? s->first->sequence : UINT64_MAX;
}

/* The legacy default stream of a context and its blocking streams wait for each other. */
static bool is_its_turn(const struct CUstream_st *s)
{
    CUcontext context = s->object.context;

    if (s == context->legacy) {
        for (CUstream other = device.streams; other; other = other->next)
            if (other != s && other->object.context == context &&
                !(other->flags & CU_STREAM_NON_BLOCKING) && oldest(other) < s->first->sequence)
                return false;
        return true;
    }
    return (s->flags & CU_STREAM_NON_BLOCKING) || !context->legacy ||
           oldest(context->legacy) > s->first->sequence;
}

/* An event that was recorded again, in another stream, has come to the later record before. */
static bool has_come(const struct CUevent_st *event, uint64_t number)
{
    if (event->done < number)
        return false;
    for (const struct CUstream_st *s = device.streams; s; s = s->next)
        for (const FakeWork *w = s->first; w; w = w->next)
            if (w->kind == FAKE_WORK_RECORD && w->event.event == event && w->event.number == number)
                return false;
    return true;
}

static bool can_go_on(CUstream s)
{
    const FakeWork *w = s->first;

    if (!w)
        return false;
    if (device.error != CUDA_SUCCESS)
        return true;
    if (s->hung || s->busy || !is_its_turn(s))
        return false;
    if (w->kind == FAKE_WORK_WAIT_EVENT)
        return has_come(w->event.event, w->event.number);
    if (w->kind == FAKE_WORK_WAIT && !fake_word_holds(&w->word)) {
        device.waits = true;
        return false;
    }
    return true;
}

/* Picks one of the streams that can go on, at random. */
static CUstream pick_stream(void)
{
    CUstream picked = NULL;
    unsigned n = 0;

    device.waits = false;
    if (device.launched < fake_plan()->hold && device.error == CUDA_SUCCESS)
        return NULL;

    for (CUstream s = device.streams; s; s = s->next) {
        if (!can_go_on(s))
            continue;
        device.random = device.random * 1664525u + 1013904223u;
        if ((device.random >> 16) % ++n == 0)
            picked = s;
    }

    return picked;
}

/* Until there is more to do, or a word may have changed. */
static void wait_for_work(void)
{
    struct timespec until;

    if (!device.waits) {
        pthread_cond_wait(&device.work, fake_mutex());
        return;
    }

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += device.pause_ns;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    pthread_cond_timedwait(&device.work, fake_mutex(), &until);
    if (device.pause_ns < WORD_PAUSE_MAX_NS)
        device.pause_ns += device.pause_ns / 8;
}

/* ---- The device's thread -------------------------------------------------------- */

static void pass_time(void)
{
    unsigned ms = fake_plan()->slow_ms;
    const struct timespec t = {ms / 1000, (ms % 1000) * 1000000L};

    if (ms > 0)
        nanosleep(&t, NULL);
}

static void run_kernel(CUstream s, const FakeWork *w)
{
    const FakeLaunch *l = &w->launch;
    CUresult fault = l->fault;

    if (l->hang) {
        s->hung = true;
        return;
    }

    device.running = true;
    fake_unlock();
    pass_time();
    if (fault == CUDA_SUCCESS)
        fault = l->kernel->run(l, 1500 + (uint64_t) fake_plan()->slow_ms * 1000000);
    fake_lock();
    device.running = false;

    s->status = fault;
    if (fake_error_is_sticky(fault))
        fake_queue_break(fault);
}

static void run_copy(const FakeWork *w)
{
    CUresult result;

    device.running = true;
    result = w->kind == FAKE_WORK_COPY ? fake_copy_run(&w->copy) : fake_set_run(&w->set);
    device.running = false;
    if (result != CUDA_SUCCESS)
        fake_queue_break(result);
}

static void run_callback(CUstream s, const FakeWork *w)
{
    CUresult status = device.error != CUDA_SUCCESS ? device.error : s->status;

    fake_unlock();
    fake_set_in_callback(true);
    if (w->kind == FAKE_WORK_CALLBACK)
        w->host.callback(s, status, w->host.user_data);
    else
        w->host.function(w->host.user_data);
    fake_set_in_callback(false);
    fake_lock();
}

/* After an error nothing is done any more, but callbacks learn of it and events end. */
static void run(CUstream s, const FakeWork *w)
{
    bool good = device.error == CUDA_SUCCESS;

    if (w->kind == FAKE_WORK_CALLBACK || (w->kind == FAKE_WORK_HOST && good))
        run_callback(s, w);
    else if (w->kind == FAKE_WORK_RECORD)
        fake_event_done(w->event.event, w->event.number);
    else if (w->kind == FAKE_WORK_KERNEL && good)
        run_kernel(s, w);
    else if ((w->kind == FAKE_WORK_COPY || w->kind == FAKE_WORK_SET) && good)
        run_copy(w);
    else if (w->kind == FAKE_WORK_WRITE && good)
        fake_word_write(&w->word);
    else if (w->kind == FAKE_WORK_CHOICE && good)
        fake_choice_run(s, w);
    else if (w->kind == FAKE_WORK_ASSIGN && good)
        fake_condition_assign(w->assign);
    else if (w->kind == FAKE_WORK_FREE && good)
        fake_free_run(w->free);
}

static void stream_forget(CUstream stream)
{
    CUstream *link = &device.streams;

    while (*link != stream)
        link = &(*link)->next;
    *link = stream->next;
    while (stream->first)
        work_free(stream_pop(stream));
    fake_capture_forget(&stream->capture, &stream->reach);
    fake_object_end(stream);
}

static void *device_thread(void *unused)
{
    (void) unused;

    fake_lock();
    while (!device.stop) {
        CUstream s = pick_stream();
        FakeWork *w;

        if (!s) {
            wait_for_work();
            continue;
        }

        w = stream_pop(s);
        s->busy = true;
        s->running = w->sequence;
        device.executing = s;
        run(s, w);
        work_free(w);
        device.executing = NULL;
        s->busy = s->hung && device.error == CUDA_SUCCESS;
        if (s->destroyed && fake_stream_idle(s))
            stream_forget(s);
        pthread_cond_broadcast(&device.progress);
    }
    fake_unlock();
    return NULL;
}

void fake_device_start(void)
{
    device.random = (unsigned) getpid();
    device.pause_ns = WORD_PAUSE_MIN_NS;
    if (pthread_create(&device.thread, NULL, device_thread, NULL) != 0)
        abort();
    device.started = true;
}

void fake_device_stop(void)
{
    if (!device.started)
        return;
    fake_lock();
    device.stop = true;
    pthread_cond_signal(&device.work);
    fake_unlock();
    pthread_join(device.thread, NULL);
}

CUresult fake_queue_error(void)
{
    return device.error;
}

void fake_queue_break(CUresult error)
{
    if (device.error == CUDA_SUCCESS)
        device.error = error;
    pthread_cond_signal(&device.work);
    pthread_cond_broadcast(&device.progress);
}

void fake_device_break(CUresult error)
{
    FAKE_LOCKED();

    fake_queue_break(error);
}

CUresult fake_device_error(void)
{
    FAKE_LOCKED();

    return device.error;
}

/* ---- Streams ---------------------------------------------------------------- */

CUstream fake_stream_new(CUcontext context, unsigned flags, int priority)
{
    CUstream s = fake_object_new(FAKE_KIND_STREAM, context, sizeof(*s));

    s->last = &s->first;
    s->flags = flags;
    s->priority = priority;
    s->next = device.streams;
    device.streams = s;
    return s;
}

CUstream fake_stream_first(void)
{
    return device.streams;
}

bool fake_stream_is_legacy(const struct CUstream_st *s)
{
    return s->object.context->legacy == s;
}

CUstream fake_stream_get(CUstream handle, const char *function)
{
    /* CU_STREAM_LEGACY is another name of the default stream. */
    if (!handle || handle == (CUstream) 1) {
        CUcontext context = fake_context();

        if (!context->legacy)
            context->legacy = fake_stream_new(context, 0, 0);
        return context->legacy;
    }

    fake_object_check(handle, FAKE_KIND_STREAM, function);
    if (handle->destroyed)
        fake_misuse("%s: the stream was destroyed", function);
    return handle;
}

bool fake_stream_idle(const struct CUstream_st *s)
{
    return !s->first && !s->busy;
}

void fake_stream_end(CUstream s)
{
    s->destroyed = true;
    if (fake_stream_idle(s))
        stream_forget(s);
}

void fake_streams_end(CUcontext context)
{
    CUstream next;

    while (device.executing && (!context || device.executing->object.context == context))
        fake_progress_wait();
    for (CUstream s = device.streams; s; s = next) {
        next = s->next;
        if (context && s->object.context != context)
            continue;
        if (s == s->object.context->legacy)
            s->object.context->legacy = NULL;
        s->destroyed = true;
        stream_forget(s);
    }
}

void fake_progress_wait(void)
{
    pthread_cond_wait(&device.progress, fake_mutex());
}

/* What is queued later may go on for ever: only what is older counts. */
CUresult fake_stream_drain(CUstream s)
{
    uint64_t last = device.sequence;

    while (oldest(s) <= last && device.error == CUDA_SUCCESS)
        fake_progress_wait();
    return device.error;
}

static bool context_is_done(CUcontext context, uint64_t last)
{
    for (const struct CUstream_st *s = device.streams; s; s = s->next)
        if (s->object.context == context && oldest(s) <= last)
            return false;
    return true;
}

bool fake_context_is_idle(CUcontext context)
{
    return context_is_done(context, UINT64_MAX - 1);
}

CUresult fake_context_drain(CUcontext context)
{
    uint64_t last = device.sequence;

    while (!context_is_done(context, last) && device.error == CUDA_SUCCESS)
        fake_progress_wait();
    return device.error;
}

void fake_device_settle(void)
{
    while (device.running && device.error == CUDA_SUCCESS)
        fake_progress_wait();
}
