/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libvgpu's functions in streams and graphs, against an executor of the test's own. */
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "cuda-client.h"
#include "test-guest-session-fake.h"
#include "test.h"

#define CALLS 300
#define TIMEOUT_NSEC (60 * NSEC_PER_SEC)

/* One stream of the executor's: what is to be called, one after the other */
typedef struct stream {
    fake_session *f;
    pthread_t thread;
    pthread_mutex_t lock;
    VGPUSessionFence calls[CALLS];
    unsigned int n, n_done;
    bool keeps; /* of a graph: the words have not ended */
    bool stop;
    int refuse; /* CUresult */
} stream;

static stream device;

static uint64_t *words_of(const VGPUSessionFence *fence)
{
    return (uint64_t *) (void *) (device.f->window + fence->offset);
}

static uint32_t take_call(fake_session *f, const VGPUSessionRecord *record, const void *parameters)
{
    const VGPUSessionFence *fence = parameters;

    (void) f;
    if (record->opcode == VGPU_SESSION_OP_NODE_ADD || record->opcode == VGPU_SESSION_OP_NODE_SET ||
        record->opcode == VGPU_SESSION_OP_NODE_EXEC_SET)
        /* no numbers: the payload comes at once */
        fence = (const VGPUSessionFence *) ((const VGPUSessionNode *) parameters + 1);
    else if (record->opcode != VGPU_SESSION_OP_HOST_CALL)
        return 0;
    if (device.refuse)
        return (uint32_t) device.refuse;
    pthread_mutex_lock(&device.lock);
    if (device.n < CALLS)
        device.calls[device.n++] = *fence;
    pthread_mutex_unlock(&device.lock);
    return 0;
}

/* As an executor does it. Returns whether the function was called; false: the test is over */
static bool call_one(const VGPUSessionFence *fence)
{
    const uint64_t one = 1;
    uint64_t *words = words_of(fence);

    __atomic_store_n(&words[1], 0, __ATOMIC_RELAXED);
    __atomic_store_n(&words[0], fence->value, __ATOMIC_SEQ_CST);
    if (write(device.f->interrupt_fd, &one, sizeof(one)) != sizeof(one))
        abort();
    while (__atomic_load_n(&words[1], __ATOMIC_ACQUIRE) != 1) {
        if (__atomic_load_n(&device.stop, __ATOMIC_ACQUIRE))
            return false;
        usleep(50);
    }
    return true;
}

static void end_words(const VGPUSessionFence *fence)
{
    __atomic_store_n(&words_of(fence)[1], VGPU_SESSION_HOST_ENDED, __ATOMIC_RELEASE);
}

static void *run_stream(void *unused)
{
    (void) unused;
    while (!__atomic_load_n(&device.stop, __ATOMIC_ACQUIRE)) {
        VGPUSessionFence fence;
        bool is_there;

        pthread_mutex_lock(&device.lock);
        is_there = device.n_done < device.n && !device.keeps;
        fence = device.calls[device.n_done % CALLS];
        pthread_mutex_unlock(&device.lock);
        if (!is_there) {
            usleep(200);
            continue;
        }
        if (!call_one(&fence))
            break;
        end_words(&fence);
        __atomic_add_fetch(&device.n_done, 1, __ATOMIC_RELEASE);
    }
    return NULL;
}

/* The window goes with the session: nothing may write there any more. */
static void stop_device(void)
{
    if (__atomic_exchange_n(&device.stop, true, __ATOMIC_ACQ_REL))
        return;
    pthread_join(device.thread, NULL);
}

static void close_session(vgpu_session *s)
{
    stop_device();
    vgpu_session_close(s);
}

static int setup(void **state)
{
    fake_session *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    *state = f;
    device = (stream){.f = f, .lock = PTHREAD_MUTEX_INITIALIZER};
    f->hook = take_call;
    fake_session_start(f);
    assert_int_equal(pthread_create(&device.thread, NULL, run_stream, NULL), 0);
    return 0;
}

static int teardown(void **state)
{
    stop_device();
    fake_session_stop(*state);
    free(*state);
    return 0;
}

static vgpu_session *open_session(const fake_session *f)
{
    const vgpu_session_options o = {
        .socket = f->path,
        .window_size = UINT64_C(8) << 20,
        .ring_size = VGPU_SESSION_RING_MIN,
    };
    vgpu_session *s = NULL;

    assert_int_equal(vgpu_session_open(&o, &s, NULL), 0);
    return s;
}

static bool reaches(const unsigned int *n, unsigned int value)
{
    for (uint64_t begin = now_nsec(); __atomic_load_n(n, __ATOMIC_ACQUIRE) != value;) {
        if (now_nsec() - begin > TIMEOUT_NSEC)
            return false;
        usleep(100);
    }
    return true;
}

/* ---- Streams ------------------------------------------------------------------------ */

static unsigned int n_called, n_wrong;
static pthread_t caller;

/* @userdata: which one it is to be */
static void count(void *userdata)
{
    n_wrong += (uintptr_t) userdata != n_called;
    n_wrong += n_called > 0 && !pthread_equal(caller, pthread_self());
    caller = pthread_self();
    __atomic_add_fetch(&n_called, 1, __ATOMIC_RELEASE);
}

static void test_in_order(void **state)
{
    vgpu_session *s = open_session(*state);
    uint64_t first = 0, last = 0;

    n_called = n_wrong = 0;
    for (uintptr_t i = 0; i < CALLS; i++) {
        assert_int_equal(vgpu_session_host_call(s, NULL, 3, count, (void *) i), 0);
        if (i % 50 == 49) /* asleep in between */
            usleep(5000);
        if (i % 100 == 99)
            assert_true(reaches(&device.n_done, (unsigned int) i + 1));
    }
    assert_true(reaches(&n_called, CALLS));
    assert_true(reaches(&device.n_done, CALLS));
    assert_int_equal(n_wrong, 0);
    assert_false(pthread_equal(caller, pthread_self()));
    assert_int_equal(device.calls[0].stream, 3);
    /* Lines of the window come back. */
    for (unsigned int i = 0; i < CALLS; i++) {
        assert_int_equal(device.calls[i].offset % 64, 0);
        if (i == 0 || device.calls[i].offset < first)
            first = device.calls[i].offset;
        if (device.calls[i].offset > last)
            last = device.calls[i].offset;
    }
    assert_true(last - first < UINT64_C(64) * 250);
    assert_int_equal(vgpu_session_host_call(s, NULL, 3, NULL, NULL), VGPU_CUDA_ERROR_INVALID_VALUE);
    close_session(s);
}

static void test_refused(void **state)
{
    vgpu_session *s = open_session(*state);

    n_called = n_wrong = 0;
    device.refuse = VGPU_CUDA_ERROR_OUT_OF_MEMORY;
    assert_int_equal(vgpu_session_host_call(s, NULL, 3, count, NULL),
                     VGPU_CUDA_ERROR_OUT_OF_MEMORY);
    device.refuse = 0;
    assert_int_equal(vgpu_session_host_call(s, NULL, 3, count, NULL), 0);
    assert_true(reaches(&n_called, 1));
    assert_int_equal(n_wrong, 0);
    close_session(s);
}

/* ---- Graphs ------------------------------------------------------------------------- */

static void add_one(void *userdata)
{
    __atomic_add_fetch((unsigned int *) userdata, 1, __ATOMIC_RELEASE);
}

static void test_graph(void **state)
{
    vgpu_session *s = open_session(*state);
    vgpu_session_function function = NULL;
    unsigned int n = 0, other = 0;
    void *userdata = NULL;
    uint32_t node;

    __atomic_store_n(&device.keeps, true, __ATOMIC_RELEASE);
    assert_int_equal(vgpu_session_node_add_host(s, NULL, 1, NULL, 0, add_one, &n, &node), 0);
    assert_int_equal(vgpu_session_node_add_host(s, NULL, 1, NULL, 0, add_one, &other, &node), 0);
    assert_true(reaches(&device.n, 2));
    for (unsigned int i = 1; i <= 50; i++) {
        assert_true(call_one(&device.calls[0]));
        assert_int_equal(__atomic_load_n(&n, __ATOMIC_ACQUIRE), i);
        if (i % 10 == 0)
            usleep(2000);
    }
    assert_int_equal(vgpu_session_host_function(s, &device.calls[0], &function, &userdata), 0);
    assert_ptr_equal(function, add_one);
    assert_ptr_equal(userdata, &n);
    /* It ends, and is forgotten when the thread looks next; the other is still there. */
    end_words(&device.calls[0]);
    assert_true(call_one(&device.calls[1]));
    assert_int_equal(other, 1);
    for (unsigned int i = 0;
         i < 60000 && vgpu_session_host_function(s, &device.calls[0], &function, &userdata) == 0;
         i++)
        usleep(1000);
    assert_int_equal(vgpu_session_host_function(s, &device.calls[0], &function, &userdata),
                     VGPU_CUDA_ERROR_INVALID_VALUE);
    assert_int_equal(vgpu_session_host_function(s, &device.calls[1], &function, &userdata), 0);
    close_session(s);
}

/* ---- Nodes -------------------------------------------------------------------------- */

enum { BATCH_MEM_OP = 12, NUMBERS = 3000 };

static const uint32_t dependencies[3] = {4, 5, 6};

static uint32_t check_add(fake_session *f, const VGPUSessionRecord *record, const void *parameters)
{
    const VGPUSessionNode *p = parameters;
    const uint32_t *numbers = (const uint32_t *) (p + 1);
    VGPUSessionWord word;

    memcpy(&word, numbers + 4, sizeof(word)); /* with one for the padding */
    f->value[0] = 77;
    return record->opcode != VGPU_SESSION_OP_NODE_ADD || p->graph != 9 || p->n_dependencies != 3 ||
           p->type != BATCH_MEM_OP || p->flags != 1 || word.value != 99 ||
           memcmp(numbers, dependencies, sizeof(dependencies)) != 0;
}

static void test_node_add(void **state)
{
    fake_session *f = *state;
    const VGPUSessionNode node = {.graph = 9, .type = BATCH_MEM_OP, .flags = 1};
    const VGPUSessionWord word = {.value = 99};
    vgpu_session *s = open_session(f);
    uint32_t number = 0;

    f->hook = check_add;
    assert_int_equal(
        vgpu_session_node_add(s, NULL, &node, dependencies, 3, &word, sizeof(word), &number), 0);
    assert_int_equal(number, 77);
    assert_int_equal(
        vgpu_session_node_add(s, NULL, &node, dependencies, 2, &word, sizeof(word), &number), 1);
    assert_int_equal(
        vgpu_session_node_add(s, NULL, &node, NULL, 0, &word, VGPU_SESSION_RECORD_MAX + 1, &number),
        VGPU_CUDA_ERROR_INVALID_VALUE);
    close_session(s);
}

/* Lists and payloads: NUMBERS numbers, of which as many are written as have room */
static uint32_t answer_list(fake_session *f, const VGPUSessionRecord *record,
                            const void *parameters)
{
    const VGPUSessionNode *p = parameters;
    uint32_t *into = (uint32_t *) (void *) (f->window + p->into.offset);

    for (uint32_t i = 0; i < NUMBERS && (i + 1) * sizeof(*into) <= p->into.size; i++)
        into[i] = i + 1;
    f->value[0] = record->opcode == VGPU_SESSION_OP_NODE_GET ? 3 : NUMBERS;
    f->value[1] = NUMBERS * sizeof(*into);
    f->value[2] = 8;
    if (p->graph == 2) /* lies */
        f->value[0] = f->value[1] = UINT64_MAX / 4;
    if (p->graph == 3)
        f->value[1] = 0;
    return 0;
}

static void test_lists(void **state)
{
    fake_session *f = *state;
    vgpu_session *s = open_session(f);
    uint64_t n = 0, value[3] = {0};
    uint32_t *numbers;
    void *payload;

    f->hook = answer_list;
    assert_int_equal(vgpu_session_graph_list(s, NULL, 1, VGPU_GRAPH_LIST_NODES, &numbers, &n), 0);
    assert_int_equal(n, NUMBERS);
    assert_int_equal(numbers[NUMBERS - 1], NUMBERS);
    free(numbers);
    assert_int_equal(vgpu_session_node_get(s, NULL, 1, 1, &payload, value), 0);
    assert_int_equal(value[0], 3);
    assert_int_equal(value[2], 8);
    assert_int_equal(((uint32_t *) payload)[NUMBERS - 1], NUMBERS);
    free(payload);
    assert_int_equal(vgpu_session_node_get(s, NULL, 3, 1, &payload, value), 0);
    assert_null(payload);
    assert_int_equal(vgpu_session_graph_list(s, NULL, 2, VGPU_GRAPH_LIST_EDGES, &numbers, &n),
                     VGPU_CUDA_ERROR_UNKNOWN);
    assert_int_equal(vgpu_session_node_get(s, NULL, 2, 1, &payload, value),
                     VGPU_CUDA_ERROR_UNKNOWN);
    close_session(s);
}

/* ---- The host ----------------------------------------------------------------------- */

/* A node gets another function, in a graph and in an instance: each has words of its own. */
static void test_graph_changes(void **state)
{
    vgpu_session *s = open_session(*state);
    unsigned int n[3] = {0};
    uint32_t node;

    __atomic_store_n(&device.keeps, true, __ATOMIC_RELEASE);
    assert_int_equal(vgpu_session_node_add_host(s, NULL, 1, NULL, 0, add_one, &n[0], &node), 0);
    assert_int_equal(vgpu_session_node_set_host(s, NULL, 1, 0, node, add_one, &n[1]), 0);
    assert_int_equal(vgpu_session_node_set_host(s, NULL, 1, 7, node, add_one, &n[2]), 0);
    assert_true(reaches(&device.n, 3));
    for (unsigned int i = 0; i < 3; i++) {
        assert_true(call_one(&device.calls[i]));
        for (unsigned int j = 0; j < 3; j++)
            assert_int_equal(__atomic_load_n(&n[j], __ATOMIC_ACQUIRE), j <= i);
    }
    device.refuse = VGPU_CUDA_ERROR_INVALID_VALUE;
    assert_int_equal(vgpu_session_node_set_host(s, NULL, 1, 0, node, add_one, &n[0]),
                     VGPU_CUDA_ERROR_INVALID_VALUE);
    device.refuse = 0;
    close_session(s);
}

/* A host that writes other values calls nothing. */
static void test_host_lies(void **state)
{
    vgpu_session *s = open_session(*state);
    const uint64_t one = 1;
    unsigned int n = 0;
    uint32_t node;
    uint64_t *words;

    __atomic_store_n(&device.keeps, true, __ATOMIC_RELEASE);
    assert_int_equal(vgpu_session_node_add_host(s, NULL, 1, NULL, 0, add_one, &n, &node), 0);
    assert_true(reaches(&device.n, 1));
    words = words_of(&device.calls[0]);
    for (uint64_t lie = 1; lie < 100; lie++) {
        __atomic_store_n(&words[0], device.calls[0].value + lie, __ATOMIC_SEQ_CST);
        assert_int_equal(write(device.f->interrupt_fd, &one, sizeof(one)), sizeof(one));
    }
    usleep(20000);
    assert_int_equal(n, 0);
    assert_true(call_one(&device.calls[0]));
    assert_int_equal(n, 1);
    close_session(s);
}

static struct {
    unsigned int begun, ended;
    VGPUSessionFence fence;
} refused;

/* The refusal has come long before its end. */
static void begin_and_take_time(void *userdata)
{
    __atomic_store_n(&refused.begun, 1, __ATOMIC_RELEASE);
    usleep(50000);
    add_one(userdata);
}

static uint32_t begin_and_refuse(fake_session *f, const VGPUSessionRecord *record,
                                 const void *parameters)
{
    const uint64_t one = 1;

    if (record->opcode != VGPU_SESSION_OP_HOST_CALL)
        return 0;
    memcpy(&refused.fence, parameters, sizeof(refused.fence));
    __atomic_store_n(words_of(&refused.fence), refused.fence.value, __ATOMIC_SEQ_CST);
    if (write(f->interrupt_fd, &one, sizeof(one)) != sizeof(one))
        abort();
    return reaches(&refused.begun, 1) ? VGPU_CUDA_ERROR_INVALID_VALUE : 0;
}

/* The host has begun with a function, and refuses it then: it has run to its end when the caller
 * hears of it, who frees what it uses. No word of its line is touched after. */
static void test_refused_while_it_runs(void **state)
{
    fake_session *f = *state;
    vgpu_session *s = open_session(f);

    memset(&refused, 0, sizeof(refused));
    f->hook = begin_and_refuse;
    assert_int_equal(vgpu_session_host_call(s, NULL, 0, begin_and_take_time, &refused.ended),
                     VGPU_CUDA_ERROR_INVALID_VALUE);
    assert_int_equal(__atomic_load_n(&refused.ended, __ATOMIC_ACQUIRE), 1);
    f->hook = take_call;
    __atomic_store_n(&words_of(&refused.fence)[1], 77, __ATOMIC_SEQ_CST);
    /* The thread has come back to its list when it calls the next one. */
    assert_int_equal(vgpu_session_host_call(s, NULL, 0, add_one, &refused.ended), 0);
    assert_true(reaches(&refused.ended, 2));
    assert_int_equal(words_of(&refused.fence)[1], 77);
    close_session(s);
}

/* ---- Ends --------------------------------------------------------------------------- */

static void be_slow(void *userdata)
{
    usleep(100000);
    add_one(userdata);
}

/* What runs, runs to its end; what has not been called is not called any more. */
static void test_close(void **state)
{
    vgpu_session *s = open_session(*state);
    unsigned int n = 0, begun = 0;

    assert_int_equal(vgpu_session_host_call(s, NULL, 0, add_one, &begun), 0);
    assert_int_equal(vgpu_session_host_call(s, NULL, 0, be_slow, &n), 0);
    assert_int_equal(vgpu_session_host_call(s, NULL, 0, be_slow, &n), 0);
    assert_true(reaches(&begun, 1));
    close_session(s);
    /* The device has seen the end of each that it had called, but for the one that ran then. */
    assert_in_range(n + 1, device.n_done, device.n_done + 1);
    begun = n;
    usleep(150000);
    assert_int_equal(n, begun);

    /* With nothing ever called, and with a thread that sleeps for the first */
    s = open_session(*state);
    close_session(s);
    s = open_session(*state);
    assert_int_equal(vgpu_session_host_call(s, NULL, 0, add_one, &n), 0);
    close_session(s);
}

typedef struct heard {
    vgpu_session *s;
    unsigned int n;
    int failure;
    bool is_inside;
} heard;

static void hear(void *userdata)
{
    heard *h = userdata;

    h->failure = vgpu_session_get_failure(h->s);
    h->is_inside = vgpu_session_in_function();
    __atomic_add_fetch(&h->n, 1, __ATOMIC_RELEASE);
}

/* A callback is called once: when it is its turn, or when the session ends before. A function is
 * not. */
static void test_callbacks(void **state)
{
    fake_session *f = *state;
    vgpu_session *s = open_session(f);
    heard first = {.s = s, .failure = -1}, second = first;
    unsigned int n = 0;

    assert_int_equal(vgpu_session_host_call_with(
                         s, NULL, 0, &(const vgpu_session_host){hear, &first, NULL, true}),
                     0);
    assert_true(reaches(&first.n, 1));
    assert_true(reaches(&device.n_done, 1));
    assert_true(first.failure == 0 && first.is_inside);
    assert_false(vgpu_session_in_function());
    stop_device();
    assert_int_equal(vgpu_session_host_call(s, NULL, 0, add_one, &n), 0);
    assert_int_equal(vgpu_session_host_call_with(
                         s, NULL, 0, &(const vgpu_session_host){hear, &second, NULL, true}),
                     0);
    __atomic_store_n(&f->quit, 1, __ATOMIC_RELEASE);
    assert_true(reaches(&second.n, 1));
    assert_int_not_equal(second.failure, 0);
    close_session(s);
    assert_int_equal(n, 0);
    assert_true(first.n == 1 && second.n == 1);
}

static void test_session_ends(void **state)
{
    fake_session *f = *state;
    vgpu_session *s = open_session(f);
    unsigned int n = 0;

    assert_int_equal(vgpu_session_host_call(s, NULL, 0, add_one, &n), 0);
    assert_true(reaches(&n, 1));
    stop_device();
    __atomic_store_n(&f->quit, 1, __ATOMIC_RELEASE);
    for (uint64_t begin = now_nsec(); vgpu_session_host_call(s, NULL, 0, add_one, &n) == 0;) {
        assert_true(now_nsec() - begin < TIMEOUT_NSEC);
        usleep(1000);
    }
    close_session(s);
}

/* A child has no such thread, and waits for none. */
static void test_fork(void **state)
{
    vgpu_session *s = open_session(*state);
    vgpu_session_function function;
    unsigned int n = 0;
    void *userdata;
    int status;
    pid_t pid;

    assert_int_equal(vgpu_session_host_call(s, NULL, 0, add_one, &n), 0);
    assert_true(reaches(&n, 1));
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (vgpu_session_host_call(s, NULL, 0, add_one, &n) != VGPU_CUDA_ERROR_NOT_INITIALIZED ||
            vgpu_session_host_function(s, &device.calls[0], &function, &userdata) !=
                VGPU_CUDA_ERROR_NOT_INITIALIZED)
            _exit(1);
        vgpu_session_close(s);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(vgpu_session_host_call(s, NULL, 0, add_one, &n), 0);
    assert_true(reaches(&n, 2));
    close_session(s);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_in_order),
        CASE(test_refused),
        CASE(test_graph),
        CASE(test_graph_changes),
        CASE(test_refused_while_it_runs),
        CASE(test_node_add),
        CASE(test_lists),
        CASE(test_host_lies),
        CASE(test_close),
        CASE(test_callbacks),
        CASE(test_session_ends),
        CASE(test_fork),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
