/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the mediator tells about CUDA sessions. */
#ifndef VGPU_CTL_SESSION_INFO_H
#define VGPU_CTL_SESSION_INFO_H

#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-bus.h>

#include "table.h"

/* See org.vgpu.Mediator1(5). Times in µs. The command and the guest's process number are what the
 * guest says of itself. */
typedef struct SessionInfo {
    char *vm; /* its name */
    char *vm_path, *pool, *device, *command, *state;
    uint32_t id, ring, guest_pid, executor_pid, cuda_error;
    uint64_t started; /* CLOCK_REALTIME */
    uint64_t memory, memory_peak, images;
    uint64_t device_time, launches, operations, to_device, from_device;
} SessionInfo;

typedef struct SessionList {
    SessionInfo *sessions; /* by number */
    size_t n;
} SessionList;

/* Everything about a session, as columns of a table of SessionInfo, for JSON. */
#define SESSION_COLUMNS 20
extern const Column session_columns[SESSION_COLUMNS];

/*
 * session_list_get() - all sessions that there are
 * @ret: to be freed
 *
 * Returns 0, or a negative errno with @error set.
 */
int session_list_get(sd_bus *bus, sd_bus_error *error, SessionList **ret);

/* session_list_free() - takes NULL. Returns NULL */
SessionList *session_list_free(SessionList *l);

static inline void cleanup_session_list(SessionList **l)
{
    session_list_free(*l);
}

#endif
