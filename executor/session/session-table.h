/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Objects by the numbers that a guest has given them. A table grows with the highest number that
 * is in use, up to its limit: 32 bytes for each at most.
 *
 * One thread at a time changes a table, and any may look into it meanwhile, without a lock: what it
 * finds was there when it began to look. So what a table has outgrown stays until it is closed.
 */
#ifndef VGPU_SESSION_TABLE_H
#define VGPU_SESSION_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct SessionTableEntry {
    void *object;     /* atomic; NULL: the number is free */
    uint32_t context; /* in which it was made, or 0 */
} SessionTableEntry;

typedef struct SessionTableBlock {
    struct SessionTableBlock *outgrown;
    uint32_t size;
    SessionTableEntry entries[]; /* by number - 1 */
} SessionTableBlock;

typedef struct SessionTable {
    SessionTableBlock *block; /* atomic; NULL: none yet */
    uint32_t limit;           /* the highest number that may be given */
    uint32_t n;               /* objects in it */
} SessionTable;

/* session_table_init() - @limit: the highest number, at least 1 */
void session_table_init(SessionTable *t, uint32_t limit);

/* session_table_close() - the objects are the caller's; nobody looks into it any more */
void session_table_close(SessionTable *t);

/*
 * session_table_add() - give number @id to @object, which is not NULL
 *
 * Returns 0; -EINVAL when @id is 0 or above the limit; -EEXIST when another object has it; or
 * -ENOMEM.
 */
int session_table_add(SessionTable *t, uint32_t id, void *object, uint32_t context);

/* session_table_find() - the object with that number, or NULL; any number may be asked for, by any
 * thread */
static inline void *session_table_find(const SessionTable *t, uint32_t id)
{
    const SessionTableBlock *b = __atomic_load_n(&t->block, __ATOMIC_ACQUIRE);

    if (!b || id == 0 || id > b->size)
        return NULL;
    return __atomic_load_n(&b->entries[id - 1].object, __ATOMIC_ACQUIRE);
}

/* session_table_remove() - the same, and the number is free again */
void *session_table_remove(SessionTable *t, uint32_t id);

/* session_table_take_of() - an object that was made in @context, removed; NULL when there is none
 * with a number above *@id. *@id, 0 at first, becomes its number. */
void *session_table_take_of(SessionTable *t, uint32_t context, uint32_t *id);

#endif
