/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check: the GPU and its driver, QEMU and its plugin, libvirt's hook, AppArmor. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "hooks-config.h"
#include "parse.h"
#include "qemu-version.h"

#define DRIVER_MIN 550u /* README: Requirements */
#define HOOK_PATH "/etc/libvirt/hooks/qemu.d/50-vgpu-mediator"
#define APPARMOR_RULES "/etc/apparmor.d/abstractions/libvirt-qemu.d/vgpu-mediator"
#define APPARMOR_LIBVIRT "/etc/apparmor.d/abstractions/libvirt-qemu"
#define APPARMOR_LOCAL "/etc/apparmor.d/local/abstractions/libvirt-qemu"

/* Reads a small file as a string without the newline at its end. Returns false without one. */
static bool read_line(const Check *c, const char *path, char *buffer, size_t size)
{
    char whole[PATH_MAX];
    FILE *f = fopen(check_path(c, path, whole), "re");
    bool there = f && fgets(buffer, (int) size, f);

    if (f)
        fclose(f);
    if (there)
        buffer[strcspn(buffer, "\n")] = '\0';
    return there;
}

static bool exists(const Check *c, const char *path)
{
    char whole[PATH_MAX];
    struct stat st;

    return stat(check_path(c, path, whole), &st) == 0;
}

/* ---- The GPU ------------------------------------------------------------------------------ */

/* Is there a display or compute device of NVIDIA's on the PCI bus? */
static bool find_gpu(const Check *c)
{
    char path[PATH_MAX], file[PATH_MAX], text[32];
    CLEANUP_CLOSEDIR DIR *devices = opendir(check_path(c, "/sys/bus/pci/devices", path));
    const struct dirent *d;

    while (devices && (d = readdir(devices))) {
        snprintf(file, sizeof(file), "/sys/bus/pci/devices/%s/vendor", d->d_name);
        if (!read_line(c, file, text, sizeof(text)) || strcmp(text, "0x10de") != 0)
            continue;
        snprintf(file, sizeof(file), "/sys/bus/pci/devices/%s/class", d->d_name);
        if (read_line(c, file, text, sizeof(text)) && strncmp(text, "0x03", 4) == 0)
            return true;
    }
    return false;
}

/* /dev/nvidia0, or another number. */
static bool has_gpu_node(const Check *c)
{
    char path[PATH_MAX];
    CLEANUP_CLOSEDIR DIR *dev = opendir(check_path(c, "/dev", path));
    const struct dirent *d;

    while (dev && (d = readdir(dev)))
        if (strncmp(d->d_name, "nvidia", 6) == 0 && isdigit((unsigned char) d->d_name[6]))
            return true;
    return false;
}

void check_gpu(Check *c)
{
    char version[64];
    unsigned major;

    if (!find_gpu(c)) {
        check_add(c, "gpu", FINDING_NOTE, NULL,
                  "There is no NVIDIA GPU: pools compute on the CPU.");
        return;
    }
    if (!read_line(c, "/sys/module/nvidia/version", version, sizeof(version))) {
        check_add(c, "gpu", FINDING_PROBLEM, "apt install nvidia-driver, and then modprobe nvidia",
                  "There is an NVIDIA GPU, and its driver is not loaded.");
        return;
    }
    if (sscanf(version, "%u", &major) != 1 || major < DRIVER_MIN)
        check_add(c, "gpu", FINDING_PROBLEM, "install a newer driver",
                  "NVIDIA's driver is version %s, and must be %u or later.", version, DRIVER_MIN);
    else if (!exists(c, "/dev/nvidiactl") || !has_gpu_node(c))
        check_add(c, "gpu", FINDING_PROBLEM, "nvidia-modprobe -c 0",
                  "NVIDIA's driver is loaded, and its devices /dev/nvidiactl and /dev/nvidia0 are "
                  "not there.");
    else if (!exists(c, "/dev/nvidia-uvm"))
        check_add(c, "gpu", FINDING_PROBLEM, "nvidia-modprobe -c 0 -u",
                  "NVIDIA's driver is loaded, and /dev/nvidia-uvm, which CUDA needs, is not "
                  "there.");
    else {
        check_add(c, "gpu", FINDING_OK, NULL, "NVIDIA's driver %s is loaded.", version);
        c->has_gpu = true;
    }
}

/* ---- QEMU --------------------------------------------------------------------------------- */

void check_plugin(Check *c)
{
    char path[PATH_MAX], plugin[PATH_MAX], mend[128];
    QEMUVersion version;
    int r;

    if (access(check_path(c, LAUNCHER_PATH, path), X_OK) < 0)
        check_add(c, "plugin", FINDING_PROBLEM, "install vgpu-mediator again",
                  "The launcher %s, which adds the device, cannot be run: %s.", LAUNCHER_PATH,
                  strerror(errno));
    r = qemu_version_ask(check_path(c, QEMU_PATH, path), &version);
    if (r < 0) {
        check_add(c, "plugin", FINDING_PROBLEM, "apt install qemu-system-x86",
                  "The version of %s is not known: %s.", QEMU_PATH,
                  r == -EBADMSG ? "it does not say" : strerror(-r));
        return;
    }

    snprintf(plugin, sizeof(plugin), "%s/qemu-%u.%u/vgpu-stub.so", PLUGIN_DIR, version.major,
             version.minor);
    if (exists(c, plugin)) {
        check_add(c, "plugin", FINDING_OK, NULL, "There is a plugin for QEMU %u.%u, %s.",
                  version.major, version.minor, plugin);
        return;
    }
    snprintf(mend, sizeof(mend), "build and install the plugin for QEMU %u.%u, see README.md",
             version.major, version.minor);
    check_add(c, "plugin", FINDING_PROBLEM, mend,
              "There is no plugin for QEMU %u.%u, which is installed: VMs start without their "
              "device. It would be %s.",
              version.major, version.minor, plugin);
}

/* ---- The hook ----------------------------------------------------------------------------- */

/* When the system booted, in seconds of the real-time clock. */
static bool read_boot_time(const Check *c, uint64_t *ret)
{
    char path[PATH_MAX], line[4096];
    FILE *f = fopen(check_path(c, "/proc/stat", path), "re");
    bool found = false;

    while (f && !found && fgets(line, sizeof(line), f))
        found = sscanf(line, "btime %" SCNu64, ret) == 1;
    if (f)
        fclose(f);
    return found;
}

/*
 * When a daemon of libvirt started, in seconds of the real-time clock. Its file in /run may be
 * one that it has left behind, so the process must have its name.
 */
static bool read_start_time(const Check *c, const char *daemon, uint64_t *ret)
{
    char path[64], text[4096];
    const char *fields;
    uint64_t boot, ticks;
    uint32_t pid;

    snprintf(path, sizeof(path), "/run/%s.pid", daemon);
    if (!read_line(c, path, text, sizeof(text)) || parse_u32(text, 1, UINT32_MAX, &pid) < 0)
        return false;
    snprintf(path, sizeof(path), "/proc/%" PRIu32 "/stat", pid);
    if (!read_line(c, path, text, sizeof(text)) || !read_boot_time(c, &boot))
        return false;

    /* PID (NAME) STATE …; the start is the 22nd field. */
    fields = strrchr(text, ')');
    if (!fields || !strstr(text, daemon))
        return false;
    if (sscanf(fields + 1,
               " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d "
               "%" SCNu64,
               &ticks) != 1)
        return false;
    *ret = boot + ticks / (uint64_t) sysconf(_SC_CLK_TCK);
    return true;
}

static void check_hook_seen(Check *c, const struct stat *hook)
{
    static const char *const daemons[] = {"libvirtd", "virtqemud"};
    bool running = false;
    uint64_t start;

    for (size_t i = 0; i < ELEMENTSOF(daemons); i++) {
        char mend[64];

        if (!read_start_time(c, daemons[i], &start))
            continue;
        running = true;
        snprintf(mend, sizeof(mend), "systemctl restart %s; running VMs do not notice", daemons[i]);
        if (start < (uint64_t) hook->st_ctim.tv_sec)
            check_add(c, "hook", FINDING_PROBLEM, mend,
                      "%s has run since before the hook was installed, and may not know it.",
                      daemons[i]);
        else
            check_add(c, "hook", FINDING_OK, NULL, "%s knows the hook.", daemons[i]);
    }
    if (!running)
        check_add(c, "hook", FINDING_OK, NULL,
                  "libvirt does not run, and looks for hooks when it starts.");
}

void check_hook(Check *c)
{
    char path[PATH_MAX];
    struct stat st;

    if (stat(check_path(c, HOOK_PATH, path), &st) < 0) {
        check_add(c, "hook", FINDING_PROBLEM,
                  "install vgpu-mediator again, and then systemctl restart libvirtd",
                  "libvirt's hook %s is not there: no domain is registered.", HOOK_PATH);
        return;
    }
    if (!S_ISREG(st.st_mode) || !(st.st_mode & 0100)) {
        check_add(c, "hook", FINDING_PROBLEM, "chmod 755 " HOOK_PATH,
                  "libvirt's hook %s cannot be run.", HOOK_PATH);
        return;
    }
    check_add(c, "hook", FINDING_OK, NULL, "libvirt's hook is installed.");
    check_hook_seen(c, &st);
}

/* ---- AppArmor ----------------------------------------------------------------------------- */

/* Does the file at @path include the directory that our rules are in? */
static bool includes_ours(const Check *c, const char *path)
{
    char whole[PATH_MAX], line[1024];
    FILE *f = fopen(check_path(c, path, whole), "re");
    bool found = false;

    while (f && !found && fgets(line, sizeof(line), f)) {
        const char *word = line + strspn(line, " \t");

        word += *word == '#'; /* #include is the older way to say it, and no comment */
        found = strncmp(word, "include ", 8) == 0 && strstr(word, "<abstractions/libvirt-qemu.d>");
    }
    if (f)
        fclose(f);
    return found;
}

void check_apparmor(Check *c)
{
    char enabled[8], path[PATH_MAX];

    if (!read_line(c, "/sys/module/apparmor/parameters/enabled", enabled, sizeof(enabled)) ||
        strcmp(enabled, "Y") != 0) {
        check_add(c, "apparmor", FINDING_OK, NULL, "AppArmor is not on.");
        return;
    }
    if (!exists(c, APPARMOR_LIBVIRT) && !exists(c, APPARMOR_LOCAL))
        check_add(c, "apparmor", FINDING_OK, NULL, "There are no profiles for libvirt's VMs.");
    else if (access(check_path(c, APPARMOR_RULES, path), R_OK) < 0)
        check_add(c, "apparmor", FINDING_PROBLEM, "install vgpu-mediator again",
                  "AppArmor is on, and the rules for VMs with the device, %s, are not there.",
                  APPARMOR_RULES);
    else if (!includes_ours(c, APPARMOR_LIBVIRT) && !includes_ours(c, APPARMOR_LOCAL))
        check_add(c, "apparmor", FINDING_PROBLEM,
                  "echo 'include <abstractions/libvirt-qemu.d>' >>" APPARMOR_LOCAL,
                  "AppArmor is on, and no profile of a VM includes %s.", APPARMOR_RULES);
    else
        check_add(c, "apparmor", FINDING_OK, NULL, "The profiles of VMs include %s.",
                  APPARMOR_RULES);
}
