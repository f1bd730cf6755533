/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* attach and detach: the device in the definition of a libvirt domain. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ctl.h"
#include "domain-attach.h"
#include "names.h"
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

/* The mediator may be on another host, or not run: then nobody knows. */
static void attach_check_pool(char pool)
{
    CLEANUP(sd_bus_flush_close_unrefp) sd_bus *bus = NULL;
    CLEANUP_ERROR sd_bus_error error = SD_BUS_ERROR_NULL;
    CLEANUP_FREE char *name = NULL;
    char path[sizeof(VGPU_OBJECT_POOL "/") + 1];

    if (sd_bus_open_system(&bus) < 0 || sd_bus_set_method_call_timeout(bus, 5 * USEC_PER_SEC) < 0)
        return;
    snprintf(path, sizeof(path), "%s/%c", VGPU_OBJECT_POOL, pool);
    if (sd_bus_get_property_string(bus, VGPU_BUS_NAME, path, VGPU_INTERFACE_POOL, "Name", &error,
                                   &name) < 0 &&
        sd_bus_error_has_name(&error, SD_BUS_ERROR_UNKNOWN_OBJECT))
        print_error("The mediator of this host has no pool %c: the domain cannot start before "
                    "mediator.conf(5) has one.",
                    pool);
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
    attach_check_pool(attributes.settings[VM_SETTING_POOL][0]);
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
