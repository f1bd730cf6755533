/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vm-record.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "parse.h"
#include "state-file.h"

static void vm_record_clear(VMRecord *record)
{
    free(record->name);
    free(record->device_problem);
    *record = (VMRecord){0};
}

/* ---- Reading ------------------------------------------------------------------------------ */

typedef struct Reader {
    VMRecord record;
    unsigned which; /* the set of settings that is there */
    int error;      /* what is wrong with the file */
} Reader;

static void reader_clear(Reader *reader)
{
    vm_record_clear(&reader->record);
}

static int read_place(VMRecord *record, VMPlaceKind kind, const char *value)
{
    CLEANUP_FREE char *name = NULL;
    int r = state_file_unescape(value, &name);

    if (r < 0)
        return r;
    return vm_place_set(&record->place, kind, name) ? 0 : -EBADMSG;
}

static int read_registration(VMRecord *record, const char *name, const char *value)
{
    if (strcmp(name, "Name") == 0 && !record->name)
        return state_file_unescape(value, &record->name);
    if (strcmp(name, "UUID") == 0)
        return state_file_parse_id128(value, record->uuid) ? 0 : -EBADMSG;
    if (strcmp(name, "VMID") == 0)
        return parse_u32(value, 0, UINT32_MAX, &record->id);
    if (strcmp(name, "Resume") == 0) {
        record->claimed = state_file_parse_id128(value, record->resume);
        return record->claimed ? 0 : -EBADMSG;
    }
    if (strcmp(name, "Leader") == 0)
        return parse_u32(value, 1, INT_MAX, (uint32_t *) &record->leader.pid);
    if (strcmp(name, "LeaderInode") == 0)
        return parse_u64(value, 0, UINT64_MAX, &record->leader.inode);
    if (strcmp(name, "DeviceProblem") == 0 && !record->device_problem)
        return state_file_unescape(value, &record->device_problem);
    if (strcmp(name, "Unit") == 0)
        return read_place(record, VM_PLACE_UNIT, value);
    if (strcmp(name, "Machine") == 0)
        return read_place(record, VM_PLACE_MACHINE, value);
    if (strcmp(name, "WindowSize") == 0)
        return parse_u64(value, 0, UINT64_MAX, &record->window_size);
    if (strcmp(name, "QuarantinedUntilUSec") == 0)
        return parse_u64(value, 0, UINT64_MAX, &record->quarantined_until_usec);
    if (strcmp(name, "FaultWaits") == 0)
        return parse_u32(value, 0, UINT32_MAX, &record->fault_waits);
    if (strcmp(name, "FaultEnd") == 0)
        return parse_u64(value, 0, UINT64_MAX, &record->fault_end_usec);
    if (strcmp(name, "RequireMachine") == 0)
        record->require_machine = value[0] == 'y';
    else if (strcmp(name, "Paused") == 0)
        record->paused = value[0] == 'y';
    else if (strcmp(name, "Quarantined") == 0)
        record->quarantined = value[0] == 'y';
    else
        return -EBADMSG;
    return 0;
}

static void record_on_setting(void *userdata, unsigned line, const char *section, const char *name,
                              const char *value)
{
    Reader *reader = userdata;
    VMRecord *record = &reader->record;
    unsigned ignored = 0;
    int r = -EBADMSG;

    (void) line;

    if (section && strcmp(section, "Registration") == 0)
        r = read_registration(record, name, value);
    else if (section && strcmp(section, "Configured") == 0 &&
             state_file_parse_setting(name, value, &record->configured, &ignored))
        r = 0;
    else if (section && strcmp(section, "Settings") == 0 &&
             state_file_parse_setting(name, value, &record->settings, &reader->which))
        r = 0;
    if (reader->error == 0)
        reader->error = r;
}

static void record_on_other(void *userdata, unsigned line, const char *reason)
{
    Reader *reader = userdata;

    (void) line, (void) reason;

    reader->error = -EBADMSG;
}

/* A mediator that did not know a newer setting has not written it. */
static bool has_what_is_always_kept(unsigned which)
{
    for (unsigned i = 0; i < VM_N_SETTINGS; i++)
        if (vm_settings[i].flags & VM_SETTING_ALWAYS_KEPT && !(which & VM_SETTING_BIT(i)))
            return false;
    return true;
}

static bool is_registration(const Reader *reader)
{
    static const uint8_t none[16];

    return reader->record.name && memcmp(reader->record.uuid, none, sizeof(none)) != 0 &&
           has_what_is_always_kept(reader->which);
}

static int read_record(const char *path, Reader *reader)
{
    static const SettingsFileHandler handler = {
        .setting = record_on_setting,
        .other = record_on_other,
    };
    int r;

    vm_settings_init(&reader->record.configured);
    vm_settings_init(&reader->record.settings);
    r = state_file_read(path, &handler, reader);
    if (r != 0)
        return r < 0 ? r : -ENOENT;
    return reader->error < 0 ? reader->error : is_registration(reader) ? 0 : -EBADMSG;
}

typedef struct Each {
    void (*handler)(void *userdata, const char *path, const VMRecord *record, int error);
    void *userdata;
} Each;

static void record_on_file(void *userdata, const char *path, const char *entry)
{
    CLEANUP(reader_clear) Reader reader = {0};
    const Each *each = userdata;
    int r = read_record(path, &reader);

    (void) entry;

    each->handler(each->userdata, path, r < 0 ? NULL : &reader.record, r);
}

void vm_record_read_all(const char *directory,
                        void (*handler)(void *userdata, const char *path, const VMRecord *record,
                                        int error),
                        void *userdata)
{
    Each each = {.handler = handler, .userdata = userdata};
    int r = state_file_for_each(directory, record_on_file, &each);

    if (r < 0)
        handler(userdata, directory, NULL, r);
}

/* ---- Writing ------------------------------------------------------------------------------ */

static void print_leader(FILE *f, const Leader *leader)
{
    if (leader->pid != 0)
        fprintf(f, "Leader=%d\nLeaderInode=%" PRIu64 "\n", (int) leader->pid, leader->inode);
}

static void print_faults(FILE *f, const VMRecord *record)
{
    if (record->quarantined_until_usec != 0)
        fprintf(f, "QuarantinedUntilUSec=%" PRIu64 "\n", record->quarantined_until_usec);
    if (record->fault_waits != 0)
        fprintf(f, "FaultWaits=%u\nFaultEnd=%" PRIu64 "\n", record->fault_waits,
                record->fault_end_usec);
}

static void print_registration(FILE *f, const char *name, const char *place, const char *problem,
                               const VMRecord *record)
{
    fprintf(f, "[Registration]\nName=%s\n", name);
    state_file_print_id128(f, "UUID", record->uuid);
    fprintf(f, "VMID=%u\n", record->id);
    fprintf(f, "RequireMachine=%s\n", record->require_machine ? "yes" : "no");
    if (record->place.kind != VM_PLACE_NONE)
        fprintf(f, "%s=%s\n", record->place.kind == VM_PLACE_UNIT ? "Unit" : "Machine", place);
    if (record->window_size > 0)
        fprintf(f, "WindowSize=%" PRIu64 "\n", record->window_size);
    fprintf(f, "Paused=%s\nQuarantined=%s\n", record->paused ? "yes" : "no",
            record->quarantined ? "yes" : "no");
    print_faults(f, record);
    if (record->claimed)
        state_file_print_id128(f, "Resume", record->resume);
    print_leader(f, &record->leader);
    if (record->device_problem)
        fprintf(f, "DeviceProblem=%s\n", problem);
}

int vm_record_write(const char *directory, const VMRecord *record)
{
    CLEANUP_FREE char *name = state_file_escape(record->name), *text = NULL;
    CLEANUP_FREE char *place = state_file_escape(record->place.name);
    CLEANUP_FREE char *problem =
        state_file_escape(record->device_problem ? record->device_problem : "");
    char path[PATH_MAX];
    size_t size;
    FILE *f = name && place && problem ? open_memstream(&text, &size) : NULL;
    int r;

    if (!f)
        return -ENOMEM;
    print_registration(f, name, place, problem, record);
    state_file_print_settings(f, "Configured", &record->configured, VM_SETTINGS_ALL);
    state_file_print_settings(f, "Settings", &record->settings, VM_SETTINGS_ALL);
    /* Without memory for the last of it, glibc frees the text and reports no error. */
    if (fclose(f) != 0 || !text)
        return -ENOMEM;

    r = state_file_path(directory, record->uuid, path);
    return r < 0 ? r : state_file_write(path, text, false);
}

int vm_record_remove(const char *directory, const uint8_t uuid[16])
{
    char path[PATH_MAX];
    int r = state_file_path(directory, uuid, path);

    return r < 0 ? r : state_file_remove(path);
}
