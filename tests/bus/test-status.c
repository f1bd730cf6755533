/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the service manager is told, seen on a socket in its place. */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "clock.h"
#include "test.h"
#include "world.h"

static int notify_fd;

/* test_mediator_start() has its own socket where the mediator reports, until that is ready. */
static int start(void **state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    (void) state;
    if (world_start("[Pool A]\nBackend=cpu\n[Pool C]\nBackend=cpu\n") < 0)
        return -1;
    snprintf(address.sun_path, sizeof(address.sun_path), "%s/notify", mediator.directory);
    notify_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (notify_fd < 0)
        return -1;
    return bind(notify_fd, (struct sockaddr *) &address, sizeof(address));
}

static int end(void **state)
{
    close(notify_fd);
    return world_end(state);
}

/* Returns whether one came in @msec, in @ret. */
static bool next_status(int msec, char ret[1024])
{
    struct pollfd p = {.fd = notify_fd, .events = POLLIN};

    while (poll(&p, 1, msec) > 0) {
        ssize_t n = recv(notify_fd, ret, 1023, 0);

        assert_true(n >= 0);
        ret[n] = '\0';
        if (strncmp(ret, "STATUS=", 7) == 0)
            return true;
    }
    return false;
}

static void expect_status(const char *wanted)
{
    char text[1024], last[1024] = "nothing";

    while (next_status(10000, text)) {
        if (strcmp(text + 7, wanted) == 0)
            return;
        memcpy(last, text, sizeof(last));
    }
    fail_msg("%s, not: %s", last, wanted);
}

TEST(test_numbers)
{
    int fd;

    register_vm("a", 1, "A", "low");
    expect_status("1 VM, 0 connected; pools A (cpu), C (cpu)");
    register_vm("b", 2, "A", "low");
    fd = dial();
    hello(fd, 2, VGPU_PRIORITY_LOW, NULL);
    (void) expect_welcome(fd);
    expect_status("2 VMs, 1 connected; pools A (cpu), C (cpu)");
    call_manager(NULL, "PauseVM", "s", "a");
    call_manager(NULL, "QuarantineVM", "s", "b");
    call_object(NULL, VGPU_OBJECT_POOL "/C", VGPU_INTERFACE_POOL, "Pause", NULL);
    expect_status("2 VMs, 1 connected; pools A (cpu), C (cpu, paused); 1 paused; 1 quarantined");
    call_manager(NULL, "ReleaseVM", "s", "b");
    close(fd);
}

/* Once a second at most, and nothing where nothing changes. */
TEST(test_guest_in_a_loop)
{
    uint64_t begin = now_usec();
    char text[1024];
    unsigned n = 0;

    for (unsigned i = 0; i < 300; i++) {
        int fd = dial();

        hello(fd, 2, VGPU_PRIORITY_LOW, NULL);
        (void) expect_welcome(fd);
        close(fd);
    }
    while (next_status(3000, text))
        n++;
    assert_true(n <= (now_usec() - begin) / USEC_PER_SEC + 2);
    assert_false(next_status(1500, text));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_guest_in_a_loop),
    };

    return cmocka_run_group_tests_name("status", tests, start, end);
}
