/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* May this process open the device's files, and if not, what gives it the right? The names of users
 * and groups are those of the files: a static program has no other services of names. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "doctor.h"
#include "driver.h"
#include "sysfs.h"

/* ---- Names ---------------------------------------------------------------------- */

/* The name of this process's user; its number where the file has none */
static void find_user(const doctor *d, char ret[static 56])
{
    char path[PATH_MAX];
    FILE *file = fopen(doctor_path(d, "/etc/passwd", path), "re");
    const struct passwd *user = NULL;

    while (file && (user = fgetpwent(file)) && user->pw_uid != geteuid())
        ;
    if (user)
        snprintf(ret, 56, "%s", user->pw_name);
    else
        snprintf(ret, 56, "%" PRIu32, (uint32_t) geteuid());
    if (file)
        fclose(file);
}

void doctor_user(const doctor *d, char ret[static 64])
{
    char name[56];

    find_user(d, name);
    if (geteuid() == 0)
        strcpy(ret, "root");
    else
        snprintf(ret, 64, "user %s", name);
}

/* The group's name, and whether this process's user is one of its members. */
static void find_group(const doctor *d, gid_t gid, char ret[static 64], bool *ret_is_member)
{
    char path[PATH_MAX], user[56];
    FILE *file = fopen(doctor_path(d, "/etc/group", path), "re");
    const struct group *group = NULL;

    snprintf(ret, 64, "%" PRIu32, (uint32_t) gid);
    *ret_is_member = false;
    find_user(d, user);
    while (file && (group = fgetgrent(file)) && group->gr_gid != gid)
        ;
    if (group)
        snprintf(ret, 64, "%s", group->gr_name);
    for (char **member = group ? group->gr_mem : NULL; member && *member; member++)
        if (strcmp(*member, user) == 0)
            *ret_is_member = true;
    if (file)
        fclose(file);
}

const char *doctor_refused(const doctor *d, const char *path, char mend[static 256])
{
    char group[64];
    bool is_member;
    struct stat st;

    if (stat(path, &st) < 0 || st.st_gid == 0 || (st.st_mode & 0060) != 0060)
        return "the udev rule of the package vgpu-guest gives the device to the group vgpu: "
               "install it, or run this as root";
    find_group(d, st.st_gid, group, &is_member);
    if (is_member)
        snprintf(mend, 256, "log in again: this login is from before you were in the group %s",
                 group);
    else
        snprintf(mend, 256, "as root: 'usermod -aG %s USER'; then log in again", group);
    return mend;
}

/* ---- The device's files --------------------------------------------------------- */

/* Returns whether this file is in the way: it is there and may not be opened. */
static bool is_refused(doctor *d, const char *path)
{
    char user[64], mend[256];

    if (faccessat(AT_FDCWD, path, R_OK | W_OK, AT_EACCESS) == 0 || errno != EACCES)
        return false;
    doctor_user(d, user);
    doctor_add(d, "permission", DOCTOR_FAIL, doctor_refused(d, path, mend),
               "The device's file %s is not for %s.", path, user);
    return true;
}

static bool access_sysfs_files(doctor *d)
{
    static const char *const files[] = {"resource0", "resource2", "resource2_wc"};
    char path[2 * PATH_MAX];

    for (size_t i = 0; i < ELEMENTSOF(files); i++) {
        snprintf(path, sizeof(path), "%s/bus/pci/devices/%s/%s", d->sysfs, d->address, files[i]);
        if (is_refused(d, path))
            return false;
    }
    return true;
}

static bool access_vfio_files(doctor *d)
{
    char link[PATH_MAX], path[3 * PATH_MAX];
    const char *group;

    if (sysfs_read_link(&d->paths, d->address, "iommu_group", link) < 0)
        return true; /* opening it says why */
    group = sysfs_last_component(link);
    snprintf(path, sizeof(path), "%s/vfio/%s", d->dev, group);
    if (is_refused(d, path))
        return false;
    snprintf(path, sizeof(path), "%s/vfio/noiommu-%s", d->dev, group);
    return !is_refused(d, path);
}

bool doctor_access(doctor *d, const char *driver)
{
    return strcmp(driver, DRIVER_VFIO) == 0 ? access_vfio_files(d) : access_sysfs_files(d);
}
