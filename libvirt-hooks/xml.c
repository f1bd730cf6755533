/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include <libxml/parser.h>
#include <libxml/parserInternals.h>

#include "fail.h"
#include "xml.h"

void xml_doc_freep(xmlDoc **doc)
{
    if (*doc)
        xmlFreeDoc(*doc);
}

void xml_string_freep(char **string)
{
    if (*string)
        xmlFree(*string);
}

static void parser_freep(xmlParserCtxt **parser)
{
    if (*parser)
        xmlFreeParserCtxt(*parser);
}

/* Entities can be declared in a DOCTYPE alone, so the parser ends where one begins. */
static void stop_at_doctype(void *userdata, const xmlChar *name, const xmlChar *external_id,
                            const xmlChar *system_id)
{
    xmlParserCtxt *parser = userdata;
    bool *stopped = parser->_private;

    (void) name;
    (void) external_id;
    (void) system_id;
    *stopped = true;
    xmlStopParser(parser);
}

static int xml_describe_error(const xmlParserCtxt *parser, char **ret_error)
{
    const char *message = parser->lastError.message ? parser->lastError.message : "no XML";

    return fail_with(1, ret_error, "cannot parse the domain's XML: line %d: %.*s",
                     parser->lastError.line, (int) strcspn(message, "\n"), message);
}

int xml_parse(const char *text, size_t size, xmlDoc **ret, char **ret_error)
{
    CLEANUP(parser_freep) xmlParserCtxt *parser = NULL;
    CLEANUP_XML_DOC xmlDoc *doc = NULL;
    bool has_doctype = false;
    const xmlNode *root;

    if (size == 0)
        return fail_with(1, ret_error, "there is no domain XML");
    if (size > XML_SIZE_MAX)
        return fail_with(1, ret_error, "the domain's XML is too large");

    parser = xmlNewParserCtxt();
    if (!parser)
        return -ENOMEM;
    parser->_private = &has_doctype;
    parser->sax->internalSubset = stop_at_doctype;

    /* libvirt writes UTF-8, so no other encoding that the text may name is tried. */
    doc = xmlCtxtReadMemory(parser, text, (int) size, NULL, "UTF-8",
                            XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
    if (has_doctype)
        return fail_with(1, ret_error, "the domain's XML has a DOCTYPE");
    if (parser->errNo == XML_ERR_NO_MEMORY)
        return -ENOMEM;
    if (!doc)
        return xml_describe_error(parser, ret_error);

    root = xmlDocGetRootElement(doc);
    if (!root || root->ns || strcmp((const char *) root->name, "domain") != 0)
        return fail_with(1, ret_error, "the XML's root element is not <domain>");

    *ret = TAKE_PTR(doc);
    return 0;
}

xmlNode *xml_child(const xmlNode *parent, const char *name)
{
    for (xmlNode *node = parent ? parent->children : NULL; node; node = node->next)
        if (node->type == XML_ELEMENT_NODE && !node->ns &&
            strcmp((const char *) node->name, name) == 0)
            return node;

    return NULL;
}

char *xml_text(const xmlNode *node)
{
    return node ? (char *) xmlNodeGetContent((xmlNode *) node) : NULL;
}
