/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libxml/xmlsave.h>

#include "cleanup.h"
#include "domain-attach.h"
#include "fail.h"
#include "hooks-config.h"
#include "machine.h"
#include "xml.h"

/* ---- The domain ------------------------------------------------------------------------ */

/* Can a domain of this kind have the device? */
static int check_domain(const xmlNode *root, char **ret_error)
{
    const xmlNode *os_type = xml_child(xml_child(root, "os"), "type");
    CLEANUP_XML_STRING char *type = (char *) xmlGetNoNsProp(root, (const xmlChar *) "type");
    CLEANUP_XML_STRING char *arch = NULL, *machine = NULL;

    if (!type || (strcmp(type, "qemu") != 0 && strcmp(type, "kvm") != 0))
        return fail_with(ATTACH_FAILED, ret_error,
                         "the domain's type is '%s': the device is for kvm and qemu",
                         type ? type : "");
    if (!xml_child(root, "devices"))
        return fail_with(ATTACH_FAILED, ret_error, "the domain has no <devices>");

    arch = os_type ? (char *) xmlGetNoNsProp(os_type, (const xmlChar *) "arch") : NULL;
    if (arch && strcmp(arch, "x86_64") != 0)
        return fail_with(ATTACH_FAILED, ret_error,
                         "the domain's architecture is '%s': the device is for x86_64", arch);
    machine = os_type ? (char *) xmlGetNoNsProp(os_type, (const xmlChar *) "machine") : NULL;
    if (machine && !machine_root_bus(machine, (unsigned) strlen(machine)))
        return fail_with(ATTACH_FAILED, ret_error,
                         "the domain's machine type is '%s': the device is for q35 and pc",
                         machine);
    return 0;
}

/* Returns whether that was a change, or -ENOMEM. */
static int set_attribute(xmlNode *node, const char *name, const char *value)
{
    CLEANUP_XML_STRING char *before = (char *) xmlGetNoNsProp(node, (const xmlChar *) name);
    const xmlChar *key = (const xmlChar *) name;

    if (!value) {
        (void) xmlUnsetNsProp(node, NULL, key);
        return before != NULL;
    }
    if (before && strcmp(before, value) == 0)
        return 0;
    return xmlSetNsProp(node, NULL, key, (const xmlChar *) value) ? 1 : -ENOMEM;
}

/* The slot stays. Returns as set_attribute(). */
static int fill_element(xmlNode *element, const DomainAttributes *attributes)
{
    int r, changed = 0;

    for (unsigned i = 0; i < VM_N_SETTINGS; i++) {
        r = set_attribute(element, vm_settings[i].attribute, attributes->settings[i]);
        if (r < 0)
            return r;
        changed |= r;
    }
    r = set_attribute(element, "emulator", attributes->emulator);
    return r < 0 ? r : changed | r;
}

/* Where it stands and how it is indented does not matter: libvirt writes the definition anew. */
static int make_element(xmlNode *root, xmlNode **ret)
{
    xmlNode *metadata = xml_child(root, "metadata"), *element;
    xmlNs *ns;

    if (!metadata)
        metadata = xmlNewChild(root, NULL, (const xmlChar *) "metadata", NULL);
    element = metadata ? xmlNewChild(metadata, NULL, (const xmlChar *) "device", NULL) : NULL;
    ns = element ? xmlNewNs(element, (const xmlChar *) DOMAIN_NAMESPACE, (const xmlChar *) "vgpu")
                 : NULL;
    if (!ns)
        return -ENOMEM;

    xmlSetNs(element, ns);
    *ret = element;
    return 0;
}

/* <emulator>'s text, or NULL. */
static char *get_emulator(const xmlNode *root)
{
    return xml_text(xml_child(xml_child(root, "devices"), "emulator"));
}

static int set_emulator(const xmlNode *root, const char *path)
{
    xmlNode *devices = xml_child(root, "devices");
    xmlNode *emulator = xml_child(devices, "emulator"), *text;

    if (!emulator)
        emulator = xmlNewChild(devices, NULL, (const xmlChar *) "emulator", NULL);
    text = emulator ? xmlNewText((const xmlChar *) path) : NULL;
    if (!text)
        return -ENOMEM;

    xmlNodeSetContent(emulator, NULL);
    (void) xmlAddChild(emulator, text);
    return 0;
}

static void remove_node(xmlNode *node)
{
    xmlUnlinkNode(node);
    xmlFreeNode(node);
}

/* ---- The text -------------------------------------------------------------------------- */

static void buffer_freep(xmlBuffer **buffer)
{
    if (*buffer)
        xmlBufferFree(*buffer);
}

/* libxml2 reads some namespaces that it does not write as XML again. libvirt would refuse the
 * result with a reason that helps nobody. */
static int check_text(const char *text, char **ret_error)
{
    CLEANUP_XML_DOC xmlDoc *doc = NULL;
    CLEANUP_FREE char *error = NULL;
    int r = xml_parse(text, strlen(text), &doc, &error);

    if (r <= 0)
        return r;
    return fail_with(ATTACH_FAILED, ret_error,
                     "the definition has something that cannot be written again: %s", error);
}

/* Writes the document as @before was written. Returns 0, ATTACH_FAILED or -ENOMEM. */
static int serialize(xmlDoc *doc, const char *before, char **ret, char **ret_error)
{
    CLEANUP(buffer_freep) xmlBuffer *buffer = xmlBufferCreate();
    bool declared = strncmp(before, "<?xml", strlen("<?xml")) == 0;
    CLEANUP_FREE char *text = NULL;
    xmlSaveCtxt *save;
    size_t length;
    int r;

    save = buffer ? xmlSaveToBuffer(buffer, "UTF-8", declared ? 0 : XML_SAVE_NO_DECL) : NULL;
    if (!save)
        return -ENOMEM;
    if (xmlSaveDoc(save, doc) < 0 || xmlSaveClose(save) < 0)
        return -ENOMEM;

    text = strdup((const char *) xmlBufferContent(buffer));
    if (!text)
        return -ENOMEM;
    length = strlen(text);
    /* libxml2 adds a line's end, which is no change. */
    if (length > 0 && text[length - 1] == '\n' && before[strlen(before) - 1] != '\n')
        text[length - 1] = '\0';
    r = check_text(text, ret_error);
    if (r != 0)
        return r;

    *ret = TAKE_PTR(text);
    return 0;
}

/* Parses a definition and finds our element, which may be NULL. */
static int open_definition(const char *xml, xmlDoc **ret_doc, xmlNode **ret_root,
                           xmlNode **ret_element, char **ret_error)
{
    CLEANUP_XML_DOC xmlDoc *doc = NULL;
    xmlNode *root;
    int r;

    r = xml_parse(xml, strlen(xml), &doc, ret_error);
    if (r != 0)
        return r < 0 ? r : ATTACH_FAILED;
    root = xmlDocGetRootElement(doc);
    r = domain_find_element(root, ret_element, ret_error);
    if (r != 0)
        return r < 0 ? r : ATTACH_FAILED;

    *ret_root = root;
    *ret_doc = TAKE_PTR(doc);
    return 0;
}

static char *get_former(const xmlNode *element)
{
    return element ? (char *) xmlGetNoNsProp(element, (const xmlChar *) "emulator") : NULL;
}

int attach_to_xml(const char *xml, const DomainAttributes *attributes, char **ret, char **ret_error)
{
    CLEANUP_XML_STRING char *emulator = NULL, *former = NULL;
    DomainAttributes all = *attributes;
    CLEANUP_XML_DOC xmlDoc *doc = NULL;
    xmlNode *root, *element;
    bool changed = false;
    DomainDevice device;
    int r;

    assert(!attributes->emulator && !attributes->slot);
    r = domain_check_attributes(attributes, &device, ret_error);
    if (r != 0)
        return r < 0 ? r : ATTACH_FAILED;
    r = open_definition(xml, &doc, &root, &element, ret_error);
    if (r == 0)
        r = check_domain(root, ret_error);
    if (r != 0)
        return r;

    emulator = get_emulator(root);
    former = get_former(element);
    all.emulator = emulator && !domain_is_launcher(emulator) ? emulator : former;
    if (!element) {
        r = make_element(root, &element);
        changed = true;
    }
    if (r == 0)
        r = fill_element(element, &all);
    changed = changed || r > 0;
    if (r >= 0 && (!emulator || strcmp(emulator, LAUNCHER_PATH) != 0)) {
        r = set_emulator(root, LAUNCHER_PATH);
        changed = true;
    }
    if (r >= 0)
        r = serialize(doc, xml, ret, ret_error);
    return r != 0 ? r : changed ? ATTACH_CHANGED : ATTACH_UNCHANGED;
}

/* An <emulator> that somebody has changed since the device was attached stays. Returns whether
 * there was a change, or -ENOMEM. */
static int restore_emulator(const xmlNode *root, const char *former)
{
    CLEANUP_XML_STRING char *emulator = get_emulator(root);
    int r = 0;

    if (!domain_is_launcher(emulator))
        return 0;
    /* Without one, libvirt chooses. */
    if (former)
        r = set_emulator(root, former);
    else
        remove_node(xml_child(xml_child(root, "devices"), "emulator"));
    return r < 0 ? r : 1;
}

/* And <metadata> with it, unless somebody else has something there. */
static void remove_element(xmlNode *element)
{
    xmlNode *metadata = element->parent;

    remove_node(element);
    for (const xmlNode *node = metadata->children; node; node = node->next)
        if (!xmlIsBlankNode(node))
            return;
    remove_node(metadata);
}

int detach_from_xml(const char *xml, char **ret, char **ret_error)
{
    CLEANUP_XML_STRING char *former = NULL;
    CLEANUP_XML_DOC xmlDoc *doc = NULL;
    xmlNode *root, *element;
    bool changed;
    int r;

    r = open_definition(xml, &doc, &root, &element, ret_error);
    if (r != 0)
        return r;

    former = get_former(element);
    r = restore_emulator(root, former);
    if (r < 0)
        return r;
    changed = r > 0 || element;
    if (element)
        remove_element(element);
    r = serialize(doc, xml, ret, ret_error);
    return r != 0 ? r : changed ? ATTACH_CHANGED : ATTACH_UNCHANGED;
}
