/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session-command.h"

#include <errno.h>
#include <string.h>

/* What the names of CUDA do not say by themselves */
static const struct {
    int result;
    const char *meaning;
} meanings[] = {
    {2, ": there is not so much memory, of the GPU or of what this machine may have (vgpu smi)"},
    {200, ": this is neither PTX nor a cubin nor a fatbin"},
    {209, ": the module has no code for this GPU (vgpu smi); PTX has code for all later ones"},
    {218, ": the host's compiler does not take this PTX"},
    {222, ": this PTX is newer than the host's driver (vgpu smi); an older nvcc makes older PTX"},
    {700, ": a kernel has reached beyond its buffers; are they large enough for all threads?"},
    {701, ": a block has more threads than the GPU has registers for with this kernel"},
    {702, ": a kernel ran longer than the host allows (KernelTimeoutSec=)"},
    {710, ": an assertion in a kernel does not hold"},
    {716, ": an address is no multiple of the size of what is there"},
    {719, ": the GPU has stopped a kernel, by a trap or for another fault"},
};

int complain_cuda(const char *what, int result)
{
    const char *name = vgpu_cuda_result_name(result), *meaning = "";

    for (size_t i = 0; i < ELEMENTSOF(meanings); i++)
        if (meanings[i].result == result)
            meaning = meanings[i].meaning;
    complain("%s: CUDA error %d%s%s%s", what, result, name ? ", " : "", name ? name : "", meaning);
    return EXIT_REFUSED;
}

static int complain_session(const options *o, int result, int cuda)
{
    const char *name = o->device ? o->device : "CUDA session";

    switch (result) {
    case VGPU_ERROR_CUDA_ERROR:
        if (cuda != VGPU_CUDA_ERROR_NO_DEVICE)
            return complain_cuda("cannot open a CUDA session", cuda);
        complain("the pool behind this device has no GPU");
        return EXIT_REFUSED;
    case VGPU_ERROR_UNSUPPORTED_OP:
    case -EOPNOTSUPP:
        complain("the host is too old for this: it knows no CUDA sessions");
        return EXIT_REFUSED;
    case VGPU_ERROR_QUEUE_FULL:
        complain("this machine has as many CUDA sessions as it may have (SessionsMax=)");
        return EXIT_REFUSED;
    case -ENODEV:
        complain(o->device ? "no vgpu device '%s'" : "no vgpu device found, and no mediator here",
                 o->device);
        return EXIT_NO_DEVICE;
    case -EBUSY:
        complain("all CUDA sessions of this device are taken, or an older program has its window");
        return EXIT_TIMEOUT;
    case -EADDRINUSE:
        complain("this process has something mapped where the GPU's memory would have to be");
        return EXIT_SYSTEM;
    case -ENOSPC:
        complain("the device's window has no room for a session: other processes have it all");
        return EXIT_REFUSED;
    default:
        return complain_result(name, result);
    }
}

int open_session(const options *o, vgpu_session **ret)
{
    const vgpu_session_options wanted = {
        .device = o->device,
        .timeout_ms = o->timeout_ms == 0 ? 1 : o->timeout_ms,
        .keeper = "/proc/self/exe", /* this program, wherever it is installed */
    };
    int cuda = 0, r;

    r = vgpu_session_open(&wanted, ret, &cuda);
    return r == 0 ? EXIT_OK : complain_session(o, r, cuda);
}
