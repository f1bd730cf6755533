/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vgpu-executor: computes requests for the mediator that started it.
 *
 * A process of its own, because a faulting kernel makes its process unusable
 * and a hung one can only be ended with it.
 */
#include "server.h"

#include "busy-poll.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "version.h"

typedef struct Options {
    const char *backend;
    int fd;
    BackendOptions open;
    ServerOptions server;
} Options;

static void print_help(void)
{
    puts(
        "Usage: vgpu-executor --fd=N [OPTION]...\n"
        "Compute requests that vgpu-mediatord puts into shared memory. Started by vgpu-mediatord.\n"
        "\n"
        "  --fd=N            the first of four descriptors: a connected stream socket, the\n"
        "                    shared memory, two eventfds\n"
        "  --backend=NAME    auto (default): cuda where it runs, else cpu; cuda; cpu\n"
        "  --device=N        CUDA device ordinal (default 0)\n"
        "  --slots=N         requests in flight, 1 to 64 (default 4)\n"
        "  --kernels=FILE    CUDA kernels (fatbin, cubin or PTX) instead of the built-in ones\n"
        "  --help            print this\n"
        "  --version         print the version\n"
        "\n"
        "Exit status: 0 the mediator hung up, 1 failure, 2 wrong usage, 3 the backend can't\n"
        "run here, 4 a CUDA error made the process unusable.");
}

static int parse_number(const char *name, const char *s, long min, long max, long *ret)
{
    char *end;
    long n;

    errno = 0;
    n = strtol(s, &end, 10);
    if (errno != 0 || end == s || *end != '\0' || n < min || n > max) {
        fprintf(stderr, "vgpu-executor: --%s=%s is not a number from %ld to %ld\n", name, s, min,
                max);
        return -EINVAL;
    }

    *ret = n;
    return 0;
}

static bool backend_is_known(const char *name)
{
    return strcmp(name, "auto") == 0 || strcmp(name, backend_cpu.name) == 0 ||
           strcmp(name, backend_cuda.name) == 0;
}

/* Returns 1 when there is nothing left to do, 0 to go on, -EINVAL. */
static int parse_options(int argc, char *argv[], Options *ret)
{
    enum {
        OPT_BACKEND = 1,
        OPT_DEVICE,
        OPT_SLOTS,
        OPT_BUSY_POLL,
        OPT_FD,
        OPT_KERNELS,
        OPT_HELP,
        OPT_VERSION
    };
    static const struct option options[] = {
        {"backend", required_argument, NULL, OPT_BACKEND},
        {"device", required_argument, NULL, OPT_DEVICE},
        {"slots", required_argument, NULL, OPT_SLOTS},
        {"busy-poll", required_argument, NULL, OPT_BUSY_POLL},
        {"fd", required_argument, NULL, OPT_FD},
        {"kernels", required_argument, NULL, OPT_KERNELS},
        {"help", no_argument, NULL, OPT_HELP},
        {"version", no_argument, NULL, OPT_VERSION},
        {0},
    };
    Options o = {.backend = "auto", .fd = -1, .open.n_slots = 4};
    int c, r = 0;
    long n = 0;

    while (r == 0 && (c = getopt_long(argc, argv, "", options, NULL)) >= 0) {
        switch (c) {
        case OPT_BACKEND:
            o.backend = optarg;
            break;
        case OPT_DEVICE:
            r = parse_number("device", optarg, 0, INT32_MAX, &n);
            o.open.device = (unsigned) n;
            break;
        case OPT_SLOTS:
            r = parse_number("slots", optarg, 1, EXECUTOR_SLOTS_MAX, &n);
            o.open.n_slots = (unsigned) n;
            break;
        case OPT_BUSY_POLL:
            r = parse_number("busy-poll", optarg, 0, BUSY_POLL_MAX_USEC, &n);
            o.server.busy_poll_usec = (unsigned) n;
            break;
        case OPT_FD:
            r = parse_number("fd", optarg, 0, INT32_MAX, &n);
            o.fd = (int) n;
            break;
        case OPT_KERNELS:
            o.open.kernels = optarg;
            break;
        case OPT_HELP:
            print_help();
            return 1;
        case OPT_VERSION:
            puts("vgpu-executor " VGPU_VERSION);
            return 1;
        default:
            return -EINVAL;
        }
    }
    if (r < 0)
        return r;

    if (optind < argc) {
        fprintf(stderr, "vgpu-executor: what is \"%s\"?\n", argv[optind]);
        return -EINVAL;
    }
    if (!backend_is_known(o.backend)) {
        fprintf(stderr, "vgpu-executor: --backend=%s is not auto, cpu or cuda\n", o.backend);
        return -EINVAL;
    }
    if (o.fd < 0) {
        fprintf(stderr, "vgpu-executor: --fd is missing\n");
        return -EINVAL;
    }

    *ret = o;
    return 0;
}

static int open_backend(const Options *options, const BackendOps **ret_ops, Backend **ret_backend)
{
    const BackendOps *ops = &backend_cuda;
    bool is_auto = strcmp(options->backend, "auto") == 0;
    char reason[BACKEND_REASON_MAX];
    int r = -ENODEV;

    if (strcmp(options->backend, backend_cpu.name) != 0) {
        r = ops->open(&options->open, ret_backend, reason);
        if (r < 0)
            fprintf(stderr, "vgpu-executor: no CUDA%s: %s\n",
                    is_auto ? ", computing on the CPU" : "", reason);
        if (r < 0 && !is_auto)
            return r;
    }
    if (r < 0) {
        ops = &backend_cpu;
        r = ops->open(&options->open, ret_backend, reason);
        if (r < 0) {
            fprintf(stderr, "vgpu-executor: no CPU backend: %s\n", reason);
            return r;
        }
    }

    *ret_ops = ops;
    return 0;
}

int main(int argc, char *argv[])
{
    const BackendOps *ops;
    Backend *backend;
    Options options;
    Link link;
    bool idle;
    int r, status;

    /* The mediator's end of the socket closes with the mediator, but a process
     * that hangs inside the CUDA driver would not see it. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);

    r = parse_options(argc, argv, &options);
    if (r != 0)
        return r < 0 ? EXECUTOR_EXIT_USAGE : EXECUTOR_EXIT_OK;
    if (link_open(options.fd, &link) < 0)
        return EXECUTOR_EXIT_USAGE;

    r = open_backend(&options, &ops, &backend);
    if (r < 0)
        return r == -ENODEV ? EXECUTOR_EXIT_NO_BACKEND : EXECUTOR_EXIT_FAILURE;

    options.server.n_slots = options.open.n_slots;
    status = server_run(ops, backend, &options.server, &link, &idle);

    /* Jobs in flight may never end, and an unusable CUDA context can't be closed:
     * the kernel cleans up after both. Not exit(), whose handlers include the
     * driver's. */
    if (!idle) {
        fflush(NULL);
        _exit(status);
    }

    ops->close(backend);
    return status;
}
