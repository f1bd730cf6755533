/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "cleanup.h"
#include "vgpu.h"

/* What a code means to the person who reads the message. */
static const char *const answers[VGPU_N_ERRORS] = {
    [VGPU_ERROR_NONE] = "success",
    [VGPU_ERROR_INVALID_REQUEST] = "the host says that the request is malformed (INVALID_REQUEST)",
    [VGPU_ERROR_REQUEST_TOO_LARGE] = "the request is too large (REQUEST_TOO_LARGE)",
    [VGPU_ERROR_MEDIATOR_UNAVAILABLE] = "no mediator is running on the host (MEDIATOR_UNAVAILABLE)",
    [VGPU_ERROR_TIMEOUT] = "the host accepted the request and did not finish it in time (TIMEOUT)",
    [VGPU_ERROR_CUDA_ERROR] = "the computation failed on the host (CUDA_ERROR)",
    [VGPU_ERROR_INVALID_POOL] = "the host has no such pool (INVALID_POOL)",
    [VGPU_ERROR_QUEUE_FULL] = "the host's queue is full (QUEUE_FULL)",
    [VGPU_ERROR_UNSUPPORTED_OP] = "the host does not support this operation (UNSUPPORTED_OP)",
    [VGPU_ERROR_INVALID_LENGTH] = "the request is empty (INVALID_LENGTH)",
    [VGPU_ERROR_RATE_LIMITED] = "too many requests, try again later (RATE_LIMITED)",
    [VGPU_ERROR_VM_QUARANTINED] =
        "the host has stopped this virtual machine's requests (VM_QUARANTINED)",
};

/* Texts for errnos of which libc's text would not say what happened. */
static const struct {
    int result;
    const char *text;
} failures[] = {
    {-EAGAIN, "there is no room for another request"},
    {-EBUSY, "the device is in use"},
    {-ECANCELED, "the ring was closed"},
    {-ECONNRESET, "the device was reset during the request"},
    {-EMSGSIZE, "the request is empty or too large"},
    {-ENODEV, "no such vgpu device"},
    {-ENOLCK, "the device is not locked by this handle"},
    {-ENOPKG, "VFIO needs the kernel module vfio_iommu_type1, which is not loaded"},
    {-ENOSPC, "there is not enough memory free in the data window"},
    {-ENOSYS, "the IOMMU of this machine does not remap interrupts, which VFIO requires"},
    {-ENOTCONN, "no request was submitted"},
    {-EOPNOTSUPP, "the host is too old: the device does not offer this"},
    {-EPERM, "the kernel does not permit it; it is locked down, as with Secure Boot, unless "
             "/sys/kernel/security/lockdown says [none]"},
    {-EPROTO, "the host's answer is malformed"},
    {-EPROTONOSUPPORT, "the device speaks another protocol version"},
    {-ESTALE, "another program has used the device during the request"},
    {-ETIMEDOUT, "no answer in time"},
    {-EXDEV, "another device of its IOMMU group has a driver, which VFIO does not allow"},
};

const char *vgpu_strerror(int result)
{
    if (result >= 0)
        return result < VGPU_N_ERRORS ? answers[result] : "the host answered with an unknown error";

    for (size_t i = 0; i < ELEMENTSOF(failures); i++)
        if (failures[i].result == result)
            return failures[i].text;
    return strerror(-result);
}
