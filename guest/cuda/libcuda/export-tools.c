/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tables that are for tools, and that the runtime and NVIDIA's libraries ask for, too. There are no
 * tools here: nobody is called back. */
#include "export-tables.h"

/* ---- Callbacks ---------------------------------------------------------------------------------
 */

static CUresult tools_nothing(void)
{
    return CUDA_SUCCESS;
}

/* The runtime looks there whether a tool wants to hear of a call: nobody does. */
static void tools_wanted(void **ret, size_t *ret_size)
{
    static uint32_t wanted[1024];

    *ret = wanted;
    *ret_size = sizeof(wanted) / sizeof(wanted[0]);
}

static void tools_more_wanted(void **ret, size_t *ret_size)
{
    static uint32_t wanted[14];

    *ret = wanted;
    *ret_size = sizeof(wanted) / sizeof(wanted[0]);
}

const ExportWord export_callbacks[7] = {
    {.size = sizeof(export_callbacks)}, EXPORT_FUNCTION(tools_nothing),
    EXPORT_FUNCTION(tools_wanted),      EXPORT_FUNCTION(tools_nothing),
    EXPORT_FUNCTION(tools_nothing),     EXPORT_FUNCTION(tools_nothing),
    EXPORT_FUNCTION(tools_more_wanted),
};

/* ---- The thread --------------------------------------------------------------------------------
 */

/* cuBLASLt keeps its kernels by this context. */
const ExportWord export_thread[3] = {
    {.size = sizeof(export_thread)},
    EXPORT_REFUSED,
    EXPORT_FUNCTION(cuCtxGetCurrent),
};

/* ---- Checks of a context -----------------------------------------------------------------------
 */

static CUresult tools_check(CUcontext context, uint32_t *ret, const void **ret_pointer)
{
    (void) context, (void) ret_pointer;
    if (ret)
        *ret = 0;
    return CUDA_SUCCESS;
}

static uint32_t tools_check_more(void)
{
    return 0;
}

const ExportWord export_checks[15] = {
    {.size = sizeof(export_checks)}, EXPORT_REFUSED,
    EXPORT_FUNCTION(tools_check),    EXPORT_FUNCTION(tools_check_more),
    [4 ... 14] = EXPORT_REFUSED,
};

/* ---- Contexts and modules ----------------------------------------------------------------------
 */

static CUresult tools_context_device(CUcontext context, CUdevice *ret)
{
    return cuCtxGetDevice_v2(ret, context);
}

const ExportWord export_context[94] = {
    {.size = sizeof(export_context)},
    EXPORT_REFUSED,
    EXPORT_REFUSED,
    EXPORT_FUNCTION(tools_context_device),
    EXPORT_FUNCTION(cuCtxGetId),
    [5 ... 93] = EXPORT_REFUSED,
};

const ExportWord export_module[99] = {
    {.size = sizeof(export_module)},
    [1 ... 98] = EXPORT_REFUSED,
};

/* cuBLASLt asks for it for products of bf16, and does without its functions, but not without it. */
const ExportWord export_refused_17[17] = {
    {.size = sizeof(export_refused_17)},
    [1 ... 16] = EXPORT_REFUSED,
};
