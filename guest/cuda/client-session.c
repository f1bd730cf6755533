/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Opening and closing a session, and its end. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "address-space.h"
#include "cleanup.h"
#include "client-internal.h"
#include "vgpu-ring.h"

#define CHECK_NSEC (100 * NSEC_PER_MSEC)
#define CLOSE_TIMEOUT_MS 1000
#define SPIN_FIRST_NSEC (50 * NSEC_PER_USEC)
#define RING_DEFAULT (UINT32_C(1) << 20)
#define SLOW_TRIAL 16384u /* bytes; at most VGPU_SESSION_RING_MIN */

/* ---- Children -------------------------------------------------------------------- */

/* All sessions of this process. A child that lives would keep the parent's locks and connections:
 * it closes them. */
static pthread_mutex_t all_lock = PTHREAD_MUTEX_INITIALIZER;
static LIST_HEAD(, vgpu_session) all = LIST_HEAD_INITIALIZER(all);
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void before_fork(void)
{
    pthread_mutex_lock(&all_lock);
    client_registered_before_fork();
}

static void after_fork(void)
{
    client_registered_after_fork();
    pthread_mutex_unlock(&all_lock);
}

static void in_child(void)
{
    vgpu_session *s;

    LIST_FOREACH(s, &all, all)
    {
        client_registered_in_child(s);
        s->transport->ops->forget(s->transport);
        s->share.lock_fd = -1;
        close(s->wake_fd);
        s->wake_fd = -1;
    }
    LIST_INIT(&all);
    after_fork();
}

static void watch_forks(void)
{
    pthread_atfork(before_fork, after_fork, in_child);
}

/* A page that the kernel clears in a child, however that is made */
static int own(vgpu_session *s)
{
    size_t size = (size_t) sysconf(_SC_PAGESIZE);
    uint32_t *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (page == MAP_FAILED)
        return -errno;
    s->owned = page;
    if (madvise(page, size, MADV_WIPEONFORK) < 0)
        return -errno;
    *page = 1;
    return 0;
}

static void disown(vgpu_session *s)
{
    if (s->owned)
        munmap((void *) s->owned, (size_t) sysconf(_SC_PAGESIZE));
}

/* ---- The end ----------------------------------------------------------------------- */

void client_fail(vgpu_session *s, int result)
{
    int none = 0;

    if (__atomic_compare_exchange_n(&s->failure, &none, result, false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_ACQUIRE))
        client_wait_wake_all(s);
}

static int failure_result(const vgpu_session *s, const transport_failure *f)
{
    int sticky = vgpu_session_get_sticky(s);

    if (sticky != 0)
        return sticky;
    if (f && f->error == VGPU_ERROR_TIMEOUT)
        return VGPU_CUDA_ERROR_LAUNCH_TIMEOUT;
    if (f && f->cuda_result > 0 && f->cuda_result <= INT32_MAX)
        return (int) f->cuda_result;
    return VGPU_CUDA_ERROR_UNKNOWN;
}

void client_check(vgpu_session *s, bool now)
{
    uint64_t clock = now_nsec();
    transport_failure failure;

    if (client_usable(s) != 0 ||
        (!now && clock < __atomic_load_n(&s->next_check, __ATOMIC_RELAXED)))
        return;

    __atomic_store_n(&s->next_check, clock + CHECK_NSEC, __ATOMIC_RELAXED);
    if (s->transport->ops->check(s->transport, &failure) > 0)
        client_fail(s, failure_result(s, &failure));
    else if (__atomic_load_n(&s->header->state, __ATOMIC_ACQUIRE) == VGPU_SESSION_STATE_ENDED)
        client_fail(s, failure_result(s, NULL));
}

int vgpu_session_get_failure(const vgpu_session *s)
{
    return client_usable(s);
}

/* A CUresult that the host wrote */
static int result_of(const uint32_t *shared)
{
    uint32_t result = __atomic_load_n(shared, __ATOMIC_ACQUIRE);

    return result > INT32_MAX ? VGPU_CUDA_ERROR_UNKNOWN : (int) result;
}

int vgpu_session_get_sticky(const vgpu_session *s)
{
    return result_of(&s->header->sticky);
}

int vgpu_session_get_latched(const vgpu_session *s)
{
    return result_of(&s->header->error);
}

const char *vgpu_session_get_name(const vgpu_session *s)
{
    return s->transport->name;
}

/* ---- Opening ----------------------------------------------------------------------- */

/* Which way: what the caller says, what the environment says, a device, the usual socket. */
static int open_transport(const vgpu_session_options *o, deadline until, transport **ret)
{
    const char *socket = o->socket;
    int r;

    if (o->socket && o->device)
        return -EINVAL;
    if (!socket && !o->device)
        socket = getenv("VGPU_SOCKET");
    if (socket && *socket)
        return transport_socket_open(socket, o, until, ret);

    r = transport_pci_open(o, until, ret);
    if (r != -ENODEV || o->device)
        return r;
    r = transport_socket_open(VGPU_SOCKET_PATH, o, until, ret);
    return r == -ENOENT || r == -ECONNREFUSED ? -ENODEV : r;
}

/* As the kernel has it: its first 15 bytes */
static void read_command(char ret[static VGPU_SESSION_COMMAND_MAX])
{
    const char *name = program_invocation_short_name;

    strncpy(ret, name ? name : "", VGPU_SESSION_COMMAND_MAX - 1);
}

/* A power of two: at most an eighth of a window that is the process's own, and of one that others
 * have, too, so much that each ring of a device leaves room for memory. */
static uint32_t ring_size_for(const vgpu_session_options *o, const transport *t)
{
    uint64_t room = t->window_size / (t->lock_fd < 0 ? 8 : 4 * VGPU_RINGS_MAX);
    uint32_t size = o->ring_size;

    if (size > 0)
        return size;
    size = RING_DEFAULT;
    while (size > VGPU_SESSION_RING_MIN && size > room)
        size /= 2;
    return size;
}

/* Write everything that an area contains at first. The host does not look at it yet. */
static int make_area(vgpu_session *s, const vgpu_session_options *o)
{
    const transport *t = s->transport;
    uint64_t size;
    int r;

    s->ring_size = ring_size_for(o, t);
    if (!vgpu_session_is_valid(t->window_size, 0, s->ring_size))
        return o->ring_size > 0 ? -EINVAL : -ENOSPC;
    size = vgpu_session_size(s->ring_size);
    r = share_alloc(&s->share, size, VGPU_SESSION_ALIGNMENT, &s->area);
    if (r < 0)
        return r;

    s->header = (VGPUSessionHeader *) (t->window + s->area);
    s->ring = (uint8_t *) (s->header + 1);
    s->replies = (VGPUSessionReply *) (s->ring + s->ring_size);
    memset(s->header, 0, (size_t) size);
    s->header->magic = VGPU_SESSION_MAGIC;
    s->header->version = VGPU_SESSION_VERSION;
    s->header->ring_size = s->ring_size;
    s->header->guest_pid = (uint32_t) getpid();
    s->header->window_base = o->only_asks ? 0 : (uintptr_t) t->window;
    s->header->flags = VGPU_SESSION_PINS;
    read_command(s->header->command);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    s->is_slow = copy_out_is_slow(s->ring, SLOW_TRIAL);
    return 0;
}

static void init_threads(vgpu_session *s)
{
    pthread_mutex_init(&s->ring_lock, NULL);
    pthread_mutex_init(&s->wait_lock, NULL);
    pthread_mutex_init(&s->memory_lock, NULL);
    pthread_mutex_init(&s->copy_lock, NULL);
    pthread_mutex_init(&s->pins.lock, NULL);
    deadline_cond_init(&s->reply_free);
    TAILQ_INIT(&s->waiters);
    for (uint32_t i = VGPU_SESSION_REPLIES; i > 0; i--)
        s->free_replies[s->n_free_replies++] = (uint16_t) i;
    s->spin_nsec = SPIN_FIRST_NSEC;
}

static void destroy_threads(vgpu_session *s)
{
    pthread_cond_destroy(&s->reply_free);
    pthread_mutex_destroy(&s->copy_lock);
    pthread_mutex_destroy(&s->pins.lock);
    pthread_mutex_destroy(&s->memory_lock);
    pthread_mutex_destroy(&s->wait_lock);
    pthread_mutex_destroy(&s->ring_lock);
}

/* A session without a ring yet */
static int session_new(transport *t, const vgpu_session_options *o, vgpu_session **ret)
{
    vgpu_session *s = calloc(1, sizeof(*s));
    int r;

    if (!s) {
        t->ops->close(t);
        return -ENOMEM;
    }
    *ret = s;
    s->transport = t;
    s->share.lock_fd = -1;
    init_threads(s);
    client_copy_init(s, o->copy_threads);
    client_output_init(s);
    client_hosts_init(s);
    r = own(s);
    s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (s->wake_fd < 0)
        return -errno;

    pthread_once(&once, watch_forks);
    pthread_mutex_lock(&all_lock);
    LIST_INSERT_HEAD(&all, s, all);
    pthread_mutex_unlock(&all_lock);
    return r;
}

static void cleanup_session(vgpu_session **s)
{
    vgpu_session_close(*s);
}

static int start(vgpu_session *s, deadline until, int *ret_cuda)
{
    transport_failure failure = {0};
    int r = s->transport->ops->start(s->transport, s->area, until, &failure);

    if (r <= 0)
        return r;
    if (ret_cuda)
        *ret_cuda =
            failure.cuda_result > INT32_MAX ? VGPU_CUDA_ERROR_UNKNOWN : (int) failure.cuda_result;
    return failure.error == VGPU_ERROR_NONE || failure.error > INT32_MAX ? -EPROTO
                                                                         : (int) failure.error;
}

int vgpu_session_open(const vgpu_session_options *options, vgpu_session **ret, int *ret_cuda)
{
    static const vgpu_session_options usual;
    const vgpu_session_options *o = options ? options : &usual;
    CLEANUP(cleanup_session) vgpu_session *s = NULL;
    deadline until = deadline_after(o->timeout_ms == 0 ? VGPU_SESSION_TIMEOUT_MS : o->timeout_ms);
    transport *t;
    int r;

    r = o->only_asks ? 0 : address_space_reserve();
    if (r < 0)
        return r;
    r = open_transport(o, until, &t);
    if (r != 0)
        return r;
    r = session_new(t, o, &s);
    if (r == 0)
        r = client_window_init(s);
    if (r == 0)
        r = client_pins_init(s);
    if (r == 0)
        r = make_area(s, o);
    if (r == 0)
        r = start(s, until, ret_cuda);
    if (r != 0)
        return r;

    *ret = TAKE_PTR(s);
    return 0;
}

vgpu_session *vgpu_session_close(vgpu_session *s)
{
    bool is_forgotten;

    if (!s)
        return NULL;

    is_forgotten = s->wake_fd < 0;
    client_hosts_stop(s);
    if (!is_forgotten) {
        if (s->owned && *s->owned == 1)
            s->transport->ops->stop(s->transport, deadline_after(CLOSE_TIMEOUT_MS));
        else /* a child that was made without its handlers */
            s->transport->ops->forget(s->transport);
        pthread_mutex_lock(&all_lock);
        LIST_REMOVE(s, all);
        pthread_mutex_unlock(&all_lock);
        close(s->wake_fd);
    }
    is_forgotten = is_forgotten || !s->owned || *s->owned != 1;
    client_hosts_destroy(s);
    client_registered_destroy(s, is_forgotten);
    client_copy_destroy(s, is_forgotten);
    client_output_destroy(s);
    client_linked_destroy(s);
    s->share.lock_fd = -1; /* the transport gives all locks back, that of the ring first */
    client_window_destroy(s);
    client_claims_destroy(s);
    client_pins_destroy(s);
    client_ids_destroy(s);
    destroy_threads(s);
    s->transport->ops->close(s->transport);
    disown(s);
    free(s);
    return NULL;
}
