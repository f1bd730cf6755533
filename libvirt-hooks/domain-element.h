/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Our element by itself, to be changed and given back to libvirt. */
#ifndef VGPU_HOOKS_DOMAIN_ELEMENT_H
#define VGPU_HOOKS_DOMAIN_ELEMENT_H

#include <libxml/tree.h>

/*
 * element_copy() - the element with its attributes, as the root of a document of its own
 *
 * It is in no namespace: libvirt gives what it is given its namespace, and refuses an element
 * that has one already. Returns a document, freed with xmlFreeDoc(), or NULL without memory.
 */
xmlDoc *element_copy(const xmlNode *element);

/* element_set() - give the root of @doc an attribute. Returns 0 or -ENOMEM */
int element_set(xmlDoc *doc, const char *name, const char *value);

/* element_print() - as text, freed with free(), or NULL without memory */
char *element_print(xmlDoc *doc);

#endif
