/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check: the mediator's socket, its state, its name on the bus, its pools. */
#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/un.h>
#include <unistd.h>

#include "check.h"
#include "names.h"
#include "snapshot.h"

#define SOCKET_PATH "/run/vgpu/mediator.sock"
#define SOCKET_UNIT "vgpu-mediator.socket"
#define STATE_DIRECTORY "/var/lib/vgpu-mediator"
#define SERVICE_UNIT "vgpu-mediator.service"
#define SERVICE_USER "vgpu"
#define QEMU_USER "libvirt-qemu"
#define RESTART_SOCKET "systemctl restart " SOCKET_UNIT
#define CREATE_STATE "systemd-tmpfiles --create vgpu-mediator.conf"
#define RESTART_SERVICE ", and then systemctl restart vgpu-mediator"
#define UNIT_MASKED "org.freedesktop.systemd1.UnitMasked"
#define LOOK_AT_JOURNAL "journalctl -u vgpu-mediator tells why"

static void cleanup_file(FILE **f)
{
    if (*f)
        fclose(*f);
}

/* ---- Users and groups, below the root ------------------------------------------------------ */

static bool find_user(const Check *c, const char *name, uid_t *ret_uid, gid_t *ret_gid)
{
    char path[PATH_MAX];
    CLEANUP(cleanup_file) FILE *f = fopen(check_path(c, "/etc/passwd", path), "re");
    struct passwd *user;

    while (f && (user = fgetpwent(f)))
        if (strcmp(user->pw_name, name) == 0) {
            *ret_uid = user->pw_uid;
            *ret_gid = user->pw_gid;
            return true;
        }
    return false;
}

/* Is a user with this primary group in the group @gid? */
static bool is_in_group(const Check *c, const char *user, gid_t primary, gid_t gid)
{
    char path[PATH_MAX];
    CLEANUP(cleanup_file) FILE *f = fopen(check_path(c, "/etc/group", path), "re");
    struct group *group;

    if (primary == gid)
        return true;
    while (f && (group = fgetgrent(f)))
        for (char **member = group->gr_mem; group->gr_gid == gid && *member; member++)
            if (strcmp(*member, user) == 0)
                return true;
    return false;
}

/* ---- The socket --------------------------------------------------------------------------- */

/* Is the socket's unit a link to /dev/null, so that systemd starts it for nobody? */
static bool socket_is_masked(const Check *c)
{
    static const char *const units[] = {
        "/etc/systemd/system/" SOCKET_UNIT,
        "/run/systemd/system/" SOCKET_UNIT,
    };
    char path[PATH_MAX], target[PATH_MAX];

    for (size_t i = 0; i < ELEMENTSOF(units); i++) {
        ssize_t n = readlink(check_path(c, units[i], path), target, sizeof(target) - 1);

        if (n < 0)
            continue;
        target[n] = '\0';
        if (strcmp(target, "/dev/null") == 0)
            return true;
    }
    return false;
}

static void check_socket_enabled(Check *c)
{
    static const char *const links[] = {
        "/etc/systemd/system/sockets.target.wants/" SOCKET_UNIT,
        "/usr/lib/systemd/system/sockets.target.wants/" SOCKET_UNIT,
    };
    char path[PATH_MAX];
    struct stat st;

    if (socket_is_masked(c)) {
        check_add(c, "socket", FINDING_PROBLEM,
                  "systemctl unmask " SOCKET_UNIT ", and then systemctl enable --now " SOCKET_UNIT,
                  "%s is masked: nothing starts it.", SOCKET_UNIT);
        return;
    }
    for (size_t i = 0; i < ELEMENTSOF(links); i++)
        if (lstat(check_path(c, links[i], path), &st) == 0) {
            check_add(c, "socket", FINDING_OK, NULL, "%s is enabled.", SOCKET_UNIT);
            return;
        }
    check_add(c, "socket", FINDING_PROBLEM, "systemctl enable --now " SOCKET_UNIT,
              "%s is not enabled: after the next boot no VM reaches the mediator.", SOCKET_UNIT);
}

/* Returns 0, or a negative errno. */
static int try_to_connect(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    CLEANUP_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return -errno;
    if (strlen(path) >= sizeof(address.sun_path))
        return -ENAMETOOLONG;
    strcpy(address.sun_path, path);
    return connect(fd, (const struct sockaddr *) &address, sizeof(address)) < 0 ? -errno : 0;
}

static void check_socket_listens(Check *c, const char *path)
{
    int r = try_to_connect(path);

    if (r == -EACCES)
        check_add(c, "socket", FINDING_NOTE, "run vgpuctl check as root",
                  "You may not connect to %s, so whether the mediator listens is not known.",
                  SOCKET_PATH);
    else if (r == -ECONNREFUSED)
        check_add(c, "socket", FINDING_PROBLEM, RESTART_SOCKET, "Nobody listens on %s.",
                  SOCKET_PATH);
    else if (r < 0)
        check_add(c, "socket", FINDING_PROBLEM, LOOK_AT_JOURNAL, "Cannot connect to %s: %s.",
                  SOCKET_PATH, strerror(-r));
    else
        check_add(c, "socket", FINDING_OK, NULL, "The mediator listens on %s.", SOCKET_PATH);
}

static void check_socket_access(Check *c, const struct stat *st)
{
    uid_t uid;
    gid_t gid;

    if (!find_user(c, QEMU_USER, &uid, &gid)) {
        check_add(c, "socket", FINDING_NOTE, NULL,
                  "There is no user %s, as whom libvirt would run QEMU.", QEMU_USER);
        return;
    }
    if ((st->st_mode & 0006) == 0006 ||
        ((st->st_mode & 0060) == 0060 && is_in_group(c, QEMU_USER, gid, st->st_gid)))
        check_add(c, "socket", FINDING_OK, NULL, "libvirt's QEMU may connect to it.");
    else
        check_add(c, "socket", FINDING_PROBLEM,
                  "usermod -aG kvm " QEMU_USER ", or SocketGroup= and SocketMode=0660 by "
                  "systemctl edit " SOCKET_UNIT,
                  "libvirt's QEMU, user %s, may not connect to %s, which has the mode %04o.",
                  QEMU_USER, SOCKET_PATH, st->st_mode & 07777);
}

void check_socket(Check *c)
{
    char path[PATH_MAX];
    struct stat st;

    check_socket_enabled(c);
    if (stat(check_path(c, SOCKET_PATH, path), &st) < 0 || !S_ISSOCK(st.st_mode)) {
        check_add(c, "socket", FINDING_PROBLEM, RESTART_SOCKET, "There is no socket %s.",
                  SOCKET_PATH);
        return;
    }
    check_socket_listens(c, path);
    check_socket_access(c, &st);
}

/* ---- The state directory ------------------------------------------------------------------ */

/* What keeps the service from writing there, or NULL; *ret_mend: what to do about it. */
static const char *state_problem(const Check *c, const char *path, const char **ret_mend)
{
    struct statvfs fs;
    struct stat st;
    uid_t uid;
    gid_t gid;

    *ret_mend = "systemd-sysusers vgpu-mediator.conf, " CREATE_STATE RESTART_SERVICE;
    if (!find_user(c, SERVICE_USER, &uid, &gid))
        return "there is no user " SERVICE_USER;
    /* The service does not see a directory that was made after its start as one to write to. */
    *ret_mend = CREATE_STATE RESTART_SERVICE;
    if (stat(path, &st) < 0)
        return "it is not there";
    if (st.st_uid != uid)
        return "it does not belong to user " SERVICE_USER;
    if ((st.st_mode & 0700) != 0700)
        return "its owner may not write there";
    if (statvfs(path, &fs) < 0)
        return NULL;
    *ret_mend = "mount it writable" RESTART_SERVICE;
    if (fs.f_flag & ST_RDONLY)
        return "its file system is read-only";
    *ret_mend = "make room there";
    return fs.f_bavail == 0 || (fs.f_files > 0 && fs.f_favail == 0) ? "its file system is full"
                                                                    : NULL;
}

void check_state_directory(Check *c)
{
    const char *problem, *mend;
    char path[PATH_MAX];

    problem = state_problem(c, check_path(c, STATE_DIRECTORY, path), &mend);
    if (problem)
        check_add(c, "state", FINDING_PROBLEM, mend,
                  "What is set to last cannot be kept in %s: %s.", STATE_DIRECTORY, problem);
    else
        check_add(c, "state", FINDING_OK, NULL, "What is set to last can be kept in %s.",
                  STATE_DIRECTORY);
}

/* ---- The bus ------------------------------------------------------------------------------ */

static void check_pool(Check *c, const PoolInfo *pool)
{
    const char *name = pool->object.name, *state = pool->executor_state;
    char mend[64];

    if (strcmp(state, "ready") != 0 && strcmp(state, "starting") != 0)
        check_add(c, "pool", FINDING_PROBLEM, LOOK_AT_JOURNAL,
                  "Pool %s computes nothing: its executor does not run, and is in the state '%s'.",
                  name, state);
    else if (strcmp(state, "starting") == 0)
        check_add(c, "pool", FINDING_NOTE, NULL, "Pool %s: its executor is starting.", name);
    else if (c->has_gpu && strcmp(pool->backend, "cpu") == 0)
        check_add(c, "pool", FINDING_NOTE,
                  "where that is not meant: Backend=cuda for the pool in mediator.conf, systemctl "
                  "reload vgpu-mediator, and the journal tells why the GPU is not used",
                  "Pool %s computes on the CPU, though this host has a GPU.", name);
    else
        check_add(c, "pool", FINDING_OK, NULL, "Pool %s computes with %s on %s.", name,
                  pool->backend, *pool->devices ? pool->devices : "a device without a name");
    check_pool_sessions(c, pool);
    snprintf(mend, sizeof(mend), "vgpuctl resume-pool %s", name);
    if (pool->paused)
        check_add(c, "pool", FINDING_NOTE, mend, "Pool %s is paused by an administrator.", name);
}

static void check_vm(Check *c, const VMInfo *vm)
{
    CLEANUP_FREE char *mend = NULL;
    const char *name = vm->object.name;

    if (vm->without_device)
        check_add(c, "domain", FINDING_PROBLEM, "repair that, and start the VM again",
                  "VM %s runs without its device: %s", name, vm->device_problem);
    if (!vm->quarantined && !vm->paused)
        return;
    if (asprintf(&mend,
                 vm->quarantined ? "vgpuctl status %s tells why; vgpuctl release %s"
                                 : "vgpuctl resume %s",
                 name, name) < 0) {
        c->out_of_memory = true;
        return;
    }
    check_add(c, "domain", FINDING_NOTE, mend,
              vm->quarantined ? "The requests of VM %s are refused: it is quarantined."
                              : "The requests of VM %s wait: it is paused by an administrator.",
              name);
}

static void check_bus_failed(Check *c, const sd_bus_error *error, int r)
{
    const char *text = error->message ? error->message : strerror(-r);

    if (sd_bus_error_has_name(error, SD_BUS_ERROR_SERVICE_UNKNOWN) ||
        sd_bus_error_has_name(error, SD_BUS_ERROR_NAME_HAS_NO_OWNER))
        check_add(c, "bus", FINDING_PROBLEM,
                  "systemctl reload dbus, and then systemctl start vgpu-mediator",
                  "Nobody owns the name %s, and the bus cannot start who would.", VGPU_BUS_NAME);
    else if (sd_bus_error_has_name(error, SD_BUS_ERROR_ACCESS_DENIED))
        check_add(c, "bus", FINDING_PROBLEM,
                  "systemctl reload dbus, so that it reads the policy "
                  "/usr/share/dbus-1/system.d/org.vgpu.Mediator1.conf",
                  "The bus lets nobody ask the mediator: %s", text);
    else if (sd_bus_error_has_name(error, UNIT_MASKED))
        check_add(c, "bus", FINDING_PROBLEM, "systemctl unmask " SERVICE_UNIT,
                  "The mediator cannot be asked on the bus: %s", text);
    else if (sd_bus_error_has_name(error, SD_BUS_ERROR_NO_REPLY) || r == -ETIMEDOUT)
        check_add(c, "bus", FINDING_PROBLEM, "systemctl restart vgpu-mediator",
                  "The mediator does not answer on the bus.");
    else
        check_add(c, "bus", FINDING_PROBLEM, "systemctl status vgpu-mediator tells more",
                  "The mediator cannot be asked on the bus: %s", text);
}

static void check_snapshot(Check *c, const Snapshot *s)
{
    check_add(c, "bus", FINDING_OK, NULL, "The mediator answers as %s.", VGPU_BUS_NAME);
    if (s->n_pools == 0)
        check_add(c, "pool", FINDING_PROBLEM, "[Pool A] in /etc/vgpu/mediator.conf",
                  "No pool is configured.");
    for (size_t i = 0; i < s->n_pools; i++)
        check_pool(c, &s->pools[i]);
    for (size_t i = 0; i < s->n_vms; i++)
        check_vm(c, &s->vms[i]);
}

void check_mediator(Check *c)
{
    CLEANUP(cleanup_snapshot) Snapshot *s = NULL;
    CLEANUP_ERROR sd_bus_error error = SD_BUS_ERROR_NULL;
    sd_bus *bus = NULL;
    int r;

    r = sd_bus_open_system(&bus);
    if (r < 0) {
        check_add(c, "bus", FINDING_PROBLEM, "systemctl start dbus",
                  "The system bus cannot be reached: %s.", strerror(-r));
        return;
    }
    r = snapshot_get(bus, &error, &s);
    if (r < 0) {
        check_bus_failed(c, &error, r);
    } else {
        check_snapshot(c, s);
        c->snapshot = TAKE_PTR(s);
    }
    sd_bus_flush_close_unref(bus);
}
