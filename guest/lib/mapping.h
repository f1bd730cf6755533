/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Shared memory at an address of choice. */
#ifndef VGPU_GUEST_MAPPING_H
#define VGPU_GUEST_MAPPING_H

#include <stdint.h>

/*
 * mapping_create() - map @size bytes of @fd, from @offset on, shared, to read and write
 * @at: where, a multiple of the page's size; NULL: anywhere
 * @ret: to be unmapped with munmap()
 *
 * Never replaces what is mapped already. Returns 0, -EEXIST when there is something at @at, or
 * another negative errno.
 */
int mapping_create(void *at, uint64_t size, int fd, uint64_t offset, void **ret);

/* mapping_replace() - the same in the place of what is mapped at @at */
int mapping_replace(void *at, uint64_t size, int fd, uint64_t offset);

#endif
