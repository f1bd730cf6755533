/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check: the definitions of libvirt's domains. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

#include "check.h"
#include "domain.h"
#include "hooks-config.h"
#include "xml.h"

#define SYSTEM_URI "qemu:///system"

/* libvirt would print to standard error what we say. */
static void say_nothing(void *userdata, virErrorPtr error)
{
    (void) userdata;
    (void) error;
}

/* The launcher has had other names, which lead to the same file. */
static bool is_launcher(const Check *c, const char *emulator)
{
    char path[PATH_MAX], launcher[PATH_MAX];
    struct stat a, b;

    if (strcmp(emulator, LAUNCHER_PATH) == 0)
        return true;
    return stat(check_path(c, emulator, path), &a) == 0 &&
           stat(check_path(c, LAUNCHER_PATH, launcher), &b) == 0 && a.st_dev == b.st_dev &&
           a.st_ino == b.st_ino;
}

/* Adds it where the mediator has no pool of the name that the domain asks for. */
static void check_domain_pool(Check *c, const char *name, const DomainDevice *device)
{
    char mend[96];

    if (!c->snapshot || !(device->given & VM_SETTING_BIT(VM_SETTING_POOL)))
        return;
    for (size_t i = 0; i < c->snapshot->n_pools; i++)
        if (c->snapshot->pools[i].object.name[0] == device->settings.pool)
            return;
    snprintf(mend, sizeof(mend), "[Pool %c] in mediator.conf, or vgpuctl set-pool",
             device->settings.pool);
    check_add(c, "domain", FINDING_PROBLEM, mend,
              "Domain %s cannot start: the mediator has no pool %c.", name, device->settings.pool);
}

/* Adds what is wrong with a domain's definition, if anything. Returns whether it has our element.
 */
static bool check_definition(Check *c, const char *name, const char *xml)
{
    CLEANUP_FREE char *error = NULL;
    CLEANUP_XML_STRING char *emulator = NULL;
    CLEANUP_XML_DOC xmlDoc *doc = NULL;
    Domain *domain = NULL;
    xmlNode *element = NULL;
    const xmlNode *root;
    bool ours;
    int r;

    if (xml_parse(xml, strlen(xml), &doc, &error) != 0)
        return false; /* libvirt's own output */
    root = xmlDocGetRootElement(doc);
    emulator = xml_text(xml_child(xml_child(root, "devices"), "emulator"));
    ours = emulator && is_launcher(c, emulator);
    r = domain_parse(xml, strlen(xml), &domain, &error);
    if (r == 0 && domain->has_device)
        check_domain_pool(c, name, &domain->device);
    domain_free(domain);
    if (r == DOMAIN_INVALID_DEVICE) {
        check_add(c, "domain", FINDING_PROBLEM, "virsh edit, or vgpuctl attach",
                  "Domain %s cannot start: <vgpu:device> in its <metadata>: %s.", name, error);
        return true;
    }
    if (r != 0 || domain_find_element(root, &element, &error) != 0)
        return false;

    if (element && !ours)
        check_add(c, "domain", FINDING_PROBLEM, "vgpuctl attach, with the same options",
                  "Domain %s has the element of the device, and its <emulator> is %s: it starts "
                  "without the device.",
                  name, emulator ? emulator : "libvirt's default");
    else if (!element && ours)
        check_add(c, "domain", FINDING_PROBLEM,
                  "vgpuctl attach, or another <emulator> by virsh edit",
                  "Domain %s has our launcher as <emulator>, and no element of the device: it "
                  "starts without.",
                  name);
    return element != NULL;
}

/* Has the mediator said it already? */
static bool is_known_without_device(const Check *c, const char *name)
{
    for (size_t i = 0; c->snapshot && i < c->snapshot->n_vms; i++)
        if (strcmp(c->snapshot->vms[i].object.name, name) == 0)
            return c->snapshot->vms[i].without_device;
    return false;
}

/* A domain that was started while the mediator could not be asked. The mediator does not know that,
 * the definition of the running domain does. */
static void check_running(Check *c, const char *name, const char *xml)
{
    CLEANUP_FREE char *error = NULL;
    Domain *domain = NULL;
    bool without;

    without = domain_parse(xml, strlen(xml), &domain, &error) == 0 && domain->has_device &&
              domain->device.slot == SLOT_NONE;
    domain_free(domain);
    if (without && !is_known_without_device(c, name))
        check_add(c, "domain", FINDING_PROBLEM,
                  "shut it down, and start it again when the rest is well",
                  "Domain %s runs without its device: /var/log/libvirt/qemu/%s.log says why.", name,
                  name);
}

static size_t check_all(Check *c, virDomainPtr *domains, int n)
{
    size_t with_device = 0;

    for (int i = 0; i < n; i++) {
        const char *name = virDomainGetName(domains[i]);
        CLEANUP_FREE char *running = NULL;
        CLEANUP_FREE char *xml = virDomainGetXMLDesc(
            domains[i], virDomainIsPersistent(domains[i]) > 0 ? VIR_DOMAIN_XML_INACTIVE : 0);

        /* A domain without XML is gone since the list was made. */
        if (xml)
            with_device += check_definition(c, name, xml);
        if (virDomainIsActive(domains[i]) > 0)
            running = virDomainGetXMLDesc(domains[i], 0);
        if (running)
            check_running(c, name, running);
        virDomainFree(domains[i]);
    }
    return with_device;
}

void check_domains(Check *c, const char *uri)
{
    size_t problems = c->n_problems, with_device;
    CLEANUP_FREE virDomainPtr *domains = NULL;
    virConnectPtr connection;
    int n;

    virSetErrorFunc(NULL, say_nothing);
    connection = virConnectOpenReadOnly(uri ? uri : SYSTEM_URI);
    n = connection ? virConnectListAllDomains(connection, &domains, 0) : -1;
    if (n < 0) {
        check_add(c, "domain", FINDING_NOTE, NULL, "libvirt's domains cannot be looked at: %s",
                  virGetLastErrorMessage());
    } else {
        with_device = check_all(c, domains, n);
        if (c->n_problems == problems)
            check_add(c, "domain", FINDING_OK, NULL,
                      "%zu of %d domains are defined with the device, and all that it needs.",
                      with_device, n);
    }
    if (connection)
        virConnectClose(connection);
}
