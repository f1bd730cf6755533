/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which libraries a program is given here. A path that a program or its wheel has in itself counts
 * for none of these: no such path has a driver's library. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "doctor.h"

/* In every library that is ours: by this it finds the mediator. No driver has it. */
#define OURS "VGPU_SOCKET"
/* In our libcuda.so.1, before its version and what it was made with */
#define MARK "vgpu-mediator libcuda "
#define MARK_RUNTIME " with the runtime"

enum { CUDA, NVML, CUDART_13, CUDART_12, N_LIBRARIES };

/* ---- A library's bytes ----------------------------------------------------------- */

typedef struct library_file {
    const char *bytes;
    size_t size;
} library_file;

static library_file library_map(const char *path)
{
    CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    void *bytes;

    if (fd < 0 || fstat(fd, &st) < 0 || st.st_size <= 0)
        return (library_file){0};
    bytes = mmap(NULL, (size_t) st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    return bytes == MAP_FAILED ? (library_file){0}
                               : (library_file){.bytes = bytes, .size = (size_t) st.st_size};
}

static void library_unmap(library_file *f)
{
    if (f->bytes)
        munmap((void *) f->bytes, f->size);
}

/* What stands behind @text up to a 0, or NULL. */
static const char *library_find(const library_file *f, const char *text)
{
    const char *at = f->bytes ? memmem(f->bytes, f->size, text, strlen(text)) : NULL;

    if (!at)
        return NULL;
    at += strlen(text);
    return memchr(at, '\0', f->size - (size_t) (at - f->bytes)) ? at : NULL;
}

static bool library_is_ours(const char *path)
{
    CLEANUP(library_unmap) library_file f = library_map(path);

    return library_find(&f, OURS) != NULL;
}

/* ---- Where the wrong one comes from ---------------------------------------------- */

/* Is the file in a directory of LD_LIBRARY_PATH, or of a library that LD_PRELOAD names? */
static const char *variable_of(const char *path)
{
    const char *list = getenv("LD_LIBRARY_PATH"), *preload = getenv("LD_PRELOAD");
    size_t directory = strrchr(path, '/') ? (size_t) (strrchr(path, '/') - path) : 0;

    if (preload && strstr(preload, path))
        return "LD_PRELOAD";
    while (list && *list) {
        size_t n = strcspn(list, ":;"), length = n;

        while (length > 1 && list[length - 1] == '/')
            length--;
        if (directory > 0 && length == directory && strncmp(list, path, length) == 0)
            return "LD_LIBRARY_PATH";
        list += n + (list[n] != '\0');
    }
    return NULL;
}

static void foreign_library(doctor *d, const char *what, doctor_state state,
                            const doctor_library *library)
{
    doctor_library without = {.name = library->name};
    const char *variable = variable_of(library->path);
    char mend[PATH_MAX + 256];

    if (variable)
        snprintf(mend, sizeof(mend), "take it out of %s", variable);
    else
        snprintf(mend, sizeof(mend),
                 "remove the package that has it ('dpkg -S %s'), install vgpu-guest, and run "
                 "'ldconfig'",
                 library->path);
    if (variable && doctor_find_libraries(&without, 1, false) == 0 && without.path[0] != '\0' &&
        library_is_ours(without.path))
        snprintf(mend, sizeof(mend), "take it out of %s; programs then find ours, %s", variable,
                 without.path);
    doctor_add(d, what, state, mend, "Programs are given %s for %s, which is not ours%s%s.",
               library->path, library->name, variable ? ": so says " : "",
               variable ? variable : "");
}

/* ---- What programs are given ------------------------------------------------------ */

#define INSTALL \
    "install the package vgpu-guest of the host's version; it is for any user's programs"

/* @version: behind the mark */
static void own_libcuda(doctor *d, const char *path, const char *version)
{
    size_t n = strcspn(version, " ");

    if (strlen(VGPU_MEDIATOR_VERSION) != n || strncmp(version, VGPU_MEDIATOR_VERSION, n) != 0)
        doctor_add(d, "libcuda", DOCTOR_WARN,
                   "install vgpu and libcuda.so.1 from one package, vgpu-guest",
                   "Programs are given %s, of version %.*s, and this is vgpu %s.", path, (int) n,
                   version, VGPU_MEDIATOR_VERSION);
    else if (strcmp(version + n, MARK_RUNTIME) != 0)
        doctor_add(d, "libcuda", DOCTOR_WARN,
                   "a build with the Meson option runtime_handshake; see vgpu-cuda(7)",
                   "Programs are given %s, which was built for programs of the driver API alone: "
                   "those of the CUDA runtime, PyTorch among them, end with error 103.",
                   path);
    else
        doctor_add(d, "libcuda", DOCTOR_OK, NULL, "Programs are given %s, which is ours.", path);
}

static void doctor_libcuda(doctor *d, const doctor_library *library)
{
    CLEANUP(library_unmap) library_file f = {0};

    if (library->path[0] == '\0') {
        doctor_add(d, "libcuda", DOCTOR_FAIL, INSTALL,
                   "There is no libcuda.so.1: programs say that there is no CUDA driver.");
        return;
    }
    f = library_map(library->path);
    if (library_find(&f, OURS) && library_find(&f, MARK))
        own_libcuda(d, library->path, library_find(&f, MARK));
    else
        foreign_library(d, "libcuda", DOCTOR_FAIL, library);
}

/* nvidia-smi and some frameworks ask it; few programs need it. */
static void doctor_nvml(doctor *d, const doctor_library *library)
{
    if (library->path[0] == '\0')
        doctor_add(
            d, "libnvml", DOCTOR_WARN, INSTALL,
            "There is no libnvidia-ml.so.1, which nvidia-smi and PyTorch ask about the GPU.");
    else if (library_is_ours(library->path))
        doctor_add(d, "libnvml", DOCTOR_OK, NULL, "Programs are given %s, which is ours.",
                   library->path);
    else
        foreign_library(d, "libnvml", DOCTOR_WARN, library);
}

/* A wheel brings a runtime of its own, which is not found here: the driver's line says what that
 * needs. */
static void doctor_runtime(doctor *d, const doctor_library *library, uint32_t version)
{
    uint32_t driver = __atomic_load_n(&d->driver_version, __ATOMIC_ACQUIRE);

    if (library->path[0] == '\0' || driver == 0 || driver / 1000 >= version / 1000)
        return;
    doctor_add(d, "runtime", DOCTOR_WARN,
               "programs, and wheels, that are made for the driver's CUDA or an older one; or "
               "NVIDIA's driver 580 or later on the host",
               "%s is newer than the host's driver: programs with it say that the driver is "
               "insufficient.",
               library->path);
}

void doctor_libraries(doctor *d)
{
    static const char *const names[N_LIBRARIES] = {
        [CUDA] = "libcuda.so.1",
        [NVML] = "libnvidia-ml.so.1",
        [CUDART_13] = "libcudart.so.13",
        [CUDART_12] = "libcudart.so.12",
    };
    CLEANUP_FREE doctor_library *libraries = calloc(N_LIBRARIES, sizeof(*libraries));
    int r = -ENOMEM;

    for (int i = 0; libraries && i < N_LIBRARIES; i++)
        libraries[i].name = names[i];
    if (libraries)
        r = doctor_find_libraries(libraries, N_LIBRARIES, true);
    if (r < 0) {
        doctor_add(d, "libcuda", DOCTOR_WARN,
                   "CUDA's programs are made for glibc: use a system, or a container, that has it",
                   "This system's loader does not say which libcuda.so.1 it takes.");
        return;
    }
    doctor_libcuda(d, &libraries[CUDA]);
    doctor_nvml(d, &libraries[NVML]);
    doctor_runtime(d, &libraries[CUDART_13], 13000);
    doctor_runtime(d, &libraries[CUDART_12], 12000);
}
