/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A launch as programs describe it, for launches, graphs and questions of occupancy. */
#ifndef VGPU_LIBCUDA_LAUNCH_H
#define VGPU_LIBCUDA_LAUNCH_H

#include "cuda-api-streams.h"
#include "event.h"
#include "module.h"

/* launch_check() - what the driver refuses at once. Returns CUDA_SUCCESS, _INVALID_VALUE, or
 * _LAUNCH_OUT_OF_RESOURCES */
CUresult launch_check(const LibFunction *function, const LaunchConfig *config);

/* ---- Parameters (launch.c) ---------------------------------------------------------------------
 */

/* What a program gives for a kernel's parameters */
typedef struct LaunchParameters {
    void **each;        /* of every parameter, or NULL */
    const void *packed; /* all of them; NULL: there are none */
} LaunchParameters;

/* launch_read() - in one of the two ways that launches have. Returns CUDA_SUCCESS or _INVALID_VALUE
 */
CUresult launch_read(const LibFunction *function, void **each, void **extra, LaunchParameters *ret);

/* launch_pack() - as operations have them: info's parameters_size bytes */
void launch_pack(const VGPUSessionFunction *info, const LaunchParameters *p, unsigned char *to);

/* ---- Attributes (launch-attributes.c) ----------------------------------------------------------
 */

/* As the executor takes them */
typedef struct LaunchAttributes {
    VGPUSessionLaunchAttribute attribute[VGPU_SESSION_LAUNCH_ATTRIBUTES];
    uint32_t n;
    LibEvent *recorded[2]; /* events that the launch records; or NULL */
    bool is_cooperative;
} LaunchAttributes;

/*
 * launch_attributes_read() - those of a launch, as far as it can be known that they are right
 *
 * Returns CUDA_SUCCESS; _INVALID_VALUE; _INVALID_HANDLE for an event; _INVALID_CLUSTER_SIZE; or
 * _NOT_SUPPORTED.
 */
CUresult launch_attributes_read(const LibFunction *function, const LaunchConfig *config,
                                LaunchAttributes *ret);

/* launch_value_is_valid() - of an access policy window, and of domains of synchronization */
bool launch_value_is_valid(int attribute, const LaunchValue *value);

/* ---- Occupancy (occupancy.c) -------------------------------------------------------------------
 */

/* occupancy_blocks() - how many blocks of @block_size threads a multiprocessor runs; asked once.
 * @flags: as cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags() has them */
CUresult occupancy_blocks(const LibCall *call, LibFunction *function, int block_size,
                          size_t shared_bytes, unsigned flags, int *ret);

/* occupancy_forget() - an attribute of the function has changed */
void occupancy_forget(LibFunction *function);

#endif
