/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <libxml/parser.h>

#include "cleanup.h"
#include "domain-element.h"
#include "domain-keep-slot.h"
#include "domain.h"
#include "fail.h"
#include "libvirt-connection.h"
#include "process.h"
#include "slot.h"
#include "xml.h"

/* ---- The element ----------------------------------------------------------------------- */

int keep_slot_in_element(const char *xml, int slot, char **ret)
{
    CLEANUP_XML_DOC xmlDoc *doc = xmlReadMemory(xml, (int) strlen(xml), NULL, "UTF-8",
                                                XML_PARSE_NONET | XML_PARSE_NOERROR |
                                                    XML_PARSE_NOWARNING | XML_PARSE_NOCDATA);
    const xmlNode *element = doc ? xmlDocGetRootElement(doc) : NULL;
    CLEANUP_XML_STRING char *before = NULL;
    CLEANUP_XML_DOC xmlDoc *copy = NULL;
    char slot_text[SLOT_TEXT_SIZE];

    if (!element || strcmp((const char *) element->name, "device") != 0)
        return -EBADMSG;
    slot_print(slot, slot_text);
    before = (char *) xmlGetNoNsProp(element, (const xmlChar *) "slot");
    if (before && strcmp(before, slot_text) == 0)
        return 0;

    copy = element_copy(element);
    if (!copy || element_set(copy, "slot", slot_text) < 0)
        return -ENOMEM;
    *ret = element_print(copy);
    return *ret ? 1 : -ENOMEM;
}

/* ---- The domain ------------------------------------------------------------------------ */

/* Something else was done to the domain for as long as libvirt waits: its state is loaded or saved,
 * or it goes to another host, which can take hours. */
#define KEEP_SLOT_BUSY 2

/* libvirt waits half a minute itself; this is for one that does not. */
#define RETRY_USEC 1000000

/* @which: VIR_DOMAIN_AFFECT_LIVE or VIR_DOMAIN_AFFECT_CONFIG. A domain that has ended, or lost its
 * definition, has nothing to keep. */
static int domain_keep_slot(virDomainPtr domain, int slot, unsigned which, char **ret_error)
{
    CLEANUP_FREE char *before = NULL, *after = NULL;
    int r;

    before = virDomainGetMetadata(domain, VIR_DOMAIN_METADATA_ELEMENT, DOMAIN_NAMESPACE, which);
    if (before) {
        r = keep_slot_in_element(before, slot, &after);
        if (r <= 0 || virDomainSetMetadata(domain, VIR_DOMAIN_METADATA_ELEMENT, after, "vgpu",
                                           DOMAIN_NAMESPACE, which) == 0)
            return r < 0 ? r : 0;
    }

    switch (virGetLastErrorCode()) {
    case VIR_ERR_NO_DOMAIN_METADATA:
    case VIR_ERR_NO_DOMAIN:
    case VIR_ERR_OPERATION_INVALID:
        return 0;
    case VIR_ERR_OPERATION_TIMEOUT:
        return KEEP_SLOT_BUSY;
    default:
        return fail_with_libvirt(KEEP_SLOT_FAILED, ret_error);
    }
}

/* Looks at everything anew: since the last time, the domain may have been started again. */
static int keep_slot_once(virConnectPtr connection, const char *uuid, const char *directory,
                          char **ret_error)
{
    CLEANUP(libvirt_domain_freep)
    virDomainPtr domain = virDomainLookupByUUIDString(connection, uuid);
    Process process;
    int r;

    if (!domain)
        return virGetLastErrorCode() == VIR_ERR_NO_DOMAIN
                   ? 0
                   : fail_with_libvirt(KEEP_SLOT_FAILED, ret_error);
    r = process_find(directory, virDomainGetName(domain), uuid, &process);
    if (r == -ESRCH && virDomainIsActive(domain) == 0)
        return 0;
    if (r < 0)
        return fail_with(KEEP_SLOT_FAILED, ret_error, "cannot find its QEMU: %s", strerror(-r));
    if (process.slot == SLOT_ANY)
        return 0;

    r = domain_keep_slot(domain, process.slot, VIR_DOMAIN_AFFECT_LIVE, ret_error);
    if (r == 0 && process.slot != SLOT_NONE && virDomainIsPersistent(domain) > 0)
        r = domain_keep_slot(domain, process.slot, VIR_DOMAIN_AFFECT_CONFIG, ret_error);
    return r;
}

int keep_slot_of_domain(const char *uri, const char *uuid, const char *directory, char **ret_error)
{
    CLEANUP(libvirt_connection_closep) virConnectPtr connection = libvirt_connect(uri, false);
    int r;

    if (!connection)
        return fail_with_libvirt(KEEP_SLOT_FAILED, ret_error);
    while ((r = keep_slot_once(connection, uuid, directory, ret_error)) == KEEP_SLOT_BUSY)
        (void) usleep(RETRY_USEC);
    return r;
}
