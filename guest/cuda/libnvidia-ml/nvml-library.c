/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "nvml-library.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "clock.h"
#include "cuda-client.h"
#include "nvml-sample.h"
#include "session-device.h"

/* Who asks each second starts no executor each second, also where that fails. */
#define RETRY_NSEC (10 * NSEC_PER_SEC)

struct nvmlDevice_st {
    char unused;
};

static struct nvmlDevice_st the_device;

static struct nvml_library {
    pthread_mutex_t lock;
    unsigned n_inits;
    bool has_facts;
    nvml_facts facts;
    nvmlReturn_t failure; /* of the last try to have them */
    uint64_t retry_nsec;  /* when that may be tried again; 0: at once */
} library = {.lock = PTHREAD_MUTEX_INITIALIZER};

void nvml_log(const char *format, ...)
{
    const char *wanted = getenv("VGPU_NVML_LOG");
    va_list arguments;

    if (!wanted || strcmp(wanted, "1") != 0)
        return;
    va_start(arguments, format);
    flockfile(stderr);
    fputs("libnvidia-ml.so.1 of vgpu: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    funlockfile(stderr);
    va_end(arguments);
}

/* ---- Children ------------------------------------------------------------------------------- */

/* A child goes on by itself: what the device is, it knows if its parent did; a look wants a
 * connection of its own. Another thread may have had the lock, and been in the middle of something.
 * Nobody waits for it before the fork: the session's library has locks that come before this one
 * then, and after it elsewhere. */
static void library_in_child(void)
{
    pthread_mutex_init(&library.lock, NULL);
    nvml_sample_forget();
    if (library.has_facts)
        session_watch_hang_up(library.facts.watch);
    else
        library.facts = (nvml_facts){0};
}

__attribute__((constructor)) static void library_load(void)
{
    (void) pthread_atfork(NULL, NULL, library_in_child);
}

/* ---- Beginning and end ---------------------------------------------------------------------- */

static bool library_has_way(void)
{
    const char *socket = getenv("VGPU_SOCKET");
    vgpu_found *list = NULL;
    struct stat st;
    size_t n = 0;
    int r;

    if (socket && *socket)
        return stat(socket, &st) == 0;
    r = vgpu_find(NULL, &list, &n);
    free(list);
    return (r == 0 && n > 0) || stat(VGPU_SOCKET_PATH, &st) == 0;
}

nvmlReturn_t nvmlInitWithFlags(unsigned flags)
{
    nvmlReturn_t r = NVML_SUCCESS;

    pthread_mutex_lock(&library.lock);
    if (library.n_inits == 0 && !(flags & NVML_INIT_FLAG_NO_GPUS) && !library_has_way())
        r = NVML_ERROR_DRIVER_NOT_LOADED;
    if (r == NVML_SUCCESS)
        library.n_inits++;
    pthread_mutex_unlock(&library.lock);
    return r;
}

nvmlReturn_t nvmlInit_v2(void)
{
    return nvmlInitWithFlags(0);
}

nvmlReturn_t nvmlInit(void)
{
    return nvmlInitWithFlags(0);
}

static void library_forget(void)
{
    library.has_facts = false;
    session_watch_free(library.facts.watch);
    library.facts = (nvml_facts){0};
    library.retry_nsec = 0;
    nvml_sample_forget();
}

nvmlReturn_t nvmlShutdown(void)
{
    nvmlReturn_t r = nvml_enter(true);

    if (r != NVML_SUCCESS)
        return r;
    if (--library.n_inits == 0)
        library_forget();
    return nvml_leave(NVML_SUCCESS);
}

/* ---- The facts ------------------------------------------------------------------------------ */

static nvmlReturn_t library_open_error(int r, int cuda)
{
    switch (r) {
    case VGPU_ERROR_CUDA_ERROR:
        return cuda == VGPU_CUDA_ERROR_NO_DEVICE ? NVML_ERROR_NOT_FOUND : NVML_ERROR_UNKNOWN;
    case -ENODEV:
        return NVML_ERROR_NOT_FOUND;
    case -EACCES:
    case -EPERM:
    case VGPU_ERROR_VM_QUARANTINED:
        return NVML_ERROR_NO_PERMISSION;
    case -ENOMEM:
        return NVML_ERROR_MEMORY;
    case -ETIMEDOUT:
        return NVML_ERROR_TIMEOUT;
    case -EBUSY:
    case -ENOSPC:
    case VGPU_ERROR_QUEUE_FULL:
        return NVML_ERROR_INSUFFICIENT_RESOURCES;
    case -EOPNOTSUPP:
        return NVML_ERROR_NOT_SUPPORTED;
    default:
        return NVML_ERROR_UNKNOWN;
    }
}

/* A host may not know of the board: then nobody does. */
static nvmlReturn_t library_ask(nvml_facts *f)
{
    const vgpu_session_options options = {.only_asks = true};
    vgpu_session *s = NULL;
    int cuda = 0, r = vgpu_session_open(&options, &s, &cuda);

    if (r != 0) {
        nvml_log("no session: %s", r < 0 ? strerror(-r) : vgpu_strerror(r));
        return library_open_error(r, cuda);
    }
    r = vgpu_session_device_get(s, &f->device);
    if (r == 0) {
        session_device_set_address(&f->device, vgpu_session_get_name(s));
        if (vgpu_session_board_get(s, &f->board) != 0)
            f->board = (VGPUSessionBoard){0};
        f->watch = session_watch_new(NULL, vgpu_session_get_name(s));
    }
    vgpu_session_close(s);
    if (r != 0)
        return NVML_ERROR_UNKNOWN;
    return f->watch ? NVML_SUCCESS : NVML_ERROR_MEMORY;
}

/* With the lock. */
static nvmlReturn_t library_have_facts(void)
{
    if (library.has_facts)
        return NVML_SUCCESS;
    if (now_nsec() < library.retry_nsec)
        return library.failure;
    library.failure = library_ask(&library.facts);
    library.retry_nsec = now_nsec() + RETRY_NSEC;
    if (library.failure != NVML_SUCCESS)
        return library.failure;
    __atomic_store_n(&library.has_facts, true, __ATOMIC_RELEASE);
    nvml_sample_begin(library.facts.watch);
    return NVML_SUCCESS;
}

/* ---- Calls ---------------------------------------------------------------------------------- */

nvmlReturn_t nvml_leave(nvmlReturn_t result)
{
    pthread_mutex_unlock(&library.lock);
    return result;
}

nvmlReturn_t nvml_enter(bool is_valid)
{
    pthread_mutex_lock(&library.lock);
    if (library.n_inits == 0)
        return nvml_leave(NVML_ERROR_UNINITIALIZED);
    return is_valid ? NVML_SUCCESS : nvml_leave(NVML_ERROR_INVALID_ARGUMENT);
}

nvmlReturn_t nvml_enter_facts(bool is_valid, nvml_facts **ret)
{
    nvmlReturn_t r = nvml_enter(is_valid);

    if (r != NVML_SUCCESS)
        return r;
    r = library_have_facts();
    if (r != NVML_SUCCESS)
        return nvml_leave(r);
    *ret = &library.facts;
    return NVML_SUCCESS;
}

nvmlReturn_t nvml_enter_device(nvmlDevice_t device, bool is_valid, nvml_facts **ret)
{
    return nvml_enter_facts(device == &the_device && is_valid, ret);
}

nvmlDevice_t nvml_device(void)
{
    return &the_device;
}

bool nvml_attribute(const nvml_facts *f, int attribute, int *ret)
{
    if (f->device.attribute[attribute].result != 0)
        return false;
    *ret = f->device.attribute[attribute].value;
    return true;
}

nvmlReturn_t nvml_copy_text(char *to, unsigned length, const char *text)
{
    size_t size = strlen(text) + 1;

    if (length < size)
        return NVML_ERROR_INSUFFICIENT_SIZE;
    memcpy(to, text, size);
    return NVML_SUCCESS;
}

nvmlReturn_t nvml_answer(nvmlDevice_t device, unsigned *ret, unsigned value)
{
    nvml_facts *f;
    nvmlReturn_t r = nvml_enter_device(device, ret, &f);

    if (r != NVML_SUCCESS)
        return r;
    *ret = value;
    return nvml_leave(NVML_SUCCESS);
}

nvmlReturn_t nvml_refuse(const char *name, nvmlReturn_t result, bool *is_told)
{
    nvmlReturn_t r = nvml_enter(true);

    if (r != NVML_SUCCESS)
        return r;
    if (!__atomic_exchange_n(is_told, true, __ATOMIC_RELAXED))
        nvml_log("%s is not served", name);
    return nvml_leave(result);
}
