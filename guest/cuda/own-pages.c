/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "own-pages.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cleanup.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

#define PAGEMAP_WRITE_PROTECTED (UINT64_C(1) << 57)
#define PAGEMAP_ENTRIES 256u

/* ---- What is mapped ---------------------------------------------------------------------------
 */

/* A line of /proc/self/maps */
typedef struct own_mapping {
    uint64_t begin, end, offset, inode;
    unsigned major, minor;
    char access[5];
    char path[64]; /* cut */
} own_mapping;

static void close_file(FILE **f)
{
    if (*f)
        fclose(*f);
}

static bool mapping_parse(const char *line, own_mapping *ret)
{
    *ret = (own_mapping){0};
    return sscanf(line, "%lx-%lx %4s %lx %x:%x %lu %63[^\n]", &ret->begin, &ret->end, ret->access,
                  &ret->offset, &ret->major, &ret->minor, &ret->inode, ret->path) >= 7;
}

/* Calls @look for each mapping that has bytes of the range, in order, until it returns false.
 * Returns whether the mappings fill the range, and @look has always returned true. */
static bool mappings_walk(uint64_t begin, uint64_t end,
                          bool (*look)(const own_mapping *m, void *userdata), void *userdata)
{
    CLEANUP(close_file) FILE *f = fopen("/proc/self/maps", "re");
    CLEANUP_FREE char *line = NULL;
    uint64_t at = begin;
    size_t room = 0;

    while (f && at < end && getline(&line, &room, f) > 0) {
        own_mapping m;

        if (!mapping_parse(line, &m))
            return false;
        if (m.end <= at)
            continue;
        if (m.begin > at || !look(&m, userdata))
            return false;
        at = m.end;
    }
    return at >= end;
}

/* Of what this thread cannot do without while it moves pages: its stack, and what is its own */
static bool is_of_this_thread(const void *memory, size_t size)
{
    const uintptr_t begin = (uintptr_t) memory;
    char here;

    return (uintptr_t) &here - begin < size || (uintptr_t) &errno - begin < size;
}

static bool mapping_is_plain(const own_mapping *m, void *userdata)
{
    (void) userdata;
    return strcmp(m->access, "rw-p") == 0 && m->inode == 0 &&
           (m->path[0] == '\0' || strcmp(m->path, "[heap]") == 0 ||
            strncmp(m->path, "[anon:", 6) == 0);
}

bool own_pages_are_movable(const void *memory, size_t size)
{
    const uint64_t begin = (uintptr_t) memory;

    return !is_of_this_thread(memory, size) &&
           mappings_walk(begin, begin + size, mapping_is_plain, NULL);
}

static bool mapping_first(const own_mapping *m, void *userdata)
{
    *(own_mapping *) userdata = *m;
    return true;
}

static bool mapping_of(const void *memory, own_mapping *ret)
{
    return mappings_walk((uintptr_t) memory, (uintptr_t) memory + 1, mapping_first, ret);
}

own_pages_share own_pages_map(const void *memory, size_t size, const void *window)
{
    const uint64_t begin = (uintptr_t) memory, page = (uint64_t) sysconf(_SC_PAGESIZE);
    uint64_t n = 0, n_same = 0;
    own_mapping file, m = {0};

    if (!mapping_of(window, &file))
        return OWN_PAGES_NONE;
    for (uint64_t at = 0; at < size; at += page, n++) {
        if (begin + at >= m.end && !mapping_of((const char *) memory + at, &m))
            continue;
        n_same += m.major == file.major && m.minor == file.minor && m.inode == file.inode &&
                  m.access[3] == 's' &&
                  m.offset + (begin + at - m.begin) ==
                      file.offset + ((uintptr_t) window - file.begin) + at;
    }
    return n_same == n ? OWN_PAGES_ALL : n_same > 0 ? OWN_PAGES_SOME : OWN_PAGES_NONE;
}

/* ---- Other threads ----------------------------------------------------------------------------
 */

static void close_directory(DIR **d)
{
    if (*d)
        closedir(*d);
}

static bool has_one_thread(void)
{
    CLEANUP(close_directory) DIR *tasks = opendir("/proc/self/task");
    const struct dirent *entry;
    unsigned n = 0;

    while (tasks && (entry = readdir(tasks)))
        n += entry->d_name[0] != '.';
    return n == 1;
}

/* Only what was there is protected. */
static int populate(const void *memory, size_t size)
{
    const size_t page = (size_t) sysconf(_SC_PAGESIZE);

    if (madvise((void *) memory, size, MADV_POPULATE_READ) == 0)
        return 0;
    for (size_t at = 0; at < size; at += page) /* a kernel before 5.14 */
        (void) ((const volatile char *) memory)[at];
    return 0;
}

/* Is every page protected? One that another thread has just given back is not. */
static bool are_protected(const void *memory, size_t size)
{
    const uint64_t page = (uint64_t) sysconf(_SC_PAGESIZE), n = size / page;
    CLEANUP_CLOSE int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    uint64_t entries[PAGEMAP_ENTRIES];

    for (uint64_t at = 0; at < n;) {
        const uint64_t some = n - at < PAGEMAP_ENTRIES ? n - at : PAGEMAP_ENTRIES;
        const ssize_t bytes = (ssize_t) (some * sizeof(entries[0]));

        if (fd < 0 ||
            pread(fd, entries, (size_t) bytes,
                  (off_t) (((uintptr_t) memory / page + at) * sizeof(entries[0]))) != bytes)
            return false;
        for (uint64_t i = 0; i < some; i++)
            if (!(entries[i] & PAGEMAP_WRITE_PROTECTED))
                return false;
        at += some;
    }
    return true;
}

/* Have all who write there wait until the descriptor is closed. Returns it, or a negative errno. */
static int hold_writes(void *memory, size_t size, uint64_t features)
{
    struct uffdio_api api = {.api = UFFD_API, .features = features};
    struct uffdio_register range = {
        .range = {(uintptr_t) memory, size},
        .mode = UFFDIO_REGISTER_MODE_WP,
    };
    struct uffdio_writeprotect protect = {
        .range = range.range,
        .mode = UFFDIO_WRITEPROTECT_MODE_WP,
    };
    CLEANUP_CLOSE int fd = (int) syscall(SYS_userfaultfd, O_CLOEXEC);
    int r;

    if (fd < 0 || ioctl(fd, UFFDIO_API, &api) < 0 || ioctl(fd, UFFDIO_REGISTER, &range) < 0)
        return -errno;
    r = populate(memory, size);
    if (r < 0)
        return r;
    if (ioctl(fd, UFFDIO_WRITEPROTECT, &protect) < 0)
        return -errno;
    return are_protected(memory, size) ? TAKE_FD(fd) : -EAGAIN;
}

/* ---- Moving -----------------------------------------------------------------------------------
 */

/* A handler of a signal could write there, in the very thread that holds writes back. */
static void block_signals(sigset_t *ret)
{
    sigset_t all;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, ret);
}

typedef struct own_move {
    void *memory;
    size_t size;
    void *to;
    int (*place)(void *userdata);
    void *userdata;
    bool force;
    uint64_t features;
} own_move;

static int move(const own_move *m)
{
    CLEANUP_CLOSE int held = hold_writes(m->memory, m->size, m->features);

    if (held < 0 && !m->force && !has_one_thread())
        return -EBUSY;
    memcpy(m->to, m->memory, m->size);
    return m->place(m->userdata);
}

static int move_undisturbed(const own_move *m)
{
    sigset_t before;
    int r;

    block_signals(&before);
    r = move(m);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return r;
}

int own_pages_replace(void *memory, size_t size, void *to, int (*place)(void *userdata),
                      void *userdata)
{
    return move_undisturbed(&(own_move){
        .memory = memory,
        .size = size,
        .to = to,
        .place = place,
        .userdata = userdata,
    });
}

static int place_private(void *userdata)
{
    const own_move *m = userdata;

    if (mremap(m->to, m->size, m->size, MREMAP_MAYMOVE | MREMAP_FIXED, m->memory) == MAP_FAILED)
        return -errno;
    return 0;
}

static void *private_new(size_t size)
{
    return mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

int own_pages_restore(void *memory, size_t size, bool force)
{
    own_move m = {
        .memory = memory,
        .size = size,
        .to = private_new(size),
        .place = place_private,
        .userdata = &m,
        .force = force,
        .features = UFFD_FEATURE_WP_HUGETLBFS_SHMEM,
    };
    int r;

    if (m.to == MAP_FAILED)
        return -errno;
    r = move_undisturbed(&m);
    if (r < 0)
        munmap(m.to, size);
    return r;
}

void own_pages_unshare(void *memory, size_t size)
{
    const size_t page = (size_t) sysconf(_SC_PAGESIZE);
    void *private = MAP_FAILED;
    unsigned char resident;

    for (size_t at = 0; at < size; at += page)
        if (mincore((char *) memory + at, page, &resident) < 0)
            return;
    private = private_new(size);
    if (private == MAP_FAILED)
        return;
    memcpy(private, memory, size);
    if (mremap(private, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, memory) == MAP_FAILED)
        munmap(private, size);
}
