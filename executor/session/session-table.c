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
    SessionTableBlock *outgrown;

    for (SessionTableBlock *b = t->block; b; b = outgrown) {
        outgrown = b->outgrown;
        free(b);
    }
    *t = (SessionTable){.limit = t->limit};
}

static SessionTableEntry *table_entry(const SessionTable *t, uint32_t id)
{
    SessionTableBlock *b = t->block;

    return b && id > 0 && id <= b->size ? &b->entries[id - 1] : NULL;
}

static void table_set(SessionTableEntry *e, void *object)
{
    __atomic_store_n(&e->object, object, __ATOMIC_RELEASE);
}

static int table_grow(SessionTable *t, uint32_t id)
{
    SessionTableBlock *old = t->block, *b;
    uint32_t size = old ? old->size : TABLE_SIZE_FIRST;

    while (size < id)
        size *= 2;
    if (size > t->limit)
        size = t->limit;
    b = calloc(1, sizeof(*b) + size * sizeof(b->entries[0]));
    if (!b)
        return -ENOMEM;
    if (old)
        memcpy(b->entries, old->entries, old->size * sizeof(b->entries[0]));
    b->outgrown = old;
    b->size = size;
    __atomic_store_n(&t->block, b, __ATOMIC_RELEASE);
    return 0;
}

int session_table_add(SessionTable *t, uint32_t id, void *object, uint32_t context)
{
    SessionTableEntry *e;

    assert(object);
    if (id == 0 || id > t->limit)
        return -EINVAL;
    if (!t->block || id > t->block->size) {
        int r = table_grow(t, id);

        if (r < 0)
            return r;
    }
    e = table_entry(t, id);
    if (e->object)
        return -EEXIST;
    e->context = context;
    table_set(e, object);
    t->n++;
    return 0;
}

void *session_table_remove(SessionTable *t, uint32_t id)
{
    SessionTableEntry *e = table_entry(t, id);
    void *object = e ? e->object : NULL;

    if (object) {
        table_set(e, NULL);
        t->n--;
    }
    return object;
}

void *session_table_take_of(SessionTable *t, uint32_t context, uint32_t *id)
{
    const SessionTableBlock *b = t->block;

    for (uint32_t i = *id + 1; b && i <= b->size; i++) {
        const SessionTableEntry *e = &b->entries[i - 1];

        if (e->object && e->context == context) {
            *id = i;
            return session_table_remove(t, i);
        }
    }
    return NULL;
}
