/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The arguments of a kernel, as "vgpu run" has them on its command line. */
#ifndef VGPU_GUEST_RUN_ARGUMENTS_H
#define VGPU_GUEST_RUN_ARGUMENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vgpu-session.h"

/* A value, or a buffer whose address is the kernel's argument */
typedef struct run_argument {
    const char *text; /* as given */
    uint32_t size;    /* bytes of the value; of an address 8 */
    uint8_t value[8];
    bool is_buffer;
    uint8_t *content; /* of a buffer from a file, else NULL: zeros. No buffer: the value itself */
    size_t buffer_size;
    char *output;     /* where the buffer's content goes afterwards, or NULL */
    uint64_t address; /* of the buffer, on the device */
} run_argument;

/* run_argument_parse() - @text stays the caller's; files are read. Prints a message unless it
 * returns 0. Returns an exit code. @ret is to be freed with run_argument_free(), also after a
 * failure. */
int run_argument_parse(const char *text, run_argument *ret);
void run_argument_free(run_argument *a);

/* run_arguments_check() - do they fit the kernel? Prints a message unless it returns 0. Returns an
 * exit code. */
int run_arguments_check(const run_argument *a, size_t n, const char *kernel,
                        const VGPUSessionFunction *f);

/* run_arguments_pack() - write them as the kernel wants them. @to: f->parameters_size bytes */
void run_arguments_pack(const run_argument *a, size_t n, const VGPUSessionFunction *f, uint8_t *to);

/* read_whole_file() - read a file, and put a 0 behind it. Prints a message unless it returns 0.
 * Returns an exit code. @ret: to be freed with free() */
int read_whole_file(const char *path, uint8_t **ret, size_t *ret_size);

#endif
