/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "properties.h"

/* @type: of the variant, "s" or "o" */
static int read_string(sd_bus_message *m, const char *type, char **target)
{
    const char *s;
    int r = sd_bus_message_read(m, "v", type, &s);

    if (r < 0)
        return r;
    free(*target);
    *target = strdup(s);
    return *target ? 0 : -ENOMEM;
}

static int read_strings(sd_bus_message *m, char **target)
{
    char **words = NULL;
    size_t size = 0;
    FILE *f = NULL;
    int r;

    r = sd_bus_message_enter_container(m, 'v', "as");
    if (r >= 0)
        r = sd_bus_message_read_strv(m, &words);
    if (r >= 0)
        r = sd_bus_message_exit_container(m);
    if (r >= 0) {
        free(*target);
        *target = NULL;
        f = open_memstream(target, &size);
        r = f ? 0 : -ENOMEM;
    }
    for (size_t i = 0; words && words[i]; i++) {
        if (f)
            fprintf(f, "%s%s", i > 0 ? ", " : "", words[i]);
        free(words[i]);
    }
    free(words);
    if (f && fclose(f) != 0)
        r = -ENOMEM;
    return r;
}

static int read_bool(sd_bus_message *m, bool *target)
{
    int value, r = sd_bus_message_read(m, "v", "b", &value);

    if (r >= 0)
        *target = value;
    return r;
}

static int read_text(sd_bus_message *m, char **target)
{
    const char *contents;
    int r = sd_bus_message_peek_type(m, NULL, &contents);

    if (r < 0)
        return r;
    if (strcmp(contents, "as") == 0)
        return read_strings(m, target);
    return read_string(m, strcmp(contents, "o") == 0 ? "o" : "s", target);
}

static int read_value(sd_bus_message *m, const Column *c, void *object)
{
    void *target = (char *) object + c->offset;

    switch (c->type) {
    case COLUMN_STRING:
        return read_text(m, target);
    case COLUMN_BOOL:
        return read_bool(m, target);
    case COLUMN_UINT:
        return sd_bus_message_read(m, "v", "u", target);
    case COLUMN_RATIO:
        return sd_bus_message_read(m, "v", "d", target);
    default:
        return sd_bus_message_read(m, "v", "t", target);
    }
}

static const Column *find_column(const Column *columns, size_t n, const char *property)
{
    for (size_t i = 0; i < n; i++)
        if (columns[i].property && strcmp(columns[i].property, property) == 0)
            return &columns[i];
    return NULL;
}

/* A newer mediator may have a property that is not known here: it is passed over. */
static int read_property(sd_bus_message *m, const Column *columns, size_t n, void *object)
{
    const char *property;
    const Column *c;
    int r;

    r = sd_bus_message_read(m, "s", &property);
    if (r < 0)
        return r;
    c = find_column(columns, n, property);
    return c ? read_value(m, c, object) : sd_bus_message_skip(m, "v");
}

int properties_read(sd_bus_message *m, const Column *columns, size_t n, void *object)
{
    int r;

    r = sd_bus_message_enter_container(m, 'a', "{sv}");
    if (r < 0)
        return r;
    while ((r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
        r = read_property(m, columns, n, object);
        if (r >= 0)
            r = sd_bus_message_exit_container(m);
        if (r < 0)
            return r;
    }
    return r < 0 ? r : sd_bus_message_exit_container(m);
}

static bool owns_string(const Column *c)
{
    return c->property && c->type == COLUMN_STRING;
}

bool properties_are_all_there(const Column *columns, size_t n, const void *object)
{
    for (size_t i = 0; i < n; i++)
        if (owns_string(&columns[i]) && !columns[i].optional &&
            !*(char *const *) ((const char *) object + columns[i].offset))
            return false;
    return true;
}

void properties_release(const Column *columns, size_t n, void *object)
{
    for (size_t i = 0; i < n; i++)
        if (owns_string(&columns[i]))
            free(*(char **) ((char *) object + columns[i].offset));
}
