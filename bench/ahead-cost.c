/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ahead-cost [--ahead USEC] - what it costs a session that what it gives to the device ahead is
 * bounded: launches with and without the bound, in turn, in one session. Printed are the medians
 * and the median of the ratios, with the bound to without.
 *
 * The guest is that of the tests, which writes a record more slowly than the guest library does.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "measure.h"
#include "session-guest.h"

#define REPETITIONS 9u
#define AHEAD_USEC 2000u
#define WAITS 2000u

enum { NOTHING = 1, BUSY = 2, CONTEXT = 1, STREAM = 1 };

static const struct {
    const char *name;
    unsigned n;     /* launches */
    uint64_t nsec;  /* of each kernel; 0: one that does nothing */
    bool is_waited; /* for each by itself */
} rows[] = {
    {"launches in a row", 20000, 0, false},
    {"kernels of 20 us in a row", 5000, 20000, false},
    {"kernels of 5 ms in a row", 100, 5000000, false},
    {"launch and wait", WAITS, 0, true},
};

static SessionGuest guest;

static void begin(void)
{
    const VGPUSessionCreate create = {.id = STREAM, .flags = 1};
    const SessionGuestOptions options = {.ring_size = 1u << 20};
    const char *kernels = getenv("VGPU_FAKE_SESSION_KERNELS");
    int r;

    if (!kernels)
        die("VGPU_FAKE_SESSION_KERNELS is not set");
    session_guest_open(&guest, &options);
    session_guest_spawn(&guest, NULL);
    r = session_guest_start(&guest);
    if (r == -ENODEV)
        exit(77);
    if (r != 0)
        die("no session");
    session_guest_context(&guest, CONTEXT, true);
    if (session_guest_call(&guest, VGPU_SESSION_OP_STREAM_CREATE, CONTEXT, &create,
                           sizeof(create)) != 0)
        die("no stream");
    session_guest_load(&guest, CONTEXT, kernels, 1);
    session_guest_function(&guest, CONTEXT, 1, "nothing", NOTHING);
    session_guest_function(&guest, CONTEXT, 1, "busy", BUSY);
}

/* Thousand launches a second */
static double rate(size_t row, uint64_t word)
{
    static uint64_t number;
    double from = now_sec();

    for (unsigned i = 1; i <= rows[row].n; i++) {
        const bool is_busy = rows[row].nsec > 0;

        session_guest_launch(&guest, CONTEXT, STREAM, is_busy ? BUSY : NOTHING, &rows[row].nsec,
                             is_busy ? sizeof(rows[row].nsec) : 0);
        if (!rows[row].is_waited && i < rows[row].n)
            continue;
        session_guest_fence(&guest, CONTEXT, STREAM, word, ++number);
        if (!session_guest_wait_word(&guest, word, number, SESSION_GUEST_TIMEOUT_MSEC))
            die("a launch that does not end");
    }
    return rows[row].n / (now_sec() - from) / 1e3;
}

static double rate_with(size_t row, uint64_t word, uint32_t ahead_usec)
{
    __atomic_store_n(&guest.control->ahead_usec, ahead_usec, __ATOMIC_SEQ_CST);
    return rate(row, word);
}

static void measure(size_t row, uint64_t word, uint32_t ahead_usec)
{
    double without[REPETITIONS], with[REPETITIONS], ratio[REPETITIONS];

    (void) rate_with(row, word, 0);
    (void) rate_with(row, word, ahead_usec);
    for (unsigned i = 0; i < REPETITIONS; i++) {
        without[i] = rate_with(row, word, 0);
        with[i] = rate_with(row, word, ahead_usec);
        ratio[i] = with[i] / without[i];
    }
    printf("%-26s unbounded %9.3f, %u us ahead %9.3f thousand/s, ratio %.3f (aim >= 0.98)\n",
           rows[row].name, median(without, REPETITIONS), ahead_usec, median(with, REPETITIONS),
           median(ratio, REPETITIONS));
    fflush(stdout);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"ahead", required_argument, NULL, 'a'}, {0}};
    unsigned long ahead_usec = AHEAD_USEC;
    uint64_t word;
    int c;

    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        char *end = NULL;

        if (c == 'a')
            ahead_usec = strtoul(optarg, &end, 10);
        if (!end || *end != '\0' || ahead_usec == 0 || ahead_usec > UINT32_MAX)
            die("--ahead USEC, and nothing else");
    }
    begin();
    word = session_guest_alloc(&guest, sizeof(uint64_t));
    for (size_t row = 0; row < sizeof(rows) / sizeof(rows[0]); row++)
        measure(row, word, (uint32_t) ahead_usec);
    (void) session_guest_end(&guest, NULL);
    session_guest_close(&guest);
    return EXIT_SUCCESS;
}
