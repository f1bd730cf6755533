/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "private-bus.h"

#define START_TIMEOUT_MSEC 20000

/* The rules of a system bus before services add their own, and those of polkit */
static const char config_format[] =
    "<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN\"\n"
    " \"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\">\n"
    "<busconfig>\n"
    "  <type>system</type>\n"
    "  <listen>unix:path=%s</listen>\n"
    "  <auth>EXTERNAL</auth>\n"
    "  <servicedir>%s</servicedir>\n"
    "  <policy context=\"default\">\n"
    "    <allow user=\"*\"/>\n"
    "    <deny own=\"*\"/>\n"
    "    <deny send_type=\"method_call\"/>\n"
    "    <allow send_type=\"signal\"/>\n"
    "    <allow send_requested_reply=\"true\" send_type=\"method_return\"/>\n"
    "    <allow send_requested_reply=\"true\" send_type=\"error\"/>\n"
    "    <allow receive_type=\"method_call\"/>\n"
    "    <allow receive_type=\"method_return\"/>\n"
    "    <allow receive_type=\"error\"/>\n"
    "    <allow receive_type=\"signal\"/>\n"
    "    <allow send_destination=\"org.freedesktop.DBus\"/>\n"
    "    <allow send_destination=\"org.freedesktop.PolicyKit1\"/>\n"
    "  </policy>\n"
    "  <policy user=\"root\">\n"
    "    <allow own=\"org.freedesktop.PolicyKit1\"/>\n"
    "  </policy>\n"
    /* root, for the stand-ins of the services that the mediator asks */
    "  <policy user=\"root\">\n"
    "    <allow own_prefix=\"org.freedesktop\"/>\n"
    "    <allow send_destination_prefix=\"org.freedesktop\"/>\n"
    "  </policy>\n"
    "  <include>%s</include>\n"
    "</busconfig>\n";

static int wait_address(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    char address[512];

    if (poll(&p, 1, START_TIMEOUT_MSEC) <= 0)
        return -ETIMEDOUT;
    return read(fd, address, sizeof(address)) > 0 ? 0 : -ECONNREFUSED;
}

int test_bus_run(TestBus *b)
{
    int ready[2], r;

    (void) unlink(b->socket);
    if (pipe2(ready, O_CLOEXEC) < 0)
        return -errno;

    b->pid = fork();
    if (b->pid == 0) {
        char config[128], address[32];

        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        snprintf(config, sizeof(config), "--config-file=%s", b->config);
        snprintf(address, sizeof(address), "--print-address=%d", dup(ready[1]));
        execlp("dbus-daemon", "dbus-daemon", "--nofork", "--nosyslog", config, address, NULL);
        _exit(127);
    }

    close(ready[1]);
    r = b->pid < 0 ? -errno : wait_address(ready[0]);
    close(ready[0]);
    return r;
}

int test_bus_start(TestBus *b)
{
    const char *policy = getenv("VGPU_BUS_POLICY");
    char address[128];
    FILE *f;

    if (!policy)
        return -EINVAL;

    *b = (TestBus){.directory = "/tmp/vgpu-bus-XXXXXX"};
    if (!mkdtemp(b->directory) || chmod(b->directory, 0755) < 0)
        return -errno;
    snprintf(b->config, sizeof(b->config), "%s/config", b->directory);
    snprintf(b->socket, sizeof(b->socket), "%s/socket", b->directory);

    f = fopen(b->config, "we");
    if (!f)
        return -errno;
    fprintf(f, config_format, b->socket, b->directory, policy);
    fclose(f);

    snprintf(address, sizeof(address), "unix:path=%s", b->socket);
    setenv("DBUS_SYSTEM_BUS_ADDRESS", address, 1);
    return test_bus_run(b);
}

void test_bus_kill(TestBus *b)
{
    if (b->pid <= 0)
        return;

    (void) kill(b->pid, SIGKILL);
    (void) waitpid(b->pid, NULL, 0);
    b->pid = 0;
}

void test_bus_stop(TestBus *b)
{
    test_bus_kill(b);
    (void) unlink(b->socket);
    (void) unlink(b->config);
    (void) rmdir(b->directory);
}
