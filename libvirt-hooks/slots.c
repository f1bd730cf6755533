/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "cleanup.h"
#include "slot.h"
#include "slots.h"

#define DRIVER "vgpu-stub"

static void json_putp(json_object **object)
{
    json_object_put(*object);
}

#define CLEANUP_JSON CLEANUP(json_putp)

/* "1e", "0x1e" and "0x1e.0x7": slot and function, hexadecimal whatever they look like. */
static bool parse_address(const char *text, unsigned *ret_slot)
{
    char *end;
    unsigned long slot;

    if (*text == '\0')
        return false;
    slot = strtoul(text, &end, 16);
    if (end == text || (*end != '\0' && *end != '.') || slot >= N_SLOTS)
        return false;

    *ret_slot = (unsigned) slot;
    return true;
}

static void device_argument_take(DeviceArgument *a, const char *key, const char *value,
                                 const char *bus)
{
    if (strcmp(key, "driver") == 0)
        a->is_vgpu = strcmp(value, DRIVER) == 0;
    else if (strcmp(key, "bus") == 0)
        a->on_bus = strcmp(value, bus) == 0;
    else if (strcmp(key, "addr") == 0)
        a->has_slot = parse_address(value, &a->slot);
}

static int device_argument_parse_json(const char *text, const char *bus, DeviceArgument *a)
{
    static const char *const keys[] = {"driver", "bus", "addr"};
    CLEANUP_JSON json_object *object = json_tokener_parse(text);
    json_object *value;

    for (size_t i = 0; i < ELEMENTSOF(keys); i++) {
        if (!json_object_object_get_ex(object, keys[i], &value))
            continue;
        if (json_object_is_type(value, json_type_string)) {
            device_argument_take(a, keys[i], json_object_get_string(value), bus);
        } else if (strcmp(keys[i], "addr") == 0 && json_object_is_type(value, json_type_int)) {
            /* A number is slot and function in one. */
            int64_t devfn = json_object_get_int64(value);

            a->has_slot = devfn >= 0 && devfn < (int64_t) N_SLOTS * 8;
            a->slot = a->has_slot ? (unsigned) devfn / 8 : 0;
        }
    }
    return 0;
}

/* Copies up to the next comma that is alone; two commas stand for one in the value. Returns what
 * follows, or NULL at the end. */
static const char *next_item(const char *text, char *buf)
{
    for (; *text; text++) {
        if (*text == ',' && *++text != ',') {
            *buf = '\0';
            return text;
        }
        *buf++ = *text;
    }
    *buf = '\0';
    return NULL;
}

static int device_argument_parse_text(const char *text, const char *bus, DeviceArgument *a)
{
    CLEANUP_FREE char *item = malloc(strlen(text) + 1);
    bool first = true;

    if (!item)
        return -ENOMEM;
    for (; text; first = false) {
        char *value;

        text = next_item(text, item);
        value = strchr(item, '=');
        if (value) {
            *value++ = '\0';
            device_argument_take(a, item, value, bus);
        } else if (first) {
            device_argument_take(a, "driver", item, bus);
        }
    }
    return 0;
}

int device_argument_parse(const char *value, const char *bus, DeviceArgument *ret)
{
    DeviceArgument a = {.on_bus = true};
    int r = value[0] == '{' ? device_argument_parse_json(value, bus, &a)
                            : device_argument_parse_text(value, bus, &a);

    if (r < 0)
        return r;
    *ret = a;
    return 0;
}

int slots_find_free(uint32_t taken)
{
    for (unsigned slot = SLOT_LAST; slot >= SLOT_FIRST; slot--)
        if (!(taken & (UINT32_C(1) << slot)))
            return (int) slot;

    return -ENOSPC;
}
