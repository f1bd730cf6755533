/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One request through the registers, and its answer.
 *
 * The library writes the request's words, its length and tag, and then the doorbell. It does so
 * under the lock, and while STATUS is not BUSY: the device ignores a doorbell while it is BUSY. The
 * device goes to BUSY before the write of the doorbell is over. So from then on STATUS is about
 * this request: BUSY while it runs; DONE or ERROR when the answer is complete; IDLE only if
 * somebody has reset the device in between. A reset also clears the tag, and a program that ignores
 * the lock writes a tag of its own. So an answer is ours only while REQUEST_ID is what we wrote.
 *
 * The library checks what the host answers before it uses it: a guest need not trust its host's
 * lengths.
 */
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "device.h"

#define WORD ((uint32_t) sizeof(uint32_t))

/* The last word is padded with zeros. */
static void write_request(vgpu_device *dev, const void *request, uint32_t size)
{
    const uint8_t *bytes = request;

    for (uint32_t at = 0; at < size; at += WORD) {
        uint32_t word = 0;

        memcpy(&word, bytes + at, size - at < WORD ? size - at : WORD);
        device_write(dev, VGPU_REG_REQUEST + at, word);
    }
}

static void read_response(vgpu_device *dev, uint32_t size, void *response)
{
    uint8_t *bytes = response;

    for (uint32_t at = 0; at < size; at += WORD) {
        uint32_t word = device_read(dev, VGPU_REG_RESPONSE + at);

        memcpy(bytes + at, &word, size - at < WORD ? size - at : WORD);
    }
}

int device_submit(vgpu_device *dev, const void *request, size_t size, deadline until)
{
    uint32_t status;
    int r;

    if (!dev->locked)
        return -ENOLCK;
    if (size == 0 || size > VGPU_REQUEST_MAX)
        return -EMSGSIZE;

    r = device_wait_while_busy(dev, until, &status);
    if (r == -ETIMEDOUT)
        return -EBUSY;
    if (r < 0)
        return r;

    write_request(dev, request, (uint32_t) size);
    device_write(dev, VGPU_REG_REQUEST_LEN, (uint32_t) size);
    device_write(dev, VGPU_REG_REQUEST_ID, ++dev->tag);
    device_write(dev, VGPU_REG_DOORBELL, 1);
    dev->counters.requests++;
    dev->request = REQUEST_SUBMITTED;
    return 0;
}

int vgpu_submit(vgpu_device *dev, const void *request, size_t size, int timeout_ms)
{
    return device_submit(dev, request, size, deadline_after(timeout_ms));
}

/* Copy the answer out of the registers. Returns 0, -EPROTO when it is malformed, or -ENOBUFS. */
static int take_response(vgpu_device *dev, void *response, size_t room, VGPUResponse *ret_header,
                         size_t *ret_size)
{
    uint32_t size = device_read(dev, VGPU_REG_RESPONSE_LEN);

    if (size < sizeof(VGPUResponse) || size > VGPU_RESPONSE_MAX)
        return -EPROTO;
    if (size > room)
        return -ENOBUFS;

    read_response(dev, size, response);
    if (!vgpu_response_check(response, size, ret_header))
        return -EPROTO;

    *ret_size = size;
    return 0;
}

/* STATUS is ERROR, so the result is the error code. An answer is handed over only if its status is
 * that code: a device that gave up by itself may still show the answer to an earlier request. */
static int collect_error(vgpu_device *dev, void *response, size_t room, size_t *ret_size)
{
    uint32_t code = device_read(dev, VGPU_REG_ERROR_CODE);
    VGPUResponse header;
    size_t size;

    if (code == VGPU_ERROR_NONE || code > INT_MAX)
        return -EPROTO;

    if (take_response(dev, response, room, &header, &size) < 0 || header.status != code)
        size = 0;

    *ret_size = size;
    return (int) code;
}

static int collect_done(vgpu_device *dev, void *response, size_t room, size_t *ret_size)
{
    VGPUResponse header;
    size_t size;
    int r;

    r = take_response(dev, response, room, &header, &size);
    if (r < 0)
        return r;

    *ret_size = size;
    return (int) header.status; /* vgpu_response_check() has bounded it */
}

int vgpu_collect(vgpu_device *dev, void *response, size_t response_size, size_t *ret_size)
{
    if (!dev->locked)
        return -ENOLCK;
    if (dev->request != REQUEST_FINISHED)
        return -ENOTCONN;

    assert(dev->status == VGPU_STATUS_DONE || dev->status == VGPU_STATUS_ERROR);
    dev->request = REQUEST_NONE;
    if (device_read(dev, VGPU_REG_REQUEST_ID) != dev->tag)
        return -ESTALE;

    if (dev->status == VGPU_STATUS_ERROR)
        return collect_error(dev, response, response_size, ret_size);
    return collect_done(dev, response, response_size, ret_size);
}

int device_call(vgpu_device *dev, const void *request, size_t size, deadline until, void *response,
                size_t response_size, size_t *ret_size)
{
    bool lock = !dev->locked;
    int r;

    if (lock) {
        r = device_lock(dev, until);
        if (r < 0)
            return r;
    }

    r = device_submit(dev, request, size, until);
    if (r == 0)
        r = device_wait(dev, until);
    if (r == 0)
        r = vgpu_collect(dev, response, response_size, ret_size);

    if (lock)
        vgpu_unlock(dev);
    return r;
}

int vgpu_call(vgpu_device *dev, const void *request, size_t size, int timeout_ms, void *response,
              size_t response_size, size_t *ret_size)
{
    return device_call(dev, request, size, deadline_after(timeout_ms), response, response_size,
                       ret_size);
}
