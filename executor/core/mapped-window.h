/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The data windows of VMs, as the executor has them: each a memfd of the
 * device's, mapped whole and shared with the guest, which may write to it at any
 * time. So nothing that lies in a window is ever an offset, a length or an index:
 * those come with the submission.
 */
#ifndef VGPU_EXECUTOR_MAPPED_WINDOW_H
#define VGPU_EXECUTOR_MAPPED_WINDOW_H

#include "executor-protocol.h"
#include "memory-guard.h"

typedef struct MappedWindow {
    struct MappedWindow *next;
    uint32_t id;
    bool removed; /* gone for the mediator, and here with its last job */
    unsigned n_jobs;
    unsigned char *memory;
    uint64_t size;
    MemoryGuard guard;
    bool told; /* that it is lost */

    /* The backend's: where the device sees it, or why it does not */
    bool is_registered; /* tried, at least */
    uint64_t device;
    uint32_t cuda_result;
} MappedWindow;

/*
 * mapped_window_new() - map a window
 * @id: the mediator's
 * @fd: a memfd that can't shrink; stays the caller's
 * @ret: the window, to be given to mapped_window_free()
 *
 * Returns 0, -EINVAL for a descriptor that can be no window (not sealed against
 * shrinking, or of a size that no window has), or another negative errno.
 */
int mapped_window_new(uint32_t id, int fd, MappedWindow **ret);

/* mapped_window_free() - unmap; takes NULL, returns NULL */
MappedWindow *mapped_window_free(MappedWindow *w);

/*
 * mapped_window_is_lost() - has the VM taken memory of it away?
 *
 * Then what is mapped here are zeros, and nothing that is computed in them counts. Says so
 * once on standard error. To be called on the loop's thread.
 */
bool mapped_window_is_lost(MappedWindow *w);

#endif
