/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * neighbours BACKEND - how long a VM of high priority waits at most while four of low priority send
 * the worst that is allowed: rings full of matrix products that cost just what RequestCostMax= lets
 * through. The one adds two numbers at a time, at random moments. Printed is the longest wait
 * beside the longest of the low requests. It fails when that is more than 1.3 times.
 *
 * RequestCostMax= is small here, so that the whole takes seconds: what is measured is a ratio. With
 * InFlight=1 a high request waits for the low one that runs; with the default it finds a place, and
 * only shares the device.
 */
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "guests.h"

#define N_LOW 4
#define ENTRIES 16
#define COST_MAX "1100" /* million */
#define SIDE 1024u      /* its cube is just below that */
#define LOW_WINDOW (UINT64_C(16) << 20)
#define SAMPLES 300
#define PAUSE_MAX_US 40000
#define AIM 1.3
#define WAIT_MSEC (120 * 1000)

/* What the low guests report; the memory is shared with their processes. */
typedef struct Low {
    uint32_t n; /* completed */
    uint32_t longest_us;
} Low;

/* Never ends. All operands lie in one another, so that the window can be small. */
static void run_low(const TestMediator *m, uint32_t id, Low *low)
{
    const uint64_t area = UINT64_C(1) << 20;
    VGPUSubmission product = {
        .opcode = VGPU_OP_RING_MATMUL,
        .type = VGPU_TYPE_FLOAT32,
        .count = SIDE,
        .n = SIDE,
        .k = SIDE,
        .a = {.offset = area, .stride = SIDE},
        .b = {.offset = area, .stride = SIDE},
        .c = {.offset = 8 * area, .stride = SIDE},
    };
    unsigned owed = 0;
    VGPUCompletion c;
    RingGuest g;

    guest_start_low(m, &g, LOW_WINDOW, ENTRIES, id, &product);
    for (;;) {
        guest_take(&g, &c, WAIT_MSEC);
        guest_submit_again(&g, &product, &owed);
        if (c.exec_time_us > low->longest_us)
            low->longest_us = c.exec_time_us;
        __atomic_store_n(&low->n, low->n + 1, __ATOMIC_RELEASE);
    }
}

static void load_start(const TestMediator *m, Low *low, pid_t *pids)
{
    memset(low, 0, N_LOW * sizeof(*low));
    for (unsigned i = 0; i < N_LOW; i++) {
        pids[i] = fork();
        if (pids[i] < 0)
            die("cannot start a guest");
        if (pids[i] == 0)
            run_low(m, 2 + i, &low[i]);
    }
    while (__atomic_load_n(&low[0].n, __ATOMIC_ACQUIRE) == 0)
        guest_pause(1000);
}

static void load_end(const pid_t *pids)
{
    for (unsigned i = 0; i < N_LOW; i++) {
        (void) kill(pids[i], SIGKILL);
        (void) waitpid(pids[i], NULL, 0);
    }
}

/* Microseconds */
static double longest_wait(int fd)
{
    double longest = 0;

    for (uint32_t i = 0; i < SAMPLES; i++) {
        double begin, us;
        WireMessage m;

        guest_pause(random() % PAUSE_MAX_US);
        begin = now_sec();
        if (!wire_send_add(fd, 1, i, VGPU_PRIORITY_HIGH, i, 1) || wire_receive(fd, &m) != 1 ||
            m.response.status != VGPU_ERROR_NONE)
            die("a high request failed");
        us = (now_sec() - begin) * 1e6;
        longest = us > longest ? us : longest;
    }
    return longest;
}

/* Returns the exit status. */
static int compare(const char *backend, unsigned in_flight, Low *low)
{
    double wait, longest = 0;
    TestMediator mediator;
    pid_t pids[N_LOW];
    char config[96];
    unsigned n = 0;
    RingGuest g;
    int fd;

    snprintf(config, sizeof(config), "[Pool A]\nBackend=%s\nInFlight=%u\nRequestCostMax=" COST_MAX,
             backend, in_flight);
    if (test_mediator_start(&mediator, config, "none") < 0)
        return EXIT_FAILURE;
    fd = guest_start(&mediator, &g, VGPU_WINDOW_SIZE_DEFAULT, ENTRIES, 1, VGPU_PRIORITY_HIGH);
    if (!guest_has_device(&g)) {
        printf("no device for backend %s\n", backend);
        (void) test_mediator_stop(&mediator);
        return 77;
    }
    load_start(&mediator, low, pids);
    wait = longest_wait(fd);
    load_end(pids);
    for (unsigned i = 0; i < N_LOW; i++) {
        longest = low[i].longest_us > longest ? low[i].longest_us : longest;
        n += low[i].n;
    }

    printf("high among %d low that do their worst, %s, InFlight=%u: longest wait %.0f us, longest "
           "of %u low requests %.0f us, ratio %.3f (limit %.1f)\n",
           N_LOW, backend, in_flight, wait, n, longest, wait / longest, AIM);
    close(fd);
    ring_guest_close(&g);
    if (test_mediator_stop(&mediator) != 0)
        return EXIT_FAILURE;
    return wait <= AIM * longest ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    Low *low =
        mmap(NULL, N_LOW * sizeof(*low), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int r, s;

    setlinebuf(stdout); /* otherwise each guest prints what the buffer holds as well */
    if (argc != 2 || low == MAP_FAILED)
        return EXIT_FAILURE;
    r = compare(argv[1], 1, low);
    if (r == 77)
        return r;
    s = compare(argv[1], 16, low);
    return r != EXIT_SUCCESS ? r : s;
}
