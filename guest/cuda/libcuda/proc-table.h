/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The functions by their names, as cuGetProcAddress() finds them. */
#ifndef VGPU_LIBCUDA_PROC_TABLE_H
#define VGPU_LIBCUDA_PROC_TABLE_H

#include <stddef.h>
#include <stdint.h>

typedef enum ProcStreams {
    PROC_STREAMS_NONE,
    PROC_STREAMS_ANY,
    PROC_STREAMS_LEGACY,
    PROC_STREAMS_PER_THREAD,
} ProcStreams;

/* A row of symbols.h */
typedef struct ProcRow {
    const char *base;
    int (*function)(void); /* of whatever type it is */
    uint16_t since;
    uint16_t streams; /* ProcStreams */
} ProcRow;

/* In the order of the names, without regard to case, and of the versions of each */
extern const ProcRow proc_table[];
extern const size_t proc_table_n;

#endif
