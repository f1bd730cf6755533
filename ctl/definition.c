/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "definition.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "names.h"
#include "text.h"

#if VGPU_HAVE_LIBVIRT

#include "managed-domain.h"

/* The mediator's VMs are of the system's libvirt, also for a user whose own one is the default. */
static const char *definition_uri(const Context *c)
{
    const char *uri = getenv("LIBVIRT_DEFAULT_URI");

    return c->options.connect ? c->options.connect : uri && *uri ? uri : "qemu:///system";
}

struct Definition {
    ManagedDomain *domain;
    bool off;
};

/* The UUID that the mediator has for a name; to be freed, or NULL. */
static char *definition_uuid(Context *c, const char *vm)
{
    CLEANUP_FREE char *path = NULL;
    char *uuid = NULL;

    if (sd_bus_path_encode(VGPU_OBJECT_VM, vm, &path) < 0)
        return NULL;
    return sd_bus_get_property_string(bus_client_bus(c->client), VGPU_BUS_NAME, path,
                                      VGPU_INTERFACE_VM, "UUID", NULL, &uuid) < 0
               ? NULL
               : uuid;
}

int definition_open(Context *c, const char *vm, Definition **ret)
{
    CLEANUP_FREE char *uuid = definition_uuid(c, vm);
    ManagedDomain *domain = NULL;
    int r = 0;

    *ret = NULL;
    if (uuid && *uuid)
        r = managed_domain_open(definition_uri(c), uuid, !c->options.no_ask_password, &domain);
    else if (!uuid)
        r = managed_domain_open_off(definition_uri(c), vm, !c->options.no_ask_password, &domain);
    if (r < 0 || !domain)
        return r < 0 ? r : 0;

    *ret = malloc(sizeof(**ret));
    if (!*ret) {
        managed_domain_free(domain);
        return -ENOMEM;
    }
    (*ret)->domain = domain;
    (*ret)->off = !uuid;
    return 0;
}

Definition *definition_free(Definition *d)
{
    if (d)
        managed_domain_free(d->domain);
    free(d);
    return NULL;
}

/* Until its next start, the mediator would else take the old definition for the VM's. */
static int definition_tell(Context *c, const char *vm, const VMSettings *settings, unsigned which)
{
    CLEANUP_MESSAGE sd_bus_message *m = NULL;
    CLEANUP_ERROR sd_bus_error error = SD_BUS_ERROR_NULL;
    char text[VM_SETTING_TEXT_SIZE];
    int r;

    r = sd_bus_message_new_method_call(bus_client_bus(c->client), &m, VGPU_BUS_NAME,
                                       VGPU_OBJECT_MANAGER, VGPU_INTERFACE_MANAGER, "ConfigureVM");
    if (r >= 0)
        r = sd_bus_message_append(m, "s", vm);
    if (r >= 0)
        r = sd_bus_message_open_container(m, 'a', "{sv}");
    for (unsigned i = 0; i < VM_N_SETTINGS && r >= 0; i++) {
        const VMSetting *s = &vm_settings[i];

        if (!(which & VM_SETTING_BIT(i)))
            continue;
        if (s->kind == VM_SETTING_IS_NUMBER)
            r = sd_bus_message_append(m, "{sv}", s->name, "u",
                                      (uint32_t) vm_setting_get(s, settings));
        else if (s->kind == VM_SETTING_IS_BYTES)
            r = sd_bus_message_append(m, "{sv}", s->name, "t", vm_setting_get(s, settings));
        else
            r = sd_bus_message_append(m, "{sv}", s->name, "s", vm_setting_print(s, settings, text));
    }
    if (r >= 0)
        r = sd_bus_message_close_container(m);
    if (r >= 0)
        r = sd_bus_call(bus_client_bus(c->client), m, 0, &error, NULL);
    if (r < 0)
        print_error("The definition of VM %s is changed, but the mediator could not be told: %s",
                    vm, bus_client_strerror(&error, r));
    return r;
}

int definition_set(Context *c, Definition *d, const char *vm, const VMSettings *settings,
                   unsigned which)
{
    CLEANUP_FREE char *error = NULL;
    int r = managed_domain_set(d->domain, settings, which, &error);

    if (r != 0) {
        print_error("The change of VM %s is in effect, but could not be kept in libvirt's "
                    "definition: %s",
                    vm, error ? error : strerror(-r));
        return r < 0 ? r : -EIO;
    }
    return definition_tell(c, vm, settings, which);
}

void definition_check_pool(char pool)
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

bool definition_is_off(const Definition *d)
{
    return d->off;
}

int definition_set_off(Definition *d, const char *name, const VMSettings *settings, unsigned which)
{
    CLEANUP_FREE char *error = NULL;
    int r = managed_domain_set(d->domain, settings, which, &error);

    if (r != 0) {
        print_error("Failed to change the definition of domain %s: %s", name,
                    error ? error : strerror(-r));
        return r < 0 ? r : -EIO;
    }
    if (which & VM_SETTING_BIT(VM_SETTING_POOL))
        definition_check_pool(settings->pool);
    if (managed_domain_is_saved(d->domain))
        print_error("Domain %s has a saved state, and starts with that and its old definition: the "
                    "change takes effect at the start after that. To drop the state: virsh "
                    "managedsave-remove %s",
                    name, name);
    return 0;
}

typedef struct Each {
    int (*handler)(void *userdata, const DefinitionInfo *info);
    void *userdata;
} Each;

static int definition_on_domain(void *userdata, const ManagedDomainInfo *domain)
{
    const Each *each = userdata;
    const DefinitionInfo info = {
        .name = domain->name,
        .uuid = domain->uuid,
        .active = domain->active,
        .settings = domain->settings,
        .given = domain->given,
    };

    return each->handler(each->userdata, &info);
}

int definition_for_each(Context *c, int (*handler)(void *userdata, const DefinitionInfo *info),
                        void *userdata)
{
    Each each = {.handler = handler, .userdata = userdata};
    int r = managed_domain_list(definition_uri(c), !c->options.no_ask_password,
                                definition_on_domain, &each);

    return r < 0 ? r : 0;
}

#else

/* Without libvirt, no VM has a definition there. */
int definition_open(Context *c, const char *vm, Definition **ret)
{
    (void) c, (void) vm;

    *ret = NULL;
    return 0;
}

Definition *definition_free(Definition *d)
{
    (void) d;

    return NULL;
}

int definition_set(Context *c, Definition *d, const char *vm, const VMSettings *settings,
                   unsigned which)
{
    (void) c, (void) d, (void) vm, (void) settings, (void) which;

    assert(false); /* there is no definition to call this with */
    return -ENOTSUP;
}

bool definition_is_off(const Definition *d)
{
    (void) d;

    return false;
}

int definition_set_off(Definition *d, const char *name, const VMSettings *settings, unsigned which)
{
    (void) d, (void) name, (void) settings, (void) which;

    assert(false); /* likewise */
    return -ENOTSUP;
}

int definition_for_each(Context *c, int (*handler)(void *userdata, const DefinitionInfo *info),
                        void *userdata)
{
    (void) c, (void) handler, (void) userdata;

    return 0;
}

#endif
