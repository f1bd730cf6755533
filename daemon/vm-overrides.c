/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vm-overrides.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "log.h"
#include "state-file.h"
#include "vm-name.h"

/* ---- In memory ---------------------------------------------------------------------------- */

static VMOverride *vm_override_free(VMOverride *o)
{
    if (o)
        free(o->name);
    free(o);
    return NULL;
}

static void vm_override_freep(VMOverride **o)
{
    vm_override_free(*o);
}

#define CLEANUP_OVERRIDE CLEANUP(vm_override_freep)

void vm_overrides_init(VMOverrides *overrides, const char *directory)
{
    overrides->directory = directory;
    overrides->n = 0;
    TAILQ_INIT(&overrides->list);
}

/* @before: NULL for the end. */
static void vm_overrides_insert(VMOverrides *overrides, VMOverride *before, VMOverride *o)
{
    if (before)
        TAILQ_INSERT_BEFORE(before, o, link);
    else
        TAILQ_INSERT_TAIL(&overrides->list, o, link);
    overrides->n++;
}

static void vm_overrides_remove(VMOverrides *overrides, VMOverride *o)
{
    TAILQ_REMOVE(&overrides->list, o, link);
    overrides->n--;
    vm_override_free(o);
}

void vm_overrides_clear(VMOverrides *overrides)
{
    while (!TAILQ_EMPTY(&overrides->list))
        vm_overrides_remove(overrides, TAILQ_FIRST(&overrides->list));
}

VMOverride *vm_overrides_find(const VMOverrides *overrides, const uint8_t uuid[16])
{
    VMOverride *o;

    TAILQ_FOREACH(o, &overrides->list, link)
    {
        if (!o->by_name && memcmp(o->uuid, uuid, sizeof(o->uuid)) == 0)
            return o;
    }
    return NULL;
}

static VMOverride *vm_overrides_find_by_name(const VMOverrides *overrides, const char *name)
{
    VMOverride *o;

    TAILQ_FOREACH(o, &overrides->list, link)
    {
        if (o->by_name && strcmp(o->name, name) == 0)
            return o;
    }
    return NULL;
}

VMOverride *vm_overrides_find_next(const VMOverrides *overrides, const VMOverride *o,
                                   const char *text)
{
    VMOverride *next = o ? TAILQ_NEXT(o, link) : TAILQ_FIRST(&overrides->list);
    uint8_t uuid[16];
    bool is_uuid = state_file_parse_id128(text, uuid);

    for (; next; next = TAILQ_NEXT(next, link))
        if (strcmp(next->name, text) == 0 ||
            (is_uuid && !next->by_name && memcmp(next->uuid, uuid, sizeof(uuid)) == 0))
            return next;
    return NULL;
}

/* ---- On disk ------------------------------------------------------------------------------ */

static int vm_override_path(const char *directory, const VMOverride *o, char ret[PATH_MAX])
{
    CLEANUP_FREE char *label = NULL;

    if (!o->by_name)
        return state_file_path(directory, o->uuid, ret);
    label = state_file_escape(o->name);
    if (!label)
        return -ENOMEM;
    return snprintf(ret, PATH_MAX, "%s/%s.vm", directory, label) >= PATH_MAX ? -ENAMETOOLONG : 0;
}

/* Puts the file into the state that @o says. One without settings has no file. */
static int vm_override_write(const char *directory, const VMOverride *o)
{
    CLEANUP_FREE char *name = NULL, *text = NULL;
    char path[PATH_MAX];
    size_t size;
    FILE *f;
    int r;

    if (!directory)
        return -ENOENT;
    r = vm_override_path(directory, o, path);
    if (r < 0)
        return r;
    if (o->which == 0)
        return state_file_remove(path);

    name = state_file_escape(o->name);
    f = name ? open_memstream(&text, &size) : NULL;
    if (!f)
        return -ENOMEM;
    fprintf(f, "[VM]\nName=%s\n", name);
    state_file_print_settings(f, "Settings", &o->settings, o->which);
    state_file_print_settings(f, "Definition", &o->definition, o->defined);
    /* Without memory for the last of it, glibc frees the text and reports no error. */
    if (fclose(f) != 0 || !text)
        return -ENOMEM;
    return state_file_write(path, text, true);
}

typedef struct Reader {
    VMOverride *override;
    int error;
} Reader;

static int read_name(VMOverride *o, const char *value)
{
    return o->name ? -EBADMSG : state_file_unescape(value, &o->name);
}

static void override_on_setting(void *userdata, unsigned line, const char *section,
                                const char *name, const char *value)
{
    Reader *reader = userdata;
    VMOverride *o = reader->override;
    int r = -EBADMSG;

    (void) line;

    if (section && strcmp(section, "VM") == 0 && strcmp(name, "Name") == 0)
        r = read_name(o, value);
    else if (section && strcmp(section, "Settings") == 0 &&
             state_file_parse_setting(name, value, &o->settings, &o->which))
        r = 0;
    else if (section && strcmp(section, "Definition") == 0 &&
             state_file_parse_setting(name, value, &o->definition, &o->defined))
        r = 0;
    if (reader->error == 0)
        reader->error = r;
}

static void override_on_other(void *userdata, unsigned line, const char *reason)
{
    Reader *reader = userdata;

    (void) line, (void) reason;

    reader->error = -EBADMSG;
}

static int read_override(const char *path, const char *entry, VMOverride *o)
{
    static const SettingsFileHandler handler = {
        .setting = override_on_setting,
        .other = override_on_other,
    };
    Reader reader = {.override = o};
    int r;

    o->by_name = !state_file_is_by_uuid(entry, o->uuid);
    r = state_file_read(path, &handler, &reader);
    if (r != 0)
        return r < 0 ? r : -ENOENT;
    if (reader.error < 0)
        return reader.error;
    if (o->by_name && !o->name)
        r = state_file_name_of(entry, &o->name);
    if (r < 0)
        return r;
    return o->which == 0 || !o->name || !vm_name_is_valid(o->name) ? -EBADMSG : 0;
}

static void override_on_file(void *userdata, const char *path, const char *entry)
{
    VMOverrides *overrides = userdata;
    CLEANUP_OVERRIDE VMOverride *o = calloc(1, sizeof(*o));
    int r = !o                                 ? -ENOMEM
            : overrides->n >= VM_OVERRIDES_MAX ? -EDQUOT
                                               : read_override(path, entry, o);

    if (r < 0)
        log_error("cannot use the settings that are kept in %s: %s", path,
                  settings_file_strerror(r));
    else
        vm_overrides_insert(overrides, NULL, TAKE_PTR(o));
}

void vm_overrides_load(VMOverrides *overrides)
{
    int r;

    if (!overrides->directory)
        return;
    r = state_file_for_each(overrides->directory, override_on_file, overrides);
    if (r < 0)
        log_errno(r, "cannot use the settings that are kept in %s", overrides->directory);
    /* It is tried all the same with every change. */
    if (access(overrides->directory, W_OK) < 0)
        log_warning("no change can be made to last in %s: %s", overrides->directory,
                    strerror(errno));
}

/* ---- Changes ------------------------------------------------------------------------------ */

/* Writes @wanted, and then has it in the place of @old, which may be NULL. */
static int vm_overrides_replace(VMOverrides *overrides, VMOverride *old, const VMOverride *wanted)
{
    CLEANUP_OVERRIDE VMOverride *o = NULL;
    int r;

    if (!old && wanted->which == 0)
        return 0;
    if (!old && overrides->n >= VM_OVERRIDES_MAX)
        return -EDQUOT;
    o = malloc(sizeof(*o));
    if (!o)
        return -ENOMEM;
    *o = *wanted;
    o->name = strdup(wanted->name);
    if (!o->name)
        return -ENOMEM;
    r = vm_override_write(overrides->directory, o);
    if (r < 0)
        return r;

    if (o->which == 0) {
        vm_overrides_remove(overrides, old);
        return 0;
    }
    vm_overrides_insert(overrides, old, TAKE_PTR(o));
    if (old)
        vm_overrides_remove(overrides, old);
    return 0;
}

int vm_overrides_set(VMOverrides *overrides, const uint8_t uuid[16], const char *name,
                     const VMSettings *settings, const VMSettings *definition, unsigned which)
{
    VMOverride *old = vm_overrides_find(overrides, uuid);
    VMOverride wanted = old ? *old : (VMOverride){0};

    memcpy(wanted.uuid, uuid, sizeof(wanted.uuid));
    wanted.name = (char *) name;
    wanted.which &= ~which;
    wanted.which |= vm_settings_differ(settings, definition) & which;
    wanted.defined = (wanted.defined | which) & wanted.which;
    vm_settings_take(&wanted.settings, settings, which);
    vm_settings_take(&wanted.definition, definition, which);
    return vm_overrides_replace(overrides, old, &wanted);
}

int vm_overrides_drop(VMOverrides *overrides, VMOverride *o, unsigned which)
{
    VMOverride wanted = *o;

    wanted.which &= ~which;
    wanted.defined &= wanted.which;
    return vm_overrides_replace(overrides, o, &wanted);
}

/* What an earlier mediator kept for a name goes to the first VM of that name, for good. */
static void vm_overrides_adopt(VMOverrides *overrides, const uint8_t uuid[16], const char *name,
                               const VMSettings *definition)
{
    VMOverride *o = vm_overrides_find_by_name(overrides, name), wanted;
    int r;

    if (!o || vm_overrides_find(overrides, uuid))
        return;
    wanted = *o;
    wanted.by_name = false;
    memcpy(wanted.uuid, uuid, sizeof(wanted.uuid));
    wanted.defined = wanted.which;
    wanted.definition = *definition;
    r = vm_overrides_replace(overrides, NULL, &wanted);
    if (r >= 0)
        r = vm_overrides_drop(overrides, o, VM_SETTINGS_ALL);
    if (r < 0)
        log_errno(r, "cannot move the settings that are kept for the name %s to its VM", name);
}

/* The name is there for people: it is the one that the VM had last. */
static void vm_overrides_rename(VMOverrides *overrides, VMOverride *o, const char *name)
{
    VMOverride wanted = *o;
    int r;

    if (strcmp(o->name, name) == 0)
        return;
    wanted.name = (char *) name;
    r = vm_overrides_replace(overrides, o, &wanted);
    if (r < 0)
        log_errno(r, "cannot write the new name of VM %s into %s", name, overrides->directory);
}

/* Those whose value in the definition is another one now. */
static unsigned vm_override_outdated(const VMOverride *o, const VMSettings *definition)
{
    return vm_settings_differ(&o->definition, definition) & o->defined;
}

static void vm_overrides_give_way(VMOverrides *overrides, VMOverride *o, unsigned which)
{
    const LogContext context = {.vm = o->name};
    int r;

    for (unsigned i = 0; i < VM_N_SETTINGS; i++)
        if (which & VM_SETTING_BIT(i))
            log_context(LOG_NOTICE, &context,
                        "%s was changed in its definition: what was set to last before is dropped",
                        vm_settings[i].name);
    r = vm_overrides_drop(overrides, o, which);
    if (r < 0)
        log_errno(r, "cannot drop settings of VM %s from %s", o->name, overrides->directory);
}

unsigned vm_overrides_apply(VMOverrides *overrides, const uint8_t uuid[16], const char *name,
                            VMSettings *settings)
{
    unsigned outdated, valid;
    VMOverride *o;

    vm_overrides_adopt(overrides, uuid, name, settings);
    o = vm_overrides_find(overrides, uuid);
    if (!o)
        return 0;
    vm_overrides_rename(overrides, o, name);
    o = vm_overrides_find(overrides, uuid);

    outdated = vm_override_outdated(o, settings);
    valid = o->which & ~outdated;
    vm_settings_take(settings, &o->settings, valid);
    if (outdated != 0)
        vm_overrides_give_way(overrides, o, outdated);
    return valid;
}
