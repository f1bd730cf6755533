/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Arrays. */
#include "copy-box.h"

CUresult libcuda_array_number(CUarray array, uint32_t *ret)
{
    const uint32_t *number = handle_object(HANDLE_ARRAY, array);

    if (!number)
        return CUDA_ERROR_INVALID_HANDLE;
    *ret = *number;
    return CUDA_SUCCESS;
}
