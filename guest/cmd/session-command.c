/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session-command.h"

#include <errno.h>
#include <string.h>

int complain_cuda(const char *what, int result)
{
    const char *name = vgpu_cuda_result_name(result);

    if (name)
        complain("%s: CUDA error %d, %s", what, result, name);
    else
        complain("%s: CUDA error %d", what, result);
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
