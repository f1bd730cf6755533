/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * When a VM is quarantined for what its requests do to others, and for how long: those that run
 * into the time limit, or take executors down, cost everybody in the pool a new executor. So
 * many of them within a time, and the VM waits; each time twice as long as the time before.
 */
#ifndef VGPU_FAULT_LIMIT_H
#define VGPU_FAULT_LIMIT_H

#include <stdint.h>

#define FAULT_LIMIT_MAX 32u

/* The longest that a wait becomes by doubling; and after so long without another, the next one is
 * as short as the first. */
#define FAULT_WAIT_MAX_USEC (UINT64_C(3600) * 1000000)

typedef struct FaultLimit {
    unsigned max;           /* faults, 0..FAULT_LIMIT_MAX; 0: any number */
    uint64_t interval_usec; /* in so much time; UINT64_MAX: ever */
    uint64_t wait_usec;     /* the first wait; UINT64_MAX: for ever */
} FaultLimit;

/* A VM's. All zero: no fault yet. */
typedef struct FaultRecord {
    uint64_t times[FAULT_LIMIT_MAX]; /* since the last wait began; a ring */
    unsigned n;                      /* faults since then */
    unsigned waits;                  /* one after the other */
    uint64_t end_usec;               /* of the last one */
} FaultRecord;

/*
 * fault_record_add() - a request of the VM was at fault
 * @now_usec: of a clock that goes on; the same one each time
 *
 * Returns for how long the VM is to be quarantined, in microseconds (UINT64_MAX: for ever), or 0.
 * That time's end is in end_usec.
 */
uint64_t fault_record_add(FaultRecord *f, const FaultLimit *limit, uint64_t now_usec);

#endif
