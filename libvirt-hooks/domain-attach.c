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

/* libvirt's, for each level. */
#define INDENTATION 2

/* ---- Nodes, and the blanks between them ------------------------------------------------ */

static bool is_blank(const xmlNode *node)
{
    return node && node->type == XML_TEXT_NODE &&
           node->content[strspn((const char *) node->content, " \t\r\n")] == '\0';
}

/* A line's end and the indentation of what stands @depth levels below the document. */
static xmlNode *new_line(unsigned depth)
{
    char text[64];

    snprintf(text, sizeof(text), "\n%*s", (int) (depth * INDENTATION), "");
    return xmlNewText((const xmlChar *) text);
}

static unsigned depth_of(const xmlNode *node)
{
    unsigned depth = 0;

    for (; node->parent && node->parent->type == XML_ELEMENT_NODE; node = node->parent)
        depth++;
    return depth;
}

/* Inserts @node, which it takes over, on a line of its own behind @previous. */
static int insert_behind(xmlNode *previous, xmlNode *node)
{
    xmlNode *line = new_line(depth_of(previous));

    if (!line || !xmlAddNextSibling(previous, node)) {
        xmlFreeNode(line);
        xmlFreeNode(node);
        return -ENOMEM;
    }
    /* Before an element, so that it is not merged with a text that follows. */
    if (!xmlAddPrevSibling(node, line)) {
        xmlFreeNode(line);
        return -ENOMEM;
    }
    return 0;
}

/* Inserts @node, which it takes over, on a line of its own as the last in @parent. */
static int append(xmlNode *parent, xmlNode *node)
{
    xmlNode *first, *end;

    if (is_blank(parent->last) && parent->last->prev)
        return insert_behind(parent->last->prev, node);

    /* Nothing but blanks, if that: all of it is written anew. */
    while (is_blank(parent->last)) {
        xmlNode *blank = parent->last;

        xmlUnlinkNode(blank);
        xmlFreeNode(blank);
    }
    first = new_line(depth_of(parent) + 1);
    end = new_line(depth_of(parent));
    if (!first || !end) {
        xmlFreeNode(first);
        xmlFreeNode(end);
        xmlFreeNode(node);
        return -ENOMEM;
    }
    (void) xmlAddChild(parent, first);
    (void) xmlAddChild(parent, node);
    (void) xmlAddChild(parent, end);
    return 0;
}

/* Removes @node and the blanks that it was indented with. */
static void remove_node(xmlNode *node)
{
    xmlNode *blank = node->prev;

    if (is_blank(blank)) {
        xmlUnlinkNode(blank);
        xmlFreeNode(blank);
    }
    xmlUnlinkNode(node);
    xmlFreeNode(node);
}

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

/* Where libvirt has it: behind what says which domain this is. */
static xmlNode *make_metadata(xmlNode *root)
{
    static const char *const before[] = {"description", "title", "genid", "uuid", "name"};
    xmlNode *metadata = xmlNewDocNode(root->doc, NULL, (const xmlChar *) "metadata", NULL);
    int r;

    if (!metadata)
        return NULL;
    for (size_t i = 0; i < sizeof(before) / sizeof(before[0]); i++) {
        xmlNode *previous = xml_child(root, before[i]);

        if (previous)
            return insert_behind(previous, metadata) < 0 ? NULL : metadata;
    }
    r = append(root, metadata);
    return r < 0 ? NULL : metadata;
}

static int set_attribute(xmlNode *node, const char *name, const char *value)
{
    const xmlChar *key = (const xmlChar *) name;

    if (!value) {
        (void) xmlUnsetNsProp(node, NULL, key);
        return 0;
    }
    return xmlSetNsProp(node, NULL, key, (const xmlChar *) value) ? 0 : -ENOMEM;
}

static int fill_element(xmlNode *element, const DomainAttributes *attributes)
{
    int r = 0;

    for (unsigned i = 0; i < VM_N_SETTINGS && r == 0; i++)
        r = set_attribute(element, vm_settings[i].attribute, attributes->settings[i]);
    return r < 0 ? r : set_attribute(element, "emulator", attributes->emulator);
}

static int make_element(xmlNode *root, xmlNode **ret)
{
    xmlNode *metadata = xml_child(root, "metadata"), *element;
    xmlNs *ns;

    if (!metadata)
        metadata = make_metadata(root);
    if (!metadata)
        return -ENOMEM;

    element = xmlNewDocNode(root->doc, NULL, (const xmlChar *) "device", NULL);
    ns = element ? xmlNewNs(element, (const xmlChar *) DOMAIN_NAMESPACE, (const xmlChar *) "vgpu")
                 : NULL;
    if (!ns) {
        xmlFreeNode(element);
        return -ENOMEM;
    }
    xmlSetNs(element, ns);
    *ret = element;
    return append(metadata, element);
}

/* <emulator>'s text, or NULL. */
static char *get_emulator(const xmlNode *root)
{
    return xml_text(xml_child(xml_child(root, "devices"), "emulator"));
}

static int set_emulator(const xmlNode *root, const char *path)
{
    xmlNode *devices = xml_child(root, "devices");
    xmlNode *emulator = xml_child(devices, "emulator");
    xmlNode *text = xmlNewText((const xmlChar *) path);

    if (!text)
        return -ENOMEM;
    if (emulator) {
        xmlNodeSetContent(emulator, NULL);
    } else {
        emulator = xmlNewDocNode(root->doc, NULL, (const xmlChar *) "emulator", NULL);
        if (!emulator || append(devices, emulator) < 0) {
            xmlFreeNode(text);
            return -ENOMEM;
        }
    }
    return xmlAddChild(emulator, text) ? 0 : -ENOMEM;
}

/* ---- The text -------------------------------------------------------------------------- */

static void buffer_freep(xmlBuffer **buffer)
{
    if (*buffer)
        xmlBufferFree(*buffer);
}

/* libxml2 reads some namespaces that it does not write as XML again. */
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

/* Returns whether it differs from @before, or as attach_to_xml() when there is nothing. */
static int serialize(xmlDoc *doc, const char *before, char **ret, char **ret_error)
{
    __attribute__((cleanup(buffer_freep))) xmlBuffer *buffer = xmlBufferCreate();
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
    /* libxml2 ends the document with a line's end. */
    if (length > 0 && text[length - 1] == '\n' && before[strlen(before) - 1] != '\n')
        text[length - 1] = '\0';
    r = check_text(text, ret_error);
    if (r != 0)
        return r;

    r = strcmp(text, before) == 0 ? ATTACH_UNCHANGED : ATTACH_CHANGED;
    *ret = text;
    text = NULL;
    return r;
}

/* Parses, and finds our element. */
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
    *ret_doc = doc;
    doc = NULL;
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
    DomainDevice device;
    int r;

    assert(!attributes->emulator);
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
    all.emulator = emulator && strcmp(emulator, LAUNCHER_PATH) != 0 ? emulator : former;
    if (!element)
        r = make_element(root, &element);
    if (r == 0)
        r = fill_element(element, &all);
    if (r == 0)
        r = set_emulator(root, LAUNCHER_PATH);
    return r < 0 ? r : serialize(doc, xml, ret, ret_error);
}

/* An <emulator> that somebody has changed since then is left alone. */
static int restore_emulator(const xmlNode *root, const char *former)
{
    CLEANUP_XML_STRING char *emulator = get_emulator(root);

    if (!emulator || strcmp(emulator, LAUNCHER_PATH) != 0)
        return 0;
    if (former)
        return set_emulator(root, former);

    /* libvirt chooses, then. */
    remove_node(xml_child(xml_child(root, "devices"), "emulator"));
    return 0;
}

static void remove_element(xmlNode *element)
{
    xmlNode *metadata = element->parent;

    remove_node(element);
    if (!metadata->children || (is_blank(metadata->children) && !metadata->children->next))
        remove_node(metadata);
}

int detach_from_xml(const char *xml, char **ret, char **ret_error)
{
    CLEANUP_XML_STRING char *former = NULL;
    CLEANUP_XML_DOC xmlDoc *doc = NULL;
    xmlNode *root, *element;
    int r;

    r = open_definition(xml, &doc, &root, &element, ret_error);
    if (r != 0)
        return r;

    former = get_former(element);
    r = restore_emulator(root, former);
    if (r < 0)
        return r;
    if (element)
        remove_element(element);
    return serialize(doc, xml, ret, ret_error);
}
