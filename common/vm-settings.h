/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a VM may use, as one table. The table says what each setting is called, which values
 * it takes, and where it may be set. From it follow the VM's properties on D-Bus, the options
 * of RegisterVM and SetVMLimits, the keys in the mediator's state files, the attributes of
 * the element in a libvirt domain, and what vgpuctl takes, completes and shows.
 *
 * A new setting needs a member of VMSettings and a VM_SETTING_*, a row in vm-settings.c, a
 * line in tests/unit/test-vm-settings.c, and, if it has an effect, a line in the mediator's
 * vm_apply(). What is written for people stands apart, and that test names each place that
 * lacks the setting.
 */
#ifndef VGPU_VM_SETTINGS_H
#define VGPU_VM_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct VMSettings {
    char pool;                   /* a letter */
    uint8_t priority;            /* VGPU_PRIORITY_* */
    uint32_t queue_limit;        /* requests waiting */
    uint32_t rate_limit;         /* requests a second; 0: any number */
    uint32_t weight;             /* of its share where a pool is fair */
    uint32_t sessions_max;       /* CUDA sessions at once; 0: none */
    uint64_t session_memory_max; /* bytes of device memory of all together; 0: any number */
} VMSettings;

/* The rows of the table. */
enum {
    VM_SETTING_POOL,
    VM_SETTING_PRIORITY,
    VM_SETTING_QUEUE_LIMIT,
    VM_SETTING_RATE_LIMIT,
    VM_SETTING_WEIGHT,
    VM_SETTING_SESSIONS_MAX,
    VM_SETTING_SESSION_MEMORY_MAX,
    VM_N_SETTINGS
};

/* A set of settings has a bit for each. */
#define VM_SETTING_BIT(setting) (1u << (setting))
#define VM_SETTINGS_ALL (VM_SETTING_BIT(VM_N_SETTINGS) - 1)

/* Ranges that are stated elsewhere too: in mediator.conf's VMQueueLimit=, and in the scheduler. */
#define VM_QUEUE_LIMIT_MAX 65536u
#define VM_QUEUE_LIMIT_DEFAULT 64u
#define VM_WEIGHT_MAX 10000u
#define VM_WEIGHT_DEFAULT 100u

/* A device has so many rings beside the one for requests. */
#define VM_SESSIONS_MAX 15u
#define VM_SESSIONS_DEFAULT 8u
#define VM_SESSION_MEMORY_MAX (UINT64_C(1) << 50)

typedef enum VMSettingKind {
    VM_SETTING_IS_POOL,     /* char; a string of one letter on D-Bus */
    VM_SETTING_IS_PRIORITY, /* uint8_t; "high", "medium" or "low" on D-Bus */
    VM_SETTING_IS_NUMBER,   /* uint32_t; u on D-Bus */
    VM_SETTING_IS_BYTES,    /* uint64_t; t on D-Bus; as text, K, M, G or T may follow */
} VMSettingKind;

/* Flags. */
enum {
    /* May be set by name wherever limits may: in RegisterVM's options and in SetVMLimits, as
     * NAME=N with vgpuctl, and as an attribute, which may be missing. The others have an
     * argument or an option of their own, and are required. */
    VM_SETTING_LIMIT = 1 << 0,
    /* Every mediator has kept it: a registration in a state file is damaged without it. A
     * newer setting has its default there. */
    VM_SETTING_ALWAYS_KEPT = 1 << 1,
};

typedef struct VMSetting {
    const char *name;       /* on D-Bus, in state files, and for vgpuctl: "QueueLimit" */
    const char *configured; /* the property that shows what was registered; NULL: there is none */
    const char *attribute;  /* of the element in a domain's XML: "queue-limit" */
    const char *key;        /* in vgpuctl's JSON and metrics: "queue_limit" */
    const char *label;      /* its line in "vgpuctl status"; NULL: has one of another form */
    const char *help;       /* one sentence, for the metrics */
    VMSettingKind kind;
    unsigned flags;
    uint64_t min, max, initial; /* of a number, or of bytes; initial: where nobody says anything */
    size_t offset, size;        /* in VMSettings */
} VMSetting;

extern const VMSetting vm_settings[VM_N_SETTINGS];

/* vm_setting_find() - the row with this name, or NULL */
const VMSetting *vm_setting_find(const char *name);

/* vm_setting_is_word() - is it neither a number nor bytes? */
static inline bool vm_setting_is_word(const VMSetting *setting)
{
    return setting->kind == VM_SETTING_IS_POOL || setting->kind == VM_SETTING_IS_PRIORITY;
}

/* vm_setting_get() - the value of one that is no word */
uint64_t vm_setting_get(const VMSetting *setting, const VMSettings *settings);

/* vm_setting_set() - the inverse; @value is from min to max */
void vm_setting_set(const VMSetting *setting, VMSettings *settings, uint64_t value);

/* vm_setting_type() - its type on D-Bus, "s", "u" or "t" */
const char *vm_setting_type(const VMSetting *setting);

/*
 * vm_setting_parse() - read one from text, as state files and attributes have it
 * @ret: only this setting is written, and only on success
 *
 * Returns 0, -EINVAL or -ERANGE.
 */
int vm_setting_parse(const VMSetting *setting, const char *text, VMSettings *ret);

#define VM_SETTING_TEXT_SIZE 64

/* vm_setting_print() - the inverse. Returns @buffer, of VM_SETTING_TEXT_SIZE bytes */
char *vm_setting_print(const VMSetting *setting, const VMSettings *settings, char *buffer);

/* vm_setting_describe() - what it takes: "a number from 1 to 65536". Returns @buffer, likewise */
char *vm_setting_describe(const VMSetting *setting, char *buffer);

/*
 * vm_settings_init() - what a VM gets of which nothing is said
 *
 * There is no pool then, and the priority is the lowest. In the mediator, its configuration
 * has the last word about queue_limit.
 */
void vm_settings_init(VMSettings *settings);

/* vm_settings_take() - copy those of the set @which, and leave the others */
void vm_settings_take(VMSettings *to, const VMSettings *from, unsigned which);

/* vm_settings_differ() - the set in which the two differ */
unsigned vm_settings_differ(const VMSettings *a, const VMSettings *b);

#endif
