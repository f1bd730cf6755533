/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the sessions of one VM share with each other: device memory, by token. A session whose
 * executor hands memory over gets a token for it, which its guest's processes pass on, and another
 * session of the same VM gets the memory for the token. A token is random, means nothing in another
 * VM, and ends with its session or with its memory.
 *
 * What an executor hands over, a driver's handle or a descriptor, is for another executor to look
 * at. Here it is bytes.
 */
#ifndef VGPU_SESSION_SHARES_H
#define VGPU_SESSION_SHARES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "session-protocol.h"

/* For each session */
#define SESSION_SHARES_MAX 256u
#define SESSION_SHARES_WITH_FD_MAX 64u

typedef struct SessionShare SessionShare;

/* Of one VM; all zero: none yet */
typedef struct SessionShares {
    LIST_HEAD(, SessionShare) list;
} SessionShares;

/* session_shares_limit_fds() - the most descriptors that all VMs together may have here; 4096 at
 * first */
void session_shares_limit_fds(unsigned max);

/*
 * session_shares_add() - a session shares memory
 * @owner: the session
 * @m: kind, size and handle are used
 * @fd: of SESSION_SHARE_PHYSICAL, taken over in any case; -1 with the other kind
 *
 * Returns 0; -ENOSPC: it has as many as it may; or another negative errno.
 */
int session_shares_add(SessionShares *shares, const void *owner, const SessionShareMessage *m,
                       int fd, uint64_t ret_token[2]);

/*
 * session_shares_find() - what is behind a token
 * @m: kind and token are used
 * @ret: size and handle are filled in
 * @ret_fd: stays the table's; -1: there is none
 *
 * Returns 0, or -ENOENT when there is none of this kind.
 */
int session_shares_find(const SessionShares *shares, const SessionShareMessage *m,
                        SessionShareMessage *ret, int *ret_fd);

/* session_shares_remove() - the memory is freed. Does nothing where @owner has no such token */
void session_shares_remove(SessionShares *shares, const void *owner, const uint64_t token[2]);

/* session_shares_end() - a session ends */
void session_shares_end(SessionShares *shares, const void *owner);

#endif
