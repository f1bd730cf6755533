/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A search through all that can happen in a model of two sides and the memory between them:
 * from a state, every step that can be taken is, and so on from there.
 */
#ifndef TEST_MODEL_H
#define TEST_MODEL_H

#include <stdbool.h>
#include <stddef.h>

#define MODEL_STATE_MAX 64u

typedef struct Model {
    size_t state_size; /* at most MODEL_STATE_MAX; compared as bytes, so without padding that
                          differs */
    unsigned n_steps;
    unsigned n_sure; /* those below it happen in the end if they can; the others may never */
    /* Takes step @which; false where it cannot be taken, with @state as it was. */
    bool (*step)(const void *rules, unsigned which, void *state);
    /* Asked of states in which nothing is sure to happen any more. */
    bool (*is_bad)(const void *state);
} Model;

/* model_can_go_wrong() - is there a bad end that can be reached from @first? */
bool model_can_go_wrong(const Model *model, const void *rules, const void *first);

#endif
