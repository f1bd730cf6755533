/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Copies between the device and memory that is the program's own, which the device cannot reach: by
 * way of pieces of the window, in a pipeline. While one piece travels the next is filled or
 * emptied.
 *
 * Small copies have small pieces, so that many can be on their way. A piece is used again when the
 * fence behind its last copy has passed.
 *
 * A thread has pieces in its hands only while it copies from or to them, or waits for its own
 * stream. One that finds none free gets a new one, up to a limit; behind that it waits for another
 * thread's.
 */
#include <stdlib.h>
#include <string.h>

#include "client-internal.h"

#define SMALL_SIZE ((size_t) 16 << 10)
#define SMALL_MAX 64u
#define LARGE_MIN ((size_t) 64 << 10)
#define LARGE_MAX ((size_t) 1 << 20)
#define LARGE_N_MAX 16u
/* How many pieces of a download are on their way */
#define DEPTH 3u
/* Bytes of a download from which others help */
#define HELP_MIN ((size_t) 4 << 20)
#define BACK_WAIT_NSEC (10 * NSEC_PER_MSEC)

static void pool_init(client_pool *pool, size_t piece_size, uint32_t max)
{
    *pool = (client_pool){.piece_size = piece_size, .max = max};
    TAILQ_INIT(&pool->pieces);
    deadline_cond_init(&pool->back);
}

/* The pieces of all copies together take a quarter of a window that is the process's own, and of
 * one that others have, too, a sixteenth. */
int client_copy_init(vgpu_session *s, unsigned threads)
{
    uint64_t room = s->transport->window_size / (s->transport->lock_fd < 0 ? 4 : 16);
    size_t large = LARGE_MAX;

    while (large > LARGE_MIN && large * LARGE_N_MAX > room)
        large /= 2;
    pool_init(&s->large, large, LARGE_N_MAX);
    pool_init(&s->small, SMALL_SIZE, SMALL_MAX);
    copier_init(&s->copier, threads);
    return 0;
}

static void pool_destroy(client_pool *pool)
{
    client_piece *piece;

    while ((piece = TAILQ_FIRST(&pool->pieces))) {
        TAILQ_REMOVE(&pool->pieces, piece, link);
        free(piece->fence);
        free(piece);
    }
    pthread_cond_destroy(&pool->back);
}

/* The window's memory goes with the session. */
void client_copy_destroy(vgpu_session *s, bool is_forgotten)
{
    if (!is_forgotten)
        copier_stop(&s->copier);
    copier_destroy(&s->copier);
    pool_destroy(&s->large);
    pool_destroy(&s->small);
}

/* ---- Pieces ------------------------------------------------------------------------ */

static client_piece *piece_new(vgpu_session *s, const client_pool *pool)
{
    client_piece *piece = calloc(1, sizeof(*piece));
    void *memory;

    if (!piece)
        return NULL;
    if (vgpu_session_fence_new(s, &piece->fence) == 0 &&
        vgpu_session_window_alloc(s, pool->piece_size, 4096, &memory) == 0) {
        piece->memory = memory;
        return piece;
    }
    vgpu_session_fence_free(s, piece->fence);
    free(piece);
    return NULL;
}

/* With copy_lock held: the first that the device is done with */
static client_piece *pool_find(const client_pool *pool)
{
    client_piece *piece;

    TAILQ_FOREACH(piece, &pool->pieces, link)
    if (vgpu_session_fence_is_idle(piece->fence, piece->number))
        return piece;
    return NULL;
}

/*
 * Wait for the oldest piece, whose copy is on its way, or for another thread's. With copy_lock
 * held, which is free meanwhile. Returns 0, with @ret NULL when there is none yet, or what ends the
 * wait.
 *
 * The piece's stream may be gone by now, and its copy still run: then the wait is a look from time
 * to time.
 */
static int pool_wait(vgpu_session *s, client_pool *pool, client_piece **ret)
{
    client_piece *piece = TAILQ_FIRST(&pool->pieces);
    vgpu_session_from from;
    int r;

    *ret = NULL;
    if (piece) {
        TAILQ_REMOVE(&pool->pieces, piece, link);
        from = (vgpu_session_from){.context = piece->context};
        pthread_mutex_unlock(&s->copy_lock);
        r = client_fence_wait(s, &from, piece->stream, piece->fence, piece->number);
        pthread_mutex_lock(&s->copy_lock);
        if (r == 0) {
            *ret = piece;
            return 0;
        }
        TAILQ_INSERT_TAIL(&pool->pieces, piece, link);
        if (client_usable(s) == 0 && vgpu_session_get_sticky(s) != 0)
            return r;
    }
    (void) deadline_cond_wait(&pool->back, &s->copy_lock, now_nsec() + BACK_WAIT_NSEC);
    return client_usable(s);
}

/* Returns 0, with @ret NULL when a piece is to be had only by waiting; or an error. */
static int pool_try(vgpu_session *s, client_pool *pool, client_piece **ret)
{
    client_piece *piece = pool_find(pool);

    if (piece)
        TAILQ_REMOVE(&pool->pieces, piece, link);
    else if (pool->n < pool->max && (piece = piece_new(s, pool)))
        pool->n++;
    else if (pool->n == 0)
        return VGPU_CUDA_ERROR_OUT_OF_MEMORY;
    *ret = piece;
    return 0;
}

int client_pool_take(vgpu_session *s, client_pool *pool, bool wait, client_piece **ret)
{
    client_piece *piece;
    int r;

    r = client_usable(s);
    if (r != 0)
        return r;
    pthread_mutex_lock(&s->copy_lock);
    do {
        r = pool_try(s, pool, &piece);
        if (r == 0 && !piece && wait)
            r = pool_wait(s, pool, &piece);
    } while (r == 0 && !piece && wait);
    pthread_mutex_unlock(&s->copy_lock);
    if (r == 0)
        *ret = piece;
    return r;
}

void client_pool_give(vgpu_session *s, client_pool *pool, client_piece *piece)
{
    pthread_mutex_lock(&s->copy_lock);
    TAILQ_INSERT_TAIL(&pool->pieces, piece, link);
    pthread_cond_signal(&pool->back);
    pthread_mutex_unlock(&s->copy_lock);
}

int client_piece_take(vgpu_session *s, client_piece **ret, size_t *ret_size)
{
    *ret_size = s->large.piece_size;
    return client_pool_take(s, &s->large, true, ret);
}

void client_piece_give(vgpu_session *s, client_piece *piece)
{
    client_pool_give(s, &s->large, piece);
}

/* ---- Copies of what the device reaches ---------------------------------------------------------
 */

/* Bytes from which it pays to wait for the device, rather than to copy them out of its way */
#define DIRECT_MIN ((size_t) 64 << 10)

/* Is it the window's, or registered? */
static bool direct_find(vgpu_session *s, const void *memory, size_t size, uint64_t *ret_address)
{
    VGPUSessionBytes bytes;

    if (vgpu_session_window_bytes(s, memory, size, &bytes)) {
        *ret_address = (uintptr_t) memory;
        return true;
    }
    return vgpu_session_host_find(s, memory, size, ret_address);
}

static int direct_copy(vgpu_session *s, const vgpu_session_from *from, uint32_t stream, uint64_t to,
                       uint64_t source, size_t size)
{
    const VGPUSessionCopy copy = {.to = to, .from = source, .size = size, .stream = stream};
    vgpu_session_fence *fence;
    bool is_owed = false;
    uint64_t number;
    int r = vgpu_session_fence_new(s, &fence);

    if (r != 0)
        return r;
    r = client_enter(s);
    if (r == 0) {
        r = client_put(s, VGPU_SESSION_OP_COPY, from, 0, &copy, sizeof(copy));
        if (r == 0)
            r = client_put_fence(s, from, stream, fence, 0, &number);
        client_leave(s);
    }
    if (r == 0) {
        r = vgpu_session_fence_wait(s, from, stream, fence, number);
        is_owed = !vgpu_session_fence_is_passed(fence, number);
    }
    /* The stream may be gone, and its copy still run. */
    if (is_owed)
        client_fence_abandon(fence);
    else
        vgpu_session_fence_free(s, fence);
    return r;
}

/* ---- Copies ------------------------------------------------------------------------- */

int client_piece_post(vgpu_session *s, const vgpu_session_from *from, client_piece *piece,
                      uint16_t opcode, const void *parameters, size_t size, uint32_t stream)
{
    int r = client_enter(s);

    if (r != 0)
        return r;
    r = client_put(s, opcode, from, 0, parameters, size);
    if (r == 0)
        r = client_put_fence(s, from, stream, piece->fence, 0, &piece->number);
    client_leave(s);
    piece->stream = stream;
    piece->context = from ? from->context : 0;
    return r;
}

static int piece_copy(vgpu_session *s, const vgpu_session_from *from, uint32_t stream,
                      client_piece *piece, uint64_t to, uint64_t source, size_t size)
{
    const VGPUSessionCopy copy = {
        .to = to,
        .from = source,
        .size = size,
        .stream = stream,
    };

    return client_piece_post(s, from, piece, VGPU_SESSION_OP_COPY, &copy, sizeof(copy), stream);
}

client_pool *client_pool_for(vgpu_session *s, size_t size)
{
    return size <= SMALL_SIZE ? &s->small : &s->large;
}

int vgpu_session_upload(vgpu_session *s, const vgpu_session_from *from, uint32_t stream,
                        uint64_t to, const void *from_memory, size_t size)
{
    client_pool *pool = client_pool_for(s, size);
    const uint8_t *source = from_memory;
    client_piece *piece;
    uint64_t address;
    int r = 0;

    if (size >= DIRECT_MIN && direct_find(s, from_memory, size, &address))
        return direct_copy(s, from, stream, to, address, size);

    for (size_t at = 0; r == 0 && at < size; at += pool->piece_size) {
        size_t n = size - at < pool->piece_size ? size - at : pool->piece_size;

        r = client_pool_take(s, pool, true, &piece);
        if (r != 0)
            break;
        memcpy(piece->memory, source + at, n);
        r = piece_copy(s, from, stream, piece, to + at, (uintptr_t) piece->memory, n);
        client_pool_give(s, pool, piece);
    }
    return r == 0 ? client_usable(s) : r;
}

typedef struct download {
    vgpu_session *s;
    const vgpu_session_from *from;
    uint32_t stream;
    client_pool *pool;
    uint8_t *to;
    uint64_t source;
    size_t size;
    size_t asked, come; /* bytes */
    client_piece *pieces[DEPTH];
    unsigned int n; /* pieces on their way; the first came first */
    bool has_help;
    bool is_fresh; /* the program's memory: its last piece had no pages yet */
} download;

/* A thread that has pieces waits for none: it first empties one of its own. */
static int download_ask(download *d, bool *ret_asked)
{
    size_t n = d->size - d->asked;
    client_piece *piece;
    int r;

    if (n > d->pool->piece_size)
        n = d->pool->piece_size;
    r = client_pool_take(d->s, d->pool, d->n == 0, &piece);
    *ret_asked = r == 0 && piece;
    if (r != 0 || !piece)
        return r;
    r = piece_copy(d->s, d->from, d->stream, piece, (uintptr_t) piece->memory, d->source + d->asked,
                   n);
    if (r != 0) {
        client_pool_give(d->s, d->pool, piece);
        return r;
    }
    d->pieces[d->n++] = piece;
    if (d->pool == &d->s->large) /* while the bytes travel */
        d->is_fresh = copy_out_make_pages(d->to + d->asked, n);
    d->asked += n;
    return 0;
}

static void download_copy(download *d, uint8_t *to, const uint8_t *from, size_t size)
{
    copy_out_way way = copy_out_best(size, d->s->is_slow);

    if (d->is_fresh && way == COPY_OUT_PAST)
        way = COPY_OUT_PLAIN;
    if (d->has_help)
        copier_copy(&d->s->copier, way, to, from, size);
    else
        copy_out(way, to, from, size);
}

static int download_take(download *d)
{
    client_piece *piece = d->pieces[0];
    size_t n = d->size - d->come;
    int r;

    if (n > d->pool->piece_size)
        n = d->pool->piece_size;
    r = client_fence_wait(d->s, d->from, d->stream, piece->fence, piece->number);
    if (r != 0)
        return r;
    download_copy(d, d->to + d->come, piece->memory, n);
    d->come += n;
    d->n--;
    memmove(d->pieces, d->pieces + 1, d->n * sizeof(d->pieces[0]));
    client_pool_give(d->s, d->pool, piece);
    return 0;
}

int vgpu_session_download(vgpu_session *s, const vgpu_session_from *from, uint32_t stream,
                          void *to_memory, uint64_t from_address, size_t size)
{
    download d = {
        .s = s,
        .from = from,
        .stream = stream,
        .pool = client_pool_for(s, size),
        .to = to_memory,
        .source = from_address,
        .size = size,
    };
    uint64_t address;
    int r = 0;

    if (size >= DIRECT_MIN && direct_find(s, to_memory, size, &address))
        return direct_copy(s, from, stream, address, from_address, size);
    d.has_help = size >= HELP_MIN && copier_begin(&s->copier);
    while (r == 0 && d.come < size) {
        bool asked = false;

        if (d.asked < size && d.n < DEPTH)
            r = download_ask(&d, &asked);
        if (r == 0 && !asked)
            r = download_take(&d);
    }
    if (d.has_help)
        copier_end(&s->copier);
    for (unsigned int i = 0; i < d.n; i++)
        client_pool_give(s, d.pool, d.pieces[i]);
    if (r == 0)
        client_output(s, from);
    else
        client_output_end(s);
    return r == 0 ? client_usable(s) : r;
}
