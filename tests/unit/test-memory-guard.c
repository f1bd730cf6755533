/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Memory that goes away while it is used. Here a file that shrinks takes it away, which needs
 * no huge pages; tests/bus/test-service-ring-loss.c has windows. */
#include <stdint.h>

#include "memory-guard.h"
#include "test.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE ((size_t) sysconf(_SC_PAGESIZE))
#define N_PAGES 8

typedef struct Mapping {
    int fd;
    size_t size;
    volatile unsigned char *memory;
    MemoryGuard guard;
} Mapping;

static void map(Mapping *m)
{
    void *memory;

    m->size = N_PAGES * PAGE;
    m->fd = memfd_create("window", MFD_CLOEXEC);
    assert_true(m->fd >= 0);
    assert_int_equal(ftruncate(m->fd, (off_t) m->size), 0);
    memory = mmap(NULL, m->size, PROT_READ | PROT_WRITE, MAP_SHARED, m->fd, 0);
    assert_true(memory != MAP_FAILED);
    memset(memory, 7, m->size);
    m->memory = memory;
    memory_guard_add(&m->guard, memory, m->size);
}

/* Takes all pages away but the first. */
static void take_away(const Mapping *m)
{
    assert_int_equal(ftruncate(m->fd, (off_t) PAGE), 0);
}

static void unmap(Mapping *m)
{
    memory_guard_remove(&m->guard);
    munmap((void *) m->memory, m->size);
    close(m->fd);
}

static void assert_lost(const Mapping *m)
{
    assert_true(memory_guard_is_lost(&m->guard));
    for (size_t i = 0; i < m->size; i += PAGE)
        m->memory[i + 1] = (unsigned char) i;
    for (size_t i = 0; i < m->size; i += PAGE)
        assert_true(m->memory[i] == 0 && m->memory[i + 1] == (unsigned char) i);
}

TEST(test_lost)
{
    Mapping m[3];

    for (unsigned i = 0; i < 3; i++)
        map(&m[i]);
    take_away(&m[1]);
    assert_int_equal(m[1].memory[0], 7);
    assert_false(memory_guard_is_lost(&m[1].guard));
    assert_int_equal(m[1].memory[m[1].size - 1], 0);
    assert_lost(&m[1]);

    /* The neighbours are unharmed. The lost one can be removed, and others can be added. */
    for (unsigned i = 0; i < 3; i += 2) {
        assert_false(memory_guard_is_lost(&m[i].guard));
        assert_int_equal(m[i].memory[m[i].size - 1], 7);
    }
    unmap(&m[1]);
    map(&m[1]);
    assert_false(memory_guard_is_lost(&m[1].guard));
    take_away(&m[2]);
    m[2].memory[m[2].size - 1] = 1; /* a write is caught as well */
    m[2].memory[m[2].size - 1] = 0;
    assert_lost(&m[2]);
    for (unsigned i = 0; i < 3; i++)
        unmap(&m[i]);
}

/* ---- Threads ------------------------------------------------------------------------------- */

typedef struct Toucher {
    pthread_t thread;
    pthread_barrier_t *barrier;
    const Mapping *mapping;
    size_t first;
} Toucher;

static void *touch(void *data)
{
    const Toucher *t = data;

    pthread_barrier_wait(t->barrier);
    for (size_t i = 0; i < N_PAGES; i++)
        __atomic_store_n(&t->mapping->memory[(t->first + i) % N_PAGES * PAGE], 0, __ATOMIC_RELAXED);
    return NULL;
}

/* Threads use three mappings at once, two of which are lost. The third one comes and goes
 * meanwhile. */
TEST(test_threads)
{
    enum { N_THREADS = 9 };
    Mapping m[3], other;
    Toucher touchers[N_THREADS];
    pthread_barrier_t barrier;

    pthread_barrier_init(&barrier, NULL, N_THREADS + 1);
    for (unsigned round = 0; round < 100; round++) {
        for (unsigned i = 0; i < 3; i++)
            map(&m[i]);
        take_away(&m[0]);
        take_away(&m[1]);
        for (unsigned i = 0; i < N_THREADS; i++) {
            touchers[i] = (Toucher){.barrier = &barrier, .mapping = &m[i % 3], .first = i};
            assert_int_equal(pthread_create(&touchers[i].thread, NULL, touch, &touchers[i]), 0);
        }
        pthread_barrier_wait(&barrier);
        for (unsigned i = 0; i < 10; i++) {
            map(&other);
            unmap(&other);
        }
        for (unsigned i = 0; i < N_THREADS; i++)
            pthread_join(touchers[i].thread, NULL);
        assert_lost(&m[0]);
        assert_lost(&m[1]);
        assert_false(memory_guard_is_lost(&m[2].guard));
        for (unsigned i = 0; i < 3; i++)
            unmap(&m[i]);
    }
    pthread_barrier_destroy(&barrier);
}

/* ---- What ends the process ------------------------------------------------------------------- */

static void touch_elsewhere(Mapping *m)
{
    memory_guard_remove(&m->guard);
    take_away(m);
    m->memory[m->size - 1] = 1;
}

static void touch_with_limit(Mapping *m)
{
    struct rlimit none = {0};

    take_away(m);
    (void) setrlimit(RLIMIT_AS, &none); /* so no other mapping can take its place */
    m->memory[m->size - 1] = 1;
}

static void send_signal(Mapping *m)
{
    (void) m;
    kill(getpid(), SIGBUS);
}

static void exit_seven(int signal)
{
    (void) signal;
    _exit(7);
}

static int run_in_child(void (*function)(Mapping *m), void (*handler)(int signal))
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        struct rlimit no_core = {0};
        Mapping bystander, m;

        (void) setrlimit(RLIMIT_CORE, &no_core);
        signal(SIGBUS, handler);
        map(&bystander);
        map(&m);
        function(&m);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

TEST(test_elsewhere)
{
    void (*const functions[])(Mapping * m) = {touch_elsewhere, touch_with_limit, send_signal};

    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(run_in_child(functions[i], SIG_DFL), 128 + SIGBUS);
        assert_int_equal(run_in_child(functions[i], exit_seven), 7);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_elsewhere),
        cmocka_unit_test(test_lost),
        cmocka_unit_test(test_threads),
    };

    return cmocka_run_group_tests_name("memory-guard", tests, NULL, NULL);
}
