/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Signals eventfds that others hold too, without ever blocking.
 *
 * write(2) blocks when the counter is full, unless O_NONBLOCK is set; but both are in the
 * hands of everybody who has the descriptor, so a QEMU that its guest has taken over
 * could stop the mediator. The kernel's own way to signal, which never waits, can be reached
 * through asynchronous I/O: an operation that is complete at once, and an eventfd to be told of
 * that (IOCB_FLAG_RESFD).
 */
#ifndef VGPU_EVENTFD_SIGNALLER_H
#define VGPU_EVENTFD_SIGNALLER_H

typedef struct EventfdSignaller EventfdSignaller;

/* eventfd_signaller_new() - returns 0 or a negative errno, -ENOSYS on a kernel without it */
int eventfd_signaller_new(EventfdSignaller **ret);

/* eventfd_signaller_free() - NULL is fine */
EventfdSignaller *eventfd_signaller_free(EventfdSignaller *s);

/* eventfd_signaller_signal() - add 1; returns 0 or a negative errno, -EINVAL for no eventfd */
int eventfd_signaller_signal(EventfdSignaller *s, int fd);

#endif
