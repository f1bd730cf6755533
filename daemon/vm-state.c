/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-id128.h>
#include <unistd.h>

#include "log.h"
#include "manager.h"
#include "parse.h"
#include "vm-state.h"

#define SUFFIX ".vm"

/* All that a file of either kind can hold. */
typedef struct Record {
    char *name; /* escaped */
    sd_id128_t uuid;
    uint32_t id;
    VMSettings configured;
    VMSettings settings;
    unsigned which; /* of settings: the set that is there */
    bool paused;
    bool quarantined;
    bool claimed;
    sd_id128_t resume;
} Record;

/* ---- Files -------------------------------------------------------------------------- */

/* The name of a file cannot hold every name of a VM, but the escaped form can. */
static char *escape_name(const char *name)
{
    char *path = NULL, *label;

    if (sd_bus_path_encode("/", name, &path) < 0)
        return NULL;
    label = strdup(path + 1);
    free(path);
    return label;
}

static int path_of(const char *directory, const char *name, char ret[PATH_MAX])
{
    char *label = escape_name(name);
    int n;

    if (!label)
        return -ENOMEM;
    n = snprintf(ret, PATH_MAX, "%s/%s" SUFFIX, directory, label);
    free(label);
    /* A long name in which every byte is escaped may be too much for a file's. */
    return n >= PATH_MAX ? -ENAMETOOLONG : 0;
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

    /* A few hundred bytes. What must outlive the host's power is the one thing for
     * which the loop waits for a disk, at an administrator's command. */
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

static void save_text(const VM *vm, const char *directory, const char *text)
{
    LogContext context = vm->client.log;
    char path[PATH_MAX];
    int r = path_of(directory, vm->name, path);

    if (r >= 0)
        r = write_whole(path, text, directory == vm->manager->state_directory);
    if (r < 0)
        log_context(LOG_ERR, &context, "cannot keep the state of VM %s: %s", vm->name,
                    strerror(-r));
}

static void remove_file(const VM *vm, const char *directory)
{
    LogContext context = vm->client.log;
    char path[PATH_MAX];

    if (path_of(directory, vm->name, path) >= 0 && unlink(path) < 0 && errno != ENOENT)
        log_context(LOG_ERR, &context, "cannot remove %s: %m", path);
}

/* ---- Reading ------------------------------------------------------------------------- */

static bool read_setting(VMSettings *settings, const char *name, const char *value, unsigned *which)
{
    const VMSetting *setting = vm_setting_find(name);

    if (!setting || vm_setting_parse(setting, value, settings) < 0)
        return false;
    *which |= VM_SETTING_BIT(setting - vm_settings);
    return true;
}

static bool read_registration(Record *record, const char *name, const char *value)
{
    if (strcmp(name, "Name") == 0 && !record->name)
        return (record->name = strdup(value)) != NULL;
    if (strcmp(name, "UUID") == 0)
        return sd_id128_from_string(value, &record->uuid) >= 0;
    if (strcmp(name, "VMID") == 0)
        return parse_u32(value, 0, UINT32_MAX, &record->id) == 0;
    if (strcmp(name, "Paused") == 0)
        record->paused = value[0] == 'y';
    else if (strcmp(name, "Quarantined") == 0)
        record->quarantined = value[0] == 'y';
    else if (strcmp(name, "Resume") == 0)
        return record->claimed = sd_id128_from_string(value, &record->resume) >= 0;
    else
        return false;
    return true;
}

static int on_key(void *userdata, const char *section, const char *name, const char *value)
{
    Record *record = userdata;
    unsigned ignored = 0;

    if (strcmp(section, "Registration") == 0)
        return read_registration(record, name, value);
    if (strcmp(section, "Configured") == 0)
        return read_setting(&record->configured, name, value, &ignored);
    if (strcmp(section, "Settings") == 0)
        return read_setting(&record->settings, name, value, &record->which);
    return 0;
}

/* Returns 0, 1 when there is no such file, or a negative errno. */
static int read_record(const char *path, Record *ret)
{
    int r = ini_parse(path, on_key, ret);

    if (r == -1)
        return errno == ENOENT ? 1 : -errno;
    return r == 0 ? 0 : -EBADMSG;
}

/* ---- Registrations ----------------------------------------------------------------------- */

static void print_settings(FILE *f, const char *section, const VMSettings *settings, unsigned which)
{
    char text[VM_SETTING_TEXT_SIZE];

    fprintf(f, "[%s]\n", section);
    for (unsigned i = 0; i < VM_N_SETTINGS; i++)
        if (which & VM_SETTING_BIT(i))
            fprintf(f, "%s=%s\n", vm_settings[i].name,
                    vm_setting_print(&vm_settings[i], settings, text));
}

static sd_id128_t id128_of(const uint8_t bytes[16])
{
    sd_id128_t id;

    memcpy(id.bytes, bytes, sizeof(id.bytes));
    return id;
}

void vm_state_save(const VM *vm)
{
    const char *directory = vm->manager->runtime_directory;
    char *text = NULL, *label;
    size_t size;
    FILE *f;

    if (!directory || !vm->registered)
        return;
    label = escape_name(vm->name);
    f = label ? open_memstream(&text, &size) : NULL;
    if (!f) {
        free(label);
        return;
    }

    fprintf(f, "[Registration]\nName=%s\nUUID=" SD_ID128_FORMAT_STR "\nVMID=%u\n", label,
            SD_ID128_FORMAT_VAL(id128_of(vm->uuid)), vm->id);
    fprintf(f, "Paused=%s\nQuarantined=%s\n", vm->paused ? "yes" : "no",
            vm->quarantined ? "yes" : "no");
    if (vm->claimed)
        fprintf(f, "Resume=" SD_ID128_FORMAT_STR "\n", SD_ID128_FORMAT_VAL(id128_of(vm->resume)));
    print_settings(f, "Configured", &vm->configured, VM_SETTINGS_ALL);
    print_settings(f, "Settings", &vm->settings, VM_SETTINGS_ALL);

    if (fclose(f) == 0)
        save_text(vm, directory, text);
    free(text);
    free(label);
}

void vm_state_remove(const VM *vm)
{
    if (vm->manager->runtime_directory && vm->registered)
        remove_file(vm, vm->manager->runtime_directory);
}

/* A mediator that did not know a newer setting has not written it. */
static bool has_what_is_always_kept(const Record *record)
{
    for (unsigned i = 0; i < VM_N_SETTINGS; i++)
        if (vm_settings[i].flags & VM_SETTING_ALWAYS_KEPT && !(record->which & VM_SETTING_BIT(i)))
            return false;
    return true;
}

static int restore(Manager *manager, const Record *record)
{
    char path[PATH_MAX], *name = NULL;
    VM *vm = NULL;
    int r;

    if (!record->name || sd_id128_is_null(record->uuid) || !has_what_is_always_kept(record))
        return -EBADMSG;
    if (!manager_pool(manager, record->settings.pool))
        return -ENODEV;

    if (snprintf(path, sizeof(path), "/%s", record->name) >= (int) sizeof(path) ||
        sd_bus_path_decode(path, "/", &name) <= 0)
        return -EBADMSG;
    r = vm_name_is_valid(name)
            ? vm_register(manager, name, record->uuid.bytes, &record->configured, record->id, &vm)
            : -EBADMSG;
    free(name);
    if (r != 0)
        return r < 0 ? r : -EEXIST;

    vm->claimed = record->claimed;
    memcpy(vm->resume, record->resume.bytes, sizeof(vm->resume));
    vm_apply(vm, &record->settings);
    vm_set_quarantined(vm, record->quarantined);
    vm_set_paused(vm, record->paused);
    vm_state_save(vm);
    return 0;
}

static int is_record(const struct dirent *entry)
{
    size_t size = strlen(entry->d_name);

    return size > strlen(SUFFIX) && strcmp(entry->d_name + size - strlen(SUFFIX), SUFFIX) == 0;
}

void vm_state_load_all(Manager *manager)
{
    const char *directory = manager->runtime_directory;
    struct dirent **entries;
    int n;

    if (!directory)
        return;
    n = scandir(directory, &entries, is_record, alphasort);
    for (int i = 0; i < n; i++) {
        Record record = {0};
        char path[PATH_MAX];
        int r;

        vm_settings_init(&record.configured);
        vm_settings_init(&record.settings);
        r = snprintf(path, sizeof(path), "%s/%s", directory, entries[i]->d_name) < PATH_MAX
                ? read_record(path, &record)
                : -ENAMETOOLONG;
        if (r == 0)
            r = restore(manager, &record);
        if (r < 0)
            log_errno(r, "cannot take over the registration %s", path);
        free(record.name);
        free(entries[i]);
    }
    if (n >= 0)
        free(entries);
}

/* ---- What lasts ------------------------------------------------------------------------------ */

static void override_record(Manager *manager, const char *name, Record *ret)
{
    char path[PATH_MAX];
    int r;

    if (!manager->state_directory || path_of(manager->state_directory, name, path) < 0)
        return;
    r = read_record(path, ret);
    if (r < 0)
        log_errno(r, "cannot use what is kept in %s", path);
}

void vm_override_load(Manager *manager, const char *name, VMSettings *settings)
{
    Record record = {0};

    override_record(manager, name, &record);
    if (record.which & VM_SETTING_BIT(VM_SETTING_POOL) &&
        !manager_pool(manager, record.settings.pool))
        record.which &= ~VM_SETTING_BIT(VM_SETTING_POOL);
    vm_settings_take(settings, &record.settings, record.which);
    free(record.name);
}

void vm_override_save(const VM *vm, unsigned which)
{
    const char *directory = vm->manager->state_directory;
    Record record = {0};
    char *text = NULL;
    size_t size;
    FILE *f;

    if (!directory)
        return;

    override_record(vm->manager, vm->name, &record);
    free(record.name);
    record.which &= ~which;
    record.which |= vm_settings_differ(&vm->settings, &vm->configured) & which;
    if (record.which == 0) {
        remove_file(vm, directory);
        return;
    }

    vm_settings_take(&record.settings, &vm->settings, which);
    f = open_memstream(&text, &size);
    if (!f)
        return;
    print_settings(f, "Settings", &record.settings, record.which);
    if (fclose(f) == 0)
        save_text(vm, directory, text);
    free(text);
}
