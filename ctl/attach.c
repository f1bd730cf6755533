/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* attach and detach: the device in the definition of a libvirt domain. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ctl.h"
#include "definition.h"
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

/* What is wrong, as an error's number. Frees @error. */
static int attach_fail(int r, const char *what, const char *domain, char *error)
{
    CLEANUP_FREE char *reason = error;

    print_error("Failed to %s domain %s: %s", what, domain, reason ? reason : strerror(-r));
    return r < 0 ? r : -EIO;
}

/* Says when the change takes effect, where that is not at the next start of a domain that is off.
 */
static void attach_say_when(const char *domain, const AttachTarget *target)
{
    if (target->saved)
        print_error("Domain %s has a saved state, and starts with that and its old definition: the "
                    "change takes effect at the start after that. To drop the state: virsh "
                    "managedsave-remove %s",
                    domain, domain);
    else if (target->active)
        print_error("Domain %s is running: the change takes effect at its next start.", domain);
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
    AttachTarget target;
    char *error = NULL;
    int r;

    r = attach_read_limits(&attributes, argc - 2, argv + 2);
    if (r < 0)
        return r;
    r = attach_to_domain(o->connect, argv[1], &attributes, &target, &error);
    if (r < 0 || r == ATTACH_FAILED)
        return attach_fail(r, "attach a GPU to", argv[1], error);
    definition_check_pool(attributes.settings[VM_SETTING_POOL][0]);
    if (r == ATTACH_CHANGED)
        attach_say_when(argv[1], &target);
    return 0;
}

static int detach_one(Context *c, const char *domain)
{
    AttachTarget target;
    char *error = NULL;
    int r;

    r = detach_from_domain(c->options.connect, domain, &target, &error);
    if (r < 0 || r == ATTACH_FAILED)
        return attach_fail(r, "detach the GPU of", domain, error);
    if (r == ATTACH_CHANGED)
        attach_say_when(domain, &target);
    else
        print_error("Domain %s has no GPU.", domain);
    return 0;
}

/* Goes on after a failure, which is what it returns. */
static int detach_all(Context *c)
{
    char **names = NULL, *error = NULL;
    int r, result = 0;

    r = attach_list_domains(c->options.connect, &names, &error);
    if (r != 0)
        return attach_fail(r, "find every", "with a GPU", error);
    for (size_t i = 0; names[i]; i++) {
        r = detach_one(c, names[i]);
        if (r < 0)
            result = r;
    }
    attach_free_names(names);
    return result;
}

int verb_detach(Context *c, int argc, char **argv)
{
    if (c->options.all == (argc > 1)) {
        print_error("detach needs the name of a domain, or --all.");
        return -EINVAL;
    }
    return c->options.all ? detach_all(c) : detach_one(c, argv[1]);
}
