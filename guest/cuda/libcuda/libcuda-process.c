/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The process: its session, and the errors that any call may tell.
 *
 * A child of a process that had called cuInit() has nothing of it: each function says
 * NOT_INITIALIZED there, as the driver's do, and touches nothing that the parent has.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "context.h"
#include "libcuda-version.h"
#include "libcuda.h"
#include "session-device.h"

LibProcess libcuda_process = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* A session that nothing uses any more, and that is not closed: for who looks for leaks */
static vgpu_session *volatile process_left;

static void process_forked(void)
{
    libcuda_process.is_child = libcuda_process.is_child || libcuda_process.session;
    if (libcuda_process.session)
        process_left = libcuda_process.session;
    libcuda_process.session = NULL;
    pthread_mutex_init(&libcuda_process.lock, NULL);
    libcuda_log_forked();
}

__attribute__((constructor)) static void process_load(void)
{
    (void) pthread_atfork(NULL, NULL, process_forked);
}

/* After what the program has to be called at its end, and the libraries that were made to use this
 * one: who comes later is told so. The executor hears of the end of the process itself; threads
 * that are still at work go on until then. */
__attribute__((destructor)) static void process_unload(void)
{
    LibProcess *p = &libcuda_process;

    __atomic_store_n(&p->is_over, true, __ATOMIC_RELEASE);
    if (p->session)
        process_left = p->session;
    __atomic_store_n(&p->session, NULL, __ATOMIC_RELEASE);
}

uint64_t libcuda_next_id(void)
{
    return __atomic_add_fetch(&libcuda_process.last_id, 1, __ATOMIC_RELAXED);
}

int libcuda_version(void)
{
    const LibProcess *p = &libcuda_process;
    const vgpu_session *s = __atomic_load_n(&p->session, __ATOMIC_ACQUIRE);

    return s ? libcuda_version_of(p->device.driver_version) : LIBCUDA_VERSION;
}

/* ---- cuInit() ----------------------------------------------------------------------------------
 */

static CUresult process_open_error(int r, int cuda)
{
    switch (r) {
    case VGPU_ERROR_CUDA_ERROR:
        return cuda != 0 ? cuda : CUDA_ERROR_UNKNOWN;
    case -ENODEV:
    case -EOPNOTSUPP:
        return CUDA_ERROR_NO_DEVICE;
    case -ENOMEM:
    case -ENOSPC:
        return CUDA_ERROR_OUT_OF_MEMORY;
    case -EBUSY:
    case -ETIMEDOUT:
        return CUDA_ERROR_DEVICE_UNAVAILABLE;
    default:
        return CUDA_ERROR_SYSTEM_NOT_READY;
    }
}

static void process_find_address(LibProcess *p, const vgpu_session *s)
{
    enum { PCI_BUS_ID = 33, PCI_DEVICE_ID = 34, PCI_DOMAIN_ID = 50 };

    session_device_set_address(&p->device, vgpu_session_get_name(s));
    p->pci_domain = p->device.attribute[PCI_DOMAIN_ID].value;
    p->pci_bus = p->device.attribute[PCI_BUS_ID].value;
    p->pci_device = p->device.attribute[PCI_DEVICE_ID].value;
}

/* The driver's rule: a list of numbers and UUIDs, which ends at the first that is no device. Here
 * is one device. */
static bool process_is_visible(const LibProcess *p)
{
    const char *list = getenv("CUDA_VISIBLE_DEVICES");
    char uuid[SESSION_UUID_TEXT_SIZE];
    size_t n;

    if (!list)
        return true;
    n = strcspn(list, ",");
    if (n == 1 && list[0] == '0')
        return true;
    session_device_uuid_text(&p->device, uuid);
    return n > strlen("GPU-") && n <= strlen(uuid) && strncmp(list, uuid, n) == 0;
}

/* Under the process's lock. */
static CUresult process_open(LibProcess *p)
{
    vgpu_session *s = NULL;
    int cuda = 0, r = vgpu_session_open(NULL, &s, &cuda);

    if (r != 0) {
        libcuda_log("no session: %s%s%s", r < 0 ? strerror(-r) : vgpu_strerror(r),
                    cuda != 0 ? ", CUDA error " : "", cuda != 0 ? vgpu_cuda_result_name(cuda) : "");
        return process_open_error(r, cuda);
    }
    r = vgpu_session_device_get(s, &p->device);
    if (r == 0)
        p->primary = libcuda_context_new(true);
    if (r == 0 && !p->primary)
        r = CUDA_ERROR_OUT_OF_MEMORY;
    if (r == 0) {
        process_find_address(p, s);
        device_hide_what_is_not_served(&p->device);
        if (!process_is_visible(p))
            r = CUDA_ERROR_NO_DEVICE;
    }
    if (r != 0) {
        vgpu_session_close(s);
        return r;
    }
    __atomic_store_n(&p->session, s, __ATOMIC_RELEASE);
    return CUDA_SUCCESS;
}

CUresult cuInit(unsigned flags)
{
    LibProcess *p = &libcuda_process;
    CUresult r = CUDA_SUCCESS;

    if (flags != 0)
        return CUDA_ERROR_INVALID_VALUE;
    if (p->is_child || __atomic_load_n(&p->is_over, __ATOMIC_ACQUIRE))
        return libcuda_unready();
    if (__atomic_load_n(&p->session, __ATOMIC_ACQUIRE))
        return CUDA_SUCCESS;
    pthread_mutex_lock(&p->lock);
    if (!p->session)
        r = process_open(p);
    pthread_mutex_unlock(&p->lock);
    return r;
}

/* A program may ask before cuInit(), to know whether there is a driver that is new enough. */
CUresult cuDriverGetVersion(int *version)
{
    if (!version)
        return CUDA_ERROR_INVALID_VALUE;
    (void) cuInit(0);
    *version = libcuda_version();
    return CUDA_SUCCESS;
}

/* ---- Each call ---------------------------------------------------------------------------------
 */

/* The first error of operations that nobody waited for. It is told once, as the driver tells what
 * earlier work has ended with. */
CUresult libcuda_take_error(vgpu_session *s)
{
    const VGPUSessionNone none = {0};
    VGPUSessionReply reply;
    int r = vgpu_session_call(s, VGPU_SESSION_OP_ERROR_TAKE, NULL, &none, sizeof(none), NULL, 0,
                              &reply);

    if (r == 0 && reply.value[0] != 0)
        libcuda_log("an operation without reply has ended with %d", (int) reply.value[0]);
    return r == 0 ? (CUresult) reply.value[0] : r;
}

CUresult libcuda_enter(LibCall *ret)
{
    vgpu_session *s = __atomic_load_n(&libcuda_process.session, __ATOMIC_ACQUIRE);
    CUresult r;

    if (!s)
        return libcuda_unready();
    if (vgpu_session_in_function())
        return CUDA_ERROR_NOT_PERMITTED;
    r = vgpu_session_get_sticky(s);
    if (r != CUDA_SUCCESS) /* what an assertion says comes before the program knows */
        vgpu_session_output(s, NULL);
    else
        r = vgpu_session_get_failure(s);
    if (r != CUDA_SUCCESS)
        return r;
    *ret = (LibCall){
        .session = s,
        .from = {.capture_mode = libcuda_thread.capture_mode, .thread = libcuda_thread_number()},
    };
    return CUDA_SUCCESS;
}

CUresult libcuda_enter_context(LibCall *ret)
{
    LibContext *c = libcuda_current();
    CUresult r = libcuda_enter(ret);

    if (r != CUDA_SUCCESS)
        return r;
    if (!c)
        return CUDA_ERROR_INVALID_CONTEXT;
    if (__atomic_load_n(&c->number, __ATOMIC_ACQUIRE) == 0)
        return CUDA_ERROR_CONTEXT_IS_DESTROYED;
    ret->context = c;
    ret->from.context = c->number;
    return CUDA_SUCCESS;
}

/* The executor does better with a context: it gives back what was freed in one. */
static LibContext *process_any_context(void)
{
    LibProcess *p = &libcuda_process;
    LibContext *c = libcuda_current();

    if (c && __atomic_load_n(&c->number, __ATOMIC_ACQUIRE) != 0)
        return c;
    pthread_mutex_lock(&p->lock);
    LIST_FOREACH(c, &p->contexts, all)
    if (__atomic_load_n(&c->number, __ATOMIC_ACQUIRE) != 0)
        break;
    pthread_mutex_unlock(&p->lock);
    return c;
}

CUresult libcuda_enter_any(LibCall *ret)
{
    CUresult r = libcuda_enter(ret);
    LibContext *c;

    if (r != CUDA_SUCCESS)
        return r;
    c = process_any_context();
    ret->context = c;
    ret->from.context = c ? __atomic_load_n(&c->number, __ATOMIC_ACQUIRE) : 0;
    return CUDA_SUCCESS;
}
