/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The handshake between the CUDA runtime and the driver, which this library stands in for: both
 * compute one number from what they see of each other, and a runtime that finds another number
 * refuses all calls with error 103. It is HMAC (RFC 2104) with MD2 (RFC 1319).
 *
 * The key and the two fixed answers are constants of the driver. They are published in ZLUDA
 * (github.com/vosen/ZLUDA, dark_api/src/lib.rs; MIT or Apache-2.0) and Lupine
 * (github.com/lupinemachines/lupine, cuda_client.cpp; Apache-2.0). The Meson option
 * runtime_handshake leaves this file out; then only programs that call the driver API by themselves
 * can use this library.
 */
#include <string.h>
#include <unistd.h>

#include "export-tables.h"
#include "md2.h"

static const uint8_t handshake_key[MD2_BLOCK] = {0x14, 0x6a, 0xdd, 0xae, 0x53, 0xa9, 0xa7, 0x52,
                                                 0xaa, 0x08, 0x41, 0x36, 0x0b, 0xf5, 0x5a, 0x9f};

typedef struct HandshakeInput {
    uint32_t driver_version, version;
    uint32_t process, thread;
    const void *runtime_table, *handshake_table;
    const void *function;
    uint64_t seconds;
} HandshakeInput;

typedef struct HandshakeDevice {
    uint8_t uuid[16];
    int32_t domain, bus, device;
} HandshakeDevice;

static void handshake_key_block(Md2 *md, uint8_t pad)
{
    uint8_t block[MD2_BLOCK];

    for (unsigned i = 0; i < sizeof(block); i++)
        block[i] = handshake_key[i] ^ pad;
    md2_begin(md);
    md2_add(md, block, sizeof(block));
}

static void handshake_compute(const HandshakeInput *input, const HandshakeDevice *device,
                              uint64_t ret[2])
{
    uint8_t inner[MD2_BLOCK];
    Md2 md;

    handshake_key_block(&md, 0x36);
    md2_add(&md, input, sizeof(*input));
    md2_add(&md, device, sizeof(*device));
    md2_end(&md, inner);
    handshake_key_block(&md, 0x5c);
    md2_add(&md, inner, sizeof(inner));
    md2_end(&md, (uint8_t *) ret);
}

/* @version: what the runtime wants. Its last digit says which answer. */
static CUresult handshake(uint32_t version, uint64_t seconds, uint64_t (*ret)[2])
{
    const LibProcess *p = &libcuda_process;
    const HandshakeInput input = {
        .driver_version = (uint32_t) libcuda_version(),
        .version = version,
        .process = (uint32_t) getpid(),
        .thread = (uint32_t) (uintptr_t) __builtin_thread_pointer(),
        .runtime_table = export_runtime,
        .handshake_table = export_handshake,
        .function = (const void *) handshake,
        .seconds = seconds,
    };
    HandshakeDevice device = {
        .domain = p->pci_domain,
        .bus = p->pci_bus,
        .device = p->pci_device,
    };

    if (!ret)
        return CUDA_ERROR_INVALID_VALUE;
    if (version % 10 <= 1) {
        (*ret)[0] = version % 10 == 0 ? UINT64_C(0x3341181c03cb675c) : UINT64_C(0x1841181c03cb675c);
        (*ret)[1] = UINT64_C(0x8ed383aa1f4cd1e8);
        return CUDA_SUCCESS;
    }
    memcpy(device.uuid, p->device.uuid, sizeof(device.uuid));
    handshake_compute(&input, &device, *ret);
    return CUDA_SUCCESS;
}

const ExportWord export_handshake[3] = {
    {.size = sizeof(export_handshake)},
    EXPORT_FUNCTION(handshake),
    EXPORT_REFUSED,
};
