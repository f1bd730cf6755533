/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fake-driver.h"
#include "fake-queue.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define HANDLES_KEPT 1024u

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool is_session;
static int errors_fd = STDERR_FILENO;
static _Thread_local bool in_callback;

/* All handles that live, by address, in a table with open addressing; and those that died last. */
static struct {
    FakeObject **slots;
    size_t n_slots, n_used;
    FakeObject *kept[HANDLES_KEPT];
    unsigned kept_next;
} handles;

__attribute__((format(printf, 1, 0), noreturn)) static void complain(const char *format,
                                                                     va_list args)
{
    char text[1024];

    vsnprintf(text, sizeof(text), format, args);
    dprintf(errors_fd, "fake-cuda: misuse: %s\n", text);
    abort();
}

/* Later the process may be kept from opening files. */
__attribute__((constructor)) static void open_errors(void)
{
    const char *path = getenv("VGPU_FAKE_CUDA_ERRORS");
    int fd = path ? open(path, O_WRONLY | O_APPEND | O_CLOEXEC) : -1;

    if (fd >= 0)
        errors_fd = fd;
}

void fake_misuse(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    complain(format, args);
}

CUresult fake_refuse(const char *format, ...)
{
    va_list args;

    if (is_session)
        return CUDA_ERROR_INVALID_VALUE;
    va_start(args, format);
    complain(format, args);
}

void fake_lock(void)
{
    pthread_mutex_lock(&lock);
}

void fake_unlock(void)
{
    pthread_mutex_unlock(&lock);
}

pthread_mutex_t *fake_mutex(void)
{
    return &lock;
}

bool fake_in_callback(void)
{
    return in_callback;
}

void fake_set_in_callback(bool in)
{
    in_callback = in;
}

void fake_session_begins(void)
{
    fake_lock();
    is_session = true;
    fake_unlock();
}

bool fake_is_session(void)
{
    return is_session;
}

static bool is_due(PlanItem *item, const char *function)
{
    FAKE_LOCKED();

    return plan_item_is_due(item, function);
}

CUresult fake_enter(const char *function, FakeNeeds needs, long long number)
{
    Plan *plan = fake_plan();
    CUresult error = fake_device_error();

    if (in_callback)
        fake_misuse("%s: called from a stream callback", function);
    if (needs >= FAKE_INIT && !plan)
        fake_misuse("%s: called before cuInit", function);
    if (needs >= FAKE_CONTEXT) {
        FAKE_LOCKED();

        if (!fake_context())
            fake_misuse("%s: no context is current", function);
        fake_object_check(fake_context(), FAKE_KIND_CONTEXT, function);
    }
    if (!plan)
        return error;

    if (plan->trace_fd >= 0)
        dprintf(plan->trace_fd, "%s %lld\n", function, number);
    if (is_due(&plan->hang, function))
        for (;;)
            pause();
    if (error != CUDA_SUCCESS)
        return error;
    if (!is_due(&plan->fail, function))
        return CUDA_SUCCESS;
    if (fake_error_is_sticky(plan->fail.result))
        fake_device_break(plan->fail.result);
    return plan->fail.result;
}

CUresult fake_enter_blas(const char *function)
{
    return fake_enter(function, FAKE_CONTEXT, 0);
}

bool fake_has_blas(void)
{
    return fake_plan()->blas;
}

/* ---- Handles ------------------------------------------------------------------ */

static size_t slot_of(const void *handle)
{
    return (size_t) (((uintptr_t) handle >> 4) * UINT64_C(0x9e3779b97f4a7c15) >> 20) &
           (handles.n_slots - 1);
}

/* Returns where it stands, or where it may. */
static size_t slot_find(const void *handle)
{
    size_t i = slot_of(handle);

    while (handles.slots[i] && handles.slots[i] != handle)
        i = (i + 1) & (handles.n_slots - 1);
    return i;
}

static void grow(void)
{
    FakeObject **old = handles.slots;
    size_t n_old = handles.n_slots;

    handles.n_slots = n_old ? 2 * n_old : 64;
    handles.slots = calloc(handles.n_slots, sizeof(FakeObject *));
    if (!handles.slots)
        abort();
    for (size_t i = 0; i < n_old; i++)
        if (old[i])
            handles.slots[slot_find(old[i])] = old[i];
    free(old);
}

void *fake_object_new(FakeKind kind, CUcontext context, size_t size)
{
    FakeObject *object = calloc(1, size);

    if (!object)
        abort();
    if (2 * (handles.n_used + 1) > handles.n_slots)
        grow();
    object->kind = kind;
    object->context = context;
    handles.slots[slot_find(object)] = object;
    handles.n_used++;
    return object;
}

void fake_object_end(void *object)
{
    size_t i = slot_find(object);

    if (!handles.slots[i])
        fake_misuse("%p is no handle", object);
    handles.slots[i] = NULL;
    handles.n_used--;
    /* Whatever stood behind it because its place was taken moves up. */
    for (size_t j = (i + 1) & (handles.n_slots - 1); handles.slots[j];
         j = (j + 1) & (handles.n_slots - 1)) {
        FakeObject *moved = handles.slots[j];

        handles.slots[j] = NULL;
        handles.slots[slot_find(moved)] = moved;
    }

    free(handles.kept[handles.kept_next]);
    handles.kept[handles.kept_next] = object;
    handles.kept_next = (handles.kept_next + 1) % HANDLES_KEPT;
}

void fake_object_check(const void *handle, FakeKind kind, const char *function)
{
    const FakeObject *object = handles.n_slots ? handles.slots[slot_find(handle)] : NULL;

    if (!handle || !object)
        fake_misuse("%s: %p is no handle", function, handle);
    if (object->kind != kind)
        fake_misuse("%s: %p is a handle of kind %d, not %d", function, handle, (int) object->kind,
                    (int) kind);
}

bool fake_object_lives(const void *handle, FakeKind kind)
{
    const FakeObject *object = handles.n_slots ? handles.slots[slot_find(handle)] : NULL;

    return object && object->kind == kind;
}

void *fake_object_any(FakeKind kind, CUcontext context)
{
    for (size_t i = 0; i < handles.n_slots; i++) {
        FakeObject *object = handles.slots[i];

        if (object && object->kind == kind && (!context || object->context == context))
            return object;
    }
    return NULL;
}

void fake_objects_stop(void)
{
    for (size_t i = 0; i < HANDLES_KEPT; i++)
        free(handles.kept[i]);
    free(handles.slots);
}
