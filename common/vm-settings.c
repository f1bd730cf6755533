/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vm-settings.h"

#include <assert.h>
#include <errno.h>
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
};

static void *vm_setting_in(const VMSetting *setting, const VMSettings *settings)
{
    return (char *) settings + setting->offset;
}

const VMSetting *vm_setting_find(const char *name)
{
    for (unsigned i = 0; i < VM_N_SETTINGS; i++)
        if (strcmp(vm_settings[i].name, name) == 0)
            return &vm_settings[i];
    return NULL;
}

uint32_t *vm_setting_number(const VMSetting *setting, VMSettings *settings)
{
    assert(setting->kind == VM_SETTING_IS_NUMBER);

    return vm_setting_in(setting, settings);
}

const char *vm_setting_type(const VMSetting *setting)
{
    return setting->kind == VM_SETTING_IS_NUMBER ? "u" : "s";
}

/* ---- As text ---------------------------------------------------------------------------- */

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
    case VM_SETTING_IS_NUMBER:
        break;
    }
    return parse_u32(text, setting->min, setting->max, vm_setting_in(setting, ret));
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
        snprintf(buffer, VM_SETTING_TEXT_SIZE, "%u", *(const uint32_t *) value);
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
        snprintf(buffer, VM_SETTING_TEXT_SIZE, "a number from %u to %u", setting->min,
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
        if (vm_settings[i].kind == VM_SETTING_IS_NUMBER)
            *vm_setting_number(&vm_settings[i], settings) = vm_settings[i].initial;
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
