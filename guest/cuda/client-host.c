/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Functions of the program in streams and graphs. Each has two words in the window, in a cache line
 * of its own (vgpu-session.h, HOST_CALL): the host writes a value to the first to have it called,
 * the thread writes 1 to the second when that is done, and the host writes
 * VGPU_SESSION_HOST_ENDED there when the line may be used for another function.
 *
 * The host can write anything there. A value that is not the function's own calls nothing; a call
 * that the stream did not make calls a function of the program's too often.
 */
#include <assert.h>
#include <signal.h>
#include <stdlib.h>

#include "client-internal.h"

#define HOST_DONE 1u

struct client_host {
    TAILQ_ENTRY(client_host) link;
    uint64_t *words;
    uint64_t value;
    vgpu_session_host host;
    bool is_given; /* the host has taken it */
    bool was_called;
    bool is_running;
    bool is_refused;
};

/* For those who ask in which thread they are; in the static block, as asking is to cost nothing */
static __thread bool host_is_inside __attribute__((tls_model("initial-exec")));

bool vgpu_session_in_function(void)
{
    return host_is_inside;
}

static uint64_t word_of(const client_host *h, unsigned int which)
{
    return __atomic_load_n(&h->words[which], __ATOMIC_ACQUIRE);
}

static void host_free(vgpu_session *s, client_host *h)
{
    TAILQ_REMOVE(&s->hosts, h, link);
    if (h->host.end)
        h->host.end(h->host.userdata);
    client_line_give(s, h->words);
    free(h);
}

/* Nothing moves on in the streams any more. */
static bool host_has_ended(const vgpu_session *s)
{
    return client_usable(s) != 0 || vgpu_session_get_sticky(s) != 0;
}

static bool host_is_due(const vgpu_session *s, const client_host *h)
{
    if (h->host.is_callback && h->is_given && !h->was_called && host_has_ended(s))
        return true;
    return client_usable(s) == 0 && word_of(h, 0) == h->value;
}

/* With the lock held: those that are over are forgotten. Returns one that is to be called, or NULL.
 */
static client_host *host_next(vgpu_session *s)
{
    client_host *h, *next;

    for (h = TAILQ_FIRST(&s->hosts); h; h = next) {
        next = TAILQ_NEXT(h, link);
        if (h->is_running || h->is_refused)
            continue;
        if (host_is_due(s, h))
            return h;
        if (h->is_given && word_of(h, 1) == VGPU_SESSION_HOST_ENDED)
            host_free(s, h);
    }
    return NULL;
}

bool client_hosts_come(vgpu_session *s)
{
    bool come;

    pthread_mutex_lock(&s->host_lock);
    come = s->host_stop || TAILQ_EMPTY(&s->hosts) || host_next(s);
    pthread_mutex_unlock(&s->host_lock);
    return come;
}

/* What the host has refused: it may have begun with it, so its line is not used again. */
static void host_forget(vgpu_session *s, client_host *h)
{
    TAILQ_REMOVE(&s->hosts, h, link);
    free(h);
}

/* ---- The thread ------------------------------------------------------------------- */

/* The first word is cleared before the second says that it is done: a graph that is launched again
 * may write the first at once. The next time the others come first. */
static void host_run(vgpu_session *s, client_host *h)
{
    h->is_running = true;
    h->was_called = true;
    TAILQ_REMOVE(&s->hosts, h, link);
    TAILQ_INSERT_TAIL(&s->hosts, h, link);
    __atomic_store_n(&h->words[0], 0, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&s->host_lock);
    host_is_inside = true;
    h->host.function(h->host.userdata);
    host_is_inside = false;
    pthread_mutex_lock(&s->host_lock);
    h->is_running = false;
    if (h->is_refused) /* client_host_given() waits for it, and forgets it */
        pthread_cond_broadcast(&s->host_more);
    else
        __atomic_store_n(&h->words[1], HOST_DONE, __ATOMIC_RELEASE);
}

/* With the lock held; until there may be something to do. Returns 0, or the session's failure. */
static int host_wait(vgpu_session *s)
{
    client_waiter w = {.for_hosts = true};
    int r;

    if (TAILQ_EMPTY(&s->hosts)) {
        pthread_cond_wait(&s->host_more, &s->host_lock);
        return 0;
    }
    pthread_mutex_unlock(&s->host_lock);
    r = client_wait_sleep(s, &w);
    pthread_mutex_lock(&s->host_lock);
    return r;
}

static void *host_thread(void *data)
{
    vgpu_session *s = data;
    int r = 0;

    pthread_mutex_lock(&s->host_lock);
    while (!s->host_stop) {
        client_host *h = host_next(s);

        if (h)
            host_run(s, h);
        else if (r != 0 || client_usable(s) != 0)
            break;
        else
            r = host_wait(s);
    }
    pthread_mutex_unlock(&s->host_lock);
    return NULL;
}

/* With the lock held. Signals are for the program's own threads. */
static int host_start(vgpu_session *s)
{
    sigset_t all, before;
    int r;

    if (s->host_runs)
        return 0;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    r = pthread_create(&s->host_thread, NULL, host_thread, s);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    s->host_runs = r == 0;
    return r == 0 ? 0 : VGPU_CUDA_ERROR_OUT_OF_MEMORY;
}

void client_hosts_init(vgpu_session *s)
{
    pthread_mutex_init(&s->host_lock, NULL);
    pthread_cond_init(&s->host_more, NULL);
    TAILQ_INIT(&s->hosts);
}

void client_hosts_stop(vgpu_session *s)
{
    /* In a child of the process that has the thread, the lock may be taken for ever. */
    if (!s->owned || *s->owned != 1)
        return;
    pthread_mutex_lock(&s->host_lock);
    s->host_stop = true;
    pthread_cond_broadcast(&s->host_more);
    pthread_mutex_unlock(&s->host_lock);
    if (!s->host_runs)
        return;
    client_wait_wake_all(s);
    pthread_join(s->host_thread, NULL);
    s->host_runs = false;
}

/* The lines go with the window. */
void client_hosts_destroy(vgpu_session *s)
{
    client_host *h;

    while ((h = TAILQ_FIRST(&s->hosts))) {
        TAILQ_REMOVE(&s->hosts, h, link);
        free(h);
    }
    if (s->host_runs) /* a child, as above: nothing of it is destroyed but memory */
        return;
    pthread_cond_destroy(&s->host_more);
    pthread_mutex_destroy(&s->host_lock);
}

/* ---- Functions -------------------------------------------------------------------- */

int client_host_new(vgpu_session *s, const vgpu_session_host *host, client_host **ret,
                    VGPUSessionFence *ret_fence)
{
    client_host *h;
    int r = client_usable(s);

    if (r != 0)
        return r;
    if (!host->function)
        return VGPU_CUDA_ERROR_INVALID_VALUE;
    h = calloc(1, sizeof(*h));
    if (!h)
        return VGPU_CUDA_ERROR_OUT_OF_MEMORY;
    h->host = *host;
    r = client_line_take(s, &h->words);
    if (r != 0) {
        free(h);
        return r;
    }
    __atomic_store_n(&h->words[0], 0, __ATOMIC_RELAXED);
    __atomic_store_n(&h->words[1], 0, __ATOMIC_RELEASE);

    pthread_mutex_lock(&s->host_lock);
    h->value = ++s->host_value;
    r = host_start(s);
    if (r == 0) {
        TAILQ_INSERT_TAIL(&s->hosts, h, link);
        pthread_cond_broadcast(&s->host_more);
    }
    pthread_mutex_unlock(&s->host_lock);
    if (r != 0) {
        client_line_give(s, h->words);
        free(h);
        return r;
    }
    *ret = h;
    *ret_fence = (VGPUSessionFence){
        .offset = (uint64_t) ((uint8_t *) h->words - s->transport->window),
        .value = h->value,
    };
    return 0;
}

void client_host_given(vgpu_session *s, client_host *h, int result)
{
    pthread_mutex_lock(&s->host_lock);
    h->is_given = result == 0;
    h->is_refused = result != 0;
    /* The caller is about to free what the function uses. */
    while (h->is_refused && h->is_running)
        pthread_cond_wait(&s->host_more, &s->host_lock);
    if (h->is_refused)
        host_forget(s, h);
    pthread_mutex_unlock(&s->host_lock);
}

int vgpu_session_host_call_with(vgpu_session *s, const vgpu_session_from *from, uint32_t stream,
                                const vgpu_session_host *host)
{
    VGPUSessionFence parameters;
    client_host *h;
    int r = client_host_new(s, host, &h, &parameters);

    if (r != 0)
        return r;
    parameters.stream = stream;
    r = vgpu_session_call(s, VGPU_SESSION_OP_HOST_CALL, from, &parameters, sizeof(parameters), NULL,
                          0, NULL);
    client_host_given(s, h, r);
    return r;
}

int vgpu_session_host_call(vgpu_session *s, const vgpu_session_from *from, uint32_t stream,
                           vgpu_session_function function, void *userdata)
{
    const vgpu_session_host host = {.function = function, .userdata = userdata};

    return vgpu_session_host_call_with(s, from, stream, &host);
}

int vgpu_session_host_function(vgpu_session *s, const VGPUSessionFence *fence,
                               vgpu_session_function *ret, void **ret_userdata)
{
    const client_host *h;
    int r = client_usable(s);

    if (r != 0)
        return r;
    r = VGPU_CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_lock(&s->host_lock);
    TAILQ_FOREACH(h, &s->hosts, link)
    if (h->value == fence->value) {
        *ret = h->host.function;
        *ret_userdata = h->host.userdata;
        r = 0;
    }
    pthread_mutex_unlock(&s->host_lock);
    return r;
}
