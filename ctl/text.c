/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <wchar.h>
#include <wctype.h>

#include "cleanup.h"
#include "clock.h"
#include "text.h"
#include "vm-name.h"

/* The bytes of the character at @text that can be printed as they are, or 0. One that nobody sees,
 * or that turns the direction of writing, cannot, although locales call it printable. */
static size_t printable(const char *text, mbstate_t *state)
{
    wchar_t c;
    size_t n = mbrtowc(&c, text, strlen(text), state);

    if (n == (size_t) -1 || n == (size_t) -2) {
        *state = (mbstate_t){0};
        return 0;
    }
    return iswprint((wint_t) c) && !character_is_unseen((uint32_t) c) ? n : 0;
}

/* The length of a character in bytes, printable or not. */
static size_t length(const char *text)
{
    mbstate_t state = {0};
    size_t n = mbrlen(text, strlen(text), &state);

    return n == (size_t) -1 || n == (size_t) -2 ? 1 : n;
}

char *text_escape(const char *text)
{
    char *escaped = malloc(strlen(text) * 4 + 1), *p = escaped;
    mbstate_t state = {0};

    if (!escaped)
        return NULL;
    while (*text) {
        size_t n = printable(text, &state), m = n > 0 ? n : length(text);

        if (n > 0)
            p = mempcpy(p, text, n);
        else
            for (size_t i = 0; i < m; i++)
                p += sprintf(p, "\\x%02x", (unsigned char) text[i]);
        text += m;
    }
    *p = '\0';
    return escaped;
}

char *text_escape_utf8(const char *text)
{
    char *escaped = malloc(strlen(text) * 4 + 1), *p = escaped;

    if (!escaped)
        return NULL;
    while (*text) {
        uint32_t c = 0;
        size_t n = utf8_character(text, &c), m = n > 0 ? n : 1;

        if (n > 0 && !character_is_unseen(c))
            p = mempcpy(p, text, n);
        else
            for (size_t i = 0; i < m; i++)
                p += sprintf(p, "\\x%02x", (unsigned char) text[i]);
        text += m;
    }
    *p = '\0';
    return escaped;
}

void text_write_json(FILE *f, const char *text, size_t size)
{
    for (const char *end = text + size; text < end;) {
        uint32_t c = 0;
        size_t n = utf8_character(text, &c);

        if (n == 0)
            fputs("\\ufffd", f);
        else if (c < 0x80 || !character_is_unseen(c))
            fwrite(text, 1, n, f);
        else if (c < 0x10000)
            fprintf(f, "\\u%04" PRIx32, c);
        else
            fprintf(f, "\\u%04" PRIx32 "\\u%04" PRIx32, 0xd800 + ((c - 0x10000) >> 10),
                    0xdc00 + (c & 0x3ff));
        text += n > 0 ? n : 1;
    }
}

/* Three digits of a number below 1000. */
static void three_digits(double value, const char *unit, char *buffer)
{
    int decimals = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
    int n = snprintf(buffer, TEXT_SIZE, "%.*f", decimals, value);

    /* 1.50 is 1.5, and 2.00 is 2. */
    if (decimals > 0) {
        while (buffer[n - 1] == '0')
            n--;
        if (buffer[n - 1] == '.')
            n--;
    }
    snprintf(buffer + n, TEXT_SIZE - (size_t) n, "%s", unit);
}

static void two_units(uint64_t seconds, uint64_t small, const char *small_unit, uint64_t large,
                      const char *large_unit, char *buffer)
{
    uint64_t rest = seconds % large / small;
    int n = snprintf(buffer, TEXT_SIZE, "%" PRIu64 "%s", seconds / large, large_unit);

    if (rest > 0)
        snprintf(buffer + n, TEXT_SIZE - (size_t) n, " %" PRIu64 "%s", rest, small_unit);
}

char *text_usec(uint64_t usec, char *buffer)
{
    uint64_t seconds = (usec + USEC_PER_SEC / 2) / USEC_PER_SEC;

    if (usec == 0)
        snprintf(buffer, TEXT_SIZE, "0");
    else if (usec < 1000)
        snprintf(buffer, TEXT_SIZE, "%" PRIu64 "us", usec);
    else if (usec < 999500)
        three_digits((double) usec / 1e3, "ms", buffer);
    else if (seconds < 60)
        three_digits((double) usec / 1e6, "s", buffer);
    else if (seconds < 3600)
        two_units(seconds, 1, "s", 60, "min", buffer);
    else if (seconds < 86400)
        two_units(seconds, 60, "min", 3600, "h", buffer);
    else
        two_units(seconds, 3600, "h", 86400, "d", buffer);
    return buffer;
}

char *text_bytes(uint64_t bytes, char *buffer)
{
    static const char units[] = "BKMGTPE";
    double value = (double) bytes;
    unsigned unit = 0;

    while (value >= 1024 && units[unit + 1]) {
        value /= 1024;
        unit++;
    }
    snprintf(buffer, TEXT_SIZE, "%.*f%c", unit > 0, value, units[unit]);
    return buffer;
}

char *text_rate(double rate, char *buffer)
{
    if (rate < 1000)
        three_digits(rate, "", buffer);
    else
        snprintf(buffer, TEXT_SIZE, "%.0f", rate);
    return buffer;
}

char *text_timestamp(uint64_t realtime_usec, char *buffer)
{
    time_t seconds = (time_t) (realtime_usec / USEC_PER_SEC);
    struct tm tm;

    if (!localtime_r(&seconds, &tm) ||
        strftime(buffer, TEXT_SIZE, "%a %Y-%m-%d %H:%M:%S %Z", &tm) == 0)
        snprintf(buffer, TEXT_SIZE, "-");
    return buffer;
}

/* Levenshtein's distance of two short words. */
static size_t distance(const char *a, const char *b)
{
    size_t n = strlen(b), row[33];

    if (strlen(a) > 32 || n > 32)
        return SIZE_MAX;
    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 0; a[i]; i++) {
        size_t diagonal = row[0];

        row[0] = i + 1;
        for (size_t j = 0; j < n; j++) {
            size_t least = diagonal + (a[i] != b[j]);

            diagonal = row[j + 1];
            if (row[j] + 1 < least)
                least = row[j] + 1;
            if (row[j + 1] + 1 < least)
                least = row[j + 1] + 1;
            row[j + 1] = least;
        }
    }
    return row[n];
}

/* The only one of @words that begins with @text, or NULL. */
static const char *only_completion(const char *text, const char *const *words, size_t n)
{
    const char *found = NULL;

    for (size_t i = 0; i < n; i++)
        if (strncmp(words[i], text, strlen(text)) == 0) {
            if (found)
                return NULL;
            found = words[i];
        }
    return found;
}

const char *text_nearest(const char *text, const char *const *words, size_t n)
{
    const char *nearest = *text ? only_completion(text, words, n) : NULL;
    size_t least = 4; /* what is further off was not meant */

    if (nearest)
        return nearest;
    for (size_t i = 0; i < n; i++) {
        size_t d = distance(text, words[i]);

        if (d < least && d * 2 <= strlen(text)) {
            least = d;
            nearest = words[i];
        }
    }
    return nearest;
}

void print_error(const char *format, ...)
{
    CLEANUP_FREE char *line = NULL, *escaped = NULL;
    va_list ap;
    int n;

    va_start(ap, format);
    n = vasprintf(&line, format, ap);
    va_end(ap);
    if (n < 0) {
        line = NULL;
        fputs("Out of memory.\n", stderr);
        return;
    }

    escaped = text_escape(line);
    fprintf(stderr, "%s\n", escaped ? escaped : "Out of memory.");
}
