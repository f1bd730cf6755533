/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Bytes out of the window into a program's memory, as downloads copy them, beside memcpy() of the
 * same bytes: each way in turn, several times, in pieces of 1 MiB out of 16 MiB, or out of memory
 * that no cache has. Printed are medians, of the time that passes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "copier.h"
#include "copy-out.h"
#include "measure.h"

#define BYTES ((size_t) 256 << 20)
#define PIECE ((size_t) 1 << 20)
#define REPETITIONS 7
#define WAYS 5

static const char *const names[WAYS] = {"memcpy", "past the caches", "streamed", "with 1 helper",
                                        "with 3 helpers"};

static void copy_piece(unsigned way, copier *helpers, void *to, const void *from)
{
    switch (way) {
    case 0:
        memcpy(to, from, PIECE);
        break;
    case 1:
        copy_out(COPY_OUT_PAST, to, from, PIECE);
        break;
    case 2:
        copy_out(COPY_OUT_STREAM, to, from, PIECE);
        break;
    default:
        copier_copy(helpers, COPY_OUT_PAST, to, from, PIECE);
    }
}

static double rate(unsigned way, copier *helpers, char *to, const char *window, size_t span)
{
    bool helped = way >= 3 && copier_begin(helpers);
    double begin = now_sec();

    for (size_t at = 0; at < BYTES; at += PIECE)
        copy_piece(way, helpers, to + at, window + at % span);
    begin = (double) BYTES / (now_sec() - begin) / 1e9;
    if (helped)
        copier_end(helpers);
    return begin;
}

static char *map(int fd)
{
    char *p = mmap(NULL, BYTES, PROT_READ | PROT_WRITE,
                   fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED, fd, 0);

    if (p == MAP_FAILED)
        die("mmap");
    memset(p, 1, BYTES);
    return p;
}

static void measure_span(const char *name, char *to, const char *window, size_t span,
                         copier helpers[2])
{
    double rates[WAYS][REPETITIONS], plain;

    for (unsigned i = 0; i < REPETITIONS; i++)
        for (unsigned way = 0; way < WAYS; way++)
            rates[way][i] = rate(way, &helpers[way == 4], to, window, span);
    plain = median(rates[0], REPETITIONS);
    for (unsigned way = 0; way < WAYS; way++)
        printf("%s, %-16s %6.2f GB/s, %.2f of memcpy\n", name, names[way],
               median(rates[way], REPETITIONS), median(rates[way], REPETITIONS) / plain);
}

int main(void)
{
    int fd = memfd_create("window", MFD_CLOEXEC);
    copier helpers[2];
    char *window, *to;

    if (fd < 0 || ftruncate(fd, (off_t) BYTES) < 0)
        die("memfd_create");
    window = map(fd);
    to = map(-1);
    copier_init(&helpers[0], 2);
    copier_init(&helpers[1], 4);
    measure_span("out of 16 MiB", to, window, (size_t) 16 << 20, helpers);
    measure_span("out of 256 MiB", to, window, BYTES, helpers);
    for (unsigned i = 0; i < 2; i++) {
        copier_stop(&helpers[i]);
        copier_destroy(&helpers[i]);
    }
    return EXIT_SUCCESS;
}
