/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

#include "cleanup.h"
#include "domain-attach.h"
#include "fail.h"

static void vir_connect_closep(virConnectPtr *connection)
{
    if (*connection)
        virConnectClose(*connection);
}

static void vir_domain_freep(virDomainPtr *domain)
{
    if (*domain)
        virDomainFree(*domain);
}

/* libvirt would print to stderr what we return. */
static void say_nothing(void *userdata, virErrorPtr error)
{
    (void) userdata;
    (void) error;
}

static int fail_with_libvirt(char **ret_error)
{
    const char *message = virGetLastErrorMessage();

    return fail_with(ATTACH_FAILED, ret_error, "%s", message ? message : "libvirt gives no reason");
}

static int domain_open(const char *uri, const char *name, virConnectPtr *ret_connection,
                       virDomainPtr *ret_domain, char **ret_error)
{
    virSetErrorFunc(NULL, say_nothing);
    *ret_connection = virConnectOpenAuth(uri, virConnectAuthPtrDefault, 0);
    if (!*ret_connection)
        return fail_with_libvirt(ret_error);

    *ret_domain = virDomainLookupByName(*ret_connection, name);
    if (!*ret_domain && virGetLastErrorCode() == VIR_ERR_NO_DOMAIN)
        *ret_domain = virDomainLookupByUUIDString(*ret_connection, name);
    if (!*ret_domain)
        return fail_with(ATTACH_FAILED, ret_error, "no domain is called '%s'", name);
    return 0;
}

/* Changes the persistent definition. @attributes is NULL to detach. */
static int domain_change(const char *uri, const char *name, const DomainAttributes *attributes,
                         bool *ret_active, char **ret_error)
{
    CLEANUP(vir_connect_closep) virConnectPtr connection = NULL;
    CLEANUP(vir_domain_freep) virDomainPtr domain = NULL, defined = NULL;
    CLEANUP_FREE char *before = NULL, *after = NULL;
    int r, active;

    r = domain_open(uri, name, &connection, &domain, ret_error);
    if (r != 0)
        return r;
    if (virDomainIsPersistent(domain) == 0)
        return fail_with(ATTACH_FAILED, ret_error,
                         "the domain is transient: it has no definition that stays");
    active = virDomainIsActive(domain);
    before = virDomainGetXMLDesc(domain, VIR_DOMAIN_XML_INACTIVE | VIR_DOMAIN_XML_SECURE);
    if (active < 0 || !before)
        return fail_with_libvirt(ret_error);

    r = attributes ? attach_to_xml(before, attributes, &after, ret_error)
                   : detach_from_xml(before, &after, ret_error);
    if (r < 0 || r == ATTACH_FAILED)
        return r;
    if (r == ATTACH_CHANGED) {
        defined = virDomainDefineXML(connection, after);
        if (!defined)
            return fail_with_libvirt(ret_error);
    }
    *ret_active = active > 0;
    return r;
}

int attach_to_domain(const char *uri, const char *domain, const DomainAttributes *attributes,
                     bool *ret_active, char **ret_error)
{
    return domain_change(uri, domain, attributes, ret_active, ret_error);
}

int detach_from_domain(const char *uri, const char *domain, bool *ret_active, char **ret_error)
{
    return domain_change(uri, domain, NULL, ret_active, ret_error);
}
