/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session-figures.h"

static uint64_t at_most(uint64_t value, uint64_t max)
{
    return value < max ? value : max;
}

static uint64_t figure_read(const uint64_t *field, uint64_t max)
{
    return at_most(__atomic_load_n(field, __ATOMIC_RELAXED), max);
}

static void counter_read(uint64_t *counter, const uint64_t *field, uint64_t max)
{
    uint64_t value = figure_read(field, max);

    if (value > *counter)
        *counter = value;
}

void session_figures_read(SessionFigures *f, const SessionControl *page, uint64_t memory_max,
                          uint64_t elapsed_usec)
{
    uint64_t bytes_max = at_most(memory_max, SESSION_BYTES_MAX);

    f->memory = figure_read(&page->memory, bytes_max);
    f->images = figure_read(&page->images, SESSION_BYTES_MAX);
    counter_read(&f->memory_peak, &page->memory_peak, bytes_max);
    if (f->memory_peak < f->memory)
        f->memory_peak = f->memory;

    counter_read(&f->operations, &page->operations, SESSION_COUNT_MAX);
    counter_read(&f->launches, &page->launches, SESSION_COUNT_MAX);
    counter_read(&f->bytes_to_device, &page->bytes_to_device, SESSION_BYTES_MAX);
    counter_read(&f->bytes_from_device, &page->bytes_from_device, SESSION_BYTES_MAX);
    counter_read(&f->device_usec, &page->device_usec, at_most(elapsed_usec, SESSION_COUNT_MAX));
    f->n_contexts = __atomic_load_n(&page->n_contexts, __ATOMIC_RELAXED);
    if (f->sticky == 0)
        f->sticky = __atomic_load_n(&page->sticky, __ATOMIC_RELAXED);
}
