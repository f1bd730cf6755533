/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which names a VM may have. Two names must not look alike in a table, and no name may change
 * the order of what stands beside it: so there are no characters in it that nobody sees.
 */
#ifndef VGPU_VM_NAME_H
#define VGPU_VM_NAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VM_NAME_MAX 255 /* bytes */

#define VM_NAME_PROBLEM_SIZE 128

/*
 * vm_name_problem() - why a string can be no VM's name
 * @buffer: of VM_NAME_PROBLEM_SIZE bytes
 *
 * A name is 1 to VM_NAME_MAX bytes of UTF-8. It has no control characters, and none of those that
 * Unicode lets a terminal leave out (Default_Ignorable_Code_Point: zero-width ones, those that
 * turn the direction of writing, fillers, variation selectors), no separators of lines, and no
 * code points that stand for none.
 *
 * Returns NULL for a proper name; else @buffer, with a sentence that begins "it " and is plain
 * ASCII.
 */
const char *vm_name_problem(const char *name, char *buffer);

/*
 * utf8_character() - reads one character of UTF-8, whatever the locale is
 * @text: NUL-terminated
 * @ret:  its code point
 *
 * Returns its bytes, 1 to 4, or 0 where @text begins with no proper character.
 */
size_t utf8_character(const char *text, uint32_t *ret);

/* character_is_unseen() - is this code point one of those that no name has? */
bool character_is_unseen(uint32_t c);

/* vm_name_is_valid() - the same as a yes or no */
bool vm_name_is_valid(const char *name);

#endif
