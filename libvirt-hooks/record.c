/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "parse.h"
#include "record.h"
#include "vgpu-protocol.h"

#define RECORD_SIZE_MAX 512

static int record_path(char *buf, size_t size, const char *directory, const char *uuid,
                       const char *suffix)
{
    int n = snprintf(buf, size, "%s/%s%s", directory, uuid, suffix);

    return n < 0 || (size_t) n >= size ? -ENAMETOOLONG : 0;
}

static int write_file(const char *path, const char *text, size_t size)
{
    CLEANUP_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    ssize_t n;

    if (fd < 0)
        return -errno;
    /* QEMU's user must be able to read it, whatever the umask is. */
    if (fchmod(fd, 0644) < 0)
        return -errno;
    n = write(fd, text, size);
    if (n < 0)
        return -errno;
    return (size_t) n == size ? 0 : -ENOSPC;
}

static int make_directory(const char *directory)
{
    if (mkdir(directory, 0755) < 0)
        return errno == EEXIST ? 0 : -errno;
    return chmod(directory, 0755) < 0 ? -errno : 0;
}

int record_write(const char *directory, const char *uuid, const Record *record)
{
    char path[PATH_MAX], temporary[PATH_MAX], text[RECORD_SIZE_MAX];
    int n, r;

    assert(vgpu_pool_is_valid((unsigned char) record->pool) && record->priority >= 0);

    r = record_path(path, sizeof(path), directory, uuid, "");
    if (r == 0)
        r = record_path(temporary, sizeof(temporary), directory, uuid, ".new");
    if (r == 0)
        r = make_directory(directory);
    if (r < 0)
        return r;

    n = snprintf(text, sizeof(text), "POOL=%c\nPRIORITY=%s\nVM_ID=%u\n", record->pool,
                 vgpu_priority_to_string((uint32_t) record->priority), record->vm_id);
    (void) unlink(temporary); /* a hook that was killed may have left one */
    r = write_file(temporary, text, (size_t) n);
    if (r == 0 && rename(temporary, path) < 0)
        r = -errno;
    if (r < 0)
        (void) unlink(temporary);
    return r;
}

static int record_open(const char *path, uid_t owner)
{
    CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct stat st;

    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode) || st.st_uid != owner || (st.st_mode & (S_IWGRP | S_IWOTH)))
        return -EPERM;
    if (st.st_size >= RECORD_SIZE_MAX)
        return -EBADMSG;

    return TAKE_FD(fd);
}

/* A newer hook may write keys that are not known here: they are passed over. */
static int record_parse(char *text, Record *ret)
{
    Record record = {.priority = -1};
    bool has_vm_id = false;
    char *rest = text, *line;

    while ((line = strsep(&rest, "\n"))) {
        char *value = strchr(line, '=');

        if (!value)
            continue;
        *value++ = '\0';
        if (strcmp(line, "POOL") == 0 && strlen(value) == 1)
            record.pool = value[0];
        else if (strcmp(line, "PRIORITY") == 0)
            record.priority = vgpu_priority_from_string(value);
        else if (strcmp(line, "VM_ID") == 0)
            has_vm_id = parse_u32(value, 0, UINT32_MAX, &record.vm_id) == 0;
    }

    if (!vgpu_pool_is_valid((unsigned char) record.pool) || record.priority < 0 || !has_vm_id)
        return -EBADMSG;
    *ret = record;
    return 0;
}

int record_read(const char *directory, const char *uuid, uid_t owner, Record *ret)
{
    char path[PATH_MAX], text[RECORD_SIZE_MAX];
    CLEANUP_CLOSE int fd = -1;
    ssize_t n;
    int r;

    r = record_path(path, sizeof(path), directory, uuid, "");
    if (r < 0)
        return r;
    fd = record_open(path, owner);
    if (fd < 0)
        return fd;

    n = read(fd, text, sizeof(text) - 1);
    if (n < 0)
        return -errno;
    if (memchr(text, '\0', (size_t) n))
        return -EBADMSG;
    text[n] = '\0';
    return record_parse(text, ret);
}

int record_remove(const char *directory, const char *uuid)
{
    char path[PATH_MAX];
    int r;

    r = record_path(path, sizeof(path), directory, uuid, "");
    if (r < 0)
        return r;
    return unlink(path) < 0 ? -errno : 0;
}
