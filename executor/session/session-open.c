/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session-open.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "parse.h"
#include "session-ahead.h"
#include "session-captures.h"
#include "session-containment.h"
#include "session-hosts.h"
#include "session-launch.h"
#include "session-log.h"
#include "session-loop.h"
#include "session-marks.h"
#include "session-objects.h"
#include "session-reply.h"
#include "session-store.h"
#include "session-window.h"

Session *session_new(int socket)
{
    Session *s = calloc(1, sizeof(*s));

    if (!s)
        return NULL;
    s->socket = socket;
    s->ordinal = -1;
    s->started.type = SESSION_MSG_STARTED;
    for (unsigned i = 0; i < SESSION_N_FDS; i++)
        s->fds[i] = -1;
    pthread_mutex_init(&s->lock, NULL);
    pthread_mutex_init(&s->end_lock, NULL);
    pthread_mutex_init(&s->ask.lock, NULL);
    pthread_cond_init(&s->ask.come, NULL);
    session_launch_open(s);
    return s;
}

/* ---- The driver -------------------------------------------------------------------------------
 */

static int open_check(Session *s, CUresult result, const char *what)
{
    if (result == CUDA_SUCCESS)
        return 0;
    s->started.cuda_result = (uint32_t) result;
    session_log("%s: %s (%d)", what, cuda_driver_error_name(&s->driver.base, result), result);
    if (result == CUDA_ERROR_OUT_OF_MEMORY)
        return -ENOMEM;
    return cuda_error_is_sticky(result) ? -EIO : -ENODEV;
}

/* A number is an ordinal. Of a device that has a name the driver shows no other. */
static int open_choose(const char *device, uint32_t *ret_ordinal)
{
    *ret_ordinal = 0;
    if (device[0] == '\0' || parse_u32(device, 0, INT32_MAX, ret_ordinal) == 0)
        return 0;
    return setenv("CUDA_VISIBLE_DEVICES", device, 1) < 0 ? -errno : 0;
}

int session_open_driver(Session *s, const char *device)
{
    const CudaDriver *d = &s->driver.base;
    uint32_t ordinal;
    char reason[256];
    int r;

    if (s->ordinal >= 0)
        return 0;
    r = open_choose(device, &ordinal);
    if (r == 0 && !d->shared_object) {
        r = cuda_session_driver_open(&s->driver, reason, sizeof(reason));
        if (r < 0) {
            s->started.cuda_result = CUDA_ERROR_NO_DEVICE;
            session_log("no CUDA: %s", reason);
        }
    }
    if (r == 0)
        r = open_check(s, d->init(0), "cuInit");
    if (r == 0)
        r = open_check(s, d->device_get(&s->device, (int) ordinal), "device");
    if (r == 0)
        s->ordinal = (int) ordinal;
    return r;
}

int session_open_warm(Session *s)
{
    int r;

    if (s->ordinal < 0 || s->warm)
        return 0;
    r = open_check(s, s->driver.base.primary_ctx_retain(&s->warm, s->device), "context");
    if (r < 0)
        return r;
    r = session_containment_tighten();
    if (r < 0)
        session_log("containment: %s", strerror(-r));
    return r;
}

/* ---- What the mediator sent ---------------------------------------------------------------------
 */

/* A page of the mediator's. Returns NULL when that is none, or with errno set when it cannot be
 * mapped. */
static void *open_page(int fd, size_t size)
{
    int seals = fcntl(fd, F_GET_SEALS);
    struct stat st;
    void *memory;

    errno = EINVAL;
    if (seals < 0 || !(seals & F_SEAL_SHRINK) || fstat(fd, &st) < 0 || st.st_size < (off_t) size)
        return NULL;
    memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

static int open_pages(Session *s)
{
    s->control = open_page(s->fds[SESSION_FD_CONTROL], sizeof(*s->control));
    if (s->control)
        s->account = open_page(s->fds[SESSION_FD_ACCOUNT], sizeof(*s->account));
    if (s->account)
        return 0;
    session_log("the mediator sent no %s", s->control ? "account" : "control page");
    return errno == EINVAL ? -EINVAL : -ENOMEM;
}

static int open_window(Session *s)
{
    int r = session_window_open(&s->window, s->fds[SESSION_FD_WINDOW]);

    if (r == 0)
        r = session_window_map(&s->window, 0);
    if (r < 0)
        session_log("window: %s", strerror(-r));
    return r;
}

/* ---- What the guest wrote -----------------------------------------------------------------------
 */

static int open_refuse(Session *s, int error, const char *reason)
{
    session_log("%s: %s", s->start.name, reason);
    if (s->header)
        session_set_state(s, VGPU_SESSION_STATE_REFUSED);
    return error;
}

static void open_place(Session *s, uint32_t ring_size)
{
    unsigned char *area = s->window.memory + s->start.offset;

    s->header = (VGPUSessionHeader *) area;
    s->replies = (VGPUSessionReply *) (area + VGPU_SESSION_HEADER_SIZE + ring_size);
}

/* What CUDA is to know of the window from the first context on */
static int open_pins(Session *s, const VGPUSessionHeader *copy)
{
    if (copy->flags & VGPU_SESSION_PINS)
        return session_window_keep(&s->window, s->start.offset, vgpu_session_size(copy->ring_size));
    return session_window_keep(&s->window, 0, s->window.size);
}

static int open_area(Session *s)
{
    uint64_t offset = s->start.offset;
    VGPUSessionHeader copy;
    int r;

    if (offset % VGPU_SESSION_ALIGNMENT != 0 || offset > s->window.size ||
        s->window.size - offset < VGPU_SESSION_HEADER_SIZE)
        return open_refuse(s, -EPROTO, "the guest's area is not in its window");
    memcpy(&copy, s->window.memory + offset, sizeof(copy));
    open_place(s, 0);
    if (copy.magic != VGPU_SESSION_MAGIC || copy.version != VGPU_SESSION_VERSION ||
        !vgpu_session_is_valid(s->window.size, offset, copy.ring_size))
        return open_refuse(s, -EPROTO, "the guest's area is no session's");
    if (copy.tail != 0)
        return open_refuse(s, -EPROTO, "the guest's ring does not begin at 0");
    if ((copy.flags & ~VGPU_SESSION_PINS) != 0)
        return open_refuse(s, -EPROTO, "the guest's area has flags that mean nothing");

    if (copy.window_base != 0) {
        r = session_window_map(&s->window, copy.window_base);
        if (r < 0) {
            s->header = NULL;
            if (session_window_map(&s->window, 0) == 0)
                open_place(s, 0);
            return open_refuse(s, r, "the window cannot lie where the guest has it");
        }
    }
    open_place(s, copy.ring_size);
    if (session_window_is_lost(s))
        return open_refuse(s, -EPROTO, "the VM took memory of its window away");
    r = open_pins(s, &copy);
    if (r < 0)
        return r;

    session_ring_init(&s->ring, (unsigned char *) s->header + VGPU_SESSION_HEADER_SIZE,
                      &s->header->tail, copy.ring_size);
    s->started.guest_pid = copy.guest_pid;
    memcpy(s->started.command, copy.command, sizeof(s->started.command));
    s->started.command[sizeof(s->started.command) - 1] = '\0';
    __atomic_store_n(&s->header->head, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&s->header->sticky, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&s->header->error, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&s->header->device_usec, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&s->header->n_contexts, 0, __ATOMIC_RELAXED);
    return 0;
}

int session_open(Session *s)
{
    uint32_t n_streams = s->start.objects_max + SESSION_CONTEXTS_MAX;
    int r;

    s->started.cuda_result = CUDA_SUCCESS; /* whatever WARM came to */
    r = open_pages(s);
    if (r == 0)
        r = open_window(s);
    if (r == 0)
        r = open_area(s);
    if (r == 0)
        r = session_open_driver(s, s->start.device);
    if (r < 0)
        return r;

    if (s->start.busy_poll_usec > BUSY_POLL_MAX_USEC)
        s->start.busy_poll_usec = BUSY_POLL_MAX_USEC;
    session_objects_init(s, s->start.objects_max);
    s->store = session_store_new(&s->start, s->control, s->account);
    if (!s->store)
        return -ENOMEM;
    s->meter.idle_nsec = UINT64_MAX;
    session_ahead_open(s);
    session_captures_open(s);
    r = session_marks_open(s, n_streams);
    if (r == 0)
        r = session_hosts_open(s);
    if (r == 0)
        r = session_loop_open(s);
    if (r == 0)
        session_memory_show(&s->store->memory, &s->header->memory);
    return r;
}
