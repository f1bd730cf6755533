/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session-watch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "session-list.h"
#include "transport.h"

#define ANSWER_TIMEOUT_MS 5000

struct session_watch {
    const vgpu_paths *paths;
    char name[sizeof(((transport *) NULL)->name)];
    transport *connection; /* by socket: kept from one look to the next; or NULL */
};

session_watch *session_watch_new(const vgpu_paths *paths, const char *name)
{
    session_watch *w = calloc(1, sizeof(*w));

    if (!w)
        return NULL;
    w->paths = paths;
    strncpy(w->name, name, sizeof(w->name) - 1);
    return w;
}

void session_watch_hang_up(session_watch *w)
{
    if (w->connection)
        w->connection->ops->close(w->connection);
    w->connection = NULL;
}

session_watch *session_watch_free(session_watch *w)
{
    if (w)
        session_watch_hang_up(w);
    free(w);
    return NULL;
}

/* ---- A device ------------------------------------------------------------------------------- */

/* The device is opened each time: by VFIO only one handle can have it. */
static int watch_look_at_device(const session_watch *w, session_use *ret)
{
    session_listed listed[VGPU_RINGS_MAX];
    vgpu_device *dev;
    uint32_t rings;
    int n, n_used = 0, r = vgpu_open(w->paths, w->name, &dev);

    if (r < 0)
        return r;
    n = session_list(dev, listed, &rings);
    vgpu_close(dev);
    for (int i = 0; i < n; i++) {
        if (listed[i].state != VGPU_RING_ON)
            continue;
        ret[n_used++] = (session_use){
            .id = listed[i].ring,
            .pid = listed[i].pid,
            .n_contexts = listed[i].n_contexts,
            .memory = listed[i].memory,
            .device_usec = listed[i].device_usec,
        };
    }
    return n < 0 ? n : n_used;
}

/* ---- A socket ------------------------------------------------------------------------------- */

static int watch_ask(session_watch *w, session_use *ret)
{
    const deadline until = deadline_after(ANSWER_TIMEOUT_MS);
    VGPUSessionListed listed[VGPU_LISTED_MAX];
    uint32_t after = 0, n_all = 0;
    int n;

    do {
        n = transport_socket_list(w->connection, after, until, listed);
        for (int i = 0; i < n && n_all < SESSION_WATCH_MAX; i++) {
            after = listed[i].id;
            ret[n_all++] = (session_use){
                .id = listed[i].id,
                .pid = listed[i].guest_pid,
                .n_contexts = listed[i].n_contexts,
                .memory = listed[i].memory,
                .device_usec = listed[i].device_usec,
            };
        }
    } while (n == (int) VGPU_LISTED_MAX && n_all < SESSION_WATCH_MAX);
    return n < 0 ? n : (int) n_all;
}

/* The mediator may have hung up since the last look: it does so when it is restarted, and to who
 * answers no PING. Then there is one more try. */
static int watch_look_by_socket(session_watch *w, session_use *ret)
{
    bool is_new = !w->connection;
    int r = 0;

    if (is_new)
        r = transport_socket_connect(w->name, deadline_after(ANSWER_TIMEOUT_MS), &w->connection);
    if (r != 0)
        return r < 0 ? r : -ECONNREFUSED;
    r = watch_ask(w, ret);
    if (r >= 0 || r == -EOPNOTSUPP)
        return r;
    session_watch_hang_up(w);
    return is_new ? r : watch_look_by_socket(w, ret);
}

int session_watch_look(session_watch *w, session_use ret[static SESSION_WATCH_MAX])
{
    unsigned domain, bus, device;

    return sscanf(w->name, "%x:%x:%x.", &domain, &bus, &device) == 3 ? watch_look_at_device(w, ret)
                                                                     : watch_look_by_socket(w, ret);
}
