/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Bytes out of the window into a program's memory, as downloads copy them, beside memcpy() of the
 * same bytes: each way in turn, several times, in pieces of 1 MiB out of 16 MiB; into memory that
 * the program has used, and into memory that has no pages yet. Printed are the medians: by the time
 * that passes, and by the processors' time, which says more on a machine that has other things to
 * do.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "copier.h"
#include "copy-out.h"
#include "measure.h"

#define BYTES ((size_t) 128 << 20)
#define PIECE ((size_t) 1 << 20)
#define WINDOW ((size_t) 16 << 20)
#define REPETITIONS 7
#define WAYS 6

static const char *const names[WAYS] = {"memcpy",        "past the caches", "streamed",
                                        "with 1 helper", "with 3 helpers",  "pages first"};

typedef struct Rate {
    double passed, processor; /* GB/s */
} Rate;

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
    case 3:
    case 4:
        copier_copy(helpers, COPY_OUT_PAST, to, from, PIECE);
        break;
    default:
        copy_out(copy_out_make_pages(to, PIECE) ? COPY_OUT_PLAIN : COPY_OUT_PAST, to, from, PIECE);
    }
}

static double processor_sec(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (double) ts.tv_sec + (double) ts.tv_nsec / 1e9;
}

static Rate rate(unsigned way, copier *helpers, char *to, const char *window)
{
    bool helped = (way == 3 || way == 4) && copier_begin(helpers);
    double begin = now_sec(), processor = processor_sec();
    Rate r;

    for (size_t at = 0; at < BYTES; at += PIECE)
        copy_piece(way, helpers, to + at, window + at % WINDOW);
    r.passed = (double) BYTES / (now_sec() - begin) / 1e9;
    r.processor = (double) BYTES / (processor_sec() - processor) / 1e9;
    if (helped)
        copier_end(helpers);
    return r;
}

static char *map(int fd, size_t size)
{
    char *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
                   fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED, fd, 0);

    if (p == MAP_FAILED)
        die("mmap");
    return p;
}

static void measure(const char *name, bool fresh, const char *window, copier helpers[2])
{
    double passed[WAYS][REPETITIONS], processor[WAYS][REPETITIONS];

    for (unsigned i = 0; i < REPETITIONS; i++)
        for (unsigned way = 0; way < WAYS; way++) {
            char *to = map(-1, BYTES);
            Rate r;

            if (!fresh)
                memset(to, 1, BYTES);
            r = rate(way, &helpers[way == 4], to, window);
            passed[way][i] = r.passed;
            processor[way][i] = r.processor;
            munmap(to, BYTES);
        }
    for (unsigned way = 0; way < WAYS; way++) {
        double a = median(passed[way], REPETITIONS), b = median(processor[way], REPETITIONS);

        printf("%s, %-16s %6.2f GB/s, %.2f of memcpy; %6.2f GB a processor's second, %.2f\n", name,
               names[way], a, a / median(passed[0], REPETITIONS), b,
               b / median(processor[0], REPETITIONS));
    }
}

int main(void)
{
    int fd = memfd_create("window", MFD_CLOEXEC);
    copier helpers[2];
    char *window;

    if (fd < 0 || ftruncate(fd, (off_t) WINDOW) < 0)
        die("memfd_create");
    window = map(fd, WINDOW);
    memset(window, 1, WINDOW);
    copier_init(&helpers[0], 2);
    copier_init(&helpers[1], 4);
    measure("used pages", false, window, helpers);
    measure("fresh pages", true, window, helpers);
    for (unsigned i = 0; i < 2; i++) {
        copier_stop(&helpers[i]);
        copier_destroy(&helpers[i]);
    }
    return EXIT_SUCCESS;
}
