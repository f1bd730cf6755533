/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "response.h"

size_t response_size(const Response *r)
{
    return sizeof(VGPUResponse) + r->n_results * sizeof(uint32_t) + r->data_length;
}

void response_write(const Response *r, void *buf)
{
    size_t results_size = r->n_results * sizeof(uint32_t);
    unsigned char *p = buf;
    VGPUResponse header = {
        .version = VGPU_PROTOCOL_VERSION,
        .status = r->status,
        .result_count = r->n_results,
        .data_length = r->data_length,
        .exec_time_us = r->exec_time_us,
    };

    if (r->data_length > 0)
        header.data_offset = (uint32_t) (sizeof(header) + results_size);

    memcpy(p, &header, sizeof(header));
    if (results_size > 0)
        memcpy(p + sizeof(header), r->results, results_size);
    if (r->data_length > 0)
        memcpy(p + header.data_offset, r->data, r->data_length);
}
