/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Domain XML as a tree, read with distrust. */
#ifndef VGPU_HOOKS_XML_H
#define VGPU_HOOKS_XML_H

#include <stddef.h>

#include <libxml/tree.h>

#include "cleanup.h"

/* Larger XML is refused. A domain has some thousands of bytes. */
#define XML_SIZE_MAX (8u * 1024 * 1024)

/*
 * xml_parse() - parse a document whose root is <domain>
 * @text: the document, not terminated
 * @size: its bytes
 * @ret: the document, freed with xmlFreeDoc()
 * @ret_error: with a positive result: a message in words, to be freed
 *
 * Fetches nothing. A document with a DOCTYPE is refused before its entities mean anything.
 * Prints no errors.
 *
 * Returns 0, a positive number when the text is no domain, or a negative errno.
 */
int xml_parse(const char *text, size_t size, xmlDoc **ret, char **ret_error);

/* xml_child() - the first child element of @parent with that name and no namespace, or NULL */
xmlNode *xml_child(const xmlNode *parent, const char *name);

/* xml_text() - the text in @node, or NULL; freed with xmlFree(). @node may be NULL */
char *xml_text(const xmlNode *node);

void xml_doc_freep(xmlDoc **doc);
void xml_string_freep(char **string);

#define CLEANUP_XML_DOC CLEANUP(xml_doc_freep)
#define CLEANUP_XML_STRING CLEANUP(xml_string_freep)

#endif
