/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vm-settings.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "parse.h"
#include "vgpu-protocol.h"

#define MEMBER(member) \
    .offset = offsetof(VMSettings, member), .size = sizeof(((VMSettings *) NULL)->member)

const VMSetting vm_settings[VM_N_SETTINGS] = {
    [VM_SETTING_POOL] =
        {
            .name = "Pool",
            .configured = "ConfiguredPool",
            .attribute = "pool",
            .key = "pool",
            .kind = VM_SETTING_IS_POOL,
            .flags = VM_SETTING_ALWAYS_KEPT,
            MEMBER(pool),
        },
    [VM_SETTING_PRIORITY] =
        {
            .name = "Priority",
            .configured = "ConfiguredPriority",
            .attribute = "priority",
            .key = "priority",
            .kind = VM_SETTING_IS_PRIORITY,
            .flags = VM_SETTING_ALWAYS_KEPT,
            MEMBER(priority),
        },
    [VM_SETTING_QUEUE_LIMIT] =
        {
            .name = "QueueLimit",
            .attribute = "queue-limit",
            .key = "queue_limit",
            .help = "The most requests that may wait.",
            .kind = VM_SETTING_IS_NUMBER,
            .flags = VM_SETTING_LIMIT | VM_SETTING_ALWAYS_KEPT,
            .min = 1,
            .max = VM_QUEUE_LIMIT_MAX,
            .initial = VM_QUEUE_LIMIT_DEFAULT,
            MEMBER(queue_limit),
        },
    [VM_SETTING_RATE_LIMIT] =
        {
            .name = "RequestRateLimit",
            .attribute = "request-rate-limit",
            .key = "request_rate_limit",
            .help = "The most requests a second; 0 for any number.",
            .kind = VM_SETTING_IS_NUMBER,
            .flags = VM_SETTING_LIMIT | VM_SETTING_ALWAYS_KEPT,
            .min = 0,
            .max = UINT32_MAX,
            .initial = 0,
            MEMBER(rate_limit),
        },
    [VM_SETTING_WEIGHT] =
        {
            .name = "Weight",
            .attribute = "weight",
            .key = "weight",
            .label = "Weight",
            .help = "Its part of a fair pool's time.",
            .kind = VM_SETTING_IS_NUMBER,
            .flags = VM_SETTING_LIMIT,
            .min = 1,
            .max = VM_WEIGHT_MAX,
            .initial = VM_WEIGHT_DEFAULT,
            MEMBER(weight),
        },
    [VM_SETTING_SESSIONS_MAX] =
        {
            .name = "SessionsMax",
            .attribute = "sessions-max",
            .key = "sessions_max",
            .help = "The most CUDA sessions at once.",
            .kind = VM_SETTING_IS_NUMBER,
            .flags = VM_SETTING_LIMIT,
            .min = 0,
            .max = VM_SESSIONS_MAX,
            .initial = VM_SESSIONS_DEFAULT,
            MEMBER(sessions_max),
        },
    [VM_SETTING_SESSION_MEMORY_MAX] =
        {
            .name = "SessionMemoryMax",
            .attribute = "session-memory-max",
            .key = "session_memory_max",
            .help =
                "The most bytes of device memory of its CUDA sessions together; 0 for any number.",
            .kind = VM_SETTING_IS_BYTES,
            .flags = VM_SETTING_LIMIT,
            .min = 0,
            .max = VM_SESSION_MEMORY_MAX,
            .initial = 0,
            MEMBER(session_memory_max),
        },
};

static void *vm_setting_in(const VMSetting *setting, const VMSettings *settings)
{
    return (char *) settings + setting->offset;
}

static const char suffixes[] = "KMGT";

const VMSetting *vm_setting_find(const char *name)
{
    for (unsigned i = 0; i < VM_N_SETTINGS; i++)
        if (strcmp(vm_settings[i].name, name) == 0)
            return &vm_settings[i];
    return NULL;
}

uint64_t vm_setting_get(const VMSetting *setting, const VMSettings *settings)
{
    const void *value = vm_setting_in(setting, settings);

    assert(!vm_setting_is_word(setting));

    return setting->kind == VM_SETTING_IS_BYTES ? *(const uint64_t *) value
                                                : *(const uint32_t *) value;
}

void vm_setting_set(const VMSetting *setting, VMSettings *settings, uint64_t value)
{
    void *target = vm_setting_in(setting, settings);

    assert(!vm_setting_is_word(setting));
    assert(value >= setting->min && value <= setting->max);

    if (setting->kind == VM_SETTING_IS_BYTES)
        *(uint64_t *) target = value;
    else
        *(uint32_t *) target = (uint32_t) value;
}

const char *vm_setting_type(const VMSetting *setting)
{
    return setting->kind == VM_SETTING_IS_NUMBER  ? "u"
           : setting->kind == VM_SETTING_IS_BYTES ? "t"
                                                  : "s";
}

/* ---- As text ---------------------------------------------------------------------------- */

/* Digits, and perhaps a suffix. */
static int parse_bytes(const VMSetting *setting, const char *text, uint64_t *ret)
{
    char digits[24];
    size_t size = strlen(text);
    const char *suffix = size > 1 ? strchr(suffixes, text[size - 1]) : NULL;
    unsigned shift = suffix ? 10 * (unsigned) (suffix - suffixes + 1) : 0;
    uint64_t number;
    int r;

    if (size >= sizeof(digits))
        return -ERANGE;
    memcpy(digits, text, size + 1);
    if (suffix)
        digits[size - 1] = '\0';
    r = parse_u64(digits, 0, setting->max >> shift, &number);
    if (r < 0)
        return r;
    if (number << shift < setting->min)
        return -ERANGE;

    *ret = number << shift;
    return 0;
}

int vm_setting_parse(const VMSetting *setting, const char *text, VMSettings *ret)
{
    int priority;

    switch (setting->kind) {
    case VM_SETTING_IS_POOL:
        if (strlen(text) != 1 || !vgpu_pool_is_valid((unsigned char) text[0]))
            return -EINVAL;
        *(char *) vm_setting_in(setting, ret) = text[0];
        return 0;
    case VM_SETTING_IS_PRIORITY:
        priority = vgpu_priority_from_string(text);
        if (priority < 0)
            return -EINVAL;
        *(uint8_t *) vm_setting_in(setting, ret) = (uint8_t) priority;
        return 0;
    case VM_SETTING_IS_BYTES:
        return parse_bytes(setting, text, vm_setting_in(setting, ret));
    case VM_SETTING_IS_NUMBER:
        break;
    }
    return parse_u32(text, (uint32_t) setting->min, (uint32_t) setting->max,
                     vm_setting_in(setting, ret));
}

char *vm_setting_print(const VMSetting *setting, const VMSettings *settings, char *buffer)
{
    const void *value = vm_setting_in(setting, settings);

    switch (setting->kind) {
    case VM_SETTING_IS_POOL:
        snprintf(buffer, VM_SETTING_TEXT_SIZE, "%c", *(const char *) value);
        break;
    case VM_SETTING_IS_PRIORITY:
        snprintf(buffer, VM_SETTING_TEXT_SIZE, "%s",
                 vgpu_priority_to_string(*(const uint8_t *) value));
        break;
    case VM_SETTING_IS_NUMBER:
    case VM_SETTING_IS_BYTES:
        snprintf(buffer, VM_SETTING_TEXT_SIZE, "%" PRIu64, vm_setting_get(setting, settings));
        break;
    }
    return buffer;
}

char *vm_setting_describe(const VMSetting *setting, char *buffer)
{
    switch (setting->kind) {
    case VM_SETTING_IS_POOL:
        snprintf(buffer, VM_SETTING_TEXT_SIZE, "one letter from %c to %c", VGPU_POOL_FIRST,
                 VGPU_POOL_LAST);
        break;
    case VM_SETTING_IS_PRIORITY:
        snprintf(buffer, VM_SETTING_TEXT_SIZE, "high, medium or low");
        break;
    case VM_SETTING_IS_NUMBER:
        snprintf(buffer, VM_SETTING_TEXT_SIZE, "a number from %" PRIu64 " to %" PRIu64,
                 setting->min, setting->max);
        break;
    case VM_SETTING_IS_BYTES:
        snprintf(buffer, VM_SETTING_TEXT_SIZE, "bytes from %" PRIu64 " to %" PRIu64, setting->min,
                 setting->max);
        break;
    }
    return buffer;
}

/* ---- All of them ------------------------------------------------------------------------ */

void vm_settings_init(VMSettings *settings)
{
    *settings = (VMSettings){0};
    for (unsigned i = 0; i < VM_N_SETTINGS; i++)
        if (!vm_setting_is_word(&vm_settings[i]))
            vm_setting_set(&vm_settings[i], settings, vm_settings[i].initial);
}

void vm_settings_take(VMSettings *to, const VMSettings *from, unsigned which)
{
    for (unsigned i = 0; i < VM_N_SETTINGS; i++)
        if (which & VM_SETTING_BIT(i))
            memcpy(vm_setting_in(&vm_settings[i], to), vm_setting_in(&vm_settings[i], from),
                   vm_settings[i].size);
}

unsigned vm_settings_differ(const VMSettings *a, const VMSettings *b)
{
    unsigned which = 0;

    for (unsigned i = 0; i < VM_N_SETTINGS; i++)
        if (memcmp(vm_setting_in(&vm_settings[i], a), vm_setting_in(&vm_settings[i], b),
                   vm_settings[i].size) != 0)
            which |= VM_SETTING_BIT(i);
    return which;
}
