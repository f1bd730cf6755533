/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Putting a VGPUResponse together. */
#ifndef VGPU_EXECUTOR_RESPONSE_H
#define VGPU_EXECUTOR_RESPONSE_H

#include "vgpu-protocol.h"

typedef struct Response {
    uint32_t status; /* VGPU_ERROR_* */
    uint32_t exec_time_us;
    uint32_t n_results;
    uint32_t data_length;    /* bytes */
    const uint32_t *results; /* n_results of them; may be NULL when there are none */
    const void *data;        /* data_length bytes; may be NULL when there are none */
} Response;

/* response_size() - the number of bytes that response_write() will write */
size_t response_size(const Response *r);

/*
 * response_write() - header, results and data, one after the other
 * @r: what to write; response_size() is at most VGPU_RESPONSE_MAX
 * @buf: response_size() bytes, any alignment
 */
void response_write(const Response *r, void *buf);

#endif
