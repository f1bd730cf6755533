/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "bus.h"
#include "log.h"
#include "manager.h"
#include "names.h"
#include "version.h"

typedef struct Options {
    const char *listen; /* NULL: the socket that the service manager passes */
    const char *config;
    const char *executor;
    BusKind bus;
} Options;

static void usage(void)
{
    printf("vgpu-mediatord [OPTIONS...]\n\n"
           "Runs the GPU requests of virtual machines, by priority.\n\n"
           "  -h --help             Show this help\n"
           "     --version          Show the version\n"
           "     --listen=PATH      Listen on this socket instead of one passed by systemd\n"
           "     --bus=none|user|system\n"
           "                        Where to offer " VGPU_BUS_NAME " (default: system)\n"
           "     --config=FILE      Instead of " VGPU_CONFIG_PATH "; FILE.d/*.conf follow\n"
           "     --executor=PATH    Instead of " VGPU_EXECUTOR_PATH "\n\n"
           "See vgpu-mediatord(8) for details.\n");
}

static int parse_bus(const char *value, BusKind *ret)
{
    if (strcmp(value, "none") == 0)
        *ret = BUS_NONE;
    else if (strcmp(value, "user") == 0)
        *ret = BUS_USER;
    else if (strcmp(value, "system") == 0)
        *ret = BUS_SYSTEM;
    else
        return -EINVAL;
    return 0;
}

/* Returns 1 to go on, 0 when all is said, or a negative errno. */
static int parse_options(int argc, char **argv, Options *o)
{
    enum { OPT_VERSION = 256, OPT_LISTEN, OPT_BUS, OPT_CONFIG, OPT_EXECUTOR };
    static const struct option options[] = {
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, OPT_VERSION},
        {"listen", required_argument, NULL, OPT_LISTEN},
        {"bus", required_argument, NULL, OPT_BUS},
        {"config", required_argument, NULL, OPT_CONFIG},
        {"executor", required_argument, NULL, OPT_EXECUTOR},
        {0},
    };
    int c;

    while ((c = getopt_long(argc, argv, "h", options, NULL)) >= 0)
        switch (c) {
        case 'h':
            usage();
            return 0;
        case OPT_VERSION:
            printf("vgpu-mediator %s\n", VGPU_VERSION);
            return 0;
        case OPT_LISTEN:
            o->listen = optarg;
            break;
        case OPT_BUS:
            if (parse_bus(optarg, &o->bus) < 0) {
                fprintf(stderr, "--bus takes none, user or system, not \"%s\".\n", optarg);
                return -EINVAL;
            }
            break;
        case OPT_CONFIG:
            o->config = optarg;
            break;
        case OPT_EXECUTOR:
            o->executor = optarg;
            break;
        default:
            return -EINVAL;
        }

    if (optind < argc) {
        fprintf(stderr, "vgpu-mediatord takes no arguments, but was given \"%s\".\n", argv[optind]);
        return -EINVAL;
    }
    return 1;
}

static int open_socket(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd, r;

    if (strlen(path) >= sizeof(address.sun_path))
        return -ENAMETOOLONG;
    memcpy(address.sun_path, path, strlen(path) + 1);

    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;

    (void) unlink(path);
    if (bind(fd, (struct sockaddr *) &address, sizeof(address)) < 0 || listen(fd, SOMAXCONN) < 0) {
        r = -errno;
        close(fd);
        return r;
    }
    return fd;
}

/* The one socket of ours among those that systemd passes. */
static int passed_socket(void)
{
    char **names = NULL;
    int n = sd_listen_fds_with_names(true, &names), found = -1;

    for (int i = 0; i < n; i++) {
        int fd = SD_LISTEN_FDS_START + i;

        if (found < 0 && strcmp(names[i], VGPU_FDNAME_LISTEN) == 0 &&
            sd_is_socket(fd, AF_UNIX, SOCK_STREAM, 1) > 0) {
            found = fd;
        } else {
            log_warning("closing a passed descriptor named \"%s\" that is not the socket \"%s\"",
                        names[i], VGPU_FDNAME_LISTEN);
            close(fd);
        }
    }
    for (int i = 0; i < n; i++)
        free(names[i]);
    free(names);

    return n < 0 ? n : found < 0 ? -ENOENT : found;
}

static int listen_fd(const Options *o)
{
    int fd = o->listen ? open_socket(o->listen) : passed_socket();

    if (fd == -ENOENT && !o->listen)
        log_error("no socket \"%s\" was passed: start vgpu-mediator.socket, or use --listen=PATH",
                  VGPU_FDNAME_LISTEN);
    else if (fd < 0)
        log_errno(fd, "cannot listen on %s", o->listen ? o->listen : "the passed socket");
    return fd;
}

static int run(const Options *o)
{
    Manager *m = NULL;
    Bus *bus = NULL;
    Config config;
    int fd, r;

    r = config_load(o->config, &config, NULL);
    if (r < 0)
        return r;
    fd = listen_fd(o);
    if (fd < 0)
        return fd;
    r = manager_new(&config, o->config, o->executor, &m);
    if (r < 0) {
        close(fd);
        return log_errno(r, "cannot start");
    }

    r = manager_listen(m, fd);
    if (r >= 0)
        r = bus_new(m, o->bus, &bus);
    if (r >= 0) {
        (void) sd_notify(false, "READY=1\nSTATUS=Serving requests.");
        r = sd_event_loop(manager_event(m));
    }
    if (r < 0)
        log_errno(r, "ending");

    /* In this order: that VMs go is to be heard of on the bus. */
    manager_free(m);
    bus_free(bus);
    if (o->listen)
        (void) unlink(o->listen);
    return r;
}

int main(int argc, char **argv)
{
    Options options = {
        .config = VGPU_CONFIG_PATH,
        .executor = VGPU_EXECUTOR_PATH,
        .bus = BUS_SYSTEM,
    };
    sigset_t signals;
    int r;

    r = parse_options(argc, argv, &options);
    if (r <= 0)
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;

    sigemptyset(&signals);
    sigaddset(&signals, SIGCHLD);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    (void) sigprocmask(SIG_BLOCK, &signals, NULL);

    return run(&options) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
