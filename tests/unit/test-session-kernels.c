/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "test-session-kernels.h"

#include <stdlib.h>

#include "test.h"

#include <time.h>
#include <unistd.h>

uint64_t test_now_usec(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t) ts.tv_sec * 1000000 + (uint64_t) ts.tv_nsec / 1000;
}

SessionGuest kernels_start_with(const SessionGuestOptions *options, uint64_t kernel_timeout_usec,
                                const char *plan)
{
    static const char *const names[] = {
        [BUSY] = "busy", [NOTHING] = "nothing",         [ENDLESS] = "endless",
        [TRAP] = "trap", [ILLEGAL] = "illegal_address",
    };
    SessionGuest g;

    session_guest_open(&g, options);
    g.start.kernel_timeout_usec = kernel_timeout_usec;
    session_guest_spawn(&g, plan);
    assert_int_equal(session_guest_start(&g), 0);
    session_guest_context(&g, 1, true);
    for (uint32_t id = 1; id <= 2; id++) {
        const VGPUSessionCreate p = {.id = id, .flags = id - 1};

        assert_int_equal(session_guest_call(&g, VGPU_SESSION_OP_STREAM_CREATE, 1, &p, sizeof(p)),
                         0);
    }
    session_guest_load(&g, 1, getenv("VGPU_FAKE_SESSION_KERNELS"), 1);
    for (uint32_t id = BUSY; id <= ILLEGAL; id++)
        session_guest_function(&g, 1, 1, names[id], id);
    return g;
}

SessionGuest kernels_start_plan(uint64_t kernel_timeout_usec, const char *plan)
{
    const SessionGuestOptions o = {.window_base = UINT64_C(0x300000000000)};

    return kernels_start_with(&o, kernel_timeout_usec, plan);
}

SessionGuest kernels_start(uint64_t kernel_timeout_usec)
{
    return kernels_start_plan(kernel_timeout_usec, NULL);
}

void kernels_end(SessionGuest *g)
{
    char *text;

    assert_int_equal(session_guest_end(g, &text), 0);
    assert_string_equal(text, "");
    free(text);
    session_guest_close(g);
}

void kernels_launch(SessionGuest *g, uint32_t stream, uint32_t function, uint64_t parameter)
{
    bool has_none = function == NOTHING || function == TRAP || function == ILLEGAL;

    session_guest_launch(g, 1, stream, function, &parameter, has_none ? 0 : sizeof(parameter));
}

void kernels_launch_busy(SessionGuest *g, uint32_t stream, uint64_t usec)
{
    kernels_launch(g, stream, BUSY, usec * 1000);
}

/* An endless one reads a word that stays 0. */
void kernels_launch_endless(SessionGuest *g, uint32_t stream)
{
    uint64_t never = session_guest_alloc(g, 8);

    kernels_launch(g, stream, ENDLESS, (uint64_t) (uintptr_t) (g->window + never));
}

bool control_reaches(const uint32_t *word, uint32_t value)
{
    for (uint64_t begin = test_now_usec(); __atomic_load_n(word, __ATOMIC_SEQ_CST) != value;) {
        if (test_now_usec() - begin > SESSION_GUEST_TIMEOUT_MSEC * UINT64_C(1000))
            return false;
        usleep(500);
    }
    return true;
}
