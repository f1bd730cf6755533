/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vm-place.h"

#include <stdio.h>
#include <string.h>

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"
#define MACHINE_NAME_MAX 64u

static bool has_suffix(const char *text, size_t size, const char *suffix)
{
    const size_t n = strlen(suffix);

    return size > n && strcmp(text + size - n, suffix) == 0;
}

/* Processes are in services and scopes alone. */
static bool is_unit(const char *name, size_t size)
{
    return strspn(name, LETTERS DIGITS ":-_.\\@") == size && name[0] != '@' &&
           (has_suffix(name, size, ".service") || has_suffix(name, size, ".scope"));
}

static bool is_machine(const char *name, size_t size)
{
    return size > 0 && size <= MACHINE_NAME_MAX && strspn(name, LETTERS DIGITS "-_.") == size &&
           name[0] != '.' && name[0] != '-';
}

bool vm_place_set(VMPlace *place, VMPlaceKind kind, const char *name)
{
    const size_t size = strlen(name);

    if (size >= sizeof(place->name))
        return false;
    if (!(kind == VM_PLACE_UNIT ? is_unit(name, size) : is_machine(name, size)))
        return false;
    place->kind = kind;
    memcpy(place->name, name, size + 1);
    return true;
}

bool vm_place_is(const VMPlace *place, VMPlaceKind kind, const char *name)
{
    return place->kind == kind && strcmp(place->name, name) == 0;
}

const char *vm_place_name(const VMPlace *place, VMPlaceKind kind)
{
    return place->kind == kind ? place->name : "";
}

/* FNV-1a: http://www.isthe.com/chongo/tech/comp/fnv/, public domain. */
static uint64_t hash(uint64_t h, const char *text)
{
    for (; *text; text++)
        h = (h ^ (unsigned char) *text) * UINT64_C(1099511628211);
    return h;
}

void vm_place_uuid(const VMPlace *place, uint8_t ret[16])
{
    const char *kind = place->kind == VM_PLACE_UNIT ? "unit:" : "machine:";
    const uint64_t halves[] = {
        hash(hash(UINT64_C(14695981039346656037), kind), place->name),
        hash(hash(UINT64_C(14695981039346656037), place->name), kind) | 1, /* never all zero */
    };

    memcpy(ret, halves, sizeof(halves));
}
