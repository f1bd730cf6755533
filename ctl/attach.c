/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* attach and detach: the device in the definition of a libvirt domain. No mediator is asked. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ctl.h"
#include "domain-attach.h"
#include "text.h"
#include "vm-limits.h"

/* Reads NAME=VALUE of the limits. The values are checked with the other attributes. */
static int attach_read_limits(DomainAttributes *a, int n, char **limits)
{
    for (int i = 0; i < n; i++) {
        const VMSetting *setting = vm_limits_find(limits[i]);

        if (!setting) {
            vm_limits_refuse(limits[i]);
            return -EINVAL;
        }
        a->settings[setting - vm_settings] = limits[i] + strlen(setting->name) + 1;
    }
    return 0;
}

/* Says what went wrong, or what the user should know. Frees @error. */
static int attach_conclude(int r, const char *what, const char *domain, bool active, char *error)
{
    CLEANUP_FREE char *reason = error;

    if (r < 0 || r == ATTACH_FAILED) {
        print_error("Failed to %s domain %s: %s", what, domain, reason ? reason : strerror(-r));
        return r < 0 ? r : -EIO;
    }
    if (r == ATTACH_CHANGED && active)
        print_error("Domain %s is running: the change takes effect at its next start.", domain);
    return 0;
}

int verb_attach(Context *c, int argc, char **argv)
{
    const Options *o = &c->options;
    DomainAttributes attributes = {
        .settings =
            {
                [VM_SETTING_POOL] = o->pool ? o->pool : "A",
                [VM_SETTING_PRIORITY] = o->priority ? o->priority : "medium",
            },
    };
    char *error = NULL;
    bool active = false;
    int r;

    r = attach_read_limits(&attributes, argc - 2, argv + 2);
    if (r < 0)
        return r;
    r = attach_to_domain(o->connect, argv[1], &attributes, &active, &error);
    return attach_conclude(r, "attach a GPU to", argv[1], active, error);
}

int verb_detach(Context *c, int argc, char **argv)
{
    char *error = NULL;
    bool active = false;
    int r;

    (void) argc;

    r = detach_from_domain(c->options.connect, argv[1], &active, &error);
    return attach_conclude(r, "detach the GPU of", argv[1], active, error);
}
