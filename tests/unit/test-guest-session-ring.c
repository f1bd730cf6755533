/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libvgpu's sessions: many threads on one ring, replies, and what happens when the host ends it. */
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "cuda-client.h"
#include "test-guest-session-fake.h"
#include "test.h"

#define THREADS 8
#define RECORDS 20000u

static int setup(void **state)
{
    fake_session *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    *state = f;
    fake_session_start(f);
    return 0;
}

static int teardown(void **state)
{
    fake_session_stop(*state);
    free(*state);
    return 0;
}

static vgpu_session_options options_for(const fake_session *f)
{
    return (vgpu_session_options){
        .socket = f->path,
        .window_size = UINT64_C(8) << 20,
        .ring_size = VGPU_SESSION_RING_MIN,
    };
}

static vgpu_session *open_session(const fake_session *f)
{
    const vgpu_session_options o = options_for(f);
    vgpu_session *s = NULL;

    assert_int_equal(vgpu_session_open(&o, &s, NULL), 0);
    return s;
}

static int call_nop(vgpu_session *s)
{
    const VGPUSessionNone none = {0};

    return vgpu_session_call(s, VGPU_SESSION_OP_NOP, NULL, &none, sizeof(none), NULL, 0, NULL);
}

static int post_nop(vgpu_session *s)
{
    const VGPUSessionNone none = {0};

    return vgpu_session_post(s, VGPU_SESSION_OP_NOP, NULL, &none, sizeof(none), NULL, 0);
}

/* ---- Opening -------------------------------------------------------------------------- */

static void test_open(void **state)
{
    fake_session *f = *state;
    vgpu_session *s = open_session(f);

    assert_string_equal(vgpu_session_get_name(s), f->path);
    assert_int_equal(vgpu_session_get_failure(s), 0);
    assert_int_equal(call_nop(s), 0);
    assert_int_equal(f->header->guest_pid, getpid());
    assert_string_equal(f->header->command, program_invocation_short_name);
    assert_null(vgpu_session_close(s));

    s = open_session(f); /* once more, on another connection */
    assert_int_equal(call_nop(s), 0);
    vgpu_session_close(s);
}

static void test_refused(void **state)
{
    fake_session *f = *state;
    vgpu_session_options o = options_for(f);
    vgpu_session *s = NULL;
    int cuda = -1;

    f->refuse = VGPU_ERROR_CUDA_ERROR;
    f->refuse_cuda = VGPU_CUDA_ERROR_NO_DEVICE;
    assert_int_equal(vgpu_session_open(&o, &s, &cuda), VGPU_ERROR_CUDA_ERROR);
    assert_int_equal(cuda, VGPU_CUDA_ERROR_NO_DEVICE);
    assert_null(s);

    f->refuse = 0;
    f->knows_nothing = true;
    assert_int_equal(vgpu_session_open(&o, &s, NULL), -EOPNOTSUPP);
    o.socket = "/tmp/vgpu-there-is-none";
    assert_int_equal(vgpu_session_open(&o, &s, NULL), -ENOENT);
    o.device = "0";
    assert_int_equal(vgpu_session_open(&o, &s, NULL), -EINVAL);
    o = options_for(f);
    f->knows_nothing = false;
    o.ring_size = 1000;
    assert_int_equal(vgpu_session_open(&o, &s, NULL), -EINVAL);
}

/* ---- Many threads ----------------------------------------------------------------------- */

/* The records of each thread come in its order, whole, and all of them. */
static uint32_t next_of[THREADS];

static uint32_t check_order(fake_session *f, const VGPUSessionRecord *record,
                            const void *parameters)
{
    const VGPUSessionLaunch *launch = parameters;
    const uint8_t *bytes = (const uint8_t *) (launch + 1);

    (void) f;
    if (record->opcode != VGPU_SESSION_OP_LAUNCH)
        return 0;
    if (launch->function >= THREADS || record->context != launch->function ||
        launch->stream != next_of[launch->function]++)
        return 1;
    for (uint32_t i = 0; i < launch->parameters_size; i++)
        if (bytes[i] != (uint8_t) (launch->stream + i))
            return 1;
    return 0;
}

typedef struct submitter {
    pthread_t thread;
    vgpu_session *s;
    uint32_t number;
    int result;
} submitter;

static void *submit(void *userdata)
{
    submitter *me = userdata;
    const vgpu_session_from from = {.context = me->number};
    unsigned int seed = me->number;

    for (uint32_t i = 0; i < RECORDS && me->result == 0; i++) {
        uint32_t size = (uint32_t) rand_r(&seed) % (i % 100 == 0 ? 20000 : 300);
        VGPUSessionLaunch *launch;
        void *p;

        me->result =
            vgpu_session_begin(me->s, VGPU_SESSION_OP_LAUNCH, &from, sizeof(*launch) + size, &p);
        if (me->result != 0)
            break;
        launch = p;
        *launch = (VGPUSessionLaunch){
            .function = me->number,
            .stream = i,
            .parameters_size = size,
        };
        for (uint32_t k = 0; k < size; k++)
            ((uint8_t *) (launch + 1))[k] = (uint8_t) (i + k);
        vgpu_session_commit(me->s);
        if (i % 500 == 0)
            me->result = call_nop(me->s);
    }
    return NULL;
}

static void test_threads(void **state)
{
    fake_session *f = *state;
    submitter t[THREADS];
    vgpu_session *s;

    memset(next_of, 0, sizeof(next_of));
    f->hook = check_order;
    s = open_session(f);
    for (uint32_t i = 0; i < THREADS; i++) {
        t[i] = (submitter){.s = s, .number = i};
        assert_int_equal(pthread_create(&t[i].thread, NULL, submit, &t[i]), 0);
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        pthread_join(t[i].thread, NULL);
        assert_int_equal(t[i].result, 0);
    }
    assert_int_equal(call_nop(s), 0);
    assert_int_equal(vgpu_session_get_latched(s), 0);
    for (uint32_t i = 0; i < THREADS; i++)
        assert_int_equal(next_of[i], RECORDS);
    assert_true(f->pads > 0);
    vgpu_session_close(s);
}

/* ---- A full ring -------------------------------------------------------------------------- */

static void *let_go_later(void *userdata)
{
    fake_session *f = userdata;

    usleep(100000);
    __atomic_store_n(&f->hold, 0, __ATOMIC_RELEASE);
    return NULL;
}

static void test_full(void **state)
{
    fake_session *f = *state;
    vgpu_session *s = open_session(f);
    pthread_t thread;
    uint64_t before;

    assert_int_equal(call_nop(s), 0);
    before = f->operations;
    __atomic_store_n(&f->hold, 1, __ATOMIC_RELEASE);
    assert_int_equal(pthread_create(&thread, NULL, let_go_later, f), 0);
    for (int i = 0; i < 10000; i++) /* more than twice what the ring has room for */
        assert_int_equal(post_nop(s), 0);
    assert_int_equal(__atomic_load_n(&f->hold, __ATOMIC_ACQUIRE), 0);
    pthread_join(thread, NULL);
    assert_int_equal(call_nop(s), 0);
    assert_int_equal(f->operations, before + 10001);
    vgpu_session_close(s);
}

static void test_too_large(void **state)
{
    fake_session *f = *state;
    vgpu_session *s = open_session(f);
    static const uint8_t more[VGPU_SESSION_RECORD_MAX];
    const VGPUSessionLaunch launch = {0};
    size_t most = VGPU_SESSION_RECORD_MAX - sizeof(VGPUSessionRecord) - sizeof(launch);
    void *p;

    assert_int_equal(
        vgpu_session_post(s, VGPU_SESSION_OP_LAUNCH, NULL, &launch, sizeof(launch), more, most + 1),
        VGPU_CUDA_ERROR_INVALID_VALUE);
    assert_int_equal(vgpu_session_begin(s, VGPU_SESSION_OP_LAUNCH, NULL, SIZE_MAX - 8, &p),
                     VGPU_CUDA_ERROR_INVALID_VALUE);
    for (int i = 0; i < 5; i++)
        assert_int_equal(
            vgpu_session_post(s, VGPU_SESSION_OP_LAUNCH, NULL, &launch, sizeof(launch), more, most),
            0);
    assert_int_equal(call_nop(s), 0);
    vgpu_session_close(s);
}

/* ---- Waiting -------------------------------------------------------------------------------- */

static void *call_many(void *userdata)
{
    submitter *me = userdata;

    for (uint32_t i = 0; i < me->number && me->result == 0; i++)
        me->result = call_nop(me->s);
    return NULL;
}

/* More threads than there are reply slots, all asleep before the first reply comes. */
static void test_sleepers(void **state)
{
    enum { N = VGPU_SESSION_REPLIES + 20 };
    fake_session *f = *state;
    vgpu_session *s = open_session(f);
    static submitter t[N];

    assert_int_equal(call_nop(s), 0);
    __atomic_store_n(&f->hold, 1, __ATOMIC_RELEASE);
    for (uint32_t i = 0; i < N; i++) {
        t[i] = (submitter){.s = s, .number = 3};
        assert_int_equal(pthread_create(&t[i].thread, NULL, call_many, &t[i]), 0);
    }
    usleep(100000);
    assert_int_equal(__atomic_load_n(&f->header->guest_waits, __ATOMIC_RELAXED), 1);
    __atomic_store_n(&f->hold, 0, __ATOMIC_RELEASE);
    for (uint32_t i = 0; i < N; i++) {
        pthread_join(t[i].thread, NULL);
        assert_int_equal(t[i].result, 0);
    }
    assert_int_equal(f->header->guest_waits, 0);
    vgpu_session_close(s);
}

/* A host that never signals costs time, and no more. */
static void test_no_interrupt(void **state)
{
    fake_session *f = *state;
    vgpu_session *s = open_session(f);

    pthread_t thread;

    __atomic_store_n(&f->hold_wake, 1, __ATOMIC_RELEASE);
    __atomic_store_n(&f->hold, 1, __ATOMIC_RELEASE);
    assert_int_equal(pthread_create(&thread, NULL, let_go_later, f), 0);
    assert_int_equal(call_nop(s), 0);
    pthread_join(thread, NULL);
    vgpu_session_close(s);
}

/* ---- The end ----------------------------------------------------------------------------------
 */

static void open_with_sleepers(fake_session *f, vgpu_session **ret, submitter t[static THREADS])
{
    vgpu_session *s = open_session(f);

    assert_int_equal(call_nop(s), 0);
    __atomic_store_n(&f->hold, 1, __ATOMIC_RELEASE);
    for (uint32_t i = 0; i < THREADS; i++) {
        t[i] = (submitter){.s = s, .number = 1};
        assert_int_equal(pthread_create(&t[i].thread, NULL, call_many, &t[i]), 0);
    }
    usleep(20000);
    *ret = s;
}

static void expect_end(vgpu_session *s, submitter t[static THREADS], int result)
{
    uint64_t before = now_nsec();

    for (uint32_t i = 0; i < THREADS; i++) {
        pthread_join(t[i].thread, NULL);
        assert_int_equal(t[i].result, result);
    }
    assert_true(now_nsec() - before < 20 * NSEC_PER_SEC);
    assert_int_equal(vgpu_session_get_failure(s), result);
    assert_int_equal(post_nop(s), result);
    assert_int_equal(call_nop(s), result);
    vgpu_session_close(s);
}

static void test_connection_ends(void **state)
{
    fake_session *f = *state;
    submitter t[THREADS];
    vgpu_session *s;

    open_with_sleepers(f, &s, t);
    __atomic_store_n(&f->quit, 1, __ATOMIC_RELEASE);
    expect_end(s, t, VGPU_CUDA_ERROR_UNKNOWN);
}

static void test_executor_ends(void **state)
{
    fake_session *f = *state;
    submitter t[THREADS];
    vgpu_session *s;

    open_with_sleepers(f, &s, t);
    __atomic_store_n(&f->end, VGPU_CUDA_ERROR_LAUNCH_TIMEOUT, __ATOMIC_RELEASE);
    expect_end(s, t, VGPU_CUDA_ERROR_LAUNCH_TIMEOUT);
}

static void test_mediator_says_end(void **state)
{
    fake_session *f = *state;
    submitter t[THREADS];
    vgpu_session *s;

    open_with_sleepers(f, &s, t);
    __atomic_store_n(&f->end_ready, 700, __ATOMIC_RELEASE);
    expect_end(s, t, 700);
}

/* The ring is full, and the executor ends: whoever waits for room returns. */
static void test_end_while_full(void **state)
{
    fake_session *f = *state;
    vgpu_session *s = open_session(f);
    int r;

    __atomic_store_n(&f->hold, 1, __ATOMIC_RELEASE);
    __atomic_store_n(&f->quit, 1, __ATOMIC_RELEASE);
    do
        r = post_nop(s);
    while (r == 0);
    assert_int_equal(r, VGPU_CUDA_ERROR_UNKNOWN);
    vgpu_session_close(s);
}

static void test_head_lies(void **state)
{
    fake_session *f = *state;
    vgpu_session *s = open_session(f);
    int r = 0;

    __atomic_store_n(&f->lie_head, 1, __ATOMIC_RELEASE);
    for (int i = 0; i < 10000 && r == 0; i++)
        r = post_nop(s);
    assert_int_equal(r, VGPU_CUDA_ERROR_UNKNOWN);
    vgpu_session_close(s);
}

/* ---- fork()
 * -------------------------------------------------------------------------------------- */

static int child_of(vgpu_session *s)
{
    void *memory;

    if (post_nop(s) != VGPU_CUDA_ERROR_NOT_INITIALIZED)
        return 1;
    if (call_nop(s) != VGPU_CUDA_ERROR_NOT_INITIALIZED)
        return 2;
    if (vgpu_session_window_alloc(s, 64, 0, &memory) != VGPU_CUDA_ERROR_NOT_INITIALIZED)
        return 3;
    if (vgpu_session_upload(s, NULL, 0, FAKE_MEMORY, "x", 1) != VGPU_CUDA_ERROR_NOT_INITIALIZED)
        return 4;
    vgpu_session_close(s);
    return 0;
}

static void expect_child(pid_t pid)
{
    int status;

    assert_int_equal(waitpid(pid, &status, __WALL), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_fork(void **state)
{
    fake_session *f = *state;
    vgpu_session *s = open_session(f);
    uint64_t before;
    pid_t pid;

    assert_int_equal(call_nop(s), 0);
    before = f->operations;
    pid = fork();
    if (pid == 0)
        _exit(child_of(s));
    expect_child(pid);

    pid = (pid_t) syscall(SYS_clone, 0, NULL, NULL, NULL, 0); /* without the handlers of fork() */
    if (pid == 0)
        _exit(child_of(s));
    expect_child(pid);
    assert_int_equal(f->operations, before);
    assert_int_equal(call_nop(s), 0);
    vgpu_session_close(s);
}

/* A process with a session, whose child outlives it */
__attribute__((noreturn)) static void be_parent(const fake_session *f, int says)
{
    const vgpu_session_options o = options_for(f);
    vgpu_session *s;
    pid_t child;

    if (vgpu_session_open(&o, &s, NULL) != 0)
        _exit(1);
    child = fork();
    if (child != 0 && write(says, &child, sizeof(child)) != sizeof(child))
        _exit(1);
    for (;;)
        pause();
}

static void await_running(const fake_session *f, bool running)
{
    for (int i = 0; i < 2000 && __atomic_load_n(&f->is_running, __ATOMIC_ACQUIRE) != running; i++)
        usleep(5000);
    assert_int_equal(f->is_running, running);
}

/* A child does not keep its parent's session open. */
static void test_child_survives(void **state)
{
    fake_session *f = *state;
    pid_t parent, child;
    int says[2];

    assert_return_code(pipe(says), errno);
    parent = fork();
    assert_return_code(parent, errno);
    if (parent == 0)
        be_parent(f, says[1]);
    assert_int_equal(read(says[0], &child, sizeof(child)), sizeof(child));
    await_running(f, true);
    usleep(100000); /* the child's handlers have run */
    kill(parent, SIGKILL);
    waitpid(parent, NULL, 0);
    await_running(f, false);
    kill(child, SIGKILL);
    close(says[0]);
    close(says[1]);
}

int main(void)
{
#define CASE(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_open),           CASE(test_refused),
        CASE(test_threads),        CASE(test_full),
        CASE(test_too_large),      CASE(test_sleepers),
        CASE(test_no_interrupt),   CASE(test_connection_ends),
        CASE(test_executor_ends),  CASE(test_mediator_says_end),
        CASE(test_end_while_full), CASE(test_head_lies),
        CASE(test_fork),           CASE(test_child_survives),
    };

    return cmocka_run_group_tests_name("guest-session-ring", tests, NULL, NULL);
}
