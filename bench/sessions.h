/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is measured of CUDA, once by the driver itself and once through a session */
#ifndef BENCH_SESSIONS_H
#define BENCH_SESSIONS_H

#include <stddef.h>
#include <stdint.h>

typedef enum Figure {
    FIGURE_LAUNCH_CALL,   /* ns in the caller, of a burst that fits into the queues */
    FIGURE_LAUNCH_RATE,   /* thousand launches a second, over a long row with its end */
    FIGURE_LAUNCH_WAIT,   /* us, launch and synchronize */
    FIGURE_PINNED_UP,     /* GB/s */
    FIGURE_PINNED_DOWN,   /* GB/s */
    FIGURE_PAGEABLE_UP,   /* GB/s */
    FIGURE_PAGEABLE_DOWN, /* GB/s */
    FIGURE_REGISTER,      /* ms, 32 MiB of the program's own, and unregister it */
    FIGURE_REGISTERED_UP, /* GB/s */
    FIGURE_REGISTERED_DOWN,
    FIGURE_SMALL_UP,    /* us, 4 KiB, until the source is free */
    FIGURE_SMALL_DOWN,  /* us, 4 KiB */
    FIGURE_REPLAY_RATE, /* thousand replays a second of a graph of three kernels */
    N_FIGURES,
} Figure;

#define BENCH_BURST 256u
#define BENCH_ROW 20000u
#define BENCH_WAITS 2000u
#define BENCH_BYTES (UINT64_C(256) << 20)
#define BENCH_SMALL 4096u
#define BENCH_REGISTERED (UINT64_C(32) << 20)
#define BENCH_REPLAYS 2000u

/* A kernel that does nothing but take a pointer and a number */
#define BENCH_KERNEL                                  \
    ".version 7.0\n.target sm_70\n.address_size 64\n" \
    ".visible .entry nothing(.param .u64 p, .param .u32 n)\n{\n    ret;\n}\n"

typedef struct Way {
    const char *name;
    /* begin() - everything up to the first context; exits when it cannot */
    void (*begin)(void);
    /* figure() - what comes after it */
    double (*figure)(Figure f);
} Way;

extern const Way way_native;
extern const Way way_session; /* by the mediator's socket, $VGPU_SOCKET */

/* The window of a session that begins, in bytes; 0: the library's default */
extern uint64_t session_window_size;

/* Threads of a session that begins that copy downloads; 0: the library's default */
extern unsigned session_copy_threads;

#endif
