/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "stream.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"

bool stream_is_regular(const stream *s)
{
    return S_ISREG(s->st.st_mode);
}

int complain_file(const stream *s, int error)
{
    complain("%s: %s", s->name, strerror(error));
    return EXIT_SYSTEM;
}

int complain_lengths(const stream *a, const stream *b)
{
    complain("the vectors in '%s' and '%s' have different lengths", a->name, b->name);
    return EXIT_USAGE;
}

static int complain_remainder(const stream *s, const options *o)
{
    complain("the size of '%s' is not a multiple of %zu bytes, the size of %s", s->name,
             vgpu_type_size(o->type), vgpu_type_to_string(o->type));
    return EXIT_USAGE;
}

/* Fill in a stream for @fd. The stream owns @fd from now on. */
static int stream_take(int fd, const char *name, const char *mode, stream *s)
{
    s->name = name;
    if (fd >= 0 && fstat(fd, &s->st) == 0)
        s->file = fdopen(fd, mode);
    if (!s->file) {
        int error = errno;

        if (fd >= 0)
            close(fd);
        complain("cannot open '%s': %s", name, strerror(error));
        return EXIT_USAGE;
    }
    return EXIT_OK;
}

int stream_open_input(const char *name, stream *s)
{
    if (strcmp(name, "-") == 0)
        return stream_take(fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3), "standard input", "r", s);

    return stream_take(open(name, O_RDONLY | O_CLOEXEC), name, "r", s);
}

static bool is_same_file(const stream *x, const stream *y)
{
    return x->st.st_dev == y->st.st_dev && x->st.st_ino == y->st.st_ino;
}

int stream_open_output(const char *name, const stream *const *inputs, size_t n, stream *s)
{
    int r;

    if (strcmp(name, "-") == 0)
        return stream_take(fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3), "standard output", "w", s);

    r = stream_take(open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0666), name, "w", s);
    if (r != EXIT_OK || !stream_is_regular(s))
        return r;

    for (size_t i = 0; i < n; i++)
        if (is_same_file(s, inputs[i])) {
            complain("'%s' is an input and the output", name);
            return EXIT_USAGE;
        }
    if (ftruncate(fileno(s->file), 0) < 0)
        return complain_file(s, errno);
    return EXIT_OK;
}

int stream_close_output(stream *s, int code)
{
    FILE *file = TAKE_PTR(s->file);

    if (file && fclose(file) != 0 && code == EXIT_OK)
        return complain_file(s, errno);
    return code;
}

int stream_check_sizes(const options *o, const stream *a, const stream *b)
{
    const stream *const inputs[] = {a, b};

    for (size_t i = 0; i < ELEMENTSOF(inputs); i++)
        if (inputs[i] && stream_is_regular(inputs[i]) &&
            (uint64_t) inputs[i]->st.st_size % vgpu_type_size(o->type) != 0)
            return complain_remainder(inputs[i], o);

    /* Somebody may have read from the standard input already: its size is not what is left of it.
     */
    if (b && stream_is_regular(a) && stream_is_regular(b) && ftello(a->file) == 0 &&
        ftello(b->file) == 0 && a->st.st_size != b->st.st_size)
        return complain_lengths(a, b);

    return EXIT_OK;
}

int stream_read(const options *o, stream *s, void *ret, size_t size, size_t *ret_bytes)
{
    size_t n = fread(ret, 1, size, s->file);

    if (ferror(s->file))
        return complain_file(s, errno);
    if (n % vgpu_type_size(o->type) != 0)
        return complain_remainder(s, o);

    *ret_bytes = n;
    return EXIT_OK;
}

int stream_read_all(const options *o, stream *s, void **ret, size_t *ret_bytes)
{
    CLEANUP_FREE uint8_t *memory = NULL;
    size_t size = 0, n = 0, got;
    int r;

    do {
        if (n == size) {
            size_t more = size > 0               ? 2 * size
                          : stream_is_regular(s) ? (size_t) s->st.st_size / 8 * 8 + 8
                                                 : 1u << 20;
            uint8_t *larger = realloc(memory, more);

            if (!larger)
                return complain_file(s, ENOMEM);
            memory = larger;
            size = more;
        }
        r = stream_read(o, s, memory + n, size - n, &got);
        if (r != EXIT_OK)
            return r;
        n += got;
    } while (got > 0);

    *ret = TAKE_PTR(memory);
    *ret_bytes = n;
    return EXIT_OK;
}

int check_operands(const options *o, const char *command, const char *a, const char *b,
                   bool has_output)
{
    if (has_output && !o->output) {
        complain("%s needs an output: -o FILE, or -o - for the standard output", command);
        return EXIT_USAGE;
    }
    if (b && strcmp(a, "-") == 0 && strcmp(b, "-") == 0) {
        complain("only one of the operands can come from the standard input");
        return EXIT_USAGE;
    }
    return EXIT_OK;
}
