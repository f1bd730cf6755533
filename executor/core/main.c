/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vgpu-executor: computes requests for the mediator that started it.
 *
 * It is a process of its own, because a kernel that faults makes its process unusable, and a
 * kernel that hangs can only be ended with its process.
 */
#include "server.h"

#include "busy-poll.h"
#include "device-name.h"
#include "parse.h"
#include "session-run.h"

#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "version.h"

typedef struct Options {
    const char *backend;
    int fd;
    bool session, uncontained;
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
        "  --session         serve a CUDA session instead; --fd=N is a connected\n"
        "                    packet socket, and other options have no effect\n"
        "  --uncontained     let a session's process keep what it does not need: for\n"
        "                    debuggers, which do\n"
        "  --backend=NAME    auto (default): cuda where it runs, else cpu; cuda; cpu\n"
        "  --device=DEVICE   CUDA device: a number, or the UUID of one or of a MIG instance\n"
        "                    (default 0)\n"
        "  --slots=N         requests in flight, 1 to 64 (default 4)\n"
        "  --pool=LETTER     the pool it computes for, which its messages name\n"
        "  --kernels=FILE    CUDA kernels (fatbin, cubin or PTX) instead of the built-in ones\n"
        "  --help            print this\n"
        "  --version         print the version\n"
        "\n"
        "Exit status: 0 the mediator hung up, 1 failure, 2 wrong usage, 3 the backend can't\n"
        "run here, 4 a CUDA error made the process unusable.");
}

static int parse_number(const char *name, uint32_t min, uint32_t max, uint32_t *ret)
{
    int r = parse_u32(optarg, min, max, ret);

    if (r < 0)
        warnx("--%s=%s is not a number from %u to %u", name, optarg, min, max);
    return r;
}

/* warnx() begins each message with this. */
static int name_messages(const char *pool)
{
    static char name[] = "vgpu-executor: pool X";

    if (!vgpu_pool_is_valid((unsigned char) pool[0]) || pool[1] != '\0') {
        warnx("--pool=%s is not a letter from A to Z", pool);
        return -EINVAL;
    }
    name[sizeof(name) - 2] = pool[0];
    program_invocation_short_name = name;
    return 0;
}

static bool backend_is_known(const char *name)
{
    return strcmp(name, "auto") == 0 || strcmp(name, backend_cpu.name) == 0 ||
           strcmp(name, backend_cuda.name) == 0;
}

/* Of a device that has a name the driver shows no other. */
static int choose_device(unsigned *ret)
{
    char name[DEVICE_NAME_SIZE];

    *ret = 0;
    if (!device_name_parse(optarg, strlen(optarg), name)) {
        warnx("--device=%s is no device", optarg);
        return -EINVAL;
    }
    if (device_name_is_number(name, ret))
        return 0;
    return setenv("CUDA_VISIBLE_DEVICES", name, 1) < 0 ? -errno : 0;
}

/* Returns 0 to go on, 1 when there is nothing left to do, or a negative errno for wrong usage,
 * which standard error explains. */
static int parse_options(int argc, char *argv[], Options *ret)
{
    enum {
        OPT_BACKEND = 1,
        OPT_SESSION,
        OPT_UNCONTAINED,
        OPT_DEVICE,
        OPT_SLOTS,
        OPT_BUSY_POLL,
        OPT_POOL,
        OPT_FD,
        OPT_KERNELS,
        OPT_HELP,
        OPT_VERSION
    };
    static const struct option options[] = {
        {"backend", required_argument, NULL, OPT_BACKEND},
        {"session", no_argument, NULL, OPT_SESSION},
        {"uncontained", no_argument, NULL, OPT_UNCONTAINED},
        {"device", required_argument, NULL, OPT_DEVICE},
        {"slots", required_argument, NULL, OPT_SLOTS},
        {"busy-poll", required_argument, NULL, OPT_BUSY_POLL},
        {"pool", required_argument, NULL, OPT_POOL},
        {"fd", required_argument, NULL, OPT_FD},
        {"kernels", required_argument, NULL, OPT_KERNELS},
        {"help", no_argument, NULL, OPT_HELP},
        {"version", no_argument, NULL, OPT_VERSION},
        {0},
    };
    Options o = {.backend = "auto", .fd = -1, .open.n_slots = 4};
    uint32_t fd = 0;
    int c, r = 0;

    while (r == 0 && (c = getopt_long(argc, argv, "", options, NULL)) >= 0) {
        switch (c) {
        case OPT_BACKEND:
            o.backend = optarg;
            break;
        case OPT_SESSION:
            o.session = true;
            break;
        case OPT_UNCONTAINED:
            o.uncontained = true;
            break;
        case OPT_DEVICE:
            r = choose_device(&o.open.device);
            break;
        case OPT_SLOTS:
            r = parse_number("slots", 1, EXECUTOR_SLOTS_MAX, &o.open.n_slots);
            break;
        case OPT_BUSY_POLL:
            r = parse_number("busy-poll", 0, BUSY_POLL_MAX_USEC, &o.server.busy_poll_usec);
            break;
        case OPT_POOL:
            r = name_messages(optarg);
            break;
        case OPT_FD:
            r = parse_number("fd", 0, INT32_MAX - EXECUTOR_N_FDS, &fd);
            o.fd = (int) fd;
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
        warnx("what is \"%s\"?", argv[optind]);
        return -EINVAL;
    }
    if (!backend_is_known(o.backend)) {
        warnx("--backend=%s is not auto, cpu or cuda", o.backend);
        return -EINVAL;
    }
    if (o.fd < 0) {
        warnx("--fd is missing");
        return -EINVAL;
    }

    *ret = o;
    return 0;
}

/* Returns 0, or a negative errno that standard error explains. */
static int open_backend(const Options *options, const BackendOps **ret_ops, Backend **ret_backend)
{
    bool is_auto = strcmp(options->backend, "auto") == 0;
    char reason[BACKEND_REASON_MAX];
    int r;

    if (strcmp(options->backend, backend_cpu.name) != 0) {
        r = backend_cuda.open(&options->open, ret_backend, reason);
        if (r >= 0) {
            *ret_ops = &backend_cuda;
            return 0;
        }
        warnx("no CUDA%s: %s", is_auto ? ", computing on the CPU" : "", reason);
        if (!is_auto)
            return r;
    }

    r = backend_cpu.open(&options->open, ret_backend, reason);
    if (r < 0) {
        warnx("no CPU backend: %s", reason);
        return r;
    }
    *ret_ops = &backend_cpu;
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

    /* When the mediator ends, so does the socket. But a process that hangs inside the CUDA
     * driver would not see that. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);

    r = parse_options(argc, argv, &options);
    if (r != 0)
        return r < 0 ? EXECUTOR_EXIT_USAGE : EXECUTOR_EXIT_OK;
    if (options.session)
        return session_run(options.fd, argv, !options.uncontained);
    r = link_open(options.fd, &link);
    if (r < 0)
        return r == -EINVAL ? EXECUTOR_EXIT_USAGE : EXECUTOR_EXIT_FAILURE;

    r = open_backend(&options, &ops, &backend);
    if (r < 0)
        return r == -ENODEV ? EXECUTOR_EXIT_NO_BACKEND : EXECUTOR_EXIT_FAILURE;

    options.server.n_slots = options.open.n_slots;
    status = server_run(ops, backend, &options.server, &link, &idle);

    /* An operation in flight may never end, and an unusable CUDA context can't be closed. The
     * kernel cleans up after both. exit() would run the driver's handlers. */
    if (!idle) {
        fflush(NULL);
        _exit(status);
    }

    ops->close(backend);
    return status;
}
