/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The VM's window in a session: mapped whole, where the guest process has it, and known to CUDA in
 * pieces: those that the guest pins and the session's own area, or all of it as one piece.
 *
 * A piece is registered for all contexts at once, in one of them. When that one ends, each of its
 * pieces is registered again in another.
 */
#ifndef VGPU_SESSION_WINDOW_H
#define VGPU_SESSION_WINDOW_H

#include "session-core.h"

/* session_window_open() - @w: to be given to session_window_close() from now on.
 * @fd: a memfd that can't shrink; stays the caller's. Returns 0, -EINVAL, or what fstat() says */
int session_window_open(SessionWindow *w, int fd);

/*
 * session_window_map() - map it whole, and guard it (memory-guard.h)
 * @base: where, a multiple of 2 MiB; 0: anywhere
 *
 * Takes the place of an earlier mapping of it. Returns 0; -EEXIST when something else lies there;
 * -EINVAL for an address that no window can have; or what mmap() says. Without a mapping on
 * failure.
 */
int session_window_map(SessionWindow *w, uint64_t base);

/* session_window_close() - unmap; also takes one that is not mapped */
void session_window_close(SessionWindow *w);

/*
 * session_window_keep() - what CUDA is to know from the first context on, with nothing pinned yet
 * @offset, @size: whole pages of the window
 *
 * Returns 0 or -ENOMEM.
 */
int session_window_keep(SessionWindow *w, uint64_t offset, uint64_t size);

/*
 * session_window_register() - tell CUDA of all pieces that it does not know
 * @context: is current on this thread
 *
 * On the SLOW thread. Returns what the driver says, or CUDA_ERROR_NOT_SUPPORTED when the device has
 * the window elsewhere than the guest.
 */
CUresult session_window_register(Session *s, CUcontext context);

/*
 * session_window_forget() - @context is about to be destroyed
 * @is_last: there is no other. If there is one, work in it may use the window now, so that the
 *     driver is left to decide whether what was registered here outlives the context; it is to be
 *     registered again.
 */
void session_window_forget(Session *s, CUcontext context, bool is_last);

/* session_window_is_lost() - has the VM taken memory of it away? */
bool session_window_is_lost(const Session *s);

/* session_window_device() - where the device has these bytes of the window. Returns false when they
 * are not in one piece that is pinned. */
bool session_window_device(Session *s, uint64_t offset, uint64_t size, CUdeviceptr *ret);

#endif
