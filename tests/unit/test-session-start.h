/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A session over the fake driver: how test-session-executor.c and test-session-life.c begin one,
 * and end it. */
#ifndef VGPU_TEST_SESSION_START_H
#define VGPU_TEST_SESSION_START_H

#include <stdlib.h>
#include <string.h>

#include "session-guest.h"
#include "test.h"

/* start() - @plan: VGPU_FAKE_CUDA, or NULL */
static inline SessionGuest start(const char *plan)
{
    SessionGuest g;

    session_guest_open(&g, NULL);
    session_guest_spawn(&g, plan);
    assert_int_equal(session_guest_start(&g), 0);
    return g;
}

/* assert_end() - hang up: its exit status, and a part of what it has said; "": nothing */
static inline void assert_end(SessionGuest *g, int status, const char *says)
{
    char *text;

    assert_int_equal(session_guest_end(g, &text), status);
    if (*says == '\0' ? *text != '\0' : !strstr(text, says))
        fail_msg("said \"%s\" instead of \"%s\"", text, says);
    free(text);
    session_guest_close(g);
}

#endif
