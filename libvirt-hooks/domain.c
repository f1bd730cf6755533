/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "domain.h"
#include "fail.h"
#include "hooks-config.h"
#include "parse.h"
#include "vgpu-ring.h"
#include "xml.h"

/* Every version of our namespace begins like this. */
#define NAMESPACE_FAMILY "urn:vgpu-mediator:domain:"

/* A message repeats so many bytes of a wrong value. */
#define SHOWN_MAX 64

Domain *domain_free(Domain *d)
{
    if (d) {
        free(d->name);
        free(d->emulator);
        free(d->former_emulator);
    }
    free(d);
    return NULL;
}

bool domain_is_launcher(const char *emulator)
{
    return emulator &&
           (strcmp(emulator, LAUNCHER_PATH) == 0 || strcmp(emulator, FORMER_LAUNCHER_PATH) == 0);
}

static void domain_freep(Domain **d)
{
    domain_free(*d);
}

/* ---- The attributes -------------------------------------------------------------------- */

static int check_setting(const VMSetting *setting, const char *value, DomainDevice *d,
                         char **ret_error)
{
    char wanted[VM_SETTING_TEXT_SIZE];

    if (!value && setting->flags & VM_SETTING_LIMIT)
        return 0;
    if (!value)
        return fail_with(DOMAIN_INVALID_DEVICE, ret_error, "%s is missing: it must be %s",
                         setting->attribute, vm_setting_describe(setting, wanted));
    if (vm_setting_parse(setting, value, &d->settings) < 0)
        return fail_with(DOMAIN_INVALID_DEVICE, ret_error, "%s is '%.*s': it must be %s",
                         setting->attribute, SHOWN_MAX, value,
                         vm_setting_describe(setting, wanted));

    d->given |= VM_SETTING_BIT(setting - vm_settings);
    return 0;
}

/* A power of two, with a unit: one way to write each size */
static int parse_window_size(const char *text, uint64_t *ret)
{
    static const char units[] = "KMGT";
    size_t n = strlen(text);
    const char *unit = n > 0 ? strchr(units, text[n - 1]) : NULL;
    char digits[4] = "";
    uint32_t number;
    uint64_t size;

    if (!unit || n - 1 >= sizeof(digits) || text[0] == '0')
        return -EINVAL;
    memcpy(digits, text, n - 1);
    if (parse_u32(digits, 1, 512, &number) < 0 || (number & (number - 1)) != 0)
        return -EINVAL;
    size = (uint64_t) number << (10 * (unsigned) (unit - units + 1));
    if (size < VGPU_WINDOW_SIZE_MIN || size > VGPU_WINDOW_SIZE_MAX)
        return -EINVAL;
    *ret = size;
    return 0;
}

int domain_check_attributes(const DomainAttributes *attributes, DomainDevice *ret, char **ret_error)
{
    const char *emulator = attributes->emulator;
    DomainDevice device = {.window_size = VGPU_WINDOW_SIZE_DEFAULT, .slot = SLOT_ANY};
    int r;

    for (unsigned i = 0; i < VM_N_SETTINGS; i++) {
        r = check_setting(&vm_settings[i], attributes->settings[i], &device, ret_error);
        if (r != 0)
            return r;
    }
    if (attributes->window_size &&
        parse_window_size(attributes->window_size, &device.window_size) < 0)
        return fail_with(DOMAIN_INVALID_DEVICE, ret_error,
                         "window-size is '%.*s': it must be a power of two from 64K to 1T, such "
                         "as 256M",
                         SHOWN_MAX, attributes->window_size);
    if (attributes->slot && slot_parse(attributes->slot, &device.slot) < 0)
        return fail_with(DOMAIN_INVALID_DEVICE, ret_error,
                         "slot is '%.*s': it must be 0x02 to 0x1e, or none", SHOWN_MAX,
                         attributes->slot);
    if (emulator && (emulator[0] != '/' || strpbrk(emulator, "\r\n")))
        return fail_with(DOMAIN_INVALID_DEVICE, ret_error,
                         "emulator is '%.*s': it must be an absolute path", SHOWN_MAX, emulator);

    *ret = device;
    return 0;
}

/* ---- The element ----------------------------------------------------------------------- */

static bool is_family(const xmlNode *node)
{
    return node->type == XML_ELEMENT_NODE && node->ns && node->ns->href &&
           strncmp((const char *) node->ns->href, NAMESPACE_FAMILY, strlen(NAMESPACE_FAMILY)) == 0;
}

int domain_find_element(const xmlNode *root, xmlNode **ret, char **ret_error)
{
    const xmlNode *metadata = xml_child(root, "metadata");
    xmlNode *found = NULL;

    for (xmlNode *node = metadata ? metadata->children : NULL; node; node = node->next) {
        if (!is_family(node))
            continue;
        if (strcmp((const char *) node->ns->href, DOMAIN_NAMESPACE) != 0)
            return fail_with(DOMAIN_INVALID_DEVICE, ret_error,
                             "<%.*s> is of the namespace '%.*s': this version knows only '%s'",
                             SHOWN_MAX, node->name, SHOWN_MAX, node->ns->href, DOMAIN_NAMESPACE);
        if (strcmp((const char *) node->name, "device") != 0)
            return fail_with(DOMAIN_INVALID_DEVICE, ret_error,
                             "<%.*s> is unknown: the element must be <device>", SHOWN_MAX,
                             node->name);
        if (found)
            return fail_with(DOMAIN_INVALID_DEVICE, ret_error, "<device> is there twice");
        found = node;
    }

    *ret = found;
    return 0;
}

/* Blanks, comments and processing instructions are not content; all else is. */
static bool is_empty(const xmlNode *element)
{
    for (const xmlNode *node = element->children; node; node = node->next) {
        if (node->type == XML_COMMENT_NODE || node->type == XML_PI_NODE)
            continue;
        if ((node->type != XML_TEXT_NODE && node->type != XML_CDATA_SECTION_NODE) ||
            node->content[strspn((const char *) node->content, " \t\r\n")] != '\0')
            return false;
    }

    return true;
}

/* The element's attributes, of which this one owns the text. */
static void attributes_release(DomainAttributes *attributes)
{
    for (unsigned i = 0; i < VM_N_SETTINGS; i++)
        xmlFree((char *) attributes->settings[i]);
    xmlFree((char *) attributes->window_size);
    xmlFree((char *) attributes->slot);
    xmlFree((char *) attributes->emulator);
}

/* Where the text of an attribute belongs; NULL: there is none of this name. */
static const char **attribute_place(DomainAttributes *attributes, const char *name)
{
    for (unsigned i = 0; i < VM_N_SETTINGS; i++)
        if (strcmp(vm_settings[i].attribute, name) == 0)
            return &attributes->settings[i];
    if (strcmp(name, "window-size") == 0)
        return &attributes->window_size;
    if (strcmp(name, "slot") == 0)
        return &attributes->slot;
    return strcmp(name, "emulator") == 0 ? &attributes->emulator : NULL;
}

static int take_attribute(const xmlAttr *attribute, DomainAttributes *attributes, char **ret_error)
{
    const char **place =
        attribute->ns ? NULL : attribute_place(attributes, (const char *) attribute->name);

    if (!place)
        return fail_with(DOMAIN_INVALID_DEVICE, ret_error, "%.*s is no attribute that <device> has",
                         SHOWN_MAX, attribute->name);

    *place = (char *) xmlNodeListGetString(attribute->doc, attribute->children, 1);
    if (!*place) /* libxml2 has no string for an empty value */
        *place = (char *) xmlStrdup((const xmlChar *) "");
    return *place ? 0 : -ENOMEM;
}

static int parse_element(const xmlNode *element, Domain *d, char **ret_error)
{
    CLEANUP(attributes_release) DomainAttributes attributes = {0};
    int r = 0;

    if (!is_empty(element))
        return fail_with(DOMAIN_INVALID_DEVICE, ret_error, "<device> must be empty");

    for (const xmlAttr *a = element->properties; a && r == 0; a = a->next)
        r = take_attribute(a, &attributes, ret_error);
    if (r == 0)
        r = domain_check_attributes(&attributes, &d->device, ret_error);
    if (r != 0 || !attributes.emulator)
        return r;
    d->former_emulator = strdup(attributes.emulator);
    return d->former_emulator ? 0 : -ENOMEM;
}

/* ---- The domain ------------------------------------------------------------------------ */

static int parse_identity(const xmlNode *root, Domain *d, char **ret_error)
{
    CLEANUP_XML_STRING char *name = xml_text(xml_child(root, "name"));
    CLEANUP_XML_STRING char *uuid = xml_text(xml_child(root, "uuid"));
    CLEANUP_XML_STRING char *emulator = xml_text(xml_child(xml_child(root, "devices"), "emulator"));

    if (!name || *name == '\0')
        return fail_with(DOMAIN_INVALID_XML, ret_error, "the domain has no name");
    if (!uuid || !uuid_normalize(uuid, d->uuid))
        return fail_with(DOMAIN_INVALID_XML, ret_error, "the domain has no proper UUID");

    d->name = strdup(name);
    d->emulator = emulator ? strdup(emulator) : NULL;
    return d->name && !emulator == !d->emulator ? 0 : -ENOMEM;
}

static int parse_device(const xmlNode *root, Domain *d, char **ret_error)
{
    xmlNode *element;
    int r;

    r = domain_find_element(root, &element, ret_error);
    if (r == 0 && element) {
        r = parse_element(element, d, ret_error);
        d->has_device = r == 0;
    }
    return r;
}

int domain_parse(const char *xml, size_t size, Domain **ret, char **ret_error)
{
    CLEANUP(domain_freep) Domain *d = NULL;
    CLEANUP_XML_DOC xmlDoc *doc = NULL;
    const xmlNode *root;
    int r;

    r = xml_parse(xml, size, &doc, ret_error);
    if (r != 0)
        return r < 0 ? r : DOMAIN_INVALID_XML;

    d = calloc(1, sizeof(*d));
    if (!d)
        return -ENOMEM;
    root = xmlDocGetRootElement(doc);
    r = parse_identity(root, d, ret_error);
    if (r != 0)
        return r;
    r = parse_device(root, d, ret_error);
    if (r < 0)
        return r;

    *ret = TAKE_PTR(d);
    return r;
}
