/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Linkers. All of it is the SLOW thread's. */
#ifndef VGPU_SESSION_SESSION_LINK_H
#define VGPU_SESSION_SESSION_LINK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "jit-options.h"
#include "session.h"

/* A session has so many at once, and what all of them were given has so many bytes: the driver
 * keeps copies. */
#define SESSION_LINKS_MAX 16u
#define SESSION_LINK_BYTES_MAX (UINT64_C(512) << 20)

typedef struct SessionLink {
    LIST_ENTRY(SessionLink) link;
    uint32_t id;
    uint32_t context;
    CUlinkState handle;
    JitLogs logs;       /* private; the driver writes there until the end */
    JitOptions options; /* likewise, and reads */
    uint64_t size;      /* bytes that it was given */
    bool is_complete;
    uint8_t key[32];      /* of the result */
    uint64_t result_size; /* bytes; 0: there is no image of it */
} SessionLink;

/* session_link_end() - take a linker out of everything, destroy it, and free it. Returns what the
 * driver says. */
CUresult session_link_end(Session *s, SessionLink *link);

/* session_link_free() - its memory; the driver is not called */
void session_link_free(SessionLink *link);

#endif
