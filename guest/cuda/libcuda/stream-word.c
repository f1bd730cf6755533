/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Words that a stream writes, or waits for. */
#include "memory-map.h"

static CUresult word(CUstream handle, CUdeviceptr address, uint64_t value, uint32_t bits,
                     unsigned flags, uint16_t opcode)
{
    VGPUSessionWord parameters = {.value = value, .bits = bits, .flags = flags};
    MemoryPiece piece;
    LibStream *stream;
    LibCall call;
    CUresult r = libcuda_enter_stream(handle, &call, &stream);

    if (r != CUDA_SUCCESS)
        return r;
    if (address % (bits / 8) != 0 || !memory_map_find(address, &piece))
        return CUDA_ERROR_INVALID_VALUE;
    parameters.stream = stream->number;
    parameters.address = piece.device + (address - piece.address);
    libcuda_stream_worked(stream);
    return libcuda_post(&call, opcode, &parameters, sizeof(parameters));
}

#define WORD_(name, bits, opcode)                                                          \
    CUresult cuStream##name##Value##bits##_v2(CUstream stream, CUdeviceptr address,        \
                                              cuuint##bits##_t value, unsigned flags)      \
    {                                                                                      \
        return word(stream, address, value, bits, flags, opcode);                          \
    }                                                                                      \
    CUresult cuStream##name##Value##bits##_v2_ptsz(CUstream stream, CUdeviceptr address,   \
                                                   cuuint##bits##_t value, unsigned flags) \
    {                                                                                      \
        return word(libcuda_per_thread(stream), address, value, bits, flags, opcode);      \
    }                                                                                      \
    CUresult cuStream##name##Value##bits(CUstream stream, CUdeviceptr address,             \
                                         cuuint##bits##_t value, unsigned flags)           \
    {                                                                                      \
        return word(stream, address, value, bits, flags, opcode);                          \
    }                                                                                      \
    CUresult cuStream##name##Value##bits##_ptsz(CUstream stream, CUdeviceptr address,      \
                                                cuuint##bits##_t value, unsigned flags)    \
    {                                                                                      \
        return word(libcuda_per_thread(stream), address, value, bits, flags, opcode);      \
    }

WORD_(Write, 32, VGPU_SESSION_OP_WORD_WRITE)
WORD_(Write, 64, VGPU_SESSION_OP_WORD_WRITE)
WORD_(Wait, 32, VGPU_SESSION_OP_WORD_WAIT)
WORD_(Wait, 64, VGPU_SESSION_OP_WORD_WAIT)
