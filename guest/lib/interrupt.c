/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "interrupt.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"

int interrupt_unmask(const interrupt *i)
{
    uint16_t command;
    ssize_t n;

    if (!interrupt_is_level(i))
        return 0;

    n = pread(i->config_fd, &command, sizeof(command), PCI_COMMAND);
    if (n != sizeof(command))
        return n < 0 ? -errno : -EIO;
    if (!(command & PCI_COMMAND_INTX_DISABLE))
        return 0;

    command &= (uint16_t) ~PCI_COMMAND_INTX_DISABLE;
    n = pwrite(i->config_fd, &command, sizeof(command), PCI_COMMAND);
    if (n != sizeof(command))
        return n < 0 ? -errno : -EIO;
    return 0;
}

/* Read the number of interrupts so far, which marks them as seen. The number is of no use: the
 * device says what has happened. /dev/uioN wants a read of 32 bits, an eventfd one of 64. */
static int interrupt_read(const interrupt *i)
{
    size_t size = interrupt_is_level(i) ? sizeof(uint32_t) : sizeof(uint64_t);
    uint64_t count;
    ssize_t n = read(i->fd, &count, size);

    if (n != (ssize_t) size)
        return n < 0 ? -errno : -EIO;
    return 0;
}

int interrupt_sleep(const interrupt *i, int wake_fd, deadline until)
{
    struct pollfd fds[] = {
        {.fd = i->fd, .events = POLLIN},
        {.fd = wake_fd, .events = POLLIN},
    };
    uint64_t wakes;
    int r;

    do {
        uint64_t left = deadline_left(until, now_nsec());
        struct timespec ts = {
            .tv_sec = (time_t) (left / NSEC_PER_SEC),
            .tv_nsec = (long) (left % NSEC_PER_SEC),
        };

        r = ppoll(fds, ELEMENTSOF(fds), until == DEADLINE_NEVER ? NULL : &ts, NULL);
    } while (r < 0 && errno == EINTR);
    if (r < 0)
        return -errno;
    if (r == 0)
        return -ETIMEDOUT;

    if (fds[1].revents && read(wake_fd, &wakes, sizeof(wakes)) < 0 && errno != EAGAIN)
        return -errno;
    return fds[0].revents ? interrupt_read(i) : 1;
}

void interrupt_close(interrupt *i)
{
    if (i->fd >= 0)
        close(i->fd);
    if (i->config_fd >= 0)
        close(i->config_fd);
    *i = INTERRUPT_CLOSED;
}
