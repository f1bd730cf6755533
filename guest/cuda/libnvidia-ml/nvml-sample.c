/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "nvml-sample.h"

#include <errno.h>
#include <time.h>

#include "clock.h"

#define SAMPLE_USEC 100000u
#define HISTORY_USEC 10000000u

typedef struct sample_look {
    uint64_t usec; /* CLOCK_MONOTONIC; 0: there was none */
    int n;
    session_use use[SESSION_WATCH_MAX];
} sample_look;

static sample_look last;
static nvml_sample sample;

void nvml_sample_forget(void)
{
    last.usec = 0;
    sample.end_usec = 0;
}

nvmlReturn_t nvml_look_error(int r)
{
    switch (r) {
    case -EOPNOTSUPP:
        return NVML_ERROR_NOT_SUPPORTED;
    case -EACCES:
    case -EPERM:
        return NVML_ERROR_NO_PERMISSION;
    case -EBUSY: /* by VFIO a process has the device alone */
        return NVML_ERROR_IN_USE;
    case -ENOMEM:
        return NVML_ERROR_MEMORY;
    case -ENODEV:
        return NVML_ERROR_GPU_IS_LOST;
    case -ETIMEDOUT:
        return NVML_ERROR_TIMEOUT;
    default:
        return NVML_ERROR_UNKNOWN;
    }
}

static int sample_look_now(session_watch *watch, sample_look *ret)
{
    ret->n = session_watch_look(watch, ret->use);
    ret->usec = now_usec();
    return ret->n;
}

void nvml_sample_begin(session_watch *watch)
{
    if (sample_look_now(watch, &last) < 0)
        last.usec = 0;
}

/* The same number may be another session's by now, whose count begins at 0. */
static uint64_t sample_usec_before(const session_use *now)
{
    for (int i = 0; i < last.n; i++) {
        const session_use *before = &last.use[i];

        if (before->id == now->id && before->pid == now->pid &&
            before->device_usec <= now->device_usec)
            return before->device_usec;
    }
    return 0;
}

static unsigned sample_percent(uint64_t busy, uint64_t all)
{
    return busy >= all ? 100 : (unsigned) ((busy * 100 + all / 2) / all);
}

static void sample_make(const sample_look *now)
{
    uint64_t elapsed = now->usec - last.usec, sum = 0;
    struct timespec clock;

    sample.n = 0;
    for (int i = 0; i < now->n; i++) {
        uint64_t busy = now->use[i].device_usec - sample_usec_before(&now->use[i]);

        if (busy > elapsed)
            busy = elapsed;
        sum += busy;
        if (busy > 0)
            sample.share[sample.n++] = (nvml_share){
                .pid = now->use[i].pid,
                .percent = sample_percent(busy, elapsed),
            };
    }
    sample.percent = sample_percent(sum, elapsed);
    clock_gettime(CLOCK_REALTIME, &clock);
    sample.end_usec = (uint64_t) clock.tv_sec * 1000000 + (uint64_t) clock.tv_nsec / 1000;
}

static void sample_sleep(uint64_t usec)
{
    struct timespec left = {.tv_nsec = (long) usec * 1000};

    while (nanosleep(&left, &left) < 0)
        ;
}

nvmlReturn_t nvml_sample_get(session_watch *watch, const nvml_sample **ret)
{
    uint64_t elapsed = now_usec() - last.usec;
    static sample_look now;

    if (last.usec == 0 || elapsed > HISTORY_USEC) {
        nvml_sample_begin(watch);
        if (last.usec == 0)
            return nvml_look_error(last.n);
        sample.end_usec = 0;
        elapsed = 0;
    }
    if (elapsed < SAMPLE_USEC && sample.end_usec == 0) {
        sample_sleep(SAMPLE_USEC - elapsed);
        elapsed = SAMPLE_USEC;
    }
    if (elapsed >= SAMPLE_USEC) {
        if (sample_look_now(watch, &now) < 0) {
            last.usec = 0;
            return nvml_look_error(now.n);
        }
        sample_make(&now);
        last = now;
    }
    *ret = &sample;
    return NVML_SUCCESS;
}
