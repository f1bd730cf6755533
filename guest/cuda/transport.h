/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How a session reaches the host: through a device of this virtual machine, or through the
 * mediator's socket. Both have a window, a doorbell and an interrupt; the rest of the library does
 * not know which it is.
 */
#ifndef VGPU_GUEST_TRANSPORT_H
#define VGPU_GUEST_TRANSPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "cuda-client.h"
#include "deadline.h"
#include "vgpu-ring.h"

typedef struct transport transport;

/* Why a session is over */
typedef struct transport_failure {
    uint32_t error;       /* VGPU_ERROR_* */
    uint32_t cuda_result; /* with VGPU_ERROR_CUDA_ERROR */
} transport_failure;

typedef struct transport_ops {
    /*
     * start() - turn the session's ring on, whose area is at @offset and complete
     *
     * Returns 0, 1 with @ret when the host refuses, -ETIMEDOUT, or another negative errno.
     */
    int (*start)(transport *t, uint64_t offset, deadline until, transport_failure *ret);

    /* doorbell() - wake the executor. For any thread. */
    void (*doorbell)(transport *t);

    /*
     * sleep() - sleep until the interrupt, until the eventfd @wake_fd is set, or until @until
     *
     * Without an interrupt it sleeps for at most @pause_nsec. For one thread at a time. Returns 0,
     * or a negative errno when sleeping has failed.
     */
    int (*sleep)(transport *t, int wake_fd, deadline until, uint64_t pause_nsec);

    /* map_over() - map the window's bytes from @offset on at @at, too, over what is there: whole
     * pages. For any thread. Returns 0 or a negative errno. */
    int (*map_over)(transport *t, uint64_t offset, uint64_t size, void *at);

    /* check() - is the session over? For any thread. Returns 0, or 1 with @ret. */
    int (*check)(transport *t, transport_failure *ret);

    /* stop() - turn the ring off, if it is on, and wait for the host to let go of the window. */
    void (*stop)(transport *t, deadline until);

    /* forget() - in a child of the process: close the descriptors, touch nothing else */
    void (*forget)(transport *t);

    /* close() - after stop() or forget(): give everything back, @t too */
    void (*close)(transport *t);
} transport_ops;

/* What every transport begins with */
struct transport {
    const transport_ops *ops;
    char name[112];
    uint8_t *window; /* mapped at an address that executors can have, too, unless it only asks */
    uint64_t window_size;
    bool is_write_combining;      /* only a full barrier orders stores in the window */
    int lock_fd;                  /* of the window's extents; -1: nobody else uses the window */
    int (*taken)(void *userdata); /* for share_init(); userdata is the transport */
};

/* transport_map_window() - have @map map the window at the first address that is free; -EEXIST of
 * it means that this one is not. Where a session only asks, that is anywhere, for which @map is
 * given NULL. Sets window and window_size. Returns 0, -EADDRINUSE, or another negative errno. */
int transport_map_window(transport *t, const vgpu_session_options *o, uint64_t size,
                         int (*map)(transport *t, uint64_t size, void *at, void **ret));

/* Open a transport; the window is mapped, the ring is off. Returns 0 or as vgpu_session_open(); the
 * socket's -ENOENT and -ECONNREFUSED say that there is no mediator. */
int transport_pci_open(const vgpu_session_options *o, deadline until, transport **ret);
int transport_socket_open(const char *path, const vgpu_session_options *o, deadline until,
                          transport **ret);

/* transport_socket_connect() - a connection without a window, for transport_socket_list() and
 * close(). Returns as transport_socket_open() */
int transport_socket_connect(const char *path, deadline until, transport **ret);

/* transport_socket_list() - SESSION_LIST. Returns how many there are, or a negative errno:
 * -EOPNOTSUPP when the mediator does not know it */
int transport_socket_list(transport *t, uint32_t after, deadline until,
                          VGPUSessionListed ret[static VGPU_LISTED_MAX]);

#endif
