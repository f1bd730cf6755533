/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "nvml-api.h"

#include <stddef.h>

/* By number. Programs show them, and some compare them. */
static const char *const error_texts[] = {
    [0] = "Success",
    [1] = "Uninitialized",
    [2] = "Invalid Argument",
    [3] = "Not Supported",
    [4] = "Insufficient Permissions",
    [5] = "Already Initialized",
    [6] = "Not Found",
    [7] = "Insufficient Size",
    [8] = "Insufficient External Power",
    [9] = "Driver Not Loaded",
    [10] = "Timeout",
    [11] = "Interrupt Request Issue",
    [12] = "NVML Shared Library Not Found",
    [13] = "Function Not Found",
    [14] = "Corrupted infoROM",
    [15] = "GPU is lost",
    [16] = "GPU requires reset",
    [17] = "GPU access blocked by the operating system",
    [18] = "Driver/library version mismatch",
    [19] = "In use by another client",
    [20] = "Insufficient Memory",
    [21] = "No data",
    [22] = "ECC enabled, vGPU not supported",
    [23] = "Insufficient Resources",
    [24] = "Frequency not supported",
    [25] = "Argument version mismatch",
    [26] = "Deprecated",
    [27] = "Not ready",
    [28] = "GPU not found",
    [29] = "Invalid state",
    [30] = "Reset type not supported",
};

const char *nvmlErrorString(nvmlReturn_t result)
{
    if (result < 0 || (size_t) result >= sizeof(error_texts) / sizeof(error_texts[0]))
        return "Unknown Error";
    return error_texts[result];
}
