/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "domain-element.h"

#include <errno.h>
#include <string.h>

#include "cleanup.h"
#include "xml.h"

xmlDoc *element_copy(const xmlNode *element)
{
    CLEANUP_XML_DOC xmlDoc *doc = xmlNewDoc((const xmlChar *) "1.0");
    xmlNode *copy = doc ? xmlNewDocNode(doc, NULL, (const xmlChar *) "device", NULL) : NULL;

    if (!copy)
        return NULL;
    xmlDocSetRootElement(doc, copy);
    for (const xmlAttr *a = element->properties; a; a = a->next) {
        CLEANUP_XML_STRING char *value = (char *) xmlNodeListGetString(a->doc, a->children, 1);

        /* libxml2 has no string for an empty value. */
        if (!xmlNewProp(copy, a->name, (const xmlChar *) (value ? value : "")))
            return NULL;
    }
    return TAKE_PTR(doc);
}

int element_set(xmlDoc *doc, const char *name, const char *value)
{
    return xmlSetProp(xmlDocGetRootElement(doc), (const xmlChar *) name, (const xmlChar *) value)
               ? 0
               : -ENOMEM;
}

char *element_print(xmlDoc *doc)
{
    CLEANUP_XML_STRING char *text = NULL;
    int size;

    xmlDocDumpMemoryEnc(doc, (xmlChar **) &text, &size, "UTF-8");
    return text ? strdup(text) : NULL;
}
