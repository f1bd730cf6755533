/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "test-guest-doctor-fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define WINDOW (UINT64_C(128) << 20)

static const char *const variables[] = {"container",       "VGPU_SOCKET", "VGPU_WINDOW_SIZE",
                                        "LD_LIBRARY_PATH", "LD_PRELOAD",  "CUDA_VISIBLE_DEVICES"};

/* ---- The machine ------------------------------------------------------------------ */

void doctor_make_file(doctor_fixture *f, const char *path, const char *content)
{
    char whole[512];
    FILE *file;

    snprintf(whole, sizeof(whole), "%s/%s", f->sysfs.root, path);
    for (char *p = whole + strlen(f->sysfs.root) + 1; (p = strchr(p, '/')); *p++ = '/') {
        *p = '\0';
        assert_true(mkdir(whole, 0755) == 0 || errno == EEXIST);
    }
    file = fopen(whole, "w");
    assert_non_null(file);
    assert_true(fputs(content, file) >= 0);
    assert_return_code(fclose(file), errno);
}

void doctor_set_window(doctor_fixture *f, uint64_t size)
{
    const char *path = fake_sysfs_path(&f->sysfs, FAKE_ADDRESS, "resource2");

    fake_sysfs_write(&f->sysfs, FAKE_ADDRESS, "resource2", "");
    assert_return_code(truncate(path, (off_t) size), errno);
    f->bar[VGPU_REG_WINDOW_SIZE_LO / 4] = (uint32_t) size;
}

void doctor_answer(doctor_fixture *f, const char *backend)
{
    const VGPUResponse header = {
        .version = VGPU_PROTOCOL_VERSION,
        .data_offset = sizeof(header),
        .data_length = sizeof(VGPUDeviceInfo),
    };
    VGPUDeviceInfo info = {.name = "A \"model\"", .driver_version = 13000};
    uint8_t *response = (uint8_t *) f->bar + VGPU_REG_RESPONSE;

    strcpy(info.backend, backend);
    memcpy(response, &header, sizeof(header));
    memcpy(response + sizeof(header), &info, sizeof(info));
    f->bar[VGPU_REG_RESPONSE_LEN / 4] = sizeof(header) + sizeof(info);
    f->bar[VGPU_REG_STATUS / 4] = VGPU_STATUS_DONE;
}

void doctor_answer_error(doctor_fixture *f, uint32_t code)
{
    f->bar[VGPU_REG_ERROR_CODE / 4] = code;
    f->bar[VGPU_REG_STATUS / 4] = VGPU_STATUS_ERROR;
}

static void add_device(doctor_fixture *f)
{
    int fd;

    fake_sysfs_add(&f->sysfs, FAKE_ADDRESS);
    fd = open(fake_sysfs_path(&f->sysfs, FAKE_ADDRESS, "resource0"), O_RDWR | O_CLOEXEC);
    assert_return_code(fd, errno);
    f->bar = mmap(NULL, VGPU_BAR0_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true(f->bar != MAP_FAILED);
    close(fd);
    f->bar[VGPU_REG_EXT_MAGIC / 4] = VGPU_EXT_MAGIC;
    f->bar[VGPU_REG_EXT_VERSION / 4] = VGPU_EXT_VERSION;
    f->bar[VGPU_REG_EXT_FEATURES / 4] =
        VGPU_EXT_FEATURE_WINDOW | VGPU_EXT_FEATURE_RING | VGPU_EXT_FEATURE_SESSIONS;
    f->bar[VGPU_REG_RINGS / 4] = DOCTOR_RINGS;
    doctor_set_window(f, WINDOW);
    doctor_answer(f, "cuda");
}

int doctor_setup_empty(void **state)
{
    doctor_fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    for (size_t i = 0; i < ELEMENTSOF(variables); i++)
        unsetenv(variables[i]);
    fake_sysfs_create(&f->sysfs);
    f->options.timeout_ms = 50;
    *state = f;
    return 0;
}

int doctor_setup(void **state)
{
    doctor_setup_empty(state);
    add_device(*state);
    return 0;
}

int doctor_teardown(void **state)
{
    doctor_fixture *f = *state;

    if (f->bar)
        munmap((void *) f->bar, VGPU_BAR0_SIZE);
    fake_sysfs_remove(&f->sysfs);
    free(f);
    return 0;
}

/* ---- What it says ------------------------------------------------------------------- */

int doctor_examine(doctor_fixture *f)
{
    FILE *caught = tmpfile();
    int out = dup(STDOUT_FILENO), code;

    assert_non_null(caught);
    fflush(stdout);
    dup2(fileno(caught), STDOUT_FILENO);
    code = doctor_run(&f->options, f->sysfs.root);
    fflush(stdout);
    dup2(out, STDOUT_FILENO);
    close(out);
    rewind(caught);
    f->output[fread(f->output, 1, sizeof(f->output) - 1, caught)] = '\0';
    fclose(caught);
    return code;
}

void doctor_expect(const doctor_fixture *f, const char *begin, const char *text, const char *mend)
{
    for (const char *line = f->output; *line; line += strcspn(line, "\n") + 1) {
        char copy[2048];

        snprintf(copy, sizeof(copy), "%.*s", (int) strcspn(line, "\n"), line);
        if (strncmp(copy, begin, strlen(begin)) == 0 && strstr(copy, text) && strstr(copy, mend))
            return;
    }
    fail_msg("no line '%s … %s … %s' in: %s", begin, text, mend, f->output);
}

void doctor_expect_failure(doctor_fixture *f, const char *what, const char *text, const char *mend)
{
    char begin[32];

    assert_int_equal(doctor_examine(f), EXIT_REFUSED);
    snprintf(begin, sizeof(begin), "FAIL  %s ", what);
    doctor_expect(f, begin, text, mend);
}

void doctor_expect_none(const doctor_fixture *f, const char *text)
{
    if (strstr(f->output, text))
        fail_msg("'%s' is in: %s", text, f->output);
}

void doctor_become(uid_t user)
{
    if (user != 0)
        assert_return_code(seteuid(user), errno);
    else if (getuid() == 0)
        assert_return_code(seteuid(0), errno);
}
