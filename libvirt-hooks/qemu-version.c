/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"
#include "qemu-version.h"

/* The version is in the first line. */
#define OUTPUT_MAX 256

int qemu_version_parse(const char *text, QEMUVersion *ret)
{
    QEMUVersion version;

    if (sscanf(text, "QEMU emulator version %u.%u.", &version.major, &version.minor) != 2)
        return -EBADMSG;
    *ret = version;
    return 0;
}

static int qemu_version_spawn(const char *path, int output, pid_t *ret_pid)
{
    char name[] = "qemu", option[] = "--version";
    char *const argv[] = {name, option, NULL};
    posix_spawn_file_actions_t actions;
    int r;

    r = posix_spawn_file_actions_init(&actions);
    if (r != 0)
        return -r;
    r = posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
    if (r == 0)
        r = posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
    if (r == 0)
        r = posix_spawn(ret_pid, path, &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    return -r;
}

/* Reads to the end, and keeps as much as there is room for. */
static int qemu_version_read(int fd, char *buf, size_t size)
{
    char rest[OUTPUT_MAX];
    size_t used = 0;
    ssize_t n;

    do {
        if (used < size - 1)
            n = read(fd, buf + used, size - 1 - used);
        else
            n = read(fd, rest, sizeof(rest));
        if (n > 0 && used < size - 1)
            used += (size_t) n;
    } while (n > 0 || (n < 0 && errno == EINTR));

    buf[used] = '\0';
    return n < 0 ? -errno : 0;
}

int qemu_version_ask(const char *path, QEMUVersion *ret)
{
    CLEANUP_CLOSE int in = -1, out = -1;
    char text[OUTPUT_MAX];
    int ends[2], r;
    pid_t pid;

    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    in = ends[0];
    out = ends[1];

    r = qemu_version_spawn(path, out, &pid);
    if (r < 0)
        return r;
    close(out);
    out = -1;
    r = qemu_version_read(in, text, sizeof(text));
    /* This fails if SIGCHLD was inherited as ignored, which does not matter. */
    (void) waitpid(pid, NULL, 0);
    return r < 0 ? r : qemu_version_parse(text, ret);
}
