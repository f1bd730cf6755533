/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session-shares.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "closer.h"

struct SessionShare {
    LIST_ENTRY(SessionShare) link;
    const void *owner;
    uint32_t kind;
    uint64_t token[2];
    uint64_t size;
    uint8_t handle[SESSION_SHARE_HANDLE_SIZE];
    int fd; /* -1: none */
};

static unsigned n_fds, n_fds_max = 4096;

void session_shares_limit_fds(unsigned max)
{
    n_fds_max = max;
}

static void session_share_free(SessionShare *share)
{
    LIST_REMOVE(share, link);
    if (share->fd >= 0)
        n_fds--;
    closer_close(share->fd);
    free(share);
}

static bool session_shares_have_room(const SessionShares *shares, const void *owner, bool with_fd)
{
    const SessionShare *share;
    unsigned n = 0, n_with_fd = 0;

    LIST_FOREACH(share, &shares->list, link)
    {
        n += share->owner == owner;
        n_with_fd += share->owner == owner && share->fd >= 0;
    }
    if (n >= SESSION_SHARES_MAX)
        return false;
    return !with_fd || (n_with_fd < SESSION_SHARES_WITH_FD_MAX && n_fds < n_fds_max);
}

int session_shares_add(SessionShares *shares, const void *owner, const SessionShareMessage *m,
                       int fd, uint64_t ret_token[2])
{
    CLEANUP_CLOSER int taken = fd;
    SessionShare *share;

    if (!session_shares_have_room(shares, owner, fd >= 0))
        return -ENOSPC;
    share = calloc(1, sizeof(*share));
    if (!share)
        return -ENOMEM;
    /* Never short for 16 bytes, and cannot fail once the pool is initialized. */
    if (getrandom(share->token, sizeof(share->token), 0) != sizeof(share->token)) {
        free(share);
        return -EIO;
    }
    share->owner = owner;
    share->kind = m->kind;
    share->size = m->size;
    memcpy(share->handle, m->handle, sizeof(share->handle));
    share->fd = taken;
    if (taken >= 0)
        n_fds++;
    taken = -1;
    LIST_INSERT_HEAD(&shares->list, share, link);
    memcpy(ret_token, share->token, sizeof(share->token));
    return 0;
}

static SessionShare *session_shares_get(const SessionShares *shares, const uint64_t token[2])
{
    SessionShare *share;

    LIST_FOREACH(share, &shares->list, link)
    {
        if (memcmp(share->token, token, sizeof(share->token)) == 0)
            return share;
    }
    return NULL;
}

int session_shares_find(const SessionShares *shares, const SessionShareMessage *m,
                        SessionShareMessage *ret, int *ret_fd)
{
    const SessionShare *share = session_shares_get(shares, m->token);

    if (!share || share->kind != m->kind)
        return -ENOENT;
    ret->size = share->size;
    memcpy(ret->handle, share->handle, sizeof(ret->handle));
    *ret_fd = share->fd;
    return 0;
}

void session_shares_remove(SessionShares *shares, const void *owner, const uint64_t token[2])
{
    SessionShare *share = session_shares_get(shares, token);

    if (share && share->owner == owner)
        session_share_free(share);
}

void session_shares_end(SessionShares *shares, const void *owner)
{
    SessionShare *share, *next;

    for (share = LIST_FIRST(&shares->list); share; share = next) {
        next = LIST_NEXT(share, link);
        if (share->owner == owner)
            session_share_free(share);
    }
}
