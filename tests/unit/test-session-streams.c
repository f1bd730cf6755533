/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The executor's contexts, streams, events, fences, wakes and words, over the fake driver. */
#include <stdio.h>
#include <stdlib.h>

#include "session-guest.h"
#include "test.h"

#include <unistd.h>

enum {
    INVALID_VALUE = 1,
    OUT_OF_MEMORY = 2,
    INVALID_CONTEXT = 201,
    INVALID_HANDLE = 400,
    NOT_SUPPORTED = 801,
    CAPTURE_UNSUPPORTED = 900,
};

#define OBJECTS_MAX 200

#define CALL(g, op, context, ...) \
    session_guest_call(g, VGPU_SESSION_OP_##op, context, &(__VA_ARGS__), sizeof(__VA_ARGS__))

static SessionGuest start(const char *plan)
{
    const SessionGuestOptions o = {.window_base = UINT64_C(0x300000000000)};
    SessionGuest g;

    session_guest_open(&g, &o);
    g.start.objects_max = OBJECTS_MAX;
    session_guest_spawn(&g, plan);
    assert_int_equal(session_guest_start(&g), 0);
    return g;
}

static void end(SessionGuest *g)
{
    char *text;

    assert_int_equal(session_guest_end(g, &text), 0);
    assert_string_equal(text, "");
    free(text);
    session_guest_close(g);
}

static uint64_t address_of(const SessionGuest *g, uint64_t offset)
{
    return (uint64_t) (uintptr_t) (g->window + offset);
}

/* ---- The device
 * ----------------------------------------------------------------------------------- */

TEST(test_device_info)
{
    SessionGuest g = start(NULL);
    VGPUSessionDeviceInfo p = {
        .into = {session_guest_alloc(&g, sizeof(VGPUSessionDevice)), sizeof(VGPUSessionDevice)}};
    const VGPUSessionDevice *d = (const VGPUSessionDevice *) (g.window + p.into.offset);
    uint64_t value[6];

    assert_int_equal(
        session_guest_call_with(&g, VGPU_SESSION_OP_DEVICE_INFO, 0, &p, sizeof(p), NULL, 0, value),
        0);
    assert_int_equal(value[0], sizeof(*d));
    assert_string_equal(d->name, "Fake GPU 0");
    assert_int_equal(d->driver_version, 13000);
    assert_int_equal(d->total_memory, UINT64_C(8) << 30);
    assert_int_equal(d->n_attributes, VGPU_SESSION_ATTRIBUTES);
    assert_int_equal(d->attribute[16].value, 4); /* multiprocessors */
    assert_int_equal(d->attribute[16].result, 0);
    assert_int_equal(d->attribute[0].result, INVALID_VALUE); /* there is none of that number */
    assert_int_equal(d->stream_priority_greatest, 0);

    session_guest_context(&g, 1, true);
    assert_int_equal(CALL(&g, DEVICE_INFO, 0, p), 0);
    assert_int_equal(d->stream_priority_least, 0);
    assert_int_equal(d->stream_priority_greatest, -5);

    /* as much as has room, and not one byte more */
    memset((void *) d, 7, sizeof(*d));
    p.into.size = 8;
    assert_int_equal(CALL(&g, DEVICE_INFO, 0, p), 0);
    assert_int_equal(d->driver_version, 13000);
    assert_int_equal(d->total_memory, UINT64_C(0x0707070707070707));
    p.into.offset = g.window_size - 7;
    assert_int_equal(CALL(&g, DEVICE_INFO, 0, p), INVALID_VALUE);
    p.into = (VGPUSessionBytes){.offset = UINT64_MAX, .size = 8};
    assert_int_equal(CALL(&g, DEVICE_INFO, 0, p), INVALID_VALUE);
    end(&g);
}

/* ---- Contexts
 * --------------------------------------------------------------------------------------- */

TEST(test_contexts)
{
    SessionGuest g = start(NULL);

    session_guest_context(&g, 1, true);
    assert_int_equal(g.control->n_contexts, 1);
    assert_int_equal(g.header->n_contexts, 1);
    assert_int_equal(CALL(&g, CONTEXT_CREATE, 0, (VGPUSessionContext){.id = 1}), INVALID_VALUE);
    assert_int_equal(CALL(&g, CONTEXT_CREATE, 0, (VGPUSessionContext){.id = 0}), INVALID_VALUE);
    assert_int_equal(CALL(&g, CONTEXT_CREATE, 0, (VGPUSessionContext){.id = OBJECTS_MAX + 1}),
                     INVALID_VALUE);
    assert_int_equal(CALL(&g, CONTEXT_CREATE, 0, (VGPUSessionContext){.id = 2, .flags = 0x40}),
                     INVALID_VALUE);
    session_guest_context(&g, 2, false);
    session_guest_context(&g, OBJECTS_MAX, true); /* the same once more */
    assert_int_equal(g.control->n_contexts, 3);
    assert_int_equal(g.header->n_contexts, 3);
    for (uint32_t id = 1; id <= OBJECTS_MAX; id = id == 2 ? OBJECTS_MAX : id + 1) {
        session_guest_synchronize(&g, id, 0);
        assert_int_equal(CALL(&g, CONTEXT_DESTROY, 0, (VGPUSessionId){.id = id}), 0);
        assert_int_equal(CALL(&g, CONTEXT_DESTROY, 0, (VGPUSessionId){.id = id}), INVALID_CONTEXT);
        assert_int_equal(CALL(&g, STREAM_CREATE, id, (VGPUSessionCreate){.id = 9}),
                         INVALID_CONTEXT);
    }
    assert_int_equal(g.control->n_contexts, 0);
    assert_int_equal(g.header->n_contexts, 0);
    /* and from the beginning */
    session_guest_context(&g, 1, true);
    session_guest_synchronize(&g, 1, 0);
    end(&g);
}

/* Contexts take memory that no quota counts. */
TEST(test_too_many_contexts)
{
    SessionGuest g = start(NULL);

    for (uint32_t id = 1; id <= 8; id++)
        session_guest_context(&g, id, id == 1);
    assert_int_equal(CALL(&g, CONTEXT_CREATE, 0, (VGPUSessionContext){.id = 9}), OUT_OF_MEMORY);
    assert_int_equal(CALL(&g, CONTEXT_DESTROY, 0, (VGPUSessionId){.id = 3}), 0);
    session_guest_context(&g, 9, false);
    for (uint32_t id = 4; id <= 9; id++)
        session_guest_synchronize(&g, id, 0);
    end(&g);
}

/* All that lies in a context goes with it, and the window is known in those that remain, whichever
 * goes first. */
TEST(test_context_takes_its_objects_along)
{
    for (uint32_t first = 1; first <= 2; first++) {
        SessionGuest g = start(NULL);
        uint32_t other = 3 - first;

        for (uint32_t id = 1; id <= 2; id++) {
            session_guest_context(&g, id, id == 1);
            assert_int_equal(CALL(&g, STREAM_CREATE, id, (VGPUSessionCreate){.id = id}), 0);
            assert_int_equal(CALL(&g, EVENT_CREATE, id, (VGPUSessionCreate){.id = id}), 0);
        }
        session_guest_synchronize(&g, first, first);
        assert_int_equal(CALL(&g, CONTEXT_DESTROY, 0, (VGPUSessionId){.id = first}), 0);
        assert_int_equal(CALL(&g, STREAM_DESTROY, other, (VGPUSessionId){.id = first}),
                         INVALID_HANDLE);
        assert_int_equal(CALL(&g, EVENT_DESTROY, other, (VGPUSessionId){.id = first}),
                         INVALID_HANDLE);
        session_guest_synchronize(&g, other, other);
        session_guest_synchronize(&g, other, 0);
        assert_int_equal(CALL(&g, STREAM_CREATE, other, (VGPUSessionCreate){.id = first}), 0);
        session_guest_synchronize(&g, other, first);
        end(&g);
    }
}

/* One spare context serves the first that asks for it; the others are made. */
TEST(test_warm_context)
{
    char path[] = "/tmp/vgpu-test-XXXXXX", plan[64], line[128];
    unsigned n = 0;
    SessionGuest g;
    FILE *f;

    close(mkstemp(path));
    snprintf(plan, sizeof(plan), "trace=%s", path);
    session_guest_open(&g, NULL);
    session_guest_spawn(&g, plan);
    session_guest_warm(&g, "");
    assert_int_equal(session_guest_start(&g), 0);
    session_guest_context(&g, 1, true);
    session_guest_synchronize(&g, 1, 0);
    assert_int_equal(CALL(&g, CONTEXT_DESTROY, 0, (VGPUSessionId){.id = 1}), 0);
    session_guest_context(&g, 1, true);
    end(&g);
    f = fopen(path, "re");
    assert_non_null(f);
    while (fgets(line, sizeof(line), f))
        n += strncmp(line, "cuDevicePrimaryCtxRetain", 24) == 0;
    fclose(f);
    unlink(path);
    assert_int_equal(n, 2);
}

TEST(test_limits)
{
    SessionGuest g = start(NULL);
    VGPUSessionLimit limit = {.limit = 0, .value = 4096}; /* the stack of a thread */
    uint64_t value[6];

    session_guest_context(&g, 1, true);
    assert_int_equal(CALL(&g, CONTEXT_LIMIT_SET, 1, limit), 0);
    assert_int_equal(session_guest_call_with(&g, VGPU_SESSION_OP_CONTEXT_LIMIT_GET, 1, &limit,
                                             sizeof(limit), NULL, 0, value),
                     0);
    assert_int_equal(value[0], 4096);
    assert_int_equal(CALL(&g, CONTEXT_LIMIT_SET, 2, limit), INVALID_CONTEXT);
    end(&g);
}

/* What the driver takes for a limit is in the quota, as far as it is more than usual. */
TEST(test_limits_are_charged)
{
    enum { STACK = 0, HEAP = 2, MIB = 1 << 20 };
    SessionGuest g;
    uint64_t before;

    session_guest_open(&g, NULL);
    g.account->memory_max = 100 * MIB;
    session_guest_spawn(&g, NULL);
    assert_int_equal(session_guest_start(&g), 0);
    session_guest_context(&g, 1, true);
    before = g.control->memory;
    assert_int_equal(CALL(&g, CONTEXT_LIMIT_SET, 1, (VGPUSessionLimit){HEAP, 0, 8 * MIB}), 0);
    assert_int_equal(g.control->memory, before);
    assert_int_equal(CALL(&g, CONTEXT_LIMIT_SET, 1, (VGPUSessionLimit){HEAP, 0, 48 * MIB}), 0);
    assert_int_equal(g.control->memory, before + 40 * MIB);
    assert_int_equal(CALL(&g, CONTEXT_LIMIT_SET, 1, (VGPUSessionLimit){HEAP, 0, 109 * MIB}),
                     OUT_OF_MEMORY);
    assert_int_equal(CALL(&g, CONTEXT_LIMIT_SET, 1, (VGPUSessionLimit){STACK, 0, UINT64_MAX}),
                     OUT_OF_MEMORY);
    assert_int_equal(CALL(&g, CONTEXT_LIMIT_SET, 1, (VGPUSessionLimit){STACK, 0, MIB}),
                     OUT_OF_MEMORY); /* for each of so many threads */
    assert_int_equal(g.control->memory, before + 40 * MIB);
    assert_int_equal(CALL(&g, CONTEXT_LIMIT_SET, 1, (VGPUSessionLimit){HEAP, 0, 100 * MIB}), 0);
    assert_int_equal(g.control->memory, before + 92 * MIB);
    assert_int_equal(CALL(&g, CONTEXT_LIMIT_SET, 1, (VGPUSessionLimit){HEAP, 0, 16 * MIB}), 0);
    assert_int_equal(g.control->memory, before + 8 * MIB);
    assert_int_equal(CALL(&g, CONTEXT_DESTROY, 0, (VGPUSessionId){.id = 1}), 0);
    assert_int_equal(g.control->memory, 0);
    end(&g);
}

/* ---- Streams and events
 * ------------------------------------------------------------------------------ */

TEST(test_streams)
{
    SessionGuest g = start(NULL);

    session_guest_context(&g, 1, true);
    for (uint32_t id = 1; id <= 100; id++)
        assert_int_equal(
            CALL(&g, STREAM_CREATE, 1,
                 (VGPUSessionCreate){.id = id, .flags = id & 1, .priority = -(int) (id % 6)}),
            0);
    assert_int_equal(CALL(&g, STREAM_CREATE, 1, (VGPUSessionCreate){.id = 7}), INVALID_VALUE);
    assert_int_equal(CALL(&g, STREAM_CREATE, 1, (VGPUSessionCreate){.id = 0}), INVALID_VALUE);
    assert_int_equal(CALL(&g, STREAM_CREATE, 1, (VGPUSessionCreate){.id = OBJECTS_MAX + 1}),
                     INVALID_VALUE);
    assert_int_equal(CALL(&g, STREAM_CREATE, 1, (VGPUSessionCreate){.id = 150, .flags = 2}),
                     INVALID_VALUE);
    for (uint32_t id = 1; id <= 100; id++)
        session_guest_synchronize(&g, 1, id);
    for (uint32_t id = 1; id <= 100; id++)
        assert_int_equal(CALL(&g, STREAM_DESTROY, 1, (VGPUSessionId){.id = id}), 0);
    assert_int_equal(CALL(&g, STREAM_DESTROY, 1, (VGPUSessionId){.id = 1}), INVALID_HANDLE);
    assert_int_equal(CALL(&g, STREAM_DESTROY, 1, (VGPUSessionId){.id = 0}), INVALID_HANDLE);
    assert_int_equal(CALL(&g, FENCE, 1, (VGPUSessionFence){.stream = 1}), INVALID_HANDLE);
    end(&g);
}

TEST(test_stream_attributes)
{
    SessionGuest g = start(NULL);

    session_guest_context(&g, 1, true);
    assert_int_equal(CALL(&g, STREAM_CREATE, 1, (VGPUSessionCreate){.id = 1}), 0);
#define ATTRIBUTE(...) CALL(&g, STREAM_ATTRIBUTE, 1, (VGPUSessionStreamAttribute){__VA_ARGS__})
    /* A domain, the two of them, no window of memory */
    assert_int_equal(ATTRIBUTE(.stream = 1, .attribute = 10, .value = {1}), 0);
    assert_int_equal(ATTRIBUTE(.stream = 1, .attribute = 9, .value = {0, 1}), 0);
    assert_int_equal(ATTRIBUTE(.stream = 0, .attribute = 1), 0);
    assert_int_equal(ATTRIBUTE(.stream = 1, .attribute = 10, .value = {5}), INVALID_VALUE);
    assert_int_equal(ATTRIBUTE(.stream = 1, .attribute = 3, .value = {1}), INVALID_VALUE);
    assert_int_equal(ATTRIBUTE(.stream = 1, .attribute = 2, .value = {1}), INVALID_VALUE);
    assert_int_equal(ATTRIBUTE(.stream = 9, .attribute = 10), INVALID_HANDLE);
#undef ATTRIBUTE
    end(&g);
}

/* Many streams come and go with work in them. */
TEST(test_streams_come_and_go)
{
    SessionGuest g;
    uint64_t words;

    session_guest_open(&g, NULL);
    g.start.objects_max = 4;
    g.start.kernel_timeout_usec = 60000000;
    session_guest_spawn(&g, NULL);
    assert_int_equal(session_guest_start(&g), 0);
    session_guest_context(&g, 1, true);
    words = session_guest_alloc(&g, 300 * 8);
    for (uint64_t i = 0; i < 300; i++) {
        const VGPUSessionCreate stream = {.id = 1 + (uint32_t) i % 4};
        const VGPUSessionId id = {.id = stream.id};

        session_guest_submit(&g, VGPU_SESSION_OP_STREAM_CREATE, 1, &stream, sizeof(stream));
        session_guest_fence(&g, 1, stream.id, words + 8 * i, 1);
        session_guest_submit(&g, VGPU_SESSION_OP_STREAM_DESTROY, 1, &id, sizeof(id));
        if (i >= 6)
            assert_true(
                session_guest_wait_word(&g, words + 8 * (i - 6), 1, SESSION_GUEST_TIMEOUT_MSEC));
    }
    for (uint64_t i = 0; i < 300; i++)
        assert_true(session_guest_wait_word(&g, words + 8 * i, 1, SESSION_GUEST_TIMEOUT_MSEC));
    assert_int_equal(g.header->error, 0);
    end(&g);
}

/* A stream that is destroyed while it waits for ever holds what a new one needs. */
TEST(test_too_many_streams_that_wait)
{
    const VGPUSessionCreate stream = {.id = 1};
    VGPUSessionWord wait = {.stream = 1, .value = 1, .bits = 64};
    SessionGuest g = start(NULL);
    uint64_t word = session_guest_alloc(&g, 8);
    uint32_t n = 0;

    session_guest_context(&g, 1, true);
    wait.address = address_of(&g, word);
    while (CALL(&g, STREAM_CREATE, 1, stream) == 0) {
        assert_int_equal(CALL(&g, WORD_WAIT, 1, wait), 0);
        assert_int_equal(CALL(&g, STREAM_DESTROY, 1, (VGPUSessionId){.id = 1}), 0);
        n++;
    }
    assert_int_equal(n, g.start.objects_max + 7); /* the context's own stream has one */
    assert_int_equal(CALL(&g, STREAM_CREATE, 1, stream), OUT_OF_MEMORY);
    __atomic_store_n((uint64_t *) (g.window + word), 1, __ATOMIC_RELEASE);
    for (unsigned i = 0; CALL(&g, STREAM_CREATE, 1, stream) != 0; i++) {
        assert_true(i < SESSION_GUEST_TIMEOUT_MSEC);
        usleep(1000);
    }
    session_guest_synchronize(&g, 1, 1);
    end(&g);
}

TEST(test_events)
{
    SessionGuest g = start(NULL);
    VGPUSessionEvent p = {.event = 1, .stream = 1};
    uint64_t value[6];
    float msec;

    session_guest_context(&g, 1, true);
    assert_int_equal(CALL(&g, STREAM_CREATE, 1, (VGPUSessionCreate){.id = 1}), 0);
    assert_int_equal(CALL(&g, STREAM_CREATE, 1, (VGPUSessionCreate){.id = 2}), 0);
    assert_int_equal(CALL(&g, EVENT_CREATE, 1, (VGPUSessionCreate){.id = 1}), 0);
    assert_int_equal(CALL(&g, EVENT_CREATE, 1, (VGPUSessionCreate){.id = 2, .flags = 1}), 0);
    assert_int_equal(CALL(&g, EVENT_CREATE, 1, (VGPUSessionCreate){.id = 2}), INVALID_VALUE);
    assert_int_equal(CALL(&g, EVENT_CREATE, 1, (VGPUSessionCreate){.id = 3, .flags = 8}),
                     INVALID_VALUE);
    assert_int_equal(CALL(&g, EVENT_CREATE, 1, (VGPUSessionCreate){.id = 3, .flags = 6}),
                     NOT_SUPPORTED);

    assert_int_equal(CALL(&g, EVENT_RECORD, 1, p), 0);
    p.stream = 2;
    assert_int_equal(CALL(&g, STREAM_WAIT_EVENT, 1, p), 0);
    p.event = 2;
    assert_int_equal(CALL(&g, EVENT_RECORD, 1, p), 0);
    session_guest_synchronize(&g, 1, 2);
    p = (VGPUSessionEvent){.event = 1, .other = 2};
    assert_int_equal(session_guest_call_with(&g, VGPU_SESSION_OP_EVENT_ELAPSED, 1, &p, sizeof(p),
                                             NULL, 0, value),
                     0);
    memcpy(&msec, value, sizeof(msec));
    assert_true(msec >= 0 && msec < 60000);

    p.other = 3;
    assert_int_equal(CALL(&g, EVENT_ELAPSED, 1, p), INVALID_HANDLE);
    assert_int_equal(CALL(&g, EVENT_RECORD, 1, (VGPUSessionEvent){.event = 3}), INVALID_HANDLE);
    assert_int_equal(CALL(&g, EVENT_RECORD, 1, (VGPUSessionEvent){.event = 1, .stream = 9}),
                     INVALID_HANDLE);
    assert_int_equal(CALL(&g, EVENT_RECORD, 1, (VGPUSessionEvent){.event = 1, .flags = 2}),
                     INVALID_VALUE);
    assert_int_equal(CALL(&g, STREAM_WAIT_EVENT, 1, (VGPUSessionEvent){.event = 1, .flags = 2}),
                     INVALID_VALUE);
    assert_int_equal(CALL(&g, EVENT_DESTROY, 1, (VGPUSessionId){.id = 1}), 0);
    assert_int_equal(CALL(&g, EVENT_DESTROY, 1, (VGPUSessionId){.id = 1}), INVALID_HANDLE);
    end(&g);
}

/* ---- Fences, wakes, words
 * ------------------------------------------------------------------------------ */

/* In order, and each only when all before it is done */
TEST(test_fences)
{
    SessionGuest g = start(NULL);
    uint64_t word, last = g.window_size - 8;

    session_guest_context(&g, 1, true);
    word = session_guest_alloc(&g, 8);
    for (uint64_t i = 1; i <= 1000; i++)
        session_guest_fence(&g, 1, 0, word, i);
    assert_true(session_guest_wait_word(&g, word, 1000, SESSION_GUEST_TIMEOUT_MSEC));
    session_guest_fence(&g, 1, 0, last, UINT64_MAX);
    assert_true(session_guest_wait_word(&g, last, UINT64_MAX, SESSION_GUEST_TIMEOUT_MSEC));

    assert_int_equal(CALL(&g, FENCE, 1, (VGPUSessionFence){.offset = word + 4}), INVALID_VALUE);
    assert_int_equal(CALL(&g, FENCE, 1, (VGPUSessionFence){.offset = g.window_size}),
                     INVALID_VALUE);
    assert_int_equal(CALL(&g, FENCE, 1, (VGPUSessionFence){.offset = UINT64_MAX - 7}),
                     INVALID_VALUE);
    assert_int_equal(CALL(&g, FENCE, 2, (VGPUSessionFence){.offset = word}), INVALID_CONTEXT);
    end(&g);
}

/* Who sleeps for a fence has a wake behind it. */
TEST(test_wake)
{
    SessionGuest g = start(NULL);
    const VGPUSessionFence wake = {.stream = 0};
    uint64_t word;

    session_guest_context(&g, 1, true);
    word = session_guest_alloc(&g, 8);
    for (uint64_t i = 1; i <= 100; i++) {
        session_guest_fence(&g, 1, 0, word, i);
        session_guest_submit(&g, VGPU_SESSION_OP_WAKE, 1, &wake, sizeof(wake));
        assert_true(session_guest_sleep(&g, SESSION_GUEST_TIMEOUT_MSEC));
        assert_true(session_guest_wait_word(&g, word, i, 0));
    }
    end(&g);
}

/* A stream waits for a word of the guest's, and what is behind that waits too. */
TEST(test_words)
{
    SessionGuest g = start(NULL);
    static const uint32_t bits[] = {32, 64};
    uint64_t word, after;

    session_guest_context(&g, 1, true);
    word = session_guest_alloc(&g, 8);
    after = session_guest_alloc(&g, 8);
    for (unsigned i = 0; i < 2; i++) {
        VGPUSessionWord p = {.address = address_of(&g, word), .value = 5 + i, .bits = bits[i]};

        memset(g.window + word, 0, 8);
        session_guest_submit(&g, VGPU_SESSION_OP_WORD_WAIT, 1, &p, sizeof(p));
        session_guest_fence(&g, 1, 0, after, 1 + i);
        assert_false(session_guest_wait_word(&g, after, 1 + i, 30));
        __atomic_store_n((uint64_t *) (g.window + word), p.value, __ATOMIC_RELEASE);
        assert_true(session_guest_wait_word(&g, after, 1 + i, SESSION_GUEST_TIMEOUT_MSEC));

        p.value = 77 + i;
        session_guest_submit(&g, VGPU_SESSION_OP_WORD_WRITE, 1, &p, sizeof(p));
        assert_true(session_guest_wait_word(&g, word, 77 + i, SESSION_GUEST_TIMEOUT_MSEC));
    }
    assert_int_equal(g.header->error, 0);
    end(&g);
}

TEST(test_words_that_are_none)
{
    SessionGuest g = start(NULL);
    const uint64_t word = address_of(&g, session_guest_alloc(&g, 8));
    const uint64_t behind = address_of(&g, g.window_size);
    const VGPUSessionWord wrong[] = {
        {.address = word, .bits = 16},
        {.address = word, .bits = 0},
        {.address = word + 4, .bits = 64},
        {.address = word + 2, .bits = 32},
        {.address = behind, .bits = 32},
        {.address = behind - 4, .bits = 64},
        {.address = 0, .bits = 64},
        {.address = 64, .bits = 32},
        {.address = UINT64_MAX - 7, .bits = 64},
        {.address = word, .bits = 64, .flags = 0x80000000},
        {.address = (uint64_t) (uintptr_t) &g & ~UINT64_C(7), .bits = 64},
    };

    session_guest_context(&g, 1, true);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_int_equal(CALL(&g, WORD_WRITE, 1, wrong[i]), INVALID_VALUE);
        assert_int_equal(CALL(&g, WORD_WAIT, 1, wrong[i]), INVALID_VALUE);
    }
    end(&g);
}

/* Neither fences nor wakes get into a graph, and the capture goes on. */
TEST(test_fence_in_a_capture)
{
    SessionGuest g = start(NULL);
    VGPUSessionGraph graph = {.graph = 1, .stream = 1};
    const uint64_t word = session_guest_alloc(&g, 8);
    uint64_t value[6];

    session_guest_context(&g, 1, true);
    assert_int_equal(CALL(&g, STREAM_CREATE, 1, (VGPUSessionCreate){.id = 1}), 0);
    assert_int_equal(CALL(&g, STREAM_CREATE, 1, (VGPUSessionCreate){.id = 2, .flags = 1}), 0);
    for (unsigned i = 0; i < 2; i++) {
        session_guest_fence(&g, 1, 0, word, 1 + i); /* work before it, in the default stream */
        assert_int_equal(CALL(&g, CAPTURE_BEGIN, 1, graph), 0);
        assert_int_equal(CALL(&g, FENCE, 1, (VGPUSessionFence){.stream = 1, .offset = word}),
                         CAPTURE_UNSUPPORTED);
        assert_int_equal(CALL(&g, WAKE, 1, (VGPUSessionFence){.stream = 1}), CAPTURE_UNSUPPORTED);
        session_guest_synchronize(&g, 1, 2); /* other streams go on */
        usleep(5000);                        /* and the time that the device works is asked for */
        assert_int_equal(CALL(&g, CAPTURE_END, 1, graph), 0);
        assert_int_equal(session_guest_call_with(&g, VGPU_SESSION_OP_GRAPH_NODES, 1, &graph,
                                                 sizeof(graph), NULL, 0, value),
                         0);
        assert_int_equal(value[0], 0);
        assert_int_equal(CALL(&g, GRAPH_DESTROY, 1, graph), 0);
        session_guest_synchronize(&g, 1, 1);
    }
    end(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_device_info),
        cmocka_unit_test(test_contexts),
        cmocka_unit_test(test_too_many_contexts),
        cmocka_unit_test(test_context_takes_its_objects_along),
        cmocka_unit_test(test_warm_context),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_limits_are_charged),
        cmocka_unit_test(test_streams),
        cmocka_unit_test(test_stream_attributes),
        cmocka_unit_test(test_streams_come_and_go),
        cmocka_unit_test(test_too_many_streams_that_wait),
        cmocka_unit_test(test_events),
        cmocka_unit_test(test_fences),
        cmocka_unit_test(test_wake),
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_words_that_are_none),
        cmocka_unit_test(test_fence_in_a_capture),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
