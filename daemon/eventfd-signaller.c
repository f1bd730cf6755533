/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "eventfd-signaller.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Completed operations that may wait to be collected. */
#define EVENTS 64

struct EventfdSignaller {
    aio_context_t context;
    int null; /* /dev/null: to read it is complete at once */
    unsigned n_uncollected;
};

/* glibc has no wrappers for these. */
static long io_setup(unsigned n, aio_context_t *context)
{
    return syscall(SYS_io_setup, n, context);
}

static long io_destroy(aio_context_t context)
{
    return syscall(SYS_io_destroy, context);
}

static long io_submit(aio_context_t context, long n, struct iocb **operations)
{
    return syscall(SYS_io_submit, context, n, operations);
}

static long io_getevents(aio_context_t context, long min, long max, struct io_event *events)
{
    return syscall(SYS_io_getevents, context, min, max, events, NULL);
}

int eventfd_signaller_new(EventfdSignaller **ret)
{
    EventfdSignaller *s = calloc(1, sizeof(*s));
    int r;

    if (!s)
        return -ENOMEM;

    s->null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (s->null < 0 || io_setup(EVENTS, &s->context) < 0) {
        r = -errno;
        eventfd_signaller_free(s);
        return r;
    }

    *ret = s;
    return 0;
}

EventfdSignaller *eventfd_signaller_free(EventfdSignaller *s)
{
    if (!s)
        return NULL;

    if (s->context)
        (void) io_destroy(s->context);
    if (s->null >= 0)
        close(s->null);
    free(s);
    return NULL;
}

int eventfd_signaller_signal(EventfdSignaller *s, int fd)
{
    char nothing;
    struct iocb operation = {
        .aio_lio_opcode = IOCB_CMD_PREAD,
        .aio_fildes = (uint32_t) s->null,
        .aio_buf = (uintptr_t) &nothing,
        .aio_nbytes = sizeof(nothing),
        .aio_flags = IOCB_FLAG_RESFD,
        .aio_resfd = (uint32_t) fd,
    };
    struct iocb *operations = &operation;

    if (s->n_uncollected == EVENTS) {
        struct io_event events[EVENTS];
        long n = io_getevents(s->context, 0, EVENTS, events);

        if (n < 0)
            return -errno;
        s->n_uncollected -= (unsigned) n;
    }
    if (io_submit(s->context, 1, &operations) < 0)
        return -errno;
    s->n_uncollected++;
    return 0;
}
