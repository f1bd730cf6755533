/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Vector addition, cut into requests. */
#include <errno.h>
#include <string.h>

#include "device.h"

/* The longest pause before a request is repeated that the host has turned away for the moment. */
#define RETRY_PAUSE_MAX_NS 100000000u

static const struct {
    const char *name;
    uint32_t opcode;
} types[VGPU_N_TYPES] = {
    [VGPU_INT32] = {"int32", VGPU_OP_VECTOR_ADD_INT32},
    [VGPU_INT64] = {"int64", VGPU_OP_VECTOR_ADD_INT64},
    [VGPU_FLOAT32] = {"float32", VGPU_OP_VECTOR_ADD_FLOAT32},
    [VGPU_FLOAT64] = {"float64", VGPU_OP_VECTOR_ADD_FLOAT64},
};

static bool type_is_valid(vgpu_type type)
{
    return (unsigned int) type < VGPU_N_TYPES;
}

const char *vgpu_type_to_string(vgpu_type type)
{
    return type_is_valid(type) ? types[type].name : NULL;
}

int vgpu_type_from_string(const char *s, vgpu_type *ret)
{
    for (unsigned int type = 0; type < VGPU_N_TYPES; type++)
        if (strcmp(s, types[type].name) == 0) {
            *ret = (vgpu_type) type;
            return 0;
        }

    return -EINVAL;
}

size_t vgpu_type_size(vgpu_type type)
{
    return type_is_valid(type) ? vgpu_element_size(types[type].opcode) : 0;
}

size_t vgpu_vector_max(vgpu_type type)
{
    return type_is_valid(type) ? VGPU_REQUEST_DATA_MAX / (2 * vgpu_type_size(type)) : 0;
}

/* Do one request, with @bytes of each vector. */
static int vector_add_once(vgpu_device *dev, uint32_t opcode, const uint8_t *a, const uint8_t *b,
                           uint32_t bytes, deadline until, uint8_t *c)
{
    const VGPURequest header = {
        .version = VGPU_PROTOCOL_VERSION,
        .opcode = opcode,
        .data_offset = sizeof(header),
        .data_length = 2 * bytes,
    };
    uint8_t request[VGPU_REQUEST_MAX], response[VGPU_RESPONSE_MAX];
    VGPUResponse answer;
    size_t size;
    int r;

    memcpy(request, &header, sizeof(header));
    memcpy(request + sizeof(header), a, bytes);
    memcpy(request + sizeof(header) + bytes, b, bytes);

    r = device_call(dev, request, sizeof(header) + 2 * bytes, until, response, sizeof(response),
                    &size);
    if (r != 0)
        return r;

    memcpy(&answer, response, sizeof(answer));
    if (answer.data_length != bytes)
        return -EPROTO;

    memcpy(c, response + answer.data_offset, bytes);
    return 0;
}

static int vector_add_patiently(vgpu_device *dev, uint32_t opcode, const uint8_t *a,
                                const uint8_t *b, uint32_t bytes, int timeout_ms, uint8_t *c)
{
    deadline until = deadline_after(timeout_ms);
    backoff pause = {0};
    int r;

    do
        r = vector_add_once(dev, opcode, a, b, bytes, until, c);
    while ((r == VGPU_ERROR_QUEUE_FULL || r == VGPU_ERROR_RATE_LIMITED) &&
           backoff_pause(&pause, until, RETRY_PAUSE_MAX_NS));

    return r;
}

int vgpu_vector_add(vgpu_device *dev, vgpu_type type, const void *a, const void *b, size_t n,
                    int timeout_ms, void *c, size_t *ret_done)
{
    size_t element = vgpu_type_size(type), max = vgpu_vector_max(type), done = 0;
    int r = type_is_valid(type) ? 0 : -EINVAL;

    while (r == 0 && done < n) {
        size_t count = n - done < max ? n - done : max, at = done * element;

        r = vector_add_patiently(dev, types[type].opcode, (const uint8_t *) a + at,
                                 (const uint8_t *) b + at, (uint32_t) (count * element), timeout_ms,
                                 (uint8_t *) c + at);
        if (r == 0)
            done += count;
    }

    if (ret_done)
        *ret_done = done;
    return r;
}
