/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session-hosts.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "session-reply.h"
#include "session-window.h"

/* Values of the executor's word */
enum {
    HOST_WAITS = 0,
    HOST_DONE = 1,
    HOST_NOT_CALLED = 2,
};

#define HOST_ALIGNMENT 16u

typedef enum HostState {
    HOST_FREE,
    HOST_IN_STREAM,
    HOST_IN_GRAPH,
} HostState;

struct SessionHost {
    Session *session;
    uint64_t offset, value;
    CUuserObject object; /* HOST_IN_GRAPH: the ring's thread's */
    HostState state;
    uint32_t next; /* HOST_FREE: the next one that is; else its place among the used ones */
};

/* ---- Places ---------------------------------------------------------------------------------- */

int session_hosts_open(Session *s)
{
    SessionHosts *h = &s->hosts;

    pthread_mutex_init(&h->lock, NULL);
    h->all = calloc(VGPU_SESSION_HOST_CALLS_MAX, sizeof(*h->all));
    h->used = calloc(VGPU_SESSION_HOST_CALLS_MAX, sizeof(*h->used));
    if (!h->all || !h->used)
        return -ENOMEM;
    for (uint32_t i = 0; i < VGPU_SESSION_HOST_CALLS_MAX; i++)
        h->all[i].next = i + 1;
    return 0;
}

static uint64_t *host_guest_words(const struct SessionHost *host)
{
    return (uint64_t *) (void *) (host->session->window.memory + host->offset);
}

static uint64_t *host_word(const Session *s, uint32_t place)
{
    return &s->marks.words[s->marks.n + place];
}

static uint64_t host_word_is(const Session *s, uint32_t place)
{
    return __atomic_load_n(host_word(s, place), __ATOMIC_ACQUIRE);
}

/* With the lock held. The guest may have the words for something else from now on. */
static void host_free(SessionHosts *h, uint32_t place)
{
    struct SessionHost *host = &h->all[place];
    uint32_t last = h->used[--h->n_used];

    assert(host->state != HOST_FREE);
    h->used[host->next] = last;
    h->all[last].next = host->next;
    __atomic_store_n(&host_guest_words(host)[1], VGPU_SESSION_HOST_ENDED, __ATOMIC_RELEASE);
    host->state = HOST_FREE;
    host->next = h->first_free;
    h->first_free = place;
}

/* With the lock held: what is done in streams */
static void hosts_reap(Session *s)
{
    SessionHosts *h = &s->hosts;

    for (uint32_t i = h->n_used; i > 0; i--) {
        const uint32_t place = h->used[i - 1];

        if (h->all[place].state == HOST_IN_STREAM && host_word_is(s, place) == HOST_DONE)
            host_free(h, place);
    }
}

static uint32_t host_new(Session *s, const VGPUSessionFence *p, HostState state)
{
    SessionHosts *h = &s->hosts;
    uint32_t place;

    pthread_mutex_lock(&h->lock);
    if (h->first_free == VGPU_SESSION_HOST_CALLS_MAX)
        hosts_reap(s);
    place = h->first_free;
    if (place != VGPU_SESSION_HOST_CALLS_MAX) {
        h->first_free = h->all[place].next;
        h->all[place] = (struct SessionHost){
            .session = s,
            .offset = p->offset,
            .value = p->value,
            .state = state,
            .next = h->n_used,
        };
        h->used[h->n_used++] = place;
    }
    pthread_mutex_unlock(&h->lock);
    return place;
}

void session_host_give(Session *s, uint32_t place)
{
    pthread_mutex_lock(&s->hosts.lock);
    host_free(&s->hosts, place);
    pthread_mutex_unlock(&s->hosts.lock);
}

/* ---- The call ---------------------------------------------------------------------------------
 */

/* On a thread of the driver's, which may not be called here. Nothing is read from the window. */
static void session_host_call(void *data)
{
    const struct SessionHost *host = data;
    Session *s = host->session;
    uint64_t *words = host_guest_words(host);

    __atomic_store_n(host_word(s, (uint32_t) (host - s->hosts.all)), HOST_WAITS, __ATOMIC_SEQ_CST);
    __atomic_add_fetch(&s->hosts.n_calls, 1, __ATOMIC_SEQ_CST);
    __atomic_store_n(&words[1], 0, __ATOMIC_RELAXED);
    __atomic_store_n(&words[0], host->value, __ATOMIC_SEQ_CST);
    session_signal(s);
}

static SessionHostWork host_work(Session *s, uint32_t place, bool is_new)
{
    CUdeviceptr guest = 0;

    /* It was pinned when the place was taken, and that lasts. */
    (void) session_window_device(s, s->hosts.all[place].offset, HOST_ALIGNMENT, &guest);
    return (SessionHostWork){
        .place = place,
        .is_new = is_new,
        .host = {session_host_call, &s->hosts.all[place]},
        .ops =
            {
                {
                    .operation = CU_STREAM_MEM_OP_WAIT_VALUE_64,
                    .address = guest + sizeof(uint64_t),
                    .value = 1,
                    .flags = CU_STREAM_WAIT_VALUE_GEQ,
                },
                {
                    .operation = CU_STREAM_MEM_OP_WRITE_VALUE_64,
                    .address = s->marks.device + (s->marks.n + place) * sizeof(uint64_t),
                    .value = HOST_DONE,
                },
            },
    };
}

CUresult session_host_take(Session *s, const VGPUSessionFence *p, bool in_graph,
                           SessionHostWork *ret)
{
    CUdeviceptr guest;
    uint32_t place;

    if (p->offset % HOST_ALIGNMENT != 0 ||
        !session_window_device(s, p->offset, HOST_ALIGNMENT, &guest) || p->reserved != 0 ||
        p->reserved2 != 0)
        return CUDA_ERROR_INVALID_VALUE;
    place = host_new(s, p, in_graph ? HOST_IN_GRAPH : HOST_IN_STREAM);
    if (place == VGPU_SESSION_HOST_CALLS_MAX)
        return CUDA_ERROR_OUT_OF_MEMORY;
    __atomic_store_n(host_word(s, place), HOST_NOT_CALLED, __ATOMIC_RELEASE);
    *ret = host_work(s, place, true);
    return CUDA_SUCCESS;
}

CUresult session_host_take_again(Session *s, const VGPUSessionFence *p, const uint32_t *places,
                                 uint32_t n, SessionHostWork *ret)
{
    for (uint32_t i = 0; i < n; i++) {
        const struct SessionHost *host = &s->hosts.all[places[i]];

        if (host->offset != p->offset || host->value != p->value)
            continue;
        *ret = host_work(s, places[i], false);
        return CUDA_SUCCESS;
    }
    return session_host_take(s, p, true, ret);
}

/* ---- In graphs --------------------------------------------------------------------------------
 */

/* The destructor of a user object: of the driver's thread, or inside a call of ours. */
static void host_end(void *data)
{
    const struct SessionHost *host = data;

    session_host_give(host->session, (uint32_t) (host - host->session->hosts.all));
}

CUresult session_host_keep(Session *s, CUgraph graph, uint32_t place)
{
    struct SessionHost *host = &s->hosts.all[place];
    CUuserObject object;
    CUresult r =
        s->driver.user_object_create(&object, host, host_end, 1, CU_USER_OBJECT_NO_DESTRUCTOR_SYNC);

    if (r != CUDA_SUCCESS) {
        session_host_give(s, place);
        return r;
    }
    host->object = object;
    r = s->driver.graph_retain_user_object(graph, object, 1, CU_GRAPH_USER_OBJECT_MOVE);
    if (r != CUDA_SUCCESS)
        (void) s->driver.user_object_release(object, 1);
    return r;
}

void session_host_leave(Session *s, CUgraph graph, uint32_t place)
{
    (void) s->driver.graph_release_user_object(graph, s->hosts.all[place].object, 1);
}

bool session_host_is(Session *s, const CudaHostNode *node)
{
    const uintptr_t at = (uintptr_t) node->user_data, all = (uintptr_t) s->hosts.all;
    const size_t size = sizeof(struct SessionHost);

    return node->function == session_host_call && at >= all && (at - all) % size == 0 &&
           (at - all) / size < VGPU_SESSION_HOST_CALLS_MAX;
}

uint32_t session_host_place(Session *s, const CudaHostNode *node, VGPUSessionFence *ret)
{
    const struct SessionHost *host = node->user_data;

    *ret = (VGPUSessionFence){.offset = host->offset, .value = host->value};
    return (uint32_t) (host - s->hosts.all);
}

/* ---- Who waits --------------------------------------------------------------------------------
 */

uint32_t session_hosts_waiting(Session *s, uint32_t *ret_graphs, uint64_t *ret_calls)
{
    SessionHosts *h = &s->hosts;
    uint32_t n = 0;

    *ret_graphs = 0;
    *ret_calls = __atomic_load_n(&h->n_calls, __ATOMIC_SEQ_CST);
    /* Nobody begins to wait without a call. */
    if (h->seen_waiting == 0 && h->seen_calls == *ret_calls)
        return 0;
    pthread_mutex_lock(&h->lock);
    for (uint32_t i = 0; i < h->n_used; i++) {
        const uint32_t place = h->used[i];

        if (host_word_is(s, place) != HOST_WAITS)
            continue;
        n++;
        *ret_graphs += h->all[place].state == HOST_IN_GRAPH;
    }
    /* Last: what is done by now, and was counted, is looked for again. In the other order, one that
     * gets done between the two would be neither reaped nor counted, and nobody would look. */
    hosts_reap(s);
    pthread_mutex_unlock(&h->lock);
    h->seen_waiting = n;
    h->seen_calls = *ret_calls;
    return n;
}
