/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "state-file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-id128.h>
#include <unistd.h>

#include "cleanup.h"

#define SUFFIX ".vm"

/* The most bytes of a file, of which some 2000 are used. */
#define FILE_SIZE_MAX (16u * 1024)

/* ---- Names of files ---------------------------------------------------------------------- */

int state_file_path(const char *directory, const uint8_t uuid[16], char ret[PATH_MAX])
{
    char text[SD_ID128_UUID_STRING_MAX];
    sd_id128_t id;

    memcpy(id.bytes, uuid, sizeof(id.bytes));
    sd_id128_to_uuid_string(id, text);
    return snprintf(ret, PATH_MAX, "%s/%s" SUFFIX, directory, text) >= PATH_MAX ? -ENAMETOOLONG : 0;
}

/* The part of a file's name before the suffix; false: there is no such suffix. */
static bool stem_of(const char *entry, char *ret, size_t size)
{
    size_t length = strlen(entry);

    if (length <= strlen(SUFFIX) || strcmp(entry + length - strlen(SUFFIX), SUFFIX) != 0 ||
        length - strlen(SUFFIX) >= size)
        return false;

    memcpy(ret, entry, length - strlen(SUFFIX));
    ret[length - strlen(SUFFIX)] = '\0';
    return true;
}

bool state_file_is_by_uuid(const char *entry, uint8_t ret[16])
{
    char stem[SD_ID128_UUID_STRING_MAX], text[SD_ID128_UUID_STRING_MAX];
    sd_id128_t id;

    if (!stem_of(entry, stem, sizeof(stem)) || sd_id128_from_string(stem, &id) < 0)
        return false;
    /* The names that mediators made before are escaped, and so have no hyphens. */
    if (strcmp(stem, sd_id128_to_uuid_string(id, text)) != 0)
        return false;

    if (ret)
        memcpy(ret, id.bytes, sizeof(id.bytes));
    return true;
}

int state_file_name_of(const char *entry, char **ret)
{
    char stem[NAME_MAX + 1];

    return stem_of(entry, stem, sizeof(stem)) ? state_file_unescape(stem, ret) : -EBADMSG;
}

static int is_state_file(const struct dirent *entry)
{
    return stem_of(entry->d_name, (char[NAME_MAX + 1]){0}, NAME_MAX + 1);
}

int state_file_for_each(const char *directory,
                        void (*handler)(void *userdata, const char *path, const char *entry),
                        void *userdata)
{
    struct dirent **entries;
    char path[PATH_MAX];
    int n = scandir(directory, &entries, is_state_file, alphasort);

    if (n < 0)
        return -errno;
    for (int by_uuid = 1; by_uuid >= 0; by_uuid--)
        for (int i = 0; i < n; i++)
            if (state_file_is_by_uuid(entries[i]->d_name, NULL) == by_uuid &&
                snprintf(path, sizeof(path), "%s/%s", directory, entries[i]->d_name) < PATH_MAX)
                handler(userdata, path, path + strlen(directory) + 1);
    for (int i = 0; i < n; i++)
        free(entries[i]);
    free(entries);
    return 0;
}

/* ---- Contents ---------------------------------------------------------------------------- */

int state_file_read(const char *path, const SettingsFileHandler *handler, void *userdata)
{
    SettingsFileHandler h = *handler;

    h.userdata = userdata;
    return settings_file_read(path, SETTINGS_FILE_NO_LINK, FILE_SIZE_MAX, &h);
}

static int write_new(const char *path, const char *text, bool sync)
{
    CLEANUP_CLOSE int fd = -1;
    ssize_t size = (ssize_t) strlen(text);

    /* Nothing that stands there already is opened. */
    if (unlink(path) < 0 && errno != ENOENT)
        return -errno;
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    errno = 0;
    if (write(fd, text, (size_t) size) != size || (sync && fsync(fd) < 0))
        return errno ? -errno : -EIO;
    return 0;
}

/* A new name in a directory is on the disk when the directory is. */
static int sync_directory_of(const char *path)
{
    CLEANUP_CLOSE int fd = -1;
    char directory[PATH_MAX];

    snprintf(directory, sizeof(directory), "%.*s", (int) (strrchr(path, '/') - path), path);
    fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

int state_file_write(const char *path, const char *text, bool sync)
{
    char temporary[PATH_MAX];
    int r;

    if (snprintf(temporary, sizeof(temporary), "%s.new", path) >= (int) sizeof(temporary))
        return -ENAMETOOLONG;
    r = write_new(temporary, text, sync);
    if (r >= 0 && rename(temporary, path) < 0)
        r = -errno;
    if (r < 0) {
        (void) unlink(temporary);
        return r;
    }
    return sync ? sync_directory_of(path) : 0;
}

int state_file_remove(const char *path)
{
    return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
}

/* ---- Values ------------------------------------------------------------------------------ */

char *state_file_escape(const char *text)
{
    CLEANUP_FREE char *path = NULL;

    return sd_bus_path_encode("/", text, &path) < 0 ? NULL : strdup(path + 1);
}

int state_file_unescape(const char *value, char **ret)
{
    char path[PATH_MAX];
    int r;

    if (snprintf(path, sizeof(path), "/%s", value) >= (int) sizeof(path))
        return -EBADMSG;
    r = sd_bus_path_decode(path, "/", ret);
    return r == -ENOMEM ? r : r <= 0 ? -EBADMSG : 0;
}

bool state_file_parse_id128(const char *value, uint8_t ret[16])
{
    sd_id128_t id;

    if (sd_id128_from_string(value, &id) < 0)
        return false;
    memcpy(ret, id.bytes, sizeof(id.bytes));
    return true;
}

void state_file_print_id128(FILE *f, const char *key, const uint8_t bytes[16])
{
    sd_id128_t id;

    memcpy(id.bytes, bytes, sizeof(id.bytes));
    fprintf(f, "%s=" SD_ID128_FORMAT_STR "\n", key, SD_ID128_FORMAT_VAL(id));
}

bool state_file_parse_setting(const char *name, const char *value, VMSettings *settings,
                              unsigned *which)
{
    const VMSetting *setting = vm_setting_find(name);

    if (!setting || vm_setting_parse(setting, value, settings) < 0)
        return false;
    *which |= VM_SETTING_BIT(setting - vm_settings);
    return true;
}

void state_file_print_settings(FILE *f, const char *section, const VMSettings *settings,
                               unsigned which)
{
    char text[VM_SETTING_TEXT_SIZE];

    fprintf(f, "[%s]\n", section);
    for (unsigned i = 0; i < VM_N_SETTINGS; i++)
        if (which & VM_SETTING_BIT(i))
            fprintf(f, "%s=%s\n", vm_settings[i].name,
                    vm_setting_print(&vm_settings[i], settings, text));
}
