/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Domains of libvirt's test driver, which runs nothing. */
#ifndef VGPU_TEST_DRIVER_H
#define VGPU_TEST_DRIVER_H

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <libvirt/libvirt.h>

#include "cleanup.h"
#include "test.h"

/* Defines domain "web". @metadata: the element, or "" */
static inline virDomainPtr driver_define(virConnectPtr connection, const char *uuid,
                                         const char *metadata)
{
    char xml[2048];
    virDomainPtr domain;

    snprintf(xml, sizeof(xml),
             "<domain type='test'><name>web</name><uuid>%s</uuid><metadata>%s</metadata>"
             "<memory>8192</memory><os><type>hvm</type></os></domain>",
             uuid, metadata);
    domain = virDomainDefineXML(connection, xml);
    assert_non_null(domain);
    return domain;
}

/* Ends it and takes its definition away. */
static inline void driver_undefine(virDomainPtr domain)
{
    if (virDomainIsActive(domain) > 0)
        assert_int_equal(virDomainDestroy(domain), 0);
    if (virDomainIsPersistent(domain) > 0)
        assert_int_equal(virDomainUndefine(domain), 0);
    virDomainFree(domain);
}

/* Does it stand in its XML? @flags: VIR_DOMAIN_XML_INACTIVE or 0 */
static inline bool driver_has(virDomainPtr domain, unsigned flags, const char *text)
{
    CLEANUP_FREE char *xml = virDomainGetXMLDesc(domain, flags);

    assert_non_null(xml);
    return strstr(xml, text);
}

#endif
