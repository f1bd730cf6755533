/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vm-record.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-id128.h>
#include <unistd.h>

#include "cleanup.h"
#include "parse.h"
#include "settings-file.h"

#define SUFFIX ".vm"

/* The most bytes of a file, of which some 1200 are used. */
#define FILE_SIZE_MAX (16u * 1024)

void vm_record_clear(VMRecord *record)
{
    free(record->name);
    *record = VM_RECORD_INIT;
}

/* ---- Names and files ------------------------------------------------------------------- */

/* The name of a file cannot hold every name of a VM, but the escaped form can. */
static char *escape_name(const char *name)
{
    CLEANUP_FREE char *path = NULL;

    return sd_bus_path_encode("/", name, &path) < 0 ? NULL : strdup(path + 1);
}

/* Returns 0 or a negative errno. */
static int unescape_name(const char *label, char **ret)
{
    char path[PATH_MAX];
    int r;

    if (snprintf(path, sizeof(path), "/%s", label) >= (int) sizeof(path))
        return -EBADMSG;
    r = sd_bus_path_decode(path, "/", ret);
    return r < 0 ? r : r == 0 ? -EBADMSG : 0;
}

static int path_of(const char *directory, const char *name, char ret[PATH_MAX])
{
    CLEANUP_FREE char *label = escape_name(name);

    if (!label)
        return -ENOMEM;
    /* A long name in which every byte is escaped may be too much for a file's. */
    return snprintf(ret, PATH_MAX, "%s/%s" SUFFIX, directory, label) >= PATH_MAX ? -ENAMETOOLONG
                                                                                 : 0;
}

static int write_whole(const char *path, const char *text, bool sync)
{
    char temporary[PATH_MAX];
    ssize_t size = (ssize_t) strlen(text);
    int fd, r = 0;

    if (snprintf(temporary, sizeof(temporary), "%s.new", path) >= (int) sizeof(temporary))
        return -ENAMETOOLONG;
    fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;

    errno = 0;
    if (write(fd, text, (size_t) size) != size || (sync && fsync(fd) < 0))
        r = errno ? -errno : -EIO;
    close(fd);
    if (r >= 0 && rename(temporary, path) < 0)
        r = -errno;
    if (r < 0)
        (void) unlink(temporary);
    return r;
}

int vm_record_remove(const char *directory, const char *name)
{
    char path[PATH_MAX];
    int r = path_of(directory, name, path);

    if (r < 0)
        return r;
    return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
}

/* ---- Reading ------------------------------------------------------------------------------ */

static bool read_id128(const char *value, uint8_t ret[16])
{
    sd_id128_t id;

    if (sd_id128_from_string(value, &id) < 0)
        return false;
    memcpy(ret, id.bytes, sizeof(id.bytes));
    return true;
}

static bool read_setting(VMSettings *settings, const char *name, const char *value, unsigned *which)
{
    const VMSetting *setting = vm_setting_find(name);

    if (!setting || vm_setting_parse(setting, value, settings) < 0)
        return false;
    *which |= VM_SETTING_BIT(setting - vm_settings);
    return true;
}

static bool read_registration(VMRecord *record, const char *name, const char *value)
{
    if (strcmp(name, "Name") == 0 && !record->name)
        return unescape_name(value, &record->name) == 0;
    if (strcmp(name, "UUID") == 0)
        return read_id128(value, record->uuid);
    if (strcmp(name, "VMID") == 0)
        return parse_u32(value, 0, UINT32_MAX, &record->id) == 0;
    if (strcmp(name, "Paused") == 0)
        record->paused = value[0] == 'y';
    else if (strcmp(name, "Quarantined") == 0)
        record->quarantined = value[0] == 'y';
    else if (strcmp(name, "Resume") == 0)
        return record->claimed = read_id128(value, record->resume);
    else
        return false;
    return true;
}

typedef struct Reader {
    VMRecord *record;
    bool damaged; /* there is something in the file that no mediator writes */
} Reader;

static void record_on_setting(void *userdata, unsigned line, const char *section, const char *name,
                              const char *value)
{
    Reader *reader = userdata;
    VMRecord *record = reader->record;
    unsigned ignored = 0;
    bool taken = false;

    (void) line;

    if (section && strcmp(section, "Registration") == 0)
        taken = read_registration(record, name, value);
    else if (section && strcmp(section, "Configured") == 0)
        taken = read_setting(&record->configured, name, value, &ignored);
    else if (section && strcmp(section, "Settings") == 0)
        taken = read_setting(&record->settings, name, value, &record->which);
    reader->damaged = reader->damaged || !taken;
}

static void record_on_other(void *userdata, unsigned line, const char *reason)
{
    Reader *reader = userdata;

    (void) line, (void) reason;

    reader->damaged = true;
}

static int read_file(const char *path, VMRecord *ret)
{
    Reader reader = {.record = ret};
    const SettingsFileHandler handler = {
        .setting = record_on_setting,
        .other = record_on_other,
        .userdata = &reader,
    };
    int r;

    vm_settings_init(&ret->configured);
    vm_settings_init(&ret->settings);
    r = settings_file_read(path, SETTINGS_FILE_NO_LINK, FILE_SIZE_MAX, &handler);
    return r != 0 ? r : reader.damaged ? -EBADMSG : 0;
}

int vm_record_read(const char *directory, const char *name, VMRecord *ret)
{
    char path[PATH_MAX];
    int r = path_of(directory, name, path);

    return r < 0 ? r : read_file(path, ret);
}

/* A mediator that did not know a newer setting has not written it. */
static bool has_what_is_always_kept(const VMRecord *record)
{
    for (unsigned i = 0; i < VM_N_SETTINGS; i++)
        if (vm_settings[i].flags & VM_SETTING_ALWAYS_KEPT && !(record->which & VM_SETTING_BIT(i)))
            return false;
    return true;
}

static bool is_registration(const VMRecord *record)
{
    static const uint8_t none[16];

    return record->name && memcmp(record->uuid, none, sizeof(none)) != 0 &&
           has_what_is_always_kept(record);
}

static int is_record(const struct dirent *entry)
{
    size_t size = strlen(entry->d_name);

    return size > strlen(SUFFIX) && strcmp(entry->d_name + size - strlen(SUFFIX), SUFFIX) == 0;
}

static int read_entry(const char *directory, const char *entry, char path[PATH_MAX], VMRecord *ret)
{
    int r;

    if (snprintf(path, PATH_MAX, "%s/%s", directory, entry) >= PATH_MAX)
        return -ENAMETOOLONG;
    r = read_file(path, ret);
    if (r < 0)
        return r;
    return r > 0 ? -ENOENT : is_registration(ret) ? 0 : -EBADMSG;
}

void vm_record_read_all(const char *directory,
                        void (*handler)(void *userdata, const char *path, const VMRecord *record,
                                        int error),
                        void *userdata)
{
    struct dirent **entries;
    int n = scandir(directory, &entries, is_record, alphasort);

    if (n < 0)
        return;
    for (int i = 0; i < n; i++) {
        CLEANUP(vm_record_clear) VMRecord record = VM_RECORD_INIT;
        char path[PATH_MAX];
        int r = read_entry(directory, entries[i]->d_name, path, &record);

        handler(userdata, path, r < 0 ? NULL : &record, r);
        free(entries[i]);
    }
    free(entries);
}

/* ---- Writing ------------------------------------------------------------------------------ */

static void print_settings(FILE *f, const char *section, const VMSettings *settings, unsigned which)
{
    char text[VM_SETTING_TEXT_SIZE];

    fprintf(f, "[%s]\n", section);
    for (unsigned i = 0; i < VM_N_SETTINGS; i++)
        if (which & VM_SETTING_BIT(i))
            fprintf(f, "%s=%s\n", vm_settings[i].name,
                    vm_setting_print(&vm_settings[i], settings, text));
}

static void print_id128(FILE *f, const char *key, const uint8_t bytes[16])
{
    sd_id128_t id;

    memcpy(id.bytes, bytes, sizeof(id.bytes));
    fprintf(f, "%s=" SD_ID128_FORMAT_STR "\n", key, SD_ID128_FORMAT_VAL(id));
}

static void print_registration(FILE *f, const char *label, const VMRecord *record)
{
    fprintf(f, "[Registration]\nName=%s\n", label);
    print_id128(f, "UUID", record->uuid);
    fprintf(f, "VMID=%u\n", record->id);
    fprintf(f, "Paused=%s\nQuarantined=%s\n", record->paused ? "yes" : "no",
            record->quarantined ? "yes" : "no");
    if (record->claimed)
        print_id128(f, "Resume", record->resume);
}

int vm_record_write_registration(const char *directory, const VMRecord *record)
{
    CLEANUP_FREE char *label = escape_name(record->name), *text = NULL;
    char path[PATH_MAX];
    size_t size;
    FILE *f = label ? open_memstream(&text, &size) : NULL;
    int r;

    if (!f)
        return -ENOMEM;
    print_registration(f, label, record);
    print_settings(f, "Configured", &record->configured, VM_SETTINGS_ALL);
    print_settings(f, "Settings", &record->settings, VM_SETTINGS_ALL);
    /* Without memory for the last of it, glibc frees the text and reports no error. */
    if (fclose(f) != 0 || !text)
        return -ENOMEM;

    r = path_of(directory, record->name, path);
    return r < 0 ? r : write_whole(path, text, false);
}

int vm_record_write_settings(const char *directory, const char *name, const VMRecord *record)
{
    CLEANUP_FREE char *text = NULL;
    char path[PATH_MAX];
    size_t size;
    FILE *f = open_memstream(&text, &size);
    int r;

    if (!f)
        return -ENOMEM;
    print_settings(f, "Settings", &record->settings, record->which);
    /* Without memory for the last of it, glibc frees the text and reports no error. */
    if (fclose(f) != 0 || !text)
        return -ENOMEM;

    r = path_of(directory, name, path);
    return r < 0 ? r : write_whole(path, text, true);
}
