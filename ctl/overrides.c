/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is set for VMs, whether they are there or not, and taking it back. */
#include "overrides.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "definition.h"
#include "names.h"
#include "snapshot.h"
#include "text.h"

/* ---- list --all --------------------------------------------------------------------------- */

/* A VM that is there, could be started, or has settings kept for it. */
typedef struct Entry {
    char *name, *uuid;
    const char *state;
    char *pool, *priority; /* empty: not known */
    char *overrides;       /* "Priority=low Weight=300" */
} Entry;

typedef struct Entries {
    Entry *list;
    size_t n;
} Entries;

static void entries_clear(Entries *entries)
{
    for (size_t i = 0; i < entries->n; i++) {
        Entry *e = &entries->list[i];

        free(e->name);
        free(e->uuid);
        free(e->pool);
        free(e->priority);
        free(e->overrides);
    }
    free(entries->list);
}

static int entries_add(Entries *entries, const char *name, const char *uuid, const char *state,
                       const char *pool, const char *priority)
{
    Entry *list = reallocarray(entries->list, entries->n + 1, sizeof(*list)), *e;

    if (!list)
        return -ENOMEM;
    entries->list = list;
    e = &list[entries->n++];
    *e = (Entry){
        .name = strdup(name),
        .uuid = strdup(uuid),
        .state = state,
        .pool = strdup(pool),
        .priority = strdup(priority),
        .overrides = strdup(""),
    };
    return e->name && e->uuid && e->pool && e->priority && e->overrides ? 0 : -ENOMEM;
}

/* By UUID, and by name where a VM has none. */
static Entry *entries_find(const Entries *entries, const char *name, const char *uuid)
{
    for (size_t i = 0; i < entries->n; i++) {
        Entry *e = &entries->list[i];

        if (*uuid ? strcasecmp(e->uuid, uuid) == 0 : strcmp(e->name, name) == 0)
            return e;
    }
    return NULL;
}

static int entries_add_known(Entries *entries, const Snapshot *s)
{
    int r = 0;

    for (size_t i = 0; i < s->n_vms && r >= 0; i++) {
        const VMInfo *vm = &s->vms[i];

        r = entries_add(entries, vm->object.name, vm->uuid, vm->object.state, vm->pool,
                        vm->priority);
    }
    return r;
}

static int entries_on_definition(void *userdata, const DefinitionInfo *info)
{
    char pool[VM_SETTING_TEXT_SIZE] = "", priority[VM_SETTING_TEXT_SIZE] = "";
    Entries *entries = userdata;

    if (entries_find(entries, info->name, info->uuid))
        return 0;
    if (info->given & VM_SETTING_BIT(VM_SETTING_POOL))
        vm_setting_print(&vm_settings[VM_SETTING_POOL], info->settings, pool);
    if (info->given & VM_SETTING_BIT(VM_SETTING_PRIORITY))
        vm_setting_print(&vm_settings[VM_SETTING_PRIORITY], info->settings, priority);
    /* One that runs and that the mediator does not know has been started without its device. */
    return entries_add(entries, info->name, info->uuid, info->active ? "no device" : "off", pool,
                       priority);
}

/* The settings of one override, as text to be freed. */
static int read_override(sd_bus_message *reply, char **ret)
{
    CLEANUP_FREE char *text = strdup("");
    int r = text ? sd_bus_message_enter_container(reply, 'a', "{sv}") : -ENOMEM;

    while (r >= 0 && (r = sd_bus_message_enter_container(reply, 'e', "sv")) > 0) {
        const char *name, *type = NULL, *word = NULL, *blank = *text ? " " : "";
        uint32_t number = 0;
        uint64_t bytes = 0;
        char *longer = NULL;

        r = sd_bus_message_read(reply, "s", &name);
        if (r >= 0)
            r = sd_bus_message_peek_type(reply, NULL, &type);
        if (r >= 0)
            r = strcmp(type, "u") == 0   ? sd_bus_message_read(reply, "v", "u", &number)
                : strcmp(type, "t") == 0 ? sd_bus_message_read(reply, "v", "t", &bytes)
                                         : sd_bus_message_read(reply, "v", "s", &word);
        if (r >= 0)
            r = sd_bus_message_exit_container(reply);
        if (r < 0)
            return r;
        if ((word ? asprintf(&longer, "%s%s%s=%s", text, blank, name, word)
                  : asprintf(&longer, "%s%s%s=%" PRIu64, text, blank, name,
                             bytes ? bytes : (uint64_t) number)) < 0)
            return -ENOMEM;
        free(text);
        text = longer;
    }
    if (r >= 0)
        r = sd_bus_message_exit_container(reply);
    if (r < 0)
        return r;

    *ret = TAKE_PTR(text);
    return 0;
}

/* One element of ListOverrides' answer. */
static int entries_take_override(Entries *entries, sd_bus_message *reply)
{
    const char *name, *uuid;
    char *text = NULL;
    Entry *e;
    int r;

    r = sd_bus_message_read(reply, "ss", &name, &uuid);
    if (r < 0)
        return r;
    e = entries_find(entries, name, uuid);
    if (!e) {
        r = entries_add(entries, name, uuid, "absent", "", "");
        if (r < 0)
            return r;
        e = &entries->list[entries->n - 1];
    }
    r = read_override(reply, &text);
    if (r < 0)
        return r;
    free(e->overrides);
    e->overrides = text;
    return 0;
}

static int entries_add_overrides(Entries *entries, Context *c, sd_bus_error *error)
{
    CLEANUP_MESSAGE sd_bus_message *reply = NULL;
    int r;

    r = sd_bus_call_method(bus_client_bus(c->client), VGPU_BUS_NAME, VGPU_OBJECT_MANAGER,
                           VGPU_INTERFACE_MANAGER, "ListOverrides", error, &reply, NULL);
    if (r >= 0)
        r = sd_bus_message_enter_container(reply, 'a', "(ssa{sv})");
    while (r >= 0 && (r = sd_bus_message_enter_container(reply, 'r', "ssa{sv}")) > 0) {
        r = entries_take_override(entries, reply);
        if (r >= 0)
            r = sd_bus_message_exit_container(reply);
    }
    return r;
}

static int entry_compare(const void *a, const void *b)
{
    return strcmp(((const Entry *) a)->name, ((const Entry *) b)->name);
}

static int entries_get(Entries *entries, Context *c, sd_bus_error *error)
{
    CLEANUP(cleanup_snapshot) Snapshot *s = NULL;
    int r;

    r = snapshot_get(bus_client_bus(c->client), error, &s);
    if (r >= 0)
        r = entries_add_known(entries, s);
    if (r >= 0)
        r = definition_for_each(c, entries_on_definition, entries);
    if (r >= 0)
        r = entries_add_overrides(entries, c, error);
    if (r >= 0 && entries->n > 0)
        qsort(entries->list, entries->n, sizeof(*entries->list), entry_compare);
    return r;
}

int overrides_list(Context *c)
{
    static const Column columns[] = {
        {"NAME", "name", COLUMN_STRING, offsetof(Entry, name), NULL},
        {"UUID", "uuid", COLUMN_STRING, offsetof(Entry, uuid), NULL},
        {"STATE", "state", COLUMN_STATE, offsetof(Entry, state), NULL},
        {"POOL", "pool", COLUMN_STRING, offsetof(Entry, pool), NULL},
        {"PRIORITY", "priority", COLUMN_STRING, offsetof(Entry, priority), NULL},
        {"OVERRIDES", "overrides", COLUMN_STRING, offsetof(Entry, overrides), NULL},
    };
    CLEANUP_ERROR sd_bus_error error = SD_BUS_ERROR_NULL;
    CLEANUP(entries_clear) Entries entries = {0};
    int r;

    r = entries_get(&entries, c, &error);
    if (r < 0) {
        print_error("Failed to list VMs: %s", bus_client_strerror(&error, r));
        return r;
    }
    open_pager(c);
    return table_print(&c->options.table, "vms", "VMs", columns, ELEMENTSOF(columns), entries.list,
                       entries.n, sizeof(*entries.list));
}

/* ---- revert --------------------------------------------------------------------------------- */

int verb_revert(Context *c, int argc, char **argv)
{
    CLEANUP_MESSAGE sd_bus_message *m = NULL;
    CLEANUP_ERROR sd_bus_error error = SD_BUS_ERROR_NULL;
    int r;

    (void) argc;

    bus_client_authorize(c->client);
    r = sd_bus_message_new_method_call(bus_client_bus(c->client), &m, VGPU_BUS_NAME,
                                       VGPU_OBJECT_MANAGER, VGPU_INTERFACE_MANAGER, "RevertVM");
    if (r >= 0)
        r = sd_bus_message_append(m, "s", argv[1]);
    if (r >= 0)
        r = sd_bus_message_append_strv(m, argv + 2);
    if (r >= 0)
        r = sd_bus_call(bus_client_bus(c->client), m, 0, &error, NULL);
    if (r < 0)
        print_error("Failed to revert settings of VM %s: %s", argv[1],
                    bus_client_strerror(&error, r));
    return r;
}
