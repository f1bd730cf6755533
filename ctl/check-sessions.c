/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check: what CUDA sessions need: the unit of their executors, and a GPU that several processes may
 * use. */
#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "names.h"

#define EXECUTOR_UNIT "vgpu-executor.socket"
#define NVIDIA_SMI "/usr/bin/nvidia-smi"
#define DEFAULT_MODE "Default"

/* What an administrator has put into /etc goes before what is installed. */
static const char *const unit_directories[] = {
    "/etc/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
};

typedef enum UnitState {
    UNIT_MISSING,
    UNIT_MASKED, /* a link to /dev/null, or an empty file */
    UNIT_THERE,
} UnitState;

static UnitState find_unit(const Check *c)
{
    char name[PATH_MAX], path[PATH_MAX], target[PATH_MAX];

    for (size_t i = 0; i < ELEMENTSOF(unit_directories); i++) {
        struct stat st;
        ssize_t n;

        snprintf(name, sizeof(name), "%s/" EXECUTOR_UNIT, unit_directories[i]);
        if (lstat(check_path(c, name, path), &st) < 0)
            continue;
        n = S_ISLNK(st.st_mode) ? readlink(path, target, sizeof(target) - 1) : 0;
        target[n > 0 ? n : 0] = '\0';
        return strcmp(target, "/dev/null") == 0 || (S_ISREG(st.st_mode) && st.st_size == 0)
                   ? UNIT_MASKED
                   : UNIT_THERE;
    }
    return UNIT_MISSING;
}

/* Without the unit there are sessions all the same, and less between them and the mediator. */
static void check_unit(Check *c)
{
    UnitState state = find_unit(c);
    char path[PATH_MAX];
    struct stat st;

    if (state != UNIT_THERE)
        check_add(c, "session", FINDING_NOTE,
                  state == UNIT_MASKED ? "systemctl unmask " EXECUTOR_UNIT
                                       : "install vgpu-mediator again",
                  EXECUTOR_UNIT " is %s: executors of CUDA sessions run in the mediator's own "
                                "sandbox, as its user.",
                  state == UNIT_MASKED ? "masked" : "not installed");
    else if (stat(check_path(c, VGPU_EXECUTOR_SOCKET, path), &st) < 0 || !S_ISSOCK(st.st_mode))
        check_add(c, "session", FINDING_NOTE,
                  "where the mediator runs already: systemctl start " EXECUTOR_UNIT,
                  "There is no socket " VGPU_EXECUTOR_SOCKET
                  " for executors of CUDA sessions; it comes with the mediator's start.");
    else
        check_add(c, "session", FINDING_OK, NULL,
                  "Executors of CUDA sessions are units of their own.");
}

/* A line is a GPU's number, and its mode: "0, Default". Returns whether one has another mode. */
static bool check_mode(Check *c, char *line)
{
    char *mode = strstr(line, ", "), mend[64];

    line[strcspn(line, "\n")] = '\0';
    if (!mode || !isdigit((unsigned char) *line))
        return false;
    *mode = '\0';
    mode += 2;
    if (strcmp(mode, DEFAULT_MODE) == 0)
        return false;
    snprintf(mend, sizeof(mend), "nvidia-smi -i %.10s -c DEFAULT", line);
    check_add(
        c, "session", FINDING_NOTE, mend,
        "GPU %s is in compute mode %s: no CUDA session can be opened beside the executor of a "
        "pool.",
        line, mode);
    return true;
}

/* The driver tells this nowhere but by its library. */
static void check_modes(Check *c)
{
    char path[PATH_MAX], command[PATH_MAX + 128], line[256];
    bool other = false;
    FILE *f;

    if (!c->has_gpu || access(check_path(c, NVIDIA_SMI, path), X_OK) < 0)
        return;
    if (strchr(path, '\''))
        return; /* of a root, by its name; the shell would take that for an end */
    snprintf(command, sizeof(command),
             "exec '%s' --query-gpu=index,compute_mode --format=csv,noheader 2>/dev/null", path);
    f = popen(command, "re");
    while (f && fgets(line, sizeof(line), f))
        other |= check_mode(c, line);
    if (f && pclose(f) == 0 && !other)
        check_add(c, "session", FINDING_OK, NULL, "Several processes may use each GPU.");
}

void check_sessions(Check *c)
{
    check_unit(c);
    check_modes(c);
}

void check_pool_sessions(Check *c, const PoolInfo *pool)
{
    if (strcmp(pool->backend, "cuda") == 0)
        check_add(c, "session", FINDING_OK, NULL, "Pool %s has a GPU for CUDA sessions.",
                  pool->object.name);
    else if (strcmp(pool->backend, "cpu") == 0)
        check_add(c, "session", FINDING_OK, NULL, "Pool %s has no GPU, and refuses CUDA sessions.",
                  pool->object.name);
}
