/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fake-driver.h"
#include "fake-image.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Text {
    const char *at, *end;
    unsigned line;
    int depth; /* of braces and parentheses */
} Text;

static bool begins(const Text *t, const char *word)
{
    size_t n = strlen(word);

    return (size_t) (t->end - t->at) >= n && memcmp(t->at, word, n) == 0;
}

/* Goes to the first byte at or behind @at that is @end; over a comment or a string. */
static void skip_to(Text *t, const char *end)
{
    while (t->at < t->end && !begins(t, end)) {
        if (*t->at == '\n')
            t->line++;
        t->at++;
    }
    t->at += t->at < t->end ? strlen(end) : 0;
}

static bool is_of_name(char c)
{
    return isalnum((unsigned char) c) || c == '_' || c == '$' || c == '%';
}

static size_t take_name(Text *t, const char **ret)
{
    while (t->at < t->end && isspace((unsigned char) *t->at))
        t->at++;
    *ret = t->at;
    while (t->at < t->end && is_of_name(*t->at))
        t->at++;
    return (size_t) (t->at - *ret);
}

/* .attribute(.managed) .align 8 .b8 name[4][2] = ...; leaves what is behind the name. */
static void read_global(Text *t, FakeImage *image)
{
    size_t size = 1, length;
    bool is_managed = false;
    const char *name;

    while (t->at < t->end) {
        while (t->at < t->end && isspace((unsigned char) *t->at))
            t->at++;
        if (t->at == t->end || *t->at != '.')
            break;
        if (begins(t, ".attribute(.managed)")) {
            t->at += strlen(".attribute(.managed)");
            is_managed = true;
            continue;
        }
        if (begins(t, ".align")) {
            t->at += strlen(".align");
            take_name(t, &name);
            continue;
        }
        t->at++;
        length = take_name(t, &name);
        /* The type's width stands at the end of its name. */
        while (length > 0 && !isdigit((unsigned char) *name))
            name++, length--;
        size = length > 0 ? strtoul(name, NULL, 10) / 8 : 1;
    }

    length = take_name(t, &name);
    while (t->at < t->end && *t->at == '[') {
        /* A number, or a product of numbers */
        do
            size *= strtoul(t->at + 1, (char **) &t->at, 10);
        while (t->at < t->end && *t->at == '*');
        while (t->at < t->end && *t->at++ != ']')
            ;
    }
    if (length > 0 && size > 0)
        fake_image_add_global(image, name, length, size)->is_managed = is_managed;
}

static void read_word(Text *t, FakeImage *image, bool external)
{
    const char *name;
    size_t length;

    if (begins(t, ".entry")) {
        t->at += strlen(".entry");
        length = take_name(t, &name);
        fake_image_add_kernel(image, name, length);
    } else if (begins(t, ".global")) {
        t->at += strlen(".global");
        if (!external)
            read_global(t, image);
    } else {
        t->at++;
    }
}

/* One step outside of functions, or inside */
static void read_step(Text *t, FakeImage *image, bool *external)
{
    if (begins(t, "//")) {
        skip_to(t, "\n");
        t->line++;
    } else if (begins(t, "/*")) {
        skip_to(t, "*/");
    } else if (*t->at == '"') {
        t->at++;
        skip_to(t, "\"");
    } else if (*t->at == '.' && t->depth == 0) {
        *external = *external || begins(t, ".extern");
        read_word(t, image, *external);
    } else {
        if (strchr("{(", *t->at))
            t->depth++;
        else if (strchr("})", *t->at))
            t->depth--;
        else if (*t->at == '\n')
            t->line++;
        else if (*t->at == ';')
            *external = false;
        if (*t->at == '}' && t->depth == 0)
            *external = false;
        t->at++;
    }
}

CUresult fake_ptx_read(const char *text, size_t size, FakeImage *image, char *error_log,
                       size_t log_size)
{
    Text t = {.at = text, .end = text + size, .line = 1};
    bool external = false;

    while (t.at < t.end && *t.at != '\0' && t.depth >= 0)
        read_step(&t, image, &external);
    if (t.depth == 0)
        return CUDA_SUCCESS;
    if (log_size > 0)
        snprintf(error_log, log_size, "fake ptxas: line %u: braces do not match\n", t.line);
    return CUDA_ERROR_INVALID_PTX;
}
