/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* In place of attach-libvirt.c where libvirt was not there at build time. */
#include <errno.h>
#include <string.h>

#include "attach.h"

static int fail(char **ret_error)
{
    *ret_error = strdup("this program was built without libvirt");
    return *ret_error ? ATTACH_FAILED : -ENOMEM;
}

int attach_to_domain(const char *uri, const char *domain, const DomainAttributes *attributes,
                     bool *ret_active, char **ret_error)
{
    (void) uri;
    (void) domain;
    (void) attributes;
    (void) ret_active;
    return fail(ret_error);
}

int detach_from_domain(const char *uri, const char *domain, bool *ret_active, char **ret_error)
{
    (void) uri;
    (void) domain;
    (void) ret_active;
    return fail(ret_error);
}
