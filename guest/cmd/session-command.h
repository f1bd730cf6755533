/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the subcommands that use CUDA sessions have in common. */
#ifndef VGPU_GUEST_SESSION_COMMAND_H
#define VGPU_GUEST_SESSION_COMMAND_H

#include "command.h"
#include "cuda-client.h"

/* complain_cuda() - say that @what has failed with a CUresult. Returns an exit code. */
int complain_cuda(const char *what, int result);

/* open_session() - open a session on the device that @o names, or by the mediator's socket. Prints
 * a message unless it returns 0. Returns an exit code. Close it with vgpu_session_close(). */
int open_session(const options *o, vgpu_session **ret);

static inline void cleanup_vgpu_session(vgpu_session **s)
{
    vgpu_session_close(*s);
}

#define CLEANUP_VGPU_SESSION CLEANUP(cleanup_vgpu_session)

#endif
