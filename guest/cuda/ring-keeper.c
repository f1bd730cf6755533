/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ring-keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "session-rings.h"
#include "sysfs.h"
#include "vgpu-ring.h"

#define LOOK_NSEC (200 * (long) NSEC_PER_MSEC)
#define TURN_OFF_TIMEOUT_MS 5000
/* How many looks without any session before it ends */
#define IDLE_LOOKS 150

#ifndef VGPU_COMMAND_PATH
#define VGPU_COMMAND_PATH "/usr/bin/vgpu"
#endif

/* ---- The keeper --------------------------------------------------------------- */

/* Which rings have an owner: a bit each */
static uint32_t locked_rings(const vgpu_device *dev, uint32_t n)
{
    uint32_t locked = 0;

    for (uint32_t i = 1; i < n; i++)
        if (device_session_ring_is_locked(dev, i) == 1)
            locked |= UINT32_C(1) << i;
    return locked;
}

/* Keep the rings for as long as somebody has one, and some time longer. */
static void keep(vgpu_device *dev, uint32_t n)
{
    const struct timespec pause = {.tv_nsec = LOOK_NSEC};
    uint32_t before = UINT32_MAX;

    for (unsigned int idle = 0; idle < IDLE_LOOKS; idle++) {
        uint32_t locked = locked_rings(dev, n);

        if (before & ~locked &&
            session_rings_turn_off_dead(dev, deadline_after(TURN_OFF_TIMEOUT_MS)) == -ENODEV)
            return;
        before = locked;
        if (locked)
            idle = 0;
        nanosleep(&pause, NULL);
    }
}

void ring_keeper_run(vgpu_device *dev)
{
    uint32_t n = session_rings_count(dev);

    /* A process that takes a ring now sees the keeper's lock, or is seen here. */
    while (n > 1 && device_try_keeper(dev) == 0) {
        keep(dev, n);
        device_unlock_keeper(dev);
        n = session_rings_count(dev);
        if (locked_rings(dev, n) == 0)
            return;
    }
}

/* Behind those of the standard streams */
#define LOCK_FD 3

/* ---- Starting it -------------------------------------------------------------- */

/* In the copy: become a process that has nothing of the program's, and the device by itself. The
 * parent's locks belong to its open files: the copy must have others. */
__attribute__((noreturn)) static void become_keeper(vgpu_device *dev, const char *program,
                                                    int lock_fd)
{
    const char *const argv[] = {"vgpu", RING_KEEPER_COMMAND, dev->address, NULL};
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    int null_fd;

    setsid();
    sigaction(SIGHUP, &ignore, NULL);
    sigaction(SIGINT, &ignore, NULL);
    sigaction(SIGQUIT, &ignore, NULL);

    dup2(lock_fd, LOCK_FD);
    syscall(SYS_close_range, LOCK_FD + 1, ~0u, 0u);
    fcntl(LOCK_FD, F_SETFD, FD_CLOEXEC);
    null_fd = open("/dev/null", O_RDWR);
    for (int fd = 0; fd < LOCK_FD; fd++)
        dup2(null_fd, fd);
    if (program && chdir("/") == 0)
        execv(program, (char *const *) argv);
    dev->lock_fd = LOCK_FD;
    dev->session_ring = 0;
    dev->window_users = 0;
    dev->ring_locked = false;
    ring_keeper_run(dev);
    _exit(0);
}

/* Not fork(): that runs the program's handlers; and no signal when it ends, which would be the
 * program's. */
static pid_t copy_process(void)
{
    return (pid_t) syscall(SYS_clone, 0, NULL, NULL, NULL, 0);
}

int ring_keeper_start(vgpu_device *dev, const char *program)
{
    const vgpu_paths paths = device_paths(dev);
    bool is_usual = strcmp(paths_sysfs(&paths), paths_sysfs(NULL)) == 0;
    int lock_fd, status, r;
    pid_t pid;

    if (!program && is_usual) /* a vgpu command looks in no other place for devices */
        program = VGPU_COMMAND_PATH;
    r = device_keeper_is_locked(dev);
    if (r != 0)
        return r < 0 ? r : 0;

    lock_fd = sysfs_open(&paths, dev->address, "resource0", O_RDWR);
    if (lock_fd < 0)
        return lock_fd;
    pid = copy_process();
    if (pid == 0) {
        pid = copy_process();
        if (pid == 0)
            become_keeper(dev, program, lock_fd);
        _exit(pid < 0);
    }
    r = pid < 0 ? -errno : 0;
    close(lock_fd);
    while (pid > 0 && waitpid(pid, &status, __WALL) < 0 && errno == EINTR)
        ;
    return r;
}
