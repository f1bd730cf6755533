/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vgpu vecadd: streams two files of elements through the device into a third. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "command.h"

/* Bytes of each vector in memory; a multiple of every element's size. */
#define PIECE 65536

typedef struct stream {
    const char *name;
    FILE *file;
    struct stat st;
} stream;

static void cleanup_stream(stream *s)
{
    if (s->file)
        fclose(s->file);
}

#define CLEANUP_STREAM __attribute__((cleanup(cleanup_stream)))

static bool is_regular(const stream *s)
{
    return S_ISREG(s->st.st_mode);
}

static int complain_file(const stream *s, int error)
{
    complain("%s: %s", s->name, strerror(error));
    return EXIT_SYSTEM;
}

/* Fill in a stream for @fd, which it owns from now on. */
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

static int open_input(const char *name, stream *s)
{
    if (strcmp(name, "-") == 0)
        return stream_take(fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3), "standard input", "r", s);

    return stream_take(open(name, O_RDONLY | O_CLOEXEC), name, "r", s);
}

static bool is_same_file(const stream *x, const stream *y)
{
    return x->st.st_dev == y->st.st_dev && x->st.st_ino == y->st.st_ino;
}

/* Does not empty the file before it is known to be none of the inputs. */
static int open_output(const char *name, const stream *a, const stream *b, stream *s)
{
    int r;

    if (strcmp(name, "-") == 0)
        return stream_take(fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3), "standard output", "w", s);

    r = stream_take(open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0666), name, "w", s);
    if (r != EXIT_OK || !is_regular(s))
        return r;

    if (is_same_file(s, a) || is_same_file(s, b)) {
        complain("'%s' is an input and the output", name);
        return EXIT_USAGE;
    }
    if (ftruncate(fileno(s->file), 0) < 0)
        return complain_file(s, errno);
    return EXIT_OK;
}

static int complain_lengths(const stream *a, const stream *b)
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

/* See what can be seen before the output is touched. A pipe shows its length at its end only. */
static int check_sizes(const options *o, const stream *a, const stream *b)
{
    const stream *const inputs[] = {a, b};

    for (size_t i = 0; i < ELEMENTSOF(inputs); i++)
        if (is_regular(inputs[i]) &&
            (uint64_t) inputs[i]->st.st_size % vgpu_type_size(o->type) != 0)
            return complain_remainder(inputs[i], o);

    /* Standard input may have been read from already, so its size is not what is left of it. */
    if (is_regular(a) && is_regular(b) && ftello(a->file) == 0 && ftello(b->file) == 0 &&
        a->st.st_size != b->st.st_size)
        return complain_lengths(a, b);

    return EXIT_OK;
}

/* Read the next piece of both. @ret_bytes: of each; 0 at the end. */
static int read_pieces(const options *o, stream *a, stream *b, uint8_t *ret_a, uint8_t *ret_b,
                       size_t *ret_bytes)
{
    size_t n_a, n_b;

    n_a = fread(ret_a, 1, PIECE, a->file);
    if (ferror(a->file))
        return complain_file(a, errno);
    n_b = fread(ret_b, 1, PIECE, b->file);
    if (ferror(b->file))
        return complain_file(b, errno);

    if (n_a % vgpu_type_size(o->type) != 0)
        return complain_remainder(a, o);
    if (n_b % vgpu_type_size(o->type) != 0)
        return complain_remainder(b, o);
    if (n_a != n_b)
        return complain_lengths(a, b);

    *ret_bytes = n_a;
    return EXIT_OK;
}

static int complain_request(const options *o, vgpu_device *dev, uint64_t element, int result)
{
    char what[96];

    snprintf(what, sizeof(what), "%s: request %" PRIu64 ", from element %" PRIu64,
             vgpu_get_address(dev), element / vgpu_vector_max(o->type), element);
    return complain_result(what, result);
}

static int add_streams(const options *o, vgpu_device *dev, stream *a, stream *b, stream *c)
{
    static uint8_t x[PIECE], y[PIECE];
    uint64_t element = 0;

    for (;;) {
        size_t bytes, n, done;
        int r;

        r = read_pieces(o, a, b, x, y, &bytes);
        if (r != EXIT_OK || bytes == 0)
            return r;

        n = bytes / vgpu_type_size(o->type);
        r = vgpu_vector_add(dev, o->type, x, y, n, o->timeout_ms, x, &done);
        if (fwrite(x, vgpu_type_size(o->type), done, c->file) != done)
            return complain_file(c, errno);
        if (r != 0)
            return complain_request(o, dev, element + done, r);
        element += n;
    }
}

int command_vecadd(const options *o, char **argv)
{
    CLEANUP_VGPU vgpu_device *dev = NULL;
    CLEANUP_STREAM stream a = {0}, b = {0}, c = {0};
    int r;

    if (!o->output) {
        complain("vecadd needs an output: -o FILE, or -o - for the standard output");
        return EXIT_USAGE;
    }
    if (strcmp(argv[0], "-") == 0 && strcmp(argv[1], "-") == 0) {
        complain("only one of the vectors can come from the standard input");
        return EXIT_USAGE;
    }

    r = open_input(argv[0], &a);
    if (r == EXIT_OK)
        r = open_input(argv[1], &b);
    if (r == EXIT_OK)
        r = check_sizes(o, &a, &b);
    if (r == EXIT_OK)
        r = open_device(o, o->device, &dev);
    if (r == EXIT_OK)
        r = open_output(o->output, &a, &b, &c);
    if (r == EXIT_OK)
        r = add_streams(o, dev, &a, &b, &c);

    /* The last bytes are written now: a full disk shows here. */
    if (c.file) {
        FILE *file = TAKE_PTR(c.file);

        if (fclose(file) != 0 && r == EXIT_OK)
            r = complain_file(&c, errno);
    }
    return r;
}
