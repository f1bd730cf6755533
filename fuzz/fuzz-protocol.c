/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The validators: whatever they accept must lie inside the bytes that they were given. */
#include <stdlib.h>

#include "require.h"
#include "vgpu-protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    VGPUSocketHeader header;
    VGPUResponse response;
    VGPURequest request;

    if (vgpu_request_check(data, size, &request) == VGPU_ERROR_NONE) {
        require(size >= sizeof(request));
        require(request.param_count <= (size - sizeof(request)) / 4);
        require(request.data_length == 0 ||
                (uint64_t) request.data_offset + request.data_length <= size);
    }
    if (vgpu_response_check(data, size, &response)) {
        require(size >= sizeof(response));
        require(response.result_count <= (size - sizeof(response)) / 4);
        require(response.data_length == 0 ||
                (uint64_t) response.data_offset + response.data_length <= size);
    }
    if (size >= sizeof(header)) {
        memcpy(&header, data, sizeof(header));
        if (!vgpu_socket_header_check(&header))
            require(header.payload_len <= VGPU_PAYLOAD_MAX);
    }
    return 0;
}
