/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <inttypes.h>
#include <libsmartcols.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>

#include "cleanup.h"
#include "table.h"
#include "text.h"

static void cleanup_table(struct libscols_table **t)
{
    scols_unref_table(*t);
}

static bool is_number(ColumnType type)
{
    return type != COLUMN_STRING && type != COLUMN_STATE && type != COLUMN_BOOL;
}

static int add_column(struct libscols_table *t, const Column *c, bool json)
{
    struct libscols_column *column = scols_table_new_column(
        t, json ? c->key : c->title, 0, is_number(c->type) ? SCOLS_FL_RIGHT : 0);

    if (!column)
        return -ENOMEM;
    return scols_column_set_json_type(column, is_number(c->type)       ? SCOLS_JSON_NUMBER
                                              : c->type == COLUMN_BOOL ? SCOLS_JSON_BOOLEAN
                                                                       : SCOLS_JSON_STRING);
}

static char *number_text(const Column *c, const void *value, bool json)
{
    uint64_t number =
        c->type == COLUMN_UINT ? *(const uint32_t *) value : *(const uint64_t *) value;
    char buffer[TEXT_SIZE], *text = NULL;

    if (!json && c->type == COLUMN_MSEC)
        return asprintf(&text, "%.10g", (double) number / 1e3) < 0 ? NULL : text;
    if (!json && c->type == COLUMN_SEC)
        return asprintf(&text, "%.1f", (double) number / 1e6) < 0 ? NULL : text;
    if (!json && c->type == COLUMN_BYTES)
        return strdup(text_bytes(number, buffer));
    return asprintf(&text, "%" PRIu64, number) < 0 ? NULL : text;
}

static char *ratio_text(double ratio, bool json)
{
    char *text = NULL;

    return asprintf(&text, json ? "%.6f" : "%.1f%%", json ? ratio : ratio * 100) < 0 ? NULL : text;
}

static char *rate_text(double rate, bool json)
{
    char buffer[TEXT_SIZE], *text = NULL;

    if (!json)
        return strdup(text_rate(rate, buffer));
    return asprintf(&text, "%.3f", rate) < 0 ? NULL : text;
}

/* Is there a value, and not the one that stands for none? */
static bool is_there(const Column *c, const void *value)
{
    switch (c->type) {
    case COLUMN_STRING:
    case COLUMN_STATE:
        return *(char *const *) value && **(char *const *) value;
    case COLUMN_USEC:
    case COLUMN_MSEC:
    case COLUMN_SEC:
        return *(const uint64_t *) value != UINT64_MAX;
    case COLUMN_RATE:
    case COLUMN_RATIO:
        return !isnan(*(const double *) value);
    default:
        return true;
    }
}

/* Returns a new string; NULL for no value in JSON, and without memory. */
static char *cell_text(const Column *c, const void *value, bool json)
{
    if (!is_there(c, value))
        return json ? NULL : strdup("-");

    switch (c->type) {
    case COLUMN_STRING:
    case COLUMN_STATE:
        return json ? strdup(*(char *const *) value) : text_escape(*(char *const *) value);
    case COLUMN_BOOL:
        /* libsmartcols writes true and false itself. */
        return strdup(json                    ? *(const bool *) value ? "1" : "0"
                      : *(const bool *) value ? "yes"
                                              : "no");
    case COLUMN_RATE:
        return rate_text(*(const double *) value, json);
    case COLUMN_RATIO:
        return ratio_text(*(const double *) value, json);
    default:
        return number_text(c, value, json);
    }
}

static const char *state_color(const char *state)
{
    if (strcmp(state, "connected") == 0 || strcmp(state, "ready") == 0 ||
        strcmp(state, "open") == 0)
        return "green";
    if (strcmp(state, "paused") == 0 || strcmp(state, "starting") == 0)
        return "yellow";
    return strcmp(state, "quarantined") == 0 || strcmp(state, "no device") == 0 ? "red" : NULL;
}

static int set_cell(struct libscols_line *line, size_t n, const Column *c, const void *value,
                    bool json)
{
    char *text = cell_text(c, value, json);
    const char *color =
        c->type == COLUMN_STATE && !json ? state_color(*(char *const *) value) : NULL;

    if (!text)
        return json && !is_there(c, value) ? 0 : -ENOMEM;
    /* The line owns the text now. */
    if (scols_line_refer_data(line, n, text) < 0) {
        free(text);
        return -ENOMEM;
    }
    return color ? scols_cell_set_color(scols_line_get_cell(line, n), color) : 0;
}

/* ---- As wide as the terminal --------------------------------------------------------------- */

/* What stands in a line of the terminal for @text, which the locale can print. */
static size_t display_width(const char *text)
{
    mbstate_t state = {0};
    size_t width = 0, n;
    wchar_t c;

    for (; *text; text += n) {
        n = mbrtowc(&c, text, strlen(text), &state);
        if (n == (size_t) -1 || n == (size_t) -2)
            return width + strlen(text);
        width += wcwidth(c) > 0 ? (size_t) wcwidth(c) : 0;
    }
    return width;
}

/* Returns the width, or a negative errno. */
static ssize_t column_width(const Column *c, const char *rows, size_t n_rows, size_t row_size)
{
    size_t width = strlen(c->title);

    for (size_t i = 0; i < n_rows; i++) {
        CLEANUP_FREE char *text = cell_text(c, rows + i * row_size + c->offset, false);
        size_t n = text ? display_width(text) : 0;

        if (!text)
            return -ENOMEM;
        width = n > width ? n : width;
    }
    return (ssize_t) width;
}

/* The first to go, or NULL when all that are left are to stay. */
static Column *least_important(Column *columns, size_t n)
{
    Column *least = NULL;

    for (size_t i = 0; i < n; i++)
        if (columns[i].title && columns[i].drop > (least ? least->drop : 0))
            least = &columns[i];
    return least;
}

/* Takes titles away, from the least important column on, until the rest fits. */
static int fit(Column *columns, size_t n_columns, const char *rows, size_t n_rows, size_t row_size,
               size_t limit)
{
    CLEANUP_FREE size_t *widths = calloc(n_columns, sizeof(*widths));
    size_t total = 0;
    Column *least;

    if (!widths)
        return -ENOMEM;
    for (size_t i = 0; i < n_columns; i++) {
        ssize_t width = columns[i].title ? column_width(&columns[i], rows, n_rows, row_size) : -1;

        if (width < -1)
            return (int) width;
        widths[i] = (size_t) (width + 1); /* with the blank behind it */
        total += widths[i];
    }
    while (total > limit + 1 && (least = least_important(columns, n_columns))) {
        total -= widths[least - columns];
        least->title = NULL;
    }
    return 0;
}

/* ---- Rendering ---------------------------------------------------------------------------- */

static int fill(struct libscols_table *t, const Column *columns, size_t n_columns, const char *rows,
                size_t n_rows, size_t row_size, bool json)
{
    int r = 0;

    for (size_t i = 0; i < n_columns && r >= 0; i++)
        if (json || columns[i].title)
            r = add_column(t, &columns[i], json);

    for (size_t j = 0; j < n_rows && r >= 0; j++) {
        struct libscols_line *line = scols_table_new_line(t, NULL);

        if (!line)
            return -ENOMEM;
        for (size_t i = 0, n = 0; i < n_columns && r >= 0; i++)
            if (json || columns[i].title)
                r = set_cell(line, n++, &columns[i], rows + j * row_size + columns[i].offset, json);
    }
    return r;
}

/* Takes the white space between JSON's tokens out. */
static void shorten(char *json)
{
    bool in_string = false;
    char *to = json;

    for (const char *p = json; *p; p++) {
        if (in_string && *p == '\\')
            *to++ = *p++;
        else if (*p == '"')
            in_string = !in_string;
        else if (!in_string && strchr(" \t\n", *p))
            continue;
        *to++ = *p;
    }
    *to = '\0';
}

/* Escapes what libsmartcols leaves as it is in JSON. Returns a new string; NULL without memory. */
static char *escape_json(const char *json)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);

    if (!f)
        return NULL;
    text_write_json(f, json, strlen(json));
    if (fclose(f) == 0)
        return text;
    free(text);
    return NULL;
}

/* libsmartcols writes nothing at all for an empty table. */
static char *no_rows(const TableOptions *o, const char *name)
{
    char *text = NULL;

    return asprintf(&text, o->json == JSON_SHORT ? "{\"%s\":[]}" : "{\n   \"%s\": []\n}", name) < 0
               ? NULL
               : text;
}

int table_render(const TableOptions *o, const char *name, const Column *columns, size_t n_columns,
                 const void *rows, size_t n_rows, size_t row_size, size_t width, char **ret)
{
    CLEANUP(cleanup_table) struct libscols_table *t = scols_new_table();
    bool json = o->json != JSON_OFF;
    CLEANUP_FREE Column *shown = malloc(n_columns * sizeof(*columns));
    CLEANUP_FREE char *text = NULL;
    int r;

    if (!t || !shown)
        return -ENOMEM;
    memcpy(shown, columns, n_columns * sizeof(*columns));
    scols_table_set_name(t, name);
    scols_table_enable_json(t, json);
    scols_table_enable_noheadings(t, o->no_legend);
    scols_table_enable_colors(t, o->colors && !json);
    scols_table_enable_noencoding(t, true); /* cell_text() has escaped what needs it */
    if (width > 0) {
        scols_table_set_termforce(t, SCOLS_TERMFORCE_ALWAYS);
        scols_table_set_termwidth(t, width);
    }

    r = width > 0 && !json ? fit(shown, n_columns, rows, n_rows, row_size, width) : 0;
    if (r >= 0)
        r = fill(t, shown, n_columns, rows, n_rows, row_size, json);
    if (r < 0)
        return r;
    if (json && n_rows == 0)
        text = no_rows(o, name);
    else
        r = scols_print_table_to_string(t, &text);
    if (r != 0 || !text)
        return r < 0 ? r : -ENOMEM;
    if (o->json == JSON_SHORT)
        shorten(text);
    if (!json) {
        *ret = TAKE_PTR(text);
        return 0;
    }

    *ret = escape_json(text);
    return *ret ? 0 : -ENOMEM;
}

int table_print(const TableOptions *o, const char *name, const char *noun, const Column *columns,
                size_t n_columns, const void *rows, size_t n_rows, size_t row_size)
{
    CLEANUP_FREE char *text = NULL;
    int r;

    if (o->json != JSON_OFF || n_rows > 0) {
        r = table_render(o, name, columns, n_columns, rows, n_rows, row_size, o->width, &text);
        if (r < 0)
            return r;
        fputs(text, stdout);
        if (!*text || text[strlen(text) - 1] != '\n')
            putchar('\n');
    }
    if (o->json == JSON_OFF && !o->no_legend) {
        if (n_rows == 1)
            printf("\n1 %.*s listed.\n", (int) strlen(noun) - 1, noun); /* without its s */
        else if (n_rows > 0)
            printf("\n%zu %s listed.\n", n_rows, noun);
        else
            printf("No %s.\n", noun);
    }
    return 0;
}
