/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "libvirt-connection.h"

#include <stddef.h>

#include <libvirt/virterror.h>

#include "fail.h"

/* libvirt would print to stderr what we return. */
static void say_nothing(void *userdata, virErrorPtr error)
{
    (void) userdata;
    (void) error;
}

virConnectPtr libvirt_connect(const char *uri, bool ask)
{
    virSetErrorFunc(NULL, say_nothing);
    return virConnectOpenAuth(uri, ask ? virConnectAuthPtrDefault : NULL, 0);
}

int fail_with_libvirt(int code, char **ret_error)
{
    const char *message = virGetLastErrorMessage();

    return fail_with(code, ret_error, "%s", message ? message : "libvirt gives no reason");
}

void libvirt_connection_closep(virConnectPtr *connection)
{
    if (*connection)
        virConnectClose(*connection);
}

void libvirt_domain_freep(virDomainPtr *domain)
{
    if (*domain)
        virDomainFree(*domain);
}
