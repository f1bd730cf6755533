/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Descriptors that go through an AF_UNIX stream socket beside its bytes (SCM_RIGHTS). */
#ifndef VGPU_FD_PASSING_H
#define VGPU_FD_PASSING_H

#include <stddef.h>
#include <sys/types.h>

/* The most descriptors of one call, the kernel's own limit (SCM_MAX_FD). A receiver with room for
 * so many closes none in the call, which could block. */
#define FD_PASSING_MAX 253u

/*
 * fd_passing_send() - send(2), with descriptors at the first byte
 * @size: at least 1
 * @fds: @n of them; stay the caller's
 * @flags: as for send(2); MSG_NOSIGNAL is added
 *
 * Returns the bytes sent, which took all descriptors with them, or a negative errno.
 */
ssize_t fd_passing_send(int socket, const void *data, size_t size, const int fds[], unsigned n,
                        int flags);

/*
 * fd_passing_receive() - recv(2) without blocking, and the descriptors that come with it
 * @fds: room for @max; what is received goes behind the @n_fds that are there already, is closed
 *       on exec, and is the caller's
 * @n_fds: counts them, also on failure
 *
 * The kernel ends a read before the bytes of a second message with descriptors.
 *
 * Returns the bytes received, 0 at the end of the stream, or a negative errno: -EPROTO when
 * more descriptors came than there is room for, -EMFILE when this process may open no more.
 * The bytes of such a read are lost, and the descriptors that did fit are there.
 */
ssize_t fd_passing_receive(int socket, void *buf, size_t size, int fds[], unsigned max,
                           unsigned *n_fds);

#endif
