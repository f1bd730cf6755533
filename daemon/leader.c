/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "leader.h"

#include <errno.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "cleanup.h"

/* From linux/magic.h of Linux 6.9. */
#define PIDFS_MAGIC 0x50494446

static int leader_open(pid_t pid)
{
    return (int) syscall(SYS_pidfd_open, pid, 0);
}

/* Before pidfs, the inode is the same for all processes. */
static uint64_t leader_inode(int fd)
{
    struct statfs fs;
    struct stat st;

    if (fstatfs(fd, &fs) < 0 || (unsigned long) fs.f_type != PIDFS_MAGIC || fstat(fd, &st) < 0)
        return 0;
    return st.st_ino;
}

Leader leader_of(pid_t pid)
{
    CLEANUP_CLOSE int fd = leader_open(pid);

    return (Leader){.pid = pid, .inode = fd < 0 ? 0 : leader_inode(fd)};
}

bool leader_has_ended(const Leader *leader)
{
    CLEANUP_CLOSE int fd = leader->pid ? leader_open(leader->pid) : -1;
    struct pollfd p = {.fd = fd, .events = POLLIN};

    if (leader->pid == 0)
        return false;
    if (fd < 0)
        return errno == ESRCH;
    if (leader->inode != 0 && leader_inode(fd) != leader->inode)
        return true;
    return poll(&p, 1, 0) > 0;
}
