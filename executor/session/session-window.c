/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session-window.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "session-store.h"
#include "vgpu-ring.h"

#define WINDOW_BASE_ALIGNMENT (UINT64_C(1) << 21)
#define WINDOW_PAGE UINT64_C(4096)

int session_window_open(SessionWindow *w, int fd)
{
    int seals = fcntl(fd, F_GET_SEALS);
    struct stat st;

    *w = (SessionWindow){.fd = fd, .pins_lock = PTHREAD_MUTEX_INITIALIZER};
    /* What the guest says is checked against the size, so the size must not change. */
    if (seals < 0 || !(seals & F_SEAL_SHRINK))
        return -EINVAL;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (st.st_size < 0 || (uint64_t) st.st_size < VGPU_WINDOW_SIZE_MIN ||
        (uint64_t) st.st_size > VGPU_WINDOW_SIZE_MAX)
        return -EINVAL;
    w->size = (uint64_t) st.st_size;
    return 0;
}

int session_window_map(SessionWindow *w, uint64_t base)
{
    /* In the place of nothing of this process: the guest names the address. */
    int flags = MAP_SHARED | (base != 0 ? MAP_FIXED_NOREPLACE : 0);
    void *memory;

    if (base % WINDOW_BASE_ALIGNMENT != 0 || base > UINT64_MAX - w->size)
        return -EINVAL;
    session_window_close(w);
    memory = mmap((void *) base, w->size, PROT_READ | PROT_WRITE, flags, w->fd, 0);
    if (memory == MAP_FAILED)
        return -errno;
    if (base != 0 && (uint64_t) memory != base) { /* a kernel without MAP_FIXED_NOREPLACE */
        munmap(memory, w->size);
        return -EEXIST;
    }

    w->memory = memory;
    w->base = base;
    memory_guard_add(&w->guard, memory, w->size);
    return 0;
}

void session_window_close(SessionWindow *w)
{
    free(w->pins);
    w->pins = NULL;
    w->n_pins = 0;
    if (!w->memory)
        return;
    memory_guard_remove(&w->guard);
    munmap(w->memory, w->size);
    w->memory = NULL;
}

/* ---- Pins, with their lock held ---------------------------------------------------------------
 */

/* The first that ends behind @offset, or n_pins */
static size_t pin_from(const SessionWindow *w, uint64_t offset)
{
    size_t low = 0, high = w->n_pins;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (w->pins[middle].offset + w->pins[middle].size <= offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The one with this byte, or NULL */
static const SessionPin *pin_at(const SessionWindow *w, uint64_t offset)
{
    size_t i = pin_from(w, offset);

    return i < w->n_pins && w->pins[i].offset <= offset ? &w->pins[i] : NULL;
}

static bool pin_insert(SessionWindow *w, const SessionPin *pin)
{
    size_t at = pin_from(w, pin->offset);
    SessionPin *more = realloc(w->pins, (w->n_pins + 1) * sizeof(*more));

    if (!more)
        return false;
    w->pins = more;
    memmove(more + at + 1, more + at, (w->n_pins - at) * sizeof(*more));
    more[at] = *pin;
    w->n_pins++;
    return true;
}

/* ---- Pins ---------------------------------------------------------------------------------------
 */

int session_window_keep(SessionWindow *w, uint64_t offset, uint64_t size)
{
    return pin_insert(w, &(SessionPin){.offset = offset, .size = size}) ? 0 : -ENOMEM;
}

static CUresult pin_register(Session *s, SessionPin *pin, CUcontext context)
{
    const CudaDriver *d = &s->driver.base;
    const SessionWindow *w = &s->window;
    unsigned char *memory = w->memory + pin->offset;
    CUdeviceptr device;
    CUresult r;

    r = d->mem_host_register(memory, pin->size,
                             CU_MEMHOSTREGISTER_PORTABLE | CU_MEMHOSTREGISTER_DEVICEMAP);
    if (r != CUDA_SUCCESS && r != CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED)
        return r;
    r = d->mem_host_get_device_pointer(&device, memory, 0);
    /* Addresses in the window have to mean the same to the guest's program and its kernels. */
    if (r == CUDA_SUCCESS && w->base != 0 && device != w->base + pin->offset)
        r = CUDA_ERROR_NOT_SUPPORTED;
    if (r != CUDA_SUCCESS) {
        (void) d->mem_host_unregister(memory);
        return r;
    }
    pthread_mutex_lock(&s->window.pins_lock);
    pin->device = device;
    pin->registered_in = context;
    pthread_mutex_unlock(&s->window.pins_lock);
    return CUDA_SUCCESS;
}

/* The lock is not held while the driver works: this thread alone changes the pins. */
CUresult session_window_register(Session *s, CUcontext context)
{
    int mode = session_exchange_capture_mode(s, SESSION_CAPTURE_MODE_RELAXED);
    SessionWindow *w = &s->window;
    CUresult r = CUDA_SUCCESS;

    for (size_t i = 0; r == CUDA_SUCCESS && i < w->n_pins; i++)
        if (!w->pins[i].registered_in)
            r = pin_register(s, &w->pins[i], context);
    (void) session_exchange_capture_mode(s, mode);
    return r;
}

void session_window_forget(Session *s, CUcontext context, bool is_last)
{
    SessionWindow *w = &s->window;

    for (size_t i = 0; i < w->n_pins; i++) {
        if (w->pins[i].registered_in != context)
            continue;
        if (is_last)
            (void) s->driver.base.mem_host_unregister(w->memory + w->pins[i].offset);
        w->pins[i].registered_in = NULL;
    }
}

static CUresult pin_add(Session *s, SessionPin *pin)
{
    SessionWindow *w = &s->window;
    CUresult r = pin_register(s, pin, session_thread()->context->handle);
    bool added;

    if (r != CUDA_SUCCESS)
        return r;
    pthread_mutex_lock(&w->pins_lock);
    added = pin_insert(w, pin);
    pthread_mutex_unlock(&w->pins_lock);
    if (added)
        return CUDA_SUCCESS;
    (void) s->driver.base.mem_host_unregister(w->memory + pin->offset);
    return CUDA_ERROR_OUT_OF_MEMORY;
}

/* The guest's library pins what it needs for itself at any time, in threads that capture, too. */
CUresult session_op_WINDOW_PIN(Session *s, SessionCall *call)
{
    const VGPUSessionPin *p = call->parameters;
    const uint64_t offset = p->bytes.offset, size = p->bytes.size;
    SessionPin pin = {.offset = offset, .size = size};
    SessionWindow *w = &s->window;
    size_t next;
    CUresult r;
    int mode;

    if (size == 0 || offset % WINDOW_PAGE != 0 || size % WINDOW_PAGE != 0 ||
        !session_window(s, offset, size))
        return CUDA_ERROR_INVALID_VALUE;
    next = pin_from(w, offset);
    if (next < w->n_pins && w->pins[next].offset < offset + size)
        return w->pins[next].offset == offset && w->pins[next].size == size
                   ? CUDA_SUCCESS
                   : CUDA_ERROR_INVALID_VALUE;
    if (w->n_pins > VGPU_SESSION_PINS_MAX) /* one is the session's own area */
        return CUDA_ERROR_OUT_OF_MEMORY;
    mode = session_exchange_capture_mode(s, SESSION_CAPTURE_MODE_RELAXED);
    r = pin_add(s, &pin);
    (void) session_exchange_capture_mode(s, mode);
    return r;
}

/* ---- Looking -------------------------------------------------------------------------------- */

bool session_window_is_lost(const Session *s)
{
    return memory_guard_is_lost(&s->window.guard);
}

bool session_window_device(Session *s, uint64_t offset, uint64_t size, CUdeviceptr *ret)
{
    SessionWindow *w = &s->window;
    const SessionPin *pin;
    bool has;

    pthread_mutex_lock(&w->pins_lock);
    pin = pin_at(w, offset);
    has = pin && size <= pin->size - (offset - pin->offset);
    if (has)
        *ret = pin->device + (offset - pin->offset);
    pthread_mutex_unlock(&w->pins_lock);
    return has;
}

unsigned char *session_window(Session *s, uint64_t offset, uint64_t size)
{
    if (offset > s->window.size || size > s->window.size - offset)
        return NULL;
    return s->window.memory + offset;
}

static bool window_is_in(const SessionWindow *w, uint64_t address, uint64_t size)
{
    return w->base != 0 && address >= w->base && address - w->base <= w->size &&
           size <= w->size - (address - w->base);
}

bool session_window_has(Session *s, uint64_t address, uint64_t size)
{
    SessionWindow *w = &s->window;
    const SessionPin *pin = NULL;
    uint64_t offset, end;

    if (size == 0 || !window_is_in(w, address, size))
        return false;
    offset = address - w->base;
    end = offset + size;
    pthread_mutex_lock(&w->pins_lock);
    while (offset < end && (pin = pin_at(w, offset)))
        offset = pin->offset + pin->size;
    pthread_mutex_unlock(&w->pins_lock);
    return offset >= end;
}

uint64_t session_window_run(Session *s, uint64_t address)
{
    SessionWindow *w = &s->window;
    const SessionPin *pin;
    uint64_t run = UINT64_MAX;

    if (!window_is_in(w, address, 1))
        return UINT64_MAX;
    pthread_mutex_lock(&w->pins_lock);
    pin = pin_at(w, address - w->base);
    if (pin)
        run = pin->offset + pin->size - (address - w->base);
    pthread_mutex_unlock(&w->pins_lock);
    return run;
}
