/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a launch and a question about one have in common (op-launch.c) */
#ifndef VGPU_SESSION_SESSION_LAUNCH_H
#define VGPU_SESSION_SESSION_LAUNCH_H

#include "session.h"

/* Those of the guest, and that for a cooperative launch */
#define SESSION_LAUNCH_ATTRIBUTES (VGPU_SESSION_LAUNCH_ATTRIBUTES + 1)

/*
 * session_launch_config() - what the driver is told of a VGPUSessionLaunch
 * @attributes: SESSION_LAUNCH_ATTRIBUTES of them, to which the configuration points
 *
 * The stream is left NULL. Returns CUDA_SUCCESS, _INVALID_VALUE for too many attributes, for one
 * that this executor does not know, or when the record is too short for what it says follows,
 * _INVALID_HANDLE for an event that is none.
 */
CUresult session_launch_config(Session *s, const SessionCall *call, CUlaunchConfig *ret,
                               CUlaunchAttribute *attributes);

#endif
