/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Rows of a struct as a table for people, or as JSON for programs: one
 * description of the columns serves both.
 */
#ifndef VGPU_CTL_TABLE_H
#define VGPU_CTL_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef enum JSONMode {
    JSON_OFF,
    JSON_PRETTY,
    JSON_SHORT,
} JSONMode;

typedef struct TableOptions {
    JSONMode json;
    bool no_legend; /* no headings, and no line that counts the rows */
    bool colors;
    size_t width; /* of the terminal, for table_print(); 0: as wide as the table is */
} TableOptions;

typedef enum ColumnType {
    COLUMN_STRING, /* char *; empty or NULL: no value */
    COLUMN_STATE,  /* char *; the word decides the colour */
    COLUMN_BOOL,   /* bool */
    COLUMN_UINT,   /* uint32_t */
    COLUMN_COUNT,  /* uint64_t */
    COLUMN_BYTES,  /* uint64_t */
    COLUMN_USEC,   /* uint64_t; UINT64_MAX: no value. The title names the unit */
    COLUMN_MSEC,   /* the same, shown in milliseconds */
    COLUMN_SEC,    /* the same, shown in seconds */
    COLUMN_RATE,   /* double; NAN: no value */
    COLUMN_RATIO,  /* double, 0 to 1; NAN: no value. Shown in percent */
} ColumnType;

typedef struct Column {
    const char *title; /* NULL: in JSON only */
    const char *key;   /* JSON's name for it */
    ColumnType type;
    size_t offset;        /* in the row's struct */
    const char *property; /* on D-Bus, for snapshot.c; NULL: it does not come from there */
    bool optional;        /* an older mediator does not have the property */
    unsigned drop;        /* where there is no room, columns with the largest number go first;
                             those with 0 stay */
} Column;

/*
 * table_render() - a table of @n_rows structs
 * @name: the key of the array in JSON: { "name": [ … ] }
 * @rows: of @row_size bytes each
 * @width: of the terminal, in characters; 0: as wide as the table is
 * @ret: the text; to be freed
 *
 * Where the table is wider than the terminal, columns are left out, see Column. What the locale
 * cannot print becomes \xNN, see text_escape(). Returns 0 or a negative errno.
 */
int table_render(const TableOptions *options, const char *name, const Column *columns,
                 size_t n_columns, const void *rows, size_t n_rows, size_t row_size, size_t width,
                 char **ret);

/*
 * table_print() - write the same to standard output, and a line that counts the rows
 * @noun: what the rows are, in the plural
 */
int table_print(const TableOptions *options, const char *name, const char *noun,
                const Column *columns, size_t n_columns, const void *rows, size_t n_rows,
                size_t row_size);

#endif
