/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>

#include "json.h"
#include "text.h"

/* JSON has an escape for it, or wants one. */
static bool is_special(char c)
{
    return c == '"' || c == '\\' || (c > 0 && c < 0x20) || c == 0x7f;
}

void json_string(FILE *f, const char *text)
{
    fputc('"', f);
    while (*text) {
        size_t n = 0;

        while (text[n] && !is_special(text[n]))
            n++;
        text_write_json(f, text, n);
        text += n;
        if (*text == '"' || *text == '\\')
            fprintf(f, "\\%c", *text++);
        else if (*text)
            fprintf(f, "\\u%04x", (unsigned) *text++);
    }
    fputc('"', f);
}

static int write_basic(FILE *f, sd_bus_message *m, char type)
{
    union {
        uint8_t y;
        int16_t n;
        uint16_t q;
        int32_t i;
        uint32_t u;
        int b;
        int64_t x;
        uint64_t t;
        double d;
        const char *s;
    } value;
    int r = sd_bus_message_read_basic(m, type, &value);

    if (r < 0)
        return r;
    switch (type) {
    case 'b':
        fputs(value.b ? "true" : "false", f);
        return 0;
    case 'y':
        fprintf(f, "%u", value.y);
        return 0;
    case 'n':
        fprintf(f, "%d", value.n);
        return 0;
    case 'q':
        fprintf(f, "%u", value.q);
        return 0;
    case 'i':
        fprintf(f, "%" PRId32, value.i);
        return 0;
    case 'u':
        fprintf(f, "%" PRIu32, value.u);
        return 0;
    case 'x':
        fprintf(f, "%" PRId64, value.x);
        return 0;
    case 't':
        fprintf(f, "%" PRIu64, value.t);
        return 0;
    case 'd':
        fprintf(f, "%.17g", value.d);
        return 0;
    case 's':
    case 'o':
    case 'g':
        json_string(f, value.s);
        return 0;
    default:
        return -EOPNOTSUPP;
    }
}

/* The entries of an array, or of a dictionary. */
static int write_entries(FILE *f, sd_bus_message *m, const char *contents)
{
    const char *separator = "";
    bool dictionary = *contents == '{';
    int r;

    while ((r = sd_bus_message_at_end(m, false)) == 0) {
        fputs(separator, f);
        separator = ",";
        if (dictionary) {
            r = sd_bus_message_enter_container(m, 'e', NULL);
            if (r >= 0)
                r = write_basic(f, m, contents[1]);
            fputc(':', f);
        }
        if (r >= 0)
            r = json_value(f, m);
        if (r >= 0 && dictionary)
            r = sd_bus_message_exit_container(m);
        if (r < 0)
            return r;
    }
    return r < 0 ? r : 0;
}

int json_value(FILE *f, sd_bus_message *m)
{
    const char *contents;
    char type;
    int r;

    r = sd_bus_message_peek_type(m, &type, &contents);
    if (r <= 0)
        return r < 0 ? r : -ENXIO;
    if (type != 'a' && type != 'v')
        return write_basic(f, m, type);

    r = sd_bus_message_enter_container(m, type, contents);
    if (r < 0)
        return r;
    if (type == 'v') {
        r = json_value(f, m);
    } else {
        fputc(*contents == '{' ? '{' : '[', f);
        r = write_entries(f, m, contents);
        fputc(*contents == '{' ? '}' : ']', f);
    }
    return r < 0 ? r : sd_bus_message_exit_container(m);
}
