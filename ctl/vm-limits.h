/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The settings of a VM that the command line gives as NAME=N. */
#ifndef VGPU_CTL_VM_LIMITS_H
#define VGPU_CTL_VM_LIMITS_H

#include "vm-settings.h"

/* vm_limits_find() - the setting that @text, NAME=VALUE, is about, or NULL. Case does not matter */
const VMSetting *vm_limits_find(const char *text);

/*
 * vm_limits_names() - all names in a row: vm_limits_names("=", "or") is "A=, B= or C="
 * @suffix: behind each name
 * @conjunction: before the last
 *
 * Returns a new string, or NULL without memory.
 */
char *vm_limits_names(const char *suffix, const char *conjunction);

/* vm_limits_refuse() - say on standard error that @text is no limit, and which there are */
void vm_limits_refuse(const char *text);

/* vm_limits_next() - the first limit from row @i of the table on; VM_N_SETTINGS: there is none */
unsigned vm_limits_next(unsigned i);

#endif
