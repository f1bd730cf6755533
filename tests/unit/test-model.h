/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A search through all that can happen in a model of two sides and the memory between them: it
 * takes every step that is possible in a state, and goes on from there.
 */
#ifndef TEST_MODEL_H
#define TEST_MODEL_H

#include <stdbool.h>
#include <stddef.h>

#define MODEL_STATE_MAX 64u

typedef struct Model {
    size_t state_size; /* at most MODEL_STATE_MAX; states are compared as bytes, padding included */
    unsigned n_steps;
    unsigned
        n_sure; /* steps below this number happen in the end if they can; the others may never */
    /* Takes step @which. Returns false, with @state as it was, where it cannot be taken. */
    bool (*step)(const void *rules, unsigned which, void *state);
    /* Is it bad to be left in this state? Asked where no step is sure to happen any more. */
    bool (*is_bad)(const void *state);
} Model;

/* model_can_go_wrong() - can a bad end be reached from @first? */
bool model_can_go_wrong(const Model *model, const void *rules, const void *first);

#endif
