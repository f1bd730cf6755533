/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* UUIDs as libvirt writes them: the name of a domain's attach record. */
#ifndef VGPU_HOOKS_UUID_H
#define VGPU_HOOKS_UUID_H

#include <stdbool.h>

#define UUID_TEXT_SIZE 37 /* bytes, with the NUL */

/*
 * uuid_normalize() - the lower-case form of a UUID with its four hyphens
 * @text: any string, never NULL
 * @ret: written only when the answer is true
 *
 * The result has hexadecimal digits and hyphens only, so it can be part of a path. Returns false
 * when @text has any other form.
 */
bool uuid_normalize(const char *text, char ret[static UUID_TEXT_SIZE]);

#endif
