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
    [19] = 1,      /* maps host memory */
    [21] = 131072, /* textures: of one dimension, of two, of three, two with layers */
    [22] = 131072,
    [23] = 65536,
    [24] = 16384,
    [25] = 16384,
    [26] = 16384,
    [27] = 32768,
    [28] = 32768,
    [29] = 2048,
    [31] = 1,       /* kernels side by side */
    [32] = 1,       /* ECC */
    [33] = 1,       /* PCI bus */
    [36] = 2619000, /* memory, kHz */
    [37] = 5120,    /* memory, bits */
    [38] = 4 << 20, /* L2 cache */
    [39] = 2048,    /* threads of a multiprocessor */
    [40] = 1,       /* engines that copy */
    [41] = 1,       /* unified addressing */
    [42] = 32768,   /* textures: one dimension with layers, gather, other three dimensions */
    [43] = 2048,
    [45] = 32768,
    [46] = 32768,
    [47] = 8192,
    [48] = 8192,
    [49] = 32768,
    [51] = 32,    /* alignment of a texture's pitch */
    [52] = 32768, /* cubemaps, with layers */
    [53] = 32768,
    [54] = 2046,
    [55] = 32768, /* surfaces: one dimension, two, three, with layers, cubemaps */
    [56] = 131072,
    [57] = 65536,
    [58] = 16384,
    [59] = 16384,
    [60] = 16384,
    [61] = 32768,
    [62] = 2048,
    [63] = 32768,
    [64] = 32768,
    [65] = 2048,
    [66] = 32768,
    [67] = 32768,
    [68] = 2046,
    [69] = 268435456, /* textures of linear and pitched memory */
    [70] = 131072,
    [71] = 65000,
    [72] = 2097120,
    [73] = 32768, /* mipmaps */
    [74] = 32768,
    [77] = 32768,
    [CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR] = 9,
    [CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR] = 0,
    [78] = 1, /* priorities of streams */
    [79] = 1,
    [80] = 1,
    [81] = FAKE_SHARED_OF_MULTIPROCESSOR,
    [82] = FAKE_REGISTERS, /* of a multiprocessor */
    [83] = 1,              /* managed memory */
    [87] = 2,              /* single to double precision */
    [90] = 1,              /* preemption */
    [91] = 1,              /* the host's pointers of registered memory */
    [95] = 1,              /* cooperative launches */
    [96] = 1,              /* and of several devices */
    [97] = FAKE_SHARED_OPTIN_MAX,
    [99] = 1,   /* registers host memory */
    [102] = 1,  /* ranges of addresses and mappings */
    [103] = 1,  /* descriptors of physical memory */
    [106] = 32, /* blocks of a multiprocessor */
    [107] = 1,  /* compressed memory */
    [109] = FAKE_ACCESS_WINDOW_MAX,
    [111] = FAKE_SHARED_RESERVED,
    [115] = 1, /* memory pools */
    [119] = 1, /* descriptors of them */
    [120] = 1, /* clusters */
    [121] = 1, /* arrays to which memory is mapped later */
    [122] = 1, /* words of 64 bits */
    [123] = 1, /* waiting by NOR */
    [125] = 1, /* events of other processes */
    [126] = FAKE_SYNC_DOMAINS,
    [127] = 1, /* tensor maps */
};

int fake_attribute(int attribute)
{
    return attributes[attribute];
}

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
