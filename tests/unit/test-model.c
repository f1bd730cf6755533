/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "test-model.h"
#include "test.h"

/* The search goes depth first and remembers the states, which are few. */
typedef struct Search {
    const Model *model;
    const void *rules;
    unsigned char *visited;
    size_t n, room;
    bool wrong;
} Search;

static bool is_new(Search *s, const void *state)
{
    size_t size = s->model->state_size;

    for (size_t i = 0; i < s->n; i++)
        if (memcmp(s->visited + i * size, state, size) == 0)
            return false;
    if (s->n == s->room) {
        s->room = s->room ? 2 * s->room : 1024;
        s->visited = realloc(s->visited, s->room * size);
        assert_non_null(s->visited);
    }
    memcpy(s->visited + s->n++ * size, state, size);
    return true;
}

static void explore(Search *s, const void *state)
{
    _Alignas(max_align_t) unsigned char next[MODEL_STATE_MAX];
    bool final = true;

    if (!is_new(s, state))
        return;
    for (unsigned which = 0; which < s->model->n_steps; which++) {
        memcpy(next, state, s->model->state_size);
        if (!s->model->step(s->rules, which, next))
            continue;
        final = final && which >= s->model->n_sure;
        explore(s, next);
    }
    if (final && s->model->is_bad(state))
        s->wrong = true;
}

bool model_can_go_wrong(const Model *model, const void *rules, const void *first)
{
    Search s = {.model = model, .rules = rules};

    assert_true(model->state_size <= MODEL_STATE_MAX);
    explore(&s, first);
    free(s.visited);
    return s.wrong;
}
