/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "run-arguments.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command.h"

#define BUFFER_MAX (UINT64_C(1) << 40)

/* ---- Files ------------------------------------------------------------------ */

static int complain_file(const char *path)
{
    complain("cannot read '%s': %s", path, strerror(errno));
    return EXIT_USAGE;
}

int read_whole_file(const char *path, uint8_t **ret, size_t *ret_size)
{
    CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    CLEANUP_FREE uint8_t *bytes = NULL;
    size_t n = 0, room = 0;
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        return complain_file(path);
    for (;;) { /* a pipe has no size */
        ssize_t got;

        if (n + 1 >= room) {
            uint8_t *more;

            room = room > 0 ? room * 2 : (size_t) st.st_size + 4096;
            more = realloc(bytes, room);
            if (!more)
                return complain_file(path);
            bytes = more;
        }
        got = read(fd, bytes + n, room - n - 1);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return complain_file(path);
        if (got == 0)
            break;
        n += (size_t) got;
    }
    bytes[n] = 0;
    *ret = TAKE_PTR(bytes);
    *ret_size = n;
    return EXIT_OK;
}

/* ---- Parsing ------------------------------------------------------------------ */

static int bad_argument(const char *text, const char *why)
{
    complain("invalid argument '%s': %s", text, why);
    return EXIT_USAGE;
}

static int parse_whole(const char *text, const char *number, int bits, bool is_signed,
                       run_argument *ret)
{
    const uint64_t most = (is_signed ? INT64_MAX : UINT64_MAX) >> (64 - bits);
    const int64_t least = -(int64_t) (INT64_MAX >> (64 - bits)) - 1;
    bool is_negative = number[0] == '-';
    uint64_t value;
    char *end;

    errno = 0;
    value = is_negative ? (uint64_t) strtoll(number, &end, 0) : strtoull(number, &end, 0);
    if (end == number || *end != '\0' || number[0] == '+' || number[0] == ' ')
        return bad_argument(text, "no number stands behind the colon");
    if (errno == ERANGE || (is_negative ? !is_signed || (int64_t) value < least : value > most))
        return bad_argument(text, "the number is too large for its type");

    ret->size = (uint32_t) bits / 8;
    memcpy(ret->value, &value, ret->size); /* the low bytes come first */
    return EXIT_OK;
}

static int parse_float(const char *text, const char *number, int bits, run_argument *ret)
{
    char *end;
    double value = strtod(number, &end);
    float single = (float) value;

    if (end == number || *end != '\0')
        return bad_argument(text, "no number stands behind the colon");
    ret->size = (uint32_t) bits / 8;
    memcpy(ret->value, bits == 32 ? (void *) &single : (void *) &value, ret->size);
    return EXIT_OK;
}

/* BYTES, or with K, M or G behind it so many KiB, MiB or GiB */
static int parse_bytes(const char *text, const char *number, size_t *ret)
{
    static const char units[] = "KMG";
    unsigned long long value;
    const char *unit;
    unsigned int shift = 0;
    char *end;

    errno = 0;
    value = strtoull(number, &end, 0);
    unit = *end != '\0' ? strchr(units, *end) : NULL;
    if (unit) {
        shift = 10 * (unsigned int) (unit - units + 1);
        end++;
    }
    if (number[0] < '0' || number[0] > '9' || *end != '\0' || errno != 0 || value == 0 ||
        value > BUFFER_MAX >> shift)
        return bad_argument(text, "give the buffer's size in bytes behind the last colon");
    *ret = (size_t) value << shift;
    return EXIT_OK;
}

/* Takes over @path, or NULL without memory. What cannot be written is said before the kernel has
 * worked in vain; what is there stays as it is. */
static int set_output(run_argument *a, char *path)
{
    CLEANUP_FREE char *folder = path ? strdup(path) : NULL;
    CLEANUP_CLOSE int fd = -1;

    a->output = path;
    if (!folder) {
        complain("%s", strerror(ENOMEM));
        return EXIT_SYSTEM;
    }
    fd = open(path, O_WRONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd >= 0 || errno == ENXIO) /* a pipe that nobody reads yet */
        return EXIT_OK;
    if (errno == ENOENT && access(dirname(folder), W_OK | X_OK) == 0)
        return EXIT_OK;
    complain("cannot write '%s': %s", path, strerror(errno));
    return EXIT_USAGE;
}

static int parse_input(const char *text, const char *path, bool is_output, run_argument *ret)
{
    int r;

    r = read_whole_file(path, &ret->content, &ret->buffer_size);
    if (r != EXIT_OK)
        return r;
    if (ret->buffer_size == 0)
        return bad_argument(text, "the file is empty");
    return is_output ? set_output(ret, strdup(path)) : EXIT_OK;
}

/* out:FILE:BYTES; the file's name may have colons, too. */
static int parse_output(const char *text, const char *path, run_argument *ret)
{
    const char *colon = strrchr(path, ':');
    int r;

    if (!colon || colon == path)
        return bad_argument(text, "write out:FILE:BYTES");
    r = parse_bytes(text, colon + 1, &ret->buffer_size);
    return r == EXIT_OK ? set_output(ret, strndup(path, (size_t) (colon - path))) : r;
}

static int parse_buffer(const char *text, const char *kind, const char *rest, run_argument *ret)
{
    ret->is_buffer = true;
    ret->size = 8;
    if (strcmp(kind, "in") == 0)
        return parse_input(text, rest, false, ret);
    if (strcmp(kind, "inout") == 0)
        return parse_input(text, rest, true, ret);
    if (strcmp(kind, "out") == 0)
        return parse_output(text, rest, ret);
    if (strcmp(kind, "zero") == 0)
        return parse_bytes(text, rest, &ret->buffer_size);
    return bad_argument(text, "write i32:, u32:, i64:, u64:, f32:, f64:, in:, out:, inout:, zero: "
                              "or another kind before it (vgpu run --help)");
}

/* A parameter of any type, a structure for example */
static int parse_raw(const char *text, const char *path, run_argument *ret)
{
    size_t size;
    int r = read_whole_file(path, &ret->content, &size);

    if (r != EXIT_OK)
        return r;
    if (size == 0 || size > VGPU_SESSION_PARAMETERS_MAX)
        return bad_argument(text, "the file has nothing, or more than a kernel can take");
    ret->size = (uint32_t) size;
    return EXIT_OK;
}

static const struct kind {
    const char *name;
    int bits;
    char type; /* i, u or f */
} kinds[] = {
    {"i8", 8, 'i'},   {"u8", 8, 'u'},   {"i16", 16, 'i'}, {"u16", 16, 'u'}, {"i32", 32, 'i'},
    {"u32", 32, 'u'}, {"i64", 64, 'i'}, {"u64", 64, 'u'}, {"f32", 32, 'f'}, {"f64", 64, 'f'},
};

int run_argument_parse(const char *text, run_argument *ret)
{
    const char *colon = strchr(text, ':');
    char kind[8] = "";

    *ret = (run_argument){.text = text};
    if (!colon || (size_t) (colon - text) >= sizeof(kind))
        return parse_buffer(text, kind, text, ret);
    memcpy(kind, text, (size_t) (colon - text));

    for (const struct kind *k = kinds; k < kinds + ELEMENTSOF(kinds); k++)
        if (strcmp(kind, k->name) == 0)
            return k->type == 'f' ? parse_float(text, colon + 1, k->bits, ret)
                                  : parse_whole(text, colon + 1, k->bits, k->type == 'i', ret);
    if (strcmp(kind, "raw") == 0)
        return parse_raw(text, colon + 1, ret);
    return parse_buffer(text, kind, colon + 1, ret);
}

void run_argument_free(run_argument *a)
{
    free(a->content);
    free(a->output);
}

/* ---- The kernel's parameters ------------------------------------------------------- */

static void print_sizes(const char *kernel, const VGPUSessionFunction *f)
{
    fprintf(stderr, "  bytes of the parameters of %s:", kernel);
    for (uint32_t i = 0; i < f->n_parameters; i++)
        fprintf(stderr, " %" PRIu32, f->parameter[i].size);
    fputs("; an address has 8\n", stderr);
}

int run_arguments_check(const run_argument *a, size_t n, const char *kernel,
                        const VGPUSessionFunction *f)
{
    if (n != f->n_parameters) {
        complain("%s has %" PRIu32 " parameter%s, and %zu argument%s given", kernel,
                 f->n_parameters, f->n_parameters == 1 ? "" : "s", n, n == 1 ? " is" : "s are");
        if (f->n_parameters > 0)
            print_sizes(kernel, f);
        return EXIT_USAGE;
    }
    for (size_t i = 0; i < n; i++)
        if (a[i].size != f->parameter[i].size) {
            complain("argument %zu, '%s', has %" PRIu32 " bytes; that parameter of %s has %" PRIu32,
                     i + 1, a[i].text, a[i].size, kernel, f->parameter[i].size);
            print_sizes(kernel, f);
            return EXIT_USAGE;
        }
    return EXIT_OK;
}

static const void *value_of(const run_argument *a)
{
    if (a->is_buffer)
        return &a->address;
    return a->content ? a->content : a->value;
}

void run_arguments_pack(const run_argument *a, size_t n, const VGPUSessionFunction *f, uint8_t *to)
{
    memset(to, 0, f->parameters_size);
    for (size_t i = 0; i < n; i++)
        memcpy(to + f->parameter[i].offset, value_of(&a[i]), a[i].size);
}
