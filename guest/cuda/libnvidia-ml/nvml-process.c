/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Processes of this machine that have CUDA, by the numbers that they have here. */
#include <string.h>

#include "nvml-sample.h"

/* Where a list has room, and how large its elements are */
typedef struct process_list {
    unsigned *count; /* the program's; in and out */
    void *infos;
    size_t size;
} process_list;

static void process_put(const process_list *list, unsigned at, const session_use *use)
{
    const nvmlProcessInfo_v2_t info = {
        .pid = use->pid,
        .usedGpuMemory = use->memory,
        .gpuInstanceId = NVML_NO_INSTANCE,
        .computeInstanceId = NVML_NO_INSTANCE,
    };

    memcpy((char *) list->infos + at * list->size, &info, list->size);
}

static bool process_may_list(const process_list *list)
{
    return list->count && (list->infos || *list->count == 0);
}

/* A session without a context is a process that has only asked what there is. */
static nvmlReturn_t process_list_sessions(nvmlDevice_t device, const process_list *list)
{
    static session_use use[SESSION_WATCH_MAX];
    unsigned n_running = 0, room;
    nvml_facts *f;
    nvmlReturn_t r = nvml_enter_device(device, process_may_list(list), &f);
    int n;

    if (r != NVML_SUCCESS)
        return r;
    n = session_watch_look(f->watch, use);
    if (n < 0)
        return nvml_leave(nvml_look_error(n));
    room = *list->count;
    for (int i = 0; i < n; i++) {
        if (use[i].n_contexts == 0)
            continue;
        if (n_running < room)
            process_put(list, n_running, &use[i]);
        n_running++;
    }
    *list->count = n_running;
    return nvml_leave(n_running <= room ? NVML_SUCCESS : NVML_ERROR_INSUFFICIENT_SIZE);
}

/* Sessions have no graphics, and what serves them on the host is not the guest's to see. */
static nvmlReturn_t process_list_none(nvmlDevice_t device, const process_list *list)
{
    nvml_facts *f;
    nvmlReturn_t r = nvml_enter_device(device, process_may_list(list), &f);

    if (r != NVML_SUCCESS)
        return r;
    *list->count = 0;
    return nvml_leave(NVML_SUCCESS);
}

#define PROCESSES(symbol, type, which)                                         \
    nvmlReturn_t symbol(nvmlDevice_t device, unsigned *count, type *infos)     \
    {                                                                          \
        return which(device, &(process_list){count, infos, sizeof(infos[0])}); \
    }

PROCESSES(nvmlDeviceGetComputeRunningProcesses, nvmlProcessInfo_v1_t, process_list_sessions)
PROCESSES(nvmlDeviceGetComputeRunningProcesses_v2, nvmlProcessInfo_v2_t, process_list_sessions)
PROCESSES(nvmlDeviceGetComputeRunningProcesses_v3, nvmlProcessInfo_v2_t, process_list_sessions)
PROCESSES(nvmlDeviceGetGraphicsRunningProcesses, nvmlProcessInfo_v1_t, process_list_none)
PROCESSES(nvmlDeviceGetGraphicsRunningProcesses_v2, nvmlProcessInfo_v2_t, process_list_none)
PROCESSES(nvmlDeviceGetGraphicsRunningProcesses_v3, nvmlProcessInfo_v2_t, process_list_none)
PROCESSES(nvmlDeviceGetMPSComputeRunningProcesses, nvmlProcessInfo_v1_t, process_list_none)
PROCESSES(nvmlDeviceGetMPSComputeRunningProcesses_v2, nvmlProcessInfo_v2_t, process_list_none)
PROCESSES(nvmlDeviceGetMPSComputeRunningProcesses_v3, nvmlProcessInfo_v2_t, process_list_none)

/* ---- Use of time ---------------------------------------------------------------------------- */

/* How busy its memory is, nobody tells. */
nvmlReturn_t nvmlDeviceGetUtilizationRates(nvmlDevice_t device, nvmlUtilization_t *utilization)
{
    const nvml_sample *sample;
    nvml_facts *f;
    nvmlReturn_t r = nvml_enter_device(device, utilization, &f);

    if (r != NVML_SUCCESS)
        return r;
    r = nvml_sample_get(f->watch, &sample);
    if (r == NVML_SUCCESS)
        *utilization = (nvmlUtilization_t){.gpu = sample->percent};
    return nvml_leave(r);
}

nvmlReturn_t nvmlDeviceGetProcessUtilization(nvmlDevice_t device,
                                             nvmlProcessUtilizationSample_t *samples,
                                             unsigned *count, unsigned long long last_seen)
{
    const nvml_sample *sample;
    nvml_facts *f;
    nvmlReturn_t r = nvml_enter_device(device, count, &f);
    unsigned room;

    if (r != NVML_SUCCESS)
        return r;
    r = nvml_sample_get(f->watch, &sample);
    if (r != NVML_SUCCESS)
        return nvml_leave(r);
    room = samples ? *count : 0;
    *count = sample->end_usec > last_seen ? sample->n : 0;
    if (*count == 0)
        return nvml_leave(NVML_ERROR_NOT_FOUND);
    if (*count > room)
        return nvml_leave(NVML_ERROR_INSUFFICIENT_SIZE);
    for (unsigned i = 0; i < *count; i++)
        samples[i] = (nvmlProcessUtilizationSample_t){
            .pid = sample->share[i].pid,
            .timeStamp = sample->end_usec,
            .smUtil = sample->share[i].percent,
        };
    return nvml_leave(NVML_SUCCESS);
}
