/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "session-table.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TABLE_SIZE_FIRST 64u

void session_table_init(SessionTable *t, uint32_t limit)
{
    assert(limit > 0);
    *t = (SessionTable){.limit = limit};
}

void session_table_close(SessionTable *t)
{
    free(t->entries);
    *t = (SessionTable){.limit = t->limit};
}

static SessionTableEntry *table_entry(const SessionTable *t, uint32_t id)
{
    return id > 0 && id <= t->size ? &t->entries[id - 1] : NULL;
}

static int table_grow(SessionTable *t, uint32_t id)
{
    uint32_t size = t->size > 0 ? t->size : TABLE_SIZE_FIRST;
    SessionTableEntry *entries;

    while (size < id)
        size *= 2;
    if (size > t->limit)
        size = t->limit;
    entries = reallocarray(t->entries, size, sizeof(*entries));
    if (!entries)
        return -ENOMEM;
    memset(entries + t->size, 0, (size - t->size) * sizeof(*entries));
    t->entries = entries;
    t->size = size;
    return 0;
}

int session_table_add(SessionTable *t, uint32_t id, void *object, uint32_t context)
{
    SessionTableEntry *e;

    assert(object);
    if (id == 0 || id > t->limit)
        return -EINVAL;
    if (id > t->size) {
        int r = table_grow(t, id);

        if (r < 0)
            return r;
    }
    e = &t->entries[id - 1];
    if (e->object)
        return -EEXIST;
    *e = (SessionTableEntry){.object = object, .context = context};
    t->n++;
    return 0;
}

void *session_table_find(const SessionTable *t, uint32_t id)
{
    const SessionTableEntry *e = table_entry(t, id);

    return e ? e->object : NULL;
}

void *session_table_remove(SessionTable *t, uint32_t id)
{
    SessionTableEntry *e = table_entry(t, id);
    void *object = e ? e->object : NULL;

    if (object) {
        e->object = NULL;
        t->n--;
    }
    return object;
}

void *session_table_take_of(SessionTable *t, uint32_t context, uint32_t *id)
{
    for (uint32_t i = *id + 1; i <= t->size; i++) {
        const SessionTableEntry *e = &t->entries[i - 1];

        if (e->object && e->context == context) {
            *id = i;
            return session_table_remove(t, i);
        }
    }
    return NULL;
}
