/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Seals memory of a peer's without waiting for the peer.
 *
 * fcntl(F_ADD_SEALS) waits for whoever changes the file now. A peer can fill or empty gigabytes of
 * it, or write to it from memory that its own file server has to bring, as long as it likes.
 */
#ifndef VGPU_SEALER_H
#define VGPU_SEALER_H

/*
 * sealer_add() - fcntl(F_ADD_SEALS), which a thread calls
 * @fd: stays the caller's
 *
 * Whether the seals could be added is for F_GET_SEALS to say. Returns 0, -EBUSY when somebody holds
 * the file, or another negative errno. For a while after -EBUSY there is no other answer, so that
 * little time is lost however often a peer tries.
 */
int sealer_add(int fd, int seals);

#endif
