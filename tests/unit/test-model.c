/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "test-model.h"
#include "test.h"

/* The search goes depth first and remembers every state. */
typedef struct Search {
    const Model *model;
    const void *rules;
    unsigned char *visited; /* the states, one behind the other */
    size_t *table;          /* by hash: the number of a state, from 1 on, or 0 */
    size_t n, room;         /* at most half of the room is taken */
    bool wrong;
} Search;

static size_t hash(const unsigned char *bytes, size_t size)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325); /* FNV-1a */

    for (size_t i = 0; i < size; i++)
        h = (h ^ bytes[i]) * UINT64_C(0x100000001b3);
    return (size_t) (h ^ h >> 32);
}

/* Returns where @state stands in the table, or should stand. */
static size_t *find(const Search *s, const void *state)
{
    size_t size = s->model->state_size, i = hash(state, size) & (s->room - 1);

    while (s->table[i] != 0 && memcmp(s->visited + (s->table[i] - 1) * size, state, size) != 0)
        i = (i + 1) & (s->room - 1);
    return &s->table[i];
}

static void grow(Search *s)
{
    size_t size = s->model->state_size;

    s->room = s->room ? 2 * s->room : 1024;
    free(s->table);
    s->table = calloc(s->room, sizeof(*s->table));
    s->visited = realloc(s->visited, s->room / 2 * size);
    assert_true(s->table && s->visited);
    for (size_t i = 0; i < s->n; i++)
        *find(s, s->visited + i * size) = i + 1;
}

static bool is_new(Search *s, const void *state)
{
    size_t *place;

    if (s->n == s->room / 2)
        grow(s);
    place = find(s, state);
    if (*place != 0)
        return false;
    memcpy(s->visited + s->n * s->model->state_size, state, s->model->state_size);
    *place = ++s->n;
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
    free(s.table);
    return s.wrong;
}
