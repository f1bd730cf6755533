/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "managed-domain.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

#include "cleanup.h"
#include "domain-element.h"
#include "domain.h"
#include "fail.h"
#include "libvirt-connection.h"
#include "xml.h"

struct ManagedDomain {
    virConnectPtr connection;
    virDomainPtr domain;
};

static void managed_domain_freep(ManagedDomain **d)
{
    managed_domain_free(*d);
}

ManagedDomain *managed_domain_free(ManagedDomain *d)
{
    if (!d)
        return NULL;
    if (d->domain)
        virDomainFree(d->domain);
    if (d->connection)
        virConnectClose(d->connection);
    free(d);
    return NULL;
}

/* ---- The element --------------------------------------------------------------------------- */

/* The whole domain, as it runs or as it is defined. @ret_element is NULL where there is none. */
static int managed_domain_parse(virDomainPtr domain, bool live, xmlDoc **ret_doc,
                                xmlNode **ret_element, char **ret_error)
{
    CLEANUP_FREE char *xml = virDomainGetXMLDesc(domain, live ? 0 : VIR_DOMAIN_XML_INACTIVE);
    CLEANUP_XML_DOC xmlDoc *doc = NULL;
    int r;

    if (!xml)
        return fail_with_libvirt(MANAGED_FAILED, ret_error);
    r = xml_parse(xml, strlen(xml), &doc, ret_error);
    if (r == 0)
        r = domain_find_element(xmlDocGetRootElement(doc), ret_element, ret_error);
    if (r != 0)
        return r < 0 ? r : MANAGED_FAILED;

    *ret_doc = TAKE_PTR(doc);
    return 0;
}

static int set_attributes(xmlDoc *element, const VMSettings *settings, unsigned which)
{
    char text[VM_SETTING_TEXT_SIZE];
    int r = 0;

    for (unsigned i = 0; i < VM_N_SETTINGS && r == 0; i++)
        if (which & VM_SETTING_BIT(i))
            r = element_set(element, vm_settings[i].attribute,
                            vm_setting_print(&vm_settings[i], settings, text));
    return r;
}

static int managed_domain_write(virDomainPtr domain, bool live, const xmlNode *element,
                                const VMSettings *settings, unsigned which, char **ret_error)
{
    CLEANUP_XML_DOC xmlDoc *copy = element_copy(element);
    CLEANUP_FREE char *text = NULL;

    if (copy && set_attributes(copy, settings, which) == 0)
        text = element_print(copy);
    if (!text)
        return -ENOMEM;
    if (virDomainSetMetadata(domain, VIR_DOMAIN_METADATA_ELEMENT, text, "vgpu", DOMAIN_NAMESPACE,
                             live ? VIR_DOMAIN_AFFECT_LIVE : VIR_DOMAIN_AFFECT_CONFIG) < 0)
        return fail_with_libvirt(MANAGED_FAILED, ret_error);
    return 0;
}

/* One that has no element has lost its GPU there, and there is nothing to keep. */
static int managed_domain_set_one(virDomainPtr domain, bool live, const VMSettings *settings,
                                  unsigned which, char **ret_error)
{
    CLEANUP_XML_DOC xmlDoc *doc = NULL;
    xmlNode *element = NULL;
    int r = managed_domain_parse(domain, live, &doc, &element, ret_error);

    return r != 0 || !element
               ? r
               : managed_domain_write(domain, live, element, settings, which, ret_error);
}

/* ---- One domain ---------------------------------------------------------------------------- */

static bool has_element(virDomainPtr domain)
{
    CLEANUP_FREE char *text = virDomainGetMetadata(domain, VIR_DOMAIN_METADATA_ELEMENT,
                                                   DOMAIN_NAMESPACE, VIR_DOMAIN_AFFECT_CURRENT);

    return text;
}

/* @off: only one that does not run */
static int managed_domain_find(const char *uri, bool ask,
                               virDomainPtr (*look_up)(virConnectPtr connection, const char *key),
                               const char *key, bool off, ManagedDomain **ret)
{
    CLEANUP(managed_domain_freep) ManagedDomain *d = calloc(1, sizeof(*d));

    if (!d)
        return -ENOMEM;
    d->connection = libvirt_connect(uri, ask);
    if (!d->connection)
        return MANAGED_NOT;
    d->domain = look_up(d->connection, key);
    if (!d->domain || (off && virDomainIsActive(d->domain) != 0) || !has_element(d->domain))
        return MANAGED_NOT;

    *ret = TAKE_PTR(d);
    return 0;
}

int managed_domain_open(const char *uri, const char *uuid, bool ask, ManagedDomain **ret)
{
    return managed_domain_find(uri, ask, virDomainLookupByUUIDString, uuid, false, ret);
}

int managed_domain_open_off(const char *uri, const char *name, bool ask, ManagedDomain **ret)
{
    return managed_domain_find(uri, ask, virDomainLookupByName, name, true, ret);
}

bool managed_domain_is_saved(ManagedDomain *d)
{
    return virDomainHasManagedSaveImage(d->domain, 0) > 0;
}

int managed_domain_set(ManagedDomain *d, const VMSettings *settings, unsigned which,
                       char **ret_error)
{
    int active = virDomainIsActive(d->domain), persistent = virDomainIsPersistent(d->domain), r = 0;

    if (active < 0 || persistent < 0)
        return fail_with_libvirt(MANAGED_FAILED, ret_error);
    if (persistent > 0)
        r = managed_domain_set_one(d->domain, false, settings, which, ret_error);
    if (r == 0 && active > 0)
        r = managed_domain_set_one(d->domain, true, settings, which, ret_error);
    return r;
}

/* ---- All of them --------------------------------------------------------------------------- */

static void domain_infop(Domain **d)
{
    domain_free(*d);
}

/* Passes over a domain without the element, one whose element makes no sense, and one that went
 * away meanwhile. */
static int managed_domain_tell(virDomainPtr domain,
                               int (*handler)(void *userdata, const ManagedDomainInfo *info),
                               void *userdata)
{
    CLEANUP_FREE char *xml = virDomainGetXMLDesc(domain, VIR_DOMAIN_XML_INACTIVE), *error = NULL;
    CLEANUP(domain_infop) Domain *d = NULL;
    ManagedDomainInfo info;
    int r;

    if (!xml)
        return 0;
    r = domain_parse(xml, strlen(xml), &d, &error);
    if (r != 0 || !d->has_device)
        return r < 0 ? r : 0;

    info = (ManagedDomainInfo){
        .name = d->name,
        .uuid = d->uuid,
        .active = virDomainIsActive(domain) > 0,
        .settings = &d->device.settings,
        .given = d->device.given,
    };
    return handler(userdata, &info);
}

int managed_domain_list(const char *uri, bool ask,
                        int (*handler)(void *userdata, const ManagedDomainInfo *info),
                        void *userdata)
{
    virConnectPtr connection = libvirt_connect(uri, ask);
    virDomainPtr *domains = NULL;
    int n, r = 0;

    if (!connection)
        return MANAGED_NOT;
    n = virConnectListAllDomains(connection, &domains, 0);
    for (int i = 0; i < n; i++) {
        if (r == 0)
            r = managed_domain_tell(domains[i], handler, userdata);
        virDomainFree(domains[i]);
    }
    free(domains);
    virConnectClose(connection);
    return n < 0 ? MANAGED_NOT : r;
}
