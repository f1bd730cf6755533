/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The ring, against a model of device and mediator: indices, room, order, doorbells, interrupts. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "ring.h"
#include "test-guest-fake-vfio.h"
#include "test-guest-fixture.h"
#include "test.h"

#define WINDOW (UINT64_C(1) << 20)

/* ---- In place of sleeping ---------------------------------------------------- */

int __real_interrupt_sleep(const interrupt *i, int wake_fd, deadline until);
int __wrap_interrupt_sleep(const interrupt *i, int wake_fd, deadline until);

/* Called before the library sleeps. The test does here what the host does meanwhile. */
static void (*while_asleep)(void);

/* This does not sleep: everything that wakes the library has happened when the hook returns. If the
 * library would sleep now, an interrupt was lost. */
int __wrap_interrupt_sleep(const interrupt *i, int wake_fd, deadline until)
{
    if (until != 0 && while_asleep)
        while_asleep();
    if (until != 0 && __real_interrupt_sleep(i, wake_fd, 0) == -ETIMEDOUT)
        fail_msg("the library would sleep, and nothing would wake it");
    return until == 0 ? __real_interrupt_sleep(i, wake_fd, 0) : 0;
}

/* ---- The world ------------------------------------------------------------------ */

static int setup(void **state)
{
    while_asleep = NULL;
    return fixture_setup_ring(state, WINDOW);
}

/* The same for a device that is bound to vfio-pci. */
static fake_vfio vfio;

static int setup_vfio(void **state)
{
    fixture *f;

    setup(state);
    f = *state;
    f->dev = vgpu_close(f->dev);
    fake_vfio_add(&vfio, &f->model, &f->sysfs);
    assert_int_equal(vgpu_open(&f->sysfs.paths, NULL, &f->dev), 0);
    return 0;
}

static int teardown_vfio(void **state)
{
    fixture *f = *state;

    f->dev = vgpu_close(f->dev);
    fake_vfio_remove(&vfio);
    return fixture_teardown(state);
}

static bool is_by_message(const fixture *f)
{
    return f->model.message != NULL;
}

static vgpu_ring *open_at(fixture *f, uint32_t entries, uint32_t first)
{
    vgpu_ring *ring = NULL;

    assert_int_equal(ring_open_at(f->dev, entries, LONG_MS, first, &ring), 0);
    return ring;
}

/* With VFIO there is nothing to do. */
static void open_interrupts(fixture *f)
{
    char path[128];

    if (is_by_message(f))
        return;

    fake_sysfs_bind(&f->sysfs, FAKE_ADDRESS, "uio_pci_generic");
    snprintf(path, sizeof(path), "%s/uio0", f->sysfs.dev);
    f->model.uio_fd = open(path, O_RDWR | O_CLOEXEC);
    assert_return_code(f->model.uio_fd, 0);
    f->model.config_fd =
        open(fake_sysfs_path(&f->sysfs, FAKE_ADDRESS, "config"), O_RDWR | O_CLOEXEC);
    assert_return_code(f->model.config_fd, 0);
}

/* A sum of one number, @value: its result says which request it was. */
static vgpu_job sum_job(vgpu_ring *ring, int32_t *memory, int32_t value)
{
    vgpu_job job;

    *memory = value;
    assert_int_equal(vgpu_job_reduce(ring, VGPU_OP_RING_SUM, VGPU_INT32, memory, NULL, 1, &job), 0);
    return job;
}

static int32_t *new_memory(vgpu_ring *ring, size_t n)
{
    void *memory = NULL;

    assert_int_equal(vgpu_window_alloc(ring, n * sizeof(int32_t), 0, &memory), 0);
    return memory;
}

/* ---- Round and round --------------------------------------------------------------- */

/* Batches of every size at every index of the ring, and through 2^32. */
static void run_through(fixture *f, uint32_t entries, uint32_t first)
{
    vgpu_ring *ring = open_at(f, entries, first);
    int32_t *memory = new_memory(ring, entries);
    vgpu_completion completions[16];
    vgpu_job jobs[16];
    int32_t value = 0;
    size_t n;

    for (uint32_t batch = 1; batch <= entries; batch++)
        for (uint32_t turn = 0; turn <= entries; turn++) {
            for (uint32_t i = 0; i < batch; i++) {
                jobs[i] = sum_job(ring, &memory[i], value + (int32_t) i);
                jobs[i].userdata = &jobs[i];
            }
            assert_int_equal(vgpu_ring_submit(ring, jobs, batch, NULL), 0);
            assert_int_equal(vgpu_ring_wait(ring, SIZE_MAX, LONG_MS), 0);
            assert_int_equal(vgpu_ring_poll(ring, completions, 16, &n), 0);
            assert_int_equal(n, batch);
            for (uint32_t i = 0; i < batch; i++) {
                const vgpu_job *job = completions[i].userdata;

                assert_int_equal(completions[i].result, 0);
                assert_int_equal(completions[i].id, job->id);
                assert_int_equal(completions[i].exec_time_us, 7);
                assert_int_equal(completions[i].value.int32, value + (job - jobs));
            }
            value += (int32_t) batch;
        }
    assert_int_equal(vgpu_ring_get_outstanding(ring), 0);
    vgpu_ring_close(ring);
}

static void test_wrap_at_every_index(void **state)
{
    fixture *f = *state;

    for (uint32_t entries = 4; entries <= 16; entries *= 2)
        for (uint32_t before = 0; before <= 2 * entries; before++) {
            f->model.ring.backwards = before % 2;
            run_through(f, entries, 0u - before);
        }
}

static void test_full_ring(void **state)
{
    fixture *f = *state;
    vgpu_ring *ring = open_at(f, 8, UINT32_MAX - 3);
    int32_t *memory = new_memory(ring, 16);
    vgpu_completion completions[16];
    vgpu_job jobs[16];
    size_t n = 99;

    f->model.ring.manual = true;
    for (int i = 0; i < 16; i++)
        jobs[i] = sum_job(ring, &memory[i], i);

    /* First all or none, then as many as there is room for. */
    assert_int_equal(vgpu_ring_submit(ring, jobs, 9, NULL), -EAGAIN);
    assert_int_equal(vgpu_ring_get_outstanding(ring), 0);
    assert_int_equal(vgpu_ring_submit(ring, jobs, 16, &n), 0);
    assert_int_equal(n, 8);
    assert_int_equal(vgpu_ring_submit(ring, jobs + 8, 8, &n), -EAGAIN);
    assert_int_equal(n, 0);
    assert_int_equal(vgpu_ring_wait_room(ring, 0), -ETIMEDOUT);
    assert_int_equal(ring_model_take(&f->model), 8);

    /* The last request completes first. Its slot is free when its completion was taken, but its
     * entry is not. */
    ring_model_complete(&f->model, 7);
    assert_int_equal(vgpu_ring_submit(ring, jobs + 8, 1, NULL), -EAGAIN);
    assert_int_equal(vgpu_ring_wait_room(ring, LONG_MS), -EAGAIN);
    assert_int_equal(vgpu_ring_poll(ring, completions, 16, &n), 0);
    assert_int_equal(n, 1);
    assert_int_equal(completions[0].value.int32, 7);
    assert_int_equal(vgpu_ring_submit(ring, jobs + 8, 1, NULL), -EAGAIN);
    assert_int_equal(vgpu_ring_wait_room(ring, 0), -ETIMEDOUT);

    /* The first request frees its own entry, and none behind it. */
    ring_model_complete(&f->model, 0);
    assert_int_equal(vgpu_ring_poll(ring, completions, 16, &n), 0);
    assert_int_equal(vgpu_ring_wait_room(ring, LONG_MS), 0);
    assert_int_equal(vgpu_ring_submit(ring, jobs + 8, 8, &n), 0);
    assert_int_equal(n, 1);

    /* Nothing was lost. */
    ring_model_run(&f->model);
    assert_int_equal(vgpu_ring_wait(ring, SIZE_MAX, LONG_MS), 0);
    assert_int_equal(vgpu_ring_poll(ring, completions, 16, &n), 0);
    assert_int_equal(n, 7);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(completions[i].value.int32, i < 6 ? i + 1 : 8);
    vgpu_ring_close(ring);
}

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* In whatever order requests are submitted and completed, each gets its own answer, once. */
static void test_any_order(void **state)
{
    fixture *f = *state;
    vgpu_ring *ring = open_at(f, 16, 0u - 500);
    int32_t *memory = new_memory(ring, 16);
    uint32_t random = 1, submitted = 0, taken = 0;
    static bool seen[3000];

    f->model.ring.manual = true;
    while (taken < ELEMENTSOF(seen)) {
        uint32_t what = next_random(&random) % 4;
        vgpu_completion c;
        size_t n;

        if (what == 0 && submitted < ELEMENTSOF(seen)) {
            vgpu_job job;
            int r;

            vgpu_job_nop(&job);
            job.userdata = &seen[submitted];
            r = vgpu_ring_submit(ring, &job, 1, NULL);
            assert_true(r == 0 || r == -EAGAIN);
            submitted += r == 0;
        } else if (what == 1) {
            ring_model_take(&f->model);
        } else if (what == 2 && f->model.ring.n_pending > 0) {
            ring_model_complete(&f->model, next_random(&random) % f->model.ring.n_pending);
        } else if (what == 3) {
            assert_int_equal(vgpu_ring_poll(ring, &c, 1, &n), 0);
            if (n == 1) {
                assert_false(*(bool *) c.userdata);
                *(bool *) c.userdata = true;
                taken++;
            }
        }
    }
    assert_int_equal(submitted, taken);
    assert_non_null(memory);
    vgpu_ring_close(ring);
}

/* ---- Doorbells ---------------------------------------------------------------------- */

static void test_one_doorbell_a_batch(void **state)
{
    fixture *f = *state;
    vgpu_ring *ring = open_at(f, 64, 0u - 100);
    vgpu_ring_counters counters;
    vgpu_job jobs[64];
    vgpu_counters before, after;

    for (int i = 0; i < 64; i++)
        vgpu_job_nop(&jobs[i]);
    vgpu_get_counters(f->dev, &before);
    for (int batch = 0; batch < 10; batch++) {
        assert_int_equal(vgpu_ring_submit(ring, jobs, 64, NULL), 0);
        assert_int_equal(vgpu_ring_wait(ring, SIZE_MAX, LONG_MS), 0);
        for (int i = 0; i < 64; i++) {
            vgpu_completion c;

            assert_int_equal(vgpu_ring_wait_for(ring, jobs[63 - i].id, LONG_MS, &c), 0);
        }
    }
    vgpu_get_counters(f->dev, &after);
    vgpu_ring_get_counters(ring, &counters);
    assert_int_equal(f->model.ring.doorbells, 10);
    assert_int_equal(counters.doorbells, 10);
    assert_int_equal(counters.submitted, 640);
    assert_int_equal(counters.completed, 640);
    /* Nothing else but doorbells has touched a register. */
    assert_int_equal(after.writes - before.writes, 10);
    assert_int_equal(after.reads - before.reads, 0);
    vgpu_ring_close(ring);
}

/* There is no doorbell while the host is awake. */
static void test_no_doorbell_while_awake(void **state)
{
    fixture *f = *state;
    vgpu_ring *ring = open_at(f, 64, 0u - 20);
    vgpu_job job;

    f->model.ring.manual = true;
    vgpu_job_nop(&job);
    for (int i = 0; i < 40; i++)
        assert_int_equal(vgpu_ring_submit(ring, &job, 1, NULL), 0);
    assert_int_equal(f->model.ring.doorbells, 1);

    ring_model_run(&f->model);
    assert_int_equal(vgpu_ring_submit(ring, &job, 1, NULL), 0);
    assert_int_equal(f->model.ring.doorbells, 2);
    vgpu_ring_close(ring);
}

/* The library rings exactly where the host has asked for it. */
static void test_doorbell_where_asked_for(void **state)
{
    fixture *f = *state;
    vgpu_job jobs[4];

    f->model.ring.manual = true;
    for (int i = 0; i < 4; i++)
        vgpu_job_nop(&jobs[i]);
    for (int32_t event = -6; event <= 6; event++) {
        vgpu_ring *ring = open_at(f, 16, UINT32_MAX - 1);
        uint64_t before = f->model.ring.doorbells;

        ring_model_header(&f->model)->sq_event = UINT32_MAX - 1 + (uint32_t) event;
        assert_int_equal(vgpu_ring_submit(ring, jobs, 4, NULL), 0);
        assert_int_equal(f->model.ring.doorbells - before, event >= 0 && event < 4);
        vgpu_ring_close(ring);
    }
}

/* ---- Races ---------------------------------------------------------------------------- */

/* The host takes each of its steps before one of the library's accesses to the ring. */
static uint64_t at_access[3];
static void (*steps[3])(model *m);
static size_t next_step;

static void take_steps(model *m)
{
    while (next_step < ELEMENTSOF(steps) && steps[next_step] &&
           m->ring.accesses >= at_access[next_step])
        steps[next_step++](m);
}

static void rest_of_steps(void)
{
    model *m = model_current();

    m->ring.acting = true;
    while (next_step < ELEMENTSOF(steps) && steps[next_step])
        steps[next_step++](m);
    m->ring.acting = false;
}

static void step_take(model *m)
{
    ring_model_take(m);
}

/* The host takes what there is, writes sq_event, and looks again. It takes each of these steps
 * before any access of a submission. When both sides have finished, no entry lies there of which
 * neither side knows. */
static void race_submission(fixture *f, uint64_t take, uint64_t event, uint64_t look)
{
    vgpu_ring *ring = open_at(f, 4, UINT32_MAX);
    model *m = &f->model;
    uint64_t begin;
    vgpu_job job;

    /* The host is awake, and its sq_event is an old one. */
    vgpu_job_nop(&job);
    assert_int_equal(vgpu_ring_submit(ring, &job, 1, NULL), 0);
    assert_int_equal(ring_model_take(m), 1);
    ring_model_complete(m, 0);
    assert_false(m->ring.asleep);

    begin = m->ring.accesses;
    at_access[0] = begin + take;
    at_access[1] = begin + event;
    at_access[2] = begin + look;
    next_step = 0;
    m->ring.between = take_steps;
    assert_int_equal(vgpu_ring_submit(ring, &job, 1, NULL), 0);
    m->ring.between = NULL;
    rest_of_steps();

    if (m->ring.asleep)
        assert_int_equal(m->ring.host.sq_next, ring_model_header(m)->sq_tail);
    vgpu_ring_close(ring);
}

static void test_no_lost_doorbell(void **state)
{
    fixture *f = *state;
    const uint64_t last = 12; /* more than a submission has accesses */

    f->model.ring.manual = true;
    steps[0] = step_take;
    steps[1] = ring_model_write_event;
    steps[2] = ring_model_fall_asleep;
    for (uint64_t take = 1; take <= last; take++)
        for (uint64_t event = take; event <= last; event++)
            for (uint64_t look = event; look <= last; look++) {
                race_submission(f, take, event, look);
            }
}

static void step_complete(model *m)
{
    ring_model_finish(m, 0);
}

/* The host moves cq_tail and looks at cq_event. It takes each of these steps before any access of a
 * wait, or while the library sleeps. __wrap_interrupt_sleep() fails the test if nothing would wake
 * the library. */
static void test_no_lost_interrupt(void **state)
{
    fixture *f = *state;
    const uint64_t last = 24;
    model *m = &f->model;
    vgpu_completion c;
    vgpu_ring *ring;
    vgpu_job job;

    open_interrupts(f);
    ring = open_at(f, 4, 0u - 200);
    assert_int_equal(vgpu_ring_set_wait(ring, VGPU_WAIT_INTERRUPT, 0), 0);
    m->ring.manual = true;
    while_asleep = rest_of_steps;
    steps[0] = step_complete;
    steps[1] = ring_model_notify;
    steps[2] = NULL;
    vgpu_job_nop(&job);
    for (uint64_t complete = 1; complete <= last; complete++)
        for (uint64_t look = complete; look <= last; look++) {
            assert_int_equal(vgpu_ring_submit(ring, &job, 1, NULL), 0);
            assert_int_equal(ring_model_take(m), 1);
            at_access[0] = m->ring.accesses + complete;
            at_access[1] = m->ring.accesses + look;
            next_step = 0;
            m->ring.between = take_steps;
            assert_int_equal(vgpu_ring_wait_for(ring, job.id, LONG_MS, &c), 0);
            m->ring.between = NULL;
            rest_of_steps();
        }
    vgpu_ring_close(ring);
}

/* ---- Interrupts ------------------------------------------------------------------------ */

static void complete_all(void)
{
    ring_model_run(model_current());
}

/* At depth 1 a request costs two register writes: the doorbell, and clearing INTx. */
static void test_registers_for_each_request(void **state)
{
    fixture *f = *state;
    vgpu_counters before, after;
    vgpu_completion c;
    vgpu_ring *ring;
    vgpu_job job;

    open_interrupts(f);
    assert_int_equal(vgpu_enable_interrupts(f->dev), 0);
    ring = open_at(f, 64, 0);
    assert_true(vgpu_ring_get_fd(ring) >= 0);
    f->model.ring.manual = true;
    while_asleep = complete_all;
    vgpu_job_nop(&job);

    vgpu_get_counters(f->dev, &before);
    for (int i = 0; i < 100; i++)
        assert_int_equal(vgpu_ring_run(ring, &job, LONG_MS, &c), 0);
    vgpu_get_counters(f->dev, &after);
    assert_int_equal(after.writes - before.writes + after.reads - before.reads,
                     is_by_message(f) ? 100 : 200);
    assert_int_equal(f->model.ring.interrupts, 100);
    vgpu_ring_close(ring);
    assert_int_equal(model_get(&f->model, VGPU_REG_RING_IRQ_CTRL), 0);
    assert_int_equal(model_get(&f->model, VGPU_REG_RING_IRQ_STATUS), 0);
}

/* The slowest host there can be: it stops as soon as it has interrupted. */
static void complete_until_interrupt(void)
{
    model *m = model_current();
    uint64_t before = m->ring.interrupts;

    ring_model_take(m);
    while (m->ring.interrupts == before && m->ring.n_pending > 0)
        ring_model_complete(m, 0);
    ring_model_write_event(m);
}

/* A thread that waits for many requests is interrupted once. */
static void test_one_interrupt_for_many(void **state)
{
    fixture *f = *state;
    vgpu_ring *ring;
    vgpu_job jobs[64];
    vgpu_completion completions[64];
    size_t n;

    open_interrupts(f);
    ring = open_at(f, 64, 0u - 32);
    assert_int_equal(vgpu_ring_set_wait(ring, VGPU_WAIT_INTERRUPT, 0), 0);
    f->model.ring.manual = true;
    while_asleep = complete_until_interrupt;
    for (int i = 0; i < 64; i++)
        vgpu_job_nop(&jobs[i]);
    for (int i = 1; i <= 20; i++) {
        assert_int_equal(vgpu_ring_submit(ring, jobs, 64, NULL), 0);
        assert_int_equal(vgpu_ring_wait(ring, i == 1 ? 64 : SIZE_MAX, LONG_MS), 0);
        assert_int_equal(vgpu_ring_poll(ring, completions, 64, &n), 0);
        assert_int_equal(n, 64);
        assert_int_equal(f->model.ring.interrupts, i);
    }
    vgpu_ring_close(ring);
}

/* A thread that polls is not interrupted at all. */
static void test_no_interrupt_while_polling(void **state)
{
    fixture *f = *state;
    vgpu_ring *ring;
    vgpu_job job;

    open_interrupts(f);
    ring = open_at(f, 8, 0u - 3);
    vgpu_job_nop(&job);
    for (int i = 0; i < 30; i++)
        assert_int_equal(vgpu_ring_run(ring, &job, LONG_MS, NULL), 0);
    assert_int_equal(f->model.ring.interrupts, 0);
    assert_int_equal(vgpu_ring_get_fd(ring), -ENXIO);
    assert_int_equal(vgpu_ring_arm(ring), -ENXIO);
    vgpu_ring_close(ring);
}

/* Some interrupts bring nothing: those of requests through the registers, and those of a host that
 * interrupts too often. */
static int empty_interrupts;

static void interrupt_for_nothing(void)
{
    if (empty_interrupts-- > 0)
        ring_model_interrupt(model_current());
    else
        ring_model_run(model_current());
}

static void test_empty_interrupts(void **state)
{
    fixture *f = *state;
    vgpu_ring_counters counters;
    vgpu_ring *ring;
    vgpu_job job;

    open_interrupts(f);
    ring = open_at(f, 8, 0);
    assert_int_equal(vgpu_ring_set_wait(ring, VGPU_WAIT_INTERRUPT, 0), 0);
    f->model.ring.manual = true;
    while_asleep = interrupt_for_nothing;
    empty_interrupts = 40;
    vgpu_job_nop(&job);
    assert_int_equal(vgpu_ring_run(ring, &job, LONG_MS, NULL), 0);
    vgpu_ring_get_counters(ring, &counters);
    assert_int_equal(counters.interrupts, 41);
    vgpu_ring_close(ring);
}

/* A program's own event loop. */
static bool is_readable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    return poll(&p, 1, 0) == 1;
}

static void test_event_loop(void **state)
{
    fixture *f = *state;
    vgpu_completion c;
    vgpu_ring *ring;
    vgpu_job job;
    size_t n;
    int fd;

    open_interrupts(f);
    ring = open_at(f, 8, UINT32_MAX);
    assert_int_equal(vgpu_ring_set_wait(ring, VGPU_WAIT_INTERRUPT, 0), 0);
    f->model.ring.manual = true;
    fd = vgpu_ring_get_fd(ring);
    vgpu_job_nop(&job);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(vgpu_ring_submit(ring, &job, 1, NULL), 0);
        assert_int_equal(vgpu_ring_arm(ring), 0);
        assert_false(is_readable(fd));
        ring_model_run(&f->model);
        assert_true(is_readable(fd));
        assert_int_equal(vgpu_ring_poll(ring, &c, 1, &n), 0);
        assert_int_equal(n, 1);

        /* vgpu_ring_arm() tells of a completion that came before it. */
        assert_int_equal(vgpu_ring_submit(ring, &job, 1, NULL), 0);
        ring_model_run(&f->model);
        assert_int_equal(vgpu_ring_arm(ring), -EAGAIN);
        assert_int_equal(vgpu_ring_poll(ring, &c, 1, &n), 0);
        assert_int_equal(n, 1);
    }

    assert_int_equal(vgpu_ring_submit(ring, &job, 1, NULL), 0);
    assert_int_equal(vgpu_ring_arm(ring), 0);
    ring_model_fail(&f->model, VGPU_ERROR_VM_QUARANTINED);
    assert_true(is_readable(fd));
    assert_int_equal(vgpu_ring_arm(ring), -EAGAIN);
    assert_int_equal(vgpu_ring_poll(ring, &c, 1, &n), 0);
    assert_int_equal(n, 1);
    assert_int_equal(c.result, VGPU_ERROR_VM_QUARANTINED);
    vgpu_ring_close(ring);
}

/* ---- The registers beside the ring
 * ------------------------------------------------------------------ */

static void test_registers_beside_the_ring(void **state)
{
    fixture *f = *state;
    vgpu_ring *ring = open_at(f, 8, 0);
    vgpu_completion c;
    vgpu_job job;

    f->model.delay = 3;
    f->model.ring.manual = true;
    vgpu_job_nop(&job);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(vgpu_ring_submit(ring, &job, 1, NULL), 0);
        assert_int_equal(fixture_add(f, LONG_MS), 0);
        ring_model_run(&f->model);
        assert_int_equal(fixture_add(f, LONG_MS), 0);
        assert_int_equal(vgpu_ring_wait_for(ring, job.id, LONG_MS, &c), 0);
        assert_int_equal(c.result, 0);
    }
    vgpu_ring_close(ring);
}

int main(void)
{
#define CASE(function) cmocka_unit_test_setup_teardown(function, setup, fixture_teardown)
/* By INTx, and by MSI-X. */
#define BOTH(function)                                                     \
    CASE(function),                                                        \
    {                                                                      \
#function "_by_message", function, setup_vfio, teardown_vfio, NULL \
    }
    const struct CMUnitTest tests[] = {
        CASE(test_wrap_at_every_index),
        CASE(test_full_ring),
        CASE(test_any_order),
        CASE(test_one_doorbell_a_batch),
        CASE(test_no_doorbell_while_awake),
        CASE(test_doorbell_where_asked_for),
        CASE(test_no_lost_doorbell),
        BOTH(test_no_lost_interrupt),
        BOTH(test_registers_for_each_request),
        BOTH(test_one_interrupt_for_many),
        BOTH(test_no_interrupt_while_polling),
        BOTH(test_empty_interrupts),
        BOTH(test_event_loop),
        CASE(test_registers_beside_the_ring),
    };

    return cmocka_run_group_tests_name("guest-ring", tests, NULL, NULL);
}
