/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "domain.h"
#include "fail.h"
#include "vgpu-protocol.h"
#include "xml.h"

/* What every version of our namespace begins with. */
#define NAMESPACE_FAMILY "urn:vgpu-mediator:domain:"

/* The most bytes of a wrong value that a message repeats. */
#define SHOWN_MAX 64

Domain *domain_free(Domain *d)
{
    if (d)
        free(d->name);
    free(d);
    return NULL;
}

static void domain_freep(Domain **d)
{
    domain_free(*d);
}

/* ---- The attributes -------------------------------------------------------------------- */

static int check_pool(const char *value, DomainDevice *d)
{
    if (strlen(value) != 1 || !vgpu_pool_is_valid((unsigned char) value[0]))
        return -EINVAL;
    d->pool = value[0];
    return 0;
}

static int check_priority(const char *value, DomainDevice *d)
{
    d->priority = vgpu_priority_from_string(value);
    return d->priority < 0 ? -EINVAL : 0;
}

/* Decimal digits and nothing else; strtoul() would take signs and blanks. */
static int parse_number(const char *value, uint32_t min, uint32_t max, uint32_t *ret)
{
    uint64_t n = 0;

    if (*value == '\0')
        return -EINVAL;
    for (; *value; value++) {
        if (*value < '0' || *value > '9')
            return -EINVAL;
        n = n * 10 + (uint64_t) (*value - '0');
        if (n > max)
            return -ERANGE;
    }
    if (n < min)
        return -ERANGE;

    *ret = (uint32_t) n;
    return 0;
}

static int check_queue_limit(const char *value, DomainDevice *d)
{
    d->has_queue_limit = true;
    return parse_number(value, 1, DOMAIN_QUEUE_LIMIT_MAX, &d->queue_limit);
}

static int check_request_rate_limit(const char *value, DomainDevice *d)
{
    d->has_request_rate_limit = true;
    return parse_number(value, 0, UINT32_MAX, &d->request_rate_limit);
}

static int check_weight(const char *value, DomainDevice *d)
{
    d->has_weight = true;
    return parse_number(value, 1, DOMAIN_WEIGHT_MAX, &d->weight);
}

static int check_emulator(const char *value, DomainDevice *d)
{
    (void) d;
    return value[0] == '/' && !strpbrk(value, "\r\n") ? 0 : -EINVAL;
}

static const struct {
    const char *name;
    size_t offset; /* in DomainAttributes */
    bool required;
    int (*check)(const char *value, DomainDevice *d);
    const char *wanted;
} attribute_rules[] = {
    {"pool", offsetof(DomainAttributes, pool), true, check_pool, "one letter from A to Z"},
    {"priority", offsetof(DomainAttributes, priority), true, check_priority, "high, medium or low"},
    {"queue-limit", offsetof(DomainAttributes, queue_limit), false, check_queue_limit,
     "a number from 1 to 65536"},
    {"request-rate-limit", offsetof(DomainAttributes, request_rate_limit), false,
     check_request_rate_limit, "a number from 0 to 4294967295"},
    {"weight", offsetof(DomainAttributes, weight), false, check_weight, "a number from 1 to 10000"},
    {"emulator", offsetof(DomainAttributes, emulator), false, check_emulator, "an absolute path"},
};

#define N_ATTRIBUTES (sizeof(attribute_rules) / sizeof(attribute_rules[0]))

static const char **attribute_slot(DomainAttributes *attributes, size_t i)
{
    return (const char **) ((char *) attributes + attribute_rules[i].offset);
}

int domain_check_attributes(const DomainAttributes *attributes, DomainDevice *ret, char **ret_error)
{
    DomainAttributes copy = *attributes;
    DomainDevice device = {0};

    for (size_t i = 0; i < N_ATTRIBUTES; i++) {
        const char *value = *attribute_slot(&copy, i);

        if (!value && attribute_rules[i].required)
            return fail_with(DOMAIN_INVALID_DEVICE, ret_error, "%s is missing: it must be %s",
                             attribute_rules[i].name, attribute_rules[i].wanted);
        if (value && attribute_rules[i].check(value, &device) < 0)
            return fail_with(DOMAIN_INVALID_DEVICE, ret_error, "%s is '%.*s': it must be %s",
                             attribute_rules[i].name, SHOWN_MAX, value, attribute_rules[i].wanted);
    }

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

/* Blanks and comments are nothing; all the rest is something. */
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

/* Puts the attribute's text into its place in @attributes, which owns it then. */
static int take_attribute(const xmlAttr *attribute, DomainAttributes *attributes, char **ret_error)
{
    for (size_t i = 0; i < N_ATTRIBUTES; i++) {
        if (attribute->ns || strcmp((const char *) attribute->name, attribute_rules[i].name) != 0)
            continue;
        *attribute_slot(attributes, i) =
            (char *) xmlNodeListGetString(attribute->doc, attribute->children, 1);
        if (!*attribute_slot(attributes, i)) /* libxml2's way to say "empty" */
            *attribute_slot(attributes, i) = (char *) xmlStrdup((const xmlChar *) "");
        return *attribute_slot(attributes, i) ? 0 : -ENOMEM;
    }

    return fail_with(DOMAIN_INVALID_DEVICE, ret_error, "%.*s is no attribute that <device> has",
                     SHOWN_MAX, attribute->name);
}

static int parse_element(const xmlNode *element, DomainDevice *ret, char **ret_error)
{
    DomainAttributes attributes = {0};
    int r = 0;

    if (!is_empty(element))
        return fail_with(DOMAIN_INVALID_DEVICE, ret_error, "<device> must be empty");

    for (const xmlAttr *a = element->properties; a && r == 0; a = a->next)
        r = take_attribute(a, &attributes, ret_error);
    if (r == 0)
        r = domain_check_attributes(&attributes, ret, ret_error);

    for (size_t i = 0; i < N_ATTRIBUTES; i++)
        if (*attribute_slot(&attributes, i))
            xmlFree((char *) *attribute_slot(&attributes, i));
    return r;
}

/* ---- The domain ------------------------------------------------------------------------ */

static int parse_identity(const xmlNode *root, Domain *d, char **ret_error)
{
    CLEANUP_XML_STRING char *name = xml_text(xml_child(root, "name"));
    CLEANUP_XML_STRING char *uuid = xml_text(xml_child(root, "uuid"));

    if (!name || *name == '\0')
        return fail_with(DOMAIN_INVALID_XML, ret_error, "the domain has no name");
    if (!uuid || !uuid_normalize(uuid, d->uuid))
        return fail_with(DOMAIN_INVALID_XML, ret_error, "the domain has no proper UUID");

    d->name = strdup(name);
    return d->name ? 0 : -ENOMEM;
}

static int parse_device(const xmlNode *root, Domain *d, char **ret_error)
{
    xmlNode *element;
    int r;

    r = domain_find_element(root, &element, ret_error);
    if (r == 0 && element) {
        r = parse_element(element, &d->device, ret_error);
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

    *ret = d;
    d = NULL;
    return r;
}
