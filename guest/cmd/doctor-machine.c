/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What in this machine, this login and this environment programs stumble over. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "cuda-client.h"
#include "doctor.h"
#include "parse.h"

#define MIB (UINT64_C(1) << 20)
/* What containers have without an option, and too little for those who share tensors */
#define SHM_LOW (UINT64_C(128) * MIB)

/* ---- Kernel modules --------------------------------------------------------------- */

static void doctor_modules(doctor *d)
{
    static const char *const names[] = {"nvidia", "nouveau"};
    char path[2 * PATH_MAX];
    struct stat st;

    for (size_t i = 0; i < ELEMENTSOF(names); i++) {
        snprintf(path, sizeof(path), "%s/module/%s", d->sysfs, names[i]);
        if (stat(path, &st) == 0 && !d->is_container)
            doctor_add(d, "module", DOCTOR_WARN,
                       "unless this machine has a GPU of its own: remove NVIDIA's driver and "
                       "nouveau here",
                       "The kernel module %s is loaded; the GPU behind vgpu needs no driver here.",
                       names[i]);
    }
}

/* ---- Limits ------------------------------------------------------------------------ */

static void doctor_addresses(doctor *d)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
        doctor_add(d, "limits", DOCTOR_FAIL, "'ulimit -v unlimited', or LimitAS= of the unit",
                   "This login may have %" PRIu64 " MiB of addresses; a session reserves 5.5 TiB, "
                   "and no memory for them.",
                   (uint64_t) limit.rlim_cur / MIB);
}

/* By the socket a process makes its own window, in memory. */
static uint64_t window_size(void)
{
    const char *text = getenv("VGPU_WINDOW_SIZE");
    uint64_t size;

    return text && parse_u64(text, 1, VGPU_WINDOW_SIZE_MAX, &size) == 0
               ? size
               : VGPU_SESSION_WINDOW_DEFAULT;
}

static void doctor_memfd(doctor *d)
{
    int fd = memfd_create("vgpu-doctor", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd < 0 || ftruncate(fd, (off_t) window_size()) < 0)
        doctor_add(d, "window", DOCTOR_FAIL,
                   "'ulimit -f unlimited', or a smaller VGPU_WINDOW_SIZE; and a filter of system "
                   "calls that has memfd_create()",
                   "A process cannot make its window of %" PRIu64 " MiB: %s.", window_size() / MIB,
                   strerror(errno));
    else
        doctor_add(d, "window", DOCTOR_OK, NULL,
                   "Each process makes a window of %" PRIu64
                   " MiB; VGPU_WINDOW_SIZE is its size in bytes.",
                   window_size() / MIB);
    if (fd >= 0)
        close(fd);
}

/* The window of a process counts as its memory. */
static void doctor_memory_limit(doctor *d)
{
    char path[PATH_MAX], line[32] = "";
    FILE *file = fopen(doctor_path(d, "/sys/fs/cgroup/memory.max", path), "re");
    uint64_t max;

    if (file && !fgets(line, sizeof(line), file))
        line[0] = '\0';
    if (file)
        fclose(file);
    line[strcspn(line, "\n")] = '\0';
    if (parse_u64(line, 0, UINT64_MAX, &max) == 0 && max < 2 * window_size())
        doctor_add(d, "limits", DOCTOR_WARN,
                   "give the container more memory, or set a smaller VGPU_WINDOW_SIZE",
                   "This container may have %" PRIu64 " MiB of memory, and the window of each "
                   "process has up to %" PRIu64 ".",
                   max / MIB, window_size() / MIB);
}

static void doctor_shm(doctor *d)
{
    char path[PATH_MAX];
    struct statvfs st;

    if (statvfs(doctor_path(d, "/dev/shm", path), &st) == 0 &&
        (uint64_t) st.f_blocks * st.f_frsize < SHM_LOW)
        doctor_add(d, "limits", DOCTOR_WARN,
                   "start the container with --shm-size=1g, or --ipc=host",
                   "/dev/shm has %" PRIu64 " MiB: PyTorch's loaders of data, which share tensors "
                   "there, want more.",
                   (uint64_t) st.f_blocks * st.f_frsize / MIB);
}

/* ---- The environment ---------------------------------------------------------------- */

/* As the library reads it: the list ends at the first that is no device. */
static bool is_visible(const doctor *d, const char *list)
{
    size_t n = strcspn(list, ",");

    if (strncmp(list, "GPU-", 4) == 0)
        return __atomic_load_n(&d->driver_version, __ATOMIC_ACQUIRE) == 0 ||
               (n > 4 && strncmp(list, d->uuid, n) == 0);
    return n == 1 && list[0] == '0';
}

static void doctor_environment(doctor *d)
{
    const char *visible = getenv("CUDA_VISIBLE_DEVICES"), *size = getenv("VGPU_WINDOW_SIZE");
    uint64_t bytes;

    if (visible && !is_visible(d, visible))
        doctor_add(d, "environment", DOCTOR_FAIL, "'unset CUDA_VISIBLE_DEVICES'",
                   "CUDA_VISIBLE_DEVICES is '%s', which hides the GPU: there is one, of number 0.",
                   visible);
    if (size && parse_u64(size, 1, VGPU_WINDOW_SIZE_MAX, &bytes) < 0)
        doctor_add(d, "environment", DOCTOR_WARN, "a number of bytes, such as 536870912",
                   "VGPU_WINDOW_SIZE is '%s', which is no size, and has no effect.", size);
}

void doctor_machine(doctor *d)
{
    doctor_modules(d);
    doctor_addresses(d);
    if (d->socket) {
        doctor_memfd(d);
        doctor_memory_limit(d);
    }
    if (d->is_container)
        doctor_shm(d);
    doctor_environment(d);
}
