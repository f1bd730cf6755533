/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The typed calls with a fixed form. */
#include <errno.h>
#include <string.h>

#include "device.h"

int vgpu_nop(vgpu_device *dev, int timeout_ms)
{
    const VGPURequest request = {.version = VGPU_PROTOCOL_VERSION, .opcode = VGPU_OP_NOP};
    uint32_t response[VGPU_RESPONSE_MAX / sizeof(uint32_t)];
    size_t size;

    return vgpu_call(dev, &request, sizeof(request), timeout_ms, response, sizeof(response), &size);
}

int vgpu_add(vgpu_device *dev, uint32_t a, uint32_t b, int timeout_ms, uint32_t *ret_sum)
{
    const struct {
        VGPURequest header;
        uint32_t params[2];
    } request = {
        .header =
            {
                .version = VGPU_PROTOCOL_VERSION,
                .opcode = VGPU_OP_CUDA_KERNEL,
                .param_count = 2,
            },
        .params = {a, b},
    };
    struct {
        VGPUResponse header;
        uint32_t rest[(VGPU_RESPONSE_MAX - sizeof(VGPUResponse)) / sizeof(uint32_t)];
    } response;
    size_t size;
    int r;

    r = vgpu_call(dev, &request, sizeof(request), timeout_ms, &response, sizeof(response), &size);
    if (r != 0)
        return r;
    if (response.header.result_count != 1)
        return -EPROTO;

    *ret_sum = response.rest[0];
    return 0;
}

int vgpu_get_device_info(vgpu_device *dev, int timeout_ms, VGPUDeviceInfo *ret)
{
    const VGPURequest request = {
        .version = VGPU_PROTOCOL_VERSION,
        .opcode = VGPU_OP_GET_DEVICE_INFO,
    };
    uint8_t response[VGPU_RESPONSE_MAX];
    VGPUResponse header;
    size_t size;
    int r;

    r = vgpu_call(dev, &request, sizeof(request), timeout_ms, response, sizeof(response), &size);
    if (r != 0)
        return r;

    memcpy(&header, response, sizeof(header));
    if (header.data_length < sizeof(*ret))
        return -EPROTO;

    memcpy(ret, response + header.data_offset, sizeof(*ret));
    ret->backend[sizeof(ret->backend) - 1] = '\0';
    ret->name[sizeof(ret->name) - 1] = '\0';
    return 0;
}
