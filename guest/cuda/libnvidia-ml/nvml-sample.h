/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What share of the time the device has had work of this machine's sessions. With the library's
 * lock. */
#ifndef VGPU_NVML_SAMPLE_H
#define VGPU_NVML_SAMPLE_H

#include "nvml-library.h"

typedef struct nvml_share {
    uint32_t pid;
    unsigned percent;
} nvml_share;

/* The time from the last look to this one: at most what was counted since the first question */
typedef struct nvml_sample {
    uint64_t end_usec; /* CLOCK_REALTIME; 0: there is none yet */
    unsigned percent;  /* of all together */
    unsigned n;
    nvml_share share[SESSION_WATCH_MAX];
} nvml_sample;

/* nvml_sample_begin() - the first look, if one is possible */
void nvml_sample_begin(session_watch *watch);

/*
 * nvml_sample_get() - of the time since the last one
 *
 * A sample takes a tenth of a second. Who asks again before that gets the last one; the first who
 * asks waits, and so does who has not asked for so long that the answer would be history. Returns
 * NVML_SUCCESS or what nvml_look_error() returns.
 */
nvmlReturn_t nvml_sample_get(session_watch *watch, const nvml_sample **ret);

/* nvml_sample_forget() - the library ends */
void nvml_sample_forget(void);

/* nvml_look_error() - for what session_watch_look() has returned */
nvmlReturn_t nvml_look_error(int r);

#endif
