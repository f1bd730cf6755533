/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Words that the device writes, and waits for, in memory that it and the host may share */
#include "fake-memory.h"
#include "fake-queue.h"

enum {
    WAIT_GEQ = 0,
    WAIT_EQ = 1,
    WAIT_AND = 2,
    WAIT_NOR = 3,
    WAIT_FLUSH = 1 << 30,
};

static uint64_t word_read(const FakeWord *w)
{
    void *p = fake_memory_check(w->address, w->bits / 8, w->bits / 8, "wait for a word");

    return w->bits == 64 ? __atomic_load_n((uint64_t *) p, __ATOMIC_ACQUIRE)
                         : __atomic_load_n((uint32_t *) p, __ATOMIC_ACQUIRE);
}

bool fake_word_holds(const FakeWord *w)
{
    uint64_t is = word_read(w);
    uint64_t mask = w->bits == 64 ? UINT64_MAX : UINT32_MAX;

    switch (w->flags) {
    case WAIT_GEQ: /* cyclic */
        return w->bits == 64 ? (int64_t) (is - w->value) >= 0
                             : (int32_t) (uint32_t) (is - w->value) >= 0;
    case WAIT_EQ:
        return is == w->value;
    case WAIT_AND:
        return (is & w->value) != 0;
    default:
        return (~(is | w->value) & mask) != 0;
    }
}

void fake_word_write(const FakeWord *w)
{
    void *p = fake_memory_find(w->address, w->bits / 8);

    if (!p)
        fake_queue_break(CUDA_ERROR_ILLEGAL_ADDRESS);
    else if (w->bits == 64)
        __atomic_store_n((uint64_t *) p, w->value, __ATOMIC_RELEASE);
    else
        __atomic_store_n((uint32_t *) p, (uint32_t) w->value, __ATOMIC_RELEASE);
}

static CUresult submit(CUstream stream, FakeWorkKind kind, FakeWord word, const char *function)
{
    FAKE_LOCKED();

    FakeWork w = {.kind = kind, .word = word};
    CUstream s = fake_stream_get(stream, function);

    if (word.address % (word.bits / 8) != 0)
        return CUDA_ERROR_INVALID_VALUE;
    fake_memory_check(word.address, word.bits / 8, 1, function);
    return fake_submit(s, &w);
}

/* One of the words of a batch. Returns whether there is such an operation. */
static bool batch_word(const CudaMemOp *op, FakeWord *ret, bool *ret_waits)
{
    const bool is_64 = op->operation == CU_STREAM_MEM_OP_WAIT_VALUE_64 ||
                       op->operation == CU_STREAM_MEM_OP_WRITE_VALUE_64;

    *ret_waits = op->operation == CU_STREAM_MEM_OP_WAIT_VALUE_32 ||
                 op->operation == CU_STREAM_MEM_OP_WAIT_VALUE_64;
    *ret = (FakeWord){op->address, is_64 ? op->value : (uint32_t) op->value, is_64 ? 64 : 32,
                      op->flags};
    if (op->operation < CU_STREAM_MEM_OP_WAIT_VALUE_32 ||
        op->operation > CU_STREAM_MEM_OP_WRITE_VALUE_64 || op->operation == 3)
        return false;
    return op->flags <= (unsigned) (*ret_waits ? WAIT_NOR : 0) &&
           op->address % (ret->bits / 8) == 0;
}

CUresult fake_batch_make(const CudaMemOp *ops, unsigned n, const char *what, FakeWork *ret)
{
    FakeBatch b = {.n = n};

    if (n == 0 || n > FAKE_BATCH_MAX)
        return CUDA_ERROR_INVALID_VALUE;
    for (unsigned i = 0; i < n; i++) {
        if (ops[i].flags & WAIT_FLUSH)
            return CUDA_ERROR_NOT_SUPPORTED;
        if (!batch_word(&ops[i], &b.word[i], &b.waits[i]))
            return CUDA_ERROR_INVALID_VALUE;
        fake_memory_check(b.word[i].address, b.word[i].bits / 8, 1, what);
    }
    *ret = (FakeWork){.kind = FAKE_WORK_BATCH, .batch = b};
    return CUDA_SUCCESS;
}

CUresult cuStreamBatchMemOp_v2(CUstream stream, unsigned n, CudaMemOp *ops, unsigned flags)
{
    ENTER_SESSION(FAKE_CONTEXT);
    FAKE_LOCKED();

    FakeWork w;
    CUresult r = flags == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;

    if (r != CUDA_SUCCESS || n == 0)
        return r;
    r = fake_batch_make(ops, n, __func__, &w);
    return r == CUDA_SUCCESS ? fake_submit(fake_stream_get(stream, __func__), &w) : r;
}

static CUresult write_word(CUstream stream, FakeWord w, const char *function)
{
    /* Writing without a barrier, the older functions have. */
    if (w.flags != 0)
        return CUDA_ERROR_INVALID_VALUE;
    return submit(stream, FAKE_WORK_WRITE, w, function);
}

static CUresult wait_word(CUstream stream, FakeWord w, const char *function)
{
    /* No attribute of the device says that it can flush. */
    if (w.flags & WAIT_FLUSH)
        return CUDA_ERROR_NOT_SUPPORTED;
    if (w.flags > WAIT_NOR)
        return CUDA_ERROR_INVALID_VALUE;
    return submit(stream, FAKE_WORK_WAIT, w, function);
}

CUresult cuStreamWriteValue32_v2(CUstream stream, CUdeviceptr address, uint32_t value,
                                 unsigned flags)
{
    ENTER_SESSION(FAKE_CONTEXT);
    return write_word(stream, (FakeWord){address, value, 32, flags}, __func__);
}

CUresult cuStreamWriteValue64_v2(CUstream stream, CUdeviceptr address, uint64_t value,
                                 unsigned flags)
{
    ENTER_SESSION(FAKE_CONTEXT);
    return write_word(stream, (FakeWord){address, value, 64, flags}, __func__);
}

CUresult cuStreamWaitValue32_v2(CUstream stream, CUdeviceptr address, uint32_t value,
                                unsigned flags)
{
    ENTER_SESSION(FAKE_CONTEXT);
    return wait_word(stream, (FakeWord){address, value, 32, flags}, __func__);
}

CUresult cuStreamWaitValue64_v2(CUstream stream, CUdeviceptr address, uint64_t value,
                                unsigned flags)
{
    ENTER_SESSION(FAKE_CONTEXT);
    return wait_word(stream, (FakeWord){address, value, 64, flags}, __func__);
}
