/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "parse.h"
#include "record.h"
#include "slot.h"
#include "vgpu-protocol.h"
#include "vgpu-ring.h"

#define RECORD_SIZE_MAX (3 * RECORD_TEXT_SIZE + 512)

/* A start takes less, even where libvirt waits for much. */
#define START_SEC_MAX 600

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

/* The record as text. Returns its length. */
static size_t record_print(const Record *record, char text[static RECORD_SIZE_MAX])
{
    char slot[SLOT_TEXT_SIZE];
    FILE *f = fmemopen(text, RECORD_SIZE_MAX, "we");
    size_t size;

    if (!f)
        return 0;
    if (record->registered)
        fprintf(f, "POOL=%c\nPRIORITY=%s\nVM_ID=%u\nWINDOW_SIZE=%" PRIu64 "\n", record->pool,
                vgpu_priority_to_string((uint32_t) record->priority), record->vm_id,
                record->window_size);
    if (record->name[0] != '\0')
        fprintf(f, "NAME=%s\n", record->name);
    fprintf(f, "MACHINE=%s\n", record->needs_machine ? "yes" : "no");
    if (record->loads_state)
        fprintf(f, "LOADS_STATE=yes\n");
    if (record->slot != SLOT_ANY)
        fprintf(f, "SLOT=%s\n", slot_print(record->slot, slot));
    if (record->emulator[0] != '\0')
        fprintf(f, "EMULATOR=%s\n", record->emulator);
    if (record->problem[0] != '\0')
        fprintf(f, "PROBLEM=%s\n", record->problem);
    size = (size_t) ftello(f);
    return fclose(f) == 0 ? size : 0;
}

int record_write(const char *directory, const char *uuid, const Record *record)
{
    char path[PATH_MAX], temporary[PATH_MAX], text[RECORD_SIZE_MAX];
    size_t size;
    int r;

    assert(record->registered || record->problem[0] != '\0');
    assert(!record->registered ||
           (vgpu_pool_is_valid((unsigned char) record->pool) && record->priority >= 0));

    r = record_path(path, sizeof(path), directory, uuid, "");
    if (r == 0)
        r = record_path(temporary, sizeof(temporary), directory, uuid, ".new");
    if (r == 0)
        r = make_directory(directory);
    if (r < 0)
        return r;

    size = record_print(record, text);
    if (size == 0)
        return -ENOMEM;
    (void) unlink(temporary); /* a hook that was killed may have left one */
    r = write_file(temporary, text, size);
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

enum {
    HAS_POOL = 1 << 0,
    HAS_PRIORITY = 1 << 1,
    HAS_VM_ID = 1 << 2,
    HAS_ALL = HAS_POOL | HAS_PRIORITY | HAS_VM_ID,
};

static int record_take_text(char buf[static RECORD_TEXT_SIZE], const char *value)
{
    if (strlen(value) >= RECORD_TEXT_SIZE)
        return -EBADMSG;
    strcpy(buf, value);
    return 0;
}

/* Takes one line. A newer hook may write keys that are not known here: they are passed over. */
static int record_take(Record *record, const char *key, const char *value, unsigned *has)
{
    if (strcmp(key, "POOL") == 0) {
        record->pool = value[0];
        *has |= HAS_POOL;
        return vgpu_pool_is_valid((unsigned char) value[0]) && value[1] == '\0' ? 0 : -EBADMSG;
    }
    if (strcmp(key, "PRIORITY") == 0) {
        record->priority = vgpu_priority_from_string(value);
        *has |= HAS_PRIORITY;
        return record->priority >= 0 ? 0 : -EBADMSG;
    }
    if (strcmp(key, "VM_ID") == 0) {
        *has |= HAS_VM_ID;
        return parse_u32(value, 0, UINT32_MAX, &record->vm_id);
    }
    if (strcmp(key, "WINDOW_SIZE") == 0)
        return parse_u64(value, 0, UINT64_MAX, &record->window_size);
    if (strcmp(key, "MACHINE") == 0)
        record->needs_machine = strcmp(value, "no") != 0;
    else if (strcmp(key, "LOADS_STATE") == 0)
        record->loads_state = strcmp(value, "yes") == 0;
    else if (strcmp(key, "SLOT") == 0)
        return slot_parse(value, &record->slot);
    else if (strcmp(key, "NAME") == 0)
        return record_take_text(record->name, value);
    else if (strcmp(key, "EMULATOR") == 0)
        return record_take_text(record->emulator, value);
    else if (strcmp(key, "PROBLEM") == 0)
        return record_take_text(record->problem, value);
    return 0;
}

static int record_parse(char *text, Record *ret)
{
    /* The record of a domain that was started by an older hook has only what is required. */
    Record record = {.window_size = VGPU_WINDOW_SIZE_DEFAULT, .slot = SLOT_ANY};
    char *rest = text, *line;
    unsigned has = 0;

    while ((line = strsep(&rest, "\n"))) {
        char *value = strchr(line, '=');

        if (!value)
            continue;
        *value++ = '\0';
        if (record_take(&record, line, value, &has) < 0)
            return -EBADMSG;
    }

    record.registered = has == HAS_ALL;
    if (!record.registered && (has != 0 || record.problem[0] == '\0'))
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

static bool record_is_old(int directory, const char *uuid)
{
    struct stat st;

    return fstatat(directory, uuid, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
           st.st_mtime < time(NULL) - START_SEC_MAX;
}

void record_tidy(const char *directory, uid_t owner,
                 bool (*is_running)(const char *name, const char *uuid))
{
    CLEANUP_CLOSEDIR DIR *dir = opendir(directory);
    const struct dirent *entry;
    Record record;

    while (dir && (entry = readdir(dir))) {
        char uuid[UUID_TEXT_SIZE];

        if (uuid_normalize(entry->d_name, uuid) && record_is_old(dirfd(dir), uuid) &&
            record_read(directory, uuid, owner, &record) == 0 && record.name[0] != '\0' &&
            !is_running(record.name, uuid))
            (void) record_remove(directory, uuid);
    }
}
