/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The ring between two threads: libvgpu in one, a mediator in the other, at full speed on the same
 * memory. Meant for ThreadSanitizer too: operands and results are ordinary memory, so that it sees
 * whether the indices order them.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cleanup.h"
#include "mmio.h"
#include "ring.h"
#include "shared.h"
#include "test-guest-compute.h"
#include "test-guest-sysfs.h"
#include "test.h"
#include "uio.h"

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

int __real_uio_unmask(int config_fd);
int __wrap_uio_unmask(int config_fd);

/* A line that is asserted interrupts at once when it is unmasked. */
int __wrap_uio_unmask(int config_fd)
{
    int r;

    pthread_mutex_lock(&current->lock);
    r = __real_uio_unmask(config_fd);
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
    VGPURingHeader *header;
    VGPUSubmission *submissions;
    VGPUCompletion *completions;
    uint32_t taken, sq_head, cq_tail, random;
    struct {
        VGPUSubmission copy;
        uint32_t index;
    } pending[ENTRIES];
    size_t n_pending;
    bool done[ENTRIES];
} mediator;

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static void take_new(mediator *m)
{
    while (m->taken != shared_load(&m->header->sq_tail)) {
        uint32_t slot_number = m->taken % ENTRIES;

        if (m->n_pending == ENTRIES)
            abort(); /* more than fits: the guest has broken the rules */
        shared_copy_in(&m->pending[m->n_pending].copy, &m->submissions[slot_number],
                       sizeof(VGPUSubmission));
        m->pending[m->n_pending++].index = m->taken++;
        m->done[slot_number] = false;
    }
}

static void complete_one(mediator *m)
{
    size_t nth = next_random(&m->random) % m->n_pending;
    const VGPUSubmission s = m->pending[nth].copy;
    VGPUCompletion c = {.tag = s.tag};
    uint32_t old = m->cq_tail;

    c.result = compute(&s, m->w->window);
    if (m->cq_tail - shared_load(&m->header->cq_head) >= ENTRIES)
        abort(); /* the completion ring would overflow */
    shared_copy_out(&m->completions[m->cq_tail % ENTRIES], &c, sizeof(c));
    shared_store(&m->header->cq_tail, ++m->cq_tail);
    m->done[m->pending[nth].index % ENTRIES] = true;
    m->pending[nth] = m->pending[--m->n_pending];
    while (m->sq_head != m->taken && m->done[m->sq_head % ENTRIES])
        m->sq_head++;
    shared_store(&m->header->sq_head, m->sq_head);

    shared_barrier();
    if (vgpu_ring_must_notify(shared_load(&m->header->cq_event), m->cq_tail, old)) {
        pthread_mutex_lock(&m->w->lock);
        m->w->interrupts++;
        *reg(m->w, VGPU_REG_RING_IRQ_STATUS) = VGPU_IRQ_COMPLETION;
        update_line(m->w);
        pthread_mutex_unlock(&m->w->lock);
    }
}

/* Sleep until the doorbell, unless something is new. */
static void fall_asleep(mediator *m)
{
    struct pollfd p = {.fd = m->w->doorbell, .events = POLLIN};
    uint64_t count;

    shared_store(&m->header->sq_event, m->taken);
    shared_barrier();
    if (shared_load(&m->header->sq_tail) != m->taken)
        return;
    poll(&p, 1, -1);
    if (read(m->w->doorbell, &count, sizeof(count)) != sizeof(count))
        abort();
}

static void *mediate(void *data)
{
    world *w = data;
    mediator m = {.w = w, .header = (VGPURingHeader *) w->window, .random = 1};

    m.submissions = (VGPUSubmission *) (m.header + 1);
    m.completions = (VGPUCompletion *) (m.submissions + ENTRIES);
    m.taken = m.sq_head = shared_load(&m.header->sq_head);
    m.cq_tail = shared_load(&m.header->cq_tail);
    while (!__atomic_load_n(&w->stop, __ATOMIC_ACQUIRE)) {
        take_new(&m);
        if (m.n_pending == 0)
            fall_asleep(&m);
        else
            complete_one(&m);
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

static void run_mode(world *w, vgpu_wait_mode mode, uint32_t spin_us, int32_t total)
{
    vgpu_device *dev;
    vgpu_ring *ring;

    assert_int_equal(vgpu_open(&w->sysfs.paths, NULL, &dev), 0);
    assert_int_equal(ring_open_at(dev, ENTRIES, LONG_MS, UINT32_MAX - 1000, &ring), 0);
    assert_int_equal(vgpu_ring_set_wait(ring, mode, spin_us), 0);

    /* Both threads use one mapping: a sanitizer tells memory by its address. */
    w->window = ring->window;
    w->stop = false;
    assert_int_equal(pthread_create(&w->mediator, NULL, mediate, w), 0);
    run(ring, total);
    vgpu_ring_close(ring);
    vgpu_close(dev);
}

static void test_polling(void **state)
{
    run_mode(*state, VGPU_WAIT_POLL, 20, 30000);
}

static void test_sleeping(void **state)
{
    world *w = *state;

    run_mode(w, VGPU_WAIT_INTERRUPT, 0, 30000);
    assert_true(w->interrupts > 0);
}

static void test_spinning_then_sleeping(void **state)
{
    run_mode(*state, VGPU_WAIT_INTERRUPT, 5, 30000);
}

int main(void)
{
#define CASE(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_polling),
        CASE(test_sleeping),
        CASE(test_spinning_then_sleeping),
    };

    return cmocka_run_group_tests_name("guest-ring-threads", tests, NULL, NULL);
}
