/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The table without which nvidia-smi does not begin. It is not in NVIDIA's manual; that it exists,
 * its number, and which of its words are what, NVIDIA has published in the mock library of
 * github.com/NVIDIA/k8s-test-infra (pkg/gpu/mocknvml, Apache-2.0), for nvidia-smi 580.65.06. What
 * is not told there refuses.
 */
#include <string.h>

#include "nvml-sample.h"

/* The first word is the table's size in bytes. */
#define TABLE_WORDS 512

enum {
    SLOT_HANDLE_BY_INDEX = 81,
    SLOT_COMPUTE_PROCESSES = 213,
    SLOT_OTHER_PROCESSES_FIRST = 214, /* of MPS, and with graphics */
    SLOT_OTHER_PROCESSES_LAST = 215,
};

static const unsigned char table_id[16] = {0xc4, 0xfe, 0x3e, 0x6c, 0xc9, 0x8f, 0x6c, 0x4e,
                                           0xa3, 0x27, 0xee, 0x69, 0x6e, 0x12, 0xf7, 0xc4};

/* A row of nvidia-smi's list of processes */
typedef struct export_process {
    nvmlProcessInfo_v2_t info;
    unsigned long long protected_memory;
    char name[4096];
} export_process;

static_assert(sizeof(export_process) == 4128, "ABI");

static nvmlReturn_t export_refuse(void)
{
    return NVML_ERROR_NOT_SUPPORTED;
}

/* What it is asked for with, nvidia-smi alone knows. */
static nvmlReturn_t export_handle_by_index(unsigned index, nvmlDevice_t *device, unsigned flags)
{
    (void) flags;
    return nvmlDeviceGetHandleByIndex_v2(index, device);
}

static nvmlReturn_t export_compute_processes(nvmlDevice_t device, unsigned *count,
                                             export_process *rows)
{
    nvmlProcessInfo_v2_t infos[SESSION_WATCH_MAX];
    unsigned room = count && *count < SESSION_WATCH_MAX ? *count : SESSION_WATCH_MAX, n = room;
    nvmlReturn_t r = count && rows ? nvmlDeviceGetComputeRunningProcesses_v3(device, &n, infos)
                                   : NVML_ERROR_INVALID_ARGUMENT;

    if (r == NVML_SUCCESS || r == NVML_ERROR_INSUFFICIENT_SIZE)
        *count = n;
    if (r != NVML_SUCCESS)
        return r;
    for (unsigned i = 0; i < n; i++) {
        memset(&rows[i], 0, sizeof(rows[i]));
        rows[i].info = infos[i];
        (void) nvmlSystemGetProcessName(infos[i].pid, rows[i].name, sizeof(rows[i].name));
    }
    return NVML_SUCCESS;
}

static nvmlReturn_t export_no_processes(nvmlDevice_t device, unsigned *count, export_process *rows)
{
    (void) rows;
    return nvml_answer(device, count, 0);
}

static const void *export_table(void)
{
    static const void *table[TABLE_WORDS];
    static const void *const size = (const void *) sizeof(table);

    if (table[0] == size)
        return table;
    for (unsigned i = 1; i < TABLE_WORDS; i++)
        table[i] = (const void *) export_refuse;
    table[SLOT_HANDLE_BY_INDEX] = (const void *) export_handle_by_index;
    table[SLOT_COMPUTE_PROCESSES] = (const void *) export_compute_processes;
    for (unsigned i = SLOT_OTHER_PROCESSES_FIRST; i <= SLOT_OTHER_PROCESSES_LAST; i++)
        table[i] = (const void *) export_no_processes;
    table[0] = size;
    return table;
}

nvmlReturn_t nvmlInternalGetExportTable(const void **table, const void *id)
{
    nvmlReturn_t r = nvml_enter(table && id);

    if (r != NVML_SUCCESS)
        return r;
    if (memcmp(id, table_id, sizeof(table_id)) != 0)
        return nvml_leave(NVML_ERROR_NOT_FOUND);
    *table = export_table();
    return nvml_leave(NVML_SUCCESS);
}
