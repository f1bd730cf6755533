/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the measurements of vgpu bench share: through the registers, and on the ring. */
#ifndef VGPU_GUEST_BENCH_H
#define VGPU_GUEST_BENCH_H

#include "command.h"
#include "deadline.h"

#define WARM_UP 16u /* the host may have to start its service for the first */

typedef struct measurement {
    uint64_t *ns;   /* the duration of each request, from its submission on */
    uint32_t count; /* how many requests to measure, then how many were measured */
    uint64_t total_ns;
    uint64_t accesses, polls; /* of registers; accesses leaves out the polls */
    uint32_t depth;           /* 0: not on the ring */
    vgpu_ring_counters ring;
} measurement;

/* Has a signal asked for the end? The bench then reports what it has measured by then. */
bool bench_is_interrupted(void);

/* Fill in how many register accesses there were since @before. */
void count_accesses(vgpu_device *dev, const vgpu_counters *before, measurement *m);

/* Measure requests on the ring. Returns an exit code. */
int measure_ring(const options *o, vgpu_device *dev, measurement *m);

#endif
