/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cuda-await.h"

#include "cuda-backend.h"
#include "cuda-compute.h"

#include <assert.h>

void cuda_await_begin(Backend *b, unsigned index)
{
    b->slots[index].await = (CudaAwait){0};
    b->awaited |= UINT64_C(1) << index;
    b->without_bell |= UINT64_C(1) << index;
}

void cuda_await_cancel(Backend *b, unsigned index)
{
    b->awaited &= ~(UINT64_C(1) << index);
    b->without_bell &= ~(UINT64_C(1) << index);
}

void cuda_await_add(Backend *b, unsigned index, CUstream stream, CudaBell *bell)
{
    CudaAwait *a = &b->slots[index].await;

    for (unsigned i = 0; i < a->n; i++)
        if (a->in[i].bell == bell)
            return;
    assert(a->n < CUDA_N_PIPES);
    a->in[a->n].stream = stream;
    a->in[a->n].bell = bell;
    a->n++;
}

static bool await_has_reported(Backend *b, unsigned index)
{
    const CudaSlot *slot = &b->slots[index];

    return slot->in_window ? cuda_compute_has_reported(b, index)
                           : __atomic_load_n(&slot->host->exec_time_ns, __ATOMIC_ACQUIRE) != 0;
}

/* All bells are looked at before the reports: what a kernel has said before its bell is seen. */
static bool await_bells_have_rung(CudaAwait *a)
{
    bool all = true;

    for (unsigned i = 0; i < a->n; i++) {
        CUresult r = CUDA_SUCCESS;

        if (a->in[i].number == 0 || !cuda_bell_has_rung(a->in[i].bell, a->in[i].number, &r))
            all = false;
        if (r != CUDA_SUCCESS)
            a->status = r;
    }
    return all;
}

static bool await_has_ended(Backend *b, unsigned index)
{
    CudaAwait *a = &b->slots[index].await;
    bool rung = !(b->without_bell & UINT64_C(1) << index) && await_bells_have_rung(a);

    if (await_has_reported(b, index)) {
        a->status = CUDA_SUCCESS;
        return true;
    }
    if (rung && a->status == CUDA_SUCCESS)
        a->status = CUDA_ERROR_LAUNCH_FAILED; /* it is no kernel of ours */
    return rung;
}

uint64_t cuda_await_take(Backend *b)
{
    uint64_t ended = 0;

    for (uint64_t left = b->awaited; left != 0; left &= left - 1)
        if (await_has_ended(b, (unsigned) __builtin_ctzll(left)))
            ended |= left & -left;

    b->awaited &= ~ended;
    b->without_bell &= ~ended;
    return ended;
}

/* One bell for all that is in a stream. Without any kernel there is nothing to wait for. */
static void await_set_bells(Backend *b, CudaAwait *a, const CudaBell *set[], unsigned *n)
{
    if (a->n == 0)
        eventfd_write(cuda_completion_fd(&b->completion), 1);
    for (unsigned i = 0; i < a->n; i++) {
        unsigned k = 0;

        while (k < *n && set[k] != a->in[i].bell)
            k++;
        if (k < *n) {
            a->in[i].number = a->in[i].bell->n_set;
            continue;
        }
        set[(*n)++] = a->in[i].bell;
        a->in[i].number = cuda_bell_set(a->in[i].bell, &b->device, a->in[i].stream,
                                        cuda_completion_fd(&b->completion));
    }
}

void cuda_await_sleep(Backend *b)
{
    const CudaBell *set[VGPU_N_PRIORITIES * (CUDA_N_PIPES + 1)];
    unsigned n = 0;

    for (; b->without_bell != 0; b->without_bell &= b->without_bell - 1)
        await_set_bells(b, &b->slots[__builtin_ctzll(b->without_bell)].await, set, &n);
}
