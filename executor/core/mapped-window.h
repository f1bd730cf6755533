/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A VM's data window as the executor has it: the device's memfd, mapped whole and shared
 * with the guest, which may write to it at any time. So nothing that lies in a window is
 * ever used as an offset, a length or an index: those come with the submission.
 */
#ifndef VGPU_EXECUTOR_MAPPED_WINDOW_H
#define VGPU_EXECUTOR_MAPPED_WINDOW_H

#include "executor-protocol.h"
#include "memory-guard.h"

typedef struct MappedWindow {
    struct MappedWindow *next;
    uint32_t id;
    bool removed; /* by the mediator; unmapped when its last operation has ended */
    unsigned n_operations;
    unsigned char *memory;
    uint64_t size;
    MemoryGuard guard;
    bool told; /* that it is lost */

    /* The backend's: where the device sees the window, or why it does not */
    bool is_registered; /* tried, at least */
    uint64_t device;
    uint32_t cuda_result;
} MappedWindow;

/*
 * mapped_window_new() - map a window
 * @id: the mediator's number for it
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
 * If so, zeros are mapped here instead, and whatever is computed in them is worth nothing.
 * Reports it on standard error the first time. To be called on the loop's thread.
 */
bool mapped_window_is_lost(MappedWindow *w);

#endif
