/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "cleanup.h"
#include "machine.h"

/* Is @type the word itself, or the word, a hyphen and a version? */
static bool is_of(const char *type, size_t length, const char *word)
{
    size_t n = strlen(word);

    return length >= n && memcmp(type, word, n) == 0 && (length == n || type[n] == '-');
}

const char *machine_root_bus(const char *type, unsigned length)
{
    /* "pc" alone stands below, because other names begin with it. Ubuntu has names of its own. */
    static const struct {
        const char *word, *bus;
    } types[] = {
        {"pc-q35", "pcie.0"},   {"q35", "pcie.0"},   {"ubuntu-q35", "pcie.0"},
        {"pc-i440fx", "pci.0"}, {"ubuntu", "pci.0"},
    };

    if (length == 2 && memcmp(type, "pc", 2) == 0)
        return "pci.0";
    for (size_t i = 0; i < ELEMENTSOF(types); i++)
        if (is_of(type, length, types[i].word))
            return types[i].bus;

    return NULL;
}
