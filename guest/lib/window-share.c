/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "window-share.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>

/* The bytes of the lock file, behind those of lock.c */
#define BYTE_EXTENTS (INT64_C(1) << 20)

/* While another process looks for room it has all extents that are free, for a moment. */
#define TRIES 5
#define PAUSE_NS 500000

int share_init(window_share *s, int lock_fd, uint64_t size, int (*taken)(void *userdata),
               void *userdata)
{
    uint64_t extent = WINDOW_EXTENT_MIN;

    while (size / extent > WINDOW_EXTENTS_MAX)
        extent *= 2;
    *s = (window_share){
        .lock_fd = lock_fd,
        .size = size,
        .extent_size = extent,
        .n_extents = (uint32_t) (size / extent),
        .taken = taken,
        .userdata = userdata,
    };
    heap_init_empty(&s->heap);
    if (s->n_extents == 0)
        return -ENOSPC;
    s->mine = calloc(s->n_extents, sizeof(*s->mine));
    return s->mine ? 0 : -ENOMEM;
}

/* ---- Locks ---------------------------------------------------------------- */

static struct flock extents_lock(short type, uint32_t first, uint32_t n)
{
    return (struct flock){
        .l_type = type,
        .l_whence = SEEK_SET,
        .l_start = BYTE_EXTENTS + first,
        .l_len = n,
    };
}

static int lock_set(const window_share *s, short type, uint32_t first, uint32_t n)
{
    struct flock lock = extents_lock(type, first, n);

    if (s->lock_fd < 0)
        return 0;
    while (fcntl(s->lock_fd, F_OFD_SETLK, &lock) < 0)
        if (errno != EINTR)
            return errno == EACCES ? -EAGAIN : -errno;
    return 0;
}

/* Who else has one of these? Returns 1 and which it has, 0 when nobody has any now, or a negative
 * errno. */
static int lock_find_other(const window_share *s, uint32_t first, uint32_t n, uint32_t *ret_first,
                           uint32_t *ret_end)
{
    struct flock lock = extents_lock(F_WRLCK, first, n);
    int64_t begin, end;

    if (fcntl(s->lock_fd, F_OFD_GETLK, &lock) < 0)
        return -errno;
    if (lock.l_type == F_UNLCK)
        return 0;

    begin = lock.l_start - BYTE_EXTENTS;
    end = lock.l_len == 0 ? s->n_extents : begin + lock.l_len;
    *ret_first = begin < first ? first : (uint32_t) begin;
    *ret_end = end > first + n ? first + n : (uint32_t) end;
    return 1;
}

/* ---- Extents ---------------------------------------------------------------- */

/* The locks are taken: the memory is the heap's. */
static int extents_join(window_share *s, uint32_t first, uint32_t n)
{
    int r = heap_add(&s->heap, first * s->extent_size, n * s->extent_size);

    if (r < 0) {
        lock_set(s, F_UNLCK, first, n);
        return r;
    }
    for (uint32_t i = first; i < first + n; i++)
        s->mine[i] = true;
    return 0;
}

/* How many extents from @first on, at most @max, this handle does not have */
static uint32_t extents_foreign(const window_share *s, uint32_t first, uint32_t max)
{
    uint32_t n = 0;

    while (n < max && first + n < s->n_extents && !s->mine[first + n])
        n++;
    return n;
}

/* Take the first @n extents in a row that are free. Returns 0, -ENOSPC or another negative errno.
 */
static int extents_take_row(window_share *s, uint32_t n)
{
    uint32_t at = 0;

    while (n <= s->n_extents && at <= s->n_extents - n) {
        uint32_t foreign = extents_foreign(s, at, n), begin = at, end = at + n;
        int r;

        if (foreign < n) {
            at += foreign + 1;
            continue;
        }
        r = lock_set(s, F_WRLCK, at, n);
        if (r == 0)
            return extents_join(s, at, n);
        if (r != -EAGAIN)
            return r;
        r = lock_find_other(s, at, n, &begin, &end);
        if (r < 0)
            return r;
        if (r > 0) /* else it has just been given back: once more */
            at = end;
    }
    return -ENOSPC;
}

/* Take all that are free from @first to @end. */
static int extents_take_all(window_share *s, uint32_t first, uint32_t end)
{
    while (first < end) {
        uint32_t n = extents_foreign(s, first, end - first), begin = first, stop = end;
        int r;

        if (n == 0) {
            first++;
            continue;
        }
        r = lock_set(s, F_WRLCK, first, n);
        if (r == 0) {
            r = extents_join(s, first, n);
            if (r < 0)
                return r;
            first += n;
            continue;
        }
        if (r != -EAGAIN)
            return r;
        r = lock_find_other(s, first, n, &begin, &stop);
        if (r < 0)
            return r;
        if (r == 0)
            continue;
        r = extents_take_all(s, first, begin);
        if (r < 0)
            return r;
        first = stop;
    }
    return 0;
}

/* Give back those from @first to @end of which nothing is in use: the heap has them as free. */
static void extents_give(window_share *s, uint32_t first, uint32_t end)
{
    if (first >= end ||
        heap_remove(&s->heap, first * s->extent_size, (end - first) * s->extent_size) < 0)
        return; /* without memory to note it, they stay ours */
    for (uint32_t i = first; i < end; i++)
        s->mine[i] = false;
    lock_set(s, F_UNLCK, first, end - first);
}

/* Give back the whole extents in the free block around @offset. */
static void extents_trim_at(window_share *s, uint64_t offset)
{
    uint64_t begin, end;

    if (heap_find_free(&s->heap, offset, &begin, &end))
        extents_give(s, (uint32_t) ((begin + s->extent_size - 1) / s->extent_size),
                     (uint32_t) (end / s->extent_size));
}

static void extents_trim(window_share *s)
{
    for (uint32_t i = 0; i < s->n_extents; i++)
        if (s->mine[i])
            extents_trim_at(s, i * s->extent_size);
}

void share_destroy(window_share *s)
{
    heap_destroy(&s->heap);
    for (uint32_t i = 0; s->mine && i < s->n_extents; i++)
        if (s->mine[i])
            lock_set(s, F_UNLCK, i, 1);
    free(s->mine);
    *s = (window_share){.lock_fd = -1};
}

/* ---- Memory ------------------------------------------------------------------- */

static int share_quieten(const window_share *s)
{
    return s->taken ? s->taken(s->userdata) : 0;
}

static int take_and_alloc(window_share *s, uint64_t size, uint64_t alignment, uint64_t *ret_offset)
{
    uint64_t needed = size;
    int r;

    if (alignment > s->extent_size)
        needed += alignment - s->extent_size;
    r = extents_take_row(s, (uint32_t) ((needed + s->extent_size - 1) / s->extent_size));
    if (r == 0) {
        r = share_quieten(s);
        if (r == 0)
            r = heap_alloc(&s->heap, size, alignment, ret_offset);
        if (r < 0)
            extents_trim(s);
    }
    return r;
}

/* What is free may be enough together with the free ends of what this handle has. */
static int take_all_and_alloc(window_share *s, uint64_t size, uint64_t alignment,
                              uint64_t *ret_offset)
{
    int r = extents_take_all(s, 0, s->n_extents);

    if (r == 0)
        r = share_quieten(s);
    if (r == 0)
        r = heap_alloc(&s->heap, size, alignment, ret_offset);
    extents_trim(s);
    return r;
}

int share_alloc(window_share *s, uint64_t size, uint64_t alignment, uint64_t *ret_offset)
{
    const struct timespec pause = {.tv_nsec = PAUSE_NS};
    int r;

    if (size > s->size || alignment > s->size)
        return -ENOSPC;

    r = heap_alloc(&s->heap, size, alignment, ret_offset);
    for (int i = 0; r == -ENOSPC && i < TRIES; i++) {
        if (i > 0 && s->lock_fd >= 0)
            nanosleep(&pause, NULL);
        r = take_and_alloc(s, size, alignment, ret_offset);
        if (r == -ENOSPC)
            r = take_all_and_alloc(s, size, alignment, ret_offset);
        if (s->lock_fd < 0)
            break;
    }
    return r;
}

int share_free(window_share *s, uint64_t offset)
{
    int r = heap_free(&s->heap, offset);

    if (r == 0)
        extents_trim_at(s, offset);
    return r;
}

uint64_t share_largest(window_share *s)
{
    uint64_t largest;

    extents_take_all(s, 0, s->n_extents);
    largest = heap_largest(&s->heap);
    extents_trim(s);
    return largest;
}
