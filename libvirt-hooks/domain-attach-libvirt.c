/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

#include "cleanup.h"
#include "domain-attach.h"
#include "fail.h"
#include "libvirt-connection.h"

static int connection_open(const char *uri, virConnectPtr *ret, char **ret_error)
{
    *ret = libvirt_connect(uri, true);
    return *ret ? 0 : fail_with_libvirt(ATTACH_FAILED, ret_error);
}

/* A user's own libvirt: its domains are in no machine, and the mediator lets none of them in. */
static bool connection_is_session(virConnectPtr connection)
{
    CLEANUP_FREE char *uri = virConnectGetURI(connection);
    const char *path = uri ? strstr(uri, "://") : NULL;

    path = path ? strchr(path + 3, '/') : NULL;
    return path && strcspn(path, "?") == strlen("/session") &&
           strncmp(path, "/session", strlen("/session")) == 0;
}

static int domain_open(const char *uri, const char *name, virConnectPtr *ret_connection,
                       virDomainPtr *ret_domain, char **ret_error)
{
    int r = connection_open(uri, ret_connection, ret_error);

    if (r != 0)
        return r;
    *ret_domain = virDomainLookupByName(*ret_connection, name);
    if (!*ret_domain && virGetLastErrorCode() == VIR_ERR_NO_DOMAIN)
        *ret_domain = virDomainLookupByUUIDString(*ret_connection, name);
    if (!*ret_domain)
        return fail_with(ATTACH_FAILED, ret_error, "no domain is called '%s'", name);
    return 0;
}

/* Changes the persistent definition. @attributes is NULL to detach. */
static int domain_change(const char *uri, const char *name, const DomainAttributes *attributes,
                         AttachTarget *ret_target, char **ret_error)
{
    CLEANUP(libvirt_connection_closep) virConnectPtr connection = NULL;
    CLEANUP(libvirt_domain_freep) virDomainPtr domain = NULL, defined = NULL;
    CLEANUP_FREE char *before = NULL, *after = NULL;
    int r, active, saved;

    r = domain_open(uri, name, &connection, &domain, ret_error);
    if (r != 0)
        return r;
    if (attributes && connection_is_session(connection))
        return fail_with(ATTACH_FAILED, ret_error,
                         "domains of a session have no GPU: use -c qemu:///system");
    if (virDomainIsPersistent(domain) == 0)
        return fail_with(ATTACH_FAILED, ret_error,
                         "the domain is transient: it has no definition that stays");
    active = virDomainIsActive(domain);
    saved = virDomainHasManagedSaveImage(domain, 0); /* not every driver knows such states */
    before = virDomainGetXMLDesc(domain, VIR_DOMAIN_XML_INACTIVE | VIR_DOMAIN_XML_SECURE);
    if (active < 0 || !before)
        return fail_with_libvirt(ATTACH_FAILED, ret_error);

    r = attributes ? attach_to_xml(before, attributes, &after, ret_error)
                   : detach_from_xml(before, &after, ret_error);
    if (r < 0 || r == ATTACH_FAILED)
        return r;
    if (r == ATTACH_CHANGED) {
        defined = virDomainDefineXML(connection, after);
        if (!defined)
            return fail_with_libvirt(ATTACH_FAILED, ret_error);
    }
    *ret_target = (AttachTarget){.active = active > 0, .saved = saved > 0};
    return r;
}

int attach_to_domain(const char *uri, const char *domain, const DomainAttributes *attributes,
                     AttachTarget *ret_target, char **ret_error)
{
    return domain_change(uri, domain, attributes, ret_target, ret_error);
}

int detach_from_domain(const char *uri, const char *domain, AttachTarget *ret_target,
                       char **ret_error)
{
    return domain_change(uri, domain, NULL, ret_target, ret_error);
}

/* ---- All domains ----------------------------------------------------------------------- */

char **attach_free_names(char **names)
{
    for (size_t i = 0; names && names[i]; i++)
        free(names[i]);
    free(names);
    return NULL;
}

static void names_freep(char ***names)
{
    attach_free_names(*names);
}

/* Would detaching change it? A domain that is gone meanwhile has nothing of ours. */
static int domain_is_ours(virDomainPtr domain)
{
    CLEANUP_FREE char *xml =
        virDomainGetXMLDesc(domain, VIR_DOMAIN_XML_INACTIVE | VIR_DOMAIN_XML_SECURE);
    CLEANUP_FREE char *after = NULL, *error = NULL;
    int r;

    if (!xml)
        return 0;
    r = detach_from_xml(xml, &after, &error);
    return r < 0 ? r : r != ATTACH_UNCHANGED;
}

static int names_of_ours(virDomainPtr *domains, size_t n, char ***ret)
{
    CLEANUP(names_freep) char **names = calloc(n + 1, sizeof(*names));
    size_t used = 0;
    int r;

    if (!names)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        r = domain_is_ours(domains[i]);
        if (r < 0)
            return r;
        if (r == 0)
            continue;
        names[used] = strdup(virDomainGetName(domains[i]));
        if (!names[used++])
            return -ENOMEM;
    }

    *ret = TAKE_PTR(names);
    return 0;
}

int attach_list_domains(const char *uri, char ***ret, char **ret_error)
{
    CLEANUP(libvirt_connection_closep) virConnectPtr connection = NULL;
    virDomainPtr *domains;
    int r, n;

    r = connection_open(uri, &connection, ret_error);
    if (r != 0)
        return r;
    n = virConnectListAllDomains(connection, &domains, VIR_CONNECT_LIST_DOMAINS_PERSISTENT);
    if (n < 0)
        return fail_with_libvirt(ATTACH_FAILED, ret_error);

    r = names_of_ours(domains, (size_t) n, ret);
    for (int i = 0; i < n; i++)
        virDomainFree(domains[i]);
    free(domains);
    return r;
}
