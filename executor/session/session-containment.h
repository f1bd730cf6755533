/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the process of a session gives up: it has a guest's data in it, and compiles a guest's
 * programs in the driver. The unit is a sandbox of its own; this one also holds where the mediator
 * starts the process itself, and is narrower after the first context than a unit can be from its
 * start.
 */
#ifndef VGPU_SESSION_CONTAINMENT_H
#define VGPU_SESSION_CONTAINMENT_H

/*
 * session_containment_begin() - before there is a thread, and before the driver is loaded
 * @socket: the one descriptor beside the standard ones that stays open
 *
 * No new privileges, no core dumps, no program to execute. Where the kernel has Landlock, nothing
 * in the file system can be written or made but the devices of NVIDIA's driver, and what is below
 * $TMPDIR if that is set. The driver keeps no compiled programs in files, which another session
 * could have written. Returns 0 or a negative errno.
 */
int session_containment_begin(int socket);

/*
 * session_containment_tighten() - for all threads, once there is a context
 *
 * Refuses with EPERM from then on: to execute or fork; sockets; to make, change or remove files,
 * and to open them for writing alone; to look at or signal other processes; mounts, namespaces,
 * users, and the kernel's own interfaces. The process is not dumpable.
 *
 * On one thread at a time; does nothing from the second time on, and without
 * session_containment_begin(). Returns 0 or a negative errno.
 */
int session_containment_tighten(void);

#endif
