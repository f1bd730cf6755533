/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The computation by which "vgpu doctor" knows whether a GPU works. */
#ifndef VGPU_GUEST_DOCTOR_SESSION_H
#define VGPU_GUEST_DOCTOR_SESSION_H

#include "cuda-client.h"
#include "doctor.h"

/*
 * doctor_saxpy() - compile a kernel, and have it compute
 * @ret_step: after an error, what could not be done; else what is wrong with the result, or NULL
 *
 * Returns a CUresult.
 */
int doctor_saxpy(vgpu_session *s, const vgpu_session_from *from, const char **ret_step);

#endif
