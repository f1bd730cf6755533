/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The ring between threads: libvgpu in one or in many, a mediator in another, at full speed on the
 * same memory. Meant for ThreadSanitizer too: operands and results are ordinary memory, so that it
 * sees whether the indices, and the ring's lock, order them.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "interrupt.h"
#include "mmio.h"
#include "ring-host.h"
#include "ring.h"
#include "shared.h"
#include "test-guest-compute.h"
#include "test-guest-sysfs.h"
#include "test.h"

/* assert_true() is for the main thread only. */
#define must(condition)                                                             \
    do {                                                                            \
        if (!(condition)) {                                                         \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                                \
        }                                                                           \
    } while (0)

#define WINDOW (UINT64_C(1) << 17)
#define ENTRIES 16u
#define LONG_MS 60000

/* What the two threads share beside the window. */
typedef struct world {
    fake_sysfs sysfs;
    int memfd, doorbell, uio_fd, config_fd;
    uint8_t *window;
    pthread_mutex_t lock; /* of the registers and the interrupt line */
    uint32_t bar[VGPU_BAR0_SIZE / 4];
    pthread_t mediator;
    bool stop;
    bool dawdles;       /* does the mediator take its time? */
    uint32_t n_allowed; /* how many it may complete: the newest. UINT32_MAX: all, in any order */
    uint64_t interrupts;
} world;

static world *current;

/* ---- The device ----------------------------------------------------------------- */

static uint32_t *reg(world *w, uint32_t offset)
{
    return &w->bar[offset / 4];
}

/* With the lock held: what the kernel does while the line is asserted and not masked. */
static void update_line(world *w)
{
    const uint32_t count = 1;
    uint16_t command;

    if (!(*reg(w, VGPU_REG_RING_IRQ_STATUS) & *reg(w, VGPU_REG_RING_IRQ_CTRL)))
        return;
    if (pread(w->config_fd, &command, 2, 4) != 2 || command & 0x400)
        return;
    command |= 0x400;
    if (pwrite(w->config_fd, &command, 2, 4) != 2 || write(w->uio_fd, &count, 4) != 4)
        abort();
}

int __real_interrupt_unmask(const interrupt *i);
int __wrap_interrupt_unmask(const interrupt *i);

/* A line that is asserted interrupts at once when it is unmasked. */
int __wrap_interrupt_unmask(const interrupt *i)
{
    int r;

    pthread_mutex_lock(&current->lock);
    r = __real_interrupt_unmask(i);
    update_line(current);
    pthread_mutex_unlock(&current->lock);
    return r;
}

static void control(world *w, uint32_t value)
{
    const uint64_t one = 1;

    if (value == 1) {
        *reg(w, VGPU_REG_RING_CTRL) = VGPU_RING_ON;
    } else if (*reg(w, VGPU_REG_RING_CTRL) == VGPU_RING_ON) {
        __atomic_store_n(&w->stop, true, __ATOMIC_RELEASE);
        assert_int_equal(write(w->doorbell, &one, sizeof(one)), sizeof(one));
        pthread_join(w->mediator, NULL);
        *reg(w, VGPU_REG_RING_CTRL) = VGPU_RING_OFF;
    }
}

uint32_t mmio_read(const volatile uint32_t *bar, uint32_t offset)
{
    uint32_t value;

    (void) bar;
    pthread_mutex_lock(&current->lock);
    value = *reg(current, offset);
    pthread_mutex_unlock(&current->lock);
    return value;
}

void mmio_write(volatile uint32_t *bar, uint32_t offset, uint32_t value)
{
    const uint64_t one = 1;
    world *w = current;

    (void) bar;
    if (offset == VGPU_REG_RING_CTRL) {
        control(w, value);
        return;
    }
    if (offset == VGPU_REG_RING_DOORBELL) {
        assert_int_equal(write(w->doorbell, &one, sizeof(one)), sizeof(one));
        return;
    }
    pthread_mutex_lock(&w->lock);
    if (offset == VGPU_REG_RING_IRQ_STATUS)
        *reg(w, offset) &= ~value;
    else
        *reg(w, offset) = value;
    update_line(w);
    pthread_mutex_unlock(&w->lock);
}

/* ---- The mediator ------------------------------------------------------------------ */

typedef struct mediator {
    world *w;
    RingHost host;
    RingEntry pending[ENTRIES];
    size_t n_pending;
    uint32_t random;
} mediator;

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static void take_new(mediator *m)
{
    RingEntry entry;
    int r;

    while ((r = ring_host_take(&m->host, &entry)) == RING_ENTRY) {
        must(entry.error == VGPU_ERROR_NONE);
        must(m->n_pending < ENTRIES); /* more than fits: the guest has broken the rules */
        m->pending[m->n_pending++] = entry;
    }
    must(r == RING_NOTHING); /* RING_FULL: the completion ring would overflow */
}

static void interrupt_guest(world *w)
{
    pthread_mutex_lock(&w->lock);
    w->interrupts++;
    *reg(w, VGPU_REG_RING_IRQ_STATUS) = VGPU_IRQ_COMPLETION;
    update_line(w);
    pthread_mutex_unlock(&w->lock);
}

static void complete_one(mediator *m)
{
    bool limited = __atomic_load_n(&m->w->n_allowed, __ATOMIC_ACQUIRE) != UINT32_MAX;
    size_t nth = limited ? m->n_pending - 1 : next_random(&m->random) % m->n_pending;
    const RingEntry entry = m->pending[nth];
    const RingResult result = {.value = compute(&entry.submission, m->w->window)};

    m->pending[nth] = m->pending[--m->n_pending];
    ring_host_complete(&m->host, entry.index, entry.submission.tag, &result);
    if (limited)
        __atomic_fetch_sub(&m->w->n_allowed, 1, __ATOMIC_RELEASE);
    if (ring_host_must_signal(&m->host))
        interrupt_guest(m->w);
}

static void wait_for_doorbell(mediator *m)
{
    struct pollfd p = {.fd = m->w->doorbell, .events = POLLIN};
    uint64_t count;

    poll(&p, 1, -1);
    must(read(m->w->doorbell, &count, sizeof(count)) == sizeof(count));
}

/* Sleep until the doorbell, unless something is new. */
static void fall_asleep(mediator *m)
{
    if (ring_host_sleep(&m->host) == RING_NOTHING)
        wait_for_doorbell(m);
}

/* A request in so many takes a while, in which others come and go. */
static void dawdle(mediator *m)
{
    uint32_t random = next_random(&m->random);
    const struct timespec ts = {.tv_nsec = random / 8 % 200 * 1000};

    if (m->w->dawdles && random % 8 == 0)
        nanosleep(&ts, NULL);
}

static void *mediate(void *data)
{
    world *w = data;
    mediator m = {.w = w, .random = 1};

    must(ring_host_open(&m.host, w->window, ENTRIES, WINDOW) == RING_NOTHING);
    while (!__atomic_load_n(&w->stop, __ATOMIC_ACQUIRE)) {
        take_new(&m);
        if (m.n_pending == 0) {
            fall_asleep(&m);
        } else if (__atomic_load_n(&w->n_allowed, __ATOMIC_ACQUIRE) == 0) {
            wait_for_doorbell(&m);
        } else {
            dawdle(&m);
            complete_one(&m);
        }
    }
    return NULL;
}

/* ---- The guest ------------------------------------------------------------------------ */

static int setup(void **state)
{
    world *w = calloc(1, sizeof(*w));
    char path[128], target[64];

    pthread_mutex_init(&w->lock, NULL);
    fake_sysfs_create(&w->sysfs);
    fake_sysfs_add(&w->sysfs, FAKE_ADDRESS);
    fake_sysfs_bind(&w->sysfs, FAKE_ADDRESS, "uio_pci_generic");
    snprintf(path, sizeof(path), "%s/uio0", w->sysfs.dev);
    w->uio_fd = open(path, O_RDWR | O_CLOEXEC);
    w->config_fd = open(fake_sysfs_path(&w->sysfs, FAKE_ADDRESS, "config"), O_RDWR | O_CLOEXEC);
    w->doorbell = eventfd(0, EFD_CLOEXEC);
    w->memfd = memfd_create("window", MFD_CLOEXEC);
    assert_true(w->uio_fd >= 0 && w->config_fd >= 0 && w->doorbell >= 0 && w->memfd >= 0);
    assert_return_code(ftruncate(w->memfd, WINDOW), 0);
    snprintf(target, sizeof(target), "/proc/self/fd/%d", w->memfd);
    assert_return_code(symlink(target, fake_sysfs_path(&w->sysfs, FAKE_ADDRESS, "resource2")), 0);

    *reg(w, VGPU_REG_PROTOCOL_VER) = VGPU_PROTOCOL_VERSION;
    *reg(w, VGPU_REG_EXT_MAGIC) = VGPU_EXT_MAGIC;
    *reg(w, VGPU_REG_EXT_VERSION) = VGPU_EXT_VERSION;
    *reg(w, VGPU_REG_EXT_FEATURES) = VGPU_EXT_FEATURE_WINDOW | VGPU_EXT_FEATURE_RING;
    *reg(w, VGPU_REG_WINDOW_SIZE_LO) = WINDOW;
    current = w;
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world *w = *state;

    fake_sysfs_remove(&w->sysfs);
    close(w->uio_fd);
    close(w->config_fd);
    close(w->doorbell);
    close(w->memfd);
    free(w);
    return 0;
}

typedef struct request {
    int32_t *a, *b, *c;
    int32_t number;
    int32_t *n_ended;
    bool busy;
} request;

#define ELEMENTS 8

static void has_ended(vgpu_ring *ring, const vgpu_completion *completion)
{
    request *r = completion->userdata;

    (void) ring;
    assert_int_equal(completion->result, 0);
    assert_true(r->busy);
    for (int i = 0; i < ELEMENTS; i++)
        assert_int_equal(r->c[i], r->number + i);
    r->busy = false;
    ++*r->n_ended;
}

static bool prepare(vgpu_ring *ring, request *r, int32_t number, vgpu_job *job)
{
    if (r->busy)
        return false;

    r->busy = true;
    r->number = number;
    for (int i = 0; i < ELEMENTS; i++) {
        r->a[i] = number;
        r->b[i] = i;
    }
    assert_int_equal(
        vgpu_job_vector(ring, VGPU_OP_RING_ADD, VGPU_INT32, 0, r->a, r->b, r->c, ELEMENTS, job), 0);
    job->callback = has_ended;
    job->userdata = r;
    return true;
}

/* Batches of random sizes, with as much outstanding as goes; waits for a random part of it. */
static void run(vgpu_ring *ring, int32_t total)
{
    request requests[ENTRIES];
    int32_t number = 0, n_ended = 0;
    uint32_t random = 2;

    for (uint32_t i = 0; i < ENTRIES; i++) {
        void *memory;

        assert_int_equal(vgpu_window_alloc(ring, 3 * ELEMENTS * sizeof(int32_t), 0, &memory), 0);
        requests[i] = (request){.a = memory, .n_ended = &n_ended};
        requests[i].b = requests[i].a + ELEMENTS;
        requests[i].c = requests[i].b + ELEMENTS;
    }
    while (n_ended < total) {
        uint32_t most = 1 + next_random(&random) % ENTRIES, n = 0;
        vgpu_job jobs[ENTRIES];
        size_t done = 0;

        for (uint32_t i = 0; i < ENTRIES && n < most && number < total; i++)
            if (prepare(ring, &requests[i], number, &jobs[n])) {
                n++;
                number++;
            }
        while (done < n) {
            size_t taken;
            int r = vgpu_ring_submit(ring, jobs + done, n - done, &taken);

            done += taken;
            if (r == -EAGAIN)
                r = vgpu_ring_wait_room(ring, LONG_MS);
            assert_int_equal(r, 0);
        }
        assert_int_equal(vgpu_ring_wait(ring, 1 + next_random(&random) % ENTRIES, LONG_MS), 0);
    }
    assert_int_equal(n_ended, total);
    assert_int_equal(vgpu_ring_get_outstanding(ring), 0);
}

typedef struct mode {
    vgpu_wait_mode wait;
    uint32_t spin_us;
} mode;

static const mode polling = {VGPU_WAIT_POLL, 20}, sleeping = {VGPU_WAIT_INTERRUPT, 0},
                  spinning = {VGPU_WAIT_INTERRUPT, 5};

/* @n_allowed: see world */
static vgpu_ring *begin(world *w, mode m, uint32_t n_allowed, vgpu_device **ret_dev)
{
    vgpu_ring *ring;

    assert_int_equal(vgpu_open(&w->sysfs.paths, NULL, ret_dev), 0);
    assert_int_equal(ring_open_at(*ret_dev, ENTRIES, LONG_MS, UINT32_MAX - 1000, &ring), 0);
    assert_int_equal(vgpu_ring_set_wait(ring, m.wait, m.spin_us), 0);

    /* Both sides use one mapping: a sanitizer tells memory by its address. */
    w->window = ring->window;
    w->stop = false;
    w->n_allowed = n_allowed;
    assert_int_equal(pthread_create(&w->mediator, NULL, mediate, w), 0);
    return ring;
}

static void end(vgpu_ring *ring, vgpu_device *dev)
{
    assert_int_equal(vgpu_ring_get_outstanding(ring), 0);
    vgpu_ring_close(ring);
    vgpu_close(dev);
}

static void run_mode(world *w, mode m, int32_t total)
{
    vgpu_device *dev;
    vgpu_ring *ring = begin(w, m, UINT32_MAX, &dev);

    run(ring, total);
    end(ring, dev);
}

static void test_polling(void **state)
{
    run_mode(*state, polling, 30000);
}

static void test_sleeping(void **state)
{
    world *w = *state;

    run_mode(w, sleeping, 30000);
    assert_true(w->interrupts > 0);
}

static void test_spinning_then_sleeping(void **state)
{
    run_mode(*state, spinning, 30000);
}

/* ---- Many threads of the guest ------------------------------------------------------------ */

/* A sleep of the library ends after a quarter of a second by itself, which would hide a lost
 * wake-up. That of a thread that has all the time does not. */
static _Thread_local bool has_time;

int __real_interrupt_sleep(const interrupt *i, int wake_fd, deadline until);
int __wrap_interrupt_sleep(const interrupt *i, int wake_fd, deadline until);

int __wrap_interrupt_sleep(const interrupt *i, int wake_fd, deadline until)
{
    if (until != 0 && has_time)
        until = deadline_after(LONG_MS);
    return __real_interrupt_sleep(i, wake_fd, until);
}

typedef struct worker {
    pthread_t thread;
    vgpu_ring *ring;
    uint32_t random;
    int32_t number, n;
    uint64_t n_timeouts;
    int result; /* that its requests end with */
} worker;

#define N_WORKERS (ENTRIES + 8) /* more than the ring has room for */

static void make_sum(worker *w, int32_t *memory, vgpu_job *job)
{
    memory[0] = w->number;
    memory[1] = ++w->n;
    must(vgpu_job_reduce(w->ring, VGPU_OP_RING_SUM, VGPU_INT32, memory, NULL, 2, job) == 0);
}

static void expect_sum(const worker *w, const vgpu_completion *c)
{
    must(c->result == w->result);
    must(c->result != 0 || c->value.int32 == w->number + w->n);
}

/* Completions that other threads have yet to take can fill the ring. */
static void submit_one(worker *w, vgpu_job *job)
{
    int r;

    while ((r = vgpu_ring_submit(w->ring, job, 1, NULL)) == -EAGAIN) {
        r = vgpu_ring_wait_room(w->ring, LONG_MS);
        must(r == 0 || r == -EAGAIN);
        if (r == -EAGAIN)
            sched_yield();
    }
    must(r == 0);
}

static void run_job(worker *w, vgpu_job *job, vgpu_completion *ret)
{
    int r;

    while ((r = vgpu_ring_run(w->ring, job, LONG_MS, ret)) == -EAGAIN)
        sched_yield();
    must(r == w->result);
}

static int32_t *new_memory(vgpu_ring *ring)
{
    void *memory;

    must(vgpu_window_alloc(ring, 64, 0, &memory) == 0);
    return memory;
}

/* Each request from beginning to end, or in two steps; each wait with all the time or with little.
 */
static void *work_alone(void *data)
{
    worker *w = data;
    int32_t *memory = new_memory(w->ring);

    for (int i = 0; i < 400; i++) {
        vgpu_completion c;
        vgpu_job job;
        int r;

        make_sum(w, memory, &job);
        has_time = true;
        if (next_random(&w->random) % 2) {
            run_job(w, &job, &c);
            expect_sum(w, &c);
            continue;
        }
        submit_one(w, &job);
        has_time = next_random(&w->random) % 2;
        while ((r = vgpu_ring_wait_for(w->ring, job.id, has_time ? LONG_MS : i % 2, &c)) ==
               -ETIMEDOUT) {
            must(!has_time);
            w->n_timeouts++;
        }
        must(r == 0);
        expect_sum(w, &c);
        must(vgpu_ring_wait_for(w->ring, job.id, LONG_MS, &c) == -ENOENT);
    }
    must(vgpu_window_free(w->ring, memory) == 0);
    return NULL;
}

static void start_workers(worker *workers, uint32_t n, vgpu_ring *ring, void *(*work)(void *) )
{
    for (uint32_t i = 0; i < n; i++) {
        workers[i] = (worker){.ring = ring, .random = i, .number = (int32_t) i * 1000000};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
}

static void join_workers(worker *workers, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
}

static void run_alone(world *w, mode m)
{
    worker workers[N_WORKERS];
    vgpu_device *dev;
    vgpu_ring *ring;

    w->dawdles = true;
    ring = begin(w, m, UINT32_MAX, &dev);
    start_workers(workers, N_WORKERS, ring, work_alone);
    join_workers(workers, N_WORKERS);
    assert_true(vgpu_window_largest(ring) > WINDOW / 2);
    end(ring, dev);
}

static void test_threads_polling(void **state)
{
    run_alone(*state, polling);
}

static void test_threads_sleeping(void **state)
{
    run_alone(*state, sleeping);
}

static void test_threads_spinning_then_sleeping(void **state)
{
    run_alone(*state, spinning);
}

/* ---- Callbacks, and those that wait for several ---------------------------------------------- */

static int in_callback;

typedef struct tally {
    worker *w;
    uint64_t n_called;
} tally;

static void count_call(vgpu_ring *ring, const vgpu_completion *completion)
{
    tally *t = completion->userdata;

    must(__atomic_fetch_add(&in_callback, 1, __ATOMIC_SEQ_CST) == 0);
    must(completion->result == 0);
    must(vgpu_ring_poll(ring, NULL, 0, NULL) == -EDEADLK);
    must(vgpu_ring_wait(ring, 1, 0) == -EDEADLK);
    t->n_called++; /* callbacks never run at the same time */
    must(__atomic_fetch_sub(&in_callback, 1, __ATOMIC_SEQ_CST) == 1);
}

/* Batches of requests with callbacks; whichever thread runs those. */
static void *work_in_batches(void *data)
{
    worker *w = data;
    tally t = {.w = w};
    uint64_t n = 0;

    has_time = true;
    for (int i = 0; i < 300; i++) {
        uint32_t batch = 1 + next_random(&w->random) % 4;

        for (uint32_t j = 0; j < batch; j++) {
            vgpu_job job;

            vgpu_job_nop(&job);
            job.callback = count_call;
            job.userdata = &t;
            submit_one(w, &job);
            n++;
        }
        must(vgpu_ring_wait(w->ring, next_random(&w->random) % (batch + 1), LONG_MS) == 0);
    }
    must(vgpu_ring_wait(w->ring, SIZE_MAX, LONG_MS) == 0);
    must(t.n_called == n);
    return NULL;
}

static void run_mixed(world *w, mode m)
{
    worker alone[4], batches[4];
    vgpu_device *dev;
    vgpu_ring *ring;

    w->dawdles = true;
    ring = begin(w, m, UINT32_MAX, &dev);
    start_workers(batches, 4, ring, work_in_batches);
    start_workers(alone, 4, ring, work_alone);
    join_workers(alone, 4);
    join_workers(batches, 4);
    end(ring, dev);
}

static void test_callbacks_polling(void **state)
{
    run_mixed(*state, polling);
}

static void test_callbacks_sleeping(void **state)
{
    run_mixed(*state, sleeping);
}

/* ---- One that polls beside others that wait ------------------------------------------------- */

static void *work_by_run(void *data)
{
    worker *w = data;
    int32_t *memory = new_memory(w->ring);

    has_time = true;
    for (int i = 0; i < 1000; i++) {
        vgpu_completion c;
        vgpu_job job;

        make_sum(w, memory, &job);
        run_job(w, &job, &c);
        expect_sum(w, &c);
    }
    return NULL;
}

/* A completion that a thread waits for is not handed to the one that polls, which takes it from the
 * ring under the nose of the leader. */
static void test_polling_beside_sleepers(void **state)
{
    world *w = *state;
    worker workers[3];
    vgpu_device *dev;
    vgpu_ring *ring = begin(w, sleeping, UINT32_MAX, &dev);
    uint64_t n_taken = 0, n_submitted = 0;

    start_workers(workers, 3, ring, work_by_run);
    while (n_taken < 3000) {
        vgpu_completion c;
        vgpu_job job;
        size_t n;

        vgpu_job_nop(&job);
        job.userdata = &n_taken;
        if (n_submitted - n_taken < ENTRIES - 4 && vgpu_ring_submit(ring, &job, 1, NULL) == 0)
            n_submitted++;
        assert_int_equal(vgpu_ring_poll(ring, &c, 1, &n), 0);
        assert_true(n == 0 || c.userdata == &n_taken);
        n_taken += n;
        while (n_taken == 3000 && n_submitted > n_taken) {
            assert_int_equal(vgpu_ring_wait(ring, 1, LONG_MS), 0);
            assert_int_equal(vgpu_ring_poll(ring, &c, 1, &n), 0);
            n_submitted -= n;
        }
    }
    join_workers(workers, 3);
    end(ring, dev);
}

/* ---- Computing, and the registers, beside each other ---------------------------------------- */

static void *work_on_vectors(void *data)
{
    worker *w = data;
    int32_t a[100], b[100], c[100];

    has_time = true;
    for (int i = 0; i < 200; i++) {
        for (int j = 0; j < 100; j++) {
            a[j] = w->number + i;
            b[j] = j;
        }
        must(vgpu_compute_vector(w->ring, VGPU_OP_RING_ADD, VGPU_INT32, 0, a, b, 100, LONG_MS, c,
                                 NULL) == 0);
        for (int j = 0; j < 100; j++)
            must(c[j] == w->number + i + j);
    }
    return NULL;
}

static void test_computing_in_threads(void **state)
{
    world *w = *state;
    worker workers[6];
    vgpu_device *dev;
    vgpu_ring *ring = begin(w, sleeping, UINT32_MAX, &dev);
    vgpu_counters counters;
    uint32_t value;

    start_workers(workers, 6, ring, work_on_vectors);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(vgpu_read_register(dev, VGPU_REG_PROTOCOL_VER, &value), 0);
        vgpu_get_counters(dev, &counters);
        assert_true(counters.reads > (uint64_t) i);
    }
    join_workers(workers, 6);
    end(ring, dev);
}

/* ---- A leader that goes, and one that is asked for more ---------------------------------------
 */

static void allow(world *w, uint32_t n)
{
    const uint64_t one = 1;

    __atomic_store_n(&w->n_allowed, n, __ATOMIC_RELEASE);
    assert_int_equal(write(w->doorbell, &one, sizeof(one)), sizeof(one));
}

static void *wait_a_moment(void *data)
{
    worker *w = data;

    must(vgpu_ring_wait(w->ring, SIZE_MAX, 30) == -ETIMEDOUT);
    return NULL;
}

static void *wait_for_all(void *data)
{
    worker *w = data;

    has_time = true;
    must(vgpu_ring_wait(w->ring, SIZE_MAX, LONG_MS) == 0);
    return NULL;
}

static void *run_one(void *data)
{
    worker *w = data;
    int32_t *memory = new_memory(w->ring);
    vgpu_completion c;
    vgpu_job job;

    has_time = true;
    make_sum(w, memory, &job);
    run_job(w, &job, &c);
    expect_sum(w, &c);
    return NULL;
}

static void wait_for_sleepers(vgpu_ring *ring, uint32_t n)
{
    const struct timespec ts = {.tv_nsec = 1000000};
    uint32_t found;

    do {
        ring_sleeper *s;

        nanosleep(&ts, NULL);
        found = 0;
        ring_lock(ring);
        TAILQ_FOREACH(s, &ring->sleepers, link)
        found++;
        ring_unlock(ring);
    } while (found < n);
}

/* The leader's time is over while others follow; the next one hears of all completions. */
static void test_leader_that_times_out(void **state)
{
    world *w = *state;
    worker leader, followers[4];
    vgpu_device *dev;
    vgpu_ring *ring = begin(w, sleeping, 0, &dev);
    vgpu_completion completions[2];
    vgpu_job job;
    size_t n;

    vgpu_job_nop(&job);
    assert_int_equal(vgpu_ring_submit(ring, &job, 1, NULL), 0);
    assert_int_equal(vgpu_ring_submit(ring, &job, 1, NULL), 0);
    start_workers(&leader, 1, ring, wait_a_moment);
    wait_for_sleepers(ring, 1);
    start_workers(followers, 4, ring, run_one);
    join_workers(&leader, 1);
    wait_for_sleepers(ring, 4);
    allow(w, UINT32_MAX);
    join_workers(followers, 4);
    assert_int_equal(vgpu_ring_wait(ring, SIZE_MAX, LONG_MS), 0);
    assert_int_equal(vgpu_ring_poll(ring, completions, 2, &n), 0);
    assert_int_equal(n, 2);
    end(ring, dev);
}

/* The leader sleeps until all have ended, and the mediator completes one. A thread that has begun
 * to wait for that one meanwhile hears of it. */
static void test_leader_that_waits_for_more(void **state)
{
    world *w = *state;
    worker leader, follower;
    vgpu_device *dev;
    vgpu_ring *ring = begin(w, sleeping, 0, &dev);
    vgpu_completion completions[8];
    vgpu_job job;
    size_t n;

    vgpu_job_nop(&job);
    for (int i = 0; i < 8; i++)
        assert_int_equal(vgpu_ring_submit(ring, &job, 1, NULL), 0);
    start_workers(&leader, 1, ring, wait_for_all);
    wait_for_sleepers(ring, 1);
    start_workers(&follower, 1, ring, run_one);
    wait_for_sleepers(ring, 2);
    allow(w, 1);
    join_workers(&follower, 1);
    assert_int_equal(vgpu_ring_get_outstanding(ring), 8);
    allow(w, UINT32_MAX);
    join_workers(&leader, 1);
    assert_int_equal(vgpu_ring_poll(ring, completions, 8, &n), 0);
    assert_int_equal(n, 8);
    end(ring, dev);
}

/* The host ends the ring: all who wait hear of that, not the leader alone. */
static void test_end_wakes_all(void **state)
{
    world *w = *state;
    worker workers[6];
    vgpu_device *dev;
    vgpu_ring *ring = begin(w, sleeping, 0, &dev);

    for (uint32_t i = 0; i < 6; i++) {
        workers[i] = (worker){.ring = ring, .result = VGPU_ERROR_VM_QUARANTINED};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, run_one, &workers[i]), 0);
    }
    wait_for_sleepers(ring, 6);
    pthread_mutex_lock(&w->lock);
    *reg(w, VGPU_REG_RING_ERROR) = VGPU_ERROR_VM_QUARANTINED;
    *reg(w, VGPU_REG_RING_CTRL) = VGPU_RING_FAILED;
    pthread_mutex_unlock(&w->lock);
    interrupt_guest(w);
    join_workers(workers, 6);
    pthread_mutex_lock(&w->lock);
    *reg(w, VGPU_REG_RING_CTRL) = VGPU_RING_ON; /* so that closing ends the mediator */
    pthread_mutex_unlock(&w->lock);
    allow(w, UINT32_MAX);
    end(ring, dev);
}

/* ---- What may not go beside a leader, and fork() -----------------------------------------------
 */

static void test_busy_beside_a_leader(void **state)
{
    world *w = *state;
    worker leader;
    vgpu_device *dev;
    vgpu_ring *ring = begin(w, sleeping, 0, &dev);

    start_workers(&leader, 1, ring, run_one);
    wait_for_sleepers(ring, 1);
    assert_int_equal(vgpu_ring_arm(ring), -EBUSY);
    assert_int_equal(vgpu_ring_set_wait(ring, VGPU_WAIT_POLL, 0), -EBUSY);
    assert_int_equal(vgpu_ring_wait(ring, 1, 0), -ETIMEDOUT);
    allow(w, UINT32_MAX);
    join_workers(&leader, 1);
    assert_int_equal(vgpu_ring_arm(ring), 0);
    assert_int_equal(vgpu_ring_set_wait(ring, VGPU_WAIT_POLL, 0), 0);
    end(ring, dev);
}

/* A child that touches nothing of it does not disturb its parent. */
static void test_fork_beside_sleepers(void **state)
{
    world *w = *state;
    worker workers[4];
    vgpu_device *dev;
    vgpu_ring *ring;

    w->dawdles = true;
    ring = begin(w, sleeping, UINT32_MAX, &dev);
    start_workers(workers, 4, ring, work_alone);
    for (int i = 0; i < 10; i++) {
        pid_t child = fork();
        int status;

        if (child == 0)
            _exit(0);
        assert_true(child > 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
    }
    join_workers(workers, 4);
    end(ring, dev);
}

int main(void)
{
#define CASE(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_polling),
        CASE(test_sleeping),
        CASE(test_spinning_then_sleeping),
        CASE(test_threads_polling),
        CASE(test_threads_sleeping),
        CASE(test_threads_spinning_then_sleeping),
        CASE(test_callbacks_polling),
        CASE(test_callbacks_sleeping),
        CASE(test_polling_beside_sleepers),
        CASE(test_computing_in_threads),
        CASE(test_leader_that_times_out),
        CASE(test_leader_that_waits_for_more),
        CASE(test_end_wakes_all),
        CASE(test_busy_beside_a_leader),
        CASE(test_fork_beside_sleepers),
    };

    return cmocka_run_group_tests_name("guest-ring-threads", tests, NULL, NULL);
}
