/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How a CUDA device is named: by its number in the driver's order, or by its UUID as
 * CUDA_VISIBLE_DEVICES takes it, "GPU-..." or, for a MIG instance, "MIG-...". */
#ifndef VGPU_DEVICE_NAME_H
#define VGPU_DEVICE_NAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DEVICE_NAME_SIZE 48u /* with the 0 */
#define DEVICE_NUMBER_MAX 255u

/*
 * device_name_parse() - check a name of @size bytes
 * @ret: it, without zeros in front of a number
 *
 * Returns whether it has the form of one; whether there is such a device is for the driver to say.
 */
bool device_name_parse(const char *text, size_t size, char ret[DEVICE_NAME_SIZE]);

/* device_name_is_number() - and which; @name went through device_name_parse() */
bool device_name_is_number(const char *name, uint32_t *ret);

#endif
