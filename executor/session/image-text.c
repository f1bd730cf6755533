/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * PTX: which functions it names, and which variables it has in the device's memory. Of the grammar
 * no more is known here than that needs:
 *
 *   .global [.attribute(...)] [.align N] [.v2 | .v4] .TYPE NAME [DIMENSION]... [= VALUE], ... ;
 *
 * A size that is no plain number is not known, and neither is anything in a text with directives
 * of a preprocessor.
 */
#include <ctype.h>
#include <string.h>

#include "image-facts.h"

#define TEXT_PRINTS "vprintf"
/* What a variable may cost beside its bytes */
#define ALIGNMENT_MIN UINT64_C(256)

typedef struct Text {
    const char *at, *end;
    bool is_external; /* this declaration is of what another module has */
    bool is_pointer;  /* of a parameter, whose target is meant */
} Text;

static bool text_is_of_name(char c)
{
    return isalnum((unsigned char) c) || c == '_' || c == '$' || c == '%';
}

static bool text_begins(const Text *t, const char *with)
{
    const size_t n = strlen(with);

    return (size_t) (t->end - t->at) >= n && memcmp(t->at, with, n) == 0;
}

static void text_skip_to(Text *t, const char *behind)
{
    const size_t n = strlen(behind);
    const char *found = memmem(t->at, (size_t) (t->end - t->at), behind, n);

    t->at = found ? found + n : t->end;
}

/* Skips what is between words. */
static void text_skip_blank(Text *t)
{
    while (t->at < t->end) {
        if (text_begins(t, "//"))
            text_skip_to(t, "\n");
        else if (text_begins(t, "/*"))
            text_skip_to(t, "*/");
        else if (isspace((unsigned char) *t->at))
            t->at++;
        else
            return;
    }
}

/* Takes a word of letters and so on; returns its length, 0 when there is none. */
static size_t text_take_word(Text *t, const char **ret)
{
    text_skip_blank(t);
    *ret = t->at;
    while (t->at < t->end && text_is_of_name(*t->at))
        t->at++;
    return (size_t) (t->at - *ret);
}

static bool text_take(Text *t, char c)
{
    text_skip_blank(t);
    if (t->at == t->end || *t->at != c)
        return false;
    t->at++;
    return true;
}

/* A decimal number, and nothing else, without overflow. Returns false for another. */
static bool text_take_number(Text *t, uint64_t *ret)
{
    const char *digits;
    size_t n = text_take_word(t, &digits);
    uint64_t number = 0;

    if (n == 0 || n > 18 || (n > 1 && digits[0] == '0'))
        return false;
    for (size_t i = 0; i < n; i++) {
        if (!isdigit((unsigned char) digits[i]))
            return false;
        number = number * 10 + (uint64_t) (digits[i] - '0');
    }
    *ret = number;
    return true;
}

/* ---- Variables ---------------------------------------------------------------------------------
 */

/* The bytes of .b8, .f64, .b128 and so on; of .v2 and .v4 the factor. 0: unknown */
static uint64_t variable_width(const char *word, size_t n)
{
    static const struct {
        char name[8];
        uint64_t bytes;
    } types[] = {
        {"b8", 1},  {"u8", 1},  {"s8", 1},  {"b16", 2}, {"u16", 2},   {"s16", 2},
        {"f16", 2}, {"b32", 4}, {"u32", 4}, {"s32", 4}, {"f32", 4},   {"f16x2", 4},
        {"b64", 8}, {"u64", 8}, {"s64", 8}, {"f64", 8}, {"b128", 16},
    };

    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        if (strlen(types[i].name) == n && memcmp(types[i].name, word, n) == 0)
            return types[i].bytes;
    return 0;
}

/* What stands between .global and the name. Returns false for what is not understood. */
static bool variable_read_type(Text *t, uint64_t *ret_width, uint64_t *alignment)
{
    uint64_t width = 0, vector = 1;
    const char *word;
    size_t n;

    while (text_take(t, '.')) {
        n = text_take_word(t, &word);
        if (n == 5 && memcmp(word, "align", n) == 0) {
            if (!text_take_number(t, alignment))
                return false;
        } else if (n == 9 && memcmp(word, "attribute", n) == 0) {
            text_skip_to(t, ")");
        } else if (n == 2 && word[0] == 'v' && (word[1] == '2' || word[1] == '4')) {
            vector = (uint64_t) (word[1] - '0');
        } else {
            width = variable_width(word, n);
            if (width == 0)
                return false;
        }
    }
    *ret_width = width * vector;
    return width > 0;
}

/* Goes behind a value, to the , or ; after it. */
static void variable_skip_value(Text *t)
{
    unsigned depth = 0;

    while (t->at < t->end) {
        text_skip_blank(t);
        if (t->at == t->end || (depth == 0 && (*t->at == ',' || *t->at == ';')))
            return;
        if (*t->at == '{' || *t->at == '(')
            depth++;
        else if ((*t->at == '}' || *t->at == ')') && depth > 0)
            depth--;
        t->at++;
    }
}

/* Returns false for a size that is not understood. */
static bool variable_read_one(Text *t, uint64_t width, uint64_t *ret_size)
{
    uint64_t size = width, dimension;
    const char *name;

    if (text_take_word(t, &name) == 0)
        return false;
    while (text_take(t, '[')) {
        if (!text_take_number(t, &dimension) || !text_take(t, ']') ||
            __builtin_mul_overflow(size, dimension, &size))
            return false;
    }
    if (text_take(t, '='))
        variable_skip_value(t);
    *ret_size = size;
    return true;
}

/* All variables of one declaration; .global has been read. Returns as above. */
static bool variable_read(Text *t, uint64_t *sum)
{
    uint64_t alignment = ALIGNMENT_MIN, width, size;

    if (!variable_read_type(t, &width, &alignment))
        return false;
    if (alignment < ALIGNMENT_MIN)
        alignment = ALIGNMENT_MIN;
    do {
        if (!variable_read_one(t, width, &size))
            return false;
        if (__builtin_add_overflow(*sum, size, sum) || __builtin_add_overflow(*sum, alignment, sum))
            return false;
    } while (text_take(t, ','));
    return text_take(t, ';');
}

/* ---- The text ----------------------------------------------------------------------------------
 */

static bool text_is(const char *word, size_t n, const char *what)
{
    return n == strlen(what) && memcmp(word, what, n) == 0;
}

/* An instruction whose name has .global in it: no name of a program's own is one of these words. */
static bool text_is_instruction(const char *word, size_t n)
{
    static const char *const words[] = {
        "applypriority", "atom",     "cp", "createpolicy", "cvta",     "discard",
        "fence",         "isspacep", "ld", "ldu",          "multimem", "prefetch",
        "prefetchu",     "red",      "st", "tensormap",
    };

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (text_is(word, n, words[i]))
            return true;
    return false;
}

/* An instruction's name with all its dots, a directive, or some other word */
static bool text_read_word(Text *t, uint64_t *sum)
{
    const char *word;
    size_t n;

    if (*t->at != '.') {
        n = text_take_word(t, &word);
        while (text_is_instruction(word, n) && t->at < t->end &&
               (*t->at == '.' || *t->at == ':' || text_is_of_name(*t->at)))
            t->at++;
        return true;
    }
    t->at++;
    n = text_take_word(t, &word);
    if (text_is(word, n, "extern"))
        t->is_external = true;
    else if (text_is(word, n, "ptr"))
        t->is_pointer = true;
    else if (text_is(word, n, "global") && !t->is_external && !t->is_pointer)
        return variable_read(t, sum);
    return true;
}

/* A text with an escape in it, or one of several lines, is not understood. */
static bool text_read_string(Text *t)
{
    t->at++;
    while (t->at < t->end && *t->at != '"') {
        if (*t->at == '\\' || *t->at == '\n')
            return false;
        t->at++;
    }
    t->at += t->at < t->end;
    return true;
}

/* One step. Returns false when the variables' sizes are not known. */
static bool text_step(Text *t, uint64_t *sum)
{
    text_skip_blank(t);
    if (t->at == t->end)
        return true;
    if (*t->at == '.' || text_is_of_name(*t->at))
        return text_read_word(t, sum);
    if (*t->at == '"')
        return text_read_string(t);
    if (*t->at == '#')
        return false;
    if (strchr(";,{})", *t->at)) {
        t->is_pointer = false;
        t->is_external = t->is_external && *t->at == ',';
    }
    t->at++;
    return true;
}

void image_look_at_text(const char *text, size_t size, ImageFacts *facts)
{
    const size_t length = strnlen(text, size);
    Text t = {.at = text, .end = text + length};
    uint64_t sum = length; /* the code takes about as much */

    if (!memmem(text, length, ".version", strlen(".version"))) {
        *facts = (ImageFacts){.may_print = true};
        return;
    }
    if (memmem(text, length, TEXT_PRINTS, strlen(TEXT_PRINTS)))
        facts->may_print = true;
    while (t.at < t.end && facts->knows_memory)
        facts->knows_memory = text_step(&t, &sum);
    facts->memory = sum > UINT64_MAX - facts->memory ? UINT64_MAX : facts->memory + sum;
}
