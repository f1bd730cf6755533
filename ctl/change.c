/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The verbs that change something. Each is a method call, and the mediator checks its arguments. */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "ctl.h"
#include "definition.h"
#include "names.h"
#include "parse.h"
#include "text.h"
#include "vm-limits.h"

/* ---- Calls -------------------------------------------------------------------------------- */

/* Sends a call and says, on failure, that @what could not be done to @whom. */
static int send_call(Context *c, sd_bus_message *m, const char *what, const char *whom,
                     sd_bus_message **ret_reply)
{
    CLEANUP_ERROR sd_bus_error error = SD_BUS_ERROR_NULL;
    int r;

    bus_client_authorize(c->client);
    r = sd_bus_call(bus_client_bus(c->client), m, 0, &error, ret_reply);
    if (r < 0)
        print_error("Failed to %s%s%s: %s", what, *whom ? " " : "", whom,
                    bus_client_strerror(&error, r));
    return r;
}

/* Says that @what could not be done to @whom, for a reason of our own. Returns @r. */
static int report_failure(const char *what, const char *whom, int r)
{
    print_error("Failed to %s%s%s: %s", what, *whom ? " " : "", whom, strerror(-r));
    return r;
}

static int new_manager_call(Context *c, const char *member, sd_bus_message **ret)
{
    return sd_bus_message_new_method_call(bus_client_bus(c->client), ret, VGPU_BUS_NAME,
                                          VGPU_OBJECT_MANAGER, VGPU_INTERFACE_MANAGER, member);
}

/* A call of the Manager with arguments of these @types; NULL: there are none. */
static int call_manager(Context *c, const char *what, const char *whom, const char *member,
                        const char *types, ...)
{
    CLEANUP_MESSAGE sd_bus_message *m = NULL;
    va_list ap;
    int r;

    r = new_manager_call(c, member, &m);
    if (r >= 0 && types) {
        va_start(ap, types);
        r = sd_bus_message_appendv(m, types, ap);
        va_end(ap);
    }
    return r < 0 ? report_failure(what, whom, r) : send_call(c, m, what, whom, NULL);
}

/* A kind of object, and what the message says where there is none of a name. */
typedef struct ObjectType {
    const char *prefix, *interface, *noun, *state;
} ObjectType;

static const ObjectType vm_type = {VGPU_OBJECT_VM, VGPU_INTERFACE_VM, "VM", "known"};
static const ObjectType pool_type = {VGPU_OBJECT_POOL, VGPU_INTERFACE_POOL, "pool", "configured"};

/* A call of a VM or a pool itself, for what the Manager has no method for. */
static int call_object(Context *c, const char *what, const ObjectType *type, const char *name,
                       const char *member)
{
    CLEANUP_ERROR sd_bus_error error = SD_BUS_ERROR_NULL;
    CLEANUP_FREE char *path = NULL;
    int r;

    r = sd_bus_path_encode(type->prefix, name, &path);
    if (r < 0)
        return report_failure(what, name, r);

    bus_client_authorize(c->client);
    r = sd_bus_call_method(bus_client_bus(c->client), VGPU_BUS_NAME, path, type->interface, member,
                           &error, NULL, NULL);
    if (r < 0 && sd_bus_error_has_name(&error, SD_BUS_ERROR_UNKNOWN_OBJECT))
        print_error("Failed to %s %s: No %s '%s' is %s.", what, name, type->noun, name,
                    type->state);
    else if (r < 0)
        print_error("Failed to %s %s: %s", what, name, bus_client_strerror(&error, r));
    return r;
}

/* ---- VMs ---------------------------------------------------------------------------------- */

static void definition_freep(Definition **d)
{
    definition_free(*d);
}

/* What a user wants to be another. */
typedef struct Change {
    const char *what, *vm; /* for the messages */
    VMSettings settings;
    unsigned which;
    const VMSetting *wrong; /* one that its value does not fit, if there is one */
    const char *wrong_text;
} Change;

static void change_add(Change *change, const VMSetting *setting, const char *text)
{
    if (vm_setting_parse(setting, text, &change->settings) == 0) {
        change->which |= VM_SETTING_BIT(setting - vm_settings);
        return;
    }
    change->wrong = setting;
    change->wrong_text = text;
}

/* Changes the definition of a domain that does not run. There is no mediator to check the values.
 */
static int change_definition(Definition *definition, const Change *change)
{
    char text[VM_SETTING_TEXT_SIZE];

    if (!change->wrong)
        return definition_set_off(definition, change->vm, &change->settings, change->which);
    print_error("Failed to %s %s: %s is '%s', and must be %s.", change->what, change->vm,
                change->wrong->name, change->wrong_text, vm_setting_describe(change->wrong, text));
    return -EINVAL;
}

/*
 * Ends a call that makes a change, and makes it: by whether the change is to last, and where. A VM
 * that libvirt manages has it in its definition, and for the mediator it is one of --runtime then.
 */
static int send_change(Context *c, sd_bus_message *m, const Change *change)
{
    CLEANUP(definition_freep) Definition *definition = NULL;
    const char *what = change->what, *vm = change->vm;
    int r = 0;

    if (!c->options.runtime)
        r = definition_open(c, vm, &definition);
    if (definition && definition_is_off(definition))
        return change_definition(definition, change);
    if (r >= 0)
        r = sd_bus_message_append(m, "b", c->options.runtime || definition);
    if (r < 0)
        return report_failure(what, vm, r);
    r = send_call(c, m, what, vm, NULL);
    return r < 0 || !definition
               ? r
               : definition_set(c, definition, vm, &change->settings, change->which);
}

/* A setting that is a word. The mediator says what is wrong with it. */
static int set_word(Context *c, const char *what, const char *member, unsigned setting,
                    char *const *argv)
{
    CLEANUP_MESSAGE sd_bus_message *m = NULL;
    Change change = {.what = what, .vm = argv[1]};
    int r;

    change_add(&change, &vm_settings[setting], argv[2]);
    r = new_manager_call(c, member, &m);
    if (r >= 0)
        r = sd_bus_message_append(m, "ss", argv[1], argv[2]);
    return r < 0 ? report_failure(what, argv[1], r) : send_change(c, m, &change);
}

int verb_set_priority(Context *c, int argc, char **argv)
{
    (void) argc;

    return set_word(c, "set priority of VM", "SetVMPriority", VM_SETTING_PRIORITY, argv);
}

int verb_set_pool(Context *c, int argc, char **argv)
{
    (void) argc;

    return set_word(c, "set pool of VM", "SetVMPool", VM_SETTING_POOL, argv);
}

/* The name that the mediator has for what @text, NAME=N, is about, or NULL. */
static const char *find_option(const char *text, bool registers)
{
    const VMSetting *setting = vm_limits_find(text);

    if (setting)
        return setting->name;
    return registers && strncasecmp(text, "VMID=", 5) == 0 ? "VMID" : NULL;
}

/* Appends one pair. Returns 1 for a value that it does not take. A number's range is the mediator's
 * affair, which names it. */
static int append_limit(sd_bus_message *m, const char *name, const char *text)
{
    const VMSetting *setting = vm_setting_find(name);
    VMSettings settings;
    uint32_t value;
    int r;

    if (setting && setting->kind == VM_SETTING_IS_BYTES) {
        if (vm_setting_parse(setting, text, &settings) < 0)
            return 1;
        r = sd_bus_message_append(m, "{sv}", name, "t", vm_setting_get(setting, &settings));
    } else {
        if (parse_u32(text, 0, UINT32_MAX, &value) < 0)
            return 1;
        r = sd_bus_message_append(m, "{sv}", name, "u", value);
    }
    return r < 0 ? r : 0;
}

static int append_place(sd_bus_message *m, const char *key, const char *name)
{
    return name ? sd_bus_message_append(m, "{sv}", key, "s", name) : 0;
}

/* Appends a{sv} from NAME=N. A registration also takes VMID=N and what the options say; NULL: it is
 * none. */
static int append_limits(sd_bus_message *m, char *const *settings, int n,
                         const Options *registration)
{
    const bool registers = registration != NULL;
    int r = sd_bus_message_open_container(m, 'a', "{sv}");

    if (r >= 0 && registers)
        r = append_place(m, "Unit", registration->unit);
    if (r >= 0 && registers)
        r = append_place(m, "Machine", registration->machine);

    for (int i = 0; i < n && r >= 0; i++) {
        const char *name = find_option(settings[i], registers);

        r = name ? append_limit(m, name, strchr(settings[i], '=') + 1) : 1;
        if (r == 1) {
            vm_limits_refuse(settings[i]);
            return -EINVAL;
        }
    }
    if (r >= 0)
        r = sd_bus_message_close_container(m);
    return r < 0 ? report_failure("make the call", "", r) : 0;
}

int verb_set_limits(Context *c, int argc, char **argv)
{
    CLEANUP_MESSAGE sd_bus_message *m = NULL;
    Change change = {.what = "set limits of VM", .vm = argv[1]};
    int r;

    r = new_manager_call(c, "SetVMLimits", &m);
    if (r >= 0)
        r = sd_bus_message_append(m, "s", argv[1]);
    if (r < 0)
        return report_failure(change.what, argv[1], r);
    r = append_limits(m, argv + 2, argc - 2, NULL);
    if (r < 0)
        return r;
    for (int i = 2; i < argc; i++) {
        const VMSetting *s = vm_limits_find(argv[i]);

        if (s) /* as it is: append_limits() takes no other */
            change_add(&change, s, argv[i] + strlen(s->name) + 1);
    }
    return send_change(c, m, &change);
}

/* Tries each VM. The first failure, if there is one, is the result. */
int verb_change_vms(Context *c, int argc, char **argv)
{
    static const struct {
        const char *verb, *member, *what;
    } verbs[] = {
        {"pause", "PauseVM", "pause VM"},
        {"resume", "ResumeVM", "resume VM"},
        {"quarantine", "QuarantineVM", "quarantine VM"},
        {"release", "ReleaseVM", "release VM"},
        {"unregister", "UnregisterVM", "unregister VM"},
    };
    size_t v = 0;
    int failure = 0;

    while (strcmp(verbs[v].verb, argv[0]) != 0) {
        v++;
        assert(v < ELEMENTSOF(verbs)); /* main.c knows the same verbs */
    }
    for (int i = 1; i < argc; i++) {
        int r = call_manager(c, verbs[v].what, argv[i], verbs[v].member, "s", argv[i]);

        failure = failure < 0 ? failure : r;
    }
    return failure;
}

/* ---- Pools -------------------------------------------------------------------------------- */

int verb_change_pools(Context *c, int argc, char **argv)
{
    bool pause = strcmp(argv[0], "pause-pool") == 0;
    int failure = 0;

    for (int i = 1; i < argc; i++) {
        int r = call_object(c, pause ? "pause pool" : "resume pool", &pool_type, argv[i],
                            pause ? "Pause" : "Resume");

        failure = failure < 0 ? failure : r;
    }
    return failure;
}

/* ---- The service -------------------------------------------------------------------------- */

int verb_reload(Context *c, int argc, char **argv)
{
    (void) argc, (void) argv;

    return call_manager(c, "reload the configuration", "", "Reload", NULL);
}

int verb_reset_statistics(Context *c, int argc, char **argv)
{
    int failure = 0;

    if (c->options.all && (argc > 1 || c->options.pool)) {
        print_error("--all goes without VMs and without --pool=.");
        return -EINVAL;
    }
    if (c->options.all)
        return call_manager(c, "reset all statistics", "", "ResetStatistics", NULL);
    if (argc < 2 && !c->options.pool) {
        print_error("Name VMs, or a pool with --pool=, or say --all.");
        return -EINVAL;
    }

    if (c->options.pool)
        failure = call_object(c, "reset statistics of pool", &pool_type, c->options.pool,
                              "ResetStatistics");
    for (int i = 1; i < argc; i++) {
        int r = call_object(c, "reset statistics of VM", &vm_type, argv[i], "ResetStatistics");

        failure = failure < 0 ? failure : r;
    }
    return failure;
}

/* ---- Registration -------------------------------------------------------------------------- */

static int read_registered(sd_bus_message *reply, const char *name)
{
    const char *path;
    uint32_t id;
    int r = sd_bus_message_read(reply, "uo", &id, &path);

    if (r < 0)
        return report_failure("register VM", name, r);
    printf("%" PRIu32 "\n", id);
    return 0;
}

int verb_register(Context *c, int argc, char **argv)
{
    CLEANUP_MESSAGE sd_bus_message *m = NULL, *reply = NULL;
    const Options *o = &c->options;
    /* Processes of a unit or a machine have no UUID to show. */
    const int n_words = o->unit || o->machine ? 2 : 3;
    int r;

    if (argc < n_words) {
        print_error("Too few arguments for 'register'. See vgpuctl --help.");
        return -EINVAL;
    }
    r = new_manager_call(c, "RegisterVM", &m);
    if (r >= 0)
        r = sd_bus_message_append(m, "ssss", argv[1], n_words == 3 ? argv[2] : "",
                                  o->pool ? o->pool : "A", o->priority ? o->priority : "medium");
    if (r < 0)
        return report_failure("register VM", argv[1], r);
    r = append_limits(m, argv + n_words, argc - n_words, o);
    if (r >= 0)
        r = send_call(c, m, "register VM", argv[1], &reply);
    return r < 0 ? r : read_registered(reply, argv[1]);
}
