/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Words that a stream writes, or waits for. */
#include "cuda-api-memory.h"
#include "memory-map.h"

/* CU_DEVICE_ATTRIBUTE_CAN_FLUSH_REMOTE_WRITES, _CAN_USE_64_BIT_STREAM_MEM_OPS,
 * _CAN_USE_STREAM_WAIT_VALUE_NOR */
enum { CAN_FLUSH = 98, CAN_USE_64_BITS = 122, CAN_USE_NOR = 123 };

#define WORD_OPS_MAX 256u

static bool word_can(int attribute)
{
    const VGPUSessionDevice *device = &libcuda_process.device;

    return device->attribute[attribute].result == 0 && device->attribute[attribute].value != 0;
}

/* What the driver says of it at once. Writing without a barrier is for @is_old functions. */
static CUresult word_check_flags(unsigned flags, uint32_t bits, uint16_t opcode, bool is_old)
{
    const unsigned way = flags & ~(unsigned) WORD_WAIT_FLUSH;

    if (opcode == VGPU_SESSION_OP_WORD_WRITE ? flags > (is_old ? WORD_WRITE_NO_MEMORY_BARRIER : 0u)
                                             : way > WORD_WAIT_NOR)
        return CUDA_ERROR_INVALID_VALUE;
    if (bits == 64 && !word_can(CAN_USE_64_BITS))
        return CUDA_ERROR_NOT_SUPPORTED;
    if (opcode == VGPU_SESSION_OP_WORD_WRITE)
        return CUDA_SUCCESS;
    if ((way == WORD_WAIT_NOR && !word_can(CAN_USE_NOR)) || (way != flags && !word_can(CAN_FLUSH)))
        return CUDA_ERROR_NOT_SUPPORTED;
    return CUDA_SUCCESS;
}

/* @parameters: but for the stream, and with the program's address */
static CUresult word_prepare(VGPUSessionWord *parameters, uint16_t opcode, bool is_old)
{
    const uint64_t address = parameters->address, size = parameters->bits / 8;
    MemoryPiece piece;
    CUresult r = word_check_flags(parameters->flags, parameters->bits, opcode, is_old);

    if (r != CUDA_SUCCESS)
        return r;
    if (address % size != 0 || !memory_map_find(address, &piece) || piece.kind == MEMORY_RESERVED ||
        !memory_has(&piece, address, size))
        return CUDA_ERROR_INVALID_VALUE;
    parameters->address = piece.device + (address - piece.address);
    /* A barrier that nobody wanted does no harm. */
    if (opcode == VGPU_SESSION_OP_WORD_WRITE)
        parameters->flags = 0;
    return CUDA_SUCCESS;
}

static CUresult word(CUstream handle, CUdeviceptr address, uint64_t value, uint32_t bits,
                     unsigned flags, uint16_t opcode, bool is_old)
{
    VGPUSessionWord parameters = {.address = address, .value = value, .bits = bits, .flags = flags};
    LibStream *stream;
    LibCall call;
    CUresult r = libcuda_enter_work(handle, &call, &stream);

    if (r == CUDA_SUCCESS)
        r = word_prepare(&parameters, opcode, is_old);
    if (r != CUDA_SUCCESS)
        return r;
    parameters.stream = stream->number;
    libcuda_stream_worked(stream);
    return libcuda_post(&call, opcode, &parameters, sizeof(parameters));
}

#define WORD_(name, bits, opcode)                                                            \
    CUresult cuStream##name##Value##bits##_v2(CUstream stream, CUdeviceptr address,          \
                                              cuuint##bits##_t value, unsigned flags)        \
    {                                                                                        \
        return word(stream, address, value, bits, flags, opcode, false);                     \
    }                                                                                        \
    CUresult cuStream##name##Value##bits##_v2_ptsz(CUstream stream, CUdeviceptr address,     \
                                                   cuuint##bits##_t value, unsigned flags)   \
    {                                                                                        \
        return word(libcuda_per_thread(stream), address, value, bits, flags, opcode, false); \
    }                                                                                        \
    CUresult cuStream##name##Value##bits(CUstream stream, CUdeviceptr address,               \
                                         cuuint##bits##_t value, unsigned flags)             \
    {                                                                                        \
        return word(stream, address, value, bits, flags, opcode, true);                      \
    }                                                                                        \
    CUresult cuStream##name##Value##bits##_ptsz(CUstream stream, CUdeviceptr address,        \
                                                cuuint##bits##_t value, unsigned flags)      \
    {                                                                                        \
        return word(libcuda_per_thread(stream), address, value, bits, flags, opcode, true);  \
    }

WORD_(Write, 32, VGPU_SESSION_OP_WORD_WRITE)
WORD_(Write, 64, VGPU_SESSION_OP_WORD_WRITE)
WORD_(Wait, 32, VGPU_SESSION_OP_WORD_WAIT)
WORD_(Wait, 64, VGPU_SESSION_OP_WORD_WAIT)

/* ---- Several at once ---------------------------------------------------------------------------
 */

static CUresult word_of_op(const WordOp *op, VGPUSessionWord *ret, uint16_t *ret_opcode,
                           bool is_old)
{
    const bool is_64 = op->operation == WORD_OP_WAIT_64 || op->operation == WORD_OP_WRITE_64;

    switch (op->operation) {
    case WORD_OP_WAIT_32:
    case WORD_OP_WAIT_64:
        *ret_opcode = VGPU_SESSION_OP_WORD_WAIT;
        break;
    case WORD_OP_WRITE_32:
    case WORD_OP_WRITE_64:
        *ret_opcode = VGPU_SESSION_OP_WORD_WRITE;
        break;
    case WORD_OP_FLUSH_REMOTE_WRITES:
    case WORD_OP_BARRIER:
        return CUDA_ERROR_NOT_SUPPORTED;
    default:
        return CUDA_ERROR_INVALID_VALUE;
    }
    *ret = (VGPUSessionWord){
        .address = op->address,
        .value = is_64 ? op->value : (uint32_t) op->value,
        .bits = is_64 ? 64 : 32,
        .flags = op->flags,
    };
    return word_prepare(ret, *ret_opcode, is_old);
}

/* All are checked before any of them is given to the stream. */
static CUresult word_batch(CUstream handle, unsigned n, const WordOp *ops, unsigned flags,
                           bool is_old)
{
    VGPUSessionWord parameters[WORD_OPS_MAX];
    uint16_t opcodes[WORD_OPS_MAX];
    LibStream *stream;
    LibCall call;
    CUresult r = libcuda_enter_work(handle, &call, &stream);

    if (r != CUDA_SUCCESS)
        return r;
    if (n > WORD_OPS_MAX || (n > 0 && !ops) || flags != 0)
        return CUDA_ERROR_INVALID_VALUE;
    for (unsigned i = 0; r == CUDA_SUCCESS && i < n; i++) {
        r = word_of_op(&ops[i], &parameters[i], &opcodes[i], is_old);
        parameters[i].stream = stream->number;
    }
    if (r == CUDA_SUCCESS && n > 0)
        libcuda_stream_worked(stream);
    for (unsigned i = 0; r == CUDA_SUCCESS && i < n; i++)
        r = libcuda_post(&call, opcodes[i], &parameters[i], sizeof(parameters[i]));
    return r;
}

CUresult cuStreamBatchMemOp_v2(CUstream stream, unsigned n, WordOp *ops, unsigned flags)
{
    return word_batch(stream, n, ops, flags, false);
}

CUresult cuStreamBatchMemOp_v2_ptsz(CUstream stream, unsigned n, WordOp *ops, unsigned flags)
{
    return word_batch(libcuda_per_thread(stream), n, ops, flags, false);
}

CUresult cuStreamBatchMemOp(CUstream stream, unsigned n, WordOp *ops, unsigned flags)
{
    return word_batch(stream, n, ops, flags, true);
}

CUresult cuStreamBatchMemOp_ptsz(CUstream stream, unsigned n, WordOp *ops, unsigned flags)
{
    return word_batch(libcuda_per_thread(stream), n, ops, flags, true);
}
