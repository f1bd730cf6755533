/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What an executor of a CUDA session says of itself in the control page, as far as it can be
 * believed. The page is shared with a process that runs on behalf of a guest: each number is read
 * once, and what could not be is brought into range. So counters only grow, and sums of them do
 * not overflow.
 */
#ifndef VGPU_SESSION_FIGURES_H
#define VGPU_SESSION_FIGURES_H

#include <stdint.h>

#include "session-protocol.h"

/* The most that a session can have counted, or has in memory. A real one gets nowhere near. */
#define SESSION_COUNT_MAX (UINT64_C(1) << 48)
#define SESSION_BYTES_MAX (UINT64_C(1) << 55)

/* All zero: a session that has done nothing. */
typedef struct SessionFigures {
    uint64_t memory;      /* bytes now, at most what its VM might have */
    uint64_t memory_peak; /* likewise; does not shrink */
    uint64_t images;      /* bytes now */
    /* These only grow. */
    uint64_t operations;
    uint64_t launches;
    uint64_t bytes_to_device;
    uint64_t bytes_from_device;
    uint64_t device_usec; /* at most the time since it began */
    uint32_t sticky;      /* CUresult; the first that was seen stays */
    uint32_t n_contexts;  /* now */
} SessionFigures;

/*
 * session_figures_read() - look at the page once
 * @f: what was seen before; changed
 * @memory_max: bytes of device memory that the session may ever have had
 * @elapsed_usec: since the session began
 */
void session_figures_read(SessionFigures *f, const SessionControl *page, uint64_t memory_max,
                          uint64_t elapsed_usec);

#endif
