/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "cleanup.h"
#include "text.h"
#include "vm-limits.h"

unsigned vm_limits_next(unsigned i)
{
    while (i < VM_N_SETTINGS && !(vm_settings[i].flags & VM_SETTING_LIMIT))
        i++;
    return i;
}

const VMSetting *vm_limits_find(const char *text)
{
    size_t size = strcspn(text, "=");

    if (text[size] != '=')
        return NULL;
    for (unsigned i = vm_limits_next(0); i < VM_N_SETTINGS; i = vm_limits_next(i + 1))
        if (strlen(vm_settings[i].name) == size &&
            strncasecmp(text, vm_settings[i].name, size) == 0)
            return &vm_settings[i];
    return NULL;
}

char *vm_limits_names(const char *suffix, const char *conjunction)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);

    if (!f)
        return NULL;
    for (unsigned i = vm_limits_next(0), next; i < VM_N_SETTINGS; i = next) {
        next = vm_limits_next(i + 1);
        fprintf(f, "%s%s", vm_settings[i].name, suffix);
        if (next < VM_N_SETTINGS && vm_limits_next(next + 1) < VM_N_SETTINGS)
            fputs(", ", f);
        else if (next < VM_N_SETTINGS)
            fprintf(f, " %s ", conjunction);
    }
    return fclose(f) == 0 ? text : NULL;
}

void vm_limits_refuse(const char *text)
{
    CLEANUP_FREE char *names = vm_limits_names("=", "or");

    print_error("'%s' is no limit: it is %s and a number.", text, names ? names : "");
}
