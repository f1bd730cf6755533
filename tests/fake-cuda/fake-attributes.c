/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the fake device says of itself, by CUdevice_attribute of CUDA 13.0: a small one of
 * compute capability 9.0. Attributes that are not here are 0, as most of any device are. */
#include "fake-driver.h"

#define ATTRIBUTES 150 /* CU_DEVICE_ATTRIBUTE_MAX */

static const int attributes[ATTRIBUTES] = {
    [1] = FAKE_THREADS_MAX, /* of a block; its x, y, z; the grid's */
    [2] = 1024,
    [3] = 1024,
    [4] = 64,
    [5] = 2147483647,
    [6] = 65535,
    [7] = 65535,
    [8] = FAKE_SHARED_MAX,
    [9] = 65536, /* constant memory */
    [10] = 32,   /* threads of a warp */
    [11] = CUDA_PITCH_MAX,
    [12] = FAKE_REGISTERS, /* of a block */
    [13] = 1980000,        /* kHz */
    [14] = 512,            /* alignment of textures */
    [15] = 1,              /* copies while kernels run */
    [CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT] = FAKE_MULTIPROCESSORS,
    [19] = 1,       /* maps host memory */
    [31] = 1,       /* kernels side by side */
    [32] = 1,       /* ECC */
    [33] = 1,       /* PCI bus */
    [36] = 2619000, /* memory, kHz */
    [37] = 5120,    /* memory, bits */
    [38] = 4 << 20, /* L2 cache */
    [39] = 2048,    /* threads of a multiprocessor */
    [40] = 1,       /* engines that copy */
    [41] = 1,       /* unified addressing */
    [51] = 32,      /* alignment of a texture's pitch */
    [CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR] = 9,
    [CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR] = 0,
    [78] = 1, /* priorities of streams */
    [79] = 1,
    [80] = 1,
    [81] = FAKE_SHARED_OF_MULTIPROCESSOR,
    [82] = FAKE_REGISTERS, /* of a multiprocessor */
    [87] = 2,              /* single to double precision */
    [90] = 1,              /* preemption */
    [91] = 1,              /* the host's pointers of registered memory */
    [95] = 1,              /* cooperative launches */
    [97] = FAKE_SHARED_OPTIN_MAX,
    [99] = 1,   /* registers host memory */
    [102] = 1,  /* ranges of addresses and mappings */
    [106] = 32, /* blocks of a multiprocessor */
    [111] = FAKE_SHARED_RESERVED,
    [115] = 1, /* memory pools */
    [120] = 1, /* clusters */
    [122] = 1, /* words of 64 bits */
    [123] = 1, /* waiting by NOR */
};

CUresult cuDeviceGetAttribute(int *value, int attribute, CUdevice device)
{
    ENTER(FAKE_INIT);
    fake_check_device(device, __func__);
    if (attribute < 1 || attribute >= ATTRIBUTES)
        return fake_refuse("cuDeviceGetAttribute: attribute %d", attribute);
    *value = attributes[attribute];
    if (attribute == 34) /* PCI device */
        *value = device;
    return CUDA_SUCCESS;
}
