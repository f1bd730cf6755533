/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a launch and a question about one have in common (op-launch.c), and how a launch keeps its
 * function without a lock.
 *
 * A lock is two operations that wait for all stores before them, and a launch ends with the
 * driver's store to the device, which is far away. So the ring's thread only notes that it
 * launches. Whoever ends a function takes its number away, and has the kernel put a barrier into
 * every thread (membarrier()): from then on each launch that does not see that the number is gone
 * has a note that can be seen, and it waits for that one.
 */
#ifndef VGPU_SESSION_SESSION_LAUNCH_H
#define VGPU_SESSION_SESSION_LAUNCH_H

#include "session-core.h"
#include "session-store.h"

/* Those of the guest, and that for a cooperative launch */
#define SESSION_LAUNCH_ATTRIBUTES (VGPU_SESSION_LAUNCH_ATTRIBUTES + 1)

/* session_launch_open() - before there is a second thread, where that takes no time */
void session_launch_open(Session *s);

/* session_launch_settle() - no launch uses any longer what has no number any more. On the SLOW
 * thread, which holds the handles' lock */
void session_launch_settle(Session *s);

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

/*
 * session_launch_function() - whose launch that is, and its parameters in the record's copy
 *
 * The caller is between launch_begin() and launch_end(), or holds the handles' lock, and has called
 * session_launch_config(). Returns CUDA_SUCCESS,
 * _INVALID_HANDLE, or _INVALID_VALUE when the parameters are not as the function has them.
 */
CUresult session_launch_function(Session *s, const SessionCall *call, const SessionFunction **ret,
                                 unsigned char **ret_parameters);

/* LAUNCH's flags */
#define SESSION_LAUNCH_COOPERATIVE 0x1u

/* session_launch_add_cooperative() - make it a cooperative one: one more attribute */
void session_launch_add_cooperative(CUlaunchConfig *config);

/* What the driver reads from `extra` */
#define SESSION_LAUNCH_PARAM_END ((void *) 0)
#define SESSION_LAUNCH_PARAM_POINTER ((void *) 1)
#define SESSION_LAUNCH_PARAM_SIZE ((void *) 2)

/* Attributes that begin with an event */
#define SESSION_LAUNCH_PROGRAMMATIC_EVENT 7
#define SESSION_LAUNCH_COMPLETION_EVENT 12

#endif
