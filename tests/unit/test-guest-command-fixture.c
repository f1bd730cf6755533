/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "test-guest-command-fixture.h"
#include "test.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- The tree in place of /sys -------------------------------------------- */

static const vgpu_paths *paths_of_test;

int __real_vgpu_open(const vgpu_paths *paths, const char *name, vgpu_device **ret);
int __wrap_vgpu_open(const vgpu_paths *paths, const char *name, vgpu_device **ret);
int __real_vgpu_find(const vgpu_paths *paths, vgpu_found **ret_list, size_t *ret_n);
int __wrap_vgpu_find(const vgpu_paths *paths, vgpu_found **ret_list, size_t *ret_n);
int __real_vgpu_bind_uio(const vgpu_paths *paths, const char *address);
int __wrap_vgpu_bind_uio(const vgpu_paths *paths, const char *address);
int __real_vgpu_bind_vfio(const vgpu_paths *paths, const char *address);
int __wrap_vgpu_bind_vfio(const vgpu_paths *paths, const char *address);

static int open_result;
static unsigned int n_failures;

void fail_open(int result, unsigned int n)
{
    open_result = result;
    n_failures = n;
}

int __wrap_vgpu_open(const vgpu_paths *paths, const char *name, vgpu_device **ret)
{
    if (n_failures > 0) {
        n_failures--;
        return open_result;
    }
    return __real_vgpu_open(paths ? paths : paths_of_test, name, ret);
}

int __wrap_vgpu_find(const vgpu_paths *paths, vgpu_found **ret_list, size_t *ret_n)
{
    return __real_vgpu_find(paths ? paths : paths_of_test, ret_list, ret_n);
}

int __wrap_vgpu_bind_vfio(const vgpu_paths *paths, const char *address)
{
    return __real_vgpu_bind_vfio(paths ? paths : paths_of_test, address);
}

int __wrap_vgpu_bind_uio(const vgpu_paths *paths, const char *address)
{
    return __real_vgpu_bind_uio(paths ? paths : paths_of_test, address);
}

int command_setup(void **state)
{
    command_fixture *f = calloc(1, sizeof(*f));

    model_start(&f->model);
    fake_sysfs_create(&f->sysfs);
    fake_sysfs_add(&f->sysfs, FAKE_ADDRESS);
    paths_of_test = &f->sysfs.paths;
    fail_open(0, 0);
    f->options = (options){.timeout_ms = 60000, .type = VGPU_INT32};
    *state = f;
    return 0;
}

int command_teardown(void **state)
{
    command_fixture *f = *state;

    assert_int_equal(f->model.ring.violations, 0);
    ring_model_remove(&f->model);
    fake_sysfs_remove(&f->sysfs);
    free(f);
    return 0;
}

static int run_with_output(command_fixture *f, int output_fd, FILE *caught,
                           int (*command)(const options *, char **), char **argv)
{
    int out, err, code;
    size_t n;

    fflush(stdout);
    out = dup(STDOUT_FILENO);
    err = dup(STDERR_FILENO);
    dup2(output_fd, STDOUT_FILENO);
    dup2(fileno(caught), STDERR_FILENO);
    code = command(&f->options, argv);
    fflush(stdout);
    clearerr(stdout);
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
    close(out);
    close(err);

    rewind(caught);
    n = fread(f->output, 1, sizeof(f->output) - 1, caught);
    f->output[n] = '\0';
    return code;
}

int run(command_fixture *f, int (*command)(const options *, char **), char **argv)
{
    FILE *caught = tmpfile();
    int code;

    assert_non_null(caught);
    code = run_with_output(f, fileno(caught), caught, command, argv);
    fclose(caught);
    return code;
}

int run_into(command_fixture *f, const char *path, int (*command)(const options *, char **),
             char **argv)
{
    FILE *caught = tmpfile();
    int fd = open(path, O_WRONLY | O_CLOEXEC), code;

    assert_non_null(caught);
    assert_return_code(fd, 0);
    code = run_with_output(f, fd, caught, command, argv);
    close(fd);
    fclose(caught);
    return code;
}

void expect_output(const command_fixture *f, const char *text)
{
    if (!strstr(f->output, text))
        fail_msg("'%s' is not in: %s", text, f->output);
}

/* ---- Files ---- */

const char *path_in(command_fixture *f, const char *name, char *buffer)
{
    snprintf(buffer, 128, "%s/%s", f->sysfs.root, name);
    return buffer;
}

void make_file(command_fixture *f, const char *name, size_t size, uint32_t seed)
{
    char path[128];
    FILE *file = fopen(path_in(f, name, path), "w");

    assert_non_null(file);
    for (size_t i = 0; i < size; i++) {
        seed = seed * 1103515245u + 12345u;
        fputc((int) (seed >> 24), file);
    }
    assert_return_code(fclose(file), 0);
}

int run_vecadd(command_fixture *f, const char *a, const char *b, const char *c)
{
    char paths[3][128];
    char *argv[] = {(char *) path_in(f, a, paths[0]), (char *) path_in(f, b, paths[1]), NULL};

    f->options.output = path_in(f, c, paths[2]);
    return run(f, command_vecadd, argv);
}

off_t size_of(command_fixture *f, const char *name)
{
    char path[128];
    struct stat st;

    return stat(path_in(f, name, path), &st) < 0 ? -1 : st.st_size;
}

void expect_int32_sums(command_fixture *f, size_t n)
{
    char path[128];
    FILE *a = fopen(path_in(f, "a", path), "r"), *b = fopen(path_in(f, "b", path), "r"),
         *c = fopen(path_in(f, "c", path), "r");

    assert_true(a && b && c);
    for (size_t i = 0; i < n; i++) {
        uint32_t x, y, z;

        assert_int_equal(fread(&x, 4, 1, a) + fread(&y, 4, 1, b) + fread(&z, 4, 1, c), 3);
        assert_int_equal(z, x + y);
    }
    assert_int_equal(fgetc(c), EOF);
    fclose(a);
    fclose(b);
    fclose(c);
}

int run_info(command_fixture *f)
{
    return run(f, command_info, (char *[]){NULL});
}
