/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "copy-out.h"

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "deadline.h"

#ifdef __SSE2__
#include <immintrin.h>
#endif

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

#define LINE 64u
/* Bytes of a copy from which it goes past the caches */
#define PAST_CACHES_MIN ((size_t) 256 << 10)
/* Cached memory is read at several bytes a nanosecond, write-combining at a fifth of one. */
#define SLOW_NSEC_PER_KIB 1024u
#define SLOW_TRIES 4u

copy_out_way copy_out_best(size_t size, bool is_slow)
{
    if (is_slow)
        return COPY_OUT_STREAM;
    return size >= PAST_CACHES_MIN ? COPY_OUT_PAST : COPY_OUT_PLAIN;
}

#ifdef __SSE2__
/* Whole lines, to a multiple of a line's size */
static void lines_past(uint8_t *to, const uint8_t *from, size_t size)
{
    for (size_t at = 0; at < size; at += LINE)
        for (size_t i = at; i < at + LINE; i += 16)
            _mm_stream_si128((__m128i *) (to + i), _mm_loadu_si128((const __m128i *) (from + i)));
    _mm_sfence();
}

/* From a multiple of 16, too. All loads of a line come first, so that it is taken once. */
__attribute__((target("sse4.1"))) static void lines_streamed(uint8_t *to, const uint8_t *from,
                                                             size_t size)
{
    for (size_t at = 0; at < size; at += LINE) {
        __m128i part[LINE / 16];

        for (size_t i = 0; i < LINE / 16; i++)
            part[i] = _mm_stream_load_si128((__m128i *) (uintptr_t) (from + at + 16 * i));
        for (size_t i = 0; i < LINE / 16; i++)
            _mm_stream_si128((__m128i *) (to + at + 16 * i), part[i]);
    }
    _mm_sfence();
}

/* Returns how many bytes are done. */
static size_t copy_lines(copy_out_way way, uint8_t *to, const uint8_t *from, size_t size)
{
    size &= ~(size_t) (LINE - 1);
    if (way == COPY_OUT_STREAM && (uintptr_t) from % 16 == 0 && __builtin_cpu_supports("sse4.1"))
        lines_streamed(to, from, size);
    else
        lines_past(to, from, size);
    return size;
}
#endif

void copy_out(copy_out_way way, void *to, const void *from, size_t size)
{
#ifdef __SSE2__
    size_t head = -(uintptr_t) to & (LINE - 1);

    if (way != COPY_OUT_PLAIN && size >= head + LINE) {
        memcpy(to, from, head);
        head += copy_lines(way, (uint8_t *) to + head, (const uint8_t *) from + head, size - head);
        to = (uint8_t *) to + head;
        from = (const uint8_t *) from + head;
        size -= head;
    }
#else
    (void) way;
#endif
    memcpy(to, from, size);
}

/* A kernel before 5.14 does not, nor can it where the program has nothing: then the copy meets
 * that. */
bool copy_out_make_pages(void *to, size_t size)
{
    const uintptr_t page = (uintptr_t) sysconf(_SC_PAGESIZE), begin = (uintptr_t) to & ~(page - 1);
    unsigned char is_there = 1;

    if (mincore((void *) begin, page, &is_there) < 0 || (is_there & 1))
        return false;
    return madvise((void *) begin, (uintptr_t) to + size - begin, MADV_POPULATE_WRITE) == 0;
}

bool copy_out_is_slow(const void *memory, size_t size)
{
    const volatile uint64_t *words = memory;
    uint64_t best = UINT64_MAX;

    for (unsigned i = 0; i < SLOW_TRIES; i++) {
        uint64_t begin = now_nsec(), took;

        for (size_t at = 0; at < size / sizeof(*words); at++)
            (void) words[at];
        took = now_nsec() - begin;
        if (took < best)
            best = took;
    }
    return best > size / 1024 * SLOW_NSEC_PER_KIB;
}
