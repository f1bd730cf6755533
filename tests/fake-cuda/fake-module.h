/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Modules and their functions */
#ifndef FAKE_MODULE_H
#define FAKE_MODULE_H

#include "fake-driver.h"
#include "fake-image.h"
#include "fake-kernel.h"

struct CUfunc_st {
    FakeObject object;
    struct CUfunc_st *next; /* of the module */
    const FakeKernel *kernel;
    CUmodule module;
    int max_dynamic_shared, carveout;
    int cluster[3], cluster_must_be_set, cluster_non_portable, cluster_policy;
};

struct CUmod_st {
    FakeObject object;
    FakeImage image;
    CUfunction functions;
};

/* CUlaunchAttributeID */
enum {
    FAKE_LAUNCH_COOPERATIVE = 2,
    FAKE_LAUNCH_CLUSTER = 4,
    FAKE_LAUNCH_PROGRAMMATIC = 6, /* ..._STREAM_SERIALIZATION */
    FAKE_LAUNCH_PROGRAMMATIC_EVENT = 7,
    FAKE_LAUNCH_COMPLETION_EVENT = 12,
    FAKE_LAUNCH_ATTRIBUTES = 17,
};

/* fake_function_threads_max() - of a block */
unsigned fake_function_threads_max(const struct CUfunc_st *function);
/* fake_function_blocks() - on one multiprocessor */
int fake_function_blocks(const struct CUfunc_st *function, unsigned block_size,
                         size_t shared_bytes);
/* fake_function_clusters() - CUDA_SUCCESS, or _INVALID_CLUSTER_SIZE. @ret_size: blocks */
CUresult fake_function_clusters(const struct CUfunc_st *function, const CUlaunchConfig *config,
                                unsigned *ret_size);

#endif
