/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vgpu doctor, of a machine without a device: its socket, its limits, its environment. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "ring-keeper.h"
#include "test-guest-doctor-fixture.h"

/* ---- The socket --------------------------------------------------------------------- */

static void listen_never(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_return_code(fd, errno);
    assert_true(strlen(path) < sizeof(address.sun_path));
    strcpy(address.sun_path, path);
    assert_return_code(bind(fd, (struct sockaddr *) &address, sizeof(address)), errno);
    close(fd);
}

static void test_socket(void **state)
{
    doctor_fixture *f = *state;
    char path[128];

    snprintf(path, sizeof(path), "%s/socket", f->sysfs.root);
    setenv("VGPU_SOCKET", path, 1);
    doctor_expect_failure(f, "session", "No such file", "vgpu-mediator.socket");
    doctor_expect(f, "ok    device ", path, "as $VGPU_SOCKET says");
    doctor_expect(f, "ok    window ", "256 MiB", "VGPU_WINDOW_SIZE");
    listen_never(path);
    doctor_expect_failure(f, "session", "Connection refused", "systemctl restart");
    if (getuid() == 0) {
        assert_return_code(chmod(f->sysfs.root, 0755), errno);
        assert_return_code(chown(path, 0, DOCTOR_GROUP), errno);
        assert_return_code(chmod(path, 0660), errno);
        doctor_make_file(f, "etc/group", "kvm:x:4242:\n");
        doctor_become(DOCTOR_USER);
        doctor_expect_failure(f, "permission", "socket is not for user 65534", "usermod -aG kvm");
        doctor_become(0);
    }
    unsetenv("VGPU_SOCKET");
    doctor_make_file(f, "run/vgpu/mediator.sock", "");
    doctor_expect_failure(f, "session", "run/vgpu/mediator.sock", "");
}

/* ---- The machine -------------------------------------------------------------------- */

static void test_limits(void **state)
{
    doctor_fixture *f = *state;
    const struct rlimit file = {1 << 20, RLIM_INFINITY}, all = {RLIM_INFINITY, RLIM_INFINITY};
    struct rlimit addresses;

    setenv("VGPU_SOCKET", "/nonexistent/socket", 1);
    doctor_make_file(f, "sys/fs/cgroup/memory.max", "268435456\n");
    assert_int_equal(doctor_examine(f), EXIT_REFUSED);
    doctor_expect(f, "warn  limits ", "256 MiB of memory", "smaller VGPU_WINDOW_SIZE");
    doctor_make_file(f, "sys/fs/cgroup/memory.max", "max\n");

    assert_return_code(setrlimit(RLIMIT_FSIZE, &file), errno);
    doctor_expect_failure(f, "window", "File too large", "ulimit -f");
    assert_return_code(setrlimit(RLIMIT_FSIZE, &all), errno);

    assert_return_code(getrlimit(RLIMIT_AS, &addresses), errno);
    addresses.rlim_cur = (rlim_t) 1 << 50;
    assert_return_code(setrlimit(RLIMIT_AS, &addresses), errno);
    doctor_expect_failure(f, "limits", "1073741824 MiB of addresses", "ulimit -v");
    addresses.rlim_cur = addresses.rlim_max;
    assert_return_code(setrlimit(RLIMIT_AS, &addresses), errno);
    doctor_expect_none(f, "memory, and the window");
}

static void test_machine(void **state)
{
    doctor_fixture *f = *state;

    doctor_make_file(f, "sys/module/nouveau/version", "");
    setenv("CUDA_VISIBLE_DEVICES", "1", 1);
    setenv("VGPU_WINDOW_SIZE", "512M", 1);
    assert_int_equal(doctor_examine(f), EXIT_REFUSED);
    doctor_expect(f, "warn  module ", "nouveau is loaded", "of its own");
    doctor_expect(f, "FAIL  environment ", "hides the GPU", "unset CUDA_VISIBLE_DEVICES");
    doctor_expect(f, "warn  environment ", "'512M', which is no size", "bytes");
    setenv("CUDA_VISIBLE_DEVICES", "0,1", 1);
    setenv("VGPU_WINDOW_SIZE", "536870912", 1);
    assert_int_equal(doctor_examine(f), EXIT_REFUSED);
    doctor_expect_none(f, "environment");
}

/* Nothing of the environment gets to the terminal, or out of a string of JSON. */
static void test_json(void **state)
{
    doctor_fixture *f = *state;

    setenv("CUDA_VISIBLE_DEVICES", "\x1b[2J\"\\", 1);
    f->options.json = true;
    assert_int_equal(doctor_examine(f), EXIT_REFUSED);
    assert_non_null(strstr(f->output, "{\"checks\":[{\"check\":\"device\",\"state\":\"FAIL\","));
    assert_non_null(strstr(f->output, "is '?[2J\\\"\\\\', which"));
    assert_non_null(strstr(f->output, "\"warnings\":"));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_socket, doctor_setup_empty, doctor_teardown),
        cmocka_unit_test_setup_teardown(test_limits, doctor_setup_empty, doctor_teardown),
        cmocka_unit_test_setup_teardown(test_machine, doctor_setup_empty, doctor_teardown),
        cmocka_unit_test_setup_teardown(test_json, doctor_setup_empty, doctor_teardown),
    };

    return doctor_test_main(argc, argv, tests);
}
