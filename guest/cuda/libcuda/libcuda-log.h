/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What libcuda.so.1 tells whoever looks for the reason of an error. */
#ifndef VGPU_LIBCUDA_LOG_H
#define VGPU_LIBCUDA_LOG_H

#include <stdbool.h>

/* libcuda_log() - a line that is kept for cuLogsDumpToMemory() and so on, and goes to standard
 * error if VGPU_CUDA_LOG is 1 in the environment. A program that was made for the driver expects no
 * lines. */
__attribute__((format(printf, 1, 2))) void libcuda_log(const char *format, ...);

/* libcuda_log_keep() - what that keeps, and tells callbacks (error-log.c) */
void libcuda_log_keep(const char *text);

/* libcuda_log_forked() - in a child: no other thread is there that could have the lock */
void libcuda_log_forked(void);

/*
 * libcuda_refuse() - a function that is not served
 * @name: its own
 * @is_told: of that function; the line is for the first call
 *
 * Returns CUDA_ERROR_NOT_SUPPORTED.
 */
int libcuda_refuse(const char *name, bool *is_told);

#endif
