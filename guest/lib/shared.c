/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* This is a file of its own, so that a unit test can do something between any two accesses. */
#include "shared.h"

uint32_t shared_load(const uint32_t *index)
{
    return __atomic_load_n(index, __ATOMIC_ACQUIRE);
}

void shared_store(uint32_t *index, uint32_t value)
{
    __atomic_store_n(index, value, __ATOMIC_RELEASE);
}

void shared_barrier(void)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* The accesses are atomic, so that the compiler neither repeats nor splits them. */
void shared_copy_in(void *ret, const void *from_shared, size_t size)
{
    const uint64_t *from = from_shared;
    uint64_t *to = ret;

    for (size_t i = 0; i < size / sizeof(uint64_t); i++)
        to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
}

void shared_copy_out(void *to_shared, const void *from, size_t size)
{
    const uint64_t *source = from;
    uint64_t *to = to_shared;

    for (size_t i = 0; i < size / sizeof(uint64_t); i++)
        __atomic_store_n(&to[i], source[i], __ATOMIC_RELAXED);
}
