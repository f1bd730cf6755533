/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What copies and sets in streams have in common with those in graphs: whether a guest may have
 * them. */
#ifndef VGPU_SESSION_SESSION_COPY_H
#define VGPU_SESSION_SESSION_COPY_H

#include "session.h"

/* A copy of a box, as the driver is told */
typedef struct SessionBox {
    CudaCopy3D copy;
    uint32_t element; /* bytes that are not to be cut: of an array's elements, or 1 */
    bool is_empty;    /* of no bytes: the rest says nothing */
    bool from_window, to_window;
    /* What a graph with this copy names (session_array_name()); NULL: nothing */
    const void *named[2];
} SessionBox;

/*
 * session_copy_check() - may the guest copy that?
 * @context: the number of the one whose arrays may be named
 *
 * Where an end is an array, the caller holds the handles' lock from before until the driver has
 * taken the copy. Returns CUDA_SUCCESS, _INVALID_VALUE, or _INVALID_HANDLE for an array
 * that is none of that context.
 */
CUresult session_copy_check(Session *s, uint32_t context, const VGPUSessionCopy3D *p,
                            SessionBox *ret);

/* One end of a checked copy that is not empty: its bytes from the first to the last, unless it is
 * an array */
typedef struct SessionBoxEnd {
    bool is_array;
    uint64_t address, size;
} SessionBoxEnd;

SessionBoxEnd session_box_to(const CudaCopy3D *copy);
SessionBoxEnd session_box_from(const CudaCopy3D *copy);

/* session_box_fold() - have ends in the window begin with the first byte that is copied: where the
 * address that the driver is given lies in another piece, it refuses the copy (measured: what runs
 * over behind the last byte does not matter) */
void session_box_fold(SessionBox *box);

/* session_box_is_whole() - does the driver take it at once? It refuses a copy that crosses two
 * pieces of the window. */
bool session_box_is_whole(Session *s, const SessionBox *box);

/* session_set_check() - may it set that? Returns CUDA_SUCCESS or _INVALID_VALUE */
CUresult session_set_check(Session *s, const VGPUSessionSet *p, bool *ret_is_empty);

#endif
